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
#define ACCUMULATE(c, a, b) ((c) = FMA(a, b, c))
#define MOST 12
#include "../../plugins/learners/mlp/kernel_body.h"

static const mlp_kernels wide = {"wide", rows_wide, weights_wide};

enum { MOST_ROWS = 70, MOST_IN = 600, MOST_OUT = 80, LINES = MOST_ROWS + 1 };

static float x[MOST_IN / PANEL * PANEL * LINES + PANEL * LINES], dz[MOST_OUT * LINES];
static float w[MOST_OUT * (MOST_IN + 1)], z[MOST_OUT * LINES], again[MOST_OUT * LINES];
enum { DW_PANEL = (PANEL + 1) * PANEL };
static float dw[MOST_OUT / PANEL * DW_PANEL], dw_before[MOST_OUT / PANEL * DW_PANEL];
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

/* All of `out` units, some panels a call, as the network does it. The bias is the row below the weights. */
static void multiply(const mlp_kernels *k, int64_t from, int64_t rows, int64_t in, int64_t out,
                     int64_t most, int biased, float *to) {
    for (int64_t u = 0; u < out; u += most) {
        rows_product p = {.rows = rows,
                          .n = in,
                          .lanes = out - u < most ? out - u : most,
                          .x = x + from * PANEL,
                          .x_panel = LINES * PANEL,
                          .w = w + u * (in + 1),
                          .w_panel = (in + 1) * PANEL,
                          .bias = biased ? w + u * (in + 1) + in * PANEL : NULL,
                          .z = to + (u * LINES + from * PANEL),
                          .z_panel = LINES * PANEL};
        k->rows(&p);
    }
}

/* Row j of unit u; j == in: its bias. */
static float weight(int64_t in, int64_t j, int64_t u) {
    return w[(u / PANEL * (in + 1) + j) * PANEL + u % PANEL];
}

static void check_same(const mlp_kernels *k, int64_t rows, int64_t out, const char *how) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t u = 0; u < out; u++)
            ck_assert_msg(at(z, r, u) == at(again, r, u), "%s, %s: row %d, unit %d", k->name, how,
                          (int)r, (int)u);
}

static void check_rows(const mlp_kernels *k) {
    int64_t rows = 1 + draw(MOST_ROWS), in = 1 + draw(MOST_IN), out = 1 + draw(MOST_OUT);
    int biased = (int)draw(2);
    int64_t cut = draw((uint32_t)rows);

    fill(z, sizeof z / sizeof *z);
    multiply(k, 0, rows, in, out, 2 * PANEL, biased, z);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t u = 0; u < out; u++) {
            double sum = biased ? (double)weight(in, in, u) : 0, size = fabs(sum);
            for (int64_t j = 0; j < in; j++) {
                double each = (double)at(x, r, j) * (double)weight(in, j, u);
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
    multiply(k, 0, cut, in, out, PANEL, biased, again);
    multiply(k, cut, rows - cut, in, out, 2 * PANEL, biased, again);
    check_same(k, rows, out, "cut");
    for (int64_t r = 0; r < rows && r < 5; r++) /* a row alone takes a way of its own */
        multiply(k, r, 1, in, out, 8 * PANEL, biased, again);
    check_same(k, rows, out, "alone");
}

static void check_weights(const mlp_kernels *k) {
    int64_t rows = 1 + draw(MOST_ROWS), n_in = 1 + draw(PANEL), n = 1 + draw(MOST_OUT / PANEL);
    int32_t add = (int32_t)draw(2);
    weights_product p = {.n_in = n_in,
                         .rows = rows,
                         .n = n,
                         .x = x,
                         .dz = dz,
                         .dz_panel = LINES * PANEL,
                         .add = add,
                         .dw = dw,
                         .dw_panel = DW_PANEL};
    fill(dw, sizeof dw / sizeof *dw);
    memcpy(dw_before, dw, sizeof dw);
    k->weights(&p);
    for (int64_t i = 0; i < MOST_OUT / PANEL * DW_PANEL; i++) {
        int64_t u = i / DW_PANEL * PANEL + i % PANEL, j = i % DW_PANEL / PANEL;
        double sum = add ? (double)dw_before[i] : 0;
        if (j >= n_in || u >= n * PANEL) {
            ck_assert_msg(dw[i] == dw_before[i], "%s wrote beyond its rows", k->name);
            continue;
        }
        for (int64_t r = 0; r < rows; r++)
            sum += (double)at(x, r, j) * (double)at(dz, r, u);
        ck_assert_msg(fabs(sum - (double)dw[i]) <= 2e-5, "%s: input %d, unit %d: %g", k->name,
                      (int)j, (int)u, sum);
    }
}

START_TEST(products_are_the_loops) {
    const mlp_kernels *all[4];
    int n = list(all);
    fill(x, sizeof x / sizeof *x);
    fill(w, sizeof w / sizeof *w);
    fill(dz, sizeof dz / sizeof *dz);
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
        weights_product p = {.n_in = 3, .rows = ROWS, .n = 1, .x = tall, .dz = other, .dw = dw};
        all[k]->weights(&p);
        for (int j = 0; j < 3; j++)
            for (int u = 0; u < 5; u++) {
                double sum = 0;
                for (int r = 0; r < ROWS; r++)
                    sum += (double)tall[r * PANEL + j] * (double)other[r * PANEL + u];
                ck_assert_msg(fabs(sum - (double)dw[j * PANEL + u]) < 2e-4, "%s", all[k]->name);
            }
    }
}
END_TEST

START_TEST(transposes) {
    for (int64_t n = 1; n <= PANEL; n++)
        for (int64_t out = 1; out <= PANEL; out++) {
            static float panel[PANEL * PANEL];
            mlp_transpose(n, out, w, panel);
            for (int64_t u = 0; u < out; u++)
                for (int64_t i = 0; i < n; i++)
                    ck_assert_float_eq(panel[u * PANEL + i], w[i * PANEL + u]);
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
