/* Guards: from two sides' counters to a measured value, and whether it is beyond its limit. */
#include "serve/rollout/rollout.h"

#include <math.h>
#include <string.h>

/* ---- counters ---- */

void lathe_arm_sum(lathe_slots *slots, int arm, lathe_arm_totals *t) {
    memset(t, 0, sizeof *t);
    for (int w = 0; w < lathe_slots_count(slots) && arm >= 0; w++) {
        lathe_slot_arm *a = &lathe_slots_at(slots, w)->arms[arm];
        t->requests += atomic_load(&a->requests);
        t->errors += atomic_load(&a->errors);
        t->rejected += atomic_load(&a->rejected);
        t->shed += atomic_load(&a->shed);
        t->rows += atomic_load(&a->rows);
        t->flagged += atomic_load(&a->flagged);
        t->ns += atomic_load(&a->ns);
        for (int b = 0; b < LATHE_ARM_BUCKETS; b++)
            t->latency[b] += atomic_load(&a->latency[b]);
        for (int c = 0; c < LATHE_ARM_CLASSES; c++)
            t->classes[c] += atomic_load(&a->classes[c]);
    }
}

void lathe_arm_since(const lathe_arm_totals *now, const lathe_arm_totals *then,
                     lathe_arm_totals *out) {
    out->requests = now->requests - then->requests;
    out->errors = now->errors - then->errors;
    out->rejected = now->rejected - then->rejected;
    out->shed = now->shed - then->shed;
    out->rows = now->rows - then->rows;
    out->flagged = now->flagged - then->flagged;
    out->ns = now->ns - then->ns;
    for (int b = 0; b < LATHE_ARM_BUCKETS; b++)
        out->latency[b] = now->latency[b] - then->latency[b];
    for (int c = 0; c < LATHE_ARM_CLASSES; c++)
        out->classes[c] = now->classes[c] - then->classes[c];
}

/* ---- what they say ---- */

static uint64_t successes(const lathe_arm_totals *t) {
    uint64_t n = 0;
    for (int b = 0; b < LATHE_ARM_BUCKETS; b++)
        n += t->latency[b];
    return n;
}

/* Within a bucket latencies count as spread evenly. */
double lathe_arm_quantile(const lathe_arm_totals *t, double q) {
    const double rank = q * (double)successes(t);
    double below = 0;
    if (!(rank > 0))
        return (double)NAN;
    for (int b = 0; b < LATHE_ARM_BUCKETS; b++) {
        const double here = (double)t->latency[b];
        if (here > 0 && below + here >= rank) {
            const double from = b > 0 ? lathe_arm_bucket_seconds(b - 1) : 0;
            return from + (lathe_arm_bucket_seconds(b) - from) * (rank - below) / here;
        }
        below += here;
    }
    return lathe_arm_bucket_seconds(LATHE_ARM_BUCKETS - 1);
}

static double mean(const lathe_arm_totals *t) {
    const uint64_t n = successes(t);
    return n > 0 ? (double)t->ns * 1e-9 / (double)n : (double)NAN;
}

static double ratio(uint64_t part, const lathe_arm_totals *t) {
    return t->requests > 0 ? (double)part / (double)t->requests : 0;
}

/* Population stability index: sum over the classes of (c - b) ln(c / b), with half a row added to each side's count. */
static double drift(const lathe_arm_totals *canary, const lathe_arm_totals *base) {
    double n[2] = {0, 0}, index = 0;
    int seen = 0;
    for (int c = 0; c < LATHE_ARM_CLASSES; c++) {
        seen += canary->classes[c] + base->classes[c] > 0;
        n[0] += (double)canary->classes[c];
        n[1] += (double)base->classes[c];
    }
    for (int c = 0; c < LATHE_ARM_CLASSES; c++) {
        if (canary->classes[c] + base->classes[c] == 0)
            continue;
        const double p = ((double)canary->classes[c] + 0.5) / (n[0] + 0.5 * seen),
                     q = ((double)base->classes[c] + 0.5) / (n[1] + 0.5 * seen);
        index += (p - q) * log(p / q);
    }
    return index;
}

double lathe_guard_measure(lathe_guard guard, const lathe_arm_totals *canary,
                           const lathe_arm_totals *base, double min) {
    const bool enough = (double)canary->requests >= min;
    const bool both = enough && (double)base->requests >= min;
    switch (guard) {
    case LATHE_GUARD_ERROR_RATIO:
        return enough ? ratio(canary->errors, canary) : (double)NAN;
    case LATHE_GUARD_REJECTED_RATIO:
        return both ? ratio(canary->rejected, canary) - ratio(base->rejected, base) : (double)NAN;
    case LATHE_GUARD_FLAGGED_RATIO:
        return both ? ratio(canary->flagged, canary) - ratio(base->flagged, base) : (double)NAN;
    case LATHE_GUARD_LATENCY_P99_MS:
        return enough ? lathe_arm_quantile(canary, 0.99) * 1e3 : (double)NAN;
    case LATHE_GUARD_LATENCY_MEAN_MS:
        return enough ? mean(canary) * 1e3 : (double)NAN;
    case LATHE_GUARD_LATENCY_P99_RATIO:
        return both ? lathe_arm_quantile(canary, 0.99) / lathe_arm_quantile(base, 0.99)
                    : (double)NAN;
    case LATHE_GUARD_LATENCY_MEAN_RATIO:
        return both ? mean(canary) / mean(base) : (double)NAN;
    case LATHE_GUARD_PREDICTION_DRIFT:
        return both ? drift(canary, base) : (double)NAN;
    case LATHE_GUARD_FEATURE_DRIFT: /* no counters: of serve/watch */
    case LATHE_GUARD_OUTPUT_DRIFT:
    case LATHE_GUARD_QUALITY_DROP:
    case LATHE_GUARDS:
        break;
    }
    return (double)NAN;
}

lathe_guard lathe_guards_judge(const lathe_canary *settings, const lathe_arm_totals *canary,
                               const lathe_arm_totals *base, double *measured) {
    const double min = settings->min_requests;
    for (int g = 0; g < LATHE_GUARDS; g++) {
        if (!settings->guarded[g])
            continue;
        *measured = lathe_guard_measure((lathe_guard)g, canary, base, min);
        if (*measured > settings->limits[g])
            return (lathe_guard)g;
    }
    /* too many failures for min_requests to end below the limit */
    if (settings->guarded[LATHE_GUARD_ERROR_RATIO] &&
        (double)canary->errors > settings->limits[LATHE_GUARD_ERROR_RATIO] * min) {
        *measured = ratio(canary->errors, canary);
        if (*measured > settings->limits[LATHE_GUARD_ERROR_RATIO])
            return LATHE_GUARD_ERROR_RATIO;
    }
    return LATHE_GUARDS;
}
