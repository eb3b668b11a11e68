#include "base/timezone.h"

#include "base/clock.h"
#include "base/fs.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 20)
#define MAX_TRANSITIONS 100000
#define DAY 86400

/* When daylight saving begins or ends: "M3.5.0/2" (week 5: the last), "J60" (no leap day), "59". */
typedef struct rule {
    char form; /* 'M', 'J', 'n' */
    int month, week, day;
    int64_t time; /* of the local day, seconds */
} rule;

/* What holds after the last transition: a POSIX TZ string (RFC 8536, 3.3.1). */
typedef struct footer {
    bool given, has_dst;
    int64_t standard, dst; /* seconds east */
    rule begin, end;
} footer;

struct lathe_timezone {
    size_t n;         /* transitions */
    int64_t *moments; /* [n], ascending */
    int64_t *offsets; /* [n + 1]: before the first, then after each */
    footer rest;
};

/* ---- the footer ---- */

static bool read_number(const char **at, int64_t *value) {
    if (!isdigit((unsigned char)**at))
        return false;
    for (*value = 0; isdigit((unsigned char)**at) && *value < 100000; (*at)++)
        *value = *value * 10 + (**at - '0');
    return true;
}

/* No clock is a day away from UTC; lathe_timezone_moment relies on it. */
static bool is_offset(int64_t seconds) {
    return seconds > -DAY && seconds < DAY;
}

/* "[+-]hh[:mm[:ss]]" */
static bool read_time(const char **at, int64_t *seconds) {
    const bool minus = **at == '-';
    int64_t part;
    if (**at == '-' || **at == '+')
        (*at)++;
    if (!read_number(at, seconds))
        return false;
    *seconds *= 3600;
    for (int64_t unit = 60; unit > 0 && **at == ':'; unit /= 60) {
        (*at)++;
        if (!read_number(at, &part))
            return false;
        *seconds += part * unit;
    }
    if (minus)
        *seconds = -*seconds;
    return true;
}

static bool skip_name(const char **at) {
    const char *begin = *at;
    if (**at == '<') {
        *at += strcspn(*at, ">");
        return *(*at)++ == '>';
    }
    while (isalpha((unsigned char)**at))
        (*at)++;
    return *at - begin >= 3;
}

static bool read_rule(const char **at, rule *r) {
    int64_t a = 0, b = 0, c = 0;
    *r = (rule){.form = 'n', .time = 7200};
    if (**at == 'M' || **at == 'J')
        r->form = *(*at)++;
    if (!read_number(at, &a))
        return false;
    if (r->form == 'M') {
        if (*(*at)++ != '.' || !read_number(at, &b) || *(*at)++ != '.' || !read_number(at, &c))
            return false;
        if (a < 1 || a > 12 || b < 1 || b > 5 || c > 6)
            return false;
        r->month = (int)a;
        r->week = (int)b;
        r->day = (int)c;
    } else {
        if (a > 365 || (r->form == 'J' && a < 1))
            return false;
        r->day = (int)a;
    }
    if (**at == '/') {
        (*at)++;
        return read_time(at, &r->time) && llabs(r->time) <= 167 * 3600; /* RFC 8536, 3.3.1 */
    }
    return true;
}

static bool read_footer(const char *text, footer *f) {
    const char *at = text;
    *f = (footer){.given = *text != 0};
    if (!f->given)
        return true;
    if (!skip_name(&at) || !read_time(&at, &f->standard))
        return false;
    f->standard = -f->standard; /* POSIX counts west */
    if (*at == 0)
        return is_offset(f->standard);
    f->has_dst = true;
    f->dst = f->standard + 3600;
    if (!skip_name(&at))
        return false;
    if (*at != ',' && *at != 0) {
        if (!read_time(&at, &f->dst))
            return false;
        f->dst = -f->dst;
    }
    if (!is_offset(f->standard) || !is_offset(f->dst))
        return false;
    return *at++ == ',' && read_rule(&at, &f->begin) && *at++ == ',' && read_rule(&at, &f->end) &&
           *at == 0;
}

static bool is_leap(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Local seconds since 1970 at which the rule takes effect in a year. */
static int64_t rule_local(const rule *r, int64_t year) {
    int64_t first = 0, next = 0;
    if (r->form != 'M') {
        lathe_days_from_date(year, 1, 1, &first);
        const bool after = r->form == 'J' && is_leap(year) && r->day >= 60;
        return (first + r->day - (r->form == 'J' ? 1 : 0) + after) * DAY + r->time;
    }
    lathe_days_from_date(year, r->month, 1, &first);
    if (r->month == 12)
        lathe_days_from_date(year + 1, 1, 1, &next);
    else
        lathe_days_from_date(year, r->month + 1, 1, &next);
    const int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (r->day - weekday + 7) % 7 + (int64_t)(r->week - 1) * 7;
    while (day >= next)
        day -= 7;
    return day * DAY + r->time;
}

static int64_t footer_offset(const footer *f, int64_t utc) {
    if (!f->has_dst)
        return f->standard;
    int64_t year, local = utc + f->standard;
    int month, day;
    lathe_date_from_days((local - ((local % DAY + DAY) % DAY)) / DAY, &year, &month, &day);
    const int64_t begin = rule_local(&f->begin, year) - f->standard;
    const int64_t end = rule_local(&f->end, year) - f->dst;
    const bool summer = begin < end ? utc >= begin && utc < end : utc >= begin || utc < end;
    return summer ? f->dst : f->standard;
}

/* ---- the file ---- */

static int64_t big_endian(const uint8_t *p, int bytes) {
    uint64_t v = (p[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

typedef struct counts {
    size_t utc, standard, leap, time, type, chars;
} counts;

/* The header of a block; false: none. */
static bool read_counts(const uint8_t *p, size_t len, counts *c) {
    if (len < 44 || memcmp(p, "TZif", 4) != 0)
        return false;
    size_t *const each[] = {&c->utc, &c->standard, &c->leap, &c->time, &c->type, &c->chars};
    for (size_t i = 0; i < 6; i++) {
        const int64_t n = big_endian(p + 20 + 4 * i, 4);
        if (n < 0 || n > MAX_TRANSITIONS)
            return false;
        *each[i] = (size_t)n;
    }
    return c->type > 0;
}

static size_t block_bytes(const counts *c, size_t time_bytes) {
    return c->time * (time_bytes + 1) + c->type * 6 + c->chars + c->leap * (time_bytes + 4) +
           c->standard + c->utc;
}

/* Fills moments and offsets from the data of a block. */
static bool read_block(lathe_timezone *z, const uint8_t *p, const counts *c, size_t time_bytes) {
    const uint8_t *types = p + c->time * time_bytes, *infos = types + c->time;
    z->n = c->time;
    z->moments = calloc(c->time + 1, sizeof *z->moments);
    z->offsets = calloc(c->time + 1, sizeof *z->offsets);
    if (z->moments == NULL || z->offsets == NULL)
        return false;
    size_t first = 0; /* before any transition: the first type of standard time */
    while (first < c->type && infos[6 * first + 4] != 0)
        first++;
    z->offsets[0] = big_endian(infos + 6 * (first < c->type ? first : 0), 4);
    for (size_t i = 0; i < c->time; i++) {
        z->moments[i] = big_endian(p + i * time_bytes, (int)time_bytes);
        if (types[i] >= c->type || (i > 0 && z->moments[i] <= z->moments[i - 1]))
            return false;
        z->offsets[i + 1] = big_endian(infos + 6 * types[i], 4);
    }
    for (size_t i = 0; i <= c->time; i++)
        if (!is_offset(z->offsets[i]))
            return false;
    return true;
}

static bool read_zone(lathe_timezone *z, const uint8_t *p, size_t len) {
    counts c;
    if (!read_counts(p, len, &c))
        return false;
    const size_t v1 = 44 + block_bytes(&c, 4);
    if (len < v1)
        return false;
    if (p[4] == 0) /* version 1 */
        return read_block(z, p + 44, &c, 4);
    p += v1;
    len -= v1;
    if (!read_counts(p, len, &c) || len < 44 + block_bytes(&c, 8) || !read_block(z, p + 44, &c, 8))
        return false;
    p += 44 + block_bytes(&c, 8);
    len -= 44 + block_bytes(&c, 8);
    char text[256];
    const uint8_t *end = len > 0 && p[0] == '\n' ? memchr(p + 1, '\n', len - 1) : NULL;
    if (end == NULL || (size_t)(end - p - 1) >= sizeof text)
        return false;
    memcpy(text, p + 1, (size_t)(end - p - 1));
    text[end - p - 1] = 0;
    return read_footer(text, &z->rest);
}

/* A relative path of plain names: nothing else of the file system can be reached by it. */
static bool is_zone_name(const char *name) {
    const size_t len = strlen(name);
    if (len == 0 || len > 80 || name[0] == '/' || name[len - 1] == '/' ||
        strstr(name, "//") != NULL)
        return false;
    for (const char *at = name; *at != 0; at++)
        if (!isalnum((unsigned char)*at) && strchr("_+-/", *at) == NULL)
            return false;
    return true;
}

int32_t lathe_timezone_open(const char *name, lathe_timezone **out, lathe_error *err) {
    const char *folder = getenv("TZDIR");
    char path[512];
    char *data = NULL;
    size_t len = 0;
    *out = NULL;
    if (!is_zone_name(name))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.60s\" is no time zone; expected a name such as \"UTC\" or "
                          "\"Europe/Berlin\"",
                          name);
    lathe_timezone *z = calloc(1, sizeof *z);
    if (z == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (strcmp(name, "UTC") == 0) {
        z->rest.given = true;
        *out = z;
        return LATHE_OK;
    }
    snprintf(path, sizeof path, "%s/%s", folder && folder[0] ? folder : "/usr/share/zoneinfo",
             name);
    int32_t rc = LATHE_OK;
    if (!lathe_is_file(path))
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                        "there is no time zone \"%.60s\" on this machine (package tzdata)", name);
    if (rc == LATHE_OK)
        rc = lathe_read_file(path, MAX_FILE, &data, &len, err);
    if (rc == LATHE_OK && !read_zone(z, (const uint8_t *)data, len))
        rc = lathe_fail(err, LATHE_E_CORRUPT, path, "this file is no time zone (TZif, RFC 8536)");
    free(data);
    if (rc == LATHE_OK)
        *out = z;
    else
        lathe_timezone_free(z);
    return rc;
}

void lathe_timezone_free(lathe_timezone *z) {
    if (z == NULL)
        return;
    free(z->moments);
    free(z->offsets);
    free(z);
}

/* ---- asking ---- */

int64_t lathe_timezone_offset(const lathe_timezone *z, int64_t utc) {
    if (z->rest.given && (z->n == 0 || utc >= z->moments[z->n - 1]))
        return footer_offset(&z->rest, utc);
    size_t low = 0, high = z->n; /* transitions at or before utc */
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (z->moments[mid] <= utc)
            low = mid + 1;
        else
            high = mid;
    }
    return z->n > 0 ? z->offsets[low] : z->offsets ? z->offsets[0] : 0;
}

int64_t lathe_timezone_moment(const lathe_timezone *z, int64_t local) {
    int64_t before = local - DAY, after = local + DAY; /* no offset is a day */
    const int64_t early = lathe_timezone_offset(z, before), late = lathe_timezone_offset(z, after);
    const int64_t a = local - early, b = local - late;
    const bool a_fits = lathe_timezone_offset(z, a) == early;
    const bool b_fits = lathe_timezone_offset(z, b) == late;
    if (a_fits || b_fits)
        return a_fits && (!b_fits || a <= b) ? a : b;
    /* skipped: the moment of the change */
    while (after - before > 1) {
        const int64_t mid = before + (after - before) / 2;
        if (lathe_timezone_offset(z, mid) == early)
            before = mid;
        else
            after = mid;
    }
    return after;
}
