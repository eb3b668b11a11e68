/* store/files.h: INTERNAL to host/store: copying with a hash, and looking through folders. */
#ifndef LATHE_STORE_FILES_H
#define LATHE_STORE_FILES_H

#include "base/hash.h"
#include "store/types.h"

/* Copies a plain file to a new file, 0444, and syncs it: sha256 and bytes (may be NULL) are those of what was
 * WRITTEN. The folder is not synced. On failure there is no new file.
 *   LATHE_E_NOT_FOUND; LATHE_E_DATA: a link, a folder, a device; LATHE_E_EXISTS: the new file exists; LATHE_E_IO */
int32_t lathe_copy_hashed(const char *from, const char *to, char sha256[LATHE_SHA256_HEX],
                          int64_t *bytes, lathe_error *err);

/* 64 lower-case hexadecimal digits? LATHE_E_INVALID. */
int32_t lathe_check_sha256(const char *text, lathe_error *err);

/* Calls `fn` with each name in a folder but "." and "..", until it fails. A folder that is not there has none. */
typedef int32_t (*lathe_name_fn)(void *user, const char *folder, const char *name,
                                 lathe_error *err);
int32_t lathe_each_name(const char *folder, lathe_name_fn fn, void *user, lathe_error *err);

/* Missing, or a folder without any name in it? */
int32_t lathe_folder_empty(const char *folder, bool *empty, lathe_error *err);

#endif
