/* serve/queue/internal.h: what queue.c (thread, messages) and queue/pass.c (what runs when) share. */
#ifndef LATHE_SERVE_QUEUE_INTERNAL_H
#define LATHE_SERVE_QUEUE_INTERNAL_H

#include "pipeline/parent.h"
#include "serve/queue/queue.h"

/* A run under way. */
typedef struct queue_run {
    struct queue_run *next;
    lathe_queue *queue;
    lathe_parent *parent;
    lathe_arena *arena;
    lathe_queue_entry entry; /* texts in the arena */
    int64_t begun_ns;
    bool stopping;
} queue_run;

typedef struct queue_cancel {
    struct queue_cancel *next;
    char run[LATHE_RUN_ID];
} queue_cancel;

struct lathe_queue {
    uv_thread_t thread;
    uv_mutex_t lock;
    /* under the lock */
    lathe_queue_settings settings;
    queue_cancel *cancels;
    lathe_note *first_note, *last_note;
    size_t n_notes;
    int n_running;
    bool paused, stopping;
    bool closed; /* the thread ends */
    bool deaf;   /* the main loop is gone */
    /* the main loop's */
    uv_async_t notes;
    void (*on_note)(void *user, const lathe_note *note);
    void *user;
    /* the thread's own */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    lathe_store *store;
    const char *executable;
    queue_run *runs;
    int64_t hold_ns; /* after a failure nothing begins before it */
};

/* ---- queue.c ---- */
/* Sends a note; takes text over. */
void queue_note(lathe_queue *queue, lathe_note_kind kind, const queue_run *run, const char *status,
                const char *retry, char *text);

/* ---- queue/pass.c ---- */
/* Does what is due: schedules, retries, starts; sets the timer for what is due next. */
void queue_pass(lathe_queue *queue);
void queue_stop_run(lathe_queue *queue, const char *run);
void queue_interrupt_all(lathe_queue *queue);

#endif
