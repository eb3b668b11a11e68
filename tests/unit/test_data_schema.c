/* Schemas: equality, codes, JSON in and out, recoding of foreign tables. */
#include "data/schema.h"
#include "data/text.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define S(text)                                                                                    \
    (lathe_str) {                                                                                  \
        text, (int64_t)sizeof(text) - 1                                                            \
    }
#define MISS LATHE_MISSING_INT

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

static void fails(int32_t code, int32_t want, const char *text) {
    ck_assert_int_eq(code, want);
    ck_assert_msg(strstr(err.message, text) != NULL || strstr(err.where, text) != NULL, "%s: %s",
                  err.where, err.message);
}

static lathe_str dict[] = {{"1", 1},    {"2.5", 3}, {"caf\xc3\xa9", 5},
                           {"\xff", 1}, {"", 0},    {"a\0b", 3}};

/* x float64, n int64, t timestamp, c category, s string. */
static lathe_schema *some_schema(void) {
    lathe_column c[] = {{"x", LATHE_COLUMN_FLOAT64, 0, NULL, NULL, 0},
                        {"n", LATHE_COLUMN_INT64, 0, NULL, NULL, 0},
                        {"t", LATHE_COLUMN_TIMESTAMP, 0, NULL, NULL, 0},
                        {"c", LATHE_COLUMN_CATEGORY, 0, NULL, dict, 6},
                        {"s", LATHE_COLUMN_STRING, 0, NULL, NULL, 0}};
    lathe_table t = {0, 5, c};
    lathe_schema *s;
    ok(lathe_schema_from_table(&t, &s, &err));
    return s;
}

START_TEST(codes) {
    lathe_schema *s = some_schema();
    for (int32_t k = 0; k < 6; k++)
        ck_assert_int_eq(lathe_schema_code(s, 3, dict[k]), k);
    ck_assert_int_eq(lathe_schema_code(s, 3, S("z")), LATHE_CODE_UNSEEN);
    ck_assert_int_eq(lathe_schema_code(s, 3, S("a")), LATHE_CODE_UNSEEN);
    ck_assert_int_eq(lathe_schema_code(s, 3, (lathe_str){NULL, 0}), LATHE_CODE_MISSING);
    lathe_schema_free(s);
    lathe_schema_free(NULL);
}
END_TEST

START_TEST(json_round_trip) {
    lathe_schema *s = some_schema(), *back;
    cJSON *json = lathe_schema_to_json(s);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    json = cJSON_Parse(text);
    ok(lathe_schema_from_json(json, &back, &err));
    ck_assert(lathe_schema_equal(s, back) && lathe_schema_equal(NULL, NULL));
    ck_assert(!lathe_schema_equal(s, NULL));
    cJSON_Delete(json);
    free(text);
    /* every change is noticed */
    const char *const changed[] = {
        "[]",
        "[{\"name\":\"x\",\"type\":\"int64\"}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[\"a\"]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[\"b\"]}]",
    };
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        lathe_schema *other;
        json = cJSON_Parse(changed[i]);
        ok(lathe_schema_from_json(json, &other, &err));
        ck_assert(!lathe_schema_equal(other, back));
        lathe_schema_free(back);
        back = other;
        cJSON_Delete(json);
    }
    lathe_schema_free(back);
    lathe_schema_free(s);
}
END_TEST

START_TEST(broken_json) {
    static const char *const broken[] = {
        "{}",
        "3",
        "[3]",
        "[{}]",
        "[{\"name\":\"x\"}]",
        "[{\"name\":1,\"type\":\"int64\"}]",
        "[{\"name\":\"x\",\"type\":\"int\"}]",
        "[{\"name\":\"\",\"type\":\"int64\"}]",
        "[{\"name\":\"x\",\"type\":\"int64\"},{\"name\":\"x\",\"type\":\"int64\"}]",
        "[{\"name\":\"c\",\"type\":\"category\"}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":{}}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[1]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[null]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[\"a\",\"a\"]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[{\"hex\":\"f\"}]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[{\"hex\":\"zz\"}]}]",
        "[{\"name\":\"c\",\"type\":\"category\",\"values\":[{\"hex\":7}]}]",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        lathe_schema *s;
        cJSON *json = cJSON_Parse(broken[i]);
        ck_assert_msg(lathe_schema_from_json(json, &s, &err) == LATHE_E_CORRUPT, "%s", broken[i]);
        ck_assert_int_eq(err.code, LATHE_E_CORRUPT);
        ck_assert_int_gt(strlen(err.message), 10);
        cJSON_Delete(json);
    }
    lathe_schema *s;
    ck_assert_int_eq(lathe_schema_from_json(NULL, &s, NULL), LATHE_E_CORRUPT);
}
END_TEST

/* A table with the schema's columns in another order, of the types given, and one more. */
typedef struct foreign {
    lathe_column c[6];
    lathe_table t;
} foreign;

static foreign make_foreign(int64_t n) {
    foreign f = {.t = {n, 6, NULL}};
    f.c[0] = (lathe_column){"more", LATHE_COLUMN_STRING, 0, NULL, NULL, 0};
    return f;
}

static lathe_frame *recode(foreign *f) {
    lathe_schema *s = some_schema();
    lathe_frame *out;
    f->t.columns = f->c;
    ok(lathe_schema_recode(s, &f->t, NULL, &out, &err));
    lathe_schema_free(s);
    return out;
}

static const void *values(const lathe_frame *f, int i) {
    return lathe_frame_table(f)->columns[i].values;
}

START_TEST(recode_texts) {
    lathe_str more[4] = {{NULL, 0}}, x[4] = {S("1"), S(" -2.5 "), S(""), {NULL, 0}},
              n[4] = {S("7"), S("8.0"), S(" "), {NULL, 0}},
              t[4] = {S("1970-01-02"), S("1970-01-01T00:00:01Z"), S(""), {NULL, 0}};
    lathe_str cdict[3] = {S("zzz"), S("2.5"), S("1")}, sdict[1] = {S("hey")};
    int32_t c[4] = {2, 1, 0, LATHE_CODE_UNSEEN}, s[4] = {0, LATHE_CODE_MISSING, 0, 0};
    foreign f = make_foreign(4);
    f.c[0].values = more;
    f.c[1] = (lathe_column){"s", LATHE_COLUMN_CATEGORY, 0, s, sdict, 1};
    f.c[2] = (lathe_column){"c", LATHE_COLUMN_CATEGORY, 0, c, cdict, 3};
    f.c[3] = (lathe_column){"t", LATHE_COLUMN_STRING, 0, t, NULL, 0};
    f.c[4] = (lathe_column){"n", LATHE_COLUMN_STRING, 0, n, NULL, 0};
    f.c[5] = (lathe_column){"x", LATHE_COLUMN_STRING, 0, x, NULL, 0};
    lathe_frame *g = recode(&f);
    const double *gx = values(g, 0);
    const int64_t *gn = values(g, 1), *gt = values(g, 2);
    const int32_t *gc = values(g, 3);
    const lathe_str *gs = values(g, 4);
    ck_assert_int_eq(lathe_frame_columns(g), 5);
    ck_assert(gx[0] == 1 && gx[1] == -2.5 && isnan(gx[2]) && isnan(gx[3]));
    ck_assert(gn[0] == 7 && gn[1] == 8 && gn[2] == MISS && gn[3] == MISS);
    ck_assert(gt[0] == INT64_C(86400000000) && gt[1] == 1000000 && gt[2] == MISS && gt[3] == MISS);
    ck_assert(gc[0] == 0 && gc[1] == 1 && gc[2] == LATHE_CODE_UNSEEN && gc[3] == LATHE_CODE_UNSEEN);
    ck_assert(lathe_str_equal(gs[0], S("hey")) && gs[1].ptr == NULL);
    lathe_frame_free(g);
}
END_TEST

START_TEST(recode_numbers) {
    int64_t x[4] = {1, -2, MISS, 1 << 30}, t[4] = {5, MISS, 0, -1}, s[4] = {1, 2, MISS, 3};
    double n[4] = {1, -0.0, NAN, 9007199254740992.0}, c[4] = {1, 2.5, NAN, 3};
    lathe_str more[4] = {{NULL, 0}};
    foreign f = make_foreign(4);
    f.c[0].values = more;
    f.c[1] = (lathe_column){"x", LATHE_COLUMN_INT64, 0, x, NULL, 0};
    f.c[2] = (lathe_column){"n", LATHE_COLUMN_FLOAT64, 0, n, NULL, 0};
    f.c[3] = (lathe_column){"t", LATHE_COLUMN_INT64, 0, t, NULL, 0};
    f.c[4] = (lathe_column){"c", LATHE_COLUMN_FLOAT64, 0, c, NULL, 0};
    f.c[5] = (lathe_column){"s", LATHE_COLUMN_INT64, 0, s, NULL, 0};
    lathe_frame *g = recode(&f);
    const double *gx = values(g, 0);
    const int64_t *gn = values(g, 1), *gt = values(g, 2);
    const int32_t *gc = values(g, 3);
    const lathe_str *gs = values(g, 4);
    ck_assert(gx[0] == 1 && gx[1] == -2 && isnan(gx[2]) && gx[3] == 1073741824.0);
    ck_assert(gn[0] == 1 && gn[1] == 0 && gn[2] == MISS && gn[3] == INT64_C(1) << 53);
    ck_assert(gt[0] == 5 && gt[1] == MISS && gt[3] == -1);
    ck_assert(gc[0] == 0 && gc[1] == 1 && gc[2] == LATHE_CODE_MISSING &&
              gc[3] == LATHE_CODE_UNSEEN);
    ck_assert(lathe_str_equal(gs[1], S("2")) && gs[2].ptr == NULL);
    lathe_frame_free(g);
}
END_TEST

/* One bad value a time: the row (by its source number), the column and the value are named. */
START_TEST(recode_errors) {
    lathe_schema *s = some_schema();
    lathe_str bad[2] = {S("1"), S("oops")}, fine[2] = {{NULL, 0}, {NULL, 0}}, d[1] = {S("x1")};
    int32_t codes[2] = {-1, 0}, unseen[2] = {-1, -2};
    double half[2] = {1, 0.5}, big[2] = {1, 1e19};
    int64_t when[2] = {MISS, 0}, ids[2] = {40, 41};
    static const char *const names[5] = {"x", "n", "t", "c", "s"};
    const struct {
        int column;
        lathe_column c;
        const char *expect;
    } cases[] = {{0, {"x", LATHE_COLUMN_STRING, 0, bad, NULL, 0}, "'oops'; a number"},
                 {0, {"x", LATHE_COLUMN_CATEGORY, 0, codes, d, 1}, "'x1'; a number"},
                 {0, {"x", LATHE_COLUMN_CATEGORY, 0, unseen, d, 1}, "outside of its dictionary"},
                 {0, {"x", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0}, "'1970-01-01'; a number"},
                 {1, {"n", LATHE_COLUMN_FLOAT64, 0, half, NULL, 0}, "'0.5'; a whole number"},
                 {1, {"n", LATHE_COLUMN_FLOAT64, 0, big, NULL, 0}, "'1e+19'; a whole number"},
                 {1, {"n", LATHE_COLUMN_STRING, 0, bad, NULL, 0}, "'oops'; a whole number"},
                 {2, {"t", LATHE_COLUMN_FLOAT64, 0, half, NULL, 0}, "'1'; a time"},
                 {2, {"t", LATHE_COLUMN_CATEGORY, 0, codes, d, 1}, "'x1'; a time"},
                 {4, {"s", LATHE_COLUMN_CATEGORY, 0, unseen, d, 1}, "a text"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lathe_column c[5];
        lathe_frame *f;
        for (int k = 0; k < 5; k++)
            c[k] = (lathe_column){names[k], LATHE_COLUMN_STRING, 0, fine, NULL, 0};
        c[cases[i].column] = cases[i].c;
        lathe_table t = {2, 5, c};
        fails(lathe_schema_recode(s, &t, ids, &f, &err), LATHE_E_DATA, cases[i].expect);
        ck_assert_str_eq(err.where, names[cases[i].column]);
        ck_assert_ptr_nonnull(strstr(err.message, i == 7 ? "row 41" : "row 42"));
        ck_assert_ptr_null(f);
    }
    lathe_column c[5];
    for (int k = 0; k < 5; k++)
        c[k] = (lathe_column){k == 2 ? "tt" : names[k], LATHE_COLUMN_STRING, 0, fine, NULL, 0};
    lathe_table t = {2, 5, c};
    lathe_frame *f;
    fails(lathe_schema_recode(s, &t, NULL, &f, &err), LATHE_E_NOT_FOUND, "column 't'");
    c[2].name = "t";
    t.n_rows = 0;
    ok(lathe_schema_recode(s, &t, NULL, &f, &err));
    ck_assert_int_eq(lathe_frame_rows(f), 0);
    lathe_frame_free(f);
    lathe_schema_free(s);
}
END_TEST

START_TEST(bad_schemas) {
    lathe_str twice[2] = {S("a"), S("a")};
    lathe_column c[2] = {{"a", LATHE_COLUMN_FLOAT64, 0, NULL, NULL, 0},
                         {"a", LATHE_COLUMN_FLOAT64, 0, NULL, NULL, 0}};
    lathe_table t = {0, 2, c};
    lathe_schema *s;
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "same name");
    c[1].name = "";
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "no name");
    c[1] = (lathe_column){"b", 77, 0, NULL, NULL, 0};
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "type 77");
    c[1] = (lathe_column){"b", LATHE_COLUMN_CATEGORY, 0, NULL, twice, 2};
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "'a' twice");
    twice[1].ptr = NULL;
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "no text");
    c[1].dict_size = -1;
    fails(lathe_schema_from_table(&t, &s, &err), LATHE_E_INVALID, "-1");
    ck_assert_str_eq(lathe_type_name(LATHE_COLUMN_CATEGORY), "category");
    ck_assert(lathe_type_name(0) == NULL && lathe_type_name(6) == NULL);
    ck_assert(lathe_type_parse("string") == LATHE_COLUMN_STRING && lathe_type_parse("text") == 0 &&
              lathe_type_parse(NULL) == 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("schema");
    TCase *t = tcase_create("schema");
    tcase_add_test(t, codes);
    tcase_add_test(t, json_round_trip);
    tcase_add_test(t, broken_json);
    tcase_add_test(t, recode_texts);
    tcase_add_test(t, recode_numbers);
    tcase_add_test(t, recode_errors);
    tcase_add_test(t, bad_schemas);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
