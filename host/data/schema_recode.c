/* data/schema_recode.c: fitting the rows of any raw table to a schema. See schema.h. */
#include "base/error.h"
#include "data/frame_internal.h"
#include "data/schema.h"
#include "data/schema_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One column on its way. */
typedef struct recoding {
    const lathe_schema *schema;
    int64_t column; /* of the schema */
    const lathe_column *want;
    const lathe_column *have;
    int64_t n_rows;
    const int64_t *row_id;
} recoding;

static int32_t fail_value(const recoding *r, int64_t row, const char *expected, lathe_error *err) {
    char buf[LATHE_CELL_TEXT];
    lathe_str text = cell_text(r->have, row, buf);
    long long number = (long long)(r->row_id != NULL ? r->row_id[row] : row) + 1;
    if (text.ptr == NULL)
        return lathe_fail(
            err, LATHE_E_DATA, r->want->name,
            "row %lld of column '%s' has a value outside of its dictionary; %s is expected", number,
            r->want->name, expected);
    return lathe_fail(
        err, LATHE_E_DATA, r->want->name,
        "row %lld of column '%s' is '%.*s'; %s is expected, as in training: correct the "
        "value, or leave it empty",
        number, r->want->name, (int)(text.len < 60 ? text.len : 60), text.ptr, expected);
}

/* A text cell of CATEGORY or STRING: false where it is missing or blank. *unknown: it has no text
 * at all. */
static bool text_at(const lathe_column *c, int64_t row, lathe_str *text, bool *unknown) {
    *unknown = false;
    if (lathe_is_missing(c, row))
        return false;
    *text = cell_text(c, row, NULL); /* prints nothing for these types */
    *unknown = text->ptr == NULL;
    return *unknown || !lathe_str_blank(*text);
}

static bool is_text(const lathe_column *c) {
    return c->type == LATHE_COLUMN_CATEGORY || c->type == LATHE_COLUMN_STRING;
}

static int32_t to_float64(const recoding *r, double *out, lathe_error *err) {
    for (int64_t i = 0; i < r->n_rows; i++) {
        lathe_str text;
        bool unknown;
        out[i] = (double)NAN;
        if (lathe_is_numeric(r->have))
            out[i] = lathe_number_at(r->have, i, (double)NAN);
        else if (is_text(r->have) ? text_at(r->have, i, &text, &unknown) &&
                                        (unknown || !lathe_read_number(text, &out[i]))
                                  : !lathe_is_missing(r->have, i))
            return fail_value(r, i, "a number", err);
    }
    return LATHE_OK;
}

/* A whole number within int64, LATHE_MISSING_INT left out. */
static bool whole(double x, int64_t *out) {
    if (!(x > -9223372036854775808.0 && x < 9223372036854775808.0) || x != floor(x))
        return false;
    *out = (int64_t)x;
    return true;
}

static bool text_int(lathe_str text, int64_t *out) {
    double x;
    return (lathe_read_int(text, out) && *out != LATHE_MISSING_INT) ||
           (lathe_read_number(text, &x) && whole(x, out));
}

static int32_t to_int64(const recoding *r, int64_t *out, lathe_error *err) {
    const lathe_column *c = r->have;
    for (int64_t i = 0; i < r->n_rows; i++) {
        lathe_str text;
        bool unknown, good;
        out[i] = LATHE_MISSING_INT;
        if (lathe_is_missing(c, i))
            continue;
        if (c->type == LATHE_COLUMN_INT64) {
            out[i] = ((const int64_t *)c->values)[i];
            continue;
        }
        if (is_text(c))
            good = !text_at(c, i, &text, &unknown) || (!unknown && text_int(text, &out[i]));
        else
            good =
                c->type == LATHE_COLUMN_FLOAT64 && whole(((const double *)c->values)[i], &out[i]);
        if (!good)
            return fail_value(r, i, "a whole number", err);
    }
    return LATHE_OK;
}

static int32_t to_timestamp(const recoding *r, int64_t *out, lathe_error *err) {
    const lathe_column *c = r->have;
    for (int64_t i = 0; i < r->n_rows; i++) {
        lathe_str text;
        bool unknown, good = false;
        out[i] = LATHE_MISSING_INT;
        if (lathe_is_missing(c, i))
            continue;
        if (c->type == LATHE_COLUMN_TIMESTAMP || c->type == LATHE_COLUMN_INT64) {
            out[i] = ((const int64_t *)c->values)[i];
            continue;
        }
        if (is_text(c))
            good = !text_at(c, i, &text, &unknown) || (!unknown && lathe_read_time(text, &out[i]));
        if (!good)
            return fail_value(r, i, "a time such as 2025-01-31 or 2025-01-31T12:00:00Z", err);
    }
    return LATHE_OK;
}

static int32_t to_category(const recoding *r, int32_t *out, lathe_error *err) {
    const lathe_column *c = r->have;
    /* One look a value of the dictionary, or one a row where the rows are fewer. */
    if (c->type == LATHE_COLUMN_CATEGORY && c->dict_size <= r->n_rows) {
        const int32_t *codes = c->values;
        int32_t *map = lathe_aligned_new(c->dict_size, sizeof *map);
        if (map == NULL)
            return lathe_fail_memory(err, r->want->name, "its codes");
        for (int64_t k = 0; k < c->dict_size; k++)
            map[k] = lathe_schema_code(r->schema, r->column, c->dict[k]);
        for (int64_t i = 0; i < r->n_rows; i++)
            out[i] = codes[i] == LATHE_CODE_MISSING             ? LATHE_CODE_MISSING
                     : codes[i] >= 0 && codes[i] < c->dict_size ? map[codes[i]]
                                                                : LATHE_CODE_UNSEEN;
        free(map);
        return LATHE_OK;
    }
    for (int64_t i = 0; i < r->n_rows; i++) {
        char buf[LATHE_CELL_TEXT];
        lathe_str text = cell_text(c, i, buf);
        out[i] = text.ptr == NULL && !lathe_is_missing(c, i)
                     ? LATHE_CODE_UNSEEN
                     : lathe_schema_code(r->schema, r->column, text);
    }
    return LATHE_OK;
}

static int32_t to_string(const recoding *r, column_data *d, lathe_error *err) {
    lathe_str *out = lathe_blob_data(d->values);
    d->heap = heap_new();
    if (d->heap == NULL)
        return lathe_fail_memory(err, r->want->name, "its texts");
    for (int64_t i = 0; i < r->n_rows; i++) {
        char buf[LATHE_CELL_TEXT];
        lathe_str text = cell_text(r->have, i, buf);
        if (text.ptr == NULL && !lathe_is_missing(r->have, i))
            return fail_value(r, i, "a text", err);
        out[i] = (lathe_str){NULL, 0};
        if (text.ptr != NULL && (out[i] = heap_copy(d->heap, text)).ptr == NULL)
            return lathe_fail_memory(err, r->want->name, "its texts");
    }
    return LATHE_OK;
}

static int32_t recode_column(const recoding *r, column_data **out, lathe_error *err) {
    column_data *d = column_new(r->want->type, r->n_rows);
    if (d == NULL)
        return lathe_fail_memory(err, r->want->name, "its values");
    void *values = lathe_blob_data(d->values);
    int32_t code = LATHE_OK;
    switch (r->want->type) {
    case LATHE_COLUMN_FLOAT64:
        code = to_float64(r, values, err);
        break;
    case LATHE_COLUMN_INT64:
        code = to_int64(r, values, err);
        break;
    case LATHE_COLUMN_TIMESTAMP:
        code = to_timestamp(r, values, err);
        break;
    case LATHE_COLUMN_CATEGORY:
        d->dict = lathe_blob_ref(r->schema->dicts[r->column]);
        d->dict_size = r->want->dict_size;
        code = to_category(r, values, err);
        break;
    default:
        code = to_string(r, d, err);
    }
    if (code != LATHE_OK) {
        column_unref(d);
        return code;
    }
    *out = d;
    return LATHE_OK;
}

int32_t lathe_schema_recode(const lathe_schema *schema, const lathe_table *table,
                            const int64_t *row_id, lathe_frame **frame, lathe_error *err) {
    lathe_frame *f = NULL;
    int64_t at = -1;
    *frame = NULL;
    int32_t code = lathe_frame_new(table->n_rows, row_id, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < schema->table.n_columns; i++) {
        const lathe_column *want = &schema->columns[i];
        column_data *d = NULL;
        at++; /* usually the columns come in the same order */
        if (at >= table->n_columns || strcmp(table->columns[at].name, want->name) != 0)
            code = lathe_table_need(table, want->name, "the model's column", &at, err);
        if (code != LATHE_OK)
            break;
        recoding r = {schema, i, want, &table->columns[at], table->n_rows, row_id};
        if (lathe_value_size(r.have->type) == 0 || (r.n_rows > 0 && r.have->values == NULL))
            code = lathe_fail(err, LATHE_E_SHAPE, want->name,
                              "the column has an unknown type or no values");
        else
            code = recode_column(&r, &d, err);
        if (code == LATHE_OK)
            code = frame_push(f, want->name, d, err);
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *frame = f;
    return LATHE_OK;
}
