/* base/fs.h: files and paths. [any]; blocks on the disk, so never on [loop] or [serve].
 *
 * Errors name the path in `where`, and carry errno in `detail`.
 */
#ifndef LATHE_BASE_FS_H
#define LATHE_BASE_FS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole file; *data is malloc'ed, NUL-terminated at *len (free() it). A file longer than `limit`
 * bytes: LATHE_E_MEMORY, naming both. Works on pipes too. A directory: LATHE_E_IO. */
int32_t lathe_read_file(const char *path, size_t limit, char **data, size_t *len, lathe_error *err);

/* Replaces a file so that after a crash there is the old or the new content, never a mix: writes a
 * temporary file beside it, fsync, rename, fsync of the folder. Mode 0644 less the umask. */
int32_t lathe_write_file_atomic(const char *path, const void *data, size_t len, lathe_error *err);

/* fsyncs a folder, so that names made or renamed in it survive a power loss. */
int32_t lathe_sync_dir(const char *path, lathe_error *err);

/* rename + fsync of the target's folder. The source's content must be synced before. */
int32_t lathe_rename_durable(const char *from, const char *to, lathe_error *err);

/* Makes a folder and its parents (mode 0777 less the umask). One that exists already is fine; a file in
 * the way is LATHE_E_EXISTS. */
int32_t lathe_mkdirs(const char *path, lathe_error *err);

/* Removes a folder and all in it, never following links. One that is not there is fine. */
int32_t lathe_remove_tree(const char *path, lathe_error *err);

bool lathe_is_file(const char *path);
bool lathe_is_dir(const char *path);

/* "dir/name"; `name` alone where it is absolute or dir is NULL or "". malloc'ed; NULL: out of memory. */
char *lathe_path_join(const char *dir, const char *name);

/* The folder part of a path: "a/b" of "a/b/c", "." of "c", "/" of "/c". malloc'ed. */
char *lathe_path_dir(const char *path);

/* The last part: points into `path`. */
const char *lathe_path_base(const char *path);

/* realpath(3): absolute, without links or "..". malloc'ed. The path must exist. */
int32_t lathe_path_real(const char *path, char **out, lathe_error *err);

/* Does `path`, with every link and ".." resolved, lie in the folder `root` (or is it root)? A path that does
 * not exist yet is judged by its deepest parent that does; a rest with ".." in it is refused. False also
 * where root does not exist. */
bool lathe_path_inside(const char *root, const char *path);

/* The file of the running program, resolved. malloc'ed; NULL where it cannot be told. */
char *lathe_path_self(void);

/* A read-only mapping of a whole file. An empty file has data NULL, size 0. */
typedef struct lathe_map_file {
    const uint8_t *data;
    size_t size;
} lathe_map_file;

int32_t lathe_map_open(const char *path, lathe_map_file *map, lathe_error *err);
void lathe_map_close(lathe_map_file *map);

#endif
