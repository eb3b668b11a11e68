/* serve/queue/queue.h: submitted runs: queued, run, tried again, scheduled; on a thread of their own.
 *
 * What waits is in the store (store/queue.h), so that it survives a crash; this thread, with its own loop and its own
 * connection, starts what may begin, follows it (pipeline/parent.h), and decides what becomes of what has ended:
 *
 *     waiting ──> running ──> succeeded, goal_not_met, cancelled          the entry goes
 *        ^                └──> failed, or interrupted by a crash          by its "retry": a further attempt, after a wait
 *        └─────────────────── interrupted by an orderly stop              the same attempt again, at the next start
 *
 * Schedules: when one is due, its document is submitted as by "schedule:NAME", subject to its overlap rule. What was due
 * while no service ran (more than a minute ago) is made up for once, or skipped, as the schedule says.
 *
 * Other threads change the store and wake it; it tells the main loop what happens by notes.
 */
#ifndef LATHE_SERVE_QUEUE_H
#define LATHE_SERVE_QUEUE_H

#include "store/store.h"

#include <uv.h>

typedef struct lathe_queue lathe_queue;

typedef struct lathe_queue_settings {
    int concurrent, threads;
    const char *const *roots; /* of data; live as long as the queue */
    size_t n_roots;
} lathe_queue_settings;

typedef enum lathe_note_kind {
    LATHE_NOTE_BEGUN,
    LATHE_NOTE_PROGRESS, /* text: the event, which is not stored */
    LATHE_NOTE_STORED,   /* more of its events are in the store */
    LATHE_NOTE_ENDED     /* status, and what it took */
} lathe_note_kind;

typedef struct lathe_note {
    struct lathe_note *next; /* the queue's own */
    lathe_note_kind kind;
    char run[LATHE_RUN_ID], status[24];
    char retry[LATHE_RUN_ID]; /* ENDED: the further attempt; "" */
    char actor[160];          /* who submitted it */
    double seconds;           /* ENDED: how long it ran */
    char *text;
} lathe_note;

typedef struct lathe_queue_options {
    lathe_store *owner; /* open as long as the queue */
    const char *executable;
    lathe_queue_settings settings;
    void (*on_note)(void *user, const lathe_note *note); /* on the main loop */
    void *user;
} lathe_queue_options;

/* [loop] */
int32_t lathe_queue_start(uv_loop_t *loop, const lathe_queue_options *options, lathe_queue **queue,
                          lathe_error *err);
/* Interrupts what runs, within two seconds; nothing begins any more. NULL is fine. [loop] */
void lathe_queue_stop(lathe_queue *queue);
/* Stops it and waits for its end; no note follows. Its handle of the loop closes with the next turn. NULL is fine. [loop] */
void lathe_queue_free(lathe_queue *queue);

/* ---- [any]; NULL is fine ---- */

void lathe_queue_configure(lathe_queue *queue, const lathe_queue_settings *settings);
/* Something in the store has changed. */
void lathe_queue_wake(lathe_queue *queue);
/* Cancels a run that is under way. */
void lathe_queue_cancel(lathe_queue *queue, const char *run);
int lathe_queue_running(lathe_queue *queue);

/* For what may not meet a run (gc): false where one is under way; else none begins until lathe_queue_resume. */
bool lathe_queue_pause(lathe_queue *queue);
void lathe_queue_resume(lathe_queue *queue);

#endif
