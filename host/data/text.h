/* data/text.h: runs of bytes (lathe_str): order, hash, dictionary; and numbers and times as text.
 * [any] */
#ifndef LATHE_DATA_TEXT_H
#define LATHE_DATA_TEXT_H

#include <lathe/abi.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A C string as lathe_str. NULL gives ptr NULL. */
lathe_str lathe_str_of(const char *text);
bool lathe_str_equal(lathe_str a, lathe_str b);
/* By bytes, unsigned; a prefix comes first. */
int lathe_str_compare(lathe_str a, lathe_str b);
/* 64 bits that depend on all bytes and the seed; the same on every machine. */
uint64_t lathe_hash_bytes(const void *data, int64_t len, uint64_t seed);
uint64_t lathe_hash_mix(uint64_t x);

/* Numbers 0, 1, … for texts in the order of their first adding. The bytes of a text stay the
 * caller's: put a lasting copy into keys[i] after adding a new one. Begin with {0}. */
typedef struct lathe_text_map {
    lathe_str *keys;
    int64_t n;
    int64_t cap;
    int32_t *slots;  /* number + 1; 0: free */
    int64_t n_slots; /* a power of two */
} lathe_text_map;

/* -1: not there. */
int32_t lathe_text_map_find(const lathe_text_map *map, lathe_str key);
/* Finds or adds; -1: out of memory, or 2^30 keys. */
int32_t lathe_text_map_add(lathe_text_map *map, lathe_str key);
void lathe_text_map_free(lathe_text_map *map);

#define LATHE_CELL_TEXT 40

/* Whole numbers below 2^53 without point or exponent, others with the fewest digits that read back
 * equal; -0 is "0"; "nan", "inf", "-inf". Returns the length. */
size_t lathe_print_number(double x, char out[LATHE_CELL_TEXT]);
size_t lathe_print_int(int64_t x, char out[LATHE_CELL_TEXT]);
/* Microseconds since 1970 as "2025-01-02" at midnight, else "2025-01-02T03:04:05Z", with ".678901"
 * before the Z where it is not 0. Beyond the years 0000 to 9999: the microseconds as an integer. */
size_t lathe_print_time(int64_t us, char out[LATHE_CELL_TEXT]);

/* Readers of the whole text but blanks at both ends; false: it is something else (nothing is
 * written). */
/* Decimal numbers, and nan, inf, infinity in any case with a sign. No hexadecimal, no separators.
 * */
bool lathe_read_number(lathe_str text, double *x);
bool lathe_read_int(lathe_str text, int64_t *x);
/* "2025-01-02", "2025-01-02T03:04[:05[.678901]][Z|+01:00|+0100]", also with a blank instead of the
 * T. */
bool lathe_read_time(lathe_str text, int64_t *us);
/* Nothing but blanks? */
bool lathe_str_blank(lathe_str text);

#endif
