/* data/memory.c: see memory.h. */
#include "data/memory.h"

#include "base/size.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE (2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE)

struct lathe_blob {
    atomic_int refs;
    int64_t bytes;
};

/* The header takes one whole alignment unit, so that what follows is aligned. */
static bool block_size(int64_t count, size_t item, size_t header, size_t *size) {
    size_t bytes;
    return lathe_count_bytes(count, item, &bytes) && lathe_add_size(bytes, header, &bytes) &&
           lathe_align_size(bytes > 0 ? bytes : 1, ALIGNMENT, size);
}

/* Rows are read in the order of a tree's leaves, far apart: with pages of 4 KiB each read of a large
 * block would miss the translation buffer too. Advice: where the system has no huge pages, nothing
 * changes. The last page is advised only where it is used whole. */
static void *new_block(size_t size) {
#if defined(MADV_HUGEPAGE)
    size_t whole;
    if (size >= HUGE_FROM && lathe_align_size(size, HUGE_PAGE, &whole)) {
        void *p = aligned_alloc(HUGE_PAGE, whole);
        if (p != NULL)
            madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
        return p;
    }
#endif
    return aligned_alloc(ALIGNMENT, size);
}

void *lathe_aligned_new(int64_t count, size_t item) {
    size_t size;
    return block_size(count, item, 0, &size) ? new_block(size) : NULL;
}

void *lathe_aligned_zeroed(int64_t count, size_t item) {
    size_t size;
    void *p = block_size(count, item, 0, &size) ? new_block(size) : NULL;
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

/* The first ALIGNMENT bytes hold the size of the whole. */
void *lathe_pages_new(int64_t count, size_t item) {
    size_t size;
    if (!block_size(count, item, ALIGNMENT, &size))
        return NULL;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    memcpy(p, &size, sizeof size);
    return p + ALIGNMENT;
}

void lathe_pages_free(void *pages) {
    size_t size;
    if (pages == NULL)
        return;
    char *p = (char *)pages - ALIGNMENT;
    memcpy(&size, p, sizeof size);
    munmap(p, size);
}

lathe_blob *lathe_blob_new(int64_t count, size_t item) {
    size_t size;
    if (!block_size(count, item, ALIGNMENT, &size))
        return NULL;
    lathe_blob *b = aligned_alloc(ALIGNMENT, size);
    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    b->bytes = (int64_t)size;
    return b;
}

lathe_blob *lathe_blob_ref(lathe_blob *blob) {
    if (blob != NULL)
        atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void lathe_blob_unref(lathe_blob *blob) {
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1)
        free(blob);
}

void *lathe_blob_data(const lathe_blob *blob) {
    return blob == NULL ? NULL : (char *)(uintptr_t)blob + ALIGNMENT;
}

int64_t lathe_blob_bytes(const lathe_blob *blob) {
    return blob == NULL ? 0 : blob->bytes;
}

int32_t lathe_fail_memory(lathe_error *err, const char *where, const char *what) {
    return lathe_fail(err, LATHE_E_MEMORY, where,
                      "there is not enough memory for %s; use fewer rows or a larger machine",
                      what);
}
