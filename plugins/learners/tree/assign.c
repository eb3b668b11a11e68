/* assign.c: the leaf of every row: of those in the bag as the growing left them, of the others by their bins. */
#include "packed.h"

#include <string.h>

enum { ASSIGN_GRAIN = 8192, LEAVES_GRAIN = 8, WALK_ROWS = 16 };

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

static void tell_rows(const tree_context *c, int64_t begin, int64_t end, int32_t leaf) {
    for (int64_t k = begin; k < end; k++)
        c->leaf[c->packed ? packed_row_at(c, k) : c->rows[k]] = leaf;
}

/* The rows of items that are leaves, and then of leaves of subtrees. */
static int32_t tell_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const tree_context *c = user;
    for (int64_t i = begin; i < end; i++) {
        if (i < c->n_items) {
            const tree_item *item = &c->item[i];
            if (item->leaf >= 0)
                tell_rows(c, item->begin, item->end, item->leaf);
        } else {
            const tree_leaf *leaf = &c->sub_leaf[i - c->n_items];
            tell_rows(c, leaf->begin, leaf->end, leaf->number);
        }
    }
    return LATHE_OK;
}

static void for_all(tree_context *c, int64_t n, int64_t grain,
                    int32_t (*chunk)(void *, int64_t, int64_t, int32_t)) {
    if (c->host->parallel_for(c->host, n, grain, chunk, c) != LATHE_OK)
        chunk(c, 0, n, 0); /* stopped from outside: what is here is whole all the same */
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
    for_all(c, c->n_items + c->n_sub_leaves, LEAVES_GRAIN, tell_chunk);
    if (c->n_used < c->n_rows)
        for_all(c, c->n_rows, ASSIGN_GRAIN, assign_chunk);
    c->assigned = 1;
    return LATHE_OK;
}
