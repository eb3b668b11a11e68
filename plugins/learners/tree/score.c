/* score.c: predictions of a compiled sum of trees (score.h).
 *
 * Each output of a row is its bias and then the values of its trees in their order, in double, rounded
 * once: the same sum as the naive walk's, whatever the batch. Blocks go through all trees in groups, so
 * that a block's columns and a group's leaves stay in the L1 cache.
 */
#include "score.h"

static int64_t block_bytes(const tree_scorer *s, const tree_model *m) {
    return score_align(s->n_units * s->kernels->rows) +
           score_align(s->kernels->rows * m->n_outputs * (int64_t)sizeof(double));
}

int64_t tree_scorer_scratch(const tree_scorer *s, const tree_model *m, int64_t rows) {
    int64_t bytes = score_row_bytes(s, m);
    if (rows >= s->few && block_bytes(s, m) > bytes)
        bytes = block_bytes(s, m);
    return bytes;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct block {
    const tree_scorer *s;
    const tree_model *m;
    uint8_t *memory; /* [n_units, kernels->rows] */
    double *sum;     /* [n_outputs, kernels->rows]; leaf_width > 1: [rows, n_outputs] */
    int64_t rows;
} block;

/* sum[r] += the value of row r's leaf, over trees of one output; eight rows at a time, so that their
 * chains of additions overlap. */
static void add_values(const block *b, const score_tree *tree, int64_t n, const uint8_t *leaf,
                       double *sum) {
    int64_t unit = b->s->kernels->rows;
    const double *values = b->s->value;
    for (int64_t r = 0; r < b->rows; r += 8) {
        double a0 = sum[r], a1 = sum[r + 1], a2 = sum[r + 2], a3 = sum[r + 3];
        double a4 = sum[r + 4], a5 = sum[r + 5], a6 = sum[r + 6], a7 = sum[r + 7];
        const uint8_t *at = leaf + r;
        for (int64_t t = 0; t < n; t++, at += unit) {
            const double *value = values + tree[t].leaf;
            a0 += value[at[0]];
            a1 += value[at[1]];
            a2 += value[at[2]];
            a3 += value[at[3]];
            a4 += value[at[4]];
            a5 += value[at[5]];
            a6 += value[at[6]];
            a7 += value[at[7]];
        }
        sum[r] = a0, sum[r + 1] = a1, sum[r + 2] = a2, sum[r + 3] = a3;
        sum[r + 4] = a4, sum[r + 5] = a5, sum[r + 6] = a6, sum[r + 7] = a7;
    }
}

/* The same where a leaf has a value for every output. */
static void add_vectors(const block *b, const score_tree *tree, int64_t n, const uint8_t *leaf) {
    int64_t unit = b->s->kernels->rows, k = b->m->n_outputs;
    for (int64_t t = 0; t < n; t++, leaf += unit) {
        const int32_t *leaves = b->s->leaf + tree[t].leaf;
        double scale = tree[t].scale, *sum = b->sum;
        for (int64_t r = 0; r < b->rows; r++, sum += k) {
            const float *value = b->m->value + (int64_t)leaves[leaf[r]] * k;
            for (int64_t o = 0; o < k; o++)
                sum[o] += scale * (double)value[o];
        }
    }
}

/* Leaf numbers of trees [first, first + n) into the units from SCORE_AT_LEAVES on. */
static void evaluate(const block *b, const score_tree *tree, int64_t n) {
    const tree_scorer *s = b->s;
    const score_kernels *k = s->kernels;
    int64_t vectors = (b->rows + k->vector - 1) / k->vector, begin = 0;
    for (int64_t t = 0; t < n; t++) { /* trees without categories go together */
        if (tree[t].n_sets == 0 && t + 1 < n && tree[t + 1].n_sets == 0)
            continue;
        if (tree[t].n_sets > 0)
            k->test(s->set + tree[t].set, tree[t].n_sets, b->memory, vectors);
        k->run(s->op + tree[begin].op, tree[t].op + tree[t].n_ops - tree[begin].op, b->memory,
               vectors);
        begin = t + 1;
    }
}

static void score_block(const block *b, const float *x, int64_t stride, float *out) {
    const tree_scorer *s = b->s;
    int64_t k = b->m->n_outputs, unit = s->kernels->rows;
    int wide = b->m->leaf_width > 1;
    score_encode(s, x, stride, b->rows, b->memory);
    for (int64_t o = 0; o < k; o++)
        for (int64_t r = 0; r < unit; r++)
            b->sum[wide ? r * k + o : o * unit + r] = b->m->bias[o];
    for (int64_t t = 0; t < s->n_trees; t += SCORE_GROUP) {
        int64_t n = s->n_trees - t < SCORE_GROUP ? s->n_trees - t : SCORE_GROUP;
        const score_tree *tree = s->tree + t;
        const uint8_t *leaf = b->memory + SCORE_AT_LEAVES * unit;
        evaluate(b, tree, n);
        if (wide)
            add_vectors(b, tree, n, leaf);
        for (int64_t i = 0, end; !wide && i < n; i = end) {
            for (end = i + 1; end < n && tree[end].output == tree[i].output;)
                end++;
            add_values(b, tree + i, end - i, leaf + i * unit, b->sum + tree[i].output * unit);
        }
    }
    for (int64_t r = 0; r < b->rows; r++)
        for (int64_t o = 0; o < k; o++)
            out[r * k + o] = (float)b->sum[wide ? r * k + o : o * unit + r];
}

void tree_scorer_predict(const tree_scorer *s, const tree_model *m, int64_t n, const float *x,
                         int64_t stride, float *out, void *scratch) {
    int64_t k = m->n_outputs, unit = s->kernels->rows;
    uint8_t *memory = scratch;
    if (n < s->few) {
        for (int64_t i = 0; i < n; i++)
            score_row(s, m, x + i * stride, out + i * k, scratch);
        return;
    }
    for (int64_t c = 0; c < s->n_constants; c++)
        memset(memory + (SCORE_AT_CONSTANTS + c) * unit, (int)c, (size_t)unit);
    block b = {s, m, memory, (double *)(void *)(memory + score_align(s->n_units * unit)), 0};
    for (int64_t i = 0; i < n; i += unit) {
        b.rows = n - i < unit ? n - i : unit;
        score_block(&b, x + i * stride, stride, out + i * k);
    }
}
