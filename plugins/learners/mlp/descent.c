/* A fit's rows, memory and first parameters. */
#include "mlp.h"

/* ---- making ---- */

void mlp_descent_free(mlp_descent *d) {
    const lathe_host *host = d->m->host;
    const lathe_components *kids = get_components(host);

    kids->destroy(host, &d->optimizer);
    kids->destroy(host, &d->schedule);
    host->free(host, d->slab.memory);
    host->free(host, d->packed.memory);
    host->free(host, d->tiles);
    fit_rows_free(host, &d->rows);
    fit_rows_free(host, &d->validation_rows);
    objective_free(host, &d->loss);
    objective_free(host, &d->validation);
    host->free(host, d->segments);
    host->free(host, d->flat);
    host->free(host, d->flat_gradient);
    host->free(host, d->param);
    host->free(host, d->best);
    host->free(host, d->slots);
    host->free(host, d->gradient);
    host->free(host, d->norms);
    host->free(host, d->items);
    host->free(host, d->order);
}

static int32_t identity_link(const mlp *m) {
    static const float probes[4] = {-2.5f, 0.0f, 0.75f, 1000.0f};
    const lathe_loss *loss = m->loss.interface;
    float out[4];
    lathe_error ignored;

    if (m->loss.descriptor->flags & LATHE_LOSS_NON_NEGATIVE_TARGET)
        return 0;
    return loss->link(m->loss.self, 4, 1, probes, out, &ignored) == LATHE_OK &&
           memcmp(out, probes, sizeof out) == 0;
}

/* Mean and deviation of what is regressed: the target, or -g / h with weight h. */
static void target_moments(mlp_descent *d) {
    double total = 0, mean = 0, square = 0;
    for (int32_t round = 0; round < 2; round++)
        for (int64_t i = 0; i < d->rows.n; i++) {
            double w = d->rows.weight[i], y;
            if (d->loss.loss != NULL) {
                y = d->loss.target[i];
            } else {
                w *= (double)d->loss.h[i];
                y = d->loss.h[i] > 0 ? -(double)d->loss.g[i] / (double)d->loss.h[i] : 0.0;
            }
            if (round == 0) {
                total += w;
                mean += w * y;
            } else {
                square += w * (y - mean / total) * (y - mean / total);
            }
        }
    if (!(total > 0))
        return;
    d->shift = mean / total;
    d->scale = sqrt(square / total);
    if (!(d->scale > 1e-12 * fabs(d->shift)) || !isfinite(d->scale))
        d->scale = 1.0;
}

/* From now on the objective is one of (prediction - shift) / scale. */
static void scale_targets(mlp_descent *d) {
    double by = 1.0 / d->scale;
    for (int64_t i = 0; i < d->rows.n; i++)
        if (d->loss.loss != NULL)
            d->loss.target[i] = (float)(((double)d->loss.target[i] - d->shift) * by);
        else
            d->loss.g[i] = (float)(((double)d->loss.g[i] + (double)d->loss.h[i] * d->shift) * by);
    for (int64_t i = 0; i < d->validation_rows.n; i++)
        d->validation.target[i] = (float)(((double)d->validation.target[i] - d->shift) * by);
}

/* Rows and targets of training and validation; sets m's shape. */
static int32_t gather(mlp_descent *d, const lathe_fit *fit, lathe_error *err) {
    mlp *m = d->m;
    const mlp_context *c = d->data;
    const lathe_datasets *datasets = get_datasets(m->host);
    const lathe_fit plain = {.struct_size = LATHE_SIZED(lathe_fit)};
    const float *weight = fit->weight != NULL ? fit->weight : datasets->weight(c->data);
    const float *target = fit->target != NULL ? fit->target : datasets->target(c->data);
    int64_t k = 1;
    int32_t rc = LATHE_OK;

    if (fit->gradient != NULL)
        weight = NULL; /* it is in the gradients */
    else if ((rc = loss_scores(&m->loss, c->task, c->n_classes, &k, err)) != LATHE_OK)
        return rc;
    else
        d->loss = (objective){.loss = m->loss.interface, .self = m->loss.self};
    d->loss.k = k;
    d->validation = d->loss;
    rc = fit_rows_collect(m->host, fit, c->info.n_rows, weight, 1, &d->rows, err);
    if (rc == LATHE_OK)
        rc = objective_gather(m->host, fit, &d->rows, target, c->task, c->n_classes, &d->loss, err);
    if (rc == LATHE_OK)
        rc = mlp_shape(m, c->info.n_features, k, err);
    if (rc != LATHE_OK || c->validation == NULL || fit->gradient != NULL ||
        m->config->early_stopping == LATHE_INT_NULL || c->validation_rows == 0 ||
        datasets->target(c->validation) == NULL)
        return rc;
    rc = fit_rows_collect(m->host, &plain, c->validation_rows, datasets->weight(c->validation), 0,
                          &d->validation_rows, err);
    if (rc != LATHE_OK)
        return rc;
    return objective_gather(m->host, &plain, &d->validation_rows, datasets->target(c->validation),
                            c->task, c->n_classes, &d->validation, err);
}

/* The vector's parts as an elementwise optimizer sees them: panels of weights and of bias by turns. */
static void set_panels(mlp_descent *d) {
    const mlp *m = d->m;
    lathe_segment *to = d->segments;
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *y = &m->layer[l];
        for (int64_t q = 0; q < panels(y->out); q++) {
            int64_t at = y->weights + q * panel_floats(y);
            *to++ = (lathe_segment){at, y->in * PANEL, y->in, PANEL, 0, 1.0f};
            *to++ =
                (lathe_segment){at + y->in * PANEL, PANEL, 1, PANEL, LATHE_SEGMENT_NO_DECAY, 1.0f};
        }
    }
}

/* As any other sees them: each layer's matrix, then its bias. */
static void set_layers(mlp_descent *d) {
    const mlp *m = d->m;
    int64_t at = 0;
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *y = &m->layer[l];
        int64_t weights = y->in * y->out;
        d->segments[2 * l] = (lathe_segment){at, weights, y->in, y->out, 0, 1.0f};
        d->segments[2 * l + 1] =
            (lathe_segment){at + weights, y->out, 1, y->out, LATHE_SEGMENT_NO_DECAY, 1.0f};
        at += weights + y->out;
    }
}

/* Segments, slots and, where it needs them, the row-major vectors of the optimizer. */
static int32_t make_segments(mlp_descent *d, int64_t slots, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    int64_t length = m->n_params;

    d->elementwise = (d->optimizer.descriptor->flags & LATHE_OPTIMIZER_ELEMENTWISE) != 0;
    for (int64_t l = 0; l < m->n_layers; l++) {
        d->n_flat += (m->layer[l].in + 1) * m->layer[l].out;
        d->n_segments += 2 * (d->elementwise ? panels(m->layer[l].out) : 1);
    }
    if (!d->elementwise) {
        length = d->n_flat;
        d->flat = alloc_array(host, length, sizeof(float));
        d->flat_gradient = alloc_array(host, length, sizeof(float));
    }
    d->slots = alloc_array(host, slots * length, sizeof(float));
    d->segments = alloc_array(host, d->n_segments, sizeof *d->segments);
    if (d->slots == NULL || d->segments == NULL ||
        (!d->elementwise && (d->flat == NULL || d->flat_gradient == NULL)))
        return fail_memory(err, "the optimizer", (slots + 2) * length * 4);
    if (d->elementwise)
        set_panels(d);
    else
        set_layers(d);
    return LATHE_OK;
}

static int32_t make_steppers(mlp_descent *d, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    const lathe_components *kids = get_components(host);
    int64_t slots;
    int32_t rc = kids->create(host, m->config->optimizer, 0, NULL, &d->optimizer, err);

    if (rc == LATHE_OK)
        rc = kids->create(host, m->config->schedule, 0, NULL, &d->schedule, err);
    if (rc != LATHE_OK)
        return rc;
    slots = ((const lathe_optimizer *)d->optimizer.interface)->n_slots(d->optimizer.self);
    if (slots < 0 || slots > 64)
        return fail(err, LATHE_E_INTERNAL, "The optimizer \"%s\" asks for %lld slots.",
                    d->optimizer.descriptor->name, (long long)slots);
    return make_segments(d, slots, err);
}

/* Panels of a layer that make a tile: two, whose products need fewer loads, where enough tiles remain. */
static int64_t tile_panels(const mlp_layer *layer) {
    return panels(layer->out) >= 8 ? 2 : 1;
}

/* The tiles in the order of the parameters: each ends where the next begins. */
static int32_t make_tiles(mlp_descent *d, lathe_error *err) {
    const mlp *m = d->m;
    int64_t at = 0;

    for (int64_t l = 0; l < m->n_layers; l++)
        d->n_tiles += panels(m->layer[l].out);
    d->tiles = alloc_array(m->host, d->n_tiles, sizeof *d->tiles);
    d->norms = alloc_array(m->host, d->n_tiles, sizeof *d->norms);
    if (d->tiles == NULL || d->norms == NULL)
        return fail_memory(err, "the parts of the network", d->n_tiles * 48);
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        int64_t all = panels(layer->out), n = tile_panels(layer);
        for (int64_t q = 0; q < all; q += n) {
            n = all - q < n ? all - q : n;
            int64_t begin = layer->weights + q * panel_floats(layer);
            d->tiles[at++] = (mlp_tile){l, q, n, begin, begin + n * panel_floats(layer)};
        }
    }
    d->n_tiles = at;
    return LATHE_OK;
}

/* Rows of a shard: one for each thread, as tall as that allows: the weights pass the caches once a shard. */
static int64_t shard_rows(const mlp_descent *d) {
    int32_t threads = d->m->host->n_workers(d->m->host);
    int64_t rows = (d->slab.rows + threads - 1) / threads;
    rows = (rows + LEAST_SHARD - 1) / LEAST_SHARD * LEAST_SHARD;
    return rows < MOST_SHARD ? rows : MOST_SHARD;
}

static int32_t make_memory(mlp_descent *d, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    int64_t n = d->rows.n, p = m->n_params;
    int64_t most = d->batch > d->validation_rows.n ? d->batch : d->validation_rows.n;
    int32_t rc;

    d->param = alloc_array(host, p, sizeof(float));
    d->gradient = alloc_array(host, p, sizeof(float));
    d->items = alloc_array(host, n, sizeof *d->items);
    d->order = alloc_array(host, n, sizeof *d->order);
    if (d->validation_rows.n > 0)
        d->best = alloc_array(host, p, sizeof(float));
    if (d->param == NULL || d->gradient == NULL || d->items == NULL || d->order == NULL ||
        (d->validation_rows.n > 0 && d->best == NULL))
        return fail_memory(err, "training the network", 3 * p * 4 + n * 20);
    d->slab.rows = most < SLAB ? most : SLAB;
    d->slab.shard = shard_rows(d);
    d->slab.training = 1;
    if ((rc = make_tiles(d, err)) != LATHE_OK || (rc = mlp_slab_make(m, &d->slab, err)) != LATHE_OK)
        return rc;
    return mlp_packed_make(m, &d->packed, err);
}

int32_t mlp_descent_make(mlp_descent *d, mlp *m, const mlp_context *c, const lathe_fit *fit,
                         lathe_error *err) {
    const lathe_host *host = m->host;
    double *start;
    int32_t rc;

    memset(d, 0, sizeof *d);
    d->m = m;
    d->data = c;
    d->scale = 1.0;
    d->shuffle_key = host->random_key(host, fit->key, 1);
    d->dropout_key = host->random_key(host, fit->key, 2);
    if ((rc = gather(d, fit, err)) != LATHE_OK)
        return rc;
    if (fit->gradient != NULL ||
        (c->task == LATHE_TASK_REGRESSION && m->config->scale_target && identity_link(m))) {
        target_moments(d);
        scale_targets(d);
    }
    d->batch = m->config->batch.choice == 0 || m->config->batch.value > d->rows.n
                   ? d->rows.n
                   : m->config->batch.value;
    d->steps = (d->rows.n + d->batch - 1) / d->batch;
    if ((rc = make_steppers(d, err)) != LATHE_OK || (rc = make_memory(d, err)) != LATHE_OK)
        return rc;
    mlp_initialise(m, host->random_key(host, fit->key, 0), d->param);
    start = alloc_array(host, m->k, sizeof(double));
    rc = start == NULL ? fail_memory(err, "the start scores", m->k * 8)
                       : objective_start(host, &d->loss, &d->rows, start, err);
    const mlp_layer *last = &m->layer[m->n_layers - 1];
    for (int64_t u = 0; rc == LATHE_OK && u < m->k; u++)
        d->param[last->weights + u / PANEL * panel_floats(last) + last->in * PANEL + u % PANEL] =
            (float)start[u];
    host->free(host, start);
    return rc == LATHE_OK ? mlp_pack_all(d) : rc;
}
