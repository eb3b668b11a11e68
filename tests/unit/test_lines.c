/* Lines out of a byte stream: the same ones however the stream is cut into pieces. */
#include "pipeline/lines.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char seen[4096];

static bool on_line(void *user, const char *text, size_t len) {
    const char *last = user;
    ck_assert_uint_eq(strlen(text), len);
    strcat(strcat(seen, text), "|");
    return last == NULL || strcmp(text, last) != 0;
}

/* Feeds the text in pieces of some bytes; whether it was taken to its end. */
static bool feed(lathe_lines *lines, const char *text, size_t piece) {
    const size_t len = strlen(text);
    bool good = true;
    seen[0] = 0;
    for (size_t at = 0; good && at < len; at += piece)
        good = lathe_lines_feed(lines, text + at, len - at < piece ? len - at : piece);
    good = good && lathe_lines_flush(lines);
    lathe_buf_free(&lines->rest);
    return good;
}

static const char stream[] = "one\n\n1234567890\n12345678901\nlast\nrest";

START_TEST(long_lines_are_cut) {
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        lathe_lines lines = {.limit = 10, .cuts = true, .on_line = on_line};
        ck_assert(feed(&lines, stream, piece));
        ck_assert_str_eq(seen, "one||1234567890|1234567890|last|rest|");
    }
}
END_TEST

START_TEST(long_lines_are_refused) {
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        lathe_lines lines = {.limit = 10, .on_line = on_line};
        ck_assert(!feed(&lines, stream, piece));
        ck_assert_str_eq(seen, "one||1234567890|");
    }
}
END_TEST

START_TEST(whoever_hears_may_end_it) {
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        char last[] = "1234567890";
        lathe_lines lines = {.limit = 20, .on_line = on_line, .user = last};
        ck_assert(!feed(&lines, stream, piece));
        ck_assert_str_eq(seen, "one||1234567890|");
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lines");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, long_lines_are_cut);
    tcase_add_test(tc, long_lines_are_refused);
    tcase_add_test(tc, whoever_hears_may_end_it);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
