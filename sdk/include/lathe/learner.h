/* lathe/learner.h: what learns: linear models, networks, trees, and ensembles of anything.
 *
 * Order of calls:  create → open → fit (any number of times, each replacing the last) → close → predict, save …
 *             or:  create → load → predict, save …
 * A context holds what is prepared once for a dataset (bins, encodings, buffers). It may be used with every
 * instance that was created from the same component, one fit at a time per context: boosting opens one
 * context and fits a thousand instances in it; a forest opens one per worker. The instance that opened it
 * owns its memory and closes it: it must live until then, and so must both datasets. An instance that was
 * fitted in it does not need it afterwards, except for leaves().
 *
 * Learner and ensemble share this table; an ensemble is a learner with children.
 */
#ifndef LATHE_LEARNER_H
#define LATHE_LEARNER_H

#include "component.h"
#include "dataset.h"
#include "state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags. What a learner does not take, the host adapts (see lathe_components.create). */
enum {
    LATHE_LEARNER_TAKES_MISSING = 1u << 0,    /* NaN in the features */
    LATHE_LEARNER_TAKES_CATEGORIES = 1u << 1, /* categorical features as codes; else one-hot */
    LATHE_LEARNER_TAKES_GRADIENTS = 1u
                                    << 2,   /* fit->gradient, hessian; else target -g/h, weight h */
    LATHE_LEARNER_TAKES_WEIGHTS = 1u << 3,  /* fit->weight; else weighted resampling */
    LATHE_LEARNER_TAKES_ROWS = 1u << 4,     /* fit->rows, fit->counts; else a view on the rows */
    LATHE_LEARNER_TAKES_FEATURES = 1u << 5, /* fit->features; else a narrower dataset */
    LATHE_LEARNER_TAKES_MULTICLASS = 1u << 6, /* more than two classes; else one against the rest */
    LATHE_LEARNER_WANTS_SCALED =
        1u << 7, /* numeric features of mean 0 and variance 1 suit it: the adapter
                                               * scales them */
    LATHE_LEARNER_GIVES_FITTED = 1u << 8, /* fills fit->fitted; else the host predicts */
    LATHE_LEARNER_GIVES_LEAVES = 1u << 9, /* leaves, leaf_values, set_leaf_values */
    LATHE_LEARNER_COMBINES = 1u << 10,    /* combine */
    LATHE_LEARNER_GIVES_IMPORTANCE = 1u << 11,
    LATHE_LEARNER_FITS_IN_PLACE = 1u << 12 /* fit->fitted may be fit->gradient, to save memory */
};

typedef struct lathe_open {
    uint32_t struct_size;
    int32_t task;      /* usually the dataset's; LATHE_TASK_REGRESSION when fitting gradients */
    int64_t n_classes; /* 0 for regression */
    const lathe_dataset *data;
    /* For early stopping, never to learn from: the same features in the same order, at least one row, always
     * with its own target and weights, whatever fit() is given. NULL: none. */
    const lathe_dataset *validation;
} lathe_open;

/* What to fit. A NULL member means the usual: the dataset's target, its weights, all rows, all features. Only
 * what the descriptor's flags say it takes is given; the same instance config, context, fit and key give the same
 * bits. The pointers are valid during the call. */
typedef struct lathe_fit {
    uint32_t struct_size;
    uint32_t reserved0;
    uint64_t key;        /* of every random number of this fit */
    const float *target; /* [n_rows of the dataset] instead of the dataset's */
    const float
        *weight; /* [n_rows] >= 0, instead of the dataset's (not a factor); a row of weight 0 is as
                          * if absent */
    /* Instead of a target: the gradient and hessian of row i at [i * gradient_stride]; the learner gives a
     * value v a row that makes sum(g v + h v^2 / 2) small. Weights are already in them, and target and weight
     * are not looked at. hessian NULL, or >= 0: NULL is 1 everywhere. */
    const float *gradient;
    const float *hessian;
    int64_t gradient_stride;
    const int32_t *rows; /* [n_rows_used] ascending row numbers to fit; NULL: all */
    int64_t n_rows_used;
    const uint16_t
        *counts; /* [n_rows] how often each row is in the bag (0: not); NULL: once. Each time
                              * counts with the row's weight, gradient and hessian. Not together with rows */
    const int32_t *features; /* [n_features_used] ascending; NULL: all */
    int64_t n_features_used;
    /* Filled on success with the prediction of EVERY row of the dataset, in the bag or not, output o of row i at
     * [i * fitted_stride + o]; NULL: not wanted. Only for those with LATHE_LEARNER_GIVES_FITTED. */
    float *fitted;
    int64_t fitted_stride;
} lathe_fit;

/* What predict gives. For a binary task PROBABILITY has one column, P(class 1); SCORE is a log-odds
 * (multiclass: softmax gives the probabilities), which the host converts. */
enum { LATHE_OUTPUT_VALUE = 1, LATHE_OUTPUT_PROBABILITY = 2, LATHE_OUTPUT_SCORE = 3 };

typedef struct lathe_output {
    uint32_t struct_size;
    int32_t type; /* LATHE_OUTPUT_… */
    int64_t n_outputs;
    int64_t n_features; /* that predict reads of each row */
} lathe_output;

/* The sum of fitted instances of one plugin, for combine(). Output o of the result is
 * bias[o] + sum over children c of scale[c] * child c's output, added in the order of c, in double, rounded to
 * float32 once. */
typedef struct lathe_combine {
    uint32_t struct_size;
    int32_t type; /* LATHE_OUTPUT_… of the result */
    int64_t n_outputs;
    const double *bias; /* [n_outputs]; NULL: 0 */
    int64_t n_children;
    const void *const *children; /* [n_children], the selfs */
    const double *scale;         /* [n_children] */
    const int32_t
        *column; /* [n_children] where a child of one output adds; NULL: child outputs map to
                                  * outputs one to one */
} lathe_combine;

enum { LATHE_IMPORTANCE_GAIN = 1, LATHE_IMPORTANCE_SPLITS = 2, LATHE_IMPORTANCE_WEIGHT = 3 };

typedef struct lathe_learner {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [worker] Prepares a dataset. `self` is any instance of the component, fitted or not, and stays as it is.
     * After an error there is no context. */
    int32_t (*open)(void *self, const lathe_open *open, void **context, lathe_error *err);
    /* [worker] Fits. After an error the instance is as before create's end: unfitted, destroyable. */
    int32_t (*fit)(void *self, void *context, const lathe_fit *fit, lathe_error *err);
    /* [worker] Frees a context; `self` is the instance that opened it. Instances fitted in it stay fitted. */
    void (*close)(void *self, void *context);
    /* [any & fitted] */
    int32_t (*output)(const void *self, lathe_output *output); /* set output->struct_size first */
    /* [any & fitted] Bytes of scratch (64-byte aligned, host's) that predict needs for up to `rows` rows. */
    int64_t (*scratch)(const void *self, int64_t rows);
    /* [worker|serve & fitted] x: float32 [n, stride], features as in lathe/dataset.h, stride >= n_features, all
     * of the dataset's features whichever were used; out: float32 [n, n_outputs], compact. scratch: scratch(n)
     * bytes of undefined content, one a call; NULL where that is 0. n == 0 does nothing. No allocation, lock or
     * random number. A row's result does not depend on the other rows. */
    int32_t (*predict)(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err);
    int32_t (*save)(const void *self, const lathe_writer *writer,
                    lathe_error *err); /* [worker & fitted] */
    int32_t (*load)(void *self, const lathe_reader *reader,
                    lathe_error *err); /* [worker & !fitted] */

    /* Optional; NULL where the flags do not promise it. */

    /* [worker & fitted, context still open] The leaf of every row of the dataset, 0 … *n_leaves - 1.
     * leaf NULL: only *n_leaves is wanted, of a fitted instance with or without its context. */
    int32_t (*leaves)(const void *self, void *context, int32_t *leaf, int64_t *n_leaves,
                      lathe_error *err);
    /* [worker & fitted] float32 [n_leaves, n_outputs]. What is set may be limited, by a learner whose leaves must
     * keep an order, say: leaf_values tells what became of it. */
    int32_t (*leaf_values)(const void *self, float *values, lathe_error *err);
    int32_t (*set_leaf_values)(void *self, const float *values, lathe_error *err);
    /* [worker & !fitted] Makes self the sum of others; self was created from the same component. It keeps nothing
     * of theirs: they may be destroyed next. */
    int32_t (*combine)(void *self, const lathe_combine *combine, lathe_error *err);
    /* [worker & fitted] importance[n_features], not normalised; LATHE_E_UNSUPPORTED for a type it lacks. */
    int32_t (*importance)(const void *self, int32_t type, int64_t n_features, double *importance,
                          lathe_error *err);
} lathe_learner;

#ifdef __cplusplus
}
#endif
#endif
