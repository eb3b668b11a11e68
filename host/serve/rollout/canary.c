#include "serve/rollout/canary.h"

#include "base/json.h"
#include "base/nearest.h"
#include "model/model.h"
#include "store/store.h"

#include <math.h>
#include <string.h>

const char *const lathe_guard_names[LATHE_GUARDS] = {
    "error_ratio",     "rejected_ratio",    "flagged_ratio",      "latency_p99_ms",
    "latency_mean_ms", "latency_p99_ratio", "latency_mean_ratio", "prediction_drift",
    "feature_drift",   "output_drift",      "quality_drop"};

static int32_t fail(lathe_error *err, const char *fmt, const char *name) {
    return lathe_fail(err, LATHE_E_INVALID, "canary", fmt, name);
}

static int32_t read_number(const cJSON *settings, const char *name, double min, double max,
                           double *out, lathe_error *err) {
    const cJSON *node = lathe_json_get(settings, name);
    if (node == NULL)
        return LATHE_OK;
    if (!cJSON_IsNumber(node) || !(node->valuedouble >= min && node->valuedouble <= max))
        return lathe_fail(err, LATHE_E_INVALID, "canary", "\"%s\" is a number from %.15g to %.15g",
                          name, min, max);
    *out = node->valuedouble;
    return LATHE_OK;
}

static int32_t read_steps(const cJSON *list, lathe_canary *canary, lathe_error *err) {
    const cJSON *node;
    const int n = cJSON_GetArraySize(list);
    double last = 0;
    if (list == NULL)
        return LATHE_OK;
    if (!cJSON_IsArray(list) || n < 1 || n > LATHE_CANARY_STEPS)
        return fail(err, "\"%s\" is a list of 1 to 16 percentages", "steps");
    canary->n_steps = 0;
    cJSON_ArrayForEach(node, list) {
        if (!cJSON_IsNumber(node) || !(node->valuedouble > last && node->valuedouble <= 100))
            return fail(err,
                        "\"%s\" are percentages above 0 up to 100, each larger than the one before",
                        "steps");
        last = canary->steps[canary->n_steps++] = node->valuedouble;
    }
    return LATHE_OK;
}

/* ---- guards ---- */

/* {"ks": 0.1, …} */
static int32_t read_measures(const cJSON *node, double limits[LATHE_TRIAL_MEASURES],
                             lathe_error *err) {
    const char *names[LATHE_TRIAL_MEASURES];
    const cJSON *item;
    for (int m = 0; m < LATHE_TRIAL_MEASURES; m++)
        names[m] = lathe_trial_measures[m].name;
    if (cJSON_GetArraySize(node) == 0)
        return fail(err, "\"%s\" is a number, or an object of measures with their limits",
                    node->string);
    cJSON_ArrayForEach(item, node) {
        int m = 0;
        while (m < LATHE_TRIAL_MEASURES && strcmp(names[m], item->string) != 0)
            m++;
        if (m == LATHE_TRIAL_MEASURES) {
            const char *near = lathe_nearest(item->string, names, LATHE_TRIAL_MEASURES);
            return lathe_fail(
                err, LATHE_E_INVALID, "canary",
                "\"%s\" knows no measure \"%.60s\" (but psi, js, ks, chi2 and wasserstein)%s%s%s",
                node->string, item->string, near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
        }
        const double max = lathe_trial_measures[m].max;
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= max))
            return lathe_fail(err, LATHE_E_INVALID, "canary",
                              "the limit of \"%s\" in \"%s\" is a number from 0 to %.15g",
                              item->string, node->string, max);
        limits[m] = item->valuedouble;
    }
    return LATHE_OK;
}

static int32_t read_drift(const cJSON *node, lathe_guard g, lathe_canary *canary,
                          lathe_error *err) {
    double *limits =
        canary->drift[g == LATHE_GUARD_FEATURE_DRIFT ? LATHE_TRIAL_FEATURES : LATHE_TRIAL_OUTPUTS];
    int32_t rc = LATHE_OK;
    if (cJSON_IsObject(node))
        rc = read_measures(node, limits, err);
    else
        limits[0] = fmin(node->valuedouble, lathe_trial_measures[0].max);
    for (int m = LATHE_TRIAL_MEASURES - 1; rc == LATHE_OK && m >= 0; m--)
        canary->limits[g] = isnan(limits[m]) ? canary->limits[g] : limits[m];
    return rc;
}

/* {"limit": 0.02, "confidence": 0.95} */
static int32_t read_quality(const cJSON *node, lathe_canary *canary, lathe_error *err) {
    const cJSON *item, *limit = lathe_json_get(node, "limit");
    int32_t rc = LATHE_OK;
    cJSON_ArrayForEach(item, node) {
        if (strcmp(item->string, "limit") != 0 && strcmp(item->string, "confidence") != 0)
            return fail(err, "\"quality_drop\" has \"limit\" and \"confidence\", but no \"%.60s\"",
                        item->string);
    }
    if (limit == NULL)
        return fail(err, "\"quality_drop\" needs its \"%s\"", "limit");
    rc = read_number(node, "limit", 0, 1e9, &canary->limits[LATHE_GUARD_QUALITY_DROP], err);
    return rc == LATHE_OK ? read_number(node, "confidence", 0.5, 0.9999, &canary->confidence, err)
                          : rc;
}

static int32_t read_guard(const cJSON *node, lathe_guard g, lathe_canary *canary,
                          lathe_error *err) {
    const bool drift = g == LATHE_GUARD_FEATURE_DRIFT || g == LATHE_GUARD_OUTPUT_DRIFT;
    canary->guarded[g] = true;
    if (cJSON_IsObject(node) && g == LATHE_GUARD_QUALITY_DROP)
        return read_quality(node, canary, err);
    if (!(cJSON_IsObject(node) && drift) &&
        !(cJSON_IsNumber(node) && node->valuedouble >= 0 && node->valuedouble <= 1e9))
        return fail(err, "the limit of \"%s\" is a number from 0", node->string);
    if (drift)
        return read_drift(node, g, canary, err);
    canary->limits[g] = node->valuedouble;
    return LATHE_OK;
}

static int32_t read_guards(const cJSON *guards, lathe_canary *canary, lathe_error *err) {
    const cJSON *node;
    if (guards == NULL)
        return LATHE_OK;
    if (!cJSON_IsObject(guards))
        return fail(err, "\"%s\" is an object of limits", "guards");
    memset(canary->guarded, 0, sizeof canary->guarded);
    cJSON_ArrayForEach(node, guards) {
        int g = 0;
        while (g < LATHE_GUARDS && strcmp(lathe_guard_names[g], node->string) != 0)
            g++;
        if (g == LATHE_GUARDS) {
            const char *near = lathe_nearest(node->string, lathe_guard_names, LATHE_GUARDS);
            return lathe_fail(err, LATHE_E_INVALID, "canary", "there is no guard \"%.60s\"%s%s%s",
                              node->string, near ? "; did you mean \"" : "", near ? near : "",
                              near ? "\"?" : "");
        }
        const int32_t rc = read_guard(node, (lathe_guard)g, canary, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

int32_t lathe_canary_read(const cJSON *settings, lathe_canary *canary, lathe_error *err) {
    static const char *const keys[] = {"steps", "bake_seconds", "min_requests", "promote",
                                       "guards"};
    const cJSON *node, *promote = lathe_json_get(settings, "promote");
    *canary = (lathe_canary){.steps = {1, 10, 50, 100},
                             .n_steps = 4,
                             .bake_seconds = 300,
                             .min_requests = 100,
                             .guarded = {[LATHE_GUARD_ERROR_RATIO] = true},
                             .limits = {[LATHE_GUARD_ERROR_RATIO] = 0.01},
                             .confidence = LATHE_GUARD_CONFIDENCE};
    for (int m = 0; m < LATHE_TRIAL_MEASURES; m++)
        canary->drift[0][m] = canary->drift[1][m] = (double)NAN;
    if (!cJSON_IsObject(settings))
        return fail(err, "%s are an object", "its settings");
    cJSON_ArrayForEach(node, settings) {
        size_t k = 0;
        while (k < 5 && strcmp(keys[k], node->string) != 0)
            k++;
        if (k == 5)
            return lathe_fail(err, LATHE_E_INVALID, "canary", "it has no setting \"%.60s\"",
                              node->string);
    }
    const char *how = promote ? cJSON_GetStringValue(promote) : "auto";
    canary->manual = how != NULL && strcmp(how, "manual") == 0;
    if (how == NULL || (!canary->manual && strcmp(how, "auto") != 0))
        return fail(err, "\"%s\" is \"auto\" or \"manual\"", "promote");
    int32_t rc = read_steps(lathe_json_get(settings, "steps"), canary, err);
    if (rc == LATHE_OK)
        rc = read_number(settings, "bake_seconds", 0, 30 * 86400, &canary->bake_seconds, err);
    if (rc == LATHE_OK)
        rc = read_number(settings, "min_requests", 1, 1e12, &canary->min_requests, err);
    return rc == LATHE_OK ? read_guards(lathe_json_get(settings, "guards"), canary, err) : rc;
}

bool lathe_canary_drifts(const lathe_canary *canary) {
    return canary->guarded[LATHE_GUARD_FEATURE_DRIFT] || canary->guarded[LATHE_GUARD_OUTPUT_DRIFT];
}

bool lathe_canary_watches(const lathe_canary *canary) {
    return lathe_canary_drifts(canary) || canary->guarded[LATHE_GUARD_QUALITY_DROP];
}

/* ---- beginning ---- */

static int32_t describe(lathe_store *store, const char *sha256, lathe_arena *arena, cJSON **file,
                        lathe_error *err) {
    const char *path;
    int32_t rc = lathe_store_artifact_path(store, sha256, false, arena, &path, err);
    return rc == LATHE_OK ? lathe_model_describe(path, file, err) : rc;
}

/* Their answers are compared: with each other, or with the same truth. */
static int32_t check_alike(lathe_store *store, const lathe_version_record *v,
                           const lathe_endpoint_record *e, lathe_guard guard, lathe_arena *arena,
                           lathe_error *err) {
    cJSON *mine = NULL, *theirs = NULL;
    int32_t rc = describe(store, v->sha256, arena, &mine, err);
    if (rc == LATHE_OK)
        rc = describe(store, e->sha256, arena, &theirs, err);
    const cJSON *a = lathe_json_get(mine, "classes"), *b = lathe_json_get(theirs, "classes");
    const int n = cJSON_GetArraySize(a);
    const bool same = n == cJSON_GetArraySize(b) && (n == 0 || cJSON_Compare(a, b, 1));
    if (rc == LATHE_OK && guard == LATHE_GUARD_PREDICTION_DRIFT && (n == 0 || !same))
        rc = fail(err, "the guard \"%s\" needs two classifiers with the same classes",
                  lathe_guard_names[guard]);
    else if (rc == LATHE_OK && !same)
        rc = fail(err, "the guard \"%s\" needs two regressions, or the same classes",
                  lathe_guard_names[guard]);
    cJSON_Delete(mine);
    cJSON_Delete(theirs);
    return rc;
}

/* Drift is measured of rows that are counted, against a profile. */
static int32_t check_profile(lathe_store *store, const lathe_version_record *v,
                             const lathe_endpoint_record *e, const lathe_canary *canary,
                             lathe_arena *arena, lathe_error *err) {
    cJSON *file = NULL, *settings = cJSON_Parse(e->settings);
    int32_t rc = describe(store, v->sha256, arena, &file, err);
    const cJSON *own = lathe_json_get(settings, "validation");
    const cJSON *deploy = lathe_json_get(lathe_json_get(file, "document"), "deploy");
    const cJSON *validation = cJSON_IsObject(own) ? own : lathe_json_get(deploy, "validation");
    const cJSON *baseline = lathe_json_get(file, "baseline");
    if (rc == LATHE_OK && cJSON_IsFalse(lathe_json_get(validation, "statistics")))
        rc = fail(err, "a guard of drift needs served rows to be counted, but \"%s\" is false",
                  "validation/statistics");
    else if (rc == LATHE_OK && canary->guarded[LATHE_GUARD_OUTPUT_DRIFT] &&
             lathe_json_get(baseline, "outputs") == NULL)
        rc = fail(err,
                  "the guard \"%s\" needs the profile of the model's predictions, which this older "
                  "file lacks; train it anew",
                  "output_drift");
    cJSON_Delete(file);
    cJSON_Delete(settings);
    return rc;
}

static int32_t begin(lathe_store *store, const char *endpoint, const char *ref,
                     const cJSON *settings, bool force, const char *reason, lathe_arena *arena,
                     cJSON **failed, lathe_error *err) {
    lathe_canary canary;
    lathe_version_record v;
    lathe_endpoint_record e;
    int32_t rc = lathe_canary_read(settings, &canary, err);
    if (rc == LATHE_OK)
        rc = lathe_store_endpoint(store, endpoint, arena, &e, err);
    if (rc == LATHE_OK)
        rc = lathe_store_version(store, ref, arena, &v, err);
    for (int g = LATHE_GUARD_PREDICTION_DRIFT; rc == LATHE_OK && g < LATHE_GUARDS; g++)
        if (canary.guarded[g] &&
            (g == LATHE_GUARD_PREDICTION_DRIFT || g == LATHE_GUARD_QUALITY_DROP))
            rc = check_alike(store, &v, &e, (lathe_guard)g, arena, err);
    if (rc == LATHE_OK && lathe_canary_drifts(&canary))
        rc = check_profile(store, &v, &e, &canary, arena, err);
    if (rc == LATHE_OK)
        rc = force ? lathe_gates_override(store, &v, reason, err)
                   : lathe_gates_check(&v, failed, err);
    if (rc == LATHE_OK)
        rc = lathe_store_version_verify(store, ref, err);
    char *text = rc == LATHE_OK ? cJSON_PrintUnformatted(settings) : NULL;
    if (rc == LATHE_OK && text == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, "canary", "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_store_rollout_begin(store, endpoint, LATHE_ROLLOUT_CANARY, v.model, v.version,
                                       text, reason, NULL, err);
    cJSON_free(text);
    return rc;
}

int32_t lathe_canary_begin(lathe_store *store, const char *endpoint, const char *ref,
                           const cJSON *settings, bool force, const char *reason, cJSON **failed,
                           lathe_error *err) {
    lathe_arena *arena = lathe_arena_new();
    if (failed != NULL)
        *failed = NULL;
    int32_t rc = arena != NULL
                     ? begin(store, endpoint, ref, settings, force, reason, arena, failed, err)
                     : lathe_fail(err, LATHE_E_MEMORY, "canary", "out of memory");
    lathe_arena_free(arena);
    return rc;
}
