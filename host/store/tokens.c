/* A token's project, rate and the digest of its secret before the last rotation stand in the row's scope:
 *     {"project": "credit", "rate": 50, "previous": "<sha256>", "previous_until": 1735689600000000}
 */
#include "store/tokens.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/nearest.h"
#include "store/db.h"
#include "store/rows.h"
#include "store/usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_BYTES 32
#define MINUTE_US ((int64_t)60000000)

static const char *const role_names[] = {"none", "infer", "read", "operate", "admin"};

const char *lathe_role_name(lathe_role role) {
    return role >= LATHE_ROLE_NONE && role <= LATHE_ROLE_ADMIN ? role_names[role] : role_names[0];
}

lathe_role lathe_role_parse(const char *name) {
    for (int i = LATHE_ROLE_INFER; name != NULL && i <= LATHE_ROLE_ADMIN; i++)
        if (strcmp(name, role_names[i]) == 0)
            return (lathe_role)i;
    return LATHE_ROLE_NONE;
}

/* ---- secrets ---- */

static int32_t make_secret(char secret[LATHE_TOKEN_TEXT], char sha256[LATHE_SHA256_HEX],
                           lathe_error *err) {
    uint8_t bytes[SECRET_BYTES];
    ssize_t n;
    do
        n = getrandom(bytes, sizeof bytes, 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof bytes)
        return lathe_fail_errno(err, errno, NULL, "the system gives no random bytes");
    memcpy(secret, LATHE_TOKEN_PREFIX, strlen(LATHE_TOKEN_PREFIX));
    lathe_hex(bytes, sizeof bytes, secret + strlen(LATHE_TOKEN_PREFIX));
    explicit_bzero(bytes, sizeof bytes);
    if (lathe_sha256_hex(secret, LATHE_TOKEN_TEXT - 1, sha256))
        return LATHE_OK;
    explicit_bzero(secret, LATHE_TOKEN_TEXT);
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a token");
}

/* A secret leaves only with the transaction that made it. */
static int32_t end_with_secret(lathe_store *store, int32_t rc, char secret[LATHE_TOKEN_TEXT],
                               lathe_error *err) {
    rc = lathe_db_end(store, rc, err);
    if (rc != LATHE_OK)
        explicit_bzero(secret, LATHE_TOKEN_TEXT);
    return rc;
}

/* ---- create ---- */

static int32_t check_new(const lathe_token_new *info, lathe_error *err) {
    int32_t rc = lathe_store_check_name(info->name, "the token's name", err);
    if (rc == LATHE_OK && info->project != NULL && info->project[0] != '\0')
        rc = lathe_store_check_name(info->project, "the project's name", err);
    if (rc != LATHE_OK)
        return rc;
    if (info->role < LATHE_ROLE_INFER || info->role > LATHE_ROLE_ADMIN)
        return lathe_fail(err, LATHE_E_INVALID, info->name,
                          "a token needs a role: infer, read, operate or admin");
    if (!(info->rate >= 0 && info->rate <= LATHE_TOKEN_RATE_MAX))
        return lathe_fail(err, LATHE_E_INVALID, info->name,
                          "the rate is %g requests a second; expected more than 0, up to %g",
                          info->rate, LATHE_TOKEN_RATE_MAX);
    if (info->expires < 0 || (info->expires != 0 && info->expires <= lathe_wall_us()))
        return lathe_fail(err, LATHE_E_INVALID, info->name,
                          "the token would have expired already; give a time to come");
    return LATHE_OK;
}

/* {"role": …, "project": …, "rate": …, "expires_us": …}; of the scope, only project and rate. malloc'ed. */
static char *new_json(const lathe_token_new *info, bool scope) {
    lathe_buf text = {0};
    lathe_jsonw w = lathe_jsonw_to(&text);
    lathe_jsonw_begin_object(&w);
    if (!scope)
        lathe_jsonw_kv_str(&w, "role", lathe_role_name(info->role));
    lathe_jsonw_kv_str(&w, "project", info->project != NULL ? info->project : "");
    if (info->rate > 0)
        lathe_jsonw_kv_double(&w, "rate", info->rate);
    if (!scope && info->expires > 0)
        lathe_jsonw_kv_int(&w, "expires_us", info->expires);
    lathe_jsonw_end_object(&w);
    return lathe_buf_take(&text);
}

static int32_t need_free_name(lathe_store *store, const char *name, lathe_error *err) {
    int64_t revoked = 0;
    bool found = false;
    int32_t rc =
        lathe_db_int(store, &revoked, &found, err,
                     "SELECT coalesce(revoked, 0) FROM main.tokens WHERE name = ?", "t", name);
    if (rc != LATHE_OK || !found)
        return rc;
    return lathe_fail(err, LATHE_E_EXISTS, store->home,
                      revoked != 0 ? "the token '%s' was revoked, and its name is not used again; "
                                     "choose another name"
                                   : "there is a token '%s' already; rotate it for a new secret, "
                                     "or choose another name",
                      name);
}

/* A slip in a name would make a token that sees nothing. "default" is made by the first model. */
static int32_t need_project(lathe_store *store, const char *project, lathe_error *err) {
    lathe_project_record found;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena == NULL ? lathe_db_oom(store, err)
                 : strcmp(project, "default") == 0
                     ? lathe_store_project_need(store, project, err)
                     : lathe_store_project(store, project, arena, &found, err);
    lathe_arena_free(arena);
    return rc;
}

int32_t lathe_store_token_create(lathe_store *store, const lathe_token_new *info,
                                 char secret[LATHE_TOKEN_TEXT], lathe_error *err) {
    char sha256[LATHE_SHA256_HEX];
    memset(secret, 0, LATHE_TOKEN_TEXT);
    int32_t rc = check_new(info, err);
    if (rc == LATHE_OK)
        rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    char *scope = new_json(info, true), *detail = new_json(info, false);
    if (scope == NULL || detail == NULL)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = need_free_name(store, info->name, err);
    if (rc == LATHE_OK && info->project != NULL && info->project[0] != '\0')
        rc = need_project(store, info->project, err);
    if (rc == LATHE_OK)
        rc = make_secret(secret, sha256, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(
            store, NULL, err,
            "INSERT INTO main.tokens(name, secret_sha256, role, scope, created, expires) "
            "VALUES(?, ?, ?, ?, ?, ?)",
            "ttttin", info->name, sha256, lathe_role_name(info->role), scope, lathe_wall_us(),
            info->expires);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(store, "token.create", info->name, detail, err);
    free(scope);
    free(detail);
    return end_with_secret(store, rc, secret, err);
}

/* ---- list ---- */

/* json_extract of a scope that somebody else wrote may give any type: texts are taken as texts, numbers as numbers. */
#define TOKEN_COLUMNS                                                                              \
    "id, name, secret_sha256, role, json_extract(scope, '$.project'), "                            \
    "json_extract(scope, '$.rate'), json_extract(scope, '$.previous'), "                           \
    "json_extract(scope, '$.previous_until'), created, expires, revoked, used"

static bool fill_token(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_token_record *r = item;
    r->id = sqlite3_column_int64(q, 0);
    r->name = lathe_db_text(q, 1, arena);
    r->sha256 = lathe_db_text(q, 2, arena);
    r->role = lathe_role_parse((const char *)sqlite3_column_text(q, 3));
    r->project = lathe_db_text(q, 4, arena);
    r->rate = sqlite3_column_double(q, 5);
    r->previous = lathe_db_text(q, 6, arena);
    r->previous_until = sqlite3_column_int64(q, 7);
    r->created = sqlite3_column_int64(q, 8);
    r->expires = sqlite3_column_int64(q, 9);
    r->revoked = sqlite3_column_int64(q, 10);
    r->used = sqlite3_column_int64(q, 11);
    return r->name && r->sha256 && r->project && r->previous;
}

int32_t lathe_store_tokens(lathe_store *store, lathe_arena *arena, lathe_token_list *list,
                           lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc =
        lathe_db_query(store, &q, err, "SELECT " TOKEN_COLUMNS " FROM tokens ORDER BY id", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_token,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

/* One by name, or LATHE_E_NOT_FOUND with the nearest. */
static int32_t find_token(lathe_store *store, const char *name, lathe_arena *arena,
                          lathe_token_record *token, lathe_error *err) {
    lathe_token_list list;
    int32_t rc = lathe_store_check_name(name, "the token's name", err);
    if (rc == LATHE_OK)
        rc = lathe_store_tokens(store, arena, &list, err);
    if (rc != LATHE_OK)
        return rc;
    const char **names = lathe_arena_array(arena, list.count + 1, sizeof *names);
    if (names == NULL)
        return lathe_db_oom(store, err);
    for (size_t i = 0; i < list.count; i++) {
        names[i] = list.items[i].name;
        if (strcmp(name, names[i]) == 0) {
            *token = list.items[i];
            return LATHE_OK;
        }
    }
    const char *near = lathe_nearest(name, names, list.count);
    return lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                      near != NULL      ? "there is no token '%s'; did you mean '%s'?"
                      : list.count == 0 ? "there is no token '%s': none has been made yet%s"
                                        : "there is no token '%s'%s",
                      name, near != NULL ? near : "");
}

/* ---- rotate and revoke ---- */

static int32_t check_alive(lathe_store *store, const lathe_token_record *token, int64_t now,
                           lathe_error *err) {
    if (token->revoked != 0)
        return lathe_fail(err, LATHE_E_STATE, store->home,
                          "the token '%s' was revoked; create another", token->name);
    if (token->expires != 0 && token->expires <= now)
        return lathe_fail(err, LATHE_E_STATE, store->home,
                          "the token '%s' has expired; create another", token->name);
    return LATHE_OK;
}

static int32_t write_rotation(lathe_store *store, const lathe_token_record *token,
                              const char *sha256, int64_t grace, int64_t until, lathe_error *err) {
    char detail[80];
    int32_t rc;
    if (grace > 0)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.tokens SET secret_sha256 = ?, scope = json_set(scope, "
                          "'$.previous', ?, '$.previous_until', ?) WHERE id = ?",
                          "ttii", sha256, token->sha256, until, token->id);
    else
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.tokens SET secret_sha256 = ?, scope = json_remove(scope, "
                          "'$.previous', '$.previous_until') WHERE id = ?",
                          "ti", sha256, token->id);
    if (rc != LATHE_OK)
        return rc;
    snprintf(detail, sizeof detail, "{\"grace_seconds\":%lld}", (long long)(grace / 1000000));
    return lathe_store_audit_add(store, "token.rotate", token->name, detail, err);
}

int32_t lathe_store_token_rotate(lathe_store *store, const char *name, int64_t grace,
                                 char secret[LATHE_TOKEN_TEXT], lathe_error *err) {
    char sha256[LATHE_SHA256_HEX];
    lathe_token_record token;
    const int64_t now = lathe_wall_us();
    memset(secret, 0, LATHE_TOKEN_TEXT);
    if (grace < 0 || grace > INT64_MAX - now)
        return lathe_fail(err, LATHE_E_INVALID, name, "the grace period is a time from 0");
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_arena *arena = lathe_arena_new();
    rc = arena != NULL ? find_token(store, name, arena, &token, err) : lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        rc = check_alive(store, &token, now, err);
    if (rc == LATHE_OK)
        rc = make_secret(secret, sha256, err);
    if (rc == LATHE_OK)
        rc = write_rotation(store, &token, sha256, grace, now + grace, err);
    lathe_arena_free(arena);
    return end_with_secret(store, rc, secret, err);
}

int32_t lathe_store_token_revoke(lathe_store *store, const char *name, const char *reason,
                                 lathe_error *err) {
    lathe_token_record token;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_arena *arena = lathe_arena_new();
    rc = arena != NULL ? find_token(store, name, arena, &token, err) : lathe_db_oom(store, err);
    if (rc == LATHE_OK && token.revoked == 0) {
        char *detail = lathe_store_detail("reason", reason, (const char *)NULL);
        rc = detail != NULL
                 ? lathe_db_run(store, NULL, err, "UPDATE main.tokens SET revoked = ? WHERE id = ?",
                                "ii", lathe_wall_us(), token.id)
                 : lathe_db_oom(store, err);
        if (rc == LATHE_OK)
            rc = lathe_store_audit_add(store, "token.revoke", token.name, detail, err);
        free(detail);
    }
    lathe_arena_free(arena);
    return lathe_db_end(store, rc, err);
}

int32_t lathe_store_token_used(lathe_store *store, int64_t id, int64_t time, lathe_error *err) {
    const int64_t minute = time - time % MINUTE_US;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_db_run(store, NULL, err,
                      "UPDATE main.tokens SET used = ?1 WHERE id = ?2 AND coalesce(used, 0) < ?1",
                      "ii", minute, id);
    return lathe_db_end(store, rc, err);
}
