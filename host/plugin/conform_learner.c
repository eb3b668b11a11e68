/* Checks of learners and ensembles: fitted to small data of each task that they serve. */
#include "plugin/conform_internal.h"

#include "data/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 96
#define FEATURES 3
#define MAX_OUT 8

static const float *matrix(void) {
    static float x[ROWS * FEATURES];
    for (int i = 0; i < ROWS; i++) {
        x[i * FEATURES] = (float)(i % 12) * 0.5f - 3.0f;
        x[i * FEATURES + 1] = (float)(i * 29 % ROWS) / 48.0f - 1.0f;
        x[i * FEATURES + 2] = (float)(i * 53 % 17) * 0.25f;
    }
    return x;
}

/* The target depends on the first two features. */
static int32_t make_data(const conform *c, lathe_dataset **data, lathe_error *err) {
    static const lathe_feature features[] = {{"a", LATHE_FEATURE_NUMERIC, 0},
                                             {"b", LATHE_FEATURE_NUMERIC, 0},
                                             {"c", LATHE_FEATURE_NUMERIC, 0}};
    float target[ROWS];
    const float *x = matrix();
    for (int i = 0; i < ROWS; i++) {
        const float sum = x[i * FEATURES] + 2 * x[i * FEATURES + 1];
        target[i] = c->task == LATHE_TASK_REGRESSION ? sum + 10.0f
                    : c->task == LATHE_TASK_BINARY   ? (float)(sum > 0)
                                                     : (float)((sum > -1) + (sum > 1));
    }
    const lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                                     .task = c->task,
                                     .n_rows = ROWS,
                                     .n_features = FEATURES,
                                     .n_classes = c->task == LATHE_TASK_REGRESSION ? 0
                                                  : c->task == LATHE_TASK_BINARY   ? 2
                                                                                   : 3,
                                     .features = features,
                                     .matrix = x,
                                     .stride = FEATURES,
                                     .target = target};
    return lathe_dataset_make(NULL, &spec, data, err);
}

/* A fitted instance, in a context that is closed again. */
static int32_t fit(conform *c, const lathe_dataset *data, uint64_t key, lathe_instance *out,
                   lathe_error *err) {
    const lathe_binder binder = {
        .catalogue = lathe_runtime_catalogue(c->runtime), .task = c->task, .load = true};
    const lathe_open open = {.struct_size = LATHE_SIZED(lathe_open),
                             .task = c->task,
                             .n_classes = lathe_dataset_classes(data),
                             .data = data};
    const lathe_fit how = {.struct_size = LATHE_SIZED(lathe_fit), .key = key};
    lathe_component *component = NULL;
    void *context = NULL;
    *out = (lathe_instance){0};
    int32_t rc =
        lathe_bind_text(&binder, c->d->kind, c->d->id, c->options->params, &component, err);
    if (rc == LATHE_OK) /* the adapter comes in front where the plugin does not take the data */
        rc = lathe_instance_create(c->runtime, component, 0, data, out, err);
    lathe_component_free(component);
    if (rc == LATHE_OK)
        rc = lathe_call_open(out, &open, &context, err);
    if (rc == LATHE_OK) {
        rc = lathe_call_fit(out, context, &how, err);
        lathe_call_close(out, context);
    }
    return rc;
}

static int32_t predict(const lathe_instance *m, int64_t *n_outputs, float *out, lathe_error *err) {
    lathe_output shape = {.struct_size = LATHE_SIZED(lathe_output)};
    int32_t rc = lathe_call_output(m, &shape, err);
    *n_outputs = shape.n_outputs;
    if (rc == LATHE_OK && shape.n_outputs > MAX_OUT)
        return conform_fault(err, "%lld outputs a row", (long long)shape.n_outputs);
    return rc == LATHE_OK ? lathe_call_predict(m, ROWS, matrix(), FEATURES, out, err) : rc;
}

typedef int32_t (*on_fitted)(conform *c, const lathe_dataset *data, const lathe_instance *m,
                             int64_t n_outputs, const float *out, lathe_error *err);

/* Fits, predicts the training rows, and lets `check` look. */
static int32_t with_fitted(conform *c, on_fitted check, lathe_error *err) {
    lathe_dataset *data = NULL;
    lathe_instance m = {0};
    float out[ROWS * MAX_OUT];
    int64_t n = 0;
    int32_t rc = make_data(c, &data, err);
    if (rc == LATHE_OK)
        rc = fit(c, data, 7, &m, err);
    if (rc == LATHE_OK)
        rc = predict(&m, &n, out, err);
    if (rc == LATHE_OK)
        rc = check(c, data, &m, n, out, err);
    lathe_instance_destroy(&m);
    lathe_dataset_release(data);
    return rc;
}

static int32_t check_outputs(conform *c, const lathe_dataset *data, const lathe_instance *m,
                             int64_t n, const float *out, lathe_error *err) {
    lathe_output shape = {.struct_size = LATHE_SIZED(lathe_output)};
    const int32_t rc = lathe_call_output(m, &shape, err);
    const int64_t expected = c->task == LATHE_TASK_MULTICLASS ? 3 : 1;
    (void)data;
    if (rc != LATHE_OK)
        return rc;
    if (n != expected)
        return conform_fault(err, "%lld outputs a row; expected %lld", (long long)n,
                             (long long)expected);
    if (shape.n_features != FEATURES)
        return conform_fault(err, "it reads %lld features of a row; the data has %d",
                             (long long)shape.n_features, FEATURES);
    for (int64_t i = 0; i < ROWS * n; i++)
        if (!isfinite(out[i]) ||
            (shape.type == LATHE_OUTPUT_PROBABILITY && (out[i] < 0 || out[i] > 1)))
            return conform_fault(err, "row %lld: it predicts %g", (long long)(i / n),
                                 (double)out[i]);
    return LATHE_OK;
}

static int32_t check_alone(conform *c, const lathe_dataset *data, const lathe_instance *m,
                           int64_t n, const float *out, lathe_error *err) {
    float one[MAX_OUT];
    int32_t rc = LATHE_OK;
    (void)c;
    (void)data;
    for (int64_t i = 0; rc == LATHE_OK && i < ROWS; i++) {
        rc = lathe_call_predict(m, 1, matrix() + i * FEATURES, FEATURES, one, err);
        for (int64_t k = 0; rc == LATHE_OK && k < n; k++)
            if (!conform_same_float(one[k], out[i * n + k]))
                return conform_fault(err, "row %lld gives %.9g among others and %.9g alone",
                                     (long long)i, (double)out[i * n + k], (double)one[k]);
    }
    return rc;
}

static int32_t same_as(const lathe_instance *other, int64_t n, const float *out, const char *what,
                       lathe_error *err) {
    float again[ROWS * MAX_OUT];
    int64_t n_again;
    const int32_t rc = predict(other, &n_again, again, err);
    for (int64_t i = 0; rc == LATHE_OK && i < ROWS * n; i++)
        if (n_again != n || !conform_same_float(again[i], out[i]))
            return conform_fault(err, "%s, row %lld gives %.9g instead of %.9g", what,
                                 (long long)(i / n), (double)again[i], (double)out[i]);
    return rc;
}

static int32_t check_saved(conform *c, const lathe_dataset *data, const lathe_instance *m,
                           int64_t n, const float *out, lathe_error *err) {
    lathe_instance other;
    (void)data;
    int32_t rc = conform_reload(c, m, &other, err);
    if (rc == LATHE_OK)
        rc = same_as(&other, n, out, "saved and loaded", err);
    lathe_instance_destroy(&other);
    return rc;
}

static int32_t check_repeated(conform *c, const lathe_dataset *data, const lathe_instance *m,
                              int64_t n, const float *out, lathe_error *err) {
    lathe_instance other;
    (void)m;
    int32_t rc = fit(c, data, 7, &other, err);
    if (rc == LATHE_OK)
        rc = same_as(&other, n, out, "fitted again with the same key", err);
    lathe_instance_destroy(&other);
    return rc;
}

/* Better than knowing nothing: the share of right classes, or of variance. */
static int32_t check_learned(conform *c, const lathe_dataset *data, const lathe_instance *m,
                             int64_t n, const float *out, lathe_error *err) {
    const float *target = lathe_datasets_service()->target(data);
    lathe_output shape = {.struct_size = LATHE_SIZED(lathe_output)};
    double mean = 0, error = 0, variance = 0, right = 0, most[3] = {0};
    const int32_t rc = lathe_call_output(m, &shape, err);
    for (int i = 0; i < ROWS; i++)
        mean += (double)target[i] / ROWS;
    for (int i = 0; i < ROWS; i++) {
        const double t = (double)target[i], v = (double)out[i * n];
        error += (v - t) * (v - t);
        variance += (t - mean) * (t - mean);
        int best = 0;
        for (int64_t k = 1; k < n; k++)
            best = out[i * n + k] > out[i * n + best] ? (int)k : best;
        if (n == 1)
            best = v > (shape.type == LATHE_OUTPUT_SCORE ? 0.0 : 0.5);
        right += best == (int)t;
        if (c->task != LATHE_TASK_REGRESSION)
            most[(int)t] += 1;
    }
    if (rc != LATHE_OK)
        return rc;
    const double guess = fmax(most[0], fmax(most[1], most[2]));
    if (c->task == LATHE_TASK_REGRESSION && !(error <= variance * 1.0001))
        return conform_fault(err,
                             "its squared error on its training rows is %g, that of the mean %g",
                             error, variance);
    if (c->task != LATHE_TASK_REGRESSION && right < guess)
        return conform_fault(err, "%g of %d training rows are right; the commonest class has %g",
                             right, ROWS, guess);
    return LATHE_OK;
}

static int32_t outputs(conform *c, lathe_error *err) {
    return with_fitted(c, check_outputs, err);
}

static int32_t alone(conform *c, lathe_error *err) {
    return with_fitted(c, check_alone, err);
}

static int32_t saved(conform *c, lathe_error *err) {
    return with_fitted(c, check_saved, err);
}

static int32_t repeated(conform *c, lathe_error *err) {
    return with_fitted(c, check_repeated, err);
}

static int32_t learned(conform *c, lathe_error *err) {
    return with_fitted(c, check_learned, err);
}

const conform_check conform_learner[] = {
    {"it fits, and predicts numbers of the shape that it says", outputs},
    {"a row gives the same bits alone and among others", alone},
    {"saved and loaded it gives the same bits", saved},
    {"the same key gives the same bits", repeated},
    {"it is no worse than a constant", learned},
    {0}};
