/* data/window.c: later rows counted into a baseline's bins. See baseline.h. */
#include "data/baseline.h"
#include "data/baseline_internal.h"
#include "data/frame.h"
#include "data/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct window_feature {
    double missing;
    bin_grid grid[2]; /* edges are the baseline's */
} window_feature;

struct lathe_window {
    const lathe_baseline *baseline;
    window_feature *features;
    int64_t *columns; /* [n_features] scratch of add */
    int64_t n_rows;
};

lathe_window *lathe_window_new(const lathe_baseline *baseline) {
    lathe_window *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->baseline = baseline;
    w->features = calloc((size_t)baseline->n_features + 1, sizeof *w->features);
    w->columns = calloc((size_t)baseline->n_features + 1, sizeof *w->columns);
    bool good = w->features != NULL && w->columns != NULL;
    for (int64_t i = 0; good && i < baseline->n_features; i++) {
        const baseline_feature *f = &baseline->features[i];
        for (int r = 0; good && r < (f->categorical ? 1 : 2); r++) {
            good = grid_alloc(&w->features[i].grid[r], f->grid[r].n_bins, f->categorical, false);
            w->features[i].grid[r].edges = f->grid[r].edges;
        }
    }
    if (!good) {
        lathe_window_free(w);
        return NULL;
    }
    return w;
}

void lathe_window_free(lathe_window *window) {
    if (window == NULL)
        return;
    for (int64_t i = 0; window->features != NULL && i < window->baseline->n_features; i++) {
        grid_free(&window->features[i].grid[0], false);
        grid_free(&window->features[i].grid[1], false);
    }
    free(window->features);
    free(window->columns);
    free(window);
}

void lathe_window_reset(lathe_window *window) {
    for (int64_t i = 0; i < window->baseline->n_features; i++) {
        window->features[i].missing = 0;
        grid_clear(&window->features[i].grid[0]);
        grid_clear(&window->features[i].grid[1]);
    }
    window->n_rows = 0;
}

void lathe_window_number(lathe_window *window, int64_t feature, double value) {
    window_feature *f = &window->features[feature];
    if (value != value) {
        f->missing += 1;
        return;
    }
    grid_add_number(&f->grid[0], value);
    grid_add_number(&f->grid[1], value);
}

void lathe_window_code(lathe_window *window, int64_t feature, int32_t code) {
    window_feature *f = &window->features[feature];
    int64_t unseen = f->grid[0].n_bins - 1;
    if (code == LATHE_CODE_MISSING)
        f->missing += 1;
    else
        f->grid[0].counts[code >= 0 && code < unseen ? code : unseen] += 1;
}

void lathe_window_row(lathe_window *window) {
    window->n_rows++;
}

int64_t lathe_window_rows(const lathe_window *window) {
    return window->n_rows;
}

/* Finds the feature's column and checks its kind. */
static int32_t find_column(lathe_window *w, int64_t i, const lathe_table *rows, lathe_error *err) {
    const baseline_feature *f = &w->baseline->features[i];
    int32_t code = lathe_table_need(rows, f->name, "the watched column", &w->columns[i], err);
    if (code != LATHE_OK)
        return code;
    const lathe_column *c = &rows->columns[w->columns[i]];
    if (rows->n_rows > 0 && c->values == NULL)
        return lathe_fail(err, LATHE_E_SHAPE, f->name, "the column has no values");
    if (!f->categorical && !lathe_is_numeric(c))
        return lathe_fail(
            err, LATHE_E_SHAPE, f->name,
            "the column was numeric in training and is not now; fit the rows to the model's "
            "schema first");
    if (f->categorical &&
        (c->type != LATHE_COLUMN_CATEGORY || c->dict_size != f->grid[0].n_bins - 1))
        return lathe_fail(
            err, LATHE_E_SHAPE, f->name,
            "the column must be a category with the dictionary of training; fit the rows to "
            "the model's schema first");
    return LATHE_OK;
}

int32_t lathe_window_add(lathe_window *window, const lathe_table *rows, lathe_error *err) {
    for (int64_t i = 0; i < window->baseline->n_features; i++) {
        int32_t code = find_column(window, i, rows, err);
        if (code != LATHE_OK)
            return code;
    }
    for (int64_t i = 0; i < window->baseline->n_features; i++) {
        const lathe_column *c = &rows->columns[window->columns[i]];
        bool categorical = window->baseline->features[i].categorical;
        for (int64_t r = 0; r < rows->n_rows; r++) {
            if (categorical)
                lathe_window_code(window, i, ((const int32_t *)c->values)[r]);
            else
                lathe_window_number(window, i, lathe_number_at(c, r, (double)NAN));
        }
    }
    window->n_rows += rows->n_rows;
    return LATHE_OK;
}

static bool same_bins(const lathe_baseline *a, const lathe_baseline *b) {
    if (a->n_features != b->n_features)
        return false;
    for (int64_t i = 0; i < a->n_features; i++) {
        const baseline_feature *f = &a->features[i], *g = &b->features[i];
        if (strcmp(f->name, g->name) != 0 || f->categorical != g->categorical)
            return false;
        for (int r = 0; r < 2; r++) {
            size_t edges = (size_t)(f->grid[r].n_bins > 0 ? f->grid[r].n_bins - 1 : 0);
            if (f->grid[r].n_bins != g->grid[r].n_bins ||
                (!f->categorical && edges > 0 &&
                 memcmp(f->grid[r].edges, g->grid[r].edges, edges * sizeof(double)) != 0))
                return false;
        }
    }
    return true;
}

static void merge_grid(bin_grid *into, const bin_grid *from) {
    for (int64_t b = 0; b < into->n_bins; b++) {
        into->counts[b] += from->counts[b];
        if (into->lower == NULL)
            continue;
        if (!(into->lower[b] <= from->lower[b]) && !isnan(from->lower[b]))
            into->lower[b] = from->lower[b];
        if (!(into->upper[b] >= from->upper[b]) && !isnan(from->upper[b]))
            into->upper[b] = from->upper[b];
    }
}

void lathe_window_put(lathe_window *window, int64_t feature, int32_t resolution,
                      const double *counts, const double *lower, const double *upper,
                      double missing) {
    window_feature *f = &window->features[feature];
    const bool fine = resolution == LATHE_BINS_FINE;
    if (fine && window->baseline->features[feature].categorical)
        return;
    bin_grid *grid = &f->grid[fine];
    const bin_grid from = {.n_bins = grid->n_bins,
                           .counts = (double *)(uintptr_t)counts,
                           .lower = (double *)(uintptr_t)lower,
                           .upper = (double *)(uintptr_t)upper};
    merge_grid(grid, &from);
    if (!fine)
        f->missing += missing;
}

void lathe_window_put_rows(lathe_window *window, int64_t rows) {
    window->n_rows += rows;
}

int32_t lathe_window_merge(lathe_window *into, const lathe_window *from, lathe_error *err) {
    if (into->baseline != from->baseline && !same_bins(into->baseline, from->baseline))
        return lathe_fail(
            err, LATHE_E_SHAPE, "window",
            "windows of different baselines cannot be added; they count in other bins");
    for (int64_t i = 0; i < into->baseline->n_features; i++) {
        into->features[i].missing += from->features[i].missing;
        merge_grid(&into->features[i].grid[0], &from->features[i].grid[0]);
        merge_grid(&into->features[i].grid[1], &from->features[i].grid[1]);
    }
    into->n_rows += from->n_rows;
    return LATHE_OK;
}

void lathe_window_distribution(const lathe_window *window, int64_t feature, int32_t resolution,
                               lathe_distribution *out) {
    bool categorical = window->baseline->features[feature].categorical;
    const window_feature *f = &window->features[feature];
    grid_view(&f->grid[!categorical && resolution == LATHE_BINS_FINE], categorical, f->missing,
              out);
}
