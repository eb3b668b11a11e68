/* monitor/live_bins.h: numbers measured, and the bins of their features found, four features side by side. [any]
 *
 * A number's bin is the number of edges below it. It is found by a table of cells: a cell is a range of offsets from the
 * feature's center, 32 for each power of two on either side, so that cells are narrow where the edges are close; the number
 * of edges below the cell is kept, and those within are looked at, four at once. The cell comes from the bits of the offset as
 * float32. Subtracting and rounding keep the order, so that an edge of an earlier cell is below the number, and one of a
 * later cell is not, whatever was rounded: the bin is exact.
 *
 *     live_measure(…)  numbers [rows, 4 features] → smallest, largest, sums of each, and their cells
 *     live_bin(…)      one of the features → its numbers' bins
 */
#ifndef LATHE_MONITOR_LIVE_BINS_H
#define LATHE_MONITOR_LIVE_BINS_H

#include <stdint.h>

#define LIVE_MOST_EDGES 288
#define LIVE_LANES 4  /* features side by side */
#define LIVE_TILE 256 /* rows of a tile */

typedef struct live_finder live_finder;

/* n ascending edges, at most LIVE_MOST_EDGES. NULL: out of memory. free() ends it. */
live_finder *live_finder_new(const double *edges, int64_t n, double center);
/* Asks for its memory, which has long left the processor's near caches when many numbers come again. */
void live_finder_fetch(const live_finder *finder);

/* What the cells of LIVE_LANES features need. */
typedef struct live_lanes {
    _Alignas(32) double center[LIVE_LANES];
    _Alignas(16) int32_t low[LIVE_LANES];
} live_lanes;

void live_lanes_set(live_lanes *lanes, int lane, const live_finder *finder);

/* Cells of numbers. */
typedef struct live_tile {
    _Alignas(32) uint16_t cell[LIVE_TILE][LIVE_LANES];
} live_tile;

/* Sums are of offsets from the center, row after row. NaN among the numbers, and no infinity, makes the squares NaN. */
typedef struct live_moments {
    _Alignas(32) double smallest[LIVE_LANES], largest[LIVE_LANES], sum[LIVE_LANES],
        squares[LIVE_LANES];
} live_moments;

/* n rows, at most LIVE_TILE, of which one begins `stride` numbers behind the other. The same bits by every kernel. */
typedef void live_measure_fn(const live_lanes *lanes, const double *rows, int64_t stride, int64_t n,
                             live_tile *tile, live_moments *moments);
/* The bins of the n numbers of a lane, none NaN. rows: as they were measured. Apart from counting them, since a count that was
 * just written to would hold up the next number. */
typedef void live_bin_fn(const live_finder *finder, const double *rows, int64_t stride,
                         const live_tile *tile, int lane, int64_t n, uint16_t *bins);

/* The fastest that this processor has (LATHE_CPU). */
typedef struct live_kernels {
    live_measure_fn *measure;
    live_bin_fn *bin;
} live_kernels;
live_kernels live_bins_kernels(void);

#endif
