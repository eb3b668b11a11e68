/* step: the base rate times γ^⌊epoch / every⌋: it falls by the factor γ after every so many epochs.
 *
 * K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning, CVPR 2016, section 3.4 (the rate
 * divided by 10 in steps).
 */
#include <lathe/math.h>
#include <lathe/optimizer.h>

typedef struct config {
    double every;
    double gamma;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, every, LATHE_PARAM_EXCL_MIN, "10.0", 0, 1e9,
                  "How long the rate stays the same.", .unit = "epochs"),
    LATHE_P_FLOAT(config, gamma, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "0.1", 0, 1,
                  "Factor by which the rate falls each time."),
};

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    (void)step;
    (void)total;
    const config *c = (const config *)self;
    const double falls = epoch / c->every;
    if (!(falls >= 1.0)) {
        return base;
    }
    return base * lathe_powi(c->gamma, falls < 1e15 ? (int64_t)falls : (int64_t)1e15);
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.schedule.step",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "step",
    .version = "1.0.0",
    .doc = "Falls by a factor after every so many epochs.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)
