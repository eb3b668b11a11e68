/* Between the brackets: blanks, words, strings and numbers by RFC 8259's rules, and the messages. */
#include "base/json_reader.h"
#include "base/number.h"
#include "base/utf8.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale; /* numbers have a '.', whatever the process's locale */
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool lathe_jsonr_scan_prepare(void) {
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale != (locale_t)0;
}

/* ---- places and messages ---- */

int lathe_jsonr_column(json_reader *r, const char *p) {
    for (; r->counted < p; r->counted++) {
        if (((unsigned char)*r->counted & 0xC0) != 0x80)
            r->column++;
    }
    return r->column;
}

bool lathe_jsonr_fail(json_reader *r, const char *at, const char *fmt, ...) {
    lathe_buf message = {0};
    char pointer[1024];
    va_list ap;
    va_start(ap, fmt);
    lathe_buf_vprintf(&message, fmt, ap);
    va_end(ap);
    int column = at >= r->counted ? lathe_jsonr_column(r, at) : r->column;
    lathe_json_pointer(r->doc, r->inside, pointer, sizeof pointer);
    lathe_diag_add_at(r->diags, r->doc->file, r->line, column, pointer, "%s",
                      lathe_buf_str(&message));
    lathe_buf_free(&message);
    return false;
}

bool lathe_jsonr_fail_memory(json_reader *r) {
    if (r->diags != NULL)
        r->diags->no_memory = true;
    return lathe_jsonr_fail(r, r->p, "out of memory while reading the document");
}

const char *lathe_jsonr_found(const json_reader *r, const char *p, char text[48]) {
    if (p >= r->end)
        return "the end of the document";
    unsigned char c = (unsigned char)*p;
    size_t n = lathe_utf8_length(p, (size_t)(r->end - p));
    if (c == '\n' || c == '\r')
        return "the end of the line";
    if (c < 0x20 || c == 0x7F || n == 0)
        snprintf(text, 48, "the byte 0x%02X", c);
    else
        snprintf(text, 48, "'%.*s'", (int)n, p);
    return text;
}

void lathe_jsonr_skip_blanks(json_reader *r) {
    for (; r->p < r->end; r->p++) {
        char c = *r->p;
        if (c == '\n') {
            r->line++;
            r->counted = r->p + 1;
            r->column = 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

bool lathe_jsonr_at(const json_reader *r, char c) {
    return r->p < r->end && *r->p == c;
}

int lathe_jsonr_word_length(const json_reader *r, const char *p) {
    const char *q = p;
    while (q < r->end && q - p < 40 && *q != '\0' &&
           (strchr("_.+-", *q) != NULL || (*q >= '0' && *q <= '9') || (*q >= 'a' && *q <= 'z') ||
            (*q >= 'A' && *q <= 'Z')))
        q++;
    return (int)(q - p);
}

bool lathe_jsonr_word_is(const json_reader *r, const char *word) {
    size_t len = strlen(word);
    return (size_t)lathe_jsonr_word_length(r, r->p) == len && memcmp(r->p, word, len) == 0;
}

/* ---- strings ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits after "\u"; -1: not four digits. */
static int hex4(const json_reader *r, const char *p) {
    int code = 0;
    if (r->end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        code = code * 16 + d;
    }
    return code;
}

/* p at the 'u' of an escape. */
static bool read_unicode_escape(json_reader *r) {
    const char *at = r->p - 1;
    int code = hex4(r, r->p + 1);
    if (code < 0)
        return lathe_jsonr_fail(r, at, "\\u must be followed by four hexadecimal digits");
    if (code == 0)
        return lathe_jsonr_fail(r, at, "\\u0000 is not allowed: a text here has no NUL character");
    r->p += 5;
    unsigned point = (unsigned)code;
    if (code >= 0xD800 && code <= 0xDFFF) {
        int low = code < 0xDC00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u'
                      ? hex4(r, r->p + 2)
                      : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return lathe_jsonr_fail(
                r, at, "\\u%04X is half of a surrogate pair; the other half is missing", code);
        point = 0x10000u + (((unsigned)code - 0xD800u) << 10) + ((unsigned)low - 0xDC00u);
        r->p += 6;
    }
    char utf8[4];
    lathe_buf_append(&r->scratch, utf8, lathe_utf8_encode(point, utf8));
    return true;
}

static bool read_escape(json_reader *r) {
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *at = r->p++; /* the backslash */
    if (lathe_jsonr_at(r, 'u'))
        return read_unicode_escape(r);
    const char *name = r->p < r->end && *r->p != '\0' ? strchr(names, *r->p) : NULL;
    if (name == NULL) {
        char text[48];
        return lathe_jsonr_fail(r, at,
                                "found %s after a backslash; a backslash itself is written \\\\",
                                lathe_jsonr_found(r, r->p, text));
    }
    lathe_buf_append_char(&r->scratch, values[name - names]);
    r->p++;
    return true;
}

/* Eight bytes of which none is a quote, a backslash or below 0x20, each tested by whether a subtraction borrows. */
static bool all_plain(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
    const uint64_t found =
        ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word);
    return (found & ones * 0x80) == 0;
}

/* The first byte from p on that is no plain character of a string. */
static const char *skip_plain(const char *p, const char *end) {
    uint64_t word;
    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        if (!all_plain(word))
            break;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

bool lathe_jsonr_scan_string(json_reader *r) {
    const char *begin = r->p++, *run = r->p;
    lathe_buf_clear(&r->scratch);
    for (;;) {
        r->p = skip_plain(r->p, r->end);
        lathe_buf_append(&r->scratch, run, (size_t)(r->p - run));
        if (r->p >= r->end || *r->p == '\n' || *r->p == '\r')
            return lathe_jsonr_fail(r, begin,
                                    "this string has no closing quote on its line; "
                                    "a line break inside a string is written \\n");
        if (*r->p == '"') {
            r->p++;
            return r->scratch.failed ? lathe_jsonr_fail_memory(r) : true;
        }
        if (*r->p == '\\') {
            if (r->end - r->p >= 2 && (r->p[1] == '"' || r->p[1] == '\\')) {
                run = r->p + 1; /* what is escaped begins the next run */
                r->p += 2;
                continue;
            }
            if (!read_escape(r))
                return false;
            run = r->p;
            continue;
        }
        return lathe_jsonr_fail(r, r->p,
                                "a string holds the control character 0x%02X; write it as \\u%04x",
                                (unsigned char)*r->p, (unsigned char)*r->p);
    }
}

/* ---- numbers and words ---- */

static const char *skip_digits(const json_reader *r, const char *p) {
    while (p < r->end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* The end of the number at p by RFC 8259's grammar, NULL where it breaks it. *integer: neither fraction nor
 * exponent. */
static const char *match_number(const json_reader *r, bool *integer) {
    const char *p = r->p;
    if (p < r->end && *p == '-')
        p++;
    const char *digits = p;
    p = skip_digits(r, p);
    if (p == digits || (*digits == '0' && p > digits + 1))
        return NULL;
    *integer = true;
    if (p < r->end && *p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(r, fraction);
        if (p == fraction)
            return NULL;
        *integer = false;
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < r->end && (*p == '+' || *p == '-'))
            p++;
        const char *exponent = p;
        p = skip_digits(r, exponent);
        if (p == exponent)
            return NULL;
        *integer = false;
    }
    return p;
}

bool lathe_jsonr_scan_number(json_reader *r, double *value, json_place *place) {
    bool integer = false;
    const char *end = match_number(r, &integer);
    int word = lathe_jsonr_word_length(r, r->p);
    if (end == NULL || end - r->p < word)
        return lathe_jsonr_fail(
            r, r->p,
            "'%.*s' is not a number in JSON: digits, then perhaps a fraction and an "
            "exponent, with no '+', leading 0 or bare '.'",
            word > 0 ? word : 1, r->p);
    lathe_number read;
    if (lathe_number_read(r->p, end, &read) == end && read.is_integer == integer) {
        *value = read.value;
        place->exact = integer;
        place->integer = integer ? read.integer : 0;
        r->p = end;
        return true;
    }
    lathe_buf_clear(&r->scratch);
    lathe_buf_append(&r->scratch, r->p, (size_t)(end - r->p));
    if (r->scratch.failed)
        return lathe_jsonr_fail_memory(r);
    if (integer) {
        errno = 0;
        long long v = strtoll(r->scratch.data, NULL, 10);
        place->exact = errno == 0;
        place->integer = place->exact ? v : 0;
    }
    *value = strtod_l(r->scratch.data, NULL, c_locale);
    if (!isfinite(*value)) { /* goes on: the document's other errors are worth hearing too */
        lathe_jsonr_fail(r, r->p,
                         "the number %.40s is beyond the range of a double (about 1.8e308)",
                         r->scratch.data);
        *value = 0;
    }
    r->p = end;
    return true;
}

bool lathe_jsonr_fail_word(json_reader *r) {
    char text[48];
    int word = lathe_jsonr_word_length(r, r->p);
    if (lathe_jsonr_at(r, '/') || lathe_jsonr_at(r, '#'))
        return lathe_jsonr_fail(r, r->p, "found %s: JSON has no comments; remove it",
                                lathe_jsonr_found(r, r->p, text));
    if (lathe_jsonr_at(r, '\''))
        return lathe_jsonr_fail(r, r->p, "found ': a string needs double quotes (\")");
    if (lathe_jsonr_at(r, ']') || lathe_jsonr_at(r, '}'))
        return lathe_jsonr_fail(r, r->p,
                                "found %s where a value is needed; is there a comma too many?",
                                lathe_jsonr_found(r, r->p, text));
    if (word > 0)
        return lathe_jsonr_fail(
            r, r->p,
            "found %.*s where a value is needed: a text needs double quotes, and the only "
            "bare words are true, false and null",
            word, r->p);
    return lathe_jsonr_fail(r, r->p, "found %s where a value is needed",
                            lathe_jsonr_found(r, r->p, text));
}
