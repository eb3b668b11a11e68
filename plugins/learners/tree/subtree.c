/* subtree.c: a small node of two counted classes, grown to its end.
 *
 * Most nodes of a full tree are small. What they need is copied once: the bins of the node's rows,
 * feature by feature, and the rows themselves as words of four bytes. All nodes below then work in
 * the first two levels of cache and without the bookkeeping of those that wait in a queue. The
 * result is the same tree.
 *
 * A node of few rows visits only the bins that it occupies; the histogram is left zero behind.
 */
#include "packed.h"

#include <math.h>
#include <string.h>

enum {
    MOST_ROWS = 4096,
    COLUMN_PAD = 64, /* so that the columns do not fall on the same cache lines */
    CACHE_BYTES = 256 << 10,
    FEW_ROWS = 80
};

/* A row: its place in the columns | h << 16 | g << 24. A sum: h | g << 16. */
typedef uint32_t sub_row;
typedef uint32_t sub_sum;

typedef struct sub_node {
    int32_t begin, end;
    sub_sum sum;
    int32_t depth;
    int32_t parent;
    int32_t side;
    uint64_t key;
} sub_node;

struct tree_subtree {
    int64_t most_rows;
    int64_t stride;
    sub_row *row;
    sub_row *spare;
    tree_entry *entry;              /* [most_rows] of the node at the top */
    uint8_t *column;                /* [n_fit_features, stride] */
    sub_node *waiting;              /* [most_rows] a stack */
    sub_sum histogram[PACKED_BINS]; /* zero between uses */
};

/* The best cut so far of a node. */
typedef struct sub_cut {
    double gain;  /* <= 0: none */
    double score; /* grows with the gain */
    int32_t feature;
    int32_t at, next; /* occupied bins on either side of the cut; next -1: none */
    int32_t missing_left;
    int32_t has_missing;
    sub_sum left;
    tree_split category; /* where is_category */
    int is_category;
} sub_cut;

static inline sub_sum row_sum(sub_row r) {
    return (r >> 24) << 16 | (r >> 16 & 255);
}

static inline int64_t rows_of(sub_sum s) {
    return s & 0xffff;
}

static inline int64_t ones_of(sub_sum s) {
    return s >> 16;
}

/* ---- room ------------------------------------------------------------------------------------ */

static int64_t most_rows(const tree_context *c) {
    int64_t nf = c->n_fit_features > 0 ? c->n_fit_features : 1, n = CACHE_BYTES / nf;
    n = n < MOST_ROWS ? n : MOST_ROWS;
    return n < 64 ? 0 : n;
}

void tree_subtree_free(const lathe_host *host, tree_subtree *s) {
    if (!s)
        return;
    host->free(host, s->row);
    host->free(host, s->spare);
    host->free(host, s->entry);
    host->free(host, s->column);
    host->free(host, s->waiting);
    host->free(host, s);
}

static int32_t which_subtrees(const tree_context *c) {
    if (c->config->max_leaves != LATHE_INT_NULL || c->monotone)
        return TREE_SUBTREES_NONE;
    if (c->packed)
        return c->count_is_h && most_rows(c) > 0 ? TREE_SUBTREES_COUNTS : TREE_SUBTREES_NONE;
    return c->mode == TREE_MODE_VARIANCE && tree_values_rows(c) > 0 ? TREE_SUBTREES_VALUES
                                                                    : TREE_SUBTREES_NONE;
}

int32_t tree_subtree_prepare(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    int64_t n = most_rows(c), stride = n + COLUMN_PAD;
    c->has_subtrees = which_subtrees(c);
    if (c->has_subtrees == TREE_SUBTREES_NONE)
        return LATHE_OK;
    if (c->has_subtrees == TREE_SUBTREES_VALUES)
        return tree_values_prepare(c, err);
    if (c->subtree && c->subtree->most_rows == n)
        return LATHE_OK;
    tree_subtree_free(host, c->subtree);
    c->subtree = NULL;
    tree_subtree *s = host->alloc(host, sizeof *s);
    if (!s)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    s->most_rows = n;
    s->stride = stride;
    s->row = host->alloc(host, (uint64_t)n * sizeof *s->row);
    s->spare = host->alloc(host, (uint64_t)n * sizeof *s->spare);
    s->entry = host->alloc(host, (uint64_t)n * sizeof *s->entry);
    s->waiting = host->alloc(host, (uint64_t)(n + 2) * sizeof *s->waiting);
    s->column = host->alloc(host, (uint64_t)(c->n_features * stride));
    if (!s->row || !s->spare || !s->entry || !s->waiting || !s->column) {
        tree_subtree_free(host, s);
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    }
    c->subtree = s;
    return LATHE_OK;
}

int64_t tree_subtree_rows(const tree_context *c) {
    return c->has_subtrees == TREE_SUBTREES_VALUES ? tree_values_rows(c) : c->subtree->most_rows;
}

int tree_subtree_suits(const tree_context *c, const tree_item *item) {
    return c->has_subtrees && (!c->packed || !item->is_wide) &&
           item->end - item->begin <= tree_subtree_rows(c);
}

static void load(tree_context *c, const tree_item *item) {
    tree_subtree *s = c->subtree;
    int64_t n = item->end - item->begin, stride = c->bins->row_stride;
    const tree_entry *e = (const tree_entry *)c->entry + item->begin;
    memcpy(s->entry, e, (size_t)n * sizeof *e);
    for (int64_t i = 0; i < n; i++) {
        if (i + 16 < n)
            __builtin_prefetch(c->bins->rows + packed_row(e[i + 16], 0) * stride);
        const uint8_t *b = c->bins->rows + packed_row(e[i], 0) * stride;
        uint32_t h = (uint32_t)(e[i] >> 32 & 255), g = (uint32_t)(e[i] >> 48);
        s->row[i] = (uint32_t)i | h << 16 | g << 24;
        uint8_t *to = s->column + i;
        for (int64_t j = 0; j < c->n_fit_features; j++, to += s->stride)
            *to = b[c->feature[j]];
    }
}

/* ---- the best cut of a feature --------------------------------------------------------------- */

typedef struct sub_search {
    tree_context *c;
    const sub_node *node;
    int64_t least; /* rows of a side */
    sub_cut *best;
} sub_search;

static tree_cell cell_of(const tree_context *c, sub_sum s) {
    return (tree_cell){ones_of(s), (rows_of(s) << c->count_bits) + rows_of(s)};
}

/* Is this the node's best cut so far? */
static int is_better(const sub_search *s, double gain, int32_t feature) {
    return tree_is_better(s->c, s->node->key, gain, feature, s->best->gain, s->best->feature);
}

/* A feature's best cut. */
typedef struct sub_list {
    double score;
    int at; /* in the list; -1: none */
    int missing_left;
    sub_sum left;
} sub_list;

/* Tries the cuts after cells[0 … n_cuts-1], with `left` already on the left. */
static inline void try_list(const sub_search *s, const sub_sum *cells, int n_cuts, sub_sum left,
                            int missing_left, sub_list *l) {
    sub_sum sums[PACKED_BINS];
    int at;
    for (int i = 0; i < n_cuts; i++)
        sums[i] = left += cells[i];
    double score = s->c->kernels->best_counts(sums, n_cuts, s->node->sum, (int32_t)s->least, &at);
    if (score > l->score)
        *l = (sub_list){score, at, missing_left, sums[at]};
}

static void try_category(const sub_search *s, const sub_sum *cells, const uint8_t *bins, int n,
                         int32_t feature) {
    tree_context *c = s->c;
    tree_cell wide[PACKED_BINS];
    tree_item item = {.sum = cell_of(c, s->node->sum)};
    tree_split split = {.feature = feature};
    for (int i = 0; i < n; i++)
        wide[bins[i]] = cell_of(c, cells[i]);
    tree_scan(c, &item, feature, wide, bins, n, &split);
    if (!is_better(s, split.gain, feature))
        return;
    *s->best = (sub_cut){.gain = split.gain, .feature = feature, .is_category = 1};
    s->best->score = 0; /* numeric features are compared by gain */
    s->best->category = split;
}

static void try_numeric(const sub_search *s, const lathe_bin_feature *f, const sub_sum *cells,
                        const uint8_t *bins, int n, int32_t feature) {
    tree_context *c = s->c;
    sub_list l = {.score = -1, .at = -1};
    int has_missing = bins[n - 1] == f->missing_bin, n_values = n - has_missing;
    try_list(s, cells, has_missing ? n_values : n_values - 1, 0, 0, &l);
    if (has_missing)
        try_list(s, cells, n_values - 1, cells[n - 1], 1, &l);
    if (l.at < 0 || l.score < s->best->score * (1 - 1e-9)) /* then the gain is less, too */
        return;
    double gain = tree_split_gain(c, cell_of(c, s->node->sum), cell_of(c, l.left));
    if (!is_better(s, gain, feature))
        return;
    s->best->gain = gain;
    s->best->score = l.score;
    s->best->feature = feature;
    s->best->is_category = 0;
    s->best->at = bins[l.at];
    s->best->next = l.at + 1 < n_values ? bins[l.at + 1] : -1;
    s->best->missing_left = l.missing_left;
    s->best->has_missing = has_missing;
    s->best->left = l.left;
}

/* The occupied bins of a feature, ascending, and their sums; returns how many. */
static int occupied(tree_subtree *s, const sub_node *node, const uint8_t *column, int n_bins,
                    uint8_t *bins, sub_sum *cells) {
    sub_sum *h = s->histogram;
    int n = 0;
    if (node->end - node->begin < FEW_ROWS) {
        uint64_t seen[4] = {0, 0, 0, 0};
        for (int32_t i = node->begin; i < node->end; i++) {
            sub_row r = s->row[i];
            int b = column[r & 0xffff];
            h[b] += row_sum(r);
            seen[b >> 6] |= 1ULL << (b & 63);
        }
        for (int word = 0; word < 4; word++)
            for (uint64_t left = seen[word]; left; left &= left - 1) {
                int b = word * 64 + __builtin_ctzll(left);
                bins[n] = (uint8_t)b;
                cells[n++] = h[b];
                h[b] = 0;
            }
        return n;
    }
    for (int32_t i = node->begin; i < node->end; i++) {
        sub_row r = s->row[i];
        h[column[r & 0xffff]] += row_sum(r);
    }
    for (int b = 0; b < n_bins; b++) {
        bins[n] = (uint8_t)b;
        cells[n] = h[b];
        n += h[b] != 0;
    }
    memset(h, 0, (size_t)n_bins * sizeof *h);
    return n;
}

/* Was the feature more than constant? */
static int try_feature(const sub_search *s, int32_t j) {
    tree_context *c = s->c;
    int32_t feature = c->feature[j];
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, feature);
    uint8_t bins[PACKED_BINS + 1];
    sub_sum cells[PACKED_BINS + 1];
    int n = occupied(c->subtree, s->node, c->subtree->column + (int64_t)j * c->subtree->stride,
                     f->n_bins, bins, cells);
    if (n < 2)
        return 0;
    if (f->type == LATHE_FEATURE_CATEGORY)
        try_category(s, cells, bins, n, feature);
    else
        try_numeric(s, f, cells, bins, n, feature);
    return 1;
}

/* ---- nodes and leaves ------------------------------------------------------------------------ */

static void end_in_leaf(tree_context *c, const sub_node *node, int64_t begin) {
    int32_t number = (int32_t)c->n_sub_leaves++;
    tree_leaf *leaf = &c->sub_leaf[number];
    leaf->begin = begin + node->begin;
    leaf->end = begin + node->end;
    leaf->value = (float)((double)ones_of(node->sum) / (double)rows_of(node->sum));
    leaf->number = 0;
    if (node->parent >= 0)
        c->node[node->parent].child[node->side] = ~number;
}

/* Divides the rows of the node; returns where the right side begins. */
static int32_t divide(tree_subtree *s, const sub_node *node, const tree_split *split,
                      const uint8_t *column, int missing_bin) {
    sub_row *row = s->row + node->begin;
    int32_t n = node->end - node->begin, l = 0, r = 0;
    for (int32_t i = 0; i < n; i++) {
        sub_row one = row[i];
        int b = column[one & 0xffff], left;
        if (split->is_category)
            left = tree_bin_is_left(split->left_bins, b);
        else
            left = ((b <= split->bin) & (b != missing_bin)) |
                   ((b == missing_bin) & split->missing_left);
        row[l] = one;
        s->spare[r] = one;
        l += left;
        r += 1 - left;
    }
    memcpy(row + l, s->spare, (size_t)r * sizeof *row);
    return node->begin + l;
}

static void make_split(const tree_context *c, const sub_node *node, const sub_cut *cut,
                       tree_split *split) {
    if (cut->is_category) {
        *split = cut->category;
        return;
    }
    tree_item item = {.sum = cell_of(c, node->sum)};
    uint8_t list[2] = {(uint8_t)cut->at, (uint8_t)cut->next};
    *split = (tree_split){.gain = cut->gain, .feature = cut->feature};
    split->missing_left = cut->missing_left;
    split->left = cell_of(c, cut->left);
    tree_finish_numeric(c, &item, split, list, cut->next >= 0 ? 2 : 1, 0, cut->has_missing);
}

static int64_t least_rows(const tree_context *c) {
    double h = ceil(c->config->min_hessian);
    int64_t least = c->config->min_rows > 1 ? c->config->min_rows : 1;
    return h > (double)least ? h < 65536 ? (int64_t)h : 65536 : least;
}

/* The split of a node; gain 0: it ends here. */
static void find_split(tree_context *c, const sub_node *node, tree_split *split) {
    sub_cut best = {.feature = INT32_MAX};
    sub_search s = {.c = c, .node = node, .best = &best};
    tree_item item = {.key = node->key};
    tree_drawer d;
    s.least = least_rows(c);
    tree_drawer_start(c, &item, 0, &d);
    for (int32_t j; (j = tree_drawer_next(&d)) >= 0;)
        tree_drawer_tell(&d, try_feature(&s, j));
    if (best.gain > 0)
        make_split(c, node, &best, split);
}

static int may_split(const tree_context *c, const sub_node *node) {
    int64_t rows = rows_of(node->sum), ones = ones_of(node->sum);
    int64_t least = c->config->min_rows > 1 ? c->config->min_rows : 1;
    return ones != 0 && ones != rows && rows >= 2 * least && node->end - node->begin > 1 &&
           (c->config->max_depth == LATHE_INT_NULL || node->depth < c->config->max_depth);
}

int32_t tree_subtree_reserve(tree_context *c, int64_t n, lathe_error *err) {
    int64_t want = c->n_sub_leaves + n;
    if (want > c->sub_leaf_capacity) {
        int64_t capacity = 2 * want;
        tree_leaf *more = c->host->alloc(c->host, (uint64_t)capacity * sizeof *more);
        if (!more)
            return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld leaves",
                             (long long)capacity);
        if (c->n_sub_leaves > 0)
            memcpy(more, c->sub_leaf, (size_t)c->n_sub_leaves * sizeof *more);
        c->host->free(c->host, c->sub_leaf);
        c->sub_leaf = more;
        c->sub_leaf_capacity = capacity;
    }
    return tree_reserve_nodes(c, n, err);
}

int32_t tree_subtree_grow(tree_context *c, int32_t i, lathe_error *err) {
    tree_subtree *s = c->subtree;
    tree_item item = c->item[i];
    int64_t rows = tree_count(c, item.sum.hc), n = 1;
    if (c->has_subtrees == TREE_SUBTREES_VALUES)
        return tree_values_grow(c, i, err);
    int32_t rc = tree_subtree_reserve(c, item.end - item.begin, err);
    if (rc != LATHE_OK)
        return rc;
    load(c, &item);
    s->waiting[0] = (sub_node){0,
                               (int32_t)(item.end - item.begin),
                               (uint32_t)item.sum.g << 16 | (uint32_t)rows,
                               item.depth,
                               item.parent,
                               item.side,
                               item.key};
    while (n > 0) {
        sub_node node = s->waiting[--n];
        tree_split split = {.gain = 0};
        if (may_split(c, &node))
            find_split(c, &node, &split);
        if (split.gain <= 0) {
            end_in_leaf(c, &node, item.begin);
            continue;
        }
        rc = tree_make_node(c, &split, node.parent, node.side, err);
        if (rc != LATHE_OK)
            return rc;
        int64_t j = 0;
        while (c->feature[j] != split.feature)
            j++;
        int32_t middle = divide(s, &node, &split, s->column + j * s->stride,
                                lathe_bin_feature_at(c->bins, split.feature)->missing_bin);
        sub_sum left = (uint32_t)split.left.g << 16 | (uint32_t)tree_count(c, split.left.hc);
        for (int32_t side = 0; side < 2; side++) {
            sub_node *child = &s->waiting[n++];
            *child = (sub_node){side ? middle : node.begin,
                                side ? node.end : middle,
                                side ? node.sum - left : left,
                                node.depth + 1,
                                (int32_t)c->n_nodes - 1,
                                side,
                                tree_mix(node.key + (uint64_t)side + 1)};
        }
    }
    for (int64_t k = 0; k < item.end - item.begin; k++)
        ((tree_entry *)c->entry)[item.begin + k] = s->entry[s->row[k] & 0xffff];
    return LATHE_OK;
}
