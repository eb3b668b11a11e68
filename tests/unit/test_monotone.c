/* Monotone constraints: a property of every prediction, whatever grew the trees. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE
#define LEARNER LATHE_KIND_LEARNER

enum { N = 1500, F = 6, BASES = 40, GRID = 160 };
static float x[N * F], y[N], w[N], grid[GRID * F], out[GRID];

/* x0 falls where it must rise, x3 waves; x1 misses values, x2 is a category. */
static lathe_dataset *noisy_data(uint64_t key, int32_t task, int weighted) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < F; j++)
            x[i * F + j] = (float)some(key, i * F + j);
        x[i * F + 2] = (float)(int)(x[i * F + 2] * 5);
        double s = -1.5 * x[i * F] + sin(9 * x[i * F + 3]) + x[i * F + 4] +
                   ((int)x[i * F + 2] % 2 ? 0.7 : 0) + 2 * (some(key + 1, i) - 0.5);
        if (some(key + 2, i) < 0.15)
            x[i * F + 1] = x[i * F + 3] = NAN;
        y[i] = task == LATHE_TASK_REGRESSION ? (float)s : s > 0.2;
        w[i] = (float)some(key + 3, i);
    }
    return make_data(task, task == LATHE_TASK_BINARY ? 2 : 0, N, F, x, y, weighted ? w : NULL,
                     signal_categories);
}

/* How often a prediction goes the wrong way as feature f goes up, all others being equal. */
static int violations(const lathe_instance *model, int f, int sign) {
    int wrong = 0;
    for (int b = 0; b < BASES; b++) {
        for (int g = 0; g < GRID; g++) {
            memcpy(grid + g * F, x + (b * 31 % N) * F, F * sizeof *grid);
            grid[g * F + f] = -0.1f + 1.2f * (float)g / (GRID - 1);
        }
        predict(model, GRID, F, grid, out);
        for (int g = 1; g < GRID; g++)
            wrong += sign > 0 ? out[g] < out[g - 1] : out[g] > out[g - 1];
    }
    return wrong;
}

#define LIMITS "\"monotone\": {\"x0\": 1, \"x3\": -1}"
#define FREE "\"min_rows\": 5"
#define LEAVES "\"max_leaves\": 24, "
#define DEPTH "\"max_leaves\": null, \"max_depth\": 6, "

static const struct {
    const char *kind;
    const char *use; /* %s: what bounds the tree, and what constrains it */
    int32_t task;
    int weighted;
} uses[] = {
    {LEARNER, "{\"tree\": {%s%s, \"sums\": \"exact\"}}", LATHE_TASK_REGRESSION, 0},
    {LEARNER, "{\"tree\": {%s%s, \"l2\": 3}}", LATHE_TASK_REGRESSION, 1},
    {LEARNER, "{\"tree\": {%s%s}}", LATHE_TASK_BINARY, 0},
    {LEARNER, "{\"tree\": {%s%s, \"sums\": \"exact\"}}", LATHE_TASK_BINARY, 1},
    {LEARNER, "{\"tree\": {%s%s, \"sums\": \"packed\"}}", LATHE_TASK_BINARY, 1},
    {LEARNER, "{\"tree\": {%s%s, \"criterion\": \"entropy\"}}", LATHE_TASK_BINARY, 0},
    {ENSEMBLE, "{\"gbdt\": {\"rounds\": 12, \"base\": {\"tree\": {%s%s, \"sums\": \"exact\"}}}}",
     LATHE_TASK_REGRESSION, 0},
    {ENSEMBLE, "{\"gbdt\": {\"rounds\": 12, \"base\": {\"tree\": {%s%s, \"sums\": \"packed\"}}}}",
     LATHE_TASK_REGRESSION, 1},
    {ENSEMBLE, "{\"gbdt\": {\"rounds\": 12, \"base\": {\"tree\": {%s%s, \"sums\": \"packed\"}}}}",
     LATHE_TASK_BINARY, 0},
    {ENSEMBLE,
     "{\"gbdt\": {\"rounds\": 12, \"loss\": \"mae\", \"base\": {\"tree\": {%s%s, \"sums\": "
     "\"packed\"}}}}",
     LATHE_TASK_REGRESSION, 0},
    {ENSEMBLE,
     "{\"gbdt\": {\"rounds\": 12, \"loss\": {\"quantile\": {\"alpha\": 0.8}}, \"row_share\": 0.6, "
     "\"base\": {\"tree\": {%s%s, \"sums\": \"exact\"}}}}",
     LATHE_TASK_REGRESSION, 1},
    {ENSEMBLE, "{\"random_forest\": {\"trees\": 8, \"base\": {\"tree\": {%s%s}}}}",
     LATHE_TASK_REGRESSION, 0},
    {ENSEMBLE,
     "{\"random_forest\": {\"trees\": 8, \"base\": {\"tree\": {%s%s, \"features_per_split\": "
     "\"sqrt\"}}}}",
     LATHE_TASK_BINARY, 0},
    {ENSEMBLE, "{\"bagging\": {\"estimators\": 4, \"base\": {\"tree\": {%s%s}}}}",
     LATHE_TASK_BINARY, 1},
    {ENSEMBLE, "{\"adaboost\": {\"rounds\": 6, \"base\": {\"tree\": {%s%s}}}}", LATHE_TASK_BINARY,
     0},
};

START_TEST(predictions_keep_the_order) {
    for (int growth = 0; growth < 2; growth++) {
        char use[400];
        lathe_instance model;
        lathe_dataset *data = noisy_data(100 + (uint64_t)_i, uses[_i].task, uses[_i].weighted);
        int64_t k = uses[_i].task == LATHE_TASK_BINARY ? 2 : 0;
        snprintf(use, sizeof use, uses[_i].use, growth ? DEPTH : LEAVES, FREE);
        must_fit(uses[_i].kind, use, uses[_i].task, k, data, NULL, &model);
        ck_assert_msg(violations(&model, 0, 1) > 0 && violations(&model, 3, -1) > 0,
                      "%s: nothing to constrain", use);
        lathe_instance_destroy(&model);
        snprintf(use, sizeof use, uses[_i].use, growth ? DEPTH : LEAVES, FREE ", " LIMITS);
        must_fit(uses[_i].kind, use, uses[_i].task, k, data, NULL, &model);
        ck_assert_msg(violations(&model, 0, 1) == 0, "%s: x0", use);
        ck_assert_msg(violations(&model, 3, -1) == 0, "%s: x3", use);
        ck_assert_msg(gain_of(&model, F) > 0, "%s: no split at all", use);
        check_round_trip(&model, 30, F, x);
        lathe_instance_destroy(&model);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* A forest of unbounded trees: the way of small nodes is not taken. */
START_TEST(full_trees_keep_the_order) {
    lathe_dataset *data = noisy_data(31, LATHE_TASK_BINARY, 0);
    lathe_instance model;
    must_fit(ENSEMBLE,
             "{\"random_forest\": {\"trees\": 6, \"base\": {\"tree\": {\"max_leaves\": null, "
             "\"min_rows\": 1, \"features_per_split\": \"sqrt\", " LIMITS "}}}}",
             LATHE_TASK_BINARY, 2, data, NULL, &model);
    ck_assert_int_eq(violations(&model, 0, 1) + violations(&model, 3, -1), 0);
    lathe_instance_destroy(&model);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* The fitted values are the predictions, though the leaves were brought within bounds. */
START_TEST(fitted_values_are_the_predictions) {
    lathe_dataset *data = noisy_data(8, LATHE_TASK_REGRESSION, 0);
    float g[N], h[N], fitted[N], said[N];
    for (int packed = 0; packed < 2; packed++) {
        lathe_instance t;
        for (int i = 0; i < N; i++) {
            g[i] = -y[i];
            h[i] = 1;
        }
        lathe_fit fit = {.gradient = g,
                         .hessian = h,
                         .gradient_stride = 1,
                         .fitted = fitted,
                         .fitted_stride = 1,
                         .key = 4};
        must_fit(LEARNER,
                 packed ? "{\"tree\": {\"sums\": \"packed\", " LIMITS "}}"
                        : "{\"tree\": {\"sums\": \"exact\", " LIMITS "}}",
                 LATHE_TASK_REGRESSION, 0, data, &fit, &t);
        predict(&t, N, F, x, said);
        ck_assert_mem_eq(fitted, said, sizeof said);
        lathe_instance_destroy(&t);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* A constraint that the truth keeps costs nothing to speak of. */
START_TEST(a_true_constraint_costs_nothing) {
    lathe_dataset *data;
    double rmse[2];
    signal_data(3, LATHE_TASK_REGRESSION, 0, N, F, x, y);
    data = make_data(LATHE_TASK_REGRESSION, 0, N / 2, F, x, y, NULL, signal_categories);
    for (int c = 0; c < 2; c++) {
        lathe_instance model;
        float p[N];
        double sum = 0;
        must_fit(ENSEMBLE,
                 c ? "{\"gbdt\": {\"rounds\": 60, \"base\": {\"tree\": {\"max_leaves\": 15, "
                     "\"monotone\": {\"x0\": 1, \"x3\": 1}}}}}"
                   : "{\"gbdt\": {\"rounds\": 60, \"base\": {\"tree\": {\"max_leaves\": 15}}}}",
                 LATHE_TASK_REGRESSION, 0, data, NULL, &model);
        predict(&model, N, F, x, p);
        for (int i = N / 2; i < N; i++)
            sum += ((double)p[i] - y[i]) * ((double)p[i] - y[i]);
        rmse[c] = sqrt(sum / (N - N / 2));
        lathe_instance_destroy(&model);
    }
    ck_assert_msg(rmse[1] < 1.05 * rmse[0], "free %g, constrained %g", rmse[0], rmse[1]);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* 0 constrains nothing: the same trees; and neither do threads change any. */
START_TEST(none_and_threads_change_no_bit) {
    lathe_dataset *data = noisy_data(9, LATHE_TASK_REGRESSION, 0);
    lathe_instance a, b;
    must_fit(LEARNER, "\"tree\"", LATHE_TASK_REGRESSION, 0, data, NULL, &a);
    must_fit(LEARNER, "{\"tree\": {\"monotone\": {\"x0\": 0}}}", LATHE_TASK_REGRESSION, 0, data,
             NULL, &b);
    ck_assert(same_state(&a, &b));
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    fixture_datasets(&fx)->release(data);
    check_threads(ENSEMBLE,
                  "{\"gbdt\": {\"rounds\": 5, \"base\": {\"tree\": {\"sums\": \"packed\", " LIMITS
                  "}}}}",
                  LATHE_TASK_BINARY, 2, 30000);
    check_threads(
        ENSEMBLE,
        "{\"random_forest\": {\"trees\": 5, \"base\": {\"tree\": {\"max_depth\": 5, " LIMITS "}}}}",
        LATHE_TASK_REGRESSION, 0, 3000);
}
END_TEST

START_TEST(nonsense_is_refused) {
    lathe_dataset *data = noisy_data(9, LATHE_TASK_REGRESSION, 0);
    must_not_fit(LEARNER, "{\"tree\": {\"monotone\": {\"x9\": 1}}}", LATHE_TASK_REGRESSION, 0, data,
                 NULL, LATHE_E_NOT_FOUND, "there is no column 'x9'");
    must_not_fit(LEARNER, "{\"tree\": {\"monotone\": {\"x2\": 1}}}", LATHE_TASK_REGRESSION, 0, data,
                 NULL, LATHE_E_INVALID, "'x2' is one of categories");
    fixture_datasets(&fx)->release(data);
    signal_data(3, LATHE_TASK_MULTICLASS, 4, N, F, x, y);
    data = make_data(LATHE_TASK_MULTICLASS, 4, N, F, x, y, NULL, signal_categories);
    must_not_fit(LEARNER, "{\"tree\": {\"monotone\": {\"x0\": 1}}}", LATHE_TASK_MULTICLASS, 4, data,
                 NULL, LATHE_E_UNSUPPORTED, "two classes");
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("monotone");
    TCase *c = tcase_create("monotone");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, predictions_keep_the_order, 0, (int)(sizeof uses / sizeof *uses));
    tcase_add_test(c, full_trees_keep_the_order);
    tcase_add_test(c, fitted_values_are_the_predictions);
    tcase_add_test(c, a_true_constraint_costs_nothing);
    tcase_add_test(c, none_and_threads_change_no_bit);
    tcase_add_test(c, nonsense_is_refused);
    suite_add_tcase(s, c);
    return run_suite(s);
}
