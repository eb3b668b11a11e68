/* packed_partition.c: the rows of a node, divided among its children, and the histogram of one of them.
 *
 * A row of bins is a cache line somewhere in memory, unless the node is near the root. So it is fetched once: a block of
 * rows is divided by the bin of one feature, then those of them that belong to the child are added to its histogram,
 * while their lines are at hand. Where columns of bins exist anyhow the division reads these: near the root a line of
 * them tells the side of many rows.
 */
#include "packed.h"

#include <string.h>

enum {
    BLOCK = 1024, /* rows */
    PREFETCH = 40,
    LEAST_CHUNK = 2048,
    PARALLEL_ROWS = 16384 /* without a histogram */
};

typedef struct partition {
    tree_context *c;
    void *entry; /* of the node */
    void *spare;
    int64_t n;
    const uint8_t *bins; /* of the feature: row r's is bins[r * stride] */
    int64_t stride;
    uint8_t is_left[PACKED_BINS];
    int child; /* whose histogram: 0 left, 1 right */
    int64_t *histogram;
    int narrow;
    int joined; /* rows are added to joined columns first */
    int lock;   /* held by the thread that adds to the histogram */
    int64_t grain;
    int64_t *n_left; /* [chunks, 3] */
    int64_t *left_at;
    int64_t *right_at;
} partition;

/* Left rows to left[0], left[1], …; right ones to right[0], right[step], … Each row is written to
 * both and only one of the two ends moves. `near`: how many entries may be looked ahead from. */
static inline int64_t divide_rows(const partition *p, const void *e, int64_t n, int64_t near,
                                  void *left, void *right, int64_t step, int64_t stride,
                                  int is_short) {
    const uint8_t *bins = p->bins;
    int64_t l = 0, r = 0;
    for (int64_t i = 0; i < n; i++) {
        if (stride > 1 && i < near)
            __builtin_prefetch(bins + packed_row(packed_get(e, i + PREFETCH, is_short), is_short) *
                                          stride);
        tree_entry one = packed_get(e, i, is_short);
        int64_t is_left = p->is_left[bins[packed_row(one, is_short) * stride]];
        packed_put(left, l, one, is_short);
        packed_put(right, r, one, is_short);
        l += is_left;
        r += is_left ? 0 : step;
    }
    return l;
}

static inline int64_t divide_strides(const partition *p, const void *e, int64_t n, int64_t near,
                                     void *left, void *right, int64_t step, int is_short) {
    switch (p->stride) { /* known to the compiler, a shift */
    case 1:
        return divide_rows(p, e, n, near, left, right, step, 1, is_short);
    case 16:
        return divide_rows(p, e, n, near, left, right, step, 16, is_short);
    case 32:
        return divide_rows(p, e, n, near, left, right, step, 32, is_short);
    default:
        return divide_rows(p, e, n, near, left, right, step, p->stride, is_short);
    }
}

/* The n entries of the node from `begin`. */
static int64_t divide(const partition *p, int64_t begin, int64_t n, void *left, void *right,
                      int64_t step) {
    int64_t near = p->n - begin - PREFETCH;
    if (p->c->is_short)
        return divide_strides(p, packed_from(p->entry, begin, 1), n, near, left, right, step, 1);
    return divide_strides(p, packed_from(p->entry, begin, 0), n, near, left, right, step, 0);
}

static void *at(const partition *p, void *entries, int64_t i) {
    return packed_at(entries, i, p->c->is_short);
}

/* Rows that are divided before those of the child are added: while their lines are at hand, or, where columns are read,
 * as many as there are. */
static int64_t block_rows(const partition *p) {
    return p->c->block_rows < BLOCK || p->stride == 1 ? p->c->block_rows : BLOCK;
}

/* Where a thread adds the child's rows: narrow cells with room for some more. */
typedef struct sink {
    partition *p;
    int64_t *cells;
    int64_t room;
} sink;

static void flush_sink(sink *s) {
    partition *p = s->p;
    packed_lock(&p->lock);
    packed_flush(p->c, p->joined, s->cells, p->histogram, p->narrow);
    packed_unlock(&p->lock);
}

static void add(sink *s, const void *e, int64_t n) {
    if (!s->cells || n == 0)
        return;
    if (n > s->room) {
        flush_sink(s);
        packed_clear_narrow(s->p->c, s->cells, s->p->joined);
        s->room = s->p->c->block_rows;
    }
    packed_add(s->p->c, e, n, s->p->joined, s->cells);
    s->room -= n;
}

/* ---- one thread ------------------------------------------------------------------------------ */

/* The right rows wait in the spare array. */
static int64_t divide_here(partition *p, int32_t worker) {
    tree_context *c = p->c;
    int64_t n = p->n, l = 0, r = 0, block = block_rows(p);
    sink s = {p, p->histogram, n};
    if (p->histogram && (!p->narrow || p->joined)) {
        s.cells = packed_scratch_of(c, worker);
        s.room = c->block_rows;
        packed_clear_narrow(c, s.cells, p->joined);
    }
    for (int64_t i = 0; i < n; i += block) {
        int64_t m = n - i < block ? n - i : block;
        int64_t got = divide(p, i, m, at(p, p->entry, l), at(p, p->spare, r), 1);
        if (p->child == 0)
            add(&s, at(p, p->entry, l), got);
        else
            add(&s, at(p, p->spare, r), m - got);
        l += got;
        r += m - got;
    }
    memcpy(at(p, p->entry, l), p->spare, (size_t)(r * packed_entry_bytes(c->is_short)));
    if (s.cells && s.cells != p->histogram)
        flush_sink(&s);
    return l;
}

/* ---- several --------------------------------------------------------------------------------- */

/* To the spare array: left rows from the front of the chunk's place, right ones from its back. */
static int32_t divide_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    partition *p = user;
    tree_context *c = p->c;
    int64_t l = 0, r = 0, block = block_rows(p);
    sink s = {p, p->histogram ? packed_scratch_of(c, worker) : NULL, c->block_rows};
    if (s.cells)
        packed_clear_narrow(c, s.cells, p->joined);
    for (int64_t i = begin; i < end; i += block) {
        int64_t m = end - i < block ? end - i : block;
        void *left = at(p, p->spare, begin + l), *right = at(p, p->spare, end - 1 - r);
        int64_t got = divide(p, i, m, left, right, -1);
        l += got;
        r += m - got;
        if (p->child == 0)
            add(&s, left, got);
        else
            add(&s, at(p, p->spare, end - r), m - got);
    }
    if (s.cells)
        flush_sink(&s);
    p->n_left[begin / p->grain] = l;
    return LATHE_OK;
}

static int32_t place_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    partition *p = user;
    int is_short = p->c->is_short;
    int64_t k = begin / p->grain, n = p->n_left[k];
    memcpy(at(p, p->entry, p->left_at[k]), at(p, p->spare, begin),
           (size_t)(n * packed_entry_bytes(is_short)));
    void *right = at(p, p->entry, p->right_at[k]);
    for (int64_t i = end - 1, to = 0; i >= begin + n; i--, to++)
        packed_put(right, to, packed_get(p->spare, i, is_short), is_short);
    return LATHE_OK;
}

/* Where each chunk's rows go; returns how many are left. */
static int64_t find_places(partition *p, int64_t chunks) {
    int64_t left = 0;
    for (int64_t k = 0; k < chunks; k++) {
        p->left_at[k] = left;
        left += p->n_left[k];
    }
    int64_t right = left;
    for (int64_t k = 0; k < chunks; k++) {
        p->right_at[k] = right;
        right += (k + 1 < chunks ? p->grain : p->n - k * p->grain) - p->n_left[k];
    }
    return left;
}

/* -1: not done. */
static int64_t divide_parallel(partition *p) {
    const lathe_host *host = p->c->host;
    int64_t n = p->n, left = -1;
    p->grain = tree_even_grain(n, LEAST_CHUNK, p->c->n_workers, 2);
    int64_t chunks = (n + p->grain - 1) / p->grain;
    p->n_left = host->alloc(host, (uint64_t)chunks * 3 * sizeof *p->n_left);
    if (!p->n_left)
        return -1;
    p->left_at = p->n_left + chunks;
    p->right_at = p->left_at + chunks;
    if (host->parallel_for(host, n, p->grain, divide_chunk, p) == LATHE_OK) {
        left = find_places(p, chunks);
        if (host->parallel_for(host, n, p->grain, place_chunk, p) != LATHE_OK)
            for (int64_t k = 0; k < chunks; k++) /* the spare array is whole: place again, here */
                place_chunk(p, k * p->grain, k + 1 < chunks ? (k + 1) * p->grain : n, 0);
    } else if (p->histogram) {
        packed_clear(p->c, p->histogram, p->narrow);
    }
    host->free(host, p->n_left);
    return left;
}

int64_t packed_partition(tree_context *c, const tree_item *item, const tree_item *child,
                         int64_t *histogram, int alone, int32_t worker) {
    const lathe_bins *bins = c->bins;
    int32_t feature = item->split.feature;
    partition p = {.c = c, .n = item->end - item->begin, .child = child->side};
    p.entry = packed_at(c->entry, item->begin, c->is_short);
    p.spare = packed_at(c->entry_spare, item->begin, c->is_short);
    p.bins = tree_columns_of(c, feature, p.n);
    if (!p.bins && bins->columns)
        p.bins = bins->columns + feature * bins->column_stride;
    p.stride = p.bins ? 1 : bins->row_stride;
    p.bins = p.bins ? p.bins : bins->rows + feature;
    p.histogram = histogram;
    p.narrow = !child->is_wide;
    p.joined = histogram && tree_joins_pay(c, tree_size(c, child->sum.hc));
    for (int b = 0; b < PACKED_BINS; b++)
        p.is_left[b] = (uint8_t)tree_bin_is_left(item->split.left_bins, b);
    if (histogram)
        packed_clear(c, histogram, p.narrow);
    int worth = histogram ? p.n * c->packed_features >= PACKED_PARALLEL : p.n >= PARALLEL_ROWS;
    if (worth && alone && p.n >= 2 * LEAST_CHUNK && c->n_workers > 1) {
        int64_t left = divide_parallel(&p);
        if (left >= 0)
            return left;
    }
    return divide_here(&p, worker);
}
