/* Processes of inference workers: their start, their care, and their replacement. */
#include "base/clock.h"
#include "base/log.h"
#include "plugin/crumbs.h"
#include "serve/protocol.h"
#include "serve/supervisor/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUICK_DEATH_NS 2000000000
#define MAX_LINE ((size_t)64 << 20)

static void start_worker(lathe_worker *w);

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
    life->lines = (lathe_lines){.limit = MAX_LINE, .on_line = lathe_worker_on_line, .user = w};
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
    lathe_worker_greet(w);
    lathe_worker_send_auth(w);
    if (w->s->table != NULL)
        lathe_worker_send(w, w->s->table);
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
        rc = lathe_workers_make_sockets(s, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++)
        spawn_worker(&s->workers[i]);
    return rc;
}

void lathe_workers_greet(lathe_supervisor *s) {
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].life != NULL)
            lathe_worker_greet(&s->workers[i]);
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
