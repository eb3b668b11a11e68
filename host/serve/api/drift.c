/* How far what a version serves is from its training. */
#include "serve/api/api.h"
#include "serve/watch/watch.h"

/* [loop] */
static void add_watched(api_call *c) {
    const lathe_version_record *v = c->user;
    c->rc = api_answer(c, lathe_watches_json(c->s->watches, v->model, v->version));
}

static int32_t get_drift(api_call *c) {
    lathe_version_record *v = lathe_arena_alloc(c->arena, sizeof *v);
    if (v == NULL)
        return lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
    const int32_t rc = api_find_version(c, v);
    c->user = v;
    c->then = rc == LATHE_OK ? add_watched : NULL;
    return rc;
}

const api_route api_drift_routes[] = {
    {.method = "GET",
     .path = "/api/v1/models/{model}/versions/{version}/drift",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "The last window of served rows against training: a score for each feature and "
                "measure of the document's monitor, and which are alerted",
     .run = get_drift,
     .answer = "Drift"},
    {0}};
