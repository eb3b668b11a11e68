/* number.c: integers, decimal numbers and ISO 8601 times from text.
 *
 * Decimal to binary: W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990. A significand
 * below 2^53 and a power of ten of at most 22 are both exact doubles, so one multiplication or division rounds
 * correctly; everything else goes to strtod in the C locale.
 * Days from the calendar date (proleptic Gregorian): H. Hinnant, "chrono-compatible low-level date algorithms".
 */
#include "csv.h"

#include <math.h>
#include <stdlib.h>

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline int is_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ONES 0x0101010101010101ull
/* 1 to 8 characters at once (D. Lemire, "Quickly parsing eight digits", 2018): digits with at most one point.
 * *scale: digits behind it, -1 without one. 0 where there is anything else, or no digit; the caller then looks
 * closer. */
static inline int parse_short(const char *text, int32_t n, uint64_t *value, int *scale) {
    uint64_t w, dots;
    memcpy(&w, text, 8);
    /* the characters move to the end of the word, zeros come in front */
    w = n == 8 ? w : (w << (64 - 8 * n)) | ((0x30 * ONES) >> (8 * n));
    dots = w ^ (0x2E * ONES);
    dots = (dots - ONES) & ~dots & (0x80 * ONES); /* lowest set bit: the first point */
    *scale = -1;
    if (dots != 0) {
        if (n == 1)
            return 0;
        int at = __builtin_ctzll(dots) >> 3; /* its byte; what is before it moves into its place */
        uint64_t before = w & (((uint64_t)1 << (8 * at)) - 1);
        uint64_t behind = at == 7 ? 0 : w & (~(uint64_t)0 << (8 * at + 8));
        w = before << 8 | behind | 0x30;
        *scale = 7 - at;
    }
    uint64_t digits = w ^ (0x30 * ONES);
    if (((digits | (digits + 0x76 * ONES)) & (0x80 * ONES)) != 0)
        return 0; /* a byte above 9 */
    digits = (digits * 10) + (digits >> 8);
    *value = (((digits & 0x000000FF000000FFull) * 0x000F424000000064ull) +
              (((digits >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull)) >>
             32;
    return 1;
}
#else
static inline int parse_short(const char *text, int32_t n, uint64_t *value, int *scale) {
    (void)text, (void)n, (void)value, (void)scale;
    return 0;
}
#endif

int csv_parse_integer(const char *text, int32_t n, int64_t *value) {
    const char *p = text, *end = text + n;
    int negative = n > 0 && *p == '-';
    uint64_t v = 0;
    p += n > 0 && (*p == '-' || *p == '+');
    if (p == end)
        return CSV_NO;
    int scale;
    if (end - p <= 8 && parse_short(p, (int32_t)(end - p), &v, &scale)) {
        *value = negative ? -(int64_t)v : (int64_t)v;
        return scale < 0 ? CSV_YES : CSV_NO;
    }
    v = 0;
    while (end - p > 1 && *p == '0')
        p++;
    int out = end - p > 19;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return CSV_NO;
        v = v * 10 +
            (uint64_t)(*p - '0'); /* 19 digits fit; more are out of range whatever v holds */
    }
    if (out || v > (uint64_t)INT64_MAX)
        return CSV_OUT_OF_RANGE;
    *value = negative ? -(int64_t)v : (int64_t)v;
    return CSV_YES;
}

static int parse_slow(const char *text, int32_t n, locale_t c_locale, double *value) {
    char small[512];
    char *copy = n < (int32_t)sizeof small ? small : malloc((size_t)n + 1);
    if (copy == NULL)
        return CSV_NO;
    memcpy(copy, text, (size_t)n);
    copy[n] = '\0';
    *value = strtod_l(copy, NULL, c_locale);
    if (copy != small)
        free(copy);
    return isinf(*value) ? CSV_OUT_OF_RANGE : CSV_YES;
}

/* The exponent after 'e', at most 99999 in size; NULL where there is none. */
static const char *parse_exponent(const char *p, const char *end, int *exponent) {
    int negative = 0, e = 0;
    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    if (p == end)
        return NULL;
    for (; p < end && is_digit(*p); p++)
        e = e < 9999 ? e * 10 + (*p - '0') : e;
    *exponent = negative ? -e : e;
    return p;
}

int csv_parse_number(const char *text, int32_t n, locale_t c_locale, double *value) {
    const char *p = text, *end = text + n;
    uint64_t m = 0;
    int negative = n > 0 && *p == '-', scale = 0, exponent = 0, digits = 0;
    p += n > 0 && (*p == '-' || *p == '+');
    if (end - p <= 8 && p < end && parse_short(p, (int32_t)(end - p), &m, &scale)) {
        static const double signs[] = {1,
                                       -1}; /* a branch here would be mispredicted half the time */
        *value = signs[negative] * (double)m / powers_of_ten[scale + (scale < 0)];
        return CSV_YES;
    }
    m = 0;
    scale = 0;
    const char *first = p;
    for (; p < end && is_digit(*p); p++)
        m = m * 10 + (uint64_t)(*p - '0');
    digits = (int)(p - first);
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        for (; p < end && is_digit(*p); p++)
            m = m * 10 + (uint64_t)(*p - '0');
        scale = (int)(p - fraction);
        digits += scale;
    }
    if (digits == 0)
        return CSV_NO;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = parse_exponent(p + 1, end, &exponent);
        if (p == NULL)
            return CSV_NO;
    }
    if (p != end)
        return CSV_NO;
    int power = exponent - scale;
    if (digits > 19 || m > (1ull << 53) || power < -22 || power > 22)
        return parse_slow(text, n, c_locale, value);
    double v = (double)m;
    v = power < 0 ? v / powers_of_ten[-power] : v * powers_of_ten[power];
    *value = negative ? -v : v;
    return CSV_YES;
}

/* `width` digits at *p as a number; -1 where they are not there. */
static int take_digits(const char **p, const char *end, int width) {
    int v = 0;
    if (end - *p < width)
        return -1;
    for (int i = 0; i < width; i++, (*p)++) {
        if (!is_digit(**p))
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static int days_in_month(int y, int m) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[m - 1] + (m == 2 && leap);
}

/* ".123456" in microseconds, further digits cut off; -1: no digits. */
static int64_t take_fraction(const char **p, const char *end) {
    int64_t micros = 0, unit = 100000;
    const char *first = *p;
    for (; *p < end && is_digit(**p); (*p)++, unit /= 10)
        micros += unit * (**p - '0');
    return *p == first ? -1 : micros;
}

/* "Z", "+02:00", "+0200", "+02" in minutes east; 0 where nothing is left. Sets *ok. */
static int take_zone(const char **p, const char *end, int *ok) {
    *ok = 1;
    if (*p == end)
        return 0;
    char sign = *(*p)++;
    if (sign == 'Z' || sign == 'z')
        return 0;
    int hours = take_digits(p, end, 2), minutes = 0;
    if (*p < end && **p == ':')
        (*p)++;
    if (*p < end)
        minutes = take_digits(p, end, 2);
    *ok = (sign == '+' || sign == '-') && hours >= 0 && hours <= 18 && minutes >= 0 && minutes < 60;
    return (sign == '-' ? -1 : 1) * (hours * 60 + minutes);
}

static int take_clock(const char *p, const char *end, int64_t *micros) {
    int h = take_digits(&p, end, 2), min = -1, s = 0, ok;
    int64_t fraction = 0;
    if (p < end && *p == ':') {
        p++;
        min = take_digits(&p, end, 2);
    }
    if (p < end && *p == ':') {
        p++;
        s = take_digits(&p, end, 2);
        if (p < end && *p == '.') {
            p++;
            fraction = take_fraction(&p, end);
        }
    }
    if (h < 0 || h > 23 || min < 0 || min > 59 || s < 0 || s > 59 || fraction < 0)
        return 0;
    int zone = take_zone(&p, end, &ok);
    *micros = (((int64_t)h * 60 + min - zone) * 60 + s) * 1000000 + fraction;
    return ok && p == end;
}

int csv_parse_timestamp(const char *text, int32_t n, int64_t *value) {
    const char *p = text, *end = text + n;
    int64_t micros = 0;
    int day = 1;
    if (n < 7 || text[4] != '-')
        return CSV_NO;
    int year = take_digits(&p, end, 4);
    p++;
    int month = take_digits(&p, end, 2);
    if (year < 1 || month < 1 || month > 12)
        return CSV_NO;
    if (p < end) {
        if (*p++ != '-')
            return CSV_NO;
        day = take_digits(&p, end, 2);
        if (day < 1 || day > days_in_month(year, month))
            return CSV_NO;
    }
    if (p < end) {
        if (*p != 'T' && *p != 't' && *p != ' ')
            return CSV_NO;
        if (!take_clock(p + 1, end, &micros))
            return CSV_NO;
    }
    *value = days_from_civil(year, month, day) * 86400000000 + micros;
    return CSV_YES;
}
