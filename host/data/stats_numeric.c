/* data/stats_numeric.c: moments, quantiles, histogram and distinct values of a column of numbers.
 * See stats.h.
 *
 * One pass in chunks of fixed size, merged in their order; then one sort of the finite values (or
 * of a sample). Distinct values of large columns: HyperLogLog (P. Flajolet, É. Fusy, O. Gandouet,
 * F. Meunier, AofA 2007) with 2^14 registers over 64-bit hashes, so that its correction for large
 * ranges is not needed.
 */
#include "base/rng.h"
#include "data/bins.h"
#include "data/memory.h"
#include "data/stats.h"
#include "data/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536
#define SAMPLE_KEY UINT64_C(0x6c617468652d7374)
#define REGISTER_BITS 14
#define REGISTERS (1 << REGISTER_BITS)

const double lathe_stats_levels[LATHE_STATS_QUANTILES] = {0.01, 0.05, 0.1,  0.25, 0.5,
                                                          0.75, 0.9,  0.95, 0.99};

/* ---- moments ---- */

void lathe_moments_add(lathe_moments *m, double x) {
    double n = (double)++m->n, delta = x - m->mean, step = delta / n, step2 = step * step;
    double term = delta * step * (n - 1);
    m->mean += step;
    m->m4 += term * step2 * (n * n - 3 * n + 3) + 6 * step2 * m->m2 - 4 * step * m->m3;
    m->m3 += term * step * (n - 2) - 3 * step * m->m2;
    m->m2 += term;
}

void lathe_moments_merge(lathe_moments *a, const lathe_moments *b) {
    if (b->n == 0)
        return;
    if (a->n == 0) {
        *a = *b;
        return;
    }
    double na = (double)a->n, nb = (double)b->n, n = na + nb, delta = b->mean - a->mean;
    double d_n = delta / n, d_n2 = d_n * d_n;
    a->m4 += b->m4 + delta * d_n * d_n2 * na * nb * (na * na - na * nb + nb * nb) +
             6 * d_n2 * (na * na * b->m2 + nb * nb * a->m2) + 4 * d_n * (na * b->m3 - nb * a->m3);
    a->m3 += b->m3 + delta * d_n2 * na * nb * (na - nb) + 3 * d_n * (na * b->m2 - nb * a->m2);
    a->m2 += b->m2 + delta * d_n * na * nb;
    a->mean += d_n * nb;
    a->n += b->n;
}

double lathe_moments_std(const lathe_moments *m) {
    return m->n < 2 ? (double)NAN : sqrt(m->m2 / (double)(m->n - 1));
}

double lathe_moments_skewness(const lathe_moments *m) {
    double n = (double)m->n;
    return m->m2 > 0 ? m->m3 / n / pow(m->m2 / n, 1.5) : (double)NAN;
}

double lathe_moments_kurtosis(const lathe_moments *m) {
    return m->m2 > 0 ? (double)m->n * m->m4 / (m->m2 * m->m2) - 3 : (double)NAN;
}

/* ---- the pass ---- */

typedef struct partial {
    lathe_moments moments;
    double sum, rest; /* Neumaier: the true sum is near sum + rest */
    double min, max;
    int64_t missing, infinite, plus, zeros, negative, fractions;
} partial;

typedef struct numeric_job {
    const lathe_column *column;
    partial *parts;
} numeric_job;

static void add_sum(double *sum, double *rest, double x) {
    double t = *sum + x;
    *rest += fabs(*sum) >= fabs(x) ? (*sum - t) + x : (x - t) + *sum;
    *sum = t;
}

static int32_t scan_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    numeric_job *job = user;
    partial p = {.min = (double)INFINITY, .max = -(double)INFINITY};
    for (int64_t i = begin; i < end; i++) {
        double x = lathe_number_at(job->column, i, (double)NAN);
        if (isnan(x)) {
            p.missing++;
        } else if (isinf(x)) {
            p.infinite++;
            p.plus += x > 0;
        } else {
            lathe_moments_add(&p.moments, x);
            add_sum(&p.sum, &p.rest, x);
            p.min = x < p.min ? x : p.min;
            p.max = x > p.max ? x : p.max;
            p.zeros += x == 0;
            p.negative += x < 0;
            p.fractions += x != floor(x);
        }
    }
    job->parts[begin / CHUNK] = p;
    return LATHE_OK;
}

/* All chunks, merged in their order. */
static int32_t scan(lathe_pool *pool, const lathe_column *column, int64_t n_rows, partial *all,
                    lathe_error *err) {
    int64_t n_parts = (n_rows + CHUNK - 1) / CHUNK;
    numeric_job job = {column, lathe_aligned_zeroed(n_parts, sizeof(partial))};
    *all = (partial){.min = (double)INFINITY, .max = -(double)INFINITY};
    if (job.parts == NULL)
        return lathe_fail_memory(err, column->name, "its statistics");
    int32_t code = lathe_pool_run(pool, n_rows, CHUNK, scan_chunk, &job);
    for (int64_t k = 0; code == LATHE_OK && k < n_parts; k++) {
        const partial *p = &job.parts[k];
        lathe_moments_merge(&all->moments, &p->moments);
        add_sum(&all->sum, &all->rest, p->sum);
        all->rest += p->rest;
        all->min = p->min < all->min ? p->min : all->min;
        all->max = p->max > all->max ? p->max : all->max;
        all->missing += p->missing;
        all->infinite += p->infinite;
        all->plus += p->plus;
        all->zeros += p->zeros;
        all->negative += p->negative;
        all->fractions += p->fractions;
    }
    free(job.parts);
    return code == LATHE_OK ? LATHE_OK
                            : lathe_fail(err, code, column->name, "its statistics failed");
}

/* ---- order statistics ---- */

double lathe_quantile_sorted(const double *sorted, int64_t n, double p) {
    if (n == 0)
        return (double)NAN;
    double h = (double)(n - 1) * p;
    int64_t low = (int64_t)floor(h);
    if (low + 1 >= n)
        return sorted[n - 1];
    double w = h - (double)low;
    return sorted[low] * (1 - w) + sorted[low + 1] * w;
}

/* Finite values; of more than LATHE_STATS_EXACT a random share. Returns how many were written. */
static int64_t choose_values(const lathe_column *c, int64_t n_rows, int64_t n_finite,
                             double *values) {
    int64_t n = 0;
    uint64_t bound = n_finite > LATHE_STATS_EXACT
                         ? UINT64_MAX / (uint64_t)n_finite * LATHE_STATS_EXACT
                         : UINT64_MAX;
    int64_t room =
        n_finite > LATHE_STATS_EXACT ? LATHE_STATS_EXACT + LATHE_STATS_EXACT / 50 : n_finite;
    for (int64_t i = 0; i < n_rows && n < room; i++) {
        double x = lathe_number_at(c, i, (double)NAN);
        uint64_t u = 0;
        if (!isfinite(x))
            continue;
        if (bound != UINT64_MAX)
            lathe_rng_u64(SAMPLE_KEY, (uint64_t)i, &u, 1);
        if (u <= bound)
            values[n++] = x + 0.0;
    }
    return n;
}

/* Distinct values and the most frequent of n sorted ones. */
static void count_runs(const double *sorted, int64_t n, lathe_numeric_stats *s) {
    s->top_value = (double)NAN;
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && sorted[end] == sorted[i];)
            end++;
        s->distinct++;
        if (end - i > s->top_count) {
            s->top_count = end - i;
            s->top_value = sorted[i];
        }
    }
}

static int64_t estimate_distinct(const lathe_column *c, int64_t n_rows) {
    uint8_t *rank = calloc(REGISTERS, 1);
    if (rank == NULL)
        return -1;
    for (int64_t i = 0; i < n_rows; i++) {
        double x = lathe_number_at(c, i, (double)NAN) + 0.0;
        uint64_t bits;
        if (!isfinite(x))
            continue;
        memcpy(&bits, &x, sizeof bits);
        uint64_t h = lathe_hash_mix(bits + UINT64_C(0x9e3779b97f4a7c15));
        uint64_t tail = h << REGISTER_BITS | (UINT64_C(1) << (REGISTER_BITS - 1));
        uint8_t r = (uint8_t)(__builtin_clzll(tail) + 1);
        if (r > rank[h >> (64 - REGISTER_BITS)])
            rank[h >> (64 - REGISTER_BITS)] = r;
    }
    double sum = 0;
    int empty = 0;
    for (int i = 0; i < REGISTERS; i++) {
        sum += ldexp(1, -rank[i]);
        empty += rank[i] == 0;
    }
    free(rank);
    const double m = REGISTERS;
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    if (estimate <= 2.5 * m && empty > 0)
        estimate = m * log(m / empty);
    return (int64_t)llround(estimate);
}

/* ---- histogram ---- */

/* Whole numbers of a small range get a bar each; others as many as Freedman and Diaconis
 * (Zeitschrift für Wahrscheinlichkeitstheorie 57, 1981) advise, at least Sturges's number. */
static void choose_bars(lathe_numeric_stats *s, int64_t n) {
    double range = s->max - s->min, width;
    s->low = s->min;
    s->high = s->max;
    s->n_bars = 1;
    if (!(range > 0) || !isfinite(range))
        return;
    if (s->integers && range < LATHE_STATS_HISTOGRAM) {
        s->low = s->min - 0.5;
        s->high = s->max + 0.5;
        s->n_bars = (int32_t)range + 1;
        return;
    }
    width = 2 * (s->quantiles[5] - s->quantiles[3]) / cbrt((double)n);
    double bars = width > 0 ? ceil(range / width) : LATHE_STATS_HISTOGRAM,
           sturges = ceil(log2((double)n)) + 1;
    bars = bars < sturges ? sturges : bars;
    s->n_bars = bars > LATHE_STATS_HISTOGRAM ? LATHE_STATS_HISTOGRAM : (int32_t)bars;
}

static void fill_bars(const lathe_column *c, int64_t n_rows, lathe_numeric_stats *s) {
    double scale = (double)s->n_bars / (s->high - s->low); /* not finite for one bar */
    for (int64_t i = 0; i < n_rows; i++) {
        double x = lathe_number_at(c, i, (double)NAN);
        if (!isfinite(x))
            continue;
        int32_t b = s->n_bars > 1 ? (int32_t)((x - s->low) * scale) : 0;
        s->bars[b < s->n_bars ? b : s->n_bars - 1]++;
    }
}

/* ---- the column ---- */

static void from_partial(const partial *p, int64_t n_rows, lathe_numeric_stats *s) {
    const lathe_moments *m = &p->moments;
    *s = (lathe_numeric_stats){.n = n_rows,
                               .missing = p->missing,
                               .infinite = p->infinite,
                               .zeros = p->zeros,
                               .negative = p->negative,
                               .integers = p->fractions == 0,
                               .min = m->n > 0 ? p->min : (double)NAN,
                               .max = m->n > 0 ? p->max : (double)NAN,
                               .sum = p->sum + p->rest,
                               .mean = m->n > 0 ? m->mean : (double)NAN,
                               .std = lathe_moments_std(m),
                               .skewness = lathe_moments_skewness(m),
                               .kurtosis = lathe_moments_kurtosis(m)};
}

int32_t lathe_stats_numeric(lathe_pool *pool, const lathe_column *column, int64_t n_rows,
                            lathe_numeric_stats *stats, lathe_error *err) {
    partial all;
    if (!lathe_is_numeric(column) && column->type != LATHE_COLUMN_TIMESTAMP)
        return lathe_fail(err, LATHE_E_INVALID, column->name, "the column is not one of numbers");
    int32_t code = scan(pool, column, n_rows, &all, err);
    if (code != LATHE_OK)
        return code;
    from_partial(&all, n_rows, stats);
    int64_t finite = all.moments.n;
    int64_t room = finite > LATHE_STATS_EXACT ? LATHE_STATS_EXACT + LATHE_STATS_EXACT / 50 : finite;
    double *values = lathe_aligned_new(room, 2 * sizeof *values);
    if (values == NULL)
        return lathe_fail_memory(err, column->name, "its quantiles");
    int64_t n = choose_values(column, n_rows, finite, values);
    lathe_doubles_sort(values, values + room, n);
    for (int q = 0; q < LATHE_STATS_QUANTILES; q++)
        stats->quantiles[q] = lathe_quantile_sorted(values, n, lathe_stats_levels[q]);
    count_runs(values, n, stats);
    free(values);
    stats->distinct_exact = n == finite;
    if (!stats->distinct_exact) {
        stats->top_count =
            (int64_t)llround((double)stats->top_count * ((double)finite / (double)n));
        stats->distinct = estimate_distinct(column, n_rows);
        if (stats->distinct < 0)
            return lathe_fail_memory(err, column->name, "its distinct values");
    }
    stats->distinct += (all.plus > 0) + (all.infinite > all.plus);
    if (finite > 0) {
        choose_bars(stats, finite);
        fill_bars(column, n_rows, stats);
    }
    return LATHE_OK;
}
