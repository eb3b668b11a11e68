/* pipeline/check.h: small readers for the document's own keys; each fault is a diagnostic at its node. [any] */
#ifndef LATHE_PIPELINE_CHECK_H
#define LATHE_PIPELINE_CHECK_H

#include "base/arena.h"
#include "base/json.h"

/* What every reader here works with. */
typedef struct lathe_check {
    lathe_json *doc;
    lathe_arena *arena;
    lathe_diags *diags;
} lathe_check;

/* Is `node` an object? Notes unknown keys with the nearest known one; known ends with NULL. `what` names the
 * object in messages: "\"goal\"". */
bool lathe_check_object(const lathe_check *c, const cJSON *node, const char *what,
                        const char *const *known);

/* A member that must be there; else a diagnostic at `object` and NULL. */
const cJSON *lathe_check_required(const lathe_check *c, const cJSON *object, const char *what,
                                  const char *key);

/* Members with a default where absent. A wrong type is a diagnostic, and gives the default. */
const char *lathe_check_string(const lathe_check *c, const cJSON *object, const char *key,
                               const char *def); /* non-empty; in the arena */
bool lathe_check_bool(const lathe_check *c, const cJSON *object, const char *key, bool def);
int64_t lathe_check_int(const lathe_check *c, const cJSON *object, const char *key, int64_t min,
                        int64_t max, int64_t def);
double lathe_check_number(const lathe_check *c, const cJSON *object, const char *key, double min,
                          double max, double def);
/* Index into choices (NULL-terminated). */
int lathe_check_choice(const lathe_check *c, const cJSON *object, const char *key,
                       const char *const *choices, int def);

/* A name for runs, models, endpoints, candidates: 1 to 64 of letters, digits, '_', '-', '.', beginning with a letter or
 * digit. `what` is for the message. */
bool lathe_check_name(const lathe_check *c, const cJSON *node, const char *what, const char *name);

#endif
