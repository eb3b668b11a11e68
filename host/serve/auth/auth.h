/* serve/auth/auth.h: who may ask for what: bearer tokens, roles, rates.
 *
 * As soon as the store holds one token, revoked or not, every request needs one, but for the health of the service
 * (/v2/health/…, /api/v1/health). A table holds digests alone. The supervisor loads it from the store and sends it to
 * its workers as {"auth": …} (serve/protocol.h); a worker reads it from there. A presented secret is digested and compared
 * with every digest of the table in constant time, without an early end.
 *
 * A token's rate is a bucket of one second's requests, filled evenly. The buckets may be shared memory, so that all
 * workers take from the same; what is read there is only ever a time, and one that cannot be is taken for now.
 *
 * One thread at a time [loop] [serve]; lathe_auth_check allocates nothing.
 */
#ifndef LATHE_SERVE_AUTH_H
#define LATHE_SERVE_AUTH_H

#include "serve/http/http.h"
#include "store/tokens.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>

typedef struct lathe_store lathe_store;
typedef struct lathe_auth lathe_auth;

#define LATHE_AUTH_ACTOR 140

/* Who pays for a request: where it is counted, and what is left (serve/metering.h). */
typedef struct lathe_auth_meter {
    int32_t usage; /* 0: nobody; k + 1: the k-th token of the store */
    int32_t quota; /* place among the projects that have a quota; -1: it has none */
    int64_t max_requests, max_rows; /* a day; 0: as many as it likes */
} lathe_auth_meter;

/* Who asks. */
typedef struct lathe_auth_who {
    char actor[LATHE_AUTH_ACTOR];   /* "token:NAME"; "" where no token is needed */
    char project[LATHE_AUTH_ACTOR]; /* the only one it may touch; "": all */
    lathe_role role;
} lathe_auth_who;

/* status 200: allowed, and who says whom. Else an answer: 400, 401, 403 or 429, header lines (NULL: none), a sentence. */
typedef struct lathe_auth_verdict {
    int status;
    char headers[160];
    char message[200];
    lathe_auth_who who;
} lathe_auth_verdict;

/* Without a table yet: whatever needs a role is refused. NULL: out of memory. */
lathe_auth *lathe_auth_new(void);
void lathe_auth_free(lathe_auth *auth);
/* Rates are counted in memory of the caller's, zeroed at first, from now on. */
void lathe_auth_share(lathe_auth *auth, _Atomic uint64_t *buckets, size_t n_buckets);

/* ---- the table; on an error it stays as it was ---- */

/* [loop] */
int32_t lathe_auth_load(lathe_auth *auth, lathe_store *store, lathe_error *err);
/* Reads {"auth": …}. LATHE_E_INVALID. */
int32_t lathe_auth_read(lathe_auth *auth, const cJSON *message, lathe_error *err);
/* The message for workers; NULL: out of memory. */
cJSON *lathe_auth_message(const lathe_auth *auth);
bool lathe_auth_required(const lathe_auth *auth);
/* While no token is needed: is any host name taken (--insecure)? Part of the message. Default: no. */
void lathe_auth_set_insecure(lathe_auth *auth, bool insecure);
bool lathe_auth_get_insecure(const lathe_auth *auth);
/* Notes in the store when tokens were used since the last call. [loop] */
int32_t lathe_auth_save_used(lathe_auth *auth, lathe_store *store, lathe_error *err);

/* The quotas of the projects, which are part of the message; a new table begins without. is_default: of tokens without a project,
 * and of requests without a token, too. [loop] */
void lathe_auth_clear_quotas(lathe_auth *auth);
void lathe_auth_set_quota(lathe_auth *auth, const char *project, bool is_default,
                          const lathe_auth_meter *quota);
/* Name and project of the token at a place among those of the store; *project stays where it has none. [loop] */
bool lathe_auth_token_at(const lathe_auth *auth, size_t place, const char **name,
                         const char **project);

/* ---- requests ---- */

/* Of the request that was checked last. */
const lathe_auth_meter *lathe_auth_last(const lathe_auth *auth);
/* May the one who was checked last touch what is of a project? */
bool lathe_auth_sees(const lathe_auth *auth, const char *project);
/* The project at a place among the quotas, for messages. */
const char *lathe_auth_quota_project(const lathe_auth *auth, int place);

/* The headers `authorization` ("Bearer SECRET") and `x-api-key` (SECRET), ptr NULL where absent. need NONE: open to all,
 * whatever they present. now_us: wall clock; now_ns: monotonic. */
void lathe_auth_check(lathe_auth *auth, lathe_http_text authorization, lathe_http_text api_key,
                      lathe_role need, int64_t now_us, int64_t now_ns, lathe_auth_verdict *verdict);

/* The same for a request that was admitted, and waited since: its token may have been revoked, the rate has been paid. */
void lathe_auth_check_again(lathe_auth *auth, lathe_http_text authorization,
                            lathe_http_text api_key, lathe_role need, int64_t now_us,
                            lathe_auth_verdict *verdict);

/* The same for a secret that a worker forwards after it took it from the rate. NULL: none was presented. */
void lathe_auth_check_secret(lathe_auth *auth, const char *secret, lathe_role need, int64_t now_us,
                             lathe_auth_verdict *verdict);

/* What a path of the inference port needs: NONE for /v2/health, INFER for models, READ for the repository's index and
 * statistics, OPERATE for load and unload. */
lathe_role lathe_auth_inference_role(const char *method, const char *path);

/* While no token is needed, a page in the user's own browser must not be able to ask in the user's stead. True: the request
 * comes from a page of another origin; or, but for `any_host`, it is for a host name other than "localhost" and literal
 * addresses (DNS rebinding). ptr NULL: the header is absent. */
bool lathe_auth_is_foreign(lathe_http_text host, lathe_http_text origin, bool any_host);

/* ---- auth/http.c: on exchanges ---- */

/* Checks a request; false: it has been answered. who (may be NULL) gets who asks. */
bool lathe_auth_admit(lathe_auth *auth, lathe_exchange *exchange, lathe_role need,
                      lathe_auth_who *who);
/* The same after it has waited (lathe_auth_check_again). */
bool lathe_auth_admit_again(lathe_auth *auth, lathe_exchange *exchange, lathe_role need);
/* The secret that a request presents, copied into buf, to be forwarded; NULL: none. */
const char *lathe_auth_secret(const lathe_exchange *exchange, char buf[LATHE_TOKEN_TEXT]);

#endif
