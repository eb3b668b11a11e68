/* data/baseline_json.c: a baseline as JSON, and back with every lie found. See baseline.h. */
#include "data/baseline.h"
#include "data/baseline_internal.h"
#include "data/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BINS_MOST (INT64_C(1) << 30)

/* ---- writing ---- */

/* All are finite but the bounds of empty bins, which are NaN. */
static cJSON *number_json(double x) {
    return isnan(x) ? cJSON_CreateNull() : cJSON_CreateNumber(x);
}

static bool add_numbers(cJSON *object, const char *key, const double *x, int64_t n) {
    cJSON *list = cJSON_AddArrayToObject(object, key);
    for (int64_t i = 0; list != NULL && i < n; i++) {
        cJSON *item = number_json(x[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return list != NULL;
}

static bool add_grid(cJSON *object, const char *key, const bin_grid *g) {
    cJSON *grid = cJSON_AddObjectToObject(object, key);
    return grid != NULL && add_numbers(grid, "edges", g->edges, g->n_bins - 1) &&
           add_numbers(grid, "counts", g->counts, g->n_bins) &&
           add_numbers(grid, "lower", g->lower, g->n_bins) &&
           add_numbers(grid, "upper", g->upper, g->n_bins);
}

static bool add_feature(cJSON *list, const baseline_feature *f) {
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    if (cJSON_AddStringToObject(object, "name", f->name) == NULL ||
        cJSON_AddStringToObject(object, "type", f->categorical ? "category" : "numeric") == NULL ||
        cJSON_AddNumberToObject(object, "missing", f->missing) == NULL)
        return false;
    if (f->categorical)
        return add_numbers(object, "counts", f->grid[0].counts, f->grid[0].n_bins);
    return add_grid(object, "coarse", &f->grid[0]) && add_grid(object, "fine", &f->grid[1]);
}

cJSON *lathe_baseline_to_json(const lathe_baseline *baseline) {
    cJSON *root = cJSON_CreateObject();
    bool good =
        root != NULL && cJSON_AddNumberToObject(root, "rows", (double)baseline->n_rows) != NULL;
    cJSON *list = good ? cJSON_AddArrayToObject(root, "features") : NULL;
    good = list != NULL;
    for (int64_t i = 0; good && i < baseline->n_features; i++)
        good = add_feature(list, &baseline->features[i]);
    if (!good) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

/* ---- reading ---- */

/* A weight: finite, not negative. */
static bool read_weight(const cJSON *json, double *x) {
    if (!cJSON_IsNumber(json) || !isfinite(json->valuedouble) || json->valuedouble < 0)
        return false;
    *x = json->valuedouble;
    return true;
}

static bool read_weights(const cJSON *list, double *x) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!read_weight(item, x++))
            return false;
    }
    return true;
}

/* Finite values, strictly ascending. */
static bool read_edges(const cJSON *list, double *x) {
    const cJSON *item;
    int64_t n = 0;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) ||
            (n > 0 && !(item->valuedouble > x[n - 1])))
            return false;
        x[n++] = item->valuedouble;
    }
    return true;
}

/* A finite value or null for each bin. */
static bool read_bounds(const cJSON *list, double *x) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsNull(item) && (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)))
            return false;
        *x++ = cJSON_IsNull(item) ? (double)NAN : item->valuedouble;
    }
    return true;
}

static int64_t list_size(const cJSON *object, const char *key, const cJSON **list) {
    *list = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsArray(*list) ? cJSON_GetArraySize(*list) : -1;
}

static int32_t read_grid(const cJSON *object, bin_grid *g) {
    const cJSON *edges, *counts, *lower, *upper;
    int64_t n = list_size(object, "counts", &counts);
    if (n < 1 || n > LATHE_BASELINE_FINE || list_size(object, "edges", &edges) != n - 1 ||
        list_size(object, "lower", &lower) != n || list_size(object, "upper", &upper) != n)
        return LATHE_E_CORRUPT;
    if (!grid_alloc(g, n, false, true))
        return LATHE_E_MEMORY;
    return read_edges(edges, g->edges) && read_weights(counts, g->counts) &&
                   read_bounds(lower, g->lower) && read_bounds(upper, g->upper)
               ? LATHE_OK
               : LATHE_E_CORRUPT;
}

static int32_t read_feature(const cJSON *json, baseline_feature *f) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "name");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type");
    const cJSON *counts;
    if (!cJSON_IsString(name) || !cJSON_IsString(type) || name->valuestring[0] == 0 ||
        !read_weight(cJSON_GetObjectItemCaseSensitive(json, "missing"), &f->missing))
        return LATHE_E_CORRUPT;
    f->name = strdup(name->valuestring);
    if (f->name == NULL)
        return LATHE_E_MEMORY;
    f->categorical = strcmp(type->valuestring, "category") == 0;
    if (!f->categorical) {
        if (strcmp(type->valuestring, "numeric") != 0)
            return LATHE_E_CORRUPT;
        int32_t code = read_grid(cJSON_GetObjectItemCaseSensitive(json, "coarse"), &f->grid[0]);
        return code == LATHE_OK
                   ? read_grid(cJSON_GetObjectItemCaseSensitive(json, "fine"), &f->grid[1])
                   : code;
    }
    int64_t n = list_size(json, "counts", &counts);
    if (n < 1 || n > BINS_MOST)
        return LATHE_E_CORRUPT;
    if (!grid_alloc(&f->grid[0], n, true, false))
        return LATHE_E_MEMORY;
    return read_weights(counts, f->grid[0].counts) ? LATHE_OK : LATHE_E_CORRUPT;
}

int32_t lathe_baseline_from_json(const cJSON *json, lathe_baseline **baseline, lathe_error *err) {
    const cJSON *list, *item;
    double rows;
    *baseline = NULL;
    int64_t n = list_size(json, "features", &list);
    if (!cJSON_IsObject(json) || n < 0 ||
        !read_weight(cJSON_GetObjectItemCaseSensitive(json, "rows"), &rows) || rows > 9e15)
        return lathe_fail(
            err, LATHE_E_CORRUPT, "baseline",
            "a baseline is an object with the number \"rows\" and the list \"features\"");
    lathe_baseline *b = baseline_alloc(n);
    if (b == NULL)
        return lathe_fail_memory(err, "baseline", "the baseline");
    b->n_rows = (int64_t)rows;
    cJSON_ArrayForEach(item, list) {
        char where[64];
        baseline_feature *f = &b->features[b->n_features++];
        int32_t code = read_feature(item, f);
        snprintf(where, sizeof where, "baseline/features/%lld", (long long)b->n_features - 1);
        if (code == LATHE_OK && lathe_baseline_find(b, f->name) != b->n_features - 1)
            code = LATHE_E_CORRUPT;
        if (code == LATHE_OK)
            continue;
        lathe_baseline_free(b);
        if (code == LATHE_E_MEMORY)
            return lathe_fail_memory(err, where, "the baseline");
        return lathe_fail(
            err, LATHE_E_CORRUPT, where,
            "the feature breaks a rule: a name of its own, a type, counts that are not "
            "negative, ascending edges, and lists whose lengths fit");
    }
    *baseline = b;
    return LATHE_OK;
}
