/* store/usage.h: projects with their quotas, and what was used: requests, rows and training time by day, token and project.
 *
 * A day is one of UTC, as a number of days since 1970. Usage is only ever added to.
 */
#ifndef LATHE_STORE_USAGE_H
#define LATHE_STORE_USAGE_H

#include "store/types.h"

#define LATHE_DAY_US ((int64_t)86400000000)
#define LATHE_DAY_TEXT 32 /* of "2026-01-31" */

/* A day as "2026-01-31", and back; false: it is none. [any] */
const char *lathe_day_text(int64_t day, char buf[LATHE_DAY_TEXT]);
bool lathe_day_parse(const char *text, int64_t *day);

/* What a project may use; 0: as much as it likes. */
typedef struct lathe_quota {
    int64_t requests_per_day;         /* for inference */
    int64_t rows_per_day;             /* predicted */
    int64_t training_seconds_per_day; /* of runs, by the clock */
    int64_t concurrent_runs;          /* that wait or run */
} lathe_quota;

/* The members by their names, for documents and messages; NULL-terminated. */
extern const char *const lathe_quota_names[];
int64_t *lathe_quota_member(lathe_quota *quota, int index);

typedef struct lathe_project_record {
    const char *name;
    lathe_quota quota;
    int64_t created;
} lathe_project_record;

typedef struct lathe_project_list {
    lathe_project_record *items;
    size_t count;
} lathe_project_list;

/* By name. */
int32_t lathe_store_projects(lathe_store *store, lathe_arena *arena, lathe_project_list *list,
                             lathe_error *err);
/* LATHE_E_NOT_FOUND. */
int32_t lathe_store_project(lathe_store *store, const char *name, lathe_arena *arena,
                            lathe_project_record *project, lathe_error *err);
/* Makes a project (`create`; LATHE_E_EXISTS) or sets the quota of one (LATHE_E_NOT_FOUND). LATHE_E_INVALID: a bad name, a
 * negative quota. Audited: "project.create", "project.set". */
int32_t lathe_store_project_set(lathe_store *store, const char *name, const lathe_quota *quota,
                                bool create, lathe_error *err);

/* What one token used on one day. token "": nobody's, where none is needed; schedules are "schedule:NAME". */
typedef struct lathe_usage {
    int64_t day;
    const char *token, *project;
    int64_t requests, rows, training_ms;
} lathe_usage;

typedef struct lathe_usage_list {
    lathe_usage *items;
    size_t count;
} lathe_usage_list;

/* Adds to what is there, all in one transaction. */
int32_t lathe_store_usage_add(lathe_store *store, const lathe_usage *items, size_t n,
                              lathe_error *err);
/* Days first … last, by day, project and token; project and token NULL: all. */
int32_t lathe_store_usage(lathe_store *store, int64_t first, int64_t last, const char *project,
                          const char *token, lathe_arena *arena, lathe_usage_list *list,
                          lathe_error *err);
/* The sum of a project's day. */
int32_t lathe_store_usage_of(lathe_store *store, int64_t day, const char *project, lathe_usage *sum,
                             lathe_error *err);
/* Entries of the queue that wait or run for a project. */
int32_t lathe_store_project_runs(lathe_store *store, const char *project, int64_t *count,
                                 lathe_error *err);

#endif
