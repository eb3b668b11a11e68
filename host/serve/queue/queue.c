/* The queue's thread, and how others talk with it. */
#include "serve/queue/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PROGRESS 1000 /* notes that wait; further progress is not told */

/* ---- notes to the main loop ---- */

static void free_note(lathe_note *note) {
    free(note->text);
    free(note);
}

void queue_note(lathe_queue *q, lathe_note_kind kind, const queue_run *run, const char *status,
                const char *retry, char *text) {
    lathe_note *note = calloc(1, sizeof *note);
    if (note == NULL) { /* those who follow look again by themselves, later */
        free(text);
        return;
    }
    note->kind = kind;
    note->text = text;
    note->seconds = (double)(lathe_now_ns() - run->begun_ns) * 1e-9;
    snprintf(note->run, sizeof note->run, "%s", run->entry.run);
    snprintf(note->actor, sizeof note->actor, "%s", run->entry.what.actor);
    snprintf(note->status, sizeof note->status, "%s", status ? status : "");
    snprintf(note->retry, sizeof note->retry, "%s", retry ? retry : "");
    uv_mutex_lock(&q->lock);
    if (q->deaf || (kind == LATHE_NOTE_PROGRESS && q->n_notes >= MAX_PROGRESS)) {
        free_note(note);
    } else {
        *(q->last_note ? &q->last_note->next : &q->first_note) = note;
        q->last_note = note;
        q->n_notes++;
        uv_async_send(&q->notes);
    }
    uv_mutex_unlock(&q->lock);
}

/* [loop] */
static void on_notes(uv_async_t *async) {
    lathe_queue *q = async->data;
    uv_mutex_lock(&q->lock);
    lathe_note *note = q->first_note;
    q->first_note = q->last_note = NULL;
    q->n_notes = 0;
    uv_mutex_unlock(&q->lock);
    while (note != NULL) {
        lathe_note *next = note->next;
        q->on_note(q->user, note);
        free_note(note);
        note = next;
    }
}

/* ---- the thread ---- */

static void close_handle(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Something was asked, or has changed. */
static void on_wake(uv_async_t *async) {
    lathe_queue *q = async->data;
    uv_mutex_lock(&q->lock);
    queue_cancel *cancel = q->cancels;
    const bool stopping = q->stopping;
    q->cancels = NULL;
    uv_mutex_unlock(&q->lock);
    while (cancel != NULL) {
        queue_cancel *next = cancel->next;
        queue_stop_run(q, cancel->run);
        free(cancel);
        cancel = next;
    }
    if (stopping) {
        queue_interrupt_all(q);
        if (q->runs == NULL) { /* no parent is left: the thread ends */
            uv_mutex_lock(&q->lock);
            q->closed = true;
            uv_mutex_unlock(&q->lock);
            uv_walk(&q->loop, close_handle, NULL);
        }
    } else {
        queue_pass(q);
    }
}

static void run_thread(void *arg) {
    lathe_queue *q = arg;
    queue_pass(q);
    uv_run(&q->loop, UV_RUN_DEFAULT);
}

int32_t lathe_queue_start(uv_loop_t *loop, const lathe_queue_options *options, lathe_queue **out,
                          lathe_error *err) {
    *out = NULL;
    lathe_queue *q = calloc(1, sizeof *q);
    if (q == NULL || uv_mutex_init(&q->lock) != 0 || uv_loop_init(&q->loop) != 0) {
        free(q);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the queue of runs");
    }
    q->settings = options->settings;
    q->executable = options->executable;
    q->on_note = options->on_note;
    q->user = options->user;
    int32_t rc = lathe_store_open_beside(options->owner, &q->store, err);
    if (rc == LATHE_OK && (uv_async_init(&q->loop, &q->wake, on_wake) != 0 ||
                           uv_timer_init(&q->loop, &q->timer) != 0))
        rc = lathe_fail(err, LATHE_E_IO, NULL, "the queue of runs cannot begin");
    if (rc == LATHE_OK && uv_async_init(loop, &q->notes, on_notes) != 0)
        rc = lathe_fail(err, LATHE_E_IO, NULL, "the queue of runs cannot begin");
    if (rc == LATHE_OK) {
        q->wake.data = q->timer.data = q->notes.data = q;
        if (uv_thread_create(&q->thread, run_thread, q) == 0) {
            *out = q;
            return LATHE_OK;
        }
        rc = lathe_fail(err, LATHE_E_IO, NULL, "the queue of runs gets no thread");
    }
    lathe_store_close(q->store); /* the program ends: the handles go with it */
    return rc;
}

void lathe_queue_stop(lathe_queue *q) {
    if (q == NULL)
        return;
    uv_mutex_lock(&q->lock);
    q->stopping = true;
    uv_mutex_unlock(&q->lock);
    lathe_queue_wake(q);
}

static void on_notes_closed(uv_handle_t *handle) {
    lathe_queue *q = handle->data;
    uv_mutex_destroy(&q->lock);
    free(q);
}

void lathe_queue_free(lathe_queue *q) {
    if (q == NULL)
        return;
    lathe_queue_stop(q);
    uv_thread_join(&q->thread);
    uv_mutex_lock(&q->lock);
    q->deaf = true;
    while (q->first_note != NULL) {
        lathe_note *next = q->first_note->next;
        free_note(q->first_note);
        q->first_note = next;
    }
    uv_mutex_unlock(&q->lock);
    uv_loop_close(&q->loop);
    lathe_store_close(q->store);
    uv_close((uv_handle_t *)&q->notes, on_notes_closed);
}

/* ---- what others ask ---- */

void lathe_queue_configure(lathe_queue *q, const lathe_queue_settings *settings) {
    if (q == NULL)
        return;
    uv_mutex_lock(&q->lock);
    q->settings = *settings;
    uv_mutex_unlock(&q->lock);
    lathe_queue_wake(q);
}

void lathe_queue_wake(lathe_queue *q) {
    if (q == NULL)
        return;
    uv_mutex_lock(&q->lock);
    if (!q->closed)
        uv_async_send(&q->wake);
    uv_mutex_unlock(&q->lock);
}

void lathe_queue_cancel(lathe_queue *q, const char *run) {
    queue_cancel *cancel = q ? calloc(1, sizeof *cancel) : NULL;
    if (cancel == NULL)
        return;
    snprintf(cancel->run, sizeof cancel->run, "%s", run);
    uv_mutex_lock(&q->lock);
    cancel->next = q->cancels;
    q->cancels = cancel;
    uv_mutex_unlock(&q->lock);
    lathe_queue_wake(q);
}

int lathe_queue_running(lathe_queue *q) {
    if (q == NULL)
        return 0;
    uv_mutex_lock(&q->lock);
    const int n = q->n_running;
    uv_mutex_unlock(&q->lock);
    return n;
}

bool lathe_queue_pause(lathe_queue *q) {
    if (q == NULL)
        return true;
    uv_mutex_lock(&q->lock);
    const bool may = q->n_running == 0 && !q->paused;
    q->paused = q->paused || may;
    uv_mutex_unlock(&q->lock);
    return may;
}

void lathe_queue_resume(lathe_queue *q) {
    if (q == NULL)
        return;
    uv_mutex_lock(&q->lock);
    q->paused = false;
    uv_mutex_unlock(&q->lock);
    lathe_queue_wake(q);
}
