#include "serve/infer/table.h"

#include "base/json.h"
#include "serve/recall.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

void infer_shadow_retain(infer_shadow *s) {
    atomic_fetch_add(&s->refs, 1);
}

void infer_shadow_release(infer_shadow *s) {
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    lathe_plan_free(s->plan);
    lathe_oip_model_free(s->shown);
    infer_model_release(s->model);
    free(s->step);
    free(s);
}

static infer_model *find_model(const infer_table *table, const char *sha256) {
    for (size_t i = 0; table != NULL && i < table->n_routes; i++) {
        const infer_route *r = &table->routes[i];
        if (r->model != NULL && strcmp(r->model->sha256, sha256) == 0)
            return r->model;
        if (r->shadow != NULL && strcmp(r->shadow->model->sha256, sha256) == 0)
            return r->shadow->model;
    }
    return NULL;
}

/* ---- routes ---- */

static void free_route(infer_route *r) {
    infer_batch_free(r->batch);
    infer_shadow_release(r->shadow);
    free(r->shadow_error);
    free(r->sticky);
    lathe_oip_model_free(r->shown);
    lathe_door_free(r->door);
    cJSON_Delete(r->validation);
    infer_model_release(r->model);
    free(r->name);
    free(r->project);
    free(r->version);
    free(r->step);
    free(r->error);
}

void infer_table_free(infer_table *t) {
    if (t == NULL)
        return;
    for (size_t i = 0; t->routes != NULL && i < t->n_routes; i++)
        free_route(&t->routes[i]);
    free(t->routes);
    free(t->groups);
    lathe_text_map_free(&t->names);
    cJSON_Delete(t->unloaded);
    free(t);
}

/* A route without its model and shadow. */
static bool begin_route(infer_route *r, const infer_route *like) {
    *r = (infer_route){.name = strdup(like->name),
                       .project = strdup(like->project),
                       .version = strdup(like->version),
                       .step = strdup(like->step),
                       .sticky = like->sticky ? strdup(like->sticky) : NULL,
                       .weight = like->weight,
                       .rank = like->rank,
                       .slot = like->slot,
                       .recalled = lathe_recall_name(like->name),
                       .arm = like->arm,
                       .batch_rows = like->batch_rows,
                       .batch_delay_us = like->batch_delay_us};
    return r->name != NULL && r->project != NULL && r->version != NULL && r->step != NULL &&
           (r->sticky != NULL || like->sticky == NULL);
}

/* Gives a route its model, which it takes over, and its door where that is loaded. validation: the endpoint's settings;
 * NULL: the model's own. */
static int32_t show_model(infer_route *r, infer_model *model, const cJSON *validation,
                          lathe_error *err) {
    r->model = model;
    if (validation != NULL && (r->validation = cJSON_Duplicate(validation, 1)) == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, r->name, "out of memory");
    if (!atomic_load(&model->loaded))
        return LATHE_OK;
    const int32_t rc = infer_route_show(r, err);
    return rc == LATHE_OK ? infer_open_door(model, validation, r->name, r->step, &r->door, err)
                          : rc;
}

int32_t infer_route_show(infer_route *r, lathe_error *err) {
    if (r->shown != NULL)
        return LATHE_OK;
    if (atomic_load(&r->model->head) != INFER_HEAD_READ)
        return lathe_fail(err, LATHE_E_NOT_FOUND, r->name, "its header was not read yet");
    return lathe_oip_model_new(r->model->model, r->name, r->version, &r->shown, err);
}

static const char *text_of(const cJSON *route, const char *key) {
    const cJSON *item = lathe_json_get(route, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static double number_of(const cJSON *route, const char *key) {
    const cJSON *item = lathe_json_get(route, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

typedef struct building {
    lathe_runtime *runtime;
    lathe_crumbs *crumbs;
    infer_table *table;
    const infer_table *old;
    const cJSON *batching; /* of the service */
    size_t capacity;
} building;

/* What the old table has under the name of the route that failed, but for versions that are in the new one. */
static bool keep_old(building *b, const char *name) {
    infer_table *t = b->table;
    for (size_t i = 0; b->old != NULL && i < b->old->n_routes; i++) {
        const infer_route *was = &b->old->routes[i];
        bool there = was->model == NULL || strcmp(was->name, name) != 0;
        for (size_t k = 0; k < t->n_routes && !there; k++)
            there = strcmp(t->routes[k].name, name) == 0 &&
                    strcmp(t->routes[k].version, was->version) == 0 && t->routes[k].model != NULL;
        if (there || t->n_routes == b->capacity)
            continue;
        infer_route *r = &t->routes[t->n_routes++];
        if (!begin_route(r, was))
            return false;
        if (was->shadow != NULL) {
            infer_shadow_retain(was->shadow);
            r->shadow = was->shadow;
        }
        infer_model_retain(was->model);
        if (show_model(r, was->model, was->validation, NULL) != LATHE_OK)
            return false;
    }
    return true;
}

static bool has_route(const infer_table *table, const char *name, const char *sha256) {
    for (size_t i = 0; i < table->n_routes; i++) {
        const infer_route *r = &table->routes[i];
        if (r->model != NULL && strcmp(r->model->sha256, sha256) == 0 && strcmp(r->name, name) == 0)
            return true;
    }
    return false;
}

/* The model of {"sha256", "path"}: shared with those that are there, else opened; loaded where its clients may not wait.
 * The caller gets a reference. */
static int32_t take_model(building *b, const cJSON *from, bool load, infer_model **model,
                          lathe_error *err) {
    const char *sha256 = text_of(from, "sha256");
    int32_t rc = LATHE_OK;
    *model = find_model(b->old, sha256);
    *model = *model ? *model : find_model(b->table, sha256);
    if (*model != NULL)
        infer_model_retain(*model);
    else if ((*model = infer_model_new(b->runtime, text_of(from, "path"), sha256, err)) == NULL)
        return LATHE_E_MEMORY;
    if (rc == LATHE_OK && load)
        rc = infer_model_load(*model, b->crumbs, err);
    if (rc != LATHE_OK) {
        infer_model_release(*model);
        *model = NULL;
    }
    return rc;
}

/* A route's "shadow": {"model", "version", "sha256", "path", "slot"}. */
static int32_t add_shadow(building *b, infer_route *r, const cJSON *from, lathe_error *err) {
    char version[32], step[160];
    infer_shadow *s = calloc(1, sizeof *s);
    snprintf(version, sizeof version, "%.0f", number_of(from, "version"));
    snprintf(step, sizeof step, "%s@%s", text_of(from, "model"), version);
    if (s == NULL || (s->step = strdup(step)) == NULL) {
        free(s);
        return lathe_fail(err, LATHE_E_MEMORY, r->name, "out of memory");
    }
    atomic_init(&s->refs, 1);
    s->slot = (int)number_of(from, "slot");
    int32_t rc = take_model(b, from, true, &s->model, err);
    if (rc == LATHE_OK)
        rc = lathe_oip_model_new(s->model->model, r->name, version, &s->shown, err);
    if (rc == LATHE_OK)
        rc = lathe_plan_new(s->model->model, INFER_INLINE_ROWS, &s->plan, err);
    if (rc == LATHE_OK)
        r->shadow = s;
    else
        infer_shadow_release(s);
    return rc;
}

/* Numbers that are not there: weight and slot 0, arm -1. */
static void read_route(const cJSON *route, infer_route *like) {
    const cJSON *arm = lathe_json_get(route, "arm"), *sticky = lathe_json_get(route, "sticky");
    like->sticky = cJSON_IsString(sticky) ? sticky->valuestring : NULL;
    like->weight = number_of(route, "weight");
    like->rank = (int)number_of(route, "rank");
    like->slot = (int)number_of(route, "slot");
    like->arm = cJSON_IsNumber(arm) ? arm->valueint : -1;
}

/* How a route's requests are batched: as it says itself, else the service for its name, else for all. */
static void read_batching(const building *b, const cJSON *route, infer_route *like) {
    const cJSON *own = lathe_json_get(route, "batching");
    if (own == NULL)
        own = lathe_json_get(lathe_json_get(b->batching, "endpoints"), text_of(route, "name"));
    if (own == NULL)
        own = b->batching;
    const double rows = number_of(own, "max_rows"), delay = number_of(own, "delay_us");
    like->batch_rows = rows > 1 ? (int64_t)fmin(rows, INFER_BATCH_ROWS) : 0;
    like->batch_delay_us = delay > 0 ? (int64_t)fmin(delay, 1e6) : 0;
}

static bool make_batches(infer_table *t) {
    for (size_t i = 0; i < t->n_routes; i++) {
        infer_route *r = &t->routes[i];
        if (r->door != NULL && r->batch_rows > 1 && /* else made when its model has come */
            infer_batch_new(r, r->batch_rows, r->batch_delay_us, &r->batch, NULL) != LATHE_OK)
            return false;
    }
    return true;
}

static bool add_route(building *b, const cJSON *route) {
    infer_table *t = b->table;
    lathe_error err = {0};
    char version[160], step[160];
    infer_model *model;
    const cJSON *shadow = lathe_json_get(route, "shadow"), *shown = lathe_json_get(route, "shown");
    snprintf(step, sizeof step, "%s@%.0f", text_of(route, "model"), number_of(route, "version"));
    if (cJSON_IsString(shown))
        snprintf(version, sizeof version, "%s", shown->valuestring);
    else
        snprintf(version, sizeof version, "%.0f", number_of(route, "version"));
    infer_route like = {.name = (char *)(uintptr_t)text_of(route, "name"),
                        .project = (char *)(uintptr_t)text_of(route, "project"),
                        .version = version,
                        .step = step};
    read_route(route, &like);
    read_batching(b, route, &like);
    infer_route *r = &t->routes[t->n_routes++];
    if (!begin_route(r, &like))
        return false;
    const bool news = b->old != NULL && !has_route(b->old, like.name, text_of(route, "sha256"));
    int32_t rc = take_model(b, route, news, &model, &err);
    if (rc == LATHE_OK)
        rc = show_model(r, model, lathe_json_get(route, "validation"), &err);
    if (rc == LATHE_OK && shadow != NULL && add_shadow(b, r, shadow, &err) != LATHE_OK)
        return (r->shadow_error = strdup(err.message)) != NULL;
    if (rc == LATHE_OK)
        return true;
    r->error = strdup(err.message);
    return r->error != NULL;
}

/* ---- groups ---- */

static int by_name(const void *a, const void *b) {
    const infer_route *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    return x->rank != y->rank ? (x->rank < y->rank ? -1 : 1) : strcmp(x->version, y->version);
}

static bool make_groups(infer_table *t) {
    t->groups = calloc(t->n_routes + 1, sizeof *t->groups);
    bool good = t->groups != NULL;
    for (size_t i = 0; good && i < t->n_routes; i++) {
        const int32_t g = lathe_text_map_add(&t->names, lathe_str_of(t->routes[i].name));
        good = g >= 0;
        if (!good)
            break;
        if (t->groups[g].count++ == 0) {
            t->groups[g].first = i;
            t->groups[g].seed =
                lathe_hash_bytes(t->routes[i].name, (int64_t)strlen(t->routes[i].name), 1);
        }
        if (t->groups[g].sticky == NULL)
            t->groups[g].sticky = t->routes[i].sticky;
        if (t->routes[i].model != NULL)
            t->groups[g].weight += t->routes[i].weight;
    }
    return good;
}

infer_table *infer_table_new(lathe_runtime *runtime, lathe_crumbs *crumbs, const cJSON *message,
                             const infer_table *old) {
    const cJSON *list = lathe_json_get(message, "routes"), *route;
    infer_table *t = calloc(1, sizeof *t);
    const cJSON *queue = lathe_json_get(message, "queue");
    building b = {.runtime = runtime,
                  .crumbs = crumbs,
                  .table = t,
                  .old = old,
                  .batching = lathe_json_get(message, "batching"),
                  .capacity = (size_t)cJSON_GetArraySize(list) + (old ? old->n_routes : 0)};
    if (t == NULL)
        return NULL;
    t->generation = (uint64_t)number_of(message, "generation");
    t->max_queued_rows = (int64_t)fmin(fmax(number_of(queue, "rows"), 0), 1e15);
    t->timeout_us = (int64_t)fmin(fmax(number_of(queue, "timeout_us"), 0), 1e15);
    t->unloaded = cJSON_Duplicate(lathe_json_get(message, "unloaded"), 1);
    t->routes = calloc(b.capacity + 1, sizeof *t->routes);
    bool good = t->routes != NULL && cJSON_IsArray(list);
    if (good)
        cJSON_ArrayForEach(route, list) good = good && add_route(&b, route);
    const size_t n = t->n_routes;
    for (size_t i = 0; good && i < n; i++)
        if (t->routes[i].model == NULL)
            good = keep_old(&b, t->routes[i].name);
    if (good) {
        qsort(t->routes, t->n_routes, sizeof *t->routes, by_name);
        good = make_groups(t) && make_batches(t);
    }
    if (!good) {
        infer_table_free(t);
        return NULL;
    }
    return t;
}

/* ---- looking up ---- */

const infer_group *infer_table_find(const infer_table *t, const char *name, size_t len) {
    const int32_t g = lathe_text_map_find(&t->names, (lathe_str){name, (int64_t)len});
    return g < 0 ? NULL : &t->groups[g];
}

void infer_table_metadata(const infer_table *t, const infer_group *group, const infer_route *route,
                          lathe_buf *out) {
    const char **versions = calloc(group->count + 1, sizeof *versions);
    if (versions == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < group->count; i++)
        versions[i] = t->routes[group->first + i].version;
    lathe_oip_metadata(route->shown, versions, group->count, out);
    free(versions);
}

const char *infer_table_unloaded(const infer_table *t, const char *name, size_t len) {
    const cJSON *item;
    cJSON_ArrayForEach(item, t->unloaded) if (strlen(item->string) == len &&
                                              memcmp(item->string, name, len) == 0 &&
                                              cJSON_IsString(item)) return item->valuestring;
    return NULL;
}

static infer_route *pick_weighted(const infer_table *t, const infer_group *group, uint64_t key) {
    double point = (double)(key >> 11) * 0x1p-53 * group->weight;
    infer_route *last = NULL;
    for (size_t i = 0; i < group->count; i++) {
        infer_route *r = &t->routes[group->first + i];
        if (r->model == NULL || r->error != NULL || !(r->weight > 0))
            continue;
        last = r;
        point -= r->weight;
        if (point < 0)
            break;
    }
    /* none carries weight: the first that is loaded, else whatever there is */
    for (size_t i = 0; last == NULL && i < group->count; i++)
        if (t->routes[group->first + i].model != NULL && t->routes[group->first + i].error == NULL)
            last = &t->routes[group->first + i];
    return last ? last : &t->routes[group->first];
}

infer_route *infer_table_pick(const infer_table *t, const infer_group *group, const char *version,
                              size_t version_len, uint64_t key) {
    if (version == NULL)
        return pick_weighted(t, group, key);
    for (size_t i = 0; i < group->count; i++) {
        infer_route *r = &t->routes[group->first + i];
        if (strlen(r->version) == version_len && memcmp(r->version, version, version_len) == 0)
            return r;
    }
    return NULL;
}
