/* data/profile.h: what a table looks like, for `lathe data describe` and the reports, as one cJSON
 * object.
 *
 *   {"rows": 48842, "columns": 15, "bytes": …, "missing_cells": 6465, "duplicate_rows": 52,
 *    "target": "income" | null,
 *    "features": [                                   // every column, in order
 *      {"name": "age", "type": "int64", "role": "feature"|"target",
 *       "count": 48842, "missing": 0, "distinct": 74, "distinct_estimated": false,
 *       // FLOAT64, INT64, TIMESTAMP (its times as ISO 8601 texts, and no std … integers):
 *       "mean": …, "std": …, "skewness": …, "kurtosis": …, "min": …, "max": …, "sum": …,
 *       "zeros": …, "negative": …, "infinite": …, "integers": true,
 *       "quantiles": {"0.01": …, …, "0.99": …},
 *       "histogram": {"low": 17, "high": 90, "counts": [...]},
 *       "most_frequent": {"value": 36, "count": 1348},
 *       // CATEGORY, STRING:
 *       "top": [{"value": "Male", "count": 32650}, …], "other": 0, "unseen": 0, "empty": 0,
 *       "entropy": …, "length": {"min": 4, "max": 6, "mean": 4.7},
 *       // association with the target, if there is one: its kind and strength (0 none … 1)
 *       "with_target": {"measure": "pearson"|"correlation_ratio"|"cramers_v", "value": 0.23},
 *       "alerts": [{"kind": "skewed", "message": "…"}]},
 *      …],
 *    "target_distribution": {"classes": [{"value": "<=50K", "count": 37155, "share": 0.7607}, …]}
 *                         | {"histogram": {…}, "quantiles": {…}, …} | null,
 *    "correlations": {"names": ["age", …], "pearson": [[1, …], …], "spearman": [[…]]},
 *    "alerts": [{"kind": "duplicates", "column": null|"age", "message": "…"}, …]}   // all of them
 *
 * Kinds of alerts: all_missing, constant, missing (over 20 %), unique, high_cardinality, imbalanced
 * (one category has 95 % or more), skewed, zeros (half or more), infinite, leak (a feature that
 * tells the target nearly by itself), imbalanced_target, few_of_a_class, correlated, duplicates.
 *
 * count is that of the values that are there. A number that is not finite is null. "distinct" of a
 * numeric column with over a million values is an estimate ("distinct_estimated": true; see
 * data/stats.h). Correlations are of at most LATHE_PROFILE_CORRELATED columns of numbers (the first
 * ones; constant ones give null), over the rows where both are there, of at most about
 * LATHE_PROFILE_ROWS rows (a fixed random sample beyond); Spearman's uses the ranks of each column
 * by itself. The association with the target is taken over the same rows; STRING and TIMESTAMP
 * columns have none. Texts that are not UTF-8 are shown with U+FFFD, long ones are cut.
 */
#ifndef LATHE_DATA_PROFILE_H
#define LATHE_DATA_PROFILE_H

#include "base/error.h"
#include "base/pool.h"

#include <lathe/table.h>

#include <cjson/cJSON.h>

#define LATHE_PROFILE_CORRELATED 64
#define LATHE_PROFILE_ROWS 100000

/* Makes the profile; *profile is the caller's (cJSON_Delete). target: a column's name or NULL. pool
 * NULL: one thread; the bits do not depend on it. A target that the table lacks: LATHE_E_NOT_FOUND.
 * [worker] */
int32_t lathe_profile_table(lathe_pool *pool, const lathe_table *table, const char *target,
                            cJSON **profile, lathe_error *err);

#endif
