/* store/verify.h: is everything still there and as it was? And what may go? */
#ifndef LATHE_STORE_VERIFY_H
#define LATHE_STORE_VERIFY_H

#include "store/types.h"

typedef enum lathe_finding_level {
    LATHE_FINDING_NOTE = 0, /* nothing is lost: gc will tidy up */
    LATHE_FINDING_ERROR = 1
} lathe_finding_level;

typedef struct lathe_finding {
    lathe_finding_level level;
    const char *subject; /* "artifact 3f…", "lathe.db", "audit row 7" */
    const char *message;
} lathe_finding;

typedef struct lathe_verify_report {
    lathe_finding *items;
    size_t count;
    size_t errors; /* of level ERROR; 0: all is well */
    int64_t artifacts;
    int64_t bytes; /* that were read and hashed */
    int64_t versions;
    int64_t audit_rows;
} lathe_verify_report;

/* Checks the database's pages, indexes and foreign keys; the presence, length and SHA-256 of every artifact; that
 * aliases and endpoints agree with their histories; the audit chain; and files that no row knows. A defect
 * is a finding, not an error: LATHE_OK means that everything could be looked at. Works in a READ store,
 * too. */
int32_t lathe_store_verify(lathe_store *store, lathe_arena *arena, lathe_verify_report *report,
                           lathe_error *err);

typedef struct lathe_gc_options {
    int64_t
        steps_max_age; /* µs since the last use; cached steps older than that go. 0: any age stays */
    int64_t steps_max_bytes; /* least recently used steps go until the rest fits. 0: no bound */
    bool dry_run;            /* only count */
} lathe_gc_options;

typedef struct lathe_gc_result {
    int64_t steps;     /* cache entries dropped */
    int64_t artifacts; /* that nothing refers to any more */
    int64_t files;     /* temporary and stray files, staging folders of runs that ended */
    int64_t bytes;     /* freed by artifacts and files */
} lathe_gc_result;

/* Removes what nothing refers to. Versions, runs and their files always stay. options may be NULL: no step goes
 * but for its own sake. Rows go first, in one transaction, then the files: a crash between leaves stray files for
 * the next gc. While a commit's result waits to be referred to (artifact_commit, then version_register), whoever
 * brings it in must keep gc waiting by lathe_store_keep(), or it is called between jobs. */
int32_t lathe_store_gc(lathe_store *store, const lathe_gc_options *options, lathe_gc_result *result,
                       lathe_error *err);

#endif
