/* transform_fixture.h: a small table, later rows with values that training did not see, and what the tests of the
 * transforms do with them: every output is checked three ways, for the whole table, row by row, and after saving and
 * loading. Tables print as "name:type …" (f, i, t, c, s) and a line a row; - is missing, ? unseen. */
#ifndef LATHE_TEST_TRANSFORM_FIXTURE_H
#define LATHE_TEST_TRANSFORM_FIXTURE_H

#include "plugin_fixture.h"

#include <math.h>
#include <stdarg.h>

#define MAX_ROWS 64
#define MAX_COLUMNS 64

static fixture fx;

static inline void setup(void) {
    fixture_open(&fx, 1);
}

static inline void teardown(void) {
    fixture_close(&fx);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

#define NA LATHE_MISSING_INT
#define NO LATHE_CODE_MISSING
#define NEW LATHE_CODE_UNSEEN

static double num[] = {1, 2, NAN, 4, 3};
static int64_t whole[] = {10, NA, 30, 30, 20};
static int64_t when[] = {0, -1, 951827400000000, NA, 1717113600000000};
static int32_t color[] = {1, 0, 1, NO, 2};
static lathe_str note[] = {{"a", 1}, {NULL, 0}, {"b", 1}, {"a", 1}, {"c", 1}};
static const lathe_str colors[] = {{"blue", 4}, {"green", 5}, {"red", 3}, {"white", 5}};
static const lathe_column all_columns[] = {
    {"num", LATHE_COLUMN_FLOAT64, 0, num, NULL, 0},
    {"whole", LATHE_COLUMN_INT64, 0, whole, NULL, 0},
    {"when", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0},
    {"color", LATHE_COLUMN_CATEGORY, 0, color, colors, 4},
    {"note", LATHE_COLUMN_STRING, 0, note, NULL, 0},
};
static const lathe_table table = {5, 5, all_columns};

/* Later rows: other values, among them some that training did not see. */
static double later_num[] = {NAN, 100};
static int64_t later_whole[] = {NA, -5};
static int64_t later_when[] = {NA, 86399999999};
static int32_t later_color[] = {NEW, 3};
static lathe_str later_note[] = {{NULL, 0}, {"z", 1}};
static const lathe_column later_columns[] = {
    {"num", LATHE_COLUMN_FLOAT64, 0, later_num, NULL, 0},
    {"whole", LATHE_COLUMN_INT64, 0, later_whole, NULL, 0},
    {"when", LATHE_COLUMN_TIMESTAMP, 0, later_when, NULL, 0},
    {"color", LATHE_COLUMN_CATEGORY, 0, later_color, colors, 4},
    {"note", LATHE_COLUMN_STRING, 0, later_note, NULL, 0},
};
static const lathe_table later __attribute__((unused)) = {2, 5, later_columns};

static inline size_t put(char *out, size_t used, size_t capacity, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + used, capacity - used, format, args);
    va_end(args);
    ck_assert(n >= 0 && used + (size_t)n < capacity);
    return used + (size_t)n;
}

static inline size_t put_value(char *out, size_t used, size_t capacity, const lathe_column *c,
                               int64_t row) {
    if (c->type == LATHE_COLUMN_CATEGORY && ((const int32_t *)c->values)[row] == NEW)
        return put(out, used, capacity, "?");
    if (lathe_is_missing(c, row))
        return put(out, used, capacity, "-");
    if (c->type == LATHE_COLUMN_FLOAT64)
        return put(out, used, capacity, "%.15g", ((const double *)c->values)[row]);
    if (c->type == LATHE_COLUMN_INT64 || c->type == LATHE_COLUMN_TIMESTAMP)
        return put(out, used, capacity, "%lld", (long long)((const int64_t *)c->values)[row]);
    lathe_str s = c->type == LATHE_COLUMN_STRING ? ((const lathe_str *)c->values)[row]
                                                 : c->dict[((const int32_t *)c->values)[row]];
    return put(out, used, capacity, "%.*s", (int)s.len, s.ptr);
}

/* A transform's output on `in`. */
typedef struct output {
    lathe_column columns[MAX_COLUMNS];
    int64_t memory[MAX_COLUMNS][MAX_ROWS * 2];
    lathe_table table;
} output;

static inline void prepare_output(const lathe_instance *t, const lathe_table *in, output *out) {
    const lathe_field *fields;
    int64_t n;
    lathe_error err = {0};
    fixture_ok(lathe_call_transform_schema(t, in->n_columns, &fields, &n, &err), &err, "schema");
    ck_assert_int_le(n, MAX_COLUMNS);
    memset(out->memory, 0x5A, sizeof out->memory);
    for (int64_t j = 0; j < n; j++) {
        const lathe_field *f = &fields[j];
        out->columns[j] = f->source >= 0 ? in->columns[f->source]
                                         : (lathe_column){.type = f->type,
                                                          .values = out->memory[j],
                                                          .dict = f->dict,
                                                          .dict_size = f->dict_size};
        ck_assert_int_eq(out->columns[j].type, f->type);
        out->columns[j].name = f->name;
    }
    out->table = (lathe_table){in->n_rows, n, out->columns};
}

static inline int32_t apply(const lathe_instance *t, const lathe_table *in, output *out,
                            lathe_error *err) {
    memset(err, 0, sizeof *err);
    prepare_output(t, in, out);
    return lathe_call_transform_apply(t, in, &out->table, err);
}

static inline void dump(const lathe_table *t, char *text, size_t capacity) {
    static const char letters[] = "?fitcs";
    size_t used = 0;
    for (int64_t j = 0; j < t->n_columns; j++)
        used = put(text, used, capacity, "%s%s:%c", j > 0 ? " " : "", t->columns[j].name,
                   letters[t->columns[j].type]);
    for (int64_t i = 0; i < t->n_rows; i++)
        for (int64_t j = 0; j < t->n_columns; j++) {
            used = put(text, used, capacity, "%s", j > 0 ? "|" : "\n");
            used = put_value(text, used, capacity, &t->columns[j], i);
        }
}

/* One row of a table, by moving the columns' pointers. */
static inline lathe_table row_of(const lathe_table *in, int64_t row, lathe_column *columns) {
    for (int64_t j = 0; j < in->n_columns; j++) {
        columns[j] = in->columns[j];
        columns[j].values = (char *)columns[j].values + row * lathe_value_size(columns[j].type);
    }
    return (lathe_table){1, in->n_columns, columns};
}

static inline int32_t fit(const lathe_instance *t, const lathe_table *in,
                          const lathe_column *target, const double *weight, int32_t task,
                          lathe_error *err) {
    lathe_transform_fit f = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                             .task = task,
                             .table = in,
                             .target = target,
                             .weight = weight};
    memset(err, 0, sizeof *err);
    return lathe_call_transform_fit(t, &f, err);
}

static inline void save_and_load(const lathe_instance *t, lathe_instance *loaded) {
    lathe_state *state;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(t, &state, &err), &err, "save");
    fixture_ok(lathe_state_load(fx.runtime, state, 0, loaded, &err), &err, "load");
    lathe_state_free(state);
}

/* Applies to `in` in all three ways and compares with `expected`. */
static inline void expect_output(const lathe_instance *t, const lathe_table *in,
                                 const char *expected) {
    static output out;
    char text[4096], other[4096];
    lathe_error err;
    lathe_instance loaded;
    fixture_ok(apply(t, in, &out, &err), &err, "apply");
    dump(&out.table, text, sizeof text);
    ck_assert_str_eq(text, expected);
    save_and_load(t, &loaded);
    fixture_ok(apply(&loaded, in, &out, &err), &err, "apply after load");
    dump(&out.table, other, sizeof other);
    ck_assert_str_eq(other, expected);
    lathe_instance_destroy(&loaded);
    const char *line = strchr(expected, '\n');
    for (int64_t i = 0; i < in->n_rows; i++) {
        lathe_column columns[MAX_COLUMNS];
        lathe_table row = row_of(in, i, columns);
        fixture_ok(apply(t, &row, &out, &err), &err, "apply to a row");
        dump(&out.table, other, sizeof other);
        const char *found = strchr(other, '\n');
        ck_assert_msg(strncmp(found, line, strlen(found)) == 0, "row %d: %s", (int)i, found);
        line = strchr(line + 1, '\n');
    }
}

/* Fits to `table` and checks the output of `table` and of `later` (NULL: not). */
static inline void expect(const char *use, const char *expected, const char *expected_later) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &table, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, &table, expected);
    if (expected_later != NULL)
        expect_output(&t, &later, expected_later);
    lathe_instance_destroy(&t);
}

static inline void refuse_fit(const char *use, const lathe_table *in, int32_t code,
                              const char *message) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    ck_assert_int_eq(fit(&t, in, NULL, NULL, LATHE_TASK_REGRESSION, &err), code);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s: \"%s\" lacks \"%s\"", use, err.message,
                  message);
    lathe_instance_destroy(&t);
}

/* Columns of one name each, for small tables. */
static inline lathe_table numbers(const char *name, double *values, int64_t n,
                                  lathe_column *column) {
    *column = (lathe_column){name, LATHE_COLUMN_FLOAT64, 0, values, NULL, 0};
    return (lathe_table){n, 1, column};
}

#define ONLY "{\"columns\": [\"num\", \"whole\"]}"
#define REST "when:t color:c note:s"

/* The column color alone, of `table` or `later`. */
static inline const lathe_table *only_color(const lathe_table *t) {
    static lathe_column columns[2];
    static lathe_table tables[2];
    int which = t == &later;
    columns[which] = t->columns[3];
    tables[which] = (lathe_table){t->n_rows, 1, &columns[which]};
    return &tables[which];
}

#endif
