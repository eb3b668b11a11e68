/* adam: momentum and a running root mean square, both corrected for their start at 0.
 *     g ← scale · g + λ p                            (λ: weight_decay; not for biases)
 *     m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²
 *     p ← p - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)          (t: the step, from 1)
 * With amsgrad v is replaced under the root by the largest v so far.
 *
 * D. P. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1; S. J.
 * Reddi, S. Kale, S. Kumar, On the Convergence of Adam and Beyond, ICLR 2018 (amsgrad; the
 * largest v before its correction, as in PyTorch).
 */
#include "adam_steps.h"

static const lathe_param params[] = {
    ADAM_PARAMS("0.0", "Share of each weight that is added to its gradient (L2 penalty)."),
};

static void advance(const void *self, const stretch *s) {
    const adam_config *c = (const adam_config *)self;
    const float decay = s->decay ? (float)c->weight_decay : 0.0f;
    if (c->amsgrad) {
        adam_loop(c, s, decay, 1.0f, 1);
    } else {
        adam_loop(c, s, decay, 1.0f, 0);
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
    .id = "lathe.optimizer.adam",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "adam",
    .version = "1.0.0",
    .doc = "Adaptive moments: momentum divided by a running root mean square.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    LATHE_PARAMS(params, adam_config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
