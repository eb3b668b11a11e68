/* base/jsonw.h: writes JSON straight into a buffer: event lines, reports, command output.
 *
 *     lathe_buf out = {0};
 *     lathe_jsonw w = lathe_jsonw_to(&out);
 *     lathe_jsonw_begin_object(&w);
 *     lathe_jsonw_kv_str(&w, "event", "metric");
 *     lathe_jsonw_kv_double(&w, "value", 0.92);
 *     lathe_jsonw_end_object(&w);                       // {"event":"metric","value":0.92}
 *
 * Commas are its own doing. NaN and infinities are written as null, invalid UTF-8 as U+FFFD. Misuse (a
 * value without a key in an object, an end without a begin, more than 63 levels) sets out->failed.
 * One thread at a time.
 */
#ifndef LATHE_BASE_JSONW_H
#define LATHE_BASE_JSONW_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lathe_jsonw {
    lathe_buf *out;
    uint64_t objects; /* bit d: level d is an object */
    uint64_t filled;  /* bit d: level d has an element already */
    int depth;
    bool after_key;
} lathe_jsonw;

lathe_jsonw lathe_jsonw_to(lathe_buf *out);

void lathe_jsonw_begin_object(lathe_jsonw *w);
void lathe_jsonw_end_object(lathe_jsonw *w);
void lathe_jsonw_begin_array(lathe_jsonw *w);
void lathe_jsonw_end_array(lathe_jsonw *w);
void lathe_jsonw_key(lathe_jsonw *w, const char *key);

void lathe_jsonw_str(lathe_jsonw *w, const char *text); /* NULL: null */
void lathe_jsonw_strn(lathe_jsonw *w, const char *text, size_t len);
void lathe_jsonw_int(lathe_jsonw *w, int64_t value);
void lathe_jsonw_uint(lathe_jsonw *w, uint64_t value);
void lathe_jsonw_double(lathe_jsonw *w, double value);
void lathe_jsonw_bool(lathe_jsonw *w, bool value);
void lathe_jsonw_null(lathe_jsonw *w);
/* Ready JSON text, one value, put in as it is. */
void lathe_jsonw_raw(lathe_jsonw *w, const char *json, size_t len);

/* A key and its value. */
void lathe_jsonw_kv_str(lathe_jsonw *w, const char *key, const char *text);
void lathe_jsonw_kv_int(lathe_jsonw *w, const char *key, int64_t value);
void lathe_jsonw_kv_double(lathe_jsonw *w, const char *key, double value);
void lathe_jsonw_kv_bool(lathe_jsonw *w, const char *key, bool value);

/* Pieces, for other writers. A text as a JSON string with its quotes: */
void lathe_json_quote(lathe_buf *out, const char *text, size_t len);
/* the shortest of 15, 16 or 17 digits that reads back equal; NaN and infinities: null. Returns the length. */
#define LATHE_DOUBLE_TEXT 32
size_t lathe_double_text(double value, char out[LATHE_DOUBLE_TEXT]);

#endif
