/* Which of an endpoint's versions a request goes to: a point on the line of keys. */
#include "serve/infer/internal.h"

#include <string.h>

/* The end of the string that begins after p; NULL: it does not end. */
static const char *skip_string(const char *p, const char *end) {
    for (; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p;
    }
    return NULL;
}

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

bool infer_request_id(const char *text, size_t len, lathe_str *id) {
    const char *end = text + len;
    int depth = 0;
    for (const char *p = text; p < end; p++) {
        if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (--depth <= 0)
                return false; /* what follows are tensors */
        } else if (*p == '"') {
            const char *begin = p + 1, *q = skip_string(begin, end);
            if (q == NULL)
                return false;
            p = q;
            if (depth != 1 || q - begin != 2 || memcmp(begin, "id", 2) != 0)
                continue;
            const char *colon = skip_blanks(q + 1, end);
            const char *value = colon < end && *colon == ':' ? skip_blanks(colon + 1, end) : end;
            if (value == end || *value != '"')
                continue;
            if ((q = skip_string(value + 1, end)) == NULL)
                return false;
            *id = (lathe_str){value + 1, q - value - 1};
            return true;
        }
    }
    return false;
}

/* The header that an endpoint has chosen, else the usual one. */
static lathe_http_text sticky_header(const lathe_exchange *exchange, const infer_group *group) {
    if (group->sticky != NULL && strncmp(group->sticky, "header:", 7) == 0) {
        const lathe_http_text text = lathe_http_header(exchange, group->sticky + 7);
        if (text.ptr != NULL)
            return text;
    }
    return lathe_http_header(exchange, "lathe-sticky-key");
}

uint64_t infer_traffic_key(infer_worker *w, const lathe_exchange *exchange,
                           const infer_group *group) {
    if (group->count == 1)
        return 0;
    const lathe_http_text key = sticky_header(exchange, group);
    if (key.ptr != NULL)
        return lathe_hash_bytes(key.ptr, (int64_t)key.len, group->seed);
    if (group->sticky != NULL && strcmp(group->sticky, "id") == 0) {
        const lathe_http_request *request = lathe_http_get(exchange);
        lathe_str id;
        if (infer_request_id((const char *)request->body, request->body_len, &id))
            return lathe_hash_bytes(id.ptr, id.len, group->seed);
    }
    return lathe_hash_mix(++w->sequence ^ group->seed);
}
