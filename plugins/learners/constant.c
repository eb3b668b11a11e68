/* constant: the baseline: the same prediction for every row.
 *
 * It is the score that minimises the weighted loss when no feature is known, passed through the
 * loss's link: with mse the mean, with mae the median, with cross_entropy the class frequencies.
 * For gradients the value -sum g / sum h. A model that is not better than this has learnt nothing.
 */
#include "support.h"

typedef struct constant_config {
    const lathe_component *loss;
} constant_config;

static const lathe_task_default loss_by_task[] = {
    {LATHE_TASK_BINARY, 0, "\"cross_entropy\""},
    {LATHE_TASK_MULTICLASS, 0, "\"cross_entropy\""},
    {0, 0, NULL},
};

static const lathe_param params[] = {
    LATHE_P_COMPONENT(constant_config, loss, 0, "\"mse\"", LATHE_KIND_LOSS,
                      "The loss that the constant minimises; the default is mse for regression, "
                      "cross_entropy for classification.",
                      .by_task = loss_by_task),
};

typedef struct constant {
    const lathe_host *host;
    lathe_instance loss;
    int32_t fitted;
    int32_t type; /* LATHE_OUTPUT_… */
    int64_t n_features;
    int64_t k;
    float *value; /* [k] */
} constant;

typedef struct constant_context {
    lathe_dataset_info info;
    const lathe_dataset *data;
    int32_t task;
    int64_t n_classes;
} constant_context;

static void forget(constant *m) {
    m->host->free(m->host, m->value);
    m->value = NULL;
    m->fitted = 0;
}

static int32_t make_value(constant *m, int64_t k, lathe_error *err) {
    m->value = alloc_array(m->host, k, sizeof *m->value);
    m->k = k;
    return m->value != NULL ? LATHE_OK : fail_memory(err, "the constant", k * 4);
}

static int32_t open_context(void *self, const lathe_open *open, void **context, lathe_error *err) {
    constant *m = self;
    constant_context *c = m->host->alloc(m->host, sizeof *c);
    int32_t rc;

    if (c == NULL)
        return fail_memory(err, "a context", sizeof *c);
    c->data = open->data;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->info.struct_size = LATHE_SIZED(lathe_dataset_info);
    rc = get_datasets(m->host)->info(open->data, &c->info);
    if (rc != LATHE_OK) {
        m->host->free(m->host, c);
        return fail(err, rc, "The dataset does not describe itself.");
    }
    *context = c;
    return LATHE_OK;
}

static void close_context(void *self, void *context) {
    constant *m = self;
    m->host->free(m->host, context);
}

/* The constant score of the rows and its prediction. */
static int32_t find_value(constant *m, const constant_context *c, const lathe_fit *fit,
                          const fit_rows *rows, objective *o, lathe_error *err) {
    const float *target =
        fit->target != NULL ? fit->target : get_datasets(m->host)->target(c->data);
    double *score;
    int32_t rc;

    rc = objective_gather(m->host, fit, rows, target, c->task, c->n_classes, o, err);
    if (rc == LATHE_OK)
        rc = make_value(m, o->k, err);
    if (rc != LATHE_OK)
        return rc;
    score = alloc_array(m->host, o->k, sizeof *score);
    rc = score == NULL ? fail_memory(err, "the scores", o->k * 8)
                       : objective_start(m->host, o, rows, score, err);
    for (int64_t u = 0; rc == LATHE_OK && u < o->k; u++)
        m->value[u] = (float)score[u];
    m->host->free(m->host, score);
    if (rc == LATHE_OK && o->loss != NULL)
        rc = o->loss->link(o->self, 1, o->k, m->value, m->value, err);
    return rc;
}

static int32_t fit_value(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    constant *m = self;
    const constant_context *c = context;
    objective o = {.k = 1};
    fit_rows rows = {0};
    const float *weight = fit->weight;
    int32_t rc = LATHE_OK;

    forget(m);
    if (fit->gradient != NULL) {
        weight = NULL; /* it is in the gradients */
    } else {
        if (weight == NULL)
            weight = get_datasets(m->host)->weight(c->data);
        rc = loss_scores(&m->loss, c->task, c->n_classes, &o.k, err);
        o.loss = m->loss.interface;
        o.self = m->loss.self;
    }
    if (rc == LATHE_OK)
        rc = fit_rows_collect(m->host, fit, c->info.n_rows, weight, 0, &rows, err);
    if (rc == LATHE_OK)
        rc = find_value(m, c, fit, &rows, &o, err);
    fit_rows_free(m->host, &rows);
    objective_free(m->host, &o);
    if (rc != LATHE_OK) {
        forget(m);
        return rc;
    }
    m->n_features = c->info.n_features;
    m->type = fit->gradient != NULL || c->task == LATHE_TASK_REGRESSION ? LATHE_OUTPUT_VALUE
                                                                        : LATHE_OUTPUT_PROBABILITY;
    m->fitted = 1;
    for (int64_t i = 0; fit->fitted != NULL && i < c->info.n_rows; i++)
        memcpy(fit->fitted + i * fit->fitted_stride, m->value, (size_t)m->k * sizeof *m->value);
    return LATHE_OK;
}

static int32_t output(const void *self, lathe_output *out) {
    const constant *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    out->type = m->type;
    out->n_outputs = m->k;
    out->n_features = m->n_features;
    return LATHE_OK;
}

static int64_t scratch(const void *self, int64_t rows) {
    (void)self;
    (void)rows;
    return 0;
}

static int32_t predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err) {
    const constant *m = self;
    (void)x;
    (void)stride;
    (void)scratch;
    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The constant is not fitted.");
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * m->k, m->value, (size_t)m->k * sizeof *out);
    return LATHE_OK;
}

static int32_t combine(void *self, const lathe_combine *c, lathe_error *err) {
    constant *m = self;
    int32_t rc;

    forget(m);
    if ((rc = make_value(m, c->n_outputs, err)) != LATHE_OK)
        return rc;
    for (int64_t o = 0; o < c->n_outputs; o++) {
        double sum = c->bias != NULL ? c->bias[o] : 0.0;
        for (int64_t i = 0; i < c->n_children; i++) {
            const constant *child = c->children[i];
            int64_t from = c->column == NULL ? o : c->column[i] == o ? 0 : -1;
            if (!child->fitted || from >= child->k) {
                forget(m);
                return fail(err, LATHE_E_INVALID, "Child %lld cannot be part of the sum.",
                            (long long)i);
            }
            if (from >= 0)
                sum += c->scale[i] * (double)child->value[from];
            m->n_features = child->n_features;
        }
        m->value[o] = (float)sum;
    }
    m->type = c->type;
    m->fitted = 1;
    return LATHE_OK;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const constant *m = self;
    int32_t rc;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The constant is not fitted.");
    if ((rc = w->integer(w, "type", m->type, err)) != LATHE_OK ||
        (rc = w->integer(w, "features", m->n_features, err)) != LATHE_OK)
        return rc;
    return lathe_write_array(w, "value", LATHE_FLOAT, 32, m->value, m->k, err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    constant *m = self;
    int64_t type, k;
    const void *value;
    int32_t rc;

    forget(m);
    if ((rc = r->integer(r, "type", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &type, err)) !=
            LATHE_OK ||
        (rc = r->integer(r, "features", 0, INT32_MAX, &m->n_features, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "value", LATHE_FLOAT, 32, -1, &value, &k, err)) != LATHE_OK)
        return rc;
    if (k < 1 || k > 65536)
        return fail(err, LATHE_E_CORRUPT, "\"value\" holds %lld numbers.", (long long)k);
    if ((rc = make_value(m, k, err)) != LATHE_OK)
        return rc;
    memcpy(m->value, value, (size_t)k * sizeof *m->value);
    m->type = (int32_t)type;
    m->fitted = 1;
    return LATHE_OK;
}

static void destroy(void *self) {
    constant *m = self;
    const lathe_host *host = m->host;
    const lathe_components *kids = get_components(host);

    forget(m);
    if (kids != NULL)
        kids->destroy(host, &m->loss);
    host->free(host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    const constant_config *c = config;
    const lathe_components *kids = get_components(host);
    constant *m;
    int32_t rc;

    if (kids == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the constant", sizeof *m);
    m->host = host;
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
    .open = open_context,
    .fit = fit_value,
    .close = close_context,
    .output = output,
    .scratch = scratch,
    .predict = predict,
    .save = save,
    .load = load,
    .combine = combine,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED | LATHE_LEARNER_COMBINES,
    .id = "lathe.learner.constant",
    .kind = LATHE_KIND_LEARNER,
    .name = "constant",
    .version = "1.0.0",
    .doc = "The baseline: the best prediction that knows no feature, the mean or the class "
           "frequencies.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, constant_config),
    .interface = &table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
