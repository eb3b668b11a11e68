/* serve/supervisor/worker_line.h: what an inference worker says, one line of it (serve/protocol.h). A worker runs foreign code: any bytes
 * may come, and a member of the wrong type counts as none. [any] */
#ifndef LATHE_SERVE_WORKER_LINE_H
#define LATHE_SERVE_WORKER_LINE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lathe_worker_line {
    cJSON *message; /* holds what follows; NULL: it was no JSON */
    bool ready, loaded, forwards;
    uint64_t generation;             /* where loaded */
    const cJSON *failed;             /* where loaded: the routes that could not be, or NULL */
    double forward;                  /* where it forwards: the number for the answer */
    const char *verb, *name, *token; /* of what it forwards; NULL: it gave none */
    const char *event;               /* for the log, or NULL */
} lathe_worker_line;

/* Fills all of it. End with lathe_worker_line_free. */
void lathe_worker_line_read(const char *text, size_t len, lathe_worker_line *line);
void lathe_worker_line_free(lathe_worker_line *line);

#endif
