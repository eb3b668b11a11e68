/* gelu: y = x Φ(x), Φ the standard normal distribution function; dy/dx = Φ(x) + x φ(x).
 *
 * D. Hendrycks, K. Gimpel, Gaussian Error Linear Units, 2016. Φ is erfc(-x / √2) / 2, not 0.5 (1
 * + erf(x / √2)), which has no digits left below -4. With `approximate: "tanh"` it is the paper's
 *     y = x/2 (1 + tanh u) = x σ(2u),   u = √(2/π) (x + 0.044715 x³),
 *     2u' = 2 √(2/π) (1 + 3 · 0.044715 x²).
 * Beyond ±15 Φ, and σ(2u), are 0 or 1 to the last bit: x is held there where it would make inf * 0.
 */
#include "lanes.h"

#include <lathe/activation.h>
#include <lathe/math.h>

enum { EXACT = 0, BY_TANH = 1 };

typedef struct config {
    int32_t approximate;
} config;

static const char *const choices[] = {"none", "tanh", NULL};
static const lathe_param params[] = {
    LATHE_P_ENUM(config, approximate, 0, "\"none\"", choices,
                 "The exact function, or its approximation by tanh, for weights that were trained "
                 "with that."),
};

#define TWICE_ROOT 1.5957691f /* 2 √(2/π) */
#define CUBIC 0.044715f

static inline float at_least(float x, float low) {
    return x < low ? low : x;
}

static inline float at_most(float x, float high) {
    return x > high ? high : x;
}

static inline float exact(float x) {
    return at_least(x, -15.0f) * lathe_normal_cdff(x);
}

static inline float exact_slope(float x) {
    const float held = at_most(at_least(x, -15.0f), 15.0f);
    return lathe_normal_cdff(held) + held * lathe_normal_pdff(held);
}

static inline float by_tanh(float x) {
    const float held = at_least(x, -15.0f);
    return held * lathe_sigmoidf(TWICE_ROOT * (held + CUBIC * held * held * held));
}

static inline float by_tanh_slope(float x) {
    const float held = at_most(at_least(x, -15.0f), 15.0f);
    const float square = held * held;
    const float s = lathe_sigmoidf(TWICE_ROOT * (held + CUBIC * square * held));
    return s + held * s * (1.0f - s) * (TWICE_ROOT * (1.0f + 3.0f * CUBIC * square));
}

/* [rows, cols] → [rows, cols] */
static int32_t forward(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err) {
    (void)err;
    const int64_t n = rows * cols;
    if (((const config *)self)->approximate == BY_TANH) {
        LANES
        for (int64_t i = 0; i < n; i++) {
            y[i] = by_tanh(x[i]);
        }
    } else {
        LANES
        for (int64_t i = 0; i < n; i++) {
            y[i] = exact(x[i]);
        }
    }
    return LATHE_OK;
}

static int32_t backward(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err) {
    (void)y;
    (void)err;
    const int64_t n = rows * cols;
    if (((const config *)self)->approximate == BY_TANH) {
        LANES
        for (int64_t i = 0; i < n; i++) {
            dx[i] = dy[i] * by_tanh_slope(x[i]);
        }
    } else {
        LANES
        for (int64_t i = 0; i < n; i++) {
            dx[i] = dy[i] * exact_slope(x[i]);
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
    .flags = LATHE_ACTIVATION_ELEMENTWISE | LATHE_ACTIVATION_INPLACE | LATHE_ACTIVATION_NEEDS_INPUT,
    .id = "lathe.activation.gelu",
    .kind = LATHE_KIND_ACTIVATION,
    .name = "gelu",
    .version = "1.0.0",
    .doc = "Gaussian error linear unit: x times the normal distribution function of x.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
