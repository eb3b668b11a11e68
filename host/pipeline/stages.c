/* The stages "prepare", "train", "deploy" and "monitor" of the document. */
#include "pipeline/stages.h"

#include "pipeline/validation.h"

#include <math.h>
#include <string.h>

#define MAX_CANDIDATES 1000

/* Binds each element of a list (a bare element stands for a list of one). */
static const lathe_component **bind_list(const lathe_check *c, const lathe_binder *binder,
                                         const cJSON *node, const char *kind, const char *what,
                                         size_t *n) {
    *n = 0;
    if (node == NULL)
        return NULL;
    if (!cJSON_IsArray(node)) {
        lathe_diag_add(c->diags, c->doc, node, "\"%s\" is %s; expected a list of %s", node->string,
                       lathe_json_type_name(node), what);
        return NULL;
    }
    const lathe_component **items =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(node) + 1, sizeof *items);
    const cJSON *child;
    cJSON_ArrayForEach(child, node) {
        const lathe_component *one = lathe_bind(binder, c->doc, child, kind, c->diags);
        if (one != NULL && items != NULL)
            items[(*n)++] = one;
    }
    return items;
}

static const lathe_component *bind_one(const lathe_check *c, const lathe_binder *binder,
                                       const cJSON *node, const char *kind) {
    return node ? lathe_bind(binder, c->doc, node, kind, c->diags) : NULL;
}

void lathe_stage_prepare(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                         const cJSON *root) {
    static const char *const keys[] = {"source", "transforms", "split", "profile", NULL};
    const cJSON *node = lathe_check_required(c, root, "the document", "prepare");
    if (node == NULL || !lathe_check_object(c, node, "\"prepare\"", keys))
        return;
    p->prepare.source = bind_one(c, binder, lathe_check_required(c, node, "\"prepare\"", "source"),
                                 LATHE_KIND_SOURCE);
    p->prepare.transforms = bind_list(c, binder, lathe_json_get(node, "transforms"),
                                      LATHE_KIND_TRANSFORM, "transforms", &p->prepare.n_transforms);
    const cJSON *split = lathe_json_get(node, "split");
    if (split != NULL) {
        p->prepare.split = bind_one(c, binder, split, LATHE_KIND_SPLIT);
    } else {
        lathe_component *usual = NULL;
        lathe_error err = {0};
        if (lathe_bind_text(binder, LATHE_KIND_SPLIT,
                            p->goal.classification ? "stratified" : "random", NULL, &usual,
                            &err) != LATHE_OK)
            lathe_diag_add(c->diags, c->doc, node,
                           "there is no \"split\", and the usual one fails: %s", err.message);
        p->prepare.split = usual;
    }
    p->prepare.profile = lathe_check_bool(c, node, "profile", true);
}

void lathe_stage_train(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                       const cJSON *root) {
    static const char *const keys[] = {"candidates", NULL};
    const cJSON *node = lathe_check_required(c, root, "the document", "train");
    if (node == NULL || !lathe_check_object(c, node, "\"train\"", keys))
        return;
    const cJSON *list = lathe_check_required(c, node, "\"train\"", "candidates");
    if (list == NULL)
        return;
    if (!cJSON_IsObject(list) || cJSON_GetArraySize(list) == 0) {
        lathe_diag_add(c->diags, c->doc, list,
                       "\"candidates\" is %s; expected an object of at least one name: learner",
                       cJSON_IsObject(list) ? "empty" : lathe_json_type_name(list));
        return;
    }
    if (cJSON_GetArraySize(list) > MAX_CANDIDATES) {
        lathe_diag_add(c->diags, c->doc, list,
                       "%d candidates are too many; at most %d can be compared",
                       cJSON_GetArraySize(list), MAX_CANDIDATES);
        return;
    }
    lathe_candidate *items =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(list), sizeof *items);
    const cJSON *child;
    cJSON_ArrayForEach(child, list) {
        if (!lathe_check_name(c, child, "the candidate", child->string))
            continue;
        const lathe_component *one = bind_one(c, binder, child, LATHE_KIND_LEARNER);
        if (one != NULL && items != NULL)
            items[p->n_candidates++] =
                (lathe_candidate){lathe_arena_strdup(c->arena, child->string), one};
    }
    p->candidates = items;
}

void lathe_stage_deploy(const lathe_check *c, lathe_pipeline *p, const cJSON *root) {
    static const char *const keys[] = {"endpoint", "model", "when", "validation", NULL};
    static const char *const when[] = {"goal_met", "always", "never", NULL};
    const cJSON *node = lathe_json_get(root, "deploy");
    p->deploy.model = p->name;
    if (node == NULL || !lathe_check_object(c, node, "\"deploy\"", keys))
        return;
    p->deploy.present = true;
    p->deploy.endpoint = lathe_check_string(c, node, "endpoint", NULL);
    if (p->deploy.endpoint != NULL)
        lathe_check_name(c, lathe_json_get(node, "endpoint"), "the endpoint", p->deploy.endpoint);
    p->deploy.model = lathe_check_string(c, node, "model", p->name);
    if (lathe_json_get(node, "model") != NULL)
        lathe_check_name(c, lathe_json_get(node, "model"), "the model", p->deploy.model);
    p->deploy.when = (lathe_deploy_when)lathe_check_choice(c, node, "when", when, 0);
    p->deploy.validation = lathe_json_get(node, "validation");
    lathe_validation_check(c, p->deploy.validation);
}

void lathe_stage_monitor(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                         const cJSON *root) {
    static const char *const keys[] = {"drift",    "replay",      "window",       "window_seconds",
                                       "min_rows", "alert_after", "quality_drop", NULL};
    const cJSON *node = lathe_json_get(root, "monitor");
    p->monitor.window = LATHE_MONITOR_WINDOW;
    p->monitor.quality_drop = NAN;
    if (node == NULL || !lathe_check_object(c, node, "\"monitor\"", keys))
        return;
    p->monitor.present = true;
    p->monitor.drift = bind_list(c, binder, lathe_json_get(node, "drift"), LATHE_KIND_DRIFT,
                                 "drift measures", &p->monitor.n_drift);
    p->monitor.replay = bind_one(c, binder, lathe_json_get(node, "replay"), LATHE_KIND_SOURCE);
    p->monitor.window = lathe_check_int(c, node, "window", 1, 100000000, LATHE_MONITOR_WINDOW);
    /* these three are a service's, which reads them from the model (serve/watch) */
    lathe_check_int(c, node, "min_rows", 1, 100000000, LATHE_MONITOR_MIN_ROWS);
    lathe_check_int(c, node, "alert_after", 1, 1000, LATHE_MONITOR_ALERT_AFTER);
    lathe_check_number(c, node, "window_seconds", 1, 31536000, LATHE_MONITOR_WINDOW_SECONDS);
    p->monitor.quality_drop = lathe_check_number(c, node, "quality_drop", 0, 1e300, NAN);
}
