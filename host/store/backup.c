#include "store/backup.h"

#include "base/clock.h"
#include "base/fs.h"
#include "store/db.h"
#include "store/files.h"
#include "store/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A backup's database through the helpers of db.h: a store without lock and folders. */
static int32_t open_copy(const char *folder, lathe_store_mode mode, lathe_store *copy,
                         lathe_error *err) {
    *copy = (lathe_store){.lock_fd = -1, .mode = mode};
    copy->home = strdup(folder);
    copy->db_path = lathe_path_join(folder, "lathe.db");
    if (copy->home == NULL || copy->db_path == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
    return lathe_db_open(copy, err);
}

static void close_copy(lathe_store *copy) {
    sqlite3_close_v2(copy->db);
    free(copy->db_path);
    free(copy->home);
}

/* ---- the database ---- */

static int32_t copy_pages(lathe_store *store, lathe_store *copy, lathe_error *err) {
    sqlite3_backup *b = sqlite3_backup_init(copy->db, "main", store->db, "main");
    if (b == NULL)
        return lathe_db_fail(copy, err, "copying the database");
    int rc, tries = 0;
    // All pages in one step: the copy is of one moment, and the owner goes on writing to its log.
    while ((rc = sqlite3_backup_step(b, -1)) == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        if (++tries > 200)
            break;
        sqlite3_sleep(50);
    }
    sqlite3_backup_finish(b);
    if (rc == SQLITE_DONE)
        return LATHE_OK;
    // The failure may be of either side; the code tells what it was.
    return lathe_fail(err,
                      rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? LATHE_E_CORRUPT
                      : rc == SQLITE_BUSY || rc == SQLITE_LOCKED  ? LATHE_E_TIMEOUT
                                                                  : LATHE_E_IO,
                      copy->db_path, "copying the database failed: %s%s", sqlite3_errstr(rc),
                      (rc & 0xff) == SQLITE_FULL ? "; free some space and repeat" : "");
}

/* Without the cache, and as one file: no log beside it, so that it can be read from a read-only medium. */
static int32_t trim_copy(lathe_store *copy, lathe_error *err) {
    return lathe_db_script(copy,
                           "PRAGMA journal_mode = DELETE;"
                           "BEGIN; DELETE FROM steps;"
                           "DELETE FROM artifacts WHERE sha256 NOT IN (SELECT sha256 FROM versions)"
                           " AND sha256 NOT IN (SELECT sha256 FROM run_files); COMMIT; VACUUM;",
                           err);
}

static int32_t sync_file(const char *path, lathe_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int32_t rc = LATHE_OK;
    if (fd < 0 || fsync(fd) != 0)
        rc = lathe_fail_errno(err, errno, path, "the file could not be brought to the disk");
    if (fd >= 0)
        close(fd);
    return rc;
}

static int32_t copy_database(lathe_store *store, const char *folder, lathe_arena *arena,
                             lathe_artifact_list *list, lathe_manifest_file *file,
                             lathe_error *err) {
    lathe_store copy;
    int32_t rc = open_copy(folder, LATHE_STORE_OWN, &copy, err);
    if (rc == LATHE_OK)
        rc = copy_pages(store, &copy, err);
    if (rc == LATHE_OK)
        rc = trim_copy(&copy, err);
    if (rc == LATHE_OK)
        rc = lathe_store_artifacts(&copy, arena, list, err);
    sqlite3_close_v2(copy.db);
    copy.db = NULL;
    if (rc == LATHE_OK)
        rc = sync_file(copy.db_path, err);
    if (rc == LATHE_OK)
        rc = lathe_sha256_file(copy.db_path, file->sha256, &file->bytes, err);
    file->path = "lathe.db";
    close_copy(&copy);
    return rc;
}

/* ---- artifacts ---- */

static int32_t copy_into(const char *from, const char *folder, const lathe_manifest_file *file,
                         lathe_error *err) {
    char digest[LATHE_SHA256_HEX];
    int64_t bytes = 0;
    char *to = lathe_path_join(folder, file->path), *dir = to != NULL ? lathe_path_dir(to) : NULL;
    int32_t rc = dir != NULL ? lathe_mkdirs(dir, err)
                             : lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_copy_hashed(from, to, digest, &bytes, err);
    if (rc == LATHE_OK && (strcmp(digest, file->sha256) != 0 || bytes != file->bytes))
        rc = lathe_fail(err, LATHE_E_CORRUPT, from,
                        "the content was changed or damaged on the disk: its SHA-256 is %.16s… and "
                        "should be %.16s…",
                        digest, file->sha256);
    if (rc == LATHE_OK)
        rc = lathe_sync_dir(dir, err);
    free(dir);
    free(to);
    return rc;
}

static int32_t copy_artifact(lathe_store *store, const char *folder, const char *sha256,
                             int64_t bytes, lathe_arena *arena, lathe_manifest_file *file,
                             lathe_error *err) {
    file->bytes = bytes;
    memcpy(file->sha256, sha256, LATHE_SHA256_HEX);
    file->path = lathe_arena_printf(arena, "artifacts/sha256/%.2s/%s", sha256, sha256);
    if (file->path == NULL)
        return lathe_db_oom(store, err);
    char *from = lathe_store_path(store, "%s", file->path);
    if (from == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = copy_into(from, folder, file, err);
    if (rc == LATHE_E_NOT_FOUND)
        rc = lathe_fail(
            err, LATHE_E_CORRUPT, from,
            "the artifact's file is missing, so the backup would not be whole; run `lathe "
            "verify`, or repeat if gc ran just now");
    free(from);
    return rc;
}

static int32_t sync_above(const char *folder, lathe_error *err) {
    static const char *const inner[] = {"artifacts/sha256", "artifacts", "."};
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof inner / sizeof *inner; i++) {
        char *path = lathe_path_join(folder, inner[i]);
        if (path == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
        if (lathe_is_dir(path))
            rc = lathe_sync_dir(path, err);
        free(path);
    }
    return rc;
}

static int32_t write_backup(lathe_store *store, const char *folder, lathe_backup_summary *summary,
                            lathe_error *err) {
    lathe_manifest m = {.created = lathe_wall_us()};
    lathe_artifact_list list = {0};
    lathe_manifest_file database = {0};
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = copy_database(store, folder, arena, &list, &database, err);
    if (rc == LATHE_OK) {
        m.items = lathe_arena_array(arena, list.count + 1, sizeof *m.items);
        if (m.items == NULL)
            rc = lathe_db_oom(store, err);
    }
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        rc = copy_artifact(store, folder, list.items[i].sha256, list.items[i].bytes, arena,
                           &m.items[i], err);
        m.bytes += list.items[i].bytes;
    }
    if (rc == LATHE_OK) {
        m.items[list.count] = database;
        m.count = list.count + 1;
        m.bytes += database.bytes;
        rc = sync_above(folder, err);
    }
    if (rc == LATHE_OK)
        rc = lathe_manifest_write(folder, &m, err);
    if (rc == LATHE_OK && summary != NULL)
        *summary = (lathe_backup_summary){(int64_t)m.count, m.bytes, m.created};
    lathe_arena_free(arena);
    return rc;
}

static int32_t need_empty(const char *folder, const char *what, lathe_error *err) {
    bool empty;
    struct stat st;
    if (lstat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
        return lathe_fail(err, LATHE_E_EXISTS, folder,
                          "%s must be a new or empty folder; this is none", what);
    int32_t rc = lathe_folder_empty(folder, &empty, err);
    if (rc == LATHE_OK && !empty)
        rc = lathe_fail(err, LATHE_E_EXISTS, folder,
                        "%s must be a new or empty folder, and there is something in this one",
                        what);
    return rc;
}

/* What a backup made in a folder that was there before, empty. */
static void clear_folder(const char *folder) {
    static const char *const names[] = {"lathe.db",     "lathe.db-journal", "lathe.db-wal",
                                        "lathe.db-shm", "artifacts",        "manifest.json",
                                        "SHA256SUMS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = lathe_path_join(folder, names[i]);
        if (path != NULL)
            lathe_remove_tree(path, NULL);
        free(path);
    }
}

int32_t lathe_store_backup(lathe_store *store, const char *folder, lathe_backup_summary *summary,
                           lathe_error *err) {
    if (lathe_path_inside(store->home, folder))
        return lathe_fail(
            err, LATHE_E_INVALID, folder,
            "a backup inside the home directory would be lost with it; choose a folder "
            "elsewhere, best on another disk");
    bool made = !lathe_is_dir(folder);
    int32_t rc = need_empty(folder, "the backup's folder", err);
    char *parent = rc == LATHE_OK ? lathe_path_dir(folder) : NULL;
    if (rc == LATHE_OK && parent == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_mkdirs(parent, err);
    if (rc == LATHE_OK && made && mkdir(folder, 0700) != 0)
        rc = lathe_fail_errno(err, errno, folder, "the backup's folder cannot be made");
    if (rc == LATHE_OK) {
        rc = write_backup(store, folder, summary, err);
        if (rc == LATHE_OK)
            rc = lathe_sync_dir(parent, err);
        if (rc != LATHE_OK && made)
            lathe_remove_tree(folder, NULL);
        else if (rc != LATHE_OK)
            clear_folder(folder);
    }
    free(parent);
    return rc;
}

/* ---- verify ---- */

static int32_t check_file(const char *folder, const lathe_manifest_file *file, lathe_error *err) {
    char digest[LATHE_SHA256_HEX];
    int64_t bytes = 0;
    char *path = lathe_path_join(folder, file->path);
    if (path == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
    int32_t rc = lathe_sha256_file(path, digest, &bytes, err);
    if (rc == LATHE_E_NOT_FOUND)
        rc = lathe_fail(err, LATHE_E_CORRUPT, path, "a file of the backup is missing");
    if (rc == LATHE_OK && (bytes != file->bytes || strcmp(digest, file->sha256) != 0))
        rc = lathe_fail(
            err, LATHE_E_CORRUPT, path,
            "a file of the backup is damaged: it has %lld bytes and the SHA-256 %.16s…, and "
            "should have %lld and %.16s…",
            (long long)bytes, digest, (long long)file->bytes, file->sha256);
    free(path);
    return rc;
}

static int32_t check_listed(lathe_store *copy, const lathe_manifest *m, lathe_arena *arena,
                            lathe_error *err) {
    lathe_artifact_list list;
    int32_t rc = lathe_store_artifacts(copy, arena, &list, err);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++)
        if (!lathe_manifest_has(m, list.items[i].sha256))
            rc = lathe_fail(err, LATHE_E_CORRUPT, copy->home,
                            "the database refers to artifact %s, which the backup does not hold",
                            list.items[i].sha256);
    return rc;
}

static int32_t check_database(const char *folder, const lathe_manifest *m, lathe_arena *arena,
                              lathe_error *err) {
    lathe_store copy;
    sqlite3_stmt *q = NULL;
    bool row = false;
    int version;
    int32_t rc = open_copy(folder, LATHE_STORE_READ, &copy, err);
    if (rc == LATHE_OK)
        rc = lathe_db_check(&copy, LATHE_SCHEMA_VERSION, &version, err);
    if (rc == LATHE_OK)
        rc = lathe_db_query(&copy, &q, err, "PRAGMA integrity_check(1)", "");
    if (rc == LATHE_OK)
        rc = lathe_db_step(&copy, q, &row, err);
    const char *text = row ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (rc == LATHE_OK && (text == NULL || strcmp(text, "ok") != 0))
        rc = lathe_fail(err, LATHE_E_CORRUPT, copy.db_path, "the backup's database is damaged: %s",
                        text != NULL ? text : "no answer");
    sqlite3_finalize(q);
    if (rc == LATHE_OK)
        rc = check_listed(&copy, m, arena, err);
    close_copy(&copy);
    return rc;
}

int32_t lathe_backup_verify(const char *folder, lathe_backup_summary *summary, lathe_error *err) {
    lathe_manifest m;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
    int32_t rc = lathe_manifest_read(folder, arena, &m, err);
    for (size_t i = 0; rc == LATHE_OK && i < m.count; i++)
        rc = check_file(folder, &m.items[i], err);
    if (rc == LATHE_OK)
        rc = check_database(folder, &m, arena, err);
    if (rc == LATHE_OK && summary != NULL)
        *summary = (lathe_backup_summary){(int64_t)m.count, m.bytes, m.created};
    lathe_arena_free(arena);
    return rc;
}

/* ---- restore ---- */

static int32_t copy_back(const char *folder, const char *home, const lathe_manifest *m,
                         lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < m->count; i++) {
        char *from = lathe_path_join(folder, m->items[i].path);
        rc = from != NULL ? copy_into(from, home, &m->items[i], err)
                          : lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
        if (rc == LATHE_E_NOT_FOUND)
            rc = lathe_fail(err, LATHE_E_CORRUPT, from, "a file of the backup is missing");
        free(from);
    }
    char *db = lathe_path_join(home, "lathe.db");
    if (rc == LATHE_OK && (db == NULL || chmod(db, 0600) != 0))
        rc = lathe_fail_errno(err, db == NULL ? ENOMEM : errno, home,
                              "the database cannot be made writable");
    free(db);
    return rc;
}

/* Opens what was copied as its owner (which also brings an older schema up to date), looks at all of it, notes the
 * restore. */
static int32_t prove(const char *home, const char *folder, lathe_error *err) {
    lathe_store *store = NULL;
    lathe_verify_report report;
    char detail[64];
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, home, "out of memory");
    int32_t rc = lathe_store_open(home, LATHE_STORE_OWN, &store, err);
    if (rc == LATHE_OK)
        rc = lathe_store_verify(store, arena, &report, err);
    for (size_t i = 0; rc == LATHE_OK && i < report.count; i++)
        if (report.items[i].level == LATHE_FINDING_ERROR)
            rc = lathe_fail(err, LATHE_E_CORRUPT, folder, "the backup is not sound: %s: %s",
                            report.items[i].subject, report.items[i].message);
    if (rc == LATHE_OK) {
        snprintf(detail, sizeof detail, "{\"artifacts\":%lld}", (long long)report.artifacts);
        rc = lathe_store_audit_add(store, "restore", folder, detail, err);
    }
    lathe_store_close(store);
    lathe_arena_free(arena);
    return rc;
}

static int32_t restore_to(const char *folder, const char *home, const char *temp,
                          lathe_backup_summary *summary, lathe_error *err) {
    lathe_manifest m;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, home, "out of memory");
    int32_t rc = lathe_manifest_read(folder, arena, &m, err);
    if (rc == LATHE_OK && mkdir(temp, 0700) != 0)
        rc = lathe_fail_errno(err, errno, temp, "the home directory cannot be made");
    if (rc == LATHE_OK)
        rc = copy_back(folder, temp, &m, err);
    if (rc == LATHE_OK)
        rc = prove(temp, folder, err);
    if (rc == LATHE_OK)
        rc = sync_above(temp, err);
    // rename(2) replaces an empty folder and no other.
    if (rc == LATHE_OK)
        rc = lathe_rename_durable(temp, home, err);
    if (rc == LATHE_OK && summary != NULL)
        *summary = (lathe_backup_summary){(int64_t)m.count, m.bytes, m.created};
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_restore(const char *folder, const char *home, lathe_backup_summary *summary,
                            lathe_error *err) {
    char *path = NULL, *parent = NULL, *temp = NULL;
    int32_t rc = lathe_store_home_path(home, &path, err);
    if (rc == LATHE_OK)
        rc = need_empty(path, "the home directory of a restore", err);
    if (rc == LATHE_OK && ((parent = lathe_path_dir(path)) == NULL ||
                           asprintf(&temp, "%s.restoring-%ld", path, (long)getpid()) < 0)) {
        temp = NULL;
        rc = lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    }
    if (rc == LATHE_OK)
        rc = lathe_mkdirs(parent, err);
    if (rc == LATHE_OK)
        rc = lathe_remove_tree(temp, err); // of a process of that number, long dead
    if (rc == LATHE_OK) {
        rc = restore_to(folder, path, temp, summary, err);
        if (rc != LATHE_OK)
            lathe_remove_tree(temp, NULL);
    }
    free(temp);
    free(parent);
    free(path);
    return rc;
}
