/* store/runs.h: projects, runs, their events and their files.
 *
 *     char id[LATHE_RUN_ID];
 *     lathe_run_new info = {.pipeline = "adult-income", .document = text, .seed = 7};
 *     lathe_store_run_begin(store, &info, id, &err);
 *     lathe_store_events_append(store, id, lines, n, NULL, &err);       // as the worker speaks
 *     lathe_store_run_finish(store, id, LATHE_RUN_SUCCEEDED, "", result, &err);
 *
 * A finished run never changes again (a trigger sees to it).
 */
#ifndef LATHE_STORE_RUNS_H
#define LATHE_STORE_RUNS_H

#include "store/types.h"

#define LATHE_RUN_ID 32 /* bytes of "20250102-030405-7f3a9c" with room to spare */

#define LATHE_RUN_RUNNING "running"
#define LATHE_RUN_SUCCEEDED "succeeded"
#define LATHE_RUN_GOAL_NOT_MET "goal_not_met"
#define LATHE_RUN_FAILED "failed"
#define LATHE_RUN_CANCELLED "cancelled"     /* Ctrl-C, `lathe runs cancel` */
#define LATHE_RUN_INTERRUPTED "interrupted" /* its parent died */

typedef struct lathe_run_new {
    const char *id;       /* of lathe_store_run_id; NULL: a new one */
    const char *project;  /* NULL: "default"; made where missing */
    const char *pipeline; /* the document's name */
    const char *document; /* JSON, kept byte for byte */
    int64_t seed;
    const char *version; /* of the program; NULL: "" */
    const char *machine; /* JSON; NULL: "{}", as the two below */
    const char *plugins; /* JSON: {"lathe.learner.mlp": {"version": …, "sha256": …}} */
    const char *data;    /* JSON: {"data/adult.csv.gz": {"sha256": …, "bytes": …}} */
} lathe_run_new;

typedef struct lathe_run_record {
    const char *id;
    const char *project;
    const char *pipeline;
    const char *document_sha256; /* of the canonical text: equal documents, equal hashes */
    int64_t seed;
    const char *status; /* LATHE_RUN_… */
    int64_t started;
    int64_t finished;   /* 0: not yet */
    const char *reason; /* why it ended as it did; "" where there is nothing to say */
    const char *version;
    const char *result; /* JSON that run_finish gave; "{}" before */
    /* Only of lathe_store_run; NULL in lists: */
    const char *document;
    const char *machine;
    const char *plugins;
    const char *data;
} lathe_run_record;

typedef struct lathe_run_list {
    lathe_run_record *items;
    size_t count;
} lathe_run_list;

/* NULL and 0 members do not filter. */
typedef struct lathe_run_filter {
    const char *project;
    const char *pipeline;
    const char *status;
    const char *before; /* the id of a run: those that come after it in the list (older ones) */
    int64_t limit;
} lathe_run_filter;

/* An id for a run that is to begin later. */
int32_t lathe_store_run_id(char id[LATHE_RUN_ID], lathe_error *err);

/* A new run, "running" as of now. LATHE_E_INVALID: the document is no JSON. */
int32_t lathe_store_run_begin(lathe_store *store, const lathe_run_new *info, char id[LATHE_RUN_ID],
                              lathe_error *err);

/* Facts that become known while it runs; NULL leaves one as it is. LATHE_E_NOT_FOUND; LATHE_E_STATE:
 * the run has finished. */
int32_t lathe_store_run_facts(lathe_store *store, const char *id, const char *machine,
                              const char *plugins, const char *data, lathe_error *err);

/* Ends a run and removes its staging folder. result: JSON, NULL for "{}". LATHE_E_NOT_FOUND; LATHE_E_STATE: it
 * has finished already. LATHE_E_INVALID: `status` is none of the above, or is "running". */
int32_t lathe_store_run_finish(lathe_store *store, const char *id, const char *status,
                               const char *reason, const char *result, lathe_error *err);

/* One run by its id, by the beginning of its id (LATHE_E_INVALID where several begin so, naming them), or
 * "latest". LATHE_E_NOT_FOUND. */
int32_t lathe_store_run(lathe_store *store, const char *id, lathe_arena *arena,
                        lathe_run_record *run, lathe_error *err);

/* Newest first. filter may be NULL. */
int32_t lathe_store_runs(lathe_store *store, const lathe_run_filter *filter, lathe_arena *arena,
                         lathe_run_list *list, lathe_error *err);

/* ---- what differs between two runs ---- */

typedef struct lathe_run_difference {
    const char *part;    /* "document", "result", "data", "plugins", "machine", "run" */
    const char *pointer; /* JSON Pointer in that part */
    const char *a, *b;   /* the leaf as JSON text; NULL: that run has none there */
} lathe_run_difference;

typedef struct lathe_run_comparison {
    lathe_run_record a, b;
    lathe_run_difference *items; /* leaf by leaf: by part, then by pointer */
    size_t count;
} lathe_run_comparison;

/* Ids as in lathe_store_run. */
int32_t lathe_store_runs_compare(lathe_store *store, const char *a, const char *b,
                                 lathe_arena *arena, lathe_run_comparison *out, lathe_error *err);

/* ---- events ---- */

typedef struct lathe_event_record {
    int64_t seq; /* from 1, without gaps, in each run */
    int64_t time;
    const char *json;
} lathe_event_record;

typedef struct lathe_event_list {
    lathe_event_record *items;
    size_t count;
} lathe_event_list;

/* Appends JSON texts in one transaction: all or none. One call is one fsync, so gather what comes within some
 * 100 ms. last_seq may be NULL. LATHE_E_NOT_FOUND: no such run. */
int32_t lathe_store_events_append(lathe_store *store, const char *run, const char *const *json,
                                  size_t count, int64_t *last_seq, lathe_error *err);

/* Events with seq > after, at most `limit` (0: all). No such run: LATHE_E_NOT_FOUND. */
int32_t lathe_store_events(lathe_store *store, const char *run, int64_t after, int64_t limit,
                           lathe_arena *arena, lathe_event_list *list, lathe_error *err);

/* ---- files of a run: its report, its model ---- */

typedef struct lathe_run_file {
    const char *name; /* "report.html" */
    const char *sha256;
    int64_t bytes;
} lathe_run_file;

typedef struct lathe_run_files {
    lathe_run_file *items;
    size_t count;
} lathe_run_files;

/* Names a committed artifact within a run; the artifact then stays. A name that is taken moves to the new
 * artifact. LATHE_E_NOT_FOUND: no such run or artifact. */
int32_t lathe_store_run_file_add(lathe_store *store, const char *run, const char *name,
                                 const char *sha256, lathe_error *err);

/* By name. */
int32_t lathe_store_run_files(lathe_store *store, const char *run, lathe_arena *arena,
                              lathe_run_files *list, lathe_error *err);

#endif
