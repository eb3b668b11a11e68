/* serve/watch/watch.h: what is served, held against training: windows, drift scores, alerts. [loop]
 *
 * Workers count every served row and answer into shared memory (monitor/live.h). For each version whose document has a
 * "monitor", the supervisor looks at the counts twice a second; a window is closed once it has `window` rows, or after
 * `window_seconds` once it has `min_rows`. Its counts go to a process of the lowest priority (serve/watch/worker.h), one at a
 * time, which runs the drift measures; so under load a window holds more rows, and no request waits for any of it.
 *
 *     counts ──window is full──► worker ──scores──► alarms ──raised, ended──► alert, audit row, stream
 *
 * Labels make windows, too: the newest labelled answers of a version. They are in the store, so that they and the alarm go on
 * after the service was started anew; the answers that wait for a label (serve/recall.h) do not.
 *
 * Each score has an alarm (monitor/alarm.h). What a window changes is one alert of the version, whatever the number of
 * features. Alarms go on where they were after the service was started anew; a window begins anew.
 *
 * A version on trial is looked at in the same way for the guards of its canary.
 */
#ifndef LATHE_SERVE_WATCH_H
#define LATHE_SERVE_WATCH_H

#include "base/buf.h"
#include "base/error.h"
#include "store/labels.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lathe_supervisor lathe_supervisor;
typedef struct lathe_watches lathe_watches;

/* NULL: out of memory. */
lathe_watches *lathe_watches_new(lathe_supervisor *s);
/* After the loop: what is under way is ended and waited for; nothing begins any more. Then the rest. NULL is fine. */
void lathe_watches_stop(lathe_watches *watches);
void lathe_watches_free(lathe_watches *watches);
/* Closes windows that are full, asks, lets go of what is not served any more. */
void lathe_watches_tick(lathe_watches *watches);

/* What is known of a version, for GET …/drift; NULL: out of memory. */
cJSON *lathe_watches_json(const lathe_watches *watches, const char *model, int64_t version);
void lathe_watches_metrics(const lathe_watches *watches, lathe_buf *out);

/* ---- a version on trial ---- */

typedef enum lathe_trial_guard {
    LATHE_TRIAL_FEATURES, /* "feature_drift" */
    LATHE_TRIAL_OUTPUTS,  /* "output_drift" */
    LATHE_TRIAL_GUARDS
} lathe_trial_guard;

/* Measures of drift that a guard may ask: built-in plugins, each with the parameter that is its limit. */
#define LATHE_TRIAL_MEASURES 5
typedef struct lathe_trial_measure {
    const char *name, *parameter;
    double max;
} lathe_trial_measure;
extern const lathe_trial_measure lathe_trial_measures[LATHE_TRIAL_MEASURES];

/* ---- labels ---- */

typedef enum lathe_label_end {
    LATHE_LABEL_MATCHED,
    LATHE_LABEL_REPEATED,  /* its answer has one already, which stays */
    LATHE_LABEL_UNMATCHED, /* no such answer is remembered, or its version is not served any more */
    LATHE_LABEL_INVALID,   /* no class of the model, or no number for a regression */
    LATHE_LABEL_LATER,     /* the model's profile has not been read yet */
    LATHE_LABEL_COUNT
} lathe_label_end;

/* The truth of one answer under a name: a text or a number of JSON. It may be acknowledged once it is in the store, which it
 * survives the service in: lathe_watches_unsaved gives what the labels since the last call of it brought, or found there
 * unsaved; a thread of the pool writes it, and lathe_watches_saved tells that it has. What was not written stays unsaved, so
 * that who sends a label again waits for it. */
lathe_label_end lathe_watches_label(lathe_watches *watches, const char *name, const char *id,
                                    int64_t row, const cJSON *label);
int32_t lathe_watches_unsaved(lathe_watches *watches, lathe_arena *arena, lathe_label_list *list,
                              lathe_error *err);
void lathe_watches_saved(lathe_watches *watches, const lathe_label_list *list);

typedef struct lathe_trial_limits {
    bool guarded[LATHE_TRIAL_GUARDS];
    double limits[LATHE_TRIAL_GUARDS][LATHE_TRIAL_MEASURES]; /* NaN: not asked */
    int64_t min_rows;                                        /* before the first look */
    /* quality of labelled answers: the canary's since now, those of `base` since base_ms; min_labels of each */
    bool compares;
    double confidence;
    int64_t min_labels;
    char base_model[128];
    int64_t base_version, base_ms;
} lathe_trial_limits;

typedef struct lathe_trial_verdict {
    int64_t rows; /* that were looked at; 0: not yet */
    bool beyond[LATHE_TRIAL_GUARDS];
    double worst[LATHE_TRIAL_GUARDS]; /* NaN: there is none */
    double limit[LATHE_TRIAL_GUARDS]; /* that its measure took, which may depend on the rows */
    char name[LATHE_TRIAL_GUARDS][128], measure[LATHE_TRIAL_GUARDS][32];
    int64_t labelled;     /* answers of the canary that were compared; 0: not yet */
    double quality_drop;  /* how much worse the canary's are; NaN: undefined */
    double quality_least; /* at least, with the confidence (monitor/worse.h) */
} lathe_trial_verdict;

/* From now on what it serves is looked at; a trial that it has begins anew. LATHE_E_MEMORY. */
int32_t lathe_watches_try(lathe_watches *watches, const char *model, int64_t version,
                          const lathe_trial_limits *limits, lathe_error *err);
/* False: it has none. */
bool lathe_watches_verdict(const lathe_watches *watches, const char *model, int64_t version,
                           lathe_trial_verdict *verdict);
void lathe_watches_end_trial(lathe_watches *watches, const char *model, int64_t version);

#endif
