/* adagrad: each parameter's rate falls with the squares of all its gradients so far.
 *     g ← scale · g + λ p                            (λ: weight_decay; not for biases)
 *     a ← a + g²
 *     p ← p - η g / (√(a₀ + a) + ε)                  (a₀: initial_accumulator)
 *
 * J. Duchi, E. Hazan, Y. Singer, Adaptive Subgradient Methods, JMLR 12, 2011: the diagonal form
 * of figure 1. ε outside the root as in PyTorch; a rate that falls over time is a schedule's.
 */
#include "segments.h"

typedef struct config {
    double learning_rate;
    double weight_decay;
    double initial_accumulator;
    double eps;
} config;

static const lathe_param params[] = {
    PARAM_RATE(config, "0.01"),
    PARAM_DECAY(config, "0.0", "Share of each weight that is added to its gradient (L2 penalty)."),
    LATHE_P_FLOAT(config, initial_accumulator, 0, "0.0", 0, 1e6,
                  "The sum of squares before the first step: dampens the first steps."),
    PARAM_EPS(config, "1e-10"),
};

/* slot: the sum of squares a */
static void advance(const void *self, const stretch *s) {
    const config *c = (const config *)self;
    float *restrict p = s->param;
    const float *restrict gradient = s->gradient;
    float *restrict sum = s->slots;
    const float scale = s->scale;
    const float decay = s->decay ? (float)c->weight_decay : 0.0f;
    const float rate = (float)s->rate;
    const float first = (float)c->initial_accumulator;
    const float eps = (float)c->eps;
    for (int64_t i = 0; i < s->n; i++) {
        const float g = gradient[i] * scale + decay * p[i];
        const float a = sum[i] + g * g;
        const float root = sqrtf(first + a) + eps;
        sum[i] = a;
        /* with ε = 0 an element that never had a gradient would be 0 / 0 */
        p[i] -= root > 0.0f || g != 0.0f ? rate * g / root : 0.0f;
    }
}

static int64_t n_slots(const void *self) {
    (void)self;
    return 1;
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
    .id = "lathe.optimizer.adagrad",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "adagrad",
    .version = "1.0.0",
    .doc = "Steps that shrink with the squares of all gradients so far.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
