/* The home as a whole, and what the program knows: audit log, verify, gc, backup, plugins, schema, data files. */
#include "serve/api/api.h"

#include "base/fs.h"
#include "base/json.h"
#include "pipeline/schema_document.h"
#include "plugin/describe.h"
#include "plugin/kinds.h"
#include "serve/ask.h"

#include <stdlib.h>
#include <string.h>

#define DESCRIBE_SECONDS 300
#define DESCRIBE_BYTES ((size_t)64 << 20)

/* ---- audit log ---- */

static int32_t get_audit(api_call *c) {
    lathe_audit_list list;
    int64_t after;
    const int64_t limit = api_limit(c);
    after = api_int_cursor(c, 0);
    int32_t rc = lathe_store_audit(c->store, after, limit + 1, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(out, "audit");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++) {
        const lathe_audit_record *a = &list.items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "seq", (double)a->seq);
        api_add_time(item, "time_us", a->time);
        cJSON_AddStringToObject(item, "actor", a->actor);
        cJSON_AddStringToObject(item, "action", a->action);
        cJSON_AddStringToObject(item, "subject", a->subject);
        lathe_json_add_text(item, "detail", a->detail);
        cJSON_AddStringToObject(item, "hash", a->hash);
        cJSON_AddItemToArray(rows, item);
    }
    if ((int64_t)list.count > limit)
        api_add_next(out, list.items[limit - 1].seq);
    return api_answer(c, out);
}

/* ---- the home ---- */

static int32_t verify(api_call *c) {
    lathe_verify_report report = {0};
    int32_t rc = lathe_store_verify(c->store, c->arena, &report, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "errors", (double)report.errors);
    cJSON_AddNumberToObject(out, "artifacts", (double)report.artifacts);
    cJSON_AddNumberToObject(out, "bytes", (double)report.bytes);
    cJSON_AddNumberToObject(out, "versions", (double)report.versions);
    cJSON_AddNumberToObject(out, "audit_rows", (double)report.audit_rows);
    cJSON *list = cJSON_AddArrayToObject(out, "findings");
    for (size_t i = 0; i < report.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "level",
                                report.items[i].level == LATHE_FINDING_ERROR ? "error" : "note");
        cJSON_AddStringToObject(item, "subject", report.items[i].subject);
        cJSON_AddStringToObject(item, "message", report.items[i].message);
        cJSON_AddItemToArray(list, item);
    }
    return api_answer(c, out);
}

/* Not while a run is under way: it may just have stored what nothing refers to yet. */
static int32_t collect_garbage(api_call *c) {
    const lathe_gc_options options = {.steps_max_age =
                                          (int64_t)(api_number(c->body, "days", 0) * 86400e6),
                                      .dry_run = api_bool(c->body, "dry_run", false)};
    lathe_gc_result result = {0};
    if (!options.dry_run && !lathe_queue_pause(c->queue))
        return lathe_fail(&c->err, LATHE_E_STATE, NULL,
                          "runs are under way; gc waits until none is");
    int32_t rc = lathe_store_gc(c->store, &options, &result, &c->err);
    if (!options.dry_run)
        lathe_queue_resume(c->queue);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "dry_run", options.dry_run);
    cJSON_AddNumberToObject(out, "steps", (double)result.steps);
    cJSON_AddNumberToObject(out, "artifacts", (double)result.artifacts);
    cJSON_AddNumberToObject(out, "files", (double)result.files);
    cJSON_AddNumberToObject(out, "bytes", (double)result.bytes);
    return api_answer(c, out);
}

/* A backup goes into a folder of that name below the configured one; over the home's own socket, to any folder. */
static int32_t back_up(api_call *c) {
    const char *name = api_text(c->body, "name", NULL), *folder = api_text(c->body, "folder", NULL);
    lathe_backup_summary summary = {0};
    if ((name == NULL) == (folder == NULL))
        return lathe_fail(&c->err, LATHE_E_DATA, NULL, "either \"name\" or \"folder\" is needed");
    if (folder != NULL && (!c->local || folder[0] != '/'))
        return lathe_fail(
            &c->err, LATHE_E_DATA, NULL,
            "\"folder\" is an absolute path, for the home's own socket; give a \"name\"");
    if (folder == NULL && c->config.backups == NULL)
        return lathe_fail(&c->err, LATHE_E_STATE, NULL,
                          "no folder for backups is configured (\"backups\")");
    int32_t rc = LATHE_OK;
    if (folder == NULL) {
        folder = lathe_arena_printf(c->arena, "%s/%s", c->config.backups, name);
        rc = lathe_mkdirs(c->config.backups, &c->err);
    }
    if (rc == LATHE_OK)
        rc = lathe_store_backup(c->store, folder, &summary, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "folder", folder);
    cJSON_AddNumberToObject(out, "files", (double)summary.files);
    cJSON_AddNumberToObject(out, "bytes", (double)summary.bytes);
    return api_answer(c, out);
}

/* ---- plugins ---- */

static int32_t find_kind(api_call *c, const lathe_kind **kind) {
    const char *name = api_text(c->query, "kind", NULL);
    *kind = name ? lathe_kind_find(name) : NULL;
    if (name != NULL && *kind == NULL)
        return lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL, "there is no kind \"%.60s\"", name);
    return LATHE_OK;
}

static int32_t list_plugins(api_call *c, bool rescan) {
    lathe_catalogue *catalogue = NULL;
    const lathe_kind *kind;
    int32_t rc = find_kind(c, &kind);
    if (rc == LATHE_OK)
        rc = api_open_catalogue(c, rescan, &catalogue);
    if (rc != LATHE_OK)
        return rc;
    lathe_jsonw w = lathe_jsonw_to(&c->out);
    lathe_describe_list_json(catalogue, kind ? kind->id : NULL, &w);
    lathe_catalogue_close(catalogue);
    return LATHE_OK;
}

static int32_t get_plugins(api_call *c) {
    return list_plugins(c, false);
}

static int32_t rescan_plugins(api_call *c) {
    return list_plugins(c, true);
}

/* Every plugin of that name or id. */
static int32_t get_plugin(api_call *c) {
    const char *name = api_part(c, "plugin");
    lathe_catalogue *catalogue = NULL;
    const lathe_kind *kind;
    size_t found = 0;
    int32_t rc = find_kind(c, &kind);
    if (rc == LATHE_OK)
        rc = api_open_catalogue(c, false, &catalogue);
    if (rc != LATHE_OK)
        return rc;
    lathe_jsonw w = lathe_jsonw_to(&c->out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_key(&w, "plugins");
    lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < lathe_catalogue_count(catalogue); i++) {
        const lathe_plugin *p = lathe_catalogue_at(catalogue, i);
        const lathe_descriptor *d = p->descriptor;
        if (p->hidden || (strcmp(d->name, name) != 0 && strcmp(d->id, name) != 0) ||
            (kind != NULL && strcmp(d->kind, kind->id) != 0))
            continue;
        lathe_describe_plugin_json(p, &w);
        found++;
    }
    lathe_jsonw_end_array(&w);
    lathe_jsonw_end_object(&w);
    if (found == 0) {
        lathe_buf_clear(&c->out);
        rc = lathe_catalogue_unknown(catalogue, kind ? kind->id : NULL, name, &c->err);
        c->status = 404;
    }
    lathe_catalogue_close(catalogue);
    return rc;
}

static int32_t get_schema(api_call *c) {
    lathe_catalogue *catalogue = NULL;
    int32_t rc = api_open_catalogue(c, false, &catalogue);
    if (rc != LATHE_OK)
        return rc;
    lathe_schema_document(catalogue, &c->out);
    lathe_catalogue_close(catalogue);
    return LATHE_OK;
}

/* ---- data files ---- */

/* A file below one of the data roots, every link resolved; over the home's own socket, any. */
static int32_t find_data(api_call *c, const char *path, const char **found) {
    char *real = NULL;
    if (c->local && path[0] == '/') {
        *found = path;
        return LATHE_OK;
    }
    for (size_t i = 0; i < c->config.n_data_roots; i++) {
        const char *root = c->config.data_roots[i];
        const char *full =
            path[0] == '/' ? path : lathe_arena_printf(c->arena, "%s/%s", root, path);
        if (full == NULL || !lathe_path_inside(root, full) ||
            lathe_path_real(full, &real, NULL) != LATHE_OK)
            continue;
        *found = lathe_arena_strdup(c->arena, real);
        const bool good =
            *found != NULL && lathe_is_file(*found) && lathe_path_inside(root, *found);
        free(real);
        if (good)
            return LATHE_OK;
    }
    return lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL,
                      "there is no file \"%.200s\" below a data root", path);
}

static int32_t describe_data(api_call *c) {
    const char *args[8] = {"describe", "--json"}, *path = NULL;
    const char *target = api_text(c->body, "target", NULL),
               *missing = api_text(c->body, "missing", NULL);
    size_t n = 2;
    int32_t rc = find_data(c, api_text(c->body, "path", ""), &path);
    if (rc != LATHE_OK)
        return rc;
    if (target != NULL)
        args[n++] = lathe_arena_printf(c->arena, "--target=%s", target);
    if (missing != NULL)
        args[n++] = lathe_arena_printf(c->arena, "--missing=%s", missing);
    args[n++] = "--";
    args[n++] = "describe";
    args[n] = path;
    const lathe_question question = {.executable = c->executable,
                                     .args = args,
                                     .seconds = DESCRIBE_SECONDS,
                                     .max_bytes = DESCRIBE_BYTES};
    return lathe_ask(&question, &c->out, &c->err);
}

/* ---- the table ---- */

static const api_field page[] = {API_PAGE_NUMBERED, {0}};

static const api_field gc_body[] = {{"days", API_NUMBER, false, 0, 100000, NULL,
                                     "also cached steps that nobody used for so long", NULL},
                                    {"dry_run", API_BOOL, false, 0, 0, NULL, "only count", NULL},
                                    {0}};

static const api_field backup_body[] = {
    {"name", API_NAME, false, 0, 0, NULL, "of a new folder below the configured one", NULL},
    {"folder", API_TEXT, false, 1, 4000, NULL, "over the home's own socket: an absolute path",
     NULL},
    {0}};

static const api_field kind_query[] = {
    {"kind", API_NAME, false, 0, 0, NULL, "learner, transform, loss, …", NULL}, {0}};

static const api_field describe_body[] = {
    {"path", API_TEXT, true, 1, 4000, NULL, "a CSV file, below a data root", NULL},
    {"target", API_TEXT, false, 1, 1000, NULL, "a column that the others are compared with", NULL},
    {"missing", API_TEXT, false, 1, 100, NULL, "a text that means \"no value\"", NULL},
    {0}};

const api_route api_admin_routes[] = {
    {.method = "GET",
     .path = "/api/v1/audit",
     .role = LATHE_ROLE_READ,
     .scope = API_SERVICE,
     .summary = "Who changed what, oldest first: rows in a chain of hashes",
     .run = get_audit,
     .query = page,
     .answer = "Audit"},
    {.method = "POST",
     .path = "/api/v1/verify",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_SERVICE,
     .summary = "Check every artifact, the database, histories and the audit chain",
     .run = verify,
     .lane = API_MINUTES,
     .answer = "Verified"},
    {.method = "POST",
     .path = "/api/v1/gc",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_SERVICE,
     .summary = "Remove what nothing refers to; 409 while a run is under way",
     .run = collect_garbage,
     .lane = API_MINUTES,
     .body = gc_body,
     .answer = "Collected"},
    {.method = "POST",
     .path = "/api/v1/backup",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_SERVICE,
     .summary = "Write database and artifacts, verified, into a new folder",
     .run = back_up,
     .lane = API_MINUTES,
     .body = backup_body,
     .answer = "Backup"},
    {.method = "GET",
     .path = "/api/v1/plugins",
     .role = LATHE_ROLE_READ,
     .scope = API_SHARED,
     .summary = "Plugins, and files that were refused",
     .run = get_plugins,
     .place = API_POOL,
     .query = kind_query,
     .answer = "Plugins"},
    {.method = "POST",
     .path = "/api/v1/plugins/rescan",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_SERVICE,
     .summary = "Look at every plugin file again",
     .run = rescan_plugins,
     .lane = API_MINUTES,
     .place = API_POOL,
     .answer = "Plugins"},
    {.method = "GET",
     .path = "/api/v1/plugins/{plugin}",
     .role = LATHE_ROLE_READ,
     .scope = API_SHARED,
     .summary = "Every plugin of a name or id, in full",
     .run = get_plugin,
     .place = API_POOL,
     .query = kind_query,
     .answer = "PluginsInFull"},
    {.method = "GET",
     .path = "/api/v1/schema",
     .role = LATHE_ROLE_INFER,
     .scope = API_SHARED,
     .summary = "JSON Schema of the pipeline document",
     .run = get_schema,
     .place = API_POOL,
     .answer = "Object"},
    {.method = "POST",
     .path = "/api/v1/data/describe",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_SHARED,
     .summary = "What a data file looks like: types, missing values, distributions",
     .run = describe_data,
     .lane = API_MINUTES,
     .place = API_POOL,
     .body = describe_body,
     .answer = "Object"},
    {0}};
