/* plugin/check.h: is what a file exports a plugin that this host can use?
 *
 * Reads a foreign entry, descriptors, parameter tables and method tables, whatever their sizes,
 * and copies them into structs of this host's sizes, zero-filled: a member that an older plugin
 * lacks reads as 0 or NULL; a newer plugin's further functions are cut off, and further data
 * that is not zero is refused. A pointer that leads nowhere crashes: run it in the scanner's
 * child first.
 *
 * Every refusal is a sentence: plugin, what is wrong, what is expected, what to do; the caller
 * adds the file.
 */
#ifndef LATHE_PLUGIN_CHECK_H
#define LATHE_PLUGIN_CHECK_H

#include "base/arena.h"
#include "base/error.h"

#include <lathe/lathe.h>
#include <stdbool.h>

#define LATHE_MAX_PLUGINS_A_FILE 256
#define LATHE_MAX_PARAMS 256 /* of a descriptor or a record */
#define LATHE_MAX_CHOICES 256
#define LATHE_MAX_CONFIG 65536     /* bytes of a config struct or a record */
#define LATHE_MAX_PARAM_DEPTH 8    /* of records in records */
#define LATHE_MAX_PLUGIN_TEXT 8192 /* bytes of any text of a plugin's tables */
#define LATHE_MAX_PLUGIN_ID 100

/* What a file holds, in memory of the arena; texts stay in the file. */
typedef struct lathe_checked {
    const char *sdk_version;
    size_t n;
    const lathe_descriptor *const *descriptors;
} lathe_checked;

int32_t lathe_check_entry(const lathe_entry *entry, lathe_arena *arena, lathe_checked *out,
                          lathe_error *err);

/* A descriptor of this host's sizes: all but its functions (which may be NULL). */
int32_t lathe_check_descriptor(const lathe_descriptor *d, lathe_error *err);

/* Its parameter table alone. */
int32_t lathe_check_params(const lathe_descriptor *d, lathe_error *err);

/* Bytes of one value of a parameter's type, list and map aside. 0: unknown type. */
size_t lathe_param_element_size(const lathe_param *p);
/* Bytes of what stands at the parameter's offset. */
size_t lathe_param_size(const lathe_param *p);

/* [a-z][a-z0-9_]* of at most 64 bytes. */
bool lathe_is_snake_case(const char *text);

#endif
