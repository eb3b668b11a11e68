/* Guards of what a canary serves: asked of serve/watch, and what it found. */
#include "serve/supervisor/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void lathe_rollout_watched(const lathe_supervisor *s, const lathe_rollout *r,
                           lathe_trial_verdict *verdict) {
    if (!r->watched ||
        !lathe_watches_verdict(s->watches, r->record.model, r->record.version, verdict))
        *verdict = (lathe_trial_verdict){.worst = {(double)NAN, (double)NAN},
                                         .quality_drop = (double)NAN,
                                         .quality_least = (double)NAN};
}

const char *lathe_rollout_awaits(const lathe_rollout *r, const lathe_trial_verdict *verdict) {
    if (lathe_canary_drifts(&r->canary) && verdict->rows == 0)
        return "drift";
    return r->canary.guarded[LATHE_GUARD_QUALITY_DROP] && verdict->labelled == 0 ? "labels" : NULL;
}

void lathe_rollout_watch(lathe_supervisor *s, lathe_rollout *r) {
    const lathe_canary *c = &r->canary;
    lathe_trial_limits limits = {
        .guarded = {c->guarded[LATHE_GUARD_FEATURE_DRIFT], c->guarded[LATHE_GUARD_OUTPUT_DRIFT]},
        .min_rows = (int64_t)c->min_requests,
        .compares = c->guarded[LATHE_GUARD_QUALITY_DROP],
        .confidence = c->confidence,
        .min_labels =
            c->min_requests > LATHE_GUARD_LABELS ? (int64_t)c->min_requests : LATHE_GUARD_LABELS,
        .base_version = r->record.base_version,
        .base_ms = r->record.started / 1000};
    memcpy(limits.limits, c->drift, sizeof limits.limits);
    snprintf(limits.base_model, sizeof limits.base_model, "%s", r->record.base_model);
    if (!r->watched && lathe_canary_watches(c)) /* a failure is tried again at the next tick */
        r->watched = lathe_watches_try(s->watches, r->record.model, r->record.version, &limits,
                                       NULL) == LATHE_OK;
}

lathe_guard lathe_rollout_beyond(lathe_rollout *r, const lathe_trial_verdict *verdict,
                                 double *measured, double *limit) {
    static const lathe_guard guards[LATHE_TRIAL_GUARDS] = {LATHE_GUARD_FEATURE_DRIFT,
                                                           LATHE_GUARD_OUTPUT_DRIFT};
    for (int g = 0; g < LATHE_TRIAL_GUARDS && verdict->rows > 0; g++) {
        if (!r->canary.guarded[guards[g]] || !verdict->beyond[g])
            continue;
        snprintf(r->subject, sizeof r->subject, "%s", verdict->name[g]);
        snprintf(r->measure, sizeof r->measure, "%s", verdict->measure[g]);
        *measured = verdict->worst[g];
        *limit = verdict->limit[g];
        return guards[g];
    }
    *limit = r->canary.limits[LATHE_GUARD_QUALITY_DROP];
    *measured = verdict->quality_drop;
    if (!r->canary.guarded[LATHE_GUARD_QUALITY_DROP] || !(verdict->quality_least > *limit))
        return LATHE_GUARDS;
    snprintf(r->measure, sizeof r->measure, "confidence %.4g", r->canary.confidence);
    return LATHE_GUARD_QUALITY_DROP;
}
