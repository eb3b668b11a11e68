/* Models that nobody has asked for yet.
 *
 * A worker that starts, or replaces another, knows its routes by their names; headers are read once it serves
 * (infer/heads.c), plugins, state and validation of a model come with its first request, which waits for them on the loop while
 * another thread works. So
 * a hundred models cost what is used of them, in time and in memory. Later tables load whole models before they are swapped
 * in: a client never waits for a new version, and a version that cannot be loaded never replaces one.
 */
#include "base/log.h"
#include "serve/infer/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct waiting {
    struct waiting *next;
    infer_warming *warming;
    lathe_exchange *exchange; /* NULL: the client is gone */
} waiting;

struct infer_warming {
    infer_warming *next;
    uv_work_t work;
    infer_worker *w;
    infer_model *model;
    char *name, *version, *step;
    cJSON *validation;
    lathe_door *door;
    int32_t rc;
    lathe_error err;
    bool is_head; /* that alone is wanted */
    bool done;
    waiting *waiters; /* oldest first */
};

static void free_warming(infer_warming *warming) {
    lathe_door_free(warming->door);
    cJSON_Delete(warming->validation);
    infer_model_release(warming->model);
    free(warming->name);
    free(warming->version);
    free(warming->step);
    free(warming);
}

/* [worker] */
static void warm_run(uv_work_t *work) {
    infer_warming *warming = work->data;
    infer_worker *w = warming->w;
    infer_thread(w);
    if (warming->is_head) {
        warming->rc = infer_model_read(warming->model, &warming->err);
        return;
    }
    warming->rc = infer_model_load(warming->model, w->setup.crumbs, &warming->err);
    if (warming->rc == LATHE_OK)
        warming->rc = infer_open_door(warming->model, warming->validation, warming->name,
                                      warming->step, &warming->door, &warming->err);
    if (warming->rc == LATHE_OK)
        warming->rc = lathe_door_furnish(warming->door, &warming->err);
}

/* The routes that it was for, in the table that is served now, have what they need or their reason. */
static void attach(infer_worker *w, infer_warming *warming) {
    for (size_t i = 0; w->table != NULL && i < w->table->n_routes; i++) {
        infer_route *r = &w->table->routes[i];
        if (r->model != warming->model || r->door != NULL || r->error != NULL ||
            strcmp(r->name, warming->name) != 0 || strcmp(r->version, warming->version) != 0)
            continue;
        if (warming->rc == LATHE_OK && warming->is_head) {
            continue; /* infer_route_show() makes what is missing */
        } else if (warming->rc == LATHE_OK) {
            lathe_door_retain(warming->door);
            r->door = warming->door;
            if (r->batch_rows > 1) /* without one its requests are answered one by one */
                (void)infer_batch_new(r, r->batch_rows, r->batch_delay_us, &r->batch, NULL);
        } else {
            r->error = strdup(warming->err.message);
        }
    }
}

static void tell_failure(infer_worker *w, const infer_warming *warming) {
    char text[700];
    cJSON *event = cJSON_CreateObject();
    snprintf(text, sizeof text, "cannot load \"%.140s\" (%.160s): %.300s", warming->name,
             warming->step, warming->err.message);
    cJSON_AddStringToObject(event, "event", text);
    infer_send(w, event);
    cJSON_Delete(event);
}

void infer_warm_settle(infer_worker *w) {
    infer_warming **at = &w->warming;
    while (*at != NULL && !w->loading) {
        infer_warming *warming = *at;
        if (!warming->done) {
            at = &warming->next;
            continue;
        }
        *at = warming->next;
        attach(w, warming);
        if (warming->rc != LATHE_OK)
            tell_failure(w, warming);
        for (waiting *x = warming->waiters, *next; x != NULL; x = next) {
            next = x->next;
            if (x->exchange != NULL) {
                lathe_http_on_gone(x->exchange, NULL, NULL);
                infer_resume(w, x->exchange);
            }
            free(x);
        }
        free_warming(warming);
        infer_job_done(w);
        at = &w->warming; /* answering may have begun others */
    }
}

static void warm_after(uv_work_t *work, int status) {
    infer_warming *warming = work->data;
    if (status != 0)
        warming->rc = lathe_fail(&warming->err, LATHE_E_CANCELLED, NULL, "the load was cancelled");
    warming->done = true;
    infer_warm_settle(
        warming->w); /* while a table is being made from this one it must not change */
}

/* Begins the work for a route. NULL: err. */
static infer_warming *begin(infer_worker *w, const infer_route *route, bool is_head,
                            lathe_error *err) {
    infer_warming *warming = calloc(1, sizeof *warming);
    if (warming == NULL) {
        lathe_fail(err, LATHE_E_MEMORY, route->name, "out of memory");
        return NULL;
    }
    *warming = (infer_warming){.work.data = warming,
                               .w = w,
                               .model = route->model,
                               .is_head = is_head,
                               .name = strdup(route->name),
                               .version = strdup(route->version),
                               .step = strdup(route->step)};
    infer_model_retain(route->model);
    if (route->validation != NULL)
        warming->validation = cJSON_Duplicate(route->validation, 1);
    if (warming->name == NULL || warming->version == NULL || warming->step == NULL ||
        (route->validation != NULL && warming->validation == NULL) ||
        uv_queue_work(&w->loop, &warming->work, warm_run, warm_after) != 0) {
        free_warming(warming);
        lathe_fail(err, LATHE_E_MEMORY, route->name, "out of memory");
        return NULL;
    }
    w->jobs++;
    warming->next = w->warming;
    w->warming = warming;
    return warming;
}

static void waiter_gone(void *user) {
    waiting *x = user;
    lathe_slot_add(&x->warming->w->slot->cancelled, 1);
    x->exchange = NULL;
}

void infer_warm(infer_worker *w, lathe_exchange *exchange, const infer_route *route, bool is_head) {
    lathe_error err = {0};
    waiting *x = calloc(1, sizeof *x);
    infer_warming *warming = w->warming;
    while (warming != NULL && (warming->model != route->model || warming->is_head != is_head ||
                               strcmp(warming->name, route->name) != 0 ||
                               strcmp(warming->version, route->version) != 0))
        warming = warming->next;
    if (x != NULL && warming == NULL)
        warming = begin(w, route, is_head, &err);
    if (x == NULL || warming == NULL) {
        free(x);
        lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "out of memory for \"%s\"",
                        route->name);
        return;
    }
    *x = (waiting){.warming = warming, .exchange = exchange};
    lathe_http_on_gone(exchange, waiter_gone, x);
    waiting **end = &warming->waiters;
    while (*end != NULL)
        end = &(*end)->next;
    *end = x;
}
