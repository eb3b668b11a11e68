/* pipeline/link.h: the worker's side of the talk with its parent.
 *
 * Newline JSON both ways. The worker writes events to descriptor 3: {"event": "progress", …}. On its standard
 * input it first gets the job, one line; after it {"stop": true} and replies to questions. A question is an
 * event with an "ask" number; its reply is {"reply": <the number>, …}. When standard input closes, the parent is
 * gone: the work is told to stop, and the process ends within two seconds whether it listens or not.
 *
 * The link's loop runs on the thread that called lathe_link_run; the work runs on a thread of its own, which may
 * emit and ask. Events may be emitted from any thread.
 */
#ifndef LATHE_PIPELINE_LINK_H
#define LATHE_PIPELINE_LINK_H

#include "base/error.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct lathe_link lathe_link;

#define LATHE_LINK_EVENTS_FD 3
#define LATHE_LINK_CRUMBS_FD 4
#define LATHE_LINK_MUTE                                                                            \
    74 /* code with which a worker ends that could not tell its parent something (EX_IOERR) */
#define LATHE_LINK_MAX_LINE ((size_t)256 << 20)

/* The work: gets the job's document; returns the process's exit code. [worker thread] */
typedef int (*lathe_link_work_fn)(void *user, lathe_link *link, const cJSON *job);

/* Reads the job, runs the work, serves the loop until it is done. Returns the exit code; 1 where there was no job. */
int lathe_link_run(lathe_link_work_fn work, void *user);

/* Moves the descriptor of the events out of the reach of plugins that write to low numbers; gives its new number. Once a
 * process, before plugins are loaded. lathe_link_run does it itself. */
int lathe_link_hide_events(void);

/* Sends an event; takes the tree over. A parent that is gone is noticed by the loop, so nothing is returned. [any] */
void lathe_link_emit(lathe_link *link, cJSON *event);

/* Sends a question and waits for its reply, whose tree the caller deletes. NULL: the parent is gone or work was
 * stopped; err says which (LATHE_E_CANCELLED, LATHE_E_IO). A reply with "error" becomes that error. [worker thread] */
cJSON *lathe_link_ask(lathe_link *link, cJSON *question, lathe_error *err);

/* Set when the parent said stop or is gone; hand it to the runtime. */
atomic_int *lathe_link_stop_flag(lathe_link *link);

/* An event object {"event": name} to add members to; NULL: out of memory (emit takes NULL). */
cJSON *lathe_link_event(const char *name);

#endif
