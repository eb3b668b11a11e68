/* Runs, events, files of runs, comparison, the cache of steps, alerts. */
#include "base/clock.h"
#include "base/fs.h"
#include "store/db.h"
#include "support_store.h"

#include <stdlib.h>
#include <unistd.h>

static lathe_store *store;

static void set_up_store(void) {
    set_up();
    store = open_own();
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

static void begin(const char *pipeline, const char *document, char id[LATHE_RUN_ID]) {
    lathe_run_new info = {
        .pipeline = pipeline, .document = document, .seed = 7, .version = "0.1.0"};
    ck_ok(lathe_store_run_begin(store, &info, id, &err));
}

START_TEST(a_run_from_begin_to_end) {
    char id[LATHE_RUN_ID];
    lathe_run_record run;
    begin("income", "{\"b\": 1, \"a\": 2}", id);
    ck_ok(lathe_store_run(store, id, arena, &run, &err));
    ck_assert_str_eq(run.status, LATHE_RUN_RUNNING);
    ck_assert_str_eq(run.project, "default");
    ck_assert_str_eq(run.document, "{\"b\": 1, \"a\": 2}");
    ck_assert_int_eq(run.seed, 7);
    ck_assert_int_eq(run.finished, 0);
    ck_assert_str_eq(run.result, "{}");
    char hash[LATHE_SHA256_HEX];
    const char *canonical = "{\"a\":2,\"b\":1}";
    ck_assert(lathe_sha256_hex(canonical, strlen(canonical), hash));
    ck_assert_str_eq(run.document_sha256, hash);
    ck_ok(lathe_store_run_facts(store, id, "{\"cores\":2}", NULL, "{\"x.csv\":{}}", &err));
    ck_ok(lathe_store_run_facts(store, id, NULL, "{\"p\":\"1\"}", NULL, &err));
    ck_ok(lathe_store_run_finish(store, id, LATHE_RUN_GOAL_NOT_MET, "auc 0.8", "{\"m\":1}", &err));
    ck_ok(lathe_store_run(store, "latest", arena, &run, &err));
    ck_assert_str_eq(run.id, id);
    ck_assert_str_eq(run.machine, "{\"cores\":2}");
    ck_assert_str_eq(run.plugins, "{\"p\":\"1\"}");
    ck_assert_str_eq(run.data, "{\"x.csv\":{}}");
    ck_assert_str_eq(run.reason, "auc 0.8");
    ck_assert(run.finished >= run.started);
    ck_fails(lathe_store_run_finish(store, id, LATHE_RUN_FAILED, NULL, NULL, &err), LATHE_E_STATE,
             "has finished");
    ck_fails(lathe_store_run_facts(store, id, "{}", NULL, NULL, &err), LATHE_E_STATE,
             "has finished");
    ck_assert(sqlite3_exec(store->db, "UPDATE runs SET seed = 8", NULL, NULL, NULL) != SQLITE_OK);
    ck_fails(lathe_store_run_finish(store, id, LATHE_RUN_RUNNING, NULL, NULL, &err),
             LATHE_E_INVALID, "no status");
    ck_fails(lathe_store_run_finish(store, "nope", LATHE_RUN_FAILED, NULL, NULL, &err),
             LATHE_E_NOT_FOUND, "no run 'nope'");
}
END_TEST

START_TEST(a_document_must_be_json) {
    char id[LATHE_RUN_ID];
    lathe_run_new info = {.pipeline = "p", .document = "{\"a\": }"};
    ck_assert_int_ne(lathe_store_run_begin(store, &info, id, &err), LATHE_OK);
    ck_assert_int_ne(lathe_store_run_begin(store, &info, id, NULL), LATHE_OK);
    info.document = "{}";
    info.machine = "{'single': 1}";
    ck_fails(lathe_store_run_begin(store, &info, id, &err), LATHE_E_INVALID, "not valid JSON");
    info.machine = NULL;
    info.project = "no/project";
    ck_fails(lathe_store_run_begin(store, &info, id, &err), LATHE_E_INVALID, "project");
}
END_TEST

START_TEST(runs_are_found_and_filtered) {
    char ids[3][LATHE_RUN_ID];
    lathe_run_list list;
    lathe_run_record run;
    ck_fails(lathe_store_run(store, "latest", arena, &run, &err), LATHE_E_NOT_FOUND, "no runs yet");
    begin("a", "{}", ids[0]);
    begin("b", "{}", ids[1]);
    begin("a", "{}", ids[2]);
    ck_ok(lathe_store_run_finish(store, ids[0], LATHE_RUN_FAILED, "x", NULL, &err));
    ck_ok(lathe_store_runs(store, NULL, arena, &list, &err));
    ck_assert_int_eq(list.count, 3);
    ck_assert_str_eq(list.items[0].id, ids[2]);
    ck_assert_ptr_null(list.items[0].document);
    lathe_run_filter filter = {.pipeline = "a"};
    ck_ok(lathe_store_runs(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    filter.status = LATHE_RUN_FAILED;
    ck_ok(lathe_store_runs(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    filter = (lathe_run_filter){.limit = 2};
    ck_ok(lathe_store_runs(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    ck_fails(lathe_store_run(store, "2", arena, &run, &err), LATHE_E_INVALID, "fits several");
    ck_fails(lathe_store_run(store, "%", arena, &run, &err), LATHE_E_NOT_FOUND, "runs list");
    ck_fails(lathe_store_run(store, "", arena, &run, &err), LATHE_E_INVALID, "needed");
    char prefix[LATHE_RUN_ID];
    snprintf(prefix, sizeof prefix, "%.*s", (int)strlen(ids[1]) - 1, ids[1]);
    if (strncmp(prefix, ids[0], strlen(prefix)) != 0 &&
        strncmp(prefix, ids[2], strlen(prefix)) != 0) {
        ck_ok(lathe_store_run(store, prefix, arena, &run, &err));
        ck_assert_str_eq(run.id, ids[1]);
    }
}
END_TEST

START_TEST(events_are_numbered_without_gaps) {
    char id[LATHE_RUN_ID];
    int64_t last = 0;
    lathe_event_list list;
    const char *two[] = {"{\"event\":\"started\"}", "{\"event\":\"metric\",\"value\":0.9}"};
    const char *broken[] = {"{\"event\":\"x\"}", "{oops"};
    begin("p", "{}", id);
    ck_ok(lathe_store_events_append(store, id, two, 2, &last, &err));
    ck_assert_int_eq(last, 2);
    ck_fails(lathe_store_events_append(store, id, broken, 2, &last, &err), LATHE_E_INVALID, "JSON");
    ck_ok(lathe_store_events_append(store, id, two, 0, &last, &err));
    ck_assert_int_eq(last, 2);
    ck_ok(lathe_store_events_append(store, id, two, 1, &last, &err));
    ck_assert_int_eq(last, 3);
    ck_ok(lathe_store_events(store, id, 1, 0, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    ck_assert_int_eq(list.items[0].seq, 2);
    ck_assert_str_eq(list.items[0].json, two[1]);
    ck_ok(lathe_store_events(store, id, 0, 1, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_fails(lathe_store_events_append(store, "nope", two, 1, NULL, &err), LATHE_E_NOT_FOUND,
             "no run");
    ck_fails(lathe_store_events(store, "nope", 0, 0, arena, &list, &err), LATHE_E_NOT_FOUND,
             "no run");
}
END_TEST

static const lathe_run_difference *find(const lathe_run_comparison *c, const char *part,
                                        const char *pointer) {
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->items[i].part, part) == 0 && strcmp(c->items[i].pointer, pointer) == 0)
            return &c->items[i];
    return NULL;
}

START_TEST(a_comparison_shows_what_differs_alone) {
    char a[LATHE_RUN_ID], b[LATHE_RUN_ID];
    lathe_run_comparison c;
    begin("p", "{\"train\":{\"a/b\":{\"rate\":0.1},\"same\":[1,2]},\"x\":{}}", a);
    begin("p", "{\"train\":{\"same\":[1,2,3],\"a/b\":{\"rate\":0.2}},\"x\":[]}", b);
    ck_ok(lathe_store_run_finish(store, a, LATHE_RUN_SUCCEEDED, NULL, "{\"auc\":0.9}", &err));
    ck_ok(lathe_store_run_finish(store, b, LATHE_RUN_SUCCEEDED, NULL, "{\"auc\":0.9}", &err));
    ck_ok(lathe_store_runs_compare(store, a, b, arena, &c, &err));
    ck_assert_int_eq(c.count, 3);
    const lathe_run_difference *d = find(&c, "document", "/train/a~1b/rate");
    ck_assert_ptr_nonnull(d);
    ck_assert_str_eq(d->a, "0.1");
    ck_assert_str_eq(d->b, "0.2");
    d = find(&c, "document", "/train/same/2");
    ck_assert_ptr_null(d->a);
    ck_assert_str_eq(d->b, "3");
    d = find(&c, "document", "/x");
    ck_assert_str_eq(d->a, "{}");
    ck_assert_str_eq(d->b, "[]");
    ck_ok(lathe_store_runs_compare(store, a, a, arena, &c, &err));
    ck_assert_int_eq(c.count, 0);
    ck_fails(lathe_store_runs_compare(store, a, "zzz", arena, &c, &err), LATHE_E_NOT_FOUND,
             "no run");
}
END_TEST

START_TEST(files_of_a_run) {
    char id[LATHE_RUN_ID], one[LATHE_SHA256_HEX], two[LATHE_SHA256_HEX];
    lathe_run_files files;
    begin("p", "{}", id);
    commit_text(store, "report one", one);
    commit_text(store, "report, the second", two);
    ck_ok(lathe_store_run_file_add(store, id, "report.html", one, &err));
    ck_ok(lathe_store_run_file_add(store, id, "report.html", two, &err));
    ck_ok(lathe_store_run_file_add(store, id, "model", one, &err));
    ck_ok(lathe_store_run_files(store, id, arena, &files, &err));
    ck_assert_int_eq(files.count, 2);
    ck_assert_str_eq(files.items[1].name, "report.html");
    ck_assert_str_eq(files.items[1].sha256, two);
    ck_assert_int_eq(files.items[1].bytes, 18);
    one[0] = one[0] == 'a' ? 'b' : 'a';
    ck_fails(lathe_store_run_file_add(store, id, "x", one, &err), LATHE_E_NOT_FOUND, "no artifact");
    ck_fails(lathe_store_run_file_add(store, "nope", "x", two, &err), LATHE_E_NOT_FOUND, "no run");
}
END_TEST

START_TEST(the_cache_of_steps) {
    char key[LATHE_SHA256_HEX], other[LATHE_SHA256_HEX], sha[LATHE_SHA256_HEX];
    bool found = true;
    lathe_step_record step;
    lathe_step_list list;
    ck_assert(lathe_sha256_hex("step", 4, key));
    ck_assert(lathe_sha256_hex("other", 5, other));
    ck_ok(lathe_store_step_get(store, key, arena, &found, &step, &err));
    ck_assert(!found);
    commit_text(store, "table", sha);
    ck_ok(lathe_store_step_put(store, key, sha, "{\"rows\":5}", "r1", &err));
    ck_ok(lathe_store_step_put(store, other, NULL, NULL, NULL, &err));
    ck_ok(lathe_store_step_get(store, key, arena, &found, &step, &err));
    ck_assert(found);
    ck_assert_str_eq(step.sha256, sha);
    ck_assert_str_eq(step.path, artifact_file(sha));
    ck_assert_str_eq(step.metadata, "{\"rows\":5}");
    ck_assert_int_eq(step.bytes, 5);
    ck_ok(lathe_store_step_get(store, other, arena, &found, &step, &err));
    ck_assert(found);
    ck_assert_str_eq(step.path, "");
    ck_ok(lathe_store_steps(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    flip_bit(artifact_file(sha), 0); // damaged: dropped, and computed again
    ck_ok(lathe_store_step_get(store, key, arena, &found, &step, &err));
    ck_assert(!found);
    ck_ok(lathe_store_steps(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_fails(lathe_store_step_get(store, "short", arena, &found, &step, &err), LATHE_E_INVALID,
             "SHA-256");
    ck_fails(lathe_store_step_put(store, key, other, NULL, NULL, &err), LATHE_E_NOT_FOUND,
             "no artifact");
}
END_TEST

START_TEST(a_use_is_noted_once_a_minute) {
    char key[LATHE_SHA256_HEX];
    bool found;
    lathe_step_record step;
    ck_assert(lathe_sha256_hex("step", 4, key));
    ck_ok(lathe_store_step_put(store, key, NULL, NULL, NULL, &err));
    ck_ok(lathe_db_run(store, NULL, &err, "UPDATE steps SET used = used - 3600000000", ""));
    int64_t before = lathe_wall_us();
    ck_ok(lathe_store_step_get(store, key, arena, &found, &step, &err));
    ck_assert(step.used >= before);
    int64_t noted = step.used;
    ck_ok(lathe_store_step_get(store, key, arena, &found, &step, &err));
    ck_assert_int_eq(step.used, noted);
}
END_TEST

START_TEST(alerts_are_kept_and_seen) {
    lathe_alert_list list;
    lathe_alert_new two[] = {
        {.severity = "warning",
         .kind = "drift",
         .message = "age drifts",
         .endpoint = "income",
         .model = "income",
         .version = 3,
         .feature = "age",
         .detail = "{\"psi\":0.3}",
         .time = 1000},
        {.severity = "info", .kind = "quality", .message = "fine", .time = 2000}};
    lathe_alert_new bad = {.severity = "loud", .kind = "x", .message = "y"};
    ck_ok(lathe_store_alerts_add(store, two, 2, &err));
    ck_fails(lathe_store_alerts_add(store, &bad, 1, &err), LATHE_E_INVALID, "no severity");
    bad.severity = "info";
    bad.message = "";
    ck_fails(lathe_store_alerts_add(store, &bad, 1, &err), LATHE_E_INVALID, "message");
    ck_ok(lathe_store_alerts(store, NULL, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    ck_assert_int_eq(list.items[0].time, 2000);
    ck_assert_str_eq(list.items[0].endpoint, "");
    ck_assert_str_eq(list.items[1].detail, "{\"psi\":0.3}");
    ck_assert_int_eq(list.items[1].version, 3);
    lathe_alert_filter filter = {.endpoint = "income"};
    ck_ok(lathe_store_alerts(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_ok(lathe_store_alert_acknowledge(store, list.items[0].id, &err));
    filter = (lathe_alert_filter){.open = true};
    ck_ok(lathe_store_alerts(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_assert_str_eq(list.items[0].kind, "quality");
    filter = (lathe_alert_filter){.since = 1500};
    ck_ok(lathe_store_alerts(store, &filter, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_fails(lathe_store_alert_acknowledge(store, 99, &err), LATHE_E_NOT_FOUND, "no alert 99");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_runs");
    TCase *t = tcase_create("runs");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, a_run_from_begin_to_end);
    tcase_add_test(t, a_document_must_be_json);
    tcase_add_test(t, runs_are_found_and_filtered);
    tcase_add_test(t, events_are_numbered_without_gaps);
    tcase_add_test(t, a_comparison_shows_what_differs_alone);
    tcase_add_test(t, files_of_a_run);
    tcase_add_test(t, the_cache_of_steps);
    tcase_add_test(t, a_use_is_noted_once_a_minute);
    tcase_add_test(t, alerts_are_kept_and_seen);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
