/* The HTTP server over real sockets on 127.0.0.1: requests and answers. */
#include "support_http.h"

#include "serve/http/http.h"

#include <arpa/inet.h>

START_TEST(bounds_change_for_what_begins) {
    static const lathe_http_limits limits = {.max_body = 100};
    const char *body = "0123456789012345678901234567890123456789";
    http_start(&limits, NULL);
    const int old = dial(), other = dial();
    say(old, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n");
    hears_text(old, "HTTP/1.1 100 Continue\r\n\r\n");
    say(other, GET("/bound?n=20"));
    hears(other, 200, "");
    say(old, body);
    hears(old, 200, body);
    say(old, POST("/", "20", "01234567890123456789"));
    hears(old, 200, "01234567890123456789");
    say(other, GET("/bound?n=0")); /* the default */
    hears(other, 200, "");
    say(other, POST("/", "40", "0123456789012345678901234567890123456789"));
    hears(other, 200, body);
    say(other, GET("/bound?n=20"));
    hears(other, 200, "");
    say(old, POST("/", "21", ""));
    is_json_error(hear(old), 413);
    close(other);
    http_stop();
}
END_TEST

START_TEST(every_error_is_json) {
    static const lathe_http_limits limits = {.max_head = 2000, .max_body = 100};
    static const struct {
        int status;
        const char *text;
    } cases[] = {{400, "nonsense\r\n\r\n"},
                 {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n0\r\n\r\n"},
                 {400, GET("/../etc/passwd")},
                 {411, "POST / HTTP/1.0\r\n\r\n"},
                 {413, POST("/", "101", "")},
                 {415, "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n\r\n"},
                 {417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"},
                 {501, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
                 {505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"}};
    http_start(&limits, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int fd = dial();
        say(fd, cases[i].text);
        is_json_error(hear(fd), cases[i].status);
    }
    static char large[4000];
    for (int in_line = 0; in_line < 2; in_line++) {
        memset(large, 'a', sizeof large - 1);
        memcpy(large, in_line ? "GET /" : "GET / HTTP/1.1\r\nX: ", in_line ? 5 : 19);
        const int fd = dial();
        say(fd, large);
        is_json_error(hear(fd), in_line ? 414 : 431);
    }
    ck_assert_int_eq(atomic_load(&served.requests), 0);
    http_stop();
}
END_TEST

START_TEST(answers_what_a_handler_says) {
    http_start(NULL, NULL);
    int fd = dial();
    say(fd, POST("/a%20b", "5", "hello"));
    hears(fd, 200, "hello");
    say(fd, GET("/fail?x\"y"));
    hears(fd, 404, "{\"error\":\"no \\\"x\\\"y\\\" \xef\xbf\xbd here\"}");
    say(fd,
        "PUT /remember_not HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    nap(30);
    say(fd, "2\r\nde\r\n0\r\n\r\n");
    hears(fd, 200, "abcde");
    say(fd, POST("/place", "4", "....") POST("/place?x", "2", "..") GET("/place"));
    hears(fd, 200, "rrrr");
    hears(fd, 200, "rr");
    hears(fd, 200, "");
    char want[64], body[64];
    struct sockaddr_in me;
    socklen_t len = sizeof me;
    getsockname(fd, (struct sockaddr *)&me, &len);
    snprintf(want, sizeof want, "127.0.0.1:%d", ntohs(me.sin_port));
    say(fd, GET("/peer"));
    ck_assert_int_eq(hear_one(fd, body, sizeof body), 200);
    ck_assert_str_eq(body, want);
    say(fd, "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    const char *text = hear(fd);
    ck_assert_ptr_nonnull(strstr(text, "content-length: 3\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "x-path: here\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "server: test\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "date: "));
    ck_assert_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    fd = dial();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(hear(fd), "connection: close\r\n"));
    fd = dial();
    say(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hears(fd, 200, "");
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(hear(fd), "HTTP/1.1 200 OK"));
    http_stop();
}
END_TEST

START_TEST(a_byte_at_a_time) {
    http_start(NULL, NULL);
    const int fd = dial();
    static const char text[] = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "4;a=b\r\nwhat\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n" GET("/fail?z");
    for (size_t i = 0; i + 1 < sizeof text; i++)
        ck_assert_int_eq(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
    hears(fd, 200, "what!");
    hears(fd, 404, "{\"error\":\"no \\\"z\\\" \xef\xbf\xbd here\"}");
    close(fd);
    http_stop();
}
END_TEST

START_TEST(answers_in_order) {
    static const lathe_http_limits limits = {.max_pipelined = 3};
    http_start(&limits, NULL);
    const int fd = dial();
    say(fd, GET("/later?ms=120&a") GET("/later?ms=5&b") POST("/", "1", "c") GET("/later?ms=60&d")
                GET("/place") GET("/later?ms=1&e") POST("/", "1", "f"));
    static const char *const want[] = {"ms=120&a", "ms=5&b", "c", "ms=60&d", "", "ms=1&e", "f"};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        hears(fd, 200, want[i]);
    say(fd, "GET /later?ms=20&g HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/never"));
    ck_assert_ptr_nonnull(strstr(hear(fd), "ms=20&g"));
    ck_assert_int_eq(atomic_load(&served.requests), 8);
    http_stop();
}
END_TEST

START_TEST(takes_a_large_body) {
    http_start(NULL, NULL);
    const int fd = dial();
    const size_t size = 3000000;
    char *body = malloc(size + 1), *got = malloc(size + 1), head[128];
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i % 23 + i / 1000 % 3);
    body[size] = '\0';
    for (int chunked = 0; chunked < 2; chunked++) {
        snprintf(head, sizeof head,
                 chunked ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
                         : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 size);
        say(fd, head);
        for (size_t at = 0; at < size;) {
            const ssize_t n = send(fd, body + at, size - at, MSG_NOSIGNAL);
            ck_assert_int_gt(n, 0);
            at += (size_t)n;
        }
        if (chunked)
            say(fd, "\r\n0\r\n\r\n");
        ck_assert_int_eq(hear_one(fd, got, size + 1), 200);
        ck_assert(memcmp(got, body, size) == 0);
    }
    close(fd);
    free(body);
    free(got);
    http_stop();
}
END_TEST

START_TEST(continues_on_request) {
    http_start(NULL, NULL);
    const int fd = dial();
    char body[16];
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    ck_assert_int_eq(hear_one(fd, body, sizeof body), 100);
    say(fd, "ok");
    hears(fd, 200, "ok");
    /* behind an open answer the 100 waits for its turn */
    say(fd, GET("/later?ms=60&a") "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: "
                                  "100-Continue\r\n\r\n");
    hears(fd, 200, "ms=60&a");
    ck_assert_int_eq(hear_one(fd, body, sizeof body), 100);
    say(fd, "ok");
    hears(fd, 200, "ok");
    /* and one whose body is already there gets none */
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok");
    hears(fd, 200, "ok");
    close(fd);
    http_stop();
}
END_TEST

int main(void) {
    const http_test tests[] = {{"errors", every_error_is_json},
                               {"bounds", bounds_change_for_what_begins},
                               {"answers", answers_what_a_handler_says},
                               {"bytes", a_byte_at_a_time},
                               {"order", answers_in_order},
                               {"large body", takes_a_large_body},
                               {"continue", continues_on_request}};
    return http_run("serve/http", tests, sizeof tests / sizeof *tests);
}
