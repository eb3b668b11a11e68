/* pipeline/timing.h: when a submitted document runs: again after a failure ("retry"), and by the clock ("schedule").
 *
 *     "retry":    {"limit": 3, "backoff_s": 10, "factor": 2}
 *     "schedule": "0 3 * * *"
 *     "schedule": {"cron": "0 3 * * mon-fri", "timezone": "Europe/Berlin", "overlap": "skip", "missed": "once"}
 *
 * Both are for a service (`lathe serve`); `lathe run` runs a document once, at once. [any]
 */
#ifndef LATHE_PIPELINE_TIMING_H
#define LATHE_PIPELINE_TIMING_H

#include "pipeline/check.h"

/* After a run that failed or was interrupted; one that missed its goal, or was cancelled, has not failed. */
typedef struct lathe_retry {
    int64_t limit;    /* further attempts; 0: none */
    double backoff_s; /* before the first of them */
    double factor;    /* by which each wait is longer than the one before, up to a day */
} lathe_retry;

/* When it is due while a run of the same schedule waits or runs. */
typedef enum lathe_overlap {
    LATHE_OVERLAP_SKIP,  /* this time is left out */
    LATHE_OVERLAP_QUEUE, /* it waits its turn */
    LATHE_OVERLAP_CANCEL /* the earlier run is cancelled */
} lathe_overlap;

typedef struct lathe_run_schedule {
    const char *cron;     /* NULL: no schedule */
    const char *timezone; /* "UTC" by default */
    lathe_overlap overlap;
    bool
        catch_up; /* "missed": "once" (default): what was due while no service ran is made up for by one run; "skip":
                      it is left out */
} lathe_run_schedule;

/* Reads the members "retry" and "schedule" of an object. */
void lathe_timing_read(const lathe_check *c, const cJSON *object, lathe_retry *retry,
                       lathe_run_schedule *schedule);

/* Seconds to wait before attempt `attempt` (from 2 on). */
double lathe_retry_wait(const lathe_retry *retry, int64_t attempt);

/* "skip", "queue", "cancel" */
const char *lathe_overlap_name(lathe_overlap overlap);

/* The next moment (µs since 1970) after `after` that is due. LATHE_E_INVALID, LATHE_E_NOT_FOUND: the time zone. */
int32_t lathe_schedule_next(const char *cron, const char *timezone, int64_t after, int64_t *next,
                            lathe_error *err);

#endif
