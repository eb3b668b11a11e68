/* store/tokens.h: bearer tokens: who may ask the service for what.
 *
 * A token's secret is "lathe_" and 64 hexadecimal digits (32 random bytes). It is returned once, when it is made;
 * the database holds its SHA-256 alone. (A plain digest is enough: 256 random bits cannot be guessed.) Rows are never
 * deleted, so that a name means one token for ever, and the service does not fall open when the last one is revoked.
 * Each change is one transaction with its row in the audit log ("token.create", "token.rotate", "token.revoke"), which
 * holds neither secret nor digest.
 */
#ifndef LATHE_STORE_TOKENS_H
#define LATHE_STORE_TOKENS_H

#include "base/hash.h"
#include "store/types.h"

/* Each role may do what those before it may. */
typedef enum lathe_role {
    LATHE_ROLE_NONE = 0,
    LATHE_ROLE_INFER = 1,   /* predictions, and what a model expects and answers */
    LATHE_ROLE_READ = 2,    /* registry, runs, alerts, metrics */
    LATHE_ROLE_OPERATE = 3, /* promote, roll back, load and unload, submit and cancel runs */
    LATHE_ROLE_ADMIN = 4    /* tokens */
} lathe_role;

/* "infer" …; "none" for what is no role. */
const char *lathe_role_name(lathe_role role);
/* LATHE_ROLE_NONE: no such role. */
lathe_role lathe_role_parse(const char *name);

#define LATHE_TOKEN_PREFIX "lathe_"
#define LATHE_TOKEN_TEXT 71 /* of a secret, with its NUL */
#define LATHE_TOKEN_RATE_MAX 1e6

typedef struct lathe_token_new {
    const char *name;
    lathe_role role;
    const char *project; /* NULL or "": all projects */
    int64_t expires;     /* 0: never */
    double rate;         /* requests a second, up to LATHE_TOKEN_RATE_MAX; 0: no limit */
} lathe_token_new;

typedef struct lathe_token_record {
    int64_t id; /* in the order of creation */
    const char *name;
    const char *sha256; /* of the secret */
    lathe_role
        role; /* LATHE_ROLE_NONE where the database holds no role: such a token may do nothing */
    const char *project;
    double rate;
    const char *
        previous; /* sha256 of the secret before the last rotation, valid until `previous_until`; "" */
    int64_t previous_until;
    int64_t created, expires, revoked;
    int64_t used; /* to the minute */
} lathe_token_record;

typedef struct lathe_token_list {
    lathe_token_record *items;
    size_t count;
} lathe_token_list;

/* Makes a token; its secret stands in `secret` and nowhere else. LATHE_E_EXISTS: the name is, or was, another's;
 * LATHE_E_INVALID: a role, rate or expiry that makes no sense; LATHE_E_NOT_FOUND: there is no such project. */
int32_t lathe_store_token_create(lathe_store *store, const lathe_token_new *info,
                                 char secret[LATHE_TOKEN_TEXT], lathe_error *err);

/* A new secret; the one before is valid for `grace` more microseconds (0: no longer), one before that no more.
 * LATHE_E_NOT_FOUND; LATHE_E_STATE: revoked or expired. */
int32_t lathe_store_token_rotate(lathe_store *store, const char *name, int64_t grace,
                                 char secret[LATHE_TOKEN_TEXT], lathe_error *err);

/* Ends a token for ever; ending it again changes nothing. reason may be NULL. LATHE_E_NOT_FOUND. */
int32_t lathe_store_token_revoke(lathe_store *store, const char *name, const char *reason,
                                 lathe_error *err);

/* All, revoked ones too, by id. */
int32_t lathe_store_tokens(lathe_store *store, lathe_arena *arena, lathe_token_list *list,
                           lathe_error *err);

/* Notes when a token was last used, to the minute; an earlier time changes nothing. Not audited. */
int32_t lathe_store_token_used(lathe_store *store, int64_t id, int64_t time, lathe_error *err);

#endif
