/* serve/infer/door.h: what happens to rows between a request and its model: validation (monitor/rules.h), and statistics of
 * what was served (monitor/live.h).
 *
 *     lathe_door_furnish(door, &err);                       // once, off the serving thread
 *     lathe_door_open(door, plan);                          // before values are put in
 *     rc = lathe_door_check(door, plan, 0, n, &visit, &err) // LATHE_E_DATA: a rule rejects
 *     …predict…
 *     lathe_door_count(door, plan, 0, n, &visit, region);   // rows that were answered
 *     lathe_door_count_answers(door, &output, n, region);   // and the answers
 *     lathe_door_note(&visit, counters);                    // on the thread that owns the counters
 *     lathe_door_headers(door, &visit, buf, size);          // "lathe-flags: range=1;column=\"age\"\r\n"
 *
 * Which rules are on is said by the endpoint's settings, else by the document of the model. A door never changes, but for
 * the rows that wait to be counted, which are the serving thread's.
 */
#ifndef LATHE_SERVE_DOOR_H
#define LATHE_SERVE_DOOR_H

#include "monitor/live.h"
#include "serve/infer/plan.h"
#include "serve/slots.h"

#include <cjson/cJSON.h>

typedef struct lathe_door lathe_door;

#define LATHE_DOOR_HEADERS 512

/* settings: the endpoint's validation, copied; NULL: the document's. label: "income (adult-income@3)", for the log. The model
 * must outlive it. Reads nothing yet. LATHE_E_MEMORY. [worker] */
int32_t lathe_door_new(const lathe_model *model, const cJSON *settings, const char *label,
                       lathe_door **door, lathe_error *err);
/* Reads the model's profile and compiles the rules, once; must have happened before a request. A profile that cannot be read,
 * or settings that do not fit the model: what can be is applied, and the log says what was not.
 * LATHE_E_MEMORY: it may be tried again. [worker] */
int32_t lathe_door_furnish(lathe_door *door, lathe_error *err);
bool lathe_door_is_furnished(const lathe_door *door);     /* [any] */
void lathe_door_retain(lathe_door *door);                 /* for another user of it */
void lathe_door_free(lathe_door *door);                   /* [worker] of one user; NULL is fine */
const cJSON *lathe_door_settings(const lathe_door *door); /* NULL: the document's */

/* What the rows of one request break. */
typedef struct lathe_door_visit {
    bool fired;     /* else the report is not written */
    uint64_t taken; /* the door's own */
    lathe_rule_report report;
} lathe_door_visit;

/* [any] The plan takes a value of the wrong type for missing where no rule rejects it. */
void lathe_door_open(const lathe_door *door, lathe_plan *plan);
/* [serve] What a row is checked with and kept in comes near while the request is read. */
void lathe_door_expect(const lathe_door *door);
/* [serve] Rows [begin, begin + n) of the plan. */
int32_t lathe_door_check(lathe_door *door, lathe_plan *plan, int64_t begin, int64_t n,
                         lathe_door_visit *visit, lathe_error *err);
/* [any] The same on another thread. */
int32_t lathe_door_check_shared(const lathe_door *door, lathe_plan *plan, int64_t begin, int64_t n,
                                lathe_door_visit *visit, lathe_error *err);
/* [serve] Counts rows into a region of LATHE_SLOTS_LIVE bytes, at once or at the next flush; region NULL: nothing happens.
 * visit: that of the check of these very rows, which has its row at hand where no other check came in between; NULL: there
 * were several. */
void lathe_door_count(lathe_door *door, const lathe_plan *plan, int64_t begin, int64_t n,
                      const lathe_door_visit *visit, void *region);
/* [serve] The answers to them, likewise: n rows from the first of `output` on. */
void lathe_door_count_answers(lathe_door *door, const lathe_plan_output *output, int64_t n,
                              void *region);
/* [serve] Counts what waits: some times a second, and before the door goes. */
void lathe_door_flush(lathe_door *door, void *region);
/* [any] Rows and answers into a region that several threads of this process count into. */
void lathe_door_count_shared(lathe_door *door, const lathe_plan *plan,
                             const lathe_plan_output *output, int64_t n, void *region);
/* [serve] counters NULL: nothing happens. */
void lathe_door_note(const lathe_door_visit *visit, lathe_slot_model *counters);
/* [serve] A request that could not be read into the plan for a value of the wrong type: its first row counts. */
void lathe_door_note_type(lathe_slot_model *counters);
/* [serve] Appends the header line that names the rules which flagged rows, how many, and the first column; nothing where none
 * did, or where it does not fit. */
void lathe_door_headers(const lathe_door *door, const lathe_door_visit *visit, char *buf,
                        size_t size);

#endif
