/* serve/rollout/rollout.h: canaries and shadows as they run: counters, guards, steps. [loop]
 *
 * The store says which rollouts there are (store/rollouts.h); this is the supervisor's view of those that run, with the
 * counters that its workers write for them. Every tick, guards are judged; a canary goes on to its next step, is promoted,
 * or is rolled back, each as one transaction of the store with what follows from it (alert, audit row). A supervisor that
 * starts anew finds its canaries in the step that they were in, and measures that step from its beginning.
 *
 *     begin ──► step 0 ──bake──► step 1 ──► … ──► last step ──► promoted
 *                 └──────── a guard ─────┴──────────┴──► rolled back
 */
#ifndef LATHE_SERVE_ROLLOUT_H
#define LATHE_SERVE_ROLLOUT_H

#include "base/buf.h"
#include "serve/rollout/canary.h"
#include "serve/slots.h"
#include "serve/watch/watch.h"
#include "store/store.h"

typedef struct lathe_supervisor lathe_supervisor;

/* Sums over the workers. */
typedef struct lathe_arm_totals {
    uint64_t requests, errors, rejected, shed, rows, flagged, ns;
    uint64_t latency[LATHE_ARM_BUCKETS], classes[LATHE_ARM_CLASSES];
} lathe_arm_totals;

typedef struct lathe_rollout {
    struct lathe_rollout *next;
    lathe_arena *arena;
    lathe_rollout_record record; /* in the arena; `step` is kept up */
    lathe_canary canary;         /* of a canary */
    int arm, base_arm;   /* counters; -1: none are left, then nothing is judged but crashes */
    int shadow;          /* of a shadow; -1 */
    uint64_t generation; /* of the routes from which on its step is served */
    int64_t served_ns;   /* since when all workers serve it; 0: not yet */
    bool halted;         /* it gets no request any more, though the store could not be told yet */
    bool watched;        /* serve/watch looks at its step */
    char condition[32];  /* why */
    char subject[128];   /* of what: the feature that drifts; "" */
    char measure[32];    /* by what: "ks"; "" */
    double measured, limit;
    lathe_arm_totals begun[2],
        stepped[2]; /* canary and base at the beginning, and at that of the step */
} lathe_rollout;

typedef struct lathe_rollouts {
    lathe_rollout *list;
    uint64_t arm_free[LATHE_SLOTS_ARMS]; /* from which generation on; UINT64_MAX: in use */
    uint64_t shadow_free[LATHE_SLOTS_SHADOWS];
} lathe_rollouts;

/* Reads from the store which ones run. Before the routes of generation s->generation + 1 are read. */
int32_t lathe_rollouts_sync(lathe_supervisor *s, lathe_error *err);
void lathe_rollouts_free(lathe_supervisor *s);
/* Judges guards and time. */
void lathe_rollouts_tick(lathe_supervisor *s);
/* A worker ended for what it ran: "model@version", or a text with such words. A model could not be loaded. */
void lathe_rollouts_crashed(lathe_supervisor *s, const char *steps);
void lathe_rollouts_not_loaded(lathe_supervisor *s, const char *endpoint, const char *step,
                               bool shadow, const char *error);

/* The one on an endpoint that gets requests; NULL: none. */
const lathe_rollout *lathe_rollouts_on(const lathe_rollouts *all, const char *endpoint,
                                       bool shadow);
/* Percent of the endpoint's requests. */
double lathe_rollout_share(const lathe_rollout *rollout);

/* ---- rollout/guards.c ---- */

void lathe_arm_sum(lathe_slots *slots, int arm, lathe_arm_totals *totals);
/* now - then */
void lathe_arm_since(const lathe_arm_totals *now, const lathe_arm_totals *then,
                     lathe_arm_totals *out);
/* Seconds below which `q` of the successes were; NaN: there are none. */
double lathe_arm_quantile(const lathe_arm_totals *totals, double q);
/* What a guard measures; NaN: there is not enough to tell. min: requests that it takes. */
double lathe_guard_measure(lathe_guard guard, const lathe_arm_totals *canary,
                           const lathe_arm_totals *base, double min);
/* The first guard that trips, LATHE_GUARDS: none. */
lathe_guard lathe_guards_judge(const lathe_canary *settings, const lathe_arm_totals *canary,
                               const lathe_arm_totals *base, double *measured);

/* ---- rollout/watched.c ---- */

/* From now on serve/watch looks at its step, if a guard needs it. */
void lathe_rollout_watch(lathe_supervisor *s, lathe_rollout *rollout);
/* What serve/watch has found of its step; rows 0: nothing yet. */
void lathe_rollout_watched(const lathe_supervisor *s, const lathe_rollout *rollout,
                           lathe_trial_verdict *verdict);
/* What it waits for there; NULL: for nothing. */
const char *lathe_rollout_awaits(const lathe_rollout *rollout, const lathe_trial_verdict *verdict);
/* The first guard that is beyond its limit there, with its subject and measure in the rollout; LATHE_GUARDS: none. */
lathe_guard lathe_rollout_beyond(lathe_rollout *rollout, const lathe_trial_verdict *verdict,
                                 double *measured, double *limit);

/* ---- rollout/show.c ---- */

/* Both sides: [0] the canary, [1] the version it is compared with; now, and what counts for its step. */
void lathe_rollout_sides(const lathe_supervisor *s, const lathe_rollout *rollout,
                         lathe_arm_totals now[2], lathe_arm_totals step[2]);

/* What is known of a rollout of an endpoint while it runs: share, state of the step, both sides, guards; of a shadow its
 * comparison. NULL: none runs here, or out of memory. */
cJSON *lathe_rollout_json(const lathe_supervisor *s, const char *endpoint, bool shadow);
void lathe_rollouts_metrics(const lathe_supervisor *s, lathe_buf *out);

#endif
