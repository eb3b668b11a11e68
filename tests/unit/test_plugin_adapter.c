/* The host puts the adapter around learners that lack something, and the result saves and loads. */
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 2);
}

static void teardown(void) {
    fixture_close(&fx);
}

enum { ROWS = 60, COLUMNS = 2 };
static float matrix[ROWS * COLUMNS], target[ROWS], weight[ROWS];

static lathe_dataset *make_data(bool missing, bool weights) {
    for (int r = 0; r < ROWS; r++) {
        matrix[2 * r] = (float)(r % 10);
        matrix[2 * r + 1] = missing && r % 7 == 0 ? NAN : (float)(r % 3);
        target[r] = (float)(r % 10 >= 5);
        weight[r] = 1 + (float)(r % 2);
    }
    return fixture_dataset(&fx, LATHE_TASK_BINARY, 2, ROWS, COLUMNS, matrix, target,
                           weights ? weight : NULL);
}

static const char *made_of(const lathe_instance *i) {
    return lathe_instance_component(i)->descriptor->id;
}

/* Which plugin stands there for `use` on such data. */
static void create(const char *use, uint32_t needs, const lathe_dataset *data, lathe_instance *i) {
    lathe_error err = {0};
    lathe_component *c = fixture_component(&fx, LATHE_KIND_LEARNER, use, LATHE_TASK_BINARY);
    fixture_ok(lathe_instance_create(fx.runtime, c, needs, data, i, &err), &err, use);
    lathe_component_free(c);
}

START_TEST(when_it_is_needed) {
    static const char *const learners[] = {"constant", "linear", "mlp", "tree"};
    lathe_dataset *plain = make_data(false, false), *missing = make_data(true, true);
    for (int k = 0; k < 4; k++) {
        lathe_instance i;
        create(learners[k], 0, NULL, &i);
        uint32_t flags = i.descriptor->flags;
        ck_assert_str_ne(made_of(&i), "lathe.ensemble.adapt");
        lathe_instance_destroy(&i);
        create(learners[k], LATHE_LEARNER_TAKES_GRADIENTS, NULL, &i);
        ck_assert_int_eq(strcmp(made_of(&i), "lathe.ensemble.adapt") == 0,
                         !(flags & LATHE_LEARNER_TAKES_GRADIENTS));
        lathe_instance_destroy(&i);
        create(learners[k], 0, plain, &i);
        ck_assert_int_eq(strcmp(made_of(&i), "lathe.ensemble.adapt") == 0,
                         (flags & LATHE_LEARNER_WANTS_SCALED) != 0);
        lathe_instance_destroy(&i);
        create(learners[k], 0, missing, &i);
        uint32_t both = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_WEIGHTS;
        ck_assert_int_eq(strcmp(made_of(&i), "lathe.ensemble.adapt") == 0,
                         (flags & LATHE_LEARNER_WANTS_SCALED) != 0 || (flags & both) != both);
        lathe_instance_destroy(&i);
    }
    fixture_datasets(&fx)->release(plain);
    fixture_datasets(&fx)->release(missing);
}
END_TEST

/* fit, predict, save, load, predict: the same bits. */
START_TEST(round_trip) {
    static const char *const uses[] = {"constant", "linear", "tree", "{\"mlp\": {\"epochs\": 3}}"};
    lathe_dataset *data = make_data(true, true);
    for (int k = 0; k < 4; k++) {
        lathe_error err = {0};
        lathe_instance i, j;
        lathe_state *state;
        void *context;
        float out[ROWS], again[ROWS];
        create(uses[k], 0, data, &i);
        lathe_open open = {
            .struct_size = sizeof open, .task = LATHE_TASK_BINARY, .n_classes = 2, .data = data};
        lathe_fit fit = {.struct_size = sizeof fit, .key = 11};
        fixture_ok(lathe_call_open(&i, &open, &context, &err), &err, uses[k]);
        fixture_ok(lathe_call_fit(&i, context, &fit, &err), &err, uses[k]);
        lathe_call_close(&i, context);
        fixture_ok(lathe_call_predict(&i, ROWS, matrix, COLUMNS, out, &err), &err, uses[k]);
        fixture_ok(lathe_state_save(&i, &state, &err), &err, uses[k]);
        lathe_instance_destroy(&i);
        fixture_ok(lathe_state_load(fx.runtime, state, 0, &j, &err), &err, uses[k]);
        lathe_state_free(state);
        fixture_ok(lathe_call_predict(&j, ROWS, matrix, COLUMNS, again, &err), &err, uses[k]);
        ck_assert_mem_eq(out, again, sizeof out);
        lathe_instance_destroy(&j);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_adapter");
    TCase *t = tcase_create("adapter");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, when_it_is_needed);
    tcase_add_test(t, round_trip);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
