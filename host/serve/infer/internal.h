/* serve/infer/internal.h: the inference worker's state, for serve/infer alone. [loop] but where noted. */
#ifndef LATHE_SERVE_INFER_INTERNAL_H
#define LATHE_SERVE_INFER_INTERNAL_H

#include "pipeline/lines.h"
#include "pipeline/setup.h"
#include "serve/auth/auth.h"
#include "serve/http/http.h"
#include "serve/infer/table.h"
#include "serve/metering.h"
#include "serve/tls.h"

typedef struct infer_worker infer_worker;
typedef struct infer_warming infer_warming;
typedef struct infer_shadows infer_shadows;
typedef struct infer_job infer_job;

/* Batches in which requests wait, and what wakes them. */
typedef struct infer_batches {
    infer_batch *open;
    int running; /* levels of batches being answered */
    int timer_fd;
    int64_t armed; /* the time it is set to; 0: none */
    uv_poll_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    bool started;
} infer_batches;

/* An administrative verb that the supervisor works on. */
typedef struct infer_forward {
    struct infer_forward *next;
    infer_worker *worker;
    double id;
    lathe_exchange *exchange;
    bool is_log; /* the answer tells the log's settings */
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
    SSL_CTX *tls; /* NULL: plain */
    lathe_http_limits limits;
    int socket; /* inherited */
    lathe_oip *oip;
    infer_table *table; /* NULL: none yet */
    cJSON *waiting;     /* the newest routes that are not being loaded yet */
    bool loading;
    infer_warming *warming; /* models on their way for requests that wait */
    int jobs;               /* on other threads, all kinds */
    bool started, draining, stopped, failed;
    int64_t max_inline_ns;
    int64_t timeout_us;                   /* of requests that name none; 0: none */
    int64_t queued_rows, max_queued_rows; /* waiting and on other threads; 0: no bound */
    infer_job *job_list;
    uv_timer_t job_timer;
    infer_batches batches;
    double next_forward;
    infer_forward *forwards;
    uint64_t sequence; /* of requests, for sharing traffic */
    int64_t wall_offset_us;
    infer_shadows *shadows; /* NULL: no copy was taken yet */
    lathe_buf body;         /* of answers that are no predictions */
};

/* infer.c: sends one line to the supervisor. */
void infer_send(infer_worker *w, const cJSON *message);
/* infer.c: tells which table is served, and what of it could not be loaded. */
void infer_tell_loaded(infer_worker *w);
/* infer.c: work on another thread has ended. */
void infer_job_done(infer_worker *w);
/* [any] Breadcrumbs for a thread of the loop's pool, once. */
void infer_thread(infer_worker *w);
/* infer/http.c: the socket's requests. `user` is the worker. */
void infer_request(void *user, lathe_exchange *exchange);
/* infer/http.c: a JSON body as 200. */
void infer_reply(lathe_exchange *exchange, const lathe_buf *body);
/* infer/http.c: is it this method, or the other (may be NULL)? GET stands for HEAD too. False: it has been answered. */
bool infer_is_method(lathe_exchange *exchange, const char *method, const char *other);
/* infer/repository.c: index, load, unload; rest begins after "/v2/repository/". */
void infer_repository(infer_worker *w, lathe_exchange *exchange, const char *rest);
/* infer/repository.c: asks the supervisor, with the request's token; it answers by infer_answer. */
void infer_forward_verb(infer_worker *w, lathe_exchange *exchange, const char *verb,
                        const char *name);
void infer_answer(infer_worker *w, const cJSON *message);
/* infer/settings.c: logging, trace, shared memory. False: the path is none of them. */
bool infer_settings(infer_worker *w, lathe_exchange *exchange, const char *path);
void infer_trace(lathe_exchange *exchange);
void infer_put_log_settings(lathe_buf *out);

/* ---- one inference ---- */

/* Times of one request, ns of the monotonic clock. From begin to started, and from reading to running, it waits. */
typedef struct infer_times {
    int64_t begin, started, parsed, predicted;
    int64_t deadline;       /* 0: none */
    int64_t header;         /* of the request's body; -1: all is JSON */
    lathe_auth_meter meter; /* who asked */
} infer_times;

/* infer/run.c: counts the served rows that wait to be counted. */
void infer_flush(infer_worker *w, const infer_table *table);
/* infer/furnish.c: has the doors of the table furnished, on another thread. */
void infer_furnish(infer_worker *w);
/* infer/heads.c: has the headers of the table's models read, on another thread. */
void infer_heads_read(infer_worker *w);
/* infer/heads.c: routes whose header is broken have their reason, unless a table is made from theirs just now. */
void infer_heads_settle(infer_worker *w);
/* infer/run.c: POST …/infer on a route that has its model. */
void infer_predict(infer_worker *w, lathe_exchange *exchange, infer_route *route);
/* infer/run.c: the same for one that joins no batch. Has begin, deadline and header. */
void infer_predict_now(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                       infer_times *t);
/* [any] infer/run.c: under a breadcrumb, so that a crash names plugin and model. */
int32_t infer_run_plan(infer_worker *w, const infer_route *route, lathe_plan *plan,
                       lathe_plan_output *output, lathe_error *err);
/* infer/run.c: writes the answer from the output of the plan's run, counts it and sends it. */
void infer_answer_with(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                       const lathe_oip *oip, const lathe_plan_output *whole,
                       const lathe_door_visit *visit, const infer_times *t);
/* Header lines of an answer whose JSON has so many bytes of `len`, and the rules that flagged its rows; NULL: none. */
const char *infer_answer_headers(const lathe_door *door, const lathe_door_visit *visit,
                                 size_t json_len, size_t len, char *buf, size_t size);
/* [any] Where the rows' statistics are counted; area 1: off the serving thread. */
void *infer_live_region(const infer_worker *w, const infer_route *route, int area);
const char *infer_content_type(size_t json_len, size_t len);
/* A request that failed: counted, and its status and sentence as an answer. */
void infer_fail(infer_worker *w, lathe_exchange *exchange, const infer_route *route,
                const lathe_error *err, int64_t begin);
void infer_refuse(infer_worker *w, lathe_exchange *exchange, const lathe_error *err);
/* [any] The earlier of a deadline (0: none) and begin + timeout_us (0: none). */
int64_t infer_deadline(int64_t deadline, int64_t begin, int64_t timeout_us);
int32_t infer_expired(lathe_error *err); /* [any] LATHE_E_TIMEOUT */
/* A model's moving mean of the cost of a row, over about 16 runs. */
void infer_note_cost(infer_model *model, int64_t ns, int64_t rows);

/* infer/job.c: on another thread. t has begin, deadline and header. */
void infer_predict_elsewhere(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                             int64_t rows, const infer_times *t);

/* infer/batch.c: reads the request into the route's batch, where it waits. False: it is too large for that,
 * or refused: infer_predict_now tells the client. */
bool infer_batch_add(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                     const infer_times *t);
/* Runs all batches now: before their routes go. */
void infer_batches_flush(infer_worker *w);
int32_t infer_batches_start(infer_worker *w, lathe_error *err);
void infer_batches_stop(infer_worker *w);

/* infer/count.c; counters NULL: the version has none */
lathe_slot_model *infer_counters(infer_worker *w, const infer_route *route);
void infer_count_failure(infer_worker *w, const infer_route *route, int status, int64_t begin);
void infer_count_shed(infer_worker *w, const infer_route *route, int64_t begin);
void infer_count_success(infer_worker *w, const infer_route *route, const infer_times *t,
                         const lathe_plan_output *output, int64_t rows, bool is_flagged);
void infer_count_execution(infer_worker *w, const infer_route *route); /* a run of the model */
void infer_count_cancelled(infer_worker *w, const infer_route *route);
void infer_count_queue(infer_worker *w, int64_t rows); /* that join it, or with - leave it */

/* infer/count.c: keeps the answers of a request with an id for their labels. output: of the request's rows. */
void infer_remember(infer_worker *w, const infer_route *route, const lathe_oip *oip,
                    const lathe_plan_output *output);

/* infer/warm.c: the request waits until its route has its model, or (is_head) its header, then infer_resume has it. */
void infer_warm(infer_worker *w, lathe_exchange *exchange, const infer_route *route, bool is_head);
/* infer/warm.c: what has been loaded is put into the table, unless another one is made from it just now. */
void infer_warm_settle(infer_worker *w);
/* infer/http.c: a request for a model that was admitted already. */
void infer_resume(infer_worker *w, lathe_exchange *exchange);
/* infer/sticky.c: a request's point on the line of keys: by the key that its client sends, else anywhere. */
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
/* infer/shadow.c: copies it for the shadow, or drops it. Never waits. */
void infer_shadow_offer(infer_worker *w, const infer_offer *offer);
/* Lets go of what the table does not serve any more: some times a second. */
void infer_shadows_tidy(infer_worker *w);
/* Ends the thread; copies that wait are dropped. NULL shadows are fine. [loop] */
void infer_shadows_stop(infer_worker *w);

#endif
