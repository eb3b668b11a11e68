/* Node metadata: {"attributes": {name: {"i": "…"} | {"n": "hex float"} | {"s": "…"} | {"S": […]}}, "children": [names],
 * "config", "digest", "plugin", "state_version", "task", "tensors": [names], "version"}. Integers are decimal texts, numbers
 * C99 hexadecimal floats, so nothing is rounded; a string that is no JSON text is {"hex": "…"}, a missing one null. */
#include "model/state_file.h"

#include "base/jsonw.h"
#include "base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 24
#define MAX_PREFIX 900

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a model's state");
}

/* ---- writing ---- */

static void put_string(lathe_jsonw *j, lathe_str s) {
    if (s.ptr == NULL) { /* missing */
        lathe_jsonw_null(j);
        return;
    }
    const bool text = s.len == 0 || (lathe_utf8_valid(s.ptr, (size_t)s.len, NULL) &&
                                     memchr(s.ptr, 0, (size_t)s.len) == NULL);
    if (text) {
        lathe_jsonw_strn(j, s.len ? s.ptr : "", (size_t)s.len);
        return;
    }
    char *hex = malloc((size_t)s.len * 2 + 1);
    if (hex != NULL)
        lathe_hex((const uint8_t *)s.ptr, (size_t)s.len, hex);
    lathe_jsonw_begin_object(j);
    lathe_jsonw_kv_str(j, "hex", hex);
    lathe_jsonw_end_object(j);
    free(hex);
}

static void put_attribute(lathe_jsonw *j, const lathe_state_attribute *a) {
    char text[64];
    lathe_jsonw_key(j, a->name);
    lathe_jsonw_begin_object(j);
    switch (a->type) {
    case LATHE_STATE_INTEGER:
        snprintf(text, sizeof text, "%lld", (long long)a->integer);
        lathe_jsonw_kv_str(j, "i", text);
        break;
    case LATHE_STATE_NUMBER:
        if (isnan(a->number))
            snprintf(text, sizeof text, "nan");
        else
            snprintf(text, sizeof text, "%a", a->number);
        lathe_jsonw_kv_str(j, "n", text);
        break;
    case LATHE_STATE_STRING:
        lathe_jsonw_key(j, "s");
        put_string(j, a->strings[0]);
        break;
    default:
        lathe_jsonw_key(j, "S");
        lathe_jsonw_begin_array(j);
        for (int64_t i = 0; i < a->n; i++)
            put_string(j, a->strings[i]);
        lathe_jsonw_end_array(j);
    }
    lathe_jsonw_end_object(j);
}

static void put_node(lathe_buf *out, const lathe_state *node) {
    const lathe_state_identity *who = lathe_state_who(node);
    lathe_jsonw j = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&j);
    lathe_jsonw_key(&j, "attributes");
    lathe_jsonw_begin_object(&j);
    for (size_t i = 0; i < lathe_state_attribute_count(node); i++)
        put_attribute(&j, lathe_state_attribute_at(node, i));
    lathe_jsonw_end_object(&j);
    lathe_jsonw_key(&j, "children");
    lathe_jsonw_begin_array(&j);
    for (size_t i = 0; i < lathe_state_child_count(node); i++) {
        const char *name;
        lathe_state_child_at(node, i, &name);
        lathe_jsonw_str(&j, name);
    }
    lathe_jsonw_end_array(&j);
    lathe_jsonw_kv_str(&j, "config", who->config);
    lathe_jsonw_kv_str(&j, "digest", who->digest);
    lathe_jsonw_kv_str(&j, "plugin", who->plugin);
    lathe_jsonw_kv_int(&j, "state_version", who->state_version);
    lathe_jsonw_kv_int(&j, "task", who->task);
    lathe_jsonw_key(&j, "tensors");
    lathe_jsonw_begin_array(&j);
    for (size_t i = 0; i < lathe_state_tensor_count(node); i++)
        lathe_jsonw_str(&j, lathe_state_tensor_at(node, i)->name);
    lathe_jsonw_end_array(&j);
    lathe_jsonw_kv_str(&j, "version", who->version);
    lathe_jsonw_end_object(&j);
}

static int32_t put_tree(lathe_st_writer *w, const char *prefix, const lathe_state *node, int depth,
                        lathe_error *err) {
    char name[MAX_PREFIX + 200];
    lathe_buf text = {0};
    if (depth > MAX_DEPTH || strlen(prefix) > MAX_PREFIX)
        return lathe_fail(err, LATHE_E_UNSUPPORTED, prefix,
                          "plugins are nested too deeply to be saved");
    put_node(&text, node);
    snprintf(name, sizeof name, "node:%s", prefix);
    int32_t rc = text.failed ? no_memory(err) : lathe_st_meta(w, name, lathe_buf_str(&text), err);
    lathe_buf_free(&text);
    for (size_t i = 0; rc == LATHE_OK && i < lathe_state_tensor_count(node); i++) {
        const lathe_state_tensor *t = lathe_state_tensor_at(node, i);
        snprintf(name, sizeof name, "%s.%s", prefix, t->name);
        rc = lathe_st_add(w, name, t->dtype, t->bits, t->ndim, t->shape, t->data, err);
    }
    for (size_t i = 0; rc == LATHE_OK && i < lathe_state_child_count(node); i++) {
        const char *child_name;
        const lathe_state *child = lathe_state_child_at(node, i, &child_name);
        snprintf(name, sizeof name, "%s/%s", prefix, child_name);
        rc = put_tree(w, name, child, depth + 1, err);
    }
    return rc;
}

int32_t lathe_state_put(lathe_st_writer *w, const char *prefix, const lathe_state *node,
                        lathe_error *err) {
    return put_tree(w, prefix, node, 0, err);
}

/* ---- reading ---- */

static int32_t corrupt(const char *prefix, lathe_error *err, const char *what) {
    return lathe_fail(err, LATHE_E_CORRUPT, prefix, "the saved state is damaged: %s", what);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string node into malloc'ed bytes. */
static bool get_string(const cJSON *node, lathe_str *out) {
    *out = (lathe_str){NULL, 0};
    if (cJSON_IsNull(node))
        return true;
    const cJSON *hex = lathe_json_get(node, "hex");
    const char *text = cJSON_IsString(node)  ? node->valuestring
                       : cJSON_IsString(hex) ? hex->valuestring
                                             : NULL;
    if (text == NULL)
        return false;
    const size_t len = strlen(text);
    char *bytes = malloc(len + 1);
    if (bytes == NULL || (hex != NULL && len % 2 != 0)) {
        free(bytes);
        return false;
    }
    out->ptr = bytes;
    out->len = (int64_t)(hex ? len / 2 : len);
    if (hex == NULL) {
        memcpy(bytes, text, len + 1);
        return true;
    }
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            free(bytes);
            return false;
        }
        bytes[i] = (char)(high * 16 + low);
    }
    return true;
}

static int32_t get_strings(lathe_state *node, const char *name, const cJSON *list,
                           lathe_error *err) {
    const int n = cJSON_GetArraySize(list);
    lathe_str *strings = calloc((size_t)n + 1, sizeof *strings);
    int32_t rc = strings ? LATHE_OK : no_memory(err);
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (rc != LATHE_OK)
            break;
        if (!get_string(item, &strings[i]))
            rc = corrupt(name, err, "a text is none");
        else
            i++;
    }
    if (rc == LATHE_OK)
        rc = lathe_state_add_strings(node, name, strings, n, err);
    for (int k = 0; k < i; k++)
        free((char *)(uintptr_t)strings[k].ptr);
    free(strings);
    return rc;
}

static int32_t get_attribute(lathe_state *node, const cJSON *item, lathe_error *err) {
    const char *name = item->string;
    const cJSON *value = item->child;
    char *end = NULL;
    if (value == NULL || value->next != NULL || value->string == NULL)
        return corrupt(name, err, "an attribute is not of the form {type: value}");
    if (strcmp(value->string, "i") == 0 && cJSON_IsString(value)) {
        errno = 0;
        long long v = strtoll(value->valuestring, &end, 10);
        if (errno == 0 && end != value->valuestring && *end == 0)
            return lathe_state_add_integer(node, name, v, err);
    } else if (strcmp(value->string, "n") == 0 && cJSON_IsString(value)) {
        double v = strtod(value->valuestring, &end);
        if (end != value->valuestring && *end == 0)
            return lathe_state_add_number(node, name, v, err);
    } else if (strcmp(value->string, "s") == 0) {
        lathe_str s;
        if (get_string(value, &s)) {
            int32_t rc = lathe_state_add_string(node, name, s, err);
            free((char *)(uintptr_t)s.ptr);
            return rc;
        }
    } else if (strcmp(value->string, "S") == 0 && cJSON_IsArray(value)) {
        return get_strings(node, name, value, err);
    }
    return corrupt(name, err, "an attribute has no value of its type");
}

static int32_t get_tensor(lathe_st_file *file, const char *prefix, lathe_state *node,
                          const cJSON *item, lathe_error *err) {
    char name[MAX_PREFIX + 200];
    if (!cJSON_IsString(item))
        return corrupt(prefix, err, "a tensor's name is no text");
    snprintf(name, sizeof name, "%s.%s", prefix, item->valuestring);
    const lathe_st_tensor *t = lathe_st_find(file, name);
    if (t == NULL)
        return corrupt(name, err, "the tensor is not in the file");
    int32_t rc = lathe_st_check(t, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_tensor view = {.data = (void *)(uintptr_t)t->data,
                               .device_type = LATHE_DEVICE_CPU,
                               .ndim = t->ndim,
                               .dtype = t->dtype,
                               .bits = t->bits,
                               .lanes = 1,
                               .shape = t->shape};
    /* a file of another writer may be aligned to less than an element */
    const bool copy = (uintptr_t)t->data % 64 != 0;
    return lathe_state_add_tensor(node, item->valuestring, &view, copy, err);
}

static void release_file(void *file) {
    lathe_st_close(file);
}

static int32_t new_node(const char *prefix, const cJSON *root, lathe_state **node,
                        lathe_error *err) {
    const cJSON *plugin = lathe_json_get(root, "plugin"),
                *version = lathe_json_get(root, "version");
    const cJSON *digest = lathe_json_get(root, "digest"), *config = lathe_json_get(root, "config");
    const cJSON *state = lathe_json_get(root, "state_version"),
                *task = lathe_json_get(root, "task");
    if (!cJSON_IsString(plugin) || !cJSON_IsString(version) || !cJSON_IsString(digest) ||
        !cJSON_IsString(config) || !cJSON_IsNumber(state) || !cJSON_IsNumber(task) ||
        !(state->valuedouble >= 0 && state->valuedouble < 4e9) || !(fabs(task->valuedouble) < 1000))
        return corrupt(prefix, err, "it does not say which plugin it belongs to");
    const lathe_state_identity who = {.plugin = plugin->valuestring,
                                      .version = version->valuestring,
                                      .digest = digest->valuestring,
                                      .state_version = (uint32_t)state->valuedouble,
                                      .task = (int32_t)task->valuedouble,
                                      .config = config->valuestring};
    return lathe_state_new(&who, node, err);
}

static int32_t get_tree(lathe_st_file *file, const char *prefix, int depth, int *budget,
                        lathe_state **out, lathe_error *err) {
    char name[MAX_PREFIX + 200];
    lathe_state *node = NULL;
    *out = NULL;
    if (depth > MAX_DEPTH || strlen(prefix) > MAX_PREFIX || --*budget < 0)
        return corrupt(prefix, err, "plugins are nested too deeply");
    snprintf(name, sizeof name, "node:%s", prefix);
    const char *text = lathe_st_get_meta(file, name);
    if (text == NULL)
        return corrupt(prefix, err, "the part is not in the file");
    const lathe_json_limits limits = {.no_places = true};
    lathe_json *doc = lathe_json_read(text, strlen(text), prefix, &limits, err);
    if (doc == NULL)
        return corrupt(prefix, err, "its description is no JSON");
    const cJSON *root = lathe_json_root(doc), *item;
    int32_t rc = new_node(prefix, root, &node, err);
    cJSON_ArrayForEach(item, lathe_json_get(root, "attributes")) {
        if (rc == LATHE_OK)
            rc = get_attribute(node, item, err);
    }
    cJSON_ArrayForEach(item, lathe_json_get(root, "tensors")) {
        if (rc == LATHE_OK)
            rc = get_tensor(file, prefix, node, item, err);
    }
    if (rc == LATHE_OK)
        lathe_state_on_free(node, release_file, lathe_st_retain(file));
    cJSON_ArrayForEach(item, lathe_json_get(root, "children")) {
        lathe_state *child = NULL;
        if (rc != LATHE_OK)
            break;
        if (!cJSON_IsString(item)) {
            rc = corrupt(prefix, err, "a part's name is no text");
            break;
        }
        snprintf(name, sizeof name, "%s/%s", prefix, item->valuestring);
        rc = get_tree(file, name, depth + 1, budget, &child, err);
        if (rc == LATHE_OK)
            rc = lathe_state_add_child(node, item->valuestring, child, err);
        if (rc != LATHE_OK)
            lathe_state_free(child);
    }
    lathe_json_free(doc);
    if (rc != LATHE_OK) {
        lathe_state_free(node);
        return rc;
    }
    *out = node;
    return LATHE_OK;
}

int32_t lathe_state_get(lathe_st_file *file, const char *prefix, lathe_state **node,
                        lathe_error *err) {
    int budget = 100000;
    return get_tree(file, prefix, 0, &budget, node, err);
}
