/* base: UTF-8, nearest names, the streaming JSON writer. */
#include "base/jsonw.h"
#include "base/nearest.h"
#include "base/utf8.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool valid(const char *text) {
    return lathe_utf8_valid(text, strlen(text), NULL);
}

START_TEST(utf8_accepts_every_scalar_value) {
    for (unsigned code = 1; code <= 0x10FFFF; code++) {
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        char text[8] = {0};
        size_t n = lathe_utf8_encode(code, text);
        /* an assertion a character would take longer than all the rest */
        if (lathe_utf8_length(text, n) != n || (n > 1 && lathe_utf8_length(text, n - 1) != 0))
            ck_abort_msg("U+%04X", code);
    }
}
END_TEST

START_TEST(utf8_refuses_what_is_not) {
    const char *const bad[] = {
        "\x80",             /* stray continuation */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* beyond U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC3",
        "\xE2\x82",
        "\xC3(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!valid(bad[i]), "case %zu", i);
    ck_assert(valid("plain text longer than eight bytes, \xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"));
    size_t at = 0;
    ck_assert(!lathe_utf8_valid("0123456789\xFFzz", 13, &at));
    ck_assert_uint_eq(at, 10);
}
END_TEST

START_TEST(utf8_cuts_between_characters) {
    const char *text = "a\xE2\x82\xAC"; /* a€ */
    ck_assert_uint_eq(lathe_utf8_cut(text, 4, 4), 4);
    ck_assert_uint_eq(lathe_utf8_cut(text, 4, 3), 1);
    ck_assert_uint_eq(lathe_utf8_cut(text, 4, 2), 1);
    ck_assert_uint_eq(lathe_utf8_cut(text, 4, 1), 1);
    ck_assert_uint_eq(lathe_utf8_cut(text, 4, 0), 0);
}
END_TEST

START_TEST(distance_counts_edits) {
    ck_assert_int_eq(lathe_name_distance("adam", "adam"), 0);
    ck_assert_int_eq(lathe_name_distance("ADAM", "adam"), 0);
    ck_assert_int_eq(lathe_name_distance("", "abc"), 3);
    ck_assert_int_eq(lathe_name_distance("kitten", "sitting"), 3);
    ck_assert_int_eq(lathe_name_distance("sigmiod", "sigmoid"), 1); /* a swap is one edit */
    ck_assert_int_eq(lathe_name_distance("ca", "abc"), 3);          /* the restricted distance */
}
END_TEST

START_TEST(nearest_suggests_likely_slips_only) {
    const char *const names[] = {"relu", "leaky_relu", NULL, "sigmoid", "tanh", "learning_rate"};
    const size_t n = sizeof names / sizeof names[0];
    ck_assert_str_eq(lathe_nearest("rleu", names, n), "relu");
    ck_assert_str_eq(lathe_nearest("learning_rat", names, n), "learning_rate");
    ck_assert_str_eq(lathe_nearest("sigm", names, n), "sigmoid");
    ck_assert_str_eq(lathe_nearest("Tanh", names, n), "tanh");
    ck_assert_ptr_null(lathe_nearest("banana", names, n));
    ck_assert_ptr_null(lathe_nearest("", names, n));
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert_ptr_null(lathe_nearest(longer, names, n));
}
END_TEST

START_TEST(writer_puts_commas_and_escapes) {
    lathe_buf out = {0};
    lathe_jsonw w = lathe_jsonw_to(&out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "a", "tab\t quote\" back\\ \x01 \xC3\xA4 bad\xFF");
    lathe_jsonw_key(&w, "list");
    lathe_jsonw_begin_array(&w);
    lathe_jsonw_int(&w, INT64_MIN);
    lathe_jsonw_uint(&w, UINT64_MAX);
    lathe_jsonw_double(&w, 0.1);
    lathe_jsonw_double(&w, NAN);
    lathe_jsonw_double(&w, -INFINITY);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_end_object(&w);
    lathe_jsonw_str(&w, NULL);
    lathe_jsonw_end_array(&w);
    lathe_jsonw_kv_bool(&w, "yes", true);
    lathe_jsonw_end_object(&w);
    ck_assert_int_eq(out.failed, 0);
    ck_assert_str_eq(lathe_buf_str(&out),
                     "{\"a\":\"tab\\t quote\\\" back\\\\ \\u0001 \xC3\xA4 bad\xEF\xBF\xBD\","
                     "\"list\":[-9223372036854775808,18446744073709551615,0.1,null,null,{},null],"
                     "\"yes\":true}");
    lathe_buf_free(&out);
}
END_TEST

START_TEST(writer_notices_misuse) {
    for (int kind = 0; kind < 6; kind++) {
        lathe_buf out = {0};
        lathe_jsonw w = lathe_jsonw_to(&out);
        switch (kind) {
        case 0: /* a value without a key */
            lathe_jsonw_begin_object(&w);
            lathe_jsonw_int(&w, 1);
            break;
        case 1: /* an end without a begin */
            lathe_jsonw_end_array(&w);
            break;
        case 2: /* the wrong end */
            lathe_jsonw_begin_array(&w);
            lathe_jsonw_end_object(&w);
            break;
        case 3: /* a key without a value */
            lathe_jsonw_begin_object(&w);
            lathe_jsonw_key(&w, "k");
            lathe_jsonw_end_object(&w);
            break;
        case 4: /* two documents */
            lathe_jsonw_int(&w, 1);
            lathe_jsonw_int(&w, 2);
            break;
        default: /* too deep */
            for (int i = 0; i < 64; i++)
                lathe_jsonw_begin_array(&w);
        }
        ck_assert_msg(out.failed == 1, "case %d", kind);
        lathe_buf_free(&out);
    }
}
END_TEST

START_TEST(doubles_read_back_equal) {
    const double some[] = {
        0.0,  1.0,  0.1,          1.0 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
        1e15, 1e16, 123456789.125};
    char text[LATHE_DOUBLE_TEXT];
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        size_t n = lathe_double_text(some[i], text);
        ck_assert_uint_eq(n, strlen(text));
        ck_assert(strtod(text, NULL) == some[i]);
    }
    lathe_double_text(0.1, text);
    ck_assert_str_eq(text, "0.1");
    uint64_t bits = 88172645463325252u; /* xorshift64 */
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        lathe_double_text(v, text);
        if (strtod(text, NULL) != v)
            ck_abort_msg("%a became %s", v, text);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base text");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, utf8_accepts_every_scalar_value);
    tcase_add_test(tc, utf8_refuses_what_is_not);
    tcase_add_test(tc, utf8_cuts_between_characters);
    tcase_add_test(tc, distance_counts_edits);
    tcase_add_test(tc, nearest_suggests_likely_slips_only);
    tcase_add_test(tc, writer_puts_commas_and_escapes);
    tcase_add_test(tc, writer_notices_misuse);
    tcase_add_test(tc, doubles_read_back_equal);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
