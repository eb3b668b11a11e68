/* A descriptor's number that libuv closed is another thread's next file: under ThreadSanitizer no race. The threads are
 * ordered by nothing that it knows of. */
#include "base/sanitizer.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static atomic_int wanted; /* the number that was closed; -1: not yet */

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* memfd_create is as invisible as libuv's close; close is not. */
static void *take_number(void *unused) {
    (void)unused;
    int number;
    while ((number = atomic_load_explicit(&wanted, memory_order_relaxed)) < 0)
        nap();
    const int fd = memfd_create("next", MFD_CLOEXEC);
    const int same = fcntl(fd, F_DUPFD_CLOEXEC, number);
    close(same);
    close(fd);
    return same >= number ? NULL : &wanted;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    static char chunk[64];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(chunk, sizeof chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    (void)buf;
    if (n < 0)
        uv_close((uv_handle_t *)stream, NULL);
}

START_TEST(what_libuv_closed_is_free) {
    pthread_t thread;
    void *failed;
    uv_loop_t loop;
    uv_pipe_t reader;
    uv_file ends[2];
    atomic_store(&wanted, -1);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_number, NULL), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(uv_pipe_init(&loop, &reader, 0), 0);
    ck_assert_int_eq(uv_pipe(ends, UV_NONBLOCK_PIPE, 0), 0);
    ck_assert_int_eq(uv_pipe_open(&reader, ends[0]), 0);
    ck_assert_int_eq(uv_read_start((uv_stream_t *)&reader, on_alloc, on_read), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    close(ends[1]);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    atomic_store_explicit(&wanted, ends[0], memory_order_relaxed);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sanitizer");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, what_libuv_closed_is_free);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
