/* expand.c: the children of a node: their rows, histograms and best splits.
 *
 * The histogram of the larger child is the node's less the smaller child's (Ke et al. 2017,
 * LightGBM, section 2.1), in the node's place where the cells are the same. A histogram is kept for
 * a node while it may still be split, in one of a bounded number of slots; a node that gets none is
 * searched from its rows instead, with the same result.
 *
 * tree_expand works on several nodes at the same time, so it touches nothing but the node's rows,
 * its slots and its two children; slots are taken before and given back after.
 */
#include "packed.h"

#include <string.h>

enum {
    HISTOGRAM_ROWS = 128,
    BUNDLED_ROWS = 4,
    PARALLEL_CELLS = 512 /* of a histogram, whose search is worth another thread */
};

/* ---- slots ----------------------------------------------------------------------------------- */

void tree_slots_reset(tree_slots *s) {
    s->n_free = 0;
    for (int32_t k = s->n_made; k > 0; k--)
        s->is_free[s->n_free++] = k - 1;
}

static int32_t slot_take(const tree_context *c, tree_slots *s) {
    if (s->n_free > 0)
        return s->is_free[--s->n_free];
    if (s->n_made == s->n_slots)
        return -1;
    int64_t *words = c->host->alloc(c->host, (uint64_t)s->words * sizeof(int64_t));
    if (!words)
        return -1;
    s->slot[s->n_made] = words;
    return s->n_made++;
}

static tree_slots *slots_of(tree_context *c, const tree_item *item) {
    return item->is_wide ? &c->wide_slots : &c->slots;
}

static int64_t *words_of(tree_context *c, const tree_item *item, int32_t slot) {
    return slot < 0 ? NULL : slots_of(c, item)->slot[slot];
}

void tree_item_release(tree_context *c, tree_item *item) {
    tree_slots *s = slots_of(c, item);
    if (item->histogram >= 0)
        s->is_free[s->n_free++] = item->histogram;
    item->histogram = -1;
}

void tree_item_forget(tree_context *c, tree_item *item) {
    item->is_dropped = 1;
    if (item->is_taken)
        return;
    tree_item_release(c, item);
    for (int32_t side = 0; item->children >= 0 && side < 2; side++)
        tree_item_forget(c, &c->item[item->children + side]);
}

/* ---- which histograms ------------------------------------------------------------------------ */

static int may_split(const tree_context *c, int64_t rows, int32_t depth) {
    int64_t min_rows = c->config->min_rows > 1 ? c->config->min_rows : 1;
    int64_t max_depth = c->config->max_depth;
    return rows >= 2 * min_rows && (max_depth == LATHE_INT_NULL || depth < max_depth);
}

int tree_item_may_split(const tree_context *c, const tree_item *item) {
    return may_split(c, tree_count(c, item->sum.hc), item->depth) && item->end - item->begin > 1;
}

static int wants_histogram(const tree_context *c, int64_t rows, int32_t depth) {
    int64_t least = c->packed && c->bundled ? BUNDLED_ROWS : HISTOGRAM_ROWS;
    return rows >= (c->has_subtrees ? tree_subtree_rows(c) : least) &&
           c->per_split == c->n_fit_features && may_split(c, rows, depth);
}

static int64_t size_of(const tree_context *c, int32_t item) {
    return tree_size(c, c->item[item].sum.hc);
}

static tree_item *small_child(const tree_context *c, int32_t first) {
    return &c->item[first + (size_of(c, first) > size_of(c, first + 1))];
}

static tree_item *large_child(const tree_context *c, int32_t first) {
    return &c->item[first + (size_of(c, first) <= size_of(c, first + 1))];
}

/* Rows of a child, for the choice of what to keep of it: where they are not counted yet, by its share of the weight. */
static int64_t rows_of(const tree_context *c, const tree_item *parent, const tree_item *child) {
    int64_t all = tree_count(c, parent->sum.hc), weight = parent->sum.hc >> c->count_bits;
    if (!c->is_tight)
        return tree_count(c, child->sum.hc);
    return weight > 0
               ? (int64_t)((double)all * (double)(child->sum.hc >> c->count_bits) / (double)weight)
               : all;
}

/* Sums without the number of rows, which the division of the rows will tell. */
static tree_cell uncounted(const tree_context *c, tree_cell sum) {
    sum.hc = sum.hc >> c->count_bits << c->count_bits;
    return sum;
}

static int is_wide(const tree_context *c, const tree_item *parent, const tree_item *child) {
    const tree_item *most = c->is_tight ? parent : child; /* is the child's number known? */
    return c->packed && tree_count(c, most->sum.hc) > c->narrow_count;
}

static void new_child(const tree_context *c, const tree_item *parent, tree_item *item,
                      tree_cell sum, int32_t side) {
    memset(item, 0, sizeof *item);
    item->sum = sum;
    item->depth = parent->depth + 1;
    item->side = side;
    item->parent = -1;
    item->leaf = -1;
    item->histogram = -1;
    item->children = -1;
    item->key = tree_mix(parent->key + (uint64_t)side + 1);
    item->is_wide = is_wide(c, parent, item);
}

void tree_expansion_reserve(tree_context *c, tree_expansion *x) {
    tree_item *item = &c->item[x->item];
    tree_cell l = item->split.left, r = {item->sum.g - l.g, item->sum.hc - l.hc};
    x->small_slot = x->large_slot = -1;
    if (c->is_tight) {
        l = uncounted(c, l);
        r = uncounted(c, r);
    }
    new_child(c, item, &c->item[x->first], l, 0);
    new_child(c, item, &c->item[x->first + 1], r, 1);
    item->children = x->first;
    if (c->monotone)
        tree_bounds_hand_down(c, item, &c->item[x->first], &c->item[x->first + 1]);
    const tree_item *small = small_child(c, x->first), *large = large_child(c, x->first);
    int32_t depth = item->depth + 1;
    if (x->last || !wants_histogram(c, rows_of(c, item, large), depth))
        return;
    int has = item->histogram >= 0;
    if (has || wants_histogram(c, rows_of(c, item, small), depth))
        x->small_slot = slot_take(c, slots_of(c, small));
    if (has && item->is_wide == large->is_wide && x->small_slot >= 0)
        x->large_slot = item->histogram;
    else
        x->large_slot = slot_take(c, slots_of(c, large));
}

void tree_expansion_settle(tree_context *c, const tree_expansion *x) {
    tree_item *item = &c->item[x->item];
    tree_item *small = small_child(c, x->first), *large = large_child(c, x->first);
    int taken =
        item->histogram >= 0 && x->large_slot == item->histogram && item->is_wide == large->is_wide;
    if (taken)
        item->histogram = -1;
    tree_item_release(c, item);
    small->histogram = x->small_slot;
    large->histogram = x->large_slot;
    if (small->split.gain <= 0 || !wants_histogram(c, tree_count(c, small->sum.hc), small->depth))
        tree_item_release(c, small);
    if (large->split.gain <= 0)
        tree_item_release(c, large);
}

/* ---- the work -------------------------------------------------------------------------------- */

static void build(tree_context *c, const tree_item *item, int64_t *histogram, int32_t worker) {
    if (c->packed)
        packed_build(c, item, histogram, worker);
    else
        tree_histogram_build(c, c->rows + item->begin, item->end - item->begin, histogram);
}

static void subtract(tree_context *c, const tree_item *item, int64_t *from, const tree_item *large,
                     int64_t *to, const tree_item *small, const int64_t *other) {
    if (c->packed)
        packed_subtract(c, from, !item->is_wide, to, !large->is_wide, other, !small->is_wide);
    else
        tree_histogram_subtract(c, from, other);
}

static void search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker) {
    item->split.gain = 0;
    item->split.feature = INT32_MAX;
    if (!tree_item_may_split(c, item))
        return;
    if (tree_subtree_suits(c, item)) /* it will see; a class alone ends here */
        item->split.gain = c->mode == TREE_MODE_VARIANCE ||
                           (item->sum.g != 0 && item->sum.g != item->sum.hc >> c->count_bits);
    else
        tree_search(c, item, histogram, worker);
}

/* The two children, which are searched apart from each other. */
typedef struct children {
    tree_context *c;
    tree_item *item, *small, *large;
    int64_t *of_item, *of_small, *of_large; /* histograms; NULL: none */
    int32_t done[2];
} children;

static int32_t search_child(void *user, int64_t begin, int64_t end, int32_t worker) {
    children *k = user;
    for (int64_t i = begin; i < end; i++) {
        if (i == 0)
            search(k->c, k->small, k->of_small, worker);
        else if (k->of_large && k->of_small && k->of_item)
            subtract(k->c, k->item, k->of_item, k->large, k->of_large, k->small, k->of_small);
        else if (k->of_large)
            build(k->c, k->large, k->of_large, worker);
        if (i == 1)
            search(k->c, k->large, k->of_large, worker);
        k->done[i] = 1;
    }
    return LATHE_OK;
}

static void search_children(children *k, int alone, int32_t worker) {
    const lathe_host *host = k->c->host;
    int parallel = alone && k->c->n_workers > 1 && k->of_large && k->c->n_cells >= PARALLEL_CELLS;
    if (parallel && host->parallel_for(host, 2, 1, search_child, k) == LATHE_OK)
        return;
    for (int64_t i = 0; i < 2; i++) /* stopped from outside: what is here is whole all the same */
        if (!k->done[i])
            search_child(k, i, i + 1, worker);
}

void tree_expand(tree_context *c, const tree_expansion *x, int32_t worker) {
    tree_item *item = &c->item[x->item];
    tree_item *left = &c->item[x->first], *right = left + 1;
    tree_item *small = small_child(c, x->first), *large = large_child(c, x->first);
    children k = {.c = c, .item = item, .small = small, .large = large};
    k.of_small = words_of(c, small, x->small_slot);
    k.of_large = words_of(c, large, x->large_slot);
    k.of_item = words_of(c, item, item->histogram);
    int64_t n = c->packed ? packed_partition(c, item, small, k.of_small, x->alone, worker)
                          : tree_partition(c, item);
    left->begin = item->begin;
    left->end = right->begin = item->begin + n;
    right->end = item->end;
    if (c->is_tight) {
        left->sum.hc += n;
        right->sum.hc += right->end - right->begin;
    }
    if (x->last || (x->is_done && __atomic_load_n(x->is_done, __ATOMIC_RELAXED)))
        return;
    if (k.of_small && !c->packed)
        build(c, small, k.of_small, worker);
    search_children(&k, x->alone, worker);
}

void tree_start_root(tree_context *c) {
    tree_item *root = &c->item[0];
    c->n_items = 1;
    memset(root, 0, sizeof *root);
    root->end = c->n_used;
    root->parent = -1;
    root->histogram = -1;
    root->children = -1;
    root->key = tree_mix(c->key);
    root->sum = c->root_sum;
    root->low = -INFINITY;
    root->high = INFINITY;
    int64_t rows = tree_count(c, root->sum.hc);
    root->is_wide = c->packed && rows > c->narrow_count;
    if (wants_histogram(c, rows, 0))
        root->histogram = slot_take(c, slots_of(c, root));
    int64_t *words = words_of(c, root, root->histogram);
    if (words)
        build(c, root, words, 0);
    if (tree_item_may_split(c, root))
        tree_search(c, root, words, 0);
    if (root->split.gain <= 0)
        tree_item_release(c, root);
}
