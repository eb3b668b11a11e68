/* base/number.h: decimal numbers and floats, both ways, for inference bodies and documents full of numbers. [serve] [any]
 *
 * Reading is exact: the double nearest to the text, ties to even, as strtod in the C locale, for every text. Up to 19
 * digits and 27 decimal places go by one 128-bit division; the rest (a millionth of real bodies) by strtod. Writing is
 * the shortest text that reads back as the same float.
 */
#ifndef LATHE_BASE_NUMBER_H
#define LATHE_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lathe_number {
    double value;
    int64_t integer; /* where is_integer: exactly what stands there */
    bool is_integer; /* written without point and exponent, and within int64 */
} lathe_number;

/* Reads a JSON number at text (which ends before `end`). Returns what follows it; NULL: no JSON number stands there, or it is
 * beyond the largest double. */
const char *lathe_number_read(const char *text, const char *end, lathe_number *number);

/* Reads numbers with a comma between them, and blanks where JSON allows them: the usual form of a row, and that alone. Stops
 * before the first that is not plain (an exponent, more than 16 characters, no number) or where n are read. The values are the
 * bits of lathe_number_read. Returns what follows the last number that it read, and how many in *n. NULL: not even one. */
const char *lathe_numbers_read(const char *text, const char *end, double *values, int64_t *n);

#define LATHE_FLOAT_TEXT 24
/* A finite float; no NUL. Returns the length. 0.5, 3, 1e-7, 123456790, 1.5e+20. -0 is "-0". */
size_t lathe_float_write(float value, char out[LATHE_FLOAT_TEXT]);
/* At most 20 bytes. */
size_t lathe_int_write(int64_t value, char *out);

#endif
