#include "base/fs.h"
#include "base/jsonw.h"
#include "plugin/catalogue_internal.h"

#include <lathe/abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_CACHE ((size_t)64 << 20)

/* The verdicts are those of this very program: another build of the same version may check otherwise. */
static const char *host_identity(char buf[128]) {
    struct stat st = {0};
    if (stat("/proc/self/exe", &st) != 0)
        st = (struct stat){0};
    snprintf(buf, 128, "%s %s %lld %lld.%09ld", LATHE_VERSION, LATHE_SDK_VERSION,
             (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return buf;
}

/* Begins the cache's object with what it goes by: this program, and each file's path, size, time and inode. */
static void begin_cache(lathe_jsonw *w, const lathe_file_record *files, size_t n) {
    lathe_buf text = {0};
    char host[128];
    lathe_buf_printf(&text, "%d %s\n", LATHE_CATALOGUE_FORMAT, host_identity(host));
    for (size_t i = 0; i < n; i++)
        if (!files[i].unsettled)
            lathe_buf_printf(&text, "%s %lld %lld %llu\n", files[i].file.path,
                             (long long)files[i].file.size, (long long)files[i].file.mtime_ns,
                             (unsigned long long)files[i].file.inode);
    lathe_jsonw_begin_object(w);
    if (!text.failed)
        lathe_jsonw_kv_str(w, "stamp", lathe_buf_str(&text));
    lathe_buf_free(&text);
}

bool lathe_cache_is_warm(const char *path, const lathe_file_record *files, size_t n) {
    lathe_buf want = {0};
    lathe_jsonw w = lathe_jsonw_to(&want);
    begin_cache(&w, files, n);
    lathe_buf_append_char(&want, ',');
    char *have = want.failed ? NULL : malloc(want.len);
    FILE *f = have != NULL ? fopen(path, "re") : NULL;
    const bool warm = f != NULL && fread(have, 1, want.len, f) == want.len &&
                      memcmp(have, want.data, want.len) == 0;
    if (f != NULL)
        fclose(f);
    free(have);
    lathe_buf_free(&want);
    return warm;
}

static bool text_is(const cJSON *node, const char *text) {
    return cJSON_IsString(node) && strcmp(node->valuestring, text) == 0;
}

static bool int_is(const lathe_json *doc, const cJSON *node, int64_t value) {
    int64_t v;
    return node != NULL && lathe_json_int64(doc, node, &v) && v == value;
}

static const char *const status_names[] = {"ready", "refused", "crashed", "hung"};

/* Takes a verdict over from the cache's entry; false: the entry is damaged. */
static bool take_entry(lathe_file_record *r, lathe_arena *arena, const cJSON *entry) {
    const cJSON *digest = lathe_json_get(entry, "digest");
    const cJSON *status = lathe_json_get(entry, "status");
    if (!cJSON_IsString(digest) || strlen(digest->valuestring) >= LATHE_SHA256_HEX)
        return false;
    int s = -1;
    for (int i = 0; i < 4; i++)
        if (text_is(status, status_names[i]))
            s = i;
    if (s < 0)
        return false;
    if (s == LATHE_FILE_READY) {
        const cJSON *plugins = lathe_json_get(entry, "plugins"),
                    *sdk = lathe_json_get(entry, "sdk");
        if (!cJSON_IsString(plugins) || !cJSON_IsString(sdk))
            return false;
        r->plugins = lathe_arena_strdup(arena, plugins->valuestring);
        r->file.sdk_version = lathe_arena_strdup(arena, sdk->valuestring);
        if (r->plugins == NULL || r->file.sdk_version == NULL)
            return false;
    } else {
        const cJSON *reason = lathe_json_get(entry, "reason");
        r->file.reason =
            cJSON_IsString(reason) ? lathe_arena_strdup(arena, reason->valuestring) : NULL;
        if (r->file.reason == NULL)
            return false;
    }
    snprintf(r->file.digest, sizeof r->file.digest, "%s", digest->valuestring);
    r->file.status = (lathe_file_status)s;
    return true;
}

static bool entry_fits(const lathe_file_record *r, const lathe_json *doc, const cJSON *entry) {
    char inode[24];
    snprintf(inode, sizeof inode, "%llu", (unsigned long long)r->file.inode);
    return text_is(lathe_json_get(entry, "path"), r->file.path) &&
           int_is(doc, lathe_json_get(entry, "size"), r->file.size) &&
           int_is(doc, lathe_json_get(entry, "mtime_ns"), r->file.mtime_ns) &&
           text_is(lathe_json_get(entry, "inode"), inode);
}

size_t lathe_cache_read(const char *path, lathe_arena *arena, lathe_file_record *files, size_t n) {
    char *text = NULL;
    char host[128];
    size_t len = 0, known = 0;
    lathe_json_limits limits = {.max_bytes = MAX_CACHE, .no_places = true};
    if (lathe_read_file(path, MAX_CACHE, &text, &len, NULL) != LATHE_OK)
        return 0;
    lathe_json *doc = lathe_json_read(text, len, path, &limits, NULL);
    free(text);
    if (doc == NULL)
        return 0;
    const cJSON *root = lathe_json_root(doc), *entries = lathe_json_get(root, "files");
    if (int_is(doc, lathe_json_get(root, "format"), LATHE_CATALOGUE_FORMAT) &&
        text_is(lathe_json_get(root, "host"), host_identity(host)) && cJSON_IsArray(entries)) {
        /* Both lists are in folder order, so the next entry is usually the one. */
        const cJSON *at = entries->child;
        for (size_t i = 0; i < n; i++) {
            const cJSON *e = at;
            if (e == NULL || !entry_fits(&files[i], doc, e))
                for (e = entries->child; e != NULL && !entry_fits(&files[i], doc, e);)
                    e = e->next;
            if (e == NULL || !take_entry(&files[i], arena, e))
                continue;
            files[i].file.cached = true;
            known++;
            at = e->next;
        }
    }
    lathe_json_free(doc);
    return known;
}

int32_t lathe_cache_write(const char *path, const lathe_file_record *files, size_t n,
                          lathe_error *err) {
    lathe_buf text = {0};
    char host[128];
    lathe_jsonw w = lathe_jsonw_to(&text);
    begin_cache(&w, files, n); /* first: lathe_cache_is_warm */
    lathe_jsonw_kv_int(&w, "format", LATHE_CATALOGUE_FORMAT);
    lathe_jsonw_kv_str(&w, "host", host_identity(host));
    lathe_jsonw_key(&w, "files");
    lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        const lathe_plugin_file *f = &files[i].file;
        char inode[24];
        if (files[i].unsettled)
            continue;
        snprintf(inode, sizeof inode, "%llu", (unsigned long long)f->inode);
        lathe_jsonw_begin_object(&w);
        lathe_jsonw_kv_str(&w, "path", f->path);
        lathe_jsonw_kv_int(&w, "size", f->size);
        lathe_jsonw_kv_int(&w, "mtime_ns", f->mtime_ns);
        lathe_jsonw_kv_str(&w, "inode", inode);
        lathe_jsonw_kv_str(&w, "digest", f->digest);
        lathe_jsonw_kv_str(&w, "status", status_names[f->status]);
        if (f->status == LATHE_FILE_READY) {
            lathe_jsonw_kv_str(&w, "sdk", f->sdk_version);
            lathe_jsonw_kv_str(&w, "plugins", files[i].plugins); /* a text: read when it is built */
        } else {
            lathe_jsonw_kv_str(&w, "reason", f->reason);
        }
        lathe_jsonw_end_object(&w);
    }
    lathe_jsonw_end_array(&w);
    lathe_jsonw_end_object(&w);
    int32_t rc;
    char *dir = lathe_path_dir(path);
    if (text.failed || dir == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    else if ((rc = lathe_mkdirs(dir, err)) == LATHE_OK)
        rc = lathe_write_file_atomic(path, text.data, text.len, err);
    free(dir);
    lathe_buf_free(&text);
    return rc;
}
