/* tree.h: what the files of the tree learner share. tree.c holds the descriptor and the method
 * table.
 *
 *   tree.c      parameters, method table, open, fit, close
 *   rows.c      which rows are in the bag, and their statistics as integers
 *   packed.c, packed_search.c, packed_load.c, packed_partition.c, packed_leaves.c, packed_kernels.c   the fast
 *               way: small integers, several to a word
 *   bundle.c    sparse features that share a column
 *   join.c      features of few bins that do
 *   columns.c   columns of the features that divide the most rows
 *   histogram.c sums of the statistics by bin, and their subtraction
 *   scan.c, scan_classes.c   the best split of one feature from its histogram
 *   monotone.c  bounds of values, where predictions must rise or fall with a feature
 *   search.c    the best split of a node
 *   partition.c the rows of a node, divided among its children
 *   subtree.c, subtree_values.c   small nodes grown to their end from copies of their rows
 *   queue.c     which leaf may be split next
 *   grow.c      growing, by several threads
 *   expand.c    the children of a node, and their histograms
 *   assign.c    the leaf of every row
 *   context.c   what is prepared once for a dataset
 *   model.c     the fitted trees as flat arrays: predict, combine, importance
 *   score.h …   sums of small trees compiled for prediction
 *   state.c     saving and loading them
 *
 * Legend: g, h: a row's gradient and hessian; G, H their sums; k classes; a "cell" is a bin's sums.
 */
#ifndef LATHE_TREE_H
#define LATHE_TREE_H

#include <lathe/learner.h>
#include <math.h>

enum { TREE_GINI = 0, TREE_ENTROPY = 1 };
enum { TREE_SUMS_AUTO = 0, TREE_SUMS_EXACT, TREE_SUMS_PACKED };
enum { TREE_FEATURES_ALL = 0, TREE_FEATURES_SQRT, TREE_FEATURES_LOG2, TREE_FEATURES_THIRD };

typedef struct tree_config {
    int64_t max_leaves; /* LATHE_INT_NULL: no bound, and so is max_depth */
    int64_t max_depth;
    int64_t min_rows;
    double min_hessian;
    double l2;
    double min_gain;
    double category_smoothing;
    int64_t max_bins;
    int32_t criterion;
    lathe_int_or_enum features_per_split;
    int32_t sums;
    int64_t gradient_levels; /* LATHE_INT_NULL: as many as fit */
    int32_t bundle;
    lathe_map monotone; /* int64_t: 1, -1 or 0, by the feature's name */
} tree_config;

/* ---- the fitted trees ------------------------------------------------------------------------ */

#define TREE_FEATURE_MASK 0x0fffffffu
#define TREE_IS_CATEGORY 0x40000000u
#define TREE_MISSING_LEFT 0x80000000u

/* An inner node; 16 bytes. child[0] is left, child[1] right: a later node's number, or ~leaf. */
typedef struct tree_node {
    uint32_t meta; /* feature | TREE_IS_CATEGORY | TREE_MISSING_LEFT */
    union {
        float threshold; /* left where x <= threshold */
        uint32_t bits;   /* where in `words`: a length n, then n words; left where bit x is set */
    } u;
    int32_t child[2];
} tree_node;

/* A sum of trees. Output o of a row is bias[o] + sum over trees t of scale[t] * the value of its
 * leaf in t. */
typedef struct tree_model {
    int32_t type; /* LATHE_OUTPUT_… */
    int64_t n_outputs;
    int64_t n_features;
    int64_t leaf_width; /* values a leaf: n_outputs, or 1 where the trees have columns */
    int64_t n_trees;
    int64_t n_nodes;
    int64_t n_leaves;
    int64_t n_words;
    double *bias;    /* [n_outputs] */
    int32_t *root;   /* [n_trees] a node's number or ~leaf */
    double *scale;   /* [n_trees] */
    int32_t *column; /* [n_trees] the output that a tree adds to; -1: to all, one to one */
    tree_node *node; /* [n_nodes] */
    double *gain;    /* [n_nodes] */
    float *value;    /* [n_leaves, leaf_width] */
    uint32_t *words; /* [n_words] */
    struct tree_scorer *scorer; /* score.h; NULL: not compiled */
} tree_model;

/* Between what the values of leaves must stay, by leaf; NULL: no bounds. */
typedef struct tree_bounds {
    float *low;
    float *high;
} tree_bounds;

typedef struct tree {
    const lathe_host *host;
    const tree_config *config;
    int32_t is_fitted;
    tree_model model;
    const void *fit_context; /* where it was fitted, and as which fit; compared only */
    int64_t fit_serial;
    tree_bounds bounds; /* of the last fit, for renewed values; not saved */
} tree;

/* ---- what a fit works on --------------------------------------------------------------------- */

/* Sums of the statistics of some rows: g in fixed point, and h in fixed point above the number of
 * rows: hc = (sum of h) << count_bits | number of rows. Integers, so the order of adding does not
 * matter. */
typedef struct tree_cell {
    int64_t g;
    int64_t hc;
} tree_cell;

/* What the cells hold and what is maximised. */
enum {
    TREE_MODE_VARIANCE = 1, /* g, h: G^2 / (H + l2) */
    TREE_MODE_BINARY = 2,   /* g: weight of class 1, h: weight */
    TREE_MODE_CLASSES = 3 /* k words a bin: the weight and the number of rows of each class; a row's
                             * record has its class in g */
};

typedef struct tree_split {
    double gain; /* <= 0: there is none */
    int32_t feature;
    int32_t bin; /* numeric: the last bin of the left side */
    int32_t is_category;
    int32_t missing_left;
    uint64_t left_bins[4]; /* bit b: bin b goes left */
    tree_cell left;        /* sums of the left side; hc alone in TREE_MODE_CLASSES */
} tree_split;

/* A row of a node in packed mode: its number | h << 32 | g << 48; or, in 4 bytes, see packed.h. */
typedef uint64_t tree_entry;

/* Places for histograms of one size. */
typedef struct tree_slots {
    int64_t **slot;   /* [n_slots] */
    int32_t *is_free; /* [n_slots] stack of the numbers of free ones */
    int32_t n_slots;
    int32_t n_made;
    int32_t n_free;
    int64_t words; /* that each has */
} tree_slots;

/* A node while the tree grows: rows[begin … end). */
typedef struct tree_item {
    int64_t begin;
    int64_t end;
    tree_cell sum;
    int32_t depth;
    int32_t parent; /* node number, -1: the root */
    int32_t side;
    int32_t leaf;       /* its number once it is one, else -1 */
    int32_t histogram;  /* slot, -1: none */
    int32_t is_wide;    /* its histogram has wide cells */
    int32_t children;   /* number of the first of two items, once it is expanded; else -1 */
    int32_t is_ready;   /* its sums and split are known */
    int32_t is_taken;   /* it is being expanded */
    int32_t is_dropped; /* it stays a leaf, or will not be one */
    int64_t order;      /* of becoming a leaf; breaks ties */
    uint64_t key;       /* of the features it draws */
    double low, high;   /* of its leaves' values, less the centre; where c->monotone is set */
    tree_split split;
} tree_item;

/* Where a feature's bins are in a histogram of bundles (bundle.c). */
typedef struct tree_place {
    int32_t column;
    int32_t
        first; /* cell of the first bin that is not the usual one; 0: the column is the feature's own */
    int32_t usual; /* the bin that has no cell */
} tree_place;

typedef struct tree_bundles {
    int64_t n_columns;
    int64_t n_usable; /* features of two bins and more */
    int64_t stride;
    uint8_t *rows;     /* [n_rows, stride] */
    int32_t *n_bins;   /* [n_columns] cells in use */
    tree_place *place; /* [n_features] */
    int32_t *flag;    /* [n_columns, 256] of each, its features of two bins of numbers, ascending */
    int32_t *n_flags; /* [n_columns] */
    uint8_t *is_flag; /* [n_features] */
} tree_bundles;

/* A feature's part of a joined column (join.c): its bins that occur are its digits. */
typedef struct tree_join {
    int32_t feature;
    int32_t column;
    int32_t n;        /* digits */
    int32_t weight;   /* a digit counts so much in the column's number */
    uint8_t bin[256]; /* of each digit */
} tree_join;

typedef struct tree_join_column {
    int32_t first; /* of its parts, ascending by weight */
    int32_t n_parts;
    int32_t n_cells; /* in use */
} tree_join_column;

typedef struct tree_joins {
    int64_t n_columns;
    int64_t n_parts;
    int64_t stride;
    uint8_t *rows;            /* [n_rows, stride] */
    tree_join *part;          /* [n_parts] one a feature */
    tree_join_column *column; /* [n_columns] */
} tree_joins;

/* A leaf of a subtree. */
typedef struct tree_leaf {
    int64_t begin; /* of its rows */
    int64_t end;
    int32_t number; /* in the tree */
    float value;
} tree_leaf;

typedef struct tree_columns tree_columns;
typedef struct tree_subtree tree_subtree;
typedef struct tree_subtree_values tree_subtree_values;

/* How small nodes are grown to their end. */
enum { TREE_SUBTREES_NONE = 0, TREE_SUBTREES_COUNTS, TREE_SUBTREES_VALUES };

typedef struct tree_context {
    const lathe_host *host; /* of the instance that opened it: all of its memory is from there */
    const lathe_datasets *datasets;
    const lathe_dataset *data;
    const tree_config *config;
    const lathe_bins *bins;
    int64_t n_rows;
    int64_t n_features;
    int32_t task;
    int32_t n_workers;
    int64_t n_classes;
    int8_t *monotone; /* [n_features] 1, -1 or 0; NULL: none is constrained */

    /* the rows of this fit (rows.c) */
    int32_t mode;
    int32_t entropy;
    int32_t is_gradient;
    int32_t count_bits;
    double g_unit; /* value of 1 in fixed point */
    double h_unit;
    double l2;
    double centre;     /* added to the values of leaves */
    int64_t n_used;    /* distinct rows in the bag */
    tree_cell *record; /* [n_rows] */
    int32_t *rows;     /* [n_rows] the rows in the bag; each node is a range */
    int32_t *spare;    /* [2 * n_rows] for the partition */
    int32_t *leaf;     /* [n_rows] the leaf of each row, see assigned */
    int32_t assigned;

    /* instead of record, rows and spare in packed mode (packed.h) */
    int32_t packed;
    int32_t count_is_h;      /* h is the number of times that a row is in the bag */
    int32_t narrow_count;    /* rows, repeats counted, of a node with narrow cells, at most */
    int32_t block_rows;      /* entries of which the sums fit into narrow cells */
    int32_t is_short;        /* entries have 4 bytes */
    int32_t is_tight;        /* cells have no number of rows */
    int32_t tight_count;     /* narrow_count of such cells */
    int64_t h_most;          /* levels of a hessian */
    int32_t entry_bytes;     /* that there is room for */
    void *entry;             /* [n_rows] as rows */
    void *entry_spare;       /* [n_rows] */
    int64_t *packed_scratch; /* [n_workers, 256 * packed_features] a narrow histogram each */
    int64_t
        packed_features; /* columns of a row that a packed histogram holds: features, or bundles */
    const uint8_t *packed_bins; /* [n_rows, packed_stride] of these columns */
    int64_t packed_stride;
    int32_t bundled; /* in this fit */
    int32_t tried_bundles;
    tree_bundles *bundles; /* NULL: none */
    int32_t joined;        /* in this fit */
    int32_t tried_joins;
    tree_joins *joins;     /* NULL: none */
    tree_columns *columns; /* columns.c; NULL: none */
    struct packed_kernels const *kernels;
    const float *gradient, *hessian; /* of the fit, for the exact values of leaves; or the
                                      * targets and weights of two classes */
    int64_t gradient_stride;
    double g_scale, h_scale; /* of the exact sums */
    tree_cell root_sum;

    /* subtree.c */
    int32_t has_subtrees; /* TREE_SUBTREES_… of this fit */
    tree_subtree *subtree;
    tree_subtree_values *subtree_values;
    tree_leaf *sub_leaf; /* [n_sub_leaves] */
    int64_t n_sub_leaves;
    int64_t sub_leaf_capacity;

    /* the features of this fit */
    int32_t *feature; /* [n_fit_features] those with two bins and more, ascending */
    int64_t n_fit_features;
    int64_t per_split; /* how many are drawn for a node; n_fit_features: all */
    int ties_drawn;    /* else the lower feature wins */
    uint32_t *offset;  /* [n_fit_features + 1] first cell of each feature in a histogram */
    int64_t width;     /* int64 words a cell: 2, or the number of classes */

    /* histograms kept for subtraction, and scratch */
    tree_slots slots;      /* narrow cells in packed mode */
    tree_slots wide_slots; /* packed mode: of nodes of too many rows for narrow cells */
    int64_t slot_words;    /* of this fit */
    int64_t n_cells;       /* that are in use of them */
    int64_t *partial;      /* [n_partial, slot_words] of the chunks of a parallel build */
    int64_t n_partial;
    int partial_busy;
    int64_t *bin_scratch;  /* [n_workers, 256 * width] one feature's histogram; packed: of 8 */
    int64_t scratch_width; /* widest cell that bin_scratch and class_scratch have room for */
    int32_t *order;        /* [n_workers, n_features] for drawing */
    double *class_scratch; /* [n_workers + 1, 2 * k] the node's totals, then each worker's */

    /* the tree that grows */
    tree_item *item; /* [item_capacity] */
    int64_t n_items;
    int64_t item_capacity;
    int32_t *heap; /* [item_capacity] */
    int64_t n_heap;
    tree_node *node;          /* [node_capacity] */
    double *gain;             /* [node_capacity] */
    uint64_t (*left_bins)[4]; /* [node_capacity] bins that go left, by node */
    int64_t n_nodes;
    int64_t node_capacity;
    int64_t n_leaves; /* that there were, those split since included */
    uint32_t *words;
    int64_t n_words;
    int64_t word_capacity;
    uint64_t key;
    int64_t serial; /* of the last fit; its instance knows it */
} tree_context;

static inline int64_t tree_count(const tree_context *c, int64_t hc) {
    return hc & (((int64_t)1 << c->count_bits) - 1);
}

/* Of the sides of a split the larger one has more rows; where their number is not known yet, more weight. */
static inline int64_t tree_size(const tree_context *c, int64_t hc) {
    return c->is_tight ? hc >> c->count_bits : tree_count(c, hc);
}

static inline double tree_weight(const tree_context *c, int64_t hc) {
    return (double)(hc >> c->count_bits) * c->h_unit;
}

/* The bins of a feature, column-major; after tree_context_columns. */
static inline const uint8_t *tree_column(const tree_context *c, int32_t feature) {
    return c->bins->columns + (int64_t)feature * c->bins->column_stride;
}

/* A key made of another, all bits of which depend on all (D. Stafford's variant 13 of the finaliser
 * of MurmurHash3, as in SplitMix64; Steele, Lea & Flood 2014). */
static inline uint64_t tree_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Is a cut better than the best so far, in the node of this key? Small nodes of a full tree have many cuts of
 * equal gain. An order of the features that is the node's own decides between them: trees that all prefer the
 * same features err alike, and their mean is the worse for it. In boosting, whose trees see each other's
 * errors, the lower feature wins. */
static inline int tree_is_better(const tree_context *c, uint64_t key, double gain, int32_t feature,
                                 double best_gain, int32_t best) {
    if (gain != best_gain || !(gain > 0))
        return gain > best_gain;
    if (!c->ties_drawn)
        return feature < best;
    uint64_t here = tree_mix(key ^ tree_mix((uint64_t)feature));
    uint64_t there = tree_mix(key ^ tree_mix((uint64_t)best));
    return here != there ? here < there : feature < best;
}

/* A grain, of `least` at least, that divides n evenly among the workers, into so many chunks each at most. */
static inline int64_t tree_even_grain(int64_t n, int64_t least, int32_t workers, int64_t each) {
    int64_t chunks = n / least < each * workers ? n / least : each * workers;
    if (chunks > workers)
        chunks -= chunks % workers;
    return chunks > 1 ? (n + chunks - 1) / chunks : n > 1 ? n : 1;
}

static inline int tree_bin_is_left(const uint64_t *bins, int b) {
    return (int)(bins[b >> 6] >> (b & 63) & 1);
}

int32_t tree_fail(lathe_error *err, int32_t code, const char *where, const char *format, ...);

/* rows.c: fills rows, record and their units from what is to be fitted. */
int32_t tree_rows_load(tree_context *c, const lathe_fit *fit, lathe_error *err);

/* histogram.c */
void tree_histogram_build(tree_context *c, const int32_t *rows, int64_t n, int64_t *histogram);
void tree_histogram_subtract(const tree_context *c, int64_t *from, const int64_t *other);
/* One feature, column-major, of any number of rows: fills bins[] with the numbers of the bins that
 * hold rows, ascending, and their cells; cells of other bins are undefined. Returns how many. */
int tree_histogram_feature(const tree_context *c, const int32_t *rows, int64_t n, int32_t feature,
                           int64_t *cells, uint8_t *bins);
int tree_histogram_occupied(const tree_context *c, const int64_t *cells, int n_bins, uint8_t *bins);

/* scan.c, scan_classes.c: the best split of one feature with the given occupied bins; gain 0: none.
 * For classes, `total` is [k] weights in fixed point and `scratch` [2 * k]. */
void tree_scan(const tree_context *c, const tree_item *item, int32_t feature,
               const tree_cell *cells, const uint8_t *bins, int n_bins, tree_split *split);
void tree_scan_classes(const tree_context *c, const tree_item *item, int32_t feature,
                       const int64_t *cells, const uint8_t *bins, int n_bins, const double *total,
                       double *scratch, tree_split *split);
double tree_score(const tree_context *c, double g, double h);
double tree_score_classes(const tree_context *c, const double *weight, double sum);
double tree_gain(const tree_context *c, double sides, double node);
/* Of two classes, or a sum of squares: of a node with this sum and this left side. */
double tree_split_gain(const tree_context *c, tree_cell sum, tree_cell left);
void tree_sort_bins(const double *key, uint8_t *bins, int n); /* ascending, ties by bin */
void tree_finish_numeric(const tree_context *c, const tree_item *item, tree_split *s,
                         const uint8_t *list, int n, int position, int has_missing);
void tree_finish_category(const tree_context *c, const tree_item *item, tree_split *s,
                          const uint8_t *list, int n, int position);

/* monotone.c */
int32_t tree_monotone_open(tree_context *c, lathe_error *err);
/* Must this feature's splits of the item mind bounds? Then the scores are these; sign: of the feature; -INFINITY: the
 * split is not allowed. */
static inline int tree_is_bounded(const tree_context *c, const tree_item *item, int32_t feature) {
    return c->monotone && (c->monotone[feature] || item->low > -INFINITY || item->high < INFINITY);
}
double tree_bounded_score(const tree_context *c, const tree_item *item, int sign, double gl,
                          double hl, double gr, double hr);
double tree_bounded_gain(const tree_context *c, const tree_item *item, int sign, tree_cell left);
/* The bounds of the children of an item that will be split so. */
void tree_bounds_hand_down(const tree_context *c, const tree_item *item, tree_item *left,
                           tree_item *right);
/* Takes the bounds of the grown leaves and brings the values within them. */
int32_t tree_bounds_take(const tree_context *c, const lathe_host *host, int64_t n_leaves,
                         float *value, tree_bounds *b, lathe_error *err);
float tree_bounds_apply(const tree_bounds *b, int64_t leaf, float value);
void tree_bounds_free(const lathe_host *host, tree_bounds *b);

/* search.c: fills item->split; histogram NULL: made from the rows. `worker`: who searches. */
void tree_search(tree_context *c, tree_item *item, const int64_t *histogram, int32_t worker);

/* The features that a node looks at, as positions in c->feature: all, or a random draw. */
typedef struct tree_drawer {
    uint64_t key;
    uint64_t drawn; /* bit set, up to 64 features */
    int32_t *pick;  /* more: a shuffle under way */
    int64_t n;      /* features */
    int64_t wanted; /* n: all */
    int64_t n_drawn;
    int64_t n_usable; /* that were not constant */
} tree_drawer;

void tree_drawer_start(tree_context *c, const tree_item *item, int32_t worker, tree_drawer *d);
int32_t tree_drawer_next(tree_drawer *d); /* -1: no more */
/* Was the feature more than constant in this node? While none was, drawing goes on. */
static inline void tree_drawer_tell(tree_drawer *d, int usable) {
    d->n_usable += usable;
}

/* partition.c: orders the rows of the node in place, those that go left first, both sides ascending
 * as before. Returns how many go left. */
int64_t tree_partition(tree_context *c, const tree_item *item);

/* expand.c: finds the children of an item, which get the numbers `first` and first + 1: their rows,
 * sums, histograms and best splits. `last`: nobody will split them. */
typedef struct tree_expansion {
    int32_t item;
    int32_t first;
    int32_t small_slot; /* for the histogram of the smaller child, -1: none */
    int32_t large_slot;
    int32_t last;
    int32_t alone;      /* no other is under way: all threads may help */
    const int *is_done; /* 1: nobody wants it any more; NULL: somebody does */
} tree_expansion;
void tree_expand(tree_context *c, const tree_expansion *x, int32_t worker);
/* Takes and gives back places for histograms; one thread. */
void tree_expansion_reserve(tree_context *c, tree_expansion *x);
void tree_expansion_settle(tree_context *c, const tree_expansion *x);
int tree_item_may_split(const tree_context *c, const tree_item *item);
void tree_slots_reset(tree_slots *s);
void tree_item_release(tree_context *c, tree_item *item);
/* Of a leaf that will not be split: gives back what it and all that was found below it hold; later, what is taken. */
void tree_item_forget(tree_context *c, tree_item *item);
void tree_start_root(tree_context *c);

/* subtree.c: grows all that is below a small node, for trees without a bound on the leaves: of two counted classes, or
 * (subtree_values.c) of values and gradients with exact sums. */
int64_t tree_subtree_rows(const tree_context *c); /* at most */
int tree_subtree_suits(const tree_context *c, const tree_item *item);
int32_t tree_subtree_prepare(tree_context *c, lathe_error *err);
void tree_subtree_free(const lathe_host *host, tree_subtree *s);
int32_t tree_subtree_grow(tree_context *c, int32_t item, lathe_error *err);
/* Room for what n rows can become. */
int32_t tree_subtree_reserve(tree_context *c, int64_t n, lathe_error *err);
int64_t tree_values_rows(const tree_context *c);
int32_t tree_values_prepare(tree_context *c, lathe_error *err);
void tree_values_free(const lathe_host *host, tree_subtree_values *s);
int32_t tree_values_grow(tree_context *c, int32_t item, lathe_error *err);

/* Appends a node, and tells its parent. */
int32_t tree_make_node(tree_context *c, const tree_split *split, int32_t parent, int32_t side,
                       lathe_error *err);
int32_t tree_reserve_nodes(tree_context *c, int64_t more, lathe_error *err);

/* queue.c: of the leaves that may be split, the next is the first; it is there. */
void tree_queue_push(tree_context *c, int32_t item);
int32_t tree_queue_first(const tree_context *c);
void tree_queue_pop(tree_context *c);
/* Drops the leaves that come after the next `remaining`. */
void tree_queue_drop(tree_context *c, int64_t remaining);
/* The first that is not expanded, nor being so; else one below an expanded leaf. -1: there is none, or `most` and more
 * come before it. */
int32_t tree_queue_open(const tree_context *c, int64_t most);

/* grow.c: grows c's tree. */
int32_t tree_grow(tree_context *c, lathe_error *err);

/* assign.c: fills c->leaf for every row of the dataset. */
int32_t tree_assign_leaves(tree_context *c, lathe_error *err);

/* In a loop that waits for another thread. */
static inline void tree_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* context.c */
int32_t tree_open(void *self, const lathe_open *open, void **context, lathe_error *err);
void tree_close(void *self, void *context);
/* Chooses the features of a fit and makes room for their histograms; after tree_rows_load. */
int32_t tree_context_prepare(tree_context *c, const lathe_fit *fit, lathe_error *err);
/* c->bins with columns. */
int32_t tree_context_columns(tree_context *c, lathe_error *err);
/* Room for rows: exact (with columns), or packed. */
int32_t tree_context_exact(tree_context *c, lathe_error *err);
int32_t tree_context_packed(tree_context *c, lathe_error *err);

/* model.c */
int32_t tree_model_alloc(const lathe_host *host, tree_model *m, lathe_error *err);
void tree_model_free(const lathe_host *host, tree_model *m);
int64_t tree_model_scratch(const tree_model *m, int64_t rows);
int32_t tree_model_leaf(const tree_model *m, int64_t t, const float *x);
int32_t tree_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                     void *scratch, lathe_error *err);
int32_t tree_combine(void *self, const lathe_combine *combine, lathe_error *err);
int32_t tree_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                        lathe_error *err);

/* state.c */
int32_t tree_save(const void *self, const lathe_writer *writer, lathe_error *err);
int32_t tree_load(void *self, const lathe_reader *reader, lathe_error *err);

#endif
