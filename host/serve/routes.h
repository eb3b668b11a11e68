/* serve/routes.h: which names are served by which model versions: from the store, for the workers. [loop] */
#ifndef LATHE_SERVE_ROUTES_H
#define LATHE_SERVE_ROUTES_H

#include "serve/slots.h"
#include "store/store.h"

#include <cjson/cJSON.h>

/* Numbers of model versions in the slots page; a version keeps its number as long as the supervisor runs. */
typedef struct lathe_route_numbers {
    char names[LATHE_SLOTS_MODELS][LATHE_SLOTS_NAME];
    int count;
} lathe_route_numbers;

/* {"generation": g, "routes": […]} of serve/protocol.h: every endpoint; and every model, by its own name, with its alias
 * "live" (else its newest version) as default and all versions that an alias names. `unloaded`: names that an administrator
 * unloaded. More versions than the page holds: the rest is left out and logged. */
int32_t lathe_routes_read(lathe_store *store, uint64_t generation, const cJSON *unloaded,
                          lathe_route_numbers *numbers, cJSON **table, lathe_error *err);

#endif
