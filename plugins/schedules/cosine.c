/* cosine: half a wave of the cosine from the base rate η down to φ η, where it stays:
 *     η (φ + (1 - φ) (1 + cos(π t)) / 2),  t the share of the way, at most 1        (φ: floor)
 *
 * I. Loshchilov, F. Hutter, SGDR, ICLR 2017, equation 5, without restarts. The way is `epochs` or
 * `steps` where one is given, else the whole training; where that is not known beforehand the
 * rate stays at η.
 */
#include <lathe/math.h>
#include <lathe/optimizer.h>

#include <stdio.h>

typedef struct config {
    int64_t steps;
    double epochs;
    double floor;
} config;

static const lathe_param params[] = {
    LATHE_P_INT(config, steps, LATHE_PARAM_NULLABLE, "null", 1, 1e12,
                "Length of the way down; null: all of the training.", .unit = "steps"),
    LATHE_P_FLOAT(config, epochs, LATHE_PARAM_NULLABLE | LATHE_PARAM_EXCL_MIN, "null", 0, 1e9,
                  "Length of the way down; null: see steps.", .unit = "epochs"),
    LATHE_P_FLOAT(config, floor, LATHE_PARAM_TUNABLE, "0.0", 0, 1,
                  "Where it ends, as a share of the base rate."),
};

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    const config *c = (const config *)self;
    const int64_t length = c->steps != LATHE_INT_NULL ? c->steps : total;
    double t;
    if (!lathe_isnan(c->epochs)) {
        t = epoch / c->epochs;
    } else if (length > 0) {
        t = (double)step / (double)length;
    } else {
        return base;
    }
    t = t < 1.0 ? t : 1.0;
    t = t > 0.0 ? t : 0.0;
    const double wave = 0.5 * (1.0 + lathe_cos(3.141592653589793 * t));
    return base * (c->floor + (1.0 - c->floor) * wave);
}

static int32_t check_config(const void *self, lathe_error *err) {
    const config *c = (const config *)self;
    if (c->steps == LATHE_INT_NULL || lathe_isnan(c->epochs)) {
        return LATHE_OK;
    }
    err->code = LATHE_E_INVALID;
    snprintf(err->where, sizeof err->where, "steps");
    snprintf(err->message, sizeof err->message,
             "steps is %lld and epochs is %g; give one of them, or neither", (long long)c->steps,
             c->epochs);
    return LATHE_E_INVALID;
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.schedule.cosine",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "cosine",
    .version = "1.0.0",
    .doc = "Falls to a floor along half a wave of the cosine.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .check_config = check_config,
};

LATHE_PLUGIN(&descriptor)
