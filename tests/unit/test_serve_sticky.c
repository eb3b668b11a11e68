/* The "id" of a request, found without reading the rest. */
#include "serve/infer/internal.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char *id_of(const char *text) {
    static char buf[64];
    lathe_str id;
    if (!infer_request_id(text, strlen(text), &id))
        return NULL;
    memcpy(buf, id.ptr, (size_t)id.len);
    buf[id.len] = '\0';
    return buf;
}

START_TEST(finds_the_id_of_the_outermost_object) {
    ck_assert_str_eq(id_of("{\"id\":\"a\"}"), "a");
    ck_assert_str_eq(id_of("{\"inputs\":[{\"id\":\"x\",\"data\":[1]}], \"id\" :\n\"user 7\"}"),
                     "user 7");
    ck_assert_str_eq(id_of("{\"a\":\"id\",\"id\":\"b\\\"c\"}"), "b\\\"c");
    ck_assert_str_eq(id_of("{\"a\":\"}\\\"\",\"id\":\"\"}"), "");
}
END_TEST

START_TEST(finds_none_where_there_is_none) {
    static const char *const none[] = {
        "",
        "{",
        "{}",
        "[\"id\"]",
        "{\"id\"",
        "{\"id\":",
        "{\"id\":\"",
        "{\"id\":7}",
        "{\"id\":\"a",
        "{\"id\":\"a\\",
        "{\"x\":{\"id\":\"a\"}}",
        "{\"x\":\"id\"}",
        "}}}{\"id\":\"a\"}",
        "{\"inputs\":[]}\"id\":\"a\"",
        "{\"\\",
        "{\"x\":\"id\":\"a",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(id_of(none[i]) == NULL, "%s", none[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_sticky");
    TCase *tc = tcase_create("id");
    tcase_add_test(tc, finds_the_id_of_the_outermost_object);
    tcase_add_test(tc, finds_none_where_there_is_none);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
