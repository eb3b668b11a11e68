/* How it works. A job lives on the stack of its caller and hangs in the pool's list while it runs. Chunks are
 * claimed in order by one atomic counter, so a claimed chunk's lower neighbours are claimed too: whoever
 * fails, all chunks below it run to their end, and the lowest failing one is the same for any number of threads.
 *
 * Invariants:
 *   - job->helpers counts the pool's threads between joining a job and leaving it, twice, as its lowest bit is
 *     SLEEPER. A thread joins under `lock`, while the job is in the list, and leaves without: that was its last
 *     look at the job. The caller returns only after it has taken the job from the list and seen no helper;
 *   - whoever sleeps until a job changes has set its SLEEPER under `lock` before, so the last helper tells it;
 *   - caller_busy, under `lock`: an outside thread is computing, as worker 0. A pool's own thread is
 *     worker 1 … n - 1.
 *
 * Jobs may be shorter than a sleep and a wake-up cost. So all spin a little before they sleep: for work, for the last
 * helper, and for the lock, which is held for a few instructions only.
 */
#include "base/pool.h"

#include "base/clock.h"
#include "base/cpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 1024
#define SPIN_NS 100000 /* twice what a wake-up costs on a virtual machine */
#define LOCK_SPINS 400
#define SLEEPER 1 /* in job->helpers: somebody is to be told when the last one leaves */
#define HELPER 2

typedef struct job {
    struct job *next; /* in the pool's list, newest first */
    struct job **link;
    lathe_pool_fn fn;
    void *user;
    int64_t n;
    int64_t grain;
    int64_t chunks;
    _Atomic int64_t claimed;
    _Atomic int64_t failed_chunk; /* lowest that failed; INT64_MAX: none */
    int32_t code;                 /* of that chunk, under the pool's lock */
    _Atomic int helpers;          /* HELPER each, and SLEEPER */
} job;

struct lathe_pool {
    int32_t n;
    int spinners;
    int most_spinning; /* cores - 1 */
    int64_t
        most_awake; /* at work beside a caller: more than the cores would push each other aside */
    pthread_mutex_t lock;
    pthread_cond_t work;       /* a job came, or the end */
    pthread_cond_t changed;    /* a job's last helper left, or worker 0's place became free */
    _Atomic uint64_t arrivals; /* jobs put into the list so far: what idle threads spin on */
    job *jobs;
    int sleepers;
    int working; /* the pool's own threads that are in a job */
    bool caller_busy;
    bool ending;
    lathe_pool_start_fn on_start;
    void *start_user;
    int32_t started;
    pthread_t threads[];
};

/* Which pool's chunk a thread is in, innermost first. */
typedef struct place {
    const lathe_pool *pool;
    int32_t worker;
    const struct place *outer;
} place;

static _Thread_local const place *current_place;

typedef struct start_arg {
    lathe_pool *pool;
    int32_t worker;
} start_arg;

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void lock(lathe_pool *pool) {
    for (int i = 0; i < LOCK_SPINS && pool->most_spinning > 0; i++) {
        if (pthread_mutex_trylock(&pool->lock) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
}

static void unlock(lathe_pool *pool) {
    pthread_mutex_unlock(&pool->lock);
}

int32_t lathe_pool_workers(const lathe_pool *pool) {
    return pool != NULL ? pool->n : 1;
}

int32_t lathe_pool_current_worker(const lathe_pool *pool) {
    for (const place *p = current_place; p != NULL; p = p->outer) {
        if (p->pool == pool)
            return p->worker;
    }
    return -1;
}

/* Keeps the code of the lowest failing chunk. */
static void note_failure(lathe_pool *pool, job *j, int64_t chunk, int32_t code) {
    pthread_mutex_lock(&pool->lock);
    if (chunk < atomic_load_explicit(&j->failed_chunk, memory_order_relaxed)) {
        j->code = code;
        atomic_store_explicit(&j->failed_chunk, chunk, memory_order_release);
    }
    pthread_mutex_unlock(&pool->lock);
}

static bool has_chunks(job *j) {
    return atomic_load_explicit(&j->claimed, memory_order_relaxed) < j->chunks &&
           atomic_load_explicit(&j->failed_chunk, memory_order_relaxed) == INT64_MAX;
}

/* Runs chunks of one job until none is left to claim. A claimed chunk runs unless a lower one failed. */
static void work_on(lathe_pool *pool, job *j, int32_t worker) {
    const place here = {pool, worker, current_place};
    current_place = &here;
    while (atomic_load_explicit(&j->failed_chunk, memory_order_acquire) == INT64_MAX) {
        int64_t chunk = atomic_fetch_add_explicit(&j->claimed, 1, memory_order_relaxed);
        if (chunk >= j->chunks)
            break;
        if (chunk > atomic_load_explicit(&j->failed_chunk, memory_order_acquire))
            break;
        int64_t begin = chunk * j->grain;
        int64_t end = j->n - begin > j->grain ? begin + j->grain : j->n;
        int32_t code = j->fn(j->user, begin, end, worker);
        if (code != LATHE_OK)
            note_failure(pool, j, chunk, code);
    }
    current_place = here.outer;
}

static bool has_helpers(job *j) {
    return atomic_load_explicit(&j->helpers, memory_order_acquire) >= HELPER;
}

/* One of the pool's threads has done what it could; the job may be gone at once. */
static void leave(lathe_pool *pool, job *j) {
    int before = atomic_fetch_sub_explicit(&j->helpers, HELPER, memory_order_acq_rel);
    if (before != (HELPER | SLEEPER))
        return;
    lock(pool);
    pthread_cond_broadcast(&pool->changed);
    unlock(pool);
}

static job *find_job(const lathe_pool *pool) {
    for (job *j = pool->jobs; j != NULL; j = j->next) {
        if (has_chunks(j))
            return j;
    }
    return NULL;
}

/* Waits a little for a job to arrive; called and left without the lock. */
static void spin_for_work(lathe_pool *pool, uint64_t seen) {
    int64_t until = lathe_now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(&pool->arrivals, memory_order_relaxed) != seen)
                return;
            relax();
        }
    } while (lathe_now_ns() < until);
}

/* Waits a little for the helpers of a job to leave it. */
static void spin_for_helpers(job *j) {
    int64_t until = lathe_now_ns() + SPIN_NS;
    while (has_helpers(j) && lathe_now_ns() < until)
        relax();
}

static void *thread_main(void *arg) {
    start_arg start = *(start_arg *)arg;
    free(arg);
    lathe_pool *pool = start.pool;
    if (pool->on_start != NULL)
        pool->on_start(pool->start_user, start.worker);
    bool spun = false;
    lock(pool);
    while (!pool->ending) {
        job *j = find_job(pool);
        if (j != NULL) {
            atomic_fetch_add_explicit(&j->helpers, HELPER, memory_order_relaxed);
            pool->working++;
            unlock(pool);
            work_on(pool, j, start.worker);
            leave(pool, j);
            lock(pool);
            pool->working--;
            spun = false;
        } else if (!spun && pool->spinners < pool->most_spinning) {
            pool->spinners++;
            uint64_t seen = atomic_load_explicit(&pool->arrivals, memory_order_relaxed);
            unlock(pool);
            spin_for_work(pool, seen);
            lock(pool);
            pool->spinners--;
            spun = true;
        } else {
            pool->sleepers++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->sleepers--;
            spun = false;
        }
    }
    unlock(pool);
    return NULL;
}

/* Starts a thread that takes no signals but those of its own faults. */
static bool start_thread(lathe_pool *pool, int32_t worker) {
    start_arg *arg = malloc(sizeof *arg);
    if (arg == NULL)
        return false;
    *arg = (start_arg){pool, worker};
    sigset_t all, before;
    sigfillset(&all);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&pool->threads[worker - 1], NULL, thread_main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(arg);
        return false;
    }
    pool->started++;
    return true;
}

/* No more than the cores, unless LATHE_OVERSUBSCRIBE asks for it; 0: not a number of threads. */
static int threads_for(int asked, int cores) {
    if (asked < 0 || asked > MAX_THREADS)
        return 0;
    const char *more = getenv("LATHE_OVERSUBSCRIBE");
    if (asked > 0 && (asked <= cores || (more != NULL && strcmp(more, "1") == 0)))
        return asked;
    return cores < MAX_THREADS ? cores : MAX_THREADS;
}

lathe_pool *lathe_pool_new_with(int n_threads, lathe_pool_start_fn on_start, void *user) {
    int cores = lathe_cpu_count(), n = threads_for(n_threads, cores);
    if (n == 0)
        return NULL;
    lathe_pool *pool = calloc(1, sizeof *pool + (size_t)(n - 1) * sizeof pool->threads[0]);
    if (pool == NULL)
        return NULL;
    pool->n = n;
    pool->most_awake = cores > 2 ? cores - 1 : 1;
    pool->most_spinning = cores - 1;
    pool->on_start = on_start;
    pool->start_user = user;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->changed, NULL);
    for (int32_t worker = 1; worker < n; worker++) {
        if (!start_thread(pool, worker)) {
            lathe_pool_free(pool);
            return NULL;
        }
    }
    return pool;
}

lathe_pool *lathe_pool_new(int n_threads) {
    return lathe_pool_new_with(n_threads, NULL, NULL);
}

void lathe_pool_free(lathe_pool *pool) {
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    atomic_fetch_add(&pool->arrivals, 1);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int32_t i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* The same chunks without any pool. */
static int32_t run_alone(int64_t n, int64_t grain, lathe_pool_fn fn, void *user) {
    for (int64_t begin = 0; begin < n;) {
        int64_t end = n - begin > grain ? begin + grain : n;
        int32_t code = fn(user, begin, end, 0);
        if (code != LATHE_OK)
            return code;
        begin = end;
    }
    return LATHE_OK;
}

/* Puts a job into the list, and tells how many threads to wake that can be of use beside those that spin. Under the
 * lock. */
static int64_t offer(lathe_pool *pool, job *j, int64_t wanted) {
    j->next = pool->jobs;
    j->link = &pool->jobs;
    if (j->next != NULL)
        j->next->link = &j->next;
    pool->jobs = j;
    atomic_fetch_add_explicit(&pool->arrivals, 1, memory_order_relaxed);
    if (wanted > pool->most_awake - pool->working)
        wanted = pool->most_awake - pool->working;
    wanted -= pool->spinners; /* they look for a job before they sleep */
    return wanted < pool->sleepers ? wanted : pool->sleepers;
}

static void withdraw(job *j) {
    *j->link = j->next;
    if (j->next != NULL)
        j->next->link = j->link;
}

/* An outside caller: takes part as worker 0 when that place is free, else waits for it or for the end. */
static void help_from_outside(lathe_pool *pool, job *j) {
    lock(pool);
    while (pool->caller_busy && (has_chunks(j) || has_helpers(j))) {
        if (atomic_fetch_or_explicit(&j->helpers, SLEEPER, memory_order_acq_rel) < HELPER &&
            !has_chunks(j))
            break;
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    bool mine = !pool->caller_busy && has_chunks(j);
    if (mine)
        pool->caller_busy = true;
    unlock(pool);
    if (!mine)
        return;
    work_on(pool, j, 0);
    lock(pool);
    pool->caller_busy = false;
    pthread_cond_broadcast(&pool->changed);
    unlock(pool);
}

/* Nothing is left to claim here, but others may be at work on what they claimed. */
static void wait_for_helpers(lathe_pool *pool, job *j) {
    if (pool->most_spinning > 0)
        spin_for_helpers(j);
    if (!has_helpers(j))
        return;
    lock(pool);
    atomic_fetch_or_explicit(&j->helpers, SLEEPER, memory_order_acq_rel);
    while (has_helpers(j))
        pthread_cond_wait(&pool->changed, &pool->lock);
    unlock(pool);
}

int32_t lathe_pool_run(lathe_pool *pool, int64_t n, int64_t grain, lathe_pool_fn fn, void *user) {
    if (grain < 1 || fn == NULL)
        return LATHE_E_INVALID;
    if (n <= 0)
        return LATHE_OK;
    if (pool == NULL)
        return run_alone(n, grain, fn, user);
    job j = {.fn = fn, .user = user, .n = n, .grain = grain};
    j.chunks = n / grain + (n % grain != 0);
    atomic_init(&j.claimed, 0);
    atomic_init(&j.failed_chunk, INT64_MAX);
    atomic_init(&j.helpers, 0);
    int32_t worker = lathe_pool_current_worker(pool);
    if (worker >= 0 && (j.chunks == 1 || pool->n == 1)) {
        work_on(pool, &j, worker); /* nobody else to ask: no list, no wake-up */
        return j.code;
    }
    lock(pool);
    int64_t wake = offer(pool, &j, worker >= 0 || !pool->caller_busy ? j.chunks - 1 : j.chunks);
    unlock(pool);
    for (; wake > 0; wake--)
        pthread_cond_signal(&pool->work);
    if (worker >= 0)
        work_on(pool, &j, worker);
    else
        help_from_outside(pool, &j);
    lock(pool);
    withdraw(&j);
    unlock(pool);
    wait_for_helpers(pool, &j);
    return j.code;
}
