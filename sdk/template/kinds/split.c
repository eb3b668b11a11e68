/* @NAME@: of every `period` rows of the source one tests, the others train. Put your own rule in its place. */
#include <lathe/lathe.h>

typedef struct config {
    int64_t period;
} config;

static const lathe_param params[] = {
    LATHE_P_INT(config, period, 0, "5", 2, 1e6, "One row in so many tests.", .unit = "rows"),
};

/* No folds for cross-validation. */
static int32_t n_folds(const void *self) {
    (void)self;
    return 0;
}

/* By the source's row numbers, so that further rows move no other. */
static int32_t assign(const void *self, const lathe_split_input *in, int32_t *part, int32_t *fold,
                      lathe_error *err) {
    const config *c = self;
    (void)fold;
    (void)err;
    for (int64_t i = 0; i < in->table->n_rows; i++)
        part[i] = in->row_id[i] % c->period == 0 ? LATHE_PART_TEST : LATHE_PART_TRAIN;
    return LATHE_OK;
}

static const lathe_split interface = {
    .struct_size = LATHE_SIZED(lathe_split),
    .n_folds = n_folds,
    .assign = assign,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "@ID@",
    .kind = LATHE_KIND_SPLIT,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Every so manieth row tests.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
