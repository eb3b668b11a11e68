/* The protocol's extensions that configure a server: logging; trace and shared memory, which are off here. */
#include "base/json.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "serve/infer/internal.h"

#include <string.h>

/* The body as an object; an empty one is {}. NULL: it has been answered. */
static lathe_json *read_object(lathe_exchange *exchange) {
    const lathe_http_request *request = lathe_http_get(exchange);
    const bool empty = request->body_len == 0;
    lathe_error err = {0};
    lathe_json *doc = lathe_json_read(empty ? "{}" : (const char *)request->body,
                                      empty ? 2 : request->body_len, "the body", NULL, &err);
    if (doc != NULL && cJSON_IsObject(lathe_json_root(doc)))
        return doc;
    lathe_http_fail(exchange, 400, NULL, "the body is no JSON object%s%s",
                    err.message[0] ? ": " : "", err.message);
    lathe_json_free(doc);
    return NULL;
}

static bool is_post(const lathe_exchange *exchange) {
    return strcmp(lathe_http_get(exchange)->method, "POST") == 0;
}

/* ---- logging ---- */

/* Triton's switches, least important first; each says whether its lines and all above it are written. */
typedef struct switches {
    bool verbose, info, warning, error;
} switches;

static switches switches_of(lathe_log_level level) {
    return (switches){level <= LATHE_LEVEL_DEBUG, level <= LATHE_LEVEL_INFO,
                      level <= LATHE_LEVEL_WARN, level <= LATHE_LEVEL_ERROR};
}

static lathe_log_level level_of(const switches *s) {
    return s->verbose   ? LATHE_LEVEL_DEBUG
           : s->info    ? LATHE_LEVEL_INFO
           : s->warning ? LATHE_LEVEL_WARN
           : s->error   ? LATHE_LEVEL_ERROR
                        : LATHE_LEVEL_NONE;
}

void infer_put_log_settings(lathe_buf *out) {
    const switches s = switches_of(lathe_log_get_level());
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "log_file", "");
    lathe_jsonw_kv_bool(&w, "log_info", s.info);
    lathe_jsonw_kv_bool(&w, "log_warning", s.warning);
    lathe_jsonw_kv_bool(&w, "log_error", s.error);
    lathe_jsonw_kv_int(&w, "log_verbose_level", s.verbose);
    lathe_jsonw_kv_str(&w, "log_format", "default");
    lathe_jsonw_end_object(&w);
}

/* One setting into the switches; false: it has been answered. */
static bool take_setting(lathe_exchange *exchange, const cJSON *item, switches *s) {
    const char *key = item->string;
    bool *flag = strcmp(key, "log_info") == 0      ? &s->info
                 : strcmp(key, "log_warning") == 0 ? &s->warning
                 : strcmp(key, "log_error") == 0   ? &s->error
                                                   : NULL;
    if (flag != NULL && cJSON_IsBool(item)) {
        *flag = cJSON_IsTrue(item);
        s->verbose = s->verbose && (flag != &s->info || *flag);
    } else if (strcmp(key, "log_verbose_level") == 0 && cJSON_IsNumber(item) &&
               item->valuedouble >= 0) {
        s->verbose = item->valuedouble >= 1;
    } else if (strcmp(key, "log_file") == 0 || strcmp(key, "log_format") == 0) {
        if (cJSON_IsString(item) &&
            (item->valuestring[0] == 0 || strcmp(item->valuestring, "default") == 0))
            return true; /* as it is */
        lathe_http_fail(exchange, 501, NULL,
                        "\"%s\" is not changed while the service runs: its log goes to stderr, in "
                        "the form that its configuration says",
                        key);
        return false;
    } else {
        lathe_http_fail(exchange, 400, NULL,
                        "\"%.60s\" is no setting of that type; log_info, log_warning and log_error "
                        "(true or false) and log_verbose_level (0 or 1) are",
                        key);
        return false;
    }
    return true;
}

/* GET tells; POST asks the supervisor to set the threshold for all its processes. */
static void logging(infer_worker *w, lathe_exchange *exchange) {
    if (!infer_is_method(exchange, "GET", "POST"))
        return;
    if (!is_post(exchange)) {
        lathe_buf_clear(&w->body);
        infer_put_log_settings(&w->body);
        infer_reply(exchange, &w->body);
        return;
    }
    lathe_json *doc = read_object(exchange);
    if (doc == NULL)
        return;
    switches s = switches_of(lathe_log_get_level());
    const cJSON *item;
    bool good = true;
    cJSON_ArrayForEach(item, lathe_json_root(doc)) good = good && take_setting(exchange, item, &s);
    lathe_json_free(doc);
    if (good)
        infer_forward_verb(w, exchange, "log_level", lathe_log_level_name(level_of(&s)));
}

/* ---- trace: off, and stays so ---- */

static const char trace_off[] =
    "{\"trace_level\":[\"OFF\"],\"trace_rate\":\"1000\",\"trace_count\":\"-1\","
    "\"log_frequency\":\"0\",\"trace_file\":\"\",\"trace_mode\":\"triton\"}";

/* "OFF", ["OFF"], [] or null. */
static bool is_off(const cJSON *level) {
    const cJSON *only =
        cJSON_IsArray(level) && cJSON_GetArraySize(level) == 1 ? level->child : level;
    return cJSON_IsNull(level) || (cJSON_IsArray(level) && cJSON_GetArraySize(level) == 0) ||
           (cJSON_IsString(only) && strcmp(only->valuestring, "OFF") == 0);
}

void infer_trace(lathe_exchange *exchange) {
    if (!infer_is_method(exchange, "GET", "POST"))
        return;
    if (is_post(exchange)) {
        lathe_json *doc = read_object(exchange);
        const cJSON *item;
        bool good = true;
        if (doc == NULL)
            return;
        cJSON_ArrayForEach(item, lathe_json_root(doc)) good =
            good &&
            (cJSON_IsNull(item) || (strcmp(item->string, "trace_level") == 0 && is_off(item)));
        lathe_json_free(doc);
        if (!good) {
            lathe_http_fail(exchange, 501, NULL,
                            "this server does not trace requests: \"trace_level\" stays OFF; times "
                            "are in the statistics and on /metrics");
            return;
        }
    }
    lathe_http_reply(exchange, 200, "application/json", NULL, trace_off, sizeof trace_off - 1);
}

/* ---- shared memory: none is taken ---- */

/* "status", "register", "unregister", or region/{name}/ and one of them. */
static void shared_memory(lathe_exchange *exchange, const char *rest) {
    const char *slash = strrchr(rest, '/'), *verb = slash ? slash + 1 : rest;
    const bool region = strncmp(rest, "region/", 7) == 0 && slash != NULL && slash > rest + 7;
    const bool status = strcmp(verb, "status") == 0, enters = strcmp(verb, "register") == 0;
    if ((slash != NULL && !region) || (!status && !enters && strcmp(verb, "unregister") != 0) ||
        (enters && !region)) {
        lathe_http_fail(exchange, 404, NULL, "Not Found");
        return;
    }
    if (!infer_is_method(exchange, status ? "GET" : "POST", NULL))
        return;
    if (enters)
        lathe_http_fail(exchange, 501, NULL,
                        "this server takes no shared memory; send tensors in the body");
    else if (status && region)
        lathe_http_fail(exchange, 404, NULL,
                        "there is no such region: this server takes no shared memory");
    else /* none is registered, also after "unregister" */
        lathe_http_reply(exchange, 200, "application/json", NULL, status ? "[]" : "{}", 2);
}

bool infer_settings(infer_worker *w, lathe_exchange *exchange, const char *path) {
    if (strcmp(path, "/v2/logging") == 0)
        logging(w, exchange);
    else if (strcmp(path, "/v2/trace/setting") == 0)
        infer_trace(exchange);
    else if (strncmp(path, "/v2/systemsharedmemory/", 23) == 0)
        shared_memory(exchange, path + 23);
    else if (strncmp(path, "/v2/cudasharedmemory/", 21) == 0)
        shared_memory(exchange, path + 21);
    else
        return false;
    return true;
}
