#include "serve/routes.h"

#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct reading {
    lathe_store *store;
    lathe_arena *arena;
    lathe_route_numbers *numbers;
    const cJSON *unloaded;
    cJSON *routes;
} reading;

/* The number of a version, a new one where it has none; -1: the page is full. */
static int number_of(lathe_route_numbers *numbers, const char *model, int64_t version) {
    char name[LATHE_SLOTS_NAME];
    if (snprintf(name, sizeof name, "%s@%" PRId64, model, version) >= (int)sizeof name)
        return -1;
    for (int i = 0; i < numbers->count; i++)
        if (strcmp(numbers->names[i], name) == 0)
            return i;
    if (numbers->count == LATHE_SLOTS_MODELS)
        return -1;
    memcpy(numbers->names[numbers->count], name, sizeof name);
    return numbers->count++;
}

/* Adds a route; a version that is served under this name already is left out. */
static int32_t add_route(reading *r, const char *name, const char *model, int64_t version,
                         const char *sha256, bool is_default, lathe_error *err) {
    const cJSON *other;
    const char *path;
    if (lathe_json_get(r->unloaded, name) != NULL)
        return LATHE_OK;
    cJSON_ArrayForEach(other, r->routes) {
        if (strcmp(lathe_json_get(other, "name")->valuestring, name) == 0 &&
            lathe_json_get(other, "version")->valuedouble == (double)version)
            return LATHE_OK;
    }
    const int slot = number_of(r->numbers, model, version);
    if (slot < 0) {
        lathe_log(LATHE_LEVEL_WARN, "serve",
                  "%s@%" PRId64 " is not served: at most %d versions are", model, version,
                  LATHE_SLOTS_MODELS);
        return LATHE_OK;
    }
    int32_t rc = lathe_store_artifact_path(r->store, sha256, false, r->arena, &path, err);
    if (rc != LATHE_OK) { /* one damaged file does not take the others down */
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s@%" PRId64 ": %s", model, version, err->message);
        lathe_error_clear(err);
        return LATHE_OK;
    }
    cJSON *route = cJSON_CreateObject();
    cJSON_AddStringToObject(route, "name", name);
    cJSON_AddStringToObject(route, "model", model);
    cJSON_AddNumberToObject(route, "version", (double)version);
    cJSON_AddStringToObject(route, "sha256", sha256);
    cJSON_AddStringToObject(route, "path", path);
    cJSON_AddNumberToObject(route, "slot", slot);
    cJSON_AddNumberToObject(route, "weight", is_default ? 1 : 0);
    cJSON_AddItemToArray(r->routes, route);
    return LATHE_OK;
}

static int32_t add_endpoints(reading *r, lathe_error *err) {
    lathe_endpoint_list list;
    int32_t rc = lathe_store_endpoints(r->store, r->arena, &list, err);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++)
        rc = add_route(r, list.items[i].name, list.items[i].model, list.items[i].version,
                       list.items[i].sha256, true, err);
    return rc;
}

/* A model by its own name: the alias "live", else the newest version, as default; versions with an alias beside it. */
static int32_t add_model(reading *r, const char *model, lathe_error *err) {
    lathe_version_list list;
    int32_t rc = lathe_store_versions(r->store, model, r->arena, &list, err);
    if (rc != LATHE_OK || list.count == 0)
        return rc;
    lathe_alias_list aliases;
    rc = lathe_store_aliases(r->store, model, r->arena, &aliases, err);
    int64_t live = list.items[0].version;
    for (size_t a = 0; rc == LATHE_OK && a < aliases.count; a++)
        if (strcmp(aliases.items[a].alias, "live") == 0)
            live = aliases.items[a].version;
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++)
        if (list.items[i].version == live || list.items[i].aliases[0] != 0)
            rc = add_route(r, model, model, list.items[i].version, list.items[i].sha256,
                           list.items[i].version == live, err);
    return rc;
}

static bool is_endpoint(const cJSON *routes, const char *name) {
    const cJSON *route;
    cJSON_ArrayForEach(route, routes) if (strcmp(lathe_json_get(route, "name")->valuestring,
                                                 name) == 0) return true;
    return false;
}

int32_t lathe_routes_read(lathe_store *store, uint64_t generation, const cJSON *unloaded,
                          lathe_route_numbers *numbers, cJSON **table, lathe_error *err) {
    reading r = {store, lathe_arena_new(), numbers, unloaded, cJSON_CreateArray()};
    lathe_model_list models;
    *table = NULL;
    int32_t rc = r.arena && r.routes
                     ? add_endpoints(&r, err)
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the routes");
    if (rc == LATHE_OK)
        rc = lathe_store_models(store, r.arena, &models, err);
    for (size_t i = 0; rc == LATHE_OK && i < models.count; i++)
        if (!is_endpoint(r.routes, models.items[i].name)) /* an endpoint of that name comes first */
            rc = add_model(&r, models.items[i].name, err);
    lathe_arena_free(r.arena);
    cJSON *out = rc == LATHE_OK ? cJSON_CreateObject() : NULL;
    if (out == NULL) {
        cJSON_Delete(r.routes);
        return rc == LATHE_OK ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory") : rc;
    }
    cJSON_AddNumberToObject(out, "generation", (double)generation);
    cJSON_AddItemToObject(out, "routes", r.routes);
    *table = out;
    return LATHE_OK;
}
