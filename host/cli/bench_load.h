/* cli/bench_load.h: load on an HTTP service: connections that are kept alive, each sending its next request when the answer
 * to the last one is there (a closed loop). One thread, libuv.
 */
#ifndef LATHE_CLI_BENCH_LOAD_H
#define LATHE_CLI_BENCH_LOAD_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct bench_load bench_load;

/* What a step has seen. Requests are those with an answer of status 200, and quantiles (in ms) are theirs, from the moment of
 * sending to the last byte; errors are other answers, and connections that broke before theirs. */
typedef struct bench_step {
    size_t connections;
    uint64_t requests, errors;
    double seconds, rate; /* requests a second */
    double p50, p99, p999, max;
} bench_step;

/* url: "http://HOST[:PORT]" or "https://…", IPv6 in brackets; ca_file: certificates that are trusted there, NULL: the
 * system's. LATHE_E_INVALID: it is none, or there are none in the file. */
int32_t bench_load_open(const char *url, const char *ca_file, bench_load **load, lathe_error *err);
void bench_load_close(bench_load *load);

/* "HOST:PORT", for the header. */
const char *bench_load_host(const bench_load *load);

/* One whole HTTP request over a connection, and its answer. LATHE_E_IO: there is none. Append-only: body. */
int32_t bench_load_ask(bench_load *load, const lathe_buf *request, int *status, lathe_buf *body,
                       lathe_error *err);

/* Whole requests in turn, for so many seconds; answers that are then still due are waited for (10 s). The requests must
 * stay until the load is closed. LATHE_E_IO: a connection cannot be made. */
int32_t bench_load_step(bench_load *load, const lathe_buf *requests, size_t n, size_t connections,
                        double seconds, bench_step *step, lathe_error *err);

/* The first error that a step has seen, "503: …"; "": none. */
const char *bench_load_first_error(const bench_load *load);

#endif
