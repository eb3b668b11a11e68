#include "pipeline/lines.h"

#include <string.h>

static bool emit(lathe_lines *lines) {
    bool go = lines->on_line(lines->user, lathe_buf_str(&lines->rest), lines->rest.len);
    lathe_buf_clear(&lines->rest);
    return go;
}

bool lathe_lines_feed(lathe_lines *lines, const char *data, size_t len) {
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t part = end ? (size_t)(end - data) : len;
        const size_t room = lines->limit - lines->rest.len;
        if (part > room && !lines->cuts)
            return false;
        lathe_buf_append(&lines->rest, data, part < room ? part : room);
        if (lines->rest.failed)
            return false;
        if (end == NULL)
            return true;
        if (!emit(lines))
            return false;
        data = end + 1;
        len -= part + 1;
    }
    return true;
}

bool lathe_lines_flush(lathe_lines *lines) {
    return lines->rest.len == 0 || emit(lines);
}
