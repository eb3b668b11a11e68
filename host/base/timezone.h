/* base/timezone.h: time zones by their IANA names, without touching TZ or any state of the process. [any]
 *
 * Read from the system's database (TZif files, RFC 8536; /usr/share/zoneinfo or $TZDIR). "UTC" needs no file.
 */
#ifndef LATHE_BASE_TIMEZONE_H
#define LATHE_BASE_TIMEZONE_H

#include "base/error.h"

#include <stdint.h>

typedef struct lathe_timezone lathe_timezone;

/* Free it. LATHE_E_INVALID: no name of a zone; LATHE_E_NOT_FOUND: the database has none of that name;
 * LATHE_E_CORRUPT: its file is no time zone. */
int32_t lathe_timezone_open(const char *name, lathe_timezone **zone, lathe_error *err);
void lathe_timezone_free(lathe_timezone *zone);

/* Seconds east of UTC at a moment (seconds since 1970). */
int64_t lathe_timezone_offset(const lathe_timezone *zone, int64_t utc);

/* The moment at which clocks in the zone show `local` (seconds since 1970 as if the zone were UTC): the first of two
 * where the hour is repeated; the end of the gap where clocks skip it. */
int64_t lathe_timezone_moment(const lathe_timezone *zone, int64_t local);

#endif
