/* Forward and backward over one shard of rows, panel by panel: a panel's product, its bias and its
 * activation follow each other while the panel is in the first cache. */
#include "mlp.h"

enum { ABREAST = 8 * PANEL }; /* lanes of a row alone that the kernels take at once */

static int32_t elementwise(const mlp_layer *layer) {
    return (layer->flags & LATHE_ACTIVATION_ELEMENTWISE) != 0;
}

void mlp_put_row(const mlp *m, mlp_slab *s, int64_t to, const float *from) {
    int64_t n = m->n_features, whole = n / PANEL * PANEL;
    float *x = s->x + to * PANEL;
    for (int64_t j = 0; j < whole; j += PANEL, x += s->lines * PANEL)
        memcpy(x, from + j, PANEL * sizeof *x);
    memcpy(x, from + whole, (size_t)(n - whole) * sizeof *x);
}

/* Rows of panels to row-major [rows, cols], and back. */
static void unpack(const mlp_slab *s, int64_t rows, int64_t cols, const float *panel, float *out) {
    for (int64_t c = 0; c < cols; c += PANEL, panel += s->lines * PANEL) {
        int64_t n = cols - c < PANEL ? cols - c : PANEL;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < n; j++)
                out[r * cols + c + j] = panel[r * PANEL + j];
    }
}

static void pack(const mlp_slab *s, int64_t rows, int64_t cols, const float *in, float *panel) {
    for (int64_t c = 0; c < cols; c += PANEL, panel += s->lines * PANEL) {
        int64_t n = cols - c < PANEL ? cols - c : PANEL;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < n; j++)
                panel[r * PANEL + j] = in[r * cols + c + j];
    }
}

/* ---- forward ---- */

/* The factors of a row depend on (step, layer, place in the batch); `at`: the shard's first row in the
 * slab, in_batch: in the batch. */
static void drop(const mlp *m, mlp_slab *s, mlp_shard *shard, int64_t l, int64_t at, int64_t rows,
                 uint64_t key, int64_t in_batch) {
    const mlp_layer *layer = &m->layer[l];
    float share = (float)layer->dropout, scale = (float)(1.0 / (1.0 - layer->dropout));
    uint64_t layer_key = m->host->random_key(m->host, key, (uint64_t)l);

    m->host->random_uniform(m->host, layer_key, (uint64_t)(in_batch * layer->out), shard->uniform,
                            rows * layer->out);
    for (int64_t i = 0; i < rows * layer->out; i++)
        shard->uniform[i] = shard->uniform[i] >= share ? scale : 0.0f;
    pack(s, rows, layer->out, shard->uniform, s->keep[l] + at * PANEL);
    for (int64_t p = 0; p < panels(layer->out); p++) {
        int64_t from = (p * s->lines + at) * PANEL;
        for (int64_t i = from; i < from + rows * PANEL; i++)
            s->d[l][i] = s->keep[l][i] != 0.0f ? s->y[l][i] * s->keep[l][i] : 0.0f;
    }
}

static int32_t forward_rowwise(const mlp *m, mlp_slab *s, mlp_shard *shard, int64_t l, int64_t at,
                               int64_t rows, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l];
    const lathe_activation *f = layer->activation.interface;
    float *z = shard->wide[0];
    float *y = layer->flags & LATHE_ACTIVATION_INPLACE ? z : shard->wide[1];

    unpack(s, rows, layer->out, s->z[l] + at * PANEL, z);
    int32_t rc = f->forward(layer->activation.self, rows, layer->out, z, y, err);
    pack(s, rows, layer->out, y, s->y[l] + at * PANEL);
    return rc;
}

/* One layer of one shard, from `a`. */
static int32_t forward_layer(const mlp *m, const float *param, mlp_slab *s, int64_t l, int64_t at,
                             int64_t rows, const float *a, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l];
    const lathe_activation *f = layer->activation.interface;
    rows_product p = {.rows = rows,
                      .n = layer->in,
                      .x = a + at * PANEL,
                      .x_panel = s->lines * PANEL,
                      .w_panel = panel_floats(layer),
                      .z_panel = s->lines * PANEL};
    int64_t most = rows > 1 ? 2 * PANEL : ABREAST; /* so many panels are in the first cache */
    int32_t rc = LATHE_OK;

    for (int64_t u = 0; rc == LATHE_OK && u < layer->out; u += most) {
        int64_t from = (u / PANEL * s->lines + at) * PANEL;
        p.lanes = layer->out - u < most ? layer->out - u : most;
        p.w = param + layer->weights + u / PANEL * p.w_panel;
        p.bias = p.w + layer->in * PANEL;
        p.z = s->z[l] + from;
        m->kernels->rows(&p);
        for (int64_t v = 0; f != NULL && elementwise(layer) && rc == LATHE_OK && v < p.lanes;
             v += PANEL, from += s->lines * PANEL)
            rc = f->forward(layer->activation.self, rows, PANEL, s->z[l] + from, s->y[l] + from,
                            err);
    }
    return rc;
}

int32_t mlp_forward(const mlp *m, const float *param, mlp_slab *s, int64_t shard, int64_t rows,
                    int32_t drops, uint64_t key, int64_t in_batch, lathe_error *err) {
    const float *a = s->x;
    int64_t at = shard * s->shard, last = m->n_layers - 1;

    for (int64_t l = 0; l <= last; l++) {
        const mlp_layer *layer = &m->layer[l];
        int32_t rc = forward_layer(m, param, s, l, at, rows, a, err);
        if (rc == LATHE_OK && l < last && !elementwise(layer))
            rc = forward_rowwise(m, s, &s->shards[shard], l, at, rows, err);
        if (rc != LATHE_OK)
            return rc;
        a = s->y[l];
        if (drops && l < last && layer->dropout > 0) {
            drop(m, s, &s->shards[shard], l, at, rows, key, in_batch + at);
            a = s->d[l];
        }
    }
    unpack(s, rows, m->k, s->y[last] + at * PANEL, s->shards[shard].score);
    return LATHE_OK;
}

/* ---- backward ---- */

/* Layer l's activation on one panel: from the gradient of its output dy to that of z. */
static int32_t backward_panel(const mlp *m, mlp_slab *s, int64_t l, int64_t from, int64_t rows,
                              float *dy, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l];
    const lathe_activation *f = layer->activation.interface;

    if (layer->dropout > 0)
        for (int64_t i = 0; i < rows * PANEL; i++)
            dy[i] = s->keep[l][from + i] != 0.0f ? dy[i] * s->keep[l][from + i] : 0.0f;
    return f->backward(layer->activation.self, rows, PANEL,
                       layer->flags & LATHE_ACTIVATION_NEEDS_INPUT ? s->z[l] + from : NULL,
                       layer->flags & LATHE_ACTIVATION_NEEDS_OUTPUT ? s->y[l] + from : NULL, dy,
                       s->dz[l] + from, err);
}

/* The same for a rowwise one: dz[l] holds the gradient of its output. */
static int32_t backward_rowwise(const mlp *m, mlp_slab *s, mlp_shard *shard, int64_t l, int64_t at,
                                int64_t rows, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l];
    const lathe_activation *f = layer->activation.interface;
    int64_t out = layer->out;
    float *z = NULL, *y = NULL, *dy = shard->wide[2];
    float *dz = layer->flags & LATHE_ACTIVATION_INPLACE ? dy : shard->wide[3];

    if (layer->flags & LATHE_ACTIVATION_NEEDS_INPUT)
        unpack(s, rows, out, s->z[l] + at * PANEL, z = shard->wide[0]);
    if (layer->flags & LATHE_ACTIVATION_NEEDS_OUTPUT)
        unpack(s, rows, out, s->y[l] + at * PANEL, y = shard->wide[1]);
    unpack(s, rows, out, s->dz[l] + at * PANEL, dy);
    if (layer->dropout > 0) {
        float *keep = shard->wide[3]; /* free until backward writes it */
        unpack(s, rows, out, s->keep[l] + at * PANEL, keep);
        for (int64_t i = 0; i < rows * out; i++)
            dy[i] = keep[i] != 0.0f ? dy[i] * keep[i] : 0.0f;
    }
    int32_t rc = f->backward(layer->activation.self, rows, out, z, y, dy, dz, err);
    pack(s, rows, out, dz, s->dz[l] + at * PANEL);
    return rc;
}

/* From dz of layer l to dz of the layer below. */
static int32_t backward_layer(const mlp *m, const mlp_packed *packed, mlp_slab *s, int64_t shard,
                              int64_t l, int64_t rows, lathe_error *err) {
    const mlp_layer *layer = &m->layer[l], *below = &m->layer[l - 1];
    int64_t at = shard * s->shard;
    int32_t scratch = elementwise(below) && !(below->flags & LATHE_ACTIVATION_INPLACE);
    float *tile = s->shards[shard].tile;
    rows_product p = {.rows = rows,
                      .n = layer->out,
                      .x = s->dz[l] + at * PANEL,
                      .x_panel = s->lines * PANEL,
                      .w_panel = layer->out * PANEL,
                      .z_panel = scratch ? s->shard * PANEL : s->lines * PANEL};
    int32_t rc = LATHE_OK;

    for (int64_t j = 0; rc == LATHE_OK && j < layer->in; j += 2 * PANEL) {
        int64_t from = (j / PANEL * s->lines + at) * PANEL;
        p.lanes = layer->in - j < 2 * PANEL ? layer->in - j : 2 * PANEL;
        p.w = packed->backward[l] + j * layer->out;
        p.z = scratch ? tile : s->dz[l - 1] + from;
        m->kernels->rows(&p);
        for (int64_t v = 0; elementwise(below) && rc == LATHE_OK && v < p.lanes;
             v += PANEL, from += s->lines * PANEL)
            rc = backward_panel(m, s, l - 1, from, rows,
                                scratch ? tile + v * s->shard : s->dz[l - 1] + from, err);
    }
    if (rc == LATHE_OK && !elementwise(below))
        rc = backward_rowwise(m, s, &s->shards[shard], l - 1, at, rows, err);
    return rc;
}

int32_t mlp_backward(const mlp *m, const mlp_packed *packed, mlp_slab *s, int64_t shard,
                     int64_t rows, lathe_error *err) {
    int64_t last = m->n_layers - 1;
    int32_t rc = LATHE_OK;

    pack(s, rows, m->k, s->shards[shard].gradient, s->dz[last] + shard * s->shard * PANEL);
    for (int64_t l = last; rc == LATHE_OK && l > 0; l--)
        rc = backward_layer(m, packed, s, shard, l, rows, err);
    return rc;
}

/* ---- the parameters' gradient ---- */

/* The columns' sums of one panel of dz. */
static void bias_gradient(int64_t rows, const float *dz, int32_t add, float *gradient) {
    float sum[PANEL] = {0};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < PANEL; j++)
            sum[j] += dz[r * PANEL + j];
    for (int64_t j = 0; j < PANEL; j++)
        gradient[j] = add ? gradient[j] + sum[j] : sum[j];
}

void mlp_tile_gradient(const mlp *m, const mlp_slab *s, int64_t rows, const mlp_tile *tile,
                       int32_t add, float *gradient) {
    const mlp_layer *layer = &m->layer[tile->layer];
    const float *input = tile->layer == 0 ? s->x : s->d[tile->layer - 1];
    int64_t in = layer->in, spare = panels(layer->out) * PANEL - layer->out;
    float *dw = gradient + tile->begin;
    weights_product p = {.rows = rows,
                         .n = tile->n,
                         .dz = s->dz[tile->layer] + tile->panel * s->lines * PANEL,
                         .dz_panel = s->lines * PANEL,
                         .add = add,
                         .dw_panel = panel_floats(layer)};

    for (int64_t i = 0; i < in; i += PANEL) {
        p.n_in = in - i < PANEL ? in - i : PANEL;
        p.x = input + i * s->lines;
        p.dw = dw + i * PANEL;
        m->kernels->weights(&p);
    }
    for (int64_t q = 0; q < tile->n; q++)
        bias_gradient(rows, p.dz + q * p.dz_panel, add, dw + q * p.dw_panel + in * PANEL);
    if (spare == 0 || tile->panel + tile->n < panels(layer->out))
        return;
    for (float *row = dw + (tile->n - 1) * p.dw_panel; row < gradient + tile->end; row += PANEL)
        memset(row + PANEL - spare, 0, (size_t)spare * sizeof *row);
}
