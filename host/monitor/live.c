/* monitor/live.c: served rows counted into a baseline's bins (live_bins.h). See live.h.
 *
 * A region:   rows | head 0 | counts 0 … | head 1 | counts 1 … | …        all in lines of 64 bytes
 */
#include "monitor/live_internal.h"

#include "data/frame.h"
#include "data/memory.h"

#include <float.h>
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
static int32_t lay_numeric(live_feature *f, const lathe_baseline *baseline, int64_t feature) {
    double edges[2 * LATHE_BASELINE_FINE];
    lathe_distribution d[2];
    for (int r = 0; r < 2; r++)
        lathe_baseline_distribution(baseline, feature, r, &d[r]);
    const int64_t n = merge_edges(&d[0], &d[1], edges);
    if (n > LIVE_MOST_EDGES)
        return LATHE_E_SHAPE;
    f->n_bins = n + 1;
    f->find_bins = live_bins_kernel();
    f->measure = live_measure_kernel();
    f->tree = live_tree_new(edges, n);
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

/* Those that are counted; columns that are taken over as they are come first. */
static void pick_features(lathe_live *live) {
    for (int plain = 1; plain >= 0; plain--) {
        for (int64_t i = 0; i < live->n_features; i++) {
            const live_feature *f = &live->features[i];
            if (f->column >= 0 && (f->type == LATHE_COLUMN_FLOAT64) == plain)
                live->picks[live->n_picks++] = (live_pick){(int32_t)i, (int32_t)f->column};
        }
        if (plain)
            live->n_plain = live->n_picks;
    }
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
    if (live->picks == NULL) {
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
    pick_features(live);
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

static void add_moments(live_cell *head, const live_moments *m, int64_t n) {
    const uint64_t seen = atomic_load_explicit(&head[LIVE_SEEN].count, memory_order_relaxed);
    if (seen == 0 || m->smallest < number(&head[LIVE_SMALLEST]))
        put(&head[LIVE_SMALLEST], m->smallest);
    if (seen == 0 || m->largest > number(&head[LIVE_LARGEST]))
        put(&head[LIVE_LARGEST], m->largest);
    put(&head[LIVE_SUM], number(&head[LIVE_SUM]) + m->sum);
    put(&head[LIVE_SQUARES], number(&head[LIVE_SQUARES]) + m->squares);
    atomic_store_explicit(&head[LIVE_SEEN].count, seen + (uint64_t)n, memory_order_relaxed);
}

/* The finite ones of n numbers that are not missing; counts those outside of training. */
static int64_t sort_out(const live_feature *f, live_cell *head, const double *values, int64_t n,
                        double *finite) {
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = values[i];
        if (value < f->low)
            add(&head[LIVE_BELOW], 1);
        else if (value > f->high)
            add(&head[LIVE_ABOVE], 1);
        if (fabs(value) <= DBL_MAX)
            finite[m++] = value;
    }
    return m;
}

/* n numbers, at most LATHE_LIVE_WAITING, none missing. */
static void add_numbers(const live_feature *f, live_cell *head, const double *values, int64_t n,
                        live_moments m) {
    uint16_t bins[LATHE_LIVE_WAITING];
    double finite[LATHE_LIVE_WAITING];
    f->find_bins(f->tree, values, n, bins);
    for (int64_t i = 0; i < n; i++)
        add(&head[LIVE_LINE + bins[i]], 1);
    if (m.smallest < f->low || m.largest > f->high) {
        n = sort_out(f, head, values, n, finite);
        if (n > 0)
            m = f->measure(finite, n, f->center);
    }
    if (n > 0)
        add_moments(head, &m, n);
}

/* n numbers, at most LATHE_LIVE_WAITING; NaN: missing. One of those, and no infinity, makes the squares NaN. */
static void add_present(const live_feature *f, live_cell *head, const double *values, int64_t n) {
    double present[LATHE_LIVE_WAITING + 1];
    int64_t n_present = 0;
    const live_moments m = f->measure(values, n, f->center);
    if (m.squares == m.squares) {
        add_numbers(f, head, values, n, m);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        present[n_present] = values[i];
        n_present += values[i] == values[i];
    }
    add(&head[LIVE_MISSING], (uint64_t)(n - n_present));
    if (n_present > 0)
        add_numbers(f, head, present, n_present, f->measure(present, n_present, f->center));
}

/* A value on its way: a number (NaN: missing), or a category's code. */
typedef union live_value {
    double number;
    int64_t code;
} live_value;

static inline live_value value_at(const live_feature *f, const lathe_column *c, int64_t row) {
    if (f->type == LATHE_COLUMN_FLOAT64)
        return (live_value){.number = ((const double *)c->values)[row]};
    if (f->categorical)
        return (live_value){.code = ((const int32_t *)c->values)[row]};
    return (live_value){.number = lathe_number_at(c, row, (double)NAN)};
}

static void add_code(const live_feature *f, live_cell *head, int64_t code) {
    const int64_t unseen = f->n_bins - 1;
    if (code == LATHE_CODE_MISSING)
        add(&head[LIVE_MISSING], 1);
    else
        add(&head[LIVE_LINE + (code >= 0 && code < unseen ? code : unseen)], 1);
}

/* n values of one feature; n at most LATHE_LIVE_WAITING. */
static void add_values(const live_feature *f, live_cell *head, const live_value *values,
                       int64_t n) {
    if (!f->categorical) {
        add_present(f, head, &values->number, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        add_code(f, head, values[i].code);
}

/* Rows [begin, begin + n) of a column; n at most LATHE_LIVE_WAITING. */
static void add_rows(const live_feature *f, live_cell *head, const lathe_column *c, int64_t begin,
                     int64_t n) {
    live_value values[LATHE_LIVE_WAITING];
    if (f->type == LATHE_COLUMN_FLOAT64) {
        add_present(f, head, (const double *)c->values + begin, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        values[i] = value_at(f, c, begin + i);
    add_values(f, head, values, n);
}

void lathe_live_add(const lathe_live *live, void *region, const lathe_table *rows, int64_t begin,
                    int64_t n) {
    live_cell *cells = region;
    for (int64_t i = 0; i < live->n_picks; i++) {
        const live_feature *f = &live->features[live->picks[i].feature];
        const lathe_column *c = &rows->columns[f->column];
        for (int64_t done = 0, m; done < n; done += m) {
            m = n - done < LATHE_LIVE_WAITING ? n - done : LATHE_LIVE_WAITING;
            add_rows(f, cells + f->at, c, begin + done, m);
        }
    }
    add(cells, (uint64_t)n);
}

/* ---- rows that wait ---- */

struct lathe_live_waiting {
    const lathe_live *live;
    int64_t n;
    live_value
        *values; /* [LATHE_LIVE_WAITING, n_picks] as they came: a row is a few lines of the cache */
};

lathe_live_waiting *lathe_live_waiting_new(const lathe_live *live) {
    lathe_live_waiting *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->live = live;
    w->values =
        lathe_aligned_zeroed(LATHE_LIVE_WAITING, (size_t)(live->n_picks + 1) * sizeof *w->values);
    if (w->values == NULL) {
        free(w);
        return NULL;
    }
    return w;
}

void lathe_live_waiting_free(lathe_live_waiting *w) {
    if (w == NULL)
        return;
    free(w->values);
    free(w);
}

/* Edges and counts of a feature, which come from afar while another one is counted. */
static void fetch(const live_feature *f, const live_cell *cells) {
    if (f->tree != NULL)
        live_tree_fetch(f->tree);
    for (int64_t at = 0; at < LIVE_LINE + f->n_bins; at += LIVE_LINE)
        __builtin_prefetch(cells + f->at + at, 1);
}

/* Features begin … begin + n, at most a line of values, which are turned by the line. */
static void flush_some(const lathe_live_waiting *w, live_cell *cells, int64_t begin, int64_t n) {
    const lathe_live *live = w->live;
    live_value turned[LIVE_LINE][LATHE_LIVE_WAITING];
    fetch(&live->features[live->picks[begin].feature], cells);
    for (int64_t row = 0; row < w->n; row++)
        for (int64_t i = 0; i < n; i++)
            turned[i][row] = w->values[row * live->n_picks + begin + i];
    for (int64_t i = 0; i < n; i++) {
        const live_feature *f = &live->features[live->picks[begin + i].feature];
        if (i + 1 < n)
            fetch(&live->features[live->picks[begin + i + 1].feature], cells);
        add_values(f, cells + f->at, turned[i], w->n);
    }
}

void lathe_live_flush(lathe_live_waiting *w, void *region) {
    const lathe_live *live = w->live;
    live_cell *cells = region;
    if (w->n == 0)
        return;
    for (int64_t i = 0; i < live->n_picks; i += LIVE_LINE)
        flush_some(w, cells, i, i + LIVE_LINE < live->n_picks ? LIVE_LINE : live->n_picks - i);
    add(cells, (uint64_t)w->n);
    w->n = 0;
}

void lathe_live_add_later(lathe_live_waiting *w, void *region, const lathe_table *rows,
                          int64_t begin, int64_t n) {
    const lathe_live *live = w->live;
    if (n >= LATHE_LIVE_WAITING / 2) {
        lathe_live_add(live, region, rows, begin, n);
        return;
    }
    if (w->n + n > LATHE_LIVE_WAITING)
        lathe_live_flush(w, region);
    for (int64_t k = begin; k < begin + n; k++, w->n++) {
        live_value *to = w->values + w->n * live->n_picks;
        const live_pick *p = live->picks, *plain = p + live->n_plain, *end = p + live->n_picks;
        for (; p < plain; p++, to++)
            to->number = ((const double *)rows->columns[p->column].values)[k];
        for (; p < end; p++, to++)
            *to = value_at(&live->features[p->feature], &rows->columns[p->column], k);
    }
}
