/* serve/oip/json.h: a cursor on JSON bytes, strict RFC 8259 but for bare NaN and Infinity, which Python writes. [serve]
 *
 * Functions return false on a fault and note where and what in the cursor (the first one stays).
 */
#ifndef LATHE_SERVE_OIP_JSON_H
#define LATHE_SERVE_OIP_JSON_H

#include "base/number.h"

#include <lathe/abi.h>
#include <string.h>

#define OIP_JSON_DEPTH 64

typedef struct oip_cursor {
    const char *at, *begin, *end;
    char *text;        /* room for unescaped texts: as many bytes as the body has */
    const char *fault; /* what was expected; NULL: none so far */
    const char *fault_at;
} oip_cursor;

bool oip_fail(oip_cursor *c, const char *expected);
/* The next byte that is no blank; 0 at the end. */
static inline char oip_peek(oip_cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
    return c->at < c->end ? *c->at : 0;
}
bool oip_take(oip_cursor *c, char what, const char *expected);
/* After a value of an array or object that ends by `close`: true: another follows; false: *closed, or a fault. */
bool oip_more(oip_cursor *c, char close, bool *closed);
/* A string; *out points into the body, or into `text` where it has escapes. */
bool oip_string(oip_cursor *c, lathe_str *out);
bool oip_key(oip_cursor *c, lathe_str *out); /* with its colon */
/* The literal, if it stands here. */
bool oip_word(oip_cursor *c, const char *word);
bool oip_bool(oip_cursor *c, bool *out);
bool oip_int(oip_cursor *c, int64_t *out);
bool oip_skip(oip_cursor *c, int depth);
/* Is it that word? Inline, so that the length of a literal is known. */
static inline bool oip_is(lathe_str text, const char *word) {
    const size_t len = strlen(word);
    return text.ptr != NULL && (size_t)text.len == len && memcmp(text.ptr, word, len) == 0;
}

#endif
