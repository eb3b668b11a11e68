/* linear: a linear score, fitted by any loss.
 *
 *     minimise over beta, b
 *     (1 / W) sum_i w_i loss(x_i beta + b, y_i) + l1 |beta|_1 + (l2 / 2) |beta|_2^2
 *
 * with W the sum of the weights. The intercept b is not penalised. With `scale` the penalties are of beta times
 * the feature's standard deviation, so that a feature's unit does not matter; a feature of zeros and ones alone, as
 * those that a category is turned into, counts as it is. With loss "mse" this is least
 * squares (ridge, lasso, elastic net), with "cross_entropy" logistic or softmax regression
 * (multinomial, k sets of coefficients). In scikit-learn's terms C = 1 / (l2 n). For classification
 * the default of l2 is 1 / n: a standard normal prior on every coefficient (C = 1); for regression
 * it is 0.
 *
 * Solvers, all on internally standardised features (which changes the path, not the solution):
 *   newton      damped Newton steps on the Gram matrix sum w h z z' (iteratively reweighted least
 *               squares: McCullagh and Nelder, "Generalized Linear Models", 1989, section 2.5);
 *               least squares in one step
 *   coordinate  proximal Newton whose steps are found by coordinate descent with soft thresholds
 *               (Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models
 *               via Coordinate Descent", J. Stat. Software 33, 2010; Lee, Sun, Saunders, SIAM J.
 *               Optim. 24, 2014)
 *   lbfgs       limited-memory BFGS (Nocedal, Math. Comp. 35, 1980); with l1 its orthant-wise form
 *               (Andrew and Gao, "Scalable training of L1-regularized log-linear models", ICML
 *               2007)
 *   sgd         batch, stochastic or mini-batch gradient descent with any optimizer and schedule; a
 *               batch's gradient is divided by its rows and the mean weight of all, so that a row
 *               counts by its weight also alone
 * auto takes sgd where an optimizer is given; else newton (coordinate with l1 and one score) for at most
 * 520 coefficients and a loss with second derivatives; else lbfgs.
 */
#include "linear.h"

static const char *const solver_names[] = {"auto", "newton", "coordinate", "lbfgs", "sgd", NULL};
static const char *const batch_names[] = {"full", NULL};

static const lathe_task_default loss_by_task[] = {
    {LATHE_TASK_BINARY, 0, "\"cross_entropy\""},
    {LATHE_TASK_MULTICLASS, 0, "\"cross_entropy\""},
    {0, 0, NULL},
};
static const lathe_task_default l2_by_task[] = {
    {LATHE_TASK_BINARY, 0, "null"},
    {LATHE_TASK_MULTICLASS, 0, "null"},
    {0, 0, NULL},
};

static const lathe_param params[] = {
    LATHE_P_COMPONENT(linear_config, loss, 0, "\"mse\"", LATHE_KIND_LOSS,
                      "What is minimised; the default is mse for regression, cross_entropy for "
                      "classification.",
                      .by_task = loss_by_task),
    LATHE_P_FLOAT(linear_config, l1, LATHE_PARAM_TUNABLE, "0", 0, 1e12,
                  "Weight of the sum of absolute coefficients; it sets some to exactly 0."),
    LATHE_P_FLOAT(linear_config, l2, LATHE_PARAM_NULLABLE | LATHE_PARAM_TUNABLE, "0", 0, 1e12,
                  "Half the weight of the sum of squared coefficients; null is 1 / rows for "
                  "classification and 0 for regression.",
                  .by_task = l2_by_task),
    LATHE_P_BOOL(linear_config, intercept, 0, "true", "Whether to fit a constant term."),
    LATHE_P_BOOL(
        linear_config, scale, 0, "true",
        "Whether l1 and l2 are of the coefficients of the features divided by their standard "
        "deviations (those of zeros and ones alone as they are), or of the features as "
        "they are."),
    LATHE_P_ENUM(
        linear_config, solver, 0, "\"auto\"", solver_names,
        "How to minimise; auto is sgd where an optimizer is given, else chosen by the number "
        "of scores and features and by l1."),
    LATHE_P_FLOAT(
        linear_config, tolerance, 0, "1e-6", 0, 1,
        "Converged when the largest gradient is this share of the first one; for sgd when five "
        "epochs in a row do not lower the best training loss by this share of it (0: "
        "all epochs are run)."),
    LATHE_P_INT(linear_config, max_iterations, 0, "200", 1, 1e9,
                "Iterations at most, of all solvers but sgd.", .unit = "iterations"),
    LATHE_P_COMPONENT(linear_config, optimizer, LATHE_PARAM_NULLABLE, "null", LATHE_KIND_OPTIMIZER,
                      "Steps of the solver sgd; null is plain sgd."),
    LATHE_P_COMPONENT(linear_config, schedule, 0, "\"constant\"", LATHE_KIND_SCHEDULE,
                      "Learning rate over time of the solver sgd."),
    LATHE_P_INT_OR_ENUM(
        linear_config, batch, 0, "128", 1, 1e9, batch_names,
        "Rows a step of the solver sgd; 1 is stochastic, \"full\" is batch gradient "
        "descent.",
        .unit = "rows"),
    LATHE_P_INT(linear_config, epochs, 0, "50", 1, 1e9, "Passes at most of the solver sgd.",
                .unit = "epochs"),
    {LATHE_P_(linear_config, clip, LATHE_PARAM_FLOAT,
              LATHE_PARAM_NULLABLE | LATHE_PARAM_HAS_MIN | LATHE_PARAM_EXCL_MIN, "null"),
     .min = 0,
     .doc = "Largest norm of a step's gradient in the solver sgd; a longer one is shortened."},
};

static int32_t check_config(const void *config, lathe_error *err) {
    const linear_config *c = config;
    int32_t sgd = c->solver == SOLVER_SGD || (c->solver == SOLVER_AUTO && c->optimizer != NULL);

    if (c->optimizer != NULL && !sgd) {
        snprintf(err->where, sizeof err->where, "optimizer");
        return fail(err, LATHE_E_INVALID,
                    "The solver \"%s\" takes no optimizer; leave it out, or choose the solver "
                    "\"sgd\".",
                    solver_names[c->solver]);
    }
    if (c->l1 > 0 && (sgd || c->solver == SOLVER_NEWTON)) {
        snprintf(err->where, sizeof err->where, "l1");
        return fail(err, LATHE_E_INVALID,
                    "The solver \"%s\" cannot do l1; choose \"coordinate\", \"lbfgs\" or \"auto\" "
                    "without an optimizer.",
                    sgd ? "sgd" : "newton");
    }
    return LATHE_OK;
}

static void destroy(void *self) {
    linear *m = self;
    const lathe_host *host = m->host;
    const lathe_components *kids = get_components(host);

    linear_forget(m);
    if (kids != NULL)
        kids->destroy(host, &m->loss);
    host->free(host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    const linear_config *c = config;
    const lathe_components *kids = get_components(host);
    linear *m;
    int32_t rc;

    if (kids == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the model", sizeof *m);
    m->host = host;
    m->config = c;
    rc = kids->create(host, c->loss, 0, NULL, &m->loss, err);
    if (rc != LATHE_OK) {
        destroy(m);
        return rc;
    }
    *self = m;
    return LATHE_OK;
}

static const lathe_learner table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = linear_open,
    .fit = linear_fit,
    .close = linear_close,
    .output = linear_output,
    .scratch = linear_scratch,
    .predict = linear_predict,
    .save = linear_save,
    .load = linear_load,
    .importance = linear_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.learner.linear",
    .kind = LATHE_KIND_LEARNER,
    .name = "linear",
    .version = "1.0.0",
    .doc =
        "A linear model with any loss, L1 and L2: least squares, ridge, lasso, logistic, softmax.",
    .license = "Apache-2.0",
    .state_version = 2,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, linear_config),
    .interface = &table,
    .check_config = check_config,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
