/* What an endpoint serves beside a change of its target: promotion, shares, keys. */
#include "base/clock.h"
#include "base/json.h"
#include "store/db.h"
#include "store/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t lathe_store_endpoint_serve(lathe_store *store, const lathe_endpoint_record *e,
                                   const char *model, int64_t version, const char *reason,
                                   lathe_error *err) {
    int32_t rc = lathe_store_version_need(store, model, version, err);
    if (rc != LATHE_OK)
        return rc;
    if (e->alias[0] != '\0' && strcmp(e->model, model) == 0)
        return lathe_store_alias_move(store, model, e->alias, version, "promote", reason, err);
    return lathe_store_endpoint_move(store, e->name, model, NULL, version, "promote", reason, err);
}

int32_t lathe_store_endpoint_promote(lathe_store *store, const char *name, const char *model,
                                     int64_t version, const char *reason, lathe_error *err) {
    lathe_endpoint_record e;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL ? lathe_store_check_name(model, "the model's name", err)
                               : lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc == LATHE_OK) {
        rc = lathe_store_endpoint(store, name, arena, &e, err);
        if (rc == LATHE_OK)
            rc = lathe_store_endpoint_serve(store, &e, model, version, reason, err);
        rc = lathe_db_end(store, rc, err);
    }
    lathe_arena_free(arena);
    return rc;
}

/* ---- settings ---- */

static int32_t fail_settings(lathe_error *err, const char *what) {
    return lathe_fail(err, LATHE_E_INVALID, "the endpoint's settings", "%s", what);
}

/* Only the members that are known. */
static int32_t check_keys(const cJSON *object, const char *const *keys, const char *what,
                          lathe_error *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        size_t k = 0;
        while (keys[k] != NULL && strcmp(keys[k], item->string) != 0)
            k++;
        if (keys[k] == NULL)
            return lathe_fail(err, LATHE_E_INVALID, "the endpoint's settings",
                              "%s has no member \"%.40s\"", what, item->string);
    }
    return LATHE_OK;
}

static int32_t check_share(lathe_store *store, const char *endpoint, const cJSON *share,
                           double *sum, lathe_error *err) {
    static const char *const keys[] = {"model", "version", "percent", NULL};
    const cJSON *model = lathe_json_get(share, "model"),
                *version = lathe_json_get(share, "version"),
                *percent = lathe_json_get(share, "percent");
    int32_t rc = check_keys(share, keys, "an entry of \"traffic\"", err);
    if (rc != LATHE_OK)
        return rc;
    if (!cJSON_IsString(model) || !cJSON_IsNumber(version) || version->valuedouble < 1 ||
        version->valuedouble > 1e9 || version->valuedouble != floor(version->valuedouble) ||
        !cJSON_IsNumber(percent) || !(percent->valuedouble > 0))
        return fail_settings(err, "an entry of \"traffic\" is {\"model\": name, \"version\": "
                                  "number, \"percent\": more than 0}");
    *sum += percent->valuedouble;
    rc = lathe_store_check_name(model->valuestring, "the model's name", err);
    if (rc == LATHE_OK)
        rc =
            lathe_store_version_need(store, model->valuestring, (int64_t)version->valuedouble, err);
    return rc == LATHE_OK ? lathe_store_may_serve(store, endpoint, model->valuestring, err) : rc;
}

static int32_t check_sticky(const cJSON *sticky, lathe_error *err) {
    const char *text = cJSON_IsString(sticky) ? sticky->valuestring : "";
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    if (strcmp(text, "id") == 0)
        return LATHE_OK;
    const size_t len = strncmp(text, "header:", 7) == 0 ? strlen(text + 7) : 0;
    if (len == 0 || len > 100 || strspn(text + 7, allowed) != len)
        return fail_settings(err,
                             "\"sticky\" is \"id\" or \"header:NAME\" with the header's name in "
                             "lower case");
    return LATHE_OK;
}

static int32_t check_settings(lathe_store *store, const char *endpoint, const cJSON *settings,
                              lathe_error *err) {
    static const char *const keys[] = {"traffic", "sticky", "validation", NULL};
    const cJSON *validation = lathe_json_get(settings, "validation");
    const cJSON *traffic = lathe_json_get(settings, "traffic"),
                *sticky = lathe_json_get(settings, "sticky"), *share;
    double sum = 0;
    if (!cJSON_IsObject(settings))
        return fail_settings(err, "an object is expected");
    int32_t rc = check_keys(settings, keys, "it", err);
    if (rc == LATHE_OK && validation != NULL && !cJSON_IsObject(validation) &&
        !cJSON_IsString(validation))
        rc = fail_settings(err, "\"validation\" is an object or one action");
    if (rc == LATHE_OK && traffic != NULL && !cJSON_IsArray(traffic))
        rc = fail_settings(err, "\"traffic\" is a list");
    if (rc == LATHE_OK && cJSON_GetArraySize(traffic) > 16)
        rc = fail_settings(err, "\"traffic\" has at most 16 entries");
    cJSON_ArrayForEach(share, traffic) if (rc == LATHE_OK) rc =
        check_share(store, endpoint, share, &sum, err);
    if (rc == LATHE_OK && sum > 100)
        rc = fail_settings(err, "the percentages of \"traffic\" are more than 100 together");
    return rc == LATHE_OK && sticky != NULL ? check_sticky(sticky, err) : rc;
}

/* The settings there are, with what is new over them; null takes one away. NULL: no memory, or no object. */
static cJSON *merge(const char *old, const char *text) {
    cJSON *all = cJSON_Parse(old), *change = cJSON_Parse(text);
    const cJSON *item;
    bool good = cJSON_IsObject(all) && cJSON_IsObject(change);
    cJSON_ArrayForEach(item, change) {
        cJSON_DeleteItemFromObjectCaseSensitive(all, item->string);
        if (good && !cJSON_IsNull(item))
            good = cJSON_AddItemToObject(all, item->string, cJSON_Duplicate(item, 1));
    }
    cJSON_Delete(change);
    if (!good) {
        cJSON_Delete(all);
        return NULL;
    }
    return all;
}

static int32_t configure(lathe_store *store, const char *name, const char *settings,
                         lathe_arena *arena, lathe_error *err) {
    lathe_endpoint_record e;
    int32_t rc = lathe_store_endpoint(store, name, arena, &e, err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *merged = merge(e.settings, settings);
    char *text = merged ? cJSON_PrintUnformatted(merged) : NULL;
    rc = text != NULL ? check_settings(store, name, merged, err)
                      : fail_settings(err, "an object is expected");
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.endpoints SET settings = ?, updated = ? WHERE name = ?",
                          "tit", text, lathe_wall_us(), name);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, "endpoint.configure", name, text, err);
    cJSON_free(text);
    cJSON_Delete(merged);
    return rc;
}

int32_t lathe_store_endpoint_configure(lathe_store *store, const char *name, const char *settings,
                                       lathe_error *err) {
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL ? lathe_db_begin(store, err) : lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_end(store, configure(store, name, settings, arena, err), err);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_endpoint_put(lathe_store *store, const char *name,
                                 const lathe_endpoint_change *change, lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    if (change->model != NULL)
        rc = lathe_store_endpoint_set(store, name, change->model, change->alias, change->version,
                                      change->reason, err);
    if (rc == LATHE_OK && change->settings != NULL)
        rc = lathe_store_endpoint_configure(store, name, change->settings, err);
    return lathe_db_end(store, rc, err);
}
