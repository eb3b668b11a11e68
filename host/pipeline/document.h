/* pipeline/document.h: the pipeline document, read and checked as a whole.
 *
 * The five stages of the design's §4. Reading is strict: an unknown or repeated key, a wrong type, a value out
 * of range, an unknown plugin is a diagnostic with file, line, column and JSON Pointer; all are reported
 * at once, and no data is read. What comes out is read-only, lives in its own arena and keeps the JSON
 * it came from; components are bound against the catalogue, which must outlive it.
 */
#ifndef LATHE_PIPELINE_DOCUMENT_H
#define LATHE_PIPELINE_DOCUMENT_H

#include "base/arena.h"
#include "base/bound.h"
#include "base/json.h"
#include "pipeline/timing.h"
#include "plugin/bind.h"
#include "plugin/catalogue.h"

/* What `goal.require` can name besides metrics. */
typedef enum lathe_measure {
    LATHE_MEASURE_METRIC,
    LATHE_MEASURE_LATENCY_P50_MS, /* one row through the stored model, prepare included */
    LATHE_MEASURE_LATENCY_P99_MS,
    LATHE_MEASURE_MODEL_MB, /* 10^6 bytes of the model file */
    LATHE_MEASURE_TRAIN_SECONDS
} lathe_measure;

/* A metric by a name of the author's choice: "auc", or "recall_macro": {"recall": {"average": "macro"}}. */
typedef struct lathe_metric_use {
    const char *name;
    const lathe_component *component;
    bool higher_is_better;
} lathe_metric_use;

typedef struct lathe_requirement {
    lathe_measure measure;
    size_t metric; /* index into goal.metrics, for LATHE_MEASURE_METRIC */
    const char *name;
    const char *text; /* ">= 0.92" as written */
    lathe_compare compare;
    double bound;
} lathe_requirement;

typedef struct lathe_class_weight {
    const char *value; /* the class as the data has it */
    double weight;
} lathe_class_weight;

typedef struct lathe_goal {
    bool task_known;     /* else the document has a fault */
    bool classification; /* else regression; binary or multiclass is for the data to tell */
    const char *target;
    const char *positive;      /* NULL: the last class by its bytes */
    const char *weight_column; /* NULL: none */
    bool balanced;             /* "class_weight": "balanced" */
    const lathe_class_weight *class_weights;
    size_t n_class_weights;
    const lathe_metric_use *metrics; /* [0] selects, the rest are reported */
    size_t n_metrics;
    const lathe_requirement *require;
    size_t n_require;
} lathe_goal;

typedef struct lathe_prepare {
    const lathe_component *source;
    const lathe_component **transforms;
    size_t n_transforms;
    const lathe_component *split;
    bool profile;
} lathe_prepare;

typedef struct lathe_candidate {
    const char *name;
    const lathe_component *component;
} lathe_candidate;

typedef enum lathe_deploy_when {
    LATHE_DEPLOY_GOAL_MET,
    LATHE_DEPLOY_ALWAYS,
    LATHE_DEPLOY_NEVER
} lathe_deploy_when;

typedef struct lathe_deploy {
    bool present;
    const char *endpoint; /* NULL: none is moved */
    const char *model;    /* the registry's name; the pipeline's by default */
    lathe_deploy_when when;
    const cJSON *validation; /* pipeline/validation.h; NULL: as usual */
} lathe_deploy;

#define LATHE_MONITOR_WINDOW 1000
#define LATHE_MONITOR_WINDOW_SECONDS 3600
#define LATHE_MONITOR_MIN_ROWS 200
#define LATHE_MONITOR_ALERT_AFTER 2

typedef struct lathe_monitor_stage {
    bool present;
    const lathe_component **drift;
    size_t n_drift;
    const lathe_component *replay; /* NULL: none */
    int64_t window;                /* rows */
    double
        quality_drop; /* alert where the goal metric is worse than the stored one by more; NaN: off */
} lathe_monitor_stage;

typedef struct lathe_pipeline {
    lathe_arena *arena;
    lathe_json *doc; /* params substituted */
    const char *name;
    const char *description; /* or NULL */
    uint64_t seed;
    lathe_goal goal;
    lathe_prepare prepare;
    const lathe_candidate *candidates;
    size_t n_candidates;
    lathe_deploy deploy;
    lathe_monitor_stage monitor;
    lathe_retry retry; /* these two are for a service */
    lathe_run_schedule schedule;
} lathe_pipeline;

typedef struct lathe_pipeline_options {
    const lathe_catalogue *catalogue;
    const char *base_dir;     /* paths in the document are relative to it */
    const char *const *roots; /* folders that paths may not leave; n_roots 0: anywhere */
    size_t n_roots;
    const char *const *sets; /* "name=value" */
    size_t n_sets;
    int32_t task; /* LATHE_TASK_…, once the data has told; 0: classification counts as binary */
    bool load;    /* load the plugins and run their check_config; worker processes only */
} lathe_pipeline_options;

/* Reads and checks `text`; `file` is for messages. NULL where there was any diagnostic. [any] */
lathe_pipeline *lathe_pipeline_parse(const char *text, size_t len, const char *file,
                                     const lathe_pipeline_options *options, lathe_diags *diags);
void lathe_pipeline_free(lathe_pipeline *pipeline); /* NULL is fine */

#endif
