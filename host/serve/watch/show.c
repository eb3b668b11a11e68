/* What is watched, as JSON and as metrics. */
#include "serve/watch/internal.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SERIES 2000 /* of one version and part; what is beyond stands in the API alone */

static const watch_item *find(const lathe_watches *all, const char *model, int64_t version) {
    for (int i = 0; i < LATHE_SLOTS_MODELS; i++)
        if (all->items[i] != NULL && all->items[i]->version == version &&
            strcmp(all->items[i]->model, model) == 0)
            return all->items[i];
    return NULL;
}

static void add_quality(const watch_item *item, cJSON *out) {
    cJSON *quality = cJSON_AddObjectToObject(out, "quality");
    cJSON_AddStringToObject(quality, "metric", item->metric);
    cJSON_AddNumberToObject(quality, "labelled", (double)item->quality->n);
    if (isfinite(item->quality->value))
        cJSON_AddNumberToObject(quality, "value", item->quality->value);
    if (isfinite(item->reference))
        cJSON_AddNumberToObject(quality, "training", item->reference);
    cJSON_AddBoolToObject(quality, "alerted", item->quality->alarm.raised);
}

cJSON *lathe_watches_json(const lathe_watches *all, const char *model, int64_t version) {
    const watch_item *item = find(all, model, version);
    const bool watched = item != NULL && item->phase == WATCH_OPEN && item->drifts;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", model);
    cJSON_AddNumberToObject(out, "version", (double)version);
    cJSON_AddBoolToObject(out, "watched", watched);
    if (item != NULL && item->quality != NULL && item->phase != WATCH_NEW)
        add_quality(item, out);
    if (!watched)
        return out;
    cJSON_AddNumberToObject(out, "window", (double)item->window);
    cJSON_AddNumberToObject(out, "window_seconds", item->window_seconds);
    cJSON_AddNumberToObject(out, "min_rows", (double)item->min_rows);
    cJSON_AddNumberToObject(out, "alert_after", item->after);
    cJSON_AddNumberToObject(out, "windows", (double)item->windows);
    cJSON_AddNumberToObject(out, "rows", (double)watch_window_rows(item));
    cJSON_AddNumberToObject(out, "begun_us", (double)item->begun_us);
    cJSON_AddItemToObject(
        out, "alerting", item->alerting ? cJSON_Duplicate(item->alerting, 1) : cJSON_CreateArray());
    if (item->last != NULL)
        cJSON_AddItemToObject(out, "last", cJSON_Duplicate(item->last, 1));
    return out;
}

/* ---- metrics ---- */

/* A label's value: https://prometheus.io/docs/instrumenting/exposition_formats/ */
static void put_label(lathe_buf *out, const char *name, const char *value) {
    lathe_buf_printf(out, ",%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            lathe_buf_append_char(out, '\\');
        if (*value == '\n')
            lathe_buf_append_str(out, "\\n");
        else
            lathe_buf_append_char(out, *value);
    }
    lathe_buf_append_char(out, '"');
}

static void put_scores(const watch_item *item, int part, const char *series, const char *label,
                       lathe_buf *out) {
    const cJSON *feature, *score;
    int n = 0;
    cJSON_ArrayForEach(feature, lathe_json_get(item->last, watch_part_names[part])) {
        const char *name = cJSON_GetStringValue(lathe_json_get(feature, "name"));
        cJSON_ArrayForEach(score, lathe_json_get(feature, "scores")) {
            const cJSON *value = lathe_json_get(score, "statistic");
            const char *metric = cJSON_GetStringValue(lathe_json_get(score, "metric"));
            if (!cJSON_IsNumber(value) || name == NULL || metric == NULL || n++ >= SERIES)
                continue;
            lathe_buf_printf(out, "%s{model=\"%s\",version=\"%" PRId64 "\"", series, item->model,
                             item->version);
            put_label(out, label, name);
            put_label(out, "metric", metric);
            lathe_buf_printf(out, "} %.9g\n", value->valuedouble);
        }
    }
}

static double rows_of_last(const watch_item *item) {
    const cJSON *rows = lathe_json_get(item->last, "rows");
    return cJSON_IsNumber(rows) ? rows->valuedouble : 0;
}

static double value_of(const watch_item *item, int what) {
    return what == 0   ? (double)item->windows
           : what == 1 ? rows_of_last(item)
                       : (double)cJSON_GetArraySize(item->alerting);
}

static void put_quality(const lathe_watches *all, lathe_buf *out) {
    static const char *const ends[LATHE_LABEL_COUNT] = {"matched", "repeated", "unmatched",
                                                        "invalid", "later"};
    lathe_buf_append_str(out,
                         "# HELP lathe_labels_total Labels that came, by what became of them.\n"
                         "# TYPE lathe_labels_total counter\n");
    for (int i = 0; i < LATHE_LABEL_COUNT; i++)
        lathe_buf_printf(out, "lathe_labels_total{result=\"%s\"} %" PRIu64 "\n", ends[i],
                         all->labels[i]);
    lathe_buf_append_str(out, "# HELP lathe_quality_score The goal's metric of the newest labelled "
                              "answers.\n# TYPE lathe_quality_score gauge\n");
    for (int i = 0; i < LATHE_SLOTS_MODELS; i++) {
        const watch_item *item = all->items[i];
        if (item == NULL || item->quality == NULL || !isfinite(item->quality->value))
            continue;
        lathe_buf_printf(out, "lathe_quality_score{model=\"%s\",version=\"%" PRId64 "\"",
                         item->model, item->version);
        put_label(out, "metric", item->metric);
        lathe_buf_printf(out, "} %.9g\n", item->quality->value);
    }
}

void lathe_watches_metrics(const lathe_watches *all, lathe_buf *out) {
    static const struct {
        const char *name, *type, *help;
    } plain[] = {
        {"lathe_drift_windows_total", "counter", "Windows of served rows that were scored."},
        {"lathe_drift_window_rows", "gauge", "Rows of the last window that was scored."},
        {"lathe_drift_alerting", "gauge", "Scores whose alert is raised."},
    };
    static const struct {
        const char *name, *label, *help;
    } scores[WATCH_PARTS] = {
        {"lathe_drift_score", "feature",
         "Distance of a feature's served values from training, in the last window."},
        {"lathe_prediction_drift_score", "output",
         "Distance of the predictions from those of training, in the last window."}};
    for (int k = 0; k < 3; k++) {
        lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", plain[k].name, plain[k].help,
                         plain[k].name, plain[k].type);
        for (int i = 0; i < LATHE_SLOTS_MODELS; i++)
            if (all->items[i] != NULL && all->items[i]->phase == WATCH_OPEN)
                lathe_buf_printf(out, "%s{model=\"%s\",version=\"%" PRId64 "\"} %.9g\n",
                                 plain[k].name, all->items[i]->model, all->items[i]->version,
                                 value_of(all->items[i], k));
    }
    for (int part = 0; part < WATCH_PARTS; part++) {
        lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", scores[part].name,
                         scores[part].help, scores[part].name);
        for (int i = 0; i < LATHE_SLOTS_MODELS; i++)
            if (all->items[i] != NULL)
                put_scores(all->items[i], part, scores[part].name, scores[part].label, out);
    }
    put_quality(all, out);
    lathe_buf_printf(out,
                     "# HELP lathe_drift_failures_total Windows that could not be scored.\n"
                     "# TYPE lathe_drift_failures_total counter\n"
                     "lathe_drift_failures_total %" PRIu64 "\n",
                     all->failures);
}
