/* The networks' matrix products on panels, for every kind of CPU at hand, against loops in double; that their
 * bits don't depend on how rows are shared out; and the widest blocks also where no AVX-512 is. */
#if defined __GNUC__ && !defined __clang__
#pragma GCC optimize("O1") /* at -O3 the emulated vectors below take gcc more than a minute */
#endif
#include "../../plugins/learners/mlp/kernel.c"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The blocks of AVX-512 on vectors that the compiler makes of smaller ones. */
typedef float vector16 __attribute__((vector_size(64)));
typedef float vector16_at __attribute__((vector_size(64), aligned(4), may_alias));
#define NAME(x) x##_wide
#define TARGET
#define W 16
#define V vector16
#define LOAD(p) ((V) * (const vector16_at *)(p))
#define STORE(p, v) (*(vector16_at *)(p) = (v))
#define SPREAD(f) ((V){0} + (f))
#define FMA(a, b, c) ((a) * (b) + (c))
#define MOST 12
#include "../../plugins/learners/mlp/kernel_body.h"

static const mlp_kernels wide = {"wide", rows_wide, weights_wide};

enum { MOST_ROWS = 70, MOST_IN = 600, MOST_OUT = 80, LINES = MOST_ROWS + 1 };

static float x[MOST_IN / PANEL * PANEL * LINES + PANEL * LINES], dz[MOST_OUT * LINES];
static float w[MOST_OUT * MOST_IN], z[MOST_OUT * LINES], again[MOST_OUT * LINES], bias[MOST_OUT];
static float dw[(PANEL + 1) * MOST_OUT], dw_before[(PANEL + 1) * MOST_OUT];
static uint32_t seed = 1;

static uint32_t draw(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static void fill(float *a, size_t n) {
    for (size_t i = 0; i < n; i++)
        a[i] = (float)draw(2001) * 0.001f - 1.0f;
}

static int list(const mlp_kernels **all) {
    int n = 0;
    all[n++] = &plain;
    all[n++] = &wide;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        all[n++] = &avx2;
    if (__builtin_cpu_supports("avx512f"))
        all[n++] = &avx512;
#endif
    return n;
}

static float at(const float *panel, int64_t row, int64_t col) {
    return panel[(col / PANEL * LINES + row) * PANEL + col % PANEL];
}

/* All of `out` units, two panels a call, as the network does it. */
static void multiply(const mlp_kernels *k, int64_t from, int64_t rows, int64_t in, int64_t out,
                     const float *b, float *to) {
    for (int64_t u = 0; u < out; u += 2 * PANEL) {
        rows_product p = {.rows = rows,
                          .n = in,
                          .lanes = out - u < 2 * PANEL ? out - u : 2 * PANEL,
                          .x = x + from * PANEL,
                          .x_panel = LINES * PANEL,
                          .w = w + u * in,
                          .w_panel = in * PANEL,
                          .bias = b != NULL ? b + u : NULL,
                          .z = to + (u * LINES + from * PANEL),
                          .z_panel = LINES * PANEL};
        k->rows(&p);
    }
}

static void check_rows(const mlp_kernels *k) {
    int64_t rows = 1 + draw(MOST_ROWS), in = 1 + draw(MOST_IN), out = 1 + draw(MOST_OUT);
    const float *b = draw(2) ? bias : NULL;
    int64_t cut = draw((uint32_t)rows);

    fill(z, sizeof z / sizeof *z);
    multiply(k, 0, rows, in, out, b, z);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t u = 0; u < out; u++) {
            double sum = b != NULL ? (double)b[u] : 0, size = fabs(sum);
            for (int64_t j = 0; j < in; j++) {
                double each =
                    (double)at(x, r, j) * (double)w[u / PANEL * PANEL * in + j * PANEL + u % PANEL];
                sum += each;
                size += fabs(each);
            }
            ck_assert_msg(fabs(sum - (double)at(z, r, u)) <= 3e-6 * size,
                          "%s: row %d, unit %d of %dx%dx%d: %g, not %g", k->name, (int)r, (int)u,
                          (int)rows, (int)in, (int)out, (double)at(z, r, u), sum);
        }
        /* the lanes beyond get something of their own: nothing old is left */
        for (int64_t u = out; u < panels(out) * PANEL; u++)
            ck_assert_msg(isfinite(at(z, r, u)), "%s: lane %d", k->name, (int)u);
    }
    memcpy(again, z, sizeof z);
    multiply(k, 0, cut, in, out, b, again);
    multiply(k, cut, rows - cut, in, out, b, again);
    ck_assert_msg(memcmp(z, again, sizeof z) == 0, "%s: cut at %d of %d rows", k->name, (int)cut,
                  (int)rows);
}

static void check_weights(const mlp_kernels *k) {
    int64_t rows = 1 + draw(MOST_ROWS), n_in = 1 + draw(PANEL), out = 1 + draw(MOST_OUT);
    int32_t add = (int32_t)draw(2);
    weights_product p = {.n_in = n_in,
                         .rows = rows,
                         .out = out,
                         .x = x,
                         .dz = dz,
                         .dz_panel = LINES * PANEL,
                         .add = add,
                         .dw = dw};
    fill(dw, sizeof dw / sizeof *dw);
    memcpy(dw_before, dw, sizeof dw);
    k->weights(&p);
    for (int64_t j = 0; j < n_in; j++)
        for (int64_t u = 0; u < out; u++) {
            double sum = add ? (double)dw_before[j * out + u] : 0;
            for (int64_t r = 0; r < rows; r++)
                sum += (double)at(x, r, j) * (double)at(dz, r, u);
            ck_assert_msg(fabs(sum - (double)dw[j * out + u]) <= 2e-5, "%s: input %d, unit %d: %g",
                          k->name, (int)j, (int)u, sum);
        }
    ck_assert_msg(memcmp(dw + n_in * out, dw_before + n_in * out,
                         sizeof dw - (size_t)(n_in * out) * sizeof *dw) == 0,
                  "%s wrote beyond its rows", k->name);
}

START_TEST(products_are_the_loops) {
    const mlp_kernels *all[4];
    int n = list(all);
    fill(x, sizeof x / sizeof *x);
    fill(w, sizeof w / sizeof *w);
    fill(dz, sizeof dz / sizeof *dz);
    fill(bias, MOST_OUT);
    for (int k = 0; k < n; k++)
        for (int trial = 0; trial < 60; trial++) {
            check_rows(all[k]);
            check_weights(all[k]);
        }
}
END_TEST

/* More rows than a piece: the sums go on from memory. */
START_TEST(pieces_make_one_sum) {
    enum { ROWS = 2 * PIECE + 5 };
    static float tall[ROWS * PANEL], other[ROWS * PANEL];
    const mlp_kernels *all[4];
    int n = list(all);
    fill(tall, ROWS * PANEL);
    fill(other, ROWS * PANEL);
    for (int k = 0; k < n; k++) {
        weights_product p = {.n_in = 3, .rows = ROWS, .out = 5, .x = tall, .dz = other, .dw = dw};
        all[k]->weights(&p);
        for (int j = 0; j < 3; j++)
            for (int u = 0; u < 5; u++) {
                double sum = 0;
                for (int r = 0; r < ROWS; r++)
                    sum += (double)tall[r * PANEL + j] * (double)other[r * PANEL + u];
                ck_assert_msg(fabs(sum - (double)dw[j * 5 + u]) < 2e-4, "%s", all[k]->name);
            }
    }
}
END_TEST

START_TEST(transposes) {
    for (int64_t n = 1; n <= PANEL; n++)
        for (int64_t out = 1; out < 23; out++) {
            static float panel[23 * PANEL];
            mlp_transpose(n, out, w, panel);
            for (int64_t u = 0; u < out; u++)
                for (int64_t i = 0; i < n; i++)
                    ck_assert_float_eq(panel[u * PANEL + i], w[i * out + u]);
        }
}
END_TEST

START_TEST(the_level_chooses) {
    ck_assert_str_eq(mlp_choose_kernels(0)->name, "baseline");
#if defined(__x86_64__)
    ck_assert_str_eq(mlp_choose_kernels(LATHE_CPU_AVX2_FMA)->name, "avx2");
    ck_assert_str_eq(mlp_choose_kernels(LATHE_CPU_AVX2_FMA | LATHE_CPU_AVX512)->name, "avx512");
#endif
}
END_TEST

int main(void) {
    Suite *suite = suite_create("mlp_kernel");
    TCase *tc = tcase_create("products");
    tcase_add_test(tc, products_are_the_loops);
    tcase_add_test(tc, pieces_make_one_sum);
    tcase_add_test(tc, transposes);
    tcase_add_test(tc, the_level_chooses);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
