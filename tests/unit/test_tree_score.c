/* The compiled form of sums of trees gives the bits of a naive walk, written down here once more: for trees of every
 * shape, every size of batch and every CPU level. The states are made by hand, so that they hold what no fit would. */
#include "base/cpu.h"
#include "support_trees.h"

#include <float.h>

enum {
    MAX_NODES = 20000,
    MAX_ROWS = 300,
    FEATURES = 9, /* 0–5 numbers, 6–8 categories */
    MISSING_LEFT = -0x7fffffff - 1,
    IS_CATEGORY = 0x40000000
};

/* A sum of trees as the tree's state has it. */
typedef struct forest {
    int64_t outputs, width, trees, nodes, leaves, words;
    double bias[8];
    int32_t root[600], column[600];
    double scale[600];
    int32_t meta[MAX_NODES], child[MAX_NODES][2];
    uint32_t value[MAX_NODES], word[MAX_NODES * 10];
    double gain[MAX_NODES];
    float leaf[MAX_NODES * 8];
} forest;

/* What trees are made of. */
typedef struct shape {
    const char *name;
    int trees, leaves; /* each has 1 … leaves, the first has as many as there may be */
    int thresholds;    /* different ones of a feature, about */
    int categories;    /* words of a set; 0: no categories */
    int outputs, width;
    int is_chain; /* as deep as it has leaves */
} shape;

static const shape shapes[] = {
    {"numbers", 40, 63, 200, 0, 1, 1, 0},
    {"two leaves", 50, 2, 10, 0, 1, 1, 0},
    {"one leaf", 3, 1, 10, 0, 1, 1, 0},
    {"256 leaves", 19, 256, 250, 0, 1, 1, 0},
    {"257 leaves", 5, 257, 250, 0, 1, 1, 0},
    {"chains", 12, 256, 30, 1, 1, 1, 1},
    {"many trees", 530, 16, 254, 0, 1, 1, 0},
    {"categories", 30, 60, 100, 1, 1, 1, 0},
    {"categories in 7 words", 20, 60, 100, 7, 1, 1, 0},
    {"categories in 9 words", 20, 60, 100, 9, 1, 1, 0}, /* more than a byte's */
    {"many thresholds", 60, 200, 5000, 1, 1, 1, 0},     /* more than a byte's */
    {"columns", 45, 40, 100, 1, 5, 1, 0},
    {"vectors", 21, 50, 100, 1, 7, 7, 0},
    {"vectors of large trees", 3, 700, 100, 1, 3, 3, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static forest model;
static uint64_t drawn;

static int64_t draw(int64_t n) {
    return (int64_t)(some(4711, (int64_t)drawn++) * (double)n);
}

/* Thresholds and values come from one grid, so that they are often equal. */
static float grid(int64_t i) {
    static const float special[] = {-INFINITY, -0.0f, 0.0f, FLT_MIN / 4, INFINITY, -FLT_MAX};
    return i < 6 ? special[i] : (float)(i - 6) / 64 - 1;
}

static void make_question(const shape *s, int64_t node) {
    int feature = s->categories ? (int)draw(FEATURES) : (int)draw(6);
    model.meta[node] = feature | (draw(2) ? MISSING_LEFT : 0);
    model.gain[node] = 1;
    if (feature < 6) {
        float t = grid(draw(s->thresholds));
        memcpy(&model.value[node], &t, sizeof t);
        return;
    }
    uint32_t n = (uint32_t)draw(s->categories + 1);
    model.meta[node] |= IS_CATEGORY;
    model.value[node] = (uint32_t)model.words;
    model.word[model.words++] = n;
    for (uint32_t i = 0; i < n; i++)
        model.word[model.words++] = (uint32_t)draw(INT64_C(1) << 32);
}

/* A subtree of n leaves; gives its reference. */
static int32_t make_subtree(const shape *s, int64_t n) {
    if (n == 1) {
        for (int64_t o = 0; o < model.width; o++)
            model.leaf[model.leaves * model.width + o] = (float)some(99, (int64_t)drawn++) - 0.5f;
        return ~(int32_t)model.leaves++;
    }
    int64_t node = model.nodes++, left = s->is_chain ? 1 : 1 + draw(n - 1);
    ck_assert(model.nodes < MAX_NODES);
    make_question(s, node);
    model.child[node][0] = make_subtree(s, left);
    model.child[node][1] = make_subtree(s, n - left);
    return (int32_t)node;
}

static void make_forest(const shape *s) {
    memset(&model, 0, sizeof model);
    drawn = 0;
    model.outputs = s->outputs;
    model.width = s->width;
    model.trees = s->trees;
    for (int o = 0; o < s->outputs; o++)
        model.bias[o] = some(5, o) - 0.3;
    for (int t = 0; t < s->trees; t++) {
        model.root[t] = make_subtree(s, t == 0 ? s->leaves : 1 + draw(s->leaves));
        model.scale[t] = 0.1 + some(6, t);
        model.column[t] = s->width > 1     ? -1
                          : s->outputs > 1 ? (int32_t)draw(s->outputs)
                                           : -(int32_t)draw(2);
    }
}

/* ---- the naive walk ---- */

static bool goes_left(int64_t node, const float *x) {
    float v = x[model.meta[node] & 0x0fffffff], t;
    if (isnan(v))
        return model.meta[node] < 0;
    memcpy(&t, &model.value[node], sizeof t);
    if (!(model.meta[node] & IS_CATEGORY))
        return v <= t;
    const uint32_t *set = model.word + model.value[node];
    return v >= 0 && v < (float)(set[0] * 32) && set[1 + (int)v / 32] >> (int)v % 32 & 1;
}

static void walk(const float *x, float *out) {
    double sum[8];
    memcpy(sum, model.bias, sizeof sum);
    for (int64_t t = 0; t < model.trees; t++) {
        int32_t at = model.root[t];
        while (at >= 0)
            at = model.child[at][!goes_left(at, x)];
        for (int64_t o = 0; o < model.width; o++)
            sum[model.column[t] > 0 ? model.column[t] : o] +=
                model.scale[t] * (double)model.leaf[~at * model.width + o];
    }
    for (int64_t o = 0; o < model.outputs; o++)
        out[o] = (float)sum[o];
}

/* ---- the tree's own ---- */

static void add_tensor(lathe_state *s, const char *name, uint8_t dtype, uint8_t bits, int64_t n,
                       const void *data) {
    lathe_error err = {0};
    lathe_tensor t = {(void *)(uintptr_t)data, LATHE_DEVICE_CPU, 0, 1, dtype, bits, 1, &n, NULL, 0};
    if (n > 0)
        fixture_ok(lathe_state_add_tensor(s, name, &t, true, &err), &err, name);
}

/* Loads the forest as a tree. */
static void load_forest(lathe_instance *out) {
    static const float x[4] = {0, 1, 2, 3};
    lathe_error err = {0};
    lathe_instance any;
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, 4, 1, x, x, NULL, NULL);
    must_fit(LATHE_KIND_LEARNER, "tree", LATHE_TASK_REGRESSION, 0, data, NULL, &any);
    lathe_state *who = saved(&any), *s = NULL;
    fixture_ok(lathe_state_new(lathe_state_who(who), &s, &err), &err, "state");
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {{"output", LATHE_OUTPUT_VALUE}, {"outputs", model.outputs},
                    {"features", FEATURES},         {"leaf_width", model.width},
                    {"trees", model.trees},         {"nodes", model.nodes},
                    {"leaves", model.leaves},       {"words", model.words}};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        fixture_ok(lathe_state_add_integer(s, integers[i].name, integers[i].value, &err), &err,
                   "integer");
    add_tensor(s, "bias", LATHE_FLOAT, 64, model.outputs, model.bias);
    add_tensor(s, "tree_root", LATHE_INT, 32, model.trees, model.root);
    add_tensor(s, "tree_scale", LATHE_FLOAT, 64, model.trees, model.scale);
    add_tensor(s, "tree_column", LATHE_INT, 32, model.trees, model.column);
    add_tensor(s, "leaf_value", LATHE_FLOAT, 32, model.leaves * model.width, model.leaf);
    add_tensor(s, "node_feature", LATHE_UINT, 32, model.nodes, model.meta);
    add_tensor(s, "node_value", LATHE_UINT, 32, model.nodes, model.value);
    add_tensor(s, "node_child", LATHE_INT, 32, 2 * model.nodes, model.child);
    add_tensor(s, "node_gain", LATHE_FLOAT, 64, model.nodes, model.gain);
    add_tensor(s, "category_bits", LATHE_UINT, 32, model.words, model.word);
    fixture_ok(lathe_state_load(fx.runtime, s, 0, out, &err), &err, "load");
    lathe_state_free(s);
    lathe_state_free(who);
    lathe_instance_destroy(&any);
    fixture_datasets(&fx)->release(data);
}

/* Rows with missing and unknown values; one more column than there are features. */
static void make_rows(int categories, float *x) {
    for (int64_t i = 0; i < MAX_ROWS * (FEATURES + 1); i++) {
        int64_t f = i % (FEATURES + 1);
        x[i] = f < 6 ? grid(draw(260)) : (float)(draw(categories * 32 + 8) - 4);
        if (draw(12) == 0)
            x[i] = NAN;
        if (f >= 6 && draw(30) == 0)
            x[i] = draw(2) ? 1e30f : -INFINITY;
    }
}

/* predict as a serving worker calls it: with just the scratch that it asked for. */
static void score(const lathe_instance *i, int64_t n, const float *x, float *out) {
    const lathe_learner *t = learner_of(i);
    int64_t bytes = t->scratch(i->self, n);
    lathe_error err = {0};
    void *scratch = NULL;
    ck_assert_int_eq(posix_memalign(&scratch, 64, (size_t)bytes + 1), 0);
    memset(scratch, 0x5a, (size_t)bytes);
    fixture_ok(t->predict(i->self, n, x, FEATURES + 1, out, scratch, &err), &err, "predict");
    free(scratch);
}

static void check_shape(const shape *s) {
    static const int sizes[] = {0,  1,  2,  5,   9,   16,  31,  32,
                                33, 64, 97, 128, 129, 256, 257, MAX_ROWS};
    static float x[MAX_ROWS * (FEATURES + 1)], want[MAX_ROWS * 8], out[MAX_ROWS * 8 + 1];
    lathe_instance tree;
    make_forest(s);
    make_rows(s->categories, x);
    load_forest(&tree);
    for (int64_t i = 0; i < MAX_ROWS; i++)
        walk(x + i * (FEATURES + 1), want + i * model.outputs);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k], first = k % 3; /* not always the same alignment */
        if (first + n > MAX_ROWS)
            first = 0;
        out[n * model.outputs] = 12345;
        score(&tree, n, x + first * (FEATURES + 1), out);
        ck_assert_msg(memcmp(out, want + first * model.outputs,
                             (size_t)(n * model.outputs) * sizeof *out) == 0,
                      "%s: %d rows differ from the walk", s->name, (int)n);
        ck_assert(out[n * model.outputs] == 12345);
    }
    lathe_instance_destroy(&tree);
}

START_TEST(bits_of_the_walk) {
    static const char *const levels[] = {"baseline", "avx2", "avx512"};
    static const uint32_t needs[] = {0, LATHE_CPU_AVX2_FMA, LATHE_CPU_AVX512};
    ck_assert_int_eq(setenv("LATHE_CPU", levels[_i / N_SHAPES], 1),
                     0); /* read once, at the first use */
    if ((lathe_cpu_level() & needs[_i / N_SHAPES]) != needs[_i / N_SHAPES])
        return; /* not on this processor */
    setup();
    check_shape(&shapes[_i % N_SHAPES]);
    teardown();
}
END_TEST

/* Nodes that many others share would unfold to 2^40 leaves: such a state is walked as it is. */
START_TEST(shared_nodes) {
    static const shape s = {"shared", 1, 41, 20, 0, 1, 1, 1};
    lathe_instance tree;
    float x[2 * (FEATURES + 1)] = {0}, want[2], out[2];
    setup();
    make_forest(&s);
    for (int64_t i = 0; i + 1 < model.nodes; i++)
        model.child[i][0] = model.child[i][1] = (int32_t)i + 1;
    load_forest(&tree);
    x[0] = NAN;
    for (int64_t i = 0; i < 2; i++)
        walk(x + i * (FEATURES + 1), want + i);
    score(&tree, 2, x, out);
    ck_assert_mem_eq(want, out, sizeof want);
    lathe_instance_destroy(&tree);
    teardown();
}
END_TEST

int main(void) {
    Suite *s = suite_create("tree_score");
    TCase *c = tcase_create("tree_score");
    tcase_add_loop_test(c, bits_of_the_walk, 0, 3 * N_SHAPES);
    tcase_add_test(c, shared_nodes);
    suite_add_tcase(s, c);
    return run_suite(s);
}
