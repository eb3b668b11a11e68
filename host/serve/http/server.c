/* The server: accepting, the list of connections, the tick of their deadlines, stopping. */
#include "base/log.h"
#include "serve/http/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define MAX_SPARE 256
#define MAX_REFUSED 64

/* ---- exchanges ---- */

lathe_exchange *http_exchange_take(lathe_http *server) {
    lathe_exchange *e = server->spare;
    if (e == NULL) {
        e = calloc(1, sizeof *e);
        if (e != NULL) {
            e->server = server;
            http_parse_begin(&e->parse, &server->limits);
        }
        return e;
    }
    server->spare = e->next;
    server->spare_count--;
    e->next = NULL;
    e->reserved = 0;
    e->coding = HTTP_PLAIN;
    e->on_gone = NULL;
    e->parse.limits = server->limits; /* they may have changed while it was spare */
    e->is_handed = e->is_done = e->is_stream = e->is_chunked = e->closes = false;
    return e;
}

static void exchange_free(lathe_exchange *e) {
    http_parse_free(&e->parse);
    free(e->out.data);
    free(e);
}

void http_exchange_give(lathe_exchange *e) {
    lathe_http *server = e->server;
    if (server == NULL || server->spare_count >= MAX_SPARE) {
        exchange_free(e);
        return;
    }
    if (e->out.data != NULL)
        http_out_give(server, &e->out);
    http_parse_begin(&e->parse, &server->limits); /* large buffers go now */
    e->conn = NULL;
    e->next = server->spare;
    server->spare = e;
    server->spare_count++;
}

/* ---- the end ---- */

static void server_free(lathe_http *server) {
    while (server->spare != NULL) {
        lathe_exchange *e = server->spare;
        server->spare = e->next;
        exchange_free(e);
    }
    http_deflaters_free(server);
    while (server->spare_outs > 0)
        free(server->spare_out[--server->spare_outs].data);
    free(server);
}

static void on_handle_closed(uv_handle_t *handle) {
    lathe_http *server = handle->data;
    if (--server->open_handles > 0)
        return;
    void (*done)(void *) = server->on_stopped;
    void *user = server->stopped_user;
    server_free(server);
    if (done != NULL)
        done(user);
}

static void on_listener_closed(uv_handle_t *handle) {
    lathe_http *server = handle->data;
    close(server->fd);
    on_handle_closed(handle);
}

/* Once the last connection that was served is gone, nobody is told any more that the server stops. */
static void end_if_empty(lathe_http *server) {
    if (!server->is_stopping || server->conn_count > 0)
        return;
    if (!uv_is_closing((uv_handle_t *)&server->listener))
        uv_close((uv_handle_t *)&server->listener, on_listener_closed);
    for (http_conn *c = server->conns; c != NULL; c = c->next)
        http_conn_cut(c);
    if (server->conns == NULL && !uv_is_closing((uv_handle_t *)&server->tick))
        uv_close((uv_handle_t *)&server->tick, on_handle_closed);
}

/* ---- the tick ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_tick(uv_timer_t *timer) {
    lathe_http *server = timer->data;
    const uint64_t now = uv_now(server->loop);
    const bool is_over = server->is_stopping && now >= server->cut_at;
    for (http_conn *c = server->conns; c != NULL;
         c = c->next) { /* the list changes only on closing */
        if (is_over)
            http_conn_cut(c);
        else
            http_conn_tick(c, now);
    }
    if (!server->is_listening &&
        !uv_is_closing(
            (uv_handle_t *)&server->listener)) /* descriptors were out; perhaps no more */
        server->is_listening = uv_poll_start(&server->listener, UV_READABLE, on_readable) == 0;
    if (server->conns == NULL && (server->is_listening || server->is_stopping)) {
        server->is_ticking = false;
        uv_timer_stop(timer);
    }
}

static void tick_on(lathe_http *server) {
    if (server->is_ticking)
        return;
    server->is_ticking = true;
    uv_timer_start(&server->tick, on_tick, server->tick_ms, server->tick_ms);
}

/* ---- connections ---- */

void http_conn_remember(http_conn *c) {
    lathe_http *server = c->server;
    c->next = server->conns;
    if (c->next != NULL)
        c->next->prev = c;
    server->conns = c;
    if (c->is_refused)
        server->refused_count++;
    else
        server->conn_count++;
    tick_on(server);
}

void http_conn_forget(http_conn *c) {
    lathe_http *server = c->server;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        server->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->is_refused)
        server->refused_count--;
    else
        server->conn_count--;
    free(c);
    end_if_empty(server);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    lathe_http *server = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        const int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0) { /* EMFILE and the like stay for a while: no busy loop meanwhile */
            lathe_log(LATHE_LEVEL_WARN, "http", "a connection cannot be accepted: %s",
                      uv_strerror(uv_translate_sys_error(errno)));
            server->is_listening = false;
            uv_poll_stop(poll);
            tick_on(server);
            return;
        }
        const bool is_refused =
            server->is_stopping || server->conn_count >= server->limits.max_connections;
        if (is_refused && server->refused_count >= MAX_REFUSED)
            close(fd);
        else
            http_conn_open(server, fd, is_refused);
    }
}

/* ---- starting and stopping ---- */

static lathe_http_limits with_defaults(lathe_http_limits l) {
    l.max_head = l.max_head > 0 ? l.max_head : (size_t)16 << 10;
    l.max_body = l.max_body > 0 ? l.max_body : (size_t)64 << 20;
    l.max_connections = l.max_connections > 0 ? l.max_connections : 1024;
    l.max_pipelined = l.max_pipelined > 0 ? l.max_pipelined : 16;
    l.head_ms = l.head_ms > 0 ? l.head_ms : 10000;
    l.body_ms = l.body_ms > 0 ? l.body_ms : 60000;
    l.idle_ms = l.idle_ms > 0 ? l.idle_ms : 75000;
    l.write_ms = l.write_ms > 0 ? l.write_ms : 60000;
    return l;
}

/* A fifth of the shortest deadline, 10 … 250 ms. */
static uint64_t tick_of(const lathe_http_limits *l) {
    uint64_t least = l->head_ms < l->body_ms ? l->head_ms : l->body_ms;
    least = least < l->idle_ms ? least : l->idle_ms;
    least = (least < l->write_ms ? least : l->write_ms) / 5;
    return least < 10 ? 10 : least > 250 ? 250 : least;
}

static void use_limits(lathe_http *server, const lathe_http_limits *limits) {
    server->limits = with_defaults(*limits);
    server->tick_ms = tick_of(&server->limits);
}

void lathe_http_set_limits(lathe_http *server, const lathe_http_limits *limits) {
    use_limits(server, limits);
    if (server->is_ticking)
        uv_timer_start(&server->tick, on_tick, server->tick_ms, server->tick_ms);
}

int32_t lathe_http_start(uv_loop_t *loop, int socket, const lathe_http_options *options,
                         lathe_http **server, lathe_error *err) {
    *server = NULL;
    struct sigaction pipe_action;
    if (sigaction(SIGPIPE, NULL, &pipe_action) == 0 && pipe_action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    if (options->on_request == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "http", "the server has no on_request");
    lathe_http *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, "http", "out of memory");
    s->loop = loop;
    s->fd = socket;
    s->options = *options;
    use_limits(s, &options->limits);
    int rc = uv_poll_init(loop, &s->listener, socket);
    if (rc != 0) {
        free(s);
        return lathe_fail(err, LATHE_E_IO, "http", "the socket cannot be watched: %s",
                          uv_strerror(rc));
    }
    s->listener.data = s;
    uv_timer_init(loop, &s->tick);
    s->tick.data = s;
    s->open_handles = 2;
    rc = uv_poll_start(&s->listener, UV_READABLE, on_readable);
    if (rc != 0) { /* the socket stays the caller's: closing frees the server, not the socket */
        s->is_stopping = true;
        uv_close((uv_handle_t *)&s->listener, on_handle_closed);
        uv_close((uv_handle_t *)&s->tick, on_handle_closed);
        return lathe_fail(err, LATHE_E_IO, "http", "the socket cannot be watched: %s",
                          uv_strerror(rc));
    }
    s->is_listening = true;
    *server = s;
    return LATHE_OK;
}

void lathe_http_stop(lathe_http *server, uint64_t grace_ms, void (*on_stopped)(void *user),
                     void *user) {
    if (server->is_stopping)
        return;
    server->is_stopping = true;
    server->on_stopped = on_stopped;
    server->stopped_user = user;
    server->cut_at = uv_now(server->loop) + grace_ms;
    for (http_conn *c = server->conns; c != NULL; c = c->next) {
        if (grace_ms == 0)
            http_conn_cut(c);
        else
            http_conn_stop(c);
    }
    end_if_empty(server);
}

size_t lathe_http_connections(const lathe_http *server) {
    return server->conn_count;
}
