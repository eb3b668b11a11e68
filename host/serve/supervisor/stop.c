/* The end at SIGTERM: not ready first, then what was accepted is finished, then the loop stops. */
#include "base/log.h"
#include "serve/supervisor/internal.h"

#define DRAIN_MS 30000

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

void lathe_supervisor_on_term(uv_signal_t *signal, int number) {
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
