/* compile.c: compiles a sum of trees (score.h). */
#include "compile.h"

/* Trees by output, each output's in their order; order[] is the k-th tree's number. */
static int32_t order_trees(compiler *c, int32_t *order) {
    const tree_model *m = c->m;
    int64_t *first = compile_array(c->host, m->n_outputs + 1, sizeof *first);
    if (!first)
        return 0;
    for (int64_t t = 0; t < m->n_trees; t++)
        first[(m->column[t] < 0 ? 0 : m->column[t]) + 1]++;
    for (int64_t o = 0; o < m->n_outputs; o++)
        first[o + 1] += first[o];
    for (int64_t t = 0; t < m->n_trees; t++)
        order[first[m->column[t] < 0 ? 0 : m->column[t]]++] = (int32_t)t;
    c->host->free(c->host, first);
    return 1;
}

/* Where each tree's steps begin; a step that ends its lane follows the last. */
static void place_steps(compiler *c, const int32_t *order, int64_t *first) {
    tree_scorer *s = c->s;
    int64_t at = 0;
    for (int64_t lane = 0; lane < SCORE_LANES; lane++) {
        s->lane[lane] = at;
        for (int64_t t = lane; t < s->n_trees; t += SCORE_LANES) {
            first[t] = at;
            at += c->n_records[order[t]];
        }
        s->step[at++].key = SCORE_END;
    }
    s->per_lane = (s->n_trees + SCORE_LANES - 1) / SCORE_LANES + 1;
}

/* How many rows cost as much one by one as a vector of them in a block. */
static int64_t few_rows(const compiler *c) {
    const tree_scorer *s = c->s;
    double n = (double)s->n_trees;
    double block =
        1.5 * (double)c->n_ops + 6.0 * (double)c->n_sets + (double)s->kernels->vector * n;
    return s->n_units ? 1 + (int64_t)(block / (3.0 * (c->depth + n))) : INT64_MAX;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int32_t make_room(compiler *c, int64_t first_unit) {
    tree_scorer *s = c->s;
    const tree_model *m = c->m;
    int64_t units = first_unit, tables = 0;
    for (int64_t j = 0; j < c->n_features; j++) {
        units += 2;
        tables += !(c->feature[j].name & 1);
    }
    s->n_coders = c->n_features;
    s->n_trees = m->n_trees;
    s->n_units = c->is_small ? units + c->most_sets : 0;
    s->coder = compile_array(c->host, s->n_coders, sizeof *s->coder);
    s->table = compile_array(c->host, c->is_small ? tables * SCORE_TABLE : 0, sizeof *s->table);
    s->tree = compile_array(c->host, s->n_trees, sizeof *s->tree);
    s->op = compile_array(c->host, c->is_small ? c->n_ops : 0, sizeof *s->op);
    s->set = compile_array(c->host, c->is_small ? c->n_sets : 0, sizeof *s->set);
    s->step = compile_array(c->host, c->n_steps, sizeof *s->step);
    s->bits = compile_array(c->host, c->n_words, sizeof *s->bits);
    if (m->leaf_width == 1)
        s->value = compile_array(c->host, c->n_leaves, sizeof *s->value);
    else
        s->leaf = compile_array(c->host, c->n_leaves, sizeof *s->leaf);
    return s->coder && s->table && s->tree && s->op && s->set && s->step && s->bits &&
           (s->value || s->leaf);
}

static int32_t fill(compiler *c, int64_t first_unit) {
    tree_scorer *s = c->s;
    int32_t *order = compile_array(c->host, s->n_trees, sizeof *order);
    int64_t *first = compile_array(c->host, s->n_trees, sizeof *first);
    int32_t ok = order && first && order_trees(c, order);
    if (ok) {
        compile_place_features(c, first_unit);
        place_steps(c, order, first);
        s->few = few_rows(c);
        c->n_ops = c->n_sets = c->n_leaves = c->n_words = 0;
        for (int64_t t = 0; t < s->n_trees; t++)
            compile_add_tree(c, order[t], t, first[t]);
    }
    c->host->free(c->host, order);
    c->host->free(c->host, first);
    return ok;
}

static const score_kernels *choose_kernels(const lathe_host *host) {
    const lathe_cpu *cpu = host->get(host, LATHE_HOST_CPU);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu && cpu->level & LATHE_CPU_AVX512)
        return &score_kernels_avx512;
    if (cpu && cpu->level & LATHE_CPU_AVX2_FMA)
        return &score_kernels_avx2;
#endif
    return &score_kernels_plain;
}

int32_t tree_scorer_make(const lathe_host *host, const tree_model *m, tree_scorer **scorer,
                         lathe_error *err) {
    *scorer = NULL;
    if (m->n_leaves > SCORE_LEAVES * m->n_trees)
        return LATHE_OK;
    compiler c = {.host = host, .m = m};
    int32_t rc = LATHE_OK, room = 1, fits = 0;
    c.s = host->alloc(host, sizeof *c.s);
    if (c.s) {
        c.s->kernels = choose_kernels(host);
        room = compile_find_features(&c) && compile_find_thresholds(&c);
        c.n_records = compile_array(host, m->n_trees, sizeof *c.n_records);
        room = room && c.n_records;
        fits = room && compile_check_features(&c) && compile_measure(&c);
    }
    if (fits) {
        int64_t first_unit = SCORE_AT_CONSTANTS + c.s->n_constants;
        room = make_room(&c, first_unit) && fill(&c, first_unit);
    }
    if (!c.s || !room)
        rc = tree_fail(err, LATHE_E_MEMORY, "tree", "no memory to compile %lld nodes",
                       (long long)m->n_nodes);
    host->free(host, c.feature);
    host->free(host, c.index);
    host->free(host, c.of_node);
    host->free(host, c.slot);
    host->free(host, c.key);
    host->free(host, c.rank);
    host->free(host, c.n_records);
    if (rc == LATHE_OK && fits)
        *scorer = c.s;
    else
        tree_scorer_free(host, c.s);
    return rc;
}

void tree_scorer_free(const lathe_host *host, tree_scorer *s) {
    if (!s)
        return;
    host->free(host, s->coder);
    host->free(host, s->table);
    host->free(host, s->tree);
    host->free(host, s->op);
    host->free(host, s->set);
    host->free(host, s->value);
    host->free(host, s->leaf);
    host->free(host, s->step);
    host->free(host, s->bits);
    host->free(host, s);
}
