/* Scores of a window, and the alerts that follow from them. */
#include "serve/watch/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMED 3     /* scores that a message names */
#define DETAILED 50 /* that an alert's detail lists */
#define BROKEN_AFTER 3

static const char actor[] = "service:watch";

/* ---- storing ---- */

/* An endpoint that serves it; "": it is served by its own name alone. */
static void find_endpoint(const watch_item *item, lathe_arena *arena, const char **endpoint) {
    const cJSON *route;
    lathe_endpoint_record e;
    *endpoint = NULL;
    cJSON_ArrayForEach(route, lathe_json_get(item->all->s->table, "routes")) {
        const cJSON *slot = lathe_json_get(route, "slot");
        const char *name = cJSON_GetStringValue(lathe_json_get(route, "name"));
        if (cJSON_IsNumber(slot) && slot->valueint == item->slot && name != NULL &&
            lathe_store_endpoint(item->all->s->store, name, arena, &e, NULL) == LATHE_OK) {
            *endpoint = lathe_arena_strdup(arena, name);
            return;
        }
    }
}

void watch_tell(const watch_item *item, const char *severity, const char *kind, bool raised,
                const char *feature, const char *message, const cJSON *detail) {
    lathe_supervisor *s = item->all->s;
    lathe_error err = {0};
    lathe_arena *arena = lathe_arena_new();
    char *text = detail != NULL ? cJSON_PrintUnformatted(detail) : NULL;
    lathe_alert_new alert = {.severity = severity,
                             .kind = kind,
                             .message = message,
                             .model = item->model,
                             .version = item->version,
                             .feature = feature,
                             .detail = text};
    if (arena != NULL)
        find_endpoint(item, arena, &alert.endpoint);
    lathe_log(raised ? LATHE_LEVEL_WARN : LATHE_LEVEL_INFO, "watch", "%s", message);
    int32_t rc = lathe_supervisor_act_as(s, actor, &err);
    if (rc == LATHE_OK)
        rc = lathe_store_alert_tell(s->store, &alert, raised ? "alert.raise" : "alert.end", &err);
    lathe_supervisor_act_as(s, NULL, NULL);
    if (rc != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "watch", "an alert cannot be stored: %s", err.message);
    else
        lathe_sse_poke(s->sse, NULL);
    cJSON_free(text);
    lathe_arena_free(arena);
}

/* ---- judging ---- */

/* What a window changes in one part of a version. */
typedef struct changes {
    cJSON *raised, *ended; /* scores: {"feature", "metric", "statistic", "threshold"} */
    int n_raised, n_ended; /* all of them */
    char named[2][600];    /* the first, in words */
    const char *only[2];   /* the feature, where all are of one */
    bool several[2];
} changes;

static double number_of(const cJSON *object, const char *name) {
    const cJSON *node = lathe_json_get(object, name);
    return cJSON_IsNumber(node) ? node->valuedouble : (double)NAN;
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(lathe_json_get(object, name));
    return text != NULL ? text : "";
}

static lathe_alarm_level level_of(const watch_item *item, const cJSON *feature,
                                  const cJSON *score) {
    const double threshold = number_of(score, "threshold");
    if (!(number_of(feature, "present") >= (double)item->min_rows))
        return LATHE_ALARM_UNKNOWN;
    return lathe_alarm_level_of(number_of(score, "statistic"), threshold,
                                cJSON_IsTrue(lathe_json_get(score, "beyond")) &&
                                    !cJSON_IsTrue(lathe_json_get(score, "by_chance")));
}

static void note_change(changes *c, bool raised, const cJSON *feature, const cJSON *score) {
    const int k = raised ? 0 : 1;
    cJSON *list = raised ? c->raised : c->ended;
    int *n = raised ? &c->n_raised : &c->n_ended;
    const char *name = text_of(feature, "name"), *metric = text_of(score, "metric");
    const double statistic = number_of(score, "statistic"),
                 threshold = number_of(score, "threshold");
    c->several[k] = c->several[k] || (c->only[k] != NULL && strcmp(c->only[k], name) != 0);
    c->only[k] = name;
    if (*n < NAMED) {
        const size_t used = strlen(c->named[k]);
        snprintf(c->named[k] + used, sizeof c->named[k] - used, "%s%s of \"%.100s\" is %.4g%s%.4g",
                 *n > 0 ? ", " : "", metric, name, statistic, raised ? " > " : ", limit ",
                 threshold);
    }
    if ((*n)++ >= DETAILED)
        return;
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "feature", name);
    cJSON_AddStringToObject(item, "metric", metric);
    cJSON_AddNumberToObject(item, "statistic", statistic);
    cJSON_AddNumberToObject(item, "threshold", threshold);
    cJSON_AddItemToArray(list, item);
}

/* Was an alarm of this score raised before the service was started anew? */
static bool was_raised(const watch_item *item, int part, const char *feature, const char *metric) {
    const cJSON *one;
    cJSON_ArrayForEach(one, item->alerting) {
        if (strcmp(text_of(one, "kind"), watch_alert_kinds[part]) == 0 &&
            strcmp(text_of(one, "feature"), feature) == 0 &&
            strcmp(text_of(one, "metric"), metric) == 0)
            return true;
    }
    return false;
}

/* One alarm a score, in the order of the answer, which is always the same. */
static bool make_alarms(watch_item *item, int part, const cJSON *features) {
    watch_part *p = &item->parts[part];
    const cJSON *feature, *score;
    size_t n = 0;
    cJSON_ArrayForEach(feature, features) {
        n += (size_t)cJSON_GetArraySize(lathe_json_get(feature, "scores"));
    }
    if (p->alarms != NULL && p->n_alarms == n)
        return true;
    free(p->alarms);
    p->alarms = calloc(n + 1, sizeof *p->alarms);
    p->n_alarms = p->alarms ? n : 0;
    n = 0;
    cJSON_ArrayForEach(feature, features) {
        cJSON_ArrayForEach(score, lathe_json_get(feature, "scores")) {
            if (n < p->n_alarms)
                p->alarms[n++].raised =
                    was_raised(item, part, text_of(feature, "name"), text_of(score, "metric"));
        }
    }
    return p->alarms != NULL;
}

static void note_scores(watch_item *item, int part, const cJSON *features, cJSON *alerting,
                        changes *c) {
    watch_part *p = &item->parts[part];
    const cJSON *feature, *score;
    size_t i = 0;
    cJSON_ArrayForEach(feature, features) {
        cJSON_ArrayForEach(score, lathe_json_get(feature, "scores")) {
            lathe_alarm *alarm = &p->alarms[i++];
            const lathe_alarm_change change =
                lathe_alarm_note(alarm, level_of(item, feature, score), item->after);
            if (change != LATHE_ALARM_SAME)
                note_change(c, change == LATHE_ALARM_RAISED, feature, score);
            if (!alarm->raised)
                continue;
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "kind", watch_alert_kinds[part]);
            cJSON_AddStringToObject(one, "feature", text_of(feature, "name"));
            cJSON_AddStringToObject(one, "metric", text_of(score, "metric"));
            cJSON_AddItemToArray(alerting, one);
        }
    }
}

/* ---- telling ---- */

static const char *what_is(int part) {
    return part == WATCH_FEATURES ? "the rows that it serves" : "its predictions";
}

/* One alert for all that a window raises in a part, one for all that it ends. */
static void tell(const watch_item *item, int part, const changes *c, const watch_job *job) {
    for (int k = 0; k < 2; k++) {
        const int n = k == 0 ? c->n_raised : c->n_ended;
        char message[1000], more[40] = "";
        if (n == 0)
            continue;
        if (n > NAMED)
            snprintf(more, sizeof more, " and %d more", n - NAMED);
        if (k == 0)
            snprintf(message, sizeof message,
                     "%s: %s drift from training: %s%s (window %" PRId64 " of %" PRId64
                     " rows, %d in a row)",
                     item->step, what_is(part), c->named[k], more, item->windows, job->rows,
                     item->after);
        else
            snprintf(message, sizeof message,
                     "%s: %s are as in training again: %s%s (window %" PRId64 ")", item->step,
                     what_is(part), c->named[k], more, item->windows);
        cJSON *detail = cJSON_CreateObject();
        cJSON_AddNumberToObject(detail, "window", (double)item->windows);
        cJSON_AddNumberToObject(detail, "rows", (double)job->rows);
        cJSON_AddNumberToObject(detail, "begun_us", (double)job->begun_us);
        cJSON_AddItemToObject(detail, "scores", cJSON_Duplicate(k == 0 ? c->raised : c->ended, 1));
        cJSON_AddItemToObject(detail, "alerting", cJSON_Duplicate(item->alerting, 1));
        watch_tell(item, k == 0 ? "warning" : "info", watch_alert_kinds[part], k == 0,
                   c->several[k] ? NULL : c->only[k], message, detail);
        cJSON_Delete(detail);
    }
}

void watch_judge(watch_item *item, watch_job *job) {
    changes c[WATCH_PARTS] = {0};
    cJSON *alerting = cJSON_CreateArray();
    item->windows++;
    for (int i = 0; i < WATCH_PARTS; i++) {
        const cJSON *features = lathe_json_get(job->answer, watch_part_names[i]);
        c[i].raised = cJSON_CreateArray();
        c[i].ended = cJSON_CreateArray();
        if (features != NULL && make_alarms(item, i, features))
            note_scores(item, i, features, alerting, &c[i]);
    }
    cJSON_Delete(item->alerting);
    item->alerting = alerting;
    for (int i = 0; i < WATCH_PARTS; i++) {
        tell(item, i, &c[i], job);
        cJSON_Delete(c[i].raised);
        cJSON_Delete(c[i].ended);
    }
    cJSON_AddNumberToObject(job->answer, "window", (double)item->windows);
    cJSON_AddNumberToObject(job->answer, "rows", (double)job->rows);
    cJSON_AddNumberToObject(job->answer, "begun_us", (double)job->begun_us);
    cJSON_AddNumberToObject(job->answer, "closed_us", (double)lathe_wall_us());
    cJSON_Delete(item->last);
    item->last = job->answer;
    job->answer = NULL;
}

/* ---- questions without an answer ---- */

void watch_note_failure(watch_item *item, const lathe_error *why) {
    char message[800];
    item->all->failures++;
    lathe_log(LATHE_LEVEL_ERROR, "watch", "%s: no scores of this window: %s%s%s", item->step,
              why->where, why->where[0] ? ": " : "", why->message);
    if (lathe_alarm_note(&item->broken, LATHE_ALARM_BEYOND, BROKEN_AFTER) != LATHE_ALARM_RAISED)
        return;
    snprintf(message, sizeof message, "%s is not watched: %d windows in a row had no scores: %s",
             item->step, BROKEN_AFTER, why->message);
    watch_tell(item, "warning", "monitor", true, NULL, message, NULL);
}

void watch_note_success(watch_item *item) {
    char message[300];
    if (lathe_alarm_note(&item->broken, LATHE_ALARM_WITHIN, 1) != LATHE_ALARM_ENDED)
        return;
    snprintf(message, sizeof message, "%s is watched again", item->step);
    watch_tell(item, "info", "monitor", false, NULL, message, NULL);
}

/* ---- starting anew ---- */

void watch_restore(watch_item *item) {
    const lathe_alert_filter filter = {
        .model = item->model, .version = item->version, .limit = 100};
    lathe_arena *arena = lathe_arena_new();
    lathe_alert_list list;
    int32_t rc = arena ? lathe_store_alerts(item->all->s->store, &filter, arena, &list, NULL)
                       : LATHE_E_MEMORY;
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        const lathe_alert_record *a = &list.items[i];
        cJSON *detail =
            a->version == item->version && a->run[0] == 0 ? cJSON_Parse(a->detail) : NULL;
        cJSON *alerting = cJSON_DetachItemFromObjectCaseSensitive(detail, "alerting");
        cJSON_Delete(detail);
        if (!cJSON_IsArray(alerting)) {
            cJSON_Delete(alerting);
            continue;
        }
        cJSON_Delete(item->alerting);
        item->alerting = alerting;
        break;
    }
    lathe_arena_free(arena);
}
