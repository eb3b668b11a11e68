/* @NAME@: rate = base / (1 + decay · epoch). Write your formula and its source here. */
#include <lathe/lathe.h>

typedef struct config {
    double decay;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, decay, LATHE_PARAM_TUNABLE, "0.1", 0, 1e3, "Of the rate, an epoch."),
};

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    (void)step;
    (void)total;
    return base / (1 + ((const config *)self)->decay * epoch);
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "@ID@",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "The rate over time, inverse decay.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
