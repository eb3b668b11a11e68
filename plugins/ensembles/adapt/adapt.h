/* adapt.h: what the files of the adapter share.
 *
 * Names: n_features of the dataset; C columns of the encoded matrix; "original" features have NaN
 * for missing, categorical ones a code (see lathe/dataset.h). */
#ifndef LATHE_ADAPT_H
#define LATHE_ADAPT_H

#include "../children.h"

typedef struct adapt_config {
    const lathe_component *base;
    int64_t max_categories;
} adapt_config;

/* ---- encoder.c: from original features to columns ---- */

typedef struct encoder {
    int64_t n_features;
    int64_t n_columns;
    int32_t plain;      /* columns are the features, untouched: nothing to do */
    int32_t impute;     /* missing numbers become the mean */
    int32_t scale;      /* numbers become (x - mean) / deviation */
    int32_t one_hot;    /* a categorical feature becomes a column a category, else stays a code */
    int32_t *type;      /* [n_features] LATHE_FEATURE_… */
    int32_t *first;     /* [n_features] its first column */
    int32_t *codes;     /* [n_features] its categories, 0 for a number */
    int32_t *map_first; /* [n_features] where its part of map begins */
    int32_t *map;       /* [n_map] code to column, -1: none; of one-hot features */
    int64_t n_map;
    double *mean;    /* [n_features] */
    double *inverse; /* [n_features] 1 / deviation */
} encoder;

/* What the encoder must do for a learner with these flags. */
void encoder_choose(encoder *e, uint32_t flags);
/* Statistics of the rows of `data`; e was chosen. */
int32_t encoder_fit(encoder *e, const lathe_host *host, const lathe_dataset *data,
                    int64_t max_categories, lathe_error *err);
int32_t encoder_copy(encoder *to, const encoder *from, const lathe_host *host, lathe_error *err);
void encoder_free(encoder *e, const lathe_host *host);
/* n rows of x into out[n, n_columns], compact. */
void encoder_apply(const encoder *e, int64_t n, const float *x, int64_t stride, float *out);
/* `data` encoded, a dataset of its own. */
int32_t encoder_encode(const encoder *e, const lathe_host *host, const lathe_dataset *data,
                       lathe_dataset **out, lathe_error *err);
/* Which original feature column c comes from. */
int64_t encoder_origin(const encoder *e, int64_t c);
int32_t encoder_save(const encoder *e, const lathe_writer *w, lathe_error *err);
int32_t encoder_load(encoder *e, const lathe_host *host, const lathe_reader *r, lathe_error *err);

/* ---- the learner ---- */

typedef struct adapt {
    const lathe_host *host;
    const adapt_config *config;
    const lathe_descriptor *base;
    int32_t fitted;
    int32_t rest;          /* one child a class, each against the rest */
    int64_t n;             /* children */
    lathe_instance *child; /* [n] */
    lathe_output output;
    int64_t scratch; /* of a child for CHILD_BLOCK rows */
    encoder encoder;
    int64_t n_narrow; /* columns that the children see; -1: all */
    int32_t *narrow;  /* [n_narrow] ascending */
} adapt;

typedef struct adapt_context {
    lathe_open open;
    lathe_dataset_info info;
    const float *x;
    int64_t stride;
    encoder encoder;
    const lathe_dataset *data;       /* encoded; kept by the original, or the original itself */
    const lathe_dataset *validation; /* encoded; NULL: none */
    lathe_dataset *own_validation;   /* to release */
    lathe_instance probe;            /* opened `child`, and closes it */
    void *child;                     /* the base's context on `data`; NULL: not yet open */
    int32_t child_task;
    const lathe_dataset *child_validation;
} adapt_context;

/* fit.c */
int32_t adapt_open(void *self, const lathe_open *open, void **context, lathe_error *err);
int32_t adapt_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err);
void adapt_close(void *self, void *context);

/* model.c */
void adapt_forget(adapt *m);
int32_t adapt_make_children(adapt *m, int64_t n, lathe_error *err);
int32_t adapt_finish(adapt *m, int32_t code, lathe_error *err);
int32_t adapt_output(const void *self, lathe_output *output);
int64_t adapt_scratch(const void *self, int64_t rows);
int32_t adapt_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                      void *scratch, lathe_error *err);
int32_t adapt_save(const void *self, const lathe_writer *w, lathe_error *err);
int32_t adapt_load(void *self, const lathe_reader *r, lathe_error *err);
int32_t adapt_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                         lathe_error *err);

#endif
