/* An inference worker's models: opened by their headers, loaded when they are needed. */
#include "base/json.h"
#include "serve/infer/table.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

void infer_model_retain(infer_model *m) {
    atomic_fetch_add(&m->refs, 1);
}

void infer_model_release(infer_model *m) {
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) > 1)
        return;
    lathe_plan_free(m->plan);
    while (m->n_spare > 0)
        lathe_plan_free(m->spare[--m->n_spare]);
    lathe_model_close(m->model);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int32_t infer_model_open(lathe_runtime *runtime, const char *path, const char *sha256,
                         infer_model **out, lathe_error *err) {
    infer_model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (m == NULL || pthread_mutex_init(&m->lock, NULL) != 0) {
        free(m);
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    }
    atomic_init(&m->refs, 1);
    snprintf(m->sha256, sizeof m->sha256, "%s", sha256);
    const int32_t rc = lathe_model_open_head(runtime, path, &m->model, err);
    if (rc != LATHE_OK)
        infer_model_release(m);
    else
        *out = m;
    return rc;
}

/* Runs it on a row of missing values, so that its pages are there for the first request. */
static int32_t load_locked(infer_model *m, lathe_crumbs *crumbs, lathe_error *err) {
    lathe_plan_output output;
    lathe_error ignored;
    int32_t rc = lathe_model_load(m->model, err);
    if (rc == LATHE_OK)
        rc = lathe_plan_new(m->model, INFER_INLINE_ROWS, &m->plan, err);
    if (rc != LATHE_OK)
        return rc;
    m->crumb =
        crumbs ? lathe_crumbs_plugin(crumbs, lathe_model_learner(m->model)->descriptor->id) : -1;
    if (lathe_plan_begin(m->plan, 1, &ignored) == LATHE_OK)
        (void)lathe_plan_run(m->plan, &output, &ignored); /* a model may refuse such a row */
    atomic_store(&m->loaded, true);
    return LATHE_OK;
}

int32_t infer_model_load(infer_model *m, lathe_crumbs *crumbs, lathe_error *err) {
    pthread_mutex_lock(&m->lock);
    const int32_t rc = atomic_load(&m->loaded) ? LATHE_OK : load_locked(m, crumbs, err);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

int32_t infer_open_door(const infer_model *model, const cJSON *validation, const char *name,
                        const char *step, lathe_door **door, lathe_error *err) {
    char label[320];
    snprintf(label, sizeof label, "%s (%s)", name, step);
    return lathe_door_new(model->model, validation, label, door, err);
}

/* ---- many at once, by two threads ---- */

typedef struct opening {
    lathe_runtime *runtime;
    const cJSON **routes; /* [n] */
    infer_model **models; /* [n] */
    size_t n;
    _Atomic size_t next;
} opening;

static const char *text_of(const cJSON *route, const char *key) {
    const cJSON *item = lathe_json_get(route, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* [worker] */
static void open_some(void *arg) {
    opening *o = arg;
    for (size_t i; (i = atomic_fetch_add(&o->next, 1)) < o->n;)
        (void)infer_model_open(o->runtime, text_of(o->routes[i], "path"),
                               text_of(o->routes[i], "sha256"), &o->models[i], NULL);
}

static bool is_known(const opening *o, const cJSON *route) {
    for (size_t i = 0; i < o->n; i++)
        if (strcmp(text_of(o->routes[i], "sha256"), text_of(route, "sha256")) == 0)
            return true;
    return false;
}

infer_model **infer_models_open(lathe_runtime *runtime, const cJSON *routes, size_t *n) {
    const size_t most = (size_t)cJSON_GetArraySize(routes) + 1;
    opening o = {.runtime = runtime,
                 .routes = calloc(most, sizeof *o.routes),
                 .models = calloc(most, sizeof *o.models)};
    uv_thread_t helper;
    const cJSON *route;
    *n = 0;
    if (o.routes == NULL || o.models == NULL) {
        free(o.routes);
        free(o.models);
        return NULL;
    }
    cJSON_ArrayForEach(route, routes) {
        if (!is_known(&o, route))
            o.routes[o.n++] = route;
    }
    const bool helped = o.n > 8 && uv_thread_create(&helper, open_some, &o) == 0;
    open_some(&o);
    if (helped)
        uv_thread_join(&helper);
    free(o.routes);
    *n = o.n;
    return o.models;
}
