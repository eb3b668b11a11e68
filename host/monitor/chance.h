/* monitor/chance.h: could a window be as far from training as it is by chance alone? [worker]
 *
 * A distance between two samples is never 0, and what is usual depends on measure, bins and both sizes: with few rows a
 * fixed threshold is exceeded by noise. So windows of the same size are drawn from the training's own distribution, which is
 * itself taken for the sample that it is: each draw first resamples the counts of training, then those of the window, as
 * independent Poisson numbers (the parametric bootstrap: B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap",
 * 1993, chapter 6.5). A window is explained where one of LATHE_CHANCE_DRAWS such windows is as far away: a probability of
 * a false alarm of at most 1 in 100 for each feature and window, whatever the threshold.
 */
#ifndef LATHE_MONITOR_CHANCE_H
#define LATHE_MONITOR_CHANCE_H

#include "plugin/runtime.h"

#include <lathe/drift.h>

#define LATHE_CHANCE_DRAWS 99

/* *explains: a window of this size without drift reaches `statistic`. key: of the random numbers. */
int32_t lathe_chance_explains(const lathe_instance *measure, const lathe_distribution *training,
                              const lathe_distribution *window, double statistic, uint64_t key,
                              bool *explains, lathe_error *err);

#endif
