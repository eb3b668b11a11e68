/* scan_classes.c: the best split of one feature for three and more classes.
 *
 * The scores are those of scan.c, over k class weights. For k > 2 no one order of categories holds
 * the best subset (Breiman et al. 1984, section 5.3.4); tried are the orders by the share of each
 * of the four heaviest classes of the node, and the best prefix of these is taken. Class weights
 * are integers below 2^53, so their sums and differences in double are exact.
 */
#include "tree.h"

#include <lathe/math.h>
#include <math.h>
#include <string.h>

enum { MAX_ORDERS = 4 };

double tree_score_classes(const tree_context *c, const double *weight, double sum) {
    double s = 0;
    if (!c->entropy) {
        for (int64_t k = 0; k < c->n_classes; k++)
            s += weight[k] * weight[k];
        return s / sum;
    }
    for (int64_t k = 0; k < c->n_classes; k++)
        if (weight[k] > 0)
            s += weight[k] * lathe_log(weight[k]);
    return s - sum * lathe_log(sum);
}

typedef struct scan {
    const tree_context *c;
    const tree_item *item;
    const double *total; /* [k] */
    double *left;        /* [k] */
    double *right;       /* [k] */
    double best;
    int position;
    int missing_left;
    int64_t left_hc;
    int order;
} scan;

static void add_cell(scan *s, const int64_t *cell, double *left_sum, int64_t *hc) {
    const tree_context *c = s->c;
    for (int64_t k = 0; k < c->n_classes; k++) {
        double w = (double)(cell[k] >> c->count_bits);
        s->left[k] += w;
        s->right[k] = s->total[k] - s->left[k];
        *left_sum += w;
        *hc += cell[k];
    }
}

static void scan_list(scan *s, const int64_t *cells, const uint8_t *list, int n_cuts,
                      const int64_t *first, int missing_left, int order) {
    const tree_context *c = s->c;
    int64_t min_rows = c->config->min_rows, all = tree_count(c, s->item->sum.hc), hc = 0;
    double min_weight = c->config->min_hessian;
    double sum = (double)(s->item->sum.hc >> c->count_bits), left = 0;
    memset(s->left, 0, (size_t)c->n_classes * sizeof(double));
    if (first)
        add_cell(s, first, &left, &hc);
    for (int i = 0; i < n_cuts; i++) {
        add_cell(s, cells + list[i] * c->width, &left, &hc);
        int64_t rows = tree_count(c, hc);
        if (rows < min_rows)
            continue;
        if (all - rows < min_rows)
            break;
        double right = sum - left;
        if (left <= 0 || right <= 0 || left * c->h_unit < min_weight ||
            right * c->h_unit < min_weight)
            continue;
        double score =
            tree_score_classes(c, s->left, left) + tree_score_classes(c, s->right, right);
        if (score > s->best) {
            s->best = score;
            s->position = i;
            s->missing_left = missing_left;
            s->left_hc = hc;
            s->order = order;
        }
    }
}

static void scan_numeric(scan *s, tree_split *split, const int64_t *cells, const uint8_t *bins,
                         int n) {
    const tree_context *c = s->c;
    int missing = lathe_bin_feature_at(c->bins, split->feature)->missing_bin;
    int has_missing = bins[n - 1] == missing;
    int n_values = n - has_missing;
    scan_list(s, cells, bins, has_missing ? n_values : n_values - 1, NULL, 0, 0);
    if (has_missing)
        scan_list(s, cells, bins, n_values - 1, cells + missing * c->width, 1, 0);
    if (s->position < 0)
        return;
    split->left.g = 0;
    split->left.hc = s->left_hc;
    split->missing_left = s->missing_left;
    tree_finish_numeric(c, s->item, split, bins, n_values, s->position, has_missing);
}

/* Sorts the bins by the share of one class. */
static void order_by_class(const scan *s, const int64_t *cells, int64_t class, const uint8_t *bins,
                           int n, uint8_t *list) {
    const tree_context *c = s->c;
    double key[256];
    double all = (double)(s->item->sum.hc >> c->count_bits);
    for (int i = 0; i < n; i++) {
        const int64_t *cell = cells + bins[i] * c->width;
        double sum = 0, w = (double)(cell[class] >> c->count_bits);
        for (int64_t k = 0; k < c->n_classes; k++)
            sum += (double)(cell[k] >> c->count_bits);
        double smooth = sum + c->config->category_smoothing / c->h_unit;
        key[bins[i]] = smooth > 0 ? (w - s->total[class] / all * sum) / smooth : 0;
        list[i] = bins[i];
    }
    tree_sort_bins(key, list, n);
}

/* The classes of the greatest weight, ties by number; returns how many. */
static int heaviest(const scan *s, int64_t *class) {
    int n = 0;
    for (int64_t k = 0; k < s->c->n_classes; k++) {
        if (s->total[k] <= 0)
            continue;
        int j = n < MAX_ORDERS ? n++ : MAX_ORDERS;
        for (; j > 0 && s->total[class[j - 1]] < s->total[k]; j--)
            if (j < MAX_ORDERS)
                class[j] = class[j - 1];
        if (j < MAX_ORDERS)
            class[j] = k;
    }
    return n;
}

static void scan_category(scan *s, tree_split *split, const int64_t *cells, const uint8_t *bins,
                          int n) {
    const tree_context *c = s->c;
    int64_t class[MAX_ORDERS] = {0};
    uint8_t list[MAX_ORDERS][256];
    int n_orders = heaviest(s, class);
    for (int o = 0; o < n_orders; o++) {
        order_by_class(s, cells, class[o], bins, n, list[o]);
        scan_list(s, cells, list[o], n - 1, NULL, 0, o);
    }
    if (s->position < 0)
        return;
    split->left.g = 0;
    split->left.hc = s->left_hc;
    tree_finish_category(c, s->item, split, list[s->order], n, s->position);
}

void tree_scan_classes(const tree_context *c, const tree_item *item, int32_t feature,
                       const int64_t *cells, const uint8_t *bins, int n_bins, const double *total,
                       double *scratch, tree_split *split) {
    split->gain = 0;
    split->feature = feature;
    if (n_bins < 2)
        return;
    scan s = {.c = c, .item = item, .total = total, .position = -1, .best = -INFINITY};
    s.left = scratch;
    s.right = scratch + c->n_classes;
    if (lathe_bin_feature_at(c->bins, feature)->type == LATHE_FEATURE_CATEGORY)
        scan_category(&s, split, cells, bins, n_bins);
    else
        scan_numeric(&s, split, cells, bins, n_bins);
    if (s.position < 0)
        return;
    double sum = (double)(item->sum.hc >> c->count_bits);
    double node = tree_score_classes(c, total, sum);
    split->gain = tree_gain(c, s.best * c->h_unit, node * c->h_unit);
}
