#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

#define POWERS 28 /* 5^27 is the largest power of 5 below 2^63 */

static const uint64_t pow5[POWERS] = {UINT64_C(1),
                                      UINT64_C(5),
                                      UINT64_C(25),
                                      UINT64_C(125),
                                      UINT64_C(625),
                                      UINT64_C(3125),
                                      UINT64_C(15625),
                                      UINT64_C(78125),
                                      UINT64_C(390625),
                                      UINT64_C(1953125),
                                      UINT64_C(9765625),
                                      UINT64_C(48828125),
                                      UINT64_C(244140625),
                                      UINT64_C(1220703125),
                                      UINT64_C(6103515625),
                                      UINT64_C(30517578125),
                                      UINT64_C(152587890625),
                                      UINT64_C(762939453125),
                                      UINT64_C(3814697265625),
                                      UINT64_C(19073486328125),
                                      UINT64_C(95367431640625),
                                      UINT64_C(476837158203125),
                                      UINT64_C(2384185791015625),
                                      UINT64_C(11920928955078125),
                                      UINT64_C(59604644775390625),
                                      UINT64_C(298023223876953125),
                                      UINT64_C(1490116119384765625),
                                      UINT64_C(7450580596923828125)};

static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* ---- reading ---- */

/* bits * 2^exponent to the nearest double, ties to even. bits has its top bit set; `sticky`: something below was cut off.
 * The result is normal: the callers' exponents are small. */
static double round_double(uint64_t bits, bool sticky, int exponent) {
    uint64_t kept = bits >> 11;
    const uint64_t rest = bits & 0x7FF;
    kept += rest > 0x400 || (rest == 0x400 && (sticky || (kept & 1)));
    /* kept <= 2^53: a carry moves into the exponent field by the addition below */
    const uint64_t field = ((uint64_t)(exponent + 63 + 1023 - 1) << 52) + kept;
    double value;
    memcpy(&value, &field, sizeof value);
    return value;
}

/* digits * 10^exponent for |exponent| < POWERS, digits > 0: exact, since the quotient or product is. */
static double scale(uint64_t digits, int exponent) {
    if (digits >> 53 == 0 && exponent >= -22 && exponent <= 22) {
        return exponent < 0 ? (double)digits / pow10[-exponent] : (double)digits * pow10[exponent];
    }
    if (exponent >= 0) {
        const u128 product = (u128)digits * pow5[exponent];
        const uint64_t high = (uint64_t)(product >> 64);
        if (high == 0) {
            const int shift = __builtin_clzll((uint64_t)product);
            return round_double((uint64_t)product << shift, false, exponent - shift);
        }
        const int shift = __builtin_clzll(high);
        const u128 top = product << shift;
        return round_double((uint64_t)(top >> 64), (uint64_t)top != 0, exponent + 64 - shift);
    }
    /* digits 2^a / (5^k 2^b) with both in [2^63, 2^64): the halved dividend makes the quotient fit 64 bits */
    const int a = __builtin_clzll(digits), b = __builtin_clzll(pow5[-exponent]);
    const uint64_t divisor = pow5[-exponent] << b;
    const u128 dividend = (u128)(digits << a) << 63;
    const uint64_t quotient = (uint64_t)(dividend / divisor);
    const bool sticky = (u128)quotient * divisor != dividend;
    const int shift = __builtin_clzll(quotient); /* 0 or 1 */
    return round_double(quotient << shift, sticky, exponent - 63 - a + b - shift);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Where the digits cannot be kept in 64 bits or the exponent is large. */
static bool read_slow(const char *text, size_t len, double *value) {
    char small[128], *copy = len < sizeof small ? small : malloc(len + 1), *stop;
    if (copy == NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    *value = strtod(copy, &stop); /* the program never leaves the C locale for numbers */
    const bool all = stop == copy + len && isfinite(*value);
    if (copy != small)
        free(copy);
    return all;
}

/* Adds the digits at p to *digits, of which *n are significant so far. */
static const char *take_digits(const char *p, const char *end, uint64_t *digits, int *n) {
    for (; p < end && is_digit(*p); p++) {
        *n += *n > 0 || *p != '0';
        if (*n <= 19)
            *digits = *digits * 10 + (uint64_t)(*p - '0');
    }
    return p;
}

static const char *take_exponent(const char *p, const char *end, int *exponent) {
    const char *q = p + 1;
    int value = 0;
    const bool negative = q < end && *q == '-';
    if (q < end && (*q == '-' || *q == '+'))
        q++;
    if (q == end || !is_digit(*q))
        return NULL;
    for (; q < end && is_digit(*q); q++)
        value = value < 100000 ? value * 10 + (*q - '0') : value;
    *exponent = negative ? -value : value;
    return q;
}

const char *lathe_number_read(const char *text, const char *end, lathe_number *number) {
    const char *p = text;
    const bool negative = p < end && *p == '-';
    uint64_t digits = 0;
    int n = 0, exponent = 0, places = 0;
    p += negative;
    if (p == end || !is_digit(*p))
        return NULL;
    if (*p == '0' && p + 1 < end && is_digit(p[1]))
        return NULL;
    p = take_digits(p, end, &digits, &n);
    number->is_integer = true;
    if (p < end && *p == '.') {
        const char *first = ++p;
        if (p == end || !is_digit(*p))
            return NULL;
        p = take_digits(p, end, &digits, &n);
        places = p - first < 100000 ? (int)(p - first) : 100000;
        number->is_integer = false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        if ((p = take_exponent(p, end, &exponent)) == NULL)
            return NULL;
        number->is_integer = false;
    }
    exponent -= places;
    if (number->is_integer)
        number->is_integer = n <= 19 && digits <= (uint64_t)INT64_MAX;
    number->integer = negative ? -(int64_t)(digits & INT64_MAX) : (int64_t)(digits & INT64_MAX);
    if (n == 0)
        number->value = 0;
    else if (n <= 19 && exponent > -POWERS && exponent < POWERS)
        number->value = scale(digits, exponent);
    else if (!read_slow(negative ? text + 1 : text, (size_t)(p - text - negative), &number->value))
        return NULL;
    if (negative)
        number->value = -number->value;
    return p;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* A plain number at p, which ends before `end`: [-] digits [. digits] of at most 16 characters after the sign: up to 15 digits
 * with a point, where the quotient of two exact doubles is the nearest one (W. D. Clinger, How to read floating point numbers
 * accurately, 1990), or a whole number, which is rounded once. NULL: not plain. */
static const char *read_plain(const char *p, const char *end, double *value) {
    const char *start = p, *dot = NULL, *first;
    uint64_t digits = 0;
    p += *p == '-';
    first = p;
    for (; p < end; p++) {
        const unsigned d = (unsigned)*p - '0';
        if (d <= 9)
            digits = digits * 10 + d;
        else if (*p == '.' && dot == NULL && p > first)
            dot = p;
        else
            break;
        if (p - first > 15)
            return NULL;
    }
    if (p == first || p == end || *p == '.' || (*p | 0x20) == 'e' || dot == p - 1)
        return NULL;
    if (*first == '0' && first + 1 < p && first + 1 != dot)
        return NULL;
    const double plain = dot == NULL ? (double)digits : (double)digits / pow10[p - dot - 1];
    *value = *start == '-' ? -plain : plain;
    return p;
}

const char *lathe_numbers_read(const char *text, const char *end, double *values, int64_t *n) {
    const int64_t most = *n;
    const char *p = text, *last = NULL;
    *n = 0;
    while (*n < most && p < end) {
        const char *next = read_plain(p, end, &values[*n]);
        if (next == NULL)
            break;
        ++*n;
        last = p = next;
        while (p < end && is_blank(*p))
            p++;
        if (p == end || *p != ',')
            break;
        p++;
        while (p < end && is_blank(*p))
            p++;
    }
    return last;
}

/* ---- writing ---- */

size_t lathe_int_write(int64_t value, char *out) {
    char digits[20];
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    size_t n = 0, len = 0;
    do {
        digits[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        out[len++] = '-';
    while (n > 0)
        out[len++] = digits[--n];
    return len;
}

/* The float nearest to digits * 10^exponent, by the library. */
static float float_of(uint64_t digits, int exponent) {
    char text[40];
    size_t len = lathe_int_write((int64_t)digits, text);
    text[len++] = 'e';
    len += lathe_int_write(exponent, text + len);
    text[len] = '\0';
    return strtof(text, NULL);
}

/* Is the float nearest to digits * 10^exponent this one? A decimal goes to double exactly rounded; where that double lies
 * on the border between two floats, the sign of what was cut off decides, which strtof knows. */
static bool reads_back(uint64_t digits, int exponent, float want) {
    if (exponent <= -POWERS || exponent >= POWERS)
        return float_of(digits, exponent) == want;
    /* want's neighbours in double are far off: the decimal reads back where it lies strictly within half a float's step */
    const double value = scale(digits, exponent);
    if ((float)value != want)
        return false;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x1FFFFFFF) != 0x10000000) /* not half way between two floats */
        return true;
    return float_of(digits, exponent) == want;
}

/* x / 10^exponent as a whole number; powers of ten up to 10^22 are exact, the others close enough for 9 digits. */
static uint64_t digits_of(double x, int exponent) {
    const int up = -exponent;
    const double scaled = up > 22     ? x * 1e22 * pow(10, up - 22)
                          : up >= 0   ? x * scale(1, up)
                          : up >= -22 ? x / scale(1, -up)
                                      : x / 1e22 / pow(10, -up - 22);
    return (uint64_t)llrint(scaled);
}

/* The fewest digits d with d * 10^*exponent reading back; value > 0. 9 always do. Where 5 would, 6 are the same 5 and a
 * zero: a float has more than 7; only those below FLT_MIN have fewer. */
static uint64_t shortest(float value, int *exponent) {
    const int magnitude = (int)floor(log10((double)value));
    for (int n = value < FLT_MIN ? 1 : 6; n < 9; n++) {
        *exponent = magnitude + 1 - n;
        const uint64_t digits = digits_of((double)value, *exponent);
        if (reads_back(digits, *exponent, value))
            return digits;
    }
    *exponent = magnitude - 8;
    return digits_of((double)value, *exponent);
}

/* d digits with the point `exponent` places from their end, as JavaScript writes them. */
static size_t layout(const char *d, int n, int exponent, char *out) {
    const int point = n + exponent; /* digits before the point */
    size_t len = 0;
    if (point > 0 && point <= 21) {
        for (int i = 0; i < n || i < point; i++) {
            if (i == point)
                out[len++] = '.';
            out[len++] = i < n ? d[i] : '0';
        }
        return len;
    }
    if (point <= 0 && point > -6) {
        out[len++] = '0';
        out[len++] = '.';
        for (int i = point; i < 0; i++)
            out[len++] = '0';
        memcpy(out + len, d, (size_t)n);
        return len + (size_t)n;
    }
    out[len++] = d[0];
    if (n > 1) {
        out[len++] = '.';
        memcpy(out + len, d + 1, (size_t)n - 1);
        len += (size_t)n - 1;
    }
    out[len++] = 'e';
    if (point - 1 > 0)
        out[len++] = '+';
    return len + lathe_int_write(point - 1, out + len);
}

size_t lathe_float_write(float value, char out[LATHE_FLOAT_TEXT]) {
    char digits[LATHE_FLOAT_TEXT];
    size_t len = 0;
    int exponent = 0;
    if (signbit(value)) {
        out[len++] = '-';
        value = -value;
    }
    if (value < 16777216.0f && value == floorf(value)) /* every whole number there is a float */
        return len + lathe_int_write((int64_t)value, out + len);
    uint64_t d = shortest(value, &exponent);
    while (d % 10 == 0) {
        d /= 10;
        exponent++;
    }
    return len + layout(digits, (int)lathe_int_write((int64_t)d, digits), exponent, out + len);
}
