/* store/models.h: models, their immutable versions, and the aliases that point at them.
 *
 * A version, once registered, never changes and never goes: triggers refuse it. What moves is an alias
 * ("live", "candidate"), and each move is kept, so that it can be undone: rollback goes back one move, a
 * second rollback one further, like undo; moving an alias anew after a rollback starts from there.
 */
#ifndef LATHE_STORE_MODELS_H
#define LATHE_STORE_MODELS_H

#include "store/types.h"

typedef struct lathe_version_new {
    const char *model; /* made where missing */
    const char *
        project; /* of model and endpoint, LATHE_E_EXISTS where another has them; NULL: the model's,
                             "default" where it is made */
    const char *sha256;   /* a committed artifact */
    const char *run;      /* NULL: imported */
    const char *document; /* JSON, as the two below; NULL: "{}" */
    const char *metrics;
    const char *goal;
    const char *alias; /* moved to this version in the same transaction; NULL: none */
    const char
        *endpoint; /* made or moved in the same transaction: it follows `alias`, or, where that is
                             NULL, is fixed to this version. NULL: none */
    const char *reason; /* for the histories; NULL: "" */
    bool reuse; /* take the model's newest version where it has this very artifact already */
} lathe_version_new;

typedef struct lathe_version_record {
    const char *model;
    int64_t version; /* 1, 2, … without gaps */
    const char *sha256;
    int64_t bytes;
    const char *run; /* "" where imported */
    int64_t created;
    const char *metrics;
    const char *goal;
    const char *aliases;  /* those that point here now, "a, b"; "" where none does */
    const char *document; /* NULL in lists */
} lathe_version_record;

typedef struct lathe_version_list {
    lathe_version_record *items;
    size_t count;
} lathe_version_list;

typedef struct lathe_model_record {
    const char *name;
    const char *project;
    int64_t created;
    int64_t versions; /* how many; the newest has this number */
    int64_t updated;  /* when the newest was registered */
} lathe_model_record;

typedef struct lathe_model_list {
    lathe_model_record *items;
    size_t count;
} lathe_model_list;

/* Registers a version and moves alias and endpoint: ONE transaction, all or nothing. *version gets its
 * number (or, with reuse, that of the version found). LATHE_E_NOT_FOUND: no such artifact or run;
 * LATHE_E_CORRUPT: the artifact's file is missing or has another length. */
int32_t lathe_store_version_register(lathe_store *store, const lathe_version_new *info,
                                     int64_t *version, lathe_error *err);

/* "MODEL", "MODEL@3" or "MODEL@ALIAS"; without '@' the newest version. LATHE_E_NOT_FOUND names the
 * nearest model, the versions and aliases there are. */
int32_t lathe_store_version(lathe_store *store, const char *ref, lathe_arena *arena,
                            lathe_version_record *version, lathe_error *err);

/* By name; and of one model, newest first (LATHE_E_NOT_FOUND: no such model). */
int32_t lathe_store_models(lathe_store *store, lathe_arena *arena, lathe_model_list *list,
                           lathe_error *err);
int32_t lathe_store_versions(lathe_store *store, const char *model, lathe_arena *arena,
                             lathe_version_list *list, lathe_error *err);

/* Checks the whole content of a version's file. ref as in lathe_store_version. LATHE_E_CORRUPT. */
int32_t lathe_store_version_verify(lathe_store *store, const char *ref, lathe_error *err);

/* Copies a version's file out, checked on the way; as lathe_store_artifact_export. */
int32_t lathe_store_version_export(lathe_store *store, const char *ref, const char *path,
                                   bool overwrite, lathe_error *err);

/* ---- aliases ---- */

typedef struct lathe_alias_record {
    const char *model;
    const char *alias;
    int64_t version;
    int64_t updated;
} lathe_alias_record;

typedef struct lathe_alias_list {
    lathe_alias_record *items;
    size_t count;
} lathe_alias_list;

/* One move of an alias or of an endpoint. */
typedef struct lathe_move_record {
    int64_t id;
    int64_t time;
    const char *action; /* "set" or "rollback" */
    const char *model;
    const char *alias; /* "" for an endpoint that was fixed to a version */
    int64_t version;
    const char *actor;
    const char *reason;
    bool current; /* this is where it points now */
} lathe_move_record;

typedef struct lathe_move_list {
    lathe_move_record *items;
    size_t count;
} lathe_move_list;

/* Points an alias at a version ("promote"), after checking that its file is there; endpoints that follow the
 * alias move with it. Pointing it where it points already changes nothing. A name of digits alone is no
 * alias (LATHE_E_INVALID). LATHE_E_NOT_FOUND: no such version. */
int32_t lathe_store_alias_set(lathe_store *store, const char *model, const char *alias,
                              int64_t version, const char *reason, lathe_error *err);

/* Undoes the alias's last move. *version (may be NULL): where it points now. LATHE_E_NOT_FOUND: no such alias;
 * LATHE_E_STATE: it never pointed anywhere else. */
int32_t lathe_store_alias_rollback(lathe_store *store, const char *model, const char *alias,
                                   const char *reason, int64_t *version, lathe_error *err);

/* Aliases of a model (NULL: of all), by model and name. */
int32_t lathe_store_aliases(lathe_store *store, const char *model, lathe_arena *arena,
                            lathe_alias_list *list, lathe_error *err);

/* All moves of an alias, newest first. */
int32_t lathe_store_alias_history(lathe_store *store, const char *model, const char *alias,
                                  lathe_arena *arena, lathe_move_list *list, lathe_error *err);

#endif
