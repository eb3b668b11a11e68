/* Files by their content: coming in, being damaged, being verified, being collected. */
#include "base/clock.h"
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

START_TEST(a_file_comes_in_once) {
    char sha[LATHE_SHA256_HEX], want[LATHE_SHA256_HEX];
    int64_t bytes = 0;
    struct stat before, after;
    const char *path;
    lathe_artifact_list list;
    ck_assert(lathe_sha256_hex("abc", 3, want));
    write_text(in_scratch("a"), "abc");
    ck_ok(lathe_store_artifact_import(store, in_scratch("a"), want, "model", sha, &bytes, &err));
    ck_assert_str_eq(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(bytes, 3);
    ck_assert(lathe_is_file(in_scratch("a"))); // the user's own stays
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
    ck_assert_str_eq(path, artifact_file(sha));
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert_int_eq(before.st_mode & 0222, 0);
    commit_text(store, "abc", sha);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(before.st_ino == after.st_ino && before.st_mtime == after.st_mtime);
    ck_ok(lathe_store_artifacts(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_assert_str_eq(list.items[0].kind, "model");
    ck_assert(rmdir(in_home("artifacts/tmp")) == 0); // nothing was left there
}
END_TEST

START_TEST(an_artifact_is_a_copy_that_nobody_holds) {
    char sha[LATHE_SHA256_HEX];
    const char *path;
    write_text(in_scratch("a"), "honest");
    FILE *held = fopen(in_scratch("a"), "r+b"); // as a worker that keeps its staged file open
    ck_ok(lathe_store_artifact_commit(store, in_scratch("a"), NULL, "", sha, NULL, &err));
    ck_assert(fputs("evil!!", held) >= 0 && fclose(held) == 0);
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
}
END_TEST

START_TEST(an_announced_hash_must_fit) {
    char sha[LATHE_SHA256_HEX], other[LATHE_SHA256_HEX];
    lathe_artifact_list list;
    ck_assert(lathe_sha256_hex("other", 5, other));
    write_text(in_scratch("a"), "abc");
    ck_fails(lathe_store_artifact_commit(store, in_scratch("a"), other, "", sha, NULL, &err),
             LATHE_E_CORRUPT, "announced");
    ck_assert(lathe_is_file(in_scratch("a")));
    ck_fails(lathe_store_artifact_commit(store, in_scratch("a"), "ABC", "", sha, NULL, &err),
             LATHE_E_INVALID, "64 digits");
    ck_ok(lathe_store_artifacts(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 0);
    ck_assert(rmdir(in_home("artifacts/tmp")) == 0);
}
END_TEST

START_TEST(only_plain_files_come_in) {
    char sha[LATHE_SHA256_HEX];
    ck_assert(symlink("/etc/hostname", in_scratch("link")) == 0);
    ck_assert(mkfifo(in_scratch("pipe"), 0600) == 0);
    ck_fails(lathe_store_artifact_commit(store, in_scratch("link"), NULL, "", sha, NULL, &err),
             LATHE_E_DATA, "plain files");
    ck_fails(lathe_store_artifact_commit(store, in_scratch("pipe"), NULL, "", sha, NULL, &err),
             LATHE_E_DATA, "plain files");
    ck_fails(lathe_store_artifact_commit(store, scratch, NULL, "", sha, NULL, &err), LATHE_E_DATA,
             "plain files");
    ck_assert_int_eq(
        lathe_store_artifact_commit(store, in_scratch("none"), NULL, "", sha, NULL, &err),
        LATHE_E_NOT_FOUND);
    const char *path;
    ck_fails(lathe_store_staging(store, "../up", arena, &path, &err), LATHE_E_INVALID,
             "not allowed");
}
END_TEST

START_TEST(damage_is_told_and_healed) {
    char sha[LATHE_SHA256_HEX];
    const char *path;
    commit_text(store, "some content", sha);
    flip_bit(artifact_file(sha), 5);
    ck_ok(lathe_store_artifact_path(store, sha, false, arena, &path, &err)); // same length
    ck_fails(lathe_store_artifact_path(store, sha, true, arena, &path, &err), LATHE_E_CORRUPT,
             "changed or damaged");
    ck_assert_ptr_null(path);
    commit_text(store, "some content", sha);
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
    ck_assert(chmod(artifact_file(sha), 0644) == 0 && truncate(artifact_file(sha), 3) == 0);
    ck_fails(lathe_store_artifact_path(store, sha, false, arena, &path, &err), LATHE_E_CORRUPT,
             "has 3 bytes and should have 12");
    ck_assert(unlink(artifact_file(sha)) == 0);
    ck_fails(lathe_store_artifact_path(store, sha, false, arena, &path, &err), LATHE_E_CORRUPT,
             "missing");
    commit_text(store, "some content", sha);
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
    sha[0] = sha[0] == 'a' ? 'b' : 'a';
    ck_fails(lathe_store_artifact_path(store, sha, false, arena, &path, &err), LATHE_E_NOT_FOUND,
             "no artifact");
}
END_TEST

/* ---- verify ---- */

static lathe_verify_report verified(void) {
    lathe_verify_report report;
    ck_ok(lathe_store_verify(store, arena, &report, &err));
    return report;
}

static bool has(const lathe_verify_report *r, lathe_finding_level level, const char *subject,
                const char *message) {
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].level == level && strstr(r->items[i].subject, subject) != NULL &&
            strstr(r->items[i].message, message) != NULL)
            return true;
    return false;
}

START_TEST(a_sound_store_has_no_findings) {
    register_text(store, "m", "one", "live", "e");
    register_text(store, "m", "two", "live", "e");
    ck_ok(lathe_store_endpoint_rollback(store, "e", NULL, NULL, &err));
    lathe_verify_report r = verified();
    ck_assert_msg(r.count == 0, "%s: %s", r.items[0].subject, r.items[0].message);
    ck_assert_int_eq(r.artifacts, 2);
    ck_assert_int_eq(r.bytes, 6);
    ck_assert_int_eq(r.versions, 2);
    ck_assert_int_eq(r.audit_rows, 8);
}
END_TEST

START_TEST(verify_finds_each_damage) {
    char key[LATHE_SHA256_HEX], sha[LATHE_SHA256_HEX];
    lathe_version_record one, two;
    register_text(store, "m", "one", "live", "e");
    register_text(store, "m", "two", NULL, NULL);
    ck_ok(lathe_store_version(store, "m@1", arena, &one, &err));
    ck_ok(lathe_store_version(store, "m@2", arena, &two, &err));
    ck_assert(lathe_sha256_hex("step", 4, key));
    commit_text(store, "cached", sha);
    ck_ok(lathe_store_step_put(store, key, sha, NULL, NULL, &err));
    flip_bit(artifact_file(one.sha256), 0);
    ck_assert(unlink(artifact_file(two.sha256)) == 0);
    ck_assert(unlink(artifact_file(sha)) == 0);
    write_text(in_home("artifacts/sha256/stray"), "x");
    write_text(in_home("artifacts/tmp/left"), "x");
    ck_assert(
        sqlite3_exec(store->db,
                     "PRAGMA foreign_keys = OFF;"
                     "UPDATE aliases SET version = 2; UPDATE endpoints SET version = 2;"
                     "INSERT INTO run_files(run, name, sha256) VALUES('nope', 'x', 'nope');"
                     "DROP TRIGGER audit_no_update; UPDATE audit SET actor = 'x' WHERE seq = 2;",
                     NULL, NULL, NULL) == SQLITE_OK);
    lathe_verify_report r = verified();
    ck_assert(
        has(&r, LATHE_FINDING_ERROR, one.sha256, "needed by version m@1: the artifact's content"));
    ck_assert(
        has(&r, LATHE_FINDING_ERROR, two.sha256, "needed by version m@2: the artifact's file is"));
    ck_assert(has(&r, LATHE_FINDING_NOTE, sha, "computed again"));
    ck_assert(has(&r, LATHE_FINDING_NOTE, "artifacts/sha256/stray", "gc"));
    ck_assert(has(&r, LATHE_FINDING_NOTE, "artifacts/tmp/left", "gc"));
    ck_assert(has(&r, LATHE_FINDING_ERROR, "alias m@live", "history"));
    ck_assert(has(&r, LATHE_FINDING_ERROR, "endpoint e", "history"));
    ck_assert(has(&r, LATHE_FINDING_ERROR, "lathe.db", "run_files"));
    ck_assert(has(&r, LATHE_FINDING_ERROR, "audit log", "row 2"));
    ck_assert_int_eq(r.errors, 7); // run_files refers to a run and to an artifact
    ck_ok(lathe_store_verify(store, arena, &r, NULL));
}
END_TEST

START_TEST(verify_survives_a_damaged_database) {
    for (int i = 0; i < 200; i++)
        ck_ok(lathe_store_audit_add(store, "action", "a subject of some length", NULL, &err));
    register_text(store, "m", "one", "live", "e");
    lathe_store_close(store);
    // Every page but the first is overwritten in its middle.
    FILE *f = fopen(in_home("lathe.db"), "r+b");
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    for (long page = 4096; page < size; page += 4096) {
        fseek(f, page, SEEK_SET);
        for (int i = 0; i < 2000; i++)
            fputc(0xa5, f);
    }
    fclose(f);
    store = NULL;
    int32_t rc = lathe_store_open(home, LATHE_STORE_OWN, &store, &err);
    if (rc == LATHE_OK)
        ck_assert_int_gt(verified().errors, 0);
    else
        ck_assert_int_eq(rc, LATHE_E_CORRUPT);
    lathe_store *reader;
    rc = lathe_store_open(home, LATHE_STORE_READ, &reader, &err);
    if (rc == LATHE_OK) {
        lathe_verify_report r;
        ck_ok(lathe_store_verify(reader, arena, &r, &err));
        ck_assert_int_gt(r.errors, 0);
        lathe_store_close(reader);
    }
}
END_TEST

/* ---- gc ---- */

static void cache(const char *name, const char *content, int64_t age_us) {
    char key[LATHE_SHA256_HEX], sha[LATHE_SHA256_HEX];
    ck_assert(lathe_sha256_hex(name, strlen(name), key));
    commit_text(store, content, sha);
    ck_ok(lathe_store_step_put(store, key, sha, NULL, NULL, &err));
    ck_ok(lathe_db_run(store, NULL, &err, "UPDATE steps SET used = used - ? WHERE key = ?", "it",
                       age_us, key));
}

START_TEST(gc_takes_what_nothing_refers_to) {
    char id[LATHE_RUN_ID], sha[LATHE_SHA256_HEX], loose[LATHE_SHA256_HEX];
    const char *staging;
    lathe_gc_result r;
    lathe_run_new info = {.pipeline = "p", .document = "{}"};
    register_text(store, "m", "kept by a version", "live", NULL);
    ck_ok(lathe_store_run_begin(store, &info, id, &err));
    commit_text(store, "kept by a run", sha);
    ck_ok(lathe_store_run_file_add(store, id, "report.html", sha, &err));
    cache("s", "kept by the cache", 0);
    commit_text(store, "loose", loose);
    write_text(in_home("artifacts/tmp/left"), "1234567");
    ck_ok(lathe_store_staging(store, "r1", arena, &staging, &err)); // of no running run: goes
    ck_ok(lathe_store_staging(store, id, arena, &staging, &err));   // of a running run: stays
    ck_assert(mkdir(in_home("artifacts/sha256/zz"), 0755) == 0);
    write_text(in_home("artifacts/sha256/zz/junk"), "abc");

    lathe_gc_options dry = {.dry_run = true};
    ck_ok(lathe_store_gc(store, &dry, &r, &err));
    ck_assert_int_eq(r.artifacts, 1);
    ck_assert(lathe_is_file(artifact_file(loose)));
    ck_ok(lathe_store_gc(store, NULL, &r, &err));
    ck_assert_int_eq(r.steps, 0);
    ck_assert_int_eq(r.artifacts, 1);
    ck_assert_int_eq(r.files, 3); // junk, left, staging/r1
    ck_assert_int_eq(r.bytes, 5 + 7 + 3);
    ck_assert(!lathe_is_file(artifact_file(loose)));
    ck_assert(lathe_is_dir(staging) && !lathe_is_dir(in_home("staging/r1")));
    ck_assert_int_eq(verified().count, 0);
    ck_assert_int_eq(verified().artifacts, 3);
    ck_ok(lathe_store_gc(store, NULL, &r, &err));
    ck_assert_int_eq(r.artifacts + r.files + r.bytes + r.steps, 0);
}
END_TEST

START_TEST(gc_bounds_the_cache) {
    lathe_gc_result r;
    lathe_step_list list;
    cache("old", "0123456789", 5000000000);
    cache("middle", "abcdefghij", 3000000000);
    cache("new", "ABCDEFGHIJ", 0);
    lathe_gc_options age = {.steps_max_age = 4000000000};
    ck_ok(lathe_store_gc(store, &age, &r, &err));
    ck_assert_int_eq(r.steps, 1);
    ck_assert_int_eq(r.artifacts, 1);
    lathe_gc_options size = {.steps_max_bytes = 15, .dry_run = true};
    ck_ok(lathe_store_gc(store, &size, &r, &err));
    ck_assert_int_eq(r.steps, 1);
    ck_ok(lathe_store_steps(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 2);
    size.dry_run = false;
    ck_ok(lathe_store_gc(store, &size, &r, &err));
    ck_ok(lathe_store_steps(store, arena, &list, &err));
    ck_assert_int_eq(list.count, 1);
    ck_assert(list.items[0].used > lathe_wall_us() - 60000000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_artifacts");
    TCase *t = tcase_create("artifacts");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, a_file_comes_in_once);
    tcase_add_test(t, an_artifact_is_a_copy_that_nobody_holds);
    tcase_add_test(t, an_announced_hash_must_fit);
    tcase_add_test(t, only_plain_files_come_in);
    tcase_add_test(t, damage_is_told_and_healed);
    tcase_add_test(t, a_sound_store_has_no_findings);
    tcase_add_test(t, verify_finds_each_damage);
    tcase_add_test(t, verify_survives_a_damaged_database);
    tcase_add_test(t, gc_takes_what_nothing_refers_to);
    tcase_add_test(t, gc_bounds_the_cache);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
