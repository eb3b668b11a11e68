/* Guards of a canary: settings, counters, quantiles, verdicts. */
#include "serve/rollout/rollout.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

/* ---- settings ---- */

static int32_t read_text(const char *text, lathe_canary *canary) {
    cJSON *tree = cJSON_Parse(text);
    lathe_error_clear(&err);
    const int32_t rc = lathe_canary_read(tree, canary, &err);
    cJSON_Delete(tree);
    return rc;
}

START_TEST(settings_have_defaults) {
    lathe_canary c;
    ck_assert_int_eq(read_text("{}", &c), LATHE_OK);
    ck_assert_int_eq(c.n_steps, 4);
    ck_assert(c.steps[0] == 1 && c.steps[3] == 100 && c.bake_seconds == 300 && !c.manual);
    ck_assert(c.guarded[LATHE_GUARD_ERROR_RATIO] && c.limits[LATHE_GUARD_ERROR_RATIO] == 0.01);
    ck_assert_int_eq(read_text("{\"steps\":[2.5,50],\"bake_seconds\":0,\"min_requests\":1,"
                               "\"promote\":\"manual\",\"guards\":{\"latency_p99_ms\":3}}",
                               &c),
                     LATHE_OK);
    ck_assert(c.n_steps == 2 && c.steps[0] == 2.5 && c.manual && c.min_requests == 1);
    ck_assert(!c.guarded[LATHE_GUARD_ERROR_RATIO] && c.limits[LATHE_GUARD_LATENCY_P99_MS] == 3);
}
END_TEST

START_TEST(guards_may_be_objects) {
    lathe_canary c;
    ck_assert_int_eq(read_text("{\"guards\":{\"feature_drift\":{\"ks\":0.1,\"chi2\":0.05},"
                               "\"output_drift\":0.3,\"quality_drop\":{\"limit\":0.02,"
                               "\"confidence\":0.99}}}",
                               &c),
                     LATHE_OK);
    const double *features = c.drift[LATHE_TRIAL_FEATURES], *outputs = c.drift[LATHE_TRIAL_OUTPUTS];
    ck_assert(isnan(features[0]) && isnan(features[1]) && features[2] == 0.1 &&
              features[3] == 0.05 && isnan(features[4]));
    ck_assert(outputs[0] == 0.3 && isnan(outputs[2]));
    ck_assert(c.limits[LATHE_GUARD_QUALITY_DROP] == 0.02 && c.confidence == 0.99);
    ck_assert_int_eq(read_text("{\"guards\":{\"quality_drop\":0.1}}", &c), LATHE_OK);
    ck_assert(c.limits[LATHE_GUARD_QUALITY_DROP] == 0.1 && c.confidence == LATHE_GUARD_CONFIDENCE);
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    {"[]", "object"},
    {"{\"stepps\":[1]}", "stepps"},
    {"{\"steps\":[]}", "1 to 16"},
    {"{\"steps\":7}", "list"},
    {"{\"steps\":[0]}", "above 0"},
    {"{\"steps\":[10,10]}", "larger"},
    {"{\"steps\":[101]}", "100"},
    {"{\"steps\":[\"1\"]}", "percentages"},
    {"{\"steps\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "16"},
    {"{\"bake_seconds\":-1}", "bake_seconds"},
    {"{\"bake_seconds\":1e99}", "bake_seconds"},
    {"{\"min_requests\":0}", "min_requests"},
    {"{\"promote\":\"now\"}", "manual"},
    {"{\"promote\":1}", "manual"},
    {"{\"guards\":[]}", "object"},
    {"{\"guards\":{\"eror_ratio\":1}}", "error_ratio"},
    {"{\"guards\":{\"error_ratio\":-1}}", "from 0"},
    {"{\"guards\":{\"error_ratio\":\"1\"}}", "number"},
    {"{\"guards\":{\"error_ratio\":{\"limit\":1}}}", "number"},
    {"{\"guards\":{\"feature_drift\":{}}}", "measures"},
    {"{\"guards\":{\"feature_drift\":\"ks\"}}", "number"},
    {"{\"guards\":{\"feature_drift\":{\"chi\":0.1}}}", "did you mean \"chi2\""},
    {"{\"guards\":{\"output_drift\":{\"ks\":1.5}}}", "from 0 to 1"},
    {"{\"guards\":{\"output_drift\":{\"ks\":null}}}", "\"ks\" in \"output_drift\""},
    {"{\"guards\":{\"quality_drop\":{}}}", "limit"},
    {"{\"guards\":{\"quality_drop\":{\"limit\":0,\"confidence\":1}}}", "confidence"},
    {"{\"guards\":{\"quality_drop\":{\"limit\":0,\"level\":0.9}}}", "level"},
};

START_TEST(bad_settings_are_named) {
    lathe_canary c;
    ck_assert_int_eq(read_text(bad[_i].text, &c), LATHE_E_INVALID);
    ck_assert_msg(strstr(err.message, bad[_i].says) != NULL, "%s", err.message);
}
END_TEST

/* ---- counters ---- */

START_TEST(buckets_hold_their_latencies) {
    for (double ns = 1; ns < 1e11; ns *= 1.003) {
        lathe_slot_arm arm;
        memset(&arm, 0, sizeof arm);
        lathe_arm_latency(&arm, (uint64_t)ns);
        int b = 0;
        while (b < LATHE_ARM_BUCKETS - 1 && atomic_load(&arm.latency[b]) == 0)
            b++;
        ck_assert_uint_eq(atomic_load(&arm.latency[b]), 1);
        const double seconds = (double)(uint64_t)ns * 1e-9, slack = 1 + 1e-9;
        if (b < LATHE_ARM_BUCKETS - 1)
            ck_assert_msg(seconds <= lathe_arm_bucket_seconds(b) * slack, "%g in %d", ns, b);
        if (b > 0)
            ck_assert_msg(seconds * slack >= lathe_arm_bucket_seconds(b - 1), "%g in %d", ns, b);
    }
}
END_TEST

/* A side with n requests of about `us` microseconds. */
static lathe_arm_totals side(uint64_t n, double us, uint64_t errors, uint64_t rejected) {
    lathe_slot_arm arm;
    lathe_arm_totals t = {.requests = n, .errors = errors, .rejected = rejected};
    memset(&arm, 0, sizeof arm);
    for (uint64_t i = 0; i < n - errors - rejected; i++) {
        lathe_arm_latency(&arm, (uint64_t)(us * 1000));
        t.ns += (uint64_t)(us * 1000);
    }
    for (int b = 0; b < LATHE_ARM_BUCKETS; b++)
        t.latency[b] = atomic_load(&arm.latency[b]);
    return t;
}

START_TEST(quantiles_are_within_a_bucket) {
    lathe_arm_totals t = side(990, 100, 0, 0);
    const lathe_arm_totals slow = side(10, 5000, 0, 0), none = {0};
    for (int b = 0; b < LATHE_ARM_BUCKETS; b++)
        t.latency[b] += slow.latency[b];
    ck_assert_double_eq_tol(lathe_arm_quantile(&t, 0.5) * 1e6, 100, 20);
    ck_assert_double_eq_tol(lathe_arm_quantile(&t, 0.98) * 1e6, 100, 20);
    ck_assert_double_eq_tol(lathe_arm_quantile(&t, 0.995) * 1e6, 5000, 1000);
    ck_assert(isnan(lathe_arm_quantile(&none, 0.5)));
}
END_TEST

/* ---- verdicts ---- */

static lathe_guard judge(lathe_guard guard, double limit, lathe_arm_totals canary,
                         lathe_arm_totals base, double *measured) {
    lathe_canary c = {.min_requests = 100};
    c.guarded[guard] = true;
    c.limits[guard] = limit;
    return lathe_guards_judge(&c, &canary, &base, measured);
}

START_TEST(guards_trip_beyond_their_limit) {
    double m;
    const lathe_arm_totals good = side(1000, 100, 0, 0), none = {0};
#define HOLDS(guard, limit, canary, base)                                                          \
    ck_assert_int_eq(judge(guard, limit, canary, base, &m), LATHE_GUARDS)
#define TRIPS(guard, limit, canary, base, value, tolerance)                                        \
    do {                                                                                           \
        ck_assert_int_eq(judge(guard, limit, canary, base, &m), guard);                            \
        ck_assert_double_eq_tol(m, value, tolerance);                                              \
    } while (0)
    HOLDS(LATHE_GUARD_ERROR_RATIO, 0.01, side(1000, 100, 10, 0), good);
    TRIPS(LATHE_GUARD_ERROR_RATIO, 0.01, side(1000, 100, 11, 0), good, 0.011, 1e-12);
    HOLDS(LATHE_GUARD_ERROR_RATIO, 0.01, side(20, 100, 1, 0), good); /* too few to tell */
    TRIPS(LATHE_GUARD_ERROR_RATIO, 0.01, side(20, 100, 2, 0), good, 0.1, 1e-12); /* lost anyway */
    TRIPS(LATHE_GUARD_ERROR_RATIO, 0, side(1, 100, 1, 0), none, 1, 1e-12);
    HOLDS(LATHE_GUARD_REJECTED_RATIO, 0.05, side(1000, 100, 0, 240), side(1000, 100, 0, 200));
    TRIPS(LATHE_GUARD_REJECTED_RATIO, 0.05, side(1000, 100, 0, 260), side(1000, 100, 0, 200), 0.06,
          1e-9);
    HOLDS(LATHE_GUARD_REJECTED_RATIO, 0.05, side(1000, 100, 0, 260), none); /* nothing to compare */
    HOLDS(LATHE_GUARD_LATENCY_MEAN_MS, 0.11, good, none);
    TRIPS(LATHE_GUARD_LATENCY_MEAN_MS, 0.09, good, none, 0.1, 1e-9);
    TRIPS(LATHE_GUARD_LATENCY_MEAN_RATIO, 1.5, side(1000, 200, 0, 0), good, 2, 1e-9);
    HOLDS(LATHE_GUARD_LATENCY_MEAN_RATIO, 2.5, side(1000, 200, 0, 0), good);
    TRIPS(LATHE_GUARD_LATENCY_P99_RATIO, 3, side(1000, 1600, 0, 0), good, 16, 4);
    HOLDS(LATHE_GUARD_LATENCY_P99_RATIO, 3, side(50, 1600, 0, 0), good);
    TRIPS(LATHE_GUARD_LATENCY_P99_MS, 1, side(1000, 1600, 0, 0), none, 1.6, 0.3);
}
END_TEST

START_TEST(drift_is_the_stability_index) {
    lathe_arm_totals canary = side(1000, 100, 0, 0), base = canary;
    double m;
    canary.classes[0] = 500, canary.classes[1] = 500;
    base.classes[0] = 5000, base.classes[1] = 5000;
    ck_assert_int_eq(judge(LATHE_GUARD_PREDICTION_DRIFT, 0.001, canary, base, &m), LATHE_GUARDS);
    canary.classes[0] = 700, canary.classes[1] = 300;
    /* 0.2 ln(0.7 / 0.5) - 0.2 ln(0.3 / 0.5) */
    ck_assert_int_eq(judge(LATHE_GUARD_PREDICTION_DRIFT, 0.1, canary, base, &m),
                     LATHE_GUARD_PREDICTION_DRIFT);
    ck_assert_double_eq_tol(m, 0.2 * log(0.7 / 0.5) - 0.2 * log(0.3 / 0.5), 0.002);
    canary.classes[0] = 0, canary.classes[1] = 1000; /* a class that it never predicts */
    judge(LATHE_GUARD_PREDICTION_DRIFT, 0.1, canary, base, &m);
    ck_assert(isfinite(m) && m > 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_rollout");
    TCase *tc = tcase_create("guards");
    tcase_add_test(tc, settings_have_defaults);
    tcase_add_test(tc, guards_may_be_objects);
    tcase_add_loop_test(tc, bad_settings_are_named, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tc, buckets_hold_their_latencies);
    tcase_add_test(tc, quantiles_are_within_a_bucket);
    tcase_add_test(tc, guards_trip_beyond_their_limit);
    tcase_add_test(tc, drift_is_the_stability_index);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
