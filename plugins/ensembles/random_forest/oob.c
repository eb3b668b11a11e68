/* oob.c: how well the trees predict the rows that they did not draw. */
#include "forest.h"

int32_t forest_oob_start(const growing *g, forest_oob *o, lathe_error *err) {
    const lathe_host *host = g->f->host;
    o->sum = members_alloc(host, g->c->n_rows * g->width, sizeof *o->sum);
    o->n = members_alloc(host, g->c->n_rows, sizeof *o->n);
    return o->sum && o->n ? LATHE_OK : members_no_memory(err, "random_forest");
}

void forest_oob_free(const growing *g, forest_oob *o) {
    g->f->host->free(g->f->host, o->sum);
    g->f->host->free(g->f->host, o->n);
}

static void add_block(const growing *g, forest_oob *o, int64_t n_trees) {
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
static int64_t class_of(const growing *g, const forest_oob *o, int64_t i) {
    const double *p = o->sum + i * g->width;
    int64_t best = 0;
    if (g->width == 1)
        return p[0] / o->n[i] > 0.5;
    for (int64_t k = 1; k < g->width; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

static void report(const growing *g, const forest_oob *o, int64_t n_trees) {
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
            is_class ? class_of(g, o, i) == (int64_t)y[i]
                     : ((double)y[i] - o->sum[i] / o->n[i]) * ((double)y[i] - o->sum[i] / o->n[i]);
        sum += wi * e;
        weight += wi;
    }
    if (weight > 0)
        f->host->metric(f->host, is_class ? "oob_accuracy" : "oob_rmse", n_trees - 1,
                        is_class ? sum / weight : sqrt(sum / weight));
}

void forest_oob_add(const growing *g, forest_oob *o, int64_t n_trees, int64_t n_done) {
    add_block(g, o, n_trees);
    report(g, o, n_done);
}
