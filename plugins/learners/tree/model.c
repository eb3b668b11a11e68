/* model.c: fitted trees as flat arrays.
 *
 * A row's output is bias + sum of scale * leaf over the trees in their order, in double, rounded
 * once; so a row alone and in a batch give the same bits. Rows go in blocks, tree by tree, so that
 * a tree stays in the cache for a block.
 */
#include "score.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_ROWS = 1024, BLOCK_SUMS = 8192, WALK_ROWS = 16 };

int32_t tree_fail(lathe_error *err, int32_t code, const char *where, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        snprintf(err->where, sizeof err->where, "%s", where);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

static void *alloc_array(const lathe_host *host, int64_t n, size_t size) {
    return host->alloc(host, (uint64_t)(n > 0 ? n : 1) * size);
}

/* Makes room for the counts that `m` has; each count is below 2^31 and leaf_width at most 2^16. */
int32_t tree_model_alloc(const lathe_host *host, tree_model *m, lathe_error *err) {
    m->bias = alloc_array(host, m->n_outputs, sizeof *m->bias);
    m->root = alloc_array(host, m->n_trees, sizeof *m->root);
    m->scale = alloc_array(host, m->n_trees, sizeof *m->scale);
    m->column = alloc_array(host, m->n_trees, sizeof *m->column);
    m->node = alloc_array(host, m->n_nodes, sizeof *m->node);
    m->gain = alloc_array(host, m->n_nodes, sizeof *m->gain);
    m->value = alloc_array(host, m->n_leaves * m->leaf_width, sizeof *m->value);
    m->words = alloc_array(host, m->n_words, sizeof *m->words);
    if (m->bias && m->root && m->scale && m->column && m->node && m->gain && m->value && m->words)
        return LATHE_OK;
    tree_model_free(host, m);
    return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld nodes and %lld leaves",
                     (long long)m->n_nodes, (long long)m->n_leaves);
}

void tree_model_free(const lathe_host *host, tree_model *m) {
    host->free(host, m->bias);
    host->free(host, m->root);
    host->free(host, m->scale);
    host->free(host, m->column);
    host->free(host, m->node);
    host->free(host, m->gain);
    host->free(host, m->value);
    host->free(host, m->words);
    tree_scorer_free(host, m->scorer);
    memset(m, 0, sizeof *m);
}

static inline int goes_left(const tree_model *m, const tree_node *node, float v) {
    if (v != v)
        return node->meta >> 31;
    if (!(node->meta & TREE_IS_CATEGORY))
        return v <= node->u.threshold;
    const uint32_t *words = m->words + node->u.bits;
    if (!(v >= 0) || !(v < (float)words[0] * 32.0f))
        return 0;
    uint32_t code = (uint32_t)v;
    return (int)(words[1 + code / 32] >> (code % 32) & 1);
}

/* The leaf of a row in the tree with this root. */
static inline int32_t walk(const tree_model *m, int32_t i, const float *x) {
    while (i >= 0) {
        const tree_node *node = m->node + i;
        i = node->child[!goes_left(m, node, x[node->meta & TREE_FEATURE_MASK])];
    }
    return ~i;
}

int32_t tree_model_leaf(const tree_model *m, int64_t t, const float *x) {
    return walk(m, m->root[t], x);
}

/* Rows that go through the trees together: many, so that a large tree stays in the cache for them, as
 * long as their sums do not take its place. */
static int64_t block_rows(const tree_model *m) {
    int64_t rows = BLOCK_SUMS / m->n_outputs / WALK_ROWS * WALK_ROWS;
    return rows > BLOCK_ROWS ? BLOCK_ROWS : rows < WALK_ROWS ? WALK_ROWS : rows;
}

int64_t tree_model_scratch(const tree_model *m, int64_t rows) {
    if (m->scorer)
        return tree_scorer_scratch(m->scorer, m, rows);
    int64_t block = block_rows(m);
    return (rows < block ? rows : block) * m->n_outputs * (int64_t)sizeof(double);
}

/* The leaves of up to WALK_ROWS rows in one tree: a step a row in turn, so that the rows' loads
 * overlap; one that is at its leaf stays there, without a branch. */
static void walk_rows(const tree_model *m, int32_t root, int64_t n, const float *x, int64_t stride,
                      int32_t *leaf) {
    int32_t at[WALK_ROWS], all = root;
    for (int64_t i = 0; i < n; i++)
        at[i] = root;
    while (all >= 0) {
        all = -1;
        for (int64_t i = 0; i < n; i++) {
            const tree_node *node = m->node + (at[i] < 0 ? 0 : at[i]);
            float v = x[i * stride + (node->meta & TREE_FEATURE_MASK)];
            uint32_t left = (v <= node->u.threshold) | ((v != v) & node->meta >> 31);
            if (node->meta & TREE_IS_CATEGORY)
                left = (uint32_t)goes_left(m, node, v);
            int32_t next = node->child[left ^ 1];
            at[i] = at[i] < 0 ? at[i] : next;
            all &= at[i]; /* negative while all are */
        }
    }
    for (int64_t i = 0; i < n; i++)
        leaf[i] = ~at[i];
}

/* What is not compiled: blocks of rows, tree by tree. */
static void predict_walking(const tree_model *m, int64_t n, const float *x, int64_t stride,
                            float *out, double *sum) {
    int64_t k = m->n_outputs, width = m->leaf_width, block = block_rows(m);
    for (int64_t begin = 0; begin < n; begin += block) {
        int64_t rows = n - begin < block ? n - begin : block;
        int32_t leaf[BLOCK_ROWS];
        for (int64_t i = 0; i < rows; i++)
            memcpy(sum + i * k, m->bias, (size_t)k * sizeof(double));
        for (int64_t t = 0; t < m->n_trees; t++) {
            double scale = m->scale[t];
            int64_t column = m->column[t] < 0 ? 0 : m->column[t];
            for (int64_t i = 0; i < rows; i += WALK_ROWS)
                walk_rows(m, m->root[t], rows - i < WALK_ROWS ? rows - i : WALK_ROWS,
                          x + (begin + i) * stride, stride, leaf + i);
            for (int64_t i = 0; i < rows; i++) {
                const float *value = m->value + leaf[i] * width;
                double *to = sum + i * k + column;
                for (int64_t o = 0; o < width; o++)
                    to[o] += scale * (double)value[o];
            }
        }
        for (int64_t i = 0; i < rows * k; i++)
            out[begin * k + i] = (float)sum[i];
    }
}

int32_t tree_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                     void *scratch, lathe_error *err) {
    const tree_model *m = &((const tree *)self)->model;
    if (!((const tree *)self)->is_fitted)
        return tree_fail(err, LATHE_E_STATE, "tree", "predict was called before fit or load");
    if (m->scorer)
        tree_scorer_predict(m->scorer, m, n, x, stride, out, scratch);
    else
        predict_walking(m, n, x, stride, out, scratch);
    return LATHE_OK;
}

/* ---- the sum of trees ------------------------------------------------------------------------ */

static int32_t check_combine(const lathe_combine *combine, tree_model *m, lathe_error *err) {
    const char *where = "tree.combine";
    if (combine->n_children < 1 || combine->n_outputs < 1 || combine->n_outputs > 65536)
        return tree_fail(err, LATHE_E_INVALID, where, "%lld children and %lld outputs",
                         (long long)combine->n_children, (long long)combine->n_outputs);
    for (int64_t c = 0; c < combine->n_children; c++) {
        const tree *child = combine->children[c];
        const tree_model *from = &child->model;
        if (!child->is_fitted)
            return tree_fail(err, LATHE_E_STATE, where, "child %lld is not fitted", (long long)c);
        if (from->n_trees != 1 || from->column[0] >= 0)
            return tree_fail(err, LATHE_E_UNSUPPORTED, where,
                             "child %lld is a sum already; only single trees combine",
                             (long long)c);
        if (c == 0) {
            m->n_features = from->n_features;
            m->leaf_width = from->leaf_width;
        }
        if (from->n_features != m->n_features || from->leaf_width != m->leaf_width)
            return tree_fail(
                err, LATHE_E_SHAPE, where,
                "child %lld has %lld features and %lld outputs, the first %lld and %lld",
                (long long)c, (long long)from->n_features, (long long)from->leaf_width,
                (long long)m->n_features, (long long)m->leaf_width);
        int32_t column = combine->column ? combine->column[c] : -1;
        if (combine->column ? column < 0 || column >= combine->n_outputs || m->leaf_width != 1
                            : m->leaf_width != combine->n_outputs)
            return tree_fail(err, LATHE_E_SHAPE, where,
                             "child %lld with %lld outputs does not fit %lld outputs", (long long)c,
                             (long long)m->leaf_width, (long long)combine->n_outputs);
        m->n_nodes += from->n_nodes;
        m->n_leaves += from->n_leaves;
        m->n_words += from->n_words;
    }
    if (m->n_nodes > INT32_MAX || m->n_leaves > INT32_MAX || m->n_words > INT32_MAX)
        return tree_fail(err, LATHE_E_MEMORY, where, "%lld nodes are too many",
                         (long long)m->n_nodes);
    return LATHE_OK;
}

/* Appends one tree at these places of m. */
static void append_tree(tree_model *m, const tree_model *from, int64_t node, int64_t leaf,
                        int64_t word) {
    for (int64_t i = 0; i < from->n_nodes; i++) {
        tree_node *to = m->node + node + i;
        *to = from->node[i];
        if (to->meta & TREE_IS_CATEGORY)
            to->u.bits += (uint32_t)word;
        for (int s = 0; s < 2; s++)
            to->child[s] += (int32_t)(to->child[s] < 0 ? -leaf : node);
    }
    memcpy(m->gain + node, from->gain, (size_t)from->n_nodes * sizeof *m->gain);
    memcpy(m->words + word, from->words, (size_t)from->n_words * sizeof *m->words);
    memcpy(m->value + leaf * m->leaf_width, from->value,
           (size_t)(from->n_leaves * m->leaf_width) * sizeof *m->value);
}

int32_t tree_combine(void *self, const lathe_combine *combine, lathe_error *err) {
    tree *t = self;
    tree_model m = {
        .type = combine->type, .n_outputs = combine->n_outputs, .n_trees = combine->n_children};
    int32_t rc = check_combine(combine, &m, err);
    if (rc == LATHE_OK)
        rc = tree_model_alloc(t->host, &m, err);
    if (rc != LATHE_OK)
        return rc;
    int64_t node = 0, leaf = 0, word = 0;
    for (int64_t c = 0; c < combine->n_children; c++) {
        const tree_model *from = &((const tree *)combine->children[c])->model;
        int32_t root = from->root[0];
        m.root[c] = root < 0 ? (int32_t)(root - leaf) : (int32_t)(root + node);
        m.scale[c] = combine->scale[c] * from->scale[0];
        m.column[c] = combine->column ? combine->column[c] : -1;
        append_tree(&m, from, node, leaf, word);
        node += from->n_nodes;
        leaf += from->n_leaves;
        word += from->n_words;
    }
    if (combine->bias)
        memcpy(m.bias, combine->bias, (size_t)m.n_outputs * sizeof(double));
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

int32_t tree_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                        lathe_error *err) {
    const tree_model *m = &((const tree *)self)->model;
    if (type != LATHE_IMPORTANCE_GAIN && type != LATHE_IMPORTANCE_SPLITS)
        return tree_fail(err, LATHE_E_UNSUPPORTED, "tree",
                         "a tree knows importance by gain and by splits");
    if (n_features != m->n_features)
        return tree_fail(err, LATHE_E_SHAPE, "tree", "%lld features asked, the tree has %lld",
                         (long long)n_features, (long long)m->n_features);
    memset(importance, 0, (size_t)n_features * sizeof(double));
    for (int64_t i = 0; i < m->n_nodes; i++)
        importance[m->node[i].meta & TREE_FEATURE_MASK] +=
            type == LATHE_IMPORTANCE_GAIN ? m->gain[i] : 1.0;
    return LATHE_OK;
}
