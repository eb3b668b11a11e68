/* grow.c: growing the tree.
 *
 * With a bound on the leaves the leaf of greatest gain is split next, ties to the older (best
 * first, Shi 2007, "Best-first decision tree learning"; LightGBM's leaf-wise growth). Without one
 * the order does not matter and the newest is.
 *
 * A split is found out (expanded) apart from being made: each of a crew of threads takes the best leaf that nobody has
 * taken, expands it, and then makes all splits that are known by now, in the order that best-first wants. Nobody waits
 * for a round of others to end. Children of great gain may come before a leaf that was expanded already, which then
 * waits, or stays a leaf. So the tree is the one that splitting leaf by leaf would give. A leaf with most of the rows,
 * as the root, is expanded alone, by all threads.
 */
#include "packed.h"

#include <math.h>
#include <string.h>

enum {
    CREW_WORK = 1 << 13,  /* row x feature updates that are worth several threads */
    ALONE_WORK = 1 << 15, /* of one leaf */
    PATIENCE = 1000       /* looks for work before others may have the processor */
};

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

static int has_room(const tree_context *c) {
    return c->n_items + 2 <= c->item_capacity;
}

/* Room for the items of an expansion. */
static int32_t reserve_items(tree_context *c, lathe_error *err) {
    int64_t n = c->n_items, want = c->item_capacity < 64 ? 64 : 2 * c->item_capacity;
    if (has_room(c))
        return LATHE_OK;
    if (grow_array(c->host, (void **)&c->item, sizeof *c->item, n, want) ||
        grow_array(c->host, (void **)&c->heap, sizeof *c->heap, c->n_heap, want))
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld nodes", (long long)want);
    c->item_capacity = want;
    return LATHE_OK;
}

int32_t tree_reserve_nodes(tree_context *c, int64_t more, lathe_error *err) {
    int64_t n = c->n_nodes, want = 2 * c->node_capacity;
    if (n + more <= c->node_capacity)
        return LATHE_OK;
    want = want < n + more ? n + more + 64 : want;
    if (want > INT32_MAX || grow_array(c->host, (void **)&c->node, sizeof *c->node, n, want) ||
        grow_array(c->host, (void **)&c->gain, sizeof *c->gain, n, want) ||
        grow_array(c->host, (void **)&c->left_bins, sizeof *c->left_bins, n, want))
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld nodes", (long long)want);
    c->node_capacity = want;
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

int32_t tree_make_node(tree_context *c, const tree_split *s, int32_t parent, int32_t side,
                       lathe_error *err) {
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
    if (parent >= 0)
        c->node[parent].child[side] = id;
    c->n_nodes++;
    return LATHE_OK;
}

/* Makes the split of an expanded leaf. */
static int32_t split_item(tree_context *c, int32_t i, lathe_error *err) {
    tree_item *item = &c->item[i];
    int32_t rc = tree_reserve_nodes(c, 1, err);
    if (rc == LATHE_OK)
        rc = tree_make_node(c, &item->split, item->parent, item->side, err);
    if (rc != LATHE_OK)
        return rc;
    item->leaf = -1;
    for (int32_t side = 0; side < 2; side++) {
        tree_item *child = &c->item[item->children + side];
        child->parent = (int32_t)c->n_nodes - 1;
        child->leaf = 0;
        child->order = c->n_leaves++;
        if (child->split.gain > 0)
            tree_queue_push(c, item->children + side);
    }
    return LATHE_OK;
}

/* ---- the crew -------------------------------------------------------------------------------- */

typedef struct growth {
    tree_context *c;
    lathe_error *err;
    int lock; /* of all but the insides of expansions */
    int32_t rc;
    int64_t leaves; /* with those to be, if no split were made any more */
    int64_t max_leaves;
    int64_t n_taken; /* leaves that are being expanded */
    int64_t rows_taken;
    int n_away;  /* who had nothing to do and left */
    int is_over; /* nobody begins another */
    int is_done; /* what is still being expanded is in vain; read without the lock */
} growth;

static int64_t rows_of(const tree_item *item) {
    return item->end - item->begin;
}

/* Makes the splits that are next and known. */
static void make_splits(growth *g) {
    tree_context *c = g->c;
    while (g->rc == LATHE_OK && g->leaves < g->max_leaves && c->n_heap > 0) {
        int32_t i = tree_queue_first(c);
        tree_item *item = &c->item[i];
        if (tree_subtree_suits(c, item)) {
            tree_queue_pop(c);
            item->leaf = -1;
            g->rc = tree_subtree_grow(c, i, g->err);
        } else if (item->children >= 0 && !item->is_taken) {
            tree_queue_pop(c);
            g->rc = split_item(c, i, g->err);
        } else {
            break;
        }
        g->leaves++;
    }
}

static int is_grown(const growth *g) {
    return g->rc != LATHE_OK || g->leaves >= g->max_leaves || g->c->n_heap == 0;
}

/* The leaf to expand next, -1: none now. The fewer splits remain, the likelier that the later ones are not wanted. */
static int32_t next_leaf(const growth *g) {
    int64_t remaining = g->max_leaves - g->leaves;
    return tree_queue_open(g->c, remaining > 4 ? remaining / 2 : remaining > 1 ? 2 : 1);
}

/* Has the leaf so many of the rows at hand that one thread would be at it when the others are done? */
static int is_alone(const growth *g, int32_t leaf) {
    const tree_context *c = g->c;
    int64_t rows = rows_of(&c->item[leaf]), all = g->rows_taken, enough = 4 * rows * c->n_workers;
    if (rows * c->per_split < ALONE_WORK)
        return 0;
    for (int64_t at = 0; at < c->n_heap && 5 * all < enough; at++)
        if (c->item[c->heap[at]].children < 0)
            all += rows_of(&c->item[c->heap[at]]);
    return 5 * all < enough;
}

static void take(growth *g, int32_t leaf, tree_expansion *x) {
    tree_context *c = g->c;
    *x = (tree_expansion){.item = leaf, .first = (int32_t)c->n_items};
    x->last = g->max_leaves - g->leaves == 1;
    c->n_items += 2;
    tree_expansion_reserve(c, x);
    c->item[leaf].is_taken = 1;
    g->n_taken++;
    g->rows_taken += rows_of(&c->item[leaf]);
}

static void give_back(growth *g, const tree_expansion *x) {
    tree_context *c = g->c;
    tree_item *item = &c->item[x->item];
    tree_expansion_settle(c, x);
    item->is_taken = 0;
    c->item[x->first].is_ready = c->item[x->first + 1].is_ready = 1;
    if (item->is_dropped)
        tree_item_forget(c, item);
    g->n_taken--;
    g->rows_taken -= rows_of(item);
    make_splits(g);
    if (!is_grown(g))
        tree_queue_drop(c, g->max_leaves - g->leaves);
}

/* Is there work for several? */
static int suits_crew(const growth *g) {
    const tree_context *c = g->c;
    int64_t n = 0, rows = 0;
    for (int64_t at = 0; at < c->n_heap; at++)
        if (c->item[c->heap[at]].children < 0) {
            rows += rows_of(&c->item[c->heap[at]]);
            n++;
        }
    return c->n_workers > 1 && n > 1 && rows * c->per_split >= CREW_WORK;
}

/* Expands a leaf, without the lock. Who finds himself alone with work for several calls for a new crew. */
static void expand(growth *g, int32_t leaf, int32_t worker) {
    tree_expansion x;
    take(g, leaf, &x);
    x.is_done = &g->is_done;
    packed_unlock(&g->lock);
    tree_expand(g->c, &x, worker);
    packed_lock(&g->lock);
    give_back(g, &x);
    if (is_grown(g))
        __atomic_store_n(&g->is_done, 1, __ATOMIC_RELAXED);
    if (g->n_away > 0 && g->n_taken == 0 && suits_crew(g))
        g->is_over = 1;
}

/* Without the lock: somebody else has what comes next. Is there hope still? */
static int wait_a_little(growth *g, int *looks) {
    packed_unlock(&g->lock);
    for (int i = 0; i < 16; i++)
        tree_relax();
    packed_lock(&g->lock);
    return ++*looks < PATIENCE;
}

static int32_t work_along(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)begin;
    (void)end;
    growth *g = user;
    int looks = 0;
    packed_lock(&g->lock);
    while (!g->is_over && !is_grown(g)) {
        int32_t leaf = has_room(g->c) ? next_leaf(g) : -1;
        if (leaf >= 0 && !is_alone(g, leaf)) {
            expand(g, leaf, worker);
            looks = 0;
        } else if (leaf >= 0 || g->n_taken == 0) { /* it is for all; or there is no room */
            g->is_over = 1;
        } else if (!wait_a_little(g, &looks)) {
            g->n_away++;
            break;
        }
    }
    packed_unlock(&g->lock);
    return LATHE_OK;
}

/* Some splits further. */
static void go_on(growth *g) {
    tree_context *c = g->c;
    int32_t leaf = next_leaf(g);
    tree_expansion x;
    g->rc = reserve_items(c, g->err);
    if (g->rc != LATHE_OK)
        return;
    if (suits_crew(g) && !is_alone(g, leaf)) {
        g->is_over = g->n_away = 0;
        if (c->host->parallel_for(c->host, c->n_workers, 1, work_along, g) == LATHE_OK)
            return;
    }
    if (c->host->stopped(c->host)) {
        g->rc = tree_fail(g->err, LATHE_E_CANCELLED, "tree", "stopped at %lld leaves",
                          (long long)g->leaves);
        return;
    }
    if (is_grown(g) || (leaf = next_leaf(g)) < 0)
        return;
    take(g, leaf, &x);
    x.alone = 1;
    tree_expand(c, &x, 0);
    give_back(g, &x);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Numbers the leaves in the order of the nodes above them. Until then a child that is a leaf is ~k,
 * k its number in sub_leaf, or n_sub_leaves and more for that of an item. */
static void number_leaves(tree_context *c) {
    int32_t n = 0;
    for (int64_t i = 0; i < c->n_items; i++)
        if (c->item[i].leaf >= 0 && c->item[i].parent >= 0)
            c->node[c->item[i].parent].child[c->item[i].side] = ~(int32_t)(c->n_sub_leaves + i);
    for (int64_t i = 0; i < c->n_nodes; i++)
        for (int side = 0; side < 2; side++) {
            int64_t k = ~c->node[i].child[side];
            if (k < 0)
                continue;
            if (k < c->n_sub_leaves)
                c->sub_leaf[k].number = n;
            else
                c->item[k - c->n_sub_leaves].leaf = n;
            c->node[i].child[side] = ~n++;
        }
}

int32_t tree_grow(tree_context *c, lathe_error *err) {
    growth g = {.c = c, .err = err, .leaves = 1, .max_leaves = c->config->max_leaves};
    c->n_items = 0;
    c->n_heap = 0;
    c->n_nodes = 0;
    c->n_words = 0;
    c->n_leaves = 1;
    c->n_sub_leaves = 0;
    c->assigned = 0;
    if (g.max_leaves == LATHE_INT_NULL)
        g.max_leaves = INT32_MAX;
    tree_slots_reset(&c->slots);
    tree_slots_reset(&c->wide_slots);
    g.rc = reserve_items(c, err);
    if (g.rc != LATHE_OK)
        return g.rc;
    tree_start_root(c);
    if (c->item[0].split.gain > 0)
        tree_queue_push(c, 0);
    make_splits(&g);
    while (!is_grown(&g))
        go_on(&g);
    if (g.rc != LATHE_OK)
        return g.rc;
    number_leaves(c);
    return LATHE_OK;
}
