#include "pipeline/folds.h"

#include "base/rng.h"
#include "plugin/call.h"

#include <lathe/split.h>
#include <stdlib.h>

int32_t lathe_folds(lathe_job *job, const int32_t **fold, int32_t *n_folds, lathe_error *err) {
    lathe_part *train = &job->parts[PART_TRAIN];
    const lathe_binder binder = {.catalogue = job->catalogue, .task = job->task, .load = true};
    lathe_component *component = NULL;
    lathe_instance split = {0};
    int64_t folds = 0;
    int32_t *part = NULL;
    int32_t rc = LATHE_OK;
    if (train->fold != NULL)
        goto done;
    rc = lathe_bind_text(&binder, LATHE_KIND_SPLIT, "k_fold", "{\"folds\": 5, \"test\": 0}",
                         &component, err);
    if (rc == LATHE_OK)
        rc = lathe_instance_create(job->runtime, component, 0, NULL, &split, err);
    if (rc == LATHE_OK)
        rc = lathe_call_split_folds(&split, &folds, err);
    part = calloc((size_t)train->n, sizeof *part);
    int32_t *made = calloc((size_t)train->n, sizeof *made);
    if (rc == LATHE_OK && (part == NULL || made == NULL))
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the folds");
    if (rc == LATHE_OK) {
        const lathe_split_input in = {.struct_size = LATHE_SIZED(lathe_split_input),
                                      .task = job->task,
                                      .table = lathe_frame_table(train->raw),
                                      .target = &lathe_frame_table(train->target)->columns[0],
                                      .row_id = lathe_frame_row_id(train->raw),
                                      .key = lathe_rng_key(job->pipeline->seed, "folds", 0)};
        rc = lathe_call_split(&split, &in, part, made, err);
    }
    free(part);
    lathe_instance_destroy(&split);
    lathe_component_free(component);
    if (rc != LATHE_OK) {
        free(made);
        return rc;
    }
    train->fold = made;
    job->n_folds = (int32_t)folds;
done:
    *fold = train->fold;
    *n_folds = job->n_folds;
    return rc;
}
