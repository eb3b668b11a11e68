/* exponential: the base rate times γ^epoch, at every step: it falls by the factor γ in an epoch,
 * smoothly. */
#include <lathe/math.h>
#include <lathe/optimizer.h>

typedef struct config {
    double gamma;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, gamma, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "0.95", 0, 1,
                  "Factor by which the rate falls in an epoch."),
};

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    (void)step;
    (void)total;
    const config *c = (const config *)self;
    return base * lathe_pow(c->gamma, epoch > 0.0 ? epoch : 0.0);
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.schedule.exponential",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "exponential",
    .version = "1.0.0",
    .doc = "Falls by a factor in each epoch, smoothly.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
