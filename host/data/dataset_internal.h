/* data/dataset_internal.h: what the files dataset*.c share. Nobody else includes it.
 *
 * A root (root == itself) owns features, matrix and bin edges. A view has a parent, which it keeps
 * alive, and the numbers of its rows in the root.
 */
#ifndef LATHE_DATA_DATASET_INTERNAL_H
#define LATHE_DATA_DATASET_INTERNAL_H

#include "data/dataset.h"
#include "data/joint.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* One lazily made thing of a dataset: the matrix of a view (max_bins 0) or the bins of one
 * max_bins. */
typedef struct dataset_slot {
    struct dataset_slot *next;
    lathe_dataset *data;
    int32_t max_bins;
    lathe_joint joint;
    int64_t chunk_rows; /* rows an item of the last phase */

    float *matrix; /* [n_rows, stride] */

    lathe_bins bins;                   /* without columns */
    lathe_bins both;                   /* with them, once `transposing` is done */
    lathe_joint transposing;           /* rows to columns, made when they are first asked for */
    const struct dataset_slot *parent; /* view: the root's slot, whose features it shares */
    lathe_bin_feature *features;       /* root: [n_features] */
    float *edges;                      /* root: [n_features, max_bins - 1] */
    int32_t *codes;                    /* root: [n_features, max_bins - 1] */
    float *tables;                     /* root: [n_features, LATHE_BINS_TABLE] */
    uint8_t *code_bins;                /* root: bin of each code, all features in a row */
    int64_t *code_begin;               /* root: [n_features] where a feature's begin */
    int64_t *sample;                   /* root: [n_sample] rows; NULL: all */
    int64_t n_sample;
    struct bins_scratch *scratch; /* root: not in use now; none once the edges are found */
    pthread_mutex_t scratch_lock;
    uint8_t *rows;
    uint8_t *columns;
    int64_t bytes;
} dataset_slot;

typedef struct dataset_derived {
    struct dataset_derived *next;
    char *key;
    lathe_dataset *result; /* NULL: being built */
    pthread_t builder;
} dataset_derived;

struct lathe_dataset {
    atomic_int refs;
    lathe_dataset *root;
    lathe_dataset *parent; /* a reference; NULL for a root */
    lathe_pool *pool;
    uint32_t flags;
    int32_t task;
    int64_t n_rows;
    int64_t n_features;
    int64_t n_classes;
    int64_t bytes;
    lathe_feature *features; /* root only */
    char *names;             /* root only */
    atomic_uchar *missing;   /* root only: [n_features] has a NaN */
    float *matrix;           /* root only: [n_rows, stride] */
    int64_t stride;          /* floats */
    int64_t shape[2];
    int64_t strides[2];
    int32_t *rows;   /* view only: [n_rows] rows of the root */
    float *target;   /* NULL: none */
    float *weight;   /* NULL: all 1 */
    int64_t *row_id; /* [n_rows] */

    pthread_mutex_t lock;   /* the two lists */
    pthread_cond_t changed; /* of derived */
    dataset_slot *slots;
    dataset_derived *derived;
};

/* Rows an item of parallel work over rows: about 256 KiB of matrix, by the width alone. */
int64_t dataset_chunk_rows(int64_t stride);

int32_t dataset_matrix(lathe_dataset *data, const float **matrix, lathe_error *err);
int32_t dataset_bins(lathe_dataset *data, int32_t max_bins, bool columns, const lathe_bins **bins,
                     lathe_error *err);
int32_t dataset_derive(lathe_dataset *data, const char *key,
                       int32_t (*build)(void *user, lathe_dataset **derived, lathe_error *err),
                       void *user, const lathe_dataset **derived, lathe_error *err);
void dataset_slots_free(dataset_slot *slots);
void dataset_derived_free(dataset_derived *derived);

#endif
