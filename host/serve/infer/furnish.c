/* Doors are furnished after their table is served: reading the profiles of many models takes longer than opening them. */
#include "serve/infer/internal.h"

#include <stdlib.h>

typedef struct furnish_item {
    lathe_door *door;
    infer_model *model; /* must outlive the work on its door */
} furnish_item;

typedef struct furnish {
    uv_work_t work;
    infer_worker *w;
    size_t n;
    furnish_item items[];
} furnish;

/* [worker] A door that cannot be furnished is tried again by the first request. */
static void furnish_run(uv_work_t *work) {
    furnish *f = work->data;
    lathe_error ignored;
    infer_thread(f->w);
    for (size_t i = 0; i < f->n; i++) {
        (void)lathe_door_furnish(f->items[i].door, &ignored);
        lathe_door_free(f->items[i].door);
        infer_model_release(f->items[i].model);
    }
}

static void furnish_after(uv_work_t *work, int status) {
    furnish *f = work->data;
    infer_worker *w = f->w;
    (void)status;
    free(f);
    infer_job_done(w);
}

void infer_furnish(infer_worker *w) {
    const infer_table *t = w->table;
    furnish *f = calloc(1, sizeof *f + (t->n_routes + 1) * sizeof *f->items);
    if (f == NULL)
        return;
    f->w = w;
    f->work.data = f;
    for (size_t i = 0; i < t->n_routes; i++) {
        infer_route *r = &t->routes[i];
        if (r->door == NULL || lathe_door_is_furnished(r->door))
            continue;
        lathe_door_retain(r->door);
        infer_model_retain(r->model);
        f->items[f->n++] = (furnish_item){r->door, r->model};
    }
    if (f->n > 0 && uv_queue_work(&w->loop, &f->work, furnish_run, furnish_after) == 0) {
        w->jobs++;
        return;
    }
    for (size_t i = 0; i < f->n; i++) { /* the tables hold them too: nothing is closed here */
        lathe_door_free(f->items[i].door);
        infer_model_release(f->items[i].model);
    }
    free(f);
}
