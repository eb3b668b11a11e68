#include "pipeline/rows.h"

#include "base/nearest.h"
#include "base/rng.h"
#include "base/size.h"
#include "plugin/call.h"

#include <lathe/split.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the rows");
}

/* Classes from the target's dictionary into job->classes. */
static int32_t set_classes(lathe_job *job, const lathe_column *target, lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    job->n_classes = target->dict_size;
    if (job->n_classes < 2)
        return lathe_fail(
            err, LATHE_E_DATA, "/goal/target",
            "the target \"%s\" has %lld class%s in the data; classification needs at least 2",
            goal->target, (long long)job->n_classes, job->n_classes == 1 ? "" : "es");
    if (job->n_classes > 10000)
        return lathe_fail(err, LATHE_E_DATA, "/goal/target",
                          "the target \"%s\" has %lld classes; at most 10000 are possible. Is it a "
                          "regression target?",
                          goal->target, (long long)job->n_classes);
    job->classes = lathe_arena_array(job->arena, (size_t)job->n_classes, sizeof *job->classes);
    if (job->classes == NULL)
        return no_memory(err);
    if (job->n_classes > 2 && goal->positive != NULL)
        return lathe_fail(
            err, LATHE_E_DATA, "/goal/positive",
            "\"positive\" is for two classes, and the target \"%s\" has %lld; leave it out",
            goal->target, (long long)job->n_classes);
    job->positive = job->n_classes == 2 && goal->positive == NULL ? 1 : -1;
    for (int64_t i = 0; i < job->n_classes; i++) {
        job->classes[i] =
            lathe_arena_strndup(job->arena, target->dict[i].ptr, (size_t)target->dict[i].len);
        if (job->classes[i] == NULL)
            return no_memory(err);
        if (goal->positive != NULL && strcmp(job->classes[i], goal->positive) == 0)
            job->positive = i;
    }
    if (goal->positive != NULL && job->positive < 0) {
        const char *near = lathe_nearest(goal->positive, job->classes, (size_t)job->n_classes);
        return lathe_fail(err, LATHE_E_DATA, "/goal/positive",
                          "no row has the class \"%s\" in \"%s\"%s%s%s", goal->positive,
                          goal->target, near ? "; did you mean \"" : "", near ? near : "",
                          near ? "\"?" : "");
    }
    return LATHE_OK;
}

int32_t lathe_rows_target(lathe_job *job, lathe_frame **frame, int64_t *target, int64_t *dropped,
                          lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    lathe_frame *kept = NULL;
    int32_t rc =
        lathe_table_need(lathe_frame_table(*frame), goal->target, "the target", target, err);
    if (rc != LATHE_OK) {
        lathe_error_wrap(err, "/goal/target");
        return rc;
    }
    rc = goal->classification ? lathe_frame_to_category(*frame, *target, err)
                              : lathe_frame_to_float64(*frame, *target, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_drop_missing(*frame, *target, &kept, dropped, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_frame_free(*frame);
    *frame = kept;
    if (lathe_frame_rows(kept) == 0)
        return lathe_fail(err, LATHE_E_DATA, "/goal/target",
                          "no row has a value of the target \"%s\"", goal->target);
    if (!goal->classification) {
        job->task = LATHE_TASK_REGRESSION;
        job->positive = -1;
        return LATHE_OK;
    }
    rc = lathe_frame_freeze(kept, *target, NULL, 0, err);
    if (rc == LATHE_OK)
        rc = set_classes(job, &lathe_frame_table(kept)->columns[*target], err);
    job->task = job->n_classes == 2 ? LATHE_TASK_BINARY : LATHE_TASK_MULTICLASS;
    return rc;
}

/* Asks the split plugin; part and fold are malloc'ed [n_rows]. */
static int32_t assign_parts(lathe_job *job, const lathe_frame *frame, int64_t target,
                            int32_t **part, int32_t **fold, lathe_error *err) {
    const lathe_table *table = lathe_frame_table(frame);
    size_t n = (size_t)table->n_rows;
    int64_t folds = 0;
    lathe_instance split = {0};
    *part = calloc(n, sizeof **part);
    *fold = calloc(n, sizeof **fold);
    if (*part == NULL || *fold == NULL)
        return no_memory(err);
    int32_t rc =
        lathe_instance_create(job->runtime, job->pipeline->prepare.split, 0, NULL, &split, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_call_split_folds(&split, &folds, err);
    if (rc == LATHE_OK) {
        lathe_split_input in = {.struct_size = LATHE_SIZED(lathe_split_input),
                                .task = job->task,
                                .table = table,
                                .target = &table->columns[target],
                                .row_id = lathe_frame_row_id(frame),
                                .key = lathe_rng_key(job->pipeline->seed, "split", 0)};
        rc = lathe_call_split(&split, &in, *part, folds > 0 ? *fold : NULL, err);
    }
    job->n_folds = (int32_t)folds;
    lathe_instance_destroy(&split);
    if (rc != LATHE_OK)
        lathe_error_wrap(err, "/prepare/split");
    return rc;
}

/* Is the column one that the split used up (a column that names the parts, or the group)? */
static bool used_by_split(const lathe_job *job, const char *column) {
    const lathe_component *split = job->pipeline->prepare.split;
    if (!(split->descriptor->flags & LATHE_SPLIT_USES_UP_COLUMN))
        return false;
    cJSON *tree = lathe_component_tree(split);
    const cJSON *params = tree ? tree->child : NULL;
    const cJSON *name = lathe_json_get(params, "column");
    bool used = cJSON_IsString(name) && strcmp(name->valuestring, column) == 0;
    cJSON_Delete(tree);
    return used;
}

/* Columns that are features: all but target, weight and what the split used up. malloc'ed. */
static int64_t *feature_columns(const lathe_job *job, const lathe_table *table, int64_t target,
                                int64_t weight, int64_t *n) {
    int64_t *columns = calloc((size_t)table->n_columns + 1, sizeof *columns);
    *n = 0;
    for (int64_t i = 0; columns != NULL && i < table->n_columns; i++)
        if (i != target && i != weight && !used_by_split(job, table->columns[i].name))
            columns[(*n)++] = i;
    return columns;
}

/* Weights of some rows as double; malloc'ed. */
static int32_t take_weights(const lathe_column *column, const int64_t *rows, int64_t n,
                            double **weight, lathe_error *err) {
    *weight = calloc((size_t)n, sizeof **weight);
    if (*weight == NULL)
        return no_memory(err);
    for (int64_t i = 0; i < n; i++) {
        double w = lathe_number_at(column, rows[i], NAN);
        if (!(w >= 0 && w < 1e300))
            return lathe_fail(err, LATHE_E_DATA, "/goal/weight",
                              "the weight column \"%s\" holds %g in row %lld; weights must be "
                              "numbers from 0 to 1e300",
                              column->name, w, (long long)rows[i] + 1);
        (*weight)[i] = w;
    }
    return LATHE_OK;
}

/* The target of a part as metrics take it. */
static int32_t take_truth(lathe_part *part, lathe_error *err) {
    const lathe_column *c = &lathe_frame_table(part->target)->columns[0];
    part->truth = calloc((size_t)part->n, sizeof *part->truth);
    if (part->truth == NULL)
        return no_memory(err);
    for (int64_t i = 0; i < part->n; i++)
        part->truth[i] = c->type == LATHE_COLUMN_CATEGORY ? (double)((const int32_t *)c->values)[i]
                                                          : ((const double *)c->values)[i];
    return LATHE_OK;
}

typedef struct split_view {
    const lathe_frame *frame, *features;
    int64_t target, weight;
    const int32_t *fold;
} split_view;

static int32_t fill_part(lathe_part *part, const split_view *v, const int64_t *rows, int64_t n,
                         bool with_folds, lathe_error *err) {
    lathe_frame *target_only = NULL;
    part->n = n;
    if (n == 0)
        return LATHE_OK;
    int32_t rc = lathe_frame_take(v->features, rows, n, &part->raw, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_select(v->frame, &v->target, 1, &target_only, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_take(target_only, rows, n, &part->target, err);
    lathe_frame_free(target_only);
    if (rc == LATHE_OK && v->weight >= 0)
        rc = take_weights(&lathe_frame_table(v->frame)->columns[v->weight], rows, n, &part->weight,
                          err);
    if (rc == LATHE_OK && with_folds) {
        part->fold = calloc((size_t)n, sizeof *part->fold);
        if (part->fold == NULL)
            return no_memory(err);
        for (int64_t i = 0; i < n; i++)
            part->fold[i] = v->fold[rows[i]];
    }
    return rc == LATHE_OK ? take_truth(part, err) : rc;
}

/* Every class must be in the training rows, or nothing can learn it. */
static int32_t check_classes(const lathe_job *job, lathe_error *err) {
    const lathe_part *train = &job->parts[PART_TRAIN];
    for (int64_t c = 0; c < job->n_classes; c++) {
        int64_t i = 0;
        while (i < train->n && train->truth[i] != (double)c)
            i++;
        if (i == train->n)
            return lathe_fail(
                err, LATHE_E_DATA, "/prepare/split",
                "no training row has the class \"%s\"; use a stratified split, or drop its rows",
                job->classes[c]);
    }
    return LATHE_OK;
}

static int32_t weight_column(const lathe_job *job, const lathe_table *table, int64_t *column,
                             lathe_error *err) {
    *column = -1;
    const char *name = job->pipeline->goal.weight_column;
    if (name == NULL)
        return LATHE_OK;
    int32_t rc = lathe_table_need(table, name, "the weight column", column, err);
    if (rc == LATHE_OK && !lathe_is_numeric(&table->columns[*column]))
        rc =
            lathe_fail(err, LATHE_E_DATA, NULL, "the weight column \"%s\" is not of numbers", name);
    return rc == LATHE_OK ? rc : lathe_error_wrap(err, "/goal/weight");
}

int32_t lathe_rows_split(lathe_job *job, lathe_frame *frame, int64_t target, lathe_error *err) {
    int32_t *part = NULL, *fold = NULL;
    int64_t *rows = NULL, *columns = NULL, n_columns = 0, weight = -1;
    lathe_frame *features = NULL;
    const int64_t n = lathe_frame_rows(frame);
    int32_t rc = weight_column(job, lathe_frame_table(frame), &weight, err);
    if (rc == LATHE_OK)
        rc = assign_parts(job, frame, target, &part, &fold, err);
    if (rc != LATHE_OK)
        goto done;
    rows = calloc((size_t)n, sizeof *rows);
    columns = feature_columns(job, lathe_frame_table(frame), target, weight, &n_columns);
    if (rows == NULL || columns == NULL) {
        rc = no_memory(err);
        goto done;
    }
    rc = lathe_frame_select(frame, columns, n_columns, &features, err);
    for (int p = 0; rc == LATHE_OK && p < N_PARTS; p++) {
        int64_t m = 0;
        for (int64_t i = 0; i < n; i++)
            if (part[i] == p)
                rows[m++] = i;
        if (p == PART_TRAIN && m == 0)
            rc = lathe_fail(err, LATHE_E_DATA, "/prepare/split",
                            "the split leaves no row for training");
        if (p == PART_TRAIN && rc == LATHE_OK)
            rc = lathe_frame_freeze_all(features, rows, m, err);
        const split_view view = {frame, features, target, weight, fold};
        if (rc == LATHE_OK)
            rc =
                fill_part(&job->parts[p], &view, rows, m, p == PART_TRAIN && job->n_folds > 0, err);
    }
    if (rc == LATHE_OK)
        rc = check_classes(job, err);
    if (rc == LATHE_OK)
        rc = lathe_schema_from_table(lathe_frame_table(job->parts[PART_TRAIN].raw), &job->schema,
                                     err);
done:
    lathe_frame_free(features);
    free(columns);
    free(rows);
    free(fold);
    free(part);
    return rc;
}

/* Weight of each class: given, or balanced: n / (k n_c). */
static int32_t class_weights(const lathe_job *job, double *weight, lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    const lathe_part *train = &job->parts[PART_TRAIN];
    for (int64_t c = 0; c < job->n_classes; c++)
        weight[c] = goal->balanced ? 0 : 1;
    if (goal->balanced) {
        for (int64_t i = 0; i < train->n; i++)
            weight[(int64_t)train->truth[i]] += 1;
        for (int64_t c = 0; c < job->n_classes; c++)
            weight[c] = (double)train->n / ((double)job->n_classes * weight[c]);
    }
    for (size_t i = 0; i < goal->n_class_weights; i++) {
        int64_t c = 0;
        while (c < job->n_classes && strcmp(job->classes[c], goal->class_weights[i].value) != 0)
            c++;
        if (c == job->n_classes)
            return lathe_fail(err, LATHE_E_DATA, "/goal/class_weight",
                              "no row has the class \"%s\"", goal->class_weights[i].value);
        weight[c] = goal->class_weights[i].weight;
    }
    return LATHE_OK;
}

int32_t lathe_rows_weights(const lathe_job *job, const lathe_part *part, double **weight,
                           lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    *weight = NULL;
    if (part->weight == NULL && !goal->balanced && goal->n_class_weights == 0)
        return LATHE_OK;
    double *by_class = calloc((size_t)job->n_classes + 1, sizeof *by_class);
    *weight = calloc((size_t)part->n + 1, sizeof **weight);
    int32_t rc = by_class && *weight ? class_weights(job, by_class, err) : no_memory(err);
    for (int64_t i = 0; rc == LATHE_OK && i < part->n; i++) {
        (*weight)[i] = part->weight ? part->weight[i] : 1;
        if (job->n_classes > 0)
            (*weight)[i] *= by_class[(int64_t)part->truth[i]];
    }
    free(by_class);
    if (rc != LATHE_OK) {
        free(*weight);
        *weight = NULL;
    }
    return rc;
}
