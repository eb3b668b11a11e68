/* linear.h: what the files of the linear learner share.
 *
 * Names: n rows used, p features used, q = p + 1 (the last is the intercept), k scores a row.
 * theta[k, q], double, are the coefficients of the features z = (x - mean) / scale with scale =
 * sqrt(variance + l2 unit^2); with them every solver works, and the penalties of beta unit, beta = theta / scale
 * being the original coefficients, become l1 unit / scale and l2 (unit / scale)^2, feature by feature. */
#ifndef LATHE_LINEAR_H
#define LATHE_LINEAR_H

#include "../support.h"
#include "moments.h"

enum { SOLVER_AUTO, SOLVER_NEWTON, SOLVER_COORDINATE, SOLVER_LBFGS, SOLVER_SGD };

typedef struct linear_config {
    const lathe_component *loss;
    double l1;
    double l2; /* NaN: by the task */
    int32_t intercept;
    int32_t scale; /* penalties are in the features' deviations */
    int32_t solver;
    double tolerance;
    int64_t max_iterations;
    const lathe_component *optimizer;
    const lathe_component *schedule;
    lathe_int_or_enum batch;
    int64_t epochs;
    double clip; /* NaN: none */
} linear_config;

typedef struct linear {
    const lathe_host *host;
    const linear_config *config;
    lathe_instance loss;
    /* The fitted state. */
    int32_t fitted;
    int32_t linked; /* the loss's link applies (not after fitting gradients) */
    int32_t task;
    int64_t n_features; /* of a row */
    int64_t p;
    int64_t k;
    int32_t *feature;  /* [p] ascending, which features are used */
    double *beta;      /* [p, k] */
    double *bias;      /* [k] */
    double *deviation; /* [p] standard deviation of each feature in training, for the importance */
    double *typical;   /* [p] its mean in training: what a missing value counts as */
} linear;

typedef struct linear_context {
    const lathe_dataset *data;
    lathe_dataset_info info;
    const float *x;
    int64_t stride;
    int32_t task;
    int64_t n_classes;
} linear_context;

/* One fit: the data as the solvers see it. */
typedef struct problem {
    const lathe_host *host;
    const linear_config *config;
    const linear_context *data;
    fit_rows rows;
    objective loss;
    uint32_t loss_flags; /* LATHE_LOSS_… */
    const moments *moments;
    int64_t p, q, k;
    int32_t *feature; /* [p] */
    int32_t in_place; /* feature j is j: a row is read as it stands */
    double *mean;     /* [p] */
    double *scale;    /* [p] standard deviations (about 0 without an intercept) */
    double *inverse;  /* [p] what z is multiplied by, 0 for a constant feature */
    double *typical;  /* [p] means, also without an intercept */
    double *unit; /* [p] in which a coefficient is penalised: the deviation; 1 for zeros and ones */
    double *l1;   /* [p] of theta */
    double *l2;   /* [p] */
    int32_t penal; /* has an l1 */
    uint64_t key;
    double *theta;          /* [k, q] */
    struct workspace *work; /* of linear_pass */
    const int32_t *sample; /* [n_sample] positions that linear_evaluate is limited to; NULL: none */
    int64_t n_sample;
    double sample_total; /* of their weights */
} problem;

/* What one pass over the rows sums: un-normalised, without penalties. */
typedef struct pass_sums {
    double value;
    double *gradient; /* [k, q]; NULL: not wanted */
    double *gram; /* [k q, k q], sum w z z' by the loss's second derivatives; NULL: not wanted */
} pass_sums;

/* Memory for passes over at most n rows, with or without the Gram matrix. */
int32_t linear_workspace_make(problem *pr, int64_t n, int32_t gram, lathe_error *err);
void linear_workspace_free(problem *pr);
/* Means and deviations of the features. */
int32_t linear_standardise(problem *pr, lathe_error *err);

/* Rows order[0 … n-1] (positions in problem->rows; NULL: 0 … n-1). Bits depend on n alone. */
int32_t linear_pass(const problem *pr, const double *theta, const int32_t *order, int64_t n,
                    pass_sums *sums, lathe_error *err);

/* The penalised objective: linear_pass divided by the total weight, plus l2 (not l1). */
int32_t linear_evaluate(const problem *pr, const double *theta, pass_sums *sums, lathe_error *err);
/* sum l1 |theta| */
double linear_l1(const problem *pr, const double *theta);
/* The largest |gradient|, with l1 that of the smallest subgradient. */
double linear_optimality(const problem *pr, const double *theta, const double *gradient);

/* Solvers: from problem->theta to the solution in problem->theta. */
int32_t linear_newton(problem *pr, int32_t coordinate, lathe_error *err);
/* factor: lower Cholesky factor [k q, k q] of about the second derivative, by which the descent is
 * preconditioned; NULL: none (always with l1). first: the gradient's size that the tolerance is a share of; 0: that
 * at the beginning. */
int32_t linear_lbfgs(problem *pr, const double *factor, double first, lathe_error *err);
/* x = (l l')^-1 b; x == b is allowed. */
void linear_cholesky_solve(int64_t m, const double *l, const double *b, double *x);
int32_t linear_sgd(problem *pr, lathe_error *err);

/* Checks that a value is finite; the error names the iteration. */
int32_t linear_finite(double value, const char *unit, int64_t step, lathe_error *err);
void linear_not_converged(const problem *pr, const char *solver, double optimality, double target);

/* model.c */
int32_t linear_output(const void *self, lathe_output *output);
int64_t linear_scratch(const void *self, int64_t rows);
int32_t linear_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err);
int32_t linear_save(const void *self, const lathe_writer *w, lathe_error *err);
int32_t linear_load(void *self, const lathe_reader *r, lathe_error *err);
int32_t linear_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                          lathe_error *err);
void linear_forget(linear *m);

/* fit.c */
int32_t linear_open(void *self, const lathe_open *open, void **context, lathe_error *err);
int32_t linear_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err);
void linear_close(void *self, void *context);

#endif
