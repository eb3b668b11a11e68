/* search.c: the best split of a node, over its features.
 *
 * A node with a histogram is scanned feature by feature. A small one, and one that draws features
 * (Breiman 2001, "Random forests": a fresh random choice at every node), makes each feature's
 * histogram on the way. Both give the same integers, so which way was taken shows in no bit. Ties
 * go to the lower feature.
 */
#include "tree.h"

#include <string.h>

enum {
    PARALLEL_ROWS = 1 << 17,  /* row x feature updates that are worth several threads */
    PARALLEL_WORDS = 1 << 14, /* words of a histogram that are worth several threads */
    DRAWS = 16
};

typedef struct search {
    tree_context *c;
    const tree_item *item;
    const int64_t *histogram; /* NULL: make it from the rows */
    const double *total;      /* classes: [k] */
    const int32_t *pick;      /* [n] positions in c->feature; NULL: all */
} search;

/* Scans one feature; was it more than one bin? */
static int search_feature(const search *s, int64_t j, int32_t worker) {
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
                          c->class_scratch + (int64_t)(worker + 1) * 2 * c->n_classes,
                          &c->found[j]);
    else
        tree_scan(c, s->item, feature, (const tree_cell *)(const void *)cells, bins, n,
                  &c->found[j]);
    return n > 1;
}

static int32_t search_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const search *s = user;
    for (int64_t i = begin; i < end; i++)
        search_feature(s, s->pick ? s->pick[i] : i, worker);
    return LATHE_OK;
}

static void take_better(tree_split *best, const tree_split *s) {
    if (s->gain > best->gain ||
        (s->gain > 0 && s->gain == best->gain && s->feature < best->feature))
        *best = *s;
}

static void search_all(search *s, tree_split *best) {
    tree_context *c = s->c;
    int64_t rows = s->item->end - s->item->begin, n = c->n_fit_features;
    int parallel = s->histogram ? c->slot_words >= PARALLEL_WORDS : rows * n >= PARALLEL_ROWS;
    int64_t grain = s->histogram ? 1 + n * (PARALLEL_WORDS / 4) / (c->slot_words + 1) : 1;
    if (!parallel || c->host->parallel_for(c->host, n, grain, search_chunk, s) != LATHE_OK)
        search_chunk(s, 0, n, 0);
    for (int64_t j = 0; j < n; j++)
        take_better(best, &c->found[j]);
}

/* Draws features without replacement by a keyed Fisher-Yates shuffle until per_split are seen, and
 * goes on while all of these were constant in the node. */
static void search_drawn(search *s, tree_split *best) {
    tree_context *c = s->c;
    int64_t n = c->n_fit_features;
    uint64_t key = c->host->random_key(c->host, c->key, (uint64_t)(s->item - c->item));
    int64_t usable = 0;
    for (int64_t j = 0; j < n; j++)
        c->order[j] = (int32_t)j;
    uint64_t draw[DRAWS];
    for (int64_t i = 0; i < n && (i < c->per_split || usable == 0); i++) {
        if (i % DRAWS == 0)
            c->host->random_u64(c->host, key, (uint64_t)i, draw, n - i < DRAWS ? n - i : DRAWS);
        uint64_t left = (uint64_t)(n - i);
        int64_t pick = i + (int64_t)(((draw[i % DRAWS] >> 32) * left) >> 32);
        int32_t j = c->order[pick];
        c->order[pick] = c->order[i];
        c->order[i] = j;
        usable += search_feature(s, j, 0);
        take_better(best, &c->found[j]);
    }
}

/* The class totals of the node's rows. */
static const double *class_totals(tree_context *c, const tree_item *item) {
    double *total = c->class_scratch;
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

void tree_search(tree_context *c, tree_item *item, const int64_t *histogram) {
    search s = {.c = c, .item = item, .histogram = histogram};
    item->split.gain = 0;
    item->split.feature = INT32_MAX;
    if (c->mode == TREE_MODE_CLASSES) {
        s.total = class_totals(c, item);
        if (is_pure(s.total, c->n_classes))
            return;
    } else if (c->mode == TREE_MODE_BINARY) {
        if (item->sum.g == 0 || item->sum.g == item->sum.hc >> c->count_bits)
            return;
    }
    if (c->per_split < c->n_fit_features)
        search_drawn(&s, &item->split);
    else
        search_all(&s, &item->split);
}
