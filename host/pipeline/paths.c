#include "pipeline/paths.h"

#include "base/fs.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool inside_roots(const lathe_paths *paths, const char *path) {
    for (size_t i = 0; i < paths->n_roots; i++)
        if (lathe_path_inside(paths->roots[i], path))
            return true;
    return paths->n_roots == 0;
}

/* The first root that holds `path`, joined; NULL where none does. What a path or a link leads to outside is not there. */
static char *find_in_roots(const lathe_paths *paths, const char *path) {
    for (size_t i = 0; i < paths->n_roots; i++) {
        char *joined = lathe_path_join(paths->roots[i], path);
        if (joined != NULL && lathe_path_inside(paths->roots[i], joined) &&
            access(joined, F_OK) == 0)
            return joined;
        free(joined);
    }
    return NULL;
}

int32_t lathe_paths_resolve(void *user, const char *path, char **resolved, lathe_error *err) {
    const lathe_paths *paths = user;
    *resolved = NULL;
    char *joined =
        paths->base_dir ? lathe_path_join(paths->base_dir, path) : find_in_roots(paths, path);
    if (joined == NULL)
        return lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                          "there is no file \"%.200s\" in the data folders that documents may read",
                          path);
    if (!inside_roots(paths, joined)) { /* the same words: what lies outside is not told */
        free(joined);
        return lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                          "there is no file \"%.200s\" in the data folders that documents may read",
                          path);
    }
    if (access(joined, R_OK) != 0) {
        int32_t rc = lathe_fail(
            err, LATHE_E_NOT_FOUND, NULL,
            "there is no readable file \"%.300s\"; paths are relative to the document", joined);
        free(joined);
        return rc;
    }
    /* a device or a pipe may never end, and its content cannot be the key of a cached step */
    struct stat st = {0};
    if (stat(joined, &st) != 0 || !S_ISREG(st.st_mode)) {
        int32_t rc =
            lathe_fail(err, LATHE_E_INVALID, NULL, "\"%.300s\" is a %s; expected a regular file",
                       joined, S_ISDIR(st.st_mode) ? "folder" : "device, pipe or socket");
        free(joined);
        return rc;
    }
    *resolved = joined;
    return LATHE_OK;
}
