/* serve/slots.h: counters that the supervisor owns and that survive a worker.
 *
 * One shared page (memfd) holds a slot a worker and, in each, a table of models. A worker alone writes its slot
 * (relaxed atomics, no lock); the supervisor reads all and adds up. A worker that replaces another goes on where
 * that one ended. Nothing in the page is trusted for memory safety: indices are bounded on both sides.
 */
#ifndef LATHE_SERVE_SLOTS_H
#define LATHE_SERVE_SLOTS_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdint.h>

#define LATHE_SLOTS_WORKERS 64
#define LATHE_SLOTS_MODELS 256
#define LATHE_SLOTS_BUCKETS 20
#define LATHE_SLOTS_NAME 136
#define LATHE_SLOTS_TOKENS 256

/* Upper bounds of the latency buckets, in seconds; the last bucket is +Inf. */
extern const double lathe_slots_bounds[LATHE_SLOTS_BUCKETS - 1];

/* Statistics of one model version in one worker. Times are sums in nanoseconds. */
typedef struct lathe_slot_model {
    char name
        [LATHE_SLOTS_NAME]; /* "model@version"; set by the supervisor before the worker learns of it */
    _Atomic uint64_t requests, failures, rows, rejected, flagged;
    _Atomic uint64_t success_ns, queue_ns, input_ns, infer_ns, output_ns;
    _Atomic uint64_t last_ms; /* wall clock of the last inference */
    _Atomic uint64_t latency[LATHE_SLOTS_BUCKETS];
} lathe_slot_model;

typedef struct lathe_slot {
    _Atomic uint64_t alive_ns;   /* monotonic; written by the worker's loop some times a second */
    _Atomic uint64_t generation; /* of the routing table it serves */
    _Atomic uint64_t connections, requests, http_errors, cancelled;
    _Atomic uint64_t restarts; /* written by the supervisor */
    _Atomic uint64_t token_ns
        [LATHE_SLOTS_TOKENS]; /* rates and last use by token (serve/auth.h): all share slot 0's */
    lathe_slot_model models[LATHE_SLOTS_MODELS];
} lathe_slot;

typedef struct lathe_slots lathe_slots;

/* [loop] The supervisor's side: a page for n workers; *fd is to be inherited. */
int32_t lathe_slots_create(int n_workers, lathe_slots **slots, int *fd, lathe_error *err);
/* A worker's side. */
int32_t lathe_slots_attach(int fd, lathe_slots **slots, lathe_error *err);
void lathe_slots_close(lathe_slots *slots);
lathe_slot *lathe_slots_at(lathe_slots *slots, int worker); /* NULL: out of range */
int lathe_slots_count(const lathe_slots *slots);            /* of workers */

/* A counter that one thread alone writes: a load and a store, no locked instruction. [serve] */
static inline void lathe_slot_add(_Atomic uint64_t *counter, uint64_t amount) {
    const uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}
/* Adds a latency to its bucket. [serve] */
void lathe_slot_latency(lathe_slot_model *model, uint64_t ns);

#endif
