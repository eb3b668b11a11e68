/* Models, versions, aliases, endpoints, and the audit log that they leave. */
#include "base/fs.h"
#include "store/db.h"
#include "support_store.h"

#include <stdlib.h>
#include <sys/stat.h>
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

static int64_t resolved(const char *ref) {
    lathe_version_record v;
    ck_ok(lathe_store_version(store, ref, arena, &v, &err));
    return v.version;
}

static int64_t served(const char *endpoint) {
    lathe_endpoint_record e;
    ck_ok(lathe_store_endpoint(store, endpoint, arena, &e, &err));
    return e.version;
}

static int64_t count(const char *sql) {
    int64_t n = -1;
    ck_ok(lathe_db_int(store, &n, NULL, &err, sql, ""));
    return n;
}

START_TEST(versions_are_numbered_and_found) {
    lathe_version_record v;
    lathe_version_list versions;
    lathe_model_list models;
    char sha[LATHE_SHA256_HEX];
    commit_text(store, "one", sha);
    lathe_version_new info = {.model = "income",
                              .sha256 = sha,
                              .document = "{\"lathe\":1}",
                              .metrics = "{\"auc\":0.92}",
                              .goal = "{\"met\":true}",
                              .alias = "live"};
    int64_t number = 0;
    ck_ok(lathe_store_version_register(store, &info, &number, &err));
    ck_assert_int_eq(number, 1);
    ck_assert_int_eq(register_text(store, "income", "two", "candidate", NULL), 2);
    ck_assert_int_eq(register_text(store, "churn", "three", NULL, NULL), 1);
    ck_assert_int_eq(resolved("income"), 2);
    ck_assert_int_eq(resolved("income@1"), 1);
    ck_assert_int_eq(resolved("income@candidate"), 2);
    ck_ok(lathe_store_version(store, "income@live", arena, &v, &err));
    ck_assert_int_eq(v.version, 1);
    ck_assert_str_eq(v.sha256, sha);
    ck_assert_int_eq(v.bytes, 3);
    ck_assert_str_eq(v.document, "{\"lathe\":1}");
    ck_assert_str_eq(v.metrics, "{\"auc\":0.92}");
    ck_assert_str_eq(v.goal, "{\"met\":true}");
    ck_assert_str_eq(v.aliases, "live");
    ck_ok(lathe_store_versions(store, "income", arena, &versions, &err));
    ck_assert_int_eq(versions.count, 2);
    ck_assert_int_eq(versions.items[0].version, 2);
    ck_ok(lathe_store_models(store, arena, &models, &err));
    ck_assert_int_eq(models.count, 2);
    ck_assert_str_eq(models.items[0].name, "churn");
    ck_assert_int_eq(models.items[1].versions, 2);
}
END_TEST

START_TEST(what_is_not_there_is_told_with_what_is) {
    lathe_version_record v;
    ck_fails(lathe_store_version(store, "income", arena, &v, &err), LATHE_E_NOT_FOUND,
             "none has been registered");
    register_text(store, "income", "one", "live", NULL);
    ck_fails(lathe_store_version(store, "imcome", arena, &v, &err), LATHE_E_NOT_FOUND,
             "did you mean 'income'");
    ck_fails(lathe_store_version(store, "quite-different", arena, &v, &err), LATHE_E_NOT_FOUND,
             "models list");
    ck_fails(lathe_store_version(store, "income@7", arena, &v, &err), LATHE_E_NOT_FOUND,
             "versions 1 to 1 and the aliases live");
    ck_fails(lathe_store_version(store, "income@99999999999999999999", arena, &v, &err),
             LATHE_E_NOT_FOUND, "versions 1 to 1");
    ck_fails(lathe_store_version(store, "income@lave", arena, &v, &err), LATHE_E_NOT_FOUND, "live");
    ck_fails(lathe_store_version(store, "income@", arena, &v, &err), LATHE_E_INVALID, "missing");
    ck_fails(lathe_store_version(store, "", arena, &v, &err), LATHE_E_INVALID, "missing");
    ck_fails(lathe_store_version(store, NULL, arena, &v, &err), LATHE_E_INVALID, "missing");
    lathe_endpoint_record e;
    ck_fails(lathe_store_endpoint(store, "income", arena, &e, &err), LATHE_E_NOT_FOUND,
             "no endpoint");
}
END_TEST

START_TEST(registering_is_all_or_nothing) {
    char sha[LATHE_SHA256_HEX], missing[LATHE_SHA256_HEX];
    memset(missing, 'a', 64);
    missing[64] = '\0';
    commit_text(store, "one", sha);
    lathe_version_new no_file = {.model = "m", .sha256 = missing};
    ck_fails(lathe_store_version_register(store, &no_file, NULL, &err), LATHE_E_NOT_FOUND,
             "no artifact");
    lathe_version_new bad_alias = {.model = "m", .sha256 = sha, .alias = "12"};
    ck_fails(lathe_store_version_register(store, &bad_alias, NULL, &err), LATHE_E_INVALID,
             "read as a version");
    lathe_version_new bad_json = {.model = "m", .sha256 = sha, .metrics = "{oops", .alias = "live"};
    ck_fails(lathe_store_version_register(store, &bad_json, NULL, &err), LATHE_E_INVALID,
             "not valid JSON");
    lathe_version_new bad_run = {.model = "m", .sha256 = sha, .run = "nope"};
    ck_fails(lathe_store_version_register(store, &bad_run, NULL, &err), LATHE_E_NOT_FOUND,
             "no run");
    lathe_version_new bad_end = {.model = "m", .sha256 = sha, .alias = "live", .endpoint = "a/b"};
    ck_fails(lathe_store_version_register(store, &bad_end, NULL, &err), LATHE_E_INVALID,
             "endpoint");
    lathe_version_new bad_sha = {.model = "m", .sha256 = "../../etc/passwd"};
    ck_fails(lathe_store_version_register(store, &bad_sha, NULL, &err), LATHE_E_INVALID, "SHA-256");
    ck_assert_int_eq(count("SELECT count(*) FROM versions"), 0);
    ck_assert_int_eq(count("SELECT count(*) FROM models"), 0);
    ck_assert_int_eq(count("SELECT count(*) FROM alias_history"), 0);
    ck_assert_int_eq(count("SELECT count(*) FROM audit"), 0);
    flip_bit(artifact_file(sha), 0);
    FILE *f = fopen(artifact_file(sha), "ab");
    fputs("longer", f);
    fclose(f);
    lathe_version_new good = {.model = "m", .sha256 = sha};
    ck_fails(lathe_store_version_register(store, &good, NULL, &err), LATHE_E_CORRUPT, "bytes");
}
END_TEST

START_TEST(reuse_takes_the_newest_of_the_same_content) {
    char sha[LATHE_SHA256_HEX];
    int64_t version = 0;
    register_text(store, "m", "one", "live", NULL);
    commit_text(store, "one", sha);
    lathe_version_new info = {.model = "m", .sha256 = sha, .reuse = true, .alias = "live"};
    ck_ok(lathe_store_version_register(store, &info, &version, &err));
    ck_assert_int_eq(version, 1);
    info.reuse = false;
    ck_ok(lathe_store_version_register(store, &info, &version, &err));
    ck_assert_int_eq(version, 2);
    register_text(store, "m", "other", NULL, NULL);
    info.reuse = true; // version 3 is the newest and has other content
    ck_ok(lathe_store_version_register(store, &info, &version, &err));
    ck_assert_int_eq(version, 4);
}
END_TEST

static void refused(const char *sql, const char *why) {
    ck_assert_msg(sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK, "%s", sql);
    ck_assert_msg(strstr(sqlite3_errmsg(store->db), why) != NULL, "%s: %s", sql,
                  sqlite3_errmsg(store->db));
}

START_TEST(versions_and_histories_never_change) {
    register_text(store, "m", "one", "live", "e");
    refused("UPDATE versions SET metrics = '{}'", "never changes");
    refused("DELETE FROM versions", "never deleted");
    refused("INSERT OR REPLACE INTO versions SELECT * FROM versions", "without gaps");
    refused("INSERT INTO versions SELECT model, 7, sha256, bytes, run, created, document, metrics, "
            "goal FROM versions",
            "without gaps");
    refused("DELETE FROM artifacts", "FOREIGN KEY");
    refused("DELETE FROM models", "FOREIGN KEY");
    refused("UPDATE alias_history SET version = 2", "append-only");
    refused("DELETE FROM endpoint_history", "append-only");
    refused("UPDATE audit SET actor = 'nobody'", "append-only");
    refused("DELETE FROM audit", "append-only");
}
END_TEST

START_TEST(rollback_is_undo) {
    lathe_move_list moves;
    int64_t v = 0;
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "content %d", i);
        register_text(store, "m", text, "live", NULL);
    }
    ck_assert_int_eq(resolved("m@live"), 3);
    ck_ok(lathe_store_alias_set(store, "m", "live", 3, NULL, &err)); // there already: no move
    ck_ok(lathe_store_alias_rollback(store, "m", "live", "bad", &v, &err));
    ck_assert_int_eq(v, 2);
    ck_ok(lathe_store_alias_rollback(store, "m", "live", "worse", &v, &err));
    ck_assert_int_eq(v, 1);
    ck_fails(lathe_store_alias_rollback(store, "m", "live", NULL, &v, &err), LATHE_E_STATE,
             "no earlier one");
    ck_assert_int_eq(resolved("m@live"), 1);
    ck_ok(lathe_store_alias_set(store, "m", "live", 3, "again", &err)); // a new branch from 1
    ck_ok(lathe_store_alias_rollback(store, "m", "live", NULL, &v, &err));
    ck_assert_int_eq(v, 1);
    ck_ok(lathe_store_alias_history(store, "m", "live", arena, &moves, &err));
    ck_assert_int_eq(moves.count, 7);
    ck_assert_str_eq(moves.items[0].action, "rollback");
    ck_assert(moves.items[0].current && !moves.items[1].current);
    ck_assert_str_eq(moves.items[1].reason, "again");
    ck_assert_str_eq(moves.items[3].reason, "bad");
    ck_fails(lathe_store_alias_rollback(store, "m", "nope", NULL, &v, &err), LATHE_E_NOT_FOUND,
             "no alias 'nope'");
    ck_fails(lathe_store_alias_set(store, "m", "live", 9, NULL, &err), LATHE_E_NOT_FOUND, "1 to 3");
    ck_fails(lathe_store_alias_set(store, "m", "live", 0, NULL, &err), LATHE_E_INVALID, "from 1");
}
END_TEST

START_TEST(a_rollback_to_a_lost_file_is_refused) {
    lathe_version_record v;
    register_text(store, "m", "one", "live", "e");
    register_text(store, "m", "two", "live", "e");
    ck_ok(lathe_store_version(store, "m@1", arena, &v, &err));
    ck_assert(unlink(artifact_file(v.sha256)) == 0);
    ck_fails(lathe_store_alias_rollback(store, "m", "live", NULL, NULL, &err), LATHE_E_CORRUPT,
             "missing");
    ck_fails(lathe_store_endpoint_rollback(store, "e", NULL, NULL, &err), LATHE_E_CORRUPT,
             "missing");
    ck_assert_int_eq(served("e"), 2);
}
END_TEST

START_TEST(an_endpoint_follows_its_alias) {
    lathe_move_list moves;
    int64_t v = 0;
    register_text(store, "m", "one", "live", "income");
    register_text(store, "m", "two", "live", "income");
    ck_assert_int_eq(served("income"), 2);
    ck_ok(lathe_store_endpoint_set(store, "copy", "m", "live", 0, NULL, &err));
    register_text(store, "m", "three", NULL, NULL);
    ck_ok(lathe_store_alias_set(store, "m", "live", 3, "by hand", &err));
    ck_assert_int_eq(served("income"), 3);
    ck_assert_int_eq(served("copy"), 3);
    ck_ok(lathe_store_endpoint_rollback(store, "income", "alarm", &v, &err));
    ck_assert_int_eq(v, 2);
    ck_assert_int_eq(resolved("m@live"), 2);
    ck_assert_int_eq(served("copy"), 2);
    ck_ok(lathe_store_endpoint_rollback(store, "income", NULL, &v, &err));
    ck_assert_int_eq(v, 1);
    ck_fails(lathe_store_endpoint_rollback(store, "income", NULL, &v, &err), LATHE_E_STATE,
             "nothing to go back to");
    ck_ok(lathe_store_endpoint_history(store, "income", arena, &moves, &err));
    ck_assert_int_eq(moves.count, 5);
    ck_assert_int_eq(moves.items[0].version, 1);
    ck_assert_str_eq(moves.items[1].reason, "alarm");
    ck_assert_str_eq(moves.items[2].reason, "by hand");
    // An alias's own rollback reaches the endpoint too.
    ck_ok(lathe_store_alias_set(store, "m", "live", 2, NULL, &err));
    ck_ok(lathe_store_alias_rollback(store, "m", "live", NULL, NULL, &err));
    ck_assert_int_eq(served("income"), 1);
}
END_TEST

START_TEST(an_endpoint_goes_back_to_another_model) {
    lathe_endpoint_record e;
    int64_t v = 0;
    register_text(store, "old", "one", "live", "score");
    register_text(store, "old", "two", "live", "score");
    register_text(store, "new", "three", "live", "score");
    ck_ok(lathe_store_endpoint_rollback(store, "score", NULL, &v, &err));
    ck_ok(lathe_store_endpoint(store, "score", arena, &e, &err));
    ck_assert_str_eq(e.model, "old");
    ck_assert_str_eq(e.alias, "live");
    ck_assert_int_eq(e.version, 2);
    ck_ok(lathe_store_endpoint_rollback(store, "score", NULL, &v, &err));
    ck_assert_int_eq(v, 1);

    // old@live moves on while "score" serves another model: going back must not move it for others.
    ck_ok(lathe_store_endpoint_set(store, "score", "new", NULL, 1, NULL, &err));
    ck_ok(lathe_store_endpoint(store, "score", arena, &e, &err));
    ck_assert_str_eq(e.alias, "");
    ck_ok(lathe_store_alias_set(store, "old", "live", 2, NULL, &err));
    ck_ok(lathe_store_endpoint_rollback(store, "score", NULL, &v, &err));
    ck_ok(lathe_store_endpoint(store, "score", arena, &e, &err));
    ck_assert_str_eq(e.model, "old");
    ck_assert_str_eq(e.alias, "");
    ck_assert_int_eq(e.version, 1);
    ck_assert_int_eq(resolved("old@live"), 2);
    ck_fails(lathe_store_endpoint_set(store, "x", "old", "nope", 0, NULL, &err), LATHE_E_NOT_FOUND,
             "no such model or alias");
    ck_fails(lathe_store_endpoint_rollback(store, "scor", NULL, &v, &err), LATHE_E_NOT_FOUND,
             "did you mean 'score'");
}
END_TEST

START_TEST(exports_are_checked_on_the_way) {
    char sha[LATHE_SHA256_HEX], have[LATHE_SHA256_HEX];
    lathe_version_record v;
    register_text(store, "m", "the weights", "live", NULL);
    ck_ok(lathe_store_version(store, "m", arena, &v, &err));
    memcpy(sha, v.sha256, sizeof sha);
    ck_ok(lathe_store_version_export(store, "m@live", in_scratch("out"), false, &err));
    ck_ok(lathe_sha256_file(in_scratch("out"), have, NULL, &err));
    ck_assert_str_eq(have, sha);
    ck_fails(lathe_store_version_export(store, "m", in_scratch("out"), false, &err), LATHE_E_EXISTS,
             "exists");
    ck_ok(lathe_store_version_export(store, "m", in_scratch("out"), true, &err));
    ck_ok(lathe_store_version_verify(store, "m", &err));
    flip_bit(artifact_file(sha), 4);
    ck_fails(lathe_store_version_verify(store, "m", &err), LATHE_E_CORRUPT, "changed or damaged");
    ck_fails(lathe_store_version_export(store, "m", in_scratch("out2"), false, &err),
             LATHE_E_CORRUPT, "changed or damaged");
    ck_assert(!lathe_is_file(in_scratch("out2")));
    ck_assert_int_ne(lathe_store_version_export(store, "m", in_scratch("no/such/out"), false, &err),
                     LATHE_OK);
}
END_TEST

START_TEST(the_audit_log_names_who_and_what) {
    lathe_audit_list log;
    int64_t rows = 0;
    char head[LATHE_SHA256_HEX];
    ck_ok(lathe_store_set_actor(store, "token:ci", &err));
    register_text(store, "m", "one", "live", "e");
    ck_ok(lathe_store_audit_add(store, "login", "ci", NULL, &err));
    ck_ok(lathe_store_audit(store, 0, 0, arena, &log, &err));
    ck_assert_int_eq(log.count, 4);
    ck_assert_str_eq(log.items[0].action, "version.register");
    ck_assert_str_eq(log.items[0].subject, "m@1");
    ck_assert_str_eq(log.items[0].actor, "token:ci");
    ck_assert_str_eq(log.items[1].action, "alias.set");
    ck_assert_str_eq(log.items[2].action, "endpoint.set");
    ck_ok(lathe_store_audit_verify(store, &rows, head, &err));
    ck_assert_int_eq(rows, 4);
    ck_assert_str_eq(head, log.items[3].hash);
    ck_ok(lathe_store_audit(store, 3, 1, arena, &log, &err));
    ck_assert_int_eq(log.count, 1);
    ck_assert_int_eq(log.items[0].seq, 4);
}
END_TEST

static void tamper(const char *sql) {
    ck_assert_int_eq(sqlite3_exec(store->db,
                                  "DROP TRIGGER IF EXISTS audit_no_update;"
                                  "DROP TRIGGER IF EXISTS audit_no_delete",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_msg(sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s",
                  sqlite3_errmsg(store->db));
}

START_TEST(tampering_with_the_audit_log_is_found) {
    for (int i = 0; i < 5; i++)
        ck_ok(lathe_store_audit_add(store, "a", "b", NULL, &err));
    ck_ok(lathe_store_audit_verify(store, NULL, NULL, &err));
    if (_i == 0)
        tamper("UPDATE audit SET actor = 'someone else' WHERE seq = 3");
    else if (_i == 1)
        tamper("DELETE FROM audit WHERE seq = 3");
    else if (_i == 2)
        tamper("DELETE FROM audit WHERE seq = 5");
    else if (_i == 3)
        tamper("DELETE FROM audit");
    else
        tamper("UPDATE audit SET action = 'ab', subject = '' WHERE seq = 2"); // same bytes in a row
    static const char *const want[] = {"row 3", "row 3 is missing", "cut off", "cut off", "row 2"};
    ck_fails(lathe_store_audit_verify(store, NULL, NULL, &err), LATHE_E_CORRUPT, want[_i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_models");
    TCase *t = tcase_create("models");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, versions_are_numbered_and_found);
    tcase_add_test(t, what_is_not_there_is_told_with_what_is);
    tcase_add_test(t, registering_is_all_or_nothing);
    tcase_add_test(t, reuse_takes_the_newest_of_the_same_content);
    tcase_add_test(t, versions_and_histories_never_change);
    tcase_add_test(t, rollback_is_undo);
    tcase_add_test(t, a_rollback_to_a_lost_file_is_refused);
    tcase_add_test(t, an_endpoint_follows_its_alias);
    tcase_add_test(t, an_endpoint_goes_back_to_another_model);
    tcase_add_test(t, exports_are_checked_on_the_way);
    tcase_add_test(t, the_audit_log_names_who_and_what);
    tcase_add_loop_test(t, tampering_with_the_audit_log_is_found, 0, 5);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
