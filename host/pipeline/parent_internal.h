/* pipeline/parent_internal.h: what parent.c (processes, pipes), parent_lines.c (what is said) and answers.c (questions) share. */
#ifndef LATHE_PIPELINE_PARENT_INTERNAL_H
#define LATHE_PIPELINE_PARENT_INTERNAL_H

#include "base/json.h"
#include "pipeline/lines.h"
#include "pipeline/parent.h"

#define PARENT_MAX_BATCH 256
#define PARENT_MAX_LINE ((size_t)64 << 20)  /* of one event */
#define PARENT_MAX_UNREAD ((size_t)4 << 20) /* answers that the worker has not read */

struct lathe_parent {
    lathe_store *store;
    lathe_run_request request; /* callbacks alone are kept */
    char id[LATHE_RUN_ID];
    lathe_arena *arena;  /* of the run */
    lathe_arena *asking; /* of the question that is being answered */
    const char *actor;   /* NULL: as the store has it */
    const char *project; /* NULL: any */
    const char *staging; /* where the worker may stage files */

    uv_process_t process;
    uv_pipe_t control, events, output;
    uv_timer_t kill_timer, flush_timer;
    int open_handles; /* that have not closed yet */
    bool exited, ended, stopping, interrupted, killed;
    int64_t exit_status;
    int term_signal;
    lathe_lines event_lines, output_lines;
    char chunk[65536];

    void *crumbs; /* page shared with the worker, or NULL */
    int crumbs_fd;

    char step[96];                 /* that the worker began last */
    cJSON *result;                 /* of the "result" event */
    int64_t lines, bytes;          /* that it has had stored, or asked */
    lathe_error error;             /* of the "failed" event, or found here */
    char *batch[PARENT_MAX_BATCH]; /* events to store */
    size_t n_batch;
};

/* ---- parent.c ---- */
const char *parent_place(const lathe_parent *p);   /* for errors: the step that began last */
void parent_kill(lathe_parent *p);                 /* for a reason of ours */
void parent_flush(lathe_parent *p);                /* stores the events that wait */
void parent_send(lathe_parent *p, cJSON *message); /* one line; takes the tree over */

/* ---- parent_lines.c ---- */
void parent_hear(lathe_parent *p); /* sets the reading of lines up */

/* ---- answers.c ---- */
/* Answers one question (an event with "ask"). Never fails: a refusal is a reply with "error". */
cJSON *lathe_parent_answer(lathe_parent *parent, const cJSON *question);

#endif
