#include "store/gates.h"

#include "base/bound.h"
#include "base/buf.h"
#include "base/json.h"
#include "store/audit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *check, const char *key) {
    const char *text = cJSON_GetStringValue(lathe_json_get(check, key));
    return text != NULL ? text : "";
}

static double value_of(const cJSON *check, const lathe_version_record *v) {
    const cJSON *value = lathe_json_get(check, "value");
    if (strcmp(text_of(check, "metric"), "model_mb") == 0)
        return (double)v->bytes / 1e6;
    return cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
}

static bool holds(const cJSON *check, double value) {
    lathe_compare compare;
    double bound;
    return cJSON_IsTrue(lathe_json_get(check, "met")) &&
           lathe_bound_parse(text_of(check, "require"), &compare, &bound) &&
           lathe_bound_holds(compare, bound, value);
}

static bool add_failed(cJSON *failed, const char *metric, const char *require, double value) {
    cJSON *item = cJSON_CreateObject();
    if (item == NULL || !cJSON_AddItemToArray(failed, item)) {
        cJSON_Delete(item);
        return false;
    }
    return cJSON_AddStringToObject(item, "metric", metric) != NULL &&
           cJSON_AddStringToObject(item, "require", require) != NULL &&
           (isfinite(value) ? cJSON_AddNumberToObject(item, "value", value)
                            : cJSON_AddNullToObject(item, "value")) != NULL &&
           cJSON_AddFalseToObject(item, "met") != NULL;
}

cJSON *lathe_gates_failed(const lathe_version_record *v) {
    cJSON *goal = cJSON_Parse(v->goal), *failed = cJSON_CreateArray();
    const cJSON *check;
    bool good = failed != NULL && (goal != NULL || v->goal == NULL || v->goal[0] == '\0');
    cJSON_ArrayForEach(check, lathe_json_get(goal, "checks")) {
        const double value = value_of(check, v);
        if (good && !holds(check, value))
            good = add_failed(failed, text_of(check, "metric"), text_of(check, "require"), value);
    }
    if (good && cJSON_IsFalse(lathe_json_get(goal, "met")) && cJSON_GetArraySize(failed) == 0)
        good = add_failed(failed, "goal", "met", (double)NAN);
    cJSON_Delete(goal);
    if (!good) {
        cJSON_Delete(failed);
        return NULL;
    }
    return failed;
}

int32_t lathe_gates_check(const lathe_version_record *v, cJSON **failed, lathe_error *err) {
    cJSON *list = lathe_gates_failed(v);
    const cJSON *check;
    lathe_buf text = {0};
    int32_t rc = LATHE_OK;
    if (failed != NULL)
        *failed = NULL;
    if (list == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, v->model, "out of memory");
    cJSON_ArrayForEach(check, list) {
        const cJSON *value = lathe_json_get(check, "value");
        lathe_buf_printf(&text, "%s%s is to be %s", text.len > 0 ? "; " : "",
                         text_of(check, "metric"), text_of(check, "require"));
        if (cJSON_IsNumber(value))
            lathe_buf_printf(&text, " and is %.6g", value->valuedouble);
        else
            lathe_buf_printf(&text, ", which was not found");
    }
    if (cJSON_GetArraySize(list) > 0)
        rc = lathe_fail(err, LATHE_E_STATE, v->model, "%s@%lld does not meet its goal: %s",
                        v->model, (long long)v->version, lathe_buf_str(&text));
    lathe_buf_free(&text);
    if (failed != NULL)
        *failed = list;
    else
        cJSON_Delete(list);
    return rc;
}

int32_t lathe_gates_override(lathe_store *store, const lathe_version_record *v, const char *reason,
                             lathe_error *err) {
    char subject[300];
    int32_t rc = LATHE_OK;
    cJSON *failed = lathe_gates_failed(v), *detail = cJSON_CreateObject();
    if (failed == NULL || detail == NULL) {
        cJSON_Delete(failed);
        cJSON_Delete(detail);
        return lathe_fail(err, LATHE_E_MEMORY, v->model, "out of memory");
    }
    const bool any = cJSON_GetArraySize(failed) > 0;
    cJSON_AddStringToObject(detail, "reason", reason != NULL ? reason : "");
    cJSON_AddItemToObject(detail, "checks", failed);
    char *text = cJSON_PrintUnformatted(detail);
    snprintf(subject, sizeof subject, "%s@%lld", v->model, (long long)v->version);
    if (text == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, v->model, "out of memory");
    else if (any)
        rc = lathe_store_audit_add(store, "gates.overridden", subject, text, err);
    cJSON_free(text);
    cJSON_Delete(detail);
    return rc;
}
