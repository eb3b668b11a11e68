/* test_transforms.c: transforms of numbers and of missing values, the choice of columns and of training rows, and saved
 * states that lie. */
#include "transform_fixture.h"

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
    static const char *const uses[] = {
        "standardize",
        "one_hot",
        "{\"one_hot\": {\"max_categories\": 2}}",
        "ordinal",
        "date_parts",
        "{\"impute\": {\"marker\": true}}",
        "{\"impute\": {\"columns\": [\"color\", \"when\"], \"strategy\": \"mode\"}}",
        "{\"drop\": {\"columns\": \"num\"}}",
        "target_encode",
        "log1p",
    };
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
