/* plugin/load.h: mapping a plugin file and taking its entry. Runs the file's code: [worker]
 * processes and the scanner's child only. */
#ifndef LATHE_PLUGIN_LOAD_H
#define LATHE_PLUGIN_LOAD_H

#include "plugin/check.h"

typedef struct lathe_loaded_file {
    lathe_checked checked;
    uintptr_t begin; /* where its segments lie */
    uintptr_t end;
} lathe_loaded_file;

/* dlopen(RTLD_NOW | RTLD_LOCAL), lathe_plugin_entry, every check. Stays mapped whatever comes.
 * The error's message begins with the file and is a whole sentence. */
int32_t lathe_load_file(const char *path, lathe_arena *arena, lathe_loaded_file *out,
                        lathe_error *err);

#endif
