/* serve/rollout/canary.h: what a canary is told: its steps, and the guards that end it. [any]
 *
 *     {"steps": [1, 10, 50, 100], "bake_seconds": 300, "min_requests": 100, "promote": "auto",
 *      "guards": {"error_ratio": 0.01, "latency_p99_ratio": 1.5}}
 *
 * Each step gives the canary a share of the endpoint's requests, in percent, for at least bake_seconds and until it has
 * answered min_requests. A guard is a limit of what the canary did in its step; one that is exceeded rolls it back:
 *   error_ratio         answers of 500 and above, of all requests but those that a full queue refused. Also before min_requests are there, once so many failed
 *                       that the limit will be exceeded whatever the others do.
 *   rejected_ratio      answers of 400, of all requests, beyond the share of the version it is compared with
 *   flagged_ratio       requests that validation flagged, likewise beyond
 *   latency_p99_ms, latency_mean_ms          from a complete request to its answer
 *   latency_p99_ratio, latency_mean_ratio    the same, divided by that of the version it is compared with
 *   prediction_drift    population stability index of the predicted classes against that version's; both have the same classes
 *   feature_drift       distance of the feature that is furthest from the canary's training, of the rows that it served in its
 *                       step; what chance explains does not count (monitor/chance.h). A number is the limit of the population
 *                       stability index; {"ks": 0.1, "chi2": 0.05} asks other measures, by their names (lathe_trial_measures)
 *   output_drift        the same of its predictions against those that it made when it was trained; also of regressions
 *   quality_drop        by how much the goal's metric of the canary's labelled answers (POST …/labels) is worse than that of the
 *                       version that it is compared with, once both have min_requests of them (LATHE_GUARD_LABELS at least). A
 *                       number, or {"limit": 0.02, "confidence": 0.95}: it trips where the drop is beyond the limit with that
 *                       confidence in each step, so that a few unlucky labels do not (monitor/worse.h)
 * These three are measured by a process of the lowest priority (serve/watch); a step does not end before they have been.
 * Always guarded: the canary's model cannot be loaded ("load"), a worker ended while it predicted ("crash").
 * After the last step it is promoted; with "promote": "manual" it waits there.
 */
#ifndef LATHE_SERVE_CANARY_H
#define LATHE_SERVE_CANARY_H

#include "base/error.h"
#include "serve/watch/watch.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lathe_store lathe_store;

#define LATHE_CANARY_STEPS 16

typedef enum lathe_guard {
    LATHE_GUARD_ERROR_RATIO,
    LATHE_GUARD_REJECTED_RATIO,
    LATHE_GUARD_FLAGGED_RATIO,
    LATHE_GUARD_LATENCY_P99_MS,
    LATHE_GUARD_LATENCY_MEAN_MS,
    LATHE_GUARD_LATENCY_P99_RATIO,
    LATHE_GUARD_LATENCY_MEAN_RATIO,
    LATHE_GUARD_PREDICTION_DRIFT,
    LATHE_GUARD_FEATURE_DRIFT,
    LATHE_GUARD_OUTPUT_DRIFT,
    LATHE_GUARD_QUALITY_DROP,
    LATHE_GUARDS
} lathe_guard;

extern const char *const lathe_guard_names[LATHE_GUARDS];

#define LATHE_GUARD_LABELS 20
#define LATHE_GUARD_CONFIDENCE 0.95

typedef struct lathe_canary {
    double steps[LATHE_CANARY_STEPS]; /* percent, growing */
    int n_steps;
    double bake_seconds;
    double min_requests;
    bool manual;
    bool guarded[LATHE_GUARDS];
    double limits[LATHE_GUARDS]; /* of one of drift the first of `drift` */
    double drift[LATHE_TRIAL_GUARDS][LATHE_TRIAL_MEASURES]; /* limits; NaN: not asked */
    double confidence;                                      /* of quality_drop */
} lathe_canary;

/* Reads settings; members that are absent have the defaults above, with error_ratio 0.01 as the only guard where there are
 * no "guards". LATHE_E_INVALID names the member and what it may be. */
int32_t lathe_canary_read(const cJSON *settings, lathe_canary *canary, lathe_error *err);

/* Has it guards of drift, or any that is measured of what it serves (serve/watch)? */
bool lathe_canary_drifts(const lathe_canary *canary);
bool lathe_canary_watches(const lathe_canary *canary);

/* Begins a canary of an endpoint in the store: its settings are checked, also against both models; and the version's gates
 * (store/gates.h), unless `force`. failed (may be NULL) gets the checks that refuse it, to be deleted. */
int32_t lathe_canary_begin(lathe_store *store, const char *endpoint, const char *ref,
                           const cJSON *settings, bool force, const char *reason, cJSON **failed,
                           lathe_error *err);

#endif
