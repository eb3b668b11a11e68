/* monitor/live.c: where the counts of a baseline's features lie. See live.h; counting is in live_count.c.
 *
 * A region:   rows | head 0 | counts 0 … | head 1 | counts 1 … | …        all in lines of 64 bytes
 */
#include "monitor/live_internal.h"

#include "data/frame.h"
#include "data/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- layout ---- */

static int64_t merge_edges(const lathe_distribution *a, const lathe_distribution *b, double *out) {
    int64_t i = 0, k = 0, n = 0;
    const int64_t na = a->n_bins - 1, nb = b->n_bins - 1;
    while (i < na || k < nb) {
        const double next =
            k == nb || (i < na && a->edges[i] <= b->edges[k]) ? a->edges[i] : b->edges[k];
        i += i < na && a->edges[i] == next;
        k += k < nb && b->edges[k] == next;
        out[n++] = next;
    }
    return n;
}

static int16_t *map_bins(const lathe_distribution *d, const double *edges, int64_t n_bins) {
    int16_t *bin = calloc((size_t)n_bins, sizeof *bin);
    int16_t b = 0;
    for (int64_t j = 1; bin != NULL && j < n_bins; j++) {
        while (b < d->n_bins - 1 && d->edges[b] <= edges[j - 1])
            b++;
        bin[j] = b;
    }
    return bin;
}

static void trained_range(const lathe_distribution *d, double *low, double *high) {
    *low = (double)INFINITY;
    *high = -(double)INFINITY;
    for (int64_t b = 0; b < d->n_bins; b++) {
        if (d->lower[b] < *low)
            *low = d->lower[b];
        if (d->upper[b] > *high)
            *high = d->upper[b];
    }
}

/* LATHE_E_SHAPE: a profile that no training makes. */
static int32_t lay_numeric(live_feature *f, const lathe_baseline *baseline, int64_t feature,
                           bool counted) {
    double edges[2 * LATHE_BASELINE_FINE];
    lathe_distribution d[2];
    for (int r = 0; r < 2; r++)
        lathe_baseline_distribution(baseline, feature, r, &d[r]);
    const int64_t n = merge_edges(&d[0], &d[1], edges);
    if (n > LIVE_MOST_EDGES)
        return LATHE_E_SHAPE;
    f->n_bins = n + 1;
    f->bin[0] = map_bins(&d[0], edges, n + 1);
    f->bin[1] = map_bins(&d[1], edges, n + 1);
    f->center = n > 0 ? edges[n / 2] : 0;
    f->finder = counted ? live_finder_new(edges, n, f->center) : NULL;
    trained_range(&d[1], &f->low, &f->high);
    return (f->finder || !counted) && f->bin[0] && f->bin[1] ? LATHE_OK : LATHE_E_MEMORY;
}

static void find_column(live_feature *f, const lathe_baseline *baseline, int64_t feature,
                        const lathe_table *raw) {
    lathe_distribution d;
    f->column = raw ? lathe_table_find(raw, lathe_baseline_name(baseline, feature)) : -1;
    if (f->column < 0)
        return;
    const lathe_column *c = &raw->columns[f->column];
    f->type = c->type;
    lathe_baseline_distribution(baseline, feature, LATHE_BINS_COARSE, &d);
    const bool fits = f->categorical
                          ? c->type == LATHE_COLUMN_CATEGORY && c->dict_size + 1 == d.n_bins
                          : lathe_is_numeric(c);
    if (!fits)
        f->column = -1;
}

static int32_t lay_feature(lathe_live *live, int64_t feature, const lathe_table *raw,
                           int64_t most_cells) {
    live_feature *f = &live->features[feature];
    lathe_distribution d;
    int32_t rc = LATHE_OK;
    lathe_baseline_distribution(live->baseline, feature, LATHE_BINS_COARSE, &d);
    f->categorical = lathe_baseline_categorical(live->baseline, feature);
    f->n_bins = d.n_bins;
    if (!f->categorical)
        rc = lay_numeric(f, live->baseline, feature, raw != NULL);
    const int64_t cells = LIVE_LINE + (f->n_bins + LIVE_LINE - 1) / LIVE_LINE * LIVE_LINE;
    if (rc == LATHE_OK && cells > most_cells - live->n_cells)
        rc = LATHE_E_SHAPE;
    if (rc != LATHE_OK)
        return rc;
    f->at = live->n_cells;
    live->n_cells += cells;
    find_column(f, live->baseline, feature, raw);
    return LATHE_OK;
}

static void free_feature(live_feature *f) {
    free(f->finder);
    free(f->bin[0]);
    free(f->bin[1]);
    *f = (live_feature){0};
}

/* Numbers that are taken over as they are come first, categories last. */
static int order_of(const live_feature *f) {
    return f->categorical ? 2 : f->type != LATHE_COLUMN_FLOAT64;
}

static void pick_features(lathe_live *live, int64_t n_columns) {
    for (int order = 0; order < 3; order++) {
        for (int64_t i = 0; i < live->n_features; i++) {
            const live_feature *f = &live->features[i];
            if (f->column >= 0 && order_of(f) == order)
                live->picks[live->n_picks++] = (live_pick){(int32_t)i, (int32_t)f->column};
        }
        if (order == 0)
            live->n_plain = live->n_picks;
        if (order == 1)
            live->n_numbers = live->n_picks;
    }
    live->in_order = live->n_plain == live->n_picks && live->n_picks == n_columns;
    for (int64_t i = 0; i < live->n_picks; i++)
        live->in_order &= live->picks[i].column == i;
    for (int64_t i = 0; i < live->n_numbers; i++)
        live_lanes_set(&live->lanes[i / LIVE_LANES], (int)(i % LIVE_LANES),
                       live->features[live->picks[i].feature].finder);
}

int32_t lathe_live_new(const lathe_baseline *baseline, const lathe_table *raw, size_t limit,
                       lathe_live **out, lathe_error *err) {
    *out = NULL;
    lathe_live *live = calloc(1, sizeof *live);
    const int64_t n = lathe_baseline_features(baseline);
    if (live != NULL)
        live->features = calloc((size_t)n + 1, sizeof *live->features);
    if (live == NULL || live->features == NULL) {
        free(live);
        return lathe_fail_memory(err, "statistics", "the statistics of served rows");
    }
    live->picks = calloc((size_t)n + 1, sizeof *live->picks);
    live->lanes = lathe_aligned_zeroed(n / LIVE_LANES + 1, sizeof *live->lanes);
    live->kernels = live_bins_kernels();
    if (live->picks == NULL || live->lanes == NULL) {
        lathe_live_free(live);
        return lathe_fail_memory(err, "statistics", "the statistics of served rows");
    }
    live->baseline = baseline;
    live->n_cells = LIVE_LINE;
    for (int64_t i = 0; i < n; i++) {
        const int32_t rc = lay_feature(live, i, raw, (int64_t)(limit / sizeof(live_cell)));
        live->n_features = i + (rc == LATHE_OK);
        if (rc == LATHE_OK)
            continue;
        free_feature(&live->features[i]);
        if (rc != LATHE_E_MEMORY)
            break;
        lathe_live_free(live);
        return lathe_fail_memory(err, "statistics", "the statistics of served rows");
    }
    pick_features(live, raw != NULL ? raw->n_columns : 0);
    *out = live;
    return LATHE_OK;
}

void lathe_live_free(lathe_live *live) {
    if (live == NULL)
        return;
    for (int64_t i = 0; i < live->n_features; i++)
        free_feature(&live->features[i]);
    free(live->features);
    free(live->picks);
    free(live->lanes);
    free(live);
}

size_t lathe_live_bytes(const lathe_live *live) {
    return (size_t)live->n_cells * sizeof(live_cell);
}

int64_t lathe_live_features(const lathe_live *live) {
    return live->n_features;
}
