#include "serve/http/parse.h"

#include <stdlib.h>
#include <string.h>

http_event http_refuse(http_parse *p, int status, const char *reason) {
    if (p->status == 0) {
        p->status = status;
        p->reason = reason;
    }
    p->phase = HTTP_AT_END;
    return HTTP_REFUSED;
}

void http_parse_begin(http_parse *p, const lathe_http_limits *limits) {
    http_body_end(p);
    if (p->head_cap > HTTP_KEEP_BYTES) {
        free(p->head);
        p->head = NULL;
        p->head_cap = 0;
    }
    if (p->body_cap > HTTP_KEEP_BYTES) {
        free(p->body);
        p->body = NULL;
        p->body_cap = 0;
    }
    free(p->joins);
    p->joins = NULL;
    p->joins_len = 0;
    p->limits = *limits;
    p->phase = HTTP_AT_START;
    p->status = 0;
    p->reason = NULL;
    p->request =
        (lathe_http_request){.method = "", .path = "", .query = "", .body = (const uint8_t *)""};
    p->head_len = p->line = p->field_count = p->url = p->url_len = 0;
    p->is_complete = p->is_crowded = p->expects_continue = false;
    p->left = p->encoded = p->extra = 0;
    p->digits = 0;
    p->is_chunked = p->is_inflating = p->is_gzip = p->is_format_known = p->is_inflated = false;
}

void http_parse_free(http_parse *p) {
    http_body_end(p);
    free(p->head);
    free(p->body);
    free(p->joins);
    *p = (http_parse){0};
}

static bool head_append(http_parse *p, const uint8_t *data, size_t len) {
    if (len > p->limits.max_head - p->head_len) {
        http_refuse(p, p->line == 0 ? 414 : 431,
                    p->line == 0 ? "the request line is too long" : "the headers are too large");
        return false;
    }
    if (len >= p->head_cap - p->head_len) { /* one byte stays free for a NUL */
        size_t cap = p->head_cap > 0 ? p->head_cap : 1024;
        while (cap - p->head_len <= len)
            cap *= 2;
        char *head = realloc(p->head, cap);
        if (head == NULL) {
            http_refuse(p, 503, "out of memory");
            return false;
        }
        p->head = head;
        p->head_cap = cap;
    }
    memcpy(p->head + p->head_len, data, len);
    p->head_len += len;
    return true;
}

/* A line of the head has ended: HTTP_DONE at the empty one that ends the head. */
static http_event head_line(http_parse *p) {
    char *line = p->head + p->line;
    const size_t len = p->head_len - p->line; /* with the LF */
    if (len < 2 || line[len - 2] != '\r')
        return http_refuse(p, 400, "a line of the head ends without CR");
    if (len == 2) {
        if (p->line > 0)
            return HTTP_DONE;
        if (p->extra++ > 0) /* RFC 9112, 2.2: an empty line before a request is passed over */
            return http_refuse(p, 400, "empty lines stand where a request line was expected");
        p->head_len = 0;
        return HTTP_NEED_MORE;
    }
    if (memchr(line, '\r', len - 2) != NULL)
        return http_refuse(p, 400, "the head has a CR that ends no line");
    if (p->line > 0 && (line[0] == ' ' || line[0] == '\t'))
        return http_refuse(p, 400, "a header is folded over several lines");
    p->line = p->head_len;
    return HTTP_NEED_MORE;
}

static http_event head_feed(http_parse *p, const uint8_t *data, size_t len, size_t *used) {
    size_t at = 0;
    while (at < len) {
        const uint8_t *lf = memchr(data + at, '\n', len - at);
        const size_t span = lf != NULL ? (size_t)(lf - data) + 1 - at : len - at;
        *used = at + span;
        if (!head_append(p, data + at, span))
            return HTTP_REFUSED;
        at += span;
        if (lf == NULL)
            break;
        const http_event event = head_line(p);
        if (event == HTTP_DONE) {
            p->extra = 0;
            return http_head_finish(p);
        }
        if (event != HTTP_NEED_MORE)
            return event;
    }
    return HTTP_NEED_MORE;
}

http_event http_parse_feed(http_parse *p, const uint8_t *data, size_t len, size_t *used) {
    *used = 0;
    if (p->phase == HTTP_AT_START)
        p->phase = HTTP_IN_HEAD;
    if (p->phase == HTTP_IN_HEAD)
        return head_feed(p, data, len, used);
    if (p->phase == HTTP_AT_END)
        return p->status != 0 ? HTTP_REFUSED : HTTP_DONE;
    return http_body_feed(p, data, len, used);
}

/* Joins the values of a repeated field in the place of its first; the others lose their names. */
static bool join(http_parse *p, size_t first) {
    http_field *f = &p->fields[first];
    if (p->joins == NULL) /* all joins together are shorter than the head and two bytes a field */
        p->joins = malloc(p->head_len + 2 * HTTP_MAX_FIELDS);
    if (p->joins == NULL)
        return false;
    char *start = p->joins + p->joins_len, *to = start;
    for (size_t i = first; i < p->field_count; i++) {
        http_field *g = &p->fields[i];
        if (g->name_len != f->name_len ||
            memcmp(p->head + g->name, p->head + f->name, f->name_len) != 0)
            continue;
        if (to > start) {
            *to++ = ',';
            *to++ = ' ';
        }
        memcpy(to, p->head + g->value, g->value_len);
        to += g->value_len;
        if (i != first)
            g->name_len = 0;
    }
    f->joined = start;
    f->value_len = (uint32_t)(to - start);
    p->joins_len += (size_t)(to - start);
    return true;
}

lathe_http_text http_parse_header_of(http_parse *p, const char *name, size_t len) {
    const lathe_http_text none = {0};
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < p->field_count; i++) {
        const http_field *f = &p->fields[i];
        if (f->name_len != len || memcmp(p->head + f->name, name, len) != 0)
            continue;
        if (first == SIZE_MAX) {
            first = i;
        } else if (!join(p, first)) {
            return none; /* rather absent than half */
        } else {
            break;
        }
    }
    if (first == SIZE_MAX)
        return none;
    const http_field *f = &p->fields[first];
    return (lathe_http_text){f->joined != NULL ? f->joined : p->head + f->value, f->value_len};
}
