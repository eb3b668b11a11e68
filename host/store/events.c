/* Events and files of a run. */
#include "base/clock.h"
#include "store/db.h"
#include "store/files.h"
#include "store/rows.h"

#include <string.h>

static int32_t append_one(lathe_store *store, sqlite3_stmt *insert, int64_t seq, const char *json,
                          lathe_error *err) {
    bool row;
    sqlite3_bind_int64(insert, 2, seq);
    sqlite3_bind_int64(insert, 3, lathe_wall_us());
    if (sqlite3_bind_text64(insert, 4, json, strlen(json), SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
        return lathe_db_fail(store, err, "writing an event");
    int32_t rc = lathe_db_step(store, insert, &row, err);
    sqlite3_reset(insert);
    return rc;
}

int32_t lathe_store_events_append(lathe_store *store, const char *run, const char *const *json,
                                  size_t count, int64_t *last_seq, lathe_error *err) {
    sqlite3_stmt *insert = NULL;
    int64_t seq = 0;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_run_need(store, run, false, err);
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &seq, NULL, err,
                          "SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", "t", run);
    if (rc == LATHE_OK)
        rc = lathe_db_query(store, &insert, err,
                            "INSERT INTO main.events(run, seq, time, json) VALUES(?, ?, ?, ?)", "t",
                            run);
    for (size_t i = 0; rc == LATHE_OK && i < count; i++)
        rc = append_one(store, insert, ++seq, json[i], err);
    sqlite3_finalize(insert);
    rc = lathe_db_end(store, rc, err);
    if (rc == LATHE_OK && last_seq != NULL)
        *last_seq = seq;
    return rc;
}

static bool fill_event(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_event_record *r = item;
    r->seq = sqlite3_column_int64(q, 0);
    r->time = sqlite3_column_int64(q, 1);
    r->json = lathe_db_text(q, 2, arena);
    return r->json != NULL;
}

int32_t lathe_store_events(lathe_store *store, const char *run, int64_t after, int64_t limit,
                           lathe_arena *arena, lathe_event_list *list, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_store_run_need(store, run, false, err);
    if (rc == LATHE_OK)
        rc = lathe_db_query(store, &q, err,
                            "SELECT seq, time, json FROM events WHERE run = ? AND seq > ? "
                            "ORDER BY seq LIMIT ?",
                            "tii", run, after, limit > 0 ? limit : -1);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_event,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_run_file_add(lathe_store *store, const char *run, const char *name,
                                 const char *sha256, lathe_error *err) {
    bool found = false;
    int64_t bytes;
    if (name == NULL || name[0] == '\0')
        return lathe_fail(err, LATHE_E_INVALID, "run file", "a file of a run needs a name");
    int32_t rc = lathe_check_sha256(sha256, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_run_need(store, run, false, err);
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &bytes, &found, err,
                          "SELECT bytes FROM artifacts WHERE sha256 = ?", "t", sha256);
    if (rc == LATHE_OK && !found)
        rc =
            lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "the store has no artifact %s", sha256);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.run_files(run, name, sha256) VALUES(?, ?, ?) "
                          "ON CONFLICT(run, name) DO UPDATE SET sha256 = excluded.sha256",
                          "ttt", run, name, sha256);
    return lathe_db_end(store, rc, err);
}

static bool fill_file(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_run_file *r = item;
    r->name = lathe_db_text(q, 0, arena);
    r->sha256 = lathe_db_text(q, 1, arena);
    r->bytes = sqlite3_column_int64(q, 2);
    return r->name != NULL && r->sha256 != NULL;
}

int32_t lathe_store_run_files(lathe_store *store, const char *run, lathe_arena *arena,
                              lathe_run_files *list, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_store_run_need(store, run, false, err);
    if (rc == LATHE_OK)
        rc = lathe_db_query(store, &q, err,
                            "SELECT f.name, f.sha256, a.bytes FROM run_files f "
                            "JOIN artifacts a USING(sha256) WHERE f.run = ? ORDER BY f.name",
                            "t", run);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_file,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}
