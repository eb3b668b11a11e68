/* packed.h: sums of small integers, several to a word.
 *
 * Gradients are rounded to a few hundred levels, up or down at random by a number of the row's own,
 * so that no sum is biased (Y. Shi et al., "Quantized training of gradient boosting decision
 * trees", NeurIPS 2022), and a row adds one word to each of its bins:
 *
 *     g << 40 | h << 16 | 1       g signed, 24 bits; h 24 bits; the number of rows 16 bits
 *
 * A histogram of such narrow cells has 2 KiB a feature, where {g, hc} takes 4: it mostly stays in
 * the first-level cache. Where sums could outgrow the fields, blocks of rows that cannot are summed
 * one after the other and added to wide cells, tree_cell. All sums are of integers: neither the
 * threads nor the blocks nor the kernels change a bit.
 *
 * Where the levels are at most 15 and all features numeric and without a constraint, cells are tight: g << 16 | h in 32
 * bits, and g << 32 | h where they are wide, so that those of 28 features stay in the first-level cache. The number of
 * rows on a side of a cut is then taken to be in proportion to its hessians. Of the best cut it is counted where it could
 * be too small; if it is, the node is searched again with sums that know it.
 *
 * Unweighted rows of two classes are counts anyway (g of class 1, h all): there nothing is rounded,
 * and h itself is the number of rows. Weights of two classes are rounded as gradients are.
 */
#ifndef LATHE_TREE_PACKED_H
#define LATHE_TREE_PACKED_H

#include "tree.h"

enum {
    PACKED_BINS = 256,         /* cells a feature */
    PACKED_PARALLEL = 1 << 15, /* row x feature updates that are worth several threads */
    PACKED_MAX_COUNT =
        65535, /* rows, repeats counted, of a narrow cell; c->narrow_count of a fit */
    PACKED_NEAR = 16,
    PACKED_DRAWN = 8 /* features whose histograms are made in one pass */
};

#define PACKED_ROUGH_L2 0x1p40 /* in units of h: far from where a float overflows */

/* What the scores of a node's cuts depend on. All in units of the integers. */
typedef struct packed_node {
    double g, h, count; /* of the node */
    double l2;
    double min_rows, min_hessian;
    int gini;
    double rows_per_h; /* tight cells */
} packed_node;

/* Sums of the bins 0 … b, in double, which holds them exactly. */
typedef struct packed_sums {
    double g[PACKED_BINS];
    double h[PACKED_BINS];
    double count[PACKED_BINS];
} packed_sums;

/* What kernels->round rounds, and how. */
typedef struct packed_rounding {
    const float *gradient, *hessian; /* or targets and weights */
    int64_t stride;
    const int64_t *row_id; /* NULL: the row's own number */
    const int32_t *rows;   /* NULL: all */
    uint32_t seed;
    float g_scale, h_scale;
    int32_t g_most, h_most;
} packed_rounding;

/* Chosen by the processor; all give the same bits. */
typedef struct packed_kernels {
    /* Rounds n gradients (hessian NULL: 1) of the rows with these numbers; see packed_load.c. */
    void (*round)(const packed_rounding *r, int64_t begin, int64_t n, void *out, int is_short);
    /* The same for weights of two classes: h the weight, at least 1 where it is not 0, g that of
     * class 1. */
    void (*weigh)(const packed_rounding *r, int64_t begin, int64_t n, tree_entry *out);
    /* The best cut after one of the bins 0 … n-1, whose running sums these are: its score, or -1
     * where none is allowed. Of equal ones the first. */
    double (*best)(const packed_node *node, const packed_sums *sums, int n, int *position);
    /* The same for narrow cells, with `first` on the left before them; and what is on the left. */
    double (*narrow)(const packed_node *node, const int64_t *cells, int n, int64_t first,
                     int count_is_h, int *position, int64_t *left);
    /* The same for tight cells, of 32 bits or of 64; `first` and *left are of 64. */
    double (*tight)(const packed_node *node, const void *cells, int is_wide, int n, int64_t first,
                    int *position, int64_t *left);
    /* The same for two classes of counted rows, from running sums `rows | ones << 16`; what counts is
     * (gl H - G hl)^2 / (hl hr), see scan.c, and both sides must have `least` rows. */
    double (*best_counts)(const uint32_t *sums, int n, uint32_t all, int32_t least, int *position);
    /* Of cuts with these narrow sums on the left, in any order: those whose scores of sums of squares may be the greatest,
     * ascending. n is a multiple of PACKED_NEAR, at most 256, and l2 below PACKED_ROUGH_L2. */
    int (*near)(const packed_node *node, const int64_t *left, int n, uint8_t *found);
    /* Cells [n, weight], of 64 bits or of 32: sums[n] of each row of them; the first row becomes the sum of all. */
    void (*collapse)(int64_t *cells, int weight, int n, int is_tight, int64_t *sums);
} packed_kernels;

const packed_kernels *packed_kernels_choose(const lathe_host *host);

/* Where the levels are few, and the rows, an entry has 4 bytes: h | g << 4 | row << 8, h and g of 4 bits. The functions
 * take is_short as an argument, so that loops are compiled for either. */
enum { PACKED_SHORT_LEVELS = 15, PACKED_SHORT_ROWS = 1 << 24 };

static inline int64_t packed_entry_bytes(int is_short) {
    return is_short ? (int64_t)sizeof(uint32_t) : (int64_t)sizeof(tree_entry);
}

static inline void *packed_at(void *entries, int64_t i, int is_short) {
    return (char *)entries + i * packed_entry_bytes(is_short);
}

static inline const void *packed_from(const void *entries, int64_t i, int is_short) {
    return (const char *)entries + i * packed_entry_bytes(is_short);
}

static inline tree_entry packed_get(const void *entries, int64_t i, int is_short) {
    return is_short ? ((const uint32_t *)entries)[i] : ((const tree_entry *)entries)[i];
}

static inline void packed_put(void *entries, int64_t i, tree_entry e, int is_short) {
    if (is_short)
        ((uint32_t *)entries)[i] = (uint32_t)e;
    else
        ((tree_entry *)entries)[i] = e;
}

static inline int64_t packed_row(tree_entry e, int is_short) {
    return is_short ? (int64_t)(e >> 8) : (int64_t)(uint32_t)e;
}

/* The row of an entry of the context's. */
static inline int64_t packed_row_at(const tree_context *c, int64_t i) {
    return packed_row(packed_get(c->entry, i, c->is_short), c->is_short);
}

static inline int64_t packed_entry_g(tree_entry e, int is_short) {
    return is_short ? (int8_t)e >> 4 : (int64_t)e >> 48;
}

static inline int64_t packed_entry_h(tree_entry e, int is_short) {
    return is_short ? (int64_t)(e & 15) : (int64_t)(e >> 32 & 0xffff);
}

static inline int64_t packed_value(tree_entry e, int is_short, int count_is_h) {
    int64_t g = packed_entry_g(e, is_short), h = packed_entry_h(e, is_short);
    return g * ((int64_t)1 << 40) + h * 65536 + (count_is_h ? h : 1);
}

/* Fields of a narrow cell. */
static inline int64_t packed_g(int64_t v) {
    return v >> 40;
}

static inline int64_t packed_h(int64_t v) {
    return v >> 16 & 0xffffff;
}

static inline int64_t packed_count(int64_t v) {
    return v & 0xffff;
}

/* A tight cell of 32 bits as one of 64. */
static inline int64_t packed_loosen(uint32_t v) {
    return ((int64_t)(int32_t)v >> 16) * ((int64_t)1 << 32) + (int64_t)(v & 0xffff);
}

static inline tree_cell packed_of_tight(const tree_context *c, int64_t v) {
    return (tree_cell){v >> 32, (int64_t)(uint32_t)v << c->count_bits};
}

static inline int64_t packed_cell_bytes(const tree_context *c, int narrow) {
    return (c->is_tight ? 4 : 8) * (narrow ? 1 : 2);
}

/* The cells of a column of a histogram. */
static inline const int64_t *packed_cells(const tree_context *c, const int64_t *histogram,
                                          int narrow, int64_t column) {
    const char *at = (const char *)histogram;
    return (const int64_t *)(const void *)(at +
                                           column * PACKED_BINS * packed_cell_bytes(c, narrow));
}

static inline tree_cell packed_widen(const tree_context *c, int64_t v) {
    tree_cell cell = {packed_g(v), (packed_h(v) << c->count_bits) + packed_count(v)};
    return cell;
}

/* Cell i of a histogram whose cells have their number of rows. */
static inline tree_cell packed_cell(const tree_context *c, const int64_t *h, int64_t i,
                                    int narrow) {
    return narrow ? packed_widen(c, h[i]) : ((const tree_cell *)(const void *)h)[i];
}

static inline int64_t packed_narrow(const tree_context *c, tree_cell cell) {
    return cell.g * ((int64_t)1 << 40) + (cell.hc >> c->count_bits) * 65536 +
           tree_count(c, cell.hc);
}

/* scan.c: the kernel's view of a node, and the best cut after one of n_cuts cells (those of the list; NULL: in order),
 * with `first` already on the left; *best is replaced where this one's score is above. For sums of squares and Gini. */
typedef struct tree_best_cut {
    double score;
    int position; /* in the list; -1: none */
    int missing_left;
    tree_cell left;
} tree_best_cut;

packed_node tree_node_sums(const tree_context *c, tree_cell sum);
void tree_best_of_cells(const tree_context *c, const packed_node *node, const tree_cell *cells,
                        const uint8_t *list, int n_cuts, tree_cell first, int missing_left,
                        tree_best_cut *best);

/* bundle.c: c->bundles, where they are worth it. */
void tree_bundles_make(tree_context *c);
void tree_bundles_free(const lathe_host *host, tree_bundles *b);
/* The cells of a feature of a bundled histogram; scratch: 2 * PACKED_BINS words. */
const int64_t *tree_bundles_cells(const tree_context *c, const tree_item *item, int32_t feature,
                                  const int64_t *histogram, int narrow, int64_t *scratch);

/* join.c: c->joins, where they are worth it. */
void tree_joins_make(tree_context *c);
void tree_joins_free(const lathe_host *host, tree_joins *j);
/* Are the sums of so many rows faster by them? */
int tree_joins_pay(const tree_context *c, int64_t n);
/* Adds the narrow cells of joined columns, which it uses up, to a histogram. */
void tree_joins_flush(const tree_context *c, int64_t *from, int64_t *to, int to_is_narrow);

/* What would be left of a cut of each feature of two bins that the column holds, in narrow cells. Returns how many. */
int tree_bundles_flags(const tree_context *c, const tree_item *item, int64_t column,
                       const int64_t *histogram, const int32_t **features, int64_t *left);

/* columns.c. Before a tree grows: which features have columns. */
void tree_columns_choose(tree_context *c);
void tree_columns_free(const lathe_host *host, tree_columns *k);
/* The column of a feature by which so many rows are to be divided; NULL: it has none. */
const uint8_t *tree_columns_of(const tree_context *c, int32_t feature, int64_t n_rows);

/* packed_load.c. May this fit be packed? */
int packed_suits(const tree_context *c, const lathe_fit *fit, const float *weight);
/* Fills entry, n_used and the units; the rows are checked as in rows.c. */
int32_t packed_load(tree_context *c, const lathe_fit *fit, const float *target, const float *weight,
                    lathe_error *err);
/* packed_leaves.c: where the sums were rounded, sets the values of leaves from exact sums, and
 * `fitted` where all rows are used. */
static inline int packed_rounds(const tree_context *c) {
    return c->packed && !c->count_is_h;
}
int32_t packed_leaf_values(tree_context *c, float *value, const lathe_fit *fit, lathe_error *err);

/* packed.c */
void packed_build(tree_context *c, const tree_item *item, int64_t *histogram, int32_t worker);
void packed_subtract(const tree_context *c, int64_t *from, int from_is_narrow, int64_t *to,
                     int to_is_narrow, const int64_t *other, int other_is_narrow);
/* packed_search.c */
void packed_search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker);

/* Adds rows, at most c->block_rows, to narrow cells; joined: of c->joins, whose cells are no histogram yet. */
void packed_add(const tree_context *c, const void *entries, int64_t n, int joined, int64_t *cells);
void packed_clear(const tree_context *c, int64_t *histogram, int narrow);
void packed_clear_narrow(const tree_context *c, int64_t *cells, int joined);
/* Adds narrow cells, which may be used up, to others. */
void packed_flush(const tree_context *c, int joined, int64_t *restrict from, int64_t *restrict to,
                  int to_is_narrow);

/* A worker's narrow histogram, for what is over before it calls anybody. */
static inline int64_t *packed_scratch_of(const tree_context *c, int32_t worker) {
    return c->packed_scratch + worker * c->slot_words;
}

/* Held for the time of a packed_flush. */
static inline void packed_lock(int *l) {
    while (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(l, __ATOMIC_RELAXED)) {
        }
}

static inline void packed_unlock(int *l) {
    __atomic_store_n(l, 0, __ATOMIC_RELEASE);
}

/* packed_partition.c. Orders the entries of the node in place, those that go left first, both sides
 * ascending as before, and makes the histogram of `child`, one of its children, on the way (NULL:
 * of none). `alone`: other threads have little else to do. Returns how many go left. */
int64_t packed_partition(tree_context *c, const tree_item *item, const tree_item *child,
                         int64_t *histogram, int alone, int32_t worker);

#endif
