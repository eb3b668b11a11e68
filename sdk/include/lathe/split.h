/* lathe/split.h: which rows train, which validate, which test. */
#ifndef LATHE_SPLIT_H
#define LATHE_SPLIT_H

#include "host.h"
#include "param.h"
#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LATHE_PART_TRAIN = 0, LATHE_PART_VALIDATION = 1, LATHE_PART_TEST = 2, LATHE_PART_NONE = 3 };

/* descriptor.flags */
enum {
    LATHE_SPLIT_USES_UP_COLUMN =
        1u << 0 /* the column that the parameter "column" names tells the parts or groups
                                          * and is no feature */
};

typedef struct lathe_split_input {
    uint32_t struct_size;
    int32_t task;
    const lathe_table *table; /* raw rows, before any transform; with every column of the source */
    const lathe_column *target; /* CATEGORY or FLOAT64 */
    const int64_t
        *row_id; /* [n_rows] source row numbers: random choices are keyed by them, so that adding
                                 * rows moves no other row */
    uint64_t key;
} lathe_split_input;

typedef struct lathe_split {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] Folds for cross-validation that assign() also gives: 0 none. */
    int32_t (*n_folds)(const void *self);
    /* [worker] part[i]: LATHE_PART_…; fold[i]: 0 … n_folds-1 for the rows of the training part (-1 for others).
     * fold is NULL where n_folds is 0. Needs columns that the table lacks: LATHE_E_NOT_FOUND. */
    int32_t (*assign)(const void *self, const lathe_split_input *in, int32_t *part, int32_t *fold,
                      lathe_error *err);
} lathe_split;

#ifdef __cplusplus
}
#endif
#endif
