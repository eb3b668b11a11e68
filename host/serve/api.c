/* The control plane: /api/v1, /metrics, /health. A table of routes; each handler reads the store and answers JSON. */
#include "base/json.h"
#include "base/log.h"
#include "serve/api_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int status_of(int32_t code) {
    switch (code) {
    case LATHE_E_NOT_FOUND:
        return 404;
    case LATHE_E_INVALID:
    case LATHE_E_DATA:
        return 400;
    case LATHE_E_STATE:
    case LATHE_E_EXISTS:
        return 409;
    default:
        return 500;
    }
}

void api_reply_error(api_call *c) {
    lathe_http_fail(c->exchange, status_of(c->err.code), NULL, "%s", c->err.message);
}

/* Sends a tree, and deletes it. */
void api_reply_json(api_call *c, int status, cJSON *tree) {
    lathe_buf text = {0};
    lathe_json_print(NULL, tree, &text);
    cJSON_Delete(tree);
    if (text.failed)
        lathe_http_fail(c->exchange, 503, NULL, "out of memory");
    else
        lathe_http_reply(c->exchange, status, "application/json", NULL, text.data, text.len);
    lathe_buf_free(&text);
}

void api_add_json(cJSON *object, const char *key, const char *text) {
    cJSON *tree = text ? cJSON_Parse(text) : NULL;
    if (tree != NULL)
        cJSON_AddItemToObject(object, key, tree);
}

/* A change that all workers must serve before the answer goes out. */
typedef struct pending {
    lathe_exchange *exchange;
    bool gone;
    int status;
    bool
        anyway; /* it holds where a worker lags, too: the answer has what cannot be asked for again */
    lathe_buf answer;
} pending;

static void on_gone(void *user) {
    ((pending *)user)->gone = true;
}

static void on_reached(void *user, bool reached) {
    pending *p = user;
    if (!p->gone && (reached || p->anyway))
        lathe_http_reply(p->exchange, p->status, "application/json", NULL,
                         lathe_buf_str(&p->answer), p->answer.len);
    else if (!p->gone)
        lathe_http_fail(p->exchange, 503, "retry-after: 5\r\n",
                        "the change is stored, but not every worker has loaded it yet");
    lathe_buf_free(&p->answer);
    free(p);
}

/* Answers once every worker serves the store's new state. Deletes the tree. */
void api_reply_json_when_served(api_call *c, int status, cJSON *tree, bool anyway) {
    pending *p = calloc(1, sizeof *p);
    if (p != NULL) {
        *p = (pending){.exchange = c->exchange, .status = status, .anyway = anyway};
        lathe_json_print(NULL, tree, &p->answer);
    }
    cJSON_Delete(tree);
    if (p == NULL || p->answer.failed) {
        lathe_http_fail(c->exchange, 503, NULL, "out of memory");
    } else if (lathe_supervisor_reroute(c->s, on_reached, p, &c->err) == LATHE_OK) {
        lathe_http_on_gone(c->exchange, on_gone, p);
        return;
    } else {
        api_reply_error(c);
    }
    if (p != NULL)
        lathe_buf_free(&p->answer);
    free(p);
}

void api_reply_when_served(api_call *c, int64_t version) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "version", (double)version);
    api_reply_json_when_served(c, 200, out, false);
}

/* The body of a request as an object; NULL after an answer. An empty body is {}. */
cJSON *api_read_body(api_call *c) {
    const lathe_http_request *request = lathe_http_get(c->exchange);
    if (request->body_len == 0)
        return cJSON_CreateObject();
    lathe_json *doc =
        lathe_json_read((const char *)request->body, request->body_len, "body", NULL, &c->err);
    cJSON *tree = doc && cJSON_IsObject(lathe_json_root(doc))
                      ? cJSON_Duplicate(lathe_json_root(doc), 1)
                      : NULL;
    lathe_json_free(doc);
    if (tree == NULL)
        lathe_http_fail(c->exchange, 400, NULL, "the body is no JSON object: %s", c->err.message);
    return tree;
}

const char *api_text_or(const cJSON *object, const char *key, const char *def) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : def;
}

/* ---- runs ---- */

static cJSON *run_json(const lathe_run_record *r) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", r->id);
    cJSON_AddStringToObject(out, "pipeline", r->pipeline);
    cJSON_AddStringToObject(out, "status", r->status);
    cJSON_AddStringToObject(out, "reason", r->reason);
    cJSON_AddNumberToObject(out, "started_us", (double)r->started);
    if (r->finished > 0)
        cJSON_AddNumberToObject(out, "finished_us", (double)r->finished);
    api_add_json(out, "result", r->result);
    return out;
}

static void get_runs(api_call *c) {
    lathe_run_list list;
    const lathe_run_filter filter = {.limit = 100};
    if (lathe_store_runs(c->s->store, &filter, c->arena, &list, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(out, "runs");
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(runs, run_json(&list.items[i]));
    cJSON_AddItemToObject(out, "queue", lathe_queue_list(c->s));
    api_reply_json(c, 200, out);
}

static void get_run(api_call *c) {
    lathe_run_record run;
    if (lathe_store_run(c->s->store, c->part[1], c->arena, &run, &c->err) == LATHE_OK)
        api_reply_json(c, 200, run_json(&run));
    else
        api_reply_error(c);
}

static void get_run_events(api_call *c) {
    lathe_event_list list;
    char after[24];
    const char *text = lathe_http_query(c->exchange, "after", after, sizeof after);
    if (lathe_store_events(c->s->store, c->part[1], text ? atoll(text) : 0, 1000, c->arena, &list,
                           &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "seq", (double)list.items[i].seq);
        api_add_json(item, "event", list.items[i].json);
        cJSON_AddItemToArray(out, item);
    }
    api_reply_json(c, 200, out);
}

static cJSON *diags_json(const lathe_diags *diags) {
    cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "errors");
    cJSON_AddStringToObject(out, "error", "the document is not valid");
    for (size_t i = 0; i < diags->count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "line", diags->items[i].line);
        cJSON_AddNumberToObject(item, "column", diags->items[i].column);
        cJSON_AddStringToObject(item, "pointer", diags->items[i].pointer);
        cJSON_AddStringToObject(item, "message", diags->items[i].message);
        cJSON_AddItemToArray(list, item);
    }
    return out;
}

/* What no row of the registry tells. It is done already: a log that cannot be written is told, not undone. */
static void audit(api_call *c, const char *action, const char *subject) {
    lathe_error err = {0};
    if (lathe_store_audit_add(c->s->store, action, subject, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s of %s is not in the audit log: %s", action,
                  subject, err.message);
}

/* POST /runs with a pipeline document. */
static void submit_run(api_call *c) {
    const lathe_http_request *request = lathe_http_get(c->exchange);
    lathe_diags diags = {0};
    int64_t number = 0;
    int32_t rc = lathe_queue_submit(c->s, (const char *)request->body, request->body_len, &number,
                                    &diags, &c->err);
    if (rc == LATHE_OK) {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddNumberToObject(out, "number", (double)number);
        audit(c, "run.submit", lathe_arena_printf(c->arena, "%" PRId64, number));
        api_reply_json(c, 202, out);
    } else if (lathe_diags_any(&diags)) {
        api_reply_json(c, 400, diags_json(&diags));
    } else if (rc == LATHE_E_STATE) {
        lathe_http_fail(c->exchange, 429, "retry-after: 10\r\n", "%s", c->err.message);
    } else {
        api_reply_error(c);
    }
    lathe_diags_free(&diags);
}

static void cancel_run(api_call *c) {
    if (lathe_queue_cancel(c->s, c->part[1])) {
        audit(c, "run.cancel", c->part[1]);
        api_reply_json(c, 200, cJSON_CreateObject());
    } else {
        lathe_http_fail(c->exchange, 404, NULL, "no run \"%.60s\" waits or runs", c->part[1]);
    }
}

/* ---- tokens ---- */

static void get_tokens(api_call *c) {
    cJSON *out = lathe_api_tokens(c->s, c->arena, &c->err);
    if (out != NULL)
        api_reply_json(c, 200, out);
    else
        api_reply_error(c);
}

static void change_token(api_call *c, const char *verb) {
    const bool is_new = strcmp(verb, "create") == 0, is_end = strcmp(verb, "revoke") == 0;
    cJSON *body = api_read_body(c);
    if (body == NULL)
        return;
    cJSON *out = lathe_api_token_change(c->s, verb, c->part[1], body, &c->err);
    cJSON_Delete(body);
    if (out != NULL)
        api_reply_json_when_served(c, is_new ? 201 : 200, out, !is_end);
    else
        api_reply_error(c);
}

static void create_token(api_call *c) {
    change_token(c, "create");
}

static void rotate_token(api_call *c) {
    change_token(c, "rotate");
}

static void revoke_token(api_call *c) {
    change_token(c, "revoke");
}

/* ---- the service itself ---- */

static void get_alerts(api_call *c) {
    lathe_alert_list list;
    const lathe_alert_filter filter = {.limit = 200};
    if (lathe_store_alerts(c->s->store, &filter, c->arena, &list, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        const lathe_alert_record *a = &list.items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "id", (double)a->id);
        cJSON_AddNumberToObject(item, "time_us", (double)a->time);
        cJSON_AddStringToObject(item, "severity", a->severity);
        cJSON_AddStringToObject(item, "kind", a->kind);
        cJSON_AddStringToObject(item, "message", a->message);
        cJSON_AddStringToObject(item, "endpoint", a->endpoint);
        cJSON_AddItemToArray(out, item);
    }
    api_reply_json(c, 200, out);
}

static void get_health(api_call *c) {
    const int ready = lathe_workers_ready(c->s);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "ready", ready == c->s->n_workers && !c->s->draining);
    cJSON_AddNumberToObject(out, "workers", c->s->n_workers);
    cJSON_AddNumberToObject(out, "workers_ready", ready);
    cJSON_AddNumberToObject(out, "generation", (double)c->s->generation);
    api_reply_json(c, ready == c->s->n_workers && !c->s->draining ? 200 : 503, out);
}

static void get_metrics(api_call *c) {
    lathe_buf text = {0};
    lathe_metrics_write(c->s, &text);
    lathe_http_reply(c->exchange, text.failed ? 503 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", NULL, lathe_buf_str(&text),
                     text.len);
    lathe_buf_free(&text);
}

/* "*" stands for one piece of the path; role is what it needs at least. */
typedef struct handler {
    const char *method, *path[4];
    lathe_role role;
    void (*run)(api_call *c);
} handler;

static const handler handlers[] = {
    {"GET", {"models"}, LATHE_ROLE_READ, api_get_models},
    {"GET", {"models", "*"}, LATHE_ROLE_READ, api_get_model},
    {"POST", {"models", "*", "promote"}, LATHE_ROLE_OPERATE, api_promote_model},
    {"POST", {"models", "*", "rollback"}, LATHE_ROLE_OPERATE, api_rollback_model},
    {"GET", {"endpoints"}, LATHE_ROLE_READ, api_get_endpoints},
    {"POST", {"endpoints", "*", "rollback"}, LATHE_ROLE_OPERATE, api_rollback_endpoint},
    {"GET", {"runs"}, LATHE_ROLE_READ, get_runs},
    {"POST", {"runs"}, LATHE_ROLE_OPERATE, submit_run},
    {"GET", {"runs", "*"}, LATHE_ROLE_READ, get_run},
    {"GET", {"runs", "*", "events"}, LATHE_ROLE_READ, get_run_events},
    {"POST", {"runs", "*", "cancel"}, LATHE_ROLE_OPERATE, cancel_run},
    {"GET", {"alerts"}, LATHE_ROLE_READ, get_alerts},
    {"GET", {"tokens"}, LATHE_ROLE_ADMIN, get_tokens},
    {"POST", {"tokens"}, LATHE_ROLE_ADMIN, create_token},
    {"POST", {"tokens", "*", "rotate"}, LATHE_ROLE_ADMIN, rotate_token},
    {"POST", {"tokens", "*", "revoke"}, LATHE_ROLE_ADMIN, revoke_token},
    {"GET", {"health"}, LATHE_ROLE_NONE, get_health},
};

static bool fits(const api_call *c, const char *const path[4]) {
    size_t i = 0;
    for (; i < 4 && path[i] != NULL; i++)
        if (i >= c->n_parts || (strcmp(path[i], "*") != 0 && strcmp(path[i], c->part[i]) != 0))
            return false;
    return i == c->n_parts;
}

/* Runs a handler as the token that asks. */
static void run_as(api_call *c, const handler *h) {
    if (lathe_supervisor_act_as(c->s, c->who.actor, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    h->run(c);
    lathe_supervisor_act_as(c->s, NULL, NULL);
}

/* Who has no token does not learn which paths there are, either. */
static void dispatch(api_call *c, const char *method) {
    const handler *found = NULL;
    bool known = false;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers && found == NULL; i++) {
        if (!fits(c, handlers[i].path))
            continue;
        known = true;
        if (strcmp(handlers[i].method, method) == 0)
            found = &handlers[i];
    }
    if (!lathe_auth_admit(c->s->auth, c->exchange, found ? found->role : LATHE_ROLE_INFER, &c->who))
        return;
    if (found != NULL)
        run_as(c, found);
    else if (known)
        lathe_http_fail(c->exchange, 405, NULL, "this path does not take %s", method);
    else
        lathe_http_fail(c->exchange, 404, NULL, "there is nothing at this path");
}

void lathe_api_request(void *user, lathe_exchange *exchange) {
    static const char prefix[] = "/api/v1/";
    const lathe_http_request *request = lathe_http_get(exchange);
    api_call c = {.s = user, .exchange = exchange, .arena = lathe_arena_new()};
    if (c.arena == NULL) {
        lathe_http_fail(exchange, 503, NULL, "out of memory");
        return;
    }
    if (strcmp(request->path, "/metrics") == 0 && strcmp(request->method, "GET") == 0) {
        if (lathe_auth_admit(c.s->auth, exchange, LATHE_ROLE_READ, &c.who))
            get_metrics(&c);
    } else if (strncmp(request->path, prefix, sizeof prefix - 1) == 0) {
        char *rest = lathe_arena_strdup(c.arena, request->path + sizeof prefix - 1), *save = NULL;
        for (char *piece = rest ? strtok_r(rest, "/", &save) : NULL; piece != NULL;
             piece = strtok_r(NULL, "/", &save)) {
            if (c.n_parts == 4) {
                c.n_parts = 0; /* deeper than anything there is */
                break;
            }
            c.part[c.n_parts++] = piece;
        }
        dispatch(&c, request->method);
    } else if (lathe_auth_admit(c.s->auth, exchange, LATHE_ROLE_INFER, &c.who)) {
        lathe_http_fail(exchange, 404, NULL,
                        "there is nothing at this path; see /api/v1 and /metrics");
    }
    lathe_arena_free(c.arena);
}
