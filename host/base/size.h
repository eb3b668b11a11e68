/* base/size.h: size arithmetic that cannot wrap. Each returns false, and leaves *out alone, where the
 * result does not fit. [any] */
#ifndef LATHE_BASE_SIZE_H
#define LATHE_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool lathe_add_size(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool lathe_mul_size(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

static inline bool lathe_mul3_size(size_t a, size_t b, size_t c, size_t *out) {
    size_t ab;
    return lathe_mul_size(a, b, &ab) && lathe_mul_size(ab, c, out);
}

/* a rounded up to a multiple of `align`, a power of two. */
static inline bool lathe_align_size(size_t a, size_t align, size_t *out) {
    if (a > SIZE_MAX - (align - 1))
        return false;
    *out = (a + (align - 1)) & ~(align - 1);
    return true;
}

/* The same on int64_t counts (rows, columns), for values that are not negative: a negative operand and
 * a result beyond INT64_MAX both give false. */
static inline bool lathe_add_i64(int64_t a, int64_t b, int64_t *out) {
    if (a < 0 || b < 0 || a > INT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool lathe_mul_i64(int64_t a, int64_t b, int64_t *out) {
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b))
        return false;
    *out = a * b;
    return true;
}

/* count * item bytes as a size_t, for a count that came from data. */
static inline bool lathe_count_bytes(int64_t count, size_t item, size_t *out) {
    if (count < 0 || (uint64_t)count > SIZE_MAX)
        return false;
    return lathe_mul_size((size_t)count, item, out);
}

#endif
