/* Tokens over the control plane. A secret is in the one answer that makes it; nothing here logs a body. */
#include "serve/api/api.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

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
    api_add_time(out, "created_us", t->created);
    api_add_time(out, "expires_us", t->expires);
    api_add_time(out, "revoked_us", t->revoked);
    api_add_time(out, "used_us", t->used);
    api_add_time(out, "previous_until_us", t->previous_until > now ? t->previous_until : 0);
    return out;
}

static int32_t get_tokens(api_call *c) {
    lathe_token_list list;
    int64_t after, left = api_limit(c);
    after = api_int_cursor(c, 0);
    int32_t rc = lathe_store_tokens(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *tokens = cJSON_AddArrayToObject(out, "tokens");
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].id <= after)
            continue;
        if (left-- == 0) {
            char next[24];
            snprintf(next, sizeof next, "%lld", (long long)list.items[i].id - 1);
            cJSON_AddStringToObject(out, "next", next);
            break;
        }
        cJSON_AddItemToArray(tokens, token_json(&list.items[i]));
    }
    return api_answer(c, out);
}

/* ---- changes ---- */

/* The answer to a change, with the secret that was made; it wipes the secret. Workers know the new tokens before they
 * know any later route. */
static int32_t answer_change(api_call *c, int32_t rc, const char *verb, const char *name,
                             char secret[LATHE_TOKEN_TEXT]) {
    if (rc == LATHE_OK) {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddStringToObject(out, "name", name);
        if (secret[0] != 0)
            cJSON_AddStringToObject(out, "token", secret);
        c->after = API_REAUTH | API_REROUTE | (secret[0] != 0 ? API_ANYWAY : 0);
        lathe_log(LATHE_LEVEL_INFO, "serve", "token \"%s\": %s by %s", name, verb,
                  lathe_store_get_actor(c->store));
        rc = api_answer(c, out);
    }
    explicit_bzero(secret, LATHE_TOKEN_TEXT);
    return rc;
}

/* An admin of one project makes tokens of that one. */
static int32_t create_token(api_call *c) {
    char secret[LATHE_TOKEN_TEXT] = "";
    const char *own = c->who.project[0] != 0 ? c->who.project : NULL,
               *project = api_text(c->body, "project", own);
    if (own != NULL && strcmp(own, project) != 0)
        return lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL, "there is no project \"%.128s\"",
                          project);
    const double seconds = api_number(c->body, "expires_seconds", 0);
    const lathe_token_new info = {
        .name = api_text(c->body, "name", NULL),
        .role = lathe_role_parse(api_text(c->body, "role", NULL)),
        .project = project,
        .rate = api_number(c->body, "rate", 0),
        .expires = seconds > 0 ? lathe_wall_us() + (int64_t)ceil(seconds * 1e6) : 0};
    int32_t rc = lathe_store_token_create(c->store, &info, secret, &c->err);
    return answer_change(c, rc, "create", info.name, secret);
}

static int32_t rotate_token(api_call *c) {
    char secret[LATHE_TOKEN_TEXT] = "";
    const char *name = api_part(c, "token");
    const double grace = api_number(c->body, "grace_seconds", 0);
    int32_t rc = lathe_store_token_rotate(c->store, name, (int64_t)(grace * 1e6), secret, &c->err);
    return answer_change(c, rc, "rotate", name, secret);
}

static int32_t revoke_token(api_call *c) {
    char secret[LATHE_TOKEN_TEXT] = "";
    const char *name = api_part(c, "token");
    int32_t rc =
        lathe_store_token_revoke(c->store, name, api_text(c->body, "reason", NULL), &c->err);
    return answer_change(c, rc, "revoke", name, secret);
}

static const api_field page[] = {API_PAGE_NUMBERED, {0}};

static const api_field create_body[] = {
    {"name", API_NAME, true, 0, 0, NULL, "of the token, for ever", NULL},
    {"role", API_CHOICE, true, 0, 0, "infer|read|operate|admin", "what it may do", NULL},
    {"project", API_NAME, false, 0, 0, NULL, "the only one it may touch; default all", NULL},
    {"rate", API_NUMBER, false, 0, LATHE_TOKEN_RATE_MAX, NULL, "requests a second; 0: no limit",
     NULL},
    {"expires_seconds", API_NUMBER, false, 0, MAX_SECONDS, NULL, "from now; 0: never", NULL},
    {0}};

static const api_field rotate_body[] = {{"grace_seconds", API_NUMBER, false, 0, MAX_SECONDS, NULL,
                                         "that the secret before stays valid; default 0", NULL},
                                        {0}};

static const api_field revoke_body[] = {
    {"reason", API_TEXT, false, 0, 1000, NULL, "for the audit log", NULL}, {0}};

const api_route api_token_routes[] = {
    {.method = "GET",
     .path = "/api/v1/tokens",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_PROJECT,
     .summary = "Tokens in the order of their creation, without secrets",
     .run = get_tokens,
     .query = page,
     .answer = "Tokens"},
    {.method = "POST",
     .path = "/api/v1/tokens",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_PROJECT,
     .summary = "Make a token; the answer alone holds its secret",
     .run = create_token,
     .body = create_body,
     .answer = "Secret",
     .status = 201},
    {.method = "POST",
     .path = "/api/v1/tokens/{token}/rotate",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_PROJECT,
     .summary = "A new secret for a token",
     .run = rotate_token,
     .body = rotate_body,
     .answer = "Secret"},
    {.method = "POST",
     .path = "/api/v1/tokens/{token}/revoke",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_PROJECT,
     .summary = "End a token for ever",
     .run = revoke_token,
     .body = revoke_body,
     .answer = "Secret"},
    {0}};
