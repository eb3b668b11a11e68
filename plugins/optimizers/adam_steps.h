/* The steps of adam and adamw, which differ only in how weight decay enters. */
#ifndef LATHE_OPTIMIZERS_ADAM_STEPS_H
#define LATHE_OPTIMIZERS_ADAM_STEPS_H

#include "segments.h"

typedef struct adam_config {
    double learning_rate;
    double beta1;
    double beta2;
    double eps;
    double weight_decay;
    int32_t amsgrad;
} adam_config;

/* Elements stepped at once, and how far ahead the next are asked of memory: large networks' parameters and
 * slots come from the last cache, a page at a time. */
enum { ADAM_RUN = 64, ADAM_AHEAD = 512, FLOATS_A_LINE = 16 };

static inline void adam_ask(const float *at) {
#if defined(__GNUC__)
    for (int64_t i = 0; i < ADAM_RUN; i += FLOATS_A_LINE)
        __builtin_prefetch(at + i, 1);
#else
    (void)at;
#endif
}

/* slots: m, v and, with amsgrad, the largest v so far. `coupled` decay is added to the gradient,
 * `decoupled` shrinks the parameter by this factor first. Always inlined with constant `amsgrad`:
 * one loop each. */
static inline void adam_loop(const adam_config *c, const stretch *s, float coupled, float shrink,
                             const int amsgrad) {
    const float keep1 = (float)c->beta1;
    const float take1 = (float)(1.0 - c->beta1);
    const float keep2 = (float)c->beta2;
    const float take2 = (float)(1.0 - c->beta2);
    const double correct1 = 1.0 - lathe_powi(c->beta1, s->step);
    const double correct2 = 1.0 - lathe_powi(c->beta2, s->step);
    const float rate = (float)(s->rate / correct1);
    const float root = (float)(1.0 / sqrt(correct2));
    const float eps = (float)c->eps;
    const float scale = s->scale;
    for (int64_t from = 0; from < s->n; from += ADAM_RUN) {
        const int64_t n = s->n - from < ADAM_RUN ? s->n - from : ADAM_RUN;
        float *restrict p = s->param + from;
        const float *restrict gradient = s->gradient + from;
        float *restrict m = s->slots + from;
        float *restrict v = s->slots + s->stride + from;
        float *restrict top = amsgrad ? s->slots + 2 * s->stride + from : NULL;
        if (s->n - from >= ADAM_AHEAD + ADAM_RUN) {
            adam_ask(p + ADAM_AHEAD);
            adam_ask(m + ADAM_AHEAD);
            adam_ask(v + ADAM_AHEAD);
        }
        for (int64_t i = 0; i < n; i++) {
            const float x = p[i] * shrink;
            const float g = gradient[i] * scale + coupled * x;
            const float mean = keep1 * m[i] + take1 * g;
            const float square = keep2 * v[i] + take2 * (g * g);
            float used = square;
            if (amsgrad) {
                used = square > top[i] ? square : top[i];
                top[i] = used;
            }
            m[i] = mean;
            v[i] = square;
            const float size = sqrtf(used) * root + eps;
            /* with ε = 0 an element that never had a gradient would be 0 / 0 */
            p[i] = x - (size > 0.0f || mean != 0.0f ? rate * mean / size : 0.0f);
        }
    }
}

static inline int64_t adam_slots(const void *self) {
    return ((const adam_config *)self)->amsgrad ? 3 : 2;
}

static inline double adam_rate(const void *self) {
    return ((const adam_config *)self)->learning_rate;
}

#define ADAM_PARAMS(decay_default, decay_text)                                                     \
    PARAM_RATE(adam_config, "0.001"),                                                              \
        LATHE_P_FLOAT(adam_config, beta1, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.9", 0, 1, \
                      "Share of the running mean of gradients that a step keeps."),                \
        LATHE_P_FLOAT(adam_config, beta2, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.999", 0,  \
                      1, "Share of the running mean of squared gradients that a step keeps."),     \
        PARAM_EPS(adam_config, "1e-8"), PARAM_DECAY(adam_config, decay_default, decay_text),       \
        LATHE_P_BOOL(adam_config, amsgrad, 0, "false",                                             \
                     "Divide by the largest mean square so far (Reddi et al. 2018).")

#endif
