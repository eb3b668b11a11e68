/* metric.h: what the metric plugins share: errors, the checks of the input, weights.
 *
 * The definitions, also of every degenerate case, are those of scikit-learn 1.2 (sklearn.metrics); where it
 * raises or returns NaN, the value here is NaN and err->message says why.
 */
#ifndef LATHE_METRICS_METRIC_H
#define LATHE_METRICS_METRIC_H

#include <lathe/lathe.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct metric_self {
    const lathe_host *host;
    const void *config;
} metric_self;

__attribute__((format(printf, 3, 4))) static inline int32_t metric_fail(lathe_error *err,
                                                                        int32_t code,
                                                                        const char *format, ...) {
    va_list args;
    err->code = code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

/* The metric has no value for this data: NaN, with the reason, and no error. */
__attribute__((format(printf, 3, 4))) static inline int32_t metric_undefined(lathe_error *err,
                                                                             double *value,
                                                                             const char *format,
                                                                             ...) {
    va_list args;
    *value = NAN;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return LATHE_OK;
}

static inline int32_t metric_no_memory(lathe_error *err) {
    return metric_fail(err, LATHE_E_MEMORY, "no memory to compute the metric");
}

static inline int32_t metric_create(const lathe_host *host, const void *config, void **self,
                                    lathe_error *err) {
    metric_self *s = host->alloc(host, sizeof *s);
    if (s == NULL)
        return metric_no_memory(err);
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static inline void metric_destroy(void *self) {
    metric_self *s = self;
    s->host->free(s->host, s);
}

static inline double metric_weight(const lathe_metric_input *in, int64_t i) {
    return in->weight != NULL ? in->weight[i] : 1.0;
}

static inline int32_t metric_check_weights(const lathe_metric_input *in, lathe_error *err) {
    for (int64_t i = 0; in->weight != NULL && i < in->n; i++)
        if (!(in->weight[i] >= 0) || isinf(in->weight[i]))
            return metric_fail(err, LATHE_E_DATA,
                               "row %lld has the weight %g; expected a number >= 0", (long long)i,
                               in->weight[i]);
    return LATHE_OK;
}

static inline int32_t metric_check_classes(const lathe_metric_input *in, const double *value,
                                           int32_t code, const char *what, lathe_error *err) {
    for (int64_t i = 0; i < in->n; i++)
        if (!(value[i] >= 0 && value[i] < (double)in->n_classes) || value[i] != floor(value[i]))
            return metric_fail(err, isnan(value[i]) ? code : LATHE_E_INVALID,
                               "row %lld has the %s %g; expected a class from 0 to %lld",
                               (long long)i, what, value[i], (long long)in->n_classes - 1);
    return LATHE_OK;
}

static inline int32_t metric_check_rows(const lathe_metric_input *in, lathe_error *err) {
    if (in->n < 1)
        return metric_fail(err, LATHE_E_DATA, "there are no rows to score");
    return metric_check_weights(in, err);
}

static inline int32_t metric_check_target(const lathe_metric_input *in, lathe_error *err) {
    if (in->n_classes < 2 || in->task == LATHE_TASK_REGRESSION)
        return metric_fail(err, LATHE_E_UNSUPPORTED, "this metric is for classification");
    int32_t rc = metric_check_rows(in, err);
    return rc != LATHE_OK ? rc : metric_check_classes(in, in->target, LATHE_E_DATA, "target", err);
}

/* Classes, targets and predicted classes. */
static inline int32_t metric_check_labels(const lathe_metric_input *in, lathe_error *err) {
    int32_t rc = metric_check_target(in, err);
    if (rc == LATHE_OK && in->prediction == NULL)
        rc = metric_fail(err, LATHE_E_INVALID, "this metric needs predicted classes");
    return rc != LATHE_OK
               ? rc
               : metric_check_classes(in, in->prediction, LATHE_E_NUMERIC, "prediction", err);
}

/* Classes, targets and probabilities. */
static inline int32_t metric_check_probability(const lathe_metric_input *in, lathe_error *err) {
    int32_t rc = metric_check_target(in, err);
    if (rc != LATHE_OK)
        return rc;
    if (in->probability == NULL)
        return metric_fail(err, LATHE_E_INVALID, "this metric needs probabilities");
    for (int64_t i = 0; i < in->n * in->n_classes; i++)
        if (!isfinite(in->probability[i]))
            return metric_fail(err, LATHE_E_NUMERIC, "row %lld has the probability %g",
                               (long long)(i / in->n_classes), in->probability[i]);
    return LATHE_OK;
}

/* Values of a regression. */
static inline int32_t metric_check_values(const lathe_metric_input *in, lathe_error *err) {
    if (in->task != LATHE_TASK_REGRESSION)
        return metric_fail(err, LATHE_E_UNSUPPORTED, "this metric is for regression");
    int32_t rc = metric_check_rows(in, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < in->n; i++) {
        if (!isfinite(in->target[i]))
            return metric_fail(err, LATHE_E_DATA, "row %lld has the target %g", (long long)i,
                               in->target[i]);
        if (!isfinite(in->prediction[i]))
            return metric_fail(err, LATHE_E_NUMERIC, "row %lld has the prediction %g", (long long)i,
                               in->prediction[i]);
    }
    return LATHE_OK;
}

static inline double metric_total_weight(const lathe_metric_input *in) {
    double total = 0;
    for (int64_t i = 0; i < in->n; i++)
        total += metric_weight(in, i);
    return total;
}

#define METRIC_NO_WEIGHT "the weights of all rows are 0"

/* A descriptor; further members follow the doc text. */
#define METRIC_DESCRIPTOR(short_name, bits, task_bits, table, ...)                                 \
    static const lathe_descriptor short_name##_descriptor = {.struct_size =                        \
                                                                 LATHE_SIZED(lathe_descriptor),    \
                                                             .flags = bits,                        \
                                                             .id = "lathe.metric." #short_name,    \
                                                             .kind = LATHE_KIND_METRIC,            \
                                                             .name = #short_name,                  \
                                                             .version = "1.0.0",                   \
                                                             .license = "Apache-2.0",              \
                                                             .tasks = task_bits,                   \
                                                             .interface = &table,                  \
                                                             .create = metric_create,              \
                                                             .destroy = metric_destroy,            \
                                                             .doc = __VA_ARGS__}

#endif
