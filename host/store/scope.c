/* What a connection sees: everything, or one project.
 *
 * For a connection with a scope, temporary views stand before the tables: SQLite looks a bare name up among the temporary
 * ones first. So every query that names a table sees only the rows of the project, without a word about it, and a query
 * that is written tomorrow does, too. A view cannot be written, so that statements that write name the table itself
 * ("INSERT INTO main.runs"); whoever writes one has read the row by its bare name before, or asks lathe_store_scope_free.
 */
#include "store/db.h"
#include "store/rows.h"

#include <stdlib.h>
#include <string.h>

/* sees(project): may this connection see rows of a project? */
static void sees(sqlite3_context *context, int n, sqlite3_value **values) {
    const lathe_store *store = sqlite3_user_data(context);
    const char *project = (const char *)sqlite3_value_text(values[0]);
    (void)n;
    sqlite3_result_int(context, store->scope == NULL ||
                                    (project != NULL && strcmp(project, store->scope) == 0));
}

#define OF_MODEL(column)                                                                           \
    "EXISTS(SELECT 1 FROM main.models m WHERE m.name = " column " AND sees(m.project))"
#define OF_RUN(column)                                                                             \
    "EXISTS(SELECT 1 FROM main.runs r WHERE r.id = " column " AND sees(r.project))"
#define OF_ENDPOINT(column)                                                                        \
    "EXISTS(SELECT 1 FROM main.endpoints e WHERE e.name = " column " AND " OF_MODEL("e.model") ")"
#define VIEW(table, where)                                                                         \
    "CREATE TEMP VIEW " table " AS SELECT * FROM main." table " t WHERE " where ";"

static const char views[] = VIEW("projects", "sees(t.name)") VIEW("models", "sees(t.project)") VIEW(
    "versions", OF_MODEL("t.model")) VIEW("aliases", OF_MODEL("t.model"))
    VIEW("alias_history", OF_MODEL("t.model")) VIEW("endpoints", OF_MODEL("t.model")) VIEW(
        "endpoint_history", OF_ENDPOINT("t.endpoint") " AND " OF_MODEL("t.model"))
        VIEW("rollouts", OF_ENDPOINT("t.endpoint")) VIEW("labelled", OF_MODEL("t.model")) VIEW(
            "labels",
            OF_MODEL(
                "t.model")) "CREATE TEMP VIEW runs AS SELECT t.rowid AS rowid, t.* FROM main.runs "
                            "t WHERE sees(t.project);" VIEW("run_files", OF_RUN("t.run"))
                                VIEW("events", OF_RUN("t.run")) VIEW("queue", "sees(t.project)")
                                    VIEW("schedules", "sees(t.project)") VIEW("usage",
                                                                              "sees(t.project)")
                                        VIEW("tokens", "sees(json_extract(t.scope, '$.project'))")
    /* an alert is the project's of its run, else of its model, else of its endpoint's model */
    VIEW("alerts", "sees(coalesce((SELECT r.project FROM main.runs r WHERE r.id = t.run),"
                   " (SELECT m.project FROM main.models m WHERE m.name = t.model),"
                   " (SELECT m.project FROM main.models m JOIN main.endpoints e ON e.model = m.name"
                   " WHERE e.name = t.endpoint)))");

int32_t lathe_store_set_scope(lathe_store *store, const char *project, lathe_error *err) {
    char *scope = project != NULL && project[0] != '\0' ? strdup(project) : NULL;
    int32_t rc = LATHE_OK;
    if (project != NULL && project[0] != '\0' && scope == NULL)
        return lathe_db_oom(store, err);
    if (scope != NULL && !store->scoped) {
        if (sqlite3_create_function(store->db, "sees", 1, SQLITE_UTF8, store, sees, NULL, NULL) !=
            SQLITE_OK)
            rc = lathe_db_fail(store, err, "preparing the connection for a project");
        if (rc == LATHE_OK)
            rc = lathe_db_script(store, "SAVEPOINT scope", err);
        if (rc == LATHE_OK) {
            rc = lathe_db_script(store, views, err);
            sqlite3_exec(store->db,
                         rc == LATHE_OK ? "RELEASE scope" : "ROLLBACK TO scope; RELEASE scope",
                         NULL, NULL, NULL);
        }
        store->scoped = rc == LATHE_OK;
    }
    if (rc != LATHE_OK) {
        free(scope);
        return rc;
    }
    free(store->scope);
    store->scope = scope;
    return LATHE_OK;
}

const char *lathe_store_get_scope(const lathe_store *store) {
    return store->scope;
}

/* The project that holds a name; NULL: none does. Within the arena. */
static int32_t owner(lathe_store *store, const char *sql, const char *name, lathe_arena *arena,
                     const char **project, lathe_error *err) {
    sqlite3_stmt *q;
    bool row = false;
    *project = NULL;
    int32_t rc = lathe_db_query(store, &q, err, sql, "t", name);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row && (*project = lathe_db_text(q, 0, arena)) == NULL)
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_owner(lathe_store *store, lathe_store_named what, const char *name,
                          lathe_arena *arena, const char **project, lathe_error *err) {
    static const char *const queries[] = {
        [LATHE_STORE_MODEL] = "SELECT project FROM main.models WHERE name = ?",
        [LATHE_STORE_ENDPOINT] = ("SELECT m.project FROM main.endpoints e JOIN main.models m "
                                  "ON m.name = e.model WHERE e.name = ?"),
        [LATHE_STORE_SCHEDULE] = "SELECT project FROM main.schedules WHERE name = ?"};
    return owner(store, queries[what], name, arena, project, err);
}

int32_t lathe_store_claim(lathe_store *store, lathe_store_named what, const char *name,
                          const char *project, lathe_error *err) {
    static const char *const nouns[] = {[LATHE_STORE_MODEL] = "model",
                                        [LATHE_STORE_ENDPOINT] = "endpoint",
                                        [LATHE_STORE_SCHEDULE] = "schedule"};
    const char *has = NULL;
    if (project == NULL)
        return LATHE_OK;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL ? lathe_store_owner(store, what, name, arena, &has, err)
                               : lathe_db_oom(store, err);
    if (rc == LATHE_OK && has != NULL && strcmp(has, project) != 0)
        rc = lathe_fail(err, LATHE_E_EXISTS, store->home,
                        "the name '%s' of a%s %s is taken by another project; choose another name",
                        name, nouns[what][0] == 'e' ? "n" : "", nouns[what]);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_may_serve(lathe_store *store, const char *endpoint, const char *model,
                              lathe_error *err) {
    const char *project = NULL;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL
                     ? lathe_store_owner(store, LATHE_STORE_MODEL, model, arena, &project, err)
                     : lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_store_claim(store, LATHE_STORE_ENDPOINT, endpoint, project, err);
    lathe_arena_free(arena);
    return rc;
}
