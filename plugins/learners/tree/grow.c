/* grow.c: growing the tree.
 *
 * With a bound on the leaves the leaf of greatest gain is split next, ties to the older (best
 * first, Shi 2007, "Best-first decision tree learning"; LightGBM's leaf-wise growth). Without one
 * the order does not matter and the newest is, which needs the fewest histograms. A histogram is
 * kept for a node while it may still be split, in at most n_slots slots; a node that gets no slot
 * is searched from its rows instead, with the same result.
 */
#include "tree.h"

#include <math.h>
#include <string.h>

enum { HISTOGRAM_ROWS = 128, ASSIGN_GRAIN = 8192 };

/* ---- room ------------------------------------------------------------------------------------ */

static int32_t grow_array(const lathe_host *host, void **array, uint64_t size, int64_t used,
                          int64_t n) {
    void *more = host->alloc(host, size * (uint64_t)n);
    if (!more)
        return LATHE_E_MEMORY;
    if (used > 0)
        memcpy(more, *array, size * (uint64_t)used);
    host->free(host, *array);
    *array = more;
    return LATHE_OK;
}

/* Room for two more items and one more node. */
static int32_t reserve_items(tree_context *c, lathe_error *err) {
    int64_t n = c->n_items, want = c->item_capacity < 64 ? 64 : 2 * c->item_capacity;
    if (n + 2 <= c->item_capacity)
        return LATHE_OK;
    if (grow_array(c->host, (void **)&c->item, sizeof *c->item, n, want) ||
        grow_array(c->host, (void **)&c->heap, sizeof *c->heap, c->n_heap, want) ||
        grow_array(c->host, (void **)&c->node, sizeof *c->node, c->n_nodes, want) ||
        grow_array(c->host, (void **)&c->gain, sizeof *c->gain, c->n_nodes, want) ||
        grow_array(c->host, (void **)&c->left_bins, sizeof *c->left_bins, c->n_nodes, want))
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld nodes", (long long)want);
    c->item_capacity = want;
    return LATHE_OK;
}

static int32_t reserve_words(tree_context *c, int64_t n, lathe_error *err) {
    if (c->n_words + n <= c->word_capacity)
        return LATHE_OK;
    int64_t want = 2 * c->word_capacity + n + 64;
    if (c->n_words + n > INT32_MAX ||
        grow_array(c->host, (void **)&c->words, sizeof *c->words, c->n_words, want))
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld words of categories",
                         (long long)want);
    c->word_capacity = want;
    return LATHE_OK;
}

/* ---- histogram slots ------------------------------------------------------------------------- */

static int32_t slot_take(tree_context *c) {
    if (c->n_free > 0)
        return c->slot_free[--c->n_free];
    if (c->n_made == c->n_slots)
        return -1;
    int64_t *s = c->host->alloc(c->host, (uint64_t)c->slot_capacity * sizeof(int64_t));
    if (!s)
        return -1;
    c->slot[c->n_made] = s;
    return c->n_made++;
}

static void slot_give(tree_context *c, tree_item *item) {
    if (item->histogram >= 0)
        c->slot_free[c->n_free++] = item->histogram;
    item->histogram = -1;
}

/* ---- which node next ------------------------------------------------------------------------- */

static int comes_before(const tree_context *c, int32_t a, int32_t b) {
    double x = c->item[a].split.gain, y = c->item[b].split.gain;
    return x > y || (x == y && a < b);
}

static void queue_push(tree_context *c, int32_t i) {
    int64_t at = c->n_heap++;
    c->heap[at] = i;
    if (c->config->max_leaves == LATHE_INT_NULL)
        return;
    for (; at > 0 && comes_before(c, i, c->heap[(at - 1) / 2]); at = (at - 1) / 2)
        c->heap[at] = c->heap[(at - 1) / 2];
    c->heap[at] = i;
}

static int32_t queue_pop(tree_context *c) {
    int32_t last = c->heap[--c->n_heap];
    if (c->config->max_leaves == LATHE_INT_NULL || c->n_heap == 0)
        return last;
    int32_t top = c->heap[0];
    int64_t at = 0;
    for (;;) {
        int64_t kid = 2 * at + 1;
        if (kid >= c->n_heap)
            break;
        if (kid + 1 < c->n_heap && comes_before(c, c->heap[kid + 1], c->heap[kid]))
            kid++;
        if (!comes_before(c, c->heap[kid], last))
            break;
        c->heap[at] = c->heap[kid];
        at = kid;
    }
    c->heap[at] = last;
    return top;
}

/* ---- searching the children ------------------------------------------------------------------ */

static int may_split(const tree_context *c, const tree_item *item) {
    int64_t rows = tree_count(c, item->sum.hc);
    int64_t min_rows = c->config->min_rows > 1 ? c->config->min_rows : 1;
    int64_t max_depth = c->config->max_depth;
    return rows >= 2 * min_rows && item->end - item->begin > 1 &&
           (max_depth == LATHE_INT_NULL || item->depth < max_depth);
}

static int wants_histogram(const tree_context *c, const tree_item *item) {
    return item->end - item->begin >= HISTOGRAM_ROWS && c->per_split == c->n_fit_features &&
           may_split(c, item);
}

static void item_build(tree_context *c, tree_item *item) {
    tree_histogram_build(c, c->rows + item->begin, item->end - item->begin,
                         c->slot[item->histogram]);
}

static void item_search(tree_context *c, int32_t i) {
    tree_item *item = &c->item[i];
    item->split.gain = 0;
    if (may_split(c, item))
        tree_search(c, item, item->histogram >= 0 ? c->slot[item->histogram] : NULL);
    if (item->split.gain > 0)
        queue_push(c, i);
    else
        slot_give(c, item);
}

/* Histograms of the two children of a node, from its own where it has one. */
static void children_histograms(tree_context *c, tree_item *parent, tree_item *a, tree_item *b) {
    tree_item *small = a->end - a->begin <= b->end - b->begin ? a : b;
    tree_item *large = small == a ? b : a;
    if (wants_histogram(c, large)) {
        int32_t had = parent->histogram;
        parent->histogram = -1;
        small->histogram = had >= 0 || wants_histogram(c, small) ? slot_take(c) : -1;
        if (small->histogram >= 0)
            item_build(c, small);
        large->histogram = had >= 0 ? had : slot_take(c);
        if (had >= 0 && small->histogram >= 0)
            tree_histogram_subtract(c, c->slot[had], c->slot[small->histogram]);
        else if (large->histogram >= 0)
            item_build(c, large);
        if (!wants_histogram(c, small))
            slot_give(c, small);
    }
    slot_give(c, parent);
}

/* ---- one split ------------------------------------------------------------------------------- */

static int32_t node_categories(tree_context *c, const tree_split *s, tree_node *node,
                               lathe_error *err) {
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, s->feature);
    int32_t top = -1;
    for (int32_t b = 0; b < f->n_codes; b++)
        if (tree_bin_is_left(s->left_bins, b) && f->codes[b] > top)
            top = f->codes[b];
    int64_t n = top / 32 + 1;
    if (top < 0)
        n = 0;
    int32_t rc = reserve_words(c, n + 1, err);
    if (rc != LATHE_OK)
        return rc;
    uint32_t *words = c->words + c->n_words;
    memset(words, 0, (size_t)(n + 1) * sizeof *words);
    words[0] = (uint32_t)n;
    for (int32_t b = 0; b < f->n_codes; b++)
        if (tree_bin_is_left(s->left_bins, b) && f->codes[b] >= 0)
            words[1 + f->codes[b] / 32] |= 1u << (f->codes[b] % 32);
    node->u.bits = (uint32_t)c->n_words;
    node->meta |= TREE_IS_CATEGORY;
    c->n_words += n + 1;
    return LATHE_OK;
}

static int32_t make_node(tree_context *c, tree_item *item, lathe_error *err) {
    const tree_split *s = &item->split;
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, s->feature);
    int32_t id = (int32_t)c->n_nodes;
    tree_node *node = &c->node[id];
    node->meta = (uint32_t)s->feature | (s->missing_left ? TREE_MISSING_LEFT : 0);
    if (s->is_category) {
        int32_t rc = node_categories(c, s, node, err);
        if (rc != LATHE_OK)
            return rc;
    } else {
        node->u.threshold = s->bin < f->n_edges ? f->edges[s->bin] : INFINITY;
    }
    c->gain[id] = s->gain;
    memcpy(c->left_bins[id], s->left_bins, sizeof s->left_bins);
    if (item->parent >= 0)
        c->node[item->parent].child[item->side] = id;
    c->n_nodes++;
    return LATHE_OK;
}

static tree_item *new_item(tree_context *c, int64_t begin, int64_t end, tree_cell sum,
                           int32_t depth, int32_t parent, int32_t side) {
    tree_item *item = &c->item[c->n_items++];
    memset(item, 0, sizeof *item);
    item->begin = begin;
    item->end = end;
    item->sum = sum;
    item->depth = depth;
    item->parent = parent;
    item->side = side;
    item->leaf = 0;
    item->histogram = -1;
    return item;
}

/* `last`: this split makes the last leaf, so that its children need no search. */
static int32_t split_item(tree_context *c, int32_t i, int last, lathe_error *err) {
    int32_t rc = reserve_items(c, err);
    if (rc != LATHE_OK)
        return rc;
    tree_item *item = &c->item[i];
    rc = make_node(c, item, err);
    if (rc != LATHE_OK)
        return rc;
    int32_t id = (int32_t)c->n_nodes - 1;
    int64_t middle = item->begin + tree_partition(c, item);
    tree_cell l = item->split.left;
    tree_cell r = {item->sum.g - l.g, item->sum.hc - l.hc};
    int32_t first = (int32_t)c->n_items;
    tree_item *a = new_item(c, item->begin, middle, l, item->depth + 1, id, 0);
    tree_item *b = new_item(c, middle, item->end, r, item->depth + 1, id, 1);
    item->leaf = -1;
    if (last) {
        slot_give(c, item);
        return LATHE_OK;
    }
    children_histograms(c, item, a, b);
    item_search(c, first);
    item_search(c, first + 1);
    return LATHE_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void start_root(tree_context *c) {
    tree_cell sum = {0, 0};
    for (int64_t i = 0; i < c->n_used; i++) {
        tree_cell v = c->record[c->rows[i]];
        sum.g += v.g;
        sum.hc += v.hc;
    }
    if (c->mode == TREE_MODE_CLASSES)
        sum.g = 0;
    tree_item *root = new_item(c, 0, c->n_used, sum, 0, -1, 0);
    if (wants_histogram(c, root)) {
        root->histogram = slot_take(c);
        if (root->histogram >= 0)
            item_build(c, root);
    }
    item_search(c, 0);
}

static void number_leaves(tree_context *c) {
    int32_t n = 0;
    for (int64_t i = 0; i < c->n_items; i++) {
        tree_item *item = &c->item[i];
        if (item->leaf < 0)
            continue;
        item->leaf = n++;
        if (item->parent >= 0)
            c->node[item->parent].child[item->side] = ~item->leaf;
    }
}

int32_t tree_grow(tree_context *c, lathe_error *err) {
    c->n_items = 0;
    c->n_heap = 0;
    c->n_nodes = 0;
    c->n_words = 0;
    c->assigned = 0;
    c->n_free = 0;
    for (int32_t k = c->n_made; k > 0; k--)
        c->slot_free[c->n_free++] = k - 1;
    int32_t rc = reserve_items(c, err);
    if (rc != LATHE_OK)
        return rc;
    start_root(c);
    int64_t max_leaves =
        c->config->max_leaves == LATHE_INT_NULL ? INT32_MAX : c->config->max_leaves;
    for (int64_t leaves = 1; leaves < max_leaves && c->n_heap > 0; leaves++) {
        if ((leaves & 255) == 0 && c->host->stopped(c->host))
            return tree_fail(err, LATHE_E_CANCELLED, "tree", "stopped at %lld leaves",
                             (long long)leaves);
        rc = split_item(c, queue_pop(c), leaves + 1 == max_leaves, err);
        if (rc != LATHE_OK)
            return rc;
    }
    number_leaves(c);
    return LATHE_OK;
}

/* ---- the leaf of every row ------------------------------------------------------------------- */

static int32_t assign_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    tree_context *c = user;
    for (int64_t r = begin; r < end; r++) {
        if (c->leaf[r] >= 0)
            continue;
        int32_t i = 0;
        while (i >= 0) {
            int32_t f = (int32_t)(c->node[i].meta & TREE_FEATURE_MASK);
            i = c->node[i].child[!tree_bin_is_left(c->left_bins[i], tree_column(c, f)[r])];
        }
        c->leaf[r] = ~i;
    }
    return LATHE_OK;
}

void tree_assign_leaves(tree_context *c) {
    if (c->assigned)
        return;
    if (c->n_used < c->n_rows)
        memset(c->leaf, c->n_nodes == 0 ? 0 : -1, (size_t)c->n_rows * sizeof(int32_t));
    for (int64_t i = 0; i < c->n_items; i++)
        if (c->item[i].leaf >= 0)
            for (int64_t k = c->item[i].begin; k < c->item[i].end; k++)
                c->leaf[c->rows[k]] = c->item[i].leaf;
    if (c->n_used < c->n_rows &&
        c->host->parallel_for(c->host, c->n_rows, ASSIGN_GRAIN, assign_chunk, c) != LATHE_OK)
        assign_chunk(c, 0, c->n_rows, 0);
    c->assigned = 1;
}
