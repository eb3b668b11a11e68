/* What a worker says, line by line: events on their pipe, what plugins print on the other. It runs foreign code, so any bytes
 * may come: what is no event ends it. */
#include "pipeline/parent_internal.h"

#include "plugin/text.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OUTPUT_LINE ((size_t)64 << 10)

static const lathe_json_limits event_limits = {.max_bytes = PARENT_MAX_LINE, .max_depth = 64};

static void keep_event(lathe_parent *p, const char *text, size_t len) {
    if (p->n_batch == PARENT_MAX_BATCH)
        parent_flush(p);
    char *copy = strndup(text, len);
    if (copy != NULL)
        p->batch[p->n_batch++] = copy;
}

static void take_failure(lathe_parent *p, const cJSON *event) {
    const cJSON *code = lathe_json_get(event, "code");
    const cJSON *where = lathe_json_get(event, "where");
    const cJSON *message = lathe_json_get(event, "message");
    lathe_fail(&p->error,
               cJSON_IsNumber(code) && code->valueint ? code->valueint : LATHE_E_INTERNAL,
               cJSON_IsString(where) ? where->valuestring : NULL, "%s",
               cJSON_IsString(message) ? message->valuestring : "failed without a reason");
}

static void note_step(lathe_parent *p, const cJSON *event) {
    const cJSON *step = lathe_json_get(event, "step"), *state = lathe_json_get(event, "state");
    if (cJSON_IsString(step) && cJSON_IsString(state) && strcmp(state->valuestring, "started") == 0)
        snprintf(p->step, sizeof p->step, "%s", step->valuestring);
}

/* A worker that never stops talking would fill the store, one that never reads its answers our memory. False: it has gone too
 * far, and is ended. */
static bool may_go_on(lathe_parent *p, size_t len, bool asks) {
    const lathe_run_request *r = &p->request;
    const int64_t max_lines = r->max_lines > 0 ? r->max_lines : LATHE_RUN_MAX_LINES;
    const int64_t max_bytes = r->max_bytes > 0 ? r->max_bytes : LATHE_RUN_MAX_BYTES;
    const size_t unread = uv_stream_get_write_queue_size((uv_stream_t *)&p->control);
    p->bytes += (int64_t)len;
    if (++p->lines > max_lines)
        lathe_fail(&p->error, LATHE_E_MEMORY, parent_place(p),
                   "the run was ended: its worker sent more than %lld events and questions",
                   (long long)max_lines);
    else if (p->bytes > max_bytes)
        lathe_fail(&p->error, LATHE_E_MEMORY, parent_place(p),
                   "the run was ended: its worker sent events and questions of more than %lld "
                   "bytes",
                   (long long)max_bytes);
    else if (asks && unread > PARENT_MAX_UNREAD)
        lathe_fail(&p->error, LATHE_E_MEMORY, parent_place(p),
                   "the run was ended: its worker asks and does not read the answers, of which "
                   "more than %zu MB wait",
                   PARENT_MAX_UNREAD >> 20);
    else
        return true;
    parent_kill(p);
    return false;
}

static bool on_event_line(void *user, const char *text, size_t len) {
    lathe_parent *p = user;
    lathe_error err = {0};
    lathe_json *doc = lathe_json_read(text, len, "worker", &event_limits, &err);
    const cJSON *event = doc ? lathe_json_root(doc) : NULL;
    const cJSON *name = lathe_json_get(event, "event");
    if (!cJSON_IsString(name)) {
        lathe_json_free(doc);
        if (p->error.code == 0)
            lathe_fail(&p->error, LATHE_E_CORRUPT, parent_place(p),
                       "the worker sent what is no event: %s", err.message);
        parent_kill(p);
        return false;
    }
    const bool asks = lathe_json_get(event, "ask") != NULL;
    const bool is_progress = strcmp(name->valuestring, "progress") == 0;
    if ((asks || !is_progress) && !may_go_on(p, len, asks)) {
        lathe_json_free(doc);
        return false;
    }
    if (asks) {
        if (p->actor != NULL) /* the store serves other runs, too */
            lathe_store_set_actor(p->store, p->actor, NULL);
        parent_send(p, lathe_parent_answer(p, event));
    } else if (!is_progress) {
        keep_event(p, text, len);
    }
    if (strcmp(name->valuestring, "result") == 0) {
        cJSON_Delete(p->result);
        p->result = cJSON_Duplicate(lathe_json_get(event, "result"), 1);
    } else if (strcmp(name->valuestring, "failed") == 0) {
        take_failure(p, event);
    } else if (strcmp(name->valuestring, "step") == 0) {
        note_step(p, event);
    }
    if (p->request.on_event != NULL)
        p->request.on_event(p->request.user, event);
    lathe_json_free(doc);
    return true;
}

static bool on_output_line(void *user, const char *text, size_t len) {
    lathe_parent *p = user;
    char clean[1024]; /* it goes to a terminal */
    if (p->request.on_output != NULL)
        p->request.on_output(p->request.user, lathe_text_clean(text, len, clean, sizeof clean));
    return true;
}

void parent_hear(lathe_parent *p) {
    p->event_lines = (lathe_lines){.limit = PARENT_MAX_LINE, .on_line = on_event_line, .user = p};
    p->output_lines =
        (lathe_lines){.limit = MAX_OUTPUT_LINE, .cuts = true, .on_line = on_output_line, .user = p};
}
