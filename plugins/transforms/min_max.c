/* min_max.c: to a range.
 *
 *     y = low + (x − min)·(high − low) / (max − min)
 *
 * with min and max of the training rows; a constant column becomes low. Later values may lie outside the range,
 * unless clip is set. Missing stays missing.
 */
#include "number_map.h"

typedef struct min_max_config {
    const lathe_selector *columns;
    lathe_list range; /* double */
    int32_t clip;
} min_max_config;

static const lathe_param min_max_params[] = {
    LATHE_P_COLUMNS(min_max_config, columns, 0, "\"numeric\"", "Columns of numbers."),
    {LATHE_P_(min_max_config, range, LATHE_PARAM_FLOAT, LATHE_PARAM_LIST, "[0, 1]"),
     .doc = "The lowest and the highest value of the training rows after the transform.",
     .min_count = 2, .max_count = 2},
    LATHE_P_BOOL(min_max_config, clip, 0, "false", "Clip later values to the range."),
};

static int32_t find(const void *config, const char *name, step_value *v, int64_t n, int weighted,
                    double *pair, lathe_error *err) {
    (void)config, (void)weighted;
    pair[0] = pair[1] = v[0].value;
    for (int64_t i = 1; i < n; i++) {
        pair[0] = v[i].value < pair[0] ? v[i].value : pair[0];
        pair[1] = v[i].value > pair[1] ? v[i].value : pair[1];
    }
    if (!isfinite(pair[1] - pair[0]))
        return step_fail(err, LATHE_E_NUMERIC, "column '%.150s' holds infinite values", name);
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    const min_max_config *c = ((step *)self)->config;
    return number_map_fit(self, c->columns, "min_max", find, in, err);
}

static inline double rescale(const min_max_config *c, double x, double min, double max) {
    double low = ((const double *)c->range.items)[0], high = ((const double *)c->range.items)[1];
    double y = low + (x - min) * ((high - low) / (max > min ? max - min : 1));
    if (c->clip)
        y = y < low ? low : y > high ? high : y;
    return y;
}

NUMBER_MAP_APPLY(rescale(m->base.config, x, a, b))
STEP_CREATE(number_map)
NUMBER_MAP_INTERFACE

static int32_t check(const void *config, lathe_error *err) {
    const min_max_config *c = config;
    const double *range = c->range.items;
    if (range[0] < range[1] && isfinite(range[1] - range[0]))
        return LATHE_OK;
    snprintf(err->where, sizeof err->where, "range");
    return step_fail(err, LATHE_E_INVALID,
                     "expected [low, high] with low below high, found [%g, %g]", range[0],
                     range[1]);
}

STEP_DESCRIPTOR(min_max, 0, 1, interface, "Columns of numbers to a range, 0 to 1 by default.",
                LATHE_PARAMS(min_max_params, min_max_config), .check_config = check);

LATHE_PLUGIN(&min_max_descriptor)
