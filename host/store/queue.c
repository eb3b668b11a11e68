#include "store/queue.h"

#include "base/clock.h"
#include "store/db.h"
#include "store/rows.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

#define WHAT_COLUMNS                                                                               \
    "project, pipeline, text, file, base_dir, document, sets, seed, retry_limit, "                 \
    "retry_backoff, retry_factor, actor"
#define WHAT_TYPES "ttttttti"

/* Columns of a submission from `at` on. */
static bool fill_what(sqlite3_stmt *q, int at, lathe_arena *arena, lathe_submission *w) {
    w->project = lathe_db_text(q, at, arena);
    w->pipeline = lathe_db_text(q, at + 1, arena);
    w->text = lathe_db_text(q, at + 2, arena);
    w->file = lathe_db_text(q, at + 3, arena);
    w->base_dir =
        sqlite3_column_type(q, at + 4) == SQLITE_NULL ? NULL : lathe_db_text(q, at + 4, arena);
    w->document = lathe_db_text(q, at + 5, arena);
    w->sets = lathe_db_text(q, at + 6, arena);
    w->seed = sqlite3_column_int64(q, at + 7);
    w->retry_limit = sqlite3_column_int64(q, at + 8);
    w->retry_backoff_s = (double)sqlite3_column_int64(q, at + 9) * 1e-6;
    w->retry_factor = (double)sqlite3_column_int64(q, at + 10) * 1e-6;
    w->actor = lathe_db_text(q, at + 11, arena);
    return w->project && w->pipeline && w->text && w->file && w->document && w->sets && w->actor;
}

#define ENTRY_QUERY                                                                                \
    "SELECT number, q.run, attempt, CASE WHEN r.id IS NULL THEN 'waiting' WHEN r.finished IS "     \
    "NULL "                                                                                        \
    "THEN 'running' ELSE 'ended' END, schedule, created, not_before, q.project, q.pipeline, "      \
    "q.text, q.file, q.base_dir, q.document, q.sets, q.seed, q.retry_limit, q.retry_backoff, "     \
    "q.retry_factor, q.actor FROM queue q LEFT JOIN runs r ON r.id = q.run "

static bool fill_entry(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_queue_entry *e = item;
    e->number = sqlite3_column_int64(q, 0);
    e->run = lathe_db_text(q, 1, arena);
    e->attempt = sqlite3_column_int64(q, 2);
    e->state = lathe_db_text(q, 3, arena);
    e->schedule = lathe_db_text(q, 4, arena);
    e->created = sqlite3_column_int64(q, 5);
    e->not_before = sqlite3_column_int64(q, 6);
    return fill_what(q, 7, arena, &e->what) && e->run && e->state && e->schedule;
}

static int32_t list_entries(lathe_store *store, const char *sql, lathe_arena *arena,
                            lathe_queue_list *list, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err, sql, "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_entry,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_queue(lathe_store *store, lathe_arena *arena, lathe_queue_list *list,
                          lathe_error *err) {
    return list_entries(store, ENTRY_QUERY "ORDER BY number", arena, list, err);
}

int32_t lathe_store_queue_ended(lathe_store *store, lathe_arena *arena, lathe_queue_list *list,
                                lathe_error *err) {
    return list_entries(store, ENTRY_QUERY "WHERE r.finished IS NOT NULL ORDER BY number", arena,
                        list, err);
}

static int32_t find_entry(lathe_store *store, const char *where, const char *types, const char *run,
                          int64_t number, lathe_arena *arena, lathe_queue_entry *entry,
                          lathe_error *err) {
    sqlite3_stmt *q = NULL;
    lathe_queue_entry *rows = NULL;
    size_t n = 0;
    int32_t rc = run != NULL ? lathe_db_query(store, &q, err, where, types, run)
                             : lathe_db_query(store, &q, err, where, types, number);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *rows, fill_entry, (void **)&rows, &n, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && n == 0)
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "no run \"%.60s\" waits or runs",
                        run ? run : "");
    if (rc == LATHE_OK)
        *entry = rows[0];
    return rc;
}

int32_t lathe_store_queue_next(lathe_store *store, int64_t now, lathe_arena *arena,
                               lathe_queue_entry *entry, bool *found, int64_t *wake,
                               lathe_error *err) {
    lathe_error none = {0};
    *wake = INT64_MAX;
    int32_t rc = find_entry(store,
                            ENTRY_QUERY "WHERE r.id IS NULL AND not_before <= ? "
                                        "ORDER BY number LIMIT 1",
                            "i", NULL, now, arena, entry, &none);
    *found = rc == LATHE_OK;
    if (rc != LATHE_OK && rc != LATHE_E_NOT_FOUND)
        return lathe_fail(err, none.code, none.where, "%s", none.message);
    return lathe_db_int(
        store, wake, NULL, err,
        "SELECT min(at) FROM (SELECT not_before AS at FROM queue q LEFT JOIN runs r "
        "ON r.id = q.run WHERE r.id IS NULL AND not_before > ?1 "
        "UNION ALL SELECT next FROM schedules) HAVING min(at) IS NOT NULL",
        "i", now);
}

int32_t lathe_store_queue_entry(lathe_store *store, const char *run, lathe_arena *arena,
                                lathe_queue_entry *entry, lathe_error *err) {
    return find_entry(store, ENTRY_QUERY "WHERE q.run = ?", "t", run, 0, arena, entry, err);
}

/* ---- writing ---- */

static int64_t micro(double value) {
    return (int64_t)(value * 1e6 + 0.5);
}

/* Within a transaction. */
static int32_t insert_entry(lathe_store *store, const lathe_submission *w, const char *schedule,
                            int64_t attempt, int64_t not_before, const char *run, int64_t *number,
                            lathe_error *err) {
    int32_t rc = lathe_db_run(
        store, NULL, err,
        "INSERT INTO main.queue(run, attempt, schedule, created, not_before, " WHAT_COLUMNS
        ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "titii" WHAT_TYPES "iiit", run, attempt, schedule ? schedule : "", lathe_wall_us(),
        not_before, w->project ? w->project : "default", w->pipeline, w->text, w->file, w->base_dir,
        w->document, w->sets ? w->sets : "[]", w->seed, w->retry_limit, micro(w->retry_backoff_s),
        micro(w->retry_factor), w->actor ? w->actor : store->actor);
    if (rc == LATHE_OK && number != NULL)
        *number = sqlite3_last_insert_rowid(store->db);
    return rc;
}

static int32_t check_room(lathe_store *store, int64_t max_entries, lathe_error *err) {
    int64_t entries = 0;
    int32_t rc = lathe_db_int(store, &entries, NULL, err, "SELECT count(*) FROM main.queue", "");
    if (rc == LATHE_OK && max_entries >= 0 && entries >= max_entries)
        rc = lathe_fail(err, LATHE_E_STATE, NULL, "%lld runs wait or run already; try again later",
                        (long long)entries);
    return rc;
}

int32_t lathe_store_queue_add(lathe_store *store, const lathe_submission *what,
                              const char *schedule, int64_t max_entries, char run[LATHE_RUN_ID],
                              int64_t *number, lathe_error *err) {
    int32_t rc = lathe_store_run_id(run, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = check_room(store, max_entries, err);
    if (rc == LATHE_OK)
        rc = insert_entry(store, what, schedule, 1, 0, run, number, err);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, "run.submit", run, NULL, err);
    return lathe_db_end(store, rc, err);
}

/* {"event": "retry", …} for those who follow the run. */
static int32_t tell_retry(lathe_store *store, const char *run, const char *next, int64_t attempt,
                          int64_t at, lathe_error *err) {
    char json[200];
    const char *event = json;
    snprintf(json, sizeof json,
             "{\"event\":\"retry\",\"run\":\"%s\",\"attempt\":%lld,\"at_us\":%lld}", next,
             (long long)attempt, (long long)at);
    return lathe_store_events_append(store, run, &event, 1, NULL, err);
}

int32_t lathe_store_queue_end(lathe_store *store, int64_t number, int64_t retry_at,
                              bool same_attempt, char retry[LATHE_RUN_ID], lathe_error *err) {
    lathe_arena *arena = lathe_arena_new();
    lathe_queue_entry e;
    int32_t rc = arena ? lathe_store_run_id(retry, err)
                       : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK) {
        lathe_arena_free(arena);
        return rc;
    }
    rc = find_entry(store, ENTRY_QUERY "WHERE number = ?", "i", NULL, number, arena, &e, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err, "DELETE FROM main.queue WHERE number = ?", "i", number);
    if (rc == LATHE_OK && retry_at != 0) {
        const int64_t attempt = e.attempt + (same_attempt ? 0 : 1);
        rc = insert_entry(store, &e.what, e.schedule, attempt, retry_at, retry, NULL, err);
        if (rc == LATHE_OK)
            rc = tell_retry(store, e.run, retry, attempt, retry_at, err);
    }
    if (retry_at == 0)
        retry[0] = 0;
    rc = lathe_db_end(store, rc, err);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_queue_cancel(lathe_store *store, const char *run, const char *reason,
                                 lathe_error *err) {
    lathe_arena *arena = lathe_arena_new();
    lathe_queue_entry e;
    char id[LATHE_RUN_ID];
    int32_t rc =
        arena ? lathe_db_begin(store, err) : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc != LATHE_OK) {
        lathe_arena_free(arena);
        return rc;
    }
    rc = lathe_store_queue_entry(store, run, arena, &e, err);
    if (rc == LATHE_OK && strcmp(e.state, "waiting") != 0)
        rc = lathe_fail(err, LATHE_E_STATE, NULL, "run %s has begun", run);
    if (rc == LATHE_OK) {
        const lathe_run_new info = {.id = e.run,
                                    .project = e.what.project,
                                    .pipeline = e.what.pipeline,
                                    .document = e.what.document,
                                    .seed = e.what.seed};
        rc = lathe_store_run_begin(store, &info, id, err);
    }
    if (rc == LATHE_OK)
        rc = lathe_store_run_finish(store, id, LATHE_RUN_CANCELLED, reason, NULL, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err, "DELETE FROM main.queue WHERE number = ?", "i",
                          e.number);
    rc = lathe_db_end(store, rc, err);
    lathe_arena_free(arena);
    return rc;
}

/* ---- schedules ---- */

static bool fill_schedule(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_schedule_record *s = item;
    s->name = lathe_db_text(q, 0, arena);
    s->cron = lathe_db_text(q, 1, arena);
    s->timezone = lathe_db_text(q, 2, arena);
    s->overlap = lathe_db_text(q, 3, arena);
    s->catch_up = sqlite3_column_int64(q, 4) != 0;
    s->created = sqlite3_column_int64(q, 5);
    s->next = sqlite3_column_int64(q, 6);
    s->last = sqlite3_column_int64(q, 7);
    s->last_run = lathe_db_text(q, 8, arena);
    return fill_what(q, 9, arena, &s->what) && s->name && s->cron && s->timezone && s->overlap &&
           s->last_run;
}

int32_t lathe_store_schedules(lathe_store *store, int64_t due_before, lathe_arena *arena,
                              lathe_schedule_list *list, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT name, cron, timezone, overlap, catch_up, created, next, "
                                "last, last_run, " WHAT_COLUMNS
                                " FROM schedules WHERE ?1 = 0 OR next <= ?1 ORDER BY name",
                                "i", due_before);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_schedule,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_schedule_set(lathe_store *store, const lathe_schedule_record *s,
                                 lathe_error *err) {
    const lathe_submission *w = &s->what;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_claim(store, LATHE_STORE_SCHEDULE, s->name,
                           w->project ? w->project : "default", err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(
            store, NULL, err,
            "INSERT OR REPLACE INTO main.schedules(name, cron, timezone, overlap, catch_up, "
            "created, next, "
            "last, last_run, " WHAT_COLUMNS
            ") VALUES(?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "ttttiii" WHAT_TYPES "iiit", s->name, s->cron, s->timezone, s->overlap,
            (int64_t)s->catch_up, lathe_wall_us(), s->next, w->project ? w->project : "default",
            w->pipeline, w->text, w->file, w->base_dir, w->document, w->sets ? w->sets : "[]",
            w->seed, w->retry_limit, micro(w->retry_backoff_s), micro(w->retry_factor),
            w->actor ? w->actor : store->actor);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, "schedule.set", s->name, NULL, err);
    return lathe_db_end(store, rc, err);
}

int32_t lathe_store_schedule_remove(lathe_store *store, const char *name, lathe_error *err) {
    int64_t changed = 0;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_db_run(
        store, &changed, err,
        "DELETE FROM main.schedules WHERE name IN (SELECT name FROM schedules WHERE name = ?)", "t",
        name);
    if (rc == LATHE_OK && changed == 0)
        rc =
            lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "there is no schedule \"%.60s\"", name);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, "schedule.remove", name, NULL, err);
    return lathe_db_end(store, rc, err);
}

int32_t lathe_store_schedule_fire(lathe_store *store, const lathe_schedule_record *s, int64_t now,
                                  int64_t next, bool submit, char run[LATHE_RUN_ID],
                                  lathe_error *err) {
    lathe_submission what = s->what;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    what.actor = NULL;
    run[0] = 0;
    if (submit)
        rc = lathe_store_queue_add(store, &what, s->name, -1, run, NULL, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.schedules SET next = ?, last = ?, last_run = coalesce(?, "
                          "last_run) WHERE name = ?",
                          "iizt", next, now, run, s->name);
    return lathe_db_end(store, rc, err);
}
