/* lathe/drift.h: how far the current distribution of one column is from that of training. */
#ifndef LATHE_DRIFT_H
#define LATHE_DRIFT_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags */
enum {
    LATHE_DRIFT_NUMERIC = 1u << 0,     /* serves numeric columns */
    LATHE_DRIFT_CATEGORICAL = 1u << 1, /* serves categorical columns */
    LATHE_DRIFT_GIVES_P_VALUE = 1u << 2
};

/* A column's distribution, as the monitor keeps it in bounded memory: bin counts, the same bins on both
 * sides. Numeric: n_bins bins between n_bins - 1 ascending edges, bin b = (edges[b-1], edges[b]]. Categorical: one
 * bin a known category, the last for values not seen in training. Missing values are counted apart. */
typedef struct lathe_distribution {
    uint32_t struct_size;
    int32_t categorical;
    int64_t n_bins;
    const double *edges;  /* [n_bins - 1]; NULL if categorical */
    const double *counts; /* [n_bins] weights of the bins */
    const double
        *lower; /* [n_bins] smallest value seen in each bin, NaN if none; NULL if categorical */
    const double *upper; /* [n_bins] largest */
    double missing;      /* weight of missing values */
    double total;        /* sum of counts, without missing */
    /* All values, ascending, where the caller has them (batch): exact tests use them. Else NULL. */
    const double *values;
    int64_t n_values;
} lathe_distribution;

typedef struct lathe_drift_result {
    uint32_t struct_size;
    int32_t alert;    /* 1: beyond the configured threshold */
    double statistic; /* 0: no drift */
    double p_value;   /* NaN where there is none */
    double threshold;
} lathe_drift_result;

typedef struct lathe_drift {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] Set result->struct_size first. An empty side is LATHE_E_DATA, unequal bins LATHE_E_SHAPE. */
    int32_t (*compare)(const void *self, const lathe_distribution *reference,
                       const lathe_distribution *current, lathe_drift_result *result,
                       lathe_error *err);
} lathe_drift;

#ifdef __cplusplus
}
#endif
#endif
