/* A connection: reading, handing requests over, deadlines, closing. */
#include "serve/http/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t after(const http_conn *c, uint64_t ms) {
    return uv_now(c->server->loop) + ms;
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle) {
    http_conn *c = handle->data;
    lathe_http *server = c->server;
    while (c->first != NULL) {
        lathe_exchange *e = c->first;
        c->first = e->next;
        if (!e->is_done) {
            e->conn = NULL;
            if (e->on_gone == NULL) {
                e->server = NULL; /* its owner does not know yet: the answer ends it */
                continue;
            }
            e->is_done = true;
            e->on_gone(e->gone_user);
        }
        http_exchange_give(e);
    }
    if (c->current != NULL)
        http_exchange_give(c->current);
    http_out_give(server, &c->out);
    http_out_give(server, &c->flight);
    http_out_give(server, &c->cipher);
    http_out_give(server, &c->held);
    if (c->tls != NULL)
        http_tls_close(c);
    http_conn_forget(c);
}

void http_conn_cut(http_conn *c) {
    if (c->is_closing)
        return;
    c->is_closing = true;
    c->read_deadline = c->write_deadline = HTTP_NEVER;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* Nothing is under way: the connection goes at once, unless a request waits unread in the socket. */
static void quit_idle(http_conn *c) {
    char byte;
    uv_os_fd_t fd;
    if (c->is_reading && uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0 &&
        recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
        c->read_deadline = after(c, c->server->limits.head_ms);
        return;
    }
    c->is_deaf = c->is_ending = true;
    http_conn_flush(c); /* what a slow client has not taken yet; the alert of TLS */
    if (!c->is_writing)
        http_conn_cut(c);
}

void http_conn_eof(http_conn *c) {
    if (c->open > 0 || c->is_shut || !c->is_writing) {
        http_conn_cut(c);
        return;
    }
    c->is_deaf = c->is_ending = true; /* it still takes the last answer */
    c->is_reading = false;
    uv_read_stop((uv_stream_t *)&c->tcp);
}

/* ---- requests ---- */

static lathe_exchange *begin(http_conn *c) {
    lathe_exchange *e = http_exchange_take(c->server);
    if (e == NULL) {
        http_conn_cut(c);
        return NULL;
    }
    e->conn = c;
    c->current = e;
    c->read_deadline = after(c, c->server->limits.head_ms);
    return e;
}

/* The request in receipt joins the row. */
static lathe_exchange *enter(http_conn *c, bool closes) {
    lathe_exchange *e = c->current;
    c->current = NULL;
    c->owes_continue = false;
    c->read_deadline = HTTP_NEVER;
    if (c->first == NULL)
        c->first = e;
    else
        c->last->next = e;
    c->last = e;
    c->open++;
    e->closes = closes;
    c->is_deaf = c->is_deaf || closes;
    return e;
}

static void refuse(http_conn *c, int status, const char *reason) {
    lathe_exchange *e = enter(c, true);
    const char *headers = status == 415   ? "accept-encoding: gzip, deflate\r\n"
                          : status == 503 ? "retry-after: 1\r\n"
                                          : NULL;
    lathe_http_fail(e, status, headers, "%s", reason);
}

static void take_event(http_conn *c, http_event event) {
    lathe_exchange *e = c->current;
    if (event == HTTP_HEAD_DONE) {
        c->read_deadline = after(c, c->server->limits.body_ms);
        c->owes_continue = e->parse.expects_continue;
    } else if (event == HTTP_REFUSED) {
        refuse(c, e->parse.status, e->parse.reason);
    } else if (event == HTTP_DONE) {
        enter(c, !e->parse.request.keep_alive || c->server->is_stopping);
        e->is_handed = true;
        c->server->options.on_request(c->server->options.user, e);
    }
}

static void pay_continue(http_conn *c) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!c->owes_continue || c->open > 0)
        return;
    c->owes_continue = false;
    if (!http_out_append(c->server, &c->out, text, sizeof text - 1))
        http_conn_cut(c);
}

static void hold(http_conn *c, const uint8_t *data, size_t len) {
    if (!http_out_append(c->server, &c->held, data, len)) {
        http_conn_cut(c);
        return;
    }
    if (c->held.len >= HTTP_SCRATCH && c->is_reading) {
        c->is_reading = false;
        uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

static void feed(http_conn *c, const uint8_t *data, size_t len) {
    c->is_feeding = true;
    while (len > 0 && !c->is_deaf && !c->is_closing) {
        if (c->open >= c->server->limits.max_pipelined) {
            hold(c, data, len);
            break;
        }
        if (c->current == NULL && begin(c) == NULL)
            break;
        size_t used;
        c->owes_continue = false; /* bytes of the body are here: it does not wait */
        const http_event event = http_parse_feed(&c->current->parse, data, len, &used);
        data += used;
        len -= used;
        take_event(c, event);
    }
    c->is_feeding = false;
    pay_continue(c);
}

void http_conn_receive(http_conn *c, const uint8_t *data, size_t len) {
    if (c->is_deaf || c->is_closing)
        return;
    if (c->held.len > 0) {
        hold(c, data, len);
        return;
    }
    feed(c, data, len);
    http_conn_flush(c);
}

/* Goes on with what was received while too much was under way. */
static void take_held(http_conn *c) {
    if (c->held.len == 0 || c->open >= c->server->limits.max_pipelined || c->is_closing)
        return;
    http_out held = c->held;
    c->held = (http_out){0};
    feed(c, (const uint8_t *)held.data, held.len);
    http_out_give(c->server, &held);
}

/* ---- answers ---- */

/* The exchange is the first now: what it has answered moves to the connection. */
static void promote(http_conn *c, lathe_exchange *e) {
    if (e->reserved > 0 || e->out.len == e->out.start)
        return;
    if (!http_out_append(c->server, &c->out, e->out.data + e->out.start, e->out.len - e->out.start))
        http_conn_cut(c);
    http_out_give(c->server, &e->out);
}

static void pop_done(http_conn *c) {
    while (c->first != NULL && c->first->is_done && !c->is_closing) {
        lathe_exchange *e = c->first;
        c->first = e->next;
        c->open--;
        c->is_ending = c->is_ending || e->closes;
        http_exchange_give(e);
        if (c->first != NULL)
            promote(c, c->first);
    }
}

void http_conn_answered(lathe_exchange *e) {
    http_conn *c = e->conn;
    e->is_done = true;
    if (c == NULL) {
        http_exchange_give(e);
        return;
    }
    if (c->is_closing || c->first != e)
        return;
    pop_done(c);
    if (!c->is_feeding)
        take_held(c);
    if (c->is_closing)
        return;
    if (c->open == 0 && c->current == NULL) {
        c->read_deadline = after(c, c->server->limits.idle_ms);
        c->is_ending = c->is_ending || c->server->is_stopping;
        c->is_deaf = c->is_deaf || c->is_ending;
    }
    if (c->is_feeding)
        return;
    pay_continue(c);
    http_conn_flush(c);
    if (!c->is_closing && !c->is_reading && c->held.len < HTTP_SCRATCH && !c->is_shut)
        http_conn_read(c);
}

/* ---- reading ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    http_conn *c = handle->data;
    size_t room = 0;
    uint8_t *body = NULL;
    if (c->tls == NULL && c->current != NULL && c->held.len == 0 && !c->is_deaf)
        body = http_parse_room(&c->current->parse, &room);
    if (body != NULL) {
        *buf = uv_buf_init((char *)body, 0);
        buf->len = room;
    } else {
        *buf = uv_buf_init(c->server->scratch, HTTP_SCRATCH);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    http_conn *c = stream->data;
    if (n == 0 || c->is_closing)
        return;
    if (n == UV_EOF) {
        http_conn_eof(c);
    } else if (n < 0) {
        http_conn_cut(c);
    } else if (c->tls != NULL) {
        http_tls_receive(c, (const uint8_t *)buf->base, (size_t)n);
    } else if (buf->base == c->server->scratch) {
        http_conn_receive(c, (const uint8_t *)buf->base, (size_t)n);
    } else {
        c->is_feeding = true;
        c->owes_continue = false;
        take_event(c, http_parse_filled(&c->current->parse, (size_t)n));
        c->is_feeding = false;
        http_conn_flush(c);
    }
}

void http_conn_read(http_conn *c) {
    c->is_reading = uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read) == 0;
    if (!c->is_reading)
        http_conn_cut(c);
}

void http_conn_open(lathe_http *server, int fd, bool is_refused) {
    http_conn *c = calloc(1, sizeof *c);
    if (c == NULL || uv_tcp_init(server->loop, &c->tcp) != 0) {
        free(c);
        close(fd);
        return;
    }
    c->tcp.data = c;
    c->server = server;
    c->is_refused = is_refused;
    c->read_deadline = c->write_deadline = HTTP_NEVER;
    http_conn_remember(c);
    if (uv_tcp_open(&c->tcp, fd) != 0) {
        close(fd);
        http_conn_cut(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1); /* refused by what is no TCP socket: no harm */
    if (server->options.tls != NULL && (is_refused || !http_tls_open(c))) {
        http_conn_cut(c);
        return;
    }
    c->read_deadline = after(c, c->tls != NULL ? server->limits.head_ms : server->limits.idle_ms);
    http_conn_read(c);
    if (is_refused && !c->is_closing && begin(c) != NULL)
        refuse(c, 503,
               server->is_stopping ? "this server is stopping"
                                   : "this server has as many connections as it may");
}

/* ---- time ---- */

void http_conn_tick(http_conn *c, uint64_t now) {
    if (c->is_closing || (now < c->read_deadline && now < c->write_deadline))
        return;
    if (now >= c->write_deadline || c->is_shut) {
        http_conn_cut(c);
    } else if (c->current != NULL) {
        const bool in_head = c->current->parse.phase <= HTTP_IN_HEAD;
        refuse(c, 408,
               in_head ? "the head of the request came too slowly"
                       : "the body of the request came too slowly");
    } else if (c->open == 0) {
        c->read_deadline = HTTP_NEVER;
        quit_idle(c);
    }
}

void http_conn_stop(http_conn *c) {
    if (!c->is_closing && !c->is_ending && c->open == 0 && c->current == NULL)
        quit_idle(c);
}
