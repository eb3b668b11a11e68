/* serve/infer/plan_internal.h: the plan's inside, for plan.c and plan_fill.c alone. */
#ifndef LATHE_SERVE_PLAN_INTERNAL_H
#define LATHE_SERVE_PLAN_INTERNAL_H

#include "base/arena.h"
#include "data/text.h"
#include "serve/infer/plan.h"

#include <stdbool.h>

/* One transform: its output columns have memory of their own or share that of an input column. */
typedef struct plan_step {
    const lathe_instance *instance;
    bool guarded; /* may not run concurrently: called through plugin/call.h */
    lathe_column *columns;
    int64_t n_columns;
    int32_t *codes; /* [n_codes] columns whose codes it writes, to be checked */
    int64_t n_codes;
    int32_t *strings; /* [n_strings] STRING columns that it writes */
    int64_t n_strings;
} plan_step;

struct lathe_plan {
    const lathe_model *model;
    const lathe_instance *learner;
    const lathe_schema *schema;
    lathe_arena *arena;    /* of everything */
    lathe_column *columns; /* [raw.n_columns] */
    char (**printed)
        [LATHE_CELL_TEXT]; /* [raw.n_columns]: [max_rows] texts of numbers; STRING columns alone */
    plan_step *steps;
    size_t n_steps;
    float *matrix; /* [chunk, stride] */
    int64_t stride;
    int64_t chunk; /* rows that the learner gets at once */
    void *scratch;
    float *out;         /* [max_rows, output.n_outputs] */
    float *probability; /* [max_rows, n_classes] */
    int32_t *label;     /* [max_rows] */
    int64_t n_classes;
    lathe_output output;
    bool guarded;
    int64_t max_rows;
    lathe_table raw; /* n_rows: of this batch */
    int64_t base;    /* row of the batch that is the first for what is put in */
    const _Atomic bool *stop;
    void **values;           /* [raw.n_columns] as the columns have them */
    bool all_floats;         /* all columns are FLOAT64 */
    double *flat;            /* [raw.n_columns and zeros] the row that was put in last, if whole */
    int64_t flat_row;        /* -1: none */
    const uint8_t *tolerate; /* [raw.n_columns] or NULL */
    uint8_t *marks;          /* [max_rows] */
    lathe_plan_unseen **unseen; /* [raw.n_columns] of CATEGORY columns */
};

#endif
