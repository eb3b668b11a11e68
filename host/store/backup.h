/* store/backup.h: database and artifacts together, as one verified unit.
 *
 *     backup/
 *       lathe.db                  a consistent copy (SQLite's online backup), not in WAL mode
 *       artifacts/sha256/ab/…     every artifact that copy refers to
 *       manifest.json             {"lathe_backup": 1, "created": …, "files": [{"path", "bytes", "sha256"}]}
 *       SHA256SUMS                all of these: check with `sha256sum -c SHA256SUMS`, without Lathe
 *
 * SHA256SUMS is written last; a folder without it is a backup that did not finish. The cache of steps is left
 * out: it can be computed again.
 */
#ifndef LATHE_STORE_BACKUP_H
#define LATHE_STORE_BACKUP_H

#include "store/types.h"

typedef struct lathe_backup_summary {
    int64_t files;
    int64_t bytes;
    int64_t created; /* of the backup */
} lathe_backup_summary;

/* Writes a backup into `folder`, which must be missing or empty (LATHE_E_EXISTS). Works beside the owner with a
 * READ store, and while this store's owner goes on. Every artifact is checked on the way:
 * LATHE_E_CORRUPT names a damaged one, and the unfinished backup is removed. summary may be NULL. */
int32_t lathe_store_backup(lathe_store *store, const char *folder, lathe_backup_summary *summary,
                           lathe_error *err);

/* Checks a backup without restoring it: every file's length and SHA-256, no file too few, and the database's
 * integrity. LATHE_E_NOT_FOUND: no SHA256SUMS; LATHE_E_CORRUPT names the first defect; LATHE_E_VERSION: of a
 * newer Lathe. summary may be NULL. */
int32_t lathe_backup_verify(const char *folder, lathe_backup_summary *summary, lathe_error *err);

/* Makes `home` (as in lathe_store_home_path) from a backup; it must be missing or empty (LATHE_E_EXISTS). Copied
 * and verified under another name beside it, then renamed: there is the whole home or none. */
int32_t lathe_store_restore(const char *folder, const char *home, lathe_backup_summary *summary,
                            lathe_error *err);

#endif
