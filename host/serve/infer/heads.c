/* The headers of a first table's models, read after it is served: a hundred files are opened and checked while requests are
 * answered already. A request that comes earlier has its model's read before (infer/warm.c). What is broken is told to the
 * supervisor as if the table had found it. */
#include "base/hash.h"
#include "serve/infer/internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

typedef struct heads {
    uv_work_t work;
    infer_worker *w;
    size_t n;
    infer_model *models[];
} heads;

/* [worker] */
static void heads_run(uv_work_t *work) {
    heads *h = work->data;
    lathe_error ignored;
    infer_thread(h->w);
    lathe_hash_prepare(); /* the first model that is loaded finds it done, or well begun */
    for (size_t i = 0; i < h->n; i++) {
        (void)infer_model_read(h->models[i], &ignored); /* a broken one keeps its reason */
        infer_model_release(h->models[i]);
    }
    OPENSSL_thread_stop(); /* as in infer_model_load() */
}

static void heads_after(uv_work_t *work, int status) {
    heads *h = work->data;
    infer_worker *w = h->w;
    (void)status;
    free(h);
    infer_heads_settle(w);
    infer_job_done(w);
}

void infer_heads_read(infer_worker *w) {
    const infer_table *t = w->table;
    heads *h = calloc(1, sizeof *h + (t->n_routes + 1) * sizeof *h->models);
    if (h == NULL)
        return; /* first requests read them */
    h->w = w;
    h->work.data = h;
    for (size_t i = 0; i < t->n_routes; i++) {
        infer_model *m = t->routes[i].model;
        if (m == NULL || atomic_load(&m->head) != INFER_HEAD_UNREAD)
            continue;
        infer_model_retain(m);
        h->models[h->n++] = m;
    }
    if (h->n > 0 && uv_queue_work(&w->loop, &h->work, heads_run, heads_after) == 0) {
        w->jobs++;
        return;
    }
    for (size_t i = 0; i < h->n; i++) /* the table holds them too: nothing is closed here */
        infer_model_release(h->models[i]);
    free(h);
}

void infer_heads_settle(infer_worker *w) {
    infer_table *t = w->table;
    bool any = false;
    for (size_t i = 0; t != NULL && !w->loading && i < t->n_routes; i++) {
        infer_route *r = &t->routes[i];
        if (r->model == NULL || r->error != NULL ||
            atomic_load(&r->model->head) != INFER_HEAD_BROKEN)
            continue;
        r->error = strdup(r->model->reason);
        any = any || r->error != NULL;
    }
    if (any)
        infer_tell_loaded(w);
}
