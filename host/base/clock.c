#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t lathe_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double lathe_now_seconds(void) {
    return (double)lathe_now_ns() * 1e-9;
}

int64_t lathe_wall_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* The days-and-civil pair follows H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in
 * March, so that the leap day is a year's last; an era is 400 years, 146097 days. */
bool lathe_days_from_date(int64_t year, int month, int day, int64_t *days) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || year < -200000 || year > 300000)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > lengths[month - 1] + (month == 2 && leap))
        return false;
    int64_t y = year - (month <= 2);
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    *days = era * 146097 + day_of_era - 719468;
    return true;
}

void lathe_date_from_days(int64_t days, int64_t *year, int *month, int *day) {
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;                                      /* day of era */
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365; /* year of era */
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);               /* day of year */
    int64_t mp = (5 * doy + 2) / 153;                                    /* month from March */
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

void lathe_iso_time(int64_t wall_us, char out[LATHE_ISO_TIME]) {
    int64_t ms = floor_div(wall_us, 1000);
    int64_t seconds = floor_div(ms, 1000);
    int64_t days = floor_div(seconds, 86400);
    int64_t year;
    int month, day;
    lathe_date_from_days(days, &year, &month, &day);
    out[0] = '\0';
    if (year < 0 || year > 9999)
        return;
    int s = (int)(seconds - days * 86400);
    snprintf(out, LATHE_ISO_TIME, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, month, day,
             s / 3600, s / 60 % 60, s % 60, (int)(ms - seconds * 1000));
}

void lathe_iso_now(char out[LATHE_ISO_TIME]) {
    lathe_iso_time(lathe_wall_us(), out);
}
