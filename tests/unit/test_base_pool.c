/* base: the compute pool: every chunk once, fixed bounds, nesting, errors, many callers, thread count. */
#include "base/clock.h"
#include "base/cpu.h"
#include "base/pool.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 5

typedef struct cover {
    int64_t n, grain;
    _Atomic int *touched;
    atomic_int bad;
    atomic_int inside[MOST]; /* chunks at work now, by worker */
    int workers;
} cover;

static int32_t touch(void *user, int64_t begin, int64_t end, int32_t worker) {
    cover *c = user;
    if (worker < 0 || worker >= c->workers || atomic_fetch_add(&c->inside[worker], 1) != 0)
        atomic_fetch_add(&c->bad, 1);
    int64_t expected_end = begin + c->grain < c->n ? begin + c->grain : c->n;
    if (begin % c->grain != 0 || end != expected_end)
        atomic_fetch_add(&c->bad, 1);
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(&c->touched[i], 1, memory_order_relaxed);
    if (worker >= 0 && worker < c->workers)
        atomic_fetch_sub(&c->inside[worker], 1);
    return LATHE_OK;
}

START_TEST(every_index_runs_once) {
    lathe_pool *pool = lathe_pool_new(_i);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(lathe_pool_workers(pool), _i);
    const int64_t sizes[] = {0, 1, 2, 7, 64, 1000, 4097};
    const int64_t grains[] = {1, 3, 64, 10000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++) {
            cover c = {.n = sizes[s], .grain = grains[g], .workers = _i};
            c.touched = calloc((size_t)sizes[s] + 1, sizeof *c.touched);
            ck_assert_int_eq(lathe_pool_run(pool, c.n, c.grain, touch, &c), LATHE_OK);
            ck_assert_int_eq(atomic_load(&c.bad), 0);
            for (int64_t i = 0; i < c.n; i++)
                ck_assert_int_eq(c.touched[i], 1);
            free(c.touched);
        }
    }
    ck_assert_int_eq(lathe_pool_current_worker(pool), -1);
    lathe_pool_free(pool);
}
END_TEST

START_TEST(bad_arguments_are_refused) {
    lathe_pool *pool = lathe_pool_new(2);
    ck_assert_int_eq(lathe_pool_run(pool, 5, 0, touch, NULL), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_pool_run(pool, 5, 1, NULL, NULL), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_pool_run(pool, -5, 1, touch, NULL), LATHE_OK);
    lathe_pool_free(pool);
    ck_assert_ptr_null(lathe_pool_new(-1));
    ck_assert_ptr_null(lathe_pool_new(100000));
    lathe_pool_free(NULL);
    cover c = {.n = 10, .grain = 3, .workers = 1};
    c.touched = calloc(10, sizeof *c.touched);
    ck_assert_int_eq(lathe_pool_run(NULL, 10, 3, touch, &c), LATHE_OK);
    ck_assert_int_eq(c.touched[9], 1);
    ck_assert_int_eq(lathe_pool_workers(NULL), 1);
    free(c.touched);
}
END_TEST

/* ---- nesting ---- */

typedef struct nest {
    lathe_pool *pool;
    int depth;
    atomic_llong *sum;
    _Atomic int *busy; /* [workers]: level at which a worker computes, a leaf only */
    atomic_int bad;
} nest;

static int32_t nested(void *user, int64_t begin, int64_t end, int32_t worker) {
    nest *n = user;
    if (lathe_pool_current_worker(n->pool) != worker)
        atomic_fetch_add(&n->bad, 1);
    if (n->depth == 0) {
        if (atomic_exchange(&n->busy[worker], 1) != 0)
            atomic_fetch_add(&n->bad, 1);
        for (int64_t i = begin; i < end; i++)
            atomic_fetch_add_explicit(n->sum, i, memory_order_relaxed);
        atomic_store(&n->busy[worker], 0);
        return LATHE_OK;
    }
    for (int64_t i = begin; i < end; i++) {
        nest below = {n->pool, n->depth - 1, n->sum, n->busy, 0};
        int32_t code = lathe_pool_run(n->pool, 10, 3, nested, &below);
        if (code != LATHE_OK || atomic_load(&below.bad) != 0)
            return LATHE_E_INTERNAL;
        if (lathe_pool_current_worker(n->pool) != worker)
            return LATHE_E_INTERNAL;
    }
    return LATHE_OK;
}

START_TEST(nested_calls_share_the_pool) {
    lathe_pool *pool = lathe_pool_new(_i);
    atomic_llong sum = 0;
    _Atomic int busy[MOST];
    for (int i = 0; i < MOST; i++)
        atomic_init(&busy[i], 0);
    nest n = {pool, 3, &sum, busy, 0};
    ck_assert_int_eq(lathe_pool_run(pool, 10, 1, nested, &n), LATHE_OK);
    ck_assert_int_eq(atomic_load(&n.bad), 0);
    ck_assert_int_eq(atomic_load(&sum), 1000 * 45);
    lathe_pool_free(pool);
}
END_TEST

/* ---- errors ---- */

typedef struct failing {
    int64_t first, second;
    atomic_int runs;
} failing;

static int32_t fail_at(void *user, int64_t begin, int64_t end, int32_t worker) {
    failing *f = user;
    (void)end;
    (void)worker;
    atomic_fetch_add(&f->runs, 1);
    if (begin == f->first) {
        usleep(200); /* so that the second often fails before the first does */
        return LATHE_E_DATA;
    }
    return begin >= f->second ? LATHE_E_NUMERIC : LATHE_OK;
}

START_TEST(lowest_failure_wins_and_stops_the_rest) {
    lathe_pool *pool = lathe_pool_new(_i);
    for (int round = 0; round < 50; round++) {
        failing f = {.first = 20, .second = 21};
        ck_assert_int_eq(lathe_pool_run(pool, 100000, 1, fail_at, &f), LATHE_E_DATA);
        ck_assert_int_ge(atomic_load(&f.runs), 21);
        ck_assert_int_lt(atomic_load(&f.runs), 1000);
    }
    failing last = {.first = 99, .second = 1000};
    ck_assert_int_eq(lathe_pool_run(pool, 100, 1, fail_at, &last), LATHE_E_DATA);
    failing single = {.first = 0, .second = 1000};
    ck_assert_int_eq(lathe_pool_run(pool, 1, 1, fail_at, &single), LATHE_E_DATA);
    lathe_pool_free(pool);
}
END_TEST

/* ---- many callers ---- */

typedef struct crowd {
    lathe_pool *pool;
    atomic_int now, most, bad;
    _Atomic int busy[MOST];
} crowd;

static int32_t count_threads(void *user, int64_t begin, int64_t end, int32_t worker) {
    crowd *c = user;
    (void)begin;
    (void)end;
    int now = atomic_fetch_add(&c->now, 1) + 1;
    int most = atomic_load(&c->most);
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    if (atomic_exchange(&c->busy[worker], 1) != 0)
        atomic_fetch_add(&c->bad, 1);
    for (volatile int i = 0; i < 300; i++)
        ;
    atomic_store(&c->busy[worker], 0);
    atomic_fetch_sub(&c->now, 1);
    return LATHE_OK;
}

static void *call_often(void *arg) {
    crowd *c = arg;
    for (int i = 0; i < 100; i++) {
        if (lathe_pool_run(c->pool, 1 + i % 40, 1, count_threads, c) != LATHE_OK)
            atomic_fetch_add(&c->bad, 1);
    }
    return NULL;
}

START_TEST(many_callers_never_make_more_threads) {
    crowd c = {.pool = lathe_pool_new(_i)};
    pthread_t callers[6];
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&callers[i], NULL, call_often, &c), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(callers[i], NULL);
    ck_assert_int_eq(atomic_load(&c.bad), 0);
    ck_assert_int_le(atomic_load(&c.most), _i);
    lathe_pool_free(c.pool);
}
END_TEST

/* ---- the same bits ---- */

typedef struct partial {
    const double *x;
    double sums[64];
} partial;

static int32_t sum_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    partial *p = user;
    (void)worker;
    double s = 0;
    for (int64_t i = begin; i < end; i++)
        s += p->x[i];
    p->sums[begin / 100] = s;
    return LATHE_OK;
}

START_TEST(sums_do_not_depend_on_the_threads) {
    double x[6400], first = 0;
    for (int i = 0; i < 6400; i++)
        x[i] = 1.0 / (i + 1) * (i % 3 == 0 ? -1 : 1e6);
    for (int threads = 1; threads <= MOST; threads++) {
        lathe_pool *pool = lathe_pool_new(threads);
        partial p = {.x = x};
        ck_assert_int_eq(lathe_pool_run(pool, 6400, 100, sum_chunk, &p), LATHE_OK);
        double total = 0;
        for (int i = 0; i < 64; i++)
            total += p.sums[i];
        if (threads == 1)
            first = total;
        ck_assert(total == first);
        lathe_pool_free(pool);
    }
}
END_TEST

/* ---- threads ---- */

static atomic_int started;
static atomic_int signals_open;

static void note_start(void *user, int32_t worker) {
    ck_assert_ptr_eq(user, &started);
    ck_assert_int_ge(worker, 1);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGINT) || sigismember(&mask, SIGSEGV))
        atomic_fetch_add(&signals_open, 1);
    atomic_fetch_add(&started, 1);
}

START_TEST(threads_tell_when_they_start) {
    atomic_store(&started, 0);
    lathe_pool *pool = lathe_pool_new_with(4, note_start, &started);
    for (int i = 0; i < 2000 && atomic_load(&started) < 3; i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&started), 3);
    ck_assert_int_eq(atomic_load(&signals_open), 0);
    lathe_pool_free(pool);
}
END_TEST

/* Beyond the cores no thread is started, unless the environment asks for them. */
START_TEST(threads_are_no_more_than_the_cores) {
    int cores = lathe_cpu_count();
    unsetenv("LATHE_OVERSUBSCRIBE");
    const int asked[] = {0, 1, cores, cores + 1, 1024};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        lathe_pool *pool = lathe_pool_new(asked[i]);
        ck_assert_int_eq(lathe_pool_workers(pool), i == 1 ? 1 : cores);
        lathe_pool_free(pool);
    }
    setenv("LATHE_OVERSUBSCRIBE", "1", 1);
    lathe_pool *pool = lathe_pool_new(cores + 1);
    ck_assert_int_eq(lathe_pool_workers(pool), cores + 1);
    lathe_pool_free(pool);
    setenv("LATHE_OVERSUBSCRIBE", "0", 1);
    pool = lathe_pool_new(cores + 1);
    ck_assert_int_eq(lathe_pool_workers(pool), cores);
    lathe_pool_free(pool);
}
END_TEST

static int32_t nothing(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)user;
    (void)begin;
    (void)end;
    (void)worker;
    return LATHE_OK;
}

/* An idle pool takes no processor time: 40 threads wait for 100 ms and use less than 50 ms between them. */
START_TEST(idle_threads_sleep) {
    lathe_pool *pool = lathe_pool_new(40);
    ck_assert_int_eq(lathe_pool_run(pool, 1000, 1, nothing, NULL), LATHE_OK);
    usleep(50000);
    clock_t before = clock();
    usleep(100000);
    double used = (double)(clock() - before) / CLOCKS_PER_SEC;
    ck_assert_double_lt(used, 0.05);
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(lathe_pool_run(pool, 50, 1, nothing, NULL), LATHE_OK);
    lathe_pool_free(pool);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base pool");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, every_index_runs_once, 1, MOST + 1);
    tcase_add_test(tc, bad_arguments_are_refused);
    tcase_add_loop_test(tc, nested_calls_share_the_pool, 1, MOST + 1);
    tcase_add_loop_test(tc, lowest_failure_wins_and_stops_the_rest, 1, MOST + 1);
    tcase_add_loop_test(tc, many_callers_never_make_more_threads, 1, MOST + 1);
    tcase_add_test(tc, sums_do_not_depend_on_the_threads);
    tcase_add_test(tc, threads_tell_when_they_start);
    tcase_add_test(tc, threads_are_no_more_than_the_cores);
    tcase_add_test(tc, idle_threads_sleep);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
