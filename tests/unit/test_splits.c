/* test_splits.c: counts, stability under added rows, strata, groups, time, named parts, folds. */
#include "plugin_fixture.h"

#include <math.h>

#define MAX_ROWS 2000

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

/* A table of columns g (category), t (timestamp), x (float), and a target. */
typedef struct data {
    int64_t n;
    int64_t row_id[MAX_ROWS];
    int32_t group[MAX_ROWS];
    int64_t time[MAX_ROWS];
    double x[MAX_ROWS];
    int32_t class[MAX_ROWS];
    double value[MAX_ROWS];
    int32_t part[MAX_ROWS];
    int32_t fold[MAX_ROWS];
    lathe_str dict[512];
    char names[512][8];
    lathe_column columns[3];
    lathe_column classes;
    lathe_column values;
    lathe_table table;
} data;

static data d, e;

static void make_data(data *m, int64_t n) {
    m->n = n;
    for (int k = 0; k < 512; k++) {
        snprintf(m->names[k], sizeof m->names[k], "g%d", k);
        m->dict[k] = (lathe_str){m->names[k], (int64_t)strlen(m->names[k])};
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = (uint64_t)(i + 1) * 0x9E3779B97F4A7C15ull;
        m->row_id[i] = i;
        m->group[i] = (int32_t)(h >> 40) % 40;
        m->time[i] = (int64_t)(h >> 33) % 1000 * 1000000;
        m->x[i] = (double)(h >> 50);
        m->class[i] = i % 10 == 0 ? 2 : i % 10 < 4 ? 1 : 0; /* 10 %, 30 %, 60 % */
        m->value[i] = (double)(h >> 20 & 0xFFFF);
    }
    m->columns[0] = (lathe_column){"g", LATHE_COLUMN_CATEGORY, 0, m->group, m->dict, 40};
    m->columns[1] = (lathe_column){"t", LATHE_COLUMN_TIMESTAMP, 0, m->time, NULL, 0};
    m->columns[2] = (lathe_column){"x", LATHE_COLUMN_FLOAT64, 0, m->x, NULL, 0};
    m->classes = (lathe_column){"y", LATHE_COLUMN_CATEGORY, 0, m->class, m->dict, 3};
    m->values = (lathe_column){"y", LATHE_COLUMN_FLOAT64, 0, m->value, NULL, 0};
    m->table = (lathe_table){n, 3, m->columns};
}

static int32_t assign(data *m, const char *use, int32_t task, uint64_t key, lathe_error *err) {
    lathe_instance instance;
    memset(err, 0, sizeof *err);
    fixture_create(&fx, LATHE_KIND_SPLIT, use, task, &instance);
    const lathe_split *s = instance.interface;
    lathe_split_input in = {.struct_size = LATHE_SIZED(lathe_split_input),
                            .task = task,
                            .table = &m->table,
                            .target = task == LATHE_TASK_REGRESSION ? &m->values : &m->classes,
                            .row_id = m->row_id,
                            .key = key};
    for (int64_t i = 0; i < MAX_ROWS; i++)
        m->part[i] = m->fold[i] = -77;
    int folds = s->n_folds(instance.self);
    int32_t rc = s->assign(instance.self, &in, m->part, folds > 0 ? m->fold : NULL, err);
    lathe_instance_destroy(&instance);
    return rc;
}

static void split(data *m, const char *use, int32_t task, uint64_t key) {
    lathe_error err;
    fixture_ok(assign(m, use, task, key, &err), &err, use);
    for (int64_t i = 0; i < m->n; i++)
        ck_assert(m->part[i] >= LATHE_PART_TRAIN && m->part[i] <= LATHE_PART_NONE);
}

static void refuse(data *m, const char *use, int32_t task, int32_t code, const char *message) {
    lathe_error err;
    ck_assert_int_eq(assign(m, use, task, 1, &err), code);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s: \"%s\" lacks \"%s\"", use, err.message,
                  message);
}

static int64_t count(const data *m, int32_t part) {
    int64_t n = 0;
    for (int64_t i = 0; i < m->n; i++)
        n += m->part[i] == part;
    return n;
}

static void expect_counts(const data *m, int64_t train, int64_t validation, int64_t test) {
    ck_assert_int_eq(count(m, LATHE_PART_TRAIN), train);
    ck_assert_int_eq(count(m, LATHE_PART_VALIDATION), validation);
    ck_assert_int_eq(count(m, LATHE_PART_TEST), test);
}

START_TEST(random_counts_and_keys) {
    make_data(&d, 1000);
    make_data(&e, 1000);
    split(&d, "random", LATHE_TASK_BINARY, 7);
    expect_counts(&d, 700, 100, 200);
    split(&e, "random", LATHE_TASK_BINARY, 7);
    ck_assert_mem_eq(d.part, e.part, sizeof d.part);
    split(&e, "random", LATHE_TASK_BINARY, 8);
    ck_assert_mem_ne(d.part, e.part, sizeof d.part);
    split(&d, "{\"random\": {\"test\": 0.25, \"validation\": 0}}", LATHE_TASK_BINARY, 7);
    expect_counts(&d, 750, 0, 250);
    make_data(&d, 3);
    split(&d, "{\"random\": {\"test\": 0.01, \"validation\": 0.01}}", LATHE_TASK_BINARY, 7);
    expect_counts(&d, 1, 1, 1);
}
END_TEST

/* The order of the rows does not matter, and rows that are added move few others. */
START_TEST(random_is_keyed_by_row) {
    int64_t moved = 0;
    make_data(&d, 1000);
    make_data(&e, 1000);
    for (int64_t i = 0; i < 1000; i++)
        e.row_id[i] = 999 - i;
    split(&d, "random", LATHE_TASK_BINARY, 7);
    split(&e, "random", LATHE_TASK_BINARY, 7);
    for (int64_t i = 0; i < 1000; i++)
        ck_assert_int_eq(d.part[i], e.part[999 - i]);
    make_data(&e, 1100);
    split(&e, "random", LATHE_TASK_BINARY, 7);
    for (int64_t i = 0; i < 1000; i++)
        moved += d.part[i] != e.part[i];
    ck_assert_int_le(moved, 30); /* the two borders alone: a few, not two thirds */
}
END_TEST

START_TEST(shares_that_cannot_be) {
    make_data(&d, 10);
    fixture_refused(&fx, LATHE_KIND_SPLIT, "{\"random\": {\"test\": 0.6, \"validation\": 0.4}}",
                    LATHE_TASK_BINARY, "below 1");
    fixture_refused(&fx, LATHE_KIND_SPLIT, "{\"stratified\": {\"test\": 1}}", LATHE_TASK_BINARY,
                    "test");
    make_data(&d, 2);
    refuse(&d, "random", LATHE_TASK_BINARY, LATHE_E_DATA, "2 rows are too few");
    make_data(&d, 0);
    refuse(&d, "random", LATHE_TASK_BINARY, LATHE_E_DATA, "no rows");
    refuse(&d, "{\"by_column\": {\"column\": \"g\"}}", LATHE_TASK_BINARY, LATHE_E_DATA, "no rows");
}
END_TEST

START_TEST(stratified_shares) {
    int64_t n[3][3] = {{0}};
    make_data(&d, 1000);
    split(&d, "stratified", LATHE_TASK_MULTICLASS, 7);
    expect_counts(&d, 700, 100, 200);
    for (int64_t i = 0; i < d.n; i++)
        n[d.class[i]][d.part[i]]++;
    ck_assert_int_eq(n[0][LATHE_PART_TEST], 120);
    ck_assert_int_eq(n[1][LATHE_PART_TEST], 60);
    ck_assert_int_eq(n[2][LATHE_PART_TEST], 20);
    ck_assert_int_eq(n[2][LATHE_PART_VALIDATION], 10);
    make_data(&d, 997); /* uneven: within a row of the exact share */
    split(&d, "stratified", LATHE_TASK_MULTICLASS, 7);
    expect_counts(&d, 698, 100, 199);
    int64_t all[3] = {0};
    memset(n, 0, sizeof n);
    for (int64_t i = 0; i < d.n; i++) {
        n[d.class[i]][d.part[i]]++;
        all[d.class[i]]++;
    }
    for (int k = 0; k < 3; k++)
        ck_assert(fabs((double)n[k][LATHE_PART_TEST] - 199.0 * (double)all[k] / 997) < 1);
}
END_TEST

START_TEST(stratified_keeps_rare_classes_to_train) {
    make_data(&d, 60);
    for (int64_t i = 0; i < d.n; i++)
        d.class[i] = i < 40 ? 0 : (int32_t)(1 + (i - 40) % 20); /* twenty classes of one row */
    d.classes.dict_size = 40;
    split(&d, "stratified", LATHE_TASK_MULTICLASS, 3);
    expect_counts(&d, 42, 6, 12);
    for (int64_t i = 40; i < d.n; i++)
        ck_assert_int_eq(d.part[i], LATHE_PART_TRAIN);
    d.class[5] = LATHE_CODE_MISSING;
    refuse(&d, "stratified", LATHE_TASK_MULTICLASS, LATHE_E_DATA, "row 5 has no target");
}
END_TEST

START_TEST(stratified_by_value) {
    double sum[3] = {0};
    int64_t n[3] = {0};
    make_data(&d, 2000);
    split(&d, "{\"stratified\": {\"bins\": 20}}", LATHE_TASK_REGRESSION, 5);
    expect_counts(&d, 1400, 200, 400);
    for (int64_t i = 0; i < d.n; i++) {
        sum[d.part[i]] += d.value[i];
        n[d.part[i]]++;
    }
    double train = sum[LATHE_PART_TRAIN] / (double)n[LATHE_PART_TRAIN];
    double test = sum[LATHE_PART_TEST] / (double)n[LATHE_PART_TEST];
    ck_assert_msg(fabs(train - test) < 65536.0 / 20 / sqrt(400) * 2, "means %g and %g", train,
                  test);
    for (int64_t i = 0; i < d.n; i++)
        d.value[i] = 1; /* one bin */
    split(&d, "stratified", LATHE_TASK_REGRESSION, 5);
    expect_counts(&d, 1400, 200, 400);
}
END_TEST

START_TEST(groups_stay_together) {
    int32_t of_group[512];
    make_data(&d, 2000);
    split(&d, "{\"group\": {\"column\": \"g\"}}", LATHE_TASK_BINARY, 11);
    for (int k = 0; k < 512; k++)
        of_group[k] = -1;
    for (int64_t i = 0; i < d.n; i++) {
        if (of_group[d.group[i]] < 0)
            of_group[d.group[i]] = d.part[i];
        ck_assert_int_eq(of_group[d.group[i]], d.part[i]);
    }
    ck_assert(count(&d, LATHE_PART_TEST) > 250 && count(&d, LATHE_PART_TEST) < 550);
    ck_assert(count(&d, LATHE_PART_VALIDATION) > 100 && count(&d, LATHE_PART_VALIDATION) < 300);
    for (int64_t i = 0; i < d.n; i++)
        d.group[i] = LATHE_CODE_MISSING; /* each row a group of its own */
    split(&d, "{\"group\": {\"column\": \"g\"}}", LATHE_TASK_BINARY, 11);
    expect_counts(&d, 1400, 200, 400);
    for (int64_t i = 0; i < d.n; i++)
        d.group[i] = 3;
    refuse(&d, "{\"group\": {\"column\": \"g\"}}", LATHE_TASK_BINARY, LATHE_E_DATA, "too large");
    refuse(&d, "{\"group\": {\"column\": \"gg\"}}", LATHE_TASK_BINARY, LATHE_E_NOT_FOUND, "'gg'");
}
END_TEST

START_TEST(time_goes_forward) {
    int64_t latest[3] = {INT64_MIN, INT64_MIN, INT64_MIN},
            earliest[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
    make_data(&d, 2000);
    split(&d, "{\"time\": {\"column\": \"t\"}}", LATHE_TASK_BINARY, 1);
    for (int64_t i = 0; i < d.n; i++) {
        int32_t p = d.part[i];
        latest[p] = d.time[i] > latest[p] ? d.time[i] : latest[p];
        earliest[p] = d.time[i] < earliest[p] ? d.time[i] : earliest[p];
    }
    ck_assert_int_lt(latest[LATHE_PART_TRAIN], earliest[LATHE_PART_VALIDATION]);
    ck_assert_int_lt(latest[LATHE_PART_VALIDATION], earliest[LATHE_PART_TEST]);
    ck_assert(count(&d, LATHE_PART_TEST) > 380 && count(&d, LATHE_PART_TEST) <= 400);
    split(&d, "time", LATHE_TASK_BINARY, 1);
    expect_counts(&d, 1400, 200, 400);
    for (int64_t i = 0; i < d.n; i++)
        ck_assert_int_eq(d.part[i], i < 1400   ? LATHE_PART_TRAIN
                                    : i < 1600 ? LATHE_PART_VALIDATION
                                               : LATHE_PART_TEST);
    for (int64_t i = 0; i < d.n; i++)
        d.x[i] = i % 2 ? -(double)i : (double)i; /* numbers of both signs */
    split(&d, "{\"time\": {\"column\": \"x\", \"validation\": 0}}", LATHE_TASK_BINARY, 1);
    for (int64_t i = 0; i < d.n; i++)
        ck_assert_int_eq(d.part[i] == LATHE_PART_TEST, d.x[i] >= 1200);
    refuse(&d, "{\"time\": {\"column\": \"g\"}}", LATHE_TASK_BINARY, LATHE_E_INVALID, "is text");
    d.time[9] = LATHE_MISSING_INT;
    refuse(&d, "{\"time\": {\"column\": \"t\"}}", LATHE_TASK_BINARY, LATHE_E_DATA,
           "row 9 has no value");
    for (int64_t i = 0; i < d.n; i++)
        d.time[i] = 5;
    refuse(&d, "{\"time\": {\"column\": \"t\"}}", LATHE_TASK_BINARY, LATHE_E_DATA,
           "share one time");
}
END_TEST

START_TEST(parts_named_by_a_column) {
    make_data(&d, 100);
    for (int64_t i = 0; i < d.n; i++)
        d.group[i] = i < 70 ? 1 : i < 90 ? 2 : 3;
    split(&d,
          "{\"by_column\": {\"column\": \"g\", \"train\": \"g1\", \"validation\": [], \"test\": "
          "[\"g2\", "
          "\"g3\"]}}",
          LATHE_TASK_BINARY, 1);
    expect_counts(&d, 70, 0, 30);
    refuse(&d, "{\"by_column\": {\"column\": \"g\", \"train\": \"g1\", \"test\": \"g2\"}}",
           LATHE_TASK_BINARY, LATHE_E_DATA, "row 90 has 'g3'");
    split(&d,
          "{\"by_column\": {\"column\": \"g\", \"train\": \"g1\", \"test\": \"g2\", \"other\": "
          "\"none\"}}",
          LATHE_TASK_BINARY, 1);
    ck_assert_int_eq(count(&d, LATHE_PART_NONE), 10);
    for (int64_t i = 0; i < d.n; i++)
        d.x[i] = (double)(i % 3);
    split(&d, "{\"by_column\": {\"column\": \"x\", \"train\": 0, \"validation\": 1, \"test\": 2}}",
          LATHE_TASK_BINARY, 1);
    expect_counts(&d, 34, 33, 33);
    refuse(&d, "{\"by_column\": {\"column\": \"g\", \"other\": \"test\"}}", LATHE_TASK_BINARY,
           LATHE_E_DATA, "nothing is left to train");
    fixture_refused(
        &fx, LATHE_KIND_SPLIT,
        "{\"by_column\": {\"column\": \"g\", \"train\": [\"a\"], \"test\": [\"b\", \"a\"]}}",
        LATHE_TASK_BINARY, "both \"train\" and \"test\"");
}
END_TEST

static void check_folds(const data *m, int64_t folds, int64_t n_train) {
    int64_t size[16] = {0}, least = INT64_MAX, most = 0, n = 0;
    for (int64_t i = 0; i < m->n; i++) {
        ck_assert_int_eq(m->fold[i] >= 0, m->part[i] == LATHE_PART_TRAIN);
        ck_assert_int_lt(m->fold[i], folds);
        if (m->fold[i] >= 0) {
            size[m->fold[i]]++;
            n++;
        }
    }
    for (int64_t f = 0; f < folds; f++) {
        least = size[f] < least ? size[f] : least;
        most = size[f] > most ? size[f] : most;
    }
    ck_assert_int_eq(n, n_train);
    ck_assert_int_le(most - least, 1);
}

/* A validation part drawn from the rows that train: exact, keyed by row number, and the test part untouched. */
START_TEST(named_parts_with_a_drawn_validation) {
    const char *use = "{\"by_column\": {\"column\": \"x\", \"train\": [0, 1], \"test\": 2, "
                      "\"validation\": [], \"validation_share\": 0.25}}";
    make_data(&d, 900);
    make_data(&e, 900);
    for (int64_t i = 0; i < 900; i++) {
        d.x[i] = (double)(i % 3);
        e.x[899 - i] = d.x[i]; /* the same rows the other way round */
        e.row_id[899 - i] = i;
    }
    split(&d, use, LATHE_TASK_BINARY, 5);
    split(&e, use, LATHE_TASK_BINARY, 5);
    expect_counts(&d, 450, 150, 300);
    for (int64_t i = 0; i < 900; i++) {
        ck_assert_int_eq(d.part[i] == LATHE_PART_TEST, i % 3 == 2);
        ck_assert_int_eq(d.part[i], e.part[899 - i]);
    }
    split(&e, use, LATHE_TASK_BINARY, 6);
    ck_assert_int_ne(memcmp(d.part, e.part, sizeof d.part[0] * 900), 0);
    d.n = d.table.n_rows = 2; /* rows 0 and 1 train: half a row rounds to one */
    split(&d, use, LATHE_TASK_BINARY, 5);
    expect_counts(&d, 1, 1, 0);
    d.n = d.table.n_rows = 1;
    refuse(&d, use, LATHE_TASK_BINARY, LATHE_E_DATA, "none is left to train");
}
END_TEST

START_TEST(folds) {
    int64_t n[3][16] = {{0}};
    make_data(&d, 1003);
    split(&d, "k_fold", LATHE_TASK_MULTICLASS, 4);
    expect_counts(&d, 802, 0, 201);
    check_folds(&d, 5, 802);
    for (int64_t i = 0; i < d.n; i++)
        if (d.fold[i] >= 0)
            n[d.class[i]][d.fold[i]]++;
    for (int k = 0; k < 3; k++)
        for (int f = 1; f < 5; f++)
            ck_assert(llabs((long long)(n[k][f] - n[k][0])) <= 1);
    split(&d, "{\"k_fold\": {\"folds\": 7, \"test\": 0, \"stratified\": \"no\"}}",
          LATHE_TASK_MULTICLASS, 4);
    expect_counts(&d, 1003, 0, 0);
    check_folds(&d, 7, 1003);
    split(&d, "{\"k_fold\": {\"folds\": 4, \"stratified\": \"yes\"}}", LATHE_TASK_REGRESSION, 4);
    check_folds(&d, 4, 802);
    make_data(&d, 6);
    refuse(&d, "{\"k_fold\": {\"folds\": 6}}", LATHE_TASK_MULTICLASS, LATHE_E_DATA,
           "5 training rows");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("splits");
    TCase *cases = tcase_create("splits");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, random_counts_and_keys);
    tcase_add_test(cases, random_is_keyed_by_row);
    tcase_add_test(cases, shares_that_cannot_be);
    tcase_add_test(cases, stratified_shares);
    tcase_add_test(cases, stratified_keeps_rare_classes_to_train);
    tcase_add_test(cases, stratified_by_value);
    tcase_add_test(cases, groups_stay_together);
    tcase_add_test(cases, time_goes_forward);
    tcase_add_test(cases, parts_named_by_a_column);
    tcase_add_test(cases, named_parts_with_a_drawn_validation);
    tcase_add_test(cases, folds);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
