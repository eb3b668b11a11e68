#include "support_http.h"

#include "serve/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <time.h>

/* ---- the server ---- */

typedef struct later {
    uv_timer_t timer;
    lathe_exchange *exchange;
} later;

http_server served;

static void on_stopped(void *user) {
    (void)user;
    atomic_store(&served.stopped, 1);
    served.http = NULL;
}

static void on_stop(uv_async_t *async) {
    lathe_http_stop(served.http, served.grace_ms, on_stopped, NULL);
    uv_close((uv_handle_t *)async, NULL);
}

static void free_later(uv_handle_t *handle) {
    free(handle->data);
}

static void on_later(uv_timer_t *timer) {
    later *l = timer->data;
    const lathe_http_request *r = lathe_http_get(l->exchange);
    lathe_http_reply(l->exchange, 200, "text/plain", NULL, r->query, strlen(r->query));
    uv_close((uv_handle_t *)timer, free_later);
}

static void on_gone(void *user) {
    later *l = user;
    atomic_fetch_add(&served.gone, 1);
    uv_close((uv_handle_t *)&l->timer, free_later);
}

static void answer_later(lathe_exchange *e, uint64_t ms) {
    later *l = calloc(1, sizeof *l);
    l->exchange = e;
    l->timer.data = l;
    uv_timer_init(&served.loop, &l->timer);
    uv_timer_start(&l->timer, on_later, ms, 0);
    lathe_http_on_gone(e, on_gone, l);
}

static void on_event(uv_timer_t *timer) {
    later *l = timer->data;
    static char lump[1 << 16];
    const bool flood = strcmp(lathe_http_get(l->exchange)->path, "/flood") == 0;
    const bool goes_on = flood ? lathe_http_stream_write(l->exchange, lump, sizeof lump)
                               : lathe_http_stream_write(l->exchange, "data: 1\n\n", 9);
    if (!flood && goes_on && uv_timer_get_repeat(timer) >= 5) {
        lathe_http_stream_end(l->exchange);
        uv_close((uv_handle_t *)timer, free_later);
    } else if (!goes_on) {
        atomic_fetch_add(&served.stream_ends, 1);
        uv_timer_stop(timer); /* on_gone frees */
    } else {
        uv_timer_set_repeat(timer, uv_timer_get_repeat(timer) + !flood);
    }
}

static void stream(lathe_exchange *e) {
    later *l = calloc(1, sizeof *l);
    l->exchange = e;
    l->timer.data = l;
    lathe_http_stream_begin(e, 200, "text/event-stream");
    uv_timer_init(&served.loop, &l->timer);
    uv_timer_start(&l->timer, on_event, 1, 3);
    lathe_http_on_gone(e, on_gone, l);
}

static void in_place(lathe_exchange *e, const lathe_http_request *r) {
    uint8_t *room = lathe_http_reserve(e, r->body_len + 100);
    if (room == NULL) {
        lathe_http_fail(e, 503, NULL, "out of memory");
        return;
    }
    memset(room, 'r', r->body_len);
    static char headers[1024]; /* longer than the room kept for a head */
    memcpy(headers, "x-long: ", 8);
    memset(headers + 8, 'h', 900);
    memcpy(headers + 908, "\r\n", 3);
    lathe_http_commit(e, 200, "text/plain", r->query[0] ? headers : NULL, r->body_len);
}

static void on_request(void *user, lathe_exchange *e) {
    (void)user;
    const lathe_http_request *r = lathe_http_get(e);
    char ms[16];
    atomic_fetch_add(&served.requests, 1);
    atomic_store(&served.connections, lathe_http_connections(served.http));
    if (strcmp(r->path, "/later") == 0 && lathe_http_query(e, "ms", ms, sizeof ms) != NULL) {
        answer_later(e, (uint64_t)atoi(ms));
    } else if (strcmp(r->path, "/stream") == 0 || strcmp(r->path, "/flood") == 0) {
        stream(e);
    } else if (strcmp(r->path, "/big") == 0) {
        char *big = calloc(1, BIG);
        lathe_http_reply(e, 200, "application/octet-stream", NULL, big, BIG);
        free(big);
    } else if (strcmp(r->path, "/place") == 0) {
        in_place(e, r);
    } else if (strcmp(r->path, "/forget") == 0) {
        served.silent = e; /* no on_gone: its owner answers some day */
    } else if (strcmp(r->path, "/remember") == 0) {
        lathe_http_reply(served.silent, 200, NULL, NULL, "late", 4);
        lathe_http_reply(e, 204, NULL, NULL, NULL, 0);
    } else if (strcmp(r->path, "/fail") == 0) {
        lathe_http_fail(e, 404, "x-more: 1\r\n", "no \"%s\" \xff here", r->query);
    } else if (strcmp(r->path, "/bound") == 0 && lathe_http_query(e, "n", ms, sizeof ms) != NULL) {
        lathe_http_set_limits(served.http, &(lathe_http_limits){.max_body = (size_t)atoi(ms)});
        lathe_http_reply(e, 200, NULL, NULL, "", 0);
    } else if (strcmp(r->path, "/peer") == 0) {
        const char *peer = lathe_http_peer(e);
        lathe_http_reply(e, 200, "text/plain", NULL, peer, strlen(peer));
    } else {
        lathe_http_reply(e, 200, "text/plain", "x-path: here\r\n", r->body, r->body_len);
    }
}

static void *serve(void *user) {
    (void)user;
    uv_run(&served.loop, UV_RUN_DEFAULT);
    return NULL;
}

void http_start(const lathe_http_limits *limits, void *tls) {
    memset(&served, 0, sizeof served);
    served.grace_ms = 5000;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 256), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    served.port = ntohs(at.sin_port);
    lathe_http_options options = {.on_request = on_request, .server_name = "test", .tls = tls};
    if (limits != NULL)
        options.limits = *limits;
    lathe_error err = {0};
    ck_assert_int_eq(uv_loop_init(&served.loop), 0);
    ck_assert_int_eq(uv_async_init(&served.loop, &served.stop, on_stop), 0);
    ck_assert_int_eq(lathe_http_start(&served.loop, fd, &options, &served.http, &err), LATHE_OK);
    ck_assert_int_eq(pthread_create(&served.thread, NULL, serve, NULL), 0);
}

void ask_stop(void) {
    uv_async_send(&served.stop);
}

void http_finish(void) {
    pthread_join(served.thread, NULL);
    ck_assert_int_eq(atomic_load(&served.stopped), 1);
    ck_assert_int_eq(uv_loop_close(&served.loop), 0); /* nothing was left open */
}

void http_stop(void) {
    ask_stop();
    http_finish();
}

/* ---- clients ---- */

int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void nap(int ms) {
    poll(NULL, 0, ms);
}

bool comes(atomic_int *what, int want) {
    for (int i = 0; i < 500 && atomic_load(what) < want; i++)
        nap(10);
    return atomic_load(what) == want;
}

int dial_small(int receive_buffer) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    const struct timeval patience = {.tv_sec = 20};
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)served.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

int dial(void) {
    return dial_small(0);
}

void say(int fd, const char *text) {
    const size_t len = strlen(text);
    if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        ck_abort_msg("the server does not take: %.60s", text);
}

/* Reads to the end of the connection. */
char *hear(int fd) {
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    ck_assert_msg(n == 0, "the connection ended in: %s", strerror(errno));
    text[len] = '\0';
    close(fd);
    return text;
}

/* One answer with a Content-Length; returns its status, and the body in `body`. (Each ck_assert allocates, so the
 * loops here only abort.) */
int hear_one(int fd, char *body, size_t size) {
    char head[4096];
    size_t n = 0, length = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n == sizeof head - 1 || recv(fd, head + n, 1, 0) != 1)
            ck_abort_msg("no whole head came, but %zu bytes: %.*s", n, (int)n, head);
        n++;
    }
    head[n] = '\0';
    const char *at = strstr(head, "content-length: ");
    if (at != NULL)
        length = strtoul(at + 16, NULL, 10);
    if (length >= size)
        ck_abort_msg("a body of %zu bytes is announced", length);
    for (size_t got = 0; got < length;) {
        const ssize_t r = recv(fd, body + got, length - got, 0);
        if (r <= 0)
            ck_abort_msg("the body ends after %zu of %zu bytes", got, length);
        got += (size_t)r;
    }
    body[length] = '\0';
    return atoi(head + 9);
}

void hears(int fd, int status, const char *want) {
    char body[4096];
    const int got = hear_one(fd, body, sizeof body);
    if (got != status || strcmp(body, want) != 0)
        ck_abort_msg("%d, not %d: %s", got, status, body);
}

void is_json_error(const char *text, int status) {
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "not %d: %.200s", status, text);
    ck_assert_ptr_nonnull(strstr(text, "\r\ncontent-type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\nconnection: close\r\n"));
    const char *body = strstr(text, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    ck_assert_msg(strncmp(body, "\r\n\r\n{\"error\":\"", 14) == 0, "%s", text);
    ck_assert_str_eq(body + strlen(body) - 2, "\"}");
}

/* Reads what must come next. */
void hears_text(int fd, const char *want) {
    char got[256] = "";
    const size_t len = strlen(want);
    for (size_t n = 0; n < len;) {
        const ssize_t more = recv(fd, got + n, len - n, 0);
        if (more <= 0)
            ck_abort_msg("the connection ended after: %s", got);
        n += (size_t)more;
    }
    ck_assert_str_eq(got, want);
}

const lathe_http_limits hasty = {.head_ms = 150, .body_ms = 200, .idle_ms = 250, .write_ms = 300};

/* ---- the suite ---- */

int http_run(const char *name, const http_test *tests, size_t n) {
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < n; i++) {
        TCase *t = tcase_create(tests[i].name);
        tcase_add_test(t, tests[i].test);
        suite_add_tcase(suite, t);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
