/* gaussian_nb: Gaussian naive Bayes, for two or more classes.
 *
 * Within class k every feature f is taken as normal and independent of the others:
 *     score_k(x) = ln P(k) - 1/2 sum_f [ ln(2 pi v_kf) + (x_f - m_kf)^2 / v_kf ]
 * with the weighted means m and variances v of the training rows; to each v_kf `smoothing` times the variance of
 * f over all classes is added. The scores are log-probabilities but for a common constant, so their softmax (two
 * classes: the logistic function of their difference) gives P(k | x).
 * R. O. Duda, P. E. Hart, Pattern Classification and Scene Analysis, 1973.
 *
 * The descriptor's flags do not promise missing values or categories: where the data has them, the host
 * puts its adapter in front, which fills and encodes them, and records it in the model.
 */
#include <lathe/lathe.h>
#include <lathe/math.h>
#include <stdio.h>
#include <string.h>

#define TWO_PI 6.283185307179586
#define NEVER (-1e30) /* score of a class that has no training row */

typedef struct nb_config {
    double smoothing;
} nb_config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(nb_config, smoothing, LATHE_PARAM_TUNABLE, "0.001", 0, 1e6,
                  "Share of a feature's variance that is added to its variance within each class.",
                  .scale = LATHE_SCALE_LOG),
};

/* p features, k classes. One allocation, at `bias`, holds all three arrays. */
typedef struct nb {
    const lathe_host *host;
    const nb_config *config;
    int64_t p, k;
    double *
        bias; /* [k] ln P(k) - 1/2 sum ln(2 pi v); the class's weight during the fit. NULL: not fitted */
    double *mean;      /* [k, p] */
    double *precision; /* [k, p] 1 / v; v during the fit */
} nb;

typedef struct nb_context {
    lathe_dataset_info info;
    const lathe_dataset *data;
    int64_t k;
} nb_context;

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    snprintf(err->message, sizeof err->message, "%s", message);
    return err->code = code;
}

static const lathe_datasets *datasets(const lathe_host *host) {
    return host->get(host, LATHE_HOST_DATASETS);
}

static void forget(nb *m) {
    m->host->free(m->host, m->bias);
    m->bias = NULL;
}

/* Memory for k classes and p features, zeroed; k * p is bounded before it is multiplied out. */
static int32_t reserve(nb *m, int64_t k, int64_t p, lathe_error *err) {
    forget(m);
    if (k < 2 || p < 0 || k > INT32_MAX || p > INT32_MAX || (p > 0 && k > (INT64_MAX >> 6) / p))
        return fail(err, LATHE_E_MEMORY, "This many classes and features do not fit.");
    m->bias = m->host->alloc(m->host, (uint64_t)(k + 2 * k * p) * sizeof(double));
    if (m->bias == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory for the means and variances.");
    m->mean = m->bias + k;
    m->precision = m->mean + k * p;
    m->k = k;
    m->p = p;
    return LATHE_OK;
}

static int32_t open_data(void *self, const lathe_open *open, void **context, lathe_error *err) {
    nb *m = self;
    nb_context *c = m->host->alloc(m->host, sizeof *c);
    if (c == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory for a context.");
    c->info.struct_size = LATHE_SIZED(lathe_dataset_info);
    c->data = open->data;
    c->k = open->n_classes;
    int32_t rc = datasets(m->host)->info(open->data, &c->info);
    if (rc != LATHE_OK) {
        m->host->free(m->host, c);
        return fail(err, rc, "The dataset does not describe itself.");
    }
    *context = c;
    return LATHE_OK;
}

static void close_data(void *self, void *context) {
    nb *m = self;
    m->host->free(m->host, context);
}

/* What a chunk of features needs. */
typedef struct moments {
    nb *m;
    int64_t n, stride;
    const float *x, *target, *weight; /* [n, stride], [n], [n] or NULL */
} moments;

static double weight_of(const moments *j, int64_t row) {
    return j->weight ? (double)j->weight[row] : 1.0;
}

/* Means and variances of features begin … end - 1. A chunk writes columns of its own and adds the rows in their
 * order, so that the bits are the same with any number of threads. */
static int32_t fit_features(void *user, int64_t begin, int64_t end, int32_t worker) {
    const moments *j = user;
    const nb *m = j->m;
    (void)worker;
    if (m->host->stopped(m->host))
        return LATHE_E_CANCELLED;
    for (int64_t f = begin; f < end; f++) {
        double *mean = m->mean + f, *variance = m->precision + f;
        for (int64_t r = 0; r < j->n; r++) {
            const int64_t k = (int64_t)j->target[r];
            if (m->bias[k] > 0)
                mean[k * m->p] += weight_of(j, r) / m->bias[k] * (double)j->x[r * j->stride + f];
        }
        for (int64_t r = 0; r < j->n; r++) {
            const int64_t k = (int64_t)j->target[r];
            const double d = (double)j->x[r * j->stride + f] - mean[k * m->p];
            if (m->bias[k] > 0)
                variance[k * m->p] += weight_of(j, r) / m->bias[k] * d * d;
        }
    }
    return LATHE_OK;
}

/* Class weights to bias, variances to precisions. */
static void finish(nb *m, double all) {
    for (int64_t f = 0; f < m->p; f++) {
        double mean = 0, whole = 0; /* of the feature over all classes */
        for (int64_t k = 0; k < m->k; k++)
            mean += m->bias[k] / all * m->mean[k * m->p + f];
        for (int64_t k = 0; k < m->k; k++) {
            const double d = m->mean[k * m->p + f] - mean;
            whole += m->bias[k] / all * (m->precision[k * m->p + f] + d * d);
        }
        for (int64_t k = 0; k < m->k; k++) {
            const double v = m->precision[k * m->p + f] + m->config->smoothing * whole;
            m->precision[k * m->p + f] = v > 1e-300 ? 1.0 / v : 1.0; /* else it is constant */
        }
    }
    for (int64_t k = 0; k < m->k; k++) {
        m->bias[k] = m->bias[k] > 0 ? lathe_log(m->bias[k] / all) : NEVER;
        for (int64_t f = 0; f < m->p; f++)
            m->bias[k] += 0.5 * lathe_log(m->precision[k * m->p + f] / TWO_PI);
    }
}

/* The weight of each class, and of all. */
static int32_t weigh(const moments *j, double *all, lathe_error *err) {
    for (int64_t r = 0; r < j->n; r++) {
        if (!(j->target[r] >= 0 && j->target[r] < (float)j->m->k))
            return fail(err, LATHE_E_DATA, "A target is not a class of the task.");
        j->m->bias[(int64_t)j->target[r]] += weight_of(j, r);
        *all += weight_of(j, r);
    }
    return *all > 0 ? LATHE_OK : fail(err, LATHE_E_DATA, "No row has a positive weight.");
}

static int32_t fit_model(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    nb *m = self;
    const nb_context *c = context;
    const lathe_datasets *d = datasets(m->host);
    lathe_tensor x;
    double all = 0;
    int32_t rc = d->matrix(c->data, &x, err);
    if (rc == LATHE_OK)
        rc = reserve(m, c->k, c->info.n_features, err);
    if (rc != LATHE_OK)
        return rc;
    moments job = {.m = m, .n = c->info.n_rows, .stride = x.strides ? x.strides[0] : m->p};
    job.x = (const float *)((const char *)x.data + x.byte_offset);
    job.target = fit->target ? fit->target : d->target(c->data);
    job.weight = fit->weight ? fit->weight : d->weight(c->data);
    rc = weigh(&job, &all, err);
    if (rc == LATHE_OK) {
        rc = m->host->parallel_for(m->host, m->p, 8, fit_features, &job);
        if (rc != LATHE_OK)
            fail(err, rc, "Stopped on request.");
    }
    if (rc == LATHE_OK)
        finish(m, all);
    else
        forget(m); /* after an error the instance is as new */
    return rc;
}

static int32_t output(const void *self, lathe_output *out) {
    const nb *m = self;
    if (m->bias == NULL)
        return LATHE_E_STATE;
    out->type = LATHE_OUTPUT_SCORE;
    out->n_outputs = m->k == 2 ? 1 : m->k;
    out->n_features = m->p;
    return LATHE_OK;
}

static double score(const nb *m, const float *x, int64_t k) {
    double sum = m->bias[k];
    for (int64_t f = 0; f < m->p; f++) {
        const double d = (double)x[f] - m->mean[k * m->p + f];
        sum -= 0.5 * d * d * m->precision[k * m->p + f];
    }
    return sum;
}

/* Row by row in one fixed order: a row alone and in a batch give the same bits. Allocates nothing. */
static int32_t predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err) {
    const nb *m = self;
    (void)scratch;
    if (m->bias == NULL)
        return fail(err, LATHE_E_STATE, "gaussian_nb is not fitted.");
    for (int64_t r = 0; r < n; r++, x += stride)
        if (m->k == 2)
            out[r] = (float)(score(m, x, 1) - score(m, x, 0));
        else
            for (int64_t k = 0; k < m->k; k++)
                out[r * m->k + k] = (float)score(m, x, k);
    return LATHE_OK;
}

static int64_t scratch(const void *self, int64_t rows) {
    (void)self;
    (void)rows;
    return 0;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const nb *m = self;
    if (m->bias == NULL)
        return fail(err, LATHE_E_STATE, "gaussian_nb is not fitted.");
    int32_t rc = w->integer(w, "classes", m->k, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "features", m->p, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "values", LATHE_FLOAT, 64, m->bias, m->k + 2 * m->k * m->p, err);
    return rc;
}

/* The file may lie: numbers outside their bounds and another length are refused. */
static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    nb *m = self;
    int64_t p, k, n;
    const void *values;
    int32_t rc = r->integer(r, "classes", 2, 65536, &k, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "features", 0, INT32_MAX, &p, err);
    if (rc == LATHE_OK)
        rc = lathe_read_array(r, "values", LATHE_FLOAT, 64, k + 2 * k * p, &values, &n, err);
    if (rc == LATHE_OK)
        rc = reserve(m, k, p, err);
    if (rc == LATHE_OK)
        memcpy(m->bias, values, (size_t)n * sizeof(double));
    return rc;
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    if (datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no datasets.");
    nb *m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory for gaussian_nb.");
    m->host = host;
    m->config = config;
    *self = m;
    return LATHE_OK;
}

static void destroy(void *self) {
    nb *m = self;
    const lathe_host *host = m->host;
    host->free(host, m->bias);
    host->free(host, m);
}

static const lathe_learner interface = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = open_data,
    .fit = fit_model,
    .close = close_data,
    .output = output,
    .scratch = scratch,
    .predict = predict,
    .save = save,
    .load = load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_MULTICLASS,
    .id = "org.example.learner.gaussian_nb", /* your domain, reversed */
    .kind = LATHE_KIND_LEARNER,
    .name = "gaussian_nb",
    .version = "1.0.0",
    .doc = "Gaussian naive Bayes: a normal distribution a class and feature.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_CLASSIFICATION,
    LATHE_PARAMS(params, nb_config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
