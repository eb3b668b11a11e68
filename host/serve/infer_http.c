/* The paths of the inference port, but for what POST …/infer does. */
#include "base/json.h"
#include "base/jsonw.h"
#include "serve/infer_internal.h"

#include <stdlib.h>
#include <string.h>

static void reply(lathe_exchange *exchange, const lathe_buf *body) {
    if (body->failed)
        lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "out of memory for the answer");
    else
        lathe_http_reply(exchange, 200, "application/json", NULL, body->data, body->len);
}

/* False: it has been answered. */
static bool is_method(lathe_exchange *exchange, const char *method) {
    char headers[32];
    if (strcmp(lathe_http_get(exchange)->method, method) == 0)
        return true;
    snprintf(headers, sizeof headers, "allow: %s\r\n", method);
    lathe_http_fail(exchange, 405, headers, "Method Not Allowed: this path takes %s", method);
    return false;
}

static bool is_ready(const infer_worker *w) {
    return w->table != NULL && !w->draining;
}

static void not_ready(lathe_exchange *exchange, const char *what) {
    lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "%s", what);
}

/* ---- server ---- */

static void get_server(infer_worker *w, lathe_exchange *exchange) {
    lathe_buf_clear(&w->body);
    lathe_oip_server(&w->body);
    reply(exchange, &w->body);
}

static void get_health(infer_worker *w, lathe_exchange *exchange, const char *what) {
    static const char live[] = "{\"live\":true}", ready[] = "{\"ready\":true}";
    if (strcmp(what, "live") == 0)
        lathe_http_reply(exchange, 200, "application/json", NULL, live, sizeof live - 1);
    else if (strcmp(what, "ready") != 0)
        lathe_http_fail(exchange, 404, NULL, "Not Found");
    else if (is_ready(w))
        lathe_http_reply(exchange, 200, "application/json", NULL, ready, sizeof ready - 1);
    else
        not_ready(exchange,
                  w->draining ? "the server is shutting down" : "the server is loading its models");
}

static void put_stats(infer_worker *w, const infer_route *route, bool *any) {
    if (*any)
        lathe_buf_append_char(&w->body, ',');
    *any = true;
    lathe_oip_stats(w->slots, route->slot, route->name, route->version, &w->body);
}

static void get_all_stats(infer_worker *w, lathe_exchange *exchange) {
    bool any = false;
    lathe_buf_clear(&w->body);
    lathe_buf_append_str(&w->body, "{\"model_stats\":[");
    for (size_t i = 0; w->table != NULL && i < w->table->n_routes; i++)
        if (w->table->routes[i].model != NULL)
            put_stats(w, &w->table->routes[i], &any);
    lathe_buf_append_str(&w->body, "]}");
    reply(exchange, &w->body);
}

/* ---- repository ---- */

/* {"ready": true} asks for those alone that can be used. */
static bool only_ready(const lathe_http_request *request) {
    lathe_json *doc = request->body_len > 0 ? lathe_json_read((const char *)request->body,
                                                              request->body_len, NULL, NULL, NULL)
                                            : NULL;
    const bool only = cJSON_IsTrue(doc ? lathe_json_get(lathe_json_root(doc), "ready") : NULL);
    lathe_json_free(doc);
    return only;
}

static void post_index(infer_worker *w, lathe_exchange *exchange) {
    const bool only = only_ready(lathe_http_get(exchange));
    lathe_buf_clear(&w->body);
    lathe_jsonw out = lathe_jsonw_to(&w->body);
    lathe_jsonw_begin_array(&out);
    for (size_t i = 0; w->table != NULL && i < w->table->n_routes; i++) {
        const infer_route *r = &w->table->routes[i];
        if (only && r->model == NULL)
            continue;
        lathe_jsonw_begin_object(&out);
        lathe_jsonw_kv_str(&out, "name", r->name);
        lathe_jsonw_kv_str(&out, "version", r->version);
        lathe_jsonw_kv_str(&out, "state", r->model ? "READY" : "UNAVAILABLE");
        lathe_jsonw_kv_str(&out, "reason", r->error ? r->error : "");
        lathe_jsonw_end_object(&out);
    }
    lathe_jsonw_end_array(&out);
    reply(exchange, &w->body);
}

static infer_forward **find_forward(infer_worker *w, const infer_forward *f, double id) {
    infer_forward **at = &w->forwards;
    while (*at != NULL && *at != f && (f != NULL || (*at)->id != id))
        at = &(*at)->next;
    return at;
}

static void forward_gone(void *user) {
    infer_forward *f = user;
    infer_forward **at = find_forward(f->worker, f, 0);
    if (*at != NULL)
        *at = f->next;
    free(f);
}

static void post_forward(infer_worker *w, lathe_exchange *exchange, const char *verb,
                         const char *name) {
    char secret[LATHE_TOKEN_TEXT];
    infer_forward *f = calloc(1, sizeof *f);
    cJSON *message = f ? cJSON_CreateObject() : NULL, *body;
    if (message == NULL || (body = cJSON_AddObjectToObject(message, "body")) == NULL) {
        free(f);
        cJSON_Delete(message);
        lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "out of memory");
        return;
    }
    *f = (infer_forward){w->forwards, w, ++w->next_forward, exchange};
    w->forwards = f;
    cJSON_AddNumberToObject(message, "forward", f->id);
    cJSON_AddStringToObject(message, "verb", verb);
    cJSON_AddStringToObject(body, "name", name);
    const char *token = lathe_auth_secret(exchange, secret);
    if (token != NULL)
        cJSON_AddStringToObject(message, "token", token);
    lathe_http_on_gone(exchange, forward_gone, f);
    infer_send(w, message);
    cJSON_Delete(message);
}

void infer_answer(infer_worker *w, const cJSON *message) {
    const cJSON *id = lathe_json_get(message, "answer"),
                *status = lathe_json_get(message, "status");
    infer_forward **at = find_forward(w, NULL, id->valuedouble);
    infer_forward *f = *at;
    if (f == NULL)
        return;
    *at = f->next;
    const int code = cJSON_IsNumber(status) && status->valueint >= 200 && status->valueint <= 599
                         ? status->valueint
                         : 500;
    lathe_buf_clear(&w->body);
    lathe_json_print(NULL, lathe_json_get(message, "body"), &w->body);
    const char *text = w->body.len > 0 ? w->body.data : "{}";
    lathe_http_reply(f->exchange, code, "application/json", NULL, text, strlen(text));
    free(f);
}

/* /v2/repository/index, …/{repository}/index, …/models/{name}/load|unload; rest begins after "/v2/repository/". */
static void repository(infer_worker *w, lathe_exchange *exchange, const char *rest) {
    const char *slash = strrchr(rest, '/');
    const char *verb = slash ? slash + 1 : rest;
    if (strcmp(verb, "index") == 0 &&
        (slash == NULL || memchr(rest, '/', (size_t)(slash - rest)) == NULL)) {
        if (is_method(exchange, "POST"))
            post_index(w, exchange);
        return;
    }
    if (slash != NULL && strncmp(rest, "models/", 7) == 0 && slash > rest + 7 &&
        (strcmp(verb, "load") == 0 || strcmp(verb, "unload") == 0)) {
        char name[LATHE_SLOTS_NAME];
        const size_t len = (size_t)(slash - rest) - 7;
        if (!is_method(exchange, "POST"))
            return;
        if (len >= sizeof name) {
            lathe_http_fail(exchange, 404, NULL, "there is no model of so long a name");
            return;
        }
        memcpy(name, rest + 7, len);
        name[len] = '\0';
        post_forward(w, exchange, verb, name);
        return;
    }
    lathe_http_fail(exchange, 404, NULL, "Not Found");
}

/* ---- models ---- */

/* {name}[/versions/{version}][/{verb}] */
typedef struct model_path {
    const char *name, *version, *verb; /* version: NULL where there is none; verb: "" */
    size_t name_len, version_len;
} model_path;

static void parse_path(const char *rest, model_path *p) {
    *p = (model_path){.name = rest, .verb = ""};
    p->name_len = strcspn(rest, "/");
    rest += p->name_len;
    if (strncmp(rest, "/versions/", 10) == 0) {
        p->version = rest + 10;
        p->version_len = strcspn(p->version, "/");
        rest = p->version + p->version_len;
    }
    if (*rest == '/')
        p->verb = rest + 1;
}

/* NULL: it has been answered. */
static infer_route *find_route(infer_worker *w, lathe_exchange *exchange, const model_path *p) {
    if (w->table == NULL) {
        not_ready(exchange, "the server is loading its models");
        return NULL;
    }
    const infer_group *group = infer_table_find(w->table, p->name, p->name_len);
    if (group == NULL) {
        lathe_http_fail(exchange, 404, NULL, "there is no endpoint or model \"%.*s\"",
                        (int)(p->name_len < 100 ? p->name_len : 100), p->name);
        return NULL;
    }
    infer_route *route = infer_table_pick(w->table, group, p->version, p->version_len,
                                          infer_traffic_key(w, exchange, group));
    if (route == NULL)
        lathe_http_fail(exchange, 404, NULL, "\"%.*s\" has no version \"%.*s\" that is served",
                        (int)(p->name_len < 100 ? p->name_len : 100), p->name,
                        (int)(p->version_len < 40 ? p->version_len : 40), p->version);
    else if (route->model == NULL) {
        lathe_http_fail(exchange, 503, "retry-after: 5\r\n",
                        "version %s of \"%s\" could not be loaded: %s", route->version, route->name,
                        route->error ? route->error : "");
        route = NULL;
    }
    return route;
}

static void get_model_ready(lathe_exchange *exchange, infer_worker *w, const infer_route *route) {
    if (w->draining) {
        not_ready(exchange, "the server is shutting down");
        return;
    }
    lathe_buf_clear(&w->body);
    lathe_jsonw out = lathe_jsonw_to(&w->body);
    lathe_jsonw_begin_object(&out);
    lathe_jsonw_kv_str(&out, "name", route->name);
    lathe_jsonw_kv_bool(&out, "ready", true);
    lathe_jsonw_end_object(&out);
    reply(exchange, &w->body);
}

static void get_stats(infer_worker *w, lathe_exchange *exchange, const model_path *p,
                      const infer_route *route) {
    bool any = false;
    const infer_group *group = infer_table_find(w->table, p->name, p->name_len);
    lathe_buf_clear(&w->body);
    lathe_buf_append_str(&w->body, "{\"model_stats\":[");
    for (size_t i = 0; p->version == NULL && i < group->count; i++)
        put_stats(w, &w->table->routes[group->first + i], &any);
    if (p->version != NULL)
        put_stats(w, route, &any);
    lathe_buf_append_str(&w->body, "]}");
    reply(exchange, &w->body);
}

static void models(infer_worker *w, lathe_exchange *exchange, const char *rest) {
    model_path p;
    parse_path(rest, &p);
    const bool infer = strcmp(p.verb, "infer") == 0;
    if (!infer && p.verb[0] != '\0' && strcmp(p.verb, "ready") != 0 &&
        strcmp(p.verb, "config") != 0 && strcmp(p.verb, "stats") != 0) {
        lathe_http_fail(exchange, 404, NULL, "Not Found");
        return;
    }
    if (!is_method(exchange, infer ? "POST" : "GET"))
        return;
    infer_route *route = find_route(w, exchange, &p);
    if (route == NULL)
        return;
    if (infer)
        infer_predict(w, exchange, route);
    else if (p.verb[0] == '\0')
        reply(exchange, &route->metadata);
    else if (p.verb[0] == 'c')
        reply(exchange, &route->config);
    else if (p.verb[0] == 's')
        get_stats(w, exchange, &p, route);
    else
        get_model_ready(exchange, w, route);
}

/* ---- all ---- */

void infer_request(void *user, lathe_exchange *exchange) {
    infer_worker *w = user;
    const lathe_http_request *request = lathe_http_get(exchange);
    const char *path = request->path;
    lathe_slot_add(&w->slot->requests, 1);
    if (!lathe_auth_admit(w->auth, exchange, lathe_auth_inference_role(request->method, path),
                          NULL))
        return;
    if (strncmp(path, "/v2/models/", 11) == 0 && strcmp(path, "/v2/models/stats") != 0) {
        models(w, exchange, path + 11);
        return;
    }
    if (strncmp(path, "/v2/repository/", 15) == 0) {
        repository(w, exchange, path + 15);
        return;
    }
    const bool server = strcmp(path, "/v2") == 0 || strcmp(path, "/v2/") == 0;
    const bool health = strncmp(path, "/v2/health/", 11) == 0,
               stats = strcmp(path, "/v2/models/stats") == 0;
    if (!server && !health && !stats) {
        lathe_http_fail(exchange, 404, NULL, "Not Found");
        return;
    }
    if (!is_method(exchange, "GET"))
        return;
    if (server)
        get_server(w, exchange);
    else if (health)
        get_health(w, exchange, path + 11);
    else
        get_all_stats(w, exchange);
}
