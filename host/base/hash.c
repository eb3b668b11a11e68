#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

struct lathe_sha256 {
    EVP_MD_CTX *ctx;
    bool ok;
};

void lathe_hash_prepare(void) {
    lathe_sha256_free(lathe_sha256_new());
}

lathe_sha256 *lathe_sha256_new(void) {
    lathe_sha256 *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        lathe_sha256_free(h);
        return NULL;
    }
    h->ok = true;
    return h;
}

void lathe_sha256_update(lathe_sha256 *h, const void *data, size_t len) {
    if (h->ok && len > 0)
        h->ok = EVP_DigestUpdate(h->ctx, data, len) == 1;
}

bool lathe_sha256_final(lathe_sha256 *h, uint8_t out[LATHE_SHA256_BYTES]) {
    unsigned len = 0;
    h->ok = h->ok && EVP_DigestFinal_ex(h->ctx, out, &len) == 1 && len == LATHE_SHA256_BYTES;
    return h->ok;
}

void lathe_sha256_free(lathe_sha256 *h) {
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void lathe_hex(const uint8_t *bytes, size_t n, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n] = '\0';
}

bool lathe_sha256_hex(const void *data, size_t len, char hex[LATHE_SHA256_HEX]) {
    lathe_sha256 *h = lathe_sha256_new();
    if (h == NULL)
        return false;
    uint8_t digest[LATHE_SHA256_BYTES];
    lathe_sha256_update(h, data, len);
    bool ok = lathe_sha256_final(h, digest);
    if (ok)
        lathe_hex(digest, sizeof digest, hex);
    lathe_sha256_free(h);
    return ok;
}

int32_t lathe_sha256_file(const char *path, char hex[LATHE_SHA256_HEX], int64_t *bytes,
                          lathe_error *err) {
    int32_t code = LATHE_OK;
    int64_t total = 0;
    uint8_t digest[LATHE_SHA256_BYTES];
    const size_t chunk = (size_t)1 << 16;
    char *buffer = malloc(chunk);
    lathe_sha256 *h = lathe_sha256_new();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        code = lathe_fail_errno(err, errno, path, "the file cannot be opened");
        goto done;
    }
    if (buffer == NULL || h == NULL) {
        code = lathe_fail(err, LATHE_E_MEMORY, path, "out of memory while hashing the file");
        goto done;
    }
    for (;;) {
        ssize_t n = read(fd, buffer, chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            code = lathe_fail_errno(err, errno, path, "the file cannot be read");
            goto done;
        }
        if (n == 0)
            break;
        lathe_sha256_update(h, buffer, (size_t)n);
        total += n;
    }
    if (!lathe_sha256_final(h, digest)) {
        code = lathe_fail(err, LATHE_E_INTERNAL, path, "SHA-256 failed in the crypto library");
        goto done;
    }
    lathe_hex(digest, sizeof digest, hex);
    if (bytes != NULL)
        *bytes = total;
done:
    if (fd >= 0)
        close(fd);
    lathe_sha256_free(h);
    free(buffer);
    return code;
}

uint32_t lathe_crc32(uint32_t crc, const void *data, size_t len) {
    if (len == 0) /* zlib takes a NULL buffer as "give the start value" */
        return crc;
    return (uint32_t)crc32_z(crc, data, len);
}
