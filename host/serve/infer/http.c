/* The paths of the inference port, but for what POST …/infer does. */
#include "base/json.h"
#include "base/jsonw.h"
#include "serve/infer/internal.h"

#include <stdlib.h>
#include <string.h>

void infer_reply(lathe_exchange *exchange, const lathe_buf *body) {
    if (body->failed)
        lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "out of memory for the answer");
    else
        lathe_http_reply(exchange, 200, "application/json", NULL, body->data, body->len);
}

static bool has_method(const lathe_exchange *exchange, const char *method) {
    const char *got = lathe_http_get(exchange)->method;
    return strcmp(got, method) == 0 || (strcmp(method, "GET") == 0 && strcmp(got, "HEAD") == 0);
}

bool infer_is_method(lathe_exchange *exchange, const char *method, const char *other) {
    char headers[32];
    if (has_method(exchange, method) || (other != NULL && has_method(exchange, other)))
        return true;
    snprintf(headers, sizeof headers, "allow: %s%s%s\r\n", method, other ? ", " : "",
             other ? other : "");
    lathe_http_fail(exchange, 405, headers, "Method Not Allowed: this path takes %s%s%s", method,
                    other ? " and " : "", other ? other : "");
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
    infer_reply(exchange, &w->body);
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
        if (w->table->routes[i].model != NULL &&
            lathe_auth_sees(w->auth, w->table->routes[i].project))
            put_stats(w, &w->table->routes[i], &any);
    lathe_buf_append_str(&w->body, "]}");
    infer_reply(exchange, &w->body);
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
    const char *unloaded =
        group == NULL ? infer_table_unloaded(w->table, p->name, p->name_len) : NULL;
    if (group != NULL && !lathe_auth_sees(w->auth, w->table->routes[group->first].project))
        group = NULL; /* another project's is as if it were not there */
    if (unloaded != NULL && lathe_auth_sees(w->auth, unloaded)) {
        lathe_http_fail(exchange, 503, NULL, "\"%.*s\" is unloaded",
                        (int)(p->name_len < 100 ? p->name_len : 100), p->name);
        return NULL;
    }
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
    else if (route->model == NULL || route->error != NULL) {
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
    infer_reply(exchange, &w->body);
}

static void get_metadata(infer_worker *w, lathe_exchange *exchange, const model_path *p,
                         const infer_route *route) {
    lathe_buf_clear(&w->body);
    infer_table_metadata(w->table, infer_table_find(w->table, p->name, p->name_len), route,
                         &w->body);
    infer_reply(exchange, &w->body);
}

static void get_config(infer_worker *w, lathe_exchange *exchange, const infer_route *route) {
    lathe_buf_clear(&w->body);
    lathe_oip_config(route->shown, &w->body);
    infer_reply(exchange, &w->body);
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
    infer_reply(exchange, &w->body);
}

static void models(infer_worker *w, lathe_exchange *exchange, const char *rest) {
    model_path p;
    lathe_error err = {0};
    parse_path(rest, &p);
    const bool infer = strcmp(p.verb, "infer") == 0;
    if (strcmp(p.verb, "trace/setting") == 0) {
        if (find_route(w, exchange, &p) != NULL)
            infer_trace(exchange);
        return;
    }
    if (!infer && p.verb[0] != '\0' && strcmp(p.verb, "ready") != 0 &&
        strcmp(p.verb, "config") != 0 && strcmp(p.verb, "stats") != 0) {
        lathe_http_fail(exchange, 404, NULL, "Not Found");
        return;
    }
    if (!infer_is_method(exchange, infer ? "POST" : "GET", NULL))
        return;
    infer_route *route = find_route(w, exchange, &p);
    if (route == NULL)
        return;
    if ((infer && route->door == NULL) || infer_route_show(route, &err) == LATHE_E_NOT_FOUND)
        infer_warm(w, exchange, route, !infer);
    else if (route->shown == NULL)
        infer_refuse(w, exchange, &err);
    else if (infer && lathe_metering_admit(w->auth, w->slots, w->slot, exchange))
        infer_predict(w, exchange, route);
    else if (infer)
        return; /* the quota is used: it has been answered */
    else if (p.verb[0] == '\0')
        get_metadata(w, exchange, &p, route);
    else if (p.verb[0] == 'c')
        get_config(w, exchange, route);
    else if (p.verb[0] == 's')
        get_stats(w, exchange, &p, route);
    else
        get_model_ready(exchange, w, route);
}

/* ---- all ---- */

/* Others were admitted since, and whose request it is must be known for its quota. */
void infer_resume(infer_worker *w, lathe_exchange *exchange) {
    const lathe_http_request *request = lathe_http_get(exchange);
    if (lathe_auth_admit_again(w->auth, exchange,
                               lathe_auth_inference_role(request->method, request->path)))
        models(w, exchange, request->path + 11);
}

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
        infer_repository(w, exchange, path + 15);
        return;
    }
    if (infer_settings(w, exchange, path))
        return;
    const bool server = strcmp(path, "/v2") == 0 || strcmp(path, "/v2/") == 0;
    const bool health = strncmp(path, "/v2/health/", 11) == 0,
               stats = strcmp(path, "/v2/models/stats") == 0;
    if (!server && !health && !stats) {
        lathe_http_fail(exchange, 404, NULL, "Not Found");
        return;
    }
    if (!infer_is_method(exchange, "GET", NULL))
        return;
    if (server)
        get_server(w, exchange);
    else if (health)
        get_health(w, exchange, path + 11);
    else
        get_all_stats(w, exchange);
}
