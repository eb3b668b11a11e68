/* store/rows.h: INTERNAL to host/store: what one concept's file offers the others. */
#ifndef LATHE_STORE_ROWS_H
#define LATHE_STORE_ROWS_H

#include "store/endpoints.h"
#include "store/models.h"

#include <sqlite3.h>

/* Makes a project where it is missing. Within a transaction. */
int32_t lathe_store_project_need(lathe_store *store, const char *project, lathe_error *err);

/* LATHE_E_NOT_FOUND; LATHE_E_STATE where `unfinished` is asked and it has finished. */
int32_t lathe_store_run_need(lathe_store *store, const char *id, bool unfinished, lathe_error *err);

/* The version is registered, and its file is there with the right length. */
int32_t lathe_store_version_need(lathe_store *store, const char *model, int64_t version,
                                 lathe_error *err);

/* An endpoint stays in its project: LATHE_E_EXISTS where the model is of another. One that is yet to be made may serve any. */
int32_t lathe_store_may_serve(lathe_store *store, const char *endpoint, const char *model,
                              lathe_error *err);

/* Within a transaction: moves an alias, with every endpoint that follows it. action: "set" or "rollback". */
int32_t lathe_store_alias_move(lathe_store *store, const char *model, const char *alias,
                               int64_t version, const char *action, const char *reason,
                               lathe_error *err);

/* Within a transaction: an endpoint now serves this. Nothing where it does already. */
int32_t lathe_store_endpoint_move(lathe_store *store, const char *name, const char *model,
                                  const char *alias, int64_t version, const char *action,
                                  const char *reason, lathe_error *err);

/* Within a transaction: what lathe_store_endpoint_promote does. */
int32_t lathe_store_endpoint_serve(lathe_store *store, const lathe_endpoint_record *endpoint,
                                   const char *model, int64_t version, const char *reason,
                                   lathe_error *err);

/* Within a transaction: an endpoint has been moved to this version: its canary ends, and a shadow of the version. */
int32_t lathe_store_rollouts_supersede(lathe_store *store, const char *endpoint, const char *model,
                                       int64_t version, lathe_error *err);

/* Runs a query of history rows: id, time, action, model, alias, version, actor, reason, current. */
int32_t lathe_store_collect_moves(lathe_store *store, sqlite3_stmt *stmt, lathe_arena *arena,
                                  lathe_move_list *list, lathe_error *err);

/* "key": "value" pairs as a JSON object, malloc'ed; NULL values are left out. Ends with a NULL key. NULL: no memory. */
char *lathe_store_detail(const char *key, const char *value, ...) __attribute__((sentinel));

#endif
