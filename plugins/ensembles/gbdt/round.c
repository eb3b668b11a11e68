/* round.c: one round of boosting. */
#include "gbdt.h"

enum {
    ROWS_GRAIN = 4096,
    CACHED_CHUNKS = 8, /* a thread: of so few each meets the same ones again, in its cache */
    LOSS_VALUES =
        1
        << 13 /* the training loss is that of rows with about so many scores, spread over the data */
};

/* ---- renewing leaves ------------------------------------------------------------------------- */

static int32_t renew_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    gbdt_run *r = user;
    for (int64_t l = begin; l < end; l++) {
        int64_t at = r->place[l], n = r->place[l + 1] - at;
        double c = 0;
        lathe_error err = {0};
        int32_t rc = LATHE_OK;
        if (n > 0)
            rc = r->table->renew(r->g->loss.self, n, r->leaf_score + at, r->leaf_target + at,
                                 r->train.weight ? r->leaf_weight + at : NULL, &c, &err);
        if (rc != LATHE_OK)
            return rc;
        r->leaf_value[l] = (float)c;
    }
    return LATHE_OK;
}

/* Sorts the rows of this round by leaf (counting, so stable) and gathers what the loss needs. */
static void rows_by_leaf(gbdt_run *r) {
    int has_rows = r->samples_rows || r->used != NULL;
    const int32_t *rows = r->samples_rows ? r->rows : r->used;
    int64_t n = r->samples_rows ? r->n_rows : r->n_used;
    memset(r->place, 0, (size_t)(r->n_leaves + 2) * sizeof *r->place);
    for (int64_t i = 0; i < n; i++)
        r->place[r->leaf[has_rows ? rows[i] : i] + 2]++;
    for (int64_t l = 0; l < r->n_leaves; l++)
        r->place[l + 2] += r->place[l + 1];
    for (int64_t i = 0; i < n; i++) {
        int64_t row = has_rows ? rows[i] : i, at = r->place[r->leaf[row] + 1]++;
        r->leaf_score[at] = gbdt_score(r, &r->train, 0, row);
        r->leaf_target[at] = r->train.target[row];
        if (r->train.weight)
            r->leaf_weight[at] = r->train.weight[row];
    }
}

/* The value of each leaf becomes the best constant for its rows (Friedman 2001, algorithms 3 and
 * 4). */
static int32_t renew_leaves(gbdt_run *r, const lathe_instance *child, void *context,
                            lathe_error *err) {
    const lathe_learner *table = member_table(child);
    int32_t rc = table->leaves(child->self, context, r->leaf, &r->n_leaves, err);
    if (rc != LATHE_OK)
        return rc;
    if (r->n_leaves < 1 || r->n_leaves > r->train.n)
        return members_fail(err, LATHE_E_SHAPE, "base", "%s says it has %lld leaves for %lld rows",
                            child->descriptor->id, (long long)r->n_leaves, (long long)r->train.n);
    for (int64_t i = 0; i < r->train.n; i++)
        if (r->leaf[i] < 0 || r->leaf[i] >= r->n_leaves)
            return members_fail(err, LATHE_E_SHAPE, "base", "%s puts row %lld into leaf %d of %lld",
                                child->descriptor->id, (long long)i, (int)r->leaf[i],
                                (long long)r->n_leaves);
    rows_by_leaf(r);
    rc = r->g->host->parallel_for(r->g->host, r->n_leaves, 4, renew_chunk, r);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "loss", "renewing the leaves of round %lld failed",
                            (long long)r->round);
    rc = table->set_leaf_values(child->self, r->leaf_value, err);
    if (rc == LATHE_OK) /* it may have brought them within bounds */
        rc = table->leaf_values(child->self, r->leaf_value, err);
    for (int64_t i = 0; rc == LATHE_OK && i < r->train.n; i++)
        r->train.step[i] = r->leaf_value[r->leaf[i]];
    return rc;
}

/* ---- fitting --------------------------------------------------------------------------------- */

static int32_t fit_score(gbdt_run *r, int64_t k, int32_t worker, lathe_error *err) {
    gbdt *g = r->g;
    gbdt_context *c = r->c;
    const lathe_host *host = g->host;
    lathe_instance *child = &g->members.child[r->round * r->k + k];
    child->struct_size = LATHE_SIZED(lathe_instance);
    void *context = NULL;
    int32_t rc =
        g->members.kids->create(host, g->config->base, c->children.needs, c->data, child, err);
    if (rc == LATHE_OK)
        rc = members_context(&c->children, worker, &context, err);
    if (rc != LATHE_OK)
        return rc;
    uint64_t key = host->random_key(host, host->random_key(host, r->fit->key, (uint64_t)r->round),
                                    (uint64_t)k + 1);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = host->random_key(host, key, 0)};
    fit.gradient = r->gradient + k * r->train.n;
    fit.hessian = r->hessian + k * r->train.n;
    fit.gradient_stride = 1;
    if (r->samples_rows || r->used) {
        fit.rows = r->samples_rows ? r->rows : r->used;
        fit.n_rows_used = r->samples_rows ? r->n_rows : r->n_used;
    }
    if (r->features) {
        int32_t *features = r->features + k * r->n_pool;
        gbdt_sample_features(r, host->random_key(host, key, 1), features);
        fit.features = features;
        fit.n_features_used = r->n_features;
    }
    fit.fitted = r->train.step + k * r->train.n;
    fit.fitted_stride = 1;
    rc = member_fit(&g->members, child, context, &fit, c->data, 1, err);
    if (rc == LATHE_OK && r->renews)
        rc = renew_leaves(r, child, context, err);
    return rc;
}

static int32_t fit_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    gbdt_run *r = user;
    for (int64_t k = begin; k < end; k++) {
        int32_t rc = fit_score(r, k, worker, &r->errors[k]);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

int32_t gbdt_round(gbdt_run *r, lathe_error *err) {
    const lathe_host *host = r->g->host;
    uint64_t key = host->random_key(host, r->fit->key, (uint64_t)r->round);
    int32_t rc = gbdt_sample_rows(r, host->random_key(host, key, 0), err);
    if (rc != LATHE_OK || r->k == 1)
        return rc != LATHE_OK ? rc : fit_score(r, 0, 0, err);
    rc = host->parallel_for(host, r->k, 1, fit_chunk, r);
    for (int64_t k = 0; rc != LATHE_OK && k < r->k; k++)
        if (r->errors[k].code != LATHE_OK) {
            *err = r->errors[k];
            return rc;
        }
    if (rc != LATHE_OK)
        return members_fail(err, rc, "gbdt", "round %lld was stopped", (long long)r->round);
    return LATHE_OK;
}

/* ---- new scores ------------------------------------------------------------------------------ */

typedef struct advance {
    gbdt_run *r;
    gbdt_part *p;
    double rate;
    float *gradient, *hessian;
    int64_t every; /* of so many rows of a block the loss is computed of one: of the first ones */
    double *sum;   /* [chunks, 2] of weight times loss, and of weight; NULL: not asked */
} advance;

/* New scores of n rows, and as float32, which is what the loss sees and predict gives, in
 * rounded[n, K]. Are all finite? */
static int add_step(const advance *a, int64_t begin, int64_t n, float *rounded) {
    const gbdt_part *p = a->p;
    int64_t k = a->r->k;
    int bad = 0;
    for (int64_t j = 0; j < k; j++) {
        float *score = p->score + j * p->n + begin;
        const float *step = p->step + j * p->n + begin;
        double start = a->r->g->start[j];
        for (int64_t i = 0; a->rate != 0 && i < n; i++)
            score[i] = (float)((double)score[i] + a->rate * (double)step[i]);
        for (int64_t i = 0; i < n; i++) {
            float s = (float)(start + (double)score[i]);
            rounded[i * k + j] = s;
            bad |= !(fabsf(s) < INFINITY);
        }
    }
    return !bad;
}

/* Adds the loss of n rows to sum[2]. */
static int32_t add_loss(const advance *a, int64_t begin, int64_t n, const float *rounded,
                        double *sum, lathe_error *err) {
    const gbdt_part *p = a->p;
    double loss[ROWS_GRAIN];
    int32_t rc =
        a->r->table->value(a->r->g->loss.self, n, a->r->k, rounded, p->target + begin, loss, err);
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        double w = p->weight ? p->weight[begin + i] : 1.0;
        sum[0] += w > 0 ? w * loss[i] : 0;
        sum[1] += w;
    }
    return rc;
}

/* From g[n, K], h[n, K] to a place in the whole. */
static void store_gradients(const advance *a, int64_t begin, int64_t n, const float *g,
                            const float *h) {
    const float *weight = a->p->weight;
    int64_t k = a->r->k;
    for (int64_t j = 0; j < k; j++) {
        float *to_g = a->gradient + j * a->p->n + begin, *to_h = a->hessian + j * a->p->n + begin;
        for (int64_t i = 0; k > 1 && i < n; i++) {
            to_g[i] = g[i * k + j];
            to_h[i] = h[i * k + j];
        }
        for (int64_t i = 0; weight && i < n; i++) {
            to_g[i] *= weight[begin + i];
            to_h[i] *= weight[begin + i];
        }
    }
}

static int32_t advance_block(const advance *a, int64_t begin, int64_t n, double *sum,
                             float *block) {
    gbdt_run *r = a->r;
    lathe_error err = {0};
    int64_t scores = r->block_rows * r->k;
    float *g = block + scores, *h = g + scores;
    if (!add_step(a, begin, n, block))
        return LATHE_E_NUMERIC;
    int64_t n_loss = (n + a->every - 1) / a->every;
    int32_t rc = sum ? add_loss(a, begin, n_loss, block, sum, &err) : LATHE_OK;
    if (rc != LATHE_OK || !a->gradient)
        return rc;
    if (r->k == 1) {
        g = a->gradient + begin;
        h = a->hessian + begin;
    }
    rc = r->table->gradient(r->g->loss.self, n, r->k, block, a->p->target + begin, g, h, &err);
    if (rc == LATHE_OK)
        store_gradients(a, begin, n, g, h);
    return rc;
}

/* Whole chunks of ROWS_GRAIN rows, which have a sum each. */
static int32_t advance_chunks(void *user, int64_t begin, int64_t end, int32_t worker) {
    const advance *a = user;
    const gbdt_run *r = a->r;
    float *block = r->block + 3 * worker * r->block_rows * r->k;
    int32_t rc = LATHE_OK;
    for (int64_t from = begin; from < end; from += ROWS_GRAIN) {
        double *sum = a->sum ? a->sum + 2 * (from / ROWS_GRAIN) : NULL;
        int64_t to = end - from < ROWS_GRAIN ? end : from + ROWS_GRAIN;
        for (int64_t i = from; rc == LATHE_OK && i < to; i += r->block_rows)
            rc = advance_block(a, i, to - i < r->block_rows ? to - i : r->block_rows, sum, block);
    }
    return rc;
}

int32_t gbdt_advance(gbdt_run *r, gbdt_part *p, double rate, float *gradient, float *hessian,
                     double *mean, lathe_error *err) {
    const lathe_host *host = r->g->host;
    int64_t chunks = (p->n + ROWS_GRAIN - 1) / ROWS_GRAIN;
    advance a = {r, p, rate, gradient, hessian, 1, NULL};
    if (p == &r->train) /* a curve, decided upon by nobody */
        a.every = 1 + (p->n * r->k - 1) / LOSS_VALUES;
    int64_t workers = host->n_workers(host), each = (chunks + workers - 1) / workers;
    each = each > CACHED_CHUNKS ? 1 : each;
    a.sum = mean ? members_alloc(host, 2 * chunks, sizeof(double)) : NULL;
    if (mean && !a.sum)
        return members_no_memory(err, "gbdt");
    int32_t rc = host->parallel_for(host, p->n, each * ROWS_GRAIN, advance_chunks, &a);
    double sum = 0, weight = 0;
    for (int64_t i = 0; mean && i < chunks; i++) {
        sum += a.sum[2 * i];
        weight += a.sum[2 * i + 1];
    }
    host->free(host, a.sum);
    if (mean)
        *mean = weight > 0 ? sum / weight : 0;
    if (rc == LATHE_E_NUMERIC)
        return members_fail(err, rc, "gbdt",
                            "the scores became infinite in round %lld; lower the learning rate",
                            (long long)r->round);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "gbdt", "computing the loss of round %lld failed",
                            (long long)r->round);
    return LATHE_OK;
}
