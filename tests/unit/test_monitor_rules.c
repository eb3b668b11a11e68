/* Validation rules: each rule by action, settings by column, first places, messages. */
#include "base/json.h"
#include "monitor/bounds.h"

#include <check.h>
#include <math.h>
#include <string.h>

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

enum { N = 8, COLUMNS = 5 };
static lathe_str colours[] = {{"blue", 4}, {"green", 5}, {"red", 3}};
static double age[N] = {17, 90, 30, 40, 50, 60, 70, 20},
              gap[N] = {1, (double)NAN, 3, 4, 5, 6, 7, 8};
static int32_t colour[N] = {0, 0, 0, 1, 1, 1, 1, 1}; /* red is in the dictionary, but in no row */
static int64_t rooms[N] = {1, 2, 3, 4, 5, 6, 7, 8};
static lathe_str note[N];
static lathe_column columns[COLUMNS] = {{"age", LATHE_COLUMN_FLOAT64, 0, age, NULL, 0},
                                        {"gap", LATHE_COLUMN_FLOAT64, 0, gap, NULL, 0},
                                        {"colour", LATHE_COLUMN_CATEGORY, 0, colour, colours, 3},
                                        {"rooms", LATHE_COLUMN_INT64, 0, rooms, NULL, 0},
                                        {"note", LATHE_COLUMN_STRING, 0, note, NULL, 0}};
static const lathe_table table = {N, COLUMNS, columns};
enum { AGE, GAP, COLOUR, ROOMS, NOTE };

static lathe_baseline *baseline;
static lathe_rules *rules;
static lathe_rule_report report;
static uint8_t marks[N];

static void use(const char *settings) {
    lathe_rules_free(rules);
    cJSON *tree = settings != NULL ? cJSON_Parse(settings) : NULL;
    ck_assert(settings == NULL || tree != NULL);
    ok(lathe_rules_new(&table, baseline, tree, &rules, &err));
    cJSON_Delete(tree);
}

/* The rows of training again, two of them with other values. */
static void begin(void) {
    static const double ages[N] = {17, 90, 30, 40, 50, 60, 70, 20};
    for (int i = 0; i < N; i++) {
        age[i] = ages[i];
        colour[i] = i < 3 ? 0 : 1;
        rooms[i] = i + 1;
        gap[i] = i;
    }
    gap[0] = 1;
    memset(marks, 0, sizeof marks);
}

static bool check(void) {
    return lathe_rules_check(rules, &table, 0, N, marks, &report);
}

static void setup(void) {
    begin();
    gap[1] = (double)NAN;
    ok(lathe_baseline_fit(&table, &baseline, &err));
    begin();
}

static void teardown(void) {
    lathe_rules_free(rules);
    rules = NULL;
    lathe_baseline_free(baseline);
}

START_TEST(training_passes) {
    use(NULL);
    ck_assert(!check());
    gap[3] = (double)NAN; /* training had that */
    ck_assert(!check());
    for (int c = 0; c < COLUMNS; c++)
        ck_assert_int_eq(lathe_rules_tolerated(rules)[c], 0);
}
END_TEST

START_TEST(usual_rules_flag) {
    use(NULL);
    age[2] = 91;
    age[5] = 16.999;
    age[6] = (double)NAN;
    gap[5] = 9;
    colour[5] = LATHE_CODE_UNSEEN;
    colour[7] = 2; /* red */
    rooms[7] = LATHE_MISSING_INT;
    ck_assert(check());
    ck_assert_int_eq(report.flagged, 4);
    ck_assert_int_eq(report.rejected, 0);
    ck_assert_int_eq(report.rows[LATHE_RULE_RANGE][LATHE_ACTION_FLAG], 2); /* row 5 counts once */
    ck_assert_int_eq(report.rows[LATHE_RULE_DOMAIN][LATHE_ACTION_FLAG], 2);
    ck_assert_int_eq(report.rows[LATHE_RULE_NULLS][LATHE_ACTION_FLAG], 2);
    ck_assert_int_eq(report.first[LATHE_RULE_RANGE][LATHE_ACTION_FLAG].column, AGE);
    ck_assert_int_eq(report.first[LATHE_RULE_RANGE][LATHE_ACTION_FLAG].row, 2);
    ck_assert_int_eq(report.first[LATHE_RULE_DOMAIN][LATHE_ACTION_FLAG].column, COLOUR);
    ck_assert_int_eq(report.first[LATHE_RULE_NULLS][LATHE_ACTION_FLAG].row, 6);
    ck_assert_int_eq(report.first[LATHE_RULE_TYPE][LATHE_ACTION_FLAG].column, -1);
    ck_assert_uint_eq(marks[5],
                      LATHE_MARK_FLAG(LATHE_RULE_RANGE) | LATHE_MARK_FLAG(LATHE_RULE_DOMAIN));
}
END_TEST

START_TEST(part_of_a_batch) {
    use(NULL);
    age[1] = age[4] = 200;
    ck_assert(lathe_rules_check(rules, &table, 3, 3, marks, &report));
    ck_assert_int_eq(report.flagged, 1);
    ck_assert_uint_eq(marks[1], LATHE_MARK_FLAG(LATHE_RULE_RANGE)); /* marks of row 3, 4, 5 */
    ck_assert_int_eq(report.first[LATHE_RULE_RANGE][LATHE_ACTION_FLAG].row, 4);
    ck_assert(!lathe_rules_check(rules, &table, 5, 3, marks + 4, &report));
}
END_TEST

static void expect(const char *part) {
    lathe_rule_place at;
    ck_assert(check());
    ck_assert_int_ge(report.rejected, 1);
    lathe_rules_refused(&report, &at);
    lathe_error_clear(&err);
    ck_assert_int_eq(lathe_rules_explain(rules, &table, &report, (lathe_str){"teal\n", 5}, &err),
                     LATHE_E_DATA);
    ck_assert_msg(strstr(err.message, part) != NULL, "%s", err.message);
    ck_assert_str_eq(err.where, columns[at.column].name);
    begin();
}

START_TEST(refusals_say_why) {
    use("\"reject\"");
    age[3] = 91.5;
    age[6] = -1;
    expect(
        "row 4, column \"age\": 91.5 is outside of what training saw, 17 to 90 (rule \"range\")");
    rooms[1] = 9;
    expect("row 2, column \"rooms\": 9 is outside of what training saw, 1 to 8 (rule \"range\")");
    age[0] = (double)INFINITY;
    expect("row 1, column \"age\": inf is outside");
    colour[2] = LATHE_CODE_UNSEEN;
    expect("row 3, column \"colour\": \"teal?\" is none of the categories of training, which were "
           "\"green\", \"blue\" (rule \"domain\")");
    colour[2] = 2;
    expect("\"red\" is none of the categories");
    age[7] = (double)NAN;
    expect("row 8, column \"age\": the value is missing, which it never was in training");
    /* the first row, and in it the first column */
    rooms[4] = 100;
    colour[4] = LATHE_CODE_UNSEEN;
    age[5] = 1000;
    expect("row 5, column \"colour\"");
}
END_TEST

START_TEST(settings_by_rule_and_column) {
    use("{\"range\": \"reject\", \"domain\": \"pass\", \"margin\": 0.5, \"type\": \"flag\","
        "\"columns\": {\"rooms\": {\"range\": \"flag\", \"margin\": 0, \"max\": 20},"
        "\"gap\": \"pass\", \"age\": {\"min\": 0}}}");
    ck_assert_int_eq(lathe_rules_action(rules, LATHE_RULE_RANGE, AGE), LATHE_ACTION_REJECT);
    ck_assert_int_eq(lathe_rules_action(rules, LATHE_RULE_RANGE, ROOMS), LATHE_ACTION_FLAG);
    ck_assert_int_eq(lathe_rules_action(rules, LATHE_RULE_TYPE, GAP), LATHE_ACTION_PASS);
    ck_assert_int_eq(lathe_rules_tolerated(rules)[NOTE], 1);
    ck_assert_int_eq(lathe_rules_tolerated(rules)[GAP], 2);
    age[1] = 90 + 0.5 * 73;
    age[2] = 0;
    gap[2] = 1e9;
    colour[3] = LATHE_CODE_UNSEEN;
    rooms[3] = 20;
    ck_assert(!check());
    rooms[3] = 21;
    ck_assert(check());
    ck_assert(report.flagged == 1 && report.rejected == 0);
    begin();
    age[1] = 127;
    expect("17 to 90; 0 to 126.5 is taken");
}
END_TEST

START_TEST(marks_of_types_count) {
    use("{\"type\": \"flag\"}");
    marks[2] = LATHE_MARK_FLAG(LATHE_RULE_TYPE);
    ck_assert(check());
    ck_assert_int_eq(report.rows[LATHE_RULE_TYPE][LATHE_ACTION_FLAG], 1);
    ck_assert_int_eq(report.flagged, 1);
}
END_TEST

START_TEST(settings_that_do_not_fit) {
    cJSON *tree = cJSON_Parse("{\"columns\": {\"agee\": \"pass\"}}");
    lathe_rules *other;
    ck_assert_int_eq(lathe_rules_new(&table, baseline, tree, &other, &err), LATHE_E_NOT_FOUND);
    ck_assert_ptr_null(other);
    ck_assert_ptr_nonnull(strstr(err.message, "age"));
    cJSON_Delete(tree);
    /* nonsense is as if it were not there */
    use("{\"range\": 3, \"nulls\": \"never\", \"margin\": \"much\", \"columns\": 7}");
    age[0] = 91;
    ck_assert(check());
    ck_assert_int_eq(report.flagged, 1);
    /* no profile: nothing to hold values against */
    lathe_rules_free(rules);
    ok(lathe_rules_new(&table, NULL, NULL, &rules, &err));
    ck_assert(!lathe_rules_check(rules, &table, 0, N, memset(marks, 0, sizeof marks), &report));
}
END_TEST

/* The numbers of a row held against their bounds at once, then its other columns: what the rules say of the row. */
static bool check_by_bounds(const lathe_bounds *bounds, int64_t row, uint8_t *mark,
                            lathe_rule_report *out) {
    _Alignas(32) const double numbers[4] = {gap[row], age[row], (double)rooms[row]};
    return lathe_bounds_hold(bounds, numbers)
               ? lathe_rules_check_others(rules, &table, row, mark, out)
               : lathe_rules_check(rules, &table, row, 1, mark, out);
}

START_TEST(rows_by_their_bounds) {
    static const char *const settings[] = {
        NULL, "\"pass\"",
        "{\"range\": \"reject\", \"margin\": 0.1, \"columns\": {\"gap\": \"pass\"}}"};
    const int64_t some[3] = {GAP, AGE, ROOMS};
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        lathe_bounds *bounds;
        begin();
        use(settings[k]);
        ok(lathe_bounds_new(rules, some, 3, &bounds, &err));
        ck_assert_ptr_nonnull(bounds);
        age[1] = 90.0001;
        age[2] = (double)NAN;
        age[3] = (double)INFINITY;
        age[4] = 95;
        gap[5] = (double)NAN;
        rooms[6] = 0;
        colour[7] = 2;
        for (int64_t row = 0; row < N; row++) {
            lathe_rule_report want, got;
            uint8_t mark[2] = {0, 0};
            const bool fired = lathe_rules_check(rules, &table, row, 1, &mark[0], &want);
            ck_assert(check_by_bounds(bounds, row, &mark[1], &got) == fired);
            ck_assert_uint_eq(mark[0], mark[1]);
            if (fired)
                ck_assert_mem_eq(&want, &got, sizeof want);
        }
        lathe_bounds_free(bounds);
        /* a rule about a number that is not among them */
        ok(lathe_bounds_new(rules, some, 1, &bounds, &err));
        ck_assert((bounds == NULL) == (k != 1));
        lathe_bounds_free(bounds);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("rules");
    TCase *c = tcase_create("rules");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, training_passes);
    tcase_add_test(c, usual_rules_flag);
    tcase_add_test(c, part_of_a_batch);
    tcase_add_test(c, refusals_say_why);
    tcase_add_test(c, settings_by_rule_and_column);
    tcase_add_test(c, marks_of_types_count);
    tcase_add_test(c, settings_that_do_not_fit);
    tcase_add_test(c, rows_by_their_bounds);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
