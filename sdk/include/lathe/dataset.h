/* lathe/dataset.h: what learners train on: the prepared table as float32 features with target and weights.
 *
 * One prepared table serves all candidates. The dense matrix and the 8-bit bins are made on first use,
 * once, and shared by every learner and every child; a view on part of the rows shares its parent's bin
 * edges. Everything returned is read-only and lives as long as the dataset. All functions are [any].
 *
 * In the matrix a numeric feature is its value (NaN: missing), a categorical one its code 0 … n_categories-1
 * (NaN: missing; -1: a value that training did not see). The order of features is that of the table.
 */
#ifndef LATHE_DATASET_H
#define LATHE_DATASET_H

#include "host.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lathe_dataset lathe_dataset;

enum {
    LATHE_DATA_HAS_MISSING = 1u << 0,
    LATHE_DATA_HAS_CATEGORIES = 1u << 1,
    LATHE_DATA_HAS_WEIGHTS = 1u << 2
};

typedef struct lathe_dataset_info {
    uint32_t struct_size;
    uint32_t flags; /* LATHE_DATA_… */
    int32_t task;   /* LATHE_TASK_… */
    int32_t reserved0;
    int64_t n_rows;
    int64_t n_features;
    int64_t n_classes; /* 0 for regression */
} lathe_dataset_info;

enum { LATHE_FEATURE_NUMERIC = 1, LATHE_FEATURE_CATEGORY = 2 };

/* Frozen. */
typedef struct lathe_feature {
    const char *name;
    int32_t type; /* LATHE_FEATURE_… */
    int32_t n_categories;
} lathe_feature;

/* 8-bit bins. Numeric feature f with edges e[0] < … < e[m-1] (float32; every edge lies between two values
 * that occur): bin(x) = the number of edges below x, so "bin <= b" is exactly "x <= e[b]"; values occupy bins
 * 0 … m. Categorical feature: bin b < n_codes stands for code codes[b] (most frequent first, ties by code);
 * bin n_codes for every other code. NaN: bin missing_bin, always the last, present only where the training
 * rows had missing values (else -1, and a NaN met later goes where the learner sends the unknown). */
typedef struct lathe_bin_feature {
    uint32_t struct_size;
    int32_t type;   /* LATHE_FEATURE_… */
    int32_t n_bins; /* bins in use, missing bin included, at most 256 */
    int32_t missing_bin;
    const float *edges; /* [n_edges], numeric */
    int32_t n_edges;
    int32_t n_codes;
    const int32_t *codes; /* [n_codes], categorical */
} lathe_bin_feature;

typedef struct lathe_bins {
    uint32_t struct_size;
    int32_t max_bins;
    int64_t n_rows;
    int64_t n_features;
    int64_t row_stride;                /* bytes from row to row in `rows` */
    int64_t column_stride;             /* bytes from feature to feature in `columns` */
    const uint8_t *rows;               /* [n_rows, row_stride], row-major */
    const uint8_t *columns;            /* [n_features, column_stride], column-major; see row_bins */
    const lathe_bin_feature *features; /* [n_features] */
    uint32_t feature_size;             /* sizeof(lathe_bin_feature) in the host */
    uint32_t reserved0;
} lathe_bins;

/* Feature f of bins, whatever the sizes of host and plugin. */
static inline const lathe_bin_feature *lathe_bin_feature_at(const lathe_bins *b, int64_t f) {
    return (const lathe_bin_feature *)((const char *)b->features + (uint64_t)f * b->feature_size);
}

/* For lathe_datasets.make. Everything is copied. */
typedef struct lathe_dataset_spec {
    uint32_t struct_size;
    int32_t task;
    int64_t n_rows;
    int64_t n_features;
    int64_t n_classes;
    const lathe_feature *features; /* [n_features] */
    const float *matrix;           /* [n_rows, stride] */
    int64_t stride;
    const float *target;   /* [n_rows]; NULL: none */
    const float *weight;   /* [n_rows]; NULL: all 1 */
    const int64_t *row_id; /* [n_rows]; NULL: 0 … n_rows-1 */
} lathe_dataset_spec;

typedef struct lathe_datasets {
    uint32_t struct_size;
    uint32_t reserved0;
    int32_t (*info)(const lathe_dataset *data,
                    lathe_dataset_info *info);                   /* set info->struct_size first */
    const lathe_feature *(*features)(const lathe_dataset *data); /* [n_features] */
    /* float32 [n_rows, n_features] with row stride strides[0] >= n_features, 64-byte aligned */
    int32_t (*matrix)(const lathe_dataset *data, lathe_tensor *matrix, lathe_error *err);
    /* Bins with at most max_bins (2 … 255) values' bins a feature, plus the missing bin. One encoding per
     * max_bins is kept. */
    int32_t (*bins)(const lathe_dataset *data, int32_t max_bins, const lathe_bins **bins,
                    lathe_error *err);
    const float *(*target)(const lathe_dataset *data); /* [n_rows] as in lathe/loss.h; NULL: none */
    const float *(*weight)(const lathe_dataset *data); /* [n_rows]; NULL: all 1 */
    const int64_t *(*row_id)(
        const lathe_dataset *data); /* [n_rows], the source's row numbers: random
                                                          * streams are keyed by them */
    /* A dataset of one's own: stacking's meta features, an encoder's output. */
    int32_t (*make)(const lathe_host *host, const lathe_dataset_spec *spec, lathe_dataset **data,
                    lathe_error *err);
    /* Rows rows[0 … n-1] of `data` (repeats allowed), with their targets and weights. Shares bin edges
     * and keeps `data` alive. */
    int32_t (*view)(const lathe_dataset *data, const int32_t *rows, int64_t n, lathe_dataset **view,
                    lathe_error *err);
    /* One derived dataset per key, kept as long as `data`: `build` runs at most once, others wait for it. */
    int32_t (*derive)(const lathe_dataset *data, const char *key,
                      int32_t (*build)(void *user, lathe_dataset **derived, lathe_error *err),
                      void *user, const lathe_dataset **derived, lathe_error *err);
    void (*release)(lathe_dataset *data); /* what make and view gave; NULL is fine */
    /* As bins, but without `columns` (NULL there) where nobody has asked for them yet: half the memory for who
     * reads whole rows. NULL in a host that is older. */
    int32_t (*row_bins)(const lathe_dataset *data, int32_t max_bins, const lathe_bins **bins,
                        lathe_error *err);
} lathe_datasets;

#ifdef __cplusplus
}
#endif
#endif
