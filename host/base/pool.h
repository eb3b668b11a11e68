/* base/pool.h: the compute pool: one a process, fixed chunks, results that do not depend on the threads.
 *
 * A pool has at most as many threads as the process has cores (affinity and control groups counted): further ones
 * would only push the others aside, and each has scratch memory. With LATHE_OVERSUBSCRIBE=1 in the environment it has
 * as many as asked for, so that a test on a small machine meets the orders of a large one.
 *
 * A pool of n threads has n - 1 threads of its own; the n-th is whoever calls lathe_pool_run. So a pool of 1
 * has no thread at all and runs everything in the caller. Never more than n threads compute at once: where
 * several outside threads call at the same time, one of them computes and the others wait for their
 * chunks, which the pool's threads run too, or for their turn.
 *
 * Chunks are [k * grain, min(n, (k + 1) * grain)) for k = 0, 1, …: they depend on (n, grain) alone. A
 * result that is reduced a chunk at a time, in chunk order, has the same bits with any number of threads.
 *
 * Nested calls (fn calls lathe_pool_run on the same pool) share the pool's threads. While it waits, a
 * caller runs chunks of its own call only, never of another job: so scratch memory indexed by `worker`
 * is never entered twice by surprise within one job. Beware of one thing: a chunk of the OUTER job that
 * makes a nested call is still on the stack of its worker while that worker runs INNER chunks; give the
 * two jobs scratch of their own.
 *
 * Idle threads spin for some microseconds, never more of them than the machine has cores, and then sleep.
 */
#ifndef LATHE_BASE_POOL_H
#define LATHE_BASE_POOL_H

#include "base/error.h"

#include <stdint.h>

typedef struct lathe_pool lathe_pool;

/* Computes [begin, end). `worker` is in 0 … lathe_pool_workers() - 1; no two chunks that run at the same
 * time have the same one, so it may index scratch memory. Returns LATHE_OK or an error code, which stops
 * the job. */
typedef int32_t (*lathe_pool_fn)(void *user, int64_t begin, int64_t end, int32_t worker);

/* Called once in each of the pool's own threads, before its first chunk: for a signal stack, a name, a slot. */
typedef void (*lathe_pool_start_fn)(void *user, int32_t worker);

/* A pool of `n_threads`, or of the cores available where they are fewer (at least 1, at most 1024; 0: the cores).
 * NULL: a number out of range, no memory or no threads.
 * Its threads take no signals but those of faults. [any] */
lathe_pool *lathe_pool_new(int n_threads);
lathe_pool *lathe_pool_new_with(int n_threads, lathe_pool_start_fn on_start, void *user);

/* Ends the threads. No lathe_pool_run may be in progress. NULL is allowed. [any but the pool's threads] */
void lathe_pool_free(lathe_pool *pool);

/* Runs fn over [0, n) in chunks of `grain` (at least 1) and returns when all are done. LATHE_OK, or the
 * code of the lowest failing chunk: which one that is does not depend on the threads. After a failure chunks
 * not yet begun are skipped. n <= 0 does nothing. grain < 1 or fn NULL: LATHE_E_INVALID. pool NULL: all
 * chunks run in the caller, as worker 0. [any] */
int32_t lathe_pool_run(lathe_pool *pool, int64_t n, int64_t grain, lathe_pool_fn fn, void *user);

/* Upper bound of the worker index + 1: how many scratch slots to make. pool NULL: 1. */
int32_t lathe_pool_workers(const lathe_pool *pool);

/* The worker index of the calling thread if it is now inside a chunk of this pool, else -1. */
int32_t lathe_pool_current_worker(const lathe_pool *pool);

#endif
