/* data/schema.c: names, types, dictionaries, and their JSON. See schema.h. */
#include "data/schema.h"

#include "base/utf8.h"
#include "data/memory.h"
#include "data/schema_internal.h"
#include "data/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DICT_MAX (INT64_C(1) << 30)

static const char *const type_names[] = {NULL,        "float64",  "int64",
                                         "timestamp", "category", "string"};

const char *lathe_type_name(int32_t type) {
    return type >= LATHE_COLUMN_FLOAT64 && type <= LATHE_COLUMN_STRING ? type_names[type] : NULL;
}

int32_t lathe_type_parse(const char *name) {
    for (int32_t t = LATHE_COLUMN_FLOAT64; name != NULL && t <= LATHE_COLUMN_STRING; t++) {
        if (strcmp(name, type_names[t]) == 0)
            return t;
    }
    return 0;
}

void lathe_schema_free(lathe_schema *schema) {
    if (schema == NULL)
        return;
    for (int64_t i = 0; i < schema->table.n_columns; i++) {
        free((char *)(uintptr_t)schema->columns[i].name);
        lathe_blob_unref(schema->dicts[i]);
        free(schema->order[i]);
    }
    free(schema->columns);
    free(schema->dicts);
    free(schema->order);
    free(schema);
}

const lathe_table *lathe_schema_table(const lathe_schema *schema) {
    return &schema->table;
}

bool lathe_schema_equal(const lathe_schema *a, const lathe_schema *b) {
    if (a == NULL || b == NULL)
        return a == b;
    if (a->table.n_columns != b->table.n_columns)
        return false;
    for (int64_t i = 0; i < a->table.n_columns; i++) {
        const lathe_column *x = &a->columns[i], *y = &b->columns[i];
        if (strcmp(x->name, y->name) != 0 || x->type != y->type || x->dict_size != y->dict_size)
            return false;
        for (int64_t k = 0; k < x->dict_size; k++) {
            if (!lathe_str_equal(x->dict[k], y->dict[k]))
                return false;
        }
    }
    return true;
}

/* ---- making ---- */

static int by_bytes(const void *a, const void *b, void *dict) {
    const lathe_str *d = dict;
    return lathe_str_compare(d[*(const int32_t *)a], d[*(const int32_t *)b]);
}

static int32_t check_dict(const lathe_column *c, lathe_error *err) {
    if (c->dict_size < 0 || c->dict_size > DICT_MAX || (c->dict_size > 0 && c->dict == NULL))
        return lathe_fail(err, LATHE_E_INVALID, c->name, "a dictionary of %lld values cannot be",
                          (long long)c->dict_size);
    for (int64_t k = 0; k < c->dict_size; k++) {
        if (c->dict[k].ptr == NULL || c->dict[k].len < 0)
            return lathe_fail(err, LATHE_E_INVALID, c->name,
                              "value %lld of the dictionary is no text", (long long)k);
    }
    return LATHE_OK;
}

/* Copies the dictionary and sorts its codes by their texts, for searching. */
static int32_t set_dict(lathe_schema *s, int64_t column, const lathe_column *from,
                        lathe_error *err) {
    lathe_column *c = &s->columns[column];
    int64_t n = from->dict_size;
    int32_t code = check_dict(from, err);
    if (code != LATHE_OK)
        return code;
    s->dicts[column] = dict_blob(from->dict, n);
    lathe_str *dict = lathe_blob_data(s->dicts[column]);
    int32_t *order = malloc((size_t)(n > 0 ? n : 1) * sizeof *order);
    c->dict = dict;
    s->order[column] = order;
    if (s->dicts[column] == NULL || order == NULL)
        return lathe_fail_memory(err, c->name, "the dictionary");
    c->dict_size = n;
    for (int64_t k = 0; k < n; k++)
        order[k] = (int32_t)k;
    qsort_r(order, (size_t)n, sizeof *order, by_bytes, dict);
    for (int64_t k = 1; k < n; k++) {
        if (lathe_str_equal(dict[order[k - 1]], dict[order[k]]))
            return lathe_fail(err, LATHE_E_INVALID, c->name,
                              "the dictionary has '%.*s' twice; its values must differ",
                              (int)(dict[order[k]].len < 60 ? dict[order[k]].len : 60),
                              dict[order[k]].ptr);
    }
    return LATHE_OK;
}

static int32_t set_column(lathe_schema *s, int64_t column, const lathe_column *from,
                          lathe_error *err) {
    if (from->name == NULL || from->name[0] == 0)
        return lathe_fail(err, LATHE_E_INVALID, "schema", "column %lld has no name; give it one",
                          (long long)column + 1);
    if (lathe_type_name(from->type) == NULL)
        return lathe_fail(err, LATHE_E_INVALID, from->name, "the column has the unknown type %d",
                          (int)from->type);
    s->columns[column] = (lathe_column){.name = strdup(from->name), .type = from->type};
    s->table.n_columns = column + 1; /* what free looks at */
    if (s->columns[column].name == NULL)
        return lathe_fail_memory(err, "schema", "a column");
    return from->type == LATHE_COLUMN_CATEGORY ? set_dict(s, column, from, err) : LATHE_OK;
}

static int by_name(const void *a, const void *b, void *columns) {
    const lathe_column *c = columns;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    int side = strcmp(c[x].name, c[y].name);
    return side != 0 ? side : (x > y) - (x < y);
}

/* Sorted, for a table may have tens of thousands of columns. */
static int32_t check_names(lathe_schema *s, lathe_error *err) {
    int64_t n = s->table.n_columns;
    int64_t *order = malloc(((size_t)n + 1) * sizeof *order);
    int32_t code = LATHE_OK;
    if (order == NULL)
        return lathe_fail_memory(err, "schema", "a schema");
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, (size_t)n, sizeof *order, by_name, s->columns);
    for (int64_t i = 1; code == LATHE_OK && i < n; i++) {
        const char *name = s->columns[order[i]].name;
        if (strcmp(s->columns[order[i - 1]].name, name) == 0)
            code = lathe_fail(err, LATHE_E_INVALID, name,
                              "columns %lld and %lld have the same name '%s'; rename one",
                              (long long)order[i - 1] + 1, (long long)order[i] + 1, name);
    }
    free(order);
    return code;
}

/* An empty schema with room for n columns. */
static int32_t new_schema(int64_t n, lathe_schema **schema, lathe_error *err) {
    lathe_schema *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lathe_fail_memory(err, "schema", "a schema");
    s->columns = calloc((size_t)n + 1, sizeof *s->columns);
    s->dicts = calloc((size_t)n + 1, sizeof *s->dicts);
    s->order = calloc((size_t)n + 1, sizeof *s->order);
    s->table.columns = s->columns;
    if (s->columns == NULL || s->dicts == NULL || s->order == NULL) {
        lathe_schema_free(s);
        return lathe_fail_memory(err, "schema", "a schema");
    }
    *schema = s;
    return LATHE_OK;
}

int32_t lathe_schema_from_table(const lathe_table *table, lathe_schema **schema, lathe_error *err) {
    lathe_schema *s = NULL;
    *schema = NULL;
    int32_t code = new_schema(table->n_columns, &s, err);
    for (int64_t i = 0; code == LATHE_OK && i < table->n_columns; i++)
        code = set_column(s, i, &table->columns[i], err);
    if (code == LATHE_OK)
        code = check_names(s, err);
    if (code != LATHE_OK) {
        lathe_schema_free(s);
        return code;
    }
    *schema = s;
    return LATHE_OK;
}

int32_t lathe_schema_code(const lathe_schema *schema, int64_t column, lathe_str value) {
    const lathe_column *c = &schema->columns[column];
    const int32_t *order = schema->order[column];
    int64_t low = 0, high = c->dict_size;
    if (value.ptr == NULL)
        return LATHE_CODE_MISSING;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int side = lathe_str_compare(c->dict[order[middle]], value);
        if (side == 0)
            return order[middle];
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return LATHE_CODE_UNSEEN;
}

/* ---- JSON ---- */

/* A text as it is, or {"hex": "…"} where JSON cannot hold it. */
static cJSON *text_json(lathe_str text) {
    static const char digits[] = "0123456789abcdef";
    bool plain = lathe_utf8_valid(text.ptr, (size_t)text.len, NULL) &&
                 (text.len == 0 || memchr(text.ptr, 0, (size_t)text.len) == NULL);
    char *copy = malloc((size_t)text.len * (plain ? 1 : 2) + 1);
    if (copy == NULL)
        return NULL;
    size_t n = 0;
    for (int64_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (!plain)
            copy[n++] = digits[c >> 4];
        copy[n++] = plain ? (char)c : digits[c & 15];
    }
    copy[n] = 0;
    cJSON *json = plain ? cJSON_CreateString(copy) : cJSON_CreateObject();
    if (!plain && json != NULL && cJSON_AddStringToObject(json, "hex", copy) == NULL) {
        cJSON_Delete(json);
        json = NULL;
    }
    free(copy);
    return json;
}

static bool add_item(cJSON *list, cJSON *item) {
    if (item != NULL && cJSON_AddItemToArray(list, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool column_json(const lathe_column *c, cJSON *list) {
    cJSON *object = cJSON_CreateObject();
    if (!add_item(list, object))
        return false;
    if (cJSON_AddStringToObject(object, "name", c->name) == NULL ||
        cJSON_AddStringToObject(object, "type", lathe_type_name(c->type)) == NULL)
        return false;
    if (c->type != LATHE_COLUMN_CATEGORY)
        return true;
    cJSON *values = cJSON_AddArrayToObject(object, "values");
    if (values == NULL)
        return false;
    for (int64_t k = 0; k < c->dict_size; k++) {
        if (!add_item(values, text_json(c->dict[k])))
            return false;
    }
    return true;
}

cJSON *lathe_schema_to_json(const lathe_schema *schema) {
    cJSON *list = cJSON_CreateArray();
    for (int64_t i = 0; list != NULL && i < schema->table.n_columns; i++) {
        if (!column_json(&schema->columns[i], list)) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A dictionary value; `bytes` (malloc'ed) holds those of a hex one. False: neither form. */
static bool text_from_json(const cJSON *json, lathe_str *text, char **bytes) {
    if (cJSON_IsString(json)) {
        *text = lathe_str_of(json->valuestring);
        return true;
    }
    const cJSON *hex = cJSON_GetObjectItemCaseSensitive(json, "hex");
    if (!cJSON_IsObject(json) || !cJSON_IsString(hex))
        return false;
    size_t n = strlen(hex->valuestring);
    char *out = malloc(n / 2 + 1);
    *bytes = out;
    for (size_t i = 0; out != NULL && i + 1 < n; i += 2) {
        int high = hex_digit(hex->valuestring[i]), low = hex_digit(hex->valuestring[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (char)(high << 4 | low);
    }
    *text = (lathe_str){out, (int64_t)(n / 2)};
    return out != NULL && n % 2 == 0;
}

static int32_t dict_from_json(const cJSON *values, lathe_schema *s, int64_t at, lathe_column *c,
                              const char *where, lathe_error *err) {
    int64_t n = cJSON_IsArray(values) ? cJSON_GetArraySize(values) : -1, k = 0;
    if (n < 0)
        return lathe_fail(err, LATHE_E_CORRUPT, where,
                          "a category needs \"values\", the list of its texts");
    lathe_str *dict = calloc((size_t)n + 1, sizeof *dict);
    char **bytes = calloc((size_t)n + 1, sizeof *bytes);
    int32_t code =
        dict != NULL && bytes != NULL ? LATHE_OK : lathe_fail_memory(err, where, "the dictionary");
    const cJSON *item;
    cJSON_ArrayForEach(item, values) {
        if (code != LATHE_OK)
            break;
        if (!text_from_json(item, &dict[k], &bytes[k]))
            code = lathe_fail(err, LATHE_E_CORRUPT, where,
                              "value %lld is neither a text nor {\"hex\": \"…\"}", (long long)k);
        k++;
    }
    c->dict = dict;
    c->dict_size = n;
    if (code == LATHE_OK && (code = set_column(s, at, c, err)) != LATHE_OK && err != NULL &&
        code == LATHE_E_INVALID)
        err->code = code = LATHE_E_CORRUPT;
    for (int64_t i = 0; bytes != NULL && i < n; i++)
        free(bytes[i]);
    free(bytes);
    free(dict);
    return code;
}

static int32_t column_from_json(const cJSON *json, lathe_schema *s, int64_t at, lathe_error *err) {
    char where[64];
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "name");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type");
    snprintf(where, sizeof where, "schema/%lld", (long long)at);
    if (!cJSON_IsObject(json) || !cJSON_IsString(name) || !cJSON_IsString(type))
        return lathe_fail(err, LATHE_E_CORRUPT, where,
                          "a column is an object with the texts \"name\" and \"type\"");
    lathe_column c = {.name = name->valuestring, .type = lathe_type_parse(type->valuestring)};
    if (c.type == 0)
        return lathe_fail(
            err, LATHE_E_CORRUPT, where,
            "'%.40s' is no type; they are float64, int64, timestamp, category, string",
            type->valuestring);
    if (c.type == LATHE_COLUMN_CATEGORY)
        return dict_from_json(cJSON_GetObjectItemCaseSensitive(json, "values"), s, at, &c, where,
                              err);
    int32_t code = set_column(s, at, &c, err);
    if (code == LATHE_E_INVALID) {
        code = LATHE_E_CORRUPT;
        if (err != NULL)
            err->code = code;
    }
    return code;
}

int32_t lathe_schema_from_json(const cJSON *json, lathe_schema **schema, lathe_error *err) {
    *schema = NULL;
    if (!cJSON_IsArray(json))
        return lathe_fail(err, LATHE_E_CORRUPT, "schema", "a schema is a list of columns");
    lathe_schema *s = NULL;
    int32_t code = new_schema(cJSON_GetArraySize(json), &s, err);
    int64_t at = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (code != LATHE_OK)
            break;
        code = column_from_json(item, s, at++, err);
    }
    if (code == LATHE_OK && (code = check_names(s, err)) == LATHE_E_INVALID) {
        code = LATHE_E_CORRUPT;
        if (err != NULL)
            err->code = code;
    }
    if (code != LATHE_OK) {
        lathe_schema_free(s);
        return code;
    }
    *schema = s;
    return LATHE_OK;
}
