/* scan.c: the best split of one feature from the sums of its bins.
 *
 * With score(S) = what a set S of rows explains, the gain of a split is score(left) + score(right)
 * - score(node):
 *   variance, gradients  score = G^2 / (H + l2): twice the decrease of sum(g v + h v^2 / 2) + l2
 *                        v^2 / 2 at its minimum v = -G / (H + l2) (Friedman 2001, section 4; Chen &
 *                        Guestrin 2016, eq. 6, where l2 is lambda)
 *   Gini                 score = sum_k W_k^2 / W (Breiman, Friedman, Olshen & Stone 1984, section
 *                        4.3)
 *   entropy              score = sum_k W_k log W_k - W log W, the same section
 * A numeric feature is cut between two neighbouring bins that hold rows, in the middle of the empty
 * bins between. A node with missing values tries them on either side. Categories are sorted by
 * their mean gradient G / H, and the best subset is then among the prefixes: Fisher 1958, "On
 * grouping for maximum homogeneity"; for two classes Breiman et al. 1984, theorem 4.5. Missing is a
 * category of its own there. With category_smoothing s > 0 the key is (G - m H) / (H + s), m the
 * node's mean: rare categories move to the middle.
 */
#include "packed.h"

#include <lathe/math.h>
#include <math.h>
#include <string.h>

static double entropy_term(double w) {
    return w > 0 ? w * lathe_log(w) : 0;
}

double tree_score(const tree_context *c, double g, double h) {
    if (c->mode == TREE_MODE_VARIANCE)
        return g * g / (h + c->l2);
    double other = h - g;
    if (c->entropy)
        return entropy_term(g) + entropy_term(other) - entropy_term(h);
    return (g * g + other * other) / h;
}

/* A gain below the rounding of its two terms is none. */
double tree_gain(const tree_context *c, double sides, double node) {
    double gain = sides - node;
    double least = 1e-12 * (fabs(sides) + fabs(node));
    least = least > c->config->min_gain ? least : c->config->min_gain;
    return gain > least ? gain : 0;
}

double tree_split_gain(const tree_context *c, tree_cell sum, tree_cell left) {
    double gl = (double)left.g * c->g_unit, hl = tree_weight(c, left.hc);
    double gr = (double)(sum.g - left.g) * c->g_unit, hr = tree_weight(c, sum.hc - left.hc);
    return tree_gain(c, tree_score(c, gl, hl) + tree_score(c, gr, hr),
                     tree_score(c, (double)sum.g * c->g_unit, tree_weight(c, sum.hc)));
}

/* ---- without bounds: the kernel -------------------------------------------------------------- */

packed_node tree_node_sums(const tree_context *c, tree_cell sum) {
    return (packed_node){.g = (double)sum.g,
                         .h = (double)(sum.hc >> c->count_bits),
                         .count = (double)tree_count(c, sum.hc),
                         .l2 = c->l2 / c->h_unit,
                         .min_rows = (double)(c->config->min_rows > 1 ? c->config->min_rows : 1),
                         .min_hessian = c->config->min_hessian / c->h_unit,
                         .gini = c->mode == TREE_MODE_BINARY};
}

void tree_best_of_cells(const tree_context *c, const packed_node *node, const tree_cell *cells,
                        const uint8_t *list, int n_cuts, tree_cell first, int missing_left,
                        tree_best_cut *best) {
    packed_sums sums;
    tree_cell left = first;
    int at;
    if (n_cuts < 1)
        return;
    for (int i = 0; i < n_cuts; i++) {
        const tree_cell *cell = &cells[list ? list[i] : i];
        left.g += cell->g;
        left.hc += cell->hc;
        sums.g[i] = (double)left.g;
        sums.h[i] = (double)(left.hc >> c->count_bits);
        sums.count[i] = (double)tree_count(c, left.hc);
    }
    double score = c->kernels->best(node, &sums, n_cuts, &at);
    if (score < 0 || score <= best->score)
        return;
    for (int i = 0; i <= at; i++) { /* doubles do not hold all of it */
        const tree_cell *cell = &cells[list ? list[i] : i];
        first.g += cell->g;
        first.hc += cell->hc;
    }
    *best = (tree_best_cut){score, at, missing_left, first};
}

/* ---- one feature ----------------------------------------------------------------------------- */

/* What one scan over the bins needs, and the best it has found. */
typedef struct scan {
    const tree_context *c;
    const tree_item *item;
    int64_t min_rows;
    double min_hessian;
    int bounded, sign; /* monotone.c */
    int64_t n_rows;    /* in the node, repeats counted */
    packed_node sums;  /* where the kernel scores */
    tree_best_cut best;
} scan;

static int side_is_allowed(const scan *s, int64_t rows, double h) {
    return rows >= s->min_rows && h >= s->min_hessian && h + s->c->l2 > 0;
}

/* Tries all cuts after list[0 … n_cuts-1], with `left` already on the left: entropy, and scores within bounds. */
static void scan_slowly(scan *s, const tree_cell *cells, const uint8_t *list, int n_cuts,
                        tree_cell left, int missing_left) {
    const tree_context *c = s->c;
    tree_cell sum = s->item->sum;
    for (int i = 0; i < n_cuts; i++) {
        left.g += cells[list[i]].g;
        left.hc += cells[list[i]].hc;
        int64_t rows = tree_count(c, left.hc);
        if (rows < s->min_rows)
            continue;
        if (s->n_rows - rows < s->min_rows)
            break;
        double gl = (double)left.g * c->g_unit, hl = tree_weight(c, left.hc);
        double gr = (double)(sum.g - left.g) * c->g_unit, hr = tree_weight(c, sum.hc - left.hc);
        if (!side_is_allowed(s, rows, hl) || !side_is_allowed(s, s->n_rows - rows, hr))
            continue;
        double score = s->bounded ? tree_bounded_score(c, s->item, s->sign, gl, hl, gr, hr)
                                  : tree_score(c, gl, hl) + tree_score(c, gr, hr);
        if (score > s->best.score)
            s->best = (tree_best_cut){score, i, missing_left, left};
    }
}

static void scan_list(scan *s, const tree_cell *cells, const uint8_t *list, int n_cuts,
                      tree_cell left, int missing_left) {
    if (s->bounded || (s->c->mode == TREE_MODE_BINARY && s->c->entropy))
        scan_slowly(s, cells, list, n_cuts, left, missing_left);
    else
        tree_best_of_cells(s->c, &s->sums, cells, list, n_cuts, left, missing_left, &s->best);
}

/* The bin of missing values goes where missing_left says, also in nodes that have no such row. */
static void set_missing_bin(const lathe_bin_feature *f, tree_split *s) {
    if (f->missing_bin < 0)
        return;
    uint64_t bit = 1ULL << (f->missing_bin & 63);
    s->left_bins[f->missing_bin >> 6] &= ~bit;
    if (s->missing_left)
        s->left_bins[f->missing_bin >> 6] |= bit;
}

/* Completes a numeric split after the bin list[position]; the n values' bins are in `list`. */
void tree_finish_numeric(const tree_context *c, const tree_item *item, tree_split *s,
                         const uint8_t *list, int n, int position, int has_missing) {
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, s->feature);
    if (!has_missing) /* nothing to learn from: the larger side */
        s->missing_left = 2 * tree_size(c, s->left.hc) > tree_size(c, item->sum.hc);
    s->is_category = 0;
    s->bin = f->n_edges;
    if (position + 1 < n)
        s->bin = list[position] + (list[position + 1] - list[position] - 1) / 2;
    memset(s->left_bins, 0, sizeof s->left_bins);
    for (int word = 0; word <= s->bin >> 6; word++)
        s->left_bins[word] = ~0ULL;
    s->left_bins[s->bin >> 6] >>= 63 - (s->bin & 63);
    set_missing_bin(f, s);
}

/* Completes a split of categories: list[0 … position] against the rest of the n. A value that
 * training did not see, or that is too rare for a bin of its own, goes right: the side with the bin
 * of the rare ones is the right one, and where the node has none of them the larger side is. */
void tree_finish_category(const tree_context *c, const tree_item *item, tree_split *s,
                          const uint8_t *list, int n, int position) {
    const lathe_bin_feature *f = lathe_bin_feature_at(c->bins, s->feature);
    uint64_t side[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    for (int i = 0; i < n; i++)
        side[i > position][list[i] >> 6] |= 1ULL << (list[i] & 63);
    int64_t rows = tree_count(c, s->left.hc), all = tree_count(c, item->sum.hc);
    int rare = f->n_codes; /* the bin of all other codes */
    int left = 2 * rows > all;
    if (rare < f->n_bins && rare != f->missing_bin)
        left = tree_bin_is_left(side[0], rare) || (left && !tree_bin_is_left(side[1], rare));
    if (left) { /* side 0 becomes the right one */
        s->left.g = item->sum.g - s->left.g;
        s->left.hc = item->sum.hc - s->left.hc;
        rows = all - rows;
    }
    memcpy(s->left_bins, side[left], sizeof s->left_bins);
    s->is_category = 1;
    s->bin = 0;
    int missing = f->missing_bin;
    if (missing >= 0 && (tree_bin_is_left(side[0], missing) || tree_bin_is_left(side[1], missing)))
        s->missing_left = tree_bin_is_left(s->left_bins, missing);
    else
        s->missing_left = 2 * rows > all;
    set_missing_bin(f, s);
}

static void scan_numeric(scan *s, tree_split *split, const tree_cell *cells, const uint8_t *bins,
                         int n) {
    const lathe_bin_feature *f = lathe_bin_feature_at(s->c->bins, split->feature);
    const tree_cell none = {0, 0};
    int has_missing = bins[n - 1] == f->missing_bin;
    int n_values = n - has_missing;
    scan_list(s, cells, bins, has_missing ? n_values : n_values - 1, none, 0);
    if (has_missing)
        scan_list(s, cells, bins, n_values - 1, cells[f->missing_bin], 1);
    if (s->best.position < 0)
        return;
    split->left = s->best.left;
    split->missing_left = s->best.missing_left;
    tree_finish_numeric(s->c, s->item, split, bins, n_values, s->best.position, has_missing);
}

void tree_sort_bins(const double *key, uint8_t *bins, int n) {
    for (int i = 1; i < n; i++) {
        uint8_t b = bins[i];
        int j = i;
        for (; j > 0; j--) {
            uint8_t a = bins[j - 1];
            if (key[a] < key[b] || (key[a] == key[b] && a < b))
                break;
            bins[j] = a;
        }
        bins[j] = b;
    }
}

static void scan_category(scan *s, tree_split *split, const tree_cell *cells, const uint8_t *bins,
                          int n) {
    const tree_context *c = s->c;
    const tree_cell none = {0, 0};
    double key[256];
    uint8_t list[256];
    double G = (double)s->item->sum.g * c->g_unit, H = tree_weight(c, s->item->sum.hc);
    for (int i = 0; i < n; i++) {
        double g = (double)cells[bins[i]].g * c->g_unit, h = tree_weight(c, cells[bins[i]].hc);
        double smooth = h + c->config->category_smoothing;
        key[bins[i]] = smooth > 0 ? (g * H - G * h) / smooth : 0;
        list[i] = bins[i];
    }
    tree_sort_bins(key, list, n);
    scan_list(s, cells, list, n - 1, none, 0);
    if (s->best.position < 0)
        return;
    split->left = s->best.left;
    tree_finish_category(c, s->item, split, list, n, s->best.position);
}

void tree_scan(const tree_context *c, const tree_item *item, int32_t feature,
               const tree_cell *cells, const uint8_t *bins, int n_bins, tree_split *split) {
    split->gain = 0;
    split->feature = feature;
    if (n_bins < 2)
        return;
    scan s = {.c = c, .item = item, .best = {.score = -INFINITY, .position = -1}};
    s.min_rows = c->config->min_rows;
    s.min_hessian = c->config->min_hessian;
    s.n_rows = tree_count(c, item->sum.hc);
    s.bounded = tree_is_bounded(c, item, feature);
    s.sign = s.bounded ? c->monotone[feature] : 0;
    s.sums = tree_node_sums(c, item->sum);
    if (lathe_bin_feature_at(c->bins, feature)->type == LATHE_FEATURE_CATEGORY)
        scan_category(&s, split, cells, bins, n_bins);
    else
        scan_numeric(&s, split, cells, bins, n_bins);
    if (s.best.position < 0)
        return;
    split->gain = s.bounded ? tree_bounded_gain(c, item, s.sign, split->left)
                            : tree_split_gain(c, item->sum, split->left);
}
