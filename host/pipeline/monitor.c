/* The step "monitor": later data, in windows, through the deployed model: drift per feature and realised quality. */
#include "base/clock.h"
#include "base/rng.h"
#include "monitor/watch.h"
#include "pipeline/job.h"
#include "pipeline/score.h"
#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A replay under way. */
typedef struct replay {
    lathe_job *job;
    lathe_model *model;
    lathe_baseline *baseline;
    lathe_watch *watch;
    lathe_instance source;
    void *stream;
    double reference; /* the goal metric at deployment */
    cJSON *windows, *alerts;
    int64_t index, first_row;
} replay;

static void add_alert(replay *r, const char *kind, const char *feature, const char *text) {
    const lathe_job *job = r->job;
    cJSON *alert = cJSON_CreateObject();
    cJSON_AddStringToObject(alert, "severity", "warning");
    cJSON_AddStringToObject(alert, "kind", kind);
    cJSON_AddStringToObject(alert, "message", text);
    cJSON_AddStringToObject(alert, "model", job->pipeline->deploy.model);
    cJSON_AddNumberToObject(alert, "version", (double)job->version);
    if (job->pipeline->deploy.endpoint != NULL)
        cJSON_AddStringToObject(alert, "endpoint", job->pipeline->deploy.endpoint);
    if (feature != NULL)
        cJSON_AddStringToObject(alert, "feature", feature);
    cJSON_AddNumberToObject(alert, "window", (double)r->index);
    cJSON_AddItemToArray(r->alerts, alert);
}

/* The true values of a window as metrics take them; *n_known of them are known, the rest NaN. malloc'ed. */
static double *window_truth(const lathe_job *job, lathe_frame *frame, int64_t *n_known) {
    const int64_t n = lathe_frame_rows(frame);
    const int64_t at = lathe_frame_find(frame, job->pipeline->goal.target);
    *n_known = 0;
    if (at < 0)
        return NULL;
    double *truth = calloc((size_t)n + 1, sizeof *truth);
    int32_t rc = job->n_classes > 0 ? lathe_frame_to_category(frame, at, NULL)
                                    : lathe_frame_to_float64(frame, at, NULL);
    const lathe_column *c = &lathe_frame_table(frame)->columns[at];
    for (int64_t i = 0; truth != NULL && i < n; i++) {
        truth[i] = NAN;
        if (rc != LATHE_OK || lathe_is_missing(c, i))
            continue;
        if (job->n_classes == 0) {
            truth[i] = ((const double *)c->values)[i];
        } else {
            const int32_t code = ((const int32_t *)c->values)[i];
            const lathe_str name = code >= 0 ? c->dict[code] : (lathe_str){"", 0};
            for (int64_t k = 0; k < job->n_classes; k++)
                if ((int64_t)strlen(job->classes[k]) == name.len &&
                    memcmp(job->classes[k], name.ptr, (size_t)name.len) == 0)
                    truth[i] = (double)k;
        }
        *n_known += !isnan(truth[i]);
    }
    return truth;
}

/* Keeps of a prediction the rows whose truth is known, in place; returns how many. */
static int64_t keep_known(lathe_prediction *p, double *truth) {
    const size_t k = (size_t)p->n_classes;
    int64_t m = 0;
    for (int64_t i = 0; i < p->n; i++) {
        if (isnan(truth[i]))
            continue;
        truth[m] = truth[i];
        if (k == 0) {
            p->value[m] = p->value[i];
        } else {
            p->label[m] = p->label[i];
            memmove(p->probability + (size_t)m * k, p->probability + (size_t)i * k,
                    k * sizeof(float));
        }
        m++;
    }
    return p->n = m;
}

static int32_t score_window(replay *r, lathe_frame *frame, cJSON *out, lathe_error *err) {
    lathe_job *job = r->job;
    lathe_prediction prediction = {0};
    lathe_scores scores = {0};
    int64_t known = 0;
    int32_t rc = lathe_model_predict(r->model, lathe_frame_table(frame), &prediction, err);
    double *truth = rc == LATHE_OK ? window_truth(job, frame, &known) : NULL;
    if (rc == LATHE_OK && known > 0) {
        int64_t n = keep_known(&prediction, truth);
        rc = lathe_score(job, n, truth, NULL, &prediction, &scores, err);
    }
    if (rc == LATHE_OK && scores.present) {
        cJSON_AddItemToObject(out, "quality", lathe_scores_json(job, &scores));
        const double drop = job->pipeline->monitor.quality_drop;
        const lathe_metric_use *metric = &job->pipeline->goal.metrics[0];
        const double worse = metric->higher_is_better ? r->reference - scores.values[0]
                                                      : scores.values[0] - r->reference;
        if (worse > drop) {
            char text[200];
            snprintf(text, sizeof text, "%s is %.4g in window %lld; it was %.4g at deployment",
                     metric->name, scores.values[0], (long long)r->index, r->reference);
            add_alert(r, "quality", NULL, text);
        }
    }
    free(truth);
    lathe_prediction_free(&prediction);
    return rc;
}

/* {"psi": {"age": {"statistic": …, "alert": …}, …}} */
static void add_findings(replay *r, const lathe_drift_finding *found, size_t n, cJSON *out) {
    cJSON *drift = cJSON_AddObjectToObject(out, "drift");
    for (size_t i = 0; i < n; i++) {
        cJSON *measure = lathe_json_get(drift, found[i].measure);
        if (measure == NULL)
            measure = cJSON_AddObjectToObject(drift, found[i].measure);
        cJSON *item = cJSON_AddObjectToObject(measure, found[i].feature);
        if (found[i].code != LATHE_OK || !isfinite(found[i].result.statistic)) {
            cJSON_AddNullToObject(item, "statistic");
            continue;
        }
        cJSON_AddNumberToObject(item, "statistic", found[i].result.statistic);
        if (isfinite(found[i].result.p_value))
            cJSON_AddNumberToObject(item, "p_value", found[i].result.p_value);
        cJSON_AddBoolToObject(item, "alert", found[i].result.alert != 0);
        if (found[i].result.alert) {
            char text[256];
            snprintf(text, sizeof text, "%s of \"%.100s\" is %.4g in window %lld, beyond %.4g",
                     found[i].measure, found[i].feature, found[i].result.statistic,
                     (long long)r->index, found[i].result.threshold);
            add_alert(r, "drift", found[i].feature, text);
        }
    }
}

static int32_t close_window(replay *r, lathe_frame *frame, lathe_error *err) {
    const lathe_drift_finding *found;
    size_t n_found = 0;
    lathe_frame *raw = NULL;
    cJSON *out = cJSON_CreateObject();
    const int alerts_before = cJSON_GetArraySize(r->alerts);
    cJSON_AddNumberToObject(out, "index", (double)r->index);
    cJSON_AddNumberToObject(out, "first_row", (double)r->first_row);
    cJSON_AddNumberToObject(out, "rows", (double)lathe_frame_rows(frame));
    cJSON_AddItemToArray(r->windows, out);
    int32_t rc = lathe_schema_recode(r->job->schema, lathe_frame_table(frame),
                                     lathe_frame_row_id(frame), &raw, err);
    if (rc == LATHE_OK)
        rc = lathe_watch_add(r->watch, lathe_frame_table(raw), err);
    if (rc == LATHE_OK)
        rc = lathe_watch_close(r->watch, &found, &n_found, err);
    if (rc == LATHE_OK) {
        add_findings(r, found, n_found, out);
        rc = score_window(r, frame, out, err);
    }
    cJSON_AddNumberToObject(out, "alerts", cJSON_GetArraySize(r->alerts) - alerts_before);
    lathe_frame_free(raw);
    if (rc == LATHE_OK) {
        cJSON *event = lathe_link_event("window");
        cJSON_AddItemToObject(event, "window", cJSON_Duplicate(out, 1));
        lathe_link_emit(r->job->link, event);
    }
    return rc;
}

/* The next window's rows; *frame NULL at the end. */
static int32_t read_window(replay *r, const lathe_table *schema, lathe_frame **frame,
                           lathe_error *err) {
    const int64_t want = r->job->pipeline->monitor.window;
    int32_t rc = lathe_frame_begin(schema, frame, err);
    int64_t have = 0;
    while (rc == LATHE_OK && have < want) {
        lathe_table block = {0};
        if (lathe_job_stopped(r->job)) {
            rc = lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped");
            break;
        }
        rc = lathe_call_source_next(&r->source, r->stream, want - have, &block, err);
        if (rc != LATHE_OK || block.n_rows == 0)
            break;
        rc = lathe_frame_append(*frame, &block, err);
        have += block.n_rows;
    }
    if (rc == LATHE_OK)
        rc = lathe_frame_finish(*frame, err);
    if (rc != LATHE_OK || have == 0) {
        lathe_frame_free(*frame);
        *frame = NULL;
    }
    return rc;
}

static int32_t replay_all(replay *r, lathe_error *err) {
    const lathe_table *schema = NULL;
    int32_t rc = lathe_call_source_schema(&r->source, r->stream, &schema, err);
    while (rc == LATHE_OK) {
        lathe_frame *frame = NULL;
        rc = read_window(r, schema, &frame, err);
        if (rc != LATHE_OK || frame == NULL)
            break;
        rc = close_window(r, frame, err);
        r->first_row += lathe_frame_rows(frame);
        r->index++;
        lathe_frame_free(frame);
    }
    return rc;
}

static int32_t open_replay(replay *r, lathe_error *err) {
    lathe_job *job = r->job;
    const lathe_monitor_stage *stage = &job->pipeline->monitor;
    int32_t rc = lathe_model_open(job->runtime, job->model_path, &r->model, err);
    cJSON *baseline = NULL;
    if (rc == LATHE_OK)
        rc = lathe_model_document(r->model, LATHE_MODEL_BASELINE, &baseline, err);
    if (rc == LATHE_OK)
        rc = lathe_baseline_from_json(baseline, &r->baseline, err);
    cJSON_Delete(baseline);
    if (rc == LATHE_OK)
        rc = lathe_watch_new(job->runtime, r->baseline, stage->drift, stage->n_drift, &r->watch,
                             err);
    if (rc == LATHE_OK)
        rc = lathe_instance_create(job->runtime, stage->replay, 0, NULL, &r->source, err);
    if (rc == LATHE_OK)
        rc = lathe_call_source_open(&r->source, &r->stream, err);
    return rc;
}

static int32_t send_alerts(lathe_job *job, const cJSON *alerts, lathe_error *err) {
    if (cJSON_GetArraySize(alerts) == 0)
        return LATHE_OK;
    cJSON *question = lathe_link_event("alerts");
    cJSON_AddItemToObject(question, "alerts", cJSON_Duplicate(alerts, 1));
    cJSON *reply = lathe_link_ask(job->link, question, err);
    cJSON_Delete(reply);
    return reply != NULL ? LATHE_OK : err->code;
}

int32_t lathe_job_monitor(lathe_job *job, lathe_error *err) {
    const double start = lathe_now_seconds();
    const lathe_trained *best = &job->trained[job->selected];
    const int gate = best->scores[PART_TEST].present ? PART_TEST : PART_VALIDATION;
    if (job->pipeline->monitor.replay == NULL)
        return LATHE_OK;
    lathe_job_begin(job, "monitor");
    cJSON *section = lathe_job_section(job, "monitor");
    replay r = {.job = job,
                .reference = best->scores[gate].present ? best->scores[gate].values[0] : NAN,
                .windows = cJSON_AddArrayToObject(section, "windows"),
                .alerts = cJSON_AddArrayToObject(section, "alerts")};
    cJSON_AddNumberToObject(section, "window", (double)job->pipeline->monitor.window);
    cJSON_AddStringToObject(section, "metric", job->pipeline->goal.metrics[0].name);
    if (isfinite(r.reference))
        cJSON_AddNumberToObject(section, "reference", r.reference);
    int32_t rc = open_replay(&r, err);
    if (rc == LATHE_OK)
        rc = replay_all(&r, err);
    if (rc == LATHE_OK)
        rc = send_alerts(job, r.alerts, err);
    if (r.stream != NULL)
        lathe_call_source_close(&r.source, r.stream);
    lathe_instance_destroy(&r.source);
    lathe_watch_free(r.watch);
    lathe_baseline_free(r.baseline);
    lathe_model_close(r.model);
    if (rc != LATHE_OK)
        lathe_error_wrap(err, "/monitor/replay");
    lathe_job_end(job, rc == LATHE_OK ? "finished" : "failed", lathe_now_seconds() - start);
    return rc;
}
