/* score.h: the compiled form of a sum of trees of at most 256 leaves, made once by tree_combine and
 * tree_load; it gives the bits of the naive walk.
 *
 *   compile.h … features to columns, thresholds to ranks, trees to programs and to steps
 *   score.c     a batch: blocks of rows, or row by row where there are few
 *   encode.c    a block's values as codes
 *   blocks.c, blocks_avx2.c, blocks_avx512.c   a program on a block, one file a CPU level
 *   steps.c     one row through eight trees at a time
 *
 * On a block (RapidScorer's idea, Ye et al. 2018, turned bottom up): a value is coded by the number
 * of its feature's thresholds below it, in a byte, so a question is one comparison of a vector of
 * rows. A tree is evaluated from its leaves upwards: an inner node's result is, for each row, the
 * result of the child that the row takes; the root's is the number of the row's leaf. That is one
 * comparison and one blend a node, without a branch. Then each row adds the values of its leaves.
 *
 * One row: eight lanes walk the trees side by side, a step a lane in turn, so that their loads
 * overlap. Lane l has the trees l, l + 8, …, one behind the other: a leaf is noted and steps on to the
 * root of the lane's next tree, so nothing waits for the longest path and no branch is guessed wrong.
 * Values and thresholds are integers that order as the floats do.
 *
 * Missing values are no case of their own: a feature has two columns, one where a missing value lies
 * below all thresholds and one where it lies above, and a node reads the one that fits it.
 */
#ifndef LATHE_TREE_SCORE_H
#define LATHE_TREE_SCORE_H

#include "tree.h"

#include <string.h>

enum {
    SCORE_LEAVES = 256, /* of a tree, at most */
    SCORE_EDGES = 255,  /* distinct thresholds of a feature, at most, for blocks */
    SCORE_CODES = 254,  /* categories of a feature, at most, for blocks: two codes are ours */
    SCORE_LANES = 8,    /* trees that one row walks at once */
    SCORE_LEAF = 0,     /* keys of leaves and of a lane's end: they are 0, never above anything */
    SCORE_END = 1,
    SCORE_GROUP = 16, /* trees evaluated on a block before their leaves are added */
    SCORE_SLOTS = 8,  /* results kept while a tree of 256 leaves is evaluated */
    /* Units of the memory of a block, each of one byte a row: slots, leaf numbers of a group, constants
     * 0 … n_constants-1, then the columns. */
    SCORE_AT_LEAVES = SCORE_SLOTS,
    SCORE_AT_CONSTANTS = SCORE_SLOTS + SCORE_GROUP,
    SCORE_TABLE = 16 + 256 /* floats of a numeric feature: every 16th edge, then all, then inf */
};

/* One inner node on a block: to = column < below ? left : right; all but `below` are units. */
typedef struct score_op {
    uint16_t column;
    uint16_t left;
    uint16_t right;
    uint8_t to;
    int8_t below;
} score_op;

/* One categorical node: to = left as -1, right as 0; the bits of the codes that go left. */
typedef struct score_set {
    uint16_t column; /* of code / 8; 1 << code % 8 is in the next one */
    uint16_t to;
    uint8_t bits[32];
} score_set;

/* A node for one row: 8 bytes, children adjacent. */
typedef struct score_step {
    uint32_t
        value;     /* key of the threshold; category: where its bits are; leaf: its value's bits, or
                       its number where leaf_width > 1 */
    uint16_t key;  /* of the row, or SCORE_LEAF, SCORE_END */
    uint16_t left; /* how far the left child is; leaf: the next tree's root; end: 0 */
} score_step;

typedef struct score_tree {
    double scale;
    int64_t op, set; /* where its ops and sets begin */
    int32_t n_ops, n_sets;
    int64_t step; /* of its root */
    int64_t
        leaf; /* where the numbers of its leaves begin; a leaf's step has its place from there */
    int32_t n_leaves;
    int32_t output;
} score_tree;

/* How one feature becomes columns (for blocks) and keys (for a row). Absent ones are 0. */
typedef struct score_coder {
    int32_t feature;
    int32_t is_category;
    uint32_t n_codes;   /* category: codes from here on are unknown, n_codes + 1 is missing */
    uint16_t low, high; /* units; category: low alone */
    uint16_t low_key, high_key; /* category: low_key alone */
    int64_t table;              /* numeric: its SCORE_TABLE floats, as a number of such tables */
} score_coder;

struct tree_scorer;

/* What depends on the CPU's level. */
typedef struct score_kernels {
    int64_t rows; /* of a block: bytes of a unit */
    void (*run)(const score_op *op, int64_t n, uint8_t *memory, int64_t vectors);
    void (*test)(const score_set *set, int64_t n, uint8_t *memory, int64_t vectors);
    /* Codes of `rows` values, stride apart, less 128; low and high may be NULL. */
    void (*encode)(const float *table, const float *x, int64_t stride, int64_t rows, int8_t *low,
                   int8_t *high);
    int64_t vector; /* rows of one */
} score_kernels;

extern const score_kernels score_kernels_plain;
#if defined(__x86_64__)
extern const score_kernels score_kernels_avx2;
extern const score_kernels score_kernels_avx512;
#endif

typedef struct tree_scorer {
    const score_kernels *kernels;
    int64_t n_coders;
    score_coder *coder;
    float *table; /* [tables, SCORE_TABLE] */
    int64_t n_trees;
    score_tree
        *tree; /* [n_trees] in the order of their outputs, each output's in their own order */
    score_op *op;
    score_set *set;
    int64_t n_units;     /* 0: no blocks, one row at a time only */
    int64_t n_constants; /* the most leaves of a tree */
    int64_t few;         /* batches of fewer rows go row by row */
    double *value;       /* [leaves of all trees] scale * value; leaf_width 1 */
    int32_t *leaf;       /* [leaves of all trees] numbers of the model's leaves; leaf_width > 1 */
    score_step *step;    /* lane by lane */
    uint32_t *bits;      /* of categories, for steps */
    int64_t n_keys;
    uint32_t first_category;   /* keys from here on are categories */
    int64_t lane[SCORE_LANES]; /* first step of each */
    int64_t per_lane;          /* trees of a lane, at most, and 1 */
} tree_scorer;

/* A float as an integer of the same order; NaN is none of them. */
static inline uint32_t score_key(float v) {
    uint32_t bits;
    v += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* compile.c: *scorer stays NULL where the trees are too large. */
int32_t tree_scorer_make(const lathe_host *host, const tree_model *m, tree_scorer **scorer,
                         lathe_error *err);
void tree_scorer_free(const lathe_host *host, tree_scorer *s);

static inline int64_t score_align(int64_t bytes) {
    return (bytes + 63) & ~(int64_t)63;
}

/* score.c: scratch as tree_scorer_scratch says. */
int64_t tree_scorer_scratch(const tree_scorer *s, const tree_model *m, int64_t rows);
void tree_scorer_predict(const tree_scorer *s, const tree_model *m, int64_t n, const float *x,
                         int64_t stride, float *out, void *scratch);

/* encode.c: a block's codes into its columns. */
void score_encode(const tree_scorer *s, const float *x, int64_t stride, int64_t rows,
                  uint8_t *memory);
void score_encode_plain(const float *table, const float *x, int64_t stride, int64_t rows,
                        int8_t *low, int8_t *high);
/* The code of a category. */
static inline uint32_t score_code(const score_coder *c, float v) {
    if (v != v)
        return c->n_codes + 1;
    return v >= 0 && v < (float)c->n_codes ? (uint32_t)v : c->n_codes;
}

/* blocks.c: sets without byte shuffles. */
void score_test_plain(const score_set *set, int64_t n, uint8_t *memory, int64_t vectors);

/* steps.c: one row; scratch of score_row_bytes. */
int64_t score_row_bytes(const tree_scorer *s, const tree_model *m);
void score_row(const tree_scorer *s, const tree_model *m, const float *x, float *out,
               void *scratch);

#endif
