/* One inference: inline for a usual size, on another thread above it. */
#include "base/clock.h"
#include "serve/infer_internal.h"

#include <stdlib.h>
#include <string.h>

void infer_refuse(infer_worker *w, lathe_exchange *exchange, const lathe_error *err) {
    const int status = lathe_oip_status(err->code);
    (void)w;
    lathe_http_fail(exchange, status, status == 503 ? "retry-after: 1\r\n" : NULL, "%s%s%s",
                    status == 500 ? err->where : "", status == 500 && err->where[0] ? ": " : "",
                    err->message);
}

/* ---- counting ---- */

typedef struct times {
    int64_t begin, started, parsed, predicted; /* started: = begin where inline */
    int64_t header;                            /* of the request's body; -1: all is JSON */
} times;

static lathe_slot_model *counters(infer_worker *w, const infer_route *route) {
    return route->slot >= 0 && route->slot < LATHE_SLOTS_MODELS ? &w->slot->models[route->slot]
                                                                : NULL;
}

static lathe_slot_arm *arm_counters(infer_worker *w, const infer_route *route) {
    return route->arm >= 0 && route->arm < LATHE_SLOTS_ARMS ? &w->slot->arms[route->arm] : NULL;
}

static void count_failure(infer_worker *w, const infer_route *route, int status) {
    lathe_slot_model *m = counters(w, route);
    lathe_slot_arm *arm = arm_counters(w, route);
    if (arm != NULL) {
        lathe_slot_add(&arm->requests, 1);
        lathe_slot_add(status >= 500 ? &arm->errors : &arm->rejected, 1);
    }
    if (m == NULL)
        return;
    lathe_slot_add(&m->requests, 1);
    lathe_slot_add(&m->failures, 1);
}

/* Where the rows' statistics are counted; area 1: off the serving thread. */
static void *live_region(const infer_worker *w, const infer_route *route, int area) {
    return w->slots != NULL ? lathe_slots_live(w->slots, w->index, area, route->slot) : NULL;
}

static void count_arm(lathe_slot_arm *arm, const lathe_plan_output *output, int64_t rows,
                      uint64_t ns) {
    lathe_slot_add(&arm->requests, 1);
    lathe_slot_add(&arm->rows, (uint64_t)rows);
    lathe_slot_add(&arm->ns, ns);
    lathe_arm_latency(arm, ns);
    for (int64_t i = 0; output->label != NULL && i < rows; i++) {
        const int32_t c = output->label[i];
        lathe_slot_add(&arm->classes[c < LATHE_ARM_CLASSES ? c : LATHE_ARM_CLASSES - 1], 1);
    }
}

static void count_success(infer_worker *w, const infer_route *route, const times *t,
                          const lathe_plan_output *output, int64_t rows) {
    lathe_slot_model *m = counters(w, route);
    lathe_slot_arm *arm = arm_counters(w, route);
    const int64_t end = lathe_now_ns();
    if (arm != NULL)
        count_arm(arm, output, rows, (uint64_t)(end - t->begin));
    if (m == NULL)
        return;
    lathe_slot_add(&m->requests, 1);
    lathe_slot_add(&m->rows, (uint64_t)rows);
    lathe_slot_add(&m->success_ns, (uint64_t)(end - t->begin));
    lathe_slot_add(&m->input_ns, (uint64_t)(t->parsed - t->started));
    lathe_slot_add(&m->queue_ns, (uint64_t)(t->started - t->begin));
    lathe_slot_add(&m->infer_ns, (uint64_t)(t->predicted - t->parsed));
    lathe_slot_add(&m->output_ns, (uint64_t)(end - t->predicted));
    atomic_store_explicit(&m->last_ms, (uint64_t)((end / 1000 + w->wall_offset_us) / 1000),
                          memory_order_relaxed);
    lathe_slot_latency(m, (uint64_t)(end - t->begin));
}

/* ---- running ---- */

/* Under a breadcrumb, so that a crash names plugin and model. */
static int32_t run_plan(infer_worker *w, const infer_route *route, lathe_plan *plan,
                        lathe_plan_output *output, lathe_error *err) {
    const lathe_crumb crumb = {route->model->crumb, "predict", route->step};
    lathe_crumb_saved saved;
    lathe_crumbs_enter(w->setup.crumbs, &crumb, &saved);
    const int32_t rc = lathe_plan_run(plan, output, err);
    lathe_crumbs_leave(w->setup.crumbs, &saved);
    return rc;
}

/* Header lines of an answer whose JSON has so many bytes; the rules that flagged its rows. */
static const char *answer_headers(const lathe_door *door, const lathe_door_visit *visit,
                                  size_t json_len, size_t len, char *buf, size_t size) {
    buf[0] = '\0';
    if (json_len != len)
        snprintf(buf, size, "inference-header-content-length: %zu\r\n", json_len);
    if (visit->fired)
        lathe_door_headers(door, visit, buf, size);
    return buf[0] != '\0' ? buf : NULL;
}

static const char *content_type(size_t json_len, size_t len) {
    return json_len == len ? "application/json" : "application/octet-stream";
}

static void answer_inline(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                          const lathe_plan_output *output, const lathe_door_visit *visit,
                          times *t) {
    char headers[LATHE_DOOR_HEADERS + 64];
    size_t json_len, len;
    lathe_error err = {0};
    uint8_t *room = lathe_http_reserve(exchange, lathe_oip_bound(w->oip));
    if (room == NULL) {
        count_failure(w, route, 503);
        lathe_http_fail(exchange, 503, "retry-after: 1\r\n", "out of memory for the answer");
        return;
    }
    const int32_t rc = lathe_oip_write(w->oip, output, room, &json_len, &len, &err);
    if (rc != LATHE_OK) { /* an infinity in JSON; the room holds any sentence of ours */
        len = (size_t)snprintf((char *)room, 256, "{\"error\":\"%.200s\"}", err.message);
        count_failure(w, route, 500);
        lathe_http_commit(exchange, 500, "application/json", NULL, len);
        return;
    }
    const int64_t rows = lathe_oip_rows(w->oip);
    if (route->shadow != NULL) { /* a copy; the request goes with its answer */
        const lathe_http_request *request = lathe_http_get(exchange);
        infer_shadow_offer(
            w, &(infer_offer){route, request->body, request->body_len, t->header, output, rows});
    }
    lathe_http_commit(exchange, 200, content_type(json_len, len),
                      answer_headers(route->door, visit, json_len, len, headers, sizeof headers),
                      len);
    lathe_door_count(route->door, route->model->plan, 0, rows, live_region(w, route, 0));
    if (visit->fired && arm_counters(w, route) != NULL)
        lathe_slot_add(&arm_counters(w, route)->flagged, 1);
    count_success(w, route, t, output, rows);
}

/* ---- on another thread ---- */

typedef struct job {
    uv_work_t work;
    infer_worker *w;
    infer_route route; /* a copy of what is needed: the table may be gone by then */
    infer_model *model;
    lathe_oip_model *shown;
    lathe_exchange *exchange; /* NULL: the client is gone */
    lathe_oip *oip;
    lathe_plan *plan;
    lathe_plan_output output; /* in the plan */
    times t;
    lathe_door_visit visit;
    bool misfit;            /* the body holds a value of the wrong type */
    uint8_t *body, *answer; /* a copy, since the client may leave meanwhile */
    size_t body_len;
    int64_t header;
    size_t json_len, len;
    int32_t rc;
    lathe_error err;
} job;

static void free_job(job *j) {
    lathe_oip_free(j->oip);
    lathe_plan_free(j->plan);
    lathe_oip_model_free(j->shown);
    lathe_door_free(j->route.door);
    infer_model_release(j->model);
    infer_shadow_release(j->route.shadow);
    free(j->route.step);
    free(j->answer);
    free(j->body);
    free(j);
}

/* [worker] */
static lathe_plan *job_plan(void *user, int64_t rows, lathe_error *err) {
    job *j = user;
    if (lathe_plan_new(j->model->model, rows, &j->plan, err) != LATHE_OK)
        return NULL;
    lathe_door_open(j->route.door, j->plan);
    return j->plan;
}

/* [worker] */
static void job_run(uv_work_t *work) {
    job *j = work->data;
    infer_thread(j->w);
    j->t.started = lathe_now_ns();
    j->rc =
        lathe_oip_parse(j->oip, j->shown, j->body, j->body_len, j->header, job_plan, j, &j->err);
    j->t.parsed = lathe_now_ns();
    const int64_t rows = lathe_oip_rows(j->oip);
    j->misfit = j->rc == LATHE_E_DATA;
    if (j->rc == LATHE_OK)
        j->rc = lathe_door_check(j->route.door, j->plan, 0, rows, &j->visit, &j->err);
    if (j->rc == LATHE_OK)
        j->rc = run_plan(j->w, &j->route, j->plan, &j->output, &j->err);
    j->t.predicted = lathe_now_ns();
    if (j->rc != LATHE_OK)
        return;
    j->answer = malloc(lathe_oip_bound(j->oip));
    j->rc = j->answer
                ? lathe_oip_write(j->oip, &j->output, j->answer, &j->json_len, &j->len, &j->err)
                : lathe_fail(&j->err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
    if (j->rc == LATHE_OK)
        lathe_door_count_shared(j->route.door, j->plan, 0, rows, live_region(j->w, &j->route, 1));
}

static void job_gone(void *user) {
    job *j = user;
    j->exchange = NULL;
    lathe_slot_add(&j->w->slot->cancelled, 1);
    uv_cancel((uv_req_t *)&j->work); /* where it still waits */
}

static void job_after(uv_work_t *work, int status) {
    job *j = work->data;
    infer_worker *w = j->w;
    char headers[LATHE_DOOR_HEADERS + 64];
    if (status == 0 && j->misfit)
        lathe_door_note_type(counters(w, &j->route));
    if (status == 0)
        lathe_door_note(&j->visit, counters(w, &j->route));
    if (status != 0 || j->exchange == NULL) {
        /* nobody waits for it */
    } else if (j->rc != LATHE_OK) {
        count_failure(w, &j->route, lathe_oip_status(j->rc));
        infer_refuse(w, j->exchange, &j->err);
    } else {
        lathe_http_reply(
            j->exchange, 200, content_type(j->json_len, j->len),
            answer_headers(j->route.door, &j->visit, j->json_len, j->len, headers, sizeof headers),
            j->answer, j->len);
        const int64_t rows = lathe_oip_rows(j->oip);
        count_success(w, &j->route, &j->t, &j->output, rows);
        if (j->route.shadow != NULL)
            infer_shadow_offer(
                w, &(infer_offer){&j->route, j->body, j->body_len, j->header, &j->output, rows});
    }
    free_job(j);
    infer_job_done(w);
}

static int32_t new_job(infer_worker *w, lathe_exchange *exchange, const infer_route *route,
                       job **out, lathe_error *err) {
    const lathe_http_request *request = lathe_http_get(exchange);
    job *j = calloc(1, sizeof *j);
    *out = NULL;
    if (j == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the request");
    j->w = w;
    j->exchange = exchange;
    j->work.data = j;
    j->model = route->model;
    infer_model_retain(j->model);
    j->route = (infer_route){.slot = route->slot,
                             .arm = route->arm,
                             .model = route->model,
                             .shadow = route->shadow,
                             .step = strdup(route->step)};
    if (route->shadow != NULL)
        infer_shadow_retain(route->shadow);
    lathe_door_retain(route->door);
    j->route.door = route->door;
    j->oip = lathe_oip_new();
    j->body = malloc(request->body_len + 1);
    int32_t rc =
        lathe_oip_model_new(route->model->model, route->name, route->version, &j->shown, err);
    if (rc == LATHE_OK && (j->route.step == NULL || j->oip == NULL || j->body == NULL))
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the request");
    if (rc != LATHE_OK) {
        free_job(j);
        return rc;
    }
    memcpy(j->body, request->body, request->body_len);
    j->body_len = request->body_len;
    *out = j;
    return LATHE_OK;
}

/* The body is read again there, into a plan of its own. */
static void predict_elsewhere(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                              int64_t header, int64_t begin) {
    lathe_error err = {0};
    job *j;
    int32_t rc = new_job(w, exchange, route, &j, &err);
    if (rc == LATHE_OK) {
        j->header = header;
        j->t.begin = begin;
        lathe_http_on_gone(exchange, job_gone, j);
        if (uv_queue_work(&w->loop, &j->work, job_run, job_after) == 0) {
            w->jobs++;
            return;
        }
        lathe_http_on_gone(exchange, NULL, NULL);
        free_job(j);
        rc = lathe_fail(&err, LATHE_E_MEMORY, NULL, "no thread takes the request");
    }
    count_failure(w, route, lathe_oip_status(rc));
    infer_refuse(w, exchange, &err);
}

/* ---- the verb ---- */

typedef struct choice {
    infer_worker *w;
    infer_route *route;
    bool elsewhere;
} choice;

/* The model's own plan; NULL and `elsewhere` where the batch is above the bound. */
static lathe_plan *inline_plan(void *user, int64_t rows, lathe_error *err) {
    choice *c = user;
    const infer_model *m = c->route->model;
    c->elsewhere =
        rows > INFER_INLINE_ROWS || (rows > 1 && rows * m->ns_per_row > c->w->max_inline_ns);
    if (!c->elsewhere) {
        lathe_door_open(c->route->door, m->plan);
        return m->plan;
    }
    lathe_fail(err, LATHE_E_CANCELLED, NULL, "for another thread");
    return NULL;
}

/* The header's value, -1: absent; false: no number. */
static bool read_header_length(lathe_exchange *exchange, int64_t *out) {
    const lathe_http_text text = lathe_http_header(exchange, "inference-header-content-length");
    *out = -1;
    if (text.ptr == NULL)
        return true;
    return lathe_read_int((lathe_str){text.ptr, (int64_t)text.len}, out) && *out >= 0;
}

void infer_predict(infer_worker *w, lathe_exchange *exchange, infer_route *route) {
    const lathe_http_request *request = lathe_http_get(exchange);
    lathe_plan_output output;
    lathe_error err;
    choice c = {w, route, false};
    lathe_door_visit visit;
    times t = {.begin = lathe_now_ns()};
    int64_t header;
    err.code = LATHE_OK;
    if (!read_header_length(exchange, &header)) {
        count_failure(w, route, 400);
        lathe_http_fail(exchange, 400, NULL,
                        "Inference-Header-Content-Length is no number of bytes");
        return;
    }
    int32_t rc = lathe_oip_parse(w->oip, route->shown, request->body, request->body_len, header,
                                 inline_plan, &c, &err);
    if (c.elsewhere) {
        predict_elsewhere(w, exchange, route, header, t.begin);
        return;
    }
    t.started = t.begin;
    t.header = header;
    t.parsed = lathe_now_ns();
    if (rc == LATHE_E_DATA)
        lathe_door_note_type(counters(w, route));
    if (rc == LATHE_OK) {
        rc = lathe_door_check(route->door, route->model->plan, 0, lathe_oip_rows(w->oip), &visit,
                              &err);
        lathe_door_note(&visit, counters(w, route));
    }
    if (rc == LATHE_OK)
        rc = run_plan(w, route, route->model->plan, &output, &err);
    if (rc != LATHE_OK) {
        count_failure(w, route, lathe_oip_status(rc));
        infer_refuse(w, exchange, &err);
        return;
    }
    t.predicted = lathe_now_ns();
    /* moving mean of the cost, over about 16 requests */
    const int64_t cost = (t.predicted - t.parsed) / lathe_oip_rows(w->oip);
    route->model->ns_per_row += (cost - route->model->ns_per_row) / 16;
    answer_inline(w, exchange, route, &output, &visit, &t);
}
