/* The inference protocol on bytes: numbers both ways, requests of every form into the same bits, answers, refusals. */
#include "base/number.h"
#include "serve/oip/oip.h"
#include "support_model.h"

#include <float.h>
#include <math.h>

/* ---- numbers ---- */

static uint64_t random_bits(void) {
    static uint64_t state = 88172645463325252u; /* xorshift64, G. Marsaglia 2003 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void same_as_strtod(const char *text) {
    lathe_number number;
    const size_t len = strlen(text);
    const char *after = lathe_number_read(text, text + len, &number);
    const double want = strtod(text, NULL);
    ck_assert_msg(after == text + len, "%s: not read", text);
    ck_assert_msg(memcmp(&want, &number.value, sizeof want) == 0, "%s: %.17g, not %.17g", text,
                  number.value, want);
}

START_TEST(reads_as_strtod) {
    char text[64];
    static const char *const hard[] = {"0",
                                       "-0",
                                       "0.0",
                                       "1e0",
                                       "9007199254740993",
                                       "9007199254740992.5",
                                       "9007199254740993.0000001",
                                       "18446744073709551615",
                                       "18446744073709551616",
                                       "9223372036854775807",
                                       "0.1",
                                       "1e22",
                                       "1e23",
                                       "4.35",
                                       "7.2057594037927933e16",
                                       "1e27",
                                       "1e-27",
                                       "123456789012345678e-27",
                                       "2.2250738585072014e-308",
                                       "5e-324",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "0.000000000000000000000000000000000000001",
                                       "8.41e21",
                                       "9.5367431640625e-7",
                                       "1.00000000000000011102230246251565404236316680908203125",
                                       "1.00000000000000011102230246251565404236316680908203124",
                                       "1.00000000000000011102230246251565404236316680908203126"};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
        same_as_strtod(hard[i]);
    for (int i = 0; i < 300000; i++) {
        const uint64_t bits = random_bits(), digits = random_bits() >> (random_bits() % 64);
        double value;
        memcpy(&value, &bits, sizeof value);
        snprintf(text, sizeof text, "%.17g", isfinite(value) ? value : 1.5);
        same_as_strtod(text);
        snprintf(text, sizeof text, "%lue%d", (unsigned long)digits, (int)(bits % 60) - 30);
        same_as_strtod(text);
        snprintf(text, sizeof text, "%.*f", (int)(bits % 19), (double)(int64_t)digits * 1e-15);
        same_as_strtod(text);
        /* halves of doubles' steps: the ties */
        snprintf(text, sizeof text, "%lu.5", (unsigned long)((UINT64_C(1) << 52) + (digits >> 12)));
        same_as_strtod(text);
    }
}
END_TEST

START_TEST(refuses_what_is_no_number) {
    static const char *const bad[] = {"",   "-",   "+1", "01",  "-01", ".5",    "1.",     "1.e3",
                                      "1e", "1e+", "e5", "NaN", "x",   "1e999", "-1e400", "--1"};
    lathe_number number;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(lathe_number_read(bad[i], bad[i] + strlen(bad[i]), &number) == NULL, "%s",
                      bad[i]);
    const char *text = "12,";
    ck_assert_ptr_eq(lathe_number_read(text, text + 3, &number), text + 2);
    ck_assert(number.is_integer && number.integer == 12);
    text = "-9223372036854775807";
    lathe_number_read(text, text + 20, &number);
    ck_assert(number.is_integer && number.integer == -INT64_MAX);
    text = "9223372036854775808";
    lathe_number_read(text, text + 19, &number);
    ck_assert(!number.is_integer && number.value == 9223372036854775808.0);
}
END_TEST

/* Digits before an exponent, without zeros at the ends. */
static int count_digits(const char *text) {
    char digits[64];
    int n = 0;
    for (; *text != 0 && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n > 0 || *text != '0'))
            digits[n++] = *text;
    while (n > 0 && digits[n - 1] == '0')
        n--;
    return n;
}

/* Lists of plain numbers are read with the same bits; anything else is left to the one by one. */
START_TEST(reads_runs) {
    static const char *const forms[] = {"%.0f", "%.1f", "%.4f", "%.7f", "%.3e"};
    char text[512];
    double values[8];
    for (int round = 0; round < 20000; round++) {
        size_t len = 0;
        for (int i = 0; i < 8; i++) {
            const double x = ((double)(random_bits() >> 11) * 0x1p-53 - 0.5) * 200000;
            const char *form = forms[random_bits() % 64 == 0 ? 4 : random_bits() % 4];
            len += (size_t)snprintf(text + len, sizeof text - len, form, x);
            len += (size_t)snprintf(text + len, sizeof text - len, "%s",
                                    i == 7              ? " ]"
                                    : random_bits() % 2 ? ", "
                                                        : ",");
        }
        const char *at = text, *end = text + len, *next;
        int64_t n = 8;
        next = lathe_numbers_read(text, end, values, &n);
        for (int64_t i = 0; i < n; i++) {
            lathe_number number;
            at = lathe_number_read(at, end, &number);
            ck_assert_msg(memcmp(&number.value, &values[i], sizeof(double)) == 0, "%s", text);
            if (i + 1 < n)
                at += strspn(at, ", ");
        }
        ck_assert_ptr_eq(next, n > 0 ? at : NULL);
    }
    static const struct {
        const char *text;
        int64_t n;
        long used; /* -1: NULL */
    } cases[] = {{"1,2]", 2, 3},
                 {"1 , 2 ]", 2, 5},
                 {"-0,0.5]", 2, 6},
                 {"01]", 0, -1},
                 {"-]", 0, -1},
                 {"1.]", 0, -1},
                 {".5]", 0, -1},
                 {"1.2.3]", 0, -1},
                 {"1e5,2]", 0, -1},
                 {"1,2e5]", 1, 1},
                 {"1,]", 1, 1},
                 {"1,,2]", 1, 1},
                 {"1,null]", 1, 1},
                 {"12", 0, -1},
                 {"", 0, -1},
                 {"--1]", 0, -1},
                 {"1-2]", 1, 1},
                 {"-.5]", 0, -1},
                 {"00.5]", 0, -1},
                 {"0.50]", 1, 4},
                 {"123456789012345,1]", 2, 17},
                 {"1234567890123456,1]", 2, 18},
                 {"12345678901234567,1]", 0, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = 8;
        const char *next =
            lathe_numbers_read(cases[i].text, cases[i].text + strlen(cases[i].text), values, &n);
        ck_assert_msg(n == cases[i].n, "%s: %d", cases[i].text, (int)n);
        ck_assert_msg(next == (cases[i].used < 0 ? NULL : cases[i].text + cases[i].used), "%s",
                      cases[i].text);
    }
    static const char list[] = "1,2]";
    int64_t n = 1;
    ck_assert_int_eq(*lathe_numbers_read(list, list + 4, values, &n), ',');
}
END_TEST

START_TEST(finds_deadlines) {
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {{"{\"parameters\":{\"timeout\":5}}", 5},
                 {"{\"id\":\"a\", \"inputs\":[{\"data\":[1,[2],null]}], \"parameters\":{\"x\":[], "
                  "\"timeout\" : 7}}",
                  7},
                 {"{\"parameters\":{\"timeout\":-5}}", 0},
                 {"{\"parameters\":{\"timeout\":\"5\"}}", 0},
                 {"{\"parameters\":{}}", 0},
                 {"{\"inputs\":[{\"parameters\":{\"timeout\":5}}]}", 0},
                 {"{\"id\":\"\\u0041\",\"parameters\":{\"timeout\":5}}", 0},
                 {"{\"parameters\":{\"timeout\":5", 5},
                 {"{\"parameters\"", 0},
                 {"[]", 0},
                 {"{", 0},
                 {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(lathe_oip_peek_timeout_us((const uint8_t *)cases[i].text,
                                                strlen(cases[i].text)) == cases[i].want,
                      "%s", cases[i].text);
}
END_TEST

START_TEST(writes_the_shortest_float) {
    char text[LATHE_FLOAT_TEXT + 1], c_text[64];
    for (int i = 0; i < 400000; i++) {
        uint32_t bits = (uint32_t)random_bits();
        float value;
        if (i % 2 == 0) /* the usual: between 0 and 1 */
            value = (float)(bits >> 8) * 0x1p-24f;
        else
            memcpy(&value, &bits, sizeof value);
        if (i % 100 == 1)
            value *= FLT_MIN; /* down to the smallest */
        if (!isfinite(value))
            continue;
        const size_t len = lathe_float_write(value, text);
        ck_assert_uint_le(len, LATHE_FLOAT_TEXT);
        text[len] = '\0';
        const float back = strtof(text, NULL);
        ck_assert_msg(memcmp(&back, &value, sizeof back) == 0, "%s is not %.9g", text,
                      (double)value);
        int precision = 1;
        do
            snprintf(c_text, sizeof c_text, "%.*e", precision - 1, (double)value);
        while (strtof(c_text, NULL) != value && precision++ < 9);
        ck_assert_msg(count_digits(text) <= count_digits(c_text), "%s is longer than %s", text,
                      c_text);
    }
    static const struct {
        float value;
        const char *text;
    } known[] = {{0, "0"},
                 {-0.0f, "-0"},
                 {0.5f, "0.5"},
                 {3, "3"},
                 {0.1f, "0.1"},
                 {1e-7f, "1e-7"},
                 {123456790.0f, "123456790"},
                 {1.5e20f, "150000000000000000000"},
                 {-2.5e-9f, "-2.5e-9"},
                 {1e21f, "1e+21"},
                 {1e-45f, "1e-45"},
                 {3.4028235e38f, "3.4028235e+38"},
                 {0.00001f, "0.00001"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        text[lathe_float_write(known[i].value, text)] = '\0';
        ck_assert_str_eq(text, known[i].text);
    }
}
END_TEST

/* ---- requests: a model of penguins, once for all tests (each test is a process of its own) ---- */

static fixture fx;
static lathe_model *model;
static lathe_oip_model *shown;
static lathe_oip *oip;
static lathe_plan *plan;
static uint8_t answer[1 << 16];
static size_t json_len, answer_len;

static void setup(void) {
    lathe_error err = {0};
    fixture_open(&fx, 1);
    model = model_train(&fx, model_penguins);
    fixture_ok(lathe_oip_model_new(model, "birds \"x\"", "3", &shown, &err), &err, "shown");
    oip = lathe_oip_new();
    fixture_ok(lathe_plan_new(model, 64, &plan, &err), &err, "plan");
}

static void teardown(void) {
    lathe_oip_model_free(shown);
    lathe_oip_free(oip);
    lathe_plan_free(plan);
    lathe_model_close(model);
    fixture_close(&fx);
}

static lathe_plan *give_plan(void *user, int64_t rows, lathe_error *err) {
    if (rows > 64) {
        lathe_fail(err, LATHE_E_MEMORY, NULL, "the test has no such plan");
        return NULL;
    }
    return user;
}

static int32_t infer(const void *body, size_t len, int64_t header, lathe_error *err) {
    lathe_plan_output out;
    lathe_error_clear(err);
    int32_t rc = lathe_oip_parse(oip, shown, body, len, header, give_plan, plan, err);
    if (rc == LATHE_OK)
        rc = lathe_plan_run(plan, &out, err);
    if (rc == LATHE_OK) {
        const size_t bound = lathe_oip_bound(oip);
        ck_assert_uint_le(bound, sizeof answer);
        rc = lathe_oip_write(oip, &out, answer, &json_len, &answer_len, err);
        ck_assert_uint_le(answer_len, bound);
    }
    return rc;
}

/* The answer's JSON, which must be valid, as compact text. */
static const char *infer_text(const char *body) {
    lathe_error err = {0};
    static char text[1 << 16];
    fixture_ok(infer(body, strlen(body), -1, &err), &err, body);
    lathe_json *doc = lathe_json_read((const char *)answer, json_len, NULL, NULL, &err);
    fixture_ok(doc ? LATHE_OK : err.code, &err, "the answer");
    lathe_json_free(doc);
    ck_assert_uint_eq(json_len, answer_len);
    memcpy(text, answer, json_len);
    text[json_len] = '\0';
    return text;
}

#define INPUT(name, type, data)                                                                    \
    "{\"name\":\"" name "\",\"shape\":[2],\"datatype\":\"" type "\",\"data\":" data "}"
#define YEARS INPUT("year", "INT64", "[2008,2009]")
#define BIRDS                                                                                      \
    INPUT("island", "BYTES", "[\"Biscoe\",\"Dream\"]")                                             \
    "," INPUT("bill_length_mm", "FP64", "[46.5,38.9]") "," INPUT(                                  \
        "bill_depth_mm", "FP32",                                                                   \
        "[17.9,null]") "," INPUT("flipper_length_mm", "FP64",                                      \
                                 "[192,1.9e2]") "," INPUT("body_mass_g", "INT32",                  \
                                                          "[3500,3600]") "," INPUT("sex", "BYTES", \
                                                                                   "[\"female\","  \
                                                                                   "null]") "," YEARS

START_TEST(answers) {
    char want[2000];
    snprintf(want, sizeof want, "%s", infer_text("{\"inputs\":[" BIRDS "]}"));
    ck_assert_ptr_eq(
        strstr(want, "{\"model_name\":\"birds \\\"x\\\"\",\"model_version\":\"3\",\"outputs\":["),
        want);
    ck_assert_ptr_nonnull(strstr(
        want, "{\"name\":\"prediction\",\"datatype\":\"BYTES\",\"shape\":[2,1],\"data\":[\""));
    ck_assert_ptr_nonnull(
        strstr(want, "\"name\":\"probability\",\"datatype\":\"FP32\",\"shape\":[2,3]"));
    /* other forms of the same */
    static const char *const same[] = {
        " { \"outputs\" : [ { \"name\" : \"prediction\" } , "
        "{\"parameters\":{},\"name\":\"probability\"} ] , \"inputs\" : [" BIRDS
        " ] , \"parameters\":{\"timeout\":5,\"x\":{\"y\":[1,\"\\u00e9\"]}}, \"other\" : [[],{}] "
        "}\n",
        "{\"inputs\":[{\"data\":[[\"Bis\\u0063oe\"],[\"Dream\"]],\"datatype\":\"BYTES\",\"shape\":["
        "2,1],\"name\":\"isl\\u0061nd\"},"
        "{\"shape\":[2],\"datatype\":\"FP32\",\"data\":[17.9,NaN],\"name\":\"bill_depth_mm\"},"
        "{\"name\":\"sex\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"female\",\"\"]},"
        "{\"name\":\"bill_length_mm\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"46.5\",38.9]"
        "}," INPUT("flipper_length_mm", "UINT8",
                   "[192.0,190]") "," INPUT("body_mass_g", "FP16", "[3500,3600]") "," YEARS "]}",
        "{\"inputs\":[{\"name\":\"all\",\"shape\":[2,7],\"datatype\":\"BYTES\",\"data\":[["
        "\"Biscoe\",46.5,17.9,192,3500,\"female\",2008],"
        "[\"Dream\",\"38.9\",null,\"190\",3600,null,2009]]}]}",
        "{\"inputs\":[{\"name\":\"all\",\"shape\":[2,7],\"datatype\":\"BYTES\",\"data\":["
        "\"Biscoe\",46.5,17.9,192,3500,\"female\",2008,"
        "\"Dream\",\"38.9\",\"\",\"190\",3600,null,2009]}]}"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        ck_assert_str_eq(infer_text(same[i]), want);
    const char *text = infer_text(
        "{\"id\":\"a\\\"b\\u00e9\",\"outputs\":[{\"name\":\"probability\",\"parameters\":"
        "{\"classification\":2}}],\"inputs\":[" BIRDS "]}");
    ck_assert_ptr_nonnull(strstr(text, ",\"id\":\"a\\\"b\\u00e9\","));
    ck_assert_ptr_nonnull(strstr(text, "\"datatype\":\"BYTES\",\"shape\":[2,2],\"data\":[\"0."));
    ck_assert_ptr_null(strstr(text, "prediction"));
}
END_TEST

static void put_floats(lathe_buf *b, float x, float y) {
    const float values[] = {x, y};
    lathe_buf_append(b, values, sizeof values);
}

START_TEST(binary) {
    lathe_error err = {0};
    lathe_buf b = {0};
    char want[2000];
    snprintf(
        want, sizeof want, "%s",
        infer_text("{\"inputs\":[" INPUT("island", "BYTES", "[\"Biscoe\",\"Dream\"]") "," INPUT(
            "bill_length_mm", "FP32",
            "[46.5,38.75]") "," INPUT("bill_depth_mm", "FP32",
                                      "[17.5,null]") "," INPUT("flipper_length_mm", "FP32",
                                                               "[192,190]") "," INPUT("body_"
                                                                                      "mass_g",
                                                                                      "FP32",
                                                                                      "[3500,"
                                                                                      "3600]") "," INPUT("sex",
                                                                                                         "BYTES",
                                                                                                         "[\"femal"
                                                                                                         "e\","
                                                                                                         "null]") "," YEARS
                                                                                                                  "]}"));
#define BINARY(name, type, size)                                                                   \
    "{\"name\":\"" name "\",\"parameters\":{\"binary_data_size\":" size                            \
    "},\"shape\":[2,1],\"datatype\":\"" type "\"}"
    const char *head = "{\"id\":\"\",\"inputs\":[" BINARY("island", "BYTES", "19") "," BINARY(
        "bill_length_mm", "FP32",
        "8") "," BINARY("bill_depth_mm", "FP32",
                        "8") "," BINARY("flipper_length_mm", "FP32",
                                        "8") "," BINARY("body_mass_g", "FP32",
                                                        "8") "," BINARY("sex", "BYTES",
                                                                        "14") "," YEARS "]";
    lathe_buf_append_str(&b, head);
    lathe_buf_append_str(&b, "}");
    size_t header = b.len;
    lathe_buf tensors = {0};
    lathe_buf_append(&tensors, "\6\0\0\0Biscoe\5\0\0\0Dream", 19);
    put_floats(&tensors, 46.5f, 38.75f);
    put_floats(&tensors, 17.5f, NAN);
    put_floats(&tensors, 192, 190);
    put_floats(&tensors, 3500, 3600);
    lathe_buf_append(&tensors, "\6\0\0\0female\0\0\0\0", 14);
    lathe_buf_append(&b, tensors.data, tensors.len);
    fixture_ok(infer(b.data, b.len, (int64_t)header, &err), &err, "binary");
    const char *outputs = strstr(want, "\"outputs\"");
    ck_assert_mem_eq(answer + json_len - strlen(outputs), outputs, strlen(outputs));
    ck_assert_uint_eq(json_len, answer_len);
    /* binary out: all by the request's parameter, but for one */
    lathe_buf_clear(&b);
    lathe_buf_append_str(&b, head);
    lathe_buf_append_str(&b, ",\"outputs\":[{\"name\":\"probability\"},{\"name\":\"prediction\","
                             "\"parameters\":{\"binary_data\":"
                             "false}}],\"parameters\":{\"binary_data_output\":true}}");
    header = b.len;
    lathe_buf_append(&b, tensors.data, tensors.len);
    fixture_ok(infer(b.data, b.len, (int64_t)header, &err), &err, "binary");
    ck_assert_uint_eq(answer_len, json_len + 24);
    answer[json_len - 1] = '\0';
    ck_assert_ptr_nonnull(
        strstr((char *)answer, "\"shape\":[2,3],\"parameters\":{\"binary_data_size\":24}}"));
    ck_assert_ptr_nonnull(strstr((char *)answer, "\"shape\":[2,1],\"data\":[\""));
    float p[6];
    memcpy(p, answer + json_len, sizeof p);
    ck_assert(fabsf(p[0] + p[1] + p[2] - 1) < 1e-6f && fabsf(p[3] + p[4] + p[5] - 1) < 1e-6f);
    /* every shorter body is refused, none is read beyond */
    for (size_t cut = 0; cut < b.len; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, b.data, cut);
        const int32_t rc = infer(copy, cut, cut < header ? -1 : (int64_t)header, &err);
        ck_assert_msg(lathe_oip_status(rc) == 400, "cut at %zu of %zu: %d %s", cut, b.len, (int)rc,
                      err.message);
        free(copy);
    }
    lathe_buf_append_char(&b, 'x');
    ck_assert_int_eq(infer(b.data, b.len, (int64_t)header, &err), LATHE_E_SHAPE);
    ck_assert_int_eq(infer(b.data, b.len, (int64_t)b.len + 1, &err), LATHE_E_INVALID);
    ck_assert_int_eq(infer(b.data, b.len, 0, &err), LATHE_E_INVALID);
    lathe_buf_free(&b);
    lathe_buf_free(&tensors);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *body, *part;
    } bad[] = {
        {"", "an object"},
        {"[]", "an object"},
        {"{}", "no \"inputs\""},
        {"{\"inputs\":[]}", "no \"inputs\""},
        {"{\"inputs\":[" BIRDS "]} x", "the end of the body"},
        {"{\"inputs\":[" BIRDS ",]}", "an input"},
        {"{\"inputs\":[" BIRDS "," INPUT("sex", "BYTES", "[null,null]") "]}", "comes twice"},
        {"{\"inputs\":[" INPUT("sex", "BYTES", "[null,null]") "]}", "\"island\" is not there"},
        {"{\"inputs\":[" INPUT("sexes", "BYTES", "[null,null]") "]}", "no column \"sexes\""},
        {"{\"inputs\":[" INPUT("sex", "TEXT", "[null,null]") "]}", "no datatype"},
        {"{\"inputs\":[" INPUT("sex", "BYTES", "[null]") "]}", "fewer"},
        {"{\"inputs\":[" INPUT("sex", "BYTES", "[null,null,null]") "]}", "more"},
        {"{\"inputs\":[" INPUT("sex", "BYTES", "[[null],null]") "]}", "a string or null"},
        {"{\"inputs\":[" INPUT("body_mass_g", "FP32", "[1,\"2\"]") "]}",
         "row 2, column \"body_mass_g\""},
        {"{\"inputs\":[" INPUT("body_mass_g", "UINT8", "[1,256]") "]}", "range"},
        {"{\"inputs\":[" INPUT("body_mass_g", "INT8", "[1,2.5]") "]}", "row 2"},
        {"{\"inputs\":[" INPUT("body_mass_g", "FP64", "[1,1e999]") "]}", "row 2"},
        {"{\"inputs\":[" INPUT("bill_depth_mm", "BYTES", "[\"deep\",\"1\"]") "]}",
         "row 1 of column 'bill_depth_mm' is 'deep'"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[2,5],\"datatype\":\"FP32\",\"data\":[1]}]}",
         "has 5 columns"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[4294967296,4294967296],\"datatype\":\"FP32\","
         "\"data\":[1]}]}",
         "columns"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[99999999,7],\"datatype\":\"FP32\",\"data\":[1]}]"
         "}",
         "99999999 rows"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[-1,7],\"datatype\":\"FP32\",\"data\":[1]}]}",
         "below 0"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[0,7],\"datatype\":\"FP32\",\"data\":[]}]}",
         "0 rows"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1.5,7],\"datatype\":\"FP32\",\"data\":[]}]}",
         "whole number"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,7],\"datatype\":\"FP32\"}]}",
         "either \"data\""},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"data\":[]}]}", "lacks"},
        {"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,7],\"datatype\":\"FP32\",\"parameters\":{"
         "\"binary_data_size\":24}}]}",
         "Inference-Header-Content-Length"},
        {"{\"inputs\":[" BIRDS "],\"outputs\":[{\"name\":\"score\"}]}", "no output \"score\""},
        {"{\"inputs\":[" BIRDS
         "],\"outputs\":[{\"name\":\"prediction\",\"parameters\":{\"classification\":1}}]}",
         "probability"},
        {"{\"inputs\":[" BIRDS "],\"parameters\":{\"triton_x\":1}}", "reserved"},
        {"{\"inputs\":[" BIRDS "],\"id\":7}", "a string"},
        {"{\"inputs\":[" BIRDS "],\"id\":\"\\ud800\"}", "an escape"},
        {"{\"inputs\":[" BIRDS "],\"id\":\"a\\u0000b\"}", "u0000"},
        {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
         "64 levels"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lathe_error err = {0};
        const size_t len = strlen(bad[i].body);
        char *copy = malloc(len + 1); /* reads beyond are seen by a sanitizer */
        memcpy(copy, bad[i].body, len);
        const int32_t rc = infer(copy, len, -1, &err);
        free(copy);
        ck_assert_msg(lathe_oip_status(rc) == 400 && strstr(err.message, bad[i].part) != NULL,
                      "%s: %d %s", bad[i].body, (int)rc, err.message);
    }
}
END_TEST

/* Cut or changed anywhere, a body is answered or refused, never more. */
START_TEST(damaged_bodies) {
    const char *body =
        "{\"id\":\"q\",\"parameters\":{\"binary_data_output\":true},\"inputs\":[" BIRDS
        "],\"outputs\":[{\"name\":"
        "\"probability\",\"parameters\":{\"binary_data\":true,\"classification\":3}}]}";
    const size_t len = strlen(body);
    static const char bytes[] = "\"\\{}[],:0-9eE.ntf\xff\x00u";
    for (int i = 0; i < 40000; i++) {
        lathe_error err = {0};
        const size_t keep = i % 3 ? len : random_bits() % len;
        char *copy = malloc(keep + 1);
        memcpy(copy, body, keep);
        for (int k = 0; keep > 0 && k < i % 4; k++)
            copy[random_bits() % keep] = bytes[random_bits() % (sizeof bytes - 1)];
        const int status = lathe_oip_status(
            infer(copy, keep, i % 5 ? -1 : (int64_t)(random_bits() % (keep + 2)), &err));
        ck_assert_msg(status == 200 || status == 400 || status == 503, "%d: %s", status,
                      err.message);
        free(copy);
    }
}
END_TEST

START_TEST(no_allocation) {
    lathe_error err = {0};
    const char *body = "{\"inputs\":[" BIRDS "]}";
    const size_t len = strlen(body);
    fixture_ok(infer(body, len, -1, &err), &err, "first");
    long used = 0;
    for (int i = 0; i < 100; i++) {
        lathe_plan_output out;
        const long before = heap_count();
        int32_t rc =
            lathe_oip_parse(oip, shown, (const uint8_t *)body, len, -1, give_plan, plan, &err);
        if (rc == LATHE_OK)
            rc = lathe_plan_run(plan, &out, &err);
        if (rc == LATHE_OK)
            rc = lathe_oip_write(oip, &out, answer, &json_len, &answer_len, &err);
        used += heap_count() - before;
        fixture_ok(rc, &err, "infer");
    }
    ck_assert_int_eq(used, 0);
}
END_TEST

START_TEST(documents) {
    lathe_error err = {0};
    lathe_buf b = {0};
    const char *const versions[] = {"1", "3"};
    lathe_oip_metadata(shown, versions, 2, &b);
    ck_assert_ptr_nonnull(strstr(b.data, "\"versions\":[\"1\",\"3\"]"));
    ck_assert_ptr_nonnull(
        strstr(b.data, "{\"name\":\"island\",\"datatype\":\"BYTES\",\"shape\":[-1,1]}"));
    ck_assert_ptr_nonnull(
        strstr(b.data, "{\"name\":\"probability\",\"datatype\":\"FP32\",\"shape\":[-1,3]}"));
    lathe_buf_clear(&b);
    lathe_oip_config(shown, &b);
    ck_assert_ptr_nonnull(
        strstr(b.data, "{\"name\":\"island\",\"data_type\":\"TYPE_STRING\",\"dims\":[1]}"));
    lathe_buf_clear(&b);
    lathe_oip_server(&b);
    ck_assert_ptr_nonnull(strstr(b.data, "\"binary_tensor_data\""));
    lathe_slots *slots;
    int fd;
    fixture_ok(lathe_slots_create(2, &slots, &fd, &err), &err, "slots");
    for (int w = 0; w < 2; w++) {
        lathe_slot_model *m = &lathe_slots_at(slots, w)->models[5];
        lathe_slot_add(&m->requests, 3);
        lathe_slot_add(&m->rows, 10);
        lathe_slot_add(&m->failures, 1);
        lathe_slot_add(&m->fail_ns, 5);
        lathe_slot_add(&m->executions, 1); /* two requests in one batch */
        lathe_slot_latency(m, 11000);
        ck_assert_uint_eq(atomic_load(&m->latency[1]), 1);
    }
    ck_assert_ptr_null(lathe_slots_at(slots, 2));
    lathe_buf_clear(&b);
    lathe_oip_stats(slots, 5, "birds", "3", &b);
    ck_assert_ptr_nonnull(strstr(b.data, "\"inference_count\":20,\"execution_count\":2,"));
    ck_assert_ptr_nonnull(strstr(b.data, "\"fail\":{\"count\":2,\"ns\":10}"));
    lathe_slots *other;
    fixture_ok(lathe_slots_attach(fd, &other, &err), &err, "attach");
    ck_assert_uint_eq(atomic_load(&lathe_slots_at(other, 1)->models[5].rows), 10);
    lathe_slots_close(other);
    lathe_slots_close(slots);
    close(fd);
    lathe_buf_free(&b);
}
END_TEST

int main(void) {
    Suite *s = suite_create("serve_oip");
    TCase *numbers = tcase_create("numbers"), *requests = tcase_create("requests");
    tcase_add_test(numbers, reads_as_strtod);
    tcase_add_test(numbers, refuses_what_is_no_number);
    tcase_add_test(numbers, reads_runs);
    tcase_add_test(numbers, finds_deadlines);
    tcase_add_test(numbers, writes_the_shortest_float);
    tcase_add_checked_fixture(requests, setup, teardown);
    tcase_add_test(requests, answers);
    tcase_add_test(requests, binary);
    tcase_add_test(requests, refusals);
    tcase_add_test(requests, damaged_bodies);
    tcase_add_test(requests, no_allocation);
    tcase_add_test(requests, documents);
    suite_add_tcase(s, numbers);
    suite_add_tcase(s, requests);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
