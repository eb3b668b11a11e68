/* Canaries, shadows, shares of endpoints, and the gates at promotion. */
#include "store/db.h"
#include "support_store.h"

#include <stdlib.h>

static lathe_store *store;

/* Model m with versions 1, 2, 3; the endpoint e follows its alias live, at 1. */
static void set_up_store(void) {
    set_up();
    store = open_own();
    register_text(store, "m", "one", "live", "e");
    register_text(store, "m", "two", NULL, NULL);
    register_text(store, "m", "three", NULL, NULL);
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

static int64_t served(const char *endpoint) {
    lathe_endpoint_record e;
    ck_ok(lathe_store_endpoint(store, endpoint, arena, &e, &err));
    return e.version;
}

static int64_t begin(const char *kind, int64_t version) {
    int64_t id = 0;
    ck_ok(lathe_store_rollout_begin(store, "e", kind, "m", version, "{\"a\":1}", "try", &id, &err));
    return id;
}

/* The newest rollout of e. */
static lathe_rollout_record newest(void) {
    lathe_rollout_list list;
    ck_ok(lathe_store_rollouts(store, "e", false, 1, arena, &list, &err));
    ck_assert_uint_eq(list.count, 1);
    return list.items[0];
}

START_TEST(a_canary_is_promoted) {
    lathe_rollout_list running;
    lathe_alert_list alerts;
    ck_ok(lathe_store_endpoint_set(store, "copy", "m", "live", 0, NULL, &err));
    const int64_t id = begin("canary", 2);
    lathe_rollout_record r = newest();
    ck_assert_int_eq(r.id, id);
    ck_assert_str_eq(r.state, "running");
    ck_assert_str_eq(r.settings, "{\"a\":1}");
    ck_assert_int_eq(r.base_version, 1);
    ck_assert_int_eq(served("e"), 1);
    ck_fails(lathe_store_rollout_begin(store, "e", "canary", "m", 3, NULL, NULL, NULL, &err),
             LATHE_E_STATE, "m@2 is the canary");
    begin("shadow", 3);
    ck_ok(lathe_store_rollouts(store, NULL, true, 0, arena, &running, &err));
    ck_assert_uint_eq(running.count, 2);
    ck_ok(lathe_store_rollout_step(store, id, 2, &err));
    const lathe_alert_new alert = {.severity = "info", .kind = "rollout", .message = "it is done"};
    ck_ok(lathe_store_rollout_finish(store, id, "promoted", "good", "{\"b\":2}", &alert, &err));
    ck_assert_int_eq(served("e"), 2);
    ck_assert_int_eq(served("copy"), 2); /* the alias moved */
    ck_ok(lathe_store_alerts(store, NULL, arena, &alerts, &err));
    ck_assert_uint_eq(alerts.count, 1);
    ck_fails(lathe_store_rollout_step(store, id, 3, &err), LATHE_E_STATE, "not running");
    ck_fails(lathe_store_rollout_finish(store, id, "ended", NULL, NULL, NULL, &err), LATHE_E_STATE,
             "not running");
    ck_fails(
        lathe_db_run(store, NULL, &err, "UPDATE rollouts SET state = 'x' WHERE id = ?", "i", id),
        LATHE_E_STATE, "never changes");
    ck_ok(lathe_store_rollouts(store, NULL, true, 0, arena, &running, &err));
    ck_assert_uint_eq(running.count, 1); /* the shadow goes on */
}
END_TEST

START_TEST(a_canary_ends_with_its_endpoint) {
    int64_t v = 0;
    begin("canary", 2);
    ck_ok(lathe_store_alias_set(store, "m", "live", 3, NULL, &err));
    ck_assert_str_eq(newest().state, "superseded");
    begin("canary", 2);
    ck_ok(lathe_store_endpoint_rollback(store, "e", "by hand", &v, &err));
    ck_assert_int_eq(v, 3); /* the canary alone is undone */
    ck_assert_str_eq(newest().state, "rolled_back");
    ck_assert_str_eq(newest().reason, "by hand");
    ck_ok(lathe_store_endpoint_rollback(store, "e", NULL, &v, &err));
    ck_assert_int_eq(v, 1);
    begin("shadow", 2);
    ck_ok(lathe_store_endpoint_promote(store, "e", "m", 2, NULL, &err));
    ck_assert_str_eq(newest().state, "superseded"); /* it would shadow itself */
}
END_TEST

START_TEST(a_trial_needs_something_to_try) {
    ck_fails(lathe_store_rollout_begin(store, "e", "canary", "m", 1, NULL, NULL, NULL, &err),
             LATHE_E_STATE, "serves m@1 already");
    ck_fails(lathe_store_rollout_begin(store, "e", "canary", "m", 9, NULL, NULL, NULL, &err),
             LATHE_E_NOT_FOUND, "9");
    ck_fails(lathe_store_rollout_begin(store, "f", "canary", "m", 2, NULL, NULL, NULL, &err),
             LATHE_E_NOT_FOUND, "no endpoint");
    ck_assert_uint_eq((lathe_store_endpoint_promote(store, "e", "m", 9, NULL, &err), err.code),
                      LATHE_E_NOT_FOUND);
}
END_TEST

START_TEST(promoting_another_model_fixes_the_endpoint) {
    lathe_endpoint_record e;
    register_text(store, "n", "four", NULL, NULL);
    ck_ok(lathe_store_endpoint_promote(store, "e", "n", 1, NULL, &err));
    ck_ok(lathe_store_endpoint(store, "e", arena, &e, &err));
    ck_assert_str_eq(e.model, "n");
    ck_assert_str_eq(e.alias, "");
}
END_TEST

static const struct {
    const char *settings, *fault; /* NULL: none */
} settings[] = {
    {"{}", NULL},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2,\"percent\":60},{\"model\":\"m\",\"version\":3,"
     "\"percent\":40}],\"sticky\":\"header:x-user\"}",
     NULL},
    {"{\"sticky\":\"id\"}", NULL},
    {"[]", "object"},
    {"{", "object"},
    {"{\"trafic\":[]}", "trafic"},
    {"{\"traffic\":{}}", "list"},
    {"{\"traffic\":[7]}", "percent"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2}]}", "percent"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2,\"percent\":0}]}", "more than 0"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2.5,\"percent\":1}]}", "number"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":9,\"percent\":1}]}", "9"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2,\"percent\":1,\"x\":1}]}", "no member"},
    {"{\"traffic\":[{\"model\":\"m\",\"version\":2,\"percent\":60},{\"model\":\"m\",\"version\":3,"
     "\"percent\":41}]}",
     "more than 100"},
    {"{\"sticky\":\"cookie\"}", "sticky"},
    {"{\"sticky\":\"header:\"}", "sticky"},
    {"{\"sticky\":\"header:X-User\"}", "lower case"},
    {"{\"sticky\":1}", "sticky"},
};

START_TEST(settings_are_checked) {
    lathe_endpoint_record e;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const int32_t rc = lathe_store_endpoint_configure(store, "e", settings[i].settings, &err);
        if (settings[i].fault == NULL) {
            ck_ok(rc);
            ck_ok(lathe_store_endpoint(store, "e", arena, &e, &err));
            if (i < 2) /* later ones keep what they do not name */
                ck_assert_str_eq(e.settings, settings[i].settings);
        } else {
            ck_assert_msg(rc != LATHE_OK && strstr(err.message, settings[i].fault) != NULL,
                          "%s: %s", settings[i].settings, err.message);
        }
    }
    ck_ok(lathe_store_endpoint_configure(store, "e", "{\"traffic\":null}", &err));
    ck_ok(lathe_store_endpoint(store, "e", arena, &e, &err));
    ck_assert_str_eq(e.settings, "{\"sticky\":\"id\"}");
}
END_TEST

/* ---- gates ---- */

#define CHECK(metric, require, value, met)                                                         \
    "{\"metric\":\"" metric "\",\"require\":\"" require "\",\"value\":" value ",\"met\":" met "}"

static const struct {
    const char *goal;
    int failed;
    const char *says;
} goals[] = {
    {"{}", 0, ""},
    {"{\"met\":true,\"checks\":[" CHECK("auc", ">= 0.9", "0.92", "true") "]}", 0, ""},
    {"{\"met\":false,\"checks\":[" CHECK("auc", ">= 0.9", "0.92", "true") "," CHECK(
         "latency_p99_ms", "<= 1", "3.5", "false") "]}",
     1, "latency_p99_ms is to be <= 1 and is 3.5"},
    /* what the file weighs counts, not what the record says */
    {"{\"met\":true,\"checks\":[" CHECK("model_mb", "<= 1", "0.5", "true") "]}", 1, "model_mb"},
    {"{\"met\":true,\"checks\":[" CHECK("auc", ">= 0.9", "0.2", "true") "]}", 1, "auc"},
    {"{\"met\":true,\"checks\":[" CHECK("auc", ">= 0.9", "null", "true") "]}", 1, "not found"},
    {"{\"met\":true,\"checks\":[" CHECK("auc", "big", "1", "true") "]}", 1, "auc"},
    {"{\"met\":true,\"checks\":[7]}", 1, ""},
    {"{\"met\":false}", 1, "goal"},
};

START_TEST(gates_are_judged_anew) {
    const lathe_version_record v = {
        .model = "m", .version = 1, .bytes = 2000000, .goal = goals[_i].goal};
    cJSON *failed;
    const int32_t rc = lathe_gates_check(&v, &failed, &err);
    ck_assert_int_eq(rc, goals[_i].failed ? LATHE_E_STATE : LATHE_OK);
    ck_assert_int_eq(cJSON_GetArraySize(failed), goals[_i].failed);
    if (goals[_i].failed)
        ck_assert_msg(strstr(err.message, goals[_i].says) != NULL, "%s", err.message);
    cJSON_Delete(failed);
}
END_TEST

START_TEST(an_override_is_in_the_audit_log) {
    lathe_audit_list rows;
    lathe_version_record v = {.model = "m", .version = 1, .goal = goals[2].goal};
    ck_ok(lathe_gates_override(store, &v, "it is urgent", &err));
    v.goal = goals[1].goal;
    ck_ok(lathe_gates_override(store, &v, "nothing to override", &err));
    ck_ok(lathe_store_audit(store, 0, 0, arena, &rows, &err));
    const lathe_audit_record *last = &rows.items[rows.count - 1];
    ck_assert_str_eq(last->action, "gates.overridden");
    ck_assert_str_eq(last->subject, "m@1");
    ck_assert_ptr_nonnull(strstr(last->detail, "it is urgent"));
    ck_assert_ptr_nonnull(strstr(last->detail, "latency_p99_ms"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_rollouts");
    TCase *tc = tcase_create("rollouts");
    tcase_add_checked_fixture(tc, set_up_store, tear_down_store);
    tcase_add_test(tc, a_canary_is_promoted);
    tcase_add_test(tc, a_canary_ends_with_its_endpoint);
    tcase_add_test(tc, a_trial_needs_something_to_try);
    tcase_add_test(tc, promoting_another_model_fixes_the_endpoint);
    tcase_add_test(tc, settings_are_checked);
    tcase_add_test(tc, an_override_is_in_the_audit_log);
    suite_add_tcase(suite, tc);
    tc = tcase_create("gates");
    tcase_add_loop_test(tc, gates_are_judged_anew, 0, sizeof goals / sizeof *goals);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
