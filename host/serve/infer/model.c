/* An inference worker's models: their headers are read, and they are loaded when they are needed. */
#include "serve/infer/table.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

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
    free(m->path);
    free(m);
}

infer_model *infer_model_new(lathe_runtime *runtime, const char *path, const char *sha256,
                             lathe_error *err) {
    infer_model *m = calloc(1, sizeof *m);
    if (m == NULL || (m->path = strdup(path)) == NULL || pthread_mutex_init(&m->lock, NULL) != 0) {
        if (m != NULL)
            free(m->path);
        free(m);
        lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
        return NULL;
    }
    atomic_init(&m->refs, 1);
    m->runtime = runtime;
    snprintf(m->sha256, sizeof m->sha256, "%s", sha256);
    return m;
}

static int32_t read_locked(infer_model *m, lathe_error *err) {
    const int state = atomic_load(&m->head);
    if (state == INFER_HEAD_READ)
        return LATHE_OK;
    if (state == INFER_HEAD_BROKEN)
        return lathe_fail(err, LATHE_E_CORRUPT, m->path, "%s", m->reason);
    lathe_error why = {0};
    const int32_t rc = lathe_model_open_head(m->runtime, m->path, &m->model, &why);
    if (rc == LATHE_OK) {
        atomic_store(&m->head, INFER_HEAD_READ);
        return rc;
    }
    if (rc != LATHE_E_MEMORY) { /* else another time */
        snprintf(m->reason, sizeof m->reason, "%s", why.message);
        atomic_store(&m->head, INFER_HEAD_BROKEN);
    }
    return lathe_fail(err, rc, why.where, "%s", why.message);
}

int32_t infer_model_read(infer_model *m, lathe_error *err) {
    pthread_mutex_lock(&m->lock);
    const int32_t rc = read_locked(m, err);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* Runs it on a row of missing values, so that its pages are there for the first request. */
static int32_t load_locked(infer_model *m, lathe_crumbs *crumbs, lathe_error *err) {
    lathe_plan_output output;
    lathe_error ignored;
    int32_t rc = read_locked(m, err);
    if (rc == LATHE_OK)
        rc = lathe_model_load(m->model, err);
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
    OPENSSL_thread_stop(); /* what hashing a plugin's file left with this thread, which ends after libcrypto */
    return rc;
}

int32_t infer_open_door(const infer_model *model, const cJSON *validation, const char *name,
                        const char *step, lathe_door **door, lathe_error *err) {
    char label[320];
    snprintf(label, sizeof label, "%s (%s)", name, step);
    return lathe_door_new(model->model, validation, label, door, err);
}
