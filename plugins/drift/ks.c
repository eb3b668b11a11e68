/* ks.c: two-sample Kolmogorov-Smirnov test.
 *
 *     D = max |F_r(x) − F_c(x)|        p = Q(D·√(n_r·n_c / (n_r + n_c)))
 *     Q(z) = 2·Σ_{k≥1} (−1)^{k−1}·e^{−2k²z²} = 1 − (√2π / z)·Σ_{k≥1} e^{−(2k−1)²π²/(8z²)}
 *
 * N. V. Smirnov, Ann. Math. Stat. 19, 1948; the two series: W. Feller, ibid. With all values on both sides D is
 * exact; with bins it is the largest difference at their edges, which is at most the exact one. p is that of large
 * samples. The threshold of the result is the larger of `threshold` and of the D at which p is `p_value`: with few
 * values chance alone must not alert, with many an irrelevant difference must not.
 */
#include "drift.h"

typedef struct ks_config {
    double threshold;
    double p_value;
} ks_config;

static const lathe_param ks_params[] = {
    LATHE_P_FLOAT(ks_config, threshold, 0, "0.1", 0, 1,
                  "Smallest difference of the distribution functions that matters."),
    LATHE_P_FLOAT(ks_config, p_value, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX, "0.01", 0, 1,
                  "Largest probability of a false alert that is accepted."),
};

/* P(√n·D > z) in the limit. */
static double kolmogorov(double z) {
    double sum = 0;
    if (z < 0.04)
        return 1; /* 1 − 10^−330 */
    if (z < 1.18) {
        double y = -9.869604401089358 / (8 * z * z); /* π² */
        for (int k = 1; k <= 9; k += 2)
            sum += lathe_exp(k * k * y);
        return 1 - 2.5066282746310002 / z * sum; /* √2π */
    }
    for (int k = 1; k <= 6; k++)
        sum += (k % 2 ? 1 : -1) * lathe_exp(-2.0 * k * k * z * z);
    return 2 * sum;
}

/* The z at which kolmogorov(z) is p. */
static double kolmogorov_inverse(double p) {
    double low = 0, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (kolmogorov(middle) > p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static double distance_of_values(const lathe_distribution *r, const lathe_distribution *c) {
    int64_t i = 0, k = 0;
    double most = 0;
    while (i < r->n_values && k < c->n_values) {
        double x = r->values[i] < c->values[k] ? r->values[i] : c->values[k];
        while (i < r->n_values && r->values[i] <= x)
            i++;
        while (k < c->n_values && c->values[k] <= x)
            k++;
        double d = fabs((double)i / (double)r->n_values - (double)k / (double)c->n_values);
        most = d > most ? d : most;
    }
    return most;
}

static double distance_of_bins(const lathe_distribution *r, const lathe_distribution *c) {
    double f = 0, g = 0, most = 0;
    for (int64_t b = 0; b + 1 < r->n_bins; b++) {
        f += r->counts[b];
        g += c->counts[b];
        double d = fabs(f / r->total - g / c->total);
        most = d > most ? d : most;
    }
    return most;
}

static int32_t compare(const void *self, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    const ks_config *config = self;
    int32_t rc = drift_check(r, c, err);
    if (rc != LATHE_OK || (rc = drift_need_numbers(r, err)) != LATHE_OK)
        return rc;
    int exact = r->values != NULL && c->values != NULL && r->n_values > 0 && c->n_values > 0;
    double d = exact ? distance_of_values(r, c) : distance_of_bins(r, c);
    double n = exact ? (double)r->n_values : r->total, m = exact ? (double)c->n_values : c->total;
    double root = sqrt(n * m / (n + m));
    double chance = kolmogorov_inverse(config->p_value) / root;
    return drift_give(result, d, kolmogorov(d * root),
                      chance > config->threshold ? chance : config->threshold);
}

static const lathe_drift interface = {.struct_size = LATHE_SIZED(lathe_drift), .compare = compare};

DRIFT_DESCRIPTOR(ks, LATHE_DRIFT_NUMERIC | LATHE_DRIFT_GIVES_P_VALUE, interface, ks_params,
                 ks_config, "Two-sample Kolmogorov-Smirnov test.")
