/* random_forest: the mean of many randomised trees.
 *
 * Each tree is grown to its end on a bootstrap sample and draws a few features afresh for every
 * split (L. Breiman, "Random forests", Machine Learning 45, 2001); the forest's output is the mean
 * of the trees' outputs. The variance of a mean of T equal learners with correlation r is r s^2 +
 * (1 - r) s^2 / T: the drawing lowers r.
 *
 * Sampling. With `bootstrap` row i is in the bag of tree t Poisson(sample_share) times, else once
 * with probability sample_share (N. Oza & S. Russell, "Online bagging and boosting", 2001: for many
 * rows this is the bootstrap). The number is a function of (key, t, the row's number in the source)
 * alone, so it does not depend on the other rows, and a row with count 2 is a row that occurs
 * twice.
 *
 * Out of bag. The mean over the trees whose bag lacks a row predicts it almost as a row not trained
 * on would be (Breiman 2001, section 3.1): `oob_score` reports that accuracy, or RMSE.
 *
 * The base may be any learner. Trees become one instance that holds all of them.
 */
#include "members.h"

typedef struct config {
    int64_t trees;
    const lathe_component *base;
    int32_t bootstrap;
    double sample_share;
    int32_t oob_score;
} config;

static const lathe_task_default base_by_task[] = {
    {LATHE_TASK_REGRESSION, 0,
     "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": \"all\"}}"},
    {0, 0, NULL},
};

static const lathe_param params[] = {
    LATHE_P_INT(config, trees, LATHE_PARAM_TUNABLE, "100", 1, 1e6, "Trees.", .unit = "trees",
                .scale = LATHE_SCALE_LOG),
    LATHE_P_COMPONENT(
        config, base, 0,
        "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": \"sqrt\"}}",
        LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
        "Learner of which the forest consists: a fully grown tree that draws its features.",
        .by_task = base_by_task),
    LATHE_P_BOOL(config, bootstrap, 0, "true", "Draw rows with replacement; false: without."),
    LATHE_P_FLOAT(config, sample_share, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1", 0, 1,
                  "Rows drawn for a tree, as a share of all."),
    LATHE_P_BOOL(config, oob_score, 0, "false",
                 "Report how well the trees predict the rows that they did not draw."),
};

enum { OOB_BLOCK = 16 };

typedef struct forest {
    const lathe_host *host;
    const config *config;
    members members;
    int32_t is_fitted;
    int32_t child_type; /* LATHE_OUTPUT_… of a child */
    lathe_output output;
} forest;

typedef struct context {
    const lathe_host *host; /* of the instance that opened it */
    members_contexts children;
    int32_t task;
    int64_t n_classes;
    const lathe_dataset *data;
    int64_t n_rows;
    int64_t n_features;
    int32_t n_workers;
    uint16_t **counts; /* [n_workers] */
    uint64_t **draws;  /* [n_workers] */
} context;

/* ---- instance -------------------------------------------------------------------------------- */

static int32_t create(const lathe_host *host, const void *cfg, void **self, lathe_error *err) {
    forest *f = members_alloc(host, 1, sizeof *f);
    if (!f)
        return members_no_memory(err, "random_forest");
    f->host = host;
    f->config = cfg;
    int32_t rc = members_init(&f->members, host, f->config->base, err);
    if (rc != LATHE_OK) {
        host->free(host, f);
        return rc;
    }
    *self = f;
    return LATHE_OK;
}

static void destroy(void *self) {
    forest *f = self;
    if (!f)
        return;
    members_clear(&f->members);
    f->host->free(f->host, f);
}

static void forest_close(void *self, void *ctx) {
    (void)self;
    context *c = ctx;
    if (!c)
        return;
    const lathe_host *host = c->host;
    if (c->children.host)
        members_contexts_free(&c->children);
    for (int32_t i = 0; i < c->n_workers; i++) {
        if (c->counts)
            host->free(host, c->counts[i]);
        if (c->draws)
            host->free(host, c->draws[i]);
    }
    host->free(host, c->counts);
    host->free(host, c->draws);
    host->free(host, c);
}

static int32_t forest_open(void *self, const lathe_open *open, void **ctx, lathe_error *err) {
    forest *f = self;
    *ctx = NULL;
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    int32_t rc = f->members.datasets->info(open->data, &info);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "random_forest", "the dataset does not describe itself");
    context *c = members_alloc(f->host, 1, sizeof *c);
    if (!c)
        return members_no_memory(err, "random_forest");
    lathe_open child = *open;
    child.validation = NULL;
    c->host = f->host;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->data = open->data;
    c->n_rows = info.n_rows;
    c->n_features = info.n_features;
    c->n_workers = f->host->n_workers(f->host);
    c->counts = members_alloc(f->host, c->n_workers, sizeof *c->counts);
    c->draws = members_alloc(f->host, c->n_workers, sizeof *c->draws);
    if (c->counts && c->draws)
        rc = members_contexts_init(&c->children, &f->members, &child, c->n_workers, err);
    else
        rc = members_no_memory(err, "random_forest");
    if (rc != LATHE_OK) {
        forest_close(f, c);
        return rc;
    }
    *ctx = c;
    return LATHE_OK;
}

/* ---- drawing the bags ------------------------------------------------------------------------ */

enum { MAX_COUNT = 24 };

/* What all trees of a fit share. */
typedef struct growing {
    forest *f;
    context *c;
    const lathe_fit *fit;
    uint8_t *in_set;         /* [n_rows] rows that may be drawn; NULL: all */
    int64_t first;           /* tree of this block */
    double limit[MAX_COUNT]; /* P(count <= i) */
    float *fitted;           /* [OOB_BLOCK, n_rows, width]; NULL: no out-of-bag score */
    uint8_t *drawn;          /* [OOB_BLOCK, n_rows] */
    int64_t width;
    lathe_error *errors; /* [trees in a block] */
} growing;

/* Cumulative probabilities of the Poisson distribution, or of one trial. */
static void make_limits(growing *g) {
    double share = g->f->config->sample_share, p = lathe_exp(-share), sum = 0;
    for (int i = 0; i < MAX_COUNT; i++) {
        if (!g->f->config->bootstrap)
            p = i == 0 ? 1 - share : i == 1 ? share : 0;
        else if (i > 0)
            p *= share / i;
        sum += p;
        g->limit[i] = i == MAX_COUNT - 1 ? 2 : sum;
    }
}

static uint16_t draw_count(const growing *g, uint64_t random) {
    double u = (double)(random >> 11) * 0x1p-53;
    int count = 0;
    while (count < MAX_COUNT - 1 && u >= g->limit[count])
        count++;
    return (uint16_t)count;
}

/* The bag of tree t; an empty one becomes all rows. */
static void draw_bag(const growing *g, int64_t t, uint64_t *random, uint16_t *counts) {
    const forest *f = g->f;
    const context *c = g->c;
    uint64_t key =
        f->host->random_key(f->host, f->host->random_key(f->host, g->fit->key, 0), (uint64_t)t);
    members_random_rows(f->host, key, f->members.datasets->row_id(c->data), c->n_rows, random);
    int64_t total = 0;
    for (int64_t i = 0; i < c->n_rows; i++) {
        int64_t n = draw_count(g, random[i]);
        n *= g->in_set ? g->in_set[i] : 1;
        if (g->fit->counts)
            n *= g->fit->counts[i];
        counts[i] = (uint16_t)(n < 65535 ? n : 65535);
        total += n;
    }
    for (int64_t i = 0; total == 0 && i < c->n_rows; i++)
        counts[i] = g->fit->counts ? g->fit->counts[i] : g->in_set ? g->in_set[i] : 1;
}

/* ---- growing the trees ----------------------------------------------------------------------- */

static int32_t worker_buffers(growing *g, int32_t worker, lathe_error *err) {
    context *c = g->c;
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
    context *c = g->c;
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
    draw_bag(g, t, c->draws[worker], c->counts[worker]);
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

/* ---- out of bag ------------------------------------------------------------------------------ */

typedef struct oob {
    double *sum; /* [n_rows, width] */
    int32_t *n;  /* [n_rows] trees that did not draw the row */
} oob;

static void oob_add(const growing *g, oob *o, int64_t n_trees) {
    int64_t rows = g->c->n_rows;
    int32_t type = g->f->child_type;
    for (int64_t t = 0; t < n_trees; t++) {
        float *fitted = g->fitted + t * rows * g->width;
        members_to_probability(type, rows, g->width, fitted);
        for (int64_t i = 0; i < rows; i++) {
            if (g->drawn[t * rows + i] || (g->in_set && !g->in_set[i]))
                continue;
            o->n[i]++;
            for (int64_t k = 0; k < g->width; k++)
                o->sum[i * g->width + k] += fitted[i * g->width + k];
        }
    }
}

/* The class that the sums of row i choose. */
static int64_t oob_class(const growing *g, const oob *o, int64_t i) {
    const double *p = o->sum + i * g->width;
    int64_t best = 0;
    if (g->width == 1)
        return p[0] / o->n[i] > 0.5;
    for (int64_t k = 1; k < g->width; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

static void oob_report(const growing *g, const oob *o, int64_t n_trees) {
    const forest *f = g->f;
    const float *y = g->fit->target ? g->fit->target : f->members.datasets->target(g->c->data);
    const float *w = g->fit->weight ? g->fit->weight : f->members.datasets->weight(g->c->data);
    int is_class = g->c->task != LATHE_TASK_REGRESSION;
    double sum = 0, weight = 0;
    for (int64_t i = 0; i < g->c->n_rows; i++) {
        if (o->n[i] == 0 || (g->fit->counts && !g->fit->counts[i]))
            continue;
        double wi = w ? w[i] : 1.0;
        double e =
            is_class ? oob_class(g, o, i) == (int64_t)y[i]
                     : ((double)y[i] - o->sum[i] / o->n[i]) * ((double)y[i] - o->sum[i] / o->n[i]);
        sum += wi * e;
        weight += wi;
    }
    if (weight > 0)
        f->host->metric(f->host, is_class ? "oob_accuracy" : "oob_rmse", n_trees - 1,
                        is_class ? sum / weight : sqrt(sum / weight));
}

/* ---- the fit --------------------------------------------------------------------------------- */

static int32_t grow_all(growing *g, lathe_error *err) {
    forest *f = g->f;
    const lathe_host *host = f->host;
    int64_t trees = f->config->trees, block = g->fitted ? OOB_BLOCK : 256;
    oob o = {0};
    int32_t rc = LATHE_OK;
    if (g->fitted) {
        o.sum = members_alloc(host, g->c->n_rows * g->width, sizeof *o.sum);
        o.n = members_alloc(host, g->c->n_rows, sizeof *o.n);
        if (!o.sum || !o.n)
            rc = members_no_memory(err, "random_forest");
    }
    for (g->first = 0; rc == LATHE_OK && g->first < trees; g->first += block) {
        int64_t n = trees - g->first < block ? trees - g->first : block;
        rc = grow_block(g, n, err);
        if (rc != LATHE_OK)
            break;
        lathe_output out = {.struct_size = LATHE_SIZED(lathe_output)};
        const lathe_instance *child = &f->members.child[g->first];
        member_table(child)->output(child->self, &out);
        f->child_type = out.type;
        if (g->fitted) {
            oob_add(g, &o, n);
            oob_report(g, &o, g->first + n);
        }
        host->progress(host, (double)(g->first + n) / (double)trees, "trees");
    }
    host->free(host, o.sum);
    host->free(host, o.n);
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

static int64_t forest_scratch(const void *self, int64_t rows);
static int32_t forest_predict(const void *self, int64_t n, const float *x, int64_t stride,
                              float *out, void *scratch, lathe_error *err);

static int32_t prepare(growing *g, lathe_error *err) {
    forest *f = g->f;
    context *c = g->c;
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
        g->fitted = members_alloc(f->host, OOB_BLOCK * c->n_rows * g->width, sizeof(float));
        g->drawn = members_alloc(f->host, OOB_BLOCK * c->n_rows, 1);
        if (!g->fitted || !g->drawn)
            return members_no_memory(err, "random_forest");
    }
    g->errors = members_alloc(f->host, 256, sizeof *g->errors);
    if (!g->errors)
        return members_no_memory(err, "random_forest");
    make_limits(g);
    return members_reset(&f->members, f->config->trees, err);
}

static const lathe_learner interface;

static int32_t forest_fit(void *self, void *ctx, const lathe_fit *fit, lathe_error *err) {
    forest *f = self;
    context *c = ctx;
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
        rc = members_predict_all(f->host, &interface, f, &x, fit->fitted, f->output.n_outputs,
                                 fit->fitted_stride, err);
    f->is_fitted = rc == LATHE_OK;
    return rc;
}

/* ---- the fitted forest ----------------------------------------------------------------------- */

static int32_t forest_output(const void *self, lathe_output *output) {
    const forest *f = self;
    output->type = f->output.type;
    output->n_outputs = f->output.n_outputs;
    output->n_features = f->output.n_features;
    return f->is_fitted ? LATHE_OK : LATHE_E_STATE;
}

static int64_t forest_scratch(const void *self, int64_t rows) {
    const forest *f = self;
    if (f->members.has_sum)
        return member_table(&f->members.sum)->scratch
                   ? member_table(&f->members.sum)->scratch(f->members.sum.self, rows)
                   : 0;
    int64_t block = rows < MEMBERS_BLOCK ? rows : MEMBERS_BLOCK, k = f->output.n_outputs;
    return members_align(block * k * (int64_t)sizeof(double)) +
           members_align(block * k * (int64_t)sizeof(float)) +
           members_child_scratch(&f->members, block);
}

/* The mean of children that did not combine, for one block of rows. */
static int32_t predict_block(const forest *f, int64_t n, const float *x, int64_t stride, float *out,
                             void *scratch, lathe_error *err) {
    int64_t k = f->output.n_outputs;
    double *sum = scratch;
    float *one =
        (float *)(void *)((char *)scratch + members_align(n * k * (int64_t)sizeof(double)));
    void *rest = (char *)one + members_align(n * k * (int64_t)sizeof(float));
    memset(sum, 0, (size_t)(n * k) * sizeof(double));
    for (int64_t t = 0; t < f->members.n; t++) {
        const lathe_instance *child = &f->members.child[t];
        int32_t rc = member_table(child)->predict(child->self, n, x, stride, one, rest, err);
        if (rc != LATHE_OK)
            return rc;
        members_to_probability(f->output.type == LATHE_OUTPUT_PROBABILITY ? f->child_type : 0, n, k,
                               one);
        for (int64_t i = 0; i < n * k; i++)
            sum[i] += one[i];
    }
    for (int64_t i = 0; i < n * k; i++)
        out[i] = (float)(sum[i] / (double)f->members.n);
    return LATHE_OK;
}

static int32_t forest_predict(const void *self, int64_t n, const float *x, int64_t stride,
                              float *out, void *scratch, lathe_error *err) {
    const forest *f = self;
    if (!f->is_fitted)
        return members_fail(err, LATHE_E_STATE, "random_forest",
                            "predict was called before fit or load");
    if (f->members.has_sum)
        return member_table(&f->members.sum)
            ->predict(f->members.sum.self, n, x, stride, out, scratch, err);
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i += MEMBERS_BLOCK)
        rc = predict_block(f, n - i < MEMBERS_BLOCK ? n - i : MEMBERS_BLOCK, x + i * stride, stride,
                           out + i * f->output.n_outputs, scratch, err);
    return rc;
}

static int32_t forest_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const forest *f = self;
    if (!f->is_fitted)
        return members_fail(err, LATHE_E_STATE, "random_forest",
                            "save was called before fit or load");
    int32_t rc = w->integer(w, "output", f->output.type, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "child_output", f->child_type, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "outputs", f->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "features", f->output.n_features, err);
    return rc == LATHE_OK ? members_save(&f->members, w, err) : rc;
}

static int32_t forest_load(void *self, const lathe_reader *r, lathe_error *err) {
    forest *f = self;
    int64_t type = 0, child_type = 0;
    f->output.struct_size = LATHE_SIZED(lathe_output);
    int32_t rc = r->integer(r, "output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &type, err);
    if (rc == LATHE_OK)
        rc =
            r->integer(r, "child_output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &child_type, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "outputs", 1, 65536, &f->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "features", 0, INT32_MAX, &f->output.n_features, err);
    if (rc == LATHE_OK)
        rc = members_load(&f->members, r, f->output.n_features, f->output.n_outputs,
                          f->output.n_outputs, err);
    f->output.type = (int32_t)type;
    f->child_type = (int32_t)child_type;
    if (rc != LATHE_OK)
        members_clear(&f->members);
    f->is_fitted = rc == LATHE_OK;
    return rc;
}

static int32_t forest_importance(const void *self, int32_t type, int64_t n_features,
                                 double *importance, lathe_error *err) {
    return members_importance(&((const forest *)self)->members, type, n_features, importance, err);
}

static const lathe_learner interface = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = forest_open,
    .fit = forest_fit,
    .close = forest_close,
    .output = forest_output,
    .scratch = forest_scratch,
    .predict = forest_predict,
    .save = forest_save,
    .load = forest_load,
    .importance = forest_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.random_forest",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "random_forest",
    .version = "1.0.0",
    .doc =
        "Mean of many trees, each grown on a bootstrap sample with features drawn for every split.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
