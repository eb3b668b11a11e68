/* base/error.h: filling, prefixing and naming errors.
 *
 * THE error type of the whole program is the ABI's `lathe_error` (<lathe/abi.h>): a caller-owned struct
 * with a code, a place (`where`) and a sentence (`message`). Every function that can fail returns an
 * int32_t LATHE_… status and takes a `lathe_error *err` last, which may be NULL. All functions here are
 * [any] and allocate nothing.
 *
 *     if (rows == 0)
 *         return lathe_fail(err, LATHE_E_DATA, path, "the file has a header but no rows; add rows");
 */
#ifndef LATHE_BASE_ERROR_H
#define LATHE_BASE_ERROR_H

#include <lathe/abi.h>

#include <stdarg.h>

#if defined(__GNUC__)
#define LATHE_PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))
#else
#define LATHE_PRINTF(fmt_index, first)
#endif

/* Fills *err and returns `code`, so that a failing function ends in one statement. `where` (may be NULL:
 * empty) and the message are cut at a UTF-8 character boundary where they do not fit. `where` and the
 * arguments may point into *err itself. detail is set to 0. */
int32_t lathe_fail(lathe_error *err, int32_t code, const char *where, const char *fmt, ...)
    LATHE_PRINTF(4, 5);

int32_t lathe_vfail(lathe_error *err, int32_t code, const char *where, const char *fmt, va_list ap)
    LATHE_PRINTF(4, 0);

/* As lathe_fail with LATHE_E_IO, detail = errnum and ": <text of errnum>" appended. ENOENT gives
 * LATHE_E_NOT_FOUND, ENOMEM gives LATHE_E_MEMORY, EEXIST gives LATHE_E_EXISTS. Returns the code. */
int32_t lathe_fail_errno(lathe_error *err, int errnum, const char *where, const char *fmt, ...)
    LATHE_PRINTF(4, 5);

/* Puts an outer place in front: where = "prefix/where" ("prefix" where it was empty). A prefix that ends
 * in '/' or ':' is joined as it is, and so is a where that begins with '/', ':' or '['. Returns
 * err->code; NULL-safe (then LATHE_E_INTERNAL). */
int32_t lathe_error_wrap(lathe_error *err, const char *prefix);

/* Sets code 0 and empty texts. NULL-safe. */
void lathe_error_clear(lathe_error *err);

/* "ok", "invalid", "unsupported", …: a stable short word for logs and JSON. Unknown codes: "internal". */
const char *lathe_status_name(int32_t code);

#endif
