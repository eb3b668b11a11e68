/* Inference workers: sockets, processes, talk, replacement. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "plugin/crumbs.h"
#include "serve/internal.h"
#include "serve/protocol.h"
#include "serve/worker_line.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define QUICK_DEATH_NS 2000000000
#define MAX_LINE ((size_t)64 << 20)

static void start_worker(lathe_worker *w);

/* ---- sockets ---- */

static int32_t fail_port(lathe_error *err) {
    return lathe_fail_errno(err, errno, "inference", "the inference port cannot be opened");
}

/* One socket a worker, which inherits it before it has an address. */
static int32_t make_sockets(lathe_supervisor *s, lathe_error *err) {
    const int one = 1;
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(s->config.inference, &address, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++) {
        int *fd = &s->workers[i].socket;
        if (s->systemd.n_inference > 0) { /* the manager's; several workers may take from one */
            *fd = s->systemd.inference[(size_t)i % s->systemd.n_inference];
            continue;
        }
        *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
            setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
            rc = fail_port(err);
    }
    return rc;
}

int32_t lathe_workers_listen(lathe_supervisor *s, lathe_error *err) {
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(s->config.inference, &address, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++) {
        const int fd = s->workers[i].socket;
        socklen_t len =
            address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (s->systemd.n_inference == 0 &&
            (bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0))
            rc = fail_port(err);
        len = sizeof address;
        if (rc == LATHE_OK && i == 0) /* a port of 0 is chosen by the first */
            getsockname(fd, (struct sockaddr *)&address, &len);
    }
    if (rc == LATHE_OK) {
        char text[64] = "";
        if (address.ss_family == AF_INET)
            uv_ip4_name((struct sockaddr_in *)&address, text, sizeof text);
        else
            uv_ip6_name((struct sockaddr_in6 *)&address, text, sizeof text);
        lathe_log(LATHE_LEVEL_INFO, "serve", "inference on %s://%s:%d/v2",
                  s->config.tls_key ? "https" : "http", text,
                  ntohs(((struct sockaddr_in *)&address)->sin_port));
    }
    return rc;
}

/* ---- talk ---- */

typedef struct line_write {
    uv_write_t request;
    lathe_buf line;
} line_write;

static void on_written(uv_write_t *request, int status) {
    (void)status;
    line_write *w = (line_write *)request;
    lathe_buf_free(&w->line);
    free(w);
}

static void send_to(lathe_worker *worker, const cJSON *message) {
    line_write *w = worker->life ? calloc(1, sizeof *w) : NULL;
    if (w == NULL || uv_is_closing((uv_handle_t *)&worker->life->pipe)) {
        free(w);
        return;
    }
    lathe_json_print(NULL, message, &w->line);
    lathe_buf_append_char(&w->line, '\n');
    uv_buf_t buf = uv_buf_init(w->line.data, (unsigned)w->line.len);
    if (w->line.failed ||
        uv_write(&w->request, (uv_stream_t *)&worker->life->pipe, &buf, 1, on_written) != 0)
        on_written(&w->request, -1);
}

void lathe_workers_send(lathe_supervisor *s, const cJSON *message) {
    for (int i = 0; i < s->n_workers; i++)
        send_to(&s->workers[i], message);
}

static void send_auth(lathe_worker *worker) {
    cJSON *message = lathe_auth_message(worker->s->auth);
    if (message != NULL)
        send_to(worker, message);
    else if (worker->life !=
             NULL) /* its replacement begins with no table, and so refuses until it has one */
        uv_process_kill(&worker->life->process, SIGKILL);
    cJSON_Delete(message);
}

void lathe_workers_send_auth(lathe_supervisor *s) {
    for (int i = 0; i < s->n_workers; i++)
        send_auth(&s->workers[i]);
}

/* A forwarded verb that waits for all workers. */
typedef struct forwarded {
    lathe_worker *worker;
    lathe_worker_life *life; /* its asker; another incarnation gets no answer */
    double id;
} forwarded;

static void answer(const forwarded *f, int status, const char *error) {
    cJSON *message = cJSON_CreateObject();
    cJSON_AddNumberToObject(message, "answer", f->id);
    cJSON_AddNumberToObject(message, "status", status);
    cJSON *body = cJSON_AddObjectToObject(message, "body");
    if (error != NULL)
        cJSON_AddStringToObject(body, "error", error);
    if (f->worker->life == f->life)
        send_to(f->worker, message);
    cJSON_Delete(message);
}

static void on_forward_done(void *user, bool reached) {
    answer(user, reached ? 200 : 503,
           reached ? NULL : "not every worker has loaded the models yet");
    free(user);
}

void lathe_workers_set_log_level(lathe_supervisor *s, int level) {
    cJSON *message = level >= 0 ? cJSON_CreateObject() : NULL;
    if (message == NULL)
        return;
    lathe_log_set_level((lathe_log_level)level);
    cJSON_AddStringToObject(message, "log_level", lathe_log_level_name((lathe_log_level)level));
    lathe_workers_send(s, message);
    cJSON_Delete(message);
}

static void on_forward(lathe_worker *w, const lathe_worker_line *line) {
    forwarded *f = calloc(1, sizeof *f);
    lathe_error err = {0};
    if (f == NULL)
        return;
    *f = (forwarded){w, w->life, line->forward};
    if (line->verb == NULL || line->name == NULL) {
        answer(f, 400, "the request names no model");
        free(f);
        return;
    }
    /* a worker runs foreign code: who may change what is decided here, whatever it has checked */
    lathe_auth_verdict verdict;
    lathe_auth_check_secret(w->s->auth, line->token, LATHE_ROLE_OPERATE, lathe_wall_us(), &verdict);
    if (verdict.status != 200) {
        answer(f, verdict.status, verdict.message);
        free(f);
        return;
    }
    if (strcmp(line->verb, "log_level") == 0 && verdict.who.project[0] != 0) {
        answer(f, 403, "the log is the whole service's, and the token is of one project alone");
        free(f);
        return;
    }
    if (strcmp(line->verb, "log_level") == 0) {
        lathe_workers_set_log_level(w->s, lathe_log_level_parse(line->name));
        answer(f, 200, NULL);
        free(f);
        return;
    }
    int32_t rc = lathe_supervisor_admin(w->s, line->verb, line->name, &verdict.who, on_forward_done,
                                        f, &err);
    if (rc != LATHE_OK) {
        answer(f, rc == LATHE_E_NOT_FOUND ? 404 : rc == LATHE_E_INVALID ? 400 : 500, err.message);
        free(f);
    }
}

static void log_failures(const lathe_worker *w, const cJSON *failed) {
    const cJSON *item;
    cJSON_ArrayForEach(item, failed) {
        const cJSON *name = lathe_json_get(item, "name"), *error = lathe_json_get(item, "error");
        const cJSON *endpoint = lathe_json_get(item, "endpoint");
        if (cJSON_IsString(endpoint) && cJSON_IsString(name))
            lathe_rollouts_not_loaded(w->s, endpoint->valuestring, name->valuestring,
                                      cJSON_IsTrue(lathe_json_get(item, "shadow")),
                                      cJSON_IsString(error) ? error->valuestring : "");
        lathe_log(LATHE_LEVEL_ERROR, "serve", "worker %d cannot load \"%s\": %s", w->index,
                  cJSON_IsString(name) ? name->valuestring : "?",
                  cJSON_IsString(error) ? error->valuestring : "no reason given");
    }
}

static bool on_line(void *user, const char *text, size_t len) {
    lathe_worker *w = user;
    lathe_worker_line line;
    lathe_worker_line_read(text, len, &line);
    if (line.ready)
        w->ready = true;
    if (line.loaded && line.generation <= w->s->generation) { /* no other was ever sent */
        log_failures(w, line.failed);
        w->generation = line.generation;
    }
    if (line.forwards)
        on_forward(w, &line);
    if (line.event != NULL)
        lathe_log(LATHE_LEVEL_INFO, "serve", "worker %d: %s", w->index, line.event);
    lathe_worker_line_free(&line);
    lathe_supervisor_reached(w->s);
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    lathe_worker_life *life = handle->data;
    *buf = uv_buf_init(life->chunk, sizeof life->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    lathe_worker_life *life = stream->data;
    if (n == 0 || (n > 0 && lathe_lines_feed(&life->lines, buf->base, (size_t)n)))
        return;
    uv_read_stop(stream); /* its end follows by the exit of the process */
    if (n > 0)
        uv_process_kill(&life->process, SIGKILL);
}

/* ---- the end of an incarnation ---- */

static void on_closed(uv_handle_t *handle) {
    lathe_worker_life *life = handle->data;
    if (--life->open_handles > 0)
        return;
    lathe_buf_free(&life->lines.rest);
    free(life);
}

/* blame gets the steps that were under way where one of them is at fault, else "". */
static void tell_death(const lathe_worker *w, int64_t status, int signal_number, char *blame,
                       size_t size) {
    lathe_crash crash;
    char text[512] = "";
    if (signal_number != 0 && w->crumbs != NULL &&
        lathe_crumbs_read(w->crumbs, LATHE_CRUMBS_BYTES, &crash)) {
        lathe_crash_text(&crash, text, sizeof text);
        if (crash.signal != 0 || w->condemned)
            snprintf(blame, size, "%s", crash.signal != 0 ? crash.step : crash.running);
    }
    if (signal_number != 0)
        lathe_log(LATHE_LEVEL_ERROR, "serve",
                  "worker %d was ended by signal %d (%s): %s; it is replaced", w->index,
                  signal_number, strsignal(signal_number), text[0] ? text : "no plugin is known");
    else if (!w->s->draining)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "worker %d ended with code %lld; it is replaced",
                  w->index, (long long)status);
}

static void on_restart(uv_timer_t *timer) {
    start_worker(timer->data);
}

static void on_worker_exit(uv_process_t *process, int64_t status, int signal_number) {
    lathe_worker_life *life = process->data;
    lathe_worker *w = life->worker;
    char blame[512] = "";
    tell_death(w, status, signal_number, blame, sizeof blame);
    w->life = NULL;
    w->condemned = false;
    w->ready = false;
    uv_close((uv_handle_t *)&life->process, on_closed);
    uv_close((uv_handle_t *)&life->pipe, on_closed);
    if (w->s->draining) {
        if (w->s->systemd.n_inference == 0) { /* nobody accepts there any more */
            close(w->socket);
            w->socket = -1;
        }
        lathe_supervisor_worker_gone(w->s);
        return;
    }
    lathe_rollouts_crashed(w->s, blame);
    lathe_quarantine_crashed(w->s, blame);
    lathe_slot *slot = lathe_slots_at(w->s->slots, w->index);
    atomic_fetch_add(&slot->restarts, 1);
    /* at once after a long life; with growing patience where it dies again and again */
    w->quick_deaths = lathe_now_ns() - w->started_ns < QUICK_DEATH_NS ? w->quick_deaths + 1 : 0;
    const int doublings = w->quick_deaths > 9 ? 9 : w->quick_deaths;
    uv_timer_start(&w->restart, on_restart, w->quick_deaths < 2 ? 0 : (uint64_t)25 << doublings, 0);
}

/* ---- starting ---- */

static void add_tls(cJSON *message, const lathe_serve_config *config) {
    if (config->tls_key == NULL)
        return;
    cJSON *tls = cJSON_AddObjectToObject(message, "tls");
    cJSON_AddStringToObject(tls, "certificate", config->tls_certificate);
    cJSON_AddStringToObject(tls, "key", config->tls_key);
}

void lathe_workers_send_tls(lathe_supervisor *s) {
    cJSON *message = cJSON_CreateObject();
    add_tls(message, &s->config);
    if (message != NULL && message->child != NULL)
        lathe_workers_send(s, message);
    cJSON_Delete(message);
}

static void add_limits(cJSON *message, const lathe_http_limits *l) {
    cJSON *limits = cJSON_AddObjectToObject(message, "limits");
    cJSON_AddNumberToObject(limits, "max_body", (double)l->max_body);
    cJSON_AddNumberToObject(limits, "max_connections", (double)l->max_connections);
    cJSON_AddNumberToObject(limits, "head_ms", (double)l->head_ms);
    cJSON_AddNumberToObject(limits, "body_ms", (double)l->body_ms);
    cJSON_AddNumberToObject(limits, "idle_ms", (double)l->idle_ms);
}

void lathe_workers_send_limits(lathe_supervisor *s) {
    cJSON *message = cJSON_CreateObject();
    add_limits(message, &s->config.limits);
    lathe_workers_send(s, message);
    cJSON_Delete(message);
}

/* Its first line. */
static void greet(lathe_worker *w) {
    lathe_supervisor *s = w->s;
    cJSON *message = cJSON_CreateObject(), *serve = cJSON_AddObjectToObject(message, "serve");
    cJSON_AddNumberToObject(serve, "worker", w->index);
    cJSON_AddNumberToObject(serve, "socket", LATHE_SERVE_SOCKET_FD);
    cJSON_AddNumberToObject(serve, "slots", LATHE_SERVE_SLOTS_FD);
    cJSON_AddNumberToObject(serve, "crumbs", LATHE_SERVE_CRUMBS_FD);
    cJSON_AddStringToObject(serve, "executable", s->executable);
    cJSON_AddStringToObject(serve, "log_level", lathe_log_level_name(lathe_log_get_level()));
    cJSON_AddStringToObject(serve, "plugin_cache", s->plugin_cache);
    add_tls(serve, &s->config);
    cJSON_AddTrueToObject(serve, "await_routes");
    add_limits(serve, &s->config.limits);
    send_to(w, message);
    cJSON_Delete(message);
    w->started_ns = lathe_now_ns();
}

static int spawn(lathe_worker *w, lathe_worker_life *life) {
    lathe_supervisor *s = w->s;
    char *args[] = {(char *)(uintptr_t)s->executable, (char *)(uintptr_t) "worker",
                    (char *)(uintptr_t) "infer", NULL};
    uv_stdio_container_t stdio[7] = {0};
    stdio[1].flags = stdio[2].flags =
        UV_INHERIT_FD; /* a plugin that prints does not reach stdout */
    stdio[1].data.fd = stdio[2].data.fd = STDERR_FILENO;
    stdio[LATHE_SERVE_CONTROL_FD].flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE;
    stdio[LATHE_SERVE_CONTROL_FD].data.stream = (uv_stream_t *)&life->pipe;
    const int fds[] = {w->socket, s->slots_fd, w->crumbs_fd};
    for (int i = 0; i < 3; i++) {
        stdio[LATHE_SERVE_SOCKET_FD + i].flags = fds[i] >= 0 ? UV_INHERIT_FD : UV_IGNORE;
        stdio[LATHE_SERVE_SOCKET_FD + i].data.fd = fds[i];
    }
    const uv_process_options_t options = {.file = s->executable,
                                          .args = args,
                                          .stdio = stdio,
                                          .stdio_count = 7,
                                          .exit_cb = on_worker_exit};
    return uv_spawn(&s->loop, &life->process, &options);
}

static void spawn_worker(lathe_worker *w) {
    lathe_worker_life *life = calloc(1, sizeof *life);
    if (life == NULL) {
        uv_timer_start(&w->restart, on_restart, 1000, 0);
        return;
    }
    life->worker = w;
    life->open_handles = 2;
    life->lines = (lathe_lines){.limit = MAX_LINE, .on_line = on_line, .user = w};
    if (w->crumbs != NULL)
        memset(w->crumbs, 0, LATHE_CRUMBS_BYTES);
    uv_pipe_init(&w->s->loop, &life->pipe, 0);
    life->pipe.data = life->process.data = life;
    w->started_ns = lathe_now_ns();
    w->generation = 0;
    w->life = life;
    int code = spawn(w, life);
    if (code != 0) {
        lathe_log(LATHE_LEVEL_ERROR, "serve", "worker %d cannot be started: %s", w->index,
                  uv_strerror(code));
        w->life = NULL;
        uv_close((uv_handle_t *)&life->process, on_closed);
        uv_close((uv_handle_t *)&life->pipe, on_closed);
        uv_timer_start(&w->restart, on_restart, 1000, 0);
        return;
    }
    atomic_store(&lathe_slots_at(w->s->slots, w->index)->alive_ns, (uint64_t)w->started_ns);
    uv_read_start((uv_stream_t *)&life->pipe, on_alloc, on_read);
}

static void start_worker(lathe_worker *w) {
    spawn_worker(w);
    if (w->life == NULL)
        return;
    greet(w);
    send_auth(w);
    if (w->s->table != NULL)
        send_to(w, w->s->table);
}

static void make_crumbs(lathe_worker *w) {
    w->crumbs_fd = memfd_create("lathe-crumbs", MFD_CLOEXEC);
    if (w->crumbs_fd < 0 || ftruncate(w->crumbs_fd, (off_t)LATHE_CRUMBS_BYTES) != 0)
        return;
    void *page =
        mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->crumbs_fd, 0);
    w->crumbs = page == MAP_FAILED ? NULL : page;
}

int32_t lathe_workers_start(lathe_supervisor *s, lathe_error *err) {
    s->workers = lathe_arena_array(s->arena, (size_t)s->config.workers, sizeof *s->workers);
    if (s->workers == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the workers");
    s->n_workers = s->config.workers;
    for (int i = 0; i < s->n_workers; i++) {
        s->workers[i] = (lathe_worker){.s = s, .index = i, .socket = -1, .crumbs_fd = -1};
        uv_timer_init(&s->loop, &s->workers[i].restart);
        s->workers[i].restart.data = &s->workers[i];
        make_crumbs(&s->workers[i]);
    }
    int32_t rc = lathe_slots_create(s->n_workers, &s->slots, &s->slots_fd, err);
    if (rc == LATHE_OK)
        rc = make_sockets(s, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++)
        spawn_worker(&s->workers[i]);
    return rc;
}

void lathe_workers_greet(lathe_supervisor *s) {
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].life != NULL)
            greet(&s->workers[i]);
}

/* ---- care ---- */

/* Resident bytes of a process; 0 where it cannot be told. */
static int64_t resident(int pid) {
    char path[64];
    long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "r");
    if (f != NULL && fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

void lathe_workers_check(lathe_supervisor *s) {
    const int64_t now = lathe_now_ns();
    for (int i = 0; i < s->n_workers; i++) {
        lathe_worker *w = &s->workers[i];
        const int64_t alive = (int64_t)atomic_load(&lathe_slots_at(s->slots, i)->alive_ns);
        if (w->life == NULL)
            continue;
        if (now - (alive > w->started_ns ? alive : w->started_ns) > s->config.hang_ns) {
            lathe_log(LATHE_LEVEL_ERROR, "serve",
                      "worker %d has not moved for %lld s and is killed", i,
                      (long long)(s->config.hang_ns / 1000000000));
            w->condemned = true;
            uv_process_kill(&w->life->process, SIGKILL);
        } else if (s->config.worker_memory > 0 &&
                   resident(w->life->process.pid) > s->config.worker_memory) {
            lathe_log(LATHE_LEVEL_ERROR, "serve",
                      "worker %d holds more than its %lld MB and is killed", i,
                      (long long)(s->config.worker_memory >> 20));
            w->condemned = true;
            uv_process_kill(&w->life->process, SIGKILL);
        }
    }
}

void lathe_workers_drain(lathe_supervisor *s) {
    cJSON *message = cJSON_CreateObject();
    cJSON_AddTrueToObject(message, "drain");
    lathe_workers_send(s, message);
    cJSON_Delete(message);
    for (int i = 0; i < s->n_workers; i++)
        uv_timer_stop(&s->workers[i].restart);
}

void lathe_workers_kill(lathe_supervisor *s) {
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].life != NULL)
            uv_process_kill(&s->workers[i].life->process, SIGKILL);
}

int lathe_workers_alive(const lathe_supervisor *s) {
    int n = 0;
    for (int i = 0; i < s->n_workers; i++)
        n += s->workers[i].life != NULL;
    return n;
}

int lathe_workers_ready(const lathe_supervisor *s) {
    int n = 0;
    for (int i = 0; i < s->n_workers; i++)
        n += s->workers[i].ready && s->workers[i].generation == s->generation;
    return n;
}
