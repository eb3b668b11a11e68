/* tests/unit/support_trees.h: small data, fitting, and comparing fitted states, for the tree
 * family's tests. */
#ifndef LATHE_TEST_SUPPORT_TREES_H
#define LATHE_TEST_SUPPORT_TREES_H

#include "base/rng.h"
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;

static inline void setup(void) {
    fixture_open(&fx, 2);
}

static inline void teardown(void) {
    fixture_close(&fx);
}

static inline const lathe_learner *learner_of(const lathe_instance *i) {
    return i->interface;
}

/* Uniform in [0, 1). */
static inline double some(uint64_t key, int64_t i) {
    double u;
    lathe_rng_f64(key, (uint64_t)i, &u, 1);
    return u;
}

/* A dataset of [n, f] values; categories[j] > 0: feature j is categorical; NULL: all numeric. */
static inline lathe_dataset *make_data(int32_t task, int64_t k, int64_t n, int64_t f,
                                       const float *x, const float *y, const float *w,
                                       const int32_t *categories) {
    lathe_feature features[64];
    char names[64][8];
    ck_assert(f <= 64);
    for (int64_t j = 0; j < f; j++) {
        snprintf(names[j], sizeof names[j], "x%d", (int)j);
        int32_t c = categories ? categories[j] : 0;
        features[j] =
            (lathe_feature){names[j], c ? LATHE_FEATURE_CATEGORY : LATHE_FEATURE_NUMERIC, c};
    }
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = task,
                               .n_rows = n,
                               .n_features = f,
                               .n_classes = k,
                               .features = features,
                               .matrix = x,
                               .stride = f,
                               .target = y,
                               .weight = w};
    lathe_dataset *data = NULL;
    lathe_error err = {0};
    fixture_ok(fixture_datasets(&fx)->make(fx.host, &spec, &data, &err), &err, "dataset");
    return data;
}

/* Fits `use` in a context of its own, with the members of *what that are set (NULL: none). Returns
 * the code. */
static inline int32_t try_fit(const char *kind, const char *use, int32_t task, int64_t k,
                              const lathe_dataset *data, const lathe_dataset *validation,
                              const lathe_fit *what, lathe_instance *out, lathe_error *err) {
    fixture_create(&fx, kind, use, task, out);
    const lathe_learner *t = learner_of(out);
    lathe_fit fit = what ? *what : (lathe_fit){0};
    fit.struct_size = LATHE_SIZED(lathe_fit);
    lathe_open open = {.struct_size = LATHE_SIZED(lathe_open),
                       .task = fit.gradient ? LATHE_TASK_REGRESSION : task,
                       .n_classes = fit.gradient ? 0 : k,
                       .data = data,
                       .validation = validation};
    void *context = NULL;
    int32_t rc = t->open(out->self, &open, &context, err);
    if (rc == LATHE_OK) {
        rc = t->fit(out->self, context, &fit, err);
        t->close(out->self, context);
    }
    return rc;
}

static inline void must_fit(const char *kind, const char *use, int32_t task, int64_t k,
                            const lathe_dataset *data, const lathe_fit *what, lathe_instance *out) {
    lathe_error err = {0};
    fixture_ok(try_fit(kind, use, task, k, data, NULL, what, out, &err), &err, use);
}

/* Refused with this code and these words. */
static inline void must_not_fit(const char *kind, const char *use, int32_t task, int64_t k,
                                const lathe_dataset *data, const lathe_fit *what, int32_t code,
                                const char *words) {
    lathe_error err = {0};
    lathe_instance i;
    int32_t rc = try_fit(kind, use, task, k, data, NULL, what, &i, &err);
    ck_assert_int_eq(rc, code);
    ck_assert_msg(strstr(err.message, words) != NULL, "\"%s\" lacks \"%s\"", err.message, words);
    lathe_instance_destroy(&i);
}

static inline int64_t width_of(const lathe_instance *i) {
    lathe_output o = {.struct_size = LATHE_SIZED(lathe_output)};
    ck_assert_int_eq(learner_of(i)->output(i->self, &o), LATHE_OK);
    return o.n_outputs;
}

static inline void predict(const lathe_instance *i, int64_t n, int64_t f, const float *x,
                           float *out) {
    lathe_error err = {0};
    fixture_ok(lathe_call_predict(i, n, x, f, out, &err), &err, "predict");
}

static inline float predict_one(const lathe_instance *i, int64_t f, const float *x) {
    float out[64];
    ck_assert(width_of(i) <= 64);
    predict(i, 1, f, x, out);
    return out[0];
}

static inline double gain_of(const lathe_instance *i, int64_t f) {
    double importance[64], sum = 0;
    lathe_error err = {0};
    fixture_ok(lathe_call_importance(i, LATHE_IMPORTANCE_GAIN, f, importance, &err), &err, "gain");
    for (int64_t j = 0; j < f; j++)
        sum += importance[j];
    return sum;
}

/* Are two states equal in every byte? The identity is not compared. */
static inline bool nodes_equal(const lathe_state *a, const lathe_state *b) {
    if (lathe_state_tensor_count(a) != lathe_state_tensor_count(b) ||
        lathe_state_attribute_count(a) != lathe_state_attribute_count(b) ||
        lathe_state_child_count(a) != lathe_state_child_count(b))
        return false;
    for (size_t i = 0; i < lathe_state_tensor_count(a); i++) {
        const lathe_state_tensor *x = lathe_state_tensor_at(a, i), *y = lathe_state_tensor_at(b, i);
        if (strcmp(x->name, y->name) != 0 || x->bytes != y->bytes ||
            memcmp(x->data, y->data, x->bytes) != 0)
            return false;
    }
    for (size_t i = 0; i < lathe_state_attribute_count(a); i++) {
        const lathe_state_attribute *x = lathe_state_attribute_at(a, i);
        const lathe_state_attribute *y = lathe_state_attribute_at(b, i);
        if (strcmp(x->name, y->name) != 0 || x->type != y->type || x->integer != y->integer ||
            x->number != y->number)
            return false;
    }
    for (size_t i = 0; i < lathe_state_child_count(a); i++) {
        const char *name;
        if (!nodes_equal(lathe_state_child_at((lathe_state *)(uintptr_t)a, i, &name),
                         lathe_state_child_at((lathe_state *)(uintptr_t)b, i, &name)))
            return false;
    }
    return true;
}

static inline lathe_state *saved(const lathe_instance *i) {
    lathe_state *s = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(i, &s, &err), &err, "save");
    return s;
}

static inline bool same_state(const lathe_instance *a, const lathe_instance *b) {
    lathe_state *x = saved(a), *y = saved(b);
    bool same = nodes_equal(x, y);
    lathe_state_free(x);
    lathe_state_free(y);
    return same;
}

/* Saved and loaded it predicts the same bits; a row alone gives the bits of the batch; and it saves
 * the same bytes. */
static inline void check_round_trip(const lathe_instance *i, int64_t n, int64_t f, const float *x) {
    lathe_state *s = saved(i);
    lathe_instance again;
    lathe_error err = {0};
    fixture_ok(lathe_state_load(fx.runtime, s, 0, &again, &err), &err, "load");
    int64_t k = width_of(i);
    float *a = malloc((size_t)(n * k) * sizeof *a), *b = malloc((size_t)(n * k) * sizeof *b);
    float *one = malloc((size_t)k * sizeof *one);
    ck_assert(a && b && one);
    predict(i, n, f, x, a);
    predict(&again, n, f, x, b);
    ck_assert_mem_eq(a, b, (size_t)(n * k) * sizeof *a);
    for (int64_t r = 0; r < n; r++) {
        predict(i, 1, f, x + r * f, one);
        ck_assert_mem_eq(one, a + r * k, (size_t)k * sizeof *one);
    }
    ck_assert(same_state(i, &again));
    lathe_instance_destroy(&again);
    lathe_state_free(s);
    free(a);
    free(b);
    free(one);
}

/* A copy of a node in which one tensor has other bytes, or one integer another value. `path`: names
 * of children on the way, separated by '/', then the name. */
static inline lathe_state *copy_node(lathe_state *from, const char *path, const void *bytes,
                                     int64_t integer, bool *hit) {
    lathe_state *to = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_new(lathe_state_who(from), &to, &err), &err, "copy");
    for (size_t i = 0; i < lathe_state_tensor_count(from); i++) {
        const lathe_state_tensor *t = lathe_state_tensor_at(from, i);
        bool is = path && strcmp(t->name, path) == 0;
        const void *data = is && bytes ? bytes : t->data;
        lathe_tensor view = {(void *)(uintptr_t)data,
                             LATHE_DEVICE_CPU,
                             0,
                             t->ndim,
                             t->dtype,
                             t->bits,
                             1,
                             t->shape,
                             NULL,
                             0};
        *hit |= is;
        fixture_ok(lathe_state_add_tensor(to, t->name, &view, true, &err), &err, t->name);
    }
    for (size_t i = 0; i < lathe_state_attribute_count(from); i++) {
        const lathe_state_attribute *a = lathe_state_attribute_at(from, i);
        bool is = path && strcmp(a->name, path) == 0;
        *hit |= is;
        ck_assert_int_eq(a->type, LATHE_STATE_INTEGER);
        fixture_ok(lathe_state_add_integer(to, a->name, is ? integer : a->integer, &err), &err,
                   a->name);
    }
    for (size_t i = 0; i < lathe_state_child_count(from); i++) {
        const char *name;
        lathe_state *child = lathe_state_child_at(from, i, &name);
        size_t n = strlen(name);
        bool is = path && strncmp(path, name, n) == 0 && path[n] == '/';
        lathe_state *copy = copy_node(child, is ? path + n + 1 : NULL, bytes, integer, hit);
        fixture_ok(lathe_state_add_child(to, name, copy, &err), &err, name);
    }
    return to;
}

/* Loading the state with this change must be refused as corrupt, with these words. */
static inline void must_not_load(const lathe_instance *i, const char *path, const void *bytes,
                                 int64_t integer, const char *words) {
    bool hit = false;
    lathe_state *s = saved(i), *bad = copy_node(s, path, bytes, integer, &hit);
    ck_assert_msg(hit, "the state has no %s", path);
    lathe_instance out;
    lathe_error err = {0};
    int32_t rc = lathe_state_load(fx.runtime, bad, 0, &out, &err);
    ck_assert_msg(rc == LATHE_E_CORRUPT, "%s: code %d: %s", path, (int)rc, err.message);
    ck_assert_msg(strstr(err.message, words) != NULL, "\"%s\" lacks \"%s\"", err.message, words);
    lathe_state_free(bad);
    lathe_state_free(s);
}

/* Random rows with a signal, missing values in feature 1 and categories in feature 2 (5 codes); f
 * >= 4. */
static inline void signal_data(uint64_t key, int32_t task, int64_t k, int64_t n, int64_t f,
                               float *x, float *y) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < f; j++)
            x[i * f + j] = (float)some(key, i * f + j);
        x[i * f + 2] = (float)(int)(x[i * f + 2] * 5);
        double s = 3 * x[i * f] + (x[i * f + 1] > 0.5f ? 2 : 0) +
                   ((int)x[i * f + 2] % 2 ? 1.5 : 0) + x[i * f + 3] * x[i * f] +
                   0.3 * some(key + 1, i);
        if (some(key + 2, i) < 0.15)
            x[i * f + 1] = NAN;
        int64_t class = (int64_t)(s / 8 * (double)k);
        y[i] = task == LATHE_TASK_REGRESSION ? (float)s
               : task == LATHE_TASK_BINARY   ? s > 3.4
                                             : (float)(class < k ? class : k - 1);
    }
}

static const int32_t signal_categories[64] = {0, 0, 5, 0};

/* n rows of 4 features that are whole numbers below 51, so that bins are values, with a value, one of two classes and one
 * of three; what other programs say about the first 300 of them stands in the tests. */
static inline void whole_rows(int64_t n, float *x, float *value, float *class_of_2,
                              float *class_of_3) {
    uint32_t s = 12345, r[5];
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 5; j++) {
            s = (s * 1103515245u + 12345u) & 0x7fffffffu;
            r[j] = s >> 16;
        }
        for (int j = 0; j < 4; j++)
            x[i * 4 + j] = (float)(r[j] % 51);
        int a = (int)(r[0] % 51), b = (int)(r[1] % 51), c = (int)(r[2] % 51), e = (int)(r[4] % 7);
        value[i] = (float)(3 * a + (b > 25 ? 40 : 0) + c * c / 20 + e);
        class_of_2[i] = a + b + 3 * e > 55;
        class_of_3[i] = (float)((int)value[i] / 80 < 2 ? (int)value[i] / 80 : 2);
    }
}

/* With 1 and 3 threads `use` gives the same bytes. */
static inline void check_threads(const char *kind, const char *use, int32_t task, int64_t k,
                                 int64_t n) {
    int64_t f = 6;
    float *x = malloc((size_t)(n * f) * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    ck_assert(x && y);
    signal_data(77, task, k, n, f, x, y);
    lathe_state *states[2];
    fixture_close(&fx);
    for (int t = 0; t < 2; t++) {
        fixture_open(&fx, t == 0 ? 1 : 3);
        lathe_dataset *data = make_data(task, k, n, f, x, y, NULL, signal_categories);
        lathe_instance i;
        lathe_fit fit = {.key = 5};
        must_fit(kind, use, task, k, data, &fit, &i);
        states[t] = saved(&i);
        lathe_instance_destroy(&i);
        fixture_datasets(&fx)->release(data);
        if (t == 0)
            fixture_close(&fx);
    }
    ck_assert_msg(nodes_equal(states[0], states[1]), "%s: threads change the bits", use);
    lathe_state_free(states[0]);
    lathe_state_free(states[1]);
    free(x);
    free(y);
}

static inline int run_suite(Suite *s) {
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
