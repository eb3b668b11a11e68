/* poisson: counts and rates, with the logarithm as link: mean μ = e^s.
 *     value μ - y - y (s - ln y), half the deviance: 0 where μ = y;  gradient μ - y;
 *     hessian μ (at least 1e-16);  start: the logarithm of the weighted mean.
 *
 * P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd edition, 1989, chapter 6. It is the
 * negative log-likelihood but for terms of y alone. Targets may be fractions, but not negative.
 * Where all targets are 0 the minimum is at s = -inf: start is then the logarithm of half an
 * event in all rows.
 */
#include "support.h"

#define HESSIAN_FLOOR 1e-16 /* a Newton step divides by it */

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    (void)task;
    (void)n_classes;
    return 1;
}

/* score, target [n] → loss [n] */
static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    (void)self;
    const int32_t rc = need_one_score(k, "poisson", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double y = (double)target[i];
        const double s = (double)score[i];
        loss[i] = (lathe_exp(s) - y) - (y > 0.0 ? y * (s - lathe_log(y)) : 0.0);
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    (void)self;
    const int32_t rc = need_one_score(k, "poisson", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double mean = lathe_exp((double)score[i]);
        gradient[i] = to_float(mean - (double)target[i]);
        if (hessian != NULL) {
            hessian[i] = to_float(mean < HESSIAN_FLOOR ? HESSIAN_FLOOR : mean);
        }
    }
    return LATHE_OK;
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    (void)self;
    int32_t rc = need_one_score(k, "poisson", err);
    rc = rc != LATHE_OK ? rc : check_rows(n, target, weight, 0.0, "poisson", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    const double mean = weighted_mean(n, target, weight);
    score[0] = lathe_log(mean > 0.0 ? mean : 0.5 / (double)n);
    return LATHE_OK;
}

/* mean e^s, at most the largest float */
static int32_t link_score(const void *self, int64_t n, int64_t k, const float *score,
                          float *prediction, lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; i < n * k; i++) {
        prediction[i] = to_float(lathe_exp((double)score[i]));
    }
    return LATHE_OK;
}

static const lathe_loss interface = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = value,
    .gradient = gradient,
    .start = start,
    .link = link_score,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LOSS_NON_NEGATIVE_TARGET,
    .id = "lathe.loss.poisson",
    .kind = LATHE_KIND_LOSS,
    .name = "poisson",
    .version = "1.0.0",
    .doc = "Half the Poisson deviance of counts, score = log of the mean.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
