/* Questions to a worker process: what it answers, and each way in which it does not. */
#include "base/fs.h"
#include "serve/ask.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char dir[64], script[96];
static lathe_buf answer;
static lathe_error err;

static void set_up(void) {
    strcpy(dir, "/tmp/lathe-ask-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(script, sizeof script, "%s/worker", dir);
    answer = (lathe_buf){0};
    err = (lathe_error){0};
}

static void tear_down(void) {
    lathe_buf_free(&answer);
    lathe_remove_tree(dir, NULL);
}

/* A worker that does this; its arguments are "worker", "verb". */
static int32_t ask(const char *body, const lathe_question *also) {
    static const char *const args[] = {"verb", NULL};
    char text[400];
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", body);
    ck_assert_int_eq(lathe_write_file_atomic(script, text, strlen(text), NULL), LATHE_OK);
    ck_assert_int_eq(chmod(script, 0700), 0);
    lathe_question q = *also;
    q.executable = script;
    q.args = args;
    return lathe_ask(&q, &answer, &err);
}

START_TEST(answers_come_whole) {
    const lathe_question q = {
        .input = "the input", .input_len = 9, .seconds = 60, .max_bytes = 100};
    ck_assert_int_eq(ask("printf '%s %s: ' \"$1\" \"$2\"; cat; echo noise >&2", &q), LATHE_OK);
    ck_assert_str_eq(lathe_buf_str(&answer), "worker verb: the input");
}
END_TEST

START_TEST(its_last_line_is_the_error) {
    const lathe_question q = {.seconds = 60, .max_bytes = 100};
    ck_assert_int_eq(ask("echo one >&2; echo 'lathe: two' >&2; exit 3", &q), LATHE_E_DATA);
    ck_assert_str_eq(err.message, "two");
}
END_TEST

START_TEST(a_signal_is_named) {
    const lathe_question q = {.seconds = 60, .max_bytes = 100};
    ck_assert_int_eq(ask("kill -SEGV $$", &q), LATHE_E_CRASHED);
    ck_assert_ptr_nonnull(strstr(err.message, "signal 11"));
}
END_TEST

START_TEST(time_and_length_are_bounded) {
    const lathe_question brief = {.seconds = 0.05, .max_bytes = 100},
                         small = {.seconds = 60, .max_bytes = 100, .partial = true};
    ck_assert_int_eq(ask("exec sleep 60", &brief), LATHE_E_TIMEOUT);
    ck_assert_uint_eq(answer.len, 0);
    ck_assert_int_eq(ask("head -c 100000 /dev/zero; exec sleep 60", &small), LATHE_E_TIMEOUT);
    ck_assert(answer.len >= 100);
}
END_TEST

/* Who asks may end before the answer comes. */
START_TEST(a_question_can_be_stopped) {
    const atomic_bool stop = true;
    const lathe_question q = {.seconds = 60, .max_bytes = 100, .stop = &stop};
    ck_assert_int_eq(ask("exec sleep 60", &q), LATHE_E_CANCELLED);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_ask");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, answers_come_whole);
    tcase_add_test(tc, its_last_line_is_the_error);
    tcase_add_test(tc, a_signal_is_named);
    tcase_add_test(tc, time_and_length_are_bounded);
    tcase_add_test(tc, a_question_can_be_stopped);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
