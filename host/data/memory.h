/* data/memory.h: aligned memory and reference-counted blocks, for the data layer. [any] */
#ifndef LATHE_DATA_MEMORY_H
#define LATHE_DATA_MEMORY_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* count * item bytes aligned to 64, not zeroed; at least 64 bytes. NULL: out of memory, or the
 * product does not fit, or count is negative. Free with free(). */
void *lathe_aligned_new(int64_t count, size_t item);
/* The same, zeroed. */
void *lathe_aligned_zeroed(int64_t count, size_t item);

/* Pages of the system's own, zeroed, that lathe_pages_free gives back to it at once: free() keeps what
 * threads worked with for their next allocations, and a process's memory stays at its peak. Aligned
 * and refused as above. */
void *lathe_pages_new(int64_t count, size_t item);
void lathe_pages_free(void *pages); /* NULL is fine */

/* Memory that several owners share and nobody changes while it is shared. `bytes` are 64-byte
 * aligned. */
typedef struct lathe_blob lathe_blob;
lathe_blob *lathe_blob_new(int64_t count, size_t item); /* not zeroed; NULL as above */
lathe_blob *lathe_blob_ref(lathe_blob *blob);           /* NULL is fine */
void lathe_blob_unref(lathe_blob *blob);                /* NULL is fine */
void *lathe_blob_data(const lathe_blob *blob);          /* NULL is fine: NULL */
int64_t lathe_blob_bytes(const lathe_blob *blob);

/* LATHE_E_MEMORY with the sentence that memory for `what` is out. */
int32_t lathe_fail_memory(lathe_error *err, const char *where, const char *what);

#endif
