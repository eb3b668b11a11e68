/* web/page.h: one self-contained HTML file from the embedded skeleton, style, chart library and script, and data.
 *
 * The skeleton (page/page.html) holds the marks @@style@@, @@chart@@, @@script@@ and @@data@@. The data is a JSON
 * island: every <, > and & in it is written as \u003c, \u003e, \u0026, and U+2028, U+2029 as escapes, so that
 * nothing in it can end the element that it stands in; the script reads it with JSON.parse and puts texts into
 * text nodes only. Numbers that are not finite are null, bytes that are not UTF-8 are U+FFFD.
 */
#ifndef LATHE_WEB_PAGE_H
#define LATHE_WEB_PAGE_H

#include "base/buf.h"
#include "base/error.h"

#include <cjson/cJSON.h>

/* Appends the data as JSON that may stand in a <script> element. Out of memory: out->failed. [any] */
void lathe_page_island(const cJSON *data, lathe_buf *out);

/* Renders the page and replaces the file (atomically). Errors: LATHE_E_MEMORY; LATHE_E_IO, LATHE_E_NOT_FOUND where
 * the file cannot be written, with the path. [any] */
int32_t lathe_page_write(const cJSON *data, const char *path, lathe_error *err);

#endif
