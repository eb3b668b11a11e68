/* serve/http/internal.h: connections, exchanges and the server, shared by the files of serve/http. [loop]
 *
 * A connection owns a row of exchanges, oldest first; the answer of the first goes to the connection's output, those
 * of the others wait in their own buffer. Buffers and exchanges come from free lists of the server, last in, first
 * out, so that a steady load allocates nothing and an idle connection holds no buffer.
 *
 * Nothing is freed while a caller may look at it: a connection that must go is cut (its handle closes) and tells
 * its exchanges' owners when libuv calls back, in the same turn of the loop.
 */
#ifndef LATHE_SERVE_HTTP_INTERNAL_H
#define LATHE_SERVE_HTTP_INTERNAL_H

#include "serve/http/parse.h"

#include <openssl/ssl.h>

#define HTTP_SCRATCH ((size_t)64 << 10)
#define HTTP_STREAM_WAITING ((size_t)1 << 20)
#define HTTP_LINGER_MS 1000
#define HTTP_NEVER UINT64_MAX

typedef struct http_conn http_conn;

/* Bytes to be sent: data[start … len). */
typedef struct http_out {
    char *data;
    size_t start, len, cap;
} http_out;

typedef enum http_coding { HTTP_PLAIN, HTTP_GZIP, HTTP_DEFLATE } http_coding;

struct lathe_exchange {
    http_parse parse; /* first: the core's state and the request */
    lathe_http *server;
    http_conn *conn; /* NULL: the connection is gone, the answer goes nowhere */
    lathe_exchange *next;
    http_out out; /* an answer that waits for its turn, or a reserved one */
    size_t reserved;
    http_coding coding; /* of the answer's body */
    void (*on_gone)(void *user);
    void *gone_user;
    bool is_handed;  /* to on_request */
    bool is_done;    /* the answer is complete */
    bool is_stream;  /* begun and not ended */
    bool is_chunked; /* that stream */
    bool closes;     /* the connection ends after this answer */
};

struct http_conn {
    uv_tcp_t tcp; /* first: handles are cast */
    uv_write_t write;
    uv_shutdown_t shutdown;
    lathe_http *server;
    http_conn *prev, *next;
    lathe_exchange *first, *last; /* handed over, in the order of arrival */
    size_t open;
    lathe_exchange *current; /* being received */
    http_out out, flight;    /* to be sent; being sent */
    http_out held;           /* received and not yet taken: too many requests are under way */
    SSL *tls;
    http_out cipher; /* with TLS: what goes on the wire; then `out` is plain text */
    uint64_t read_deadline, write_deadline; /* loop time, ms */
    char peer[64];
    bool is_feeding; /* answers are gathered and written at the end */
    bool is_deaf;    /* takes no further request; what still comes is thrown away */
    bool is_ending;  /* after the last byte of output: shut down and linger */
    bool is_shut;    /* the shutdown is sent */
    bool is_reading;
    bool is_writing;
    bool is_closing; /* uv_close is called */
    bool is_refused; /* over the cap: only told so */
    bool owes_continue;
};

struct lathe_http {
    uv_loop_t *loop;
    uv_poll_t listener;
    uv_timer_t tick;
    int fd;
    lathe_http_options options;
    lathe_http_limits limits;
    http_conn *conns;
    size_t conn_count, refused_count;
    lathe_exchange *spare; /* free list */
    size_t spare_count;
    http_out spare_out[64];
    size_t spare_outs;
    uint64_t tick_ms;
    bool is_listening, is_stopping, is_ticking;
    int open_handles; /* listener and tick */
    uint64_t cut_at;
    void (*on_stopped)(void *user);
    void *stopped_user;
    z_stream *deflaters[2]; /* of answers: deflate, gzip; NULL until one is needed */
    int64_t date_second;
    char date[64]; /* "date: …\r\n" */
    size_t date_len;
    char scratch[HTTP_SCRATCH];
    char plain[HTTP_SCRATCH]; /* with TLS: what was deciphered */
};

/* ---- http/server.c ---- */
lathe_exchange *http_exchange_take(lathe_http *server); /* NULL: out of memory */
void http_exchange_give(lathe_exchange *exchange);
void http_conn_remember(http_conn *c);
void http_conn_forget(http_conn *c); /* closed: out of the list, and freed */

/* ---- http/conn.c ---- */
void http_conn_open(lathe_http *server, int fd, bool is_refused);
void http_conn_cut(http_conn *c);
void http_conn_read(http_conn *c);
/* Plain bytes from the client; that it sends no more. */
void http_conn_receive(http_conn *c, const uint8_t *data, size_t len);
void http_conn_eof(http_conn *c);
/* Deadlines; what a stop asks. */
void http_conn_tick(http_conn *c, uint64_t now);
void http_conn_stop(http_conn *c);
/* An exchange has its complete answer: writes what is due, takes up what was held. The exchange may be gone
 * afterwards. */
void http_conn_answered(lathe_exchange *exchange);

/* ---- http/write.c ---- */
bool http_out_room(lathe_http *server, http_out *out, size_t more);
bool http_out_append(lathe_http *server, http_out *out, const void *data, size_t len);
void http_out_give(lathe_http *server, http_out *out);
/* Sends what waits in c->out; cuts the connection where that fails. */
void http_conn_flush(http_conn *c);
size_t http_conn_waiting(const http_conn *c);

/* ---- http/encode.c ---- */
http_coding http_coding_wanted(const lathe_exchange *e);
/* Compresses an answer's body into *out, from byte `before` on. HTTP_PLAIN: it stays as it is. */
http_coding http_encode(lathe_exchange *e, const void *body, size_t len, size_t before,
                        http_out *out, size_t *out_len);
void http_deflaters_free(lathe_http *server);

/* ---- http/tls.c ---- */
bool http_tls_open(http_conn *c);
void http_tls_close(http_conn *c);
/* Takes bytes from the wire and feeds what they mean. */
void http_tls_receive(http_conn *c, const uint8_t *data, size_t len);
/* Turns c->out into c->cipher. False: broken. */
bool http_tls_seal(http_conn *c);
/* Adds the closing alert. */
void http_tls_end(http_conn *c);

#endif
