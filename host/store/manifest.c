#include "store/manifest.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "store/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define LIMIT ((size_t)256 << 20) /* of either file: well over a million artifacts */

static int32_t oom(const char *folder, lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, folder, "out of memory");
}

/* What SHA256SUMS must be, given the list and the digest of manifest.json; as coreutils writes it. */
static void sums_text(const lathe_manifest *m, const char *own, lathe_buf *out) {
    for (size_t i = 0; i < m->count; i++)
        lathe_buf_printf(out, "%s  %s\n", m->items[i].sha256, m->items[i].path);
    lathe_buf_printf(out, "%s  manifest.json\n", own);
}

static int32_t write_in(const char *folder, const char *name, const lathe_buf *text,
                        lathe_error *err) {
    char *path = lathe_path_join(folder, name);
    if (path == NULL || text->failed) {
        free(path);
        return oom(folder, err);
    }
    int32_t rc = lathe_write_file_atomic(path, lathe_buf_str(text), text->len, err);
    free(path);
    return rc;
}

int32_t lathe_manifest_write(const char *folder, const lathe_manifest *m, lathe_error *err) {
    char own[LATHE_SHA256_HEX];
    lathe_buf json = {0}, sums = {0};
    lathe_jsonw w = lathe_jsonw_to(&json);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_int(&w, "lathe_backup", FORMAT);
    lathe_jsonw_kv_int(&w, "created_us", m->created);
    lathe_jsonw_key(&w, "files");
    lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < m->count; i++) {
        lathe_jsonw_begin_object(&w);
        lathe_jsonw_kv_str(&w, "path", m->items[i].path);
        lathe_jsonw_kv_int(&w, "bytes", m->items[i].bytes);
        lathe_jsonw_kv_str(&w, "sha256", m->items[i].sha256);
        lathe_jsonw_end_object(&w);
    }
    lathe_jsonw_end_array(&w);
    lathe_jsonw_end_object(&w);
    lathe_buf_append_char(&json, '\n');
    int32_t rc = LATHE_OK;
    if (json.failed || !lathe_sha256_hex(lathe_buf_str(&json), json.len, own))
        rc = oom(folder, err);
    if (rc == LATHE_OK)
        rc = write_in(folder, "manifest.json", &json, err);
    if (rc == LATHE_OK) {
        sums_text(m, own, &sums);
        rc = write_in(folder, "SHA256SUMS", &sums, err);
    }
    lathe_buf_free(&sums);
    lathe_buf_free(&json);
    return rc;
}

/* ---- reading ---- */

static int32_t corrupt(const char *folder, lathe_error *err, const char *what) {
    return lathe_fail(err, LATHE_E_CORRUPT, folder,
                      "%s; the backup is damaged: take another, or copy it again from where it "
                      "came from",
                      what);
}

/* A path decides where a restore writes, so only the two shapes that a backup has are taken. */
static bool path_fits(const char *path, const char *sha256) {
    char expected[128];
    if (strcmp(path, "lathe.db") == 0)
        return true;
    snprintf(expected, sizeof expected, "artifacts/sha256/%.2s/%s", sha256, sha256);
    return strcmp(path, expected) == 0;
}

static int32_t read_file_entry(const char *folder, const lathe_json *doc, const cJSON *node,
                               lathe_arena *arena, lathe_manifest_file *file, lathe_error *err) {
    const cJSON *path = lathe_json_get(node, "path"), *sha = lathe_json_get(node, "sha256");
    if (!cJSON_IsString(path) || !cJSON_IsString(sha) ||
        lathe_check_sha256(sha->valuestring, NULL) != LATHE_OK ||
        !lathe_json_int64(doc, lathe_json_get(node, "bytes"), &file->bytes) || file->bytes < 0)
        return corrupt(folder, err, "manifest.json has an entry without path, bytes or sha256");
    if (!path_fits(path->valuestring, sha->valuestring))
        return corrupt(folder, err, "manifest.json names a file that no backup has");
    memcpy(file->sha256, sha->valuestring, LATHE_SHA256_HEX);
    file->path = lathe_arena_strdup(arena, path->valuestring);
    return file->path != NULL ? LATHE_OK : oom(folder, err);
}

static int32_t read_entries(const char *folder, const lathe_json *doc, lathe_arena *arena,
                            lathe_manifest *m, lathe_error *err) {
    const cJSON *root = lathe_json_root(doc), *files = lathe_json_get(root, "files"), *node;
    int64_t format = 0;
    if (!lathe_json_int64(doc, lathe_json_get(root, "lathe_backup"), &format) || format < 1)
        return corrupt(folder, err, "manifest.json is not the manifest of a backup");
    if (format > FORMAT)
        return lathe_fail(err, LATHE_E_VERSION, folder,
                          "the backup has format %lld and this program knows up to %d; use the "
                          "newer Lathe that wrote it",
                          (long long)format, FORMAT);
    if (!lathe_json_int64(doc, lathe_json_get(root, "created_us"), &m->created) ||
        !cJSON_IsArray(files))
        return corrupt(folder, err, "manifest.json has no date or no list of files");
    m->items = lathe_arena_array(arena, (size_t)cJSON_GetArraySize(files), sizeof *m->items);
    if (m->items == NULL)
        return oom(folder, err);
    int32_t rc = LATHE_OK;
    cJSON_ArrayForEach(node, files) {
        rc = read_file_entry(folder, doc, node, arena, &m->items[m->count], err);
        if (rc != LATHE_OK)
            return rc;
        m->bytes += m->items[m->count++].bytes;
    }
    // Writer's order: it makes look-ups a bisection, and tells doubles.
    for (size_t i = 0; i + 1 < m->count; i++)
        if (strcmp(m->items[i].path, m->items[i + 1].path) >= 0)
            return corrupt(folder, err, "the files in manifest.json are not in order");
    if (m->count == 0 || strcmp(m->items[m->count - 1].path, "lathe.db") != 0)
        return corrupt(folder, err, "manifest.json names no database");
    return LATHE_OK;
}

static int32_t read_in(const char *folder, const char *name, char **text, size_t *len,
                       lathe_error *err) {
    char *path = lathe_path_join(folder, name);
    if (path == NULL)
        return oom(folder, err);
    int32_t rc = lathe_read_file(path, LIMIT, text, len, err);
    free(path);
    return rc;
}

int32_t lathe_manifest_read(const char *folder, lathe_arena *arena, lathe_manifest *m,
                            lathe_error *err) {
    char *sums = NULL, *json = NULL, own[LATHE_SHA256_HEX];
    size_t sums_len = 0, json_len = 0;
    lathe_json *doc = NULL;
    lathe_buf expected = {0};
    const lathe_json_limits limits = {.max_bytes = LIMIT};
    memset(m, 0, sizeof *m);
    int32_t rc = read_in(folder, "SHA256SUMS", &sums, &sums_len, err);
    if (rc == LATHE_E_NOT_FOUND)
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, folder,
                        "there is no finished backup here: SHA256SUMS is missing");
    if (rc == LATHE_OK)
        rc = read_in(folder, "manifest.json", &json, &json_len, err);
    if (rc == LATHE_E_NOT_FOUND && sums != NULL)
        rc = corrupt(folder, err, "manifest.json is missing");
    if (rc == LATHE_OK && !lathe_sha256_hex(json, json_len, own))
        rc = oom(folder, err);
    if (rc == LATHE_OK) {
        doc = lathe_json_read(json, json_len, "manifest.json", &limits, NULL);
        rc = doc != NULL ? read_entries(folder, doc, arena, m, err)
                         : corrupt(folder, err, "manifest.json is no JSON document");
    }
    if (rc == LATHE_OK) {
        sums_text(m, own, &expected);
        if (expected.failed)
            rc = oom(folder, err);
        else if (expected.len != sums_len || memcmp(lathe_buf_str(&expected), sums, sums_len) != 0)
            rc = corrupt(folder, err, "manifest.json and SHA256SUMS do not agree");
    }
    lathe_buf_free(&expected);
    lathe_json_free(doc);
    free(json);
    free(sums);
    return rc;
}

static int by_path(const void *key, const void *item) {
    return strcmp(key, ((const lathe_manifest_file *)item)->path);
}

bool lathe_manifest_has(const lathe_manifest *m, const char *sha256) {
    char path[128];
    snprintf(path, sizeof path, "artifacts/sha256/%.2s/%.64s", sha256, sha256);
    return bsearch(path, m->items, m->count, sizeof *m->items, by_path) != NULL;
}
