/* lathe/host.h: what the host offers a plugin, from create to destroy, from any thread.
 *
 * The frequent services sit in the table itself; the rest is asked for by id with get(), where NULL means
 * that this host does not have it:
 *   LATHE_HOST_DATASETS    "lathe.host.datasets/1"     lathe/dataset.h
 *   LATHE_HOST_COMPONENTS  "lathe.host.components/1"   lathe/component.h
 *   LATHE_HOST_TABLES      "lathe.host.tables/1"       lathe/transform.h
 *   LATHE_HOST_CPU         "lathe.host.cpu/1"          below
 *
 * A plugin starts no thread, prints nothing, changes no locale, signal, floating-point mode or working
 * directory, and calls neither exit nor abort.
 */
#ifndef LATHE_HOST_H
#define LATHE_HOST_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LATHE_HOST_DATASETS "lathe.host.datasets/1"
#define LATHE_HOST_COMPONENTS "lathe.host.components/1"
#define LATHE_HOST_TABLES "lathe.host.tables/1"
#define LATHE_HOST_CPU "lathe.host.cpu/1"

enum { LATHE_LOG_DEBUG = 0, LATHE_LOG_INFO = 1, LATHE_LOG_WARN = 2, LATHE_LOG_ERROR = 3 };

enum { LATHE_NO_TRANS = 0, LATHE_TRANS = 1 };

/* Service LATHE_HOST_CPU: which instructions a plugin's kernels may use beyond those that it was compiled for, so
 * that one .so serves every processor. Choose once, at create; absent: the compiled ones alone. */
typedef struct lathe_cpu {
    uint32_t struct_size;
    uint32_t
        level; /* LATHE_CPU_… bits that processor and system offer; $LATHE_CPU may lower them */
} lathe_cpu;

/* One chunk [begin, end) of a parallel loop. `worker` is in [0, n_workers): two chunks that run at the
 * same time have different workers, so it indexes scratch memory. Returns LATHE_OK or an error code. */
typedef int32_t (*lathe_chunk_fn)(void *user, int64_t begin, int64_t end, int32_t worker);

typedef struct lathe_host {
    uint32_t struct_size;
    uint32_t abi_minor; /* of the host */
    void *impl;         /* the host's own */

    /* [any] `bytes` of zeroed memory aligned to 64 bytes, counted on this instance; NULL when there is
     * none. 0 bytes give a block too. Free it with free() of the same host table, which every instance has its
     * own of: what another instance made is refused. What an instance leaks is freed after destroy and reported
     * by name. */
    void *(*alloc)(const struct lathe_host *host, uint64_t bytes);
    void (*free)(const struct lathe_host *host, void *memory); /* NULL is fine */

    /* [any] One line for the run's log; no line break, no formatting. */
    void (*log)(const struct lathe_host *host, int32_t level, const char *message);

    /* [any] Has somebody asked to stop? A relaxed atomic read: ask once per epoch, tree or chunk, then
     * return LATHE_E_CANCELLED. */
    int32_t (*stopped)(const struct lathe_host *host);
    /* [any] Share of the work done, 0 to 1; shown on the terminal; rate-limited by the host. */
    void (*progress)(const struct lathe_host *host, double fraction, const char *message);
    /* [any] A point of a curve ("train_loss", "validation_loss") for the report; step counts from 0. Texts given
     * to log, progress and metric are copied. */
    void (*metric)(const struct lathe_host *host, const char *name, int64_t step, double value);

    /* [any] Runs fn over [0, n) in chunks [k*grain, min(n, (k+1)*grain)), on the one compute pool of the
     * process. The chunks depend on (n, grain) alone, never on the number of threads: write partial
     * results per chunk (begin / grain) and reduce them in order, and the bits are always the same.
     * Nested calls are fine: the caller helps with the chunks of its own call only. The first error (that of the
     * lowest chunk) stops the rest and is returned. n <= 0 does nothing; grain < 1 is LATHE_E_INVALID. */
    int32_t (*parallel_for)(const struct lathe_host *host, int64_t n, int64_t grain,
                            lathe_chunk_fn fn, void *user);
    /* [any] Bound of the `worker` argument; may be larger than the number of threads. */
    int32_t (*n_workers)(const struct lathe_host *host);

    /* [any] Random numbers, counter-based (Philox 4x32-10): element i is a pure function of (key, counter + i),
     * so streams need no state and any part can be made on any thread. random_key derives an independent
     * key: from the row's, tree's or epoch's number, say. */
    uint64_t (*random_key)(const struct lathe_host *host, uint64_t key, uint64_t index);
    void (*random_u64)(const struct lathe_host *host, uint64_t key, uint64_t counter, uint64_t *out,
                       int64_t n);
    void (*random_uniform)(const struct lathe_host *host, uint64_t key, uint64_t counter,
                           float *out, int64_t n); /* [0, 1) */
    void (*random_normal)(const struct lathe_host *host, uint64_t key, uint64_t counter, float *out,
                          int64_t n); /* mean 0, variance 1 */

    /* [any] C = alpha op(A) op(B) + beta C, row-major, op(A) is [m, k], op(B) is [k, n], leading
     * dimensions in elements (row length of the array as stored). Uses the pool for large products; the
     * bits do not depend on the number of threads. For training only: prediction must use loops of a
     * fixed order, so that a row alone and in a batch give the same bits. */
    int32_t (*gemm_f32)(const struct lathe_host *host, int32_t trans_a, int32_t trans_b, int64_t m,
                        int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                        const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
    int32_t (*gemm_f64)(const struct lathe_host *host, int32_t trans_a, int32_t trans_b, int64_t m,
                        int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
                        const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

    /* [any] A further service by id; NULL: absent. Valid as long as the host table. */
    const void *(*get)(const struct lathe_host *host, const char *id);
} lathe_host;

#ifdef __cplusplus
}
#endif
#endif
