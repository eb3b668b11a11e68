/* Frames: growing by blocks, dictionaries, frames from frames, conversions, bad blocks. */
#include "data/frame.h"
#include "data/text.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S(text)                                                                                    \
    (lathe_str) {                                                                                  \
        text, (int64_t)sizeof(text) - 1                                                            \
    }

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

static void fails(int32_t code, int32_t want, const char *text) {
    ck_assert_int_eq(code, want);
    ck_assert_msg(strstr(err.message, text) != NULL || strstr(err.where, text) != NULL, "%s: %s",
                  err.where, err.message);
}

static const lathe_column *col(const lathe_frame *f, int64_t i) {
    return &lathe_frame_table(f)->columns[i];
}

/* The text of a category cell; "-" missing, "?" unseen. */
static const char *cell(const lathe_frame *f, int64_t column, int64_t row) {
    static char buf[64];
    const lathe_column *c = col(f, column);
    int32_t code = ((const int32_t *)c->values)[row];
    if (code < 0)
        return code == LATHE_CODE_MISSING ? "-" : "?";
    snprintf(buf, sizeof buf, "%.*s", (int)c->dict[code].len, c->dict[code].ptr);
    return buf;
}

/* Two blocks with num, int, cat, str; the second's dictionary has grown, or is another one
 * altogether. */
static lathe_frame *two_blocks(bool other_dict) {
    double num[3] = {1, NAN, 3};
    int64_t ints[3] = {5, LATHE_MISSING_INT, 7};
    int32_t cat[3] = {0, 1, LATHE_CODE_MISSING}, cat2[2] = {2, LATHE_CODE_UNSEEN},
            cat3[2] = {0, -2};
    char text[] = "hello";
    lathe_str dict[3] = {S("pear"), S("apple"), S("fig")}, other[1] = {S("fig")};
    lathe_str str[3] = {{text, 5}, {NULL, 0}, {text, 0}};
    lathe_column c[4] = {{"num", LATHE_COLUMN_FLOAT64, 0, num, NULL, 0},
                         {"int", LATHE_COLUMN_INT64, 0, ints, NULL, 0},
                         {"cat", LATHE_COLUMN_CATEGORY, 0, cat, dict, 2},
                         {"str", LATHE_COLUMN_STRING, 0, str, NULL, 0}};
    lathe_table block = {3, 4, c};
    lathe_frame *f;
    ok(lathe_frame_begin(&block, &f, &err));
    ck_assert_ptr_null(lathe_frame_table(f));
    ok(lathe_frame_append(f, &block, &err));
    text[0] = 'j'; /* the frame has copied */
    block.n_rows = 2;
    c[2] = (lathe_column){"cat",
                          LATHE_COLUMN_CATEGORY,
                          0,
                          other_dict ? cat3 : cat2,
                          other_dict ? other : dict,
                          other_dict ? 1 : 3};
    ok(lathe_frame_append(f, &block, &err));
    block.n_rows = 0;
    ok(lathe_frame_append(f, &block, &err));
    ok(lathe_frame_finish(f, &err));
    return f;
}

static void check_two_blocks(bool other_dict) {
    lathe_frame *f = two_blocks(other_dict);
    ck_assert_int_eq(lathe_frame_rows(f), 5);
    const lathe_column *cat = col(f, 2);
    ck_assert_int_eq(cat->dict_size, 3);
    ck_assert(lathe_str_equal(cat->dict[0], S("apple")) &&
              lathe_str_equal(cat->dict[2], S("pear")));
    ck_assert_str_eq(cell(f, 2, 0), "pear");
    ck_assert_str_eq(cell(f, 2, 1), "apple");
    ck_assert_str_eq(cell(f, 2, 2), "-");
    ck_assert_str_eq(cell(f, 2, 3), "fig");
    ck_assert_str_eq(cell(f, 2, 4), "?");
    const lathe_str *s = col(f, 3)->values;
    ck_assert(lathe_str_equal(s[0], S("hello")) && s[1].ptr == NULL && s[2].ptr != NULL &&
              s[2].len == 0 && lathe_str_equal(s[3], S("jello")));
    ck_assert_int_eq(((const int64_t *)col(f, 1)->values)[4], LATHE_MISSING_INT);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(lathe_frame_row_id(f)[i], i);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq((uintptr_t)col(f, i)->values % 64, 0);
    ck_assert_int_gt(lathe_frame_bytes(f), 5 * (8 + 8 + 4 + 16 + 8));
    lathe_frame_free(f);
}

START_TEST(blocks_are_merged) {
    check_two_blocks(false);
    check_two_blocks(true);
}
END_TEST

/* Thousands of rows and categories in blocks of many sizes come out as they went in. */
START_TEST(many_blocks) {
    enum { N = 20000, K = 700 };
    lathe_str dict[K];
    static char names[K][8];
    static int32_t codes[N];
    for (int k = 0; k < K; k++) {
        snprintf(names[k], sizeof names[k], "v%d", (k * 37) % K);
        dict[k] = lathe_str_of(names[k]);
    }
    lathe_column c = {"c", LATHE_COLUMN_CATEGORY, 0, NULL, dict, 0};
    lathe_table block = {0, 1, &c};
    lathe_frame *f;
    ok(lathe_frame_begin(&block, &f, &err));
    for (int at = 0, size = 1; at < N; at += size, size = size % 997 + 13) {
        if (at + size > N)
            size = N - at;
        for (int i = at; i < at + size; i++)
            codes[i] = i < K ? i : (i * 7) % K;
        c.values = codes + at;
        c.dict_size = at + size < K ? at + size : K;
        block.n_rows = size;
        ok(lathe_frame_append(f, &block, &err));
    }
    ok(lathe_frame_finish(f, &err));
    const lathe_column *out = col(f, 0);
    ck_assert_int_eq(out->dict_size, K);
    for (int k = 1; k < K; k++)
        ck_assert_int_lt(lathe_str_compare(out->dict[k - 1], out->dict[k]), 0);
    for (int i = 0; i < N; i++) {
        if (!lathe_str_equal(out->dict[((int32_t *)out->values)[i]], dict[codes[i]]))
            ck_abort_msg("row %d", i);
    }
    lathe_frame_free(f);
}
END_TEST

START_TEST(bad_blocks) {
    int32_t codes[2] = {0, 1};
    lathe_str dict[2] = {S("a"), S("b")};
    double x[2] = {1, 2};
    lathe_column c[2] = {{"c", LATHE_COLUMN_CATEGORY, 0, codes, dict, 2},
                         {"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0}};
    lathe_table block = {2, 2, c};
    lathe_frame *f;
    ok(lathe_frame_begin(&block, &f, &err));
    ok(lathe_frame_append(f, &block, &err));
    codes[1] = 2;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_DATA, "row 4");
    codes[1] = -3;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_DATA, "code -3");
    codes[1] = 1;
    dict[1].ptr = NULL;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_DATA, "value 1");
    dict[1] = S("b");
    c[1].name = "y";
    fails(lathe_frame_append(f, &block, &err), LATHE_E_SHAPE, "'y'");
    c[1].name = "x";
    c[1].type = LATHE_COLUMN_INT64;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_SHAPE, "x");
    c[1].type = LATHE_COLUMN_FLOAT64;
    c[1].values = NULL;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_SHAPE, "values");
    c[1].values = x;
    block.n_columns = 1;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_SHAPE, "columns");
    block.n_columns = 2;
    block.n_rows = -1;
    fails(lathe_frame_append(f, &block, &err), LATHE_E_SHAPE, "rows");
    block.n_rows = 2;
    lathe_frame *g;
    fails(lathe_frame_clone(f, &g, &err), LATHE_E_STATE, "finish");
    ok(lathe_frame_append(f, &block, &err)); /* what failed left no trace */
    ok(lathe_frame_finish(f, &err));
    ck_assert_int_eq(lathe_frame_rows(f), 4);
    fails(lathe_frame_finish(f, &err), LATHE_E_STATE, "already");
    fails(lathe_frame_append(f, &block, &err), LATHE_E_STATE, "finished");
    lathe_frame_free(f);
    c[1].name = "c";
    fails(lathe_frame_begin(&block, &f, &err), LATHE_E_EXISTS, "'c'");
    c[1].name = "x";
    c[1].type = 9;
    fails(lathe_frame_begin(&block, &f, &err), LATHE_E_INVALID, "type 9");
    block.n_columns = 0; /* a table of no columns still counts no rows */
    ok(lathe_frame_begin(&block, &f, &err));
    ok(lathe_frame_finish(f, &err));
    lathe_frame_free(f);
}
END_TEST

START_TEST(take_concat_select) {
    lathe_frame *f = two_blocks(false), *g, *h, *k;
    int64_t rows[] = {4, 0, 0}, columns[] = {3, 2}, bad = 5;
    ok(lathe_frame_take(f, rows, 3, &g, &err));
    fails(lathe_frame_take(f, &bad, 1, &h, &err), LATHE_E_INVALID, "row 5");
    ok(lathe_frame_select(g, columns, 2, &h, &err));
    lathe_frame_free(f);
    lathe_frame_free(g); /* the rest shares */
    ck_assert_int_eq(lathe_frame_row_id(h)[0], 4);
    ck_assert_str_eq(cell(h, 1, 0), "?");
    ck_assert_str_eq(cell(h, 1, 2), "pear");
    ck_assert(lathe_str_equal(((lathe_str *)col(h, 0)->values)[1], S("hello")));
    const lathe_frame *both[2] = {h, h};
    ok(lathe_frame_concat(both, 2, &k, &err));
    ck_assert_int_eq(lathe_frame_rows(k), 6);
    ck_assert_int_eq(lathe_frame_row_id(k)[3], 4);
    ck_assert_int_eq(col(k, 1)->dict_size, 3);
    ck_assert_str_eq(cell(k, 1, 5), "pear");
    ok(lathe_frame_freeze(h, 1, NULL, 0, &err)); /* h and k have different dictionaries now */
    ck_assert_int_eq(col(h, 1)->dict_size, 1);
    both[1] = k;
    ok(lathe_frame_concat(both, 2, &f, &err));
    ck_assert_int_eq(col(f, 1)->dict_size, 3);
    ck_assert_str_eq(cell(f, 1, 1), "pear");
    ck_assert_str_eq(cell(f, 1, 8), "pear");
    ok(lathe_frame_take(f, NULL, 0, &g, &err));
    ck_assert_int_eq(lathe_frame_rows(g), 0);
    const lathe_frame *empty_first[2] = {g, f};
    lathe_frame *m;
    ok(lathe_frame_concat(empty_first, 2, &m, &err));
    ck_assert_int_eq(lathe_frame_rows(m), 9);
    lathe_frame_free(m);
    lathe_frame_free(f);
    lathe_frame_free(g);
    lathe_frame_free(h);
    lathe_frame_free(k);
}
END_TEST

START_TEST(columns_come_and_go) {
    lathe_frame *f = two_blocks(false), *g;
    double x[5] = {1, 2, 3, 4, 5};
    lathe_column c = {"new", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0};
    ok(lathe_frame_clone(f, &g, &err));
    ok(lathe_frame_add_column(g, &c, &err));
    fails(lathe_frame_add_column(g, &c, &err), LATHE_E_EXISTS, "'new'");
    ok(lathe_frame_drop_column(g, 0, &err));
    ok(lathe_frame_share_column(g, f, 0, "old", &err));
    fails(lathe_frame_drop_column(g, 9, &err), LATHE_E_INVALID, "column 9");
    ck_assert_int_eq(lathe_frame_find(g, "new"), 3);
    ck_assert_int_eq(lathe_frame_find(g, "num"), -1);
    ck_assert_ptr_eq(col(g, 4)->values, col(f, 0)->values);
    ck_assert_str_eq(col(g, 4)->name, "old");
    int64_t at;
    fails(lathe_table_need(lathe_frame_table(f), "nun", "the target", &at, &err), LATHE_E_NOT_FOUND,
          "did you mean 'num'");
    fails(lathe_table_need(lathe_frame_table(f), "zzzzzzz", "column", &at, &err), LATHE_E_NOT_FOUND,
          "column 'zzzzzzz'");
    lathe_frame *h;
    int64_t dropped;
    ok(lathe_frame_drop_missing(f, 0, &h, &dropped, &err));
    ck_assert_int_eq(dropped, 2);
    ck_assert_int_eq(lathe_frame_rows(h), 3);
    ck_assert_int_eq(lathe_frame_row_id(h)[1], 2);
    lathe_frame_free(f);
    lathe_frame_free(g);
    lathe_frame_free(h);
}
END_TEST

START_TEST(numbers_to_categories) {
    double x[7] = {1, -0.0, NAN, 0.1, 10, 1e300, 2};
    int64_t n[7] = {10, 9, LATHE_MISSING_INT, -1, 10, 0, 9},
            t[7] = {0, 1, -1, 86400000000, 0, 0, 0};
    lathe_column c[3] = {{"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0},
                         {"n", LATHE_COLUMN_INT64, 0, n, NULL, 0},
                         {"t", LATHE_COLUMN_TIMESTAMP, 0, t, NULL, 0}};
    lathe_table table = {7, 3, c};
    lathe_frame *f;
    ok(lathe_frame_copy_table(&table, NULL, &f, &err));
    for (int i = 0; i < 3; i++)
        ok(lathe_frame_to_category(f, i, &err));
    static const char *const want[3][7] = {{"1", "0", "-", "0.1", "10", "1e+300", "2"},
                                           {"10", "9", "-", "-1", "10", "0", "9"},
                                           {"1970-01-01", "1970-01-01T00:00:00.000001Z",
                                            "1969-12-31T23:59:59.999999Z", "1970-01-02",
                                            "1970-01-01", "1970-01-01", "1970-01-01"}};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 7; i++)
            ck_assert_str_eq(cell(f, k, i), want[k][i]);
    }
    const lathe_column *d = col(f, 1); /* by bytes: "-1" "0" "10" "9" */
    ck_assert(d->dict_size == 4 && lathe_str_equal(d->dict[2], S("10")));
    ok(lathe_frame_to_float64(f, 0, &err));
    for (int i = 0; i < 7; i++)
        ck_assert(((double *)col(f, 0)->values)[i] == x[i] || isnan(x[i]));
    fails(lathe_frame_to_float64(f, 2, &err), LATHE_E_DATA, "row 1");
    lathe_frame_free(f);
}
END_TEST

START_TEST(texts_to_numbers) {
    lathe_str text[4] = {S(" 1.5 "), S(""), {NULL, 0}, S("1e3")};
    lathe_column c = {"s", LATHE_COLUMN_STRING, 0, text, NULL, 0};
    lathe_table table = {4, 1, &c};
    int64_t ids[4] = {5, 6, 7, 8};
    lathe_frame *f, *g;
    ok(lathe_frame_copy_table(&table, ids, &f, &err));
    ok(lathe_frame_clone(f, &g, &err));
    ok(lathe_frame_to_float64(f, 0, &err));
    const double *x = col(f, 0)->values;
    ck_assert(x[0] == 1.5 && isnan(x[1]) && isnan(x[2]) && x[3] == 1000);
    ck_assert_int_eq(col(g, 0)->type, LATHE_COLUMN_STRING); /* the sharer keeps its own */
    ok(lathe_frame_to_category(g, 0, &err));
    ck_assert_int_eq(col(g, 0)->dict_size, 3);
    lathe_frame_free(f);
    text[3] = S("abc");
    ok(lathe_frame_copy_table(&table, ids, &f, &err));
    fails(lathe_frame_to_float64(f, 0, &err), LATHE_E_DATA, "row 9 has 'abc'");
    lathe_frame_free(f);
    lathe_frame_free(g);
}
END_TEST

START_TEST(freeze_to_training_rows) {
    lathe_frame *f = two_blocks(false);
    int64_t rows[] = {0, 2};
    ok(lathe_frame_freeze_all(f, rows, 2, &err));
    ck_assert_int_eq(col(f, 2)->dict_size, 1);
    ck_assert_str_eq(cell(f, 2, 0), "pear");
    ck_assert_str_eq(cell(f, 2, 1), "?");
    ck_assert_str_eq(cell(f, 2, 2), "-");
    fails(lathe_frame_freeze(f, 0, rows, 2, &err), LATHE_E_INVALID, "num");
    rows[0] = 77;
    fails(lathe_frame_freeze(f, 2, rows, 2, &err), LATHE_E_INVALID, "row 77");
    lathe_frame_free(f);
}
END_TEST

/* What a transform gets: shared columns, fresh ones, texts that are borrowed until owned. */
START_TEST(fields_of_a_transform) {
    lathe_frame *f = two_blocks(false), *g;
    lathe_str dict[2] = {S("no"), S("yes")};
    lathe_field fields[3] = {{"kept", LATHE_COLUMN_FLOAT64, 0, NULL, 0},
                             {"flag", LATHE_COLUMN_CATEGORY, -1, dict, 2},
                             {"text", LATHE_COLUMN_STRING, -1, NULL, 0}};
    ok(lathe_frame_for_fields(f, fields, 3, &g, &err));
    ck_assert_ptr_eq(col(g, 0)->values, col(f, 0)->values);
    int32_t *flag = col(g, 1)->values;
    lathe_str *text = col(g, 2)->values;
    ck_assert(flag[4] == 0 && text[4].ptr == NULL);
    char *borrowed = strdup("abc");
    for (int i = 0; i < 5; i++) {
        flag[i] = i % 2;
        text[i] = (lathe_str){i == 2 ? NULL : borrowed, i == 2 ? 0 : 3};
    }
    ok(lathe_frame_own_strings(g, &err));
    free(borrowed);
    ck_assert_str_eq(cell(g, 1, 3), "yes");
    ck_assert(lathe_str_equal(((lathe_str *)col(g, 2)->values)[4], S("abc")));
    ck_assert_ptr_null(((lathe_str *)col(g, 2)->values)[2].ptr);
    lathe_frame *bad;
    fields[2].name = "flag";
    fails(lathe_frame_for_fields(f, fields, 3, &bad, &err), LATHE_E_INVALID, "flag");
    fields[2].name = "t";
    fields[0].source = 9;
    fails(lathe_frame_for_fields(f, fields, 3, &bad, &err), LATHE_E_INVALID, "column 9");
    lathe_frame_free(f);
    lathe_frame_free(g);
}
END_TEST

START_TEST(texts_read_and_print) {
    double x;
    int64_t n;
    ck_assert(lathe_read_number(S("\t-1.25e2 "), &x) && x == -125);
    ck_assert(lathe_read_number(S("NaN"), &x) && isnan(x));
    ck_assert(lathe_read_number(S("-Infinity"), &x) && x == -INFINITY);
    static const char *const no[] = {"",    " ",  "0x10", "1 2", "1,5",  "e5",
                                     "--1", "1e", ".",    "in",  "1.2.3"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ck_assert_msg(!lathe_read_number(lathe_str_of(no[i]), &x), "'%s'", no[i]);
    char big[301];
    memset(big, '1', 300);
    big[300] = 0;
    ck_assert(lathe_read_number(lathe_str_of(big), &x) && x > 1e299);
    ck_assert(lathe_read_int(S("-9223372036854775808"), &n) && n == INT64_MIN);
    ck_assert(lathe_read_int(S(" +9223372036854775807"), &n) && n == INT64_MAX);
    ck_assert(!lathe_read_int(S("9223372036854775808"), &n) && !lathe_read_int(S("1.0"), &n) &&
              !lathe_read_int(S("-"), &n) && !lathe_read_int(S(""), &n));
    ck_assert(lathe_read_time(S("1970-01-01T01:00:00.5+01:00"), &n) && n == 500000);
    ck_assert(lathe_read_time(S("1969-12-31 23:59:59"), &n) && n == -1000000);
    ck_assert(lathe_read_time(S("2024-02-29"), &n) && n == INT64_C(1709164800000000));
    static const char *const times[] = {"2023-02-29",        "2024-13-01",    "2024-01-01T24:00",
                                        "24-01-01",          "2024-01-01T10", "2024-01-01T10:00x",
                                        "2024-01-01T10:00+9"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        ck_assert_msg(!lathe_read_time(lathe_str_of(times[i]), &n), "%s", times[i]);
    char buf[LATHE_CELL_TEXT];
    for (int64_t us = INT64_C(-62135596800000000); us < INT64_C(253402300800000000);
         us += INT64_C(777777777777777)) {
        lathe_print_time(us, buf);
        ck_assert(lathe_read_time(lathe_str_of(buf), &n) && n == us);
    }
    lathe_print_time(INT64_MAX, buf);
    ck_assert_str_eq(buf, "9223372036854775807");
    lathe_print_number(-INFINITY, buf);
    ck_assert_str_eq(buf, "-inf");
    lathe_print_number(1234567890123, buf);
    ck_assert_str_eq(buf, "1234567890123");
}
END_TEST

int main(void) {
    Suite *s = suite_create("frame");
    TCase *t = tcase_create("frame");
    tcase_add_test(t, blocks_are_merged);
    tcase_add_test(t, many_blocks);
    tcase_add_test(t, bad_blocks);
    tcase_add_test(t, take_concat_select);
    tcase_add_test(t, columns_come_and_go);
    tcase_add_test(t, numbers_to_categories);
    tcase_add_test(t, texts_to_numbers);
    tcase_add_test(t, freeze_to_training_rows);
    tcase_add_test(t, fields_of_a_transform);
    tcase_add_test(t, texts_read_and_print);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
