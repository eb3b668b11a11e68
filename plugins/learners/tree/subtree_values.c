/* subtree_values.c: a small node of values or gradients with exact sums, grown to its end.
 *
 * As subtree.c for counts: the bins of the node's rows, feature by feature, and their statistics are copied once, and all
 * nodes below work on the copies, without the bookkeeping of those that wait in a queue. A node of few rows visits only
 * the bins that it occupies, in order, by a set of bits: the rows are sorted by bin without a comparison. The cuts are
 * scored by the same kernel as in scan.c, and the gain is worked out for the best alone: the result is the same tree.
 */
#include "packed.h"

#include <string.h>

enum {
    MOST_ROWS = 4096,
    MOST_ROWS_ALL = 512, /* where all features are looked at: above, histograms are subtracted */
    COLUMN_PAD = 64,     /* so that the columns do not fall on the same cache lines */
    CACHE_BYTES = 256 << 10,
    FEW_ROWS = 96
};

typedef struct value_node {
    int32_t begin, end;
    tree_cell sum;
    int32_t depth;
    int32_t parent;
    int32_t side;
    uint64_t key;
} value_node;

struct tree_subtree_values {
    int64_t most_rows;
    int64_t stride;
    int32_t *place;      /* [most_rows] where a row is in what follows; each node is a range */
    int32_t *spare;      /* [most_rows] */
    int32_t *row;        /* [most_rows] by place: the dataset's number of it */
    tree_cell *record;   /* [most_rows] by place */
    uint8_t *column;     /* [n_features, stride] */
    value_node *waiting; /* [most_rows + 2] a stack */
    tree_cell histogram[PACKED_BINS];
};

/* The best cut so far of a node. */
typedef struct value_cut {
    double gain;  /* <= 0: none */
    double score; /* grows with the gain */
    int32_t position;
    int32_t feature;
    int32_t at, next; /* occupied bins on either side of the cut; next -1: none */
    int32_t missing_left;
    int32_t has_missing;
    tree_cell left;
    tree_split category; /* where is_category */
    int is_category;
} value_cut;

typedef struct value_search {
    tree_context *c;
    const value_node *node;
    packed_node sums;
    value_cut best;
} value_search;

/* ---- room ------------------------------------------------------------------------------------ */

int64_t tree_values_rows(const tree_context *c) {
    int64_t row = c->n_fit_features + (int64_t)sizeof(tree_cell), n = CACHE_BYTES / row;
    int64_t most = c->per_split < c->n_fit_features ? MOST_ROWS : MOST_ROWS_ALL;
    n = n < most ? n : most;
    return n < 16 ? 0 : n;
}

void tree_values_free(const lathe_host *host, tree_subtree_values *s) {
    if (!s)
        return;
    host->free(host, s->place);
    host->free(host, s->spare);
    host->free(host, s->row);
    host->free(host, s->record);
    host->free(host, s->column);
    host->free(host, s->waiting);
    host->free(host, s);
}

int32_t tree_values_prepare(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    int64_t n = tree_values_rows(c);
    if (c->subtree_values && c->subtree_values->most_rows == n)
        return LATHE_OK;
    tree_values_free(host, c->subtree_values);
    c->subtree_values = NULL;
    tree_subtree_values *s = host->alloc(host, sizeof *s);
    if (!s)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    s->most_rows = n;
    s->stride = n + COLUMN_PAD;
    s->place = host->alloc(host, (uint64_t)n * sizeof *s->place);
    s->spare = host->alloc(host, (uint64_t)n * sizeof *s->spare);
    s->row = host->alloc(host, (uint64_t)n * sizeof *s->row);
    s->record = host->alloc(host, (uint64_t)n * sizeof *s->record);
    s->waiting = host->alloc(host, (uint64_t)(n + 2) * sizeof *s->waiting);
    s->column = host->alloc(host, (uint64_t)(c->n_features * s->stride));
    if (!s->place || !s->spare || !s->row || !s->record || !s->waiting || !s->column) {
        tree_values_free(host, s);
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    }
    c->subtree_values = s;
    return LATHE_OK;
}

static void load(tree_context *c, const tree_item *item) {
    tree_subtree_values *s = c->subtree_values;
    const int32_t *rows = c->rows + item->begin;
    int64_t n = item->end - item->begin, stride = c->bins->row_stride;
    for (int64_t i = 0; i < n; i++) {
        if (i + 16 < n)
            __builtin_prefetch(c->bins->rows + rows[i + 16] * stride);
        const uint8_t *b = c->bins->rows + rows[i] * stride;
        uint8_t *to = s->column + i;
        for (int64_t j = 0; j < c->n_fit_features; j++, to += s->stride)
            *to = b[c->feature[j]];
        s->place[i] = (int32_t)i;
        s->row[i] = rows[i];
        s->record[i] = c->record[rows[i]];
    }
}

/* ---- the best cut of a feature --------------------------------------------------------------- */

/* Is this the node's best cut so far? */
static int is_better(const value_search *s, double gain, int32_t feature) {
    return tree_is_better(s->c, s->node->key, gain, feature, s->best.gain, s->best.feature);
}

static void try_category(value_search *s, const tree_cell *cells, const uint8_t *bins, int n,
                         int32_t j) {
    tree_context *c = s->c;
    tree_cell wide[PACKED_BINS];
    int32_t feature = c->feature[j];
    tree_item item = {.sum = s->node->sum};
    tree_split split = {.feature = feature};
    for (int i = 0; i < n; i++)
        wide[bins[i]] = cells[i];
    tree_scan(c, &item, feature, wide, bins, n, &split);
    if (!is_better(s, split.gain, feature))
        return;
    /* numeric features are compared by gain: the score is 0 */
    s->best = (value_cut){
        .gain = split.gain, .position = j, .feature = feature, .is_category = 1, .category = split};
}

static void try_numeric(value_search *s, const lathe_bin_feature *f, const tree_cell *cells,
                        const uint8_t *bins, int n, int32_t j) {
    tree_context *c = s->c;
    int32_t feature = c->feature[j];
    tree_best_cut l = {.score = -1, .position = -1};
    int has_missing = bins[n - 1] == f->missing_bin, n_values = n - has_missing;
    const tree_cell none = {0, 0};
    tree_best_of_cells(c, &s->sums, cells, NULL, has_missing ? n_values : n_values - 1, none, 0,
                       &l);
    if (has_missing)
        tree_best_of_cells(c, &s->sums, cells, NULL, n_values - 1, cells[n - 1], 1, &l);
    if (l.position < 0 || l.score < s->best.score * (1 - 1e-9)) /* then the gain is less, too */
        return;
    double gain = tree_split_gain(c, s->node->sum, l.left);
    if (!is_better(s, gain, feature))
        return;
    s->best = (value_cut){.gain = gain,
                          .score = l.score,
                          .position = j,
                          .feature = feature,
                          .at = bins[l.position],
                          .next = l.position + 1 < n_values ? bins[l.position + 1] : -1,
                          .missing_left = l.missing_left,
                          .has_missing = has_missing,
                          .left = l.left};
}

/* The occupied bins of a feature, ascending, and their sums; returns how many. */
static int occupied(tree_subtree_values *s, const value_node *node, const uint8_t *column,
                    int n_bins, uint8_t *bins, tree_cell *cells) {
    tree_cell *h = s->histogram;
    int n = 0;
    if (node->end - node->begin < FEW_ROWS) {
        uint64_t seen[4] = {0, 0, 0, 0};
        for (int32_t i = node->begin; i < node->end; i++) {
            int32_t at = s->place[i];
            int b = column[at];
            uint64_t bit = 1ULL << (b & 63);
            tree_cell v = s->record[at], old = seen[b >> 6] & bit ? h[b] : (tree_cell){0, 0};
            h[b] = (tree_cell){old.g + v.g, old.hc + v.hc};
            seen[b >> 6] |= bit;
        }
        for (int word = 0; word < 4; word++)
            for (uint64_t left = seen[word]; left; left &= left - 1) {
                int b = word * 64 + __builtin_ctzll(left);
                bins[n] = (uint8_t)b;
                cells[n++] = h[b];
            }
        return n;
    }
    memset(h, 0, (size_t)n_bins * sizeof *h);
    for (int32_t i = node->begin; i < node->end; i++) {
        int32_t at = s->place[i];
        tree_cell *to = &h[column[at]];
        to->g += s->record[at].g;
        to->hc += s->record[at].hc;
    }
    for (int b = 0; b < n_bins; b++) {
        bins[n] = (uint8_t)b;
        cells[n] = h[b];
        n += h[b].hc != 0;
    }
    return n;
}

/* Was the feature more than constant? */
static int try_feature(value_search *s, int32_t j) {
    tree_context *c = s->c;
    tree_subtree_values *v = c->subtree_values;
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, c->feature[j]);
    uint8_t bins[PACKED_BINS + 1];
    tree_cell cells[PACKED_BINS + 1];
    int n = occupied(v, s->node, v->column + (int64_t)j * v->stride, f->n_bins, bins, cells);
    if (n < 2)
        return 0;
    if (f->type == LATHE_FEATURE_CATEGORY)
        try_category(s, cells, bins, n, j);
    else
        try_numeric(s, f, cells, bins, n, j);
    return 1;
}

/* ---- nodes and leaves ------------------------------------------------------------------------ */

static void end_in_leaf(tree_context *c, const value_node *node, int64_t begin) {
    int32_t number = (int32_t)c->n_sub_leaves++;
    tree_leaf *leaf = &c->sub_leaf[number];
    double g = (double)node->sum.g * c->g_unit, h = tree_weight(c, node->sum.hc);
    leaf->begin = begin + node->begin;
    leaf->end = begin + node->end;
    leaf->value = (float)(h + c->l2 > 0 ? c->centre - g / (h + c->l2) : c->centre);
    leaf->number = 0;
    if (node->parent >= 0)
        c->node[node->parent].child[node->side] = ~number;
}

/* Divides the rows of the node; returns where the right side begins. */
static int32_t divide(tree_subtree_values *s, const value_node *node, const tree_split *split,
                      const uint8_t *column) {
    int32_t *place = s->place + node->begin;
    int32_t n = node->end - node->begin, l = 0, r = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t one = place[i];
        int left = tree_bin_is_left(split->left_bins, column[one]);
        place[l] = one;
        s->spare[r] = one;
        l += left;
        r += 1 - left;
    }
    memcpy(place + l, s->spare, (size_t)r * sizeof *place);
    return node->begin + l;
}

static void make_split(const tree_context *c, const value_node *node, const value_cut *cut,
                       tree_split *split) {
    if (cut->is_category) {
        *split = cut->category;
        return;
    }
    tree_item item = {.sum = node->sum};
    uint8_t list[2] = {(uint8_t)cut->at, (uint8_t)cut->next};
    *split = (tree_split){.gain = cut->gain, .feature = cut->feature};
    split->missing_left = cut->missing_left;
    split->left = cut->left;
    tree_finish_numeric(c, &item, split, list, cut->next >= 0 ? 2 : 1, 0, cut->has_missing);
}

/* Do all rows say the same? Then nothing is to be gained. */
static int is_pure(const tree_subtree_values *s, const value_node *node) {
    tree_cell first = s->record[s->place[node->begin]];
    for (int32_t i = node->begin + 1; i < node->end; i++) {
        tree_cell v = s->record[s->place[i]];
        if (v.g != first.g || v.hc != first.hc)
            return 0;
    }
    return 1;
}

static int may_split(const tree_context *c, const value_node *node) {
    int64_t least = c->config->min_rows > 1 ? c->config->min_rows : 1;
    return tree_count(c, node->sum.hc) >= 2 * least && node->end - node->begin > 1 &&
           (c->config->max_depth == LATHE_INT_NULL || node->depth < c->config->max_depth) &&
           !is_pure(c->subtree_values, node);
}

/* The split of a node and the position of its feature; gain 0: it ends here. */
static void find_split(tree_context *c, const value_node *node, tree_split *split,
                       int32_t *position) {
    value_search s = {.c = c, .node = node, .best = {.feature = INT32_MAX}};
    tree_item item = {.key = node->key};
    tree_drawer d;
    s.sums = tree_node_sums(c, node->sum);
    tree_drawer_start(c, &item, 0, &d);
    for (int32_t j; (j = tree_drawer_next(&d)) >= 0;)
        tree_drawer_tell(&d, try_feature(&s, j));
    if (s.best.gain > 0)
        make_split(c, node, &s.best, split);
    *position = s.best.position;
}

static int32_t grow_node(tree_context *c, const value_node *node, int64_t begin, int64_t *n,
                         lathe_error *err) {
    tree_subtree_values *s = c->subtree_values;
    tree_split split = {.gain = 0};
    int32_t position = 0;
    if (may_split(c, node))
        find_split(c, node, &split, &position);
    if (split.gain <= 0) {
        end_in_leaf(c, node, begin);
        return LATHE_OK;
    }
    int32_t rc = tree_make_node(c, &split, node->parent, node->side, err);
    if (rc != LATHE_OK)
        return rc;
    int32_t middle = divide(s, node, &split, s->column + (int64_t)position * s->stride);
    tree_cell l = split.left, r = {node->sum.g - l.g, node->sum.hc - l.hc};
    for (int32_t side = 0; side < 2; side++)
        s->waiting[(*n)++] = (value_node){side ? middle : node->begin,
                                          side ? node->end : middle,
                                          side ? r : l,
                                          node->depth + 1,
                                          (int32_t)c->n_nodes - 1,
                                          side,
                                          tree_mix(node->key + (uint64_t)side + 1)};
    return LATHE_OK;
}

int32_t tree_values_grow(tree_context *c, int32_t i, lathe_error *err) {
    tree_subtree_values *s = c->subtree_values;
    tree_item item = c->item[i];
    int64_t size = item.end - item.begin, n = 1;
    int32_t rc = tree_subtree_reserve(c, size, err);
    if (rc != LATHE_OK)
        return rc;
    load(c, &item);
    s->waiting[0] =
        (value_node){0, (int32_t)size, item.sum, item.depth, item.parent, item.side, item.key};
    while (n > 0 && rc == LATHE_OK) {
        value_node node = s->waiting[--n];
        rc = grow_node(c, &node, item.begin, &n, err);
    }
    for (int64_t k = 0; k < size; k++)
        c->rows[item.begin + k] = s->row[s->place[k]];
    return rc;
}
