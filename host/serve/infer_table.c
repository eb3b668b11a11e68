#include "serve/infer_table.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

void infer_model_retain(infer_model *m) {
    atomic_fetch_add(&m->refs, 1);
}

void infer_model_release(infer_model *m) {
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) > 1)
        return;
    lathe_plan_free(m->plan);
    lathe_model_close(m->model);
    free(m);
}

static infer_model *find_model(const infer_table *table, const char *sha256) {
    for (size_t i = 0; table != NULL && i < table->n_routes; i++)
        if (table->routes[i].model != NULL && strcmp(table->routes[i].model->sha256, sha256) == 0)
            return table->routes[i].model;
    return NULL;
}

/* Opens a model and runs it once on a row of missing values, so that its pages are there for the first request. */
static int32_t open_model(lathe_runtime *runtime, lathe_crumbs *crumbs, const char *path,
                          const char *sha256, infer_model **out, lathe_error *err) {
    infer_model *m = calloc(1, sizeof *m);
    lathe_plan_output output;
    lathe_error ignored;
    *out = NULL;
    if (m == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    atomic_init(&m->refs, 1);
    snprintf(m->sha256, sizeof m->sha256, "%s", sha256);
    int32_t rc = lathe_model_open(runtime, path, &m->model, err);
    if (rc == LATHE_OK)
        rc = lathe_plan_new(m->model, INFER_INLINE_ROWS, &m->plan, err);
    if (rc != LATHE_OK) {
        infer_model_release(m);
        return rc;
    }
    m->crumb =
        crumbs ? lathe_crumbs_plugin(crumbs, lathe_model_learner(m->model)->descriptor->id) : -1;
    if (lathe_plan_begin(m->plan, 1, &ignored) == LATHE_OK)
        (void)lathe_plan_run(m->plan, &output, &ignored); /* a model may refuse such a row */
    *out = m;
    return LATHE_OK;
}

/* ---- routes ---- */

static void free_route(infer_route *r) {
    lathe_oip_model_free(r->shown);
    infer_model_release(r->model);
    lathe_buf_free(&r->metadata);
    lathe_buf_free(&r->config);
    free(r->name);
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
    free(t);
}

/* A route without its model. */
static bool begin_route(infer_route *r, const char *name, const char *version, const char *step,
                        double weight, int slot) {
    *r = (infer_route){.name = strdup(name),
                       .version = strdup(version),
                       .step = strdup(step),
                       .weight = weight,
                       .slot = slot};
    return r->name != NULL && r->version != NULL && r->step != NULL;
}

/* Gives a route its model, which it takes over. */
static int32_t show_model(infer_route *r, infer_model *model, lathe_error *err) {
    r->model = model;
    int32_t rc = lathe_oip_model_new(model->model, r->name, r->version, &r->shown, err);
    if (rc == LATHE_OK)
        lathe_oip_config(r->shown, &r->config);
    return rc == LATHE_OK && r->config.failed
               ? lathe_fail(err, LATHE_E_MEMORY, r->name, "out of memory")
               : rc;
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
        if (!begin_route(r, name, was->version, was->step, was->weight, was->slot))
            return false;
        infer_model_retain(was->model);
        if (show_model(r, was->model, NULL) != LATHE_OK)
            return false;
    }
    return true;
}

static bool add_route(building *b, const cJSON *route) {
    infer_table *t = b->table;
    lathe_error err = {0};
    char version[32], step[160];
    const char *name = text_of(route, "name"), *sha256 = text_of(route, "sha256");
    snprintf(version, sizeof version, "%.0f", number_of(route, "version"));
    snprintf(step, sizeof step, "%s@%s", text_of(route, "model"), version);
    infer_route *r = &t->routes[t->n_routes++];
    if (!begin_route(r, name, version, step, number_of(route, "weight"),
                     (int)number_of(route, "slot")))
        return false;
    infer_model *model = find_model(b->old, sha256);
    model = model ? model : find_model(t, sha256);
    int32_t rc = LATHE_OK;
    if (model != NULL)
        infer_model_retain(model);
    else
        rc = open_model(b->runtime, b->crumbs, text_of(route, "path"), sha256, &model, &err);
    if (rc == LATHE_OK)
        rc = show_model(r, model, &err);
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
    return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1)
                                  : strcmp(x->version, y->version);
}

static bool make_groups(infer_table *t) {
    const char **versions = calloc(t->n_routes + 1, sizeof *versions);
    t->groups = calloc(t->n_routes + 1, sizeof *t->groups);
    bool good = versions != NULL && t->groups != NULL;
    for (size_t i = 0; good && i < t->n_routes; i++) {
        const int32_t g = lathe_text_map_add(&t->names, lathe_str_of(t->routes[i].name));
        good = g >= 0;
        if (!good)
            break;
        if (t->groups[g].count++ == 0)
            t->groups[g].first = i;
        if (t->routes[i].model != NULL)
            t->groups[g].weight += t->routes[i].weight;
    }
    for (int64_t g = 0; good && g < t->names.n; g++) {
        infer_route *routes = t->routes + t->groups[g].first;
        const size_t n = t->groups[g].count;
        for (size_t i = 0; i < n; i++)
            versions[i] = routes[i].version;
        for (size_t i = 0; i < n; i++)
            if (routes[i].shown != NULL) {
                lathe_oip_metadata(routes[i].shown, versions, n, &routes[i].metadata);
                good = good && !routes[i].metadata.failed;
            }
    }
    free(versions);
    return good;
}

infer_table *infer_table_new(lathe_runtime *runtime, lathe_crumbs *crumbs, const cJSON *message,
                             const infer_table *old) {
    const cJSON *list = lathe_json_get(message, "routes"), *route;
    infer_table *t = calloc(1, sizeof *t);
    building b = {runtime, crumbs, t, old,
                  (size_t)cJSON_GetArraySize(list) + (old ? old->n_routes : 0)};
    if (t == NULL)
        return NULL;
    t->generation = (uint64_t)number_of(message, "generation");
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
        good = make_groups(t);
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

static infer_route *pick_weighted(const infer_table *t, const infer_group *group, uint64_t key) {
    double point = (double)(key >> 11) * 0x1p-53 * group->weight;
    infer_route *last = NULL;
    for (size_t i = 0; i < group->count; i++) {
        infer_route *r = &t->routes[group->first + i];
        if (r->model == NULL || !(r->weight > 0))
            continue;
        last = r;
        point -= r->weight;
        if (point < 0)
            break;
    }
    /* none carries weight: the first that is loaded, else whatever there is */
    for (size_t i = 0; last == NULL && i < group->count; i++)
        if (t->routes[group->first + i].model != NULL)
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
