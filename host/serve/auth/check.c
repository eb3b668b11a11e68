/* Deciding on a request: credentials (RFC 6750), roles, rates, origins.
 *
 * Rates follow the generic cell rate algorithm (ITU-T I.371): a bucket holds the time at which it would be full again
 * (theoretical arrival time), so that one compare-and-swap takes from it.
 */
#include "serve/auth/internal.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS ((uint64_t)1000000000)

static void LATHE_PRINTF(4, 5)
    deny(lathe_auth_verdict *v, int status, const char *error, const char *fmt, ...) {
    va_list ap;
    v->status = status;
    snprintf(v->headers, sizeof v->headers, "www-authenticate: Bearer realm=\"lathe\"%s\r\n",
             error);
    va_start(ap, fmt);
    vsnprintf(v->message, sizeof v->message, fmt, ap);
    va_end(ap);
}

/* ---- credentials ---- */

static lathe_http_text trim(const char *ptr, size_t len) {
    while (len > 0 && (*ptr == ' ' || *ptr == '\t')) {
        ptr++;
        len--;
    }
    while (len > 0 && (ptr[len - 1] == ' ' || ptr[len - 1] == '\t'))
        len--;
    return (lathe_http_text){ptr, len};
}

/* token68 of RFC 7235: without blanks and commas, so that repeated headers are none. */
static bool is_token68(lathe_http_text text) {
    size_t n = 0;
    for (; n < text.len && text.ptr[n] != '='; n++) {
        const char c = text.ptr[n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != 0 && strchr("-._~+/", c) != NULL)))
            return false;
    }
    const bool some = n > 0;
    while (n < text.len && text.ptr[n] == '=')
        n++;
    return some && n == text.len;
}

/* The secret in the headers; ptr NULL: none. False: malformed, or two at once; the verdict says how. */
static bool find_secret(lathe_http_text authorization, lathe_http_text api_key,
                        lathe_http_text *secret, lathe_auth_verdict *v) {
    static const char scheme[] = "bearer";
    const size_t n = sizeof scheme - 1;
    *secret = (lathe_http_text){0};
    if (authorization.ptr != NULL) {
        const lathe_http_text value = trim(authorization.ptr, authorization.len);
        if (value.len < n || strncasecmp(value.ptr, scheme, n) != 0 ||
            (value.len > n && value.ptr[n] != ' ')) {
            deny(v, 401, "", "the header Authorization is not of the form \"Bearer TOKEN\"");
            return false;
        }
        *secret = trim(value.ptr + n, value.len - n);
    }
    if (api_key.ptr != NULL && authorization.ptr != NULL) {
        deny(v, 400, ", error=\"invalid_request\"",
             "send the token as Authorization or as X-Api-Key, not both");
        return false;
    }
    if (api_key.ptr != NULL)
        *secret = trim(api_key.ptr, api_key.len);
    if (secret->ptr != NULL && !is_token68(*secret)) {
        deny(v, 400, ", error=\"invalid_request\"",
             "the token in the header is empty or malformed");
        return false;
    }
    return true;
}

static bool digest_of(lathe_auth *auth, lathe_http_text secret,
                      uint8_t digest[LATHE_SHA256_BYTES]) {
    unsigned len = 0;
    if (auth->digest == NULL) { /* the library takes its time at its first use */
        auth->digest = EVP_MD_CTX_new();
        if (auth->digest == NULL || EVP_DigestInit_ex(auth->digest, EVP_sha256(), NULL) != 1) {
            EVP_MD_CTX_free(auth->digest);
            auth->digest = NULL;
            return false;
        }
    }
    return EVP_DigestInit_ex(auth->digest, NULL, NULL) == 1 &&
           EVP_DigestUpdate(auth->digest, secret.ptr, secret.len) == 1 &&
           EVP_DigestFinal_ex(auth->digest, digest, &len) == 1 && len == LATHE_SHA256_BYTES;
}

/* Every digest is compared, and no branch depends on the result before the last. */
static const lathe_auth_token *find_token(const lathe_auth *auth,
                                          const uint8_t digest[LATHE_SHA256_BYTES],
                                          bool *is_previous) {
    size_t found = SIZE_MAX, previous = 0;
    for (size_t i = 0; i < auth->count; i++) {
        const size_t now =
            (size_t)(CRYPTO_memcmp(auth->tokens[i].digest, digest, LATHE_SHA256_BYTES) == 0);
        const size_t before =
            (size_t)(CRYPTO_memcmp(auth->tokens[i].previous, digest, LATHE_SHA256_BYTES) == 0);
        const size_t mask = (size_t)0 - (now | before);
        found = (found & ~mask) | (i & mask);
        previous |= before;
    }
    *is_previous = previous != 0;
    return found < auth->count ? &auth->tokens[found] : NULL;
}

/* ---- rates ---- */

/* Takes one request from a bucket. 0: granted; else the nanoseconds until it would be. A time that no sequence of grants
 * leaves behind, since foreign code can write shared memory, is taken for now. */
static uint64_t take(_Atomic uint64_t *bucket, double rate, uint64_t now) {
    const double interval = 1e9 / rate;
    const uint64_t step = interval > 1e17 ? (uint64_t)1e17 : interval < 1 ? 1 : (uint64_t)interval;
    const uint64_t burst =
        rate < 2 ? 0 : (uint64_t)((double)SECOND_NS - interval); /* beyond the first */
    uint64_t full = atomic_load_explicit(bucket, memory_order_relaxed);
    for (;;) {
        uint64_t from = full > now && full - now <= burst + step ? full : now;
        if (from - now > burst)
            return from - now - burst;
        if (atomic_compare_exchange_weak(bucket, &full, from + step))
            return 0;
    }
}

/* Where there is no rate the bucket is the time of the last use, to the second. */
static void note_use(_Atomic uint64_t *bucket, uint64_t now) {
    const uint64_t seen = atomic_load_explicit(bucket, memory_order_relaxed);
    if (seen > now || now - seen > SECOND_NS)
        atomic_store_explicit(bucket, now, memory_order_relaxed);
}

static void check_rate(const lathe_auth *auth, const lathe_auth_token *token, int64_t now_ns,
                       lathe_auth_verdict *v) {
    _Atomic uint64_t *bucket = lathe_auth_bucket(auth, token);
    uint64_t wait = 0;
    if (bucket == NULL)
        return;
    if (token->rate > 0)
        wait = take(bucket, token->rate, (uint64_t)now_ns);
    else
        note_use(bucket, (uint64_t)now_ns);
    if (wait == 0)
        return;
    const unsigned long long seconds = (wait + SECOND_NS - 1) / SECOND_NS;
    v->status = 429;
    snprintf(v->headers, sizeof v->headers, "retry-after: %llu\r\n", seconds);
    snprintf(v->message, sizeof v->message,
             "the token \"%.60s\" may ask %g times a second; try again in %llu s", token->name,
             token->rate, seconds);
}

/* ---- the decision ---- */

/* The token of a secret that is valid now and may do this, or NULL with a verdict. */
static const lathe_auth_token *authorise(lathe_auth *auth, lathe_http_text secret, lathe_role need,
                                         int64_t now_us, lathe_auth_verdict *v) {
    static const char invalid[] = ", error=\"invalid_token\"";
    uint8_t digest[LATHE_SHA256_BYTES];
    bool previous;
    if (secret.ptr == NULL) {
        deny(v, 401, "", "a token is needed; send it as \"Authorization: Bearer TOKEN\"");
        return NULL;
    }
    if (!digest_of(auth, secret, digest)) {
        v->status = 503;
        snprintf(v->message, sizeof v->message, "out of memory");
        return NULL;
    }
    const lathe_auth_token *token = find_token(auth, digest, &previous);
    if (token == NULL)
        deny(v, 401, invalid, "the token is not known, or was revoked");
    else if (token->revoked)
        deny(v, 401, invalid, "the token \"%.60s\" was revoked", token->name);
    else if (token->expires != 0 && token->expires <= now_us)
        deny(v, 401, invalid, "the token \"%.60s\" has expired", token->name);
    else if (previous && token->previous_until <= now_us)
        deny(v, 401, invalid,
             "the token \"%.60s\" has a new secret, and this one is no longer valid", token->name);
    else if (token->role < need) {
        char error[80];
        snprintf(error, sizeof error, ", error=\"insufficient_scope\", scope=\"%s\"",
                 lathe_role_name(need));
        deny(v, 403, error, "the token \"%.60s\" has the role \"%s\"; this needs \"%s\"",
             token->name, lathe_role_name(token->role), lathe_role_name(need));
    } else {
        return token;
    }
    return NULL;
}

static void grant(const lathe_auth_token *token, lathe_auth_verdict *v) {
    v->status = 200;
    v->who.role = token->role;
    snprintf(v->who.actor, sizeof v->who.actor, "token:%s", token->name);
    snprintf(v->who.project, sizeof v->who.project, "%s", token->project);
}

/* No token is asked for: everybody who reaches the port may do everything, health without a token nothing else. */
static bool is_open(const lathe_auth *auth, lathe_role need, lathe_auth_verdict *v) {
    *v = (lathe_auth_verdict){0};
    if (auth->required && need != LATHE_ROLE_NONE)
        return false;
    v->status = 200;
    v->who.role = auth->required ? LATHE_ROLE_NONE : LATHE_ROLE_ADMIN;
    return true;
}

/* The token that is asked with, where one is needed and good; the rate is not looked at. */
static const lathe_auth_token *identify(lathe_auth *auth, lathe_http_text authorization,
                                        lathe_http_text api_key, lathe_role need, int64_t now_us,
                                        lathe_auth_verdict *verdict) {
    lathe_http_text secret;
    auth->last = auth->nobody;
    auth->last_project[0] = 0;
    if (is_open(auth, need, verdict) || !find_secret(authorization, api_key, &secret, verdict))
        return NULL;
    const lathe_auth_token *token = authorise(auth, secret, need, now_us, verdict);
    if (token == NULL)
        return NULL;
    grant(token, verdict);
    auth->last = token->meter;
    if (token->project[0] != 0)
        memcpy(auth->last_project, token->project, sizeof auth->last_project);
    return token;
}

void lathe_auth_check(lathe_auth *auth, lathe_http_text authorization, lathe_http_text api_key,
                      lathe_role need, int64_t now_us, int64_t now_ns,
                      lathe_auth_verdict *verdict) {
    const lathe_auth_token *token = identify(auth, authorization, api_key, need, now_us, verdict);
    if (token != NULL)
        check_rate(auth, token, now_ns, verdict);
}

void lathe_auth_check_again(lathe_auth *auth, lathe_http_text authorization,
                            lathe_http_text api_key, lathe_role need, int64_t now_us,
                            lathe_auth_verdict *verdict) {
    (void)identify(auth, authorization, api_key, need, now_us, verdict);
}

void lathe_auth_check_secret(lathe_auth *auth, const char *secret, lathe_role need, int64_t now_us,
                             lathe_auth_verdict *verdict) {
    if (is_open(auth, need, verdict))
        return;
    const lathe_http_text text = {secret, secret != NULL ? strlen(secret) : 0};
    const lathe_auth_token *token = authorise(auth, text, need, now_us, verdict);
    if (token != NULL)
        grant(token, verdict);
}

/* ---- what paths need ---- */

static bool begins(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *tail) {
    const size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

lathe_role lathe_auth_inference_role(const char *method, const char *path) {
    if (strcmp(path, "/v2/health") == 0 || begins(path, "/v2/health/"))
        return LATHE_ROLE_NONE;
    if (begins(path, "/v2/repository/"))
        return ends(path, "/index") ? LATHE_ROLE_READ : LATHE_ROLE_OPERATE;
    if (begins(path, "/v2/models/stats") || (begins(path, "/v2/models/") && ends(path, "/stats")))
        return LATHE_ROLE_READ;
    if (strcmp(path, "/v2/logging") == 0 || ends(path, "/trace/setting") ||
        begins(path, "/v2/systemsharedmemory/") || begins(path, "/v2/cudasharedmemory/"))
        return strcmp(method, "GET") == 0 ? LATHE_ROLE_READ : LATHE_ROLE_OPERATE;
    return LATHE_ROLE_INFER;
}

/* ---- origins ---- */

/* "127.0.0.1:8000", "[::1]:8000", "localhost": an address or this machine's own name, which no other page's DNS can give. */
static bool is_literal_host(lathe_http_text host) {
    char name[64];
    struct in6_addr address;
    const char *ptr = host.ptr;
    size_t len = 0;
    if (host.len > 0 && ptr[0] == '[') {
        ptr++;
        while (len + 1 < host.len && ptr[len] != ']')
            len++;
    } else {
        while (len < host.len && ptr[len] != ':')
            len++;
    }
    if (len == 0 || len >= sizeof name)
        return false;
    memcpy(name, ptr, len);
    name[len] = 0;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1 ||
           inet_pton(AF_INET6, name, &address) == 1;
}

bool lathe_auth_is_foreign(lathe_http_text host, lathe_http_text origin, bool any_host) {
    if (host.ptr != NULL && !any_host && !is_literal_host(trim(host.ptr, host.len)))
        return true;
    if (origin.ptr == NULL)
        return false;
    const lathe_http_text from = trim(origin.ptr, origin.len),
                          to = trim(host.ptr, host.ptr ? host.len : 0);
    for (size_t i = 0; i + 3 <= from.len; i++)
        if (memcmp(from.ptr + i, "://", 3) == 0) {
            const size_t rest = from.len - i - 3;
            return rest == 0 || rest != to.len || strncasecmp(from.ptr + i + 3, to.ptr, rest) != 0;
        }
    return true; /* "null", or nothing that a browser sends */
}
