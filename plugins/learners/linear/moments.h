/* moments.h: the sums over rows that the solvers need, on panels of standardised features, in double.
 *
 * A chunk of at most CHUNK rows of q columns is in panels of LANES columns: [CHUNK, LANES] each, LINES rows
 * apart, columns beyond q zero. Each sum is taken in the order of the rows. Between kinds of CPU
 * the bits differ (fused multiply-add or not). */
#ifndef LATHE_LINEAR_MOMENTS_H
#define LATHE_LINEAR_MOMENTS_H

#include <stdint.h>

enum { CHUNK = 96, LANES = 8, LINES = CHUNK + 1, TALL = 6 };

static inline int64_t panels(int64_t q) {
    return (q + LANES - 1) / LANES;
}

/* A Gram matrix [q, q] is in blocks [TALL, LANES] on and above its diagonal: for each TALL rows in turn
 * the panels of columns from the first row's on. What a block holds below the diagonal is right too. */
static inline int64_t gram_doubles(int64_t q) {
    int64_t blocks = 0;
    for (int64_t at = 0; at < q; at += TALL)
        blocks += panels(q) - at / LANES;
    return blocks * TALL * LANES;
}

typedef struct moments {
    const char *name;
    /* One row: z = (x - mean) * inverse of p contiguous features, into row `to` of the panels. */
    void (*standardise)(int64_t p, const float *x, const double *mean, const double *inverse,
                        double *z, int64_t to);
    /* score[i] = sum_j z[i, j] theta[j]; theta is padded with zeros to whole panels. */
    void (*scores)(int64_t m, int64_t q, const double *z, const double *theta, double *score);
    /* sum[j] += sum_i r[i] z[i, j]; sum is of whole panels. */
    void (*gradient)(int64_t m, int64_t q, const double *z, const double *r, double *sum);
    /* The same two on rows as they stand in memory, of p floats each, which takes no panels. */
    void (*raw_scores)(int64_t m, int64_t p, const float *const *row, double begin,
                       const double *beta, double *score); /* score[i] = begin + sum_j row beta */
    void (*raw_gradient)(int64_t m, int64_t p, const float *const *row, const double *r,
                         double *sum);
    /* blocks += sum_i w[i] z[i, a] z[i, b]; scaled: room for [CHUNK, TALL]. */
    void (*gram)(int64_t m, int64_t q, const double *z, const double *w, double *scaled,
                 double *blocks);
} moments;

/* The fastest of those that `level` (LATHE_CPU_… bits) allows. */
const moments *linear_choose_moments(uint32_t level);

#endif
