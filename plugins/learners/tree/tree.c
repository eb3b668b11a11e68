/* tree.c: decision trees on 8-bit bins.
 *
 * A tree divides the rows by questions "x_j <= t?" or "is x_j one of these categories?", each
 * chosen to gain the most, and gives each leaf one value (Breiman, Friedman, Olshen & Stone 1984,
 * Classification and Regression Trees).
 *
 *   regression      the question that lowers the squared error most; a leaf is the weighted mean,
 *                   drawn to the mean of all rows by l2: m + sum w (y - m) / (sum w + l2)
 *   classification  Gini or entropy; a leaf holds the classes' shares of weight
 *   gradients       (one step of boosting; Friedman 2001, "Greedy function approximation") the
 *                   question that lowers sum(g v + h v^2 / 2) + l2 v^2 / 2 most; a leaf is v = -G /
 *                   (H + l2)
 *
 * Only the edges of at most 255 quantile bins are thresholds (Ke et al. 2017, LightGBM). Missing
 * values take the better side of each question; where a node met none they take the side with more
 * rows, and so does a category that is not known there, which goes right: the right side is the
 * larger one. Statistics are integers (rows.c), so the number of threads changes no bit. Gains are
 * in units of the loss, unnormalised: twice the decrease for gradients and squared error, W times
 * the impurity for classes.
 */
#include "packed.h"
#include "score.h"

#include <string.h>

enum { FILL_GRAIN = 8192 };

static const char *const criteria[] = {"gini", "entropy", NULL};
static const char *const sums[] = {"auto", "exact", "packed", NULL};
static const char *const feature_counts[] = {"all", "sqrt", "log2", "third", NULL};

static const lathe_param params[] = {
    LATHE_P_INT(tree_config, max_leaves, LATHE_PARAM_NULLABLE | LATHE_PARAM_TUNABLE, "63", 1,
                2147483647.0, "Leaves at most; the best leaf is split first. null: no bound.",
                .unit = "leaves", .scale = LATHE_SCALE_LOG),
    LATHE_P_INT(tree_config, max_depth, LATHE_PARAM_NULLABLE | LATHE_PARAM_TUNABLE, "null", 0,
                2147483647.0, "Questions from the root to a leaf at most. null: no bound."),
    LATHE_P_INT(tree_config, min_rows, LATHE_PARAM_TUNABLE, "20", 1, 2147483647.0,
                "Training rows of a leaf at least.", .unit = "rows", .scale = LATHE_SCALE_LOG),
    LATHE_P_FLOAT(tree_config, min_hessian, 0, "0", 0, 1e300,
                  "Sum of hessians, or of weights, of a leaf at least."),
    LATHE_P_FLOAT(tree_config, l2, LATHE_PARAM_TUNABLE, "0", 0, 1e300,
                  "Draws the values of leaves to 0 (gradients) or to the mean (regression); "
                  "classification ignores it."),
    LATHE_P_FLOAT(tree_config, min_gain, 0, "0", 0, 1e300,
                  "A split must gain more than this, summed over its rows."),
    LATHE_P_FLOAT(tree_config, category_smoothing, LATHE_PARAM_TUNABLE, "0", 0, 1e300,
                  "Weight by which categories are drawn to their node's mean before they are "
                  "sorted, so that rare ones "
                  "decide less."),
    LATHE_P_INT(tree_config, max_bins, 0, "255", 2, 255, "Bins of a feature at most.",
                .unit = "bins"),
    LATHE_P_ENUM(tree_config, criterion, 0, "\"gini\"", criteria,
                 "Impurity that splits of a classification tree lower."),
    LATHE_P_INT_OR_ENUM(tree_config, features_per_split, LATHE_PARAM_TUNABLE, "\"all\"", 1,
                        2147483647.0, feature_counts,
                        "Features that are drawn at random for each split; sqrt, log2 and third "
                        "are of the number of "
                        "features.",
                        .unit = "features"),
    LATHE_P_ENUM(tree_config, sums, 0, "\"auto\"", sums,
                 "How the search for splits adds up gradients. packed: rounded at random to a few "
                 "hundred levels, which is much faster; exact: in fixed point of 46 bits; auto: "
                 "packed from 4096 rows on. Counts of two classes, and the values of leaves, are "
                 "exact either way."),
    LATHE_P_INT(
        tree_config, gradient_levels, LATHE_PARAM_NULLABLE | LATHE_PARAM_TUNABLE, "null", 2, 65535,
        "With packed sums: levels of a gradient, half of them below 0. Few, such as 4, make "
        "the splits a little random, which can help with many noisy rows; up to 15 of them are "
        "also the fastest with numeric features. null: as many as fit, 256 and more."),
    LATHE_P_BOOL(
        tree_config, bundle, 0, "true",
        "With packed sums: sparse columns no two of which have a value in the same row, such "
        "as those of a one-hot code, are looked at as one. The trees are the same, and many "
        "such columns much faster."),
    {LATHE_P_(tree_config, monotone, LATHE_PARAM_INT,
              LATHE_PARAM_MAP | LATHE_PARAM_HAS_MIN | LATHE_PARAM_HAS_MAX, "{}"),
     .min = -1, .max = 1,
     .doc = "Columns of numbers with which the prediction may only rise (1) or only fall (-1), all "
            "others being equal: {\"age\": 1}. For values, probabilities of two classes, and each "
            "score that boosting fits."},
};

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    tree *t = host->alloc(host, sizeof *t);
    if (!t)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    t->host = host;
    t->config = config;
    *self = t;
    return LATHE_OK;
}

static void destroy(void *self) {
    tree *t = self;
    if (!t)
        return;
    tree_model_free(t->host, &t->model);
    tree_bounds_free(t->host, &t->bounds);
    t->host->free(t->host, t);
}

/* ---- fitting --------------------------------------------------------------------------------- */

static void leaf_value(const tree_context *c, const tree_item *item, float *value, double *total) {
    double g = (double)item->sum.g * c->g_unit, h = tree_weight(c, item->sum.hc);
    if (c->mode == TREE_MODE_VARIANCE) {
        value[0] = (float)(h + c->l2 > 0 ? c->centre - g / (h + c->l2) : c->centre);
        return;
    }
    if (c->mode == TREE_MODE_BINARY) {
        value[0] = (float)(h > 0 ? g / h : 0.5);
        return;
    }
    memset(total, 0, (size_t)c->n_classes * sizeof(double));
    double sum = 0;
    for (int64_t i = item->begin; i < item->end; i++) {
        tree_cell v = c->record[c->rows[i]];
        total[v.g] += (double)(v.hc >> c->count_bits);
        sum += (double)(v.hc >> c->count_bits);
    }
    for (int64_t k = 0; k < c->n_classes; k++)
        value[k] = (float)(sum > 0 ? total[k] / sum : 1.0 / (double)c->n_classes);
}

/* The grown tree as flat arrays. */
static int32_t take_model(tree *t, tree_context *c, const lathe_fit *fit, lathe_error *err) {
    tree_model m = {
        .n_trees = 1, .n_features = c->n_features, .n_nodes = c->n_nodes, .n_words = c->n_words};
    m.type = c->mode == TREE_MODE_VARIANCE ? LATHE_OUTPUT_VALUE : LATHE_OUTPUT_PROBABILITY;
    m.n_outputs = c->mode == TREE_MODE_CLASSES ? c->n_classes : 1;
    m.leaf_width = m.n_outputs;
    m.n_leaves = c->n_nodes + 1;
    int32_t rc = tree_model_alloc(t->host, &m, err);
    if (rc != LATHE_OK)
        return rc;
    m.root[0] = c->n_nodes > 0 ? 0 : -1;
    m.scale[0] = 1;
    m.column[0] = -1;
    if (c->n_nodes > 0) {
        memcpy(m.node, c->node, (size_t)c->n_nodes * sizeof *m.node);
        memcpy(m.gain, c->gain, (size_t)c->n_nodes * sizeof *m.gain);
    }
    if (c->n_words > 0)
        memcpy(m.words, c->words, (size_t)c->n_words * sizeof *m.words);
    lathe_fit without = *fit;
    without.fitted = c->monotone ? NULL : fit->fitted; /* the values may change yet */
    if (packed_rounds(c))
        rc = packed_leaf_values(c, m.value, &without, err);
    else
        for (int64_t i = 0; i < c->n_items; i++)
            if (c->item[i].leaf >= 0)
                leaf_value(c, &c->item[i], m.value + c->item[i].leaf * m.leaf_width,
                           c->class_scratch);
    for (int64_t i = 0; i < c->n_sub_leaves; i++)
        m.value[c->sub_leaf[i].number] = c->sub_leaf[i].value;
    if (rc == LATHE_OK)
        rc = tree_bounds_take(c, t->host, m.n_leaves, m.value, &t->bounds, err);
    tree_model_free(t->host, &t->model);
    if (rc != LATHE_OK) {
        tree_model_free(t->host, &m);
        return rc;
    }
    t->model = m;
    t->is_fitted = 1;
    t->fit_context = c;
    t->fit_serial = c->serial;
    return LATHE_OK;
}

typedef struct filling {
    const tree *t;
    const tree_context *c;
    const lathe_fit *fit;
} filling;

static int32_t fill_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const filling *f = user;
    int64_t width = f->t->model.leaf_width, stride = f->fit->fitted_stride;
    const float *value = f->t->model.value;
    for (int64_t r = begin; r < end; r++)
        for (int64_t o = 0; o < width; o++)
            f->fit->fitted[r * stride + o] = value[f->c->leaf[r] * width + o];
    return LATHE_OK;
}

static int32_t fill_fitted(const tree *t, tree_context *c, const lathe_fit *fit, lathe_error *err) {
    if (packed_rounds(c) && c->n_used == c->n_rows && !c->monotone)
        return LATHE_OK; /* packed_leaf_values did it on the way */
    int32_t rc = tree_assign_leaves(c, err);
    if (rc != LATHE_OK)
        return rc;
    filling f = {t, c, fit};
    rc = c->host->parallel_for(c->host, c->n_rows, FILL_GRAIN, fill_chunk, &f);
    return rc == LATHE_OK ? rc : tree_fail(err, rc, "tree", "the fit was stopped");
}

static int32_t fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    tree *t = self;
    tree_context *c = context;
    tree_model_free(t->host, &t->model);
    t->is_fitted = 0;
    c->serial++;
    c->config = t->config;
    c->key = fit->key;
    int32_t rc = tree_rows_load(c, fit, err);
    if (rc == LATHE_OK)
        rc = tree_context_prepare(c, fit, err);
    if (rc == LATHE_OK)
        rc = tree_grow(c, err);
    if (rc == LATHE_OK)
        rc = take_model(t, c, fit, err);
    if (rc == LATHE_OK && fit->fitted)
        rc = fill_fitted(t, c, fit, err);
    t->is_fitted = rc == LATHE_OK;
    return rc;
}

/* ---- the fitted tree ------------------------------------------------------------------------- */

static int32_t output(const void *self, lathe_output *output) {
    const tree *t = self;
    output->type = t->model.type;
    output->n_outputs = t->model.n_outputs;
    output->n_features = t->model.n_features;
    return t->is_fitted ? LATHE_OK : LATHE_E_STATE;
}

static int64_t scratch(const void *self, int64_t rows) {
    return tree_model_scratch(&((const tree *)self)->model, rows);
}

static int32_t check_single(const tree *t, lathe_error *err) {
    if (!t->is_fitted)
        return tree_fail(err, LATHE_E_STATE, "tree", "the tree is not fitted");
    if (t->model.n_trees != 1)
        return tree_fail(err, LATHE_E_UNSUPPORTED, "tree",
                         "a sum of trees has no leaves of its own");
    return LATHE_OK;
}

static int32_t leaves(const void *self, void *context, int32_t *leaf, int64_t *n_leaves,
                      lathe_error *err) {
    const tree *t = self;
    tree_context *c = context;
    int32_t rc = check_single(t, err);
    if (rc != LATHE_OK)
        return rc;
    *n_leaves = t->model.n_leaves;
    if (!leaf)
        return LATHE_OK;
    if (t->fit_context == c && t->fit_serial == c->serial) {
        rc = tree_assign_leaves(c, err);
        if (rc != LATHE_OK)
            return rc;
        memcpy(leaf, c->leaf, (size_t)c->n_rows * sizeof *leaf);
        return LATHE_OK;
    }
    lathe_tensor x;
    rc = c->datasets->matrix(c->data, &x, err); /* another instance was fitted here since: walk */
    if (rc != LATHE_OK)
        return rc;
    const float *row = (const float *)((const char *)x.data + x.byte_offset);
    int64_t stride = x.strides ? x.strides[0] : c->n_features;
    for (int64_t r = 0; r < c->n_rows; r++)
        leaf[r] = tree_model_leaf(&t->model, 0, row + r * stride);
    return LATHE_OK;
}

static int32_t leaf_values(const void *self, float *values, lathe_error *err) {
    const tree *t = self;
    int32_t rc = check_single(t, err);
    if (rc == LATHE_OK)
        memcpy(values, t->model.value,
               (size_t)(t->model.n_leaves * t->model.leaf_width) * sizeof *values);
    return rc;
}

static int32_t set_leaf_values(void *self, const float *values, lathe_error *err) {
    tree *t = self;
    int32_t rc = check_single(t, err);
    if (rc != LATHE_OK)
        return rc;
    memcpy(t->model.value, values,
           (size_t)(t->model.n_leaves * t->model.leaf_width) * sizeof *values);
    /* a caller's map of probabilities has other units, and keeps their order */
    for (int64_t i = 0;
         t->bounds.low && t->model.type == LATHE_OUTPUT_VALUE && i < t->model.n_leaves; i++)
        t->model.value[i] = tree_bounds_apply(&t->bounds, i, values[i]);
    tree_scorer_free(t->host, t->model.scorer); /* it has the values of before */
    t->model.scorer = NULL;
    return LATHE_OK;
}

static const lathe_learner interface = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = tree_open,
    .fit = fit,
    .close = tree_close,
    .output = output,
    .scratch = scratch,
    .predict = tree_predict,
    .save = tree_save,
    .load = tree_load,
    .leaves = leaves,
    .leaf_values = leaf_values,
    .set_leaf_values = set_leaf_values,
    .combine = tree_combine,
    .importance = tree_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_LEAVES | LATHE_LEARNER_COMBINES | LATHE_LEARNER_GIVES_IMPORTANCE |
             LATHE_LEARNER_FITS_IN_PLACE,
    .id = "lathe.learner.tree",
    .kind = LATHE_KIND_LEARNER,
    .name = "tree",
    .version = "1.0.0",
    .doc = "Decision tree on binned features, for regression, classification and boosting.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, tree_config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)
