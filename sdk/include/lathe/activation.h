/* lathe/activation.h: a network's non-linearity, on tiles of rows.
 *
 * A tile is [rows, cols] float32, row-major and compact, 64-byte aligned; cols is the number of units, but an
 * elementwise one is also given some units of each row alone, with lanes of padding among them. Calls
 * on different tiles run concurrently: there is no state. An element's result (for a rowwise one: a
 * row's) depends on nothing but that element (row): not on the tile's size, so batch and single row agree
 * bit for bit. Values may be any float, NaN and infinities included: NaN in gives NaN out, and nothing traps.
 */
#ifndef LATHE_ACTIVATION_H
#define LATHE_ACTIVATION_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags */
enum {
    LATHE_ACTIVATION_ELEMENTWISE = 1u << 0, /* else rowwise (softmax) */
    LATHE_ACTIVATION_INPLACE = 1u << 1,     /* forward allows y == x and backward dx == dy */
    LATHE_ACTIVATION_NEEDS_INPUT = 1u << 2, /* backward reads x; otherwise x is NULL */
    LATHE_ACTIVATION_NEEDS_OUTPUT = 1u << 3 /* backward reads y; otherwise y is NULL */
};

typedef struct lathe_activation {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [worker|serve] y = f(x). */
    int32_t (*forward)(const void *self, int64_t rows, int64_t cols, const float *x, float *y,
                       lathe_error *err);
    /* [worker] dx = dy * f'(x) (for a rowwise one: the Jacobian's transpose times dy). */
    int32_t (*backward)(const void *self, int64_t rows, int64_t cols, const float *x,
                        const float *y, const float *dy, float *dx, lathe_error *err);
} lathe_activation;

#ifdef __cplusplus
}
#endif
#endif
