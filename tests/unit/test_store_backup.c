/* Backup and restore as one verified unit. */
#include "base/fs.h"
#include "store/db.h"
#include "support_store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static lathe_store *store;
static char sha1[LATHE_SHA256_HEX];

static void set_up_store(void) {
    lathe_version_record v;
    char key[LATHE_SHA256_HEX], sha[LATHE_SHA256_HEX];
    set_up();
    store = open_own();
    register_text(store, "m", "version one", "live", "e");
    register_text(store, "m", "version two", "live", "e");
    ck_ok(lathe_store_version(store, "m@1", arena, &v, &err));
    memcpy(sha1, v.sha256, sizeof sha1);
    ck_assert(lathe_sha256_hex("step", 4, key));
    commit_text(store, "cached", sha);
    ck_ok(lathe_store_step_put(store, key, sha, NULL, NULL, &err));
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

static const char *backed_up(const char *sha) {
    char name[160];
    snprintf(name, sizeof name, "backup/artifacts/sha256/%.2s/%s", sha, sha);
    return in_scratch(name);
}

static void check_restored(const char *path) {
    lathe_store *s;
    lathe_verify_report report;
    lathe_endpoint_record e;
    lathe_audit_list log;
    int64_t v = 0;
    ck_ok(lathe_store_open(path, LATHE_STORE_OWN, &s, &err));
    ck_ok(lathe_store_verify(s, arena, &report, &err));
    ck_assert_int_eq(report.count, 0);
    ck_assert_int_eq(report.versions, 2);
    ck_assert_int_eq(report.artifacts, 2); // the cache was left out
    ck_ok(lathe_store_endpoint(s, "e", arena, &e, &err));
    ck_assert_int_eq(e.version, 2);
    ck_ok(lathe_store_endpoint_rollback(s, "e", NULL, &v, &err)); // the history came along
    ck_assert_int_eq(v, 1);
    ck_ok(lathe_store_audit(s, 0, 0, arena, &log, &err));
    ck_assert_str_eq(log.items[6].action, "restore");
    lathe_store_close(s);
}

START_TEST(a_backup_restores_to_the_same) {
    lathe_backup_summary made, checked, restored;
    char command[200];
    ck_ok(lathe_store_backup(store, in_scratch("backup"), &made, &err));
    ck_assert_int_eq(made.files, 3);
    ck_ok(lathe_backup_verify(in_scratch("backup"), &checked, &err));
    ck_assert(memcmp(&made, &checked, sizeof made) == 0);
    ck_assert(!lathe_is_file(in_scratch("backup/lathe.db-wal")));
    ck_assert(!lathe_is_file(in_scratch("backup/lathe.db-shm")));
    snprintf(command, sizeof command, "cd %s/backup && sha256sum --quiet -c SHA256SUMS", scratch);
    ck_assert_int_eq(system(command), 0);
    ck_ok(lathe_store_restore(in_scratch("backup"), in_scratch("deep/restored"), &restored, &err));
    ck_assert(memcmp(&made, &restored, sizeof made) == 0);
    check_restored(in_scratch("deep/restored"));
    ck_assert(mkdir(in_scratch("empty"), 0700) == 0); // an empty folder is taken over
    ck_ok(lathe_store_restore(in_scratch("backup"), in_scratch("empty/"), NULL, &err));
    check_restored(in_scratch("empty"));
}
END_TEST

START_TEST(a_backup_beside_the_owner_while_he_writes) {
    lathe_store *reader;
    lathe_verify_report report;
    lathe_store_close(store);
    int ready[2];
    char byte;
    ck_assert(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        store = open_own();
        for (int i = 0;; i++) {
            char text[32];
            snprintf(text, sizeof text, "more %d", i);
            register_text(store, "m", text, "live", "e");
            if (i == 3 && write(ready[1], "x", 1) != 1)
                _exit(1);
        }
    }
    ck_assert(read(ready[0], &byte, 1) == 1);
    ck_ok(lathe_store_open(home, LATHE_STORE_READ, &reader, &err));
    ck_ok(lathe_store_backup(reader, in_scratch("backup"), NULL, &err));
    lathe_store_close(reader);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_ok(lathe_backup_verify(in_scratch("backup"), NULL, &err));
    ck_ok(lathe_store_restore(in_scratch("backup"), in_scratch("restored"), NULL, &err));
    ck_ok(lathe_store_open(in_scratch("restored"), LATHE_STORE_READ, &reader, &err));
    ck_ok(lathe_store_verify(reader, arena, &report, &err));
    ck_assert_int_eq(report.errors, 0);
    ck_assert_int_ge(report.versions, 6);
    lathe_store_close(reader);
    store = open_own();
}
END_TEST

START_TEST(places_that_are_refused) {
    lathe_store *other;
    ck_fails(lathe_store_backup(store, in_home("backup"), NULL, &err), LATHE_E_INVALID, "inside");
    write_text(in_scratch("file"), "x");
    ck_fails(lathe_store_backup(store, in_scratch("file"), NULL, &err), LATHE_E_EXISTS, "folder");
    ck_assert(mkdir(in_scratch("full"), 0700) == 0);
    write_text(in_scratch("full/note"), "mine");
    ck_fails(lathe_store_backup(store, in_scratch("full"), NULL, &err), LATHE_E_EXISTS,
             "something");
    ck_ok(lathe_store_backup(store, in_scratch("backup"), NULL, &err));
    ck_fails(lathe_store_backup(store, in_scratch("backup"), NULL, &err), LATHE_E_EXISTS,
             "something");
    ck_fails(lathe_store_restore(in_scratch("backup"), home, NULL, &err), LATHE_E_EXISTS,
             "something");
    ck_fails(lathe_store_restore(in_scratch("backup"), in_scratch("full"), NULL, &err),
             LATHE_E_EXISTS, "something");
    ck_fails(lathe_store_restore(in_scratch("nowhere"), in_scratch("r"), NULL, &err),
             LATHE_E_NOT_FOUND, "no finished backup");
    ck_assert(!lathe_is_dir(in_scratch("r")));
    ck_assert_int_eq(lathe_store_open(in_scratch("full"), LATHE_STORE_READ, &other, &err),
                     LATHE_E_NOT_FOUND);
}
END_TEST

START_TEST(a_damaged_home_gives_no_backup) {
    flip_bit(artifact_file(sha1), 3);
    ck_fails(lathe_store_backup(store, in_scratch("backup"), NULL, &err), LATHE_E_CORRUPT,
             "changed or damaged");
    ck_assert(!lathe_is_dir(in_scratch("backup")));
    ck_assert(unlink(artifact_file(sha1)) == 0);
    ck_assert(mkdir(in_scratch("backup"), 0700) == 0);
    ck_fails(lathe_store_backup(store, in_scratch("backup"), NULL, &err), LATHE_E_CORRUPT,
             "missing");
    ck_assert(rmdir(in_scratch("backup")) == 0); // empty as before
}
END_TEST

/* Puts manifest and sums in agreement again, as someone who forges a backup would. */
static void resign(const char *from, const char *to) {
    char command[600];
    snprintf(command, sizeof command,
             "cd %s/backup && sed -i 's|%s|%s|' manifest.json && "
             "h=$(sha256sum < manifest.json | cut -c1-64) && sed -i 's|%s|%s|' SHA256SUMS && "
             "sed -i \"s|^.*  manifest.json|$h  manifest.json|\" SHA256SUMS",
             scratch, from, to, from, to);
    ck_assert_int_eq(system(command), 0);
}

static void drop_in_database(const char *sql) {
    sqlite3 *db;
    char old[LATHE_SHA256_HEX], new[LATHE_SHA256_HEX], old_bytes[64], new_bytes[64];
    int64_t bytes;
    const char *path = in_scratch("backup/lathe.db");
    ck_ok(lathe_sha256_file(path, old, &bytes, &err));
    snprintf(old_bytes, sizeof old_bytes, "\"bytes\":%lld,\"sha256\":\"%.10s", (long long)bytes,
             old);
    ck_assert(sqlite3_open(path, &db) == SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
    ck_ok(lathe_sha256_file(path, new, &bytes, &err));
    snprintf(new_bytes, sizeof new_bytes, "\"bytes\":%lld,\"sha256\":\"%.10s", (long long)bytes,
             old);
    resign(old_bytes, new_bytes);
    resign(old, new);
}

START_TEST(each_defect_of_a_backup_is_found) {
    ck_ok(lathe_store_backup(store, in_scratch("backup"), NULL, &err));
    const char *want = NULL;
    int32_t code = LATHE_E_CORRUPT;
    switch (_i) {
    case 0:
        flip_bit(backed_up(sha1), 2);
        want = "damaged";
        break;
    case 1:
        ck_assert(unlink(backed_up(sha1)) == 0);
        want = "missing";
        break;
    case 2:
        flip_bit(in_scratch("backup/lathe.db"), 5000);
        want = "damaged";
        break;
    case 3:
        flip_bit(in_scratch("backup/manifest.json"), 20);
        want = "manifest";
        break;
    case 4:
        ck_assert(truncate(in_scratch("backup/SHA256SUMS"), 100) == 0);
        want = "do not agree";
        break;
    case 5:
        ck_assert(unlink(in_scratch("backup/SHA256SUMS")) == 0);
        want = "no finished backup";
        code = LATHE_E_NOT_FOUND;
        break;
    case 6:
        ck_assert(unlink(in_scratch("backup/manifest.json")) == 0);
        want = "manifest.json is missing";
        break;
    case 7:
        resign("\"lathe_backup\":1", "\"lathe_backup\":2");
        want = "newer Lathe";
        code = LATHE_E_VERSION;
        break;
    case 8:
        resign("\"path\":\"artifacts/sha256/../", "\"path\":\"../../../x/"); // '.' is any character
        want = "no backup has";
        break;
    case 9:
        drop_in_database("PRAGMA user_version = 9");
        want = "schema version 9";
        code = LATHE_E_VERSION;
        break;
    default: {
        char sql[300], missing[LATHE_SHA256_HEX];
        ck_assert(lathe_sha256_hex("missing", 7, missing));
        snprintf(sql, sizeof sql, "INSERT INTO artifacts VALUES('%s', 1, '', 0)", missing);
        drop_in_database(sql);
        want = "which the backup does not hold";
    }
    }
    ck_fails(lathe_backup_verify(in_scratch("backup"), NULL, &err), code, want);
    lathe_error_clear(&err);
    int32_t rc = lathe_store_restore(in_scratch("backup"), in_scratch("restored"), NULL, &err);
    if (_i == 10) // a row that nothing refers to costs a restore nothing
        ck_assert_int_eq(rc, LATHE_OK);
    else {
        ck_assert_msg(rc == code, "%d: %s", rc, err.message);
        ck_assert(!lathe_is_dir(in_scratch("restored")));
    }
}
END_TEST

START_TEST(a_forged_reference_is_found_by_restore) {
    char sql[400], missing[LATHE_SHA256_HEX];
    ck_ok(lathe_store_backup(store, in_scratch("backup"), NULL, &err));
    ck_assert(lathe_sha256_hex("missing", 7, missing));
    snprintf(sql, sizeof sql,
             "INSERT INTO artifacts VALUES('%s', 1, '', 0);"
             "INSERT INTO versions VALUES('m', 3, '%s', 1, NULL, 0, '{}', '{}', '{}')",
             missing, missing);
    drop_in_database(sql);
    ck_fails(lathe_store_restore(in_scratch("backup"), in_scratch("restored"), NULL, &err),
             LATHE_E_CORRUPT, "needed by version m@3");
    ck_assert(!lathe_is_dir(in_scratch("restored")));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_backup");
    TCase *t = tcase_create("backup");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, a_backup_restores_to_the_same);
    tcase_add_test(t, a_backup_beside_the_owner_while_he_writes);
    tcase_add_test(t, places_that_are_refused);
    tcase_add_test(t, a_damaged_home_gives_no_backup);
    tcase_add_loop_test(t, each_defect_of_a_backup_is_found, 0, 11);
    tcase_add_test(t, a_forged_reference_is_found_by_restore);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
