/* adamw: adam with weight decay apart from the gradient.
 *     p ← p - η λ p                                  (λ: weight_decay; not for biases)
 *     m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²
 *     p ← p - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)          (t: the step, from 1)
 * With amsgrad v is replaced under the root by the largest v so far.
 *
 * I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2; as in
 * PyTorch the decay is multiplied by the scheduled rate η.
 */
#include "adam_steps.h"

static const lathe_param params[] = {
    ADAM_PARAMS("0.01",
                "Share of each weight that a step of rate 1 takes away, apart from the gradient."),
};

static void advance(const void *self, const stretch *s) {
    const adam_config *c = (const adam_config *)self;
    const float shrink = s->decay ? (float)(1.0 - s->rate * c->weight_decay) : 1.0f;
    if (c->amsgrad) {
        adam_loop(c, s, 0.0f, shrink, 1);
    } else {
        adam_loop(c, s, 0.0f, shrink, 0);
    }
}

static int32_t step(const void *self, const lathe_step *step, lathe_error *err) {
    return step_segments(self, step, advance, err);
}

static const lathe_optimizer interface = {
    .struct_size = LATHE_SIZED(lathe_optimizer),
    .n_slots = adam_slots,
    .rate = adam_rate,
    .step = step,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_OPTIMIZER_ELEMENTWISE,
    .id = "lathe.optimizer.adamw",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "adamw",
    .version = "1.0.0",
    .doc = "Adam with weight decay apart from the gradient.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, adam_config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
