/* queue.c: the leaves that may be split, and which is next: that of greatest gain, ties to the older, where the leaves
 * have a bound; else the newest. */
#include "tree.h"

static int comes_before(const tree_context *c, int32_t a, int32_t b) {
    double x = c->item[a].split.gain, y = c->item[b].split.gain;
    return x > y || (x == y && c->item[a].order < c->item[b].order);
}

/* Puts a leaf where it may be, `at` or above. */
static void place(tree_context *c, int64_t at, int32_t i) {
    for (; at > 0 && comes_before(c, i, c->heap[(at - 1) / 2]); at = (at - 1) / 2)
        c->heap[at] = c->heap[(at - 1) / 2];
    c->heap[at] = i;
}

static int is_bounded(const tree_context *c) {
    return c->config->max_leaves != LATHE_INT_NULL;
}

void tree_queue_push(tree_context *c, int32_t i) {
    int64_t at = c->n_heap++;
    if (is_bounded(c))
        place(c, at, i);
    else
        c->heap[at] = i;
}

int32_t tree_queue_first(const tree_context *c) {
    return c->heap[is_bounded(c) ? 0 : c->n_heap - 1];
}

void tree_queue_pop(tree_context *c) {
    int32_t last = c->heap[--c->n_heap];
    int64_t at = 0;
    if (!is_bounded(c) || c->n_heap == 0)
        return;
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
}

/* They will not be split, so their histograms have places for others. */
void tree_queue_drop(tree_context *c, int64_t remaining) {
    while (c->n_heap > remaining) {
        int64_t last = c->n_heap / 2; /* the last of all has no children */
        for (int64_t at = last + 1; at < c->n_heap; at++)
            if (comes_before(c, c->heap[last], c->heap[at]))
                last = at;
        tree_item *item = &c->item[c->heap[last]];
        tree_item_forget(c, item);
        place(c, last, c->heap[--c->n_heap]);
    }
}

static int is_open(const tree_context *c, int32_t i) {
    return c->item[i].children < 0 && !tree_subtree_suits(c, &c->item[i]);
}

/* How many leaves of the queue, from this place down, are of a greater gain: below one that is not there is none. */
static int64_t count_before(const tree_context *c, int64_t at, double gain) {
    if (at >= c->n_heap || c->item[c->heap[at]].split.gain <= gain)
        return 0;
    return 1 + count_before(c, 2 * at + 1, gain) + count_before(c, 2 * at + 2, gain);
}

/* The first open leaf from this place down, if it comes before *best: below an open one there is none. */
static void find_open(const tree_context *c, int64_t at, int32_t *best) {
    if (at >= c->n_heap || (*best >= 0 && !comes_before(c, c->heap[at], *best)))
        return;
    if (is_open(c, c->heap[at])) {
        *best = c->heap[at];
        return;
    }
    find_open(c, 2 * at + 1, best);
    find_open(c, 2 * at + 2, best);
}

static int32_t open_in_queue(const tree_context *c) {
    int32_t best = -1;
    if (is_bounded(c)) {
        find_open(c, 0, &best);
        return best;
    }
    for (int64_t at = c->n_heap; at > 0; at--)
        if (is_open(c, c->heap[at - 1]))
            return c->heap[at - 1];
    return -1;
}

/* A child of an expanded leaf that waits to be split. */
static int32_t open_below(const tree_context *c) {
    int32_t best = -1;
    for (int32_t i = 1; i < c->n_items; i++) {
        const tree_item *item = &c->item[i];
        if (item->is_ready && item->parent < 0 && !item->is_taken && !item->is_dropped &&
            item->split.gain > 0 && is_open(c, i) &&
            (best < 0 || item->split.gain > c->item[best].split.gain))
            best = i;
    }
    return best;
}

int32_t tree_queue_open(const tree_context *c, int64_t most) {
    int32_t leaf = open_in_queue(c);
    if (leaf < 0)
        leaf = open_below(c);
    if (leaf < 0 || !is_bounded(c))
        return leaf;
    return count_before(c, 0, c->item[leaf].split.gain) < most ? leaf : -1;
}
