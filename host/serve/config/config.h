/* serve/config/config.h: what `lathe serve` is told: a JSON file, the environment, flags; later ones win.
 *
 * All are validated like a pipeline: every fault at once, in the file with line, column and JSON Pointer. SIGHUP reads them
 * again: a key that is gone has its default again; "listen", "inference", "workers", "insecure" and whether there is TLS stay
 * until the next start, which the log tells.
 *   {"listen": "127.0.0.1:8080", "inference": "127.0.0.1:8000", "workers": 2, "data_roots": ["/srv/data"],
 *    "backups": "/srv/backups", "sources": {"operate": ["csv"]},            serve/config/sources.h
 *    "runs": {"concurrent": 1, "queue": 100, "threads": 2},
 *    "limits": {"body_mb": 64, "connections": 1024, "head_seconds": 10, "body_seconds": 60, "idle_seconds": 75,
 *               "worker_memory_mb": 4096, "hang_seconds": 10},
 *    "batching": {"max_rows": 64, "delay_us": 0, "endpoints": {"income": {"max_rows": 1}}},   off where max_rows is 0 or 1
 *    "queue": {"rows": 262144, "timeout_ms": 0},              waiting rows a worker; of requests without a deadline
 *    "tls": {"certificate": "/etc/lathe/cert.pem", "key": "/etc/lathe/key.pem"},
 *    "insecure": false, "log": {"format": "text" | "json", "level": "info"}}
 */
#ifndef LATHE_SERVE_CONFIG_H
#define LATHE_SERVE_CONFIG_H

#include "base/arena.h"
#include "base/json.h"
#include "serve/config/sources.h"
#include "serve/http/http.h"

typedef struct lathe_serve_config {
    const char *listen;    /* control plane, "ADDRESS:PORT"; port 0: any */
    const char *inference; /* shared inference port */
    int workers;
    const char *backups; /* folder below which the API makes backups; NULL: none */
    const char *const *data_roots;
    size_t n_data_roots;
    lathe_sources sources; /* that submitted documents may use */
    int run_concurrent, run_queue, run_threads;
    lathe_http_limits limits;
    int64_t worker_memory; /* bytes; 0: no limit */
    int64_t hang_ns;
    const char *batching;     /* JSON: {"max_rows", "delay_us", "endpoints"}; NULL: off */
    int64_t queue_rows;       /* of each worker; 0: no bound */
    int64_t queue_timeout_us; /* of requests that name no deadline; 0: none */
    const char *tls_certificate, *tls_key; /* both or none */
    bool insecure;                         /* off-loopback without tokens */
    bool log_json;
    int log_level;
} lathe_serve_config;

/* The defaults. */
void lathe_serve_config_init(lathe_serve_config *config);

/* Reads a file over what is there. False: diags says why, and config is as before. Texts live in the arena. */
bool lathe_serve_config_load(const char *path, lathe_arena *arena, lathe_serve_config *config,
                             lathe_diags *diags);

/* What flags and the environment can set: "--log-level warn", $LATHE_SERVE_LOG_LEVEL. */
typedef struct lathe_serve_setting {
    const char *name, *value, *doc; /* value: what stands for it in the help */
} lathe_serve_setting;
extern const lathe_serve_setting lathe_serve_settings[];
extern const size_t lathe_serve_n_settings;
#define LATHE_SERVE_MAX_SETTINGS 32

/* Sets one. LATHE_E_INVALID: what was expected; LATHE_E_NOT_FOUND. */
int32_t lathe_serve_config_set(lathe_serve_config *config, const char *name, const char *text,
                               lathe_arena *arena, lathe_error *err);

/* Where a configuration comes from; kept for SIGHUP. */
typedef struct lathe_serve_sources {
    const char *file;                            /* NULL: none */
    const char *flags[LATHE_SERVE_MAX_SETTINGS]; /* by lathe_serve_settings; NULL: not given */
    bool insecure;                               /* --insecure */
} lathe_serve_sources;

/* Defaults, then file, environment, flags. False: diags has every fault, and config is as before. */
bool lathe_serve_config_read(const lathe_serve_sources *sources, lathe_arena *arena,
                             lathe_serve_config *config, lathe_diags *diags);

/* "ADDRESS:PORT", "[::1]:PORT" or "PORT" (loopback) into a socket address. LATHE_E_INVALID. */
int32_t lathe_serve_address(const char *text, struct sockaddr_storage *address, lathe_error *err);
bool lathe_serve_is_loopback(const struct sockaddr_storage *address);

#endif
