/* Checks of what works on tables: transforms, splits, sources. */
#include "plugin/conform_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 40
#define MAX_COLUMNS 64

/* ---- a table with every type, and missing values in each ---- */

typedef struct sample {
    double number[ROWS], target[ROWS];
    int64_t whole[ROWS], when[ROWS], row_id[ROWS];
    int32_t color[ROWS], group[ROWS];
    lathe_str text[ROWS];
    lathe_column columns[6], truth;
    lathe_table table;
} sample;

static const lathe_str colors[] = {{"blue", 4}, {"green", 5}, {"red", 3}};
static const lathe_str groups[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};

/* missing false: no value is. */
static void make_sample(sample *s, bool missing, bool classes) {
    for (int i = 0; i < ROWS; i++) {
        const bool none = missing && i % 7 == 3;
        s->number[i] = none ? NAN : (double)(i * 13 % 23) * 0.5 + 1;
        s->whole[i] = none ? LATHE_MISSING_INT : i * 7 % 11 + 1;
        s->when[i] = none ? LATHE_MISSING_INT : 1700000000000000 + (int64_t)i * 3600000000;
        s->color[i] = none ? LATHE_CODE_MISSING : i % 3;
        s->group[i] = i / 10;
        s->text[i] = none ? (lathe_str){NULL, 0} : colors[i % 3];
        s->target[i] = (double)(i % 5) + s->whole[i] % 2;
        s->row_id[i] = i;
    }
    const lathe_column columns[] = {{"number", LATHE_COLUMN_FLOAT64, 0, s->number, NULL, 0},
                                    {"whole", LATHE_COLUMN_INT64, 0, s->whole, NULL, 0},
                                    {"when", LATHE_COLUMN_TIMESTAMP, 0, s->when, NULL, 0},
                                    {"color", LATHE_COLUMN_CATEGORY, 0, s->color, colors, 3},
                                    {"group", LATHE_COLUMN_CATEGORY, 0, s->group, groups, 4},
                                    {"text", LATHE_COLUMN_STRING, 0, s->text, NULL, 0}};
    memcpy(s->columns, columns, sizeof columns);
    s->truth = classes ? (lathe_column){"y", LATHE_COLUMN_CATEGORY, 0, s->color, colors, 3}
                       : (lathe_column){"y", LATHE_COLUMN_FLOAT64, 0, s->target, NULL, 0};
    s->table = (lathe_table){ROWS, 6, s->columns};
}

/* Rows begin … of a table as one of their own. */
static lathe_table rows_of(const lathe_table *in, int64_t begin, int64_t n,
                           lathe_column columns[6]) {
    for (int64_t k = 0; k < in->n_columns; k++) {
        columns[k] = in->columns[k];
        columns[k].values =
            (char *)in->columns[k].values + begin * lathe_value_size(in->columns[k].type);
    }
    return (lathe_table){n, in->n_columns, columns};
}

/* ---- transforms ---- */

/* A transform's output on a table; columns that pass through are the table's own. */
typedef struct output {
    lathe_column columns[MAX_COLUMNS];
    void *memory[MAX_COLUMNS];
    lathe_table table;
} output;

static void free_output(output *o) {
    for (int k = 0; k < MAX_COLUMNS; k++)
        free(o->memory[k]);
}

static int32_t apply(const lathe_instance *t, const lathe_table *in, output *o, lathe_error *err) {
    const lathe_field *fields;
    int64_t n = 0;
    *o = (output){.table = {.n_rows = 0}};
    int32_t rc = lathe_call_transform_schema(t, in->n_columns, &fields, &n, err);
    if (rc == LATHE_OK && n > MAX_COLUMNS)
        return conform_skip(err, "it gives more columns than this check looks at");
    for (int64_t k = 0; rc == LATHE_OK && k < n; k++) {
        const bool passes = fields[k].source >= 0;
        o->columns[k] = passes ? in->columns[fields[k].source]
                               : (lathe_column){.type = fields[k].type,
                                                .dict = fields[k].dict,
                                                .dict_size = fields[k].dict_size};
        o->columns[k].name = fields[k].name;
        if (!passes)
            o->columns[k].values = o->memory[k] =
                calloc((size_t)in->n_rows + 1, (size_t)lathe_value_size(fields[k].type));
        if (!passes && o->memory[k] == NULL)
            rc = conform_fault(err, "out of memory");
    }
    o->table = (lathe_table){in->n_rows, n, o->columns};
    return rc == LATHE_OK ? lathe_call_transform_apply(t, in, &o->table, err) : rc;
}

static bool same_value(const lathe_column *a, int64_t i, const lathe_column *b, int64_t j) {
    switch (a->type) {
    case LATHE_COLUMN_FLOAT64:
        return conform_same_double(((const double *)a->values)[i], ((const double *)b->values)[j]);
    case LATHE_COLUMN_CATEGORY:
        return ((const int32_t *)a->values)[i] == ((const int32_t *)b->values)[j];
    case LATHE_COLUMN_STRING: {
        const lathe_str x = ((const lathe_str *)a->values)[i],
                        y = ((const lathe_str *)b->values)[j];
        return (x.ptr == NULL) == (y.ptr == NULL) &&
               (x.ptr == NULL || (x.len == y.len && memcmp(x.ptr, y.ptr, (size_t)x.len) == 0));
    }
    default:
        return ((const int64_t *)a->values)[i] == ((const int64_t *)b->values)[j];
    }
}

/* Fits to the sample with missing values; where it does not take those, or the target, to another. */
static int32_t fit(conform *c, sample *s, lathe_instance *t, lathe_error *err) {
    int32_t rc = LATHE_E_INTERNAL;
    for (int kind = 0; kind < 4 && rc != LATHE_OK; kind++) {
        const bool classes = kind % 2 == 1;
        int32_t fold[ROWS];
        make_sample(s, kind < 2, classes);
        for (int i = 0; i < ROWS; i++)
            fold[i] = i % 4;
        const lathe_transform_fit in = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                                        .task =
                                            classes ? LATHE_TASK_MULTICLASS : LATHE_TASK_REGRESSION,
                                        .table = &s->table,
                                        .target = &s->truth,
                                        .fold = fold,
                                        .n_folds = 4,
                                        .key = 7};
        c->task = in.task;
        rc = conform_create(c, t, err);
        c->task = 0;
        if (rc == LATHE_OK)
            rc = lathe_call_transform_fit(t, &in, err);
        if (rc != LATHE_OK)
            lathe_instance_destroy(t);
    }
    return rc;
}

typedef int32_t (*on_applied)(conform *c, const sample *s, const lathe_instance *t,
                              const output *out, lathe_error *err);

static int32_t with_fitted(conform *c, on_applied check, lathe_error *err) {
    sample s;
    lathe_instance t = {0};
    output out = {.table = {.n_rows = 0}};
    if ((c->d->flags & LATHE_TRANSFORM_TRAINING_ROWS) != 0)
        return conform_skip(err, "it chooses training rows, and has no output of its own");
    int32_t rc = fit(c, &s, &t, err);
    if (rc == LATHE_OK)
        rc = apply(&t, &s.table, &out, err);
    if (rc == LATHE_OK)
        rc = check(c, &s, &t, &out, err);
    free_output(&out);
    lathe_instance_destroy(&t);
    return rc;
}

static int32_t check_shape(conform *c, const sample *s, const lathe_instance *t, const output *out,
                           lathe_error *err) {
    (void)c;
    (void)s;
    (void)t;
    return out->table.n_columns > 0 ? LATHE_OK : conform_fault(err, "its output has no column");
}

static int32_t compare(const output *whole, int64_t begin, const output *part, const char *what,
                       lathe_error *err) {
    for (int64_t k = 0; k < part->table.n_columns; k++)
        for (int64_t i = 0; i < part->table.n_rows; i++)
            if (!same_value(&whole->columns[k], begin + i, &part->columns[k], i))
                return conform_fault(err, "%s, row %lld of column \"%s\" has another value", what,
                                     (long long)(begin + i), part->columns[k].name);
    return LATHE_OK;
}

static int32_t check_alone(conform *c, const sample *s, const lathe_instance *t, const output *out,
                           lathe_error *err) {
    int32_t rc = LATHE_OK;
    (void)c;
    for (int64_t i = 0; rc == LATHE_OK && i < ROWS; i++) {
        lathe_column columns[6];
        output one;
        const lathe_table row = rows_of(&s->table, i, 1, columns);
        rc = apply(t, &row, &one, err);
        if (rc == LATHE_OK)
            rc = compare(out, i, &one, "alone", err);
        free_output(&one);
    }
    return rc;
}

static int32_t check_saved(conform *c, const sample *s, const lathe_instance *t, const output *out,
                           lathe_error *err) {
    lathe_instance other;
    output again = {.table = {.n_rows = 0}};
    int32_t rc = conform_reload(c, t, &other, err);
    if (rc == LATHE_OK)
        rc = apply(&other, &s->table, &again, err);
    if (rc == LATHE_OK && again.table.n_columns != out->table.n_columns)
        rc = conform_fault(err, "saved and loaded it gives %lld columns instead of %lld",
                           (long long)again.table.n_columns, (long long)out->table.n_columns);
    if (rc == LATHE_OK)
        rc = compare(out, 0, &again, "saved and loaded", err);
    free_output(&again);
    lathe_instance_destroy(&other);
    return rc;
}

/* Values that training did not see, which may be refused, and no rows at all, which may not. */
static int32_t check_unseen(conform *c, const sample *s, const lathe_instance *t, const output *out,
                            lathe_error *err) {
    sample later = *s;
    output o;
    lathe_column columns[6];
    (void)c;
    (void)out;
    make_sample(&later, false, false);
    for (int i = 0; i < ROWS; i++) {
        later.number[i] = i % 2 ? 1e300 : -1e300;
        later.whole[i] = i % 2 ? INT64_MAX : -5;
        later.color[i] = i % 2 ? LATHE_CODE_UNSEEN : LATHE_CODE_MISSING;
        later.text[i] = (lathe_str){"never", 5};
    }
    int32_t rc = apply(t, &later.table, &o, err);
    free_output(&o);
    if (rc == LATHE_OK || rc == LATHE_E_DATA) {
        lathe_error_clear(err);
        const lathe_table none = rows_of(&later.table, 0, 0, columns);
        rc = apply(t, &none, &o, err);
        free_output(&o);
    }
    return rc;
}

static int32_t chosen_rows(conform *c, lathe_error *err) {
    sample s;
    lathe_instance t;
    int64_t *rows = NULL, n = 0;
    if ((c->d->flags & LATHE_TRANSFORM_TRAINING_ROWS) == 0)
        return conform_skip(err, "it does not choose rows");
    make_sample(&s, true, false);
    const lathe_transform_fit in = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                                    .task = LATHE_TASK_REGRESSION,
                                    .table = &s.table,
                                    .target = &s.truth,
                                    .key = 7};
    int32_t rc = conform_create(c, &t, err);
    if (rc == LATHE_OK) /* each row that it names is checked to be there */
        rc = lathe_call_transform_rows(&t, &in, &rows, &n, err);
    free(rows);
    lathe_instance_destroy(&t);
    return rc;
}

static int32_t shape(conform *c, lathe_error *err) {
    return with_fitted(c, check_shape, err);
}

static int32_t alone(conform *c, lathe_error *err) {
    return with_fitted(c, check_alone, err);
}

static int32_t saved(conform *c, lathe_error *err) {
    return with_fitted(c, check_saved, err);
}

static int32_t unseen(conform *c, lathe_error *err) {
    return with_fitted(c, check_unseen, err);
}

const conform_check conform_transform[] = {
    {"it fits a table of every type, and gives the columns of its schema", shape},
    {"a row gives the same values alone and among others", alone},
    {"saved and loaded it gives the same values", saved},
    {"it takes values that training did not see, and no rows", unseen},
    {"the rows that it chooses are there", chosen_rows},
    {0}};

/* ---- splits ---- */

static int32_t assign(conform *c, int32_t part[ROWS], int32_t fold[ROWS], int64_t *n_folds,
                      lathe_error *err) {
    sample s;
    lathe_instance t;
    int32_t rc = LATHE_E_INTERNAL;
    for (int classes = 1; classes >= 0 && rc != LATHE_OK; classes--) { /* strata need classes */
        make_sample(&s, false, classes == 1);
        const lathe_split_input in = {.struct_size = LATHE_SIZED(lathe_split_input),
                                      .task =
                                          classes ? LATHE_TASK_MULTICLASS : LATHE_TASK_REGRESSION,
                                      .table = &s.table,
                                      .target = &s.truth,
                                      .row_id = s.row_id,
                                      .key = 7};
        c->task = in.task;
        rc = conform_create(c, &t, err);
        c->task = 0;
        if (rc == LATHE_OK)
            rc = lathe_call_split_folds(&t, n_folds, err);
        if (rc == LATHE_OK) /* parts and folds are checked */
            rc = lathe_call_split(&t, &in, part, *n_folds > 0 ? fold : NULL, err);
        lathe_instance_destroy(&t);
    }
    return rc;
}

static int32_t parts(conform *c, lathe_error *err) {
    int32_t part[ROWS], fold[ROWS];
    int64_t n_folds = 0, train = 0;
    const int32_t rc = assign(c, part, fold, &n_folds, err);
    for (int i = 0; rc == LATHE_OK && i < ROWS; i++)
        train += part[i] == LATHE_PART_TRAIN;
    return rc == LATHE_OK && train == 0 ? conform_fault(err, "no row is left to train on") : rc;
}

static int32_t same_parts(conform *c, lathe_error *err) {
    int32_t part[2][ROWS], fold[2][ROWS];
    int64_t n_folds = 0;
    memset(fold, 0, sizeof fold);
    int32_t rc = assign(c, part[0], fold[0], &n_folds, err);
    if (rc == LATHE_OK)
        rc = assign(c, part[1], fold[1], &n_folds, err);
    if (rc == LATHE_OK && (memcmp(part[0], part[1], sizeof part[0]) != 0 ||
                           memcmp(fold[0], fold[1], sizeof fold[0]) != 0))
        rc = conform_fault(err, "asked again with the same key it gives other parts");
    return rc;
}

const conform_check conform_split[] = {{"every row has a part, and some train", parts},
                                       {"the same key gives the same parts", same_parts},
                                       {0}};

/* ---- sources ---- */

/* Reads to the end in blocks of so many rows; a checksum-like count of what came. */
static int32_t read_all(const lathe_instance *s, int64_t block_rows, int64_t *rows,
                        lathe_error *err) {
    void *stream = NULL;
    const lathe_table *schema;
    int32_t rc = lathe_call_source_open(s, &stream, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_call_source_schema(s, stream, &schema, err);
    lathe_table block = {.n_rows = 1};
    for (*rows = 0; rc == LATHE_OK && block.n_rows > 0; *rows += block.n_rows)
        rc = lathe_call_source_next(s, stream, block_rows, &block, err);
    lathe_call_source_close(s, stream);
    return rc;
}

static int32_t reads(conform *c, lathe_error *err) {
    lathe_instance s;
    int64_t whole = 0, pieces = 0;
    int32_t rc = conform_create(c, &s, err);
    if (rc == LATHE_OK)
        rc = read_all(&s, 100000, &whole, err);
    if (rc == LATHE_OK)
        rc = read_all(&s, 3, &pieces, err);
    if (rc == LATHE_OK && whole != pieces)
        rc = conform_fault(err, "it has %lld rows in large blocks and %lld in small ones",
                           (long long)whole, (long long)pieces);
    lathe_instance_destroy(&s);
    return rc;
}

const conform_check conform_source[] = {
    {"it reads to its end, the same in large blocks and small ones", reads}, {0}};
