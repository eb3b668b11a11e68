#include "base/cron.h"

#include "base/clock.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY 86400
#define ALL_HOURS 0xFFFFFFu
/* The longest wait for a day: 29 February, over a year such as 2100 that has none; 40 for one that falls on a weekday. */
#define MAX_DAYS (41 * 366)

typedef struct field {
    const char *name;
    int min, max;
    const char *names; /* three letters each, from min on */
} field;

static const field fields[5] = {
    {"minute", 0, 59, ""},
    {"hour", 0, 23, ""},
    {"day of month", 1, 31, ""},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of week", 0, 7, "sunmontuewedthufrisat"},
};

/* ---- reading ---- */

static int32_t fail_field(const field *f, const char *item, size_t len, lathe_error *err) {
    return lathe_fail(
        err, LATHE_E_INVALID, NULL,
        "the field %s has \"%.*s\"; expected '*', numbers from %d to %d%s, ranges a-b and "
        "steps */n or a-b/n, with commas between",
        f->name, (int)(len < 40 ? len : 40), item, f->min, f->max,
        f->names[0] ? " or their names" : "");
}

/* A number or a name; false: none. */
static bool read_value(const field *f, const char **at, const char *end, int *value) {
    const char *begin = *at;
    if (isdigit((unsigned char)*begin)) {
        for (*value = 0; *at < end && isdigit((unsigned char)**at); (*at)++)
            if ((*value = *value * 10 + (**at - '0')) > 1000)
                return false;
        return *value >= f->min && *value <= f->max;
    }
    for (size_t i = 0; f->names[i] != 0 && end - begin >= 3; i += 3)
        if (strncasecmp(f->names + i, begin, 3) == 0) {
            *at += 3;
            *value = f->min + (int)(i / 3);
            return true;
        }
    return false;
}

/* One item of a list: "*", "5", "1-5", "*\/2", "1-9/2". */
static bool read_item(const field *f, const char *at, const char *end, uint64_t *bits) {
    int low = f->min, high = f->max, step = 1;
    bool may_step = true;
    if (f->max == 7)
        high = 6; /* "*": each day once */
    if (at < end && *at == '*') {
        at++;
    } else {
        if (!read_value(f, &at, end, &low))
            return false;
        high = low;
        may_step = at < end && *at == '-';
        if (may_step && (at++, !read_value(f, &at, end, &high) || high < low))
            return false;
    }
    if (at < end && *at == '/' && may_step) {
        const field steps = {"step", 1, f->max - f->min + 1, ""};
        at++;
        if (at == end || !isdigit((unsigned char)*at) || !read_value(&steps, &at, end, &step))
            return false;
    }
    for (int v = low; v <= high; v += step)
        *bits |= (uint64_t)1 << v;
    return at == end;
}

static int32_t read_field(const field *f, const char *text, size_t len, uint64_t *bits,
                          lathe_error *err) {
    const char *at = text, *end = text + len;
    *bits = 0;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        if (stop == at || !read_item(f, at, stop, bits))
            return fail_field(f, text, len, err);
        if (comma == NULL)
            return LATHE_OK;
        at = comma + 1;
    }
}

/* The longest that each month gets. */
static bool has_a_day(const lathe_cron *c) {
    static const int lengths[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!c->any_weekday && !c->any_day)
        return true; /* each week has one */
    for (int m = 1; m <= 12; m++)
        if ((c->months >> m & 1) != 0 && (c->days & (((uint64_t)2 << lengths[m]) - 1)) != 0)
            return true;
    return false;
}

static const char *expand(const char *text) {
    static const struct {
        const char *name, *means;
    } words[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                 {"@annually", "0 0 1 1 *"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(words[i].name, text) == 0)
            return words[i].means;
    return text;
}

int32_t lathe_cron_parse(const char *text, lathe_cron *cron, lathe_error *err) {
    const char *at = expand(text);
    uint64_t bits[5];
    if (*at == '@')
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.40s\" is no cron expression; expected @hourly, @daily, @weekly, "
                          "@monthly, @yearly or five fields",
                          text);
    *cron = (lathe_cron){0};
    for (int i = 0; i < 5; i++) {
        at += strspn(at, " \t");
        const size_t len = strcspn(at, " \t");
        if (len == 0)
            return lathe_fail(err, LATHE_E_INVALID, NULL,
                              "\"%.80s\" has %d fields; expected five: minute, hour, day of month, "
                              "month, day of week",
                              text, i);
        int32_t rc = read_field(&fields[i], at, len, &bits[i], err);
        if (rc != LATHE_OK)
            return rc;
        cron->any_day = cron->any_day || (i == 2 && *at == '*');
        cron->any_weekday = cron->any_weekday || (i == 4 && *at == '*');
        at += len;
    }
    if (at[strspn(at, " \t")] != 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.80s\" has more than five fields: minute, hour, day of month, month, "
                          "day of week",
                          text);
    cron->minutes = bits[0];
    cron->hours = (uint32_t)bits[1];
    cron->days = (uint32_t)bits[2];
    cron->months = (uint32_t)bits[3];
    cron->weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7F);
    if (!has_a_day(cron))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.80s\" is never due: no such day is in these months", text);
    return LATHE_OK;
}

/* ---- when ---- */

static int64_t day_of(int64_t seconds) {
    return (seconds - ((seconds % DAY) + DAY) % DAY) / DAY;
}

static bool day_fits(const lathe_cron *c, int64_t days) {
    int64_t year;
    int month, day;
    lathe_date_from_days(days, &year, &month, &day);
    const int weekday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    const bool by_day = (c->days >> day & 1) != 0, by_week = (c->weekdays >> weekday & 1) != 0;
    return (c->months >> month & 1) != 0 &&
           (c->any_day || c->any_weekday ? by_day && by_week : by_day || by_week);
}

/* For every hour: minute by minute of the world's clock through a day of the zone's. -1: none that day. */
static int64_t next_by_world(const lathe_cron *c, const lathe_timezone *zone, int64_t day,
                             int64_t after) {
    const int64_t begin = lathe_timezone_moment(zone, day * DAY);
    const int64_t end = lathe_timezone_moment(zone, (day + 1) * DAY);
    int64_t t = begin > after ? begin : after + 1;
    for (; t < end; t++) {
        const int64_t local = t + lathe_timezone_offset(zone, t);
        const int64_t second = ((local % 60) + 60) % 60;
        if (second != 0)
            t += 59 - second;
        else if ((c->minutes >> (((local / 60) % 60 + 60) % 60) & 1) != 0)
            return t;
        else
            t += 59;
    }
    return -1;
}

/* For certain hours: by what the zone's clocks show. */
static int64_t next_by_clock(const lathe_cron *c, const lathe_timezone *zone, int64_t day,
                             int64_t after) {
    for (int hour = 0; hour < 24; hour++) {
        for (int minute = 0; (c->hours >> hour & 1) != 0 && minute < 60; minute++) {
            if ((c->minutes >> minute & 1) == 0)
                continue;
            const int64_t t = lathe_timezone_moment(zone, day * DAY + hour * 3600 + minute * 60);
            if (t > after)
                return t;
        }
    }
    return -1;
}

int64_t lathe_cron_next(const lathe_cron *c, const lathe_timezone *zone, int64_t after) {
    const int64_t today = day_of(after + lathe_timezone_offset(zone, after));
    for (int64_t day = today - 1; day < today + MAX_DAYS; day++) {
        if (!day_fits(c, day))
            continue;
        const int64_t t = c->hours == ALL_HOURS ? next_by_world(c, zone, day, after)
                                                : next_by_clock(c, zone, day, after);
        if (t >= 0)
            return t;
    }
    return INT64_MAX; /* no expression that was read gets here */
}
