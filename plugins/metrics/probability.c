/* probability.c: how good the probabilities themselves are.
 *
 *     log_loss  −Σ w·ln p(t) / Σ w, with p clipped to [ε, 1 − ε], ε = 2^−52 (scikit-learn 1.2's eps="auto" for
 *               double; 1e-15 before), then divided by the row's sum. I. J. Good, JRSS B 14, 1952
 *     brier     Σ w·(p − [t = positive])² / Σ w for two classes: 0 to 1. For more, Brier's own form
 *               Σ w·Σₖ (pₖ − [t = k])² / Σ w: 0 to 2. G. W. Brier, Monthly Weather Review 78, 1950
 */
#include "metric.h"

#include <lathe/math.h>

#define LOG_LOSS_EPS 2.220446049250313e-16

static double clip(double p) {
    return p < LOG_LOSS_EPS ? LOG_LOSS_EPS : p > 1 - LOG_LOSS_EPS ? 1 - LOG_LOSS_EPS : p;
}

static int32_t log_loss_compute(const void *self, const lathe_metric_input *in, double *value,
                                lathe_error *err) {
    double loss = 0, total;
    (void)self;
    int32_t rc = metric_check_probability(in, err);
    if (rc != LATHE_OK)
        return rc;
    total = metric_total_weight(in);
    if (total == 0)
        return metric_undefined(err, value, METRIC_NO_WEIGHT);
    for (int64_t i = 0; i < in->n; i++) {
        const double *p = in->probability + i * in->n_classes;
        double sum = 0;
        for (int64_t k = 0; k < in->n_classes; k++)
            sum += clip(p[k]);
        loss -= metric_weight(in, i) * lathe_log(clip(p[(int64_t)in->target[i]]) / sum);
    }
    *value = loss / total;
    return LATHE_OK;
}

static int32_t brier_compute(const void *self, const lathe_metric_input *in, double *value,
                             lathe_error *err) {
    double loss = 0, total;
    (void)self;
    int32_t rc = metric_check_probability(in, err);
    if (rc != LATHE_OK)
        return rc;
    total = metric_total_weight(in);
    if (total == 0)
        return metric_undefined(err, value, METRIC_NO_WEIGHT);
    int64_t first = in->n_classes == 2 && in->positive != 0;
    int64_t last = in->n_classes == 2 ? first + 1 : in->n_classes;
    for (int64_t i = 0; i < in->n; i++) {
        double row = 0;
        for (int64_t k = first; k < last; k++) {
            double d = in->probability[i * in->n_classes + k] - (in->target[i] == (double)k);
            row += d * d;
        }
        loss += metric_weight(in, i) * row;
    }
    *value = loss / total;
    return LATHE_OK;
}

static const lathe_metric log_loss_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                                .compute = log_loss_compute};
static const lathe_metric brier_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                             .compute = brier_compute};

METRIC_DESCRIPTOR(log_loss, LATHE_METRIC_NEEDS_PROBABILITY, LATHE_TASKS_CLASSIFICATION,
                  log_loss_interface, "Mean of -ln of the probability given to the true class.");
METRIC_DESCRIPTOR(brier, LATHE_METRIC_NEEDS_PROBABILITY, LATHE_TASKS_CLASSIFICATION,
                  brier_interface, "Mean squared difference between probability and outcome.");

LATHE_PLUGIN(&log_loss_descriptor, &brier_descriptor)
