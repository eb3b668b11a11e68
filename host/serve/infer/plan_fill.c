/* Values into a plan's raw columns. What a column takes is what lathe_schema_recode takes. */
#include "serve/infer/plan_internal.h"

#include <math.h>
#include <string.h>

static void put_missing(lathe_column *c, int64_t row);

/* A value that does not fit: missing where that is tolerated, else an error. */
static int32_t fail_text(lathe_plan *plan, int64_t column, int64_t row, lathe_str value,
                         lathe_error *err) {
    static const char *const wanted[] = {[LATHE_COLUMN_FLOAT64] = "a number",
                                         [LATHE_COLUMN_INT64] = "a whole number",
                                         [LATHE_COLUMN_TIMESTAMP] =
                                             "a time such as 2025-01-31 or 2025-01-31T12:00:00Z",
                                         [LATHE_COLUMN_CATEGORY] = "a text",
                                         [LATHE_COLUMN_STRING] = "a text"};
    lathe_column *c = &plan->columns[column];
    if (plan->tolerate != NULL && plan->tolerate[column] != 0) {
        put_missing(c, row);
        plan->marks[row] |= plan->tolerate[column] & 1;
        return LATHE_OK;
    }
    return lathe_fail(err, LATHE_E_DATA, c->name,
                      "row %lld of column '%s' is '%.*s'; %s is expected, as in training: correct "
                      "the value, or leave it missing",
                      (long long)(row - plan->base) + 1, c->name,
                      (int)(value.len < 60 ? value.len : 60), value.ptr, wanted[c->type]);
}

static int32_t fail_number(lathe_plan *plan, int64_t column, int64_t row, double value,
                           lathe_error *err) {
    char text[LATHE_CELL_TEXT];
    const size_t len = lathe_print_number(value, text);
    return fail_text(plan, column, row, (lathe_str){text, (int64_t)len}, err);
}

/* Checks a place, and makes the row one of the batch. */
static int32_t check_place(lathe_plan *plan, int64_t column, int64_t *at, lathe_error *err) {
    const int64_t row = *at, n_rows = plan->raw.n_rows - plan->base;
    plan->flat_row = -1;
    if (column >= 0 && column < plan->raw.n_columns && row >= 0 && row < n_rows) {
        *at += plan->base;
        return LATHE_OK;
    }
    return lathe_fail(
        err, LATHE_E_SHAPE, NULL,
        "row %lld of column %lld is outside of the batch of %lld rows and %lld columns",
        (long long)row + 1, (long long)column + 1, (long long)n_rows,
        (long long)plan->raw.n_columns);
}

/* A code into a CATEGORY column. */
static void put_code(lathe_plan *plan, int64_t column, int64_t row, lathe_str value) {
    const int32_t code = lathe_schema_code(plan->schema, column, value);
    lathe_plan_unseen *unseen = plan->unseen[column];
    ((int32_t *)plan->columns[column].values)[row] = code;
    if (code != LATHE_CODE_UNSEEN || unseen->row >= 0)
        return;
    unseen->row = row;
    unseen->len = value.len;
    memcpy(unseen->text, value.ptr,
           value.len < (int64_t)sizeof unseen->text ? (size_t)value.len : sizeof unseen->text);
}

/* A printed number into a CATEGORY or STRING column; text belongs to the caller. */
static void put_printed(lathe_plan *plan, int64_t column, int64_t row,
                        const char text[LATHE_CELL_TEXT], size_t len) {
    lathe_column *c = &plan->columns[column];
    if (c->type == LATHE_COLUMN_CATEGORY) {
        put_code(plan, column, row, (lathe_str){text, (int64_t)len});
        return;
    }
    memcpy(plan->printed[column][row], text, len);
    ((lathe_str *)c->values)[row] = (lathe_str){plan->printed[column][row], (int64_t)len};
}

static void fill_column(lathe_column *c, int64_t first, int64_t n) {
    switch (c->type) {
    case LATHE_COLUMN_FLOAT64:
        for (int64_t i = first; i < first + n; i++)
            ((double *)c->values)[i] = (double)NAN;
        break;
    case LATHE_COLUMN_CATEGORY:
        for (int64_t i = first; i < first + n; i++)
            ((int32_t *)c->values)[i] = LATHE_CODE_MISSING;
        break;
    case LATHE_COLUMN_STRING:
        for (int64_t i = first; i < first + n; i++)
            ((lathe_str *)c->values)[i] = (lathe_str){NULL, 0};
        break;
    default:
        for (int64_t i = first; i < first + n; i++)
            ((int64_t *)c->values)[i] = LATHE_MISSING_INT;
    }
}

static void put_missing(lathe_column *c, int64_t row) {
    fill_column(c, row, 1);
}

/* Rows [first, first + n): every value missing, none marked, no category unseen. */
static void fill_missing(lathe_plan *plan, int64_t first, int64_t n) {
    memset(plan->marks + first, 0, (size_t)n);
    plan->flat_row = -1;
    for (int64_t c = 0; c < plan->raw.n_columns; c++) {
        if (plan->unseen[c] != NULL)
            plan->unseen[c]->row = -1;
        fill_column(&plan->columns[c], first, n);
    }
}

int32_t lathe_plan_begin(lathe_plan *plan, int64_t n, lathe_error *err) {
    if (n < 1 || n > plan->max_rows)
        return lathe_fail(err, LATHE_E_SHAPE, NULL, "%lld rows; 1 to %lld are taken at once",
                          (long long)n, (long long)plan->max_rows);
    plan->raw.n_rows = n;
    plan->base = 0;
    fill_missing(plan, 0, n);
    return LATHE_OK;
}

int32_t lathe_plan_append(lathe_plan *plan, int64_t n, int64_t *first, lathe_error *err) {
    const int64_t begin = plan->raw.n_rows;
    if (n < 1 || n > plan->max_rows - begin)
        return lathe_fail(err, LATHE_E_SHAPE, NULL,
                          "%lld rows; the batch of %lld has room for %lld more", (long long)n,
                          (long long)plan->max_rows, (long long)(plan->max_rows - begin));
    plan->raw.n_rows = begin + n;
    plan->base = *first = begin;
    fill_missing(plan, begin, n);
    return LATHE_OK;
}

/* Printed numbers move with their rows, and the texts that point to them follow. */
static void move_printed(lathe_plan *plan, int64_t column, int64_t from, int64_t to, int64_t n) {
    char(*printed)[LATHE_CELL_TEXT] = plan->printed[column];
    lathe_str *texts = plan->columns[column].values;
    for (int64_t i = 0; i < n; i++)
        if (texts[from + i].ptr == printed[from + i]) {
            memcpy(printed[to + i], printed[from + i], LATHE_CELL_TEXT);
            texts[from + i].ptr = printed[to + i];
        }
}

void lathe_plan_remove(lathe_plan *plan, int64_t first, int64_t n) {
    const int64_t after = plan->raw.n_rows - first - n;
    for (int64_t c = 0; c < plan->raw.n_columns; c++) {
        const size_t size = (size_t)lathe_value_size(plan->columns[c].type);
        char *values = plan->columns[c].values;
        if (plan->printed[c] != NULL)
            move_printed(plan, c, first + n, first, after);
        memmove(values + (size_t)first * size, values + (size_t)(first + n) * size,
                (size_t)after * size);
    }
    memmove(plan->marks + first, plan->marks + first + n, (size_t)after);
    plan->raw.n_rows -= n;
    plan->base = plan->raw.n_rows;
    plan->flat_row = -1;
}

int64_t lathe_plan_row_count(const lathe_plan *plan) {
    return plan->raw.n_rows;
}

int32_t lathe_plan_number(lathe_plan *plan, int64_t column, int64_t row, double value,
                          lathe_error *err) {
    char text[LATHE_CELL_TEXT];
    const int32_t rc = check_place(plan, column, &row, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_column *c = &plan->columns[column];
    if (c->type == LATHE_COLUMN_FLOAT64) {
        ((double *)c->values)[row] = value;
        return LATHE_OK;
    }
    if (isnan(value)) {
        put_missing(c, row);
        return LATHE_OK;
    }
    if (c->type == LATHE_COLUMN_CATEGORY || c->type == LATHE_COLUMN_STRING) {
        put_printed(plan, column, row, text, lathe_print_number(value, text));
        return LATHE_OK;
    }
    /* within int64 but for its smallest, which means missing */
    if (!(value > -9223372036854775808.0 && value < 9223372036854775808.0) || value != floor(value))
        return fail_number(plan, column, row, value, err);
    ((int64_t *)c->values)[row] = (int64_t)value;
    return LATHE_OK;
}

/* A whole row, the only one, all columns FLOAT64. */
static void put_row(lathe_plan *plan, const double *values) {
    const int64_t k = plan->raw.n_columns, row = plan->base;
    for (int64_t i = 0; i < k; i++)
        ((double *)plan->values[i])[row] = values[i];
    memcpy(plan->flat, values, (size_t)k * sizeof *values);
    plan->flat_row = row;
}

/* Row by row through all columns, all of them FLOAT64. */
static void put_cells(lathe_plan *plan, int64_t index, int64_t n, const double *values) {
    const int64_t k = plan->raw.n_columns;
    int64_t column = index % k, row = plan->base + index / k;
    for (int64_t i = 0; i < n; i++) {
        ((double *)plan->values[column])[row] = values[i];
        if (++column == k) {
            column = 0;
            row++;
        }
    }
}

int32_t lathe_plan_numbers(lathe_plan *plan, int64_t column, int64_t index, int64_t n,
                           const double *values, lathe_error *err) {
    const int64_t k = plan->raw.n_columns, n_rows = plan->raw.n_rows - plan->base;
    plan->flat_row = -1;
    if (column < 0 && plan->all_floats && index >= 0 && n <= n_rows * k - index) {
        if (n == k && n_rows == 1)
            put_row(plan, values);
        else
            put_cells(plan, index, n, values);
        return LATHE_OK;
    }
    if (column >= 0 && column < k && plan->columns[column].type == LATHE_COLUMN_FLOAT64 &&
        index >= 0 && n <= n_rows - index) {
        memcpy((double *)plan->columns[column].values + plan->base + index, values,
               (size_t)n * sizeof *values);
        return LATHE_OK;
    }
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++)
        rc = lathe_plan_number(plan, column >= 0 ? column : (index + i) % k,
                               column >= 0 ? index + i : (index + i) / k, values[i], err);
    return rc;
}

int32_t lathe_plan_integer(lathe_plan *plan, int64_t column, int64_t row, int64_t value,
                           lathe_error *err) {
    char text[LATHE_CELL_TEXT];
    const int32_t rc = check_place(plan, column, &row, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_column *c = &plan->columns[column];
    switch (c->type) {
    case LATHE_COLUMN_FLOAT64:
        ((double *)c->values)[row] = (double)value;
        return LATHE_OK;
    case LATHE_COLUMN_CATEGORY:
    case LATHE_COLUMN_STRING:
        put_printed(plan, column, row, text, lathe_print_int(value, text));
        return LATHE_OK;
    default:
        if (value == LATHE_MISSING_INT)
            return fail_number(plan, column, row, (double)value, err);
        ((int64_t *)c->values)[row] = value;
        return LATHE_OK;
    }
}

static bool read_int(lathe_str text, int64_t *out) {
    double x;
    if (lathe_read_int(text, out))
        return *out != LATHE_MISSING_INT;
    if (!lathe_read_number(text, &x) ||
        !(x > -9223372036854775808.0 && x < 9223372036854775808.0) || x != floor(x))
        return false;
    *out = (int64_t)x;
    return true;
}

int32_t lathe_plan_text(lathe_plan *plan, int64_t column, int64_t row, lathe_str value,
                        lathe_error *err) {
    const int32_t rc = check_place(plan, column, &row, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_column *c = &plan->columns[column];
    if (c->type == LATHE_COLUMN_CATEGORY) {
        put_code(plan, column, row, value);
        return LATHE_OK;
    }
    if (c->type == LATHE_COLUMN_STRING) {
        ((lathe_str *)c->values)[row] = value;
        return LATHE_OK;
    }
    if (value.ptr == NULL || lathe_str_blank(value)) {
        put_missing(c, row);
        return LATHE_OK;
    }
    int64_t *whole = (int64_t *)c->values + row;
    const bool good = c->type == LATHE_COLUMN_FLOAT64
                          ? lathe_read_number(value, (double *)c->values + row)
                      : c->type == LATHE_COLUMN_INT64 ? read_int(value, whole)
                                                      : lathe_read_time(value, whole);
    return good ? LATHE_OK : fail_text(plan, column, row, value, err);
}
