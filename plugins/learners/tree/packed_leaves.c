/* packed_leaves.c: the values of leaves, where the search for splits saw rounded numbers.
 *
 * The gradients or weights of the leaf's rows are summed in fixed point, as in rows.c: to 46 bits and
 * in any order. The rows are divided evenly among the threads, however uneven the leaves are.
 *
 * Where the leaves are few and the rows more than a cache holds, each row is first told the number of its leaf; then
 * the gradients are read in the order of the rows, from the first to the last, rather than leaf by leaf.
 */
#include "packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_PER_CHUNK = 4096,
    MANY_LEAVES = 4096,
    CACHED_ROWS = 1 << 16 /* whose gradients and hessians stay in the second level of cache */
};

typedef struct leaf_sum {
    int64_t begin, end; /* rows */
    int64_t g, h;
    int32_t leaf;
    float value;
} leaf_sum;

typedef struct leaves {
    tree_context *c;
    const lathe_fit *fit;
    leaf_sum *leaf; /* [n], by begin */
    int64_t n;
} leaves;

static int by_begin(const void *a, const void *b) {
    const leaf_sum *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* The leaf of this entry. */
static leaf_sum *leaf_at(const leaves *l, int64_t entry) {
    int64_t low = 0, high = l->n - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (l->leaf[middle].begin <= entry)
            low = middle;
        else
            high = middle - 1;
    }
    return &l->leaf[low];
}

/* Sums of the entries [begin, end). For weights of two classes: g of class 1, h of all. */
static void sum_entries(const tree_context *c, int64_t begin, int64_t end, int64_t *g_sum,
                        int64_t *h_sum) {
    int64_t g = 0, h = 0, stride = c->gradient_stride;
    if (!c->is_gradient) {
        for (int64_t i = begin; i < end; i++) {
            int64_t row = packed_row_at(c, i), w = llrint((double)c->hessian[row] * c->h_scale);
            g += c->gradient[row] > 0 ? w : 0;
            h += w;
        }
    } else if (c->hessian) {
        for (int64_t i = begin; i < end; i++) {
            int64_t at = packed_row_at(c, i) * stride;
            g += llrint((double)c->gradient[at] * c->g_scale);
            h += llrint((double)c->hessian[at] * c->h_scale);
        }
    } else {
        for (int64_t i = begin; i < end; i++)
            g += llrint((double)c->gradient[packed_row_at(c, i) * stride] * c->g_scale);
        h = (end - begin) * llrint(c->h_scale);
    }
    *g_sum = g;
    *h_sum = h;
}

static int32_t sum_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    leaf_sum *leaf = leaf_at(l, begin);
    for (int64_t i = begin; i < end; leaf++) {
        int64_t stop = leaf->end < end ? leaf->end : end, g, h;
        sum_entries(l->c, i, stop, &g, &h);
        __atomic_fetch_add(&leaf->g, g, __ATOMIC_RELAXED);
        __atomic_fetch_add(&leaf->h, h, __ATOMIC_RELAXED);
        i = stop;
    }
    return LATHE_OK;
}

static int32_t fit_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    const tree_context *c = l->c;
    const leaf_sum *leaf = leaf_at(l, begin);
    float *fitted = l->fit->fitted;
    int64_t stride = l->fit->fitted_stride;
    for (int64_t i = begin; i < end; leaf++)
        for (int64_t stop = leaf->end < end ? leaf->end : end; i < stop; i++)
            fitted[packed_row_at(c, i) * stride] = leaf->value;
    return LATHE_OK;
}

/* ---- in the order of the rows ---------------------------------------------------------------- */

/* The leaf of each row, an index into l->leaf: where the partition has no use for the place any more. */
static int32_t *row_leaves(const leaves *l) {
    return l->c->entry_spare;
}

static int32_t tell_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    const tree_context *c = l->c;
    int32_t *of_row = row_leaves(l);
    const leaf_sum *leaf = leaf_at(l, begin);
    for (int64_t i = begin; i < end; leaf++)
        for (int64_t stop = leaf->end < end ? leaf->end : end; i < stop; i++)
            of_row[packed_row_at(c, i)] = (int32_t)(leaf - l->leaf);
    return LATHE_OK;
}

static int32_t sum_rows(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    const tree_context *c = l->c;
    const int32_t *of_row = row_leaves(l);
    int64_t sum[2 * MANY_LEAVES], h = llrint(c->h_scale), stride = c->gradient_stride;
    memset(sum, 0, (size_t)l->n * 2 * sizeof *sum);
    for (int64_t r = begin; r < end; r++) {
        int64_t *to = sum + 2 * of_row[r];
        to[0] += llrint((double)c->gradient[r * stride] * c->g_scale);
        to[1] += c->hessian ? llrint((double)c->hessian[r * stride] * c->h_scale) : h;
    }
    for (int64_t k = 0; k < l->n; k++) {
        __atomic_fetch_add(&l->leaf[k].g, sum[2 * k], __ATOMIC_RELAXED);
        __atomic_fetch_add(&l->leaf[k].h, sum[2 * k + 1], __ATOMIC_RELAXED);
    }
    return LATHE_OK;
}

static int32_t fit_rows(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    const int32_t *of_row = row_leaves(l);
    float *fitted = l->fit->fitted;
    int64_t stride = l->fit->fitted_stride;
    for (int64_t r = begin; r < end; r++)
        fitted[r * stride] = l->leaf[of_row[r]].value;
    return LATHE_OK;
}

/* ---- the values ------------------------------------------------------------------------------ */

static float value_of(const tree_context *c, const leaf_sum *leaf) {
    double h = (double)leaf->h / c->h_scale;
    if (c->mode == TREE_MODE_BINARY)
        return (float)(leaf->h > 0 ? (double)leaf->g / (double)leaf->h : 0.5);
    double sum = h + c->l2;
    return sum > 0 ? (float)(0.0 - (double)leaf->g / c->g_scale / sum) : 0.0f; /* never -0 */
}

int32_t packed_leaf_values(tree_context *c, float *value, const lathe_fit *fit, lathe_error *err) {
    const lathe_host *host = c->host;
    leaves l = {c, fit, NULL, 0};
    l.leaf = host->alloc(host, (uint64_t)(c->n_nodes + 1) * sizeof *l.leaf);
    if (!l.leaf)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    for (int64_t i = 0; i < c->n_items; i++)
        if (c->item[i].leaf >= 0)
            l.leaf[l.n++] = (leaf_sum){c->item[i].begin, c->item[i].end, 0, 0, c->item[i].leaf, 0};
    qsort(l.leaf, (size_t)l.n, sizeof *l.leaf, by_begin);
    int all = c->n_used == c->n_rows;
    int by_row = all && c->is_gradient && l.n <= MANY_LEAVES && c->n_rows > CACHED_ROWS;
    int64_t least = ROWS_PER_CHUNK + 32 * l.n;
    int64_t grain = tree_even_grain(c->n_used, least, c->n_workers, 16);
    int32_t rc = host->parallel_for(host, c->n_used, grain, by_row ? tell_chunk : sum_chunk, &l);
    if (rc == LATHE_OK && by_row)
        rc = host->parallel_for(host, c->n_used, grain, sum_rows, &l);
    for (int64_t k = 0; k < l.n; k++)
        value[l.leaf[k].leaf] = l.leaf[k].value = value_of(c, &l.leaf[k]);
    if (rc == LATHE_OK && fit->fitted && all)
        rc = host->parallel_for(host, c->n_used, grain, by_row ? fit_rows : fit_chunk, &l);
    host->free(host, l.leaf);
    return rc == LATHE_OK ? rc : tree_fail(err, rc, "tree", "the fit was stopped");
}
