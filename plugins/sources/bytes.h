/* bytes.h: the bytes of a file, plain or gzip (RFC 1952, several members), for the source plugins.
 *
 * gzip is told by its two magic bytes, not by the name. Reading is sequential through read(2), not mapped: a file
 * that is cut while it is read is then an error and not a signal.
 */
#ifndef LATHE_SOURCES_BYTES_H
#define LATHE_SOURCES_BYTES_H

#include <lathe/source.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BYTES_CHUNK 262144 /* of compressed input */

typedef struct byte_file {
    const lathe_host *host;
    const char *path; /* the caller's */
    int fd;           /* -1: closed */
    int32_t gzip;
    int32_t at_end;     /* read(2) gave 0 */
    int32_t in_member;  /* gzip: a member has begun and not ended */
    int32_t z_ready;    /* inflateInit2 was called */
    int64_t bytes_read; /* of the file as it lies on the disk */
    uint8_t *in;        /* [BYTES_CHUNK], gzip only */
    z_stream z;
} byte_file;

/* The last part of a path, for err->where. */
static inline const char *bytes_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* Fills err: where "name:line" (line 0: "name"). Returns code. */
__attribute__((format(printf, 5, 6))) static inline int32_t bytes_fail(
    lathe_error *err, int32_t code, const char *path, int64_t line, const char *format, ...) {
    va_list args;
    err->code = code;
    err->detail = line > 0 && line < INT32_MAX ? (int32_t)line : 0;
    if (line > 0)
        snprintf(err->where, sizeof err->where, "%.100s:%lld", bytes_name(path), (long long)line);
    else
        snprintf(err->where, sizeof err->where, "%.120s", bytes_name(path));
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

static inline int32_t bytes_no_memory(lathe_error *err, const char *path) {
    return bytes_fail(err, LATHE_E_MEMORY, path, 0, "there is no memory left to read this file");
}

static inline void bytes_close(byte_file *f) {
    if (f->z_ready)
        inflateEnd(&f->z);
    if (f->in != NULL)
        f->host->free(f->host, f->in);
    if (f->fd >= 0)
        close(f->fd);
    f->z_ready = 0;
    f->in = NULL;
    f->fd = -1;
}

/* Names the formats that people hand over by mistake; NULL: none of these. */
static inline const char *bytes_foreign_format(const uint8_t *head, int64_t n) {
    static const struct {
        const char *magic;
        int64_t length;
        const char *what;
    } known[] = {
        {"PK\x03\x04", 4, "a zip archive (or a spreadsheet); unpack it, or save it as CSV"},
        {"BZh", 3, "compressed with bzip2; unpack it, or compress it with gzip"},
        {"\xFD"
         "7zXZ",
         5, "compressed with xz; unpack it, or compress it with gzip"},
        {"\x28\xB5\x2F\xFD", 4, "compressed with zstd; unpack it, or compress it with gzip"},
        {"PAR1", 4, "a Parquet file; export it as CSV"},
        {"SQLite format 3", 15, "an SQLite database; export the table as CSV"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (n >= known[i].length && memcmp(head, known[i].magic, (size_t)known[i].length) == 0)
            return known[i].what;
    return NULL;
}

static inline int32_t bytes_check_kind(const byte_file *f, lathe_error *err) {
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return bytes_fail(err, LATHE_E_IO, f->path, 0, "cannot look at %.300s: %s", f->path,
                          strerror(errno));
    if (S_ISDIR(st.st_mode))
        return bytes_fail(err, LATHE_E_IO, f->path, 0, "%.300s is a folder; name a file", f->path);
    if (!S_ISREG(st.st_mode))
        return bytes_fail(err, LATHE_E_IO, f->path, 0,
                          "%.300s is not a regular file: it is read twice, so a pipe or device "
                          "cannot be a source; save it to a file",
                          f->path);
    if (st.st_size == 0)
        return bytes_fail(err, LATHE_E_DATA, f->path, 0, "the file is empty (0 bytes)");
    return LATHE_OK;
}

/* Opens `path` (which must outlive f). After an error f is closed. */
static inline int32_t bytes_open(byte_file *f, const lathe_host *host, const char *path,
                                 lathe_error *err) {
    uint8_t head[16];
    ssize_t n;
    int32_t rc;
    memset(f, 0, sizeof *f);
    f->host = host;
    f->path = path;
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return bytes_fail(err, errno == ENOENT ? LATHE_E_NOT_FOUND : LATHE_E_IO, path, 0,
                          "cannot open %.300s: %s", path, strerror(errno));
    rc = bytes_check_kind(f, err);
    if (rc != LATHE_OK)
        goto fail;
    n = pread(f->fd, head, sizeof head, 0);
    if (n < 0) {
        rc = bytes_fail(err, LATHE_E_IO, path, 0, "cannot read: %s", strerror(errno));
        goto fail;
    }
    if (bytes_foreign_format(head, n) != NULL) {
        rc =
            bytes_fail(err, LATHE_E_DATA, path, 0, "the file is %s", bytes_foreign_format(head, n));
        goto fail;
    }
    f->gzip = n >= 2 && head[0] == 0x1F && head[1] == 0x8B;
    if (!f->gzip)
        return LATHE_OK;
    rc = bytes_no_memory(err, path);
    f->in = host->alloc(host, BYTES_CHUNK);
    if (f->in == NULL || inflateInit2(&f->z, 16 + MAX_WBITS) != Z_OK)
        goto fail;
    f->z_ready = 1;
    f->in_member = 1;
    return LATHE_OK;
fail:
    bytes_close(f);
    return rc;
}

static inline int32_t bytes_rewind(byte_file *f, lathe_error *err) {
    if (lseek(f->fd, 0, SEEK_SET) != 0)
        return bytes_fail(err, LATHE_E_IO, f->path, 0, "cannot go back to the start: %s",
                          strerror(errno));
    f->at_end = 0;
    f->bytes_read = 0;
    if (f->gzip) {
        inflateReset(&f->z);
        f->z.avail_in = 0;
        f->in_member = 1;
    }
    return LATHE_OK;
}

static inline int32_t bytes_read_raw(byte_file *f, uint8_t *out, int64_t capacity, int64_t *n,
                                     lathe_error *err) {
    ssize_t got;
    do
        got = read(f->fd, out, (size_t)capacity);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return bytes_fail(err, LATHE_E_IO, f->path, 0, "cannot read: %s", strerror(errno));
    f->at_end = got == 0;
    f->bytes_read += got;
    *n = got;
    return LATHE_OK;
}

/* Between two gzip members: zeros are padding (as gzip(1) has it), a magic begins the next member. */
static inline int32_t bytes_next_member(byte_file *f, lathe_error *err) {
    while (f->z.avail_in > 0 && *f->z.next_in == 0) {
        f->z.next_in++;
        f->z.avail_in--;
    }
    if (f->z.avail_in == 0)
        return LATHE_OK;
    if (*f->z.next_in != 0x1F)
        return bytes_fail(err, LATHE_E_CORRUPT, f->path, 0,
                          "something that is not gzip follows the compressed data; the file is "
                          "damaged");
    inflateReset(&f->z);
    f->in_member = 1;
    return LATHE_OK;
}

/* The next at most `capacity` > 0 bytes, unpacked; *n == 0 at the end alone. */
static inline int32_t bytes_read(byte_file *f, uint8_t *out, int64_t capacity, int64_t *n,
                                 lathe_error *err) {
    if (!f->gzip)
        return bytes_read_raw(f, out, capacity, n, err);
    f->z.next_out = out;
    f->z.avail_out = (uInt)(capacity < (1 << 30) ? capacity : (1 << 30));
    uInt room = f->z.avail_out;
    while (f->z.avail_out == room) {
        int32_t rc;
        int64_t got = 0;
        if (f->z.avail_in == 0) {
            rc = bytes_read_raw(f, f->in, BYTES_CHUNK, &got, err);
            if (rc != LATHE_OK)
                return rc;
            if (got == 0)
                break;
            f->z.next_in = f->in;
            f->z.avail_in = (uInt)got;
        }
        if (!f->in_member) {
            rc = bytes_next_member(f, err);
            if (rc != LATHE_OK)
                return rc;
            continue;
        }
        int status = inflate(&f->z, Z_NO_FLUSH);
        if (status == Z_STREAM_END)
            f->in_member = 0;
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return bytes_fail(err, LATHE_E_CORRUPT, f->path, 0,
                              "the gzip data is damaged near byte %lld (%s); fetch the file again",
                              (long long)(f->bytes_read - f->z.avail_in),
                              f->z.msg != NULL ? f->z.msg : "no reason given");
    }
    *n = (int64_t)(room - f->z.avail_out);
    if (*n == 0 && f->in_member)
        return bytes_fail(err, LATHE_E_CORRUPT, f->path, 0,
                          "the gzip file ends after %lld bytes, inside compressed data; it was cut "
                          "short: fetch it again",
                          (long long)f->bytes_read);
    return LATHE_OK;
}

#endif
