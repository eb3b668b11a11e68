/* serve/ask.h: what needs plugin code, asked of a worker process: `lathe worker VERB …`, which ends with its answer. [pool]
 *
 * The process has nothing of ours but its standard streams and a page of breadcrumbs, all in memory: the question, the answer,
 * and what it says on stderr, which becomes the error where it fails. After so many seconds, or a larger answer than allowed,
 * it is killed; where it died, the plugin is named.
 */
#ifndef LATHE_SERVE_ASK_H
#define LATHE_SERVE_ASK_H

#include "base/buf.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct lathe_question {
    const char *executable;
    const char *const *args; /* verb and what follows, NULL at the end; at most 20 */
    const char *input;       /* its standard input; NULL: none */
    size_t input_len;
    double seconds;
    size_t max_bytes;        /* of the answer */
    bool partial;            /* the answer as far as it came is wanted, also with an error */
    const atomic_bool *stop; /* once it is true, the process is killed; NULL: never */
} lathe_question;

/* The answer is what it writes to stdout and to LATHE_LINK_EVENTS_FD.
 *   LATHE_E_DATA      it ended with an error, which it told
 *   LATHE_E_CRASHED   it ended by a signal
 *   LATHE_E_TIMEOUT   it was killed: it took too long, or said too much
 *   LATHE_E_CANCELLED it was killed: `stop` */
int32_t lathe_ask(const lathe_question *question, lathe_buf *answer, lathe_error *err);

#endif
