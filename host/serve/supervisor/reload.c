/* The configuration is read again at SIGHUP. Everything changes at once but what keep_made() names; batching and the bounds of
 * waiting requests go with the routes. */
#include "base/clock.h"
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <string.h>

static void keep(const char *what, const char *now, const char *next) {
    if (strcmp(now ? now : "", next ? next : "") != 0)
        lathe_log(LATHE_LEVEL_WARN, "serve", "%s stays %s until the next start", what,
                  now ? now : "as it is");
}

/* What sockets and processes were made from stays until the next start. */
static void keep_made(const lathe_serve_config *now, lathe_serve_config *next) {
    keep("\"listen\"", now->listen, next->listen);
    keep("\"inference\"", now->inference, next->inference);
    if (now->workers != next->workers)
        lathe_log(LATHE_LEVEL_WARN, "serve", "\"workers\" stays %d until the next start",
                  now->workers);
    if ((now->tls_key == NULL) != (next->tls_key == NULL)) {
        lathe_log(LATHE_LEVEL_WARN, "serve", "\"tls\" stays %s until the next start",
                  now->tls_key ? "on" : "off");
        next->tls_certificate = now->tls_certificate;
        next->tls_key = now->tls_key;
    }
    if (now->insecure != next->insecure)
        lathe_log(LATHE_LEVEL_WARN, "serve", "\"insecure\" stays %s until the next start",
                  now->insecure ? "true" : "false");
    next->listen = now->listen;
    next->inference = now->inference;
    next->workers = now->workers;
    next->insecure = now->insecure;
}

/* False: it stays as it was, and the log says why. */
static bool read_again(lathe_supervisor *s) {
    lathe_diags diags = {0};
    lathe_error err = {0};
    lathe_serve_config next = s->config;
    bool good = lathe_serve_config_read(s->sources, s->arena, &next, &diags);
    if (!good)
        lathe_diags_error(&diags, LATHE_E_INVALID, &err);
    lathe_diags_free(&diags);
    if (good) {
        keep_made(&s->config, &next);
        good = s->tls == NULL ||
               lathe_tls_load(&s->tls, next.tls_certificate, next.tls_key, &err) == LATHE_OK;
    }
    if (!good) {
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the configuration stays as it was: %s: %s",
                  err.where, err.message);
        return false;
    }
    s->config = next;
    return true;
}

static void use_limits(lathe_supervisor *s) {
    lathe_http *const servers[] = {s->control, s->local};
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        if (servers[i] != NULL)
            lathe_http_set_limits(servers[i], &s->config.limits);
    lathe_workers_send_limits(s);
}

void lathe_supervisor_on_hup(uv_signal_t *signal, int number) {
    lathe_supervisor *s = signal->data;
    lathe_error err = {0};
    (void)number;
    lathe_systemd_tell(&s->systemd, "RELOADING=1\nMONOTONIC_USEC=%lld",
                       (long long)(lathe_now_ns() / 1000));
    if (read_again(s)) {
        lathe_log_set_format(s->config.log_json ? LATHE_LOG_JSON : LATHE_LOG_TEXT);
        lathe_workers_set_log_level(s, s->config.log_level);
        lathe_workers_send_tls(s);
        use_limits(s);
        const lathe_queue_settings settings = lathe_supervisor_queue_settings(s);
        lathe_queue_configure(s->queue, &settings);
        lathe_log(LATHE_LEVEL_INFO, "serve", "the configuration was read again");
    }
    if (lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
    lathe_systemd_tell(&s->systemd, "READY=1");
}
