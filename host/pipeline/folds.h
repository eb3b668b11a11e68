/* pipeline/folds.h: folds of the training part, for cross-validation. [worker] */
#ifndef LATHE_PIPELINE_FOLDS_H
#define LATHE_PIPELINE_FOLDS_H

#include "pipeline/job.h"

/* Those of the split where it gave any, else five of the plugin "k_fold". fold[n of the training part] belongs to the
 * job. */
int32_t lathe_folds(lathe_job *job, const int32_t **fold, int32_t *n_folds, lathe_error *err);

#endif
