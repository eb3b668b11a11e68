/* packed_search.c: the search for a node's best split in sums of packed rows. See packed.h. */
#include "packed.h"

#include <string.h>

enum {
    PREFETCH = 24,
    ROOT_CHUNKS = 16,
    ROOT_CELLS = 512 /* whose search is worth several threads */
};

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
    if (!item->is_wide) {
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

/* Such cells as tight ones of 64 bits. */
static void tighten(const tree_context *c, const tree_item *item, int count, int64_t *cells) {
    const tree_cell *wide = (const tree_cell *)(const void *)cells;
    for (int64_t b = 0; b < (int64_t)count * PACKED_BINS; b++) {
        int64_t v = cells[b];
        cells[b] = item->is_wide ? wide[b].g * ((int64_t)1 << 32) + (wide[b].hc >> c->count_bits)
                                 : packed_g(v) * ((int64_t)1 << 32) + packed_h(v);
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

/* ---- cuts ---------------------------------------------------------------------------------- */

typedef struct cut {
    const tree_context *c;
    const tree_item *item;
    packed_node node;
    int narrow;
    int tight;
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

/* A tight cell, as one of 64 bits. */
static int64_t cell_at(const cut *t, int b) {
    return t->narrow ? packed_loosen(((const uint32_t *)(const void *)t->cells)[b]) : t->cells[b];
}

static void try_cuts(cut *t, int n_cuts, int missing) {
    const tree_context *c = t->c;
    tree_cell left = {0, 0};
    double score;
    int64_t narrow = 0;
    int at;
    if (n_cuts < 1)
        return;
    if (t->tight) {
        narrow = missing >= 0 ? cell_at(t, missing) : 0;
        score = c->kernels->tight(&t->node, t->cells, !t->narrow, n_cuts, narrow, &at, &narrow);
        left = packed_of_tight(c, narrow);
    } else if (t->narrow) {
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
    if (t->tight)
        return cell_at(t, b) == 0;
    return packed_cell(t->c, t->cells, b, t->narrow).hc == 0;
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
        cells[b] = packed_cell(c, t->cells, b, t->narrow);
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

static cut make_cut(const tree_context *c, const tree_item *item, int tight) {
    cut t = {.c = c, .item = item, .narrow = !item->is_wide, .tight = tight};
    t.node.g = (double)item->sum.g;
    t.node.h = (double)(item->sum.hc >> c->count_bits);
    t.node.count = (double)tree_count(c, item->sum.hc);
    t.node.l2 = c->l2 / c->h_unit;
    t.node.min_rows = (double)(c->config->min_rows > 1 ? c->config->min_rows : 1);
    t.node.min_hessian = c->config->min_hessian / c->h_unit;
    t.node.gini = c->mode == TREE_MODE_BINARY;
    if (tight) { /* estimated numbers are rounded */
        t.node.rows_per_h = t.node.count / t.node.h;
        t.node.min_rows -= 0.5;
    }
    return t;
}

static void take_better(const tree_context *c, uint64_t key, tree_split *best,
                        const tree_split *s) {
    if (tree_is_better(c, key, s->gain, s->feature, best->gain, best->feature))
        *best = *s;
}

/* Are the bundled features of two bins searched a column at a time? */
static int are_flags_together(const tree_context *c, const cut *t) {
    return c->bundled && c->n_fit_features == c->bundles->n_usable && t->narrow && !t->tight &&
           !c->count_is_h && !t->node.gini && !c->monotone && t->node.l2 < PACKED_ROUGH_L2;
}

static void search_flags(const cut *t, int64_t column, const int64_t *histogram, tree_split *best) {
    static const uint8_t both[2] = {0, 1};
    const tree_context *c = t->c;
    const int32_t *features;
    int64_t left[PACKED_BINS];
    uint8_t found[PACKED_BINS];
    int n = tree_bundles_flags(c, t->item, column, histogram, &features, left);
    while (n % PACKED_NEAR != 0)
        left[n++] = 0; /* no rows: not allowed */
    n = c->kernels->near(&t->node, left, n, found);
    for (int i = 0; i < n; i++) {
        tree_split s = {.feature = features[found[i]], .left = packed_widen(c, left[found[i]])};
        s.gain = tree_split_gain(c, t->item->sum, s.left);
        if (s.gain > 0)
            tree_finish_numeric(c, t->item, &s, both, 2, 0, 0);
        take_better(c, t->item->key, best, &s);
    }
}

/* The search in a histogram, some features each, and then some columns of bundles. */
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
    cut t = make_cut(c, r->item, c->is_tight);
    int64_t *scratch = c->bin_scratch + (int64_t)worker * PACKED_BINS * PACKED_DRAWN * 3;
    tree_split *best = &r->best[begin / r->grain];
    *best = (tree_split){.feature = INT32_MAX};
    int together = are_flags_together(c, &t);
    for (int64_t j = begin; j < end; j++) {
        if (j >= c->n_fit_features) {
            if (together)
                search_flags(&t, j - c->n_fit_features, r->histogram, best);
            continue;
        }
        tree_split s = {.feature = c->feature[j]};
        if (together && c->bundles->is_flag[s.feature])
            continue;
        t.cells = packed_cells(c, r->histogram, t.narrow, s.feature);
        if (c->bundled)
            t.cells = tree_bundles_cells(c, r->item, s.feature, r->histogram, t.narrow, scratch);
        search_cells(&t, &s);
        take_better(c, r->item->key, best, &s);
    }
    return LATHE_OK;
}

/* Of the root, while the other threads have nothing else to do, by all of them. */
static void search_histogram(tree_context *c, tree_item *item, const int64_t *histogram,
                             int32_t worker) {
    tree_split best[ROOT_CHUNKS];
    int64_t nf = c->n_fit_features + (c->bundled ? c->bundles->n_columns : 0);
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
        take_better(c, item->key, &item->split, &best[j / r.grain]);
}

/* The search in sums of the node's rows. */
static void search_rows(tree_context *c, tree_item *item, int tight, int32_t worker) {
    cut t = make_cut(c, item, tight);
    tree_drawer d;
    tree_drawer_start(c, item, worker, &d);
    int64_t *scratch = c->bin_scratch + (int64_t)worker * PACKED_BINS * PACKED_DRAWN * 3;
    int64_t most = d.wanted < PACKED_DRAWN ? d.wanted : PACKED_DRAWN;
    t.narrow &= !tight;
    for (;;) {
        int32_t feature[PACKED_DRAWN];
        int count = 0;
        for (int32_t j; count < most && (j = tree_drawer_next(&d)) >= 0;)
            feature[count++] = c->feature[j];
        if (count == 0)
            return;
        build_some(c, item, feature, count, scratch);
        if (tight)
            tighten(c, item, count, scratch);
        for (int k = 0; k < count; k++) {
            tree_split s = {.feature = feature[k]};
            t.cells = scratch + (int64_t)k * PACKED_BINS * (t.narrow || tight ? 1 : 2);
            tree_drawer_tell(&d, search_cells(&t, &s));
            take_better(c, item->key, &item->split, &s);
        }
        most = d.n_drawn < d.wanted ? most : 1;
    }
}

/* Of how many rows of the node does its split say left? */
static int64_t count_left(const tree_context *c, const tree_item *item) {
    int64_t n = 0, stride = c->bins->row_stride;
    const uint8_t *bins = c->bins->rows + item->split.feature;
    for (int64_t i = item->begin; i < item->end; i++)
        n += tree_bin_is_left(item->split.left_bins, bins[packed_row_at(c, i) * stride]);
    return n;
}

/* Has either side fewer rows than allowed? They are counted where the hessians leave it open. */
static int is_too_small(const tree_context *c, const tree_item *item) {
    int64_t min_rows = c->config->min_rows > 1 ? c->config->min_rows : 1;
    int64_t left = item->split.left.hc >> c->count_bits;
    int64_t right = (item->sum.hc >> c->count_bits) - left;
    if (left / c->h_most >= min_rows && right / c->h_most >= min_rows)
        return 0;
    int64_t rows = count_left(c, item);
    return rows < min_rows || item->end - item->begin - rows < min_rows;
}

void packed_search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker) {
    if (histogram)
        search_histogram(c, item, histogram, worker);
    else
        search_rows(c, item, c->is_tight, worker);
    if (!c->is_tight || item->split.gain <= 0 || !is_too_small(c, item))
        return;
    item->split.gain = 0;
    item->split.feature = INT32_MAX;
    search_rows(c, item, 0, worker);
}
