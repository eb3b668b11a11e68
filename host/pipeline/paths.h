/* pipeline/paths.h: where the paths of a document may lead. [any] */
#ifndef LATHE_PIPELINE_PATHS_H
#define LATHE_PIPELINE_PATHS_H

#include "base/error.h"

#include <stddef.h>

/* Relative paths start at base_dir. With roots, a path must lie in one of them after every link and ".." is
 * resolved; a base_dir of NULL (a document that came over the network) tries the roots in turn. */
typedef struct lathe_paths {
    const char *base_dir;
    const char *const *roots;
    size_t n_roots;
} lathe_paths;

/* A lathe_path_resolver; `user` is a lathe_paths. *resolved is malloc'ed. LATHE_E_INVALID: outside of every root;
 * LATHE_E_NOT_FOUND: there is no such file. */
int32_t lathe_paths_resolve(void *user, const char *path, char **resolved, lathe_error *err);

#endif
