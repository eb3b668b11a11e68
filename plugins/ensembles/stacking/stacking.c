/* stacking: a final learner on the predictions of others.
 *
 * Wolpert, "Stacked generalization", Neural Networks 5, 1992; Breiman, "Stacked regressions",
 * Machine Learning 24, 1996. The rows are cut into folds. Each base learner is fitted without each
 * fold and predicts it, so that every row has predictions of learners that did not see it; on these
 * the final learner is fitted. Then each base is fitted again to all rows; a prediction is the
 * final learner's on theirs.
 *
 * The features of the final learner: of each base its value (regression), its probability of class
 * 1 (binary) or of each class (multiclass); with passthrough the original features behind them.
 * Folds keep the shares of the classes (classification) and depend on (key, row_id) alone; rows of
 * one row_id (a bootstrap's repeats) are in one fold. Random numbers of base b are keyed by (key,
 * b): another base changes none of the others.
 */
#include "stacking.h"

static const lathe_param params[] = {
    LATHE_P_COMPONENT(stacking_config, base, LATHE_PARAM_REQUIRED | LATHE_PARAM_LIST, NULL,
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE, "The learners that are stacked.",
                      .min_count = 1, .max_count = 1000),
    LATHE_P_COMPONENT(stacking_config, final, 0, "\"linear\"",
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
                      "The learner on their predictions."),
    LATHE_P_INT(stacking_config, folds, 0, "5", 2, 1000,
                "Parts of the rows that are predicted in turn.", .unit = "folds"),
    LATHE_P_BOOL(stacking_config, passthrough, 0, "false",
                 "Whether the final learner also sees the original features."),
};

static void forget(stacking *m) {
    const lathe_components *kids = get_components(m->host);
    for (int64_t i = 0; m->child != NULL && i < m->n; i++)
        kids->destroy(m->host, &m->child[i]);
    kids->destroy(m->host, &m->final);
    m->host->free(m->host, m->child);
    m->host->free(m->host, m->gives);
    m->child = NULL;
    m->gives = NULL;
    m->fitted = 0;
}

static int32_t make_children(stacking *m, lathe_error *err) {
    forget(m);
    m->n = m->config->base.count;
    m->child = alloc_array(m->host, m->n, sizeof *m->child);
    m->gives = alloc_array(m->host, m->n, sizeof *m->gives);
    if (m->child == NULL || m->gives == NULL) {
        forget(m);
        return fail_memory(err, "the children", m->n * (int64_t)sizeof *m->child);
    }
    return LATHE_OK;
}

/* All children are there. */
static int32_t finish(stacking *m, int64_t n_features, int32_t code, lathe_error *err) {
    const lathe_learner *learner = m->final.interface;
    lathe_output gives;
    int32_t rc;

    m->scratch = learner->scratch(m->final.self, CHILD_BLOCK);
    for (int64_t i = 0; i < m->n; i++) {
        if ((rc = stack_check_base(&m->child[i], m->k, n_features, code, &m->gives[i], err)) !=
            LATHE_OK)
            return rc;
        learner = m->child[i].interface;
        int64_t bytes = learner->scratch(m->child[i].self, CHILD_BLOCK);
        if (bytes > m->scratch)
            m->scratch = bytes;
    }
    if ((rc = child_output(&m->final, &gives, err)) != LATHE_OK)
        return rc;
    if (gives.n_features != m->width)
        return fail(err, code, "The final learner takes %lld features, not %lld.",
                    (long long)gives.n_features, (long long)m->width);
    m->output = gives;
    m->output.n_features = n_features;
    m->fitted = 1;
    return LATHE_OK;
}

/* Base b on all rows. */
static int32_t whole(const stack_job *job, int64_t b, uint64_t key, lathe_error *err) {
    const stacking *m = job->m;
    const lathe_component *const *base = m->config->base.items;
    lathe_fit fit = *job->fit;
    fit.key = key;
    fit.fitted = NULL;
    return child_fit(m->host, base[b], child_needs(&fit, job->c->open.task, job->c->info.flags),
                     &job->c->open, &fit, &m->child[b], err);
}

/* Task t: base t % n, fold t / n, so that few folds are in work at once; the last "fold" is the fit on
 * all rows. */
static int32_t run_tasks(void *user, int64_t begin, int64_t end, int32_t worker) {
    stack_job *job = user;
    const lathe_host *host = job->m->host;
    int64_t folds = job->m->config->folds;
    (void)worker;
    for (int64_t t = begin; t < end; t++) {
        int64_t b = t % job->m->n, fold = t / job->m->n;
        uint64_t key = host->random_key(host, job->fit->key, (uint64_t)b);
        int32_t rc;
        if (host->stopped(host))
            return fail_stopped(&job->errors[t], "while stacking");
        key = host->random_key(host, key, (uint64_t)fold);
        rc = fold < folds ? stack_one_fold(job, b, fold, key, &job->errors[t])
                          : whole(job, b, key, &job->errors[t]);
        if (rc != LATHE_OK)
            return rc;
        host->progress(host, (double)(t + 1) / (double)(job->m->n * (folds + 1) + 1), "stacking");
    }
    return LATHE_OK;
}

/* ---- the final learner ---- */

static int32_t name_features(const stack_job *job, lathe_feature *features, char (*names)[96],
                             lathe_error *err) {
    const stacking *m = job->m;
    const lathe_components *kids = get_components(m->host);
    const lathe_component *const *base = m->config->base.items;
    const lathe_feature *original = get_datasets(m->host)->features(job->c->open.data);

    for (int64_t j = 0; j < m->n * m->k; j++) {
        const lathe_descriptor *d = kids->descriptor(m->host, base[j / m->k]);
        if (d == NULL)
            return fail(err, LATHE_E_INTERNAL, "Base %lld has no plugin.", (long long)(j / m->k));
        snprintf(names[j], sizeof names[j], "%.40s.%lld.%lld", d->name, (long long)(j / m->k),
                 (long long)(j % m->k));
        features[j] = (lathe_feature){names[j], LATHE_FEATURE_NUMERIC, 0};
    }
    for (int64_t j = m->n * m->k; j < m->width; j++)
        features[j] = original[j - m->n * m->k];
    return LATHE_OK;
}

/* The dataset of the meta features: the rows in use, with targets and weights. */
static int32_t make_meta(const stack_job *job, const float *target, lathe_dataset **data,
                         lathe_error *err) {
    const stacking *m = job->m;
    const lathe_host *host = m->host;
    const int64_t *row_id = get_datasets(host)->row_id(job->c->open.data);
    int64_t n = job->rows.n, based = m->n * m->k;
    lathe_feature *features = alloc_array(host, m->width, sizeof *features);
    char(*names)[96] = alloc_array(host, m->width, sizeof *names);
    float *y = alloc_array(host, n, sizeof *y), *w = alloc_array(host, n, sizeof *w);
    int64_t *id = alloc_array(host, n, sizeof *id);
    int32_t rc = LATHE_OK, weighted = 0;

    if (features == NULL || names == NULL || y == NULL || w == NULL || id == NULL)
        rc = fail_memory(err, "the predictions", n * 16);
    else
        rc = name_features(job, features, names, err);
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        int32_t row = job->rows.row[i];
        y[i] = target[row];
        w[i] = (float)job->rows.weight[i];
        weighted |= w[i] != 1.0f;
        id[i] = row_id != NULL ? row_id[row] : row;
        if (m->config->passthrough)
            memcpy(job->meta + i * m->width + based, job->c->x + row * job->c->stride,
                   (size_t)job->c->info.n_features * sizeof(float));
    }
    if (rc == LATHE_OK) {
        lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                                   .task = job->c->open.task,
                                   .n_rows = n,
                                   .n_features = m->width,
                                   .n_classes = job->c->open.n_classes,
                                   .features = features,
                                   .matrix = job->meta,
                                   .stride = m->width,
                                   .target = y,
                                   .weight = weighted ? w : NULL,
                                   .row_id = id};
        rc = get_datasets(host)->make(host, &spec, data, err);
    }
    host->free(host, id);
    host->free(host, w);
    host->free(host, y);
    host->free(host, names);
    host->free(host, features);
    return rc;
}

static int32_t fit_final(const stack_job *job, const float *target, lathe_error *err) {
    stacking *m = job->m;
    lathe_dataset *data = NULL;
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_open open = job->c->open;
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit)};
    int32_t rc = make_meta(job, target, &data, err);

    if (rc == LATHE_OK)
        rc = get_datasets(m->host)->info(data, &info);
    if (rc == LATHE_OK) {
        open.data = data;
        open.validation = NULL;
        fit.key = m->host->random_key(m->host, job->fit->key, UINT64_MAX - 1);
        rc = child_fit(m->host, m->config->final, child_needs(&fit, open.task, info.flags), &open,
                       &fit, &m->final, err);
    }
    get_datasets(m->host)->release(data);
    return rc;
}

/* ---- the learner ---- */

static int32_t prepare(stack_job *job, const float *target, lathe_error *err) {
    stacking *m = job->m;
    const lathe_host *host = m->host;
    const float *weight = job->fit->weight;
    int64_t tasks = m->config->base.count * (m->config->folds + 1);
    int32_t rc = make_children(m, err);

    if (rc != LATHE_OK)
        return rc;
    if (target == NULL)
        return fail(err, LATHE_E_DATA, "There is no target to fit.");
    if (weight == NULL)
        weight = get_datasets(host)->weight(job->c->open.data);
    rc = fit_rows_collect(host, job->fit, job->c->info.n_rows, weight, 0, &job->rows, err);
    if (rc != LATHE_OK)
        return rc;
    m->k = task_outputs(job->c->open.task, job->c->open.n_classes);
    m->width = m->n * m->k + (m->config->passthrough ? job->c->info.n_features : 0);
    job->fold = alloc_array(host, job->rows.n, sizeof *job->fold);
    job->meta = job->rows.n > INT64_MAX / 8 / m->width
                    ? NULL
                    : alloc_array(host, job->rows.n * m->width, sizeof *job->meta);
    job->errors = alloc_array(host, tasks, sizeof *job->errors);
    if (job->fold == NULL || job->meta == NULL || job->errors == NULL)
        return fail_memory(err, "the predictions", job->rows.n * m->width * 4);
    for (int64_t i = 0; i < job->rows.n; i++) {
        float y = target[job->rows.row[i]];
        if (isnan(y) || isinf(y))
            return fail(err, LATHE_E_NUMERIC,
                        "The target of row %d is %g; a target must be a finite number.",
                        job->rows.row[i], (double)y);
        if (job->c->open.task != LATHE_TASK_REGRESSION && !(y >= 0.0f && y < 1e6f))
            return fail(err, LATHE_E_DATA, "The target of row %d is %g, which is no class number.",
                        job->rows.row[i], (double)y);
    }
    return stack_deal_folds(job, target, err);
}

static int32_t fit_all(stack_job *job, lathe_error *err) {
    stacking *m = job->m;
    const float *target = job->fit->target != NULL
                              ? job->fit->target
                              : get_datasets(m->host)->target(job->c->open.data);
    int64_t tasks = m->config->base.count * (m->config->folds + 1);
    int32_t rc;

    if (job->fit->gradient != NULL)
        return fail(err, LATHE_E_UNSUPPORTED,
                    "Stacking fits no gradients; let \"adapt\" turn them into targets.");
    if ((rc = prepare(job, target, err)) != LATHE_OK)
        return rc;
    if ((rc = stack_make_parts(job, err)) != LATHE_OK)
        return rc;
    rc = m->host->parallel_for(m->host, tasks, 1, run_tasks, job);
    for (int64_t t = tasks - 1; rc != LATHE_OK && err != NULL && t >= 0; t--)
        if (job->errors[t].code != 0)
            *err = job->errors[t];
    if (rc == LATHE_OK)
        rc = fit_final(job, target, err);
    return rc != LATHE_OK ? rc : finish(m, job->c->info.n_features, LATHE_E_SHAPE, err);
}

static const lathe_learner table;

static int32_t fit_stacking(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    stacking *m = self;
    const ensemble_context *c = context;
    stack_job job = {.m = m, .c = c, .fit = fit};
    int32_t rc = fit_all(&job, err);

    stack_free_parts(&job);
    m->host->free(m->host, job.errors);
    m->host->free(m->host, job.meta);
    m->host->free(m->host, job.fold);
    fit_rows_free(m->host, &job.rows);
    if (rc == LATHE_OK && fit->fitted != NULL)
        rc = predict_all(m->host, &table, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    if (rc != LATHE_OK)
        forget(m);
    return rc;
}

static int32_t output(const void *self, lathe_output *out) {
    const stacking *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    out->type = m->output.type;
    out->n_outputs = m->output.n_outputs;
    out->n_features = m->output.n_features;
    return LATHE_OK;
}

static int64_t scratch(const void *self, int64_t rows) {
    const stacking *m = self;
    (void)rows;
    return (int64_t)(align64((uint64_t)(CHILD_BLOCK * m->width) * sizeof(float)) +
                     align64((uint64_t)(CHILD_BLOCK * m->k) * sizeof(float))) +
           m->scratch;
}

/* The meta features of at most CHILD_BLOCK rows. */
static int32_t fill_meta(const stacking *m, int64_t rows, const float *x, int64_t stride,
                         float *meta, float *one, void *own, lathe_error *err) {
    for (int64_t b = 0; b < m->n; b++) {
        int32_t rc = child_predict(&m->child[b], &m->gives[b], rows, x, stride, one, own, err);
        if (rc != LATHE_OK)
            return rc;
        for (int64_t i = 0; i < rows; i++)
            memcpy(meta + i * m->width + b * m->k, one + i * m->k, (size_t)m->k * sizeof(float));
    }
    for (int64_t i = 0; m->config->passthrough && i < rows; i++)
        memcpy(meta + i * m->width + m->n * m->k, x + i * stride,
               (size_t)m->output.n_features * sizeof(float));
    return LATHE_OK;
}

static int32_t predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err) {
    const stacking *m = self;
    const lathe_learner *final = m->final.interface;
    float *meta = scratch, *one;
    void *own;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The stack is not fitted.");
    one = (float *)((char *)scratch + align64((uint64_t)(CHILD_BLOCK * m->width) * sizeof(float)));
    own = (char *)one + align64((uint64_t)(CHILD_BLOCK * m->k) * sizeof(float));
    for (int64_t first = 0; first < n; first += CHILD_BLOCK) {
        int64_t rows = n - first < CHILD_BLOCK ? n - first : CHILD_BLOCK;
        int32_t rc = fill_meta(m, rows, x + first * stride, stride, meta, one, own, err);
        if (rc == LATHE_OK)
            rc = final->predict(m->final.self, rows, meta, m->width,
                                out + first * m->output.n_outputs, own, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const stacking *m = self;
    int32_t rc;
    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The stack is not fitted.");
    if ((rc = w->integer(w, "features", m->output.n_features, err)) != LATHE_OK ||
        (rc = w->integer(w, "outputs", m->k, err)) != LATHE_OK ||
        (rc = children_save(w, "base", m->child, m->n, err)) != LATHE_OK)
        return rc;
    return w->child(w, "final", &m->final, err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    stacking *m = self;
    int64_t features;
    int32_t rc;

    if ((rc = r->integer(r, "features", 0, INT32_MAX, &features, err)) != LATHE_OK ||
        (rc = r->integer(r, "outputs", 1, 65536, &m->k, err)) != LATHE_OK ||
        (rc = make_children(m, err)) != LATHE_OK)
        return rc;
    m->width = m->n * m->k + (m->config->passthrough ? features : 0);
    rc = children_load(r, "base", m->child, m->n, err);
    if (rc == LATHE_OK)
        rc = r->child(r, "final", &m->final, err);
    if (rc == LATHE_OK && strcmp(m->final.descriptor->kind, LATHE_KIND_LEARNER) != 0 &&
        strcmp(m->final.descriptor->kind, LATHE_KIND_ENSEMBLE) != 0)
        rc = fail(err, LATHE_E_CORRUPT, "The child \"final\" is a %s, not a learner.",
                  m->final.descriptor->kind);
    if (rc == LATHE_OK)
        rc = finish(m, features, LATHE_E_CORRUPT, err);
    if (rc != LATHE_OK)
        forget(m);
    return rc;
}

static int32_t open_context(void *self, const lathe_open *open, void **context, lathe_error *err) {
    stacking *m = self;
    return ensemble_open(m->host, open, context, err);
}

static void close_context(void *self, void *context) {
    stacking *m = self;
    m->host->free(m->host, context);
}

static void destroy(void *self) {
    stacking *m = self;
    forget(m);
    m->host->free(m->host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    stacking *m;
    if (get_components(host) == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the ensemble", sizeof *m);
    m->host = host;
    m->config = config;
    *self = m;
    return LATHE_OK;
}

static const lathe_learner table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = open_context,
    .fit = fit_stacking,
    .close = close_context,
    .output = output,
    .scratch = scratch,
    .predict = predict,
    .save = save,
    .load = load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED,
    .id = "lathe.ensemble.stacking",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "stacking",
    .version = "1.0.0",
    .doc = "A final learner on the out-of-fold predictions of others.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, stacking_config),
    .interface = &table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
