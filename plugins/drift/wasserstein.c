/* wasserstein.c: how far the mass has to move, in standard deviations of the reference.
 *
 *     W₁ / σ_r = ∫ |F_r(x) − F_c(x)| dx / σ_r
 *
 * L. N. Vaserstein 1969; in one dimension the L1 distance of the distribution functions: S. S. Vallender, Theory
 * Probab. Appl. 18, 1974. With all values on both sides it is exact. With bins, the mass of a bin lies evenly between
 * the smallest and the largest value seen in it:
 *
 *     F        ___/‾‾        a bin's mass m rises from lower to upper; between bins F is level
 *        ___/‾‾              lower = upper: a jump
 *
 * Where the reference is constant, a thousandth of its size (of 1, if it is 0) stands for σ_r.
 */
#include "drift.h"

typedef struct wasserstein_config {
    double threshold;
} wasserstein_config;

static const lathe_param wasserstein_params[] = {
    LATHE_P_FLOAT(wasserstein_config, threshold, 0, "0.1", 0, 1000, "Above it an alert is raised.",
                  .unit = "standard deviations"),
};

static double normalizer(double mean, double variance) {
    double least = fabs(mean) > 0 ? fabs(mean) * 1e-3 : 1e-3;
    return variance > 0 ? sqrt(variance) : least;
}

/* ---- all values -------------------------------------------------------------------------------------- */

static double deviation_of_values(const lathe_distribution *d) {
    double mean = 0, square = 0, n = (double)d->n_values;
    for (int64_t i = 0; i < d->n_values; i++)
        mean += d->values[i];
    mean /= n;
    for (int64_t i = 0; i < d->n_values; i++)
        square += (d->values[i] - mean) * (d->values[i] - mean);
    if (d->values[0] == d->values[d->n_values - 1])
        square = 0; /* the mean of equal numbers may be rounded */
    return normalizer(mean, square / n);
}

static double distance_of_values(const lathe_distribution *r, const lathe_distribution *c) {
    int64_t i = 0, k = 0;
    double sum = 0, before = r->values[0] < c->values[0] ? r->values[0] : c->values[0];
    while (i < r->n_values || k < c->n_values) {
        double x = k == c->n_values || (i < r->n_values && r->values[i] <= c->values[k])
                       ? r->values[i]
                       : c->values[k];
        sum +=
            fabs((double)i / (double)r->n_values - (double)k / (double)c->n_values) * (x - before);
        before = x;
        while (i < r->n_values && r->values[i] == x)
            i++;
        while (k < c->n_values && c->values[k] == x)
            k++;
    }
    return sum;
}

/* ---- bins -------------------------------------------------------------------------------------------- */

/* One side's mass in one bin. */
typedef struct piece {
    double below; /* share below the bin */
    double mass;  /* share in it */
    double lower;
    double upper;
} piece;

/* F just right of x (right), or just left of it. */
static double share_at(const piece *p, double x, int right) {
    if (p->mass == 0 || x < p->lower)
        return p->below;
    if (x > p->upper)
        return p->below + p->mass;
    if (p->upper > p->lower)
        return p->below + p->mass * ((x - p->lower) / (p->upper - p->lower));
    return right ? p->below + p->mass : p->below;
}

/* ∫ |linear| between a at one end and b at the other, over `width`. */
static double area_between(double a, double b, double width) {
    if ((a >= 0) == (b >= 0))
        return (fabs(a) + fabs(b)) / 2 * width;
    return (a * a + b * b) / (2 * (fabs(a) + fabs(b))) * width;
}

static void insert_sorted(double *x, int *n, double value) {
    int at = (*n)++;
    for (; at > 0 && x[at - 1] > value; at--)
        x[at] = x[at - 1];
    x[at] = value;
}

/* Adds the area from `*from` (NaN at first) to the end of this bin's values. */
static double area_of_bin(const piece *r, const piece *c, double *from) {
    double x[5], area = 0;
    int n = 0;
    if (r->mass > 0) {
        insert_sorted(x, &n, r->lower);
        insert_sorted(x, &n, r->upper);
    }
    if (c->mass > 0) {
        insert_sorted(x, &n, c->lower);
        insert_sorted(x, &n, c->upper);
    }
    if (n > 0 && !isnan(*from))
        area += fabs(r->below - c->below) * (x[0] - *from);
    for (int i = 1; i < n; i++)
        if (x[i] > x[i - 1])
            area += area_between(share_at(r, x[i - 1], 1) - share_at(c, x[i - 1], 1),
                                 share_at(r, x[i], 0) - share_at(c, x[i], 0), x[i] - x[i - 1]);
    if (n > 0)
        *from = x[n - 1];
    return area;
}

static double deviation_of_bins(const lathe_distribution *d) {
    double mean = 0, square = 0;
    for (int64_t b = 0; b < d->n_bins; b++)
        if (d->counts[b] > 0)
            mean += d->counts[b] / d->total * (d->lower[b] + (d->upper[b] - d->lower[b]) / 2);
    for (int64_t b = 0; b < d->n_bins; b++) {
        if (!(d->counts[b] > 0))
            continue;
        double width = d->upper[b] - d->lower[b], center = d->lower[b] + width / 2 - mean;
        square += d->counts[b] / d->total * (center * center + width * width / 12);
    }
    return normalizer(mean, square);
}

static double distance_of_bins(const lathe_distribution *r, const lathe_distribution *c) {
    piece p = {0, 0, 0, 0}, q = {0, 0, 0, 0};
    double area = 0, from = NAN;
    for (int64_t b = 0; b < r->n_bins; b++) {
        p = (piece){p.below + p.mass, r->counts[b] / r->total, r->lower[b], r->upper[b]};
        q = (piece){q.below + q.mass, c->counts[b] / c->total, c->lower[b], c->upper[b]};
        area += area_of_bin(&p, &q, &from);
    }
    return area;
}

static int32_t check_ranges(const lathe_distribution *d, const char *side, lathe_error *err) {
    if (d->lower == NULL || d->upper == NULL)
        return drift_fail(err, LATHE_E_SHAPE, "the %s lacks the ranges of its bins", side);
    for (int64_t b = 0; b < d->n_bins; b++)
        if (d->counts[b] > 0 &&
            (!isfinite(d->lower[b]) || !isfinite(d->upper[b]) || d->lower[b] > d->upper[b]))
            return drift_fail(err, LATHE_E_DATA, "bin %lld of the %s ranges from %g to %g",
                              (long long)b, side, d->lower[b], d->upper[b]);
    return LATHE_OK;
}

static int32_t compare(const void *self, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    const wasserstein_config *config = self;
    int32_t rc = drift_check(r, c, err);
    if (rc != LATHE_OK || (rc = drift_need_numbers(r, err)) != LATHE_OK)
        return rc;
    if (r->values != NULL && c->values != NULL && r->n_values > 0 && c->n_values > 0)
        return drift_give(result, distance_of_values(r, c) / deviation_of_values(r), NAN,
                          config->threshold);
    if ((rc = check_ranges(r, "reference", err)) != LATHE_OK ||
        (rc = check_ranges(c, "current values", err)) != LATHE_OK)
        return rc;
    return drift_give(result, distance_of_bins(r, c) / deviation_of_bins(r), NAN,
                      config->threshold);
}

static const lathe_drift interface = {.struct_size = LATHE_SIZED(lathe_drift), .compare = compare};

DRIFT_DESCRIPTOR(wasserstein, LATHE_DRIFT_NUMERIC, interface, wasserstein_params,
                 wasserstein_config,
                 "Distance the values have moved, in standard deviations of the reference.")
