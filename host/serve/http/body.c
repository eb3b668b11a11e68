/* Bodies: by length or in chunks, plain, gzip or deflate; never more than max_body. */
#include "serve/http/parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_EXTRA_MAX ((size_t)16 << 10) /* of extensions and trailers */
#define FIRST_CAP ((size_t)4 << 10)

bool http_body_reserve(http_parse *p, size_t more) {
    const size_t len = p->request.body_len;
    if (more > p->limits.max_body - len) {
        http_refuse(p, 413, "the body is larger than this server takes");
        return false;
    }
    p->request.body = p->body;
    if (more <= p->body_cap - len)
        return true;
    size_t cap = p->body_cap > 0 ? p->body_cap : FIRST_CAP;
    while (cap < len + more)
        cap = cap > SIZE_MAX / 2 ? len + more : cap * 2;
    cap = (cap + HTTP_BODY_ALIGN - 1) / HTTP_BODY_ALIGN * HTTP_BODY_ALIGN;
    uint8_t *body = aligned_alloc(HTTP_BODY_ALIGN, cap);
    if (body == NULL) {
        http_refuse(p, 503, "out of memory for the body");
        return false;
    }
    if (len > 0)
        memcpy(body, p->body, len);
    free(p->body);
    p->body = body;
    p->body_cap = cap;
    p->request.body = body;
    return true;
}

/* ---- inflating ---- */

static bool text_is(lathe_http_text text, const char *want) {
    return text.len == strlen(want) && strncasecmp(text.ptr, want, text.len) == 0;
}

bool http_body_coding(http_parse *p, lathe_http_text coding) {
    if (coding.len == 0 || text_is(coding, "identity"))
        return true;
    const bool is_deflate = text_is(coding, "deflate");
    if (!is_deflate && !text_is(coding, "gzip") && !text_is(coding, "x-gzip"))
        return false;
    p->inflater = calloc(1, sizeof *p->inflater);
    if (p->inflater == NULL || inflateInit2(p->inflater, is_deflate ? 15 : 15 + 16) != Z_OK) {
        free(p->inflater);
        p->inflater = NULL;
        http_refuse(p, 503, "out of memory for the body");
        return false;
    }
    p->is_inflating = true;
    p->is_gzip = !is_deflate;
    return true;
}

void http_body_end(http_parse *p) {
    if (p->inflater != NULL)
        inflateEnd(p->inflater);
    free(p->inflater);
    p->inflater = NULL;
    p->is_inflating = false;
}

/* RFC 9110 calls zlib's format "deflate", some clients send the bare one (RFC 1951): told by the first byte, whose
 * low half is 8 in zlib's; in the bare format that is a stored block with bits set that encoders leave zero. */
static bool choose_format(http_parse *p, uint8_t first) {
    p->is_format_known = true;
    return p->is_gzip || (first & 0x0f) == 8 || inflateReset2(p->inflater, -15) == Z_OK;
}

/* Room for one more step of inflating; at the limit a probe of one byte tells whether more comes. */
static bool inflate_room(http_parse *p, uint8_t *probe) {
    const size_t len = p->request.body_len, left = p->limits.max_body - len;
    if (left == 0) {
        p->inflater->next_out = probe;
        p->inflater->avail_out = 1;
        return true;
    }
    const size_t step = len < FIRST_CAP ? FIRST_CAP : len;
    if (!http_body_reserve(p, p->body_cap > len ? 1 : left < step ? left : step))
        return false;
    size_t room = p->body_cap - len;
    room = room < left ? room : left;
    p->inflater->next_out = p->body + len;
    p->inflater->avail_out = room > (1u << 30) ? 1u << 30 : (uInt)room;
    return true;
}

static http_event take_inflated(http_parse *p, const uint8_t *data, size_t len) {
    z_stream *z = p->inflater;
    if (len > 0 && !p->is_format_known && !choose_format(p, data[0]))
        return http_refuse(p, 503, "out of memory for the body");
    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (uInt)len;
    for (;;) {
        uint8_t probe;
        if (p->is_inflated && z->avail_in > 0) { /* RFC 1952: another member may follow */
            if (!p->is_gzip || inflateReset(z) != Z_OK)
                return http_refuse(p, 400, "the compressed body cannot be inflated");
            p->is_inflated = false;
        }
        if (!inflate_room(p, &probe))
            return HTTP_REFUSED;
        const uInt room = z->avail_out;
        const bool is_probe = z->next_out == &probe;
        const int rc = inflate(z, Z_NO_FLUSH);
        if (is_probe && z->avail_out < room)
            return http_refuse(p, 413, "the inflated body is larger than this server takes");
        p->request.body_len += is_probe ? 0 : room - z->avail_out;
        if (rc == Z_STREAM_END)
            p->is_inflated = true;
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return http_refuse(p, 400, "the compressed body cannot be inflated");
        if (z->avail_in == 0 && (z->avail_out > 0 || p->is_inflated))
            return HTTP_NEED_MORE;
    }
}

/* Bytes of the body, out of their framing. */
static http_event take(http_parse *p, const uint8_t *data, size_t len) {
    if (len > p->limits.max_body - p->encoded)
        return http_refuse(p, 413, "the body is larger than this server takes");
    p->encoded += len;
    if (p->is_inflating)
        return take_inflated(p, data, len);
    if (!http_body_reserve(p, len))
        return HTTP_REFUSED;
    memcpy(p->body + p->request.body_len, data, len);
    p->request.body_len += len;
    return HTTP_NEED_MORE;
}

static http_event finish(http_parse *p) {
    if (p->is_inflating) {
        const bool is_whole = p->is_inflated || p->encoded == 0;
        http_body_end(p);
        if (!is_whole)
            return http_refuse(p, 400, "the compressed body ends early");
    }
    p->phase = HTTP_AT_END;
    return HTTP_DONE;
}

/* ---- chunks (RFC 9112, 7.1) ---- */

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static http_event chunk_size_byte(http_parse *p, uint8_t c) {
    const int digit = hex(c);
    if (digit >= 0) {
        if (++p->digits > 15)
            return http_refuse(p, 400, "a chunk's size has more than 15 digits");
        p->left = p->left * 16 + (uint64_t)digit;
        return HTTP_NEED_MORE;
    }
    if (p->digits == 0 || (c != '\r' && c != ';'))
        return http_refuse(p, 400, "a chunk's size is not a hexadecimal number");
    p->phase = c == '\r' ? HTTP_AT_CHUNK_LF : HTTP_IN_CHUNK_EXT;
    return HTTP_NEED_MORE;
}

static http_event chunk_line_end(http_parse *p) {
    p->digits = 0;
    p->line = p->head_len; /* the trailer's lines are counted from here */
    if (p->left == 0) {
        p->phase = HTTP_IN_TRAILER;
        return HTTP_NEED_MORE;
    }
    p->phase = HTTP_IN_CHUNK;
    if (p->left > p->limits.max_body - p->encoded)
        return http_refuse(p, 413, "the body is larger than this server takes");
    return HTTP_NEED_MORE;
}

/* The trailer is checked for its form and dropped. `left` counts the bytes of the line; `digits` is 1 after a CR, 2
 * once the line has its colon. */
static http_event trailer_byte(http_parse *p, uint8_t c) {
    enum { CR = 1, COLON = 2 };
    if (p->digits & CR) {
        if (c != '\n')
            return http_refuse(p, 400, "the trailer has a CR that ends no line");
        if (p->left == 0)
            return finish(p);
        if (!(p->digits & COLON))
            return http_refuse(p, 400, "a line of the trailer is no header");
        p->left = 0;
        p->digits = 0;
        return HTTP_NEED_MORE;
    }
    if (c == '\r') {
        p->digits |= CR;
        return HTTP_NEED_MORE;
    }
    if (++p->extra > CHUNK_EXTRA_MAX)
        return http_refuse(p, 431, "the trailer is too large");
    if (p->digits & COLON) {
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return http_refuse(p, 400, "the trailer has a control character");
    } else if (c == ':' && p->left > 0) {
        p->digits |= COLON;
    } else if (http_token_char[c] == 0) {
        return http_refuse(p, 400, "a line of the trailer is no header");
    }
    p->left++;
    return HTTP_NEED_MORE;
}

/* One byte outside the data of chunks. */
static http_event chunk_byte(http_parse *p, uint8_t c) {
    switch (p->phase) {
    case HTTP_IN_CHUNK_SIZE:
        return chunk_size_byte(p, c);
    case HTTP_IN_CHUNK_EXT:
        if (c == '\r')
            p->phase = HTTP_AT_CHUNK_LF;
        else if ((c < ' ' && c != '\t') || c == 0x7f || ++p->extra > CHUNK_EXTRA_MAX)
            return http_refuse(p, 400, "a chunk's extension is malformed or too long");
        return HTTP_NEED_MORE;
    case HTTP_AT_CHUNK_LF:
        return c == '\n' ? chunk_line_end(p)
                         : http_refuse(p, 400, "a chunk's size does not end in CR LF");
    case HTTP_AT_CHUNK_END_CR:
        p->phase = HTTP_AT_CHUNK_END_LF;
        return c == '\r' ? HTTP_NEED_MORE
                         : http_refuse(p, 400, "a chunk is longer than its size says");
    case HTTP_AT_CHUNK_END_LF:
        p->phase = HTTP_IN_CHUNK_SIZE;
        return c == '\n' ? HTTP_NEED_MORE : http_refuse(p, 400, "a chunk does not end in CR LF");
    default:
        return trailer_byte(p, c);
    }
}

http_event http_body_feed(http_parse *p, const uint8_t *data, size_t len, size_t *used) {
    size_t at = 0;
    http_event event = HTTP_NEED_MORE;
    while (at < len && event == HTTP_NEED_MORE) {
        if (p->phase != HTTP_IN_BODY && p->phase != HTTP_IN_CHUNK) {
            event = chunk_byte(p, data[at++]);
            continue;
        }
        const size_t n = len - at < p->left ? len - at : (size_t)p->left;
        event = take(p, data + at, n);
        at += n;
        p->left -= n;
        if (event == HTTP_NEED_MORE && p->left == 0) {
            if (p->phase == HTTP_IN_BODY)
                event = finish(p);
            else
                p->phase = HTTP_AT_CHUNK_END_CR;
        }
    }
    *used = at;
    return event;
}

/* ---- reading straight into the body ---- */

uint8_t *http_parse_room(http_parse *p, size_t *room) {
    if (p->phase != HTTP_IN_BODY || p->is_inflating || p->left < FIRST_CAP)
        return NULL;
    const size_t step = p->left < ((size_t)64 << 10) ? (size_t)p->left : (size_t)64 << 10;
    if (!http_body_reserve(p, step))
        return NULL;
    const size_t free_room = p->body_cap - p->request.body_len;
    *room = free_room < p->left ? free_room : (size_t)p->left;
    return p->body + p->request.body_len;
}

http_event http_parse_filled(http_parse *p, size_t len) {
    p->request.body_len += len;
    p->encoded += len;
    p->left -= len;
    return p->left == 0 ? finish(p) : HTTP_NEED_MORE;
}
