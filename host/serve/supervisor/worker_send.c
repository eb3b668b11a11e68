/* What the supervisor tells its workers (serve/protocol.h). */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/protocol.h"
#include "serve/supervisor/internal.h"

#include <signal.h>
#include <stdlib.h>

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

void lathe_worker_send(lathe_worker *worker, const cJSON *message) {
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
        lathe_worker_send(&s->workers[i], message);
}

void lathe_worker_send_auth(lathe_worker *worker) {
    cJSON *message = lathe_auth_message(worker->s->auth);
    if (message != NULL)
        lathe_worker_send(worker, message);
    else if (worker->life !=
             NULL) /* its replacement begins with no table, and so refuses until it has one */
        uv_process_kill(&worker->life->process, SIGKILL);
    cJSON_Delete(message);
}

void lathe_workers_send_auth(lathe_supervisor *s) {
    for (int i = 0; i < s->n_workers; i++)
        lathe_worker_send_auth(&s->workers[i]);
}

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

void lathe_worker_greet(lathe_worker *w) {
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
    lathe_worker_send(w, message);
    cJSON_Delete(message);
    w->started_ns = lathe_now_ns();
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
