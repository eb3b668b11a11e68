#include "base/arena.h"

#include "base/size.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)4096)
#define LARGEST_BLOCK ((size_t)1 << 20)
#define DEFAULT_ALIGN 16

/* Blocks form a list, newest first; only the newest is bumped. A request larger than a block gets one of its
 * own, put second, so that the room left in the newest is not lost. */
typedef struct block {
    struct block *next;
    size_t size; /* of the whole block, this header included */
    size_t used;
} block;

struct lathe_arena {
    block *blocks;
    size_t next_size;
    size_t bytes;
};

lathe_arena *lathe_arena_new(void) {
    lathe_arena *arena = calloc(1, sizeof *arena);
    if (arena != NULL)
        arena->next_size = FIRST_BLOCK;
    return arena;
}

void lathe_arena_free(lathe_arena *arena) {
    if (arena == NULL)
        return;
    for (block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

/* Takes `bytes` at `align` from a block, or NULL where they do not fit. */
static void *take(block *b, size_t bytes, size_t align) {
    uintptr_t base = (uintptr_t)b;
    uintptr_t at = (base + b->used + (align - 1)) & ~(uintptr_t)(align - 1);
    size_t offset = (size_t)(at - base);
    if (offset > b->size || bytes > b->size - offset)
        return NULL;
    b->used = offset + bytes;
    return (char *)b + offset;
}

static block *add_block(lathe_arena *arena, size_t need) {
    bool own = need > arena->next_size;
    size_t size = own ? need : arena->next_size;
    block *b = calloc(1, size); /* zeroed: nothing is ever given twice */
    if (b == NULL)
        return NULL;
    b->size = size;
    b->used = sizeof *b;
    arena->bytes += size;
    if (own && arena->blocks != NULL) {
        b->next = arena->blocks->next;
        arena->blocks->next = b;
    } else {
        b->next = arena->blocks;
        arena->blocks = b;
    }
    if (!own && arena->next_size < LARGEST_BLOCK)
        arena->next_size *= 2;
    return b;
}

void *lathe_arena_alloc_aligned(lathe_arena *arena, size_t bytes, size_t align) {
    if (align == 0 || (align & (align - 1)) != 0 || align > 4096)
        return NULL;
    if (bytes == 0)
        bytes = 1;
    if (arena->blocks != NULL) {
        void *p = take(arena->blocks, bytes, align);
        if (p != NULL)
            return p;
    }
    size_t need;
    if (!lathe_add_size(bytes, sizeof(block) + align, &need))
        return NULL;
    block *b = add_block(arena, need);
    return b != NULL ? take(b, bytes, align) : NULL;
}

void *lathe_arena_alloc(lathe_arena *arena, size_t bytes) {
    return lathe_arena_alloc_aligned(arena, bytes, DEFAULT_ALIGN);
}

void *lathe_arena_array(lathe_arena *arena, size_t count, size_t item) {
    size_t bytes;
    return lathe_mul_size(count, item, &bytes) ? lathe_arena_alloc(arena, bytes) : NULL;
}

void *lathe_arena_memdup(lathe_arena *arena, const void *data, size_t bytes) {
    if (data == NULL)
        return NULL;
    void *copy = lathe_arena_alloc(arena, bytes);
    if (copy != NULL && bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

char *lathe_arena_strndup(lathe_arena *arena, const char *text, size_t len) {
    if (text == NULL)
        return NULL;
    len = strnlen(text, len);
    size_t bytes;
    if (!lathe_add_size(len, 1, &bytes))
        return NULL;
    char *copy = lathe_arena_alloc_aligned(arena, bytes, 1);
    if (copy != NULL)
        memcpy(copy, text, len); /* the NUL is there: memory is zeroed */
    return copy;
}

char *lathe_arena_strdup(lathe_arena *arena, const char *text) {
    return text != NULL ? lathe_arena_strndup(arena, text, strlen(text)) : NULL;
}

char *lathe_arena_vprintf(lathe_arena *arena, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    char *text = len < 0 ? NULL : lathe_arena_alloc_aligned(arena, (size_t)len + 1, 1);
    if (text != NULL)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

char *lathe_arena_printf(lathe_arena *arena, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text = lathe_arena_vprintf(arena, fmt, ap);
    va_end(ap);
    return text;
}

size_t lathe_arena_bytes(const lathe_arena *arena) {
    return arena->bytes;
}
