/* model/matrix.h: a prepared table as the float32 rows that learners read. [any] */
#ifndef LATHE_MODEL_MATRIX_H
#define LATHE_MODEL_MATRIX_H

#include "base/error.h"

#include <lathe/table.h>

/* Writes rows [begin, end) of the table into out[(end - begin), n_columns], as lathe/dataset.h says: numbers as float32,
 * categories as codes, missing NaN, unseen -1. */
void lathe_matrix_rows(const lathe_table *table, int64_t begin, int64_t end, float *out);

/* Are all columns numeric or categorical? Else LATHE_E_UNSUPPORTED with advice. */
int32_t lathe_matrix_check(const lathe_table *table, lathe_error *err);

#endif
