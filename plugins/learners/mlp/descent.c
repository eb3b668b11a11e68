/* A fit's memory, one step of its descent, and the loss on the validation rows. */
#include "mlp.h"

enum { STEP_GRAIN = 1 << 15 }; /* parameters that one thread steps at once */

static int64_t count_groups(int64_t rows, int64_t *shards_a_group) {
    int64_t shards = (rows + SHARD - 1) / SHARD;
    int64_t a_group = (shards + MOST_GROUPS - 1) / MOST_GROUPS;
    if (a_group < 1)
        a_group = 1;
    *shards_a_group = a_group;
    return (shards + a_group - 1) / a_group;
}

/* ---- making ---- */

void mlp_descent_free(mlp_descent *d) {
    const lathe_host *host = d->m->host;
    const lathe_components *kids = get_components(host);

    kids->destroy(host, &d->optimizer);
    kids->destroy(host, &d->schedule);
    for (int64_t g = 0; d->shard != NULL && g < d->groups; g++)
        mlp_shard_free(d->m, &d->shard[g]);
    host->free(host, d->shard);
    fit_rows_free(host, &d->rows);
    fit_rows_free(host, &d->validation_rows);
    objective_free(host, &d->loss);
    objective_free(host, &d->validation);
    host->free(host, d->segments);
    host->free(host, d->param);
    host->free(host, d->best);
    host->free(host, d->slots);
    host->free(host, d->gradient);
    host->free(host, d->norms);
    host->free(host, d->losses);
    host->free(host, d->errors);
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
    d->slots = alloc_array(host, slots * m->n_params, sizeof(float));
    d->segments = alloc_array(host, 2 * m->n_layers, sizeof *d->segments);
    if (d->slots == NULL || d->segments == NULL)
        return fail_memory(err, "the optimizer", slots * m->n_params * 4);
    for (int64_t l = 0; l < m->n_layers; l++) {
        const mlp_layer *y = &m->layer[l];
        d->segments[2 * l] = (lathe_segment){y->weights, y->in * y->out, y->in, y->out, 0, 1.0f};
        d->segments[2 * l + 1] =
            (lathe_segment){y->bias, y->out, 1, y->out, LATHE_SEGMENT_NO_DECAY, 1.0f};
    }
    return LATHE_OK;
}

static int32_t make_memory(mlp_descent *d, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    int64_t n = d->rows.n, p = m->n_params, a_group;
    int64_t groups = count_groups(d->batch, &a_group);
    int64_t validation = count_groups(d->validation_rows.n, &a_group);
    int64_t validation_shards = (d->validation_rows.n + SHARD - 1) / SHARD;
    int32_t rc = LATHE_OK;

    d->groups = groups > validation ? groups : validation;
    d->param = alloc_array(host, p, sizeof(float));
    d->gradient = alloc_array(host, groups * p, sizeof(float));
    d->norms = alloc_array(host, p / STEP_GRAIN + 1, sizeof(double));
    d->losses = alloc_array(host, d->groups + validation_shards, sizeof(double));
    d->errors = alloc_array(host, d->groups, sizeof *d->errors);
    d->items = alloc_array(host, n, sizeof *d->items);
    d->order = alloc_array(host, n, sizeof *d->order);
    d->shard = alloc_array(host, d->groups, sizeof *d->shard);
    if (d->validation_rows.n > 0)
        d->best = alloc_array(host, p, sizeof(float));
    if (d->param == NULL || d->gradient == NULL || d->norms == NULL || d->losses == NULL ||
        d->errors == NULL || d->items == NULL || d->order == NULL || d->shard == NULL ||
        (d->validation_rows.n > 0 && d->best == NULL))
        return fail_memory(err, "training the network", (groups + 2) * p * 4 + n * 20);
    for (int64_t g = 0; rc == LATHE_OK && g < d->groups; g++)
        rc = mlp_shard_make(m, &d->shard[g], err);
    return rc;
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
    for (int64_t u = 0; rc == LATHE_OK && u < m->k; u++)
        d->param[m->layer[m->n_layers - 1].bias + u] = (float)start[u];
    host->free(host, start);
    return rc;
}

/* ---- a step ---- */

typedef struct step_job {
    mlp_descent *d;
    const int32_t *order; /* positions of the batch */
    int64_t rows;
    int64_t a_group; /* shards a group */
    uint64_t key;    /* of this step's dropout */
    int64_t groups;
    double by; /* gradients are multiplied by it */
    double rate;
    int64_t number;
} step_job;

static void gather_rows(const mlp_descent *d, mlp_shard *s, const int32_t *order, int64_t rows) {
    const mlp_context *c = d->data;
    int64_t f = d->m->n_features;
    for (int64_t i = 0; i < rows; i++) {
        int32_t at = order[i];
        memcpy(s->x + i * f, c->x + d->rows.row[at] * c->stride, (size_t)f * sizeof(float));
        s->weight[i] = d->rows.weight[at];
        if (d->loss.loss != NULL) {
            s->target[i] = d->loss.target[at];
        } else {
            s->g[i] = d->loss.g[at];
            s->h[i] = d->loss.h[at];
        }
    }
}

/* One shard: adds its loss to *loss, its gradient to `gradient`. */
static int32_t shard_gradient(step_job *job, mlp_shard *s, int64_t first, int64_t rows, int32_t add,
                              float *gradient, double *loss, lathe_error *err) {
    mlp_descent *d = job->d;
    const mlp *m = d->m;
    const float *score = NULL;
    int32_t rc;

    gather_rows(d, s, job->order + first, rows);
    rc = mlp_forward(m, d->param, s, rows, 1, job->key, first, err);
    if (rc != LATHE_OK)
        return rc;
    score = s->y[m->n_layers - 1];
    rc = objective_value(&d->loss, rows, score, s->target, s->g, s->h, s->value, err);
    if (rc == LATHE_OK)
        rc = objective_gradient(&d->loss, rows, score, s->target, s->g, s->h, s->da, NULL, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < rows; i++) {
        *loss += s->weight[i] * s->value[i];
        for (int64_t u = 0; u < m->k; u++)
            s->da[i * m->k + u] = (float)((double)s->da[i * m->k + u] * s->weight[i]);
    }
    return mlp_backward(m, d->param, s, rows, 1, add, gradient, err);
}

static int32_t group_gradient(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    (void)worker;
    for (int64_t g = begin; g < end; g++) {
        float *gradient = d->gradient + g * d->m->n_params;
        int64_t first = g * job->a_group * SHARD;
        int64_t last =
            first + job->a_group * SHARD < job->rows ? first + job->a_group * SHARD : job->rows;
        d->losses[g] = 0;
        for (int64_t at = first; at < last; at += SHARD) {
            int64_t rows = last - at < SHARD ? last - at : SHARD;
            if (d->m->host->stopped(d->m->host))
                return fail_stopped(&d->errors[g], "while training the network");
            int32_t rc = shard_gradient(job, &d->shard[g], at, rows, at > first, gradient,
                                        &d->losses[g], &d->errors[g]);
            if (rc != LATHE_OK)
                return rc;
        }
    }
    return LATHE_OK;
}

/* Adds the groups' gradients and the penalty; leaves the sum of squares of this part. */
static int32_t finish_gradient(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    const mlp *m = d->m;
    double l2 = m->config->l2 / job->by, sum = 0;
    (void)worker;

    for (int64_t g = 1; g < job->groups; g++)
        for (int64_t i = begin; i < end; i++)
            d->gradient[i] += d->gradient[g * m->n_params + i];
    for (int64_t s = 0; l2 > 0 && s < 2 * m->n_layers; s += 2) {
        int64_t from = d->segments[s].offset, to = from + d->segments[s].length;
        for (int64_t i = from > begin ? from : begin; i < (to < end ? to : end); i++)
            d->gradient[i] = (float)((double)d->gradient[i] + l2 * (double)d->param[i]);
    }
    for (int64_t i = begin; i < end; i++)
        sum += (double)d->gradient[i] * (double)d->gradient[i];
    d->norms[begin / STEP_GRAIN] = sum;
    return LATHE_OK;
}

static int32_t step_part(void *user, int64_t begin, int64_t end, int32_t worker) {
    step_job *job = user;
    mlp_descent *d = job->d;
    const lathe_optimizer *optimizer = d->optimizer.interface;
    lathe_step step = {.struct_size = LATHE_SIZED(lathe_step),
                       .step = job->number,
                       .rate = job->rate,
                       .gradient_scale = job->by,
                       .n = d->m->n_params,
                       .begin = begin,
                       .end = end,
                       .segments = d->segments,
                       .n_segments = 2 * d->m->n_layers,
                       .param = d->param,
                       .gradient = d->gradient,
                       .slots = d->slots};
    lathe_error err = {0};
    (void)worker;
    return optimizer->step(d->optimizer.self, &step, &err);
}

/* Over all parameters, split where they are many. */
static int32_t over_parameters(const mlp_descent *d, lathe_chunk_fn fn, step_job *job) {
    const lathe_host *host = d->m->host;
    int64_t p = d->m->n_params;
    int32_t rc = LATHE_OK;
    if (p > 2 * STEP_GRAIN)
        return host->parallel_for(host, p, STEP_GRAIN, fn, job);
    for (int64_t b = 0; rc == LATHE_OK && b < p; b += STEP_GRAIN)
        rc = fn(job, b, b + STEP_GRAIN < p ? b + STEP_GRAIN : p, 0);
    return rc;
}

static int32_t apply_step(mlp_descent *d, step_job *job, lathe_error *err) {
    const mlp *m = d->m;
    double clip = m->config->clip, norm = 0;
    int32_t rc = LATHE_OK;

    if (job->groups > 1 || m->config->l2 > 0 || clip > 0) {
        rc = over_parameters(d, finish_gradient, job);
        for (int64_t i = 0; i < (m->n_params + STEP_GRAIN - 1) / STEP_GRAIN; i++)
            norm += d->norms[i];
        norm = sqrt(norm) * job->by;
        if (clip > 0 && norm > clip)
            job->by *= clip / norm;
    }
    if (rc == LATHE_OK)
        rc = d->optimizer.descriptor->flags & LATHE_OPTIMIZER_ELEMENTWISE
                 ? over_parameters(d, step_part, job)
                 : step_part(job, 0, m->n_params, 0);
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
    step_job job = {.d = d, .order = d->order + first, .number = at + 1};
    double sum = 0;
    int32_t rc;

    job.rows = d->rows.n - first < d->batch ? d->rows.n - first : d->batch;
    job.groups = count_groups(job.rows, &job.a_group);
    job.key = host->random_key(host, d->dropout_key, (uint64_t)at);
    job.by = (double)d->rows.n / (d->rows.total * (double)job.rows);
    job.rate = schedule->rate(d->schedule.self, optimizer->rate(d->optimizer.self), at,
                              d->steps * m->config->epochs,
                              (double)epoch + (double)in_epoch / (double)d->steps);
    rc = job.groups == 1 ? group_gradient(&job, 0, 1, 0)
                         : host->parallel_for(host, job.groups, 1, group_gradient, &job);
    for (int64_t g = 0; rc != LATHE_OK && err != NULL && g < job.groups; g++)
        if (d->errors[g].code != 0)
            *err = d->errors[g];
    if (rc != LATHE_OK)
        return rc;
    for (int64_t g = 0; g < job.groups; g++)
        sum += d->losses[g];
    *loss += sum;
    if (!isfinite(sum))
        return fail(
            err, LATHE_E_NUMERIC,
            "The training diverged in epoch %lld (step %lld): the loss is %g. Use a smaller "
            "learning rate, or clip.",
            (long long)epoch + 1, (long long)in_epoch + 1, sum);
    return apply_step(d, &job, err);
}

/* ---- validation ---- */

typedef struct validate_job {
    mlp_descent *d;
    int64_t a_group;
} validate_job;

static int32_t validate_group(void *user, int64_t begin, int64_t end, int32_t worker) {
    validate_job *job = user;
    mlp_descent *d = job->d;
    const mlp_context *c = d->data;
    const mlp *m = d->m;
    int64_t n = d->validation_rows.n, shards = (n + SHARD - 1) / SHARD, f = m->n_features;
    (void)worker;

    for (int64_t t = begin * job->a_group; t < end * job->a_group && t < shards; t++) {
        mlp_shard *s = &d->shard[t / job->a_group];
        lathe_error *err = &d->errors[t / job->a_group];
        int64_t first = t * SHARD, rows = n - first < SHARD ? n - first : SHARD;
        double sum = 0;
        if (m->host->stopped(m->host))
            return fail_stopped(err, "while validating the network");
        for (int64_t i = 0; i < rows; i++)
            memcpy(s->x + i * f,
                   c->validation_x + d->validation_rows.row[first + i] * c->validation_stride,
                   (size_t)f * sizeof(float));
        int32_t rc = mlp_forward(m, d->param, s, rows, 0, 0, 0, err);
        if (rc == LATHE_OK)
            rc = objective_value(&d->validation, rows, s->y[m->n_layers - 1],
                                 d->validation.target + first, NULL, NULL, s->value, err);
        if (rc != LATHE_OK)
            return rc;
        for (int64_t i = 0; i < rows; i++)
            sum += d->validation_rows.weight[first + i] * s->value[i];
        d->losses[d->groups + t] = sum;
    }
    return LATHE_OK;
}

int32_t mlp_validate(mlp_descent *d, double *loss, lathe_error *err) {
    const lathe_host *host = d->m->host;
    validate_job job = {.d = d};
    int64_t groups = count_groups(d->validation_rows.n, &job.a_group);
    int64_t shards = (d->validation_rows.n + SHARD - 1) / SHARD;
    int32_t rc = host->parallel_for(host, groups, 1, validate_group, &job);

    for (int64_t g = 0; rc != LATHE_OK && err != NULL && g < groups; g++)
        if (d->errors[g].code != 0)
            *err = d->errors[g];
    *loss = 0;
    for (int64_t t = 0; rc == LATHE_OK && t < shards; t++)
        *loss += d->losses[d->groups + t];
    *loss /= d->validation_rows.total;
    return rc;
}
