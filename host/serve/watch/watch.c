#include "serve/watch/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AGAIN_NS 10000000000 /* at a version on trial, where rows have come */
#define LOOK_SOONEST_NS 1000000000

/* ---- what is served ---- */

/* The routes of the table that workers were sent last, by the number of their version. */
static void read_routes(lathe_watches *all) {
    const cJSON *route;
    if (all->generation == all->s->generation)
        return;
    memset(all->routes, 0, sizeof all->routes);
    cJSON_ArrayForEach(route, lathe_json_get(all->s->table, "routes")) {
        const cJSON *slot = lathe_json_get(route, "slot");
        if (cJSON_IsNumber(slot) && slot->valueint >= 0 && slot->valueint < LATHE_SLOTS_MODELS &&
            all->routes[slot->valueint] == NULL)
            all->routes[slot->valueint] = route;
    }
    all->generation = all->s->generation;
}

static watch_item *new_item(lathe_watches *all, int slot, const cJSON *route) {
    const char *model = cJSON_GetStringValue(lathe_json_get(route, "model"));
    const char *path = cJSON_GetStringValue(lathe_json_get(route, "path"));
    const cJSON *version = lathe_json_get(route, "version");
    watch_item *item = model && path && version ? calloc(1, sizeof *item) : NULL;
    if (item == NULL)
        return NULL;
    item->all = all;
    item->slot = slot;
    item->version = (int64_t)version->valuedouble;
    item->path = strdup(path);
    snprintf(item->model, sizeof item->model, "%s", model);
    snprintf(item->step, sizeof item->step, "%s", all->s->numbers.names[slot]);
    if (item->path == NULL) {
        free(item);
        return NULL;
    }
    return item;
}

watch_item *watch_need(lathe_watches *all, int slot) {
    read_routes(all);
    if (all->items[slot] == NULL && all->routes[slot] != NULL)
        all->items[slot] = new_item(all, slot, all->routes[slot]);
    return all->items[slot];
}

static watch_item *find_item(const lathe_watches *all, const char *model, int64_t version) {
    char step[LATHE_SLOTS_NAME];
    snprintf(step, sizeof step, "%s@%" PRId64, model, version);
    for (int i = 0; i < all->s->numbers.count; i++)
        if (strcmp(all->s->numbers.names[i], step) == 0)
            return all->items[i];
    return NULL;
}

static bool has_rows(const lathe_watches *all, int slot) {
    for (int w = 0; w < all->s->n_workers; w++)
        if (atomic_load(&lathe_slots_at(all->s->slots, w)->models[slot].rows) > 0)
            return true;
    return false;
}

/* Versions that have served something come, those that no route has go. */
static void follow_routes(lathe_watches *all) {
    read_routes(all);
    for (int slot = 0; slot < all->s->numbers.count; slot++) {
        watch_item *item = all->items[slot];
        const cJSON *route = all->routes[slot];
        if (item == NULL && route != NULL && (has_rows(all, slot) || watch_was_labelled(all, slot)))
            all->items[slot] = new_item(all, slot, route);
        if (item != NULL && route == NULL && !watch_is_unsaved(item) &&
            (all->job == NULL || all->job->item != item)) {
            watch_free_item(item);
            all->items[slot] = NULL;
        }
    }
}

/* ---- jobs ---- */

static void begin_window(watch_item *item) {
    for (int i = 0; i < WATCH_PARTS; i++)
        if (item->parts[i].live != NULL)
            lathe_live_total_copy(item->parts[i].begun, item->parts[i].now);
    item->begun_ns = lathe_now_ns();
    item->begun_us = lathe_wall_us();
}

/* From the first sum that there is. */
static void begin_trial(watch_item *item) {
    watch_trial *trial = item->trial;
    if (trial == NULL || trial->counting || item->phase != WATCH_OPEN)
        return;
    watch_sum(item);
    for (int i = 0; i < WATCH_PARTS; i++) {
        const watch_part *p = &item->parts[i];
        if (p->live != NULL && trial->begun[i] == NULL &&
            (trial->begun[i] = lathe_live_total_new(p->live)) == NULL)
            return; /* it is tried again */
        if (p->live != NULL)
            lathe_live_total_copy(trial->begun[i], p->now);
    }
    trial->counting = true;
}

/* Of a version that served before it was watched, the first window holds what it has served since the service started: at
 * most what came until now. */
static void after_reading(watch_item *item, const watch_job *job) {
    const watch_part *features = &item->parts[WATCH_FEATURES];
    if (job->rc != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "watch", "%s is not watched: %s%s%s", item->step,
                  job->err.where, job->err.where[0] ? ": " : "", job->err.message);
    item->phase = job->rc == LATHE_OK && features->live != NULL ? WATCH_OPEN : WATCH_BARE;
    if (item->phase == WATCH_BARE)
        watch_close_parts(item);
    if (item->phase == WATCH_BARE && item->trial != NULL && !job->whole)
        item->phase = WATCH_NEW; /* a canary has come meanwhile */
    item->begun_ns = lathe_now_ns();
    item->begun_us = lathe_wall_us();
    if (item->phase == WATCH_OPEN && item->drifts)
        watch_restore(item);
    if (job->rc == LATHE_OK)
        watch_restore_labels(item);
    begin_trial(item);
}

void watch_take_trial(const watch_job *job) {
    static const char *const names[LATHE_TRIAL_GUARDS] = {"feature_drift", "output_drift"};
    const cJSON *guards = lathe_json_get(job->answer, "guards");
    watch_trial *trial = watch_trial_of(job);
    if (trial == NULL)
        return;
    lathe_trial_verdict *v = &trial->verdict;
    v->rows = job->rows;
    for (int g = 0; g < LATHE_TRIAL_GUARDS; g++) {
        const cJSON *found = lathe_json_get(guards, names[g]);
        const cJSON *statistic = lathe_json_get(found, "statistic");
        const char *name = cJSON_GetStringValue(lathe_json_get(found, "name"));
        v->beyond[g] = cJSON_IsTrue(lathe_json_get(found, "beyond"));
        v->worst[g] = cJSON_IsNumber(statistic) ? statistic->valuedouble : (double)NAN;
        const char *measure = cJSON_GetStringValue(lathe_json_get(found, "metric"));
        const cJSON *threshold = lathe_json_get(found, "threshold");
        v->limit[g] = cJSON_IsNumber(threshold) ? threshold->valuedouble : (double)NAN;
        snprintf(v->name[g], sizeof v->name[g], "%s", name ? name : "");
        snprintf(v->measure[g], sizeof v->measure[g], "%s", measure ? measure : "");
    }
}

/* [pool] */
static void run_job(uv_work_t *work) {
    watch_job *job = work->data;
    job->rc = job->task == WATCH_READ ? watch_read(job->item, job->whole, &job->err)
                                      : watch_ask(job->item->all, job);
}

static void free_job(watch_job *job) {
    lathe_buf_free(&job->question);
    lathe_buf_free(&job->text);
    cJSON_Delete(job->answer);
    free(job);
}

static void after_job(uv_work_t *work, int status) {
    watch_job *job = work->data;
    watch_item *item = job->item;
    lathe_watches *all = item->all;
    (void)status;
    all->job = NULL;
    if (atomic_load(&all->stop)) {
        free_job(job);
        return;
    }
    if (job->task == WATCH_READ)
        after_reading(item, job);
    else if (job->rc != LATHE_OK)
        watch_note_failure(item, &job->err);
    else
        watch_note_success(item);
    if (job->rc == LATHE_OK && job->task == WATCH_WINDOW)
        watch_judge(item, job);
    if (job->rc == LATHE_OK && job->task == WATCH_TRIAL)
        watch_take_trial(job);
    if (job->rc == LATHE_OK && job->task == WATCH_QUALITY)
        watch_take_quality(item, job);
    if (job->rc == LATHE_OK && job->task == WATCH_COMPARE)
        watch_take_comparison(job);
    free_job(job);
    if (!all->s->draining && !atomic_load(&all->stop))
        watch_pass(all);
}

/* The version that a canary is compared with; NULL: it is not watched. */
static watch_item *base_of(const watch_item *item) {
    const lathe_trial_limits *limits = item->trial != NULL ? &item->trial->limits : NULL;
    return limits != NULL && limits->compares
               ? find_item(item->all, limits->base_model, limits->base_version)
               : NULL;
}

/* What a window or a trial has counted so far goes into the question. */
static int32_t prepare(watch_item *item, watch_job *job) {
    lathe_live_total *begun[WATCH_PARTS];
    int32_t rc;
    if (job->task == WATCH_READ)
        return LATHE_OK;
    if (job->task == WATCH_QUALITY || job->task == WATCH_COMPARE)
        return watch_quality_question(item, job->task == WATCH_COMPARE ? base_of(item) : NULL, job);
    watch_sum(item);
    for (int i = 0; i < WATCH_PARTS; i++)
        begun[i] = job->task == WATCH_TRIAL ? item->trial->begun[i] : item->parts[i].begun;
    rc = watch_question(item, begun, job);
    job->begun_us = item->begun_us;
    if (job->task == WATCH_WINDOW)
        begin_window(item);
    else
        item->trial->looked_ns = lathe_now_ns();
    return rc;
}

static bool start_job(watch_item *item, watch_task task) {
    watch_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return false;
    *job = (watch_job){.item = item, .task = task, .whole = item->trial != NULL};
    job->trial = item->trial != NULL ? item->trial->number : 0;
    job->work.data = job;
    if (prepare(item, job) != LATHE_OK ||
        uv_queue_work(&item->all->s->loop, &job->work, run_job, after_job) != 0) {
        free_job(job);
        return false;
    }
    item->all->job = job;
    return true;
}

/* ---- what is due ---- */

static bool window_is_due(const watch_item *item) {
    const int64_t rows = watch_window_rows(item);
    const double age = (double)(lathe_now_ns() - item->begun_ns) * 1e-9;
    return item->drifts &&
           (rows >= item->window || (rows >= item->min_rows && age >= item->window_seconds));
}

/* At once where it has enough rows, then where they have doubled, else some times a minute. */
static bool trial_is_due(const watch_item *item) {
    const watch_trial *trial = item->trial;
    if (trial == NULL || !trial->counting ||
        !(trial->limits.guarded[LATHE_TRIAL_FEATURES] ||
          trial->limits.guarded[LATHE_TRIAL_OUTPUTS]))
        return false;
    const int64_t rows = watch_rows(item) - lathe_live_total_rows(trial->begun[WATCH_FEATURES]);
    const int64_t ago = lathe_now_ns() - trial->looked_ns;
    if (rows < trial->limits.min_rows || rows <= trial->verdict.rows ||
        (trial->looked_ns != 0 && ago < LOOK_SOONEST_NS))
        return false;
    return rows >= 2 * trial->verdict.rows || ago > LOOK_AGAIN_NS;
}

static bool begin_due(watch_item *item) {
    if (item->phase == WATCH_NEW)
        return start_job(item, WATCH_READ);
    if (watch_compare_is_due(item, base_of(item)))
        return start_job(item, WATCH_COMPARE);
    if (watch_quality_is_due(item))
        return start_job(item, WATCH_QUALITY);
    if (item->phase != WATCH_OPEN)
        return false;
    begin_trial(item);
    if (trial_is_due(item))
        return start_job(item, WATCH_TRIAL);
    return window_is_due(item) && start_job(item, WATCH_WINDOW);
}

void watch_pass(lathe_watches *all) {
    for (int k = 0; k < LATHE_SLOTS_MODELS && all->job == NULL; k++) {
        const int slot = (all->next + k) % LATHE_SLOTS_MODELS;
        if (all->items[slot] != NULL && begin_due(all->items[slot]))
            all->next = slot + 1; /* the others first */
    }
}

void lathe_watches_tick(lathe_watches *all) {
    if (all == NULL || atomic_load(&all->stop))
        return;
    follow_routes(all);
    watch_pass(all);
}

/* ---- trials ---- */

int32_t lathe_watches_try(lathe_watches *all, const char *model, int64_t version,
                          const lathe_trial_limits *limits, lathe_error *err) {
    char step[LATHE_SLOTS_NAME];
    int slot = 0;
    snprintf(step, sizeof step, "%s@%" PRId64, model, version);
    while (slot < all->s->numbers.count && strcmp(all->s->numbers.names[slot], step) != 0)
        slot++;
    watch_item *item = slot < all->s->numbers.count ? watch_need(all, slot) : NULL;
    const bool served = item != NULL && all->routes[slot] != NULL;
    watch_trial *trial = served ? calloc(1, sizeof *trial) : NULL;
    if (trial == NULL)
        return lathe_fail(err, LATHE_E_STATE, step, "%s cannot be watched yet", step);
    trial->number = ++all->trials;
    trial->limits = *limits;
    trial->since_ms = lathe_wall_us() / 1000;
    watch_free_trial(item->trial);
    item->trial = trial;
    if (item->phase == WATCH_BARE)
        item->phase = WATCH_NEW; /* with its profile this time */
    begin_trial(item);
    return LATHE_OK;
}

bool lathe_watches_verdict(const lathe_watches *all, const char *model, int64_t version,
                           lathe_trial_verdict *verdict) {
    const watch_item *item = find_item(all, model, version);
    if (item == NULL || item->trial == NULL)
        return false;
    *verdict = item->trial->verdict;
    return true;
}

void lathe_watches_end_trial(lathe_watches *all, const char *model, int64_t version) {
    watch_item *item = find_item(all, model, version);
    if (item == NULL)
        return;
    watch_free_trial(item->trial);
    item->trial = NULL;
}

/* ---- all ---- */

lathe_watches *lathe_watches_new(lathe_supervisor *s) {
    lathe_watches *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->s = s;
    snprintf(all->plugin_cache, sizeof all->plugin_cache, "%s/plugins.json",
             lathe_store_home(s->store));
    return all;
}

void lathe_watches_stop(lathe_watches *all) {
    if (all == NULL)
        return;
    atomic_store(&all->stop, true);
    while (all->job != NULL) /* a thread reads it */
        uv_run(&all->s->loop, UV_RUN_ONCE);
}

void lathe_watches_free(lathe_watches *all) {
    if (all == NULL)
        return;
    for (int i = 0; i < LATHE_SLOTS_MODELS; i++)
        watch_free_item(all->items[i]);
    cJSON_Delete(all->labelled);
    free(all);
}
