/* Bundles of sparse features: the trees are those without them, in every byte. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE
#define LEARNER LATHE_KIND_LEARNER

enum { F = 60, GROUPS = 4, VALUES = 12 };

static char said[96];

static void listen(void *user, const lathe_event *e) {
    (void)user;
    if (e->type == LATHE_EVENT_LOG && strncmp(e->text, "tree: ", 6) == 0)
        snprintf(said, sizeof said, "%.90s", e->text);
}

static void setup_heard(void) {
    setup();
    lathe_runtime_free(fx.runtime);
    lathe_runtime_options options = {
        .catalogue = fx.catalogue, .pool = fx.pool, .on_event = listen};
    lathe_error err = {0};
    fixture_ok(lathe_runtime_new(&options, &fx.runtime, &err), &err, "runtime");
    fx.host = lathe_runtime_host(fx.runtime);
}

typedef struct rows {
    int64_t n;
    float *x, *y;
} rows;

/* Columns 0 … 47: four one-hot codes of twelve values. 48 … 53: six columns of counts up to 9, of which a row has one at
 * most; 48 misses values where it would be 1, and 49 is a category. 54 … 59: dense. `overlap`: the counts come in any
 * rows, so that they exclude each other no more. */
static rows make_rows(int64_t n, int32_t task, int overlap) {
    rows r = {n, malloc((size_t)(n * F) * sizeof(float)), malloc((size_t)n * sizeof(float))};
    ck_assert(r.x && r.y);
    for (int64_t i = 0; i < n; i++) {
        float *row = r.x + i * F;
        double score = 0;
        memset(row, 0, F * sizeof *row);
        for (int g = 0; g < GROUPS; g++) {
            int v = (int)(some(10 + (uint64_t)g, i) * VALUES);
            row[g * VALUES + v] = 1;
            score += (v * 7 + g * 3) % 5 * 0.3;
        }
        for (int j = 0; j < 6; j++) {
            double u = some(20 + (uint64_t)(overlap ? j : 0), i);
            int has = overlap ? u < 0.3 : (int)(u * 12) == j;
            int count = has ? 1 + (int)(some(30 + (uint64_t)j, i) * 9) : 0;
            row[48 + j] = (float)count;
            score += count * (j % 3 - 1) * 0.1;
        }
        if (row[48] == 1)
            row[48] = NAN;
        for (int j = 54; j < F; j++)
            row[j] = (float)some(40 + (uint64_t)j, i);
        score += row[54] + row[55] * row[56] + 0.5 * some(50, i);
        r.y[i] = task == LATHE_TASK_REGRESSION ? (float)score : score > 2.4;
    }
    return r;
}

static lathe_dataset *data_of(const rows *r, int32_t task) {
    static const int32_t categories[64] = {[49] = 10};
    return make_data(task, task == LATHE_TASK_BINARY ? 2 : 0, r->n, F, r->x, r->y, NULL,
                     categories);
}

static void free_rows(rows *r) {
    free(r->x);
    free(r->y);
}

/* `use` has a %s where "bundle" stands. */
static void compare(const char *kind, const char *use, int32_t task, int64_t n, int overlap,
                    const lathe_fit *what, int bundled) {
    rows r = make_rows(n, task, overlap);
    lathe_dataset *data = data_of(&r, task);
    lathe_instance with, without;
    char text[300];
    int64_t k = task == LATHE_TASK_BINARY ? 2 : 0;
    said[0] = 0;
    snprintf(text, sizeof text, use, "\"bundle\": false");
    must_fit(kind, text, task, k, data, what, &without);
    ck_assert_msg(said[0] == 0, "%s: %s", text, said);
    snprintf(text, sizeof text, use, "\"bundle\": true");
    must_fit(kind, text, task, k, data, what, &with);
    ck_assert_msg((said[0] != 0) == bundled, "%s: \"%s\"", text, said);
    ck_assert(gain_of(&with, F) > 0);
    ck_assert_msg(same_state(&with, &without), "%s, %d rows: bundles change the trees", text,
                  (int)n);
    lathe_instance_destroy(&with);
    lathe_instance_destroy(&without);
    fixture_datasets(&fx)->release(data);
    free_rows(&r);
}

#define BOOSTED                                                                                    \
    "{\"gbdt\": {\"rounds\": 6, \"base\": {\"tree\": {\"max_leaves\": 20, \"sums\": \"packed\", "  \
    "%s}}}}"

START_TEST(the_trees_are_the_same) {
    static const int64_t sizes[] = {300, 5000, 70000}; /* the last has wide cells above */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        compare(ENSEMBLE, BOOSTED, LATHE_TASK_BINARY, sizes[i], 0, NULL, 1);
        ck_assert_msg(strcmp(said, "tree: 60 columns are looked at as 11") == 0, "%s", said);
        compare(ENSEMBLE, BOOSTED, LATHE_TASK_REGRESSION, sizes[i], 0, NULL, 1);
    }
    compare(LEARNER, "{\"tree\": {\"max_leaves\": 40, \"sums\": \"packed\", \"min_rows\": 3, %s}}",
            LATHE_TASK_BINARY, 6000, 0, NULL, 1);
    compare(ENSEMBLE,
            "{\"adaboost\": {\"rounds\": 5, \"base\": {\"tree\": {\"max_leaves\": 4, \"sums\": "
            "\"packed\", %s}}}}",
            LATHE_TASK_BINARY, 6000, 0, NULL, 1);
    compare(
        ENSEMBLE,
        "{\"gbdt\": {\"rounds\": 5, \"sampling\": \"gradient\", \"feature_share\": 0.6, \"base\": "
        "{\"tree\": {\"max_leaves\": null, \"max_depth\": 5, \"sums\": \"packed\", "
        "\"monotone\": {\"x54\": 1, \"x0\": -1}, %s}}}}",
        LATHE_TASK_REGRESSION, 20000, 0, NULL, 1);
}
END_TEST

/* Features that have values in the same rows stay apart; the others still go together. */
START_TEST(conflicts_are_kept_apart) {
    compare(ENSEMBLE, BOOSTED, LATHE_TASK_REGRESSION, 9000, 1, NULL, 1);
    ck_assert_msg(strcmp(said, "tree: 60 columns are looked at as 16") == 0, "%s", said);
}
END_TEST

/* Where it does not pay, or where trees draw their features, or sums are exact, nothing is bundled. */
START_TEST(others_are_left_alone) {
    compare(LEARNER,
            "{\"tree\": {\"max_leaves\": 20, \"sums\": \"packed\", \"features_per_split\": 5, %s}}",
            LATHE_TASK_BINARY, 5000, 0, NULL, 0);
    compare(LEARNER, "{\"tree\": {\"max_leaves\": 20, \"sums\": \"exact\", %s}}", LATHE_TASK_BINARY,
            5000, 0, NULL, 0);
    enum { N = 5000, FEW = 6 };
    static float x[N * FEW], y[N];
    signal_data(3, LATHE_TASK_BINARY, 2, N, FEW, x, y);
    lathe_dataset *data = make_data(LATHE_TASK_BINARY, 2, N, FEW, x, y, NULL, signal_categories);
    lathe_instance t;
    said[0] = 0;
    must_fit(LEARNER, "\"tree\"", LATHE_TASK_BINARY, 2, data, NULL, &t);
    ck_assert_msg(said[0] == 0, "%s", said);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* A fit to some of the rows and features, after one to all of them in the same context. */
START_TEST(parts_in_the_same_context) {
    enum { N = 6000, FEW = 9 };
    static const int32_t features[FEW] = {0, 1, 13, 30, 47, 48, 49, 54, 58};
    rows r = make_rows(N, LATHE_TASK_REGRESSION, 0);
    lathe_dataset *data = data_of(&r, LATHE_TASK_REGRESSION);
    lathe_state *states[2];
    float *g = calloc(N, sizeof *g), *h = calloc(N, sizeof *h);
    int32_t *some_rows = calloc(N, sizeof *some_rows);
    ck_assert(g && h && some_rows);
    for (int i = 0; i < N; i++) {
        g[i] = 1 - r.y[i];
        h[i] = 1;
    }
    for (int i = 0; i < N / 2; i++)
        some_rows[i] = 2 * i;
    for (int b = 0; b < 2; b++) {
        lathe_instance t;
        lathe_error err = {0};
        void *context = NULL;
        fixture_create(&fx, LEARNER,
                       b ? "{\"tree\": {\"sums\": \"packed\", \"bundle\": true}}"
                         : "{\"tree\": {\"sums\": \"packed\", \"bundle\": false}}",
                       LATHE_TASK_REGRESSION, &t);
        lathe_open open = {
            .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = data};
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                         .key = 3,
                         .gradient = g,
                         .hessian = h,
                         .gradient_stride = 1};
        fixture_ok(learner_of(&t)->open(t.self, &open, &context, &err), &err, "open");
        fixture_ok(learner_of(&t)->fit(t.self, context, &fit, &err), &err, "all");
        fit.rows = some_rows;
        fit.n_rows_used = N / 2;
        fit.features = features;
        fit.n_features_used = FEW;
        fixture_ok(learner_of(&t)->fit(t.self, context, &fit, &err), &err, "some");
        learner_of(&t)->close(t.self, context);
        states[b] = saved(&t);
        lathe_instance_destroy(&t);
    }
    ck_assert(nodes_equal(states[0], states[1]));
    lathe_state_free(states[0]);
    lathe_state_free(states[1]);
    free(some_rows);
    free(g);
    free(h);
    fixture_datasets(&fx)->release(data);
    free_rows(&r);
}
END_TEST

int main(void) {
    Suite *s = suite_create("bundle");
    TCase *c = tcase_create("bundle");
    tcase_add_checked_fixture(c, setup_heard, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, the_trees_are_the_same);
    tcase_add_test(c, conflicts_are_kept_apart);
    tcase_add_test(c, others_are_left_alone);
    tcase_add_test(c, parts_in_the_same_context);
    suite_add_tcase(s, c);
    return run_suite(s);
}
