#include "base/jsonw.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST 63

size_t lathe_double_text(double value, char out[LATHE_DOUBLE_TEXT]) {
    if (!isfinite(value))
        return (size_t)snprintf(out, LATHE_DOUBLE_TEXT, "null");
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(out, LATHE_DOUBLE_TEXT, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return (size_t)len;
}

void lathe_json_quote(lathe_buf *out, const char *text, size_t len) {
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char short_form[] = "\"\\bfnrt";
    lathe_buf_append_char(out, '"');
    for (size_t at = 0; at < len;) {
        size_t run = at;
        while (run < len && (unsigned char)text[run] >= 0x20 && (unsigned char)text[run] < 0x80 &&
               text[run] != '"' && text[run] != '\\')
            run++;
        lathe_buf_append(out, text + at, run - at);
        at = run;
        if (at == len)
            break;
        unsigned char c = (unsigned char)text[at];
        size_t n = lathe_utf8_length(text + at, len - at);
        const char *special = c != '\0' ? strchr(plain, c) : NULL;
        if (special != NULL) {
            lathe_buf_append_char(out, '\\');
            lathe_buf_append_char(out, short_form[special - plain]);
        } else if (c < 0x20) {
            lathe_buf_printf(out, "\\u%04x", c);
        } else if (n > 0) {
            lathe_buf_append(out, text + at, n);
        } else {
            lathe_buf_append_str(out, "\xEF\xBF\xBD"); /* U+FFFD */
        }
        at += n > 0 ? n : 1;
    }
    lathe_buf_append_char(out, '"');
}

lathe_jsonw lathe_jsonw_to(lathe_buf *out) {
    return (lathe_jsonw){.out = out};
}

/* Before a value: the comma, and whether a value may stand here. */
static bool begin_value(lathe_jsonw *w) {
    uint64_t bit = UINT64_C(1) << w->depth;
    bool keyed = (w->objects & bit) != 0;
    if ((keyed && !w->after_key) || (w->depth == 0 && (w->filled & bit))) {
        w->out->failed = 1;
        return false;
    }
    if (!keyed && (w->filled & bit))
        lathe_buf_append_char(w->out, ',');
    w->filled |= bit;
    w->after_key = false;
    return true;
}

static void open_level(lathe_jsonw *w, bool object) {
    if (!begin_value(w))
        return;
    if (w->depth == DEEPEST) {
        w->out->failed = 1;
        return;
    }
    lathe_buf_append_char(w->out, object ? '{' : '[');
    uint64_t bit = UINT64_C(1) << ++w->depth;
    w->objects = object ? w->objects | bit : w->objects & ~bit;
    w->filled &= ~bit;
}

static void close_level(lathe_jsonw *w, bool object) {
    uint64_t bit = UINT64_C(1) << w->depth;
    if (w->depth == 0 || ((w->objects & bit) != 0) != object || w->after_key) {
        w->out->failed = 1;
        return;
    }
    lathe_buf_append_char(w->out, object ? '}' : ']');
    w->depth--;
}

void lathe_jsonw_begin_object(lathe_jsonw *w) {
    open_level(w, true);
}

void lathe_jsonw_end_object(lathe_jsonw *w) {
    close_level(w, true);
}

void lathe_jsonw_begin_array(lathe_jsonw *w) {
    open_level(w, false);
}

void lathe_jsonw_end_array(lathe_jsonw *w) {
    close_level(w, false);
}

void lathe_jsonw_key(lathe_jsonw *w, const char *key) {
    uint64_t bit = UINT64_C(1) << w->depth;
    if (!(w->objects & bit) || w->after_key) {
        w->out->failed = 1;
        return;
    }
    if (w->filled & bit)
        lathe_buf_append_char(w->out, ',');
    lathe_json_quote(w->out, key, strlen(key));
    lathe_buf_append_char(w->out, ':');
    w->filled |= bit;
    w->after_key = true;
}

void lathe_jsonw_raw(lathe_jsonw *w, const char *json, size_t len) {
    if (begin_value(w))
        lathe_buf_append(w->out, json, len);
}

void lathe_jsonw_null(lathe_jsonw *w) {
    lathe_jsonw_raw(w, "null", 4);
}

void lathe_jsonw_strn(lathe_jsonw *w, const char *text, size_t len) {
    if (text == NULL)
        lathe_jsonw_null(w);
    else if (begin_value(w))
        lathe_json_quote(w->out, text, len);
}

void lathe_jsonw_str(lathe_jsonw *w, const char *text) {
    lathe_jsonw_strn(w, text, text != NULL ? strlen(text) : 0);
}

void lathe_jsonw_int(lathe_jsonw *w, int64_t value) {
    if (begin_value(w))
        lathe_buf_printf(w->out, "%lld", (long long)value);
}

void lathe_jsonw_uint(lathe_jsonw *w, uint64_t value) {
    if (begin_value(w))
        lathe_buf_printf(w->out, "%llu", (unsigned long long)value);
}

void lathe_jsonw_double(lathe_jsonw *w, double value) {
    char text[LATHE_DOUBLE_TEXT];
    size_t len = lathe_double_text(value, text);
    lathe_jsonw_raw(w, text, len);
}

void lathe_jsonw_bool(lathe_jsonw *w, bool value) {
    lathe_jsonw_raw(w, value ? "true" : "false", value ? 4 : 5);
}

void lathe_jsonw_kv_str(lathe_jsonw *w, const char *key, const char *text) {
    lathe_jsonw_key(w, key);
    lathe_jsonw_str(w, text);
}

void lathe_jsonw_kv_int(lathe_jsonw *w, const char *key, int64_t value) {
    lathe_jsonw_key(w, key);
    lathe_jsonw_int(w, value);
}

void lathe_jsonw_kv_double(lathe_jsonw *w, const char *key, double value) {
    lathe_jsonw_key(w, key);
    lathe_jsonw_double(w, value);
}

void lathe_jsonw_kv_bool(lathe_jsonw *w, const char *key, bool value) {
    lathe_jsonw_key(w, key);
    lathe_jsonw_bool(w, value);
}
