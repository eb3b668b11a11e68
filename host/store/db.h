/* store/db.h: INTERNAL to host/store: statements, transactions and errors of the database.
 *
 * A statement and its parameters in one call; `types` has one letter a parameter:
 *     t  const char *, NULL binds NULL      i  int64_t
 *     z  const char *, "" and NULL bind NULL   n  int64_t, 0 binds NULL
 *
 *     sqlite3_stmt *q = NULL;
 *     bool row;
 *     int32_t rc = lathe_db_query(store, &q, err, "SELECT bytes FROM artifacts WHERE sha256 = ?", "t", sha);
 *     if (rc == LATHE_OK && (rc = lathe_db_step(store, q, &row, err)) == LATHE_OK && row)
 *         bytes = sqlite3_column_int64(q, 0);
 *     sqlite3_finalize(q);
 */
#ifndef LATHE_STORE_DB_H
#define LATHE_STORE_DB_H

#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>

#define LATHE_SCHEMA_VERSION 5
#define LATHE_APPLICATION_ID 0x4C617468 /* "Lath" */

struct lathe_store {
    sqlite3 *db;
    char *home;
    char *db_path;
    char *actor;
    char *scope; /* the only project that is seen; NULL: all (scope.c) */
    bool scoped; /* its views are made */
    int lock_fd; /* -1: a READ store */
    lathe_store_mode mode;
    int depth;      /* of nested transactions */
    bool doomed;    /* an inner transaction was rolled back: the outer one cannot commit */
    uint64_t temps; /* counts temporary files, for their names */
    /* Held for reading while something stored is not referred to yet (lathe_store_keep), for writing by gc: one for all
     * connections of a home, the owner's. */
    pthread_rwlock_t own_keeping, *keeping;
};

/* Turns the database's last failure into an error of ours. */
int32_t lathe_db_fail(lathe_store *store, lathe_error *err, const char *doing);

/* For out of memory and for a READ store where a write was asked. */
int32_t lathe_db_oom(const lathe_store *store, lathe_error *err);
int32_t lathe_db_writable(const lathe_store *store, lathe_error *err);

/* Opens the file and sets what holds for this connection; changes nothing in the file. */
int32_t lathe_db_open(lathe_store *store, lathe_error *err);
/* WAL and synchronous=FULL. OWN only, after lathe_db_check. */
int32_t lathe_db_wal(lathe_store *store, lathe_error *err);

/* Brings the schema to `target` with the scripts migrations[version - 1]. OWN only. */
int32_t lathe_db_migrate(lathe_store *store, const char *const *migrations, int target,
                         lathe_error *err);
/* Checks application id and schema version: LATHE_E_CORRUPT, LATHE_E_VERSION. *version may be 0: empty. */
int32_t lathe_db_check(lathe_store *store, int known, int *version, lathe_error *err);
/* One script a schema version, schema.c. */
extern const char *const lathe_db_migrations[LATHE_SCHEMA_VERSION];

int32_t lathe_db_query(lathe_store *store, sqlite3_stmt **stmt, lathe_error *err, const char *sql,
                       const char *types, ...);
int32_t lathe_db_step(lathe_store *store, sqlite3_stmt *stmt, bool *row, lathe_error *err);
/* Runs a statement to its end; changed (may be NULL) gets the rows it changed. */
int32_t lathe_db_run(lathe_store *store, int64_t *changed, lathe_error *err, const char *sql,
                     const char *types, ...);
int32_t lathe_db_script(lathe_store *store, const char *sql, lathe_error *err);
/* The first column of the first row; *value is left alone where there is none. found may be NULL. */
int32_t lathe_db_int(lathe_store *store, int64_t *value, bool *found, lathe_error *err,
                     const char *sql, const char *types, ...);

/* Write transactions; nested ones are part of the outer. begin checks that the store may be written. end commits
 * where rc is LATHE_OK, else rolls back, and returns rc or the commit's failure. */
int32_t lathe_db_begin(lathe_store *store, lathe_error *err);
int32_t lathe_db_end(lathe_store *store, int32_t rc, lathe_error *err);

/* A column's text in the arena: "" for NULL; NULL where memory is out. */
const char *lathe_db_text(sqlite3_stmt *stmt, int column, lathe_arena *arena);

/* Runs a query and makes an array of its rows in the arena. fill returns false where memory is out. */
typedef bool (*lathe_db_fill)(sqlite3_stmt *stmt, lathe_arena *arena, void *item);
int32_t lathe_db_collect(lathe_store *store, sqlite3_stmt *stmt, lathe_arena *arena, size_t size,
                         lathe_db_fill fill, void **items, size_t *count, lathe_error *err);

/* "home/a" with printf, malloc'ed. */
char *lathe_store_path(const lathe_store *store, const char *fmt, ...) LATHE_PRINTF(2, 3);

#endif
