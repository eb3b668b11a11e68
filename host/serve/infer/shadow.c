/* Shadows: copies of requests that another version predicts, to be compared; no answer waits for it.
 *
 * The serving thread copies body and prediction into the next free place of a ring, since they go with the answer; where
 * none is free the copy is dropped and counted. One thread of the lowest priority (SCHED_IDLE: it runs where nothing else
 * wants to) takes them out. No lock, and in the steady state no allocation, no system call and no locked instruction on the
 * serving thread: those would wait until the lines of the copy, which the other thread has had, are its own again.
 *
 *     tail → [taken …] [waiting …] ← head       head: written by the serving thread, tail: by the shadow thread
 *
 * So a copy holds no reference: the serving thread holds shadow and answering model once, for all copies of a pair, and when
 * the pair is served no more their end goes through the ring behind the last copy.
 */
#include "base/clock.h"
#include "serve/infer/internal.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING 256 /* a power of two */
#define MAX_BODY ((size_t)1 << 20)
#define MAX_ROWS 4096
#define KEEP_BYTES ((size_t)64 << 10) /* a place that grew beyond this gives its memory back */
#define NAP_MS 2
#define NAPS 50            /* before it sleeps until it is woken */
#define SLEEP_NS 100000000 /* or for so long: the waking is not fenced, and may be missed */
#define STRETCH                                                                                    \
    (2 * RING) /* copies without a pause, after which it looks whether it is in the way */
#define REST 8 /* times as long as those took, if it is */
#define MAX_REST_MS 1000
#define HOLDS 8

/* What copies refer to. */
typedef struct shadow_hold {
    infer_shadow *shadow;
    infer_model *answered;
    struct shadow_hold *next; /* of those that leave */
} shadow_hold;

/* A request on its way, and what was answered. */
typedef struct shadow_copy {
    const infer_shadow *shadow;
    const infer_model *answered;
    shadow_hold *end; /* not NULL: no copy, but the end of these */
    int64_t header, rows;
    uint8_t *body; /* [len] */
    size_t len, body_cap;
    float *numbers; /* value [rows], or probability [rows, n_classes] */
    int32_t *labels;
    size_t numbers_cap, labels_cap; /* bytes */
} shadow_copy;

struct infer_shadows {
    infer_worker *w;
    uv_thread_t thread;
    sem_t wake;
    _Atomic bool sleeping, stop;
    shadow_copy ring[RING];
    /* of the serving thread; tail is of the other, a line away */
    _Atomic unsigned head;
    unsigned known_tail;
    shadow_hold *holds[HOLDS]; /* NULL: free */
    shadow_hold *leaving;      /* no place in the ring yet */
    uint64_t apart[8];
    _Atomic unsigned tail;
    /* of the shadow thread */
    lathe_oip *oip;
    lathe_plan *large; /* for a request beyond the shadow's own plan */
    int32_t *map;      /* [classes of the shadow] → class of the model that answered, -1 */
    size_t map_cap;
};

/* ---- copying [serve] ---- */

static bool copy_into(void **to, size_t *cap, const void *from, size_t len) {
    if (*cap < len) {
        void *grown = realloc(*to, len);
        if (grown == NULL)
            return false;
        *to = grown;
        *cap = len;
    }
    memcpy(*to, from, len);
    return true;
}

static bool fill(shadow_copy *c, const infer_offer *offer) {
    const lathe_model_info *info = lathe_model_get_info(offer->route->model->model);
    const size_t rows = (size_t)offer->rows;
    const bool classes = info->n_classes > 0;
    const float *numbers = classes ? offer->output->probability : offer->output->value;
    const size_t n = classes ? rows * (size_t)info->n_classes : rows;
    c->len = offer->len;
    c->header = offer->header;
    c->rows = offer->rows;
    return copy_into((void **)&c->body, &c->body_cap, offer->body, offer->len) &&
           copy_into((void **)&c->numbers, &c->numbers_cap, numbers, n * sizeof *numbers) &&
           (!classes || copy_into((void **)&c->labels, &c->labels_cap, offer->output->label,
                                  rows * sizeof *c->labels));
}

static void shadow_thread(void *arg);

static infer_shadows *start_shadows(infer_worker *w) {
    infer_shadows *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->w = w;
    s->oip = lathe_oip_new();
    if (s->oip != NULL && sem_init(&s->wake, 0, 0) == 0) {
        if (uv_thread_create(&s->thread, shadow_thread, s) == 0)
            return s;
        sem_destroy(&s->wake);
    }
    lathe_oip_free(s->oip);
    free(s);
    return NULL;
}

/* A free place; NULL: the ring is full. */
static shadow_copy *next_place(infer_shadows *s) {
    const unsigned head = atomic_load_explicit(&s->head, memory_order_relaxed);
    if (head - s->known_tail == RING)
        s->known_tail = atomic_load_explicit(&s->tail, memory_order_acquire);
    return head - s->known_tail < RING ? &s->ring[head % RING] : NULL;
}

static void put(infer_shadows *s) {
    const unsigned head = atomic_load_explicit(&s->head, memory_order_relaxed);
    atomic_store_explicit(&s->head, head + 1, memory_order_release);
    if (atomic_load_explicit(&s->sleeping, memory_order_relaxed) &&
        atomic_exchange(&s->sleeping, false))
        sem_post(&s->wake);
}

/* ---- what copies refer to [serve] ---- */

static void send_leaving(infer_shadows *s) {
    for (shadow_copy *c; s->leaving != NULL && (c = next_place(s)) != NULL; put(s)) {
        c->end = s->leaving;
        s->leaving = s->leaving->next;
    }
}

static void leave(infer_shadows *s, int at) {
    s->holds[at]->next = s->leaving;
    s->leaving = s->holds[at];
    s->holds[at] = NULL;
    send_leaving(s);
}

static bool hold(infer_shadows *s, infer_shadow *shadow, infer_model *answered) {
    int at = 0;
    for (int i = 0; i < HOLDS; i++) {
        if (s->holds[i] == NULL)
            at = i;
        else if (s->holds[i]->shadow == shadow && s->holds[i]->answered == answered)
            return true;
    }
    shadow_hold *h = calloc(1, sizeof *h);
    if (h == NULL)
        return false;
    if (s->holds[at] != NULL)
        leave(s, at);
    infer_shadow_retain(shadow);
    infer_model_retain(answered);
    *h = (shadow_hold){.shadow = shadow, .answered = answered};
    s->holds[at] = h;
    return true;
}

static bool is_served(const infer_table *table, const shadow_hold *h) {
    for (size_t i = 0; table != NULL && i < table->n_routes; i++)
        if (table->routes[i].shadow == h->shadow && table->routes[i].model == h->answered)
            return true;
    return false;
}

void infer_shadows_tidy(infer_worker *w) {
    infer_shadows *s = w->shadows;
    for (int i = 0; s != NULL && i < HOLDS; i++)
        if (s->holds[i] != NULL && !is_served(w->table, s->holds[i]))
            leave(s, i);
    if (s != NULL)
        send_leaving(s);
}

static void release(shadow_hold *h) {
    infer_shadow_release(h->shadow);
    infer_model_release(h->answered);
    free(h);
}

static lathe_slot_shadow *shadow_counters(infer_worker *w, const infer_shadow *shadow) {
    return shadow->slot >= 0 && shadow->slot < LATHE_SLOTS_SHADOWS ? &w->slot->shadows[shadow->slot]
                                                                   : NULL;
}

void infer_shadow_offer(infer_worker *w, const infer_offer *offer) {
    infer_shadow *shadow = offer->route->shadow;
    lathe_slot_shadow *count = shadow_counters(w, shadow);
    if (count == NULL)
        return;
    lathe_slot_add(&count->offered, 1);
    if (w->shadows == NULL)
        w->shadows = start_shadows(w);
    infer_shadows *s = w->shadows;
    shadow_copy *c = NULL;
    if (s != NULL && offer->len <= MAX_BODY && offer->rows <= MAX_ROWS &&
        hold(s, shadow, offer->route->model))
        c = next_place(s);
    if (c == NULL || !fill(c, offer)) {
        lathe_slot_add(&count->dropped, 1);
        return;
    }
    c->shadow = shadow;
    c->answered = offer->route->model;
    c->end = NULL;
    put(s);
}

/* ---- predicting and comparing: the shadow thread ---- */

static lathe_plan *plan_for(void *user, int64_t rows, lathe_error *err) {
    infer_shadows *s = user;
    const infer_shadow *shadow =
        s->ring[atomic_load_explicit(&s->tail, memory_order_relaxed) % RING].shadow;
    if (rows <= lathe_plan_max_rows(shadow->plan))
        return shadow->plan;
    lathe_plan_free(s->large);
    s->large = NULL;
    return lathe_plan_new(shadow->model->model, rows, &s->large, err) == LATHE_OK ? s->large : NULL;
}

static int32_t predict(infer_shadows *s, const shadow_copy *c, lathe_plan_output *output,
                       lathe_error *err) {
    lathe_crumb_saved saved;
    const lathe_crumb crumb = {c->shadow->model->crumb, "predict", c->shadow->step};
    int32_t rc =
        lathe_oip_parse(s->oip, c->shadow->shown, c->body, c->len, c->header, plan_for, s, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_crumbs_enter(s->w->setup.crumbs, &crumb, &saved);
    rc = lathe_plan_run(lathe_oip_plan(s->oip), output, err);
    lathe_crumbs_leave(s->w->setup.crumbs, &saved);
    return rc;
}

static bool map_classes(infer_shadows *s, const lathe_model_info *mine,
                        const lathe_model_info *theirs) {
    const size_t bytes = (size_t)mine->n_classes * sizeof *s->map;
    if (s->map_cap < bytes) {
        int32_t *grown = realloc(s->map, bytes);
        if (grown == NULL)
            return false;
        s->map = grown;
        s->map_cap = bytes;
    }
    for (int64_t i = 0; i < mine->n_classes; i++) {
        s->map[i] = -1;
        for (int64_t k = 0; k < theirs->n_classes && s->map[i] < 0; k++)
            if (strcmp(mine->classes[i], theirs->classes[k]) == 0)
                s->map[i] = (int32_t)k;
    }
    return true;
}

typedef struct difference {
    int64_t agreed;
    double max, sum;
} difference;

static void add_difference(difference *d, bool agree, double apart) {
    d->agreed += agree;
    d->sum += apart;
    d->max = apart > d->max ? apart : d->max;
}

/* The largest difference of a class's probability; a class that one side does not know has 0 there. */
static double row_apart(const infer_shadows *s, const float *mine, int64_t n_mine,
                        const float *theirs, int64_t n_theirs) {
    double apart = 0;
    for (int64_t i = 0; i < n_mine; i++) {
        const double other = s->map[i] >= 0 ? (double)theirs[s->map[i]] : 0;
        apart = fmax(apart, fabs((double)mine[i] - other));
    }
    for (int64_t k = 0; k < n_theirs; k++) {
        bool known = false;
        for (int64_t i = 0; i < n_mine && !known; i++)
            known = s->map[i] == k;
        if (!known)
            apart = fmax(apart, (double)theirs[k]);
    }
    return apart;
}

static bool compare(infer_shadows *s, const shadow_copy *c, const lathe_plan_output *out,
                    difference *d) {
    const lathe_model_info *mine = lathe_model_get_info(c->shadow->model->model),
                           *theirs = lathe_model_get_info(c->answered->model);
    if ((mine->n_classes > 0) != (theirs->n_classes > 0) || lathe_oip_rows(s->oip) != c->rows ||
        !map_classes(s, mine, theirs))
        return false;
    for (int64_t row = 0; row < c->rows; row++) {
        if (mine->n_classes == 0) {
            const double apart = fabs((double)out->value[row] - (double)c->numbers[row]);
            add_difference(d, apart == 0, apart);
        } else {
            add_difference(d, s->map[out->label[row]] == c->labels[row],
                           row_apart(s, out->probability + row * mine->n_classes, mine->n_classes,
                                     c->numbers + row * theirs->n_classes, theirs->n_classes));
        }
    }
    return true;
}

/* A double that this thread alone writes, in a counter. */
static void set_double(_Atomic uint64_t *counter, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(counter, bits, memory_order_relaxed);
}

static double get_double(_Atomic uint64_t *counter) {
    const uint64_t bits = atomic_load_explicit(counter, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void work(infer_shadows *s, const shadow_copy *c) {
    lathe_slot_shadow *count = shadow_counters(s->w, c->shadow);
    lathe_plan_output output;
    lathe_error err = {0};
    difference d = {0};
    const int64_t begin = lathe_now_ns();
    if (predict(s, c, &output, &err) != LATHE_OK || !compare(s, c, &output, &d)) {
        lathe_slot_add(&count->failures, 1);
    } else {
        lathe_slot_add(&count->requests, 1);
        lathe_slot_add(&count->rows, (uint64_t)c->rows);
        lathe_slot_add(&count->agreed, (uint64_t)d.agreed);
        set_double(&count->sum_bits, get_double(&count->sum_bits) + d.sum);
        if (d.max > get_double(&count->max_bits))
            set_double(&count->max_bits, d.max);
    }
    lathe_slot_add(&count->ns, (uint64_t)(lathe_now_ns() - begin));
    lathe_plan_free(s->large);
    s->large = NULL;
}

static void shrink(shadow_copy *c) {
    if (c->body_cap > KEEP_BYTES) {
        free(c->body);
        c->body = NULL;
        c->body_cap = 0;
    }
    if (c->numbers_cap > KEEP_BYTES) {
        free(c->numbers);
        c->numbers = NULL;
        c->numbers_cap = 0;
    }
}

/* Until there is something to do; naps first, so that under load nobody has to wake it. */
static void wait_for_work(infer_shadows *s, unsigned tail, int *naps) {
    if (++*naps <= NAPS) {
        uv_sleep(NAP_MS);
        return;
    }
    atomic_store(&s->sleeping, true);
    if (atomic_load(&s->head) == tail && !atomic_load(&s->stop)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += SLEEP_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        sem_timedwait(&s->wake, &until);
    }
    if (atomic_exchange(&s->sleeping, false))
        return; /* nobody has posted; the next look sleeps again */
    while (sem_trywait(&s->wake) == 0)
        continue;
    *naps = 0;
}

/* ---- not being in the way: the shadow thread ---- */

/* Even the lowest priority is in the way where all processors are busy: it comes in whenever the serving thread waits for a
 * moment, and each time the processor changes over, and its caches. Most copies are dropped then anyway, so a few more
 * cost the comparison nothing: having worked for a stretch without catching up, and without a processor of its own, it rests. */
typedef struct stretch {
    int copies;
    int64_t wall, cpu; /* when it began, ns */
} stretch;

static int64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void begin_stretch(stretch *h) {
    *h = (stretch){0, lathe_now_ns(), thread_ns()};
}

static void end_stretch(const infer_shadows *s, stretch *h) {
    const int64_t wall = lathe_now_ns() - h->wall, cpu = thread_ns() - h->cpu;
    int64_t ms = cpu < wall - wall / 8 ? REST * wall / 1000000 : 0;
    ms = ms < MAX_REST_MS ? ms : MAX_REST_MS;
    for (; ms > 0 && !atomic_load(&s->stop); ms -= NAP_MS)
        uv_sleep(NAP_MS);
    begin_stretch(h);
}

static void shadow_thread(void *arg) {
    infer_shadows *s = arg;
    const struct sched_param none = {0};
    int naps = 0;
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none); /* at worst the usual priority */
    infer_thread(s->w);
    stretch h;
    begin_stretch(&h);
    while (!atomic_load(&s->stop)) {
        const unsigned tail = atomic_load_explicit(&s->tail, memory_order_relaxed);
        if (atomic_load_explicit(&s->head, memory_order_acquire) == tail) {
            wait_for_work(s, tail, &naps);
            begin_stretch(&h);
            continue;
        }
        shadow_copy *c = &s->ring[tail % RING];
        naps = 0;
        if (c->end != NULL)
            release(c->end);
        else
            work(s, c);
        shrink(c);
        atomic_store_explicit(&s->tail, tail + 1, memory_order_release);
        if (++h.copies == STRETCH)
            end_stretch(s, &h);
    }
}

/* ---- ending ---- */

void infer_shadows_stop(infer_worker *w) {
    infer_shadows *s = w->shadows;
    if (s == NULL)
        return;
    atomic_store(&s->stop, true);
    atomic_store(&s->sleeping, false);
    sem_post(&s->wake);
    uv_thread_join(&s->thread);
    for (unsigned i = atomic_load(&s->tail); i != atomic_load(&s->head); i++)
        if (s->ring[i % RING].end != NULL)
            release(s->ring[i % RING].end);
    for (shadow_hold *h = s->leaving, *next; h != NULL; h = next) {
        next = h->next;
        release(h);
    }
    for (int i = 0; i < HOLDS; i++)
        if (s->holds[i] != NULL)
            release(s->holds[i]);
    for (int i = 0; i < RING; i++) {
        free(s->ring[i].body);
        free(s->ring[i].numbers);
        free(s->ring[i].labels);
    }
    sem_destroy(&s->wake);
    lathe_plan_free(s->large);
    lathe_oip_free(s->oip);
    free(s->map);
    free(s);
    w->shadows = NULL;
}
