/* base/rng.h: counter-based random numbers: Philox4x32-10.
 *
 * Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2,
 * 3", SC'11. There is no state: element i of a call is a pure function of (key, counter + i) and of which
 * function it is, so any thread may compute any part of a stream, in any order, with the same bits on every
 * processor. The functions have streams of their own: u64 and f64 of one key are unrelated numbers.
 *
 * Derive a key for every use: key = lathe_rng_key(seed, "candidate", 3). [any], allocates nothing.
 */
#ifndef LATHE_BASE_RNG_H
#define LATHE_BASE_RNG_H

#include <stdint.h>

/* A child key: (parent, label, index) → key. Equal inputs give equal keys; labels differ by their bytes. */
uint64_t lathe_rng_key(uint64_t parent, const char *label, uint64_t index);

/* Uniform 64-bit integers. */
void lathe_rng_u64(uint64_t key, uint64_t counter, uint64_t *out, int64_t n);

/* Uniform in [0, 1): multiples of 2^-24 and of 2^-53. */
void lathe_rng_f32(uint64_t key, uint64_t counter, float *out, int64_t n);
void lathe_rng_f64(uint64_t key, uint64_t counter, double *out, int64_t n);

/* Standard normal, by the inverse of the distribution function (Wichura, algorithm AS 241, Applied
 * Statistics 37, 1988, PPND16) of one uniform in (0, 1); finite always (|x| < 6.4). */
void lathe_rng_normal_f32(uint64_t key, uint64_t counter, float *out, int64_t n);

/* The inverse of the standard normal distribution function, p in (0, 1), relative error about 1e-16;
 * NaN outside. Its bits do not depend on the C library. */
double lathe_normal_quantile(double p);

/* One number in [0, bound), bound >= 1 (0 gives 0): the high half of u64 * bound; bias below bound / 2^64. */
uint64_t lathe_rng_below(uint64_t key, uint64_t counter, uint64_t bound);

/* A Fisher–Yates shuffle of items[0 … n); uses counters 0 … n - 1 of `key`. */
void lathe_rng_shuffle(uint64_t key, int64_t *items, int64_t n);

/* The bare block function, for tests and for other layouts. */
void lathe_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

#endif
