/* The step "evaluate": the leaderboard and the pictures of the selected candidate; and the run's result object. */
#include "pipeline/importance.h"
#include "pipeline/score.h"

#include <math.h>

static void add_scores(const lathe_job *job, cJSON *item, const lathe_trained *t) {
    if (t->scores[PART_VALIDATION].present)
        cJSON_AddItemToObject(item, "validation",
                              lathe_scores_json(job, &t->scores[PART_VALIDATION]));
    if (t->scores[PART_TEST].present)
        cJSON_AddItemToObject(item, "test", lathe_scores_json(job, &t->scores[PART_TEST]));
}

static void report_candidates(lathe_job *job) {
    cJSON *list = cJSON_AddArrayToObject(job->report, "candidates");
    for (size_t i = 0; i < job->n_trained; i++) {
        const lathe_trained *t = &job->trained[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", t->name);
        cJSON_AddStringToObject(item, "plugin", t->component->descriptor->id);
        cJSON_AddItemToObject(item, "component", lathe_component_tree(t->component));
        cJSON_AddStringToObject(item, "status",
                                t->error.code ? "failed"
                                : t->cached   ? "cached"
                                              : "trained");
        if (t->error.code != 0) {
            cJSON_AddStringToObject(item, "error", t->error.message);
            cJSON_AddStringToObject(item, "where", t->error.where);
        }
        cJSON_AddNumberToObject(item, "seconds", t->seconds);
        add_scores(job, item, t);
        if (t->curves != NULL)
            cJSON_AddItemToObject(item, "curves", cJSON_Duplicate(t->curves, 1));
        if (t->importance != NULL)
            cJSON_AddItemToObject(item, "importance", cJSON_Duplicate(t->importance, 1));
        cJSON_AddItemToArray(list, item);
    }
    cJSON_AddStringToObject(job->report, "selected", job->trained[job->selected].name);
}

/* What the selected model owes to each column; a report without it is a report. */
static int32_t report_permutation(lathe_job *job, const lathe_trained *best, lathe_error *err) {
    lathe_error why = {0};
    int32_t rc = lathe_permutation_of(job, best, &job->permutation, &why);
    if (rc == LATHE_E_CANCELLED) {
        *err = why;
        return rc;
    }
    if (rc != LATHE_OK)
        lathe_job_log(job, LATHE_LOG_WARN, "no permutation importance of \"%s\": %s", best->name,
                      why.message);
    if (job->permutation != NULL)
        cJSON_AddItemToObject(job->report, "permutation", cJSON_Duplicate(job->permutation, 1));
    return LATHE_OK;
}

static void report_goal(lathe_job *job) {
    const lathe_goal *goal = &job->pipeline->goal;
    cJSON *section = lathe_job_section(job, "goal");
    cJSON_AddStringToObject(section, "task",
                            job->task == LATHE_TASK_REGRESSION ? "regression"
                            : job->task == LATHE_TASK_BINARY   ? "binary classification"
                                                               : "multiclass classification");
    cJSON_AddStringToObject(section, "target", goal->target);
    cJSON_AddStringToObject(section, "metric", goal->metrics[0].name);
    cJSON_AddBoolToObject(section, "higher_is_better", goal->metrics[0].higher_is_better);
    cJSON *classes = cJSON_AddArrayToObject(section, "classes");
    for (int64_t i = 0; i < job->n_classes; i++)
        cJSON_AddItemToArray(classes, cJSON_CreateString(job->classes[i]));
    if (job->positive >= 0)
        cJSON_AddStringToObject(section, "positive", job->classes[job->positive]);
}

int32_t lathe_job_evaluate(lathe_job *job, lathe_error *err) {
    static const char *const names[N_PARTS] = {"train", "validation", "test"};
    const lathe_trained *best = &job->trained[job->selected];
    const int p = job->parts[PART_TEST].n > 0 ? PART_TEST : PART_VALIDATION;
    const bool folds = job->parts[p].n == 0; /* predictions of the training rows by the folds */
    const lathe_part *part = folds ? &job->parts[PART_TRAIN] : &job->parts[p];
    report_goal(job);
    report_candidates(job);
    cJSON *evaluation = lathe_picture(job, part->n, part->truth, &best->predictions[p]);
    if (evaluation == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the evaluation");
    cJSON_AddStringToObject(evaluation, "part", folds ? "cross-validation" : names[p]);
    cJSON_AddNumberToObject(evaluation, "rows", (double)part->n);
    cJSON_AddItemToObject(job->report, "evaluation", evaluation);
    return report_permutation(job, best, err);
}

cJSON *lathe_job_result(const lathe_job *job) {
    cJSON *result = cJSON_CreateObject();
    if (result == NULL || job->selected == SIZE_MAX || job->trained == NULL)
        return result;
    cJSON_AddStringToObject(result, "selected", job->trained[job->selected].name);
    cJSON_AddStringToObject(result, "metric", job->pipeline->goal.metrics[0].name);
    cJSON *candidates = cJSON_AddObjectToObject(result, "candidates");
    for (size_t i = 0; i < job->n_trained; i++) {
        const lathe_trained *t = &job->trained[i];
        cJSON *item = cJSON_AddObjectToObject(candidates, t->name);
        add_scores(job, item, t);
        if (t->error.code != 0)
            cJSON_AddStringToObject(item, "error", t->error.message);
        cJSON_AddNumberToObject(item, "seconds", t->seconds);
        if (t->cached)
            cJSON_AddBoolToObject(item, "cached", true);
        if (t->importance != NULL)
            cJSON_AddItemToObject(item, "importance", cJSON_Duplicate(t->importance, 1));
    }
    if (job->permutation != NULL)
        cJSON_AddItemToObject(result, "permutation", cJSON_Duplicate(job->permutation, 1));
    if (job->model_path != NULL) {
        cJSON *model = cJSON_AddObjectToObject(result, "model");
        cJSON_AddStringToObject(model, "name", job->pipeline->deploy.model);
        if (job->version > 0)
            cJSON_AddNumberToObject(model, "version", (double)job->version);
        cJSON_AddStringToObject(model, "sha256", job->model_sha256);
        cJSON_AddStringToObject(model, "file", job->model_path);
        if (job->pipeline->deploy.endpoint != NULL && job->endpoint_moved)
            cJSON_AddStringToObject(model, "endpoint", job->pipeline->deploy.endpoint);
    }
    const cJSON *goal = lathe_json_get(job->report, "goal");
    cJSON *checked = cJSON_AddObjectToObject(result, "goal");
    cJSON_AddBoolToObject(checked, "met", job->goal_met);
    const cJSON *checks = lathe_json_get(goal, "checks");
    cJSON_AddItemToObject(checked, "checks",
                          checks ? cJSON_Duplicate(checks, 1) : cJSON_CreateArray());
    const cJSON *alerts = lathe_json_get(lathe_json_get(job->report, "monitor"), "alerts");
    if (alerts != NULL) {
        const cJSON *windows = lathe_json_get(lathe_json_get(job->report, "monitor"), "windows");
        cJSON *monitor = cJSON_AddObjectToObject(result, "monitor");
        cJSON_AddNumberToObject(monitor, "windows", cJSON_GetArraySize(windows));
        cJSON_AddNumberToObject(monitor, "alerts", cJSON_GetArraySize(alerts));
    }
    return result;
}
