/* store/artifacts.h: immutable files, named by the SHA-256 of their content.
 *
 * A file comes in by being COPIED, and what is hashed is what is written: whoever made the staged file may
 * still hold it open and change it, but never the artifact. The name appears only after the content is
 * on the disk (temporary file, fsync, rename, fsync of the folder), its row after that. Committing
 * content that is there already changes nothing, but heals a file that is missing or damaged.
 */
#ifndef LATHE_STORE_ARTIFACTS_H
#define LATHE_STORE_ARTIFACTS_H

#include "base/hash.h"
#include "store/types.h"

typedef struct lathe_artifact_record {
    const char *sha256;
    int64_t bytes;
    const char *kind; /* "model", "table", "report", …: free, for people */
    int64_t created;
} lathe_artifact_record;

typedef struct lathe_artifact_list {
    lathe_artifact_record *items;
    size_t count;
} lathe_artifact_list;

/* home/staging/RUN, made where missing: a worker writes there, its parent commits from there. The folder
 * goes with lathe_store_run_finish, or with gc. */
int32_t lathe_store_staging(lathe_store *store, const char *run, lathe_arena *arena,
                            const char **path, lathe_error *err);

/* Commits a staged file, which is removed after success. `expect` (may be NULL) is the SHA-256 its maker
 * announced. sha256 and bytes (may be NULL) get what was stored.
 *   LATHE_E_NOT_FOUND  no such file
 *   LATHE_E_DATA       not a plain file (a link, a folder, a pipe)
 *   LATHE_E_CORRUPT    its content is not `expect`; nothing is stored, the staged file stays */
int32_t lathe_store_artifact_commit(lathe_store *store, const char *staged, const char *expect,
                                    const char *kind, char sha256[LATHE_SHA256_HEX], int64_t *bytes,
                                    lathe_error *err);

/* The same with a file of the user's, which stays. */
int32_t lathe_store_artifact_import(lathe_store *store, const char *path, const char *expect,
                                    const char *kind, char sha256[LATHE_SHA256_HEX], int64_t *bytes,
                                    lathe_error *err);

/* From before a commit or import until what refers to it is registered, where gc may run through another connection of this
 * process (lathe_store_open_beside) meanwhile: gc waits until the end, so that it takes nothing for a stray that is on its way
 * in. Several may keep at a time; the same thread must end it. */
void lathe_store_keep(lathe_store *store);
void lathe_store_keep_end(lathe_store *store);

/* The file of an artifact, for mapping. Checks that it is there and as long as it should be; with `verify`
 * its whole content.
 *   LATHE_E_NOT_FOUND  unknown to the store
 *   LATHE_E_CORRUPT    the file is missing, shorter, longer, or (verify) has another content */
int32_t lathe_store_artifact_path(lathe_store *store, const char *sha256, bool verify,
                                  lathe_arena *arena, const char **path, lathe_error *err);

/* Copies an artifact to a file of the user's, checked on the way, durable, whole or not at all. An
 * existing file is replaced only with `overwrite` (else LATHE_E_EXISTS). Works in a READ store. */
int32_t lathe_store_artifact_export(lathe_store *store, const char *sha256, const char *path,
                                    bool overwrite, lathe_error *err);

/* All artifacts, by SHA-256. */
int32_t lathe_store_artifacts(lathe_store *store, lathe_arena *arena, lathe_artifact_list *list,
                              lathe_error *err);

#endif
