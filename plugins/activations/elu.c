/* elu: y = x for x > 0, else alpha (e^x - 1), range (-alpha, inf); dy/dx = 1 or alpha e^x = y +
 * alpha.
 *
 * D.-A. Clevert, T. Unterthiner, S. Hochreiter, Fast and Accurate Deep Network Learning by
 * Exponential Linear Units, ICLR 2016.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

typedef struct config {
    double alpha;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, alpha, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1.0", 0, 1000,
                  "The limit for very negative values is -alpha."),
};

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    const float alpha = (float)((const config *)self)->alpha;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : alpha * lathe_expm1f(x[i]);
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    const float alpha = (float)((const config *)self)->alpha;
    (void)x;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        dx[i] = y[i] > 0.0f ? dy[i] : dy[i] * (y[i] + alpha);
    }
    return LATHE_OK;
}

static const lathe_activation interface = {
    .struct_size = LATHE_SIZED(lathe_activation),
    .forward = forward,
    .backward = backward,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags =
        LATHE_ACTIVATION_ELEMENTWISE | LATHE_ACTIVATION_INPLACE | LATHE_ACTIVATION_NEEDS_OUTPUT,
    .id = "lathe.activation.elu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "elu",
    .version = "1.0.0",
    .doc = "Exponential linear unit: x, or alpha (exp(x) - 1) for negative x.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
