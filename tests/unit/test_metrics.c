/* test_metrics.c: every metric against scikit-learn 1.2 (tests/fixtures/metrics), and what they refuse. */
#include "plugin_fixture.h"

#include <math.h>

#define MAX_ROWS 64
#define MAX_CLASSES 8

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

/* Instances by use and task, made once. */
typedef struct made {
    char use[96];
    int32_t task;
    lathe_instance instance;
} made;

static made cache[128];
static int n_made;

static const lathe_instance *metric(const char *use, int32_t task) {
    for (int i = 0; i < n_made; i++)
        if (cache[i].task == task && strcmp(cache[i].use, use) == 0)
            return &cache[i].instance;
    ck_assert_int_lt(n_made, 128);
    made *m = &cache[n_made++];
    snprintf(m->use, sizeof m->use, "%s", use);
    m->task = task;
    fixture_create(&fx, LATHE_KIND_METRIC, use, task, &m->instance);
    return &m->instance;
}

static void forget_metrics(void) {
    while (n_made > 0)
        lathe_instance_destroy(&cache[--n_made].instance);
}

static int32_t compute(const char *use, const lathe_metric_input *in, double *value,
                       lathe_error *err) {
    const lathe_instance *m = metric(use, in->task);
    memset(err, 0, sizeof *err);
    return ((const lathe_metric *)m->interface)->compute(m->self, in, value, err);
}

static void read_numbers(FILE *f, double *out, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_eq(fscanf(f, "%la", &out[i]), 1);
}

/* One case of golden.txt; 0 at the end of the file. Counts the values compared. */
static int check_case(FILE *f, int *n_values) {
    static double target[MAX_ROWS], prediction[MAX_ROWS], weight[MAX_ROWS];
    static double probability[MAX_ROWS * MAX_CLASSES];
    long long n, k, positive;
    int task, has_weight;
    char name[64], use[96], text[64];
    if (fscanf(f, " case %d %lld %lld %lld %d", &task, &n, &k, &positive, &has_weight) != 5)
        return 0;
    ck_assert(n >= 1 && n <= MAX_ROWS && k <= MAX_CLASSES);
    read_numbers(f, target, n);
    read_numbers(f, prediction, n);
    read_numbers(f, probability, n * k);
    if (has_weight)
        read_numbers(f, weight, n);
    lathe_metric_input in = {.struct_size = LATHE_SIZED(lathe_metric_input),
                             .task = task,
                             .n = n,
                             .n_classes = k,
                             .positive = positive,
                             .target = target,
                             .prediction = prediction,
                             .probability = k > 0 ? probability : NULL,
                             .weight = has_weight ? weight : NULL};
    while (fscanf(f, " %63s", name) == 1 && strcmp(name, "end") != 0) {
        ck_assert_int_eq(fscanf(f, " %95s %63s", use, text), 2);
        double expected = strtod(text, NULL), value = -1;
        lathe_error err;
        fixture_ok(compute(use, &in, &value, &err), &err, use);
        if (isnan(expected))
            ck_assert_msg(isnan(value) && err.message[0] != '\0',
                          "%s: %.17g, expected nan with a reason", use, value);
        else
            ck_assert_msg(fabs(value - expected) <= 1e-9 * fmax(1, fabs(expected)),
                          "%s (task %d, %lld rows): %.17g, expected %.17g", use, task, n, value,
                          expected);
        ++*n_values;
    }
    return 1;
}

START_TEST(equals_scikit_learn) {
    FILE *f = fopen(LATHE_FIXTURE_DIR "/metrics/golden.txt", "r");
    int n_cases = 0, n_values = 0;
    ck_assert_ptr_nonnull(f);
    while (check_case(f, &n_values))
        n_cases++;
    ck_assert_int_ne(feof(f), 0);
    fclose(f);
    forget_metrics();
    ck_assert_int_ge(n_cases, 500);
    ck_assert_int_ge(n_values, 5000);
}
END_TEST

static lathe_metric_input binary(int64_t n, const double *t, const double *p, const double *prob) {
    return (lathe_metric_input){.struct_size = LATHE_SIZED(lathe_metric_input),
                                .task = LATHE_TASK_BINARY,
                                .n = n,
                                .n_classes = 2,
                                .positive = 1,
                                .target = t,
                                .prediction = p,
                                .probability = prob};
}

static const char *const classification[] = {"\"accuracy\"",
                                             "\"balanced_accuracy\"",
                                             "\"precision\"",
                                             "\"recall\"",
                                             "\"f1\"",
                                             "\"mcc\"",
                                             "\"log_loss\"",
                                             "\"brier\"",
                                             "\"average_precision\"",
                                             "\"auc\""};
static const char *const regression[] = {"\"mse\"",  "\"rmse\"", "\"mae\"",
                                         "\"mape\"", "\"r2\"",   "\"median_absolute_error\""};
#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

START_TEST(no_rows_are_an_error) {
    double one = 1, value;
    lathe_error err;
    lathe_metric_input in = binary(0, &one, &one, &one);
    for (int i = 0; i < COUNT(classification); i++) {
        ck_assert_int_eq(compute(classification[i], &in, &value, &err), LATHE_E_DATA);
        ck_assert_ptr_nonnull(strstr(err.message, "no rows"));
    }
    in.task = LATHE_TASK_REGRESSION;
    in.n_classes = 0;
    for (int i = 0; i < COUNT(regression); i++)
        ck_assert_int_eq(compute(regression[i], &in, &value, &err), LATHE_E_DATA);
    forget_metrics();
}
END_TEST

START_TEST(nan_prediction_is_an_error) {
    double t[] = {0, 1}, p[] = {0, NAN}, prob[] = {1, 0, NAN, NAN}, value;
    lathe_error err;
    lathe_metric_input in = binary(2, t, p, prob);
    for (int i = 0; i < COUNT(classification); i++)
        ck_assert_int_eq(compute(classification[i], &in, &value, &err), LATHE_E_NUMERIC);
    in.task = LATHE_TASK_REGRESSION;
    in.n_classes = 0;
    in.probability = NULL;
    for (int i = 0; i < COUNT(regression); i++) {
        ck_assert_int_eq(compute(regression[i], &in, &value, &err), LATHE_E_NUMERIC);
        ck_assert_ptr_nonnull(strstr(err.message, "row 1"));
    }
    forget_metrics();
}
END_TEST

START_TEST(bad_input_is_an_error) {
    double t[] = {0, 2}, p[] = {0, 1}, prob[] = {1, 0, 0, 1}, w[] = {1, -1}, value;
    lathe_error err;
    lathe_metric_input in = binary(2, t, p, prob);
    for (int i = 0; i < COUNT(classification); i++) /* class 2 of two */
        ck_assert_int_eq(compute(classification[i], &in, &value, &err), LATHE_E_INVALID);
    t[1] = 1;
    in.weight = w;
    for (int i = 0; i < COUNT(classification); i++)
        ck_assert_int_eq(compute(classification[i], &in, &value, &err), LATHE_E_DATA);
    in.weight = NULL;
    in.probability = NULL;
    ck_assert_int_eq(compute("\"auc\"", &in, &value, &err), LATHE_E_INVALID);
    ck_assert_int_eq(compute("\"log_loss\"", &in, &value, &err), LATHE_E_INVALID);
    fixture_refused(&fx, LATHE_KIND_METRIC, "mse", LATHE_TASK_BINARY, "regression");
    fixture_refused(&fx, LATHE_KIND_METRIC, "auc", LATHE_TASK_REGRESSION, "classification");
    forget_metrics();
}
END_TEST

START_TEST(no_weight_is_undefined) {
    double t[] = {0, 1}, p[] = {0, 1}, w[] = {0, 0}, prob[] = {.8, .2, .1, .9}, value;
    static const char *const uses[] = {"\"accuracy\"", "\"balanced_accuracy\"", "\"log_loss\"",
                                       "\"brier\"", "\"auc\""};
    lathe_error err;
    lathe_metric_input in = binary(2, t, p, prob);
    in.weight = w;
    for (int i = 0; i < COUNT(uses); i++) {
        ck_assert_int_eq(compute(uses[i], &in, &value, &err), LATHE_OK);
        ck_assert(isnan(value) && strstr(err.message, "weight") != NULL);
    }
    in.task = LATHE_TASK_REGRESSION;
    in.n_classes = 0;
    for (int i = 0; i < COUNT(regression); i++) {
        ck_assert_int_eq(compute(regression[i], &in, &value, &err), LATHE_OK);
        ck_assert(isnan(value) && strstr(err.message, "weights of all rows are 0") != NULL);
    }
    forget_metrics();
}
END_TEST

START_TEST(constant_target_that_rounds) { /* the mean of three 0.1 is not 0.1 in floating point */
    double t[] = {0.1, 0.1, 0.1}, p[] = {0.1, 0.1, 0.2}, value;
    lathe_error err;
    lathe_metric_input in = {.struct_size = LATHE_SIZED(lathe_metric_input),
                             .task = LATHE_TASK_REGRESSION,
                             .n = 3,
                             .target = t,
                             .prediction = p};
    ck_assert_int_eq(compute("\"r2\"", &in, &value, &err), LATHE_OK);
    ck_assert_double_eq(value, 0);
    p[2] = 0.1;
    ck_assert_int_eq(compute("\"r2\"", &in, &value, &err), LATHE_OK);
    ck_assert_double_eq(value, 1);
    forget_metrics();
}
END_TEST

START_TEST(binary_average_of_three_classes) {
    double t[] = {0, 1, 2}, value;
    lathe_error err;
    lathe_metric_input in = binary(3, t, t, NULL);
    in.task = LATHE_TASK_MULTICLASS;
    in.n_classes = 3;
    ck_assert_int_eq(compute("{\"f1\":{\"average\":\"binary\"}}", &in, &value, &err),
                     LATHE_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "3 classes"));
    fixture_refused(&fx, LATHE_KIND_METRIC, "{\"f1\":{\"average\":\"median\"}}", LATHE_TASK_BINARY,
                    "median");
    forget_metrics();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *cases = tcase_create("metrics");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, equals_scikit_learn);
    tcase_add_test(cases, no_rows_are_an_error);
    tcase_add_test(cases, nan_prediction_is_an_error);
    tcase_add_test(cases, bad_input_is_an_error);
    tcase_add_test(cases, no_weight_is_undefined);
    tcase_add_test(cases, constant_target_that_rounds);
    tcase_add_test(cases, binary_average_of_three_classes);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
