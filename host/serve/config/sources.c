#include "serve/config/sources.h"

#include "base/json.h"
#include "plugin/catalogue.h"

#include <string.h>

/* Roles that may submit documents. */
static const char *const roles[] = {"operate", "admin", NULL};

static const char *const *read_names(const lathe_check *c, const cJSON *node) {
    const cJSON *item;
    if (!cJSON_IsArray(node)) {
        lathe_diag_add(c->diags, c->doc, node, "\"%s\" is %s; expected a list of names of sources",
                       node->string, lathe_json_type_name(node));
        return NULL;
    }
    const char **names =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(node) + 1, sizeof *names);
    size_t n = 0;
    cJSON_ArrayForEach(item, node) {
        if (!cJSON_IsString(item) || item->valuestring[0] == 0)
            lathe_diag_add(c->diags, c->doc, item,
                           "expected the name of a source, such as \"csv\"");
        else if (names != NULL)
            names[n++] = lathe_arena_strdup(c->arena, item->valuestring);
    }
    return names;
}

void lathe_sources_read(const lathe_check *c, const cJSON *node, lathe_sources *sources) {
    if (node == NULL || !lathe_check_object(c, node, "\"sources\"", roles))
        return;
    for (int i = 0; roles[i] != NULL; i++) {
        const cJSON *list = lathe_json_get(node, roles[i]);
        if (list != NULL)
            sources->by_role[lathe_role_parse(roles[i])] = read_names(c, list);
    }
}

static bool is_allowed(const char *const *names, const lathe_descriptor *d) {
    for (; *names != NULL; names++)
        if (strcmp(*names, d->name) == 0 || strcmp(*names, d->id) == 0)
            return true;
    return false;
}

typedef struct looking {
    const char *const *names;
    lathe_role role;
    const lathe_pipeline *pipeline;
    lathe_diags *diags;
} looking;

/* A component and all within it; node: where it stands in the document. */
static void look(const looking *l, const lathe_component *c, const cJSON *node) {
    if (c == NULL)
        return;
    if (strcmp(c->descriptor->kind, LATHE_KIND_SOURCE) == 0 && !is_allowed(l->names, c->descriptor))
        lathe_diag_add(l->diags, l->pipeline->doc, node,
                       "documents that the role \"%s\" submits may not use the source \"%s\"",
                       lathe_role_name(l->role), c->descriptor->name);
    for (size_t i = 0; i < c->n_children; i++)
        look(l, c->children[i], node);
}

void lathe_sources_check(const lathe_sources *sources, lathe_role role,
                         const lathe_pipeline *pipeline, lathe_diags *diags) {
    const looking l = {sources->by_role[role], role, pipeline, diags};
    const cJSON *root = lathe_json_root(pipeline->doc), *prepare = lathe_json_get(root, "prepare"),
                *monitor = lathe_json_get(root, "monitor");
    if (l.names == NULL)
        return;
    look(&l, pipeline->prepare.source, lathe_json_get(prepare, "source"));
    for (size_t i = 0; i < pipeline->prepare.n_transforms; i++)
        look(&l, pipeline->prepare.transforms[i], lathe_json_get(prepare, "transforms"));
    look(&l, pipeline->prepare.split, lathe_json_get(prepare, "split"));
    look(&l, pipeline->monitor.replay, lathe_json_get(monitor, "replay"));
    for (size_t i = 0; i < pipeline->n_candidates; i++)
        look(&l, pipeline->candidates[i].component, lathe_json_get(root, "train"));
}
