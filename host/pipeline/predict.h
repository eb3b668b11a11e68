/* pipeline/predict.h: what a job's fitted learner says of rows. [worker] */
#ifndef LATHE_PIPELINE_PREDICT_H
#define LATHE_PIPELINE_PREDICT_H

#include "pipeline/job.h"

/* Of prepared rows. */
int32_t lathe_job_predict(lathe_job *job, const lathe_instance *learner, const lathe_dataset *data,
                          lathe_prediction *prediction, lathe_error *err);
/* Of raw rows: through the job's transforms first. */
int32_t lathe_job_predict_raw(lathe_job *job, const lathe_instance *learner, const lathe_frame *raw,
                              lathe_prediction *prediction, lathe_error *err);

#endif
