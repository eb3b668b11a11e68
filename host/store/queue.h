/* store/queue.h: submitted runs that wait, and schedules that submit them.
 *
 * An entry has its run's id from the beginning; what becomes of it is told by the run of that id: none yet, it waits;
 * running; ended, then the entry goes (lathe_store_queue_end), with a new one in its place where it is to be tried
 * again. So there is no state to get out of step, and after a crash the entries whose runs have ended, but which are still
 * there, say what to retry.
 */
#ifndef LATHE_STORE_QUEUE_H
#define LATHE_STORE_QUEUE_H

#include "store/runs.h"

/* What is to be run: for an entry and for a schedule. */
typedef struct lathe_submission {
    const char *project;  /* NULL: "default" */
    const char *pipeline; /* its name */
    const char *text;     /* the document as it was sent */
    const char *file;     /* its name, for messages */
    const char *base_dir; /* NULL: its paths resolve under the data roots alone */
    const char *document; /* with parameters substituted, JSON */
    const char *sets;     /* JSON: ["name=value"] */
    int64_t seed;
    int64_t retry_limit;
    double retry_backoff_s, retry_factor;
    const char *actor; /* NULL: the store's */
} lathe_submission;

typedef struct lathe_queue_entry {
    int64_t number;       /* in the order of submission */
    const char *run;      /* id of the run that it is or will be */
    int64_t attempt;      /* from 1 */
    const char *state;    /* "waiting", "running", "ended" */
    const char *schedule; /* that submitted it; "" */
    int64_t created, not_before;
    lathe_submission what;
} lathe_queue_entry;

typedef struct lathe_queue_list {
    lathe_queue_entry *items;
    size_t count;
} lathe_queue_list;

/* Adds an entry; run gets its id. LATHE_E_STATE where there are max_entries already (< 0: no bound). schedule: NULL or
 * the schedule's name. Writes "run.submit" to the audit log. */
int32_t lathe_store_queue_add(lathe_store *store, const lathe_submission *what,
                              const char *schedule, int64_t max_entries, char run[LATHE_RUN_ID],
                              int64_t *number, lathe_error *err);

/* All entries by number. */
int32_t lathe_store_queue(lathe_store *store, lathe_arena *arena, lathe_queue_list *list,
                          lathe_error *err);

/* The first entry that waits and may begin at `now`; *found false: there is none. *wake (µs since 1970) gets the next
 * moment at which one may begin or a schedule is due, INT64_MAX: none. */
int32_t lathe_store_queue_next(lathe_store *store, int64_t now, lathe_arena *arena,
                               lathe_queue_entry *entry, bool *found, int64_t *wake,
                               lathe_error *err);
/* Entries whose runs have ended. */
int32_t lathe_store_queue_ended(lathe_store *store, lathe_arena *arena, lathe_queue_list *list,
                                lathe_error *err);

/* The entry of a run's id. LATHE_E_NOT_FOUND. */
int32_t lathe_store_queue_entry(lathe_store *store, const char *run, lathe_arena *arena,
                                lathe_queue_entry *entry, lathe_error *err);

/* Removes an entry whose run has ended. retry_at not 0: in the same transaction a further attempt is added, not to
 * begin before it (same_attempt: it counts as the same one); retry gets its run's id, else "", and the run an event
 * {"event": "retry", "run", "attempt", "at_us"}. LATHE_E_NOT_FOUND. */
int32_t lathe_store_queue_end(lathe_store *store, int64_t number, int64_t retry_at,
                              bool same_attempt, char retry[LATHE_RUN_ID], lathe_error *err);

/* Takes a waiting entry out: its run is recorded as cancelled, with a reason. LATHE_E_NOT_FOUND; LATHE_E_STATE: it
 * runs already. */
int32_t lathe_store_queue_cancel(lathe_store *store, const char *run, const char *reason,
                                 lathe_error *err);

/* ---- schedules: by the pipeline's name ---- */

typedef struct lathe_schedule_record {
    const char *name;                      /* of the pipeline */
    const char *cron, *timezone, *overlap; /* as in pipeline/timing.h */
    bool catch_up;
    int64_t created, next, last; /* last 0: it was not due yet */
    const char *last_run;        /* ""; what it submitted last */
    lathe_submission what;
} lathe_schedule_record;

typedef struct lathe_schedule_list {
    lathe_schedule_record *items;
    size_t count;
} lathe_schedule_list;

/* Makes or replaces a schedule (its next moment is schedule->next). Audited: "schedule.set". LATHE_E_EXISTS: another
 * project has one of that name. */
int32_t lathe_store_schedule_set(lathe_store *store, const lathe_schedule_record *schedule,
                                 lathe_error *err);
/* Audited: "schedule.remove". LATHE_E_NOT_FOUND. */
int32_t lathe_store_schedule_remove(lathe_store *store, const char *name, lathe_error *err);
/* By name; due_before not 0: only those whose next moment is not after it. */
int32_t lathe_store_schedules(lathe_store *store, int64_t due_before, lathe_arena *arena,
                              lathe_schedule_list *list, lathe_error *err);
/* It was due: notes the next moment, and, with `submit`, adds an entry to the queue in the same transaction, as the
 * store's actor. */
int32_t lathe_store_schedule_fire(lathe_store *store, const lathe_schedule_record *schedule,
                                  int64_t now, int64_t next, bool submit, char run[LATHE_RUN_ID],
                                  lathe_error *err);

#endif
