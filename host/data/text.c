/* data/text.c: see text.h. */
#include "data/text.h"

#include "base/clock.h"
#include "base/jsonw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAP_MAX (INT64_C(1) << 30)
#define MAP_SEED 0

lathe_str lathe_str_of(const char *text) {
    return (lathe_str){text, text != NULL ? (int64_t)strlen(text) : 0};
}

bool lathe_str_equal(lathe_str a, lathe_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, (size_t)a.len) == 0);
}

int lathe_str_compare(lathe_str a, lathe_str b) {
    int64_t len = a.len < b.len ? a.len : b.len;
    int c = len > 0 ? memcmp(a.ptr, b.ptr, (size_t)len) : 0;
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

/* The finalizer of splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA'14). */
uint64_t lathe_hash_mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t lathe_hash_bytes(const void *data, int64_t len, uint64_t seed) {
    const unsigned char *p = data;
    uint64_t h = lathe_hash_mix(seed + UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(len + 1));
    for (; len > 0; len -= 8) {
        uint64_t word = 0;
        for (int i = 0; i < 8 && i < len; i++)
            word |= (uint64_t)*p++ << (8 * i);
        h = lathe_hash_mix(h ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    return h;
}

/* ---- map ---- */

static int64_t map_slot(const lathe_text_map *map, lathe_str key) {
    uint64_t mask = (uint64_t)map->n_slots - 1;
    uint64_t at = lathe_hash_bytes(key.ptr, key.len, MAP_SEED) & mask;
    while (map->slots[at] != 0 && !lathe_str_equal(map->keys[map->slots[at] - 1], key))
        at = (at + 1) & mask;
    return (int64_t)at;
}

int32_t lathe_text_map_find(const lathe_text_map *map, lathe_str key) {
    return map->n == 0 ? -1 : map->slots[map_slot(map, key)] - 1;
}

/* Room for one more key at a load of at most one half. */
static bool map_grow(lathe_text_map *map) {
    if (map->n == map->cap) {
        int64_t cap = map->cap > 0 ? 2 * map->cap : 16;
        lathe_str *keys = realloc(map->keys, (size_t)cap * sizeof *keys);
        if (keys == NULL)
            return false;
        map->keys = keys;
        map->cap = cap;
    }
    if (2 * (map->n + 1) <= map->n_slots)
        return true;
    int64_t n_slots = map->n_slots > 0 ? 2 * map->n_slots : 32;
    int32_t *slots = calloc((size_t)n_slots, sizeof *slots);
    if (slots == NULL)
        return false;
    free(map->slots);
    map->slots = slots;
    map->n_slots = n_slots;
    for (int64_t i = 0; i < map->n; i++)
        slots[map_slot(map, map->keys[i])] = (int32_t)i + 1;
    return true;
}

int32_t lathe_text_map_add(lathe_text_map *map, lathe_str key) {
    int32_t found = lathe_text_map_find(map, key);
    if (found >= 0)
        return found;
    if (map->n >= MAP_MAX || !map_grow(map))
        return -1;
    map->slots[map_slot(map, key)] = (int32_t)map->n + 1;
    map->keys[map->n] = key;
    return (int32_t)map->n++;
}

void lathe_text_map_free(lathe_text_map *map) {
    free(map->keys);
    free(map->slots);
    *map = (lathe_text_map){0};
}

/* ---- printing ---- */

size_t lathe_print_int(int64_t x, char out[LATHE_CELL_TEXT]) {
    return (size_t)snprintf(out, LATHE_CELL_TEXT, "%lld", (long long)x);
}

size_t lathe_print_number(double x, char out[LATHE_CELL_TEXT]) {
    if (isnan(x) || isinf(x))
        return (size_t)snprintf(out, LATHE_CELL_TEXT, "%s",
                                isnan(x) ? "nan"
                                : x > 0  ? "inf"
                                         : "-inf");
    if (fabs(x) < 9007199254740992.0 && x == floor(x))
        return lathe_print_int((int64_t)x, out);
    return lathe_double_text(x, out);
}

#define DAY_US INT64_C(86400000000)

size_t lathe_print_time(int64_t us, char out[LATHE_CELL_TEXT]) {
    int64_t days = us / DAY_US - (us % DAY_US < 0), rest = us - days * DAY_US, year;
    int month, day;
    /* 0000-01-01 and 9999-12-31 */
    if (days < -719528 || days > 2932896)
        return lathe_print_int(us, out);
    lathe_date_from_days(days, &year, &month, &day);
    int n = snprintf(out, LATHE_CELL_TEXT, "%04d-%02d-%02d", (int)year, month, day);
    if (rest == 0)
        return (size_t)n;
    int seconds = (int)(rest / 1000000), micros = (int)(rest % 1000000);
    n += snprintf(out + n, LATHE_CELL_TEXT - (size_t)n, "T%02d:%02d:%02d", seconds / 3600,
                  seconds / 60 % 60, seconds % 60);
    if (micros != 0)
        n += snprintf(out + n, LATHE_CELL_TEXT - (size_t)n, ".%06d", micros);
    n += snprintf(out + n, LATHE_CELL_TEXT - (size_t)n, "Z");
    return (size_t)n;
}

/* ---- reading ---- */

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static lathe_str trim(lathe_str s) {
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool lathe_str_blank(lathe_str text) {
    return trim(text).len == 0;
}

static bool same_word(lathe_str s, const char *word) {
    for (int64_t i = 0; i < s.len; i++, word++) {
        char c = s.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != *word)
            return false;
    }
    return *word == 0;
}

static bool read_word(lathe_str s, double *x) {
    double sign = 1;
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+')) {
        sign = s.ptr[0] == '-' ? -1 : 1;
        s.ptr++;
        s.len--;
    }
    bool nan = same_word(s, "nan");
    if (!nan && !same_word(s, "inf") && !same_word(s, "infinity"))
        return false;
    *x = nan ? (double)NAN : sign * (double)INFINITY;
    return true;
}

bool lathe_read_number(lathe_str text, double *x) {
    char small[64], *copy = small, *end;
    lathe_str s = trim(text);
    bool digit = false;
    for (int64_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c >= '0' && c <= '9')
            digit = true;
        else if (c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E')
            return read_word(s, x);
    }
    if (!digit || (s.len >= (int64_t)sizeof small && (copy = malloc((size_t)s.len + 1)) == NULL))
        return false;
    memcpy(copy, s.ptr, (size_t)s.len);
    copy[s.len] = 0;
    double value = strtod(copy, &end); /* the program never leaves the C locale for numbers */
    bool all = end == copy + s.len;
    if (copy != small)
        free(copy);
    if (all)
        *x = value;
    return all;
}

bool lathe_read_int(lathe_str text, int64_t *x) {
    lathe_str s = trim(text);
    bool negative = s.len > 0 && s.ptr[0] == '-';
    int64_t i = negative || (s.len > 0 && s.ptr[0] == '+'), value = 0;
    if (i == s.len)
        return false;
    for (; i < s.len; i++) { /* downwards, since INT64_MIN has no positive twin */
        int digit = s.ptr[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *x = negative ? value : -value;
    return true;
}

/* `count` digits at *s. */
static bool read_digits(lathe_str *s, int count, int *value) {
    if (s->len < count)
        return false;
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        *value = *value * 10 + (s->ptr[i] - '0');
    }
    s->ptr += count;
    s->len -= count;
    return true;
}

static bool read_char(lathe_str *s, char c) {
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    s->ptr++;
    s->len--;
    return true;
}

/* ".678901…": up to microseconds, further digits are cut. */
static bool read_fraction(lathe_str *s, int64_t *us) {
    int64_t unit = 100000;
    if (!read_char(s, '.'))
        return true;
    if (s->len == 0 || s->ptr[0] < '0' || s->ptr[0] > '9')
        return false;
    for (; s->len > 0 && s->ptr[0] >= '0' && s->ptr[0] <= '9'; s->ptr++, s->len--, unit /= 10)
        *us += (s->ptr[0] - '0') * unit;
    return true;
}

static bool read_zone(lathe_str *s, int64_t *us) {
    int hours, minutes = 0;
    if (s->len == 0 || read_char(s, 'Z') || read_char(s, 'z'))
        return true;
    int sign = s->ptr[0] == '-' ? -1 : 1;
    if ((!read_char(s, '+') && !read_char(s, '-')) || !read_digits(s, 2, &hours))
        return false;
    bool colon = read_char(s, ':');
    if ((colon || s->len > 0) && !read_digits(s, 2, &minutes))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    *us -= sign * (int64_t)(hours * 60 + minutes) * 60000000;
    return true;
}

bool lathe_read_time(lathe_str text, int64_t *us) {
    lathe_str s = trim(text);
    int year, month, day, hour = 0, minute = 0, second = 0;
    int64_t days, micros = 0;
    if (!read_digits(&s, 4, &year) || !read_char(&s, '-') || !read_digits(&s, 2, &month) ||
        !read_char(&s, '-') || !read_digits(&s, 2, &day) ||
        !lathe_days_from_date(year, month, day, &days))
        return false;
    if (s.len > 0) {
        if ((!read_char(&s, 'T') && !read_char(&s, 't') && !read_char(&s, ' ')) ||
            !read_digits(&s, 2, &hour) || !read_char(&s, ':') || !read_digits(&s, 2, &minute) ||
            (read_char(&s, ':') && (!read_digits(&s, 2, &second) || !read_fraction(&s, &micros))) ||
            !read_zone(&s, &micros) || s.len > 0)
            return false;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *us = days * DAY_US + ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 + micros;
    return true;
}
