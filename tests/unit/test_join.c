/* Features of few bins in joined columns: where nothing is rounded, the trees of exact sums in every byte. */
#include "support_trees.h"

enum { F = 14, N = 24000 };

/* Values of each feature; 0: uniform. 1 and 6 are categories, 3 and 6 miss some. */
static const int values_of[F] = {2, 9, 16, 16, 15, 7, 6, 5, 42, 100, 3, 2, 1, 0};
static const int32_t categories[F] = {[1] = 12, [6] = 6};

static float x[N * F], y[N], g[N], h[N];
static uint16_t counts[N];
static char said[96];

static void listen(void *user, const lathe_event *e) {
    (void)user;
    if (e->type == LATHE_EVENT_LOG && strncmp(e->text, "tree joins: ", 12) == 0)
        snprintf(said, sizeof said, "%.90s", e->text);
}

/* Gradients are whole numbers up to `most`, which occurs: the number of levels. */
static void make_rows(int most) {
    for (int64_t i = 0; i < N; i++) {
        double score = 0;
        for (int j = 0; j < F; j++) {
            double u = some(100 + (uint64_t)j, i);
            int v = (int)(u * values_of[j]);
            x[i * F + j] = values_of[j] ? (float)v : (float)u;
            score += j % 3 == 0 ? u : j % 3 == 1 ? (double)(v % 3) / 3 : u * u - u;
            if ((j == 3 || j == 6) && some(200 + (uint64_t)j, i) < 0.1)
                x[i * F + j] = NAN;
        }
        score += some(9, i);
        y[i] = score > 3;
        g[i] = (float)(int)(most * (score - 3) / 3);
        g[i] = g[i] > (float)most ? (float)most : g[i] < (float)-most ? (float)-most : g[i];
        h[i] = 1;
        counts[i] = (uint16_t)(some(10, i) * 4);
    }
    g[5] = (float)most;
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

static void compare(int32_t task, const int32_t *are_categories, const char *more,
                    const lathe_fit *what, const char *expected) {
    int64_t k = task == LATHE_TASK_BINARY ? 2 : 0;
    lathe_dataset *data = make_data(task, k, N, F, x, y, NULL, are_categories);
    lathe_instance trees[2];
    for (int i = 0; i < 2; i++) {
        char use[200];
        said[0] = 0;
        snprintf(use, sizeof use, "{\"tree\": {\"sums\": \"%s\", \"min_rows\": 5, %s}}",
                 i ? "packed" : "exact", more);
        must_fit(LATHE_KIND_LEARNER, use, task, k, data, what, &trees[i]);
        ck_assert_msg(strcmp(said, i ? expected : "") == 0, "%s: \"%s\"", use, said);
    }
    ck_assert(gain_of(&trees[0], F) > 0);
    ck_assert_msg(same_state(&trees[0], &trees[1]), "%s: packed and exact differ", more);
    lathe_instance_destroy(&trees[0]);
    lathe_instance_destroy(&trees[1]);
    fixture_datasets(&fx)->release(data);
}

#define JOINED "tree joins: 13 features are added in 6 columns"

START_TEST(counts_are_the_same) {
    lathe_fit all = {.key = 3}, bag = {.key = 4, .counts = counts};
    make_rows(100);
    compare(LATHE_TASK_BINARY, categories, "\"max_leaves\": 60", &all, JOINED);
    compare(LATHE_TASK_BINARY, categories, "\"max_leaves\": null, \"max_depth\": 6", &bag, JOINED);
}
END_TEST

START_TEST(gradients_are_the_same) {
    lathe_fit fit = {.key = 3, .gradient = g, .hessian = h, .gradient_stride = 1};
    make_rows(((1 << 23) - 1) / N);
    compare(LATHE_TASK_REGRESSION, categories, "\"max_leaves\": 60", &fit, JOINED);
    compare(LATHE_TASK_REGRESSION, NULL, "\"max_leaves\": 7", &fit, JOINED);
}
END_TEST

/* Levels so few that cells have 32 bits. */
START_TEST(few_levels_are_the_same) {
    lathe_fit fit = {.key = 3, .gradient = g, .hessian = h, .gradient_stride = 1};
    make_rows(7);
    compare(LATHE_TASK_REGRESSION, NULL, "\"max_leaves\": 60, \"gradient_levels\": 15", &fit,
            JOINED);
}
END_TEST

/* A fit to some features, after one to all in the same context, is that of a context of its own. */
START_TEST(some_features_in_the_same_context) {
    static const int32_t features[] = {0, 2, 3, 7, 8, 9, 13};
    make_rows(300);
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, N, F, x, y, NULL, categories);
    lathe_state *states[2];
    for (int after = 0; after < 2; after++) {
        lathe_instance t;
        lathe_error err = {0};
        void *context = NULL;
        fixture_create(&fx, LATHE_KIND_LEARNER, "{\"tree\": {\"sums\": \"packed\"}}",
                       LATHE_TASK_REGRESSION, &t);
        lathe_open open = {
            .struct_size = LATHE_SIZED(lathe_open), .task = LATHE_TASK_REGRESSION, .data = data};
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                         .key = 3,
                         .gradient = g,
                         .hessian = h,
                         .gradient_stride = 1};
        fixture_ok(learner_of(&t)->open(t.self, &open, &context, &err), &err, "open");
        said[0] = 0;
        if (after)
            fixture_ok(learner_of(&t)->fit(t.self, context, &fit, &err), &err, "all");
        ck_assert_int_eq(said[0] != 0, after);
        fit.features = features;
        fit.n_features_used = sizeof features / sizeof *features;
        fixture_ok(learner_of(&t)->fit(t.self, context, &fit, &err), &err, "some");
        learner_of(&t)->close(t.self, context);
        states[after] = saved(&t);
        lathe_instance_destroy(&t);
    }
    ck_assert(nodes_equal(states[0], states[1]));
    lathe_state_free(states[0]);
    lathe_state_free(states[1]);
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("join");
    TCase *c = tcase_create("join");
    tcase_add_checked_fixture(c, setup_heard, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, counts_are_the_same);
    tcase_add_test(c, gradients_are_the_same);
    tcase_add_test(c, few_levels_are_the_same);
    tcase_add_test(c, some_features_in_the_same_context);
    suite_add_tcase(s, c);
    return run_suite(s);
}
