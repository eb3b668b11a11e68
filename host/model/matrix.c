#include "model/matrix.h"

#include <math.h>

#define TILE_ROWS 64 /* of the matrix, which stay in the cache while the columns go through them */

static void put_column(const lathe_column *c, int64_t begin, int64_t n, float *out, int64_t k) {
    if (c->type == LATHE_COLUMN_FLOAT64) {
        const double *values = (const double *)c->values + begin;
        for (int64_t i = 0; i < n; i++)
            out[i * k] = (float)values[i];
        return;
    }
    if (c->type == LATHE_COLUMN_CATEGORY) {
        const int32_t *codes = (const int32_t *)c->values + begin;
        for (int64_t i = 0; i < n; i++)
            out[i * k] = codes[i] >= 0                    ? (float)codes[i]
                         : codes[i] == LATHE_CODE_MISSING ? NAN
                                                          : -1.0f;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i * k] = (float)lathe_number_at(c, begin + i, NAN);
}

void lathe_matrix_rows(const lathe_table *table, int64_t begin, int64_t end, float *out) {
    const int64_t k = table->n_columns;
    for (int64_t i = begin; i < end; i += TILE_ROWS) {
        const int64_t n = end - i < TILE_ROWS ? end - i : TILE_ROWS;
        for (int64_t c = 0; c < k; c++)
            put_column(&table->columns[c], i, n, out + (i - begin) * k + c, k);
    }
}

int32_t lathe_matrix_check(const lathe_table *table, lathe_error *err) {
    for (int64_t c = 0; c < table->n_columns; c++)
        if (!lathe_is_numeric(&table->columns[c]) &&
            table->columns[c].type != LATHE_COLUMN_CATEGORY)
            return lathe_fail(
                err, LATHE_E_UNSUPPORTED, table->columns[c].name,
                "a learner takes numbers and categories; use \"date_parts\", \"drop\" or "
                "another type for this column");
    return LATHE_OK;
}
