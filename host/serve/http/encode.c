/* Answers in gzip or deflate, where the client takes that and it pays. */
#include "serve/http/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LEAST ((size_t)1 << 10) /* below it the head is what counts */
#define MOST ((size_t)1 << 20)  /* 10 ms of the loop at most */

static lathe_http_text trim(const char *at, size_t len) {
    while (len > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        len--;
    }
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return (lathe_http_text){at, len};
}

/* ";q=0" and ";q=0.000" refuse. */
static bool is_refused(const char *at, size_t len) {
    const lathe_http_text q = trim(at, len);
    if (q.len < 3 || (q.ptr[0] | 0x20) != 'q' || q.ptr[1] != '=')
        return false;
    for (size_t i = 2; i < q.len; i++)
        if (q.ptr[i] != '0' && q.ptr[i] != '.')
            return false;
    return true;
}

http_coding http_coding_wanted(const lathe_exchange *e) {
    const lathe_http_text list = lathe_http_header(e, "accept-encoding");
    http_coding best = HTTP_PLAIN;
    for (size_t at = 0; list.ptr != NULL && at < list.len;) {
        const char *item = list.ptr + at;
        const char *comma = memchr(item, ',', list.len - at);
        const size_t len = comma != NULL ? (size_t)(comma - item) : list.len - at;
        const char *semicolon = memchr(item, ';', len);
        const size_t name_len = semicolon != NULL ? (size_t)(semicolon - item) : len;
        const lathe_http_text name = trim(item, name_len);
        at += len + 1;
        if (semicolon != NULL && is_refused(semicolon + 1, len - name_len - 1))
            continue;
        if (name.len == 4 && strncasecmp(name.ptr, "gzip", 4) == 0)
            return HTTP_GZIP;
        if (name.len == 7 && strncasecmp(name.ptr, "deflate", 7) == 0)
            best = HTTP_DEFLATE;
    }
    return best;
}

/* A compressor that is made once and reset for each answer; NULL: out of memory. */
static z_stream *deflater_of(lathe_http *server, http_coding coding) {
    z_stream **kept = &server->deflaters[coding == HTTP_GZIP];
    if (*kept != NULL)
        return deflateReset(*kept) == Z_OK ? *kept : NULL;
    z_stream *z = calloc(1, sizeof *z);
    if (z == NULL || deflateInit2(z, 1, Z_DEFLATED, coding == HTTP_GZIP ? 15 + 16 : 15, 8,
                                  Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        return NULL;
    }
    *kept = z;
    return z;
}

void http_deflaters_free(lathe_http *server) {
    for (int i = 0; i < 2; i++) {
        if (server->deflaters[i] != NULL)
            deflateEnd(server->deflaters[i]);
        free(server->deflaters[i]);
        server->deflaters[i] = NULL;
    }
}

http_coding http_encode(lathe_exchange *e, const void *body, size_t len, size_t before,
                        http_out *out, size_t *out_len) {
    if (len < LEAST || len > MOST)
        return HTTP_PLAIN;
    const http_coding coding = http_coding_wanted(e);
    z_stream *z = coding != HTTP_PLAIN ? deflater_of(e->server, coding) : NULL;
    if (z == NULL || !http_out_room(e->server, out, before + len))
        return HTTP_PLAIN;
    z->next_in = (Bytef *)(uintptr_t)body;
    z->avail_in = (uInt)len;
    z->next_out = (Bytef *)out->data + before;
    z->avail_out = (uInt)len;
    if (deflate(z, Z_FINISH) != Z_STREAM_END) /* it would not be shorter */
        return HTTP_PLAIN;
    *out_len = len - z->avail_out;
    return coding;
}
