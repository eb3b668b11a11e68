/* monotone.c: predictions that only rise, or only fall, with a feature.
 *
 * Each node has bounds, low <= v <= high, on the values v of all leaves below it. A split of a constrained feature is
 * refused where the values of its sides (within the node's bounds) are in the wrong order; else the middle of the two
 * becomes a bound of both: nothing on the one side can pass anything on the other. Other splits hand the bounds down.
 * Gains are those of the values within the bounds. Two rows that differ in the feature alone part at a split of it or
 * nowhere, so the tree is monotone whatever its leaves' values are within their bounds: also where they are computed
 * anew from exact sums, or renewed by a loss. (The "basic" method of LightGBM, and that of XGBoost; C. Auguste, S.
 * Malory & I. Smirnov, "A better method to enforce monotonic constraints in regression and classification trees",
 * 2020, section 3, describes it and what it gives away.) Missing values are not ordered among the others.
 */
#include "tree.h"

#include <lathe/math.h>
#include <math.h>
#include <string.h>

/* ---- which features -------------------------------------------------------------------------- */

static int32_t set_one(tree_context *c, const lathe_feature *features, const char *name,
                       int64_t sign, lathe_error *err) {
    for (int64_t f = 0; f < c->n_features; f++) {
        if (strcmp(features[f].name, name) != 0)
            continue;
        if (features[f].type != LATHE_FEATURE_NUMERIC && sign != 0)
            return tree_fail(err, LATHE_E_INVALID, "monotone",
                             "the column '%.200s' is one of categories, which have no order; only "
                             "numbers can be monotone",
                             name);
        c->monotone[f] = (int8_t)sign;
        return LATHE_OK;
    }
    return tree_fail(err, LATHE_E_NOT_FOUND, "monotone",
                     "there is no column '%.200s' among the %lld that the learner sees (after the "
                     "transforms)",
                     name, (long long)c->n_features);
}

int32_t tree_monotone_open(tree_context *c, lathe_error *err) {
    const lathe_map *map = &c->config->monotone;
    if (map->count < 1)
        return LATHE_OK;
    if (c->task == LATHE_TASK_MULTICLASS)
        return tree_fail(err, LATHE_E_UNSUPPORTED, "monotone",
                         "monotone is for values and two classes; there are %lld classes",
                         (long long)c->n_classes);
    c->monotone = c->host->alloc(c->host, (uint64_t)c->n_features + 1);
    if (!c->monotone)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    const lathe_feature *features = c->datasets->features(c->data);
    for (int64_t i = 0; i < map->count; i++) {
        int32_t rc = set_one(c, features, map->keys[i], ((const int64_t *)map->values)[i], err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* ---- values within bounds -------------------------------------------------------------------- */

static double within(const tree_item *item, double v) {
    v = v < item->low ? item->low : v;
    return v > item->high ? item->high : v;
}

/* The value of rows with these sums, less the centre. */
static double value_of(const tree_context *c, const tree_item *item, double g, double h) {
    double v;
    if (c->mode == TREE_MODE_VARIANCE)
        v = h + c->l2 > 0 ? -g / (h + c->l2) : 0;
    else
        v = h > 0 ? g / h : 0.5;
    return within(item, v);
}

static double times_log(double weight, double p) {
    return weight > 0 ? weight * lathe_log(p) : 0;
}

/* What the rows explain with this value; scan.c's scores are those of the best value. */
static double score_at(const tree_context *c, double g, double h, double v) {
    if (c->mode == TREE_MODE_VARIANCE)
        return -(2 * g * v + (h + c->l2) * v * v);
    if (c->entropy)
        return times_log(g, v) + times_log(h - g, 1 - v);
    return h - 2 * g + 4 * g * v - 2 * h * v * v;
}

double tree_bounded_score(const tree_context *c, const tree_item *item, int sign, double gl,
                          double hl, double gr, double hr) {
    double l = value_of(c, item, gl, hl), r = value_of(c, item, gr, hr);
    if (sign * l > sign * r)
        return -INFINITY;
    return score_at(c, gl, hl, l) + score_at(c, gr, hr, r);
}

double tree_bounded_gain(const tree_context *c, const tree_item *item, int sign, tree_cell left) {
    tree_cell sum = item->sum;
    double gl = (double)left.g * c->g_unit, hl = tree_weight(c, left.hc);
    double gr = (double)(sum.g - left.g) * c->g_unit, hr = tree_weight(c, sum.hc - left.hc);
    double g = (double)sum.g * c->g_unit, h = tree_weight(c, sum.hc);
    return tree_gain(c, tree_bounded_score(c, item, sign, gl, hl, gr, hr),
                     score_at(c, g, h, value_of(c, item, g, h)));
}

void tree_bounds_hand_down(const tree_context *c, const tree_item *item, tree_item *left,
                           tree_item *right) {
    int sign = c->monotone[item->split.feature];
    left->low = right->low = item->low;
    left->high = right->high = item->high;
    if (sign == 0)
        return;
    tree_cell l = item->split.left, r = {item->sum.g - l.g, item->sum.hc - l.hc};
    double a = value_of(c, item, (double)l.g * c->g_unit, tree_weight(c, l.hc));
    double b = value_of(c, item, (double)r.g * c->g_unit, tree_weight(c, r.hc));
    double middle = a + (b - a) / 2;
    (sign > 0 ? left : right)->high = middle;
    (sign > 0 ? right : left)->low = middle;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

float tree_bounds_apply(const tree_bounds *b, int64_t leaf, float value) {
    value = value < b->low[leaf] ? b->low[leaf] : value;
    return value > b->high[leaf] ? b->high[leaf] : value;
}

int32_t tree_bounds_take(const tree_context *c, const lathe_host *host, int64_t n_leaves,
                         float *value, tree_bounds *b, lathe_error *err) {
    tree_bounds_free(host, b);
    if (!c->monotone)
        return LATHE_OK;
    b->low = host->alloc(host, (uint64_t)n_leaves * sizeof *b->low);
    b->high = host->alloc(host, (uint64_t)n_leaves * sizeof *b->high);
    if (!b->low || !b->high) {
        tree_bounds_free(host, b);
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    }
    for (int64_t i = 0; i < c->n_items; i++) {
        int32_t leaf = c->item[i].leaf;
        if (leaf < 0)
            continue;
        b->low[leaf] = (float)(c->centre + c->item[i].low);
        b->high[leaf] = (float)(c->centre + c->item[i].high);
        value[leaf] = tree_bounds_apply(b, leaf, value[leaf]);
    }
    return LATHE_OK;
}

void tree_bounds_free(const lathe_host *host, tree_bounds *b) {
    host->free(host, b->low);
    host->free(host, b->high);
    b->low = b->high = NULL;
}
