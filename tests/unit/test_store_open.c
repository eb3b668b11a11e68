/* Opening a home directory: where it is, who owns it, what may be wrong with it. */
#include "base/fs.h"
#include "store/db.h"
#include "support_store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void sql(const char *text) {
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(in_home("lathe.db"), &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void check_path(const char *given, const char *want) {
    char *path = NULL;
    ck_ok(lathe_store_home_path(given, &path, &err));
    ck_assert_str_eq(path, want);
    free(path);
}

START_TEST(home_is_resolved_in_order) {
    char *path, cwd[512], here[600];
    setenv("HOME", "/h", 1);
    unsetenv("LATHE_HOME");
    unsetenv("XDG_DATA_HOME");
    check_path(NULL, "/h/.local/share/lathe");
    setenv("XDG_DATA_HOME", "/x", 1);
    check_path(NULL, "/x/lathe");
    setenv("XDG_DATA_HOME", "relative", 1); // the specification says: ignore it
    check_path(NULL, "/h/.local/share/lathe");
    setenv("LATHE_HOME", "/l/", 1);
    check_path("", "/l");
    check_path("/given//", "/given");
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    snprintf(here, sizeof here, "%s/sub", cwd);
    check_path("sub", here);
    unsetenv("LATHE_HOME");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    ck_fails(lathe_store_home_path(NULL, &path, &err), LATHE_E_NOT_FOUND, "--home");
}
END_TEST

START_TEST(a_new_home_is_private_and_reopens) {
    struct stat st;
    lathe_store *store = open_own();
    ck_assert_str_eq(lathe_store_home(store), home);
    ck_assert_int_eq(lathe_store_get_mode(store), LATHE_STORE_OWN);
    ck_assert_int_eq(stat(home, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    lathe_store_close(store);
    store = open_own();
    int64_t value = 0;
    sqlite3_stmt *q;
    bool row;
    ck_ok(lathe_db_int(store, &value, NULL, &err, "PRAGMA synchronous", ""));
    ck_assert_int_eq(value, 2);
    ck_ok(lathe_db_int(store, &value, NULL, &err, "PRAGMA foreign_keys", ""));
    ck_assert_int_eq(value, 1);
    ck_ok(lathe_db_int(store, &value, NULL, &err, "PRAGMA user_version", ""));
    ck_assert_int_eq(value, LATHE_SCHEMA_VERSION);
    ck_ok(lathe_db_query(store, &q, &err, "PRAGMA journal_mode", ""));
    ck_ok(lathe_db_step(store, q, &row, &err));
    ck_assert_str_eq((const char *)sqlite3_column_text(q, 0), "wal");
    sqlite3_finalize(q);
    lathe_store_close(store);
}
END_TEST

START_TEST(reading_makes_nothing) {
    lathe_store *store;
    ck_fails(lathe_store_open(home, LATHE_STORE_READ, &store, &err), LATHE_E_NOT_FOUND, "no store");
    ck_assert_ptr_null(store);
    ck_assert(!lathe_is_dir(home));
    ck_assert(mkdir(home, 0700) == 0);
    write_text(in_home("lathe.db"), "");
    ck_fails(lathe_store_open(home, LATHE_STORE_READ, &store, &err), LATHE_E_NOT_FOUND, "empty");
}
END_TEST

START_TEST(a_file_is_no_home) {
    lathe_store *store;
    write_text(home, "hello");
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_EXISTS, "is a file");
    ck_fails(lathe_store_open(home, LATHE_STORE_READ, &store, &err), LATHE_E_EXISTS, "is a file");
    ck_assert_int_ne(lathe_store_open(in_home("below"), LATHE_STORE_OWN, &store, &err), LATHE_OK);
}
END_TEST

START_TEST(a_home_that_cannot_be_made) {
    lathe_store *store;
    lathe_error_clear(&err);
    int32_t rc = lathe_store_open("/proc/lathe-home", LATHE_STORE_OWN, &store, &err);
    ck_assert(rc == LATHE_E_IO || rc == LATHE_E_NOT_FOUND);
    ck_assert_msg(strstr(err.message, "cannot be made") != NULL, "%s", err.message);
    ck_assert_ptr_nonnull(strstr(err.where, "/proc/lathe-home"));
    rc = lathe_store_open("/proc/self", LATHE_STORE_OWN, &store,
                          &err); // a folder, and no file can be made
    ck_assert(rc == LATHE_E_IO || rc == LATHE_E_NOT_FOUND);
    ck_assert_msg(strstr(err.message, "cannot be written") != NULL, "%s", err.message);
}
END_TEST

START_TEST(garbage_is_no_database) {
    lathe_store *store;
    ck_assert(mkdir(home, 0700) == 0);
    write_text(in_home("lathe.db"), "This is a text of more than sixteen bytes, and no database.");
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_CORRUPT, "restore");
    ck_fails(lathe_store_open(home, LATHE_STORE_READ, &store, &err), LATHE_E_CORRUPT, "restore");
}
END_TEST

START_TEST(a_truncated_database_is_told) {
    lathe_store *store = open_own();
    lathe_store_close(store);
    ck_assert(truncate(in_home("lathe.db"), 5000) == 0);
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_CORRUPT, "damaged");
}
END_TEST

START_TEST(another_programs_database_stays_as_it_is) {
    lathe_store *store;
    char before[LATHE_SHA256_HEX], after[LATHE_SHA256_HEX];
    ck_assert(mkdir(home, 0700) == 0);
    sql("CREATE TABLE recipes(name)");
    ck_ok(lathe_sha256_file(in_home("lathe.db"), before, NULL, &err));
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_CORRUPT,
             "other program");
    ck_ok(lathe_sha256_file(in_home("lathe.db"), after, NULL, &err));
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_newer_schema_is_refused) {
    lathe_store *store = open_own();
    lathe_store_close(store);
    sql("PRAGMA user_version = 99");
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_VERSION, "version 99");
    ck_fails(lathe_store_open(home, LATHE_STORE_READ, &store, &err), LATHE_E_VERSION,
             "newer Lathe");
}
END_TEST

START_TEST(artifacts_without_their_database_are_safe) {
    lathe_store *store = open_own();
    char sha[LATHE_SHA256_HEX];
    commit_text(store, "precious", sha);
    lathe_store_close(store);
    ck_assert(unlink(in_home("lathe.db")) == 0);
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_CORRUPT, "was lost");
    ck_assert(lathe_is_file(artifact_file(sha)));
}
END_TEST

/* A process that owns the home until it is killed. */
static pid_t fork_owner(void) {
    int ready[2];
    char byte;
    ck_assert(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        lathe_store *store;
        if (lathe_store_open(home, LATHE_STORE_OWN, &store, NULL) != LATHE_OK ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert(child > 0);
    close(ready[1]);
    ck_assert(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return child;
}

START_TEST(there_is_one_owner_and_readers_beside_him) {
    lathe_store *store;
    char pid[32];
    lathe_store *first = open_own();
    register_text(first, "income", "weights", "live", NULL);
    lathe_store_close(first);
    pid_t child = fork_owner();
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &store, &err), LATHE_E_STATE, pid);
    ck_assert_ptr_nonnull(strstr(err.message, "in use"));

    lathe_version_record version;
    ck_ok(lathe_store_open(home, LATHE_STORE_READ, &store, &err));
    ck_ok(lathe_store_version(store, "income@live", arena, &version, &err));
    ck_assert_int_eq(version.version, 1);
    char sha[LATHE_SHA256_HEX];
    write_text(in_scratch("file"), "x");
    ck_fails(lathe_store_artifact_import(store, in_scratch("file"), NULL, "", sha, NULL, &err),
             LATHE_E_STATE, "reading only");
    ck_fails(lathe_store_alias_set(store, "income", "live", 1, NULL, &err), LATHE_E_STATE,
             "reading only");
    lathe_store_close(store);

    kill(child, SIGKILL);
    ck_assert(waitpid(child, NULL, 0) == child);
    store = open_own(); // the lock has gone with its owner
    lathe_store_close(store);
}
END_TEST

START_TEST(a_removed_lock_file_is_no_way_around) {
    lathe_store *store = open_own(), *other;
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &other, &err), LATHE_E_STATE, "in use");
    lathe_store_close(store);
    ck_assert(unlink(in_home("lock")) == 0);
    store = open_own();
    ck_fails(lathe_store_open(home, LATHE_STORE_OWN, &other, &err), LATHE_E_STATE, "in use");
    lathe_store_close(store);
}
END_TEST

START_TEST(runs_of_a_dead_owner_are_interrupted) {
    char id[LATHE_RUN_ID];
    const char *staging;
    lathe_run_record run;
    lathe_store *store = open_own();
    lathe_run_new info = {.pipeline = "p", .document = "{}"};
    ck_ok(lathe_store_run_begin(store, &info, id, &err));
    ck_ok(lathe_store_staging(store, id, arena, &staging, &err));
    lathe_store_close(store); // as a crash: nobody finished it
    store = open_own();
    ck_ok(lathe_store_run(store, id, arena, &run, &err));
    ck_assert_str_eq(run.status, LATHE_RUN_INTERRUPTED);
    ck_assert(run.finished > 0 && run.reason[0] != '\0');
    ck_assert(!lathe_is_dir(staging));
    lathe_store_close(store);
}
END_TEST

START_TEST(migrations_are_all_or_nothing) {
    static const char *const good[] = {"CREATE TABLE a(x)",
                                       "ALTER TABLE a ADD y; CREATE TABLE b(z)"};
    static const char *const bad[] = {"CREATE TABLE a(x)", "CREATE TABLE b(z); CREATE TABLE a(x)"};
    int64_t n = -1;
    char db[128];
    snprintf(db, sizeof db, "%s/m.db", scratch);
    lathe_store s = {.home = scratch, .db_path = db, .lock_fd = -1, .mode = LATHE_STORE_OWN};
    ck_ok(lathe_db_open(&s, &err));
    ck_ok(lathe_db_migrate(&s, good, 1, &err));
    ck_fails(lathe_db_migrate(&s, bad, 2, &err), LATHE_E_INTERNAL, "stays at 1");
    ck_ok(lathe_db_int(&s, &n, NULL, &err, "PRAGMA user_version", ""));
    ck_assert_int_eq(n, 1);
    ck_ok(lathe_db_int(&s, &n, NULL, &err, "SELECT count(*) FROM sqlite_master WHERE name = 'b'",
                       ""));
    ck_assert_int_eq(n, 0);
    ck_ok(lathe_db_migrate(&s, good, 2, &err));
    ck_ok(lathe_db_migrate(&s, good, 2, &err)); // nothing left to do
    ck_ok(lathe_db_int(&s, &n, NULL, &err, "PRAGMA user_version", ""));
    ck_assert_int_eq(n, 2);
    ck_fails(lathe_db_migrate(&s, good, 1, &err), LATHE_E_VERSION, "newer");
    sqlite3_close(s.db);
}
END_TEST

START_TEST(names_are_checked) {
    char many[140];
    memset(many, 'a', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    ck_ok(lathe_store_check_name("adult-income_2.1", "the name", &err));
    ck_fails(lathe_store_check_name("", "the name", &err), LATHE_E_INVALID, "missing");
    ck_fails(lathe_store_check_name(NULL, "the name", &err), LATHE_E_INVALID, "missing");
    ck_fails(lathe_store_check_name("../x", "the name", &err), LATHE_E_INVALID, "not allowed");
    ck_fails(lathe_store_check_name(".x", "the name", &err), LATHE_E_INVALID, "not allowed");
    ck_fails(lathe_store_check_name("a@b", "the name", &err), LATHE_E_INVALID, "not allowed");
    ck_fails(lathe_store_check_name("größe", "the name", &err), LATHE_E_INVALID, "not allowed");
    ck_fails(lathe_store_check_name(many, "the name", &err), LATHE_E_INVALID, "at most 128");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_open");
    TCase *t = tcase_create("open");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, home_is_resolved_in_order);
    tcase_add_test(t, a_new_home_is_private_and_reopens);
    tcase_add_test(t, reading_makes_nothing);
    tcase_add_test(t, a_file_is_no_home);
    tcase_add_test(t, a_home_that_cannot_be_made);
    tcase_add_test(t, garbage_is_no_database);
    tcase_add_test(t, a_truncated_database_is_told);
    tcase_add_test(t, another_programs_database_stays_as_it_is);
    tcase_add_test(t, a_newer_schema_is_refused);
    tcase_add_test(t, artifacts_without_their_database_are_safe);
    tcase_add_test(t, there_is_one_owner_and_readers_beside_him);
    tcase_add_test(t, a_removed_lock_file_is_no_way_around);
    tcase_add_test(t, runs_of_a_dead_owner_are_interrupted);
    tcase_add_test(t, migrations_are_all_or_nothing);
    tcase_add_test(t, names_are_checked);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
