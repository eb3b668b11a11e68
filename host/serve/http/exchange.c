/* What a handler sees of a request and does to answer it. */
#include "base/jsonw.h"
#include "serve/http/internal.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAD_ROOM 512 /* before the body of a reserved answer */
#define NO_LENGTH SIZE_MAX

/* ---- the request ---- */

const lathe_http_request *lathe_http_get(const lathe_exchange *exchange) {
    return &exchange->parse.request;
}

lathe_http_text lathe_http_header_of(const lathe_exchange *exchange, const char *name, size_t len) {
    /* Joining repeated fields changes how the table is kept, not what it says. */
    return http_parse_header_of((http_parse *)(uintptr_t)&exchange->parse, name, len);
}

const char *lathe_http_query(const lathe_exchange *exchange, const char *name, char *buf,
                             size_t size) {
    const char *at = exchange->parse.request.query;
    const size_t name_len = strlen(name);
    char key[128];
    while (*at != '\0') {
        const size_t pair = strcspn(at, "&"), len = strcspn(at, "=&");
        size_t n = len < sizeof key ? http_percent_decode(at, len, key, true) : SIZE_MAX;
        if (n == name_len && memcmp(key, name, n) == 0) {
            const char *value = len < pair ? at + len + 1 : at + len;
            const size_t value_len = (size_t)(at + pair - value);
            size_t escapes = 0;
            for (size_t i = 0; i < value_len; i++)
                escapes += value[i] == '%';
            if (value_len >= 2 * escapes && value_len - 2 * escapes >= size)
                return NULL;
            n = http_percent_decode(value, value_len, buf, true);
            if (n == SIZE_MAX || memchr(buf, '\0', n) != NULL)
                return NULL;
            buf[n] = '\0';
            return buf;
        }
        at += at[pair] == '&' ? pair + 1 : pair;
    }
    return NULL;
}

const char *lathe_http_peer(const lathe_exchange *exchange) {
    http_conn *c = exchange->conn;
    struct sockaddr_storage address;
    int len = sizeof address;
    char ip[INET6_ADDRSTRLEN] = "";
    if (c == NULL)
        return "";
    if (c->peer[0] != '\0' || uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &len) != 0)
        return c->peer;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        uv_ip4_name(v4, ip, sizeof ip);
        snprintf(c->peer, sizeof c->peer, "%s:%u", ip, ntohs(v4->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        uv_ip6_name(v6, ip, sizeof ip);
        snprintf(c->peer, sizeof c->peer, "[%s]:%u", ip, ntohs(v6->sin6_port));
    } else {
        snprintf(c->peer, sizeof c->peer, "local");
    }
    return c->peer;
}

void lathe_http_on_gone(lathe_exchange *exchange, void (*on_gone)(void *user), void *user) {
    exchange->on_gone = on_gone;
    exchange->gone_user = user;
}

/* ---- the head of an answer ---- */

/* Reason phrases (RFC 9110, section 15; RFC 6585; 499 as nginx has it). */
static const struct {
    int status;
    const char *text;
} reasons[] = {{200, "OK"},
               {201, "Created"},
               {202, "Accepted"},
               {204, "No Content"},
               {206, "Partial Content"},
               {301, "Moved Permanently"},
               {302, "Found"},
               {303, "See Other"},
               {304, "Not Modified"},
               {307, "Temporary Redirect"},
               {308, "Permanent Redirect"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {406, "Not Acceptable"},
               {408, "Request Timeout"},
               {409, "Conflict"},
               {410, "Gone"},
               {411, "Length Required"},
               {412, "Precondition Failed"},
               {413, "Content Too Large"},
               {414, "URI Too Long"},
               {415, "Unsupported Media Type"},
               {417, "Expectation Failed"},
               {422, "Unprocessable Content"},
               {423, "Locked"},
               {428, "Precondition Required"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {499, "Client Closed Request"},
               {500, "Internal Server Error"},
               {501, "Not Implemented"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"},
               {507, "Insufficient Storage"}};

static const char *reason_of(int status) {
    if (status == 200)
        return "OK";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

static char *put(char *to, const char *text, size_t len) {
    memcpy(to, text, len);
    return to + len;
}

static char *put_text(char *to, const char *text) {
    return put(to, text, strlen(text));
}

static char *put_number(char *to, size_t n) {
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put(to, digits + at, sizeof digits - at);
}

/* IMF-fixdate (RFC 9110, 5.6.7), made anew once a second. */
static void refresh_date(lathe_http *server) {
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if ((int64_t)now.tv_sec == server->date_second && server->date_len > 0)
        return;
    server->date_second = now.tv_sec;
    gmtime_r(&now.tv_sec, &tm);
    server->date_len = (size_t)snprintf(
        server->date, sizeof server->date, "date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
        days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000,
        tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static size_t head_bound(const lathe_exchange *e, const char *type, const char *headers) {
    const char *name = e->server->options.server_name;
    return 320 + (type != NULL ? strlen(type) : 0) + (headers != NULL ? strlen(headers) : 0) +
           (name != NULL ? strlen(name) : 0);
}

static bool has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

static bool is_head(const lathe_exchange *e) {
    return strcmp(e->parse.request.method, "HEAD") == 0;
}

/* Whether this is the last answer that a stopping server gives on the connection. */
static bool is_last(const lathe_exchange *e) {
    const http_conn *c = e->conn;
    return e->server->is_stopping && e == c->last && c->current == NULL && c->held.len == 0;
}

/* Writes the head; `length` NO_LENGTH: chunked, or until the end of the connection. Returns its end. */
static char *put_head(lathe_exchange *e, char *to, int status, const char *type,
                      const char *headers, size_t length) {
    lathe_http *server = e->server;
    const lathe_http_request *request = &e->parse.request;
    if (is_last(e))
        e->closes = e->conn->is_deaf = true;
    refresh_date(server);
    to = put(to, "HTTP/1.1 ", 9);
    to = put_number(to, (size_t)status);
    *to++ = ' ';
    to = put_text(to, reason_of(status));
    to = put(to, "\r\n", 2);
    if (type != NULL && has_body(status)) {
        to = put(to, "content-type: ", 14);
        to = put_text(to, type);
        to = put(to, "\r\n", 2);
    }
    if (length != NO_LENGTH && has_body(status)) {
        to = put(to, "content-length: ", 16);
        to = put_number(to, length);
        to = put(to, "\r\n", 2);
    } else if (e->is_chunked) {
        to = put_text(to, "transfer-encoding: chunked\r\n");
    }
    to = put(to, server->date, server->date_len);
    if (server->options.server_name != NULL) {
        to = put(to, "server: ", 8);
        to = put_text(to, server->options.server_name);
        to = put(to, "\r\n", 2);
    }
    if (e->coding != HTTP_PLAIN)
        to = put_text(to, e->coding == HTTP_GZIP
                              ? "content-encoding: gzip\r\nvary: accept-encoding\r\n"
                              : "content-encoding: deflate\r\nvary: accept-encoding\r\n");
    if (e->closes)
        to = put_text(to, "connection: close\r\n");
    else if (request->minor_version == 0)
        to = put_text(to, "connection: keep-alive\r\n");
    if (headers != NULL)
        to = put_text(to, headers);
    return put(to, "\r\n", 2);
}

/* ---- whole answers ---- */

/* Whether an answer may still be given; an exchange without a client ends here. */
static bool is_open(lathe_exchange *e) {
    if (e->is_done)
        return false;
    if (e->conn != NULL && !e->conn->is_closing)
        return true;
    http_conn_answered(e);
    return false;
}

static http_out *out_of(lathe_exchange *e) {
    return e->conn->first == e ? &e->conn->out : &e->out;
}

void lathe_http_reply(lathe_exchange *e, int status, const char *content_type, const char *headers,
                      const void *body, size_t len) {
    if (!is_open(e))
        return;
    e->reserved = 0;
    http_out *out = out_of(e), packed = {0};
    const bool sends_body = has_body(status) && !is_head(e);
    size_t packed_len;
    if (sends_body &&
        (e->coding = http_encode(e, body, len, 0, &packed, &packed_len)) != HTTP_PLAIN) {
        body = packed.data;
        len = packed_len;
    }
    if (len > SIZE_MAX / 8 ||
        !http_out_room(e->server, out,
                       head_bound(e, content_type, headers) + (sends_body ? len : 0))) {
        http_out_give(e->server, &packed);
        http_conn_cut(e->conn);
        return;
    }
    char *end = put_head(e, out->data + out->len, status, content_type, headers, len);
    if (sends_body && len > 0)
        end = put(end, body, len);
    out->len = (size_t)(end - out->data);
    http_out_give(e->server, &packed);
    http_conn_answered(e);
}

void lathe_http_fail(lathe_exchange *e, int status, const char *headers, const char *fmt, ...) {
    if (!is_open(e))
        return;
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    while (len == sizeof message - 1 && len > 0 && ((uint8_t)message[len - 1] & 0x80))
        len--; /* not in the middle of a character */
    lathe_buf text = {0};
    lathe_jsonw w = lathe_jsonw_to(&text);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_key(&w, "error");
    lathe_jsonw_strn(&w, message, len);
    lathe_jsonw_end_object(&w);
    static const char no_memory[] = "{\"error\":\"out of memory\"}";
    if (text.failed)
        lathe_http_reply(e, 503, "application/json", headers, no_memory, sizeof no_memory - 1);
    else
        lathe_http_reply(e, status, "application/json", headers, text.data, text.len);
    lathe_buf_free(&text);
}

/* ---- answers written in place ---- */

uint8_t *lathe_http_reserve(lathe_exchange *e, size_t max) {
    if (e->is_done || max > SIZE_MAX / 8)
        return NULL;
    e->out.start = e->out.len = 0;
    if (!http_out_room(e->server, &e->out, HEAD_ROOM + max))
        return NULL;
    e->reserved = max > 0 ? max : 1;
    return (uint8_t *)e->out.data + HEAD_ROOM;
}

/* The head goes right before the body; where it is longer than the room left for it, the body moves. */
static bool put_before(lathe_exchange *e, int status, const char *type, const char *headers,
                       size_t len) {
    http_out *out = &e->out;
    char small[HEAD_ROOM], *head = small;
    const size_t bound = head_bound(e, type, headers);
    http_out large = {0};
    if (bound > sizeof small) {
        if (!http_out_room(e->server, &large, bound))
            return false;
        head = large.data;
    }
    const size_t n = (size_t)(put_head(e, head, status, type, headers, len) - head);
    size_t at = HEAD_ROOM;
    out->len = HEAD_ROOM + len;
    bool ok = true;
    if (n > HEAD_ROOM) {
        ok = http_out_room(e->server, out, n - HEAD_ROOM);
        if (ok)
            memmove(out->data + n, out->data + HEAD_ROOM, len);
        at = n;
    }
    if (ok) {
        memcpy(out->data + at - n, head, n);
        out->start = at - n;
        out->len = at + (has_body(status) && !is_head(e) ? len : 0);
    }
    if (large.data != NULL)
        http_out_give(e->server, &large);
    return ok;
}

/* Compresses what was written in place, where that is wanted. */
static void pack_reserved(lathe_exchange *e, size_t *len) {
    http_out packed = {0};
    e->coding = http_encode(e, e->out.data + HEAD_ROOM, *len, HEAD_ROOM, &packed, len);
    if (e->coding != HTTP_PLAIN) {
        http_out plain = e->out;
        e->out = packed;
        packed = plain;
    }
    http_out_give(e->server, &packed);
}

void lathe_http_commit(lathe_exchange *e, int status, const char *content_type, const char *headers,
                       size_t len) {
    if (!is_open(e))
        return;
    http_conn *c = e->conn;
    if (len <= e->reserved && has_body(status) && !is_head(e))
        pack_reserved(e, &len);
    if (len > e->reserved || !put_before(e, status, content_type, headers, len)) {
        http_conn_cut(c);
        return;
    }
    e->reserved = 0;
    if (c->first == e) {
        if (c->out.data == NULL) {
            c->out = e->out;
            e->out = (http_out){0};
        } else if (!http_out_append(e->server, &c->out, e->out.data + e->out.start,
                                    e->out.len - e->out.start)) {
            http_conn_cut(c);
            return;
        }
    }
    http_conn_answered(e);
}

/* ---- answers without end ---- */

static bool send_chunk(lathe_exchange *e, const void *data, size_t len) {
    http_conn *c = e->conn;
    http_out *out = out_of(e);
    char size[24];
    const int n = snprintf(size, sizeof size, "%zx\r\n", len);
    if (!http_out_room(e->server, out, len + 32))
        return false;
    if (e->is_chunked)
        http_out_append(e->server, out, size, (size_t)n);
    http_out_append(e->server, out, data, len);
    if (e->is_chunked)
        http_out_append(e->server, out, "\r\n", 2);
    if (c->first == e && !c->is_feeding)
        http_conn_flush(c);
    return !c->is_closing;
}

void lathe_http_stream_begin(lathe_exchange *e, int status, const char *content_type) {
    if (e->is_done || e->conn == NULL || e->conn->is_closing || e->is_stream)
        return;
    static const char headers[] = "cache-control: no-cache\r\n";
    http_conn *c = e->conn;
    http_out *out = out_of(e);
    e->is_stream = true;
    e->is_chunked = e->parse.request.minor_version > 0;
    e->closes = e->closes || !e->is_chunked;
    c->is_deaf = c->is_deaf || e->closes;
    e->reserved = 0;
    if (!http_out_room(e->server, out, head_bound(e, content_type, headers))) {
        http_conn_cut(c);
        return;
    }
    out->len =
        (size_t)(put_head(e, out->data + out->len, status, content_type, headers, NO_LENGTH) -
                 out->data);
    if (c->first == e && !c->is_feeding)
        http_conn_flush(c);
}

bool lathe_http_stream_write(lathe_exchange *e, const void *data, size_t len) {
    http_conn *c = e->conn;
    if (e->is_done || !e->is_stream || c == NULL || c->is_closing)
        return false;
    if (len == 0 || is_head(e))
        return true;
    const size_t waiting = c->first == e ? http_conn_waiting(c) : e->out.len;
    if (len > HTTP_STREAM_WAITING || waiting > HTTP_STREAM_WAITING - len ||
        !send_chunk(e, data, len)) {
        http_conn_cut(c);
        return false;
    }
    return true;
}

void lathe_http_stream_end(lathe_exchange *e) {
    if (!is_open(e))
        return;
    if (e->is_chunked && !is_head(e) && !http_out_append(e->server, out_of(e), "0\r\n\r\n", 5)) {
        http_conn_cut(e->conn);
        return;
    }
    e->is_stream = false;
    http_conn_answered(e);
}
