/* stacking.h: what the files of stacking share. */
#ifndef LATHE_STACKING_H
#define LATHE_STACKING_H

#include "../children.h"

typedef struct stacking_config {
    lathe_list base; /* const lathe_component * */
    const lathe_component *final;
    int64_t folds;
    int32_t passthrough;
} stacking_config;

typedef struct stacking {
    const lathe_host *host;
    const stacking_config *config;
    int32_t fitted;
    int64_t n;             /* bases */
    lathe_instance *child; /* [n] */
    lathe_output *gives;   /* [n] */
    lathe_instance final;
    lathe_output output; /* of the final one, n_features those of a row */
    int64_t k;           /* columns of a base */
    int64_t width;       /* features of the final one */
    int64_t scratch;     /* the most that a child needs */
} stacking;

/* A fit. */
typedef struct stack_job {
    stacking *m;
    const ensemble_context *c;
    const lathe_fit *fit;
    fit_rows rows;       /* in use, once each */
    int32_t *fold;       /* [rows] */
    float *meta;         /* [rows, width] */
    lathe_error *errors; /* [tasks] */
} stack_job;

/* ---- folds.c ---- */

/* Fills job->fold, dealt out in random order within each class; one fold a row_id. */
int32_t stack_deal_folds(stack_job *job, const float *target, lathe_error *err);
/* Fits base b without fold `fold`, and predicts it into the meta features. */
int32_t stack_one_fold(const stack_job *job, int64_t b, int64_t fold, uint64_t key,
                       lathe_error *err);
/* A base must give k values, or k probabilities; `code` is the error of another number. */
int32_t stack_check_base(const lathe_instance *child, int64_t k, int64_t n_features, int32_t code,
                         lathe_output *gives, lathe_error *err);

#endif
