/* data/bins.h: finding bin edges and encoding values: the kernels under lathe_datasets.bins.
 *
 * All functions are [any], pure and of a fixed order of operations.
 */
#ifndef LATHE_DATA_BINS_H
#define LATHE_DATA_BINS_H

#include <stdint.h>

#define LATHE_BINS_MIN 2
#define LATHE_BINS_MAX 255
#define LATHE_BINS_SAMPLE 200000 /* rows that edges are found from */
#define LATHE_BINS_TABLE 256     /* floats of a search table */

/* Sorts n floats without NaN ascending (-0 counts as 0, and becomes 0). scratch: [n] floats. */
void lathe_floats_sort(float *values, float *scratch, int64_t n);
/* The same for doubles. */
void lathe_doubles_sort(double *values, double *scratch, int64_t n);

/* Edges of n sorted values (no NaN, infinities allowed), for at most max_bins bins; edges:
 * [max_bins - 1]. Returns their number. distinct, counts: scratch of [n]. */
int32_t lathe_bin_edges(const float *sorted, int64_t n, int32_t max_bins, float *distinct,
                        int64_t *counts, float *edges);

/* The same of values in any order, where they are a handful of different ones; -1: they are more, and edges is untouched. */
int32_t lathe_bin_edges_of_few(const float *values, int64_t n, int32_t max_bins, float *edges);

/* Codes by falling count, ties by code; only those with counts > 0, at most `limit`. Returns their
 * number, -1: out of memory. */
int32_t lathe_bin_codes(const int64_t *counts, int32_t n_categories, int32_t limit, int32_t *codes);

/* A search table: the edges, padded with +infinity to LATHE_BINS_TABLE. */
void lathe_bin_table(const float *edges, int32_t n_edges, float table[LATHE_BINS_TABLE]);

/* bin(x) = number of edges below x; NaN: missing_bin. values[i * stride] → bins[i], i < n. */
void lathe_bin_encode(const float table[LATHE_BINS_TABLE], int32_t n_edges, int32_t missing_bin,
                      const float *values, int64_t stride, int64_t n, uint8_t *bins);
/* The naive twin of one value. */
int32_t lathe_bin_of(const float *edges, int32_t n_edges, float x);

#endif
