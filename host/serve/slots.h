/* serve/slots.h: counters that the supervisor owns and that survive a worker.
 *
 * One shared page (memfd) holds a slot a worker and, in each, a table of models. A worker alone writes its slot
 * (relaxed atomics, no lock); the supervisor reads all and adds up. A worker that replaces another goes on where
 * that one ended. Nothing in the page is trusted for memory safety: indices are bounded on both sides.
 *
 * Behind the slots each worker has two areas for statistics of features (monitor/live.h), one for its serving thread and one
 * for its other threads; each gives every model LATHE_SLOTS_LIVE bytes, the last of them for its answers (monitor/outputs.h). They take memory where they are written alone.
 */
#ifndef LATHE_SERVE_SLOTS_H
#define LATHE_SERVE_SLOTS_H

#include "base/error.h"
#include "monitor/rules.h"

#include <stdatomic.h>
#include <stdint.h>

#define LATHE_SLOTS_WORKERS 64
#define LATHE_SLOTS_MODELS 256
#define LATHE_SLOTS_BUCKETS 20
#define LATHE_SLOTS_NAME 136
#define LATHE_SLOTS_TOKENS 1024
#define LATHE_SLOTS_USAGES (LATHE_SLOTS_TOKENS + 2)
#define LATHE_SLOTS_QUOTAS 256
#define LATHE_SLOTS_ARMS 64
#define LATHE_SLOTS_SHADOWS 32
#define LATHE_ARM_BUCKETS 100
#define LATHE_ARM_CLASSES 32
#define LATHE_SLOTS_LIVE ((size_t)1 << 20)
#define LATHE_SLOTS_OUTPUTS ((size_t)16 << 10) /* the end of them: of the answers */
#define LATHE_SLOTS_FEATURES (LATHE_SLOTS_LIVE - LATHE_SLOTS_OUTPUTS)

/* Upper bounds of the latency buckets, in seconds; the last bucket is +Inf. */
extern const double lathe_slots_bounds[LATHE_SLOTS_BUCKETS - 1];

#define LATHE_RECALL_LINES 65536 /* a worker; a power of two */
#define LATHE_RECALL_VALUES 8

/* An answer that waits for its label (serve/recall.h). */
typedef struct lathe_recall_line {
    _Atomic uint64_t key; /* 0: nothing, or it is just being written */
    _Atomic uint64_t when_ms;
    _Atomic int32_t slot, label, turn_n, labelled; /* turn_n: how often it was written, and n */
    _Atomic float values[LATHE_RECALL_VALUES];
} lathe_recall_line;

/* Statistics of one model version in one worker. Times are sums in nanoseconds. */
typedef struct lathe_slot_model {
    char name
        [LATHE_SLOTS_NAME]; /* "model@version"; set by the supervisor before the worker learns of it */
    _Atomic uint64_t requests, failures, rows;
    _Atomic uint64_t rejected, flagged; /* rows, by any rule of validation */
    _Atomic uint64_t validated[LATHE_RULE_COUNT][LATHE_ACTION_COUNT]; /* rows a rule fired for */
    _Atomic uint64_t executions; /* of the model: fewer than requests where they share a batch */
    _Atomic uint64_t timeouts, cancelled, shed; /* deadline over; client gone; queue full */
    _Atomic uint64_t success_ns, fail_ns, queue_ns, input_ns, infer_ns, output_ns;
    _Atomic uint64_t last_ms; /* wall clock of the last inference */
    _Atomic uint64_t latency[LATHE_SLOTS_BUCKETS];
} lathe_slot_model;

/* One side of a comparison: what a version answered under the name of an endpoint on which a rollout runs. */
typedef struct lathe_slot_arm {
    _Atomic uint64_t requests, errors; /* errors: answers of 500 and above */
    _Atomic uint64_t rejected;         /* requests answered with 400 */
    _Atomic uint64_t shed;             /* refused by a full queue: in none of the others */
    _Atomic uint64_t rows;             /* of the requests that succeeded */
    _Atomic uint64_t flagged;          /* successful requests with rows that validation flagged */
    _Atomic uint64_t ns;               /* sum of the latencies of successes */
    _Atomic uint64_t
        latency[LATHE_ARM_BUCKETS]; /* four an octave from 1 µs: lathe_arm_bucket_seconds */
    _Atomic uint64_t classes[LATHE_ARM_CLASSES]; /* rows by predicted class; the rest in the last */
} lathe_slot_arm;

/* A shadow against the version that answered. */
typedef struct lathe_slot_shadow {
    _Atomic uint64_t offered, dropped;   /* requests; dropped: the queue was full */
    uint64_t apart[8];                   /* from what the shadow's thread writes: another line */
    _Atomic uint64_t requests;           /* that the shadow predicted */
    _Atomic uint64_t failures;           /* that it could not */
    _Atomic uint64_t rows, agreed;       /* agreed: the same class; regression: the same value */
    _Atomic uint64_t max_bits, sum_bits; /* doubles: largest and summed absolute difference of the
                                            value, or of the probability furthest apart */
    _Atomic uint64_t ns;                 /* that it took */
} lathe_slot_shadow;

/* What was asked for (serve/metering.h). */
typedef struct lathe_slot_usage {
    _Atomic uint64_t requests, rows;
} lathe_slot_usage;

typedef struct lathe_slot {
    _Atomic uint64_t alive_ns;   /* monotonic; written by the worker's loop some times a second */
    _Atomic uint64_t generation; /* of the routing table it serves */
    _Atomic uint64_t connections, requests, http_errors, cancelled;
    _Atomic uint64_t queued_rows; /* of requests in a batch or on another thread */
    _Atomic uint64_t restarts;    /* written by the supervisor */
    _Atomic uint64_t token_ns
        [LATHE_SLOTS_TOKENS]; /* rates and last use by token (serve/auth/auth.h): all share slot 0's */
    lathe_slot_usage
        usages[LATHE_SLOTS_USAGES]; /* 0: without a token; k + 1: by token; last: by those beyond */
    lathe_slot_usage
        quotas[LATHE_SLOTS_QUOTAS]; /* used today by projects with a quota: all share slot 0's */
    lathe_slot_model models[LATHE_SLOTS_MODELS];
    lathe_slot_arm arms[LATHE_SLOTS_ARMS];
    lathe_slot_shadow
        shadows[LATHE_SLOTS_SHADOWS]; /* written by the worker's shadow thread, but for
                                                       offered and dropped */
} lathe_slot;

typedef struct lathe_slots lathe_slots;

/* [loop] The supervisor's side: a page for n workers; *fd is to be inherited. */
int32_t lathe_slots_create(int n_workers, lathe_slots **slots, int *fd, lathe_error *err);
/* A worker's side. */
int32_t lathe_slots_attach(int fd, lathe_slots **slots, lathe_error *err);
void lathe_slots_close(lathe_slots *slots);
lathe_slot *lathe_slots_at(lathe_slots *slots, int worker); /* NULL: out of range */
int lathe_slots_count(const lathe_slots *slots);            /* of workers */
/* LATHE_SLOTS_LIVE bytes of a model; area 0: of the serving thread, 1: of the others. NULL: out of range. */
void *lathe_slots_live(lathe_slots *slots, int worker, int area, int model);

/* [LATHE_RECALL_LINES] of a worker; behind the workers', those of a service before (serve/recall.h). NULL: out of range. */
lathe_recall_line *lathe_slots_recall(lathe_slots *slots, int table);
int lathe_slots_recalls(const lathe_slots *slots); /* how many */
/* [loop] Tables of this process alone, once. LATHE_E_MEMORY. */
int32_t lathe_slots_add_recalls(lathe_slots *slots, int n, lathe_error *err);

/* A counter that one thread alone writes: a load and a store, no locked instruction. [serve] */
static inline void lathe_slot_add(_Atomic uint64_t *counter, uint64_t amount) {
    const uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}
/* Adds a latency to its bucket. [serve] */
void lathe_slot_latency(lathe_slot_model *model, uint64_t ns);

/* The same for an arm, in its finer buckets. [serve] */
void lathe_arm_latency(lathe_slot_arm *arm, uint64_t ns);
/* Upper bound of an arm's bucket; the last has none and gives twice that of the one before. */
double lathe_arm_bucket_seconds(int bucket);

#endif
