#include "monitor/watch.h"

#include "base/rng.h"
#include "monitor/chance.h"
#include "plugin/call.h"

#include <stdlib.h>
#include <string.h>

struct lathe_watch {
    const lathe_baseline *baseline;
    lathe_window *window;
    lathe_instance *measures;
    size_t n_measures;
    lathe_drift_finding *findings; /* [features * n_measures] */
    bool doubts;
    uint64_t key;
};

int32_t lathe_watch_new(lathe_runtime *runtime, const lathe_baseline *baseline,
                        const lathe_component *const *measures, size_t n_measures,
                        lathe_watch **out, lathe_error *err) {
    *out = NULL;
    lathe_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    const size_t features = (size_t)lathe_baseline_features(baseline);
    w->baseline = baseline;
    w->window = lathe_window_new(baseline);
    w->measures = calloc(n_measures + 1, sizeof *w->measures);
    w->findings = calloc(features * n_measures + 1, sizeof *w->findings);
    int32_t rc = LATHE_OK;
    if (w->window == NULL || w->measures == NULL || w->findings == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    for (size_t i = 0; rc == LATHE_OK && i < n_measures; i++) {
        rc = lathe_instance_create(runtime, measures[i], 0, NULL, &w->measures[i], err);
        if (rc == LATHE_OK)
            w->n_measures++;
    }
    if (rc != LATHE_OK) {
        lathe_watch_free(w);
        return rc;
    }
    *out = w;
    return LATHE_OK;
}

void lathe_watch_free(lathe_watch *w) {
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->n_measures; i++)
        lathe_instance_destroy(&w->measures[i]);
    lathe_window_free(w->window);
    free(w->measures);
    free(w->findings);
    free(w);
}

int32_t lathe_watch_add(lathe_watch *w, const lathe_table *rows, lathe_error *err) {
    return lathe_window_add(w->window, rows, err);
}

int64_t lathe_watch_rows(const lathe_watch *w) {
    return lathe_window_rows(w->window);
}

void lathe_watch_doubt(lathe_watch *w, uint64_t key) {
    w->doubts = true;
    w->key = key;
}

lathe_window *lathe_watch_window(lathe_watch *w) {
    return w->window;
}

/* Distances that look along the axis want fine bins; those that divide by a bin's share want coarse ones. */
static int32_t resolution_of(const lathe_descriptor *d) {
    return (d->flags & LATHE_DRIFT_CATEGORICAL) ? LATHE_BINS_COARSE : LATHE_BINS_FINE;
}

/* One measure of one feature. LATHE_E_DATA: the window has nothing to compare. */
static int32_t compare(const lathe_watch *w, int64_t feature, const lathe_instance *measure,
                       lathe_drift_finding *found, lathe_error *err) {
    const int32_t resolution = resolution_of(measure->descriptor);
    lathe_distribution was, now;
    lathe_baseline_distribution(w->baseline, feature, resolution, &was);
    lathe_window_distribution(w->window, feature, resolution, &now);
    found->present = now.total;
    const int32_t rc = lathe_call_drift(measure, &was, &now, &found->result, err);
    if (rc != LATHE_OK || !w->doubts || found->result.alert == 0)
        return rc;
    const uint64_t key = lathe_rng_key(w->key, found->measure, (uint64_t)feature);
    return lathe_chance_explains(measure, &was, &now, found->result.statistic, key,
                                 &found->by_chance, err);
}

int32_t lathe_watch_close(lathe_watch *w, const lathe_drift_finding **findings, size_t *n,
                          lathe_error *err) {
    *n = 0;
    *findings = w->findings;
    for (int64_t f = 0; f < lathe_baseline_features(w->baseline); f++) {
        const uint32_t kind = lathe_baseline_categorical(w->baseline, f) ? LATHE_DRIFT_CATEGORICAL
                                                                         : LATHE_DRIFT_NUMERIC;
        for (size_t m = 0; m < w->n_measures; m++) {
            const lathe_descriptor *d = w->measures[m].descriptor;
            lathe_error why = {0};
            if (!(d->flags & kind))
                continue;
            lathe_drift_finding *found = &w->findings[(*n)++];
            *found = (lathe_drift_finding){.measure = d->name,
                                           .feature = lathe_baseline_name(w->baseline, f)};
            found->code = compare(w, f, &w->measures[m], found, &why);
            if (found->code != LATHE_OK && found->code != LATHE_E_DATA) {
                *err = why;
                return lathe_error_wrap(err, found->feature);
            }
        }
    }
    lathe_window_reset(w->window);
    return LATHE_OK;
}
