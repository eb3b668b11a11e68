/* data/baseline.c: bins from training rows. See baseline.h. */
#include "data/baseline.h"

#include "data/baseline_internal.h"
#include "data/bins.h"
#include "data/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- grids ---- */

static double *new_doubles(int64_t n) {
    return lathe_aligned_zeroed(n, sizeof(double));
}

bool grid_alloc(bin_grid *grid, int64_t n_bins, bool categorical, bool edges) {
    *grid = (bin_grid){.n_bins = n_bins, .counts = new_doubles(n_bins)};
    if (!categorical) {
        grid->lower = new_doubles(n_bins);
        grid->upper = new_doubles(n_bins);
        if (edges)
            grid->edges = new_doubles(n_bins);
    }
    if (grid->counts == NULL || (!categorical && (grid->lower == NULL || grid->upper == NULL ||
                                                  (edges && grid->edges == NULL)))) {
        grid_free(grid, edges);
        return false;
    }
    grid_clear(grid);
    return true;
}

void grid_free(bin_grid *grid, bool edges) {
    if (edges)
        free(grid->edges);
    free(grid->counts);
    free(grid->lower);
    free(grid->upper);
    *grid = (bin_grid){0};
}

void grid_clear(bin_grid *grid) {
    for (int64_t b = 0; b < grid->n_bins; b++) {
        grid->counts[b] = 0;
        if (grid->lower != NULL)
            grid->lower[b] = grid->upper[b] = (double)NAN;
    }
}

/* The number of edges below the value is its bin. */
void grid_add_number(bin_grid *grid, double value) {
    int64_t low = 0, high = grid->n_bins - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (grid->edges[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    grid->counts[low] += 1;
    if (isinf(value)) {
        if (grid->n_bins == 1)
            return;
        value = grid->edges[value < 0 ? 0 : grid->n_bins - 2];
    }
    if (!(grid->lower[low] <= value))
        grid->lower[low] = value;
    if (!(grid->upper[low] >= value))
        grid->upper[low] = value;
}

void grid_view(const bin_grid *grid, bool categorical, double missing, lathe_distribution *out) {
    *out = (lathe_distribution){.struct_size = LATHE_SIZED(lathe_distribution),
                                .categorical = categorical,
                                .n_bins = grid->n_bins,
                                .edges = grid->edges,
                                .counts = grid->counts,
                                .lower = grid->lower,
                                .upper = grid->upper,
                                .missing = missing};
    for (int64_t b = 0; b < grid->n_bins; b++)
        out->total += grid->counts[b];
}

/* ---- edges ---- */

/* m with a <= m < b, half way where doubles allow it. */
static double midpoint(double a, double b) {
    double m = 0.5 * a + 0.5 * b;
    return m >= a && m < b ? m : a;
}

/* Edges below the smallest and above the largest value, as far off as the next edge; a constant's
 * are off by a billionth of it. edges[1 … n] are the inner ones. Returns the number of all, from
 * edges[0]. */
static int64_t outer_edges(double low, double high, double *edges, int64_t n) {
    double pad = low != 0 ? fabs(low) * 1e-9 : 1e-9;
    double below = n > 0 ? low - (edges[1] - low) : low - pad;
    double above = n > 0 ? high + (high - edges[n]) : high + pad;
    int64_t m = n + 1;
    if (isfinite(above) && above >= high)
        edges[m++] = above;
    if (isfinite(below) && below < low) {
        edges[0] = below;
        return m;
    }
    memmove(edges, edges + 1, (size_t)(m - 1) * sizeof *edges);
    return m - 1;
}

/* Edges for `n` sorted finite values; edges: [most - 1]. Returns their number. */
static int64_t find_edges(const double *sorted, int64_t n, int64_t most, double *edges) {
    int64_t distinct = n > 0, m = 0;
    for (int64_t i = 1; i < n && distinct <= most; i++)
        distinct += sorted[i] != sorted[i - 1];
    if (distinct == 0)
        return 0;
    if (distinct + 2 <= most) {
        for (int64_t i = 1; i < n; i++) {
            if (sorted[i] != sorted[i - 1])
                edges[1 + m++] = midpoint(sorted[i - 1], sorted[i]);
        }
        return outer_edges(sorted[0], sorted[n - 1], edges, m);
    }
    /* Equal shares: the k-th edge lies behind the last value equal to the k-th quantile. */
    int64_t behind = 0;
    for (int64_t k = 1; k < most; k++) {
        int64_t at = n / most * k + n % most * k / most;
        if (at <= behind)
            continue;
        for (behind = at; behind < n && sorted[behind] == sorted[at - 1];)
            behind++;
        if (behind < n)
            edges[m++] = midpoint(sorted[behind - 1], sorted[behind]);
    }
    return m;
}

static int64_t finite_values(const lathe_column *c, int64_t n_rows, double *values) {
    int64_t n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        double x = lathe_number_at(c, i, (double)NAN);
        if (isfinite(x))
            values[n++] = x;
    }
    return n;
}

static int32_t fit_numeric(const lathe_column *c, int64_t n_rows, baseline_feature *f) {
    static const int64_t most[2] = {LATHE_BASELINE_COARSE, LATHE_BASELINE_FINE};
    double *values = lathe_aligned_new(n_rows, 2 * sizeof *values);
    if (values == NULL)
        return LATHE_E_MEMORY;
    int64_t n = finite_values(c, n_rows, values);
    lathe_doubles_sort(values, values + n_rows, n);
    for (int r = 0; r < 2; r++) {
        double edges[LATHE_BASELINE_FINE];
        int64_t m = find_edges(values, n, most[r], edges);
        if (!grid_alloc(&f->grid[r], m + 1, false, true)) {
            free(values);
            return LATHE_E_MEMORY;
        }
        memcpy(f->grid[r].edges, edges, (size_t)m * sizeof *edges);
    }
    free(values);
    for (int64_t i = 0; i < n_rows; i++) {
        double x = lathe_number_at(c, i, (double)NAN);
        if (x != x) {
            f->missing += 1;
            continue;
        }
        grid_add_number(&f->grid[0], x);
        grid_add_number(&f->grid[1], x);
    }
    return LATHE_OK;
}

static int32_t fit_category(const lathe_column *c, int64_t n_rows, baseline_feature *f) {
    const int32_t *codes = c->values;
    if (!grid_alloc(&f->grid[0], c->dict_size + 1, true, false))
        return LATHE_E_MEMORY;
    for (int64_t i = 0; i < n_rows; i++) {
        if (codes[i] == LATHE_CODE_MISSING)
            f->missing += 1;
        else
            f->grid[0].counts[codes[i] >= 0 && codes[i] < c->dict_size ? codes[i] : c->dict_size] +=
                1;
    }
    return LATHE_OK;
}

/* ---- baselines ---- */

lathe_baseline *baseline_alloc(int64_t room) {
    lathe_baseline *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->features = calloc((size_t)room + 1, sizeof *b->features);
    if (b->features == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

void lathe_baseline_free(lathe_baseline *baseline) {
    if (baseline == NULL)
        return;
    for (int64_t i = 0; i < baseline->n_features; i++) {
        free(baseline->features[i].name);
        grid_free(&baseline->features[i].grid[0], true);
        grid_free(&baseline->features[i].grid[1], true);
    }
    free(baseline->features);
    free(baseline);
}

int32_t lathe_baseline_fit(const lathe_table *table, lathe_baseline **baseline, lathe_error *err) {
    *baseline = NULL;
    lathe_baseline *b = baseline_alloc(table->n_columns);
    if (b == NULL)
        return lathe_fail_memory(err, "baseline", "the baseline");
    b->n_rows = table->n_rows;
    for (int64_t i = 0; i < table->n_columns; i++) {
        const lathe_column *c = &table->columns[i];
        bool categorical = c->type == LATHE_COLUMN_CATEGORY;
        if (!categorical && !lathe_is_numeric(c))
            continue;
        baseline_feature *f = &b->features[b->n_features++];
        f->categorical = categorical;
        f->name = strdup(c->name);
        int32_t code = f->name == NULL ? LATHE_E_MEMORY
                       : categorical   ? fit_category(c, table->n_rows, f)
                                       : fit_numeric(c, table->n_rows, f);
        if (code != LATHE_OK) {
            lathe_baseline_free(b);
            return lathe_fail_memory(err, c->name, "the baseline");
        }
    }
    *baseline = b;
    return LATHE_OK;
}

int64_t lathe_baseline_features(const lathe_baseline *baseline) {
    return baseline->n_features;
}

int64_t lathe_baseline_rows(const lathe_baseline *baseline) {
    return baseline->n_rows;
}

const char *lathe_baseline_name(const lathe_baseline *baseline, int64_t feature) {
    return baseline->features[feature].name;
}

bool lathe_baseline_categorical(const lathe_baseline *baseline, int64_t feature) {
    return baseline->features[feature].categorical;
}

int64_t lathe_baseline_find(const lathe_baseline *baseline, const char *name) {
    for (int64_t i = 0; i < baseline->n_features; i++) {
        if (strcmp(baseline->features[i].name, name) == 0)
            return i;
    }
    return -1;
}

void lathe_baseline_distribution(const lathe_baseline *baseline, int64_t feature,
                                 int32_t resolution, lathe_distribution *out) {
    const baseline_feature *f = &baseline->features[feature];
    int r = !f->categorical && resolution == LATHE_BINS_FINE;
    grid_view(&f->grid[r], f->categorical, f->missing, out);
}
