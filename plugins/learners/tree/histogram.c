/* histogram.c: sums of the rows' statistics by bin.
 *
 * A histogram holds, feature by feature, n_bins cells of `width` int64 words: {g, hc} or one hc for
 * each of k classes. It is built from row-major bins (one pass over the rows, all features), or for
 * one feature from column-major bins. The larger of two siblings is the parent less the smaller (Ke
 * et al. 2017, LightGBM, section 2.1). All sums are integers: how the rows are divided among
 * threads changes no bit.
 */
#include "tree.h"

#include <string.h>

enum {
    PREFETCH = 16,
    PARALLEL_UPDATES = 1 << 17, /* row x feature updates below which one thread is faster */
    UPDATES_PER_CHUNK = 1 << 16,
    WORDS_PER_CHUNK = 4096,
    SPARSE_ROWS = 64 /* fewer rows: clear a cell when it is first met instead of all cells */
};

/* One pass over the rows. `all`: the features used are all features, in order. Inlined twice. */
static inline void add_rows(const tree_context *c, const int32_t *rows, int64_t n,
                            int64_t *restrict histogram, int all) {
    const uint8_t *bins = c->bins->rows;
    int64_t stride = c->bins->row_stride;
    const uint32_t *offset = c->offset;
    const int32_t *feature = c->feature;
    int64_t nf = c->n_fit_features;
    tree_cell *cells = (tree_cell *)histogram;
    for (int64_t i = 0; i < n; i++) {
        if (i + PREFETCH < n) {
            __builtin_prefetch(bins + rows[i + PREFETCH] * stride);
            __builtin_prefetch(c->record + rows[i + PREFETCH]);
        }
        const uint8_t *b = bins + rows[i] * stride;
        tree_cell v = c->record[rows[i]];
        for (int64_t j = 0; j < nf; j++) {
            tree_cell *cell = cells + offset[j] + b[all ? j : feature[j]];
            cell->g += v.g;
            cell->hc += v.hc;
        }
    }
}

static void add_rows_classes(const tree_context *c, const int32_t *rows, int64_t n,
                             int64_t *restrict histogram) {
    int64_t stride = c->bins->row_stride, width = c->width, nf = c->n_fit_features;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *b = c->bins->rows + rows[i] * stride;
        tree_cell v = c->record[rows[i]];
        for (int64_t j = 0; j < nf; j++)
            histogram[(c->offset[j] + b[c->feature[j]]) * width + v.g] += v.hc;
    }
}

static void build_serial(const tree_context *c, const int32_t *rows, int64_t n,
                         int64_t *histogram) {
    memset(histogram, 0, (size_t)c->slot_words * sizeof(int64_t));
    if (c->mode == TREE_MODE_CLASSES)
        add_rows_classes(c, rows, n, histogram);
    else if (c->n_fit_features == c->n_features)
        add_rows(c, rows, n, histogram, 1);
    else
        add_rows(c, rows, n, histogram, 0);
}

typedef struct build {
    tree_context *c;
    const int32_t *rows;
    int64_t *histogram;
    int64_t grain;
    int64_t n_chunks;
} build;

static int64_t *chunk_histogram(const build *b, int64_t chunk) {
    return chunk == 0 ? b->histogram : b->c->partial + (chunk - 1) * b->c->slot_words;
}

static int32_t build_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const build *b = user;
    build_serial(b->c, b->rows + begin, end - begin, chunk_histogram(b, begin / b->grain));
    return LATHE_OK;
}

static int32_t reduce_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const build *b = user;
    for (int64_t k = 1; k < b->n_chunks; k++) {
        const int64_t *restrict from = chunk_histogram(b, k);
        int64_t *restrict to = b->histogram;
        for (int64_t i = begin; i < end; i++)
            to[i] += from[i];
    }
    return LATHE_OK;
}

void tree_histogram_build(tree_context *c, const int32_t *rows, int64_t n, int64_t *histogram) {
    int64_t updates = n * c->n_fit_features;
    int64_t chunks = updates / UPDATES_PER_CHUNK;
    chunks = chunks < c->n_workers ? chunks : c->n_workers;
    chunks = chunks < c->n_partial + 1 ? chunks : c->n_partial + 1;
    build b = {c, rows, histogram, 0, 0};
    if (updates >= PARALLEL_UPDATES && chunks > 1 &&
        !__atomic_exchange_n(&c->partial_busy, 1, __ATOMIC_ACQUIRE)) {
        b.grain = (n + chunks - 1) / chunks;
        b.n_chunks = (n + b.grain - 1) / b.grain;
        /* build_chunk never fails, so an error is a stop from outside, after which the fit ends
         * anyway */
        int done = c->host->parallel_for(c->host, n, b.grain, build_chunk, &b) == LATHE_OK &&
                   c->host->parallel_for(c->host, c->slot_words, WORDS_PER_CHUNK, reduce_chunk,
                                         &b) == LATHE_OK;
        __atomic_store_n(&c->partial_busy, 0, __ATOMIC_RELEASE);
        if (done)
            return;
    }
    build_serial(c, rows, n, histogram);
}

void tree_histogram_subtract(const tree_context *c, int64_t *from, const int64_t *other) {
    int64_t *restrict a = from;
    const int64_t *restrict b = other;
    for (int64_t i = 0; i < c->slot_words; i++)
        a[i] -= b[i];
}

int tree_histogram_occupied(const tree_context *c, const int64_t *cells, int n_bins,
                            uint8_t *bins) {
    int n = 0;
    if (c->mode != TREE_MODE_CLASSES) {
        const tree_cell *cell = (const tree_cell *)cells;
        for (int b = 0; b < n_bins; b++) {
            bins[n] = (uint8_t)b;
            n += cell[b].hc != 0;
        }
        return n;
    }
    for (int b = 0; b < n_bins; b++) {
        int64_t any = 0;
        for (int64_t k = 0; k < c->width; k++)
            any |= cells[b * c->width + k];
        bins[n] = (uint8_t)b;
        n += any != 0;
    }
    return n;
}

/* Few rows: cells are cleared when they are first met, and a bit set remembers which. */
static int feature_sparse(const tree_context *c, const int32_t *rows, int64_t n,
                          const uint8_t *column, int64_t *cells, uint8_t *bins) {
    uint64_t seen[4] = {0, 0, 0, 0};
    int64_t width = c->width;
    for (int64_t i = 0; i < n; i++) {
        int b = column[rows[i]];
        tree_cell v = c->record[rows[i]];
        int64_t *cell = cells + b * width;
        if (!(seen[b >> 6] >> (b & 63) & 1)) {
            seen[b >> 6] |= 1ULL << (b & 63);
            memset(cell, 0, (size_t)width * sizeof(int64_t));
        }
        if (c->mode == TREE_MODE_CLASSES) {
            cell[v.g] += v.hc;
        } else {
            cell[0] += v.g;
            cell[1] += v.hc;
        }
    }
    int count = 0;
    for (int word = 0; word < 4; word++)
        for (uint64_t left = seen[word]; left; left &= left - 1)
            bins[count++] = (uint8_t)(word * 64 + __builtin_ctzll(left));
    return count;
}

int tree_histogram_feature(const tree_context *c, const int32_t *rows, int64_t n, int32_t feature,
                           int64_t *cells, uint8_t *bins) {
    const uint8_t *column = tree_column(c, feature);
    int n_bins = lathe_bin_feature_at(c->bins, feature)->n_bins;
    if (n < SPARSE_ROWS)
        return feature_sparse(c, rows, n, column, cells, bins);
    memset(cells, 0, (size_t)(n_bins * c->width) * sizeof(int64_t));
    if (c->mode == TREE_MODE_CLASSES) {
        for (int64_t i = 0; i < n; i++)
            cells[column[rows[i]] * c->width + c->record[rows[i]].g] += c->record[rows[i]].hc;
    } else {
        tree_cell *cell = (tree_cell *)cells;
        for (int64_t i = 0; i < n; i++) {
            tree_cell v = c->record[rows[i]];
            cell[column[rows[i]]].g += v.g;
            cell[column[rows[i]]].hc += v.hc;
        }
    }
    return tree_histogram_occupied(c, cells, n_bins, bins);
}
