/* store/rollouts.h: versions on trial: canaries and shadows of endpoints.
 *
 * A canary takes a growing share of an endpoint's requests; it ends "promoted" (the endpoint serves it), "rolled_back"
 * (by a guard or by hand) or "superseded" (the endpoint was moved meanwhile, so that what it was compared with is gone).
 * A shadow predicts copies; it ends "ended", or "rolled_back" where it did harm. An endpoint has at most one of a kind at
 * a time. What a step's guards have measured is not kept here: who goes on with a canary measures its step anew.
 */
#ifndef LATHE_STORE_ROLLOUTS_H
#define LATHE_STORE_ROLLOUTS_H

#include "store/alerts.h"
#include "store/models.h"

#define LATHE_ROLLOUT_CANARY "canary"
#define LATHE_ROLLOUT_SHADOW "shadow"

#define LATHE_ROLLOUT_RUNNING "running"
#define LATHE_ROLLOUT_PROMOTED "promoted"
#define LATHE_ROLLOUT_ROLLED_BACK "rolled_back"
#define LATHE_ROLLOUT_SUPERSEDED "superseded"
#define LATHE_ROLLOUT_ENDED "ended"

typedef struct lathe_rollout_record {
    int64_t id;
    const char *endpoint;
    const char *kind;
    const char *model; /* on trial */
    int64_t version;
    const char *base_model; /* what the endpoint served when it began */
    int64_t base_version;
    const char *sha256, *base_sha256;
    const char *settings; /* JSON as it was given; what it means is for the service to say */
    const char *state;
    int64_t step; /* of a canary, from 0 */
    int64_t started, updated, finished;
    const char *actor, *reason; /* who began it; why it ended, or why it began */
    const char *verdict;        /* JSON: what was measured when it ended */
} lathe_rollout_record;

typedef struct lathe_rollout_list {
    lathe_rollout_record *items;
    size_t count;
} lathe_rollout_list;

/* Begins one. LATHE_E_NOT_FOUND: no such endpoint or version; LATHE_E_STATE: one of its kind is running there, or the
 * endpoint serves that version already. *id may be NULL. */
int32_t lathe_store_rollout_begin(lathe_store *store, const char *endpoint, const char *kind,
                                  const char *model, int64_t version, const char *settings,
                                  const char *reason, int64_t *id, lathe_error *err);

/* A canary enters a step. LATHE_E_STATE: it has ended. */
int32_t lathe_store_rollout_step(lathe_store *store, int64_t id, int64_t step, lathe_error *err);

/* Ends one, in one transaction: its state, reason and verdict (JSON; NULL: "{}"); with "promoted" the endpoint serves its
 * version from now on (by its alias where it follows one of the same model: then all that follow it do); and an alert
 * (NULL: none). LATHE_E_STATE: it has ended before. */
int32_t lathe_store_rollout_finish(lathe_store *store, int64_t id, const char *state,
                                   const char *reason, const char *verdict,
                                   const lathe_alert_new *alert, lathe_error *err);

/* Newest first. endpoint NULL: of all. running: those alone that run. limit 0: all. */
int32_t lathe_store_rollouts(lathe_store *store, const char *endpoint, bool running, int64_t limit,
                             lathe_arena *arena, lathe_rollout_list *list, lathe_error *err);

/* The one that runs on an endpoint; *found false: none does. */
int32_t lathe_store_rollout_running(lathe_store *store, const char *endpoint, const char *kind,
                                    lathe_arena *arena, lathe_rollout_record *rollout, bool *found,
                                    lathe_error *err);

#endif
