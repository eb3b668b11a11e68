/* pipeline/rows.h: from the source's rows to the parts: target, weights, classes, split. [worker] */
#ifndef LATHE_PIPELINE_ROWS_H
#define LATHE_PIPELINE_ROWS_H

#include "pipeline/job.h"

/* Rows without a target are dropped (*dropped of them); the target becomes CATEGORY with the classes that occur, or
 * FLOAT64. Sets job->task, n_classes, classes and positive. *frame is replaced. */
int32_t lathe_rows_target(lathe_job *job, lathe_frame **frame, int64_t *target, int64_t *dropped,
                          lathe_error *err);

/* Splits, freezes dictionaries to the training rows and fills job->parts (raw, target, weight, fold, truth) and
 * job->schema. */
int32_t lathe_rows_split(lathe_job *job, lathe_frame *frame, int64_t target, lathe_error *err);

/* Weights for training: goal.weight times the class weights; *weight malloc'ed, NULL where all are 1. */
int32_t lathe_rows_weights(const lathe_job *job, const lathe_part *part, double **weight,
                           lathe_error *err);

#endif
