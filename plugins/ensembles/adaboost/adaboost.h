/* adaboost.h: what the files of AdaBoost share.
 *
 *   adaboost.c  parameters, method table, predict, save, load
 *   fit.c       the rounds, for classes and for values
 *
 * Legend: K classes, T learners, a_t the weight of learner t, w_i the weight of row i.
 */
#ifndef LATHE_ADABOOST_H
#define LATHE_ADABOOST_H

#include "../members.h"

enum { ADABOOST_SAMME = 0, ADABOOST_SAMME_R = 1 };
enum { ADABOOST_LINEAR = 0, ADABOOST_SQUARE = 1, ADABOOST_EXPONENTIAL = 2 };

typedef struct adaboost_config {
    int64_t rounds;
    double learning_rate;
    const lathe_component *base;
    int32_t algorithm;
    int32_t loss;
} adaboost_config;

typedef struct adaboost {
    const lathe_host *host;
    const adaboost_config *config;
    members members;
    int32_t is_fitted;
    int32_t child_type; /* LATHE_OUTPUT_… of the learners as they were fitted */
    int32_t has_votes;  /* the learners' leaves hold votes: their output is the vote */
    double *alpha;      /* [members.n] */
    double alpha_sum;
    lathe_output output;
} adaboost;

typedef struct adaboost_context {
    const lathe_host *host;    /* of the instance that opened it */
    members_contexts children; /* one */
    int32_t task;
    int64_t n_classes;
    const lathe_dataset *data;
    int64_t n_rows;
    int64_t n_features;
} adaboost_context;

int32_t adaboost_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err);
/* The learners' outputs [n, width] become their votes, in place. */
void adaboost_vote(const adaboost *a, int64_t n, int64_t width, float *output);
extern const lathe_learner adaboost_table;

#endif
