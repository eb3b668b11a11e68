#include "pipeline/parent_internal.h"

#include "pipeline/link.h"
#include "plugin/crumbs.h"
#include "plugin/text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FLUSH_MS 200
#define SILENT_MS 2000 /* a worker lives on after the end of its events */
#define DRAIN_MS 1000  /* its pipes stay open after its end */

/* ---- the end ---- */

static const char *outcome_status(const lathe_parent *p, int *exit_code) {
    if (p->term_signal == 0 && p->result != NULL && (p->exit_status == 0 || p->exit_status == 3)) {
        *exit_code = (int)p->exit_status;
        return p->exit_status == 0 ? LATHE_RUN_SUCCEEDED : LATHE_RUN_GOAL_NOT_MET;
    }
    if (p->stopping) {
        *exit_code = 130;
        return p->interrupted ? LATHE_RUN_INTERRUPTED : LATHE_RUN_CANCELLED;
    }
    *exit_code = 1;
    return LATHE_RUN_FAILED;
}

const char *parent_place(const lathe_parent *p) {
    return p->step[0] ? p->step : "worker";
}

/* Why the worker died, where it did not say so itself: from its breadcrumbs. */
static void explain_death(lathe_parent *p) {
    lathe_crash crash = {0};
    char text[512];
    const bool known =
        p->crumbs != NULL && lathe_crumbs_read(p->crumbs, LATHE_CRUMBS_BYTES, &crash);
    if (p->killed) { /* by us: the error, if any, says why */
        const lathe_error why = p->error;
        lathe_fail(&p->error, why.code ? why.code : LATHE_E_CANCELLED, why.code ? why.where : NULL,
                   "%.300s%s%.200s",
                   why.code ? why.message : "stopped; its process had to be ended",
                   known && crash.running[0] ? "; busy were: " : "", known ? crash.running : "");
        return;
    }
    if (p->term_signal == 0) {
        if (p->result == NULL && p->error.code == 0 && p->exit_status == LATHE_LINK_MUTE)
            lathe_fail(&p->error, LATHE_E_CRASHED, parent_place(p),
                       "the worker, or a plugin in it, closed the pipe of its events, and ended");
        else if (p->result == NULL && p->error.code == 0)
            lathe_fail(&p->error, LATHE_E_CRASHED, parent_place(p),
                       "the worker ended with code %lld before it had a result%s%.200s",
                       (long long)p->exit_status, crash.running[0] ? "; busy were: " : "",
                       crash.running);
        return;
    }
    if (known)
        lathe_fail(&p->error, LATHE_E_CRASHED, crash.step[0] ? crash.step : parent_place(p), "%s",
                   lathe_crash_text(&crash, text, sizeof text));
    else
        lathe_fail(&p->error, LATHE_E_CRASHED, parent_place(p),
                   "the worker was ended by signal %d (%s)", p->term_signal,
                   strsignal(p->term_signal));
}

/* Ends the worker for a reason of ours. */
void parent_kill(lathe_parent *p) {
    p->killed = true;
    if (!p->exited) /* its number may be another's by now; its last lines are still read */
        uv_process_kill(&p->process, SIGKILL);
}

void parent_flush(lathe_parent *p) {
    if (p->n_batch == 0)
        return;
    lathe_error err = {0};
    int64_t last = 0;
    int32_t rc = lathe_store_events_append(p->store, p->id, (const char *const *)p->batch,
                                           p->n_batch, &last, &err);
    if (rc != LATHE_OK && p->error.code == 0)
        p->error = err;
    if (rc == LATHE_OK && p->request.on_stored != NULL)
        p->request.on_stored(p->request.user, last);
    for (size_t i = 0; i < p->n_batch; i++)
        free(p->batch[i]);
    p->n_batch = 0;
}

static void free_parent(lathe_parent *p) {
    for (size_t i = 0; i < p->n_batch; i++)
        free(p->batch[i]);
    lathe_buf_free(&p->event_lines.rest);
    lathe_buf_free(&p->output_lines.rest);
    if (p->crumbs != NULL)
        munmap(p->crumbs, LATHE_CRUMBS_BYTES);
    cJSON_Delete(p->result);
    lathe_arena_free(p->arena);
    free(p);
}

/* Everything has closed: writes the run's end and tells. */
static void finish(lathe_parent *p) {
    int exit_code;
    lathe_error err = {0};
    lathe_buf result = {0};
    parent_flush(p);
    const char *status = outcome_status(p, &exit_code);
    if (exit_code == 1 || exit_code == 130)
        explain_death(p);
    if (exit_code == 130)
        p->error.code = LATHE_E_CANCELLED;
    if (p->result != NULL)
        lathe_json_print(NULL, p->result, &result);
    int32_t rc = lathe_store_run_finish(p->store, p->id, status, p->error.message,
                                        p->result ? lathe_buf_str(&result) : NULL, &err);
    if (rc != LATHE_OK && exit_code != 130) {
        p->error = err;
        exit_code = 1;
        status = LATHE_RUN_FAILED;
    }
    lathe_buf_free(&result);
    const lathe_outcome outcome = {status, exit_code, p->result, &p->error};
    p->request.on_end(p->request.user, &outcome);
    free_parent(p);
}

static void on_closed(uv_handle_t *handle) {
    lathe_parent *p = handle->data;
    if (--p->open_handles == 0)
        finish(p);
}

static void close_handle(lathe_parent *p, void *handle) {
    (void)p;
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

/* The worker is gone and its pipes are read to the end. */
static void close_if_done(lathe_parent *p) {
    if (!p->exited || uv_is_active((uv_handle_t *)&p->events) ||
        uv_is_active((uv_handle_t *)&p->output))
        return;
    close_handle(p, &p->process);
    close_handle(p, &p->control);
    close_handle(p, &p->events);
    close_handle(p, &p->output);
    close_handle(p, &p->kill_timer);
    close_handle(p, &p->flush_timer);
}

/* ---- talking ---- */

typedef struct line_write {
    uv_write_t request;
    lathe_parent *parent;
    lathe_buf line;
} line_write;

/* The worker waits for what it will not hear. One that is gone is noticed by its exit, a handle that closes has no listener. */
static void fail_to_send(lathe_parent *p, int status) {
    if (status == UV_EPIPE || status == UV_ECONNRESET || status == UV_ECANCELED)
        return;
    if (p->error.code == 0)
        lathe_fail(&p->error, status == UV_ENOMEM ? LATHE_E_MEMORY : LATHE_E_IO, parent_place(p),
                   "the worker cannot be answered: %s", uv_strerror(status));
    parent_kill(p);
}

static void on_written(uv_write_t *request, int status) {
    line_write *w = (line_write *)request;
    if (status != 0)
        fail_to_send(w->parent, status);
    lathe_buf_free(&w->line);
    free(w);
}

/* Sends one line; takes the tree over. */
void parent_send(lathe_parent *p, cJSON *message) {
    if (uv_is_closing((uv_handle_t *)&p->control)) {
        cJSON_Delete(message);
        return;
    }
    line_write *w = calloc(1, sizeof *w);
    if (w == NULL || message == NULL) {
        free(w);
        cJSON_Delete(message);
        fail_to_send(p, UV_ENOMEM);
        return;
    }
    w->parent = p;
    lathe_json_print(NULL, message, &w->line);
    lathe_buf_append_char(&w->line, '\n');
    cJSON_Delete(message);
    uv_buf_t buf = uv_buf_init(w->line.data, (unsigned)w->line.len);
    const int status = w->line.failed
                           ? UV_ENOMEM
                           : uv_write(&w->request, (uv_stream_t *)&p->control, &buf, 1, on_written);
    if (status != 0)
        on_written(&w->request, status);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    lathe_parent *p = handle->data;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_kill(uv_timer_t *timer) {
    lathe_parent *p = timer->data;
    if (p->exited)
        return;
    if (!p->stopping && p->error.code == 0)
        lathe_fail(&p->error, LATHE_E_CRASHED, parent_place(p),
                   "the worker closed the pipe of its events and did not end");
    parent_kill(p);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    lathe_parent *p = stream->data;
    lathe_lines *lines = stream == (uv_stream_t *)&p->events ? &p->event_lines : &p->output_lines;
    if (n == 0)
        return;
    if (n > 0 && lathe_lines_feed(lines, buf->base, (size_t)n))
        return;
    if (n > 0 &&
        lines == &p->output_lines) { /* no memory: its text is of no use, its pipe must flow */
        lathe_buf_clear(&lines->rest);
        return;
    }
    if (n > 0 && p->error.code == 0)
        lathe_fail(&p->error, LATHE_E_CORRUPT, parent_place(p),
                   "the worker sent an event of over %zu MB", PARENT_MAX_LINE >> 20);
    if (n > 0)
        parent_kill(p);
    else
        lathe_lines_flush(lines);
    if (n < 0 && lines == &p->event_lines && !p->exited && !p->stopping)
        uv_timer_start(&p->kill_timer, on_kill, SILENT_MS, 0);
    uv_read_stop(stream);
    close_if_done(p);
}

static void on_flush(uv_timer_t *timer) {
    parent_flush(timer->data);
}

/* A process that the worker left behind holds its pipes open; nothing of worth comes from it. */
static void on_drained(uv_timer_t *timer) {
    lathe_parent *p = timer->data;
    uv_read_stop((uv_stream_t *)&p->events);
    uv_read_stop((uv_stream_t *)&p->output);
    close_if_done(p);
}

static void on_worker_exit(uv_process_t *process, int64_t status, int term_signal) {
    lathe_parent *p = process->data;
    p->exited = true;
    p->exit_status = status;
    p->term_signal = term_signal;
    uv_timer_start(&p->kill_timer, on_drained, DRAIN_MS, 0);
    close_if_done(p);
}

void lathe_parent_stop(lathe_parent *p, uint64_t grace_ms) {
    if (!p->stopping) {
        cJSON *message = cJSON_CreateObject();
        cJSON_AddTrueToObject(message, "stop");
        parent_send(p, message);
    }
    p->stopping = true;
    if (!p->exited)
        uv_timer_start(&p->kill_timer, on_kill, grace_ms, 0);
}

void lathe_parent_interrupt(lathe_parent *p, uint64_t grace_ms) {
    p->interrupted = true;
    lathe_parent_stop(p, grace_ms);
}

const char *lathe_parent_run_id(const lathe_parent *p) {
    return p->id;
}

/* ---- starting ---- */

static cJSON *make_list(const char *const *texts, size_t n) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(texts[i]));
    return list;
}

static void send_job(lathe_parent *p, const lathe_run_request *r) {
    cJSON *job = cJSON_CreateObject();
    const char *cache = lathe_arena_printf(p->arena, "%s/plugins.json", lathe_store_home(p->store));
    cJSON_AddStringToObject(job, "run", p->id);
    cJSON_AddStringToObject(job, "document", r->text);
    cJSON_AddStringToObject(job, "file", r->file);
    if (r->base_dir != NULL)
        cJSON_AddStringToObject(job, "base_dir", r->base_dir);
    cJSON_AddItemToObject(job, "roots", make_list(r->roots, r->n_roots));
    cJSON_AddItemToObject(job, "sets", make_list(r->sets, r->n_sets));
    cJSON_AddStringToObject(job, "staging", p->staging);
    cJSON_AddStringToObject(job, "executable", r->executable);
    if (cache != NULL)
        cJSON_AddStringToObject(job, "plugin_cache", cache);
    cJSON_AddNumberToObject(job, "threads", r->threads);
    parent_send(p, job);
}

/* A page that the worker's breadcrumbs survive in. */
static void make_crumbs(lathe_parent *p) {
    p->crumbs_fd = memfd_create("lathe-crumbs", MFD_CLOEXEC);
    if (p->crumbs_fd < 0 || ftruncate(p->crumbs_fd, (off_t)LATHE_CRUMBS_BYTES) != 0)
        return;
    void *page =
        mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->crumbs_fd, 0);
    p->crumbs = page == MAP_FAILED ? NULL : page;
}

/* The environment of a worker: ours, with one BLAS thread a call (read by OpenBLAS before main). */
static char **worker_environment(lathe_arena *arena) {
    extern char **environ;
    size_t n = 0;
    while (environ[n] != NULL)
        n++;
    char **env = lathe_arena_array(arena, n + 2, sizeof *env);
    size_t m = 0;
    for (size_t i = 0; env != NULL && i < n; i++)
        if (strncmp(environ[i], "OPENBLAS_NUM_THREADS=", 21) != 0)
            env[m++] = environ[i];
    if (env != NULL)
        env[m] = "OPENBLAS_NUM_THREADS=1";
    return env;
}

static int32_t spawn(uv_loop_t *loop, lathe_parent *p, const lathe_run_request *r,
                     lathe_error *err) {
    char *args[] = {(char *)r->executable, "worker", "run", NULL};
    uv_stdio_container_t stdio[5] = {0};
    uv_pipe_t *const pipes[] = {&p->control, &p->output, NULL, &p->events};
    make_crumbs(p);
    uv_timer_init(loop, &p->kill_timer);
    uv_timer_init(loop, &p->flush_timer);
    uv_pipe_init(loop, &p->control, 0);
    uv_pipe_init(loop, &p->events, 0);
    uv_pipe_init(loop, &p->output, 0);
    p->control.data = p->events.data = p->output.data = p->kill_timer.data = p->flush_timer.data =
        p->process.data = p;
    for (int i = 0; i < 4; i++) {
        if (pipes[i] == NULL)
            continue;
        stdio[i].flags = UV_CREATE_PIPE | (i == 0 ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
        stdio[i].data.stream = (uv_stream_t *)pipes[i];
    }
    stdio[2].flags = UV_INHERIT_FD;
    stdio[2].data.fd = STDERR_FILENO;
    stdio[4].flags = p->crumbs ? UV_INHERIT_FD : UV_IGNORE;
    stdio[4].data.fd = p->crumbs_fd;
    const uv_process_options_t options = {.file = r->executable,
                                          .args = args,
                                          .env = worker_environment(p->arena),
                                          .stdio = stdio,
                                          .stdio_count = 5,
                                          .exit_cb = on_worker_exit};
    int code = uv_spawn(loop, &p->process, &options);
    if (p->crumbs_fd >= 0)
        close(p->crumbs_fd);
    p->open_handles = 6;
    if (code == 0)
        return LATHE_OK;
    p->exited = true; /* the handles are there and must close */
    return lathe_fail(err, LATHE_E_IO, r->executable, "cannot start the worker: %s",
                      uv_strerror(code));
}

int32_t lathe_parent_start(uv_loop_t *loop, lathe_store *store, const lathe_run_request *request,
                           lathe_parent **out, lathe_error *err) {
    *out = NULL;
    lathe_parent *p = calloc(1, sizeof *p);
    if (p == NULL || (p->arena = lathe_arena_new()) == NULL) {
        free(p);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a run");
    }
    p->store = store;
    p->actor = request->actor ? lathe_arena_strdup(p->arena, request->actor) : NULL;
    p->project = request->project ? lathe_arena_strdup(p->arena, request->project) : NULL;
    p->request = *request;
    p->crumbs_fd = -1;
    parent_hear(p);
    const lathe_run_new info = {.id = request->run,
                                .project = request->project,
                                .pipeline = request->pipeline,
                                .document = request->document,
                                .seed = request->seed,
                                .version = LATHE_SDK_VERSION};
    int32_t rc = lathe_store_run_begin(store, &info, p->id, err);
    const bool begun = rc == LATHE_OK;
    if (begun)
        rc = lathe_store_staging(store, p->id, p->arena, &p->staging, err);
    if (rc != LATHE_OK) {
        if (begun)
            lathe_store_run_finish(store, p->id, LATHE_RUN_FAILED, err ? err->message : "", NULL,
                                   NULL);
        free_parent(p);
        return rc;
    }
    rc = spawn(loop, p, request, err);
    if (rc != LATHE_OK) {
        p->error = *err;
        close_if_done(p); /* on_end tells the rest */
        *out = p;
        return LATHE_OK;
    }
    uv_timer_start(&p->flush_timer, on_flush, FLUSH_MS, FLUSH_MS);
    uv_read_start((uv_stream_t *)&p->events, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&p->output, on_alloc, on_read);
    send_job(p, request);
    *out = p;
    return LATHE_OK;
}
