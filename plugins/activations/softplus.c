/* softplus: y = ln(1 + e^(βx)) / β, range (0, inf); dy/dx = 1 / (1 + e^(-βx)).
 *
 * C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau, R. Garcia, Incorporating Second-Order Functional
 * Knowledge for Better Option Pricing, NIPS 2000. Computed as max(0, u) + ln(1 + e^-|u|), u = βx,
 * which neither overflows nor loses digits.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

typedef struct config {
    double beta;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, beta, LATHE_PARAM_TUNABLE, "1.0", 1e-3, 1000,
                  "Sharpness: the larger, the nearer to relu.", .scale = LATHE_SCALE_LOG),
};

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    const float beta = (float)((const config *)self)->beta;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = lathe_softplusf(beta * x[i]) / beta;
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    const float beta = (float)((const config *)self)->beta;
    (void)y;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        dx[i] = dy[i] * lathe_sigmoidf(beta * x[i]);
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
    .flags = LATHE_ACTIVATION_ELEMENTWISE | LATHE_ACTIVATION_INPLACE | LATHE_ACTIVATION_NEEDS_INPUT,
    .id = "lathe.activation.softplus",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "softplus",
    .version = "1.0.0",
    .doc = "Smooth rectifier ln(1 + exp(beta x)) / beta.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
