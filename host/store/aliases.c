/* Aliases and their undo stack (schema.c says how histories work). */
#include "base/clock.h"
#include "store/db.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where an alias points and where it came from; 0: nothing. */
typedef struct position {
    int64_t version, head, parent, parent_version, grandparent;
} position;

static int32_t read_position(lathe_store *store, const char *model, const char *alias, position *at,
                             bool *found, lathe_error *err) {
    sqlite3_stmt *q;
    memset(at, 0, sizeof *at);
    *found = false;
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT a.version, a.head, h.parent, p.version, p.parent "
                                "FROM aliases a JOIN alias_history h ON h.id = a.head "
                                "LEFT JOIN alias_history p ON p.id = h.parent "
                                "WHERE a.model = ? AND a.alias = ?",
                                "tt", model, alias);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, found, err);
    if (rc == LATHE_OK && *found)
        *at = (position){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1),
                         sqlite3_column_int64(q, 2), sqlite3_column_int64(q, 3),
                         sqlite3_column_int64(q, 4)};
    sqlite3_finalize(q);
    return rc;
}

static int32_t check_alias(const char *alias, lathe_error *err) {
    int32_t rc = lathe_store_check_name(alias, "the alias", err);
    if (rc == LATHE_OK && alias[strspn(alias, "0123456789")] == '\0')
        rc = lathe_fail(err, LATHE_E_INVALID, "the alias",
                        "'%s' would be read as a version; an alias needs a letter", alias);
    return rc;
}

static bool fill_name(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    return (*(const char **)item = lathe_db_text(q, 0, arena)) != NULL;
}

static int32_t move_followers(lathe_store *store, const char *model, const char *alias,
                              int64_t version, const char *action, const char *reason,
                              lathe_error *err) {
    sqlite3_stmt *q;
    const char **names = NULL;
    size_t n = 0;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc =
        lathe_db_query(store, &q, err, "SELECT name FROM endpoints WHERE model = ? AND alias = ?",
                       "tt", model, alias);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *names, fill_name, (void **)&names, &n, err);
    sqlite3_finalize(q);
    for (size_t i = 0; rc == LATHE_OK && i < n; i++)
        rc = lathe_store_endpoint_move(store, names[i], model, alias, version, action, reason, err);
    lathe_arena_free(arena);
    return rc;
}

static int32_t write_move(lathe_store *store, const char *model, const char *alias, int64_t version,
                          int64_t parent, const char *action, const char *reason,
                          lathe_error *err) {
    int64_t now = lathe_wall_us();
    int32_t rc =
        lathe_db_run(store, NULL, err,
                     "INSERT INTO main.alias_history(model, alias, version, parent, action, time, "
                     "actor, reason) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                     "ttintitt", model, alias, version, parent, action, now, store->actor,
                     reason != NULL ? reason : "");
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.aliases(model, alias, version, head, updated) "
                          "VALUES(?, ?, ?, ?, ?) ON CONFLICT(model, alias) DO UPDATE SET "
                          "version = excluded.version, head = excluded.head, "
                          "updated = excluded.updated",
                          "ttiii", model, alias, version,
                          (int64_t)sqlite3_last_insert_rowid(store->db), now);
    return rc;
}

int32_t lathe_store_alias_move(lathe_store *store, const char *model, const char *alias,
                               int64_t version, const char *action, const char *reason,
                               lathe_error *err) {
    position at;
    bool found;
    char subject[300], verb[32], to[24], from[24];
    int32_t rc = check_alias(alias, err);
    if (rc == LATHE_OK)
        rc = read_position(store, model, alias, &at, &found, err);
    if (rc != LATHE_OK || (found && at.version == version))
        return rc;
    int64_t parent = at.head;
    if (strcmp(action, "rollback") == 0 && at.parent != 0 && at.parent_version == version)
        parent = at.grandparent;
    rc = write_move(store, model, alias, version, parent, action, reason, err);
    if (rc == LATHE_OK)
        rc = move_followers(store, model, alias, version, action, reason, err);
    if (rc != LATHE_OK)
        return rc;
    snprintf(subject, sizeof subject, "%s@%s", model, alias);
    snprintf(verb, sizeof verb, "alias.%s", action);
    snprintf(to, sizeof to, "%lld", (long long)version);
    snprintf(from, sizeof from, "%lld", (long long)at.version);
    char *detail = lathe_store_detail("version", to, "from", found ? from : NULL, "reason", reason,
                                      (const char *)NULL);
    rc = detail != NULL ? lathe_store_audit_add(store, verb, subject, detail, err)
                        : lathe_db_oom(store, err);
    free(detail);
    return rc;
}

int32_t lathe_store_alias_set(lathe_store *store, const char *model, const char *alias,
                              int64_t version, const char *reason, lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_version_need(store, model, version, err);
    if (rc == LATHE_OK)
        rc = lathe_store_alias_move(store, model, alias, version, "set", reason, err);
    return lathe_db_end(store, rc, err);
}

static int32_t fail_no_alias(lathe_store *store, const char *model, const char *alias,
                             lathe_error *err) {
    return lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                      "model '%s' has no alias '%s'; `lathe models show %s` lists its aliases",
                      model, alias, model);
}

int32_t lathe_store_alias_rollback(lathe_store *store, const char *model, const char *alias,
                                   const char *reason, int64_t *version, lathe_error *err) {
    position at = {0};
    bool found = false;
    int32_t rc = lathe_store_check_name(model, "the model's name", err);
    if (rc == LATHE_OK)
        rc = check_alias(alias, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = read_position(store, model, alias, &at, &found, err);
    if (rc == LATHE_OK && !found)
        rc = fail_no_alias(store, model, alias, err);
    if (rc == LATHE_OK && at.parent == 0)
        rc = lathe_fail(err, LATHE_E_STATE, store->home,
                        "'%s@%s' points at version %lld and there is no earlier one to go back to",
                        model, alias, (long long)at.version);
    if (rc == LATHE_OK)
        rc = lathe_store_version_need(store, model, at.parent_version, err);
    if (rc == LATHE_OK)
        rc =
            lathe_store_alias_move(store, model, alias, at.parent_version, "rollback", reason, err);
    rc = lathe_db_end(store, rc, err);
    if (rc == LATHE_OK && version != NULL)
        *version = at.parent_version;
    return rc;
}

/* ---- lists ---- */

static bool fill_alias(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_alias_record *r = item;
    r->model = lathe_db_text(q, 0, arena);
    r->alias = lathe_db_text(q, 1, arena);
    r->version = sqlite3_column_int64(q, 2);
    r->updated = sqlite3_column_int64(q, 3);
    return r->model != NULL && r->alias != NULL;
}

int32_t lathe_store_aliases(lathe_store *store, const char *model, lathe_arena *arena,
                            lathe_alias_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT model, alias, version, updated FROM aliases "
                                "WHERE (?1 IS NULL OR model = ?1) ORDER BY model, alias",
                                "t", model);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_alias,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

static bool fill_move(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_move_record *r = item;
    r->id = sqlite3_column_int64(q, 0);
    r->time = sqlite3_column_int64(q, 1);
    r->action = lathe_db_text(q, 2, arena);
    r->model = lathe_db_text(q, 3, arena);
    r->alias = lathe_db_text(q, 4, arena);
    r->version = sqlite3_column_int64(q, 5);
    r->actor = lathe_db_text(q, 6, arena);
    r->reason = lathe_db_text(q, 7, arena);
    r->current = sqlite3_column_int64(q, 8) != 0;
    return r->action && r->model && r->alias && r->actor && r->reason;
}

int32_t lathe_store_collect_moves(lathe_store *store, sqlite3_stmt *stmt, lathe_arena *arena,
                                  lathe_move_list *list, lathe_error *err) {
    return lathe_db_collect(store, stmt, arena, sizeof *list->items, fill_move,
                            (void **)&list->items, &list->count, err);
}

int32_t lathe_store_alias_history(lathe_store *store, const char *model, const char *alias,
                                  lathe_arena *arena, lathe_move_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc =
        lathe_db_query(store, &q, err,
                       "SELECT h.id, h.time, h.action, h.model, h.alias, h.version, h.actor, "
                       "h.reason, h.id = a.head FROM alias_history h JOIN aliases a "
                       "USING(model, alias) WHERE h.model = ? AND h.alias = ? "
                       "ORDER BY h.id DESC",
                       "tt", model, alias);
    if (rc == LATHE_OK)
        rc = lathe_store_collect_moves(store, q, arena, list, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && list->count == 0)
        rc = fail_no_alias(store, model != NULL ? model : "", alias != NULL ? alias : "", err);
    return rc;
}
