/* The network itself: its shape, its initial weights, forward and backward over one shard of rows.
 */
#include "mlp.h"

int32_t mlp_shape(mlp *m, int64_t n_features, int64_t k, lathe_error *err) {
    int64_t at = 0, in = n_features;

    if (n_features < 1)
        return fail(err, LATHE_E_DATA, "A network needs at least one feature.");
    m->n_features = n_features;
    m->k = k;
    m->layer[m->n_layers - 1].out = k;
    m->widest = 1;
    for (int64_t l = 0; l < m->n_layers; l++) {
        mlp_layer *layer = &m->layer[l];
        layer->in = in;
        layer->weights = at;
        layer->bias = at + in * layer->out;
        if (layer->out > MOST_PARAMETERS / (in + 1) || at > MOST_PARAMETERS - (in + 1) * layer->out)
            return fail(err, LATHE_E_MEMORY,
                        "The network has more than %d parameters; use fewer units or features.",
                        MOST_PARAMETERS);
        at = layer->bias + layer->out;
        in = layer->out;
        if (layer->out > m->widest)
            m->widest = layer->out;
    }
    m->n_params = at;
    return LATHE_OK;
}

/* By the name of the activation of this layer. */
static int32_t kind_of_init(const mlp *m, int64_t l) {
    static const char *const rectifiers[] = {"relu", "leaky_relu", "elu",
                                             "gelu", "silu",       "softplus"};
    int32_t kind = m->config->initialisation;

    if (kind != INIT_AUTO)
        return kind;
    if (l == m->n_layers - 1)
        return INIT_GLOROT;
    const char *name = m->layer[l].activation.descriptor->name;
    if (strcmp(name, "selu") == 0)
        return INIT_LECUN;
    for (size_t i = 0; i < sizeof rectifiers / sizeof rectifiers[0]; i++)
        if (strcmp(name, rectifiers[i]) == 0)
            return INIT_HE;
    return INIT_GLOROT;
}

void mlp_initialise(mlp *m, uint64_t key, float *param) {
    memset(param, 0, (size_t)m->n_params * sizeof *param);
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        int64_t n = layer->in * layer->out;
        float *w = param + layer->weights;
        int32_t kind = kind_of_init(m, l);
        double in = layer->in > 0 ? (double)layer->in : 1.0;
        double variance = kind == INIT_HE      ? 2.0 / in
                          : kind == INIT_LECUN ? 1.0 / in
                                               : 2.0 / (in + (double)layer->out);
        double bound = sqrt(3.0 * variance); /* of a uniform variable with that variance */
        m->host->random_uniform(m->host, m->host->random_key(m->host, key, (uint64_t)l), 0, w, n);
        for (int64_t i = 0; i < n; i++)
            w[i] = (float)((2.0 * (double)w[i] - 1.0) * bound);
    }
}

/* ---- the memory of a shard ---- */

static int32_t in_place(const mlp_layer *layer) {
    return (layer->flags & LATHE_ACTIVATION_INPLACE) &&
           !(layer->flags & LATHE_ACTIVATION_NEEDS_INPUT);
}

/* A block being cut into aligned parts; base NULL only adds up how much they need. */
typedef struct cutter {
    char *base;
    uint64_t at;
} cutter;

static void *cut(cutter *c, uint64_t bytes) {
    void *part = c->base != NULL ? c->base + c->at : NULL;
    c->at += align64(bytes);
    return part;
}

static void cut_layer(const mlp *m, int64_t l, cutter *c, mlp_shard *s) {
    const mlp_layer *layer = &m->layer[l];
    int32_t last = l == m->n_layers - 1, dropped = !last && layer->dropout > 0;
    uint64_t units = (uint64_t)SHARD * (uint64_t)layer->out;
    float *y = cut(c, units * sizeof(float));
    float *z = last || in_place(layer) ? y : cut(c, units * sizeof(float));
    float *d = dropped ? cut(c, units * sizeof(float)) : y;
    uint8_t *keep = dropped ? cut(c, units) : NULL;
    if (c->base == NULL)
        return;
    s->y[l] = y;
    s->z[l] = z;
    s->d[l] = d;
    s->keep[l] = keep;
}

static uint64_t cut_shard(const mlp *m, char *base, mlp_shard *s) {
    cutter c = {base, 0};
    uint64_t n = (uint64_t)m->n_layers, widest = (uint64_t)m->widest;

    s->memory = base;
    s->z = cut(&c, n * sizeof *s->z);
    s->y = cut(&c, n * sizeof *s->y);
    s->d = cut(&c, n * sizeof *s->d);
    s->keep = cut(&c, n * sizeof *s->keep);
    for (int64_t l = 0; l < m->n_layers; l++)
        cut_layer(m, l, &c, s);
    s->x = cut(&c, SHARD * (uint64_t)m->n_features * sizeof(float));
    s->da = cut(&c, SHARD * widest * sizeof(float));
    s->db = cut(&c, SHARD * widest * sizeof(float));
    s->uniform = cut(&c, SHARD * widest * sizeof(float));
    s->target = cut(&c, SHARD * sizeof(float));
    s->g = cut(&c, SHARD * sizeof(float));
    s->h = cut(&c, SHARD * sizeof(float));
    s->weight = cut(&c, SHARD * sizeof(double));
    s->value = cut(&c, SHARD * sizeof(double));
    return c.at;
}

int32_t mlp_shard_make(const mlp *m, mlp_shard *s, lathe_error *err) {
    uint64_t bytes = cut_shard(m, NULL, s);
    char *memory = m->host->alloc(m->host, bytes);

    if (memory == NULL)
        return fail_memory(err, "the units of a batch", (int64_t)bytes);
    cut_shard(m, memory, s);
    return LATHE_OK;
}

void mlp_shard_free(const mlp *m, mlp_shard *s) {
    m->host->free(m->host, s->memory);
    s->memory = NULL;
}

/* ---- forward ---- */

static void add_bias(int64_t rows, int64_t units, const float *bias, float *z) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t u = 0; u < units; u++)
            z[i * units + u] += bias[u];
}

/* The mask of a row depends on (step, layer, place in the batch). */
static void drop(const mlp *m, mlp_shard *s, int64_t l, int64_t rows, uint64_t key, int64_t first) {
    const mlp_layer *layer = &m->layer[l];
    int64_t n = rows * layer->out;
    float share = (float)layer->dropout, scale = (float)(1.0 / (1.0 - layer->dropout));
    uint64_t layer_key = m->host->random_key(m->host, key, (uint64_t)l);

    m->host->random_uniform(m->host, layer_key, (uint64_t)(first * layer->out), s->uniform, n);
    for (int64_t i = 0; i < n; i++) {
        s->keep[l][i] = s->uniform[i] >= share;
        s->d[l][i] = s->keep[l][i] ? s->y[l][i] * scale : 0.0f;
    }
}

int32_t mlp_forward(const mlp *m, const float *param, mlp_shard *s, int64_t rows, int32_t training,
                    uint64_t key, int64_t first, lathe_error *err) {
    const float *a = s->x;

    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        const lathe_activation *f = layer->activation.interface;
        int32_t rc = m->host->gemm_f32(m->host, LATHE_NO_TRANS, LATHE_NO_TRANS, rows, layer->out,
                                       layer->in, 1.0f, a, layer->in, param + layer->weights,
                                       layer->out, 0.0f, s->z[l], layer->out);
        if (rc != LATHE_OK)
            return fail(err, rc, "The matrix product of layer %lld failed.", (long long)l);
        add_bias(rows, layer->out, param + layer->bias, s->z[l]);
        a = s->z[l];
        if (f == NULL)
            continue;
        rc = f->forward(layer->activation.self, rows, layer->out, s->z[l], s->y[l], err);
        if (rc != LATHE_OK)
            return rc;
        a = s->y[l];
        if (training && layer->dropout > 0) {
            drop(m, s, l, rows, key, first);
            a = s->d[l];
        }
    }
    return LATHE_OK;
}

/* ---- backward ---- */

/* gradient of W and b of layer l from its input a and the gradient dz of its z. */
static int32_t weight_gradient(const mlp *m, int64_t l, int64_t rows, const float *a,
                               const float *dz, int32_t add, float *gradient) {
    const mlp_layer *layer = &m->layer[l];
    float *db = gradient + layer->bias;

    if (!add)
        memset(db, 0, (size_t)layer->out * sizeof *db);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t u = 0; u < layer->out; u++)
            db[u] += dz[i * layer->out + u];
    return m->host->gemm_f32(m->host, LATHE_TRANS, LATHE_NO_TRANS, layer->in, layer->out, rows,
                             1.0f, a, layer->in, dz, layer->out, add ? 1.0f : 0.0f,
                             gradient + layer->weights, layer->out);
}

/* From the gradient of a layer's output in `from` to that of its z, in *dz: `from` or `other`. */
static int32_t through(const mlp *m, mlp_shard *s, int64_t l, int64_t rows, int32_t training,
                       float *from, float *other, float **dz, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l];
    const lathe_activation *f = layer->activation.interface;
    int64_t n = rows * layer->out;

    if (training && layer->dropout > 0) {
        float scale = (float)(1.0 / (1.0 - layer->dropout));
        for (int64_t i = 0; i < n; i++)
            from[i] = s->keep[l][i] ? from[i] * scale : 0.0f;
    }
    *dz = layer->flags & LATHE_ACTIVATION_INPLACE ? from : other;
    return f->backward(layer->activation.self, rows, layer->out,
                       layer->flags & LATHE_ACTIVATION_NEEDS_INPUT ? s->z[l] : NULL,
                       layer->flags & LATHE_ACTIVATION_NEEDS_OUTPUT ? s->y[l] : NULL, from, *dz,
                       err);
}

int32_t mlp_backward(const mlp *m, const float *param, mlp_shard *s, int64_t rows, int32_t training,
                     int32_t add, float *gradient, lathe_error *err) {
    float *dz = s->da;

    for (int64_t l = m->n_layers - 1; l >= 0; l--) {
        const mlp_layer *layer = &m->layer[l];
        const float *a = l == 0                                    ? s->x
                         : training && m->layer[l - 1].dropout > 0 ? s->d[l - 1]
                                                                   : s->y[l - 1];
        int32_t rc = weight_gradient(m, l, rows, a, dz, add, gradient);
        if (rc != LATHE_OK)
            return fail(err, rc, "The matrix product of layer %lld failed.", (long long)l);
        if (l == 0)
            break;
        float *da = dz == s->da ? s->db : s->da;
        rc = m->host->gemm_f32(m->host, LATHE_NO_TRANS, LATHE_TRANS, rows, layer->in, layer->out,
                               1.0f, dz, layer->out, param + layer->weights, layer->out, 0.0f, da,
                               layer->in);
        if (rc != LATHE_OK)
            return fail(err, rc, "The matrix product of layer %lld failed.", (long long)l);
        rc = through(m, s, l - 1, rows, training, da, dz, &dz, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}
