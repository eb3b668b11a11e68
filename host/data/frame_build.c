/* data/frame_build.c: frames that grow by blocks, outputs of transforms, concatenation. See
 * frame.h. */
#include "base/size.h"
#include "data/frame.h"
#include "data/frame_internal.h"

#include <stdlib.h>
#include <string.h>

void frame_builders_free(lathe_frame *frame) {
    for (int64_t i = 0; frame->builders != NULL && i < frame->n_columns; i++) {
        column_builder *b = &frame->builders[i];
        lathe_text_map_free(&b->map);
        heap_unref(b->heap);
        free(b->codes);
    }
    free(frame->builders);
    frame->builders = NULL;
}

int32_t lathe_frame_begin(const lathe_table *schema, lathe_frame **frame, lathe_error *err) {
    lathe_frame *f = NULL;
    *frame = NULL;
    if (schema->n_columns < 0 || (schema->n_columns > 0 && schema->columns == NULL))
        return lathe_fail(err, LATHE_E_SHAPE, "schema", "the schema has no columns to look at");
    int32_t code = frame_alloc(0, NULL, schema->n_columns, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < schema->n_columns; i++) {
        lathe_column c = schema->columns[i];
        c.values = NULL;
        c.dict = NULL;
        c.dict_size = 0;
        code = lathe_frame_add_column(f, &c, err);
    }
    if (code == LATHE_OK &&
        (f->builders = calloc((size_t)f->n_columns + 1, sizeof *f->builders)) == NULL)
        code = lathe_fail_memory(err, "frame", "a table");
    for (int64_t i = 0; code == LATHE_OK && i < f->n_columns; i++) {
        column_builder *b = &f->builders[i];
        int32_t type = f->columns[i].data->type;
        if ((type == LATHE_COLUMN_CATEGORY || type == LATHE_COLUMN_STRING) &&
            (b->heap = heap_new()) == NULL)
            code = lathe_fail_memory(err, "frame", "a table");
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    f->finished = false;
    *frame = f;
    return LATHE_OK;
}

/* ---- appending ---- */

static int32_t check_block(const lathe_frame *f, const lathe_table *block, lathe_error *err) {
    if (f->finished)
        return lathe_fail(err, LATHE_E_STATE, "frame",
                          "the table is finished; nothing can be appended");
    if (block->n_rows < 0 || block->n_columns != f->n_columns)
        return lathe_fail(
            err, LATHE_E_SHAPE, "block",
            "a block of %lld rows and %lld columns does not fit a table of %lld columns",
            (long long)block->n_rows, (long long)block->n_columns, (long long)f->n_columns);
    for (int64_t i = 0; i < f->n_columns; i++) {
        const lathe_column *c = &block->columns[i];
        const frame_column *own = &f->columns[i];
        if (c->name == NULL || strcmp(c->name, own->name) != 0 || c->type != own->data->type)
            return lathe_fail(
                err, LATHE_E_SHAPE, own->name,
                "the block's column %lld is '%s' of type %d; type %d of that name was begun with",
                (long long)i, c->name != NULL ? c->name : "", (int)c->type, (int)own->data->type);
        if (block->n_rows > 0 && c->values == NULL)
            return lathe_fail(err, LATHE_E_SHAPE, own->name, "the block's column has no values");
        if (c->type == LATHE_COLUMN_CATEGORY &&
            (c->dict_size < 0 || c->dict_size > INT32_MAX || (c->dict_size > 0 && c->dict == NULL)))
            return lathe_fail(err, LATHE_E_DATA, own->name,
                              "the block's dictionary of %lld values cannot be",
                              (long long)c->dict_size);
    }
    return LATHE_OK;
}

/* Codes and texts that break no rule. */
static int32_t check_cells(const lathe_frame *f, const lathe_column *c, int64_t n,
                           lathe_error *err) {
    if (c->type == LATHE_COLUMN_CATEGORY) {
        const int32_t *codes = c->values;
        for (int64_t i = 0; i < n; i++) {
            if (codes[i] < LATHE_CODE_UNSEEN || codes[i] >= c->dict_size)
                return lathe_fail(err, LATHE_E_DATA, c->name,
                                  "row %lld has code %d, outside of the dictionary of %lld values",
                                  (long long)(f->n_rows + i) + 1, (int)codes[i],
                                  (long long)c->dict_size);
        }
        for (int64_t i = 0; i < c->dict_size; i++) {
            if (c->dict[i].ptr == NULL || c->dict[i].len < 0)
                return lathe_fail(err, LATHE_E_DATA, c->name,
                                  "value %lld of the dictionary is no text", (long long)i);
        }
    } else if (c->type == LATHE_COLUMN_STRING) {
        const lathe_str *texts = c->values;
        for (int64_t i = 0; i < n; i++) {
            if (texts[i].ptr != NULL && texts[i].len < 0)
                return lathe_fail(err, LATHE_E_DATA, c->name,
                                  "the text of row %lld has length %lld",
                                  (long long)(f->n_rows + i) + 1, (long long)texts[i].len);
        }
    }
    return LATHE_OK;
}

/* A larger blob with the first `used` bytes of *blob. */
static bool grow_blob(lathe_blob **blob, int64_t count, size_t item, int64_t used) {
    lathe_blob *larger = lathe_blob_new(count, item);
    if (larger == NULL)
        return false;
    if (used > 0)
        memcpy(lathe_blob_data(larger), lathe_blob_data(*blob), (size_t)used * item);
    lathe_blob_unref(*blob);
    *blob = larger;
    return true;
}

/* Room for `rows` rows in all columns, at least doubling. */
static bool reserve_rows(lathe_frame *f, int64_t rows) {
    if (rows <= f->row_cap)
        return true; /* row_cap is 0 at first, so the blobs are always our own here */
    int64_t cap = f->row_cap > INT64_MAX / 4 || 2 * f->row_cap < rows ? rows : 2 * f->row_cap;
    for (int64_t i = 0; i < f->n_columns; i++) {
        column_data *d = f->columns[i].data;
        if (f->builders[i].cap < cap) {
            if (!grow_blob(&d->values, cap, (size_t)lathe_value_size(d->type), f->n_rows))
                return false;
            f->builders[i].cap = cap;
        }
    }
    if (!grow_blob(&f->row_id, cap, sizeof(int64_t), f->n_rows))
        return false;
    f->row_cap = cap;
    return true;
}

/* The code of `text`, which is added where it is new; -1: out of memory. */
static int32_t intern(column_builder *b, lathe_str text) {
    int64_t before = b->map.n;
    int32_t found = lathe_text_map_find(&b->map, text);
    if (found >= 0)
        return found;
    lathe_str copy = heap_copy(b->heap, text);
    if (copy.ptr == NULL)
        return -1;
    int32_t code = lathe_text_map_add(&b->map, copy);
    return code == before ? code : -1;
}

/* codes[i] = our code of the block's code i. A dictionary that only grew costs one comparison a
 * value. */
static bool map_codes(column_builder *b, const lathe_column *c) {
    if (c->dict_size > b->n_codes) {
        int32_t *codes = realloc(b->codes, (size_t)c->dict_size * sizeof *codes);
        if (codes == NULL)
            return false;
        b->codes = codes;
    }
    for (int64_t i = 0; i < c->dict_size; i++) {
        if (i < b->n_codes && lathe_str_equal(b->map.keys[b->codes[i]], c->dict[i]))
            continue;
        b->codes[i] = intern(b, c->dict[i]);
        if (b->codes[i] < 0) {
            b->n_codes = 0;
            return false;
        }
    }
    b->n_codes = c->dict_size;
    return true;
}

static bool append_column(lathe_frame *f, int64_t column, const lathe_column *c, int64_t n) {
    column_builder *b = &f->builders[column];
    void *values = lathe_blob_data(f->columns[column].data->values);
    if (c->type == LATHE_COLUMN_CATEGORY && !map_codes(b, c))
        return false;
    if (n == 0)
        return true;
    if (c->type == LATHE_COLUMN_CATEGORY) {
        const int32_t *codes = c->values;
        int32_t *to = (int32_t *)values + f->n_rows;
        for (int64_t i = 0; i < n; i++)
            to[i] = codes[i] >= 0 ? b->codes[codes[i]] : codes[i];
        return true;
    }
    if (c->type == LATHE_COLUMN_STRING) {
        const lathe_str *texts = c->values;
        lathe_str *to = (lathe_str *)values + f->n_rows;
        for (int64_t i = 0; i < n; i++) {
            to[i] = (lathe_str){NULL, 0};
            if (texts[i].ptr != NULL && (to[i] = heap_copy(b->heap, texts[i])).ptr == NULL)
                return false;
        }
        return true;
    }
    memcpy((char *)values + 8 * f->n_rows, c->values, 8 * (size_t)n);
    return true;
}

int32_t lathe_frame_append(lathe_frame *frame, const lathe_table *block, lathe_error *err) {
    int32_t code = check_block(frame, block, err);
    for (int64_t i = 0; code == LATHE_OK && i < frame->n_columns; i++)
        code = check_cells(frame, &block->columns[i], block->n_rows, err);
    if (code != LATHE_OK)
        return code;
    int64_t rows;
    if (!lathe_add_i64(frame->n_rows, block->n_rows, &rows) || !reserve_rows(frame, rows))
        return lathe_fail_memory(err, "frame", "the rows read");
    for (int64_t i = 0; i < frame->n_columns; i++) {
        if (!append_column(frame, i, &block->columns[i], block->n_rows))
            return lathe_fail_memory(err, frame->columns[i].name, "the rows read");
    }
    int64_t *ids = lathe_blob_data(frame->row_id);
    for (int64_t i = frame->n_rows; i < rows; i++)
        ids[i] = i;
    frame->n_rows = rows;
    return LATHE_OK;
}

/* ---- finishing ---- */

static int by_bytes(const void *a, const void *b, void *keys) {
    const lathe_str *k = keys;
    return lathe_str_compare(k[*(const int32_t *)a], k[*(const int32_t *)b]);
}

/* Sorts the dictionary by bytes and renames the codes. */
static bool finish_category(column_data *d, column_builder *b, int64_t n_rows) {
    int64_t n = b->map.n;
    int32_t *order = lathe_aligned_new(n, sizeof *order),
            *rank = lathe_aligned_new(n, sizeof *rank);
    lathe_str *sorted = lathe_aligned_new(n, sizeof *sorted);
    bool ok = order != NULL && rank != NULL && sorted != NULL;
    if (ok) {
        for (int64_t i = 0; i < n; i++)
            order[i] = (int32_t)i;
        qsort_r(order, (size_t)n, sizeof *order, by_bytes, b->map.keys);
        for (int64_t i = 0; i < n; i++) {
            rank[order[i]] = (int32_t)i;
            sorted[i] = b->map.keys[order[i]];
        }
        lathe_blob *dict = dict_blob(sorted, n);
        ok = dict != NULL;
        if (ok) {
            lathe_blob_unref(d->dict);
            d->dict = dict;
            d->dict_size = n;
            int32_t *codes = lathe_blob_data(d->values);
            for (int64_t i = 0; i < n_rows; i++)
                codes[i] = codes[i] >= 0 ? rank[codes[i]] : codes[i];
        }
    }
    free(order);
    free(rank);
    free(sorted);
    return ok;
}

/* Gives back room for rows that did not come, where that is a fifth or more. */
static void trim_values(lathe_blob **blob, int64_t rows, int64_t cap, size_t item) {
    if (cap - rows > cap / 5)
        (void)grow_blob(blob, rows, item, rows); /* the larger one stays where there is no memory */
}

int32_t lathe_frame_finish(lathe_frame *frame, lathe_error *err) {
    if (frame->finished)
        return lathe_fail(err, LATHE_E_STATE, "frame", "the table is finished already");
    for (int64_t i = 0; i < frame->n_columns; i++) {
        column_data *d = frame->columns[i].data;
        column_builder *b = &frame->builders[i];
        if (d->type == LATHE_COLUMN_CATEGORY && !finish_category(d, b, frame->n_rows))
            return lathe_fail_memory(err, frame->columns[i].name, "the dictionary");
        if (d->type == LATHE_COLUMN_STRING) {
            heap_unref(d->heap);
            d->heap = b->heap;
            b->heap = NULL;
        }
        trim_values(&d->values, frame->n_rows, b->cap, (size_t)lathe_value_size(d->type));
        frame->view[i] = (lathe_column){.name = frame->columns[i].name,
                                        .type = d->type,
                                        .values = lathe_blob_data(d->values),
                                        .dict = lathe_blob_data(d->dict),
                                        .dict_size = d->dict_size};
    }
    trim_values(&frame->row_id, frame->n_rows, frame->row_cap, sizeof(int64_t));
    frame_builders_free(frame);
    frame->table = (lathe_table){frame->n_rows, frame->n_columns, frame->view};
    frame->finished = true;
    return LATHE_OK;
}

/* ---- concatenation ---- */

/* Same dictionaries (or none) in all frames? Then codes stay as they are. */
static bool same_dicts(const lathe_frame *const *frames, int64_t n, int64_t column) {
    const column_data *first = frames[0]->columns[column].data;
    const lathe_str *a = lathe_blob_data(first->dict);
    for (int64_t k = 1; k < n; k++) {
        const column_data *d = frames[k]->columns[column].data;
        const lathe_str *b = lathe_blob_data(d->dict);
        if (d->dict_size != first->dict_size)
            return false;
        for (int64_t i = 0; d->dict != first->dict && i < d->dict_size; i++) {
            if (!lathe_str_equal(a[i], b[i]))
                return false;
        }
    }
    return true;
}

/* Puts the first frame's dictionary, in its order and with its codes, in place of the merged and
 * sorted one. */
static void keep_dict(lathe_frame *f, const lathe_frame *const *frames, int64_t n, int64_t column) {
    column_data *d = f->columns[column].data;
    const column_data *first = frames[0]->columns[column].data;
    int32_t *to = lathe_blob_data(d->values);
    for (int64_t k = 0; k < n; k++) {
        const int32_t *codes = lathe_blob_data(frames[k]->columns[column].data->values);
        if (frames[k]->n_rows > 0)
            memcpy(to, codes, (size_t)frames[k]->n_rows * sizeof *to);
        to += frames[k]->n_rows;
    }
    lathe_blob_unref(d->dict);
    d->dict = lathe_blob_ref(first->dict);
    d->dict_size = first->dict_size;
    f->view[column].dict = lathe_blob_data(d->dict);
    f->view[column].dict_size = d->dict_size;
}

int32_t lathe_frame_concat(const lathe_frame *const *frames, int64_t n, lathe_frame **out,
                           lathe_error *err) {
    lathe_frame *f = NULL;
    *out = NULL;
    if (n < 1)
        return lathe_fail(err, LATHE_E_INVALID, "concat", "at least one table is needed");
    for (int64_t k = 0; k < n; k++) {
        if (!frames[k]->finished)
            return lathe_fail(err, LATHE_E_STATE, "concat", "table %lld is still being read",
                              (long long)k);
    }
    int32_t code = lathe_frame_begin(&frames[0]->table, &f, err);
    for (int64_t k = 0; code == LATHE_OK && k < n; k++) {
        int64_t at = f->n_rows;
        code = lathe_frame_append(f, &frames[k]->table, err);
        if (code == LATHE_OK && frames[k]->n_rows > 0)
            memcpy((int64_t *)lathe_blob_data(f->row_id) + at, lathe_blob_data(frames[k]->row_id),
                   (size_t)frames[k]->n_rows * sizeof(int64_t));
    }
    if (code == LATHE_OK)
        code = lathe_frame_finish(f, err);
    for (int64_t i = 0; code == LATHE_OK && i < f->n_columns; i++) {
        if (f->columns[i].data->type == LATHE_COLUMN_CATEGORY && same_dicts(frames, n, i))
            keep_dict(f, frames, n, i);
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *out = f;
    return LATHE_OK;
}

/* ---- outputs of transforms ---- */

static int32_t fresh_column(const lathe_field *field, int64_t n_rows, column_data **out,
                            lathe_error *err) {
    lathe_column empty = {.name = field->name,
                          .type = field->type,
                          .dict = field->dict,
                          .dict_size = field->type == LATHE_COLUMN_CATEGORY ? field->dict_size : 0};
    column_data *d;
    int32_t code = column_copy(&empty, 0, &d, err); /* checks the type, copies the dictionary */
    if (code != LATHE_OK)
        return code;
    size_t item = (size_t)lathe_value_size(field->type);
    lathe_blob *values = lathe_blob_new(n_rows, item);
    if (values == NULL) {
        column_unref(d);
        return lathe_fail_memory(err, field->name, "the output of a transform");
    }
    memset(lathe_blob_data(values), 0, (size_t)n_rows * item);
    lathe_blob_unref(d->values);
    d->values = values;
    d->borrowed = field->type == LATHE_COLUMN_STRING;
    *out = d;
    return LATHE_OK;
}

int32_t lathe_frame_for_fields(const lathe_frame *in, const lathe_field *fields, int64_t n_fields,
                               lathe_frame **frame, lathe_error *err) {
    lathe_frame *f = NULL;
    *frame = NULL;
    if (!in->finished)
        return lathe_fail(err, LATHE_E_STATE, "frame",
                          "the table is still being read; finish it first");
    int32_t code = frame_alloc(in->n_rows, in->row_id, n_fields, &f, err);
    for (int64_t i = 0; code == LATHE_OK && i < n_fields; i++) {
        const lathe_field *field = &fields[i];
        column_data *d = NULL;
        if (field->name == NULL || lathe_frame_find(f, field->name) >= 0) {
            code = lathe_fail(err, LATHE_E_INVALID, field->name != NULL ? field->name : "transform",
                              "output column %lld needs a name of its own", (long long)i);
        } else if (field->source >= 0) {
            code = lathe_frame_share_column(f, in, field->source, field->name, err);
        } else {
            code = fresh_column(field, in->n_rows, &d, err);
            if (code == LATHE_OK)
                code = frame_push(f, field->name, d, err);
        }
    }
    if (code != LATHE_OK) {
        lathe_frame_free(f);
        return code;
    }
    *frame = f;
    return LATHE_OK;
}

int32_t lathe_frame_own_strings(lathe_frame *frame, lathe_error *err) {
    for (int64_t i = 0; i < frame->n_columns; i++) {
        column_data *d;
        if (!frame->columns[i].data->borrowed)
            continue;
        int32_t code = column_copy(&frame->view[i], frame->n_rows, &d, err);
        if (code != LATHE_OK)
            return code;
        frame_replace(frame, i, d);
    }
    return LATHE_OK;
}
