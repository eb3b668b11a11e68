/* @NAME@: fits one child to the rows and predicts what it predicts. Put in its place how you make, fit and join children: each is
 * made from the component parameter `base`, so anything that learns can be one.
 */
#include <lathe/lathe.h>

#include <stdio.h>

typedef struct config {
    const lathe_component *base;
} config;

static const lathe_param params[] = {
    LATHE_P_COMPONENT(config, base, 0, "\"tree\"", LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
                      "What is fitted."),
};

typedef struct model {
    const lathe_host *host;
    const config *config;
    const lathe_components *kids;
    lathe_instance child; /* self NULL: not fitted */
} model;

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    err->code = code;
    snprintf(err->message, sizeof err->message, "%s", message);
    return code;
}

static const lathe_learner *table_of(const lathe_instance *child) {
    return child->interface;
}

/* What is prepared once for a dataset: an instance of the child's that opened it, and its context. */
typedef struct context {
    lathe_open open;
    lathe_instance opener;
    void *inner;
} context;

static int32_t open_data(void *self, const lathe_open *open, void **out, lathe_error *err) {
    model *m = self;
    context *c = m->host->alloc(m->host, sizeof *c);
    if (c == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    c->open = *open;
    c->open.struct_size = LATHE_SIZED(lathe_open);
    int32_t rc = m->kids->create(m->host, m->config->base, LATHE_LEARNER_TAKES_WEIGHTS, open->data,
                                 &c->opener, err);
    if (rc == LATHE_OK)
        rc = table_of(&c->opener)->open(c->opener.self, &c->open, &c->inner, err);
    if (rc != LATHE_OK) {
        m->kids->destroy(m->host, &c->opener);
        m->host->free(m->host, c);
        return rc;
    }
    *out = c;
    return LATHE_OK;
}

static void close_data(void *self, void *opened) {
    model *m = self;
    context *c = opened;
    table_of(&c->opener)->close(c->opener.self, c->inner);
    m->kids->destroy(m->host, &c->opener);
    m->host->free(m->host, c);
}

static int32_t fit(void *self, void *opened, const lathe_fit *how, lathe_error *err) {
    model *m = self;
    context *c = opened;
    lathe_fit inner = {.struct_size = LATHE_SIZED(lathe_fit),
                       .key = m->host->random_key(m->host, how->key, 0),
                       .target = how->target,
                       .weight = how->weight};
    m->kids->destroy(m->host, &m->child);
    int32_t rc = m->kids->create(m->host, m->config->base, LATHE_LEARNER_TAKES_WEIGHTS,
                                 c->open.data, &m->child, err);
    if (rc == LATHE_OK)
        rc = table_of(&m->child)->fit(m->child.self, c->inner, &inner, err);
    if (rc != LATHE_OK)
        m->kids->destroy(m->host, &m->child); /* after an error the instance is as new */
    return rc;
}

static int32_t output(const void *self, lathe_output *out) {
    const model *m = self;
    return m->child.self ? table_of(&m->child)->output(m->child.self, out) : LATHE_E_STATE;
}

static int64_t scratch(const void *self, int64_t rows) {
    const model *m = self;
    return table_of(&m->child)->scratch(m->child.self, rows);
}

static int32_t predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *memory, lathe_error *err) {
    const model *m = self;
    return table_of(&m->child)->predict(m->child.self, n, x, stride, out, memory, err);
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const model *m = self;
    return w->child(w, "child", &m->child, err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    model *m = self;
    return r->child(r, "child", &m->child, err);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    model *m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    m->host = host;
    m->config = config;
    m->kids = host->get(host, LATHE_HOST_COMPONENTS);
    *self = m;
    return LATHE_OK;
}

static void destroy(void *self) {
    model *m = self;
    m->kids->destroy(m->host, &m->child);
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
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_MULTICLASS,
    .id = "@ID@",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "One child, as it is.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
