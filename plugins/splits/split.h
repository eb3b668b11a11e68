/* split.h: what the split plugins share: errors, shares, and rows in a random order that is keyed by row number.
 *
 * Each row has a random key that depends on (key of the run, source row number) alone. Rows are ranked by that
 * key and the first ones form the test part, the next ones the validation part: the counts are exact, and a row
 * that is added to the source moves no other row, but for those at the two borders.
 */
#ifndef LATHE_SPLITS_SPLIT_H
#define LATHE_SPLITS_SPLIT_H

#include <lathe/lathe.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct split_row {
    int64_t major; /* class, bin or 0: rows are sorted by it first */
    uint64_t key;
    int64_t row_id;
    int64_t row; /* in the table */
} split_row;

typedef struct split_self {
    const lathe_host *host;
    const void *config;
} split_self;

__attribute__((format(printf, 4, 5))) static inline int32_t split_fail(lathe_error *err,
                                                                       int32_t code,
                                                                       const char *where,
                                                                       const char *format, ...) {
    va_list args;
    err->code = code;
    snprintf(err->where, sizeof err->where, "%s", where);
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

static inline int32_t split_create(const lathe_host *host, const void *config, void **self,
                                   lathe_error *err) {
    split_self *s = host->alloc(host, sizeof *s);
    if (s == NULL)
        return split_fail(err, LATHE_E_MEMORY, "split", "no memory for the split");
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static inline void split_destroy(void *self) {
    split_self *s = self;
    s->host->free(s->host, s);
}

static inline int32_t split_no_folds(const void *self) {
    (void)self;
    return 0;
}

static inline int split_compare(const void *a, const void *b) {
    const split_row *x = a, *y = b;
    if (x->major != y->major)
        return x->major < y->major ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->row_id != y->row_id)
        return x->row_id < y->row_id ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static inline int32_t split_check_shares(double test, double validation, lathe_error *err) {
    if (test + validation >= 1)
        return split_fail(
            err, LATHE_E_INVALID, "test",
            "\"test\" (%g) and \"validation\" (%g) take all rows; together they must be "
            "below 1, so that some are left to train",
            test, validation);
    return LATHE_OK;
}

/* Rows with their keys, major 0, in the table's order; free with host->free. */
static inline int32_t split_rows(const split_self *s, const lathe_split_input *in, split_row **rows,
                                 lathe_error *err) {
    int64_t n = in->table->n_rows;
    *rows = NULL;
    if (n < 1)
        return split_fail(err, LATHE_E_DATA, "split", "there are no rows to split");
    if ((uint64_t)n > SIZE_MAX / sizeof **rows ||
        (*rows = s->host->alloc(s->host, (uint64_t)n * sizeof **rows)) == NULL)
        return split_fail(err, LATHE_E_MEMORY, "split", "no memory to order %lld rows",
                          (long long)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t id = in->row_id != NULL ? in->row_id[i] : i;
        (*rows)[i] = (split_row){0, s->host->random_key(s->host, in->key, (uint64_t)id), id, i};
    }
    return LATHE_OK;
}

/* How many rows each part gets: shares rounded to the nearest, at least one where the share is not 0. */
static inline int32_t split_counts(int64_t n, double test, double validation, int64_t *n_test,
                                   int64_t *n_validation, lathe_error *err) {
    *n_test = (int64_t)floor((double)n * test + 0.5);
    *n_validation = (int64_t)floor((double)n * validation + 0.5);
    *n_test += test > 0 && *n_test == 0;
    *n_validation += validation > 0 && *n_validation == 0;
    if (*n_test + *n_validation >= n)
        return split_fail(
            err, LATHE_E_DATA, "split",
            "%lld rows are too few for test %g and validation %g: none is left to train",
            (long long)n, test, validation);
    return LATHE_OK;
}

static inline int64_t split_find_column(const lathe_table *table, const char *name) {
    for (int64_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return i;
    return -1;
}

static inline int32_t split_no_column(const char *where, const char *name, lathe_error *err) {
    return split_fail(err, LATHE_E_NOT_FOUND, where, "the table has no column '%.200s'", name);
}

/* The common parameters of the splits by shares. */
#define SPLIT_SHARES(config)                                                                       \
    LATHE_P_FLOAT(config, test, LATHE_PARAM_EXCL_MAX, "0.2", 0, 1,                                 \
                  "Share of the rows that test the selected model."),                              \
        LATHE_P_FLOAT(                                                                             \
            config, validation, LATHE_PARAM_EXCL_MAX, "0.1", 0, 1,                                 \
            "Share of the rows that stop training early and select among candidates; 0: "          \
            "candidates are cross-validated.")

#endif
