/* serve/supervisor/routes.h: which names are served by which model versions: from the store, for the workers. [loop] */
#ifndef LATHE_SERVE_ROUTES_H
#define LATHE_SERVE_ROUTES_H

#include "serve/rollout/rollout.h"
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
 * unloaded. `rollouts`: what runs on an endpoint, with its counters. An endpoint's requests are shared in the order of the line of
 * keys: the canary, the version it serves, then its further "traffic" (store/endpoints.h); the canary's share is taken from
 * the second. More versions than the page holds: the rest is left out and logged. */
int32_t lathe_routes_read(lathe_store *store, uint64_t generation, const cJSON *unloaded,
                          const lathe_rollouts *rollouts, lathe_route_numbers *numbers,
                          cJSON **table, lathe_error *err);

#endif
