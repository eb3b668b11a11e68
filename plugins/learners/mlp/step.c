/* One step of the descent, and the loss on the validation rows.
 *
 * A step over a slab of rows has two parts, each shared out over the threads: shard by shard forward, loss
 * and backward to the gradients of all z; then tile by tile the gradient of the parameters and, where
 * the optimizer works element by element, its step, while the tile is in the cache. Clipping, and an
 * optimizer that sees the whole vector, take another round. */
#include "mlp.h"

/* Multiply-adds of one part below which a second thread costs more than it brings. */
enum { SHARED_WORK = 100000 };

/* Rows that are asked of memory before their turn: of short ones more. */
enum { AHEAD = 6, WIDE_AHEAD = 2, WIDE = 4 * PANEL, WIDEST = 1024 };

typedef struct step_job {
    mlp_descent *d;
    const int32_t *order; /* positions of the batch's rows */
    int64_t rows;         /* of the slab */
    int64_t in_batch;     /* number of the slab's first row in the batch */
    uint64_t key;         /* of this step's dropout */
    int32_t last;         /* the batch ends with this slab */
    int32_t fused;        /* the tiles step at once */
    double by;            /* gradients are multiplied by it */
    double rate;
    int64_t number;
} step_job;

/* Over [0, n), shared out where `work` multiply-adds are worth it. */
static int32_t share(const mlp_descent *d, int64_t n, double work, lathe_chunk_fn fn,
                     step_job *job) {
    const lathe_host *host = d->m->host;
    int32_t rc = LATHE_OK;
    if (n > 1 && work > SHARED_WORK)
        return host->parallel_for(host, n, 1, fn, job);
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++)
        rc = fn(job, i, i + 1, 0);
    return rc;
}

/* ---- rows ---- */

#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

/* Asks for what row `i` of the batch will need: first where its parts stand, later the parts. */
static void ask_for_row(const mlp_descent *d, const int32_t *order, int64_t i, int64_t rows) {
    const mlp_context *c = d->data;
    int64_t n = d->m->n_features < WIDEST ? d->m->n_features : WIDEST;
    int64_t ahead = n > WIDE ? WIDE_AHEAD : AHEAD;
    if (i + 2 * AHEAD < rows) {
        int32_t at = order[i + 2 * AHEAD];
        PREFETCH(&d->rows.row[at]);
        PREFETCH(&d->rows.weight[at]);
        if (d->loss.target != NULL)
            PREFETCH(&d->loss.target[at]);
    }
    if (i + ahead < rows) {
        const float *x = c->x + d->rows.row[order[i + ahead]] * c->stride;
        for (int64_t j = 0; j < n; j += PANEL)
            PREFETCH(x + j);
    }
}

static void gather_rows(const mlp_descent *d, mlp_slab *s, int64_t shard, const int32_t *order,
                        int64_t rows) {
    const mlp_context *c = d->data;
    mlp_shard *to = &s->shards[shard];
    for (int64_t i = 0; i < rows; i++) {
        int32_t at = order[i];
        ask_for_row(d, order, i, rows);
        mlp_put_row(d->m, s, shard * s->shard + i, c->x + d->rows.row[at] * c->stride);
        to->weight[i] = d->rows.weight[at];
        if (d->loss.loss != NULL) {
            to->target[i] = d->loss.target[at];
        } else {
            to->g[i] = d->loss.g[at];
            to->h[i] = d->loss.h[at];
        }
    }
}

/* Forward, loss and backward of one shard. */
static int32_t pass_shard(step_job *job, int64_t shard, mlp_shard *s) {
    mlp_descent *d = job->d;
    const mlp *m = d->m;
    int64_t first = shard * d->slab.shard, k = m->k;
    int64_t rows = job->rows - first < d->slab.shard ? job->rows - first : d->slab.shard;
    int32_t rc;

    gather_rows(d, &d->slab, shard, job->order + job->in_batch + first, rows);
    rc = mlp_forward(m, d->param, &d->slab, shard, rows, 1, job->key, job->in_batch, &s->err);
    if (rc == LATHE_OK)
        rc = objective_value(&d->loss, rows, s->score, s->target, s->g, s->h, s->value, &s->err);
    if (rc == LATHE_OK)
        rc = objective_gradient(&d->loss, rows, s->score, s->target, s->g, s->h, s->gradient, NULL,
                                &s->err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < rows; i++) {
        s->value[i] *= s->weight[i];
        for (int64_t u = 0; u < k; u++)
            s->gradient[i * k + u] = (float)((double)s->gradient[i * k + u] * s->weight[i]);
    }
    return mlp_backward(m, &d->packed, &d->slab, shard, rows, &s->err);
}

static int32_t pass_shards(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    int32_t rc = LATHE_OK;
    (void)worker;
    for (int64_t i = begin; rc == LATHE_OK && i < end; i++)
        rc = pass_shard(job, i, &job->d->slab.shards[i]);
    return rc;
}

/* ---- parameters ---- */

static int32_t optimize(const step_job *job, int64_t begin, int64_t end) {
    mlp_descent *d = job->d;
    const lathe_optimizer *optimizer = d->optimizer.interface;
    lathe_step step = {.struct_size = LATHE_SIZED(lathe_step),
                       .step = job->number,
                       .rate = job->rate,
                       .gradient_scale = job->by,
                       .n = d->elementwise ? d->m->n_params : d->n_flat,
                       .begin = begin,
                       .end = end,
                       .segments = d->segments,
                       .n_segments = d->n_segments,
                       .param = d->elementwise ? d->param : d->flat,
                       .gradient = d->elementwise ? d->gradient : d->flat_gradient,
                       .slots = d->slots};
    lathe_error err = {0};
    return optimizer->step(d->optimizer.self, &step, &err);
}

/* The penalty's gradient of a tile; its sum of squares where the whole norm is wanted. */
static void finish_tile(const step_job *job, int64_t i) {
    mlp_descent *d = job->d;
    const mlp_tile *tile = &d->tiles[i];
    const mlp_layer *layer = &d->m->layer[tile->layer];
    double l2 = d->m->config->l2 / job->by, sum = 0;

    for (int64_t q = 0; l2 > 0 && q < tile->n; q++) {
        int64_t from = tile->begin + q * panel_floats(layer);
        for (int64_t j = from; j < from + layer->in * PANEL; j++)
            d->gradient[j] = (float)((double)d->gradient[j] + l2 * (double)d->param[j]);
    }
    if (job->fused)
        return;
    for (int64_t j = tile->begin; j < tile->end; j++)
        sum += (double)d->gradient[j] * (double)d->gradient[j];
    d->norms[i] = sum;
}

static int32_t tile_gradients(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    int32_t rc = LATHE_OK;
    (void)worker;
    for (int64_t i = begin; rc == LATHE_OK && i < end; i++) {
        const mlp_tile *tile = &d->tiles[i];
        mlp_tile_gradient(d->m, &d->slab, job->rows, tile, job->in_batch > 0, d->gradient);
        if (!job->last)
            continue;
        finish_tile(job, i);
        if (!job->fused)
            continue;
        rc = optimize(job, tile->begin, tile->end);
        mlp_pack(d->m, d->param, &d->packed, tile);
    }
    return rc;
}

static int32_t step_tiles(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    int32_t rc = LATHE_OK;
    (void)worker;
    for (int64_t i = begin; rc == LATHE_OK && i < end; i++) {
        rc = optimize(job, d->tiles[i].begin, d->tiles[i].end);
        mlp_pack(d->m, d->param, &d->packed, &d->tiles[i]);
    }
    return rc;
}

static int32_t pack_tiles(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        mlp_pack(d->m, d->param, &d->packed, &d->tiles[i]);
    return LATHE_OK;
}

int32_t mlp_pack_all(mlp_descent *d) {
    step_job job = {.d = d};
    return share(d, d->n_tiles, (double)d->m->n_params, pack_tiles, &job);
}

/* Parameters and gradient to the optimizer's row-major vectors; or its parameters back. */
static void move_flat(mlp_descent *d, int32_t back) {
    const mlp *m = d->m;
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *layer = &m->layer[l];
        int64_t w = d->segments[2 * l].offset, b = d->segments[2 * l + 1].offset;
        if (back) {
            mlp_set_layer(layer, d->flat + w, d->flat + b, d->param);
            continue;
        }
        mlp_get_layer(layer, d->param, d->flat + w, d->flat + b);
        mlp_get_layer(layer, d->gradient, d->flat_gradient + w, d->flat_gradient + b);
    }
}

/* The step of tiles that did not step at once. */
static int32_t step_apart(mlp_descent *d, step_job *job) {
    double clip = d->m->config->clip, norm = 0;
    int32_t rc;

    for (int64_t i = 0; i < d->n_tiles; i++)
        norm += d->norms[i];
    norm = sqrt(norm) * job->by;
    if (clip > 0 && norm > clip)
        job->by *= clip / norm;
    if (d->elementwise)
        return share(d, d->n_tiles, (double)d->m->n_params, step_tiles, job);
    move_flat(d, 0);
    rc = optimize(job, 0, d->n_flat);
    move_flat(d, 1);
    return rc == LATHE_OK ? mlp_pack_all(d) : rc;
}

/* ---- a step ---- */

/* Adds the values of `rows` rows, in their order. */
static void add_values(const mlp_slab *s, int64_t rows, double *sum) {
    for (int64_t i = 0; i < rows; i++)
        *sum += s->shards[i / s->shard].value[i % s->shard];
}

/* One slab of the batch, its rows job->in_batch … + job->rows. */
static int32_t step_slab(mlp_descent *d, step_job *job, double *loss, lathe_error *err) {
    int64_t shards = (job->rows + d->slab.shard - 1) / d->slab.shard;
    double work = (double)job->rows * (double)d->m->n_params;
    int32_t rc = share(d, shards, 2 * work, pass_shards, job);

    for (int64_t i = shards - 1; rc != LATHE_OK && err != NULL && i >= 0; i--)
        if (d->slab.shards[i].err.code != 0)
            *err = d->slab.shards[i].err;
    if (rc != LATHE_OK)
        return rc;
    add_values(&d->slab, job->rows, loss);
    if (!isfinite(*loss)) /* before the parameters are spoilt */
        return LATHE_OK;
    rc = share(d, d->n_tiles, work, tile_gradients, job);
    if (rc == LATHE_OK && job->last && !job->fused)
        rc = step_apart(d, job);
    if (rc != LATHE_OK)
        return fail(err, rc, "The optimizer \"%s\" failed at step %lld (code %d).",
                    d->optimizer.descriptor->name, (long long)job->number, rc);
    return LATHE_OK;
}

int32_t mlp_step(mlp_descent *d, int64_t epoch, int64_t in_epoch, double *loss, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    const lathe_schedule *schedule = d->schedule.interface;
    const lathe_optimizer *optimizer = d->optimizer.interface;
    int64_t first = in_epoch * d->batch, at = epoch * d->steps + in_epoch;
    int64_t n = d->rows.n - first < d->batch ? d->rows.n - first : d->batch;
    step_job job = {.d = d, .order = d->order + first, .number = at + 1};
    double sum = 0;
    int32_t rc = LATHE_OK;

    job.key = host->random_key(host, d->dropout_key, (uint64_t)at);
    job.by = (double)d->rows.n / (d->rows.total * (double)n);
    job.rate = schedule->rate(d->schedule.self, optimizer->rate(d->optimizer.self), at,
                              d->steps * m->config->epochs,
                              (double)epoch + (double)in_epoch / (double)d->steps);
    job.fused = d->elementwise && !(m->config->clip > 0);
    for (int64_t i = 0; rc == LATHE_OK && isfinite(sum) && i < n; i += job.rows) {
        if (i > 0 && host->stopped(host))
            return fail_stopped(err, "while training the network");
        job.in_batch = i;
        job.rows = n - i < d->slab.rows ? n - i : d->slab.rows;
        job.last = i + job.rows == n;
        rc = step_slab(d, &job, &sum, err);
    }
    *loss += sum;
    if (rc == LATHE_OK && !isfinite(sum))
        return fail(
            err, LATHE_E_NUMERIC,
            "The training diverged in epoch %lld (step %lld): the loss is %g. Use a smaller "
            "learning rate, or clip.",
            (long long)epoch + 1, (long long)in_epoch + 1, sum);
    return rc;
}

/* ---- validation ---- */

static int32_t validate_shards(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    const mlp_context *c = d->data;
    const mlp *m = d->m;
    int32_t rc = LATHE_OK;
    (void)worker;

    for (int64_t i = begin; rc == LATHE_OK && i < end; i++) {
        mlp_shard *s = &d->slab.shards[i];
        int64_t at = i * d->slab.shard, left = job->rows - at, first = job->in_batch + at;
        int64_t rows = left < d->slab.shard ? left : d->slab.shard;
        for (int64_t r = 0; r < rows; r++)
            mlp_put_row(m, &d->slab, at + r,
                        c->validation_x + d->validation_rows.row[first + r] * c->validation_stride);
        rc = mlp_forward(m, d->param, &d->slab, i, rows, 0, 0, 0, &s->err);
        if (rc == LATHE_OK)
            rc = objective_value(&d->validation, rows, s->score, d->validation.target + first, NULL,
                                 NULL, s->value, &s->err);
        for (int64_t r = 0; rc == LATHE_OK && r < rows; r++)
            s->value[r] *= d->validation_rows.weight[first + r];
    }
    return rc;
}

int32_t mlp_validate(mlp_descent *d, double *loss, lathe_error *err) {
    const lathe_host *host = d->m->host;
    int64_t n = d->validation_rows.n;
    step_job job = {.d = d};

    *loss = 0;
    for (int64_t i = 0; i < n; i += job.rows) {
        if (host->stopped(host))
            return fail_stopped(err, "while validating the network");
        job.in_batch = i;
        job.rows = n - i < d->slab.rows ? n - i : d->slab.rows;
        int64_t shards = (job.rows + d->slab.shard - 1) / d->slab.shard;
        int32_t rc =
            share(d, shards, (double)job.rows * (double)d->m->n_params, validate_shards, &job);
        for (int64_t s = shards - 1; rc != LATHE_OK && err != NULL && s >= 0; s--)
            if (d->slab.shards[s].err.code != 0)
                *err = d->slab.shards[s].err;
        if (rc != LATHE_OK)
            return rc;
        add_values(&d->slab, job.rows, loss);
    }
    *loss /= d->validation_rows.total;
    return LATHE_OK;
}
