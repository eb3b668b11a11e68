/* serve/infer/plan.h: a model compiled for serving: raw values in, predictions out, without a heap allocation.
 *
 * A plan holds every buffer that the model's transforms, matrix and learner need for up to max_rows rows. Values are
 * put in column by column, then lathe_plan_run applies the model's own `prepare` and its learner. The bits are those
 * of lathe_model_predict. One thread at a time per plan [serve]; several plans share one model.
 */
#ifndef LATHE_SERVE_PLAN_H
#define LATHE_SERVE_PLAN_H

#include "model/model.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct lathe_plan lathe_plan;

/* [worker] Allocates everything. max_rows: 1 … 65536. The model must outlive the plan. Plugins that may not be called
 * concurrently (descriptor.concurrency) are called with their lock held and with copies: they do allocate. */
int32_t lathe_plan_new(const lathe_model *model, int64_t max_rows, lathe_plan **plan,
                       lathe_error *err);
void lathe_plan_free(lathe_plan *plan); /* NULL is fine */

int64_t lathe_plan_max_rows(const lathe_plan *plan);
const lathe_model *lathe_plan_model(const lathe_plan *plan);

/* ---- filling: columns in the order of the model's raw schema ---- */

/* What does not fit a column is LATHE_E_DATA with where = the column and the row (from 1) in the message, as in
 * lathe_model_predict. */

/* Begins a batch of n rows: every value missing. n > max_rows: LATHE_E_SHAPE. */
int32_t lathe_plan_begin(lathe_plan *plan, int64_t n, lathe_error *err);
/* Adds n rows behind those that are there (several requests in one batch): the rows that are put in from now on, and those
 * of messages, count from the first of them. Gives their place in *first. */
int32_t lathe_plan_append(lathe_plan *plan, int64_t n, int64_t *first, lathe_error *err);
/* Takes rows [first, first + n) out again; those behind them move up. Nothing may be put in before the next begin or append. */
void lathe_plan_remove(lathe_plan *plan, int64_t first, int64_t n);
int64_t lathe_plan_row_count(const lathe_plan *plan);
/* A number for a FLOAT64, INT64 or TIMESTAMP column; for a CATEGORY column its printed form is looked up. NaN: missing. */
int32_t lathe_plan_number(lathe_plan *plan, int64_t column, int64_t row, double value,
                          lathe_error *err);
/* n numbers at once: down a column from row `index` on, or with column -1 row by row through all columns, from the cell
 * `index` on. */
int32_t lathe_plan_numbers(lathe_plan *plan, int64_t column, int64_t index, int64_t n,
                           const double *values, lathe_error *err);
/* One integer, exact beyond 2^53 in INT64 and TIMESTAMP columns. */
int32_t lathe_plan_integer(lathe_plan *plan, int64_t column, int64_t row, int64_t value,
                           lathe_error *err);
/* A text for a CATEGORY or STRING column (kept by pointer until run); for a number or TIMESTAMP column it is read as
 * one. ptr NULL, or blanks for a number or time: missing.
 * (Numbers written with more than 63 digits take memory for a moment.) */
int32_t lathe_plan_text(lathe_plan *plan, int64_t column, int64_t row, lathe_str value,
                        lathe_error *err);

/* ---- what was put in and is not as in training, for serve/infer/door.h ---- */

/* A category that training has not seen: the first one of its column in the batch. */
typedef struct lathe_plan_unseen {
    int64_t row; /* -1: there is none */
    int64_t len; /* of the whole value */
    char text[64];
} lathe_plan_unseen;

/* From now on a value that does not fit its column is missing where tolerate[column] is not 0, and no error; NULL: no
 * column is so. Where it is odd, the row gets a mark of 1. The caller's array must stay. */
void lathe_plan_tolerate(lathe_plan *plan, const uint8_t *tolerate);
/* [rows] marks of this batch. The caller may set further bits; begin clears all. */
uint8_t *lathe_plan_marks(const lathe_plan *plan);
/* Of a CATEGORY column; NULL for others. */
const lathe_plan_unseen *lathe_plan_get_unseen(const lathe_plan *plan, int64_t column);

/* ---- running ---- */

/* From now on a run ends early with LATHE_E_CANCELLED once *stop is true; NULL: never. */
void lathe_plan_stop_on(lathe_plan *plan, const _Atomic bool *stop);

/* Regression: value[n]. Classification: probability[n, n_classes] and label[n]. Point into the plan, valid until the next
 * begin. NaN output: LATHE_E_NUMERIC with the row. */
typedef struct lathe_plan_output {
    const float *value;
    const float *probability;
    const int32_t *label;
} lathe_plan_output;
int32_t lathe_plan_run(lathe_plan *plan, lathe_plan_output *output, lathe_error *err);

/* The rows as they were filled in, with the raw schema: for validation and the monitor's counts. */
const lathe_table *lathe_plan_rows(const lathe_plan *plan);
/* [columns] their values alone, which stay where they are: closer together. */
const void *const *lathe_plan_values(const lathe_plan *plan);
/* One behind the other, where all columns are FLOAT64 and the row was put in alone and last, by one call of lathe_plan_numbers;
 * behind them zeros up to a multiple of 4; aligned to 64 bytes. NULL: it is not so. */
const double *lathe_plan_flat(const lathe_plan *plan, int64_t row);

#endif
