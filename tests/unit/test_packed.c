/* Packed sums against exact ones: where nothing is rounded the trees must be equal in every byte. */
#include "support_trees.h"

#define LEARNER LATHE_KIND_LEARNER

enum { F = 6 };

typedef struct rows {
    int64_t n;
    float *x, *y, *g, *h;
    uint16_t *counts;
} rows;

static rows make_rows(int64_t n, int32_t task) {
    rows r = {.n = n};
    r.x = malloc((size_t)(n * F) * sizeof *r.x);
    r.y = malloc((size_t)n * sizeof *r.y);
    r.g = malloc((size_t)n * sizeof *r.g);
    r.h = malloc((size_t)n * sizeof *r.h);
    r.counts = malloc((size_t)n * sizeof *r.counts);
    ck_assert(r.x && r.y && r.g && r.h && r.counts);
    signal_data(5, task, 2, n, F, r.x, r.y);
    for (int64_t i = 0; i < n; i++)
        r.counts[i] = (uint16_t)(some(6, i) * some(7, i) * 5);
    return r;
}

static void free_rows(rows *r) {
    free(r->x);
    free(r->y);
    free(r->g);
    free(r->h);
    free(r->counts);
}

static void compare(const rows *r, int32_t task, const char *settings, const lathe_fit *fit) {
    lathe_dataset *data = make_data(task, task == LATHE_TASK_BINARY ? 2 : 0, r->n, F, r->x, r->y,
                                    NULL, signal_categories);
    lathe_instance trees[2];
    for (int i = 0; i < 2; i++) {
        char use[200];
        snprintf(use, sizeof use, "{\"tree\": {\"sums\": \"%s\", %s}}", i ? "packed" : "exact",
                 settings);
        must_fit(LEARNER, use, task, task == LATHE_TASK_BINARY ? 2 : 0, data, fit, &trees[i]);
    }
    ck_assert(gain_of(&trees[0], F) > 0);
    ck_assert_msg(same_state(&trees[0], &trees[1]), "%s: packed and exact differ", settings);
    lathe_instance_destroy(&trees[0]);
    lathe_instance_destroy(&trees[1]);
    fixture_datasets(&fx)->release(data);
}

static const char *const settings[] = {
    "\"max_leaves\": 60, \"min_rows\": 3",
    "\"max_leaves\": 60, \"min_rows\": 3, \"max_depth\": 4",
    "\"max_leaves\": 60, \"min_rows\": 50, \"features_per_split\": 2",
    "\"max_leaves\": null, \"min_rows\": 1",
    "\"max_leaves\": null, \"min_rows\": 40, \"features_per_split\": \"sqrt\"",
};
enum { SETTINGS = sizeof settings / sizeof *settings };

START_TEST(counts_of_two_classes) {
    const int64_t sizes[] = {300, 5000, 80000}; /* the last: more than narrow cells hold */
    for (int s = 0; s < 3; s++) {
        rows r = make_rows(sizes[s], LATHE_TASK_BINARY);
        lathe_fit all = {.key = 3}, bag = {.key = 4, .counts = r.counts};
        for (int i = 0; i < SETTINGS; i++) {
            compare(&r, LATHE_TASK_BINARY, settings[i], &all);
            compare(&r, LATHE_TASK_BINARY, settings[i], &bag);
        }
        free_rows(&r);
    }
}
END_TEST

/* Whole gradients, the greatest of which is the number of levels, and one hessian for all. */
START_TEST(gradients_that_are_levels) {
    const int64_t n = 80000;
    rows r = make_rows(n, LATHE_TASK_REGRESSION);
    for (int64_t i = 0; i < n; i++) {
        r.g[i] = (float)(int)(20 * r.y[i] - 60 + 20 * some(8, i));
        r.g[i] = r.g[i] > 128 ? 128 : r.g[i] < -128 ? -128 : r.g[i];
        r.h[i] = 1;
    }
    r.g[17] = 128;
    lathe_fit fit = {.key = 3, .gradient = r.g, .hessian = r.h, .gradient_stride = 1};
    for (int i = 0; i < SETTINGS; i++)
        compare(&r, LATHE_TASK_REGRESSION, settings[i], &fit);
    int32_t *some_rows = malloc((size_t)n * sizeof *some_rows);
    ck_assert_ptr_nonnull(some_rows);
    fit.rows = some_rows;
    for (int64_t i = 0; i < n; i++) /* more than 65535, or the levels were others */
        if (i % 10 != 3)
            some_rows[fit.n_rows_used++] = (int32_t)i;
    for (int i = 0; i < SETTINGS; i++)
        compare(&r, LATHE_TASK_REGRESSION, settings[i], &fit);
    free(some_rows);
    free_rows(&r);
}
END_TEST

/* Any gradients: the split is nearly as good, and the values of leaves are the exact means. */
START_TEST(rounded_gradients) {
    const int64_t n = 20000;
    rows r = make_rows(n, LATHE_TASK_REGRESSION);
    for (int64_t i = 0; i < n; i++) {
        r.g[i] = -r.y[i] * (float)(0.2 + some(10, i));
        r.h[i] = (float)(0.2 + some(11, i));
    }
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, n, F, r.x, r.y, NULL, signal_categories);
    lathe_instance trees[2];
    lathe_fit fit = {.key = 3, .gradient = r.g, .hessian = r.h, .gradient_stride = 1};
    float *fitted = malloc((size_t)n * sizeof *fitted);
    ck_assert_ptr_nonnull(fitted);
    double loss[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        const char *use = i ? "{\"tree\": {\"sums\": \"packed\", \"max_leaves\": 31}}"
                            : "{\"tree\": {\"sums\": \"exact\", \"max_leaves\": 31}}";
        fit.fitted = fitted;
        fit.fitted_stride = 1;
        must_fit(LEARNER, use, LATHE_TASK_REGRESSION, 0, data, &fit, &trees[i]);
        for (int64_t k = 0; k < n; k++)
            loss[i] += r.g[k] * fitted[k] + 0.5 * r.h[k] * fitted[k] * fitted[k];
    }
    ck_assert_msg(loss[1] < 0.995 * loss[0], "%g, exact %g", loss[1], loss[0]);
    for (int64_t k = 0; k < n; k++) { /* each leaf is -G / H of its rows */
        double g = 0, h = 0;
        if (k % 997 != 0)
            continue;
        for (int64_t i = 0; i < n; i++)
            if (fitted[i] == fitted[k]) {
                g += r.g[i];
                h += r.h[i];
            }
        ck_assert_double_eq_tol(fitted[k], -g / h, 1e-6 * fabs(g / h));
    }
    lathe_instance_destroy(&trees[0]);
    lathe_instance_destroy(&trees[1]);
    fixture_datasets(&fx)->release(data);
    free(fitted);
    free_rows(&r);
}
END_TEST

/* Fits twice in one context, so that the second tree may have columns of what the first one used. */
static void fit_again(const char *use, const lathe_dataset *data, const lathe_fit *fit,
                      lathe_instance *out) {
    lathe_error err = {0};
    void *context = NULL;
    lathe_open open = {
        .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = data};
    fixture_create(&fx, LEARNER, use, LATHE_TASK_REGRESSION, out);
    const lathe_learner *t = learner_of(out);
    fixture_ok(t->open(out->self, &open, &context, &err), &err, "open");
    for (int i = 0; i < 2; i++)
        fixture_ok(t->fit(out->self, context, fit, &err), &err, use);
    t->close(out->self, context);
}

/* Entries of 4 bytes and few levels of which all gradients are one; the larger set has columns. */
START_TEST(few_levels_that_are_whole) {
    const int64_t sizes[] = {20000, 280000};
    for (int s = 0; s < 4; s++) {
        rows r = make_rows(sizes[s / 2], LATHE_TASK_REGRESSION);
        for (int64_t i = 0; i < r.n; i++) {
            r.g[i] = (float)(int)(4 * r.y[i] - 12 + 4 * some(8, i));
            r.g[i] = r.g[i] > 2 ? 2 : r.g[i] < -2 ? -2 : r.g[i];
            r.h[i] = 1;
        }
        r.g[17] = 2;
        lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, r.n, F, r.x, r.y, NULL,
                                        s % 2 ? signal_categories : NULL);
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                         .key = 3,
                         .gradient = r.g,
                         .hessian = r.h,
                         .gradient_stride = 1};
        lathe_instance trees[2];
        fit_again("{\"tree\": {\"gradient_levels\": 4, \"max_leaves\": 90, \"min_rows\": 5}}", data,
                  &fit, &trees[0]);
        fit_again("{\"tree\": {\"sums\": \"exact\", \"max_leaves\": 90, \"min_rows\": 5}}", data,
                  &fit, &trees[1]);
        ck_assert(gain_of(&trees[0], F) > 0);
        ck_assert_msg(same_state(&trees[0], &trees[1]), "%d: few levels and exact differ", s);
        lathe_instance_destroy(&trees[0]);
        lathe_instance_destroy(&trees[1]);
        fixture_datasets(&fx)->release(data);
        free_rows(&r);
    }
}
END_TEST

/* Tight cells do not know the number of rows. A few heavy rows, all on one side of a good cut, look like many. */
START_TEST(few_levels_and_few_rows) {
    const int64_t n = 30000, min_rows = 30;
    rows r = make_rows(n, LATHE_TASK_REGRESSION);
    for (int64_t i = 0; i < n; i++) {
        int heavy = i % 1500 == 7;
        r.x[i * F] = heavy ? 100 : r.x[i * F];
        r.g[i] = heavy ? -2 : (float)(0.3 * (some(8, i) - 0.5) - 0.02 * r.y[i]);
        r.h[i] = heavy ? 1 : 0.04F;
    }
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, n, F, r.x, r.y, NULL, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                     .key = 3,
                     .gradient = r.g,
                     .hessian = r.h,
                     .gradient_stride = 1};
    lathe_open open = {
        .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = data};
    lathe_error err = {0};
    lathe_instance tree;
    void *context = NULL;
    int64_t n_leaves = 0, *count = calloc((size_t)n, sizeof *count);
    int32_t *leaf = malloc((size_t)n * sizeof *leaf);
    ck_assert(leaf && count);
    fixture_create(&fx, LEARNER, "{\"tree\": {\"gradient_levels\": 4, \"min_rows\": 30}}",
                   LATHE_TASK_REGRESSION, &tree);
    const lathe_learner *t = learner_of(&tree);
    fixture_ok(t->open(tree.self, &open, &context, &err), &err, "open");
    fixture_ok(t->fit(tree.self, context, &fit, &err), &err, "fit");
    fixture_ok(t->leaves(tree.self, context, leaf, &n_leaves, &err), &err, "leaves");
    for (int64_t i = 0; i < n; i++)
        count[leaf[i]]++;
    ck_assert_int_gt(n_leaves, 20);
    for (int64_t k = 0; k < n_leaves; k++)
        ck_assert_msg(count[k] >= min_rows, "leaf %lld has %lld rows", (long long)k,
                      (long long)count[k]);
    t->close(tree.self, context);
    lathe_instance_destroy(&tree);
    fixture_datasets(&fx)->release(data);
    free(leaf);
    free(count);
    free_rows(&r);
}
END_TEST

/* Few levels: not the same tree, but one that learns. */
START_TEST(few_levels) {
    const int64_t n = 20000;
    rows r = make_rows(n, LATHE_TASK_REGRESSION);
    for (int64_t i = 0; i < n; i++) {
        r.g[i] = 2 - r.y[i];
        r.h[i] = 1;
    }
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, n, F, r.x, r.y, NULL, signal_categories);
    const char *uses[] = {"{\"tree\": {\"max_leaves\": 31}}",
                          "{\"tree\": {\"max_leaves\": 31, \"gradient_levels\": 4}}"};
    lathe_instance trees[2];
    lathe_fit fit = {.key = 3, .gradient = r.g, .hessian = r.h, .gradient_stride = 1};
    for (int i = 0; i < 2; i++)
        must_fit(LEARNER, uses[i], LATHE_TASK_REGRESSION, 0, data, &fit, &trees[i]);
    ck_assert(!same_state(&trees[0], &trees[1]));
    ck_assert(gain_of(&trees[1], F) > 0.8 * gain_of(&trees[0], F));
    lathe_instance_destroy(&trees[0]);
    lathe_instance_destroy(&trees[1]);
    fixture_datasets(&fx)->release(data);
    free_rows(&r);
}
END_TEST

START_TEST(gradients_out_of_range) {
    rows r = make_rows(5000, LATHE_TASK_REGRESSION);
    for (int64_t i = 0; i < r.n; i++) {
        r.g[i] = 1;
        r.h[i] = 1;
    }
    lathe_dataset *data =
        make_data(LATHE_TASK_REGRESSION, 0, r.n, F, r.x, r.y, NULL, signal_categories);
    lathe_fit fit = {.gradient = r.g, .hessian = r.h, .gradient_stride = 1};
    r.g[4999] = NAN;
    must_not_fit(LEARNER, "tree", LATHE_TASK_REGRESSION, 0, data, &fit, LATHE_E_NUMERIC,
                 "row 4999 has gradient nan");
    r.g[4999] = 1;
    r.h[3] = -1;
    must_not_fit(LEARNER, "tree", LATHE_TASK_REGRESSION, 0, data, &fit, LATHE_E_NUMERIC,
                 "negative hessian");
    r.h[3] = -0.0f; /* is 0 */
    r.g[7] = 1e-42f;
    lathe_instance tree;
    must_fit(LEARNER, "tree", LATHE_TASK_REGRESSION, 0, data, &fit, &tree);
    lathe_instance_destroy(&tree);
    for (int64_t i = 0; i < r.n; i++)
        r.g[i] = r.h[i] = 0;
    must_fit(LEARNER, "tree", LATHE_TASK_REGRESSION, 0, data, &fit, &tree);
    ck_assert(predict_one(&tree, F, r.x) == 0);
    lathe_instance_destroy(&tree);
    fixture_datasets(&fx)->release(data);
    free_rows(&r);
}
END_TEST

int main(void) {
    Suite *s = suite_create("packed");
    TCase *c = tcase_create("packed");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, counts_of_two_classes);
    tcase_add_test(c, gradients_that_are_levels);
    tcase_add_test(c, rounded_gradients);
    tcase_add_test(c, few_levels_that_are_whole);
    tcase_add_test(c, few_levels_and_few_rows);
    tcase_add_test(c, few_levels);
    tcase_add_test(c, gradients_out_of_range);
    suite_add_tcase(s, c);
    return run_suite(s);
}
