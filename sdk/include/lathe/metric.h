/* lathe/metric.h: how good predictions are. Computed in double, in a fixed order. */
#ifndef LATHE_METRIC_H
#define LATHE_METRIC_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags */
enum {
    LATHE_METRIC_HIGHER_IS_BETTER = 1u << 0,
    LATHE_METRIC_NEEDS_PROBABILITY = 1u << 1 /* else the predicted class or value */
};

typedef struct lathe_metric_input {
    uint32_t struct_size;
    int32_t task;
    int64_t n;
    int64_t n_classes;         /* 0 for regression */
    int64_t positive;          /* binary: the positive class's index, 0 or 1 */
    const double *target;      /* [n] value, or class index */
    const double *prediction;  /* [n] value, or predicted class index */
    const double *probability; /* [n, n_classes]; NULL for regression */
    const double *weight;      /* [n]; NULL: all 1 */
} lathe_metric_input;

typedef struct lathe_metric {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [worker] *value is NaN where the metric is undefined for this data (AUC of one class), and err->message
     * then says why, with LATHE_OK returned. n == 0 is LATHE_E_DATA; a NaN prediction is LATHE_E_NUMERIC. */
    int32_t (*compute)(const void *self, const lathe_metric_input *in, double *value,
                       lathe_error *err);
} lathe_metric;

#ifdef __cplusplus
}
#endif
#endif
