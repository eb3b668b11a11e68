/* Output of a connection: one buffer that gathers, one that is on its way. */
#include "serve/http/internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP ((size_t)4 << 10)

bool http_out_room(lathe_http *server, http_out *out, size_t more) {
    if (out->data == NULL && server != NULL && server->spare_outs > 0)
        *out = server->spare_out[--server->spare_outs];
    if (more <= out->cap - out->len && out->data != NULL)
        return true;
    if (more > SIZE_MAX / 4 - out->len)
        return false;
    size_t cap = out->cap > 0 ? out->cap : FIRST_CAP;
    while (cap - out->len < more)
        cap *= 2;
    char *data = realloc(out->data, cap);
    if (data == NULL)
        return false;
    out->data = data;
    out->cap = cap;
    return true;
}

bool http_out_append(lathe_http *server, http_out *out, const void *data, size_t len) {
    if (!http_out_room(server, out, len))
        return false;
    if (len > 0)
        memcpy(out->data + out->len, data, len);
    out->len += len;
    return true;
}

void http_out_give(lathe_http *server, http_out *out) {
    const size_t most = sizeof server->spare_out / sizeof *server->spare_out;
    if (out->data != NULL && out->cap <= HTTP_KEEP_BYTES && server->spare_outs < most)
        server->spare_out[server->spare_outs++] = (http_out){.data = out->data, .cap = out->cap};
    else
        free(out->data);
    *out = (http_out){0};
}

size_t http_conn_waiting(const http_conn *c) {
    return c->out.len - c->out.start + c->cipher.len - c->cipher.start + c->flight.len -
           c->flight.start;
}

static void on_shut(uv_shutdown_t *request, int status) {
    (void)status;
    http_conn *c = request->handle->data;
    if (!c->is_reading && !c->is_closing)
        http_conn_cut(c);
}

/* All is sent and the connection ends: our side is shut, and what the client still sends is read and thrown away
 * for a moment, since closing over unread bytes would reset the connection and could destroy the answer. */
static void end(http_conn *c) {
    if (c->is_shut)
        return;
    c->is_shut = true;
    c->read_deadline = uv_now(c->server->loop) + HTTP_LINGER_MS;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut) != 0)
        http_conn_cut(c);
}

static void on_written(uv_write_t *request, int status) {
    http_conn *c = request->handle->data;
    c->is_writing = false;
    http_out_give(c->server, &c->flight);
    c->write_deadline = HTTP_NEVER;
    if (c->is_closing)
        return;
    if (status != 0)
        http_conn_cut(c);
    else
        http_conn_flush(c);
}

/* Sends *out: at once as far as the socket takes it, the rest when it can. */
static void send_out(http_conn *c, http_out *out) {
    uv_buf_t buf = uv_buf_init(out->data + out->start, 0);
    buf.len = out->len - out->start;
    const int sent = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        http_conn_cut(c);
        return;
    }
    out->start += sent > 0 ? (size_t)sent : 0;
    if (out->start == out->len) {
        http_out_give(c->server, out);
        return;
    }
    c->flight = *out;
    *out = (http_out){0};
    buf = uv_buf_init(c->flight.data + c->flight.start, 0);
    buf.len = c->flight.len - c->flight.start;
    c->is_writing = true;
    c->write_deadline = uv_now(c->server->loop) + c->server->limits.write_ms;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        c->is_writing = false;
        http_conn_cut(c);
    }
}

void http_conn_flush(http_conn *c) {
    if (c->is_closing || c->is_writing)
        return;
    if (c->tls != NULL && !http_tls_seal(c)) {
        http_conn_cut(c);
        return;
    }
    http_out *out = c->tls != NULL ? &c->cipher : &c->out;
    if (out->len > out->start)
        send_out(c, out);
    if (c->is_ending && !c->is_writing && !c->is_closing) {
        if (c->tls != NULL && !c->is_shut) {
            http_tls_end(c);
            if (c->cipher.len > c->cipher.start)
                send_out(c, &c->cipher);
            if (c->is_writing || c->is_closing)
                return;
        }
        end(c);
    }
}
