/* standardize.c: to mean 0 and variance 1.
 *
 *     y = (x − mean) / s,  s² = Σ w·(x − mean)² / Σ w
 *
 * over the training rows' values (the population's variance, in two passes: T. F. Chan, G. H. Golub, R. J. LeVeque,
 * The American Statistician 37, 1983). s is 1 for a constant column. Missing stays missing.
 */
#include "number_map.h"

typedef struct standardize_config {
    const lathe_selector *columns;
    int32_t center;
    int32_t scale;
} standardize_config;

static const lathe_param standardize_params[] = {
    LATHE_P_COLUMNS(standardize_config, columns, 0, "\"numeric\"", "Columns of numbers."),
    LATHE_P_BOOL(standardize_config, center, 0, "true", "Subtract the mean."),
    LATHE_P_BOOL(standardize_config, scale, 0, "true", "Divide by the standard deviation."),
};

static int32_t find(const void *config, const char *name, step_value *v, int64_t n, int weighted,
                    double *pair, lathe_error *err) {
    const standardize_config *c = config;
    double total = 0, mean = 0, rest = 0, square = 0;
    int constant = 1;
    (void)weighted;
    for (int64_t i = 0; i < n; i++) {
        total += v[i].weight;
        mean += v[i].weight * v[i].value;
        constant &= v[i].value == v[0].value;
    }
    if (total <= 0)
        return step_no_values(err, name);
    mean = constant ? v[0].value : mean / total;
    for (int64_t i = 0; i < n; i++) {
        rest += v[i].weight * (v[i].value - mean);
        square += v[i].weight * (v[i].value - mean) * (v[i].value - mean);
    }
    double variance = (square - rest * rest / total) / total;
    if (!isfinite(mean) || !isfinite(variance))
        return step_fail(err, LATHE_E_NUMERIC,
                         "column '%.150s' holds infinite values, or ones too large to square",
                         name);
    pair[0] = c->center ? mean : 0;
    pair[1] = c->scale && variance > 0 && !constant ? sqrt(variance) : 1;
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    const standardize_config *c = ((step *)self)->config;
    return number_map_fit(self, c->columns, "standardize", find, in, err);
}

NUMBER_MAP_APPLY((x - a) / b)
STEP_CREATE(number_map)
NUMBER_MAP_INTERFACE

STEP_DESCRIPTOR(standardize, 0, 1, interface, "Columns of numbers to mean 0 and variance 1.",
                LATHE_PARAMS(standardize_params, standardize_config));

LATHE_PLUGIN(&standardize_descriptor)
