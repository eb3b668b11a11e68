/* serve/api_internal.h: what the handlers of the control plane share. [loop]
 *
 * A handler answers its call exactly once. Handlers are listed in the table of api.c, with method, path and the role
 * that they need at least; they are called as that token (store actor set).
 */
#ifndef LATHE_SERVE_API_INTERNAL_H
#define LATHE_SERVE_API_INTERNAL_H

#include "serve/internal.h"

/* One request under way: path pieces after /api/v1, and memory of its own. */
typedef struct api_call {
    lathe_supervisor *s;
    lathe_exchange *exchange;
    lathe_arena *arena;
    const char *part[4]; /* "models", "adult-income", "promote" */
    size_t n_parts;
    lathe_auth_who who;
    lathe_error err;
} api_call;

/* ---- api.c ---- */
/* Answers call->err: its code as a status, its sentence as {"error": …}. */
void api_reply_error(api_call *c);
/* Sends a tree, and deletes it. */
void api_reply_json(api_call *c, int status, cJSON *tree);
/* Answers once every worker serves the store's new state; deletes the tree. anyway: also where a worker lags behind. */
void api_reply_json_when_served(api_call *c, int status, cJSON *tree, bool anyway);
/* {"version": …}, as above. */
void api_reply_when_served(api_call *c, int64_t version);
/* The body of a request as an object; NULL after an answer. An empty body is {}. */
cJSON *api_read_body(api_call *c);
const char *api_text_or(const cJSON *object, const char *key, const char *def);
/* Adds a text that is JSON as a tree; left out where it is none. */
void api_add_json(cJSON *object, const char *key, const char *text);

/* ---- api_models.c ---- */
void api_get_models(api_call *c);
void api_get_model(api_call *c);
void api_promote_model(api_call *c);
void api_rollback_model(api_call *c);

/* ---- api_endpoints.c ---- */
void api_get_endpoints(api_call *c);
void api_rollback_endpoint(api_call *c);

#endif
