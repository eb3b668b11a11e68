/* huber: squared near the target, absolute far from it. With r = y - s the residual:
 *     value r²/2 for |r| <= δ, δ (|r| - δ/2) beyond;  gradient -r held in [-δ, δ];
 *     start: the weighted minimum, Huber's M-estimate of location.
 *
 * P. J. Huber, Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 35,
 * 1964. The second derivative is 1 within δ and 0 beyond, where a Newton step would be unbounded:
 * hessian is given as 1, its upper bound, which makes every step a descent, and a leaf's value is
 * renewed as the minimum itself.
 */
#include "support.h"

typedef struct config {
    double delta;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, delta, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1.0", 0, 1e30,
                  "Residuals up to this size are squared; in units of the target.",
                  .scale = LATHE_SCALE_LOG),
};

typedef struct leaf_rows {
    int64_t n;
    const float *score; /* NULL: all 0 */
    const float *target;
    const float *weight; /* NULL: all 1 */
    double delta;
} leaf_rows;

static double hold(double r, double delta) {
    r = r > delta ? delta : r;
    return r < -delta ? -delta : r;
}

static double residual(const leaf_rows *rows, int64_t i) {
    return (double)rows->target[i] - (rows->score == NULL ? 0.0 : (double)rows->score[i]);
}

/* Σ w · (r - c held in [-δ, δ]): falls with c, 0 at the minimum. */
static double pull(const void *user, double c, double *slope) {
    const leaf_rows *rows = (const leaf_rows *)user;
    double sum = 0.0;
    double inside = 0.0;
    for (int64_t i = 0; i < rows->n; i++) {
        const double w = (double)weight_of(rows->weight, i);
        const double r = residual(rows, i) - c;
        sum += w * hold(r, rows->delta);
        inside += r < rows->delta && r > -rows->delta ? w : 0.0;
    }
    *slope = -inside;
    return sum;
}

static int32_t renew(const void *self, int64_t n, const float *score, const float *target,
                     const float *weight, double *c, lathe_error *err);

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    (void)task;
    (void)n_classes;
    return 1;
}

/* score, target [n] → loss [n] */
static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    const double delta = ((const config *)self)->delta;
    const int32_t rc = need_one_score(k, "huber", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        const double a = lathe_abs(r);
        loss[i] = a <= delta ? 0.5 * r * r : delta * (a - 0.5 * delta);
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    const double delta = ((const config *)self)->delta;
    const int32_t rc = need_one_score(k, "huber", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        gradient[i] = to_float(-hold(r, delta));
    }
    for (int64_t i = 0; hessian != NULL && i < n; i++) {
        hessian[i] = 1.0f;
    }
    return LATHE_OK;
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    int32_t rc = need_one_score(k, "huber", err);
    rc = rc != LATHE_OK ? rc : check_rows(n, target, weight, -LATHE_INFINITY, "huber", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    return renew(self, n, NULL, target, weight, score, err);
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
    (void)err;
    const leaf_rows rows = {n, score, target, weight, ((const config *)self)->delta};
    double lo = LATHE_INFINITY;
    double hi = -LATHE_INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (weight_of(weight, i) > 0.0f) {
            const double r = residual(&rows, i);
            lo = r < lo ? r : lo;
            hi = r > hi ? r : hi;
        }
    }
    *c = lo <= hi ? falling_root(pull, &rows, lo, hi) : 0.0;
    return LATHE_OK;
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
    .id = "lathe.loss.huber",
    .kind = LATHE_KIND_LOSS,
    .name = "huber",
    .version = "1.0.0",
    .doc = "Squared error for small residuals, absolute error beyond delta.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
