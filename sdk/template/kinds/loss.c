/* @NAME@: L(s, t) = (s - t)² / 2, for regression. Write your formula and its source here. */
#include <lathe/lathe.h>

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    (void)task;
    (void)n_classes;
    return 1;
}

static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    (void)self;
    (void)k;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)score[i] - (double)target[i];
        loss[i] = d * d / 2;
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    (void)self;
    (void)k;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = (float)((double)score[i] - (double)target[i]);
        if (hessian)
            hessian[i] = 1.0f;
    }
    return LATHE_OK;
}

/* The weighted mean. */
static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    double sum = 0, all = 0;
    (void)self;
    (void)k;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        const double w = weight ? (double)weight[i] : 1;
        sum += w * (double)target[i];
        all += w;
    }
    score[0] = all > 0 ? sum / all : 0;
    return LATHE_OK;
}

static int32_t link(const void *self, int64_t n, int64_t k, const float *score, float *prediction,
                    lathe_error *err) {
    (void)self;
    (void)k;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        prediction[i] = score[i];
    return LATHE_OK;
}

static const lathe_loss interface = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = value,
    .gradient = gradient,
    .start = start,
    .link = link,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "@ID@",
    .kind = LATHE_KIND_LOSS,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Half the squared error.",
    .license = "Apache-2.0",
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
