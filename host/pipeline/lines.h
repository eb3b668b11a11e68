/* pipeline/lines.h: cuts a byte stream into lines, with a bound. One thread at a time. */
#ifndef LATHE_PIPELINE_LINES_H
#define LATHE_PIPELINE_LINES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* A line without its newline; text[len] is 0. False: stop reading. */
typedef bool (*lathe_line_fn)(void *user, const char *text, size_t len);

/* Begin with {.limit = bytes, .on_line = fn, .user = user}; end with lathe_buf_free(&lines.rest).
 * With .cuts, a line over the limit is given as far as the limit, and the rest of that line alone is left out. */
typedef struct lathe_lines {
    lathe_buf rest;
    size_t limit; /* of one line */
    bool cuts;
    lathe_line_fn on_line;
    void *user;
} lathe_lines;

/* Adds bytes and calls on_line for each whole line. False: on_line said so, a line is over the limit (not with cuts),
 * or memory is out. */
bool lathe_lines_feed(lathe_lines *lines, const char *data, size_t len);

/* The unfinished last line, at the stream's end. */
bool lathe_lines_flush(lathe_lines *lines);

#endif
