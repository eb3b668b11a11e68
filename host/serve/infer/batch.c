/* Dynamic batching: requests of one route that come close together are predicted in one run of the model.
 *
 * A request is read into the rows behind those of the requests before it, and waits. The batch runs when it is full, when its
 * delay is over, or, without a delay, at the end of the turn of the loop in which it began: under load a turn reads from many
 * connections, so batches form and nobody waits for them. Prediction is batch-invariant, so each answer has the bits that it
 * would have alone. What makes the batch fail is found by predicting each of its requests alone.
 */
#include "base/clock.h"
#include "serve/infer/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct member {
    infer_batch *batch;
    lathe_exchange *exchange;
    lathe_oip *oip;
    infer_times t;
    lathe_door_visit visit;
    bool expired;
} member;

struct infer_batch {
    infer_worker *w; /* NULL: not used yet */
    infer_route *route;
    lathe_plan *plan;
    int64_t max_rows, delay_ns;
    member **waiting, **running, **spare; /* [cap] each */
    size_t n_waiting, n_spare, cap;
    int64_t due; /* when it runs */
    infer_batch *next;
    bool is_open; /* in the worker's list */
};

/* ---- making [worker] ---- */

int32_t infer_batch_new(infer_route *route, int64_t max_rows, int64_t delay_us, infer_batch **out,
                        lathe_error *err) {
    infer_batch *b = calloc(1, sizeof *b);
    *out = b;
    if (b == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, route->name, "out of memory for a batch");
    b->route = route;
    b->max_rows = max_rows;
    b->delay_ns = delay_us * 1000;
    b->cap = (size_t)max_rows;
    b->waiting = calloc(b->cap, sizeof(member *));
    b->running = calloc(b->cap, sizeof(member *));
    b->spare = calloc(b->cap, sizeof(member *));
    if (b->waiting == NULL || b->running == NULL || b->spare == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, route->name, "out of memory for a batch");
    return lathe_plan_new(route->model->model, max_rows, &b->plan, err);
}

static void free_member(member *m) {
    if (m != NULL)
        lathe_oip_free(m->oip);
    free(m);
}

void infer_batch_free(infer_batch *b) {
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n_spare; i++)
        free_member(b->spare[i]);
    lathe_plan_free(b->plan);
    free(b->waiting);
    free(b->running);
    free(b->spare);
    free(b);
}

/* ---- members ---- */

static member *take_member(infer_batch *b) {
    if (b->n_spare > 0)
        return b->spare[--b->n_spare];
    member *m = calloc(1, sizeof *m);
    if (m != NULL && (m->oip = lathe_oip_new()) == NULL) {
        free(m);
        m = NULL;
    }
    if (m != NULL)
        m->batch = b;
    return m;
}

static void give_member(member *m) {
    infer_batch *b = m->batch;
    m->exchange = NULL;
    if (b->n_spare < b->cap)
        b->spare[b->n_spare++] = m;
    else
        free_member(m);
}

/* Its rows leave the plan; those of the others move up. */
static void remove_rows(infer_batch *b, const member *m, member *const *others, size_t n) {
    const int64_t first = lathe_oip_first(m->oip), rows = lathe_oip_rows(m->oip);
    lathe_plan_remove(b->plan, first, rows);
    for (size_t i = 0; i < n; i++)
        lathe_oip_removed(others[i]->oip, first, rows);
    infer_count_queue(b->w, -rows);
}

static void member_gone(void *user) {
    member *m = user;
    infer_batch *b = m->batch;
    size_t i = 0;
    while (b->waiting[i] != m)
        i++;
    memmove(b->waiting + i, b->waiting + i + 1, (b->n_waiting - i - 1) * sizeof(member *));
    b->n_waiting--;
    remove_rows(b, m, b->waiting, b->n_waiting);
    infer_count_cancelled(b->w, b->route);
    give_member(m);
}

/* ---- running ---- */

static void close_batch(infer_batch *b) {
    infer_batch **at = &b->w->batches.open;
    while (*at != NULL && *at != b)
        at = &(*at)->next;
    if (*at != NULL)
        *at = b->next;
    b->is_open = false;
}

/* Those whose deadline has passed leave the batch; they are told later. Returns how many stay. */
static size_t drop_expired(infer_batch *b, size_t n, int64_t now) {
    size_t left = n;
    for (size_t i = 0; i < n; i++) {
        member *m = b->running[i];
        m->expired = m->t.deadline != 0 && m->t.deadline < now;
        if (!m->expired)
            continue;
        remove_rows(b, m, b->running, n);
        left--;
    }
    return left;
}

/* Answers a request of a batch that has run; others may join the batch meanwhile. */
static void answer_member(infer_batch *b, member *m, size_t alive, int32_t rc,
                          const lathe_plan_output *output, lathe_error *err) {
    infer_worker *w = b->w;
    lathe_error expired = {0};
    if (m->expired) {
        infer_expired(&expired);
        infer_fail(w, m->exchange, b->route, &expired, m->t.begin);
    } else if (rc == LATHE_OK) {
        lathe_door_note(&m->visit, infer_counters(w, b->route));
        infer_answer_with(w, m->exchange, b->route, m->oip, output, &m->visit, &m->t);
    } else if (alive == 1) {
        infer_fail(w, m->exchange, b->route, err, m->t.begin);
    } else {
        infer_predict_now(w, m->exchange, b->route, &m->t);
    }
}

static void run_batch(infer_batch *b) {
    infer_worker *w = b->w;
    lathe_plan_output output = {0};
    lathe_error err = {0};
    const size_t n = b->n_waiting;
    member **members = b->waiting;
    b->waiting = b->running;
    b->running = members;
    b->n_waiting = 0;
    close_batch(b);
    w->batches.running++;
    const int64_t started = lathe_now_ns();
    const size_t alive = drop_expired(b, n, started);
    const int64_t rows = lathe_plan_row_count(b->plan);
    int32_t rc = LATHE_OK;
    if (rows > 0) {
        rc = infer_run_plan(w, b->route, b->plan, &output, &err);
        infer_count_execution(w, b->route);
        infer_note_cost(b->route->model, lathe_now_ns() - started, rows);
        infer_count_queue(w, -rows);
        if (rc == LATHE_OK) {
            void *region = infer_live_region(w, b->route, 0);
            lathe_door_count(b->route->door, b->plan, 0, rows, NULL, region);
            lathe_door_count_answers(b->route->door, &output, rows, region);
        }
        lathe_plan_remove(b->plan, 0, rows);
    }
    const int64_t predicted = lathe_now_ns();
    for (size_t i = 0; i < n; i++) { /* from reading to running it was in the queue */
        member *m = members[i];
        lathe_http_on_gone(m->exchange, NULL, NULL);
        m->t.started += started - m->t.parsed;
        m->t.parsed = started;
        m->t.predicted = predicted;
        answer_member(b, m, alive, rc, &output, &err);
        give_member(m);
    }
    w->batches.running--;
}

static void run_due(infer_worker *w) {
    for (infer_batch *b = w->batches.open, *next; b != NULL; b = next) {
        next = b->next;
        if (b->due <= lathe_now_ns())
            run_batch(b);
    }
}

void infer_batches_flush(infer_worker *w) {
    while (w->batches.open != NULL)
        run_batch(w->batches.open);
}

/* ---- time ---- */

static void arm(infer_worker *w) {
    int64_t first = INT64_MAX;
    for (const infer_batch *b = w->batches.open; b != NULL; b = b->next)
        first = b->due < first ? b->due : first;
    if (first == INT64_MAX || first == w->batches.armed || w->batches.timer_fd < 0)
        return;
    const struct itimerspec when = {
        .it_value = {.tv_sec = first / 1000000000, .tv_nsec = first % 1000000000}};
    timerfd_settime(w->batches.timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    w->batches.armed = first;
}

static void on_timer(uv_poll_t *poll, int status, int events) {
    infer_worker *w = poll->data;
    uint64_t count;
    (void)status;
    (void)events;
    while (read(w->batches.timer_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    w->batches.armed = 0; /* the check below this turn's polling runs what is due */
}

/* Before and after the loop polls. */
static void on_prepare(uv_prepare_t *prepare) {
    infer_worker *w = prepare->data;
    if (w->batches.open == NULL)
        return;
    run_due(w);
    arm(w);
}

static void on_check(uv_check_t *check) {
    infer_worker *w = check->data;
    if (w->batches.open != NULL)
        run_due(w);
}

int32_t infer_batches_start(infer_worker *w, lathe_error *err) {
    infer_batches *all = &w->batches;
    all->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (all->timer_fd < 0)
        return lathe_fail_errno(err, errno, NULL, "no timer for batches");
    int rc = uv_poll_init(&w->loop, &all->timer, all->timer_fd);
    if (rc != 0) {
        close(all->timer_fd);
        all->timer_fd = -1;
        return lathe_fail(err, LATHE_E_IO, NULL, "no timer for batches: %s", uv_strerror(rc));
    }
    uv_prepare_init(&w->loop, &all->prepare);
    uv_check_init(&w->loop, &all->check);
    all->timer.data = all->prepare.data = all->check.data = w;
    uv_poll_start(&all->timer, UV_READABLE, on_timer);
    uv_prepare_start(&all->prepare, on_prepare);
    uv_check_start(&all->check, on_check);
    all->started = true;
    return LATHE_OK;
}

static void on_timer_closed(uv_handle_t *handle) {
    infer_worker *w = handle->data;
    close(w->batches.timer_fd);
}

void infer_batches_stop(infer_worker *w) {
    if (!w->batches.started)
        return;
    w->batches.started = false;
    infer_batches_flush(w);
    uv_close((uv_handle_t *)&w->batches.timer, on_timer_closed);
    uv_close((uv_handle_t *)&w->batches.prepare, NULL);
    uv_close((uv_handle_t *)&w->batches.check, NULL);
}

/* ---- joining ---- */

typedef struct joining {
    infer_batch *b;
    int64_t rows, most;
    bool no_room;
} joining;

static lathe_plan *batch_plan(void *user, int64_t rows, lathe_error *err) {
    joining *j = user;
    j->rows = rows;
    j->no_room = rows > j->most - lathe_plan_row_count(j->b->plan);
    if (!j->no_room)
        return j->b->plan;
    lathe_fail(err, LATHE_E_CANCELLED, NULL, "no room");
    return NULL;
}

/* So many rows as the serving thread may be busy with at once. */
static int64_t most_rows(const infer_worker *w, const infer_batch *b) {
    const int64_t cost = b->route->model->ns_per_row;
    const int64_t bound = cost > 0 ? w->max_inline_ns / cost : b->max_rows;
    return bound < 1 ? 1 : bound < b->max_rows ? bound : b->max_rows;
}

static void open_batch(infer_worker *w, infer_batch *b, int64_t now) {
    if (b->is_open)
        return;
    b->w = w;
    b->is_open = true;
    b->due = now + b->delay_ns;
    b->next = w->batches.open;
    w->batches.open = b;
}

static void join(infer_worker *w, infer_batch *b, member *m) {
    const int64_t left = m->t.deadline - m->t.parsed;
    open_batch(w, b, m->t.parsed);
    if (m->t.deadline != 0 && m->t.parsed + left / 2 < b->due)
        b->due = m->t.parsed + left / 2;
    m->expired = false;
    b->waiting[b->n_waiting++] = m;
    infer_count_queue(w, lathe_oip_rows(m->oip));
    lathe_http_on_gone(m->exchange, member_gone, m);
}

static int32_t read_member(infer_worker *w, infer_batch *b, member *m, joining *j,
                           lathe_error *err) {
    const lathe_http_request *request = lathe_http_get(m->exchange);
    *j = (joining){.b = b, .most = most_rows(w, b)};
    m->t.started = lathe_now_ns();
    lathe_door_open(b->route->door, b->plan);
    lathe_door_expect(b->route->door);
    int32_t rc = lathe_oip_append(m->oip, b->route->shown, request->body, request->body_len,
                                  m->t.header, batch_plan, j, err);
    const int64_t first = lathe_oip_first(m->oip), rows = lathe_oip_rows(m->oip);
    if (rc == LATHE_OK) {
        rc = lathe_door_check(b->route->door, b->plan, first, rows, &m->visit, err);
        if (rc != LATHE_OK)
            lathe_plan_remove(b->plan, first, rows);
    }
    m->t.parsed = lathe_now_ns();
    m->t.deadline = infer_deadline(m->t.deadline, m->t.begin, lathe_oip_timeout_us(m->oip));
    return rc;
}

bool infer_batch_add(infer_worker *w, lathe_exchange *exchange, infer_route *route,
                     const infer_times *t) {
    infer_batch *b = route->batch;
    member *m = lathe_door_is_furnished(route->door) ? take_member(b) : NULL;
    lathe_error err = {0};
    joining j;
    if (m == NULL)
        return false;
    b->w = w;
    m->exchange = exchange;
    m->t = *t;
    int32_t rc = read_member(w, b, m, &j, &err);
    /* where batches are being answered this may be such an answer's connection: no run within a run */
    if (j.no_room && j.rows <= j.most && w->batches.running == 0) {
        lathe_error_clear(&err);
        run_batch(b);
        rc = read_member(w, b, m, &j, &err);
    }
    if (rc !=
        LATHE_OK) { /* too large, or refused: told as of a request alone, with its own rows' numbers */
        give_member(m);
        return false;
    }
    join(w, b, m);
    if (lathe_plan_row_count(b->plan) < j.most)
        return true;
    if (w->batches.running == 0)
        run_batch(b);
    else
        b->due = 0;
    return true;
}
