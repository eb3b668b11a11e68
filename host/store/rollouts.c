#include "store/rollouts.h"

#include "base/clock.h"
#include "store/db.h"
#include "store/endpoints.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t audit(lathe_store *store, const lathe_rollout_record *r, const char *action,
                     const char *reason, lathe_error *err) {
    char verb[48], version[24];
    snprintf(verb, sizeof verb, "endpoint.%s.%s", r->kind, action);
    snprintf(version, sizeof version, "%lld", (long long)r->version);
    char *detail = lathe_store_detail("model", r->model, "version", version, "reason", reason,
                                      (const char *)NULL);
    int32_t rc = detail != NULL ? lathe_store_audit_add(store, verb, r->endpoint, detail, err)
                                : lathe_db_oom(store, err);
    free(detail);
    return rc;
}

/* ---- beginning ---- */

static int32_t check_free(lathe_store *store, const char *endpoint, const char *kind,
                          lathe_arena *arena, lathe_error *err) {
    lathe_rollout_record other;
    bool found;
    int32_t rc = lathe_store_rollout_running(store, endpoint, kind, arena, &other, &found, err);
    if (rc == LATHE_OK && found)
        rc = lathe_fail(err, LATHE_E_STATE, store->home,
                        "%s@%lld is the %s of endpoint '%s' already; end that one first "
                        "(promote or roll back)",
                        other.model, (long long)other.version, kind, endpoint);
    return rc;
}

static int32_t begin(lathe_store *store, const lathe_rollout_record *r, lathe_arena *arena,
                     int64_t *id, lathe_error *err) {
    lathe_endpoint_record e;
    const int64_t now = lathe_wall_us();
    int32_t rc = lathe_store_endpoint(store, r->endpoint, arena, &e, err);
    if (rc == LATHE_OK)
        rc = lathe_store_version_need(store, r->model, r->version, err);
    if (rc == LATHE_OK)
        rc = lathe_store_may_serve(store, r->endpoint, r->model, err);
    if (rc == LATHE_OK && e.version == r->version && strcmp(e.model, r->model) == 0)
        rc = lathe_fail(err, LATHE_E_STATE, store->home, "endpoint '%s' serves %s@%lld already",
                        r->endpoint, r->model, (long long)r->version);
    if (rc == LATHE_OK)
        rc = check_free(store, r->endpoint, r->kind, arena, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.rollouts(endpoint, kind, model, version, base_model, "
                          "base_version, settings, state, started, updated, actor, reason) "
                          "VALUES(?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)",
                          "tttititiitt", r->endpoint, r->kind, r->model, r->version, e.model,
                          e.version, r->settings, now, now, store->actor, r->reason);
    if (rc == LATHE_OK)
        *id = (int64_t)sqlite3_last_insert_rowid(store->db);
    return rc == LATHE_OK ? audit(store, r, "begin", r->reason, err) : rc;
}

int32_t lathe_store_rollout_begin(lathe_store *store, const char *endpoint, const char *kind,
                                  const char *model, int64_t version, const char *settings,
                                  const char *reason, int64_t *id, lathe_error *err) {
    const lathe_rollout_record r = {.endpoint = endpoint,
                                    .kind = kind,
                                    .model = model,
                                    .version = version,
                                    .settings = settings != NULL ? settings : "{}",
                                    .reason = reason != NULL ? reason : ""};
    int64_t ignored;
    int32_t rc = lathe_store_check_name(endpoint, "the endpoint's name", err);
    if (rc == LATHE_OK)
        rc = lathe_store_check_name(model, "the model's name", err);
    lathe_arena *arena = rc == LATHE_OK ? lathe_arena_new() : NULL;
    if (rc == LATHE_OK && arena == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_end(store, begin(store, &r, arena, id ? id : &ignored, err), err);
    lathe_arena_free(arena);
    return rc;
}

/* ---- going on, ending ---- */

static int32_t fail_ended(lathe_store *store, int64_t id, lathe_error *err) {
    return lathe_fail(err, LATHE_E_STATE, store->home, "rollout %lld is not running",
                      (long long)id);
}

int32_t lathe_store_rollout_step(lathe_store *store, int64_t id, int64_t step, lathe_error *err) {
    int64_t changed = 0;
    int32_t rc = lathe_db_run(
        store, &changed, err,
        "UPDATE main.rollouts SET step = ?, updated = ? WHERE id = ? AND finished IS NULL", "iii",
        step, lathe_wall_us(), id);
    return rc == LATHE_OK && changed == 0 ? fail_ended(store, id, err) : rc;
}

#define ROLLOUT_QUERY                                                                              \
    "SELECT r.id, r.endpoint, r.kind, r.model, r.version, r.base_model, r.base_version, "          \
    "v.sha256, b.sha256, r.settings, r.state, r.step, r.started, r.updated, r.finished, r.actor, " \
    "r.reason, r.verdict FROM rollouts r "                                                         \
    "JOIN versions v ON v.model = r.model AND v.version = r.version "                              \
    "JOIN versions b ON b.model = r.base_model AND b.version = r.base_version "

static bool fill_rollout(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_rollout_record *r = item;
    *r = (lathe_rollout_record){.id = sqlite3_column_int64(q, 0),
                                .endpoint = lathe_db_text(q, 1, arena),
                                .kind = lathe_db_text(q, 2, arena),
                                .model = lathe_db_text(q, 3, arena),
                                .version = sqlite3_column_int64(q, 4),
                                .base_model = lathe_db_text(q, 5, arena),
                                .base_version = sqlite3_column_int64(q, 6),
                                .sha256 = lathe_db_text(q, 7, arena),
                                .base_sha256 = lathe_db_text(q, 8, arena),
                                .settings = lathe_db_text(q, 9, arena),
                                .state = lathe_db_text(q, 10, arena),
                                .step = sqlite3_column_int64(q, 11),
                                .started = sqlite3_column_int64(q, 12),
                                .updated = sqlite3_column_int64(q, 13),
                                .finished = sqlite3_column_int64(q, 14),
                                .actor = lathe_db_text(q, 15, arena),
                                .reason = lathe_db_text(q, 16, arena),
                                .verdict = lathe_db_text(q, 17, arena)};
    return r->endpoint && r->kind && r->model && r->base_model && r->sha256 && r->base_sha256 &&
           r->settings && r->state && r->actor && r->reason && r->verdict;
}

/* The endpoint serves what was on trial. */
static int32_t promote(lathe_store *store, const lathe_rollout_record *r, const char *reason,
                       lathe_arena *arena, lathe_error *err) {
    lathe_endpoint_record e;
    int32_t rc = lathe_store_endpoint(store, r->endpoint, arena, &e, err);
    return rc == LATHE_OK ? lathe_store_endpoint_serve(store, &e, r->model, r->version, reason, err)
                          : rc;
}

static int32_t finish(lathe_store *store, int64_t id, const char *state, const char *reason,
                      const char *verdict, lathe_arena *arena, lathe_error *err) {
    sqlite3_stmt *q;
    lathe_rollout_record r;
    bool row = false;
    const int64_t now = lathe_wall_us();
    int32_t rc = lathe_db_query(store, &q, err,
                                ROLLOUT_QUERY "WHERE r.id = ? AND r.finished IS NULL", "i", id);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row && !fill_rollout(q, arena, &r))
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && !row)
        rc = fail_ended(store, id, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(
            store, NULL, err,
            "UPDATE main.rollouts SET state = ?, reason = ?, verdict = ?, updated = ?, "
            "finished = ? WHERE id = ?",
            "tttiii", state, reason != NULL ? reason : "", verdict != NULL ? verdict : "{}", now,
            now, id);
    if (rc == LATHE_OK && strcmp(state, LATHE_ROLLOUT_PROMOTED) == 0)
        rc = promote(store, &r, reason, arena, err);
    return rc == LATHE_OK ? audit(store, &r, state, reason, err) : rc;
}

int32_t lathe_store_rollout_finish(lathe_store *store, int64_t id, const char *state,
                                   const char *reason, const char *verdict,
                                   const lathe_alert_new *alert, lathe_error *err) {
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL ? lathe_db_begin(store, err) : lathe_db_oom(store, err);
    if (rc == LATHE_OK) {
        rc = finish(store, id, state, reason, verdict, arena, err);
        if (rc == LATHE_OK && alert != NULL)
            rc = lathe_store_alerts_add(store, alert, 1, err);
        rc = lathe_db_end(store, rc, err);
    }
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_rollouts_supersede(lathe_store *store, const char *endpoint, const char *model,
                                       int64_t version, lathe_error *err) {
    const int64_t now = lathe_wall_us();
    return lathe_db_run(store, NULL, err,
                        "UPDATE main.rollouts SET state = 'superseded', finished = ?, updated = ?, "
                        "reason = 'the endpoint serves another version now' WHERE endpoint = ? AND "
                        "finished IS NULL AND (kind = 'canary' OR (model = ? AND version = ?))",
                        "iitti", now, now, endpoint, model, version);
}

/* ---- lists ---- */

int32_t lathe_store_rollouts(lathe_store *store, const char *endpoint, bool running, int64_t limit,
                             lathe_arena *arena, lathe_rollout_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err,
                                ROLLOUT_QUERY "WHERE (?1 IS NULL OR r.endpoint = ?1) AND "
                                              "(?2 = 0 OR r.finished IS NULL) "
                                              "ORDER BY r.id DESC LIMIT ?3",
                                "tii", endpoint, (int64_t)running, limit > 0 ? limit : -1);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_rollout,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_rollout_running(lathe_store *store, const char *endpoint, const char *kind,
                                    lathe_arena *arena, lathe_rollout_record *rollout, bool *found,
                                    lathe_error *err) {
    sqlite3_stmt *q;
    *found = false;
    int32_t rc = lathe_db_query(
        store, &q, err, ROLLOUT_QUERY "WHERE r.endpoint = ? AND r.kind = ? AND r.finished IS NULL",
        "tt", endpoint, kind);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, found, err);
    if (rc == LATHE_OK && *found && !fill_rollout(q, arena, rollout))
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    return rc;
}
