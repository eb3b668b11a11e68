#include "pipeline/importance.h"

#include "pipeline/origins.h"
#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 50

/* In the order in which one of them becomes the share. */
static const struct {
    int32_t type;
    const char *name;
} measures[] = {{LATHE_IMPORTANCE_GAIN, "gain"},
                {LATHE_IMPORTANCE_SPLITS, "splits"},
                {LATHE_IMPORTANCE_WEIGHT, "weight"}};

enum { N_MEASURES = sizeof measures / sizeof *measures };

typedef struct ranked_column {
    const char *name;
    double value;
    int64_t at;
} ranked_column;

static int by_value_falling(const void *a, const void *b) {
    double x = ((const ranked_column *)a)->value, y = ((const ranked_column *)b)->value;
    return x != y ? (x < y) - (x > y)
                  : strcmp(((const ranked_column *)a)->name, ((const ranked_column *)b)->name);
}

/* The largest, as the report has them. values[m]: of all raw columns, where has[m]. */
static cJSON *list_largest(const lathe_table *raw, const double *values[N_MEASURES],
                           const bool has[N_MEASURES], ranked_column *ranks) {
    const int64_t n = raw->n_columns;
    size_t main = 0;
    double sum = 0;
    while (main < N_MEASURES && !has[main])
        main++;
    for (int64_t i = 0; main < N_MEASURES && i < n; i++) {
        ranks[i] = (ranked_column){raw->columns[i].name, fabs(values[main][i]), i};
        sum += ranks[i].value;
    }
    if (!(sum > 0) || !isfinite(sum))
        return NULL;
    qsort(ranks, (size_t)n, sizeof *ranks, by_value_falling);
    cJSON *list = cJSON_CreateArray();
    for (int64_t i = 0; i < n && i < MOST && ranks[i].value > 0; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "feature", ranks[i].name);
        cJSON_AddNumberToObject(item, "value", ranks[i].value / sum);
        for (size_t m = 0; m < N_MEASURES; m++)
            if (has[m])
                cJSON_AddNumberToObject(item, measures[m].name, values[m][ranks[i].at]);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

int32_t lathe_importance_of(lathe_job *job, const lathe_instance *learner, cJSON **list,
                            lathe_error *err) {
    const int64_t n = lathe_dataset_features(job->parts[PART_TRAIN].data);
    const lathe_table *raw = lathe_frame_table(job->parts[PART_TRAIN].raw);
    const size_t columns = (size_t)raw->n_columns;
    bool has[N_MEASURES] = {false}, any = false;
    const double *values[N_MEASURES];
    *list = NULL;
    if (job->origins == NULL) {
        int32_t rc = lathe_origins_find(job, &job->origins, err);
        if (rc != LATHE_OK)
            return rc;
    }
    double *prepared = calloc((size_t)n + 1, sizeof *prepared);
    double *sums = calloc(columns * N_MEASURES + 1, sizeof *sums);
    ranked_column *ranks = calloc(columns + 1, sizeof *ranks);
    int32_t rc = prepared && sums && ranks
                     ? LATHE_OK
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the importances");
    for (size_t m = 0; rc == LATHE_OK && m < N_MEASURES; m++) {
        values[m] = sums + m * columns;
        has[m] = job->origins->n_prepared == n &&
                 lathe_call_importance(learner, measures[m].type, n, prepared, NULL) == LATHE_OK;
        if (has[m])
            lathe_origins_add_up(job->origins, prepared, sums + m * columns);
        any = any || has[m];
    }
    if (rc == LATHE_OK && any)
        *list = list_largest(raw, values, has, ranks);
    free(ranks);
    free(sums);
    free(prepared);
    return rc;
}
