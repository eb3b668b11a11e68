/* The fitted model: predicting in a fixed order, saving, loading. */
#include "linear.h"

void linear_forget(linear *m) {
    const lathe_host *host = m->host;
    host->free(host, m->feature);
    host->free(host, m->beta);
    host->free(host, m->bias);
    host->free(host, m->deviation);
    host->free(host, m->typical);
    m->feature = NULL;
    m->beta = m->bias = m->deviation = m->typical = NULL;
    m->fitted = 0;
}

int32_t linear_output(const void *self, lathe_output *output) {
    const linear *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    output->type = m->linked && m->task != LATHE_TASK_REGRESSION ? LATHE_OUTPUT_PROBABILITY
                                                                 : LATHE_OUTPUT_VALUE;
    output->n_outputs = m->k;
    output->n_features = m->n_features;
    return LATHE_OK;
}

int64_t linear_scratch(const void *self, int64_t rows) {
    const linear *m = self;
    (void)rows;
    return (int64_t)align64((uint64_t)m->k * sizeof(double));
}

/* Feature j of a row; a missing one is its mean in training. */
static double value_at(const linear *m, const float *x, int64_t j) {
    double v = x[m->feature[j]];
    return v != v ? m->typical[j] : v;
}

/* One score a row: four running sums in a fixed order. */
static double score_one(const linear *m, const float *x) {
    double s[4] = {0}, rest = 0;
    int64_t j = 0;
    for (; j + 4 <= m->p; j += 4)
        for (int64_t l = 0; l < 4; l++)
            s[l] += value_at(m, x, j + l) * m->beta[j + l];
    for (; j < m->p; j++)
        rest += value_at(m, x, j) * m->beta[j];
    return m->bias[0] + (((s[0] + s[2]) + (s[1] + s[3])) + rest);
}

int32_t linear_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                       void *scratch, lathe_error *err) {
    const linear *m = self;
    double *sum = scratch; /* [k] */
    int64_t k;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The linear model is not fitted.");
    k = m->k;
    for (int64_t i = 0; i < n; i++) {
        const float *row = x + i * stride;
        if (k == 1) {
            out[i] = (float)score_one(m, row);
            continue;
        }
        memcpy(sum, m->bias, (size_t)k * sizeof(double));
        for (int64_t j = 0; j < m->p; j++) {
            double v = value_at(m, row, j);
            const double *beta = m->beta + j * k;
            for (int64_t c = 0; c < k; c++)
                sum[c] += v * beta[c];
        }
        for (int64_t c = 0; c < k; c++)
            out[i * k + c] = (float)sum[c];
    }
    if (!m->linked)
        return LATHE_OK;
    return ((const lathe_loss *)m->loss.interface)->link(m->loss.self, n, k, out, out, err);
}

int32_t linear_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                          lathe_error *err) {
    const linear *m = self;
    if (type != LATHE_IMPORTANCE_WEIGHT)
        return fail(err, LATHE_E_UNSUPPORTED,
                    "A linear model gives the importance \"weight\" alone: the size of the "
                    "coefficients of the standardised features.");
    if (!m->fitted || n_features != m->n_features)
        return fail(err, LATHE_E_SHAPE, "The model is of %lld features, asked for %lld.",
                    (long long)m->n_features, (long long)n_features);
    memset(importance, 0, (size_t)n_features * sizeof(double));
    for (int64_t j = 0; j < m->p; j++)
        for (int64_t c = 0; c < m->k; c++)
            importance[m->feature[j]] += fabs(m->beta[j * m->k + c]) * m->deviation[j];
    return LATHE_OK;
}

int32_t linear_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const linear *m = self;
    int64_t shape[2] = {m->p, m->k};
    lathe_tensor beta = {m->beta, LATHE_DEVICE_CPU, 0, 2, LATHE_FLOAT, 64, 1, shape, NULL, 0};
    int32_t rc;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The linear model is not fitted.");
    if ((rc = w->integer(w, "task", m->task, err)) != LATHE_OK ||
        (rc = w->integer(w, "linked", m->linked, err)) != LATHE_OK ||
        (rc = w->integer(w, "features", m->n_features, err)) != LATHE_OK ||
        (rc = w->tensor(w, "coefficients", &beta, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "intercept", LATHE_FLOAT, 64, m->bias, m->k, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "used", LATHE_INT, 32, m->feature, m->p, err)) != LATHE_OK)
        return rc;
    rc = lathe_write_array(w, "deviation", LATHE_FLOAT, 64, m->deviation, m->p, err);
    if (rc != LATHE_OK)
        return rc;
    return lathe_write_array(w, "mean", LATHE_FLOAT, 64, m->typical, m->p, err);
}

/* Copies what was read; every feature number is checked. mean: NULL in a file of state version 1, whose
 * missing values others replaced. */
static int32_t take(linear *m, const void *beta, const void *bias, const int32_t *used,
                    const void *deviation, const void *mean, lathe_error *err) {
    const lathe_host *host = m->host;
    for (int64_t j = 0; j < m->p; j++)
        if (used[j] < 0 || used[j] >= m->n_features || (j > 0 && used[j] <= used[j - 1]))
            return fail(err, LATHE_E_CORRUPT,
                        "\"used\" holds feature %d at %lld; expected ascending numbers below %lld.",
                        used[j], (long long)j, (long long)m->n_features);
    m->feature = alloc_array(host, m->p, sizeof *m->feature);
    m->beta = alloc_array(host, m->p * m->k, sizeof(double));
    m->bias = alloc_array(host, m->k, sizeof(double));
    m->deviation = alloc_array(host, m->p, sizeof(double));
    m->typical = alloc_array(host, m->p, sizeof(double));
    if (m->feature == NULL || m->beta == NULL || m->bias == NULL || m->deviation == NULL ||
        m->typical == NULL)
        return fail_memory(err, "the coefficients", m->p * (m->k + 3) * 8);
    memcpy(m->feature, used, (size_t)m->p * sizeof *m->feature);
    memcpy(m->beta, beta, (size_t)(m->p * m->k) * sizeof(double));
    memcpy(m->bias, bias, (size_t)m->k * sizeof(double));
    memcpy(m->deviation, deviation, (size_t)m->p * sizeof(double));
    if (mean != NULL)
        memcpy(m->typical, mean, (size_t)m->p * sizeof(double));
    m->fitted = 1;
    return LATHE_OK;
}

int32_t linear_load(void *self, const lathe_reader *r, lathe_error *err) {
    linear *m = self;
    int64_t task, linked, shape[2] = {-1, -1}, features;
    const void *bias, *used, *deviation, *mean = NULL;
    lathe_tensor beta;
    int32_t rc;

    linear_forget(m);
    if ((rc = r->integer(r, "task", LATHE_TASK_REGRESSION, LATHE_TASK_MULTICLASS, &task, err)) !=
            LATHE_OK ||
        (rc = r->integer(r, "linked", 0, 1, &linked, err)) != LATHE_OK ||
        (rc = r->integer(r, "features", 0, INT32_MAX, &features, err)) != LATHE_OK ||
        (rc = r->tensor(r, "coefficients", LATHE_FLOAT, 64, 2, shape, &beta, err)) != LATHE_OK)
        return rc;
    m->task = (int32_t)task;
    m->linked = (int32_t)linked;
    m->n_features = features;
    m->p = beta.shape[0];
    m->k = beta.shape[1];
    if (m->k < 1 || m->k > 65536 || (m->k > 1 && task != LATHE_TASK_MULTICLASS))
        return fail(err, LATHE_E_CORRUPT, "\"coefficients\" has %lld columns.", (long long)m->k);
    if ((rc = lathe_read_array(r, "intercept", LATHE_FLOAT, 64, m->k, &bias, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "used", LATHE_INT, 32, m->p, &used, NULL, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "deviation", LATHE_FLOAT, 64, m->p, &deviation, NULL, err)) !=
            LATHE_OK ||
        (r->state_version > 1 &&
         (rc = lathe_read_array(r, "mean", LATHE_FLOAT, 64, m->p, &mean, NULL, err)) != LATHE_OK))
        return rc;
    rc = take(m, (const char *)beta.data + beta.byte_offset, bias, used, deviation, mean, err);
    if (rc != LATHE_OK)
        linear_forget(m);
    return rc;
}
