/* serve/infer_internal.h: the inference worker's state, for infer*.c alone. [loop] but where noted. */
#ifndef LATHE_SERVE_INFER_INTERNAL_H
#define LATHE_SERVE_INFER_INTERNAL_H

#include "pipeline/lines.h"
#include "pipeline/setup.h"
#include "serve/auth.h"
#include "serve/http.h"
#include "serve/infer_table.h"

typedef struct infer_worker infer_worker;
typedef struct infer_shadows infer_shadows;

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
    int index;           /* among the workers */
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
    infer_shadows *shadows; /* NULL: no copy was taken yet */
    lathe_buf body;         /* of answers that are no predictions */
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
/* infer_sticky.c: a request's point on the line of keys: by the key that its client sends, else anywhere. */
uint64_t infer_traffic_key(infer_worker *w, const lathe_exchange *exchange,
                           const infer_group *group);
/* The text of the "id" in the request's outermost object, as it stands there. False: there is none. [any] */
bool infer_request_id(const char *text, size_t len, lathe_str *id);

/* A request and its answer: what a shadow is given. */
typedef struct infer_offer {
    const infer_route *route; /* with a shadow */
    const uint8_t *body;      /* [len] */
    size_t len;
    int64_t header; /* as of lathe_oip_parse */
    const lathe_plan_output *output;
    int64_t rows;
} infer_offer;
/* infer_shadow.c: copies it for the shadow, or drops it. Never waits. */
void infer_shadow_offer(infer_worker *w, const infer_offer *offer);
/* Ends the thread; copies that wait are dropped. NULL shadows are fine. [loop] */
void infer_shadows_stop(infer_worker *w);

/* An error's status and sentence as an answer. */
void infer_refuse(infer_worker *w, lathe_exchange *exchange, const lathe_error *err);

#endif
