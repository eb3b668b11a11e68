/* One inference: its deadline, where it runs, and its answer. */
#include "base/clock.h"
#include "serve/infer/internal.h"

#include <string.h>

void infer_refuse(infer_worker *w, lathe_exchange *exchange, const lathe_error *err) {
    const int status = lathe_oip_status(err->code);
    (void)w;
    lathe_http_fail(exchange, status, status == 503 ? "retry-after: 1\r\n" : NULL, "%s%s%s",
                    status == 500 ? err->where : "", status == 500 && err->where[0] ? ": " : "",
                    err->message);
}

void infer_fail(infer_worker *w, lathe_exchange *exchange, const infer_route *route,
                const lathe_error *err, int64_t begin) {
    infer_count_failure(w, route, lathe_oip_status(err->code), begin);
    infer_refuse(w, exchange, err);
}

/* ---- running ---- */

int32_t infer_run_plan(infer_worker *w, const infer_route *route, lathe_plan *plan,
                       lathe_plan_output *output, lathe_error *err) {
    const lathe_crumb crumb = {route->model->crumb, "predict", route->step};
    lathe_crumb_saved saved;
    lathe_crumbs_enter(w->setup.crumbs, &crumb, &saved);
    const int32_t rc = lathe_plan_run(plan, output, err);
    lathe_crumbs_leave(w->setup.crumbs, &saved);
    return rc;
}

/* ---- answering ---- */

const char *infer_answer_headers(const lathe_door *door, const lathe_door_visit *visit,
                                 size_t json_len, size_t len, char *buf, size_t size) {
    buf[0] = '\0';
    if (json_len != len)
        snprintf(buf, size, "inference-header-content-length: %zu\r\n", json_len);
    if (visit->fired)
        lathe_door_headers(door, visit, buf, size);
    return buf[0] != '\0' ? buf : NULL;
}

void *infer_live_region(const infer_worker *w, const infer_route *route, int area) {
    return w->slots != NULL ? lathe_slots_live(w->slots, w->index, area, route->slot) : NULL;
}

const char *infer_content_type(size_t json_len, size_t len) {
    return json_len == len ? "application/json" : "application/octet-stream";
}

void infer_answer_with(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                       const lathe_oip *oip, const lathe_plan_output *whole,
                       const lathe_door_visit *visit, const infer_times *t) {
    char headers[LATHE_DOOR_HEADERS + 64];
    size_t json_len, len;
    lathe_error err = {0};
    uint8_t *room = lathe_http_reserve(exchange, lathe_oip_bound(oip));
    if (room == NULL) {
        lathe_fail(&err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
        infer_fail(w, exchange, route, &err, t->begin);
        return;
    }
    const int32_t rc = lathe_oip_write(oip, whole, room, &json_len, &len, &err);
    if (rc != LATHE_OK) { /* an infinity in JSON */
        infer_fail(w, exchange, route, &err, t->begin);
        return;
    }
    const lathe_plan_output output = lathe_oip_output(oip, whole);
    const int64_t rows = lathe_oip_rows(oip);
    if (route->shadow != NULL) { /* a copy; the request goes with its answer */
        const lathe_http_request *request = lathe_http_get(exchange);
        infer_shadow_offer(
            w, &(infer_offer){route, request->body, request->body_len, t->header, &output, rows});
    }
    /* counted before it goes out: the next request of the connection may come in between and use the same plan */
    infer_count_success(w, route, t, &output, rows, visit->fired);
    infer_remember(w, route, oip, &output);
    lathe_http_commit(
        exchange, 200, infer_content_type(json_len, len),
        infer_answer_headers(route->door, visit, json_len, len, headers, sizeof headers), len);
}

void infer_flush(infer_worker *w, const infer_table *table) {
    for (size_t i = 0; table != NULL && i < table->n_routes; i++)
        if (table->routes[i].door != NULL)
            lathe_door_flush(table->routes[i].door, infer_live_region(w, &table->routes[i], 0));
}

/* ---- deadlines ---- */

int64_t infer_deadline(int64_t deadline, int64_t begin, int64_t timeout_us) {
    const int64_t most = INT64_MAX / 4000;
    if (timeout_us <= 0)
        return deadline;
    const int64_t own = begin + (timeout_us < most ? timeout_us : most) * 1000;
    return deadline == 0 || own < deadline ? own : deadline;
}

int32_t infer_expired(lathe_error *err) {
    return lathe_fail(err, LATHE_E_TIMEOUT, NULL,
                      "the request's deadline passed before it was predicted");
}

/* The deadline by the header and the service's own; 0: none. False: the header is no number. */
static bool read_deadline(const infer_worker *w, lathe_exchange *exchange, int64_t begin,
                          int64_t *deadline) {
    const lathe_http_text text = lathe_http_header(exchange, "x-request-timeout-ms");
    int64_t ms = 0;
    *deadline = infer_deadline(0, begin, w->timeout_us);
    if (text.ptr == NULL)
        return true;
    if (!lathe_read_int((lathe_str){text.ptr, (int64_t)text.len}, &ms) || ms < 1)
        return false;
    *deadline = infer_deadline(*deadline, begin, ms < INT64_MAX / 1000 ? ms * 1000 : ms);
    return true;
}

/* ---- the verb ---- */

typedef struct choice {
    infer_worker *w;
    infer_route *route;
    bool elsewhere;
    int64_t rows;
} choice;

/* The model's own plan; NULL and `elsewhere` where the batch is above the bound, or the door must be furnished first. */
static lathe_plan *inline_plan(void *user, int64_t rows, lathe_error *err) {
    choice *c = user;
    const infer_model *m = c->route->model;
    c->rows = rows;
    c->elsewhere = !lathe_door_is_furnished(c->route->door) || rows > INFER_INLINE_ROWS ||
                   (rows > 1 && rows * m->ns_per_row > c->w->max_inline_ns);
    if (!c->elsewhere) {
        lathe_door_open(c->route->door, m->plan);
        lathe_door_expect(c->route->door);
        return m->plan;
    }
    lathe_fail(err, LATHE_E_CANCELLED, NULL, "for another thread");
    return NULL;
}

void infer_note_cost(infer_model *model, int64_t ns, int64_t rows) {
    model->ns_per_row += (ns / rows - model->ns_per_row) / 16;
}

void infer_predict_now(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                       infer_times *t) {
    const lathe_http_request *request = lathe_http_get(exchange);
    lathe_plan_output output;
    lathe_door_visit visit;
    lathe_error err;
    choice c = {w, route, false, 0};
    err.code = LATHE_OK;
    t->started = lathe_now_ns();
    int32_t rc = lathe_oip_parse(w->oip, route->shown, request->body, request->body_len, t->header,
                                 inline_plan, &c, &err);
    if (c.elsewhere) {
        infer_predict_elsewhere(w, exchange, route, c.rows, t);
        return;
    }
    t->parsed = lathe_now_ns();
    if (rc == LATHE_OK) {
        t->deadline = infer_deadline(t->deadline, t->begin, lathe_oip_timeout_us(w->oip));
        rc = t->deadline != 0 && t->parsed > t->deadline ? infer_expired(&err) : LATHE_OK;
    }
    if (rc == LATHE_E_DATA)
        lathe_door_note_type(infer_counters(w, route));
    const int64_t rows = lathe_oip_rows(w->oip);
    if (rc == LATHE_OK) {
        rc = lathe_door_check(route->door, route->model->plan, 0, rows, &visit, &err);
        lathe_door_note(&visit, infer_counters(w, route));
    }
    if (rc == LATHE_OK)
        rc = infer_run_plan(w, route, route->model->plan, &output, &err);
    if (rc != LATHE_OK) {
        infer_fail(w, exchange, route, &err, t->begin);
        return;
    }
    t->predicted = lathe_now_ns();
    infer_count_execution(w, route);
    infer_note_cost(route->model, t->predicted - t->parsed, rows);
    void *region = infer_live_region(w, route, 0);
    lathe_door_count(route->door, route->model->plan, 0, rows, &visit, region);
    lathe_door_count_answers(route->door, &output, rows, region);
    infer_answer_with(w, exchange, route, w->oip, &output, &visit, t);
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
    infer_times t = {.begin = lathe_now_ns(), .meter = *lathe_auth_last(w->auth)};
    const char *wrong = !read_header_length(exchange, &t.header)
                            ? "Inference-Header-Content-Length is no number of bytes"
                        : !read_deadline(w, exchange, t.begin, &t.deadline)
                            ? "X-Request-Timeout-Ms is no number of milliseconds above 0"
                            : NULL;
    if (wrong != NULL) {
        infer_count_failure(w, route, 400, t.begin);
        lathe_http_fail(exchange, 400, NULL, "%s", wrong);
    } else if (route->batch == NULL || !infer_batch_add(w, exchange, route, &t)) {
        infer_predict_now(w, exchange, route, &t);
    }
}
