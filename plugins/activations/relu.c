/* relu: y = max(0, x); dy/dx = 1 for x > 0, else 0 (at 0, where there is none, 0).
 *
 * V. Nair, G. E. Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010.
 * The comparison is `<= 0`, which a NaN fails: NaN passes through.
 */
#include "lanes.h"

#include <lathe/activation.h>

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] <= 0.0f ? 0.0f : x[i];
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
        /* read in any case: a load under a condition is not vectorised */
        const float given = dy[i];
        dx[i] = y[i] <= 0.0f ? 0.0f : given;
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
    .id = "lathe.activation.relu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "relu",
    .version = "1.0.0",
    .doc = "Rectified linear unit max(0, x).",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
