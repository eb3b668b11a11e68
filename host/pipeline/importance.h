/* pipeline/importance.h: how much a model owes to each column of the source. [worker]
 *
 * Two ways. What the learner itself knows (gain and number of splits of trees, weights of linear models), added up
 * over the prepared columns that a raw column became. And, for any model, permutation importance: by how much the
 * goal's metric worsens when the values of a raw column are shuffled among the rows (L. Breiman, "Random forests",
 * 2001, section 10; for any model: A. Fisher, C. Rudin & F. Dominici, JMLR 20, 2019).
 */
#ifndef LATHE_PIPELINE_IMPORTANCE_H
#define LATHE_PIPELINE_IMPORTANCE_H

#include "pipeline/job.h"

/* [{"feature", "value", "gain"?, "splits"?, "weight"?}], the largest 50 by value, which is the share of the total gain
 * (without: of the splits; without: of the sizes of weights). NULL: the learner gives none, or all are 0. Finds
 * job->origins where they are not found yet. */
int32_t lathe_importance_of(lathe_job *job, const lathe_instance *learner, cJSON **list,
                            lathe_error *err);

/* {"metric", "part", "rows", "repeats", "score", "features": [{"feature", "drop", "sd"}]}, falling. On the validation
 * part; without one on the test part, else on the training rows; at most LATHE_PERMUTATION_ROWS of them. `score` is
 * the metric of the rows as they are, `drop` the mean over the repeats of how much worse it is shuffled (above 0:
 * worse, whichever way the metric points), `sd` their standard deviation (of the population). Of more than
 * LATHE_PERMUTATION_FEATURES columns only those are shuffled that list the learner's own importance; *out is NULL
 * where it gives none. The numbers depend on the seed, the column's name and the rows alone. */
#define LATHE_PERMUTATION_ROWS 1000
#define LATHE_PERMUTATION_REPEATS 5
#define LATHE_PERMUTATION_FEATURES 100
int32_t lathe_permutation_of(lathe_job *job, const lathe_trained *trained, cJSON **out,
                             lathe_error *err);

#endif
