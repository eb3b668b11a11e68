/* rmsprop: gradients divided by a running root mean square of themselves.
 *     g ← scale · g + λ p                            (λ: weight_decay; not for biases)
 *     v ← α v + (1 - α) g²
 *     a ← α a + (1 - α) g,  v' = v - a²              (centered; else v' = v)
 *     u = g / (√v' + ε)
 *     p ← p - η u, or with momentum μ: b ← μ b + u, p ← p - η b
 *
 * T. Tieleman, G. Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; centered: A.
 * Graves, Generating Sequences with Recurrent Neural Networks, 2013, equations 38 to 41. ε
 * outside the root as in PyTorch. v - a² is a variance: where rounding makes it negative it is 0.
 */
#include "segments.h"

typedef struct config {
    double learning_rate;
    double alpha;
    double eps;
    double weight_decay;
    double momentum;
    int32_t centered;
} config;

static const lathe_param params[] = {
    PARAM_RATE(config, "0.01"),
    LATHE_P_FLOAT(config, alpha, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.99", 0, 1,
                  "Share of the running mean square that a step keeps."),
    PARAM_EPS(config, "1e-8"),
    PARAM_DECAY(config, "0.0", "Share of each weight that is added to its gradient (L2 penalty)."),
    LATHE_P_FLOAT(config, momentum, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.0", 0, 1,
                  "Share of the velocity that a step keeps; 0: none is stored."),
    LATHE_P_BOOL(
        config, centered, 0, "false",
        "Divide by the standard deviation instead: the squared running mean is subtracted."),
};

/* slots: v; then a where centered; then b with momentum. Inlined with constant flags: one loop
 * each. */
static inline void loop(const config *c, const stretch *s, const int centered, const int momentum) {
    float *restrict p = s->param;
    const float *restrict gradient = s->gradient;
    float *restrict v = s->slots;
    float *restrict mean = centered ? s->slots + s->stride : NULL;
    float *restrict velocity = momentum ? s->slots + (centered ? 2 : 1) * s->stride : NULL;
    const float scale = s->scale;
    const float decay = s->decay ? (float)c->weight_decay : 0.0f;
    const float rate = (float)s->rate;
    const float keep = (float)c->alpha;
    const float take = (float)(1.0 - c->alpha);
    const float inertia = (float)c->momentum;
    const float eps = (float)c->eps;
    for (int64_t i = 0; i < s->n; i++) {
        const float g = gradient[i] * scale + decay * p[i];
        float square = keep * v[i] + take * (g * g);
        v[i] = square;
        if (centered) {
            const float a = keep * mean[i] + take * g;
            mean[i] = a;
            square -= a * a;
            square = square < 0.0f ? 0.0f : square;
        }
        const float root = sqrtf(square) + eps;
        float u = root > 0.0f || g != 0.0f ? g / root : 0.0f; /* ε = 0 and no gradient yet */
        if (momentum) {
            u = inertia * velocity[i] + u;
            velocity[i] = u;
        }
        p[i] -= rate * u;
    }
}

static void advance(const void *self, const stretch *s) {
    const config *c = (const config *)self;
    if (c->centered) {
        if (c->momentum > 0.0) {
            loop(c, s, 1, 1);
        } else {
            loop(c, s, 1, 0);
        }
    } else if (c->momentum > 0.0) {
        loop(c, s, 0, 1);
    } else {
        loop(c, s, 0, 0);
    }
}

static int64_t n_slots(const void *self) {
    const config *c = (const config *)self;
    return 1 + (c->centered ? 1 : 0) + (c->momentum > 0.0 ? 1 : 0);
}

static double rate(const void *self) {
    return ((const config *)self)->learning_rate;
}

static int32_t step(const void *self, const lathe_step *step, lathe_error *err) {
    return step_segments(self, step, advance, err);
}

static const lathe_optimizer interface = {
    .struct_size = LATHE_SIZED(lathe_optimizer),
    .n_slots = n_slots,
    .rate = rate,
    .step = step,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_OPTIMIZER_ELEMENTWISE,
    .id = "lathe.optimizer.rmsprop",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "rmsprop",
    .version = "1.0.0",
    .doc = "Gradients divided by a running root mean square of themselves.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
