/* bagging: the same learner fitted to several samples of the rows, and averaged.
 *
 * Breiman, "Bagging Predictors", Machine Learning 24, 1996. Each child sees a bootstrap sample (as
 * many draws with replacement as sample_share of the rows), or without replacement that share of
 * them ("pasting"), and a random subset of the features ("random subspaces": Ho, IEEE PAMI 20,
 * 1998). Values or class probabilities are averaged in double. The base may be anything: bagging of
 * networks, of linear models, of ensembles.
 *
 * Child c's random numbers are keyed by (key, c): one child more changes none of the others. With
 * `oob` the error on the rows that each child did not see is reported as the metric "oob_accuracy"
 * or "oob_rmse".
 */
#include "committee.h"

typedef struct bagging_config {
    const lathe_component *base;
    int64_t estimators;
    double sample_share;
    int32_t bootstrap;
    double feature_share;
    int32_t oob;
} bagging_config;

static const lathe_param params[] = {
    LATHE_P_COMPONENT(bagging_config, base, 0,
                      "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1}}",
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
                      "The learner; averaging suits those that fit closely, so the default is a "
                      "fully grown tree."),
    LATHE_P_INT(bagging_config, estimators, LATHE_PARAM_TUNABLE, "10", 1, 100000,
                "How many are fitted.", .scale = LATHE_SCALE_LOG),
    LATHE_P_FLOAT(bagging_config, sample_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0,
                  1, "Rows drawn for each, as a share of all."),
    LATHE_P_BOOL(bagging_config, bootstrap, 0, "true", "Whether rows are drawn with replacement."),
    LATHE_P_FLOAT(bagging_config, feature_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0,
                  1, "Features drawn for each, without replacement, as a share of all."),
    LATHE_P_BOOL(bagging_config, oob, 0, "false",
                 "Whether to report the error on rows outside of the samples."),
};

typedef struct bagging {
    committee model; /* first: the committee's functions take a bagging */
    const bagging_config *config;
} bagging;

/* A fit: the pool of rows to draw from, and what the threads share. */
typedef struct bag_job {
    bagging *m;
    const ensemble_context *c;
    const lathe_fit *fit;
    fit_rows pool; /* rows in the bag of the caller, repeated as there; without weight 0 */
    int64_t draws;
    int32_t sampled;        /* are rows drawn at all? */
    int64_t n_features;     /* to draw from */
    int64_t features_drawn; /* n_features: all */
    lathe_error *errors;    /* [children] */
} bag_job;

/* ---- drawing ---- */

/* The high half of a 64-bit random number times n < 2^32: uniform in [0, n). */
static int64_t below(uint64_t number, int64_t n) {
    uint64_t low = (number & 0xffffffffu) * (uint64_t)n;
    return (int64_t)(((number >> 32) * (uint64_t)n + (low >> 32)) >> 32);
}

/* counts[n_rows] of child `child`. */
static int32_t draw_rows(const bag_job *job, uint64_t key, uint16_t *counts, lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    int64_t n = job->pool.n;
    uint64_t numbers[256];

    if (job->m->config->bootstrap) {
        for (int64_t i = 0; i < job->draws; i += 256) {
            int64_t m = job->draws - i < 256 ? job->draws - i : 256;
            host->random_u64(host, key, (uint64_t)i, numbers, m);
            for (int64_t j = 0; j < m; j++) {
                int32_t row = job->pool.row[below(numbers[j], n)];
                if (counts[row] == UINT16_MAX)
                    return fail(err, LATHE_E_MEMORY, "Row %d was drawn more than %d times.", row,
                                UINT16_MAX);
                counts[row]++;
            }
        }
        return LATHE_OK;
    }
    shuffle_item *items = alloc_array(host, n, sizeof *items);
    int32_t *order = alloc_array(host, n, sizeof *order);
    if (items != NULL && order != NULL)
        shuffle_rows(host, key, &job->pool, get_datasets(host)->row_id(job->c->open.data), items,
                     order);
    for (int64_t i = 0; items != NULL && order != NULL && i < job->draws; i++)
        counts[job->pool.row[order[i]]]++;
    int32_t ok = items != NULL && order != NULL;
    host->free(host, order);
    host->free(host, items);
    return ok ? LATHE_OK : fail_memory(err, "drawing rows", n * 20);
}

/* features[features_drawn], ascending: those with the smallest random numbers. */
static int32_t draw_features(const bag_job *job, uint64_t key, int32_t *features,
                             lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    int64_t n = job->n_features, kept = 0;
    shuffle_item *items = alloc_array(host, n, sizeof *items);
    char *in = alloc_array(host, n, 1);

    if (items == NULL || in == NULL) {
        host->free(host, items);
        host->free(host, in);
        return fail_memory(err, "drawing features", n * 17);
    }
    for (int64_t j = 0; j < n; j++) {
        items[j].at = (int32_t)j;
        host->random_u64(host, key, (uint64_t)j, &items[j].number, 1);
    }
    shuffle_sort(items, n, SHUFFLE_TOP);
    for (int64_t j = 0; j < job->features_drawn; j++)
        in[items[j].at] = 1;
    for (int64_t j = 0; j < n; j++)
        if (in[j])
            features[kept++] = job->fit->features != NULL ? job->fit->features[j] : (int32_t)j;
    host->free(host, items);
    host->free(host, in);
    return LATHE_OK;
}

/* ---- fitting ---- */

static int32_t fit_child(bag_job *job, int64_t i, lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    uint64_t key = host->random_key(host, job->fit->key, (uint64_t)i);
    int32_t narrow = job->features_drawn < job->n_features;
    lathe_fit fit = *job->fit;
    uint16_t *counts = NULL;
    int32_t *features = NULL, rc = LATHE_OK;

    fit.key = host->random_key(host, key, 0);
    fit.fitted = NULL;
    if (job->sampled) {
        counts = alloc_array(host, job->c->info.n_rows, sizeof *counts);
        rc = counts == NULL ? fail_memory(err, "a sample", job->c->info.n_rows * 2)
                            : draw_rows(job, host->random_key(host, key, 1), counts, err);
        fit.counts = counts;
        fit.rows = NULL;
        fit.n_rows_used = 0;
    }
    if (rc == LATHE_OK && narrow) {
        features = alloc_array(host, job->features_drawn, sizeof *features);
        rc = features == NULL ? fail_memory(err, "a sample", job->features_drawn * 4)
                              : draw_features(job, host->random_key(host, key, 2), features, err);
        fit.features = features;
        fit.n_features_used = job->features_drawn;
    }
    if (rc == LATHE_OK)
        rc = child_fit(host, job->m->config->base,
                       child_needs(&fit, job->c->open.task, job->c->info.flags), &job->c->open,
                       &fit, &job->m->model.child[i], err);
    host->free(host, features);
    host->free(host, counts);
    return rc;
}

static int32_t fit_children(void *user, int64_t begin, int64_t end, int32_t worker) {
    bag_job *job = user;
    const lathe_host *host = job->m->model.host;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        if (host->stopped(host))
            return fail_stopped(&job->errors[i], "while bagging");
        int32_t rc = fit_child(job, i, &job->errors[i]);
        if (rc != LATHE_OK)
            return rc;
        host->progress(host, (double)(i + 1) / (double)job->m->config->estimators, "bagging");
    }
    return LATHE_OK;
}

/* Where the learners can be summed into one, that one replaces them. A mean of scores is no mean of
 * probabilities, so scores are not summed. */
static int32_t combine(bagging *m, lathe_error *err) {
    committee *model = &m->model;
    const lathe_host *host = model->host;
    const lathe_components *kids = get_components(host);
    const lathe_learner *learner = model->child[0].interface;
    lathe_instance sum = {0};
    int32_t rc;

    if (model->n < 2 || !(model->child[0].descriptor->flags & LATHE_LEARNER_COMBINES) ||
        model->gives[0].type == LATHE_OUTPUT_SCORE)
        return LATHE_OK;
    const void **selfs = alloc_array(host, model->n, sizeof *selfs);
    double *scale = alloc_array(host, model->n, sizeof *scale);
    if (selfs == NULL || scale == NULL) {
        rc = fail_memory(err, "combining", model->n * 16);
        goto done;
    }
    for (int64_t i = 0; i < model->n; i++) {
        selfs[i] = model->child[i].self;
        scale[i] = 1.0 / (double)model->n;
    }
    lathe_combine how = {.struct_size = LATHE_SIZED(lathe_combine),
                         .type = model->output.type,
                         .n_outputs = model->output.n_outputs,
                         .n_children = model->n,
                         .children = selfs,
                         .scale = scale};
    rc = kids->create(host, m->config->base, 0, NULL, &sum, err);
    if (rc != LATHE_OK)
        goto done;
    rc = learner->combine(sum.self, &how, err);
    if (rc == LATHE_OK)
        rc = committee_make(model, 1, err);
    if (rc == LATHE_OK) {
        model->child[0] = sum;
        rc = committee_finish(model, LATHE_E_SHAPE, err);
    } else {
        kids->destroy(host, &sum);
    }
done:
    host->free(host, scale);
    host->free(host, selfs);
    return rc;
}

/* ---- out of bag ---- */

typedef struct oob_sums {
    double *sum;   /* [pool, k] */
    int32_t *seen; /* [n_rows] how many children did not see it */
} oob_sums;

/* Adds child i's predictions of the rows that it did not see. */
static int32_t oob_add(const bag_job *job, int64_t i, uint16_t *counts, float *out, oob_sums *sums,
                       lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    const lathe_instance *child = &job->m->model.child[i];
    int64_t n = job->c->info.n_rows, k = job->m->model.output.n_outputs;
    uint64_t key = host->random_key(host, job->fit->key, (uint64_t)i);
    int32_t rc;

    memset(counts, 0, (size_t)n * sizeof *counts);
    rc = draw_rows(job, host->random_key(host, key, 1), counts, err);
    if (rc == LATHE_OK)
        rc = predict_all(host, child->interface, child->self, n, job->c->x, job->c->stride, out, k,
                         err);
    if (rc != LATHE_OK)
        return rc;
    if (job->m->model.gives[i].type == LATHE_OUTPUT_SCORE)
        scores_to_probabilities(n, k, out);
    for (int64_t r = 0; r < n; r++) {
        if (counts[r] > 0)
            continue;
        sums->seen[r]++;
        for (int64_t c = 0; c < k; c++)
            sums->sum[r * k + c] += (double)out[r * k + c];
    }
    return LATHE_OK;
}

static void oob_report(const bag_job *job, const float *target, const oob_sums *sums) {
    const lathe_host *host = job->m->model.host;
    int64_t k = job->m->model.output.n_outputs;
    double right = 0, total = 0;
    int32_t value = job->c->open.task == LATHE_TASK_REGRESSION;

    for (int64_t i = 0; i < job->pool.n; i++) {
        int32_t r = job->pool.row[i];
        const double *p = sums->sum + r * k;
        double times = sums->seen[r], y = target[r], best = 0;
        if (times == 0)
            continue;
        for (int64_t c = 1; c < k; c++)
            if (p[c] > p[(int64_t)best])
                best = (double)c;
        if (k == 1)
            best = p[0] / times >= 0.5;
        right += job->pool.weight[i] * (value       ? (p[0] / times - y) * (p[0] / times - y)
                                        : best == y ? 1.0
                                                    : 0.0);
        total += job->pool.weight[i];
    }
    if (total > 0)
        host->metric(host, value ? "oob_rmse" : "oob_accuracy", 0,
                     value ? sqrt(right / total) : right / total);
    else
        host->log(host, LATHE_LOG_WARN,
                  "bagging: every row is in every sample; there is no "
                  "out-of-bag estimate.");
}

static int32_t out_of_bag(const bag_job *job, lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    const float *target =
        job->fit->target != NULL ? job->fit->target : get_datasets(host)->target(job->c->open.data);
    int64_t n = job->c->info.n_rows, k = job->m->model.output.n_outputs;
    oob_sums sums = {alloc_array(host, n * k, sizeof(double)),
                     alloc_array(host, n, sizeof(int32_t))};
    uint16_t *counts = alloc_array(host, n, sizeof *counts);
    float *out = alloc_array(host, n * k, sizeof *out);
    int32_t rc = LATHE_OK;

    if (sums.sum == NULL || sums.seen == NULL || counts == NULL || out == NULL)
        rc = fail_memory(err, "the out-of-bag estimate", n * k * 12 + n * 6);
    for (int64_t i = 0; rc == LATHE_OK && i < job->m->model.n; i++)
        rc = oob_add(job, i, counts, out, &sums, err);
    if (rc == LATHE_OK)
        oob_report(job, target, &sums);
    host->free(host, out);
    host->free(host, counts);
    host->free(host, sums.seen);
    host->free(host, sums.sum);
    return rc;
}

/* ---- the learner ---- */

static int64_t share_of(double share, int64_t n) {
    int64_t m = (int64_t)floor(share * (double)n + 0.5);
    return m < 1 ? 1 : m > n ? n : m;
}

static int32_t prepare(bag_job *job, lathe_error *err) {
    const bagging_config *config = job->m->config;
    const lathe_host *host = job->m->model.host;
    const float *weight = job->fit->weight;
    int32_t rc;

    if (job->fit->gradient != NULL)
        weight = NULL; /* it is in the gradients */
    else if (weight == NULL)
        weight = get_datasets(host)->weight(job->c->open.data);
    rc = fit_rows_collect(host, job->fit, job->c->info.n_rows, weight, 1, &job->pool, err);
    if (rc != LATHE_OK)
        return rc;
    job->sampled = config->bootstrap || config->sample_share < 1.0;
    job->draws = share_of(config->sample_share, job->pool.n);
    job->n_features =
        job->fit->features != NULL ? job->fit->n_features_used : job->c->info.n_features;
    job->features_drawn =
        job->n_features > 0 ? share_of(config->feature_share, job->n_features) : 0;
    job->errors = alloc_array(host, config->estimators, sizeof *job->errors);
    if (job->errors == NULL)
        return fail_memory(err, "the children", config->estimators * (int64_t)sizeof *job->errors);
    return committee_make(&job->m->model, config->estimators, err);
}

static int32_t fit_all(bag_job *job, lathe_error *err) {
    const lathe_host *host = job->m->model.host;
    int64_t n = job->m->config->estimators;
    int32_t rc = prepare(job, err);

    if (rc != LATHE_OK)
        return rc;
    rc = host->parallel_for(host, n, 1, fit_children, job);
    for (int64_t i = n - 1; rc != LATHE_OK && err != NULL && i >= 0; i--)
        if (job->errors[i].code != 0)
            *err = job->errors[i];
    if (rc == LATHE_OK)
        rc = committee_finish(&job->m->model, LATHE_E_SHAPE, err);
    if (rc == LATHE_OK && job->m->config->oob && job->sampled && job->fit->gradient == NULL)
        rc = out_of_bag(job, err);
    return rc != LATHE_OK ? rc : combine(job->m, err);
}

static const lathe_learner table;

static int32_t fit_bagging(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    bagging *m = self;
    const ensemble_context *c = context;
    bag_job job = {.m = m, .c = c, .fit = fit};
    int32_t rc = fit_all(&job, err);

    m->model.host->free(m->model.host, job.errors);
    fit_rows_free(m->model.host, &job.pool);
    if (rc == LATHE_OK && fit->fitted != NULL)
        rc = predict_all(m->model.host, &table, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    if (rc != LATHE_OK)
        committee_forget(&m->model);
    return rc;
}

static int32_t open_context(void *self, const lathe_open *open, void **context, lathe_error *err) {
    bagging *m = self;
    return ensemble_open(m->model.host, open, context, err);
}

static void close_context(void *self, void *context) {
    bagging *m = self;
    m->model.host->free(m->model.host, context);
}

static void destroy(void *self) {
    bagging *m = self;
    const lathe_host *host = m->model.host;
    committee_forget(&m->model);
    host->free(host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    bagging *m;
    if (get_components(host) == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the ensemble", sizeof *m);
    m->model.host = host;
    m->config = config;
    *self = m;
    return LATHE_OK;
}

static const lathe_learner table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = open_context,
    .fit = fit_bagging,
    .close = close_context,
    .output = committee_output,
    .scratch = committee_scratch,
    .predict = committee_predict,
    .save = committee_save,
    .load = committee_load,
    .importance = committee_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.bagging",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "bagging",
    .version = "1.0.0",
    .doc = "One learner fitted to several random samples of the rows and features, and averaged.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, bagging_config),
    .interface = &table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
