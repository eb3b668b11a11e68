/* lathe/math.h and lathe/mathf.h against the C library's long double functions, over wide random
 * ranges, and at the ends of the range. The bounds are those that the header states.
 */
#include <check.h>
#include <lathe/math.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

static double uniform(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53;
}

typedef struct f64_case {
    const char *name;
    double (*own)(double);
    long double (*reference)(long double);
    double lo, hi;
    double ulps;
} f64_case;

typedef struct f32_case {
    const char *name;
    float (*own)(float);
    long double (*reference)(long double);
    double lo, hi;
    double relative;
} f32_case;

static long double sigmoid_ref(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static long double softplus_ref(long double x) {
    return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x)));
}

static long double cdf_ref(long double x) {
    return 0.5L * erfcl(-x * 0.707106781186547524400844362104849039L);
}

static long double pdf_ref(long double x) {
    return expl(-x * x / 2) * 0.398942280401432677939946059934381868L;
}

/* Distance in units of the double's last place at `want`. */
static double ulps_between(double got, long double want) {
    int exponent;
    if ((double)want == got) {
        return 0;
    }
    frexp((double)want, &exponent);
    double unit = ldexp(1.0, exponent - 53);
    unit = unit < 0x1p-1074 ? 0x1p-1074 : unit;
    return (double)(fabsl((long double)got - want) / unit);
}

static const f64_case f64_cases[] = {
    {"exp", lathe_exp, expl, -1, 1, 1},
    {"exp", lathe_exp, expl, -745, 709.7, 1},
    {"expm1", lathe_expm1, expm1l, -1, 1, 1.5},
    {"expm1", lathe_expm1, expm1l, -60, 60, 1.5},
    {"expm1", lathe_expm1, expm1l, -1e-3, 1e-3, 1},
    {"expm1", lathe_expm1, expm1l, 50, 709.7, 1.5},
    {"log", lathe_log, logl, 0, 2, 1},
    {"log", lathe_log, logl, 0.9, 1.1, 1},
    {"log", lathe_log, logl, 0, 1e300, 1},
    {"log", lathe_log, logl, 0, 1e-308, 1},
    {"log1p", lathe_log1p, log1pl, -1, 1, 1},
    {"log1p", lathe_log1p, log1pl, -1e-3, 1e-3, 1},
    {"log1p", lathe_log1p, log1pl, 0, 1e20, 1},
    {"tanh", lathe_tanh, tanhl, -1, 1, 2},
    {"tanh", lathe_tanh, tanhl, -20, 20, 2},
    {"sigmoid", lathe_sigmoid, sigmoid_ref, -5, 5, 2},
    {"sigmoid", lathe_sigmoid, sigmoid_ref, -745, 40, 2},
    {"softplus", lathe_softplus, softplus_ref, -5, 5, 2},
    {"softplus", lathe_softplus, softplus_ref, -740, 40, 2},
    {"erf", lathe_erf, erfl, -1, 1, 2},
    {"erf", lathe_erf, erfl, -6, 6, 2},
    {"erfc", lathe_erfc, erfcl, -1, 1, 6},
    {"erfc", lathe_erfc, erfcl, -6, 28, 6},
    {"normal_cdf", lathe_normal_cdf, cdf_ref, -5, 5, 8},
    {"normal_cdf", lathe_normal_cdf, cdf_ref, -37, 9, 8},
    {"sin", lathe_sin, sinl, -3.2, 3.2, 1},
    {"sin", lathe_sin, sinl, -1048576, 1048576, 1},
    {"cos", lathe_cos, cosl, -3.2, 3.2, 1},
    {"cos", lathe_cos, cosl, -1048576, 1048576, 1},
};

static const f32_case f32_cases[] = {
    {"expf", lathe_expf, expl, -1, 1, 1.5e-7},
    {"expf", lathe_expf, expl, -87, 88.7, 1.5e-7},
    {"expm1f", lathe_expm1f, expm1l, -1, 1, 1.5e-7},
    {"expm1f", lathe_expm1f, expm1l, -20, 88.7, 1.5e-7},
    {"logf", lathe_logf, logl, 0, 2, 1.5e-7},
    {"logf", lathe_logf, logl, 0, 3e38, 1.5e-7},
    {"logf", lathe_logf, logl, 0, 1e-38, 1.5e-7},
    {"log1pf", lathe_log1pf, log1pl, -1, 3, 1.5e-7},
    {"log1pf", lathe_log1pf, log1pl, 0, 1e9, 1.5e-7},
    {"tanhf", lathe_tanhf, tanhl, -1, 1, 2.5e-7},
    {"tanhf", lathe_tanhf, tanhl, -12, 12, 2.5e-7},
    {"sigmoidf", lathe_sigmoidf, sigmoid_ref, -3, 3, 2.5e-7},
    {"sigmoidf", lathe_sigmoidf, sigmoid_ref, -87, 20, 2.5e-7},
    {"softplusf", lathe_softplusf, softplus_ref, -3, 3, 2.5e-7},
    {"softplusf", lathe_softplusf, softplus_ref, -87, 30, 2.5e-7},
    {"normal_cdff", lathe_normal_cdff, cdf_ref, -5, 5, 4e-7},
    {"normal_cdff", lathe_normal_cdff, cdf_ref, -12.9, 9, 4e-7},
    {"normal_pdff", lathe_normal_pdff, pdf_ref, -12.9, 12.9, 4e-7},
};

START_TEST(double_functions_keep_their_bounds) {
    const f64_case *c = &f64_cases[_i];
    double worst = 0;
    double at = 0;
    for (int i = 0; i < 60000; i++) {
        const double x = c->lo + (c->hi - c->lo) * uniform();
        const double e = ulps_between(c->own(x), c->reference((long double)x));
        if (!(e <= worst)) {
            worst = e;
            at = x;
        }
    }
    ck_assert_msg(worst <= c->ulps, "%s on [%g, %g]: %.3f ulp at %.17g, allowed %g", c->name, c->lo,
                  c->hi, worst, at, c->ulps);
}
END_TEST

START_TEST(float_functions_keep_their_bounds) {
    const f32_case *c = &f32_cases[_i];
    double worst = 0;
    float at = 0;
    for (int i = 0; i < 60000; i++) {
        const float x = (float)(c->lo + (c->hi - c->lo) * uniform());
        const long double want = c->reference((long double)x);
        const long double size = fabsl(want) < 1.2e-38L ? 1.2e-38L : fabsl(want);
        const double e = (double)(fabsl((long double)c->own(x) - want) / size);
        if (!(e <= worst)) {
            worst = e;
            at = x;
        }
    }
    ck_assert_msg(worst <= c->relative, "%s on [%g, %g]: %.3g at %.9g, allowed %g", c->name, c->lo,
                  c->hi, worst, (double)at, c->relative);
}
END_TEST

static void expect(const char *what, double got, double want) {
    if (isnan(want)) {
        ck_assert_msg(isnan(got), "%s is %g, not NaN", what, got);
        return;
    }
    ck_assert_msg(lathe_bits(got) == lathe_bits(want), "%s is %.17g, not %.17g", what, got, want);
}
#define EXPECT(call, want) expect(#call, (double)(call), (double)(want))

START_TEST(ends_of_the_range) {
    const double inf = INFINITY;
    EXPECT(lathe_exp(0.0), 1.0);
    EXPECT(lathe_exp(-0.0), 1.0);
    EXPECT(lathe_exp(inf), inf);
    EXPECT(lathe_exp(-inf), 0.0);
    EXPECT(lathe_exp(709.79), inf);
    EXPECT(lathe_exp(1e300), inf);
    EXPECT(lathe_exp(-745.2), 0.0);
    EXPECT(lathe_exp(-745.1), 0x1p-1074);
    EXPECT(lathe_exp(-1e300), 0.0);
    EXPECT(lathe_expm1(0.0), 0.0);
    EXPECT(lathe_expm1(-0.0), -0.0);
    EXPECT(lathe_expm1(inf), inf);
    EXPECT(lathe_expm1(-inf), -1.0);
    EXPECT(lathe_expm1(0x1p-1074), 0x1p-1074);
    EXPECT(lathe_log(0.0), -inf);
    EXPECT(lathe_log(-0.0), -inf);
    EXPECT(lathe_log(1.0), 0.0);
    EXPECT(lathe_log(inf), inf);
    EXPECT(lathe_log(-inf), NAN);
    EXPECT(lathe_log(-0x1p-1074), NAN);
    EXPECT(lathe_log(0x1p-1074), -744.4400719213812);
    EXPECT(lathe_log1p(0.0), 0.0);
    EXPECT(lathe_log1p(-0.0), -0.0);
    EXPECT(lathe_log1p(-1.0), -inf);
    EXPECT(lathe_log1p(-1.5), NAN);
    EXPECT(lathe_log1p(inf), inf);
    EXPECT(lathe_log1p(0x1p-1074), 0x1p-1074);
    EXPECT(lathe_tanh(inf), 1.0);
    EXPECT(lathe_tanh(-inf), -1.0);
    EXPECT(lathe_tanh(-0.0), -0.0);
    EXPECT(lathe_tanh(1e-300), 1e-300);
    EXPECT(lathe_sigmoid(0.0), 0.5);
    EXPECT(lathe_sigmoid(inf), 1.0);
    EXPECT(lathe_sigmoid(-inf), 0.0);
    EXPECT(lathe_softplus(inf), inf);
    EXPECT(lathe_softplus(-inf), 0.0);
    EXPECT(lathe_softplus(1e300), 1e300);
    EXPECT(lathe_erf(inf), 1.0);
    EXPECT(lathe_erf(-inf), -1.0);
    EXPECT(lathe_erf(-0.0), -0.0);
    EXPECT(lathe_erfc(inf), 0.0);
    EXPECT(lathe_erfc(-inf), 2.0);
    EXPECT(lathe_normal_cdf(0.0), 0.5);
    EXPECT(lathe_normal_cdf(inf), 1.0);
    EXPECT(lathe_normal_cdf(-inf), 0.0);
    EXPECT(lathe_sin(-0.0), -0.0);
    EXPECT(lathe_sin(inf), NAN);
    EXPECT(lathe_cos(-inf), NAN);
    EXPECT(lathe_cos(0.0), 1.0);
    EXPECT(lathe_sin(3.141592653589793), 1.2246467991473532e-16);
    EXPECT(lathe_cos(2e6), NAN);
}
END_TEST

START_TEST(ends_of_the_float_range) {
    const float inf = INFINITY;
    EXPECT(lathe_expf(inf), inf);
    EXPECT(lathe_expf(-inf), 0.0f);
    EXPECT(lathe_expf(0.0f), 1.0f);
    EXPECT(lathe_expf(88.8f), inf);
    EXPECT(lathe_expf(-103.0f), expf(-103.0f)); /* subnormal */
    EXPECT(lathe_expm1f(inf), inf);
    EXPECT(lathe_expm1f(-inf), -1.0f);
    EXPECT(lathe_expm1f(-0.0f), -0.0f);
    EXPECT(lathe_expm1f(1e-45f), 1e-45f);
    EXPECT(lathe_logf(0.0f), -inf);
    EXPECT(lathe_logf(-0.0f), -inf);
    EXPECT(lathe_logf(-1.0f), NAN);
    EXPECT(lathe_logf(inf), inf);
    EXPECT(lathe_log1pf(-1.0f), -inf);
    EXPECT(lathe_log1pf(-2.0f), NAN);
    EXPECT(lathe_log1pf(inf), inf);
    EXPECT(lathe_tanhf(inf), 1.0f);
    EXPECT(lathe_tanhf(-inf), -1.0f);
    EXPECT(lathe_tanhf(-0.0f), -0.0f);
    EXPECT(lathe_sigmoidf(-inf), 0.0f);
    EXPECT(lathe_sigmoidf(inf), 1.0f);
    EXPECT(lathe_softplusf(inf), inf);
    EXPECT(lathe_softplusf(-inf), 0.0f);
    EXPECT(lathe_normal_cdff(-inf), 0.0f);
    EXPECT(lathe_normal_cdff(inf), 1.0f);
    EXPECT(lathe_normal_pdff(inf), 0.0f);
    float (*const all[])(float) = {lathe_expf,      lathe_expm1f,      lathe_logf,
                                   lathe_log1pf,    lathe_tanhf,       lathe_sigmoidf,
                                   lathe_softplusf, lathe_normal_cdff, lathe_normal_pdff};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        ck_assert_msg(isnan(all[i](NAN)), "float function %zu", i);
        ck_assert_msg(isnan(all[i](-NAN)), "float function %zu", i);
    }
}
END_TEST

START_TEST(nan_gives_nan) {
    for (size_t i = 0; i < sizeof f64_cases / sizeof f64_cases[0]; i++) {
        ck_assert_msg(isnan(f64_cases[i].own(NAN)), "%s", f64_cases[i].name);
        ck_assert_msg(isnan(f64_cases[i].own(-NAN)), "%s", f64_cases[i].name);
    }
}
END_TEST

START_TEST(powers) {
    double near = 0; /* results in [1e-30, 1e30] */
    double far = 0;
    for (int i = 0; i < 60000; i++) {
        const double x = exp(60 * (uniform() - 0.5));
        const double y = (i & 1) ? 40 * (uniform() - 0.5) : 1400 / log(x) * (uniform() - 0.5);
        const double e = ulps_between(lathe_pow(x, y), powl((long double)x, (long double)y));
        if (fabs(y * log(x)) < 69) {
            near = e > near ? e : near;
        } else {
            far = e > far ? e : far;
        }
    }
    ck_assert_msg(near <= 4 && far <= 32, "pow: %.3f and %.3f ulp", near, far);
    const double values[] = {
        0.0, -0.0, 1,        -1,        2,   -2,    0.5,    -0.5,
        3,   -3,   INFINITY, -INFINITY, NAN, 1e300, 1e-300, 9007199254740993.0};
    const size_t n = sizeof values / sizeof values[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const double want = pow(values[i], values[j]);
            const double got = lathe_pow(values[i], values[j]);
            ck_assert_msg((isnan(want) && isnan(got)) ||
                              ulps_between(got, (long double)want) <= 8 || want == got,
                          "pow(%g, %g) is %.17g, not %.17g", values[i], values[j], got, want);
            ck_assert(isnan(want) || signbit(want) == signbit(got));
        }
    }
    EXPECT(lathe_powi(0.9, 0), 1.0);
    EXPECT(lathe_powi(0.9, 1), 0.9);
    EXPECT(lathe_powi(2.0, -3), 0.125);
    EXPECT(lathe_powi(-2.0, 3), -8.0);
    ck_assert(fabs(lathe_powi(0.999, 1000) / pow(0.999, 1000) - 1) < 1e-13);
}
END_TEST

START_TEST(classification_by_bits) {
    const double numbers[] = {0, -0.0, 1, 1e308, 0x1p-1074};
    for (int i = 0; i < 5; i++) {
        ck_assert(!lathe_isnan(numbers[i]) && lathe_isfinite(numbers[i]));
    }
    ck_assert(lathe_isnan(LATHE_NAN) && lathe_isnan(-NAN) && !lathe_isnan(LATHE_INFINITY));
    ck_assert(!lathe_isfinite(LATHE_NAN) && !lathe_isfinite(LATHE_INFINITY));
    ck_assert(!lathe_isfinite(-LATHE_INFINITY));
    ck_assert(lathe_isnanf((float)LATHE_NAN) && !lathe_isnanf(INFINITY) && !lathe_isnanf(1e38f));
    ck_assert(!lathe_isfinitef((float)LATHE_NAN) && !lathe_isfinitef(-INFINITY));
    ck_assert(lathe_isfinitef(1e-45f));
}
END_TEST

/* A running sum of 0.1 loses digits with n; the pairwise one does not. */
START_TEST(sum_is_pairwise) {
    const int64_t n = 1000003;
    double *x = malloc((size_t)n * sizeof *x);
    ck_assert_ptr_nonnull(x);
    double running = 0;
    long double exact = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = 0.1 + uniform();
        running += x[i];
        exact += (long double)x[i];
    }
    const double sum = lathe_sum(x, n);
    ck_assert(fabs((double)((long double)sum - exact)) <= 4 * 0x1p-53 * (double)exact);
    ck_assert(fabs((double)((long double)sum - exact)) <=
              fabs((double)((long double)running - exact)));
    for (int64_t k = 0; k < 1100; k++) { /* every shape of the tree of blocks */
        long double want = 0;
        for (int64_t i = 0; i < k; i++) {
            want += (long double)x[i];
        }
        ck_assert(fabs((double)((long double)lathe_sum(x, k) - want)) <= 1e-12);
    }
    free(x);
}
END_TEST

/* Equal bits whether the compiler vectorised the loop or not: the same values through a volatile
 * index. */
START_TEST(vector_and_scalar_agree) {
    enum { N = 1027 };
    static float x[N], many[N];
    static double y[N], wide[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)(40 * (uniform() - 0.5));
        y[i] = 1400 * (uniform() - 0.5);
    }
    for (int i = 0; i < N; i++) {
        many[i] = lathe_tanhf(x[i]);
    }
    for (int i = 0; i < N; i++) {
        wide[i] = lathe_exp(y[i]);
    }
    for (volatile int i = 0; i < N; i++) {
        ck_assert(lathe_bitsf(many[i]) == lathe_bitsf(lathe_tanhf(x[i])));
        ck_assert(lathe_bits(wide[i]) == lathe_bits(lathe_exp(y[i])));
    }
}
END_TEST

/* The bits themselves, so that another compiler or processor that gives others is found. */
START_TEST(bits_are_frozen) {
    uint64_t h = 1469598103934665603u;
    state = 1234567890123456789u;
    for (int i = 0; i < 20000; i++) {
        const double x = 40 * (uniform() - 0.5);
        const double values[] = {lathe_exp(x),  lathe_expm1(x),       lathe_log(x * x),
                                 lathe_tanh(x), lathe_sigmoid(x),     lathe_softplus(x),
                                 lathe_erf(x),  lathe_erfc(x),        lathe_log1p(x * x),
                                 lathe_sin(x),  lathe_pow(x * x, 0.3)};
        const float floats[] = {lathe_expf((float)x), lathe_tanhf((float)x),
                                lathe_sigmoidf((float)x), lathe_logf((float)(x * x)),
                                lathe_normal_cdff((float)x)};
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            h = (h ^ lathe_bits(values[j])) * 1099511628211u;
        }
        for (size_t j = 0; j < sizeof floats / sizeof floats[0]; j++) {
            h = (h ^ lathe_bitsf(floats[j])) * 1099511628211u;
        }
    }
    ck_assert_msg(h == 0x0cecb7a82c159757u, "the bits hash to 0x%016llx", (unsigned long long)h);
}
END_TEST

int main(void) {
    Suite *s = suite_create("math");
    TCase *t = tcase_create("math");
    tcase_add_loop_test(t, double_functions_keep_their_bounds, 0,
                        (int)(sizeof f64_cases / sizeof f64_cases[0]));
    tcase_add_loop_test(t, float_functions_keep_their_bounds, 0,
                        (int)(sizeof f32_cases / sizeof f32_cases[0]));
    tcase_add_test(t, ends_of_the_range);
    tcase_add_test(t, ends_of_the_float_range);
    tcase_add_test(t, nan_gives_nan);
    tcase_add_test(t, powers);
    tcase_add_test(t, classification_by_bits);
    tcase_add_test(t, sum_is_pairwise);
    tcase_add_test(t, vector_and_scalar_agree);
    tcase_add_test(t, bits_are_frozen);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
