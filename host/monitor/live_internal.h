/* monitor/live_internal.h: what live.c, live_count.c, live_wait.c and live_total.c share: the layout of a region, and the
 * counts of this process that are on their way there. */
#ifndef LATHE_MONITOR_LIVE_INTERNAL_H
#define LATHE_MONITOR_LIVE_INTERNAL_H

#include "monitor/live.h"
#include "monitor/live_bins.h"

#include <stdatomic.h>

#define LIVE_LINE 8 /* cells in 64 bytes */

typedef union live_cell {
    _Atomic uint64_t count;
    _Atomic double number;
} live_cell;

static inline void live_cell_add(live_cell *c, uint64_t amount) {
    const uint64_t now = atomic_load_explicit(&c->count, memory_order_relaxed);
    atomic_store_explicit(&c->count, now + amount, memory_order_relaxed);
}

/* The head of a feature in a region; behind it the counts of its bins. All but the first two are of numbers alone; sums are
 * of offsets from `center`, and infinities are in the counts alone. */
enum {
    LIVE_SEEN, /* finite numbers */
    LIVE_MISSING,
    LIVE_SMALLEST,
    LIVE_LARGEST,
    LIVE_SUM,
    LIVE_SQUARES,
    LIVE_BELOW,
    LIVE_ABOVE
};

typedef struct live_feature {
    bool categorical;
    int32_t type;        /* of the column */
    int64_t column;      /* of the rows; -1: not counted */
    int64_t at;          /* of the head, in cells */
    int64_t n_bins;      /* joint ones */
    live_finder *finder; /* NULL: categorical, or of a layout without columns */
    double low, high;    /* of training; low > high where it had no number */
    double center;
    int16_t *bin[2]; /* [n_bins] bins of each resolution; NULL: categorical */
} live_feature;

/* A feature that is counted, of a column. */
typedef struct live_pick {
    int32_t feature, column;
} live_pick;

struct lathe_live {
    const lathe_baseline *baseline;
    live_feature *features;
    int64_t n_features;
    live_pick *picks;  /* [n_picks] float64 columns, other numbers, categories */
    live_lanes *lanes; /* of the numbers, LIVE_LANES picks each */
    int64_t n_plain, n_numbers, n_picks;
    live_kernels kernels;
    int64_t n_cells; /* the first line holds the number of rows */
    bool
        in_order; /* the rows' columns are all counted, are float64, and picks are in their order */
};

/* ---- live_count.c ---- */

/* A feature's rows that are not in a region yet, at most LIVE_TALLY_ROWS: with 16 bits a count the bins of a feature are in a
 * quarter of the lines that they take in a region. */
#define LIVE_TALLY_ROWS UINT16_MAX
typedef struct live_tally {
    double smallest, largest, sum, squares; /* of finite numbers; undefined where seen is 0 */
    uint64_t seen, missing, below, above;
    uint16_t counts[]; /* [n_bins] */
} live_tally;

static inline size_t live_tally_bytes(const live_feature *f) {
    const size_t bytes = sizeof(live_tally) + (size_t)f->n_bins * sizeof(uint16_t);
    return (bytes + 63) / 64 * 64;
}

/* All features that are counted. */
typedef struct live_tallies {
    const lathe_live *live;
    int64_t rows;
    size_t *at;     /* [n_picks] where a pick's is in `bytes` */
    uint8_t *bytes; /* aligned to 64 */
    size_t n_bytes;
} live_tallies;

static inline live_tally *live_tally_at(const live_tallies *all, int64_t pick) {
    return (live_tally *)(all->bytes + all->at[pick]);
}

int32_t live_tallies_new(const lathe_live *live, live_tallies *all);
void live_tallies_free(live_tallies *all);
/* [serve] n rows, at most LIVE_TILE, of LIVE_LANES picks from `pick` on: the first row's are at `rows`. */
void live_tally_lanes(live_tallies *all, int64_t pick, const double *rows, int64_t stride,
                      int64_t n);
/* [serve] */
void live_tally_code(live_tallies *all, int64_t pick, int64_t code);
/* [serve] Rows [begin, begin + n), at most LIVE_TALLY_ROWS with those that are there. */
void live_tally_rows(live_tallies *all, const lathe_table *rows, int64_t begin, int64_t n);
/* [serve] Moves what is there into a region. */
void live_tallies_spill(live_tallies *all, live_cell *cells);

#endif
