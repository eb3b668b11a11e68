/* selu: y = λ x for x > 0, else λ α (e^x - 1); dy/dx = λ or λ α e^x = y + λ α.
 *
 * G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, Self-Normalizing Neural Networks, NeurIPS
 * 2017, equation 2. λ and α are the constants for which mean 0 and variance 1 are the fixed point
 * (their equation 14).
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

#define LAMBDA 1.0507009873554805f
#define LAMBDA_ALPHA 1.7580993408473766f /* λ times α = 1.6732632423543772 */

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    const int64_t n = rows * cols;
    LANES
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? LAMBDA * x[i] : LAMBDA_ALPHA * lathe_expm1f(x[i]);
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
        dx[i] = y[i] > 0.0f ? dy[i] * LAMBDA : dy[i] * (y[i] + LAMBDA_ALPHA);
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
    .id = "lathe.activation.selu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "selu",
    .version = "1.0.0",
    .doc = "Self-normalising exponential linear unit with the fixed constants of its paper.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
