/* select.c: keep or drop columns. Nothing is copied: the columns that stay are passed through.
 *
 *     select  the chosen columns stay, in the table's order
 *     drop    the others do
 */
#include "step.h"

typedef struct columns_config {
    const lathe_selector *columns;
} columns_config;

static const lathe_param select_params[] = {
    LATHE_P_COLUMNS(columns_config, columns, LATHE_PARAM_REQUIRED, NULL, "The columns that stay."),
};
static const lathe_param drop_params[] = {
    LATHE_P_COLUMNS(columns_config, columns, LATHE_PARAM_REQUIRED, NULL, "The columns that go."),
};

static int32_t fit(step *s, int keep_chosen, const lathe_transform_fit *in, lathe_error *err) {
    const columns_config *c = s->config;
    int64_t k = 0;
    int32_t rc = step_begin(s, c->columns, in, err);
    for (int64_t i = 0; i < s->n_in && rc == LATHE_OK; i++) {
        int is_chosen = k < s->n_chosen && s->chosen[k] == i;
        k += is_chosen;
        if (is_chosen == keep_chosen)
            rc = step_pass(s, in->table, i, err);
    }
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static int32_t select_fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    return fit(self, 1, in, err);
}

static int32_t drop_fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    return fit(self, 0, in, err);
}

static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    (void)out;
    return step_check_input(self, in, err);
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    return step_save(self, w, err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    step *s = self;
    int32_t rc = step_load(s, r, err);
    for (int64_t i = 0; i < s->n_out && rc == LATHE_OK; i++)
        if (s->fields[i].source < 0)
            rc = step_corrupt(err, "a column that nothing fills");
    s->fitted = rc == LATHE_OK;
    return rc;
}

STEP_CREATE(step)

static const lathe_transform select_interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                                 .fit = select_fit,
                                                 .schema = step_schema,
                                                 .apply = apply,
                                                 .save = save,
                                                 .load = load};
static const lathe_transform drop_interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                               .fit = drop_fit,
                                               .schema = step_schema,
                                               .apply = apply,
                                               .save = save,
                                               .load = load};

STEP_DESCRIPTOR(select, 0, 1, select_interface, "Keeps the chosen columns.",
                LATHE_PARAMS(select_params, columns_config));
STEP_DESCRIPTOR(drop, 0, 1, drop_interface, "Drops the chosen columns.",
                LATHE_PARAMS(drop_params, columns_config));

LATHE_PLUGIN(&select_descriptor, &drop_descriptor)
