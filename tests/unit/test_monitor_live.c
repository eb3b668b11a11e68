/* Statistics of served rows: the bins of a window, counted by the slower way, from regions of several writers. */
#include "base/rng.h"
#include "data/memory.h"
#include "monitor/live.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

enum { TRAINED = 4000, SERVED = 3000, COLUMNS = 6 };
static lathe_str dict[] = {{"a", 1}, {"b", 1}, {"c", 1}};

/* Columns x normal, k constant, few values, integers, a category, and one that nobody watches. */
typedef struct rows {
    double x[TRAINED], k[TRAINED], few[TRAINED];
    int64_t whole[TRAINED], when[TRAINED];
    int32_t category[TRAINED];
    lathe_column columns[COLUMNS];
    lathe_table table;
} rows;

static void fill(rows *r, int64_t n, uint64_t key, double shift) {
    for (int64_t i = 0; i < n; i++) {
        float z;
        lathe_rng_normal_f32(key, (uint64_t)i, &z, 1);
        r->x[i] = i % 61 == 3 ? (double)NAN : (double)z * (1 + shift) + shift;
        if (shift > 0 && i % 500 == 9)
            r->x[i] = i % 1000 == 9 ? (double)INFINITY : -(double)INFINITY;
        r->k[i] = 5 + (i % 90 == 8 ? shift : 0);
        r->few[i] = (double)((i * 7 + (int64_t)key) % 9);
        r->whole[i] = i % 17 == 1 ? LATHE_MISSING_INT : (i * 31) % 1000 + (int64_t)(shift * 100);
        r->category[i] = i % 10 == 0  ? LATHE_CODE_MISSING
                         : i % 10 < 4 ? (int32_t)(i % 3)
                                      : (shift > 0 && i % 10 == 9 ? LATHE_CODE_UNSEEN : 1);
    }
    const lathe_column columns[COLUMNS] = {{"when", LATHE_COLUMN_TIMESTAMP, 0, r->when, NULL, 0},
                                           {"x", LATHE_COLUMN_FLOAT64, 0, r->x, NULL, 0},
                                           {"k", LATHE_COLUMN_FLOAT64, 0, r->k, NULL, 0},
                                           {"few", LATHE_COLUMN_FLOAT64, 0, r->few, NULL, 0},
                                           {"whole", LATHE_COLUMN_INT64, 0, r->whole, NULL, 0},
                                           {"c", LATHE_COLUMN_CATEGORY, 0, r->category, dict, 3}};
    memcpy(r->columns, columns, sizeof columns);
    r->table = (lathe_table){n, COLUMNS, r->columns};
}

static rows trained, served;
static lathe_baseline *baseline;
static lathe_live *live;
static void *regions[2];
static lathe_live_total *total;

static void setup(void) {
    fill(&trained, TRAINED, 1, 0);
    fill(&served, SERVED, 2, 0.5);
    ok(lathe_baseline_fit(&trained.table, &baseline, &err));
    ok(lathe_live_new(baseline, &served.table, 1 << 20, &live, &err));
    ck_assert_int_eq(lathe_live_features(live), 5);
    for (int i = 0; i < 2; i++)
        regions[i] = lathe_aligned_zeroed((int64_t)lathe_live_bytes(live), 1);
    total = lathe_live_total_new(live);
    ck_assert(regions[0] && regions[1] && total);
}

static void teardown(void) {
    lathe_live_total_free(total);
    free(regions[0]);
    free(regions[1]);
    lathe_live_free(live);
    lathe_baseline_free(baseline);
}

static void add_now(const lathe_live *layout, void *region, const lathe_table *rows, int64_t begin,
                    int64_t n) {
    lathe_live_waiting *waiting = lathe_live_waiting_new(layout, 0);
    lathe_live_add_later(waiting, region, rows, begin, n);
    lathe_live_flush(waiting, region);
    lathe_live_waiting_free(waiting);
}

/* Rows [begin, end) by turns in requests of 1, 2, 3 … 40 rows into the two regions: at once into one of them, later into the
 * other. */
static void serve(int64_t begin, int64_t end) {
    lathe_live_waiting *waiting = lathe_live_waiting_new(live, LATHE_LIVE_WAITING);
    for (int64_t i = begin, n = 1; i < end; i += n, n = n % 40 + 1) {
        n = n < end - i ? n : end - i;
        if (n % 3 == 0)
            add_now(live, regions[0], &served.table, i, n);
        else
            lathe_live_add_later(waiting, regions[1], &served.table, i, n);
    }
    lathe_live_flush(waiting, regions[1]);
    lathe_live_flush(waiting, regions[1]);
    lathe_live_waiting_free(waiting);
}

static void sum(void) {
    lathe_live_total_clear(total);
    for (int i = 0; i < 2; i++)
        lathe_live_sum(regions[i], total);
}

/* The counts of [begin, end) as a window has them. */
static void expect_window(const lathe_live_total *before, int64_t begin, int64_t end) {
    lathe_window *want = lathe_window_new(baseline), *got = lathe_window_new(baseline);
    lathe_column shifted[COLUMNS];
    memcpy(shifted, served.columns, sizeof shifted);
    for (int c = 0; c < COLUMNS; c++)
        shifted[c].values = (char *)shifted[c].values + begin * lathe_value_size(shifted[c].type);
    const lathe_table part = {end - begin, COLUMNS, shifted};
    ok(lathe_window_add(want, &part, &err));
    lathe_live_window(total, before, got);
    ck_assert_int_eq(lathe_window_rows(got), end - begin);
    for (int64_t f = 0; f < lathe_baseline_features(baseline); f++)
        for (int32_t r = 0; r < 2; r++) {
            lathe_distribution a, b;
            lathe_window_distribution(want, f, r, &a);
            lathe_window_distribution(got, f, r, &b);
            ck_assert_int_eq(a.n_bins, b.n_bins);
            ck_assert_mem_eq(a.counts, b.counts, (size_t)a.n_bins * sizeof(double));
            ck_assert(a.missing == b.missing && a.total == b.total);
            for (int64_t k = 0; !a.categorical && k < a.n_bins; k++) {
                /* every value lies between the bounds, which are finite where there are any */
                ck_assert(isnan(a.lower[k]) == isnan(b.lower[k]));
                ck_assert(a.counts[k] == 0 || (isfinite(b.lower[k]) && isfinite(b.upper[k])));
                ck_assert(!(b.lower[k] > a.lower[k]) && !(b.upper[k] < a.upper[k]));
            }
        }
    lathe_window_free(want);
    lathe_window_free(got);
}

START_TEST(bins_are_those_of_a_window) {
    serve(0, SERVED);
    sum();
    ck_assert_int_eq(lathe_live_total_rows(total), SERVED);
    expect_window(NULL, 0, SERVED);
}
END_TEST

START_TEST(window_between_two_sums) {
    lathe_live_total *before = lathe_live_total_new(live);
    serve(0, 1700);
    sum();
    expect_window(NULL, 0, 1700);
    lathe_live_total_copy(before, total);
    serve(1700, SERVED);
    sum();
    expect_window(before, 1700, SERVED);
    lathe_live_total_free(before);
}
END_TEST

START_TEST(moments_and_outsiders) {
    double n = 0, mean = 0, squares = 0, low = (double)INFINITY, high = -low, below = 0, above = 0;
    double trained_low = low, trained_high = high, infinite = 0;
    for (int i = 0; i < TRAINED; i++) {
        trained_low = trained.x[i] < trained_low ? trained.x[i] : trained_low;
        trained_high = trained.x[i] > trained_high ? trained.x[i] : trained_high;
    }
    for (int i = 0; i < SERVED; i++) {
        const double v = served.x[i];
        below += v < trained_low;
        above += v > trained_high;
        infinite += isinf(v) != 0;
        if (!isfinite(v))
            continue;
        n++;
        mean += (v - mean) / n;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    for (int i = 0; i < SERVED; i++)
        squares += isfinite(served.x[i]) ? (served.x[i] - mean) * (served.x[i] - mean) : 0;
    serve(0, SERVED);
    sum();
    lathe_live_feature f;
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "x"), LATHE_BINS_FINE, &f);
    ck_assert(f.present == n + infinite && f.missing == SERVED - n - infinite && infinite > 0);
    ck_assert_double_eq_tol(f.mean, mean, 1e-12);
    ck_assert_double_eq_tol(f.deviation, sqrt(squares / n), 1e-12);
    ck_assert(f.smallest == low && f.largest == high);
    ck_assert(f.below == below && f.above == above && below > 0 && above > 0);
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "k"), LATHE_BINS_COARSE, &f);
    ck_assert(f.above == 34 && f.below == 0 && f.counts[f.n_bins - 1] == 34);
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "c"), LATHE_BINS_COARSE, &f);
    ck_assert(f.missing == SERVED / 10 && f.unseen == SERVED / 10 && isnan(f.mean));
    ck_assert(f.counts[1] == 1800 && f.n_bins == 4);
}
END_TEST

/* A number's bin is found as by looking at each edge, at the edges themselves and beside them. */
START_TEST(bins_at_their_edges) {
    const int64_t f = lathe_baseline_find(baseline, "x");
    for (int32_t r = 0; r < 2; r++) {
        lathe_distribution d;
        lathe_baseline_distribution(baseline, f, r, &d);
        for (int64_t e = 0; e < d.n_bins - 1; e++)
            for (int side = -1; side <= 1; side++) {
                lathe_live_feature got;
                served.x[0] =
                    side == 0 ? d.edges[e] : nextafter(d.edges[e], side < 0 ? -HUGE_VAL : HUGE_VAL);
                memset(regions[0], 0, lathe_live_bytes(live));
                add_now(live, regions[0], &served.table, 0, 1);
                sum();
                lathe_live_describe(total, NULL, f, r, &got);
                int64_t bin = 0;
                while (bin < d.n_bins - 1 && d.edges[bin] < served.x[0])
                    bin++;
                ck_assert_msg(got.counts[bin] == 1, "edge %lld, side %d", (long long)e, side);
            }
    }
}
END_TEST

/* Edges that are equal as float32, and beyond float32's range. */
START_TEST(bins_finer_than_float32) {
    for (int i = 0; i < TRAINED; i++)
        trained.x[i] = i % 2 == 0 ? 1 + i * 1e-12 : (i - 2000) * 1e300;
    lathe_baseline *fine;
    lathe_live *other;
    ok(lathe_baseline_fit(&trained.table, &fine, &err));
    ok(lathe_live_new(fine, &trained.table, 1 << 20, &other, &err));
    lathe_live_total *sums = lathe_live_total_new(other);
    void *region = lathe_aligned_zeroed((int64_t)lathe_live_bytes(other), 1);
    lathe_window *want = lathe_window_new(fine);
    add_now(other, region, &trained.table, 0, TRAINED);
    lathe_live_sum(region, sums);
    ok(lathe_window_add(want, &trained.table, &err));
    for (int32_t r = 0; r < 2; r++) {
        lathe_distribution d;
        lathe_live_feature f;
        lathe_window_distribution(want, lathe_baseline_find(fine, "x"), r, &d);
        lathe_live_describe(sums, NULL, lathe_baseline_find(fine, "x"), r, &f);
        ck_assert_int_eq(f.n_bins, d.n_bins);
        ck_assert_mem_eq(f.counts, d.counts, (size_t)d.n_bins * sizeof(double));
    }
    lathe_window_free(want);
    free(region);
    lathe_live_total_free(sums);
    lathe_live_free(other);
    lathe_baseline_free(fine);
}
END_TEST

/* More rows than 16 bits hold between two flushes, in one bin each: by rows that wait, and at once. */
START_TEST(more_rows_than_16_bits_hold) {
    enum { ROUNDS = 50 };
    lathe_live_waiting *waiting = lathe_live_waiting_new(live, LATHE_LIVE_WAITING);
    lathe_live_feature f;
    for (int i = 0; i < SERVED; i++) {
        served.few[i] = 4;
        served.category[i] = 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        lathe_live_add_later(waiting, regions[0], &served.table, 0, SERVED - 100);
        for (int64_t i = SERVED - 100; i < SERVED; i += 20)
            lathe_live_add_later(waiting, regions[0], &served.table, i, 20);
    }
    ck_assert_int_gt(lathe_live_region_rows(regions[0]), 0); /* some had to go there */
    lathe_live_flush(waiting, regions[0]);
    lathe_live_waiting_free(waiting);
    sum();
    ck_assert_int_eq(lathe_live_total_rows(total), ROUNDS * SERVED);
    for (int64_t i = 0; i < lathe_live_features(live); i++) {
        lathe_live_describe(total, NULL, i, LATHE_BINS_COARSE, &f);
        ck_assert(f.present + f.missing == ROUNDS * SERVED);
    }
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "few"), LATHE_BINS_FINE, &f);
    ck_assert(f.counts[5] == ROUNDS * SERVED && f.mean == 4 && f.deviation == 0);
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "c"), LATHE_BINS_COARSE, &f);
    ck_assert(f.counts[1] == ROUNDS * SERVED);
}
END_TEST

/* Rows of numbers alone are taken from one piece, or from their columns: the same counts, and only those that are kept. */
START_TEST(rows_in_one_piece) {
    lathe_baseline *numbers;
    lathe_live *layout;
    const lathe_table table = {SERVED, 3, served.columns + 1}; /* x, k, few */
    const lathe_table before = {TRAINED, 3, trained.columns + 1};
    const void *values[] = {served.x, served.k, served.few};
    ok(lathe_baseline_fit(&before, &numbers, &err));
    ok(lathe_live_new(numbers, &table, 1 << 20, &layout, &err));
    void *there[2];
    for (int k = 0; k < 2; k++) {
        lathe_live_waiting *waiting = lathe_live_waiting_new(layout, 100);
        there[k] = lathe_aligned_zeroed((int64_t)lathe_live_bytes(layout), 1);
        for (int64_t i = 0; i < SERVED; i++) {
            _Alignas(32) const double flat[] = {served.x[i], served.k[i], served.few[i], 0};
            const double *taken = lathe_live_take(waiting, k == 0 ? flat : NULL, values, i);
            ck_assert_mem_eq(taken, flat, sizeof flat);
            if (i % 3 > 0)
                lathe_live_keep(waiting, there[k]);
        }
        lathe_live_flush(waiting, there[k]);
        ck_assert_int_eq(lathe_live_region_rows(there[k]), SERVED / 3 * 2);
        lathe_live_waiting_free(waiting);
    }
    ck_assert_mem_eq(there[0], there[1], lathe_live_bytes(layout));
    free(there[0]);
    free(there[1]);
    lathe_live_free(layout);
    lathe_baseline_free(numbers);
}
END_TEST

START_TEST(what_does_not_fit_is_left_out) {
    lathe_live *small;
    lathe_column renamed[COLUMNS];
    ok(lathe_live_new(baseline, &served.table, 64, &small, &err));
    ck_assert_int_eq(lathe_live_features(small), 0);
    add_now(small, regions[0], &served.table, 0, 9);
    lathe_live_free(small);
    /* a column that is not there, and one of another kind */
    memcpy(renamed, served.columns, sizeof renamed);
    renamed[1].name = "y";
    renamed[5].dict_size = 2;
    const lathe_table other = {SERVED, COLUMNS, renamed};
    ok(lathe_live_new(baseline, &other, 1 << 20, &small, &err));
    ck_assert_uint_eq(lathe_live_bytes(small), lathe_live_bytes(live));
    memset(regions[0], 0, lathe_live_bytes(live));
    add_now(small, regions[0], &other, 0, SERVED);
    sum();
    lathe_live_feature f;
    for (int i = 0; i < 2; i++) {
        lathe_live_describe(total, NULL, lathe_baseline_find(baseline, i ? "c" : "x"), 0, &f);
        ck_assert(f.present == 0 && f.missing == 0);
    }
    lathe_live_describe(total, NULL, lathe_baseline_find(baseline, "few"), 0, &f);
    ck_assert(f.present == SERVED);
    lathe_live_free(small);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("live");
    TCase *c = tcase_create("live");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, bins_are_those_of_a_window);
    tcase_add_test(c, window_between_two_sums);
    tcase_add_test(c, moments_and_outsiders);
    tcase_add_test(c, bins_at_their_edges);
    tcase_add_test(c, bins_finer_than_float32);
    tcase_add_test(c, more_rows_than_16_bits_hold);
    tcase_add_test(c, rows_in_one_piece);
    tcase_add_test(c, what_does_not_fit_is_left_out);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
