/* packed.c: histograms of packed rows. See packed.h. */
#include "packed.h"

#include <string.h>

enum {
    PREFETCH = 24,
    TILE = 32, /* features of a pass over the rows, at most */
    DENSE_TILE = 16,
    DENSE_GAP = 3,
    ROWS_PER_TILE = 2048,
    LEAST_CHUNK = 4096
};

/* Compiled anew for each number of features. */
#define INLINE static inline __attribute__((always_inline))

/* ---- histograms ------------------------------------------------------------------------------ */

/* Adds rows to the narrow cells of the features [0, nf) of `bins`; nf <= TILE. */
INLINE void add_rows(const void *e, int64_t n, const uint8_t *bins, int64_t stride, int64_t nf,
                     int is_short, int count_is_h, int64_t *restrict histogram) {
    int64_t eights = nf / 8, rest = nf % 8;
    for (int64_t i = 0; i < n; i++) {
        if (i + PREFETCH < n)
            __builtin_prefetch(bins + packed_row(packed_get(e, i + PREFETCH, is_short), is_short) *
                                          stride);
        tree_entry one = packed_get(e, i, is_short);
        const uint8_t *b = bins + packed_row(one, is_short) * stride;
        int64_t v = packed_value(one, is_short, count_is_h), *cell = histogram;
        for (int64_t j = 0; j < eights; j++, b += 8, cell += 8 * PACKED_BINS)
            for (int k = 0; k < 8; k++)
                cell[k * PACKED_BINS + b[k]] += v;
        for (int64_t j = 0; j < rest; j++, cell += PACKED_BINS)
            cell[b[j]] += v;
    }
}

/* The same for tight cells. */
INLINE void add_tight(const void *e, int64_t n, const uint8_t *bins, int64_t stride, int64_t nf,
                      uint32_t *restrict histogram) {
    int64_t eights = nf / 8, rest = nf % 8;
    for (int64_t i = 0; i < n; i++) {
        if (i + PREFETCH < n)
            __builtin_prefetch(bins + packed_row(packed_get(e, i + PREFETCH, 1), 1) * stride);
        tree_entry one = packed_get(e, i, 1);
        const uint8_t *b = bins + packed_row(one, 1) * stride;
        uint32_t v = ((uint32_t)packed_entry_g(one, 1) << 16) + (uint32_t)packed_entry_h(one, 1);
        uint32_t *cell = histogram;
        for (int64_t j = 0; j < eights; j++, b += 8, cell += 8 * PACKED_BINS)
            for (int k = 0; k < 8; k++)
                cell[k * PACKED_BINS + b[k]] += v;
        for (int64_t j = 0; j < rest; j++, cell += PACKED_BINS)
            cell[b[j]] += v;
    }
}

/* A number of features known to the compiler makes a loop without loops. */
#define FOR_1(f)                                                                                   \
    case f:                                                                                        \
        if (is_tight)                                                                              \
            add_tight(e, n, bins, stride, f, h);                                                   \
        else                                                                                       \
            add_rows(e, n, bins, stride, f, is_short, 0, h);                                       \
        break;
#define FOR_4(f) FOR_1(f) FOR_1(f + 1) FOR_1(f + 2) FOR_1(f + 3)
#define FOR_16(f) FOR_4(f) FOR_4(f + 4) FOR_4(f + 8) FOR_4(f + 12)

INLINE void add_tile(const void *e, int64_t n, const uint8_t *bins, int64_t stride, int64_t nf,
                     int is_short, int is_tight, void *h) {
    switch (nf) {
        FOR_16(1)
        FOR_16(17)
    }
}

/* Features of a pass. Cells of half as many, or tight ones, stay in the first-level cache; but where the rows are far apart the lines of
 * bins would be fetched from far away twice. */
static int64_t tile_of(const tree_context *c, int64_t columns, const void *e, int64_t n) {
    int64_t first = packed_row(packed_get(e, 0, c->is_short), c->is_short);
    int64_t last = packed_row(packed_get(e, n - 1, c->is_short), c->is_short);
    int64_t most = n * DENSE_GAP > last - first && !c->is_tight ? DENSE_TILE : TILE;
    int64_t passes = (columns + most - 1) / most;
    return (columns + passes - 1) / passes;
}

void packed_add(const tree_context *c, const void *entries, int64_t n, int joined, int64_t *cells) {
    int64_t stride = joined ? c->joins->stride : c->packed_stride;
    int64_t features = joined ? c->joins->n_columns : c->packed_features;
    const uint8_t *first = joined ? c->joins->rows : c->packed_bins;
    if (n == 0 || features == 0)
        return;
    int64_t tile = tile_of(c, features, entries, n);
    for (int64_t i = 0; i < n; i += ROWS_PER_TILE) {
        const void *e = packed_from(entries, i, c->is_short);
        int64_t rows = n - i < ROWS_PER_TILE ? n - i : ROWS_PER_TILE;
        for (int64_t f = 0; f < features; f += tile) {
            int64_t nf = features - f < tile ? features - f : tile;
            void *h = (char *)cells + f * PACKED_BINS * packed_cell_bytes(c, 1);
            const uint8_t *bins = first + f;
            if (c->count_is_h)
                add_rows(e, rows, bins, stride, nf, 0, 1, h);
            else if (c->is_tight)
                add_tile(e, rows, bins, stride, nf, 1, 1, h);
            else if (c->is_short)
                add_tile(e, rows, bins, stride, nf, 1, 0, h);
            else
                add_tile(e, rows, bins, stride, nf, 0, 0, h);
        }
    }
}

/* Of each column only the bins in use are cleared, added and subtracted; the others are never read. */
static int64_t bins_of(const tree_context *c, int64_t feature) {
    return c->bundled ? c->bundles->n_bins[feature]
                      : lathe_bin_feature_at(c->bins, feature)->n_bins;
}

void packed_clear(const tree_context *c, int64_t *histogram, int narrow) {
    size_t cell = (size_t)packed_cell_bytes(c, narrow);
    for (int64_t f = 0; f < c->packed_features; f++)
        memset((char *)histogram + (size_t)(f * PACKED_BINS) * cell, 0,
               (size_t)bins_of(c, f) * cell);
}

void packed_clear_narrow(const tree_context *c, int64_t *cells, int joined) {
    size_t cell = (size_t)packed_cell_bytes(c, 1);
    if (!joined)
        packed_clear(c, cells, 1);
    for (int64_t k = 0; joined && k < c->joins->n_columns; k++)
        memset((char *)cells + (size_t)(k * PACKED_BINS) * cell, 0,
               (size_t)c->joins->column[k].n_cells * cell);
}

static void flush_tight(const uint32_t *restrict from, int64_t *restrict to, int to_is_narrow,
                        int64_t begin, int64_t end) {
    uint32_t *tight = (uint32_t *)(void *)to;
    if (to_is_narrow)
        for (int64_t i = begin; i < end; i++)
            tight[i] += from[i];
    else
        for (int64_t i = begin; i < end; i++)
            to[i] += packed_loosen(from[i]);
}

void packed_flush(const tree_context *c, int joined, int64_t *restrict from, int64_t *restrict to,
                  int to_is_narrow) {
    tree_cell *cell = (tree_cell *)(void *)to;
    if (joined) {
        tree_joins_flush(c, from, to, to_is_narrow);
        return;
    }
    for (int64_t f = 0; f < c->packed_features; f++) {
        int64_t begin = f * PACKED_BINS, end = begin + bins_of(c, f);
        if (c->is_tight) {
            flush_tight((const uint32_t *)(const void *)from, to, to_is_narrow, begin, end);
            continue;
        }
        for (int64_t i = begin; to_is_narrow && i < end; i++)
            to[i] += from[i];
        for (int64_t i = begin; !to_is_narrow && i < end; i++) {
            cell[i].g += packed_g(from[i]);
            cell[i].hc += (packed_h(from[i]) << c->count_bits) + packed_count(from[i]);
        }
    }
}

typedef struct build {
    tree_context *c;
    const void *entry;
    int64_t *histogram;
    int narrow;
    int joined;
    int lock; /* held by the thread that adds to the histogram */
} build;

static int32_t build_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    build *b = user;
    tree_context *c = b->c;
    int64_t *scratch = packed_scratch_of(c, worker);
    packed_clear_narrow(c, scratch, b->joined);
    packed_add(c, packed_from(b->entry, begin, c->is_short), end - begin, b->joined, scratch);
    packed_lock(&b->lock);
    packed_flush(c, b->joined, scratch, b->histogram, b->narrow);
    packed_unlock(&b->lock);
    return LATHE_OK;
}

void packed_build(tree_context *c, const tree_item *item, int64_t *histogram, int32_t worker) {
    int64_t n = item->end - item->begin;
    build b = {.c = c, .histogram = histogram, .narrow = !item->is_wide};
    b.entry = packed_at(c->entry, item->begin, c->is_short);
    b.joined = tree_joins_pay(c, n);
    packed_clear(c, histogram, b.narrow);
    int parallel = c->n_workers > 1 && n * c->packed_features >= PACKED_PARALLEL;
    if (b.narrow && !b.joined && !parallel) {
        packed_add(c, b.entry, n, 0, histogram);
        return;
    }
    int64_t grain = n / (2 * (int64_t)c->n_workers);
    grain = grain < LEAST_CHUNK ? LEAST_CHUNK : grain;
    grain = grain > c->block_rows ? c->block_rows : grain;
    if (parallel) {
        if (c->host->parallel_for(c->host, n, grain, build_chunk, &b) == LATHE_OK)
            return;
        /* stopped from outside: the fit ends anyway, but let what is here be whole */
        packed_clear(c, histogram, b.narrow);
    }
    for (int64_t i = 0; i < n; i += grain)
        build_chunk(&b, i, n - i < grain ? n : i + grain, worker);
}

static void subtract_tight(const int64_t *from, int from_is_narrow, int64_t *to, int to_is_narrow,
                           const int64_t *other, int other_is_narrow, int64_t begin, int64_t end) {
    const uint32_t *from_tight = (const uint32_t *)(const void *)from;
    const uint32_t *other_tight = (const uint32_t *)(const void *)other;
    uint32_t *to_tight = (uint32_t *)(void *)to;
    if (from_is_narrow) {
        for (int64_t i = begin; i < end; i++)
            to_tight[i] = from_tight[i] - other_tight[i];
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        int64_t v = from[i] - (other_is_narrow ? packed_loosen(other_tight[i]) : other[i]);
        if (to_is_narrow)
            to_tight[i] = (uint32_t)(v >> 32) * 65536 + (uint32_t)v;
        else
            to[i] = v;
    }
}

/* to = from - other; `to` may be `from` where both have the same cells. */
void packed_subtract(const tree_context *c, int64_t *from, int from_is_narrow, int64_t *to,
                     int to_is_narrow, const int64_t *other, int other_is_narrow) {
    for (int64_t f = 0; f < c->packed_features; f++) {
        int64_t begin = f * PACKED_BINS, end = begin + bins_of(c, f);
        if (c->is_tight) {
            subtract_tight(from, from_is_narrow, to, to_is_narrow, other, other_is_narrow, begin,
                           end);
            continue;
        }
        for (int64_t i = begin; from_is_narrow && i < end; i++) /* then all are */
            to[i] = from[i] - other[i];
        for (int64_t i = begin; !from_is_narrow && i < end; i++) {
            tree_cell a = packed_cell(c, from, i, 0), b = packed_cell(c, other, i, other_is_narrow);
            a.g -= b.g;
            a.hc -= b.hc;
            if (to_is_narrow)
                to[i] = packed_narrow(c, a);
            else
                ((tree_cell *)(void *)to)[i] = a;
        }
    }
}
