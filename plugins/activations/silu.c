/* silu: y = x σ(x), σ(x) = 1 / (1 + e^-x); dy/dx = σ(x) (1 + x (1 - σ(x))). Also called swish.
 *
 * S. Elfwing, E. Uchibe, K. Doya, Neural Networks 107, 2018; D. Hendrycks, K. Gimpel, 2016.
 * Beyond ±110 σ is 0 or 1 to the last bit: x is held there, so that an infinite x gives the limit
 * and not inf * 0.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

static inline float slope(float x) {
    x = x < -110.0f ? -110.0f : x;
    x = x > 110.0f ? 110.0f : x;
    const float s = lathe_sigmoidf(x);
    return s * (1.0f + x * (1.0f - s));
}

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = (x[i] < -110.0f ? -110.0f : x[i]) * lathe_sigmoidf(x[i]);
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)y;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        dx[i] = dy[i] * slope(x[i]);
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
    .id = "lathe.activation.silu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "silu",
    .version = "1.0.0",
    .doc = "Sigmoid-weighted linear unit x / (1 + exp(-x)).",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
