/* The tree's leaves, sums of trees, importance, saving, and states that lie. */
#include "support_trees.h"

#define LEARNER LATHE_KIND_LEARNER

enum { N = 600, F = 5 };
static float x[N * F], y[N];

static lathe_dataset *signal_set(int32_t task, int64_t k) {
    signal_data(21, task, k, N, F, x, y);
    return make_data(task, k, N, F, x, y, NULL, signal_categories);
}

/* Leaves and their values say what predict says, also after another tree was fitted in the context.
 * */
START_TEST(leaves_explain_predictions) {
    lathe_dataset *data = signal_set(LATHE_TASK_MULTICLASS, 3);
    lathe_instance a, b;
    fixture_create(&fx, LEARNER, "{\"tree\": {\"max_leaves\": 20, \"min_rows\": 4}}",
                   LATHE_TASK_MULTICLASS, &a);
    fixture_create(&fx, LEARNER, "{\"tree\": {\"max_leaves\": 20, \"min_rows\": 4}}",
                   LATHE_TASK_MULTICLASS, &b);
    const lathe_learner *t = learner_of(&a);
    lathe_open open = {.struct_size = LATHE_SIZED(lathe_open),
                       .task = LATHE_TASK_MULTICLASS,
                       .n_classes = 3,
                       .data = data};
    lathe_error err = {0};
    void *context;
    static int32_t leaf[N], again[N], rows[N];
    static float values[N * 3], out[N * 3];
    int64_t n_leaves, n_again;
    for (int i = 0; i < N; i++)
        rows[i] = i;
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .rows = rows, .n_rows_used = N / 2};
    fixture_ok(t->open(a.self, &open, &context, &err), &err, "open");
    fixture_ok(t->fit(a.self, context, &fit, &err), &err, "fit");
    fixture_ok(t->leaves(a.self, context, leaf, &n_leaves, &err), &err, "leaves");
    fixture_ok(t->leaf_values(a.self, values, &err), &err, "leaf_values");
    predict(&a, N, F, x, out);
    for (int i = 0; i < N; i++)
        ck_assert_mem_eq(values + leaf[i] * 3, out + i * 3, 3 * sizeof(float));
    fixture_ok(t->fit(b.self, context, &fit, &err), &err, "fit");
    fixture_ok(t->leaves(a.self, context, again, &n_again, &err), &err, "leaves");
    ck_assert_int_eq(n_leaves, n_again);
    ck_assert_mem_eq(leaf, again, sizeof leaf);
    for (int64_t i = 0; i < n_leaves * 3; i++)
        values[i] = (float)i;
    fixture_ok(t->set_leaf_values(a.self, values, &err), &err, "set_leaf_values");
    predict(&a, N, F, x, out);
    for (int i = 0; i < N; i++)
        ck_assert(out[i * 3 + 1] == (float)(leaf[i] * 3 + 1));
    t->close(a.self, context);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* bias + sum of scale * tree in double, rounded once. */
START_TEST(combined_is_the_sum) {
    enum { T = 5, K = 3 };
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    const char *use =
        "{\"tree\": {\"max_leaves\": 12, \"min_rows\": 4, \"features_per_split\": 2}}";
    const double bias[K] = {0.1, -2, 1e6}, scale[T] = {0.1, 0.3, 1, -2, 1.0 / 3};
    const int32_t column[T] = {2, 0, 1, 0, 2};
    static float out[T][N], sum[N * K], plain[N];
    lathe_instance trees[T], both, one;
    const void *selfs[T];
    lathe_error err = {0};
    for (int t = 0; t < T; t++) {
        lathe_fit fit = {.key = (uint64_t)t};
        must_fit(LEARNER, use, LATHE_TASK_REGRESSION, 0, data, &fit, &trees[t]);
        predict(&trees[t], N, F, x, out[t]);
        selfs[t] = trees[t].self;
    }
    lathe_combine c = {.struct_size = LATHE_SIZED(lathe_combine),
                       .type = LATHE_OUTPUT_VALUE,
                       .n_outputs = K,
                       .bias = bias,
                       .n_children = T,
                       .children = selfs,
                       .scale = scale,
                       .column = column};
    fixture_create(&fx, LEARNER, use, LATHE_TASK_REGRESSION, &both);
    fixture_ok(learner_of(&both)->combine(both.self, &c, &err), &err, "combine");
    c.n_outputs = 1;
    c.column = NULL;
    c.bias = NULL;
    fixture_create(&fx, LEARNER, use, LATHE_TASK_REGRESSION, &one);
    fixture_ok(learner_of(&one)->combine(one.self, &c, &err), &err, "combine");
    predict(&both, N, F, x, sum);
    predict(&one, N, F, x, plain);
    double gain = 0;
    for (int i = 0; i < N; i++) {
        double want[K], all = 0;
        memcpy(want, bias, sizeof want);
        for (int t = 0; t < T; t++) {
            want[column[t]] += scale[t] * (double)out[t][i];
            all += scale[t] * (double)out[t][i];
        }
        for (int k = 0; k < K; k++)
            ck_assert(sum[i * K + k] == (float)want[k]);
        ck_assert(plain[i] == (float)all);
    }
    for (int t = 0; t < T; t++)
        gain += gain_of(&trees[t], F);
    ck_assert_double_eq_tol(gain_of(&both, F), gain, 1e-9 * gain);
    check_round_trip(&both, N, F, x);
    /* a sum does not combine again, has no leaves, and a column out of range is refused */
    selfs[0] = one.self;
    lathe_instance bad;
    fixture_create(&fx, LEARNER, use, LATHE_TASK_REGRESSION, &bad);
    ck_assert_int_eq(learner_of(&bad)->combine(bad.self, &c, &err), LATHE_E_UNSUPPORTED);
    selfs[0] = trees[0].self;
    const int32_t outside[T] = {0, 1, 0, 0, 0};
    c.column = outside;
    ck_assert_int_eq(learner_of(&bad)->combine(bad.self, &c, &err), LATHE_E_SHAPE);
    ck_assert_int_eq(learner_of(&one)->leaf_values(one.self, sum, &err), LATHE_E_UNSUPPORTED);
    for (int t = 0; t < T; t++)
        lathe_instance_destroy(&trees[t]);
    lathe_instance_destroy(&both);
    lathe_instance_destroy(&one);
    lathe_instance_destroy(&bad);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* The bytes of one tensor of a saved state, copied; free() them. */
static void *tensor_bytes(const lathe_instance *i, const char *name, size_t *bytes) {
    lathe_state *s = saved(i);
    void *copy = NULL;
    for (size_t t = 0; t < lathe_state_tensor_count(s); t++) {
        const lathe_state_tensor *v = lathe_state_tensor_at(s, t);
        if (strcmp(v->name, name) != 0)
            continue;
        copy = malloc(v->bytes);
        ck_assert(copy != NULL);
        memcpy(copy, v->data, v->bytes);
        *bytes = v->bytes;
    }
    lathe_state_free(s);
    ck_assert_msg(copy != NULL, "no tensor %s", name);
    return copy;
}

static void refuse_int(const lathe_instance *i, const char *name, size_t at, int32_t value,
                       const char *words) {
    size_t bytes;
    int32_t *v = tensor_bytes(i, name, &bytes);
    ck_assert(at < bytes / sizeof *v);
    v[at] = value;
    must_not_load(i, name, v, 0, words);
    free(v);
}

START_TEST(states_that_lie_are_refused) {
    lathe_dataset *data = signal_set(LATHE_TASK_REGRESSION, 0);
    lathe_instance t;
    must_fit(LEARNER, "{\"tree\": {\"max_leaves\": 30, \"min_rows\": 4}}", LATHE_TASK_REGRESSION, 0,
             data, NULL, &t);
    size_t bytes;
    uint32_t *meta = tensor_bytes(&t, "node_feature", &bytes);
    int64_t n = (int64_t)(bytes / sizeof *meta), category = -1, numeric = -1;
    for (int64_t i = 0; i < n; i++) {
        if (meta[i] & 0x40000000u)
            category = i;
        else
            numeric = i;
    }
    free(meta);
    ck_assert(category >= 0 && numeric >= 0 && n > 3);
    refuse_int(&t, "node_child", 2, 0, "expected a later node");          /* a cycle */
    refuse_int(&t, "node_child", 2, 1, "expected a later node");          /* itself */
    refuse_int(&t, "node_child", 3, (int32_t)n, "expected a later node"); /* beyond the nodes */
    refuse_int(&t, "node_child", 3, ~(int32_t)(n + 1), "expected a later node or a leaf");
    refuse_int(&t, "node_child", 3, INT32_MIN, "expected a later node or a leaf");
    refuse_int(&t, "node_feature", 1, F, "splits feature");
    refuse_int(&t, "node_feature", 1, 0x20000000, "splits feature"); /* an unknown flag */
    refuse_int(&t, "node_value", (size_t)category, 0x7fffffff, "outside their array");
    refuse_int(&t, "node_value", (size_t)numeric, 0x7fc00000, "is NaN");
    refuse_int(&t, "category_bits", 0, 0x7fffffff, "outside their array");
    refuse_int(&t, "tree_root", 0, (int32_t)n, "root of tree 0");
    refuse_int(&t, "tree_root", 0, INT32_MIN, "root of tree 0");
    refuse_int(&t, "tree_column", 0, 0x10000, "adds to output");
    refuse_int(&t, "leaf_value", 0, 0x7fc00000, "value 0 of the leaves");
    double nan = NAN;
    must_not_load(&t, "bias", &nan, 0, "bias is nan");
    must_not_load(&t, "tree_scale", &nan, 0, "scale of tree 0");
    must_not_load(&t, "features", NULL, 1, "splits feature");
    must_not_load(&t, "nodes", NULL, n + 1, "");
    must_not_load(&t, "nodes", NULL, -1, "");
    must_not_load(&t, "leaves", NULL, 1, "");
    must_not_load(&t, "trees", NULL, 1 << 30, "");
    must_not_load(&t, "leaf_width", NULL, 3, "values for");
    must_not_load(&t, "outputs", NULL, 2, "");
    must_not_load(&t, "output", NULL, 9, "");
    must_not_load(&t, "words", NULL, 1LL << 40, "");
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("tree_state");
    TCase *c = tcase_create("tree_state");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, leaves_explain_predictions);
    tcase_add_test(c, combined_is_the_sum);
    tcase_add_test(c, states_that_lie_are_refused);
    suite_add_tcase(s, c);
    return run_suite(s);
}
