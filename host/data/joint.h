/* data/joint.h: work that is done once, together by whoever needs its result.
 *
 * A lock around lazily made data would let a thread inside a pool's chunk wait for a maker that
 * waits for that pool. So here nobody waits for a maker: the work is cut into items, and each
 * thread that arrives takes items until none is left; it waits at most for items that other threads
 * are computing right now. Items must not call back into the same work, nor block.
 */
#ifndef LATHE_DATA_JOINT_H
#define LATHE_DATA_JOINT_H

#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define LATHE_JOINT_PHASES 2

typedef int32_t (*lathe_joint_fn)(void *user, int64_t item);

/* A phase begins when all items of the one before are done. */
typedef struct lathe_joint_phase {
    lathe_joint_fn fn;
    int64_t n;
    atomic_llong next;
    atomic_llong done;
} lathe_joint_phase;

typedef struct lathe_joint {
    pthread_mutex_t lock;
    pthread_cond_t finished; /* some phase */
    lathe_joint_phase phase[LATHE_JOINT_PHASES];
    int n_phases;
    void *user;
    atomic_int status; /* of an item that failed; the rest is skipped */
    atomic_bool ready;
} lathe_joint;

void lathe_joint_init(lathe_joint *joint, void *user);
void lathe_joint_add(lathe_joint *joint, lathe_joint_fn fn, int64_t n);
void lathe_joint_destroy(lathe_joint *joint);

/* Does what is left and returns when all is done, with LATHE_OK or the code of a failed item.
 * `starter`: the thread that made it, which spreads the items over the pool (NULL: none). [any] */
int32_t lathe_joint_finish(lathe_joint *joint, lathe_pool *pool, bool starter);

#endif
