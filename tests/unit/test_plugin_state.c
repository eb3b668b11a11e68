/* State trees: round trips, building without copies, and states that lie. */
#include "plugin_fixture.h"

static fixture fx;

static void setup(void) {
    static const char *const names[] = {"probe", "rogue", NULL};
    fixture_open_some(&fx, 1, names);
}

static void teardown(void) {
    fixture_close(&fx);
}

static const float matrix[8] = {1, 2, 3, 4, 5, 6, 7, 8}, target[4] = {1, 2, 3, 6};

/* A fitted rogue. */
static void fitted(const char *use, lathe_instance *i) {
    lathe_error err = {0};
    void *context;
    lathe_dataset *data =
        fixture_dataset(&fx, LATHE_TASK_REGRESSION, 0, 4, 2, matrix, target, NULL);
    fixture_create(&fx, LATHE_KIND_LEARNER, use, LATHE_TASK_REGRESSION, i);
    lathe_open open = {.struct_size = sizeof open, .task = LATHE_TASK_REGRESSION, .data = data};
    lathe_fit fit = {.struct_size = sizeof fit};
    fixture_ok(lathe_call_open(i, &open, &context, &err), &err, "open");
    fixture_ok(lathe_call_fit(i, context, &fit, &err), &err, "fit");
    lathe_call_close(i, context);
    fixture_datasets(&fx)->release(data);
}

static float prediction(const lathe_instance *i) {
    float out = 0;
    lathe_error err = {0};
    fixture_ok(lathe_call_predict(i, 1, matrix, 2, &out, &err), &err, "predict");
    return out;
}

static lathe_state *saved(const char *use) {
    lathe_instance i;
    lathe_state *s;
    lathe_error err = {0};
    fitted(use, &i);
    fixture_ok(lathe_state_save(&i, &s, &err), &err, "save");
    lathe_instance_destroy(&i);
    return s;
}

START_TEST(round_trip) {
    lathe_state *s = saved("{\"rogue\": {\"inner\": \"rogue\"}}");
    const lathe_state_identity *who = lathe_state_who(s);
    ck_assert_str_eq(who->plugin, "org.test.rogue");
    ck_assert_str_eq(who->version, "1.2.3");
    ck_assert_uint_eq(who->state_version, 3);
    ck_assert_uint_eq(strlen(who->digest), 64);
    ck_assert_int_eq(who->task, LATHE_TASK_REGRESSION);
    ck_assert_ptr_nonnull(strstr(who->config, "\"fault\":\"none\""));
    ck_assert_uint_eq(lathe_state_tensor_count(s), 1);
    const lathe_state_tensor *t = lathe_state_tensor_at(s, 0);
    ck_assert_str_eq(t->name, "mean");
    ck_assert_uint_eq(t->bytes, 8);
    ck_assert_uint_eq((uintptr_t)t->data % 64, 0);
    ck_assert_double_eq(*(const double *)t->data, 3);
    /* sorted by name: half, n_features, name, words */
    ck_assert_uint_eq(lathe_state_attribute_count(s), 4);
    for (size_t i = 1; i < 4; i++)
        ck_assert_int_lt(
            strcmp(lathe_state_attribute_at(s, i - 1)->name, lathe_state_attribute_at(s, i)->name),
            0);
    ck_assert_uint_eq(lathe_state_child_count(s), 1);
    const char *name;
    ck_assert_ptr_nonnull(lathe_state_child_at(s, 0, &name));
    ck_assert_str_eq(name, "inner");
    ck_assert_ptr_null(lathe_state_child_at(s, 1, NULL));
    lathe_instance i;
    lathe_error err = {0};
    fixture_ok(lathe_state_load(fx.runtime, s, 0, &i, &err), &err, "load");
    lathe_state_free(s); /* the instance keeps it */
    ck_assert_float_eq(prediction(&i), 3);
    lathe_instance_destroy(&i);
}
END_TEST

/* A copy of a node with one thing changed, built from pointers into the first, as a mapped file
 * would. */
enum change {
    SAME,
    NO_MEAN,
    MEAN_FLOAT,
    MEAN_LONG,
    FEATURES_TEXT,
    FEATURES_RANGE,
    VERSION_NEW,
    VERSION_OLD,
    VERSION_MIN,
    OTHER_PLUGIN,
    BAD_CONFIG,
    OTHER_CONFIG,
    NO_CHILD,
    WORDS
};

static int unmapped;
static void unmap(void *user) {
    (void)user;
    unmapped++;
}

static lathe_state *rebuilt(lathe_state *s, enum change change) {
    lathe_state_identity who = *lathe_state_who(s);
    lathe_error err = {0};
    lathe_state *r;
    if (change == VERSION_NEW)
        who.state_version = 4;
    if (change == VERSION_OLD)
        who.state_version = 1;
    if (change == VERSION_MIN)
        who.state_version = 2;
    if (change == OTHER_PLUGIN)
        who.plugin = "org.example.absent";
    if (change == BAD_CONFIG)
        who.config = "{\"org.test.rogue\": {\"fault\": \"nonsense\"}}";
    if (change == OTHER_CONFIG)
        who.config = "{\"org.test.probe\": {}}";
    fixture_ok(lathe_state_new(&who, &r, &err), &err, "new");
    for (size_t i = 0; i < lathe_state_tensor_count(s); i++) {
        const lathe_state_tensor *t = lathe_state_tensor_at(s, i);
        int64_t length = change == MEAN_LONG ? 0 : change == MEAN_FLOAT ? 2 : t->shape[0];
        uint8_t bits = change == MEAN_FLOAT ? 32 : t->bits;
        lathe_tensor v = {(void *)(uintptr_t)t->data,
                          LATHE_DEVICE_CPU,
                          0,
                          1,
                          t->dtype,
                          bits,
                          1,
                          &length,
                          NULL,
                          0};
        if (change != NO_MEAN)
            fixture_ok(lathe_state_add_tensor(r, t->name, &v, false, &err), &err, "tensor");
    }
    for (size_t i = lathe_state_attribute_count(s); i-- > 0;) { /* any order */
        const lathe_state_attribute *a = lathe_state_attribute_at(s, i);
        int32_t rc = LATHE_OK;
        if (change == FEATURES_TEXT && strcmp(a->name, "n_features") == 0)
            rc = lathe_state_add_string(r, a->name, (lathe_str){"2", 1}, &err);
        else if (a->type == LATHE_STATE_INTEGER)
            rc = lathe_state_add_integer(r, a->name, change == FEATURES_RANGE ? 4000 : a->integer,
                                         &err);
        else if (a->type == LATHE_STATE_NUMBER)
            rc = lathe_state_add_number(r, a->name, a->number, &err);
        else if (a->type == LATHE_STATE_STRING)
            rc = lathe_state_add_string(r, a->name, a->strings[0], &err);
        else
            rc = lathe_state_add_strings(r, a->name, a->strings, change == WORDS ? 1 : a->n, &err);
        fixture_ok(rc, &err, a->name);
    }
    for (size_t i = 0; i < lathe_state_child_count(s); i++) {
        const char *name;
        lathe_state *child = lathe_state_child_at(s, i, &name);
        if (change != NO_CHILD)
            fixture_ok(lathe_state_add_child(r, name, rebuilt(child, SAME), &err), &err, name);
    }
    lathe_state_on_free(r, unmap, NULL);
    return r;
}

START_TEST(rebuilt_states) {
    static const struct {
        enum change change;
        int32_t code;
        const char *message;
    } cases[] = {
        {SAME, LATHE_OK, ""},
        {VERSION_MIN, LATHE_OK, ""},
        {NO_MEAN, LATHE_E_CORRUPT, "no tensor \"mean\""},
        {MEAN_FLOAT, LATHE_E_CORRUPT, "32 bits"},
        {MEAN_LONG, LATHE_E_CORRUPT, "length 0 in dimension 0; expected 1"},
        {FEATURES_TEXT, LATHE_E_CORRUPT, "of type text; expected integer"},
        {FEATURES_RANGE, LATHE_E_CORRUPT, "is 4000; expected an integer from 0 to 1000"},
        {VERSION_NEW, LATHE_E_VERSION, "version 4"},
        {VERSION_OLD, LATHE_E_VERSION, "versions 2 to 3"},
        {OTHER_PLUGIN, LATHE_E_NOT_FOUND, "org.example.absent"},
        {BAD_CONFIG, LATHE_E_CORRUPT, "nonsense"},
        {OTHER_CONFIG, LATHE_E_CORRUPT, "a learner is expected"},
        {NO_CHILD, LATHE_E_CORRUPT, "no child \"inner\""},
        {WORDS, LATHE_E_CORRUPT, "not those that were saved"},
    };
    lathe_state *s = saved("{\"rogue\": {\"inner\": \"rogue\"}}");
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        lathe_error err = {0};
        lathe_instance i;
        unmapped = 0;
        lathe_state *r = rebuilt(s, cases[k].change);
        int32_t rc = lathe_state_load(fx.runtime, r, 0, &i, &err);
        ck_assert_msg(rc == cases[k].code, "%d: code %d: %s", (int)cases[k].change, (int)rc,
                      err.message);
        ck_assert_msg(strstr(err.message, cases[k].message) != NULL, "%d: %s", (int)cases[k].change,
                      err.message);
        lathe_state_free(r);
        if (rc == LATHE_OK) {
            ck_assert_int_eq(unmapped, 0);
            ck_assert_float_eq(prediction(&i), 3);
            lathe_instance_destroy(&i);
        }
        ck_assert_int_eq(unmapped, cases[k].change == NO_CHILD ? 1 : 2);
    }
    lathe_state_free(s);
}
END_TEST

START_TEST(plugins_that_lie) {
    lathe_instance i, j;
    lathe_state *s = NULL;
    lathe_error err = {0};
    fitted("{\"rogue\": {\"fault\": \"bad_state_name\"}}", &i);
    ck_assert_int_eq(lathe_state_save(&i, &s, &err), LATHE_E_INVALID);
    ck_assert_ptr_null(s);
    ck_assert_ptr_nonnull(strstr(err.message, "\"Bad Name\" is no name"));
    lathe_instance_destroy(&i);
    static const char *const faults[] = {"lie_state", "missing_state"};
    for (int k = 0; k < 2; k++) {
        char use[64];
        snprintf(use, sizeof use, "{\"rogue\": {\"fault\": \"%s\"}}", faults[k]);
        s = saved(use);
        ck_assert_int_eq(lathe_state_load(fx.runtime, s, 0, &j, &err), LATHE_E_CORRUPT);
        ck_assert_ptr_null(j.self);
        lathe_state_free(s);
    }
    s = saved("rogue");
    ck_assert_int_eq(lathe_state_load(fx.runtime, s, LATHE_LEARNER_TAKES_GRADIENTS, &j, &err),
                     LATHE_E_UNSUPPORTED);
    lathe_state_free(s);
}
END_TEST

START_TEST(building_rules) {
    lathe_state_identity who = {"a.b", "1.0.0", "", 1, 0, "{\"a.b\":{}}"};
    lathe_state *s, *child;
    lathe_error err = {0};
    double x[6] = {1, 2, 3, 4, 5, 6};
    int64_t shape[2] = {2, 3}, strides[2] = {3, 1}, wrong[2] = {1, 2}, negative[1] = {-1},
            huge[2] = {INT64_MAX, INT64_MAX};
    ck_assert_int_eq(lathe_state_new(&who, &s, &err), LATHE_OK);
    static const char *const bad[] = {"", "A", "a b", "a/b", "\xC3\xA9", NULL};
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(lathe_state_add_integer(s, bad[i], 1, &err), LATHE_E_INVALID);
    char longest[131];
    memset(longest, 'a', sizeof longest);
    longest[129] = '\0';
    ck_assert(!lathe_state_name_ok(longest));
    longest[128] = '\0';
    ck_assert(lathe_state_name_ok(longest));
    lathe_tensor t = {x, LATHE_DEVICE_CPU, 0, 2, LATHE_FLOAT, 64, 1, shape, strides, 0};
    ck_assert_int_eq(lathe_state_add_tensor(s, "x", &t, true, &err), LATHE_OK);
    ck_assert_int_eq(lathe_state_add_tensor(s, "x", &t, true, &err), LATHE_E_EXISTS);
    ck_assert_int_eq(lathe_state_add_number(s, "x", 1, &err), LATHE_E_EXISTS);
    t.strides = wrong;
    ck_assert_int_eq(lathe_state_add_tensor(s, "y", &t, true, &err), LATHE_E_SHAPE);
    t.strides = NULL;
    t.bits = 12;
    ck_assert_int_eq(lathe_state_add_tensor(s, "y", &t, true, &err), LATHE_E_SHAPE);
    t.bits = 64;
    t.shape = huge;
    ck_assert_int_eq(lathe_state_add_tensor(s, "y", &t, true, &err), LATHE_E_SHAPE);
    t.shape = negative;
    t.ndim = 1;
    ck_assert_int_eq(lathe_state_add_tensor(s, "y", &t, true, &err), LATHE_E_SHAPE);
    t.ndim = 0; /* a scalar */
    ck_assert_int_eq(lathe_state_add_tensor(s, "y", &t, true, &err), LATHE_OK);
    ck_assert_uint_eq(lathe_state_tensor_at(s, 1)->bytes, 8);
    ck_assert_int_eq(lathe_state_add_string(s, "s", (lathe_str){"\xff", 1}, &err), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_state_add_string(s, "s", (lathe_str){"a\0b", 3}, &err), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_state_add_string(s, "s", (lathe_str){"a\tb", 3}, &err), LATHE_OK);
    ck_assert_int_eq(lathe_state_add_strings(s, "none", NULL, 0, &err), LATHE_OK);
    ck_assert_int_eq(lathe_state_new(&who, &child, &err), LATHE_OK);
    ck_assert_int_eq(lathe_state_add_child(s, "x", child, &err), LATHE_E_EXISTS);
    ck_assert_int_eq(lathe_state_add_child(s, "c", child, &err), LATHE_OK);
    lathe_state_free(s);
    who.config = NULL;
    ck_assert_int_eq(lathe_state_new(&who, &s, &err), LATHE_E_CORRUPT);
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_state");
    TCase *t = tcase_create("state");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, rebuilt_states);
    tcase_add_test(t, plugins_that_lie);
    tcase_add_test(t, building_rules);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
