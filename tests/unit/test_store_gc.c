/* What gc must not take: what it cannot look at, and what another connection is just bringing in. The failures are this
 * program's own lstat, which stands before the library's. */
#include "base/fs.h"
#include "support_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static lathe_store *store;
static const char *unreadable; /* the path whose examination fails */

int lstat(const char *restrict path, struct stat *restrict st) {
    if (unreadable != NULL && strcmp(path, unreadable) == 0) {
        errno = EIO;
        return -1;
    }
    return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

static void set_up_store(void) {
    set_up();
    store = open_own();
}

static void tear_down_store(void) {
    unreadable = NULL;
    lathe_store_close(store);
    tear_down();
}

START_TEST(a_folder_that_cannot_be_examined_stays) {
    char sha[LATHE_SHA256_HEX], folder[128];
    const char *path;
    lathe_gc_result r;
    lathe_gc_options dry = {.dry_run = true};
    register_text(store, "m", "kept", "live", NULL);
    ck_assert(lathe_sha256_hex("kept", 4, sha));
    snprintf(folder, sizeof folder, "%s/artifacts/sha256/%.2s", home, sha);
    unreadable = folder;
    ck_fails(lathe_store_gc(store, &dry, &r, &err), LATHE_E_IO, "cannot be examined");
    ck_fails(lathe_store_gc(store, NULL, &r, &err), LATHE_E_IO, "cannot be examined");
    unreadable = NULL;
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
    ck_ok(lathe_store_gc(store, NULL, &r, &err));
    ck_assert_int_eq(r.files + r.artifacts, 0);
}
END_TEST

/* A disk that fails is no lost artifact: what to do differs. */
START_TEST(a_file_that_cannot_be_examined_is_not_missing) {
    char sha[LATHE_SHA256_HEX];
    const char *path;
    commit_text(store, "there", sha);
    unreadable = artifact_file(sha);
    ck_fails(lathe_store_artifact_path(store, sha, false, arena, &path, &err), LATHE_E_IO,
             "cannot be examined");
    unreadable = NULL;
    ck_assert(unlink(artifact_file(sha)) == 0);
    ck_fails(lathe_store_artifact_path(store, sha, false, arena, &path, &err), LATHE_E_CORRUPT,
             "missing");
}
END_TEST

/* ---- beside an import ---- */

typedef struct collector {
    lathe_store *store;
    atomic_bool begun, ended;
    int32_t rc;
} collector;

static void *collect(void *user) {
    collector *c = user;
    atomic_store(&c->begun, true);
    c->rc = lathe_store_gc(c->store, NULL, NULL, NULL);
    atomic_store(&c->ended, true);
    return NULL;
}

START_TEST(what_is_on_its_way_in_stays) {
    char sha[LATHE_SHA256_HEX];
    const char *path;
    int64_t version;
    pthread_t thread;
    collector c = {0};
    ck_ok(lathe_store_open_beside(store, &c.store, &err));
    lathe_store_keep(store);
    commit_text(store, "imported", sha);
    ck_assert_int_eq(pthread_create(&thread, NULL, collect, &c), 0);
    while (!atomic_load(&c.begun))
        usleep(1000);
    usleep(100000); // as long as it takes a gc to be through several times
    ck_assert(!atomic_load(&c.ended));
    const lathe_version_new info = {.model = "m", .sha256 = sha};
    ck_ok(lathe_store_version_register(store, &info, &version, &err));
    lathe_store_keep_end(store);
    pthread_join(thread, NULL);
    ck_assert_int_eq(c.rc, LATHE_OK);
    ck_ok(lathe_store_artifact_path(store, sha, true, arena, &path, &err));
    lathe_store_close(c.store);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_gc");
    TCase *t = tcase_create("gc");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, a_folder_that_cannot_be_examined_stays);
    tcase_add_test(t, a_file_that_cannot_be_examined_is_not_missing);
    tcase_add_test(t, what_is_on_its_way_in_stays);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
