/* gbdt.c: gradient boosting: an additive model F = F_0 + rate * sum of f_m, built round by round.
 *
 *   F_0 = the constant of least loss
 *   round m: g_i = dL(y_i, F(x_i)) / dF, h_i = d2L / dF2, both times the row's weight;
 *            f_m is fitted to make sum(g_i f(x_i) + h_i f(x_i)^2 / 2) small; F += rate * f_m
 *
 * J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of
 * Statistics 29, 2001, with the second-order step of J. Friedman, T. Hastie & R. Tibshirani,
 * "Additive logistic regression", 2000; row sampling: J. H. Friedman, "Stochastic gradient
 * boosting", 2002, or by gradient: sample.c; histogram trees: G. Ke et al., "LightGBM", 2017. For k classes a round fits one
 * learner a class, all from the scores at its beginning. A loss with no curvature (absolute,
 * quantile) has its leaves replaced by the loss's best constants (Friedman 2001, algorithm 3);
 * learners without leaves keep the gradient step.
 *
 * Any loss with gradient and hessian serves, and any learner: one that takes no gradients is fitted
 * to the target -g/h with weight h. A row that counts c times has c times the weight.
 *
 * The training loss that is told is that of some thousand rows spread over the data: it is for the eye alone. The
 * validation loss, which stops a fit early, is that of all its rows.
 */
#include "gbdt.h"

static const lathe_task_default loss_by_task[] = {{LATHE_TASK_REGRESSION, 0, "\"mse\""},
                                                  {0, 0, NULL}};

static const char *const samplings[] = {"uniform", "gradient", NULL};

static const lathe_param params[] = {
    LATHE_P_INT(gbdt_config, rounds, LATHE_PARAM_TUNABLE, "100", 1, 1e6,
                "Rounds of boosting at most.", .unit = "rounds", .scale = LATHE_SCALE_LOG),
    LATHE_P_FLOAT(gbdt_config, learning_rate, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "0.1", 0,
                  10, "Shrinks each round's step.", .scale = LATHE_SCALE_LOG),
    LATHE_P_COMPONENT(gbdt_config, loss, 0, "\"cross_entropy\"", LATHE_KIND_LOSS,
                      "What is minimised.", .by_task = loss_by_task),
    LATHE_P_COMPONENT(gbdt_config, base, 0,
                      "{\"tree\": {\"max_leaves\": 31, \"min_rows\": 20, \"min_hessian\": 0.001}}",
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE, "Learner that each round fits."),
    LATHE_P_FLOAT(gbdt_config, row_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0, 1,
                  "Share of the rows that a round draws, without replacement."),
    LATHE_P_ENUM(gbdt_config, sampling, 0, "\"uniform\"", samplings,
                 "How a round draws its rows: uniform by row_share, or gradient: all rows of large "
                 "gradients and some of the others, which then count for those left out."),
    LATHE_P_FLOAT(gbdt_config, top_share,
                  LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.2", 0, 1,
                  "With gradient sampling: share of the rows, those of the largest gradients, that "
                  "are all kept."),
    LATHE_P_FLOAT(
        gbdt_config, other_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE,
        "0.1", 0, 1,
        "With gradient sampling: how many of the other rows are drawn, as a share of all."),
    LATHE_P_FLOAT(gbdt_config, feature_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0, 1,
                  "Share of the features that each learner of a round draws."),
    LATHE_P_INT(gbdt_config, early_stopping, LATHE_PARAM_NULLABLE, "null", 1, 1e6,
                "Stop when the loss of the validation rows has not fallen for so many rounds, and "
                "keep the rounds up "
                "to the best; null: never.",
                .unit = "rounds"),
};

static int32_t check_config(const void *config, lathe_error *err) {
    const gbdt_config *c = config;
    if (c->sampling != GBDT_SAMPLING_GRADIENT)
        return LATHE_OK;
    if (c->row_share < 1)
        return members_fail(
            err, LATHE_E_INVALID, "row_share",
            "row_share is for uniform sampling; with \"sampling\": \"gradient\" set "
            "top_share and other_share");
    if (c->top_share + c->other_share > 1)
        return members_fail(err, LATHE_E_INVALID, "other_share",
                            "top_share %g and other_share %g are more than all rows together",
                            c->top_share, c->other_share);
    return LATHE_OK;
}

/* ---- instance and context -------------------------------------------------------------------- */

static void destroy(void *self) {
    gbdt *g = self;
    if (!g)
        return;
    members_clear(&g->members);
    g->members.kids->destroy(g->host, &g->loss);
    g->host->free(g->host, g->start);
    g->host->free(g->host, g);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    gbdt *g = members_alloc(host, 1, sizeof *g);
    if (!g)
        return members_no_memory(err, "gbdt");
    g->host = host;
    g->config = config;
    int32_t rc = members_init(&g->members, host, g->config->base, err);
    if (rc != LATHE_OK) {
        host->free(host, g);
        return rc;
    }
    g->loss.struct_size = LATHE_SIZED(lathe_instance);
    rc = g->members.kids->create(host, g->config->loss, 0, NULL, &g->loss, err);
    if (rc != LATHE_OK) {
        host->free(host, g);
        return rc;
    }
    *self = g;
    return LATHE_OK;
}

static void gbdt_close(void *self, void *context) {
    (void)self;
    gbdt_context *c = context;
    if (!c)
        return;
    if (c->children.host)
        members_contexts_free(&c->children);
    c->host->free(c->host, c);
}

static int32_t gbdt_open(void *self, const lathe_open *open, void **context, lathe_error *err) {
    gbdt *g = self;
    *context = NULL;
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    int32_t rc = g->members.datasets->info(open->data, &info);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "gbdt", "the dataset does not describe itself");
    if (info.n_rows < 1 || info.n_rows > INT32_MAX)
        return members_fail(err, LATHE_E_DATA, "gbdt",
                            "the dataset has %lld rows; expected 1 to 2^31 - 1",
                            (long long)info.n_rows);
    gbdt_context *c = members_alloc(g->host, 1, sizeof *c);
    if (!c)
        return members_no_memory(err, "gbdt");
    lathe_open child = {
        .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = open->data};
    c->host = g->host;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->data = open->data;
    c->validation = open->validation;
    c->n_rows = info.n_rows;
    c->n_features = info.n_features;
    rc = members_contexts_init(&c->children, &g->members, &child, g->host->n_workers(g->host), err);
    if (rc != LATHE_OK) {
        gbdt_close(g, c);
        return rc;
    }
    *context = c;
    return LATHE_OK;
}

/* ---- predicting ------------------------------------------------------------------------------ */

static int32_t gbdt_output(const void *self, lathe_output *output) {
    const gbdt *g = self;
    output->type = g->output.type;
    output->n_outputs = g->output.n_outputs;
    output->n_features = g->output.n_features;
    return g->is_fitted ? LATHE_OK : LATHE_E_STATE;
}

static int64_t gbdt_scratch(const void *self, int64_t rows) {
    const gbdt *g = self;
    if (g->members.has_sum) {
        const lathe_learner *table = member_table(&g->members.sum);
        return table->scratch ? table->scratch(g->members.sum.self, rows) : 0;
    }
    int64_t block = rows < MEMBERS_BLOCK ? rows : MEMBERS_BLOCK, k = g->output.n_outputs;
    return members_align(block * k * (int64_t)sizeof(double)) +
           members_align(block * (int64_t)sizeof(float)) +
           members_child_scratch(&g->members, block);
}

/* Scores of one block by learners that did not combine, added in the order of the rounds. */
static int32_t predict_block(const gbdt *g, int64_t n, const float *x, int64_t stride, float *out,
                             void *scratch, lathe_error *err) {
    int64_t k = g->output.n_outputs;
    double *sum = scratch;
    float *one =
        (float *)(void *)((char *)scratch + members_align(n * k * (int64_t)sizeof(double)));
    void *rest = (char *)one + members_align(n * (int64_t)sizeof(float));
    for (int64_t i = 0; i < n * k; i++)
        sum[i] = g->start[i % k];
    for (int64_t m = 0; m < g->members.n; m++) {
        const lathe_instance *child = &g->members.child[m];
        int32_t rc = member_table(child)->predict(child->self, n, x, stride, one, rest, err);
        if (rc != LATHE_OK)
            return rc;
        for (int64_t i = 0; i < n; i++)
            sum[i * k + m % k] += g->config->learning_rate * (double)one[i];
    }
    for (int64_t i = 0; i < n * k; i++)
        out[i] = (float)sum[i];
    return LATHE_OK;
}

int32_t gbdt_predict_scores(const gbdt *g, int64_t n, const float *x, int64_t stride, float *out,
                            void *scratch, lathe_error *err) {
    if (g->members.has_sum)
        return member_table(&g->members.sum)
            ->predict(g->members.sum.self, n, x, stride, out, scratch, err);
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i += MEMBERS_BLOCK)
        rc = predict_block(g, n - i < MEMBERS_BLOCK ? n - i : MEMBERS_BLOCK, x + i * stride, stride,
                           out + i * g->output.n_outputs, scratch, err);
    return rc;
}

static int32_t gbdt_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                            void *scratch, lathe_error *err) {
    const gbdt *g = self;
    if (!g->is_fitted)
        return members_fail(err, LATHE_E_STATE, "gbdt", "predict was called before fit or load");
    int32_t rc = gbdt_predict_scores(g, n, x, stride, out, scratch, err);
    if (rc == LATHE_OK)
        rc = ((const lathe_loss *)g->loss.interface)
                 ->link(g->loss.self, n, g->output.n_outputs, out, out, err);
    return rc;
}

/* ---- state ----------------------------------------------------------------------------------- */

static int32_t gbdt_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const gbdt *g = self;
    if (!g->is_fitted)
        return members_fail(err, LATHE_E_STATE, "gbdt", "save was called before fit or load");
    int32_t rc = w->integer(w, "output", g->output.type, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "outputs", g->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "features", g->output.n_features, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "start", LATHE_FLOAT, 64, g->start, g->output.n_outputs, err);
    return rc == LATHE_OK ? members_save(&g->members, w, err) : rc;
}

static int32_t gbdt_load(void *self, const lathe_reader *r, lathe_error *err) {
    gbdt *g = self;
    int64_t type = 0;
    const void *start = NULL;
    int32_t rc = r->integer(r, "output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_PROBABILITY, &type, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "outputs", 1, 65536, &g->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "features", 0, INT32_MAX, &g->output.n_features, err);
    if (rc == LATHE_OK)
        rc = lathe_read_array(r, "start", LATHE_FLOAT, 64, g->output.n_outputs, &start, NULL, err);
    if (rc != LATHE_OK)
        return rc;
    int64_t k = g->output.n_outputs;
    g->host->free(g->host, g->start);
    g->start = members_alloc(g->host, k, sizeof *g->start);
    if (!g->start)
        return members_no_memory(err, "gbdt");
    memcpy(g->start, start, (size_t)k * sizeof *g->start);
    for (int64_t i = 0; i < k; i++)
        if (!(fabs(g->start[i]) < INFINITY))
            return members_fail(err, LATHE_E_CORRUPT, "gbdt", "the start score is %g", g->start[i]);
    rc = members_load(&g->members, r, g->output.n_features, k, 1, err);
    if (rc == LATHE_OK && g->members.n % k != 0)
        rc = members_fail(err, LATHE_E_CORRUPT, "gbdt", "%lld learners do not make rounds of %lld",
                          (long long)g->members.n, (long long)k);
    g->output.type = (int32_t)type;
    if (rc != LATHE_OK)
        members_clear(&g->members);
    g->is_fitted = rc == LATHE_OK;
    return rc;
}

static int32_t gbdt_importance(const void *self, int32_t type, int64_t n_features,
                               double *importance, lathe_error *err) {
    return members_importance(&((const gbdt *)self)->members, type, n_features, importance, err);
}

const lathe_learner gbdt_table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = gbdt_open,
    .fit = gbdt_fit,
    .close = gbdt_close,
    .output = gbdt_output,
    .scratch = gbdt_scratch,
    .predict = gbdt_predict,
    .save = gbdt_save,
    .load = gbdt_load,
    .importance = gbdt_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.gbdt",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "gbdt",
    .version = "1.0.0",
    .doc = "Gradient boosting: each round's learner corrects the ensemble so far.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, gbdt_config),
    .interface = &gbdt_table,
    .check_config = check_config,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
