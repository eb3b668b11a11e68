/* @NAME@: half the sum of |p - q| over the bins (total variation), 0 to 1. Write your formula and its source here. */
#include <lathe/lathe.h>

#include <math.h>
#include <stdio.h>

typedef struct config {
    double threshold;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, threshold, 0, "0.1", 0, 1, "Beyond it there is an alert."),
};

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    err->code = code;
    snprintf(err->message, sizeof err->message, "%s", message);
    return code;
}

static int32_t compare(const void *self, const lathe_distribution *reference,
                       const lathe_distribution *current, lathe_drift_result *result,
                       lathe_error *err) {
    const config *c = self;
    double sum = 0;
    if (reference->n_bins != current->n_bins)
        return fail(err, LATHE_E_SHAPE, "The two sides have different bins.");
    if (!(reference->total > 0) || !(current->total > 0))
        return fail(err, LATHE_E_DATA, "A side has no values.");
    for (int64_t b = 0; b < reference->n_bins; b++)
        sum += fabs(reference->counts[b] / reference->total - current->counts[b] / current->total);
    result->statistic = sum / 2;
    result->p_value = NAN;
    result->threshold = c->threshold;
    result->alert = result->statistic > c->threshold;
    return LATHE_OK;
}

static const lathe_drift interface = {
    .struct_size = LATHE_SIZED(lathe_drift),
    .compare = compare,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_DRIFT_NUMERIC | LATHE_DRIFT_CATEGORICAL,
    .id = "@ID@",
    .kind = LATHE_KIND_DRIFT,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Total variation between the shares of the bins.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
