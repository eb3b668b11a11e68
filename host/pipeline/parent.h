/* pipeline/parent.h: a run seen from its parent: starts the worker, follows its events, keeps what it made.
 *
 * The parent loads no plugin. It gives the worker (`lathe worker run`) the job, answers its questions, verifies and
 * commits what it staged, stores its events, and tells how it ended: also when it crashed, hung after a
 * stop, or was killed. `lathe run` and `lathe serve` are both such parents.
 *
 * Everything runs on the given loop's thread, store calls included: give a service's runs a loop that may wait
 * for the disk.
 */
#ifndef LATHE_PIPELINE_PARENT_H
#define LATHE_PIPELINE_PARENT_H

#include "base/error.h"
#include "store/store.h"

#include <cjson/cJSON.h>
#include <uv.h>

typedef struct lathe_parent lathe_parent;

#define LATHE_RUN_MAX_LINES 1000000
#define LATHE_RUN_MAX_BYTES ((int64_t)256 << 20)

/* How a run ended. */
typedef struct lathe_outcome {
    const char *status;  /* LATHE_RUN_SUCCEEDED, … */
    int exit_code;       /* 0, 1, 3 or 130, as of `lathe run` */
    const cJSON *result; /* the worker's result object (the design's §6); NULL where it gave none */
    const lathe_error *error; /* why it failed; code 0 where it did not */
} lathe_outcome;

typedef struct lathe_run_request {
    const char *executable;   /* the program itself */
    const char *plugin_path;  /* folders joined by ':', or NULL for the usual */
    const char *text;         /* the document, as read */
    const char *file;         /* its name, for messages */
    const char *base_dir;     /* paths in it are relative to this */
    const char *const *roots; /* folders that its paths may not leave; n_roots 0: anywhere */
    size_t n_roots;
    const char *const *sets; /* "name=value" */
    size_t n_sets;
    const char *run;      /* its id (lathe_store_run_id); NULL: a new one */
    const char *project;  /* which alone it may deploy to; NULL: any, and the run is "default"'s */
    const char *actor;    /* who registers what it makes; NULL: as the store has it */
    const char *pipeline; /* its name, for the store */
    const char *document; /* the document with parameters substituted, as JSON */
    int64_t seed;
    int threads; /* 0: the cores */
    /* What the worker may have stored, beyond which the run is ended: lines (events but progress, and questions), and their
     * bytes. 0: the usual. */
    int64_t max_lines, max_bytes;
    /* Each event as it comes, progress included; valid during the call. May be NULL. */
    void (*on_event)(void *user, const cJSON *event);
    /* Events up to this number are in the store now. May be NULL. */
    void (*on_stored)(void *user, int64_t last_seq);
    /* A line that a plugin printed, where none should. May be NULL. */
    void (*on_output)(void *user, const char *text);
    void (*on_end)(void *user,
                   const lathe_outcome *outcome); /* once; the parent frees itself after */
    void *user;
} lathe_run_request;

/* Begins a run. The request's texts are copied. An error leaves nothing behind but a failed run. [loop] */
int32_t lathe_parent_start(uv_loop_t *loop, lathe_store *store, const lathe_run_request *request,
                           lathe_parent **parent, lathe_error *err);

/* Asks the worker to stop; after `grace_ms` it is killed. May be called again to shorten the grace. [loop] */
void lathe_parent_stop(lathe_parent *parent, uint64_t grace_ms);

/* The same, but the run ends as interrupted (the service stops) instead of cancelled. [loop] */
void lathe_parent_interrupt(lathe_parent *parent, uint64_t grace_ms);

/* The run's id in the store; valid until on_end returns. */
const char *lathe_parent_run_id(const lathe_parent *parent);

#endif
