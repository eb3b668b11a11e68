/* base/arena.h: memory of one job, freed at once.
 *
 * Everything allocated from an arena lives until lathe_arena_free. An arena is not locked: one thread at
 * a time. Each allocation returns NULL where memory is out or a size does not fit, and the arena stays
 * usable; what it held before stays valid.
 */
#ifndef LATHE_BASE_ARENA_H
#define LATHE_BASE_ARENA_H

#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>

typedef struct lathe_arena lathe_arena;

/* An empty arena; NULL: out of memory. Free with lathe_arena_free. */
lathe_arena *lathe_arena_new(void);

/* Frees all of it. NULL is allowed. */
void lathe_arena_free(lathe_arena *arena);

/* `bytes` zeroed bytes, 16-byte aligned. 0 bytes gives a unique non-NULL pointer. */
void *lathe_arena_alloc(lathe_arena *arena, size_t bytes);

/* count * item zeroed bytes, with the product checked. */
void *lathe_arena_array(lathe_arena *arena, size_t count, size_t item);

/* Zeroed bytes at a multiple of `align`, a power of two of at most 4096. */
void *lathe_arena_alloc_aligned(lathe_arena *arena, size_t bytes, size_t align);

/* Copies. `text` NULL gives NULL. strndup stops at a NUL as strndup(3) does; memdup copies all bytes. */
char *lathe_arena_strdup(lathe_arena *arena, const char *text);
char *lathe_arena_strndup(lathe_arena *arena, const char *text, size_t len);
void *lathe_arena_memdup(lathe_arena *arena, const void *data, size_t bytes);

char *lathe_arena_printf(lathe_arena *arena, const char *fmt, ...) LATHE_PRINTF(2, 3);
char *lathe_arena_vprintf(lathe_arena *arena, const char *fmt, va_list ap) LATHE_PRINTF(2, 0);

/* Bytes taken from the system so far. */
size_t lathe_arena_bytes(const lathe_arena *arena);

#endif
