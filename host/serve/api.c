/* The control plane: /api/v1, /metrics, /health. A table of routes; each handler reads the store and answers JSON. */
#include "base/json.h"
#include "base/log.h"
#include "model/model.h"
#include "serve/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One request under way: path pieces after /api/v1, and memory of its own. */
typedef struct call {
    lathe_supervisor *s;
    lathe_exchange *exchange;
    lathe_arena *arena;
    const char *part[4]; /* "models", "adult-income", "promote" */
    size_t n_parts;
    lathe_auth_who who;
    lathe_error err;
} call;

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

static void reply_error(call *c) {
    lathe_http_fail(c->exchange, status_of(c->err.code), NULL, "%s", c->err.message);
}

/* Sends a tree, and deletes it. */
static void reply_json(call *c, int status, cJSON *tree) {
    lathe_buf text = {0};
    lathe_json_print(NULL, tree, &text);
    cJSON_Delete(tree);
    if (text.failed)
        lathe_http_fail(c->exchange, 503, NULL, "out of memory");
    else
        lathe_http_reply(c->exchange, status, "application/json", NULL, text.data, text.len);
    lathe_buf_free(&text);
}

static void add_json(cJSON *object, const char *key, const char *text) {
    cJSON *tree = text ? cJSON_Parse(text) : NULL;
    if (tree != NULL)
        cJSON_AddItemToObject(object, key, tree);
}

/* ---- models ---- */

static cJSON *version_json(const lathe_version_record *v) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", v->model);
    cJSON_AddNumberToObject(out, "version", (double)v->version);
    cJSON_AddStringToObject(out, "sha256", v->sha256);
    cJSON_AddNumberToObject(out, "bytes", (double)v->bytes);
    cJSON_AddStringToObject(out, "run", v->run);
    cJSON_AddNumberToObject(out, "created_us", (double)v->created);
    cJSON_AddStringToObject(out, "aliases", v->aliases);
    add_json(out, "metrics", v->metrics);
    add_json(out, "goal", v->goal);
    return out;
}

static void get_models(call *c) {
    lathe_model_list list;
    if (lathe_store_models(c->s->store, c->arena, &list, &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", list.items[i].name);
        cJSON_AddNumberToObject(item, "versions", (double)list.items[i].versions);
        cJSON_AddItemToArray(out, item);
    }
    reply_json(c, 200, out);
}

static void get_model(call *c) {
    lathe_version_list list;
    if (lathe_store_versions(c->s->store, c->part[1], c->arena, &list, &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(out, version_json(&list.items[i]));
    reply_json(c, 200, out);
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
static void reply_json_when_served(call *c, int status, cJSON *tree, bool anyway) {
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
        reply_error(c);
    }
    if (p != NULL)
        lathe_buf_free(&p->answer);
    free(p);
}

static void reply_when_served(call *c, int64_t version) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "version", (double)version);
    reply_json_when_served(c, 200, out, false);
}

/* The body of a request as an object; NULL after an answer. An empty body is {}. */
static cJSON *read_body(call *c) {
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

static const char *text_or(const cJSON *object, const char *key, const char *def) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : def;
}

static bool goal_refuses(const char *goal) {
    cJSON *tree = goal ? cJSON_Parse(goal) : NULL;
    const bool refuses = cJSON_IsFalse(lathe_json_get(tree, "met"));
    cJSON_Delete(tree);
    return refuses;
}

/* POST /models/M/promote {"version": 3, "alias": "live", "reason": "…"}: the goal's gates hold here too. */
static void promote_model(call *c) {
    cJSON *body = read_body(c);
    const cJSON *number = lathe_json_get(body, "version");
    lathe_version_record v;
    if (body == NULL)
        return;
    const char *ref = cJSON_IsNumber(number)
                          ? lathe_arena_printf(c->arena, "%s@%.0f", c->part[1], number->valuedouble)
                          : c->part[1];
    int32_t rc = lathe_store_version(c->s->store, ref, c->arena, &v, &c->err);
    if (rc == LATHE_OK && goal_refuses(v.goal))
        rc = lathe_fail(&c->err, LATHE_E_STATE, NULL, "%s@%" PRId64 " did not meet its goal",
                        v.model, v.version);
    if (rc == LATHE_OK)
        rc = lathe_store_alias_set(c->s->store, v.model, text_or(body, "alias", "live"), v.version,
                                   text_or(body, "reason", ""), &c->err);
    cJSON_Delete(body);
    if (rc == LATHE_OK)
        reply_when_served(c, v.version);
    else
        reply_error(c);
}

static void rollback_model(call *c) {
    cJSON *body = read_body(c);
    int64_t version = 0;
    if (body == NULL)
        return;
    int32_t rc = lathe_store_alias_rollback(c->s->store, c->part[1], text_or(body, "alias", "live"),
                                            text_or(body, "reason", ""), &version, &c->err);
    cJSON_Delete(body);
    if (rc == LATHE_OK)
        reply_when_served(c, version);
    else
        reply_error(c);
}

/* ---- endpoints ---- */

static void get_endpoints(call *c) {
    lathe_endpoint_list list;
    if (lathe_store_endpoints(c->s->store, c->arena, &list, &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        const lathe_endpoint_record *e = &list.items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", e->name);
        cJSON_AddStringToObject(item, "model", e->model);
        cJSON_AddStringToObject(item, "alias", e->alias);
        cJSON_AddNumberToObject(item, "version", (double)e->version);
        cJSON_AddStringToObject(item, "sha256", e->sha256);
        cJSON_AddItemToArray(out, item);
    }
    reply_json(c, 200, out);
}

static void rollback_endpoint(call *c) {
    int64_t version = 0;
    if (lathe_store_endpoint_rollback(c->s->store, c->part[1], "control plane", &version,
                                      &c->err) == LATHE_OK)
        reply_when_served(c, version);
    else
        reply_error(c);
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
    add_json(out, "result", r->result);
    return out;
}

static void get_runs(call *c) {
    lathe_run_list list;
    const lathe_run_filter filter = {.limit = 100};
    if (lathe_store_runs(c->s->store, &filter, c->arena, &list, &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(out, "runs");
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(runs, run_json(&list.items[i]));
    cJSON_AddItemToObject(out, "queue", lathe_queue_list(c->s));
    reply_json(c, 200, out);
}

static void get_run(call *c) {
    lathe_run_record run;
    if (lathe_store_run(c->s->store, c->part[1], c->arena, &run, &c->err) == LATHE_OK)
        reply_json(c, 200, run_json(&run));
    else
        reply_error(c);
}

static void get_run_events(call *c) {
    lathe_event_list list;
    char after[24];
    const char *text = lathe_http_query(c->exchange, "after", after, sizeof after);
    if (lathe_store_events(c->s->store, c->part[1], text ? atoll(text) : 0, 1000, c->arena, &list,
                           &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "seq", (double)list.items[i].seq);
        add_json(item, "event", list.items[i].json);
        cJSON_AddItemToArray(out, item);
    }
    reply_json(c, 200, out);
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
static void audit(call *c, const char *action, const char *subject) {
    lathe_error err = {0};
    if (lathe_store_audit_add(c->s->store, action, subject, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s of %s is not in the audit log: %s", action,
                  subject, err.message);
}

/* POST /runs with a pipeline document. */
static void submit_run(call *c) {
    const lathe_http_request *request = lathe_http_get(c->exchange);
    lathe_diags diags = {0};
    int64_t number = 0;
    int32_t rc = lathe_queue_submit(c->s, (const char *)request->body, request->body_len, &number,
                                    &diags, &c->err);
    if (rc == LATHE_OK) {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddNumberToObject(out, "number", (double)number);
        audit(c, "run.submit", lathe_arena_printf(c->arena, "%" PRId64, number));
        reply_json(c, 202, out);
    } else if (lathe_diags_any(&diags)) {
        reply_json(c, 400, diags_json(&diags));
    } else if (rc == LATHE_E_STATE) {
        lathe_http_fail(c->exchange, 429, "retry-after: 10\r\n", "%s", c->err.message);
    } else {
        reply_error(c);
    }
    lathe_diags_free(&diags);
}

static void cancel_run(call *c) {
    if (lathe_queue_cancel(c->s, c->part[1])) {
        audit(c, "run.cancel", c->part[1]);
        reply_json(c, 200, cJSON_CreateObject());
    } else {
        lathe_http_fail(c->exchange, 404, NULL, "no run \"%.60s\" waits or runs", c->part[1]);
    }
}

/* ---- tokens ---- */

static void get_tokens(call *c) {
    cJSON *out = lathe_api_tokens(c->s, c->arena, &c->err);
    if (out != NULL)
        reply_json(c, 200, out);
    else
        reply_error(c);
}

static void change_token(call *c, const char *verb) {
    const bool is_new = strcmp(verb, "create") == 0, is_end = strcmp(verb, "revoke") == 0;
    cJSON *body = read_body(c);
    if (body == NULL)
        return;
    cJSON *out = lathe_api_token_change(c->s, verb, c->part[1], body, &c->err);
    cJSON_Delete(body);
    if (out != NULL)
        reply_json_when_served(c, is_new ? 201 : 200, out, !is_end);
    else
        reply_error(c);
}

static void create_token(call *c) {
    change_token(c, "create");
}

static void rotate_token(call *c) {
    change_token(c, "rotate");
}

static void revoke_token(call *c) {
    change_token(c, "revoke");
}

/* ---- the service itself ---- */

static void get_alerts(call *c) {
    lathe_alert_list list;
    const lathe_alert_filter filter = {.limit = 200};
    if (lathe_store_alerts(c->s->store, &filter, c->arena, &list, &c->err) != LATHE_OK) {
        reply_error(c);
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
    reply_json(c, 200, out);
}

static void get_health(call *c) {
    const int ready = lathe_workers_ready(c->s);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "ready", ready == c->s->n_workers && !c->s->draining);
    cJSON_AddNumberToObject(out, "workers", c->s->n_workers);
    cJSON_AddNumberToObject(out, "workers_ready", ready);
    cJSON_AddNumberToObject(out, "generation", (double)c->s->generation);
    reply_json(c, ready == c->s->n_workers && !c->s->draining ? 200 : 503, out);
}

static void get_metrics(call *c) {
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
    void (*run)(call *c);
} handler;

static const handler handlers[] = {
    {"GET", {"models"}, LATHE_ROLE_READ, get_models},
    {"GET", {"models", "*"}, LATHE_ROLE_READ, get_model},
    {"POST", {"models", "*", "promote"}, LATHE_ROLE_OPERATE, promote_model},
    {"POST", {"models", "*", "rollback"}, LATHE_ROLE_OPERATE, rollback_model},
    {"GET", {"endpoints"}, LATHE_ROLE_READ, get_endpoints},
    {"POST", {"endpoints", "*", "rollback"}, LATHE_ROLE_OPERATE, rollback_endpoint},
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

static bool fits(const call *c, const char *const path[4]) {
    size_t i = 0;
    for (; i < 4 && path[i] != NULL; i++)
        if (i >= c->n_parts || (strcmp(path[i], "*") != 0 && strcmp(path[i], c->part[i]) != 0))
            return false;
    return i == c->n_parts;
}

/* Runs a handler as the token that asks. */
static void run_as(call *c, const handler *h) {
    if (lathe_supervisor_act_as(c->s, c->who.actor, &c->err) != LATHE_OK) {
        reply_error(c);
        return;
    }
    h->run(c);
    lathe_supervisor_act_as(c->s, NULL, NULL);
}

/* Who has no token does not learn which paths there are, either. */
static void dispatch(call *c, const char *method) {
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
    call c = {.s = user, .exchange = exchange, .arena = lathe_arena_new()};
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
