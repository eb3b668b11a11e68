/* compile.h: what the files of the compiler share (score.h).
 *
 *   compile_features.c   features to columns and keys, thresholds to ranks
 *   compile_trees.c      trees unfolded, to ops, sets and steps
 *   compile.c            the order of all that, and its memory
 */
#ifndef LATHE_TREE_COMPILE_H
#define LATHE_TREE_COMPILE_H

#include "score.h"

enum { COMPILE_RECORDS = 2 * SCORE_LEAVES - 1 };

/* One tree unfolded, breadth first: the children of an inner record are adjacent. */
typedef struct unfolded {
    int32_t n;
    int32_t n_leaves;
    int32_t at[COMPILE_RECORDS];   /* node of the model, or ~leaf */
    int32_t left[COMPILE_RECORDS]; /* record of the left child; 0: a leaf */
    int32_t leaf[COMPILE_RECORDS]; /* number of the leaf in this tree */
    int32_t
        need[COMPILE_RECORDS]; /* slots to evaluate it (Sethi & Ullman 1970); a leaf needs none */
    double depth;              /* of a row that goes each way equally often */
} unfolded;

/* What is known of a feature while compiling. */
typedef struct found {
    uint64_t name;  /* feature, and whether as a category */
    int64_t n;      /* nodes */
    int64_t first;  /* of its slots in `key` and `rank` */
    int64_t mask;   /* slots - 1 */
    int32_t n_keys; /* distinct thresholds */
    uint32_t uses;
    uint32_t n_codes;
} found;

typedef struct compiler {
    const lathe_host *host;
    const tree_model *m;
    tree_scorer *s;
    found *feature; /* [n_features] */
    int64_t n_features;
    int32_t *index; /* [index_mask + 1] open addressing: feature + 1; 0: empty */
    uint64_t index_mask;
    int32_t *of_node;   /* [n_nodes] feature */
    uint32_t *slot;     /* [n_nodes] where the threshold's key is, from its feature's first */
    uint32_t *key;      /* open addressing by feature; 0: empty (no float has this key) */
    uint8_t *rank;      /* of each key among its feature's */
    int32_t *n_records; /* [n_trees] of each, unfolded */
    int64_t n_sets, n_ops, n_steps, n_leaves, n_words;
    double depth; /* of all trees */
    int64_t most_sets;
    int32_t is_small; /* do blocks hold it? */
} compiler;

static inline void *compile_array(const lathe_host *host, int64_t n, size_t size) {
    return host->alloc(host, (uint64_t)(n > 0 ? n : 1) * size);
}

/* Words of the bits of a category feature's codes, those of ours included. */
static inline int64_t compile_words(const found *f) {
    return ((int64_t)f->n_codes + 2 + 31) / 32;
}

/* compile_features.c; 0: no memory, or (check) too large. */
int32_t compile_find_features(compiler *c);
int32_t compile_find_thresholds(compiler *c);
int32_t compile_check_features(compiler *c);
/* The scorer's coders and tables; the first column is `unit`. */
void compile_place_features(compiler *c, int64_t unit);

/* compile_trees.c */
int32_t compile_measure(compiler *c); /* sizes of everything; 0: too large */
/* Tree `from` of the model as the scorer's tree `to`, with its steps from `first` on. */
void compile_add_tree(compiler *c, int64_t from, int64_t to, int64_t first);

#endif
