/* A version that is watched: its profile, its sums. */
#include "serve/watch/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "model/model.h"
#include "pipeline/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const watch_part_names[WATCH_PARTS] = {"features", "outputs"};
const char *const watch_alert_kinds[WATCH_PARTS] = {"drift", "prediction_drift"};

static const size_t part_at[WATCH_PARTS] = {0, LATHE_SLOTS_FEATURES};
static const size_t part_bytes[WATCH_PARTS] = {LATHE_SLOTS_FEATURES, LATHE_SLOTS_OUTPUTS};

/* ---- reading [pool] ---- */

/* Of a document that another version of the program may have written: what makes no sense is as by default. */
static double setting(const cJSON *monitor, const char *name, double min, double max, double def) {
    const cJSON *node = lathe_json_get(monitor, name);
    return cJSON_IsNumber(node) && node->valuedouble >= min && node->valuedouble <= max
               ? node->valuedouble
               : def;
}

static void read_settings(watch_item *item, const cJSON *monitor) {
    item->drifts = cJSON_GetArraySize(lathe_json_get(monitor, "drift")) > 0;
    item->window = (int64_t)setting(monitor, "window", 1, 1e8, LATHE_MONITOR_WINDOW);
    item->min_rows = (int64_t)setting(monitor, "min_rows", 1, 1e8, LATHE_MONITOR_MIN_ROWS);
    item->after = (int)setting(monitor, "alert_after", 1, 1000, LATHE_MONITOR_ALERT_AFTER);
    item->window_seconds =
        setting(monitor, "window_seconds", 1, 31536000, LATHE_MONITOR_WINDOW_SECONDS);
    item->window = item->window > item->min_rows ? item->window : item->min_rows;
}

static int32_t read_part(watch_part *p, const cJSON *json, size_t bytes, lathe_error *err) {
    if (json == NULL)
        return LATHE_OK;
    int32_t rc = lathe_baseline_from_json(json, &p->baseline, err);
    if (rc == LATHE_OK)
        rc = lathe_live_new(p->baseline, NULL, bytes, &p->live, err);
    if (rc != LATHE_OK)
        return rc;
    p->now = lathe_live_total_new(p->live);
    p->begun = lathe_live_total_new(p->live);
    p->part = lathe_live_total_new(p->live);
    return p->now && p->begun && p->part
               ? LATHE_OK
               : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
}

/* What labels are held against. */
static void read_goal(watch_item *item, cJSON *file) {
    const cJSON *goal = lathe_json_get(lathe_json_get(file, "document"), "goal");
    const cJSON *metric = lathe_json_get(goal, "metric"),
                *metrics = lathe_json_get(file, "metrics");
    const char *name = cJSON_IsObject(metric) && metric->child != NULL
                           ? metric->child->string
                           : cJSON_GetStringValue(metric);
    const cJSON *monitor = lathe_json_get(lathe_json_get(file, "document"), "monitor");
    const cJSON *part = lathe_json_get(metrics, "test");
    const cJSON *was =
        lathe_json_get(part ? part : lathe_json_get(metrics, "validation"), name ? name : "");
    cJSON *classes = cJSON_DetachItemFromObjectCaseSensitive(file, "classes");
    const int n = cJSON_GetArraySize(classes);
    snprintf(item->metric, sizeof item->metric, "%s", name ? name : "");
    item->reference = cJSON_IsNumber(was) ? was->valuedouble : (double)NAN;
    item->quality_drop = setting(monitor, "quality_drop", 0, 1e300, (double)NAN);
    item->n_values = n == 0 ? 1 : n <= LATHE_RECALL_VALUES ? n : 0;
    cJSON_Delete(item->classes);
    item->classes = n > 0 ? classes : NULL;
    if (n == 0)
        cJSON_Delete(classes);
}

int32_t watch_read(watch_item *item, bool whole, lathe_error *err) {
    cJSON *file = NULL;
    int32_t rc = lathe_model_describe(item->path, &file, err);
    const cJSON *baseline = lathe_json_get(file, "baseline");
    if (rc == LATHE_OK) {
        read_settings(item, lathe_json_get(lathe_json_get(file, "document"), "monitor"));
        read_goal(item, file);
        if (item->drifts || whole)
            rc = read_part(&item->parts[WATCH_FEATURES], baseline, part_bytes[WATCH_FEATURES], err);
        if (rc == LATHE_OK && item->parts[WATCH_FEATURES].live != NULL)
            rc = read_part(&item->parts[WATCH_OUTPUTS], lathe_json_get(baseline, "outputs"),
                           part_bytes[WATCH_OUTPUTS], err);
    }
    cJSON_Delete(file);
    return rc;
}

static void free_part(watch_part *p) {
    lathe_live_total_free(p->now);
    lathe_live_total_free(p->begun);
    lathe_live_total_free(p->part);
    lathe_live_free(p->live);
    lathe_baseline_free(p->baseline);
    free(p->alarms);
    *p = (watch_part){0};
}

void watch_close_parts(watch_item *item) {
    for (int i = 0; i < WATCH_PARTS; i++)
        free_part(&item->parts[i]);
}

watch_trial *watch_trial_of(const watch_job *job) {
    watch_trial *trial = job->item->trial;
    return trial != NULL && trial->number == job->trial ? trial : NULL;
}

void watch_free_trial(watch_trial *trial) {
    for (int i = 0; trial != NULL && i < WATCH_PARTS; i++)
        lathe_live_total_free(trial->begun[i]);
    free(trial);
}

void watch_free_item(watch_item *item) {
    if (item == NULL)
        return;
    watch_free_trial(item->trial);
    watch_close_parts(item);
    cJSON_Delete(item->last);
    cJSON_Delete(item->alerting);
    cJSON_Delete(item->classes);
    free(item->quality);
    free(item->path);
    free(item);
}

/* ---- sums ---- */

/* A part's counts in one area of a worker; areas are those of serve/slots.h. */
static const void *region(const watch_item *item, int worker, int area, int part) {
    const uint8_t *at = lathe_slots_live(item->all->s->slots, worker, area, item->slot);
    return at != NULL ? at + part_at[part] : NULL;
}

void watch_sum(watch_item *item) {
    for (int i = 0; i < WATCH_PARTS; i++) {
        watch_part *p = &item->parts[i];
        if (p->live == NULL)
            continue;
        lathe_live_total_clear(p->now);
        for (int w = 0; w < item->all->s->n_workers; w++)
            for (int area = 0; area < 2; area++)
                lathe_live_sum(region(item, w, area, i), p->now);
    }
}

int64_t watch_rows(const watch_item *item) {
    int64_t rows = 0;
    for (int w = 0; w < item->all->s->n_workers; w++)
        for (int area = 0; area < 2; area++)
            rows += lathe_live_region_rows(region(item, w, area, WATCH_FEATURES));
    return rows;
}

int64_t watch_window_rows(const watch_item *item) {
    const lathe_live_total *begun = item->parts[WATCH_FEATURES].begun;
    return begun != NULL ? watch_rows(item) - lathe_live_total_rows(begun) : 0;
}
