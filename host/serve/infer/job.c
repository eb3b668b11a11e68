/* Inferences above the bound of rows × cost: on another thread, in a queue of bounded rows. */
#include "base/clock.h"
#include "serve/infer/internal.h"

#include <stdlib.h>
#include <string.h>

#define PEEK_BYTES                                                                                 \
    ((int64_t)64 << 10) /* of JSON that the serving thread looks through for a deadline */

struct infer_job {
    uv_work_t work;
    infer_worker *w;
    infer_job *next;   /* of those that are under way */
    infer_route route; /* a copy of what is needed: the table may be gone by then */
    infer_model *model;
    lathe_oip_model *shown;
    lathe_exchange *exchange; /* NULL: nobody waits for the answer any more */
    _Atomic bool stop;        /* the same, for the other thread */
    lathe_oip *oip;
    lathe_plan *plan;
    lathe_plan_output output; /* in the plan */
    infer_times t;
    lathe_door_visit visit;
    bool misfit;            /* the body holds a value of the wrong type */
    int64_t rows;           /* that the queue counts */
    int64_t deadline;       /* that the serving thread knows; 0: none */
    uint8_t *body, *answer; /* a copy, since the client may leave meanwhile */
    size_t body_len;
    size_t json_len, len;
    int32_t rc;
    lathe_error err;
};

/* A plan that is large enough; NULL: the other thread makes one. */
static lathe_plan *take_plan(infer_model *m, int64_t rows) {
    for (int i = 0; i < m->n_spare; i++)
        if (lathe_plan_max_rows(m->spare[i]) >= rows) {
            lathe_plan *plan = m->spare[i];
            m->spare[i] = m->spare[--m->n_spare];
            return plan;
        }
    return NULL;
}

static void give_plan(infer_model *m, lathe_plan *plan) {
    if (plan == NULL || lathe_plan_max_rows(plan) > INFER_SPARE_ROWS) {
        lathe_plan_free(plan);
        return;
    }
    if (m->n_spare == INFER_SPARE_PLANS) { /* sizes change: the oldest goes */
        lathe_plan_free(m->spare[0]);
        memmove(m->spare, m->spare + 1, (INFER_SPARE_PLANS - 1) * sizeof *m->spare);
        m->n_spare--;
    }
    m->spare[m->n_spare++] = plan;
}

static void free_job(infer_job *j) {
    lathe_oip_free(j->oip);
    if (j->model != NULL)
        give_plan(j->model, j->plan);
    lathe_oip_model_free(j->shown);
    lathe_door_free(j->route.door);
    infer_model_release(j->model);
    infer_shadow_release(j->route.shadow);
    free(j->route.step);
    free(j->answer);
    free(j->body);
    free(j);
}

/* ---- the other thread ---- */

/* [worker] */
static lathe_plan *job_plan(void *user, int64_t rows, lathe_error *err) {
    infer_job *j = user;
    int64_t capacity = INFER_INLINE_ROWS; /* so that it serves others, too */
    while (capacity < rows && capacity < INFER_SPARE_ROWS)
        capacity *= 2;
    capacity = capacity < rows ? rows : capacity;
    if (j->plan == NULL && lathe_plan_new(j->model->model, capacity, &j->plan, err) != LATHE_OK)
        return NULL;
    lathe_plan_stop_on(j->plan, &j->stop);
    lathe_door_open(j->route.door, j->plan);
    return j->plan;
}

/* [worker] Is there still somebody to predict for? */
static int32_t check_wanted(infer_job *j, int64_t now) {
    if (atomic_load_explicit(&j->stop, memory_order_relaxed))
        return lathe_fail(&j->err, LATHE_E_CANCELLED, NULL, "the client has left");
    return j->t.deadline != 0 && now > j->t.deadline ? infer_expired(&j->err) : LATHE_OK;
}

/* [worker] */
static int32_t job_predict(infer_job *j) {
    infer_times *t = &j->t;
    t->started = lathe_now_ns();
    int32_t rc = check_wanted(j, t->started);
    if (rc == LATHE_OK)
        rc = lathe_door_furnish(j->route.door, &j->err);
    if (rc == LATHE_OK)
        rc = lathe_oip_parse(j->oip, j->shown, j->body, j->body_len, t->header, job_plan, j,
                             &j->err);
    t->parsed = lathe_now_ns();
    j->misfit = rc == LATHE_E_DATA;
    if (rc != LATHE_OK)
        return rc;
    const int64_t rows = lathe_oip_rows(j->oip);
    t->deadline = infer_deadline(t->deadline, t->begin, lathe_oip_timeout_us(j->oip));
    rc = check_wanted(j, t->parsed);
    if (rc == LATHE_OK)
        rc = lathe_door_check_shared(j->route.door, j->plan, 0, rows, &j->visit, &j->err);
    if (rc == LATHE_OK)
        rc = infer_run_plan(j->w, &j->route, j->plan, &j->output, &j->err);
    t->predicted = lathe_now_ns();
    if (rc != LATHE_OK)
        return rc;
    j->answer = malloc(lathe_oip_bound(j->oip));
    rc = j->answer ? lathe_oip_write(j->oip, &j->output, j->answer, &j->json_len, &j->len, &j->err)
                   : lathe_fail(&j->err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
    if (rc == LATHE_OK)
        lathe_door_count_shared(j->route.door, j->plan, &j->output, rows,
                                infer_live_region(j->w, &j->route, 1));
    return rc;
}

/* [worker] */
static void job_run(uv_work_t *work) {
    infer_job *j = work->data;
    infer_thread(j->w);
    j->rc = job_predict(j);
}

/* ---- the serving thread ---- */

static void unlink_job(infer_job *j) {
    infer_job **at = &j->w->job_list;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    infer_count_queue(j->w, -j->rows);
}

/* Nobody waits for the answer: dropped where it waits, else at the next chunk of rows. */
static void abandon(infer_job *j) {
    j->exchange = NULL;
    atomic_store_explicit(&j->stop, true, memory_order_relaxed);
    uv_cancel((uv_req_t *)&j->work);
}

static void job_gone(void *user) {
    infer_job *j = user;
    infer_count_cancelled(j->w, &j->route);
    abandon(j);
}

static void answer(infer_job *j) {
    char headers[LATHE_DOOR_HEADERS + 64];
    infer_worker *w = j->w;
    const int64_t rows = lathe_oip_rows(j->oip);
    infer_count_execution(w, &j->route);
    infer_count_success(w, &j->route, &j->t, &j->output, rows, j->visit.fired);
    infer_remember(w, &j->route, j->oip, &j->output);
    lathe_http_reply(j->exchange, 200, infer_content_type(j->json_len, j->len),
                     infer_answer_headers(j->route.door, &j->visit, j->json_len, j->len, headers,
                                          sizeof headers),
                     j->answer, j->len);
    if (j->route.shadow != NULL)
        infer_shadow_offer(
            w, &(infer_offer){&j->route, j->body, j->body_len, j->t.header, &j->output, rows});
}

static void job_after(uv_work_t *work, int status) {
    infer_job *j = work->data;
    infer_worker *w = j->w;
    unlink_job(j);
    if (status == 0 && j->misfit)
        lathe_door_note_type(infer_counters(w, &j->route));
    if (status == 0)
        lathe_door_note(&j->visit, infer_counters(w, &j->route));
    if (j->exchange != NULL && status != 0)
        lathe_http_fail(j->exchange, 503, "retry-after: 1\r\n", "the request was dropped");
    else if (j->exchange != NULL && j->rc != LATHE_OK)
        infer_fail(w, j->exchange, &j->route, &j->err, j->t.begin);
    else if (j->exchange != NULL)
        answer(j);
    free_job(j);
    infer_job_done(w);
}

/* ---- deadlines ---- */

static void arm_timer(infer_worker *w);

static void on_timer(uv_timer_t *timer) {
    infer_worker *w = timer->data;
    const int64_t now = lathe_now_ns();
    for (infer_job *j = w->job_list; j != NULL; j = j->next) {
        lathe_exchange *exchange = j->exchange;
        lathe_error err = {0};
        if (exchange == NULL || j->deadline == 0 || j->deadline > now)
            continue;
        infer_expired(&err);
        abandon(j);
        infer_fail(w, exchange, &j->route, &err, j->t.begin);
    }
    arm_timer(w);
}

/* For the first deadline that waits. The job's own thread may lower its deadline, which the job then finds itself. */
static void arm_timer(infer_worker *w) {
    int64_t first = INT64_MAX;
    for (const infer_job *j = w->job_list; j != NULL; j = j->next)
        if (j->exchange != NULL && j->deadline != 0 && j->deadline < first)
            first = j->deadline;
    if (first == INT64_MAX) {
        uv_timer_stop(&w->job_timer);
        return;
    }
    const int64_t wait = first - lathe_now_ns();
    uv_timer_start(&w->job_timer, on_timer, wait > 0 ? (uint64_t)(wait / 1000000) + 1 : 1, 0);
}

/* ---- beginning ---- */

static int32_t new_job(infer_worker *w, lathe_exchange *exchange, const infer_route *route,
                       infer_job **out, lathe_error *err) {
    const lathe_http_request *request = lathe_http_get(exchange);
    infer_job *j = calloc(1, sizeof *j);
    *out = NULL;
    if (j == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the request");
    j->w = w;
    j->exchange = exchange;
    j->work.data = j;
    j->model = route->model;
    infer_model_retain(j->model);
    j->route = (infer_route){.slot = route->slot,
                             .recalled = route->recalled,
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

/* The deadline that the body asks for, where its JSON is small; else its parse on the other thread finds it. */
static int64_t body_timeout_us(const lathe_http_request *request, int64_t header) {
    const int64_t json = header >= 0 ? header : (int64_t)request->body_len;
    return json > 0 && json <= PEEK_BYTES && (uint64_t)json <= request->body_len
               ? lathe_oip_peek_timeout_us(request->body, (size_t)json)
               : 0;
}

/* A single request is never too large for an empty queue. */
static bool is_full(const infer_worker *w, int64_t rows) {
    return w->max_queued_rows > 0 && w->queued_rows > 0 &&
           rows > w->max_queued_rows - w->queued_rows;
}

static void shed(infer_worker *w, lathe_exchange *exchange, const infer_route *route,
                 int64_t begin) {
    infer_count_shed(w, route, begin);
    lathe_http_fail(exchange, 503, "retry-after: 1\r\n",
                    "the queue is full: %lld rows wait; try again later",
                    (long long)w->queued_rows);
}

void infer_predict_elsewhere(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                             int64_t rows, const infer_times *t) {
    lathe_error err = {0};
    infer_job *j;
    if (is_full(w, rows)) {
        shed(w, exchange, route, t->begin);
        return;
    }
    int32_t rc = new_job(w, exchange, route, &j, &err);
    if (rc == LATHE_OK) {
        j->t = *t;
        j->rows = rows;
        j->plan = take_plan(j->model, rows);
        j->t.deadline = j->deadline = infer_deadline(
            t->deadline, t->begin, body_timeout_us(lathe_http_get(exchange), t->header));
        if (uv_queue_work(&w->loop, &j->work, job_run, job_after) == 0) {
            j->next = w->job_list;
            w->job_list = j;
            w->jobs++;
            infer_count_queue(w, rows);
            lathe_http_on_gone(exchange, job_gone, j);
            if (j->deadline != 0)
                arm_timer(w);
            return;
        }
        free_job(j);
        rc = lathe_fail(&err, LATHE_E_MEMORY, NULL, "no thread takes the request");
    }
    infer_fail(w, exchange, route, &err, t->begin);
}
