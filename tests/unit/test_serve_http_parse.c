/* Requests from bytes, without sockets: what is refused and why, however the bytes are cut. */
#include "serve/http/parse.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lathe_http_limits limits = {.max_head = 4096, .max_body = 10000};

/* Feeds in pieces of `step` bytes; *taken is how many the request used. */
static http_event parse(http_parse *p, const char *text, size_t len, size_t step, size_t *taken) {
    http_parse_begin(p, &limits);
    http_event event = HTTP_NEED_MORE;
    size_t at = 0;
    while (at < len && event <= HTTP_HEAD_DONE) {
        size_t used = 0, n = len - at < step ? len - at : step;
        event = http_parse_feed(p, (const uint8_t *)text + at, n, &used);
        ck_assert_uint_le(used, n);
        ck_assert_msg(used > 0 || event > HTTP_HEAD_DONE, "no byte taken and no end");
        at += used;
    }
    *taken = at;
    return event;
}

static void refused(int status, const char *text, size_t len) {
    static const size_t steps[] = {1, 2, 7, 1 << 20};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        http_parse p = {0};
        size_t taken;
        const http_event event = parse(&p, text, len, steps[i], &taken);
        ck_assert_msg(event == HTTP_REFUSED, "taken, though %d was due: %s", status, text);
        ck_assert_msg(p.status == status, "%d (%s), not %d: %s", p.status, p.reason, status, text);
        ck_assert_ptr_nonnull(p.reason);
        http_parse_free(&p);
    }
}

#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H

START_TEST(refuses_what_smuggles) {
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
        {400, POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
        {400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
        {400, POST "Content-Length: 3, 3\r\n\r\nabc"},
        {400, POST "Content-Length: +3\r\n\r\nabc"},
        {400, POST "Content-Length: -1\r\n\r\nabc"},
        {400, POST "Content-Length: 0x3\r\n\r\nabc"},
        {400, POST "Content-Length: 3 4\r\n\r\nabc"},
        {400, POST "Content-Length: \r\n\r\nabc"},
        {400, POST "Content-Length: 3;a\r\n\r\nabc"},
        {400, POST "Content-Length : 3\r\n\r\nabc"},
        {400, POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "X: a\r\n folded: b\r\n\r\n"},
        {400, POST "X: a\r\n\tfolded: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\n" H "\r\n"},
        {400, POST "X: a\n\r\n"},
        {400, POST "X: a\r\n\n"},
        {400, POST "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "X: \rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "\r\r\n\r\n"},
        {400, POST ": nameless\r\n\r\n"},
        {400, POST "X(y): a\r\n\r\n"},
        {400, POST "no colon\r\n\r\n"},
        {400, POST "X\r\nY: b\r\n\r\n"},
        {400, POST "X: a\001b\r\n\r\n"},
        {400, POST "X: a\177b\r\n\r\n"},
        {400, POST "X\303\244: a\r\n\r\n"},
        {400, POST "Host: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\n" H "\r\n"},
        {400, "GET /  HTTP/1.1\r\n" H "\r\n"},
        {400, "GET / HTTP/1.1 \r\n" H "\r\n"},
        {400, "GET\t/ HTTP/1.1\r\n" H "\r\n"},
        {400, " GET / HTTP/1.1\r\n" H "\r\n"},
        {400, "GET / http/1.1\r\n" H "\r\n"},
        {400, "GET / HTTP/1.1x\r\n" H "\r\n"},
        {400, "GET / RTSP/1.0\r\n" H "\r\n"},
        {400, "SOURCE / ICE/1.0\r\n" H "\r\n"},
        {400, "GET /\r\n" H "\r\n"},
        {400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"},
        {400, "\026\003\001\002 a client that speaks TLS\r\n\r\n"},
        {501, POST "Transfer-Encoding: gzip\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\n" H "\r\n"},
        {505, "GET / HTTP/1.2\r\n" H "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {501, "BREW / HTTP/1.1\r\n" H "\r\n"},
        {501, "CONNECT a:443 HTTP/1.1\r\n" H "\r\n"},
        {417, POST "Content-Length: 3\r\nExpect: the-unexpected\r\n\r\n"},
        {411, "POST / HTTP/1.0\r\n\r\n"},
        {413, POST "Content-Length: 10001\r\n\r\n"},
        {413, POST "Content-Length: 99999999999999999999999999\r\n\r\n"},
        {415, POST "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc"},
        {415, POST "Content-Encoding: gzip, gzip\r\nContent-Length: 3\r\n\r\nabc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strstr(cases[i].text, "chunked\r\nTransfer-Encoding") == NULL) {
            refused(cases[i].status, cases[i].text, strlen(cases[i].text));
            continue;
        }
        refused(400, cases[i].text, strlen(cases[i].text)); /* twice, whatever it says */
    }
    refused(400, POST "X: a\0b\r\n\r\n", sizeof(POST "X: a\0b\r\n\r\n") - 1);
    refused(400, "GET /\0 HTTP/1.1\r\n" H "\r\n", sizeof("GET /\0 HTTP/1.1\r\n" H "\r\n") - 1);
}
END_TEST

/* Of several codings that do not end in one "chunked" llhttp refuses some itself. */
START_TEST(refuses_other_codings) {
    static const char *const codings[] = {"chunked, gzip", "gzip, chunked", "xchunked",
                                          "chunked,",      "\"chunked\"",   "chunked;q=1",
                                          "identity",      ", chunked",     "chunked chunked"};
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        char text[256];
        snprintf(text, sizeof text, POST "Transfer-Encoding: %s\r\n\r\n0\r\n\r\n", codings[i]);
        http_parse p = {0};
        size_t taken;
        ck_assert_int_eq(parse(&p, text, strlen(text), 1 << 20, &taken), HTTP_REFUSED);
        ck_assert_msg(p.status == 400 || p.status == 501, "%s: %d", codings[i], p.status);
        http_parse_free(&p);
    }
}
END_TEST

START_TEST(refuses_bad_chunks) {
    static const struct {
        int status;
        const char *body;
    } cases[] = {{400, "g\r\n"},
                 {400, "\r\n"},
                 {400, " 3\r\nabc\r\n0\r\n\r\n"},
                 {400, "3 \r\nabc\r\n0\r\n\r\n"},
                 {400, "3\nabc\r\n0\r\n\r\n"},
                 {400, "3\rabc\r\n0\r\n\r\n"},
                 {400, "3\r\nabcd\r\n0\r\n\r\n"},
                 {400, "3\r\nabc\n0\r\n\r\n"},
                 {400, "3\r\nabc0\r\n\r\n"},
                 {400, "0x3\r\nabc\r\n0\r\n\r\n"},
                 {400, "-3\r\nabc\r\n0\r\n\r\n"},
                 {400, "1;a\nb\r\nx\r\n0\r\n\r\n"},
                 {400, "1;a\rb\r\nx\r\n0\r\n\r\n"},
                 {400, "0000000000000003\r\nabc\r\n0\r\n\r\n"},
                 {413, "fffffffffffffff\r\n"},
                 {413, "2711\r\n"},
                 {400, "0\r\nno header\r\n\r\n"},
                 {400, "0\r\n folded: a\r\n\r\n"},
                 {400, "0\r\nX : a\r\n\r\n"},
                 {400, "0\r\nX: a\n\r\n"},
                 {400, "0\r\nX: a\rb\r\n\r\n"},
                 {400, "0\r\n\n"},
                 {400, "0\n\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, POST "Transfer-Encoding: chunked\r\n\r\n%s", cases[i].body);
        refused(cases[i].status, text, strlen(text));
    }
}
END_TEST

START_TEST(guards_the_target) {
    static const char *const bad[] = {"/..",         "/../etc",    "/a/../b",       "/a/..",
                                      "/%2e%2e/etc", "/%2E%2e",    "/a/%2e%2e%2fb", "/.",
                                      "/a/./b",      "//a",        "/a//b",         "/%2f/a",
                                      "/a%00b",      "/a%0ab",     "/a%7f",         "/%",
                                      "/%4",         "/%zz",       "/a#b",          "/%ff",
                                      "/%c0%af",     "/%ed%a0%80", "/%f5%80%80%80", "*",
                                      "a",           "",           "http://",       "http://a",
                                      "http:/a",     "/%e4",       "https://a?b",   "ftp://a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", bad[i]);
        refused(400, text, strlen(text));
    }
    static const struct {
        const char *target, *path, *query;
    } good[] = {{"/", "/", ""},
                {"/a/b", "/a/b", ""},
                {"/a/", "/a/", ""},
                {"/a%20b?x=%20&y", "/a b", "x=%20&y"},
                {"/caf%C3%A9/%F0%9F%90%91", "/caf\303\251/\360\237\220\221", ""},
                {"/...", "/...", ""},
                {"/a..b", "/a..b", ""},
                {"/?", "/", ""},
                {"/a?b?../c", "/a", "b?../c"},
                {"http://host:80/p/q?z", "/p/q", "z"},
                {"HTTPS://host/", "/", ""},
                {"/%41%3f%25", "/A?%", ""}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[256];
        size_t taken;
        http_parse p = {0};
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", good[i].target);
        ck_assert_msg(parse(&p, text, strlen(text), 3, &taken) == HTTP_DONE, "%s: %s", text,
                      p.reason);
        ck_assert_str_eq(p.request.path, good[i].path);
        ck_assert_str_eq(p.request.query, good[i].query);
        http_parse_free(&p);
    }
}
END_TEST

static void same(http_parse *a, http_parse *b) {
    ck_assert_str_eq(a->request.method, b->request.method);
    ck_assert_str_eq(a->request.path, b->request.path);
    ck_assert_str_eq(a->request.query, b->request.query);
    ck_assert_uint_eq(a->request.body_len, b->request.body_len);
    ck_assert_mem_eq(a->request.body, b->request.body, a->request.body_len);
    ck_assert_int_eq(a->request.keep_alive, b->request.keep_alive);
    ck_assert_uint_eq(a->field_count, b->field_count);
}

static bool has(http_parse *p, const char *name, const char *want) {
    const lathe_http_text text = http_parse_header(p, name);
    return want == NULL ? text.ptr == NULL
                        : text.ptr != NULL && text.len == strlen(want) &&
                              memcmp(text.ptr, want, text.len) == 0;
}

START_TEST(any_cut_gives_the_same) {
    static const char text[] =
        "\r\nPOST /v2/models/m%2Dx/infer?a=1 HTTP/1.1\r\nHOST: example\r\nX-Two: one\r\nEmpty:\r\n"
        "x-two:   two \t\r\nTransfer-Encoding: Chunked\r\nOther: z\r\nX-TWO: three\r\n\r\n"
        "5;ext=\"1\"\r\nhello\r\nA\r\n, world!!!\r\n000\r\nTrailer: t\r\nOther: \r\n\r\nGET /next";
    http_parse whole = {0};
    size_t taken;
    ck_assert_int_eq(parse(&whole, text, sizeof text - 1, sizeof text, &taken), HTTP_DONE);
    ck_assert_str_eq(text + taken, "GET /next");
    ck_assert_str_eq(whole.request.path, "/v2/models/m-x/infer");
    ck_assert_uint_eq(whole.request.body_len, 15);
    ck_assert_mem_eq(whole.request.body, "hello, world!!!", 15);
    ck_assert_uint_eq((uintptr_t)whole.request.body % 64, 0);
    for (int twice = 0; twice < 2; twice++) {
        ck_assert(has(&whole, "x-two", "one, two, three"));
        ck_assert(has(&whole, "empty", ""));
        ck_assert(has(&whole, "other", "z"));
        ck_assert(has(&whole, "host", "example"));
        ck_assert(has(&whole, "trailer", NULL));
    }
    http_parse p = {0};
    for (size_t step = 1; step < sizeof text; step++) {
        size_t n;
        ck_assert_int_eq(parse(&p, text, sizeof text - 1, step, &n), HTTP_DONE);
        ck_assert_uint_eq(n, taken);
        same(&whole, &p);
    }
    http_parse_free(&p);
    http_parse_free(&whole);
}
END_TEST

START_TEST(bounds_the_head) {
    char text[8192];
    size_t n = (size_t)sprintf(text, "GET /");
    memset(text + n, 'a', 5000);
    refused(414, text, n + 5000);
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + n, 'a', 5000);
    refused(431, text, n + 5000);
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_MAX_FIELDS; i++)
        n += (size_t)sprintf(text + n, "X%d: %d\r\n", i, i);
    n += (size_t)sprintf(text + n, "\r\n");
    refused(431, text, n);
}
END_TEST

static size_t deflated(const uint8_t *from, size_t len, int window, uint8_t *to, size_t size) {
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)from;
    z.avail_in = (uInt)len;
    z.next_out = to;
    z.avail_out = (uInt)size;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

static http_event send_coded(http_parse *p, const char *coding, const uint8_t *body, size_t len,
                             size_t step) {
    static char text[65536];
    size_t taken,
        n = (size_t)sprintf(text, POST "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                            coding, len);
    memcpy(text + n, body, len);
    return parse(p, text, n + len, step, &taken);
}

START_TEST(inflates) {
    static uint8_t plain[20000], packed[20000];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)("lathe"[i % 5] + i / 1000);
    static const struct {
        const char *coding;
        int window;
    } forms[] = {{"gzip", 31}, {"x-gzip", 31}, {"GZip", 31}, {"deflate", 15}, {"deflate", -15}};
    static const size_t steps[] = {1, 5, 1 << 20};
    http_parse p = {0};
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (size_t s = 0; s < 3; s++) {
            size_t n = deflated(plain, 10000, forms[f].window, packed, sizeof packed);
            ck_assert_int_eq(send_coded(&p, forms[f].coding, packed, n, steps[s]), HTTP_DONE);
            ck_assert_uint_eq(p.request.body_len, 10000); /* exactly the limit */
            ck_assert_mem_eq(p.request.body, plain, 10000);
            ck_assert_int_eq(send_coded(&p, forms[f].coding, packed, n - 1, steps[s]),
                             HTTP_REFUSED);
            ck_assert_int_eq(p.status, 400); /* cut short */
            packed[n / 2] ^= 0x55;
            ck_assert_int_eq(send_coded(&p, forms[f].coding, packed, n, steps[s]) == HTTP_DONE &&
                                 forms[f].window > 0,
                             0); /* the checksum of gzip and zlib tells */
            n = deflated(plain, 10001, forms[f].window, packed, sizeof packed);
            ck_assert_int_eq(send_coded(&p, forms[f].coding, packed, n, steps[s]), HTTP_REFUSED);
            ck_assert_int_eq(p.status, 413);
        }
    size_t n = deflated(plain, 100, 31, packed, sizeof packed); /* two members, then rubbish */
    n += deflated(plain + 100, 200, 31, packed + n, sizeof packed - n);
    ck_assert_int_eq(send_coded(&p, "gzip", packed, n, 9), HTTP_DONE);
    ck_assert_uint_eq(p.request.body_len, 300);
    ck_assert_mem_eq(p.request.body, plain, 300);
    packed[n] = 'x';
    ck_assert_int_eq(send_coded(&p, "gzip", packed, n + 1, 9), HTTP_REFUSED);
    http_parse_free(&p);
}
END_TEST

START_TEST(stops_a_bomb) {
    const size_t size = (size_t)64 << 20;
    uint8_t *zeros = calloc(1, size), *packed = malloc(1 << 17);
    const size_t n = deflated(zeros, size, 31, packed, 1 << 17);
    http_parse p = {0};
    ck_assert_int_eq(n > limits.max_body, 1);
    ck_assert_int_eq(send_coded(&p, "gzip", packed, 9000, 1 << 20), HTTP_REFUSED);
    ck_assert_int_eq(p.status, 413);
    ck_assert_uint_le(p.body_cap, 2 * limits.max_body);
    http_parse_free(&p);
    free(zeros);
    free(packed);
}
END_TEST

START_TEST(reads_into_the_body) {
    char head[128];
    const size_t n = (size_t)sprintf(head, POST "Content-Length: 9000\r\n\r\n");
    http_parse p = {0};
    size_t used, room = 0, filled = 0;
    http_parse_begin(&p, &limits);
    ck_assert_int_eq(http_parse_feed(&p, (const uint8_t *)head, n, &used), HTTP_HEAD_DONE);
    http_event event = HTTP_NEED_MORE;
    uint8_t *to;
    while ((to = http_parse_room(&p, &room)) != NULL) {
        ck_assert_uint_le(room, 9000 - filled);
        const size_t step = room < 1500 ? room : 1500;
        memset(to, (int)(filled / 1500), step);
        filled += step;
        event = http_parse_filled(&p, step);
    }
    ck_assert_int_eq(event, HTTP_NEED_MORE);
    static uint8_t rest[9000];
    event = http_parse_feed(&p, rest, sizeof rest, &used);
    ck_assert_int_eq(event, HTTP_DONE);
    ck_assert_uint_eq(used, 9000 - filled);
    ck_assert_uint_eq(p.request.body_len, 9000);
    for (size_t i = 0; i < filled; i++)
        ck_assert_uint_eq(p.request.body[i], i / 1500);
    http_parse_free(&p);
}
END_TEST

START_TEST(knows_how_long_a_connection_lives) {
    static const struct {
        const char *text;
        bool lives;
    } cases[] = {{"GET / HTTP/1.1\r\n" H "\r\n", true},
                 {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false},
                 {"GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_parse p = {0};
        size_t taken;
        ck_assert_int_eq(parse(&p, cases[i].text, strlen(cases[i].text), 4, &taken), HTTP_DONE);
        ck_assert_msg(p.request.keep_alive == cases[i].lives, "%s", cases[i].text);
        http_parse_free(&p);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve/http_parse");
    TCase *t = tcase_create("all");
    tcase_add_test(t, refuses_what_smuggles);
    tcase_add_test(t, refuses_other_codings);
    tcase_add_test(t, refuses_bad_chunks);
    tcase_add_test(t, guards_the_target);
    tcase_add_test(t, any_cut_gives_the_same);
    tcase_add_test(t, bounds_the_head);
    tcase_add_test(t, inflates);
    tcase_add_test(t, stops_a_bomb);
    tcase_add_test(t, reads_into_the_body);
    tcase_add_test(t, knows_how_long_a_connection_lives);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
