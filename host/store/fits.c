#include "store/fits.h"

#include "base/buf.h"
#include "base/json.h"
#include "model/model.h"
#include "store/store.h"

#include <string.h>

#define NAMED 3 /* columns that a message names */

void lathe_fits_columns(const cJSON *validation, const cJSON *description, const char *endpoint,
                        cJSON *missing) {
    const cJSON *rule, *column;
    cJSON_ArrayForEach(rule, lathe_json_get(validation, "columns")) {
        bool found = false;
        cJSON_ArrayForEach(column, lathe_json_get(description, "schema")) {
            const char *name = cJSON_GetStringValue(lathe_json_get(column, "name"));
            found = found || (name != NULL && strcmp(name, rule->string) == 0);
        }
        if (found)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "endpoint", endpoint);
        cJSON_AddStringToObject(item, "column", rule->string);
        cJSON_AddItemToArray(missing, item);
    }
}

/* The model's description, read where the first endpoint has rules for columns. */
typedef struct asked {
    lathe_store *store;
    const lathe_fits_question *question;
    lathe_arena *arena;
    cJSON *description, *missing;
} asked;

static int32_t ask_endpoint(asked *a, const lathe_endpoint_record *e, lathe_error *err) {
    cJSON *settings = cJSON_Parse(e->settings);
    const cJSON *validation = lathe_json_get(settings, "validation");
    const char *path;
    int32_t rc = LATHE_OK;
    if (cJSON_GetArraySize(lathe_json_get(validation, "columns")) > 0) {
        if (a->description == NULL) {
            rc = lathe_store_artifact_path(a->store, a->question->sha256, false, a->arena, &path,
                                           err);
            if (rc == LATHE_OK)
                rc = lathe_model_describe(path, &a->description, err);
        }
        if (rc == LATHE_OK)
            lathe_fits_columns(validation, a->description, e->name, a->missing);
    }
    cJSON_Delete(settings);
    return rc;
}

static bool is_asked(const lathe_fits_question *q, const lathe_endpoint_record *e) {
    return (q->endpoint != NULL && strcmp(e->name, q->endpoint) == 0) ||
           (q->alias != NULL && strcmp(e->alias, q->alias) == 0 && strcmp(e->model, q->model) == 0);
}

static int32_t ask_all(asked *a, lathe_error *err) {
    lathe_endpoint_list all;
    int32_t rc = lathe_store_endpoints(a->store, a->arena, &all, err);
    for (size_t i = 0; rc == LATHE_OK && i < all.count; i++)
        if (is_asked(a->question, &all.items[i]))
            rc = ask_endpoint(a, &all.items[i], err);
    return rc;
}

static int32_t find_missing(lathe_store *store, const lathe_fits_question *q, cJSON **missing,
                            lathe_error *err) {
    asked a = {store, q, lathe_arena_new(), NULL, cJSON_CreateArray()};
    int32_t rc = a.arena != NULL && a.missing != NULL
                     ? ask_all(&a, err)
                     : lathe_fail(err, LATHE_E_MEMORY, q->model, "out of memory");
    cJSON_Delete(a.description);
    lathe_arena_free(a.arena);
    *missing = a.missing;
    return rc;
}

static int32_t refuse(const lathe_fits_question *q, const cJSON *missing, lathe_error *err) {
    const cJSON *item;
    lathe_buf text = {0};
    const int count = cJSON_GetArraySize(missing);
    int n = 0;
    cJSON_ArrayForEach(item, missing) {
        if (n++ < NAMED)
            lathe_buf_printf(&text, "%sendpoint '%s' has a validation rule for the column '%.80s'",
                             n > 1 ? ", " : "",
                             cJSON_GetStringValue(lathe_json_get(item, "endpoint")),
                             cJSON_GetStringValue(lathe_json_get(item, "column")));
    }
    if (count > NAMED)
        lathe_buf_printf(&text, " and %d more", count - NAMED);
    lathe_buf_printf(&text,
                     ", which %s does not take; change the rules first (PUT "
                     "/api/v1/endpoints/NAME with \"validation\")",
                     q->label);
    const int32_t rc = lathe_fail(err, LATHE_E_STATE, q->model, "%s", lathe_buf_str(&text));
    lathe_buf_free(&text);
    return rc;
}

int32_t lathe_fits_check(lathe_store *store, const lathe_fits_question *q, cJSON **missing,
                         lathe_error *err) {
    cJSON *list = NULL;
    int32_t rc = find_missing(store, q, &list, err);
    if (rc == LATHE_OK && cJSON_GetArraySize(list) > 0)
        rc = refuse(q, list, err);
    if (missing != NULL)
        *missing = list;
    else
        cJSON_Delete(list);
    return rc;
}

int32_t lathe_fits_override(lathe_store *store, const lathe_fits_question *q, const char *reason,
                            lathe_error *err) {
    cJSON *list = NULL, *detail = cJSON_CreateObject();
    int32_t rc = find_missing(store, q, &list, err);
    const bool any = cJSON_GetArraySize(list) > 0;
    cJSON_AddStringToObject(detail, "reason", reason != NULL ? reason : "");
    cJSON_AddItemToObject(detail, "columns", list);
    char *text = rc == LATHE_OK ? cJSON_PrintUnformatted(detail) : NULL;
    if (rc == LATHE_OK && text == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, q->model, "out of memory");
    if (rc == LATHE_OK && any)
        rc = lathe_store_audit_add(store, "validation.overridden", q->label, text, err);
    cJSON_free(text);
    cJSON_Delete(detail);
    return rc;
}
