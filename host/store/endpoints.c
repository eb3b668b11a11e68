#include "store/endpoints.h"

#include "base/clock.h"
#include "base/nearest.h"
#include "store/db.h"
#include "store/rollouts.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an endpoint serves (alias "": fixed). */
typedef struct target {
    const char *model, *alias;
    int64_t version;
} target;

/* Now, and where it came from. parent 0: it never served anything else. */
typedef struct position {
    target now, before;
    int64_t head, parent, grandparent;
} position;

static int32_t read_position(lathe_store *store, const char *name, lathe_arena *arena, position *at,
                             bool *found, lathe_error *err) {
    sqlite3_stmt *q;
    memset(at, 0, sizeof *at);
    *found = false;
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT e.model, e.alias, e.version, e.head, h.parent, p.model, "
                                "p.alias, p.version, p.parent FROM endpoints e "
                                "JOIN endpoint_history h ON h.id = e.head "
                                "LEFT JOIN endpoint_history p ON p.id = h.parent WHERE e.name = ?",
                                "t", name);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, found, err);
    if (rc == LATHE_OK && *found) {
        at->now = (target){lathe_db_text(q, 0, arena), lathe_db_text(q, 1, arena),
                           sqlite3_column_int64(q, 2)};
        at->head = sqlite3_column_int64(q, 3);
        at->parent = sqlite3_column_int64(q, 4);
        at->before = (target){lathe_db_text(q, 5, arena), lathe_db_text(q, 6, arena),
                              sqlite3_column_int64(q, 7)};
        at->grandparent = sqlite3_column_int64(q, 8);
        if (!at->now.model || !at->now.alias || !at->before.model || !at->before.alias)
            rc = lathe_db_oom(store, err);
    }
    sqlite3_finalize(q);
    return rc;
}

static int32_t write_move(lathe_store *store, const char *name, const target *to, int64_t parent,
                          const char *action, const char *reason, lathe_error *err) {
    int64_t now = lathe_wall_us();
    int32_t rc =
        lathe_db_run(store, NULL, err,
                     "INSERT INTO main.endpoint_history(endpoint, model, alias, version, parent, "
                     "action, time, actor, reason) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "ttzintitt", name, to->model, to->alias, to->version, parent, action, now,
                     store->actor, reason != NULL ? reason : "");
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.endpoints(name, model, alias, version, head, updated) "
                          "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET "
                          "model = excluded.model, alias = excluded.alias, "
                          "version = excluded.version, head = excluded.head, "
                          "updated = excluded.updated",
                          "ttziii", name, to->model, to->alias, to->version,
                          (int64_t)sqlite3_last_insert_rowid(store->db), now);
    return rc;
}

static int32_t audit_move(lathe_store *store, const char *name, const target *to,
                          const char *action, const char *reason, lathe_error *err) {
    char verb[32], version[24];
    snprintf(verb, sizeof verb, "endpoint.%s", action);
    snprintf(version, sizeof version, "%lld", (long long)to->version);
    char *detail = lathe_store_detail("model", to->model, "version", version, "alias",
                                      to->alias[0] != '\0' ? to->alias : NULL, "reason", reason,
                                      (const char *)NULL);
    int32_t rc = detail != NULL ? lathe_store_audit_add(store, verb, name, detail, err)
                                : lathe_db_oom(store, err);
    free(detail);
    return rc;
}

int32_t lathe_store_endpoint_move(lathe_store *store, const char *name, const char *model,
                                  const char *alias, int64_t version, const char *action,
                                  const char *reason, lathe_error *err) {
    position at;
    bool found;
    target to = {model, alias != NULL ? alias : "", version};
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_may_serve(store, name, model, err);
    if (rc == LATHE_OK)
        rc = read_position(store, name, arena, &at, &found, err);
    bool same = rc == LATHE_OK && found && at.now.version == version &&
                strcmp(at.now.model, model) == 0 && strcmp(at.now.alias, to.alias) == 0;
    if (rc == LATHE_OK && !same) {
        int64_t parent = at.head;
        if (strcmp(action, "rollback") == 0 && at.parent != 0 && at.before.version == version &&
            strcmp(at.before.model, model) == 0)
            parent = at.grandparent;
        rc = write_move(store, name, &to, parent, action, reason, err);
        if (rc == LATHE_OK)
            rc = lathe_store_rollouts_supersede(store, name, model, version, err);
        if (rc == LATHE_OK)
            rc = audit_move(store, name, &to, action, reason, err);
    }
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_endpoint_set(lathe_store *store, const char *name, const char *model,
                                 const char *alias, int64_t version, const char *reason,
                                 lathe_error *err) {
    bool found = true;
    int32_t rc = lathe_store_check_name(name, "the endpoint's name", err);
    if (rc == LATHE_OK)
        rc = lathe_store_check_name(model, "the model's name", err);
    if (rc == LATHE_OK && alias != NULL)
        rc = lathe_store_check_name(alias, "the alias", err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    if (alias != NULL)
        rc = lathe_db_int(store, &version, &found, err,
                          "SELECT version FROM aliases WHERE model = ? AND alias = ?", "tt", model,
                          alias);
    if (rc == LATHE_OK && !found)
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                        "endpoint '%s' cannot follow '%s@%s': there is no such model or alias",
                        name, model, alias);
    if (rc == LATHE_OK)
        rc = lathe_store_version_need(store, model, version, err);
    if (rc == LATHE_OK)
        rc = lathe_store_endpoint_move(store, name, model, alias, version, "set", reason, err);
    return lathe_db_end(store, rc, err);
}

/* ---- rollback ---- */

/* The same alias as now: the alias goes back, and everything that follows it. Another one: it is followed again where
 * it still points where it did, else the endpoint is fixed to the version, since moving the other alias
 * would change what others serve. */
static int32_t go_back(lathe_store *store, const char *name, const position *at, const char *reason,
                       lathe_error *err) {
    const target *to = &at->before;
    if (to->alias[0] != '\0' && strcmp(to->model, at->now.model) == 0 &&
        strcmp(to->alias, at->now.alias) == 0)
        return lathe_store_alias_move(store, to->model, to->alias, to->version, "rollback", reason,
                                      err);
    int64_t version = 0;
    int32_t rc = lathe_db_int(store, &version, NULL, err,
                              "SELECT version FROM aliases WHERE model = ? AND alias = ?", "tt",
                              to->model, to->alias);
    if (rc != LATHE_OK)
        return rc;
    return lathe_store_endpoint_move(store, name, to->model,
                                     version == to->version ? to->alias : NULL, to->version,
                                     "rollback", reason, err);
}

static int32_t fail_no_endpoint(lathe_store *store, const char *name, lathe_error *err) {
    lathe_endpoint_list all;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_endpoints(store, arena, &all, err);
    const char **names = lathe_arena_array(arena, all.count, sizeof *names);
    if (rc == LATHE_OK && names == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK) {
        for (size_t i = 0; i < all.count; i++)
            names[i] = all.items[i].name;
        const char *near = lathe_nearest(name, names, all.count);
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                        near != NULL ? "there is no endpoint '%s'; did you mean '%s'?"
                                     : "there is no endpoint '%s'%s",
                        name, near != NULL ? near : "");
    }
    lathe_arena_free(arena);
    return rc;
}

/* While a canary runs, that is what is undone; else the last move. *served: the version afterwards. */
static int32_t undo(lathe_store *store, const char *name, const char *reason, lathe_arena *arena,
                    int64_t *served, lathe_error *err) {
    position at = {0};
    bool found = false, on_trial = false;
    lathe_rollout_record canary;
    int32_t rc = read_position(store, name, arena, &at, &found, err);
    if (rc == LATHE_OK && !found)
        rc = fail_no_endpoint(store, name, err);
    if (rc == LATHE_OK)
        rc = lathe_store_rollout_running(store, name, LATHE_ROLLOUT_CANARY, arena, &canary,
                                         &on_trial, err);
    *served = on_trial ? at.now.version : at.before.version;
    if (rc != LATHE_OK || on_trial)
        return rc == LATHE_OK
                   ? lathe_store_rollout_finish(store, canary.id, LATHE_ROLLOUT_ROLLED_BACK, reason,
                                                NULL, NULL, err)
                   : rc;
    if (at.parent == 0)
        return lathe_fail(err, LATHE_E_STATE, store->home,
                          "endpoint '%s' serves %s@%lld and never served anything else: there is "
                          "nothing to go back to",
                          name, at.now.model, (long long)at.now.version);
    rc = lathe_store_version_need(store, at.before.model, at.before.version, err);
    return rc == LATHE_OK ? go_back(store, name, &at, reason, err) : rc;
}

int32_t lathe_store_endpoint_rollback(lathe_store *store, const char *name, const char *reason,
                                      int64_t *version, lathe_error *err) {
    int64_t served = 0;
    int32_t rc = lathe_store_check_name(name, "the endpoint's name", err);
    lathe_arena *arena = rc == LATHE_OK ? lathe_arena_new() : NULL;
    if (rc == LATHE_OK && arena == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_end(store, undo(store, name, reason, arena, &served, err), err);
    lathe_arena_free(arena);
    if (rc == LATHE_OK && version != NULL)
        *version = served;
    return rc;
}

/* ---- lists ---- */

#define ENDPOINT_QUERY                                                                             \
    "SELECT e.name, e.model, e.alias, e.version, v.sha256, e.updated, e.settings, m.project "      \
    "FROM endpoints e JOIN versions v USING(model, version) JOIN models m ON m.name = e.model "

static bool fill_endpoint(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_endpoint_record *r = item;
    r->name = lathe_db_text(q, 0, arena);
    r->model = lathe_db_text(q, 1, arena);
    r->alias = lathe_db_text(q, 2, arena);
    r->version = sqlite3_column_int64(q, 3);
    r->sha256 = lathe_db_text(q, 4, arena);
    r->updated = sqlite3_column_int64(q, 5);
    r->settings = lathe_db_text(q, 6, arena);
    r->project = lathe_db_text(q, 7, arena);
    return r->name && r->model && r->alias && r->sha256 && r->settings && r->project;
}

int32_t lathe_store_endpoints(lathe_store *store, lathe_arena *arena, lathe_endpoint_list *list,
                              lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err, ENDPOINT_QUERY "ORDER BY e.name", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_endpoint,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_endpoint(lathe_store *store, const char *name, lathe_arena *arena,
                             lathe_endpoint_record *endpoint, lathe_error *err) {
    sqlite3_stmt *q;
    bool row = false;
    memset(endpoint, 0, sizeof *endpoint);
    int32_t rc = lathe_store_check_name(name, "the endpoint's name", err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_db_query(store, &q, err, ENDPOINT_QUERY "WHERE e.name = ?", "t", name);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row && !fill_endpoint(q, arena, endpoint))
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && !row)
        rc = fail_no_endpoint(store, name, err);
    return rc;
}

int32_t lathe_store_endpoint_history(lathe_store *store, const char *name, lathe_arena *arena,
                                     lathe_move_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_store_check_name(name, "the endpoint's name", err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_db_query(store, &q, err,
                        "SELECT h.id, h.time, h.action, h.model, h.alias, h.version, h.actor, "
                        "h.reason, h.id = e.head FROM endpoint_history h JOIN endpoints e "
                        "ON e.name = h.endpoint WHERE h.endpoint = ? ORDER BY h.id DESC",
                        "t", name);
    if (rc == LATHE_OK)
        rc = lathe_store_collect_moves(store, q, arena, list, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && list->count == 0)
        rc = fail_no_endpoint(store, name, err);
    return rc;
}
