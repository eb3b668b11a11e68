/* pipeline/job.h: a run inside its worker: what the steps hand to each other.
 *
 * Steps run one after the other on the work thread: prepare → train → select → deploy → monitor → report. Each
 * owns what it made until lathe_job_free. [worker thread]
 */
#ifndef LATHE_PIPELINE_JOB_H
#define LATHE_PIPELINE_JOB_H

#include "base/arena.h"
#include "data/dataset.h"
#include "data/frame.h"
#include "data/schema.h"
#include "model/chain.h"
#include "model/model.h"
#include "pipeline/document.h"
#include "pipeline/link.h"
#include "pipeline/setup.h"
#include "plugin/runtime.h"

#include <uv.h>

enum { PART_TRAIN = 0, PART_VALIDATION = 1, PART_TEST = 2, N_PARTS = 3 };

/* The rows of one part. n == 0: there is none, and every pointer is NULL. */
typedef struct lathe_part {
    int64_t n;
    lathe_frame *raw;      /* feature columns as the source gave them */
    lathe_frame *target;   /* one column: CATEGORY or FLOAT64 */
    double *weight;        /* [n] of goal.weight; NULL: all 1 */
    int32_t *fold;         /* [n] of the training part; NULL: none */
    lathe_frame *prepared; /* after the transforms */
    lathe_dataset *data;
    double *truth; /* [n] target as metrics take it: value or class index */
} lathe_part;

typedef struct lathe_scores {
    double *values; /* [goal.n_metrics], NaN: undefined */
    bool present;
} lathe_scores;

typedef struct lathe_trained {
    const char *name;
    const lathe_component *component;
    bool baseline; /* added by the host */
    bool cached;
    lathe_error error; /* code 0: it is fitted */
    lathe_instance learner;
    double seconds;
    lathe_scores scores[N_PARTS]; /* VALIDATION: cross-validated where there is no such part */
    lathe_prediction predictions[N_PARTS]; /* of validation and test */
    cJSON *curves;                         /* {"train_loss": [[step, value], …]} */
    cJSON *importance;                     /* pipeline/importance.h; NULL: none */
} lathe_trained;

typedef struct lathe_job {
    lathe_link *link;
    lathe_setup setup;
    lathe_catalogue *catalogue; /* these three are the set-up's */
    lathe_pool *pool;
    lathe_runtime *runtime;
    lathe_arena *arena;
    lathe_pipeline *pipeline;
    const cJSON *request; /* as the parent sent it */
    const char *staging;
    const char *step; /* the running step's name: "train/net" */

    int32_t task;
    int64_t n_classes;
    const char **classes; /* [n_classes], in the order of their bytes */
    int64_t positive;
    lathe_part parts[N_PARTS];
    int32_t n_folds;
    lathe_schema *schema; /* raw features */
    lathe_chain *chain;
    char data_key[LATHE_SHA256_HEX]; /* digest of everything that the prepared data depends on */

    struct lathe_origins *origins; /* of the prepared columns; NULL: not found yet */

    lathe_trained *trained;
    size_t n_trained;
    size_t selected;         /* SIZE_MAX: none */
    lathe_instance *metrics; /* [goal.n_metrics] */

    cJSON *permutation; /* of the selected one, pipeline/importance.h; NULL: none */
    bool goal_met;
    double latency_p50_ms, latency_p99_ms; /* NaN: not measured */
    int64_t latency_rows;                  /* timed for them */
    int64_t model_bytes;
    const char *model_path; /* committed */
    char model_sha256[LATHE_SHA256_HEX];
    int64_t version; /* 0: not registered */
    bool endpoint_moved;

    cJSON *report; /* grows with every step; see web/report.h */
    uv_mutex_t curves_lock;
    cJSON *curves; /* of the candidate that trains now; guarded */
    _Atomic int32_t
        curve_depth; /* events of this depth are the candidate's own, not its children's */
} lathe_job;

/* Each emits its events and adds its part of the report. An error ends the run. */
int32_t lathe_job_prepare(lathe_job *job, lathe_error *err);
int32_t lathe_job_train(lathe_job *job, lathe_error *err);
int32_t lathe_job_evaluate(lathe_job *job, lathe_error *err);
int32_t lathe_job_deploy(lathe_job *job, lathe_error *err);
int32_t lathe_job_monitor(lathe_job *job, lathe_error *err);

/* The result object of the design's §6. */
cJSON *lathe_job_result(const lathe_job *job);

/* Begins and ends a step: events, breadcrumbs, the place in messages. */
void lathe_job_begin(lathe_job *job, const char *step);
void lathe_job_end(lathe_job *job, const char *state, double seconds);
void lathe_job_log(lathe_job *job, int level, const char *fmt, ...) LATHE_PRINTF(3, 4);
bool lathe_job_stopped(const lathe_job *job);

/* A member of the report, made where missing. */
cJSON *lathe_job_section(lathe_job *job, const char *name);

#endif
