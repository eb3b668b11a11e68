/* What was acknowledged survives: kill -9 at random moments; a full disk, a file-size limit and a failing fsync at
 * every single call. The failures are injected by this program's own write, pwrite, fsync and fdatasync, which stand
 * in front of the C library's also for SQLite. */
#include "base/fs.h"
#include "base/log.h"
#include "base/rng.h"
#include "store/db.h"
#include "support_store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- failing system calls ---- */

static int writes_left = -1; /* writes until one fails; -1: none does */
static int syncs_left = -1;
static int failed_calls;
static bool stay_full; /* once it failed, the disk stays full */

static bool fails_now(int *left) {
    if (*left < 0)
        return false;
    if (*left > 0) {
        (*left)--;
        return false;
    }
    failed_calls++;
    if (!stay_full)
        *left = -1;
    return true;
}

#pragma GCC visibility push(default) // else they would not stand in front for SQLite

ssize_t write(int fd, const void *data, size_t n) {
    if (fd > 2 && fails_now(&writes_left)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    if (fails_now(&writes_left)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) {
    return pwrite(fd, data, n, at);
}

int fsync(int fd) {
    if (fails_now(&syncs_left)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (fails_now(&syncs_left)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

#pragma GCC visibility pop

/* ---- what is there ---- */

/* In memory where there is such a place: a killed process leaves there what it leaves on a disk, and the many syncs
 * cost nothing. */
static void set_up_fast(void) {
    set_up_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static void check_sound(lathe_store *store) {
    lathe_verify_report report;
    ck_ok(lathe_store_verify(store, arena, &report, &err));
    for (size_t i = 0; i < report.count; i++)
        ck_assert_msg(report.items[i].level == LATHE_FINDING_NOTE, "%s: %s",
                      report.items[i].subject, report.items[i].message);
}

static void content_of(int64_t n, char text[64]) {
    snprintf(text, 64, "weights number %lld", (long long)n);
}

/* Stages, commits, registers with alias and endpoint, appends an event: as the parent of a run does. */
static int32_t deploy(lathe_store *store, const char *run, int64_t n, int64_t *version,
                      lathe_error *error) {
    char text[64], path[320], sha[LATHE_SHA256_HEX];
    const char *events[] = {"{\"event\":\"deployed\"}"};
    content_of(n, text);
    snprintf(path, sizeof path, "%s/staged", scratch);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
        return LATHE_E_INTERNAL;
    lathe_version_new info = {
        .model = "m", .sha256 = sha, .run = run, .alias = "live", .endpoint = "e"};
    int32_t rc = lathe_store_artifact_commit(store, path, NULL, "model", sha, NULL, error);
    if (rc == LATHE_OK)
        rc = lathe_store_version_register(store, &info, version, error);
    if (rc == LATHE_OK)
        rc = lathe_store_events_append(store, run, events, 1, NULL, error);
    return rc;
}

static int64_t newest(lathe_store *store) {
    int64_t n = 0;
    ck_ok(
        lathe_db_int(store, &n, NULL, &err, "SELECT coalesce(max(version), 0) FROM versions", ""));
    return n;
}

static void check_version(lathe_store *store, int64_t version, int64_t n) {
    char ref[48], text[64], want[LATHE_SHA256_HEX];
    lathe_version_record v;
    snprintf(ref, sizeof ref, "m@%lld", (long long)version);
    ck_ok(lathe_store_version(store, ref, arena, &v, &err));
    content_of(n, text);
    ck_assert(lathe_sha256_hex(text, strlen(text), want));
    ck_assert_str_eq(v.sha256, want);
    ck_ok(lathe_store_version_verify(store, ref, &err));
}

static void begin_run(lathe_store *store, char id[LATHE_RUN_ID]) {
    lathe_run_new info = {.pipeline = "p", .document = "{}"};
    ck_ok(lathe_store_run_begin(store, &info, id, &err));
}

/* ---- kill -9 ---- */

typedef struct ack {
    int64_t n, version;
    char run[LATHE_RUN_ID];
} ack;

static void deploy_for_ever(int out, int64_t n) {
    lathe_store *store;
    ack a = {0};
    lathe_run_new info = {.pipeline = "p", .document = "{}"};
    if (lathe_store_open(home, LATHE_STORE_OWN, &store, NULL) != LATHE_OK ||
        lathe_store_run_begin(store, &info, a.run, NULL) != LATHE_OK)
        _exit(2);
    for (a.n = n;; a.n++)
        if (deploy(store, a.run, a.n, &a.version, NULL) != LATHE_OK ||
            write(out, &a, sizeof a) != (ssize_t)sizeof a)
            _exit(3);
}

START_TEST(the_acknowledged_survives_kill_9) {
    enum { ROUNDS = 40, MOST = 65536 };
    static ack acks[MOST];
    size_t count = 0;
    int64_t next = 0;
    lathe_log_set_level(LATHE_LEVEL_ERROR); // each round leaves a run that is "interrupted"
    for (int round = 0; round < ROUNDS; round++) {
        int pipe_of[2];
        size_t before = count;
        ck_assert(pipe(pipe_of) == 0);
        pid_t child = fork();
        if (child == 0)
            deploy_for_ever(pipe_of[1], next);
        ck_assert(child > 0);
        close(pipe_of[1]);
        // Every fourth one dies while it opens the store, or soon after; the others after some deployments.
        if (round % 4 != 0)
            ck_assert(poll(&(struct pollfd){pipe_of[0], POLLIN, 0}, 1, 60000) == 1);
        usleep((useconds_t)lathe_rng_below(42, (uint64_t)round, 20000));
        ck_assert(kill(child, SIGKILL) == 0);
        int status = 0;
        ck_assert(waitpid(child, &status, 0) == child);
        ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", WEXITSTATUS(status));
        while (count < MOST && read(pipe_of[0], &acks[count], sizeof(ack)) == (ssize_t)sizeof(ack))
            count++;
        close(pipe_of[0]);
        ck_assert(count < MOST);

        lathe_store *store = open_own();
        for (size_t i = before; i < count; i++)
            check_version(store, acks[i].version, acks[i].n);
        int64_t last = count > 0 ? acks[count - 1].version : 0, have = newest(store);
        // Each round may have registered one that it could not acknowledge any more, never more.
        ck_assert_int_le(last, have);
        ck_assert_int_le(have, (int64_t)count + round + 1);
        if (have > 0) {
            lathe_version_record live;
            lathe_endpoint_record e;
            ck_ok(lathe_store_version(store, "m@live", arena, &live, &err));
            ck_ok(lathe_store_endpoint(store, "e", arena, &e, &err));
            ck_assert_int_eq(live.version,
                             have); // the alias moved with the version, or neither did
            ck_assert_int_eq(e.version, have);
        }
        if (round % 10 == 9 || round == ROUNDS - 1)
            check_sound(store);
        next += 1000;
        lathe_store_close(store);
    }
    ck_assert_int_gt(count, ROUNDS / 4); // else nothing was tested
    lathe_store *store = open_own();
    for (size_t i = 0; i < count; i++)
        check_version(store, acks[i].version, acks[i].n);
    lathe_event_list events;
    ck_ok(lathe_store_events(store, acks[count - 1].run, 0, 0, arena, &events, &err));
    ck_assert_int_ge(events.count, 1);
    int64_t running = -1;
    ck_ok(lathe_db_int(store, &running, NULL, &err,
                       "SELECT count(*) FROM runs WHERE status = 'running'", ""));
    ck_assert_int_eq(running, 0);
    ck_ok(lathe_store_gc(store, NULL, NULL, &err));
    check_sound(store);
    lathe_store_close(store);
}
END_TEST

/* ---- failing calls ---- */

/* One deployment in which the k-th write (or sync) fails: a clear error and nothing half done, or success. Then one more
 * with the same store, which must work. False where the deployment has fewer calls than that. */
static bool deploy_with_failure(int *counter, int k, const char *said) {
    char id[LATHE_RUN_ID];
    int64_t version = 0, next = 0;
    lathe_error_clear(&err);
    lathe_store *store = open_own();
    begin_run(store, id);
    int64_t before = newest(store);
    failed_calls = 0;
    *counter = k;
    int32_t rc = deploy(store, id, k, &version, &err);
    *counter = -1;
    bool reached = failed_calls > 0;
    if (rc != LATHE_OK) {
        ck_assert_int_eq(rc, LATHE_E_IO);
        ck_assert_msg(strstr(err.message, said) != NULL, "%d: %s", k, err.message);
        ck_assert_msg(strstr(err.where, home) != NULL, "%d: %s", k, err.where);
    }
    // Registered is acknowledged, also where the event after it failed.
    ck_assert_int_eq(newest(store), version != 0 ? before + 1 : before);
    ck_ok(deploy(store, id, k + 100000, &next, &err));
    lathe_store_close(store);

    store = open_own();
    ck_assert_int_eq(newest(store), next);
    ck_assert_int_eq(next, version != 0 ? before + 2 : before + 1);
    if (version != 0)
        check_version(store, version, k);
    check_version(store, next, k + 100000);
    check_sound(store);
    lathe_store_close(store);
    return reached;
}

START_TEST(a_full_disk_at_every_write) {
    int k = 0, reached = 0;
    lathe_log_set_level(LATHE_LEVEL_ERROR);
    stay_full = _i == 1;
    while (deploy_with_failure(&writes_left, k++, "full") && k < 400)
        reached++;
    ck_assert_int_gt(reached, 5);
    ck_assert_int_lt(reached, 400);
}
END_TEST

START_TEST(a_failing_sync_at_every_call) {
    int k = 0, reached = 0;
    lathe_log_set_level(LATHE_LEVEL_ERROR);
    while (deploy_with_failure(&syncs_left, k++, "") && k < 400)
        reached++;
    ck_assert_int_ge(reached, 4); // artifact, its folder, two commits
    ck_assert_int_lt(reached, 400);
}
END_TEST

/* ---- a limit on the size of files ---- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    ck_assert(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    ck_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

START_TEST(a_file_size_limit_is_an_error) {
    enum { BIG = 1 << 20 };
    char id[LATHE_RUN_ID], sha[LATHE_SHA256_HEX];
    int64_t last = 0;
    struct stat st;
    lathe_event_list events;
    char *big = malloc(BIG + 1);
    const char *small[] = {"{\"event\":1}"};
    signal(SIGXFSZ, SIG_IGN);
    memset(big, ' ', BIG);
    big[0] = '[';
    big[BIG - 1] = ']';
    big[BIG] = '\0';
    write_text(in_scratch("big"), big);
    lathe_store *store = open_own();
    begin_run(store, id);
    ck_ok(lathe_store_events_append(store, id, small, 1, &last, &err));

    limit_files(65536);
    ck_fails(lathe_store_artifact_commit(store, in_scratch("big"), NULL, "", sha, NULL, &err),
             LATHE_E_IO, "File too large");
    ck_assert_int_eq(err.detail, EFBIG);
    ck_assert(lathe_is_file(in_scratch("big")));
    limit_files(RLIM_INFINITY);
    ck_assert(rmdir(in_home("artifacts/tmp")) == 0); // no temporary file was left
    ck_assert(mkdir(in_home("artifacts/tmp"), 0700) == 0);

    ck_assert(stat(in_home("lathe.db-wal"), &st) == 0);
    limit_files((rlim_t)st.st_size + 20000);
    const char *events_big[] = {big};
    ck_assert_int_eq(lathe_store_events_append(store, id, events_big, 1, &last, &err), LATHE_E_IO);
    limit_files(RLIM_INFINITY);
    ck_ok(lathe_store_events(store, id, 0, 0, arena, &events, &err));
    ck_assert_int_eq(events.count, 1);
    ck_ok(lathe_store_events_append(store, id, events_big, 1, &last, &err));
    ck_assert_int_eq(last, 2);
    ck_ok(lathe_store_artifact_commit(store, in_scratch("big"), NULL, "", sha, NULL, &err));
    check_sound(store);
    lathe_store_close(store);
    free(big);
}
END_TEST

START_TEST(a_backup_on_a_full_disk_leaves_nothing) {
    lathe_log_set_level(LATHE_LEVEL_ERROR);
    lathe_store *store = open_own();
    register_text(store, "m", "one", "live", "e");
    bool reached = true;
    int k;
    for (k = 0; reached && k < 400; k++) {
        failed_calls = 0;
        writes_left = k;
        int32_t rc = lathe_store_backup(store, in_scratch("backup"), NULL, &err);
        writes_left = -1;
        reached = failed_calls > 0;
        if (rc == LATHE_OK) {
            ck_ok(lathe_backup_verify(in_scratch("backup"), NULL, &err));
            ck_ok(lathe_remove_tree(in_scratch("backup"), &err));
        } else {
            ck_assert_msg(rc == LATHE_E_IO, "%d: %d %s", k, rc, err.message);
            ck_assert(!lathe_is_dir(in_scratch("backup")));
        }
    }
    ck_assert(k > 5 && k < 400);
    ck_ok(lathe_store_backup(store, in_scratch("backup"), NULL, &err));
    reached = true;
    for (k = 0; reached && k < 400; k++) {
        failed_calls = 0;
        syncs_left = k;
        int32_t rc = lathe_store_restore(in_scratch("backup"), in_scratch("restored"), NULL, &err);
        syncs_left = -1;
        reached = failed_calls > 0;
        if (rc != LATHE_OK)
            ck_assert_int_eq(rc, LATHE_E_IO);
        if (lathe_is_dir(in_scratch("restored"))) { // at worst live, but its name not synced yet
            lathe_store *restored;
            ck_ok(lathe_store_open(in_scratch("restored"), LATHE_STORE_OWN, &restored, &err));
            check_sound(restored);
            ck_assert_int_eq(newest(restored), 1);
            lathe_store_close(restored);
            ck_ok(lathe_remove_tree(in_scratch("restored"), &err));
        }
    }
    ck_assert(k > 5 && k < 400);
    lathe_store_close(store);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_crash");
    TCase *t = tcase_create("crash");
    tcase_add_checked_fixture(t, set_up_fast, tear_down);
    tcase_add_test(t, the_acknowledged_survives_kill_9);
    tcase_add_loop_test(t, a_full_disk_at_every_write, 0, 2);
    tcase_add_test(t, a_failing_sync_at_every_call);
    tcase_add_test(t, a_file_size_limit_is_an_error);
    tcase_add_test(t, a_backup_on_a_full_disk_leaves_nothing);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
