/* Calls of the kinds that read and write tables: transforms and sources. */
#include "plugin/call.h"
#include "plugin/guard.h"
#include "plugin/runtime_internal.h"
#include "plugin/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 1000000

static const lathe_transform *transform_of(const lathe_instance *i) {
    return i->interface;
}

static const lathe_source *source_of(const lathe_instance *i) {
    return i->interface;
}

static int32_t blame(const lathe_impl *impl, lathe_error *err, const char *fmt, ...)
    LATHE_PRINTF(3, 4);

/* A plugin that broke its contract. */
static int32_t blame(const lathe_impl *impl, lathe_error *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    lathe_vfail(err, LATHE_E_INTERNAL, impl->id, fmt, ap);
    va_end(ap);
    return LATHE_E_INTERNAL;
}

static bool name_ok(const char *name) {
    return lathe_text_is_usable(name, 4096);
}

/* The first row whose code is not one of the dictionary's, missing or unseen; -1: none. */
static int64_t bad_code(const int32_t *codes, int64_t n, int64_t dict_size) {
    for (int64_t i = 0; i < n; i++)
        if (codes[i] < LATHE_CODE_UNSEEN || codes[i] >= dict_size)
            return i;
    return -1;
}

/* ---- transforms ---- */

int32_t lathe_call_transform_fit(const lathe_instance *i, const lathe_transform_fit *in,
                                 lathe_error *err) {
    lathe_error theirs = {0};
    lathe_call call;
    lathe_call_begin(&call, lathe_impl_of(i), "fit");
    int32_t rc = transform_of(i)->fit(i->self, in, &theirs);
    return lathe_call_finish(&call, rc, &theirs, err);
}

static int32_t check_field(const lathe_impl *impl, const lathe_field *f, int64_t index,
                           int64_t n_inputs, lathe_error *err) {
    if (!name_ok(f->name))
        return blame(impl, err, "%s gives output column %lld no usable name", impl->id,
                     (long long)index);
    if (lathe_value_size(f->type) == 0)
        return blame(impl, err, "%s gives output column \"%.80s\" the unknown type %d", impl->id,
                     f->name, (int)f->type);
    if (f->source < -1 || f->source >= n_inputs)
        return blame(impl, err, "%s says that output column \"%.80s\" is input column %d of %lld",
                     impl->id, f->name, (int)f->source, (long long)n_inputs);
    if (f->source == -1 && f->type == LATHE_COLUMN_CATEGORY &&
        (f->dict_size < 0 || (f->dict_size > 0 && f->dict == NULL)))
        return blame(impl, err, "%s gives output column \"%.80s\" a dictionary that cannot be",
                     impl->id, f->name);
    return LATHE_OK;
}

int32_t lathe_call_transform_schema(const lathe_instance *i, int64_t n_input_columns,
                                    const lathe_field **fields, int64_t *n_fields,
                                    lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    *fields = NULL;
    *n_fields = 0;
    lathe_call_begin(&call, impl, "schema");
    int32_t rc = transform_of(i)->schema(i->self, fields, n_fields, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc == LATHE_OK &&
        (*n_fields < 0 || *n_fields > MAX_COLUMNS || (*n_fields > 0 && *fields == NULL)))
        rc = blame(impl, err, "%s declares %lld output columns, which cannot be", impl->id,
                   (long long)*n_fields);
    for (int64_t f = 0; rc == LATHE_OK && f < *n_fields; f++)
        rc = check_field(impl, &(*fields)[f], f, n_input_columns, err);
    return rc;
}

/* A table's own columns in guarded memory, for a call that writes them. */
typedef struct outputs {
    lathe_column *columns;
    lathe_guard *guards;
    int64_t n;
} outputs;

static void free_outputs(outputs *o) {
    for (int64_t c = 0; o->guards != NULL && c < o->n; c++)
        lathe_guard_free(&o->guards[c]);
    free(o->guards);
    free(o->columns);
}

static int32_t guard_outputs(const lathe_impl *impl, const lathe_table *out,
                             const lathe_field *fields, int64_t n_fields, outputs *o,
                             lathe_error *err) {
    memset(o, 0, sizeof *o);
    if (out->n_columns != n_fields)
        return lathe_fail(err, LATHE_E_SHAPE, impl->id,
                          "%s writes %lld columns and was given a table of %lld", impl->id,
                          (long long)n_fields, (long long)out->n_columns);
    o->n = n_fields;
    o->columns = calloc((size_t)n_fields + 1, sizeof *o->columns);
    o->guards = calloc((size_t)n_fields + 1, sizeof *o->guards);
    if (o->columns == NULL || o->guards == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, impl->id, "out of memory");
    int32_t rc = LATHE_OK;
    for (int64_t c = 0; c < n_fields && rc == LATHE_OK; c++) {
        o->columns[c] = out->columns[c];
        if (fields[c].source >= 0)
            continue;
        size_t item = (size_t)lathe_value_size(out->columns[c].type);
        rc = lathe_guard_new(&o->guards[c], out->n_rows, item, err);
        /* 0xFF… is no text: a STRING value that is not written must be missing. */
        if (rc == LATHE_OK && out->columns[c].type == LATHE_COLUMN_STRING)
            memset(o->guards[c].data, 0, o->guards[c].bytes);
        o->columns[c].values = o->guards[c].data;
    }
    return rc;
}

/* Checks what was written and hands it to the caller's memory. */
static int32_t take_outputs(const lathe_impl *impl, const outputs *o, const lathe_table *out,
                            lathe_error *err) {
    char what[160];
    for (int64_t c = 0; c < o->n; c++) {
        const lathe_column *column = &out->columns[c];
        if (o->guards[c].raw == NULL)
            continue;
        snprintf(what, sizeof what, "the output column \"%.80s\"", column->name);
        int32_t rc = lathe_guard_check(&o->guards[c], impl->id, what, err);
        if (rc != LATHE_OK)
            return rc;
        int64_t bad = column->type == LATHE_COLUMN_CATEGORY
                          ? bad_code(o->guards[c].data, out->n_rows, column->dict_size)
                          : -1;
        if (bad >= 0)
            return blame(impl, err,
                         "%s gave row %lld of column \"%.80s\" a code outside of its "
                         "dictionary of %lld",
                         impl->id, (long long)bad, column->name, (long long)column->dict_size);
    }
    for (int64_t c = 0; c < o->n; c++)
        if (o->guards[c].raw != NULL && o->guards[c].bytes > 0)
            memcpy(out->columns[c].values, o->guards[c].data, o->guards[c].bytes);
    return LATHE_OK;
}

static int32_t apply(const lathe_instance *i, const lathe_table *in,
                     const lathe_transform_fit *training, lathe_table *out, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    const lathe_field *fields;
    int64_t n_fields;
    lathe_error theirs = {0};
    lathe_call call;
    outputs o;
    int32_t rc = lathe_call_transform_schema(i, in->n_columns, &fields, &n_fields, err);
    if (rc != LATHE_OK)
        return rc;
    if (out->n_rows != in->n_rows)
        return lathe_fail(err, LATHE_E_SHAPE, impl->id, "%lld rows in and %lld rows out",
                          (long long)in->n_rows, (long long)out->n_rows);
    rc = guard_outputs(impl, out, fields, n_fields, &o, err);
    if (rc == LATHE_OK) {
        lathe_table own = {out->n_rows, out->n_columns, o.columns};
        lathe_call_begin(&call, impl, training != NULL ? "apply_training" : "apply");
        rc = training != NULL ? transform_of(i)->apply_training(i->self, training, &own, &theirs)
                              : transform_of(i)->apply(i->self, in, &own, &theirs);
        rc = lathe_call_finish(&call, rc, &theirs, err);
    }
    if (rc == LATHE_OK)
        rc = take_outputs(impl, &o, out, err);
    free_outputs(&o);
    return rc;
}

int32_t lathe_call_transform_apply(const lathe_instance *i, const lathe_table *in, lathe_table *out,
                                   lathe_error *err) {
    return apply(i, in, NULL, out, err);
}

int32_t lathe_call_transform_apply_training(const lathe_instance *i, const lathe_transform_fit *in,
                                            lathe_table *out, lathe_error *err) {
    return apply(i, in->table, transform_of(i)->apply_training != NULL ? in : NULL, out, err);
}

int32_t lathe_call_transform_rows(const lathe_instance *i, const lathe_transform_fit *in,
                                  int64_t **rows, int64_t *n, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    int64_t capacity = in->table->n_rows;
    lathe_guard guard = {0};
    int32_t rc = LATHE_OK;
    *rows = NULL;
    *n = 0;
    /* The first call may say that there are more than the table has; then once more. */
    for (int round = 0; round < 2; round++) {
        lathe_error theirs = {0};
        lathe_call call;
        int64_t count = -1;
        lathe_guard_free(&guard);
        if ((rc = lathe_guard_new(&guard, capacity, sizeof(int64_t), err)) != LATHE_OK)
            return rc;
        lathe_call_begin(&call, impl, "rows");
        rc = transform_of(i)->rows(i->self, in, guard.data, capacity, &count, &theirs);
        rc = lathe_call_finish(&call, rc, &theirs, err);
        if (rc == LATHE_OK)
            rc = lathe_guard_check(&guard, impl->id, "the rows it chose", err);
        if (rc == LATHE_OK && (count < 0 || (count > capacity && round == 1)))
            rc =
                blame(impl, err, "%s chose %lld rows, which cannot be", impl->id, (long long)count);
        *n = count;
        if (rc != LATHE_OK || count <= capacity)
            break;
        capacity = count;
    }
    const int64_t *chosen = guard.data;
    for (int64_t r = 0; rc == LATHE_OK && r < *n; r++)
        if (chosen[r] < 0 || chosen[r] >= in->table->n_rows)
            rc = blame(impl, err, "%s chose row %lld of a table of %lld", impl->id,
                       (long long)chosen[r], (long long)in->table->n_rows);
    if (rc == LATHE_OK) {
        *rows = malloc((size_t)*n * sizeof **rows + 1);
        if (*rows == NULL)
            rc = lathe_fail(err, LATHE_E_MEMORY, impl->id, "out of memory");
        else
            memcpy(*rows, chosen, (size_t)*n * sizeof **rows);
    }
    if (rc != LATHE_OK)
        *n = 0;
    lathe_guard_free(&guard);
    return rc;
}

/* ---- sources ---- */

int32_t lathe_call_source_open(const lathe_instance *i, void **stream, lathe_error *err) {
    lathe_error theirs = {0};
    lathe_call call;
    *stream = NULL;
    lathe_call_begin(&call, lathe_impl_of(i), "open");
    int32_t rc = source_of(i)->open(i->self, stream, &theirs);
    return lathe_call_finish(&call, rc, &theirs, err);
}

int32_t lathe_call_source_schema(const lathe_instance *i, void *stream, const lathe_table **schema,
                                 lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    *schema = NULL;
    lathe_call_begin(&call, impl, "schema");
    int32_t rc = source_of(i)->schema(stream, schema, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_table *s = *schema;
    if (s == NULL || s->n_columns < 1 || s->n_columns > MAX_COLUMNS || s->columns == NULL)
        return blame(impl, err, "%s gave a schema that cannot be: %lld columns", impl->id,
                     s != NULL ? (long long)s->n_columns : -1);
    for (int64_t c = 0; c < s->n_columns; c++)
        if (!name_ok(s->columns[c].name) || lathe_value_size(s->columns[c].type) == 0)
            return blame(impl, err, "%s gave column %lld no usable name or the unknown type %d",
                         impl->id, (long long)c, (int)s->columns[c].type);
    return LATHE_OK;
}

static int32_t check_block(const lathe_impl *impl, const lathe_table *schema,
                           const lathe_table *block, int64_t max_rows, lathe_error *err) {
    if (block->n_rows < 0 || block->n_rows > max_rows)
        return blame(impl, err, "%s gave a block of %lld rows where at most %lld were asked for",
                     impl->id, (long long)block->n_rows, (long long)max_rows);
    if (block->n_rows == 0)
        return LATHE_OK;
    if (block->n_columns != schema->n_columns || block->columns == NULL)
        return blame(impl, err, "%s gave a block of %lld columns, and its schema has %lld",
                     impl->id, (long long)block->n_columns, (long long)schema->n_columns);
    for (int64_t c = 0; c < block->n_columns; c++) {
        const lathe_column *b = &block->columns[c], *s = &schema->columns[c];
        if (b->type != s->type || b->values == NULL || b->name == NULL ||
            strcmp(b->name, s->name) != 0)
            return blame(impl, err,
                         "%s gave column \"%.80s\" another name or type than in its "
                         "schema, or no values",
                         impl->id, s->name);
        if (b->type != LATHE_COLUMN_CATEGORY)
            continue;
        int64_t bad = b->dict_size < 0 || (b->dict_size > 0 && b->dict == NULL)
                          ? 0
                          : bad_code(b->values, block->n_rows, b->dict_size);
        if (bad >= 0)
            return blame(impl, err,
                         "%s gave column \"%.80s\" a code outside of its dictionary of "
                         "%lld",
                         impl->id, s->name, (long long)b->dict_size);
    }
    return LATHE_OK;
}

int32_t lathe_call_source_next(const lathe_instance *i, void *stream, int64_t max_rows,
                               lathe_table *block, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    const lathe_table *schema;
    lathe_error theirs = {0};
    lathe_call call;
    memset(block, 0, sizeof *block);
    int32_t rc = lathe_call_source_schema(i, stream, &schema, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_call_begin(&call, impl, "next");
    rc = source_of(i)->next(stream, max_rows, block, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    return rc == LATHE_OK ? check_block(impl, schema, block, max_rows, err) : rc;
}

bool lathe_call_source_note(const lathe_instance *i, void *stream, lathe_source_note *note) {
    lathe_call call;
    *note = (lathe_source_note){.struct_size = LATHE_SIZED(lathe_source_note)};
    if (source_of(i)->note == NULL)
        return false;
    lathe_call_begin(&call, lathe_impl_of(i), "note");
    int32_t rc = source_of(i)->note(stream, note);
    lathe_call_end(&call);
    return rc == LATHE_OK;
}

void lathe_call_source_close(const lathe_instance *i, void *stream) {
    lathe_call call;
    lathe_call_begin(&call, lathe_impl_of(i), "close");
    source_of(i)->close(stream);
    lathe_call_end(&call);
}
