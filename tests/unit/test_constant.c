/* The baseline learner: its value per loss, weights, gradients, sums, state. */
#include "support_learner.h"

static trial t;

static void setup(void) {
    trial_open(&t, 2);
}
static void teardown(void) {
    trial_close(&t);
}

enum { N = 6 };
static const float x[N] = {1, 2, 3, 4, 5, 6};

static lathe_dataset *make(int32_t task, int64_t k, const float *y, const float *w) {
    return fixture_dataset(&t.fx, task, k, N, 1, x, y, w);
}

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

static float value_of(const char *use, int32_t task, int64_t k, const float *y, const float *w) {
    lathe_dataset *d = make(task, k, y, w);
    lathe_instance m = trial_fit(&t, LATHE_KIND_LEARNER, use, d, NULL, 1);
    float out[N * 4];
    trial_check(&t, &m, N, x, 1);
    trial_predict(&m, N, x, 1, out);
    lathe_instance_destroy(&m);
    release(d);
    return out[0];
}

START_TEST(value_minimises_the_loss) {
    const float y[N] = {1, 2, 3, 4, 5, 100};
    const float w[N] = {1, 1, 1, 1, 1, 0};
    ck_assert_float_eq_tol(value_of("constant", LATHE_TASK_REGRESSION, 0, y, NULL), 115.0f / 6,
                           1e-5f);
    ck_assert_float_eq_tol(value_of("constant", LATHE_TASK_REGRESSION, 0, y, w), 3.0f, 1e-6f);
    float median =
        value_of("{\"constant\": {\"loss\": \"mae\"}}", LATHE_TASK_REGRESSION, 0, y, NULL);
    ck_assert(median >= 3.0f && median <= 4.0f);
}
END_TEST

START_TEST(classes_get_their_frequencies) {
    const float two[N] = {0, 1, 0, 0, 0, 1}, three[N] = {0, 1, 2, 2, 2, 1};
    lathe_dataset *d = make(LATHE_TASK_MULTICLASS, 3, three, NULL);
    lathe_instance m = trial_fit(&t, LATHE_KIND_LEARNER, "constant", d, NULL, 1);
    float out[N * 3];
    trial_predict(&m, N, x, 1, out);
    ck_assert_float_eq_tol(out[0], 1.0f / 6, 1e-6f);
    ck_assert_float_eq_tol(out[1], 2.0f / 6, 1e-6f);
    ck_assert_float_eq_tol(out[2], 3.0f / 6, 1e-6f);
    lathe_instance_destroy(&m);
    release(d);
    ck_assert_float_eq_tol(value_of("constant", LATHE_TASK_BINARY, 2, two, NULL), 1.0f / 3, 1e-6f);
}
END_TEST

START_TEST(rows_counts_and_gradients) {
    const float y[N] = {1, 2, 3, 4, 5, 6}, g[N] = {1, 2, 3, 4, 5, 6}, h[N] = {1, 1, 1, 1, 1, 2};
    const int32_t rows[2] = {1, 4};
    const uint16_t counts[N] = {0, 3, 0, 1, 0, 0};
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .rows = rows, .n_rows_used = 2};
    float out[N], fitted[N * 2];

    lathe_instance m = trial_fit_with(&t, LATHE_KIND_LEARNER, "constant", d, &fit, false);
    trial_predict(&m, N, x, 1, out);
    ck_assert_float_eq_tol(out[0], 3.5f, 1e-6f);
    lathe_instance_destroy(&m);

    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit),
                      .counts = counts,
                      .fitted = fitted,
                      .fitted_stride = 2};
    m = trial_fit_with(&t, LATHE_KIND_LEARNER, "constant", d, &fit, false);
    ck_assert_float_eq_tol(fitted[0], 2.5f, 1e-6f);
    ck_assert_float_eq_tol(fitted[2 * (N - 1)], 2.5f, 1e-6f);
    lathe_instance_destroy(&m);

    fit = (lathe_fit){
        .struct_size = LATHE_SIZED(lathe_fit), .gradient = g, .hessian = h, .gradient_stride = 1};
    m = trial_fit_with(&t, LATHE_KIND_LEARNER, "constant", d, &fit, false);
    trial_predict(&m, N, x, 1, out);
    ck_assert_float_eq_tol(out[0], -3.0f, 1e-6f);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(sums_itself) {
    const float y[N] = {1, 2, 3, 4, 5, 6};
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_instance m = trial_fit(&t, LATHE_KIND_LEARNER, "constant", d, NULL, 1), sum;
    const void *children[2] = {m.self, m.self};
    const double scale[2] = {2.0, -0.5}, bias[2] = {10.0, 20.0};
    const int32_t column[2] = {1, 0};
    lathe_combine how = {.struct_size = LATHE_SIZED(lathe_combine),
                         .type = LATHE_OUTPUT_SCORE,
                         .n_outputs = 2,
                         .bias = bias,
                         .n_children = 2,
                         .children = children,
                         .scale = scale,
                         .column = column};
    lathe_error err = {0};
    float out[2];
    fixture_create(&t.fx, LATHE_KIND_LEARNER, "constant", LATHE_TASK_REGRESSION, &sum);
    fixture_ok(((const lathe_learner *)sum.interface)->combine(sum.self, &how, &err), &err,
               "combine");
    trial_predict(&sum, 1, x, 1, out);
    ck_assert_float_eq_tol(out[0], 10.0f - 0.5f * 3.5f, 1e-6f);
    ck_assert_float_eq_tol(out[1], 20.0f + 2.0f * 3.5f, 1e-6f);
    lathe_instance_destroy(&sum);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(bad_input) {
    const float nan[N] = {1, NAN, 3, 4, 5, 6}, y[N] = {1, 2, 3, 4, 5, 6},
                half[N] = {0, 1, 0.5f, 1, 0, 1};
    const float zero[N] = {0}, negative[N] = {1, 1, -1, 1, 1, 1};
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .target = nan};
    trial_refused(&t, LATHE_KIND_LEARNER, "constant", d, &fit, LATHE_E_NUMERIC, "row 1");
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .weight = zero};
    trial_refused(&t, LATHE_KIND_LEARNER, "constant", d, &fit, LATHE_E_DATA, "no row");
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .weight = negative};
    trial_refused(&t, LATHE_KIND_LEARNER, "constant", d, &fit, LATHE_E_DATA, "row 2");
    release(d);
    d = make(LATHE_TASK_BINARY, 2, (const float[N]){0, 1, 0, 1, 0, 1}, NULL);
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .target = half};
    trial_refused(&t, LATHE_KIND_LEARNER, "constant", d, &fit, LATHE_E_DATA, "class number");
    lathe_instance m = trial_fit(&t, LATHE_KIND_LEARNER, "constant", d, NULL, 1);
    trial_corrupt_integer(&t, &m, "type", 9);
    trial_corrupt_integer(&t, &m, "features", -1);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

int main(void) {
    Suite *s = suite_create("constant");
    TCase *c = tcase_create("constant");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, value_minimises_the_loss);
    tcase_add_test(c, classes_get_their_frequencies);
    tcase_add_test(c, rows_counts_and_gradients);
    tcase_add_test(c, sums_itself);
    tcase_add_test(c, bad_input);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
