/* rows.c: which rows are in the bag, and their statistics in fixed point.
 *
 * Sums of integers do not depend on the order of adding: that is why a tree has the same bits for
 * any number of threads. With T the number of rows in the bag (repeats counted) and c = bits of T,
 * a row's gradient is rounded to a multiple of 2^-b max|g| with b = min(46, 62 - c), its hessian or
 * weight to one of 2^-b' max h with b' = min(31, 63 - 2c), so that no sum overflows: for 10^5 rows
 * 45 and 29 bits. A sum of n rows is therefore within n 2^(-b-1) max|g| of the exact one, closer
 * than a sum in float64 in most orders, and leaf values are computed from these sums.
 *
 *   regression        g = -w (y - centre), h = w, centre: the weighted mean, rounded to float32
 *   gradients         as given
 *   two classes       g = w [y = 1], h = w, both in units of h
 *   k classes         g = y, h = w
 */
#include "packed.h"

#include <math.h>

enum { ROWS_PER_CHUNK = 16384, MAX_CHUNKS = 4096 };

/* The rows' statistics before rounding. */
typedef struct source {
    tree_context *c;
    const lathe_fit *fit;
    const float *target;
    const float *weight;
    double g_scale;
    double h_scale;
    int64_t grain;
    double *g_max; /* [chunks] */
    double *h_max;
    int64_t *g_sum;
    int64_t *h_sum;
} source;

static int64_t row_count(const lathe_fit *fit, int64_t r) {
    return fit->counts ? fit->counts[r] : 1;
}

static void row_statistics(const source *s, int64_t r, double *g, double *h) {
    const tree_context *c = s->c;
    if (c->is_gradient) {
        *g = s->fit->gradient[r * s->fit->gradient_stride];
        *h = s->fit->hessian ? s->fit->hessian[r * s->fit->gradient_stride] : 1.0;
        return;
    }
    double w = s->weight ? s->weight[r] : 1.0;
    *h = w;
    if (c->mode == TREE_MODE_VARIANCE)
        *g = -w * ((double)s->target[r] - c->centre);
    else
        *g = 0;
}

/* Is a value of this row unusable? Writes the error. */
static int32_t row_check(const source *s, int64_t r, lathe_error *err) {
    const tree_context *c = s->c;
    const lathe_fit *fit = s->fit;
    if (c->is_gradient) {
        double g = fit->gradient[r * fit->gradient_stride];
        double h = fit->hessian ? fit->hessian[r * fit->gradient_stride] : 1.0;
        if (!(fabs(g) < INFINITY) || !(fabs(h) < INFINITY))
            return tree_fail(
                err, LATHE_E_NUMERIC, "tree",
                "row %lld has gradient %g and hessian %g; both must be finite. The scores "
                "diverged: lower the learning rate",
                (long long)r, g, h);
        if (h < 0)
            return tree_fail(err, LATHE_E_NUMERIC, "tree",
                             "row %lld has the negative hessian %g; the loss must be convex",
                             (long long)r, h);
        return LATHE_OK;
    }
    double y = s->target[r];
    if (!(fabs(y) < INFINITY))
        return tree_fail(
            err, LATHE_E_DATA, "tree",
            "the target of row %lld is %g; every target must be finite. Drop rows without "
            "a target before training",
            (long long)r, y);
    if (c->mode != TREE_MODE_VARIANCE && (y < 0 || y >= (double)c->n_classes || y != floor(y)))
        return tree_fail(err, LATHE_E_DATA, "tree",
                         "the target of row %lld is %g; expected a class index, 0 to %lld",
                         (long long)r, y, (long long)c->n_classes - 1);
    return LATHE_OK;
}

/* Writes the rows that are in the bag to c->rows, ascending, and counts them. */
static int32_t choose_rows(source *s, int64_t *total, lathe_error *err) {
    tree_context *c = s->c;
    const lathe_fit *fit = s->fit;
    int64_t n = fit->rows ? fit->n_rows_used : c->n_rows;
    int64_t used = 0, sum = 0;
    if (fit->rows && fit->counts)
        return tree_fail(err, LATHE_E_INVALID, "tree",
                         "a fit has rows and counts; give one of them");
    if (n < 0 || n > c->n_rows)
        return tree_fail(err, LATHE_E_SHAPE, "tree",
                         "%lld rows are to be used of a dataset of %lld", (long long)n,
                         (long long)c->n_rows);
    for (int64_t i = 0; i < n; i++) {
        int64_t r = fit->rows ? fit->rows[i] : i;
        if (r < 0 || r >= c->n_rows)
            return tree_fail(err, LATHE_E_SHAPE, "tree",
                             "row %lld is not in the dataset of %lld rows", (long long)r,
                             (long long)c->n_rows);
        int64_t count = row_count(fit, r);
        if (count == 0)
            continue;
        if (s->weight && !c->is_gradient) {
            double w = s->weight[r];
            if (!(w >= 0) || w == INFINITY)
                return tree_fail(
                    err, LATHE_E_DATA, "tree",
                    "the weight of row %lld is %g; expected a finite number, 0 or more",
                    (long long)r, w);
            if (w == 0)
                continue;
        }
        int32_t rc = row_check(s, r, err);
        if (rc != LATHE_OK)
            return rc;
        c->rows[used++] = (int32_t)r;
        sum += count;
    }
    if (used == 0)
        return tree_fail(err, LATHE_E_DATA, "tree",
                         "there is no row to fit: every row has weight 0 or is out of the bag");
    c->n_used = used;
    *total = sum;
    return LATHE_OK;
}

static int32_t max_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    source *s = user;
    double g_max = 0, h_max = 0;
    for (int64_t i = begin; i < end; i++) {
        double g, h;
        row_statistics(s, s->c->rows[i], &g, &h);
        g = fabs(g);
        g_max = g > g_max ? g : g_max;
        h_max = h > h_max ? h : h_max;
    }
    s->g_max[begin / s->grain] = g_max;
    s->h_max[begin / s->grain] = h_max;
    return LATHE_OK;
}

static int32_t sum_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    source *s = user;
    int64_t g_sum = 0, h_sum = 0;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = s->c->rows[i], count = row_count(s->fit, r);
        double g, h;
        row_statistics(s, r, &g, &h);
        g_sum += llrint(g * s->g_scale) * count;
        h_sum += llrint(h * s->h_scale) * count;
    }
    s->g_sum[begin / s->grain] = g_sum;
    s->h_sum[begin / s->grain] = h_sum;
    return LATHE_OK;
}

static int32_t record_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    source *s = user;
    tree_context *c = s->c;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = c->rows[i], count = row_count(s->fit, r);
        double g, h;
        row_statistics(s, r, &g, &h);
        int64_t qh = llrint(h * s->h_scale);
        tree_cell cell = {llrint(g * s->g_scale), (qh << c->count_bits) + 1};
        if (c->mode == TREE_MODE_BINARY)
            cell.g = s->target[r] > 0 ? qh : 0;
        cell.g *= count;
        cell.hc *= count;
        if (c->mode == TREE_MODE_CLASSES)
            cell.g = (int64_t)s->target[r];
        c->record[r] = cell;
    }
    return LATHE_OK;
}

/* The exponent e such that max * 2^e <= 2^bits. */
static int fixed_exponent(double max, int bits) {
    int e = 0;
    frexp(max, &e);
    return max > 0 ? bits - e : 0;
}

static int32_t set_units(source *s, int64_t n_chunks, int64_t total, lathe_error *err) {
    tree_context *c = s->c;
    int bits = 1;
    while (bits < 40 && total >> bits)
        bits++;
    int h_bits = 63 - 2 * bits < 31 ? 63 - 2 * bits : 31;
    int g_bits = 62 - bits < 46 ? 62 - bits : 46;
    if (h_bits < 2)
        return tree_fail(err, LATHE_E_MEMORY, "tree",
                         "%lld rows are in the bag; a tree takes at most %lld. Fit on a sample",
                         (long long)total, (1LL << 30) - 1);
    int32_t rc = c->host->parallel_for(c->host, c->n_used, s->grain, max_chunk, s);
    if (rc != LATHE_OK)
        return rc;
    double g_max = 0, h_max = 0;
    for (int64_t i = 0; i < n_chunks; i++) {
        g_max = s->g_max[i] > g_max ? s->g_max[i] : g_max;
        h_max = s->h_max[i] > h_max ? s->h_max[i] : h_max;
    }
    int g_exponent = fixed_exponent(g_max, g_bits), h_exponent = fixed_exponent(h_max, h_bits);
    s->g_scale = ldexp(1.0, g_exponent);
    s->h_scale = ldexp(1.0, h_exponent);
    c->h_unit = ldexp(1.0, -h_exponent);
    c->g_unit = c->mode == TREE_MODE_BINARY ? c->h_unit : ldexp(1.0, -g_exponent);
    c->count_bits = bits;
    return LATHE_OK;
}

static int32_t load_records(source *s, int64_t n_chunks, int64_t total, lathe_error *err) {
    tree_context *c = s->c;
    c->centre = 0;
    int32_t rc = set_units(s, n_chunks, total, err);
    if (rc != LATHE_OK)
        return rc;
    if (c->mode == TREE_MODE_VARIANCE && !c->is_gradient) {
        rc = c->host->parallel_for(c->host, c->n_used, s->grain, sum_chunk, s);
        if (rc != LATHE_OK)
            return rc;
        int64_t g = 0, h = 0;
        for (int64_t i = 0; i < n_chunks; i++) {
            g += s->g_sum[i];
            h += s->h_sum[i];
        }
        c->centre = h > 0 ? (double)(float)(-(double)g * c->g_unit / ((double)h * c->h_unit)) : 0;
        rc = set_units(s, n_chunks, total, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return c->host->parallel_for(c->host, c->n_used, s->grain, record_chunk, s);
}

int32_t tree_rows_load(tree_context *c, const lathe_fit *fit, lathe_error *err) {
    source s = {.c = c, .fit = fit};
    s.target = fit->target ? fit->target : c->datasets->target(c->data);
    s.weight = fit->weight ? fit->weight : c->datasets->weight(c->data);
    c->is_gradient = fit->gradient != NULL;
    c->mode = c->is_gradient || c->task == LATHE_TASK_REGRESSION ? TREE_MODE_VARIANCE
              : c->n_classes <= 2                                ? TREE_MODE_BINARY
                                                                 : TREE_MODE_CLASSES;
    c->entropy = c->config->criterion == TREE_ENTROPY;
    c->l2 = c->mode == TREE_MODE_VARIANCE ? c->config->l2 : 0;
    if (!c->is_gradient && !s.target)
        return tree_fail(err, LATHE_E_DATA, "tree", "the dataset has no target to fit");
    if (c->is_gradient && fit->gradient_stride < 1)
        return tree_fail(err, LATHE_E_INVALID, "tree", "the stride of the gradients is %lld",
                         (long long)fit->gradient_stride);
    c->packed = 0;
    int32_t rc = LATHE_OK;
    if (packed_suits(c, fit, c->is_gradient ? NULL : s.weight)) {
        if (!c->is_gradient)
            rc = tree_context_columns(c, err);
        if (rc == LATHE_OK)
            rc = packed_load(c, fit, s.target, c->is_gradient ? NULL : s.weight, err);
        if (rc != LATHE_OK || c->packed)
            return rc;
    }
    int64_t total = 0;
    rc = tree_context_exact(c, err);
    if (rc == LATHE_OK)
        rc = choose_rows(&s, &total, err);
    if (rc != LATHE_OK)
        return rc;
    s.grain = ROWS_PER_CHUNK;
    while ((c->n_used + s.grain - 1) / s.grain > MAX_CHUNKS)
        s.grain *= 2;
    int64_t n_chunks = (c->n_used + s.grain - 1) / s.grain;
    double *sums = c->host->alloc(c->host, (uint64_t)n_chunks * 4 * sizeof(double));
    if (!sums)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    s.g_max = sums;
    s.h_max = sums + n_chunks;
    s.g_sum = (int64_t *)(sums + 2 * n_chunks);
    s.h_sum = s.g_sum + n_chunks;
    rc = load_records(&s, n_chunks, total, err);
    c->host->free(c->host, sums);
    c->root_sum = (tree_cell){0, 0};
    for (int64_t i = 0; rc == LATHE_OK && i < c->n_used; i++) {
        c->root_sum.g += c->record[c->rows[i]].g;
        c->root_sum.hc += c->record[c->rows[i]].hc;
    }
    if (c->mode == TREE_MODE_CLASSES)
        c->root_sum.g = 0;
    if (rc != LATHE_OK && err && !err->message[0])
        return tree_fail(err, rc, "tree", "loading the rows was stopped");
    return rc;
}
