/* Opening (encoding) and fitting: each thing that the base lacks, one after the other. */
#include "adapt.h"

/* ---- contexts ---- */

typedef struct build {
    const adapt *m;
    const encoder *e;
    const lathe_dataset *data;
} build;

static int32_t build_encoded(void *user, lathe_dataset **derived, lathe_error *err) {
    const build *b = user;
    return encoder_encode(b->e, b->m->host, b->data, derived, err);
}

static int32_t encode(adapt *m, adapt_context *c, lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(m->host);
    build b = {m, &c->encoder, c->open.data};
    char key[128];
    int32_t rc;

    encoder_choose(&c->encoder, m->base->flags);
    rc = encoder_fit(&c->encoder, m->host, c->open.data, m->config->max_categories, err);
    if (rc != LATHE_OK)
        return rc;
    c->data = c->open.data;
    c->validation = c->open.validation;
    if (c->encoder.plain)
        return LATHE_OK;
    snprintf(key, sizeof key, "lathe.ensemble.adapt/1/%d%d%d/%lld", c->encoder.impute,
             c->encoder.scale, c->encoder.one_hot, (long long)m->config->max_categories);
    rc = datasets->derive(c->open.data, key, build_encoded, &b, &c->data, err);
    if (rc == LATHE_OK && c->open.validation != NULL) {
        rc = encoder_encode(&c->encoder, m->host, c->open.validation, &c->own_validation, err);
        c->validation = c->own_validation;
    }
    return rc;
}

void adapt_close(void *self, void *context) {
    adapt *m = self;
    adapt_context *c = context;
    if (c->child != NULL)
        ((const lathe_learner *)c->probe.interface)->close(c->probe.self, c->child);
    get_components(m->host)->destroy(m->host, &c->probe);
    get_datasets(m->host)->release(c->own_validation);
    encoder_free(&c->encoder, m->host);
    m->host->free(m->host, c);
}

int32_t adapt_open(void *self, const lathe_open *open, void **context, lathe_error *err) {
    adapt *m = self;
    const lathe_datasets *datasets = get_datasets(m->host);
    adapt_context *c = m->host->alloc(m->host, sizeof *c);
    lathe_tensor matrix;
    int32_t rc;

    if (c == NULL)
        return fail_memory(err, "a context", sizeof *c);
    c->open = *open;
    c->info.struct_size = LATHE_SIZED(lathe_dataset_info);
    rc = datasets->info(open->data, &c->info);
    if (rc == LATHE_OK)
        rc = datasets->matrix(open->data, &matrix, err);
    if (rc == LATHE_OK) {
        c->x = (const float *)((const char *)matrix.data + matrix.byte_offset);
        c->stride = matrix.strides != NULL ? matrix.strides[0] : c->info.n_features;
        rc = encode(m, c, err);
    }
    if (rc != LATHE_OK) {
        adapt_close(m, c);
        return rc;
    }
    *context = c;
    return LATHE_OK;
}

/* ---- a fit's data, as the base can take them ---- */

typedef struct prepared {
    lathe_fit fit;             /* for the base; its arrays point into what follows */
    const lathe_dataset *data; /* what the base opens */
    const lathe_dataset *validation;
    lathe_dataset *view; /* to release */
    lathe_dataset *narrow_data;
    lathe_dataset *narrow_validation;
    int32_t task;
    int64_t n_rows; /* of data */
    fit_rows rows;
    int32_t *features; /* columns, for a base that takes features */
    float *target;     /* [n_rows] */
    float *weight;
    float *gradient;
    float *hessian;
    float *rest; /* [n_rows] 0 or 1 */
} prepared;

static void prepared_free(prepared *p, const lathe_host *host) {
    const lathe_datasets *datasets = get_datasets(host);
    datasets->release(p->view);
    datasets->release(p->narrow_data);
    datasets->release(p->narrow_validation);
    fit_rows_free(host, &p->rows);
    host->free(host, p->features);
    host->free(host, p->target);
    host->free(host, p->weight);
    host->free(host, p->gradient);
    host->free(host, p->hessian);
    host->free(host, p->rest);
}

/* -g / h with weight h. A row without curvature has no say. */
static int32_t turn_gradients(prepared *p, const adapt *m, lathe_error *err) {
    int64_t n = p->n_rows;
    p->target = alloc_array(m->host, n, sizeof *p->target);
    p->weight = alloc_array(m->host, n, sizeof *p->weight);
    if (p->target == NULL || p->weight == NULL)
        return fail_memory(err, "the targets", n * 8);
    for (int64_t i = 0; i < n; i++) {
        float g = p->fit.gradient[i * p->fit.gradient_stride];
        float h = p->fit.hessian != NULL ? p->fit.hessian[i * p->fit.gradient_stride] : 1.0f;
        float y = h > 0 ? (float)(-(double)g / (double)h) : 0.0f;
        int32_t use = h > 0 && isfinite(y) && isfinite(h);
        p->target[i] = use ? y : 0.0f;
        p->weight[i] = use ? h : 0.0f;
    }
    p->fit.gradient = p->fit.hessian = NULL;
    p->fit.gradient_stride = 0;
    p->fit.target = p->target;
    p->fit.weight = p->weight;
    p->validation = NULL; /* its targets are of another kind */
    return LATHE_OK;
}

/* The columns of the chosen features, ascending. */
static int32_t list_columns(const adapt *m, const encoder *e, const lathe_fit *fit,
                            int32_t **columns, int64_t *n, lathe_error *err) {
    int32_t *list = alloc_array(m->host, e->n_columns, sizeof *list);
    *n = 0;
    *columns = list;
    if (list == NULL)
        return fail_memory(err, "the columns", e->n_columns * 4);
    for (int64_t i = 0; i < fit->n_features_used; i++) {
        int64_t j = fit->features[i];
        if (j < 0 || j >= e->n_features || (i > 0 && j <= fit->features[i - 1]))
            return fail(err, LATHE_E_INVALID,
                        "Feature %lld of fit; ascending numbers below %lld were expected.",
                        (long long)j, (long long)e->n_features);
        int64_t end = j + 1 < e->n_features ? e->first[j + 1] : e->n_columns;
        for (int64_t c = e->first[j]; c < end; c++)
            list[(*n)++] = (int32_t)c;
    }
    return LATHE_OK;
}

/* `data` with the columns `columns` alone. */
static int32_t narrow_dataset(const adapt *m, const lathe_dataset *data, const int32_t *columns,
                              int64_t n, lathe_dataset **out, lathe_error *err) {
    const lathe_host *host = m->host;
    const lathe_datasets *datasets = get_datasets(host);
    const lathe_feature *from = datasets->features(data);
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_feature *features = alloc_array(host, n, sizeof *features);
    lathe_tensor matrix;
    float *x = NULL;
    int32_t rc = datasets->info(data, &info);

    if (rc == LATHE_OK)
        rc = datasets->matrix(data, &matrix, err);
    if (rc == LATHE_OK) {
        x = alloc_array(host, info.n_rows * n, sizeof *x);
        if (x == NULL || features == NULL)
            rc = fail_memory(err, "the chosen features", info.n_rows * n * 4);
    }
    if (rc == LATHE_OK) {
        const float *all = (const float *)((const char *)matrix.data + matrix.byte_offset);
        int64_t stride = matrix.strides != NULL ? matrix.strides[0] : info.n_features;
        for (int64_t i = 0; i < info.n_rows; i++)
            for (int64_t j = 0; j < n; j++)
                x[i * n + j] = all[i * stride + columns[j]];
        for (int64_t j = 0; j < n; j++)
            features[j] = from[columns[j]];
        lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                                   .task = info.task,
                                   .n_rows = info.n_rows,
                                   .n_features = n,
                                   .n_classes = info.n_classes,
                                   .features = features,
                                   .matrix = x,
                                   .stride = n,
                                   .target = datasets->target(data),
                                   .weight = datasets->weight(data),
                                   .row_id = datasets->row_id(data)};
        rc = datasets->make(host, &spec, out, err);
    }
    host->free(host, x);
    host->free(host, features);
    return rc;
}

static int32_t choose_features(prepared *p, adapt *m, const adapt_context *c, lathe_error *err) {
    int64_t n;
    int32_t *columns = NULL;
    int32_t rc = list_columns(m, &c->encoder, &p->fit, &columns, &n, err);

    if (rc != LATHE_OK || (m->base->flags & LATHE_LEARNER_TAKES_FEATURES)) {
        p->features = columns;
        p->fit.features = columns;
        p->fit.n_features_used = n;
        return rc;
    }
    m->narrow = columns;
    m->n_narrow = n;
    p->fit.features = NULL;
    p->fit.n_features_used = 0;
    rc = narrow_dataset(m, p->data, columns, n, &p->narrow_data, err);
    p->data = p->narrow_data;
    if (rc == LATHE_OK && p->validation != NULL) {
        rc = narrow_dataset(m, p->validation, columns, n, &p->narrow_validation, err);
        p->validation = p->narrow_validation;
    }
    return rc;
}

/* Systematic sampling of `rows` in proportion to their weights, as many as there are; in place. */
static int32_t resample(const adapt *m, fit_rows *rows, uint64_t key, lathe_error *err) {
    const lathe_host *host = m->host;
    int32_t *drawn = alloc_array(host, rows->n, sizeof *drawn);
    double step = rows->total / (double)rows->n, at, sum = 0;
    int64_t n = 0;
    float start;

    if (drawn == NULL)
        return fail_memory(err, "drawing rows", rows->n * 4);
    host->random_uniform(host, key, 0, &start, 1);
    at = (double)start * step;
    for (int64_t i = 0; i < rows->n; i++) {
        sum += rows->weight[i];
        for (; n < rows->n && at < sum; at = ((double)start + (double)n) * step) {
            drawn[n] = rows->row[i];
            n++;
        }
    }
    for (; n < rows->n; n++) /* what rounding left over */
        drawn[n] = rows->row[rows->n - 1];
    host->free(host, rows->row);
    rows->row = drawn;
    return LATHE_OK;
}

static int32_t gather_floats(const adapt *m, const fit_rows *rows, const float *from,
                             int64_t stride, float **own, const float **at, lathe_error *err) {
    float *to = alloc_array(m->host, rows->n, sizeof *to);
    if (to == NULL)
        return fail_memory(err, "the chosen rows", rows->n * 4);
    for (int64_t i = 0; i < rows->n; i++)
        to[i] = from[rows->row[i] * stride];
    m->host->free(m->host, *own); /* it may be what was read */
    *own = to;
    *at = to;
    return LATHE_OK;
}

/* A view on the rows of the list, and the caller's arrays in its order. */
static int32_t view_rows(prepared *p, const adapt *m, lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(m->host);
    const fit_rows *rows = &p->rows;
    lathe_fit *f = &p->fit;
    int32_t rc = datasets->view(p->data, rows->row, rows->n, &p->view, err);

    if (rc == LATHE_OK && f->target != NULL)
        rc = gather_floats(m, rows, f->target, 1, &p->target, &f->target, err);
    if (rc == LATHE_OK && f->weight != NULL)
        rc = gather_floats(m, rows, f->weight, 1, &p->weight, &f->weight, err);
    if (rc == LATHE_OK && f->gradient != NULL)
        rc = gather_floats(m, rows, f->gradient, f->gradient_stride, &p->gradient, &f->gradient,
                           err);
    if (rc == LATHE_OK && f->hessian != NULL)
        rc = gather_floats(m, rows, f->hessian, f->gradient_stride, &p->hessian, &f->hessian, err);
    if (rc != LATHE_OK)
        return rc;
    f->gradient_stride = f->gradient != NULL ? 1 : 0;
    f->rows = NULL;
    f->n_rows_used = 0;
    f->counts = NULL;
    p->data = p->view;
    p->n_rows = rows->n;
    return LATHE_OK;
}

/* Rows and weights that the base does not take become a view. */
static int32_t choose_rows(prepared *p, const adapt *m, lathe_error *err) {
    const float *weight = p->fit.weight;
    int32_t takes_weights = (m->base->flags & LATHE_LEARNER_TAKES_WEIGHTS) != 0;
    int32_t listed = p->fit.rows != NULL || p->fit.counts != NULL, uneven = 0, rc;

    if (p->fit.gradient != NULL)
        weight = NULL; /* it is in the gradients */
    else if (weight == NULL)
        weight = get_datasets(m->host)->weight(p->data);
    for (int64_t i = 0; weight != NULL && !takes_weights && i < p->n_rows; i++)
        uneven |= weight[i] != weight[0] || weight[i] == 0.0f;
    if (!takes_weights && !uneven)
        p->fit.weight = NULL; /* equal weights are no weights */
    if (!uneven && (!listed || (m->base->flags & LATHE_LEARNER_TAKES_ROWS)))
        return LATHE_OK;
    rc = fit_rows_collect(m->host, &p->fit, p->n_rows, weight, 1, &p->rows, err);
    if (rc == LATHE_OK && uneven) {
        rc = resample(m, &p->rows, m->host->random_key(m->host, p->fit.key, UINT64_MAX), err);
        p->fit.weight = NULL;
    }
    return rc == LATHE_OK ? view_rows(p, m, err) : rc;
}

static int32_t prepare(prepared *p, adapt *m, const adapt_context *c, const lathe_fit *fit,
                       lathe_error *err) {
    int32_t rc = LATHE_OK;

    memset(p, 0, sizeof *p);
    p->fit = *fit;
    p->fit.fitted = NULL;
    p->data = c->data;
    p->validation = c->validation;
    p->task = c->open.task;
    p->n_rows = c->info.n_rows;
    if (fit->gradient != NULL && !(m->base->flags & LATHE_LEARNER_TAKES_GRADIENTS))
        rc = turn_gradients(p, m, err);
    if (rc == LATHE_OK && fit->features != NULL)
        rc = choose_features(p, m, c, err);
    return rc == LATHE_OK ? choose_rows(p, m, err) : rc;
}

/* ---- children ---- */

/* The base's context: the one kept for the whole encoded dataset, or one for this fit (*own). */
static int32_t child_context(adapt *m, adapt_context *c, const prepared *p, lathe_instance *child,
                             void **context, int32_t *own, lathe_error *err) {
    const lathe_components *kids = get_components(m->host);
    lathe_open open = c->open;
    int32_t rc;

    open.struct_size = LATHE_SIZED(lathe_open);
    open.data = p->data;
    open.validation = p->validation;
    open.task = p->task;
    open.n_classes = p->task == LATHE_TASK_BINARY && m->rest ? 2 : c->open.n_classes;
    *own = p->data != c->data ||
           (c->child != NULL && (c->child_task != p->task || c->child_validation != p->validation));
    if (*own)
        return ((const lathe_learner *)child->interface)->open(child->self, &open, context, err);
    if (c->child == NULL) {
        rc = kids->create(m->host, m->config->base, 0, NULL, &c->probe, err);
        if (rc == LATHE_OK)
            rc = ((const lathe_learner *)c->probe.interface)
                     ->open(c->probe.self, &open, &c->child, err);
        if (rc != LATHE_OK) {
            kids->destroy(m->host, &c->probe);
            c->child = NULL;
            return rc;
        }
        c->child_task = p->task;
        c->child_validation = p->validation;
    }
    *context = c->child;
    return LATHE_OK;
}

static int32_t fit_child(adapt *m, adapt_context *c, const prepared *p, const lathe_fit *fit,
                         int64_t i, lathe_error *err) {
    const lathe_learner *learner;
    void *context = NULL;
    int32_t own = 0;
    int32_t rc =
        get_components(m->host)->create(m->host, m->config->base, 0, NULL, &m->child[i], err);

    if (rc != LATHE_OK)
        return rc;
    learner = m->child[i].interface;
    rc = child_context(m, c, p, &m->child[i], &context, &own, err);
    if (rc != LATHE_OK)
        return rc;
    rc = learner->fit(m->child[i].self, context, fit, err);
    if (own)
        learner->close(m->child[i].self, context);
    return rc;
}

/* One binary child a class. */
static int32_t fit_rest(adapt *m, adapt_context *c, prepared *p, lathe_error *err) {
    const float *target =
        p->fit.target != NULL ? p->fit.target : get_datasets(m->host)->target(p->data);
    lathe_fit fit = p->fit;
    int32_t rc = LATHE_OK;

    if (target == NULL)
        return fail(err, LATHE_E_DATA, "There is no target to fit.");
    p->rest = alloc_array(m->host, p->n_rows, sizeof *p->rest);
    if (p->rest == NULL)
        return fail_memory(err, "the targets", p->n_rows * 4);
    p->task = LATHE_TASK_BINARY;
    p->validation = NULL; /* its targets are of all classes */
    fit.target = p->rest;
    for (int64_t k = 0; rc == LATHE_OK && k < m->n; k++) {
        for (int64_t i = 0; i < p->n_rows; i++)
            p->rest[i] = target[i] == (float)k ? 1.0f : 0.0f;
        fit.key = m->host->random_key(m->host, p->fit.key, (uint64_t)k);
        rc = fit_child(m, c, p, &fit, k, err);
    }
    return rc;
}

int32_t adapt_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    static const lathe_learner me = {
        .output = adapt_output, .scratch = adapt_scratch, .predict = adapt_predict};
    adapt *m = self;
    adapt_context *c = context;
    prepared p;
    int32_t rc;

    adapt_forget(m);
    m->rest = c->open.task == LATHE_TASK_MULTICLASS && fit->gradient == NULL &&
              !(m->base->flags & LATHE_LEARNER_TAKES_MULTICLASS);
    rc = prepare(&p, m, c, fit, err);
    if (rc == LATHE_OK)
        rc = adapt_make_children(m, m->rest ? c->open.n_classes : 1, err);
    if (rc == LATHE_OK)
        rc = m->rest ? fit_rest(m, c, &p, err) : fit_child(m, c, &p, &p.fit, 0, err);
    prepared_free(&p, m->host);
    if (rc == LATHE_OK)
        rc = encoder_copy(&m->encoder, &c->encoder, m->host, err);
    if (rc == LATHE_OK)
        rc = adapt_finish(m, LATHE_E_SHAPE, err);
    if (rc == LATHE_OK && fit->fitted != NULL)
        rc = predict_all(m->host, &me, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    if (rc != LATHE_OK)
        adapt_forget(m);
    return rc;
}
