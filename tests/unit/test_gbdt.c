/* gbdt: one round by hand, falling losses, renewed leaves, sampling, early stopping, and other
 * bases. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE

enum { N = 1500, F = 6, M = 500, ROUNDS = 300 };
static float x[(N + M) * F], y[N + M], out[(N + M) * 5];
static double train_loss[ROUNDS], validation_loss[ROUNDS];
static int n_train, n_validation;

static void watch(void *user, const lathe_event *e) {
    (void)user;
    if (e->type != LATHE_EVENT_METRIC || e->depth != 0 || e->step >= ROUNDS)
        return;
    if (strcmp(e->text, "train_loss") == 0) {
        train_loss[e->step] = e->value;
        n_train++;
    }
    if (strcmp(e->text, "validation_loss") == 0) {
        validation_loss[e->step] = e->value;
        n_validation++;
    }
}

static void setup_watched(void) {
    setup();
    lathe_runtime_free(fx.runtime);
    lathe_runtime_options options = {.catalogue = fx.catalogue, .pool = fx.pool, .on_event = watch};
    lathe_error err = {0};
    fixture_ok(lathe_runtime_new(&options, &fx.runtime, &err), &err, "runtime");
    fx.host = lathe_runtime_host(fx.runtime);
    n_train = n_validation = 0;
}

static lathe_dataset *signal_set(int32_t task, int64_t k) {
    signal_data(15, task, k, N + M, F, x, y);
    return make_data(task, k, N, F, x, y, NULL, signal_categories);
}

static lathe_dataset *test_set(int32_t task, int64_t k) {
    return make_data(task, k, M, F, x + N * F, y + N, NULL, signal_categories);
}

/* Squared error, one round: mean + rate * (leaf mean - mean); the hessian of (s - y)^2 / 2 is 1. */
START_TEST(one_round_by_hand) {
    const float xs[] = {0, 0, 1, 1}, ys[] = {1, 3, 6, 10};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 4, 1, xs, ys, NULL, NULL);
    lathe_instance g;
    must_fit(ENSEMBLE,
             "{\"gbdt\": {\"rounds\": 1, \"learning_rate\": 0.5, \"base\": {\"tree\": "
             "{\"min_rows\": 1}}}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &g);
    ck_assert(predict_one(&g, 1, xs) == 3.5f);     /* 5 + (2 - 5) / 2 */
    ck_assert(predict_one(&g, 1, xs + 2) == 6.5f); /* 5 + (8 - 5) / 2 */
    lathe_instance_destroy(&g);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Two classes, one round: F0 = log(p / (1 - p)); leaf = sum(y - p) / sum(p (1 - p)). */
START_TEST(one_round_of_classes_by_hand) {
    const float xs[] = {0, 0, 0, 0, 1, 1, 1, 1}, ys[] = {0, 0, 0, 0, 1, 1, 1, 0};
    lathe_dataset *data = make_data(LATHE_TASK_BINARY, 2, 8, 1, xs, ys, NULL, NULL);
    lathe_instance g;
    must_fit(ENSEMBLE,
             "{\"gbdt\": {\"rounds\": 1, \"learning_rate\": 1, \"base\": {\"tree\": {\"min_rows\": "
             "1}}}}",
             LATHE_TASK_BINARY, 2, data, NULL, &g);
    double p = 3.0 / 8, start = log(p / (1 - p)), h = 4 * p * (1 - p);
    double low = start - 4 * p / h, high = start + (3 - 4 * p) / h;
    ck_assert_double_eq_tol(predict_one(&g, 1, xs), 1 / (1 + exp(-low)), 1e-6);
    ck_assert_double_eq_tol(predict_one(&g, 1, xs + 4), 1 / (1 + exp(-high)), 1e-6);
    lathe_instance_destroy(&g);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Absolute error: the leaves are the medians of the residuals. */
START_TEST(leaves_are_renewed) {
    const float xs[] = {0, 0, 0, 1, 1, 1}, ys[] = {1, 2, 90, 200, 201, 500};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 6, 1, xs, ys, NULL, NULL);
    lathe_instance g;
    must_fit(ENSEMBLE,
             "{\"gbdt\": {\"rounds\": 1, \"learning_rate\": 1, \"loss\": \"mae\", \"base\": "
             "{\"tree\": {\"min_rows\": 1}}}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &g);
    ck_assert_float_eq_tol(predict_one(&g, 1, xs), 2, 1e-4f);
    ck_assert_float_eq_tol(predict_one(&g, 1, xs + 3), 201, 1e-3f);
    check_round_trip(&g, 6, 1, xs);
    lathe_instance_destroy(&g);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(the_training_loss_falls) {
    const struct {
        const char *use;
        int32_t task;
        int64_t k;
        double share; /* last loss at most this share of the first */
    } cases[] = {
        {"{\"gbdt\": {\"rounds\": 40}}", LATHE_TASK_REGRESSION, 0, 0.2},
        {"{\"gbdt\": {\"rounds\": 40}}", LATHE_TASK_BINARY, 2, 0.3},
        {"{\"gbdt\": {\"rounds\": 40}}", LATHE_TASK_MULTICLASS, 5, 0.3},
        {"{\"gbdt\": {\"rounds\": 40, \"loss\": \"mae\"}}", LATHE_TASK_REGRESSION, 0, 0.5},
        {"{\"gbdt\": {\"rounds\": 40, \"loss\": {\"quantile\": {\"alpha\": 0.8}}}}",
         LATHE_TASK_REGRESSION, 0, 0.6},
        {"{\"gbdt\": {\"rounds\": 40, \"loss\": \"huber\"}}", LATHE_TASK_REGRESSION, 0, 0.5},
        {"{\"gbdt\": {\"rounds\": 40, \"loss\": \"poisson\"}}", LATHE_TASK_REGRESSION, 0, 1.0},
        {"{\"gbdt\": {\"rounds\": 40, \"loss\": \"hinge\"}}", LATHE_TASK_BINARY, 2, 0.6},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lathe_dataset *data = signal_set(cases[c].task, cases[c].k);
        lathe_instance g;
        n_train = 0;
        must_fit(ENSEMBLE, cases[c].use, cases[c].task, cases[c].k, data, NULL, &g);
        ck_assert_int_eq(n_train, 40);
        for (int r = 1; r < 40; r++)
            ck_assert_msg(train_loss[r] <= train_loss[r - 1] + 1e-3 * fabs(train_loss[r - 1]),
                          "%s: round %d rose from %g to %g", cases[c].use, r, train_loss[r - 1],
                          train_loss[r]);
        ck_assert_msg(train_loss[39] <= cases[c].share * train_loss[0], "%s: %g after %g",
                      cases[c].use, train_loss[39], train_loss[0]);
        check_round_trip(&g, 60, F, x);
        lathe_instance_destroy(&g);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* The scores that training saw are the ones that predict gives. */
START_TEST(fitted_is_predicted) {
    static float fitted[N * 5];
    for (int64_t k = 0; k <= 5; k += 5) {
        int32_t task = k ? LATHE_TASK_MULTICLASS : LATHE_TASK_REGRESSION;
        lathe_dataset *data = signal_set(task, k);
        int64_t width = k ? k : 1;
        lathe_fit fit = {.fitted = fitted, .fitted_stride = width};
        lathe_instance g;
        must_fit(ENSEMBLE, "{\"gbdt\": {\"rounds\": 10}}", task, k, data, &fit, &g);
        predict(&g, N, F, x, out);
        ck_assert_mem_eq(out, fitted, (size_t)(N * width) * sizeof(float));
        if (k == 0) {
            double loss = 0;
            for (int i = 0; i < N; i++)
                loss += ((double)out[i] - y[i]) * ((double)out[i] - y[i]) / N;
            double ratio = loss / train_loss[9]; /* 1 or 2, by whether the loss halves the square */
            ck_assert(fabs(ratio - 1) < 1e-6 || fabs(ratio - 2) < 1e-6);
        }
        lathe_instance_destroy(&g);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(early_stopping_keeps_the_best) {
    lathe_dataset *data = signal_set(LATHE_TASK_BINARY, 2), *test = test_set(LATHE_TASK_BINARY, 2);
    lathe_instance stopped, full;
    lathe_error err = {0};
    const char *base = "\"base\": {\"tree\": {\"max_leaves\": 40, \"min_rows\": 2}}";
    char use[256];
    snprintf(use, sizeof use,
             "{\"gbdt\": {\"rounds\": 300, \"learning_rate\": 0.3, \"early_stopping\": 5, %s}}",
             base);
    fixture_ok(try_fit(ENSEMBLE, use, LATHE_TASK_BINARY, 2, data, test, NULL, &stopped, &err), &err,
               use);
    ck_assert_int_eq(n_train, n_validation);
    ck_assert_int_lt(n_train, 300);
    int best = 0;
    for (int r = 0; r < n_validation; r++)
        best = validation_loss[r] < validation_loss[best] ? r : best;
    ck_assert_int_eq(n_validation, best + 1 + 5);
    snprintf(use, sizeof use, "{\"gbdt\": {\"rounds\": %d, \"learning_rate\": 0.3, %s}}", best + 1,
             base);
    must_fit(ENSEMBLE, use, LATHE_TASK_BINARY, 2, data, NULL, &full);
    ck_assert(same_state(&stopped, &full));
    predict(&stopped, M, F, x + N * F, out);
    double loss = 0;
    for (int i = 0; i < M; i++)
        loss -= log(y[N + i] > 0 ? out[i] : 1 - out[i]) / M;
    ck_assert_double_eq_tol(loss, validation_loss[best], 1e-5);
    lathe_instance_destroy(&stopped);
    lathe_instance_destroy(&full);
    fixture_datasets(&fx)->release(data);
    fixture_datasets(&fx)->release(test);
}
END_TEST

/* Weight 0, rows and a narrower dataset are the same thing. */
START_TEST(weight_zero_is_absent) {
    static float w[N];
    static int32_t rows[N];
    int64_t n = 0;
    for (int i = 0; i < N; i++) {
        w[i] = some(4, i) < 0.4 ? 0 : 1;
        if (w[i] > 0)
            rows[n++] = i;
    }
    for (int64_t k = 0; k <= 3; k += 3) {
        int32_t task = k ? LATHE_TASK_MULTICLASS : LATHE_TASK_REGRESSION;
        lathe_dataset *data = signal_set(task, k), *view = NULL;
        lathe_instance a, b, c;
        lathe_error err = {0};
        const char *use = "{\"gbdt\": {\"rounds\": 6, \"row_share\": 0.7, \"feature_share\": 0.6}}";
        lathe_fit by_weight = {.weight = w, .key = 2},
                  by_rows = {.rows = rows, .n_rows_used = n, .key = 2};
        lathe_fit plain = {.key = 2};
        fixture_ok(fixture_datasets(&fx)->view(data, rows, n, &view, &err), &err, "view");
        must_fit(ENSEMBLE, use, task, k, data, &by_weight, &a);
        must_fit(ENSEMBLE, use, task, k, data, &by_rows, &b);
        must_fit(ENSEMBLE, use, task, k, view, &plain, &c);
        ck_assert(same_state(&a, &b));
        ck_assert(same_state(&a, &c)); /* rows are drawn by their number in the source */
        lathe_instance_destroy(&a);
        lathe_instance_destroy(&b);
        lathe_instance_destroy(&c);
        fixture_datasets(&fx)->release(view);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(any_base_serves) {
    const char *uses[] = {
        "{\"gbdt\": {\"rounds\": 4, \"base\": {\"random_forest\": {\"trees\": 4}}}}",
        "{\"gbdt\": {\"rounds\": 4, \"learning_rate\": 1, \"base\": {\"tree\": {\"max_leaves\": "
        "2}}}}",
        "{\"gbdt\": {\"rounds\": 4, \"loss\": \"mae\", \"base\": {\"random_forest\": {\"trees\": "
        "4}}}}"};
    for (size_t u = 0; u < sizeof uses / sizeof *uses; u++)
        for (int64_t k = 0; k <= 3; k += 3) {
            int32_t task = k ? LATHE_TASK_MULTICLASS : LATHE_TASK_REGRESSION;
            if (k && u == 2)
                continue;
            lathe_dataset *data = signal_set(task, k);
            lathe_instance g;
            must_fit(ENSEMBLE, uses[u], task, k, data, NULL, &g);
            ck_assert(train_loss[3] < train_loss[0]);
            check_round_trip(&g, 40, F, x);
            lathe_instance_destroy(&g);
            fixture_datasets(&fx)->release(data);
        }
}
END_TEST

START_TEST(hard_data) {
    static float bad[N], none[N], same[N], g[N];
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    memcpy(bad, y, sizeof bad);
    bad[3] = NAN;
    for (int i = 0; i < N; i++)
        same[i] = 4.25f;
    lathe_fit nan_target = {.target = bad}, no_rows = {.weight = none}, constant = {.target = same};
    lathe_fit gradients = {.gradient = g, .hessian = same, .gradient_stride = 1};
    must_not_fit(ENSEMBLE, "gbdt", LATHE_TASK_REGRESSION, 0, data, &nan_target, LATHE_E_DATA,
                 "target of row 3");
    must_not_fit(ENSEMBLE, "gbdt", LATHE_TASK_REGRESSION, 0, data, &no_rows, LATHE_E_DATA,
                 "no row has a weight");
    must_not_fit(ENSEMBLE, "gbdt", LATHE_TASK_REGRESSION, 0, data, &gradients, LATHE_E_UNSUPPORTED,
                 "not gradients");
    lathe_instance i;
    must_fit(ENSEMBLE, "{\"gbdt\": {\"rounds\": 3}}", LATHE_TASK_REGRESSION, 0, data, &constant,
             &i);
    ck_assert(predict_one(&i, F, x) == 4.25f);
    lathe_instance_destroy(&i);
    fixture_datasets(&fx)->release(data);
    lathe_dataset *one = make_data(LATHE_TASK_REGRESSION, 0, 1, 1, same, same, NULL, NULL);
    must_fit(ENSEMBLE, "{\"gbdt\": {\"rounds\": 3}}", LATHE_TASK_REGRESSION, 0, one, NULL, &i);
    ck_assert(predict_one(&i, 1, same) == 4.25f);
    lathe_instance_destroy(&i);
    fixture_datasets(&fx)->release(one);
}
END_TEST

START_TEST(states_that_lie_are_refused) {
    lathe_dataset *data = signal_set(LATHE_TASK_MULTICLASS, 3);
    lathe_instance g;
    must_fit(ENSEMBLE, "{\"gbdt\": {\"rounds\": 2}}", LATHE_TASK_MULTICLASS, 3, data, NULL, &g);
    double start[3] = {0, NAN, 0};
    must_not_load(&g, "start", start, 0, "start score");
    must_not_load(&g, "outputs", NULL, 2, "");
    must_not_load(&g, "members", NULL, 5, "do not make rounds");
    must_not_load(&g, "features", NULL, 2, "features");
    must_not_load(&g, "sum/outputs", NULL, 2, "");
    lathe_instance_destroy(&g);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(threads_change_no_bit) {
    const char *use = "{\"gbdt\": {\"rounds\": 5, \"row_share\": 0.8, \"feature_share\": 0.7}}";
    check_threads(ENSEMBLE, use, LATHE_TASK_REGRESSION, 0, 30000);
    check_threads(ENSEMBLE, use, LATHE_TASK_MULTICLASS, 4, 5000);
    check_threads(ENSEMBLE, "{\"gbdt\": {\"rounds\": 5, \"loss\": \"mae\"}}", LATHE_TASK_REGRESSION,
                  0, 20000);
}
END_TEST

/* One leaf a tree, rate 1: a round adds the mean residual of its rows, so the mean over many samples is the mean
 * of all where the sums keep their expectation. The residuals are skewed: the large ones alone would be far off. */
START_TEST(gradient_sampling_keeps_the_sums) {
    enum { ROWS = 1000, TRIES = 300 };
    float ones[ROWS] = {0};
    double mean = 0, square = 0, got = 0;
    for (int i = 0; i < ROWS; i++) {
        y[i] = (float)-log(1 - some(3, i));
        mean += (double)y[i] / ROWS;
    }
    for (int i = 0; i < ROWS; i++)
        ones[i] = i % 2;
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, ROWS, 1, ones, y, NULL, NULL);
    for (int t = 0; t < TRIES; t++) {
        lathe_instance g;
        lathe_fit fit = {.key = 100 + (uint64_t)t};
        must_fit(ENSEMBLE,
                 "{\"gbdt\": {\"rounds\": 1, \"learning_rate\": 1, \"sampling\": \"gradient\", "
                 "\"top_share\": 0.1, \"other_share\": 0.1, \"base\": {\"tree\": {\"max_leaves\": "
                 "1}}}}",
                 LATHE_TASK_REGRESSION, 0, data, &fit, &g);
        double p = predict_one(&g, 1, ones);
        got += p / TRIES;
        square += (p - mean) * (p - mean) / TRIES;
        lathe_instance_destroy(&g);
    }
    double error = sqrt(square / TRIES);
    ck_assert_msg(error > 1e-4, "there is no sampling");
    ck_assert_msg(fabs(got - mean) < 4 * error + 0.002, "%g, not %g (error %g)", got, mean, error);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(gradient_sampling_learns_as_well) {
    static const char *const uses[] = {
        "{\"gbdt\": {\"rounds\": 80, \"base\": {\"tree\": {\"max_leaves\": 15}}}}",
        "{\"gbdt\": {\"rounds\": 80, \"sampling\": \"gradient\", \"base\": {\"tree\": "
        "{\"max_leaves\": "
        "15}}}}"};
    double rmse[2];
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    for (int u = 0; u < 2; u++) {
        lathe_instance g;
        double sum = 0;
        must_fit(ENSEMBLE, uses[u], LATHE_TASK_REGRESSION, 0, data, NULL, &g);
        predict(&g, N + M, F, x, out);
        for (int i = N; i < N + M; i++)
            sum += ((double)out[i] - y[i]) * ((double)out[i] - y[i]);
        rmse[u] = sqrt(sum / M);
        lathe_instance_destroy(&g);
    }
    ck_assert_msg(rmse[1] < 1.25 * rmse[0], "all rows %g, sampled %g", rmse[0], rmse[1]);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Equal gradients: as many of them are taken as wanted, not all. A third of the rows cannot be split into leaves of 400
 * rows; nearly all can. */
START_TEST(equal_gradients_do_not_count_as_large) {
    lathe_instance g;
    lathe_dataset *data;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % 50);
        y[i] = (float)(i % 50 >= 25);
    }
    data = make_data(LATHE_TASK_BINARY, 2, N, 1, x, y, NULL, NULL);
    for (int share = 0; share < 2; share++) {
        must_fit(ENSEMBLE,
                 share
                     ? "{\"gbdt\": {\"rounds\": 1, \"sampling\": \"gradient\", \"top_share\": 0.9, "
                       "\"other_share\": 0.05, \"base\": {\"tree\": {\"min_rows\": 400}}}}"
                     : "{\"gbdt\": {\"rounds\": 1, \"sampling\": \"gradient\", \"top_share\": 0.3, "
                       "\"other_share\": 0.05, \"base\": {\"tree\": {\"min_rows\": 400}}}}",
                 LATHE_TASK_BINARY, 2, data, NULL, &g);
        ck_assert_msg((gain_of(&g, 1) > 0) == share, "share %d", share);
        lathe_instance_destroy(&g);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(gradient_sampling_is_the_same_on_any_threads) {
    check_threads(ENSEMBLE,
                  "{\"gbdt\": {\"rounds\": 6, \"sampling\": \"gradient\", \"feature_share\": 0.8}}",
                  LATHE_TASK_REGRESSION, 0, 30000);
    check_threads(ENSEMBLE, "{\"gbdt\": {\"rounds\": 4, \"sampling\": \"gradient\"}}",
                  LATHE_TASK_MULTICLASS, 3, 9000);
    check_threads(ENSEMBLE, "{\"gbdt\": {\"rounds\": 6, \"row_share\": 0.4}}", LATHE_TASK_BINARY, 2,
                  20000);
}
END_TEST

START_TEST(gradient_sampling_needs_its_rules) {
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    must_not_fit(ENSEMBLE, "{\"gbdt\": {\"loss\": \"mae\", \"sampling\": \"gradient\"}}",
                 LATHE_TASK_REGRESSION, 0, data, NULL, LATHE_E_UNSUPPORTED, "gradients of mae");
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("gbdt");
    TCase *c = tcase_create("gbdt");
    tcase_add_checked_fixture(c, setup_watched, teardown);
    tcase_add_test(c, one_round_by_hand);
    tcase_add_test(c, one_round_of_classes_by_hand);
    tcase_add_test(c, leaves_are_renewed);
    tcase_add_test(c, the_training_loss_falls);
    tcase_add_test(c, fitted_is_predicted);
    tcase_add_test(c, early_stopping_keeps_the_best);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, any_base_serves);
    tcase_add_test(c, hard_data);
    tcase_add_test(c, states_that_lie_are_refused);
    tcase_add_test(c, threads_change_no_bit);
    tcase_add_test(c, gradient_sampling_keeps_the_sums);
    tcase_add_test(c, gradient_sampling_learns_as_well);
    tcase_add_test(c, equal_gradients_do_not_count_as_large);
    tcase_add_test(c, gradient_sampling_is_the_same_on_any_threads);
    tcase_add_test(c, gradient_sampling_needs_its_rules);
    suite_add_tcase(s, c);
    return run_suite(s);
}
