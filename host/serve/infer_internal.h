/* serve/infer_internal.h: the inference worker's state, for infer*.c alone. [loop] but where noted. */
#ifndef LATHE_SERVE_INFER_INTERNAL_H
#define LATHE_SERVE_INFER_INTERNAL_H

#include "pipeline/lines.h"
#include "pipeline/setup.h"
#include "serve/auth.h"
#include "serve/http.h"
#include "serve/infer_table.h"

typedef struct infer_worker infer_worker;

/* An administrative verb that the supervisor works on. */
typedef struct infer_forward {
    struct infer_forward *next;
    infer_worker *worker;
    double id;
    lathe_exchange *exchange;
} infer_forward;

struct infer_worker {
    uv_loop_t loop;
    uv_pipe_t pipe;
    uv_timer_t beat;
    lathe_lines lines;
    char chunk[65536];
    lathe_setup setup;
    lathe_slots *slots;
    lathe_slot *slot;    /* this worker's */
    lathe_slot own_slot; /* where there is no page */
    lathe_auth *auth;
    lathe_http *http;
    lathe_oip *oip;
    infer_table *table; /* NULL: none yet */
    cJSON *waiting;     /* the newest routes that are not being loaded yet */
    bool loading;
    int jobs; /* on other threads, all kinds */
    bool started, draining, stopped, failed;
    int64_t max_inline_ns;
    double next_forward;
    infer_forward *forwards;
    uint64_t sequence; /* of requests, for sharing traffic */
    int64_t wall_offset_us;
    lathe_buf body; /* of answers that are no predictions */
};

/* infer.c: sends one line to the supervisor. */
void infer_send(infer_worker *w, const cJSON *message);
/* infer.c: work on another thread has ended. */
void infer_job_done(infer_worker *w);
/* [any] Breadcrumbs for a thread of the loop's pool, once. */
void infer_thread(infer_worker *w);
/* infer_http.c: the socket's requests. `user` is the worker. */
void infer_request(void *user, lathe_exchange *exchange);
/* infer_http.c: the supervisor's answer to a forwarded verb. */
void infer_answer(infer_worker *w, const cJSON *message);
/* infer_run.c: POST …/infer on a route that has its model. */
void infer_predict(infer_worker *w, lathe_exchange *exchange, infer_route *route);
/* An error's status and sentence as an answer. */
void infer_refuse(infer_worker *w, lathe_exchange *exchange, const lathe_error *err);

#endif
