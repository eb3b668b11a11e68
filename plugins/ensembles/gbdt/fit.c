/* fit.c: a fit of gradient boosting from start to end. */
#include "gbdt.h"

enum { CURVE_POINTS = 50, BLOCK_SCORES = 4096 };

static void free_part(const lathe_host *host, gbdt_part *p, const float *gradient) {
    host->free(host, p->own_target);
    host->free(host, p->weight);
    host->free(host, p->score);
    if (p->step != gradient)
        host->free(host, p->step);
}

static void free_run(gbdt_run *r) {
    const lathe_host *host = r->g->host;
    free_part(host, &r->train, r->gradient);
    free_part(host, &r->valid, NULL);
    host->free(host, r->gradient);
    host->free(host, r->hessian);
    host->free(host, r->block);
    host->free(host, r->used);
    host->free(host, r->rows);
    host->free(host, r->pool);
    host->free(host, r->features);
    host->free(host, r->errors);
    host->free(host, r->leaf);
    host->free(host, r->place);
    host->free(host, r->leaf_score);
    host->free(host, r->leaf_target);
    host->free(host, r->leaf_weight);
    host->free(host, r->leaf_value);
}

static int32_t alloc_part(const lathe_host *host, gbdt_part *p, int64_t n, int64_t k,
                          int has_weight, lathe_error *err) {
    p->n = n;
    p->own_target = has_weight ? members_alloc(host, n, sizeof *p->own_target) : NULL;
    p->weight = has_weight ? members_alloc(host, n, sizeof *p->weight) : NULL;
    p->score = members_alloc(host, n * k, sizeof *p->score);
    if ((has_weight && (!p->own_target || !p->weight)) || !p->score)
        return members_no_memory(err, "gbdt");
    return LATHE_OK;
}

/* Checks targets and weights (NULL: 1). Where there are weights both are copied: a row without
 * weight keeps target 0, so that the loss never sees what stands there. */
static int32_t load_part(const gbdt_run *r, gbdt_part *p, const float *target, const float *weight,
                         const uint8_t *in_set, const uint16_t *counts, lathe_error *err) {
    int64_t classes = r->c->n_classes;
    p->target = p->own_target ? p->own_target : target;
    p->weight_sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double w = weight ? weight[i] : 1.0, y = target[i];
        w *= counts ? counts[i] : 1;
        w *= in_set ? in_set[i] : 1;
        if (!(w >= 0) || w == INFINITY)
            return members_fail(err, LATHE_E_DATA, "gbdt",
                                "the weight of row %lld is %g; expected a finite number, 0 or more",
                                (long long)i, w);
        if (p->weight)
            p->weight[i] = (float)w;
        if (w == 0)
            continue;
        if (!(fabs(y) < INFINITY))
            return members_fail(
                err, LATHE_E_DATA, "gbdt",
                "the target of row %lld is %g; every target must be finite. Drop rows "
                "without a target before training",
                (long long)i, y);
        if (classes > 0 && (y < 0 || y >= (double)classes || y != floor(y)))
            return members_fail(err, LATHE_E_DATA, "gbdt",
                                "the target of row %lld is %g; expected a class index, 0 to %lld",
                                (long long)i, y, (long long)classes - 1);
        if (p->own_target)
            p->own_target[i] = (float)y;
        p->weight_sum += w;
    }
    if (!(p->weight_sum > 0))
        return members_fail(err, LATHE_E_DATA, "gbdt", "no row has a weight above 0");
    return LATHE_OK;
}

static int32_t load_train(gbdt_run *r, lathe_error *err) {
    const gbdt *g = r->g;
    const lathe_fit *fit = r->fit;
    const lathe_dataset *data = r->c->data;
    int64_t n = r->c->n_rows;
    const float *target = fit->target ? fit->target : g->members.datasets->target(data);
    const float *weight = fit->weight ? fit->weight : g->members.datasets->weight(data);
    if (!target)
        return members_fail(err, LATHE_E_DATA, "gbdt", "the dataset has no target to fit");
    if (fit->gradient)
        return members_fail(err, LATHE_E_UNSUPPORTED, "gbdt", "gbdt fits targets, not gradients");
    uint8_t *in_set = NULL;
    int32_t rc = LATHE_OK;
    if (fit->rows) {
        in_set = members_alloc(g->host, n, 1);
        if (!in_set)
            return members_no_memory(err, "gbdt");
        for (int64_t i = 0; rc == LATHE_OK && i < fit->n_rows_used; i++) {
            if (fit->rows[i] < 0 || fit->rows[i] >= n)
                rc = members_fail(err, LATHE_E_SHAPE, "gbdt",
                                  "row %d is not in the dataset of %lld rows", (int)fit->rows[i],
                                  (long long)n);
            else
                in_set[fit->rows[i]] = 1;
        }
    }
    if (rc == LATHE_OK)
        rc = alloc_part(g->host, &r->train, n, r->k, weight || fit->rows || fit->counts, err);
    if (rc == LATHE_OK)
        rc = load_part(r, &r->train, target, weight, in_set, fit->counts, err);
    g->host->free(g->host, in_set);
    return rc;
}

static int32_t load_validation(gbdt_run *r, lathe_error *err) {
    const gbdt *g = r->g;
    const lathe_datasets *ds = g->members.datasets;
    const lathe_dataset *data = r->c->validation;
    if (!data)
        return LATHE_OK;
    int32_t rc = members_get_matrix(&g->members, data, &r->valid_x, err);
    if (rc != LATHE_OK || r->valid_x.n_rows == 0)
        return rc;
    const float *target = ds->target(data), *weight = ds->weight(data);
    if (!target)
        return members_fail(err, LATHE_E_DATA, "gbdt", "the validation rows have no target");
    rc = alloc_part(g->host, &r->valid, r->valid_x.n_rows, r->k, weight != NULL, err);
    return rc == LATHE_OK ? load_part(r, &r->valid, target, weight, NULL, NULL, err) : rc;
}

/* Which rows have weight, which features may be used, and room for a round. */
static int32_t prepare_round(gbdt_run *r, lathe_error *err) {
    gbdt *g = r->g;
    const lathe_host *host = g->host;
    int64_t n = r->train.n, k = r->k;
    r->block_rows = BLOCK_SCORES / k > 1 ? BLOCK_SCORES / k : 1;
    r->block = members_alloc(host, 3 * k * r->block_rows * host->n_workers(host), sizeof(float));
    r->used = r->train.weight ? members_alloc(host, n, sizeof *r->used) : NULL;
    r->n_used = r->used ? 0 : n;
    r->pool = members_alloc(host, r->c->n_features, sizeof *r->pool);
    r->gradient = members_alloc(host, n * k, sizeof(float));
    r->hessian = members_alloc(host, n * k, sizeof(float));
    r->errors = members_alloc(host, k, sizeof *r->errors);
    if (!r->block || (r->train.weight && !r->used) || !r->pool || !r->gradient || !r->hessian ||
        !r->errors)
        return members_no_memory(err, "gbdt");
    for (int64_t i = 0; r->used && i < n; i++)
        if (r->train.weight[i] > 0)
            r->used[r->n_used++] = (int32_t)i;
    if (r->used && r->n_used == n) {
        host->free(host, r->used);
        r->used = NULL;
    }
    r->samples_rows = g->config->row_share < 1 || g->config->sampling == GBDT_SAMPLING_GRADIENT;
    if (r->samples_rows) {
        r->rows = members_alloc(host, n, sizeof *r->rows);
        if (!r->rows)
            return members_no_memory(err, "gbdt");
    }
    r->n_pool = r->fit->features ? r->fit->n_features_used : r->c->n_features;
    if (r->n_pool > r->c->n_features || r->n_pool < 0)
        return members_fail(err, LATHE_E_SHAPE, "gbdt", "%lld features are to be used of %lld",
                            (long long)r->n_pool, (long long)r->c->n_features);
    for (int64_t i = 0; i < r->n_pool; i++)
        r->pool[i] = r->fit->features ? r->fit->features[i] : (int32_t)i;
    double share = g->config->feature_share;
    r->n_features = (int64_t)ceil(share * (double)r->n_pool);
    if (r->n_features < 1)
        r->n_features = r->n_pool < 1 ? r->n_pool : 1;
    if (share < 1 || r->fit->features) {
        r->features = members_alloc(host, r->n_pool * k, sizeof *r->features);
        if (!r->features)
            return members_no_memory(err, "gbdt");
    }
    return LATHE_OK;
}

/* The learners' needs, and whether their leaves are renewed. */
static int32_t prepare_children(gbdt_run *r, lathe_error *err) {
    gbdt *g = r->g;
    gbdt_context *c = r->c;
    const lathe_host *host = g->host;
    uint32_t needs = LATHE_LEARNER_TAKES_GRADIENTS;
    needs |= r->used || r->samples_rows ? LATHE_LEARNER_TAKES_ROWS : 0;
    needs |= r->features ? LATHE_LEARNER_TAKES_FEATURES : 0;
    members_contexts_need(&c->children, needs);
    void *context = NULL;
    int32_t rc = members_context(&c->children, 0, &context, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_instance *child = &c->children.owner[0];
    const lathe_learner *table = member_table(child);
    r->renews = (g->loss.descriptor->flags & LATHE_LOSS_ZERO_HESSIAN) && r->table->renew &&
                r->k == 1 && (child->descriptor->flags & LATHE_LEARNER_GIVES_LEAVES) &&
                table->leaves && table->leaf_values && table->set_leaf_values;
    if ((g->loss.descriptor->flags & LATHE_LOSS_ZERO_HESSIAN) &&
        g->config->sampling == GBDT_SAMPLING_GRADIENT)
        return members_fail(err, LATHE_E_UNSUPPORTED, "sampling",
                            "the gradients of %s do not tell which rows matter; with it use "
                            "\"sampling\": \"uniform\"",
                            g->loss.descriptor->name);
    if (r->renews) {
        int64_t n = r->train.n;
        r->leaf = members_alloc(host, n, sizeof *r->leaf);
        r->place = members_alloc(host, n + 2, sizeof *r->place);
        r->leaf_score = members_alloc(host, n, sizeof(float));
        r->leaf_target = members_alloc(host, n, sizeof(float));
        r->leaf_weight = members_alloc(host, n, sizeof(float));
        r->leaf_value = members_alloc(host, n, sizeof(float));
        if (!r->leaf || !r->place || !r->leaf_score || !r->leaf_target || !r->leaf_weight ||
            !r->leaf_value)
            return members_no_memory(err, "gbdt");
    }
    int in_place = (child->descriptor->flags & LATHE_LEARNER_FITS_IN_PLACE) != 0;
    r->train.step = in_place ? r->gradient : members_alloc(host, r->train.n * r->k, sizeof(float));
    r->valid.step = r->valid.n > 0 ? members_alloc(host, r->valid.n * r->k, sizeof(float)) : NULL;
    if (!r->train.step || (r->valid.n > 0 && !r->valid.step))
        return members_no_memory(err, "gbdt");
    return members_reset(&g->members, g->config->rounds * r->k, err);
}

/* The targets and weights of the used rows, one after the other. */
static int32_t start_of_used(gbdt_run *r, lathe_error *err) {
    const lathe_host *host = r->g->host;
    float *target = members_alloc(host, r->n_used, sizeof *target);
    float *weight = members_alloc(host, r->n_used, sizeof *weight);
    int32_t rc = LATHE_E_MEMORY;
    for (int64_t i = 0; target && weight && i < r->n_used; i++) {
        target[i] = r->train.target[r->used[i]];
        weight[i] = r->train.weight[r->used[i]];
    }
    if (target && weight)
        rc = r->table->start(r->g->loss.self, r->n_used, r->k, target, weight, r->g->start, err);
    else
        members_no_memory(err, "gbdt");
    host->free(host, target);
    host->free(host, weight);
    return rc;
}

/* The constant that the ensemble starts from. */
static int32_t start_scores(gbdt_run *r, lathe_error *err) {
    gbdt *g = r->g;
    const lathe_host *host = g->host;
    host->free(host, g->start);
    g->start = members_alloc(host, r->k, sizeof *g->start);
    if (!g->start)
        return members_no_memory(err, "gbdt");
    int32_t rc = r->used ? start_of_used(r, err)
                         : r->table->start(g->loss.self, r->train.n, r->k, r->train.target,
                                           r->train.weight, g->start, err);
    for (int64_t j = 0; rc == LATHE_OK && j < r->k; j++)
        if (!(fabs(g->start[j]) < INFINITY))
            rc = members_fail(err, LATHE_E_NUMERIC, "loss",
                              "the start score is %g; expected a finite one", g->start[j]);
    return rc;
}

/* What the round's learners say on the validation rows. */
static int32_t predict_validation(gbdt_run *r, lathe_error *err) {
    const gbdt *g = r->g;
    for (int64_t j = 0; j < r->k; j++) {
        const lathe_instance *child = &g->members.child[r->round * r->k + j];
        int32_t rc = members_predict_all(g->host, member_table(child), child->self, &r->valid_x,
                                         r->valid.step + j * r->valid.n, 1, 1, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* The new scores of the training rows and, while there are rounds to come, their gradients. Their
 * loss is for the eye: it is computed where there is one of validation rows beside it, else some
 * CURVE_POINTS of it are. */
static int32_t advance_training(gbdt_run *r, lathe_error *err) {
    const lathe_host *host = r->g->host;
    int64_t rounds = r->g->config->rounds;
    int64_t every = r->valid.n > 0 ? 1 : 1 + (rounds - 1) / CURVE_POINTS;
    int is_last = r->round + 1 == rounds, shows = is_last || (r->round + 1) % every == 0;
    double mean = 0;
    int32_t rc = gbdt_advance(r, &r->train, r->g->config->learning_rate,
                              is_last ? NULL : r->gradient, r->hessian, shows ? &mean : NULL, err);
    if (rc == LATHE_OK && shows)
        host->metric(host, "train_loss", r->round, mean);
    return rc;
}

/* The rounds; *kept: how many of them the ensemble keeps. */
static int32_t boost(gbdt_run *r, int64_t *kept, lathe_error *err) {
    const gbdt *g = r->g;
    const lathe_host *host = g->host;
    int64_t rounds = g->config->rounds, patience = g->config->early_stopping;
    int stops = patience != LATHE_INT_NULL && r->valid.n > 0;
    double rate = g->config->learning_rate, mean = 0, best = INFINITY;
    int32_t rc = gbdt_advance(r, &r->train, 0, r->gradient, r->hessian, NULL, err);
    if (rc == LATHE_OK && patience != LATHE_INT_NULL && !stops)
        host->log(host, LATHE_LOG_INFO,
                  "gbdt: early_stopping has no effect because there are no validation rows");
    *kept = rounds;
    for (r->round = 0; rc == LATHE_OK && r->round < rounds; r->round++) {
        if (host->stopped(host))
            return members_fail(err, LATHE_E_CANCELLED, "gbdt", "stopped after %lld rounds",
                                (long long)r->round);
        rc = gbdt_round(r, err);
        if (rc == LATHE_OK)
            rc = advance_training(r, err);
        if (rc != LATHE_OK)
            break;
        host->progress(host, (double)(r->round + 1) / (double)rounds, "rounds");
        if (r->valid.n == 0)
            continue;
        rc = predict_validation(r, err);
        if (rc == LATHE_OK)
            rc = gbdt_advance(r, &r->valid, rate, NULL, NULL, &mean, err);
        if (rc != LATHE_OK)
            break;
        host->metric(host, "validation_loss", r->round, mean);
        if (stops && mean < best) {
            best = mean;
            *kept = r->round + 1;
        }
        if (stops && r->round + 1 - *kept >= patience && best < INFINITY)
            break;
    }
    return rc;
}

/* The kept rounds as one instance, and what the ensemble gives. */
static int32_t finish(gbdt_run *r, int64_t kept, lathe_error *err) {
    gbdt *g = r->g;
    int64_t n = kept * r->k;
    double *scale = members_alloc(g->host, n, sizeof *scale);
    int32_t *column = members_alloc(g->host, n, sizeof *column);
    int32_t rc = LATHE_OK;
    if (!scale || !column)
        rc = members_no_memory(err, "gbdt");
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        scale[i] = g->config->learning_rate;
        column[i] = (int32_t)(i % r->k);
    }
    if (rc == LATHE_OK)
        rc = members_combine(&g->members, n, LATHE_OUTPUT_VALUE, r->k, g->start, scale,
                             r->k > 1 ? column : NULL, err);
    g->host->free(g->host, scale);
    g->host->free(g->host, column);
    g->output.struct_size = LATHE_SIZED(lathe_output);
    g->output.type =
        r->c->task == LATHE_TASK_REGRESSION ? LATHE_OUTPUT_VALUE : LATHE_OUTPUT_PROBABILITY;
    g->output.n_outputs = r->k;
    g->output.n_features = r->c->n_features;
    return rc;
}

static int32_t fill_fitted(gbdt_run *r, lathe_error *err) {
    gbdt *g = r->g;
    members_matrix x;
    int32_t rc = members_get_matrix(&g->members, r->c->data, &x, err);
    if (rc == LATHE_OK)
        rc = members_predict_all(g->host, &gbdt_table, g, &x, r->fit->fitted, r->k,
                                 r->fit->fitted_stride, err);
    return rc;
}

int32_t gbdt_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    gbdt *g = self;
    gbdt_run r = {.g = g, .c = context, .fit = fit, .table = g->loss.interface};
    int64_t kept = 0;
    g->is_fitted = 0;
    r.k = r.table->n_scores(g->loss.self, r.c->task, r.c->n_classes);
    int32_t rc = LATHE_OK;
    if (r.k < 1 || r.k > 65536)
        rc = members_fail(err, LATHE_E_UNSUPPORTED, "loss",
                          "%s does not serve this task with %lld classes", g->loss.descriptor->id,
                          (long long)r.c->n_classes);
    if (rc == LATHE_OK)
        rc = load_train(&r, err);
    if (rc == LATHE_OK)
        rc = load_validation(&r, err);
    if (rc == LATHE_OK)
        rc = prepare_round(&r, err);
    if (rc == LATHE_OK)
        rc = prepare_children(&r, err);
    if (rc == LATHE_OK)
        rc = start_scores(&r, err);
    if (rc == LATHE_OK)
        rc = boost(&r, &kept, err);
    free_run(&r); /* before the trees are copied into one */
    if (rc == LATHE_OK)
        rc = finish(&r, kept, err);
    g->is_fitted = rc == LATHE_OK;
    if (rc == LATHE_OK && fit->fitted)
        rc = fill_fitted(&r, err);
    if (rc != LATHE_OK) {
        members_clear(&g->members);
        g->is_fitted = 0;
    }
    return rc;
}
