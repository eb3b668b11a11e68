/* serve/supervisor/supervisor.h: the process that owns sockets, store and counters, and loads no foreign code.
 *
 * It starts one inference worker a slot, gives each a listening socket of its own on the shared port (SO_REUSEPORT), keeps
 * their routes in step with the store, replaces a worker that crashed, hung or grew past its limit (the socket, with
 * its queue of connections, passes to the replacement), and serves the control plane. [loop]
 */
#ifndef LATHE_SERVE_SUPERVISOR_H
#define LATHE_SERVE_SUPERVISOR_H

#include "serve/config/config.h"
#include "serve/slots.h"
#include "serve/supervisor/routes.h"
#include "store/store.h"

typedef struct lathe_supervisor lathe_supervisor;

/* In the home, mode 0600: the control API without tokens, while a service owns the home. */
#define LATHE_CONTROL_SOCKET "control.sock"

typedef struct lathe_supervisor_options {
    const lathe_serve_config *config;
    const lathe_serve_sources *sources; /* read again at SIGHUP */
    const char *home;                   /* NULL: the usual */
    const char *executable;
} lathe_supervisor_options;

/* Serves until SIGTERM or SIGINT. Returns the exit code; err where it could not start. */
int lathe_supervisor_run(const lathe_supervisor_options *options, lathe_error *err);

#endif
