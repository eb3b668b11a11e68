/* adaboost: rounds computed by hand, the three algorithms, and other bases. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE

enum { N = 800, F = 6, M = 300 };
static float x[(N + M) * F], y[N + M], out[(N + M) * 5];
static double errors[200];
static int n_errors;

static void watch(void *user, const lathe_event *e) {
    (void)user;
    if (e->type == LATHE_EVENT_METRIC && e->depth == 0 && strcmp(e->text, "train_error") == 0 &&
        e->step < 200) {
        errors[e->step] = e->value;
        n_errors++;
    }
}

static void setup_watched(void) {
    setup();
    lathe_runtime_free(fx.runtime);
    lathe_runtime_options options = {.catalogue = fx.catalogue, .pool = fx.pool, .on_event = watch};
    lathe_error err = {0};
    fixture_ok(lathe_runtime_new(&options, &fx.runtime, &err), &err, "runtime");
    fx.host = lathe_runtime_host(fx.runtime);
    n_errors = 0;
}

static lathe_dataset *signal_set(int32_t task, int64_t k) {
    signal_data(25, task, k, N + M, F, x, y);
    return make_data(task, k, N, F, x, y, NULL, signal_categories);
}

/* Schapire's kind of toy: on a line, classes 1 1 0 0 1 1. The best stump errs on 2 of 6 rows. Then
 * a = log(2), the wrong rows weigh 1/4 each and the right ones 1/8. */
START_TEST(samme_by_hand) {
    const float xs[] = {1, 2, 3, 4, 5, 6}, ys[] = {1, 1, 0, 0, 1, 1};
    lathe_dataset *data = make_data(LATHE_TASK_BINARY, 2, 6, 1, xs, ys, NULL, NULL);
    lathe_instance a;
    must_fit(ENSEMBLE, "{\"adaboost\": {\"rounds\": 3, \"algorithm\": \"samme\"}}",
             LATHE_TASK_BINARY, 2, data, NULL, &a);
    ck_assert_int_eq(n_errors, 3);
    ck_assert_double_eq_tol(errors[0], 2.0 / 6, 1e-12);
    /* Round 1 says 0 up to row 4 or from row 3 on, so it errs on the two ones there: they weigh 1/4
     * each. The best cut then errs on the other two ones: 2 * 1/8. */
    ck_assert_double_eq_tol(errors[1], 2.0 / 8, 1e-12);
    /* Those two now weigh 1/4 each, the two of round 1 1/6, the zeros 1/12: a constant 1 errs on
     * 1/6. */
    ck_assert_double_eq_tol(errors[2], 1.0 / 6, 1e-12);
    /* The votes are log 2 and log 3 for the cuts and log 5 for the constant: all six rows come out
     * right. */
    predict(&a, 6, 1, xs, out);
    for (int i = 0; i < 6; i++)
        ck_assert((out[i] > 0.5f) == (ys[i] > 0.5f));
    double sum = log(2) + log(3) + log(5);
    double d = (log(5) - log(2) - log(3)) / sum;
    ck_assert_double_eq_tol(out[2], 1 / (1 + exp(-d)), 1e-6);
    check_round_trip(&a, 6, 1, xs);
    lathe_instance_destroy(&a);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* One round of SAMME.R: the vote is log(p / (1 - p)), and the next weights are w e^(-vote y / 2), y
 * = +-1. */
START_TEST(samme_r_by_hand) {
    const float xs[] = {0, 0, 0, 0, 1, 1, 1, 1}, ys[] = {0, 0, 0, 1, 1, 1, 1, 0};
    lathe_dataset *data = make_data(LATHE_TASK_BINARY, 2, 8, 1, xs, ys, NULL, NULL);
    lathe_instance a;
    must_fit(ENSEMBLE, "{\"adaboost\": {\"rounds\": 2}}", LATHE_TASK_BINARY, 2, data, NULL, &a);
    ck_assert_double_eq_tol(errors[0], 0.25, 1e-12);
    ck_assert_double_eq_tol(errors[1], 0.5,
                            1e-6); /* right rows shrink by sqrt 3, wrong ones grow by it */
    predict(&a, 8, 1, xs, out);
    ck_assert_double_eq_tol(out[0], 1 / (1 + exp(0.5 * log(3))),
                            1e-5); /* the second round knows nothing */
    ck_assert_double_eq_tol(out[7], 1 / (1 + exp(-0.5 * log(3))), 1e-5);
    lathe_instance_destroy(&a);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* R2 on a step with one odd row: the first round's mean errors, by hand. */
START_TEST(r2_by_hand) {
    const float xs[] = {0, 0, 0, 0, 1, 1, 1, 1}, ys[] = {0, 0, 0, 4, 10, 10, 10, 10};
    const char *uses[] = {"{\"adaboost\": {\"rounds\": 1}}",
                          "{\"adaboost\": {\"rounds\": 1, \"loss\": \"square\"}}",
                          "{\"adaboost\": {\"rounds\": 1, \"loss\": \"exponential\"}}"};
    /* the leaves say 1 and 10: errors 1 1 1 3, greatest 3 */
    const double want[] = {(3 * (1.0 / 3) + 1) / 8, (3 * (1.0 / 9) + 1) / 8,
                           (3 * (1 - exp(-1.0 / 3)) + (1 - exp(-1.0))) / 8};
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 8, 1, xs, ys, NULL, NULL);
    for (int c = 0; c < 3; c++) {
        lathe_instance a;
        must_fit(ENSEMBLE, uses[c], LATHE_TASK_REGRESSION, 0, data, NULL, &a);
        ck_assert_double_eq_tol(errors[0], want[c], 1e-6);
        ck_assert(predict_one(&a, 1, xs) == 1);
        ck_assert(predict_one(&a, 1, xs + 4) == 10);
        lathe_instance_destroy(&a);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Over training and unseen rows together: SAMME goes on fitting where the unseen ones have no more
 * to gain. */
START_TEST(boosting_beats_its_base) {
    for (int c = 0; c < 5; c++) {
        int64_t k = c == 0 ? 0 : c < 3 ? 2 : 4;
        int32_t task = c == 0  ? LATHE_TASK_REGRESSION
                       : c < 3 ? LATHE_TASK_BINARY
                               : LATHE_TASK_MULTICLASS;
        const char *base =
            k == 4 ? ", \"base\": {\"tree\": {\"max_depth\": 3, \"min_rows\": 2}}" : "";
        char one[200], many[200];
        snprintf(one, sizeof one, "{\"adaboost\": {\"rounds\": 1, \"algorithm\": \"%s\"%s}}",
                 c % 2 ? "samme" : "samme_r", base);
        snprintf(many, sizeof many, "{\"adaboost\": {\"rounds\": 60, \"algorithm\": \"%s\"%s}}",
                 c % 2 ? "samme" : "samme_r", base);
        lathe_dataset *data = signal_set(task, k);
        double loss[2] = {0, 0};
        for (int m = 0; m < 2; m++) {
            lathe_instance a;
            must_fit(ENSEMBLE, m ? many : one, task, k, data, NULL, &a);
            int64_t width = width_of(&a);
            predict(&a, N + M, F, x, out);
            for (int i = 0; i < N + M; i++) {
                int64_t best = 0;
                for (int64_t j = 1; j < width; j++)
                    best = out[i * width + j] > out[i * width + best] ? j : best;
                if (k == 0)
                    loss[m] += ((double)out[i] - y[i]) * ((double)out[i] - y[i]) / (N + M);
                else
                    loss[m] += (k == 2 ? (out[i] > 0.5f) != (y[i] > 0.5f) : best != (int64_t)y[i]) /
                               (double)(N + M);
            }
            check_round_trip(&a, 50, F, x);
            lathe_instance_destroy(&a);
        }
        ck_assert_msg(loss[1] < 0.8 * loss[0], "case %d: %g after %g", c, loss[1], loss[0]);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

/* Rows of weight 0, rows not listed, and counts. */
START_TEST(weights_rows_and_counts) {
    static float w[N], doubled[N], fitted[N];
    static int32_t rows[N];
    static uint16_t counts[N];
    int64_t n = 0;
    for (int i = 0; i < N; i++) {
        w[i] = i % 4 == 0 ? 0 : 1;
        counts[i] = (uint16_t)(i % 3);
        doubled[i] = counts[i];
        if (w[i] > 0)
            rows[n++] = i;
    }
    for (int c = 0; c < 2; c++) {
        int32_t task = c ? LATHE_TASK_BINARY : LATHE_TASK_REGRESSION;
        lathe_dataset *data = signal_set(task, c ? 2 : 0);
        lathe_fit fits[] = {{.weight = w, .fitted = fitted, .fitted_stride = 1},
                            {.rows = rows, .n_rows_used = n},
                            {.counts = counts},
                            {.weight = doubled}};
        lathe_instance a[4];
        for (int i = 0; i < 4; i++)
            must_fit(ENSEMBLE, "{\"adaboost\": {\"rounds\": 8}}", task, c ? 2 : 0, data, &fits[i],
                     &a[i]);
        ck_assert(same_state(&a[0], &a[1]));
        ck_assert(same_state(&a[2], &a[3]));
        ck_assert(!same_state(&a[0], &a[2]));
        predict(&a[0], N, F, x, out);
        ck_assert_mem_eq(out, fitted, sizeof fitted);
        for (int i = 0; i < 4; i++)
            lathe_instance_destroy(&a[i]);
        fixture_datasets(&fx)->release(data);
    }
}
END_TEST

START_TEST(any_base_serves) {
    const char *bases[] = {"{\"gbdt\": {\"rounds\": 3}}", "{\"random_forest\": {\"trees\": 3}}"};
    for (size_t b = 0; b < 2; b++)
        for (int64_t k = 0; k <= 4; k += 2) {
            int32_t task = k == 0   ? LATHE_TASK_REGRESSION
                           : k == 2 ? LATHE_TASK_BINARY
                                    : LATHE_TASK_MULTICLASS;
            char use[160];
            snprintf(use, sizeof use, "{\"adaboost\": {\"rounds\": 3, \"base\": %s}}", bases[b]);
            lathe_dataset *data = signal_set(task, k);
            lathe_instance a;
            must_fit(ENSEMBLE, use, task, k, data, NULL, &a);
            check_round_trip(&a, 300, F, x);
            lathe_instance_destroy(&a);
            fixture_datasets(&fx)->release(data);
        }
}
END_TEST

START_TEST(hard_data) {
    static float bad[N], none[N], same[N];
    lathe_dataset *data = signal_set(LATHE_TASK_BINARY, 2);
    memcpy(bad, y, sizeof bad);
    bad[3] = 0.5f;
    lathe_fit odd = {.target = bad}, no_rows = {.weight = none}, one_class = {.target = none};
    must_not_fit(ENSEMBLE, "adaboost", LATHE_TASK_BINARY, 2, data, &odd, LATHE_E_DATA,
                 "target of row 3");
    must_not_fit(ENSEMBLE, "adaboost", LATHE_TASK_BINARY, 2, data, &no_rows, LATHE_E_DATA,
                 "no row has a weight");
    lathe_instance a;
    must_fit(ENSEMBLE, "adaboost", LATHE_TASK_BINARY, 2, data, &one_class,
             &a); /* right at once: one round */
    ck_assert_int_eq(n_errors, 1);
    ck_assert(predict_one(&a, F, x) < 0.5f);
    lathe_instance_destroy(&a);
    fixture_datasets(&fx)->release(data);
    /* nothing to learn from: half of the rows are wrong, and it says so */
    for (int i = 0; i < N; i++)
        bad[i] = (float)(i % 2);
    data = make_data(LATHE_TASK_BINARY, 2, N, 1, same, bad, NULL, NULL);
    const char *uses[] = {"{\"adaboost\": {\"algorithm\": \"samme\"}}", "adaboost"};
    for (int u = 0; u < 2; u++) {
        must_fit(ENSEMBLE, uses[u], LATHE_TASK_BINARY, 2, data, NULL, &a);
        float p = predict_one(&a, 1, same);
        ck_assert(p > 0 && p < 1);
        lathe_instance_destroy(&a);
    }
    fixture_datasets(&fx)->release(data);
    data = make_data(LATHE_TASK_REGRESSION, 0, 1, 1, same, bad + 1, NULL, NULL);
    must_fit(ENSEMBLE, "adaboost", LATHE_TASK_REGRESSION, 0, data, NULL, &a);
    ck_assert(predict_one(&a, 1, same) == 1);
    lathe_instance_destroy(&a);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(states_that_lie_are_refused) {
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    lathe_instance a;
    must_fit(ENSEMBLE, "{\"adaboost\": {\"rounds\": 2}}", LATHE_TASK_REGRESSION, 0, data, NULL, &a);
    const double nan[] = {1, NAN}, zero[] = {0, 1};
    must_not_load(&a, "alpha", nan, 0, "weight of learner 1");
    must_not_load(&a, "alpha", zero, 0, "weight of learner 0");
    must_not_load(&a, "outputs", NULL, 2, "");
    must_not_load(&a, "features", NULL, 0, "features");
    must_not_load(&a, "members", NULL, 1, "");
    lathe_instance_destroy(&a);
    fixture_datasets(&fx)->release(data);
}
END_TEST

START_TEST(threads_change_no_bit) {
    check_threads(ENSEMBLE, "{\"adaboost\": {\"rounds\": 10}}", LATHE_TASK_BINARY, 2, 30000);
    check_threads(ENSEMBLE, "{\"adaboost\": {\"rounds\": 10, \"algorithm\": \"samme\"}}",
                  LATHE_TASK_MULTICLASS, 5, 5000);
    check_threads(ENSEMBLE, "{\"adaboost\": {\"rounds\": 10}}", LATHE_TASK_REGRESSION, 0, 5000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("adaboost");
    TCase *c = tcase_create("adaboost");
    tcase_add_checked_fixture(c, setup_watched, teardown);
    tcase_add_test(c, samme_by_hand);
    tcase_add_test(c, samme_r_by_hand);
    tcase_add_test(c, r2_by_hand);
    tcase_add_test(c, boosting_beats_its_base);
    tcase_add_test(c, weights_rows_and_counts);
    tcase_add_test(c, any_base_serves);
    tcase_add_test(c, hard_data);
    tcase_add_test(c, states_that_lie_are_refused);
    tcase_add_test(c, threads_change_no_bit);
    suite_add_tcase(s, c);
    return run_suite(s);
}
