/* cli/child.h: work that loads plugins, in a process of its own. */
#ifndef LATHE_CLI_CHILD_H
#define LATHE_CLI_CHILD_H

#include "base/buf.h"
#include "base/error.h"

/* Runs `lathe worker VERB argv[1] …` on this process's own standard streams and gives its exit code. Where it
 * crashed, the plugin and function are named and the code is 1. Interrupts end it: 130. */
int cli_child(const char *verb, int argc, char **argv);

/* Runs one for an answer, which it writes to descriptor LATHE_LINK_EVENTS_FD and which goes into *answer. LATHE_E_CRASHED
 * names the plugin; after so many seconds it is killed: LATHE_E_TIMEOUT. */
int32_t cli_child_ask(const char *verb, int argc, char **argv, double seconds, lathe_buf *answer,
                      lathe_error *err);

/* The other side: `lathe worker predict …`, `describe …`, `validate …`. */
int cli_worker_predict(int argc, char **argv);
int cli_worker_describe(int argc, char **argv);
int cli_worker_validate(int argc, char **argv);

#endif
