/* base: errors, sizes, arenas, buffers, log, time, processor. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/log.h"
#include "base/size.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- error ---- */

START_TEST(error_is_filled) {
    lathe_error err;
    memset(&err, 0x7F, sizeof err);
    int32_t code = lathe_fail(&err, LATHE_E_DATA, "a.csv:17", "%d cells, expected %d", 3, 4);
    ck_assert_int_eq(code, LATHE_E_DATA);
    ck_assert_int_eq(err.code, LATHE_E_DATA);
    ck_assert_int_eq(err.detail, 0);
    ck_assert_str_eq(err.where, "a.csv:17");
    ck_assert_str_eq(err.message, "3 cells, expected 4");
    ck_assert_int_eq(lathe_fail(NULL, LATHE_E_IO, NULL, "x"), LATHE_E_IO);
    lathe_error_clear(&err);
    ck_assert_int_eq(err.code, LATHE_OK);
    ck_assert_str_eq(err.message, "");
}
END_TEST

START_TEST(error_may_quote_itself) {
    lathe_error err;
    lathe_fail(&err, LATHE_E_IO, "there", "inner");
    lathe_fail(&err, LATHE_E_STATE, err.where, "outer: %s", err.message);
    ck_assert_str_eq(err.where, "there");
    ck_assert_str_eq(err.message, "outer: inner");
}
END_TEST

START_TEST(error_is_cut_between_characters) {
    char text[1200];
    for (int i = 0; i < 599; i++)
        memcpy(text + 2 * i, "\xC3\xA4", 2);
    text[1198] = '\0';
    lathe_error err;
    lathe_fail(&err, LATHE_E_DATA, text, "x%s", text);
    ck_assert_uint_eq(strlen(err.message), 511); /* 'x' and 255 whole letters */
    ck_assert_uint_eq(strlen(err.where), 126);   /* 127 would end inside a letter */
}
END_TEST

START_TEST(error_wraps) {
    lathe_error err;
    lathe_fail(&err, LATHE_E_INVALID, "rate", "bad");
    ck_assert_int_eq(lathe_error_wrap(&err, "/train/net"), LATHE_E_INVALID);
    ck_assert_str_eq(err.where, "/train/net/rate");
    lathe_fail(&err, LATHE_E_INVALID, NULL, "bad");
    lathe_error_wrap(&err, "p");
    ck_assert_str_eq(err.where, "p");
    lathe_fail(&err, LATHE_E_INVALID, "[3]", "bad");
    lathe_error_wrap(&err, "layers");
    ck_assert_str_eq(err.where, "layers[3]");
    ck_assert_int_eq(lathe_error_wrap(NULL, "p"), LATHE_E_INTERNAL);
}
END_TEST

START_TEST(error_from_errno) {
    lathe_error err;
    ck_assert_int_eq(lathe_fail_errno(&err, ENOENT, "f", "cannot open"), LATHE_E_NOT_FOUND);
    ck_assert_int_eq(err.detail, ENOENT);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot open: No such file"));
    ck_assert_int_eq(lathe_fail_errno(&err, EACCES, "f", "cannot open"), LATHE_E_IO);
    ck_assert_str_eq(lathe_status_name(LATHE_E_NOT_FOUND), "not_found");
    ck_assert_str_eq(lathe_status_name(12345), "internal");
}
END_TEST

/* ---- size ---- */

START_TEST(sizes_do_not_wrap) {
    size_t out = 7;
    ck_assert(lathe_mul_size(1u << 16, 1u << 16, &out) && out == (size_t)1 << 32);
    ck_assert(!lathe_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    ck_assert(!lathe_mul3_size((size_t)1 << 30, (size_t)1 << 30, 16, &out));
    ck_assert(!lathe_add_size(SIZE_MAX, 1, &out));
    ck_assert(lathe_mul_size(SIZE_MAX, 0, &out) && out == 0);
    ck_assert(lathe_align_size(65, 64, &out) && out == 128);
    ck_assert(!lathe_align_size(SIZE_MAX - 3, 64, &out));
    ck_assert(!lathe_count_bytes(-1, 8, &out));
    ck_assert(!lathe_count_bytes(INT64_MAX, 8, &out));
    ck_assert(lathe_count_bytes(10, 8, &out) && out == 80);
    int64_t i = 7;
    ck_assert(!lathe_mul_i64(INT64_MAX / 2 + 1, 2, &i));
    ck_assert(!lathe_add_i64(INT64_MAX, 1, &i));
    ck_assert(!lathe_add_i64(-1, 1, &i) && i == 7);
}
END_TEST

/* ---- arena ---- */

START_TEST(arena_gives_zeroed_aligned_memory) {
    lathe_arena *arena = lathe_arena_new();
    ck_assert_ptr_nonnull(arena);
    for (size_t i = 0; i < 3000; i++) {
        size_t bytes = i * 7 % 500;
        unsigned char *p = lathe_arena_alloc(arena, bytes);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < bytes; k++)
            ck_assert_uint_eq(p[k], 0);
        memset(p, 0xEE, bytes); /* the next must not see it */
    }
    for (size_t align = 1; align <= 4096; align *= 2)
        ck_assert_uint_eq((uintptr_t)lathe_arena_alloc_aligned(arena, 3, align) % align, 0);
    unsigned char *big = lathe_arena_alloc(arena, 5u << 20);
    ck_assert_ptr_nonnull(big);
    big[(5u << 20) - 1] = 1;
    ck_assert_uint_ge(lathe_arena_bytes(arena), 5u << 20);
    lathe_arena_free(arena);
}
END_TEST

START_TEST(arena_refuses_what_does_not_fit) {
    lathe_arena *arena = lathe_arena_new();
    char *kept = lathe_arena_strdup(arena, "kept");
    ck_assert_ptr_null(lathe_arena_alloc(arena, SIZE_MAX));
    ck_assert_ptr_null(lathe_arena_alloc(arena, SIZE_MAX - 64));
    ck_assert_ptr_null(lathe_arena_array(arena, SIZE_MAX / 4, 8));
    ck_assert_ptr_null(lathe_arena_alloc_aligned(arena, 8, 3));
    ck_assert_ptr_null(lathe_arena_alloc_aligned(arena, 8, 0));
    ck_assert_ptr_null(lathe_arena_strdup(arena, NULL));
    ck_assert_str_eq(kept, "kept");
    ck_assert_ptr_nonnull(lathe_arena_alloc(arena, 0));
    ck_assert_str_eq(lathe_arena_strndup(arena, "abcdef", 3), "abc");
    ck_assert_str_eq(lathe_arena_printf(arena, "%s-%d", "x", 5), "x-5");
    lathe_arena_free(arena);
    lathe_arena_free(NULL);
}
END_TEST

/* ---- buf ---- */

START_TEST(buf_grows) {
    lathe_buf b = {0};
    ck_assert_str_eq(lathe_buf_str(&b), "");
    for (int i = 0; i < 10000; i++)
        lathe_buf_printf(&b, "%d,", i % 10);
    ck_assert_int_eq(b.failed, 0);
    ck_assert_uint_eq(b.len, 20000);
    ck_assert_uint_eq(strlen(b.data), 20000);
    lathe_buf_clear(&b);
    ck_assert_str_eq(lathe_buf_str(&b), "");
    lathe_buf_append(&b, "a\0b", 3);
    ck_assert_uint_eq(b.len, 3);
    ck_assert_mem_eq(b.data, "a\0b", 4);
    char *text = lathe_buf_take(&b);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_null(b.data);
    free(text);
    text = lathe_buf_take(&b);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

START_TEST(buf_failure_sticks) {
    lathe_buf b = {0};
    lathe_buf_append_str(&b, "kept");
    ck_assert(!lathe_buf_reserve(&b, SIZE_MAX - 2));
    lathe_buf_append_str(&b, "lost");
    ck_assert_int_eq(b.failed, 1);
    ck_assert_str_eq(lathe_buf_str(&b), "kept");
    ck_assert_ptr_null(lathe_buf_take(&b));
    lathe_buf_free(&b);
}
END_TEST

/* ---- log ---- */

static char last_line[256];
static int lines;

static void note_line(void *user, lathe_log_level level, const char *component,
                      const char *message) {
    ck_assert_ptr_eq(user, &lines);
    lines++;
    snprintf(last_line, sizeof last_line, "%s/%s/%s", lathe_log_level_name(level), component,
             message);
}

START_TEST(log_has_levels_and_a_sink) {
    lathe_log_set_sink(note_line, &lines);
    lathe_log(LATHE_LEVEL_DEBUG, "test", "not shown");
    ck_assert_int_eq(lines, 0);
    lathe_log(LATHE_LEVEL_WARN, "test", "shown %d", 1);
    ck_assert_str_eq(last_line, "warn/test/shown 1");
    lathe_log_set_level(LATHE_LEVEL_NONE);
    lathe_log(LATHE_LEVEL_ERROR, "test", "not shown");
    ck_assert_int_eq(lines, 1);
    ck_assert_int_eq(lathe_log_level_parse("error"), LATHE_LEVEL_ERROR);
    ck_assert_int_eq(lathe_log_level_parse("loud"), -1);
    lathe_log_set_sink(NULL, NULL);
    lathe_log_set_level(LATHE_LEVEL_INFO);
}
END_TEST

START_TEST(log_writes_whole_lines) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    int saved = dup(2);
    dup2(ends[1], 2);
    lathe_log(LATHE_LEVEL_INFO, "test", "two\nlines");
    lathe_log_set_format(LATHE_LOG_JSON);
    lathe_log(LATHE_LEVEL_ERROR, "test", "two\n\"lines\"");
    lathe_log_set_format(LATHE_LOG_TEXT);
    dup2(saved, 2);
    close(saved);
    close(ends[1]);
    char text[1024];
    ssize_t n = read(ends[0], text, sizeof text - 1);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    ck_assert_ptr_nonnull(strstr(text, "Z info  test: two lines\n{\"time\":\""));
    ck_assert_ptr_nonnull(strstr(
        text, "\"level\":\"error\",\"component\":\"test\",\"message\":\"two\\n\\\"lines\\\"\"}\n"));
    close(ends[0]);
}
END_TEST

/* ---- clock ---- */

START_TEST(clock_agrees_with_the_c_library) {
    for (int64_t t = -62135596800; t < 253402300800; t += 86400 * 97 + 12345) {
        time_t seconds = (time_t)t;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        char expected[64], got[LATHE_ISO_TIME];
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.789Z", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        lathe_iso_time(t * 1000000 + 789123, got);
        ck_assert_str_eq(got, expected);
        int64_t days;
        ck_assert(lathe_days_from_date(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, &days));
        ck_assert_int_eq(days, (t - (tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec)) / 86400);
    }
}
END_TEST

START_TEST(clock_refuses_days_that_are_none) {
    int64_t days;
    ck_assert(lathe_days_from_date(2000, 2, 29, &days));
    ck_assert_int_eq(days, 11016);
    ck_assert(!lathe_days_from_date(1900, 2, 29, &days));
    ck_assert(!lathe_days_from_date(2023, 13, 1, &days));
    ck_assert(!lathe_days_from_date(2023, 4, 31, &days));
    ck_assert(!lathe_days_from_date(2023, 4, 0, &days));
    char text[LATHE_ISO_TIME];
    lathe_iso_time(INT64_MAX, text);
    ck_assert_str_eq(text, "");
    int64_t before = lathe_now_ns();
    ck_assert_int_ge(lathe_now_ns(), before);
    ck_assert_int_gt(lathe_wall_us(), INT64_C(1600000000000000));
}
END_TEST

/* ---- cpu ---- */

START_TEST(cpu_tells_something_plausible) {
    ck_assert_int_ge(lathe_cpu_count(), 1);
    ck_assert_int_le(lathe_cpu_count(), sysconf(_SC_NPROCESSORS_CONF));
    uint32_t level = lathe_cpu_level();
    ck_assert(!(level & LATHE_CPU_AVX512) || (level & LATHE_CPU_AVX2_FMA));
    ck_assert_str_eq(lathe_cpu_level_name(0), "baseline");
    ck_assert_str_eq(lathe_cpu_level_name(LATHE_CPU_AVX512 | LATHE_CPU_AVX2_FMA), "avx512");
    char model[128];
    lathe_cpu_model(model, sizeof model);
    ck_assert_uint_gt(strlen(model), 0);
    ck_assert_int_gt(lathe_memory_limit(), 1 << 20);
    ck_assert_int_gt(lathe_memory_resident(), 1 << 12);
    ck_assert_int_ge(lathe_memory_peak(), 1 << 12);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base core");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, error_is_filled);
    tcase_add_test(tc, error_may_quote_itself);
    tcase_add_test(tc, error_is_cut_between_characters);
    tcase_add_test(tc, error_wraps);
    tcase_add_test(tc, error_from_errno);
    tcase_add_test(tc, sizes_do_not_wrap);
    tcase_add_test(tc, arena_gives_zeroed_aligned_memory);
    tcase_add_test(tc, arena_refuses_what_does_not_fit);
    tcase_add_test(tc, buf_grows);
    tcase_add_test(tc, buf_failure_sticks);
    tcase_add_test(tc, log_has_levels_and_a_sink);
    tcase_add_test(tc, log_writes_whole_lines);
    tcase_add_test(tc, clock_agrees_with_the_c_library);
    tcase_add_test(tc, clock_refuses_days_that_are_none);
    tcase_add_test(tc, cpu_tells_something_plausible);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
