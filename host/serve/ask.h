/* serve/ask.h: what needs plugin code, asked of a worker process: `lathe worker VERB …`, which ends with its answer. [pool]
 *
 * The process has nothing of ours but its standard streams, all in memory: the answer, and what it says on stderr, which
 * becomes the error where it fails. After so many seconds, or a larger answer than allowed, it is killed.
 */
#ifndef LATHE_SERVE_ASK_H
#define LATHE_SERVE_ASK_H

#include "base/buf.h"
#include "base/error.h"

/* args: verb and what follows, NULL at the end. The answer is what it writes to stdout and to LATHE_LINK_EVENTS_FD.
 *   LATHE_E_DATA      it ended with an error, which it told
 *   LATHE_E_CRASHED   it ended by a signal
 *   LATHE_E_TIMEOUT   it was killed */
int32_t lathe_ask(const char *executable, const char *const *args, double seconds, size_t max_bytes,
                  lathe_buf *answer, lathe_error *err);

#endif
