/* mae: absolute error. With s the score, y the target:
 *     value |s - y|,  gradient sign(s - y) (0 at 0),  start: the weighted median.
 *
 * P.-S. Laplace, 1774. Minimised by the conditional median. The second derivative is 0: hessian
 * is given as 1, and a leaf's value is renewed as the weighted median of y - s (J. H. Friedman,
 * Annals of Statistics 29, 2001, algorithm 3).
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
    const int32_t rc = need_one_score(k, "mae", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        loss[i] = lathe_abs(r);
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    (void)self;
    const int32_t rc = need_one_score(k, "mae", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        gradient[i] = (r < 0.0 ? 1.0f : 0.0f) - (r > 0.0 ? 1.0f : 0.0f);
    }
    for (int64_t i = 0; hessian != NULL && i < n; i++) {
        hessian[i] = 1.0f;
    }
    return LATHE_OK;
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    int32_t rc = need_one_score(k, "mae", err);
    rc = rc != LATHE_OK ? rc : check_rows(n, target, weight, -LATHE_INFINITY, "mae", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    return renew_quantile(((const loss_self *)self)->host, n, NULL, target, weight, 0.5, score,
                          err);
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

static int32_t renew(const void *self, int64_t n, const float *score, const float *target,
                     const float *weight, double *c, lathe_error *err) {
    return renew_quantile(((const loss_self *)self)->host, n, score, target, weight, 0.5, c, err);
}

static const lathe_loss interface = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = value,
    .gradient = gradient,
    .start = start,
    .link = link_score,
    .renew = renew,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LOSS_ZERO_HESSIAN,
    .id = "lathe.loss.mae",
    .kind = LATHE_KIND_LOSS,
    .name = "mae",
    .version = "1.0.0",
    .doc = "Absolute error |score - target|, minimised by the median.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    .interface = &interface,
    .create = loss_create,
    .destroy = loss_destroy,
};

LATHE_PLUGIN(&descriptor)
