/* test_transforms_encode.c: transforms of categories and of times. */
#include "transform_fixture.h"

/* ---- categories -------------------------------------------------------------------------------------- */

#define COLOR(use) "{\"" use "\": {\"columns\": \"color\"}}"

static void expect_color(const char *use, const char *expected, const char *expected_later) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, only_color(&table), expected);
    expect_output(&t, only_color(&later), expected_later);
    lathe_instance_destroy(&t);
}

START_TEST(one_hot) {
    /* "white" is in the dictionary, but not in the training rows: it is unseen */
    expect_color("one_hot",
                 "color=blue:f color=green:f color=red:f "
                 "color=(missing):f\n0|1|0|0\n1|0|0|0\n0|1|0|0\n0|0|0|1\n"
                 "0|0|1|0",
                 "color=blue:f color=green:f color=red:f color=(missing):f\n0|0|0|0\n0|0|0|0");
    expect_color(
        "{\"one_hot\": {\"max_categories\": 2, \"missing\": \"zeros\", \"unseen\": \"other\"}}",
        "color=green:f color=(other):f\n1|0\n0|1\n1|0\n0|0\n0|1",
        "color=green:f color=(other):f\n0|1\n0|1");
    expect_color(
        "{\"one_hot\": {\"min_frequency\": 2}}",
        "color=green:f color=(other):f color=(missing):f\n1|0|0\n0|1|0\n1|0|0\n0|0|1\n0|1|0",
        "color=green:f color=(other):f color=(missing):f\n0|0|0\n0|0|0");
    expect_color(
        "{\"one_hot\": {\"min_frequency\": 0.3, \"missing\": \"zeros\", \"drop\": \"binary\"}}",
        "color=(other):f\n0\n1\n0\n0\n1", "color=(other):f\n0\n0");
    expect_color("{\"one_hot\": {\"drop\": \"first\"}}",
                 "color=green:f color=red:f color=(missing):f\n1|0|0\n0|0|0\n1|0|0\n0|0|1\n0|1|0",
                 "color=green:f color=red:f color=(missing):f\n0|0|0\n0|0|0");
    expect("{\"one_hot\": {\"max_categories\": 1}}",
           "num:f whole:i when:t color=(other):f color=(missing):f "
           "note:s\n1|10|0|1|0|a\n2|-|-1|1|0|-\n-|30|"
           "951827400000000|1|0|b\n4|30|-|0|1|a\n3|20|1717113600000000|1|0|c",
           NULL);
}
END_TEST

START_TEST(one_hot_refuses) {
    lathe_instance t;
    lathe_error err;
    static output out;
    refuse_fit("{\"one_hot\": {\"missing\": \"error\"}}", only_color(&table), LATHE_E_DATA,
               "impute it first");
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"one_hot\": {\"unseen\": \"error\"}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    ck_assert_int_eq(apply(&t, only_color(&later), &out, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "did not see"));
    later_color[0] = 3;
    ck_assert_int_eq(apply(&t, only_color(&later), &out, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "holds 'white'"));
    later_color[0] = NEW;
    lathe_instance_destroy(&t);
}
END_TEST

/* Values that cannot be part of a column's name as they are. */
START_TEST(one_hot_of_odd_values) {
    static char long_a[3000], long_b[3000];
    memset(long_a, 'x', sizeof long_a);
    memset(long_b, 'x', sizeof long_b);
    long_b[2999] = 'y';
    for (int i = 0; i < 3000; i += 2)
        memcpy(long_a + i, "\xC3\xA9", 2), memcpy(long_b + i, "\xC3\xA9", 2);
    long_b[2999] = (char)0xA8;
    lathe_str dict[] = {
        {"two\nlines", 9}, {"two\tlines", 9}, {long_a, 3000}, {long_b, 3000}, {"", 0}};
    int32_t codes[] = {0, 1, 2, 3, 4};
    lathe_column c = {"c", LATHE_COLUMN_CATEGORY, 0, codes, dict, 5};
    lathe_table in = {5, 1, &c};
    lathe_instance t;
    lathe_error err;
    static output out;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "one_hot", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    fixture_ok(apply(&t, &in, &out, &err), &err,
               "apply"); /* the host checks that names are clean UTF-8 */
    ck_assert_int_eq(out.table.n_columns, 5);
    ck_assert_str_eq(out.columns[0].name, "c=");
    ck_assert_str_eq(out.columns[1].name, "c=two?lines#1");
    lathe_instance_destroy(&t);
}
END_TEST

START_TEST(ordinal) {
    expect_color("ordinal", "color:f\n1\n0\n1\n-\n2", "color:f\n-\n-");
    expect_color(
        "{\"ordinal\": {\"order\": [\"red\", \"white\", \"green\", \"blue\"], \"unseen\": -1}}",
        "color:f\n2\n3\n2\n-\n0", "color:f\n-1\n1");
    refuse_fit("{\"ordinal\": {\"order\": [\"red\"]}}", only_color(&table), LATHE_E_DATA, "'blue'");
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"ordinal\": {\"order\": [\"a\", \"b\", \"a\"]}}",
                    LATHE_TASK_REGRESSION, "twice");
}
END_TEST

/* (Σ t + m·mean) / (n + m) with m = 2; the mean of 1, 2, 3, 4, 5 is 3. */
START_TEST(target_encode_values) {
    double y[] = {1, 2, 3, 4, 5};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    lathe_instance t;
    lathe_error err;
    const char *use = "{\"target_encode\": {\"smoothing\": 2}}";
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, only_color(&table),
                  "color:f\n2.5\n2.66666666666667\n2.5\n3.33333333333333\n3.66666666666667");
    expect_output(&t, only_color(&later), "color:f\n3\n3");
    lathe_instance_destroy(&t);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    ck_assert_int_eq(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err),
                     LATHE_E_INVALID);
    lathe_instance_destroy(&t);
}
END_TEST

/* Training rows see the other folds alone: fold 0 holds rows 0, 1 and fold 1 rows 2, 3, 4. */
START_TEST(target_encode_out_of_fold) {
    double y[] = {1, 2, 3, 4, 5};
    const int32_t fold[] = {0, 0, 1, 1, 1};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    lathe_instance t;
    lathe_error err = {0};
    static output out;
    char text[256];
    lathe_transform_fit in = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                              .task = LATHE_TASK_REGRESSION,
                              .table = only_color(&table),
                              .target = &target,
                              .fold = fold,
                              .n_folds = 2};
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 1}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(lathe_call_transform_fit(&t, &in, &err), &err, "fit");
    prepare_output(&t, in.table, &out);
    fixture_ok(lathe_call_transform_apply_training(&t, &in, &out.table, &err), &err,
               "apply_training");
    dump(&out.table, text, sizeof text);
    /* rows 0, 1 from rows 2-4 (mean 4; green: 3): (3 + 4) / 2, and 4 for blue, which they lack;
     * rows 2-4 from rows 0, 1 (mean 1.5; green: 1): (1 + 1.5) / 2, and 1.5 for missing and red */
    ck_assert_str_eq(text, "color:f\n3.5\n4\n1.25\n1.5\n1.5");
    lathe_instance_destroy(&t);
    in.fold =
        NULL; /* folds of its own: no row's own target counts, so a category of one row gets a mean */
    fixture_create(&fx, LATHE_KIND_TRANSFORM,
                   "{\"target_encode\": {\"smoothing\": 0, \"folds\": 2}}", LATHE_TASK_REGRESSION,
                   &t);
    fixture_ok(lathe_call_transform_fit(&t, &in, &err), &err, "fit");
    prepare_output(&t, in.table, &out);
    fixture_ok(lathe_call_transform_apply_training(&t, &in, &out.table, &err), &err,
               "apply_training");
    ck_assert_double_ne(((double *)out.columns[0].values)[4], 5);
    lathe_instance_destroy(&t);
}
END_TEST

START_TEST(target_encode_classes) {
    int32_t y[] = {0, 1, 1, 0, 1}, y3[] = {0, 1, 2, 2, 1};
    const lathe_str classes[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    lathe_column target = {"y", LATHE_COLUMN_CATEGORY, 0, y, classes, 2};
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 0}}",
                   LATHE_TASK_BINARY, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_BINARY, &err), &err, "fit");
    expect_output(&t, only_color(&table), "color:f\n0.5\n1\n0.5\n0\n1");
    lathe_instance_destroy(&t);
    target = (lathe_column){"y", LATHE_COLUMN_CATEGORY, 0, y3, classes, 3};
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 0}}",
                   LATHE_TASK_MULTICLASS, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_MULTICLASS, &err), &err,
               "fit");
    expect_output(&t, only_color(&table),
                  "color=a:f color=b:f color=c:f\n0.5|0|0.5\n0|1|0\n0.5|0|0.5\n0|0|1\n0|1|0");
    expect_output(&t, only_color(&later),
                  "color=a:f color=b:f color=c:f\n0.2|0.4|0.4\n0.2|0.4|0.4");
    lathe_instance_destroy(&t);
}
END_TEST

/* ---- times ------------------------------------------------------------------------------------------- */

static void expect_time(const char *use, int64_t time, const char *expected) {
    lathe_column c = {"t", LATHE_COLUMN_TIMESTAMP, 0, &time, NULL, 0};
    lathe_table in = {1, 1, &c};
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, &in, expected);
    lathe_instance_destroy(&t);
}

#define ALL_PARTS                                                                                  \
    "{\"date_parts\": {\"parts\": [\"year\", \"quarter\", \"month\", \"day\", \"weekday\", "       \
    "\"day_of_year\", "                                                                            \
    "\"hour\", \"minute\", \"second\", \"epoch_days\"]}}"
#define ALL_NAMES                                                                                  \
    "t_year:f t_quarter:f t_month:f t_day:f t_weekday:f t_day_of_year:f t_hour:f t_minute:f "      \
    "t_second:f "                                                                                  \
    "t_epoch_days:f\n"

START_TEST(date_parts) {
    expect_time(ALL_PARTS, 0, ALL_NAMES "1970|1|1|1|3|1|0|0|0|0");
    expect_time(ALL_PARTS, -1, ALL_NAMES "1969|4|12|31|2|365|23|59|59|-1.15740740740741e-11");
    expect_time(ALL_PARTS, 951827400000000, ALL_NAMES "2000|1|2|29|1|60|12|30|0|11016.5208333333");
    expect_time(ALL_PARTS, -2203977600000000, ALL_NAMES "1900|1|2|28|2|59|0|0|0|-25509");
    expect_time(ALL_PARTS, -2203891200000000,
                ALL_NAMES "1900|1|3|1|3|60|0|0|0|-25508"); /* no 29th */
    expect_time(ALL_PARTS, -62135596800000000, ALL_NAMES "1|1|1|1|0|1|0|0|0|-719162");
    expect_time(ALL_PARTS, 253402300799000000,
                ALL_NAMES "9999|4|12|31|4|365|23|59|59|2932896.99998843");
    expect("date_parts",
           "num:f whole:i when_year:f when_month:f when_day:f when_weekday:f when_hour:f color:c "
           "note:s\n"
           "1|10|1970|1|1|3|0|green|a\n2|-|1969|12|31|2|23|blue|-\n-|30|2000|2|29|1|12|green|b\n4|"
           "30|-|-|-|-|-|"
           "-|a\n3|20|2024|5|31|4|0|red|c",
           "num:f whole:i when_year:f when_month:f when_day:f when_weekday:f when_hour:f color:c "
           "note:s\n"
           "-|-|-|-|-|-|-|?|-\n100|-5|1970|1|1|3|23|white|z");
}
END_TEST

START_TEST(date_parts_cyclic) {
    expect_time(
        "{\"date_parts\": {\"parts\": [\"year\", \"hour\"], \"cyclic\": true, \"keep\": true}}",
        6 * 3600000000,
        "t:t t_year:f t_hour_sin:f t_hour_cos:f\n21600000000|1970|1|6.12323399573677e-17");
    expect_time("{\"date_parts\": {\"parts\": [\"month\"], \"cyclic\": true}}", 0,
                "t_month_sin:f t_month_cos:f\n0|1");
}
END_TEST

/* Every day of eight hundred years, against a calendar that counts one day after the other. */
START_TEST(calendar_day_by_day) {
    enum { BATCH = 60 };
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t times[BATCH], day = -146097; /* 1 January 1570 */
    lathe_column c = {"t", LATHE_COLUMN_TIMESTAMP, 0, times, NULL, 0};
    lathe_table in = {BATCH, 1, &c};
    static output out;
    lathe_instance t;
    lathe_error err;
    int y = 1570, m = 1, d = 1, doy = 1;
    times[0] = 0;
    for (int i = 1; i < BATCH; i++)
        times[i] = i;
    fixture_create(&fx, LATHE_KIND_TRANSFORM,
                   "{\"date_parts\": {\"parts\": [\"year\", \"month\", \"day\", \"day_of_year\"]}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    prepare_output(&t, &in, &out);
    for (int batch = 0; batch < 2 * 146097 / BATCH; batch++) {
        for (int i = 0; i < BATCH; i++)
            times[i] = (day + i) * 86400000000 + 86399999999 * (i % 2);
        fixture_ok(((const lathe_transform *)t.interface)->apply(t.self, &in, &out.table, &err),
                   &err, "apply");
        for (int i = 0; i < BATCH; i++, day++) {
            ck_assert(((double *)out.columns[0].values)[i] == y &&
                      ((double *)out.columns[1].values)[i] == m &&
                      ((double *)out.columns[2].values)[i] == d &&
                      ((double *)out.columns[3].values)[i] == doy);
            int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            doy++;
            if (++d > lengths[m - 1] + (m == 2 && leap)) {
                d = 1;
                if (++m > 12) {
                    m = doy = 1;
                    y++;
                }
            }
        }
    }
    lathe_instance_destroy(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("transforms_encode");
    TCase *cases = tcase_create("transforms_encode");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, one_hot);
    tcase_add_test(cases, one_hot_refuses);
    tcase_add_test(cases, one_hot_of_odd_values);
    tcase_add_test(cases, ordinal);
    tcase_add_test(cases, target_encode_values);
    tcase_add_test(cases, target_encode_out_of_fold);
    tcase_add_test(cases, target_encode_classes);
    tcase_add_test(cases, date_parts);
    tcase_add_test(cases, date_parts_cyclic);
    tcase_add_test(cases, calendar_day_by_day);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
