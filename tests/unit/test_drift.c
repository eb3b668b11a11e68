/* test_drift.c: drift statistics against scipy (tests/fixtures/drift), on bins and on all values. */
#include "plugin_fixture.h"

#include <math.h>

#define MAX 512

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

static int32_t compare(const char *use, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    lathe_instance drift;
    fixture_create(&fx, LATHE_KIND_DRIFT, use, LATHE_TASK_REGRESSION, &drift);
    memset(err, 0, sizeof *err);
    *result = (lathe_drift_result){.struct_size = LATHE_SIZED(lathe_drift_result)};
    int32_t rc = ((const lathe_drift *)drift.interface)->compare(drift.self, r, c, result, err);
    lathe_instance_destroy(&drift);
    return rc;
}

static lathe_drift_result measure(const char *use, const lathe_distribution *r,
                                  const lathe_distribution *c) {
    lathe_drift_result result;
    lathe_error err;
    fixture_ok(compare(use, r, c, &result, &err), &err, use);
    ck_assert_int_eq(result.alert, result.statistic > result.threshold);
    return result;
}

static lathe_distribution of_counts(const double *counts, int64_t n, int categorical) {
    lathe_distribution d = {.struct_size = LATHE_SIZED(lathe_distribution),
                            .categorical = categorical,
                            .n_bins = n,
                            .counts = counts};
    for (int64_t b = 0; b < n; b++)
        d.total += counts[b];
    return d;
}

/* One bin of all values, which the exact tests look past. */
static lathe_distribution of_values(const double *values, int64_t n, double *count) {
    *count = (double)n;
    lathe_distribution d = of_counts(count, 1, 0);
    d.values = values;
    d.n_values = n;
    return d;
}

static void expect_near(const char *what, double value, double expected, double tolerance) {
    ck_assert_msg(fabs(value - expected) <= tolerance * fmax(1, fabs(expected)),
                  "%s: %.17g, expected %.17g", what, value, expected);
}

static void read_numbers(FILE *f, double *out, int n) {
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(fscanf(f, "%la", &out[i]), 1);
}

static void check_counts(FILE *f) {
    static double r[MAX], c[MAX];
    double expected[4];
    int n;
    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    read_numbers(f, r, n);
    read_numbers(f, c, n);
    read_numbers(f, expected, 4);
    lathe_distribution a = of_counts(r, n, 1), b = of_counts(c, n, 1);
    expect_near("psi", measure("psi", &a, &b).statistic, expected[0], 1e-12);
    expect_near("js", measure("js", &a, &b).statistic, expected[1], 1e-8); /* a root near 0 */
    lathe_drift_result chi2 = measure("chi2", &a, &b);
    expect_near("chi2", chi2.statistic, expected[2], 1e-11);
    expect_near("p of chi2", chi2.p_value, expected[3], 1e-11);
    if (expected[3] > 0)
        ck_assert(fabs(chi2.p_value / expected[3] - 1) < 1e-9);
}

static void check_values(FILE *f) {
    static double r[MAX], c[MAX];
    double expected[3], a_count, b_count;
    int n, m;
    ck_assert_int_eq(fscanf(f, "%d %d", &n, &m), 2);
    read_numbers(f, r, n);
    read_numbers(f, c, m);
    read_numbers(f, expected, 3);
    lathe_distribution a = of_values(r, n, &a_count), b = of_values(c, m, &b_count);
    lathe_drift_result ks = measure("ks", &a, &b);
    expect_near("ks", ks.statistic, expected[0], 1e-12);
    expect_near("p of ks", ks.p_value, expected[1], 1e-11);
    expect_near("wasserstein", measure("wasserstein", &a, &b).statistic, expected[2], 1e-11);
}

START_TEST(equals_scipy) {
    FILE *f = fopen(LATHE_FIXTURE_DIR "/drift/golden.txt", "r");
    char kind[16];
    int n = 0;
    ck_assert_ptr_nonnull(f);
    for (; fscanf(f, " %15s", kind) == 1; n++)
        if (strcmp(kind, "counts") == 0)
            check_counts(f);
        else
            check_values(f);
    fclose(f);
    ck_assert_int_ge(n, 80);
}
END_TEST

START_TEST(no_drift_is_zero) {
    static const char *const uses[] = {"psi", "js", "ks", "wasserstein", "chi2"};
    double counts[] = {10, 0, 30}, edges[] = {1, 2}, lower[] = {0, NAN, 2.5}, upper[] = {1, NAN, 4};
    for (int i = 0; i < 5; i++) {
        lathe_distribution d = of_counts(counts, 3, i == 4);
        d.edges = edges;
        d.lower = lower;
        d.upper = upper;
        lathe_drift_result result = measure(uses[i], &d, &d);
        ck_assert_double_eq(result.statistic, 0);
        ck_assert_int_eq(result.alert, 0);
        if (!isnan(result.p_value))
            ck_assert_double_eq(result.p_value, 1);
    }
}
END_TEST

/* Uniform mass on [0, 1] against [0.5, 1.5]: W1 = 0.5, σ = 1/√12. In bins of a tenth it is exact. */
START_TEST(wasserstein_of_bins) {
    double r[16] = {0}, c[16] = {0}, r_low[16], r_high[16], edges[15];
    for (int b = 0; b < 16; b++) {
        r[b] = b < 10 ? 10 : 0;
        c[b] = b >= 5 && b < 15 ? 3 : 0;
        r_low[b] = b * 0.1;
        r_high[b] = b * 0.1 + 0.1;
        if (b < 15)
            edges[b] = b * 0.1 + 0.1;
    }
    lathe_distribution a = of_counts(r, 16, 0), b = of_counts(c, 16, 0);
    a.edges = b.edges = edges;
    a.lower = b.lower = r_low;
    a.upper = b.upper = r_high;
    expect_near("wasserstein", measure("wasserstein", &a, &b).statistic, 0.5 * sqrt(12), 1e-12);
    lathe_drift_result ks = measure("ks", &a, &b);
    expect_near("ks", ks.statistic, 0.5, 1e-12);
    /* points: 0 (weight 3) and 1 (weight 1) against 1 alone: 0.75 moves by 1, σ = √(3/16) */
    double p[] = {3, 1}, q[] = {0, 5}, low[] = {0, 1}, nothing[] = {NAN, 1};
    a = of_counts(p, 2, 0);
    b = of_counts(q, 2, 0);
    a.lower = a.upper = low;
    b.lower = b.upper = nothing;
    expect_near("points", measure("wasserstein", &a, &b).statistic, 0.75 / sqrt(3.0 / 16), 1e-12);
    /* within one bin: [0, 2] against the point 1: 2·∫₀¹ x/2 dx = 0.5 */
    double one[] = {4}, zero_low[] = {0}, two[] = {2}, middle[] = {1};
    a = of_counts(one, 1, 0);
    b = of_counts(one, 1, 0);
    a.lower = zero_low;
    a.upper = two;
    b.lower = b.upper = middle;
    expect_near("in a bin", measure("wasserstein", &a, &b).statistic, 0.5 / (2 / sqrt(12)), 1e-12);
}
END_TEST

/* Crossing distribution functions: the area is that of two triangles. */
START_TEST(wasserstein_where_curves_cross) {
    double one[] = {1}, a_low[] = {0}, a_high[] = {4}, b_low[] = {1}, b_high[] = {3};
    lathe_distribution a = of_counts(one, 1, 0), b = of_counts(one, 1, 0);
    a.lower = a_low;
    a.upper = a_high;
    b.lower = b_low;
    b.upper = b_high;
    expect_near("crossing", measure("wasserstein", &a, &b).statistic, 0.5 / (4 / sqrt(12)), 1e-12);
}
END_TEST

START_TEST(thresholds) {
    double r[] = {5000, 5000}, c[] = {4850, 5150}, few_r[] = {10, 10}, few_c[] = {6, 14};
    lathe_distribution a = of_counts(r, 2, 1), b = of_counts(c, 2, 1);
    lathe_drift_result big = measure("chi2", &a, &b);
    ck_assert_double_lt(big.p_value, 0.05);
    ck_assert_int_eq(big.alert, 0); /* significant, and of no importance */
    ck_assert_int_eq(measure("{\"chi2\": {\"effect\": 0, \"p_value\": 0.05}}", &a, &b).alert, 1);
    a = of_counts(few_r, 2, 1);
    b = of_counts(few_c, 2, 1);
    ck_assert_int_eq(measure("{\"chi2\": {\"effect\": 0}}", &a, &b).alert, 0); /* may be chance */
    expect_near("critical value of 1 degree at 0.01",
                measure("{\"chi2\": {\"effect\": 0}}", &a, &b).threshold, 6.634896601021213, 1e-9);
    a.categorical = b.categorical = 0;
    expect_near("critical D at 0.05", measure("{\"ks\": {\"p_value\": 0.05}}", &a, &b).threshold,
                1.3580986393225505 / sqrt(10), 1e-9);
    ck_assert_int_eq(measure("psi", &a, &b).alert, 0);
    ck_assert_int_eq(measure("{\"psi\": {\"threshold\": 0.1}}", &a, &b).alert, 1);
}
END_TEST

START_TEST(bad_sides) {
    static const char *const uses[] = {"psi", "js", "ks", "wasserstein", "chi2"};
    double counts[] = {1, 2, 3}, nothing[] = {0, 0, 0}, bad[] = {1, -2, 3};
    lathe_drift_result result;
    lathe_error err;
    for (int i = 0; i < 5; i++) {
        int categorical = i == 4;
        lathe_distribution a = of_counts(counts, 3, categorical),
                           b = of_counts(counts, 2, categorical);
        ck_assert_int_eq(compare(uses[i], &a, &b, &result, &err), LATHE_E_SHAPE);
        b = of_counts(nothing, 3, categorical);
        ck_assert_int_eq(compare(uses[i], &a, &b, &result, &err), LATHE_E_DATA);
        ck_assert_int_eq(compare(uses[i], &b, &a, &result, &err), LATHE_E_DATA);
        b = of_counts(bad, 3, categorical);
        ck_assert_int_eq(compare(uses[i], &a, &b, &result, &err), LATHE_E_DATA);
    }
    lathe_distribution c = of_counts(counts, 3, 1);
    ck_assert_int_eq(compare("ks", &c, &c, &result, &err), LATHE_E_UNSUPPORTED);
    ck_assert_int_eq(compare("wasserstein", &c, &c, &result, &err), LATHE_E_UNSUPPORTED);
    fixture_refused(&fx, LATHE_KIND_DRIFT, "{\"psi\": {\"floor\": 0}}", LATHE_TASK_REGRESSION,
                    "floor");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("drift");
    TCase *cases = tcase_create("drift");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, equals_scipy);
    tcase_add_test(cases, no_drift_is_zero);
    tcase_add_test(cases, wasserstein_of_bins);
    tcase_add_test(cases, wasserstein_where_curves_cross);
    tcase_add_test(cases, thresholds);
    tcase_add_test(cases, bad_sides);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
