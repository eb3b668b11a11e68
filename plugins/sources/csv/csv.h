/* csv.h: the parts of the csv source: reader (bytes to records), number (text to values), detect (delimiter,
 * header, types), dict (categories), csv (columns and blocks).
 */
#ifndef LATHE_SOURCES_CSV_H
#define LATHE_SOURCES_CSV_H

#define _GNU_SOURCE /* open, pread, strtod_l, newlocale */

#include "../bytes.h"

#include <locale.h>

#define CSV_MAX_RECORD (16 << 20) /* bytes of one record, quotes and line breaks included */
#define CSV_MAX_COLUMNS 100000
#define CSV_MAX_NAME 1000 /* bytes of a column's name */
#define CSV_PADDING 64    /* readable bytes behind the window's sentinel */

/* ---- memory --------------------------------------------------------------------------------------- */

/* Text that lives together; addresses stay. A zeroed one is empty. */
typedef struct csv_arena {
    struct csv_chunk *chunks; /* newest first */
} csv_arena;

/* `bytes` of it, aligned to 8; NULL: no memory. */
void *csv_arena_take(csv_arena *a, const lathe_host *host, int64_t bytes);
/* A copy with a NUL after it; NULL: no memory. */
char *csv_arena_copy(csv_arena *a, const lathe_host *host, const char *text, int64_t n);
/* Empties it and keeps its newest chunk for what comes. */
void csv_arena_reset(csv_arena *a, const lathe_host *host);
void csv_arena_free(csv_arena *a, const lathe_host *host);

/* Makes *array hold at least `need` elements of `size` bytes (doubling); 0: no memory. */
int csv_grow(const lathe_host *host, void *array, int64_t *capacity, int64_t need, int64_t size);

/* ---- reader --------------------------------------------------------------------------------------- */

typedef struct csv_field {
    char *text; /* in the reader's window; not NUL-terminated */
    int32_t length;
    int32_t quoted; /* 1; 2: holds doubled quotes, not yet undone */
} csv_field;

typedef struct csv_reader {
    const lathe_host *host;
    const char *path;
    byte_file file;
    char delimiter;
    char quote; /* 0: quotes mean nothing */
    int32_t trim;
    char *
        window; /* unread: window[begin … end), then a line feed as sentinel and CSV_PADDING zeros */
    int64_t capacity;
    int64_t begin;
    int64_t end;
    int64_t checked; /* window[0 … checked) is known to be UTF-8, but for bad */
    /* The stops (delimiter, LF, CR) among window[stops_at … stops_at + 64), a bit each. */
    int64_t stops_at;
    uint64_t stops;
    int64_t bad;    /* the first byte that is not, or NUL; -1: none up to checked */
    int32_t at_end; /* nothing follows window[end) */
    int64_t line;   /* of window[begin], from 1 */
    int64_t record_line;
    csv_field *fields;
    int64_t n_fields;
    int64_t fields_capacity;
    /* After an error: does the next call go on with the record behind the bad one? */
    int32_t recoverable;
} csv_reader;

/* Opens and fills the window; a byte order mark is dropped. The caller sets delimiter, quote and trim before the
 * first record, and calls csv_reader_close in any case. */
int32_t csv_reader_open(csv_reader *r, const lathe_host *host, const char *path, lathe_error *err);
int32_t csv_reader_rewind(csv_reader *r, lathe_error *err);
/* The next record that is not a blank line: fields, n_fields, record_line. *got == 0 at the end. */
int32_t csv_reader_next(csv_reader *r, int32_t *got, lathe_error *err);
void csv_reader_close(csv_reader *r);

/* ---- values: text[0 … n + 8) must be readable, as everything in the window is ----------------------- */

enum { CSV_NO = 0, CSV_YES = 1, CSV_OUT_OF_RANGE = 2 };

/* [+-]digits, within int64 and not its smallest value (which stands for missing). */
int csv_parse_integer(const char *text, int32_t n, int64_t *value);
/* [+-]digits[.digits][e[+-]digits], correctly rounded; CSV_OUT_OF_RANGE where it is beyond a double. */
int csv_parse_number(const char *text, int32_t n, locale_t c_locale, double *value);
/* ISO 8601: 2024-05, 2024-05-31, 2024-05-31T10:20, …:30, .123456, Z, +02:00; blank for T. Microseconds since
 * 1970-01-01 UTC; without a zone it is taken as UTC. */
int csv_parse_timestamp(const char *text, int32_t n, int64_t *value);

/* ---- detection ------------------------------------------------------------------------------------ */

/* What a column is declared or found to be. The first six are the choices of `types`, in this order. */
enum {
    CSV_NUMBER = 0,
    CSV_INTEGER,
    CSV_CATEGORY,
    CSV_TEXT,
    CSV_TIMESTAMP,
    CSV_IGNORE,
    CSV_UNKNOWN
};

typedef struct csv_missing {
    const char *const *markers;
    int64_t n;
    uint8_t first[256]; /* does a marker begin with this byte? */
} csv_missing;

void csv_missing_init(csv_missing *m, const lathe_list *markers);
static inline int csv_is_missing(const csv_missing *m, const csv_field *f) {
    if (f->length == 0)
        return 1;
    if (!m->first[(uint8_t)f->text[0]])
        return 0;
    for (int64_t i = 0; i < m->n; i++)
        if (strlen(m->markers[i]) == (size_t)f->length &&
            memcmp(m->markers[i], f->text, (size_t)f->length) == 0)
            return 1;
    return 0;
}

/* The delimiter among , ; tab | that the first records agree on. */
char csv_detect_delimiter(const char *text, int64_t n, char quote);
/* Does the record hold no number and no timestamp? */
int csv_looks_like_header(const csv_field *fields, int64_t n, locale_t c_locale);
/* The kind that `kind` becomes after seeing one more value that is not missing. *out_of_range is set where the
 * value is a number beyond a double. */
int32_t csv_refine_kind(int32_t kind, const csv_field *f, locale_t c_locale, int *out_of_range);

/* ---- categories ----------------------------------------------------------------------------------- */

typedef struct csv_dict {
    lathe_str *values; /* [n], by code */
    uint64_t *hashes;  /* [n] */
    int64_t n;
    int64_t values_capacity;
    int64_t hashes_capacity;
    int32_t *slots; /* [n_slots] code + 1, or 0: free */
    int64_t n_slots;
} csv_dict;

/* The code of a value, which is added where it is new; -1: no memory. */
int32_t csv_dict_code(csv_dict *d, csv_arena *texts, const lathe_host *host, const char *text,
                      int32_t n);
void csv_dict_free(csv_dict *d, const lathe_host *host);

#endif
