/* moments.h: the sums over rows that the solvers need, on panels of standardised features, in double.
 *
 * A chunk of at most CHUNK rows of q columns is in panels of LANES columns: [CHUNK, LANES] each, one after
 * the other, columns beyond q zero. Each sum is taken in the order of the rows. Between kinds of CPU
 * the bits differ (fused multiply-add or not). */
#ifndef LATHE_LINEAR_MOMENTS_H
#define LATHE_LINEAR_MOMENTS_H

#include <stdint.h>

enum { CHUNK = 128, LANES = 8 };

static inline int64_t panels(int64_t q) {
    return (q + LANES - 1) / LANES;
}

/* The panel pairs (a, b), a <= b, that hold the upper triangle of a Gram matrix: blocks [LANES, LANES]. */
static inline int64_t gram_doubles(int64_t q) {
    return panels(q) * (panels(q) + 1) / 2 * LANES * LANES;
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
    /* blocks += sum_i w[i] z[i, a] z[i, b]; scaled: room for [CHUNK, LANES]. */
    void (*gram)(int64_t m, int64_t q, const double *z, const double *w, double *scaled,
                 double *blocks);
} moments;

/* The fastest of those that `level` (LATHE_CPU_… bits) allows. */
const moments *linear_choose_moments(uint32_t level);

#endif
