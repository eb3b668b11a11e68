/* Opening a dataset, setting up the problem, choosing the solver. */
#include "linear.h"

/* Coefficients up to which Newton's method is chosen: its pass takes as many multiply-adds a row and
 * coefficient, but it takes few. */
enum { NEWTON_COEFFICIENTS = 520 };

int32_t linear_finite(double value, const char *unit, int64_t step, lathe_error *err) {
    if (isfinite(value))
        return LATHE_OK;
    return fail(err, LATHE_E_NUMERIC,
                "The descent diverged in %s %lld: the loss or a coefficient is not finite. Use a "
                "smaller learning rate, or a larger l2.",
                unit, (long long)step + 1);
}

void linear_not_converged(const problem *pr, const char *solver, double optimality, double target) {
    char line[256];
    snprintf(
        line, sizeof line,
        "linear: the solver %s ended after %lld iterations with a largest gradient of %.3g, above "
        "%.3g; raise max_iterations or tolerance.",
        solver, (long long)pr->config->max_iterations, optimality, target);
    pr->host->log(pr->host, LATHE_LOG_WARN, line);
}

int32_t linear_open(void *self, const lathe_open *open, void **context, lathe_error *err) {
    linear *m = self;
    const lathe_datasets *datasets = get_datasets(m->host);
    linear_context *c = m->host->alloc(m->host, sizeof *c);
    lathe_tensor matrix;
    int32_t rc;

    if (c == NULL)
        return fail_memory(err, "a context", sizeof *c);
    c->data = open->data;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->info.struct_size = LATHE_SIZED(lathe_dataset_info);
    rc = datasets->info(open->data, &c->info);
    if (rc == LATHE_OK && (c->info.flags & LATHE_DATA_HAS_CATEGORIES))
        rc = fail(err, LATHE_E_UNSUPPORTED,
                  "A linear model takes no categorical features; encode them (one_hot), or let "
                  "\"adapt\" do it.");
    if (rc == LATHE_OK)
        rc = datasets->matrix(open->data, &matrix, err);
    if (rc != LATHE_OK) {
        m->host->free(m->host, c);
        return rc;
    }
    c->x = (const float *)((const char *)matrix.data + matrix.byte_offset);
    c->stride = matrix.strides != NULL ? matrix.strides[0] : c->info.n_features;
    *context = c;
    return LATHE_OK;
}

void linear_close(void *self, void *context) {
    linear *m = self;
    m->host->free(m->host, context);
}

static void problem_free(problem *pr) {
    const lathe_host *host = pr->host;
    linear_workspace_free(pr);
    fit_rows_free(host, &pr->rows);
    objective_free(host, &pr->loss);
    host->free(host, pr->feature);
    host->free(host, pr->mean);
    host->free(host, pr->theta);
}

/* The scale of a feature is sqrt(variance + l2 unit^2), not the deviation alone: with it the curvature is
 * about 1 in every direction also where the penalty is what curves. */
static void set_penalties(problem *pr) {
    const linear_config *c = pr->config;
    double l2 = c->l2;
    if (isnan(l2))
        l2 = pr->data->task == LATHE_TASK_REGRESSION ? 0.0 : 1.0 / (double)pr->rows.bag;
    pr->penal = c->l1 > 0;
    for (int64_t j = 0; j < pr->p; j++) {
        double unit = pr->unit[j], scale = sqrt(pr->scale[j] * pr->scale[j] + l2 * unit * unit);
        pr->inverse[j] = pr->scale[j] > 0 ? 1.0 / scale : 0.0;
        pr->l1[j] = c->l1 * unit * pr->inverse[j];
        pr->l2[j] = l2 * (unit * pr->inverse[j]) * (unit * pr->inverse[j]);
    }
}

static int32_t choose_features(problem *pr, const lathe_fit *fit, lathe_error *err) {
    int64_t all = pr->data->info.n_features;
    pr->p = fit->features != NULL ? fit->n_features_used : all;
    if (pr->p < 0 || pr->p > all)
        return fail(err, LATHE_E_INVALID, "fit has %lld features of %lld.", (long long)pr->p,
                    (long long)all);
    pr->q = pr->p + 1;
    pr->feature = alloc_array(pr->host, pr->p, sizeof *pr->feature);
    pr->mean = alloc_array(pr->host, 7 * pr->p, sizeof(double));
    if (pr->feature == NULL || pr->mean == NULL)
        return fail_memory(err, "the features", pr->p * 60);
    pr->scale = pr->mean + pr->p;
    pr->inverse = pr->scale + pr->p;
    pr->l1 = pr->inverse + pr->p;
    pr->l2 = pr->l1 + pr->p;
    pr->typical = pr->l2 + pr->p;
    pr->unit = pr->typical + pr->p;
    pr->in_place = 1;
    for (int64_t j = 0; j < pr->p; j++) {
        pr->feature[j] = fit->features != NULL ? fit->features[j] : (int32_t)j;
        if (pr->feature[j] < 0 || pr->feature[j] >= all)
            return fail(err, LATHE_E_INVALID, "Feature %d of fit is not in 0 ... %lld.",
                        pr->feature[j], (long long)all - 1);
        pr->in_place &= pr->feature[j] == j;
    }
    return LATHE_OK;
}

static int32_t problem_make(problem *pr, linear *m, const linear_context *c, const lathe_fit *fit,
                            lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(m->host);
    const float *weight = fit->weight != NULL ? fit->weight : datasets->weight(c->data);
    const float *target = fit->target != NULL ? fit->target : datasets->target(c->data);
    double *start;
    int32_t rc;

    memset(pr, 0, sizeof *pr);
    pr->host = m->host;
    pr->config = m->config;
    pr->data = c;
    pr->moments = linear_choose_moments(cpu_level(m->host));
    pr->key = fit->key;
    pr->k = pr->loss.k = 1;
    if (fit->gradient != NULL) {
        weight = NULL; /* it is in the gradients */
    } else {
        rc = loss_scores(&m->loss, c->task, c->n_classes, &pr->k, err);
        if (rc != LATHE_OK)
            return rc;
        pr->loss = (objective){.loss = m->loss.interface, .self = m->loss.self, .k = pr->k};
        pr->loss_flags = m->loss.descriptor->flags;
    }
    if ((rc = fit_rows_collect(m->host, fit, c->info.n_rows, weight, 0, &pr->rows, err)) !=
        LATHE_OK)
        return rc;
    rc = objective_gather(m->host, fit, &pr->rows, target, c->task, c->n_classes, &pr->loss, err);
    if (rc == LATHE_OK)
        rc = choose_features(pr, fit, err);
    if (rc == LATHE_OK)
        rc = linear_standardise(pr, err);
    if (rc != LATHE_OK)
        return rc;
    set_penalties(pr);
    pr->theta = alloc_array(m->host, pr->k * pr->q, sizeof(double));
    start = alloc_array(m->host, pr->k, sizeof(double));
    rc = pr->theta == NULL || start == NULL
             ? fail_memory(err, "the coefficients", pr->k * pr->q * 8)
             : objective_start(m->host, &pr->loss, &pr->rows, start, err);
    for (int64_t s = 0; rc == LATHE_OK && pr->config->intercept && s < pr->k; s++)
        pr->theta[s * pr->q + pr->p] = start[s];
    m->host->free(m->host, start);
    return rc;
}

static int32_t solve(problem *pr, lathe_error *err) {
    int32_t solver = pr->config->solver;
    int32_t curved = !(pr->loss_flags & LATHE_LOSS_ZERO_HESSIAN) &&
                     (pr->k == 1 || pr->loss.loss->hessian_block != NULL);
    int32_t few = pr->k * pr->q <= NEWTON_COEFFICIENTS && (pr->k == 1 || !pr->penal);
    int32_t sgd = solver == SOLVER_SGD || (solver == SOLVER_AUTO && pr->config->optimizer != NULL);
    int32_t rc;

    if ((solver == SOLVER_NEWTON && !curved) ||
        (solver == SOLVER_COORDINATE && !(curved && pr->k == 1)))
        return fail(
            err, LATHE_E_UNSUPPORTED,
            solver == SOLVER_NEWTON
                ? "The solver \"newton\" is for losses with curvature; choose \"lbfgs\" or "
                  "\"auto\" for absolute and quantile losses."
                : "The solver \"coordinate\" is for one score a row and a loss with "
                  "curvature; choose \"lbfgs\" or \"auto\" for several classes, absolute and "
                  "quantile losses.");
    if (solver == SOLVER_AUTO)
        solver = !curved || !few ? SOLVER_LBFGS : pr->penal ? SOLVER_COORDINATE : SOLVER_NEWTON;
    if (sgd)
        solver = SOLVER_SGD;
    rc = linear_workspace_make(pr, pr->rows.n,
                               solver == SOLVER_NEWTON || solver == SOLVER_COORDINATE, err);
    if (rc != LATHE_OK)
        return rc;
    return solver == SOLVER_SGD     ? linear_sgd(pr, err)
           : solver == SOLVER_LBFGS ? linear_lbfgs(pr, NULL, 0, err)
                                    : linear_newton(pr, solver == SOLVER_COORDINATE, err);
}

/* The solution in the original features. */
static int32_t keep(linear *m, const problem *pr, int32_t linked, lathe_error *err) {
    const lathe_host *host = m->host;
    m->feature = alloc_array(host, pr->p, sizeof *m->feature);
    m->beta = alloc_array(host, pr->p * pr->k, sizeof(double));
    m->bias = alloc_array(host, pr->k, sizeof(double));
    m->deviation = alloc_array(host, pr->p, sizeof(double));
    m->typical = alloc_array(host, pr->p, sizeof(double));
    if (m->feature == NULL || m->beta == NULL || m->bias == NULL || m->deviation == NULL ||
        m->typical == NULL) {
        linear_forget(m);
        return fail_memory(err, "the coefficients", pr->p * (pr->k + 3) * 8);
    }
    m->p = pr->p;
    m->k = pr->k;
    m->n_features = pr->data->info.n_features;
    m->task = pr->data->task;
    m->linked = linked;
    for (int64_t c = 0; c < pr->k; c++) {
        const double *theta = pr->theta + c * pr->q;
        m->bias[c] = pr->config->intercept ? theta[pr->p] : 0.0;
        for (int64_t j = 0; j < pr->p; j++) {
            m->beta[j * pr->k + c] = theta[j] * pr->inverse[j];
            m->bias[c] -= pr->mean[j] * m->beta[j * pr->k + c];
        }
    }
    memcpy(m->feature, pr->feature, (size_t)pr->p * sizeof *m->feature);
    memcpy(m->deviation, pr->scale, (size_t)pr->p * sizeof(double));
    memcpy(m->typical, pr->typical, (size_t)pr->p * sizeof(double));
    m->fitted = 1;
    return LATHE_OK;
}

int32_t linear_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    linear *m = self;
    const linear_context *c = context;
    problem pr;
    int32_t rc;

    linear_forget(m);
    rc = problem_make(&pr, m, c, fit, err);
    if (rc == LATHE_OK)
        rc = solve(&pr, err);
    if (rc == LATHE_OK)
        rc = keep(m, &pr, fit->gradient == NULL, err);
    problem_free(&pr);
    if (rc == LATHE_OK && fit->fitted != NULL) {
        static const lathe_learner me = {
            .output = linear_output, .scratch = linear_scratch, .predict = linear_predict};
        rc = predict_all(m->host, &me, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    }
    if (rc != LATHE_OK)
        linear_forget(m);
    return rc;
}
