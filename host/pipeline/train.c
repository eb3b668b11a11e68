/* The step "train": every candidate, one after the other, each with all cores; what fails does not sink the rest. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "pipeline/candidate_file.h"
#include "pipeline/digest.h"
#include "pipeline/folds.h"
#include "pipeline/importance.h"
#include "pipeline/predict.h"
#include "pipeline/score.h"
#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one fit ---- */

static int32_t fit_on(lathe_job *job, const lathe_instance *learner, const lathe_dataset *data,
                      const lathe_dataset *validation, uint64_t key, lathe_error *err) {
    void *context = NULL;
    const lathe_open open = {.struct_size = LATHE_SIZED(lathe_open),
                             .task = job->task,
                             .n_classes = job->n_classes,
                             .data = data,
                             .validation = validation};
    const lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = key};
    int32_t rc = lathe_call_open(learner, &open, &context, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_call_fit(learner, context, &fit, err);
    lathe_call_close(learner, context);
    return rc;
}

static int32_t make_learner(lathe_job *job, const lathe_trained *t, const lathe_dataset *data,
                            lathe_instance *learner, lathe_error *err) {
    int32_t rc = lathe_instance_create(job->runtime, t->component, 0, data, learner, err);
    if (rc != LATHE_OK)
        return rc;
    /* under the host's adapter the candidate itself is the first child */
    job->curve_depth = strcmp(learner->descriptor->id, "lathe.ensemble.adapt") == 0;
    lathe_instance_set_scope(learner, job->step);
    return LATHE_OK;
}

/* Takes the curves that were drawn so far; what a cross-validation draws afterwards is dropped. */
static cJSON *take_curves(lathe_job *job) {
    uv_mutex_lock(&job->curves_lock);
    cJSON *curves = job->curves;
    job->curves = NULL;
    uv_mutex_unlock(&job->curves_lock);
    return curves;
}

/* ---- cross-validation, where there is no validation part ---- */

/* Copies the predictions of some rows to their places. */
static void scatter(lathe_prediction *all, const lathe_prediction *some, const int32_t *rows) {
    const size_t k = (size_t)all->n_classes;
    for (int64_t i = 0; i < some->n; i++) {
        if (all->value != NULL)
            all->value[rows[i]] = some->value[i];
        if (all->label != NULL)
            all->label[rows[i]] = some->label[i];
        if (all->probability != NULL)
            memcpy(all->probability + (size_t)rows[i] * k, some->probability + (size_t)i * k,
                   k * sizeof(float));
    }
}

static bool make_prediction(const lathe_job *job, int64_t n, lathe_prediction *p) {
    *p = (lathe_prediction){.n = n, .n_classes = job->n_classes};
    if (job->n_classes == 0)
        return (p->value = calloc((size_t)n + 1, sizeof *p->value)) != NULL;
    p->label = calloc((size_t)n + 1, sizeof *p->label);
    p->probability = calloc((size_t)n * (size_t)job->n_classes + 1, sizeof *p->probability);
    return p->label != NULL && p->probability != NULL;
}

/* Fits without a fold and predicts it. */
static int32_t run_fold(lathe_job *job, lathe_trained *t, const int32_t *fold, int32_t f,
                        uint64_t key, lathe_error *err) {
    const lathe_dataset *data = job->parts[PART_TRAIN].data;
    const int64_t n = job->parts[PART_TRAIN].n;
    lathe_dataset *in = NULL, *out = NULL;
    lathe_instance learner = {0};
    lathe_prediction some = {0};
    int64_t n_in = 0, n_out = 0;
    int32_t *rows_in = calloc((size_t)n, sizeof *rows_in),
            *rows_out = calloc((size_t)n, sizeof *rows_out);
    int32_t rc = rows_in && rows_out
                     ? LATHE_OK
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a fold");
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        if (fold[i] == f)
            rows_out[n_out++] = (int32_t)i;
        else
            rows_in[n_in++] = (int32_t)i;
    }
    if (rc == LATHE_OK && n_out > 0)
        rc = lathe_dataset_view(data, rows_in, n_in, &in, err);
    if (rc == LATHE_OK && n_out > 0)
        rc = lathe_dataset_view(data, rows_out, n_out, &out, err);
    if (rc == LATHE_OK && n_out > 0)
        rc = make_learner(job, t, in, &learner, err);
    if (rc == LATHE_OK && n_out > 0)
        rc = fit_on(job, &learner, in, NULL, lathe_rng_key(key, "fold", (uint64_t)f), err);
    if (rc == LATHE_OK && n_out > 0)
        rc = lathe_job_predict(job, &learner, out, &some, err);
    if (rc == LATHE_OK && n_out > 0)
        scatter(&t->predictions[PART_VALIDATION], &some, rows_out);
    lathe_prediction_free(&some);
    lathe_instance_destroy(&learner);
    lathe_dataset_release(out);
    lathe_dataset_release(in);
    free(rows_out);
    free(rows_in);
    return rc;
}

static int32_t cross_validate(lathe_job *job, lathe_trained *t, uint64_t key, lathe_error *err) {
    int32_t n_folds;
    const int32_t *fold;
    int32_t rc = lathe_folds(job, &fold, &n_folds, err);
    if (rc == LATHE_OK &&
        !make_prediction(job, job->parts[PART_TRAIN].n, &t->predictions[PART_VALIDATION]))
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for cross-validation");
    for (int32_t f = 0; rc == LATHE_OK && f < n_folds; f++)
        rc = run_fold(job, t, fold, f, key, err);
    return rc;
}

/* ---- one candidate ---- */

static int32_t fit_candidate(lathe_job *job, lathe_trained *t, lathe_error *err) {
    const lathe_part *parts = job->parts;
    const uint64_t key = lathe_rng_key(job->pipeline->seed, t->name, 0);
    const double start = lathe_now_seconds();
    int32_t rc = make_learner(job, t, parts[PART_TRAIN].data, &t->learner, err);
    if (rc == LATHE_OK)
        rc =
            fit_on(job, &t->learner, parts[PART_TRAIN].data, parts[PART_VALIDATION].data, key, err);
    t->seconds = lathe_now_seconds() - start;
    t->curves = take_curves(job);
    for (int p = PART_VALIDATION; rc == LATHE_OK && p < N_PARTS; p++)
        if (parts[p].n > 0)
            rc = lathe_job_predict(job, &t->learner, parts[p].data, &t->predictions[p], err);
    if (rc == LATHE_OK && parts[PART_VALIDATION].n == 0)
        rc = cross_validate(job, t, key, err);
    cJSON_Delete(take_curves(job));
    if (rc == LATHE_OK)
        rc = lathe_importance_of(job, &t->learner, &t->importance, err);
    return rc;
}

static int32_t score_candidate(lathe_job *job, lathe_trained *t, lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (int p = PART_VALIDATION; rc == LATHE_OK && p < N_PARTS; p++) {
        /* without a validation part its scores are those of the folds, on training rows */
        const lathe_part *part =
            p == PART_VALIDATION && job->parts[p].n == 0 ? &job->parts[PART_TRAIN] : &job->parts[p];
        if (part->n > 0 && t->predictions[p].n == part->n)
            rc = lathe_score(job, part->n, part->truth, part->weight, &t->predictions[p],
                             &t->scores[p], err);
    }
    return rc;
}

/* ---- the cache ---- */

/* Takes the candidate from the cache; false: not there, or of no use. */
static bool load_cached(lathe_job *job, lathe_trained *t, const char *key) {
    cJSON *question = lathe_link_event("step_get");
    lathe_error err = {0};
    cJSON_AddStringToObject(question, "key", key);
    cJSON *reply = lathe_link_ask(job->link, question, &err);
    const cJSON *path = lathe_json_get(reply, "path");
    bool found = cJSON_IsTrue(lathe_json_get(reply, "found")) && cJSON_IsString(path) &&
                 path->valuestring[0] != 0;
    if (found) {
        const int64_t rows[N_PARTS] = {0,
                                       job->parts[PART_VALIDATION].n ? job->parts[PART_VALIDATION].n
                                                                     : job->parts[PART_TRAIN].n,
                                       job->parts[PART_TEST].n};
        found = lathe_candidate_load(job, path->valuestring, rows, t, &err) == LATHE_OK;
        if (!found) {
            lathe_job_log(job, LATHE_LOG_WARN,
                          "the cached result is not usable and is made anew: %s", err.message);
            lathe_instance_destroy(&t->learner);
            for (int p = 0; p < N_PARTS; p++) {
                lathe_prediction_free(&t->predictions[p]);
                t->predictions[p] = (lathe_prediction){0};
            }
        }
    }
    cJSON_Delete(reply);
    return found;
}

static int32_t store_cached(lathe_job *job, const lathe_trained *t, const char *key,
                            lathe_error *err) {
    char sha256[LATHE_SHA256_HEX];
    const char *path = lathe_arena_printf(job->arena, "%s/step-%.16s", job->staging, key);
    if (path == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = lathe_candidate_save(t, path, sha256, err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *question = lathe_link_event("step_put");
    cJSON_AddStringToObject(question, "key", key);
    cJSON_AddStringToObject(question, "path", path);
    cJSON_AddStringToObject(question, "sha256", sha256);
    cJSON *reply = lathe_link_ask(job->link, question, err);
    cJSON_Delete(reply);
    return reply != NULL ? LATHE_OK : err->code;
}

/* ---- all of them ---- */

static void emit_candidate(lathe_job *job, const lathe_trained *t) {
    cJSON *event = lathe_link_event("candidate");
    cJSON_AddStringToObject(event, "name", t->name);
    cJSON_AddStringToObject(event, "status",
                            t->error.code ? "failed"
                            : t->cached   ? "cached"
                                          : "trained");
    cJSON_AddNumberToObject(event, "seconds", t->seconds);
    if (t->error.code != 0)
        cJSON_AddStringToObject(event, "error", t->error.message);
    if (t->scores[PART_VALIDATION].present)
        cJSON_AddItemToObject(event, "validation",
                              lathe_scores_json(job, &t->scores[PART_VALIDATION]));
    if (t->scores[PART_TEST].present)
        cJSON_AddItemToObject(event, "test", lathe_scores_json(job, &t->scores[PART_TEST]));
    lathe_link_emit(job->link, event);
}

/* Everything for one candidate. Only a stop is an error; what else goes wrong stays in t->error. */
static int32_t run_candidate(lathe_job *job, lathe_trained *t, lathe_error *err) {
    const double start = lathe_now_seconds();
    char key[LATHE_SHA256_HEX];
    const char *step = lathe_arena_printf(job->arena, "train/%s", t->name);
    lathe_job_begin(job, step ? step : "train");
    int32_t rc = lathe_digest_candidate(job, t->name, t->component, key, &t->error);
    t->cached = rc == LATHE_OK && load_cached(job, t, key);
    if (rc == LATHE_OK && !t->cached)
        rc = fit_candidate(job, t, &t->error);
    if (rc == LATHE_OK && !t->cached)
        rc = store_cached(job, t, key, &t->error);
    if (rc == LATHE_OK)
        rc = score_candidate(job, t, &t->error);
    if (rc != LATHE_OK && t->error.code == 0)
        t->error.code = rc;
    if (lathe_job_stopped(job))
        return lathe_fail(err, LATHE_E_CANCELLED, job->step, "stopped");
    if (t->error.code == LATHE_E_IO)
        lathe_job_log(job, LATHE_LOG_ERROR, "%s", t->error.message);
    emit_candidate(job, t);
    lathe_job_end(job,
                  rc != LATHE_OK ? "failed"
                  : t->cached    ? "cached"
                                 : "finished",
                  lathe_now_seconds() - start);
    return LATHE_OK;
}

/* The baseline every leaderboard shows, unless the author has one already. */
static int32_t add_baseline(lathe_job *job, lathe_error *err) {
    const lathe_binder binder = {.catalogue = job->catalogue, .task = job->task, .load = true};
    lathe_component *constant = NULL;
    for (size_t i = 0; i < job->n_trained; i++)
        if (strcmp(job->trained[i].component->descriptor->id, "lathe.learner.constant") == 0 ||
            strcmp(job->trained[i].name, "baseline") == 0)
            return LATHE_OK;
    int32_t rc = lathe_bind_text(&binder, LATHE_KIND_LEARNER, "lathe.learner.constant", NULL,
                                 &constant, err);
    if (rc == LATHE_OK)
        job->trained[job->n_trained++] =
            (lathe_trained){.name = "baseline", .component = constant, .baseline = true};
    return rc;
}

static void select_best(lathe_job *job) {
    job->selected = SIZE_MAX;
    for (size_t i = 0; i < job->n_trained; i++) {
        const lathe_trained *t = &job->trained[i];
        if (t->error.code != 0 || !t->scores[PART_VALIDATION].present || t->baseline)
            continue;
        if (job->selected == SIZE_MAX ||
            lathe_score_better(job, t->scores[PART_VALIDATION].values[0],
                               job->trained[job->selected].scores[PART_VALIDATION].values[0]))
            job->selected = i;
    }
}

int32_t lathe_job_train(lathe_job *job, lathe_error *err) {
    const lathe_pipeline *p = job->pipeline;
    job->trained = lathe_arena_array(job->arena, p->n_candidates + 1, sizeof *job->trained);
    if (job->trained == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the candidates");
    for (size_t i = 0; i < p->n_candidates; i++)
        job->trained[job->n_trained++] =
            (lathe_trained){.name = p->candidates[i].name, .component = p->candidates[i].component};
    int32_t rc = add_baseline(job, err);
    for (size_t i = 0; rc == LATHE_OK && i < job->n_trained; i++)
        rc = run_candidate(job, &job->trained[i], err);
    if (rc != LATHE_OK)
        return rc;
    select_best(job);
    if (job->selected == SIZE_MAX)
        return lathe_fail(err, LATHE_E_DATA, "/train/candidates",
                          "every candidate failed; the first: %s", job->trained[0].error.message);
    return LATHE_OK;
}
