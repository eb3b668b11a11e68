#include "serve/oip/json.h"

#include "base/utf8.h"

#include <string.h>

bool oip_fail(oip_cursor *c, const char *expected) {
    if (c->fault == NULL) {
        c->fault = expected;
        c->fault_at = c->at;
    }
    return false;
}

bool oip_take(oip_cursor *c, char what, const char *expected) {
    if (oip_peek(c) != what || c->at == c->end)
        return oip_fail(c, expected);
    c->at++;
    return true;
}

bool oip_more(oip_cursor *c, char close, bool *closed) {
    const char next = oip_peek(c);
    *closed = next == close;
    if (next != ',' && next != close)
        return oip_fail(c, close == ']' ? "\",\" or \"]\"" : "\",\" or \"}\"");
    c->at++;
    return next == ',';
}

bool oip_word(oip_cursor *c, const char *word) {
    const size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return false;
    c->at += len;
    return true;
}

static int hex4(const char *p, const char *end) {
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char d = p[i];
        const int digit = d >= '0' && d <= '9'   ? d - '0'
                          : d >= 'a' && d <= 'f' ? d - 'a' + 10
                          : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX at p, with its second half where it is a surrogate. Returns what follows; NULL: broken. */
static const char *unescape_unicode(const char *p, const char *end, char **out) {
    const int unit = hex4(p + 2, end);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return NULL;
    p += 6;
    unsigned code = (unsigned)unit;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        const int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return NULL;
        code = 0x10000 + ((code - 0xD800) << 10) + ((unsigned)low - 0xDC00);
        p += 6;
    }
    *out += lathe_utf8_encode(code, *out);
    return p;
}

/* The rest of a string from its first backslash on. An escape is never shorter than what it stands for. */
static bool unescape(oip_cursor *c, const char *start, lathe_str *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = c->at;
    char *text = c->text, *o = text;
    memcpy(o, start, (size_t)(p - start));
    o += p - start;
    while (p < c->end && *p != '"') {
        if ((unsigned char)*p < 0x20) {
            c->at = p;
            return oip_fail(c, "no control character in a string");
        }
        if (*p != '\\') {
            *o++ = *p++;
            continue;
        }
        const char kind = p + 1 < c->end ? p[1] : 0;
        const char *at = kind ? strchr(from, kind) : NULL;
        const char *next = kind == 'u' ? unescape_unicode(p, c->end, &o) : at ? p + 2 : NULL;
        if (next == NULL) {
            c->at = p;
            return oip_fail(c, "an escape such as \\n or \\u00e9");
        }
        if (at != NULL)
            *o++ = to[at - from];
        p = next;
    }
    c->at = p;
    if (p == c->end)
        return oip_fail(c, "the end of a string");
    c->at++;
    c->text = o;
    *out = (lathe_str){text, o - text};
    return true;
}

bool oip_string(oip_cursor *c, lathe_str *out) {
    if (!oip_take(c, '"', "a string"))
        return false;
    const char *start = c->at;
    for (; c->at < c->end; c->at++) {
        const unsigned char b = (unsigned char)*c->at;
        if (b == '"') {
            *out = (lathe_str){start, c->at - start};
            c->at++;
            return true;
        }
        if (b == '\\')
            return unescape(c, start, out);
        if (b < 0x20)
            return oip_fail(c, "no control character in a string");
    }
    return oip_fail(c, "the end of a string");
}

bool oip_key(oip_cursor *c, lathe_str *out) {
    if (oip_peek(c) != '"')
        return oip_fail(c, "a key in quotes");
    return oip_string(c, out) && oip_take(c, ':', "\":\" after a key");
}

bool oip_bool(oip_cursor *c, bool *out) {
    oip_peek(c);
    *out = oip_word(c, "true");
    return *out || oip_word(c, "false") || oip_fail(c, "true or false");
}

bool oip_int(oip_cursor *c, int64_t *out) {
    lathe_number number;
    oip_peek(c);
    const char *next = lathe_number_read(c->at, c->end, &number);
    if (next == NULL || !number.is_integer)
        return oip_fail(c, "a whole number");
    c->at = next;
    *out = number.integer;
    return true;
}

static bool skip_scalar(oip_cursor *c) {
    static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
    lathe_number number;
    const char *next = lathe_number_read(c->at, c->end, &number);
    if (next != NULL) {
        c->at = next;
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (oip_word(c, words[i]))
            return true;
    return oip_fail(c, "a JSON value");
}

/* Texts that nobody keeps need no room. */
static bool skip_string(oip_cursor *c, bool key) {
    char *text = c->text;
    lathe_str ignored;
    const bool good = key ? oip_key(c, &ignored) : oip_string(c, &ignored);
    c->text = text;
    return good;
}

bool oip_skip(oip_cursor *c, int depth) {
    const char open = oip_peek(c);
    bool closed = false;
    if (open == '"')
        return skip_string(c, false);
    if (open != '[' && open != '{')
        return skip_scalar(c);
    if (depth >= OIP_JSON_DEPTH)
        return oip_fail(c, "at most 64 levels");
    const char close = open == '[' ? ']' : '}';
    c->at++;
    if (oip_peek(c) == close) {
        c->at++;
        return true;
    }
    do
        if ((open == '{' && !skip_string(c, true)) || !oip_skip(c, depth + 1))
            return false;
    while (oip_more(c, close, &closed));
    return closed;
}
