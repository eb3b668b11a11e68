/* cli/child.h: work that loads plugins, in a process of its own. */
#ifndef LATHE_CLI_CHILD_H
#define LATHE_CLI_CHILD_H

#include "base/buf.h"
#include "base/error.h"

/* Runs `lathe worker VERB argv[1] …` on this process's own standard streams and gives its exit code. Where it
 * crashed, the plugin and function are named and the code is 1. Interrupts end it: 130. */
int cli_child(const char *verb, int argc, char **argv);

/* The other side: `lathe worker predict …`, `describe …`. */
int cli_worker_predict(int argc, char **argv);
int cli_worker_describe(int argc, char **argv);

#endif
