/* plugin/catalogue.h: which plugins there are, and loading them.
 *
 * Opening a catalogue lists the folders and describes every *.so in them WITHOUT running it in
 * this process: a child with a time limit loads the files and prints their descriptors as JSON
 * (see plugin/scan.h); the parent checks that text and rebuilds the descriptors and parameter
 * tables in its own memory. So listing, validating a document and the JSON Schema need no plugin
 * code. What was found is cached in one file, by path, size, modification time, inode and host
 * version; a file that crashed, hung or was refused is remembered too, with its reason, until it
 * changes or a rescan is asked for.
 *
 * Only lathe_catalogue_load runs plugin code here: [worker] processes alone call it.
 *
 * Order and names. Folders: the built-in one, then $LATHE_PLUGIN_PATH (':' between), then those
 * given. Within a folder by file name. Of two plugins with one id the earlier wins, unless they
 * are variants for different processors (descriptor.cpu_required): then the most demanding one
 * that this processor can run. Of two ids with one short name in a kind (learners and ensembles
 * count as one) the earlier has the name, and the later is reached by its full id. Whatever lost
 * is listed with the reason.
 *
 *     lathe_catalogue_options opt = {.scanner = "/usr/bin/lathe", .cache_file = "…/plugins.json"};
 *     lathe_catalogue *cat;
 *     if (lathe_catalogue_open(&opt, &cat, &err) == LATHE_OK)
 *         p = lathe_catalogue_find(cat, LATHE_KIND_LOSS, "mse", NULL);
 */
#ifndef LATHE_PLUGIN_CATALOGUE_H
#define LATHE_PLUGIN_CATALOGUE_H

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lathe_catalogue lathe_catalogue;

/* Why a file is not in use. */
typedef enum lathe_file_status {
    LATHE_FILE_READY = 0,
    LATHE_FILE_REFUSED = 1, /* it breaks a rule, or needs another host */
    LATHE_FILE_CRASHED = 2, /* the process that looked at it ended by a signal */
    LATHE_FILE_HUNG = 3     /* it did not answer within the time limit */
} lathe_file_status;

typedef struct lathe_plugin_file {
    const char *path; /* absolute */
    int64_t size;
    int64_t mtime_ns;
    uint64_t inode;
    char digest[LATHE_SHA256_HEX]; /* SHA-256 of the content; "" where it could not be read */
    bool builtin;
    bool cached; /* known from the cache, not looked at this time */
    lathe_file_status status;
    const char *reason; /* a sentence; NULL where READY */
    const char *sdk_version;
    size_t n_plugins;
} lathe_plugin_file;

/* One plugin. All of it lives as long as the catalogue. */
typedef struct lathe_plugin {
    const lathe_descriptor
        *descriptor; /* rebuilt: data only, every function and `interface` NULL */
    const lathe_plugin_file *file;
    size_t index;          /* of its descriptor in the file */
    const char *hidden;    /* not NULL: not in use, and why (duplicate id, processor) */
    const char *name_lost; /* not NULL: reached by id only: who has the short name */
    void *impl;            /* the catalogue's own */
} lathe_plugin;

typedef struct lathe_catalogue_options {
    const char *builtin_dir; /* NULL: ../lib/lathe/plugins beside the running program's folder */
    const char *const *dirs; /* further folders */
    size_t n_dirs;
    bool no_environment;    /* leave $LATHE_PLUGIN_PATH out */
    const char *cache_file; /* NULL: none. Its folder is made where it is missing */
    bool rescan;            /* look at every file again, quarantined ones too */
    const char
        *scanner;   /* a program run as `scanner worker scan FILE…`; NULL: a forked child of this
                             * process does it (tests) */
    int timeout_ms; /* for one file; 0: 5000 */
} lathe_catalogue_options;

/* Blocks. Folders that cannot be read, files that were refused and names that clash do not fail
 * it: they are listed (lathe_catalogue_file_at, lathe_catalogue_note_at). Fails where memory or
 * processes are out. options NULL: all defaults. */
int32_t lathe_catalogue_open(const lathe_catalogue_options *options, lathe_catalogue **out,
                             lathe_error *err);
/* Would open find every file in the cache? Far quicker than opening: lists the folders, describes nothing. */
bool lathe_catalogue_is_warm(const lathe_catalogue_options *options);
/* No instance, component or loaded plugin of it may be in use. Loaded files stay mapped. NULL is
 * fine. */
void lathe_catalogue_close(lathe_catalogue *catalogue);

/* Plugins by kind, then short name, then id; hidden ones last within their kind. */
size_t lathe_catalogue_count(const lathe_catalogue *catalogue);
const lathe_plugin *lathe_catalogue_at(const lathe_catalogue *catalogue, size_t i);
/* Files in folder order. */
size_t lathe_catalogue_file_count(const lathe_catalogue *catalogue);
const lathe_plugin_file *lathe_catalogue_file_at(const lathe_catalogue *catalogue, size_t i);
/* Sentences on what is not as it should be: refused files, clashes, folders that are missing. */
size_t lathe_catalogue_note_count(const lathe_catalogue *catalogue);
const char *lathe_catalogue_note_at(const lathe_catalogue *catalogue, size_t i);

/* By short name within the kinds, or by full id. NULL: there is none; then *nearest (may be
 * NULL) is a name that may be meant, or NULL. kinds as in plugin/kinds.h. A full id of another
 * kind gives NULL too. */
const lathe_plugin *lathe_catalogue_find(const lathe_catalogue *catalogue, const char *kinds,
                                         const char *name, const char **nearest);
/* By id, whatever the kind; NULL: none. */
const lathe_plugin *lathe_catalogue_find_id(const lathe_catalogue *catalogue, const char *id);

/* A sentence for a name that find did not find: what was looked for, the nearest, or that it
 * exists in another kind, or that its file was refused. */
int32_t lathe_catalogue_unknown(const lathe_catalogue *catalogue, const char *kinds,
                                const char *name, lathe_error *err);

/* [worker, any thread] Loads the plugin's file into this process (once), checks it again, and
 * gives its descriptor with functions; tables and descriptor are copies of this host's sizes,
 * zero-filled. The file's content must still be what was scanned (LATHE_E_STATE). Never
 * unloaded. */
int32_t lathe_catalogue_load(const lathe_plugin *plugin, const lathe_descriptor **loaded,
                             lathe_error *err);
/* The same without loading; NULL where it is not loaded yet. [any] */
const lathe_descriptor *lathe_plugin_loaded(const lathe_plugin *plugin);

/* Called with every file that gets loaded: path and address range, for naming who crashed. */
typedef void (*lathe_load_hook)(void *user, const char *path, uintptr_t begin, uintptr_t end);
void lathe_catalogue_on_load(lathe_catalogue *catalogue, lathe_load_hook hook, void *user);

#endif
