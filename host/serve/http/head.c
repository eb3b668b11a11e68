/* The head: split by llhttp, then held against our own rules. */
#include "serve/http/parse.h"

#include <llhttp.h>
#include <string.h>
#include <strings.h>

#define T(c) [c] = c
#define U(c) [c] = (c) + 32
const uint8_t http_token_char[256] = {
    T('!'), T('#'), T('$'), T('%'), T('&'), T('\''), T('*'), T('+'), T('-'), T('.'), T('^'),
    T('_'), T('`'), T('|'), T('~'), T('0'), T('1'),  T('2'), T('3'), T('4'), T('5'), T('6'),
    T('7'), T('8'), T('9'), T('a'), T('b'), T('c'),  T('d'), T('e'), T('f'), T('g'), T('h'),
    T('i'), T('j'), T('k'), T('l'), T('m'), T('n'),  T('o'), T('p'), T('q'), T('r'), T('s'),
    T('t'), T('u'), T('v'), T('w'), T('x'), T('y'),  T('z'), U('A'), U('B'), U('C'), U('D'),
    U('E'), U('F'), U('G'), U('H'), U('I'), U('J'),  U('K'), U('L'), U('M'), U('N'), U('O'),
    U('P'), U('Q'), U('R'), U('S'), U('T'), U('U'),  U('V'), U('W'), U('X'), U('Y'), U('Z')};
#undef T
#undef U

/* ---- llhttp's callbacks: the head is one piece, so a span that comes in two is a fault ---- */

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    http_parse *p = parser->data;
    if (p->url_len > 0)
        return HPE_USER;
    p->url = (size_t)(at - p->head);
    p->url_len = len;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
    http_parse *p = parser->data;
    if (p->field_count == HTTP_MAX_FIELDS) {
        p->is_crowded = true;
        return HPE_USER;
    }
    http_field *f = &p->fields[p->field_count++];
    *f = (http_field){.name = (uint32_t)(at - p->head), .name_len = (uint32_t)len};
    for (size_t i = 0; i < len; i++) {
        const uint8_t c = http_token_char[(uint8_t)at[i]];
        if (c == 0)
            return HPE_USER;
        p->head[f->name + i] = (char)c;
    }
    return len > 0 && p->head[f->name + len] == ':' ? 0 : HPE_USER;
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
    http_parse *p = parser->data;
    http_field *f = &p->fields[p->field_count - 1];
    if (p->field_count == 0 || f->value != 0)
        return HPE_USER;
    for (size_t i = 0; i < len; i++)
        if (((uint8_t)at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f)
            return HPE_USER;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    f->value = (uint32_t)(at - p->head);
    f->value_len = (uint32_t)len;
    return 0;
}

static int on_head(llhttp_t *parser) {
    http_parse *p = parser->data;
    p->is_complete = true;
    p->request.method = llhttp_method_name((llhttp_method_t)parser->method);
    p->request.minor_version = parser->http_minor;
    p->request.keep_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED; /* the body is ours */
}

static const llhttp_settings_t settings = {.on_url = on_url,
                                           .on_header_field = on_field,
                                           .on_header_value = on_value,
                                           .on_headers_complete = on_head};

/* ---- the request line ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "METHOD SP target SP HTTP/1.x", one space each; says of what is refused whether 400, 501 or 505 fits. */
static http_event check_request_line(http_parse *p) {
    const char *line = p->head, *end = memchr(line, '\r', p->head_len);
    const char *target = memchr(line, ' ', (size_t)(end - line));
    const char *version =
        target != NULL ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (version == NULL || target == line || version == target + 1)
        return http_refuse(p, 400, "the request line is not \"METHOD target HTTP/1.1\"");
    for (const char *c = line; c < target; c++)
        if (http_token_char[(uint8_t)*c] == 0)
            return http_refuse(p, 400, "the method is no token");
    version++;
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7]))
        return http_refuse(p, 400, "the request line does not end in \"HTTP/1.1\" or \"HTTP/1.0\"");
    if (version[5] != '1' || version[7] > '1')
        return http_refuse(p, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
    p->url = (size_t)(target + 1 - p->head); /* what llhttp must find too */
    return HTTP_NEED_MORE;
}

static http_event split(http_parse *p) {
    if (check_request_line(p) == HTTP_REFUSED)
        return HTTP_REFUSED;
    const size_t url = p->url;
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = p;
    const llhttp_errno_t rc = llhttp_execute(&parser, p->head, p->head_len);
    if (p->is_crowded)
        return http_refuse(p, 431, "the request has more than 100 headers");
    if (rc == HPE_INVALID_METHOD)
        return http_refuse(p, 501, "the method is not known");
    if (rc == HPE_INVALID_URL)
        return http_refuse(p, 400, "the target has characters that must be percent-encoded");
    const char *reason = llhttp_get_error_reason(&parser);
    if (rc == HPE_INVALID_CONTENT_LENGTH && reason != NULL && strstr(reason, "overflow") != NULL)
        return http_refuse(p, 413, "Content-Length is beyond any limit");
    if (rc == HPE_UNEXPECTED_CONTENT_LENGTH || rc == HPE_INVALID_CONTENT_LENGTH)
        return http_refuse(p, 400,
                           "Content-Length must stand once, as digits, and not beside "
                           "Transfer-Encoding");
    if (rc == HPE_INVALID_TRANSFER_ENCODING)
        return http_refuse(p, 400, "Transfer-Encoding must be \"chunked\"");
    if (!p->is_complete || p->url != url || p->head[p->url + p->url_len] != ' ')
        return http_refuse(p, 400, "the head is malformed");
    return HTTP_NEED_MORE;
}

/* ---- what the headers say of the message ---- */

static bool text_is(lathe_http_text text, const char *want) {
    return text.len == strlen(want) && strncasecmp(text.ptr, want, text.len) == 0;
}

/* The one value of a field that may not be repeated; false: it is. */
static inline bool single(http_parse *p, const char *name, lathe_http_text *value) {
    const size_t len = strlen(name);
    *value = (lathe_http_text){0};
    for (size_t i = 0; i < p->field_count; i++) {
        const http_field *f = &p->fields[i];
        if (f->name_len != len || memcmp(p->head + f->name, name, len) != 0)
            continue;
        if (value->ptr != NULL)
            return false;
        *value = (lathe_http_text){p->head + f->value, f->value_len};
    }
    return true;
}

static http_event read_length(http_parse *p, lathe_http_text length) {
    uint64_t n = 0;
    if (length.len == 0 || length.len > 18)
        return http_refuse(p, length.len == 0 ? 400 : 413, "Content-Length is empty or too large");
    for (size_t i = 0; i < length.len; i++) {
        if (!is_digit(length.ptr[i]))
            return http_refuse(p, 400, "Content-Length is not a number of digits only");
        n = n * 10 + (uint64_t)(length.ptr[i] - '0');
    }
    if (n > p->limits.max_body)
        return http_refuse(p, 413, "the body is larger than this server takes");
    p->left = n;
    return HTTP_NEED_MORE;
}

static http_event check_framing(http_parse *p) {
    lathe_http_text length, coding, host;
    if (!single(p, "content-length", &length))
        return http_refuse(p, 400, "Content-Length stands twice");
    if (!single(p, "transfer-encoding", &coding))
        return http_refuse(p, 400, "Transfer-Encoding stands twice");
    if (!single(p, "host", &host) || (host.ptr == NULL && p->request.minor_version > 0))
        return http_refuse(p, 400, "an HTTP/1.1 request has one Host header");
    if (length.ptr != NULL && coding.ptr != NULL)
        return http_refuse(p, 400, "Content-Length and Transfer-Encoding stand together");
    if (coding.ptr != NULL) {
        if (p->request.minor_version == 0)
            return http_refuse(p, 400, "HTTP/1.0 has no Transfer-Encoding");
        if (!text_is(coding, "chunked"))
            return http_refuse(p, 501, "the one transfer coding understood is \"chunked\"");
        p->is_chunked = true;
    }
    if (length.ptr != NULL)
        return read_length(p, length);
    const char *method = p->request.method;
    if (coding.ptr == NULL && p->request.minor_version == 0 &&
        (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0))
        return http_refuse(p, 411, "an HTTP/1.0 request with a body needs Content-Length");
    return HTTP_NEED_MORE;
}

static http_event check_codings(http_parse *p) {
    const lathe_http_text expect = http_parse_header(p, "expect");
    if (expect.ptr != NULL && p->request.minor_version > 0) {
        if (!text_is(expect, "100-continue"))
            return http_refuse(p, 417, "the one expectation understood is \"100-continue\"");
        p->expects_continue = true;
    }
    const lathe_http_text coding = http_parse_header(p, "content-encoding");
    if (coding.ptr != NULL && !http_body_coding(p, coding))
        return http_refuse(p, p->status != 0 ? p->status : 415,
                           "the content encodings understood are gzip, deflate and identity");
    return HTTP_NEED_MORE;
}

http_event http_head_finish(http_parse *p) {
    if (split(p) == HTTP_REFUSED || http_target_split(p) == HTTP_REFUSED ||
        check_framing(p) == HTTP_REFUSED || check_codings(p) == HTTP_REFUSED)
        return HTTP_REFUSED;
    if (p->is_chunked)
        p->phase = HTTP_IN_CHUNK_SIZE;
    else
        p->phase = p->left > 0 ? HTTP_IN_BODY : HTTP_AT_END;
    if (p->phase != HTTP_AT_END)
        return HTTP_HEAD_DONE;
    if (p->is_inflating) /* no body at all: nothing to inflate */
        http_body_end(p);
    return HTTP_DONE;
}
