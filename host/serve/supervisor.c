#include "serve/supervisor.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "plugin/catalogue.h"
#include "serve/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MS 30000
#define REROUTE_MS 30000
#define TICK_MS 500
#define USED_NS ((int64_t)60000000000) /* between two notes of when tokens were used */

/* ---- generations ---- */

static void on_waiter_closed(uv_handle_t *handle) {
    free(handle->data);
}

/* Takes a waiter out of the list and tells it. */
static void finish_waiter(lathe_supervisor *s, lathe_waiter *w, bool reached) {
    for (lathe_waiter **at = &s->waiters; *at != NULL; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    w->done(w->user, reached);
    uv_close((uv_handle_t *)&w->timeout, on_waiter_closed);
}

/* The manager hears once that the service is there, and later that a reload is over. */
static void tell_ready(lathe_supervisor *s) {
    if (s->told_ready || s->draining || s->generation == 0 || lathe_workers_ready(s) < s->n_workers)
        return;
    s->told_ready = true;
    lathe_systemd_tell(&s->systemd, "READY=1\nSTATUS=%d workers serve", s->n_workers);
}

void lathe_supervisor_reached(lathe_supervisor *s) {
    uint64_t lowest = UINT64_MAX;
    tell_ready(s);
    for (int i = 0; i < s->n_workers; i++)
        lowest = s->workers[i].generation < lowest ? s->workers[i].generation : lowest;
    for (lathe_waiter *w = s->waiters, *next; w != NULL; w = next) {
        next = w->next;
        if (w->generation <= lowest)
            finish_waiter(s, w, true);
    }
}

typedef struct timed_waiter {
    lathe_waiter waiter; /* first: the timer's data is the waiter */
    lathe_supervisor *s;
} timed_waiter;

static void on_waiter_timeout(uv_timer_t *timer) {
    timed_waiter *w = timer->data;
    finish_waiter(w->s, &w->waiter, false);
}

static int32_t add_waiter(lathe_supervisor *s, void (*done)(void *user, bool reached), void *user,
                          lathe_error *err) {
    timed_waiter *w = calloc(1, sizeof *w);
    if (w == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    w->s = s;
    w->waiter =
        (lathe_waiter){.next = s->waiters, .generation = s->generation, .done = done, .user = user};
    uv_timer_init(&s->loop, &w->waiter.timeout);
    w->waiter.timeout.data = w;
    uv_timer_start(&w->waiter.timeout, on_waiter_timeout, REROUTE_MS, 0);
    s->waiters = &w->waiter;
    return LATHE_OK;
}

/* What else workers are told with the routes. */
static void add_settings(const lathe_supervisor *s, cJSON *table) {
    cJSON *batching = s->config.batching ? cJSON_Parse(s->config.batching) : NULL;
    cJSON *queue = cJSON_AddObjectToObject(table, "queue");
    cJSON_AddNumberToObject(queue, "rows", (double)s->config.queue_rows);
    cJSON_AddNumberToObject(queue, "timeout_us", (double)s->config.queue_timeout_us);
    if (batching != NULL)
        cJSON_AddItemToObject(table, "batching", batching);
    cJSON_AddItemToObject(table, "unloaded", cJSON_Duplicate(s->unloaded, 1));
}

int32_t lathe_supervisor_reroute(lathe_supervisor *s, void (*done)(void *user, bool reached),
                                 void *user, lathe_error *err) {
    cJSON *table = NULL;
    int32_t rc = lathe_rollouts_sync(s, err);
    if (rc == LATHE_OK)
        rc = lathe_routes_read(s->store, s->generation + 1, s->unloaded, &s->rollouts, &s->numbers,
                               &table, err);
    if (rc != LATHE_OK)
        return rc;
    add_settings(s, table);
    if (done != NULL) {
        s->generation++;
        rc = add_waiter(s, done, user, err);
        s->generation--;
    }
    if (rc != LATHE_OK) {
        cJSON_Delete(table);
        return rc;
    }
    cJSON_Delete(s->table);
    s->table = table;
    s->generation++;
    for (int i = 0; i < s->n_workers;
         i++) { /* names of new numbers, before a worker counts under them */
        lathe_slot *slot = lathe_slots_at(s->slots, i);
        for (int m = 0; m < s->numbers.count; m++)
            memcpy(slot->models[m].name, s->numbers.names[m], sizeof slot->models[m].name);
    }
    lathe_workers_send(s, s->table);
    return LATHE_OK;
}

/* The project of what is served under a name: of an endpoint first, else of a model. LATHE_E_NOT_FOUND: there is neither,
 * or it is not of the project (NULL: any) that asks. */
static int32_t find_served(lathe_supervisor *s, const char *name, const char *asks,
                           lathe_arena *arena, const char **project, lathe_error *err) {
    int32_t rc = lathe_store_owner(s->store, LATHE_STORE_ENDPOINT, name, arena, project, err);
    if (rc == LATHE_OK && *project == NULL)
        rc = lathe_store_owner(s->store, LATHE_STORE_MODEL, name, arena, project, err);
    if (rc == LATHE_OK &&
        (*project == NULL || (asks != NULL && asks[0] != 0 && strcmp(asks, *project) != 0)))
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "there is no endpoint or model \"%.100s\"",
                        name);
    return rc;
}

/* ---- who acts ---- */

int32_t lathe_supervisor_act_as(lathe_supervisor *s, const char *actor, lathe_error *err) {
    return lathe_store_set_actor(s->store, actor != NULL && actor[0] != 0 ? actor : s->own_actor,
                                 err);
}

int32_t lathe_supervisor_reauth(lathe_supervisor *s, lathe_error *err) {
    int32_t rc = lathe_auth_load(s->auth, s->store, err);
    if (rc == LATHE_OK)
        rc = lathe_metering_reload(s->metering, err);
    if (rc == LATHE_OK)
        lathe_workers_send_auth(s);
    return rc;
}

/* [loop] A token's last use is only told: a failure is logged and tried again. */
static void save_used(lathe_supervisor *s) {
    lathe_error err = {0};
    s->used_saved_ns = lathe_now_ns();
    if (lathe_auth_save_used(s->auth, s->store, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "serve", "when tokens were used could not be noted: %s",
                  err.message);
}

int32_t lathe_supervisor_admin(lathe_supervisor *s, const char *verb, const char *name,
                               const lathe_auth_who *who, void (*done)(void *user, bool reached),
                               void *user, lathe_error *err) {
    const bool load = strcmp(verb, "load") == 0;
    if (!load && strcmp(verb, "unload") != 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "there is no verb \"%.40s\"", verb);
    const char *project = NULL;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = find_served(s, name, who->project, arena, &project, err);
    if (rc == LATHE_OK)
        rc = lathe_supervisor_act_as(s, who->actor, err);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(s->store, load ? "serve.load" : "serve.unload", name, NULL, err);
    lathe_supervisor_act_as(s, NULL, NULL);
    if (rc == LATHE_OK) {
        cJSON_DeleteItemFromObjectCaseSensitive(s->unloaded, name);
        if (!load)
            cJSON_AddStringToObject(s->unloaded, name, project);
    }
    lathe_arena_free(arena);
    if (rc != LATHE_OK)
        return rc;
    lathe_log(LATHE_LEVEL_INFO, "serve", "%s \"%s\"", verb, name);
    return lathe_supervisor_reroute(s, done, user, err);
}

/* ---- ending ---- */

static void stop_loop(lathe_supervisor *s) {
    uv_stop(&s->loop);
}

static void on_control_stopped(void *user) {
    lathe_supervisor *s = user;
    s->control = NULL;
    lathe_supervisor_worker_gone(s);
}

void lathe_supervisor_worker_gone(lathe_supervisor *s) {
    if (lathe_workers_alive(s) == 0 && s->control == NULL && s->local == NULL)
        stop_loop(s);
}

static void on_drain_timeout(uv_timer_t *timer) {
    lathe_supervisor *s = timer->data;
    lathe_log(LATHE_LEVEL_WARN, "serve", "requests still open after %d s are cut", DRAIN_MS / 1000);
    lathe_workers_kill(s);
    stop_loop(s);
}

/* Not ready first; what was accepted is finished; then the end. */
static void on_term(uv_signal_t *signal, int number) {
    lathe_supervisor *s = signal->data;
    (void)number;
    if (s->draining) {
        lathe_workers_kill(s);
        stop_loop(s);
        return;
    }
    s->draining = true;
    lathe_log(LATHE_LEVEL_INFO, "serve", "stopping");
    lathe_systemd_tell(&s->systemd, "STOPPING=1\nSTATUS=accepted requests are finished");
    lathe_queue_stop(s->queue);
    lathe_sse_stop(s->sse);
    lathe_workers_drain(s);
    uv_timer_start(&s->drain_timer, on_drain_timeout, DRAIN_MS, 0);
    lathe_local_stop(s, DRAIN_MS);
    if (s->control != NULL)
        lathe_http_stop(s->control, DRAIN_MS, on_control_stopped, s);
    lathe_supervisor_worker_gone(s);
}

static lathe_queue_settings queue_settings(const lathe_supervisor *s) {
    return (lathe_queue_settings){.concurrent = s->config.run_concurrent,
                                  .threads = s->config.run_threads,
                                  .roots = s->config.data_roots,
                                  .n_roots = s->config.n_data_roots};
}

/* What a run does is told to those who follow it; what it registered is served. */
static void on_note(void *user, const lathe_note *note) {
    lathe_supervisor *s = user;
    lathe_error err = {0};
    if (note->kind == LATHE_NOTE_PROGRESS && note->text != NULL)
        lathe_sse_progress(s->sse, note->run, note->text);
    else
        lathe_sse_poke(s->sse, note->run);
    if (note->kind == LATHE_NOTE_ENDED)
        lathe_metering_run(s->metering, note->run, note->actor, note->seconds);
    if (note->kind == LATHE_NOTE_ENDED && !s->draining &&
        lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
}

/* Runs and streams of events. */
static int32_t start_runs(lathe_supervisor *s, lathe_error *err) {
    const lathe_queue_options options = {.owner = s->store,
                                         .executable = s->executable,
                                         .settings = queue_settings(s),
                                         .on_note = on_note,
                                         .user = s};
    s->sse = lathe_sse_new(&s->loop, s->store);
    s->watches = lathe_watches_new(s);
    if (s->sse == NULL || s->watches == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the streams of events");
    return lathe_queue_start(&s->loop, &options, &s->queue, err);
}

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

/* Everything changes at once but what keep_made() names; batching and the bounds of waiting requests go with the routes. */
static void on_hup(uv_signal_t *signal, int number) {
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
        const lathe_queue_settings settings = queue_settings(s);
        lathe_queue_configure(s->queue, &settings);
        lathe_log(LATHE_LEVEL_INFO, "serve", "the configuration was read again");
    }
    if (lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
    lathe_systemd_tell(&s->systemd, "READY=1");
}

static void on_tick(uv_timer_t *timer) {
    lathe_supervisor *s = timer->data;
    if (!s->draining) {
        lathe_workers_check(s);
        lathe_rollouts_tick(s);
        lathe_watches_tick(s->watches);
    }
    lathe_metering_tick(s->metering);
    if (s->systemd.watchdog_ms > 0)
        lathe_systemd_tell(&s->systemd, "WATCHDOG=1");
    if (lathe_now_ns() - s->used_saved_ns > USED_NS)
        save_used(s);
}

/* ---- beginning ---- */

/* Off-loopback is for those who have tokens, or said so. */
static int32_t check_exposure(const lathe_supervisor *s, const char *text, lathe_error *err) {
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(text, &address, err);
    if (rc != LATHE_OK || lathe_serve_is_loopback(&address))
        return rc;
    if (!lathe_auth_required(s->auth) && !s->config.insecure)
        return lathe_fail(err, LATHE_E_INVALID, text,
                          "this address can be reached from other machines, and there is no token "
                          "yet, so that anyone "
                          "could change what is served; make one (lathe tokens create NAME --role "
                          "admin), listen on "
                          "loopback, or say --insecure");
    lathe_log(LATHE_LEVEL_WARN, "serve", "%s can be reached from other machines%s", text,
              lathe_auth_required(s->auth) && s->config.tls_key != NULL ? ""
              : lathe_auth_required(s->auth)
                  ? "; tokens cross the network as they are where nothing encrypts it"
                  : " and needs no token");
    return rc;
}

/* The tokens of the store, and who acts where none does. */
static int32_t open_auth(lathe_supervisor *s, lathe_error *err) {
    s->used_saved_ns = lathe_now_ns();
    s->own_actor = lathe_arena_strdup(s->arena, lathe_store_get_actor(s->store));
    s->auth = lathe_auth_new();
    if (s->auth == NULL || s->own_actor == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the tokens");
    lathe_auth_set_insecure(s->auth, s->config.insecure);
    lathe_auth_share(s->auth, lathe_slots_at(s->slots, 0)->token_ns, LATHE_SLOTS_TOKENS);
    return lathe_auth_load(s->auth, s->store, err);
}

static int32_t bind_control(const char *text, int *fd, lathe_error *err) {
    struct sockaddr_storage address;
    const int one = 1;
    *fd = -1;
    int32_t rc = lathe_serve_address(text, &address, err);
    if (rc != LATHE_OK)
        return rc;
    const socklen_t size =
        address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(*fd, (struct sockaddr *)&address, size) == 0 && listen(*fd, 128) == 0)
        return LATHE_OK;
    rc = lathe_fail_errno(err, errno, text, "the control port cannot be opened");
    if (*fd >= 0)
        close(*fd);
    return rc;
}

static int32_t open_control(lathe_supervisor *s, lathe_error *err) {
    struct sockaddr_storage address;
    int fd = s->systemd.control; /* the manager's, else one of our own */
    int32_t rc = fd >= 0 ? LATHE_OK : bind_control(s->config.listen, &fd, err);
    if (rc == LATHE_OK && s->config.tls_key != NULL) {
        rc = lathe_tls_load(&s->tls, s->config.tls_certificate, s->config.tls_key, err);
        if (rc != LATHE_OK)
            close(fd);
    }
    if (rc != LATHE_OK)
        return rc;
    socklen_t len = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &len);
    lathe_log(LATHE_LEVEL_INFO, "serve", "control plane on port %d (/api/v1, /metrics)%s",
              ntohs(((struct sockaddr_in *)&address)->sin_port), s->tls ? " with TLS" : "");
    const lathe_http_options options = {.limits = s->config.limits,
                                        .server_name = "lathe",
                                        .tls = s->tls,
                                        .on_request = lathe_api_request,
                                        .user = s};
    return lathe_http_start(&s->loop, fd, &options, &s->control, err);
}

/* Scans plugins once, so that every worker finds a warm cache. */
static int32_t warm_cache(lathe_supervisor *s, lathe_error *err) {
    lathe_catalogue *catalogue;
    const lathe_catalogue_options options = {.cache_file = s->plugin_cache,
                                             .scanner = s->executable};
    int32_t rc = lathe_catalogue_open(&options, &catalogue, err);
    if (rc == LATHE_OK)
        lathe_catalogue_close(catalogue);
    return rc;
}

/* Workers first, which begin with the plugins' cache where that is warm while the store opens. */
static int32_t open_store(lathe_supervisor *s, const char *given, lathe_error *err) {
    char *home = NULL;
    int32_t rc = lathe_store_home_path(given, &home, err);
    s->plugin_cache = rc == LATHE_OK ? lathe_arena_printf(s->arena, "%s/plugins.json", home) : NULL;
    free(home);
    if (rc == LATHE_OK && s->plugin_cache == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_workers_start(s, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_catalogue_options options = {.cache_file = s->plugin_cache,
                                             .scanner = s->executable};
    const bool is_warm = lathe_catalogue_is_warm(&options);
    if (is_warm)
        lathe_workers_greet(s);
    rc = lathe_store_open(given, LATHE_STORE_OWN, &s->store, err);
    if (rc == LATHE_OK)
        rc = open_auth(s, err);
    if (rc == LATHE_OK && !is_warm) {
        rc = warm_cache(s, err);
        lathe_workers_greet(s);
    }
    return rc;
}

/* Who may reach the addresses is known before anyone can. */
static int32_t open_ports(lathe_supervisor *s, lathe_error *err) {
    int32_t rc = check_exposure(s, s->config.inference, err);
    if (rc == LATHE_OK)
        rc = check_exposure(s, s->config.listen, err);
    if (rc == LATHE_OK)
        rc = open_control(s, err);
    return rc == LATHE_OK ? lathe_workers_listen(s, err) : rc;
}

static void start_signals(lathe_supervisor *s) {
    uv_signal_init(&s->loop, &s->on_term);
    uv_signal_init(&s->loop, &s->on_int);
    uv_signal_init(&s->loop, &s->on_hup);
    uv_timer_init(&s->loop, &s->tick);
    uv_timer_init(&s->loop, &s->drain_timer);
    s->on_term.data = s->on_int.data = s->on_hup.data = s->tick.data = s->drain_timer.data = s;
    uv_signal_start(&s->on_term, on_term, SIGTERM);
    uv_signal_start(&s->on_int, on_term, SIGINT);
    uv_signal_start(&s->on_hup, on_hup, SIGHUP);
    uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
}

static void close_walked(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Kept to the very end: what is open then is not lost. Nobody reads it: volatile keeps the compiler from leaving it
 * out. */
static lathe_supervisor *volatile service;

int lathe_supervisor_run(const lathe_supervisor_options *options, lathe_error *err) {
    lathe_supervisor *s = service = calloc(1, sizeof *s);
    if (s == NULL || (s->arena = lathe_arena_new()) == NULL || uv_loop_init(&s->loop) != 0) {
        free(s);
        service = NULL;
        lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
        return 1;
    }
    s->config = *options->config;
    s->sources = options->sources;
    s->executable = options->executable;
    s->slots_fd = -1;
    s->started_ns = lathe_now_ns();
    s->unloaded = cJSON_CreateObject();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int32_t rc = lathe_systemd_open(&s->systemd, err);
    if (rc == LATHE_OK)
        rc = open_store(s, options->home, err);
    if (rc == LATHE_OK) {
        start_signals(s);
        rc = open_ports(s, err);
    }
    if (rc == LATHE_OK)
        rc = lathe_metering_new(s->store, s->slots, s->auth, &s->metering, err);
    if (rc == LATHE_OK)
        rc = lathe_supervisor_reauth(s, err);
    if (rc == LATHE_OK)
        rc = lathe_supervisor_reroute(s, NULL, NULL, err);
    lathe_hash_prepare(); /* while the workers make their tables */
    if (rc == LATHE_OK)
        lathe_answers_take(s);
    if (rc == LATHE_OK)
        rc = start_runs(s, err);
    if (rc == LATHE_OK)
        rc = lathe_local_open(s, err);
    if (rc == LATHE_OK)
        uv_run(&s->loop, UV_RUN_DEFAULT);
    else
        lathe_workers_kill(s);
    if (s->store != NULL)
        lathe_local_remove(s);
    lathe_queue_free(s->queue);
    if (rc == LATHE_OK)
        lathe_answers_keep(s);
    /* the process ends here: what is still open goes with it, the store is closed in order */
    uv_walk(&s->loop, close_walked, NULL);
    if (rc == LATHE_OK)
        save_used(s);
    lathe_metering_free(s->metering);
    lathe_systemd_close(&s->systemd);
    lathe_rollouts_free(s);
    lathe_watches_free(s->watches);
    SSL_CTX_free(s->tls);
    lathe_auth_free(s->auth);
    lathe_api_close(s);
    lathe_store_close(s->store);
    lathe_slots_close(s->slots);
    cJSON_Delete(s->table);
    cJSON_Delete(s->unloaded);
    return rc == LATHE_OK ? 0 : 1;
}
