#include "serve/api/sse.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "serve/api/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STREAMS 256
#define BATCH 500 /* events a read */
#define TICK_MS 500
#define BEAT_TICKS 30 /* 15 s */
#define LOOK_TICKS 10 /* 5 s: also without being told */

/* One stream. While a read is under way it lives on without its client. */
typedef struct stream {
    struct stream *next;
    lathe_sse *sse;
    lathe_exchange *exchange; /* NULL: the client has left */
    char run[64];             /* its id; before the first read as asked for; "": the audit log */
    char found[64];           /* the read's: its id */
    char project[129];        /* whose runs alone; "": all */
    int64_t last;             /* number of the last event sent */
    bool begun, reading, again;
    /* of the read */
    uv_work_t work;
    lathe_store *store;
    lathe_buf out;
    bool full, ended;
    int32_t rc;
    lathe_error err;
} stream;

struct lathe_sse {
    uv_loop_t *loop;
    const lathe_store *owner;
    uv_timer_t timer;
    stream *streams;
    size_t n_streams;
    uint64_t ticks;
    bool stopped;
};

/* ---- the life of a stream ---- */

static void free_stream(stream *st) {
    lathe_sse *sse = st->sse;
    for (stream **at = &sse->streams; *at != NULL; at = &(*at)->next)
        if (*at == st) {
            *at = st->next;
            break;
        }
    sse->n_streams--;
    if (sse->n_streams == 0)
        uv_timer_stop(&sse->timer);
    lathe_store_close(st->store);
    lathe_buf_free(&st->out);
    free(st);
}

static void on_gone(void *user) {
    stream *st = user;
    st->exchange = NULL;
    if (!st->reading)
        free_stream(st);
}

/* Ends the answer; the stream goes with it. */
static void end_stream(stream *st) {
    lathe_exchange *exchange = st->exchange;
    st->exchange = NULL;
    if (exchange != NULL && st->begun)
        lathe_http_stream_end(exchange);
    else if (exchange != NULL)
        lathe_http_fail(exchange, st->rc != LATHE_OK ? api_status_of(st->err.code) : 503, NULL,
                        "%s", st->rc != LATHE_OK ? st->err.message : "the service stops");
    if (!st->reading)
        free_stream(st);
}

static void push(stream *st, const char *text, size_t len) {
    if (st->exchange != NULL && len > 0)
        lathe_http_stream_write(st->exchange, text, len); /* false: on_gone follows */
}

/* ---- reading [pool] ---- */

static void put_event(lathe_buf *out, int64_t seq, const char *json) {
    lathe_buf_printf(out, "id: %" PRId64 "\ndata: ", seq);
    for (; *json != 0; json++) /* whoever wrote it: no line break of its own */
        lathe_buf_append_char(out, *json == '\n' || *json == '\r' ? ' ' : *json);
    lathe_buf_append_str(out, "\n\n");
}

static void put_end(lathe_buf *out, const lathe_run_record *run) {
    lathe_buf_append_str(out, "event: end\ndata: ");
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "run", run->id);
    lathe_jsonw_kv_str(&w, "status", run->status);
    lathe_jsonw_kv_str(&w, "reason", run->reason);
    lathe_jsonw_end_object(&w);
    lathe_buf_append_str(out, "\n\n");
}

/* Events of a run after the last one sent. What says that there will be no more is looked at first. */
static int32_t read_run(stream *st, lathe_arena *arena) {
    lathe_queue_entry entry;
    lathe_run_record run;
    lathe_event_list list;
    const bool queued =
        lathe_store_queue_entry(st->store, st->run, arena, &entry, NULL) == LATHE_OK;
    int32_t rc = lathe_store_run(st->store, st->run, arena, &run, &st->err);
    if (rc == LATHE_E_NOT_FOUND && queued)
        return LATHE_OK; /* it waits */
    if (rc == LATHE_OK)
        rc = lathe_store_events(st->store, run.id, st->last, BATCH, arena, &list, &st->err);
    if (rc != LATHE_OK)
        return rc;
    snprintf(st->found, sizeof st->found, "%s", run.id);
    for (size_t i = 0; i < list.count; i++)
        put_event(&st->out, st->last = list.items[i].seq, list.items[i].json);
    st->full = list.count == BATCH;
    st->ended = run.finished != 0 && !queued && !st->full;
    if (st->ended)
        put_end(&st->out, &run);
    return LATHE_OK;
}

void lathe_sse_audit_event(const lathe_audit_record *a, lathe_buf *json) {
    lathe_jsonw w = lathe_jsonw_to(json);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "event", a->action);
    lathe_jsonw_kv_str(&w, "subject", a->subject);
    lathe_jsonw_kv_str(&w, "actor", a->actor);
    lathe_jsonw_kv_int(&w, "time_us", a->time);
    lathe_jsonw_key(&w, "detail");
    lathe_jsonw_raw(&w, a->detail, strlen(a->detail));
    lathe_jsonw_end_object(&w);
}

static int32_t read_audit(stream *st, lathe_arena *arena) {
    lathe_audit_list list;
    if (st->last < 0) /* from now on */
        return lathe_store_audit_last(st->store, &st->last, &st->err);
    int32_t rc = lathe_store_audit(st->store, st->last, BATCH, arena, &list, &st->err);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        lathe_buf json = {0};
        lathe_sse_audit_event(&list.items[i], &json);
        put_event(&st->out, st->last = list.items[i].seq, lathe_buf_str(&json));
        lathe_buf_free(&json);
    }
    st->full = rc == LATHE_OK && list.count == BATCH;
    return rc;
}

static void on_work(uv_work_t *work) {
    stream *st = work->data;
    lathe_arena *arena = lathe_arena_new();
    lathe_error_clear(&st->err);
    st->rc = arena ? LATHE_OK : lathe_fail(&st->err, LATHE_E_MEMORY, NULL, "out of memory");
    if (st->rc == LATHE_OK && st->store == NULL)
        st->rc = lathe_store_open_beside(st->sse->owner, &st->store, &st->err);
    if (st->rc == LATHE_OK)
        st->rc = lathe_store_set_scope(st->store, st->project, &st->err);
    if (st->rc == LATHE_OK)
        st->rc = st->run[0] != 0 ? read_run(st, arena) : read_audit(st, arena);
    lathe_arena_free(arena);
}

/* ---- sending ---- */

static void look(stream *st);

static void on_worked(uv_work_t *work, int status) {
    stream *st = work->data;
    (void)status;
    st->reading = false;
    if (st->exchange == NULL) {
        free_stream(st);
        return;
    }
    if (st->rc != LATHE_OK || st->out.failed || st->sse->stopped) {
        end_stream(st);
        return;
    }
    if (st->found[0] != 0)
        memcpy(st->run, st->found, sizeof st->run);
    if (!st->begun) {
        st->begun = true;
        lathe_http_stream_begin(st->exchange, 200, "text/event-stream");
        push(st, ": lathe\n\n", 9);
    }
    push(st, lathe_buf_str(&st->out), st->out.len);
    lathe_buf_clear(&st->out);
    if (st->ended)
        end_stream(st);
    else if (st->full || st->again)
        look(st);
}

/* Reads what is new, unless it does so already; then once more after it. */
static void look(stream *st) {
    st->again = st->reading;
    if (st->reading || st->exchange == NULL)
        return;
    st->reading = true;
    st->work.data = st;
    uv_queue_work(st->sse->loop, &st->work, on_work, on_worked);
}

static void on_tick(uv_timer_t *timer) {
    lathe_sse *sse = timer->data;
    sse->ticks++;
    for (stream *st = sse->streams, *next; st != NULL; st = next) {
        next = st->next;
        if (st->begun && sse->ticks % BEAT_TICKS == 0)
            push(st, ": beat\n\n", 8);
        if (st->run[0] == 0 || sse->ticks % LOOK_TICKS == 0)
            look(st);
    }
}

/* ---- what others call ---- */

lathe_sse *lathe_sse_new(uv_loop_t *loop, const lathe_store *owner) {
    lathe_sse *sse = calloc(1, sizeof *sse);
    if (sse == NULL)
        return NULL;
    sse->loop = loop;
    sse->owner = owner;
    uv_timer_init(loop, &sse->timer);
    sse->timer.data = sse;
    return sse;
}

void lathe_sse_stop(lathe_sse *sse) {
    if (sse == NULL)
        return;
    sse->stopped = true;
    for (stream *st = sse->streams, *next; st != NULL; st = next) {
        next = st->next;
        end_stream(st);
    }
}

void lathe_sse_open(lathe_sse *sse, lathe_exchange *exchange, const char *run, const char *project,
                    int64_t after) {
    stream *st =
        sse != NULL && !sse->stopped && sse->n_streams < MAX_STREAMS ? calloc(1, sizeof *st) : NULL;
    if (st == NULL) {
        lathe_http_fail(exchange, 503, "retry-after: 10\r\n",
                        "there are %d streams already, or the service stops", MAX_STREAMS);
        return;
    }
    *st = (stream){.next = sse->streams, .sse = sse, .exchange = exchange, .last = after};
    snprintf(st->run, sizeof st->run, "%s", run ? run : "");
    snprintf(st->project, sizeof st->project, "%s", project);
    if (sse->n_streams++ == 0)
        uv_timer_start(&sse->timer, on_tick, TICK_MS, TICK_MS);
    sse->streams = st;
    lathe_http_on_gone(exchange, on_gone, st);
    look(st);
}

void lathe_sse_poke(lathe_sse *sse, const char *run) {
    for (stream *st = sse ? sse->streams : NULL; st != NULL; st = st->next)
        if (run == NULL || strcmp(st->run, run) == 0)
            look(st);
}

void lathe_sse_progress(lathe_sse *sse, const char *run, const char *json) {
    lathe_buf text = {0};
    for (stream *st = sse ? sse->streams : NULL; st != NULL; st = st->next) {
        /* `run` is the read's meanwhile; the next progress comes soon */
        if (st->reading || !st->begun || strcmp(st->run, run) != 0)
            continue;
        lathe_buf_clear(&text);
        lathe_buf_printf(&text, "data: %s\n\n", json);
        push(st, lathe_buf_str(&text), text.len);
    }
    lathe_buf_free(&text);
}
