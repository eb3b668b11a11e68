/* base/utf8.h: is it UTF-8? [any] */
#ifndef LATHE_BASE_UTF8_H
#define LATHE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length (1 to 4) of the well-formed sequence at the begin of text[0 … len), len >= 1; 0 where there is none:
 * stray or missing continuation bytes, overlong forms, surrogates, beyond U+10FFFF (RFC 3629). */
size_t lathe_utf8_length(const char *text, size_t len);

/* Is all of it well-formed? If not, *bad (may be NULL) gets the offset of the first byte that is not. */
bool lathe_utf8_valid(const char *text, size_t len, size_t *bad);

/* Writes a code point (not a surrogate, at most 0x10FFFF) as 1 to 4 bytes; returns how many. */
size_t lathe_utf8_encode(unsigned code, char out[4]);

/* The longest length of at most `max` to which text[0 … len) can be cut without splitting a character. */
size_t lathe_utf8_cut(const char *text, size_t len, size_t max);

#endif
