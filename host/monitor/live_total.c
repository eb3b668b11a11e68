/* monitor/live_total.c: regions added up, and what came between two sums. See live.h. */
#include "data/memory.h"
#include "monitor/live_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One cell of a sum. */
typedef union total_cell {
    double count; /* exact up to 2^53 */
    double number;
} total_cell;

struct lathe_live_total {
    const lathe_live *live;
    total_cell *cells; /* [n_cells] as in a region */
    double *counts;    /* scratch of describe: [most bins] */
    double *lower, *upper;
};

lathe_live_total *lathe_live_total_new(const lathe_live *live) {
    int64_t most = LATHE_BASELINE_FINE;
    for (int64_t i = 0; i < live->n_features; i++)
        most = live->features[i].n_bins > most ? live->features[i].n_bins : most;
    lathe_live_total *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->live = live;
    t->cells = calloc((size_t)live->n_cells, sizeof *t->cells);
    t->counts = calloc((size_t)most, sizeof *t->counts);
    t->lower = calloc((size_t)most, sizeof *t->lower);
    t->upper = calloc((size_t)most, sizeof *t->upper);
    if (t->cells == NULL || t->counts == NULL || t->lower == NULL || t->upper == NULL) {
        lathe_live_total_free(t);
        return NULL;
    }
    return t;
}

void lathe_live_total_free(lathe_live_total *t) {
    if (t == NULL)
        return;
    free(t->cells);
    free(t->counts);
    free(t->lower);
    free(t->upper);
    free(t);
}

void lathe_live_total_clear(lathe_live_total *t) {
    memset(t->cells, 0, (size_t)t->live->n_cells * sizeof *t->cells);
}

void lathe_live_total_copy(lathe_live_total *into, const lathe_live_total *from) {
    memcpy(into->cells, from->cells, (size_t)into->live->n_cells * sizeof *into->cells);
}

/* A worker may have written any count; differences of two of these do not overflow. */
static int64_t whole(double count) {
    return (int64_t)fmin(count, 0x1p62);
}

int64_t lathe_live_total_rows(const lathe_live_total *t) {
    return whole(t->cells[0].count);
}

int64_t lathe_live_cells(const lathe_live *live) {
    return live->n_cells;
}

const double *lathe_live_total_save(const lathe_live_total *t) {
    return &t->cells[0].number; /* a union of doubles */
}

static bool is_moment(int64_t cell) {
    return cell == LIVE_SMALLEST || cell == LIVE_LARGEST || cell == LIVE_SUM ||
           cell == LIVE_SQUARES;
}

int32_t lathe_live_total_load(lathe_live_total *t, const double *cells, lathe_error *err) {
    const lathe_live *live = t->live;
    for (int64_t i = 0; i < live->n_cells; i++) {
        t->cells[i].number = cells[i];
        if (!isfinite(cells[i]))
            return lathe_fail(err, LATHE_E_CORRUPT, "statistics", "cell %lld holds %g",
                              (long long)i, cells[i]);
    }
    for (int64_t f = 0; f < live->n_features; f++) {
        const live_feature *feature = &live->features[f];
        for (int64_t c = 0; c < LIVE_LINE + feature->n_bins; c++)
            if ((feature->categorical || !is_moment(c)) && cells[feature->at + c] < 0)
                return lathe_fail(err, LATHE_E_CORRUPT, "statistics", "cell %lld holds %g",
                                  (long long)(feature->at + c), cells[feature->at + c]);
    }
    return LATHE_OK;
}

void lathe_live_total_subtract(lathe_live_total *t, const lathe_live_total *before) {
    const lathe_live *live = t->live;
    total_cell *now = t->cells;
    const total_cell *then = before->cells;
    now[0].count = fmax(now[0].count - then[0].count, 0);
    for (int64_t f = 0; f < live->n_features; f++) {
        const live_feature *feature = &live->features[f];
        for (int64_t c = 0; c < LIVE_LINE + feature->n_bins; c++) {
            const int64_t at = feature->at + c;
            if (!feature->categorical && (c == LIVE_SUM || c == LIVE_SQUARES))
                now[at].number -= then[at].number;
            else if (feature->categorical || !is_moment(c))
                now[at].count = fmax(now[at].count - then[at].count, 0);
        }
    }
}

/* ---- adding up ---- */

static double count_of(const live_cell *c) {
    return (double)atomic_load_explicit(&c->count, memory_order_relaxed);
}

static double number_of(const live_cell *c) {
    return atomic_load_explicit(&c->number, memory_order_relaxed);
}

static void sum_feature(const live_feature *f, const live_cell *from, total_cell *to) {
    const double seen = count_of(&from[LIVE_SEEN]);
    if (seen > 0) {
        const double smallest = number_of(&from[LIVE_SMALLEST]),
                     largest = number_of(&from[LIVE_LARGEST]);
        if (to[LIVE_SEEN].count == 0 || smallest < to[LIVE_SMALLEST].number)
            to[LIVE_SMALLEST].number = smallest;
        if (to[LIVE_SEEN].count == 0 || largest > to[LIVE_LARGEST].number)
            to[LIVE_LARGEST].number = largest;
        to[LIVE_SUM].number += number_of(&from[LIVE_SUM]);
        to[LIVE_SQUARES].number += number_of(&from[LIVE_SQUARES]);
        to[LIVE_SEEN].count += seen;
    }
    to[LIVE_MISSING].count += count_of(&from[LIVE_MISSING]);
    to[LIVE_BELOW].count += count_of(&from[LIVE_BELOW]);
    to[LIVE_ABOVE].count += count_of(&from[LIVE_ABOVE]);
    for (int64_t b = 0; b < f->n_bins; b++)
        to[LIVE_LINE + b].count += count_of(&from[LIVE_LINE + b]);
}

int64_t lathe_live_region_rows(const void *region) {
    return whole(count_of(region));
}

void lathe_live_sum(const void *region, lathe_live_total *t) {
    const live_cell *cells = region;
    for (int64_t i = 0; i < t->live->n_features; i++) {
        const live_feature *f = &t->live->features[i];
        sum_feature(f, cells + f->at, t->cells + f->at);
    }
    t->cells[0].count += count_of(&cells[0]);
}

/* ---- reading ---- */

/* A count of the difference; a writer that counts meanwhile makes no negative one. */
static double between(const total_cell *now, const total_cell *then, int64_t at) {
    const double n = now[at].count - (then != NULL ? then[at].count : 0);
    return n > 0 ? n : 0;
}

static void fold(const live_feature *f, const total_cell *now, const total_cell *then,
                 int32_t resolution, int64_t n_bins, double *counts) {
    memset(counts, 0, (size_t)n_bins * sizeof *counts);
    for (int64_t b = 0; b < f->n_bins; b++)
        counts[f->categorical ? b : f->bin[resolution][b]] += between(now, then, LIVE_LINE + b);
}

void lathe_live_describe(const lathe_live_total *total, const lathe_live_total *before,
                         int64_t feature, int32_t resolution, lathe_live_feature *out) {
    const live_feature *f = &total->live->features[feature];
    const total_cell *now = total->cells + f->at, *then = before ? before->cells + f->at : NULL;
    lathe_distribution d;
    lathe_baseline_distribution(total->live->baseline, feature, resolution, &d);
    const int r = resolution == LATHE_BINS_FINE;
    *out = (lathe_live_feature){.mean = (double)NAN,
                                .deviation = (double)NAN,
                                .smallest = (double)NAN,
                                .largest = (double)NAN,
                                .counts = total->counts,
                                .n_bins = d.n_bins};
    fold(f, now, then, r, d.n_bins, total->counts);
    for (int64_t b = 0; b < d.n_bins; b++)
        out->present += total->counts[b];
    out->missing = between(now, then, LIVE_MISSING);
    if (f->categorical) {
        out->unseen = total->counts[d.n_bins - 1];
        return;
    }
    out->below = between(now, then, LIVE_BELOW);
    out->above = between(now, then, LIVE_ABOVE);
    const double n = between(now, then, LIVE_SEEN);
    if (!(n > 0))
        return;
    const double sum = now[LIVE_SUM].number - (then ? then[LIVE_SUM].number : 0),
                 squares = now[LIVE_SQUARES].number - (then ? then[LIVE_SQUARES].number : 0);
    const double variance = squares / n - sum / n * (sum / n);
    out->mean = f->center + sum / n;
    out->deviation = variance > 0 ? sqrt(variance) : 0;
    /* the extremes are of all rows; where none of these lay beyond training, an earlier outlier is none of theirs */
    out->smallest = out->below > 0 ? now[LIVE_SMALLEST].number
                                   : fmax(now[LIVE_SMALLEST].number, fmin(f->low, f->high));
    out->largest = out->above > 0 ? now[LIVE_LARGEST].number
                                  : fmin(now[LIVE_LARGEST].number, fmax(f->low, f->high));
}

/* Bounds of the bins that have counts: their edges, at the ends the smallest and largest value. */
static void bound(const lathe_distribution *d, const lathe_live_feature *f, double *lower,
                  double *upper) {
    for (int64_t b = 0; b < d->n_bins; b++) {
        lower[b] = upper[b] = (double)NAN;
        if (!(f->counts[b] > 0))
            continue;
        lower[b] = b > 0 ? d->edges[b - 1] : f->smallest;
        upper[b] = b < d->n_bins - 1 ? d->edges[b] : f->largest;
        if (!(lower[b] <= upper[b])) /* infinities alone, or one value for all workers */
            lower[b] = upper[b] = b > 0 ? d->edges[b - 1] : d->n_bins > 1 ? d->edges[0] : 0;
    }
}

void lathe_live_window(const lathe_live_total *total, const lathe_live_total *before,
                       lathe_window *window) {
    const lathe_live *live = total->live;
    for (int64_t i = 0; i < live->n_features; i++) {
        const bool categorical = live->features[i].categorical;
        for (int32_t r = 0; r < (categorical ? 1 : 2); r++) {
            lathe_live_feature f;
            lathe_distribution d;
            lathe_live_describe(total, before, i, r, &f);
            lathe_baseline_distribution(live->baseline, i, r, &d);
            if (!categorical)
                bound(&d, &f, total->lower, total->upper);
            lathe_window_put(window, i, r, f.counts, total->lower, total->upper, f.missing);
        }
    }
    const int64_t then = before ? lathe_live_total_rows(before) : 0;
    lathe_window_put_rows(window, lathe_live_total_rows(total) - then);
}
