#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/jsonw.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error", "none"};

static atomic_int threshold = LATHE_LEVEL_INFO;
static atomic_int line_format = LATHE_LOG_TEXT;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static lathe_log_sink current_sink; /* under sink_lock */
static void *sink_user;

void lathe_log_set_level(lathe_log_level level) {
    atomic_store(&threshold, (int)level);
}

lathe_log_level lathe_log_get_level(void) {
    return (lathe_log_level)atomic_load(&threshold);
}

void lathe_log_set_format(lathe_log_format format) {
    atomic_store(&line_format, (int)format);
}

void lathe_log_set_sink(lathe_log_sink sink, void *user) {
    pthread_mutex_lock(&sink_lock);
    current_sink = sink;
    sink_user = user;
    pthread_mutex_unlock(&sink_lock);
}

const char *lathe_log_level_name(lathe_log_level level) {
    return (unsigned)level <= LATHE_LEVEL_NONE ? level_names[level] : "none";
}

int lathe_log_level_parse(const char *name) {
    for (int i = 0; i <= LATHE_LEVEL_NONE; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

/* One write a line; what a signal or a full pipe leaves over follows. */
static void write_line(const char *line, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        line += n;
        len -= (size_t)n;
    }
}

static void write_text(const char *time, lathe_log_level level, const char *component,
                       char *message) {
    for (char *c = message; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r')
            *c = ' '; /* a line is a line, whatever a message quotes */
    }
    char line[5000];
    int len = snprintf(line, sizeof line, "%s %-5s %.64s: %s\n", time, level_names[level],
                       component, message);
    if (len > 0)
        write_line(line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

static void write_json(const char *time, lathe_log_level level, const char *component,
                       const char *message) {
    lathe_buf line = {0};
    lathe_jsonw w = lathe_jsonw_to(&line);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "time", time);
    lathe_jsonw_kv_str(&w, "level", level_names[level]);
    lathe_jsonw_kv_str(&w, "component", component);
    lathe_jsonw_kv_str(&w, "message", message);
    lathe_jsonw_end_object(&w);
    lathe_buf_append_char(&line, '\n');
    if (!line.failed)
        write_line(line.data, line.len);
    lathe_buf_free(&line);
}

void lathe_vlog(lathe_log_level level, const char *component, const char *fmt, va_list ap) {
    if ((int)level < atomic_load(&threshold) || level >= LATHE_LEVEL_NONE ||
        (int)level < LATHE_LEVEL_DEBUG)
        return;
    int saved = errno;
    char message[4096];
    if (vsnprintf(message, sizeof message, fmt, ap) < 0)
        message[0] = '\0';
    if (component == NULL)
        component = "lathe";
    pthread_mutex_lock(&sink_lock);
    if (current_sink != NULL) {
        current_sink(sink_user, level, component, message);
    } else {
        char time[LATHE_ISO_TIME];
        lathe_iso_now(time);
        if (atomic_load(&line_format) == LATHE_LOG_JSON)
            write_json(time, level, component, message);
        else
            write_text(time, level, component, message);
    }
    pthread_mutex_unlock(&sink_lock);
    errno = saved;
}

void lathe_log(lathe_log_level level, const char *component, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    lathe_vlog(level, component, fmt, ap);
    va_end(ap);
}
