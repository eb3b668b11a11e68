/* A connection for one project: every table with rows of projects is behind a view; names are one for the home. */
#include "store/db.h"
#include "support_store.h"

#include <stdlib.h>

static lathe_store *store, *red;

static void add(const char *project, const char *model, const char *endpoint) {
    char sha[LATHE_SHA256_HEX];
    commit_text(store, model, sha);
    const lathe_version_new info = {
        .model = model, .project = project, .sha256 = sha, .alias = "live", .endpoint = endpoint};
    ck_ok(lathe_store_version_register(store, &info, NULL, &err));
}

static void set_up_projects(void) {
    set_up();
    store = open_own();
    add("red", "apple", "fruit");
    add("blue", "sky", "above");
    ck_ok(lathe_store_open_beside(store, &red, &err));
    ck_ok(lathe_store_set_scope(red, "red", &err));
}

static void tear_down_projects(void) {
    lathe_store_close(red);
    lathe_store_close(store);
    tear_down();
}

/* ---- what is behind a view ---- */

/* These hold nothing of a project: content by its digest, cached steps by theirs, the log of the whole home. */
static const char *const shared[] = {"meta", "artifacts", "audit", "steps", "sqlite_sequence"};

static bool is_shared(const char *table) {
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (strcmp(shared[i], table) == 0)
            return true;
    return false;
}

START_TEST(no_table_is_forgotten) {
    sqlite3_stmt *q;
    size_t tables = 0;
    ck_ok(lathe_db_query(red, &q, &err,
                         "SELECT name, EXISTS(SELECT 1 FROM sqlite_temp_master v WHERE v.type = "
                         "'view' AND v.name = m.name) FROM main.sqlite_master m WHERE type = "
                         "'table'",
                         ""));
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(q, 0);
        const bool view = sqlite3_column_int(q, 1) != 0;
        ck_assert_msg(
            view != is_shared(table),
            "table \"%s\": say in store/scope.c whose its rows are, or here that they are "
            "nobody's",
            table);
        tables++;
    }
    sqlite3_finalize(q);
    ck_assert_uint_gt(tables, 15);
}
END_TEST

START_TEST(a_view_is_not_written) {
    static const char *const writes[] = {
        "INSERT INTO models VALUES('x', 'red', 1)", "UPDATE endpoints SET updated = 1",
        "DELETE FROM schedules", "UPDATE tokens SET role = 'admin'"};
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        ck_fails(lathe_db_script(red, writes[i], &err), LATHE_E_INTERNAL, "view");
}
END_TEST

/* ---- what is seen ---- */

START_TEST(another_projects_is_not_there) {
    lathe_model_list models;
    lathe_endpoint_list endpoints;
    lathe_version_record v;
    lathe_endpoint_record e;
    ck_ok(lathe_store_models(red, arena, &models, &err));
    ck_assert_uint_eq(models.count, 1);
    ck_assert_str_eq(models.items[0].name, "apple");
    ck_ok(lathe_store_endpoints(red, arena, &endpoints, &err));
    ck_assert_uint_eq(endpoints.count, 1);
    ck_assert_str_eq(endpoints.items[0].project, "red");
    ck_ok(lathe_store_version(red, "apple@live", arena, &v, &err));
    ck_fails(lathe_store_version(red, "sky", arena, &v, &err), LATHE_E_NOT_FOUND, "no model 'sky'");
    ck_fails(lathe_store_version(red, "sky@1", arena, &v, &err), LATHE_E_NOT_FOUND, "'sky'");
    ck_fails(lathe_store_endpoint(red, "above", arena, &e, &err), LATHE_E_NOT_FOUND, "'above'");
    /* a misspelt name is not helped by what is another's */
    lathe_error_clear(&err);
    ck_assert_int_eq(lathe_store_endpoint(red, "abov", arena, &e, &err), LATHE_E_NOT_FOUND);
    ck_assert_ptr_null(strstr(err.message, "above"));
}
END_TEST

START_TEST(nothing_of_another_project_is_changed) {
    ck_fails(lathe_store_alias_set(red, "sky", "live", 1, "", &err), LATHE_E_NOT_FOUND, "sky");
    ck_fails(lathe_store_endpoint_rollback(red, "above", "", NULL, &err), LATHE_E_NOT_FOUND,
             "above");
    ck_fails(lathe_store_endpoint_configure(red, "above", "{\"sticky\":\"id\"}", &err),
             LATHE_E_NOT_FOUND, "above");
    ck_fails(lathe_store_rollout_begin(red, "above", "shadow", "apple", 1, NULL, NULL, NULL, &err),
             LATHE_E_NOT_FOUND, "above");
    ck_fails(lathe_store_schedule_remove(red, "sky", &err), LATHE_E_NOT_FOUND, "sky");
}
END_TEST

START_TEST(the_scope_can_be_taken_away) {
    lathe_model_list models;
    ck_ok(lathe_store_set_scope(red, NULL, &err));
    ck_assert_ptr_null(lathe_store_get_scope(red));
    ck_ok(lathe_store_models(red, arena, &models, &err));
    ck_assert_uint_eq(models.count, 2);
    ck_ok(lathe_store_set_scope(red, "blue", &err));
    ck_ok(lathe_store_models(red, arena, &models, &err));
    ck_assert_uint_eq(models.count, 1);
    ck_assert_str_eq(models.items[0].name, "sky");
}
END_TEST

START_TEST(runs_have_the_projects_own_latest) {
    lathe_run_record run;
    lathe_run_list list;
    char mine[LATHE_RUN_ID], other[LATHE_RUN_ID];
    const lathe_run_new first = {.project = "red", .pipeline = "p", .document = "{}"},
                        second = {.project = "blue", .pipeline = "p", .document = "{}"};
    ck_ok(lathe_store_run_begin(store, &first, mine, &err));
    ck_ok(lathe_store_run_begin(store, &second, other, &err));
    ck_ok(lathe_store_run(red, "latest", arena, &run, &err));
    ck_assert_str_eq(run.id, mine);
    ck_ok(lathe_store_run(red, "2", arena, &run, &err)); /* both begin so */
    ck_assert_str_eq(run.id, mine);
    ck_fails(lathe_store_run(red, other, arena, &run, &err), LATHE_E_NOT_FOUND, other);
    ck_ok(lathe_store_runs(red, &(lathe_run_filter){.limit = 10}, arena, &list, &err));
    ck_assert_uint_eq(list.count, 1);
    ck_ok(lathe_store_runs(red, &(lathe_run_filter){.before = other}, arena, &list, &err));
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(alerts_are_of_the_run_else_the_model_else_the_endpoint) {
    lathe_alert_list list;
    char run[LATHE_RUN_ID];
    const lathe_run_new info = {.project = "blue", .pipeline = "p", .document = "{}"};
    ck_ok(lathe_store_run_begin(store, &info, run, &err));
    const lathe_alert_new alerts[] = {
        {.severity = "info", .kind = "k", .message = "by model", .model = "apple"},
        {.severity = "info", .kind = "k", .message = "by endpoint", .endpoint = "fruit"},
        {.severity = "info", .kind = "k", .message = "blue's run", .model = "apple", .run = run},
        {.severity = "info", .kind = "k", .message = "blue's", .endpoint = "above"},
        {.severity = "info", .kind = "k", .message = "nobody's"}};
    ck_ok(lathe_store_alerts_add(store, alerts, 5, &err));
    ck_ok(lathe_store_alerts(red, NULL, arena, &list, &err));
    ck_assert_uint_eq(list.count, 2);
    for (size_t i = 0; i < list.count; i++)
        ck_assert_msg(strncmp(list.items[i].message, "by ", 3) == 0, "%s", list.items[i].message);
    ck_ok(lathe_store_alert_acknowledge(red, list.items[0].id, &err));
    ck_fails(lathe_store_alert_acknowledge(red, 5, &err), LATHE_E_NOT_FOUND, "no alert 5");
}
END_TEST

/* ---- names ---- */

START_TEST(names_are_one_for_the_home) {
    char sha[LATHE_SHA256_HEX];
    const char *owner;
    commit_text(store, "taken", sha);
    const lathe_version_new model = {.model = "sky", .sha256 = sha},
                            endpoint = {.model = "pear", .sha256 = sha, .endpoint = "above"};
    ck_fails(lathe_store_version_register(red, &model, NULL, &err), LATHE_E_EXISTS, "taken");
    ck_fails(lathe_store_version_register(red, &endpoint, NULL, &err), LATHE_E_EXISTS, "taken");
    ck_fails(lathe_store_endpoint_set(store, "above", "apple", NULL, 1, "", &err), LATHE_E_EXISTS,
             "another project");
    ck_fails(lathe_store_endpoint_configure(
                 store, "above",
                 "{\"traffic\":[{\"model\":\"apple\",\"version\":1,\"percent\":1}]}", &err),
             LATHE_E_EXISTS, "another project");
    ck_fails(
        lathe_store_rollout_begin(store, "above", "canary", "apple", 1, NULL, NULL, NULL, &err),
        LATHE_E_EXISTS, "another project");
    ck_ok(lathe_store_owner(red, LATHE_STORE_ENDPOINT, "above", arena, &owner, &err));
    ck_assert_str_eq(owner, "blue");
    ck_ok(lathe_store_owner(red, LATHE_STORE_MODEL, "pear", arena, &owner, &err));
    ck_assert_ptr_null(owner);
    ck_ok(lathe_store_claim(red, LATHE_STORE_MODEL, "sky", NULL, &err));
    ck_ok(lathe_store_claim(red, LATHE_STORE_MODEL, "pear", "red", &err));
    /* a version without a project stays with its model */
    lathe_version_new again = {.model = "sky", .sha256 = sha};
    ck_ok(lathe_store_version_register(store, &again, NULL, &err));
    ck_ok(lathe_store_owner(red, LATHE_STORE_MODEL, "sky", arena, &owner, &err));
    ck_assert_str_eq(owner, "blue");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_scope");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up_projects, tear_down_projects);
    tcase_add_test(all, no_table_is_forgotten);
    tcase_add_test(all, a_view_is_not_written);
    tcase_add_test(all, another_projects_is_not_there);
    tcase_add_test(all, nothing_of_another_project_is_changed);
    tcase_add_test(all, the_scope_can_be_taken_away);
    tcase_add_test(all, runs_have_the_projects_own_latest);
    tcase_add_test(all, alerts_are_of_the_run_else_the_model_else_the_endpoint);
    tcase_add_test(all, names_are_one_for_the_home);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
