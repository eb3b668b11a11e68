/* @NAME@: predicts a + b x₀, the line of least squares through the first feature. Put what you learn in its place: the state in
 * `model`, the learning in fit, and its use in predict.
 */
#include <lathe/lathe.h>

#include <stdio.h>

typedef struct config {
    double ridge;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, ridge, LATHE_PARAM_TUNABLE, "0", 0, 1e9, "Added to the sum of squares."),
};

typedef struct model {
    const lathe_host *host;
    const config *config;
    int64_t n_features; /* -1: not fitted */
    double a, b;
} model;

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    err->code = code;
    snprintf(err->message, sizeof err->message, "%s", message);
    return code;
}

/* What is prepared once for a dataset and used by every fit to it: here the dataset itself. */
static int32_t open_data(void *self, const lathe_open *open, void **context, lathe_error *err) {
    (void)self;
    (void)err;
    *context = (void *)(uintptr_t)open->data;
    return LATHE_OK;
}

static void close_data(void *self, void *context) {
    (void)self;
    (void)context;
}

static int32_t fit(void *self, void *context, const lathe_fit *how, lathe_error *err) {
    model *m = self;
    const lathe_datasets *d = m->host->get(m->host, LATHE_HOST_DATASETS);
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_tensor x;
    double sx = 0, sy = 0, sxx = 0, sxy = 0, n = 0;
    m->n_features = -1;
    int32_t rc = d->info(context, &info);
    if (rc == LATHE_OK)
        rc = d->matrix(context, &x, err);
    if (rc != LATHE_OK)
        return rc;
    if (info.n_features < 1)
        return fail(err, LATHE_E_DATA, "It needs a feature.");
    const float *row = (const float *)((const char *)x.data + x.byte_offset);
    const float *target = how->target ? how->target : d->target(context);
    const float *weight = how->weight ? how->weight : d->weight(context);
    for (int64_t i = 0; i < info.n_rows; i++, row += x.strides[0]) {
        const double w = weight ? (double)weight[i] : 1, v = (double)row[0], t = (double)target[i];
        n += w;
        sx += w * v;
        sy += w * t;
        sxx += w * v * v;
        sxy += w * v * t;
    }
    if (!(n > 0))
        return fail(err, LATHE_E_DATA, "All weights are 0.");
    const double variance = sxx - sx * sx / n + m->config->ridge;
    m->b = variance > 0 ? (sxy - sx * sy / n) / variance : 0;
    m->a = (sy - m->b * sx) / n;
    m->n_features = info.n_features;
    return LATHE_OK;
}

/* LATHE_OUTPUT_PROBABILITY or _SCORE for a classifier. */
static int32_t output(const void *self, lathe_output *out) {
    const model *m = self;
    if (m->n_features < 0)
        return LATHE_E_STATE;
    out->type = LATHE_OUTPUT_VALUE;
    out->n_outputs = 1;
    out->n_features = m->n_features;
    return LATHE_OK;
}

static int64_t scratch(const void *self, int64_t rows) {
    (void)self;
    (void)rows;
    return 0;
}

/* Row by row in one fixed order: a row alone and in a batch give the same bits. Allocates nothing. */
static int32_t predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *memory, lathe_error *err) {
    const model *m = self;
    (void)memory;
    (void)err;
    for (int64_t r = 0; r < n; r++)
        out[r] = (float)(m->a + m->b * (double)x[r * stride]);
    return LATHE_OK;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const model *m = self;
    int32_t rc = w->integer(w, "features", m->n_features, err);
    if (rc == LATHE_OK)
        rc = w->number(w, "a", m->a, err);
    return rc == LATHE_OK ? w->number(w, "b", m->b, err) : rc;
}

/* The file may lie: what is out of its bounds is refused. */
static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    model *m = self;
    int32_t rc = r->integer(r, "features", 1, INT32_MAX, &m->n_features, err);
    if (rc == LATHE_OK)
        rc = r->number(r, "a", &m->a, err);
    return rc == LATHE_OK ? r->number(r, "b", &m->b, err) : rc;
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    model *m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    *m = (model){.host = host, .config = config, .n_features = -1};
    *self = m;
    return LATHE_OK;
}

static void destroy(void *self) {
    model *m = self;
    m->host->free(m->host, m);
}

static const lathe_learner interface = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = open_data,
    .fit = fit,
    .close = close_data,
    .output = output,
    .scratch = scratch,
    .predict = predict,
    .save = save,
    .load = load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_WEIGHTS, /* what it does not take, the host adapts */
    .id = "@ID@",
    .kind = LATHE_KIND_LEARNER,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "A line through the first feature.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
