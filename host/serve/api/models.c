/* Models: list, show, promote, roll back. */
#include "serve/api/api.h"

#include "base/json.h"
#include "serve/endpoint_verbs.h"

#include <inttypes.h>
#include <string.h>

cJSON *api_version_json(const lathe_version_record *v) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", v->model);
    cJSON_AddNumberToObject(out, "version", (double)v->version);
    cJSON_AddStringToObject(out, "sha256", v->sha256);
    cJSON_AddNumberToObject(out, "bytes", (double)v->bytes);
    cJSON_AddStringToObject(out, "run", v->run);
    api_add_time(out, "created_us", v->created);
    cJSON_AddStringToObject(out, "aliases", v->aliases);
    lathe_json_add_text(out, "metrics", v->metrics);
    lathe_json_add_text(out, "goal", v->goal);
    return out;
}

static int32_t get_models(api_call *c) {
    lathe_model_list list;
    int32_t rc = lathe_store_models(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *models = cJSON_AddArrayToObject(out, "models");
    int64_t left = api_limit(c);
    const char *last = NULL;
    for (size_t i = 0; i < list.count; i++) {
        const lathe_model_record *m = &list.items[i];
        if (!api_after_cursor(c, m->name))
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next", last);
            break;
        }
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", last = m->name);
        cJSON_AddStringToObject(item, "project", m->project);
        cJSON_AddNumberToObject(item, "versions", (double)m->versions);
        api_add_time(item, "created_us", m->created);
        api_add_time(item, "updated_us", m->updated);
        cJSON_AddItemToArray(models, item);
    }
    return api_answer(c, out);
}

static int32_t get_model(api_call *c) {
    lathe_version_list list;
    int64_t below, left = api_limit(c);
    below = api_int_cursor(c, INT64_MAX);
    int32_t rc = lathe_store_versions(c->store, api_part(c, "model"), c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *versions = cJSON_AddArrayToObject(out, "versions");
    for (size_t i = 0; i < list.count; i++) {
        const lathe_version_record *v = &list.items[i]; /* newest first */
        if (v->version >= below)
            continue;
        if (left-- == 0) {
            char next[24];
            snprintf(next, sizeof next, "%" PRId64, v->version + 1);
            cJSON_AddStringToObject(out, "next", next);
            break;
        }
        cJSON_AddItemToArray(versions, api_version_json(v));
    }
    return api_answer(c, out);
}

static int32_t answer_version(api_call *c, int64_t version) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "version", (double)version);
    c->after = API_REROUTE;
    return api_answer(c, out);
}

/* The goal's gates hold here too. */
static int32_t promote_model(api_call *c) {
    const int64_t number = api_int(c->body, "version", 0);
    const char *model = api_part(c, "model");
    const char *ref =
        number > 0 ? lathe_arena_printf(c->arena, "%s@%" PRId64, model, number) : model;
    cJSON *answer = NULL;
    int32_t rc = api_check_force(c);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_model_promote(c->store, ref ? ref : "", c->body, &answer, &c->err);
    return api_answer_verb(c, rc, answer);
}

static int32_t rollback_model(api_call *c) {
    int64_t version = 0;
    int32_t rc = lathe_store_alias_rollback(c->store, api_part(c, "model"),
                                            api_text(c->body, "alias", "live"),
                                            api_text(c->body, "reason", ""), &version, &c->err);
    return rc == LATHE_OK ? answer_version(c, version) : rc;
}

static const api_field page[] = {API_PAGE, {0}};
static const api_field numbered[] = {API_PAGE_NUMBERED, {0}};

static const api_field promote_body[] = {
    {"version", API_INT, false, 1, 1e15, NULL, "of the model; default the newest", NULL},
    {"alias", API_ALIAS, false, 0, 0, NULL, "that is to point at it; default \"live\"", NULL},
    {"reason", API_TEXT, false, 0, 1000, NULL, "for the history", NULL},
    {"force", API_BOOL, false, 0, 0, NULL,
     "also where a gate of its goal fails, or it lacks a column of an endpoint's rules; role admin",
     NULL},
    {0}};

static const api_field rollback_body[] = {
    {"alias", API_ALIAS, false, 0, 0, NULL, "that goes back; default \"live\"", NULL},
    {"reason", API_TEXT, false, 0, 1000, NULL, "for the history", NULL},
    {0}};

const api_route api_model_routes[] = {
    {.method = "GET",
     .path = "/api/v1/models",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Models by name",
     .run = get_models,
     .query = page,
     .answer = "Models"},
    {.method = "GET",
     .path = "/api/v1/models/{model}",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Versions of a model, newest first",
     .run = get_model,
     .query = numbered,
     .answer = "Versions"},
    {.method = "POST",
     .path = "/api/v1/models/{model}/promote",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary =
         "Point an alias at a version; endpoints that follow it serve it when the answer comes",
     .run = promote_model,
     .body = promote_body,
     .answer = "Moved"},
    {.method = "POST",
     .path = "/api/v1/models/{model}/rollback",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Undo the last move of an alias",
     .run = rollback_model,
     .body = rollback_body,
     .answer = "Moved"},
    {0}};
