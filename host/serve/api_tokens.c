/* Tokens over the control plane. A secret is in the one answer that makes it; nothing here logs a body. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/internal.h"

#include <math.h>
#include <string.h>

#define MAX_SECONDS 3.2e9 /* a century */

static cJSON *token_json(const lathe_token_record *t) {
    cJSON *out = cJSON_CreateObject();
    const int64_t now = lathe_wall_us();
    cJSON_AddStringToObject(out, "name", t->name);
    cJSON_AddStringToObject(out, "role", lathe_role_name(t->role));
    cJSON_AddStringToObject(out, "project", t->project);
    if (t->rate > 0)
        cJSON_AddNumberToObject(out, "rate", t->rate);
    cJSON_AddStringToObject(out, "state",
                            t->revoked != 0                        ? "revoked"
                            : t->expires != 0 && t->expires <= now ? "expired"
                                                                   : "valid");
    cJSON_AddNumberToObject(out, "created_us", (double)t->created);
    if (t->expires != 0)
        cJSON_AddNumberToObject(out, "expires_us", (double)t->expires);
    if (t->revoked != 0)
        cJSON_AddNumberToObject(out, "revoked_us", (double)t->revoked);
    if (t->used != 0)
        cJSON_AddNumberToObject(out, "used_us", (double)t->used);
    if (t->previous_until > now)
        cJSON_AddNumberToObject(out, "previous_until_us", (double)t->previous_until);
    return out;
}

cJSON *lathe_api_tokens(lathe_supervisor *s, lathe_arena *arena, lathe_error *err) {
    lathe_token_list list;
    if (lathe_store_tokens(s->store, arena, &list, err) != LATHE_OK)
        return NULL;
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(out, token_json(&list.items[i]));
    return out;
}

/* ---- changes ---- */

static int32_t check_keys(const cJSON *body, const char *const *keys, lathe_error *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, body) {
        bool known = false;
        for (size_t i = 0; keys[i] != NULL; i++)
            known = known || strcmp(item->string, keys[i]) == 0;
        if (!known)
            return lathe_fail(err, LATHE_E_INVALID, NULL,
                              "the body has an unknown member \"%.60s\"", item->string);
    }
    return LATHE_OK;
}

/* A member that may be absent (*value stays) but must have its type. */
static int32_t read_text(const cJSON *body, const char *key, const char **value, lathe_error *err) {
    const cJSON *node = lathe_json_get(body, key);
    if (node != NULL && !cJSON_IsString(node))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is %s; expected a string", key,
                          lathe_json_type_name(node));
    if (node != NULL)
        *value = node->valuestring;
    return LATHE_OK;
}

static int32_t read_number(const cJSON *body, const char *key, double max, double *value,
                           lathe_error *err) {
    const cJSON *node = lathe_json_get(body, key);
    if (node == NULL)
        return LATHE_OK;
    if (!cJSON_IsNumber(node) || !(node->valuedouble >= 0 && node->valuedouble <= max))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is not a number from 0 to %g", key,
                          max);
    *value = node->valuedouble;
    return LATHE_OK;
}

static int32_t create_token(lathe_supervisor *s, const cJSON *body, char secret[LATHE_TOKEN_TEXT],
                            const char **name, lathe_error *err) {
    static const char *const keys[] = {"name", "role", "project", "rate", "expires_seconds", NULL};
    lathe_token_new info = {0};
    const char *role = NULL;
    double seconds = 0;
    int32_t rc = check_keys(body, keys, err);
    if (rc == LATHE_OK)
        rc = read_text(body, "name", &info.name, err);
    if (rc == LATHE_OK)
        rc = read_text(body, "role", &role, err);
    if (rc == LATHE_OK)
        rc = read_text(body, "project", &info.project, err);
    if (rc == LATHE_OK)
        rc = read_number(body, "rate", LATHE_TOKEN_RATE_MAX, &info.rate, err);
    if (rc == LATHE_OK)
        rc = read_number(body, "expires_seconds", MAX_SECONDS, &seconds, err);
    if (rc != LATHE_OK)
        return rc;
    info.role = lathe_role_parse(role);
    info.expires = seconds > 0 ? lathe_wall_us() + (int64_t)ceil(seconds * 1e6) : 0;
    *name = info.name;
    return lathe_store_token_create(s->store, &info, secret, err);
}

static int32_t rotate_token(lathe_supervisor *s, const char *name, const cJSON *body,
                            char secret[LATHE_TOKEN_TEXT], lathe_error *err) {
    static const char *const keys[] = {"grace_seconds", NULL};
    double seconds = 0;
    int32_t rc = check_keys(body, keys, err);
    if (rc == LATHE_OK)
        rc = read_number(body, "grace_seconds", MAX_SECONDS, &seconds, err);
    if (rc == LATHE_OK)
        rc = lathe_store_token_rotate(s->store, name, (int64_t)(seconds * 1e6), secret, err);
    return rc;
}

static int32_t revoke_token(lathe_supervisor *s, const char *name, const cJSON *body,
                            lathe_error *err) {
    static const char *const keys[] = {"reason", NULL};
    const char *reason = NULL;
    int32_t rc = check_keys(body, keys, err);
    if (rc == LATHE_OK)
        rc = read_text(body, "reason", &reason, err);
    if (rc == LATHE_OK)
        rc = lathe_store_token_revoke(s->store, name, reason, err);
    return rc;
}

cJSON *lathe_api_token_change(lathe_supervisor *s, const char *verb, const char *name,
                              const cJSON *body, lathe_error *err) {
    char secret[LATHE_TOKEN_TEXT] = "";
    int32_t rc;
    if (strcmp(verb, "create") == 0)
        rc = create_token(s, body, secret, &name, err);
    else if (strcmp(verb, "rotate") == 0)
        rc = rotate_token(s, name, body, secret, err);
    else
        rc = revoke_token(s, name, body, err);
    if (rc == LATHE_OK)
        rc = lathe_supervisor_reauth(s, err);
    cJSON *out = rc == LATHE_OK ? cJSON_CreateObject() : NULL;
    if (out != NULL) {
        cJSON_AddStringToObject(out, "name", name);
        if (secret[0] != 0)
            cJSON_AddStringToObject(out, "token", secret);
        lathe_log(LATHE_LEVEL_INFO, "serve", "token \"%s\": %s by %s", name, verb,
                  lathe_store_get_actor(s->store));
    } else if (rc == LATHE_OK) {
        lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
    }
    explicit_bzero(secret, sizeof secret);
    return out;
}
