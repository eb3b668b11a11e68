#include "store/steps.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/db.h"
#include "store/files.h"

#include <string.h>

#define USE_RESOLUTION_US                                                                          \
    60000000 /* a look-up notes its use at most once a minute: a write is an fsync */

#define STEP_COLUMNS                                                                               \
    "s.key, s.sha256, s.metadata, coalesce(a.bytes, 0), s.run, s.created, s.used FROM steps s "    \
    "LEFT JOIN artifacts a USING(sha256) "

static bool fill_step(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_step_record *r = item;
    r->key = lathe_db_text(q, 0, arena);
    r->sha256 = lathe_db_text(q, 1, arena);
    r->metadata = lathe_db_text(q, 2, arena);
    r->bytes = sqlite3_column_int64(q, 3);
    r->run = lathe_db_text(q, 4, arena);
    r->created = sqlite3_column_int64(q, 5);
    r->used = sqlite3_column_int64(q, 6);
    return r->key && r->sha256 && r->metadata && r->run;
}

static int32_t read_step(lathe_store *store, const char *key, lathe_arena *arena, bool *found,
                         lathe_step_record *step, lathe_error *err) {
    sqlite3_stmt *q;
    int32_t rc = lathe_db_query(store, &q, err, "SELECT " STEP_COLUMNS "WHERE s.key = ?", "t", key);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, found, err);
    if (rc == LATHE_OK && *found && !fill_step(q, arena, step))
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    return rc;
}

static int32_t drop_step(lathe_store *store, const char *key, const lathe_error *why,
                         lathe_error *err) {
    lathe_log(LATHE_LEVEL_WARN, "store", "step %.16s… is computed again: %s: %s", key, why->where,
              why->message);
    if (store->mode != LATHE_STORE_OWN)
        return LATHE_OK;
    return lathe_db_run(store, NULL, err, "DELETE FROM steps WHERE key = ?", "t", key);
}

int32_t lathe_store_step_get(lathe_store *store, const char *key, lathe_arena *arena, bool *found,
                             lathe_step_record *step, lathe_error *err) {
    lathe_error broken = {0};
    int64_t now = lathe_wall_us();
    *found = false;
    memset(step, 0, sizeof *step);
    int32_t rc = lathe_check_sha256(key, err);
    if (rc == LATHE_OK)
        rc = read_step(store, key, arena, found, step, err);
    if (rc != LATHE_OK || !*found)
        return rc;
    step->path = "";
    if (step->sha256[0] != '\0') {
        rc = lathe_store_artifact_path(store, step->sha256, true, arena, &step->path, &broken);
        if (rc != LATHE_OK) {
            *found = false;
            return drop_step(store, key, &broken, err);
        }
    }
    if (store->mode == LATHE_STORE_OWN && now - step->used >= USE_RESOLUTION_US) {
        step->used = now;
        rc = lathe_db_run(store, NULL, err, "UPDATE steps SET used = ? WHERE key = ?", "it", now,
                          key);
    }
    return rc;
}

int32_t lathe_store_step_put(lathe_store *store, const char *key, const char *sha256,
                             const char *metadata, const char *run, lathe_error *err) {
    const char *path;
    int64_t now = lathe_wall_us();
    int32_t rc = lathe_check_sha256(key, err);
    if (rc == LATHE_OK)
        rc = lathe_db_writable(store, err);
    if (rc == LATHE_OK && sha256 != NULL) {
        lathe_arena *arena = lathe_arena_new();
        rc = arena != NULL ? lathe_store_artifact_path(store, sha256, false, arena, &path, err)
                           : lathe_db_oom(store, err);
        lathe_arena_free(arena);
    }
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO steps(key, sha256, metadata, run, created, used) "
                          "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET "
                          "sha256 = excluded.sha256, metadata = excluded.metadata, "
                          "run = excluded.run, created = excluded.created, used = excluded.used",
                          "tttzii", key, sha256, metadata != NULL ? metadata : "{}", run, now, now);
    return rc;
}

int32_t lathe_store_steps(lathe_store *store, lathe_arena *arena, lathe_step_list *list,
                          lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc =
        lathe_db_query(store, &q, err, "SELECT " STEP_COLUMNS "ORDER BY s.used DESC, s.key", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_step,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}
