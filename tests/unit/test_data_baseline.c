/* Baselines and windows: bins against closed forms and a naive twin, JSON, merging, bad rows. */
#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/baseline.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

static void ok(int32_t code) {
    ck_assert_msg(code == LATHE_OK, "%s: %s", err.where, err.message);
}

static lathe_str dict[] = {{"a", 1}, {"b", 1}, {"c", 1}};

/* x normal with NaN and infinities, k constant, d five values, c category, i integers, and two
 * unwatched. */
enum { N = 5000, COLUMNS = 7 };
static double x[N], k[N], d[N];
static int64_t ints[N], when[N];
static int32_t cat[N];
static lathe_str text[N];
static lathe_column columns[COLUMNS] = {{"x", LATHE_COLUMN_FLOAT64, 0, x, NULL, 0},
                                        {"when", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0},
                                        {"k", LATHE_COLUMN_FLOAT64, 0, k, NULL, 0},
                                        {"d", LATHE_COLUMN_FLOAT64, 0, d, NULL, 0},
                                        {"c", LATHE_COLUMN_CATEGORY, 0, cat, dict, 3},
                                        {"text", LATHE_COLUMN_STRING, 0, text, NULL, 0},
                                        {"i", LATHE_COLUMN_INT64, 0, ints, NULL, 0}};
static lathe_table table = {N, COLUMNS, columns};
enum { X = 0, K = 1, D = 2, C = 3, I = 4 };

static lathe_baseline *fit(void) {
    for (int i = 0; i < N; i++) {
        float z;
        lathe_rng_normal_f32(3, (uint64_t)i, &z, 1);
        x[i] = i % 50 == 0 ? (double)NAN : i % 501 == 1 ? (double)INFINITY : (double)z;
        if (i == 77)
            x[i] = -(double)INFINITY;
        k[i] = 5;
        d[i] = i % 5 * 10;
        cat[i] = i % 10 == 0  ? LATHE_CODE_MISSING
                 : i % 10 < 4 ? 0
                 : i % 10 < 9 ? 2
                              : LATHE_CODE_UNSEEN;
        ints[i] = i % 7 == 0 ? LATHE_MISSING_INT : i;
    }
    lathe_baseline *b;
    ok(lathe_baseline_fit(&table, &b, &err));
    return b;
}

static lathe_distribution side(const lathe_baseline *b, int64_t f, int32_t r) {
    lathe_distribution out;
    lathe_baseline_distribution(b, f, r, &out);
    return out;
}

START_TEST(features_and_shares) {
    lathe_baseline *b = fit();
    ck_assert_int_eq(lathe_baseline_features(b), 5);
    ck_assert_int_eq(lathe_baseline_rows(b), N);
    ck_assert_str_eq(lathe_baseline_name(b, I), "i");
    ck_assert_int_eq(lathe_baseline_find(b, "c"), C);
    ck_assert_int_eq(lathe_baseline_find(b, "text"), -1);
    ck_assert(lathe_baseline_categorical(b, C) && !lathe_baseline_categorical(b, X));
    for (int r = 0; r < 2; r++) {
        lathe_distribution q = side(b, X, r);
        ck_assert_int_eq(q.n_bins, r == 0 ? 20 : 256);
        ck_assert(q.missing == 100 && q.total == N - 100);
        for (int64_t i = 0; i < q.n_bins; i++) {
            /* equal shares, but for a few infinities at the ends */
            ck_assert(fabs(q.counts[i] - (double)N * 0.98 / (double)q.n_bins) < 14);
            ck_assert(q.lower[i] <= q.upper[i] && isfinite(q.lower[i]) && isfinite(q.upper[i]));
            if (i > 0)
                ck_assert(q.lower[i] > q.edges[i - 1] ||
                          (i == q.n_bins - 1 && q.lower[i] >= q.edges[i - 1]));
            if (i + 1 < q.n_bins)
                ck_assert(q.upper[i] <= q.edges[i]);
            if (i > 0 && i + 1 < q.n_bins)
                ck_assert(q.edges[i - 1] < q.edges[i]);
        }
    }
    lathe_baseline_free(b);
}
END_TEST

START_TEST(few_values_and_constants) {
    lathe_baseline *b = fit();
    lathe_distribution q = side(b, K, LATHE_BINS_COARSE);
    ck_assert_int_eq(q.n_bins, 3);
    ck_assert(q.counts[0] == 0 && q.counts[1] == N && q.counts[2] == 0);
    ck_assert(q.edges[0] < 5 && q.edges[1] > 5 && q.edges[1] < 5.001 && q.lower[1] == 5 &&
              isnan(q.lower[0]));
    q = side(b, D, LATHE_BINS_FINE);
    ck_assert_int_eq(q.n_bins, 7);
    for (int i = 1; i < 6; i++)
        ck_assert(q.counts[i] == N / 5 && q.lower[i] == (i - 1) * 10);
    ck_assert(q.edges[0] == -5 && q.edges[1] == 5 && q.edges[5] == 45);
    q = side(b, C, LATHE_BINS_FINE);
    ck_assert(q.categorical && q.n_bins == 4 && q.edges == NULL && q.lower == NULL);
    ck_assert(q.counts[0] == 1500 && q.counts[1] == 0 && q.counts[2] == 2500 &&
              q.counts[3] == 500 && q.missing == 500);
    lathe_baseline_free(b);
}
END_TEST

/* Nothing but missing values, nothing but infinities, no rows, one row, the largest doubles. */
START_TEST(degenerate_columns) {
    double v[3] = {NAN, NAN, NAN};
    lathe_column c = {"v", LATHE_COLUMN_FLOAT64, 0, v, NULL, 0};
    lathe_table t = {3, 1, &c};
    lathe_baseline *b;
    ok(lathe_baseline_fit(&t, &b, &err));
    lathe_distribution q = side(b, 0, 0);
    ck_assert(q.n_bins == 1 && q.total == 0 && q.missing == 3);
    lathe_window *w = lathe_window_new(b);
    v[0] = INFINITY, v[1] = 3;
    ok(lathe_window_add(w, &t, &err));
    lathe_window_distribution(w, 0, 1, &q);
    ck_assert(q.counts[0] == 2 && q.missing == 1 && q.lower[0] == 3 && q.upper[0] == 3);
    lathe_window_free(w);
    lathe_baseline_free(b);
    t.n_rows = 0;
    ok(lathe_baseline_fit(&t, &b, &err));
    ck_assert_int_eq(side(b, 0, 1).n_bins, 1);
    lathe_baseline_free(b);
    t.n_rows = 3;
    v[0] = -DBL_MAX, v[1] = DBL_MAX, v[2] = 5e-324;
    ok(lathe_baseline_fit(&t, &b, &err));
    q = side(b, 0, 1);
    ck_assert(q.n_bins == 3 && q.counts[0] == 1 && q.counts[1] == 1 && q.counts[2] == 1);
    for (int i = 0; i < 2; i++)
        ck_assert(isfinite(q.edges[i]));
    lathe_baseline_free(b);
}
END_TEST

static void same_side(const lathe_distribution *a, const lathe_distribution *b) {
    size_t n = (size_t)a->n_bins;
    ck_assert_int_eq(a->n_bins, b->n_bins);
    ck_assert_int_eq(memcmp(a->counts, b->counts, n * 8), 0);
    ck_assert(a->missing == b->missing && a->total == b->total);
    for (size_t i = 0; !a->categorical && i < n; i++) {
        ck_assert(a->lower[i] == b->lower[i] || (isnan(a->lower[i]) && isnan(b->lower[i])));
        ck_assert(a->upper[i] == b->upper[i] || (isnan(a->upper[i]) && isnan(b->upper[i])));
    }
}

/* Training rows, counted as a window, give the training side; in parts and merged, too. */
START_TEST(windows_count_alike) {
    lathe_baseline *b = fit();
    lathe_window *whole = lathe_window_new(b), *first = lathe_window_new(b),
                 *second = lathe_window_new(b);
    ok(lathe_window_add(whole, &table, &err));
    lathe_table part = {1234, COLUMNS, columns};
    ok(lathe_window_add(first, &part, &err));
    lathe_column shifted[COLUMNS];
    memcpy(shifted, columns, sizeof columns);
    for (int i = 0; i < COLUMNS; i++)
        shifted[i].values = (char *)columns[i].values + 1234 * lathe_value_size(columns[i].type);
    part = (lathe_table){N - 1234, COLUMNS, shifted};
    ok(lathe_window_add(second, &part, &err));
    ok(lathe_window_merge(first, second, &err));
    ck_assert_int_eq(lathe_window_rows(first), N);
    for (int f = 0; f < 5; f++) {
        for (int r = 0; r < 2; r++) {
            lathe_distribution p = side(b, f, r), q, m;
            lathe_window_distribution(whole, f, r, &q);
            lathe_window_distribution(first, f, r, &m);
            same_side(&p, &q);
            same_side(&p, &m);
            ck_assert_ptr_eq(p.edges, q.edges);
        }
    }
    lathe_window_reset(whole);
    ck_assert_int_eq(lathe_window_rows(whole), 0);
    lathe_window_number(whole, K, 6); /* a constant that changes is seen */
    lathe_window_number(whole, K, 4);
    lathe_window_code(whole, C, 77);
    lathe_window_row(whole);
    lathe_distribution q;
    lathe_window_distribution(whole, K, 0, &q);
    ck_assert(q.counts[0] == 1 && q.counts[1] == 0 && q.counts[2] == 1);
    lathe_window_distribution(whole, C, 0, &q);
    ck_assert(q.counts[3] == 1 && q.total == 1);
    lathe_window_free(whole);
    lathe_window_free(first);
    lathe_window_free(second);
    lathe_baseline_free(b);
}
END_TEST

/* Every bin against counting by the definition: (edges[b-1], edges[b]]. */
START_TEST(naive_twin) {
    lathe_baseline *b = fit();
    for (int r = 0; r < 2; r++) {
        lathe_distribution q = side(b, I, r);
        for (int64_t bin = 0; bin < q.n_bins; bin++) {
            double n = 0;
            for (int i = 0; i < N; i++) {
                double v = (double)ints[i];
                n += ints[i] != LATHE_MISSING_INT && (bin == 0 || v > q.edges[bin - 1]) &&
                     (bin == q.n_bins - 1 || v <= q.edges[bin]);
            }
            ck_assert(n == q.counts[bin]);
        }
    }
    lathe_baseline_free(b);
}
END_TEST

START_TEST(json_and_back) {
    lathe_baseline *b = fit(), *back;
    cJSON *json = lathe_baseline_to_json(b);
    lathe_buf text_form = {0};
    lathe_json_print(NULL, json,
                     &text_form); /* every bit of a number, unlike cJSON's own printer */
    cJSON_Delete(json);
    json = cJSON_Parse(lathe_buf_str(&text_form));
    ok(lathe_baseline_from_json(json, &back, &err));
    ck_assert_int_eq(lathe_baseline_rows(back), N);
    for (int f = 0; f < 5; f++) {
        for (int r = 0; r < 2; r++) {
            lathe_distribution p = side(b, f, r), q = side(back, f, r);
            same_side(&p, &q);
            if (!p.categorical)
                ck_assert_int_eq(memcmp(p.edges, q.edges, (size_t)(p.n_bins - 1) * 8), 0);
        }
    }
    lathe_window *w = lathe_window_new(b), *v = lathe_window_new(back);
    ok(lathe_window_add(v, &table, &err));
    ok(lathe_window_merge(w, v, &err));
    lathe_window_free(w);
    lathe_window_free(v);
    cJSON_Delete(json);
    lathe_baseline_free(back);
    lathe_baseline_free(b);
    lathe_buf_free(&text_form);
}
END_TEST

START_TEST(broken_json) {
#define GRID(edges, counts, lower)                                                                 \
    "{\"edges\":" edges ",\"counts\":" counts ",\"lower\":" lower ",\"upper\":[1,2]}"
#define GOOD GRID("[1]", "[1,2]", "[1,null]")
#define ROOT(features) "{\"rows\":3,\"features\":[" features "]}"
#define NUM(coarse, fine)                                                                          \
    "{\"name\":\"x\",\"type\":\"numeric\",\"missing\":0,\"coarse\":" coarse ",\"fine\":" fine "}"
#define CAT(counts) "{\"name\":\"c\",\"type\":\"category\",\"missing\":0,\"counts\":" counts "}"
    static const char *const broken[] = {
        "[]",
        "{}",
        "{\"rows\":-1,\"features\":[]}",
        "{\"rows\":1,\"features\":{}}",
        ROOT("3"),
        ROOT("{}"),
        ROOT(NUM(GOOD, "{}")),
        ROOT(NUM("[]", GOOD)),
        ROOT(NUM(GRID("[1,2]", "[1,2]", "[1,2]"), GOOD)),
        ROOT(NUM(GRID("[\"1\"]", "[1,2]", "[1,2]"), GOOD)),
        ROOT(NUM(GRID("[1]", "[1,-2]", "[1,2]"), GOOD)),
        ROOT(NUM(GRID("[1]", "[1,2]", "[1]"), GOOD)),
        ROOT(NUM(GRID("[1]", "[1,2]", "[1,\"inf\"]"), GOOD)),
        ROOT(NUM(GRID("[]", "[]", "[]"), GOOD)),
        ROOT(CAT("[]")),
        ROOT(CAT("[null]")),
        ROOT(CAT("{}")),
        ROOT(CAT("[1]") "," CAT("[1]")),
        ROOT("{\"name\":\"c\",\"type\":\"words\",\"missing\":0,\"counts\":[1]}"),
        ROOT("{\"name\":\"c\",\"type\":\"category\",\"missing\":null,\"counts\":[1]}"),
    };
    lathe_baseline *b;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        cJSON *json = cJSON_Parse(broken[i]);
        ck_assert_ptr_nonnull(json);
        ck_assert_msg(lathe_baseline_from_json(json, &b, &err) == LATHE_E_CORRUPT, "%s", broken[i]);
        ck_assert_ptr_null(b);
        cJSON_Delete(json);
    }
    cJSON *json = cJSON_Parse(ROOT(NUM(GOOD, GOOD) "," CAT("[1,2]")));
    ok(lathe_baseline_from_json(json, &b, &err));
    lathe_baseline_free(b);
    cJSON_Delete(json);
    ck_assert_int_eq(lathe_baseline_from_json(NULL, &b, NULL), LATHE_E_CORRUPT);
}
END_TEST

START_TEST(rows_that_do_not_fit) {
    lathe_baseline *b = fit();
    lathe_window *w = lathe_window_new(b);
    lathe_column c[COLUMNS];
    lathe_table t = {N, COLUMNS, c};
    memcpy(c, columns, sizeof c);
    c[6].name = "j";
    ck_assert_int_eq(lathe_window_add(w, &t, &err), LATHE_E_NOT_FOUND);
    memcpy(c, columns, sizeof c);
    c[0].type = LATHE_COLUMN_TIMESTAMP;
    ck_assert_int_eq(lathe_window_add(w, &t, &err), LATHE_E_SHAPE);
    memcpy(c, columns, sizeof c);
    c[4].dict_size = 2;
    ck_assert_int_eq(lathe_window_add(w, &t, &err), LATHE_E_SHAPE);
    ck_assert_str_eq(err.where, "c");
    ck_assert_int_eq(lathe_window_rows(w), 0);
    lathe_distribution q;
    lathe_window_distribution(w, X, 0, &q);
    ck_assert(q.total == 0); /* nothing was counted */
    lathe_table one = {N, 1, columns};
    lathe_baseline *other;
    ok(lathe_baseline_fit(&one, &other, &err));
    lathe_window *v = lathe_window_new(other);
    ck_assert_int_eq(lathe_window_merge(w, v, &err), LATHE_E_SHAPE);
    lathe_window_free(v);
    lathe_baseline_free(other);
    lathe_window_free(w);
    lathe_window_free(NULL);
    lathe_baseline_free(b);
    lathe_baseline_free(NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("baseline");
    TCase *t = tcase_create("baseline");
    tcase_add_test(t, features_and_shares);
    tcase_add_test(t, few_values_and_constants);
    tcase_add_test(t, degenerate_columns);
    tcase_add_test(t, windows_count_alike);
    tcase_add_test(t, naive_twin);
    tcase_add_test(t, json_and_back);
    tcase_add_test(t, broken_json);
    tcase_add_test(t, rows_that_do_not_fit);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
