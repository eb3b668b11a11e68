/* Endpoints: list, show, make, share, canary, shadow, promote, roll back. */
#include "serve/api/api.h"

#include "serve/endpoint_verbs.h"

static int32_t get_endpoints(api_call *c) {
    lathe_endpoint_list list;
    int32_t rc = lathe_store_endpoints(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *endpoints = cJSON_AddArrayToObject(out, "endpoints");
    int64_t left = api_limit(c);
    const char *last = NULL;
    for (size_t i = 0; i < list.count; i++) {
        const lathe_endpoint_record *e = &list.items[i];
        if (!api_after_cursor(c, e->name))
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next", last);
            break;
        }
        cJSON *item = lathe_endpoint_json(c->store, e, c->arena, &c->err);
        if (item == NULL) {
            cJSON_Delete(out);
            return c->err.code;
        }
        last = e->name;
        cJSON_AddItemToArray(endpoints, item);
    }
    return api_answer(c, out);
}

/* [loop] What is measured now, beside what the store knows. */
static void add_measured(api_call *c) {
    static const char *const kinds[] = {LATHE_ROLLOUT_CANARY, LATHE_ROLLOUT_SHADOW};
    cJSON *out = c->user;
    for (int k = 0; k < 2; k++) {
        cJSON *trial = cJSON_GetObjectItemCaseSensitive(out, kinds[k]);
        cJSON *live =
            trial != NULL ? lathe_rollout_json(c->s, api_part(c, "endpoint"), k == 1) : NULL;
        if (live != NULL)
            cJSON_AddItemToObject(trial, "measured", live);
    }
    c->rc = api_answer(c, out);
}

static int32_t get_endpoint(api_call *c) {
    lathe_endpoint_record e;
    int32_t rc = lathe_store_endpoint(c->store, api_part(c, "endpoint"), c->arena, &e, &c->err);
    if (rc != LATHE_OK)
        return rc;
    c->user = lathe_endpoint_json(c->store, &e, c->arena, &c->err);
    if (c->user == NULL)
        return c->err.code;
    c->then = add_measured;
    return LATHE_OK;
}

static int32_t get_history(api_call *c) {
    lathe_move_list list;
    int64_t below, left = api_limit(c);
    below = api_int_cursor(c, INT64_MAX);
    int32_t rc =
        lathe_store_endpoint_history(c->store, api_part(c, "endpoint"), c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *moves = cJSON_AddArrayToObject(out, "moves");
    for (size_t i = 0; i < list.count; i++) {
        const lathe_move_record *m = &list.items[i]; /* newest first */
        if (m->id >= below)
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next",
                                    lathe_arena_printf(c->arena, "%lld", (long long)m->id + 1));
            break;
        }
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "id", (double)m->id);
        api_add_time(item, "time_us", m->time);
        cJSON_AddStringToObject(item, "action", m->action);
        cJSON_AddStringToObject(item, "model", m->model);
        cJSON_AddStringToObject(item, "alias", m->alias);
        cJSON_AddNumberToObject(item, "version", (double)m->version);
        cJSON_AddStringToObject(item, "actor", m->actor);
        cJSON_AddStringToObject(item, "reason", m->reason);
        cJSON_AddBoolToObject(item, "current", m->current);
        cJSON_AddItemToArray(moves, item);
    }
    return api_answer(c, out);
}

static int32_t get_rollouts(api_call *c) {
    lathe_rollout_list list;
    lathe_endpoint_record e;
    int64_t below, left = api_limit(c);
    below = api_int_cursor(c, INT64_MAX);
    int32_t rc = lathe_store_endpoint(c->store, api_part(c, "endpoint"), c->arena, &e, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_store_rollouts(c->store, e.name, false, 0, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *rollouts = cJSON_AddArrayToObject(out, "rollouts");
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].id >= below)
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(
                out, "next", lathe_arena_printf(c->arena, "%lld", (long long)list.items[i].id + 1));
            break;
        }
        cJSON_AddItemToArray(rollouts, lathe_rollout_record_json(&list.items[i]));
    }
    return api_answer(c, out);
}

/* ---- changes ---- */

int32_t api_check_force(api_call *c) {
    if (!api_bool(c->body, "force", false) || c->local || c->who.role >= LATHE_ROLE_ADMIN)
        return LATHE_OK;
    c->status = 403;
    return lathe_fail(&c->err, LATHE_E_STATE, NULL,
                      "\"force\" overrides the gates of a goal, which needs the role admin");
}

int32_t api_answer_verb(api_call *c, int32_t rc, cJSON *answer) {
    if (rc == LATHE_OK) {
        c->after = API_REROUTE;
        return api_answer(c, answer);
    }
    if (answer != NULL)
        cJSON_AddStringToObject(answer, "remedy",
                                "\"force\": true does it all the same, and the audit log keeps it "
                                "with the \"reason\"; it needs the role admin");
    if (answer != NULL && api_answer(c, answer) == LATHE_OK)
        c->status = 409; /* with the checks that failed */
    return rc;
}

static int32_t run_verb(api_call *c, const char *verb) {
    cJSON *answer = NULL;
    int32_t rc = api_check_force(c);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_endpoint_verb(c->store, verb, api_part(c, "endpoint"), c->body, &answer, &c->err);
    return api_answer_verb(c, rc, answer);
}

static int32_t set_endpoint(api_call *c) {
    return run_verb(c, "set");
}

static int32_t begin_canary(api_call *c) {
    return run_verb(c, "canary");
}

static int32_t begin_shadow(api_call *c) {
    return run_verb(c, "shadow");
}

static int32_t end_shadow(api_call *c) {
    return run_verb(c, "unshadow");
}

static int32_t promote_endpoint(api_call *c) {
    return run_verb(c, "promote");
}

static int32_t rollback_endpoint(api_call *c) {
    return run_verb(c, "rollback");
}

/* ---- the table ---- */

static const api_field page[] = {API_PAGE, {0}};
static const api_field numbered[] = {API_PAGE_NUMBERED, {0}};

#define MODEL                                                                                      \
    { "model", API_NAME, false, 0, 0, NULL, "default: the endpoint's", NULL }
#define VERSION                                                                                    \
    { "version", API_INT, false, 1, 1e9, NULL, "of the model; default: the newest", NULL }
#define REASON                                                                                     \
    { "reason", API_TEXT, false, 0, 1000, NULL, "for the history", NULL }
#define FORCE                                                                                      \
    {                                                                                              \
        "force", API_BOOL, false, 0, 0, NULL,                                                      \
            "also where a gate of its goal fails, or it lacks a column of the rules; role admin",  \
            NULL                                                                                   \
    }

static const api_field set_body[] = {
    MODEL,
    VERSION,
    {"alias", API_NAME, false, 0, 0, NULL, "to be followed, instead of a version", NULL},
    {"traffic", API_ANY, false, 0, 0, NULL,
     "further versions and their share of the requests; null: none", "Traffic"},
    {"sticky", API_ANY, false, 0, 0, NULL,
     "where a client's key is, \"id\" or \"header:NAME\"; null: in lathe-sticky-key alone",
     "Sticky"},
    {"validation", API_ANY, false, 0, 0, NULL, "instead of the document's; null: the document's",
     "Validation"},
    REASON,
    FORCE,
    {0}};

static const api_field canary_body[] = {
    MODEL,
    VERSION,
    {"steps", API_ANY, false, 0, 0, NULL, "percent of the requests; default [1, 10, 50, 100]",
     "Steps"},
    {"bake_seconds", API_NUMBER, false, 0, 2592000, NULL, "of each step at least; default 300",
     NULL},
    {"min_requests", API_INT, false, 1, 1e12, NULL, "of each step at least; default 100", NULL},
    {"promote", API_CHOICE, false, 0, 0, "auto|manual", "after the last step", NULL},
    {"guards", API_OBJECT, false, 0, 0, NULL, "limits; default {\"error_ratio\": 0.01}", "Guards"},
    REASON,
    FORCE,
    {0}};

static const api_field trial_body[] = {MODEL, VERSION, REASON, {0}};
static const api_field promote_body[] = {MODEL, VERSION, REASON, FORCE, {0}};
static const api_field reason_body[] = {REASON, {0}};

#define ENDPOINT "/api/v1/endpoints/{endpoint}"

const api_route api_endpoint_routes[] = {
    {.method = "GET",
     .path = "/api/v1/endpoints",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Endpoints by name",
     .run = get_endpoints,
     .query = page,
     .answer = "Endpoints"},
    {.method = "GET",
     .path = ENDPOINT,
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "What an endpoint serves, and what its canary and shadow have shown so far",
     .run = get_endpoint,
     .answer = "Endpoint"},
    {.method = "PUT",
     .path = ENDPOINT,
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Make or move an endpoint, share its requests",
     .run = set_endpoint,
     .body = set_body,
     .answer = "Served"},
    {.method = "GET",
     .path = ENDPOINT "/history",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "What it served, newest first",
     .run = get_history,
     .query = numbered,
     .answer = "Moves"},
    {.method = "GET",
     .path = ENDPOINT "/rollouts",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Its canaries and shadows, newest first",
     .run = get_rollouts,
     .query = numbered,
     .answer = "Rollouts"},
    {.method = "POST",
     .path = ENDPOINT "/canary",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Put a version on trial with a growing share of the requests, under guards",
     .run = begin_canary,
     .body = canary_body,
     .answer = "Served"},
    {.method = "POST",
     .path = ENDPOINT "/shadow",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Let a version predict copies of the requests, to be compared",
     .run = begin_shadow,
     .body = trial_body,
     .answer = "Served"},
    {.method = "DELETE",
     .path = ENDPOINT "/shadow",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "End the shadow",
     .run = end_shadow,
     .answer = "Served"},
    {.method = "POST",
     .path = ENDPOINT "/promote",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Serve the canary, or a version, from now on",
     .run = promote_endpoint,
     .body = promote_body,
     .answer = "Served"},
    {.method = "POST",
     .path = ENDPOINT "/rollback",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Take the canary away; where there is none, serve again what was served before",
     .run = rollback_endpoint,
     .body = reason_body,
     .answer = "Served"},
    {0}};
