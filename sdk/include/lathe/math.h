/* lathe/math.h: elementary functions with the same bits on every processor.
 *
 * A C library chooses its exp by the processor it runs on, and two libraries differ in the last
 * bit: a model trained on one machine would not be the model trained on another. These functions
 * use only IEEE 754 + - * /, comparisons and the bits of a number, in a fixed order; so with
 * contraction off (-ffp-contract=off) every compiler and processor gives equal bits. They hold no
 * table, no state and (but for powi and sum) no loop, and choose by ?: rather than by branches,
 * so a loop over them is vectorised at -O3 (-fno-trapping-math helps). The square root, fabs,
 * floor and ldexp of libm are exact anyway: use those. The same for float, faster, is in
 * lathe/mathf.h. Header-only, C11 and C++11.
 *
 * Accuracy, in units in the last place against the true value, and the special cases:
 *
 *   lathe_exp(x)       1 ulp    -inf → 0, above 709.78 → inf; results below 2^-1022 are subnormal
 *   lathe_expm1(x)     2 ulp    e^x - 1; ±0 → ±0, -inf → -1
 *   lathe_log(x)       1 ulp    ±0 → -inf, below 0 → NaN, inf → inf; subnormal x is fine
 *   lathe_log1p(x)     1 ulp    ln(1 + x); ±0 → ±0, -1 → -inf, below → NaN
 *   lathe_pow(x, y)    4 ulp    for results in [1e-30, 1e30], 32 elsewhere; x below 0 → NaN but
 *                               for a whole y; y = 0 or x = 1 → 1
 *   lathe_powi(x, n)   |n| / 2 ulp at worst, typically far less; exact for n = 0, 1
 *   lathe_tanh(x)      2 ulp    ±0 → ±0, ±inf → ±1
 *   lathe_sigmoid(x)   2 ulp    1 / (1 + e^-x), also where it is tiny
 *   lathe_softplus(x)  2 ulp    ln(1 + e^x), also where it is tiny; inf → inf, -inf → 0
 *   lathe_erf(x)       2 ulp
 *   lathe_erfc(x)      6 ulp    1 - erf(x), also where it is tiny
 *   lathe_normal_cdf(x) 8 ulp   Φ(x) = erfc(-x / √2) / 2, also in the left tail where it is tiny
 *   lathe_sin, cos(x)  1 ulp for |x| <= 2^20; beyond, and for ±inf → NaN
 *
 * NaN in gives NaN out (but pow(NaN, 0) = pow(1, NaN) = 1). Nothing traps, nothing touches errno.
 *
 * Sources. The reduction x = k ln 2 + r with ln 2 in two parts: W. J. Cody, W. Waite, Software
 * Manual for the Elementary Functions, 1980. ln m = 2 artanh((m - 1) / (m + 1)), and the
 * coefficients of exp, log, sin and cos: Taylor's series, cut where the rest is below half a
 * unit. Exact sums and products in two parts: T. J. Dekker, Numer. Math. 18, 1971; D. E. Knuth,
 * TAOCP 2, 4.2.2. erfc(x) = e^(-x²) times a polynomial in (c - x) / (c' + x): J. L. Schonfelder,
 * Math. Comp. 32, 1978; its coefficients, like erf's, interpolate the function at Chebyshev's
 * nodes, computed with 40 digits.
 */
#ifndef LATHE_MATH_H
#define LATHE_MATH_H

#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "lathe/math.h needs IEEE arithmetic: build without -ffast-math"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error                                                                                             \
    "lathe/math.h needs arithmetic without excess precision: on 32-bit x86 use -msse2 -mfpmath=sse"
#endif

#ifdef __cplusplus
extern "C" {
#endif

static inline uint64_t lathe_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double lathe_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t lathe_bitsf(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float lathe_from_bitsf(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#if defined(__GNUC__)
#define LATHE_INFINITY __builtin_inf()
#define LATHE_NAN __builtin_nan("")
#else
#define LATHE_INFINITY lathe_from_bits(0x7ff0000000000000u)
#define LATHE_NAN lathe_from_bits(0x7ff8000000000000u)
#endif

/* By the bits: no optimisation level and no flag can argue them away. */
static inline int lathe_isnan(double x) {
    return (lathe_bits(x) & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
}

static inline int lathe_isfinite(double x) {
    return (lathe_bits(x) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

static inline int lathe_isnanf(float x) {
    return (lathe_bitsf(x) & 0x7fffffffu) > 0x7f800000u;
}

static inline int lathe_isfinitef(float x) {
    return (lathe_bitsf(x) & 0x7f800000u) != 0x7f800000u;
}

static inline double lathe_abs(double x) {
    return lathe_from_bits(lathe_bits(x) & 0x7fffffffffffffffu);
}

static inline double lathe_copysign(double magnitude, double sign) {
    return lathe_from_bits((lathe_bits(magnitude) & 0x7fffffffffffffffu) |
                           (lathe_bits(sign) & 0x8000000000000000u));
}

/* The sum of x[0 … n), pairwise in blocks of 128 by their place: error O(log n), bits independent
 * of the compiler. N. J. Higham, SIAM J. Sci. Comput. 14, 1993. */
static inline double lathe_sum(const double *x, int64_t n) {
    double stack[64]; /* stack[i]: sum of 2^level blocks, levels falling with i */
    int64_t done = 0;
    int top = 0;
    double rest = 0.0;
    while (n - done >= 128) {
        double lane[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (int i = 0; i < 128; i += 8) {
            for (int j = 0; j < 8; j++) {
                lane[j] += x[done + i + j];
            }
        }
        stack[top++] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
                       ((lane[1] + lane[5]) + (lane[3] + lane[7]));
        done += 128;
        for (int64_t block = done / 128; (block & 1) == 0; block >>= 1) {
            top--;
            stack[top - 1] += stack[top];
        }
    }
    for (; done < n; done++) {
        rest += x[done];
    }
    while (top > 0) {
        rest = stack[--top] + rest;
    }
    return rest;
}

/* ---- shared parts; names that end in _ are not for plugins ---- */

#define LATHE_LN2_HI_ 0.6931471803691238     /* 32 bits: k * it is exact for |k| < 2^20 */
#define LATHE_LN2_LO_ 1.9082149292705877e-10 /* ln 2 - LATHE_LN2_HI_ */
#define LATHE_LOG2E_ 1.4426950408889634
/* x + it - it rounds x to whole; the sum's low bits are then the number itself. 1.5 * 2^52. */
#define LATHE_ROUND_ 6755399441055744.0

/* 2^k of whole -1022 <= k <= 1023. The shift keeps the low 12 bits of k + bias. */
static inline double lathe_exp2_(double k) {
    return lathe_from_bits((lathe_bits(k + LATHE_ROUND_) + 1023u) << 52);
}

/* (e^r - 1 - r) / r² for |r| <= ln 2 / 2; the rest is below 2^-57 of e^r. */
static inline double lathe_exp_rest_(double r) {
    double p = 1.6059043836821613e-10; /* 1 / 13! */
    p = p * r + 2.08767569878681e-09;
    p = p * r + 2.505210838544172e-08;
    p = p * r + 2.755731922398589e-07;
    p = p * r + 2.7557319223985893e-06;
    p = p * r + 2.48015873015873e-05;
    p = p * r + 0.0001984126984126984;
    p = p * r + 0.001388888888888889;
    p = p * r + 0.008333333333333333;
    p = p * r + 0.041666666666666664;
    p = p * r + 0.16666666666666666;
    return p * r + 0.5;
}

/* z / 3 · 2 + z² / 5 · 2 + …, z = s², of 2 artanh(s) = 2 s + s · that, for s² <= 0.0295. */
static inline double lathe_artanh_rest_(double z) {
    double p = 0.09523809523809523; /* 2 / 21 */
    p = p * z + 0.10526315789473684;
    p = p * z + 0.11764705882352941;
    p = p * z + 0.13333333333333333;
    p = p * z + 0.15384615384615385;
    p = p * z + 0.18181818181818182;
    p = p * z + 0.2222222222222222;
    p = p * z + 0.2857142857142857;
    p = p * z + 0.4;
    p = p * z + 0.6666666666666666;
    return p * z;
}

/* x = 2^*k · m with m in [√½, √2), for a normal x > 0. The bits of √½ are subtracted before, and
 * added after, the split, which puts the seam there. */
static inline double lathe_split_(double x, double *k) {
    uint64_t bits = lathe_bits(x) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    *k = lathe_from_bits((bits >> 52) | 0x4330000000000000u) - (4503599627370496.0 + 1023.0);
    return lathe_from_bits((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
}

/* k ln 2 + c + ln(1 + f): with s = f / (2 + f), ln(1 + f) = f - f²/2 + s (f²/2 + rest(s²)), whose
 * largest term is exact. */
static inline double lathe_log_sum_(double k, double f, double c) {
    double s = f / (2.0 + f);
    double half = 0.5 * f * f;
    double t = s * (half + lathe_artanh_rest_(s * s)) + (k * LATHE_LN2_LO_ + c);
    return k * LATHE_LN2_HI_ - ((half - t) - f);
}

/* a² - fl(a²), exact while a² neither overflows nor underflows (Dekker). */
static inline double lathe_square_error_(double a, double square) {
    double hi = lathe_from_bits(lathe_bits(a) & 0xfffffffff8000000u);
    double lo = a - hi;
    return ((hi * hi - square) + 2.0 * hi * lo) + lo * lo;
}

/* ---- exp, log ---- */

static inline double lathe_exp(double x) {
    double c = x < -746.0 ? -746.0 : x;
    c = c > 710.0 ? 710.0 : c;
    double k = (c * LATHE_LOG2E_ + LATHE_ROUND_) - LATHE_ROUND_;
    double r = (c - k * LATHE_LN2_HI_) - k * LATHE_LN2_LO_;
    double p = 1.0 + (r + r * r * lathe_exp_rest_(r));
    /* in two steps, as 2^k may be beyond the largest number or below the smallest */
    double half = (k * 0.5 + LATHE_ROUND_) - LATHE_ROUND_;
    return p * lathe_exp2_(half) * lathe_exp2_(k - half);
}

static inline double lathe_expm1(double x) {
    double c = x < -60.0 ? -60.0 : x;
    c = c > 60.0 ? 60.0 : c;
    double k = (c * LATHE_LOG2E_ + LATHE_ROUND_) - LATHE_ROUND_;
    double hi = c - k * LATHE_LN2_HI_;
    double lo = k * LATHE_LN2_LO_;
    double r = hi - lo;
    double tail = (hi - r) - lo; /* what rounding took from r */
    double rest = r * r * lathe_exp_rest_(r) + (tail + tail * r);
    /* (2^k - 1) + 2^k r + 2^k rest, the first sum with its error (Knuth) */
    double scale = lathe_exp2_(k);
    double a = scale - 1.0;
    double b = scale * r;
    double sum = a + b;
    double part = sum - a;
    double error = (a - (sum - part)) + (b - part);
    double y = sum + (error + scale * rest);
    y = x > 56.0 ? lathe_exp(x) : y;
    return x == 0.0 ? x : y; /* keeps the sign of zero */
}

static inline double lathe_log(double x) {
    int tiny = x < 2.2250738585072014e-308; /* subnormal: scaled by 2^54 */
    double k;
    double m = lathe_split_(tiny ? x * 18014398509481984.0 : x, &k);
    double y = lathe_log_sum_(tiny ? k - 54.0 : k, m - 1.0, 0.0);
    y = x == 0.0 ? -LATHE_INFINITY : y;
    y = x < 0.0 ? LATHE_NAN : y;
    return x == LATHE_INFINITY || lathe_isnan(x) ? x : y;
}

static inline double lathe_log1p(double x) {
    double u = 1.0 + x;
    double k;
    double m = lathe_split_(u, &k);
    int near = k == 0.0; /* 1 + x in [√½, √2): x itself is the exact f */
    /* what rounding took from 1 + x, relative to it */
    double c = (u > 2.0 ? 1.0 - (u - x) : x - (u - 1.0)) / u;
    double y = lathe_log_sum_(k, near ? x : m - 1.0, near ? 0.0 : c);
    y = x == 0.0 ? x : y;
    y = x == -1.0 ? -LATHE_INFINITY : y;
    y = x < -1.0 ? LATHE_NAN : y;
    return x == LATHE_INFINITY || lathe_isnan(x) ? x : y;
}

/* ---- powers ---- */

/* x^n by repeated squaring. */
static inline double lathe_powi(double x, int64_t n) {
    uint64_t left = n < 0 ? 0u - (uint64_t)n : (uint64_t)n;
    double square = x;
    double y = 1.0;
    while (left != 0) {
        y = (left & 1u) ? y * square : y;
        square *= square;
        left >>= 1;
    }
    return n < 0 ? 1.0 / y : y;
}

/* ln x of a finite x > 0 as hi + *lo, with about 10 bits more than a double. */
static inline double lathe_log2parts_(double x, double *lo) {
    int tiny = x < 2.2250738585072014e-308;
    double k;
    double m = lathe_split_(tiny ? x * 18014398509481984.0 : x, &k);
    k = tiny ? k - 54.0 : k;
    /* s = f / d in two parts: the remainder f - s d exactly, d = 2 + f exactly as d + de */
    double f = m - 1.0;
    double d = 2.0 + f;
    double de = f - (d - 2.0);
    double s = f / d;
    double s_hi = lathe_from_bits(lathe_bits(s) & 0xfffffffff8000000u);
    double s_lo = s - s_hi;
    double d_hi = lathe_from_bits(lathe_bits(d) & 0xfffffffff8000000u);
    double d_lo = d - d_hi;
    double left = (((f - s_hi * d_hi) - s_hi * d_lo) - s_lo * d_hi) - s_lo * d_lo;
    double se = (left - s * de) / d;
    double small = 2.0 * se + s * lathe_artanh_rest_(s * s) + k * LATHE_LN2_LO_;
    /* k ln2_hi + 2 s + small: both sums with their errors */
    double a = k * LATHE_LN2_HI_;
    double b = 2.0 * s;
    double sum = a + b;
    double part = sum - a;
    double error = (a - (sum - part)) + (b - part);
    error += small;
    double hi = sum + error;
    *lo = (sum - hi) + error;
    return hi;
}

static inline double lathe_pow(double x, double y) {
    double size = lathe_abs(x);
    int whole = lathe_abs(y) >= 9007199254740992.0;
    int odd = 0;
    if (!whole && !lathe_isnan(y)) {
        int64_t n = (int64_t)y;
        whole = (double)n == y;
        odd = whole && (n & 1);
    }
    if (y == 0.0 || x == 1.0) {
        return 1.0;
    }
    if (lathe_isnan(x) || lathe_isnan(y) || (x < 0.0 && size < LATHE_INFINITY && !whole)) {
        return LATHE_NAN;
    }
    double z;
    if (size == 1.0) {
        z = 1.0;
    } else if (size == 0.0 || size == LATHE_INFINITY || !lathe_isfinite(y)) {
        z = (size > 1.0) == (y > 0.0) ? LATHE_INFINITY : 0.0;
    } else {
        double lo;
        double hi = lathe_log2parts_(size, &lo);
        double p = y * hi;
        if (lathe_abs(p) < 800.0) { /* else it is 0 or inf */
            double y_hi = lathe_from_bits(lathe_bits(y) & 0xfffffffff8000000u);
            double h_hi = lathe_from_bits(lathe_bits(hi) & 0xfffffffff8000000u);
            double y_lo = y - y_hi;
            double h_lo = hi - h_hi;
            double e = ((y_hi * h_hi - p) + y_hi * h_lo + y_lo * h_hi) + y_lo * h_lo + y * lo;
            double half =
                lathe_exp(p * 0.5); /* e^p in two steps: the correction before the range ends */
            z = half * (1.0 + e) * half;
        } else {
            z = lathe_exp(p);
        }
    }
    return x < 0.0 || (x == 0.0 && lathe_bits(x) != 0) ? (odd ? -z : z) : z;
}

/* ---- the S-shaped ones ---- */

/* (e^x - e^-x) / (e^x + e^-x), by t = e^(-2 |x|) - 1: -t / (2 + t). */
static inline double lathe_tanh(double x) {
    double t = lathe_expm1(-2.0 * lathe_abs(x));
    double d = 2.0 + t;
    double y = t / d;
    y -= y * (t - (d - 2.0)) / d; /* what rounding took from d */
    return lathe_copysign(y, x);
}

static inline double lathe_sigmoid(double x) {
    double z = lathe_exp(-lathe_abs(x));
    double d = 1.0 + z;
    double y = (x < 0.0 ? z : 1.0) / d;
    return y - y * (z - (d - 1.0)) / d; /* what rounding took from d */
}

static inline double lathe_softplus(double x) {
    return (x > 0.0 ? x : 0.0) + lathe_log1p(lathe_exp(-lathe_abs(x)));
}

/* erfc(a) for a >= 1, given a² as square + error: e^(-a²) · P(y) / (a + 3.5), y = (5.5 - a) /
 * (3.5 + a) in (-1, 1]. */
static inline double lathe_erfc_tail_(double a, double square, double error) {
    double inverse = 1.0 / (a + 3.5);
    double y = (5.5 - a) * inverse;
    double p = 2.3304334114806695e-11;
    p = p * y + 1.2209854243443299e-11;
    p = p * y + -3.2257985892219026e-10;
    p = p * y + -2.774753907039291e-10;
    p = p * y + 3.0231753429393688e-09;
    p = p * y + 4.849890972972081e-09;
    p = p * y + -2.4746739637717434e-08;
    p = p * y + -7.794919131150137e-08;
    p = p * y + 1.4538978589717705e-07;
    p = p * y + 1.1262822894432404e-06;
    p = p * y + 7.530243067704083e-07;
    p = p * y + -1.2180116042799385e-05;
    p = p * y + -4.912503152022481e-05;
    p = p * y + -1.0568754784184216e-05;
    p = p * y + 0.0007462045078583988;
    p = p * y + 0.004514404443390718;
    p = p * y + 0.01731886594535032;
    p = p * y + 0.051748935524127404;
    p = p * y + 0.1292354575764072;
    p = p * y + 0.2792562285145374;
    p = p * y + 0.532715975187339;
    p = p * y + 0.9086599655954918;
    double e = lathe_exp(-square);
    return (e - e * error) * (p * inverse);
}

/* erf(x) = x + x P(x²) for |x| < 1. */
static inline double lathe_erf_core_(double x) {
    double z = x * x;
    double p = 5.957176147748911e-11;
    p = p * z + -1.1372848856791674e-09;
    p = p * z + 1.4659775274047436e-08;
    p = p * z + -1.6350312701054695e-07;
    p = p * z + 1.6461000484121368e-06;
    p = p * z + -1.4925595266831182e-05;
    p = p * z + 0.0001205533111164271;
    p = p * z + -0.000854832698083379;
    p = p * z + 0.0052239776248180145;
    p = p * z + -0.026866170645076792;
    p = p * z + 0.11283791670954879;
    p = p * z + -0.3761263890318375;
    p = p * z + 0.1283791670955126;
    return x + x * p;
}

static inline double lathe_erf(double x) {
    double a = lathe_abs(x);
    double far = a < 1.0 ? 1.0 : a;
    far = far > 28.0 ? 28.0 : far;
    double y = lathe_copysign(1.0 - lathe_erfc_tail_(far, far * far, 0.0), x);
    return a < 1.0 ? lathe_erf_core_(x) : y;
}

static inline double lathe_erfc(double x) {
    double a = lathe_abs(x);
    double far = a < 1.0 ? 1.0 : a;
    far = far > 28.0 ? 28.0 : far;
    double tail = lathe_erfc_tail_(far, far * far, lathe_square_error_(far, far * far));
    double y = x < 0.0 ? 2.0 - tail : tail;
    return a < 1.0 ? 1.0 - lathe_erf_core_(x) : y;
}

static inline double lathe_normal_cdf(double x) {
    double a = 0.7071067811865476 * lathe_abs(x);
    double far = lathe_abs(x) > 39.0 ? 39.0 : lathe_abs(x);
    double square = far * far;
    double tail = lathe_erfc_tail_(0.7071067811865476 * far, 0.5 * square,
                                   0.5 * lathe_square_error_(far, square));
    double core = a < 1.0 ? 1.0 - lathe_erf_core_(a) : 0.0;
    tail = 0.5 * (a < 1.0 ? core : tail);
    return x < 0.0 ? tail : 1.0 - tail;
}

/* ---- sin, cos ---- */

/* sin(x + turn π / 2): x = k π/2 + r + tail with π/2 in three parts (33, 33 and 53 bits), then the
 * series of sin or cos of r, chosen by the low bits of k. */
static inline double lathe_sincos_(double x, uint64_t turn) {
    double k = (x * 0.6366197723675814 + LATHE_ROUND_) - LATHE_ROUND_;
    uint64_t quarter = lathe_bits(k + LATHE_ROUND_) + turn;
    double a = x - k * 1.5707963267341256;
    double b = k * 6.077100506303966e-11;
    double hi = a - b;
    double part = hi - a;
    double error = (a - (hi - part)) - (b + part);
    double lo = k * 2.0222662487959506e-21 - error;
    double r = hi - lo;
    double tail = (hi - r) - lo;
    double z = r * r;

    double s = 2.8114572543455206e-15; /* 1 / 17! */
    s = s * z + -7.647163731819816e-13;
    s = s * z + 1.6059043836821613e-10;
    s = s * z + -2.505210838544172e-08;
    s = s * z + 2.7557319223985893e-06;
    s = s * z + -0.0001984126984126984;
    s = s * z + 0.008333333333333333;
    s = s * z + -0.16666666666666666;
    double c = 4.779477332387385e-14; /* 1 / 16! */
    c = c * z + -1.1470745597729725e-11;
    c = c * z + 2.08767569878681e-09;
    c = c * z + -2.755731922398589e-07;
    c = c * z + 2.48015873015873e-05;
    c = c * z + -0.001388888888888889;
    c = c * z + 0.041666666666666664;

    double half = 0.5 * z;
    double one = 1.0 - half; /* exact error below, as half <= 1 */
    double sine = r + (r * z * s + tail * one);
    double cosine = one + (((1.0 - one) - half) + (z * z * c - r * tail));
    double y = (quarter & 1u) ? cosine : sine;
    y = (quarter & 2u) ? -y : y;
    return lathe_abs(x) <= 1048576.0 ? y : LATHE_NAN;
}

static inline double lathe_sin(double x) {
    double y = lathe_sincos_(x, 0);
    return x == 0.0 ? x : y;
}

static inline double lathe_cos(double x) {
    return lathe_sincos_(x, 1);
}

#ifdef __cplusplus
}
#endif

#include "mathf.h"

#endif
