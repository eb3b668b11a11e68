/* serve/api/sse.h: events as live streams (server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html). [loop]
 *
 * A stream follows one run, or the audit log. What it sends comes from the store, in order and without gaps, each with its
 * number as id, so that a client that was cut off goes on where it was (Last-Event-ID); what is not stored (progress) is
 * sent as it happens, without an id. A stream of a run ends with "event: end" once the run has ended and all is sent; a line
 * ": beat" every 15 s shows that the connection lives; a client that does not read is cut off by the HTTP layer (1 MiB waits).
 */
#ifndef LATHE_SERVE_SSE_H
#define LATHE_SERVE_SSE_H

#include "base/buf.h"
#include "serve/http/http.h"
#include "store/store.h"

typedef struct lathe_sse lathe_sse;
typedef struct lathe_note lathe_note;

/* owner: open as long as there are streams. NULL: out of memory. */
lathe_sse *lathe_sse_new(uv_loop_t *loop, const lathe_store *owner);
/* Ends all streams; no new ones. NULL is fine. */
void lathe_sse_stop(lathe_sse *sse);

/* Answers a request by a stream of a run's events (run NULL: of the audit log) after number `after`; < 0: only what comes from
 * now on. project: whose runs there are for who asks; "": all. 404 where there is no such run, 503 where there are too many
 * streams. */
void lathe_sse_open(lathe_sse *sse, lathe_exchange *exchange, const char *run, const char *project,
                    int64_t after);

/* More of a run may be in the store. run NULL: of all. */
void lathe_sse_poke(lathe_sse *sse, const char *run);
/* A row of the audit log as the event of a stream: {"event", "subject", "actor", "time_us", "detail"}. [any] */
void lathe_sse_audit_event(const lathe_audit_record *row, lathe_buf *json);
/* Progress of a run, as JSON. */
void lathe_sse_progress(lathe_sse *sse, const char *run, const char *json);

#endif
