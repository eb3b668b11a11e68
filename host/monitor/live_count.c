/* monitor/live_count.c: served rows counted into a region, many at once (live_bins.h), and rows that wait for that. See live.h.
 *
 * A row that waits:   | number 0 … | zeros up to a multiple of LIVE_LANES | category 0 … | zeros likewise |
 */
#include "data/frame.h"
#include "data/memory.h"
#include "monitor/live_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

int64_t lathe_live_numbers(const lathe_live *live) {
    return live->n_numbers;
}

int64_t lathe_live_number_column(const lathe_live *live, int64_t i) {
    return live->picks[i].column;
}

/* ---- one feature ---- */

static inline double number(const live_cell *c) {
    return atomic_load_explicit(&c->number, memory_order_relaxed);
}

static inline void put(live_cell *c, double value) {
    atomic_store_explicit(&c->number, value, memory_order_relaxed);
}

/* Of n finite numbers. */
static void add_moments(live_cell *head, const live_moments *m, int lane, int64_t n) {
    const uint64_t seen = atomic_load_explicit(&head[LIVE_SEEN].count, memory_order_relaxed);
    if (seen == 0 || m->smallest[lane] < number(&head[LIVE_SMALLEST]))
        put(&head[LIVE_SMALLEST], m->smallest[lane]);
    if (seen == 0 || m->largest[lane] > number(&head[LIVE_LARGEST]))
        put(&head[LIVE_LARGEST], m->largest[lane]);
    put(&head[LIVE_SUM], number(&head[LIVE_SUM]) + m->sum[lane]);
    put(&head[LIVE_SQUARES], number(&head[LIVE_SQUARES]) + m->squares[lane]);
    atomic_store_explicit(&head[LIVE_SEEN].count, seen + (uint64_t)n, memory_order_relaxed);
}

/* Numbers of which some are outside of training, and some may be infinite. */
static void add_outside(const live_feature *f, live_cell *head, const live_tile *tile, int lane,
                        int64_t n) {
    live_moments m;
    int64_t finite = 0;
    m.smallest[lane] = (double)INFINITY;
    m.largest[lane] = -(double)INFINITY;
    m.sum[lane] = m.squares[lane] = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = tile->value[i][lane], offset = value - f->center;
        if (value < f->low)
            live_cell_add(&head[LIVE_BELOW], 1);
        else if (value > f->high)
            live_cell_add(&head[LIVE_ABOVE], 1);
        if (fabs(value) > DBL_MAX)
            continue;
        m.smallest[lane] = value < m.smallest[lane] ? value : m.smallest[lane];
        m.largest[lane] = value > m.largest[lane] ? value : m.largest[lane];
        m.sum[lane] += offset;
        m.squares[lane] += offset * offset;
        finite++;
    }
    if (finite > 0)
        add_moments(head, &m, lane, finite);
}

/* n measured numbers, none missing. */
static void add_numbers(const lathe_live *live, const live_feature *f, live_cell *head,
                        const live_tile *tile, const live_moments *m, int lane, int64_t n) {
    live->kernels.count(f->finder, tile, lane, n, head + LIVE_LINE);
    if (m->smallest[lane] < f->low || m->largest[lane] > f->high)
        add_outside(f, head, tile, lane, n);
    else
        add_moments(head, m, lane, n);
}

/* n numbers of which some are missing. */
static void add_present(const lathe_live *live, const live_lanes *lanes, const live_feature *f,
                        live_cell *head, const live_tile *tile, int lane, int64_t n) {
    double present[LIVE_TILE][LIVE_LANES];
    live_tile packed;
    live_moments m;
    int64_t n_present = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = tile->value[i][lane];
        for (int k = 0; k < LIVE_LANES; k++)
            present[n_present][k] = value;
        n_present += value == value;
    }
    live_cell_add(&head[LIVE_MISSING], (uint64_t)(n - n_present));
    if (n_present == 0)
        return;
    live->kernels.measure(lanes, present[0], LIVE_LANES, n_present, &packed, &m);
    add_numbers(live, f, head, &packed, &m, lane, n_present);
}

static void add_code(const live_feature *f, live_cell *head, int64_t code) {
    const int64_t unseen = f->n_bins - 1;
    if (code == LATHE_CODE_MISSING)
        live_cell_add(&head[LIVE_MISSING], 1);
    else
        live_cell_add(&head[LIVE_LINE + (code >= 0 && code < unseen ? code : unseen)], 1);
}

/* ---- many rows ---- */

/* Edges and counts of a feature come from afar while another one is counted. */
static void fetch(const lathe_live *live, int64_t pick, const live_cell *cells) {
    if (pick >= live->n_picks)
        return;
    const live_feature *f = &live->features[live->picks[pick].feature];
    if (f->finder != NULL)
        live_finder_fetch(f->finder);
    for (int64_t at = 0; at < LIVE_LINE + f->n_bins; at += LIVE_LINE)
        __builtin_prefetch(cells + f->at + at, 1);
}

/* n rows, at most LIVE_TILE, of the numbers from `pick` on, side by side: the first row is at `rows`. */
static void add_lanes(const lathe_live *live, int64_t pick, const double *rows, int64_t stride,
                      int64_t n, live_cell *cells) {
    const live_lanes *lanes = &live->lanes[pick / LIVE_LANES];
    live_tile tile;
    live_moments m;
    live->kernels.measure(lanes, rows, stride, n, &tile, &m);
    for (int lane = 0; lane < LIVE_LANES && pick < live->n_numbers; lane++, pick++) {
        const live_feature *f = &live->features[live->picks[pick].feature];
        live_cell *head = cells + f->at;
        if (n > LIVE_TILE / 8)
            fetch(live, pick + 1, cells);
        if (m.squares[lane] == m.squares[lane])
            add_numbers(live, f, head, &tile, &m, lane, n);
        else
            add_present(live, lanes, f, head, &tile, lane, n);
    }
}

static double number_at(const lathe_column *c, int64_t row) {
    return c->type == LATHE_COLUMN_FLOAT64 ? ((const double *)c->values)[row]
                                           : lathe_number_at(c, row, (double)NAN);
}

void lathe_live_add(const lathe_live *live, void *region, const lathe_table *rows, int64_t begin,
                    int64_t n) {
    double turned[LIVE_TILE][LIVE_LANES] = {{0}};
    live_cell *cells = region;
    const live_pick *picks = live->picks;
    for (int64_t pick = 0; pick < live->n_numbers; pick += LIVE_LANES)
        for (int64_t done = 0, m; done < n; done += m) {
            m = n - done < LIVE_TILE ? n - done : LIVE_TILE;
            for (int k = 0; k < LIVE_LANES && pick + k < live->n_numbers; k++) {
                const lathe_column *c = &rows->columns[picks[pick + k].column];
                for (int64_t i = 0; i < m; i++)
                    turned[i][k] = number_at(c, begin + done + i);
            }
            add_lanes(live, pick, turned[0], LIVE_LANES, m, cells);
        }
    for (int64_t pick = live->n_numbers; pick < live->n_picks; pick++) {
        const live_feature *f = &live->features[picks[pick].feature];
        const int32_t *codes = rows->columns[picks[pick].column].values;
        for (int64_t i = begin; i < begin + n; i++)
            add_code(f, cells + f->at, codes[i]);
    }
    live_cell_add(cells, (uint64_t)n);
}

/* ---- rows that wait ---- */

/* A number, or a category's code. */
typedef union live_value {
    double number;
    int64_t code;
} live_value;

struct lathe_live_waiting {
    const lathe_live *live;
    live_value
        *values; /* [LATHE_LIVE_WAITING, stride] as they came: a row is a few lines of the cache */
    const void **table; /* [columns of raw] scratch of add_later */
    int64_t n, stride, first_code, n_plain;
    int32_t columns[]; /* [picks] */
};

static int64_t padded(int64_t n) {
    return (n + LIVE_LANES - 1) / LIVE_LANES * LIVE_LANES;
}

lathe_live_waiting *lathe_live_waiting_new(const lathe_live *live) {
    int64_t n_columns = 0;
    lathe_live_waiting *w =
        lathe_aligned_zeroed(1, sizeof *w + (size_t)live->n_picks * sizeof *w->columns);
    if (w == NULL)
        return NULL;
    w->live = live;
    w->n_plain = live->n_plain;
    w->first_code = padded(live->n_numbers);
    w->stride = w->first_code + padded(live->n_picks - live->n_numbers);
    for (int64_t i = 0; i < live->n_picks; i++) {
        w->columns[i] = live->picks[i].column;
        n_columns = w->columns[i] >= n_columns ? w->columns[i] + 1 : n_columns;
    }
    w->values =
        lathe_aligned_zeroed(LATHE_LIVE_WAITING, (size_t)(w->stride + 1) * sizeof *w->values);
    w->table = calloc((size_t)n_columns + 1, sizeof *w->table);
    if (w->values == NULL || w->table == NULL) {
        lathe_live_waiting_free(w);
        return NULL;
    }
    return w;
}

void lathe_live_waiting_free(lathe_live_waiting *w) {
    if (w == NULL)
        return;
    free(w->values);
    free(w->table);
    free(w);
}

/* What is no float64 column. */
static void take_rest(const lathe_live_waiting *w, const void *const *values, int64_t row,
                      live_value *to) {
    const lathe_live *live = w->live;
    for (int64_t i = live->n_plain; i < live->n_numbers; i++) {
        const int64_t whole = ((const int64_t *)values[w->columns[i]])[row];
        to[i].number = whole == LATHE_MISSING_INT ? (double)NAN : (double)whole;
    }
    to += w->first_code - live->n_numbers;
    for (int64_t i = live->n_numbers; i < live->n_picks; i++)
        to[i].code = ((const int32_t *)values[w->columns[i]])[row];
}

const double *lathe_live_take(lathe_live_waiting *w, const void *const *values, int64_t row) {
    live_value *to = w->values + w->n * w->stride;
    int64_t i = 0;
    for (; i + 4 <= w->n_plain; i += 4)
        for (int k = 0; k < 4; k++)
            to[i + k].number = ((const double *)values[w->columns[i + k]])[row];
    for (; i < w->n_plain; i++)
        to[i].number = ((const double *)values[w->columns[i]])[row];
    if (w->n_plain < w->live->n_picks)
        take_rest(w, values, row, to);
    return &to->number;
}

void lathe_live_keep(lathe_live_waiting *w, void *region) {
    if (++w->n == LATHE_LIVE_WAITING)
        lathe_live_flush(w, region);
}

void lathe_live_flush(lathe_live_waiting *w, void *region) {
    const lathe_live *live = w->live;
    live_cell *cells = region;
    const int64_t n = w->n;
    if (n == 0)
        return;
    for (int64_t pick = 0; pick < live->n_numbers; pick += LIVE_LANES)
        for (int64_t done = 0; done < n; done += LIVE_TILE)
            add_lanes(live, pick, &w->values[done * w->stride + pick].number, w->stride,
                      n - done < LIVE_TILE ? n - done : LIVE_TILE, cells);
    for (int64_t pick = live->n_numbers; pick < live->n_picks; pick++) {
        const live_feature *f = &live->features[live->picks[pick].feature];
        const live_value *code = w->values + w->first_code + (pick - live->n_numbers);
        for (int64_t i = 0; i < n; i++, code += w->stride)
            add_code(f, cells + f->at, code->code);
    }
    live_cell_add(cells, (uint64_t)n);
    w->n = 0;
}

void lathe_live_add_later(lathe_live_waiting *w, void *region, const lathe_table *rows,
                          int64_t begin, int64_t n) {
    if (n >= LATHE_LIVE_WAITING / 2) {
        lathe_live_add(w->live, region, rows, begin, n);
        return;
    }
    for (int64_t i = 0; i < w->live->n_picks; i++)
        w->table[w->columns[i]] = rows->columns[w->columns[i]].values;
    for (int64_t i = begin; i < begin + n; i++) {
        lathe_live_take(w, w->table, i);
        lathe_live_keep(w, region);
    }
}
