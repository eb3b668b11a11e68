/* model/model.h: a fitted model: raw rows in, predictions out; its file.
 *
 * The file is a safetensors container (8-byte little-endian header length, JSON header, tensors without holes,
 * 64-byte aligned by explicit padding tensors named "pad.<k>"): weights, trees and edges as tensors; in
 * `__metadata__`, as strings, the document, plugin ids with versions and digests, the raw schema with its
 * dictionaries, classes, metrics, and each tensor's CRC-32; the training baseline as JSON in a tensor of bytes,
 * "baseline.json", so that opening a model does not read it. Times, paths and thread
 * counts are not in it: the same document, data and seed give the same bytes. It is immutable and named by its
 * SHA-256. A reader trusts nothing: every length, offset, name and type is checked before use; errors are
 * LATHE_E_CORRUPT (or LATHE_E_VERSION) and say what is wrong.
 */
#ifndef LATHE_MODEL_MODEL_H
#define LATHE_MODEL_MODEL_H

#include "base/hash.h"
#include "data/frame.h"
#include "data/schema.h"
#include "model/chain.h"
#include "plugin/runtime.h"

#include <lathe/learner.h>

typedef struct lathe_model lathe_model;

#define LATHE_MODEL_FORMAT 1

/* What a model is made of. Strings and trees are copied into the file. */
typedef struct lathe_model_spec {
    const char *name;
    const char *target; /* name of the target column */
    int32_t task;       /* LATHE_TASK_… */
    const char *const
        *classes; /* [n_classes] in the order of their bytes; n_classes 0 for regression */
    int64_t n_classes;
    int64_t positive;        /* index of the positive class, binary; else -1 */
    const lathe_schema *raw; /* columns that predict takes */
    const lathe_chain *chain;
    const lathe_instance *learner;
    const cJSON *document; /* the pipeline document, parameters substituted */
    const cJSON *metrics;  /* {"validation": {…}, "test": {…}} */
    const cJSON *baseline; /* of data/baseline.h */
    const cJSON *extra;    /* further documents by name, written as metadata strings; may be NULL */
} lathe_model_spec;

/* Writes the file (not atomically: the caller stages it), gives its SHA-256 and size. [worker] */
int32_t lathe_model_write(const lathe_model_spec *spec, const char *path,
                          char sha256[LATHE_SHA256_HEX], int64_t *bytes, lathe_error *err);

/* Maps a file and loads the plugins it names (by id; the same major version of the plugin's state). A plugin that
 * is not installed is LATHE_E_NOT_FOUND and names it. [worker] */
int32_t lathe_model_open(lathe_runtime *runtime, const char *path, lathe_model **model,
                         lathe_error *err);
/* The two halves of it. First maps the file, checks its header and reads head and schema: lathe_model_get_info and
 * lathe_model_document work, and nothing but the header was touched. Then loads the plugins with their state; again is
 * nothing; a failure leaves it as it was. What predicts needs both. [worker] */
int32_t lathe_model_open_head(lathe_runtime *runtime, const char *path, lathe_model **model,
                              lathe_error *err);
int32_t lathe_model_load(lathe_model *model, lathe_error *err);
void lathe_model_close(lathe_model *model);

/* What the header says, without loading plugins: for `models show` in a parent. Checks the container. The
 * document has keys name, target, task, classes, positive, plugins, schema, metrics, document, baseline, format. [any] */
int32_t lathe_model_describe(const char *path, cJSON **description, lathe_error *err);

/* Checks every tensor's CRC-32 and the structure. [any] */
int32_t lathe_model_verify(const char *path, lathe_error *err);

typedef struct lathe_model_info {
    const char *name;
    const char *target;
    int32_t task;
    int64_t n_classes;
    const char *const *classes;
    int64_t positive;
    const lathe_schema *raw;
} lathe_model_info;
const lathe_model_info *lathe_model_get_info(const lathe_model *model);

typedef enum lathe_model_part {
    LATHE_MODEL_DOCUMENT, /* the pipeline document */
    LATHE_MODEL_METRICS,
    LATHE_MODEL_BASELINE /* for lathe_baseline_from_json; megabytes where there are many features */
} lathe_model_part;
/* Reads one of its documents: *tree is the caller's, NULL where it has none. LATHE_E_CORRUPT: it is damaged. [any] */
int32_t lathe_model_document(const lathe_model *model, lathe_model_part part, cJSON **tree,
                             lathe_error *err);

/* Its parts, for what calls their tables directly (serve/infer/plan.h); they live as long as the model. [any] */
const lathe_chain *lathe_model_chain(const lathe_model *model);
const lathe_instance *lathe_model_learner(const lathe_model *model);

/* Predictions of n rows. For regression value[i]; for classification probability[i * n_classes + c] (binary: both
 * columns, 1 - p and p in float32) and label[i], the index of the largest (ties: the first; binary: class 1 where
 * p >= 0.5). Owned by the caller; free with lathe_prediction_free. */
typedef struct lathe_prediction {
    int64_t n;
    int64_t n_classes;
    float *value;
    float *probability;
    int32_t *label;
} lathe_prediction;
void lathe_prediction_free(lathe_prediction *prediction);

/* Any table that has the raw schema's columns, in any order, with dictionaries of its own: recoded, prepared,
 * predicted in row chunks on the runtime's pool. Bit-equal for a row alone, in a batch, after a reload.
 * Errors name column and row. [worker] */
int32_t lathe_model_predict(const lathe_model *model, const lathe_table *table,
                            lathe_prediction *prediction, lathe_error *err);

/* The last step alone, for training: a fitted learner on prepared features (float32 [n, stride]). Converts the
 * learner's declared output to predictions as above; a NaN is LATHE_E_NUMERIC and names the plugin. [worker] */
int32_t lathe_learner_predict(lathe_runtime *runtime, const lathe_instance *learner, int32_t task,
                              int64_t n_classes, const float *matrix, int64_t n, int64_t stride,
                              lathe_prediction *prediction, lathe_error *err);

/* The two halves of it. What the learner declares, checked against the task and the features there are. [worker] */
int32_t lathe_learner_output(const lathe_instance *learner, int64_t n_classes, int64_t stride,
                             lathe_output *output, lathe_error *err);
/* raw [n, output->n_outputs] as declared, to probability [n, n_classes] and label [n]. [serve] */
void lathe_learner_classes(const lathe_output *output, const float *raw, int64_t n,
                           int64_t n_classes, float *probability, int32_t *label);

/* One row at a time through the whole model, taken round robin from table: latencies in nanoseconds, sorted
 * ascending, into ns. *rows: at most so many are timed; on return how many were, fewer where the model is slow
 * and a hundred, which is what a 99th percentile needs, have taken seconds. */
int32_t lathe_model_latency(const lathe_model *model, const lathe_table *table, int64_t *rows,
                            int64_t *ns, lathe_error *err);

#endif
