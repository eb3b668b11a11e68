#include "serve/supervisor/routes.h"

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
    const lathe_rollouts *rollouts;
    cJSON *routes;
} reading;

/* A route to be. */
typedef struct wanted {
    const char *name, *model, *sha256, *project;
    int64_t version;
    double weight;
    int rank, arm;
    const char *shown;           /* NULL: the version's number */
    const lathe_rollout *shadow; /* NULL: none */
    const cJSON *settings;       /* of the endpoint; NULL: none */
} wanted;

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

static const char *text_of(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(lathe_json_get(object, key));
    return text != NULL ? text : "";
}

/* What is served under this name already; NULL: that version is not. */
static cJSON *find_route(const reading *r, const wanted *w) {
    cJSON *other;
    cJSON_ArrayForEach(other, r->routes) if (strcmp(text_of(other, "name"), w->name) == 0 &&
                                             strcmp(text_of(other, "model"), w->model) == 0 &&
                                             lathe_json_get(other, "version")->valuedouble ==
                                                 (double)w->version) return other;
    return NULL;
}

/* *path NULL: the file cannot be served, which is logged: one damaged file does not take the others down. */
static void find_file(const reading *r, const char *model, int64_t version, const char *sha256,
                      const char **path) {
    lathe_error err = {0};
    if (lathe_store_artifact_path(r->store, sha256, false, r->arena, path, &err) != LATHE_OK) {
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s@%" PRId64 ": %s", model, version, err.message);
        *path = NULL;
    }
}

static void add_shadow(const reading *r, const lathe_rollout *shadow, cJSON *route) {
    const lathe_rollout_record *v = &shadow->record;
    const char *path;
    find_file(r, v->model, v->version, v->sha256, &path);
    if (path == NULL || shadow->shadow < 0)
        return;
    cJSON *out = cJSON_AddObjectToObject(route, "shadow");
    cJSON_AddStringToObject(out, "model", v->model);
    cJSON_AddNumberToObject(out, "version", (double)v->version);
    cJSON_AddStringToObject(out, "sha256", v->sha256);
    cJSON_AddStringToObject(out, "path", path);
    cJSON_AddNumberToObject(out, "slot", shadow->shadow);
}

static void add_settings(const cJSON *settings, cJSON *route) {
    static const char *const keys[] = {"sticky", "validation"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *node = lathe_json_get(settings, keys[i]);
        if (node != NULL)
            cJSON_AddItemToObject(route, keys[i], cJSON_Duplicate(node, 1));
    }
}

/* Adds a route; a version that is served under this name already gets its weight. */
static void add_route(reading *r, const wanted *w) {
    const char *path;
    cJSON *other = find_route(r, w);
    if (lathe_json_get(r->unloaded, w->name) != NULL)
        return;
    if (other != NULL) {
        cJSON *weight = cJSON_GetObjectItemCaseSensitive(other, "weight");
        cJSON_SetNumberValue(weight, weight->valuedouble + w->weight);
        return;
    }
    const int slot = number_of(r->numbers, w->model, w->version);
    if (slot < 0) {
        lathe_log(LATHE_LEVEL_WARN, "serve",
                  "%s@%" PRId64 " is not served: at most %d versions are", w->model, w->version,
                  LATHE_SLOTS_MODELS);
        return;
    }
    find_file(r, w->model, w->version, w->sha256, &path);
    if (path == NULL)
        return;
    cJSON *route = cJSON_CreateObject();
    cJSON_AddStringToObject(route, "name", w->name);
    cJSON_AddStringToObject(route, "model", w->model);
    cJSON_AddNumberToObject(route, "version", (double)w->version);
    cJSON_AddStringToObject(route, "project", w->project);
    cJSON_AddStringToObject(route, "sha256", w->sha256);
    cJSON_AddStringToObject(route, "path", path);
    cJSON_AddNumberToObject(route, "slot", slot);
    cJSON_AddNumberToObject(route, "weight", w->weight);
    cJSON_AddNumberToObject(route, "rank", w->rank);
    if (w->arm >= 0)
        cJSON_AddNumberToObject(route, "arm", w->arm);
    if (w->shown != NULL)
        cJSON_AddStringToObject(route, "shown", w->shown);
    if (w->shadow != NULL)
        add_shadow(r, w->shadow, route);
    if (w->settings != NULL)
        add_settings(w->settings, route);
    cJSON_AddItemToArray(r->routes, route);
}

/* ---- endpoints ---- */

/* How a version is called under the name of an endpoint that serves another model beside it. */
static const char *shown(const reading *r, const lathe_endpoint_record *e, const char *model,
                         int64_t version) {
    return strcmp(e->model, model) == 0
               ? NULL
               : lathe_arena_printf(r->arena, "%s@%" PRId64, model, version);
}

/* The further versions of an endpoint; their shares of all requests, in percent, together. */
static double add_traffic(reading *r, const lathe_endpoint_record *e, const cJSON *settings) {
    const cJSON *share;
    double sum = 0;
    cJSON_ArrayForEach(share, lathe_json_get(settings, "traffic")) {
        lathe_version_record v;
        const char *model = text_of(share, "model");
        const int64_t version = (int64_t)lathe_json_get(share, "version")->valuedouble;
        const char *ref = lathe_arena_printf(r->arena, "%s@%" PRId64, model, version);
        if (ref == NULL || lathe_store_version(r->store, ref, r->arena, &v, NULL) != LATHE_OK)
            continue; /* its share stays with the version that the endpoint serves */
        const double percent = lathe_json_get(share, "percent")->valuedouble;
        sum += percent;
        add_route(r, &(wanted){.name = e->name,
                               .project = e->project,
                               .model = v.model,
                               .sha256 = v.sha256,
                               .version = v.version,
                               .weight = percent / 100,
                               .rank = 2,
                               .arm = -1,
                               .shown = shown(r, e, v.model, v.version),
                               .settings = settings});
    }
    return sum;
}

/* The shares are known once the further versions are; those that are one with another join it. */
static void add_endpoint(reading *r, const lathe_endpoint_record *e, const cJSON *settings) {
    const lathe_rollout *canary = lathe_rollouts_on(r->rollouts, e->name, false);
    wanted served = {.name = e->name,
                     .project = e->project,
                     .model = e->model,
                     .sha256 = e->sha256,
                     .version = e->version,
                     .rank = 1,
                     .arm = canary ? canary->base_arm : -1,
                     .shadow = lathe_rollouts_on(r->rollouts, e->name, true),
                     .settings = settings};
    wanted trial = {.name = e->name, .project = e->project, .settings = settings};
    add_route(r, &served);
    if (canary != NULL) {
        trial.model = canary->record.model;
        trial.sha256 = canary->record.sha256;
        trial.version = canary->record.version;
        trial.arm = canary->arm;
        trial.shown = shown(r, e, trial.model, trial.version);
        add_route(r, &trial);
    }
    const double rest = 1 - add_traffic(r, e, settings) / 100;
    const double share = canary ? lathe_rollout_share(canary) / 100 : 0;
    served.weight = rest * (1 - share);
    add_route(r, &served);
    if (canary != NULL) {
        trial.weight = rest * share;
        add_route(r, &trial);
    }
}

static int32_t add_endpoints(reading *r, lathe_error *err) {
    lathe_endpoint_list list;
    int32_t rc = lathe_store_endpoints(r->store, r->arena, &list, err);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        cJSON *settings = cJSON_Parse(list.items[i].settings);
        add_endpoint(r, &list.items[i], settings);
        cJSON_Delete(settings);
    }
    return rc;
}

/* ---- models ---- */

/* A model by its own name: the alias "live", else the newest version, as default; versions with an alias beside it. */
static int32_t add_model(reading *r, const lathe_model_record *m, lathe_error *err) {
    const char *model = m->name;
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
            add_route(r, &(wanted){.name = model,
                                   .project = m->project,
                                   .model = model,
                                   .sha256 = list.items[i].sha256,
                                   .version = list.items[i].version,
                                   .weight = list.items[i].version == live,
                                   .rank = list.items[i].version != live,
                                   .arm = -1});
    return rc;
}

static bool is_endpoint(const cJSON *routes, const char *name) {
    const cJSON *route;
    cJSON_ArrayForEach(route, routes) if (strcmp(lathe_json_get(route, "name")->valuestring,
                                                 name) == 0) return true;
    return false;
}

static int32_t add_models(reading *r, lathe_error *err) {
    lathe_model_list models;
    int32_t rc = lathe_store_models(r->store, r->arena, &models, err);
    for (size_t i = 0; rc == LATHE_OK && i < models.count; i++)
        if (!is_endpoint(r->routes,
                         models.items[i].name)) /* an endpoint of that name comes first */
            rc = add_model(r, &models.items[i], err);
    return rc;
}

int32_t lathe_routes_read(lathe_store *store, uint64_t generation, const cJSON *unloaded,
                          const lathe_rollouts *rollouts, lathe_route_numbers *numbers,
                          cJSON **table, lathe_error *err) {
    reading r = {store, lathe_arena_new(), numbers, unloaded, rollouts, cJSON_CreateArray()};
    *table = NULL;
    int32_t rc = r.arena && r.routes
                     ? lathe_store_view(store, err)
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the routes");
    if (rc == LATHE_OK) {
        rc = add_endpoints(&r, err);
        if (rc == LATHE_OK)
            rc = add_models(&r, err);
        lathe_store_view_end(store);
    }
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
