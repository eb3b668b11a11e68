#include "model/matrix.h"

#include <math.h>

static float cell(const lathe_column *c, int64_t row) {
    if (c->type == LATHE_COLUMN_CATEGORY) {
        const int32_t code = ((const int32_t *)c->values)[row];
        return code >= 0 ? (float)code : code == LATHE_CODE_MISSING ? NAN : -1.0f;
    }
    return (float)lathe_number_at(c, row, NAN);
}

void lathe_matrix_rows(const lathe_table *table, int64_t begin, int64_t end, float *out) {
    const int64_t k = table->n_columns;
    for (int64_t i = begin; i < end; i++)
        for (int64_t c = 0; c < k; c++)
            out[(i - begin) * k + c] = cell(&table->columns[c], i);
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
