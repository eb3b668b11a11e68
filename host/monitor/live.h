/* monitor/live.h: statistics of served rows, feature by feature, in memory that outlives the process that counts.
 *
 * A layout says where the counts of a baseline's features lie in a region of bytes, and how a value finds its bin. Every
 * process that has the model makes the same layout, so a region can be shared: one thread writes (relaxed
 * atomics, no lock), others read and add up. Numeric features are counted in the bins of both resolutions at once (their
 * edges merged), so that both distributions come out exactly; beside them smallest, largest, sum and sum of squares.
 * Categories are counted one by one, unseen ones together. Memory is fixed a feature, whatever the number of rows.
 *
 *     lathe_live_new(baseline, raw, limit, &live, err);        // worker and supervisor alike
 *     lathe_live_add_later(waiting, region, rows, 0, n);       // [serve] the worker
 *     lathe_live_sum(live, region, total);                     // the supervisor, for each region
 *     lathe_live_window(live, total, before, window);          // what came between two sums
 *
 * Nothing in a region is trusted for memory safety: it holds numbers alone. A layout never changes: reading is [any].
 */
#ifndef LATHE_MONITOR_LIVE_H
#define LATHE_MONITOR_LIVE_H

#include "data/baseline.h"

typedef struct lathe_live lathe_live;

/* raw: the columns of the rows that will be added (by name; those that it lacks, or has with another kind, are not
 * counted); NULL: none will be. Features that do not fit into `limit` bytes are left out, the last ones first. The
 * baseline must outlive it. LATHE_E_MEMORY. */
int32_t lathe_live_new(const lathe_baseline *baseline, const lathe_table *raw, size_t limit,
                       lathe_live **live, lathe_error *err);
void lathe_live_free(lathe_live *live);              /* NULL is fine */
size_t lathe_live_bytes(const lathe_live *live);     /* of a region; a multiple of 64 */
int64_t lathe_live_features(const lathe_live *live); /* the first so many of the baseline */

/* Counts that are on their way to a region: the rows themselves at first, since counting many at once costs a fraction (the
 * edges and counts of a feature are fetched once), then their counts in less memory than they have in the region, since what
 * serves a request stays in the processor's near caches that way. One for each region that is written to. */
typedef struct lathe_live_waiting lathe_live_waiting;
#define LATHE_LIVE_WAITING 512 /* a usual number of rows */
/* rows: so many may wait; 0: each call counts. NULL: out of memory. */
lathe_live_waiting *lathe_live_waiting_new(const lathe_live *live, int64_t rows);
void lathe_live_waiting_free(lathe_live_waiting *waiting); /* NULL is fine */
/* [serve] Counts rows [begin, begin + n). region: 64-byte aligned, zeroed before its first use; it has the rows after the next
 * flush at the latest. One writer at a time. */
void lathe_live_add_later(lathe_live_waiting *waiting, void *region, const lathe_table *rows,
                          int64_t begin, int64_t n);
/* [serve] Asks for the memory of the next take, which has left the near caches since the last one: before the row is read. */
void lathe_live_expect(const lathe_live_waiting *waiting);
/* [serve] In two steps: takes one row, values[column of raw][row], in place of one that was taken and not kept, while it is near;
 * keeps it once it is known to count. flat: its values one behind the other and zeros up to a multiple of 4, where all columns
 * are FLOAT64; or NULL. Gives the row's numbers (NaN: missing), those of the columns
 * lathe_live_number_column(live, 0 … lathe_live_numbers(live) - 1), and behind them zeros up to a multiple of 4; aligned to 32
 * bytes, valid until keep, flush or the next take. Not where no rows may wait. */
const double *lathe_live_take(lathe_live_waiting *waiting, const double *flat,
                              const void *const *values, int64_t row);
void lathe_live_keep(lathe_live_waiting *waiting, void *region);
int64_t lathe_live_numbers(const lathe_live *live);
int64_t lathe_live_number_column(const lathe_live *live, int64_t i);
/* [serve] The region has all rows. */
void lathe_live_flush(lathe_live_waiting *waiting, void *region);

/* What a feature's rows were. */
typedef struct lathe_live_feature {
    double present, missing;
    double mean, deviation; /* of the population; NaN where none was present, or of categories */
    double smallest, largest;
    double unseen;       /* categories alone */
    double below, above; /* numbers alone: outside of those of training */
    const double
        *counts; /* [n_bins] of `resolution`, as the baseline's; valid until the next call */
    int64_t n_bins;
} lathe_live_feature;

/* A copy of counts in this process. */
typedef struct lathe_live_total lathe_live_total;
lathe_live_total *lathe_live_total_new(const lathe_live *live); /* zero; NULL: out of memory */
void lathe_live_total_free(lathe_live_total *total);            /* NULL is fine */
void lathe_live_total_clear(lathe_live_total *total);
void lathe_live_total_copy(lathe_live_total *into, const lathe_live_total *from);
int64_t lathe_live_total_rows(const lathe_live_total *total);
/* The rows of a region alone. */
int64_t lathe_live_region_rows(const void *region);
/* Adds a region's counts. */
void lathe_live_sum(const void *region, lathe_live_total *total);
/* What came since `before`, an earlier sum of the same regions; smallest and largest stay those of all. */
void lathe_live_total_subtract(lathe_live_total *total, const lathe_live_total *before);
/* As numbers, for another process that has the same layout: [lathe_live_cells]. load takes what they are, but for those that
 * no sum has: LATHE_E_CORRUPT. */
int64_t lathe_live_cells(const lathe_live *live);
const double *lathe_live_total_save(const lathe_live_total *total);
int32_t lathe_live_total_load(lathe_live_total *total, const double *cells, lathe_error *err);
/* A feature's statistics in `total`, less those in `before` (NULL: none). Smallest and largest are of `total`, but no further
 * out than training where nothing lay there. */
void lathe_live_describe(const lathe_live_total *total, const lathe_live_total *before,
                         int64_t feature, int32_t resolution, lathe_live_feature *out);
/* Fills an empty window of the same baseline. Bounds within a bin are its edges; those of the outer bins the smallest and
 * largest value of all. */
void lathe_live_window(const lathe_live_total *total, const lathe_live_total *before,
                       lathe_window *window);

#endif
