/* gbdt.h: what the files of gradient boosting share.
 *
 *   gbdt.c   parameters, method table, predict, save, load
 *   fit.c    a fit: rows and start, the rounds, early stopping
 *   round.c  one round: fitting its learners, renewing their leaves, new scores
 *   sample.c the rows and features of a round
 *
 * Legend: n rows, K scores a row (1, or the number of classes), F the ensemble's scores.
 */
#ifndef LATHE_GBDT_H
#define LATHE_GBDT_H

#include "../members.h"

#include <lathe/loss.h>

enum { GBDT_SAMPLING_UNIFORM = 0, GBDT_SAMPLING_GRADIENT };

typedef struct gbdt_config {
    int64_t rounds;
    double learning_rate;
    const lathe_component *loss;
    const lathe_component *base;
    double row_share;
    int32_t sampling;
    double top_share, other_share;
    double feature_share;
    int64_t early_stopping; /* LATHE_INT_NULL: off */
} gbdt_config;

typedef struct gbdt {
    const lathe_host *host;
    const gbdt_config *config;
    members members;
    lathe_instance loss;
    int32_t is_fitted;
    lathe_output output;
    double *start; /* [K] */
} gbdt;

typedef struct gbdt_context {
    const lathe_host *host; /* of the instance that opened it */
    members_contexts children;
    int32_t task;
    int64_t n_classes;
    const lathe_dataset *data;
    const lathe_dataset *validation;
    int64_t n_rows;
    int64_t n_features;
} gbdt_context;

/* A part of the data with its scores: the training rows, or the validation rows. */
typedef struct gbdt_part {
    int64_t n;
    const float *target; /* [n]: as given, or own_target */
    float *own_target;   /* [n], 0 where the row is not used; NULL: all are */
    float *weight;       /* [n] 0: not used; NULL: all 1 */
    float *score;        /* [K, n] what was added to the start so far */
    float *step;         /* [K, n] what this round's learners say; may be the run's gradient */
    double weight_sum;
} gbdt_part;

/* A fit under way. */
typedef struct gbdt_run {
    gbdt *g;
    gbdt_context *c;
    const lathe_fit *fit;
    const lathe_loss *table;
    int64_t k;
    gbdt_part train;
    gbdt_part valid; /* n == 0: none */
    members_matrix valid_x;
    float *gradient; /* [K, n] */
    float *hessian;  /* [K, n] */
    float
        *block; /* [workers, 3, block_rows, K] what the loss reads and writes: a row's K together */
    int64_t block_rows;
    int32_t *used; /* [n_used] rows with weight, ascending; NULL: all */
    int64_t n_used;
    int32_t *rows;  /* [n_rows] of this round */
    int64_t n_rows; /* of this round; rows are given to the learners where samples or used is set */
    int32_t samples_rows;
    int32_t *pool; /* [n_pool] features that may be used */
    int64_t n_pool;
    int32_t *features; /* [K, n_pool] of this round */
    int64_t n_features;
    int64_t round;
    lathe_error *errors; /* [K] */
    /* renewing */
    int32_t renews;
    int32_t *leaf;                                 /* [n] */
    int64_t *place;                                /* [n + 2] rows by leaf */
    float *leaf_score, *leaf_target, *leaf_weight; /* [n] in the order of place */
    float *leaf_value;                             /* [n] at most */
    int64_t n_leaves;
} gbdt_run;

int32_t gbdt_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err);

/* round.c */
static inline float gbdt_score(const gbdt_run *r, const gbdt_part *p, int64_t j, int64_t i) {
    return (float)(r->g->start[j] + (double)p->score[j * p->n + i]);
}

int32_t gbdt_round(gbdt_run *r, lathe_error *err);
/* Adds learning_rate * step to the scores of a part, fills gradient and hessian unless they are
 * NULL, and sets *mean (NULL: not asked) to its weighted mean loss, of the training rows that of a
 * fixed part where they are many. */
int32_t gbdt_advance(gbdt_run *r, gbdt_part *p, double rate, float *gradient, float *hessian,
                     double *mean, lathe_error *err);

/* sample.c: r->rows and n_rows, where samples_rows is set; by gradient, those that stand for others have theirs
 * multiplied. features: [n_pool], n_features are chosen, ascending. */
int32_t gbdt_sample_rows(gbdt_run *r, uint64_t key, lathe_error *err);
void gbdt_sample_features(const gbdt_run *r, uint64_t key, int32_t *features);

int32_t gbdt_predict_scores(const gbdt *g, int64_t n, const float *x, int64_t stride, float *out,
                            void *scratch, lathe_error *err);
extern const lathe_learner gbdt_table;

#endif
