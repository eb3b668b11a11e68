/* stacking.h: what the files of stacking share. */
#ifndef LATHE_STACKING_H
#define LATHE_STACKING_H

#include "../children.h"

#include <stdatomic.h>

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

/* The rows of a fold's training part, with what the caller's fit says of each. All bases share it,
 * with the matrix, bins and encodings that the dataset makes of it on first use; the last one lets it
 * go. */
typedef struct fold_part {
    int32_t *rows; /* [n] */
    float *target; /* NULL: the dataset's */
    float *weight;
    uint16_t *counts;
    int64_t n;
    lathe_dataset *view;
    atomic_llong users; /* bases that are still to be fitted */
} fold_part;

/* A fit. */
typedef struct stack_job {
    stacking *m;
    const ensemble_context *c;
    const lathe_fit *fit;
    fit_rows rows;       /* in use, once each */
    int32_t *fold;       /* [rows] */
    fold_part *part;     /* [folds] */
    float *meta;         /* [rows, width] */
    lathe_error *errors; /* [tasks] */
} stack_job;

/* ---- folds.c ---- */

/* Fills job->fold, dealt out in random order within each class; one fold a row_id. */
int32_t stack_deal_folds(stack_job *job, const float *target, lathe_error *err);
/* The training part of each fold; stack_free_parts is fine after an error too. */
int32_t stack_make_parts(stack_job *job, lathe_error *err);
void stack_free_parts(stack_job *job);
/* Fits base b without fold `fold`, and predicts it into the meta features. */
int32_t stack_one_fold(stack_job *job, int64_t b, int64_t fold, uint64_t key, lathe_error *err);
/* A base must give k values, or k probabilities; `code` is the error of another number. */
int32_t stack_check_base(const lathe_instance *child, int64_t k, int64_t n_features, int32_t code,
                         lathe_output *gives, lathe_error *err);

#endif
