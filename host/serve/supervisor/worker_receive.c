/* What a worker says: that it serves, what it could not load, and administrative verbs that arrived at it. It runs foreign code:
 * nothing it says is trusted. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/supervisor/internal.h"
#include "serve/supervisor/worker_line.h"

#include <stdlib.h>
#include <string.h>

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
        lathe_worker_send(f->worker, message);
    cJSON_Delete(message);
}

static void on_forward_done(void *user, bool reached) {
    answer(user, reached ? 200 : 503,
           reached ? NULL : "not every worker has loaded the models yet");
    free(user);
}

static void set_log_level(const forwarded *f, const char *level, const lathe_auth_who *who) {
    if (who->project[0] != 0) {
        answer(f, 403, "the log is the whole service's, and the token is of one project alone");
        return;
    }
    lathe_workers_set_log_level(f->worker->s, lathe_log_level_parse(level));
    answer(f, 200, NULL);
}

static void on_forward(lathe_worker *w, const lathe_worker_line *line) {
    forwarded *f = calloc(1, sizeof *f);
    lathe_error err = {0};
    if (f == NULL)
        return;
    *f = (forwarded){w, w->life, line->forward};
    /* a worker runs foreign code: who may change what is decided here, whatever it has checked */
    lathe_auth_verdict verdict;
    lathe_auth_check_secret(w->s->auth, line->token, LATHE_ROLE_OPERATE, lathe_wall_us(), &verdict);
    int32_t rc = LATHE_OK;
    if (line->verb == NULL || line->name == NULL)
        answer(f, 400, "the request names no model");
    else if (verdict.status != 200)
        answer(f, verdict.status, verdict.message);
    else if (strcmp(line->verb, "log_level") == 0)
        set_log_level(f, line->name, &verdict.who);
    else if ((rc = lathe_supervisor_admin(w->s, line->verb, line->name, &verdict.who,
                                          on_forward_done, f, &err)) == LATHE_OK)
        return; /* answered when all workers have it */
    else
        answer(f, rc == LATHE_E_NOT_FOUND ? 404 : rc == LATHE_E_INVALID ? 400 : 500, err.message);
    free(f);
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

bool lathe_worker_on_line(void *user, const char *text, size_t len) {
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
