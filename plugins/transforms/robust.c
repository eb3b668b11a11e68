/* robust.c: by median and interquartile range, which outliers do not move.
 *
 *     y = (x − median) / (q₃ − q₁)
 *
 * over the training rows; the divisor is 1 where the quartiles are equal. Missing stays missing.
 * (P. J. Huber, E. M. Ronchetti, "Robust Statistics", 2nd ed. 2009, chapter 5.)
 */
#include "number_map.h"

typedef struct robust_config {
    const lathe_selector *columns;
    double lower_quantile;
    double upper_quantile;
} robust_config;

static const lathe_param robust_params[] = {
    LATHE_P_COLUMNS(robust_config, columns, 0, "\"numeric\"", "Columns of numbers."),
    LATHE_P_FLOAT(robust_config, lower_quantile, 0, "0.25", 0, 0.5,
                  "Lower end of the divisor's range."),
    LATHE_P_FLOAT(robust_config, upper_quantile, 0, "0.75", 0.5, 1,
                  "Upper end of the divisor's range."),
};

static int32_t find(const void *config, const char *name, step_value *v, int64_t n, int weighted,
                    double *pair, lathe_error *err) {
    const robust_config *c = config;
    qsort(v, (size_t)n, sizeof *v, step_compare_values);
    double low = step_quantile(v, n, weighted, c->lower_quantile);
    double high = step_quantile(v, n, weighted, c->upper_quantile);
    pair[0] = step_quantile(v, n, weighted, 0.5);
    pair[1] = high > low ? high - low : 1;
    if (!isfinite(pair[0]) || !isfinite(pair[1]))
        return step_fail(err, LATHE_E_NUMERIC, "column '%.150s' holds infinite values", name);
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    const robust_config *c = ((step *)self)->config;
    return number_map_fit(self, c->columns, "robust", find, in, err);
}

NUMBER_MAP_APPLY((x - a) / b)
STEP_CREATE(number_map)
NUMBER_MAP_INTERFACE

STEP_DESCRIPTOR(robust, 0, 1, interface,
                "Columns of numbers by median and interquartile range, which outliers do not move.",
                LATHE_PARAMS(robust_params, robust_config));

LATHE_PLUGIN(&robust_descriptor)
