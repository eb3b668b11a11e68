/* store/steps.h: the cache of finished steps.
 *
 * A step's key is the SHA-256 of its parameters, the content of its inputs and its plugins' digests; who makes it
 * knows what is in it, the store does not. A result is metadata (JSON) and at most one artifact.
 * Losing an entry costs time, nothing else: gc may drop any.
 */
#ifndef LATHE_STORE_STEPS_H
#define LATHE_STORE_STEPS_H

#include "store/types.h"

typedef struct lathe_step_record {
    const char *key;
    const char *sha256;   /* of the artifact; "" where the result is metadata alone */
    const char *path;     /* its file; "" where there is none. In lists: NULL */
    const char *metadata; /* JSON */
    int64_t bytes;
    const char *run; /* that made it; "" where unknown */
    int64_t created;
    int64_t used; /* to the minute */
} lathe_step_record;

typedef struct lathe_step_list {
    lathe_step_record *items;
    size_t count;
} lathe_step_list;

/* Looks a key up, checks the artifact's whole content, and notes the use. *found false: compute it. An entry whose
 * artifact is missing or damaged is dropped (in an OWN store), logged, and not found. */
int32_t lathe_store_step_get(lathe_store *store, const char *key, lathe_arena *arena, bool *found,
                             lathe_step_record *step, lathe_error *err);

/* Keeps a result; replaces an older one of the same key. sha256: a committed artifact, or NULL. metadata NULL: "{}".
 * run may be NULL. LATHE_E_NOT_FOUND: no such artifact. */
int32_t lathe_store_step_put(lathe_store *store, const char *key, const char *sha256,
                             const char *metadata, const char *run, lathe_error *err);

/* Most recently used first. */
int32_t lathe_store_steps(lathe_store *store, lathe_arena *arena, lathe_step_list *list,
                          lathe_error *err);

#endif
