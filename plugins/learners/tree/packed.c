/* packed.c: histograms of packed rows, and the search in them. See packed.h. */
#include "packed.h"

#include <string.h>

enum {
    PREFETCH = 24,
    TILE = 32, /* features of a pass over the rows, at most */
    DENSE_TILE = 16,
    DENSE_GAP = 3,
    ROWS_PER_TILE = 2048,
    LEAST_CHUNK = 4096,
    ROOT_CHUNKS = 16,
    ROOT_CELLS = 512 /* whose search is worth several threads */
};

/* ---- histograms ------------------------------------------------------------------------------ */

/* Adds rows to the narrow cells of the features [0, nf) of `bins`; nf <= TILE. */
static inline void add_rows(const void *e, int64_t n, const uint8_t *bins, int64_t stride,
                            int64_t nf, int is_short, int count_is_h, int64_t *restrict histogram) {
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

/* A number of features known to the compiler makes a loop without loops. */
#define FOR_1(f)                                                                                   \
    case f:                                                                                        \
        add_rows(e, n, bins, stride, f, is_short, 0, h);                                           \
        break;
#define FOR_4(f) FOR_1(f) FOR_1(f + 1) FOR_1(f + 2) FOR_1(f + 3)
#define FOR_16(f) FOR_4(f) FOR_4(f + 4) FOR_4(f + 8) FOR_4(f + 12)

static inline void add_tile(const void *e, int64_t n, const uint8_t *bins, int64_t stride,
                            int64_t nf, int is_short, int64_t *h) {
    switch (nf) {
        FOR_16(1)
        FOR_16(17)
    }
}

/* Features of a pass. Cells of half as many stay in the first-level cache, but where the rows are far apart the lines of
 * bins would be fetched from far away twice. */
static int64_t tile_of(const tree_context *c, const void *e, int64_t n) {
    int64_t first = packed_row(packed_get(e, 0, c->is_short), c->is_short);
    int64_t last = packed_row(packed_get(e, n - 1, c->is_short), c->is_short);
    int64_t most = n * DENSE_GAP > last - first ? DENSE_TILE : TILE;
    int64_t passes = (c->packed_features + most - 1) / most;
    return (c->packed_features + passes - 1) / passes;
}

void packed_add(const tree_context *c, const void *entries, int64_t n, int64_t *histogram) {
    int64_t stride = c->packed_stride, features = c->packed_features;
    if (n == 0 || features == 0)
        return;
    int64_t tile = tile_of(c, entries, n);
    for (int64_t i = 0; i < n; i += ROWS_PER_TILE) {
        const void *e = packed_from(entries, i, c->is_short);
        int64_t rows = n - i < ROWS_PER_TILE ? n - i : ROWS_PER_TILE;
        for (int64_t f = 0; f < features; f += tile) {
            int64_t nf = features - f < tile ? features - f : tile;
            int64_t *h = histogram + f * PACKED_BINS;
            const uint8_t *bins = c->packed_bins + f;
            if (c->count_is_h)
                add_rows(e, rows, bins, stride, nf, 0, 1, h);
            else if (c->is_short)
                add_tile(e, rows, bins, stride, nf, 1, h);
            else
                add_tile(e, rows, bins, stride, nf, 0, h);
        }
    }
}

/* Of each column only the bins in use are cleared, added and subtracted; the others are never read. */
static int64_t bins_of(const tree_context *c, int64_t feature) {
    return c->bundled ? c->bundles->n_bins[feature]
                      : lathe_bin_feature_at(c->bins, feature)->n_bins;
}

void packed_clear(const tree_context *c, int64_t *histogram, int narrow) {
    size_t cell = narrow ? sizeof(int64_t) : sizeof(tree_cell);
    for (int64_t f = 0; f < c->packed_features; f++)
        memset((char *)histogram + (size_t)(f * PACKED_BINS) * cell, 0,
               (size_t)bins_of(c, f) * cell);
}

void packed_flush(const tree_context *c, const int64_t *restrict from, int64_t *restrict to,
                  int to_is_narrow) {
    tree_cell *cell = (tree_cell *)(void *)to;
    for (int64_t f = 0; f < c->packed_features; f++) {
        int64_t begin = f * PACKED_BINS, end = begin + bins_of(c, f);
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
    int lock; /* held by the thread that adds to the histogram */
} build;

static int32_t build_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    build *b = user;
    tree_context *c = b->c;
    int64_t *scratch = packed_scratch_of(c, worker);
    packed_clear(c, scratch, 1);
    packed_add(c, packed_from(b->entry, begin, c->is_short), end - begin, scratch);
    packed_lock(&b->lock);
    packed_flush(c, scratch, b->histogram, b->narrow);
    packed_unlock(&b->lock);
    return LATHE_OK;
}

void packed_build(tree_context *c, const tree_item *item, int64_t *histogram, int32_t worker) {
    int64_t n = item->end - item->begin;
    build b = {c, packed_at(c->entry, item->begin, c->is_short), histogram,
               packed_is_narrow(c, item), 0};
    packed_clear(c, histogram, b.narrow);
    int parallel = c->n_workers > 1 && n * c->packed_features >= PACKED_PARALLEL;
    if (b.narrow && !parallel) {
        packed_add(c, b.entry, n, histogram);
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

static tree_cell cell_of(const tree_context *c, const int64_t *h, int64_t i, int narrow) {
    return narrow ? packed_widen(c, h[i]) : ((const tree_cell *)(const void *)h)[i];
}

/* to = from - other; `to` may be `from` where both have the same cells. */
void packed_subtract(const tree_context *c, int64_t *from, int from_is_narrow, int64_t *to,
                     int to_is_narrow, const int64_t *other, int other_is_narrow) {
    for (int64_t f = 0; f < c->packed_features; f++) {
        int64_t begin = f * PACKED_BINS, end = begin + bins_of(c, f);
        for (int64_t i = begin; from_is_narrow && i < end; i++) /* then all are */
            to[i] = from[i] - other[i];
        for (int64_t i = begin; !from_is_narrow && i < end; i++) {
            tree_cell a = cell_of(c, from, i, 0), b = cell_of(c, other, i, other_is_narrow);
            a.g -= b.g;
            a.hc -= b.hc;
            if (to_is_narrow)
                to[i] = packed_narrow(c, a);
            else
                ((tree_cell *)(void *)to)[i] = a;
        }
    }
}

/* ---- some features --------------------------------------------------------------------------- */

static inline void add_drawn(const tree_context *c, const void *e, int64_t n,
                             const int32_t *feature, int count, int is_short,
                             int64_t *restrict cells) {
    const uint8_t *bins = c->bins->rows;
    int64_t stride = c->bins->row_stride;
    for (int64_t i = 0; i < n; i++) {
        if (i + PREFETCH < n)
            __builtin_prefetch(bins + packed_row(packed_get(e, i + PREFETCH, is_short), is_short) *
                                          stride);
        tree_entry one = packed_get(e, i, is_short);
        const uint8_t *b = bins + packed_row(one, is_short) * stride;
        int64_t v = packed_value(one, is_short, c->count_is_h);
        for (int k = 0; k < count; k++)
            cells[k * PACKED_BINS + b[feature[k]]] += v;
    }
}

static void add_some(const tree_context *c, const void *e, int64_t n, const int32_t *feature,
                     int count, int64_t *cells) {
    if (c->is_short) {
        add_drawn(c, e, n, feature, count, 1, cells);
        return;
    }
    switch (count) { /* a number known to the compiler makes a loop without a loop */
    case 5:
        add_drawn(c, e, n, feature, 5, 0, cells);
        break;
    case 4:
        add_drawn(c, e, n, feature, 4, 0, cells);
        break;
    case 3:
        add_drawn(c, e, n, feature, 3, 0, cells);
        break;
    default:
        add_drawn(c, e, n, feature, count, 0, cells);
    }
}

/* Histograms of some features of a node that has none; cells narrow or wide, 256 a feature. */
static void build_some(const tree_context *c, const tree_item *item, const int32_t *feature,
                       int count, int64_t *cells) {
    const void *e = packed_from(c->entry, item->begin, c->is_short);
    int64_t n = item->end - item->begin, words = (int64_t)count * PACKED_BINS;
    if (packed_is_narrow(c, item)) {
        memset(cells, 0, (size_t)words * sizeof *cells);
        add_some(c, e, n, feature, count, cells);
        return;
    }
    tree_cell *wide = (tree_cell *)(void *)cells;
    int64_t *narrow = cells + 2 * words;
    memset(wide, 0, (size_t)words * sizeof *wide);
    for (int64_t i = 0; i < n; i += c->block_rows) {
        memset(narrow, 0, (size_t)words * sizeof *narrow);
        add_some(c, packed_from(e, i, c->is_short), n - i < c->block_rows ? n - i : c->block_rows,
                 feature, count, narrow);
        for (int64_t b = 0; b < words; b++) {
            tree_cell cell = packed_widen(c, narrow[b]);
            wide[b].g += cell.g;
            wide[b].hc += cell.hc;
        }
    }
}

static void run_wide(const tree_context *c, const tree_cell *cells, int n, tree_cell first,
                     packed_sums *sums) {
    for (int b = 0; b < n; b++) {
        first.g += cells[b].g;
        first.hc += cells[b].hc;
        sums->g[b] = (double)first.g;
        sums->h[b] = (double)(first.hc >> c->count_bits);
        sums->count[b] = (double)tree_count(c, first.hc);
    }
}

/* ---- search ---------------------------------------------------------------------------------- */

typedef struct cut {
    const tree_context *c;
    const tree_item *item;
    packed_node node;
    int narrow;
    const int64_t *cells; /* of the feature */
    double best;
    int position;
    int missing_left;
    tree_cell left;
} cut;

static double best_wide(const cut *t, int n_cuts, int missing, int *at, tree_cell *left) {
    const tree_context *c = t->c;
    const tree_cell *wide = (const tree_cell *)(const void *)t->cells, none = {0, 0};
    packed_sums sums;
    run_wide(c, wide, n_cuts, missing >= 0 ? wide[missing] : none, &sums);
    double score = c->kernels->best(&t->node, &sums, n_cuts, at);
    if (score >= 0) {
        left->g = (int64_t)sums.g[*at];
        left->hc = ((int64_t)sums.h[*at] << c->count_bits) + (int64_t)sums.count[*at];
    }
    return score;
}

static void try_cuts(cut *t, int n_cuts, int missing) {
    const tree_context *c = t->c;
    tree_cell left = {0, 0};
    double score;
    int64_t narrow = 0;
    int at;
    if (n_cuts < 1)
        return;
    if (t->narrow) {
        score = c->kernels->narrow(&t->node, t->cells, n_cuts, missing >= 0 ? t->cells[missing] : 0,
                                   c->count_is_h, &at, &narrow);
        left = packed_widen(c, narrow);
    } else {
        score = best_wide(t, n_cuts, missing, &at, &left);
    }
    if (score > t->best) {
        t->best = score;
        t->position = at;
        t->missing_left = missing >= 0;
        t->left = left;
    }
}

static int is_empty(const cut *t, int b) {
    return cell_of(t->c, t->cells, b, t->narrow).hc == 0;
}

/* Fills in what scan.c's helper wants: the list of the occupied bins about the cut. */
static void finish(const cut *t, tree_split *s, int n_values, int has_missing) {
    uint8_t list[2];
    int next = t->position + 1;
    while (next < n_values && is_empty(t, next))
        next++;
    list[0] = (uint8_t)t->position;
    list[1] = (uint8_t)next;
    s->left = t->left;
    s->missing_left = t->missing_left;
    tree_finish_numeric(t->c, t->item, s, list, next < n_values ? 2 : 1, 0, has_missing);
}

/* Categories, which have an order of their own, and constrained features: scan.c does it on wide cells. */
static int search_wide(const cut *t, tree_split *s) {
    tree_cell cells[PACKED_BINS];
    uint8_t bins[PACKED_BINS];
    const tree_context *c = t->c;
    int n = 0, n_bins = lathe_bin_feature_at(c->bins, s->feature)->n_bins;
    for (int b = 0; b < n_bins; b++) {
        cells[b] = cell_of(c, t->cells, b, t->narrow);
        bins[n] = (uint8_t)b;
        n += cells[b].hc != 0;
    }
    tree_scan(c, t->item, s->feature, cells, bins, n, s);
    return n > 1;
}

static int is_constant(const cut *t, int n_bins) {
    int n = 0;
    for (int b = 0; b < n_bins && n < 2; b++)
        n += !is_empty(t, b);
    return n < 2;
}

/* The best cut of a feature; did the node have more than one bin of it? */
static int search_cells(cut *t, tree_split *s) {
    const lathe_bin_feature *f = lathe_bin_feature_at(t->c->bins, s->feature);
    s->gain = 0;
    if (f->type == LATHE_FEATURE_CATEGORY || tree_is_bounded(t->c, t->item, s->feature))
        return search_wide(t, s);
    int missing = f->missing_bin, n_values = missing >= 0 ? missing : f->n_bins;
    int has_missing = missing >= 0 && !is_empty(t, missing);
    t->best = -1;
    try_cuts(t, has_missing ? n_values : n_values - 1, -1);
    if (has_missing)
        try_cuts(t, n_values - 1, missing);
    if (t->best < 0)
        return !is_constant(t, f->n_bins);
    s->gain = tree_split_gain(t->c, t->item->sum, t->left);
    if (s->gain > 0)
        finish(t, s, n_values, has_missing);
    return 1;
}

static cut make_cut(const tree_context *c, const tree_item *item) {
    cut t = {.c = c, .item = item, .narrow = packed_is_narrow(c, item)};
    t.node.g = (double)item->sum.g;
    t.node.h = (double)(item->sum.hc >> c->count_bits);
    t.node.count = (double)tree_count(c, item->sum.hc);
    t.node.l2 = c->l2 / c->h_unit;
    t.node.min_rows = (double)(c->config->min_rows > 1 ? c->config->min_rows : 1);
    t.node.min_hessian = c->config->min_hessian / c->h_unit;
    t.node.gini = c->mode == TREE_MODE_BINARY;
    return t;
}

static void take_better(tree_split *best, const tree_split *s) {
    if (s->gain > best->gain ||
        (s->gain > 0 && s->gain == best->gain && s->feature < best->feature))
        *best = *s;
}

/* The search in a histogram, some features each. */
typedef struct search {
    tree_context *c;
    const tree_item *item;
    const int64_t *histogram;
    int64_t grain;
    tree_split *best; /* [chunks] */
} search;

static int32_t search_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const search *r = user;
    tree_context *c = r->c;
    cut t = make_cut(c, r->item);
    int64_t *scratch = c->bin_scratch + (int64_t)worker * PACKED_BINS * PACKED_DRAWN * 3;
    tree_split *best = &r->best[begin / r->grain];
    *best = (tree_split){.feature = INT32_MAX};
    for (int64_t j = begin; j < end; j++) {
        tree_split s = {.feature = c->feature[j]};
        t.cells = r->histogram + (int64_t)s.feature * PACKED_BINS * (t.narrow ? 1 : 2);
        if (c->bundled)
            t.cells = tree_bundles_cells(c, r->item, s.feature, r->histogram, t.narrow, scratch);
        search_cells(&t, &s);
        take_better(best, &s);
    }
    return LATHE_OK;
}

/* Of the root, while the other threads have nothing else to do, by all of them. */
static void search_histogram(tree_context *c, tree_item *item, const int64_t *histogram,
                             int32_t worker) {
    tree_split best[ROOT_CHUNKS];
    int64_t nf = c->n_fit_features;
    int parallel = item->depth == 0 && c->n_workers > 1 && c->n_cells >= ROOT_CELLS;
    search r = {c, item, histogram, nf, best};
    int done = 0;
    if (parallel) {
        int32_t workers = c->n_workers < ROOT_CHUNKS ? c->n_workers : ROOT_CHUNKS;
        r.grain = tree_even_grain(nf, 1, workers, 1);
        done = c->host->parallel_for(c->host, nf, r.grain, search_chunk, &r) == LATHE_OK;
    }
    for (int64_t j = 0; !done && j < nf; j += r.grain)
        search_chunk(&r, j, j + r.grain < nf ? j + r.grain : nf, worker);
    for (int64_t j = 0; j < nf; j += r.grain)
        take_better(&item->split, &best[j / r.grain]);
}

void packed_search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker) {
    if (histogram) {
        search_histogram(c, item, histogram, worker);
        return;
    }
    cut t = make_cut(c, item);
    tree_drawer d;
    tree_drawer_start(c, item, worker, &d);
    int64_t *scratch = c->bin_scratch + (int64_t)worker * PACKED_BINS * PACKED_DRAWN * 3;
    int64_t most = d.wanted < PACKED_DRAWN ? d.wanted : PACKED_DRAWN;
    for (;;) {
        int32_t feature[PACKED_DRAWN];
        int count = 0;
        for (int32_t j; count < most && (j = tree_drawer_next(&d)) >= 0;)
            feature[count++] = c->feature[j];
        if (count == 0)
            return;
        build_some(c, item, feature, count, scratch);
        for (int k = 0; k < count; k++) {
            tree_split s = {.feature = feature[k]};
            t.cells = scratch + (int64_t)k * PACKED_BINS * (t.narrow ? 1 : 2);
            tree_drawer_tell(&d, search_cells(&t, &s));
            take_better(&item->split, &s);
        }
        most = d.n_drawn < d.wanted ? most : 1;
    }
}
