/* leaky_relu: y = x for x > 0, else alpha x; dy/dx = 1 or alpha (at 0: alpha).
 *
 * A. L. Maas, A. Y. Hannun, A. Y. Ng, Rectifier Nonlinearities Improve Neural Network Acoustic
 * Models, ICML 2013. As alpha > 0, the output has the input's sign, and backward needs the output
 * only.
 */
#include "lanes.h"

#include <lathe/activation.h>

typedef struct config {
    double alpha;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, alpha, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "0.01", 0, 1,
                  "Slope for negative values.", .scale = LATHE_SCALE_LOG),
};

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    const float alpha = (float)((const config *)self)->alpha;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : alpha * x[i];
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
        dx[i] = y[i] > 0.0f ? dy[i] : alpha * dy[i];
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
    .id = "lathe.activation.leaky_relu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "leaky_relu",
    .version = "1.0.0",
    .doc = "Rectified linear unit that lets a share alpha of negative values through.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
