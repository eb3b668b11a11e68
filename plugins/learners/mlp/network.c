/* The network itself: its shape, its initial weights, forward and backward over one shard of rows.
 */
#include "mlp.h"

enum { DEEP = 5 }; /* layers up to which a network is not deep */

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
        int64_t lanes = panels(layer->out) * PANEL;
        if (lanes > MOST_PARAMETERS / (in + 1) || at > MOST_PARAMETERS - (in + 1) * lanes)
            return fail(err, LATHE_E_MEMORY,
                        "The network has more than %d parameters; use fewer units or features.",
                        MOST_PARAMETERS);
        at += (in + 1) * lanes;
        in = layer->out;
        if (layer->out > m->widest)
            m->widest = layer->out;
    }
    m->n_params = at;
    return LATHE_OK;
}

/* By the name of the activation of this layer. A stack of many rectifiers needs the larger weights of He, or
 * what passes through it fades; few learn better from smaller ones. */
static int32_t kind_of_init(const mlp *m, int64_t l) {
    static const char *const rectifiers[] = {"relu", "leaky_relu", "elu",
                                             "gelu", "silu",       "softplus"};
    int32_t kind = m->config->initialisation, deep = m->n_layers > DEEP;

    if (kind != INIT_AUTO)
        return kind;
    if (l == m->n_layers - 1)
        return l > 0 && kind_of_init(m, l - 1) == INIT_FAN_IN ? INIT_FAN_IN : INIT_GLOROT;
    const char *name = m->layer[l].activation.descriptor->name;
    if (strcmp(name, "selu") == 0)
        return INIT_LECUN;
    for (size_t i = 0; i < sizeof rectifiers / sizeof rectifiers[0]; i++)
        if (strcmp(name, rectifiers[i]) == 0)
            return deep ? INIT_HE : INIT_FAN_IN;
    return INIT_GLOROT;
}

/* Row j of a layer's panels (j == in: the bias), drawn between -bound and bound. */
static void draw_row(const mlp *m, const mlp_layer *layer, uint64_t key, int64_t j, double bound,
                     float *param) {
    for (int64_t u = 0; u < layer->out; u += PANEL) {
        float *w = param + layer->weights + u / PANEL * panel_floats(layer) + j * PANEL;
        int64_t n = layer->out - u < PANEL ? layer->out - u : PANEL;
        m->host->random_uniform(m->host, key, (uint64_t)(j * layer->out + u), w, n);
        for (int64_t i = 0; i < n; i++)
            w[i] = (float)((2.0 * (double)w[i] - 1.0) * bound);
    }
}

void mlp_initialise(mlp *m, uint64_t key, float *param) {
    memset(param, 0, (size_t)m->n_params * sizeof *param);
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        int32_t kind = kind_of_init(m, l);
        double in = layer->in > 0 ? (double)layer->in : 1.0;
        double variance = kind == INIT_HE       ? 2.0 / in
                          : kind == INIT_LECUN  ? 1.0 / in
                          : kind == INIT_FAN_IN ? 1.0 / (3.0 * in)
                                                : 2.0 / (in + (double)layer->out);
        double bound = sqrt(3.0 * variance); /* of a uniform variable with that variance */
        uint64_t own = m->host->random_key(m->host, key, (uint64_t)l);
        for (int64_t j = 0; j < layer->in + (kind == INIT_FAN_IN); j++)
            draw_row(m, layer, own, j, bound, param);
    }
}

/* ---- the memory of a slab ---- */

static int32_t works_in_place(const mlp_layer *layer) {
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

static float *cut_floats(cutter *c, int64_t count) {
    return cut(c, (uint64_t)count * sizeof(float));
}

static void cut_layer(const mlp *m, int64_t l, cutter *c, mlp_slab *s) {
    const mlp_layer *layer = &m->layer[l];
    int32_t last = l == m->n_layers - 1, dropped = s->training && !last && layer->dropout > 0;
    int64_t units = panels(layer->out) * s->lines * PANEL;
    float *y = cut_floats(c, units);
    float *z = last || works_in_place(layer) ? y : cut_floats(c, units);
    float *d = dropped ? cut_floats(c, units) : y;
    float *keep = dropped ? cut_floats(c, units) : NULL;
    float *dz = s->training ? cut_floats(c, units) : NULL;
    if (c->base == NULL)
        return;
    s->y[l] = y;
    s->z[l] = z;
    s->d[l] = d;
    s->keep[l] = keep;
    s->dz[l] = dz;
}

/* What the layers' activations and dropout ask of a shard. */
static void shard_needs(const mlp *m, int32_t *tiles, int32_t *wide, int32_t *uniform) {
    *tiles = *wide = *uniform = 0;
    for (int64_t l = 0; l + 1 < m->n_layers; l++) {
        *tiles |= !(m->layer[l].flags & LATHE_ACTIVATION_INPLACE);
        *wide |= !(m->layer[l].flags & LATHE_ACTIVATION_ELEMENTWISE);
        *uniform |= m->layer[l].dropout > 0;
    }
}

static void cut_shard(const mlp *m, cutter *c, int64_t rows, int32_t training, mlp_shard *into) {
    int64_t k = m->k, row = rows * m->widest;
    int32_t tiles, wide, uniform;
    mlp_shard s = {0};

    shard_needs(m, &tiles, &wide, &uniform);
    for (int32_t i = 0; wide && i < (training ? 4 : 2); i++)
        s.wide[i] = cut_floats(c, row);
    s.score = cut_floats(c, rows * k);
    if (training) {
        s.tile = tiles ? cut_floats(c, 2 * rows * PANEL) : NULL;
        s.uniform = uniform ? cut_floats(c, row) : NULL;
        s.gradient = cut_floats(c, rows * k);
        s.target = cut_floats(c, rows);
        s.g = cut_floats(c, rows);
        s.h = cut_floats(c, rows);
        s.weight = cut(c, (uint64_t)rows * sizeof(double));
        s.value = cut(c, (uint64_t)rows * sizeof(double));
    }
    if (c->base != NULL)
        *into = s;
}

uint64_t mlp_slab_cut(const mlp *m, char *base, mlp_slab *s) {
    cutter c = {base, 0};
    uint64_t n = (uint64_t)m->n_layers;
    int64_t shards = (s->rows + s->shard - 1) / s->shard;

    s->lines = s->rows | 1; /* odd: neighbouring panels' rows fall into different cache sets */
    s->memory = base;
    s->z = cut(&c, n * sizeof *s->z);
    s->y = cut(&c, n * sizeof *s->y);
    s->d = cut(&c, n * sizeof *s->d);
    s->keep = cut(&c, n * sizeof *s->keep);
    s->dz = cut(&c, n * sizeof *s->dz);
    s->shards = cut(&c, (uint64_t)shards * sizeof *s->shards);
    for (int64_t i = 0; i < shards; i++)
        cut_shard(m, &c, s->shard, s->training, base != NULL ? &s->shards[i] : NULL);
    s->x = cut_floats(&c, panels(m->n_features) * s->lines * PANEL);
    for (int64_t l = 0; l < m->n_layers; l++)
        cut_layer(m, l, &c, s);
    return c.at;
}

int32_t mlp_slab_make(const mlp *m, mlp_slab *s, lathe_error *err) {
    uint64_t bytes = mlp_slab_cut(m, NULL, s);
    char *memory = m->host->alloc(m->host, bytes);

    if (memory == NULL)
        return fail_memory(err, "the units of a batch", (int64_t)bytes);
    mlp_slab_cut(m, memory, s);
    return LATHE_OK;
}

/* ---- the parameters in panels ---- */

static uint64_t cut_packed(const mlp *m, char *base, mlp_packed *packed) {
    cutter c = {base, 0};

    packed->memory = base;
    packed->backward = cut(&c, (uint64_t)m->n_layers * sizeof *packed->backward);
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        float *backward = l > 0 ? cut_floats(&c, panels(layer->in) * layer->out * PANEL) : NULL;
        if (base != NULL)
            packed->backward[l] = backward;
    }
    return c.at;
}

int32_t mlp_packed_make(const mlp *m, mlp_packed *packed, lathe_error *err) {
    uint64_t bytes = cut_packed(m, NULL, packed);
    char *memory = m->host->alloc(m->host, bytes);

    if (memory == NULL)
        return fail_memory(err, "the transposed weights", (int64_t)bytes);
    cut_packed(m, memory, packed);
    return LATHE_OK;
}

void mlp_pack(const mlp *m, const float *param, mlp_packed *packed, const mlp_tile *tile) {
    const mlp_layer *layer = &m->layer[tile->layer];
    int64_t in = layer->in, out = layer->out;

    if (tile->layer == 0)
        return;
    for (int64_t q = tile->panel; q < tile->panel + tile->n; q++) {
        const float *w = param + layer->weights + q * panel_floats(layer);
        float *to = packed->backward[tile->layer] + q * PANEL * PANEL;
        int64_t lanes = out - q * PANEL < PANEL ? out - q * PANEL : PANEL;
        for (int64_t i = 0; i < in; i += PANEL)
            mlp_transpose(in - i < PANEL ? in - i : PANEL, lanes, w + i * PANEL, to + i * out);
    }
}

void mlp_get_layer(const mlp_layer *layer, const float *param, float *w, float *b) {
    int64_t in = layer->in, out = layer->out;
    for (int64_t j = 0; j <= in; j++)
        for (int64_t u = 0; u < out; u += PANEL)
            memcpy((j < in ? w + j * out : b) + u,
                   param + layer->weights + u / PANEL * panel_floats(layer) + j * PANEL,
                   (size_t)(out - u < PANEL ? out - u : PANEL) * sizeof *w);
}

void mlp_set_layer(const mlp_layer *layer, const float *w, const float *b, float *param) {
    int64_t in = layer->in, out = layer->out;
    for (int64_t j = 0; j <= in; j++)
        for (int64_t u = 0; u < out; u += PANEL)
            memcpy(param + layer->weights + u / PANEL * panel_floats(layer) + j * PANEL,
                   (j < in ? w + j * out : b) + u,
                   (size_t)(out - u < PANEL ? out - u : PANEL) * sizeof *w);
}
