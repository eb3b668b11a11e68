#include "store/runs.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "store/db.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const char *const final_statuses[] = {LATHE_RUN_SUCCEEDED, LATHE_RUN_GOAL_NOT_MET,
                                             LATHE_RUN_FAILED, LATHE_RUN_CANCELLED,
                                             LATHE_RUN_INTERRUPTED};

int32_t lathe_store_project_need(lathe_store *store, const char *project, lathe_error *err) {
    int32_t rc = lathe_store_check_name(project, "the project's name", err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.projects(name, created) VALUES(?, ?) "
                          "ON CONFLICT(name) DO NOTHING",
                          "ti", project, lathe_wall_us());
    return rc;
}

/* ---- begin, facts, finish ---- */

static bool make_id(int64_t wall_us, char id[LATHE_RUN_ID]) {
    uint8_t random[3];
    struct tm tm;
    time_t seconds = (time_t)(wall_us / 1000000);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random ||
        gmtime_r(&seconds, &tm) == NULL)
        return false;
    size_t n = strftime(id, LATHE_RUN_ID - 8, "%Y%m%d-%H%M%S-", &tm);
    if (n == 0)
        return false;
    lathe_hex(random, sizeof random, id + n);
    return true;
}

static int32_t hash_document(const char *text, char hash[LATHE_SHA256_HEX], lathe_error *err) {
    lathe_buf canonical = {0};
    lathe_json *doc = lathe_json_read(text, strlen(text), "document", NULL, err);
    if (doc == NULL)
        return err != NULL ? err->code : LATHE_E_INVALID;
    lathe_json_canonical_of(doc, lathe_json_root(doc), &canonical);
    int32_t rc = LATHE_OK;
    if (canonical.failed || !lathe_sha256_hex(lathe_buf_str(&canonical), canonical.len, hash))
        rc = lathe_fail(err, LATHE_E_MEMORY, "document", "out of memory");
    lathe_buf_free(&canonical);
    lathe_json_free(doc);
    return rc;
}

int32_t lathe_store_run_id(char id[LATHE_RUN_ID], lathe_error *err) {
    return make_id(lathe_wall_us(), id) ? LATHE_OK
                                        : lathe_fail(err, LATHE_E_INTERNAL, "run",
                                                     "the system gives no random numbers or time");
}

static const char *or_empty(const char *json) {
    return json != NULL ? json : "{}";
}

int32_t lathe_store_run_begin(lathe_store *store, const lathe_run_new *info, char id[LATHE_RUN_ID],
                              lathe_error *err) {
    char hash[LATHE_SHA256_HEX], made[LATHE_RUN_ID];
    const char *project = info->project != NULL ? info->project : "default";
    int64_t now = lathe_wall_us();
    if (info->document == NULL || info->pipeline == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "run",
                          "a run needs its pipeline's name and document");
    int32_t rc = hash_document(info->document, hash, err);
    if (info->id != NULL && strlen(info->id) < sizeof made)
        strcpy(made, info->id);
    else if (rc == LATHE_OK)
        rc = lathe_store_run_id(made, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_project_need(store, project, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(
            store, NULL, err,
            "INSERT INTO main.runs(id, project, pipeline, document, document_sha256, seed, "
            "status, started, version, machine, plugins, data) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "tttttititttt", made, project, info->pipeline, info->document, hash, info->seed,
            LATHE_RUN_RUNNING, now, info->version != NULL ? info->version : "",
            or_empty(info->machine), or_empty(info->plugins), or_empty(info->data));
    rc = lathe_db_end(store, rc, err);
    if (rc == LATHE_OK)
        memcpy(id, made, sizeof made);
    return rc;
}

int32_t lathe_store_run_need(lathe_store *store, const char *id, bool unfinished,
                             lathe_error *err) {
    bool found = false;
    int64_t finished = 0;
    int32_t rc = lathe_db_int(store, &finished, &found, err,
                              "SELECT finished IS NOT NULL FROM runs WHERE id = ?", "t", id);
    if (rc == LATHE_OK && !found)
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "there is no run '%s'",
                        id != NULL ? id : "");
    if (rc == LATHE_OK && unfinished && finished)
        rc = lathe_fail(err, LATHE_E_STATE, store->home,
                        "run '%s' has finished and never changes again", id);
    return rc;
}

int32_t lathe_store_run_facts(lathe_store *store, const char *id, const char *machine,
                              const char *plugins, const char *data, lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_run_need(store, id, true, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.runs SET machine = coalesce(?, machine), "
                          "plugins = coalesce(?, plugins), data = coalesce(?, data) WHERE id = ?",
                          "tttt", machine, plugins, data, id);
    return lathe_db_end(store, rc, err);
}

int32_t lathe_store_run_finish(lathe_store *store, const char *id, const char *status,
                               const char *reason, const char *result, lathe_error *err) {
    size_t known = 0, n = sizeof final_statuses / sizeof *final_statuses;
    while (known < n && (status == NULL || strcmp(status, final_statuses[known]) != 0))
        known++;
    if (known == n)
        return lathe_fail(
            err, LATHE_E_INVALID, "status",
            "'%s' is no status that a run can end with (succeeded, goal_not_met, failed, "
            "cancelled, interrupted)",
            status != NULL ? status : "");
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_run_need(store, id, true, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.runs SET status = ?, finished = ?, reason = ?, result = ? "
                          "WHERE id = ?",
                          "tittt", status, lathe_wall_us(), reason != NULL ? reason : "",
                          or_empty(result), id);
    rc = lathe_db_end(store, rc, err);
    if (rc == LATHE_OK) {
        char *staging = lathe_store_path(store, "staging/%s", id);
        if (staging != NULL)
            lathe_remove_tree(staging, NULL); // gc takes what stays
        free(staging);
    }
    return rc;
}

/* ---- list and show ---- */

#define RUN_COLUMNS                                                                                \
    "id, project, pipeline, document_sha256, seed, status, started, finished, reason, version, "   \
    "result"

static bool fill_run(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_run_record *r = item;
    r->id = lathe_db_text(q, 0, arena);
    r->project = lathe_db_text(q, 1, arena);
    r->pipeline = lathe_db_text(q, 2, arena);
    r->document_sha256 = lathe_db_text(q, 3, arena);
    r->seed = sqlite3_column_int64(q, 4);
    r->status = lathe_db_text(q, 5, arena);
    r->started = sqlite3_column_int64(q, 6);
    r->finished = sqlite3_column_int64(q, 7);
    r->reason = lathe_db_text(q, 8, arena);
    r->version = lathe_db_text(q, 9, arena);
    r->result = lathe_db_text(q, 10, arena);
    return r->id && r->project && r->pipeline && r->document_sha256 && r->status && r->reason &&
           r->version && r->result;
}

static bool fill_whole_run(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_run_record *r = item;
    r->document = lathe_db_text(q, 11, arena);
    r->machine = lathe_db_text(q, 12, arena);
    r->plugins = lathe_db_text(q, 13, arena);
    r->data = lathe_db_text(q, 14, arena);
    return fill_run(q, arena, item) && r->document && r->machine && r->plugins && r->data;
}

/* "…" where the id is a prefix of several: their ids. */
static int32_t fail_ambiguous(const char *id, const lathe_run_record *rows, size_t n,
                              lathe_error *err) {
    lathe_buf names = {0};
    for (size_t i = 0; i < n; i++)
        lathe_buf_printf(&names, "%s%s", i > 0 ? ", " : "", rows[i].id);
    int32_t rc =
        lathe_fail(err, LATHE_E_INVALID, "run", "'%s' fits several runs: %s%s; give more of it", id,
                   lathe_buf_str(&names), n == 4 ? ", …" : "");
    lathe_buf_free(&names);
    return rc;
}

int32_t lathe_store_run(lathe_store *store, const char *id, lathe_arena *arena,
                        lathe_run_record *run, lathe_error *err) {
    sqlite3_stmt *q;
    lathe_run_record *rows = NULL;
    size_t n = 0;
    bool latest = id != NULL && strcmp(id, "latest") == 0;
    memset(run, 0, sizeof *run);
    if (id == NULL || id[0] == '\0')
        return lathe_fail(err, LATHE_E_INVALID, "run",
                          "a run's id, its beginning, or 'latest' is needed");
    int32_t rc = lathe_db_query(
        store, &q, err,
        latest ? "SELECT " RUN_COLUMNS ", document, machine, plugins, data FROM runs "
                 "ORDER BY started DESC, rowid DESC LIMIT 1"
               : "SELECT " RUN_COLUMNS ", document, machine, plugins, data FROM runs "
                 "WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC, id LIMIT 4",
        latest ? "" : "t", id);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *rows, fill_whole_run, (void **)&rows, &n,
                              err);
    sqlite3_finalize(q);
    if (rc != LATHE_OK)
        return rc;
    if (n == 0)
        return lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                          latest ? "there are no runs yet"
                                 : "there is no run '%s'; `lathe runs list` "
                                   "shows them",
                          id);
    if (n > 1 && strcmp(rows[0].id, id) != 0)
        return fail_ambiguous(id, rows, n, err);
    *run = rows[0];
    return LATHE_OK;
}

int32_t lathe_store_runs(lathe_store *store, const lathe_run_filter *filter, lathe_arena *arena,
                         lathe_run_list *list, lathe_error *err) {
    static const lathe_run_filter none;
    const lathe_run_filter *f = filter != NULL ? filter : &none;
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(
        store, &q, err,
        "SELECT " RUN_COLUMNS " FROM runs "
        "WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR pipeline = ?2) "
        "AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR "
        "(started, rowid) < (SELECT started, rowid FROM runs WHERE id = ?4)) "
        "ORDER BY started DESC, rowid DESC LIMIT ?5",
        "tttti", f->project, f->pipeline, f->status, f->before, f->limit > 0 ? f->limit : -1);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_run, (void **)&list->items,
                              &list->count, err);
    sqlite3_finalize(q);
    return rc;
}
