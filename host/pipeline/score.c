#include "pipeline/score.h"

#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Predictions as metrics take them, in double. */
typedef struct wide {
    double *prediction, *probability;
} wide;

static bool widen(const lathe_job *job, int64_t n, const lathe_prediction *p, wide *w) {
    *w = (wide){calloc((size_t)n + 1, sizeof(double)), NULL};
    if (w->prediction == NULL)
        return false;
    if (job->n_classes == 0) {
        for (int64_t i = 0; i < n; i++)
            w->prediction[i] = p->value[i];
        return true;
    }
    const int64_t cells = n * job->n_classes;
    w->probability = calloc((size_t)cells + 1, sizeof(double));
    if (w->probability == NULL)
        return false;
    for (int64_t i = 0; i < n; i++)
        w->prediction[i] = p->label[i];
    for (int64_t i = 0; i < cells; i++)
        w->probability[i] = p->probability[i];
    return true;
}

int32_t lathe_score(lathe_job *job, int64_t n, const double *truth, const double *weight,
                    const lathe_prediction *prediction, lathe_scores *scores, lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    wide w;
    int32_t rc = LATHE_OK;
    scores->values = lathe_arena_array(job->arena, goal->n_metrics, sizeof(double));
    if (!widen(job, n, prediction, &w) || scores->values == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the metrics");
    const lathe_metric_input in = {.struct_size = LATHE_SIZED(lathe_metric_input),
                                   .task = job->task,
                                   .n = n,
                                   .n_classes = job->n_classes,
                                   .positive = job->positive,
                                   .target = truth,
                                   .prediction = w.prediction,
                                   .probability = w.probability,
                                   .weight = weight};
    for (size_t m = 0; rc == LATHE_OK && m < goal->n_metrics; m++) {
        lathe_error why = {0};
        scores->values[m] = NAN;
        int32_t metric_rc =
            job->metrics[m].self || job->metrics[m].interface ? lathe_call_metric(
                                                                    &job->metrics[m], &in,
                                                                    &scores->values[m], &why)
                                                              : LATHE_E_UNSUPPORTED;
        if (metric_rc == LATHE_E_CANCELLED)
            rc = lathe_fail(err, metric_rc, NULL, "stopped");
        else if (metric_rc != LATHE_OK || isnan(scores->values[m]))
            lathe_job_log(job, m == 0 ? LATHE_LOG_WARN : LATHE_LOG_DEBUG,
                          "%s is undefined here: %s", goal->metrics[m].name,
                          why.message[0] ? why.message : "no reason given");
    }
    scores->present = rc == LATHE_OK;
    free(w.prediction);
    free(w.probability);
    return rc;
}

cJSON *lathe_scores_json(const lathe_job *job, const lathe_scores *scores) {
    const lathe_goal *goal = &job->pipeline->goal;
    if (!scores->present)
        return NULL;
    cJSON *out = cJSON_CreateObject();
    for (size_t m = 0; m < goal->n_metrics; m++)
        if (isfinite(scores->values[m]))
            cJSON_AddNumberToObject(out, goal->metrics[m].name, scores->values[m]);
        else
            cJSON_AddNullToObject(out, goal->metrics[m].name);
    return out;
}

bool lathe_score_better(const lathe_job *job, double a, double b) {
    if (isnan(a))
        return false;
    if (isnan(b))
        return true;
    return job->pipeline->goal.metrics[0].higher_is_better ? a > b : a < b;
}

/* ---- pictures ---- */

#define MAX_CURVE 200
#define MAX_POINTS 1000

static void add_point(cJSON *xs, cJSON *ys, double x, double y) {
    cJSON_AddItemToArray(xs, cJSON_CreateNumber(x));
    cJSON_AddItemToArray(ys, cJSON_CreateNumber(y));
}

typedef struct ranked {
    float score;
    int32_t positive;
} ranked;

static int by_score_falling(const void *a, const void *b) {
    float x = ((const ranked *)a)->score, y = ((const ranked *)b)->score;
    return (x < y) - (x > y);
}

/* Receiver operating characteristic (Fawcett 2006, algorithm 1), thinned to MAX_CURVE points. */
static void add_roc(const lathe_job *job, cJSON *out, int64_t n, const double *truth,
                    const lathe_prediction *p) {
    ranked *rows = calloc((size_t)n, sizeof *rows);
    double positives = 0;
    if (rows == NULL)
        return;
    for (int64_t i = 0; i < n; i++) {
        rows[i] =
            (ranked){p->probability[i * 2 + job->positive], truth[i] == (double)job->positive};
        positives += rows[i].positive;
    }
    qsort(rows, (size_t)n, sizeof *rows, by_score_falling);
    const double negatives = (double)n - positives;
    cJSON *roc = cJSON_AddObjectToObject(out, "roc");
    cJSON *fpr = cJSON_AddArrayToObject(roc, "fpr"), *tpr = cJSON_AddArrayToObject(roc, "tpr");
    cJSON *pr = cJSON_AddObjectToObject(out, "precision_recall");
    cJSON *recall = cJSON_AddArrayToObject(pr, "recall");
    cJSON *precision = cJSON_AddArrayToObject(pr, "precision");
    double tp = 0, fp = 0;
    int64_t last = -1;
    add_point(fpr, tpr, 0, 0);
    add_point(recall, precision, 0, 1); /* by convention, where nothing is predicted positive */
    for (int64_t i = 0; i < n && positives > 0 && negatives > 0; i++) {
        tp += rows[i].positive;
        fp += 1 - rows[i].positive;
        if (i + 1 < n && rows[i + 1].score == rows[i].score)
            continue; /* ties move together */
        int64_t slot = i * MAX_CURVE / n;
        if (slot == last && i + 1 < n)
            continue;
        last = slot;
        add_point(fpr, tpr, fp / negatives, tp / positives);
        add_point(recall, precision, tp / positives, tp / (tp + fp));
    }
    free(rows);
}

/* Share of the positive class in ten bins of its predicted probability. */
static void add_calibration(const lathe_job *job, cJSON *out, int64_t n, const double *truth,
                            const lathe_prediction *p) {
    double predicted[10] = {0}, observed[10] = {0}, count[10] = {0};
    for (int64_t i = 0; i < n; i++) {
        double q = p->probability[i * 2 + job->positive];
        int bin = q >= 1 ? 9 : q > 0 ? (int)(q * 10) : 0;
        predicted[bin] += q;
        observed[bin] += truth[i] == (double)job->positive;
        count[bin] += 1;
    }
    cJSON *calibration = cJSON_AddObjectToObject(out, "calibration");
    cJSON *xs = cJSON_AddArrayToObject(calibration, "predicted");
    cJSON *ys = cJSON_AddArrayToObject(calibration, "observed");
    for (int b = 0; b < 10; b++)
        if (count[b] > 0)
            add_point(xs, ys, predicted[b] / count[b], observed[b] / count[b]);
}

static void add_confusion(const lathe_job *job, cJSON *out, int64_t n, const double *truth,
                          const lathe_prediction *p) {
    const int64_t k = job->n_classes;
    if (k > 100)
        return; /* a picture of more is no picture */
    double *counts = calloc((size_t)(k * k), sizeof *counts);
    if (counts == NULL)
        return;
    for (int64_t i = 0; i < n; i++)
        counts[(int64_t)truth[i] * k + p->label[i]] += 1;
    cJSON *confusion = cJSON_AddObjectToObject(out, "confusion");
    cJSON *classes = cJSON_AddArrayToObject(confusion, "classes");
    cJSON *rows = cJSON_AddArrayToObject(confusion, "counts"); /* [true][predicted] */
    for (int64_t r = 0; r < k; r++) {
        cJSON_AddItemToArray(classes, cJSON_CreateString(job->classes[r]));
        cJSON *row = cJSON_CreateArray();
        for (int64_t c = 0; c < k; c++)
            cJSON_AddItemToArray(row, cJSON_CreateNumber(counts[r * k + c]));
        cJSON_AddItemToArray(rows, row);
    }
    free(counts);
}

static void add_residuals(cJSON *out, int64_t n, const double *truth, const lathe_prediction *p) {
    cJSON *residuals = cJSON_AddObjectToObject(out, "residuals");
    cJSON *predicted = cJSON_AddArrayToObject(residuals, "predicted");
    cJSON *actual = cJSON_AddArrayToObject(residuals, "actual");
    int64_t step = n > MAX_POINTS ? (n + MAX_POINTS - 1) / MAX_POINTS : 1;
    for (int64_t i = 0; i < n; i += step)
        add_point(predicted, actual, p->value[i], truth[i]);
}

cJSON *lathe_picture(const lathe_job *job, int64_t n, const double *truth,
                     const lathe_prediction *prediction) {
    cJSON *out = cJSON_CreateObject();
    if (out == NULL || n == 0)
        return out;
    if (job->task == LATHE_TASK_REGRESSION) {
        add_residuals(out, n, truth, prediction);
        return out;
    }
    add_confusion(job, out, n, truth, prediction);
    if (job->task == LATHE_TASK_BINARY) {
        add_roc(job, out, n, truth, prediction);
        add_calibration(job, out, n, truth, prediction);
    }
    return out;
}
