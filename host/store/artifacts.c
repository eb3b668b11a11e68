#include "store/artifacts.h"

#include "base/clock.h"
#include "base/fs.h"
#include "store/db.h"
#include "store/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *artifact_path(const lathe_store *store, const char *sha256) {
    return lathe_store_path(store, "artifacts/sha256/%.2s/%s", sha256, sha256);
}

int32_t lathe_store_staging(lathe_store *store, const char *run, lathe_arena *arena,
                            const char **path, lathe_error *err) {
    *path = NULL;
    int32_t rc = lathe_db_writable(store, err);
    if (rc == LATHE_OK)
        rc = lathe_store_check_name(run, "the run's id", err);
    if (rc != LATHE_OK)
        return rc;
    char *made = lathe_store_path(store, "staging/%s", run);
    if (made != NULL && (rc = lathe_mkdirs(made, err)) == LATHE_OK)
        *path = lathe_arena_strdup(arena, made);
    free(made);
    if (rc == LATHE_OK && *path == NULL)
        rc = lathe_db_oom(store, err);
    return rc;
}

/* ---- in ---- */

/* The content is synced under `temp`: gives it its name. A sound file of that name stays if its row is there too; else
 * it may be of someone who died before its folder was synced, and is replaced. */
static int32_t place(lathe_store *store, const char *temp, const char *final, const char *sha256,
                     lathe_error *err) {
    char have[LATHE_SHA256_HEX];
    int64_t one;
    bool known = false;
    int32_t rc = lathe_db_int(store, &one, &known, err, "SELECT 1 FROM artifacts WHERE sha256 = ?",
                              "t", sha256);
    if (rc != LATHE_OK)
        return rc;
    if (known && lathe_is_file(final) && lathe_sha256_file(final, have, NULL, NULL) == LATHE_OK &&
        strcmp(have, sha256) == 0) {
        unlink(temp);
        return LATHE_OK;
    }
    char *folder = lathe_path_dir(final), *above = folder != NULL ? lathe_path_dir(folder) : NULL;
    if (above == NULL)
        rc = lathe_db_oom(store, err);
    else if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        rc = lathe_fail_errno(err, errno, folder, "the folder cannot be made");
    else // also where it is there already: who made it may have died before this
        rc = lathe_sync_dir(above, err);
    if (rc == LATHE_OK)
        rc = lathe_rename_durable(temp, final, err);
    free(above);
    free(folder);
    return rc;
}

static int32_t record(lathe_store *store, const char *sha256, int64_t bytes, const char *kind,
                      lathe_error *err) {
    return lathe_db_run(store, NULL, err,
                        "INSERT INTO artifacts(sha256, bytes, kind, created) VALUES(?, ?, ?, ?) "
                        "ON CONFLICT(sha256) DO NOTHING",
                        "titi", sha256, bytes, kind != NULL ? kind : "", lathe_wall_us());
}

static int32_t take_in(lathe_store *store, const char *source, const char *expect, const char *kind,
                       char sha256[LATHE_SHA256_HEX], int64_t *bytes, lathe_error *err) {
    char digest[LATHE_SHA256_HEX];
    int64_t size = 0;
    char *temp = NULL, *final = NULL;
    int32_t rc = lathe_db_writable(store, err);
    if (rc == LATHE_OK && expect != NULL)
        rc = lathe_check_sha256(expect, err);
    if (rc != LATHE_OK)
        return rc;
    temp = lathe_store_path(store, "artifacts/tmp/%ld-%llu", (long)getpid(),
                            (unsigned long long)store->temps++);
    if (temp == NULL)
        return lathe_db_oom(store, err);
    rc = lathe_copy_hashed(source, temp, digest, &size, err);
    if (rc == LATHE_OK && expect != NULL && strcmp(expect, digest) != 0)
        rc = lathe_fail(err, LATHE_E_CORRUPT, source,
                        "the file's SHA-256 is %.16s… and %.16s… was announced; it was damaged or "
                        "changed on the way and is not stored",
                        digest, expect);
    if (rc == LATHE_OK && (final = artifact_path(store, digest)) == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = place(store, temp, final, digest, err);
    if (rc == LATHE_OK)
        rc = record(store, digest, size, kind, err);
    if (rc == LATHE_OK) {
        memcpy(sha256, digest, sizeof digest);
        if (bytes != NULL)
            *bytes = size;
    } else {
        unlink(temp);
    }
    free(final);
    free(temp);
    return rc;
}

int32_t lathe_store_artifact_import(lathe_store *store, const char *path, const char *expect,
                                    const char *kind, char sha256[LATHE_SHA256_HEX], int64_t *bytes,
                                    lathe_error *err) {
    return take_in(store, path, expect, kind, sha256, bytes, err);
}

int32_t lathe_store_artifact_commit(lathe_store *store, const char *staged, const char *expect,
                                    const char *kind, char sha256[LATHE_SHA256_HEX], int64_t *bytes,
                                    lathe_error *err) {
    int32_t rc = take_in(store, staged, expect, kind, sha256, bytes, err);
    if (rc == LATHE_OK)
        unlink(staged); // the staging folder goes anyway
    return rc;
}

void lathe_store_keep(lathe_store *store) {
    pthread_rwlock_rdlock(store->keeping);
}

void lathe_store_keep_end(lathe_store *store) {
    pthread_rwlock_unlock(store->keeping);
}

/* ---- out ---- */

static int32_t fail_content(const char *path, const char *have, lathe_error *err) {
    return lathe_fail(
        err, LATHE_E_CORRUPT, path,
        "the artifact's content was changed or damaged on the disk (its SHA-256 is now "
        "%.16s…); restore it from a backup",
        have);
}

static int32_t check_file(const char *path, const char *sha256, int64_t bytes, bool whole,
                          lathe_error *err) {
    struct stat st = {0};
    if (lstat(path, &st) != 0 && errno != ENOENT && errno != ENOTDIR)
        return lathe_fail_errno(err, errno, path, "the artifact's file cannot be examined");
    if (!S_ISREG(st.st_mode))
        return lathe_fail(err, LATHE_E_CORRUPT, path,
                          "the artifact's file is missing; restore it from a backup");
    if (st.st_size != bytes)
        return lathe_fail(
            err, LATHE_E_CORRUPT, path,
            "the artifact's file has %lld bytes and should have %lld; restore it from "
            "a backup",
            (long long)st.st_size, (long long)bytes);
    if (!whole)
        return LATHE_OK;
    char have[LATHE_SHA256_HEX];
    int32_t rc = lathe_sha256_file(path, have, NULL, err);
    if (rc == LATHE_OK && strcmp(have, sha256) != 0)
        rc = fail_content(path, have, err);
    return rc;
}

int32_t lathe_store_artifact_path(lathe_store *store, const char *sha256, bool verify,
                                  lathe_arena *arena, const char **path, lathe_error *err) {
    int64_t bytes = 0;
    bool found = false;
    *path = NULL;
    int32_t rc = lathe_check_sha256(sha256, err);
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &bytes, &found, err,
                          "SELECT bytes FROM artifacts WHERE sha256 = ?", "t", sha256);
    if (rc == LATHE_OK && !found)
        rc =
            lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "the store has no artifact %s", sha256);
    if (rc != LATHE_OK)
        return rc;
    char *file = artifact_path(store, sha256);
    if (file == NULL)
        return lathe_db_oom(store, err);
    rc = check_file(file, sha256, bytes, verify, err);
    if (rc == LATHE_OK && (*path = lathe_arena_strdup(arena, file)) == NULL)
        rc = lathe_db_oom(store, err);
    free(file);
    return rc;
}

int32_t lathe_store_artifact_export(lathe_store *store, const char *sha256, const char *path,
                                    bool overwrite, lathe_error *err) {
    char digest[LATHE_SHA256_HEX], *temp = NULL;
    const char *file = NULL;
    struct stat st;
    if (!overwrite && lstat(path, &st) == 0)
        return lathe_fail(err, LATHE_E_EXISTS, path,
                          "the file exists already; remove it or choose another name");
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_artifact_path(store, sha256, false, arena, &file, err);
    if (rc == LATHE_OK && asprintf(&temp, "%s.tmp-%ld", path, (long)getpid()) < 0) {
        temp = NULL;
        rc = lathe_db_oom(store, err);
    }
    if (rc == LATHE_OK) {
        unlink(temp);
        rc = lathe_copy_hashed(file, temp, digest, NULL, err);
        if (rc == LATHE_OK && strcmp(digest, sha256) != 0)
            rc = fail_content(file, digest, err);
        // Without `overwrite` a link: it fails where someone else made the name in the meantime.
        if (rc == LATHE_OK && chmod(temp, 0644) != 0)
            rc = lathe_fail_errno(err, errno, path, "the file's permissions cannot be set");
        if (rc == LATHE_OK && !overwrite && link(temp, path) != 0 && errno == EEXIST)
            rc = lathe_fail_errno(err, errno, path, "the file appeared meanwhile");
        if (rc == LATHE_OK)
            rc = lathe_rename_durable(temp, path, err);
        unlink(temp);
    }
    free(temp);
    lathe_arena_free(arena);
    return rc;
}

static bool fill_artifact(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_artifact_record *r = item;
    r->sha256 = lathe_db_text(q, 0, arena);
    r->bytes = sqlite3_column_int64(q, 1);
    r->kind = lathe_db_text(q, 2, arena);
    r->created = sqlite3_column_int64(q, 3);
    return r->sha256 != NULL && r->kind != NULL;
}

int32_t lathe_store_artifacts(lathe_store *store, lathe_arena *arena, lathe_artifact_list *list,
                              lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(
        store, &q, err, "SELECT sha256, bytes, kind, created FROM artifacts ORDER BY sha256", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_artifact,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}
