/* pipeline/score.h: metrics of predictions, and the pictures of an evaluation. [worker] */
#ifndef LATHE_PIPELINE_SCORE_H
#define LATHE_PIPELINE_SCORE_H

#include "pipeline/job.h"

/* Every metric of the goal. weight may be NULL. A metric that fails or is undefined is NaN, and noted once. */
int32_t lathe_score(lathe_job *job, int64_t n, const double *truth, const double *weight,
                    const lathe_prediction *prediction, lathe_scores *scores, lathe_error *err);

/* {"auc": 0.92, …}; undefined ones are null. NULL where scores are absent. */
cJSON *lathe_scores_json(const lathe_job *job, const lathe_scores *scores);

/* Is score a better than b by the goal's metric? NaN is worse than anything. */
bool lathe_score_better(const lathe_job *job, double a, double b);

/* Confusion matrix, ROC, calibration; or residuals: for the report. */
cJSON *lathe_picture(const lathe_job *job, int64_t n, const double *truth,
                     const lathe_prediction *prediction);

#endif
