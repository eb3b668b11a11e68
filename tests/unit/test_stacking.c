/* stacking: no base ever predicts a row that it has seen, the final learner's features, folds,
 * threads, state. */
#include "support_learner.h"

#include <unistd.h>

static trial t;
static char folder[64];

/* The learner that remembers its rows is a fixture beside the misbehaving ones; it alone is taken
 * from there. */
static void setup(void) {
    char link[128];
    snprintf(folder, sizeof folder, "/tmp/lathe-stacking-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(link, sizeof link, "%s/memorise.so", folder);
    ck_assert_int_eq(symlink(LATHE_FIXTURE_PLUGIN_DIR "/memorise.so", link), 0);
    trial_open_with(&t, 3, folder);
}

static void teardown(void) {
    char link[128];
    trial_close(&t);
    snprintf(link, sizeof link, "%s/memorise.so", folder);
    unlink(link);
    rmdir(folder);
}

#define ENSEMBLE LATHE_KIND_ENSEMBLE
enum { N = 400, P = 3 };

static float x[N * P], y[N];

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

static void fill(int k, uint64_t seed) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < P; j++)
            x[i * P + j] = (float)trial_normal(&seed);
        double v = x[i * P] - 0.7 * x[i * P + 1] + 0.5 * trial_normal(&seed);
        y[i] = k == 0   ? (float)v
               : k == 2 ? (float)(v > 0)
                        : (float)(v < -0.6  ? 0
                                  : v < 0.6 ? 1
                                            : 2);
    }
}

static lathe_dataset *make_with_ids(int32_t task, int64_t k, int64_t n, const int64_t *ids) {
    static const lathe_feature features[P] = {{"a", LATHE_FEATURE_NUMERIC, 0},
                                              {"b", LATHE_FEATURE_NUMERIC, 0},
                                              {"c", LATHE_FEATURE_NUMERIC, 0}};
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = task,
                               .n_rows = n,
                               .n_features = P,
                               .n_classes = k,
                               .features = features,
                               .matrix = x,
                               .stride = P,
                               .target = y,
                               .row_id = ids};
    lathe_dataset *d = NULL;
    lathe_error err = {0};
    fixture_ok(fixture_datasets(&t.fx)->make(t.fx.host, &spec, &d, &err), &err, "dataset");
    return d;
}

/* Labels are coins; the base knows exactly the rows that it was fitted to and says 0.5 for all
 * others. Had it seen one of the rows that it predicts out of fold, the final learner would find
 * its feature worth something. */
static void check_no_leak(lathe_dataset *d, const lathe_fit *fit, int64_t n, double rate) {
    static float out[N];
    lathe_instance m = trial_fit_with(
        &t, ENSEMBLE, "{\"stacking\": {\"base\": [{\"memorise\": {\"far\": 0.5}}], \"folds\": 5}}",
        d, fit, false);
    trial_predict(&m, n, x, P, out);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs((double)out[i] - rate) < 1e-4,
                      "row %lld: %g instead of the base rate %g: a label leaked", (long long)i,
                      out[i], rate);
    lathe_instance_destroy(&m);
}

START_TEST(labels_do_not_leak) {
    double rate = 0;
    uint64_t seed = 3;
    fill(2, 1);
    for (int i = 0; i < N; i++) {
        y[i] = trial_uniform(&seed) < 0.5 ? 1.0f : 0.0f;
        rate += (double)y[i] / N;
    }
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, NULL);
    check_no_leak(d, NULL, N, rate);
    release(d);
}
END_TEST

/* Rows that stand twice (one row_id), and bootstrap counts. */
START_TEST(repeated_rows_do_not_leak) {
    static int64_t ids[N];
    static uint16_t counts[N];
    double rate = 0, total = 0, counted = 0;
    uint64_t seed = 4;
    fill(2, 2);
    for (int i = 0; i < N; i++) {
        int half = i % (N / 2);
        ids[i] = 1000 + half;
        memcpy(x + i * P, x + half * P, P * sizeof(float));
        if (i < N / 2)
            y[i] = trial_uniform(&seed) < 0.5 ? 1.0f : 0.0f;
        y[i] = y[half];
        rate += (double)y[i] / N;
        counts[i] = (uint16_t)(trial_uniform(&seed) * 4);
        total += counts[i];
        counted += counts[i] * (double)y[i];
    }
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, ids);
    check_no_leak(d, NULL, N, rate);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = 5, .counts = counts};
    check_no_leak(d, &fit, N, counted / total);
    release(d);
}
END_TEST

/* A leak would show: the test's own canary is alive. With the labels as features a perfect base is
 * trusted. */
START_TEST(a_good_base_is_trusted) {
    static float out[N];
    int right = 0;
    fill(2, 3);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < P; j++)
            x[i * P + j] = y[i] * 10;
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, NULL);
    lathe_instance m = trial_fit(
        &t, ENSEMBLE, "{\"stacking\": {\"base\": [{\"memorise\": {\"far\": 0.5}}, \"constant\"]}}",
        d, NULL, 7);
    trial_predict(&m, N, x, P, out);
    for (int i = 0; i < N; i++)
        right += (out[i] > 0.5f) == (y[i] > 0.5f);
    ck_assert_int_eq(right, N);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(every_task_and_passthrough) {
    static const char *const uses[] = {
        "{\"stacking\": {\"base\": [\"linear\", \"constant\", {\"mlp\": {\"epochs\": 2}}], "
        "\"folds\": 3}}",
        "{\"stacking\": {\"base\": [\"constant\"], \"passthrough\": true, \"final\": \"linear\"}}"};
    static const int32_t tasks[] = {LATHE_TASK_REGRESSION, LATHE_TASK_BINARY,
                                    LATHE_TASK_MULTICLASS};
    static const int classes[] = {0, 2, 3};
    static float out[N * 3];
    for (int k = 0; k < 3; k++) {
        fill(classes[k], 5);
        lathe_dataset *d = make_with_ids(tasks[k], classes[k], N, NULL);
        for (size_t u = 0; u < 2; u++) {
            double right = 0, apart = 0, spread = 0;
            lathe_instance m = trial_fit(&t, ENSEMBLE, uses[u], d, NULL, 3);
            ck_assert_int_eq(trial_outputs(&m), k == 2 ? 3 : 1);
            trial_predict(&m, N, x, P, out);
            for (int i = 0; i < N; i++) {
                int best = 0;
                for (int c = 1; c < 3 && k == 2; c++)
                    best = out[3 * i + c] > out[3 * i + best] ? c : best;
                right += k == 1 ? (out[i] > 0.5f) == (y[i] > 0.5f) : best == (int)y[i];
                apart += k == 0 ? pow((double)out[i] - y[i], 2) : 0;
                spread += (double)y[i] * y[i];
            }
            if (k == 0)
                ck_assert_msg(apart / spread < 0.25, "%s: %g", uses[u], apart / spread);
            else
                ck_assert_msg(right / N > 0.7, "%s: %g", uses[u], right / N);
            trial_check(&t, &m, N, x, P);
            lathe_instance_destroy(&m);
        }
        release(d);
    }
}
END_TEST

static lathe_state *state_of(const lathe_instance *m) {
    lathe_state *s = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(m, &s, &err), &err, "save");
    return s;
}

START_TEST(a_base_more_changes_no_other) {
    const char *first;
    fill(2, 6);
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, NULL);
    lathe_instance a = trial_fit(
        &t, ENSEMBLE, "{\"stacking\": {\"base\": [{\"mlp\": {\"epochs\": 1}}]}}", d, NULL, 3);
    lathe_instance b = trial_fit(
        &t, ENSEMBLE, "{\"stacking\": {\"base\": [{\"mlp\": {\"epochs\": 1}}, \"linear\"]}}", d,
        NULL, 3);
    lathe_state *s = state_of(&a), *u = state_of(&b);
    const lathe_state *x0 = lathe_state_child_at(s, 0, &first);
    ck_assert_str_eq(first, "base.00000");
    ck_assert(trial_same_state(x0, lathe_state_child_at(u, 0, &first)));
    lathe_state_free(s);
    lathe_state_free(u);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(weight_zero_is_absent) {
    static float zero[N];
    static int32_t rows[N];
    int64_t n = 0;
    fill(2, 7);
    for (int i = 0; i < N; i++) {
        zero[i] = i % 4 ? 1.0f : 0.0f;
        if (i % 4)
            rows[n++] = i;
    }
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, NULL);
    const char *use =
        "{\"stacking\": {\"base\": [\"constant\", {\"mlp\": {\"epochs\": 1}}], \"folds\": 3, "
        "\"final\": {\"linear\": {\"l2\": 0.01}}}}";
    lathe_fit fit = {
        .struct_size = LATHE_SIZED(lathe_fit), .key = 4, .rows = rows, .n_rows_used = n};
    lathe_instance a = trial_fit_with(&t, ENSEMBLE, use, d, &fit, false);
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .key = 4, .weight = zero};
    lathe_instance b = trial_fit_with(&t, ENSEMBLE, use, d, &fit, false);
    float one[N], other[N];
    trial_predict(&a, N, x, P, one);
    trial_predict(&b, N, x, P, other);
    for (int i = 0; i < N; i++) /* the adapter's mean is of the dataset it is given: all rows */
        ck_assert_float_eq_tol(one[i], other[i], 0.02f);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(refusals) {
    static float g[N], nan[N];
    const int32_t one_row[1] = {3};
    fill(2, 8);
    memcpy(nan, y, sizeof nan);
    nan[4] = NAN;
    lathe_dataset *d = make_with_ids(LATHE_TASK_BINARY, 2, N, NULL);
    const char *use = "{\"stacking\": {\"base\": [\"constant\"]}}";
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .rows = one_row, .n_rows_used = 1};
    trial_refused(&t, ENSEMBLE, use, d, &fit, LATHE_E_DATA, "at least two");
    fit = (lathe_fit){
        .struct_size = LATHE_SIZED(lathe_fit), .gradient = g, .hessian = g, .gradient_stride = 1};
    trial_refused(&t, ENSEMBLE, use, d, &fit, LATHE_E_UNSUPPORTED, "no gradients");
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .target = nan};
    trial_refused(&t, ENSEMBLE, use, d, &fit, LATHE_E_NUMERIC, "row 4");
    fixture_refused(&t.fx, ENSEMBLE, "{\"stacking\": {\"base\": [\"constant\"], \"folds\": 1}}",
                    LATHE_TASK_BINARY, NULL);
    fixture_refused(&t.fx, ENSEMBLE, "{\"stacking\": {}}", LATHE_TASK_BINARY, "base");
    lathe_instance m = trial_fit(&t, ENSEMBLE, use, d, NULL, 1);
    trial_corrupt_integer(&t, &m, "outputs", 2);
    trial_corrupt_integer(&t, &m, "features", P + 1);
    lathe_instance_destroy(&m);
    t.stop_after = t.n_points + 2;
    trial_refused(&t, ENSEMBLE, "{\"stacking\": {\"base\": [{\"mlp\": {\"epochs\": 1000000}}]}}", d,
                  NULL, LATHE_E_CANCELLED, "Stopped");
    release(d);
}
END_TEST

START_TEST(threads_do_not_matter) {
    static trial other;
    const char *use = "{\"stacking\": {\"base\": [\"linear\", {\"mlp\": {\"epochs\": 1}}, "
                      "{\"bagging\": {\"base\": "
                      "\"constant\", \"estimators\": 2}}], \"passthrough\": true}}";
    trial_open(&other, 1);
    fill(3, 9);
    lathe_dataset *a = make_with_ids(LATHE_TASK_MULTICLASS, 3, N, NULL);
    lathe_dataset *b = fixture_dataset(&other.fx, LATHE_TASK_MULTICLASS, 3, N, P, x, y, NULL);
    lathe_instance m = trial_fit(&t, ENSEMBLE, use, a, NULL, 5);
    lathe_instance o = trial_fit(&other, ENSEMBLE, use, b, NULL, 5);
    ck_assert(trial_same_model(&m, &o));
    lathe_instance_destroy(&m);
    lathe_instance_destroy(&o);
    release(a);
    fixture_datasets(&other.fx)->release(b);
    trial_close(&other);
}
END_TEST

int main(void) {
    Suite *s = suite_create("stacking");
    TCase *c = tcase_create("stacking");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, labels_do_not_leak);
    tcase_add_test(c, repeated_rows_do_not_leak);
    tcase_add_test(c, a_good_base_is_trusted);
    tcase_add_test(c, every_task_and_passthrough);
    tcase_add_test(c, a_base_more_changes_no_other);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, refusals);
    tcase_add_test(c, threads_do_not_matter);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
