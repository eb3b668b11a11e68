/* monitor/live_bins.h: the bins of many numbers, found among the edges of a feature. [any]
 *
 * A number's bin is the number of edges below it. The edges are kept as a tree of two levels, 16 pivots and behind each
 * gap of theirs 16 more, so that a bin is found by comparing twice with 16 numbers at once: no branch to mispredict.
 *
 *     edges   e0 … e15 [e16] e17 … e32 [e33] …         [pivot k] = e(17 k + 16), block k = e(17 k) … e(17 k + 15)
 *
 * The tree holds them as float32. Rounding keeps the order (edge < value gives float(edge) <= float(value), and float(edge) <
 * float(value) gives edge < value), so that the count is right but for edges that equal the value as float32; those
 * are looked at as they are.
 */
#ifndef LATHE_MONITOR_LIVE_BINS_H
#define LATHE_MONITOR_LIVE_BINS_H

#include <stdint.h>

#define LIVE_FAN 16
#define LIVE_MOST_EDGES (LIVE_FAN * (LIVE_FAN + 1) + LIVE_FAN)

typedef struct live_tree live_tree;

/* n ascending edges, at most LIVE_MOST_EDGES. NULL: out of memory. free() ends it. */
live_tree *live_tree_new(const double *edges, int64_t n);

/* Asks for the tree's memory, which has long left the processor's near caches when many numbers come again. */
void live_tree_fetch(const live_tree *tree);

/* bins[i]: how many edges are below values[i]. No value is NaN. */
typedef void live_bins_fn(const live_tree *tree, const double *values, int64_t n, uint16_t *bins);
live_bins_fn *live_bins_kernel(void); /* the fastest that this processor has (LATHE_CPU) */

/* Of numbers: what the head of a feature keeps. NaN among them, and no infinity, makes the squares NaN. */
typedef struct live_moments {
    double smallest, largest, sum, squares; /* sums of offsets from a center */
} live_moments;

/* n above 0. The same bits by every kernel. */
typedef live_moments live_measure_fn(const double *values, int64_t n, double center);
live_measure_fn *live_measure_kernel(void);

#endif
