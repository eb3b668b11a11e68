/* base/clock.h: time. [any] */
#ifndef LATHE_BASE_CLOCK_H
#define LATHE_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define LATHE_ISO_TIME 32 /* bytes for "2025-01-02T03:04:05.678Z" with room to spare */

/* Nanoseconds since some fixed moment; never runs backwards. */
int64_t lathe_now_ns(void);
/* The same in seconds, for durations. */
double lathe_now_seconds(void);

/* Wall clock: microseconds since 1970-01-01 UTC. */
int64_t lathe_wall_us(void);

/* "2025-01-02T03:04:05.678Z" (UTC, milliseconds) of such a moment; years 0000 to 9999, else "". */
void lathe_iso_time(int64_t wall_us, char out[LATHE_ISO_TIME]);
void lathe_iso_now(char out[LATHE_ISO_TIME]);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar; false where the date is none. */
bool lathe_days_from_date(int64_t year, int month, int day, int64_t *days);
void lathe_date_from_days(int64_t days, int64_t *year, int *month, int *day);

#endif
