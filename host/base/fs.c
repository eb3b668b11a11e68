#include "base/fs.h"

#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads to the end, growing; *len may be `limit` at most. */
static int32_t read_all(int fd, const char *path, size_t limit, size_t guess, char **data,
                        size_t *len, lathe_error *err) {
    size_t cap = guess + 1, used = 0;
    char *buf = malloc(cap + 1);
    if (buf == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "no memory for %zu bytes", cap);
    for (;;) {
        if (used == cap) {
            size_t more = cap < 65536 ? 65536 : cap;
            char *grown = cap > SIZE_MAX - more - 1 ? NULL : realloc(buf, cap + more + 1);
            if (grown == NULL) {
                free(buf);
                return lathe_fail(err, LATHE_E_MEMORY, path, "no memory for %zu bytes", cap);
            }
            buf = grown;
            cap += more;
        }
        ssize_t n = read(fd, buf + used, cap - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int errnum = errno;
            free(buf);
            return lathe_fail_errno(err, errnum, path, "the file cannot be read");
        }
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > limit) {
            free(buf);
            return lathe_fail(err, LATHE_E_MEMORY, path,
                              "the file is longer than the limit of %zu bytes", limit);
        }
    }
    buf[used] = '\0';
    *data = buf;
    *len = used;
    return LATHE_OK;
}

int32_t lathe_read_file(const char *path, size_t limit, char **data, size_t *len,
                        lathe_error *err) {
    *data = NULL;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lathe_fail_errno(err, errno, path, "the file cannot be opened");
    struct stat st;
    int32_t code;
    if (fstat(fd, &st) != 0) {
        code = lathe_fail_errno(err, errno, path, "the file cannot be examined");
    } else if (S_ISDIR(st.st_mode)) {
        code = lathe_fail_errno(err, EISDIR, path, "a file is needed here");
    } else if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > limit) {
        code =
            lathe_fail(err, LATHE_E_MEMORY, path, "the file has %jd bytes; the limit is %zu bytes",
                       (intmax_t)st.st_size, limit);
    } else {
        size_t guess = S_ISREG(st.st_mode) ? (size_t)st.st_size : 65535;
        code = read_all(fd, path, limit, guess, data, len, err);
    }
    close(fd);
    return code;
}

char *lathe_path_join(const char *dir, const char *name) {
    if (dir == NULL || dir[0] == '\0' || name[0] == '/')
        return strdup(name);
    size_t ld = strlen(dir), ln = strlen(name);
    size_t slash = dir[ld - 1] != '/';
    char *path = malloc(ld + slash + ln + 1);
    if (path == NULL)
        return NULL;
    memcpy(path, dir, ld);
    path[ld] = '/';
    memcpy(path + ld + slash, name, ln + 1);
    return path;
}

char *lathe_path_dir(const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

const char *lathe_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool lathe_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool lathe_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int32_t lathe_sync_dir(const char *path, lathe_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lathe_fail_errno(err, errno, path, "the folder cannot be opened");
    int32_t code = LATHE_OK;
    /* EINVAL: a file system on which a folder cannot be synced, and need not be */
    if (fsync(fd) != 0 && errno != EINVAL)
        code = lathe_fail_errno(err, errno, path, "the folder cannot be synced to disk");
    close(fd);
    return code;
}

static int32_t sync_dir_of(const char *path, lathe_error *err) {
    char *dir = lathe_path_dir(path);
    if (dir == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    int32_t code = lathe_sync_dir(dir, err);
    free(dir);
    return code;
}

int32_t lathe_rename_durable(const char *from, const char *to, lathe_error *err) {
    if (rename(from, to) != 0)
        return lathe_fail_errno(err, errno, to, "'%s' cannot be renamed to this", from);
    return sync_dir_of(to, err);
}

static int write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int32_t lathe_write_file_atomic(const char *path, const void *data, size_t len, lathe_error *err) {
    static atomic_uint serial;
    char *temporary = NULL;
    int32_t code;
    if (asprintf(&temporary, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1u)) <
        0)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        code = lathe_fail_errno(err, errno, path, "the file cannot be written");
        goto fail_open;
    }
    int errnum = write_all(fd, data, len);
    if (errnum == 0 && fsync(fd) != 0)
        errnum = errno;
    if (close(fd) != 0 && errnum == 0)
        errnum = errno;
    if (errnum != 0) {
        code = lathe_fail_errno(err, errnum, path, "the file cannot be written");
        goto fail_write;
    }
    if (rename(temporary, path) != 0) {
        code = lathe_fail_errno(err, errno, path, "the file cannot be replaced");
        goto fail_write;
    }
    free(temporary);
    return sync_dir_of(path, err);

fail_write:
    unlink(temporary);
fail_open:
    free(temporary);
    return code;
}

int32_t lathe_mkdirs(const char *path, lathe_error *err) {
    char *copy = strdup(path);
    if (copy == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    int32_t code = LATHE_OK;
    for (char *end = copy; code == LATHE_OK && *end != '\0';) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        char kept = *end;
        *end = '\0';
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && lathe_is_dir(copy))) {
            /* EROFS and EACCES come before EEXIST on some systems */
            int errnum = errno;
            if (!lathe_is_dir(copy))
                code = lathe_fail_errno(err, errnum, copy, "the folder cannot be made");
        }
        *end = kept;
    }
    free(copy);
    return code;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) != 0 && errno != ENOENT ? errno : 0;
}

int32_t lathe_remove_tree(const char *path, lathe_error *err) {
    int rc = nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    int errnum = rc > 0 ? rc : errno;
    if (rc == 0 || (rc < 0 && errnum == ENOENT))
        return LATHE_OK;
    return lathe_fail_errno(err, errnum, path, "the folder cannot be removed");
}

int32_t lathe_path_real(const char *path, char **out, lathe_error *err) {
    *out = realpath(path, NULL);
    if (*out == NULL)
        return lathe_fail_errno(err, errno, path, "the path cannot be resolved");
    return LATHE_OK;
}

/* Is a part of the path ".."? */
static bool has_parent_part(const char *path) {
    while (*path != '\0') {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += len;
    }
    return false;
}

/* realpath of the deepest part that exists. NULL: none, or ".." or a dangling link in what does not. */
static char *real_existing(const char *path) {
    char *copy = strdup(path);
    char *real = NULL;
    while (copy != NULL) {
        real = realpath(copy, NULL);
        if (real != NULL || errno != ENOENT)
            break;
        struct stat st;
        if (lstat(copy, &st) == 0)
            break; /* a link to nothing: where a write would go is not known */
        char *dir = lathe_path_dir(copy);
        bool same = dir == NULL || strcmp(dir, copy) == 0;
        free(copy);
        copy = dir;
        if (same)
            break;
    }
    if (real != NULL && copy != NULL && strcmp(copy, path) != 0) {
        const char *rest = strcmp(copy, ".") == 0 && path[0] != '.' ? path : path + strlen(copy);
        if (has_parent_part(rest)) {
            free(real);
            real = NULL;
        }
    }
    free(copy);
    return real;
}

bool lathe_path_inside(const char *root, const char *path) {
    char *real_root = realpath(root, NULL);
    char *real = real_existing(path);
    bool inside = false;
    if (real_root != NULL && real != NULL) {
        size_t len = strlen(real_root);
        if (len > 0 && real_root[len - 1] == '/')
            len--; /* the root of all */
        inside = strncmp(real, real_root, len) == 0 && (real[len] == '\0' || real[len] == '/');
    }
    free(real);
    free(real_root);
    return inside;
}

char *lathe_path_self(void) {
    return realpath("/proc/self/exe", NULL);
}

int32_t lathe_map_open(const char *path, lathe_map_file *map, lathe_error *err) {
    *map = (lathe_map_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lathe_fail_errno(err, errno, path, "the file cannot be opened");
    struct stat st;
    int32_t code = LATHE_OK;
    if (fstat(fd, &st) != 0) {
        code = lathe_fail_errno(err, errno, path, "the file cannot be examined");
    } else if (!S_ISREG(st.st_mode)) {
        code = lathe_fail(err, LATHE_E_IO, path, "only a regular file can be mapped");
    } else if ((uintmax_t)st.st_size > SIZE_MAX) {
        code = lathe_fail(err, LATHE_E_MEMORY, path, "the file is too long to be mapped");
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            code = lathe_fail_errno(err, errno, path, "the file cannot be mapped");
        else
            *map = (lathe_map_file){data, (size_t)st.st_size};
    }
    close(fd);
    return code;
}

void lathe_map_close(lathe_map_file *map) {
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (lathe_map_file){0};
}
