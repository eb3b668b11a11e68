/* cli/plugins_check.h: `lathe plugins check`: a plugin's file, looked at and put through the checks of its kind in a child. */
#ifndef LATHE_CLI_PLUGINS_CHECK_H
#define LATHE_CLI_PLUGINS_CHECK_H

#include <stdbool.h>

/* params: JSON text for its parameters, NULL: defaults. Gives the exit code: 0 where all holds, 1 where something does not. */
int cli_check_file(const char *file, const char *params, bool json);

/* The child: `lathe worker check CACHE FOLDER FILE ID PARAMS`. */
int cli_worker_check(int argc, char **argv);

#endif
