/* The HTTP server and its clients: who leaves, how many there are, and what becomes of them when it stops. */
#include "base/sanitizer.h"
#include "support_http.h"

#include "serve/http/http.h"

/* ---- clients that leave ---- */

START_TEST(notices_who_leaves) {
    http_start(NULL, NULL);
    int fd = dial();
    say(fd, GET("/later?ms=60000") GET("/later?ms=60000"));
    ck_assert(comes(&served.requests, 2));
    const int64_t begun = now_ms();
    close(fd);
    ck_assert(comes(&served.gone, 2));
    ck_assert_int_lt(now_ms() - begun, 1000);
    fd = dial(); /* by a reset */
    say(fd, GET("/later?ms=60000"));
    ck_assert(comes(&served.requests, 3));
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    ck_assert(comes(&served.gone, 3));
    fd = dial(); /* in the middle of a request: nobody is told */
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    close(fd);
    fd = dial(); /* whose owner answers without having asked for the news */
    say(fd, GET("/forget"));
    ck_assert(comes(&served.requests, 4));
    close(fd);
    nap(50);
    fd = dial();
    say(fd, GET("/remember"));
    hears(fd, 204, "");
    close(fd);
    ck_assert_int_eq(atomic_load(&served.gone), 3);
    http_stop();
}
END_TEST

START_TEST(streams) {
    http_start(NULL, NULL);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *text = hear(fd);
    ck_assert_ptr_nonnull(strstr(text, "transfer-encoding: chunked\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 1\n\n\r\n"));
    ck_assert_str_eq(text + strlen(text) - 7, "\r\n0\r\n\r\n");
    fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    text = hear(fd);
    ck_assert_ptr_null(strstr(text, "chunked"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\ndata: 1\n\ndata: 1\n\n"));
    fd = dial(); /* its end, and the answer behind it */
    say(fd, GET("/stream") "GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    text = hear(fd);
    ck_assert_ptr_nonnull(strstr(text, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    fd = dial(); /* one who does not read is cut once 1 MiB waits */
    say(fd, GET("/flood"));
    ck_assert(comes(&served.stream_ends, 1));
    ck_assert(comes(&served.gone, 1));
    close(fd);
    fd = dial(); /* one who leaves */
    say(fd, GET("/stream"));
    close(fd);
    ck_assert(comes(&served.gone, 2));
    http_stop();
}
END_TEST

/* ---- many ---- */

START_TEST(caps_connections) {
    static const lathe_http_limits limits = {.max_connections = 2};
    http_start(&limits, NULL);
    const int a = dial(), b = dial();
    say(a, POST("/", "1", "a"));
    hears(a, 200, "a");
    say(b, POST("/", "1", "b"));
    hears(b, 200, "b");
    int fd = dial();
    say(fd, GET("/"));
    const char *text = hear(fd);
    is_json_error(text, 503);
    ck_assert_ptr_nonnull(strstr(text, "retry-after: "));
    ck_assert_uint_eq(atomic_load(&served.connections), 2);
    close(a);
    for (int i = 0; i < 100; i++) { /* room again, once the server has noticed */
        nap(20);
        fd = dial();
        say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc");
        if (strstr(hear(fd), "200 OK") != NULL)
            break;
        ck_assert_int_lt(i, 99);
    }
    close(b);
    http_stop();
}
END_TEST

/* Memory in use. Sanitizers add pages of their own to the resident size as frames and blocks come and go (the
 * fake stacks of detect_stack_use_after_return: 3 MiB here, with a quarantine and without): there, the bytes
 * not yet freed count, to the same limit. */
#if LATHE_ASAN || LATHE_TSAN
size_t __sanitizer_get_current_allocated_bytes(void);
static long used_kib(void) {
    return (long)(__sanitizer_get_current_allocated_bytes() / 1024);
}
#else
static long used_kib(void) {
    long total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_int_eq(fscanf(file, "%ld %ld", &total, &pages), 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
#endif

START_TEST(ten_thousand_on_one_connection) {
    http_start(NULL, NULL);
    const int fd = dial();
    long before = 0;
    for (int i = 0; i < 10000; i++) {
        say(fd, POST("/x", "12", "hello, world"));
        hears(fd, 200, "hello, world");
        if (i == 1000)
            before = used_kib();
    }
    ck_assert_int_lt(used_kib() - before, 2000); /* 1/5 KiB a request would be seen */
    close(fd);
    http_stop();
}
END_TEST

/* ---- stopping ---- */

START_TEST(finishes_what_is_under_way) {
    http_start(NULL, NULL);
    const int idle = dial(), slow = dial(), half = dial();
    say(idle, POST("/", "1", "i"));
    hears(idle, 200, "i");
    say(slow, GET("/later?ms=250&a"));
    say(half, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    ck_assert(comes(&served.requests, 2));
    nap(30);
    ask_stop();
    ck_assert_str_eq(hear(idle), "");
    say(half, "cd");
    const char *text = hear(half);
    ck_assert_ptr_nonnull(strstr(text, "\r\nconnection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "abcd"));
    text = hear(slow);
    ck_assert_ptr_nonnull(strstr(text, "\r\nconnection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "ms=250&a"));
    http_finish();
}
END_TEST

START_TEST(cuts_after_the_grace) {
    http_start(NULL, NULL);
    served.grace_ms = 200;
    const int fd = dial();
    say(fd, GET("/later?ms=60000"));
    ck_assert(comes(&served.requests, 1));
    const int64_t begun = now_ms();
    http_stop();
    ck_assert_int_lt(now_ms() - begun, 2000);
    ck_assert_int_eq(atomic_load(&served.gone), 1);
    close(fd);
}
END_TEST

int main(void) {
    const http_test tests[] = {{"leaving", notices_who_leaves},
                               {"streams", streams},
                               {"cap", caps_connections},
                               {"many", ten_thousand_on_one_connection},
                               {"stop", finishes_what_is_under_way},
                               {"grace", cuts_after_the_grace}};
    return http_run("serve/http_clients", tests, sizeof tests / sizeof *tests);
}
