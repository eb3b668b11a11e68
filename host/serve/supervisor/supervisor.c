/* The supervisor from its start to its end. */
#include "serve/supervisor/supervisor.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "plugin/catalogue.h"
#include "serve/supervisor/internal.h"

#include <signal.h>
#include <stdlib.h>

#define TICK_MS 500
#define USED_NS ((int64_t)60000000000) /* between two notes of when tokens were used */

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

lathe_queue_settings lathe_supervisor_queue_settings(const lathe_supervisor *s) {
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
                                         .settings = lathe_supervisor_queue_settings(s),
                                         .on_note = on_note,
                                         .user = s};
    s->sse = lathe_sse_new(&s->loop, s->store);
    s->watches = lathe_watches_new(s);
    if (s->sse == NULL || s->watches == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the streams of events");
    return lathe_queue_start(&s->loop, &options, &s->queue, err);
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
        lathe_supervisor_save_used(s);
}

static void start_signals(lathe_supervisor *s) {
    uv_signal_init(&s->loop, &s->on_term);
    uv_signal_init(&s->loop, &s->on_int);
    uv_signal_init(&s->loop, &s->on_hup);
    uv_timer_init(&s->loop, &s->tick);
    uv_timer_init(&s->loop, &s->drain_timer);
    s->on_term.data = s->on_int.data = s->on_hup.data = s->tick.data = s->drain_timer.data = s;
    uv_signal_start(&s->on_term, lathe_supervisor_on_term, SIGTERM);
    uv_signal_start(&s->on_int, lathe_supervisor_on_term, SIGINT);
    uv_signal_start(&s->on_hup, lathe_supervisor_on_hup, SIGHUP);
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

/* Everything up to the moment when it serves. */
static int32_t begin(lathe_supervisor *s, const char *home, lathe_error *err) {
    int32_t rc = lathe_systemd_open(&s->systemd, err);
    if (rc == LATHE_OK)
        rc = open_store(s, home, err);
    if (rc == LATHE_OK) {
        start_signals(s);
        rc = lathe_supervisor_open_ports(s, err);
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
    return rc == LATHE_OK ? lathe_local_open(s, err) : rc;
}

/* Calls that take long and were cut when the time to finish them was over are still in their threads. */
static bool has_calls(const lathe_supervisor *s) {
    int n = 0;
    for (size_t lane = 0; lane < sizeof s->lane_running / sizeof *s->lane_running; lane++)
        n += s->lane_running[lane];
    return n > 0;
}

/* The process ends here: what is still open goes with it, the store is closed in order, unless a thread works with it: then
 * it is as after a crash, which loses nothing. */
static void end(lathe_supervisor *s, bool served) {
    lathe_watches_stop(s->watches);
    if (s->store != NULL)
        lathe_local_remove(s);
    lathe_queue_free(s->queue);
    if (served)
        lathe_answers_keep(s);
    uv_walk(&s->loop, close_walked, NULL);
    if (served)
        lathe_supervisor_save_used(s);
    lathe_metering_free(s->metering);
    lathe_systemd_close(&s->systemd);
    lathe_rollouts_free(s);
    lathe_watches_free(s->watches);
    if (has_calls(s))
        return;
    SSL_CTX_free(s->tls);
    lathe_auth_free(s->auth);
    lathe_api_close(s);
    lathe_store_close(s->store);
    lathe_slots_close(s->slots);
    cJSON_Delete(s->table);
    cJSON_Delete(s->unloaded);
}

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
    const bool serves = begin(s, options->home, err) == LATHE_OK;
    if (serves)
        uv_run(&s->loop, UV_RUN_DEFAULT);
    else
        lathe_workers_kill(s);
    end(s, serves);
    return serves ? 0 : 1;
}
