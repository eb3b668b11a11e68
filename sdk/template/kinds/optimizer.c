/* @NAME@: p ← p - rate g. Write your formula and its source here. */
#include <lathe/lathe.h>

typedef struct config {
    double learning_rate;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, learning_rate, LATHE_PARAM_TUNABLE, "0.01", 1e-9, 1e3,
                  "Length of a step.", .scale = LATHE_SCALE_LOG),
};

/* Vectors as long as the parameters that the host keeps for it, such as a momentum. */
static int64_t n_slots(const void *self) {
    (void)self;
    return 0;
}

static double rate(const void *self) {
    return ((const config *)self)->learning_rate;
}

static int32_t step(const void *self, const lathe_step *s, lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t k = 0; k < s->n_segments; k++) {
        const lathe_segment *segment = &s->segments[k];
        const int64_t end = segment->offset + segment->length;
        const float scale = (float)(s->rate * (double)segment->rate_scale * s->gradient_scale);
        for (int64_t i = segment->offset < s->begin ? s->begin : segment->offset;
             i < end && i < s->end; i++)
            s->param[i] -= scale * s->gradient[i];
    }
    return LATHE_OK;
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
    .id = "@ID@",
    .kind = LATHE_KIND_OPTIMIZER,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Plain gradient descent.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
