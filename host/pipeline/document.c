#include "pipeline/document.h"

#include "pipeline/check.h"
#include "pipeline/params.h"
#include "pipeline/paths.h"
#include "pipeline/stages.h"

#include <stdlib.h>
#include <string.h>

static const char *const top_keys[] = {"$schema", "lathe", "name",     "description", "seed",
                                       "params",  "goal",  "prepare",  "train",       "deploy",
                                       "monitor", "retry", "schedule", NULL};

/* The binder for this document: candidates for references, paths, task. */
static lathe_binder make_binder(const lathe_pipeline *p, const lathe_pipeline_options *options,
                                lathe_paths *paths) {
    const cJSON *root = lathe_json_root(p->doc);
    *paths = (lathe_paths){options->base_dir, options->roots, options->n_roots};
    int32_t task = options->task;
    if (task == 0 && p->goal.task_known)
        task = p->goal.classification ? LATHE_TASK_BINARY : LATHE_TASK_REGRESSION;
    return (lathe_binder){
        .catalogue = options->catalogue,
        .task = task,
        .candidates = lathe_json_get(lathe_json_get(root, "train"), "candidates"),
        .resolve_path = lathe_paths_resolve,
        .path_user = paths,
        .load = options->load,
    };
}

static void parse_header(const lathe_check *c, lathe_pipeline *p, const cJSON *root) {
    const cJSON *version = lathe_check_required(c, root, "the document", "lathe");
    int64_t number;
    char brief[48];
    if (version != NULL && (!lathe_json_int64(c->doc, version, &number) || number != 1))
        lathe_diag_add(c->diags, c->doc, version,
                       "\"lathe\" is %s; this program reads documents of format version 1",
                       lathe_json_brief(version, brief, sizeof brief));
    const cJSON *name = lathe_check_required(c, root, "the document", "name");
    p->name = lathe_check_string(c, root, "name", "");
    if (name != NULL && cJSON_IsString(name) && p->name[0] != 0)
        lathe_check_name(c, name, "the pipeline's name", p->name);
    p->description = lathe_check_string(c, root, "description", NULL);
    p->seed = (uint64_t)lathe_check_int(c, root, "seed", 0, INT64_MAX, 0);
    lathe_check_string(c, root, "$schema", NULL);
}

lathe_pipeline *lathe_pipeline_parse(const char *text, size_t len, const char *file,
                                     const lathe_pipeline_options *options, lathe_diags *diags) {
    lathe_arena *arena = lathe_arena_new();
    lathe_pipeline *p = arena ? lathe_arena_alloc(arena, sizeof *p) : NULL;
    if (p == NULL) {
        lathe_arena_free(arena);
        lathe_diag_add_at(diags, file, 0, 0, NULL, "out of memory");
        return NULL;
    }
    p->arena = arena;
    p->doc = lathe_json_parse(text, len, file, diags);
    if (p->doc == NULL)
        goto fail;
    const lathe_check c = {p->doc, arena, diags};
    const cJSON *root = lathe_json_root(p->doc);
    if (!lathe_check_object(&c, root, "the document", top_keys))
        goto fail;
    lathe_params_apply(p->doc, options->sets, options->n_sets, diags);
    const size_t n_params_faults = diags->count;
    parse_header(&c, p, root);

    lathe_stage_goal_kind(&c, p, root);
    lathe_paths paths;
    const lathe_binder binder = make_binder(p, options, &paths);
    lathe_stage_goal(&c, &binder, p, root);
    lathe_stage_prepare(&c, &binder, p, root);
    lathe_stage_train(&c, &binder, p, root);
    lathe_stage_deploy(&c, p, root);
    lathe_stage_monitor(&c, &binder, p, root);
    lathe_timing_read(&c, root, &p->retry, &p->schedule);
    if (!lathe_diags_any(diags))
        return p;
    lathe_diags_drop_echoes(diags, n_params_faults);
fail:
    lathe_diags_sort(diags);
    lathe_pipeline_free(p);
    return NULL;
}

static void free_all(const lathe_component *const *components, size_t n) {
    for (size_t i = 0; i < n; i++)
        lathe_component_free(components[i]);
}

void lathe_pipeline_free(lathe_pipeline *p) {
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->goal.n_metrics; i++)
        lathe_component_free(p->goal.metrics[i].component);
    lathe_component_free(p->prepare.source);
    free_all(p->prepare.transforms, p->prepare.n_transforms);
    lathe_component_free(p->prepare.split);
    for (size_t i = 0; i < p->n_candidates; i++)
        lathe_component_free(p->candidates[i].component);
    free_all(p->monitor.drift, p->monitor.n_drift);
    lathe_component_free(p->monitor.replay);
    lathe_json_free(p->doc);
    lathe_arena_free(p->arena);
}
