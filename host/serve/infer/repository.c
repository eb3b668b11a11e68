/* The repository extension: index, load, unload; verbs that the supervisor works on. */
#include "base/json.h"
#include "base/jsonw.h"
#include "serve/infer/internal.h"

#include <stdlib.h>
#include <string.h>

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
        if ((only && r->model == NULL) || !lathe_auth_sees(w->auth, r->project))
            continue;
        lathe_jsonw_begin_object(&out);
        lathe_jsonw_kv_str(&out, "name", r->name);
        lathe_jsonw_kv_str(&out, "version", r->version);
        lathe_jsonw_kv_str(&out, "state", r->model ? "READY" : "UNAVAILABLE");
        lathe_jsonw_kv_str(&out, "reason", r->error ? r->error : "");
        lathe_jsonw_end_object(&out);
    }
    const cJSON *names = w->table != NULL && !only ? w->table->unloaded : NULL, *unloaded;
    cJSON_ArrayForEach(unloaded, names) {
        if (!cJSON_IsString(unloaded) || !lathe_auth_sees(w->auth, unloaded->valuestring))
            continue;
        lathe_jsonw_begin_object(&out);
        lathe_jsonw_kv_str(&out, "name", unloaded->string);
        lathe_jsonw_kv_str(&out, "state", "UNAVAILABLE");
        lathe_jsonw_kv_str(&out, "reason", "unloaded");
        lathe_jsonw_end_object(&out);
    }
    lathe_jsonw_end_array(&out);
    infer_reply(exchange, &w->body);
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

/* The parameters of load that would change what is loaded. True: it has been answered. */
static bool refuse_override(lathe_exchange *exchange) {
    const lathe_http_request *request = lathe_http_get(exchange);
    lathe_json *doc = request->body_len > 0 ? lathe_json_read((const char *)request->body,
                                                              request->body_len, NULL, NULL, NULL)
                                            : NULL;
    const cJSON *parameters = doc ? lathe_json_get(lathe_json_root(doc), "parameters") : NULL,
                *item;
    bool overrides = false;
    cJSON_ArrayForEach(item, parameters) overrides |=
        strcmp(item->string, "config") == 0 || strncmp(item->string, "file:", 5) == 0;
    lathe_json_free(doc);
    if (overrides)
        lathe_http_fail(exchange, 501, NULL,
                        "models come from the registry: a load with \"config\" or \"file:\" is not "
                        "supported; register a version instead");
    return overrides;
}

void infer_forward_verb(infer_worker *w, lathe_exchange *exchange, const char *verb,
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
    *f = (infer_forward){w->forwards, w, ++w->next_forward, exchange,
                         strcmp(verb, "log_level") == 0};
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
    if (code == 200 && f->is_log) /* the new level came before this answer */
        infer_put_log_settings(&w->body);
    else
        lathe_json_print(NULL, lathe_json_get(message, "body"), &w->body);
    const char *text = w->body.len > 0 ? w->body.data : "{}";
    lathe_http_reply(f->exchange, code, "application/json", NULL, text, strlen(text));
    free(f);
}

/* /v2/repository/index, …/{repository}/index, …/models/{name}/load|unload; rest begins after "/v2/repository/". */
void infer_repository(infer_worker *w, lathe_exchange *exchange, const char *rest) {
    const char *slash = strrchr(rest, '/');
    const char *verb = slash ? slash + 1 : rest;
    if (strcmp(verb, "index") == 0 &&
        (slash == NULL || memchr(rest, '/', (size_t)(slash - rest)) == NULL)) {
        if (infer_is_method(exchange, "POST", NULL))
            post_index(w, exchange);
        return;
    }
    if (slash != NULL && strncmp(rest, "models/", 7) == 0 && slash > rest + 7 &&
        (strcmp(verb, "load") == 0 || strcmp(verb, "unload") == 0)) {
        char name[LATHE_SLOTS_NAME];
        const size_t len = (size_t)(slash - rest) - 7;
        if (!infer_is_method(exchange, "POST", NULL))
            return;
        if (len >= sizeof name) {
            lathe_http_fail(exchange, 404, NULL, "there is no model of so long a name");
            return;
        }
        if (verb[0] == 'l' && refuse_override(exchange))
            return;
        memcpy(name, rest + 7, len);
        name[len] = '\0';
        infer_forward_verb(w, exchange, verb, name);
        return;
    }
    lathe_http_fail(exchange, 404, NULL, "Not Found");
}
