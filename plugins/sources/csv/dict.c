/* dict.c: the memory of the csv source, and the dictionary of a category column: open addressing, linear
 * probing, at most half full. Codes are given in the order of first appearance and never change.
 */
#include "csv.h"

typedef struct csv_chunk {
    struct csv_chunk *next;
    int64_t used; /* of `size` bytes behind the header */
    int64_t size;
    int64_t reserved0;
} csv_chunk;

void *csv_arena_take(csv_arena *a, const lathe_host *host, int64_t bytes) {
    csv_chunk *c = a->chunks;
    bytes = (bytes + 7) & ~(int64_t)7;
    if (c == NULL || c->size - c->used < bytes) {
        int64_t size = bytes > 65536 ? bytes : 65536;
        csv_chunk *fresh = host->alloc(host, (uint64_t)size + sizeof *fresh);
        if (fresh == NULL)
            return NULL;
        fresh->next = c;
        fresh->size = size;
        a->chunks = c = fresh;
    }
    void *p = (char *)(c + 1) + c->used;
    c->used += bytes;
    return p;
}

char *csv_arena_copy(csv_arena *a, const lathe_host *host, const char *text, int64_t n) {
    char *copy = csv_arena_take(a, host, n + 1);
    if (copy != NULL) {
        if (n > 0)
            memcpy(copy, text, (size_t)n);
        copy[n] = '\0';
    }
    return copy;
}

void csv_arena_reset(csv_arena *a, const lathe_host *host) {
    csv_chunk *kept = a->chunks;
    if (kept == NULL)
        return;
    a->chunks = kept->next;
    csv_arena_free(a, host);
    kept->next = NULL;
    kept->used = 0;
    a->chunks = kept;
}

void csv_arena_free(csv_arena *a, const lathe_host *host) {
    while (a->chunks != NULL) {
        csv_chunk *c = a->chunks;
        a->chunks = c->next;
        host->free(host, c);
    }
}

int csv_grow(const lathe_host *host, void *array, int64_t *capacity, int64_t need, int64_t size) {
    void **at = array; /* T ** in the caller's eyes */
    if (need <= *capacity)
        return 1;
    int64_t wanted = *capacity * 2 > need ? *capacity * 2 : need;
    if (wanted < 16)
        wanted = 16;
    if (wanted > INT64_MAX / 2 / size)
        return 0;
    void *fresh = host->alloc(host, (uint64_t)(wanted * size));
    if (fresh == NULL)
        return 0;
    if (*capacity > 0)
        memcpy(fresh, *at, (size_t)(*capacity * size));
    host->free(host, *at);
    *at = fresh;
    *capacity = wanted;
    return 1;
}

/* Eight bytes at a time; only equality matters, so neither seed nor byte order does. */
static uint64_t hash_text(const char *text, int32_t n) {
    uint64_t h = 0x9E3779B97F4A7C15ull ^ (uint64_t)n, w;
    while (n >= 8) {
        memcpy(&w, text, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93ull;
        h ^= h >> 32;
        text += 8;
        n -= 8;
    }
    w = 0;
    memcpy(&w, text, (size_t)n);
    h = (h ^ w) * 0xD6E8FEB86659FD93ull;
    return h ^ (h >> 32);
}

static int grow_slots(csv_dict *d, const lathe_host *host) {
    int64_t n_slots = d->n_slots > 0 ? d->n_slots * 2 : 64;
    int32_t *slots = host->alloc(host, (uint64_t)n_slots * sizeof *slots);
    if (slots == NULL)
        return 0;
    for (int64_t code = 0; code < d->n; code++) {
        uint64_t at = d->hashes[code] & (uint64_t)(n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (uint64_t)(n_slots - 1);
        slots[at] = (int32_t)(code + 1);
    }
    host->free(host, d->slots);
    d->slots = slots;
    d->n_slots = n_slots;
    return 1;
}

int32_t csv_dict_code(csv_dict *d, csv_arena *texts, const lathe_host *host, const char *text,
                      int32_t n) {
    if (d->n * 2 >= d->n_slots && !grow_slots(d, host))
        return -1;
    uint64_t hash = hash_text(text, n), mask = (uint64_t)(d->n_slots - 1), at = hash & mask;
    for (; d->slots[at] != 0; at = (at + 1) & mask) {
        int32_t code = d->slots[at] - 1;
        if (d->hashes[code] == hash && d->values[code].len == n &&
            memcmp(d->values[code].ptr, text, (size_t)n) == 0)
            return code;
    }
    if (d->n >= INT32_MAX - 1 ||
        !csv_grow(host, &d->values, &d->values_capacity, d->n + 1, sizeof *d->values) ||
        !csv_grow(host, &d->hashes, &d->hashes_capacity, d->n + 1, sizeof *d->hashes))
        return -1;
    char *copy = csv_arena_copy(texts, host, text, n);
    if (copy == NULL)
        return -1;
    d->values[d->n] = (lathe_str){copy, n};
    d->hashes[d->n] = hash;
    d->slots[at] = (int32_t)(d->n + 1);
    return (int32_t)d->n++;
}

void csv_dict_free(csv_dict *d, const lathe_host *host) {
    host->free(host, d->values);
    host->free(host, d->hashes);
    host->free(host, d->slots);
    memset(d, 0, sizeof *d);
}
