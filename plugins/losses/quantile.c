/* quantile: the pinball loss. With r = y - s the residual:
 *     value α r for r >= 0, (α - 1) r below;  gradient -α for r > 0, 1 - α for r < 0, 0 at 0;
 *     start: the weighted α-quantile.
 *
 * R. Koenker, G. Bassett, Regression Quantiles, Econometrica 46, 1978. Minimised by the
 * conditional α-quantile. The second derivative is 0: hessian is given as 1, and a leaf's value
 * is renewed as the weighted α-quantile of r.
 */
#include "support.h"

typedef struct config {
    double alpha;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, alpha, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX, "0.5", 0, 1,
                  "Which quantile to predict: 0.5 is the median."),
};

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    (void)task;
    (void)n_classes;
    return 1;
}

/* score, target [n] → loss [n] */
static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    const double alpha = ((const config *)((const loss_self *)self)->config)->alpha;
    const int32_t rc = need_one_score(k, "quantile", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        loss[i] = r >= 0.0 ? alpha * r : (alpha - 1.0) * r;
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    const double alpha = ((const config *)((const loss_self *)self)->config)->alpha;
    const int32_t rc = need_one_score(k, "quantile", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)target[i] - (double)score[i];
        gradient[i] = (float)((r < 0.0 ? 1.0 - alpha : 0.0) - (r > 0.0 ? alpha : 0.0));
    }
    for (int64_t i = 0; hessian != NULL && i < n; i++) {
        hessian[i] = 1.0f;
    }
    return LATHE_OK;
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    const double alpha = ((const config *)((const loss_self *)self)->config)->alpha;
    int32_t rc = need_one_score(k, "quantile", err);
    rc = rc != LATHE_OK ? rc : check_rows(n, target, weight, -LATHE_INFINITY, "quantile", err);
    if (rc != LATHE_OK) {
        return rc;
    }
    return renew_quantile(((const loss_self *)self)->host, n, NULL, target, weight, alpha, score,
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
    const double alpha = ((const config *)((const loss_self *)self)->config)->alpha;
    return renew_quantile(((const loss_self *)self)->host, n, score, target, weight, alpha, c, err);
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
    .id = "lathe.loss.quantile",
    .kind = LATHE_KIND_LOSS,
    .name = "quantile",
    .version = "1.0.0",
    .doc = "Pinball loss, minimised by the alpha-quantile.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = loss_create,
    .destroy = loss_destroy,
};

LATHE_PLUGIN(&descriptor)
