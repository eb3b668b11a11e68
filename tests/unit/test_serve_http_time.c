/* The HTTP server and those who are slow: absolute deadlines of heads, bodies and answers. */
#include "support_http.h"

#include "serve/http/http.h"

#include <poll.h>

/* Sends a byte now and then until the server has had enough. */
static int64_t drip(int fd, const char *text) {
    const int64_t begun = now_ms();
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (*text != '\0' && poll(&readable, 1, 15) == 0)
        if (send(fd, text++, 1, MSG_NOSIGNAL) != 1)
            break;
    poll(&readable, 1, 5000);
    return now_ms() - begun;
}

START_TEST(cuts_the_slow) {
    http_start(&hasty, NULL);
    int fd = dial();
    int64_t took =
        drip(fd, "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    is_json_error(hear(fd), 408);
    ck_assert_int_ge(took, 140);
    ck_assert_int_lt(took, 1500);
    fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    took = drip(
        fd, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    is_json_error(hear(fd), 408);
    ck_assert_int_ge(took, 190);
    ck_assert_int_lt(took, 1500);
    fd = dial(); /* idle: after an answer, and from the start; both end without a word */
    const int mute = dial();
    say(fd, POST("/", "2", "hi"));
    hears(fd, 200, "hi");
    took = now_ms();
    ck_assert_str_eq(hear(fd), "");
    ck_assert_str_eq(hear(mute), "");
    ck_assert_int_lt(now_ms() - took, 1500);
    fd = dial(); /* an answer that takes its time is not the client's fault */
    say(fd, GET("/later?ms=600&x"));
    hears(fd, 200, "ms=600&x");
    close(fd);
    http_stop();
}
END_TEST

START_TEST(cuts_a_slow_reader) {
    http_start(&hasty, NULL);
    const int fd = dial_small(4096);
    char some[1000];
    size_t got = 0;
    ssize_t n;
    say(fd, GET("/big"));
    const int64_t begun = now_ms();
    while ((n = recv(fd, some, sizeof some, 0)) > 0 && now_ms() - begun < 400) {
        got += (size_t)n; /* steadily, but too slowly */
        nap(10);
    }
    while ((n = recv(fd, some, sizeof some, 0)) > 0)
        got += (size_t)n;
    ck_assert_uint_lt(got, BIG);
    close(fd);
    http_stop();
}
END_TEST

START_TEST(sends_a_big_answer) {
    http_start(NULL, NULL);
    const int fd = dial();
    say(fd, GET("/big") POST("/", "3", "end"));
    char *body = malloc(BIG + 1);
    nap(50);
    ck_assert_int_eq(hear_one(fd, body, BIG + 1), 200);
    hears(fd, 200, "end");
    free(body);
    close(fd);
    http_stop();
}
END_TEST

int main(void) {
    const http_test tests[] = {{"slow", cuts_the_slow},
                               {"slow reader", cuts_a_slow_reader},
                               {"big answer", sends_a_big_answer}};
    return http_run("serve/http_time", tests, sizeof tests / sizeof *tests);
}
