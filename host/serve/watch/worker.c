#include "serve/watch/worker.h"

#include "base/fs.h"
#include "base/json.h"
#include "model/model.h"
#include "monitor/live.h"
#include "monitor/watch.h"
#include "monitor/worse.h"
#include "pipeline/link.h"
#include "pipeline/setup.h"
#include "plugin/bind.h"
#include "plugin/call.h"
#include "serve/slots.h"

#include <lathe/learner.h>
#include <lathe/metric.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOWEST_PRIORITY 19

/* A question under way. */
typedef struct asked {
    lathe_setup setup;
    char *text; /* what was read: a line, then numbers */
    size_t len;
    cJSON *question, *description, *answer;
    const char *numbers; /* [n_numbers], not aligned */
    size_t n_numbers;
    uint64_t key;
} asked;

/* ---- reading ---- */

static int32_t read_all(asked *a, lathe_error *err) {
    lathe_buf buf = {0};
    ssize_t n = 0;
    while (lathe_buf_reserve(&buf, 65536) &&
           (n = read(STDIN_FILENO, buf.data + buf.len, 65536)) > 0)
        buf.len += (size_t)n;
    a->text = buf.data;
    a->len = buf.len;
    return n < 0 || buf.failed ? lathe_fail(err, LATHE_E_IO, NULL, "the question cannot be read")
                               : LATHE_OK;
}

static size_t count_of(const cJSON *object, const char *name) {
    const cJSON *node = lathe_json_get(object, name);
    return cJSON_IsNumber(node) && node->valuedouble >= 0 && node->valuedouble < 1e9
               ? (size_t)node->valuedouble
               : 0;
}

static int32_t read_question(asked *a, lathe_error *err) {
    int32_t rc = read_all(a, err);
    const char *line = rc == LATHE_OK && a->len > 0 ? memchr(a->text, '\n', a->len) : NULL;
    if (rc == LATHE_OK && line != NULL)
        a->question = cJSON_ParseWithLength(a->text, (size_t)(line - a->text));
    const char *path = cJSON_GetStringValue(lathe_json_get(a->question, "model"));
    if (rc == LATHE_OK && path == NULL)
        rc = lathe_fail(err, LATHE_E_DATA, NULL, "the question is none");
    if (rc != LATHE_OK)
        return rc;
    a->numbers = line + 1;
    a->n_numbers = (a->len - (size_t)(a->numbers - a->text)) / sizeof(double);
    a->key = (uint64_t)count_of(a->question, "key");
    return lathe_model_describe(path, &a->description, err);
}

/* The next n numbers, malloc'ed. */
static double *take_numbers(asked *a, size_t n, lathe_error *err) {
    double *out = n <= a->n_numbers ? malloc((n + 1) * sizeof *out) : NULL;
    if (out == NULL) {
        lathe_fail(err, LATHE_E_DATA, NULL, "the question has %zu numbers less than it should",
                   n > a->n_numbers ? n - a->n_numbers : 0);
        return NULL;
    }
    memcpy(out, a->numbers, n * sizeof *out);
    a->numbers += n * sizeof *out;
    a->n_numbers -= n;
    return out;
}

/* ---- drift ---- */

static cJSON *score_json(const lathe_drift_finding *f) {
    cJSON *out = cJSON_CreateObject();
    const bool there = f->code == LATHE_OK && isfinite(f->result.statistic);
    cJSON_AddStringToObject(out, "metric", f->measure);
    if (!there) {
        cJSON_AddNullToObject(out, "statistic");
        return out;
    }
    cJSON_AddNumberToObject(out, "statistic", f->result.statistic);
    if (isfinite(f->result.p_value))
        cJSON_AddNumberToObject(out, "p_value", f->result.p_value);
    if (isfinite(f->result.threshold))
        cJSON_AddNumberToObject(out, "threshold", f->result.threshold);
    cJSON_AddBoolToObject(out, "beyond", f->result.alert != 0);
    if (f->by_chance)
        cJSON_AddTrueToObject(out, "by_chance");
    return out;
}

static cJSON *findings_json(const lathe_drift_finding *found, size_t n) {
    cJSON *out = cJSON_CreateArray(), *scores = NULL;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(found[i].feature, found[i - 1].feature) != 0) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "name", found[i].feature);
            cJSON_AddNumberToObject(item, "present", found[i].present);
            scores = cJSON_AddArrayToObject(item, "scores");
            cJSON_AddItemToArray(out, item);
        }
        cJSON_AddItemToArray(scores, score_json(&found[i]));
    }
    return out;
}

/* Statistics of several measures are compared by how many times their thresholds they are. */
static double times_limit(const lathe_drift_finding *found) {
    const double threshold = found->result.threshold;
    return found->result.statistic / (threshold > 1e-12 ? threshold : 1e-12);
}

/* Of those that are beyond the limit the furthest, else the furthest. */
static cJSON *worst_json(const lathe_drift_finding *found, size_t n) {
    const lathe_drift_finding *worst = NULL;
    bool beyond = false;
    for (size_t i = 0; i < n; i++) {
        const bool is = found[i].result.alert != 0 && !found[i].by_chance;
        if (found[i].code == LATHE_OK &&
            (worst == NULL || is > beyond ||
             (is == beyond && times_limit(&found[i]) > times_limit(worst)))) {
            worst = &found[i];
            beyond = is;
        }
    }
    cJSON *out = cJSON_CreateObject();
    if (worst != NULL) {
        cJSON_AddStringToObject(out, "name", worst->feature);
        cJSON_AddStringToObject(out, "metric", worst->measure);
        cJSON_AddNumberToObject(out, "statistic", worst->result.statistic);
        cJSON_AddNumberToObject(out, "threshold", worst->result.threshold);
    }
    cJSON_AddBoolToObject(out, "beyond", beyond);
    return out;
}

/* The counts of a baseline against it, by some measures. */
static int32_t compare(const asked *a, const lathe_baseline *baseline,
                       const lathe_live_total *total, const lathe_component *const *measures,
                       size_t n, bool worst, cJSON **out, lathe_error *err) {
    const lathe_drift_finding *found;
    size_t n_found;
    lathe_watch *watch = NULL;
    int32_t rc = lathe_watch_new(a->setup.runtime, baseline, measures, n, &watch, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_watch_doubt(watch, a->key);
    lathe_live_window(total, NULL, lathe_watch_window(watch));
    rc = lathe_watch_close(watch, &found, &n_found, err);
    if (rc == LATHE_OK)
        *out = worst ? worst_json(found, n_found) : findings_json(found, n_found);
    lathe_watch_free(watch);
    return rc;
}

static int32_t bind_measures(asked *a, const cJSON *list, const lathe_component ***measures,
                             size_t *n, lathe_error *err) {
    const lathe_binder binder = {.catalogue = a->setup.catalogue, .load = true};
    const cJSON *use;
    int32_t rc = LATHE_OK;
    *n = 0;
    *measures = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof **measures);
    if (*measures == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    cJSON_ArrayForEach(use, list) {
        char *text = cJSON_PrintUnformatted(use);
        lathe_component *one = NULL;
        rc = text ? lathe_bind_use(&binder, LATHE_KIND_DRIFT, text, &one, err)
                  : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
        cJSON_free(text);
        if (rc != LATHE_OK)
            break;
        (*measures)[(*n)++] = one;
    }
    return rc;
}

/* By a list of measures; what came out goes into `into`. */
static int32_t by_measures(asked *a, const cJSON *list, bool worst, cJSON *into, const char *name,
                           const lathe_baseline *baseline, const lathe_live_total *total,
                           lathe_error *err) {
    const lathe_component **measures = NULL;
    size_t n = 0;
    cJSON *out = NULL;
    int32_t rc = bind_measures(a, list, &measures, &n, err);
    if (rc == LATHE_OK)
        rc = compare(a, baseline, total, measures, n, worst, &out, err);
    if (out != NULL)
        cJSON_AddItemToObject(into, name, out);
    for (size_t i = 0; i < n; i++)
        lathe_component_free(measures[i]);
    free(measures);
    return rc;
}

static int32_t by_document(asked *a, const char *name, const lathe_baseline *baseline,
                           const lathe_live_total *total, lathe_error *err) {
    const cJSON *document = lathe_json_get(a->description, "document");
    const cJSON *list = lathe_json_get(lathe_json_get(document, "monitor"), "drift");
    return by_measures(a, list, false, a->answer, name, baseline, total, err);
}

static int32_t by_guard(asked *a, const char *name, const lathe_baseline *baseline,
                        const lathe_live_total *total, lathe_error *err) {
    const cJSON *list = lathe_json_get(lathe_json_get(a->question, "guards"), name);
    cJSON *guards = cJSON_GetObjectItemCaseSensitive(a->answer, "guards");
    if (!cJSON_IsArray(list))
        return LATHE_OK;
    if (guards == NULL)
        guards = cJSON_AddObjectToObject(a->answer, "guards");
    return by_measures(a, list, true, guards, name, baseline, total, err);
}

/* Features or answers: their counts follow in the question. */
static int32_t look(asked *a, const cJSON *json, const char *counted, size_t limit,
                    const char *name, const char *guard, lathe_error *err) {
    const size_t n = count_of(a->question, counted);
    lathe_baseline *baseline = NULL;
    lathe_live *live = NULL;
    lathe_live_total *total = NULL;
    double *cells = NULL;
    if (n == 0)
        return LATHE_OK;
    int32_t rc = lathe_baseline_from_json(json, &baseline, err);
    if (rc == LATHE_OK)
        rc = lathe_live_new(baseline, NULL, limit, &live, err);
    if (rc == LATHE_OK && (total = lathe_live_total_new(live)) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    if (rc == LATHE_OK && (int64_t)n != lathe_live_cells(live))
        rc = lathe_fail(err, LATHE_E_DATA, NULL, "the counts are not those of this model");
    if (rc == LATHE_OK && (cells = take_numbers(a, n, err)) == NULL)
        rc = err->code;
    if (rc == LATHE_OK)
        rc = lathe_live_total_load(total, cells, err);
    if (rc == LATHE_OK && cJSON_IsTrue(lathe_json_get(a->question, "drift")))
        rc = by_document(a, name, baseline, total, err);
    if (rc == LATHE_OK)
        rc = by_guard(a, guard, baseline, total, err);
    free(cells);
    lathe_live_total_free(total);
    lathe_live_free(live);
    lathe_baseline_free(baseline);
    return rc;
}

/* ---- quality ---- */

/* The goal's metric. */
static int32_t bind_metric(const asked *a, int32_t task, lathe_component **metric,
                           lathe_error *err) {
    const lathe_binder binder = {.catalogue = a->setup.catalogue, .task = task, .load = true};
    const cJSON *goal = lathe_json_get(lathe_json_get(a->description, "document"), "goal");
    const cJSON *named = lathe_json_get(goal, "metric");
    if (named == NULL)
        return lathe_bind_text(&binder, LATHE_KIND_METRIC,
                               task == LATHE_TASK_REGRESSION ? "rmse" : "accuracy", NULL, metric,
                               err);
    char *text = cJSON_PrintUnformatted(named);
    const int32_t rc = text ? lathe_bind_use(&binder, LATHE_KIND_METRIC, text, metric, err)
                            : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    cJSON_free(text);
    return rc;
}

/* Rows as the metric wants them: truth, prediction, probabilities, each in a piece. malloc'ed. */
static double *take_columns(asked *a, size_t rows, size_t width, lathe_error *err) {
    double *numbers = take_numbers(a, rows * width, err);
    double *columns = numbers ? malloc((rows * width + 1) * sizeof *columns) : NULL;
    for (size_t i = 0; columns != NULL && i < rows; i++) {
        columns[i] = numbers[i * width];
        columns[rows + i] = numbers[i * width + 1];
        for (size_t k = 2; k < width; k++)
            columns[2 * rows + i * (width - 2) + k - 2] = numbers[i * width + k];
    }
    free(numbers);
    return columns;
}

/* One side; NaN: the metric, or its error (NULL: not asked), is undefined for it. */
static int32_t measure(asked *a, const lathe_instance *metric, const lathe_metric_input *like,
                       size_t rows, size_t width, double *value, double *error, lathe_error *err) {
    double *columns = take_columns(a, rows, width, err);
    lathe_metric_input in = *like;
    *value = (double)NAN;
    if (columns == NULL)
        return lathe_fail(err, LATHE_E_DATA, NULL, "no labelled rows");
    in.n = (int64_t)rows;
    in.target = columns;
    in.prediction = columns + rows;
    in.probability = width > 2 ? columns + 2 * rows : NULL;
    int32_t rc = rows > 0 ? lathe_call_metric(metric, &in, value, err) : LATHE_OK;
    if (rc == LATHE_E_DATA)
        rc = LATHE_OK;
    if (rc == LATHE_OK && error != NULL)
        rc = lathe_metric_error(metric, &in, a->key, error, err);
    free(columns);
    return rc;
}

static cJSON *number_or_null(double value) {
    return isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

/* What every side has in common. */
static lathe_metric_input input_of(const asked *a) {
    const cJSON *positive = lathe_json_get(a->description, "positive");
    const int n_classes = cJSON_GetArraySize(lathe_json_get(a->description, "classes"));
    return (lathe_metric_input){
        .struct_size = LATHE_SIZED(lathe_metric_input),
        .task = n_classes == 0   ? LATHE_TASK_REGRESSION
                : n_classes == 2 ? LATHE_TASK_BINARY
                                 : LATHE_TASK_MULTICLASS,
        .n_classes = n_classes,
        .positive = cJSON_IsNumber(positive) ? (int64_t)positive->valuedouble : n_classes == 2};
}

static int32_t score_sides(asked *a, const cJSON *quality, const lathe_instance *metric,
                           lathe_error *err) {
    const cJSON *side;
    const bool with_errors = cJSON_IsTrue(lathe_json_get(quality, "errors"));
    const lathe_metric_input like = input_of(a);
    cJSON *out = cJSON_AddObjectToObject(a->answer, "quality");
    cJSON *values = cJSON_AddArrayToObject(out, "values");
    cJSON *errors = cJSON_AddArrayToObject(out, "errors");
    int32_t rc = LATHE_OK;
    cJSON_AddStringToObject(out, "metric", metric->descriptor->name);
    cJSON_AddBoolToObject(out, "higher_is_better",
                          (metric->descriptor->flags & LATHE_METRIC_HIGHER_IS_BETTER) != 0);
    cJSON_ArrayForEach(side, lathe_json_get(quality, "sides")) {
        double value, error = (double)NAN;
        a->key++; /* the sides' draws are independent */
        rc = measure(a, metric, &like, count_of(side, "rows"), count_of(quality, "width"), &value,
                     with_errors ? &error : NULL, err);
        if (rc != LATHE_OK)
            break;
        cJSON_AddItemToArray(values, number_or_null(value));
        cJSON_AddItemToArray(errors, number_or_null(error));
    }
    return rc;
}

static int32_t score(asked *a, lathe_error *err) {
    const cJSON *quality = lathe_json_get(a->question, "quality");
    lathe_component *component = NULL;
    lathe_instance metric = {0};
    if (quality == NULL)
        return LATHE_OK;
    int32_t rc = bind_metric(a, input_of(a).task, &component, err);
    if (rc == LATHE_OK)
        rc = lathe_instance_create(a->setup.runtime, component, 0, NULL, &metric, err);
    if (rc == LATHE_OK) {
        rc = score_sides(a, quality, &metric, err);
        lathe_instance_destroy(&metric);
    }
    lathe_component_free(component);
    return rc;
}

/* ---- all ---- */

static int32_t answer(asked *a, lathe_error *err) {
    const cJSON *baseline = lathe_json_get(a->description, "baseline");
    int32_t rc = look(a, baseline, "cells", LATHE_SLOTS_FEATURES, "features", "feature_drift", err);
    if (rc == LATHE_OK)
        rc = look(a, lathe_json_get(baseline, "outputs"), "outputs", LATHE_SLOTS_OUTPUTS, "outputs",
                  "output_drift", err);
    return rc == LATHE_OK ? score(a, err) : rc;
}

static bool send(int fd, const cJSON *tree) {
    lathe_buf text = {0};
    lathe_json_print(NULL, tree, &text);
    bool good = !text.failed;
    for (size_t at = 0; good && at < text.len;) {
        const ssize_t n = write(fd, text.data + at, text.len - at);
        good = n > 0;
        at += n > 0 ? (size_t)n : 0;
    }
    lathe_buf_free(&text);
    return good;
}

int lathe_worker_watch(void) {
    asked a = {.answer = cJSON_CreateObject()};
    lathe_error err = {0};
    setpriority(PRIO_PROCESS, 0, LOWEST_PRIORITY);
    const int fd = lathe_link_hide_events();
    a.setup.crumbs = lathe_setup_crumbs();
    int32_t rc = read_question(&a, &err);
    const lathe_setup_options options = {
        .threads = 1,
        .plugin_cache = cJSON_GetStringValue(lathe_json_get(a.question, "plugin_cache"))};
    if (rc == LATHE_OK)
        rc = lathe_setup_open(&a.setup, &options, &err);
    if (rc == LATHE_OK)
        rc = answer(&a, &err);
    bool good = rc == LATHE_OK && send(fd, a.answer);
    if (rc != LATHE_OK)
        fprintf(stderr, "lathe: %s%s%s\n", err.where, err.where[0] ? ": " : "", err.message);
    if (a.setup.runtime != NULL)
        lathe_setup_close(&a.setup);
    cJSON_Delete(a.answer);
    cJSON_Delete(a.description);
    cJSON_Delete(a.question);
    free(a.text);
    return good ? 0 : 1;
}
