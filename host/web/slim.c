#include "web/slim.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

/* Keeps the marked items. The list is as long as `keep`. */
static void keep_marked(cJSON *list, const bool *keep) {
    cJSON *item = list->child;
    for (size_t i = 0; item != NULL; i++) {
        cJSON *next = item->next;
        if (!keep[i])
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        item = next;
    }
}

/* Keeps the first `max` items, or the last; returns how many went. */
static int cut_list(cJSON *list, int max, bool last) {
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n <= max)
        return 0;
    cJSON *item = list->child;
    for (int i = 0; i < n; i++) {
        cJSON *next = item->next;
        if (last ? i < n - max : i >= max)
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        item = next;
    }
    return n - max;
}

static bool note_cut(cJSON *cut, const char *name, int n) {
    return n == 0 || cJSON_AddNumberToObject(cut, name, n) != NULL;
}

/* ---- curves ---- */

/* A point's value; NaN where it has none. */
static double value_of(const cJSON *point) {
    const cJSON *y = cJSON_IsArray(point) && point->child ? point->child->next : NULL;
    return cJSON_IsNumber(y) ? y->valuedouble : NAN;
}

/* Marks the lowest and the highest of each of `stretches` stretches of y[1 … n - 1), and both ends. */
static void mark_extremes(const double *y, size_t n, size_t stretches, bool *keep) {
    keep[0] = keep[n - 1] = true;
    for (size_t s = 0; s < stretches; s++) {
        size_t begin = 1 + (n - 2) * s / stretches, end = 1 + (n - 2) * (s + 1) / stretches;
        size_t low = begin, high = begin;
        for (size_t i = begin + 1; i < end; i++) {
            if (y[i] < y[low] || isnan(y[low]))
                low = i;
            if (y[i] > y[high] || isnan(y[high]))
                high = i;
        }
        keep[low] = keep[high] = true;
    }
}

static bool thin_curve(cJSON *curve) {
    size_t n = cJSON_IsArray(curve) ? (size_t)cJSON_GetArraySize(curve) : 0, i = 0;
    if (n <= LATHE_SLIM_POINTS)
        return true;
    double *y = malloc(n * sizeof *y);
    bool *keep = calloc(n, sizeof *keep);
    bool fine = y != NULL && keep != NULL;
    if (fine) {
        for (const cJSON *p = curve->child; p != NULL; p = p->next)
            y[i++] = value_of(p);
        mark_extremes(y, n, (LATHE_SLIM_POINTS - 2) / 2, keep);
        keep_marked(curve, keep);
    }
    free(keep);
    free(y);
    return fine;
}

/* ---- importances ---- */

static double size_of_importance(const cJSON *item) {
    const cJSON *value = lathe_json_get(item, "value");
    return cJSON_IsNumber(value) && isfinite(value->valuedouble) ? fabs(value->valuedouble) : 0;
}

static int by_size_falling(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Keeps the largest, in their order. */
static bool cut_importance(cJSON *list) {
    size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0, i = 0, kept = 0;
    if (n <= LATHE_SLIM_IMPORTANCES)
        return true;
    double *sizes = malloc(n * sizeof *sizes);
    bool *keep = calloc(n, sizeof *keep);
    bool fine = sizes != NULL && keep != NULL;
    if (fine) {
        for (const cJSON *item = list->child; item != NULL; item = item->next)
            sizes[i++] = size_of_importance(item);
        qsort(sizes, n, sizeof *sizes, by_size_falling);
        const double least = sizes[LATHE_SLIM_IMPORTANCES - 1];
        i = 0;
        for (const cJSON *item = list->child; item != NULL; item = item->next, i++) {
            keep[i] = size_of_importance(item) >= least && kept < LATHE_SLIM_IMPORTANCES;
            kept += keep[i];
        }
        keep_marked(list, keep);
    }
    free(keep);
    free(sizes);
    return fine;
}

static bool slim_candidates(cJSON *candidates) {
    bool fine = true;
    cJSON *candidate, *curve;
    cJSON_ArrayForEach(candidate, candidates) {
        cJSON_ArrayForEach(curve, lathe_json_get(candidate, "curves")) fine =
            thin_curve(curve) && fine;
        fine = cut_importance(lathe_json_get(candidate, "importance")) && fine;
    }
    return fine;
}

/* ---- evaluation ---- */

/* Every k-th, so that both lists lose the same rows. */
static bool thin_residuals(cJSON *residuals) {
    static const char *const names[] = {"predicted", "actual"};
    for (size_t l = 0; l < 2; l++) {
        cJSON *list = lathe_json_get(residuals, names[l]);
        size_t n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
        size_t step = (n + LATHE_SLIM_RESIDUALS - 1) / LATHE_SLIM_RESIDUALS;
        if (n <= LATHE_SLIM_RESIDUALS)
            continue;
        bool *keep = calloc(n, sizeof *keep);
        if (keep == NULL)
            return false;
        for (size_t i = 0; i < n; i += step)
            keep[i] = true;
        keep_marked(list, keep);
        free(keep);
    }
    return true;
}

/* ---- profile ---- */

/* The first columns; the target stays, as the last one, where it stands further back. */
static int cut_features(cJSON *features) {
    int n = cJSON_IsArray(features) ? cJSON_GetArraySize(features) : 0, at = 0;
    cJSON *target = NULL, *item;
    if (n <= LATHE_SLIM_COLUMNS)
        return 0;
    cJSON_ArrayForEach(item, features) {
        const cJSON *role = lathe_json_get(item, "role");
        if (at++ >= LATHE_SLIM_COLUMNS && cJSON_IsString(role) &&
            strcmp(role->valuestring, "target") == 0)
            target = item;
    }
    if (target != NULL)
        cJSON_DetachItemViaPointer(features, target);
    cut_list(features, LATHE_SLIM_COLUMNS - (target != NULL), false);
    if (target != NULL)
        cJSON_AddItemToArray(features, target);
    return n - LATHE_SLIM_COLUMNS;
}

bool lathe_slim_profile(cJSON *profile, cJSON *cut) {
    cJSON *correlations = lathe_json_get(profile, "correlations"), *row;
    bool fine = note_cut(cut, "columns", cut_features(lathe_json_get(profile, "features")));
    int n = cut_list(lathe_json_get(correlations, "names"), LATHE_SLIM_CORRELATED, false);
    static const char *const kinds[] = {"pearson", "spearman"};
    for (size_t k = 0; k < 2; k++) {
        cJSON *matrix = lathe_json_get(correlations, kinds[k]);
        cut_list(matrix, LATHE_SLIM_CORRELATED, false);
        cJSON_ArrayForEach(row, matrix) cut_list(row, LATHE_SLIM_CORRELATED, false);
    }
    return note_cut(cut, "correlations", n) && fine;
}

/* ---- monitor ---- */

/* How much a feature drifts in the worst window. */
typedef struct drifting {
    const char *feature;
    double statistic;
    int alert;
} drifting;

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_feature(const void *a, const void *b) {
    return strcmp(((const drifting *)a)->feature, ((const drifting *)b)->feature);
}

/* Alerted ones first, then the largest statistic; names decide between equals. */
static int by_drift_falling(const void *a, const void *b) {
    const drifting *x = a, *y = b;
    if (x->alert != y->alert)
        return y->alert - x->alert;
    if (x->statistic != y->statistic)
        return (x->statistic < y->statistic) - (x->statistic > y->statistic);
    return by_feature(a, b);
}

static const cJSON *drift_of(const cJSON *window, const char *measure) {
    return lathe_json_get(lathe_json_get(window, "drift"), measure);
}

/* Every feature of a measure in every window, folded to one entry a feature. */
static drifting *collect_drift(const cJSON *windows, const char *measure, size_t *n) {
    size_t cells = 0, features = 0, i = 0;
    const cJSON *window, *it;
    cJSON_ArrayForEach(window, windows) cells +=
        (size_t)cJSON_GetArraySize(drift_of(window, measure));
    drifting *all = malloc((cells + 1) * sizeof *all);
    if (all == NULL)
        return NULL;
    cJSON_ArrayForEach(window, windows) {
        cJSON_ArrayForEach(it, drift_of(window, measure)) {
            const cJSON *statistic = lathe_json_get(it, "statistic");
            const bool known = cJSON_IsNumber(statistic) && isfinite(statistic->valuedouble);
            all[i++] =
                (drifting){it->string ? it->string : "", known ? statistic->valuedouble : -HUGE_VAL,
                           cJSON_IsTrue(lathe_json_get(it, "alert"))};
        }
    }
    qsort(all, cells, sizeof *all, by_feature);
    for (i = 0; i < cells; i++) {
        if (features == 0 || by_feature(&all[features - 1], &all[i]) != 0) {
            all[features++] = all[i];
            continue;
        }
        drifting *worst = &all[features - 1];
        worst->statistic = fmax(worst->statistic, all[i].statistic);
        worst->alert |= all[i].alert;
    }
    *n = features;
    return all;
}

/* Deletes the features of a measure that are not among names[LATHE_SLIM_FEATURES], which are sorted. */
static void drop_others(cJSON *windows, const char *measure, char *const *names) {
    cJSON *window;
    cJSON_ArrayForEach(window, windows) {
        cJSON *drift = lathe_json_get(lathe_json_get(window, "drift"), measure);
        cJSON *item = drift ? drift->child : NULL;
        while (item != NULL) {
            cJSON *next = item->next;
            const char *name = item->string ? item->string : "";
            if (bsearch(&name, names, LATHE_SLIM_FEATURES, sizeof *names, by_name) == NULL)
                cJSON_Delete(cJSON_DetachItemViaPointer(drift, item));
            item = next;
        }
    }
}

/* The features of one measure that drift most stay. Their names are copied: the nodes that hold them may go. */
static bool cut_measure(cJSON *windows, const char *measure, cJSON *counts) {
    size_t n = 0;
    drifting *found = collect_drift(windows, measure, &n);
    if (found == NULL)
        return false;
    if (n <= LATHE_SLIM_FEATURES) {
        free(found);
        return true;
    }
    char *names[LATHE_SLIM_FEATURES] = {0};
    bool fine = note_cut(counts, measure, (int)(n - LATHE_SLIM_FEATURES));
    qsort(found, n, sizeof *found, by_drift_falling);
    for (size_t i = 0; i < LATHE_SLIM_FEATURES; i++)
        fine = (names[i] = strdup(found[i].feature)) != NULL && fine;
    if (fine) {
        qsort(names, LATHE_SLIM_FEATURES, sizeof *names, by_name);
        drop_others(windows, measure, names);
    }
    for (size_t i = 0; i < LATHE_SLIM_FEATURES; i++)
        free(names[i]);
    free(found);
    return fine;
}

static bool slim_monitor(cJSON *monitor, cJSON *cut) {
    cJSON *windows = lathe_json_get(monitor, "windows"), *window, *measure;
    bool fine = note_cut(cut, "windows", cut_list(windows, LATHE_SLIM_WINDOWS, true));
    fine = note_cut(cut, "alerts",
                    cut_list(lathe_json_get(monitor, "alerts"), LATHE_SLIM_ALERTS, true)) &&
           fine;
    cJSON *counts = cJSON_CreateObject(), *seen = cJSON_CreateObject();
    cJSON_ArrayForEach(window, windows) {
        cJSON_ArrayForEach(measure, lathe_json_get(window, "drift")) {
            if (measure->string == NULL || lathe_json_get(seen, measure->string) != NULL)
                continue;
            fine = cJSON_AddTrueToObject(seen, measure->string) != NULL && fine;
            fine = cut_measure(windows, measure->string, counts) && fine;
        }
    }
    cJSON_Delete(seen);
    if (cJSON_GetArraySize(counts) > 0 && cJSON_AddItemToObject(cut, "features", counts))
        return fine;
    fine = fine && counts != NULL && counts->child == NULL;
    cJSON_Delete(counts);
    return fine;
}

/* ---- the report ---- */

bool lathe_slim_report(cJSON *report) {
    cJSON *prepare = lathe_json_get(report, "prepare");
    cJSON *cut = cJSON_CreateObject();
    bool fine = cut != NULL && slim_candidates(lathe_json_get(report, "candidates"));
    fine =
        fine && thin_residuals(lathe_json_get(lathe_json_get(report, "evaluation"), "residuals"));
    fine = fine && lathe_slim_profile(lathe_json_get(prepare, "profile"), cut);
    fine = fine && note_cut(cut, "types",
                            cut_list(lathe_json_get(prepare, "types"), LATHE_SLIM_COLUMNS, false));
    fine = fine && slim_monitor(lathe_json_get(report, "monitor"), cut);
    if (fine && cut->child != NULL && cJSON_AddItemToObject(report, "cut", cut))
        return true;
    fine = fine && cut->child == NULL;
    cJSON_Delete(cut);
    return fine;
}
