/* A serving plan gives the bits of lathe_model_predict, row by row and in batches, and takes no memory. */
#include "serve/infer/plan.h"
#include "support_model.h"

#include <math.h>

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

static const char unseen[] = "never seen before";

/* A copy of the rows in which every 5th value is missing and every 7th category unseen. */
static lathe_table spoil(const lathe_table *in) {
    lathe_column *columns = calloc((size_t)in->n_columns, sizeof *columns);
    ck_assert_ptr_nonnull(columns);
    for (int64_t c = 0; c < in->n_columns; c++) {
        const size_t bytes = (size_t)(in->n_rows * lathe_value_size(in->columns[c].type));
        columns[c] = in->columns[c];
        columns[c].values = malloc(bytes);
        memcpy(columns[c].values, in->columns[c].values, bytes);
        for (int64_t i = 0; i < in->n_rows; i++) {
            const bool gone = (i * 3 + c) % 5 == 0, strange = (i * 2 + c) % 7 == 0;
            if (columns[c].type == LATHE_COLUMN_FLOAT64 && gone)
                ((double *)columns[c].values)[i] = (double)NAN;
            if (columns[c].type == LATHE_COLUMN_INT64 && gone)
                ((int64_t *)columns[c].values)[i] = LATHE_MISSING_INT;
            if (columns[c].type == LATHE_COLUMN_CATEGORY && (gone || strange))
                ((int32_t *)columns[c].values)[i] = gone ? LATHE_CODE_MISSING : LATHE_CODE_UNSEEN;
        }
    }
    return (lathe_table){in->n_rows, in->n_columns, columns};
}

static void free_spoiled(lathe_table *t) {
    for (int64_t c = 0; c < t->n_columns; c++)
        free(t->columns[c].values);
    free((void *)(uintptr_t)t->columns);
}

static int32_t put(lathe_plan *plan, int64_t column, int64_t row, const lathe_column *from,
                   int64_t at, lathe_error *err) {
    if (from->type == LATHE_COLUMN_FLOAT64)
        return lathe_plan_number(plan, column, row, ((const double *)from->values)[at], err);
    if (from->type == LATHE_COLUMN_STRING)
        return lathe_plan_text(plan, column, row, ((const lathe_str *)from->values)[at], err);
    if (from->type != LATHE_COLUMN_CATEGORY) {
        const int64_t value = ((const int64_t *)from->values)[at];
        return value == LATHE_MISSING_INT ? lathe_plan_number(plan, column, row, (double)NAN, err)
                                          : lathe_plan_integer(plan, column, row, value, err);
    }
    const int32_t code = ((const int32_t *)from->values)[at];
    const lathe_str text = code >= 0 ? from->dict[code]
                           : code == LATHE_CODE_MISSING
                               ? (lathe_str){NULL, 0}
                               : (lathe_str){unseen, (int64_t)sizeof unseen - 1};
    return lathe_plan_text(plan, column, row, text, err);
}

static long heap_used; /* by plans; Check's own assertions take memory */

/* Rows [begin, begin + n) of the table through the plan. */
static lathe_plan_output run(lathe_plan *plan, const lathe_table *table, const int64_t *where,
                             int64_t begin, int64_t n) {
    const lathe_table *raw = lathe_schema_table(lathe_model_get_info(lathe_plan_model(plan))->raw);
    lathe_plan_output out = {0};
    lathe_error err = {0};
    const long before = heap_count();
    int32_t rc = lathe_plan_begin(plan, n, &err);
    for (int64_t c = 0; c < raw->n_columns; c++)
        for (int64_t i = 0; rc == LATHE_OK && i < n; i++)
            rc = put(plan, c, i, &table->columns[where[c]], begin + i, &err);
    if (rc == LATHE_OK)
        rc = lathe_plan_run(plan, &out, &err);
    heap_used += heap_count() - before;
    fixture_ok(rc, &err, "plan");
    return out;
}

static void compare(const lathe_prediction *want, const lathe_plan_output *got, int64_t begin,
                    int64_t n) {
    const int64_t k = want->n_classes;
    if (k == 0) {
        ck_assert_mem_eq(want->value + begin, got->value, (size_t)n * sizeof(float));
        return;
    }
    ck_assert_mem_eq(want->probability + begin * k, got->probability,
                     (size_t)(n * k) * sizeof(float));
    ck_assert_mem_eq(want->label + begin, got->label, (size_t)n * sizeof(int32_t));
}

/* Rows [begin, begin + n) of the table join the batch. */
static void join(lathe_plan *plan, const lathe_table *table, const int64_t *where, int64_t begin,
                 int64_t n, int64_t want_first) {
    const lathe_table *raw = lathe_schema_table(lathe_model_get_info(lathe_plan_model(plan))->raw);
    lathe_error err = {0};
    int64_t first = -1;
    fixture_ok(lathe_plan_append(plan, n, &first, &err), &err, "append");
    ck_assert_int_eq(first, want_first);
    for (int64_t c = 0; c < raw->n_columns; c++)
        for (int64_t i = 0; i < n; i++)
            fixture_ok(put(plan, c, i, &table->columns[where[c]], begin + i, &err), &err, "put");
}

/* Rows at `at` of the output are those of the table from `begin` on. */
static void compare_part(const lathe_prediction *want, lathe_plan_output got, int64_t at,
                         int64_t begin, int64_t n) {
    if (got.value != NULL)
        got.value += at;
    if (got.probability != NULL)
        got.probability += at * want->n_classes;
    if (got.label != NULL)
        got.label += at;
    compare(want, &got, begin, n);
}

/* Several requests in one batch, of which one leaves before it runs. */
static void check_joined(lathe_plan *plan, const lathe_table *table, const int64_t *where,
                         const lathe_prediction *want) {
    lathe_plan_output got;
    lathe_error err = {0};
    int64_t first;
    lathe_plan_remove(plan, 0, lathe_plan_row_count(plan));
    join(plan, table, where, 0, 3, 0);
    join(plan, table, where, 3, 2, 3);
    join(plan, table, where, 5, 5, 5);
    lathe_plan_remove(plan, 3, 2);
    ck_assert_int_eq(lathe_plan_number(plan, 0, 0, 1, &err), LATHE_E_SHAPE); /* nobody's rows */
    join(plan, table, where, 10, 1, 8);
    ck_assert_int_eq(lathe_plan_append(plan, lathe_plan_max_rows(plan) - 8, &first, &err),
                     LATHE_E_SHAPE);
    ck_assert_int_eq(lathe_plan_row_count(plan), 9);
    fixture_ok(lathe_plan_run(plan, &got, &err), &err, "run");
    compare_part(want, got, 0, 0, 3);
    compare_part(want, got, 3, 5, 6);
    _Atomic bool stop = true;
    lathe_plan_stop_on(plan, &stop);
    ck_assert_int_eq(lathe_plan_run(plan, &got, &err), LATHE_E_CANCELLED);
    lathe_plan_stop_on(plan, NULL);
}

static void check_model(const char *document, const char *csv) {
    model_rows rows;
    lathe_plan *plan;
    lathe_prediction want;
    lathe_error err = {0};
    int64_t where[64];
    lathe_model *model = model_train(&fx, document);
    model_rows_open(&fx, csv, 1500, &rows);
    lathe_table spoiled = spoil(&rows.table);
    const lathe_table *raw = lathe_schema_table(lathe_model_get_info(model)->raw);
    ck_assert_int_le(raw->n_columns, 64);
    for (int64_t c = 0; c < raw->n_columns; c++)
        where[c] = lathe_table_find(&spoiled, raw->columns[c].name);
    fixture_ok(lathe_model_predict(model, &spoiled, &want, &err), &err, "predict");
    fixture_ok(lathe_plan_new(model, 1100, &plan, &err), &err, "plan");
    heap_used = 0;
    for (int64_t i = 0; i < spoiled.n_rows; i++) {
        const lathe_plan_output got = run(plan, &spoiled, where, i, 1);
        compare(&want, &got, i, 1);
    }
    const int64_t sizes[] = {2, 7, 64, 1100};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int64_t i = 0; i < spoiled.n_rows; i += sizes[s]) {
            const int64_t n = i + sizes[s] < spoiled.n_rows ? sizes[s] : spoiled.n_rows - i;
            const lathe_plan_output got = run(plan, &spoiled, where, i, n);
            compare(&want, &got, i, n);
        }
    check_joined(plan, &spoiled, where, &want);
    ck_assert_int_eq(heap_used, 0);
    ck_assert_int_gt(heap_count(), 1000); /* they are counted at all */
    lathe_prediction_free(&want);
    lathe_plan_free(plan);
    free_spoiled(&spoiled);
    model_rows_close(&rows);
    lathe_model_close(model);
}

START_TEST(penguins) {
    check_model(model_penguins, "penguins.csv");
}
END_TEST

START_TEST(adult) {
    check_model(model_adult, "adult.csv.gz");
}
END_TEST

START_TEST(bikes) {
    check_model(model_bikes, "bike_sharing_hour.csv.gz");
}
END_TEST

/* What a column does not take is refused with its name and the row; the same value otherwise means the same. */
START_TEST(values) {
    lathe_plan *plan;
    lathe_error err = {0};
    lathe_model *model = model_train(&fx, model_adult);
    const lathe_table *raw = lathe_schema_table(lathe_model_get_info(model)->raw);
    const int64_t age = lathe_table_find(raw, "age"), sex = lathe_table_find(raw, "sex");
    fixture_ok(lathe_plan_new(model, 4, &plan, &err), &err, "plan");
    ck_assert_int_eq(lathe_plan_begin(plan, 5, &err), LATHE_E_SHAPE);
    ck_assert_int_eq(lathe_plan_begin(plan, 0, &err), LATHE_E_SHAPE);
    fixture_ok(lathe_plan_begin(plan, 3, &err), &err, "begin");
    const lathe_column *columns = lathe_plan_rows(plan)->columns;
    for (int64_t c = 0; c < raw->n_columns; c++)
        ck_assert(lathe_is_missing(&columns[c], 2));
    ck_assert_int_eq(lathe_plan_number(plan, age, 3, 1, &err), LATHE_E_SHAPE);
    ck_assert_int_eq(lathe_plan_number(plan, raw->n_columns, 0, 1, &err), LATHE_E_SHAPE);
    ck_assert_int_eq(lathe_plan_text(plan, age, 1, (lathe_str){"old", 3}, &err), LATHE_E_DATA);
    ck_assert_str_eq(err.where, "age");
    ck_assert_ptr_nonnull(strstr(err.message, "row 2 of column 'age' is 'old'"));
    int64_t first; /* in a batch, rows count from the request's first */
    fixture_ok(lathe_plan_append(plan, 1, &first, &err), &err, "append");
    ck_assert_int_eq(lathe_plan_text(plan, age, 0, (lathe_str){"old", 3}, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "row 1 of column 'age' is 'old'"));
    fixture_ok(lathe_plan_begin(plan, 3, &err), &err, "begin");
    fixture_ok(lathe_plan_text(plan, age, 0, (lathe_str){" 38 ", 4}, &err), &err, "text");
    ck_assert(lathe_number_at(&columns[age], 0, 0) == 38);
    fixture_ok(lathe_plan_text(plan, age, 0, (lathe_str){" ", 1}, &err), &err, "blank");
    ck_assert(lathe_is_missing(&columns[age], 0));
    fixture_ok(lathe_plan_text(plan, sex, 0, (lathe_str){"Male", 4}, &err), &err, "text");
    ck_assert_int_eq(
        ((const int32_t *)columns[sex].values)[0],
        lathe_schema_code(lathe_model_get_info(model)->raw, sex, (lathe_str){"Male", 4}));
    ck_assert_int_ge(((const int32_t *)columns[sex].values)[0], 0);
    fixture_ok(lathe_plan_number(plan, sex, 0, 3, &err), &err, "number");
    ck_assert_int_eq(((const int32_t *)columns[sex].values)[0], LATHE_CODE_UNSEEN);
    if (columns[age].type == LATHE_COLUMN_INT64)
        ck_assert_int_eq(lathe_plan_number(plan, age, 0, 1.5, &err), LATHE_E_DATA);
    lathe_plan_free(plan);
    lathe_model_close(model);
}
END_TEST

static const char numbers_alone[] =
    "{\"lathe\": 1, \"name\": \"cells\", \"seed\": 3, \"goal\": {\"task\": \"classification\", "
    "\"target\": "
    "\"diagnosis\", \"metric\": \"auc\"}, \"prepare\": {\"source\": {\"csv\": {\"path\": "
    "\"" LATHE_DATA_DIR
    "/breast_cancer.csv\"}}}, \"train\": {\"candidates\": {\"a\": {\"linear\": {}}}}}";

/* A whole row of numbers is there in one piece as long as it is the plan's row. */
START_TEST(flat_rows) {
    double values[64];
    lathe_plan *plan;
    lathe_error err = {0};
    lathe_model *model = model_train(&fx, numbers_alone);
    const int64_t k = lathe_schema_table(lathe_model_get_info(model)->raw)->n_columns;
    ck_assert_int_eq(k, 30);
    for (int64_t i = 0; i < k; i++)
        values[i] = 1.5 + (double)i;
    fixture_ok(lathe_plan_new(model, 4, &plan, &err), &err, "plan");
    const void *const *columns = lathe_plan_values(plan);
    for (int64_t row = 0; row < 2; row++) { /* alone, and behind another one */
        int64_t first = 0;
        if (row == 0)
            fixture_ok(lathe_plan_begin(plan, 1, &err), &err, "begin");
        else
            fixture_ok(lathe_plan_append(plan, 1, &first, &err), &err, "append");
        ck_assert_ptr_null(lathe_plan_flat(plan, row));
        values[0] = (double)row;
        fixture_ok(lathe_plan_numbers(plan, -1, 0, k, values, &err), &err, "numbers");
        const double *flat = lathe_plan_flat(plan, row);
        ck_assert_ptr_nonnull(flat);
        ck_assert_ptr_null(lathe_plan_flat(plan, 1 - row));
        ck_assert_mem_eq(flat, values, (size_t)k * sizeof *flat);
        ck_assert(flat[k] == 0 && flat[k + 1] == 0);
        for (int64_t c = 0; c < k; c++)
            ck_assert(((const double *)columns[c])[row] == values[c]);
    }
    fixture_ok(lathe_plan_number(plan, 3, 0, 7, &err), &err, "a number of its own");
    ck_assert_ptr_null(lathe_plan_flat(plan, 1));
    fixture_ok(lathe_plan_numbers(plan, -1, 0, k, values, &err), &err, "numbers");
    ck_assert_ptr_nonnull(lathe_plan_flat(plan, 1));
    fixture_ok(lathe_plan_numbers(plan, -1, 2, 3, values, &err), &err, "some again");
    ck_assert_ptr_null(lathe_plan_flat(plan, 1));
    fixture_ok(lathe_plan_numbers(plan, -1, 0, k, values, &err), &err, "numbers");
    lathe_plan_remove(plan, 0, 1);
    ck_assert_ptr_null(lathe_plan_flat(plan, 1));
    fixture_ok(lathe_plan_begin(plan, 2, &err), &err, "two rows");
    fixture_ok(lathe_plan_numbers(plan, -1, 0, k, values, &err), &err, "numbers");
    ck_assert_ptr_null(lathe_plan_flat(plan, 0));
    lathe_plan_free(plan);
    lathe_model_close(model);
}
END_TEST

int main(void) {
    Suite *s = suite_create("serve_plan");
    TCase *tc = tcase_create("plan");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, penguins);
    tcase_add_test(tc, adult);
    tcase_add_test(tc, bikes);
    tcase_add_test(tc, values);
    tcase_add_test(tc, flat_rows);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
