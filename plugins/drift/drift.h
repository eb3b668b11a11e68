/* drift.h: what the drift plugins share: errors, the checks of the two distributions, the descriptor. An instance is
 * its config. In every one `alert` is set exactly where statistic > threshold of the result.
 */
#ifndef LATHE_DRIFT_DRIFT_H
#define LATHE_DRIFT_DRIFT_H

#include <lathe/lathe.h>
#include <lathe/math.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static inline int32_t drift_fail(lathe_error *err,
                                                                       int32_t code,
                                                                       const char *format, ...) {
    va_list args;
    err->code = code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

static inline int32_t drift_check_counts(const lathe_distribution *d, const char *side,
                                         lathe_error *err) {
    for (int64_t b = 0; b < d->n_bins; b++)
        if (!(d->counts[b] >= 0) || isinf(d->counts[b]))
            return drift_fail(err, LATHE_E_DATA, "bin %lld of the %s holds %g", (long long)b, side,
                              d->counts[b]);
    if (!(d->total > 0) || isinf(d->total))
        return drift_fail(err, LATHE_E_DATA, "the %s has no values to compare", side);
    return LATHE_OK;
}

/* Both sides have values, in the same bins. */
static inline int32_t drift_check(const lathe_distribution *r, const lathe_distribution *c,
                                  lathe_error *err) {
    if (r->n_bins != c->n_bins || r->n_bins < 1 || r->categorical != c->categorical)
        return drift_fail(err, LATHE_E_SHAPE,
                          "the reference has %lld bins, the current values have %lld",
                          (long long)r->n_bins, (long long)c->n_bins);
    int32_t rc = drift_check_counts(r, "reference", err);
    return rc != LATHE_OK ? rc : drift_check_counts(c, "current values", err);
}

static inline int32_t drift_need_numbers(const lathe_distribution *r, lathe_error *err) {
    return r->categorical ? drift_fail(err, LATHE_E_UNSUPPORTED,
                                       "this test is for numbers, not for categories")
                          : LATHE_OK;
}

static inline int32_t drift_give(lathe_drift_result *result, double statistic, double p_value,
                                 double threshold) {
    result->statistic = statistic;
    result->p_value = p_value;
    result->threshold = threshold;
    result->alert = statistic > threshold;
    return LATHE_OK;
}

#define DRIFT_DESCRIPTOR(short_name, bits, table, params, config, ...)                             \
    static const lathe_descriptor short_name##_descriptor = {.struct_size =                        \
                                                                 LATHE_SIZED(lathe_descriptor),    \
                                                             .flags = bits,                        \
                                                             .id = "lathe.drift." #short_name,     \
                                                             .kind = LATHE_KIND_DRIFT,             \
                                                             .name = #short_name,                  \
                                                             .version = "1.0.0",                   \
                                                             .license = "Apache-2.0",              \
                                                             .interface = &table,                  \
                                                             LATHE_PARAMS(params, config),         \
                                                             .doc = __VA_ARGS__};                  \
    LATHE_PLUGIN(&short_name##_descriptor)

#endif
