/* random_forest: the mean of its trees, its sampling, its score out of the bag, and other bases. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE

enum { N = 1200, F = 6, M = 4000 };
static float x[(N + M) * F], y[N + M], out[(N + M) * 5];

static lathe_dataset *signal_set(int32_t task, int64_t k, const float *w) {
    signal_data(5, task, k, N + M, F, x, y); /* the last M rows are for testing */
    return make_data(task, k, N, F, x, y, w, signal_categories);
}

static double rmse_of(const float *p) {
    double sum = 0;
    for (int i = N; i < N + M; i++)
        sum += ((double)p[i] - y[i]) * ((double)p[i] - y[i]);
    return sqrt(sum / M);
}

static double accuracy_of(const float *p, int64_t k) {
    int right = 0;
    for (int i = N; i < N + M; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < k; c++)
            best = p[i * k + c] > p[i * k + best] ? c : best;
        right += k == 1 ? (p[i] > 0.5f) == (y[i] > 0.5f) : best == (int64_t)y[i];
    }
    return (double)right / M;
}

START_TEST(a_forest_beats_a_tree) {
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance tree, forest;
    must_fit(LATHE_KIND_LEARNER, "{\"tree\": {\"max_leaves\": null, \"min_rows\": 1}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &tree);
    must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 40}}", LATHE_TASK_REGRESSION, 0, data, NULL,
             &forest);
    predict(&tree, N + M, F, x, out);
    double alone = rmse_of(out);
    predict(&forest, N + M, F, x, out);
    ck_assert_msg(rmse_of(out) < 0.85 * alone, "forest %g, tree %g", rmse_of(out), alone);
    check_round_trip(&forest, 100, F, x);
    ck_assert(gain_of(&forest, F) > 0);
    lathe_instance_destroy(&tree);
    lathe_instance_destroy(&forest);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(classes_are_learned) {
    for (int64_t k = 2; k <= 4; k += 2) {
        int32_t task = k == 2 ? LATHE_TASK_BINARY : LATHE_TASK_MULTICLASS;
        lathe_dataset *data = signal_set(task, k, NULL);
        lathe_instance forest;
        must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 30}}", task, k, data, NULL, &forest);
        int64_t width = width_of(&forest);
        ck_assert_int_eq(width, k == 2 ? 1 : k);
        predict(&forest, N + M, F, x, out);
        ck_assert_msg(accuracy_of(out, width) > 0.85, "k %d: %g", (int)k, accuracy_of(out, width));
        for (int i = 0; i < N + M; i++) {
            double sum = 0;
            for (int64_t c = 0; c < width; c++)
                sum += out[i * width + c];
            ck_assert(width == 1 ? sum >= 0 && sum <= 1 : fabs(sum - 1) < 1e-5);
        }
        check_round_trip(&forest, 100, F, x);
        lathe_instance_destroy(&forest);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* Without sampling every tree is the same one, and so is their mean. */
START_TEST(without_sampling_it_is_one_tree) {
    static float a[N], b[N];
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance tree, forest;
    must_fit(LATHE_KIND_LEARNER, "{\"tree\": {\"max_leaves\": 16, \"min_rows\": 2}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &tree);
    must_fit(ENSEMBLE,
             "{\"random_forest\": {\"trees\": 4, \"bootstrap\": false, \"base\": {\"tree\": "
             "{\"max_leaves\": 16, "
             "\"min_rows\": 2}}}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &forest);
    predict(&tree, N, F, x, a);
    predict(&forest, N, F, x, b);
    ck_assert_mem_eq(a, b, sizeof a); /* 4 * 0.25 * v is v */
    lathe_instance_destroy(&tree);
    lathe_instance_destroy(&forest);
    fixture_datasets(&fx)->release(data);
}
END_TEST

static double oob_value;
static int oob_points;

static void watch(void *user, const lathe_event *e) {
    (void)user;
    if (e->type == LATHE_EVENT_METRIC && strncmp(e->text, "oob_", 4) == 0) {
        oob_value = e->value;
        oob_points++;
    }
}

static void watch_metrics(void) {
    lathe_runtime_free(fx.runtime);
    lathe_runtime_options options = {.catalogue = fx.catalogue, .pool = fx.pool, .on_event = watch};
    lathe_error err = {0};
    fixture_ok(lathe_runtime_new(&options, &fx.runtime, &err), &err, "runtime");
    fx.host = lathe_runtime_host(fx.runtime);
}

/* The score out of the bag is close to that of unseen rows, and far from that of the training rows.
 * */
START_TEST(out_of_bag_is_honest) {
    watch_metrics();
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance forest;
    oob_points = 0;
    must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 160, \"oob_score\": true}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &forest);
    predict(&forest, N + M, F, x, out);
    double test = rmse_of(out), train = 0;
    for (int i = 0; i < N; i++)
        train += ((double)out[i] - y[i]) * ((double)out[i] - y[i]) / N;
    ck_assert_int_eq(oob_points, 10); /* blocks of 16 trees */
    ck_assert_msg(fabs(oob_value - test) < 0.15 * test, "out of bag %g, test %g", oob_value, test);
    ck_assert(sqrt(train) < 0.7 * oob_value);
    lathe_instance_destroy(&forest);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* A row's weight 0 takes it out; fitted is what predict says; a subset is what the rows say. */
/* Means of oob_score_ (of values: the root of the mean square) over 6 seeds of scikit-learn 1.9's forests of 300 trees
 * on these rows; they vary by 0.004, 0.005 and 0.07. */
START_TEST(out_of_bag_as_scikit_learn_has_it) {
    enum { ROWS = 300 };
    static float values[ROWS], two[ROWS], three[ROWS];
    const struct {
        int32_t task;
        int64_t k;
        const float *target;
        double score, tolerance;
    } cases[] = {{LATHE_TASK_BINARY, 2, two, 0.8889, 0.018},
                 {LATHE_TASK_MULTICLASS, 3, three, 0.8989, 0.02},
                 {LATHE_TASK_REGRESSION, 0, values, 9.725, 0.5}};
    watch_metrics();
    whole_rows(ROWS, x, values, two, three);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lathe_dataset *data =
            make_data(cases[i].task, cases[i].k, ROWS, 4, x, cases[i].target, NULL, NULL);
        lathe_instance forest;
        oob_points = 0;
        must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 304, \"oob_score\": true}}",
                 cases[i].task, cases[i].k, data, NULL, &forest);
        ck_assert_int_eq(oob_points, 19);
        ck_assert_msg(fabs(oob_value - cases[i].score) < cases[i].tolerance, "%g, expected %g",
                      oob_value, cases[i].score);
        lathe_instance_destroy(&forest);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(weights_rows_and_fitted) {
    static float fitted[N * 2], w[N];
    static int32_t rows[N];
    int64_t n = 0;
    for (int i = 0; i < N; i++) {
        w[i] = i % 3 == 0 ? 0 : 1;
        if (w[i] > 0)
            rows[n++] = i;
    }
    lathe_dataset *data = signal_set(LATHE_TASK_BINARY, 2, NULL);
    lathe_instance a, b;
    const char *use = "{\"random_forest\": {\"trees\": 8}}";
    lathe_fit by_weight = {.weight = w, .key = 4, .fitted = fitted, .fitted_stride = 2};
    lathe_fit by_rows = {.rows = rows, .n_rows_used = n, .key = 4};
    must_fit(ENSEMBLE, use, LATHE_TASK_BINARY, 2, data, &by_weight, &a);
    must_fit(ENSEMBLE, use, LATHE_TASK_BINARY, 2, data, &by_rows, &b);
    ck_assert(same_state(&a, &b));
    predict(&a, N, F, x, out);
    for (int i = 0; i < N; i++)
        ck_assert(out[i] == fitted[2 * i]);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(any_base_serves) {
    const char *uses[] = {
        "{\"random_forest\": {\"trees\": 3, \"base\": {\"gbdt\": {\"rounds\": 5}}}}",
        "{\"random_forest\": {\"trees\": 3, \"base\": {\"random_forest\": {\"trees\": 3}}}}",
        "{\"random_forest\": {\"trees\": 3, \"base\": {\"adaboost\": {\"rounds\": 5}}}}"};
    for (size_t u = 0; u < sizeof uses / sizeof *uses; u++)
        for (int64_t k = 0; k <= 3; k++) {
            int32_t task = k == 0   ? LATHE_TASK_REGRESSION
                           : k == 2 ? LATHE_TASK_BINARY
                                    : LATHE_TASK_MULTICLASS;
            if (k == 1)
                continue;
            lathe_dataset *data = signal_set(task, k, NULL);
            lathe_instance forest;
            must_fit(ENSEMBLE, uses[u], task, k, data, NULL, &forest);
            check_round_trip(&forest, 40, F, x);
            lathe_instance_destroy(&forest);
            fixture_datasets(&fx)->release(data);
        }
}
END_TEST

START_TEST(bad_input_is_refused) {
    static float bad[N], none[N];
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0, NULL);
    memcpy(bad, y, sizeof bad);
    bad[17] = NAN;
    lathe_fit nan_target = {.target = bad}, no_rows = {.weight = none};
    must_not_fit(ENSEMBLE, "{\"random_forest\": {\"bootstrap\": false}}", LATHE_TASK_REGRESSION, 0,
                 data, &nan_target, LATHE_E_DATA, "target of row 17");
    must_not_fit(ENSEMBLE, "random_forest", LATHE_TASK_REGRESSION, 0, data, &no_rows, LATHE_E_DATA,
                 "no row");
    lathe_instance forest;
    must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 2}}", LATHE_TASK_REGRESSION, 0, data, NULL,
             &forest);
    must_not_load(&forest, "outputs", NULL, 2, "outputs");
    must_not_load(&forest, "features", NULL, 1, "features");
    must_not_load(&forest, "members", NULL, 0, "");
    must_not_load(&forest, "sum/trees", NULL, 1, "");
    lathe_instance_destroy(&forest);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(one_row_is_enough) {
    const float one[] = {1, 2}, target[] = {3};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 1, 2, one, target, NULL, NULL);
    lathe_instance forest;
    must_fit(ENSEMBLE, "{\"random_forest\": {\"trees\": 5}}", LATHE_TASK_REGRESSION, 0, data, NULL,
             &forest);
    ck_assert_float_eq_tol(predict_one(&forest, 2, one), 3, 1e-6f);
    lathe_instance_destroy(&forest);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(threads_change_no_bit) {
    const char *use = "{\"random_forest\": {\"trees\": 10, \"oob_score\": true}}";
    check_threads(ENSEMBLE, use, LATHE_TASK_REGRESSION, 0, 3000);
    check_threads(ENSEMBLE, use, LATHE_TASK_BINARY, 2, 3000);
    check_threads(ENSEMBLE, use, LATHE_TASK_MULTICLASS, 5, 3000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("random_forest");
    TCase *c = tcase_create("random_forest");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_forest_beats_a_tree);
    tcase_add_test(c, classes_are_learned);
    tcase_add_test(c, without_sampling_it_is_one_tree);
    tcase_add_test(c, out_of_bag_is_honest);
    tcase_add_test(c, out_of_bag_as_scikit_learn_has_it);
    tcase_add_test(c, weights_rows_and_fitted);
    tcase_add_test(c, any_base_serves);
    tcase_add_test(c, bad_input_is_refused);
    tcase_add_test(c, one_row_is_enough);
    tcase_add_test(c, threads_change_no_bit);
    suite_add_tcase(s, c);
    return run_suite(s);
}
