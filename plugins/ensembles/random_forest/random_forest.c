/* random_forest: the mean of many randomised trees.
 *
 * Each tree is grown to its end on a bootstrap sample and draws a few features afresh for every
 * split (L. Breiman, "Random forests", Machine Learning 45, 2001); the forest's output is the mean
 * of the trees' outputs. The variance of a mean of T equal learners with correlation r is r s^2 +
 * (1 - r) s^2 / T: the drawing lowers r.
 *
 * Sampling. With `bootstrap` row i is in the bag of tree t Poisson(sample_share) times, else once
 * with probability sample_share (N. Oza & S. Russell, "Online bagging and boosting", 2001: for many
 * rows this is the bootstrap). The number is a function of (key, t, the row's number in the source)
 * alone, so it does not depend on the other rows, and a row with count 2 is a row that occurs
 * twice.
 *
 * Out of bag. The mean over the trees whose bag lacks a row predicts it almost as a row not trained
 * on would be (Breiman 2001, section 3.1): `oob_score` reports that accuracy, or RMSE.
 *
 * The base may be any learner. Trees become one instance that holds all of them.
 */
#include "forest.h"

static const lathe_task_default base_by_task[] = {
    {LATHE_TASK_REGRESSION, 0,
     "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": \"all\"}}"},
    {0, 0, NULL},
};

static const lathe_param params[] = {
    LATHE_P_INT(forest_config, trees, LATHE_PARAM_TUNABLE, "100", 1, 1e6, "Trees.", .unit = "trees",
                .scale = LATHE_SCALE_LOG),
    LATHE_P_COMPONENT(
        forest_config, base, 0,
        "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": \"sqrt\"}}",
        LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
        "Learner of which the forest consists: a fully grown tree that draws its features.",
        .by_task = base_by_task),
    LATHE_P_BOOL(forest_config, bootstrap, 0, "true",
                 "Draw rows with replacement; false: without."),
    LATHE_P_FLOAT(forest_config, sample_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0,
                  1, "Rows drawn for a tree, as a share of all."),
    LATHE_P_BOOL(forest_config, oob_score, 0, "false",
                 "Report how well the trees predict the rows that they did not draw."),
};

/* ---- instance -------------------------------------------------------------------------------- */

static int32_t create(const lathe_host *host, const void *cfg, void **self, lathe_error *err) {
    forest *f = members_alloc(host, 1, sizeof *f);
    if (!f)
        return members_no_memory(err, "random_forest");
    f->host = host;
    f->config = cfg;
    int32_t rc = members_init(&f->members, host, f->config->base, err);
    if (rc != LATHE_OK) {
        host->free(host, f);
        return rc;
    }
    *self = f;
    return LATHE_OK;
}

static void destroy(void *self) {
    forest *f = self;
    if (!f)
        return;
    members_clear(&f->members);
    f->host->free(f->host, f);
}

static void forest_close(void *self, void *ctx) {
    (void)self;
    forest_context *c = ctx;
    if (!c)
        return;
    const lathe_host *host = c->host;
    if (c->children.host)
        members_contexts_free(&c->children);
    for (int32_t i = 0; i < c->n_workers; i++) {
        if (c->counts)
            host->free(host, c->counts[i]);
        if (c->draws)
            host->free(host, c->draws[i]);
    }
    host->free(host, c->counts);
    host->free(host, c->draws);
    host->free(host, c);
}

static int32_t forest_open(void *self, const lathe_open *open, void **ctx, lathe_error *err) {
    forest *f = self;
    *ctx = NULL;
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    int32_t rc = f->members.datasets->info(open->data, &info);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "random_forest", "the dataset does not describe itself");
    forest_context *c = members_alloc(f->host, 1, sizeof *c);
    if (!c)
        return members_no_memory(err, "random_forest");
    lathe_open child = *open;
    child.validation = NULL;
    c->host = f->host;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->data = open->data;
    c->n_rows = info.n_rows;
    c->n_features = info.n_features;
    c->n_workers = f->host->n_workers(f->host);
    c->counts = members_alloc(f->host, c->n_workers, sizeof *c->counts);
    c->draws = members_alloc(f->host, c->n_workers, sizeof *c->draws);
    if (c->counts && c->draws)
        rc = members_contexts_init(&c->children, &f->members, &child, c->n_workers, err);
    else
        rc = members_no_memory(err, "random_forest");
    if (rc != LATHE_OK) {
        forest_close(f, c);
        return rc;
    }
    *ctx = c;
    return LATHE_OK;
}

/* ---- the fitted forest ----------------------------------------------------------------------- */

static int32_t forest_output(const void *self, lathe_output *output) {
    const forest *f = self;
    output->type = f->output.type;
    output->n_outputs = f->output.n_outputs;
    output->n_features = f->output.n_features;
    return f->is_fitted ? LATHE_OK : LATHE_E_STATE;
}

static int64_t forest_scratch(const void *self, int64_t rows) {
    const forest *f = self;
    if (f->members.has_sum)
        return member_table(&f->members.sum)->scratch
                   ? member_table(&f->members.sum)->scratch(f->members.sum.self, rows)
                   : 0;
    int64_t block = rows < MEMBERS_BLOCK ? rows : MEMBERS_BLOCK, k = f->output.n_outputs;
    return members_align(block * k * (int64_t)sizeof(double)) +
           members_align(block * k * (int64_t)sizeof(float)) +
           members_child_scratch(&f->members, block);
}

/* The mean of children that did not combine, for one block of rows. */
static int32_t predict_block(const forest *f, int64_t n, const float *x, int64_t stride, float *out,
                             void *scratch, lathe_error *err) {
    int64_t k = f->output.n_outputs;
    double *sum = scratch;
    float *one =
        (float *)(void *)((char *)scratch + members_align(n * k * (int64_t)sizeof(double)));
    void *rest = (char *)one + members_align(n * k * (int64_t)sizeof(float));
    memset(sum, 0, (size_t)(n * k) * sizeof(double));
    for (int64_t t = 0; t < f->members.n; t++) {
        const lathe_instance *child = &f->members.child[t];
        int32_t rc = member_table(child)->predict(child->self, n, x, stride, one, rest, err);
        if (rc != LATHE_OK)
            return rc;
        members_to_probability(f->output.type == LATHE_OUTPUT_PROBABILITY ? f->child_type : 0, n, k,
                               one);
        for (int64_t i = 0; i < n * k; i++)
            sum[i] += one[i];
    }
    for (int64_t i = 0; i < n * k; i++)
        out[i] = (float)(sum[i] / (double)f->members.n);
    return LATHE_OK;
}

static int32_t forest_predict(const void *self, int64_t n, const float *x, int64_t stride,
                              float *out, void *scratch, lathe_error *err) {
    const forest *f = self;
    if (!f->is_fitted)
        return members_fail(err, LATHE_E_STATE, "random_forest",
                            "predict was called before fit or load");
    if (f->members.has_sum)
        return member_table(&f->members.sum)
            ->predict(f->members.sum.self, n, x, stride, out, scratch, err);
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i += MEMBERS_BLOCK)
        rc = predict_block(f, n - i < MEMBERS_BLOCK ? n - i : MEMBERS_BLOCK, x + i * stride, stride,
                           out + i * f->output.n_outputs, scratch, err);
    return rc;
}

static int32_t forest_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const forest *f = self;
    if (!f->is_fitted)
        return members_fail(err, LATHE_E_STATE, "random_forest",
                            "save was called before fit or load");
    int32_t rc = w->integer(w, "output", f->output.type, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "child_output", f->child_type, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "outputs", f->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "features", f->output.n_features, err);
    return rc == LATHE_OK ? members_save(&f->members, w, err) : rc;
}

static int32_t forest_load(void *self, const lathe_reader *r, lathe_error *err) {
    forest *f = self;
    int64_t type = 0, child_type = 0;
    f->output.struct_size = LATHE_SIZED(lathe_output);
    int32_t rc = r->integer(r, "output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &type, err);
    if (rc == LATHE_OK)
        rc =
            r->integer(r, "child_output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &child_type, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "outputs", 1, 65536, &f->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "features", 0, INT32_MAX, &f->output.n_features, err);
    if (rc == LATHE_OK)
        rc = members_load(&f->members, r, f->output.n_features, f->output.n_outputs,
                          f->output.n_outputs, err);
    f->output.type = (int32_t)type;
    f->child_type = (int32_t)child_type;
    if (rc != LATHE_OK)
        members_clear(&f->members);
    f->is_fitted = rc == LATHE_OK;
    return rc;
}

static int32_t forest_importance(const void *self, int32_t type, int64_t n_features,
                                 double *importance, lathe_error *err) {
    return members_importance(&((const forest *)self)->members, type, n_features, importance, err);
}

const lathe_learner forest_table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = forest_open,
    .fit = forest_fit,
    .close = forest_close,
    .output = forest_output,
    .scratch = forest_scratch,
    .predict = forest_predict,
    .save = forest_save,
    .load = forest_load,
    .importance = forest_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.random_forest",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "random_forest",
    .version = "1.0.0",
    .doc =
        "Mean of many trees, each grown on a bootstrap sample with features drawn for every split.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, forest_config),
    .interface = &forest_table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
