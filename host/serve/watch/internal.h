/* serve/watch/internal.h: INTERNAL to serve/watch. [loop] but where noted. */
#ifndef LATHE_SERVE_WATCH_INTERNAL_H
#define LATHE_SERVE_WATCH_INTERNAL_H

#include "monitor/alarm.h"
#include "monitor/live.h"
#include "monitor/worse.h"
#include "serve/recall.h"
#include "serve/supervisor/internal.h"
#include "serve/watch/watch.h"

/* Features, or answers: layout, sums. baseline NULL: the model has none. */
typedef struct watch_part {
    lathe_baseline *baseline;
    lathe_live *live;
    lathe_live_total *now, *begun, *part; /* begun: at the window's beginning; part: scratch */
    lathe_alarm *alarms;                  /* [n_alarms] in the order of the scores */
    size_t n_alarms;
} watch_part;

enum { WATCH_FEATURES, WATCH_OUTPUTS, WATCH_PARTS };
extern const char *const watch_part_names[WATCH_PARTS]; /* "features", "outputs" */
extern const char *const watch_alert_kinds[WATCH_PARTS];

typedef enum watch_phase {
    WATCH_NEW,  /* nothing of it has been read */
    WATCH_BARE, /* there is nothing to watch */
    WATCH_OPEN
} watch_phase;

_Static_assert(LATHE_LABELS_VALUES == LATHE_RECALL_VALUES, "a row is an answer and its truth");

/* The newest labelled answers of a version, and what they say. */
typedef struct watch_quality {
    lathe_label_row rows[LATHE_LABELS_KEPT];
    int64_t n;      /* all that came; row i is rows[i % LATHE_LABELS_KEPT] */
    int64_t saved;  /* the first so many are in the store */
    bool asked;     /* by a call that is to save what it told */
    int64_t scored; /* n when the metric was computed last */
    int64_t scored_ns;
    double value; /* NaN: undefined, or not yet */
    lathe_alarm alarm;
} watch_quality;

/* What a canary asked for. */
typedef struct watch_trial {
    uint64_t
        number; /* no two are alike: an answer may come when the same version is on trial again */
    lathe_trial_limits limits;
    lathe_trial_verdict verdict;
    lathe_live_total *begun[WATCH_PARTS]; /* NULL: not yet, or no such part */
    bool counting;                        /* begun is there */
    int64_t looked_ns, since_ms;
    int64_t compared[2]; /* labelled rows of both sides when quality was compared last */
    int64_t compared_n;  /* labels of the canary that had come by then */
    int64_t compared_ns, looks;
} watch_trial;

/* A version that is served. */
typedef struct watch_item {
    lathe_watches *all;
    int slot;
    char step[LATHE_SLOTS_NAME]; /* "model@version" */
    char model[LATHE_SLOTS_NAME];
    int64_t version;
    char *path;
    watch_phase phase;
    bool drifts; /* its document has drift measures */
    int64_t window, min_rows;
    double window_seconds;
    int after;
    watch_part parts[WATCH_PARTS];
    int64_t begun_ns, begun_us;
    int64_t windows; /* closed and scored */
    lathe_alarm broken;
    cJSON *last;            /* the last window: rows, times, scores; NULL: none yet */
    cJSON *classes;         /* names; NULL: a regression */
    int n_values;           /* probabilities of a row that are remembered; of a regression 1 */
    char metric[64];        /* of the goal */
    double quality_drop;    /* NaN: not asked for */
    double reference;       /* the metric at training; NaN: none */
    watch_quality *quality; /* NULL: no label has come */
    bool restored;          /* the store was asked for its labels */
    cJSON *alerting;        /* [{"kind", "feature", "metric"}], of alarms that are raised */
    watch_trial *trial;
} watch_item;

typedef enum watch_task {
    WATCH_READ,
    WATCH_WINDOW,
    WATCH_TRIAL,
    WATCH_QUALITY,
    WATCH_COMPARE
} watch_task;

/* Work on the pool: one at a time. */
typedef struct watch_job {
    uv_work_t work;
    watch_item *item;
    watch_task task;
    uint64_t trial;         /* that the item was on when it was asked; 0: none */
    bool whole;             /* of WATCH_READ: the profile also where the document watches nothing */
    int64_t rows, begun_us; /* of what is asked about */
    int64_t labelled[2];
    lathe_buf question, text;
    cJSON *answer;
    int32_t rc;
    lathe_error err;
} watch_job;

struct lathe_watches {
    lathe_supervisor *s;
    watch_item *items[LATHE_SLOTS_MODELS];   /* by number of the version; NULL: not looked at */
    watch_job *job;                          /* NULL: none is under way */
    atomic_bool stop;                        /* the job that is under way is the last, and ends */
    int next;                                /* who is looked at first */
    uint64_t generation;                     /* that routes are of */
    const cJSON *routes[LATHE_SLOTS_MODELS]; /* NULL: it is not served */
    uint64_t failures;
    uint64_t trials; /* begun so far */
    uint64_t labels[LATHE_LABEL_COUNT];
    bool looked;     /* for versions that have labels */
    cJSON *labelled; /* {"model@version": true}, of before the service started */
    char plugin_cache[4096];
};

/* ---- watch.c ---- */
void watch_pass(lathe_watches *all); /* begins the next job, if there is one to do */
/* The item of a version, made where it is served and has none; NULL: it is not served, or memory is out. */
watch_item *watch_need(lathe_watches *all, int slot);
/* What a job found out about a version on trial; nothing where the trial that it was for is over. */
void watch_take_trial(const watch_job *job);

/* ---- item.c ---- */
/* [pool] Reads the model's profile and settings. */
int32_t watch_read(watch_item *item, bool whole, lathe_error *err);
void watch_close_parts(watch_item *item);
void watch_free_item(watch_item *item);
void watch_free_trial(watch_trial *trial);
/* The trial that the job asked for; NULL: it has ended, or another has begun. */
watch_trial *watch_trial_of(const watch_job *job);
/* Adds up what the workers have counted. */
void watch_sum(watch_item *item);
/* Served rows so far, cheaply. */
int64_t watch_rows(const watch_item *item);
/* Those of the current window, after watch_sum or not. */
int64_t watch_window_rows(const watch_item *item);

/* ---- ask.c ---- */
/* What came since `begun` (one a part, NULL: since the beginning) as a question. */
int32_t watch_question(watch_item *item, lathe_live_total *const begun[WATCH_PARTS],
                       watch_job *job);
/* Labelled answers: of the version, or of a canary beside those that it is compared with. */
int32_t watch_quality_question(watch_item *item, const watch_item *base, watch_job *job);
/* [pool] */
int32_t watch_ask(const lathe_watches *all, watch_job *job);

/* ---- alerts.c ---- */
/* Takes over the scores of a window. */
void watch_judge(watch_item *item, watch_job *job);
/* ---- quality.c ---- */
bool watch_quality_is_due(const watch_item *item);
bool watch_compare_is_due(const watch_item *item, const watch_item *base);
void watch_take_quality(watch_item *item, const watch_job *job);
void watch_take_comparison(const watch_job *job);
/* Labelled answers given at or after a time. */
int64_t watch_labelled_since(const watch_item *item, int64_t when_ms);
/* ---- labels.c ---- */
/* Did the version have labels before the service started? */
bool watch_was_labelled(lathe_watches *all, int slot);
/* Takes the version's labels from the store, once. */
void watch_restore_labels(watch_item *item);
/* Has it labels that are not in the store yet? */
bool watch_is_unsaved(const watch_item *item);

/* An alert of the version. raised: else it tells an end. */
void watch_tell(const watch_item *item, const char *severity, const char *kind, bool raised,
                const char *feature, const char *message, const cJSON *detail);
/* A question had no answer. */
void watch_note_failure(watch_item *item, const lathe_error *why);
void watch_note_success(watch_item *item);
/* Alarms as the store's newest alert of the version has them. */
void watch_restore(watch_item *item);

#endif
