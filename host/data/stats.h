/* data/stats.h: statistics of one column and of pairs of columns, in float64.
 *
 * All functions are [any] and of a fixed order of operations: the same bits with any number of
 * threads. Missing values are left out; infinities are counted and left out of moments, quantiles
 * and histograms.
 */
#ifndef LATHE_DATA_STATS_H
#define LATHE_DATA_STATS_H

#include "base/error.h"
#include "base/pool.h"

#include <lathe/table.h>

#include <stdbool.h>
#include <stdint.h>

/* Count and central moments, mergeable. Sources: B. P. Welford, Technometrics 4 (1962); P. Pébay,
 * Sandia report SAND2008-6212 (2008) for the merging up to the fourth moment. */
typedef struct lathe_moments {
    int64_t n;
    double mean;
    double m2; /* sum (x - mean)^2, … */
    double m3;
    double m4;
} lathe_moments;

void lathe_moments_add(lathe_moments *m, double x); /* finite */
void lathe_moments_merge(lathe_moments *into, const lathe_moments *from);
/* ddof 1; NaN below two values. */
double lathe_moments_std(const lathe_moments *m);
/* g1 = (m3 / n) / (m2 / n)^1.5 and g2 = n m4 / m2^2 - 3; NaN where m2 is 0. */
double lathe_moments_skewness(const lathe_moments *m);
double lathe_moments_kurtosis(const lathe_moments *m);

#define LATHE_STATS_QUANTILES 9
#define LATHE_STATS_HISTOGRAM 40  /* bars at most */
#define LATHE_STATS_TOP 20        /* categories listed */
#define LATHE_STATS_EXACT 1000000 /* rows up to which quantiles are exact */

/* 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99 */
extern const double lathe_stats_levels[LATHE_STATS_QUANTILES];

/* Of a FLOAT64, INT64 or TIMESTAMP column. Quantiles interpolate linearly between order statistics
 * (type 7 of Hyndman and Fan, The American Statistician 50, 1996). Beyond LATHE_STATS_EXACT finite
 * values they and the most frequent value come from a fixed random sample of about that size: the
 * share of values below a reported quantile is off by at most 0.002 with probability 0.999
 * (Dvoretzky–Kiefer–Wolfowitz inequality with Massart's constant, Annals of Probability 18, 1990),
 * and distinct is estimated. Everything else is exact. */
typedef struct lathe_numeric_stats {
    int64_t n; /* rows */
    int64_t missing;
    int64_t infinite;
    int64_t zeros;
    int64_t negative;
    int64_t distinct;    /* infinities included */
    bool distinct_exact; /* else an estimate of a standard error of 0.8 % (HyperLogLog) */
    bool integers;       /* every finite value is a whole number */
    double min, max;     /* of the finite values; NaN: none */
    double sum;          /* of the finite values, compensated */
    double mean, std, skewness, kurtosis; /* of the finite values */
    double quantiles[LATHE_STATS_QUANTILES];
    int32_t n_bars; /* equal widths, the last with its upper end; 0: no finite value */
    double low, high;
    int64_t bars[LATHE_STATS_HISTOGRAM];
    double top_value;  /* the most frequent finite value, ties the smallest; NaN: none */
    int64_t top_count; /* in the sample where there is one, scaled up */
} lathe_numeric_stats;

int32_t lathe_stats_numeric(lathe_pool *pool, const lathe_column *column, int64_t n_rows,
                            lathe_numeric_stats *stats, lathe_error *err);

typedef struct lathe_text_count {
    lathe_str text; /* points into the column */
    int64_t count;
} lathe_text_count;

/* Of a CATEGORY or STRING column. */
typedef struct lathe_text_stats {
    int64_t n;
    int64_t missing;
    int64_t unseen;           /* LATHE_CODE_UNSEEN */
    int64_t empty;            /* "" */
    int64_t distinct;         /* that occur, exact */
    int64_t min_len, max_len; /* bytes; 0 where there is none */
    double mean_len;
    double entropy; /* bits */
    int32_t n_top;
    lathe_text_count top[LATHE_STATS_TOP]; /* by falling count, ties by bytes */
} lathe_text_stats;

int32_t lathe_stats_text(const lathe_column *column, int64_t n_rows, lathe_text_stats *stats,
                         lathe_error *err);

/* Quantile p in [0, 1] of n ascending values, type 7; NaN for n 0. */
double lathe_quantile_sorted(const double *sorted, int64_t n, double p);

/* Product-moment correlation of the pairs where both are finite; NaN below two pairs or for a
 * constant side. */
double lathe_correlation(const double *x, const double *y, int64_t n);
/* Mean ranks (1 …) of n values without NaN, ties share their mean: Spearman's correlation is
 * lathe_correlation of the ranks. scratch: [n] each. */
void lathe_ranks(const double *values, int64_t n, double *scratch, double *scratch2, double *ranks);

/* Cramér's V of two codings (codes < 0 left out), without bias correction (H. Cramér, Mathematical
 * Methods of Statistics, 1946, §21.9); NaN where a side has fewer than two values, or n_a * n_b is
 * over 2^24. */
int32_t lathe_cramers_v(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b, int64_t n,
                        double *v, lathe_error *err);
/* Correlation ratio eta = sqrt(SS_between / SS_total) of values in groups; NaN where there is no
 * spread. */
int32_t lathe_correlation_ratio(const int32_t *group, int64_t n_groups, const double *values,
                                int64_t n, double *eta, lathe_error *err);

/* Rows that repeat an earlier row in all columns (missing equals missing; 128-bit hashes). */
int32_t lathe_duplicate_rows(lathe_pool *pool, const lathe_table *table, int64_t *duplicates,
                             lathe_error *err);

#endif
