/* Settings one by one, as flags (--log-level warn) and the environment ($LATHE_SERVE_LOG_LEVEL) give them. */
#include "base/nearest.h"
#include "serve/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const lathe_serve_setting lathe_serve_settings[] = {
    {"listen", "ADDR:PORT", "control plane: API, metrics, health (default 127.0.0.1:8080)"},
    {"inference", "ADDR:PORT", "inference, Open Inference Protocol v2 (default 127.0.0.1:8000)"},
    {"workers", "N", "inference processes, 1 to 64 (default: one a core)"},
    {"data-roots", "DIR:DIR…", "folders that submitted documents may read from (default: none)"},
    {"tls-certificate", "FILE", "PEM, with its chain: both ports speak TLS 1.2 or later"},
    {"tls-key", "FILE", "PEM, the certificate's key"},
    {"body-mb", "N", "largest body of a request (default 64)"},
    {"connections", "N", "at once, of each worker and of the control plane (default 1024)"},
    {"worker-memory-mb", "N", "a worker that holds more is replaced; 0: no limit (default)"},
    {"log-format", "text|json", "one line an event (default text)"},
    {"log-level", "LEVEL", "debug, info (default), warn or error"},
};
const size_t lathe_serve_n_settings = sizeof lathe_serve_settings / sizeof *lathe_serve_settings;

static int32_t read_number(const char *name, const char *text, long low, long high, long *out,
                           lathe_error *err) {
    char *end;
    *out = strtol(text, &end, 10);
    if (end != text && *end == 0 && *out >= low && *out <= high)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_INVALID, name, "\"%.80s\" is no whole number from %ld to %ld",
                      text, low, high);
}

static int32_t read_word(const char *name, const char *text, const char *const *words, int *out,
                         lathe_error *err) {
    size_t n = 0;
    for (*out = 0; words[n] != NULL; n++)
        if (strcmp(text, words[n]) == 0) {
            *out = (int)n;
            return LATHE_OK;
        }
    const char *near = lathe_nearest(text, words, n);
    return lathe_fail(err, LATHE_E_INVALID, name,
                      "\"%.80s\" is none of its words; did you mean \"%s\"?", text,
                      near ? near : words[0]);
}

static int32_t read_roots(lathe_arena *arena, const char *text, lathe_serve_config *config,
                          lathe_error *err) {
    const char **roots = lathe_arena_array(arena, strlen(text) + 1, sizeof *roots);
    size_t n = 0;
    for (const char *p = text; roots != NULL && *p != 0;) {
        const size_t len = strcspn(p, ":");
        if (len > 0 && *p != '/')
            return lathe_fail(err, LATHE_E_INVALID, "data-roots", "\"%.*s\" is no absolute folder",
                              (int)(len < 80 ? len : 80), p);
        if (len > 0)
            roots[n++] = lathe_arena_printf(arena, "%.*s", (int)len, p);
        p += len + (p[len] == ':');
    }
    if (roots == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, "data-roots", "out of memory");
    config->data_roots = roots;
    config->n_data_roots = n;
    return LATHE_OK;
}

static int32_t set_address(const char *name, const char *value, const char **out,
                           lathe_error *err) {
    struct sockaddr_storage address;
    lathe_error why = {0};
    if (lathe_serve_address(value, &address, &why) != LATHE_OK)
        return lathe_fail(err, LATHE_E_INVALID, name, "%s", why.message);
    *out = value;
    return LATHE_OK;
}

int32_t lathe_serve_config_set(lathe_serve_config *config, const char *name, const char *text,
                               lathe_arena *arena, lathe_error *err) {
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    const char *value = lathe_arena_strdup(arena, text);
    long number = 0;
    int word = 0;
    int32_t rc = LATHE_OK;
    if (value == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, name, "out of memory");
    if (strcmp(name, "listen") == 0)
        return set_address(name, value, &config->listen, err);
    if (strcmp(name, "inference") == 0)
        return set_address(name, value, &config->inference, err);
    if (strcmp(name, "data-roots") == 0)
        return read_roots(arena, value, config, err);
    if (strcmp(name, "tls-certificate") == 0) {
        config->tls_certificate = value;
    } else if (strcmp(name, "tls-key") == 0) {
        config->tls_key = value;
    } else if (strcmp(name, "workers") == 0) {
        if ((rc = read_number(name, value, 1, 64, &number, err)) == LATHE_OK)
            config->workers = (int)number;
    } else if (strcmp(name, "body-mb") == 0) {
        if ((rc = read_number(name, value, 1, 65536, &number, err)) == LATHE_OK)
            config->limits.max_body = (size_t)number << 20;
    } else if (strcmp(name, "connections") == 0) {
        if ((rc = read_number(name, value, 1, 1000000, &number, err)) == LATHE_OK)
            config->limits.max_connections = (size_t)number;
    } else if (strcmp(name, "worker-memory-mb") == 0) {
        if ((rc = read_number(name, value, 0, 1 << 24, &number, err)) == LATHE_OK)
            config->worker_memory = (int64_t)number << 20;
    } else if (strcmp(name, "log-format") == 0) {
        if ((rc = read_word(name, value, formats, &word, err)) == LATHE_OK)
            config->log_json = word == 1;
    } else if (strcmp(name, "log-level") == 0) {
        if ((rc = read_word(name, value, levels, &word, err)) == LATHE_OK)
            config->log_level = word;
    } else {
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, name, "there is no such setting");
    }
    return rc;
}

/* $LATHE_SERVE_TLS_KEY of "tls-key". */
static const char *from_environment(const char *name) {
    char variable[64] = "LATHE_SERVE_";
    const size_t prefix = strlen(variable);
    for (size_t i = 0; name[i] != 0 && prefix + i + 1 < sizeof variable; i++)
        variable[prefix + i] = (char)(name[i] == '-'   ? '_'
                                      : name[i] >= 'a' ? name[i] - 32
                                                       : name[i]);
    return getenv(variable);
}

bool lathe_serve_config_read(const lathe_serve_sources *sources, lathe_arena *arena,
                             lathe_serve_config *config, lathe_diags *diags) {
    lathe_serve_config next;
    bool good = true;
    lathe_serve_config_init(&next);
    if (sources->file != NULL)
        good = lathe_serve_config_load(sources->file, arena, &next, diags);
    for (size_t i = 0; i < lathe_serve_n_settings; i++) {
        const char *name = lathe_serve_settings[i].name, *flag = sources->flags[i];
        const char *text = flag != NULL ? flag : from_environment(name);
        lathe_error err = {0};
        if (text == NULL || lathe_serve_config_set(&next, name, text, arena, &err) == LATHE_OK)
            continue;
        lathe_diag_add_at(diags, flag != NULL ? "flag" : "environment", 0, 0, NULL, "%s: %s", name,
                          err.message);
        good = false;
    }
    next.insecure = next.insecure || sources->insecure;
    if ((next.tls_certificate == NULL) != (next.tls_key == NULL)) {
        lathe_diag_add_at(diags, sources->file ? sources->file : "flags", 0, 0, "/tls",
                          "TLS needs both a certificate and its key");
        good = false;
    }
    if (good)
        *config = next;
    return good;
}
