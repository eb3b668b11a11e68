/* The fitted network: predicting in a fixed order, saving, loading. */
#include "mlp.h"

enum { BLOCK = 48 }; /* rows at once: whole register blocks of the kernels */

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

static mlp_slab slab_for(int64_t rows) {
    int64_t block = rows < 1 ? 1 : rows < BLOCK ? rows : BLOCK;
    return (mlp_slab){.rows = block, .shard = block};
}

int64_t mlp_scratch(const void *self, int64_t rows) {
    mlp_slab s = slab_for(rows);
    return (int64_t)mlp_slab_cut(self, NULL, &s);
}

int32_t mlp_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                    void *scratch, lathe_error *err) {
    const mlp *m = self;
    mlp_slab s = slab_for(n);

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The network is not fitted.");
    mlp_slab_cut(m, scratch, &s);
    for (int64_t i = 0; i < n; i += s.rows) {
        int64_t rows = n - i < s.rows ? n - i : s.rows;
        float *to = out + i * m->k;
        for (int64_t r = 0; r < rows; r++)
            mlp_put_row(m, &s, r, x + (i + r) * stride);
        int32_t rc = mlp_forward(m, m->param, &s, 0, rows, 0, 0, 0, err);
        if (rc != LATHE_OK)
            return rc;
        memcpy(to, s.shards[0].score, (size_t)(rows * m->k) * sizeof *to);
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

/* A layer's tensors: its weights [in, out] and bias. */
static int32_t save_layer(const mlp *m, int64_t l, float *w, const lathe_writer *writer,
                          lathe_error *err) {
    const mlp_layer *y = &m->layer[l];
    int64_t shape[2] = {y->in, y->out};
    float *b = w + y->in * y->out;
    lathe_tensor t = {w, LATHE_DEVICE_CPU, 0, 2, LATHE_FLOAT, 32, 1, shape, NULL, 0};
    char name[64];

    mlp_get_layer(y, m->param, w, b);
    layer_name(name, sizeof name, l, "weights");
    int32_t rc = writer->tensor(writer, name, &t, err);
    if (rc != LATHE_OK)
        return rc;
    layer_name(name, sizeof name, l, "bias");
    return lathe_write_array(writer, name, LATHE_FLOAT, 32, b, y->out, err);
}

int32_t mlp_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const mlp *m = self;
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
    for (int64_t l = 0; rc == LATHE_OK && l < m->n_layers; l++) {
        int64_t size = (m->layer[l].in + 1) * m->layer[l].out;
        float *flat = alloc_array(m->host, size, sizeof *flat);
        rc = flat == NULL ? fail_memory(err, "a layer's weights", size * 4)
                          : save_layer(m, l, flat, w, err);
        m->host->free(m->host, flat);
    }
    return rc;
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
        layer_name(name, sizeof name, l, "bias");
        rc = lathe_read_array(r, name, LATHE_FLOAT, 32, y->out, &bias, NULL, err);
        if (rc != LATHE_OK)
            return rc;
        mlp_set_layer(y, (const float *)((const char *)t.data + t.byte_offset), bias, m->param);
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
