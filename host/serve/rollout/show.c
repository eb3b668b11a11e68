/* Rollouts as JSON and as metrics. */
#include "base/clock.h"
#include "serve/supervisor/internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* In the step; the base since the beginning where the step has too few requests of it (at 100 % it has none). */
void lathe_rollout_sides(const lathe_supervisor *s, const lathe_rollout *r, lathe_arm_totals now[2],
                         lathe_arm_totals step[2]) {
    lathe_arm_sum(s->slots, r->arm, &now[0]);
    lathe_arm_sum(s->slots, r->base_arm, &now[1]);
    lathe_arm_since(&now[0], &r->stepped[0], &step[0]);
    lathe_arm_since(&now[1], &r->stepped[1], &step[1]);
    if ((double)step[1].requests < r->canary.min_requests)
        lathe_arm_since(&now[1], &r->begun[1], &step[1]);
}

static void add_finite(cJSON *out, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(out, key, value);
}

static cJSON *side_json(const lathe_arm_totals *t) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "requests", (double)t->requests);
    cJSON_AddNumberToObject(out, "errors", (double)t->errors);
    cJSON_AddNumberToObject(out, "rejected", (double)t->rejected);
    cJSON_AddNumberToObject(out, "shed", (double)t->shed);
    cJSON_AddNumberToObject(out, "flagged", (double)t->flagged);
    cJSON_AddNumberToObject(out, "rows", (double)t->rows);
    add_finite(out, "latency_p50_ms", lathe_arm_quantile(t, 0.5) * 1e3);
    add_finite(out, "latency_p99_ms", lathe_arm_quantile(t, 0.99) * 1e3);
    return out;
}

static double measure_of(lathe_guard guard, const lathe_rollout *r, const lathe_arm_totals step[2],
                         const lathe_trial_verdict *verdict) {
    if (guard == LATHE_GUARD_FEATURE_DRIFT)
        return verdict->rows > 0 ? verdict->worst[LATHE_TRIAL_FEATURES] : (double)NAN;
    if (guard == LATHE_GUARD_OUTPUT_DRIFT)
        return verdict->rows > 0 ? verdict->worst[LATHE_TRIAL_OUTPUTS] : (double)NAN;
    if (guard == LATHE_GUARD_QUALITY_DROP)
        return verdict->labelled > 0 ? verdict->quality_drop : (double)NAN;
    return lathe_guard_measure(guard, &step[0], &step[1], r->canary.min_requests);
}

/* Of what, by which measure, and the limit that it took. */
static void add_drift(const lathe_trial_verdict *verdict, lathe_trial_guard g, cJSON *item) {
    if (verdict->rows == 0 || verdict->name[g][0] == '\0')
        return;
    cJSON_AddStringToObject(item, "subject", verdict->name[g]);
    cJSON_AddStringToObject(item, "measure", verdict->measure[g]);
    if (isfinite(verdict->limit[g]))
        cJSON_ReplaceItemInObjectCaseSensitive(item, "limit",
                                               cJSON_CreateNumber(verdict->limit[g]));
}

static void add_canary(const lathe_supervisor *s, const lathe_rollout *r, cJSON *out) {
    lathe_arm_totals now[2], step[2];
    lathe_trial_verdict verdict;
    lathe_rollout_sides(s, r, now, step);
    lathe_rollout_watched(s, r, &verdict);
    cJSON_AddNumberToObject(out, "step", (double)r->record.step);
    cJSON_AddNumberToObject(out, "steps", r->canary.n_steps);
    cJSON_AddNumberToObject(out, "share_percent", lathe_rollout_share(r));
    const double baked = r->served_ns > 0 ? (double)(lathe_now_ns() - r->served_ns) * 1e-9 : 0;
    cJSON_AddNumberToObject(out, "baked_seconds", floor(baked * 10) / 10);
    const bool last = r->record.step + 1 == r->canary.n_steps;
    cJSON_AddStringToObject(out, "waits_for",
                            r->served_ns == 0                                   ? "workers"
                            : baked < r->canary.bake_seconds                    ? "time"
                            : (double)step[0].requests < r->canary.min_requests ? "requests"
                            : lathe_rollout_awaits(r, &verdict) != NULL
                                ? lathe_rollout_awaits(r, &verdict)
                            : last && r->canary.manual ? "promotion"
                                                       : "tick");
    cJSON_AddItemToObject(out, "canary", side_json(&step[0]));
    cJSON_AddItemToObject(out, "baseline", side_json(&step[1]));
    cJSON *guards = cJSON_AddArrayToObject(out, "guards");
    for (int g = 0; g < LATHE_GUARDS; g++) {
        if (!r->canary.guarded[g])
            continue;
        const double value = measure_of((lathe_guard)g, r, step, &verdict);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "guard", lathe_guard_names[g]);
        cJSON_AddNumberToObject(item, "limit", r->canary.limits[g]);
        if (isfinite(value))
            cJSON_AddNumberToObject(item, "measured", value);
        else
            cJSON_AddNullToObject(item, "measured");
        if (g == LATHE_GUARD_FEATURE_DRIFT)
            add_drift(&verdict, LATHE_TRIAL_FEATURES, item);
        if (g == LATHE_GUARD_OUTPUT_DRIFT)
            add_drift(&verdict, LATHE_TRIAL_OUTPUTS, item);
        if (g == LATHE_GUARD_QUALITY_DROP) {
            cJSON_AddNumberToObject(item, "confidence", r->canary.confidence);
            cJSON_AddNumberToObject(item, "labels", (double)verdict.labelled);
            add_finite(item, "at_least", verdict.quality_least);
        }
        cJSON_AddItemToArray(guards, item);
    }
}

/* ---- shadows ---- */

typedef struct shadow_totals {
    uint64_t offered, dropped, requests, failures, rows, agreed, ns;
    double max, sum;
} shadow_totals;

static double as_double(_Atomic uint64_t *counter) {
    const uint64_t bits = atomic_load(counter);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static shadow_totals shadow_sum(const lathe_supervisor *s, int shadow) {
    shadow_totals t = {0};
    for (int w = 0; w < lathe_slots_count(s->slots) && shadow >= 0; w++) {
        lathe_slot_shadow *c = &lathe_slots_at(s->slots, w)->shadows[shadow];
        t.offered += atomic_load(&c->offered);
        t.dropped += atomic_load(&c->dropped);
        t.requests += atomic_load(&c->requests);
        t.failures += atomic_load(&c->failures);
        t.rows += atomic_load(&c->rows);
        t.agreed += atomic_load(&c->agreed);
        t.ns += atomic_load(&c->ns);
        t.max = fmax(t.max, as_double(&c->max_bits));
        t.sum += as_double(&c->sum_bits);
    }
    return t;
}

static void add_shadow(const lathe_supervisor *s, const lathe_rollout *r, cJSON *out) {
    const shadow_totals t = shadow_sum(s, r->shadow);
    cJSON_AddNumberToObject(out, "offered", (double)t.offered);
    cJSON_AddNumberToObject(out, "dropped", (double)t.dropped);
    cJSON_AddNumberToObject(out, "requests", (double)t.requests);
    cJSON_AddNumberToObject(out, "failures", (double)t.failures);
    cJSON_AddNumberToObject(out, "rows", (double)t.rows);
    if (t.rows > 0) {
        cJSON_AddNumberToObject(out, "agreement", (double)t.agreed / (double)t.rows);
        cJSON_AddNumberToObject(out, "difference_max", t.max);
        cJSON_AddNumberToObject(out, "difference_mean", t.sum / (double)t.rows);
    }
    if (t.requests + t.failures > 0)
        cJSON_AddNumberToObject(out, "mean_ms",
                                (double)t.ns * 1e-6 / (double)(t.requests + t.failures));
}

cJSON *lathe_rollout_json(const lathe_supervisor *s, const char *endpoint, bool shadow) {
    for (const lathe_rollout *r = s->rollouts.list; r != NULL; r = r->next) {
        if (strcmp(r->record.endpoint, endpoint) != 0 ||
            (strcmp(r->record.kind, LATHE_ROLLOUT_SHADOW) == 0) != shadow)
            continue;
        cJSON *out = cJSON_CreateObject();
        cJSON_AddStringToObject(out, "model", r->record.model);
        cJSON_AddNumberToObject(out, "version", (double)r->record.version);
        if (shadow)
            add_shadow(s, r, out);
        else
            add_canary(s, r, out);
        return out;
    }
    return NULL;
}

/* ---- metrics ---- */

enum { OF_CANARY, OF_SHADOW };
enum {
    M_SHARE,
    M_REQUESTS,
    M_ERRORS,
    M_OFFERED,
    M_DROPPED,
    M_COMPARED,
    M_FAILED,
    M_ROWS,
    M_AGREED,
    M_DIFFERENCE
};

static const struct series {
    const char *name, *type, *help;
    int of, what;
} series[] = {
    {"lathe_canary_share_ratio", "gauge", "Share of the endpoint's requests that a canary gets.",
     OF_CANARY, M_SHARE},
    {"lathe_canary_requests_total", "counter", "Requests that a canary answered.", OF_CANARY,
     M_REQUESTS},
    {"lathe_canary_errors_total", "counter", "Of them, answers of 500 and above.", OF_CANARY,
     M_ERRORS},
    {"lathe_shadow_offered_total", "counter", "Requests that were copied for a shadow.", OF_SHADOW,
     M_OFFERED},
    {"lathe_shadow_dropped_total", "counter", "Of them, copies that found the queue full.",
     OF_SHADOW, M_DROPPED},
    {"lathe_shadow_compared_total", "counter", "Requests that a shadow predicted too.", OF_SHADOW,
     M_COMPARED},
    {"lathe_shadow_failures_total", "counter", "Requests that a shadow could not predict.",
     OF_SHADOW, M_FAILED},
    {"lathe_shadow_rows_total", "counter", "Rows that were compared.", OF_SHADOW, M_ROWS},
    {"lathe_shadow_agreed_rows_total", "counter", "Of them, rows with the same prediction.",
     OF_SHADOW, M_AGREED},
    {"lathe_shadow_difference", "gauge", "Largest absolute difference of a prediction.", OF_SHADOW,
     M_DIFFERENCE},
};

static double series_value(const lathe_supervisor *s, const lathe_rollout *r, int what) {
    lathe_arm_totals t, begun;
    if (what == M_SHARE)
        return lathe_rollout_share(r) / 100;
    if (what == M_REQUESTS || what == M_ERRORS) {
        lathe_arm_sum(s->slots, r->arm, &t);
        begun = r->begun[0];
        return (double)(what == M_REQUESTS ? t.requests - begun.requests : t.errors - begun.errors);
    }
    const shadow_totals sum = shadow_sum(s, r->shadow);
    switch (what) {
    case M_OFFERED:
        return (double)sum.offered;
    case M_DROPPED:
        return (double)sum.dropped;
    case M_COMPARED:
        return (double)sum.requests;
    case M_FAILED:
        return (double)sum.failures;
    case M_ROWS:
        return (double)sum.rows;
    case M_AGREED:
        return (double)sum.agreed;
    default:
        return sum.max;
    }
}

void lathe_rollouts_metrics(const lathe_supervisor *s, lathe_buf *out) {
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        const struct series *m = &series[i];
        lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
        for (const lathe_rollout *r = s->rollouts.list; r != NULL; r = r->next)
            if ((strcmp(r->record.kind, LATHE_ROLLOUT_SHADOW) == 0) == (m->of == OF_SHADOW))
                lathe_buf_printf(out,
                                 "%s{endpoint=\"%s\",model=\"%s\",version=\"%" PRId64 "\"} %.17g\n",
                                 m->name, r->record.endpoint, r->record.model, r->record.version,
                                 series_value(s, r, m->what));
    }
}
