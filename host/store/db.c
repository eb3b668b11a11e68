#include "store/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 10000

/* ---- errors ---- */

static int32_t fail_constraint(lathe_store *store, lathe_error *err, const char *doing) {
    const char *text = sqlite3_errmsg(store->db);
    switch (sqlite3_extended_errcode(store->db)) {
    case SQLITE_CONSTRAINT_TRIGGER:
        return lathe_fail(err, LATHE_E_STATE, store->db_path, "%s: %s", doing, text);
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return lathe_fail(err, LATHE_E_NOT_FOUND, store->db_path,
                          "%s: it refers to something that the store does not hold", doing);
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_UNIQUE:
        return lathe_fail(err, LATHE_E_EXISTS, store->db_path, "%s: it exists already (%s)", doing,
                          text);
    case SQLITE_CONSTRAINT_CHECK:
        if (strstr(text, "json_valid") != NULL)
            return lathe_fail(err, LATHE_E_INVALID, store->db_path,
                              "%s: a text that must be JSON is not valid JSON (%s)", doing, text);
        return lathe_fail(err, LATHE_E_INVALID, store->db_path, "%s: %s", doing, text);
    default:
        return lathe_fail(err, LATHE_E_INVALID, store->db_path, "%s: %s", doing, text);
    }
}

static int32_t fail_io(lathe_store *store, int code, lathe_error *err, const char *doing) {
    int saved = sqlite3_system_errno(store->db);
    if (code == SQLITE_FULL || saved == ENOSPC) {
        lathe_fail(err, LATHE_E_IO, store->db_path,
                   "%s: the disk is full, so nothing was written; free some space (for instance "
                   "with `lathe gc`) and repeat",
                   doing);
        saved = ENOSPC;
    } else if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM) {
        lathe_fail(err, LATHE_E_IO, store->db_path,
                   "%s: %s%s%s; check the owner and the permissions of the home directory", doing,
                   sqlite3_errmsg(store->db), saved ? ": " : "", saved ? strerror(saved) : "");
    } else {
        lathe_fail(err, LATHE_E_IO, store->db_path, "%s: %s%s%s; check the disk, then repeat",
                   doing, sqlite3_errmsg(store->db), saved ? ": " : "",
                   saved ? strerror(saved) : "");
    }
    if (err != NULL)
        err->detail = saved;
    return LATHE_E_IO;
}

int32_t lathe_db_oom(const lathe_store *store, lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, store->db_path, "out of memory");
}

int32_t lathe_db_fail(lathe_store *store, lathe_error *err, const char *doing) {
    int code = sqlite3_errcode(store->db) & 0xff;
    switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                          "%s: the file is damaged or is no database (%s); restore a backup with "
                          "`lathe restore`",
                          doing, sqlite3_errmsg(store->db));
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return fail_io(store, code, err, doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return lathe_fail(err, LATHE_E_TIMEOUT, store->db_path,
                          "%s: another process held the database for more than %d seconds; repeat "
                          "when it has ended",
                          doing, BUSY_TIMEOUT_MS / 1000);
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return lathe_fail(err, LATHE_E_MEMORY, store->db_path, "%s: %s", doing,
                          sqlite3_errmsg(store->db));
    case SQLITE_CONSTRAINT:
        return fail_constraint(store, err, doing);
    default:
        return lathe_fail(err, LATHE_E_INTERNAL, store->db_path, "%s: %s", doing,
                          sqlite3_errmsg(store->db));
    }
}

int32_t lathe_db_writable(const lathe_store *store, lathe_error *err) {
    if (store->mode == LATHE_STORE_OWN)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_STATE, store->home,
                      "the home directory was opened for reading only; open it as its owner to "
                      "change it");
}

/* ---- opening ---- */

int32_t lathe_db_script(lathe_store *store, const char *sql, lathe_error *err) {
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return lathe_db_fail(store, err, "working on the database");
    return LATHE_OK;
}

int32_t lathe_db_open(lathe_store *store, lathe_error *err) {
    bool own = store->mode == LATHE_STORE_OWN;
    int flags = own ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int rc = sqlite3_open_v2(store->db_path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (store->db == NULL)
        return lathe_db_oom(store, err);
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (rc != SQLITE_OK)
        return lathe_db_fail(store, err, "opening the database");
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    // The schema's CHECKs use json_valid(), which SQLite 3.40 counts among the unsafe functions.
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, NULL);
    // recursive_triggers: else INSERT OR REPLACE would delete without asking the triggers.
    int32_t st = lathe_db_script(
        store,
        "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;"
        "PRAGMA recursive_triggers = ON; PRAGMA temp_store = MEMORY;"
        /* KiB of pages a connection keeps; the kernel has the file in memory anyway */
        "PRAGMA cache_size = -256;",
        err);
    return st;
}

int32_t lathe_db_wal(lathe_store *store, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    bool row = false;
    int32_t st = lathe_db_query(store, &q, err, "PRAGMA journal_mode = WAL", "");
    if (st == LATHE_OK)
        st = lathe_db_step(store, q, &row, err);
    if (st == LATHE_OK && (!row || strcmp((const char *)sqlite3_column_text(q, 0), "wal") != 0))
        st = lathe_fail(err, LATHE_E_IO, store->db_path,
                        "this file system cannot hold a write-ahead log (a network share?); choose "
                        "a home directory on a local disk");
    sqlite3_finalize(q);
    if (st == LATHE_OK)
        st = lathe_db_script(
            store, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;", err);
    return st;
}

int32_t lathe_db_check(lathe_store *store, int known, int *version, lathe_error *err) {
    int64_t user_version = 0, app = 0, tables = 0;
    int32_t rc = lathe_db_int(store, &user_version, NULL, err, "PRAGMA user_version", "");
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &app, NULL, err, "PRAGMA application_id", "");
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &tables, NULL, err, "SELECT count(*) FROM sqlite_master", "");
    if (rc != LATHE_OK)
        return rc;
    *version = (int)user_version;
    if (user_version == 0 && app == 0 && tables == 0)
        return LATHE_OK;
    if (app != LATHE_APPLICATION_ID || user_version < 1)
        return lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                          "this is a database of some other program (application id %lld); move it "
                          "away or choose another home directory",
                          (long long)app);
    if (user_version > known)
        return lathe_fail(err, LATHE_E_VERSION, store->db_path,
                          "the database has schema version %lld and this program knows up to %d: a "
                          "newer Lathe wrote it; use that one, or another home directory",
                          (long long)user_version, known);
    return LATHE_OK;
}

int32_t lathe_db_migrate(lathe_store *store, const char *const *migrations, int target,
                         lathe_error *err) {
    int version = 0;
    int32_t rc = lathe_db_check(store, target, &version, err);
    while (rc == LATHE_OK && version < target) {
        rc = lathe_db_begin(store, err);
        if (rc != LATHE_OK)
            break;
        rc = lathe_db_script(store, migrations[version], err);
        version++;
        if (rc == LATHE_OK) {
            // user_version and application_id are part of the transaction: both or neither.
            char pragma[96];
            snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d; PRAGMA application_id = %d;",
                     version, LATHE_APPLICATION_ID);
            rc = lathe_db_script(store, pragma, err);
        }
        rc = lathe_db_end(store, rc, err);
        if (rc != LATHE_OK && err != NULL)
            lathe_fail(err, err->code, store->db_path,
                       "bringing the database to schema version %d failed, it stays at %d: %s",
                       version, version - 1, err->message);
    }
    return rc;
}

/* ---- statements ---- */

static int bind_one(sqlite3_stmt *stmt, int at, char type, va_list *ap) {
    if (type == 't' || type == 'z') {
        const char *text = va_arg(*ap, const char *);
        if (text == NULL || (type == 'z' && text[0] == '\0'))
            return sqlite3_bind_null(stmt, at);
        return sqlite3_bind_text64(stmt, at, text, strlen(text), SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    int64_t value = va_arg(*ap, int64_t);
    if (type == 'n' && value == 0)
        return sqlite3_bind_null(stmt, at);
    return sqlite3_bind_int64(stmt, at, value);
}

static int32_t prepare(lathe_store *store, sqlite3_stmt **stmt, lathe_error *err, const char *sql,
                       const char *types, va_list *ap) {
    *stmt = NULL;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, stmt, NULL);
    for (int i = 0; rc == SQLITE_OK && types[i] != '\0'; i++)
        rc = bind_one(*stmt, i + 1, types[i], ap);
    if (rc == SQLITE_OK)
        return LATHE_OK;
    int32_t st = lathe_db_fail(store, err, "working on the database");
    sqlite3_finalize(*stmt);
    *stmt = NULL;
    return st;
}

int32_t lathe_db_query(lathe_store *store, sqlite3_stmt **stmt, lathe_error *err, const char *sql,
                       const char *types, ...) {
    va_list ap;
    va_start(ap, types);
    int32_t rc = prepare(store, stmt, err, sql, types, &ap);
    va_end(ap);
    return rc;
}

int32_t lathe_db_step(lathe_store *store, sqlite3_stmt *stmt, bool *row, lathe_error *err) {
    int rc = sqlite3_step(stmt);
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return LATHE_OK;
    return lathe_db_fail(store, err, sqlite3_stmt_readonly(stmt) ? "reading" : "writing");
}

static int32_t run_prepared(lathe_store *store, sqlite3_stmt *stmt, lathe_error *err) {
    bool row = true;
    int32_t rc = LATHE_OK;
    while (rc == LATHE_OK && row)
        rc = lathe_db_step(store, stmt, &row, err);
    sqlite3_finalize(stmt);
    return rc;
}

int32_t lathe_db_run(lathe_store *store, int64_t *changed, lathe_error *err, const char *sql,
                     const char *types, ...) {
    sqlite3_stmt *stmt;
    va_list ap;
    va_start(ap, types);
    int32_t rc = prepare(store, &stmt, err, sql, types, &ap);
    va_end(ap);
    if (rc == LATHE_OK)
        rc = run_prepared(store, stmt, err);
    if (rc == LATHE_OK && changed != NULL)
        *changed = sqlite3_changes64(store->db);
    return rc;
}

int32_t lathe_db_int(lathe_store *store, int64_t *value, bool *found, lathe_error *err,
                     const char *sql, const char *types, ...) {
    sqlite3_stmt *stmt;
    bool row = false;
    va_list ap;
    va_start(ap, types);
    int32_t rc = prepare(store, &stmt, err, sql, types, &ap);
    va_end(ap);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, stmt, &row, err);
    if (rc == LATHE_OK && row)
        *value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    if (found != NULL)
        *found = row;
    return rc;
}

/* ---- transactions ---- */

int32_t lathe_db_begin(lathe_store *store, lathe_error *err) {
    int32_t rc = lathe_db_writable(store, err);
    if (rc != LATHE_OK)
        return rc;
    if (store->depth == 0) {
        rc = lathe_db_script(store, "BEGIN IMMEDIATE", err);
        if (rc != LATHE_OK)
            return rc;
        store->doomed = false;
    }
    store->depth++;
    return LATHE_OK;
}

int32_t lathe_db_end(lathe_store *store, int32_t rc, lathe_error *err) {
    store->depth--;
    if (rc != LATHE_OK)
        store->doomed = true;
    if (store->depth > 0)
        return rc;
    if (rc == LATHE_OK && store->doomed)
        rc = lathe_fail(err, LATHE_E_INTERNAL, store->db_path,
                        "a part of this change failed, so all of it was undone");
    if (rc == LATHE_OK && sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = lathe_db_fail(store, err, "committing the change");
    // After a full disk SQLite may have rolled back by itself.
    if (rc != LATHE_OK && !sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int32_t lathe_store_view(lathe_store *store, lathe_error *err) {
    return lathe_db_script(store, "BEGIN", err);
}

void lathe_store_view_end(lathe_store *store) {
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
}

/* ---- rows ---- */

const char *lathe_db_text(sqlite3_stmt *stmt, int column, lathe_arena *arena) {
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    if (text == NULL && sqlite3_column_type(stmt, column) != SQLITE_NULL)
        return NULL;
    return lathe_arena_strdup(arena, text == NULL ? "" : text);
}

int32_t lathe_db_collect(lathe_store *store, sqlite3_stmt *stmt, lathe_arena *arena, size_t size,
                         lathe_db_fill fill, void **items, size_t *count, lathe_error *err) {
    char *rows = NULL; // [cap][size]
    size_t n = 0, cap = 0;
    int32_t rc;
    *items = NULL;
    *count = 0;
    for (;;) {
        bool row;
        rc = lathe_db_step(store, stmt, &row, err);
        if (rc != LATHE_OK || !row)
            break;
        if (n == cap) {
            size_t bigger = cap == 0 ? 16 : cap * 2;
            char *p = bigger > SIZE_MAX / size ? NULL : realloc(rows, bigger * size);
            if (p == NULL) {
                rc = lathe_db_oom(store, err);
                break;
            }
            rows = p;
            cap = bigger;
        }
        memset(rows + n * size, 0, size);
        if (!fill(stmt, arena, rows + n * size)) {
            rc = lathe_db_oom(store, err);
            break;
        }
        n++;
    }
    if (rc == LATHE_OK && n > 0) {
        *items = lathe_arena_memdup(arena, rows, n * size);
        if (*items == NULL)
            rc = lathe_db_oom(store, err);
        else
            *count = n;
    }
    free(rows);
    return rc;
}
