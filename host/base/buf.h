/* base/buf.h: a growing byte buffer.
 *
 *     lathe_buf b = {0};
 *     lathe_buf_printf(&b, "%d rows", n);
 *     if (b.failed) …out of memory…
 *     puts(lathe_buf_str(&b));
 *     lathe_buf_free(&b);
 *
 * Errors are sticky: after a failed growth `failed` is 1, appends do nothing, and what was there stays. So
 * a writer checks once, at the end. While data is not NULL there is always a NUL at data[len].
 */
#ifndef LATHE_BASE_BUF_H
#define LATHE_BASE_BUF_H

#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lathe_buf {
    char *data; /* NULL until the first append; else NUL-terminated at len */
    size_t len;
    size_t cap;
    int failed; /* 1: memory was out or a size did not fit */
} lathe_buf;

void lathe_buf_append(lathe_buf *buf, const void *data, size_t len);
void lathe_buf_append_str(lathe_buf *buf, const char *text);
void lathe_buf_append_char(lathe_buf *buf, char c);
void lathe_buf_printf(lathe_buf *buf, const char *fmt, ...) LATHE_PRINTF(2, 3);
void lathe_buf_vprintf(lathe_buf *buf, const char *fmt, va_list ap) LATHE_PRINTF(2, 0);

/* Makes room for `more` bytes beyond len (and the NUL). False: failed is set. */
bool lathe_buf_reserve(lathe_buf *buf, size_t more);

/* The text, "" where nothing was appended; never NULL. */
const char *lathe_buf_str(const lathe_buf *buf);

/* len = 0 and failed = 0; keeps the memory. */
void lathe_buf_clear(lathe_buf *buf);

/* Hands the bytes over (free() them) and empties the buffer. NULL where failed; "" is a real string. */
char *lathe_buf_take(lathe_buf *buf);

void lathe_buf_free(lathe_buf *buf);

#endif
