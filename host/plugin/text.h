/* plugin/text.h: texts that come from plugins. [any], allocates nothing. */
#ifndef LATHE_PLUGIN_TEXT_H
#define LATHE_PLUGIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without control characters (line breaks and tabs are fine)? */
bool lathe_text_is_clean(const char *text, size_t len);

/* Not NULL, of 1 to `limit` bytes, and clean? */
bool lathe_text_is_usable(const char *text, size_t limit);

/* Copies at most size - 1 bytes of a foreign text (which may lack a NUL within `limit` bytes)
 * and ends it; invalid UTF-8 and control characters become '?', line breaks blanks. text NULL:
 * "". Returns `out`. */
const char *lathe_text_clean(const char *text, size_t limit, char *out, size_t size);

#endif
