/* data/frame_convert.c: columns of another type, smaller dictionaries. See frame.h.
 *
 * A column may be shared with other frames, so it is replaced, never changed.
 */
#include "data/frame.h"
#include "data/frame_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- to a category ---- */

lathe_str cell_text(const lathe_column *c, int64_t row, char buf[LATHE_CELL_TEXT]) {
    size_t len;
    if (lathe_is_missing(c, row))
        return (lathe_str){NULL, 0};
    switch (c->type) {
    case LATHE_COLUMN_FLOAT64:
        len = lathe_print_number(((const double *)c->values)[row], buf);
        break;
    case LATHE_COLUMN_INT64:
        len = lathe_print_int(((const int64_t *)c->values)[row], buf);
        break;
    case LATHE_COLUMN_TIMESTAMP:
        len = lathe_print_time(((const int64_t *)c->values)[row], buf);
        break;
    case LATHE_COLUMN_CATEGORY: {
        int32_t code = ((const int32_t *)c->values)[row];
        return code >= 0 && code < c->dict_size ? c->dict[code] : (lathe_str){NULL, 0};
    }
    default:
        return ((const lathe_str *)c->values)[row];
    }
    return (lathe_str){buf, (int64_t)len};
}

/* Numbers the texts of a column that is no category. A run of one number is looked up once. */
static int32_t number_texts(const lathe_column *c, int64_t n, lathe_text_map *map,
                            string_heap *heap, int32_t *codes) {
    char buf[LATHE_CELL_TEXT];
    for (int64_t i = 0; i < n; i++) {
        lathe_str text = cell_text(c, i, buf);
        if (text.ptr == NULL) {
            codes[i] = LATHE_CODE_MISSING;
            continue;
        }
        codes[i] = lathe_text_map_find(map, text);
        if (codes[i] >= 0)
            continue;
        lathe_str copy = heap_copy(heap, text);
        if (copy.ptr == NULL || (codes[i] = lathe_text_map_add(map, copy)) < 0)
            return LATHE_E_MEMORY;
    }
    return LATHE_OK;
}

static int by_bytes(const void *a, const void *b, void *keys) {
    const lathe_str *k = keys;
    return lathe_str_compare(k[*(const int32_t *)a], k[*(const int32_t *)b]);
}

/* The dictionary of the map's keys in the order of their bytes; renames codes. */
static int32_t sort_dict(const lathe_text_map *map, column_data *d, int64_t n_rows) {
    int64_t n = map->n;
    int32_t *order = lathe_aligned_new(n, sizeof *order),
            *rank = lathe_aligned_new(n, sizeof *rank);
    lathe_str *sorted = lathe_aligned_new(n, sizeof *sorted);
    int32_t code = LATHE_E_MEMORY;
    if (order == NULL || rank == NULL || sorted == NULL)
        goto done;
    for (int64_t i = 0; i < n; i++)
        order[i] = (int32_t)i;
    if (n > 0)
        qsort_r(order, (size_t)n, sizeof *order, by_bytes, map->keys);
    for (int64_t i = 0; i < n; i++) {
        rank[order[i]] = (int32_t)i;
        sorted[i] = map->keys[order[i]];
    }
    d->dict = dict_blob(sorted, n);
    d->dict_size = n;
    if (d->dict == NULL)
        goto done;
    int32_t *codes = lathe_blob_data(d->values);
    for (int64_t i = 0; i < n_rows; i++)
        codes[i] = codes[i] >= 0 ? rank[codes[i]] : codes[i];
    code = LATHE_OK;
done:
    free(order);
    free(rank);
    free(sorted);
    return code;
}

int32_t lathe_frame_to_category(lathe_frame *frame, int64_t column, lathe_error *err) {
    int32_t code = frame_check(frame, column, err);
    if (code != LATHE_OK || frame->view[column].type == LATHE_COLUMN_CATEGORY)
        return code;
    lathe_text_map map = {0};
    string_heap *heap = heap_new();
    column_data *d = column_new(LATHE_COLUMN_CATEGORY, frame->n_rows);
    code = heap == NULL || d == NULL ? LATHE_E_MEMORY : LATHE_OK;
    if (code == LATHE_OK)
        code = number_texts(&frame->view[column], frame->n_rows, &map, heap,
                            lathe_blob_data(d->values));
    if (code == LATHE_OK)
        code = sort_dict(&map, d, frame->n_rows);
    if (code == LATHE_OK)
        frame_replace(frame, column, d);
    else
        column_unref(d);
    lathe_text_map_free(&map);
    heap_unref(heap);
    return code == LATHE_OK ? LATHE_OK
                            : lathe_fail_memory(err, frame->columns[column].name, "the categories");
}

/* ---- to numbers ---- */

static int32_t fail_number(const lathe_frame *f, int64_t column, int64_t row, lathe_str text,
                           lathe_error *err) {
    const int64_t *ids = lathe_blob_data(f->row_id);
    if (text.ptr == NULL)
        return lathe_fail(
            err, LATHE_E_DATA, f->columns[column].name,
            "row %lld has a value outside of the dictionary, so no number can be read from it",
            (long long)ids[row] + 1);
    return lathe_fail(
        err, LATHE_E_DATA, f->columns[column].name,
        "row %lld has '%.*s', which is no number; correct the value, or declare it as missing "
        "in the source",
        (long long)ids[row] + 1, (int)(text.len < 60 ? text.len : 60), text.ptr);
}

static bool text_number(lathe_str text, double *x) {
    *x = (double)NAN;
    return text.ptr == NULL || lathe_str_blank(text) || lathe_read_number(text, x);
}

static int32_t categories_to_float64(const lathe_frame *f, int64_t column, double *out,
                                     lathe_error *err) {
    const lathe_column *c = &f->view[column];
    const int32_t *codes = c->values;
    double *numbers = lathe_aligned_new(c->dict_size, sizeof *numbers);
    char *ok = lathe_aligned_new(c->dict_size, 1);
    int32_t code = LATHE_OK;
    if (numbers == NULL || ok == NULL)
        code = lathe_fail_memory(err, c->name, "the numbers");
    for (int64_t k = 0; code == LATHE_OK && k < c->dict_size; k++)
        ok[k] = text_number(c->dict[k], &numbers[k]);
    for (int64_t i = 0; code == LATHE_OK && i < f->n_rows; i++) {
        if (codes[i] == LATHE_CODE_MISSING)
            out[i] = (double)NAN;
        else if (codes[i] < 0 || !ok[codes[i]])
            code = fail_number(f, column, i,
                               codes[i] < 0 ? (lathe_str){NULL, 0} : c->dict[codes[i]], err);
        else
            out[i] = numbers[codes[i]];
    }
    free(numbers);
    free(ok);
    return code;
}

int32_t lathe_frame_to_float64(lathe_frame *frame, int64_t column, lathe_error *err) {
    int32_t code = frame_check(frame, column, err);
    if (code != LATHE_OK)
        return code;
    const lathe_column *c = &frame->view[column];
    if (c->type == LATHE_COLUMN_FLOAT64)
        return LATHE_OK;
    if (c->type == LATHE_COLUMN_TIMESTAMP)
        return lathe_fail(err, LATHE_E_INVALID, c->name,
                          "the column holds timestamps, not numbers; use the transform date_parts");
    column_data *d = column_new(LATHE_COLUMN_FLOAT64, frame->n_rows);
    if (d == NULL)
        return lathe_fail_memory(err, c->name, "the numbers");
    double *out = lathe_blob_data(d->values);
    if (c->type == LATHE_COLUMN_CATEGORY)
        code = categories_to_float64(frame, column, out, err);
    for (int64_t i = 0; code == LATHE_OK && i < frame->n_rows; i++) {
        if (c->type == LATHE_COLUMN_INT64) {
            out[i] = lathe_number_at(c, i, (double)NAN);
        } else if (c->type == LATHE_COLUMN_STRING) {
            lathe_str text = ((const lathe_str *)c->values)[i];
            if (!text_number(text, &out[i]))
                code = fail_number(frame, column, i, text, err);
        }
    }
    if (code != LATHE_OK) {
        column_unref(d);
        return code;
    }
    frame_replace(frame, column, d);
    return LATHE_OK;
}

/* ---- freezing ---- */

static int32_t check_rows(const lathe_frame *f, const int64_t *rows, int64_t n, lathe_error *err) {
    for (int64_t i = 0; rows != NULL && i < n; i++) {
        if (rows[i] < 0 || rows[i] >= f->n_rows)
            return lathe_fail(err, LATHE_E_INVALID, "frame", "there is no row %lld among %lld",
                              (long long)rows[i], (long long)f->n_rows);
    }
    return LATHE_OK;
}

/* Renames codes by `to` and takes the dictionary of the kept values. */
static int32_t rename_codes(lathe_frame *f, int64_t column, const int32_t *to,
                            const lathe_str *kept, int64_t n_kept) {
    const int32_t *codes = f->view[column].values;
    column_data *d = column_new(LATHE_COLUMN_CATEGORY, f->n_rows);
    if (d == NULL)
        return LATHE_E_MEMORY;
    d->dict = dict_blob(kept, n_kept);
    d->dict_size = n_kept;
    if (d->dict == NULL) {
        column_unref(d);
        return LATHE_E_MEMORY;
    }
    int32_t *out = lathe_blob_data(d->values);
    for (int64_t i = 0; i < f->n_rows; i++)
        out[i] = codes[i] >= 0 ? to[codes[i]] : codes[i];
    frame_replace(f, column, d);
    return LATHE_OK;
}

int32_t lathe_frame_freeze(lathe_frame *frame, int64_t column, const int64_t *rows, int64_t n,
                           lathe_error *err) {
    int32_t code = frame_check(frame, column, err);
    if (code == LATHE_OK)
        code = check_rows(frame, rows, n, err);
    if (code != LATHE_OK)
        return code;
    const lathe_column *c = &frame->view[column];
    if (c->type != LATHE_COLUMN_CATEGORY)
        return lathe_fail(err, LATHE_E_INVALID, c->name,
                          "the column is no category, so it has no dictionary to freeze");
    int32_t *to = lathe_aligned_zeroed(c->dict_size, sizeof *to);
    lathe_str *kept = lathe_aligned_new(c->dict_size, sizeof *kept);
    code = to == NULL || kept == NULL ? LATHE_E_MEMORY : LATHE_OK;
    if (code == LATHE_OK) {
        const int32_t *codes = c->values;
        int64_t n_rows = rows != NULL ? n : frame->n_rows, m = 0;
        for (int64_t i = 0; i < n_rows; i++) {
            int32_t k = codes[rows != NULL ? rows[i] : i];
            if (k >= 0)
                to[k] = 1;
        }
        for (int64_t k = 0; k < c->dict_size; k++) {
            if (to[k])
                kept[m] = c->dict[k];
            to[k] = to[k] ? (int32_t)m++ : LATHE_CODE_UNSEEN;
        }
        if (m < c->dict_size)
            code = rename_codes(frame, column, to, kept, m);
    }
    free(to);
    free(kept);
    return code == LATHE_OK ? LATHE_OK
                            : lathe_fail_memory(err, frame->columns[column].name, "the dictionary");
}

int32_t lathe_frame_freeze_all(lathe_frame *frame, const int64_t *rows, int64_t n,
                               lathe_error *err) {
    for (int64_t i = 0; i < frame->n_columns; i++) {
        if (frame->view[i].type != LATHE_COLUMN_CATEGORY)
            continue;
        int32_t code = lathe_frame_freeze(frame, i, rows, n, err);
        if (code != LATHE_OK)
            return code;
    }
    return LATHE_OK;
}
