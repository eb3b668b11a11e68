/* What runs when: schedules that are due, entries that may begin, what becomes of those that ended. */
#include "serve/queue/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "pipeline/timing.h"
#include "serve/metering.h"

#include <stdlib.h>
#include <string.h>

#define GRACE_MS 1000
#define HOLD_NS 5000000000          /* after a failure of the store or of a start */
#define MAX_SLEEP_MS 60000          /* the wall clock may be set meanwhile */
#define LATE_US ((int64_t)60000000) /* due longer ago than this: it was missed */

static void complain(lathe_queue *q, const char *doing, const lathe_error *err) {
    lathe_log(LATHE_LEVEL_ERROR, "serve", "%s: %s", doing, err->message);
    q->hold_ns = lathe_now_ns() + HOLD_NS;
}

/* ---- the end of a run ---- */

/* When an entry is to be tried again; 0: it is not. */
static int64_t retry_at(const lathe_queue_entry *e, const char *status) {
    const lathe_retry retry = {e->what.retry_limit, e->what.retry_backoff_s, e->what.retry_factor};
    if (strcmp(status, LATHE_RUN_FAILED) != 0 && strcmp(status, LATHE_RUN_INTERRUPTED) != 0)
        return 0;
    if (e->attempt > retry.limit)
        return 0;
    return lathe_wall_us() + (int64_t)(lathe_retry_wait(&retry, e->attempt + 1) * 1e6);
}

/* Takes an entry whose run has ended out of the queue, or puts a further attempt in its place. */
static void settle(lathe_queue *q, const lathe_queue_entry *e, const char *status, bool stopped,
                   char retry[LATHE_RUN_ID]) {
    lathe_error err = {0};
    const bool again = stopped && strcmp(status, LATHE_RUN_INTERRUPTED) == 0;
    const int64_t at = again ? lathe_wall_us() : retry_at(e, status);
    retry[0] = 0;
    if (lathe_store_queue_end(q->store, e->number, at, again, retry, &err) != LATHE_OK) {
        complain(q, "a run that has ended stays in the queue for now", &err);
        return;
    }
    if (retry[0] != 0)
        lathe_log(LATHE_LEVEL_INFO, "serve", "run %s of \"%s\" is tried again as %s in %.1f s",
                  e->run, e->what.pipeline, retry, (double)(at - lathe_wall_us()) * 1e-6);
}

static void unlink_run(queue_run *run) {
    lathe_queue *q = run->queue;
    for (queue_run **at = &q->runs; *at != NULL; at = &(*at)->next)
        if (*at == run) {
            *at = run->next;
            break;
        }
    uv_mutex_lock(&q->lock);
    q->n_running--;
    uv_mutex_unlock(&q->lock);
}

static void on_end(void *user, const lathe_outcome *outcome) {
    queue_run *run = user;
    lathe_queue *q = run->queue;
    char retry[LATHE_RUN_ID];
    uv_mutex_lock(&q->lock);
    const bool stopped = q->stopping;
    uv_mutex_unlock(&q->lock);
    lathe_log(LATHE_LEVEL_INFO, "serve", "run %s of \"%s\": %s%s%s", run->entry.run,
              run->entry.what.pipeline, outcome->status, outcome->error->message[0] ? ": " : "",
              outcome->error->message);
    settle(q, &run->entry, outcome->status, stopped, retry);
    unlink_run(run);
    queue_note(q, LATHE_NOTE_ENDED, run, outcome->status, retry, NULL);
    lathe_arena_free(run->arena);
    lathe_queue_wake(q); /* the parent is still in use: the next begins with the next turn */
}

/* ---- a run under way ---- */

static void on_event(void *user, const cJSON *event) {
    queue_run *run = user;
    const cJSON *name = lathe_json_get(event, "event");
    lathe_buf text = {0};
    if (!cJSON_IsString(name) || strcmp(name->valuestring, "progress") != 0)
        return;
    lathe_json_print(NULL, event, &text);
    queue_note(run->queue, LATHE_NOTE_PROGRESS, run, NULL, NULL, lathe_buf_take(&text));
}

static void on_stored(void *user, int64_t last_seq) {
    queue_run *run = user;
    (void)last_seq;
    queue_note(run->queue, LATHE_NOTE_STORED, run, NULL, NULL, NULL);
}

static void on_output(void *user, const char *text) {
    const queue_run *run = user;
    lathe_log(LATHE_LEVEL_WARN, "serve", "run %s: a plugin printed: %.300s", run->entry.run, text);
}

void queue_stop_run(lathe_queue *q, const char *id) {
    for (queue_run *run = q->runs; run != NULL; run = run->next)
        if (strcmp(run->entry.run, id) == 0) {
            lathe_parent_stop(run->parent, run->stopping ? 0 : GRACE_MS);
            run->stopping = true;
        }
}

void queue_interrupt_all(lathe_queue *q) {
    for (queue_run *run = q->runs; run != NULL; run = run->next)
        if (!run->stopping) {
            lathe_parent_interrupt(run->parent, GRACE_MS);
            run->stopping = true;
        }
}

/* ---- starting ---- */

/* ["name=value"] as a list in the arena. */
static const char **read_sets(const char *json, lathe_arena *arena, size_t *n) {
    cJSON *list = cJSON_Parse(json);
    const cJSON *item;
    const char **sets =
        lathe_arena_array(arena, (size_t)cJSON_GetArraySize(list) + 1, sizeof *sets);
    *n = 0;
    cJSON_ArrayForEach(item, list) {
        if (sets != NULL && cJSON_IsString(item))
            sets[(*n)++] = lathe_arena_strdup(arena, item->valuestring);
    }
    cJSON_Delete(list);
    return sets;
}

static int32_t start_run(lathe_queue *q, queue_run *run, const lathe_queue_settings *settings,
                         lathe_error *err) {
    static const char *const nowhere[] = {"/nonexistent"};
    const lathe_submission *w = &run->entry.what;
    lathe_run_request request = {.executable = q->executable,
                                 .text = w->text,
                                 .file = w->file,
                                 .base_dir = w->base_dir,
                                 .run = run->entry.run,
                                 .project = w->project,
                                 .pipeline = w->pipeline,
                                 .actor = w->actor,
                                 .document = w->document,
                                 .seed = w->seed,
                                 .threads = settings->threads,
                                 .on_event = on_event,
                                 .on_stored = on_stored,
                                 .on_output = on_output,
                                 .on_end = on_end,
                                 .user = run};
    request.sets = read_sets(w->sets, run->arena, &request.n_sets);
    if (w->base_dir == NULL) { /* a document without a folder reads under the data roots alone */
        request.roots = settings->n_roots > 0 ? settings->roots : nowhere;
        request.n_roots = settings->n_roots > 0 ? settings->n_roots : 1;
    }
    return lathe_parent_start(&q->loop, q->store, &request, &run->parent, err);
}

/* Takes a place among those that run; false: there is none. */
static bool take_place(lathe_queue *q, lathe_queue_settings *settings) {
    uv_mutex_lock(&q->lock);
    *settings = q->settings;
    const bool free_place = q->n_running < q->settings.concurrent && !q->paused && !q->stopping;
    q->n_running += free_place;
    uv_mutex_unlock(&q->lock);
    return free_place;
}

static void give_place(lathe_queue *q) {
    uv_mutex_lock(&q->lock);
    q->n_running--;
    uv_mutex_unlock(&q->lock);
}

/* Starts the next entry that may begin. False: nothing was started, for now. */
static bool start_next(lathe_queue *q, int64_t *wake) {
    lathe_arena *arena = lathe_arena_new();
    queue_run *run = arena ? lathe_arena_alloc(arena, sizeof *run) : NULL;
    lathe_queue_settings settings;
    lathe_error err = {0};
    bool found = false;
    if (run == NULL || !take_place(q, &settings)) {
        lathe_arena_free(arena);
        return false;
    }
    *run = (queue_run){.queue = q, .arena = arena, .begun_ns = lathe_now_ns()};
    int32_t rc =
        lathe_store_queue_next(q->store, lathe_wall_us(), arena, &run->entry, &found, wake, &err);
    if (rc == LATHE_OK && found)
        rc = start_run(q, run, &settings, &err);
    if (rc != LATHE_OK)
        complain(q, found ? "a run cannot begin" : "the queue of runs cannot be read", &err);
    if (rc != LATHE_OK || !found) {
        give_place(q);
        lathe_arena_free(arena);
        return false;
    }
    run->next = q->runs;
    q->runs = run;
    lathe_log(LATHE_LEVEL_INFO, "serve", "run %s of \"%s\" begins", run->entry.run,
              run->entry.what.pipeline);
    queue_note(q, LATHE_NOTE_BEGUN, run, LATHE_RUN_RUNNING, NULL, NULL);
    return true;
}

/* ---- schedules ---- */

/* May a schedule's run be submitted now? Cancels the earlier one where the schedule says so. */
static bool clear_the_way(lathe_queue *q, const lathe_schedule_record *s, lathe_arena *arena) {
    lathe_queue_list list;
    lathe_error err = {0};
    bool busy = false;
    if (strcmp(s->overlap, "queue") == 0)
        return true;
    if (lathe_store_queue(q->store, arena, &list, &err) != LATHE_OK) {
        complain(q, "the queue of runs cannot be read", &err);
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        const lathe_queue_entry *e = &list.items[i];
        if (strcmp(e->schedule, s->name) != 0)
            continue;
        busy = true;
        if (strcmp(s->overlap, "cancel") != 0)
            continue;
        if (strcmp(e->state, "waiting") == 0)
            lathe_store_queue_cancel(q->store, e->run, "its schedule is due again", NULL);
        else
            queue_stop_run(q, e->run);
    }
    return !busy || strcmp(s->overlap, "cancel") == 0;
}

/* Has the schedule's project used what it may? Then its people are told by an alert. */
static bool has_quota(lathe_queue *q, const lathe_schedule_record *s, int64_t now) {
    lathe_error err = {0};
    int64_t retry_after;
    const int32_t rc = lathe_metering_check_run(q->store, s->what.project, &retry_after, &err);
    if (rc == LATHE_OK)
        return true;
    lathe_log(LATHE_LEVEL_WARN, "serve", "schedule \"%s\" is due; skipped: %s", s->name,
              err.message);
    if (rc != LATHE_E_STATE)
        return false;
    const lathe_alert_new alert = {.time = now,
                                   .severity = "warning",
                                   .kind = "schedule_skipped",
                                   .message = err.message,
                                   .model = s->name};
    if (lathe_store_alerts_add(q->store, &alert, 1, &err) != LATHE_OK)
        complain(q, s->name, &err);
    return false;
}

static void fire(lathe_queue *q, const lathe_schedule_record *s, int64_t now, lathe_arena *arena) {
    char run[LATHE_RUN_ID] = "";
    lathe_error err = {0};
    int64_t next = INT64_MAX;
    const bool missed = now - s->next > LATE_US;
    bool submit = !missed || s->catch_up;
    if (!submit)
        lathe_log(LATHE_LEVEL_WARN, "serve",
                  "schedule \"%s\" was due while no service ran; skipped", s->name);
    else if (!(submit = clear_the_way(q, s, arena)))
        lathe_log(LATHE_LEVEL_WARN, "serve",
                  "schedule \"%s\" is due while its last run is under way; skipped", s->name);
    else
        submit = has_quota(q, s, now);
    int32_t rc = lathe_schedule_next(s->cron, s->timezone, now, &next, &err);
    if (rc != LATHE_OK) { /* the machine's time zones have changed: it stays, and is told again */
        complain(q, s->name, &err);
        next = now + 3600 * (int64_t)1000000;
    }
    lathe_store_set_actor(q->store, lathe_arena_printf(arena, "schedule:%s", s->name), NULL);
    rc = lathe_store_schedule_fire(q->store, s, now, next, submit, run, &err);
    if (rc != LATHE_OK)
        complain(q, s->name, &err);
    else if (run[0] != 0)
        lathe_log(LATHE_LEVEL_INFO, "serve", "schedule \"%s\" submits run %s", s->name, run);
}

static void fire_due(lathe_queue *q) {
    lathe_arena *arena = lathe_arena_new();
    lathe_schedule_list list = {0};
    lathe_error err = {0};
    const int64_t now = lathe_wall_us();
    if (arena == NULL)
        return;
    if (lathe_store_schedules(q->store, now, arena, &list, &err) != LATHE_OK)
        complain(q, "the schedules cannot be read", &err);
    for (size_t i = 0; i < list.count; i++)
        fire(q, &list.items[i], now, arena);
    lathe_arena_free(arena);
}

/* ---- the pass ---- */

static bool is_live(const lathe_queue *q, const char *id) {
    for (const queue_run *run = q->runs; run != NULL; run = run->next)
        if (strcmp(run->entry.run, id) == 0)
            return true;
    return false;
}

/* Entries whose runs ended without this thread: before a crash, or while the store could not be written. */
static void settle_ended(lathe_queue *q) {
    lathe_arena *arena = lathe_arena_new();
    lathe_queue_list list = {0};
    lathe_error err = {0};
    if (arena == NULL)
        return;
    if (lathe_store_queue_ended(q->store, arena, &list, &err) != LATHE_OK)
        complain(q, "the queue of runs cannot be read", &err);
    for (size_t i = 0; i < list.count; i++) {
        lathe_run_record run;
        char retry[LATHE_RUN_ID];
        if (!is_live(q, list.items[i].run) &&
            lathe_store_run(q->store, list.items[i].run, arena, &run, &err) == LATHE_OK)
            settle(q, &list.items[i], run.status, false, retry);
    }
    lathe_arena_free(arena);
}

static void on_timer(uv_timer_t *timer) {
    queue_pass(timer->data);
}

void queue_pass(lathe_queue *q) {
    int64_t wake = INT64_MAX, sleep = MAX_SLEEP_MS;
    const int64_t held = q->hold_ns - lathe_now_ns();
    if (held > 0) {
        sleep = held / 1000000 + 1;
    } else {
        settle_ended(q);
        fire_due(q);
        while (start_next(q, &wake))
            ;
        if (wake == INT64_MAX) { /* no place was free, so nobody has looked */
            lathe_arena *arena = lathe_arena_new();
            lathe_queue_entry entry;
            bool found;
            if (arena != NULL)
                lathe_store_queue_next(q->store, lathe_wall_us(), arena, &entry, &found, &wake,
                                       NULL);
            lathe_arena_free(arena);
        }
        const int64_t until = wake == INT64_MAX ? INT64_MAX : (wake - lathe_wall_us()) / 1000 + 1;
        sleep = until < sleep ? until : sleep;
        if (q->hold_ns > lathe_now_ns() && sleep < HOLD_NS / 1000000)
            sleep = HOLD_NS / 1000000;
    }
    uv_timer_start(&q->timer, on_timer, (uint64_t)(sleep > 1 ? sleep : 1), 0);
}
