/* serve/recall.h: answers that are remembered by the id of their request, so that labels can be joined to them.
 *
 * A request that carries an "id" leaves its answers in shared memory, a line of 64 bytes a row; whoever learns the truth
 * later tells it by name, id and row (POST /api/v1/endpoints/NAME/labels). Each worker has a table of LATHE_RECALL_LINES lines
 * in sets of four, by key; a new answer takes the place of the oldest of its set. So memory is bounded, what is too old is
 * forgotten, and neither side searches. An orderly end of the
 * service leaves them in a file for the next one; kill -9 does not.
 *
 * One thread writes a worker's table (atomics, no lock or fence); the key is written last, and 0 while the line changes,
 * and each line counts its turns, so that who reads meanwhile notices.
 */
#ifndef LATHE_SERVE_RECALL_H
#define LATHE_SERVE_RECALL_H

#include "base/buf.h"
#include "serve/slots.h"

#include <lathe/abi.h>

#define LATHE_RECALL_ROWS 256 /* of a request at most */

/* A key is of the name in the path (its hash), the id as it stands in the request's JSON, without quotes, and the row. */
uint64_t lathe_recall_name(const char *name);
uint64_t lathe_recall_key(uint64_t name, lathe_str id, int64_t row);

typedef struct lathe_recall_answer {
    int64_t when_ms; /* wall clock */
    int slot;        /* number of the version */
    int32_t label;   /* class; -1: a regression */
    int n;           /* probabilities, 0 where there are more than fit; of a regression 1 */
    float values[LATHE_RECALL_VALUES];
} lathe_recall_answer;

/* [serve] table NULL: nothing happens. */
void lathe_recall_note(lathe_recall_line *table, uint64_t key, const lathe_recall_answer *answer);

/* What a label finds. */
typedef enum lathe_recall_found {
    LATHE_RECALL_UNKNOWN,
    LATHE_RECALL_NEW,
    LATHE_RECALL_AGAIN /* it has had one */
} lathe_recall_found;

/* [loop] The newest of all workers. */
lathe_recall_found lathe_recall_find(lathe_slots *slots, uint64_t key, lathe_recall_answer *answer);
/* [loop] It has a label from now on. */
void lathe_recall_mark(lathe_slots *slots, uint64_t key);
/* What a line holds under a key. False: another, or it was written to meanwhile. */
bool lathe_recall_read(lathe_recall_line *line, uint64_t key, lathe_recall_answer *answer);

/* ---- recall_keep.c: from one service to the next. [loop] ---- */

#define LATHE_RECALL_FILE "answers.bin" /* in the home */

/* After the workers have ended. names: [count] of the versions by their numbers ("model@version"), which change. */
int32_t lathe_recall_save(lathe_slots *slots, const char (*names)[LATHE_SLOTS_NAME], int count,
                          const char *path, lathe_error *err);
/* Takes those of versions that there are now, once, before anything is saved. The file goes, so that no label counts twice. No
 * file is no error; LATHE_E_CORRUPT: it is another's, or broken. */
int32_t lathe_recall_load(lathe_slots *slots, const char (*names)[LATHE_SLOTS_NAME], int count,
                          const char *path, int64_t *taken, lathe_error *err);

#endif
