/* serve/metering.h: usage by token and project, and the quotas of projects.
 *
 * Workers count requests and rows by token in their slots (serve/slots.h); the supervisor writes what is new to the store
 * every LATHE_METERING_SECONDS and at its end, so that a supervisor that is killed loses at most so much. Training time is written
 * when a run ends.
 *
 * A quota of requests or rows holds for a project and a day of UTC over all workers: what is used today stands in slot 0 of the
 * shared page. Requests are counted before they are predicted, exactly; rows after, so that a request which
 * crosses the bound is still answered, and those that are under way at that moment. Requests without a token, and tokens of all projects, count for the project "default".
 */
#ifndef LATHE_SERVE_METERING_H
#define LATHE_SERVE_METERING_H

#include "serve/auth/auth.h"
#include "serve/slots.h"
#include "store/store.h"

#define LATHE_METERING_SECONDS 10
#define LATHE_METERING_PROJECT "default"

/* ---- the serving thread's side [serve] ---- */

/* Counts a request of the one who was checked last. False: a quota of the project is used, and it has been answered with 429,
 * Retry-After and the quota's name. slots NULL: nothing is bounded. slot: of the worker. */
bool lathe_metering_admit(const lathe_auth *auth, lathe_slots *slots, lathe_slot *slot,
                          lathe_exchange *exchange);
/* Counts rows that were predicted. meter: as lathe_auth_last gave it when the request was admitted. */
void lathe_metering_rows(const lathe_auth_meter *meter, lathe_slots *slots, lathe_slot *slot,
                         int64_t rows);

/* ---- the supervisor's side [loop] ---- */

typedef struct lathe_metering lathe_metering;

int32_t lathe_metering_new(lathe_store *store, lathe_slots *slots, lathe_auth *auth,
                           lathe_metering **metering, lathe_error *err);
/* Writes what is new, and frees it. NULL is fine. */
void lathe_metering_free(lathe_metering *metering);
/* Reads the projects anew, and gives the table of tokens their quotas: whenever tokens or projects have changed, before the
 * table is sent. NULL is fine. */
int32_t lathe_metering_reload(lathe_metering *metering, lathe_error *err);
/* Some times a second: writes where it is time, and begins a new day. */
void lathe_metering_tick(lathe_metering *metering);
/* Writes what is new. */
int32_t lathe_metering_save(lathe_metering *metering, lathe_error *err);
/* A run has ended that `actor` submitted. */
void lathe_metering_run(lathe_metering *metering, const char *run, const char *actor,
                        double seconds);

/* ---- where runs are submitted ---- */

/* May the project have a further run? LATHE_E_STATE: *retry_after gets the seconds until it may. [any] */
int32_t lathe_metering_check_run(lathe_store *store, const char *project, int64_t *retry_after,
                                 lathe_error *err);

#endif
