/* sgd: stochastic gradient descent, with momentum and Nesterov's look-ahead.
 *     g ← scale · g + λ p                            (λ: weight_decay; not for biases)
 *     b ← μ b + g,  b = 0 at first                   (with momentum μ)
 *     g ← b, or g + μ b with nesterov
 *     p ← p - η g                                    (η: the rate)
 *
 * H. Robbins, S. Monro, Annals of Mathematical Statistics 22, 1951; B. T. Polyak, 1964
 * (momentum); I. Sutskever, J. Martens, G. Dahl, G. Hinton, ICML 2013, equations 3 and 4
 * (Nesterov). As in PyTorch the rate multiplies the velocity when it is used, not when it is
 * stored, so that a change of rate acts at once; the first step is then plain.
 */
#include "segments.h"

typedef struct config {
    double learning_rate;
    double momentum;
    double weight_decay;
    int32_t nesterov;
} config;

static const lathe_param params[] = {
    PARAM_RATE(config, "0.01"),
    LATHE_P_FLOAT(config, momentum, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.0", 0, 1,
                  "Share of the velocity that a step keeps; 0: none is stored."),
    PARAM_DECAY(config, "0.0", "Share of each weight that is added to its gradient (L2 penalty)."),
    LATHE_P_BOOL(config, nesterov, 0, "false",
                 "Take the gradient as if the velocity had been applied already; needs momentum."),
};

/* slot: the velocity b */
static void advance(const void *self, const stretch *s) {
    const config *c = (const config *)self;
    float *restrict p = s->param;
    const float *restrict gradient = s->gradient;
    float *restrict velocity = s->slots;
    const float scale = s->scale;
    const float decay = s->decay ? (float)c->weight_decay : 0.0f;
    const float keep = (float)c->momentum;
    const float rate = (float)s->rate;
    if (c->momentum == 0.0) {
        for (int64_t i = 0; i < s->n; i++) {
            p[i] -= rate * (gradient[i] * scale + decay * p[i]);
        }
        return;
    }
    /* p - η b, or p - η (g + μ b): with one of the two factors 0 the loop serves both */
    const float ahead = c->nesterov ? keep : 1.0f;
    const float plain = c->nesterov ? 1.0f : 0.0f;
    for (int64_t i = 0; i < s->n; i++) {
        const float g = gradient[i] * scale + decay * p[i];
        const float b = keep * velocity[i] + g;
        velocity[i] = b;
        p[i] -= rate * (plain * g + ahead * b);
    }
}

static int64_t n_slots(const void *self) {
    return ((const config *)self)->momentum == 0.0 ? 0 : 1;
}

static double rate(const void *self) {
    return ((const config *)self)->learning_rate;
}

static int32_t step(const void *self, const lathe_step *step, lathe_error *err) {
    return step_segments(self, step, advance, err);
}

static int32_t check_config(const void *self, lathe_error *err) {
    const config *c = (const config *)self;
    if (c->nesterov != 1 || c->momentum > 0.0) {
        return LATHE_OK;
    }
    err->code = LATHE_E_INVALID;
    snprintf(err->where, sizeof err->where, "nesterov");
    snprintf(err->message, sizeof err->message,
             "nesterov needs a momentum above 0, which is %g; set momentum, 0.9 say", c->momentum);
    return LATHE_E_INVALID;
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
    .id = "lathe.optimizer.sgd",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "sgd",
    .version = "1.0.0",
    .doc = "Stochastic gradient descent, with momentum and Nesterov's look-ahead.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .check_config = check_config,
};

LATHE_PLUGIN(&descriptor)
