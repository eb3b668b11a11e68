/* data/baseline.h: the distribution of the training rows, and that of later rows in the same bins.
 *
 * A baseline is made once from raw training rows and kept in the model; the monitor's windows count
 * later rows into its bins. Memory is fixed per feature, whatever the number of rows.
 *
 *     lathe_baseline_fit(table, &base, err);                 // training
 *     lathe_window *w = lathe_window_new(base);              // serving, replay
 *     lathe_window_add(w, rows, err);                        // rows of the model's schema
 *     lathe_distribution was, now;
 *     lathe_baseline_distribution(base, f, LATHE_BINS_COARSE, &was);
 *     lathe_window_distribution(w, f, LATHE_BINS_COARSE, &now);
 *     drift->compare(self, &was, &now, &result, err);
 *
 * FLOAT64 and INT64 columns are numeric features with two sets of bins: COARSE, at most 20 bins of
 * about equal training share (psi, js, chi2), and FINE, at most 256 (ks, wasserstein). A column of
 * few distinct values has one bin a value, and an empty one at either end for values beyond those
 * of training: so a constant that changes is seen. CATEGORY columns have one bin a dictionary value
 * and a last one for values not in the dictionary; both resolutions are the same. TIMESTAMP and
 * STRING columns are not watched. Infinities count in the outer bins; as a bin's smallest or
 * largest value they count as the edge next to them.
 *
 * A baseline never changes: reading is [any]. A window belongs to one thread at a time; it refers
 * to its baseline, which must outlive it.
 */
#ifndef LATHE_DATA_BASELINE_H
#define LATHE_DATA_BASELINE_H

#include "base/error.h"

#include <lathe/drift.h>
#include <lathe/table.h>

#include <cjson/cJSON.h>
#include <stdbool.h>

enum { LATHE_BINS_COARSE = 0, LATHE_BINS_FINE = 1 };

#define LATHE_BASELINE_COARSE 20
#define LATHE_BASELINE_FINE 256

typedef struct lathe_baseline lathe_baseline;
typedef struct lathe_window lathe_window;

/* Of all FLOAT64, INT64 and CATEGORY columns of the table. */
int32_t lathe_baseline_fit(const lathe_table *table, lathe_baseline **baseline, lathe_error *err);
void lathe_baseline_free(lathe_baseline *baseline); /* NULL is fine */

int64_t lathe_baseline_features(const lathe_baseline *baseline);
int64_t lathe_baseline_rows(const lathe_baseline *baseline);
const char *lathe_baseline_name(const lathe_baseline *baseline, int64_t feature);
bool lathe_baseline_categorical(const lathe_baseline *baseline, int64_t feature);
/* Feature by column name, -1: not watched. */
int64_t lathe_baseline_find(const lathe_baseline *baseline, const char *name);

/* The training side. Points into the baseline. values is NULL. */
void lathe_baseline_distribution(const lathe_baseline *baseline, int64_t feature,
                                 int32_t resolution, lathe_distribution *out);

/* {"rows": n, "features": [{"name", "type": "numeric", "missing", "coarse": {"edges", "counts",
 * "lower", "upper"}, "fine": {…}} | {"name", "type": "category", "missing", "counts": [… ,
 * unseen]}, …]}. NaN (the bounds of an empty bin) is null. NULL: out of memory. */
cJSON *lathe_baseline_to_json(const lathe_baseline *baseline);
/* Whatever is wrong in it: LATHE_E_CORRUPT with the position in `where`. */
int32_t lathe_baseline_from_json(const cJSON *json, lathe_baseline **baseline, lathe_error *err);

/* An empty window; NULL: out of memory. */
lathe_window *lathe_window_new(const lathe_baseline *baseline);
void lathe_window_free(lathe_window *window); /* NULL is fine */
void lathe_window_reset(lathe_window *window);

/* Counts rows. Columns are found by name; they must have the baseline's kind (numeric; or CATEGORY
 * with the dictionary the baseline was made from, in its order), else LATHE_E_SHAPE; a watched
 * column that is not there: LATHE_E_NOT_FOUND. Nothing is counted after an error. */
int32_t lathe_window_add(lathe_window *window, const lathe_table *rows, lathe_error *err);
/* [serve] One value of a feature; call lathe_window_row once a row. NaN: missing. */
void lathe_window_number(lathe_window *window, int64_t feature, double value);
/* [serve] One code: LATHE_CODE_MISSING, LATHE_CODE_UNSEEN (also for codes out of range). */
void lathe_window_code(lathe_window *window, int64_t feature, int32_t code);
/* [serve] */
void lathe_window_row(lathe_window *window);
int64_t lathe_window_rows(const lathe_window *window);
/* Adds counts made elsewhere in the same bins: [bins] each; lower and upper, NaN where a bin is empty, of numeric features
 * alone. missing is taken with COARSE. */
void lathe_window_put(lathe_window *window, int64_t feature, int32_t resolution,
                      const double *counts, const double *lower, const double *upper,
                      double missing);
void lathe_window_put_rows(lathe_window *window, int64_t rows);
/* Adds the counts of another window of the same baseline (or an equal one), else LATHE_E_SHAPE. */
int32_t lathe_window_merge(lathe_window *into, const lathe_window *from, lathe_error *err);

/* The current side. Points into the window; valid until it changes. */
void lathe_window_distribution(const lathe_window *window, int64_t feature, int32_t resolution,
                               lathe_distribution *out);

#endif
