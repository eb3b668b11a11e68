/* mish: y = x tanh(s), s = softplus(x) = ln(1 + e^x); dy/dx = tanh(s) + x σ(x) (1 - tanh(s)²).
 *
 * D. Misra, Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020. The smallest whole
 * plugin: no state (so neither create nor destroy), no parameters.
 */
#include <lathe/lathe.h>
#include <lathe/math.h>

/* [rows, cols] → [rows, cols]; y may be x. Below -100 (float) tanh(s) is 0, and -inf times 0 would be NaN. */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; i < rows * cols; i++) {
        const float held = x[i] < -100.0f ? -100.0f : x[i];
        y[i] = held * lathe_tanhf(lathe_softplusf(held));
    }
    return LATHE_OK;
}

/* dx may be dy; y is NULL, for the flags ask for the input alone. Beyond ±100 the slope is 0 or 1. */
static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)self;
    (void)y;
    (void)err;
    for (int64_t i = 0; i < rows * cols; i++) {
        float held = x[i] < -100.0f ? -100.0f : x[i];
        held = held > 100.0f ? 100.0f : held;
        const float t = lathe_tanhf(lathe_softplusf(held));
        dx[i] = dy[i] * (t + held * lathe_sigmoidf(held) * (1.0f - t * t));
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
    .id = "org.example.activation.mish", /* your domain, reversed */
    .kind = LATHE_KIND_ACTIVATION,
    .name = "mish",
    .version = "1.0.0",
    .doc = "Self-regularised smooth activation x tanh(softplus(x)).",
    .license = "Apache-2.0",
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
