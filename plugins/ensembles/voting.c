/* voting: several learners of any kind, each fitted to all rows, whose predictions are averaged.
 *
 * soft: the weighted mean of values or of class probabilities; hard: the weighted share of the
 * learners that vote for a class (majority vote; Kittler, Hatef, Duin, Matas, "On Combining
 * Classifiers", IEEE PAMI 20, 1998). For a regression both are the weighted mean. Child c's random
 * numbers are keyed by (key, c): another child changes none of the others.
 */
#include "committee.h"

typedef struct voting_config {
    lathe_list base;    /* const lathe_component * */
    lathe_list weights; /* double */
    int32_t vote;
} voting_config;

static const char *const vote_names[] = {"soft", "hard", NULL};

static const lathe_param params[] = {
    LATHE_P_COMPONENT(voting_config, base, LATHE_PARAM_REQUIRED | LATHE_PARAM_LIST, NULL,
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE, "The learners.", .min_count = 1,
                      .max_count = 1000),
    {LATHE_P_(voting_config, weights, LATHE_PARAM_FLOAT,
              LATHE_PARAM_LIST | LATHE_PARAM_NULLABLE | LATHE_PARAM_HAS_MIN, "null"),
     .min = 0, .doc = "How much each learner counts, in the order of base; null: all the same."},
    LATHE_P_ENUM(
        voting_config, vote, 0, "\"soft\"", vote_names,
        "soft averages probabilities, hard counts the votes; a regression is always averaged."),
};

static int32_t check_config(const void *config, lathe_error *err) {
    const voting_config *c = config;
    const double *weights = c->weights.items;
    double total = 0;

    if (c->weights.count < 0)
        return LATHE_OK;
    snprintf(err->where, sizeof err->where, "weights");
    if (c->weights.count != c->base.count)
        return fail(err, LATHE_E_INVALID,
                    "There are %lld weights for %lld learners; give one each.",
                    (long long)c->weights.count, (long long)c->base.count);
    for (int64_t i = 0; i < c->weights.count; i++)
        total += weights[i];
    if (!(total > 0))
        return fail(err, LATHE_E_INVALID, "The weights sum to %g; at least one must be positive.",
                    total);
    err->where[0] = '\0';
    return LATHE_OK;
}

typedef struct voting {
    committee model; /* first: the committee's functions take a voting */
    const voting_config *config;
} voting;

typedef struct voting_job {
    voting *m;
    const ensemble_context *c;
    const lathe_fit *fit;
    lathe_error *errors; /* [children] */
} voting_job;

static int32_t fit_children(void *user, int64_t begin, int64_t end, int32_t worker) {
    voting_job *job = user;
    const lathe_host *host = job->m->model.host;
    const lathe_component *const *base = job->m->config->base.items;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        lathe_fit fit = *job->fit;
        fit.key = host->random_key(host, job->fit->key, (uint64_t)i);
        fit.fitted = NULL;
        int32_t rc =
            child_fit(host, base[i], child_needs(&fit, job->c->open.task, job->c->info.flags),
                      &job->c->open, &fit, &job->m->model.child[i], &job->errors[i]);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static int32_t fit_all(voting *m, const ensemble_context *c, const lathe_fit *fit,
                       lathe_error *err) {
    const lathe_host *host = m->model.host;
    const double *weights = m->config->weights.items;
    int64_t n = m->config->base.count;
    voting_job job = {.m = m, .c = c, .fit = fit};
    int32_t rc = committee_make(&m->model, n, err);

    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < n && m->config->weights.count == n; i++)
        m->model.weight[i] = weights[i];
    m->model.hard = m->config->vote == 1 && c->open.task != LATHE_TASK_REGRESSION;
    job.errors = alloc_array(host, n, sizeof *job.errors);
    if (job.errors == NULL)
        return fail_memory(err, "the children", n * (int64_t)sizeof *job.errors);
    rc = host->parallel_for(host, n, 1, fit_children, &job);
    for (int64_t i = n - 1; rc != LATHE_OK && err != NULL && i >= 0; i--)
        if (job.errors[i].code != 0)
            *err = job.errors[i];
    host->free(host, job.errors);
    return rc != LATHE_OK ? rc : committee_finish(&m->model, LATHE_E_SHAPE, err);
}

static int32_t open_context(void *self, const lathe_open *open, void **context, lathe_error *err) {
    voting *m = self;
    return ensemble_open(m->model.host, open, context, err);
}

static void close_context(void *self, void *context) {
    voting *m = self;
    m->model.host->free(m->model.host, context);
}

static const lathe_learner table;

static int32_t fit_voting(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    voting *m = self;
    const ensemble_context *c = context;
    int32_t rc = fit_all(m, c, fit, err);

    if (rc == LATHE_OK && fit->fitted != NULL)
        rc = predict_all(m->model.host, &table, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    if (rc != LATHE_OK)
        committee_forget(&m->model);
    return rc;
}

static void destroy(void *self) {
    voting *m = self;
    const lathe_host *host = m->model.host;
    committee_forget(&m->model);
    host->free(host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    voting *m;
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
    .fit = fit_voting,
    .close = close_context,
    .output = committee_output,
    .scratch = committee_scratch,
    .predict = committee_predict,
    .save = committee_save,
    .load = committee_load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED,
    .id = "lathe.ensemble.voting",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "voting",
    .version = "1.0.0",
    .doc = "The weighted average, or the majority vote, of learners of any kind.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, voting_config),
    .interface = &table,
    .check_config = check_config,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
