/* The table of tokens: from the store, to and from the workers' message. */
#include "base/clock.h"
#include "base/json.h"
#include "serve/auth/internal.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BUCKET 1000000 /* tokens ever made: more than a message of one line could hold */

lathe_auth *lathe_auth_new(void) {
    lathe_auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL)
        return NULL;
    auth->required = true;
    auth->nobody.quota = auth->last.quota = -1;
    return auth;
}

void lathe_auth_free(lathe_auth *auth) {
    if (auth == NULL)
        return;
    EVP_MD_CTX_free(auth->digest);
    free(auth->tokens);
    free((void *)auth->own);
    free(auth);
}

void lathe_auth_share(lathe_auth *auth, _Atomic uint64_t *buckets, size_t n_buckets) {
    auth->buckets = buckets;
    auth->n_buckets = buckets != NULL ? n_buckets : 0;
}

bool lathe_auth_required(const lathe_auth *auth) {
    return auth->required;
}

void lathe_auth_set_insecure(lathe_auth *auth, bool insecure) {
    auth->insecure = insecure;
}

bool lathe_auth_get_insecure(const lathe_auth *auth) {
    return auth->insecure;
}

_Atomic uint64_t *lathe_auth_bucket(const lathe_auth *auth, const lathe_auth_token *token) {
    if (token->bucket < auth->n_buckets)
        return &auth->buckets[token->bucket];
    return token->bucket < auth->n_own ? &auth->own[token->bucket] : NULL;
}

/* ---- a new table in place of the old ---- */

/* Buckets of its own for all, used for those beyond the shared ones; those there are keep their times. */
static bool grow_own(lathe_auth *auth, const lathe_auth_token *tokens, size_t count) {
    size_t need = auth->n_own;
    for (size_t i = 0; i < count; i++)
        if (tokens[i].bucket >= need)
            need = tokens[i].bucket + 1;
    if (need == auth->n_own)
        return true;
    _Atomic uint64_t *own = calloc(need, sizeof *own);
    if (own == NULL)
        return false;
    for (size_t i = 0; i < auth->n_own; i++)
        atomic_init(&own[i], atomic_load(&auth->own[i]));
    free((void *)auth->own);
    auth->own = own;
    auth->n_own = need;
    return true;
}

/* Takes the tokens over, also on failure. */
static int32_t replace(lathe_auth *auth, lathe_auth_token *tokens, size_t count, bool required,
                       lathe_error *err) {
    if (!grow_own(auth, tokens, count)) {
        free(tokens);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the tokens");
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < auth->count; k++)
            if (tokens[i].bucket == auth->tokens[k].bucket)
                tokens[i].saved_ns = auth->tokens[k].saved_ns;
    free(auth->tokens);
    auth->tokens = tokens;
    auth->count = count;
    auth->required = required;
    return LATHE_OK;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *hex, uint8_t digest[LATHE_SHA256_BYTES]) {
    if (strlen(hex) != LATHE_SHA256_HEX - 1)
        return false;
    for (size_t i = 0; i < LATHE_SHA256_BYTES; i++) {
        const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool copy_name(char out[LATHE_AUTH_NAME], const char *text) {
    return (size_t)snprintf(out, LATHE_AUTH_NAME, "%s", text) < LATHE_AUTH_NAME;
}

/* ---- from the store ---- */

static bool from_record(const lathe_token_record *r, size_t place, lathe_auth_token *t) {
    *t = (lathe_auth_token){.id = r->id,
                            .expires = r->expires,
                            .revoked = r->revoked != 0,
                            .role = r->role,
                            .rate = r->rate,
                            .bucket = place,
                            .meter = {.usage = (int32_t)place + 1, .quota = -1}};
    if (r->previous[0] != 0 && read_digest(r->previous, t->previous))
        t->previous_until = r->previous_until;
    return read_digest(r->sha256, t->digest) && copy_name(t->name, r->name) &&
           copy_name(t->project, r->project);
}

int32_t lathe_auth_load(lathe_auth *auth, lathe_store *store, lathe_error *err) {
    lathe_token_list list;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the tokens");
    int32_t rc = lathe_store_tokens(store, arena, &list, err);
    lathe_auth_token *tokens = rc == LATHE_OK ? calloc(list.count + 1, sizeof *tokens) : NULL;
    if (rc == LATHE_OK && tokens == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the tokens");
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++)
        if (!from_record(&list.items[i], i, &tokens[i]))
            rc = lathe_fail(err, LATHE_E_CORRUPT, lathe_store_home(store),
                            "token %lld of the database has no proper name or digest",
                            (long long)list.items[i].id);
    if (rc == LATHE_OK)
        rc = replace(auth, tokens, list.count, list.count > 0, err);
    else
        free(tokens);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_auth_save_used(lathe_auth *auth, lathe_store *store, lathe_error *err) {
    const int64_t now_us = lathe_wall_us(), now_ns = lathe_now_ns();
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < auth->count; i++) {
        lathe_auth_token *t = &auth->tokens[i];
        const _Atomic uint64_t *bucket = lathe_auth_bucket(auth, t);
        const uint64_t seen = bucket != NULL ? atomic_load(bucket) : 0;
        if (seen <= t->saved_ns || t->id == 0)
            continue;
        const int64_t ago = seen < (uint64_t)now_ns ? now_ns - (int64_t)seen : 0;
        rc = lathe_store_token_used(store, t->id, now_us - ago / 1000, err);
        t->saved_ns = seen;
    }
    return rc;
}

/* ---- the message ---- */

static void add_digest(cJSON *object, const char *key, const uint8_t digest[LATHE_SHA256_BYTES]) {
    char hex[LATHE_SHA256_HEX];
    lathe_hex(digest, LATHE_SHA256_BYTES, hex);
    cJSON_AddStringToObject(object, key, hex);
}

static cJSON *token_message(const lathe_auth_token *t) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", t->name);
    add_digest(item, "sha256", t->digest);
    cJSON_AddStringToObject(item, "role", lathe_role_name(t->role));
    cJSON_AddStringToObject(item, "project", t->project);
    cJSON_AddNumberToObject(item, "bucket", (double)t->bucket);
    lathe_auth_put_quota(item, &t->meter);
    if (t->rate > 0)
        cJSON_AddNumberToObject(item, "rate", t->rate);
    if (t->expires > 0)
        cJSON_AddNumberToObject(item, "expires_us", (double)t->expires);
    if (t->previous_until > 0) {
        add_digest(item, "previous", t->previous);
        cJSON_AddNumberToObject(item, "previous_until_us", (double)t->previous_until);
    }
    return item;
}

cJSON *lathe_auth_message(const lathe_auth *auth) {
    cJSON *message = cJSON_CreateObject(), *body = cJSON_AddObjectToObject(message, "auth");
    cJSON_AddBoolToObject(body, "required", auth->required);
    cJSON_AddBoolToObject(body, "insecure", auth->insecure);
    lathe_auth_put_quota(body, &auth->nobody);
    cJSON *list = cJSON_AddArrayToObject(body, "tokens");
    int expected = 0;
    for (size_t i = 0; i < auth->count; i++)
        if (!auth->tokens[i].revoked && auth->tokens[i].role != LATHE_ROLE_NONE) {
            cJSON_AddItemToArray(list, token_message(&auth->tokens[i]));
            expected++;
        }
    if (list == NULL || cJSON_GetArraySize(list) != expected) {
        cJSON_Delete(message);
        return NULL;
    }
    return message;
}

static int64_t time_or_zero(const cJSON *object, const char *key) {
    int64_t value = 0;
    return lathe_json_int64(NULL, lathe_json_get(object, key), &value) && value > 0 ? value : 0;
}

static bool from_message(const cJSON *item, lathe_auth_token *t) {
    const cJSON *name = lathe_json_get(item, "name"), *sha256 = lathe_json_get(item, "sha256"),
                *project = lathe_json_get(item, "project"), *rate = lathe_json_get(item, "rate"),
                *previous = lathe_json_get(item, "previous");
    int64_t bucket = 0;
    *t = (lathe_auth_token){
        .expires = time_or_zero(item, "expires_us"),
        .role = lathe_role_parse(cJSON_GetStringValue(lathe_json_get(item, "role"))),
        .rate = cJSON_IsNumber(rate) ? rate->valuedouble : 0};
    if (!lathe_json_int64(NULL, lathe_json_get(item, "bucket"), &bucket) || bucket < 0 ||
        bucket > MAX_BUCKET)
        return false;
    t->bucket = (size_t)bucket;
    t->meter.usage = (int32_t)bucket + 1;
    if (!lathe_auth_get_quota(item, &t->meter))
        return false;
    if (previous != NULL) {
        if (!cJSON_IsString(previous) || !read_digest(previous->valuestring, t->previous))
            return false;
        t->previous_until = time_or_zero(item, "previous_until_us");
    }
    return t->role != LATHE_ROLE_NONE && t->rate >= 0 && cJSON_IsString(name) &&
           copy_name(t->name, name->valuestring) && cJSON_IsString(project) &&
           copy_name(t->project, project->valuestring) && cJSON_IsString(sha256) &&
           read_digest(sha256->valuestring, t->digest);
}

int32_t lathe_auth_read(lathe_auth *auth, const cJSON *message, lathe_error *err) {
    const cJSON *body = lathe_json_get(message, "auth"), *list = lathe_json_get(body, "tokens"),
                *item;
    const cJSON *required = lathe_json_get(body, "required");
    size_t count = 0;
    if (!cJSON_IsArray(list) || !cJSON_IsBool(required))
        return lathe_fail(err, LATHE_E_INVALID, "auth", "the message holds no table of tokens");
    lathe_auth_token *tokens = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *tokens);
    if (tokens == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the tokens");
    cJSON_ArrayForEach(item, list) {
        if (!from_message(item, &tokens[count++])) {
            free(tokens);
            return lathe_fail(err, LATHE_E_INVALID, "auth",
                              "token %zu of the message is not complete", count);
        }
    }
    auth->insecure = cJSON_IsTrue(lathe_json_get(body, "insecure"));
    lathe_auth_get_quota(body, &auth->nobody);
    return replace(auth, tokens, count, cJSON_IsTrue(required), err);
}
