/* clip.c: values beyond a bound become the bound (winsorizing, where the bounds are quantiles).
 *
 *     y = min(max(x, lower), upper)
 *
 * Bounds are given, or quantiles of the training rows. Missing stays missing.
 */
#include "number_map.h"

typedef struct clip_config {
    const lathe_selector *columns;
    double lower;
    double upper;
    double lower_quantile;
    double upper_quantile;
} clip_config;

static const lathe_param clip_params[] = {
    LATHE_P_COLUMNS(clip_config, columns, 0, "\"numeric\"", "Columns of numbers."),
    LATHE_P_FLOAT(clip_config, lower, LATHE_PARAM_NULLABLE, "null", -1.7e308, 1.7e308,
                  "Lowest value; null: none."),
    LATHE_P_FLOAT(clip_config, upper, LATHE_PARAM_NULLABLE, "null", -1.7e308, 1.7e308,
                  "Highest value; null: none."),
    LATHE_P_FLOAT(clip_config, lower_quantile, LATHE_PARAM_NULLABLE, "null", 0, 1,
                  "Lowest value as a quantile of the training rows, instead of lower."),
    LATHE_P_FLOAT(clip_config, upper_quantile, LATHE_PARAM_NULLABLE, "null", 0, 1,
                  "Highest value as a quantile of the training rows, instead of upper."),
};

static int32_t find(const void *config, const char *name, step_value *v, int64_t n, int weighted,
                    double *pair, lathe_error *err) {
    const clip_config *c = config;
    (void)name, (void)err;
    qsort(v, (size_t)n, sizeof *v, step_compare_values);
    pair[0] = isnan(c->lower) ? -INFINITY : c->lower;
    pair[1] = isnan(c->upper) ? INFINITY : c->upper;
    if (!isnan(c->lower_quantile))
        pair[0] = step_quantile(v, n, weighted, c->lower_quantile);
    if (!isnan(c->upper_quantile))
        pair[1] = step_quantile(v, n, weighted, c->upper_quantile);
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    const clip_config *c = ((step *)self)->config;
    return number_map_fit(self, c->columns, "clip", find, in, err);
}

NUMBER_MAP_APPLY(x<a ? a : x> b ? b : x)
STEP_CREATE(number_map)
NUMBER_MAP_INTERFACE

static int32_t refuse(lathe_error *err, const char *where, const char *message) {
    snprintf(err->where, sizeof err->where, "%s", where);
    return step_fail(err, LATHE_E_INVALID, "%s", message);
}

static int32_t check(const void *config, lathe_error *err) {
    const clip_config *c = config;
    if (isnan(c->lower) && isnan(c->upper) && isnan(c->lower_quantile) && isnan(c->upper_quantile))
        return refuse(err, "lower",
                      "there is no bound; give lower, upper, lower_quantile or "
                      "upper_quantile");
    if (!isnan(c->lower) && !isnan(c->lower_quantile))
        return refuse(err, "lower_quantile", "give lower or lower_quantile, not both");
    if (!isnan(c->upper) && !isnan(c->upper_quantile))
        return refuse(err, "upper_quantile", "give upper or upper_quantile, not both");
    if (c->lower > c->upper)
        return refuse(err, "lower", "lower is above upper");
    if (c->lower_quantile > c->upper_quantile)
        return refuse(err, "lower_quantile", "lower_quantile is above upper_quantile");
    return LATHE_OK;
}

STEP_DESCRIPTOR(clip, 0, 1, interface, "Values beyond given bounds or quantiles become the bound.",
                LATHE_PARAMS(clip_params, clip_config), .check_config = check);

LATHE_PLUGIN(&clip_descriptor)
