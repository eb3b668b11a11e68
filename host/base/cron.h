/* base/cron.h: cron expressions, and when they are next due. [any]
 *
 * Five fields: minute (0-59), hour (0-23), day of month (1-31), month (1-12 or jan-dec), day of week (0-7 or sun-sat; 0 and
 * 7 are Sunday). Each is '*', a number or name, a range a-b, a step over either ('*' or a-b, then "/n"), or a list of these with
 * commas. Or one of @hourly @daily @midnight @weekly @monthly @yearly @annually.
 *
 * Where both days are restricted (neither begins with '*'), either suffices, as in every cron since Vixie's.
 *
 * Daylight saving. An expression for every hour follows the clock of the world: it is due in both passes of a
 * repeated hour, and a skipped hour is just not there. One for certain hours is due once a day: in the first pass of a
 * repeated hour; and a time that is skipped is due at the end of the gap.
 */
#ifndef LATHE_BASE_CRON_H
#define LATHE_BASE_CRON_H

#include "base/timezone.h"

#include <stdbool.h>

typedef struct lathe_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* bit n: n */
    bool any_day, any_weekday;              /* the field begins with '*' */
} lathe_cron;

/* LATHE_E_INVALID says which field and what was expected; also where no such day exists ("0 0 30 2 *"). */
int32_t lathe_cron_parse(const char *text, lathe_cron *cron, lathe_error *err);

/* The first moment after `after` (seconds since 1970) at which it is due in that zone. */
int64_t lathe_cron_next(const lathe_cron *cron, const lathe_timezone *zone, int64_t after);

#endif
