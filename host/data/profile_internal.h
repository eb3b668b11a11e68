/* data/profile_internal.h: what the files profile*.c share. Nobody else includes it. */
#ifndef LATHE_DATA_PROFILE_INTERNAL_H
#define LATHE_DATA_PROFILE_INTERNAL_H

#include "data/profile.h"
#include "data/stats.h"

#include <stdbool.h>

/* What is known of one column. */
typedef struct column_profile {
    bool numeric; /* FLOAT64, INT64, TIMESTAMP */
    lathe_numeric_stats numbers;
    lathe_text_stats texts;
    const char *measure; /* of the association with the target; NULL: none */
    double association;
    int32_t code; /* of making this */
    lathe_error err;
} column_profile;

typedef struct profile_job {
    const lathe_table *table;
    int64_t target; /* -1: none */
    column_profile *columns;
    int64_t *rows; /* those of the pair measures; NULL: all */
    int64_t n_rows;
    int64_t correlated[LATHE_PROFILE_CORRELATED];
    int64_t n_correlated;
    double *values; /* [n_correlated, n_rows] */
    double *ranks;
    double *pearson; /* [n_correlated, n_correlated] */
    double *spearman;
    int64_t duplicates;
} profile_job;

int64_t profile_missing(const column_profile *p);
int64_t profile_distinct(const column_profile *p);

/* Pair measures: chooses rows, fills values, ranks, pearson, spearman, measure and association. */
int32_t profile_pairs(lathe_pool *pool, profile_job *job, lathe_error *err);

/* Adds "alerts" to each column's object and to the root. False: out of memory. */
bool profile_alerts(const profile_job *job, cJSON *root, cJSON *features);

/* A number, null where it is not finite. False: out of memory. */
bool profile_number(cJSON *object, const char *key, double x);
/* A text to show. */
bool profile_text(cJSON *object, const char *key, lathe_str text);

#endif
