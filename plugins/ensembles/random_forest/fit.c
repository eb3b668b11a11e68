/* fit.c: a fit of the forest from start to end. */
#include "forest.h"

enum { BLOCK = 256 }; /* trees between two reports, without an out-of-bag score */

/* ---- growing the trees ----------------------------------------------------------------------- */

static int32_t worker_buffers(growing *g, int32_t worker, lathe_error *err) {
    forest_context *c = g->c;
    const lathe_host *host = c->host;
    if (!c->counts[worker])
        c->counts[worker] = members_alloc(host, c->n_rows, sizeof(uint16_t));
    if (!c->draws[worker])
        c->draws[worker] = members_alloc(host, c->n_rows, sizeof(uint64_t));
    return c->counts[worker] && c->draws[worker] ? LATHE_OK
                                                 : members_no_memory(err, "random_forest");
}

static int32_t grow_tree(growing *g, int64_t t, int32_t worker, lathe_error *err) {
    forest *f = g->f;
    forest_context *c = g->c;
    lathe_instance *child = &f->members.child[t];
    void *child_context = NULL;
    child->struct_size = LATHE_SIZED(lathe_instance);
    int32_t rc = worker_buffers(g, worker, err);
    if (rc == LATHE_OK)
        rc = f->members.kids->create(f->host, f->config->base, c->children.needs, c->data, child,
                                     err);
    if (rc == LATHE_OK)
        rc = members_context(&c->children, worker, &child_context, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_fit fit = *g->fit;
    fit.struct_size = LATHE_SIZED(lathe_fit);
    fit.key =
        f->host->random_key(f->host, f->host->random_key(f->host, g->fit->key, 1), (uint64_t)t);
    fit.fitted = NULL;
    fit.rows = NULL;
    forest_draw_bag(g, t, c->draws[worker], c->counts[worker]);
    fit.counts = c->counts[worker];
    if (g->fitted) {
        fit.fitted = g->fitted + (t - g->first) * c->n_rows * g->width;
        fit.fitted_stride = g->width;
        uint8_t *drawn = g->drawn + (t - g->first) * c->n_rows;
        for (int64_t i = 0; i < c->n_rows; i++)
            drawn[i] = fit.counts[i] != 0;
    }
    return member_fit(&f->members, child, child_context, &fit, c->data, g->fitted ? g->width : 0,
                      err);
}

static int32_t grow_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    growing *g = user;
    const lathe_host *host = g->f->host;
    for (int64_t i = begin; i < end; i++) {
        if (host->stopped(host))
            return LATHE_E_CANCELLED;
        int32_t rc = grow_tree(g, g->first + i, worker, &g->errors[i]);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* Grows `n` trees from g->first on; the error of the first that failed. */
static int32_t grow_block(growing *g, int64_t n, lathe_error *err) {
    const lathe_host *host = g->f->host;
    int32_t rc = host->parallel_for(host, n, 1, grow_chunk, g);
    if (rc == LATHE_OK)
        return LATHE_OK;
    for (int64_t i = 0; i < n; i++)
        if (g->errors[i].code != LATHE_OK) {
            *err = g->errors[i];
            return rc;
        }
    return members_fail(err, rc, "random_forest", "growing the trees was stopped");
}

/* ---- the fit --------------------------------------------------------------------------------- */

static int32_t grow_all(growing *g, lathe_error *err) {
    forest *f = g->f;
    const lathe_host *host = f->host;
    int64_t trees = f->config->trees, block = g->fitted ? FOREST_OOB_BLOCK : BLOCK;
    forest_oob o = {0};
    int32_t rc = g->fitted ? forest_oob_start(g, &o, err) : LATHE_OK;
    for (g->first = 0; rc == LATHE_OK && g->first < trees; g->first += block) {
        int64_t n = trees - g->first < block ? trees - g->first : block;
        rc = grow_block(g, n, err);
        if (rc != LATHE_OK)
            break;
        lathe_output out = {.struct_size = LATHE_SIZED(lathe_output)};
        const lathe_instance *child = &f->members.child[g->first];
        member_table(child)->output(child->self, &out);
        f->child_type = out.type;
        if (g->fitted)
            forest_oob_add(g, &o, n, g->first + n);
        host->progress(host, (double)(g->first + n) / (double)trees, "trees");
    }
    forest_oob_free(g, &o);
    return rc;
}

/* The sum of the trees, and what the forest gives. */
static int32_t finish(growing *g, lathe_error *err) {
    forest *f = g->f;
    int64_t n = f->config->trees;
    const lathe_instance *child = &f->members.child[0];
    lathe_output o = {.struct_size = LATHE_SIZED(lathe_output)};
    int32_t rc = member_table(child)->output(child->self, &o);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "base",
                            "the fitted base learner does not describe its output");
    f->output = o;
    f->output.struct_size = LATHE_SIZED(lathe_output);
    f->output.n_features = g->c->n_features;
    if (o.type == LATHE_OUTPUT_SCORE && g->c->task != LATHE_TASK_REGRESSION)
        f->output.type = LATHE_OUTPUT_PROBABILITY;
    double *scale = members_alloc(f->host, n, sizeof *scale);
    if (!scale)
        return members_no_memory(err, "random_forest");
    for (int64_t i = 0; i < n; i++)
        scale[i] = 1.0 / (double)n;
    f->members.n = n;
    if (o.type == f->output.type)
        rc = members_combine(&f->members, n, o.type, o.n_outputs, NULL, scale, NULL, err);
    f->host->free(f->host, scale);
    return rc;
}

static int32_t prepare(growing *g, lathe_error *err) {
    forest *f = g->f;
    forest_context *c = g->c;
    const lathe_fit *fit = g->fit;
    uint32_t needs = LATHE_LEARNER_TAKES_ROWS;
    needs |= fit->weight || f->members.datasets->weight(c->data) ? LATHE_LEARNER_TAKES_WEIGHTS : 0;
    needs |= fit->features ? LATHE_LEARNER_TAKES_FEATURES : 0;
    needs |= fit->gradient ? LATHE_LEARNER_TAKES_GRADIENTS : 0;
    needs |= !fit->gradient && c->n_classes > 2 ? LATHE_LEARNER_TAKES_MULTICLASS : 0;
    members_contexts_need(&c->children, needs);
    if (fit->rows) {
        g->in_set = members_alloc(f->host, c->n_rows, 1);
        if (!g->in_set)
            return members_no_memory(err, "random_forest");
        for (int64_t i = 0; i < fit->n_rows_used; i++) {
            if (fit->rows[i] < 0 || fit->rows[i] >= c->n_rows)
                return members_fail(err, LATHE_E_SHAPE, "random_forest",
                                    "row %d is not in the dataset of %lld rows", (int)fit->rows[i],
                                    (long long)c->n_rows);
            g->in_set[fit->rows[i]] = 1;
        }
    }
    if (f->config->oob_score && !fit->gradient) {
        g->width = c->n_classes > 2 ? c->n_classes : 1;
        g->fitted = members_alloc(f->host, FOREST_OOB_BLOCK * c->n_rows * g->width, sizeof(float));
        g->drawn = members_alloc(f->host, FOREST_OOB_BLOCK * c->n_rows, 1);
        if (!g->fitted || !g->drawn)
            return members_no_memory(err, "random_forest");
    }
    g->errors = members_alloc(f->host, BLOCK, sizeof *g->errors);
    if (!g->errors)
        return members_no_memory(err, "random_forest");
    forest_bag_limits(g);
    return members_reset(&f->members, f->config->trees, err);
}

int32_t forest_fit(void *self, void *ctx, const lathe_fit *fit, lathe_error *err) {
    forest *f = self;
    forest_context *c = ctx;
    growing g = {.f = f, .c = c, .fit = fit};
    f->is_fitted = 0;
    int32_t rc = prepare(&g, err);
    if (rc == LATHE_OK)
        rc = grow_all(&g, err);
    if (rc == LATHE_OK)
        rc = finish(&g, err);
    f->host->free(f->host, g.in_set);
    f->host->free(f->host, g.fitted);
    f->host->free(f->host, g.drawn);
    f->host->free(f->host, g.errors);
    if (rc != LATHE_OK) {
        members_clear(&f->members);
        return rc;
    }
    f->is_fitted = 1;
    if (!fit->fitted)
        return LATHE_OK;
    members_matrix x;
    rc = members_get_matrix(&f->members, c->data, &x, err);
    if (rc == LATHE_OK)
        rc = members_predict_all(f->host, &forest_table, f, &x, fit->fitted, f->output.n_outputs,
                                 fit->fitted_stride, err);
    f->is_fitted = rc == LATHE_OK;
    return rc;
}
