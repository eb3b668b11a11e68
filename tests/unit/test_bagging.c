/* bagging and voting: averages, independence of the children, samples, out-of-bag, nesting,
 * threads, state. */
#include "support_learner.h"

static trial t;

static void setup(void) {
    trial_open(&t, 3);
}
static void teardown(void) {
    trial_close(&t);
}

#define ENSEMBLE LATHE_KIND_ENSEMBLE
enum { N = 300, P = 4 };

static float x[N * P], y[N];

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

static lathe_dataset *make(int32_t task, int64_t k) {
    return fixture_dataset(&t.fx, task, k, N, P, x, y, NULL);
}

/* The task by k: 0 a value, else classes by thresholds of the value. */
static void fill(int k, uint64_t seed) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < P; j++)
            x[i * P + j] = (float)trial_normal(&seed);
        double v = x[i * P] - 0.7 * x[i * P + 1] + 0.3 * trial_normal(&seed);
        y[i] = k == 0   ? (float)v
               : k == 2 ? (float)(v > 0)
                        : (float)(v < -0.6  ? 0
                                  : v < 0.6 ? 1
                                            : 2);
    }
}

static const lathe_state *child_of(const lathe_state *s, const char *name) {
    for (size_t i = 0; i < lathe_state_child_count(s); i++) {
        const char *n;
        lathe_state *c = lathe_state_child_at(s, i, &n);
        if (strcmp(n, name) == 0)
            return c;
    }
    ck_abort_msg("no child \"%s\"", name);
    return NULL;
}

static lathe_state *state_of(const lathe_instance *m) {
    lathe_state *s = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(m, &s, &err), &err, "save");
    return s;
}

START_TEST(without_sampling_it_is_the_base) {
    float one[N], many[N];
    fill(0, 1);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0);
    lathe_instance a = trial_fit_with(&t, LATHE_KIND_LEARNER, "linear", d, NULL, true);
    lathe_instance b =
        trial_fit(&t, ENSEMBLE,
                  "{\"bagging\": {\"base\": \"linear\", \"estimators\": 4, \"bootstrap\": false}}",
                  d, NULL, 3);
    trial_predict(&a, N, x, P, one);
    trial_predict(&b, N, x, P, many);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq_tol(one[i], many[i], 1e-6f);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(a_child_more_changes_no_other) {
    const char *use = "{\"bagging\": {\"base\": {\"mlp\": {\"epochs\": 2}}, \"estimators\": %d, "
                      "\"feature_share\": 0.5, \"sample_share\": 0.7}}";
    char three[256], four[256];
    fill(2, 2);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2);
    snprintf(three, sizeof three, use, 3);
    snprintf(four, sizeof four, use, 4);
    lathe_instance a = trial_fit(&t, ENSEMBLE, three, d, NULL, 3);
    lathe_instance b = trial_fit(&t, ENSEMBLE, four, d, NULL, 3);
    lathe_state *s = state_of(&a), *u = state_of(&b);
    ck_assert_uint_eq(lathe_state_child_count(u), 4);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "child.%05d", i);
        ck_assert(trial_same_state(child_of(s, name), child_of(u, name)));
        if (i > 0) /* and they are not all alike */
            ck_assert(!trial_same_state(child_of(u, name), child_of(u, "child.00000")));
    }
    trial_check(&t, &b, N, x, P);
    lathe_state_free(s);
    lathe_state_free(u);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

/* Means of bootstrap samples of 0 ... 299 scatter around 149.5 by 86.6 / sqrt(300 * children). */
START_TEST(bootstrap_draws_fairly) {
    float out[N];
    for (int i = 0; i < N; i++) {
        x[i * P] = 0;
        y[i] = (float)i;
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0);
    lathe_instance m = trial_fit(
        &t, ENSEMBLE, "{\"bagging\": {\"base\": \"constant\", \"estimators\": 200}}", d, NULL, 3);
    lathe_state *s = state_of(&m);
    ck_assert_uint_eq(lathe_state_child_count(s), 1); /* constants are summed into one */
    lathe_state_free(s);
    trial_predict(&m, N, x, P, out);
    ck_assert_msg(fabsf(out[0] - 149.5f) < 4 * 86.6f / sqrtf(300.0f * 200.0f), "mean %g", out[0]);
    ck_assert(out[0] != 149.5f);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    /* half of the rows without replacement: no row twice, so far less spread than a bootstrap's */
    m = trial_fit(&t, ENSEMBLE,
                  "{\"bagging\": {\"base\": \"constant\", \"estimators\": 1, \"bootstrap\": false, "
                  "\"sample_share\": 1}}",
                  d, NULL, 3);
    trial_predict(&m, 1, x, P, out);
    ck_assert_float_eq_tol(out[0], 149.5f, 1e-4f);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(weight_zero_is_absent) {
    static float zero[N];
    static int32_t rows[N];
    int64_t n = 0;
    fill(0, 3);
    for (int i = 0; i < N; i++) {
        zero[i] = i % 4 ? 1.0f : 0.0f;
        if (i % 4)
            rows[n++] = i;
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0);
    const char *use = "{\"bagging\": {\"base\": \"constant\", \"estimators\": 3}}";
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = 4, .weight = zero};
    lathe_instance a = trial_fit_with(&t, ENSEMBLE, use, d, &fit, false);
    fit = (lathe_fit){
        .struct_size = LATHE_SIZED(lathe_fit), .key = 4, .rows = rows, .n_rows_used = n};
    lathe_instance b = trial_fit_with(&t, ENSEMBLE, use, d, &fit, false);
    ck_assert(trial_same_model(&a, &b));
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(reports_out_of_bag) {
    fill(2, 4);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2);
    lathe_instance m = trial_fit(&t, ENSEMBLE,
                                 "{\"bagging\": {\"base\": {\"linear\": {\"max_iterations\": 20}}, "
                                 "\"estimators\": 12, \"oob\": true}}",
                                 d, NULL, 3);
    double accuracy = trial_value(&t, "oob_accuracy", 0);
    ck_assert_msg(accuracy > 0.8 && accuracy < 1.0, "oob_accuracy %g", accuracy);
    lathe_instance_destroy(&m);
    release(d);
    fill(0, 4);
    d = make(LATHE_TASK_REGRESSION, 0);
    m = trial_fit(&t, ENSEMBLE,
                  "{\"bagging\": {\"base\": \"linear\", \"estimators\": 12, \"oob\": true}}", d,
                  NULL, 3);
    ck_assert_double_eq_tol(trial_value(&t, "oob_rmse", 0), 0.3, 0.05);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* Anything of anything, for every task. */
START_TEST(nests) {
    static const char *const uses[] = {"{\"bagging\": {\"base\": {\"voting\": {\"base\": "
                                       "[\"linear\", \"constant\"]}}, \"estimators\": 3}}",
                                       "{\"voting\": {\"base\": [{\"bagging\": {\"base\": "
                                       "\"linear\", \"estimators\": 2}}, {\"stacking\": "
                                       "{\"base\": [\"constant\", \"linear\"], \"folds\": 3}}]}}",
                                       "{\"bagging\": {\"base\": {\"adapt\": {\"base\": "
                                       "\"linear\"}}, \"estimators\": 2, \"feature_share\": "
                                       "0.5}}"};
    static const int32_t tasks[] = {LATHE_TASK_REGRESSION, LATHE_TASK_BINARY,
                                    LATHE_TASK_MULTICLASS};
    static const int classes[] = {0, 2, 3};
    for (int k = 0; k < 3; k++) {
        fill(classes[k], 5);
        lathe_dataset *d = make(tasks[k], classes[k]);
        for (size_t u = 0; u < sizeof uses / sizeof uses[0]; u++) {
            static float out[N * 3];
            lathe_instance m = trial_fit(&t, ENSEMBLE, uses[u], d, NULL, 3);
            ck_assert_int_eq(trial_outputs(&m), k == 2 ? 3 : 1);
            trial_predict(&m, N, x, P, out);
            for (int i = 0; i < N && k == 2; i++)
                ck_assert_float_eq_tol(out[3 * i] + out[3 * i + 1] + out[3 * i + 2], 1.0f, 1e-5f);
            trial_check(&t, &m, N, x, P);
            lathe_instance_destroy(&m);
        }
        release(d);
    }
}
END_TEST

START_TEST(fits_gradients) {
    static float g[N], h[N], fitted[N], out[N];
    double apart = 0, spread = 0;
    fill(0, 6);
    for (int i = 0; i < N; i++) {
        h[i] = 2.0f;
        g[i] = -2.0f * y[i];
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                     .key = 1,
                     .gradient = g,
                     .hessian = h,
                     .gradient_stride = 1,
                     .fitted = fitted,
                     .fitted_stride = 1};
    lathe_instance m =
        trial_fit_with(&t, ENSEMBLE, "{\"bagging\": {\"base\": \"linear\"}}", d, &fit, false);
    trial_predict(&m, N, x, P, out);
    ck_assert(memcmp(out, fitted, sizeof out) == 0);
    for (int i = 0; i < N; i++) {
        apart += (out[i] - y[i]) * (double)(out[i] - y[i]);
        spread += (double)y[i] * y[i];
    }
    ck_assert(apart / spread < 0.1);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(voting_weighs) {
    float out[N];
    for (int i = 0; i < N; i++) {
        x[i * P] = 0;
        y[i] = i < 200 ? 1.0f : 7.0f; /* median 1, mean 3 */
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0);
    lathe_instance m = trial_fit(&t, ENSEMBLE,
                                 "{\"voting\": {\"base\": [\"constant\", {\"constant\": {\"loss\": "
                                 "\"mae\"}}], \"weights\": [3, 1]}}",
                                 d, NULL, 1);
    trial_predict(&m, N, x, P, out);
    ck_assert_float_eq_tol(out[5], 2.5f, 1e-5f);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(voting_counts) {
    static float out[N], alone[N];
    fill(2, 7);
    for (int i = 0; i < N; i++)
        y[i] = i % 5 == 0 ? 0.0f : y[i]; /* class 0 is the more frequent: constants vote for it */
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2);
    lathe_instance m =
        trial_fit(&t, ENSEMBLE,
                  "{\"voting\": {\"base\": [\"constant\", \"linear\", \"linear\"], \"vote\": "
                  "\"hard\", \"weights\": [1, 2, 2]}}",
                  d, NULL, 1);
    lathe_instance one = trial_fit_with(&t, LATHE_KIND_LEARNER, "linear", d, NULL, true);
    trial_predict(&m, N, x, P, out);
    trial_predict(&one, N, x, P, alone);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq_tol(out[i], alone[i] >= 0.5f ? 0.8f : 0.0f, 1e-6f);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    lathe_instance_destroy(&one);
    release(d);
}
END_TEST

START_TEST(refusals) {
    static const double zero[1] = {-1.0};
    fill(2, 8);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2);
    fixture_refused(&t.fx, ENSEMBLE,
                    "{\"voting\": {\"base\": [\"constant\"], \"weights\": [1, 2]}}",
                    LATHE_TASK_BINARY, "2 weights for 1");
    fixture_refused(&t.fx, ENSEMBLE, "{\"voting\": {\"base\": [\"constant\"], \"weights\": [0]}}",
                    LATHE_TASK_BINARY, "sum to 0");
    fixture_refused(&t.fx, ENSEMBLE, "{\"voting\": {\"base\": []}}", LATHE_TASK_BINARY, NULL);
    fixture_refused(&t.fx, ENSEMBLE, "{\"bagging\": {\"base\": \"relu\"}}", LATHE_TASK_BINARY,
                    NULL);
    fixture_refused(&t.fx, ENSEMBLE, "{\"bagging\": {\"sample_share\": 0}}", LATHE_TASK_BINARY,
                    NULL);
    /* the error of a child names the reason */
    trial_refused(&t, ENSEMBLE,
                  "{\"bagging\": {\"base\": {\"mlp\": {\"optimizer\": {\"sgd\": "
                  "{\"learning_rate\": 900000}}, "
                  "\"loss\": \"hinge\", \"l2\": 1000}}}}",
                  d, NULL, LATHE_E_NUMERIC, "epoch");
    lathe_instance m =
        trial_fit(&t, ENSEMBLE, "{\"voting\": {\"base\": [\"constant\"]}}", d, NULL, 1);
    trial_corrupt_tensor(&t, &m, "weights", zero);
    trial_corrupt_integer(&t, &m, "votes", 2);
    lathe_instance_destroy(&m);
    t.stop_after = t.n_points + 2;
    trial_refused(&t, ENSEMBLE,
                  "{\"bagging\": {\"base\": {\"mlp\": {\"epochs\": 1000000}}, \"estimators\": 20}}",
                  d, NULL, LATHE_E_CANCELLED, "Stopped");
    release(d);
}
END_TEST

START_TEST(threads_do_not_matter) {
    static const char *const uses[] = {
        "{\"bagging\": {\"base\": {\"mlp\": {\"epochs\": 2}}, \"estimators\": 5, \"sample_share\": "
        "0.5}}",
        "{\"bagging\": {\"base\": \"linear\", \"estimators\": 5, \"bootstrap\": false, "
        "\"sample_share\": 0.5}}",
        "{\"bagging\": {\"base\": \"constant\", \"estimators\": 5}}",
        "{\"voting\": {\"base\": [\"linear\", {\"mlp\": {\"epochs\": 1}}]}}"};
    static trial other;
    trial_open(&other, 1);
    fill(3, 9);
    lathe_dataset *a = make(LATHE_TASK_MULTICLASS, 3);
    lathe_dataset *b = fixture_dataset(&other.fx, LATHE_TASK_MULTICLASS, 3, N, P, x, y, NULL);
    for (size_t u = 0; u < sizeof uses / sizeof uses[0]; u++) {
        lathe_instance m = trial_fit(&t, ENSEMBLE, uses[u], a, NULL, 5);
        lathe_instance o = trial_fit(&other, ENSEMBLE, uses[u], b, NULL, 5);
        ck_assert_msg(trial_same_model(&m, &o), "%s", uses[u]);
        lathe_instance_destroy(&m);
        lathe_instance_destroy(&o);
    }
    release(a);
    fixture_datasets(&other.fx)->release(b);
    trial_close(&other);
}
END_TEST

int main(void) {
    Suite *s = suite_create("bagging");
    TCase *c = tcase_create("bagging");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, without_sampling_it_is_the_base);
    tcase_add_test(c, a_child_more_changes_no_other);
    tcase_add_test(c, bootstrap_draws_fairly);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, reports_out_of_bag);
    tcase_add_test(c, nests);
    tcase_add_test(c, fits_gradients);
    tcase_add_test(c, voting_weighs);
    tcase_add_test(c, voting_counts);
    tcase_add_test(c, refusals);
    tcase_add_test(c, threads_do_not_matter);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
