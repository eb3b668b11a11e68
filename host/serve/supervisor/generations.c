/* Generations of routes: read from the store, sent to the workers, and awaited where somebody must know that all serve them. */
#include "base/json.h"
#include "serve/supervisor/internal.h"

#include <stdlib.h>
#include <string.h>

#define REROUTE_MS 30000

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
