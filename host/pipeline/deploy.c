/* The step "deploy": the selected candidate becomes a file, which is stored, loaded back, proven bit-equal, measured,
 * held against the goal, registered, and, where the goal is met, put behind the endpoint. */
#include "base/clock.h"
#include "monitor/outputs.h"
#include "pipeline/predict.h"
#include "pipeline/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_ROWS 2000
#define ALONE_ROWS 16 /* of them also one by one */
#define LATENCY_ROWS 2000

/* The part that gates: test, else validation; with neither, the folds' predictions of the training part. */
static int gate_part(const lathe_job *job) {
    return job->parts[PART_TEST].n > 0 ? PART_TEST : PART_VALIDATION;
}

/* The profile: of the raw training rows, and of the answers on rows that the model was not fitted to. */
static int32_t make_profile(lathe_job *job, cJSON **profile, lathe_error *err) {
    const lathe_prediction *p = &job->trained[job->selected].predictions[gate_part(job)];
    const lathe_answers answers = {p->n, p->value, p->probability, p->label};
    lathe_baseline *baseline = NULL;
    cJSON *outputs = NULL;
    int32_t rc = lathe_baseline_fit(lathe_frame_table(job->parts[PART_TRAIN].raw), &baseline, err);
    if (rc == LATHE_OK && (*profile = lathe_baseline_to_json(baseline)) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the baseline");
    lathe_baseline_free(baseline);
    if (rc == LATHE_OK && p->n > 0)
        rc = lathe_outputs_fit(job->classes, job->n_classes, &answers, &outputs, err);
    if (outputs != NULL)
        cJSON_AddItemToObject(*profile, "outputs", outputs);
    return rc;
}

static int32_t write_model(lathe_job *job, const char *path, char sha256[LATHE_SHA256_HEX],
                           lathe_error *err) {
    const lathe_trained *best = &job->trained[job->selected];
    const lathe_pipeline *p = job->pipeline;
    cJSON *metrics = cJSON_CreateObject(), *extra = cJSON_CreateObject(), *bins = NULL;
    int32_t rc = make_profile(job, &bins, err);
    if (best->scores[PART_VALIDATION].present)
        cJSON_AddItemToObject(metrics, "validation",
                              lathe_scores_json(job, &best->scores[PART_VALIDATION]));
    if (best->scores[PART_TEST].present)
        cJSON_AddItemToObject(metrics, "test", lathe_scores_json(job, &best->scores[PART_TEST]));
    cJSON_AddStringToObject(extra, "candidate", best->name);
    cJSON_AddStringToObject(extra, "data_digest", job->data_key);
    if (best->importance != NULL)
        cJSON_AddItemToObject(extra, "importance", cJSON_Duplicate(best->importance, 1));
    if (job->permutation != NULL)
        cJSON_AddItemToObject(extra, "permutation", cJSON_Duplicate(job->permutation, 1));
    const lathe_model_spec spec = {.name = p->deploy.model,
                                   .target = p->goal.target,
                                   .task = job->task,
                                   .classes = job->classes,
                                   .n_classes = job->n_classes,
                                   .positive = job->positive,
                                   .raw = job->schema,
                                   .chain = job->chain,
                                   .learner = &best->learner,
                                   .document = lathe_json_root(p->doc),
                                   .metrics = metrics,
                                   .baseline = bins,
                                   .extra = extra};
    if (rc == LATHE_OK)
        rc = lathe_model_write(&spec, path, sha256, &job->model_bytes, err);
    cJSON_Delete(bins);
    cJSON_Delete(extra);
    cJSON_Delete(metrics);
    return rc;
}

/* Hands a staged file to the parent, which verifies and commits it. */
static int32_t commit_model(lathe_job *job, const char *path, const char *sha256,
                            lathe_error *err) {
    cJSON *question = lathe_link_event("commit");
    cJSON_AddStringToObject(question, "name", "model.safetensors");
    cJSON_AddStringToObject(question, "path", path);
    cJSON_AddStringToObject(question, "sha256", sha256);
    cJSON *reply = lathe_link_ask(job->link, question, err);
    const cJSON *committed = lathe_json_get(reply, "path");
    int32_t rc = reply ? LATHE_OK : err->code;
    if (reply != NULL && !cJSON_IsString(committed))
        rc = lathe_fail(err, LATHE_E_INTERNAL, NULL, "the parent did not say where the model is");
    if (rc == LATHE_OK) {
        job->model_path = lathe_arena_strdup(job->arena, committed->valuestring);
        memcpy(job->model_sha256, sha256, sizeof job->model_sha256);
    }
    cJSON_Delete(reply);
    return rc;
}

/* The first rows of a frame as a frame of their own. */
static int32_t first_rows(const lathe_frame *frame, int64_t n, lathe_frame **out,
                          lathe_error *err) {
    int64_t *rows = calloc((size_t)n, sizeof *rows);
    if (rows == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a check");
    for (int64_t i = 0; i < n; i++)
        rows[i] = i;
    int32_t rc = lathe_frame_take(frame, rows, n, out, err);
    free(rows);
    return rc;
}

/* Same bits? Compares n rows of a, from row `at` on, with the first n of b. */
static bool same_bits(const lathe_prediction *a, int64_t at, const lathe_prediction *b, int64_t n) {
    const size_t k = (size_t)a->n_classes, rows = (size_t)n;
    if (a->n_classes != b->n_classes)
        return false;
    if (k == 0)
        return memcmp(a->value + at, b->value, rows * sizeof *a->value) == 0;
    return memcmp(a->probability + (size_t)at * k, b->probability, rows * k * sizeof(float)) == 0 &&
           memcmp(a->label + at, b->label, rows * sizeof *a->label) == 0;
}

/* Rows alone must give the bits that they give in a batch. */
static int32_t prove_alone(lathe_job *job, const lathe_model *model, const lathe_frame *rows,
                           const lathe_prediction *batch, lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < batch->n && i < ALONE_ROWS; i++) {
        lathe_frame *one = NULL;
        lathe_prediction alone = {0};
        rc = lathe_frame_take(rows, &i, 1, &one, err);
        if (rc == LATHE_OK)
            rc = lathe_model_predict(model, lathe_frame_table(one), &alone, err);
        if (rc == LATHE_OK && !same_bits(batch, i, &alone, 1))
            rc = lathe_fail(
                err, LATHE_E_STATE, "deploy",
                "the model predicts row %lld alone otherwise than among others; it is not "
                "deployed. A plugin of candidate \"%s\" looks at more than the row",
                (long long)i, job->trained[job->selected].name);
        lathe_prediction_free(&alone);
        lathe_frame_free(one);
    }
    return rc;
}

static double quantile_ms(const int64_t *ns, int64_t n, double q) {
    return (double)ns[(int64_t)((double)(n - 1) * q)] * 1e-6;
}

static int32_t measure_latency(lathe_job *job, const lathe_model *model, const lathe_table *rows,
                               lathe_error *err) {
    int64_t *ns = calloc(LATENCY_ROWS, sizeof *ns);
    if (ns == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the latency test");
    int64_t n = LATENCY_ROWS;
    int32_t rc = lathe_model_latency(model, rows, &n, ns, err);
    if (rc == LATHE_OK) {
        job->latency_rows = n;
        job->latency_p50_ms = quantile_ms(ns, n, 0.5);
        job->latency_p99_ms = quantile_ms(ns, n, 0.99);
    }
    free(ns);
    return rc;
}

/* Loads the stored file as serving will, and compares and measures it on rows of the gate part. */
static int32_t prove(lathe_job *job, int64_t *checked, lathe_error *err) {
    const int p = gate_part(job);
    const lathe_part *part = job->parts[p].n > 0 ? &job->parts[p] : &job->parts[PART_TRAIN];
    lathe_model *model = NULL;
    lathe_frame *rows = NULL;
    lathe_prediction now = {0}, again = {0};
    *checked = part->n < CHECK_ROWS ? part->n : CHECK_ROWS;
    lathe_error why = {0};
    int32_t rc = lathe_model_open(job->runtime, job->model_path, &model, &why);
    if (rc != LATHE_OK)
        return lathe_fail(err, rc, why.where,
                          "the stored model cannot be loaded back and is not deployed: %s",
                          why.message);
    rc = first_rows(part->raw, *checked, &rows, err);
    if (rc == LATHE_OK)
        rc = lathe_model_predict(model, lathe_frame_table(rows), &now, err);
    /* the folds' predictions come from other fits: there the reloaded model is compared with the fitted one */
    const lathe_prediction *expected = &job->trained[job->selected].predictions[p];
    if (rc == LATHE_OK && job->parts[p].n == 0) {
        rc = lathe_job_predict_raw(job, &job->trained[job->selected].learner, rows, &again, err);
        expected = &again;
    }
    if (rc == LATHE_OK && !same_bits(&now, 0, expected, *checked))
        rc = lathe_fail(
            err, LATHE_E_STATE, "deploy",
            "the stored model, loaded back, gives other predictions than the trained one; it is "
            "not deployed. A plugin of candidate \"%s\" does not restore its state",
            job->trained[job->selected].name);
    if (rc == LATHE_OK)
        rc = prove_alone(job, model, rows, &now, err);
    if (rc == LATHE_OK)
        rc = measure_latency(job, model, lathe_frame_table(rows), err);
    lathe_prediction_free(&again);
    lathe_prediction_free(&now);
    lathe_frame_free(rows);
    lathe_model_close(model);
    return rc;
}

static double measured(const lathe_job *job, const lathe_requirement *r) {
    const lathe_trained *best = &job->trained[job->selected];
    const lathe_scores *scores = &best->scores[gate_part(job)];
    switch (r->measure) {
    case LATHE_MEASURE_METRIC:
        return scores->present ? scores->values[r->metric] : NAN;
    case LATHE_MEASURE_LATENCY_P50_MS:
        return job->latency_p50_ms;
    case LATHE_MEASURE_LATENCY_P99_MS:
        return job->latency_p99_ms;
    case LATHE_MEASURE_MODEL_MB:
        return (double)job->model_bytes / 1e6;
    case LATHE_MEASURE_TRAIN_SECONDS:
        return best->seconds;
    }
    return NAN;
}

/* {"met": …, "checks": […]} into the report. */
static const cJSON *check_goal(lathe_job *job) {
    const lathe_goal *goal = &job->pipeline->goal;
    cJSON *section = lathe_job_section(job, "goal");
    cJSON *checks = cJSON_AddArrayToObject(section, "checks");
    job->goal_met = true;
    for (size_t i = 0; i < goal->n_require; i++) {
        const lathe_requirement *r = &goal->require[i];
        double value = measured(job, r);
        bool met = lathe_bound_holds(r->compare, r->bound, value);
        job->goal_met = job->goal_met && met;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "metric", r->name);
        cJSON_AddStringToObject(item, "require", r->text);
        if (isfinite(value))
            cJSON_AddNumberToObject(item, "value", value);
        else
            cJSON_AddNullToObject(item, "value");
        cJSON_AddBoolToObject(item, "met", met);
        cJSON_AddItemToArray(checks, item);
    }
    cJSON_AddBoolToObject(section, "met", job->goal_met);
    return section;
}

static int32_t register_version(lathe_job *job, const cJSON *goal, lathe_error *err) {
    const lathe_pipeline *p = job->pipeline;
    const lathe_trained *best = &job->trained[job->selected];
    const bool move = p->deploy.when == LATHE_DEPLOY_ALWAYS ||
                      (p->deploy.when == LATHE_DEPLOY_GOAL_MET && job->goal_met);
    cJSON *question = lathe_link_event("register");
    cJSON *metrics = cJSON_AddObjectToObject(question, "metrics");
    cJSON_AddStringToObject(question, "model", p->deploy.model);
    cJSON_AddStringToObject(question, "sha256", job->model_sha256);
    if (best->scores[PART_VALIDATION].present)
        cJSON_AddItemToObject(metrics, "validation",
                              lathe_scores_json(job, &best->scores[PART_VALIDATION]));
    if (best->scores[PART_TEST].present)
        cJSON_AddItemToObject(metrics, "test", lathe_scores_json(job, &best->scores[PART_TEST]));
    cJSON_AddItemToObject(question, "goal", cJSON_Duplicate(goal, 1));
    cJSON_AddItemToObject(question, "document", cJSON_Duplicate(lathe_json_root(p->doc), 1));
    cJSON_AddBoolToObject(question, "move", move);
    if (p->deploy.endpoint != NULL)
        cJSON_AddStringToObject(question, "endpoint", p->deploy.endpoint);
    cJSON *reply = lathe_link_ask(job->link, question, err);
    const cJSON *version = lathe_json_get(reply, "version");
    if (reply == NULL)
        return err->code;
    if (cJSON_IsNumber(version))
        job->version = (int64_t)version->valuedouble;
    const char *kept = cJSON_GetStringValue(lathe_json_get(reply, "kept"));
    job->endpoint_moved = move && kept == NULL;
    if (kept != NULL) {
        lathe_job_log(job, LATHE_LOG_WARN, "registered, but nothing serves it yet: %s", kept);
        cJSON_AddStringToObject(lathe_job_section(job, "deploy"), "kept", kept);
    }
    cJSON_Delete(reply);
    return LATHE_OK;
}

static void report_deploy(lathe_job *job, int64_t checked) {
    cJSON *section = lathe_job_section(job, "deploy");
    cJSON_AddStringToObject(section, "model", job->pipeline->deploy.model);
    if (job->version > 0)
        cJSON_AddNumberToObject(section, "version", (double)job->version);
    cJSON_AddStringToObject(section, "sha256", job->model_sha256);
    cJSON_AddNumberToObject(section, "bytes", (double)job->model_bytes);
    cJSON_AddNumberToObject(section, "rows_checked", (double)checked);
    cJSON_AddBoolToObject(section, "bit_equal", true);
    cJSON *latency = cJSON_AddObjectToObject(section, "latency");
    cJSON_AddNumberToObject(latency, "rows", (double)job->latency_rows);
    cJSON_AddNumberToObject(latency, "p50_ms", job->latency_p50_ms);
    cJSON_AddNumberToObject(latency, "p99_ms", job->latency_p99_ms);
    if (job->pipeline->deploy.endpoint != NULL)
        cJSON_AddStringToObject(section, "endpoint", job->pipeline->deploy.endpoint);
    cJSON_AddBoolToObject(section, "moved", job->endpoint_moved);
}

int32_t lathe_job_deploy(lathe_job *job, lathe_error *err) {
    const double start = lathe_now_seconds();
    char sha256[LATHE_SHA256_HEX];
    int64_t checked = 0;
    job->latency_p50_ms = job->latency_p99_ms = NAN;
    lathe_job_begin(job, "deploy");
    const char *path = lathe_arena_printf(job->arena, "%s/model.safetensors", job->staging);
    int32_t rc = path ? write_model(job, path, sha256, err)
                      : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = commit_model(job, path, sha256, err);
    if (rc == LATHE_OK)
        rc = prove(job, &checked, err);
    const cJSON *goal = rc == LATHE_OK ? check_goal(job) : NULL;
    if (rc == LATHE_OK && job->pipeline->deploy.present &&
        job->pipeline->deploy.when != LATHE_DEPLOY_NEVER)
        rc = register_version(job, goal, err);
    if (rc == LATHE_OK)
        report_deploy(job, checked);
    lathe_job_end(job, rc == LATHE_OK ? "finished" : "failed", lathe_now_seconds() - start);
    return rc;
}
