/* reader.c: records from bytes, after RFC 4180 with what files in the wild need.
 *
 * A record ends at LF, CR LF or CR; the last one may lack its end; blank lines are skipped. A field is quoted
 * where its first character is the quote; inside, delimiters and line breaks are text and a doubled quote is
 * one. A quote further on in an unquoted field is an ordinary character (5" pipe). Text after a closing quote,
 * a byte that is not UTF-8 and a NUL byte are errors of their record; an unclosed quote is one of the file.
 *
 *     window:  [ used | begin … record … | more … end ) LF      the sentinel stops every scan
 *
 * A record that reaches `end` is scanned again after the window was moved down and filled, so nothing is
 * changed in the window before a record is complete.
 */
#include "csv.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define WINDOW (1 << 20)

enum {
    RECORD_DONE,
    RECORD_BLANK,
    RECORD_MORE, /* its end is not in the window */
    RECORD_UNCLOSED,
    RECORD_AFTER_QUOTE,
    RECORD_WIDE,
    RECORD_MEMORY
};

typedef struct scan {
    int64_t next; /* first byte behind the record */
    int64_t line_breaks;
    int64_t fault_line; /* line breaks before the fault */
    int64_t fault_at;  /* its place in the window; before a fault, that of the last opening quote */
    int32_t in_quotes; /* the window ends inside quotes */
} scan;

static inline int is_blank(const csv_reader *r, char c) {
    return (c == ' ' || c == '\t') && c != r->delimiter;
}

static inline int is_stop(const csv_reader *r, char c) {
    return c == r->delimiter || c == '\n' || c == '\r';
}

/* Bit i: p[i] is a stop. */
static inline uint64_t find_stops(const char *p, char delimiter) {
    uint64_t stops = 0;
#if defined(__SSE2__)
    const __m128i d = _mm_set1_epi8(delimiter), lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (int i = 0; i < 4; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(x, d),
                                   _mm_or_si128(_mm_cmpeq_epi8(x, lf), _mm_cmpeq_epi8(x, cr)));
        stops |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * i);
    }
#else
    for (int i = 0; i < 64; i++)
        stops |= (uint64_t)(p[i] == delimiter || p[i] == '\n' || p[i] == '\r') << i;
#endif
    return stops;
}

/* The first stop at or behind window[at]; the sentinel is one. */
static inline int64_t next_stop(csv_reader *r, int64_t at) {
    uint64_t left;
    if ((uint64_t)(at - r->stops_at) >= 64) {
        r->stops_at = at;
        r->stops = find_stops(r->window + at, r->delimiter);
    }
    left = r->stops >> (at - r->stops_at);
    while (left == 0) {
        at = r->stops_at += 64;
        left = r->stops = find_stops(r->window + at, r->delimiter);
    }
    return at + __builtin_ctzll(left);
}

/* The first byte in p[0 … n) that is NUL or not UTF-8 (RFC 3629: no surrogates, no overlong forms); n where all
 * are good. *whole: what may be forgotten; a sequence cut off at the end stays unless at_end. */
static int64_t find_bad_byte(const uint8_t *p, int64_t n, int at_end, int64_t *whole) {
    int64_t i = 0;
    while (i < n) {
        uint64_t word;
        while (n - i >= 8) {
            memcpy(&word, p + i, 8);
            if ((((word - 0x0101010101010101ull) | word) & 0x8080808080808080ull) != 0)
                break;
            i += 8;
        }
        if (i >= n)
            break;
        uint8_t c = p[i];
        if (c != 0 && c < 0x80) {
            i++;
            continue;
        }
        int more = c >= 0xF0 && c <= 0xF4 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC2 && c < 0xE0;
        if (more == 0) {
            *whole = i;
            return i;
        }
        uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
        uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        for (int k = 1; k <= more; k++) {
            if (i + k >= n && !at_end) {
                *whole = i;
                return n;
            }
            if (i + k >= n || p[i + k] < low || p[i + k] > high) {
                *whole = i;
                return i;
            }
            low = 0x80;
            high = 0xBF;
        }
        i += more + 1;
    }
    *whole = n;
    return n;
}

static void check_text(csv_reader *r) {
    if (r->bad >= 0)
        return;
    int64_t whole = 0, n = r->end - r->checked;
    int64_t at = find_bad_byte((const uint8_t *)r->window + r->checked, n, r->at_end, &whole);
    if (at < n)
        r->bad = r->checked + at;
    r->checked += whole;
}

/* Moves what is unread to the front and reads more behind it; the window grows where it is full. */
static int32_t refill(csv_reader *r, lathe_error *err) {
    int64_t kept = r->end - r->begin, n = 0;
    if (r->begin > 0) {
        memmove(r->window, r->window + r->begin, (size_t)kept);
        r->checked -= r->begin;
        r->bad = r->bad >= 0 ? r->bad - r->begin : -1;
        r->end = kept;
        r->begin = 0;
    }
    if (r->capacity - 1 - CSV_PADDING - r->end < WINDOW / 2) {
        int64_t room = r->capacity; /* csv_grow copies and frees */
        if (!csv_grow(r->host, &r->window, &room, r->capacity + WINDOW, 1))
            return bytes_no_memory(err, r->path);
        r->capacity = room;
    }
    /* Fill what is there: gzip gives less than asked. */
    while (r->end < r->capacity - 1 - CSV_PADDING && !r->at_end) {
        int32_t rc = bytes_read(&r->file, (uint8_t *)r->window + r->end,
                                r->capacity - 1 - CSV_PADDING - r->end, &n, err);
        if (rc != LATHE_OK)
            return rc;
        r->at_end = n == 0;
        r->end += n;
    }
    r->window[r->end] = '\n';
    r->stops_at = INT64_MIN / 2; /* what was found lies elsewhere now */
    check_text(r);
    return LATHE_OK;
}

static int32_t drop_byte_order_mark(csv_reader *r, lathe_error *err) {
    const uint8_t *p = (const uint8_t *)r->window;
    if (r->end >= 2 && ((p[0] == 0xFF && p[1] == 0xFE) || (p[0] == 0xFE && p[1] == 0xFF)))
        return bytes_fail(err, LATHE_E_DATA, r->path, 1, "the file is UTF-16; save it as UTF-8");
    if (r->end >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF)
        r->begin = 3;
    return LATHE_OK;
}

static int32_t start(csv_reader *r, lathe_error *err) {
    r->begin = r->end = r->checked = 0;
    r->bad = -1;
    r->at_end = 0;
    r->line = 1;
    int32_t rc = refill(r, err);
    return rc == LATHE_OK ? drop_byte_order_mark(r, err) : rc;
}

int32_t csv_reader_open(csv_reader *r, const lathe_host *host, const char *path, lathe_error *err) {
    memset(r, 0, sizeof *r);
    r->host = host;
    r->path = path;
    r->file.fd = -1;
    int32_t rc = bytes_open(&r->file, host, path, err);
    return rc == LATHE_OK ? start(r, err) : rc;
}

int32_t csv_reader_rewind(csv_reader *r, lathe_error *err) {
    int32_t rc = bytes_rewind(&r->file, err);
    return rc == LATHE_OK ? start(r, err) : rc;
}

void csv_reader_close(csv_reader *r) {
    bytes_close(&r->file);
    if (r->host != NULL) {
        r->host->free(r->host, r->window);
        r->host->free(r->host, r->fields);
    }
    r->window = NULL;
    r->fields = NULL;
}

/* Behind the opening quote at *at: moves *at behind the closing one. */
static int scan_quoted(csv_reader *r, int64_t *at, csv_field *f, scan *s) {
    char *p = r->window + *at, *end = r->window + r->end;
    f->text = p;
    f->quoted = 1;
    s->fault_at = *at - 1;
    s->fault_line = s->line_breaks;
    s->in_quotes = 1;
    for (;; p++) {
        while (*p != r->quote && *p != '\n' && *p != '\r')
            p++;
        if (p >= end)
            return r->at_end ? RECORD_UNCLOSED : RECORD_MORE;
        if (*p == r->quote) {
            if (p + 1 == end && !r->at_end)
                return RECORD_MORE;
            if (p + 1 == end || p[1] != r->quote)
                break;
            f->quoted = 2;
            p++;
        } else {
            s->line_breaks += *p == '\n' || p[1] != '\n'; /* p[1] may be the sentinel: at worst the
                                                           * record is scanned again */
        }
    }
    s->in_quotes = 0;
    f->length = (int32_t)(p - f->text);
    *at = p + 1 - r->window;
    return RECORD_DONE;
}

/* One field from *at to its end (delimiter, line break or sentinel). */
static int scan_field(csv_reader *r, int64_t *at, csv_field *f, scan *s) {
    char *p = r->window + *at, *first;
    int outcome = RECORD_DONE;
    if (r->trim)
        while (is_blank(r, *p))
            p++;
    if (r->quote != 0 && *p == r->quote && p < r->window + r->end) {
        int64_t behind = p + 1 - r->window;
        outcome = scan_quoted(r, &behind, f, s);
        if (outcome != RECORD_DONE)
            return outcome;
        p = r->window + behind;
        while (r->trim && is_blank(r, *p))
            p++;
        *at = p - r->window;
        if (!is_stop(r, *p)) {
            outcome = RECORD_AFTER_QUOTE;
            s->fault_at = *at;
            s->fault_line = s->line_breaks;
            *at = next_stop(r, *at);
        }
        return outcome;
    }
    first = p;
    *at = next_stop(r, p - r->window);
    p = r->window + *at;
    if (r->trim)
        while (p > first && is_blank(r, p[-1]))
            p--;
    f->text = first;
    f->length = (int32_t)(p - first);
    f->quoted = 0;
    return RECORD_DONE;
}

/* The record at `begin`; fills fields and n_fields. A fault in it lets the scan go on to its end. */
static int scan_record(csv_reader *r, scan *s) {
    int64_t at = r->begin, n = 0;
    int outcome = RECORD_DONE;
    scan fault = {0};
    memset(s, 0, sizeof *s);
    for (;;) {
        if (n >= r->fields_capacity &&
            !csv_grow(r->host, &r->fields, &r->fields_capacity, n + 1, sizeof *r->fields))
            return RECORD_MEMORY;
        if (n >= CSV_MAX_COLUMNS)
            return RECORD_WIDE;
        int got = scan_field(r, &at, &r->fields[n], s);
        if (got == RECORD_AFTER_QUOTE) {
            if (outcome == RECORD_DONE)
                fault = *s;
            outcome = got;
        } else if (got != RECORD_DONE) {
            return got;
        }
        n++;
        if (at >= r->end) {
            if (!r->at_end)
                return RECORD_MORE;
            s->next = r->end; /* the last line without a line break */
            break;
        }
        char c = r->window[at];
        if (c == r->delimiter) {
            at++;
            continue;
        }
        if (c == '\r' && at + 1 >= r->end && !r->at_end)
            return RECORD_MORE;
        s->next = at + 1 + (c == '\r' && at + 1 < r->end && r->window[at + 1] == '\n');
        s->line_breaks++;
        break;
    }
    r->n_fields = n;
    if (outcome == RECORD_AFTER_QUOTE) {
        s->fault_at = fault.fault_at;
        s->fault_line = fault.fault_line;
    }
    if (n == 1 && r->fields[0].length == 0 && !r->fields[0].quoted && outcome == RECORD_DONE)
        return RECORD_BLANK;
    return outcome;
}

/* The column of a byte in its line, from 1. */
static int64_t column_of(const csv_reader *r, int64_t at) {
    int64_t i = at;
    while (i > r->begin && r->window[i - 1] != '\n' && r->window[i - 1] != '\r')
        i--;
    return at - i + 1;
}

static int32_t fail_bad_byte(csv_reader *r, lathe_error *err) {
    int64_t line = r->line;
    uint8_t byte = (uint8_t)r->window[r->bad];
    for (int64_t i = r->begin; i < r->bad; i++)
        line += r->window[i] == '\n' || (r->window[i] == '\r' && r->window[i + 1] != '\n');
    if (byte == 0)
        return bytes_fail(err, LATHE_E_DATA, r->path, line,
                          "a NUL byte at column %lld: this is not plain text (UTF-16, or a damaged "
                          "file); save it as UTF-8",
                          (long long)column_of(r, r->bad));
    return bytes_fail(
        err, LATHE_E_DATA, r->path, line,
        "byte 0x%02X at column %lld is not UTF-8 (is the file Latin-1 or Windows-1252?); "
        "save it as UTF-8",
        byte, (long long)column_of(r, r->bad));
}

static int32_t fail_scan(csv_reader *r, int outcome, const scan *s, lathe_error *err) {
    int64_t line = r->line + s->fault_line;
    if (outcome == RECORD_MEMORY)
        return bytes_no_memory(err, r->path);
    if (outcome == RECORD_WIDE)
        return bytes_fail(err, LATHE_E_DATA, r->path, line,
                          "the line has more than %d fields, which is the limit; is '%c' the "
                          "delimiter?",
                          CSV_MAX_COLUMNS, r->delimiter);
    if (outcome == RECORD_UNCLOSED)
        return bytes_fail(err, LATHE_E_DATA, r->path, line,
                          "the quote opened at column %lld is never closed; close it, or double it "
                          "where it is text, or set \"quote\" to null",
                          (long long)column_of(r, s->fault_at));
    return bytes_fail(
        err, LATHE_E_DATA, r->path, line,
        "text at column %lld follows a closing quote; expected a delimiter or the end of "
        "the line. Double a quote that is part of the text",
        (long long)column_of(r, s->fault_at));
}

static int32_t fail_long(csv_reader *r, const scan *s, int in_quotes, lathe_error *err) {
    if (in_quotes)
        return bytes_fail(
            err, LATHE_E_DATA, r->path, r->line + s->fault_line,
            "the quote opened at column %lld is not closed within %d MiB; close it, or "
            "set \"quote\" to null",
            (long long)column_of(r, s->fault_at), CSV_MAX_RECORD >> 20);
    return bytes_fail(err, LATHE_E_DATA, r->path, r->line,
                      "the line is longer than %d MiB; is this a CSV file?", CSV_MAX_RECORD >> 20);
}

static void undo_doubled_quotes(csv_reader *r) {
    for (int64_t i = 0; i < r->n_fields; i++) {
        csv_field *f = &r->fields[i];
        if (f->quoted < 2)
            continue;
        int32_t out = 0;
        for (int32_t k = 0; k < f->length; k++) {
            f->text[out++] = f->text[k];
            k += f->text[k] == r->quote;
        }
        f->length = out;
        f->quoted = 1;
    }
}

int32_t csv_reader_next(csv_reader *r, int32_t *got, lathe_error *err) {
    scan s;
    r->recoverable = 0;
    *got = 0;
    for (;;) {
        if (r->begin >= r->end && r->at_end)
            return LATHE_OK;
        int outcome = scan_record(r, &s);
        int open = outcome == RECORD_MORE || outcome == RECORD_UNCLOSED;
        if ((open ? r->end : s.next) - r->begin > CSV_MAX_RECORD && outcome != RECORD_WIDE)
            return fail_long(r, &s, s.in_quotes, err);
        if (outcome == RECORD_UNCLOSED || outcome == RECORD_WIDE || outcome == RECORD_MEMORY)
            return fail_scan(r, outcome, &s, err);
        if (outcome == RECORD_MORE) {
            int32_t rc = refill(r, err);
            if (rc != LATHE_OK)
                return rc;
            continue;
        }
        int32_t rc = LATHE_OK;
        if (r->bad >= 0 && r->bad < s.next) {
            rc = fail_bad_byte(r, err);
            r->checked = s.next;
            r->bad = -1;
        } else if (outcome == RECORD_AFTER_QUOTE) {
            rc = fail_scan(r, outcome, &s, err);
        }
        r->record_line = r->line;
        r->line += s.line_breaks;
        r->begin = s.next;
        if (rc != LATHE_OK) {
            check_text(r);
            r->recoverable = 1;
            return rc;
        }
        if (outcome == RECORD_BLANK)
            continue;
        undo_doubled_quotes(r);
        *got = 1;
        return LATHE_OK;
    }
}
