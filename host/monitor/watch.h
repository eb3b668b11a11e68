/* monitor/watch.h: windows of later rows against the training baseline: drift of each feature, alerts.
 *
 * A watch holds drift measures and one window of counts. Rows are added as they come (they have the model's raw
 * schema); when a window is full its distributions are compared with the baseline's, feature by feature. Memory
 * does not depend on the number of rows. One thread at a time. [worker]
 */
#ifndef LATHE_MONITOR_WATCH_H
#define LATHE_MONITOR_WATCH_H

#include "data/baseline.h"
#include "plugin/runtime.h"

typedef struct lathe_watch lathe_watch;

/* What one measure says of one feature in one window. */
typedef struct lathe_drift_finding {
    const char *measure; /* "psi" */
    const char *feature;
    lathe_drift_result result;
    int32_t
        code; /* LATHE_OK, or why there is no result (LATHE_E_DATA: nothing but missing values) */
    double present; /* values that are not missing, of the window */
    bool by_chance; /* it is beyond its threshold, which chance explains (monitor/chance.h) */
} lathe_drift_finding;

/* Makes an instance of each measure. The baseline must outlive the watch. */
int32_t lathe_watch_new(lathe_runtime *runtime, const lathe_baseline *baseline,
                        const lathe_component *const *measures, size_t n_measures,
                        lathe_watch **watch, lathe_error *err);
void lathe_watch_free(lathe_watch *watch); /* NULL is fine */

/* From now on what is beyond its threshold is held against chance. key: of its random numbers. */
void lathe_watch_doubt(lathe_watch *watch, uint64_t key);
/* The current window, for counts that were made elsewhere. */
lathe_window *lathe_watch_window(lathe_watch *watch);

/* Counts rows into the current window. */
int32_t lathe_watch_add(lathe_watch *watch, const lathe_table *rows, lathe_error *err);
int64_t lathe_watch_rows(const lathe_watch *watch); /* in the window */

/* Compares the window with the baseline and begins a new one. *findings: one for each feature and each measure that
 * serves it, valid until the next call. */
int32_t lathe_watch_close(lathe_watch *watch, const lathe_drift_finding **findings, size_t *n,
                          lathe_error *err);

#endif
