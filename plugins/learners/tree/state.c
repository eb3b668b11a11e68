/* state.c: saving and loading the flat arrays.
 *
 * load() trusts no number: children come after their parents (so that every walk ends), leaves,
 * features and words of categories are inside their arrays, and everything added up is finite.
 */
#include "score.h"

#include <math.h>
#include <string.h>

/* A node as it is stored, one array a member. */
typedef struct columns {
    uint32_t *meta;
    uint32_t *value; /* bits of the threshold, or the place of the categories */
    int32_t *child;  /* [n_nodes, 2] */
} columns;

static int32_t write_nodes(const tree *t, const lathe_writer *w, lathe_error *err) {
    const tree_model *m = &t->model;
    int64_t n = m->n_nodes;
    uint32_t *memory = t->host->alloc(t->host, (uint64_t)n * 16);
    if (!memory)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    columns c = {memory, memory + n, (int32_t *)(memory + 2 * n)};
    for (int64_t i = 0; i < n; i++) {
        c.meta[i] = m->node[i].meta;
        memcpy(&c.value[i], &m->node[i].u, sizeof(uint32_t));
        c.child[2 * i] = m->node[i].child[0];
        c.child[2 * i + 1] = m->node[i].child[1];
    }
    int32_t rc = lathe_write_array(w, "node_feature", LATHE_UINT, 32, c.meta, n, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "node_value", LATHE_UINT, 32, c.value, n, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "node_child", LATHE_INT, 32, c.child, 2 * n, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "node_gain", LATHE_FLOAT, 64, m->gain, n, err);
    t->host->free(t->host, memory);
    return rc;
}

int32_t tree_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const tree *t = self;
    const tree_model *m = &t->model;
    if (!t->is_fitted)
        return tree_fail(err, LATHE_E_STATE, "tree", "save was called before fit or load");
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {{"output", m->type},         {"outputs", m->n_outputs},
                    {"features", m->n_features}, {"leaf_width", m->leaf_width},
                    {"trees", m->n_trees},       {"nodes", m->n_nodes},
                    {"leaves", m->n_leaves},     {"words", m->n_words}};
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof integers / sizeof integers[0]; i++)
        rc = w->integer(w, integers[i].name, integers[i].value, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "bias", LATHE_FLOAT, 64, m->bias, m->n_outputs, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "tree_root", LATHE_INT, 32, m->root, m->n_trees, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "tree_scale", LATHE_FLOAT, 64, m->scale, m->n_trees, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "tree_column", LATHE_INT, 32, m->column, m->n_trees, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "leaf_value", LATHE_FLOAT, 32, m->value,
                               m->n_leaves * m->leaf_width, err);
    if (rc == LATHE_OK && m->n_nodes > 0)
        rc = write_nodes(t, w, err);
    if (rc == LATHE_OK && m->n_words > 0)
        rc = lathe_write_array(w, "category_bits", LATHE_UINT, 32, m->words, m->n_words, err);
    return rc;
}

static int32_t read_sizes(const lathe_reader *r, tree_model *m, lathe_error *err) {
    int64_t type = 0;
    const struct {
        const char *name;
        int64_t min, max, *value;
    } integers[] = {{"output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &type},
                    {"outputs", 1, 65536, &m->n_outputs},
                    {"features", 0, TREE_FEATURE_MASK, &m->n_features},
                    {"leaf_width", 1, 65536, &m->leaf_width},
                    {"trees", 1, INT32_MAX, &m->n_trees},
                    {"nodes", 0, INT32_MAX, &m->n_nodes},
                    {"leaves", 1, INT32_MAX, &m->n_leaves},
                    {"words", 0, INT32_MAX, &m->n_words}};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int32_t rc = r->integer(r, integers[i].name, integers[i].min, integers[i].max,
                                integers[i].value, err);
        if (rc != LATHE_OK)
            return rc;
    }
    m->type = (int32_t)type;
    if (m->leaf_width != 1 && m->leaf_width != m->n_outputs)
        return tree_fail(err, LATHE_E_CORRUPT, "tree", "leaves of %lld values for %lld outputs",
                         (long long)m->leaf_width, (long long)m->n_outputs);
    return LATHE_OK;
}

/* Reads an array of exactly n elements; where `bits` is 0 there is none to read. */
typedef struct piece {
    const char *name;
    uint8_t dtype, bits;
    int64_t n;
    const void *data;
} piece;

enum { BIAS, ROOT, SCALE, COLUMN, VALUE, META, SPLIT, CHILD, GAIN, WORDS, N_PIECES };

static int32_t read_pieces(const lathe_reader *r, const tree_model *m, piece *p, lathe_error *err) {
    const piece want[N_PIECES] = {
        [BIAS] = {"bias", LATHE_FLOAT, 64, m->n_outputs, NULL},
        [ROOT] = {"tree_root", LATHE_INT, 32, m->n_trees, NULL},
        [SCALE] = {"tree_scale", LATHE_FLOAT, 64, m->n_trees, NULL},
        [COLUMN] = {"tree_column", LATHE_INT, 32, m->n_trees, NULL},
        [VALUE] = {"leaf_value", LATHE_FLOAT, 32, m->n_leaves * m->leaf_width, NULL},
        [META] = {"node_feature", LATHE_UINT, 32, m->n_nodes, NULL},
        [SPLIT] = {"node_value", LATHE_UINT, 32, m->n_nodes, NULL},
        [CHILD] = {"node_child", LATHE_INT, 32, 2 * m->n_nodes, NULL},
        [GAIN] = {"node_gain", LATHE_FLOAT, 64, m->n_nodes, NULL},
        [WORDS] = {"category_bits", LATHE_UINT, 32, m->n_words, NULL}};
    memcpy(p, want, sizeof want);
    for (int i = 0; i < N_PIECES; i++) {
        if (p[i].n == 0)
            continue;
        int32_t rc =
            lathe_read_array(r, p[i].name, p[i].dtype, p[i].bits, p[i].n, &p[i].data, NULL, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static void copy_piece(void *to, const piece *p) {
    if (p->n > 0)
        memcpy(to, p->data, (size_t)p->n * (p->bits / 8));
}

static void copy_model(tree_model *m, const piece *p) {
    copy_piece(m->bias, &p[BIAS]);
    copy_piece(m->root, &p[ROOT]);
    copy_piece(m->scale, &p[SCALE]);
    copy_piece(m->column, &p[COLUMN]);
    copy_piece(m->value, &p[VALUE]);
    copy_piece(m->gain, &p[GAIN]);
    copy_piece(m->words, &p[WORDS]);
    for (int64_t i = 0; i < m->n_nodes; i++) {
        m->node[i].meta = ((const uint32_t *)p[META].data)[i];
        memcpy(&m->node[i].u, (const uint32_t *)p[SPLIT].data + i, sizeof(uint32_t));
        m->node[i].child[0] = ((const int32_t *)p[CHILD].data)[2 * i];
        m->node[i].child[1] = ((const int32_t *)p[CHILD].data)[2 * i + 1];
    }
}

/* A node's number or ~leaf: is it inside, and no earlier than `first`? */
static int reference_is_inside(const tree_model *m, int32_t i, int64_t first) {
    return i >= 0 ? i >= first && i < m->n_nodes : ~i < m->n_leaves;
}

static int32_t check_nodes(const tree_model *m, lathe_error *err) {
    for (int64_t i = 0; i < m->n_nodes; i++) {
        const tree_node *node = m->node + i;
        int64_t f = node->meta & TREE_FEATURE_MASK;
        uint32_t known = TREE_FEATURE_MASK | TREE_IS_CATEGORY | TREE_MISSING_LEFT;
        if (f >= m->n_features || (node->meta & ~known))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "node %lld splits feature %lld of %lld",
                             (long long)i, (long long)f, (long long)m->n_features);
        for (int s = 0; s < 2; s++)
            if (!reference_is_inside(m, node->child[s], i + 1))
                return tree_fail(err, LATHE_E_CORRUPT, "tree",
                                 "node %lld has the child %d; expected a later node or a leaf",
                                 (long long)i, (int)node->child[s]);
        if (node->meta & TREE_IS_CATEGORY) {
            int64_t at = node->u.bits;
            if (at >= m->n_words || (int64_t)m->words[at] > m->n_words - at - 1)
                return tree_fail(err, LATHE_E_CORRUPT, "tree",
                                 "the categories of node %lld lie outside their array",
                                 (long long)i);
        } else if (node->u.threshold != node->u.threshold) {
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "the threshold of node %lld is NaN",
                             (long long)i);
        }
    }
    return LATHE_OK;
}

static int32_t check_model(const tree_model *m, lathe_error *err) {
    for (int64_t t = 0; t < m->n_trees; t++) {
        if (!reference_is_inside(m, m->root[t], 0))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "the root of tree %lld is %d",
                             (long long)t, (int)m->root[t]);
        int32_t column = m->column[t];
        if (column < -1 || column >= m->n_outputs || (column >= 0 && m->leaf_width != 1) ||
            (column < 0 && m->leaf_width != m->n_outputs))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "tree %lld adds to output %d of %lld",
                             (long long)t, (int)column, (long long)m->n_outputs);
        if (!(fabs(m->scale[t]) < INFINITY))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "the scale of tree %lld is %g",
                             (long long)t, m->scale[t]);
    }
    for (int64_t i = 0; i < m->n_outputs; i++)
        if (!(fabs(m->bias[i]) < INFINITY))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "the bias is %g", m->bias[i]);
    for (int64_t i = 0; i < m->n_leaves * m->leaf_width; i++)
        if (!(fabsf(m->value[i]) < INFINITY))
            return tree_fail(err, LATHE_E_CORRUPT, "tree", "the value %lld of the leaves is %g",
                             (long long)i, (double)m->value[i]);
    return check_nodes(m, err);
}

int32_t tree_load(void *self, const lathe_reader *r, lathe_error *err) {
    tree *t = self;
    tree_model m = {0};
    piece p[N_PIECES];
    int32_t rc = read_sizes(r, &m, err);
    if (rc == LATHE_OK)
        rc = read_pieces(r, &m, p, err); /* so that no more is allocated than the file holds */
    if (rc == LATHE_OK)
        rc = tree_model_alloc(t->host, &m, err);
    if (rc != LATHE_OK)
        return rc;
    copy_model(&m, p);
    rc = check_model(&m, err);
    if (rc == LATHE_OK)
        rc = tree_scorer_make(t->host, &m, &m.scorer, err);
    if (rc != LATHE_OK) {
        tree_model_free(t->host, &m);
        return rc;
    }
    tree_model_free(t->host, &t->model);
    t->model = m;
    t->is_fitted = 1;
    return LATHE_OK;
}
