/* lathe/mathf.h: the functions of lathe/math.h that networks need, in float; included by it.
 *
 * The same method, the same rules: only + - * / in a fixed order, equal bits everywhere, loops
 * over them are vectorised. Relative error at most 1.5e-7 (1.3 units in the last place) but where
 * said; NaN gives NaN; the ends as in lathe/math.h.
 *
 *   lathe_expf, lathe_expm1f, lathe_logf, lathe_log1pf
 *   lathe_tanhf, lathe_sigmoidf, lathe_softplusf     2.5e-7
 *   lathe_normal_cdff(x)    Φ(x), 4e-7, also in the left tail where it is tiny
 *   lathe_normal_pdff(x)    φ(x) = e^(-x²/2) / √(2π), 4e-7
 */
#ifndef LATHE_MATHF_H
#define LATHE_MATHF_H

#include "math.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LATHE_LN2_HI_F_ 0.69314575f    /* 15 bits: k * it is exact for |k| < 512 */
#define LATHE_LN2_LO_F_ 1.4286068e-06f /* ln 2 - LATHE_LN2_HI_F_ */
#define LATHE_LOG2E_F_ 1.442695f
#define LATHE_ROUND_F_ 12582912.0f /* 1.5 * 2^23 */

static inline float lathe_absf(float x) {
    return lathe_from_bitsf(lathe_bitsf(x) & 0x7fffffffu);
}

static inline float lathe_copysignf(float magnitude, float sign) {
    return lathe_from_bitsf((lathe_bitsf(magnitude) & 0x7fffffffu) |
                            (lathe_bitsf(sign) & 0x80000000u));
}

static inline float lathe_exp2f_(float k) {
    return lathe_from_bitsf((lathe_bitsf(k + LATHE_ROUND_F_) + 127u) << 23);
}

/* (e^r - 1 - r) / r² for |r| <= ln 2 / 2; the rest is below 6e-9 of e^r. */
static inline float lathe_exp_restf_(float r) {
    float p = 0.0001984127f; /* 1 / 7! */
    p = p * r + 0.0013888889f;
    p = p * r + 0.008333334f;
    p = p * r + 0.041666668f;
    p = p * r + 0.16666667f;
    return p * r + 0.5f;
}

static inline float lathe_expf(float x) {
    float c = x < -104.0f ? -104.0f : x;
    c = c > 89.0f ? 89.0f : c;
    float k = (c * LATHE_LOG2E_F_ + LATHE_ROUND_F_) - LATHE_ROUND_F_;
    float r = (c - k * LATHE_LN2_HI_F_) - k * LATHE_LN2_LO_F_;
    float p = 1.0f + (r + r * r * lathe_exp_restf_(r));
    float half = (k * 0.5f + LATHE_ROUND_F_) - LATHE_ROUND_F_;
    return p * lathe_exp2f_(half) * lathe_exp2f_(k - half);
}

static inline float lathe_expm1f(float x) {
    float c = x < -30.0f ? -30.0f : x;
    c = c > 89.0f ? 89.0f : c;
    float k = (c * LATHE_LOG2E_F_ + LATHE_ROUND_F_) - LATHE_ROUND_F_;
    float hi = c - k * LATHE_LN2_HI_F_;
    float lo = k * LATHE_LN2_LO_F_;
    float r = hi - lo;
    float tail = (hi - r) - lo;
    float rest = r * r * lathe_exp_restf_(r) + (tail + tail * r);
    /* half of everything first: 2^128 is beyond the largest number */
    float scale = lathe_exp2f_(k - 1.0f);
    float a = scale - 0.5f;
    float b = scale * r;
    float sum = a + b;
    float part = sum - a;
    float error = (a - (sum - part)) + (b - part);
    float y = 2.0f * (sum + (error + scale * rest));
    return x < 1e-30f && x > -1e-30f ? x : y; /* where halving would lose bits */
}

/* 2 z / 3 + 2 z² / 5 + …, see lathe/math.h */
static inline float lathe_log_sumf_(float k, float f, float c) {
    float s = f / (2.0f + f);
    float z = s * s;
    float p = 0.22222222f;
    p = p * z + 0.2857143f;
    p = p * z + 0.4f;
    p = p * z + 0.6666667f;
    float half = 0.5f * f * f;
    float t = s * (half + p * z) + (k * LATHE_LN2_LO_F_ + c);
    return k * LATHE_LN2_HI_F_ - ((half - t) - f);
}

/* x = 2^*k · m with m in [√½, √2), for a normal x > 0. */
static inline float lathe_splitf_(float x, float *k) {
    uint32_t bits = lathe_bitsf(x) + (0x3f800000u - 0x3f3504f3u);
    *k = (float)((int32_t)(bits >> 23) - 127);
    return lathe_from_bitsf((bits & 0x007fffffu) + 0x3f3504f3u);
}

static inline float lathe_logf(float x) {
    int tiny = x < 1.17549435e-38f;
    float k;
    float m = lathe_splitf_(tiny ? x * 33554432.0f : x, &k);
    float y = lathe_log_sumf_(tiny ? k - 25.0f : k, m - 1.0f, 0.0f);
    y = x == 0.0f ? -(float)LATHE_INFINITY : y;
    y = x < 0.0f ? (float)LATHE_NAN : y;
    return x == (float)LATHE_INFINITY || lathe_isnanf(x) ? x : y;
}

static inline float lathe_log1pf(float x) {
    float u = 1.0f + x;
    float k;
    float m = lathe_splitf_(u, &k);
    int near = k == 0.0f;
    float c = (u > 2.0f ? 1.0f - (u - x) : x - (u - 1.0f)) / u;
    float y = lathe_log_sumf_(k, near ? x : m - 1.0f, near ? 0.0f : c);
    y = x == 0.0f ? x : y;
    y = x == -1.0f ? -(float)LATHE_INFINITY : y;
    y = x < -1.0f ? (float)LATHE_NAN : y;
    return x == (float)LATHE_INFINITY || lathe_isnanf(x) ? x : y;
}

static inline float lathe_tanhf(float x) {
    float t = lathe_expm1f(-2.0f * lathe_absf(x));
    return lathe_copysignf(t / (2.0f + t), x);
}

static inline float lathe_sigmoidf(float x) {
    float z = lathe_expf(-lathe_absf(x));
    return (x < 0.0f ? z : 1.0f) / (1.0f + z);
}

static inline float lathe_softplusf(float x) {
    return (x > 0.0f ? x : 0.0f) + lathe_log1pf(lathe_expf(-lathe_absf(x)));
}

/* e^(-a²/2), the square with its error. */
static inline float lathe_bellf_(float a) {
    float square = a * a;
    float hi = lathe_from_bitsf(lathe_bitsf(a) & 0xfffff000u);
    float lo = a - hi;
    float error = ((hi * hi - square) + 2.0f * hi * lo) + lo * lo;
    float e = lathe_expf(-0.5f * square);
    return e - e * (0.5f * error);
}

/* For a = |x|: 1 - Φ(a) = e^(-a²/2) · P(y) / (a + 3.5), y = (3.5 - a) / (3.5 + a). */
static inline float lathe_normal_cdff(float x) {
    float a = lathe_absf(x);
    a = a > 15.0f ? 15.0f : a; /* there the tail is 0 */
    float inverse = 1.0f / (a + 3.5f);
    float y = (3.5f - a) * inverse;
    float p = -4.9766888e-05f;
    p = p * y + -3.4635203e-05f;
    p = p * y + 0.00045269393f;
    p = p * y + 0.0004177686f;
    p = p * y + -0.0031789858f;
    p = p * y + -0.006465234f;
    p = p * y + 0.01740606f;
    p = p * y + 0.116049044f;
    p = p * y + 0.31542507f;
    p = p * y + 0.5655619f;
    p = p * y + 0.74441606f;
    float tail = lathe_bellf_(a) * (p * inverse);
    return x < 0.0f ? tail : 1.0f - tail;
}

static inline float lathe_normal_pdff(float x) {
    float a = lathe_absf(x);
    a = a > 15.0f ? 15.0f : a;
    return 0.3989423f * lathe_bellf_(a);
}

#ifdef __cplusplus
}
#endif
#endif
