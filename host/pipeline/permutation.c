/* Permutation importance; see importance.h. */
#include "base/rng.h"
#include "pipeline/importance.h"
#include "pipeline/predict.h"
#include "pipeline/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct permutation {
    lathe_job *job;
    const lathe_trained *trained;
    const lathe_part *part;
    int64_t n;
    int64_t *rows;          /* [n] of the part, ascending */
    double *truth, *weight; /* [n] of them; weight NULL: all 1 */
    lathe_frame *base;      /* [REPEATS * n] these rows, as often as there are repeats */
    double score;
} permutation;

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the permutation importance");
}

static const lathe_part *choose_part(const lathe_job *job, const char **name) {
    const int p = job->parts[PART_VALIDATION].n > 0 ? PART_VALIDATION
                  : job->parts[PART_TEST].n > 0     ? PART_TEST
                                                    : PART_TRAIN;
    *name = p == PART_VALIDATION ? "validation" : p == PART_TEST ? "test" : "train";
    return &job->parts[p];
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Which rows, and what is true of them. */
static int32_t choose_rows(permutation *p, lathe_error *err) {
    const lathe_part *part = p->part;
    const size_t all = (size_t)part->n;
    p->n = part->n < LATHE_PERMUTATION_ROWS ? part->n : LATHE_PERMUTATION_ROWS;
    const size_t n = (size_t)p->n;
    int64_t *repeated = calloc(n * LATHE_PERMUTATION_REPEATS + 1, sizeof *repeated);
    p->rows = calloc(all + 1, sizeof *p->rows);
    p->truth = calloc(n + 1, sizeof *p->truth);
    p->weight = part->weight ? calloc(n + 1, sizeof *p->weight) : NULL;
    int32_t rc = LATHE_OK;
    if (!repeated || !p->rows || !p->truth || (part->weight && !p->weight))
        rc = no_memory(err);
    for (size_t i = 0; rc == LATHE_OK && i < all; i++)
        p->rows[i] = (int64_t)i;
    if (rc == LATHE_OK && p->n < part->n) {
        lathe_rng_shuffle(lathe_rng_key(p->job->pipeline->seed, "permutation", 0), p->rows,
                          part->n);
        qsort(p->rows, n, sizeof *p->rows, by_number);
    }
    for (size_t i = 0; rc == LATHE_OK && i < n; i++) {
        p->truth[i] = part->truth[p->rows[i]];
        if (p->weight)
            p->weight[i] = part->weight[p->rows[i]];
    }
    for (size_t i = 0; rc == LATHE_OK && i < n * LATHE_PERMUTATION_REPEATS; i++)
        repeated[i] = p->rows[i % n];
    if (rc == LATHE_OK)
        rc = lathe_frame_take(part->raw, repeated, p->n * LATHE_PERMUTATION_REPEATS, &p->base, err);
    free(repeated);
    return rc;
}

/* The goal's metric of each repeat in these raw rows. */
static int32_t score_repeats(const permutation *p, const lathe_frame *frame,
                             double score[LATHE_PERMUTATION_REPEATS], lathe_error *err) {
    lathe_job *job = p->job;
    lathe_prediction all = {0};
    int32_t rc = lathe_job_predict_raw(job, &p->trained->learner, frame, &all, err);
    for (int64_t r = 0; rc == LATHE_OK && r < LATHE_PERMUTATION_REPEATS; r++) {
        const lathe_prediction one = {
            .n = p->n,
            .n_classes = all.n_classes,
            .value = all.value ? all.value + r * p->n : NULL,
            .probability = all.probability ? all.probability + r * p->n * all.n_classes : NULL,
            .label = all.label ? all.label + r * p->n : NULL};
        lathe_scores scores = {0};
        rc = lathe_score(job, p->n, p->truth, p->weight, &one, &scores, err);
        if (rc == LATHE_OK)
            score[r] = scores.values[0];
    }
    lathe_prediction_free(&all);
    return rc;
}

/* The rows with the values of one column shuffled, in each repeat anew. */
static int32_t shuffled_frame(const permutation *p, int64_t column, lathe_frame **out,
                              lathe_error *err) {
    const lathe_table *table = lathe_frame_table(p->part->raw);
    const int64_t rows = p->n * LATHE_PERMUTATION_REPEATS;
    const uint64_t key = lathe_rng_key(p->job->pipeline->seed, table->columns[column].name, 1);
    lathe_frame *one = NULL, *changed = NULL;
    int64_t *from = calloc((size_t)rows + 1, sizeof *from);
    *out = NULL;
    int32_t rc = from ? LATHE_OK : no_memory(err);
    for (int64_t r = 0; rc == LATHE_OK && r < LATHE_PERMUTATION_REPEATS; r++) {
        memcpy(from + r * p->n, p->rows, (size_t)p->n * sizeof *from);
        lathe_rng_shuffle(lathe_rng_key(key, "repeat", (uint64_t)r), from + r * p->n, p->n);
    }
    if (rc == LATHE_OK)
        rc = lathe_frame_select(p->part->raw, &column, 1, &one, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_take(one, from, rows, &changed, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_new(rows, NULL, out, err);
    for (int64_t c = 0; rc == LATHE_OK && c < table->n_columns; c++)
        rc = c == column ? lathe_frame_share_column(*out, changed, 0, NULL, err)
                         : lathe_frame_share_column(*out, p->base, c, NULL, err);
    lathe_frame_free(changed);
    lathe_frame_free(one);
    free(from);
    return rc;
}

typedef struct drop {
    const char *feature;
    double mean, sd;
} drop;

static int by_mean_falling(const void *a, const void *b) {
    const drop *x = a, *y = b;
    return x->mean != y->mean ? (x->mean < y->mean) - (x->mean > y->mean)
                              : strcmp(x->feature, y->feature);
}

static int32_t measure(const permutation *p, int64_t column, drop *d, lathe_error *err) {
    const double sign = p->job->pipeline->goal.metrics[0].higher_is_better ? 1 : -1;
    double score[LATHE_PERMUTATION_REPEATS], square = 0;
    lathe_frame *frame = NULL;
    int32_t rc = lathe_job_stopped(p->job)
                     ? lathe_fail(err, LATHE_E_CANCELLED, p->job->step, "stopped")
                     : shuffled_frame(p, column, &frame, err);
    if (rc == LATHE_OK)
        rc = score_repeats(p, frame, score, err);
    lathe_frame_free(frame);
    if (rc != LATHE_OK)
        return rc;
    d->feature = lathe_frame_table(p->part->raw)->columns[column].name;
    d->mean = 0;
    for (int r = 0; r < LATHE_PERMUTATION_REPEATS; r++)
        d->mean += sign * (p->score - score[r]) / LATHE_PERMUTATION_REPEATS;
    for (int r = 0; r < LATHE_PERMUTATION_REPEATS; r++) {
        double e = sign * (p->score - score[r]) - d->mean;
        square += e * e / LATHE_PERMUTATION_REPEATS;
    }
    d->sd = sqrt(square);
    return LATHE_OK;
}

/* Is this column to be shuffled? */
static bool is_wanted(const permutation *p, const char *name) {
    const cJSON *item;
    if (lathe_frame_columns(p->part->raw) <= LATHE_PERMUTATION_FEATURES)
        return true;
    cJSON_ArrayForEach(item, p->trained->importance) {
        const cJSON *feature = lathe_json_get(item, "feature");
        if (cJSON_IsString(feature) && strcmp(feature->valuestring, name) == 0)
            return true;
    }
    return false;
}

static int32_t measure_all(permutation *p, drop *drops, int64_t *n, lathe_error *err) {
    const lathe_table *table = lathe_frame_table(p->part->raw);
    double score[LATHE_PERMUTATION_REPEATS];
    int32_t rc = score_repeats(p, p->base, score, err);
    p->score = rc == LATHE_OK ? score[0] : NAN;
    for (int64_t c = 0; rc == LATHE_OK && !isnan(p->score) && c < table->n_columns; c++) {
        if (!is_wanted(p, table->columns[c].name))
            continue;
        rc = measure(p, c, &drops[*n], err);
        *n += rc == LATHE_OK && !isnan(drops[*n].mean);
    }
    return rc;
}

static cJSON *describe(const permutation *p, const char *part, const drop *drops, int64_t n) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "metric", p->job->pipeline->goal.metrics[0].name);
    cJSON_AddStringToObject(out, "part", part);
    cJSON_AddNumberToObject(out, "rows", (double)p->n);
    cJSON_AddNumberToObject(out, "repeats", LATHE_PERMUTATION_REPEATS);
    cJSON_AddNumberToObject(out, "score", p->score);
    cJSON *list = cJSON_AddArrayToObject(out, "features");
    for (int64_t i = 0; i < n; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "feature", drops[i].feature);
        cJSON_AddNumberToObject(item, "drop", drops[i].mean);
        cJSON_AddNumberToObject(item, "sd", drops[i].sd);
        cJSON_AddItemToArray(list, item);
    }
    return out;
}

int32_t lathe_permutation_of(lathe_job *job, const lathe_trained *trained, cJSON **out,
                             lathe_error *err) {
    const char *name;
    permutation p = {.job = job, .trained = trained, .part = choose_part(job, &name)};
    const int64_t columns = lathe_frame_columns(p.part->raw);
    int64_t n = 0;
    *out = NULL;
    if (columns > LATHE_PERMUTATION_FEATURES && trained->importance == NULL)
        return LATHE_OK;
    drop *drops = calloc((size_t)columns + 1, sizeof *drops);
    int32_t rc = drops ? choose_rows(&p, err) : no_memory(err);
    if (rc == LATHE_OK)
        rc = measure_all(&p, drops, &n, err);
    if (rc == LATHE_OK && n > 0) {
        qsort(drops, (size_t)n, sizeof *drops, by_mean_falling);
        *out = describe(&p, name, drops, n);
    }
    lathe_frame_free(p.base);
    free(p.weight);
    free(p.truth);
    free(p.rows);
    free(drops);
    return rc;
}
