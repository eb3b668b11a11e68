#include "store/usage.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/nearest.h"
#include "store/db.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const lathe_quota_names[] = {"requests_per_day", "rows_per_day",
                                         "training_seconds_per_day", "concurrent_runs", NULL};

int64_t *lathe_quota_member(lathe_quota *quota, int index) {
    int64_t *const members[] = {&quota->requests_per_day, &quota->rows_per_day,
                                &quota->training_seconds_per_day, &quota->concurrent_runs};
    return members[index];
}

/* ---- days ---- */

const char *lathe_day_text(int64_t day, char buf[LATHE_DAY_TEXT]) {
    const time_t seconds = (time_t)(day * 86400);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(buf, LATHE_DAY_TEXT, "%Y-%m-%d", &tm) == 0)
        snprintf(buf, LATHE_DAY_TEXT, "%lld", (long long)day);
    return buf;
}

bool lathe_day_parse(const char *text, int64_t *day) {
    struct tm tm = {0};
    char again[LATHE_DAY_TEXT];
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end == NULL || *end != '\0' || strlen(text) != 10)
        return false;
    const int64_t found = (int64_t)timegm(&tm) / 86400;
    if (strcmp(lathe_day_text(found, again), text) != 0) /* 2026-02-31 */
        return false;
    *day = found;
    return true;
}

/* ---- projects ---- */

/* A quota's JSON, malloc'ed; those that are not set are left out. */
static char *quota_json(lathe_quota quota) {
    lathe_buf text = {0};
    lathe_jsonw w = lathe_jsonw_to(&text);
    lathe_jsonw_begin_object(&w);
    for (int i = 0; lathe_quota_names[i] != NULL; i++)
        if (*lathe_quota_member(&quota, i) > 0)
            lathe_jsonw_kv_int(&w, lathe_quota_names[i], *lathe_quota_member(&quota, i));
    lathe_jsonw_end_object(&w);
    return lathe_buf_take(&text);
}

static void read_quota(const char *text, lathe_quota *quota) {
    cJSON *tree = cJSON_Parse(text);
    *quota = (lathe_quota){0};
    for (int i = 0; lathe_quota_names[i] != NULL; i++) {
        int64_t value;
        if (lathe_json_int64(NULL, lathe_json_get(tree, lathe_quota_names[i]), &value) && value > 0)
            *lathe_quota_member(quota, i) = value;
    }
    cJSON_Delete(tree);
}

static bool fill_project(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_project_record *p = item;
    const char *quota = lathe_db_text(q, 1, arena);
    p->name = lathe_db_text(q, 0, arena);
    p->created = sqlite3_column_int64(q, 2);
    if (p->name == NULL || quota == NULL)
        return false;
    read_quota(quota, &p->quota);
    return true;
}

int32_t lathe_store_projects(lathe_store *store, lathe_arena *arena, lathe_project_list *list,
                             lathe_error *err) {
    sqlite3_stmt *q;
    void *items = NULL;
    *list = (lathe_project_list){0};
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT name, quota, created FROM projects ORDER BY name", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_project, &items,
                              &list->count, err);
    sqlite3_finalize(q);
    list->items = items;
    return rc;
}

int32_t lathe_store_project(lathe_store *store, const char *name, lathe_arena *arena,
                            lathe_project_record *project, lathe_error *err) {
    lathe_project_list list;
    int32_t rc = lathe_store_projects(store, arena, &list, err);
    const char **names =
        rc == LATHE_OK ? lathe_arena_array(arena, list.count + 1, sizeof *names) : NULL;
    if (rc != LATHE_OK)
        return rc;
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i].name, name) == 0) {
            *project = list.items[i];
            return LATHE_OK;
        }
        if (names != NULL)
            names[i] = list.items[i].name;
    }
    const char *near = names != NULL ? lathe_nearest(name, names, list.count) : NULL;
    return lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "there is no project '%.128s'; %s%s%s",
                      name, near ? "did you mean '" : "make it first", near ? near : "",
                      near ? "'?" : " (lathe projects create)");
}

static int32_t check_quota(const char *name, lathe_quota quota, lathe_error *err) {
    int32_t rc = lathe_store_check_name(name, "the project's name", err);
    for (int i = 0; rc == LATHE_OK && lathe_quota_names[i] != NULL; i++)
        if (*lathe_quota_member(&quota, i) < 0 ||
            *lathe_quota_member(&quota, i) > INT64_C(9007199254740992))
            rc = lathe_fail(err, LATHE_E_INVALID, name, "%s is %lld; expected 0 (no quota) to 2^53",
                            lathe_quota_names[i], (long long)*lathe_quota_member(&quota, i));
    return rc;
}

static int32_t write_project(lathe_store *store, const char *name, const char *quota, bool create,
                             lathe_error *err) {
    int64_t changed = 0;
    int32_t rc =
        create
            ? lathe_db_run(store, &changed, err,
                           "INSERT INTO main.projects(name, created, quota) VALUES(?, ?, ?) "
                           "ON CONFLICT(name) DO NOTHING",
                           "tit", name, lathe_wall_us(), quota)
            : lathe_db_run(store, &changed, err,
                           "UPDATE main.projects SET quota = ? WHERE name = ?", "tt", quota, name);
    if (rc == LATHE_OK && changed == 0)
        rc = create ? lathe_fail(err, LATHE_E_EXISTS, store->home,
                                 "there is a project '%s' already; set its quota instead", name)
                    : lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                                 "there is no project '%s'; make it first (lathe projects create)",
                                 name);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, create ? "project.create" : "project.set", name, quota,
                                   err);
    return rc;
}

int32_t lathe_store_project_set(lathe_store *store, const char *name, const lathe_quota *quota,
                                bool create, lathe_error *err) {
    int32_t rc = check_quota(name, *quota, err);
    if (rc != LATHE_OK)
        return rc;
    char *text = quota_json(*quota);
    if (text == NULL)
        return lathe_db_oom(store, err);
    rc = lathe_db_begin(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_end(store, write_project(store, name, text, create, err), err);
    free(text);
    return rc;
}

/* ---- usage ---- */

int32_t lathe_store_usage_add(lathe_store *store, const lathe_usage *items, size_t n,
                              lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    for (size_t i = 0; rc == LATHE_OK && i < n; i++)
        rc =
            lathe_db_run(store, NULL, err,
                         "INSERT INTO main.usage(day, project, token, requests, rows, training_ms) "
                         "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(day, project, token) DO UPDATE SET "
                         "requests = requests + excluded.requests, rows = rows + excluded.rows, "
                         "training_ms = training_ms + excluded.training_ms",
                         "ittiii", items[i].day, items[i].project, items[i].token,
                         items[i].requests, items[i].rows, items[i].training_ms);
    return lathe_db_end(store, rc, err);
}

static bool fill_usage(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    *(lathe_usage *)item = (lathe_usage){.day = sqlite3_column_int64(q, 0),
                                         .project = lathe_db_text(q, 1, arena),
                                         .token = lathe_db_text(q, 2, arena),
                                         .requests = sqlite3_column_int64(q, 3),
                                         .rows = sqlite3_column_int64(q, 4),
                                         .training_ms = sqlite3_column_int64(q, 5)};
    return ((lathe_usage *)item)->project != NULL && ((lathe_usage *)item)->token != NULL;
}

int32_t lathe_store_usage(lathe_store *store, int64_t first, int64_t last, const char *project,
                          const char *token, lathe_arena *arena, lathe_usage_list *list,
                          lathe_error *err) {
    sqlite3_stmt *q;
    void *items = NULL;
    *list = (lathe_usage_list){0};
    int32_t rc = lathe_db_query(
        store, &q, err,
        "SELECT day, project, token, requests, rows, training_ms FROM usage WHERE day >= ? AND "
        "day <= ? AND (?3 IS NULL OR project = ?3) AND (?4 IS NULL OR token = ?4) "
        "ORDER BY day, project, token",
        "iitt", first, last, project, token);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_usage, &items,
                              &list->count, err);
    sqlite3_finalize(q);
    list->items = items;
    return rc;
}

int32_t lathe_store_usage_of(lathe_store *store, int64_t day, const char *project, lathe_usage *sum,
                             lathe_error *err) {
    sqlite3_stmt *q;
    bool row = false;
    *sum = (lathe_usage){.day = day, .project = project, .token = ""};
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT coalesce(sum(requests), 0), coalesce(sum(rows), 0), "
                                "coalesce(sum(training_ms), 0) FROM usage WHERE day = ? AND "
                                "project = ?",
                                "it", day, project);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row) {
        sum->requests = sqlite3_column_int64(q, 0);
        sum->rows = sqlite3_column_int64(q, 1);
        sum->training_ms = sqlite3_column_int64(q, 2);
    }
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_project_runs(lathe_store *store, const char *project, int64_t *count,
                                 lathe_error *err) {
    *count = 0;
    return lathe_db_int(store, count, NULL, err, "SELECT count(*) FROM queue WHERE project = ?",
                        "t", project);
}
