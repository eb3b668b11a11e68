/* monitor/live_internal.h: what live.c, live_count.c and live_total.c share: the layout of a region. */
#ifndef LATHE_MONITOR_LIVE_INTERNAL_H
#define LATHE_MONITOR_LIVE_INTERNAL_H

#include "monitor/live.h"
#include "monitor/live_bins.h"

#define LIVE_LINE 8 /* cells in 64 bytes */

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
};

#endif
