#include "cli/bench_load.h"

#include "base/clock.h"
#include "cli/bench_histogram.h"
#include "cli/bench_tls.h"

#include <llhttp.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PATIENCE_MS 10000 /* to connect, and for answers after a step's end */
#define MAX_BODY ((size_t)16 << 20)
#define MAX_ERROR ((size_t)2000)

typedef enum conn_state {
    CONN_CLOSED,
    CONN_OPENING,
    CONN_IDLE,
    CONN_BUSY,
    CONN_CLOSING
} conn_state;

typedef struct conn {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t writing;
    llhttp_t parser;
    bench_load *load;
    conn_state state;
    bool answered, keep; /* of the answer that is being read */
    bool is_writing;     /* the kernel has not taken all of the request */
    int64_t sent;
    lathe_buf body; /* of an answer that is wanted, or is no 200 */
    SSL *tls;       /* NULL: plain, as the two below */
    lathe_buf wire; /* what is being written */
    lathe_buf more; /* what waits for it */
} conn;

struct bench_load {
    uv_loop_t loop;
    uv_timer_t timer;
    llhttp_settings_t settings;
    struct sockaddr_storage address;
    char host[300];
    char name[256];   /* of the host, without the port */
    SSL_CTX *tls;     /* NULL: plain */
    char broken[200]; /* a TLS that failed while it was opened; "": none */
    lathe_buf plain;
    conn **conns;
    size_t n_conns, busy, opening, closing;
    const lathe_buf *requests;
    size_t n_requests, next;
    int64_t end;    /* of the step: nothing is sent from then on */
    bool late;      /* the timer went off */
    bool keep_body; /* also of a 200 */
    int status;     /* of the last answer */
    int failed;     /* a libuv code: a connection could not be made */
    uint64_t errors;
    bench_histogram histogram;
    char first_error[MAX_ERROR];
    char input[65536];
};

/* ---- connections ---- */

static void start_connection(conn *c);
static void send_next(conn *c);

static void note_error(bench_load *l, int status, const char *text, size_t len) {
    l->errors++;
    if (l->first_error[0] != 0)
        return;
    if (status != 0)
        snprintf(l->first_error, sizeof l->first_error, "%d: %.*s", status,
                 (int)(len < 1000 ? len : 1000), text);
    else
        snprintf(l->first_error, sizeof l->first_error, "%.*s", (int)(len < 1000 ? len : 1000),
                 text);
}

static void on_closed(uv_handle_t *handle) {
    conn *c = handle->data;
    c->state = CONN_CLOSED;
    SSL_free(c->tls);
    c->tls = NULL;
    c->is_writing = false;
    c->load->closing--;
    if (lathe_now_ns() < c->load->end && c->load->failed == 0)
        start_connection(c);
}

static void close_connection(conn *c) {
    bench_load *l = c->load;
    if (c->state == CONN_CLOSED || c->state == CONN_CLOSING)
        return;
    l->busy -= c->state == CONN_BUSY;
    l->opening -= c->state == CONN_OPENING;
    l->closing++;
    c->state = CONN_CLOSING;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* It broke; one that had nothing to answer is no error. */
static void lose(conn *c, const char *why) {
    if (c->state == CONN_BUSY)
        note_error(c->load, 0, why, strlen(why));
    close_connection(c);
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    conn *c = parser->data;
    if (parser->status_code == 200 && !c->load->keep_body)
        return 0;
    lathe_buf_append(&c->body, at, len);
    return c->body.failed || c->body.len > MAX_BODY ? -1 : 0;
}

static int on_complete(llhttp_t *parser) {
    conn *c = parser->data;
    if (parser->status_code < 200)
        return 0;
    c->answered = true;
    c->keep = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

/* The answer is whole. */
static void finish_answer(conn *c) {
    bench_load *l = c->load;
    const int status = c->parser.status_code;
    l->status = status;
    if (status == 200)
        bench_histogram_add(&l->histogram, (uint64_t)(lathe_now_ns() - c->sent));
    else
        note_error(l, status, lathe_buf_str(&c->body), c->body.len);
    l->busy--;
    c->state = CONN_IDLE;
    if (!c->keep || c->is_writing) /* answered before it was all sent */
        close_connection(c);
    else
        send_next(c);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    conn *c = handle->data;
    (void)size;
    *buf = uv_buf_init(c->load->input, sizeof c->load->input);
}

/* Bytes of an answer. */
static void take(conn *c, const char *data, size_t n) {
    if (c->state != CONN_BUSY) { /* nothing was asked */
        close_connection(c);
        return;
    }
    const llhttp_errno_t rc = llhttp_execute(&c->parser, data, n);
    const bool whole =
        rc == HPE_PAUSED && c->answered && llhttp_get_error_pos(&c->parser) == data + n;
    if (whole)
        finish_answer(c);
    else if (rc != HPE_OK)
        lose(c, c->answered ? "the service answers with more than was announced"
                            : "the service's answer is no HTTP/1.1");
}

/* ---- writing ---- */

static void flush(conn *c);

static void on_written(uv_write_t *request, int status) {
    conn *c = request->data;
    c->is_writing = false;
    if (status != 0)
        lose(c, uv_strerror(status));
    else if (c->tls != NULL && c->state != CONN_CLOSING)
        flush(c);
}

/* The bytes must stay until they are written. */
static void put(conn *c, const char *data, size_t len) {
    uv_buf_t rest = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
    const int wrote = uv_try_write((uv_stream_t *)&c->tcp, &rest, 1);
    if (wrote == (int)len)
        return;
    if (wrote > 0)
        rest = uv_buf_init((char *)(uintptr_t)data + wrote, (unsigned)(len - (size_t)wrote));
    c->writing.data = c;
    const int rc = wrote < 0 && wrote != UV_EAGAIN
                       ? wrote
                       : uv_write(&c->writing, (uv_stream_t *)&c->tcp, &rest, 1, on_written);
    c->is_writing = rc == 0;
    if (rc != 0)
        lose(c, uv_strerror(rc));
}

/* With TLS: what waits goes out once the last is written. */
static void flush(conn *c) {
    if (c->is_writing || c->more.len == 0)
        return;
    const lathe_buf last = c->wire;
    c->wire = c->more;
    c->more = last;
    lathe_buf_clear(&c->more);
    put(c, c->wire.data, c->wire.len);
}

/* ---- reading ---- */

static void fail_connection(conn *c, int code);

static void begin(conn *c) {
    c->load->opening--;
    c->state = CONN_IDLE;
    send_next(c);
}

static void take_cipher(conn *c, const char *data, size_t n) {
    bench_load *l = c->load;
    char why[200] = "out of memory";
    lathe_buf_clear(&l->plain);
    const bool good = bench_tls_receive(c->tls, data, n, &l->plain, &c->more, why);
    flush(c); /* of the handshake, or an alert */
    if (!good && c->state == CONN_OPENING) {
        snprintf(l->broken, sizeof l->broken, "%s", why);
        fail_connection(c, UV_EPROTO);
    } else if (!good) {
        lose(c, why);
    } else if (c->state == CONN_OPENING && bench_tls_is_open(c->tls)) {
        begin(c);
    } else if (l->plain.len > 0) {
        take(c, l->plain.data, l->plain.len);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    conn *c = stream->data;
    if (n == 0 || c->state == CONN_CLOSING)
        return;
    if (n < 0 && c->state == CONN_OPENING)
        fail_connection(c, n == UV_EOF ? UV_ECONNRESET : (int)n);
    else if (n < 0)
        lose(c, n == UV_EOF ? "the service closed the connection before it answered"
                            : uv_strerror((int)n));
    else if (c->tls != NULL)
        take_cipher(c, buf->base, (size_t)n);
    else
        take(c, buf->base, (size_t)n);
}

/* Idle: its next request, unless the step is over. */
static void send_next(conn *c) {
    bench_load *l = c->load;
    char why[200] = "out of memory";
    const int64_t now = lathe_now_ns();
    if (now >= l->end)
        return;
    const lathe_buf *request = &l->requests[l->next];
    l->next = l->next + 1 < l->n_requests ? l->next + 1 : 0;
    llhttp_init(&c->parser, HTTP_RESPONSE, &l->settings);
    c->parser.data = c;
    c->answered = false;
    lathe_buf_clear(&c->body);
    c->state = CONN_BUSY;
    l->busy++;
    c->sent = now;
    if (c->tls == NULL)
        put(c, request->data, request->len);
    else if (bench_tls_seal(c->tls, request->data, request->len, &c->more, why))
        flush(c);
    else
        lose(c, why);
}

static void fail_connection(conn *c, int code) {
    if (c->load->failed == 0)
        c->load->failed = code;
    close_connection(c);
}

static bool begin_tls(conn *c) {
    bench_load *l = c->load;
    lathe_buf_clear(&c->wire);
    lathe_buf_clear(&c->more);
    c->tls = bench_tls_open(l->tls, l->name);
    if (c->tls == NULL || !bench_tls_begin(c->tls, &c->more, l->broken))
        return false;
    flush(c);
    return true;
}

static void on_connected(uv_connect_t *request, int status) {
    conn *c = request->data;
    if (c->state != CONN_OPENING)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (status == 0)
        uv_tcp_nodelay(&c->tcp, 1);
    if (status == 0 && c->load->tls != NULL && !begin_tls(c))
        status = UV_EPROTO;
    if (status != 0)
        fail_connection(c, status);
    else if (c->tls == NULL)
        begin(c);
}

static void start_connection(conn *c) {
    int rc = uv_tcp_init(&c->load->loop, &c->tcp);
    c->tcp.data = c;
    c->connecting.data = c;
    if (rc != 0) {
        c->load->failed = rc;
        return;
    }
    c->state = CONN_OPENING;
    c->load->opening++;
    rc =
        uv_tcp_connect(&c->connecting, &c->tcp, (struct sockaddr *)&c->load->address, on_connected);
    if (rc != 0)
        fail_connection(c, rc);
}

/* ---- steps ---- */

static void on_timer(uv_timer_t *timer) {
    ((bench_load *)timer->data)->late = true;
}

static void set_timer(bench_load *l, double ms) {
    l->late = false;
    uv_update_time(&l->loop);
    uv_timer_start(&l->timer, on_timer, (uint64_t)ms, 0);
}

static int32_t fail_connect(bench_load *l, int code, lathe_error *err) {
    if (l->broken[0] != 0)
        return lathe_fail(err, LATHE_E_IO, l->host, "%s", l->broken);
    return lathe_fail(
        err, LATHE_E_IO, l->host,
        code == UV_ECONNREFUSED
            ? "cannot connect: %s; start `lathe serve`, or name the service with --url"
            : "cannot connect: %s",
        uv_strerror(code));
}

/* Makes the first n connections, all of them idle. */
static int32_t connect_all(bench_load *l, size_t n, lathe_error *err) {
    l->end = 0;
    l->failed = 0;
    l->broken[0] = 0;
    if (n > l->n_conns) {
        conn **more = realloc(l->conns, n * sizeof *more);
        l->conns = more ? more : l->conns;
        while (more != NULL && l->n_conns < n &&
               (more[l->n_conns] = calloc(1, sizeof(conn))) != NULL)
            more[l->n_conns++]->load = l;
        if (l->n_conns < n)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    while (l->closing > 0) /* of the step before */
        uv_run(&l->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < n && l->failed == 0; i++)
        if (l->conns[i]->state == CONN_CLOSED)
            start_connection(l->conns[i]);
    set_timer(l, PATIENCE_MS);
    while (l->opening > 0 && l->failed == 0 && !l->late)
        uv_run(&l->loop, UV_RUN_ONCE);
    uv_timer_stop(&l->timer);
    if (l->failed == 0 && l->opening == 0)
        return LATHE_OK;
    return fail_connect(l, l->failed != 0 ? l->failed : UV_ETIMEDOUT, err);
}

/* The first `n` connections at work until `end` (ns), and until all is answered. */
static int32_t work(bench_load *l, size_t n, int64_t begin, double seconds, lathe_error *err) {
    l->errors = 0;
    l->first_error[0] = 0;
    memset(&l->histogram, 0, sizeof l->histogram);
    l->end = begin + (int64_t)(seconds * 1e9);
    set_timer(l, seconds * 1000 + PATIENCE_MS);
    for (size_t i = 0; i < n; i++)
        if (l->conns[i]->state == CONN_IDLE)
            send_next(l->conns[i]);
        else if (l->conns[i]->state == CONN_CLOSED) /* an idle one that the service closed */
            start_connection(l->conns[i]);
    while (l->busy + l->opening + l->closing > 0 && l->failed == 0 && !l->late)
        uv_run(&l->loop, UV_RUN_ONCE);
    uv_timer_stop(&l->timer);
    l->end = 0;
    if (l->failed != 0)
        return fail_connect(l, l->failed, err);
    for (size_t i = 0; i < n; i++)
        if (l->conns[i]->state == CONN_BUSY || l->conns[i]->state == CONN_OPENING)
            lose(l->conns[i], "no answer within 10 s");
    return LATHE_OK;
}

int32_t bench_load_step(bench_load *l, const lathe_buf *requests, size_t n, size_t connections,
                        double seconds, bench_step *step, lathe_error *err) {
    *step = (bench_step){.connections = connections};
    l->requests = requests;
    l->n_requests = n;
    l->next = l->next < n ? l->next : 0;
    l->keep_body = false;
    int32_t rc = connect_all(l, connections, err);
    if (rc != LATHE_OK)
        return rc;
    const int64_t begin = lathe_now_ns();
    rc = work(l, connections, begin, seconds, err);
    const bench_histogram *h = &l->histogram;
    step->seconds = (double)(lathe_now_ns() - begin) / 1e9;
    step->requests = h->n;
    step->errors = l->errors;
    step->rate = (double)h->n / step->seconds;
    step->p50 = (double)bench_histogram_quantile(h, 0.5) / 1e6;
    step->p99 = (double)bench_histogram_quantile(h, 0.99) / 1e6;
    step->p999 = (double)bench_histogram_quantile(h, 0.999) / 1e6;
    step->max = (double)h->max / 1e6;
    return rc;
}

int32_t bench_load_ask(bench_load *l, const lathe_buf *request, int *status, lathe_buf *body,
                       lathe_error *err) {
    l->requests = request;
    l->n_requests = 1;
    l->next = 0;
    l->keep_body = true;
    l->status = 0;
    int32_t rc = connect_all(l, 1, err);
    if (rc != LATHE_OK)
        return rc;
    l->first_error[0] = 0;
    set_timer(l, PATIENCE_MS);
    l->end = INT64_MAX;
    if (l->conns[0]->state == CONN_IDLE)
        send_next(l->conns[0]);
    l->end = 0; /* that one alone */
    while (l->busy > 0 && !l->late)
        uv_run(&l->loop, UV_RUN_ONCE);
    uv_timer_stop(&l->timer);
    if (l->late && l->conns[0]->state == CONN_BUSY)
        lose(l->conns[0], "no answer within 10 s");
    *status = l->status;
    if (l->status == 0)
        return lathe_fail(err, LATHE_E_IO, l->host, "%s",
                          l->first_error[0] ? l->first_error : "the service closed the connection");
    lathe_buf_append(body, lathe_buf_str(&l->conns[0]->body), l->conns[0]->body.len);
    return body->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory") : LATHE_OK;
}

const char *bench_load_first_error(const bench_load *l) {
    return l->first_error;
}

/* ---- opening ---- */

/* "http[s]://HOST[:PORT][/]" in its parts. */
static bool split_url(const char *url, char host[256], char port[8], bool *tls) {
    *tls = strncmp(url, "https://", 8) == 0;
    const bool scheme = *tls || strncmp(url, "http://", 7) == 0;
    const char *at = scheme ? url + (*tls ? 8 : 7) : url;
    const bool six = *at == '[';
    const size_t len = six ? strcspn(++at, "]") : strcspn(at, ":/");
    const char *rest = at + len + (six && at[len] == ']');
    if (!scheme || len == 0 || len >= 256 || (six && at[len] != ']'))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] <= ' ' || strchr("@?#", at[i]) != NULL)
            return false;
    snprintf(host, 256, "%.*s", (int)len, at);
    snprintf(port, 8, *tls ? "443" : "80");
    if (*rest == ':') {
        const size_t digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits > 5 || atoi(rest) < 1 || atoi(rest) > 65535)
            return false;
        snprintf(port, 8, "%.*s", (int)digits, rest);
        rest += digits;
    }
    return *rest == 0 || strcmp(rest, "/") == 0;
}

static int32_t resolve(bench_load *l, const char *url, bool *tls, lathe_error *err) {
    char *host = l->name, port[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (!split_url(url, l->name, port, tls))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.100s\" is no URL to load; expected http://HOST:PORT or "
                          "https://HOST:PORT",
                          url);
    snprintf(l->host, sizeof l->host, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    const int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return lathe_fail(err, LATHE_E_IO, l->host, "cannot find the host: %s", gai_strerror(rc));
    const struct addrinfo *best = found; /* "localhost": `lathe serve` listens on IPv4 by default */
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
        if (a->ai_family == AF_INET && best->ai_family != AF_INET)
            best = a;
    memcpy(&l->address, best->ai_addr, best->ai_addrlen);
    freeaddrinfo(found);
    return LATHE_OK;
}

int32_t bench_load_open(const char *url, const char *ca_file, bench_load **out, lathe_error *err) {
    bool tls = false;
    *out = NULL;
    bench_load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = resolve(l, url, &tls, err);
    if (rc == LATHE_OK && tls)
        rc = bench_tls_new(ca_file, &l->tls, err);
    if (rc == LATHE_OK && uv_loop_init(&l->loop) != 0)
        rc = lathe_fail(err, LATHE_E_INTERNAL, NULL, "the event loop does not begin");
    if (rc != LATHE_OK) {
        SSL_CTX_free(l->tls);
        free(l);
        return rc;
    }
    uv_timer_init(&l->loop, &l->timer);
    l->timer.data = l;
    llhttp_settings_init(&l->settings);
    l->settings.on_body = on_body;
    l->settings.on_message_complete = on_complete;
    *out = l;
    return LATHE_OK;
}

const char *bench_load_host(const bench_load *l) {
    return l->host;
}

void bench_load_close(bench_load *l) {
    if (l == NULL)
        return;
    l->end = 0;
    for (size_t i = 0; i < l->n_conns; i++)
        close_connection(l->conns[i]);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    uv_loop_close(&l->loop);
    for (size_t i = 0; i < l->n_conns; i++) {
        lathe_buf_free(&l->conns[i]->body);
        lathe_buf_free(&l->conns[i]->wire);
        lathe_buf_free(&l->conns[i]->more);
        free(l->conns[i]);
    }
    SSL_CTX_free(l->tls);
    lathe_buf_free(&l->plain);
    free(l->conns);
    free(l);
}
