/* The fitted network: predicting in a fixed order, saving, loading. */
#include "mlp.h"

enum { BLOCK = 32, ROWS = 4, UNITS = 8 };

void mlp_forget(mlp *m) {
    m->host->free(m->host, m->param);
    m->param = NULL;
    m->fitted = 0;
}

int32_t mlp_output(const void *self, lathe_output *output) {
    const mlp *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    output->type = m->linked && m->task != LATHE_TASK_REGRESSION ? LATHE_OUTPUT_PROBABILITY
                                                                 : LATHE_OUTPUT_VALUE;
    output->n_outputs = m->k;
    output->n_features = m->n_features;
    return LATHE_OK;
}

int64_t mlp_scratch(const void *self, int64_t rows) {
    const mlp *m = self;
    (void)rows;
    return (int64_t)(2 * align64((uint64_t)(BLOCK * m->widest) * sizeof(float)));
}

/* y[u] = b[u] + sum over j, in order, of x[j] W[j, u]: the same additions for every row and unit,
 * whatever the block that they are computed in. */
static void block_of_units(int64_t rows, int64_t in, const float *x, int64_t stride, const float *w,
                           int64_t ld, const float *b, float *y, int64_t y_stride) {
    float sum[ROWS][UNITS];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t u = 0; u < UNITS; u++)
            sum[r][u] = b[u];
    if (rows == ROWS) {
        for (int64_t j = 0; j < in; j++)
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t u = 0; u < UNITS; u++)
                    sum[r][u] += x[r * stride + j] * w[j * ld + u];
    } else {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < in; j++)
                for (int64_t u = 0; u < UNITS; u++)
                    sum[r][u] += x[r * stride + j] * w[j * ld + u];
    }
    for (int64_t r = 0; r < rows; r++)
        memcpy(y + r * y_stride, sum[r], sizeof sum[r]);
}

static void dense(int64_t rows, const mlp_layer *layer, const float *param, const float *x,
                  int64_t stride, float *y) {
    const float *w = param + layer->weights, *b = param + layer->bias;
    int64_t out = layer->out, whole = out / UNITS * UNITS;

    for (int64_t i = 0; i < rows; i += ROWS) {
        int64_t m = rows - i < ROWS ? rows - i : ROWS;
        const float *rx = x + i * stride;
        for (int64_t u = 0; u < whole; u += UNITS)
            block_of_units(m, layer->in, rx, stride, w + u, out, b + u, y + i * out + u, out);
        for (int64_t r = 0; r < m; r++)
            for (int64_t u = whole; u < out; u++) {
                float sum = b[u];
                for (int64_t j = 0; j < layer->in; j++)
                    sum += rx[r * stride + j] * w[j * out + u];
                y[(i + r) * out + u] = sum;
            }
    }
}

/* Scores of at most BLOCK rows into out[rows, k]. */
static int32_t block_scores(const mlp *m, int64_t rows, const float *x, int64_t stride, float *out,
                            float *ping, float *pong, lathe_error *err) {
    const float *a = x;
    int64_t a_stride = stride;

    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        const lathe_activation *f = layer->activation.interface;
        float *z = f == NULL ? out : ping;
        dense(rows, layer, m->param, a, a_stride, z);
        if (f == NULL)
            break;
        /* z is in ping, the layer's input (if not x) in pong: in place, or over that input */
        float *y = layer->flags & LATHE_ACTIVATION_INPLACE ? z : pong;
        int32_t rc = f->forward(layer->activation.self, rows, layer->out, z, y, err);
        if (rc != LATHE_OK)
            return rc;
        if (y == ping) {
            ping = pong;
            pong = y;
        }
        a = pong;
        a_stride = layer->out;
    }
    return LATHE_OK;
}

int32_t mlp_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                    void *scratch, lathe_error *err) {
    const mlp *m = self;
    float *ping = scratch, *pong;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The network is not fitted.");
    pong = (float *)((char *)scratch + align64((uint64_t)(BLOCK * m->widest) * sizeof(float)));
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t rows = n - i < BLOCK ? n - i : BLOCK;
        float *to = out + i * m->k;
        int32_t rc = block_scores(m, rows, x + i * stride, stride, to, ping, pong, err);
        if (rc != LATHE_OK)
            return rc;
        if (m->scale != 1.0 || m->shift != 0.0)
            for (int64_t j = 0; j < rows * m->k; j++)
                to[j] = (float)(m->shift + m->scale * (double)to[j]);
    }
    if (!m->linked)
        return LATHE_OK;
    return ((const lathe_loss *)m->loss.interface)->link(m->loss.self, n, m->k, out, out, err);
}

/* ---- state ---- */

static void layer_name(char *buf, size_t size, int64_t l, const char *what) {
    snprintf(buf, size, "layer.%lld.%s", (long long)l, what);
}

int32_t mlp_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const mlp *m = self;
    char name[64];
    int32_t rc;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The network is not fitted.");
    if ((rc = w->integer(w, "task", m->task, err)) != LATHE_OK ||
        (rc = w->integer(w, "linked", m->linked, err)) != LATHE_OK ||
        (rc = w->integer(w, "features", m->n_features, err)) != LATHE_OK ||
        (rc = w->integer(w, "outputs", m->k, err)) != LATHE_OK ||
        (rc = w->number(w, "shift", m->shift, err)) != LATHE_OK ||
        (rc = w->number(w, "scale", m->scale, err)) != LATHE_OK)
        return rc;
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *y = &m->layer[l];
        int64_t shape[2] = {y->in, y->out};
        lathe_tensor t = {
            m->param + y->weights, LATHE_DEVICE_CPU, 0, 2, LATHE_FLOAT, 32, 1, shape, NULL, 0};
        layer_name(name, sizeof name, l, "weights");
        if ((rc = w->tensor(w, name, &t, err)) != LATHE_OK)
            return rc;
        layer_name(name, sizeof name, l, "bias");
        rc = lathe_write_array(w, name, LATHE_FLOAT, 32, m->param + y->bias, y->out, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* The layers' tensors, whose shapes must be those that the config and the saved widths give. */
static int32_t load_layers(mlp *m, const lathe_reader *r, lathe_error *err) {
    char name[64];
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *y = &m->layer[l];
        int64_t shape[2] = {y->in, y->out};
        lathe_tensor t;
        const void *bias;
        int32_t rc;
        layer_name(name, sizeof name, l, "weights");
        if ((rc = r->tensor(r, name, LATHE_FLOAT, 32, 2, shape, &t, err)) != LATHE_OK)
            return rc;
        memcpy(m->param + y->weights, (const char *)t.data + t.byte_offset,
               (size_t)(y->in * y->out) * sizeof(float));
        layer_name(name, sizeof name, l, "bias");
        rc = lathe_read_array(r, name, LATHE_FLOAT, 32, y->out, &bias, NULL, err);
        if (rc != LATHE_OK)
            return rc;
        memcpy(m->param + y->bias, bias, (size_t)y->out * sizeof(float));
    }
    return LATHE_OK;
}

int32_t mlp_load(void *self, const lathe_reader *r, lathe_error *err) {
    mlp *m = self;
    int64_t task, linked, features, k, shape[2] = {-1, -1};
    lathe_tensor first;
    int32_t rc;

    mlp_forget(m);
    if ((rc = r->integer(r, "task", LATHE_TASK_REGRESSION, LATHE_TASK_MULTICLASS, &task, err)) !=
            LATHE_OK ||
        (rc = r->integer(r, "linked", 0, 1, &linked, err)) != LATHE_OK ||
        (rc = r->integer(r, "features", 1, INT32_MAX, &features, err)) != LATHE_OK ||
        (rc = r->integer(r, "outputs", 1, task == LATHE_TASK_MULTICLASS ? 65536 : 1, &k, err)) !=
            LATHE_OK ||
        (rc = r->number(r, "shift", &m->shift, err)) != LATHE_OK ||
        (rc = r->number(r, "scale", &m->scale, err)) != LATHE_OK ||
        (rc = r->tensor(r, "layer.0.weights", LATHE_FLOAT, 32, 2, shape, &first, err)) != LATHE_OK)
        return rc;
    /* before memory is taken: do the file's own tensors agree with the numbers? */
    if (first.shape[0] != features || !isfinite(m->shift) || !isfinite(m->scale))
        return fail(err, LATHE_E_CORRUPT,
                    "\"layer.0.weights\" is of %lld features, \"features\" is %lld, shift %g, "
                    "scale %g.",
                    (long long)first.shape[0], (long long)features, m->shift, m->scale);
    m->task = (int32_t)task;
    m->linked = (int32_t)linked;
    if ((rc = mlp_shape(m, features, k, err)) != LATHE_OK)
        return rc;
    m->param = alloc_array(m->host, m->n_params, sizeof(float));
    if (m->param == NULL)
        return fail_memory(err, "the weights", m->n_params * 4);
    rc = load_layers(m, r, err);
    if (rc != LATHE_OK)
        mlp_forget(m);
    else
        m->fitted = 1;
    return rc;
}
