/* store/lineage.h: where a version comes from. [any] */
#ifndef LATHE_STORE_LINEAGE_H
#define LATHE_STORE_LINEAGE_H

#include "store/models.h"

#include <cjson/cJSON.h>

/* {"run", "started", "document_sha256", "seed", "version" (of the program), "data": {path: {"sha256", "bytes"}},
 * "plugins": {id: {"version", "sha256"}}, "machine"}; an imported version has {} . NULL: err. */
cJSON *lathe_store_lineage(lathe_store *store, const lathe_version_record *version,
                           lathe_arena *arena, lathe_error *err);

#endif
