/* tanh: y = (e^x - e^-x) / (e^x + e^-x), range (-1, 1); dy/dx = 1 - y².
 *
 * Y. LeCun et al., Efficient BackProp, 1998, 4.4 (why a network's sigmoid should be odd). The
 * derivative is taken as (1 - y) (1 + y), which loses no digits where |y| is near 1.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = lathe_tanhf(x[i]);
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)x;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        dx[i] = dy[i] * ((1.0f - y[i]) * (1.0f + y[i]));
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
    .id = "lathe.activation.tanh",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "tanh",
    .version = "1.0.0",
    .doc = "Hyperbolic tangent, range (-1, 1).",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
