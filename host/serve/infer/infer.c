/* The inference worker's process: start, talk with the supervisor, loading, draining. */
#include "serve/infer/infer.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/infer/internal.h"
#include "serve/protocol.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEAT_MS 100
#define DRAIN_MS 25000 /* the supervisor waits 30 s */
#define ORPHAN_MS 1000
#define MAX_LINE ((size_t)64 << 20)
#define INLINE_NS 1000000

static void load_next(infer_worker *w);
static void drain(infer_worker *w, uint64_t grace_ms);

/* ---- talk ---- */

typedef struct line_write {
    uv_write_t request;
    lathe_buf line;
} line_write;

static void on_written(uv_write_t *request, int status) {
    (void)status;
    line_write *lw = (line_write *)request;
    lathe_buf_free(&lw->line);
    free(lw);
}

void infer_send(infer_worker *w, const cJSON *message) {
    line_write *lw = uv_is_closing((uv_handle_t *)&w->pipe) ? NULL : calloc(1, sizeof *lw);
    if (lw == NULL)
        return;
    lathe_json_print(NULL, message, &lw->line);
    lathe_buf_append_char(&lw->line, '\n');
    uv_buf_t buf = uv_buf_init(lw->line.data, (unsigned)lw->line.len);
    if (lw->line.failed ||
        uv_write(&lw->request, (uv_stream_t *)&w->pipe, &buf, 1, on_written) != 0)
        on_written(&lw->request, -1);
}

static void send_flag(infer_worker *w, const char *key) {
    cJSON *message = cJSON_CreateObject();
    cJSON_AddTrueToObject(message, key);
    infer_send(w, message);
    cJSON_Delete(message);
}

static void add_failed(cJSON *failed, const infer_route *r, bool shadow, const char *error) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", r->step);
    cJSON_AddStringToObject(item, "endpoint", r->name);
    if (shadow)
        cJSON_AddTrueToObject(item, "shadow");
    cJSON_AddStringToObject(item, "error", error ? error : "");
    cJSON_AddItemToArray(failed, item);
}

void infer_tell_loaded(infer_worker *w) {
    const infer_table *t = w->table;
    cJSON *message = cJSON_CreateObject(), *failed = cJSON_CreateArray();
    for (size_t i = 0; i < t->n_routes; i++) {
        const infer_route *r = &t->routes[i];
        if (r->error != NULL)
            add_failed(failed, r, false, r->error);
        if (r->shadow_error != NULL)
            add_failed(failed, r, true, r->shadow_error);
    }
    cJSON_AddNumberToObject(message, "generation", (double)t->generation);
    if (cJSON_GetArraySize(failed) > 0) {
        cJSON_AddItemToObject(message, "failed", failed);
    } else {
        cJSON_AddTrueToObject(message, "loaded");
        cJSON_Delete(failed);
    }
    infer_send(w, message);
    cJSON_Delete(message);
}

/* ---- other threads ---- */

void infer_thread(infer_worker *w) {
    static _Thread_local bool begun;
    if (!begun && w->setup.crumbs != NULL)
        lathe_crumbs_thread_start(w->setup.crumbs, 1);
    begun = true;
}

static void close_if_done(infer_worker *w) {
    if (!w->stopped || w->jobs > 0)
        return;
    if (!uv_is_closing((uv_handle_t *)&w->pipe))
        uv_close((uv_handle_t *)&w->pipe, NULL);
    if (!uv_is_closing((uv_handle_t *)&w->beat))
        uv_close((uv_handle_t *)&w->beat, NULL);
    if (!uv_is_closing((uv_handle_t *)&w->job_timer))
        uv_close((uv_handle_t *)&w->job_timer, NULL);
    infer_batches_stop(w);
}

void infer_job_done(infer_worker *w) {
    w->jobs--;
    close_if_done(w);
}

typedef struct load {
    uv_work_t work;
    infer_worker *w;
    cJSON *message;
    const infer_table *old;
    infer_table *table;
} load;

/* [worker] */
static void load_run(uv_work_t *work) {
    load *l = work->data;
    infer_thread(l->w);
    l->table = infer_table_new(l->w->setup.runtime, l->w->setup.crumbs, l->message, l->old);
}

typedef struct unload {
    uv_work_t work;
    infer_worker *w;
    infer_table *table;
} unload;

/* [worker] */
static void unload_run(uv_work_t *work) {
    unload *u = work->data;
    infer_thread(u->w);
    infer_table_free(u->table);
}

static void unload_after(uv_work_t *work, int status) {
    unload *u = work->data;
    infer_worker *w = u->w;
    (void)status;
    free(u);
    infer_job_done(w);
}

/* Closing a model takes its time: not on the serving thread. */
static void drop_table(infer_worker *w, infer_table *table) {
    unload *u = table ? calloc(1, sizeof *u) : NULL;
    if (u != NULL) {
        *u = (unload){.work.data = u, .w = w, .table = table};
        if (uv_queue_work(&w->loop, &u->work, unload_run, unload_after) == 0) {
            w->jobs++;
            return;
        }
    }
    free(u);
    infer_table_free(table);
}

static int32_t open_http(infer_worker *w, lathe_error *err) {
    const lathe_http_options http = {.limits = w->limits,
                                     .server_name = "lathe",
                                     .tls = w->tls,
                                     .on_request = infer_request,
                                     .user = w};
    return lathe_http_start(&w->loop, w->socket, &http, &w->http, err);
}

/* Connections waited in the socket's queue until there was something to serve. */
static void begin_serving(infer_worker *w) {
    lathe_error err = {0};
    if (w->http != NULL || w->draining || open_http(w, &err) == LATHE_OK)
        return;
    lathe_log(LATHE_LEVEL_ERROR, "infer", "the socket cannot be served: %s", err.message);
    w->failed = true;
    drain(w, 0);
}

/* Between two requests: nobody looks at the old table any more; models under way elsewhere are counted. */
static void load_after(uv_work_t *work, int status) {
    load *l = work->data;
    infer_worker *w = l->w;
    (void)status;
    w->loading = false;
    if (l->table != NULL) {
        infer_table *old = w->table;
        infer_batches_flush(w);
        infer_flush(w, old);
        w->table = l->table;
        w->timeout_us = l->table->timeout_us;
        w->max_queued_rows = l->table->max_queued_rows;
        atomic_store_explicit(&w->slot->generation, l->table->generation, memory_order_relaxed);
        begin_serving(w);
        infer_tell_loaded(w);
        drop_table(w, old);
        infer_furnish(w);
        if (old == NULL)
            infer_heads_read(w);
    } else {
        cJSON *event = cJSON_CreateObject();
        cJSON_AddStringToObject(event, "event",
                                "a routing table could not be made: out of memory, or no table");
        infer_send(w, event);
        cJSON_Delete(event);
    }
    cJSON_Delete(l->message);
    free(l);
    infer_warm_settle(w);
    infer_heads_settle(w);
    load_next(w);
    infer_job_done(w);
}

/* One table at a time; of those that come meanwhile the newest alone. */
static void load_next(infer_worker *w) {
    if (w->loading || w->waiting == NULL || w->stopped)
        return;
    load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return; /* the next message tries again */
    *l = (load){.work.data = l, .w = w, .message = w->waiting, .old = w->table};
    if (uv_queue_work(&w->loop, &l->work, load_run, load_after) != 0) {
        free(l);
        return;
    }
    w->waiting = NULL;
    w->loading = true;
    w->jobs++;
}

/* ---- starting ---- */

static const char *text_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(lathe_json_get(object, key));
}

static uint64_t number_of(const cJSON *object, const char *key) {
    const cJSON *item = lathe_json_get(object, key);
    return cJSON_IsNumber(item) && item->valuedouble > 0 ? (uint64_t)item->valuedouble : 0;
}

static void set_log_level(const cJSON *message) {
    const char *name = text_of(message, "log_level");
    const int level = name ? lathe_log_level_parse(name) : -1;
    if (level >= 0)
        lathe_log_set_level((lathe_log_level)level);
}

static lathe_crumbs *open_crumbs(int fd) {
    struct stat st;
    if (fd <= 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)LATHE_CRUMBS_BYTES)
        return NULL;
    void *page = mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd); /* the mapping stays; plugins need not find it */
    lathe_crumbs *crumbs =
        page == MAP_FAILED ? NULL : lathe_crumbs_attach(page, LATHE_CRUMBS_BYTES);
    if (crumbs != NULL)
        lathe_crumbs_catch_signals(crumbs, NULL);
    return crumbs;
}

static int32_t open_slots(infer_worker *w, const cJSON *serve, lathe_error *err) {
    const int fd = (int)number_of(serve, "slots");
    w->slot = &w->own_slot;
    if (fd <= 0)
        return LATHE_OK;
    const int32_t rc = lathe_slots_attach(fd, &w->slots, err);
    close(fd);
    if (rc != LATHE_OK)
        return rc;
    w->index = (int)number_of(serve, "worker");
    lathe_slot *slot = lathe_slots_at(w->slots, w->index);
    if (slot == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "the counters have no place for this worker");
    w->slot = slot;
    lathe_auth_share(w->auth, lathe_slots_at(w->slots, 0)->token_ns, LATHE_SLOTS_TOKENS);
    return LATHE_OK;
}

static void read_limits(const cJSON *limits, lathe_http_limits *out) {
    *out = (lathe_http_limits){.max_head = (size_t)number_of(limits, "max_head"),
                               .max_body = (size_t)number_of(limits, "max_body"),
                               .max_connections = (size_t)number_of(limits, "max_connections"),
                               .max_pipelined = (size_t)number_of(limits, "max_pipelined"),
                               .head_ms = number_of(limits, "head_ms"),
                               .body_ms = number_of(limits, "body_ms"),
                               .idle_ms = number_of(limits, "idle_ms"),
                               .write_ms = number_of(limits, "write_ms")};
}

static void on_beat(uv_timer_t *timer) {
    infer_worker *w = timer->data;
    atomic_store_explicit(&w->slot->alive_ns, (uint64_t)lathe_now_ns(), memory_order_relaxed);
    infer_flush(w, w->table);
    infer_shadows_tidy(w);
    w->wall_offset_us = lathe_wall_us() - lathe_now_ns() / 1000;
    if (w->http != NULL && !w->stopped)
        atomic_store_explicit(&w->slot->connections, lathe_http_connections(w->http),
                              memory_order_relaxed);
}

static int32_t load_tls(infer_worker *w, const cJSON *tls, lathe_error *err) {
    const char *certificate = text_of(tls, "certificate"), *key = text_of(tls, "key");
    return certificate && key ? lathe_tls_load(&w->tls, certificate, key, err) : LATHE_OK;
}

static int32_t start(infer_worker *w, const cJSON *serve, lathe_error *err) {
    w->setup.crumbs = open_crumbs((int)number_of(serve, "crumbs"));
    const lathe_setup_options setup = {.executable = text_of(serve, "executable"),
                                       .plugin_cache = text_of(serve, "plugin_cache"),
                                       .threads = 1};
    const uint64_t inline_us = number_of(serve, "max_inline_us");
    w->max_inline_ns = inline_us > 0 ? (int64_t)inline_us * 1000 : INLINE_NS;
    set_log_level(serve);
    int32_t rc = open_slots(w, serve, err);
    if (rc == LATHE_OK)
        rc = infer_batches_start(w, err);
    if (rc == LATHE_OK)
        rc = lathe_setup_open(&w->setup, &setup, err);
    if (rc != LATHE_OK)
        return rc;
    rc = load_tls(w, lathe_json_get(serve, "tls"), err);
    if (rc != LATHE_OK)
        return rc;
    read_limits(lathe_json_get(serve, "limits"), &w->limits);
    w->socket = (int)number_of(serve, "socket");
    on_beat(&w->beat);
    uv_timer_start(&w->beat, on_beat, BEAT_MS, BEAT_MS);
    if (!cJSON_IsTrue(lathe_json_get(serve, "await_routes")))
        rc = open_http(w, err);
    if (rc == LATHE_OK) {
        w->started = true;
        send_flag(w, "ready");
    }
    return rc;
}

/* ---- ending ---- */

static void on_stopped(void *user) {
    infer_worker *w = user;
    w->stopped = true;
    w->http = NULL;
    close_if_done(w);
}

static void drain(infer_worker *w, uint64_t grace_ms) {
    if (w->draining)
        return;
    w->draining = true;
    if (w->http != NULL)
        lathe_http_stop(w->http, grace_ms, on_stopped, w);
    else
        on_stopped(w);
}

/* ---- what the supervisor says ---- */

static void on_message(infer_worker *w, cJSON *message, lathe_error *err) {
    const cJSON *serve = lathe_json_get(message, "serve");
    if (serve != NULL && !w->started) {
        w->failed = start(w, serve, err) != LATHE_OK;
        if (w->failed)
            drain(w, 0);
    } else if (lathe_json_get(message, "routes") != NULL) {
        cJSON_Delete(w->waiting);
        w->waiting = cJSON_Duplicate(message, 1);
        load_next(w);
    } else if (lathe_json_get(message, "auth") != NULL) {
        if (lathe_auth_read(w->auth, message, err) != LATHE_OK)
            lathe_log(LATHE_LEVEL_ERROR, "infer", "tokens were not taken over: %s", err->message);
    } else if (text_of(message, "log_level") != NULL) {
        set_log_level(message);
    } else if (lathe_json_get(message, "tls") != NULL) {
        if (w->tls != NULL && load_tls(w, lathe_json_get(message, "tls"), err) != LATHE_OK)
            lathe_log(LATHE_LEVEL_ERROR, "infer", "%s: %s; the old one stays", err->where,
                      err->message);
    } else if (lathe_json_get(message, "limits") != NULL) {
        read_limits(lathe_json_get(message, "limits"), &w->limits);
        if (w->http != NULL)
            lathe_http_set_limits(w->http, &w->limits);
    } else if (cJSON_IsTrue(lathe_json_get(message, "drain"))) {
        drain(w, DRAIN_MS);
    } else if (cJSON_IsNumber(lathe_json_get(message, "answer"))) {
        infer_answer(w, message);
    }
}

static bool on_line(void *user, const char *text, size_t len) {
    infer_worker *w = user;
    lathe_error err = {0};
    cJSON *message = cJSON_ParseWithLength(text, len);
    if (message != NULL)
        on_message(w, message, &err);
    cJSON_Delete(message);
    if (w->failed)
        lathe_log(LATHE_LEVEL_ERROR, "infer", "%s%s%s", err.where, err.where[0] ? ": " : "",
                  err.message);
    return !w->failed;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    infer_worker *w = handle->data;
    (void)suggested;
    *buf = uv_buf_init(w->chunk, sizeof w->chunk);
}

/* Its end is the supervisor's end: another one has its own workers. */
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    infer_worker *w = stream->data;
    if (n == 0 || (n > 0 && lathe_lines_feed(&w->lines, buf->base, (size_t)n)))
        return;
    uv_read_stop(stream);
    drain(w, ORPHAN_MS);
}

static void close_worker(infer_worker *w) {
    infer_flush(w, w->table);
    infer_shadows_stop(w);
    infer_table_free(w->table);
    cJSON_Delete(w->waiting);
    lathe_oip_free(w->oip);
    lathe_auth_free(w->auth);
    lathe_slots_close(w->slots);
    SSL_CTX_free(w->tls);
    lathe_setup_close(&w->setup);
    lathe_buf_free(&w->lines.rest);
    lathe_buf_free(&w->body);
}

int lathe_worker_infer(void) {
    static infer_worker worker; /* large, and one a process */
    infer_worker *w = &worker;
    mallopt(M_ARENA_MAX,
            1); /* the serving thread hardly allocates: nobody waits for the one heap */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* of the whole group: the supervisor says when to end */
    signal(SIGINT, SIG_IGN);
    for (int fd = LATHE_SERVE_CONTROL_FD; fd <= LATHE_SERVE_CRUMBS_FD; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC); /* the plugin scanner does not inherit them */
    w->lines = (lathe_lines){.limit = MAX_LINE, .on_line = on_line, .user = w};
    w->auth = lathe_auth_new();
    w->oip = lathe_oip_new();
    if (w->auth == NULL || w->oip == NULL || uv_loop_init(&w->loop) != 0)
        return 1;
    uv_pipe_init(&w->loop, &w->pipe, 0);
    uv_timer_init(&w->loop, &w->beat);
    uv_timer_init(&w->loop, &w->job_timer);
    w->pipe.data = w->beat.data = w->job_timer.data = w;
    if (uv_pipe_open(&w->pipe, LATHE_SERVE_CONTROL_FD) != 0 ||
        uv_read_start((uv_stream_t *)&w->pipe, on_alloc, on_read) != 0) {
        lathe_log(LATHE_LEVEL_ERROR, "infer", "descriptor %d is no pipe of a supervisor's",
                  LATHE_SERVE_CONTROL_FD);
        return 1;
    }
    uv_run(&w->loop, UV_RUN_DEFAULT);
    close_worker(w);
    uv_loop_close(&w->loop);
    return w->failed ? 1 : 0;
}
