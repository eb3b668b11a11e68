/* test_transforms.c: what each transform makes of a small table, with every result checked three ways: the whole
 * table, row by row, and after saving and loading; and saved states that lie. */
#include "plugin_fixture.h"

#include <math.h>
#include <stdarg.h>

#define MAX_ROWS 64
#define MAX_COLUMNS 64

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
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
static const lathe_table later = {2, 5, later_columns};

static size_t put(char *out, size_t used, size_t capacity, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + used, capacity - used, format, args);
    va_end(args);
    ck_assert(n >= 0 && used + (size_t)n < capacity);
    return used + (size_t)n;
}

static size_t put_value(char *out, size_t used, size_t capacity, const lathe_column *c,
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

static void prepare_output(const lathe_instance *t, const lathe_table *in, output *out) {
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

static int32_t apply(const lathe_instance *t, const lathe_table *in, output *out,
                     lathe_error *err) {
    memset(err, 0, sizeof *err);
    prepare_output(t, in, out);
    return lathe_call_transform_apply(t, in, &out->table, err);
}

static void dump(const lathe_table *t, char *text, size_t capacity) {
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
static lathe_table row_of(const lathe_table *in, int64_t row, lathe_column *columns) {
    for (int64_t j = 0; j < in->n_columns; j++) {
        columns[j] = in->columns[j];
        columns[j].values = (char *)columns[j].values + row * lathe_value_size(columns[j].type);
    }
    return (lathe_table){1, in->n_columns, columns};
}

static int32_t fit(const lathe_instance *t, const lathe_table *in, const lathe_column *target,
                   const double *weight, int32_t task, lathe_error *err) {
    lathe_transform_fit f = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                             .task = task,
                             .table = in,
                             .target = target,
                             .weight = weight};
    memset(err, 0, sizeof *err);
    return lathe_call_transform_fit(t, &f, err);
}

static void save_and_load(const lathe_instance *t, lathe_instance *loaded) {
    lathe_state *state;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(t, &state, &err), &err, "save");
    fixture_ok(lathe_state_load(fx.runtime, state, 0, loaded, &err), &err, "load");
    lathe_state_free(state);
}

/* Applies to `in` in all three ways and compares with `expected`. */
static void expect_output(const lathe_instance *t, const lathe_table *in, const char *expected) {
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
static void expect(const char *use, const char *expected, const char *expected_later) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &table, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, &table, expected);
    if (expected_later != NULL)
        expect_output(&t, &later, expected_later);
    lathe_instance_destroy(&t);
}

static void refuse_fit(const char *use, const lathe_table *in, int32_t code, const char *message) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    ck_assert_int_eq(fit(&t, in, NULL, NULL, LATHE_TASK_REGRESSION, &err), code);
    ck_assert_msg(strstr(err.message, message) != NULL, "%s: \"%s\" lacks \"%s\"", use, err.message,
                  message);
    lathe_instance_destroy(&t);
}

/* Columns of one name each, for small tables. */
static lathe_table numbers(const char *name, double *values, int64_t n, lathe_column *column) {
    *column = (lathe_column){name, LATHE_COLUMN_FLOAT64, 0, values, NULL, 0};
    return (lathe_table){n, 1, column};
}

#define ONLY "{\"columns\": [\"num\", \"whole\"]}"
#define REST "when:t color:c note:s"

/* ---- numbers ----------------------------------------------------------------------------------------- */

START_TEST(standardize) {
    /* num: mean 2.5, variance 1.25; whole: mean 22.5, variance 68.75 */
    lathe_instance t;
    lathe_error err;
    output *out = malloc(sizeof *out);
    ck_assert_ptr_nonnull(out);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "standardize", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &table, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    fixture_ok(apply(&t, &table, out, &err), &err, "apply");
    const double *x = out->columns[0].values, *y = out->columns[1].values;
    ck_assert_double_eq_tol(x[0], -1.5 / sqrt(1.25), 1e-15);
    ck_assert_double_eq_tol(x[4], 0.5 / sqrt(1.25), 1e-15);
    ck_assert(isnan(x[2]) && isnan(y[1]));
    ck_assert_double_eq_tol(y[0], -12.5 / sqrt(68.75), 1e-15);
    ck_assert_ptr_eq(out->columns[3].values, color); /* passed through, not copied */
    lathe_instance_destroy(&t);
    double constant[] = {0.1, 0.1, 0.1};
    lathe_column c;
    lathe_table in = numbers("x", constant, 3, &c);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "standardize", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    expect_output(&t, &in, "x:f\n0\n0\n0");
    lathe_instance_destroy(&t);
    double pair[] = {1, 3}, weight[] = {3, 1}; /* mean 1.5, variance 0.75 */
    in = numbers("x", pair, 2, &c);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"standardize\": {\"scale\": false}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, weight, LATHE_TASK_REGRESSION, &err), &err, "fit");
    expect_output(&t, &in, "x:f\n-0.5\n1.5");
    lathe_instance_destroy(&t);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"standardize\": {\"center\": false}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, weight, LATHE_TASK_REGRESSION, &err), &err, "fit");
    fixture_ok(apply(&t, &in, out, &err), &err, "apply");
    ck_assert_double_eq_tol(((double *)out->columns[0].values)[1], 3 / sqrt(0.75), 1e-15);
    lathe_instance_destroy(&t);
    free(out);
}
END_TEST

START_TEST(min_max) {
    expect("{\"min_max\": {\"columns\": [\"num\", \"whole\"], \"range\": [-1, 1]}}",
           "num:f whole:f " REST
           "\n-1|-1|0|green|a\n-0.333333333333333|-|-1|blue|-\n-|1|951827400000000|"
           "green|b\n1|1|-|-|a\n0.333333333333333|0|1717113600000000|red|c",
           "num:f whole:f " REST "\n-|-|-|?|-\n65|-2.5|86399999999|white|z");
    expect("{\"min_max\": {\"clip\": true}}",
           "num:f whole:f " REST
           "\n0|0|0|green|a\n0.333333333333333|-|-1|blue|-\n-|1|951827400000000|"
           "green|b\n1|1|-|-|a\n0.666666666666667|0.5|1717113600000000|red|c",
           "num:f whole:f " REST "\n-|-|-|?|-\n1|0|86399999999|white|z");
    double same[] = {5, 5};
    lathe_column c;
    lathe_table in = numbers("x", same, 2, &c);
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "min_max", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    expect_output(&t, &in, "x:f\n0\n0");
    lathe_instance_destroy(&t);
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"min_max\": {\"range\": [1, 0]}}",
                    LATHE_TASK_REGRESSION, "low below high");
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"min_max\": {\"range\": [1]}}",
                    LATHE_TASK_REGRESSION, "range");
}
END_TEST

START_TEST(robust) {
    /* num: quartiles 1.75, 2.5, 3.25; whole: 17.5, 25, 30 */
    expect("{\"robust\": " ONLY "}",
           "num:f whole:f " REST "\n-1|-1.2|0|green|a\n-0.333333333333333|-|-1|blue|-\n-|0.4|"
           "951827400000000|green|b\n1|0.4|-|-|a\n0.333333333333333|-0.4|1717113600000000|red|c",
           NULL);
    double x[] = {1, 2, 3, 4}, w[] = {1, 0, 0, 1};
    lathe_column c;
    lathe_table in = numbers("x", x, 4, &c);
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "robust", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, w, LATHE_TASK_REGRESSION, &err), &err, "fit");
    expect_output(&t, &in, "x:f\n0\n0.333333333333333\n0.666666666666667\n1");
    lathe_instance_destroy(&t);
}
END_TEST

START_TEST(clip) {
    expect("{\"clip\": {\"columns\": \"num\", \"lower\": 2, \"upper\": 3}}",
           "num:f whole:i " REST
           "\n2|10|0|green|a\n2|-|-1|blue|-\n-|30|951827400000000|green|b\n3|30|-|-|a"
           "\n3|20|1717113600000000|red|c",
           "num:f whole:i " REST "\n-|-|-|?|-\n3|-5|86399999999|white|z");
    expect("{\"clip\": {\"columns\": \"num\", \"lower_quantile\": 0.5}}",
           "num:f whole:i " REST
           "\n2.5|10|0|green|a\n2.5|-|-1|blue|-\n-|30|951827400000000|green|b\n4|30|-|-"
           "|a\n3|20|1717113600000000|red|c",
           NULL);
    static const char *const refused[][2] = {
        {"{\"clip\": {}}", "no bound"},
        {"{\"clip\": {\"lower\": 1, \"lower_quantile\": 0.1}}", "not both"},
        {"{\"clip\": {\"lower\": 2, \"upper\": 1}}", "above"},
        {"{\"clip\": {\"lower_quantile\": 0.9, \"upper_quantile\": 0.1}}", "above"}};
    for (int i = 0; i < 4; i++)
        fixture_refused(&fx, LATHE_KIND_TRANSFORM, refused[i][0], LATHE_TASK_REGRESSION,
                        refused[i][1]);
}
END_TEST

START_TEST(log1p_transform) {
    double x[] = {0, 1, -0.5, NAN, 1e-20};
    lathe_column c;
    lathe_table in = numbers("x", x, 5, &c);
    static output out;
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "log1p", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    expect_output(&t, &in, "x:f\n0\n0.693147180559945\n-0.693147180559945\n-\n1e-20");
    x[1] = -1;
    ck_assert_int_eq(apply(&t, &in, &out, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "column 'x' holds -1"));
    lathe_instance_destroy(&t);
    refuse_fit("log1p", &in, LATHE_E_DATA, "above -1");
}
END_TEST

START_TEST(columns_that_do_not_fit) {
    double none[] = {NAN, NAN};
    lathe_column c;
    lathe_table in = numbers("x", none, 2, &c), empty = {0, 5, all_columns};
    refuse_fit("{\"standardize\": {\"columns\": \"color\"}}", &table, LATHE_E_INVALID,
               "'color' holds none");
    refuse_fit("{\"one_hot\": {\"columns\": \"num\"}}", &table, LATHE_E_INVALID,
               "'num' holds none");
    refuse_fit("{\"date_parts\": {\"columns\": \"num\"}}", &table, LATHE_E_INVALID,
               "'num' holds none");
    refuse_fit("{\"drop\": {\"columns\": \"nun\"}}", &table, LATHE_E_NOT_FOUND, "num");
    refuse_fit("{\"drop\": {\"columns\": \"all\"}}", &table, LATHE_E_INVALID, "no column is left");
    refuse_fit("standardize", &in, LATHE_E_DATA, "no value in the training rows");
    refuse_fit("impute", &in, LATHE_E_DATA, "no value in the training rows");
    refuse_fit("standardize", &empty, LATHE_E_DATA, "no training rows");
    lathe_instance t;
    lathe_error err;
    static output out;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "standardize", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &table, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    prepare_output(&t, &table, &out);
    const lathe_transform *i = t.interface;
    lathe_table narrow = {5, 4, all_columns};
    ck_assert_int_eq(i->apply(t.self, &narrow, &out.table, &err), LATHE_E_SHAPE);
    lathe_column other[5];
    memcpy(other, all_columns, sizeof other);
    other[1].type = LATHE_COLUMN_FLOAT64;
    lathe_table changed = {5, 5, other};
    ck_assert_int_eq(i->apply(t.self, &changed, &out.table, &err), LATHE_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.message, "'whole' has another type"));
    lathe_instance_destroy(&t);
}
END_TEST

/* ---- select, drop, impute ---------------------------------------------------------------------------- */

START_TEST(select_and_drop) {
    expect("{\"select\": {\"columns\": [\"note\", \"num\"]}}",
           "num:f note:s\n1|a\n2|-\n-|b\n4|a\n3|c", "num:f note:s\n-|-\n100|z");
    expect("{\"drop\": {\"columns\": [\"num\", \"when\", \"note\"]}}",
           "whole:i color:c\n10|green\n-|blue\n30|green\n30|-\n20|red", NULL);
}
END_TEST

START_TEST(impute_numbers) {
    expect("{\"impute\": {\"strategy\": \"mean\"}}",
           "num:f whole:f " REST
           "\n1|10|0|green|a\n2|22.5|-1|blue|-\n2.5|30|951827400000000|green|b\n4|30|-|"
           "-|a\n3|20|1717113600000000|red|c",
           "num:f whole:f " REST "\n2.5|22.5|-|?|-\n100|-5|86399999999|white|z");
    expect("{\"impute\": {\"marker\": true}}",
           "num:f whole:f " REST
           " num_missing:i whole_missing:i\n1|10|0|green|a|0|0\n2|25|-1|blue|-|0|1\n2.5|"
           "30|951827400000000|green|b|1|0\n4|30|-|-|a|0|0\n3|20|1717113600000000|red|c|0|0",
           "num:f whole:f " REST
           " num_missing:i whole_missing:i\n2.5|25|-|?|-|1|1\n100|-5|86399999999|white|z"
           "|0|0");
    expect("{\"impute\": {\"columns\": [\"num\", \"whole\"], \"strategy\": \"constant\", "
           "\"value\": -1}}",
           "num:f whole:i " REST
           "\n1|10|0|green|a\n2|-1|-1|blue|-\n-1|30|951827400000000|green|b\n4|30|-|-|a\n"
           "3|20|1717113600000000|red|c",
           NULL);
    expect("{\"impute\": {\"columns\": \"whole\", \"strategy\": \"constant\", \"value\": 0.5}}",
           "num:f whole:f " REST
           "\n1|10|0|green|a\n2|0.5|-1|blue|-\n-|30|951827400000000|green|b\n4|30|-|-|a\n"
           "3|20|1717113600000000|red|c",
           NULL);
}
END_TEST

START_TEST(impute_anything_by_mode) {
    expect("{\"impute\": {\"columns\": [\"num\", \"whole\", \"when\", \"color\"], \"strategy\": "
           "\"mode\"}}",
           "num:f whole:i " REST
           "\n1|10|0|green|a\n2|30|-1|blue|-\n1|30|951827400000000|green|b\n4|30|-1|green"
           "|a\n3|20|1717113600000000|red|c",
           "num:f whole:i " REST "\n1|30|-1|?|-\n100|-5|86399999999|white|z");
    expect("{\"impute\": {\"columns\": [\"color\", \"note\"], \"strategy\": \"constant\", "
           "\"value\": \"none\","
           " \"marker\": true}}",
           "num:f whole:i " REST
           " color_missing:i note_missing:i\n1|10|0|green|a|0|0\n2|-|-1|blue|none|0|1\n-"
           "|30|951827400000000|green|b|0|0\n4|30|-|none|a|1|0\n3|20|1717113600000000|red|c|0|0",
           "num:f whole:i " REST
           " color_missing:i note_missing:i\n-|-|-|?|none|0|1\n100|-5|86399999999|white|z"
           "|0|0");
    expect("{\"impute\": {\"columns\": \"color\", \"strategy\": \"constant\", \"value\": \"red\"}}",
           "num:f whole:i " REST
           "\n1|10|0|green|a\n2|-|-1|blue|-\n-|30|951827400000000|green|b\n4|30|-|red|a\n"
           "3|20|1717113600000000|red|c",
           NULL);
}
END_TEST

START_TEST(impute_what_does_not_fit) {
    refuse_fit("{\"impute\": {\"columns\": \"color\"}}", &table, LATHE_E_INVALID, "no median");
    refuse_fit("{\"impute\": {\"columns\": \"note\", \"strategy\": \"mode\"}}", &table,
               LATHE_E_UNSUPPORTED, "free text");
    refuse_fit("{\"impute\": {\"columns\": \"when\", \"strategy\": \"constant\", \"value\": 1}}",
               &table, LATHE_E_UNSUPPORTED, "use mode");
    refuse_fit("{\"impute\": {\"columns\": \"num\", \"strategy\": \"constant\", \"value\": \"x\"}}",
               &table, LATHE_E_INVALID, "expected a number");
    refuse_fit("{\"impute\": {\"columns\": \"color\", \"strategy\": \"constant\", \"value\": 1}}",
               &table, LATHE_E_INVALID, "expected a text");
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"impute\": {\"strategy\": \"constant\"}}",
                    LATHE_TASK_REGRESSION, "\"value\" must be");
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"impute\": {\"value\": 3}}",
                    LATHE_TASK_REGRESSION, "constant alone");
    lathe_column clash[2] = {all_columns[0], all_columns[1]};
    clash[1].name = "num_missing";
    lathe_table in = {5, 2, clash};
    refuse_fit("{\"impute\": {\"columns\": \"num\", \"marker\": true}}", &in, LATHE_E_EXISTS,
               "num_missing");
}
END_TEST

/* ---- categories -------------------------------------------------------------------------------------- */

#define COLOR(use) "{\"" use "\": {\"columns\": \"color\"}}"

static const lathe_table *only_color(const lathe_table *t) {
    static lathe_column columns[2];
    static lathe_table tables[2];
    int which = t == &later;
    columns[which] = t->columns[3];
    tables[which] = (lathe_table){t->n_rows, 1, &columns[which]};
    return &tables[which];
}

static void expect_color(const char *use, const char *expected, const char *expected_later) {
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, only_color(&table), expected);
    expect_output(&t, only_color(&later), expected_later);
    lathe_instance_destroy(&t);
}

START_TEST(one_hot) {
    /* "white" is in the dictionary, but not in the training rows: it is unseen */
    expect_color("one_hot",
                 "color=blue:f color=green:f color=red:f "
                 "color=(missing):f\n0|1|0|0\n1|0|0|0\n0|1|0|0\n0|0|0|1\n"
                 "0|0|1|0",
                 "color=blue:f color=green:f color=red:f color=(missing):f\n0|0|0|0\n0|0|0|0");
    expect_color(
        "{\"one_hot\": {\"max_categories\": 2, \"missing\": \"zeros\", \"unseen\": \"other\"}}",
        "color=green:f color=(other):f\n1|0\n0|1\n1|0\n0|0\n0|1",
        "color=green:f color=(other):f\n0|1\n0|1");
    expect_color(
        "{\"one_hot\": {\"min_frequency\": 2}}",
        "color=green:f color=(other):f color=(missing):f\n1|0|0\n0|1|0\n1|0|0\n0|0|1\n0|1|0",
        "color=green:f color=(other):f color=(missing):f\n0|0|0\n0|0|0");
    expect_color(
        "{\"one_hot\": {\"min_frequency\": 0.3, \"missing\": \"zeros\", \"drop\": \"binary\"}}",
        "color=(other):f\n0\n1\n0\n0\n1", "color=(other):f\n0\n0");
    expect_color("{\"one_hot\": {\"drop\": \"first\"}}",
                 "color=green:f color=red:f color=(missing):f\n1|0|0\n0|0|0\n1|0|0\n0|0|1\n0|1|0",
                 "color=green:f color=red:f color=(missing):f\n0|0|0\n0|0|0");
    expect("{\"one_hot\": {\"max_categories\": 1}}",
           "num:f whole:i when:t color=(other):f color=(missing):f "
           "note:s\n1|10|0|1|0|a\n2|-|-1|1|0|-\n-|30|"
           "951827400000000|1|0|b\n4|30|-|0|1|a\n3|20|1717113600000000|1|0|c",
           NULL);
}
END_TEST

START_TEST(one_hot_refuses) {
    lathe_instance t;
    lathe_error err;
    static output out;
    refuse_fit("{\"one_hot\": {\"missing\": \"error\"}}", only_color(&table), LATHE_E_DATA,
               "impute it first");
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"one_hot\": {\"unseen\": \"error\"}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    ck_assert_int_eq(apply(&t, only_color(&later), &out, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "did not see"));
    later_color[0] = 3;
    ck_assert_int_eq(apply(&t, only_color(&later), &out, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "holds 'white'"));
    later_color[0] = NEW;
    lathe_instance_destroy(&t);
}
END_TEST

/* Values that cannot be part of a column's name as they are. */
START_TEST(one_hot_of_odd_values) {
    static char long_a[3000], long_b[3000];
    memset(long_a, 'x', sizeof long_a);
    memset(long_b, 'x', sizeof long_b);
    long_b[2999] = 'y';
    for (int i = 0; i < 3000; i += 2)
        memcpy(long_a + i, "\xC3\xA9", 2), memcpy(long_b + i, "\xC3\xA9", 2);
    long_b[2999] = (char)0xA8;
    lathe_str dict[] = {
        {"two\nlines", 9}, {"two\tlines", 9}, {long_a, 3000}, {long_b, 3000}, {"", 0}};
    int32_t codes[] = {0, 1, 2, 3, 4};
    lathe_column c = {"c", LATHE_COLUMN_CATEGORY, 0, codes, dict, 5};
    lathe_table in = {5, 1, &c};
    lathe_instance t;
    lathe_error err;
    static output out;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "one_hot", LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    fixture_ok(apply(&t, &in, &out, &err), &err,
               "apply"); /* the host checks that names are clean UTF-8 */
    ck_assert_int_eq(out.table.n_columns, 5);
    ck_assert_str_eq(out.columns[0].name, "c=");
    ck_assert_str_eq(out.columns[1].name, "c=two?lines#1");
    lathe_instance_destroy(&t);
}
END_TEST

START_TEST(ordinal) {
    expect_color("ordinal", "color:f\n1\n0\n1\n-\n2", "color:f\n-\n-");
    expect_color(
        "{\"ordinal\": {\"order\": [\"red\", \"white\", \"green\", \"blue\"], \"unseen\": -1}}",
        "color:f\n2\n3\n2\n-\n0", "color:f\n-1\n1");
    refuse_fit("{\"ordinal\": {\"order\": [\"red\"]}}", only_color(&table), LATHE_E_DATA, "'blue'");
    fixture_refused(&fx, LATHE_KIND_TRANSFORM, "{\"ordinal\": {\"order\": [\"a\", \"b\", \"a\"]}}",
                    LATHE_TASK_REGRESSION, "twice");
}
END_TEST

/* (Σ t + m·mean) / (n + m) with m = 2; the mean of 1, 2, 3, 4, 5 is 3. */
START_TEST(target_encode_values) {
    double y[] = {1, 2, 3, 4, 5};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    lathe_instance t;
    lathe_error err;
    const char *use = "{\"target_encode\": {\"smoothing\": 2}}";
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, only_color(&table),
                  "color:f\n2.5\n2.66666666666667\n2.5\n3.33333333333333\n3.66666666666667");
    expect_output(&t, only_color(&later), "color:f\n3\n3");
    lathe_instance_destroy(&t);
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    ck_assert_int_eq(fit(&t, only_color(&table), NULL, NULL, LATHE_TASK_REGRESSION, &err),
                     LATHE_E_INVALID);
    lathe_instance_destroy(&t);
}
END_TEST

/* Training rows see the other folds alone: fold 0 holds rows 0, 1 and fold 1 rows 2, 3, 4. */
START_TEST(target_encode_out_of_fold) {
    double y[] = {1, 2, 3, 4, 5};
    const int32_t fold[] = {0, 0, 1, 1, 1};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    lathe_instance t;
    lathe_error err = {0};
    static output out;
    char text[256];
    lathe_transform_fit in = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                              .task = LATHE_TASK_REGRESSION,
                              .table = only_color(&table),
                              .target = &target,
                              .fold = fold,
                              .n_folds = 2};
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 1}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(lathe_call_transform_fit(&t, &in, &err), &err, "fit");
    prepare_output(&t, in.table, &out);
    fixture_ok(lathe_call_transform_apply_training(&t, &in, &out.table, &err), &err,
               "apply_training");
    dump(&out.table, text, sizeof text);
    /* rows 0, 1 from rows 2-4 (mean 4; green: 3): (3 + 4) / 2, and 4 for blue, which they lack;
     * rows 2-4 from rows 0, 1 (mean 1.5; green: 1): (1 + 1.5) / 2, and 1.5 for missing and red */
    ck_assert_str_eq(text, "color:f\n3.5\n4\n1.25\n1.5\n1.5");
    lathe_instance_destroy(&t);
    in.fold =
        NULL; /* folds of its own: no row's own target counts, so a category of one row gets a mean */
    fixture_create(&fx, LATHE_KIND_TRANSFORM,
                   "{\"target_encode\": {\"smoothing\": 0, \"folds\": 2}}", LATHE_TASK_REGRESSION,
                   &t);
    fixture_ok(lathe_call_transform_fit(&t, &in, &err), &err, "fit");
    prepare_output(&t, in.table, &out);
    fixture_ok(lathe_call_transform_apply_training(&t, &in, &out.table, &err), &err,
               "apply_training");
    ck_assert_double_ne(((double *)out.columns[0].values)[4], 5);
    lathe_instance_destroy(&t);
}
END_TEST

START_TEST(target_encode_classes) {
    int32_t y[] = {0, 1, 1, 0, 1}, y3[] = {0, 1, 2, 2, 1};
    const lathe_str classes[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    lathe_column target = {"y", LATHE_COLUMN_CATEGORY, 0, y, classes, 2};
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 0}}",
                   LATHE_TASK_BINARY, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_BINARY, &err), &err, "fit");
    expect_output(&t, only_color(&table), "color:f\n0.5\n1\n0.5\n0\n1");
    lathe_instance_destroy(&t);
    target = (lathe_column){"y", LATHE_COLUMN_CATEGORY, 0, y3, classes, 3};
    fixture_create(&fx, LATHE_KIND_TRANSFORM, "{\"target_encode\": {\"smoothing\": 0}}",
                   LATHE_TASK_MULTICLASS, &t);
    fixture_ok(fit(&t, only_color(&table), &target, NULL, LATHE_TASK_MULTICLASS, &err), &err,
               "fit");
    expect_output(&t, only_color(&table),
                  "color=a:f color=b:f color=c:f\n0.5|0|0.5\n0|1|0\n0.5|0|0.5\n0|0|1\n0|1|0");
    expect_output(&t, only_color(&later),
                  "color=a:f color=b:f color=c:f\n0.2|0.4|0.4\n0.2|0.4|0.4");
    lathe_instance_destroy(&t);
}
END_TEST

/* ---- times ------------------------------------------------------------------------------------------- */

static void expect_time(const char *use, int64_t time, const char *expected) {
    lathe_column c = {"t", LATHE_COLUMN_TIMESTAMP, 0, &time, NULL, 0};
    lathe_table in = {1, 1, &c};
    lathe_instance t;
    lathe_error err;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    expect_output(&t, &in, expected);
    lathe_instance_destroy(&t);
}

#define ALL_PARTS                                                                                  \
    "{\"date_parts\": {\"parts\": [\"year\", \"quarter\", \"month\", \"day\", \"weekday\", "       \
    "\"day_of_year\", "                                                                            \
    "\"hour\", \"minute\", \"second\", \"epoch_days\"]}}"
#define ALL_NAMES                                                                                  \
    "t_year:f t_quarter:f t_month:f t_day:f t_weekday:f t_day_of_year:f t_hour:f t_minute:f "      \
    "t_second:f "                                                                                  \
    "t_epoch_days:f\n"

START_TEST(date_parts) {
    expect_time(ALL_PARTS, 0, ALL_NAMES "1970|1|1|1|3|1|0|0|0|0");
    expect_time(ALL_PARTS, -1, ALL_NAMES "1969|4|12|31|2|365|23|59|59|-1.15740740740741e-11");
    expect_time(ALL_PARTS, 951827400000000, ALL_NAMES "2000|1|2|29|1|60|12|30|0|11016.5208333333");
    expect_time(ALL_PARTS, -2203977600000000, ALL_NAMES "1900|1|2|28|2|59|0|0|0|-25509");
    expect_time(ALL_PARTS, -2203891200000000,
                ALL_NAMES "1900|1|3|1|3|60|0|0|0|-25508"); /* no 29th */
    expect_time(ALL_PARTS, -62135596800000000, ALL_NAMES "1|1|1|1|0|1|0|0|0|-719162");
    expect_time(ALL_PARTS, 253402300799000000,
                ALL_NAMES "9999|4|12|31|4|365|23|59|59|2932896.99998843");
    expect("date_parts",
           "num:f whole:i when_year:f when_month:f when_day:f when_weekday:f when_hour:f color:c "
           "note:s\n"
           "1|10|1970|1|1|3|0|green|a\n2|-|1969|12|31|2|23|blue|-\n-|30|2000|2|29|1|12|green|b\n4|"
           "30|-|-|-|-|-|"
           "-|a\n3|20|2024|5|31|4|0|red|c",
           "num:f whole:i when_year:f when_month:f when_day:f when_weekday:f when_hour:f color:c "
           "note:s\n"
           "-|-|-|-|-|-|-|?|-\n100|-5|1970|1|1|3|23|white|z");
}
END_TEST

START_TEST(date_parts_cyclic) {
    expect_time(
        "{\"date_parts\": {\"parts\": [\"year\", \"hour\"], \"cyclic\": true, \"keep\": true}}",
        6 * 3600000000,
        "t:t t_year:f t_hour_sin:f t_hour_cos:f\n21600000000|1970|1|6.12323399573677e-17");
    expect_time("{\"date_parts\": {\"parts\": [\"month\"], \"cyclic\": true}}", 0,
                "t_month_sin:f t_month_cos:f\n0|1");
}
END_TEST

/* Every day of eight hundred years, against a calendar that counts one day after the other. */
START_TEST(calendar_day_by_day) {
    enum { BATCH = 60 };
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t times[BATCH], day = -146097; /* 1 January 1570 */
    lathe_column c = {"t", LATHE_COLUMN_TIMESTAMP, 0, times, NULL, 0};
    lathe_table in = {BATCH, 1, &c};
    static output out;
    lathe_instance t;
    lathe_error err;
    int y = 1570, m = 1, d = 1, doy = 1;
    times[0] = 0;
    for (int i = 1; i < BATCH; i++)
        times[i] = i;
    fixture_create(&fx, LATHE_KIND_TRANSFORM,
                   "{\"date_parts\": {\"parts\": [\"year\", \"month\", \"day\", \"day_of_year\"]}}",
                   LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &in, NULL, NULL, LATHE_TASK_REGRESSION, &err), &err, "fit");
    prepare_output(&t, &in, &out);
    for (int batch = 0; batch < 2 * 146097 / BATCH; batch++) {
        for (int i = 0; i < BATCH; i++)
            times[i] = (day + i) * 86400000000 + 86399999999 * (i % 2);
        fixture_ok(((const lathe_transform *)t.interface)->apply(t.self, &in, &out.table, &err),
                   &err, "apply");
        for (int i = 0; i < BATCH; i++, day++) {
            ck_assert(((double *)out.columns[0].values)[i] == y &&
                      ((double *)out.columns[1].values)[i] == m &&
                      ((double *)out.columns[2].values)[i] == d &&
                      ((double *)out.columns[3].values)[i] == doy);
            int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            doy++;
            if (++d > lengths[m - 1] + (m == 2 && leap)) {
                d = 1;
                if (++m > 12) {
                    m = doy = 1;
                    y++;
                }
            }
        }
    }
    lathe_instance_destroy(&t);
}
END_TEST

/* ---- training rows ----------------------------------------------------------------------------------- */

static void expect_rows(const char *use, const lathe_table *in, const lathe_column *target,
                        const char *expected) {
    lathe_instance t;
    lathe_error err = {0};
    int64_t *rows, n;
    char text[256] = "";
    size_t used = 0;
    lathe_transform_fit f = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                             .task = LATHE_TASK_REGRESSION,
                             .table = in,
                             .target = target};
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(lathe_call_transform_rows(&t, &f, &rows, &n, &err), &err, use);
    for (int64_t i = 0; i < n; i++)
        used = put(text, used, sizeof text, "%s%lld", i > 0 ? " " : "", (long long)rows[i]);
    ck_assert_str_eq(text, expected);
    free(rows);
    lathe_instance_destroy(&t);
}

START_TEST(drop_missing) {
    double y[] = {1, NAN, 1, 1, NAN};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    expect_rows("drop_missing", &table, NULL, "0 4");
    expect_rows("{\"drop_missing\": {\"columns\": \"num\"}}", &table, NULL, "0 1 3 4");
    expect_rows("{\"drop_missing\": {\"columns\": \"num\"}}", &table, &target, "0 3");
    expect_rows("{\"drop_missing\": {\"columns\": \"num\", \"target\": false}}", &table, &target,
                "0 1 3 4");
    expect_rows("{\"drop_missing\": {\"columns\": [\"when\", \"color\"], \"how\": \"all\"}}",
                &table, NULL, "0 1 2 4");
}
END_TEST

START_TEST(drop_duplicates) {
    double x[] = {0.0, -0.0, NAN, -NAN, 1, 1}, y[] = {1, 1, 2, 2, 3, 4};
    lathe_str s[] = {{"a", 1}, {"a", 1}, {NULL, 0}, {NULL, 0}, {"", 0}, {"", 0}};
    lathe_column columns[] = {{"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0},
                              {"s", LATHE_COLUMN_STRING, 0, s, NULL, 0}};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    lathe_table in = {6, 2, columns};
    expect_rows("drop_duplicates", &in, NULL, "0 2 4");
    expect_rows("drop_duplicates", &in, &target, "0 2 4 5");
    expect_rows("{\"drop_duplicates\": {\"target\": false}}", &in, &target, "0 2 4");
    s[5] = (lathe_str){NULL, 0}; /* missing is not empty */
    expect_rows("drop_duplicates", &in, NULL, "0 2 4 5");
    expect_rows("{\"drop_duplicates\": {\"columns\": \"x\"}}", &in, NULL, "0 2 4");
}
END_TEST

/* ---- states that lie --------------------------------------------------------------------------------- */

/* A copy of `from` in which one number of one tensor, or one attribute, is another. */
static lathe_state *lie(const lathe_state *from, size_t which_tensor, int64_t element,
                        int64_t value) {
    lathe_state *to;
    lathe_error err = {0};
    fixture_ok(lathe_state_new(lathe_state_who(from), &to, &err), &err, "state");
    for (size_t i = 0; i < lathe_state_tensor_count(from); i++) {
        const lathe_state_tensor *t = lathe_state_tensor_at(from, i);
        char *copy = malloc(t->bytes + 8);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, t->data, t->bytes);
        if (i == which_tensor && t->bits == 32)
            ((int32_t *)(void *)copy)[element] = (int32_t)value;
        if (i == which_tensor && t->bits == 64)
            ((int64_t *)(void *)copy)[element] = value;
        lathe_tensor view = {copy, LATHE_DEVICE_CPU, 0,    t->ndim, t->dtype, t->bits,
                             1,    t->shape,         NULL, 0};
        fixture_ok(lathe_state_add_tensor(to, t->name, &view, true, &err), &err, t->name);
        free(copy);
    }
    for (size_t i = 0; i < lathe_state_attribute_count(from); i++) {
        const lathe_state_attribute *a = lathe_state_attribute_at(from, i);
        if (a->type == LATHE_STATE_INTEGER)
            fixture_ok(lathe_state_add_integer(to, a->name, a->integer, &err), &err, a->name);
        else
            fixture_ok(lathe_state_add_strings(to, a->name, a->strings, a->n, &err), &err, a->name);
    }
    return to;
}

/* Every whole number of a saved state replaced by ones that cannot be: load must refuse, or what it loads must
 * still apply within bounds (the sanitizers and the host's guards watch). */
START_TEST(states_that_lie) {
    static const char *const uses[] = {"standardize",
                                       "one_hot",
                                       "{\"one_hot\": {\"max_categories\": 2}}",
                                       "ordinal",
                                       "date_parts",
                                       "{\"impute\": {\"marker\": true}}",
                                       "{\"impute\": {\"columns\": [\"color\", \"when\", "
                                       "\"whole\"], \"strategy\": \"mode\", \"marker\": true}}",
                                       "{\"drop\": {\"columns\": \"num\"}}",
                                       "target_encode",
                                       "log1p"};
    static const int64_t values[] = {-1000000, -3, -2, -1, 0,   1,       2,
                                     3,        4,  5,  7,  100, 1 << 30, INT64_MAX};
    double y[] = {1, 2, 3, 4, 5};
    lathe_column target = {"y", LATHE_COLUMN_FLOAT64, 0, y, NULL, 0};
    const char *use = uses[_i];
    lathe_instance t, loaded;
    lathe_state *state;
    lathe_error err;
    static output out;
    int64_t n_refused = 0;
    fixture_create(&fx, LATHE_KIND_TRANSFORM, use, LATHE_TASK_REGRESSION, &t);
    fixture_ok(fit(&t, &table, &target, NULL, LATHE_TASK_REGRESSION, &err), &err, use);
    fixture_ok(lathe_state_save(&t, &state, &err), &err, "save");
    for (size_t i = 0; i < lathe_state_tensor_count(state); i++) {
        const lathe_state_tensor *tensor = lathe_state_tensor_at(state, i);
        for (int64_t k = 0; k < tensor->shape[0] && tensor->dtype == LATHE_INT; k++)
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                lathe_state *other = lie(state, i, k, values[v]);
                int32_t rc = lathe_state_load(fx.runtime, other, 0, &loaded, &err);
                ck_assert_msg(rc == LATHE_OK || rc == LATHE_E_CORRUPT, "%s: code %d: %s",
                              tensor->name, rc, err.message);
                n_refused += rc != LATHE_OK;
                if (rc == LATHE_OK) {
                    const lathe_field *fields;
                    int64_t n;
                    rc = lathe_call_transform_schema(&loaded, 5, &fields, &n, &err);
                    if (rc == LATHE_OK) {
                        prepare_output(&loaded, &table, &out);
                        lathe_call_transform_apply(&loaded, &table, &out.table, &err);
                    }
                    lathe_instance_destroy(&loaded);
                }
                lathe_state_free(other);
            }
    }
    ck_assert_int_gt(n_refused, 0);
    lathe_state_free(state);
    lathe_instance_destroy(&t);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("transforms");
    TCase *cases = tcase_create("transforms");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, standardize);
    tcase_add_test(cases, min_max);
    tcase_add_test(cases, robust);
    tcase_add_test(cases, clip);
    tcase_add_test(cases, log1p_transform);
    tcase_add_test(cases, columns_that_do_not_fit);
    tcase_add_test(cases, select_and_drop);
    tcase_add_test(cases, impute_numbers);
    tcase_add_test(cases, impute_anything_by_mode);
    tcase_add_test(cases, impute_what_does_not_fit);
    tcase_add_test(cases, one_hot);
    tcase_add_test(cases, one_hot_refuses);
    tcase_add_test(cases, one_hot_of_odd_values);
    tcase_add_test(cases, ordinal);
    tcase_add_test(cases, target_encode_values);
    tcase_add_test(cases, target_encode_out_of_fold);
    tcase_add_test(cases, target_encode_classes);
    tcase_add_test(cases, date_parts);
    tcase_add_test(cases, date_parts_cyclic);
    tcase_add_test(cases, calendar_day_by_day);
    tcase_add_test(cases, drop_missing);
    tcase_add_test(cases, drop_duplicates);
    tcase_add_loop_test(cases, states_that_lie, 0, 10);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
