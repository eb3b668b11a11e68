/* serve/supervisor/internal.h: the supervisor's own state, shared by its files. [loop] */
#ifndef LATHE_SERVE_SUPERVISOR_INTERNAL_H
#define LATHE_SERVE_SUPERVISOR_INTERNAL_H

#include "pipeline/lines.h"
#include "serve/api/sse.h"
#include "serve/auth/auth.h"
#include "serve/http/http.h"
#include "serve/metering.h"
#include "serve/queue/queue.h"
#include "serve/rollout/rollout.h"
#include "serve/supervisor/routes.h"
#include "serve/supervisor/supervisor.h"
#include "serve/supervisor/systemd.h"
#include "serve/tls.h"
#include "serve/watch/watch.h"

typedef struct lathe_worker lathe_worker;

/* One incarnation of a worker: its process and its pipe; freed when both have closed. */
typedef struct lathe_worker_life {
    lathe_worker *worker;
    uv_process_t process;
    uv_pipe_t pipe;
    lathe_lines lines;
    char chunk[65536];
    int open_handles;
} lathe_worker_life;

struct lathe_worker {
    lathe_supervisor *s;
    int index;
    int socket; /* listening; outlives the worker */
    int crumbs_fd;
    void *crumbs;
    lathe_worker_life *life; /* NULL: none runs */
    uv_timer_t restart;
    bool ready;
    bool condemned;      /* killed for what it was doing: it hung, or held too much */
    uint64_t generation; /* that it has said to serve */
    int64_t started_ns;
    int quick_deaths; /* in a row, each within 2 s of its start */
};

/* Waits until every worker serves a generation. */
typedef struct lathe_waiter {
    struct lathe_waiter *next;
    uint64_t generation;
    uv_timer_t timeout;
    void (*done)(void *user, bool reached);
    void *user;
} lathe_waiter;

/* How often a version ended its worker lately (quarantine.c). */
typedef struct lathe_crash_count {
    char step[LATHE_SLOTS_NAME]; /* "model@version" */
    int count;
    int64_t first_ns;
} lathe_crash_count;

struct lathe_supervisor {
    uv_loop_t loop;
    lathe_serve_config config;
    const lathe_serve_sources *sources;
    const char *executable;
    const char *plugin_cache; /* verdicts of the plugin scan, in the home */
    SSL_CTX *tls;             /* of the control plane; NULL: plain */
    lathe_arena *arena;
    lathe_store *store;
    lathe_slots *slots;
    int slots_fd;
    lathe_auth *auth;
    lathe_metering *metering; /* NULL: not yet */
    const char *own_actor;    /* of the store, when no token acts */
    int64_t used_saved_ns;    /* when the tokens' last use was noted */
    lathe_route_numbers numbers;
    lathe_rollouts rollouts;
    lathe_watches *watches; /* NULL: not yet */
    cJSON *unloaded;        /* names that were unloaded: {"name": "its project"} */
    cJSON *table;           /* the routes that workers were sent last */
    uint64_t generation;
    lathe_worker *workers;
    int n_workers;
    lathe_waiter *waiters;
    lathe_http *control, *local;
    uv_signal_t on_term, on_int, on_hup;
    uv_timer_t tick, drain_timer;
    lathe_crash_count crashes[16];
    lathe_systemd systemd;
    bool told_ready; /* to the service manager */
    bool draining;
    int64_t started_ns;
    lathe_queue *queue;          /* of runs */
    lathe_sse *sse;              /* streams of events */
    lathe_store *idle_stores[4]; /* connections of the API's calls that no call uses */
    int n_idle_stores;
    struct api_call *lane_first[3]; /* calls of the API that wait, by lane (serve/api/api.h) */
    int lane_running[3], lane_waiting[3];
};

/* ---- supervisor.c ---- */
lathe_queue_settings lathe_supervisor_queue_settings(const lathe_supervisor *s);

/* ---- ports.c ---- */
/* The control plane's is served, the workers' sockets get their address. */
int32_t lathe_supervisor_open_ports(lathe_supervisor *s, lathe_error *err);

/* ---- generations.c ---- */
/* Reads the routes anew and sends them. done (may be NULL) is called when all workers serve them, or after 30 s. */
int32_t lathe_supervisor_reroute(lathe_supervisor *s, void (*done)(void *user, bool reached),
                                 void *user, lathe_error *err);
/* A worker has said how far it is: who waited for that is told. */
void lathe_supervisor_reached(lathe_supervisor *s);

/* ---- admin.c ---- */
/* An administrative verb that a worker forwards: load, unload. LATHE_E_NOT_FOUND where who asks may not see the name. */
int32_t lathe_supervisor_admin(lathe_supervisor *s, const char *verb, const char *name,
                               const lathe_auth_who *who, void (*done)(void *user, bool reached),
                               void *user, lathe_error *err);
/* What follows is done by this one, until it is called with NULL: the service itself. "" and NULL are the same. */
int32_t lathe_supervisor_act_as(lathe_supervisor *s, const char *actor, lathe_error *err);
/* Reads the tokens anew and sends them. A reroute after it tells when all workers have them. */
int32_t lathe_supervisor_reauth(lathe_supervisor *s, lathe_error *err);
/* When tokens were used last. It is only told: a failure is logged, and the next call tries again. */
void lathe_supervisor_save_used(lathe_supervisor *s);

/* ---- reload.c, stop.c ---- */
void lathe_supervisor_on_hup(uv_signal_t *signal, int number);
void lathe_supervisor_on_term(uv_signal_t *signal, int number);
/* A worker, or a server of the control plane, has ended; the loop stops after the last. */
void lathe_supervisor_worker_gone(lathe_supervisor *s);

/* ---- worker_sockets.c ---- */
/* One a worker, which inherits it before it has an address. */
int32_t lathe_workers_make_sockets(lathe_supervisor *s, lathe_error *err);
int32_t lathe_workers_listen(lathe_supervisor *s, lathe_error *err);

/* ---- workers.c ---- */
/* Processes with sockets that have no address yet: their start takes as long as the opening of the store. */
int32_t lathe_workers_start(lathe_supervisor *s, lathe_error *err);
void lathe_workers_greet(lathe_supervisor *s); /* they may read the plugins' cache */
void lathe_workers_check(lathe_supervisor *s); /* hung, too large: killed */
void lathe_workers_drain(lathe_supervisor *s);
void lathe_workers_kill(lathe_supervisor *s);
int lathe_workers_alive(const lathe_supervisor *s);
int lathe_workers_ready(const lathe_supervisor *s);

/* ---- worker_send.c ---- */
void lathe_worker_send(lathe_worker *worker, const cJSON *message); /* nothing where none runs */
void lathe_workers_send(lathe_supervisor *s, const cJSON *message); /* to all that run */
void lathe_worker_greet(lathe_worker *worker);                      /* its first line */
void lathe_worker_send_auth(lathe_worker *worker);
void lathe_workers_send_auth(lathe_supervisor *s);   /* the tokens, to all that run */
void lathe_workers_send_tls(lathe_supervisor *s);    /* certificate and key are to be read again */
void lathe_workers_send_limits(lathe_supervisor *s); /* of HTTP */
/* The log's threshold, here and in all workers; below 0: nothing changes. */
void lathe_workers_set_log_level(lathe_supervisor *s, int level);

/* ---- worker_receive.c ---- */
bool lathe_worker_on_line(void *worker, const char *text, size_t len);

/* ---- quarantine.c ---- */
/* This step ended a worker ("": nobody knows); too often, and its routes are unloaded. */
void lathe_quarantine_crashed(lathe_supervisor *s, const char *step);

/* ---- answers.c ---- */
/* Answers that wait for labels: those of the service before, once there are routes; what there is for the next, at the end. A
 * failure is logged: they are forgotten. */
void lathe_answers_take(lathe_supervisor *s);
void lathe_answers_keep(lathe_supervisor *s);

/* ---- local.c: the home's own socket ---- */
int32_t lathe_local_open(lathe_supervisor *s, lathe_error *err);
void lathe_local_stop(lathe_supervisor *s, uint64_t grace_ms);
void lathe_local_remove(const lathe_supervisor *s);

/* ---- api.c, metrics.c ---- */
void lathe_api_request(void *user, lathe_exchange *exchange);
/* The same for the home's own socket: its permissions have let them in. */
void lathe_api_request_local(void *user, lathe_exchange *exchange);
void lathe_api_close(lathe_supervisor *s);
void lathe_metrics_write(const lathe_supervisor *s, lathe_buf *out);
#endif
