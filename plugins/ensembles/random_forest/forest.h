/* forest.h: what the files of random_forest share.
 *
 *   random_forest.c  parameters, method table, contexts, predict, save, load
 *   fit.c            a fit: the trees in parallel, their sum
 *   bags.c           how often each row is in the bag of a tree
 *   oob.c            how well the trees predict the rows that they did not draw
 */
#ifndef LATHE_FOREST_H
#define LATHE_FOREST_H

#include "../members.h"

typedef struct forest_config {
    int64_t trees;
    const lathe_component *base;
    int32_t bootstrap;
    double sample_share;
    int32_t oob_score;
} forest_config;

typedef struct forest {
    const lathe_host *host;
    const forest_config *config;
    members members;
    int32_t is_fitted;
    int32_t child_type; /* LATHE_OUTPUT_… of a child */
    lathe_output output;
} forest;

typedef struct forest_context {
    const lathe_host *host; /* of the instance that opened it */
    members_contexts children;
    int32_t task;
    int64_t n_classes;
    const lathe_dataset *data;
    int64_t n_rows;
    int64_t n_features;
    int32_t n_workers;
    uint16_t **counts; /* [n_workers] */
    uint64_t **draws;  /* [n_workers] */
} forest_context;

enum { FOREST_MAX_COUNT = 24, FOREST_OOB_BLOCK = 16 };

/* A fit under way: what all of its trees share. */
typedef struct growing {
    forest *f;
    forest_context *c;
    const lathe_fit *fit;
    uint8_t *in_set;                /* [n_rows] rows that may be drawn; NULL: all */
    int64_t first;                  /* tree of this block */
    double limit[FOREST_MAX_COUNT]; /* P(count <= i) */
    float *fitted;  /* [FOREST_OOB_BLOCK, n_rows, width]; NULL: no out-of-bag score */
    uint8_t *drawn; /* [FOREST_OOB_BLOCK, n_rows] */
    int64_t width;
    lathe_error *errors; /* [trees in a block] */
} growing;

/* bags.c */
void forest_bag_limits(growing *g);
/* The bag of tree t, an empty one becomes all rows; random: [n_rows] of scratch. */
void forest_draw_bag(const growing *g, int64_t t, uint64_t *random, uint16_t *counts);

/* oob.c: the sums so far; zeroed at first. */
typedef struct forest_oob {
    double *sum; /* [n_rows, width] */
    int32_t *n;  /* [n_rows] trees that did not draw the row */
} forest_oob;

int32_t forest_oob_start(const growing *g, forest_oob *o, lathe_error *err);
void forest_oob_free(const growing *g, forest_oob *o);
/* Adds what a block of trees says about the rows that they did not draw, and reports the score of all `n_done` trees. */
void forest_oob_add(const growing *g, forest_oob *o, int64_t n_trees, int64_t n_done);

/* fit.c */
int32_t forest_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err);

extern const lathe_learner forest_table;

#endif
