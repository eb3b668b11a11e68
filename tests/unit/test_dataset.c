/* Datasets: matrix, bins against naive twins, views, derived datasets, errors, threads. */
#include "base/rng.h"
#include "data/bins.h"
#include "data/dataset.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const lathe_datasets *ds(void) {
    return lathe_datasets_service();
}

/* A matrix of 5 features: normal with NaN, few values, constant, 300 categories with NaN and
 * unseen, 3 categories. */
enum { F = 5 };
static const lathe_feature features[F] = {{"a", LATHE_FEATURE_NUMERIC, 0},
                                          {"b", LATHE_FEATURE_NUMERIC, 0},
                                          {"c", LATHE_FEATURE_NUMERIC, 0},
                                          {"d", LATHE_FEATURE_CATEGORY, 300},
                                          {"e", LATHE_FEATURE_CATEGORY, 3}};

static float *some_matrix(int64_t n, uint64_t key) {
    float *x = malloc((size_t)(n > 0 ? n : 1) * F * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        uint64_t u[4];
        lathe_rng_u64(key, (uint64_t)i * 4, u, 4);
        lathe_rng_normal_f32(key, (uint64_t)i, &x[i * F], 1);
        if (u[0] % 10 == 0)
            x[i * F] = NAN;
        if (u[0] % 97 == 0)
            x[i * F] = u[0] & 1024 ? INFINITY : -INFINITY;
        x[i * F + 1] = (float)(u[1] % 7) * 0.5f;
        x[i * F + 2] = -3.25f;
        uint64_t c = u[2] % 330 * (u[3] % 330) / 330; /* low codes are more frequent */
        x[i * F + 3] = c < 300 ? (float)c : c < 315 ? NAN : -1.0f;
        x[i * F + 4] = (float)(u[3] % 3);
    }
    return x;
}

static lathe_dataset *some_dataset(lathe_pool *pool, int64_t n, float **matrix) {
    float *x = some_matrix(n, 11), *y = malloc((size_t)(n > 0 ? n : 1) * 4);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(i % 2);
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_BINARY,
                               .n_rows = n,
                               .n_features = F,
                               .n_classes = 2,
                               .features = features,
                               .matrix = x,
                               .stride = F,
                               .target = y};
    lathe_dataset *d;
    lathe_error err = {0};
    ck_assert_msg(lathe_dataset_make(pool, &spec, &d, &err) == LATHE_OK, "%s", err.message);
    free(y);
    if (matrix != NULL)
        *matrix = x;
    else
        free(x);
    return d;
}

/* What lathe/dataset.h says, value by value. */
static int32_t naive_bin(const lathe_bin_feature *f, float x) {
    if (x != x)
        return f->missing_bin;
    if (f->type == LATHE_FEATURE_NUMERIC) {
        int32_t below = 0;
        for (int32_t e = 0; e < f->n_edges; e++)
            below += f->edges[e] < x;
        return below;
    }
    for (int32_t b = 0; b < f->n_codes; b++) {
        if (f->codes[b] == (int32_t)x)
            return b;
    }
    return f->n_codes;
}

static void check_encoding(const lathe_bins *b, const float *x, int64_t stride) {
    for (int64_t f = 0; f < b->n_features; f++) {
        const lathe_bin_feature *feature = lathe_bin_feature_at(b, f);
        int64_t wrong = 0; /* counted: an assertion a cell would take long */
        for (int64_t i = 0; i < b->n_rows; i++) {
            int32_t want = naive_bin(feature, x[i * stride + f]);
            wrong += want < 0 || want >= feature->n_bins ||
                     b->rows[i * b->row_stride + f] != want ||
                     b->columns[f * b->column_stride + i] != want;
        }
        ck_assert_int_eq(wrong, 0);
    }
}

START_TEST(matrix_and_info) {
    float *x;
    lathe_dataset *d = some_dataset(NULL, 1000, &x);
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    ck_assert_int_eq(ds()->info(d, &info), LATHE_OK);
    ck_assert_int_eq(info.n_rows, 1000);
    ck_assert_int_eq(info.n_features, F);
    ck_assert_int_eq(info.n_classes, 2);
    ck_assert_uint_eq(info.flags, LATHE_DATA_HAS_MISSING | LATHE_DATA_HAS_CATEGORIES);
    ck_assert_str_eq(ds()->features(d)[3].name, "d");
    lathe_tensor t;
    ck_assert_int_eq(ds()->matrix(d, &t, NULL), LATHE_OK);
    ck_assert_int_eq(t.shape[1], F);
    ck_assert_int_eq(t.strides[0], 16);
    ck_assert_uint_eq((uintptr_t)t.data % 64, 0);
    for (int64_t i = 0; i < 1000; i++)
        ck_assert_int_eq(memcmp((float *)t.data + i * 16, x + i * F, F * 4), 0);
    ck_assert(ds()->weight(d) == NULL);
    ck_assert_int_eq(ds()->row_id(d)[999], 999);
    ck_assert(ds()->target(d)[3] == 1.0f);
    free(x);
    lathe_dataset_release(d);
}
END_TEST

START_TEST(bins_equal_the_twin) {
    static const int sizes[] = {0, 1, 2, 63, 500, 5000};
    static const int maxima[] = {2, 3, 16, 255};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float *x;
        lathe_dataset *d = some_dataset(NULL, sizes[s], &x);
        for (size_t m = 0; m < sizeof maxima / sizeof *maxima; m++) {
            const lathe_bins *b, *again, *rows;
            ck_assert_int_eq(ds()->row_bins(d, maxima[m], &rows, NULL), LATHE_OK);
            ck_assert_ptr_null(rows->columns);
            int64_t bytes = lathe_dataset_bytes(d);
            ck_assert_int_eq(ds()->bins(d, maxima[m], &b, NULL), LATHE_OK);
            ck_assert_ptr_eq(b->rows, rows->rows);
            ck_assert_int_eq(lathe_dataset_bytes(d) - bytes, F * b->column_stride);
            ck_assert_int_eq(ds()->bins(d, maxima[m], &again, NULL), LATHE_OK);
            ck_assert_ptr_eq(b, again);
            ck_assert_int_eq(b->max_bins, maxima[m]);
            check_encoding(b, x, F);
            const lathe_bin_feature *c = lathe_bin_feature_at(b, 2);
            ck_assert_int_eq(c->n_edges, 0);
            ck_assert_int_eq(c->n_bins, 1);
            for (int f = 0; f < F; f++) {
                const lathe_bin_feature *g = lathe_bin_feature_at(b, f);
                ck_assert_int_le(g->n_bins, maxima[m] + (g->missing_bin >= 0));
                ck_assert_int_lt(g->n_codes, maxima[m]);
                if (g->missing_bin >= 0)
                    ck_assert_int_eq(g->missing_bin, g->n_bins - 1);
            }
            if (sizes[s] == 5000 && maxima[m] == 255) {
                /* more categories than bins: a rare one shares the last bin with the unseen */
                c = lathe_bin_feature_at(b, 3);
                ck_assert_int_eq(c->n_codes, 254);
                ck_assert_int_eq(c->n_bins, 256);
                ck_assert_int_eq(lathe_bin_feature_at(b, 1)->n_edges, 6);
                ck_assert_int_eq(lathe_bin_feature_at(b, 4)->n_codes, 3);
                ck_assert_int_eq(lathe_bin_feature_at(b, 4)->missing_bin, -1);
            }
        }
        free(x);
        lathe_dataset_release(d);
    }
}
END_TEST

/* The same columns many times over, so that features are described in groups: each as it is alone. */
START_TEST(wide_sets_have_the_same_bins) {
    enum { TIMES = 15, WIDE = TIMES * F, N = 3000 };
    float *x, *wide = malloc((size_t)N * WIDE * sizeof *wide), *y = calloc(N, sizeof *y);
    lathe_dataset *narrow = some_dataset(NULL, N, &x), *d;
    lathe_feature many[WIDE];
    const lathe_bins *a, *b;
    lathe_error err = {0};
    ck_assert(wide && y);
    for (int j = 0; j < WIDE; j++)
        many[j] = features[j % F];
    for (int64_t i = 0; i < (int64_t)N * TIMES; i++)
        memcpy(wide + i * F, x + i / TIMES * F, F * sizeof *x);
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_REGRESSION,
                               .n_rows = N,
                               .n_features = WIDE,
                               .features = many,
                               .matrix = wide,
                               .stride = WIDE,
                               .target = y};
    ck_assert_msg(lathe_dataset_make(NULL, &spec, &d, &err) == LATHE_OK, "%s", err.message);
    ck_assert_int_eq(ds()->bins(narrow, 255, &a, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->bins(d, 255, &b, NULL), LATHE_OK);
    check_encoding(b, wide, WIDE);
    for (int j = 0; j < WIDE; j++) {
        const lathe_bin_feature *f = lathe_bin_feature_at(a, j % F);
        const lathe_bin_feature *g = lathe_bin_feature_at(b, j);
        ck_assert_int_eq(f->n_bins, g->n_bins);
        ck_assert_int_eq(f->n_edges, g->n_edges);
        ck_assert_int_eq(f->missing_bin, g->missing_bin);
        for (int e = 0; e < f->n_edges; e++)
            ck_assert(f->edges[e] == g->edges[e]);
    }
    lathe_dataset_release(d);
    lathe_dataset_release(narrow);
    free(x);
    free(wide);
    free(y);
}
END_TEST

START_TEST(views_share_edges) {
    float *x;
    lathe_dataset *d = some_dataset(NULL, 3000, &x), *v, *w;
    int32_t rows[500], inner[3] = {499, 0, 499};
    for (int i = 0; i < 500; i++)
        rows[i] = (i * 37) % 3000;
    ck_assert_int_eq(ds()->view(d, rows, 500, &v, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->view(v, inner, 3, &w, NULL), LATHE_OK);
    lathe_dataset_release(d); /* the views keep it */
    lathe_dataset_release(v);
    const lathe_bins *b;
    lathe_tensor t;
    ck_assert_int_eq(ds()->bins(w, 255, &b, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->matrix(w, &t, NULL), LATHE_OK);
    ck_assert_int_eq(b->n_rows, 3);
    ck_assert_int_eq(lathe_bin_feature_at(b, 1)->n_edges, 6); /* of all rows, not of three */
    check_encoding(b, t.data, t.strides[0]);
    for (int i = 0; i < 3; i++) {
        int32_t source = rows[inner[i]];
        ck_assert_int_eq(ds()->row_id(w)[i], source);
        ck_assert(ds()->target(w)[i] == (float)(source % 2));
        ck_assert_int_eq(memcmp((float *)t.data + i * t.strides[0], x + source * F, F * 4), 0);
    }
    ck_assert_str_eq(ds()->features(w)[0].name, "a");
    int32_t bad = 3;
    lathe_error err = {0};
    ck_assert_int_eq(ds()->view(w, &bad, 1, &v, &err), LATHE_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "row 3"));
    ck_assert_int_eq(ds()->view(w, NULL, 0, &v, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->bins(v, 7, &b, NULL), LATHE_OK);
    ck_assert_int_eq(b->n_rows, 0);
    lathe_dataset_release(v);
    lathe_dataset_release(w);
    free(x);
}
END_TEST

/* 1 and 3 threads: the same bytes, also where edges come from a sample. */
START_TEST(threads_change_no_bit) {
    enum { N = 230000 };
    float *x;
    lathe_pool *pool = lathe_pool_new(3);
    ck_assert_ptr_nonnull(pool);
    lathe_dataset *a = some_dataset(NULL, N, &x), *b = some_dataset(pool, N, NULL);
    const lathe_bins *ba, *bb;
    ck_assert_int_eq(ds()->bins(a, 255, &ba, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->bins(b, 255, &bb, NULL), LATHE_OK);
    ck_assert_int_eq(memcmp(ba->rows, bb->rows, (size_t)(N * ba->row_stride)), 0);
    for (int f = 0; f < F; f++) {
        const lathe_bin_feature *fa = lathe_bin_feature_at(ba, f),
                                *fb = lathe_bin_feature_at(bb, f);
        ck_assert_int_eq(fa->n_edges, fb->n_edges);
        if (fa->n_edges > 0)
            ck_assert_int_eq(memcmp(fa->edges, fb->edges, (size_t)fa->n_edges * 4), 0);
        ck_assert_int_eq(
            memcmp(ba->columns + f * ba->column_stride, bb->columns + f * bb->column_stride, N), 0);
    }
    check_encoding(ba, x, F);
    ck_assert_int_ge(lathe_bin_feature_at(ba, 0)->n_edges, 250);
    lathe_dataset_release(a);
    lathe_dataset_release(b);
    lathe_pool_free(pool);
    free(x);
}
END_TEST

/* ---- many threads ask at once ---- */

static atomic_int builds;

static int32_t build_copy(void *user, lathe_dataset **derived, lathe_error *err) {
    atomic_fetch_add(&builds, 1);
    lathe_tensor t;
    int32_t code = ds()->matrix(user, &t, err);
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_REGRESSION,
                               .n_rows = t.shape[0],
                               .n_features = F,
                               .features = features,
                               .matrix = t.data,
                               .stride = t.strides[0]};
    return code == LATHE_OK ? lathe_dataset_make(NULL, &spec, derived, err) : code;
}

typedef struct asker {
    lathe_dataset *data;
    lathe_dataset *view;
    const lathe_bins *bins[2];
    const lathe_dataset *derived;
    const void *matrix;
} asker;

static void *ask(void *user) {
    asker *a = user;
    lathe_tensor t;
    const lathe_bins *rows;
    int ok = ds()->row_bins(a->data, 255, &rows, NULL) == LATHE_OK &&
             ds()->bins(a->view, 63, &a->bins[1], NULL) == LATHE_OK &&
             ds()->bins(a->data, 255, &a->bins[0], NULL) == LATHE_OK &&
             ds()->derive(a->data, "copy", build_copy, a->data, &a->derived, NULL) == LATHE_OK &&
             ds()->matrix(a->view, &t, NULL) == LATHE_OK;
    a->matrix = ok ? t.data : NULL;
    return NULL;
}

static void check_askers(asker *a, int n) {
    for (int i = 0; i < n; i++) {
        ck_assert_ptr_nonnull(a[i].matrix);
        ck_assert_ptr_eq(a[i].matrix, a[0].matrix);
        ck_assert_ptr_eq(a[i].bins[0], a[0].bins[0]);
        ck_assert_ptr_eq(a[i].bins[1], a[0].bins[1]);
        ck_assert_ptr_eq(a[i].derived, a[0].derived);
    }
    ck_assert_int_eq(atomic_load(&builds), 1);
}

static lathe_dataset *half_view(lathe_dataset *d) {
    lathe_dataset *v;
    int32_t rows[2000];
    for (int i = 0; i < 2000; i++)
        rows[i] = 2 * i;
    ck_assert_int_eq(ds()->view(d, rows, 2000, &v, NULL), LATHE_OK);
    return v;
}

START_TEST(outside_threads_share_one) {
    lathe_pool *pool = lathe_pool_new(2);
    float *x;
    lathe_dataset *d = some_dataset(pool, 4000, &x), *v = half_view(d);
    asker askers[4];
    pthread_t threads[4];
    atomic_store(&builds, 0);
    for (int i = 0; i < 4; i++) {
        askers[i] = (asker){.data = d, .view = v};
        pthread_create(&threads[i], NULL, ask, &askers[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    check_askers(askers, 4);
    check_encoding(askers[0].bins[0], x, F);
    lathe_dataset_release(v);
    lathe_dataset_release(d);
    lathe_pool_free(pool);
    free(x);
}
END_TEST

static int32_t ask_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        ask((asker *)user + i);
    return LATHE_OK;
}

/* From inside the pool's own chunks: as a forest opens one context a worker. */
START_TEST(chunks_share_one) {
    lathe_pool *pool = lathe_pool_new(3);
    lathe_dataset *d = some_dataset(pool, 4000, NULL), *v = half_view(d);
    asker askers[8];
    atomic_store(&builds, 0);
    for (int i = 0; i < 8; i++)
        askers[i] = (asker){.data = d, .view = v};
    ck_assert_int_eq(lathe_pool_run(pool, 8, 1, ask_chunk, askers), LATHE_OK);
    check_askers(askers, 8);
    lathe_dataset_release(v);
    lathe_dataset_release(d);
    lathe_pool_free(pool);
}
END_TEST

/* ---- derive ---- */

static int32_t build_fails(void *user, lathe_dataset **derived, lathe_error *err) {
    (void)user, (void)derived, (void)err;
    atomic_fetch_add(&builds, 1);
    return LATHE_E_DATA;
}

static int32_t build_view(void *user, lathe_dataset **derived, lathe_error *err) {
    int32_t row = 0;
    return lathe_dataset_view(user, &row, 1, derived, err);
}

static int32_t build_itself(void *user, lathe_dataset **derived, lathe_error *err) {
    const lathe_dataset *inner;
    (void)derived;
    return ds()->derive(user, "itself", build_itself, user, &inner, err);
}

START_TEST(derive_by_key) {
    lathe_dataset *d = some_dataset(NULL, 100, NULL);
    const lathe_dataset *a, *b;
    lathe_error err = {0};
    atomic_store(&builds, 0);
    ck_assert_int_eq(ds()->derive(d, "x", build_fails, NULL, &a, NULL), LATHE_E_DATA);
    ck_assert_int_eq(ds()->derive(d, "x", build_copy, d, &a, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->derive(d, "x", build_fails, NULL, &b, NULL), LATHE_OK);
    ck_assert_ptr_eq(a, b);
    ck_assert_int_eq(ds()->derive(d, "y", build_copy, d, &b, NULL), LATHE_OK);
    ck_assert_ptr_ne(a, b);
    ck_assert_int_eq(atomic_load(&builds), 3);
    ck_assert_int_eq(ds()->derive(d, "v", build_view, d, &b, &err), LATHE_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "view"));
    ck_assert_int_eq(ds()->derive(d, "itself", build_itself, d, &b, &err), LATHE_E_STATE);
    lathe_dataset_release(d);
}
END_TEST

/* ---- from a table ---- */

START_TEST(from_table) {
    double num[4] = {1.5, NAN, INFINITY, -0.0}, weight[4] = {1, 0, 2, 0.5};
    int64_t ints[4] = {1, LATHE_MISSING_INT, -7, 1 << 20}, ids[4] = {10, 11, 12, 17};
    int32_t cats[4] = {1, LATHE_CODE_MISSING, LATHE_CODE_UNSEEN, 0}, target[4] = {0, 1, 1, 0};
    lathe_str dict[2] = {{"a", 1}, {"b", 1}}, text[4] = {{"t", 1}};
    int64_t when[4] = {0};
    lathe_column columns[] = {{"num", LATHE_COLUMN_FLOAT64, 0, num, NULL, 0},
                              {"int", LATHE_COLUMN_INT64, 0, ints, NULL, 0},
                              {"cat", LATHE_COLUMN_CATEGORY, 0, cats, dict, 2},
                              {"y", LATHE_COLUMN_CATEGORY, 0, target, dict, 2},
                              {"text", LATHE_COLUMN_STRING, 0, text, NULL, 0},
                              {"when", LATHE_COLUMN_TIMESTAMP, 0, when, NULL, 0}};
    lathe_table t = {4, 4, columns};
    lathe_dataset_source s = {.table = &t,
                              .target_column = 3,
                              .weight = weight,
                              .row_id = ids,
                              .task = LATHE_TASK_BINARY,
                              .n_classes = 2};
    lathe_dataset *d;
    lathe_error err = {0};
    ck_assert_msg(lathe_dataset_from_table(NULL, &s, &d, &err) == LATHE_OK, "%s", err.message);
    lathe_tensor m;
    ck_assert_int_eq(ds()->matrix(d, &m, NULL), LATHE_OK);
    ck_assert_int_eq(m.shape[1], 3);
    const float *x = m.data;
    ck_assert(x[0] == 1.5f && isnan(x[16]) && isinf(x[32]) && x[48] == 0);
    ck_assert(x[1] == 1 && isnan(x[17]) && x[33] == -7 && x[49] == 1048576);
    ck_assert(x[2] == 1 && isnan(x[18]) && x[34] == -1 && x[50] == 0);
    ck_assert(ds()->weight(d)[2] == 2 && ds()->target(d)[1] == 1 && ds()->row_id(d)[3] == 17);
    ck_assert_int_eq(ds()->features(d)[2].n_categories, 2);
    lathe_dataset_release(d);

    t.n_columns = 6; /* text and time are refused with advice, in turn */
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_UNSUPPORTED);
    ck_assert_str_eq(err.where, "text");
    int64_t some[] = {0, 5};
    s.features = some;
    s.n_features = 2;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_UNSUPPORTED);
    ck_assert_str_eq(err.where, "when");
    ck_assert_ptr_nonnull(strstr(err.message, "date_parts"));
    s.n_features = 1;
    target[2] = LATHE_CODE_UNSEEN; /* row ids count in messages, from 1 */
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "row 13"));
    target[2] = 1;
    weight[3] = -1;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "row 18"));
    weight[3] = 1;
    s.n_classes = 3;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_INVALID);
    s.task = LATHE_TASK_MULTICLASS;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA);
    s.task = LATHE_TASK_REGRESSION;
    s.n_classes = 0;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA);
    s.target = &columns[0];
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA); /* NaN */
    s.target = &columns[1];
    ints[1] = 0;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_OK);
    ck_assert(ds()->target(d)[2] == -7);
    lathe_dataset_release(d);
    cats[1] = 2; /* a code that lies */
    some[0] = 2;
    ck_assert_int_eq(lathe_dataset_from_table(NULL, &s, &d, &err), LATHE_E_DATA);
    ck_assert_str_eq(err.where, "cat");
}
END_TEST

START_TEST(bad_specs) {
    float x[2] = {0, 5}, y[2] = {0, 1};
    lathe_feature f = {"f", LATHE_FEATURE_CATEGORY, 3};
    lathe_dataset_spec good = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = LATHE_TASK_BINARY,
                               .n_rows = 2,
                               .n_features = 1,
                               .n_classes = 2,
                               .features = &f,
                               .matrix = x,
                               .stride = 1,
                               .target = y},
                       s = good;
    lathe_dataset *d;
    lathe_error err = {0};
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_DATA); /* code 5 of 3 */
    ck_assert_ptr_null(d);
    x[1] = 0.5f;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_DATA);
    x[1] = 2;
    y[1] = 2;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_DATA);
    y[1] = 1;
    s.struct_size = 8;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_INVALID);
    s = good, s.n_rows = -1;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_SHAPE);
    s = good, s.n_rows = INT64_MAX;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_MEMORY);
    s = good, s.stride = 0;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_SHAPE);
    s = good, s.task = 9;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_E_INVALID);
    s = good, s.n_features = 0;
    ck_assert_int_eq(ds()->make(NULL, &s, &d, &err), LATHE_OK);
    const lathe_bins *b;
    ck_assert_int_eq(ds()->bins(d, 255, &b, NULL), LATHE_OK);
    ck_assert_int_eq(ds()->bins(d, 256, &b, &err), LATHE_E_INVALID);
    ck_assert_int_eq(ds()->bins(d, 1, &b, &err), LATHE_E_INVALID);
    lathe_dataset_release(d);
    lathe_dataset_release(NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("dataset");
    TCase *t = tcase_create("dataset");
    tcase_add_test(t, matrix_and_info);
    tcase_add_test(t, bins_equal_the_twin);
    tcase_add_test(t, wide_sets_have_the_same_bins);
    tcase_add_test(t, views_share_edges);
    tcase_add_test(t, threads_change_no_bit);
    tcase_add_test(t, outside_threads_share_one);
    tcase_add_test(t, chunks_share_one);
    tcase_add_test(t, derive_by_key);
    tcase_add_test(t, from_table);
    tcase_add_test(t, bad_specs);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
