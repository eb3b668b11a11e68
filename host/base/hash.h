/* base/hash.h: SHA-256 (names of artifacts, cache keys) and CRC-32 (checksums of tensors).
 *
 * [any]; a lathe_sha256 belongs to one thread at a time.
 */
#ifndef LATHE_BASE_HASH_H
#define LATHE_BASE_HASH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATHE_SHA256_BYTES 32
#define LATHE_SHA256_HEX 65 /* 64 digits and the NUL */

typedef struct lathe_sha256 lathe_sha256;

/* Does what the library behind SHA-256 does at its first use, which takes 2 ms. A thread that stays to the end of the process
 * should be that: what the library keeps for it goes with the process in order. */
void lathe_hash_prepare(void);

/* A new running digest; NULL: out of memory. Free with lathe_sha256_free, also after final. */
lathe_sha256 *lathe_sha256_new(void);
/* Adds bytes. A failure inside is kept and reported by final. */
void lathe_sha256_update(lathe_sha256 *h, const void *data, size_t len);
/* Writes the digest; only free may follow. False: the library failed somewhere on the way. */
bool lathe_sha256_final(lathe_sha256 *h, uint8_t out[LATHE_SHA256_BYTES]);
void lathe_sha256_free(lathe_sha256 *h);

/* Of one block of memory, as 64 lower-case digits. False: out of memory. */
bool lathe_sha256_hex(const void *data, size_t len, char hex[LATHE_SHA256_HEX]);

/* Of a file's content. bytes (may be NULL) gets its length. */
int32_t lathe_sha256_file(const char *path, char hex[LATHE_SHA256_HEX], int64_t *bytes,
                          lathe_error *err);

/* Digits of n bytes, lower-case, into hex[2 n + 1]. */
void lathe_hex(const uint8_t *bytes, size_t n, char *hex);

/* CRC-32 (IEEE 802.3, as in zlib and PNG), continued from `crc`; begin with 0. */
uint32_t lathe_crc32(uint32_t crc, const void *data, size_t len);

#endif
