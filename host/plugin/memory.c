#include "plugin/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_MAGIC 0x6c61746865626c6bULL
#define HUGE_PAGE (2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE)
#define HEAD 64 /* room for lathe_block, keeps data aligned */

_Static_assert(sizeof(lathe_block) <= HEAD, "a block's head must fit");

/* raw: up to 63 bytes to align, HEAD, zone, data, zone. */
#define OVERHEAD (63 + HEAD + 2 * LATHE_ZONE)

static lathe_block *block_of(void *memory) {
    return (lathe_block *)(void *)((char *)memory - LATHE_ZONE - HEAD);
}

static unsigned char *data_of(lathe_block *b) {
    return (unsigned char *)b + HEAD + LATHE_ZONE;
}

static void account(lathe_runtime *rt, int64_t bytes) {
    long long now = atomic_fetch_add(&rt->memory, bytes) + bytes;
    long long peak = atomic_load_explicit(&rt->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak(&rt->peak, &peak, now))
        continue;
}

/* Where a large block begins, on a huge page. What learners read in the order of a tree's leaves lies
 * far apart: with pages of 4 KiB each read would miss the translation buffer too. An advice, before
 * anything is written: where the system has no huge pages, nothing changes. The last page is advised
 * only where it is used whole. */
static char *advise_huge(char *raw, uint64_t bytes) {
    char *begin = (char *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
#if defined(MADV_HUGEPAGE)
    madvise(begin, bytes & ~(uint64_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#else
    (void)bytes;
#endif
    return begin;
}

void *lathe_impl_alloc(lathe_impl *impl, uint64_t bytes) {
    lathe_runtime *rt = impl->runtime;
    if (bytes > (uint64_t)INT64_MAX / 2 - OVERHEAD - 2 * HUGE_PAGE)
        return NULL;
    account(rt, (int64_t)bytes);
    int64_t limit = rt->options.memory_limit;
    bool huge = bytes >= HUGE_FROM;
    uint64_t whole = bytes + OVERHEAD + (huge ? 2 * HUGE_PAGE : 0);
    char *raw = limit > 0 && atomic_load(&rt->memory) > limit ? NULL : calloc(1, whole);
    if (raw == NULL) {
        account(rt, -(int64_t)bytes);
        return NULL;
    }
    char *head = (char *)(((uintptr_t)raw + 63) & ~(uintptr_t)63);
    if (huge)
        head = advise_huge(raw, bytes + OVERHEAD);
    lathe_block *b = (lathe_block *)(void *)head;
    *b = (lathe_block){.magic = BLOCK_MAGIC, .owner = impl, .bytes = bytes, .raw = raw};
    memset(head + HEAD, LATHE_ZONE_BYTE, LATHE_ZONE);
    memset(data_of(b) + bytes, LATHE_ZONE_BYTE, LATHE_ZONE);
    pthread_mutex_lock(&impl->lock);
    b->next = impl->blocks.next;
    b->prev = &impl->blocks;
    b->next->prev = b;
    impl->blocks.next = b;
    impl->bytes += (int64_t)bytes;
    pthread_mutex_unlock(&impl->lock);
    return data_of(b);
}

/* Bytes of a zone that were written. */
static int damaged(const unsigned char *zone) {
    int n = 0;
    for (int i = 0; i < LATHE_ZONE; i++)
        n += zone[i] != LATHE_ZONE_BYTE;
    return n;
}

/* Fills `text` where the block's zones were written. */
static bool describe_damage(const lathe_impl *impl, lathe_block *b, char *text, size_t size) {
    int before = damaged(data_of(b) - LATHE_ZONE), after = damaged(data_of(b) + b->bytes);
    if (before == 0 && after == 0)
        return false;
    snprintf(text, size, "%s wrote %d bytes %s a block of its own of %llu bytes; ask its author",
             impl->id, before ? before : after, before ? "before the begin of" : "past the end of",
             (unsigned long long)b->bytes);
    return true;
}

static void unlink_block(lathe_impl *impl, lathe_block *b) {
    b->prev->next = b->next;
    b->next->prev = b->prev;
    impl->bytes -= (int64_t)b->bytes;
}

void lathe_impl_free(lathe_impl *impl, void *memory) {
    if (memory == NULL)
        return;
    lathe_block *b = block_of(memory);
    if (b->magic != BLOCK_MAGIC || b->owner != impl) {
        char text[200];
        snprintf(
            text, sizeof text,
            "%s freed memory that it did not allocate by its own host table; it was left alone",
            impl->id);
        lathe_impl_log(impl, LATHE_LOG_ERROR, text);
        pthread_mutex_lock(&impl->lock);
        snprintf(impl->damage, sizeof impl->damage, "%s", text);
        pthread_mutex_unlock(&impl->lock);
        return;
    }
    char text[256] = "";
    pthread_mutex_lock(&impl->lock);
    if (describe_damage(impl, b, text, sizeof text))
        memcpy(impl->damage, text, sizeof impl->damage);
    unlink_block(impl, b);
    pthread_mutex_unlock(&impl->lock);
    if (text[0] != '\0')
        lathe_impl_log(impl, LATHE_LOG_ERROR, text);
    b->magic = 0;
    account(impl->runtime, -(int64_t)b->bytes);
    free(b->raw);
}

int64_t lathe_impl_free_all(lathe_impl *impl, int64_t *bytes) {
    int64_t n = 0;
    *bytes = 0;
    pthread_mutex_lock(&impl->lock);
    while (impl->blocks.next != &impl->blocks) {
        lathe_block *b = impl->blocks.next;
        unlink_block(impl, b);
        n++;
        *bytes += (int64_t)b->bytes;
        b->magic = 0;
        free(b->raw);
    }
    pthread_mutex_unlock(&impl->lock);
    account(impl->runtime, -*bytes);
    return n;
}

int32_t lathe_impl_check_zones(lathe_impl *impl, lathe_error *err) {
    char text[256];
    pthread_mutex_lock(&impl->lock);
    memcpy(text, impl->damage, sizeof text);
    for (lathe_block *b = impl->blocks.next; text[0] == '\0' && b != &impl->blocks; b = b->next)
        describe_damage(impl, b, text, sizeof text);
    pthread_mutex_unlock(&impl->lock);
    if (text[0] == '\0')
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_CORRUPT, impl->id, "%s", text);
}
