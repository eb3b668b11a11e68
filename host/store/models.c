#include "store/models.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/nearest.h"
#include "store/db.h"
#include "store/files.h"
#include "store/rows.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *lathe_store_detail(const char *key, const char *value, ...) {
    lathe_buf text = {0};
    lathe_jsonw w = lathe_jsonw_to(&text);
    va_list ap;
    va_start(ap, value);
    lathe_jsonw_begin_object(&w);
    while (key != NULL) {
        if (value != NULL)
            lathe_jsonw_kv_str(&w, key, value);
        key = va_arg(ap, const char *);
        if (key != NULL)
            value = va_arg(ap, const char *);
    }
    lathe_jsonw_end_object(&w);
    va_end(ap);
    return lathe_buf_take(&text);
}

/* ---- register ---- */

static int32_t check_new(const lathe_version_new *info, lathe_error *err) {
    int32_t rc = lathe_store_check_name(info->model, "the model's name", err);
    if (rc == LATHE_OK)
        rc = lathe_check_sha256(info->sha256, err);
    if (rc == LATHE_OK && info->endpoint != NULL)
        rc = lathe_store_check_name(info->endpoint, "the endpoint's name", err);
    return rc;
}

static int32_t need_artifact(lathe_store *store, const char *sha256, int64_t *bytes,
                             lathe_error *err) {
    const char *path;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_artifact_path(store, sha256, false, arena, &path, err);
    lathe_arena_free(arena);
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, bytes, NULL, err, "SELECT bytes FROM artifacts WHERE sha256 = ?",
                          "t", sha256);
    return rc;
}

static int32_t find_reusable(lathe_store *store, const lathe_version_new *info, int64_t *version,
                             bool *found, lathe_error *err) {
    return lathe_db_int(
        store, version, found, err,
        "SELECT version FROM versions v WHERE model = ?1 AND sha256 = ?2 AND version = "
        "(SELECT max(version) FROM versions WHERE model = ?1)",
        "tt", info->model, info->sha256);
}

static int32_t insert_version(lathe_store *store, const lathe_version_new *info,
                              const char *project, int64_t bytes, int64_t *version,
                              lathe_error *err) {
    int64_t now = lathe_wall_us(), newest = 0;
    char subject[200];
    int32_t rc = lathe_store_project_need(store, project != NULL ? project : "default", err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "INSERT INTO main.models(name, project, created) VALUES(?, ?, ?) "
                          "ON CONFLICT(name) DO NOTHING",
                          "tti", info->model, project != NULL ? project : "default", now);
    if (rc == LATHE_OK)
        rc = lathe_db_int(store, &newest, NULL, err,
                          "SELECT coalesce(max(version), 0) FROM versions WHERE model = ?", "t",
                          info->model);
    *version = newest + 1;
    if (rc == LATHE_OK)
        rc = lathe_db_run(
            store, NULL, err,
            "INSERT INTO main.versions(model, version, sha256, bytes, run, created, document, "
            "metrics, goal) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "titizittt", info->model, *version, info->sha256, bytes, info->run, now,
            info->document != NULL ? info->document : "{}",
            info->metrics != NULL ? info->metrics : "{}", info->goal != NULL ? info->goal : "{}");
    if (rc != LATHE_OK)
        return rc;
    snprintf(subject, sizeof subject, "%s@%lld", info->model, (long long)*version);
    char *detail = lathe_store_detail("sha256", info->sha256, "run", info->run, "reason",
                                      info->reason, (const char *)NULL);
    rc = detail != NULL ? lathe_store_audit_add(store, "version.register", subject, detail, err)
                        : lathe_db_oom(store, err);
    free(detail);
    return rc;
}

int32_t lathe_store_version_register(lathe_store *store, const lathe_version_new *info,
                                     int64_t *version, lathe_error *err) {
    int64_t bytes = 0, number = 0;
    bool found = false;
    const char *project = info->project != NULL ? info->project : store->scope;
    int32_t rc = check_new(info, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_claim(store, LATHE_STORE_MODEL, info->model, project, err);
    if (rc == LATHE_OK)
        rc = need_artifact(store, info->sha256, &bytes, err);
    if (rc == LATHE_OK && info->run != NULL && info->run[0] != '\0')
        rc = lathe_store_run_need(store, info->run, false, err);
    if (rc == LATHE_OK && info->reuse)
        rc = find_reusable(store, info, &number, &found, err);
    if (rc == LATHE_OK && !found)
        rc = insert_version(store, info, project, bytes, &number, err);
    if (rc == LATHE_OK && info->alias != NULL)
        rc = lathe_store_alias_move(store, info->model, info->alias, number, "set", info->reason,
                                    err);
    if (rc == LATHE_OK && info->endpoint != NULL)
        rc = lathe_store_endpoint_move(store, info->endpoint, info->model, info->alias, number,
                                       "set", info->reason, err);
    rc = lathe_db_end(store, rc, err);
    if (rc == LATHE_OK && version != NULL)
        *version = number;
    return rc;
}

/* ---- list ---- */

static bool fill_model(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_model_record *r = item;
    r->name = lathe_db_text(q, 0, arena);
    r->project = lathe_db_text(q, 1, arena);
    r->created = sqlite3_column_int64(q, 2);
    r->versions = sqlite3_column_int64(q, 3);
    r->updated = sqlite3_column_int64(q, 4);
    return r->name != NULL && r->project != NULL;
}

int32_t lathe_store_models(lathe_store *store, lathe_arena *arena, lathe_model_list *list,
                           lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc =
        lathe_db_query(store, &q, err,
                       "SELECT m.name, m.project, m.created, max(v.version), max(v.created) "
                       "FROM models m JOIN versions v ON v.model = m.name "
                       "GROUP BY m.name ORDER BY m.name",
                       "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_model,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

#define VERSION_COLUMNS                                                                            \
    "v.model, v.version, v.sha256, v.bytes, v.run, v.created, v.metrics, v.goal, "                 \
    "(SELECT group_concat(alias, ', ') FROM (SELECT alias FROM aliases a WHERE a.model = v.model " \
    "AND a.version = v.version ORDER BY alias))"

static bool fill_version(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_version_record *r = item;
    r->model = lathe_db_text(q, 0, arena);
    r->version = sqlite3_column_int64(q, 1);
    r->sha256 = lathe_db_text(q, 2, arena);
    r->bytes = sqlite3_column_int64(q, 3);
    r->run = lathe_db_text(q, 4, arena);
    r->created = sqlite3_column_int64(q, 5);
    r->metrics = lathe_db_text(q, 6, arena);
    r->goal = lathe_db_text(q, 7, arena);
    r->aliases = lathe_db_text(q, 8, arena);
    return r->model && r->sha256 && r->run && r->metrics && r->goal && r->aliases;
}

static bool fill_whole_version(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_version_record *r = item;
    r->document = lathe_db_text(q, 9, arena);
    return fill_version(q, arena, item) && r->document != NULL;
}

static int32_t fail_no_model(lathe_store *store, const char *model, lathe_error *err) {
    lathe_model_list models;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_models(store, arena, &models, err);
    const char **names = lathe_arena_array(arena, models.count, sizeof *names);
    if (rc == LATHE_OK && names == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK) {
        for (size_t i = 0; i < models.count; i++)
            names[i] = models.items[i].name;
        const char *near = lathe_nearest(model, names, models.count);
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                        near != NULL ? "there is no model '%s'; did you mean '%s'?"
                        : models.count == 0
                            ? "there is no model '%s': none has been registered yet%s"
                            : "there is no model '%s'; `lathe models list` shows "
                              "those there are%s",
                        model, near != NULL ? near : "");
    }
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_versions(lathe_store *store, const char *model, lathe_arena *arena,
                             lathe_version_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_store_check_name(model, "the model's name", err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_db_query(store, &q, err,
                        "SELECT " VERSION_COLUMNS
                        " FROM versions v WHERE v.model = ? ORDER BY v.version DESC",
                        "t", model);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_version,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    if (rc == LATHE_OK && list->count == 0)
        rc = fail_no_model(store, model, err);
    return rc;
}

/* ---- one version ---- */

/* The model is there and "@what" is not: says what there is. */
static int32_t fail_no_version(lathe_store *store, const char *model, const char *what,
                               lathe_error *err) {
    lathe_version_list versions;
    lathe_alias_list aliases;
    lathe_buf names = {0};
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_versions(store, model, arena, &versions, err);
    if (rc == LATHE_OK)
        rc = lathe_store_aliases(store, model, arena, &aliases, err);
    if (rc == LATHE_OK) {
        for (size_t i = 0; i < aliases.count; i++)
            lathe_buf_printf(&names, "%s%s", i > 0 ? ", " : " and the aliases ",
                             aliases.items[i].alias);
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                        "model '%s' has no version or alias '%s'; it has the versions 1 to %lld%s",
                        model, what, (long long)versions.items[0].version, lathe_buf_str(&names));
    }
    lathe_buf_free(&names);
    lathe_arena_free(arena);
    return rc;
}

static bool all_digits(const char *text) {
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int32_t find_version(lathe_store *store, const char *model, const char *what,
                            lathe_arena *arena, lathe_version_record *version, lathe_error *err) {
    lathe_version_record *rows = NULL;
    size_t n = 0;
    sqlite3_stmt *q;
    const char *sql =
        what == NULL ? "SELECT " VERSION_COLUMNS ", v.document FROM versions v WHERE v.model = ? "
                       "ORDER BY v.version DESC LIMIT 1"
        : all_digits(what)
            ? "SELECT " VERSION_COLUMNS ", v.document FROM versions v WHERE v.model = ? "
              "AND v.version = ?"
            : "SELECT " VERSION_COLUMNS ", v.document FROM versions v JOIN aliases x "
              "USING(model, version) WHERE x.model = ? AND x.alias = ?";
    int32_t rc = what == NULL       ? lathe_db_query(store, &q, err, sql, "t", model)
                 : all_digits(what) ? lathe_db_query(store, &q, err, sql, "ti", model,
                                                     (int64_t)strtoll(what, NULL, 10))
                                    : lathe_db_query(store, &q, err, sql, "tt", model, what);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *rows, fill_whole_version, (void **)&rows, &n,
                              err);
    sqlite3_finalize(q);
    if (rc != LATHE_OK)
        return rc;
    if (n == 0)
        return what == NULL ? fail_no_model(store, model, err)
                            : fail_no_version(store, model, what, err);
    *version = rows[0];
    return LATHE_OK;
}

int32_t lathe_store_version(lathe_store *store, const char *ref, lathe_arena *arena,
                            lathe_version_record *version, lathe_error *err) {
    memset(version, 0, sizeof *version);
    if (ref == NULL)
        ref = "";
    const char *at = strchr(ref, '@'), *what = at != NULL ? at + 1 : NULL;
    char *model = at != NULL ? strndup(ref, (size_t)(at - ref)) : strdup(ref);
    if (model == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_check_name(model, "the model's name", err);
    if (rc == LATHE_OK && what != NULL)
        rc = lathe_store_check_name(what, "the version or alias after '@'", err);
    if (rc == LATHE_OK)
        rc = find_version(store, model, what, arena, version, err);
    free(model);
    return rc;
}

int32_t lathe_store_version_need(lathe_store *store, const char *model, int64_t version,
                                 lathe_error *err) {
    char ref[200];
    lathe_version_record found;
    int64_t bytes;
    int32_t rc = lathe_store_check_name(model, "the model's name", err);
    if (rc != LATHE_OK)
        return rc;
    if (version < 1)
        return lathe_fail(err, LATHE_E_INVALID, model, "version %lld: versions count from 1",
                          (long long)version);
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    snprintf(ref, sizeof ref, "%s@%lld", model, (long long)version);
    rc = lathe_store_version(store, ref, arena, &found, err);
    if (rc == LATHE_OK)
        rc = need_artifact(store, found.sha256, &bytes, err);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_version_verify(lathe_store *store, const char *ref, lathe_error *err) {
    lathe_version_record found;
    const char *path;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_version(store, ref, arena, &found, err);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_path(store, found.sha256, true, arena, &path, err);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_version_export(lathe_store *store, const char *ref, const char *path,
                                   bool overwrite, lathe_error *err) {
    lathe_version_record found;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_db_oom(store, err);
    int32_t rc = lathe_store_version(store, ref, arena, &found, err);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_export(store, found.sha256, path, overwrite, err);
    lathe_arena_free(arena);
    return rc;
}
