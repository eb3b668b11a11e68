/* base/log.h: what the program says about itself, on stderr.
 *
 * One line a call, written by one write(2), so that lines of threads and processes do not mix. Text form:
 *     2025-01-02T03:04:05.678Z warn  store: message
 * JSON form: {"time":"…","level":"warn","component":"store","message":"…"}.
 * Results never go here: they go to stdout. [any]
 */
#ifndef LATHE_BASE_LOG_H
#define LATHE_BASE_LOG_H

#include "base/error.h"

#include <stdarg.h>

typedef enum lathe_log_level {
    LATHE_LEVEL_DEBUG = 0,
    LATHE_LEVEL_INFO = 1,
    LATHE_LEVEL_WARN = 2,
    LATHE_LEVEL_ERROR = 3,
    LATHE_LEVEL_NONE = 4 /* as a threshold: nothing is logged */
} lathe_log_level;

typedef enum lathe_log_format { LATHE_LOG_TEXT = 0, LATHE_LOG_JSON = 1 } lathe_log_format;

/* Where lines go. `component` and `message` are valid during the call; the message has no newline of its
 * own. Called from any thread, one call at a time. */
typedef void (*lathe_log_sink)(void *user, lathe_log_level level, const char *component,
                               const char *message);

/* Logs where `level` is at or above the threshold (default: info). component: "store", "plugin", …. A
 * message over 4 KiB is cut. */
void lathe_log(lathe_log_level level, const char *component, const char *fmt, ...)
    LATHE_PRINTF(3, 4);
void lathe_vlog(lathe_log_level level, const char *component, const char *fmt, va_list ap)
    LATHE_PRINTF(3, 0);

void lathe_log_set_level(lathe_log_level threshold);
lathe_log_level lathe_log_get_level(void);
void lathe_log_set_format(lathe_log_format format);

/* sink NULL: back to stderr. */
void lathe_log_set_sink(lathe_log_sink sink, void *user);

/* "debug" … "error", "none". */
const char *lathe_log_level_name(lathe_log_level level);
/* Reads such a name; -1 where it is none of them. */
int lathe_log_level_parse(const char *name);

#endif
