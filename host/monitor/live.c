/* monitor/live.c: served rows counted into a baseline's bins. See live.h.
 *
 * A region:   rows | head 0 | counts 0 … | head 1 | counts 1 … | …        all in lines of 64 bytes
 *
 * A number's bin is the number of edges below it. The edges are kept as a tree of two levels, 16 pivots and behind each
 * gap of theirs 16 more, so that a bin is found by counting twice over 16 numbers: no branch to mispredict.
 *
 *     edges   e0 … e15 [e16] e17 … e32 [e33] …         [pivot k] = e(17 k + 16), block k = e(17 k) … e(17 k + 15)
 */
#include "monitor/live_internal.h"

#include "data/frame.h"
#include "data/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FAN 16
#define MOST_EDGES (FAN * (FAN + 1) + FAN)

struct live_tree {
    double pivots[FAN];
    double blocks[FAN + 1][FAN];
};
typedef struct live_tree tree;

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

static tree *plant(const double *edges, int64_t n) {
    tree *t = lathe_aligned_zeroed(1, sizeof *t);
    if (t == NULL)
        return NULL;
    for (int64_t k = 0; k <= FAN; k++)
        for (int64_t i = 0; i <= FAN; i++) {
            const int64_t at = (FAN + 1) * k + i;
            const double edge = at < n ? edges[at] : (double)INFINITY;
            if (i < FAN)
                t->blocks[k][i] = edge;
            else if (k < FAN)
                t->pivots[k] = edge;
        }
    return t;
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
static int32_t lay_numeric(live_feature *f, const lathe_baseline *baseline, int64_t feature) {
    double edges[2 * LATHE_BASELINE_FINE];
    lathe_distribution d[2];
    for (int r = 0; r < 2; r++)
        lathe_baseline_distribution(baseline, feature, r, &d[r]);
    const int64_t n = merge_edges(&d[0], &d[1], edges);
    if (n > MOST_EDGES)
        return LATHE_E_SHAPE;
    f->n_bins = n + 1;
    f->tree = plant(edges, n);
    f->bin[0] = map_bins(&d[0], edges, n + 1);
    f->bin[1] = map_bins(&d[1], edges, n + 1);
    f->center = n > 0 ? edges[n / 2] : 0;
    trained_range(&d[1], &f->low, &f->high);
    return f->tree && f->bin[0] && f->bin[1] ? LATHE_OK : LATHE_E_MEMORY;
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
        rc = lay_numeric(f, live->baseline, feature);
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
    free(f->tree);
    free(f->bin[0]);
    free(f->bin[1]);
    *f = (live_feature){0};
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
    *out = live;
    return LATHE_OK;
}

void lathe_live_free(lathe_live *live) {
    if (live == NULL)
        return;
    for (int64_t i = 0; i < live->n_features; i++)
        free_feature(&live->features[i]);
    free(live->features);
    free(live);
}

size_t lathe_live_bytes(const lathe_live *live) {
    return (size_t)live->n_cells * sizeof(live_cell);
}

int64_t lathe_live_features(const lathe_live *live) {
    return live->n_features;
}

/* ---- counting ---- */

static inline void add(live_cell *c, uint64_t amount) {
    const uint64_t now = atomic_load_explicit(&c->count, memory_order_relaxed);
    atomic_store_explicit(&c->count, now + amount, memory_order_relaxed);
}

static inline double number(const live_cell *c) {
    return atomic_load_explicit(&c->number, memory_order_relaxed);
}

static inline void put(live_cell *c, double value) {
    atomic_store_explicit(&c->number, value, memory_order_relaxed);
}

typedef double pair __attribute__((vector_size(16)));
typedef int64_t mask __attribute__((vector_size(16)));

/* How many of 16 numbers are below the value. */
static inline int64_t below(const double *numbers, double value) {
    const pair *p = (const pair *)numbers, v = {value, value};
    mask n = p[0] < v;
    for (int i = 1; i < FAN / 2; i++)
        n += p[i] < v;
    return -(n[0] + n[1]);
}

static inline int64_t bin_of(const live_feature *f, double value) {
    if (f->n_bins <= FAN + 1)
        return below(f->tree->blocks[0], value);
    const int64_t block = below(f->tree->pivots, value);
    return (FAN + 1) * block + below(f->tree->blocks[block], value);
}

static inline void add_number(const live_feature *f, live_cell *head, double value) {
    if (value != value) {
        add(&head[LIVE_MISSING], 1);
        return;
    }
    add(&head[LIVE_LINE + bin_of(f, value)], 1);
    if (value < f->low)
        add(&head[LIVE_BELOW], 1);
    else if (value > f->high)
        add(&head[LIVE_ABOVE], 1);
    if (!(fabs(value) <= DBL_MAX))
        return;
    const double offset = value - f->center;
    const uint64_t seen = atomic_load_explicit(&head[LIVE_SEEN].count, memory_order_relaxed);
    if (seen == 0 || value < number(&head[LIVE_SMALLEST]))
        put(&head[LIVE_SMALLEST], value);
    if (seen == 0 || value > number(&head[LIVE_LARGEST]))
        put(&head[LIVE_LARGEST], value);
    put(&head[LIVE_SUM], number(&head[LIVE_SUM]) + offset);
    put(&head[LIVE_SQUARES], number(&head[LIVE_SQUARES]) + offset * offset);
    atomic_store_explicit(&head[LIVE_SEEN].count, seen + 1, memory_order_relaxed);
}

static void add_feature(const live_feature *f, live_cell *head, const lathe_column *c,
                        int64_t begin, int64_t n) {
    for (int64_t i = begin; i < begin + n; i++) {
        if (f->type == LATHE_COLUMN_FLOAT64) {
            add_number(f, head, ((const double *)c->values)[i]);
        } else if (!f->categorical) {
            add_number(f, head, lathe_number_at(c, i, (double)NAN));
        } else {
            const int32_t code = ((const int32_t *)c->values)[i];
            const int64_t unseen = f->n_bins - 1;
            add(code == LATHE_CODE_MISSING
                    ? &head[LIVE_MISSING]
                    : &head[LIVE_LINE + (code >= 0 && code < unseen ? code : unseen)],
                1);
        }
    }
}

void lathe_live_add(const lathe_live *live, void *region, const lathe_table *rows, int64_t begin,
                    int64_t n) {
    live_cell *cells = region;
    for (int64_t i = 0; i < live->n_features; i++) {
        const live_feature *f = &live->features[i];
        if (f->column >= 0)
            add_feature(f, cells + f->at, &rows->columns[f->column], begin, n);
    }
    add(cells, (uint64_t)n);
}
