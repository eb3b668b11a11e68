/* base: Philox against its published answers, the streams, the normal quantile. */
#include "base/rng.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* kat_vectors of the Random123 distribution (D. E. Shaw Research), philox4x32 10: counter, key, answer. */
static const uint32_t answers[][10] = {
    {0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x6627e8d5, 0xe169c58d,
     0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
     0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
     0x5001e420, 0x24126ea1},
};

START_TEST(philox_gives_the_published_answers) {
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        uint32_t out[4];
        lathe_philox4x32_10(answers[i], answers[i] + 4, out);
        ck_assert_mem_eq(out, answers[i] + 6, sizeof out);
    }
    /* the first u64 of key 0, counter 0 is the first half of the first answer */
    uint64_t first;
    lathe_rng_u64(0, 0, &first, 1);
    ck_assert_uint_eq(first, UINT64_C(0xe169c58d6627e8d5));
}
END_TEST

START_TEST(elements_depend_on_their_counter_alone) {
    enum { N = 300 };
    const uint64_t starts[] = {0, 1, 2, 3, 1000003, UINT64_MAX - 150};
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        uint64_t whole[N], one64;
        float f[N], g[N], one;
        double d[N], one_d;
        lathe_rng_u64(42, starts[s], whole, N);
        lathe_rng_f32(42, starts[s], f, N);
        lathe_rng_normal_f32(42, starts[s], g, N);
        lathe_rng_f64(42, starts[s], d, N);
        for (int i = 0; i < N; i++) {
            uint64_t c = starts[s] + (uint64_t)i; /* wraps in the last case */
            lathe_rng_u64(42, c, &one64, 1);
            ck_assert_uint_eq(one64, whole[i]);
            lathe_rng_f32(42, c, &one, 1);
            ck_assert(one == f[i]);
            lathe_rng_normal_f32(42, c, &one, 1);
            ck_assert(one == g[i]);
            lathe_rng_f64(42, c, &one_d, 1);
            ck_assert(one_d == d[i]);
        }
    }
}
END_TEST

START_TEST(uniforms_are_uniform) {
    enum { N = 100000 };
    float *f = malloc(N * sizeof *f);
    double *d = malloc(N * sizeof *d);
    lathe_rng_f32(7, 0, f, N);
    lathe_rng_f64(7, 0, d, N);
    int bins_f[16] = {0}, bins_d[16] = {0};
    for (int i = 0; i < N; i++) {
        if (!(f[i] >= 0 && f[i] < 1 && d[i] >= 0 && d[i] < 1))
            ck_abort_msg("element %d", i);
        bins_f[(int)(f[i] * 16)]++;
        bins_d[(int)(d[i] * 16)]++;
    }
    double chi_f = 0, chi_d = 0, expected = N / 16.0;
    for (int b = 0; b < 16; b++) {
        chi_f += (bins_f[b] - expected) * (bins_f[b] - expected) / expected;
        chi_d += (bins_d[b] - expected) * (bins_d[b] - expected) / expected;
    }
    /* chi-square with 15 degrees of freedom: 44.3 is the 0.9999 quantile */
    ck_assert_double_lt(chi_f, 44.3);
    ck_assert_double_lt(chi_d, 44.3);
    free(f);
    free(d);
}
END_TEST

/* The distribution function by the C library's erfc must undo the quantile. */
START_TEST(quantile_inverts_the_distribution) {
    const double tails[] = {1e-300, 1e-100,  1e-20,  1e-9,   2.5e-6,
                            1e-3,   0.02425, 0.0749, 0.0751, 0.3};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        double x = lathe_normal_quantile(tails[i]);
        double p = 0.5 * erfc(-x / sqrt(2.0));
        /* dp/p = x dx near the tail: a relative error of 1e-15 in x grows by x² */
        ck_assert_double_lt(fabs(p / tails[i] - 1), 4e-15 * (1 + x * x));
    }
    /* published: the 0.975 point, and AS 241's own check values for 0.25, 0.001, 1e-20 */
    ck_assert_double_eq_tol(lathe_normal_quantile(0.975), 1.959963984540054, 1e-15);
    ck_assert_double_eq_tol(lathe_normal_quantile(0.25), -0.6744897501960817, 1e-15);
    ck_assert_double_eq_tol(lathe_normal_quantile(0.001), -3.090232306167814, 1e-14);
    ck_assert_double_eq_tol(lathe_normal_quantile(1e-20), -9.262340089798408, 1e-14);
    ck_assert_double_eq(lathe_normal_quantile(0.5), 0);
    ck_assert(isnan(lathe_normal_quantile(0)) && isnan(lathe_normal_quantile(1)));
    ck_assert(isnan(lathe_normal_quantile(NAN)) && isnan(lathe_normal_quantile(-1)));
}
END_TEST

START_TEST(normals_have_the_moments) {
    enum { N = 200000 };
    float *g = malloc(N * sizeof *g);
    lathe_rng_normal_f32(lathe_rng_key(1, "moments", 0), 0, g, N);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    for (int i = 0; i < N; i++) {
        double x = g[i];
        if (!(fabs(x) < 6.5))
            ck_abort_msg("element %d is %g", i, x);
        m1 += x / N;
        m2 += x * x / N;
        m3 += x * x * x / N;
        m4 += x * x * x * x / N;
    }
    /* five standard errors: sqrt(1/N), sqrt(2/N), sqrt(15/N), sqrt(96/N) */
    ck_assert_double_lt(fabs(m1), 5 * sqrt(1.0 / N));
    ck_assert_double_lt(fabs(m2 - 1), 5 * sqrt(2.0 / N));
    ck_assert_double_lt(fabs(m3), 5 * sqrt(15.0 / N));
    ck_assert_double_lt(fabs(m4 - 3), 5 * sqrt(96.0 / N));
    free(g);
}
END_TEST

START_TEST(keys_differ_by_every_part) {
    const uint64_t keys[] = {
        lathe_rng_key(1, "a", 0),
        lathe_rng_key(2, "a", 0),
        lathe_rng_key(1, "b", 0),
        lathe_rng_key(1, "a", 1),
        lathe_rng_key(1, "", 0),
        lathe_rng_key(1, "aa", 0),
        lathe_rng_key(1, "aaaaaaaa", 0),
        lathe_rng_key(1, "aaaaaaaaa", 0),
        lathe_rng_key(1, "a", UINT64_C(1) << 32),
        lathe_rng_key(UINT64_C(1) << 32 | 1, "a", 0),
    };
    const size_t n = sizeof keys / sizeof keys[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(keys[i], keys[j]);
    }
    ck_assert_uint_eq(lathe_rng_key(1, "a", 0), keys[0]);
    ck_assert_uint_eq(lathe_rng_key(1, NULL, 0), keys[4]);
}
END_TEST

START_TEST(shuffles_are_fair_permutations) {
    int counts[4][4] = {{0}};
    for (uint64_t key = 0; key < 8000; key++) {
        int64_t items[4] = {0, 1, 2, 3};
        lathe_rng_shuffle(lathe_rng_key(3, "shuffle", key), items, 4);
        int seen = 0;
        for (int i = 0; i < 4; i++) {
            seen |= 1 << items[i];
            counts[i][items[i]]++;
        }
        ck_assert_int_eq(seen, 15);
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) /* mean 2000, standard deviation 39 */
            ck_assert_int_lt(abs(counts[i][j] - 2000), 200);
    }
    ck_assert_uint_eq(lathe_rng_below(1, 2, 1), 0);
    ck_assert_uint_eq(lathe_rng_below(1, 2, 0), 0);
    for (uint64_t c = 0; c < 1000; c++)
        ck_assert_uint_lt(lathe_rng_below(9, c, 7), 7);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base rng");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, philox_gives_the_published_answers);
    tcase_add_test(tc, elements_depend_on_their_counter_alone);
    tcase_add_test(tc, uniforms_are_uniform);
    tcase_add_test(tc, quantile_inverts_the_distribution);
    tcase_add_test(tc, normals_have_the_moments);
    tcase_add_test(tc, keys_differ_by_every_part);
    tcase_add_test(tc, shuffles_are_fair_permutations);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
