/* @NAME@: y = x / (1 + |x|); dy/dx = 1 / (1 + |x|)². Write your formula and its source here. */
#include <lathe/lathe.h>

#include <math.h>

/* [rows, cols] → [rows, cols]; y may be x. */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; i < rows * cols; i++)
        y[i] = x[i] / (1.0f + fabsf(x[i]));
    return LATHE_OK;
}

/* dx may be dy; y is NULL, for the flags ask for the input alone. */
static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)y;
    (void)err;
    for (int64_t i = 0; i < rows * cols; i++) {
        const float d = 1.0f + fabsf(x[i]);
        dx[i] = dy[i] / (d * d);
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
    .id = "@ID@",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Softsign, x / (1 + |x|).",
    .license = "Apache-2.0",
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
