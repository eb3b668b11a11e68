/* The tree learner against exhaustive search, closed forms, and data that are hard to split. */
#include "support_trees.h"

#define LEARNER LATHE_KIND_LEARNER
#define EXACT "\"min_rows\": 1"

/* ---- a naive twin: best first, all features, all cuts, in double ----------------------------- */

enum { MAX_ROWS = 200, MAX_FEATURES = 4 };

typedef struct naive {
    int32_t task;
    int64_t n, f, k;
    const float *x, *y;
    const double *g, *h; /* gradients; else NULL */
    const float *weight; /* of classes, so that no two cuts gain the same; NULL: 1 */
    double l2, centre;
    int entropy;
    int64_t min_rows;
    int leaf[MAX_ROWS];
    int n_leaves;
} naive;

static double naive_score(const naive *t, const bool *in) {
    double g = 0, h = 0, w[16] = {0}, s = 0;
    for (int64_t i = 0; i < t->n; i++) {
        if (!in[i])
            continue;
        if (t->g || t->task == LATHE_TASK_REGRESSION) {
            g += t->g ? t->g[i] : t->centre - (double)t->y[i];
            h += t->h ? t->h[i] : 1;
        } else {
            double wi = t->weight ? t->weight[i] : 1;
            w[(int)t->y[i]] += wi;
            h += wi;
        }
    }
    if (h == 0)
        return 0;
    if (t->g || t->task == LATHE_TASK_REGRESSION)
        return g * g / (h + t->l2);
    for (int c = 0; c < t->k; c++)
        s += t->entropy ? (w[c] > 0 ? w[c] * log(w[c] / h) : 0) : w[c] * w[c] / h;
    return s;
}

/* The best cut of one leaf: gain, and the side of each row. */
static double naive_cut(const naive *t, int leaf, bool *best_left) {
    bool in[MAX_ROWS] = {0}, left[MAX_ROWS], right[MAX_ROWS];
    double best = 0;
    for (int64_t i = 0; i < t->n; i++)
        in[i] = t->leaf[i] == leaf;
    double parent = naive_score(t, in);
    for (int64_t j = 0; j < t->f; j++)
        for (int64_t c = 0; c < t->n; c++)
            for (int missing = 0; missing < 2; missing++) {
                float cut = t->x[c * t->f + j];
                int64_t nl = 0, nr = 0;
                if (!in[c])
                    continue;
                for (int64_t i = 0; i < t->n; i++) {
                    float v = t->x[i * t->f + j];
                    bool is_left = isnan(v) ? missing : isnan(cut) ? true : v <= cut;
                    left[i] = in[i] && is_left;
                    right[i] = in[i] && !is_left;
                    nl += left[i];
                    nr += right[i];
                }
                if (nl < t->min_rows || nr < t->min_rows || nl == 0 || nr == 0)
                    continue;
                double gain = naive_score(t, left) + naive_score(t, right) - parent;
                if (gain > best + 1e-9 * fabs(parent)) {
                    best = gain;
                    memcpy(best_left, left, sizeof left);
                }
            }
    return best;
}

static void naive_grow(naive *t, int max_leaves) {
    memset(t->leaf, 0, sizeof t->leaf);
    t->n_leaves = 1;
    while (t->n_leaves < max_leaves) {
        bool left[MAX_ROWS], best_left[MAX_ROWS] = {0};
        double best = 1e-9;
        int which = -1;
        for (int l = 0; l < t->n_leaves; l++) {
            double gain = naive_cut(t, l, left);
            if (gain > best * (1 + 1e-9)) {
                best = gain;
                which = l;
                memcpy(best_left, left, sizeof left);
            }
        }
        if (which < 0)
            break;
        for (int64_t i = 0; i < t->n; i++)
            if (t->leaf[i] == which && !best_left[i])
                t->leaf[i] = t->n_leaves;
        t->n_leaves++;
    }
}

/* What the naive tree says about row i; class k of a classification. */
static double naive_value(const naive *t, int64_t row, int64_t k) {
    double g = 0, h = 0, w = 0;
    for (int64_t i = 0; i < t->n; i++) {
        if (t->leaf[i] != t->leaf[row])
            continue;
        g += t->g ? t->g[i] : t->centre - (double)t->y[i];
        double wi = t->weight ? t->weight[i] : 1;
        h += t->h ? t->h[i] : wi;
        w += t->y && (int64_t)t->y[i] == k ? wi : 0;
    }
    if (t->g || t->task == LATHE_TASK_REGRESSION)
        return t->centre - g / (h + t->l2);
    return w / h;
}

static void compare_with_naive(naive *t, const char *use, int max_leaves, const lathe_fit *fit) {
    lathe_dataset *data = make_data(t->task, t->k, t->n, t->f, t->x, t->y, t->weight, NULL);
    lathe_instance tree;
    must_fit(LEARNER, use, t->task, t->k, data, fit, &tree);
    int64_t width = width_of(&tree);
    float out[MAX_ROWS * 16];
    predict(&tree, t->n, t->f, t->x, out);
    naive_grow(t, max_leaves);
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t o = 0; o < width; o++) {
            double want = naive_value(t, i, width == 1 ? 1 : o);
            ck_assert_msg(fabs(out[i * width + o] - want) <= 1e-6 * (1 + fabs(want)),
                          "%s: row %d output %d is %.9g, the naive tree says %.9g", use, (int)i,
                          (int)o, (double)out[i * width + o], want);
        }
    check_round_trip(&tree, t->n, t->f, t->x);
    lathe_instance_destroy(&tree);
    fixture_datasets(&fx)->release(data);
}

static void random_rows(uint64_t key, int64_t n, int64_t f, double missing, float *x) {
    for (int64_t i = 0; i < n * f; i++)
        x[i] = some(key + 9, i) < missing ? NAN : (float)some(key, i);
}

START_TEST(regression_equals_exhaustive_search) {
    static float x[MAX_ROWS * MAX_FEATURES], y[MAX_ROWS];
    for (uint64_t key = 1; key <= 6; key++) {
        naive t = {.task = LATHE_TASK_REGRESSION,
                   .n = 60 + 23 * (int64_t)key,
                   .f = 3,
                   .x = x,
                   .y = y,
                   .min_rows = key % 2 ? 1 : 4,
                   .l2 = key > 3 ? 1.5 : 0};
        random_rows(key, t.n, t.f, key % 3 == 0 ? 0.2 : 0, x);
        double sum = 0;
        for (int64_t i = 0; i < t.n; i++) {
            y[i] = (float)(1000 + 10 * some(key + 100, i) + (x[3 * i] > 0.5f ? 4 : 0));
            sum += y[i];
        }
        t.centre = (float)(sum / (double)t.n);
        char use[160];
        snprintf(use, sizeof use, "{\"tree\": {\"max_leaves\": 9, \"min_rows\": %d, \"l2\": %g}}",
                 (int)t.min_rows, t.l2);
        compare_with_naive(&t, use, 9, NULL);
    }
}
END_TEST

START_TEST(gradients_equal_exhaustive_search) {
    static float x[MAX_ROWS * MAX_FEATURES], y[MAX_ROWS], g[2 * MAX_ROWS], h[2 * MAX_ROWS];
    static double gd[MAX_ROWS], hd[MAX_ROWS];
    naive t = {.task = LATHE_TASK_REGRESSION,
               .n = 150,
               .f = 3,
               .x = x,
               .y = y,
               .g = gd,
               .h = hd,
               .min_rows = 3,
               .l2 = 0.7};
    random_rows(31, t.n, t.f, 0.1, x);
    for (int64_t i = 0; i < t.n; i++) {
        g[2 * i] = (float)(some(32, i) - 0.4);
        h[2 * i] = (float)(0.05 + some(33, i));
        gd[i] = g[2 * i];
        hd[i] = h[2 * i];
    }
    lathe_fit fit = {.gradient = g, .hessian = h, .gradient_stride = 2};
    compare_with_naive(&t, "{\"tree\": {\"max_leaves\": 12, \"min_rows\": 3, \"l2\": 0.7}}", 12,
                       &fit);
}
END_TEST

START_TEST(classes_equal_exhaustive_search) {
    static float x[MAX_ROWS * MAX_FEATURES], y[MAX_ROWS], w[MAX_ROWS];
    for (int k = 2; k <= 5; k++)
        for (int entropy = 0; entropy < 2; entropy++) {
            naive t = {.task = k == 2 ? LATHE_TASK_BINARY : LATHE_TASK_MULTICLASS,
                       .n = 140,
                       .f = 2,
                       .k = k,
                       .x = x,
                       .y = y,
                       .min_rows = 5,
                       .weight = w,
                       .entropy = entropy};
            random_rows(40 + (uint64_t)k, t.n, t.f, entropy ? 0.15 : 0, x);
            for (int64_t i = 0; i < t.n; i++) {
                double s = isnan(x[2 * i]) ? 0.9 : 0.7 * x[2 * i] + 0.3 * some(50, i);
                y[i] = (float)(int)(s * k);
                w[i] = (float)(0.5 + some(51, i));
            }
            compare_with_naive(
                &t,
                entropy ? "{\"tree\": {\"max_leaves\": 5, \"min_rows\": 5, \"criterion\": "
                          "\"entropy\"}}"
                        : "{\"tree\": {\"max_leaves\": 5, \"min_rows\": 5}}",
                5, NULL);
        }
}
END_TEST

/* ---- closed forms ---------------------------------------------------------------------------- */

START_TEST(one_known_split) {
    const float x[] = {1, 2, 3, 10, 11, 12}, y[] = {1, 2, 3, 7, 8, 9};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 6, 1, x, y, NULL, NULL);
    lathe_instance t;
    must_fit(LEARNER, "{\"tree\": {\"max_leaves\": 2, " EXACT "}}", LATHE_TASK_REGRESSION, 0, data,
             NULL, &t);
    const float at[] = {-1e30f, 6.5f, nextafterf(6.5f, 7), 1e30f};
    ck_assert(predict_one(&t, 1, at) == 2);
    ck_assert(predict_one(&t, 1, at + 1) == 2); /* x <= threshold, the middle of 3 and 10 */
    ck_assert(predict_one(&t, 1, at + 2) == 8);
    ck_assert(predict_one(&t, 1, at + 3) == 8);
    /* 2 * 3 * (2 - 5)^2 */
    ck_assert_double_eq_tol(gain_of(&t, 1), 54, 1e-9);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(gradient_leaf_is_minus_g_over_h) {
    const float x[] = {0, 0, 1, 1}, g[] = {1, 2, -4, -1}, h[] = {1, 0.5f, 2, 1};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 4, 1, x, NULL, NULL, NULL);
    lathe_instance t;
    lathe_fit fit = {.gradient = g, .hessian = h, .gradient_stride = 1};
    must_fit(LEARNER, "{\"tree\": {\"l2\": 0.5, " EXACT "}}", LATHE_TASK_REGRESSION, 0, data, &fit,
             &t);
    ck_assert(predict_one(&t, 1, x) == (float)(-3.0 / 2.0));
    ck_assert(predict_one(&t, 1, x + 2) == (float)(5.0 / 3.5));
    ck_assert_double_eq_tol(gain_of(&t, 1), 9 / 2.0 + 25 / 3.5 - 4 / 5.0, 1e-9);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(weights_move_the_leaves) {
    const float x[] = {0, 0, 1}, y[] = {1, 0, 1}, w[] = {3, 1, 2};
    lathe_dataset *data = make_data(LATHE_TASK_BINARY, 2, 3, 1, x, y, w, NULL);
    lathe_instance t;
    must_fit(LEARNER, "{\"tree\": {" EXACT "}}", LATHE_TASK_BINARY, 2, data, NULL, &t);
    ck_assert(predict_one(&t, 1, x) == 0.75f);
    ck_assert(predict_one(&t, 1, x + 2) == 1.0f);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* ---- missing values and categories ----------------------------------------------------------- */

START_TEST(missing_values_learn_their_side) {
    const float x[] = {1, 2, 3, 4, NAN, NAN}, low[] = {0, 0, 9, 9, 0, 0},
                high[] = {0, 0, 9, 9, 9, 9};
    const float alone[] = {0, 0, 0, 0, 9, 9}, nan_row = NAN;
    const float *ys[] = {low, high, alone};
    const float want[] = {0, 9, 9};
    for (int c = 0; c < 3; c++) {
        lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 6, 1, x, ys[c], NULL, NULL);
        lathe_instance t;
        must_fit(LEARNER, "{\"tree\": {\"max_leaves\": 2, " EXACT "}}", LATHE_TASK_REGRESSION, 0,
                 data, NULL, &t);
        float out[6];
        predict(&t, 6, 1, x, out);
        for (int i = 0; i < 6; i++)
            ck_assert_msg(out[i] == ys[c][i], "case %d row %d: %g", c, i, (double)out[i]);
        ck_assert(predict_one(&t, 1, &nan_row) == want[c]);
        check_round_trip(&t, 6, 1, x);
        lathe_instance_destroy(&t);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(missing_without_example_goes_to_the_larger_side) {
    const float x[] = {1, 2, 3, 4, 5}, few_left[] = {0, 9, 9, 9, 9}, few_right[] = {0, 0, 0, 0, 9};
    const float nan_row = NAN;
    for (int c = 0; c < 2; c++) {
        lathe_dataset *data =
            make_data(LATHE_TASK_REGRESSION, 0, 5, 1, x, c ? few_right : few_left, NULL, NULL);
        lathe_instance t;
        must_fit(LEARNER, "{\"tree\": {" EXACT "}}", LATHE_TASK_REGRESSION, 0, data, NULL, &t);
        ck_assert(predict_one(&t, 1, &nan_row) == (c ? 0 : 9));
        lathe_instance_destroy(&t);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* The best of all subsets of the categories, by enumeration. */
START_TEST(categories_equal_all_subsets) {
    enum { N = 120, K = 6 };
    static float x[N], y[N];
    static const int32_t categories[] = {K};
    for (uint64_t key = 60; key < 66; key++) {
        int is_class = key % 2;
        double best = 0;
        for (int i = 0; i < N; i++) {
            int code = (int)(some(key, i) * K);
            x[i] = some(key + 1000, i) < 0.1 ? NAN : (float)code;
            double s =
                some(key + 2000, i) + (code == 1 || code == 4 ? 0.5 : 0) + (isnan(x[i]) ? 0.3 : 0);
            y[i] = (float)(is_class ? s > 0.7 : s);
        }
        for (unsigned subset = 1; subset < (1u << (K + 1)) - 1; subset++) {
            double n[2] = {0}, sum[2] = {0};
            for (int i = 0; i < N; i++) {
                int side = subset >> (isnan(x[i]) ? K : (int)x[i]) & 1;
                n[side]++;
                sum[side] += y[i];
            }
            if (n[0] == 0 || n[1] == 0)
                continue;
            double d = sum[0] / n[0] - sum[1] / n[1], gain = n[0] * n[1] / (n[0] + n[1]) * d * d;
            best = gain > best ? gain : best;
        }
        int32_t task = is_class ? LATHE_TASK_BINARY : LATHE_TASK_REGRESSION;
        lathe_dataset *data = make_data(task, is_class ? 2 : 0, N, 1, x, y, NULL, categories);
        lathe_instance t;
        must_fit(LEARNER, "{\"tree\": {\"max_leaves\": 2, " EXACT "}}", task, is_class ? 2 : 0,
                 data, NULL, &t);
        /* the Gini gain of two classes is twice the squared error's */
        ck_assert_double_eq_tol(gain_of(&t, 1), is_class ? 2 * best : best, 1e-6 * best);
        check_round_trip(&t, N, 1, x);
        lathe_instance_destroy(&t);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(unseen_categories_take_the_larger_side) {
    const float x[] = {0, 0, 1, 1, 2, 2}, y[] = {0, 0, 0, 0, 9, 9};
    const float odd[] = {-1, 3, 7, 1e9f, -5, INFINITY, -INFINITY, NAN};
    const int32_t categories[] = {8};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 6, 1, x, y, NULL, categories);
    lathe_instance t;
    must_fit(LEARNER, "{\"tree\": {" EXACT "}}", LATHE_TASK_REGRESSION, 0, data, NULL, &t);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        ck_assert(predict_one(&t, 1, odd + i) == 0);
    ck_assert(predict_one(&t, 1, x + 4) == 9);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* More codes than bins: the rare ones share a bin, and both passes over the data agree on their
 * side. */
START_TEST(rare_categories_stay_together) {
    enum { N = 1500, K = 400 };
    static float x[N], y[N], fitted[N], out[N];
    static const int32_t categories[] = {K};
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % K < 200 || i < 600 ? i % K : i % 200);
        y[i] = (float)((int)x[i] % 7) + (float)some(3, i);
    }
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, N, 1, x, y, NULL, categories);
    lathe_instance t;
    lathe_fit fit = {.fitted = fitted, .fitted_stride = 1};
    must_fit(LEARNER, "{\"tree\": {" EXACT ", \"max_bins\": 50}}", LATHE_TASK_REGRESSION, 0, data,
             &fit, &t);
    predict(&t, N, 1, x, out);
    ck_assert_mem_eq(out, fitted, sizeof out);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* ---- rows, weights, counts, features --------------------------------------------------------- */

enum { N = 900, F = 6 };
static float sx[N * F], sy[N];

static void check_same_as(int32_t task, int64_t k, const char *use, const lathe_fit *a,
                          const lathe_fit *b, const int32_t *view_rows, int64_t n_view) {
    signal_data(7, task, k, N, F, sx, sy);
    lathe_dataset *data = make_data(task, k, N, F, sx, sy, NULL, signal_categories), *view = NULL;
    lathe_error err = {0};
    if (view_rows)
        fixture_ok(fixture_datasets(&fx)->view(data, view_rows, n_view, &view, &err), &err, "view");
    lathe_instance x, y;
    must_fit(LEARNER, use, task, k, data, a, &x);
    must_fit(LEARNER, use, task, k, view ? view : data, b, &y);
    ck_assert_msg(same_state(&x, &y), "%s: the trees differ", use);
    lathe_instance_destroy(&x);
    lathe_instance_destroy(&y);
    fixture_datasets(&fx)->release(view);
    fixture_datasets(&fx)->release(data);
}

START_TEST(counts_are_repeated_rows) {
    static uint16_t counts[N];
    static int32_t rows[4 * N];
    int64_t n = 0;
    for (int i = 0; i < N; i++) {
        counts[i] = (uint16_t)(some(8, i) * 4);
        for (int c = 0; c < counts[i]; c++)
            rows[n++] = i;
    }
    lathe_fit fit = {.counts = counts};
    const char *use = "{\"tree\": {\"max_leaves\": 40, \"min_rows\": 3}}";
    check_same_as(LATHE_TASK_REGRESSION, 0, use, &fit, NULL, rows, n);
    check_same_as(LATHE_TASK_BINARY, 2, use, &fit, NULL, rows, n);
    check_same_as(LATHE_TASK_MULTICLASS, 4, use, &fit, NULL, rows, n);
}
END_TEST

START_TEST(weight_zero_is_absent) {
    static float weight[N];
    static int32_t rows[N];
    int64_t n = 0;
    for (int i = 0; i < N; i++) {
        weight[i] = some(9, i) < 0.3 ? 0 : 1;
        if (weight[i] > 0)
            rows[n++] = i;
    }
    lathe_fit by_weight = {.weight = weight}, by_rows = {.rows = rows, .n_rows_used = n};
    const char *use = "{\"tree\": {\"max_leaves\": 40, \"min_rows\": 3}}";
    check_same_as(LATHE_TASK_REGRESSION, 0, use, &by_weight, &by_rows, NULL, 0);
    check_same_as(LATHE_TASK_BINARY, 2, use, &by_weight, &by_rows, NULL, 0);
    check_same_as(LATHE_TASK_MULTICLASS, 4, use, &by_weight, &by_rows, NULL, 0);
    check_same_as(LATHE_TASK_REGRESSION, 0, use, &by_weight, NULL, rows, n);
}
END_TEST

START_TEST(only_given_features_are_used) {
    signal_data(7, LATHE_TASK_REGRESSION, 0, N, F, sx, sy);
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, N, F, sx, sy, NULL, signal_categories);
    const int32_t features[] = {1, 4};
    lathe_fit fit = {.features = features, .n_features_used = 2};
    lathe_instance t;
    lathe_error err = {0};
    double importance[F];
    must_fit(LEARNER, "{\"tree\": {\"min_rows\": 5}}", LATHE_TASK_REGRESSION, 0, data, &fit, &t);
    fixture_ok(lathe_call_importance(&t, LATHE_IMPORTANCE_SPLITS, F, importance, &err), &err,
               "splits");
    for (int j = 0; j < F; j++)
        ck_assert_msg((importance[j] > 0) == (j == 1 || j == 4), "feature %d: %g", j,
                      importance[j]);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Rows out of the bag get the value that predict gives them. */
START_TEST(fitted_covers_every_row) {
    static float fitted[N * 4], out[N * 4];
    static uint16_t counts[N];
    const int32_t tasks[] = {LATHE_TASK_REGRESSION, LATHE_TASK_BINARY, LATHE_TASK_MULTICLASS};
    for (int c = 0; c < 3; c++) {
        int64_t k = c == 0 ? 0 : c == 1 ? 2 : 4;
        signal_data(7, tasks[c], k, N, F, sx, sy);
        for (int i = 0; i < N; i++)
            counts[i] = (uint16_t)(some(10, i) * 2.5);
        lathe_dataset *data = make_data(tasks[c], k, N, F, sx, sy, NULL, signal_categories);
        int64_t width = c == 2 ? 4 : 1;
        lathe_fit fit = {.counts = counts, .fitted = fitted, .fitted_stride = width, .key = 3};
        lathe_instance t;
        must_fit(
            LEARNER,
            "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": \"sqrt\"}}",
            tasks[c], k, data, &fit, &t);
        predict(&t, N, F, sx, out);
        ck_assert_mem_eq(out, fitted, (size_t)(N * width) * sizeof(float));
        lathe_instance_destroy(&t);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* A bound on the leaves that does not bind gives the tree that is grown without one. */
/* Best first, or each small node to its end from copies of its rows: the same tree. */
START_TEST(order_of_growth_does_not_matter) {
    static const char *const more[] = {
        "\"min_rows\": 1",
        "\"min_rows\": 4, \"l2\": 0.7, \"min_gain\": 0.01",
        "\"min_rows\": 1, \"features_per_split\": 2",
        "\"min_rows\": 2, \"max_depth\": 7, \"min_hessian\": 1.5, \"category_smoothing\": 2",
    };
    static float a[N], b[N], g[N], h[N];
    static uint16_t counts[N];
    signal_data(7, LATHE_TASK_REGRESSION, 0, N, F, sx, sy);
    for (int i = 0; i < N; i++) {
        g[i] = 2 - sy[i];
        h[i] = (float)(0.1 + some(70, i));
        counts[i] = (uint16_t)(some(71, i) * 3);
    }
    const lathe_fit fits[] = {{.key = 3},
                              {.key = 4, .counts = counts, .weight = h},
                              {.key = 5, .gradient = g, .hessian = h, .gradient_stride = 1}};
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, N, F, sx, sy, NULL, signal_categories);
    for (size_t m = 0; m < sizeof more / sizeof *more; m++)
        for (size_t f = 0; f < sizeof fits / sizeof *fits; f++) {
            lathe_instance t, u;
            char use[200];
            snprintf(use, sizeof use, "{\"tree\": {\"max_leaves\": 5000, %s, \"sums\": \"exact\"}}",
                     more[m]);
            must_fit(LEARNER, use, LATHE_TASK_REGRESSION, 0, data, &fits[f], &t);
            snprintf(use, sizeof use, "{\"tree\": {\"max_leaves\": null, %s, \"sums\": \"exact\"}}",
                     more[m]);
            must_fit(LEARNER, use, LATHE_TASK_REGRESSION, 0, data, &fits[f], &u);
            predict(&t, N, F, sx, a);
            predict(&u, N, F, sx, b);
            ck_assert_msg(memcmp(a, b, sizeof a) == 0, "%s, fit %d", more[m], (int)f);
            ck_assert_double_eq_tol(gain_of(&t, F), gain_of(&u, F), 1e-9 * gain_of(&t, F));
            lathe_instance_destroy(&t);
            lathe_instance_destroy(&u);
        }
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Two features that are the same: each decides about half of the nodes of a tree, but in boosting the first all. */
START_TEST(ties_are_drawn) {
    static const char *const uses[] = {
        "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1}}",
        "{\"tree\": {\"max_leaves\": 200, \"min_rows\": 1}}",
        "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"sums\": \"exact\"}}",
    };
    static float twice[N * 2], g[N], h[N];
    for (int i = 0; i < N; i++) {
        twice[2 * i] = twice[2 * i + 1] = (float)some(80, i);
        sy[i] = some(81, i) < 0.5;
        g[i] = sy[i] > 0 ? -1 : 1;
        h[i] = 1;
    }
    for (size_t u = 0; u < sizeof uses / sizeof *uses; u++)
        for (int task = 0; task < 3; task++) {
            const int32_t kind = task == 1 ? LATHE_TASK_BINARY : LATHE_TASK_REGRESSION;
            const lathe_fit fit =
                task == 2 ? (lathe_fit){.key = 9, .gradient = g, .hessian = h, .gradient_stride = 1}
                          : (lathe_fit){.key = 9};
            lathe_dataset *data = make_data(kind, task == 1 ? 2 : 0, N, 2, twice, sy, NULL, NULL);
            lathe_instance t;
            lathe_error err = {0};
            double splits[2];
            must_fit(LEARNER, uses[u], kind, task == 1 ? 2 : 0, data, &fit, &t);
            fixture_ok(lathe_call_importance(&t, LATHE_IMPORTANCE_SPLITS, 2, splits, &err), &err,
                       "splits");
            ck_assert_double_gt(splits[0], 50);
            if (task == 2)
                ck_assert_double_eq(splits[1], 0);
            else
                ck_assert_msg(fabs(splits[0] - splits[1]) < 5 * sqrt(splits[0] + splits[1]),
                              "%s: %g and %g", uses[u], splits[0], splits[1]);
            lathe_instance_destroy(&t);
            fixture_datasets(&fx)->release(data);
        }
}
END_TEST

START_TEST(limits_are_kept) {
    signal_data(7, LATHE_TASK_REGRESSION, 0, N, F, sx, sy);
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, N, F, sx, sy, NULL, signal_categories);
    const struct {
        const char *use;
        int64_t leaves, rows;
    } cases[] = {
        {"{\"tree\": {\"max_leaves\": 10, \"min_rows\": 1}}", 10, 1},
        {"{\"tree\": {\"max_leaves\": null, \"max_depth\": 3, \"min_rows\": 1}}", 8, 1},
        {"{\"tree\": {\"max_leaves\": null, \"max_depth\": 0}}", 1, 1},
        {"{\"tree\": {\"max_leaves\": 1}}", 1, 1},
        {"{\"tree\": {\"max_leaves\": null, \"min_rows\": 100}}", 9, 100},
        {"{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"min_hessian\": 90}}", 10, 90},
        {"{\"tree\": {\"min_gain\": 1e9}}", 1, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lathe_instance t;
        fixture_create(&fx, LEARNER, cases[c].use, LATHE_TASK_REGRESSION, &t);
        lathe_open open = {
            .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = data};
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit)};
        lathe_error err = {0};
        void *context;
        static int32_t leaf[N];
        int64_t n_leaves, rows[N] = {0};
        fixture_ok(learner_of(&t)->open(t.self, &open, &context, &err), &err, "open");
        fixture_ok(learner_of(&t)->fit(t.self, context, &fit, &err), &err, "fit");
        fixture_ok(learner_of(&t)->leaves(t.self, context, leaf, &n_leaves, &err), &err, "leaves");
        ck_assert_int_le(n_leaves, cases[c].leaves);
        if (c < 4)
            ck_assert_int_eq(n_leaves, cases[c].leaves);
        for (int i = 0; i < N; i++)
            rows[leaf[i]]++;
        for (int64_t l = 0; l < n_leaves; l++)
            ck_assert_int_ge(rows[l], cases[c].rows);
        learner_of(&t)->close(t.self, context);
        lathe_instance_destroy(&t);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* ---- data that are hard ---------------------------------------------------------------------- */

START_TEST(nothing_to_split) {
    const float x[] = {1, 1, 1, 2, 2, 2}, same[] = {5, 5, 5, 5, 5, 5}, y[] = {1, 2, 3, 4, 5, 6};
    const float constant[] = {7, 7, 7, 7, 7, 7}, big[] = {1e38f, 1e38f, 1e38f, 1e38f, 1e38f, 1e38f};
    const float zero[] = {0, 0, 0, 0, 0, 0};
    const float *xs[] = {x, constant, x, x}, *ys[] = {same, y, big, zero};
    const float want[] = {5, 3.5f, 1e38f, 0};
    for (int c = 0; c < 4; c++) {
        lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 6, 1, xs[c], ys[c], NULL, NULL);
        lathe_instance t;
        must_fit(LEARNER, "{\"tree\": {" EXACT "}}", LATHE_TASK_REGRESSION, 0, data, NULL, &t);
        ck_assert(gain_of(&t, 1) == 0);
        ck_assert(predict_one(&t, 1, x) == want[c]);
        check_round_trip(&t, 6, 1, x);
        lathe_instance_destroy(&t);
        fixture_datasets(&fx)->release(data);
    }
    lathe_dataset *one = make_data(LATHE_TASK_BINARY, 2, 1, 1, x, y, NULL, NULL);
    lathe_instance t;
    must_fit(LEARNER, "tree", LATHE_TASK_BINARY, 2, one, NULL, &t);
    ck_assert(predict_one(&t, 1, x) == 1);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(one);
}
END_TEST

START_TEST(bad_input_is_refused) {
    const float x[] = {1, 2, 3}, nan_y[] = {1, NAN, 2}, inf_y[] = {1, INFINITY, 2}, y[] = {0, 1, 0};
    const float odd[] = {0, 1, 0.5f}, three[] = {0, 1, 3}, minus[] = {1, -1, 1}, none[] = {0, 0, 0};
    const float nan_g[] = {0, NAN, 1}, h[] = {1, 1, 1}, negative_h[] = {1, -1, 1};
    const int32_t outside[] = {0, 5};
    struct {
        int32_t task;
        lathe_fit fit;
        int32_t code;
        const char *words;
    } cases[] = {
        {LATHE_TASK_REGRESSION, {.target = nan_y}, LATHE_E_DATA, "target of row 1 is nan"},
        {LATHE_TASK_REGRESSION, {.target = inf_y}, LATHE_E_DATA, "target of row 1 is inf"},
        {LATHE_TASK_BINARY, {.target = odd}, LATHE_E_DATA, "target of row 2 is 0.5"},
        {LATHE_TASK_BINARY, {.target = three}, LATHE_E_DATA, "class index, 0 to 1"},
        {LATHE_TASK_BINARY, {.weight = minus}, LATHE_E_DATA, "weight of row 1 is -1"},
        {LATHE_TASK_BINARY, {.weight = none}, LATHE_E_DATA, "no row to fit"},
        {LATHE_TASK_REGRESSION,
         {.gradient = nan_g, .hessian = h, .gradient_stride = 1},
         LATHE_E_NUMERIC,
         "gradient nan"},
        {LATHE_TASK_REGRESSION,
         {.gradient = y, .hessian = negative_h, .gradient_stride = 1},
         LATHE_E_NUMERIC,
         "negative hessian"},
        {LATHE_TASK_BINARY, {.rows = outside, .n_rows_used = 2}, LATHE_E_SHAPE, "row 5 is not in"},
        {LATHE_TASK_BINARY,
         {.features = outside, .n_features_used = 2},
         LATHE_E_SHAPE,
         "feature 5"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int64_t k = cases[c].task == LATHE_TASK_BINARY ? 2 : 0;
        lathe_dataset *data = make_data(cases[c].task, k, 3, 1, x, y, NULL, NULL);
        must_not_fit(LEARNER, "tree", cases[c].task, k, data, &cases[c].fit, cases[c].code,
                     cases[c].words);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(threads_change_no_bit) {
    const char *uses[] = {
        "{\"tree\": {\"max_leaves\": 100, \"min_rows\": 2}}",
        "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1, \"features_per_split\": 2}}"};
    for (int u = 0; u < 2; u++) {
        check_threads(LEARNER, uses[u], LATHE_TASK_REGRESSION, 0, 40000);
        check_threads(LEARNER, uses[u], LATHE_TASK_BINARY, 2, 40000);
        check_threads(LEARNER, uses[u], LATHE_TASK_MULTICLASS, 5, 40000);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("tree");
    TCase *c = tcase_create("tree");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, regression_equals_exhaustive_search);
    tcase_add_test(c, gradients_equal_exhaustive_search);
    tcase_add_test(c, classes_equal_exhaustive_search);
    tcase_add_test(c, one_known_split);
    tcase_add_test(c, gradient_leaf_is_minus_g_over_h);
    tcase_add_test(c, weights_move_the_leaves);
    tcase_add_test(c, missing_values_learn_their_side);
    tcase_add_test(c, missing_without_example_goes_to_the_larger_side);
    tcase_add_test(c, categories_equal_all_subsets);
    tcase_add_test(c, unseen_categories_take_the_larger_side);
    tcase_add_test(c, rare_categories_stay_together);
    tcase_add_test(c, counts_are_repeated_rows);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, only_given_features_are_used);
    tcase_add_test(c, fitted_covers_every_row);
    tcase_add_test(c, order_of_growth_does_not_matter);
    tcase_add_test(c, ties_are_drawn);
    tcase_add_test(c, limits_are_kept);
    tcase_add_test(c, nothing_to_split);
    tcase_add_test(c, bad_input_is_refused);
    tcase_add_test(c, threads_change_no_bit);
    suite_add_tcase(s, c);
    return run_suite(s);
}
