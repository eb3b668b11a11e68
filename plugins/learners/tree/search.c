/* search.c: the best split of a node, over its features.
 *
 * A node with a histogram is scanned feature by feature. A small one, and one that draws features
 * (Breiman 2001, "Random forests": a fresh random choice at every node), makes each feature's
 * histogram on the way. Both give the same integers, so which way was taken shows in no bit. Ties
 * are decided by tree_is_better.
 */
#include "packed.h"

#include <string.h>

enum {
    PARALLEL_ROWS = 1 << 17,  /* row x feature updates that are worth several threads */
    PARALLEL_WORDS = 1 << 16, /* words of a histogram that are worth several threads */
};

/* ---- which features -------------------------------------------------------------------------- */

void tree_drawer_start(tree_context *c, const tree_item *item, int32_t worker, tree_drawer *d) {
    *d = (tree_drawer){.key = item->key, .n = c->n_fit_features, .wanted = c->per_split};
    d->pick = c->order + (int64_t)worker * c->n_features;
    if (d->wanted < d->n && d->n > 64)
        for (int64_t j = 0; j < d->n; j++)
            d->pick[j] = (int32_t)j;
}

/* A number below n; the bias is below n / 2^32. */
static int64_t below(tree_drawer *d, int64_t n) {
    d->key = tree_mix(d->key);
    return (int64_t)(((d->key >> 32) * (uint64_t)n) >> 32);
}

int32_t tree_drawer_next(tree_drawer *d) {
    int64_t i = d->n_drawn;
    if (i >= d->n || (i >= d->wanted && d->n_usable > 0))
        return -1;
    d->n_drawn++;
    if (d->wanted >= d->n)
        return (int32_t)i;
    if (d->n > 64) { /* Fisher and Yates's shuffle, as far as it is needed */
        int64_t at = i + below(d, d->n - i);
        int32_t j = d->pick[at];
        d->pick[at] = d->pick[i];
        return j;
    }
    int64_t j;
    do
        j = below(d, d->n);
    while (d->drawn >> j & 1);
    d->drawn |= 1ULL << j;
    return (int32_t)j;
}

/* ---- exact mode ------------------------------------------------------------------------------ */

typedef struct search {
    tree_context *c;
    const tree_item *item;
    const int64_t *histogram; /* NULL: make it from the rows */
    const double *total;      /* classes: [k] */
    tree_split *found;        /* [n_fit_features] */
} search;

static double *class_scratch(const tree_context *c, int32_t worker, int half) {
    return c->class_scratch + (2 * (int64_t)worker + half) * 2 * c->n_classes;
}

/* Scans one feature; was it more than one bin? */
static int search_feature(const search *s, int64_t j, int32_t worker, tree_split *split) {
    tree_context *c = s->c;
    int32_t feature = c->feature[j];
    uint8_t bins[256];
    const int64_t *cells;
    int n;
    if (s->histogram) {
        cells = s->histogram + (int64_t)c->offset[j] * c->width;
        n = tree_histogram_occupied(c, cells, lathe_bin_feature_at(c->bins, feature)->n_bins, bins);
    } else {
        int64_t *scratch = c->bin_scratch + (int64_t)worker * 256 * c->width;
        n = tree_histogram_feature(c, c->rows + s->item->begin, s->item->end - s->item->begin,
                                   feature, scratch, bins);
        cells = scratch;
    }
    if (c->mode == TREE_MODE_CLASSES)
        tree_scan_classes(c, s->item, feature, cells, bins, n, s->total,
                          class_scratch(c, worker, 1), split);
    else
        tree_scan(c, s->item, feature, (const tree_cell *)(const void *)cells, bins, n, split);
    return n > 1;
}

static int32_t search_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const search *s = user;
    for (int64_t i = begin; i < end; i++)
        search_feature(s, i, worker, &s->found[i]);
    return LATHE_OK;
}

static void take_better(const search *r, tree_split *best, const tree_split *s) {
    if (tree_is_better(r->c, r->item->key, s->gain, s->feature, best->gain, best->feature))
        *best = *s;
}

/* All features on several threads; 0: not done. */
static int search_parallel(search *s, tree_split *best) {
    tree_context *c = s->c;
    int64_t rows = s->item->end - s->item->begin, n = c->n_fit_features;
    int parallel = s->histogram ? c->slot_words >= PARALLEL_WORDS : rows * n >= PARALLEL_ROWS;
    int64_t grain = s->histogram ? 1 + n * (PARALLEL_WORDS / 8) / (c->slot_words + 1) : 1;
    if (!parallel || c->n_workers < 2 || c->per_split < n)
        return 0;
    s->found = c->host->alloc(c->host, (uint64_t)n * sizeof *s->found);
    if (!s->found)
        return 0;
    int done = c->host->parallel_for(c->host, n, grain, search_chunk, s) == LATHE_OK;
    for (int64_t j = 0; done && j < n; j++)
        take_better(s, best, &s->found[j]);
    c->host->free(c->host, s->found);
    return done;
}

static void search_here(const search *s, int32_t worker, tree_split *best) {
    tree_drawer d;
    tree_drawer_start(s->c, s->item, worker, &d);
    for (int32_t j; (j = tree_drawer_next(&d)) >= 0;) {
        tree_split split;
        tree_drawer_tell(&d, search_feature(s, j, worker, &split));
        take_better(s, best, &split);
    }
}

/* The class totals of the node's rows. */
static const double *class_totals(tree_context *c, const tree_item *item, int32_t worker) {
    double *total = class_scratch(c, worker, 0);
    memset(total, 0, (size_t)c->n_classes * sizeof(double));
    for (int64_t i = item->begin; i < item->end; i++) {
        tree_cell v = c->record[c->rows[i]];
        total[v.g] += (double)(v.hc >> c->count_bits);
    }
    return total;
}

static int is_pure(const double *total, int64_t k) {
    int n = 0;
    for (int64_t i = 0; i < k; i++)
        n += total[i] > 0;
    return n < 2;
}

void tree_search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker) {
    search s = {.c = c, .item = item, .histogram = histogram};
    if (c->mode == TREE_MODE_BINARY &&
        (item->sum.g == 0 || item->sum.g == item->sum.hc >> c->count_bits))
        return;
    if (c->packed) {
        packed_search(c, item, histogram, worker);
        return;
    }
    if (c->mode == TREE_MODE_CLASSES) {
        s.total = class_totals(c, item, worker);
        if (is_pure(s.total, c->n_classes))
            return;
    }
    if (!search_parallel(&s, &item->split))
        search_here(&s, worker, &item->split);
}
