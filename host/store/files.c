#include "store/files.h"

#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)

int32_t lathe_check_sha256(const char *text, lathe_error *err) {
    size_t n = text == NULL ? 0 : strspn(text, "0123456789abcdef");
    if (n != 64 || text[64] != '\0')
        return lathe_fail(err, LATHE_E_INVALID, "sha256",
                          "'%.80s' is no SHA-256: 64 digits of 0-9 and a-f are needed",
                          text == NULL ? "" : text);
    return LATHE_OK;
}

static int32_t write_all(int fd, const char *data, size_t len, const char *path, lathe_error *err) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lathe_fail_errno(err, errno, path,
                                    errno == ENOSPC || errno == EDQUOT
                                        ? "the disk is full; free some space and repeat"
                                        : "the file cannot be written");
        data += n;
        len -= (size_t)n;
    }
    return LATHE_OK;
}

static int32_t copy_bytes(int in, int out, const char *from, const char *to, lathe_sha256 *hash,
                          int64_t *bytes, lathe_error *err) {
    char *chunk = malloc(CHUNK);
    if (chunk == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, from, "out of memory");
    int32_t rc = LATHE_OK;
    int64_t total = 0;
    for (;;) {
        ssize_t n = read(in, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = lathe_fail_errno(err, errno, from, "the file cannot be read");
        if (n <= 0)
            break;
        lathe_sha256_update(hash, chunk, (size_t)n);
        rc = write_all(out, chunk, (size_t)n, to, err);
        if (rc != LATHE_OK)
            break;
        total += n;
    }
    free(chunk);
    *bytes = total;
    return rc;
}

/* O_NONBLOCK: opening a pipe without a writer would wait for ever. */
static int32_t open_plain(const char *path, int *fd, lathe_error *err) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 && errno != ELOOP)
        return lathe_fail_errno(err, errno, path, "the file cannot be opened");
    if (*fd < 0 || fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return lathe_fail(err, LATHE_E_DATA, path,
                          "this is a link, a folder or a device; only plain files can be stored");
    }
    return LATHE_OK;
}

int32_t lathe_copy_hashed(const char *from, const char *to, char sha256[LATHE_SHA256_HEX],
                          int64_t *bytes, lathe_error *err) {
    int in = -1, out = -1;
    int64_t total = 0;
    uint8_t digest[LATHE_SHA256_BYTES];
    lathe_sha256 *hash = lathe_sha256_new();
    int32_t rc = hash != NULL ? open_plain(from, &in, err)
                              : lathe_fail(err, LATHE_E_MEMORY, from, "out of memory");
    if (rc != LATHE_OK)
        goto fail_open;
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (out < 0) {
        rc = lathe_fail_errno(err, errno, to, "the file cannot be made");
        goto fail_open;
    }
    rc = copy_bytes(in, out, from, to, hash, &total, err);
    if (rc == LATHE_OK && fsync(out) != 0)
        rc = lathe_fail_errno(err, errno, to, "the file could not be brought to the disk (fsync)");
    if (close(out) != 0 && rc == LATHE_OK)
        rc = lathe_fail_errno(err, errno, to, "the file could not be closed");
    if (rc == LATHE_OK && !lathe_sha256_final(hash, digest))
        rc = lathe_fail(err, LATHE_E_INTERNAL, from, "the SHA-256 could not be computed");
    if (rc != LATHE_OK) {
        unlink(to);
    } else {
        lathe_hex(digest, sizeof digest, sha256);
        if (bytes != NULL)
            *bytes = total;
    }
fail_open:
    if (in >= 0)
        close(in);
    lathe_sha256_free(hash);
    return rc;
}

int32_t lathe_each_name(const char *folder, lathe_name_fn fn, void *user, lathe_error *err) {
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT ? LATHE_OK
                               : lathe_fail_errno(err, errno, folder, "the folder cannot be read");
    int32_t rc = LATHE_OK;
    while (rc == LATHE_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                rc = lathe_fail_errno(err, errno, folder, "the folder cannot be read");
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = fn(user, folder, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

static int32_t found_one(void *user, const char *folder, const char *name, lathe_error *err) {
    (void)folder;
    (void)name;
    (void)err;
    *(bool *)user = false;
    return LATHE_OK;
}

int32_t lathe_folder_empty(const char *folder, bool *empty, lathe_error *err) {
    *empty = true;
    return lathe_each_name(folder, found_one, empty, err);
}
