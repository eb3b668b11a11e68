/* Philox4x32-10 of Salmon et al., SC'11, section 3.3: ten rounds on a 128-bit counter under a 64-bit key,
 *
 *     (x0, x1, x2, x3) ← (hi(M1 x2) ⊕ x1 ⊕ k0,  lo(M1 x2),  hi(M0 x0) ⊕ x3 ⊕ k1,  lo(M0 x0))
 *
 * with the key raised by the Weyl constants after each round. Counter layout here: words 0, 1 the block
 * number, word 2 the stream (which function), word 3 zero. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u /* the golden ratio */
#define W1 0xBB67AE85u /* sqrt(3) - 1 */

enum { STREAM_U64 = 0, STREAM_F32 = 1, STREAM_F64 = 2, STREAM_NORMAL = 3, STREAM_KEY = 4 };

void lathe_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t x0 = ctr[0], x1 = ctr[1], x2 = ctr[2], x3 = ctr[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)M0 * x0;
        uint64_t p1 = (uint64_t)M1 * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        uint32_t y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)p1;
        x3 = (uint32_t)p0;
        x0 = y0;
        x2 = y2;
        k0 += W0;
        k1 += W1;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

static void block(uint64_t key, uint64_t number, uint32_t stream, uint32_t out[4]) {
    const uint32_t ctr[4] = {(uint32_t)number, (uint32_t)(number >> 32), stream, 0};
    const uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    lathe_philox4x32_10(ctr, k, out);
}

static uint64_t pair(const uint32_t x[4], int half) {
    return (uint64_t)x[2 * half + 1] << 32 | x[2 * half];
}

/* Element e of a 64-bit stream is half e mod 2 of block e / 2; of a 32-bit stream, word e mod 4 of block e / 4.
 * The counter wraps at 2^64. */
#define EACH_PAIR(key, counter, stream, n, i, expression)                                          \
    do {                                                                                           \
        uint32_t x[4];                                                                             \
        for (int64_t i = 0; i < (n); i++) {                                                        \
            uint64_t e = (counter) + (uint64_t)i;                                                  \
            if (i == 0 || (e & 1) == 0)                                                            \
                block(key, e >> 1, stream, x);                                                     \
            uint64_t bits = pair(x, (int)(e & 1));                                                 \
            expression;                                                                            \
        }                                                                                          \
    } while (0)

#define EACH_WORD(key, counter, stream, n, i, expression)                                          \
    do {                                                                                           \
        uint32_t x[4];                                                                             \
        for (int64_t i = 0; i < (n); i++) {                                                        \
            uint64_t e = (counter) + (uint64_t)i;                                                  \
            if (i == 0 || (e & 3) == 0)                                                            \
                block(key, e >> 2, stream, x);                                                     \
            uint32_t bits = x[e & 3];                                                              \
            expression;                                                                            \
        }                                                                                          \
    } while (0)

void lathe_rng_u64(uint64_t key, uint64_t counter, uint64_t *out, int64_t n) {
    EACH_PAIR(key, counter, STREAM_U64, n, i, out[i] = bits);
}

void lathe_rng_f64(uint64_t key, uint64_t counter, double *out, int64_t n) {
    EACH_PAIR(key, counter, STREAM_F64, n, i, out[i] = (double)(bits >> 11) * 0x1p-53);
}

void lathe_rng_f32(uint64_t key, uint64_t counter, float *out, int64_t n) {
    EACH_WORD(key, counter, STREAM_F32, n, i, out[i] = (float)(bits >> 8) * 0x1p-24f);
}

void lathe_rng_normal_f32(uint64_t key, uint64_t counter, float *out, int64_t n) {
    EACH_WORD(key, counter, STREAM_NORMAL, n, i,
              out[i] = (float)lathe_normal_quantile(((double)bits + 0.5) * 0x1p-32));
}

uint64_t lathe_rng_below(uint64_t key, uint64_t counter, uint64_t bound) {
    uint64_t bits;
    lathe_rng_u64(key, counter, &bits, 1);
    return (uint64_t)(((unsigned __int128)bits * bound) >> 64);
}

void lathe_rng_shuffle(uint64_t key, int64_t *items, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)lathe_rng_below(key, (uint64_t)i, (uint64_t)i + 1);
        int64_t t = items[i];
        items[i] = items[j];
        items[j] = t;
    }
}

/* The label goes in 8 bytes at a time, each block keyed by the result of the last; the block's number and
 * fill (9 for the index) sit in the other words, so that "ab" and "ab\0" differ. */
uint64_t lathe_rng_key(uint64_t parent, const char *label, uint64_t index) {
    uint64_t state = parent;
    size_t len = label != NULL ? strlen(label) : 0;
    uint32_t out[4];
    for (size_t at = 0; at < len; at += 8) {
        size_t fill = len - at < 8 ? len - at : 8;
        uint64_t word = 0;
        for (size_t i = 0; i < fill; i++)
            word |= (uint64_t)(unsigned char)label[at + i] << (8 * i);
        const uint32_t ctr[4] = {(uint32_t)word, (uint32_t)(word >> 32), STREAM_KEY,
                                 (uint32_t)fill};
        const uint32_t key[2] = {(uint32_t)state, (uint32_t)(state >> 32)};
        lathe_philox4x32_10(ctr, key, out);
        state = pair(out, 0);
    }
    const uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), STREAM_KEY, 9};
    const uint32_t key[2] = {(uint32_t)state, (uint32_t)(state >> 32)};
    lathe_philox4x32_10(ctr, key, out);
    return pair(out, 0);
}

/* ln x for x in (0, 1], normal numbers: x = m 2^k with m in [sqrt(1/2), sqrt(2)), s = (m - 1)/(m + 1),
 * ln m = 2 atanh s = 2 (s + s³/3 + s⁵/5 + …). |s| <= 0.1716, so the terms up to s²¹ leave 2e-18. Only sums,
 * products and quotients: the bits are the same everywhere. */
static double natural_log(double x) {
    int k;
    double m = frexp(x, &k); /* exact, in [0.5, 1) */
    if (m < 0.70710678118654752) {
        m *= 2;
        k--;
    }
    double s = (m - 1) / (m + 1);
    double z = s * s;
    double sum = 1.0 / 21;
    for (int d = 19; d >= 1; d -= 2)
        sum = sum * z + 1.0 / d;
    /* ln 2 in two parts: the first has 21 trailing zero bits, so k * part is exact */
    return (double)k * 6.93147180369123816490e-01 +
           (2 * s * sum + (double)k * 1.90821492927058770002e-10);
}

/* AS 241, PPND16: rational approximations in three ranges. */
double lathe_normal_quantile(double p) {
    static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                               1.9715909503065514427e+3, 1.3731693765509461125e+4,
                               4.5921953931549871457e+4, 6.7265770927008700853e+4,
                               3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[] = {1.0,
                               4.2313330701600911252e+1,
                               6.8718700749205790830e+2,
                               5.3941960214247511077e+3,
                               2.1213794301586595867e+4,
                               3.9307895800092710610e+4,
                               2.8729085735721942674e+4,
                               5.2264952788528545610e+3};
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                               5.76949722146069140550e0,  3.64784832476320460504e0,
                               1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1.0,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                               1.78482653991729133580e0,  2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[] = {1.0,
                               5.99832206555887937690e-1,
                               1.36929880922735805310e-1,
                               1.48753612908506148525e-2,
                               7.86869131145613259100e-4,
                               1.84631831751005468180e-5,
                               1.42151175831644588870e-7,
                               2.04426310338993978564e-15};
    if (!(p > 0 && p < 1))
        return NAN;
    double q = p - 0.5, r;
    const double *num, *den;
    double factor;
    if (q >= -0.425 && q <= 0.425) {
        r = 0.180625 - q * q;
        num = a;
        den = b;
        factor = q;
    } else {
        r = sqrt(-natural_log(q < 0 ? p : 1 - p));
        num = r <= 5 ? c : e;
        den = r <= 5 ? d : f;
        r -= r <= 5 ? 1.6 : 5;
        factor = q < 0 ? -1 : 1;
    }
    double top = num[7], bottom = den[7];
    for (int i = 6; i >= 0; i--) {
        top = top * r + num[i];
        bottom = bottom * r + den[i];
    }
    return factor * top / bottom;
}
