#include "plugin/bind.h"

#include "base/nearest.h"
#include "plugin/bind_internal.h"
#include "plugin/kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lathe_bind_complain(lathe_binding *b, const lathe_site *site, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    b->errors++;
    lathe_diag_add(b->diags, site->at_doc, site->at, "%s%s", site->is_default ? "a default: " : "",
                   text);
}

/* ---- plugin uses ---- */

/* A plugin use taken apart. */
typedef struct use {
    const char *name;
    const cJSON *name_node; /* the string, or the member whose key it is */
    const cJSON *params;    /* NULL: none given */
} use;

static bool read_use(lathe_binding *b, const lathe_site *s, const char *kinds, use *out) {
    char words[128], found[64];
    if (cJSON_IsString(s->node)) {
        *out = (use){s->node->valuestring, s->node, NULL};
        return true;
    }
    lathe_kind_words(kinds, words, sizeof words);
    if (!cJSON_IsObject(s->node)) {
        lathe_bind_complain(b, s, "%s is no plugin; expected %s, as \"name\" or {\"name\": {…}}",
                            lathe_json_brief(s->node, found, sizeof found), words);
        return false;
    }
    const cJSON *first = s->node->child;
    if (first == NULL || first->next != NULL) {
        lathe_bind_complain(b, s,
                            "a plugin use is an object with one key, the plugin's name, and this "
                            "one has %d; expected %s, as \"name\" or {\"name\": {…}}",
                            cJSON_GetArraySize(s->node), words);
        return false;
    }
    *out = (use){first->string, first, first};
    return true;
}

/* {"candidate": "x"}: binds what stands under that name. */
static void bind_candidate(lathe_binding *b, const lathe_site *s, const cJSON *value,
                           const char *kinds, const lathe_component **out) {
    char found[64];
    const cJSON *all = b->binder != NULL ? b->binder->candidates : NULL;
    if (b->binder == NULL || b->binder->catalogue == NULL)
        return;
    lathe_site at = *s;
    if (!s->is_default)
        at.at = value;
    if (all == NULL) {
        lathe_bind_complain(b, &at,
                            "a candidate cannot be named here; only the candidates of "
                            "\"train\" can refer to one another");
        return;
    }
    if (!cJSON_IsString(value)) {
        lathe_bind_complain(b, &at, "the candidate is %s; expected the name of another candidate",
                            lathe_json_brief(value, found, sizeof found));
        return;
    }
    const char *name = value->valuestring;
    const cJSON *node = lathe_json_get(all, name);
    if (node == NULL) {
        const char *names[64];
        size_t n = 0;
        for (const cJSON *c = all->child; c != NULL && n < 64; c = c->next)
            names[n++] = c->string;
        const char *near = lathe_nearest(name, names, n);
        lathe_bind_complain(b, &at, "there is no candidate \"%s\"%s%s%s", name,
                            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        return;
    }
    for (const lathe_reference *r = b->references; r != NULL; r = r->outer)
        if (strcmp(r->name, name) == 0) {
            lathe_bind_complain(b, &at, "candidate \"%s\" is made of itself; break the circle",
                                name);
            return;
        }
    /* Its own faults are shown where it is defined, not once for every use. */
    lathe_diags own = {0}, *outer = b->diags;
    lathe_reference reference = {name, b->references};
    lathe_site target = {b->doc, node, b->doc, node, false};
    int errors = b->errors;
    b->diags = &own;
    b->references = &reference;
    lathe_bind_component(b, &target, kinds, out);
    b->diags = outer;
    b->references = reference.outer;
    if (b->errors > errors) {
        lathe_error err = {0};
        lathe_diags_error(&own, LATHE_E_INVALID, &err);
        lathe_bind_complain(b, &at, "candidate \"%s\" cannot be used here: %.300s", name,
                            err.message);
    } else if (*out != NULL) {
        /* the node is new, made for this reference */
        lathe_component *c = (lathe_component *)(uintptr_t)*out;
        c->candidate = lathe_arena_strdup(b->arena, name);
    }
    lathe_diags_free(&own);
}

/* Does the plugin serve the document's task? A nested learner may be given another one (boosting
 * fits trees to gradients, one against the rest to two classes), so only the outermost is
 * judged. */
static void check_task(lathe_binding *b, const lathe_site *s, const lathe_descriptor *d) {
    int32_t task = b->binder->task;
    if (task == 0 || d->tasks == 0 || (d->tasks & LATHE_TASK_BIT(task)))
        return;
    if (lathe_kind_in(d->kind, LATHE_KIND_LEARNER)) {
        bool one_against_rest =
            task == LATHE_TASK_MULTICLASS && (d->tasks & LATHE_TASK_BIT(LATHE_TASK_BINARY));
        if (b->depth > 1 || one_against_rest)
            return;
    }
    char words[128];
    lathe_bind_complain(b, s, "\"%s\" serves %s, and the task is %s; choose another", d->name,
                        lathe_task_words(d->tasks, words, sizeof words), lathe_task_name(task));
}

/* Cross-field rules, by the plugin's own code. */
static void check_config(lathe_binding *b, const lathe_site *s, const use *u,
                         const lathe_component *c) {
    const lathe_descriptor *loaded;
    lathe_error err = {0};
    if (lathe_catalogue_load(c->plugin, &loaded, &err) != LATHE_OK) {
        lathe_bind_complain(b, s, "%s", err.message);
        return;
    }
    if (loaded->check_config == NULL || loaded->check_config(c->config, &err) == LATHE_OK)
        return;
    err.message[sizeof err.message - 1] = '\0';
    err.where[sizeof err.where - 1] = '\0';
    lathe_site at = *s;
    const cJSON *param = u->params != NULL ? lathe_json_get(u->params, err.where) : NULL;
    if (param != NULL && !s->is_default)
        at.at = param;
    lathe_bind_complain(b, &at, "%s%s%s%s%s", err.where[0] && param == NULL ? "\"" : "",
                        param == NULL ? err.where : "", err.where[0] && param == NULL ? "\": " : "",
                        err.message[0] ? err.message : "these parameters do not go together", "");
}

static bool find_plugin(lathe_binding *b, const lathe_site *s, const char *kinds, const use *u,
                        const lathe_plugin **plugin) {
    *plugin = lathe_catalogue_find(b->binder->catalogue, kinds, u->name, NULL);
    if (*plugin != NULL)
        return true;
    lathe_error err = {0};
    lathe_catalogue_unknown(b->binder->catalogue, kinds, u->name, &err);
    b->errors++;
    if (s->is_default)
        lathe_diag_add(b->diags, s->at_doc, s->at, "a default: %s", err.message);
    else if (u->params != NULL)
        lathe_diag_add_key(b->diags, s->doc, u->name_node, "%s", err.message);
    else
        lathe_diag_add(b->diags, s->doc, u->name_node, "%s", err.message);
    return false;
}

static lathe_component *new_component(lathe_binding *b, const lathe_plugin *plugin) {
    const lathe_descriptor *d = plugin->descriptor;
    lathe_component *c = lathe_arena_alloc(b->arena, sizeof *c);
    void *config = lathe_arena_alloc_aligned(b->arena, d->config_size, 64);
    if (c == NULL || config == NULL) {
        b->no_memory = true;
        return NULL;
    }
    *c = (lathe_component){.plugin = plugin,
                           .descriptor = d,
                           .config = d->config_size > 0 ? config : NULL,
                           .task = b->binder->task,
                           .root = b->root};
    return c;
}

/* The chain of children that were bound below, as an array. */
static void collect_children(lathe_binding *b, lathe_component *c, const lathe_child_link *first,
                             size_t n) {
    const lathe_component **list = lathe_arena_array(b->arena, n, sizeof *list);
    if (list == NULL) {
        b->no_memory = true;
        return;
    }
    for (size_t i = 0; i < n; i++, first = first->next)
        list[i] = first->component;
    c->children = list;
    c->n_children = n;
}

static void join_parent(lathe_binding *b, const lathe_component *c) {
    if (b->children_end == NULL)
        return;
    lathe_child_link *link = lathe_arena_alloc(b->arena, sizeof *link);
    if (link == NULL) {
        b->no_memory = true;
        return;
    }
    link->component = c;
    *b->children_end = link;
    b->children_end = &link->next;
    b->n_children++;
}

/* Config, children and resolved text of a plugin that was found. */
static lathe_component *bind_plugin(lathe_binding *b, const lathe_site *s, const use *u,
                                    const lathe_plugin *plugin) {
    const lathe_descriptor *d = plugin->descriptor;
    lathe_component *c = new_component(b, plugin);
    if (c == NULL)
        return NULL;
    lathe_child_link *first = NULL, **outer_end = b->children_end;
    size_t outer_n = b->n_children;
    b->children_end = &first;
    b->n_children = 0;
    int errors = b->errors;
    lathe_jsonw_begin_object(&b->w);
    size_t begin = b->text.len > 0 ? b->text.len - 1 : 0;
    lathe_jsonw_key(&b->w, d->id);
    lathe_site params = *s;
    params.node = u->params;
    if (!s->is_default && u->params != NULL)
        params.at = u->params;
    lathe_bind_fields(b, d->params, d->n_params, &params, d->name, (void *)(uintptr_t)c->config);
    lathe_jsonw_end_object(&b->w);
    collect_children(b, c, first, b->n_children);
    b->children_end = outer_end;
    b->n_children = outer_n;
    if (b->errors > errors || b->no_memory)
        return NULL;
    if (b->text.failed) { /* also after a fault elsewhere, where a key has no value */
        if (b->errors == 0)
            lathe_bind_complain(b, s, "\"%s\" is nested too deeply", d->name);
        return NULL;
    }
    c->resolved = lathe_arena_strndup(b->arena, b->text.data + begin, b->text.len - begin);
    b->no_memory |= c->resolved == NULL;
    check_task(b, s, d);
    if (b->binder->load && b->errors == errors)
        check_config(b, s, u, c);
    return b->errors > errors || b->no_memory ? NULL : c;
}

void lathe_bind_component(lathe_binding *b, const lathe_site *s, const char *kinds,
                          const lathe_component **out) {
    use u;
    *out = NULL;
    if (!read_use(b, s, kinds, &u))
        return;
    if (u.params != NULL && strcmp(u.name, "candidate") == 0) {
        bind_candidate(b, s, u.params, kinds, out);
        return;
    }
    if (u.params != NULL && !cJSON_IsObject(u.params)) {
        char found[64];
        lathe_site at = *s;
        if (!s->is_default)
            at.at = u.params;
        lathe_bind_complain(b, &at, "the parameters of \"%s\" are %s; expected an object", u.name,
                            lathe_json_brief(u.params, found, sizeof found));
        return;
    }
    if (b->binder == NULL || b->binder->catalogue == NULL)
        return;
    if (b->depth >= LATHE_BIND_MAX_DEPTH) {
        lathe_bind_complain(b, s, "plugins are nested more than %d deep here; use fewer levels",
                            LATHE_BIND_MAX_DEPTH);
        return;
    }
    const lathe_plugin *plugin;
    if (!find_plugin(b, s, kinds, &u, &plugin))
        return;
    b->depth++;
    *out = bind_plugin(b, s, &u, plugin);
    b->depth--;
    if (*out != NULL)
        join_parent(b, *out);
}

/* ---- a whole tree ---- */

static void free_root(lathe_component_root *root) {
    while (root->wrappings != NULL) {
        lathe_wrapping *w = root->wrappings;
        root->wrappings = w->next;
        lathe_component_free(w->outer);
        free(w);
    }
    pthread_mutex_destroy(&root->lock);
    lathe_arena_free(root->arena);
    free(root);
}

static lathe_component_root *new_root(void) {
    lathe_component_root *root = calloc(1, sizeof *root);
    if (root == NULL)
        return NULL;
    root->arena = lathe_arena_new();
    if (root->arena == NULL || pthread_mutex_init(&root->lock, NULL) != 0) {
        lathe_arena_free(root->arena);
        free(root);
        return NULL;
    }
    atomic_init(&root->users, 1);
    return root;
}

/* The paths of the whole tree, into the arena. */
static void keep_paths(lathe_binding *b, lathe_component *top) {
    if (b->n_paths == 0)
        return;
    top->paths = lathe_arena_memdup(b->arena, b->paths, b->n_paths * sizeof *b->paths);
    top->n_paths = top->paths != NULL ? b->n_paths : 0;
    b->no_memory |= top->paths == NULL;
}

lathe_component *lathe_bind(const lathe_binder *binder, const lathe_json *doc, const cJSON *node,
                            const char *kinds, lathe_diags *diags) {
    lathe_component_root *root = new_root();
    if (root == NULL) {
        lathe_diag_add(diags, doc, node, "out of memory");
        return NULL;
    }
    const lathe_component *top = NULL;
    lathe_binding b = {
        .binder = binder, .doc = doc, .root = root, .arena = root->arena, .diags = diags};
    b.w = lathe_jsonw_to(&b.text);
    lathe_site site = {doc, node, doc, node, false};
    lathe_reference self = {NULL, NULL};
    /* A candidate that is bound as itself is part of a circle that leads back to it. */
    for (const cJSON *c = binder->candidates != NULL ? binder->candidates->child : NULL; c != NULL;
         c = c->next)
        if (c == node)
            self.name = c->string;
    if (self.name != NULL)
        b.references = &self;
    lathe_bind_component(&b, &site, kinds, &top);
    lathe_component *own = (lathe_component *)(uintptr_t)top;
    if (own != NULL && b.errors == 0)
        keep_paths(&b, own);
    if (b.no_memory || (own == NULL && b.errors == 0)) {
        lathe_diag_add(diags, doc, node, "out of memory");
        b.errors++;
    }
    for (size_t i = 0; i < b.n_defaults; i++)
        lathe_json_free(b.defaults[i]);
    free(b.defaults);
    free(b.paths);
    lathe_buf_free(&b.text);
    lathe_buf_free(&b.where);
    if (b.errors > 0) {
        free_root(root);
        return NULL;
    }
    root->top = own;
    return own;
}

int32_t lathe_bind_use(const lathe_binder *binder, const char *kinds, const char *text,
                       lathe_component **out, lathe_error *err) {
    lathe_diags diags = {0};
    *out = NULL;
    lathe_json *doc = lathe_json_read(text, strlen(text), NULL, NULL, err);
    if (doc == NULL)
        return err != NULL && err->code != LATHE_OK ? err->code : LATHE_E_INVALID;
    int32_t rc = LATHE_OK;
    *out = lathe_bind(binder, doc, lathe_json_root(doc), kinds, &diags);
    if (*out == NULL)
        rc = lathe_diags_error(&diags, LATHE_E_INVALID, err);
    lathe_json_free(doc);
    lathe_diags_free(&diags);
    return rc;
}

int32_t lathe_bind_text(const lathe_binder *binder, const char *kinds, const char *name,
                        const char *params, lathe_component **out, lathe_error *err) {
    *out = NULL;
    if (lathe_catalogue_find(binder->catalogue, kinds, name, NULL) == NULL)
        return lathe_catalogue_unknown(binder->catalogue, kinds, name, err);
    lathe_buf text = {0};
    lathe_buf_append_char(&text, '{');
    lathe_json_quote(&text, name, strlen(name));
    lathe_buf_printf(&text, ": %s}", params != NULL && params[0] != '\0' ? params : "{}");
    int32_t rc = text.failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                             : lathe_bind_use(binder, kinds, lathe_buf_str(&text), out, err);
    lathe_buf_free(&text);
    return rc;
}

const lathe_component *lathe_component_retain(const lathe_component *c) {
    if (c != NULL)
        atomic_fetch_add_explicit(&c->root->users, 1, memory_order_relaxed);
    return c;
}

void lathe_component_free(const lathe_component *c) {
    if (c != NULL && atomic_fetch_sub_explicit(&c->root->users, 1, memory_order_acq_rel) == 1)
        free_root(c->root);
}

cJSON *lathe_component_tree(const lathe_component *c) {
    return cJSON_Parse(c->resolved);
}
