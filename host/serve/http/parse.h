/* serve/http/parse.h: bytes in, requests out: the part of the HTTP layer that knows no sockets. Internal.
 *
 *     http_parse p = {0};
 *     http_parse_begin(&p, &limits);
 *     while (len > 0 && (event = http_parse_feed(&p, bytes, len, &used)) == HTTP_NEED_MORE) …
 *
 * However the bytes are cut into pieces, the outcome is the same. llhttp splits the head; what decides where a
 * request ends is checked here a second time and more strictly than RFC 9112 asks: lines end in CR LF (a bare CR or
 * LF is refused), no folded lines, no space before a colon, one Content-Length of digits, one Transfer-Encoding and
 * that "chunked", never both, one Host. Bodies are decoded here: by length or chunks, then gzip or deflate.
 */
#ifndef LATHE_SERVE_HTTP_PARSE_H
#define LATHE_SERVE_HTTP_PARSE_H

#include "base/buf.h"
#include "serve/http/http.h"

#include <zlib.h>

#define HTTP_MAX_FIELDS 100
#define HTTP_KEEP_BYTES ((size_t)64 << 10) /* a larger buffer is not kept for the next request */
#define HTTP_BODY_ALIGN 64

typedef enum http_event {
    HTTP_NEED_MORE = 0,
    HTTP_HEAD_DONE, /* once, after the head where a body follows; feed goes on with the rest */
    HTTP_DONE,      /* the request is complete */
    HTTP_REFUSED    /* status and reason say why; the connection cannot go on */
} http_event;

typedef enum http_phase {
    HTTP_AT_START, /* no byte yet */
    HTTP_IN_HEAD,
    HTTP_IN_BODY,
    HTTP_IN_CHUNK_SIZE,
    HTTP_IN_CHUNK_EXT,
    HTTP_AT_CHUNK_LF, /* after the CR of a chunk's size */
    HTTP_IN_CHUNK,
    HTTP_AT_CHUNK_END_CR,
    HTTP_AT_CHUNK_END_LF,
    HTTP_IN_TRAILER,
    HTTP_AT_END
} http_phase;

typedef struct http_field {
    uint32_t name, name_len, value, value_len; /* offsets in head; names are lower-case */
    const char *joined;                        /* the value of a repeated field, else NULL */
} http_field;

typedef struct http_parse {
    lathe_http_limits limits; /* those at its begin: a bound that changes meanwhile is not for it */
    http_phase phase;
    int status; /* where refused: 400 … 599 */
    const char *reason;
    lathe_http_request request;
    /* head */
    char *head;
    size_t head_len, head_cap, line; /* line: where the last line begins */
    http_field fields[HTTP_MAX_FIELDS];
    size_t field_count;
    size_t url, url_len;
    char *joins; /* room for all joined values; NULL until one is needed */
    size_t joins_len;
    bool is_complete, is_crowded, expects_continue;
    /* body */
    uint8_t *body;
    size_t body_cap;
    uint64_t left;  /* of the length, or of the chunk */
    size_t encoded; /* bytes taken, before inflating */
    size_t extra;   /* bytes of chunk extensions and trailers */
    int digits;
    bool is_chunked, is_inflating, is_gzip, is_format_known, is_inflated;
    z_stream *inflater;
} http_parse;

/* For the next request; keeps the buffers. */
void http_parse_begin(http_parse *p, const lathe_http_limits *limits);
void http_parse_free(http_parse *p);

/* Takes *used of len > 0 bytes. */
http_event http_parse_feed(http_parse *p, const uint8_t *data, size_t len, size_t *used);

/* Room for the next bytes of a plain body of known length, to be read into directly and then told by
 * http_parse_filled; NULL: not now (or less than 4 KiB would fit). */
uint8_t *http_parse_room(http_parse *p, size_t *room);
http_event http_parse_filled(http_parse *p, size_t len);

lathe_http_text http_parse_header_of(http_parse *p, const char *name, size_t len);
static inline lathe_http_text http_parse_header(http_parse *p, const char *name) {
    return http_parse_header_of(p, name, strlen(name));
}

/* ---- parts of it ---- */

http_event http_refuse(http_parse *p, int status, const char *reason);
/* Splits and checks a complete head and sets up the body. */
http_event http_head_finish(http_parse *p);
/* Fills request.path and query from the target, in place. */
http_event http_target_split(http_parse *p);
/* Percent-decodes len bytes; returns the length, or SIZE_MAX where an escape is broken. */
size_t http_percent_decode(const char *text, size_t len, char *out, bool plus_is_space);

/* Sets up inflating by the name of a content coding; false: not one of ours. */
bool http_body_coding(http_parse *p, lathe_http_text coding);
http_event http_body_feed(http_parse *p, const uint8_t *data, size_t len, size_t *used);
/* Makes room for `more` bytes; false: over the limit or out of memory (refused). */
bool http_body_reserve(http_parse *p, size_t more);
void http_body_end(http_parse *p);

/* Token characters of RFC 9110 in lower case; 0: not one. */
extern const uint8_t http_token_char[256];

#endif
