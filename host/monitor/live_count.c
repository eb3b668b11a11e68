/* monitor/live_count.c: served rows counted, many at once (live_bins.h): first into tallies of this process, which are small,
 * then into a region. See live.h. */
#include "data/frame.h"
#include "data/memory.h"
#include "monitor/live_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one feature ---- */

/* Of n finite numbers. */
static void add_moments(live_tally *t, const live_moments *m, int lane, int64_t n) {
    if (t->seen == 0 || m->smallest[lane] < t->smallest)
        t->smallest = m->smallest[lane];
    if (t->seen == 0 || m->largest[lane] > t->largest)
        t->largest = m->largest[lane];
    t->sum += m->sum[lane];
    t->squares += m->squares[lane];
    t->seen += (uint64_t)n;
}

/* Numbers of which some are outside of training, and some may be infinite. */
static void add_outside(const live_feature *f, live_tally *t, const double *rows, int64_t stride,
                        int lane, int64_t n) {
    live_moments m;
    int64_t finite = 0;
    m.smallest[lane] = (double)INFINITY;
    m.largest[lane] = -(double)INFINITY;
    m.sum[lane] = m.squares[lane] = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = rows[i * stride + lane], offset = value - f->center;
        t->below += value < f->low;
        t->above += value > f->high;
        if (fabs(value) > DBL_MAX)
            continue;
        m.smallest[lane] = value < m.smallest[lane] ? value : m.smallest[lane];
        m.largest[lane] = value > m.largest[lane] ? value : m.largest[lane];
        m.sum[lane] += offset;
        m.squares[lane] += offset * offset;
        finite++;
    }
    if (finite > 0)
        add_moments(t, &m, lane, finite);
}

/* n rows of LIVE_LANES numbers that were measured. */
typedef struct measured {
    const double *rows;
    int64_t stride, n;
    live_tile tile;
    live_moments moments;
} measured;

/* A lane's numbers, none missing. */
static void add_numbers(const lathe_live *live, const live_feature *f, live_tally *t,
                        const measured *from, int lane) {
    const live_moments *m = &from->moments;
    uint16_t bins[LIVE_TILE];
    live->kernels.bin(f->finder, from->rows, from->stride, &from->tile, lane, from->n, bins);
    for (int64_t i = 0; i < from->n; i++)
        t->counts[bins[i]]++;
    if (m->smallest[lane] < f->low || m->largest[lane] > f->high)
        add_outside(f, t, from->rows, from->stride, lane, from->n);
    else
        add_moments(t, m, lane, from->n);
}

/* A lane's numbers, of which some are missing. */
static void add_present(const lathe_live *live, const live_lanes *lanes, const live_feature *f,
                        live_tally *t, const measured *from, int lane) {
    double present[LIVE_TILE][LIVE_LANES];
    measured packed = {.rows = present[0], .stride = LIVE_LANES};
    for (int64_t i = 0; i < from->n; i++) {
        const double value = from->rows[i * from->stride + lane];
        for (int k = 0; k < LIVE_LANES; k++)
            present[packed.n][k] = value;
        packed.n += value == value;
    }
    t->missing += (uint64_t)(from->n - packed.n);
    if (packed.n == 0)
        return;
    live->kernels.measure(lanes, present[0], LIVE_LANES, packed.n, &packed.tile, &packed.moments);
    add_numbers(live, f, t, &packed, lane);
}

void live_tally_code(live_tallies *all, int64_t pick, int64_t code) {
    const int64_t unseen = all->live->features[all->live->picks[pick].feature].n_bins - 1;
    live_tally *t = live_tally_at(all, pick);
    if (code == LATHE_CODE_MISSING)
        t->missing++;
    else
        t->counts[code >= 0 && code < unseen ? code : unseen]++;
}

/* ---- many rows ---- */

/* Edges and counts of a feature come from afar while another one is counted. */
static void fetch(const live_tallies *all, int64_t pick) {
    const lathe_live *live = all->live;
    if (pick >= live->n_picks)
        return;
    const live_feature *f = &live->features[live->picks[pick].feature];
    const char *tally = (const char *)live_tally_at(all, pick);
    if (f->finder != NULL)
        live_finder_fetch(f->finder);
    for (size_t at = 0; at < live_tally_bytes(f); at += 64)
        __builtin_prefetch(tally + at, 1);
}

void live_tally_lanes(live_tallies *all, int64_t pick, const double *rows, int64_t stride,
                      int64_t n) {
    const lathe_live *live = all->live;
    const live_lanes *lanes = &live->lanes[pick / LIVE_LANES];
    measured m;
    m.rows = rows;
    m.stride = stride;
    m.n = n;
    live->kernels.measure(lanes, rows, stride, n, &m.tile, &m.moments);
    for (int lane = 0; lane < LIVE_LANES && pick < live->n_numbers; lane++, pick++) {
        const live_feature *f = &live->features[live->picks[pick].feature];
        if (n > LIVE_TILE / 8)
            fetch(all, pick + 1);
        if (m.moments.squares[lane] == m.moments.squares[lane])
            add_numbers(live, f, live_tally_at(all, pick), &m, lane);
        else
            add_present(live, lanes, f, live_tally_at(all, pick), &m, lane);
    }
}

static double number_at(const lathe_column *c, int64_t row) {
    return c->type == LATHE_COLUMN_FLOAT64 ? ((const double *)c->values)[row]
                                           : lathe_number_at(c, row, (double)NAN);
}

void live_tally_rows(live_tallies *all, const lathe_table *rows, int64_t begin, int64_t n) {
    double turned[LIVE_TILE][LIVE_LANES] = {{0}};
    const lathe_live *live = all->live;
    const live_pick *picks = live->picks;
    for (int64_t pick = 0; pick < live->n_numbers; pick += LIVE_LANES)
        for (int64_t done = 0, m; done < n; done += m) {
            m = n - done < LIVE_TILE ? n - done : LIVE_TILE;
            for (int k = 0; k < LIVE_LANES && pick + k < live->n_numbers; k++) {
                const lathe_column *c = &rows->columns[picks[pick + k].column];
                for (int64_t i = 0; i < m; i++)
                    turned[i][k] = number_at(c, begin + done + i);
            }
            live_tally_lanes(all, pick, turned[0], LIVE_LANES, m);
        }
    for (int64_t pick = live->n_numbers; pick < live->n_picks; pick++) {
        const int32_t *codes = rows->columns[picks[pick].column].values;
        for (int64_t i = begin; i < begin + n; i++)
            live_tally_code(all, pick, codes[i]);
    }
    all->rows += n;
}

/* ---- into a region ---- */

static inline double number(const live_cell *c) {
    return atomic_load_explicit(&c->number, memory_order_relaxed);
}

static inline void put(live_cell *c, double value) {
    atomic_store_explicit(&c->number, value, memory_order_relaxed);
}

static void spill_moments(const live_tally *t, live_cell *head) {
    const uint64_t seen = atomic_load_explicit(&head[LIVE_SEEN].count, memory_order_relaxed);
    if (seen == 0 || t->smallest < number(&head[LIVE_SMALLEST]))
        put(&head[LIVE_SMALLEST], t->smallest);
    if (seen == 0 || t->largest > number(&head[LIVE_LARGEST]))
        put(&head[LIVE_LARGEST], t->largest);
    put(&head[LIVE_SUM], number(&head[LIVE_SUM]) + t->sum);
    put(&head[LIVE_SQUARES], number(&head[LIVE_SQUARES]) + t->squares);
    atomic_store_explicit(&head[LIVE_SEEN].count, seen + t->seen, memory_order_relaxed);
}

static void spill(const live_feature *f, const live_tally *t, live_cell *head) {
    if (t->seen > 0)
        spill_moments(t, head);
    live_cell_add(&head[LIVE_MISSING], t->missing);
    if (!f->categorical) {
        live_cell_add(&head[LIVE_BELOW], t->below);
        live_cell_add(&head[LIVE_ABOVE], t->above);
    }
    for (int64_t b = 0; b < f->n_bins; b++)
        if (t->counts[b] > 0)
            live_cell_add(&head[LIVE_LINE + b], t->counts[b]);
}

void live_tallies_spill(live_tallies *all, live_cell *cells) {
    const lathe_live *live = all->live;
    if (all->rows == 0)
        return;
    for (int64_t pick = 0; pick < live->n_picks; pick++) {
        const live_feature *f = &live->features[live->picks[pick].feature];
        spill(f, live_tally_at(all, pick), cells + f->at);
    }
    live_cell_add(cells, (uint64_t)all->rows);
    memset(all->bytes, 0, all->n_bytes);
    all->rows = 0;
}

int32_t live_tallies_new(const lathe_live *live, live_tallies *all) {
    *all = (live_tallies){.live = live, .at = calloc((size_t)live->n_picks + 1, sizeof *all->at)};
    for (int64_t pick = 0; all->at != NULL && pick < live->n_picks; pick++) {
        all->at[pick] = all->n_bytes;
        all->n_bytes += live_tally_bytes(&live->features[live->picks[pick].feature]);
    }
    all->bytes = lathe_aligned_zeroed((int64_t)all->n_bytes, 1);
    if (all->at != NULL && all->bytes != NULL)
        return LATHE_OK;
    live_tallies_free(all);
    return LATHE_E_MEMORY;
}

void live_tallies_free(live_tallies *all) {
    free(all->at);
    free(all->bytes);
    *all = (live_tallies){0};
}
