/* Standard errors of metrics against closed forms; what is worse, and what is the draw of the rows. */
#include "base/rng.h"
#include "monitor/worse.h"
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;
static lathe_error err;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

enum { ROWS = 1000 };

static double target[ROWS], prediction[ROWS], probability[ROWS * 2];

/* The bootstrap's error of a metric of the first n rows. */
static double error_of(const char *name, int32_t task, int64_t n, uint64_t key) {
    lathe_instance metric;
    double error;
    const bool regression = task == LATHE_TASK_REGRESSION;
    const lathe_metric_input in = {.struct_size = LATHE_SIZED(lathe_metric_input),
                                   .task = task,
                                   .n = n,
                                   .n_classes = regression ? 0 : 2,
                                   .positive = 1,
                                   .target = target,
                                   .prediction = prediction,
                                   .probability = regression ? NULL : probability};
    fixture_create(&fx, LATHE_KIND_METRIC, name, task, &metric);
    fixture_ok(lathe_metric_error(&metric, &in, key, &error, &err), &err, name);
    lathe_instance_destroy(&metric);
    return error;
}

/* 200 draws know a deviation within about 5 %: of 20 keys the mean is within 3 %, each within 25 %. */
static void expect_error(const char *name, int32_t task, int64_t n, double want) {
    double sum = 0;
    for (uint64_t key = 1; key <= 20; key++) {
        const double got = error_of(name, task, n, key);
        ck_assert_msg(fabs(got / want - 1) < 0.25, "%s: %g, not %g", name, got, want);
        sum += got / 20;
    }
    ck_assert_msg(fabs(sum / want - 1) < 0.03, "%s: %g in the mean, not %g", name, sum, want);
}

/* √(p (1 − p) / n) */
START_TEST(of_an_accuracy) {
    for (int i = 0; i < ROWS; i++) {
        target[i] = i % 2;
        prediction[i] = i % 5 == 0 ? 1 - target[i] : target[i];
    }
    expect_error("accuracy", LATHE_TASK_BINARY, 400, sqrt(0.8 * 0.2 / 400));
    expect_error("accuracy", LATHE_TASK_BINARY, 50, sqrt(0.8 * 0.2 / 50));
}
END_TEST

/* s / √n, s with n in the denominator: what is drawn from are these rows. */
START_TEST(of_a_mean) {
    double sum = 0, squares = 0;
    for (int i = 0; i < ROWS; i++) {
        lathe_rng_f64(3, (uint64_t)i, &target[i], 1);
        prediction[i] = 0;
        sum += target[i] / ROWS;
        squares += target[i] * target[i] / ROWS;
    }
    expect_error("mae", LATHE_TASK_REGRESSION, ROWS, sqrt((squares - sum * sum) / ROWS));
}
END_TEST

/* Scores that say nothing: √((n + m + 1) / (12 n m)), H. B. Mann, D. R. Whitney, Ann. Math. Stat. 18, 1947. */
START_TEST(of_an_auc) {
    for (int i = 0; i < ROWS; i++) {
        lathe_rng_f64(4, (uint64_t)i, &probability[2 * i + 1], 1);
        probability[2 * i] = 1 - probability[2 * i + 1];
        target[i] = i % 2;
        prediction[i] = probability[2 * i + 1] > 0.5;
    }
    const double want = sqrt(501.0 / (12 * 250 * 250)),
                 got = error_of("auc", LATHE_TASK_BINARY, 500, 9);
    ck_assert_msg(fabs(got / want - 1) < 0.2, "%g, not %g", got, want);
}
END_TEST

/* All of one class, and none right: no error is known of the one, that of the other is 0. */
START_TEST(where_there_is_none) {
    for (int i = 0; i < ROWS; i++) {
        target[i] = 1;
        prediction[i] = 0;
        probability[2 * i] = probability[2 * i + 1] = 0.5;
    }
    ck_assert(isnan(error_of("auc", LATHE_TASK_BINARY, 40, 1)));
    ck_assert_double_eq(error_of("accuracy", LATHE_TASK_BINARY, 40, 1), 0);
}
END_TEST

/* The bound by hand: α = 0.05 · 6 / π² = 0.030396, z = 1.8750001; at the second look α / 4, z = 2.4276218. */
START_TEST(bounds) {
    const double errors[] = {0.03, 0.04}, none[] = {0, 0}, unknown[] = {0.1, (double)NAN};
    ck_assert_double_eq_tol(lathe_worse_at_least(0.2, errors, 0.95, 1), 0.2 - 1.8750001 * 0.05,
                            1e-6);
    ck_assert_double_eq_tol(lathe_worse_at_least(0.2, errors, 0.95, 2), 0.2 - 2.4276218 * 0.05,
                            1e-6);
    ck_assert_double_eq(lathe_worse_at_least(0.2, none, 0.95, 3), 0.2);
    ck_assert(isnan(lathe_worse_at_least(0.2, unknown, 0.95, 1)));
    ck_assert(isnan(lathe_worse_at_least((double)NAN, errors, 0.95, 1)));
}
END_TEST

/* Does a canary whose answers are right with probability `right` trip while its labels come, looked at as they double? Its
 * base is right in 4 of 5. */
static bool trips(double right, double limit, uint64_t key) {
    double hits[2] = {0, 0}, u[2];
    int64_t look = 0;
    for (int n = 1; n <= 3200; n++) {
        lathe_rng_f64(key, (uint64_t)n * 2, u, 2);
        hits[0] += u[0] < right;
        hits[1] += u[1] < 0.8;
        if (n < 50 || (n / 50 & (n / 50 - 1)) != 0 || n % 50 != 0)
            continue;
        const double p = hits[0] / n, q = hits[1] / n;
        const double errors[] = {sqrt(p * (1 - p) / n), sqrt(q * (1 - q) / n)};
        if (lathe_worse_at_least(q - p, errors, 0.95, ++look) > limit)
            return true;
    }
    ck_assert_int_eq(look, 7);
    return false;
}

/* Of 1000 canaries that are as good at most 5 % trip at a limit of 0 (more than 70: once in 300 runs of other keys), though
 * each is looked at 7 times; nearly all that are worse by 0.1 do at 0.02, hardly one as good at a limit of 0.1. */
START_TEST(looking_again_is_accounted_for) {
    int equal = 0, worse = 0, far = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        equal += trips(0.8, 0, lathe_rng_key(1, "equal", i));
        worse += i < 200 && trips(0.7, 0.02, lathe_rng_key(1, "worse", i));
        far += trips(0.8, 0.1, lathe_rng_key(1, "far", i));
    }
    ck_assert_msg(equal <= 70 && equal > 5, "%d as good ones tripped", equal);
    ck_assert_msg(worse >= 196, "%d of 200 worse ones tripped", worse);
    ck_assert_msg(far <= 8, "%d far from the limit tripped", far);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("monitor_worse");
    TCase *tc = tcase_create("worse");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, of_an_accuracy);
    tcase_add_test(tc, of_a_mean);
    tcase_add_test(tc, of_an_auc);
    tcase_add_test(tc, where_there_is_none);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, looking_again_is_accounted_for);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
