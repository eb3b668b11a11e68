/* store/manifest.h: INTERNAL to host/store: the list of a backup's files. */
#ifndef LATHE_STORE_MANIFEST_H
#define LATHE_STORE_MANIFEST_H

#include "base/hash.h"
#include "store/types.h"

typedef struct lathe_manifest_file {
    const char *path; /* "lathe.db" or "artifacts/sha256/ab/ab…" */
    int64_t bytes;
    char sha256[LATHE_SHA256_HEX];
} lathe_manifest_file;

typedef struct lathe_manifest {
    lathe_manifest_file *items; /* by path: artifacts first, by digest; lathe.db last */
    size_t count;
    int64_t created;
    int64_t bytes;
} lathe_manifest;

/* Writes manifest.json, then SHA256SUMS. */
int32_t lathe_manifest_write(const char *folder, const lathe_manifest *manifest, lathe_error *err);

/* Reads both and checks that they agree and name nothing outside the folder; looks at no other file.
 * LATHE_E_NOT_FOUND, LATHE_E_CORRUPT, LATHE_E_VERSION. */
int32_t lathe_manifest_read(const char *folder, lathe_arena *arena, lathe_manifest *manifest,
                            lathe_error *err);

/* The artifact is in the list? */
bool lathe_manifest_has(const lathe_manifest *manifest, const char *sha256);

#endif
