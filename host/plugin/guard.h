/* plugin/guard.h: an output of a plugin's with red zones around. For host/plugin only. */
#ifndef LATHE_PLUGIN_GUARD_H
#define LATHE_PLUGIN_GUARD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* data: `bytes` bytes, 64-byte aligned, all 0xFF (a NaN as float or double, -1 as integer), so
 * that what a plugin forgets to write is seen. */
typedef struct lathe_guard {
    void *data;
    size_t bytes;
    char *raw;
} lathe_guard;

/* LATHE_E_MEMORY; LATHE_E_SHAPE for a count below 0. */
int32_t lathe_guard_new(lathe_guard *guard, int64_t count, size_t item, lathe_error *err);
/* LATHE_E_CORRUPT where a zone was written: names the plugin and `what` ("the output of
 * predict"). */
int32_t lathe_guard_check(const lathe_guard *guard, const char *plugin, const char *what,
                          lathe_error *err);
void lathe_guard_free(lathe_guard *guard);

#endif
