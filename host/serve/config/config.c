#include "serve/config/config.h"

#include "base/cpu.h"
#include "base/log.h"
#include "pipeline/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

void lathe_serve_config_init(lathe_serve_config *config) {
    *config = (lathe_serve_config){.listen = "127.0.0.1:8080",
                                   .inference = "127.0.0.1:8000",
                                   .workers = lathe_cpu_count(),
                                   .run_concurrent = 1,
                                   .run_queue = 100,
                                   .hang_ns = (int64_t)10e9,
                                   .queue_rows = 262144,
                                   .log_level = LATHE_LEVEL_INFO};
}

static void read_limits(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {
        "body_mb",      "connections",      "head_seconds", "body_seconds",
        "idle_seconds", "worker_memory_mb", "hang_seconds", NULL};
    if (node == NULL || !lathe_check_object(c, node, "\"limits\"", keys))
        return;
    lathe_http_limits *l = &config->limits;
    l->max_body = (size_t)lathe_check_int(c, node, "body_mb", 1, 65536, 64) << 20;
    l->max_connections = (size_t)lathe_check_int(c, node, "connections", 1, 1000000, 1024);
    l->head_ms = (uint64_t)lathe_check_int(c, node, "head_seconds", 1, 3600, 10) * 1000;
    l->body_ms = (uint64_t)lathe_check_int(c, node, "body_seconds", 1, 3600, 60) * 1000;
    l->idle_ms = (uint64_t)lathe_check_int(c, node, "idle_seconds", 1, 86400, 75) * 1000;
    config->worker_memory = lathe_check_int(c, node, "worker_memory_mb", 0, 1 << 24, 0) << 20;
    config->hang_ns = lathe_check_int(c, node, "hang_seconds", 1, 3600, 10) * 1000000000;
}

static void read_runs(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {"concurrent", "queue", "threads", NULL};
    if (node == NULL || !lathe_check_object(c, node, "\"runs\"", keys))
        return;
    config->run_concurrent = (int)lathe_check_int(c, node, "concurrent", 1, 64, 1);
    config->run_queue = (int)lathe_check_int(c, node, "queue", 0, 100000, 100);
    config->run_threads = (int)lathe_check_int(c, node, "threads", 0, 1024, 0);
}

/* Checked here, and sent to the workers as it stands. */
static void read_batching(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {"max_rows", "delay_us", "endpoints", NULL};
    const cJSON *endpoints, *item;
    lathe_buf text = {0};
    if (node == NULL || !lathe_check_object(c, node, "\"batching\"", keys))
        return;
    lathe_check_int(c, node, "max_rows", 0, 1024, 0);
    lathe_check_int(c, node, "delay_us", 0, 1000000, 0);
    endpoints = lathe_json_get(node, "endpoints");
    if (endpoints != NULL && !cJSON_IsObject(endpoints))
        lathe_diag_add(c->diags, c->doc, endpoints, "\"endpoints\" is %s; expected an object",
                       lathe_json_type_name(endpoints));
    cJSON_ArrayForEach(item, endpoints) {
        static const char *const own[] = {"max_rows", "delay_us", NULL};
        if (!lathe_check_object(c, item, "an endpoint's batching", own))
            continue;
        lathe_check_int(c, item, "max_rows", 0, 1024, 0);
        lathe_check_int(c, item, "delay_us", 0, 1000000, 0);
    }
    lathe_json_print(NULL, node, &text);
    config->batching = text.failed ? NULL : lathe_arena_strdup(c->arena, lathe_buf_str(&text));
    lathe_buf_free(&text);
}

static void read_queue(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {"rows", "timeout_ms", NULL};
    if (node == NULL || !lathe_check_object(c, node, "\"queue\"", keys))
        return;
    config->queue_rows = lathe_check_int(c, node, "rows", 0, 1000000000, 262144);
    config->queue_timeout_us = lathe_check_int(c, node, "timeout_ms", 0, 86400000, 0) * 1000;
}

/* Absolute, since the service's folder is nobody's business. */
static const char *read_file_name(const lathe_check *c, const cJSON *node, const char *key) {
    const char *path = lathe_check_string(c, node, key, NULL);
    if (path != NULL && path[0] != '/')
        lathe_diag_add(c->diags, c->doc, lathe_json_get(node, key),
                       "\"%s\" must be the absolute path of a PEM file", key);
    return path;
}

static void read_tls(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {"certificate", "key", NULL};
    if (node == NULL || !lathe_check_object(c, node, "\"tls\"", keys))
        return;
    config->tls_certificate = read_file_name(c, node, "certificate");
    config->tls_key = read_file_name(c, node, "key");
}

static void read_log(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    static const char *const keys[] = {"format", "level", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    if (node == NULL || !lathe_check_object(c, node, "\"log\"", keys))
        return;
    config->log_json = lathe_check_choice(c, node, "format", formats, 0) == 1;
    config->log_level = lathe_check_choice(c, node, "level", levels, 1);
}

static void read_roots(const lathe_check *c, const cJSON *node, lathe_serve_config *config) {
    const cJSON *item;
    if (node == NULL)
        return;
    if (!cJSON_IsArray(node)) {
        lathe_diag_add(c->diags, c->doc, node, "\"data_roots\" is %s; expected a list of folders",
                       lathe_json_type_name(node));
        return;
    }
    const char **roots =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(node) + 1, sizeof *roots);
    config->n_data_roots = 0;
    cJSON_ArrayForEach(item, node) {
        if (!cJSON_IsString(item) || item->valuestring[0] != '/')
            lathe_diag_add(c->diags, c->doc, item, "a data root must be an absolute folder");
        else if (roots != NULL)
            roots[config->n_data_roots++] = lathe_arena_strdup(c->arena, item->valuestring);
    }
    config->data_roots = roots;
}

static void read_address(const lathe_check *c, const cJSON *root, const char *key,
                         const char **out) {
    struct sockaddr_storage address;
    lathe_error err = {0};
    const char *text = lathe_check_string(c, root, key, *out);
    if (text != *out && lathe_serve_address(text, &address, &err) != LATHE_OK)
        lathe_diag_add(c->diags, c->doc, lathe_json_get(root, key), "%s", err.message);
    *out = text;
}

bool lathe_serve_config_load(const char *path, lathe_arena *arena, lathe_serve_config *config,
                             lathe_diags *diags) {
    static const char *const keys[] = {"listen", "inference", "workers",  "data_roots", "backups",
                                       "runs",   "limits",    "insecure", "log",        "batching",
                                       "queue",  "sources",   "tls",      NULL};
    lathe_serve_config next = *config;
    lathe_json *doc = lathe_json_load(path, diags);
    if (doc == NULL)
        return false;
    const lathe_check c = {doc, arena, diags};
    const cJSON *root = lathe_json_root(doc);
    if (lathe_check_object(&c, root, "the configuration", keys)) {
        read_address(&c, root, "listen", &next.listen);
        read_address(&c, root, "inference", &next.inference);
        next.workers = (int)lathe_check_int(&c, root, "workers", 1, 64, next.workers);
        next.insecure = lathe_check_bool(&c, root, "insecure", next.insecure);
        next.backups = lathe_check_string(&c, root, "backups", next.backups);
        if (next.backups != NULL && next.backups[0] != '/')
            lathe_diag_add(diags, doc, lathe_json_get(root, "backups"),
                           "\"backups\" must be an absolute folder");
        read_roots(&c, lathe_json_get(root, "data_roots"), &next);
        lathe_sources_read(&c, lathe_json_get(root, "sources"), &next.sources);
        read_runs(&c, lathe_json_get(root, "runs"), &next);
        read_limits(&c, lathe_json_get(root, "limits"), &next);
        read_batching(&c, lathe_json_get(root, "batching"), &next);
        read_queue(&c, lathe_json_get(root, "queue"), &next);
        read_log(&c, lathe_json_get(root, "log"), &next);
        read_tls(&c, lathe_json_get(root, "tls"), &next);
    }
    lathe_json_free(doc);
    if (lathe_diags_any(diags))
        return false;
    *config = next;
    return true;
}

int32_t lathe_serve_address(const char *text, struct sockaddr_storage *address, lathe_error *err) {
    char host[64] = "127.0.0.1";
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    char *end;
    long number = strtol(port, &end, 10);
    if (end == port || *end != 0 || number < 0 || number > 65535)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.80s\" has no port; expected ADDRESS:PORT such as 127.0.0.1:8000",
                          text);
    if (colon != NULL) {
        const bool brackets = text[0] == '[' && colon > text && colon[-1] == ']';
        size_t len = (size_t)(colon - text) - (brackets ? 2 : 0);
        if (len == 0 || len >= sizeof host)
            return lathe_fail(err, LATHE_E_INVALID, NULL,
                              "\"%.80s\" has no address before the port", text);
        memcpy(host, text + brackets, len);
        host[len] = 0;
    }
    memset(address, 0, sizeof *address);
    if (uv_ip4_addr(host, (int)number, (struct sockaddr_in *)address) == 0 ||
        uv_ip6_addr(host, (int)number, (struct sockaddr_in6 *)address) == 0)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%.80s\" is no IP address", host);
}

bool lathe_serve_is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}
