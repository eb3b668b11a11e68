/* serve/http/http.h: HTTP/1.1 on a libuv loop: connections, limits and deadlines; requests in, answers out.
 *
 * One server has one listening socket and one loop; everything runs on the loop's thread [loop]. A request is handed
 * over when its body is complete (bounded; gzip and deflate are inflated within the bound). The handler answers at
 * once or later; a client that leaves meanwhile is noticed. Every error that the layer itself finds has a JSON
 * body {"error": "…"} too: 400 malformed, 408 too slow, 411, 413 too large, 414, 417, 431, 501, 505, 503 when full.
 *
 * Answers of 1 KiB to 1 MiB go out in gzip or deflate where Accept-Encoding asks for it.
 *
 * Deadlines are absolute, counted from the first byte of the head and of the body, so that a slow client cannot hold
 * a connection by sending a byte now and then. Keep-alive and pipelining: answers go out in the order of the
 * requests. TLS where a context is given.
 */
#ifndef LATHE_SERVE_HTTP_H
#define LATHE_SERVE_HTTP_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

typedef struct lathe_http lathe_http;
/* One request and its answer; valid until the answer is complete or on_gone returns. */
typedef struct lathe_exchange lathe_exchange;

typedef struct lathe_http_text {
    const char *ptr; /* not NUL-terminated */
    size_t len;
} lathe_http_text;

typedef struct lathe_http_request {
    const char *method; /* "GET", …; NUL-terminated */
    const char
        *path; /* percent-decoded, without the query; NUL-terminated, "..", "//" and NUL refused */
    const char *query;   /* as sent, without '?'; "" where there is none */
    const uint8_t *body; /* inflated; 64-byte aligned */
    size_t body_len;
    bool keep_alive;
    int minor_version; /* of HTTP/1.x */
} lathe_http_request;

typedef struct lathe_http_limits {
    size_t max_head;        /* bytes of request line and headers; 0: 16 KiB */
    size_t max_body;        /* bytes, also after inflating; 0: 64 MiB */
    size_t max_connections; /* 0: 1024; a further one gets 503 and is closed */
    size_t max_pipelined;   /* requests of one connection under way; 0: 16 */
    uint64_t head_ms;       /* from the first byte of a head to its end; 0: 10 000 */
    uint64_t body_ms;       /* for a body; 0: 60 000 */
    uint64_t idle_ms;       /* between requests; 0: 75 000 */
    uint64_t write_ms;      /* for the client to take an answer; 0: 60 000 */
} lathe_http_limits;

typedef struct lathe_http_options {
    lathe_http_limits limits;
    const char *server_name; /* header "server"; NULL: none */
    void *tls;               /* an SSL_CTX of OpenSSL's; NULL: plain */
    /* A request is complete. Answer with lathe_http_reply now or later. */
    void (*on_request)(void *user, lathe_exchange *exchange);
    void *user;
} lathe_http_options;

/* Takes over a bound, listening, non-blocking socket. Ignores SIGPIPE from now on, where nothing handles it. */
int32_t lathe_http_start(uv_loop_t *loop, int socket, const lathe_http_options *options,
                         lathe_http **server, lathe_error *err);

/* From now on: requests under way keep the bounds they began with, and deadlines that run stay. Connections beyond a new
 * bound stay open. */
void lathe_http_set_limits(lathe_http *server, const lathe_http_limits *limits);

/* Idle connections close; those with a request under way close after its answer; new ones meanwhile are told 503.
 * on_stopped is called once all that were served are gone, or after `grace_ms`, when the rest is cut. */
void lathe_http_stop(lathe_http *server, uint64_t grace_ms, void (*on_stopped)(void *user),
                     void *user);
size_t lathe_http_connections(const lathe_http *server);

/* ---- requests ---- */

const lathe_http_request *lathe_http_get(const lathe_exchange *exchange);
/* A header by lower-case name; ptr NULL: absent. Repeats are joined by ", ". */
lathe_http_text lathe_http_header_of(const lathe_exchange *exchange, const char *name, size_t len);
static inline lathe_http_text lathe_http_header(const lathe_exchange *exchange, const char *name) {
    return lathe_http_header_of(exchange, name,
                                strlen(name)); /* inline: of a literal it is known */
}
/* A query parameter, percent-decoded into buf; NULL: absent or too long. */
const char *lathe_http_query(const lathe_exchange *exchange, const char *name, char *buf,
                             size_t size);
/* "127.0.0.1:4711" */
const char *lathe_http_peer(const lathe_exchange *exchange);

/* Called once if the client leaves before the answer is complete; the exchange is gone after it. */
void lathe_http_on_gone(lathe_exchange *exchange, void (*on_gone)(void *user), void *user);

/* ---- answers: status is 200 … 599; everything is copied ---- */

/* Further header lines "name: value\r\n", joined; NULL: none. The layer itself sends content-length, content-type, date,
 * connection and server. */
void lathe_http_reply(lathe_exchange *exchange, int status, const char *content_type,
                      const char *headers, const void *body, size_t len);
/* {"error": "<message>"} */
void lathe_http_fail(lathe_exchange *exchange, int status, const char *headers, const char *fmt,
                     ...) LATHE_PRINTF(4, 5);

/* Room in the connection's own output buffer for an answer of at most `max` bytes, written by the caller without a
 * copy; then commit with its real length. NULL: out of memory (then answer 503). */
uint8_t *lathe_http_reserve(lathe_exchange *exchange, size_t max);
void lathe_http_commit(lathe_exchange *exchange, int status, const char *content_type,
                       const char *headers, size_t len);

/* An answer without end (server-sent events): chunked. False from write: the client is gone or too slow (more than
 * 1 MiB waits). */
void lathe_http_stream_begin(lathe_exchange *exchange, int status, const char *content_type);
bool lathe_http_stream_write(lathe_exchange *exchange, const void *data, size_t len);
void lathe_http_stream_end(lathe_exchange *exchange);

#endif
