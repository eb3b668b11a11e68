/* sigmoid: y = 1 / (1 + e^-x), range (0, 1); dy/dx = y (1 - y).
 *
 * P.-F. Verhulst, Correspondance mathématique et physique 10, 1838 (the logistic function). By z
 * = e^-|x|, which cannot overflow: 1 / (1 + z) or z / (1 + z), so that also tiny values keep
 * their digits.
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
        y[i] = lathe_sigmoidf(x[i]);
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
        dx[i] = dy[i] * (y[i] * (1.0f - y[i]));
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
    .id = "lathe.activation.sigmoid",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "sigmoid",
    .version = "1.0.0",
    .doc = "Logistic function 1 / (1 + exp(-x)), range (0, 1).",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
