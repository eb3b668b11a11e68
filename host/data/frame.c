/* data/frame.c: columns, frames from frames, and the column list. See frame.h. */
#include "data/frame.h"

#include "base/nearest.h"
#include "base/size.h"
#include "data/frame_internal.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((int64_t)1 << 18)

/* ---- strings ---- */

string_heap *heap_new(void) {
    string_heap *h = calloc(1, sizeof *h);
    if (h != NULL)
        atomic_init(&h->refs, 1);
    return h;
}

string_heap *heap_ref(string_heap *heap) {
    if (heap != NULL)
        atomic_fetch_add_explicit(&heap->refs, 1, memory_order_relaxed);
    return heap;
}

void heap_unref(string_heap *heap) {
    if (heap == NULL || atomic_fetch_sub_explicit(&heap->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int64_t i = 0; i < heap->n_chunks; i++)
        free(heap->chunks[i]);
    free(heap->chunks);
    free(heap);
}

lathe_str heap_copy(string_heap *heap, lathe_str text) {
    static const char empty[1];
    if (text.len == 0)
        return (lathe_str){empty, 0};
    if (heap->size - heap->used < text.len) {
        int64_t size = text.len > CHUNK ? text.len : CHUNK;
        char **chunks = realloc(heap->chunks, (size_t)(heap->n_chunks + 1) * sizeof *chunks);
        if (chunks == NULL)
            return (lathe_str){NULL, 0};
        heap->chunks = chunks;
        char *chunk = malloc((size_t)size);
        if (chunk == NULL)
            return (lathe_str){NULL, 0};
        chunks[heap->n_chunks++] = chunk;
        heap->size = size;
        heap->used = 0;
        heap->bytes += size;
    }
    char *to = heap->chunks[heap->n_chunks - 1] + heap->used;
    memcpy(to, text.ptr, (size_t)text.len);
    heap->used += text.len;
    return (lathe_str){to, text.len};
}

/* ---- columns ---- */

column_data *column_new(int32_t type, int64_t n_rows) {
    column_data *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    atomic_init(&d->refs, 1);
    d->type = type;
    d->values = lathe_blob_new(n_rows, (size_t)lathe_value_size(type));
    if (d->values == NULL) {
        free(d);
        return NULL;
    }
    return d;
}

static column_data *column_ref(column_data *data) {
    atomic_fetch_add_explicit(&data->refs, 1, memory_order_relaxed);
    return data;
}

void column_unref(column_data *data) {
    if (data == NULL || atomic_fetch_sub_explicit(&data->refs, 1, memory_order_acq_rel) != 1)
        return;
    lathe_blob_unref(data->values);
    lathe_blob_unref(data->dict);
    heap_unref(data->heap);
    free(data);
}

lathe_blob *dict_blob(const lathe_str *values, int64_t n) {
    int64_t bytes;
    if (!lathe_mul_i64(n, sizeof *values, &bytes))
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (!lathe_add_i64(bytes, values[i].len, &bytes))
            return NULL;
    }
    lathe_blob *blob = lathe_blob_new(bytes, 1);
    if (blob == NULL)
        return NULL;
    lathe_str *copies = lathe_blob_data(blob);
    char *to = (char *)(copies + n);
    for (int64_t i = 0; i < n; i++) {
        if (values[i].len > 0)
            memcpy(to, values[i].ptr, (size_t)values[i].len);
        copies[i] = (lathe_str){to, values[i].len};
        to += values[i].len;
    }
    return blob;
}

static int32_t check_column(const lathe_column *c, int64_t n_rows, lathe_error *err) {
    const char *name = c->name != NULL ? c->name : "?";
    if (lathe_value_size(c->type) == 0)
        return lathe_fail(err, LATHE_E_INVALID, name, "the column has the unknown type %d",
                          (int)c->type);
    if (n_rows > 0 && c->values == NULL)
        return lathe_fail(err, LATHE_E_SHAPE, name, "the column has no values for %lld rows",
                          (long long)n_rows);
    if (c->type != LATHE_COLUMN_CATEGORY)
        return LATHE_OK;
    if (c->dict_size < 0 || c->dict_size > INT32_MAX || (c->dict_size > 0 && c->dict == NULL))
        return lathe_fail(err, LATHE_E_INVALID, name,
                          "the column's dictionary of %lld values cannot be",
                          (long long)c->dict_size);
    for (int64_t i = 0; i < c->dict_size; i++) {
        if (c->dict[i].ptr == NULL || c->dict[i].len < 0)
            return lathe_fail(err, LATHE_E_INVALID, name, "value %lld of the dictionary is no text",
                              (long long)i);
    }
    const int32_t *codes = c->values;
    for (int64_t i = 0; i < n_rows; i++) {
        if (codes[i] < LATHE_CODE_UNSEEN || codes[i] >= c->dict_size)
            return lathe_fail(err, LATHE_E_DATA, name,
                              "row %lld has code %d, outside of the dictionary of %lld values",
                              (long long)i + 1, (int)codes[i], (long long)c->dict_size);
    }
    return LATHE_OK;
}

int32_t column_copy(const lathe_column *from, int64_t n_rows, column_data **out, lathe_error *err) {
    *out = NULL;
    int32_t code = check_column(from, n_rows, err);
    if (code != LATHE_OK)
        return code;
    column_data *d = column_new(from->type, n_rows);
    if (d == NULL)
        return lathe_fail_memory(err, from->name, "the column");
    if (from->type == LATHE_COLUMN_STRING) {
        const lathe_str *texts = from->values;
        lathe_str *copies = lathe_blob_data(d->values);
        d->heap = heap_new();
        for (int64_t i = 0; i < n_rows && d->heap != NULL; i++) {
            copies[i] = (lathe_str){NULL, 0};
            if (texts[i].ptr != NULL && texts[i].len >= 0 &&
                (copies[i] = heap_copy(d->heap, texts[i])).ptr == NULL) {
                heap_unref(d->heap);
                d->heap = NULL;
            }
        }
        if (d->heap == NULL)
            goto fail;
    } else if (n_rows > 0) {
        memcpy(lathe_blob_data(d->values), from->values,
               (size_t)n_rows * (size_t)lathe_value_size(from->type));
    }
    if (from->type == LATHE_COLUMN_CATEGORY) {
        d->dict = dict_blob(from->dict, from->dict_size);
        d->dict_size = from->dict_size;
        if (d->dict == NULL)
            goto fail;
    }
    *out = d;
    return LATHE_OK;
fail:
    column_unref(d);
    return lathe_fail_memory(err, from->name, "the column's texts");
}

/* ---- frames ---- */

static void frame_view(lathe_frame *f, int64_t column) {
    const column_data *d = f->columns[column].data;
    f->view[column] = (lathe_column){.name = f->columns[column].name,
                                     .type = d->type,
                                     .values = lathe_blob_data(d->values),
                                     .dict = lathe_blob_data(d->dict),
                                     .dict_size = d->dict_size};
}

int32_t frame_alloc(int64_t n_rows, lathe_blob *row_id, int64_t room, lathe_frame **frame,
                    lathe_error *err) {
    *frame = NULL;
    if (n_rows < 0)
        return lathe_fail(err, LATHE_E_SHAPE, "frame", "%lld rows: negative", (long long)n_rows);
    lathe_frame *f = calloc(1, sizeof *f);
    if (f == NULL)
        return lathe_fail_memory(err, "frame", "a table");
    f->finished = true;
    f->n_rows = n_rows;
    f->row_id = row_id != NULL ? lathe_blob_ref(row_id) : lathe_blob_new(n_rows, sizeof(int64_t));
    f->columns = calloc((size_t)room + 1, sizeof *f->columns);
    f->view = calloc((size_t)room + 1, sizeof *f->view);
    if (f->row_id == NULL || f->columns == NULL || f->view == NULL) {
        lathe_frame_free(f);
        return lathe_fail_memory(err, "frame", "a table");
    }
    int64_t *ids = lathe_blob_data(f->row_id);
    for (int64_t i = 0; row_id == NULL && i < n_rows; i++)
        ids[i] = i;
    f->table = (lathe_table){n_rows, 0, f->view};
    *frame = f;
    return LATHE_OK;
}

int32_t frame_push(lathe_frame *f, const char *name, column_data *data, lathe_error *err) {
    size_t n = (size_t)f->n_columns;
    frame_column *columns = realloc(f->columns, (n + 2) * sizeof *columns);
    if (columns != NULL)
        f->columns = columns;
    lathe_column *view = realloc(f->view, (n + 2) * sizeof *view);
    if (view != NULL)
        f->view = view;
    char *copy = strdup(name);
    if (columns == NULL || view == NULL || copy == NULL) {
        free(copy);
        column_unref(data);
        f->table.columns = f->view;
        return lathe_fail_memory(err, name, "a column");
    }
    f->columns[n] = (frame_column){copy, data};
    frame_view(f, f->n_columns++);
    f->table.columns = f->view;
    f->table.n_columns = f->n_columns;
    return LATHE_OK;
}

void frame_replace(lathe_frame *f, int64_t column, column_data *data) {
    column_unref(f->columns[column].data);
    f->columns[column].data = data;
    frame_view(f, column);
}

int32_t frame_check(const lathe_frame *f, int64_t column, lathe_error *err) {
    if (!f->finished)
        return lathe_fail(err, LATHE_E_STATE, "frame",
                          "the table is still being read; finish it first");
    if (column < 0 || column >= f->n_columns)
        return lathe_fail(err, LATHE_E_INVALID, "frame", "there is no column %lld among %lld",
                          (long long)column, (long long)f->n_columns);
    return LATHE_OK;
}

/* Is the frame finished at all? */
static int32_t check_finished(const lathe_frame *f, lathe_error *err) {
    return f->finished ? LATHE_OK
                       : lathe_fail(err, LATHE_E_STATE, "frame",
                                    "the table is still being read; finish it first");
}

void lathe_frame_free(lathe_frame *frame) {
    if (frame == NULL)
        return;
    frame_builders_free(frame);
    for (int64_t i = 0; i < frame->n_columns; i++) {
        free(frame->columns[i].name);
        column_unref(frame->columns[i].data);
    }
    lathe_blob_unref(frame->row_id);
    free(frame->columns);
    free(frame->view);
    free(frame);
}

int32_t lathe_frame_new(int64_t n_rows, const int64_t *row_id, lathe_frame **frame,
                        lathe_error *err) {
    int32_t code = frame_alloc(n_rows, NULL, 0, frame, err);
    if (code == LATHE_OK && row_id != NULL && n_rows > 0)
        memcpy(lathe_blob_data((*frame)->row_id), row_id, (size_t)n_rows * sizeof *row_id);
    return code;
}

int32_t lathe_frame_copy_table(const lathe_table *table, const int64_t *row_id, lathe_frame **frame,
                               lathe_error *err) {
    lathe_frame *f;
    *frame = NULL;
    int32_t code = lathe_frame_new(table->n_rows, row_id, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < table->n_columns; i++)
        code = lathe_frame_add_column(f, &table->columns[i], err);
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *frame = f;
    return LATHE_OK;
}

/* ---- reading ---- */

const lathe_table *lathe_frame_table(const lathe_frame *frame) {
    return frame->finished ? &frame->table : NULL;
}

int64_t lathe_frame_rows(const lathe_frame *frame) {
    return frame->n_rows;
}

int64_t lathe_frame_columns(const lathe_frame *frame) {
    return frame->n_columns;
}

const int64_t *lathe_frame_row_id(const lathe_frame *frame) {
    return lathe_blob_data(frame->row_id);
}

int64_t lathe_frame_find(const lathe_frame *frame, const char *name) {
    for (int64_t i = 0; i < frame->n_columns; i++) {
        if (strcmp(frame->columns[i].name, name) == 0)
            return i;
    }
    return -1;
}

int64_t lathe_table_find(const lathe_table *table, const char *name) {
    for (int64_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return i;
    }
    return -1;
}

int32_t lathe_table_need(const lathe_table *table, const char *name, const char *what,
                         int64_t *column, lathe_error *err) {
    *column = lathe_table_find(table, name);
    if (*column >= 0)
        return LATHE_OK;
    const char *near = NULL;
    const char **names = malloc(((size_t)table->n_columns + 1) * sizeof *names);
    if (names != NULL) {
        for (int64_t i = 0; i < table->n_columns; i++)
            names[i] = table->columns[i].name;
        near = lathe_nearest(name, names, (size_t)table->n_columns);
    }
    free(names);
    if (near != NULL)
        return lathe_fail(err, LATHE_E_NOT_FOUND, name,
                          "%s '%s' is not in the data; did you mean '%s'?", what, name, near);
    return lathe_fail(err, LATHE_E_NOT_FOUND, name,
                      "%s '%s' is not among the %lld columns of the data", what, name,
                      (long long)table->n_columns);
}

int64_t lathe_frame_bytes(const lathe_frame *frame) {
    int64_t bytes = lathe_blob_bytes(frame->row_id) + (int64_t)sizeof *frame;
    for (int64_t i = 0; i < frame->n_columns; i++) {
        const column_data *d = frame->columns[i].data;
        bytes += lathe_blob_bytes(d->values) + lathe_blob_bytes(d->dict) +
                 (d->heap != NULL ? d->heap->bytes : 0);
    }
    return bytes;
}

/* ---- frames from frames ---- */

int32_t lathe_frame_select(const lathe_frame *frame, const int64_t *columns, int64_t n,
                           lathe_frame **out, lathe_error *err) {
    lathe_frame *f = NULL;
    *out = NULL;
    int32_t code = check_finished(frame, err);
    if (code == LATHE_OK)
        code = frame_alloc(frame->n_rows, frame->row_id, n, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < n; i++) {
        code = frame_check(frame, columns[i], err);
        if (code == LATHE_OK)
            code = lathe_frame_share_column(f, frame, columns[i], NULL, err);
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *out = f;
    return LATHE_OK;
}

int32_t lathe_frame_clone(const lathe_frame *frame, lathe_frame **out, lathe_error *err) {
    lathe_frame *f = NULL;
    *out = NULL;
    int32_t code = check_finished(frame, err);
    if (code == LATHE_OK)
        code = frame_alloc(frame->n_rows, frame->row_id, frame->n_columns, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < frame->n_columns; i++)
        code = frame_push(f, frame->columns[i].name, column_ref(frame->columns[i].data), err);
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *out = f;
    return LATHE_OK;
}

/* Values of the chosen rows; dictionary and bytes are shared. */
static column_data *take_column(const column_data *from, const int64_t *rows, int64_t n) {
    column_data *d = column_new(from->type, n);
    if (d == NULL)
        return NULL;
    d->dict = lathe_blob_ref(from->dict);
    d->dict_size = from->dict_size;
    d->heap = heap_ref(from->heap);
    d->borrowed = from->borrowed;
    if (from->type == LATHE_COLUMN_CATEGORY) {
        const int32_t *v = lathe_blob_data(from->values);
        int32_t *to = lathe_blob_data(d->values);
        for (int64_t i = 0; i < n; i++)
            to[i] = v[rows[i]];
    } else if (from->type == LATHE_COLUMN_STRING) {
        const lathe_str *v = lathe_blob_data(from->values);
        lathe_str *to = lathe_blob_data(d->values);
        for (int64_t i = 0; i < n; i++)
            to[i] = v[rows[i]];
    } else { /* eight bytes each: int64_t moves a double's bits as they are */
        const char *v = lathe_blob_data(from->values);
        char *to = lathe_blob_data(d->values);
        for (int64_t i = 0; i < n; i++)
            memcpy(to + 8 * i, v + 8 * rows[i], 8);
    }
    return d;
}

int32_t lathe_frame_take(const lathe_frame *frame, const int64_t *rows, int64_t n,
                         lathe_frame **out, lathe_error *err) {
    lathe_frame *f = NULL;
    *out = NULL;
    int32_t code = check_finished(frame, err);
    for (int64_t i = 0; code == LATHE_OK && i < n; i++) {
        if (rows[i] < 0 || rows[i] >= frame->n_rows)
            code = lathe_fail(err, LATHE_E_INVALID, "frame", "there is no row %lld among %lld",
                              (long long)rows[i], (long long)frame->n_rows);
    }
    if (code == LATHE_OK)
        code = frame_alloc(n, NULL, frame->n_columns, &f, err);
    if (code != LATHE_OK)
        return code;
    const int64_t *from = lathe_blob_data(frame->row_id);
    int64_t *to = lathe_blob_data(f->row_id);
    for (int64_t i = 0; i < n; i++)
        to[i] = from[rows[i]];
    for (int64_t c = 0; code == LATHE_OK && c < frame->n_columns; c++) {
        column_data *d = take_column(frame->columns[c].data, rows, n);
        code = d != NULL ? frame_push(f, frame->columns[c].name, d, err)
                         : lathe_fail_memory(err, frame->columns[c].name, "the chosen rows");
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *out = f;
    return LATHE_OK;
}

int32_t lathe_frame_drop_missing(const lathe_frame *frame, int64_t column, lathe_frame **out,
                                 int64_t *dropped, lathe_error *err) {
    *out = NULL;
    int32_t code = frame_check(frame, column, err);
    if (code != LATHE_OK)
        return code;
    int64_t *rows = lathe_aligned_new(frame->n_rows, sizeof *rows), n = 0;
    if (rows == NULL)
        return lathe_fail_memory(err, "frame", "the list of rows");
    for (int64_t i = 0; i < frame->n_rows; i++) {
        if (!lathe_is_missing(&frame->view[column], i))
            rows[n++] = i;
    }
    if (dropped != NULL)
        *dropped = frame->n_rows - n;
    code = n == frame->n_rows ? lathe_frame_clone(frame, out, err)
                              : lathe_frame_take(frame, rows, n, out, err);
    free(rows);
    return code;
}

/* ---- the column list ---- */

static int32_t check_new_name(const lathe_frame *f, const char *name, lathe_error *err) {
    if (name == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "frame", "a column needs a name");
    if (lathe_frame_find(f, name) >= 0)
        return lathe_fail(err, LATHE_E_EXISTS, name,
                          "there is a column '%s' already; names must differ: rename one", name);
    return LATHE_OK;
}

int32_t lathe_frame_add_column(lathe_frame *frame, const lathe_column *column, lathe_error *err) {
    column_data *d;
    int32_t code = check_finished(frame, err);
    if (code == LATHE_OK)
        code = check_new_name(frame, column->name, err);
    if (code == LATHE_OK)
        code = column_copy(column, frame->n_rows, &d, err);
    return code == LATHE_OK ? frame_push(frame, column->name, d, err) : code;
}

int32_t lathe_frame_share_column(lathe_frame *frame, const lathe_frame *from, int64_t column,
                                 const char *name, lathe_error *err) {
    int32_t code = check_finished(frame, err);
    if (code == LATHE_OK)
        code = frame_check(from, column, err);
    if (code != LATHE_OK)
        return code;
    if (frame->n_rows != from->n_rows)
        return lathe_fail(err, LATHE_E_SHAPE, from->columns[column].name,
                          "the column has %lld rows, the table %lld", (long long)from->n_rows,
                          (long long)frame->n_rows);
    if (name == NULL)
        name = from->columns[column].name;
    code = check_new_name(frame, name, err);
    return code == LATHE_OK ? frame_push(frame, name, column_ref(from->columns[column].data), err)
                            : code;
}

int32_t lathe_frame_drop_column(lathe_frame *frame, int64_t column, lathe_error *err) {
    int32_t code = frame_check(frame, column, err);
    if (code != LATHE_OK)
        return code;
    free(frame->columns[column].name);
    column_unref(frame->columns[column].data);
    size_t after = (size_t)(frame->n_columns - column - 1);
    memmove(&frame->columns[column], &frame->columns[column + 1], after * sizeof *frame->columns);
    memmove(&frame->view[column], &frame->view[column + 1], after * sizeof *frame->view);
    frame->table.n_columns = --frame->n_columns;
    return LATHE_OK;
}
