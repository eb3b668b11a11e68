/* Who pays for a request: places of usage and quotas in the shared page, as part of the table of tokens. */
#include "base/json.h"
#include "serve/auth/internal.h"

#include <string.h>

const lathe_auth_meter *lathe_auth_last(const lathe_auth *auth) {
    return &auth->last;
}

bool lathe_auth_sees(const lathe_auth *auth, const char *project) {
    return auth->last_project[0] == 0 || strcmp(auth->last_project, project) == 0;
}

bool lathe_auth_token_at(const lathe_auth *auth, size_t place, const char **name,
                         const char **project) {
    for (size_t i = 0; i < auth->count; i++)
        if (auth->tokens[i].bucket == place) {
            *name = auth->tokens[i].name;
            if (auth->tokens[i].project[0] != 0)
                *project = auth->tokens[i].project;
            return true;
        }
    return false;
}

static void set(lathe_auth_meter *meter, const lathe_auth_meter *quota) {
    meter->quota = quota ? quota->quota : -1;
    meter->max_requests = quota ? quota->max_requests : 0;
    meter->max_rows = quota ? quota->max_rows : 0;
}

void lathe_auth_clear_quotas(lathe_auth *auth) {
    set(&auth->nobody, NULL);
    for (size_t i = 0; i < auth->count; i++)
        set(&auth->tokens[i].meter, NULL);
}

void lathe_auth_set_quota(lathe_auth *auth, const char *project, bool is_default,
                          const lathe_auth_meter *quota) {
    if (is_default)
        set(&auth->nobody, quota);
    for (size_t i = 0; i < auth->count; i++) {
        const char *of = auth->tokens[i].project;
        if (strcmp(of, project) == 0 || (is_default && of[0] == 0))
            set(&auth->tokens[i].meter, quota);
    }
}

const char *lathe_auth_quota_project(const lathe_auth *auth, int place) {
    for (size_t i = 0; i < auth->count; i++)
        if (auth->tokens[i].meter.quota == place && auth->tokens[i].project[0] != 0)
            return auth->tokens[i].project;
    return "default";
}

/* ---- the message: "quota": [place, requests, rows] ---- */

void lathe_auth_put_quota(cJSON *object, const lathe_auth_meter *meter) {
    const double values[] = {meter->quota, (double)meter->max_requests, (double)meter->max_rows};
    if (meter->quota >= 0)
        cJSON_AddItemToObject(object, "quota", cJSON_CreateDoubleArray(values, 3));
}

bool lathe_auth_get_quota(const cJSON *object, lathe_auth_meter *meter) {
    const cJSON *list = lathe_json_get(object, "quota");
    int64_t values[3];
    meter->quota = -1;
    meter->max_requests = meter->max_rows = 0;
    if (list == NULL)
        return true;
    for (int i = 0; i < 3; i++)
        if (!lathe_json_int64(NULL, cJSON_GetArrayItem(list, i), &values[i]) || values[i] < 0)
            return false;
    if (values[0] > INT32_MAX)
        return false;
    *meter = (lathe_auth_meter){meter->usage, (int32_t)values[0], values[1], values[2]};
    return true;
}
