/* grow.c: growing the tree.
 *
 * With a bound on the leaves the leaf of greatest gain is split next, ties to the older (best
 * first, Shi 2007, "Best-first decision tree learning"; LightGBM's leaf-wise growth). Without one
 * the order does not matter and the newest is.
 *
 * A split is found out (expanded) apart from being made: the best few leaves are expanded at the
 * same time, on several threads, and then split in the order that best-first wants. Children of
 * great gain may come before a leaf that was expanded already, which then waits, or stays a leaf.
 * So the tree is the one that splitting leaf by leaf would give.
 */
#include "packed.h"

#include <math.h>
#include <string.h>

enum {
    ASSIGN_GRAIN = 8192,
    WALK_ROWS = 16,
    MAX_EXPANSIONS = 8,
    MAX_LOOKS = 32, /* leaves of the queue that are looked at for a round */
    PARALLEL_WORK = 1 << 13
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

/* Room for the items of a round of expansions, and one more node. */
static int32_t reserve_items(tree_context *c, lathe_error *err) {
    int64_t n = c->n_items, want = c->item_capacity < 64 ? 64 : 2 * c->item_capacity;
    if (n + 2 * MAX_EXPANSIONS <= c->item_capacity)
        return tree_reserve_nodes(c, 1, err);
    if (grow_array(c->host, (void **)&c->item, sizeof *c->item, n, want) ||
        grow_array(c->host, (void **)&c->heap, sizeof *c->heap, c->n_heap, want))
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld nodes", (long long)want);
    c->item_capacity = want;
    return tree_reserve_nodes(c, 1, err);
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

/* ---- which node next ------------------------------------------------------------------------- */

static int comes_before(const tree_context *c, int32_t a, int32_t b) {
    double x = c->item[a].split.gain, y = c->item[b].split.gain;
    return x > y || (x == y && c->item[a].order < c->item[b].order);
}

/* Puts a leaf where it may be, `at` or above. */
static void queue_place(tree_context *c, int64_t at, int32_t i) {
    for (; at > 0 && comes_before(c, i, c->heap[(at - 1) / 2]); at = (at - 1) / 2)
        c->heap[at] = c->heap[(at - 1) / 2];
    c->heap[at] = i;
}

static void queue_push(tree_context *c, int32_t i) {
    int64_t at = c->n_heap++;
    if (c->config->max_leaves == LATHE_INT_NULL)
        c->heap[at] = i;
    else
        queue_place(c, at, i);
}

/* Drops the leaves that come after the next `remaining`: they will not be split, so their histograms
 * have places for others. */
static void queue_drop(tree_context *c, int64_t remaining) {
    while (c->n_heap > remaining) {
        int64_t last = c->n_heap / 2; /* the last of all has no children */
        for (int64_t at = last + 1; at < c->n_heap; at++)
            if (comes_before(c, c->heap[last], c->heap[at]))
                last = at;
        tree_item *item = &c->item[c->heap[last]];
        tree_item_release(c, item);
        for (int32_t side = 0; item->children >= 0 && side < 2; side++)
            tree_item_release(c, &c->item[item->children + side]);
        queue_place(c, last, c->heap[--c->n_heap]);
    }
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

/* ---- expanding ------------------------------------------------------------------------------- */

typedef struct expansions {
    tree_context *c;
    int64_t n;
    tree_expansion x[MAX_EXPANSIONS];
} expansions;

static int32_t expand_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const expansions *r = user;
    for (int64_t i = begin; i < end; i++)
        tree_expand(r->c, &r->x[i], worker);
    return LATHE_OK;
}

/* How many leaves to expand at once: the fewer splits remain, the likelier that the later ones of
 * them are not wanted. */
static int64_t round_size(const tree_context *c, int64_t remaining) {
    int64_t n = remaining / 4 > 2 ? remaining / 4 : 2;
    n = n < remaining ? n : remaining;
    n = n < MAX_EXPANSIONS ? n : MAX_EXPANSIONS;
    n = c->n_workers > 1 ? n : 1;
    return n < c->n_heap ? n : c->n_heap;
}

/* Takes from the queue, and puts back, the first leaves that are not yet expanded: those among the next round_size, and
 * where that leaves threads without work some after them that will likely be wanted too. */
static int64_t find_unexpanded(tree_context *c, int64_t remaining, int32_t *found) {
    int32_t looked_at[MAX_LOOKS];
    int64_t size = round_size(c, remaining), most = remaining / 2, n = 0, looked = 0;
    most = most < c->n_heap ? most : c->n_heap;
    most = most < MAX_LOOKS ? most : MAX_LOOKS;
    while (looked < size || (looked < most && n < size && n < c->n_workers)) {
        int32_t i = queue_pop(c);
        looked_at[looked++] = i;
        if (c->item[i].children < 0 && !tree_subtree_suits(c, &c->item[i]))
            found[n++] = i;
    }
    while (looked > 0)
        queue_push(c, looked_at[--looked]);
    return n;
}

/* Expands the next leaves of the queue, where they are not yet; `remaining`: splits to come. */
static int32_t expand_round(tree_context *c, int64_t remaining, lathe_error *err) {
    expansions r = {.c = c};
    int32_t next[MAX_EXPANSIONS];
    int32_t rc = reserve_items(c, err);
    if (rc != LATHE_OK)
        return rc;
    queue_drop(c, remaining);
    r.n = find_unexpanded(c, remaining, next);
    int64_t work = 0, rows = 0;
    for (int64_t i = 0; i < r.n; i++) {
        tree_item *item = &c->item[next[i]];
        tree_expansion *x = &r.x[i];
        *x = (tree_expansion){.item = next[i], .first = (int32_t)c->n_items};
        x->last = remaining == 1;
        c->n_items += 2;
        tree_expansion_reserve(c, x);
        rows += item->end - item->begin;
        work += (item->end - item->begin) * c->per_split + (x->large_slot >= 0 ? c->slot_words : 0);
    }
    for (int64_t i = 0; i < r.n; i++) { /* more than 1.25 times a thread's share */
        const tree_item *item = &c->item[next[i]];
        r.x[i].alone = 4 * (item->end - item->begin) * c->n_workers > 5 * rows;
    }
    if (r.n < 2 || work < PARALLEL_WORK || c->n_workers < 2 ||
        c->host->parallel_for(c->host, r.n, 1, expand_chunk, &r) != LATHE_OK) {
        if (c->host->stopped(c->host))
            return tree_fail(err, LATHE_E_CANCELLED, "tree", "stopped at %lld leaves",
                             (long long)c->n_nodes + 1);
        expand_chunk(&r, 0, r.n, 0);
    }
    for (int64_t i = 0; i < r.n; i++)
        tree_expansion_settle(c, &r.x[i]);
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
    int32_t rc = tree_make_node(c, &item->split, item->parent, item->side, err);
    if (rc != LATHE_OK)
        return rc;
    item->leaf = -1;
    for (int32_t side = 0; side < 2; side++) {
        tree_item *child = &c->item[item->children + side];
        child->parent = (int32_t)c->n_nodes - 1;
        child->leaf = 0;
        child->order = c->n_leaves++;
        if (child->split.gain > 0)
            queue_push(c, item->children + side);
    }
    return LATHE_OK;
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
    c->n_items = 0;
    c->n_heap = 0;
    c->n_nodes = 0;
    c->n_words = 0;
    c->n_leaves = 1;
    c->n_sub_leaves = 0;
    c->assigned = 0;
    tree_slots_reset(&c->slots);
    tree_slots_reset(&c->wide_slots);
    int32_t rc = reserve_items(c, err);
    if (rc != LATHE_OK)
        return rc;
    tree_start_root(c);
    if (c->item[0].split.gain > 0)
        queue_push(c, 0);
    int64_t max_leaves =
        c->config->max_leaves == LATHE_INT_NULL ? INT32_MAX : c->config->max_leaves;
    for (int64_t leaves = 1; leaves < max_leaves && c->n_heap > 0; leaves++) {
        if ((leaves & 255) == 0 && c->host->stopped(c->host))
            return tree_fail(err, LATHE_E_CANCELLED, "tree", "stopped at %lld leaves",
                             (long long)leaves);
        int32_t next = queue_pop(c);
        if (tree_subtree_suits(c, &c->item[next])) {
            c->item[next].leaf = -1;
            rc = tree_subtree_grow(c, next, err);
            if (rc != LATHE_OK)
                return rc;
            continue;
        }
        if (c->item[next].children < 0) {
            queue_push(c, next);
            rc = expand_round(c, max_leaves - leaves, err);
            next = queue_pop(c);
        }
        if (rc == LATHE_OK)
            rc = split_item(c, next, err);
        if (rc == LATHE_OK)
            rc = reserve_items(c, err);
        if (rc != LATHE_OK)
            return rc;
    }
    number_leaves(c);
    return LATHE_OK;
}

/* ---- the leaf of every row ------------------------------------------------------------------- */

/* The leaves of up to WALK_ROWS rows: a step a row in turn, so that the rows' loads overlap; one that is at its leaf
 * stays there, without a branch. */
static void walk_rows(const tree_context *c, const int32_t *rows, int64_t n) {
    int32_t at[WALK_ROWS] = {0}, all = 0;
    while (all >= 0) {
        all = -1;
        for (int64_t i = 0; i < n; i++) {
            int32_t node = at[i] < 0 ? 0 : at[i];
            uint32_t feature = c->node[node].meta & TREE_FEATURE_MASK;
            int bin = c->bins->rows[rows[i] * c->bins->row_stride + feature];
            int32_t next = c->node[node].child[!tree_bin_is_left(c->left_bins[node], bin)];
            at[i] = at[i] < 0 ? at[i] : next;
            all &= at[i]; /* negative while all are */
        }
    }
    for (int64_t i = 0; i < n; i++)
        c->leaf[rows[i]] = ~at[i];
}

static int32_t assign_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    tree_context *c = user;
    int32_t rows[WALK_ROWS];
    int64_t n = 0;
    for (int64_t r = begin; r < end; r++) {
        if (c->leaf[r] >= 0)
            continue;
        rows[n++] = (int32_t)r;
        if (n < WALK_ROWS)
            continue;
        walk_rows(c, rows, n);
        n = 0;
    }
    if (n > 0)
        walk_rows(c, rows, n);
    return LATHE_OK;
}

int32_t tree_assign_leaves(tree_context *c, lathe_error *err) {
    if (c->assigned)
        return LATHE_OK;
    if (!c->leaf)
        c->leaf = c->host->alloc(c->host, (uint64_t)c->n_rows * sizeof *c->leaf);
    if (!c->leaf)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for the leaves of %lld rows",
                         (long long)c->n_rows);
    if (c->n_used < c->n_rows)
        memset(c->leaf, c->n_nodes == 0 ? 0 : -1, (size_t)c->n_rows * sizeof(int32_t));
    for (int64_t i = 0; i < c->n_items; i++)
        if (c->item[i].leaf >= 0)
            for (int64_t k = c->item[i].begin; k < c->item[i].end; k++)
                c->leaf[c->packed ? packed_row_at(c, k) : c->rows[k]] = c->item[i].leaf;
    for (int64_t i = 0; i < c->n_sub_leaves; i++)
        for (int64_t k = c->sub_leaf[i].begin; k < c->sub_leaf[i].end; k++)
            c->leaf[c->packed ? packed_row_at(c, k) : c->rows[k]] = c->sub_leaf[i].number;
    if (c->n_used < c->n_rows &&
        c->host->parallel_for(c->host, c->n_rows, ASSIGN_GRAIN, assign_chunk, c) != LATHE_OK)
        assign_chunk(c, 0, c->n_rows, 0);
    c->assigned = 1;
    return LATHE_OK;
}
