#include "base/error.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void copy_text(char *out, size_t size, const char *text) {
    size_t len = lathe_utf8_cut(text, strlen(text), size - 1);
    memmove(out, text, len);
    out[len] = '\0';
}

int32_t lathe_vfail(lathe_error *err, int32_t code, const char *where, const char *fmt,
                    va_list ap) {
    if (err == NULL)
        return code;
    /* Both go through locals: where and the arguments may point into *err. */
    char message[sizeof err->message * 2];
    char place[sizeof err->where];
    int n = vsnprintf(message, sizeof message, fmt, ap);
    if (n < 0)
        copy_text(message, sizeof message, "the message of this error could not be formatted");
    copy_text(place, sizeof place, where != NULL ? where : "");
    err->code = code;
    err->detail = 0;
    copy_text(err->where, sizeof err->where, place);
    copy_text(err->message, sizeof err->message, message);
    return code;
}

int32_t lathe_fail(lathe_error *err, int32_t code, const char *where, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    lathe_vfail(err, code, where, fmt, ap);
    va_end(ap);
    return code;
}

int32_t lathe_fail_errno(lathe_error *err, int errnum, const char *where, const char *fmt, ...) {
    int32_t code = errnum == ENOENT   ? LATHE_E_NOT_FOUND
                   : errnum == ENOMEM ? LATHE_E_MEMORY
                   : errnum == EEXIST ? LATHE_E_EXISTS
                                      : LATHE_E_IO;
    if (err == NULL)
        return code;
    va_list ap;
    va_start(ap, fmt);
    lathe_vfail(err, code, where, fmt, ap);
    va_end(ap);
    char reason[128];
    const char *text = strerror_r(errnum, reason, sizeof reason);
    size_t len = strlen(err->message);
    char tail[160];
    snprintf(tail, sizeof tail, ": %s", text);
    copy_text(err->message + len, sizeof err->message - len, tail);
    err->detail = errnum;
    return code;
}

int32_t lathe_error_wrap(lathe_error *err, const char *prefix) {
    if (err == NULL)
        return LATHE_E_INTERNAL;
    size_t len = strlen(prefix);
    if (len == 0)
        return err->code;
    char joined[2 * sizeof err->where + 2];
    char last = prefix[len - 1];
    char first = err->where[0];
    int bare =
        first == '\0' || last == '/' || last == ':' || first == '/' || first == ':' || first == '[';
    snprintf(joined, sizeof joined, "%s%s%s", prefix, bare ? "" : "/", err->where);
    copy_text(err->where, sizeof err->where, joined);
    return err->code;
}

void lathe_error_clear(lathe_error *err) {
    if (err == NULL)
        return;
    err->code = LATHE_OK;
    err->detail = 0;
    err->where[0] = '\0';
    err->message[0] = '\0';
}

const char *lathe_status_name(int32_t code) {
    switch (code) {
    case LATHE_OK:
        return "ok";
    case LATHE_E_INVALID:
        return "invalid";
    case LATHE_E_UNSUPPORTED:
        return "unsupported";
    case LATHE_E_SHAPE:
        return "shape";
    case LATHE_E_STATE:
        return "state";
    case LATHE_E_MEMORY:
        return "memory";
    case LATHE_E_CANCELLED:
        return "cancelled";
    case LATHE_E_NUMERIC:
        return "numeric";
    case LATHE_E_NOT_CONVERGED:
        return "not_converged";
    case LATHE_E_IO:
        return "io";
    case LATHE_E_VERSION:
        return "version";
    case LATHE_E_DATA:
        return "data";
    case LATHE_E_NOT_FOUND:
        return "not_found";
    case LATHE_E_EXISTS:
        return "exists";
    case LATHE_E_CORRUPT:
        return "corrupt";
    case LATHE_E_TIMEOUT:
        return "timeout";
    case LATHE_E_CRASHED:
        return "crashed";
    default:
        return "internal";
    }
}
