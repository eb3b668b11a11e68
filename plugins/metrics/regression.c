/* regression.c: errors of predicted values, with weights w; t target, p prediction.
 *
 *     mse    Σ w·(t − p)² / Σ w                 rmse  √mse
 *     mae    Σ w·|t − p| / Σ w
 *     mape   Σ w·|t − p| / max(|t|, 2^−52) / Σ w     (a share: 0.1 is 10 %)
 *     r2     1 − Σ w·(t − p)² / Σ w·(t − t̄)², t̄ the weighted mean; where all t are equal 1 if the prediction is
 *            perfect, else 0; undefined for fewer than two rows
 *     median_absolute_error  the median of |t − p|: the mean of the middle two where there are two; with weights the
 *            smallest error at which half of the weight is reached
 */
#include "metric.h"

#define MAPE_EPS 2.220446049250313e-16

typedef double (*error_fn)(double target, double prediction);

static double squared(double t, double p) {
    return (t - p) * (t - p);
}

static double absolute(double t, double p) {
    return fabs(t - p);
}

static double relative(double t, double p) {
    return fabs(t - p) / (fabs(t) > MAPE_EPS ? fabs(t) : MAPE_EPS);
}

static int32_t mean_error(const lathe_metric_input *in, error_fn error, double *value,
                          lathe_error *err) {
    double sum = 0, total;
    int32_t rc = metric_check_values(in, err);
    if (rc != LATHE_OK)
        return rc;
    total = metric_total_weight(in);
    if (total == 0)
        return metric_undefined(err, value, METRIC_NO_WEIGHT);
    for (int64_t i = 0; i < in->n; i++)
        sum += metric_weight(in, i) * error(in->target[i], in->prediction[i]);
    *value = sum / total;
    return LATHE_OK;
}

static int32_t mse_compute(const void *self, const lathe_metric_input *in, double *value,
                           lathe_error *err) {
    (void)self;
    return mean_error(in, squared, value, err);
}

static int32_t rmse_compute(const void *self, const lathe_metric_input *in, double *value,
                            lathe_error *err) {
    (void)self;
    int32_t rc = mean_error(in, squared, value, err);
    if (rc == LATHE_OK)
        *value = sqrt(*value);
    return rc;
}

static int32_t mae_compute(const void *self, const lathe_metric_input *in, double *value,
                           lathe_error *err) {
    (void)self;
    return mean_error(in, absolute, value, err);
}

static int32_t mape_compute(const void *self, const lathe_metric_input *in, double *value,
                            lathe_error *err) {
    (void)self;
    return mean_error(in, relative, value, err);
}

static int32_t r2_compute(const void *self, const lathe_metric_input *in, double *value,
                          lathe_error *err) {
    double mean = 0, residual = 0, spread = 0, total;
    int32_t constant = 1;
    (void)self;
    int32_t rc = metric_check_values(in, err);
    if (rc != LATHE_OK)
        return rc;
    total = metric_total_weight(in);
    if (in->n < 2)
        return metric_undefined(err, value, "R2 needs at least two rows");
    if (total == 0)
        return metric_undefined(err, value, METRIC_NO_WEIGHT);
    for (int64_t i = 0; i < in->n; i++) {
        mean += metric_weight(in, i) * in->target[i];
        constant &= in->target[i] == in->target[0];
    }
    mean /= total;
    for (int64_t i = 0; i < in->n; i++) {
        residual += metric_weight(in, i) * squared(in->target[i], in->prediction[i]);
        spread += metric_weight(in, i) * squared(in->target[i], mean);
    }
    if (constant || spread == 0) /* the mean of equal numbers may be rounded */
        *value = residual == 0;
    else
        *value = 1 - residual / spread;
    return LATHE_OK;
}

typedef struct weighted_error {
    double error;
    double weight;
} weighted_error;

static int compare_errors(const void *a, const void *b) {
    double x = ((const weighted_error *)a)->error, y = ((const weighted_error *)b)->error;
    return x < y ? -1 : x > y;
}

static double weighted_median(const weighted_error *e, int64_t n) {
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        total += e[i].weight;
    for (int64_t i = 0; i < n; i++) {
        sum += e[i].weight;
        if (sum > 0 && sum >= total / 2)
            return e[i].error;
    }
    return e[n - 1].error;
}

static int32_t median_compute(const void *self, const lathe_metric_input *in, double *value,
                              lathe_error *err) {
    const metric_self *s = self;
    int64_t n = in->n;
    int32_t rc = metric_check_values(in, err);
    if (rc != LATHE_OK)
        return rc;
    if (metric_total_weight(in) == 0)
        return metric_undefined(err, value, METRIC_NO_WEIGHT);
    weighted_error *e = s->host->alloc(s->host, (uint64_t)n * sizeof *e);
    if (e == NULL)
        return metric_no_memory(err);
    for (int64_t i = 0; i < n; i++)
        e[i] = (weighted_error){fabs(in->target[i] - in->prediction[i]), metric_weight(in, i)};
    qsort(e, (size_t)n, sizeof *e, compare_errors);
    if (in->weight != NULL)
        *value = weighted_median(e, n);
    else
        *value = n % 2 ? e[n / 2].error : (e[n / 2 - 1].error + e[n / 2].error) / 2;
    s->host->free(s->host, e);
    return LATHE_OK;
}

#define REGRESSION(name, bits, text)                                                               \
    static const lathe_metric name##_interface = {.struct_size = LATHE_SIZED(lathe_metric),        \
                                                  .compute = name##_compute};                      \
    METRIC_DESCRIPTOR(name, bits, LATHE_TASK_BIT(LATHE_TASK_REGRESSION), name##_interface, text)

REGRESSION(mse, 0, "Mean squared error.");
REGRESSION(rmse, 0, "Root of the mean squared error, in the target's unit.");
REGRESSION(mae, 0, "Mean absolute error, in the target's unit.");
REGRESSION(mape, 0, "Mean absolute error relative to the target; 0.1 is 10 %.");
REGRESSION(r2, LATHE_METRIC_HIGHER_IS_BETTER,
           "Share of the target's variance that is explained; 1 is perfect, 0 the mean.");

static const lathe_metric median_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                              .compute = median_compute};
METRIC_DESCRIPTOR(median_absolute_error, 0, LATHE_TASK_BIT(LATHE_TASK_REGRESSION), median_interface,
                  "Median of the absolute errors, in the target's unit.");

LATHE_PLUGIN(&mse_descriptor, &rmse_descriptor, &mae_descriptor, &mape_descriptor, &r2_descriptor,
             &median_absolute_error_descriptor)
