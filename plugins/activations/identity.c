/* identity: y = x; dy/dx = 1. For the output layer of a regression, or to make a linear network. */
#include <lathe/activation.h>
#include <string.h>

static void copy(int64_t rows, int64_t cols, const float *from, float *to) {
    if (rows > 0 && cols > 0 && from != to) {
        memcpy(to, from, (size_t)rows * (size_t)cols * sizeof *to);
    }
}

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    copy(rows, cols, x, y);
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)x;
    (void)y;
    (void)err;
    copy(rows, cols, dy, dx);
    return LATHE_OK;
}

static const lathe_activation interface = {
    .struct_size = LATHE_SIZED(lathe_activation),
    .forward = forward,
    .backward = backward,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_ACTIVATION_ELEMENTWISE | LATHE_ACTIVATION_INPLACE,
    .id = "lathe.activation.identity",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "identity",
    .version = "1.0.0",
    .doc = "Passes values through unchanged.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
