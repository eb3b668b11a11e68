/* monitor/worse.h: is one side's metric worse than another's, or is it the draw of its rows?
 *
 * A metric of n labelled rows has a standard error, which the bootstrap gives for any metric: the rows are drawn anew, with
 * replacement, LATHE_WORSE_DRAWS times, and the deviation of the metric's values is taken (B. Efron, R. J. Tibshirani,
 * "An Introduction to the Bootstrap", 1993, chapter 6). Of an accuracy that is √(p (1 − p) / n), of a mean error s / √n, so
 * that the difference of two sides is judged as by the unpooled test of two proportions, or by Welch's.
 *
 * The one-sided bound of the standard normal interval (chapter 12), by which side `is` is worse than side `than` at least:
 *
 *     drop − z(1 − α) √(e² + e'²)
 *
 * Who looks again and again as rows come would find a difference by chance at last. So look k = 1, 2, … has the share
 * α 6 / (π² k²), which all together make α (Σ 1 / k² = π² / 6; the union bound).
 */
#ifndef LATHE_MONITOR_WORSE_H
#define LATHE_MONITOR_WORSE_H

#include "plugin/runtime.h"

#include <lathe/metric.h>

#define LATHE_WORSE_DRAWS 200

/* The standard error of a metric; NaN where it is undefined for what is drawn too often. key: of the random numbers.
 * [worker] */
int32_t lathe_metric_error(const lathe_instance *metric, const lathe_metric_input *input,
                           uint64_t key, double *error, lathe_error *err);

/* confidence: 1 − α, from 0.5 to below 1; look: from 1; errors: of both sides. NaN where one of them is. [any] */
double lathe_worse_at_least(double drop, const double errors[2], double confidence, int64_t look);

#endif
