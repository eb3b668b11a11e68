/* The schedules: closed forms at chosen steps, their ends, nesting, and what must be refused. */
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

typedef struct point {
    const char *use;
    int64_t step, total;
    double epoch;
    double share; /* of the base rate */
} point;

#define WARM_COSINE "{\"warm_up\": {\"steps\": 20, \"from\": 0, \"then\": \"cosine\"}}"
#define WARM_STEP                                                                                  \
    "{\"warm_up\": {\"epochs\": 2, \"then\": {\"step\": {\"every\": 3, \"gamma\": 0.5}}}}"
#define WARM_EXP "{\"warm_up\": {\"steps\": 20, \"then\": {\"exponential\": {\"gamma\": 0.5}}}}"

/* Ten steps make an epoch in all of them. */
static const point points[] = {
    {"constant", 0, 100, 0, 1},
    {"constant", 99, 0, 9.9, 1},
    {"step", 0, 0, 0, 1},
    {"step", 99, 0, 9.9, 1},
    {"step", 100, 0, 10, 0.1},
    {"step", 209, 0, 20.9, 0.01},
    {"{\"step\": {\"every\": 2.5, \"gamma\": 0.5}}", 49, 0, 4.9, 0.5},
    {"{\"step\": {\"every\": 2.5, \"gamma\": 0.5}}", 50, 0, 5, 0.25},
    {"{\"step\": {\"every\": 2.5, \"gamma\": 1}}", 50, 0, 1e300, 1},
    {"exponential", 0, 0, 0, 1},
    {"{\"exponential\": {\"gamma\": 0.81}}", 5, 0, 0.5, 0.9},
    {"{\"exponential\": {\"gamma\": 0.5}}", 30, 0, 3, 0.125},
    {"cosine", 0, 100, 0, 1},
    {"cosine", 25, 100, 2.5, 0.8535533905932737},
    {"cosine", 50, 100, 5, 0.5},
    {"cosine", 100, 100, 10, 0},
    {"cosine", 500, 100, 50, 0},
    {"cosine", 7, 0, 0.7, 1}, /* the end is not known */
    {"{\"cosine\": {\"floor\": 0.1}}", 50, 100, 5, 0.55},
    {"{\"cosine\": {\"floor\": 0.1}}", 100, 100, 10, 0.1},
    {"{\"cosine\": {\"steps\": 40}}", 20, 100, 2, 0.5},
    {"{\"cosine\": {\"epochs\": 4}}", 20, 0, 2, 0.5},
    {"{\"cosine\": {\"epochs\": 4}}", 90, 0, 9, 0},
    {"warm_up", 0, 100, 0, 0.1},
    {"warm_up", 5, 100, 0.5, 0.55},
    {"warm_up", 10, 100, 1, 1},
    {"warm_up", 90, 100, 9, 1},
    {"{\"warm_up\": {\"steps\": 4, \"from\": 0.2}}", 1, 100, 0.1, 0.4},
    {"{\"warm_up\": {\"steps\": 4, \"from\": 0.2}}", 4, 100, 0.4, 1},
    {WARM_COSINE, 0, 120, 0, 0},
    {WARM_COSINE, 10, 120, 1, 0.5},
    {WARM_COSINE, 20, 120, 2, 1},
    {WARM_COSINE, 70, 120, 7, 0.5},
    {WARM_COSINE, 120, 120, 12, 0},
    {WARM_COSINE, 70, 0, 7, 1},
    {WARM_STEP, 49, 0, 4.9, 1},
    {WARM_STEP, 50, 0, 5, 0.5},
    {WARM_STEP, 81, 0, 8.1, 0.25},
    {WARM_EXP, 40, 0, 4, 0.25},
};

START_TEST(closed_forms) {
    const point *p = &points[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_SCHEDULE, p->use, 0, &a);
    const lathe_schedule *s = a.interface;
    const double rate = s->rate(a.self, 0.3, p->step, p->total, p->epoch);
    ck_assert_msg(fabs(rate - 0.3 * p->share) < 1e-12, "%s at step %lld of %lld: %.17g, not %.17g",
                  p->use, (long long)p->step, (long long)p->total, rate, 0.3 * p->share);
    ck_assert(s->rate(a.self, 0.3, p->step, p->total, p->epoch) == rate); /* a pure function */
    lathe_instance_destroy(&a);
}
END_TEST

/* Between 0 and the base rate at all times; all but the rise of a warm-up never rise. */
START_TEST(rates_are_sane) {
    const char *const uses[] = {"constant", "step",      "exponential", "cosine",
                                "warm_up",  WARM_COSINE, WARM_STEP,     WARM_EXP};
    for (size_t k = 0; k < sizeof uses / sizeof uses[0]; k++) {
        lathe_instance a;
        fixture_create(&fx, LATHE_KIND_SCHEDULE, uses[k], 0, &a);
        const lathe_schedule *s = a.interface;
        double before = INFINITY;
        for (int64_t step = 0; step <= 400; step++) {
            const double rate = s->rate(a.self, 2, step, 300, (double)step / 10);
            ck_assert_msg(rate >= 0 && rate <= 2 + 1e-12, "%s: %g at %lld", uses[k], rate,
                          (long long)step);
            if (k < 4 || step > 20) {
                ck_assert_msg(rate <= before + 1e-12, "%s rises at %lld", uses[k], (long long)step);
            }
            before = rate;
        }
        lathe_instance_destroy(&a);
    }
}
END_TEST

START_TEST(bad_parameters_are_refused) {
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"step\": {\"every\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"step\": {\"gamma\": 1.5}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"exponential\": {\"gamma\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"cosine\": {\"steps\": 5, \"epochs\": 2}}", 0,
                    "give one of them");
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"cosine\": {\"floor\": 2}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"warm_up\": {\"steps\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE, "{\"warm_up\": {\"then\": \"adam\"}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_SCHEDULE,
                    "{\"warm_up\": {\"then\": {\"cosine\": {\"flor\": 0}}}}", 0, NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("schedules");
    TCase *t = tcase_create("schedules");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, closed_forms, 0, (int)(sizeof points / sizeof points[0]));
    tcase_add_test(t, rates_are_sane);
    tcase_add_test(t, bad_parameters_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
