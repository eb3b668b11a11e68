/* The linear models' sums over rows, for every kind of CPU at hand, against plain loops. */
#include "../../plugins/learners/linear/moments.c"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_Q = 40 };

static double z[(MOST_Q / LANES + 1) * LINES * LANES], theta[MOST_Q + LANES], weight[CHUNK];
static double scaled[CHUNK * TALL], sum[MOST_Q + LANES], blocks[MOST_Q * (MOST_Q + 2 * LANES)];
static double score[CHUNK];
static uint32_t seed = 5;

static uint32_t draw(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static double real(void) {
    return (double)draw(2001) * 0.001 - 1.0;
}

static int list(const moments **all) {
    int n = 0;
    all[n++] = &plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        all[n++] = &avx2;
#endif
    return n;
}

static double *cell(int64_t i, int64_t j) {
    return z + (j / LANES * LINES + i) * LANES + j % LANES;
}

/* Random rows; the lanes beyond q are 0, as the learner leaves them. */
static void fill(int64_t m, int64_t q) {
    for (int64_t i = 0; i < m; i++) {
        weight[i] = fabs(real());
        for (int64_t j = 0; j < panels(q) * LANES; j++)
            *cell(i, j) = j < q ? real() : 0.0;
    }
    for (int64_t j = 0; j < panels(q) * LANES; j++) {
        theta[j] = j < q ? real() : 0.0;
        sum[j] = j < q ? 0.5 : 0.0;
    }
    for (int64_t j = 0; j < gram_doubles(q); j++)
        blocks[j] = 0.25;
}

/* Every element on and above the diagonal stands in just one block. */
static void check_gram(const moments *k, int64_t m, int64_t q) {
    const double *block = blocks;
    for (int64_t a = 0; a < q; a += TALL)
        for (int64_t b = a / LANES; b < panels(q); b++, block += TALL * LANES)
            for (int64_t r = 0; r < TALL && a + r < q; r++)
                for (int64_t l = 0; l < LANES && b * LANES + l < q; l++) {
                    double want = 0.25;
                    for (int64_t i = 0; i < m; i++)
                        want += weight[i] * *cell(i, a + r) * *cell(i, b * LANES + l);
                    ck_assert_msg(fabs(want - block[r * LANES + l]) < 1e-12, "%s: gram %d, %d",
                                  k->name, (int)(a + r), (int)(b * LANES + l));
                }
    ck_assert_int_eq(block - blocks, gram_doubles(q));
}

START_TEST(sums_are_the_loops) {
    const moments *all[2];
    int n = list(all);
    for (int k = 0; k < n; k++)
        for (int trial = 0; trial < 100; trial++) {
            int64_t m = 1 + draw(CHUNK), q = 1 + draw(MOST_Q);
            fill(m, q);
            all[k]->scores(m, q, z, theta, score);
            all[k]->gradient(m, q, z, weight, sum);
            all[k]->gram(m, q, z, weight, scaled, blocks);
            for (int64_t i = 0; i < m; i++) {
                double want = 0;
                for (int64_t j = 0; j < q; j++)
                    want += *cell(i, j) * theta[j];
                ck_assert_double_eq_tol(score[i], want, 1e-12);
            }
            for (int64_t j = 0; j < q; j++) {
                double want = 0.5;
                for (int64_t i = 0; i < m; i++)
                    want += weight[i] * *cell(i, j);
                ck_assert_double_eq_tol(sum[j], want, 1e-12);
            }
            check_gram(all[k], m, q);
        }
}
END_TEST

START_TEST(rows_are_standardised) {
    const moments *all[2];
    int n = list(all);
    for (int k = 0; k < n; k++)
        for (int64_t p = 1; p <= MOST_Q; p++) {
            float row[MOST_Q];
            double mean[MOST_Q], inverse[MOST_Q];
            for (int64_t j = 0; j < p; j++) {
                row[j] = (float)real();
                mean[j] = real();
                inverse[j] = real();
            }
            *cell(3, p) = 7;
            all[k]->standardise(p, row, mean, inverse, z, 3);
            for (int64_t j = 0; j < p; j++)
                ck_assert_double_eq(*cell(3, j), ((double)row[j] - mean[j]) * inverse[j]);
            ck_assert_double_eq(*cell(3, p), 7);
        }
}
END_TEST

START_TEST(rows_as_they_stand) {
    enum { STRIDE = MOST_Q + 3 };
    static float x[CHUNK * STRIDE];
    const float *row[CHUNK];
    const moments *all[2];
    int n = list(all);
    for (int k = 0; k < n; k++)
        for (int64_t p = 1; p <= MOST_Q; p++) {
            int64_t m = 1 + draw(CHUNK);
            double alone;
            fill(m, p);
            for (int64_t i = 0; i < m; i++)
                row[i] = x + (m - 1 - i) * STRIDE;
            for (int64_t i = 0; i < m * STRIDE; i++)
                x[i] = i % STRIDE < p ? (float)real() : NAN; /* what is beyond is not touched */
            all[k]->raw_scores(m, p, row, 0.75, theta, score);
            all[k]->raw_gradient(m, p, row, weight, sum);
            for (int64_t i = 0; i < m; i++) {
                double want = 0.75;
                for (int64_t j = 0; j < p; j++)
                    want += (double)row[i][j] * theta[j];
                ck_assert_double_eq_tol(score[i], want, 1e-12);
                all[k]->raw_scores(1, p, row + i, 0.75, theta, &alone);
                ck_assert_double_eq(alone, score[i]);
            }
            for (int64_t j = 0; j < panels(p) * LANES; j++) {
                double want = j < p ? 0.5 : 0.0;
                for (int64_t i = 0; j < p && i < m; i++)
                    want += weight[i] * (double)row[i][j];
                ck_assert_double_eq_tol(sum[j], want, 1e-12);
            }
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linear_moments");
    TCase *tc = tcase_create("sums");
    tcase_add_test(tc, sums_are_the_loops);
    tcase_add_test(tc, rows_are_standardised);
    tcase_add_test(tc, rows_as_they_stand);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
