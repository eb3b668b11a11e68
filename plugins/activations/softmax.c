/* softmax: y_j = e^(x_j) / Σ_k e^(x_k) in each row; dx_j = y_j (dy_j - Σ_k dy_k y_k).
 *
 * J. S. Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990.
 * The row's largest value is subtracted first, so that nothing overflows. Values equal to it
 * count as 0 also where they are infinite: a row with one +inf gives 1 there and 0 elsewhere. A
 * NaN makes its whole row NaN.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

static void forward_row(int64_t cols, const float *x, float *y) {
    float top = -(float)LATHE_INFINITY;
    for (int64_t j = 0; j < cols; j++) {
        top = x[j] > top ? x[j] : top;
    }
    LANES
    for (int64_t j = 0; j < cols; j++) {
        y[j] = lathe_expf(x[j] == top ? 0.0f : x[j] - top);
    }
    double sum = 0.0;
    for (int64_t j = 0; j < cols; j++) {
        sum += (double)y[j];
    }
    const float scale = (float)(1.0 / sum);
    for (int64_t j = 0; j < cols; j++) {
        y[j] *= scale;
    }
}

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; i < rows; i++) {
        forward_row(cols, x + i * cols, y + i * cols);
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)x;
    (void)err;
    for (int64_t i = 0; i < rows; i++, y += cols, dy += cols, dx += cols) {
        double mean = 0.0; /* of dy under y */
        for (int64_t j = 0; j < cols; j++) {
            mean += (double)dy[j] * (double)y[j];
        }
        LANES
        for (int64_t j = 0; j < cols; j++) {
            dx[j] = (float)((double)y[j] * ((double)dy[j] - mean));
        }
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
    .flags = LATHE_ACTIVATION_INPLACE | LATHE_ACTIVATION_NEEDS_OUTPUT,
    .id = "lathe.activation.softmax",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "softmax",
    .version = "1.0.0",
    .doc = "Turns each row into positive shares that add up to 1.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
