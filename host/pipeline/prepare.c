/* The step "prepare": source → rows with a target → parts → transforms fitted on the training part → datasets. */
#include "base/clock.h"
#include "base/rng.h"
#include "data/profile.h"
#include "pipeline/digest.h"
#include "pipeline/job.h"
#include "pipeline/read.h"
#include "pipeline/rows.h"

#include <stdlib.h>

static void report_source(lathe_job *job, const lathe_frame *frame, const lathe_read_note *note) {
    cJSON *section = lathe_job_section(job, "prepare");
    cJSON *source = cJSON_AddObjectToObject(section, "source");
    cJSON_AddNumberToObject(source, "rows", (double)note->rows);
    cJSON_AddNumberToObject(source, "bytes", (double)note->bytes);
    cJSON_AddNumberToObject(source, "skipped", (double)note->skipped);
    cJSON_AddStringToObject(source, "note", note->text);
    cJSON *types = cJSON_AddArrayToObject(section, "types");
    const lathe_table *table = lathe_frame_table(frame);
    for (int64_t c = 0; c < table->n_columns; c++) {
        int64_t missing = 0;
        for (int64_t i = 0; i < table->n_rows; i++)
            missing += lathe_is_missing(&table->columns[c], i);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", table->columns[c].name);
        cJSON_AddStringToObject(item, "type", lathe_type_name(table->columns[c].type));
        cJSON_AddNumberToObject(item, "missing", (double)missing);
        if (table->columns[c].type == LATHE_COLUMN_CATEGORY)
            cJSON_AddNumberToObject(item, "distinct", (double)table->columns[c].dict_size);
        cJSON_AddItemToArray(types, item);
    }
}

static void add_dropped(lathe_job *job, const char *reason, int64_t rows) {
    cJSON *section = lathe_job_section(job, "prepare");
    cJSON *list = lathe_json_get(section, "rows_dropped");
    if (list == NULL)
        list = cJSON_AddArrayToObject(section, "rows_dropped");
    if (rows == 0)
        return;
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "reason", reason);
    cJSON_AddNumberToObject(item, "rows", (double)rows);
    cJSON_AddItemToArray(list, item);
}

/* Target distribution of each part: counts by class, or mean, minimum and maximum. */
static cJSON *describe_target(const lathe_job *job, const lathe_part *part) {
    cJSON *out = cJSON_CreateObject();
    double sum = 0, low = 0, high = 0;
    if (job->n_classes > 0) {
        double *counts = calloc((size_t)job->n_classes, sizeof *counts);
        for (int64_t i = 0; counts != NULL && i < part->n; i++)
            counts[(int64_t)part->truth[i]] += 1;
        for (int64_t c = 0; counts != NULL && c < job->n_classes; c++)
            cJSON_AddNumberToObject(out, job->classes[c], counts[c]);
        free(counts);
        return out;
    }
    for (int64_t i = 0; i < part->n; i++) {
        double t = part->truth[i];
        sum += t;
        low = i == 0 || t < low ? t : low;
        high = i == 0 || t > high ? t : high;
    }
    cJSON_AddNumberToObject(out, "mean", sum / (double)part->n);
    cJSON_AddNumberToObject(out, "min", low);
    cJSON_AddNumberToObject(out, "max", high);
    return out;
}

static void report_split(lathe_job *job) {
    static const char *const names[N_PARTS] = {"train", "validation", "test"};
    cJSON *section = lathe_job_section(job, "prepare");
    cJSON *split = cJSON_AddObjectToObject(section, "split");
    cJSON *target = cJSON_AddObjectToObject(section, "target");
    for (int p = 0; p < N_PARTS; p++) {
        cJSON_AddNumberToObject(split, names[p], (double)job->parts[p].n);
        if (job->parts[p].n > 0)
            cJSON_AddItemToObject(target, names[p], describe_target(job, &job->parts[p]));
    }
    cJSON_AddNumberToObject(split, "folds", job->n_folds);
}

static void report_chain(lathe_job *job) {
    const lathe_chain_step *steps;
    size_t n = lathe_chain_steps(job->chain, &steps);
    cJSON *list = cJSON_AddArrayToObject(lathe_job_section(job, "prepare"), "transforms");
    for (size_t i = 0; i < n; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "plugin", steps[i].plugin);
        cJSON_AddNumberToObject(item, "rows_in", (double)steps[i].rows_in);
        cJSON_AddNumberToObject(item, "rows_out", (double)steps[i].rows_out);
        cJSON_AddNumberToObject(item, "columns_in", (double)steps[i].columns_in);
        cJSON_AddNumberToObject(item, "columns_out", (double)steps[i].columns_out);
        cJSON_AddNumberToObject(item, "filled", (double)steps[i].filled);
        cJSON_AddNumberToObject(item, "seconds", steps[i].seconds);
        cJSON_AddItemToArray(list, item);
        if (steps[i].rows_out < steps[i].rows_in)
            add_dropped(job, steps[i].plugin, steps[i].rows_in - steps[i].rows_out);
    }
}

/* Training rows that the transforms kept: everything that belongs to a row follows. */
static int32_t keep_rows(lathe_part *part, const int64_t *kept, int64_t n, lathe_error *err) {
    lathe_frame *raw = NULL, *target = NULL;
    int32_t rc = lathe_frame_take(part->raw, kept, n, &raw, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_take(part->target, kept, n, &target, err);
    double *truth = calloc((size_t)n + 1, sizeof *truth);
    double *weight = part->weight ? calloc((size_t)n + 1, sizeof *weight) : NULL;
    int32_t *fold = part->fold ? calloc((size_t)n + 1, sizeof *fold) : NULL;
    if (rc == LATHE_OK && (!truth || (part->weight && !weight) || (part->fold && !fold)))
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the rows");
    if (rc != LATHE_OK) {
        lathe_frame_free(raw);
        lathe_frame_free(target);
        free(truth);
        free(weight);
        free(fold);
        return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        truth[i] = part->truth[kept[i]];
        if (weight != NULL)
            weight[i] = part->weight[kept[i]];
        if (fold != NULL)
            fold[i] = part->fold[kept[i]];
    }
    lathe_frame_free(part->raw);
    lathe_frame_free(part->target);
    free(part->truth);
    free(part->weight);
    free(part->fold);
    *part = (lathe_part){.n = n,
                         .raw = raw,
                         .target = target,
                         .weight = weight,
                         .fold = fold,
                         .truth = truth,
                         .prepared = part->prepared};
    return LATHE_OK;
}

static int32_t fit_chain(lathe_job *job, lathe_error *err) {
    lathe_part *train = &job->parts[PART_TRAIN];
    double *weight = NULL;
    int64_t *kept = NULL, n_kept = 0;
    int32_t rc = lathe_rows_weights(job, train, &weight, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_chain_data data = {.rows = train->raw,
                                   .target = train->target,
                                   .weight = weight,
                                   .fold = train->fold,
                                   .n_folds = job->n_folds,
                                   .task = job->task,
                                   .key = lathe_rng_key(job->pipeline->seed, "prepare", 0)};
    const lathe_prepare *prepare = &job->pipeline->prepare;
    rc = lathe_chain_fit(job->runtime, prepare->transforms, prepare->n_transforms, &data,
                         &job->chain, &train->prepared, &kept, &n_kept, err);
    free(weight);
    if (rc == LATHE_OK && n_kept == 0)
        rc = lathe_fail(err, LATHE_E_DATA, "/prepare/transforms",
                        "the transforms dropped every training row");
    if (rc == LATHE_OK && n_kept != train->n)
        rc = keep_rows(train, kept, n_kept, err);
    free(kept);
    for (int p = PART_VALIDATION; rc == LATHE_OK && p < N_PARTS; p++)
        if (job->parts[p].n > 0)
            rc = lathe_chain_apply(job->chain, job->parts[p].raw, &job->parts[p].prepared, err);
    return rc;
}

static int32_t make_datasets(lathe_job *job, lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (int p = 0; rc == LATHE_OK && p < N_PARTS; p++) {
        lathe_part *part = &job->parts[p];
        double *weight = NULL;
        if (part->n == 0)
            continue;
        rc = lathe_rows_weights(job, part, &weight, err);
        if (rc != LATHE_OK)
            return rc;
        const lathe_dataset_source source = {
            .table = lathe_frame_table(part->prepared),
            .target_column = -1,
            .target = &lathe_frame_table(part->target)->columns[0],
            .weight = weight,
            .row_id = lathe_frame_row_id(part->raw),
            .task = job->task,
            .n_classes = job->n_classes,
        };
        rc = lathe_dataset_from_table(job->pool, &source, &part->data, err);
        free(weight);
    }
    return rc == LATHE_OK ? rc : lathe_error_wrap(err, "/prepare");
}

/* Facts for the store: which files with which content, which plugins. */
static int32_t send_facts(lathe_job *job, lathe_error *err) {
    const lathe_pipeline *p = job->pipeline;
    cJSON *data = cJSON_CreateObject(), *plugins = cJSON_CreateObject();
    int32_t rc = lathe_digest_files(p->prepare.source, data, err);
    if (rc == LATHE_OK)
        rc = lathe_digest_data(job, data, err);
    lathe_digest_plugins(p->prepare.source, plugins);
    lathe_digest_plugins(p->prepare.split, plugins);
    for (size_t i = 0; i < p->prepare.n_transforms; i++)
        lathe_digest_plugins(p->prepare.transforms[i], plugins);
    for (size_t i = 0; i < p->n_candidates; i++)
        lathe_digest_plugins(p->candidates[i].component, plugins);
    if (rc != LATHE_OK) {
        cJSON_Delete(data);
        cJSON_Delete(plugins);
        return rc;
    }
    cJSON *facts = lathe_link_event("facts");
    cJSON_AddItemToObject(facts, "data", data);
    cJSON_AddItemToObject(facts, "plugins", plugins);
    cJSON *reply = lathe_link_ask(job->link, facts, err);
    cJSON_Delete(reply);
    return reply != NULL ? LATHE_OK : err->code;
}

static int32_t add_profile(lathe_job *job, const lathe_frame *frame, lathe_error *err) {
    cJSON *profile = NULL;
    if (!job->pipeline->prepare.profile)
        return LATHE_OK;
    int32_t rc = lathe_profile_table(job->pool, lathe_frame_table(frame),
                                     job->pipeline->goal.target, &profile, err);
    if (rc == LATHE_OK)
        cJSON_AddItemToObject(lathe_job_section(job, "prepare"), "profile", profile);
    return rc;
}

/* What was changed, in words, for the terminal and the log. */
static void tell_changes(lathe_job *job) {
    const lathe_chain_step *steps;
    const size_t n = lathe_chain_steps(job->chain, &steps);
    for (size_t i = 0; i < n; i++) {
        if (steps[i].rows_out < steps[i].rows_in)
            lathe_job_log(job, LATHE_LOG_INFO, "%s: %lld training rows dropped", steps[i].plugin,
                          (long long)(steps[i].rows_in - steps[i].rows_out));
        if (steps[i].filled > 0)
            lathe_job_log(job, LATHE_LOG_INFO, "%s: %lld missing values filled", steps[i].plugin,
                          (long long)steps[i].filled);
    }
}

static void summarize(lathe_job *job, const lathe_read_note *note, int64_t dropped) {
    if (dropped > 0)
        lathe_job_log(job, LATHE_LOG_INFO, "%lld rows without a target dropped",
                      (long long)dropped);
    lathe_job_log(job, LATHE_LOG_INFO,
                  "%lld rows; %lld to train, %lld to validate, %lld to test; %lld features",
                  (long long)note->rows, (long long)job->parts[PART_TRAIN].n,
                  (long long)job->parts[PART_VALIDATION].n, (long long)job->parts[PART_TEST].n,
                  (long long)lathe_dataset_features(job->parts[PART_TRAIN].data));
}

int32_t lathe_job_prepare(lathe_job *job, lathe_error *err) {
    lathe_frame *frame = NULL;
    lathe_read_note note = {0};
    int64_t target = 0, dropped = 0;
    const double start = lathe_now_seconds();
    lathe_job_begin(job, "prepare");
    int32_t rc = send_facts(job, err);
    if (rc == LATHE_OK)
        rc = lathe_read_source(job->runtime, job->pipeline->prepare.source, &frame, &note, err);
    if (rc == LATHE_OK)
        report_source(job, frame, &note);
    if (rc == LATHE_OK)
        rc = lathe_rows_target(job, &frame, &target, &dropped, err);
    if (rc == LATHE_OK)
        add_dropped(job, "no target", dropped);
    if (rc == LATHE_OK && !lathe_job_stopped(job))
        rc = add_profile(job, frame, err);
    if (rc == LATHE_OK)
        rc = lathe_rows_split(job, frame, target, err);
    lathe_frame_free(frame);
    if (rc == LATHE_OK)
        rc = fit_chain(job, err);
    if (rc == LATHE_OK)
        rc = make_datasets(job, err);
    if (rc == LATHE_OK) {
        report_split(job);
        report_chain(job);
        summarize(job, &note, dropped);
        tell_changes(job);
    }
    lathe_job_end(job, rc == LATHE_OK ? "finished" : "failed", lathe_now_seconds() - start);
    return rc;
}
