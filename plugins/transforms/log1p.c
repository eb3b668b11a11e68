/* log1p.c: y = ln(1 + x), for counts and amounts with a long tail.
 *
 * x must be above −1; a value at or below is an error in fit and in apply, for it has no logarithm. Missing stays
 * missing.
 */
#include "number_map.h"

#include <lathe/math.h>

typedef struct log1p_config {
    const lathe_selector *columns;
} log1p_config;

static const lathe_param log1p_params[] = {
    LATHE_P_COLUMNS(log1p_config, columns, 0, "\"numeric\"", "Columns of numbers above -1."),
};

static int32_t fail_low(lathe_error *err, const char *name, double value) {
    return step_fail(
        err, LATHE_E_DATA,
        "column '%.150s' holds %g, and ln(1 + x) needs x above -1; clip it first, or leave "
        "it out",
        name, value);
}

static int32_t find(const void *config, const char *name, step_value *v, int64_t n, int weighted,
                    double *pair, lathe_error *err) {
    (void)config, (void)weighted;
    pair[0] = pair[1] = 0;
    for (int64_t i = 0; i < n; i++)
        if (v[i].value <= -1)
            return fail_low(err, name, v[i].value);
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    const log1p_config *c = ((step *)self)->config;
    return number_map_fit(self, c->columns, "log1p", find, in, err);
}

static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    const step *s = self;
    int32_t rc = step_check_input(s, in, err);
    for (int64_t k = 0; rc == LATHE_OK && k < s->n_chosen; k++) {
        const lathe_column *c = &in->columns[s->chosen[k]];
        double *y = out->columns[s->chosen[k]].values;
        for (int64_t i = 0; i < in->n_rows; i++) {
            double x = lathe_number_at(c, i, NAN);
            if (x <= -1)
                return fail_low(err, c->name, x);
            y[i] = lathe_log1p(x);
        }
    }
    return rc;
}

STEP_CREATE(number_map)
NUMBER_MAP_INTERFACE

STEP_DESCRIPTOR(log1p, 0, 1, interface, "ln(1 + x), for counts and amounts with a long tail.",
                LATHE_PARAMS(log1p_params, log1p_config));

LATHE_PLUGIN(&log1p_descriptor)
