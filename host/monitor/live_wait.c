/* monitor/live_wait.c: served rows that wait until there are enough to be counted at once. See live.h.
 *
 *     rows ──so many as may wait──► tallies ──full, or at a flush──► region
 *
 * A row that waits:   | number 0 … | zeros up to a multiple of LIVE_LANES | category 0 … | zeros likewise |
 */
#include "data/memory.h"
#include "monitor/live_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t lathe_live_numbers(const lathe_live *live) {
    return live->n_numbers;
}

int64_t lathe_live_number_column(const lathe_live *live, int64_t i) {
    return live->picks[i].column;
}

#define EXPECTED 512 /* bytes that are asked for ahead, at most */

/* A number, or a category's code. */
typedef union live_value {
    double number;
    int64_t code;
} live_value;

struct lathe_live_waiting {
    const lathe_live *live;
    live_value *values; /* [most, stride] as they came: a row is a few lines of the cache */
    const void **table; /* [columns of raw] scratch of add_later */
    int64_t n, most, stride, first_code, n_plain;
    bool in_order; /* as live has it */
    live_tallies tallies;
    int32_t columns[]; /* [picks] */
};

static int64_t padded(int64_t n) {
    return (n + LIVE_LANES - 1) / LIVE_LANES * LIVE_LANES;
}

lathe_live_waiting *lathe_live_waiting_new(const lathe_live *live, int64_t rows) {
    int64_t n_columns = 0;
    lathe_live_waiting *w =
        lathe_aligned_zeroed(1, sizeof *w + (size_t)live->n_picks * sizeof *w->columns);
    if (w == NULL)
        return NULL;
    w->live = live;
    w->most = rows < LIVE_TALLY_ROWS ? rows : LIVE_TALLY_ROWS;
    w->n_plain = live->n_plain;
    w->in_order = live->in_order;
    w->first_code = padded(live->n_numbers);
    w->stride = w->first_code + padded(live->n_picks - live->n_numbers);
    for (int64_t i = 0; i < live->n_picks; i++) {
        w->columns[i] = live->picks[i].column;
        n_columns = w->columns[i] >= n_columns ? w->columns[i] + 1 : n_columns;
    }
    w->values = lathe_aligned_zeroed(w->most + 1, (size_t)(w->stride + 1) * sizeof *w->values);
    w->table = calloc((size_t)n_columns + 1, sizeof *w->table);
    if (w->values == NULL || w->table == NULL || live_tallies_new(live, &w->tallies) != LATHE_OK) {
        lathe_live_waiting_free(w);
        return NULL;
    }
    return w;
}

void lathe_live_waiting_free(lathe_live_waiting *w) {
    if (w == NULL)
        return;
    live_tallies_free(&w->tallies);
    free(w->values);
    free(w->table);
    free(w);
}

/* ---- taking ---- */

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

static void take_columns(const lathe_live_waiting *w, const void *const *values, int64_t row,
                         live_value *to) {
    for (int64_t i = 0; i < w->n_plain; i++)
        to[i].number = ((const double *)values[w->columns[i]])[row];
    if (w->n_plain < w->live->n_picks)
        take_rest(w, values, row, to);
}

void lathe_live_expect(const lathe_live_waiting *w) {
    const char *next = (const char *)(w->values + w->n * w->stride);
    const int64_t bytes = w->stride * (int64_t)sizeof *w->values;
    for (int64_t at = 0; at < bytes && at < EXPECTED; at += 64)
        __builtin_prefetch(next + at, 1);
}

const double *lathe_live_take(lathe_live_waiting *w, const double *flat, const void *const *values,
                              int64_t row) {
    live_value *to = w->values + w->n * w->stride;
    if (flat != NULL && w->in_order)
        memcpy(to, flat, (size_t)w->stride * sizeof *to);
    else
        take_columns(w, values, row, to);
    return &to->number;
}

/* ---- counting ---- */

static void spill(lathe_live_waiting *w, void *region) {
    live_tallies_spill(&w->tallies, region);
}

static void make_room(lathe_live_waiting *w, void *region, int64_t n) {
    if (w->tallies.rows + n > LIVE_TALLY_ROWS)
        spill(w, region);
}

/* The rows that wait. */
static void count(lathe_live_waiting *w, void *region) {
    const lathe_live *live = w->live;
    const int64_t n = w->n;
    make_room(w, region, n);
    for (int64_t pick = 0; pick < live->n_numbers; pick += LIVE_LANES)
        for (int64_t done = 0; done < n; done += LIVE_TILE)
            live_tally_lanes(&w->tallies, pick, &w->values[done * w->stride + pick].number,
                             w->stride, n - done < LIVE_TILE ? n - done : LIVE_TILE);
    for (int64_t pick = live->n_numbers; pick < live->n_picks; pick++) {
        const live_value *code = w->values + w->first_code + (pick - live->n_numbers);
        for (int64_t i = 0; i < n; i++, code += w->stride)
            live_tally_code(&w->tallies, pick, code->code);
    }
    w->tallies.rows += n;
    w->n = 0;
}

void lathe_live_keep(lathe_live_waiting *w, void *region) {
    if (++w->n >= w->most)
        count(w, region);
}

void lathe_live_flush(lathe_live_waiting *w, void *region) {
    if (w->n > 0)
        count(w, region);
    spill(w, region);
}

void lathe_live_add_later(lathe_live_waiting *w, void *region, const lathe_table *rows,
                          int64_t begin, int64_t n) {
    if (n >= w->most / 2) {
        for (int64_t done = 0, m; done < n; done += m) {
            m = n - done < LIVE_TALLY_ROWS ? n - done : LIVE_TALLY_ROWS;
            make_room(w, region, m);
            live_tally_rows(&w->tallies, rows, begin + done, m);
        }
        return;
    }
    for (int64_t i = 0; i < w->live->n_picks; i++)
        w->table[w->columns[i]] = rows->columns[w->columns[i]].values;
    for (int64_t i = begin; i < begin + n; i++) {
        lathe_live_take(w, NULL, w->table, i);
        lathe_live_keep(w, region);
    }
}
