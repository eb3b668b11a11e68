/* plugin/conform.h: does a plugin keep what its kind promises? Checks that any plugin of a kind must pass, on small data of
 * its own: what `lathe plugins check` runs. [worker]
 *
 * Each check is a sentence. `tell` hears of it twice: when it begins (so that a crash within it can be named), and with what came
 * of it. A check that cannot be made with the parameters given is told as skipped, with the reason.
 */
#ifndef LATHE_PLUGIN_CONFORM_H
#define LATHE_PLUGIN_CONFORM_H

#include "plugin/runtime.h"

typedef enum lathe_conform_outcome {
    LATHE_CONFORM_BEGINS,
    LATHE_CONFORM_HOLDS,
    LATHE_CONFORM_FAILS,
    LATHE_CONFORM_SKIPPED
} lathe_conform_outcome;

typedef struct lathe_conform_options {
    const char *params; /* of the plugin, as JSON text; NULL: its defaults */
    /* what: "the slope is that of forward"; why: of FAILS and SKIPPED, else "". */
    void (*tell)(void *user, const char *what, lathe_conform_outcome outcome, const char *why);
    void *user;
} lathe_conform_options;

/* Runs the checks of the plugin's kind. Gives how many failed; -1: out of memory. The runtime is used for nothing else
 * meanwhile, since its leaks are counted. */
int lathe_conform(lathe_runtime *runtime, const lathe_plugin *plugin,
                  const lathe_conform_options *options);

#endif
