/* pipeline/candidate_file.h: a trained candidate as a cached step: learner, predictions, curves. [worker] */
#ifndef LATHE_PIPELINE_CANDIDATE_FILE_H
#define LATHE_PIPELINE_CANDIDATE_FILE_H

#include "pipeline/job.h"

/* Writes a safetensors file. */
int32_t lathe_candidate_save(const lathe_trained *trained, const char *path,
                             char sha256[LATHE_SHA256_HEX], lathe_error *err);

/* Fills learner, predictions, curves, importance and seconds. rows[part] is how many rows each part's predictions
 * must have. */
int32_t lathe_candidate_load(lathe_job *job, const char *path, const int64_t rows[N_PARTS],
                             lathe_trained *trained, lathe_error *err);

#endif
