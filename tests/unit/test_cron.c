/* Cron expressions and time zones: what is taken, what is refused, and known moments: leap years, daylight saving. */
#include "base/clock.h"
#include "base/cron.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

/* "2024-02-29 03:00" as seconds since 1970, as if UTC. */
static int64_t at(const char *text) {
    int y, mo, d, h, m;
    int64_t days;
    ck_assert_int_eq(sscanf(text, "%d-%d-%d %d:%d", &y, &mo, &d, &h, &m), 5);
    ck_assert(lathe_days_from_date(y, mo, d, &days));
    return days * 86400 + h * 3600 + m * 60;
}

static lathe_timezone *zone_of(const char *name) {
    lathe_timezone *zone;
    ck_assert_msg(lathe_timezone_open(name, &zone, &err) == LATHE_OK, "%s", err.message);
    return zone;
}

START_TEST(known_moments_in_utc) {
    static const struct {
        const char *cron, *after, *next;
    } cases[] = {
        {"* * * * *", "2024-01-01 00:00", "2024-01-01 00:01"},
        {"*/15 * * * *", "2024-01-01 00:00", "2024-01-01 00:15"},
        {"*/15 * * * *", "2024-01-01 00:46", "2024-01-01 01:00"},
        {"0 3 * * *", "2024-01-01 03:00", "2024-01-02 03:00"},
        {"0 3 * * *", "2024-12-31 03:00", "2025-01-01 03:00"},
        {"30 4 1,15 * 5", "2024-01-01 04:30",
         "2024-01-05 04:30"}, /* a Friday comes before the 15th */
        {"30 4 1,15 * 5", "2024-01-12 05:00", "2024-01-15 04:30"},
        {"0 0 29 2 *", "2024-02-29 00:00", "2028-02-29 00:00"},
        {"0 0 29 2 *", "2096-02-29 00:00", "2104-02-29 00:00"}, /* 2100 has none */
        {"0 0 31 * *", "2024-01-31 00:00", "2024-03-31 00:00"},
        {"0 0 30 feb-mar *", "2024-01-31 00:00", "2024-03-30 00:00"},
        {"0 12 * * mon-fri", "2024-03-01 12:00", "2024-03-04 12:00"}, /* Friday to Monday */
        {"0 12 * * 7", "2024-03-01 12:00", "2024-03-03 12:00"},
        {"0 12 * * 0", "2024-03-01 12:00", "2024-03-03 12:00"},
        {"0 12 * * SUN", "2024-03-01 12:00", "2024-03-03 12:00"},
        {"0 12 * * 5-7", "2024-03-02 12:00", "2024-03-03 12:00"},
        {"5-59/20 9-17/4 * jan,Dec *", "2024-01-31 17:45", "2024-12-01 09:05"},
        {"0 0 */10 * 1", "2024-05-01 00:00", "2024-07-01 00:00"}, /* '*' first: both must fit */
        {"0 0 13 * 5", "2024-01-01 00:00", "2024-01-05 00:00"},   /* neither '*': either */
        {"@hourly", "2024-01-01 23:30", "2024-01-02 00:00"},
        {"@daily", "2024-01-01 23:30", "2024-01-02 00:00"},
        {"@weekly", "2024-01-01 00:00", "2024-01-07 00:00"},
        {"@monthly", "2024-01-01 00:00", "2024-02-01 00:00"},
        {"@yearly", "2024-01-01 00:00", "2025-01-01 00:00"},
        {"@ANNUALLY", "2024-01-01 00:00", "2025-01-01 00:00"},
        {"  0\t3  * * * ", "2024-01-01 03:00", "2024-01-02 03:00"},
    };
    lathe_timezone *utc = zone_of("UTC");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lathe_cron cron;
        ck_assert_msg(lathe_cron_parse(cases[i].cron, &cron, &err) == LATHE_OK, "%s: %s",
                      cases[i].cron, err.message);
        const int64_t next = lathe_cron_next(&cron, utc, at(cases[i].after));
        ck_assert_msg(next == at(cases[i].next), "%s after %s: %lld, expected %s", cases[i].cron,
                      cases[i].after, (long long)next, cases[i].next);
        /* and a second earlier it is the same */
        ck_assert_int_eq(lathe_cron_next(&cron, utc, next - 1), next);
    }
    lathe_timezone_free(utc);
}
END_TEST

START_TEST(what_is_refused) {
    static const struct {
        const char *cron, *says;
    } cases[] = {
        {"", "has 0 fields"},
        {"* * * *", "has 4 fields"},
        {"* * * * * *", "more than five"},
        {"60 * * * *", "minute"},
        {"-1 * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of month"},
        {"* * 32 * *", "day of month"},
        {"* * * 13 *", "month"},
        {"* * * foo *", "month"},
        {"* * * * 8", "day of week"},
        {"* * * * fri-mon", "day of week"},
        {"5-1 * * * *", "minute"},
        {"*/0 * * * *", "minute"},
        {"*/61 * * * *", "minute"},
        {"5/15 * * * *", "minute"}, /* means different things in different crons */
        {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"},
        {", * * * *", "minute"},
        {"1-2-3 * * * *", "minute"},
        {"*/* * * * *", "minute"},
        {"99999999999999999999 * * * *", "minute"},
        {"janx * * * *", "minute"},
        {"0 0 30 2 *", "never"},
        {"0 0 31 feb,apr,jun,sep,nov *", "never"},
        {"@reboot", "@hourly"},
        {"@", "@hourly"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lathe_cron cron;
        ck_assert_msg(lathe_cron_parse(cases[i].cron, &cron, &err) == LATHE_E_INVALID, "%s",
                      cases[i].cron);
        ck_assert_msg(strstr(err.message, cases[i].says) != NULL, "%s: %s", cases[i].cron,
                      err.message);
    }
}
END_TEST

/* Berlin: clocks go from 02:00 to 03:00 on 31 March 2024 (01:00 UTC), from 03:00 to 02:00 on 27 October (01:00 UTC). New
 * York: 10 March and 3 November. Lord Howe: by half an hour. The last are beyond every table: by the file's rule. */
START_TEST(daylight_saving) {
    static const struct {
        const char *zone, *cron, *after, *next; /* moments in UTC */
    } cases[] = {
        {"Europe/Berlin", "0 3 * * *", "2024-01-01 02:00", "2024-01-02 02:00"},
        {"Europe/Berlin", "0 3 * * *", "2024-07-01 01:00", "2024-07-02 01:00"},
        {"Europe/Berlin", "30 2 * * *", "2024-03-30 02:00",
         "2024-03-31 01:00"}, /* skipped: at the end of the gap */
        {"Europe/Berlin", "30 2 * * *", "2024-03-31 01:00", "2024-04-01 00:30"},
        {"Europe/Berlin", "30 2 * * *", "2024-10-26 12:00",
         "2024-10-27 00:30"}, /* repeated: the first pass */
        {"Europe/Berlin", "30 2 * * *", "2024-10-27 00:30", "2024-10-28 01:30"}, /* and once */
        {"Europe/Berlin", "30 * * * *", "2024-10-27 00:30",
         "2024-10-27 01:30"}, /* every hour: both passes */
        {"Europe/Berlin", "30 * * * *", "2024-10-27 01:30", "2024-10-27 02:30"},
        {"Europe/Berlin", "30 * * * *", "2024-03-31 00:30",
         "2024-03-31 01:30"}, /* 01:30, then 03:30 */
        {"Europe/Berlin", "0,30 2 * * *", "2024-03-30 12:00", "2024-03-31 01:00"},
        {"Europe/Berlin", "0,30 2 * * *", "2024-03-31 01:00",
         "2024-04-01 00:00"}, /* both are one moment */
        {"America/New_York", "30 2 * * *", "2024-03-09 12:00", "2024-03-10 07:00"},
        {"America/New_York", "30 1 * * *", "2024-11-02 12:00", "2024-11-03 05:30"},
        {"Asia/Kolkata", "0 9 * * *", "2024-01-01 00:00", "2024-01-01 03:30"},
        {"Australia/Lord_Howe", "15 2 * * *", "2024-10-05 12:00", "2024-10-05 15:30"},
        {"Europe/Berlin", "0 12 1 7 *", "2099-12-31 00:00", "2100-07-01 10:00"},
        {"Europe/Berlin", "0 12 1 1 *", "2099-12-01 00:00", "2100-01-01 11:00"},
        {"America/Santiago", "0 12 1 7 *", "2099-12-31 00:00",
         "2100-07-01 16:00"}, /* south: winter in July */
        {"America/Santiago", "0 12 1 1 *", "2099-12-01 00:00", "2100-01-01 15:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lathe_cron cron;
        lathe_timezone *zone = zone_of(cases[i].zone);
        ck_assert_int_eq(lathe_cron_parse(cases[i].cron, &cron, &err), LATHE_OK);
        const int64_t next = lathe_cron_next(&cron, zone, at(cases[i].after));
        ck_assert_msg(next == at(cases[i].next), "%s \"%s\" after %s: %lld, expected %lld",
                      cases[i].zone, cases[i].cron, cases[i].after, (long long)next,
                      (long long)at(cases[i].next));
        lathe_timezone_free(zone);
    }
}
END_TEST

START_TEST(names_that_are_no_zones) {
    static const char *const names[] = {"",
                                        "/etc/passwd",
                                        "../../../etc/passwd",
                                        "Europe/",
                                        "A//B",
                                        "Europe/Ber lin",
                                        "Mars/Olympus",
                                        "Europe",
                                        "a.b",
                                        "x\"y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lathe_timezone *zone;
        ck_assert_msg(lathe_timezone_open(names[i], &zone, &err) != LATHE_OK, "%s", names[i]);
        ck_assert_ptr_null(zone);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cron");
    TCase *t = tcase_create("cron");
    tcase_add_test(t, known_moments_in_utc);
    tcase_add_test(t, what_is_refused);
    tcase_add_test(t, daylight_saving);
    tcase_add_test(t, names_that_are_no_zones);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
