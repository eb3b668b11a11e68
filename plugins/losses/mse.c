/* mse: squared error. With s the score, y the target:
 *     value (s - y)²,  gradient 2 (s - y),  hessian 2,  start: the weighted mean.
 *
 * C. F. Gauss, Theoria combinationis observationum, 1821. Minimised by the conditional mean.
 * There is no factor ½: the mean of the values is the mean squared error that a report shows.
 */
#include "support.h"

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
    const int32_t rc = need_one_score(k, "mse", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        loss[i] = r * r;
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    (void)self;
    const int32_t rc = need_one_score(k, "mse", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        gradient[i] = to_float(-2.0 * r);
    }
    for (int64_t i = 0; hessian != NULL && i < n; i++) {
        hessian[i] = 2.0f;
    }
    return LATHE_OK;
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    (void)self;
    int32_t rc = need_one_score(k, "mse", err);
    rc = rc != LATHE_OK ? rc : check_rows(n, target, weight, -LATHE_INFINITY, "mse", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    score[0] = weighted_mean(n, target, weight);
    return LATHE_OK;
}

/* the score is the prediction */
static int32_t link_score(const void *self, int64_t n, int64_t k, const float *score,
                          float *prediction, lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; i < n * k; i++) {
        prediction[i] = score[i];
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
    .id = "lathe.loss.mse",
    .kind = LATHE_KIND_LOSS,
    .name = "mse",
    .version = "1.0.0",
    .doc = "Squared error (score - target)², minimised by the mean.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
