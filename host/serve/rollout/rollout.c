#include "serve/rollout/rollout.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "plugin/crumbs.h"
#include "serve/supervisor/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char actor[] = "service:rollout";

double lathe_rollout_share(const lathe_rollout *r) {
    const int64_t step = r->record.step;
    return step >= 0 && step < r->canary.n_steps ? r->canary.steps[step] : 0;
}

static bool is_shadow(const lathe_rollout *r) {
    return strcmp(r->record.kind, LATHE_ROLLOUT_SHADOW) == 0;
}

const lathe_rollout *lathe_rollouts_on(const lathe_rollouts *all, const char *endpoint,
                                       bool shadow) {
    for (const lathe_rollout *r = all->list; r != NULL; r = r->next)
        if (!r->halted && is_shadow(r) == shadow && strcmp(r->record.endpoint, endpoint) == 0)
            return r;
    return NULL;
}

/* ---- counters ---- */

static uint64_t lowest_generation(const lathe_supervisor *s) {
    uint64_t lowest = s->generation;
    for (int i = 0; i < s->n_workers; i++)
        lowest = s->workers[i].generation < lowest ? s->workers[i].generation : lowest;
    return lowest;
}

/* Counters that no worker can still be writing for another rollout; -1: there are none. */
static int take(uint64_t *free_from, int n, uint64_t lowest) {
    for (int i = 0; i < n; i++)
        if (free_from[i] <= lowest) {
            free_from[i] = UINT64_MAX;
            return i;
        }
    return -1;
}

static void give(uint64_t *free_from, int at, uint64_t generation) {
    if (at >= 0)
        free_from[at] = generation;
}

static void clear_shadow(lathe_supervisor *s, int at) {
    for (int w = 0; w < s->n_workers && at >= 0; w++)
        memset(&lathe_slots_at(s->slots, w)->shadows[at], 0, sizeof(lathe_slot_shadow));
}

/* A step begins with the routes that are sent next. */
static void begin_step(lathe_supervisor *s, lathe_rollout *r) {
    r->generation = s->generation + 1;
    r->served_ns = 0;
    r->watched = false;
    lathe_arm_sum(s->slots, r->arm, &r->stepped[0]);
    lathe_arm_sum(s->slots, r->base_arm, &r->stepped[1]);
}

/* ---- what runs ---- */

static int32_t copy_record(lathe_rollout *r, const lathe_rollout_record *from, lathe_error *err) {
    const char *const texts[] = {from->endpoint, from->kind,     from->model,
                                 from->sha256,   from->settings, from->base_model};
    const char **to[] = {&r->record.endpoint, &r->record.kind,     &r->record.model,
                         &r->record.sha256,   &r->record.settings, &r->record.base_model};
    r->record = (lathe_rollout_record){.id = from->id,
                                       .version = from->version,
                                       .base_version = from->base_version,
                                       .step = from->step,
                                       .started = from->started};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if ((*to[i] = lathe_arena_strdup(r->arena, texts[i])) == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the rollouts");
    return LATHE_OK;
}

static void free_rollout(lathe_rollout *r) {
    lathe_arena_free(r->arena);
    free(r);
}

static int32_t add(lathe_supervisor *s, const lathe_rollout_record *record, lathe_error *err) {
    lathe_rollouts *all = &s->rollouts;
    lathe_rollout *r = calloc(1, sizeof *r);
    if (r == NULL || (r->arena = lathe_arena_new()) == NULL) {
        free(r);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the rollouts");
    }
    int32_t rc = copy_record(r, record, err);
    if (rc != LATHE_OK) {
        free_rollout(r);
        return rc;
    }
    const uint64_t lowest = lowest_generation(s);
    r->arm = r->base_arm = r->shadow = -1;
    if (is_shadow(r)) {
        r->shadow = take(all->shadow_free, LATHE_SLOTS_SHADOWS, lowest);
        clear_shadow(s, r->shadow);
    } else {
        cJSON *settings = cJSON_Parse(record->settings);
        lathe_error ignored = {0};
        /* settings were checked when it began; what another version of the program wrote may not fit: then it is stopped */
        if (lathe_canary_read(settings, &r->canary, &ignored) != LATHE_OK) {
            r->halted = true;
            snprintf(r->condition, sizeof r->condition, "settings");
        }
        cJSON_Delete(settings);
        r->arm = take(all->arm_free, LATHE_SLOTS_ARMS, lowest);
        r->base_arm = take(all->arm_free, LATHE_SLOTS_ARMS, lowest);
    }
    if (r->shadow < 0 && r->base_arm < 0)
        lathe_log(LATHE_LEVEL_WARN, "serve",
                  "too many rollouts at once: that of endpoint \"%s\" is not measured",
                  r->record.endpoint);
    begin_step(s, r);
    memcpy(r->begun, r->stepped, sizeof r->begun);
    r->next = all->list;
    all->list = r;
    return LATHE_OK;
}

static void drop(lathe_supervisor *s, lathe_rollout **at) {
    lathe_rollout *r = *at;
    *at = r->next;
    if (r->watched)
        lathe_watches_end_trial(s->watches, r->record.model, r->record.version);
    give(s->rollouts.arm_free, r->arm, s->generation + 1);
    give(s->rollouts.arm_free, r->base_arm, s->generation + 1);
    give(s->rollouts.shadow_free, r->shadow, s->generation + 1);
    free_rollout(r);
}

int32_t lathe_rollouts_sync(lathe_supervisor *s, lathe_error *err) {
    lathe_rollout_list list;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena ? lathe_store_rollouts(s->store, NULL, true, 0, arena, &list, err)
                       : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the rollouts");
    for (lathe_rollout **at = &s->rollouts.list; rc == LATHE_OK && *at != NULL;) {
        size_t i = 0;
        while (i < list.count && list.items[i].id != (*at)->record.id)
            i++;
        if (i == list.count)
            drop(s, at);
        else
            at = &(*at)->next;
    }
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        const lathe_rollout *r = s->rollouts.list;
        while (r != NULL && r->record.id != list.items[i].id)
            r = r->next;
        if (r == NULL)
            rc = add(s, &list.items[i], err);
    }
    lathe_arena_free(arena);
    return rc;
}

void lathe_rollouts_free(lathe_supervisor *s) {
    while (s->rollouts.list != NULL)
        drop(s, &s->rollouts.list);
}

/* ---- ends ---- */

/* The routes without it, or with its next step. */
static void reroute(lathe_supervisor *s) {
    lathe_error err = {0};
    if (lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
}

/* malloc'ed; NULL: no memory. */
static char *verdict_json(const lathe_supervisor *s, const lathe_rollout *r) {
    cJSON *out = lathe_rollout_json(s, r->record.endpoint, is_shadow(r));
    if (out == NULL)
        out = cJSON_CreateObject();
    if (r->halted) {
        cJSON_AddStringToObject(out, "condition", r->condition);
        cJSON_AddNumberToObject(out, "measured", r->measured);
        cJSON_AddNumberToObject(out, "limit", r->limit);
        if (r->subject[0] != '\0')
            cJSON_AddStringToObject(out, "subject", r->subject);
        if (r->measure[0] != '\0')
            cJSON_AddStringToObject(out, "measure", r->measure);
    }
    char *text = cJSON_PrintUnformatted(out);
    cJSON_Delete(out);
    return text;
}

/* Ends it in the store, with an alert; then it is gone. False: the store refused; it is tried again at the next tick. */
static bool end(lathe_supervisor *s, lathe_rollout *r, const char *state, const char *severity,
                const char *message) {
    lathe_error err = {0};
    char *verdict = verdict_json(s, r);
    const lathe_alert_new alert = {.severity = severity,
                                   .kind = "rollout",
                                   .message = message,
                                   .endpoint = r->record.endpoint,
                                   .model = r->record.model,
                                   .version = r->record.version,
                                   .detail = verdict};
    int32_t rc = lathe_supervisor_act_as(s, actor, &err);
    if (rc == LATHE_OK)
        rc = lathe_store_rollout_finish(s->store, r->record.id, state, message, verdict, &alert,
                                        &err);
    lathe_supervisor_act_as(s, NULL, NULL);
    cJSON_free(verdict);
    if (rc == LATHE_OK || rc == LATHE_E_STATE) { /* STATE: somebody else has ended it */
        lathe_log(LATHE_LEVEL_WARN, "serve", "%s", message);
        reroute(s);
        return true;
    }
    lathe_log(LATHE_LEVEL_ERROR, "serve", "%s; this cannot be stored yet: %s", message,
              err.message);
    return false;
}

static bool write_rollback(lathe_supervisor *s, lathe_rollout *r) {
    char message[600], what[300];
    if (strcmp(r->condition, "crash") == 0)
        snprintf(what, sizeof what, "a worker ended while it predicted (crash: 1, limit 0)");
    else if (strcmp(r->condition, "load") == 0 || strcmp(r->condition, "settings") == 0)
        snprintf(what, sizeof what, "it cannot be served (%s: 1, limit 0)", r->condition);
    else
        snprintf(what, sizeof what, "%s%s%s%s is %.6g, more than the limit %.6g%s%s%s",
                 r->condition, r->subject[0] ? " of \"" : "", r->subject, r->subject[0] ? "\"" : "",
                 r->measured, r->limit, r->measure[0] ? " (" : "", r->measure,
                 r->measure[0] ? ")" : "");
    if (is_shadow(r))
        snprintf(message, sizeof message,
                 "the shadow %s@%" PRId64 " of endpoint \"%s\" was taken away: %s", r->record.model,
                 r->record.version, r->record.endpoint, what);
    else
        snprintf(message, sizeof message,
                 "the canary %s@%" PRId64
                 " of endpoint \"%s\" was rolled back from %.6g %% of its requests: %s",
                 r->record.model, r->record.version, r->record.endpoint, lathe_rollout_share(r),
                 what);
    return end(s, r, LATHE_ROLLOUT_ROLLED_BACK, is_shadow(r) ? "warning" : "critical", message);
}

/* Whatever the store says: from the next routes on it gets no request. */
static void roll_back(lathe_supervisor *s, lathe_rollout *r, const char *condition, double measured,
                      double limit) {
    if (r->halted)
        return;
    r->measured = measured;
    r->limit = limit;
    snprintf(r->condition, sizeof r->condition, "%s", condition);
    r->halted = true;
    if (!write_rollback(s, r))
        reroute(s);
}

/* Is a word in a text of words? */
static bool has_word(const char *text, const char *word) {
    const size_t len = strlen(word);
    for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word))
        if ((p == text || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' ' || p[len] == ';'))
            return true;
    return false;
}

void lathe_rollouts_crashed(lathe_supervisor *s, const char *steps) {
    char name[sizeof((lathe_crash *)0)->step]; /* as long as a breadcrumb has it */
    for (lathe_rollout *r = s->rollouts.list; r != NULL; r = r->next) {
        snprintf(name, sizeof name, "%s@%" PRId64, r->record.model, r->record.version);
        if (!r->halted && has_word(steps, name)) {
            roll_back(s, r, "crash", 1, 0);
            return; /* the list has changed; who crashes again is found again */
        }
    }
}

void lathe_rollouts_not_loaded(lathe_supervisor *s, const char *endpoint, const char *step,
                               bool shadow, const char *error) {
    char name[LATHE_SLOTS_NAME];
    for (lathe_rollout *r = s->rollouts.list; r != NULL; r = r->next) {
        snprintf(name, sizeof name, "%s@%" PRId64, r->record.model, r->record.version);
        if (r->halted || is_shadow(r) != shadow || strcmp(r->record.endpoint, endpoint) != 0 ||
            (!shadow && strcmp(name, step) != 0))
            continue;
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s of endpoint \"%s\": %s", name, endpoint, error);
        roll_back(s, r, "load", 1, 0);
        return;
    }
}

/* ---- steps ---- */

/* These two: has the list changed? Where the store refuses they are tried again at the next tick. */
static bool promote(lathe_supervisor *s, lathe_rollout *r) {
    char message[400];
    snprintf(message, sizeof message,
             "the canary %s@%" PRId64 " of endpoint \"%s\" held its guards and is promoted",
             r->record.model, r->record.version, r->record.endpoint);
    return end(s, r, LATHE_ROLLOUT_PROMOTED, "info", message);
}

static bool advance(lathe_supervisor *s, lathe_rollout *r) {
    lathe_error err = {0};
    int32_t rc = lathe_store_rollout_step(s->store, r->record.id, r->record.step + 1, &err);
    if (rc == LATHE_OK) {
        r->record.step++;
        begin_step(s, r);
        lathe_log(LATHE_LEVEL_INFO, "serve",
                  "the canary %s@%" PRId64 " of endpoint \"%s\" gets %.6g %% of its requests",
                  r->record.model, r->record.version, r->record.endpoint, lathe_rollout_share(r));
    } else if (rc != LATHE_E_STATE) {
        lathe_log(LATHE_LEVEL_ERROR, "serve", "a canary cannot go on: %s", err.message);
        return false;
    }
    reroute(s);
    return true;
}

/* False: the list has changed. */
static bool judge(lathe_supervisor *s, lathe_rollout *r) {
    lathe_arm_totals now[2], step[2];
    lathe_trial_verdict verdict;
    double measured = 0, limit = 0;
    if (r->halted)
        return !write_rollback(s, r);
    if (r->served_ns == 0) {
        if (lowest_generation(s) < r->generation)
            return true;
        r->served_ns = lathe_now_ns();
    }
    if (is_shadow(r) || r->base_arm < 0)
        return true;
    lathe_rollout_sides(s, r, now, step);
    const lathe_guard guard = lathe_guards_judge(&r->canary, &step[0], &step[1], &measured);
    if (guard != LATHE_GUARDS) {
        roll_back(s, r, lathe_guard_names[guard], measured, r->canary.limits[guard]);
        return false;
    }
    lathe_rollout_watch(s, r);
    lathe_rollout_watched(s, r, &verdict);
    const lathe_guard beyond = lathe_rollout_beyond(r, &verdict, &measured, &limit);
    if (beyond != LATHE_GUARDS) {
        roll_back(s, r, lathe_guard_names[beyond], measured, limit);
        return false;
    }
    const double baked = (double)(lathe_now_ns() - r->served_ns) * 1e-9;
    if (baked < r->canary.bake_seconds || (double)step[0].requests < r->canary.min_requests ||
        lathe_rollout_awaits(r, &verdict) != NULL)
        return true;
    if (r->record.step + 1 < r->canary.n_steps)
        return !advance(s, r);
    return r->canary.manual || !promote(s, r);
}

void lathe_rollouts_tick(lathe_supervisor *s) {
    /* one change a tick and rollout; who comes after one that changed the list has its turn at the next tick */
    for (lathe_rollout *r = s->rollouts.list; r != NULL; r = r->next)
        if (!judge(s, r))
            return;
}
