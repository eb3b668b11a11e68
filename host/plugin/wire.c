#include "plugin/wire.h"

#include "plugin/check.h"

#include <lathe/param.h>
#include <string.h>

/* ---- writing ---- */

static void write_params(const lathe_param *params, uint32_t n, lathe_jsonw *w);

static void put_uint(lathe_jsonw *w, const char *key, uint64_t v) {
    lathe_jsonw_key(w, key);
    lathe_jsonw_uint(w, v);
}

static void write_param(const lathe_param *p, lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "name", p->name);
    lathe_jsonw_kv_str(w, "doc", p->doc);
    put_uint(w, "type", (uint32_t)p->type);
    put_uint(w, "flags", p->flags);
    put_uint(w, "offset", p->offset);
    put_uint(w, "scale", (uint32_t)p->scale);
    lathe_jsonw_kv_str(w, "def", p->def);
    if (p->by_task != NULL) {
        lathe_jsonw_key(w, "by_task");
        lathe_jsonw_begin_array(w);
        for (const lathe_task_default *t = p->by_task; t->task != 0; t++) {
            lathe_jsonw_begin_object(w);
            put_uint(w, "task", (uint32_t)t->task);
            lathe_jsonw_kv_str(w, "value", t->value);
            lathe_jsonw_end_object(w);
        }
        lathe_jsonw_end_array(w);
    }
    if (p->flags & LATHE_PARAM_HAS_MIN)
        lathe_jsonw_kv_double(w, "min", p->min);
    if (p->flags & LATHE_PARAM_HAS_MAX)
        lathe_jsonw_kv_double(w, "max", p->max);
    if (p->choices != NULL) {
        lathe_jsonw_key(w, "choices");
        lathe_jsonw_begin_array(w);
        for (size_t i = 0; p->choices[i] != NULL; i++)
            lathe_jsonw_str(w, p->choices[i]);
        lathe_jsonw_end_array(w);
    }
    if (p->type == LATHE_PARAM_COMPONENT)
        lathe_jsonw_kv_str(w, "kind", p->kind);
    if (p->type == LATHE_PARAM_RECORD) {
        put_uint(w, "record_size", p->record_size);
        lathe_jsonw_key(w, "fields");
        write_params(p->fields, p->n_fields, w);
    }
    lathe_jsonw_kv_int(w, "min_count", p->min_count);
    lathe_jsonw_kv_int(w, "max_count", p->max_count);
    lathe_jsonw_kv_str(w, "unit", p->unit);
    lathe_jsonw_kv_str(w, "alias", p->alias);
    lathe_jsonw_end_object(w);
}

static void write_params(const lathe_param *params, uint32_t n, lathe_jsonw *w) {
    lathe_jsonw_begin_array(w);
    for (uint32_t i = 0; i < n; i++)
        write_param(&params[i], w);
    lathe_jsonw_end_array(w);
}

void lathe_wire_write(const lathe_descriptor *d, lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "id", d->id);
    lathe_jsonw_kv_str(w, "kind", d->kind);
    lathe_jsonw_kv_str(w, "name", d->name);
    lathe_jsonw_kv_str(w, "version", d->version);
    lathe_jsonw_kv_str(w, "doc", d->doc);
    lathe_jsonw_kv_str(w, "license", d->license);
    lathe_jsonw_kv_str(w, "url", d->url);
    put_uint(w, "flags", d->flags);
    put_uint(w, "concurrency", d->concurrency);
    put_uint(w, "cpu_required", d->cpu_required);
    put_uint(w, "state_version", d->state_version);
    put_uint(w, "state_version_min", d->state_version_min);
    put_uint(w, "config_size", d->config_size);
    put_uint(w, "tasks", d->tasks);
    lathe_jsonw_key(w, "params");
    write_params(d->params, d->n_params, w);
    lathe_jsonw_end_object(w);
}

/* ---- reading ---- */

/* Sticky: after the first fault everything reads as 0 or NULL. */
typedef struct reader {
    lathe_arena *arena;
    const lathe_json *doc;
    lathe_error *err;
    int32_t rc;
} reader;

static void bad(reader *r, const char *key) {
    if (r->rc == LATHE_OK)
        r->rc = lathe_fail(r->err, LATHE_E_CORRUPT, NULL,
                           "the description of a plugin has a wrong or missing \"%s\"", key);
}

static int64_t get_int(reader *r, const cJSON *object, const char *key, int64_t min, int64_t max) {
    int64_t v = 0;
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL || !lathe_json_int64(r->doc, node, &v) || v < min || v > max) {
        bad(r, key);
        return 0;
    }
    return v;
}

static uint32_t get_u32(reader *r, const cJSON *object, const char *key) {
    return (uint32_t)get_int(r, object, key, 0, UINT32_MAX);
}

static const char *copy(reader *r, const char *text) {
    const char *out = lathe_arena_strdup(r->arena, text);
    if (out == NULL && r->rc == LATHE_OK)
        r->rc = lathe_fail(r->err, LATHE_E_MEMORY, NULL, "out of memory");
    return out;
}

/* null and absent give NULL. */
static const char *get_text(reader *r, const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL || cJSON_IsNull(node))
        return NULL;
    if (!cJSON_IsString(node)) {
        bad(r, key);
        return NULL;
    }
    return copy(r, node->valuestring);
}

static double get_double(reader *r, const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    if (!cJSON_IsNumber(node)) {
        bad(r, key);
        return 0;
    }
    return node->valuedouble;
}

static void *get_array(reader *r, const cJSON *node, size_t max, size_t spare, size_t item,
                       size_t *n) {
    *n = (size_t)cJSON_GetArraySize(node);
    if (!cJSON_IsArray(node) || *n > max) {
        bad(r, "list");
        return NULL;
    }
    void *out = lathe_arena_array(r->arena, *n + spare, item);
    if (out == NULL && r->rc == LATHE_OK)
        r->rc = lathe_fail(r->err, LATHE_E_MEMORY, NULL, "out of memory");
    return out;
}

static const lathe_task_default *read_by_task(reader *r, const cJSON *node) {
    size_t n, i = 0;
    if (node == NULL)
        return NULL;
    lathe_task_default *out = get_array(r, node, 8, 1, sizeof *out, &n);
    if (out == NULL)
        return NULL;
    for (const cJSON *item = node->child; item != NULL; item = item->next, i++) {
        out[i].task = (int32_t)get_int(r, item, "task", 1, 64);
        out[i].value = get_text(r, item, "value");
    }
    return out;
}

static const char *const *read_choices(reader *r, const cJSON *node) {
    size_t n, i = 0;
    if (node == NULL)
        return NULL;
    const char **out = get_array(r, node, LATHE_MAX_CHOICES, 1, sizeof *out, &n);
    if (out == NULL)
        return NULL;
    for (const cJSON *item = node->child; item != NULL; item = item->next, i++) {
        if (!cJSON_IsString(item)) {
            bad(r, "choices");
            return NULL;
        }
        out[i] = copy(r, item->valuestring);
    }
    return out;
}

static const lathe_param *read_params(reader *r, const cJSON *node, uint32_t *n, int depth);

static void read_param(reader *r, const cJSON *node, lathe_param *p, int depth) {
    p->name = get_text(r, node, "name");
    p->doc = get_text(r, node, "doc");
    p->type = (int32_t)get_int(r, node, "type", 0, INT32_MAX);
    p->flags = get_u32(r, node, "flags");
    p->offset = get_u32(r, node, "offset");
    p->scale = (int32_t)get_int(r, node, "scale", 0, INT32_MAX);
    p->def = get_text(r, node, "def");
    p->by_task = read_by_task(r, lathe_json_get(node, "by_task"));
    if (p->flags & LATHE_PARAM_HAS_MIN)
        p->min = get_double(r, node, "min");
    if (p->flags & LATHE_PARAM_HAS_MAX)
        p->max = get_double(r, node, "max");
    p->choices = read_choices(r, lathe_json_get(node, "choices"));
    p->kind = get_text(r, node, "kind");
    if (p->type == LATHE_PARAM_RECORD) {
        p->record_size = get_u32(r, node, "record_size");
        p->fields = read_params(r, lathe_json_get(node, "fields"), &p->n_fields, depth + 1);
    }
    p->min_count = get_int(r, node, "min_count", 0, INT64_MAX);
    p->max_count = get_int(r, node, "max_count", 0, INT64_MAX);
    p->unit = get_text(r, node, "unit");
    p->alias = get_text(r, node, "alias");
}

static const lathe_param *read_params(reader *r, const cJSON *node, uint32_t *n, int depth) {
    size_t count, i = 0;
    *n = 0;
    if (depth > LATHE_MAX_PARAM_DEPTH) {
        bad(r, "fields");
        return NULL;
    }
    lathe_param *out = get_array(r, node, LATHE_MAX_PARAMS, 0, sizeof *out, &count);
    if (out == NULL)
        return NULL;
    for (const cJSON *item = node->child; item != NULL && r->rc == LATHE_OK; item = item->next)
        read_param(r, item, &out[i++], depth);
    *n = (uint32_t)count;
    return out;
}

int32_t lathe_wire_read(lathe_arena *arena, const lathe_json *doc, const cJSON *node,
                        const lathe_descriptor **out, lathe_error *err) {
    reader r = {arena, doc, err, LATHE_OK};
    *out = NULL;
    lathe_descriptor *d = lathe_arena_alloc(arena, sizeof *d);
    if (d == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    d->struct_size = LATHE_SIZED(lathe_descriptor);
    d->param_size = sizeof(lathe_param);
    d->id = get_text(&r, node, "id");
    d->kind = get_text(&r, node, "kind");
    d->name = get_text(&r, node, "name");
    d->version = get_text(&r, node, "version");
    d->doc = get_text(&r, node, "doc");
    d->license = get_text(&r, node, "license");
    d->url = get_text(&r, node, "url");
    d->flags = get_u32(&r, node, "flags");
    d->concurrency = get_u32(&r, node, "concurrency");
    d->cpu_required = get_u32(&r, node, "cpu_required");
    d->state_version = get_u32(&r, node, "state_version");
    d->state_version_min = get_u32(&r, node, "state_version_min");
    d->config_size = get_u32(&r, node, "config_size");
    d->tasks = get_u32(&r, node, "tasks");
    d->params = read_params(&r, lathe_json_get(node, "params"), &d->n_params, 0);
    if (r.rc != LATHE_OK)
        return r.rc;
    int32_t rc = lathe_check_descriptor(d, err);
    if (rc == LATHE_OK)
        *out = d;
    return rc;
}
