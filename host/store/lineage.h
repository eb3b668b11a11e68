/* store/lineage.h: where a version comes from. [any] */
#ifndef LATHE_STORE_LINEAGE_H
#define LATHE_STORE_LINEAGE_H

#include "store/models.h"

#include <cjson/cJSON.h>

/* {"run", "started", "document_sha256", "seed", "version" (of the program), "data": {path: {"sha256", "bytes"}},
 * "plugins": {id: {"version", "sha256"}}, "machine"}; an imported version has {} . NULL: err. */
cJSON *lathe_store_lineage(lathe_store *store, const lathe_version_record *version,
                           lathe_arena *arena, lathe_error *err);

/* A version that was made from something, and by which way. */
typedef struct lathe_derived {
    const char *model;
    int64_t version;
    const char *sha256;
    const char *run;
    int64_t created;
    const char *through; /* "run", "document", "data", "plugin" */
    const char *name;    /* the run's id, the pipeline's name, the data's path, the plugin's id */
} lathe_derived;

typedef struct lathe_derived_list {
    lathe_derived *items;
    size_t count;
} lathe_derived_list;

/* The versions that come from `of`: a run's id, or the SHA-256 of a document (in its canonical form), of a data file or of a
 * plugin's file. Oldest first, after the first `skip` of them; a list that is not there yet is empty. Imported versions, whose
 * run another home has, are not in it. */
int32_t lathe_store_derived(lathe_store *store, const char *of, int64_t skip, int64_t limit,
                            lathe_arena *arena, lathe_derived_list *list, lathe_error *err);

#endif
