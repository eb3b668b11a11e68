/* Statistics against naive twins and published values; the profile's keys, alerts, and equal bits
 * with threads. */
#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/profile.h"
#include "data/stats.h"
#include "data/text.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * fmax(1, fabs(b));
}

static lathe_numeric_stats numeric(const double *x, int64_t n) {
    lathe_column c = {"x", LATHE_COLUMN_FLOAT64, 0, (void *)(uintptr_t)x, NULL, 0};
    lathe_numeric_stats s;
    ok(lathe_stats_numeric(NULL, &c, n, &s, &err));
    return s;
}

START_TEST(moments_closed_form) {
    const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    lathe_moments all = {0}, left = {0}, right = {0};
    for (int i = 0; i < 8; i++) {
        lathe_moments_add(&all, x[i]);
        lathe_moments_add(i < 3 ? &left : &right, x[i]);
    }
    lathe_moments_merge(&left, &right);
    lathe_moments_merge(&left, &(lathe_moments){0});
    const lathe_moments *both[] = {&all, &left};
    for (int k = 0; k < 2; k++) {
        ck_assert(near(both[k]->mean, 5, 1e-15));
        ck_assert(near(lathe_moments_std(both[k]), sqrt(32.0 / 7), 1e-14));
        ck_assert(near(lathe_moments_skewness(both[k]), 42.0 / 8 / 8, 1e-14));
        ck_assert(near(lathe_moments_kurtosis(both[k]), 356.0 / 8 / 16 - 3, 1e-14));
    }
    ck_assert(isnan(lathe_moments_std(&(lathe_moments){.n = 1})));
}
END_TEST

/* The mean and spread survive a large offset, where the textbook formula loses all digits. */
START_TEST(large_offset) {
    double x[1000];
    for (int i = 0; i < 1000; i++)
        x[i] = 1e9 + i % 3;
    lathe_numeric_stats s = numeric(x, 1000);
    ck_assert(near(s.mean - 1e9, 0.999, 1e-6));
    double twin = 0;
    for (int i = 0; i < 1000; i++)
        twin += (x[i] - 1e9 - 0.999) * (x[i] - 1e9 - 0.999);
    ck_assert(near(s.std, sqrt(twin / 999), 1e-9));
}
END_TEST

START_TEST(numbers_closed_form) {
    const double x[] = {1, 2, NAN, 4, INFINITY, -INFINITY, 0, -0.0, 2};
    lathe_numeric_stats s = numeric(x, 9);
    ck_assert(s.n == 9 && s.missing == 1 && s.infinite == 2 && s.zeros == 2 && s.negative == 0);
    ck_assert(s.distinct == 6 && s.distinct_exact && s.integers); /* 0 1 2 4 inf -inf */
    ck_assert(s.min == 0 && s.max == 4 && s.sum == 9 && s.mean == 1.5);
    ck_assert(s.quantiles[4] == 1.5 && s.quantiles[3] == 0.25 && s.quantiles[5] == 2);
    ck_assert(s.top_value == 0 && s.top_count == 2);
    ck_assert(s.n_bars == 5 && s.low == -0.5 && s.high == 4.5);
    ck_assert(s.bars[0] == 2 && s.bars[1] == 1 && s.bars[2] == 2 && s.bars[3] == 0 &&
              s.bars[4] == 1);
    s = numeric(x, 0);
    ck_assert(s.n == 0 && s.n_bars == 0 && isnan(s.mean) && isnan(s.quantiles[4]) &&
              s.distinct == 0);
    s = numeric(x + 2, 1);
    ck_assert(s.missing == 1 && isnan(s.min) && isnan(s.top_value));
    s = numeric(x, 1);
    ck_assert(s.mean == 1 && isnan(s.std) && s.quantiles[0] == 1 && s.n_bars == 1 &&
              s.bars[0] == 1);
    const double wide[] = {-DBL_MAX, DBL_MAX, 0.5};
    s = numeric(wide, 3);
    ck_assert(s.n_bars == 1 && s.bars[0] == 3 && s.quantiles[4] == 0.5 && !s.integers);
    int64_t when[] = {5, LATHE_MISSING_INT, 7};
    lathe_column c = {"t", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0};
    ok(lathe_stats_numeric(NULL, &c, 3, &s, &err));
    ck_assert(s.mean == 6 && s.missing == 1);
    c.type = LATHE_COLUMN_STRING;
    ck_assert_int_eq(lathe_stats_numeric(NULL, &c, 3, &s, &err), LATHE_E_INVALID);
}
END_TEST

static int by_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Random columns: quantiles by sorting, histogram by counting, moments in two passes. */
START_TEST(numbers_naive_twin) {
    for (uint64_t t = 0; t < 20; t++) {
        int64_t n = 50 + (int64_t)lathe_rng_below(1, t, 3000);
        double *x = malloc((size_t)n * 8), mean = 0, m2 = 0, m3 = 0;
        for (int64_t i = 0; i < n; i++) {
            float z;
            lathe_rng_normal_f32(t, (uint64_t)i, &z, 1);
            x[i] = t % 2 ? (double)z * 3 + 1 : floor((double)z * 100);
            mean += x[i] / (double)n;
        }
        lathe_numeric_stats s = numeric(x, n);
        int64_t bars = 0;
        for (int64_t i = 0; i < n; i++) {
            m2 += (x[i] - mean) * (x[i] - mean) / (double)n;
            m3 += pow(x[i] - mean, 3) / (double)n;
        }
        for (int b = 0; b < s.n_bars; b++) {
            double width = (s.high - s.low) / s.n_bars, from = s.low + width * b;
            int64_t inside = 0, close = 0;
            for (int64_t i = 0; i < n; i++) {
                inside += x[i] >= from && (x[i] < from + width || b == s.n_bars - 1);
                close += fabs(x[i] - from) < 1e-9 || fabs(x[i] - from - width) < 1e-9;
            }
            ck_assert(llabs((long long)(inside - s.bars[b])) <=
                      close); /* at a bar's end, rounding decides */
            bars += s.bars[b];
        }
        qsort(x, (size_t)n, 8, by_double);
        int64_t distinct = 1;
        for (int64_t i = 1; i < n; i++)
            distinct += x[i] != x[i - 1];
        ck_assert_int_eq(bars, n);
        ck_assert_int_eq(s.distinct, distinct);
        ck_assert(near(s.mean, mean, 1e-12) &&
                  near(s.std, sqrt(m2 * (double)n / (double)(n - 1)), 1e-12));
        ck_assert(near(s.skewness, m3 / pow(m2, 1.5), 1e-9));
        for (int q = 0; q < LATHE_STATS_QUANTILES; q++) {
            double h = lathe_stats_levels[q] * (double)(n - 1);
            int64_t k = (int64_t)h;
            ck_assert(near(s.quantiles[q],
                           x[k] + (h - (double)k) * (x[k + 1 < n ? k + 1 : k] - x[k]), 1e-12));
        }
        free(x);
    }
}
END_TEST

/* Over a million values: the promised bounds of sample and estimate hold. */
START_TEST(large_column) {
    enum { N = 1500000 };
    double *x = malloc(N * sizeof *x);
    for (int64_t i = 0; i < N; i++)
        x[i] = (double)((i * 7919) % 600000) / 600000; /* uniform, 600 000 distinct */
    lathe_numeric_stats s = numeric(x, N), again;
    lathe_pool *pool = lathe_pool_new(3);
    lathe_column c = {"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0};
    ok(lathe_stats_numeric(pool, &c, N, &again, &err));
    lathe_pool_free(pool);
    ck_assert(s.sum == again.sum && s.mean == again.mean && s.std == again.std &&
              s.skewness == again.skewness && s.kurtosis == again.kurtosis &&
              s.distinct == again.distinct);
    ck_assert_int_eq(memcmp(s.quantiles, again.quantiles, sizeof s.quantiles), 0);
    ck_assert_int_eq(memcmp(s.bars, again.bars, sizeof s.bars), 0);
    for (int q = 0; q < LATHE_STATS_QUANTILES; q++)
        ck_assert(fabs(s.quantiles[q] - lathe_stats_levels[q]) < 0.002);
    ck_assert(!s.distinct_exact && fabs((double)s.distinct - 600000) < 600000 * 0.032);
    ck_assert(near(s.mean, 0.5, 1e-5));
    for (int64_t i = 0; i < N; i++)
        x[i] = (double)(i % 5);
    s = numeric(x, N);
    ck_assert_int_eq(s.distinct, 5);
    ck_assert(fabs((double)s.top_count - N / 5) < 2000);
    free(x);
}
END_TEST

START_TEST(texts_closed_form) {
    lathe_str dict[] = {lathe_str_of("a"), lathe_str_of("bb"), lathe_str_of(""),
                        lathe_str_of("never")};
    int32_t codes[] = {0, 1, 1, 2, -1, -2, 0, 1};
    lathe_str texts[8];
    for (int i = 0; i < 8; i++)
        texts[i] = codes[i] >= 0 ? dict[codes[i]] : (lathe_str){NULL, 0};
    lathe_column c[2] = {{"c", LATHE_COLUMN_CATEGORY, 0, codes, dict, 4},
                         {"s", LATHE_COLUMN_STRING, 0, texts, NULL, 0}};
    for (int k = 0; k < 2; k++) {
        lathe_text_stats s;
        ok(lathe_stats_text(&c[k], 8, &s, &err));
        ck_assert(s.n == 8 && s.missing == 2 - (k == 0) && s.unseen == (k == 0) && s.empty == 1);
        ck_assert(s.distinct == 3 && s.n_top == 3 && s.min_len == 0 && s.max_len == 2);
        ck_assert(near(s.mean_len, 8.0 / 6, 1e-15));
        ck_assert(near(s.entropy, 0.5 + log2(3) / 3 + log2(6) / 6, 1e-12));
        ck_assert(s.top[0].count == 3 && lathe_str_equal(s.top[0].text, dict[1]));
        ck_assert(s.top[1].count == 2 && s.top[2].count == 1);
        ok(lathe_stats_text(&c[k], 0, &s, &err));
        ck_assert(s.distinct == 0 && s.n_top == 0 && s.entropy == 0);
    }
}
END_TEST

START_TEST(many_texts) {
    enum { N = 5000 };
    static char names[N][12];
    static lathe_str texts[N];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i % 300);
        texts[i] = lathe_str_of(names[i]);
    }
    lathe_column c = {"s", LATHE_COLUMN_STRING, 0, texts, NULL, 0};
    lathe_text_stats s;
    ok(lathe_stats_text(&c, N, &s, &err));
    ck_assert_int_eq(s.distinct, 300);
    ck_assert_int_eq(s.n_top, LATHE_STATS_TOP);
    ck_assert_int_eq(s.top[0].count, 17);
    ck_assert(
        lathe_str_equal(s.top[0].text, lathe_str_of("t0"))); /* ties by bytes: t0 t1 t10 t100 … */
    ck_assert(lathe_str_equal(s.top[2].text, lathe_str_of("t10")));
}
END_TEST

/* Anscombe's first set: r = 0.81642, published. Ranks with ties by hand. */
START_TEST(pairs_closed_form) {
    const double x[] = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
    const double y[] = {8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68};
    ck_assert(fabs(lathe_correlation(x, y, 11) - 0.81642051634484) < 1e-12);
    ck_assert(lathe_correlation(x, x, 11) == 1);
    const double holes[] = {1, NAN, 3, INFINITY, 5}, line[] = {-1, 7, -3, 8, -5};
    ck_assert(near(lathe_correlation(holes, line, 5), -1, 1e-15));
    ck_assert(isnan(lathe_correlation(x, x, 1)) && isnan(lathe_correlation(line, holes, 2)));
    const double ties[] = {3, 1, 3, 2, 3};
    double a[5], b[5], ranks[5];
    lathe_ranks(ties, 5, a, b, ranks);
    ck_assert(ranks[0] == 4 && ranks[1] == 1 && ranks[2] == 4 && ranks[3] == 2 && ranks[4] == 4);
    double v, eta;
    const int32_t g[] = {0, 0, 1, 1, -1, 2}, h[] = {1, 1, 0, 0, 0, -1};
    ok(lathe_cramers_v(g, 3, h, 2, 6, &v, &err));
    ck_assert(v == 1);
    /* 2 × 2 counts 10 20 / 30 5: chi2 = 65 (10·5 − 20·30)² / (30·35·40·25) */
    int32_t p[65], q[65];
    for (int i = 0; i < 65; i++) {
        p[i] = i >= 30;
        q[i] = i < 30 ? i >= 10 : i >= 60;
    }
    ok(lathe_cramers_v(p, 2, q, 2, 65, &v, &err));
    ck_assert(near(v, sqrt(550.0 * 550 / (30.0 * 35 * 40 * 25)), 1e-12));
    ok(lathe_cramers_v(g, 3, h, 2, 1, &v, &err));
    ck_assert(isnan(v));
    ok(lathe_cramers_v(p, INT32_MAX, q, INT32_MAX, 65, &v, &err));
    ck_assert(isnan(v));
    /* Students by subject: algebra 45 70 29 15 21, geometry 40 20 30 42, statistics 65 95 80 70 85
     * 73: 0.8386 */
    const double score[] = {45, 70, 29, 15, 21, 40, 20, 30, 42, 65, 95, 80, 70, 85, 73};
    const int32_t subject[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
    ok(lathe_correlation_ratio(subject, 3, score, 15, &eta, &err));
    ck_assert(near(eta, sqrt(6780.0 / 9640.0), 1e-12));
    ok(lathe_correlation_ratio(subject, 3, score, 0, &eta, &err));
    ck_assert(isnan(eta));
}
END_TEST

START_TEST(repeated_rows) {
    double x[] = {1, 1, NAN, NAN, 0, -0.0, 1};
    lathe_str s[] = {{"a", 1}, {"a", 1}, {NULL, 0}, {NULL, 0}, {"", 0}, {"", 0}, {"b", 1}};
    lathe_column c[] = {{"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0},
                        {"s", LATHE_COLUMN_STRING, 0, s, NULL, 0}};
    lathe_table t = {7, 2, c};
    int64_t n;
    ok(lathe_duplicate_rows(NULL, &t, &n, &err));
    ck_assert_int_eq(n, 3);
    s[5].ptr = NULL; /* missing is not empty */
    ok(lathe_duplicate_rows(NULL, &t, &n, &err));
    ck_assert_int_eq(n, 2);
    t.n_rows = 0;
    ok(lathe_duplicate_rows(NULL, &t, &n, &err));
    ck_assert_int_eq(n, 0);
}
END_TEST

/* ---- the profile ---- */

enum { N = 2000 };
static double a[N], twice[N], constant[N], gone[N], skewed[N];
static int64_t ints[N], when[N];
static int32_t cls[N], city[N];
static lathe_str dict[3] = {{"no", 2}, {"yes", 3}, {"\xffz", 2}}, ids[N];
static char id_text[N][8];
static lathe_column columns[] = {{"a", LATHE_COLUMN_FLOAT64, 0, a, NULL, 0},
                                 {"twice", LATHE_COLUMN_FLOAT64, 0, twice, NULL, 0},
                                 {"constant", LATHE_COLUMN_FLOAT64, 0, constant, NULL, 0},
                                 {"gone", LATHE_COLUMN_FLOAT64, 0, gone, NULL, 0},
                                 {"skewed", LATHE_COLUMN_FLOAT64, 0, skewed, NULL, 0},
                                 {"ints", LATHE_COLUMN_INT64, 0, ints, NULL, 0},
                                 {"when", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0},
                                 {"class", LATHE_COLUMN_CATEGORY, 0, cls, dict, 2},
                                 {"city", LATHE_COLUMN_CATEGORY, 0, city, dict, 3},
                                 {"id", LATHE_COLUMN_STRING, 0, ids, NULL, 0}};
static lathe_table table = {N, 10, columns};

static void fill(void) {
    for (int i = 0; i < N; i++) {
        float z;
        lathe_rng_normal_f32(9, (uint64_t)i, &z, 1);
        a[i] = i % 10 == 0 ? (double)NAN : (double)z;
        twice[i] = 2 * a[i] + 1;
        constant[i] = 4;
        gone[i] = i % 3 == 0 ? 1.5 : (double)NAN;
        skewed[i] = i % 400 == 0 ? 1e6 : i % 2 ? 0 : (double)z;
        ints[i] = i % 3;
        when[i] = (int64_t)i * INT64_C(86400000000);
        cls[i] = i % 20 == 0;
        city[i] = cls[i] ? 2 : i % 2;
        snprintf(id_text[i], sizeof id_text[i], "%d", i);
        ids[i] = lathe_str_of(id_text[i]);
    }
}

static cJSON *profile(lathe_pool *pool, const char *target) {
    cJSON *p;
    ok(lathe_profile_table(pool, &table, target, &p, &err));
    return p;
}

static double number(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    ck_assert_msg(item != NULL, "%s", key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static const cJSON *get(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    ck_assert_msg(item != NULL, "%s", key);
    return item;
}

static bool alerted(const cJSON *root, const char *kind, const char *column) {
    const cJSON *item;
    cJSON_ArrayForEach(item, get(root, "alerts")) {
        const cJSON *c = get(item, "column");
        if (strcmp(get(item, "kind")->valuestring, kind) == 0 &&
            (column == NULL ? cJSON_IsNull(c)
                            : cJSON_IsString(c) && strcmp(c->valuestring, column) == 0))
            return true;
    }
    return false;
}

START_TEST(profile_of_a_table) {
    fill();
    cJSON *p = profile(NULL, "class");
    ck_assert(number(p, "rows") == N && number(p, "columns") == 10 &&
              number(p, "duplicate_rows") == 0);
    ck_assert(number(p, "missing_cells") == 200 * 2 + N - 667);
    const cJSON *features = get(p, "features"), *f = cJSON_GetArrayItem(features, 0);
    ck_assert_int_eq(cJSON_GetArraySize(features), 10);
    ck_assert_str_eq(get(f, "type")->valuestring, "float64");
    ck_assert(number(f, "missing") == 200 && number(f, "count") == 1800);
    ck_assert(fabs(number(f, "mean")) < 0.1 && fabs(number(f, "std") - 1) < 0.05);
    ck_assert(number(get(f, "quantiles"), "0.5") == number(get(f, "quantiles"), "0.5"));
    ck_assert_int_gt(cJSON_GetArraySize(get(get(f, "histogram"), "counts")), 9);
    ck_assert_str_eq(get(get(f, "with_target"), "measure")->valuestring, "correlation_ratio");
    f = cJSON_GetArrayItem(features, 6);
    ck_assert_str_eq(get(f, "min")->valuestring, "1970-01-01");
    ck_assert_ptr_null(cJSON_GetObjectItemCaseSensitive(f, "std"));
    f = cJSON_GetArrayItem(features, 7);
    ck_assert_str_eq(get(f, "role")->valuestring, "target");
    ck_assert_ptr_null(cJSON_GetObjectItemCaseSensitive(f, "with_target"));
    f = cJSON_GetArrayItem(features, 8);
    ck_assert(near(number(get(f, "with_target"), "value"), 1, 1e-12));
    ck_assert_str_eq(get(cJSON_GetArrayItem(get(f, "top"), 2), "value")->valuestring,
                     "\xef\xbf\xbdz");
    const cJSON *classes = get(get(p, "target_distribution"), "classes");
    ck_assert(number(cJSON_GetArrayItem(classes, 0), "share") == 0.95);
    const cJSON *c = get(p, "correlations");
    ck_assert_int_eq(cJSON_GetArraySize(get(c, "names")), 6);
    ck_assert(near(cJSON_GetArrayItem(cJSON_GetArrayItem(get(c, "pearson"), 0), 1)->valuedouble, 1,
                   1e-12));
    ck_assert(near(cJSON_GetArrayItem(cJSON_GetArrayItem(get(c, "spearman"), 1), 0)->valuedouble, 1,
                   1e-12));
    ck_assert(cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetArrayItem(get(c, "pearson"), 2), 2)));
    ck_assert(alerted(p, "constant", "constant") && alerted(p, "missing", "gone"));
    ck_assert(alerted(p, "skewed", "skewed") && alerted(p, "correlated", "twice"));
    ck_assert(alerted(p, "unique", "id") && alerted(p, "leak", "city"));
    ck_assert(alerted(p, "imbalanced_target", "class") && !alerted(p, "missing", "a"));
    ck_assert(!alerted(p, "duplicates", NULL));
    cJSON_Delete(p);
    p = profile(NULL, "a");
    f = get(p, "features");
    ck_assert_str_eq(get(get(cJSON_GetArrayItem(f, 1), "with_target"), "measure")->valuestring,
                     "pearson");
    ck_assert_str_eq(get(get(cJSON_GetArrayItem(f, 7), "with_target"), "measure")->valuestring,
                     "correlation_ratio");
    ck_assert(alerted(p, "leak", "twice"));
    ck_assert(fabs(number(get(p, "target_distribution"), "mean")) < 0.1);
    cJSON_Delete(p);
    p = profile(NULL, NULL);
    ck_assert(cJSON_IsNull(get(p, "target")) && cJSON_IsNull(get(p, "target_distribution")));
    cJSON_Delete(p);
    ck_assert_int_eq(lathe_profile_table(NULL, &table, "clas", &p, &err), LATHE_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "'class'"));
}
END_TEST

START_TEST(profile_bits_do_not_depend_on_threads) {
    fill();
    lathe_pool *pool = lathe_pool_new(3);
    cJSON *p = profile(NULL, "class"), *q = profile(pool, "class");
    lathe_buf x = {0}, y = {0};
    lathe_json_print(NULL, p, &x);
    lathe_json_print(NULL, q, &y);
    ck_assert_str_eq(lathe_buf_str(&x), lathe_buf_str(&y));
    lathe_buf_free(&x);
    lathe_buf_free(&y);
    cJSON_Delete(p);
    cJSON_Delete(q);
    lathe_pool_free(pool);
}
END_TEST

START_TEST(profile_of_little) {
    fill();
    table.n_rows = 0;
    cJSON *p = profile(NULL, "class");
    ck_assert_int_eq(cJSON_GetArraySize(get(p, "alerts")), 0);
    cJSON_Delete(p);
    table.n_rows = 1;
    cJSON_Delete(profile(NULL, "a"));
    lathe_table none = {5, 0, NULL};
    ok(lathe_profile_table(NULL, &none, NULL, &p, &err));
    ck_assert(number(p, "duplicate_rows") == 4);
    cJSON_Delete(p);
    columns[0].values = NULL;
    ck_assert_int_eq(lathe_profile_table(NULL, &table, NULL, &p, &err), LATHE_E_INVALID);
    columns[0].values = a;
    table.n_rows = N;
}
END_TEST

int main(void) {
    Suite *s = suite_create("profile");
    TCase *t = tcase_create("profile");
    tcase_add_test(t, moments_closed_form);
    tcase_add_test(t, large_offset);
    tcase_add_test(t, numbers_closed_form);
    tcase_add_test(t, numbers_naive_twin);
    tcase_add_test(t, large_column);
    tcase_add_test(t, texts_closed_form);
    tcase_add_test(t, many_texts);
    tcase_add_test(t, pairs_closed_form);
    tcase_add_test(t, repeated_rows);
    tcase_add_test(t, profile_of_a_table);
    tcase_add_test(t, profile_bits_do_not_depend_on_threads);
    tcase_add_test(t, profile_of_little);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
