/* The target of a request: origin-form, absolute-form or "*"; the path decoded and guarded. */
#include "serve/http/parse.h"

#include <string.h>
#include <strings.h>

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t http_percent_decode(const char *text, size_t len, char *out, bool plus_is_space) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            const int high = i + 2 < len ? hex(text[i + 1]) : -1;
            const int low = high >= 0 ? hex(text[i + 2]) : -1;
            if (low < 0)
                return SIZE_MAX;
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

/* UTF-8 without overlong forms, surrogates and control characters (RFC 3629). */
static bool is_clean_utf8(const uint8_t *s, size_t len) {
    for (size_t i = 0; i < len;) {
        const uint8_t c = s[i];
        if (c < 0x80) {
            if (c < 0x20 || c == 0x7f)
                return false;
            i++;
            continue;
        }
        const size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        uint32_t code = c & (0x3fu >> more);
        if (c < 0xc2 || c > 0xf4 || len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((s[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (s[i + k] & 0x3fu);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

/* No segment is empty (but the last), "." or "..". */
static bool is_safe_path(const char *path, size_t len) {
    size_t start = 1;
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        const size_t n = i - start;
        const bool is_dots = (n == 1 && path[start] == '.') ||
                             (n == 2 && path[start] == '.' && path[start + 1] == '.');
        if (is_dots || (n == 0 && i < len))
            return false;
        start = i + 1;
    }
    return true;
}

http_event http_target_split(http_parse *p) {
    char *target = p->head + p->url;
    size_t len = p->url_len;
    if (strcmp(p->request.method, "CONNECT") == 0)
        return http_refuse(p, 501, "this server is no proxy");
    if (len > 7 &&
        strncasecmp(target, "http", 4) == 0) { /* absolute-form: the host is passed over */
        const size_t scheme = strncasecmp(target + 4, "s://", 4) == 0  ? 8
                              : strncasecmp(target + 4, "://", 3) == 0 ? 7
                                                                       : 0;
        size_t at = scheme;
        while (scheme > 0 && at < len && target[at] != '/' && target[at] != '?')
            at++;
        if (at == scheme || at == len || target[at] == '?')
            return http_refuse(p, 400, "the target is no path");
        target += at;
        len -= at;
    }
    target[len] = '\0'; /* in the place of the space before the version */
    if (memchr(target, '#', len) != NULL)
        return http_refuse(p, 400, "the target has a fragment");
    const bool is_star = len == 1 && target[0] == '*' && strcmp(p->request.method, "OPTIONS") == 0;
    if (len == 0 || (target[0] != '/' && !is_star))
        return http_refuse(p, 400, "the target is no path");
    char *mark = memchr(target, '?', len);
    if (mark != NULL) {
        p->request.query = mark + 1;
        len = (size_t)(mark - target);
    }
    len = http_percent_decode(target, len, target, false);
    if (len == SIZE_MAX || !is_clean_utf8((const uint8_t *)target, len))
        return http_refuse(p, 400,
                           "the path is not percent-encoded UTF-8 without control characters");
    if (!is_safe_path(target, len))
        return http_refuse(p, 400, "the path has an empty segment, \".\" or \"..\"");
    target[len] = '\0';
    p->request.path = target;
    return HTTP_NEED_MORE;
}
