/* plugin/catalogue_internal.h: what the files of the catalogue share. For host/plugin only. */
#ifndef LATHE_PLUGIN_CATALOGUE_INTERNAL_H
#define LATHE_PLUGIN_CATALOGUE_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "plugin/catalogue.h"
#include "plugin/check.h"

#include <pthread.h>
#include <stdatomic.h>

/* Names the rules that a cached verdict was made by: another host looks again. */
#define LATHE_CATALOGUE_FORMAT 2

typedef struct lathe_file_record {
    lathe_plugin_file file; /* public */
    const char *plugins; /* its descriptors as a JSON array, in the arena; NULL where not READY */
    bool unsettled;      /* not for the cache: the next opening looks again */
    /* under the catalogue's lock: */
    bool load_tried;
    int32_t load_code;
    const char *load_error;
    lathe_checked loaded;
} lathe_file_record;

typedef struct lathe_plugin_record {
    lathe_plugin plugin; /* public; first, its impl points here */
    lathe_catalogue *catalogue;
    lathe_file_record *record;
    _Atomic(const lathe_descriptor *) loaded;
} lathe_plugin_record;

struct lathe_catalogue {
    lathe_arena *arena;
    lathe_file_record *files;
    size_t n_files;
    lathe_plugin_record **plugins; /* sorted */
    size_t n_plugins;
    const char **notes;
    size_t n_notes, notes_cap;
    pthread_mutex_t lock; /* loading */
    lathe_arena *load_arena;
    lathe_load_hook hook;
    void *hook_user;
};

/* Fills the records (path, size, mtime and inode are set) that the cache knows unchanged, and sets
 * file.cached. A cache that is missing or damaged knows nothing. Returns how many it knew. */
size_t lathe_cache_read(const char *path, lathe_arena *arena, lathe_file_record *files, size_t n);
/* Does the cache know all of them? Reads its first line alone. */
bool lathe_cache_is_warm(const char *path, const lathe_file_record *files, size_t n);
/* Writes all records but the unsettled. */
int32_t lathe_cache_write(const char *path, const lathe_file_record *files, size_t n,
                          lathe_error *err);

#endif
