/* serve/auth/internal.h: INTERNAL to auth*.c: the table of tokens. */
#ifndef LATHE_SERVE_AUTH_INTERNAL_H
#define LATHE_SERVE_AUTH_INTERNAL_H

#include "serve/auth/auth.h"

#include <openssl/evp.h>

#define LATHE_AUTH_NAME 129

typedef struct lathe_auth_token {
    uint8_t digest[LATHE_SHA256_BYTES];
    uint8_t previous
        [LATHE_SHA256_BYTES];        /* of the secret before; valid until previous_until; 0: none */
    int64_t id;                      /* of the store; 0 in a worker */
    int64_t expires, previous_until; /* µs, 0: never, none */
    bool revoked;
    lathe_role role;
    double rate;
    size_t bucket; /* its place among the tokens of the store, revoked ones too: never another's */
    lathe_auth_meter meter;
    uint64_t saved_ns; /* what save_used has seen in the bucket */
    char name[LATHE_AUTH_NAME], project[LATHE_AUTH_NAME];
} lathe_auth_token;

struct lathe_auth {
    lathe_auth_token *tokens;
    size_t count;
    bool required, insecure;
    lathe_auth_meter nobody, last;      /* of requests without a token; of the one checked last */
    char last_project[LATHE_AUTH_NAME]; /* of the one checked last; "": all */
    _Atomic uint64_t *buckets;          /* [n_buckets], the caller's or NULL */
    size_t n_buckets;
    _Atomic uint64_t *own; /* [n_own]: for those beyond */
    size_t n_own;
    EVP_MD_CTX *digest; /* SHA-256, used again and again; NULL until one is needed */
};

/* auth/quota.c: a meter's quota in the message; false: it is malformed. */
void lathe_auth_put_quota(cJSON *object, const lathe_auth_meter *meter);
bool lathe_auth_get_quota(const cJSON *object, lathe_auth_meter *meter);

/* The bucket of a token: nanoseconds of the monotonic clock (auth/check.c); NULL: it has none. */
_Atomic uint64_t *lathe_auth_bucket(const lathe_auth *auth, const lathe_auth_token *token);

#endif
