/* web/slim.h: cuts a report down to what its page shows, so that wide data, long trainings and long replays make no
 * huge page. The whole report stays beside it, as report.json.
 *
 * Kept are: of each learning curve at most LATHE_SLIM_POINTS points (the first, the last, and the lowest and highest
 * of each stretch between, so that spikes stay), the first columns of the profile (and its target), the first
 * numeric ones of the correlations, the largest importances, evenly spaced residuals, the last windows of the monitor
 * and the features that drift most. A report within these limits stays as it is. What was cut is counted in a member
 * "cut" of the report, which is there only where something was:
 *   {"columns", "types", "correlations", "windows", "alerts", "features": {measure: n}}
 */
#ifndef LATHE_WEB_SLIM_H
#define LATHE_WEB_SLIM_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#define LATHE_SLIM_POINTS 500
#define LATHE_SLIM_COLUMNS 100
#define LATHE_SLIM_CORRELATED 25
#define LATHE_SLIM_IMPORTANCES 100
#define LATHE_SLIM_RESIDUALS 2000
#define LATHE_SLIM_WINDOWS 300
#define LATHE_SLIM_FEATURES 40
#define LATHE_SLIM_ALERTS 500

/* Cuts, in place. Members of an unexpected type are left alone. False: out of memory; the report is then a valid
 * tree still, cut in part. [any] */
bool lathe_slim_report(cJSON *report);

/* The same of a profile (data/profile.h); counts go into `cut`, an object. */
bool lathe_slim_profile(cJSON *profile, cJSON *cut);

#endif
