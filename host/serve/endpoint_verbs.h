/* serve/endpoint_verbs.h: what can be done to an endpoint, with the arguments as one JSON object: for the control API and
 * for the command line alike. It changes the store; who serves reads it again. [any, one thread at a time per store]
 *
 *   set       {"model", "version" | "alias", "traffic", "sticky", "validation"}: makes or moves it; settings alone leave it
 *             where it is. Without version and alias: fixed to the newest version.
 *   canary    {"model", "version", …the settings of serve/rollout/canary.h}: puts a version on trial
 *   shadow    {"model", "version"}: lets a version predict copies; takes the place of another shadow
 *   unshadow  {}
 *   promote   {"model", "version"}: serves it from now on; {}: the canary that is on trial
 *   rollback  {}: takes the canary away; where there is none, serves what it served before
 *
 * All take "reason", for the history, and, but for the last, "force": also where a gate of the version's goal fails,
 * or where it lacks a column of the rules of an endpoint that is to serve it (store/fits.h).
 * "model" is by default the endpoint's own, "version" the newest.
 */
#ifndef LATHE_SERVE_ENDPOINT_VERBS_H
#define LATHE_SERVE_ENDPOINT_VERBS_H

#include "store/store.h"

#include <cjson/cJSON.h>

/* *answer (delete it): {"endpoint", "model", "version"}: what it serves afterwards; where a gate refuses (LATHE_E_STATE)
 * {"error", "checks": [{"metric", "require", "value", "met"}, …]}, or [{"endpoint", "column"}, …]; NULL else. LATHE_E_INVALID, LATHE_E_NOT_FOUND. */
int32_t lathe_endpoint_verb(lathe_store *store, const char *verb, const char *endpoint,
                            const cJSON *arguments, cJSON **answer, lathe_error *err);

/* Promotes a version of a model under an alias, with the same gates and answer: {"version", "alias", "reason", "force"}. */
int32_t lathe_model_promote(lathe_store *store, const char *ref, const cJSON *arguments,
                            cJSON **answer, lathe_error *err);

/* An endpoint as JSON: what it serves, its settings, what is on trial as the store knows it. NULL: err. */
cJSON *lathe_endpoint_json(lathe_store *store, const lathe_endpoint_record *endpoint,
                           lathe_arena *arena, lathe_error *err);
/* A rollout of the store's. */
cJSON *lathe_rollout_record_json(const lathe_rollout_record *rollout);

#endif
