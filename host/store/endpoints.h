/* store/endpoints.h: the names under which models are served.
 *
 * An endpoint follows an alias of a model, or is fixed to one version. Its history has a row for every change of
 * what it serves, also where its alias was moved by someone else; so rollback always returns to the
 * version that was served before, be it of the same model or not. All models that one endpoint serves, also beside another,
 * on trial or in the shadow, are of one project.
 */
#ifndef LATHE_STORE_ENDPOINTS_H
#define LATHE_STORE_ENDPOINTS_H

#include "store/models.h"

typedef struct lathe_endpoint_record {
    const char *name;
    const char *model;
    const char *alias; /* "" where fixed to a version */
    int64_t version;   /* what it serves now */
    const char *sha256;
    int64_t updated;
    const char *project;  /* of its model */
    const char *settings; /* JSON: "traffic", "sticky" (lathe_store_endpoint_configure) */
} lathe_endpoint_record;

typedef struct lathe_endpoint_list {
    lathe_endpoint_record *items;
    size_t count;
} lathe_endpoint_list;

/* Makes or moves an endpoint. alias not NULL: it follows that alias, which must exist, and `version` is not
 * looked at; alias NULL: it is fixed to `version`. LATHE_E_NOT_FOUND: no such alias or version;
 * LATHE_E_CORRUPT: the version's file is missing or has another length; LATHE_E_EXISTS: the endpoint is of another project
 * than the model. */
int32_t lathe_store_endpoint_set(lathe_store *store, const char *name, const char *model,
                                 const char *alias, int64_t version, const char *reason,
                                 lathe_error *err);

/* Lets an endpoint serve a version: its alias moves where it follows one of the same model, and all that follow it; else it
 * is fixed to the version. Its canary ends. */
int32_t lathe_store_endpoint_promote(lathe_store *store, const char *name, const char *model,
                                     int64_t version, const char *reason, lathe_error *err);

/* How its requests are shared and kept together, as JSON. What is given replaces what was there; null takes it away:
 *   {"traffic": [{"model": "m", "version": 3, "percent": 10}, …]   further versions beside the one it serves, which takes
 *                                                                  the rest; together at most 100
 *    "sticky": "id" | "header:NAME"                                where a client's key is, beside the header lathe-sticky-key
 *    "validation": {…}}                                            in place of the document's (serve/infer/door.h)
 * LATHE_E_INVALID; LATHE_E_NOT_FOUND: no such endpoint or version. */
int32_t lathe_store_endpoint_configure(lathe_store *store, const char *name, const char *settings,
                                       lathe_error *err);

typedef struct lathe_endpoint_change {
    const char *model,
        *alias; /* as lathe_store_endpoint_set; model NULL: it goes on with what it serves */
    int64_t version;
    const char *settings; /* as lathe_store_endpoint_configure; NULL: they stay */
    const char *reason;
} lathe_endpoint_change;

/* What it serves and how, in one transaction: both or neither. */
int32_t lathe_store_endpoint_put(lathe_store *store, const char *name,
                                 const lathe_endpoint_change *change, lathe_error *err);

/* Undoes the last change of what it serves, in one transaction. Where that was a move of the alias that it follows,
 * the alias goes back, and with it all other endpoints that follow it. Where it followed another alias
 * before, it follows that one again if that still points where it did; else it is fixed to the version
 * it served then. While a canary runs, that is what is undone: it ends, and the endpoint serves what it did. *version
 * (may be NULL): what it serves afterwards.
 * LATHE_E_NOT_FOUND: no such endpoint; LATHE_E_STATE: it never served anything else. */
int32_t lathe_store_endpoint_rollback(lathe_store *store, const char *name, const char *reason,
                                      int64_t *version, lathe_error *err);

/* LATHE_E_NOT_FOUND names the nearest. */
int32_t lathe_store_endpoint(lathe_store *store, const char *name, lathe_arena *arena,
                             lathe_endpoint_record *endpoint, lathe_error *err);

/* By name. */
int32_t lathe_store_endpoints(lathe_store *store, lathe_arena *arena, lathe_endpoint_list *list,
                              lathe_error *err);

/* All changes, newest first. LATHE_E_NOT_FOUND. */
int32_t lathe_store_endpoint_history(lathe_store *store, const char *name, lathe_arena *arena,
                                     lathe_move_list *list, lathe_error *err);

#endif
