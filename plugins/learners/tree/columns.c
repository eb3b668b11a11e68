/* columns.c: columns of bins of the features that divide the most rows.
 *
 * To divide a node takes one byte of each of its rows. In the rows of bins these bytes are a cache line apart or more, in
 * a column of one feature they are neighbours, and the whole column may fit into the second-level cache. Columns of all
 * features would double the memory; but trees that are fitted one after the other on the same rows divide most rows by
 * the same few features. So some columns are kept, of the features that divided the most rows so far. No bit of a tree
 * depends on which these are.
 */
#include "packed.h"

#include <string.h>

enum {
    LEAST_BYTES = 4 << 20, /* rows of bins below that are in some cache anyhow */
    TENTHS = 3,            /* of the memory of the bins */
    GRAIN = 16384
};

/* A feature takes the place of one that divides fewer than this part of its rows. */
static const double NEARLY = 0.8;

struct tree_columns {
    int64_t n; /* columns */
    int64_t n_made;
    int32_t *feature; /* [n] of each column */
    uint8_t *bins;    /* [n, n_rows] */
    int32_t *place;   /* [n_features] its column, -1: none */
    int64_t *rows;    /* [n_features] divided since the last choice; by several threads */
    double *use;      /* [n_features] of before, older ones count less */
};

void tree_columns_free(const lathe_host *host, tree_columns *k) {
    if (!k)
        return;
    host->free(host, k->feature);
    host->free(host, k->bins);
    host->free(host, k->place);
    host->free(host, k->rows);
    host->free(host, k->use);
    host->free(host, k);
}

/* No memory for columns is no error: the rows serve. */
static tree_columns *make(const tree_context *c, int64_t n) {
    const lathe_host *host = c->host;
    uint64_t features = (uint64_t)c->n_features;
    tree_columns *k = host->alloc(host, sizeof *k);
    if (!k)
        return NULL;
    k->n = n;
    k->feature = host->alloc(host, (uint64_t)n * sizeof *k->feature);
    k->bins = host->alloc(host, (uint64_t)(n * c->n_rows));
    k->place = host->alloc(host, features * sizeof *k->place);
    k->rows = host->alloc(host, features * sizeof *k->rows);
    k->use = host->alloc(host, features * sizeof *k->use);
    if (!k->feature || !k->bins || !k->place || !k->rows || !k->use) {
        tree_columns_free(host, k);
        return NULL;
    }
    for (int64_t f = 0; f < c->n_features; f++)
        k->place[f] = -1;
    return k;
}

/* The feature without a column that divides the most rows, -1: none divided any. */
static int32_t most_wanted(const tree_context *c, const tree_columns *k) {
    int32_t best = -1;
    for (int32_t f = 0; f < c->n_features; f++)
        if (k->place[f] < 0 && k->use[f] > 0 && (best < 0 || k->use[f] > k->use[best]))
            best = f;
    return best;
}

static int64_t least_used(const tree_columns *k) {
    int64_t least = 0;
    for (int64_t i = 1; i < k->n; i++)
        if (k->use[k->feature[i]] < k->use[k->feature[least]])
            least = i;
    return least;
}

typedef struct filling {
    const tree_context *c;
    const int64_t *column; /* [n] those to be filled */
    int64_t n;
} filling;

static int32_t fill_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const filling *f = user;
    const tree_columns *k = f->c->columns;
    int64_t stride = f->c->bins->row_stride, n_rows = f->c->n_rows;
    for (int64_t r = begin; r < end; r++) {
        const uint8_t *row = f->c->bins->rows + r * stride;
        for (int64_t i = 0; i < f->n; i++)
            k->bins[f->column[i] * n_rows + r] = row[k->feature[f->column[i]]];
    }
    return LATHE_OK;
}

/* Gives this column to that feature. */
static void give(tree_columns *k, int64_t column, int32_t feature) {
    if (column < k->n_made)
        k->place[k->feature[column]] = -1;
    else
        k->n_made++;
    k->feature[column] = feature;
    k->place[feature] = (int32_t)column;
}

void tree_columns_choose(tree_context *c) {
    int64_t n = c->n_features * TENTHS / 10, fresh[64], n_fresh = 0;
    n = n < 64 ? n : 64;
    if (!c->is_short || c->bins->columns || n < 1 || c->n_rows * c->bins->row_stride < LEAST_BYTES)
        return;
    if (!c->columns)
        c->columns = make(c, n);
    tree_columns *k = c->columns;
    if (!k)
        return;
    for (int64_t f = 0; f < c->n_features; f++) {
        k->use[f] = k->use[f] / 2 + (double)k->rows[f];
        k->rows[f] = 0;
    }
    for (int32_t f; n_fresh < n && (f = most_wanted(c, k)) >= 0;) {
        int64_t column = k->n_made < n ? k->n_made : least_used(k);
        if (column < k->n_made && k->use[k->feature[column]] >= NEARLY * k->use[f])
            break;
        give(k, column, f);
        fresh[n_fresh++] = column;
    }
    filling all = {c, fresh, n_fresh};
    if (n_fresh > 0 && c->host->parallel_for(c->host, c->n_rows, GRAIN, fill_chunk, &all) !=
                           LATHE_OK) /* stopped: the fit ends, the next one fills them again */
        while (n_fresh > 0)
            k->place[k->feature[fresh[--n_fresh]]] = -1;
}

const uint8_t *tree_columns_of(const tree_context *c, int32_t feature, int64_t n_rows) {
    tree_columns *k = c->columns;
    if (!k || !c->is_short)
        return NULL;
    __atomic_fetch_add(&k->rows[feature], n_rows, __ATOMIC_RELAXED);
    return k->place[feature] < 0 ? NULL : k->bins + k->place[feature] * c->n_rows;
}
