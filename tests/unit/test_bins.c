/* Bin edges, codes, encoding and sorting against naive twins. */
#include "base/rng.h"
#include "data/bins.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static int by_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Values of every kind: small integers (ties), wide normals, zeros of both signs, infinities,
 * denormals. */
static float some_float(uint64_t key, uint64_t i) {
    uint64_t u;
    float z;
    lathe_rng_u64(key, i, &u, 1);
    lathe_rng_normal_f32(key, i, &z, 1);
    switch (u % 8) {
    case 0:
        return (float)(int)(u >> 60) - 8;
    case 1:
        return u & 256 ? 0.0f : -0.0f;
    case 2:
        return u & 256 ? INFINITY : -INFINITY;
    case 3:
        return z * 1e-41f;
    case 4:
        return z * 1e30f;
    default:
        return z;
    }
}

START_TEST(sort_equals_qsort) {
    static const int sizes[] = {0, 1, 2, 47, 48, 49, 1000, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        float *a = malloc((size_t)n * 4 + 4), *b = malloc((size_t)n * 4 + 4),
              *t = malloc((size_t)n * 4 + 4);
        double *c = malloc((size_t)n * 8 + 8), *d = malloc((size_t)n * 8 + 8),
               *u = malloc((size_t)n * 8 + 8);
        for (int i = 0; i < n; i++) {
            a[i] = b[i] = some_float(s, (uint64_t)i);
            c[i] = d[i] = (double)a[i] * 1e10;
        }
        lathe_floats_sort(a, t, n);
        qsort(b, (size_t)n, 4, by_float);
        lathe_doubles_sort(c, u, n);
        qsort(d, (size_t)n, 8, by_double);
        for (int i = 0; i < n; i++) {
            ck_assert(a[i] == b[i]);
            ck_assert(c[i] == d[i]);
            ck_assert(a[i] != 0 || !signbit(a[i]));
            ck_assert(c[i] != 0 || !signbit(c[i]));
        }
        free(a), free(b), free(t), free(c), free(d), free(u);
    }
}
END_TEST

/* Sorts a copy and finds the edges. */
static int32_t edges_of(const float *values, int64_t n, int32_t max_bins, float *edges) {
    float *sorted = malloc((size_t)n * 4 + 4), *scratch = malloc((size_t)n * 4 + 4);
    int64_t *counts = malloc((size_t)n * 8 + 8);
    memcpy(sorted, values, (size_t)n * 4);
    lathe_floats_sort(sorted, scratch, n);
    int32_t m = lathe_bin_edges(sorted, n, max_bins, scratch, counts, edges);
    free(sorted), free(scratch), free(counts);
    return m;
}

START_TEST(edges_are_midpoints_when_few) {
    float edges[254];
    const float v[] = {3, 1, 1, 2, 10, 3};
    ck_assert_int_eq(edges_of(v, 6, 255, edges), 3);
    ck_assert(edges[0] == 1.5f && edges[1] == 2.5f && edges[2] == 6.5f);
    ck_assert_int_eq(edges_of(v, 6, 4, edges), 3);
    ck_assert_int_eq(edges_of(v, 0, 4, edges), 0);
    const float constant[] = {7, 7, 7};
    ck_assert_int_eq(edges_of(constant, 3, 4, edges), 0);
    const float zeros[] = {-0.0f, 0.0f, -0.0f};
    ck_assert_int_eq(edges_of(zeros, 3, 4, edges), 0);
}
END_TEST

/* Without sorting: the same edges, whatever the order; -1 where the values are too many. */
START_TEST(edges_of_few_are_the_same) {
    static const float values[] = {0, -0.0f, 1, -3, INFINITY, 2.5f, -INFINITY, 9};
    enum { N = 500 };
    float v[N], edges[254], few[254];
    for (int kinds = 1; kinds <= 8; kinds++)
        for (int max_bins = 2; max_bins <= 255; max_bins += 11) {
            for (int i = 0; i < N; i++)
                v[i] = values[i * i * 7 % 31 % kinds];
            int32_t m = lathe_bin_edges_of_few(v, N, max_bins, few);
            if (kinds == 8) { /* 0 is one with -0 */
                ck_assert_int_eq(m, -1);
                continue;
            }
            ck_assert_int_eq(m, edges_of(v, N, max_bins, edges));
            ck_assert_int_eq(memcmp(few, edges, (size_t)m * sizeof *few), 0);
        }
    ck_assert_int_eq(lathe_bin_edges_of_few(v, 0, 9, few), 0);
}
END_TEST

/* a <= m < b even where no float lies between, and at the ends of the line. */
START_TEST(midpoints_separate_exactly) {
    const float pairs[][2] = {{1, nextafterf(1, 2)}, {-INFINITY, 0},      {0, INFINITY},
                              {-INFINITY, INFINITY}, {-FLT_MAX, FLT_MAX}, {FLT_MAX, INFINITY},
                              {0, 1e-45f},           {-1e-45f, 0},        {16777216, 16777218},
                              {3e38f, 3.2e38f}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        float e[1];
        ck_assert_int_eq(edges_of(pairs[i], 2, 2, e), 1);
        ck_assert(pairs[i][0] <= e[0] && e[0] < pairs[i][1]);
        ck_assert_int_eq(lathe_bin_of(e, 1, pairs[i][0]), 0);
        ck_assert_int_eq(lathe_bin_of(e, 1, pairs[i][1]), 1);
    }
}
END_TEST

/* Edges ascend, number at most max_bins - 1, no bin is empty, and encoding equals the naive twin.
 * */
START_TEST(random_values_encode_like_the_twin) {
    for (uint64_t t = 0; t < 60; t++) {
        int64_t n = 1 + (int64_t)lathe_rng_below(7, t, 3000), stride = 1 + (int64_t)(t % 3);
        int32_t max_bins = 2 + (int32_t)lathe_rng_below(8, t, 254);
        float *v = malloc((size_t)(n * stride) * 4), edges[254], table[LATHE_BINS_TABLE];
        uint8_t *bins = malloc((size_t)n);
        float *flat = malloc((size_t)n * 4);
        int64_t seen[257] = {0};
        for (int64_t i = 0; i < n; i++)
            flat[i] = v[i * stride] = some_float(100 + t, (uint64_t)i);
        int32_t m = edges_of(flat, n, max_bins, edges);
        ck_assert_int_lt(m, max_bins);
        for (int32_t i = 1; i < m; i++)
            ck_assert(edges[i - 1] < edges[i]);
        for (int64_t i = 0; i < n; i += 7)
            v[i * stride] = NAN;
        lathe_bin_table(edges, m, table);
        lathe_bin_encode(table, m, m + 1, v, stride, n, bins);
        for (int64_t i = 0; i < n; i++) {
            int32_t twin = isnan(v[i * stride]) ? m + 1 : lathe_bin_of(edges, m, v[i * stride]);
            ck_assert_int_eq(bins[i], twin);
            seen[lathe_bin_of(edges, m, flat[i])]++;
        }
        for (int32_t b = 0; b <= m; b++)
            ck_assert_int_gt(seen[b], 0);
        free(v), free(bins), free(flat);
    }
}
END_TEST

/* 10 000 distinct values in 100 bins: each near 100 rows. A value with half of the rows stands
 * alone. */
START_TEST(many_values_share_equally) {
    enum { N = 10000 };
    static float v[N], edges[254];
    int64_t rows[256] = {0};
    for (int i = 0; i < N; i++)
        lathe_rng_normal_f32(5, (uint64_t)i, &v[i], 1);
    int32_t m = edges_of(v, N, 100, edges);
    ck_assert_int_eq(m, 99);
    for (int i = 0; i < N; i++)
        rows[lathe_bin_of(edges, m, v[i])]++;
    for (int b = 0; b <= m; b++)
        ck_assert(rows[b] >= 90 && rows[b] <= 110);
    for (int i = 0; i < N; i += 2)
        v[i] = 0.25f;
    memset(rows, 0, sizeof rows);
    m = edges_of(v, N, 64, edges);
    for (int i = 0; i < N; i++)
        rows[lathe_bin_of(edges, m, v[i])]++;
    ck_assert_int_eq(rows[lathe_bin_of(edges, m, 0.25f)], N / 2);
    ck_assert_int_ge(m, 55);
}
END_TEST

START_TEST(codes_by_frequency) {
    const int64_t counts[] = {5, 0, 9, 5, 1};
    int32_t codes[8];
    ck_assert_int_eq(lathe_bin_codes(counts, 5, 8, codes), 4);
    ck_assert(codes[0] == 2 && codes[1] == 0 && codes[2] == 3 && codes[3] == 4);
    ck_assert_int_eq(lathe_bin_codes(counts, 5, 2, codes), 2);
    ck_assert_int_eq(lathe_bin_codes(NULL, 0, 2, codes), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("bins");
    TCase *t = tcase_create("bins");
    tcase_add_test(t, sort_equals_qsort);
    tcase_add_test(t, edges_are_midpoints_when_few);
    tcase_add_test(t, edges_of_few_are_the_same);
    tcase_add_test(t, midpoints_separate_exactly);
    tcase_add_test(t, random_values_encode_like_the_twin);
    tcase_add_test(t, many_values_share_equally);
    tcase_add_test(t, codes_by_frequency);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
