/* Projects, their quotas, and what was used. */
#include "base/clock.h"
#include "store/db.h"
#include "support_store.h"

static lathe_store *store;

static void set_up_store(void) {
    set_up();
    store = open_own();
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

static lathe_project_record project(const char *name) {
    lathe_project_record p;
    ck_ok(lathe_store_project(store, name, arena, &p, &err));
    return p;
}

START_TEST(projects_have_quotas) {
    const lathe_quota quota = {.requests_per_day = 1000, .concurrent_runs = 2};
    ck_ok(lathe_store_project_set(store, "credit", &quota, true, &err));
    ck_assert_int_eq(project("credit").quota.requests_per_day, 1000);
    ck_assert_int_eq(project("credit").quota.rows_per_day, 0);
    ck_assert_int_eq(project("credit").quota.concurrent_runs, 2);
    ck_fails(lathe_store_project_set(store, "credit", &quota, true, &err), LATHE_E_EXISTS,
             "already");
    const lathe_quota other = {.rows_per_day = 9007199254740992, .training_seconds_per_day = 1};
    ck_ok(lathe_store_project_set(store, "credit", &other, false, &err));
    ck_assert_int_eq(project("credit").quota.requests_per_day, 0);
    ck_assert_int_eq(project("credit").quota.rows_per_day, 9007199254740992);
    ck_assert_int_eq(project("credit").quota.training_seconds_per_day, 1);
    lathe_store_close(store);
    store = open_own();
    ck_assert_int_eq(project("credit").quota.training_seconds_per_day, 1);
}
END_TEST

START_TEST(bad_projects_are_refused) {
    const lathe_quota negative = {.rows_per_day = -1}, none = {0};
    lathe_project_record p;
    ck_ok(lathe_store_project_set(store, "credit", &none, true, &err));
    ck_fails(lathe_store_project_set(store, "../x", &none, true, &err), LATHE_E_INVALID,
             "the project's name");
    ck_fails(lathe_store_project_set(store, "credit", &negative, false, &err), LATHE_E_INVALID,
             "rows_per_day is -1");
    ck_fails(lathe_store_project_set(store, "debit", &none, false, &err), LATHE_E_NOT_FOUND,
             "debit");
    ck_fails(lathe_store_project(store, "credti", arena, &p, &err), LATHE_E_NOT_FOUND, "'credit'");
}
END_TEST

START_TEST(changes_are_audited) {
    lathe_audit_list list;
    const lathe_quota quota = {.rows_per_day = 7};
    ck_ok(lathe_store_project_set(store, "credit", &quota, true, &err));
    ck_ok(lathe_store_project_set(store, "credit", &quota, false, &err));
    ck_ok(lathe_store_audit(store, 0, 0, arena, &list, &err));
    ck_assert_uint_eq(list.count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(list.items[i].subject, "credit");
        ck_assert_ptr_nonnull(strstr(list.items[i].detail, "\"rows_per_day\":7"));
    }
}
END_TEST

START_TEST(usage_adds_up) {
    const lathe_usage first[] = {{20000, "ci", "credit", 3, 30, 0},
                                 {20000, "", "default", 1, 1, 0},
                                 {20001, "ci", "credit", 5, 50, 1500}},
                      again[] = {{20000, "ci", "credit", 4, 40, 250},
                                 {20000, "web", "credit", 1, 2, 3}};
    lathe_usage_list list;
    lathe_usage sum;
    ck_ok(lathe_store_usage_add(store, first, 3, &err));
    ck_ok(lathe_store_usage_add(store, again, 2, &err));
    ck_ok(lathe_store_usage(store, 0, 30000, NULL, NULL, arena, &list, &err));
    ck_assert_uint_eq(list.count, 4);
    ck_assert_str_eq(list.items[0].token, "ci"); /* by day, project, token */
    ck_assert_int_eq(list.items[0].requests, 7);
    ck_assert_int_eq(list.items[0].rows, 70);
    ck_assert_int_eq(list.items[0].training_ms, 250);
    ck_assert_str_eq(list.items[2].project, "default");
    ck_ok(lathe_store_usage(store, 20001, 20001, "credit", "ci", arena, &list, &err));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_int_eq(list.items[0].rows, 50);
    ck_ok(lathe_store_usage(store, 0, 30000, NULL, "", arena, &list, &err));
    ck_assert_uint_eq(list.count, 1);
    ck_ok(lathe_store_usage_of(store, 20000, "credit", &sum, &err));
    ck_assert_int_eq(sum.requests, 8);
    ck_assert_int_eq(sum.rows, 72);
    ck_assert_int_eq(sum.training_ms, 253);
    ck_ok(lathe_store_usage_of(store, 20002, "credit", &sum, &err));
    ck_assert_int_eq(sum.requests, 0);
}
END_TEST

START_TEST(days_read_as_written) {
    char text[LATHE_DAY_TEXT];
    int64_t day;
    ck_assert_str_eq(lathe_day_text(0, text), "1970-01-01");
    ck_assert_str_eq(lathe_day_text(20786, text), "2026-11-29");
    ck_assert(lathe_day_parse("2026-11-29", &day) && day == 20786);
    ck_assert(lathe_day_parse("2024-02-29", &day));
    const char *const bad[] = {"2026-02-29", "2026-13-01", "26-11-29",   "2026-11-29x",
                               "",           "today",      "2026-11-2 ", "2026/11/29"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!lathe_day_parse(bad[i], &day), "%s", bad[i]);
}
END_TEST

/* A home of the schema before quotas keeps its projects. */
START_TEST(older_homes_are_brought_up) {
    const lathe_quota quota = {.rows_per_day = 5};
    ck_ok(lathe_db_script(store,
                          "INSERT INTO projects(name, created) VALUES('old', 1); DROP TABLE usage; "
                          "DROP TABLE labels; DROP TABLE labelled; "
                          "ALTER TABLE projects DROP COLUMN quota; PRAGMA user_version = 3;",
                          &err));
    lathe_store_close(store);
    store = open_own();
    ck_assert_int_eq(project("old").quota.rows_per_day, 0);
    ck_ok(lathe_store_project_set(store, "old", &quota, false, &err));
    ck_assert_int_eq(project("old").quota.rows_per_day, 5);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("usage");
    TCase *c = tcase_create("usage");
    tcase_add_checked_fixture(c, set_up_store, tear_down_store);
    tcase_add_test(c, projects_have_quotas);
    tcase_add_test(c, bad_projects_are_refused);
    tcase_add_test(c, changes_are_audited);
    tcase_add_test(c, usage_adds_up);
    tcase_add_test(c, days_read_as_written);
    tcase_add_test(c, older_homes_are_brought_up);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
