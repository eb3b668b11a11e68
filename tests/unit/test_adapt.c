/* adapt: the encoder in closed form, and each thing that a learner may lack. The learner that lacks
 * everything is the fixture "memorise", which refuses whatever it does not take. */
#include "support_learner.h"

#include <unistd.h>

static trial t;
static char folder[64];

static void setup(void) {
    char link[128];
    snprintf(folder, sizeof folder, "/tmp/lathe-adapt-XXXXXX");
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

#define LEARNER LATHE_KIND_LEARNER
#define MEMORISE "{\"adapt\": {\"base\": \"memorise\"}}"
enum { N = 240, P = 3 };

/* A number (sometimes missing), a category of 4 (sometimes missing), a number. */
static const lathe_feature features[P] = {{"size", LATHE_FEATURE_NUMERIC, 0},
                                          {"kind", LATHE_FEATURE_CATEGORY, 4},
                                          {"depth", LATHE_FEATURE_NUMERIC, 0}};
static float x[N * P], y[N], w[N];

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

static lathe_dataset *make(int32_t task, int64_t k, const float *weight) {
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = task,
                               .n_rows = N,
                               .n_features = P,
                               .n_classes = k,
                               .features = features,
                               .matrix = x,
                               .stride = P,
                               .target = y,
                               .weight = weight};
    lathe_dataset *d = NULL;
    lathe_error err = {0};
    fixture_ok(fixture_datasets(&t.fx)->make(t.fx.host, &spec, &d, &err), &err, "dataset");
    return d;
}

/* Category 3 never occurs in training. */
static void fill(uint64_t seed) {
    for (int i = 0; i < N; i++) {
        x[i * P] = trial_uniform(&seed) < 0.1 ? NAN : (float)(50 + 10 * trial_normal(&seed));
        x[i * P + 1] = trial_uniform(&seed) < 0.1 ? NAN : (float)(int)(3 * trial_uniform(&seed));
        x[i * P + 2] = (float)(1e-3 * trial_normal(&seed) + 1);
        w[i] = (float)(int)(4 * trial_uniform(&seed));
        y[i] = (float)(0.1 * (isnan(x[i * P]) ? 50 : x[i * P]) +
                       (isnan(x[i * P + 1]) ? 0.5 : 2.0 * x[i * P + 1]));
    }
}

/* What `linear` predicts through the adapter follows from means, deviations and dummies. */
START_TEST(encodes_numbers_and_categories) {
    static float q[5 * P], out[5];
    double mean = 0, n = 0;
    fill(1);
    for (int i = 0; i < N; i++)
        if (!isnan(x[i * P])) {
            mean += x[i * P];
            n++;
        }
    mean /= n;
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    /* the host puts the adapter around by itself */
    lathe_instance m = trial_fit_with(&t, LEARNER, "linear", d, NULL, true);
    ck_assert_str_eq(m.descriptor->id, "lathe.ensemble.adapt");
    for (int i = 0; i < 5; i++)
        memcpy(q + i * P, (float[]){(float)mean, 1, 1}, P * sizeof(float));
    q[1 * P] = NAN;     /* missing: as the mean */
    q[2 * P + 1] = NAN; /* missing category: all zeros */
    q[3 * P + 1] = 3;   /* not in training: all zeros */
    q[4 * P + 1] = -1;  /* unseen: all zeros */
    trial_predict(&m, 5, q, P, out);
    ck_assert_float_eq_tol(out[0], (float)(0.1 * mean + 2), 0.1f);
    ck_assert_float_eq_tol(out[1], out[0], 1e-5f);
    ck_assert_float_eq(out[2], out[3]);
    ck_assert_float_eq(out[2], out[4]);
    ck_assert_float_eq_tol(out[2], (float)(0.1 * mean + 0.5), 0.1f);
    trial_check(&t, &m, N, x, P);

    /* size, three of the four kinds, depth; scaled numbers */
    double means[P], inverse[P];
    int32_t map[4];
    trial_tensor(&m, "feature.mean", means, sizeof means);
    trial_tensor(&m, "feature.inverse", inverse, sizeof inverse);
    trial_tensor(&m, "category.column", map, sizeof map);
    ck_assert_double_eq_tol(means[0], mean, 1e-9);
    ck_assert_double_eq_tol(1 / inverse[2], 1e-3, 2e-4);
    ck_assert(map[0] == 1 && map[1] == 2 && map[2] == 3 && map[3] == -1);

    double importance[P];
    lathe_error err = {0};
    fixture_ok(lathe_call_importance(&m, LATHE_IMPORTANCE_WEIGHT, P, importance, &err), &err,
               "importance");
    ck_assert(importance[1] > importance[2] && importance[0] > importance[2]);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(keeps_the_frequent_categories) {
    int32_t map[4];
    fill(2);
    for (int i = 0; i < N; i++)
        x[i * P + 1] = (float)(i % 10 == 0 ? 1 : i % 3 == 0 ? 0 : 2);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance m = trial_fit(
        &t, LEARNER, "{\"adapt\": {\"base\": \"linear\", \"max_categories\": 2}}", d, NULL, 1);
    trial_tensor(&m, "category.column", map, sizeof map);
    ck_assert(map[0] == 1 && map[1] == -1 && map[2] == 2 && map[3] == -1);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(weights_of_zero_do_not_count) {
    double means[P], sum = 0, total = 0;
    fill(3);
    for (int i = 0; i < N; i++)
        if (!isnan(x[i * P])) {
            sum += w[i] * (double)x[i * P];
            total += w[i];
        }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, w);
    lathe_instance m = trial_fit_with(&t, LEARNER, "linear", d, NULL, true);
    trial_tensor(&m, "feature.mean", means, sizeof means);
    ck_assert_double_eq_tol(means[0], sum / total, 1e-9);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* ---- the learner that lacks everything ---- */

/* The rows that memorise was given, by its state: count[i] says how often row i (known by depth) is
 * there. */
static void memorised(const lathe_instance *m, int *count) {
    static float my[4 * N];
    lathe_state *s = NULL;
    lathe_error err = {0};
    const char *name;
    fixture_ok(lathe_state_save(m, &s, &err), &err, "save");
    const lathe_state *child = lathe_state_child_at(s, 0, &name);
    memset(count, 0, N * sizeof *count);
    for (size_t i = 0; i < lathe_state_tensor_count(child); i++) {
        const lathe_state_tensor *tensor = lathe_state_tensor_at(child, i);
        if (strcmp(tensor->name, "y") != 0)
            continue;
        memcpy(my, tensor->data, tensor->bytes);
        for (size_t r = 0; r < tensor->bytes / sizeof(float); r++)
            count[(int)my[r]]++;
    }
    lathe_state_free(s);
}

static void number_targets(void) {
    for (int i = 0; i < N; i++)
        y[i] = (float)i;
}

START_TEST(rows_and_counts_become_a_view) {
    static const int32_t rows[3] = {5, 17, 100};
    static uint16_t counts[N];
    static int count[N];
    float fitted[N * 2];
    fill(4);
    number_targets();
    counts[7] = 3;
    counts[9] = 1;
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .rows = rows, .n_rows_used = 3};
    lathe_instance m = trial_fit_with(&t, LEARNER, MEMORISE, d, &fit, false);
    memorised(&m, count);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(count[i], i == 5 || i == 17 || i == 100);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit),
                      .counts = counts,
                      .fitted = fitted,
                      .fitted_stride = 2};
    m = trial_fit_with(&t, LEARNER, MEMORISE, d, &fit, false);
    memorised(&m, count);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(count[i], counts[i]);
    for (int i = 0; i < N; i++) /* every row is predicted, also those outside */
        ck_assert(fitted[2 * i] == 7 || fitted[2 * i] == 9);
    ck_assert(fitted[14] == 7 && fitted[18] == 9);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* Systematic sampling: each row floor or ceil of its expected times, as many draws as rows of
 * positive weight. */
START_TEST(weights_become_a_sample) {
    static int count[N];
    double total = 0;
    int positive = 0, drawn = 0;
    fill(5);
    number_targets();
    for (int i = 0; i < N; i++) {
        total += w[i];
        positive += w[i] > 0;
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, w);
    lathe_dataset *plain = make(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_fit given = {.struct_size = LATHE_SIZED(lathe_fit), .key = 7, .weight = w};
    for (int s = 0; s < 2; s++) { /* the dataset's weights, and the fit's */
        lathe_instance m =
            trial_fit_with(&t, LEARNER, MEMORISE, s ? plain : d, s ? &given : NULL, false);
        memorised(&m, count);
        drawn = 0;
        for (int i = 0; i < N; i++) {
            double expected = w[i] / total * positive;
            ck_assert(count[i] >= (int)floor(expected - 1e-9) &&
                      count[i] <= (int)ceil(expected + 1e-9));
            drawn += count[i];
        }
        ck_assert_int_eq(drawn, positive);
        lathe_instance_destroy(&m);
    }
    /* equal weights are no weights */
    for (int i = 0; i < N; i++)
        w[i] = 0.25f;
    lathe_fit even = {.struct_size = LATHE_SIZED(lathe_fit), .weight = w};
    lathe_instance m = trial_fit_with(&t, LEARNER, MEMORISE, plain, &even, false);
    memorised(&m, count);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(count[i], 1);
    lathe_instance_destroy(&m);
    release(d);
    release(plain);
}
END_TEST

START_TEST(gradients_become_targets) {
    static float g[2 * N], h[2 * N], out[N];
    static int count[N];
    fill(6);
    number_targets();
    for (int i = 0; i < N; i++) {
        h[2 * i] = 0.5f;
        g[2 * i] = -0.5f * (float)i;
    }
    h[2 * 30] = 0; /* no curvature: no say */
    h[2 * 31] = 1.5f;
    g[2 * 31] = -1.5f * 31;
    lathe_dataset *d =
        make(LATHE_TASK_REGRESSION, 0, w); /* its weights are in the gradients already */
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                     .key = 3,
                     .gradient = g,
                     .hessian = h,
                     .gradient_stride = 2};
    lathe_instance m = trial_fit_with(&t, LEARNER, MEMORISE, d, &fit, false);
    memorised(&m, count);
    ck_assert_int_eq(count[30], 0);
    ck_assert_int_ge(count[31], 2);
    trial_predict(&m, N, x, P, out);
    ck_assert_float_eq(out[31], 31.0f);
    lathe_instance_destroy(&m);
    /* a learner that takes weights, not gradients, gets them as weights; linear takes gradients
     * itself */
    m = trial_fit_with(&t, LEARNER, "{\"adapt\": {\"base\": \"linear\"}}", d, &fit, false);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(features_become_a_narrower_dataset) {
    static const int32_t depth[1] = {2}, both[2] = {1, 2};
    static float out[N], moved[N * P], after[N];
    fill(7);
    number_targets();
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    for (int s = 0; s < 2; s++) {
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                         .features = s ? both : depth,
                         .n_features_used = s ? 2 : 1};
        static const char *const bases[] = {MEMORISE, "{\"adapt\": {\"base\": \"linear\"}}"};
        for (int b = 0; b < 2; b++) {
            lathe_instance m = trial_fit_with(&t, LEARNER, bases[b], d, &fit, false);
            memcpy(moved, x, sizeof x);
            for (int i = 0; i < N; i++)
                moved[i * P] = 1e6f; /* it is not looked at */
            trial_predict(&m, N, x, P, out);
            trial_predict(&m, N, moved, P, after);
            ck_assert(memcmp(out, after, sizeof out) == 0);
            if (b == 0)
                ck_assert_float_eq(out[12], 12.0f);
            trial_check(&t, &m, N, x, P);
            lathe_instance_destroy(&m);
        }
    }
    release(d);
}
END_TEST

START_TEST(classes_become_one_against_the_rest) {
    static float out[N * 3];
    static const int32_t rows[4] = {0, 1, 2, 50};
    fill(8);
    for (int i = 0; i < N; i++)
        y[i] = (float)(i % 3);
    lathe_dataset *d = make(LATHE_TASK_MULTICLASS, 3, NULL);
    lathe_instance m = trial_fit_with(&t, LEARNER, MEMORISE, d, NULL, false);
    ck_assert_int_eq(trial_outputs(&m), 3);
    trial_predict(&m, N, x, P, out);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++)
            ck_assert_float_eq(out[3 * i + c], c == i % 3 ? 1.0f : 0.0f);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .rows = rows, .n_rows_used = 4};
    m = trial_fit_with(&t, LEARNER, MEMORISE, d, &fit, false);
    trial_predict(&m, N, x, P, out);
    ck_assert_float_eq(out[3 * 50 + 2], 1.0f);
    lathe_instance_destroy(&m);
    /* the host puts the adapter around for it too */
    m = trial_fit_with(&t, LEARNER, "memorise", d, NULL, true);
    trial_predict(&m, N, x, P, out);
    ck_assert_float_eq(out[3 * 4 + 1], 1.0f);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* A network keeps its early stopping: the validation rows are encoded with the training's
 * statistics. */
START_TEST(validation_is_encoded_too) {
    static float vx[N * P], vy[N];
    fill(9);
    memcpy(vx, x, sizeof x);
    memcpy(vy, y, sizeof y);
    for (int i = 0; i < N; i++)
        vx[i * P + 1] = 3; /* a category that training does not have */
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL), *v = NULL;
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_REGRESSION,
                               .n_rows = N,
                               .n_features = P,
                               .features = features,
                               .matrix = vx,
                               .stride = P,
                               .target = vy};
    lathe_error err = {0};
    fixture_ok(fixture_datasets(&t.fx)->make(t.fx.host, &spec, &v, &err), &err, "dataset");
    lathe_instance m =
        trial_fit(&t, LEARNER, "{\"adapt\": {\"base\": {\"mlp\": {\"epochs\": 3}}}}", d, v, 1);
    ck_assert_int_eq(trial_count(&t, "validation_loss"), 3);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    release(v);
    release(d);
}
END_TEST

START_TEST(corrupt_states) {
    static const int32_t column[P] = {0, 1, 99}, map[4] = {0, 1, 2, 700}, type[P] = {1, 7, 1};
    static const int32_t codes[P] = {0, 1000, 0};
    static const double nan[P] = {NAN, 0, 0};
    fill(10);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "{\"adapt\": {\"base\": \"linear\"}}", d, NULL, 1);
    trial_corrupt_tensor(&t, &m, "feature.column", column);
    trial_corrupt_tensor(&t, &m, "feature.type", type);
    trial_corrupt_tensor(&t, &m, "feature.categories", codes);
    trial_corrupt_tensor(&t, &m, "feature.mean", nan);
    trial_corrupt_tensor(&t, &m, "category.column", map);
    trial_corrupt_integer(&t, &m, "columns", 3);
    trial_corrupt_integer(&t, &m, "children", 2);
    trial_corrupt_integer(&t, &m, "against_the_rest", 5);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* A file of state version 1 does not say that numbers were scaled: they were, for `linear` too. */
START_TEST(the_first_state_version) {
    static float q[N * P], now[N], then[N];
    double mean[P], inverse[P];
    lathe_state *state = NULL;
    lathe_instance old;
    lathe_error err = {0};
    fill(16);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "{\"adapt\": {\"base\": \"linear\"}}", d, NULL, 1);
    trial_tensor(&m, "feature.mean", mean, sizeof mean);
    trial_tensor(&m, "feature.inverse", inverse, sizeof inverse);
    fixture_ok(lathe_state_save(&m, &state, &err), &err, "save");
    ((lathe_state_identity *)lathe_state_who(state))->state_version = 1;
    fixture_ok(lathe_state_load(t.fx.runtime, state, 0, &old, &err), &err, "load");
    lathe_state_free(state);
    memcpy(q, x, sizeof q);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < P; j += 2) /* the numbers */
            q[i * P + j] =
                isnan(x[i * P + j]) ? 0.0f : (float)((x[i * P + j] - mean[j]) * inverse[j]);
    trial_predict(&old, N, x, P, then);
    trial_predict(&m, N, q, P, now);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq_tol(then[i], now[i], 1e-4f);
    trial_predict(&m, N, x, P, now);
    ck_assert_float_ne(then[0], now[0]);
    lathe_instance_destroy(&m);
    lathe_instance_destroy(&old);
    release(d);
}
END_TEST

START_TEST(threads_do_not_matter) {
    static trial other;
    static const char *const uses[] = {MEMORISE,
                                       "{\"adapt\": {\"base\": {\"mlp\": {\"epochs\": 2}}}}",
                                       "{\"bagging\": {\"base\": \"linear\", \"estimators\": 4}}"};
    trial_open_with(&other, 1, folder);
    fill(11);
    lathe_dataset *a = make(LATHE_TASK_REGRESSION, 0, w), *b = NULL;
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_REGRESSION,
                               .n_rows = N,
                               .n_features = P,
                               .features = features,
                               .matrix = x,
                               .stride = P,
                               .target = y,
                               .weight = w};
    lathe_error err = {0};
    fixture_ok(fixture_datasets(&other.fx)->make(other.fx.host, &spec, &b, &err), &err, "dataset");
    for (size_t u = 0; u < sizeof uses / sizeof uses[0]; u++) {
        lathe_instance m = trial_fit(&t, LEARNER, uses[u], a, NULL, 5);
        lathe_instance o = trial_fit(&other, LEARNER, uses[u], b, NULL, 5);
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
    Suite *s = suite_create("adapt");
    TCase *c = tcase_create("adapt");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, encodes_numbers_and_categories);
    tcase_add_test(c, keeps_the_frequent_categories);
    tcase_add_test(c, weights_of_zero_do_not_count);
    tcase_add_test(c, rows_and_counts_become_a_view);
    tcase_add_test(c, weights_become_a_sample);
    tcase_add_test(c, gradients_become_targets);
    tcase_add_test(c, features_become_a_narrower_dataset);
    tcase_add_test(c, classes_become_one_against_the_rest);
    tcase_add_test(c, validation_is_encoded_too);
    tcase_add_test(c, corrupt_states);
    tcase_add_test(c, the_first_state_version);
    tcase_add_test(c, threads_do_not_matter);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
