#include "store/stray.h"

#include "base/fs.h"
#include "store/db.h"
#include "store/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct walk {
    lathe_store *store;
    lathe_stray_fn fn;
    void *user;
} walk;

/* An artifact's row counts only in the folder where its file belongs. */
static int32_t known(walk *w, const char *folder, const char *name, bool *yes, lathe_error *err) {
    int64_t one;
    const char *ab = lathe_path_base(folder);
    if (strncmp(ab, name, 2) != 0 || ab[2] != '\0') {
        *yes = false;
        return LATHE_OK;
    }
    return lathe_db_int(w->store, &one, yes, err, "SELECT 1 FROM artifacts WHERE sha256 = ?", "t",
                        name);
}

static int32_t report(walk *w, const char *folder, const char *name, lathe_error *err) {
    struct stat st;
    char *path = lathe_path_join(folder, name);
    if (path == NULL)
        return lathe_db_oom(w->store, err);
    int32_t rc = LATHE_OK;
    if (lstat(path, &st) == 0)
        rc = w->fn(w->user, path, S_ISREG(st.st_mode) ? st.st_size : 0, err);
    else if (errno != ENOENT) // else it has just gone
        rc = lathe_fail_errno(err, errno, path, "the file cannot be examined");
    free(path);
    return rc;
}

static int32_t visit_file(void *user, const char *folder, const char *name, lathe_error *err) {
    bool yes;
    int32_t rc = known(user, folder, name, &yes, err);
    return rc != LATHE_OK || yes ? rc : report(user, folder, name, err);
}

static int32_t visit_folder(void *user, const char *folder, const char *name, lathe_error *err) {
    walk *w = user;
    char *path = lathe_path_join(folder, name);
    if (path == NULL)
        return lathe_db_oom(w->store, err);
    struct stat st;
    int32_t rc;
    // What cannot be examined is no stray: gc would remove a folder full of artifacts.
    if (lstat(path, &st) != 0)
        rc = errno == ENOENT ? LATHE_OK
                             : lathe_fail_errno(err, errno, path, "the folder cannot be examined");
    else
        rc = S_ISDIR(st.st_mode) ? lathe_each_name(path, visit_file, w, err)
                                 : report(w, folder, name, err);
    free(path);
    return rc;
}

static int32_t visit_any(void *user, const char *folder, const char *name, lathe_error *err) {
    return report(user, folder, name, err);
}

static int32_t visit_staging(void *user, const char *folder, const char *name, lathe_error *err) {
    walk *w = user;
    int64_t one;
    bool running;
    int32_t rc = lathe_db_int(w->store, &one, &running, err,
                              "SELECT 1 FROM runs WHERE id = ? AND finished IS NULL", "t", name);
    return rc != LATHE_OK || running ? rc : report(w, folder, name, err);
}

int32_t lathe_store_strays(lathe_store *store, lathe_stray_fn fn, void *user, lathe_error *err) {
    static const struct {
        const char *folder;
        lathe_name_fn visit;
    } places[] = {{"artifacts/sha256", visit_folder},
                  {"artifacts/tmp", visit_any},
                  {"staging", visit_staging}};
    walk w = {store, fn, user};
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof places / sizeof *places; i++) {
        char *path = lathe_store_path(store, "%s", places[i].folder);
        rc = path != NULL ? lathe_each_name(path, places[i].visit, &w, err)
                          : lathe_db_oom(store, err);
        free(path);
    }
    return rc;
}
