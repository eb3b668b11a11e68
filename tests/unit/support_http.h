/* Helpers of the HTTP server's tests: the server on a loop and a thread of its own, clients with plain sockets.
 *
 *     http_start(NULL, NULL);
 *     const int fd = dial();
 *     say(fd, POST("/", "5", "hello"));
 *     hears(fd, 200, "hello");
 *     close(fd);
 *     http_stop();
 *
 * What the server does by path: /later?ms= answers its query after a while, /stream and /flood send events, /big answers BIG
 * bytes, /place answers in the room it was given, /forget never answers and /remember does so for it, /fail is an error,
 * /bound?n= sets max_body, /peer tells who asks, the rest answers with the body.
 */
#ifndef LATHE_TEST_SUPPORT_HTTP_H
#define LATHE_TEST_SUPPORT_HTTP_H

#include "serve/http/http.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG ((size_t)32 << 20)

typedef struct http_server {
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    lathe_http *http;
    int port;
    uint64_t grace_ms;
    lathe_exchange *silent; /* of /forget */
    atomic_int gone, stopped, requests, stream_ends;
    atomic_size_t connections;
} http_server;

extern http_server served;

/* limits and tls (an SSL_CTX) may be NULL. */
void http_start(const lathe_http_limits *limits, void *tls);
void ask_stop(void);
/* After ask_stop: nothing may be left open. */
void http_finish(void);
void http_stop(void); /* both */

/* ---- clients ---- */

int64_t now_ms(void);
void nap(int ms);
/* Waits until a counter is `want`. */
bool comes(atomic_int *what, int want);

int dial(void);
int dial_small(int receive_buffer);
void say(int fd, const char *text);
/* Reads to the end of the connection, and closes it. Valid until the next call. */
char *hear(int fd);
/* One answer with a Content-Length; returns its status, and the body in `body`. */
int hear_one(int fd, char *body, size_t size);
/* The same, which must be this. */
void hears(int fd, int status, const char *want);
/* Reads what must come next. */
void hears_text(int fd, const char *want);
/* A whole answer, of a connection that ends with it. */
void is_json_error(const char *text, int status);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, len, body)                                                                      \
    "POST " path " HTTP/1.1\r\nHost: a\r\nContent-Length: " len "\r\n\r\n" body

/* Short limits of time. */
extern const lathe_http_limits hasty;

/* Runs the tests of a file, each in a case of its own; for main(). */
typedef struct http_test {
    const char *name;
    const TTest *test;
} http_test;
int http_run(const char *suite, const http_test *tests, size_t n);

#endif
