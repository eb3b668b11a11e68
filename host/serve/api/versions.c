/* Versions of models: show, verify, export, import, predict. */
#include "serve/api/api.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "model/model.h"
#include "serve/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE ((size_t)1 << 30)
#define PREDICT_SECONDS 600

int32_t api_find_version(api_call *c, lathe_version_record *v) {
    const char *model = api_part(c, "model"), *version = api_part(c, "version");
    const char *ref = strcmp(version, "newest") == 0
                          ? model
                          : lathe_arena_printf(c->arena, "%s@%s", model, version);
    return ref != NULL ? lathe_store_version(c->store, ref, c->arena, v, &c->err)
                       : lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
}

/* And its file. */
static int32_t find_version(api_call *c, lathe_version_record *v, const char **path) {
    int32_t rc = api_find_version(c, v);
    if (rc == LATHE_OK && path != NULL)
        rc = lathe_store_artifact_path(c->store, v->sha256, false, c->arena, path, &c->err);
    return rc;
}

static void move_member(cJSON *to, cJSON *from, const char *key) {
    cJSON *member = cJSON_DetachItemFromObjectCaseSensitive(from, key);
    if (member != NULL)
        cJSON_AddItemToObject(to, key, member);
}

static int32_t get_version(api_call *c) {
    lathe_version_record v;
    const char *path;
    cJSON *file = NULL;
    int32_t rc = find_version(c, &v, &path);
    if (rc == LATHE_OK)
        rc = lathe_model_describe(path, &file, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = api_version_json(&v);
    lathe_json_add_text(out, "document", v.document);
    move_member(out, file, "plugins");
    move_member(out, file, "schema");
    move_member(out, file, "candidate");
    cJSON *lineage = lathe_store_lineage(c->store, &v, c->arena, &c->err);
    if (lineage == NULL) {
        cJSON_Delete(file);
        cJSON_Delete(out);
        return c->err.code;
    }
    cJSON_AddItemToObject(out, "lineage", lineage);
    cJSON_Delete(file);
    return api_answer(c, out);
}

static int32_t verify_version(api_call *c) {
    lathe_version_record v;
    const char *path;
    int32_t rc = find_version(c, &v, &path);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_path(c->store, v.sha256, true, c->arena, &path, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_model_verify(path, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", v.model);
    cJSON_AddNumberToObject(out, "version", (double)v.version);
    cJSON_AddStringToObject(out, "sha256", v.sha256);
    return api_answer(c, out);
}

/* Its file, checked on the way out. */
static int32_t export_version(api_call *c) {
    lathe_version_record v;
    const char *path;
    char *data = NULL;
    size_t len = 0;
    int32_t rc = find_version(c, &v, &path);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_path(c->store, v.sha256, true, c->arena, &path, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_read_file(path, MAX_FILE, &data, &len, &c->err);
    if (rc == LATHE_OK)
        lathe_buf_append(&c->out, data, len);
    free(data);
    snprintf(c->headers, sizeof c->headers, "etag: \"%s\"\r\n", v.sha256);
    return rc;
}

/* ---- what comes in as a file ---- */

/* The body as a temporary file of the home, which the caller unlinks. */
static int32_t write_body(api_call *c, const char *suffix, char path[512]) {
    snprintf(path, 512, "%s/artifacts/tmp/api-XXXXXX%s", c->home, suffix);
    const int fd = mkostemps(path, (int)strlen(suffix), O_CLOEXEC);
    if (fd < 0) {
        path[0] = 0;
        return lathe_fail_errno(&c->err, errno, NULL, "the body cannot be kept");
    }
    for (size_t at = 0; at < c->len;) {
        const ssize_t n = write(fd, c->text + at, c->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            const int why = errno;
            close(fd);
            return lathe_fail_errno(&c->err, why, NULL, "the body cannot be kept");
        }
        at += (size_t)n;
    }
    if (close(fd) != 0)
        return lathe_fail_errno(&c->err, errno, NULL, "the body cannot be kept");
    return LATHE_OK;
}

static const char *print(lathe_arena *arena, const cJSON *tree) {
    lathe_buf text = {0};
    if (tree == NULL)
        return NULL;
    lathe_json_print(NULL, tree, &text);
    const char *copy = lathe_arena_strdup(arena, lathe_buf_str(&text));
    lathe_buf_free(&text);
    return copy;
}

/* Checks a model's file as verify does, and registers it. */
static int32_t import_file(api_call *c, const char *path, int64_t *version, char *sha256) {
    cJSON *file = NULL;
    int32_t rc = lathe_model_verify(path, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_model_describe(path, &file, &c->err);
    if (rc != LATHE_OK) { /* whatever is wrong with it, it is the client's */
        c->status = 422;
        return rc;
    }
    lathe_store_keep(c->store); /* gc is a call like this one */
    rc = lathe_store_artifact_import(c->store, path, NULL, "model", sha256, NULL, &c->err);
    const lathe_version_new info = {.model = api_part(c, "model"),
                                    .project = c->who.project[0] ? c->who.project : NULL,
                                    .sha256 = sha256,
                                    .document = print(c->arena, lathe_json_get(file, "document")),
                                    .metrics = print(c->arena, lathe_json_get(file, "metrics")),
                                    .alias = api_text(c->query, "alias", NULL),
                                    .reason = "imported",
                                    .reuse = true};
    const lathe_fits_question fits = {
        .model = info.model, .sha256 = sha256, .label = "the imported file", .alias = info.alias};
    if (rc == LATHE_OK && info.alias != NULL)
        rc = lathe_fits_check(c->store, &fits, NULL, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_store_version_register(c->store, &info, version, &c->err);
    lathe_store_keep_end(c->store);
    cJSON_Delete(file);
    return rc;
}

static int32_t import_model(api_call *c) {
    char path[512], sha256[LATHE_SHA256_HEX];
    int64_t version = 0;
    int32_t rc = lathe_store_check_name(api_part(c, "model"), "the model's name", &c->err);
    if (rc == LATHE_OK && c->len == 0)
        rc = lathe_fail(&c->err, LATHE_E_DATA, NULL, "the body is empty; expected a model's file");
    if (rc != LATHE_OK)
        return rc;
    rc = write_body(c, ".model", path);
    if (rc == LATHE_OK)
        rc = import_file(c, path, &version, sha256);
    if (path[0] != 0)
        unlink(path);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", api_part(c, "model"));
    cJSON_AddNumberToObject(out, "version", (double)version);
    cJSON_AddStringToObject(out, "sha256", sha256);
    c->after = API_REROUTE;
    return api_answer(c, out);
}

/* Predictions as `lathe predict` makes them: for many rows; single ones go to the inference port. */
static int32_t predict(api_call *c) {
    lathe_version_record v;
    const char *path;
    char rows[512] = "";
    int32_t rc = find_version(c, &v, &path);
    if (rc == LATHE_OK && c->len == 0)
        rc = lathe_fail(&c->err, LATHE_E_DATA, NULL, "the body is empty; expected rows as CSV");
    if (rc == LATHE_OK)
        rc = write_body(c, c->len > 2 && (uint8_t)c->text[0] == 0x1f ? ".csv.gz" : ".csv", rows);
    if (rc == LATHE_OK) {
        const char *const args[] = {"predict", "--threads=1", "--", path, rows, NULL};
        const lathe_question question = {.executable = c->executable,
                                         .args = args,
                                         .seconds = PREDICT_SECONDS,
                                         .max_bytes = MAX_FILE};
        rc = lathe_ask(&question, &c->out, &c->err);
    }
    if (rows[0] != 0)
        unlink(rows);
    return rc;
}

/* ---- lineage ---- */

static int32_t get_derived(api_call *c) {
    lathe_derived_list list;
    const int64_t limit = api_limit(c), skip = api_int_cursor(c, 0);
    const int32_t rc = lathe_store_derived(c->store, api_text(c->query, "of", ""), skip, limit + 1,
                                           c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *versions = cJSON_AddArrayToObject(out, "versions");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++) {
        const lathe_derived *d = &list.items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "model", d->model);
        cJSON_AddNumberToObject(item, "version", (double)d->version);
        cJSON_AddStringToObject(item, "sha256", d->sha256);
        cJSON_AddStringToObject(item, "run", d->run);
        cJSON_AddStringToObject(item, "through", d->through);
        cJSON_AddStringToObject(item, "name", d->name);
        api_add_time(item, "created_us", d->created);
        cJSON_AddItemToArray(versions, item);
    }
    if ((int64_t)list.count > limit)
        api_add_next(out, skip + limit);
    return api_answer(c, out);
}

static const api_field derived_query[] = {
    {"of", API_TEXT, true, 1, 64, NULL,
     "a run's id, or the SHA-256 of a document, a data file or a plugin's file", NULL},
    API_PAGE_NUMBERED,
    {0}};

static const api_field import_query[] = {
    {"alias", API_ALIAS, false, 0, 0, NULL, "that is to point at it", NULL}, {0}};

const api_route api_version_routes[] = {
    {.method = "GET",
     .path = "/api/v1/derived",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Versions that come from a run, a document, a data file or a plugin, oldest first",
     .run = get_derived,
     .query = derived_query,
     .answer = "Derived"},
    {.method = "GET",
     .path = "/api/v1/models/{model}/versions/{version}",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "A version in full, by its number, an alias, or \"newest\"",
     .run = get_version,
     .answer = "Version"},
    {.method = "POST",
     .path = "/api/v1/models/{model}/versions/{version}/verify",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Check the whole content of a version's file",
     .run = verify_version,
     .lane = API_MINUTES,
     .answer = "VersionRef"},
    {.method = "GET",
     .path = "/api/v1/models/{model}/versions/{version}/file",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "A version's file (safetensors)",
     .run = export_version,
     .lane = API_MINUTES,
     .answer = "Binary",
     .answer_type = "application/octet-stream"},
    {.method = "POST",
     .path = "/api/v1/models/{model}/versions/{version}/predict",
     .role = LATHE_ROLE_INFER,
     .scope = API_PROJECT,
     .summary = "Predictions for rows of CSV (may be gzip), as of `lathe predict`",
     .run = predict,
     .lane = API_MINUTES,
     .body_schema = "Binary",
     .body_type = "text/csv",
     .answer = "Text",
     .answer_type = "text/csv"},
    {.method = "POST",
     .path = "/api/v1/models/{model}/import",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary =
         "Register a model's file as a new version (the newest again where it is the same file)",
     .run = import_model,
     .lane = API_MINUTES,
     .query = import_query,
     .body_schema = "Binary",
     .body_type = "application/octet-stream",
     .answer = "VersionRef",
     .status = 201},
    {0}};
