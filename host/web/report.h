/* web/report.h: a run's report as one self-contained page.
 *
 * The page holds the report's data as JSON, the chart library (from Debian's package, embedded at build time) and
 * a script that draws: no network, no other file. All text from data is escaped: a column called
 * "</script>" is harmless.
 * Of very wide or long data the page holds what it shows (web/slim.h says what); a section whose data is absent is
 * absent.
 *
 * The report object, as a run makes it. Members may be absent (a run that failed early); numbers may be null.
 *   {"run", "name", "description", "started", "seconds", "seed", "status": "succeeded" | "goal_not_met",
 *    "machine": {"cpu", "cores", "threads", "level", "version"},
 *    "document": {…the pipeline document…},
 *    "prepare": {"source": {"rows", "bytes", "skipped", "note"},
 *                "types": [{"name", "type", "missing", "distinct"?}],
 *                "rows_dropped": [{"reason", "rows"}],
 *                "transforms": [{"plugin", "rows_in", "rows_out", "columns_in", "columns_out", "filled", "seconds"}],
 *                "split": {"train", "validation", "test", "folds"},
 *                "target": {"train": {class: rows} | {"mean", "min", "max"}, "validation": …, "test": …},
 *                "profile": {…data/profile.h…}},
 *    "goal": {"task", "target", "metric", "higher_is_better", "classes": [], "positive"?, "met",
 *             "checks": [{"metric", "require", "value", "met"}]},
 *    "candidates": [{"name", "plugin", "component", "status": "trained" | "cached" | "failed", "error"?, "where"?,
 *                    "seconds", "validation": {metric: value}, "test": {…},
 *                    "curves": {"train_loss": [[step, value], …]}, "importance": [{"feature", "value", …}]}],
 *    "selected": name,
 *    "permutation": {…of the selected one, with the importances described in pipeline/importance.h…},
 *    "evaluation": {"part": "test" | "validation" | "cross-validation", "rows",
 *                   "roc": {"fpr": [], "tpr": []}, "precision_recall": {"recall": [], "precision": []},
 *                   "calibration": {"predicted": [], "observed": []},
 *                   "confusion": {"classes": [], "counts": [[true][predicted]]},
 *                   "residuals": {"predicted": [], "actual": []}},
 *    "deploy": {"model", "version"?, "sha256", "bytes", "rows_checked", "bit_equal",
 *               "latency": {"rows", "p50_ms", "p99_ms"}, "endpoint"?, "moved"},
 *    "monitor": {"window", "metric", "reference",
 *                "windows": [{"index", "first_row", "rows", "drift": {measure: {feature: {"statistic", "alert"}}},
 *                             "quality": {metric: value}, "alerts": n}],
 *                "alerts": [{"kind", "message", "feature"?, "window"}]}}
 */
#ifndef LATHE_WEB_REPORT_H
#define LATHE_WEB_REPORT_H

#include "base/error.h"

#include <cjson/cJSON.h>

/* Writes the page (atomically). [any] */
int32_t lathe_report_write(const cJSON *report, const char *path, lathe_error *err);

/* A profile of data/profile.h alone, for `lathe data describe FILE -o page.html`. title: the file's name. */
int32_t lathe_profile_write(const cJSON *profile, const char *title, const char *path,
                            lathe_error *err);

#endif
