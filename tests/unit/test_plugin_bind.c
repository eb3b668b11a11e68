/* Binding: every type, every bound, every fault with its place, nesting, candidates, defaults by
 * task. */
#include "plugin_fixture.h"

#include "../fixtures/plugins/probe.h"

#include <math.h>

static fixture fx;

static void setup(void) {
    static const char *const names[] = {"probe", "rogue", NULL};
    fixture_open_some(&fx, 1, names);
}

static void teardown(void) {
    fixture_close(&fx);
}

static lathe_component *bind_task(const char *use, int32_t task) {
    return fixture_component(&fx, LATHE_KIND_ACTIVATION, use, task);
}

static const probe_config *config_of(const lathe_component *c) {
    return c->config;
}

START_TEST(defaults) {
    lathe_component *c = bind_task("probe", 0);
    const probe_config *p = config_of(c);
    ck_assert_int_eq(p->flag, 1);
    ck_assert_int_eq(p->flag_or_null, -1);
    ck_assert_int_eq(p->count, 3);
    ck_assert(p->count_or_null == LATHE_INT_NULL);
    ck_assert_double_eq(p->rate, 0.5);
    ck_assert(isnan(p->rate_or_null));
    ck_assert_str_eq(p->text, "hello");
    ck_assert_ptr_null(p->path);
    ck_assert_int_eq(p->mode, 1);
    ck_assert_int_eq(p->batch.choice, 0);
    ck_assert_int_eq(p->batch_or_null.choice, -1);
    ck_assert(p->batch_or_null.value == LATHE_INT_NULL);
    ck_assert_int_eq(p->fill.type, LATHE_SCALAR_NUMBER);
    ck_assert_int_eq(p->fill_or_null.type, LATHE_SCALAR_NULL);
    ck_assert_int_eq(p->point.units, 8);
    ck_assert_int_eq(p->point.mode, 2);
    ck_assert_ptr_null(p->point.activation);
    ck_assert_int_eq(p->counts.count, 2);
    ck_assert_int_eq(((const int64_t *)p->counts.items)[1], 2);
    ck_assert_int_eq(p->rates_or_null.count, -1);
    ck_assert_int_eq(p->points.count, 1);
    ck_assert_int_eq(((const probe_point *)p->points.items)[0].units, 2);
    ck_assert_int_eq(p->texts.count, 0);
    ck_assert_int_eq(p->weights.count, 0);
    ck_assert_str_eq(p->by_task->descriptor->name, "small_c");
    ck_assert_ptr_nonnull(p->columns);
    ck_assert_uint_eq(c->n_children, 1);
    lathe_component_free(c);
}
END_TEST

START_TEST(given) {
    lathe_component *c = bind_task(
        "{\"probe\": {\"flag\": false, \"flag_or_null\": true, \"number\": 10, \"count_or_null\": "
        "-5,"
        "\"rate\": 0.25, \"rate_or_null\": 1, \"text\": \"\\u00e9\", \"path\": \"x.csv\","
        "\"mode\": \"slow\", \"batch\": 128, \"batch_or_null\": \"auto\", \"fill\": \"none\","
        "\"fill_or_null\": true, \"point\": {\"units\": 1, \"activation\": \"small_a\"},"
        "\"counts\": 7, \"rates_or_null\": [0.5], \"points\": [{\"units\": 5, \"rate\": 0.5},"
        "{\"units\": 6, \"mode\": \"slow\"}], \"texts\": [\"a\", \"b\"],"
        "\"weights\": {\"z\": 1.5, \"a/b\": 2}, \"parts\": [\"small_b\", {\"probe\": {\"count\": "
        "9}}],"
        "\"named\": {\"n\": \"small_a\"}, \"inner\": {\"org.test.small_b\": {}},"
        "\"columns\": {\"except\": [\"x\", \"y*\"]}, \"column_sets\": [\"all\", [\"q\"]]}}",
        0);
    const probe_config *p = config_of(c);
    ck_assert_int_eq(p->flag, 0);
    ck_assert_int_eq(p->flag_or_null, 1);
    ck_assert_int_eq(p->count, 10); /* by its older name */
    ck_assert_int_eq(p->count_or_null, -5);
    ck_assert_double_eq(p->rate_or_null, 1);
    ck_assert_str_eq(p->text, "\xC3\xA9");
    ck_assert_int_eq(p->batch.value, 128);
    ck_assert_int_eq(p->batch.choice, -1);
    ck_assert_int_eq(p->batch_or_null.choice, 1);
    ck_assert_str_eq(p->fill.string, "none");
    ck_assert_int_eq(p->fill_or_null.boolean, 1);
    ck_assert_str_eq(p->point.activation->descriptor->name, "small_a");
    ck_assert_int_eq(p->counts.count, 1); /* one element alone */
    ck_assert_int_eq(((const int64_t *)p->counts.items)[0], 7);
    const probe_point *points = p->points.items;
    ck_assert_int_eq(p->points.count, 2);
    ck_assert_double_eq(points[0].rate, 0.5);
    ck_assert_int_eq(points[1].mode, 0);
    ck_assert_str_eq(((const char *const *)p->texts.items)[1], "b");
    ck_assert_str_eq(p->weights.keys[1], "a/b"); /* the author's order */
    ck_assert_double_eq(((const double *)p->weights.values)[0], 1.5);
    const lathe_component *const *parts = p->parts.items;
    ck_assert_int_eq(config_of(parts[1])->count, 9);
    ck_assert_str_eq(((const lathe_component *const *)p->named.values)[0]->descriptor->name,
                     "small_a");
    ck_assert_str_eq(p->inner->descriptor->name, "small_b");
    ck_assert_uint_eq(c->n_children, 6);
    ck_assert_uint_eq(c->n_paths, 1);
    ck_assert_str_eq(c->paths[0].pointer, "/path");
    /* The resolved text gives the same again, and itself. */
    lathe_component *again = bind_task(c->resolved, 0);
    ck_assert_str_eq(again->resolved, c->resolved);
    ck_assert_double_eq(config_of(again)->rate, 0.25);
    ck_assert_int_eq(
        config_of(((const lathe_component *const *)config_of(again)->parts.items)[1])->count, 9);
    ck_assert_str_eq(parts[1]->resolved,
                     ((const lathe_component *const *)config_of(again)->parts.items)[1]->resolved);
    cJSON *tree = lathe_component_tree(c);
    ck_assert_str_eq(tree->child->string, "org.test.probe");
    cJSON_Delete(tree);
    lathe_component_free(again);
    lathe_component_free(c);
}
END_TEST

START_TEST(task_defaults) {
    lathe_component *c = bind_task("probe", LATHE_TASK_REGRESSION);
    ck_assert_str_eq(config_of(c)->by_task->descriptor->name, "small_a");
    lathe_component_free(c);
    c = bind_task("probe", LATHE_TASK_BINARY);
    ck_assert_str_eq(config_of(c)->by_task->descriptor->name, "small_b");
    lathe_component_free(c);
    c = bind_task("probe", LATHE_TASK_MULTICLASS);
    ck_assert_str_eq(config_of(c)->by_task->descriptor->name, "small_c");
    lathe_component_free(c);
}
END_TEST

/* Bounds: what is just inside is taken, what is just outside is not. */
START_TEST(bounds) {
    static const struct {
        const char *param, *good, *bad;
    } cases[] = {
        {"count", "1", "0"},
        {"count", "10", "11"},
        {"count", "2.0", "2.5"},
        {"count", "1e1", "1e2"},
        {"count_or_null", "-5", "-6"},
        {"count_or_null", "5", "6"},
        {"count_or_null", "null", "\"5\""},
        {"rate", "1e-300", "0"},
        {"rate", "0.9999999999999999", "1"},
        {"rate_or_null", "0", "-1e-300"},
        {"rate_or_null", "1", "1.0000000000000002"},
        {"batch", "1", "0"},
        {"batch", "1000000", "1000001"},
        {"batch", "\"auto\"", "\"some\""},
        {"batch", "\"full\"", "null"},
        {"flag", "true", "1"},
        {"flag", "false", "\"true\""},
        {"flag_or_null", "null", "[]"},
        {"text", "\"\"", "5"},
        {"mode", "\"exact\"", "\"Exact\""},
        {"mode", "\"slow\"", "0"},
        {"fill", "1.5", "null"},
        {"fill", "\"x\"", "[]"},
        {"fill", "false", "{}"},
        {"counts", "[1]", "[]"},
        {"counts", "[1,2,3,4]", "[1,2,3,4,5]"},
        {"counts", "[0]", "[-1]"},
        {"counts", "100", "101"},
        {"counts", "[1]", "null"},
        {"rates_or_null", "[]", "0.5"},
        {"weights", "{}", "[]"},
        {"weights", "{\"a\": 0}", "{\"a\": -1}"},
        {"weights", "{\"a\": 1000}", "{\"a\": \"1\"}"},
        {"point", "{\"units\": 1000}", "{\"units\": 1001}"},
        {"point", "{\"units\": 1, \"rate\": 0}", "{\"units\": 1, \"rate\": 1}"},
        {"point", "{\"units\": 1}", "{}"},
        {"point", "{\"units\": 1}", "null"},
        {"points", "[]", "{}"},
        {"inner", "null", "5"},
        {"inner", "\"small_a\"", "\"small_z\""},
        {"inner", "{\"small_a\": {}}", "{}"},
        {"inner", "{\"small_a\": {}}", "{\"small_a\": {}, \"small_b\": {}}"},
        {"inner", "{\"small_a\": {}}", "{\"small_a\": 5}"},
        {"inner", "{\"small_a\": {}}", "{\"small_a\": {\"x\": 1}}"},
        {"inner", "\"org.test.small_a\"", "\"rogue\""},
        {"columns", "[\"a\", \"b\"]", "[\"a\", 5]"},
        {"columns", "{\"names\": [\"numeric\"]}", "{\"names\": \"numeric\"}"},
        {"columns", "\"time\"", "\"\""},
        {"columns", "{\"except\": \"a\"}", "{\"without\": \"a\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"probe\": {\"%s\": %s}}", cases[i].param, cases[i].good);
        lathe_component_free(bind_task(text, 0));
        snprintf(text, sizeof text, "{\"probe\": {\"%s\": %s}}", cases[i].param, cases[i].bad);
        fixture_refused(&fx, LATHE_KIND_ACTIVATION, text, 0, NULL);
    }
}
END_TEST

/* Binds a document's "use" and gives its faults as text. */
static void faults(const char *document, lathe_buf *out) {
    lathe_diags diags = {0};
    lathe_binder binder = {.catalogue = fx.catalogue, .load = true};
    lathe_json *doc = lathe_json_parse(document, strlen(document), "doc.json", &diags);
    ck_assert_ptr_nonnull(doc);
    const cJSON *root = lathe_json_root(doc);
    binder.candidates = lathe_json_get(root, "candidates");
    lathe_component *c =
        lathe_bind(&binder, doc, lathe_json_get(root, "use"), LATHE_KIND_ACTIVATION, &diags);
    ck_assert((c == NULL) == lathe_diags_any(&diags));
    lathe_diags_sort(&diags);
    lathe_diags_format(&diags, out);
    lathe_component_free(c);
    lathe_diags_free(&diags);
    lathe_json_free(doc);
}

/* All faults at once, each at its place, with what is expected and the nearest name. */
START_TEST(places) {
    lathe_buf out = {0};
    faults("{\"use\":\n"
           "  {\"probe\": {\n"
           "    \"count\": 0,\n"
           "    \"raet\": 0.5,\n"
           "    \"mode\": \"fats\",\n"
           "    \"point\": {\"unit\": 5},\n"
           "    \"points\": [{\"units\": 1}, {\"units\": \"many\"}],\n"
           "    \"weights\": {\"a/b\": -1},\n"
           "    \"parts\": [\"small_a\", {\"small_q\": {}}],\n"
           "    \"text\": \"forbidden\",\n"
           "    \"unheard\": 1,\n"
           "    \"columns\": [\"a\", {}]\n"
           "  }}}",
           &out);
    const char *text = lathe_buf_str(&out);
    static const char *const wanted[] = {
        "doc.json:3:14: \"count\" is 0; expected an integer from 1 to 10 rows (at "
        "/use/probe/count)",
        "doc.json:4:5: \"probe\" has no parameter \"raet\"; did you mean \"rate\"? (at "
        "/use/probe/raet)",
        "doc.json:5:13: \"mode\" is \"fats\"; expected one of \"slow\", \"fast\", \"exact\"; did "
        "you mean "
        "\"fast\"? (at /use/probe/mode)",
        "doc.json:6:14: \"point\" needs \"units\"",
        "doc.json:6:15: \"point\" has no parameter \"unit\"; did you mean \"units\"?",
        "doc.json:7:40: \"units\" is \"many\"; expected an integer from 1 to 1000 units",
        "(at /use/probe/points/1/units)",
        "(at /use/probe/weights/a~1b)",
        "doc.json:9:27: there is no plugin \"small_q\" that is an activation; did you mean "
        "\"small_a\"? "
        "(at /use/probe/parts/1/small_q)",
        "doc.json:11:5: \"probe\" has no parameter \"unheard\"; known are flag, flag_or_null, "
        "count",
        "(at /use/probe/columns/1)",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        ck_assert_msg(strstr(text, wanted[i]) != NULL, "missing: %s\nin:\n%s", wanted[i], text);
    }
    lathe_buf_free(&out);
}
END_TEST

START_TEST(cross_field) {
    lathe_buf out = {0};
    faults("{\"use\": {\"probe\": {\"count\": 2,\n \"text\": \"forbidden\"}}}", &out);
    ck_assert_str_eq(lathe_buf_str(&out),
                     "doc.json:2:10: \"forbidden\" does not go with this (at /use/probe/text)\n");
    lathe_buf_free(&out);
}
END_TEST

START_TEST(aliases) {
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"probe\": {\"count\": 1, \"number\": 2}}", 0,
                    "older name");
}
END_TEST

START_TEST(candidates) {
    lathe_buf out = {0};
    faults("{\"candidates\": {\"a\": {\"probe\": {\"count\": 4}}},"
           "\"use\": {\"probe\": {\"inner\": {\"candidate\": \"a\"}}}}",
           &out);
    ck_assert_str_eq(lathe_buf_str(&out), "");
    lathe_buf_clear(&out);
    faults("{\"candidates\": {\"alpha\": \"small_a\"},\n\"use\": {\"probe\": {\"inner\": "
           "{\"candidate\": "
           "\"alhpa\"}}}}",
           &out);
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&out),
                                 "doc.json:2:42: there is no candidate \"alhpa\"; did "
                                 "you mean \"alpha\"?"));
    lathe_buf_clear(&out);
    faults("{\"use\": {\"probe\": {\"inner\": {\"candidate\": \"a\"}}}}", &out);
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&out), "cannot be named here"));
    lathe_buf_clear(&out);
    faults("{\"candidates\": {\"a\": {\"probe\": {\"inner\": {\"candidate\": \"b\"}}},"
           "\"b\": {\"probe\": {\"inner\": {\"candidate\": \"a\"}}}},"
           "\"use\": {\"candidate\": \"a\"}}",
           &out);
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&out), "made of itself"));
    lathe_buf_clear(&out);
    faults(
        "{\"candidates\": {\"a\": {\"probe\": {\"count\": 99}}}, \"use\": {\"candidate\": \"a\"}}",
        &out);
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&out), "candidate \"a\" cannot be used here"));
    lathe_buf_free(&out);
}
END_TEST

START_TEST(depth) {
    lathe_buf text = {0};
    for (int i = 0; i < 11; i++)
        lathe_buf_append_str(&text, "{\"probe\": {\"inner\": ");
    lathe_buf_append_str(&text, "\"small_a\"");
    for (int i = 0; i < 11; i++)
        lathe_buf_append_str(&text, "}}");
    lathe_component_free(bind_task(lathe_buf_str(&text), 0));
    lathe_buf_clear(&text);
    for (int i = 0; i < 20; i++)
        lathe_buf_append_str(&text, "{\"probe\": {\"inner\": ");
    lathe_buf_append_str(&text, "\"small_a\"");
    for (int i = 0; i < 20; i++)
        lathe_buf_append_str(&text, "}}");
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, lathe_buf_str(&text), 0,
                    "nested more than 12 deep");
    lathe_buf_free(&text);
}
END_TEST

static int32_t resolver(void *user, const char *path, char **resolved, lathe_error *err) {
    (void)user;
    if (strcmp(path, "secret") == 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "it lies outside of the data folders");
    *resolved = malloc(64);
    snprintf(*resolved, 64, "/data/%s", path);
    return LATHE_OK;
}

START_TEST(paths) {
    lathe_binder binder = {.catalogue = fx.catalogue, .resolve_path = resolver};
    lathe_component *c = NULL;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_bind_use(&binder, NULL,
                                    "{\"probe\": {\"inner\": {\"probe\": {\"path\": \"a.csv\"}}}}",
                                    &c, &err),
                     LATHE_OK);
    ck_assert_uint_eq(c->n_paths, 1);
    ck_assert_str_eq(c->paths[0].pointer, "/inner/path");
    ck_assert_str_eq(c->paths[0].given, "a.csv");
    ck_assert_str_eq(c->paths[0].resolved, "/data/a.csv");
    ck_assert_str_eq(config_of(config_of(c)->inner)->path, "/data/a.csv");
    ck_assert_ptr_null(strstr(c->resolved, "/data/")); /* a model holds no paths of this machine */
    lathe_component_free(c);
    ck_assert_int_ne(lathe_bind_use(&binder, NULL, "{\"probe\": {\"path\": \"secret\"}}", &c, &err),
                     LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "outside of the data folders"));
}
END_TEST

START_TEST(tasks) {
    fixture_refused(&fx, LATHE_KIND_LEARNER, "rogue", LATHE_TASK_BINARY,
                    "serves regression, and the task is binary classification");
    lathe_component_free(
        fixture_component(&fx, LATHE_KIND_LEARNER, "rogue", LATHE_TASK_REGRESSION));
}
END_TEST

/* Changed documents never crash it, and what is refused has a reason. */
START_TEST(mutations) {
    static const char base[] =
        "{\"probe\":{\"count\":5,\"rate\":0.5,\"mode\":\"fast\",\"batch\":\"full\",\"points\":[{"
        "\"units\":3}],"
        "\"weights\":{\"a\":1},\"inner\":{\"small_a\":{}},\"columns\":[\"a\",{\"except\":\"b\"}]}}";
    static const char alphabet[] = "{}[]\":,0159.-aentlr_\\";
    uint64_t seed = 12345;
    for (int round = 0; round < 3000; round++) {
        char text[sizeof base];
        memcpy(text, base, sizeof base);
        for (int k = 0; k < 1 + round % 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % (sizeof base - 1)] = alphabet[(seed >> 20) % (sizeof alphabet - 1)];
        }
        lathe_binder binder = {.catalogue = fx.catalogue};
        lathe_component *c = NULL;
        lathe_error err = {0};
        if (lathe_bind_use(&binder, NULL, text, &c, &err) == LATHE_OK)
            lathe_component_free(c);
        else
            ck_assert_msg(err.message[0] != '\0', "%s", text);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_bind");
    TCase *t = tcase_create("bind");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, defaults);
    tcase_add_test(t, given);
    tcase_add_test(t, task_defaults);
    tcase_add_test(t, bounds);
    tcase_add_test(t, places);
    tcase_add_test(t, cross_field);
    tcase_add_test(t, aliases);
    tcase_add_test(t, candidates);
    tcase_add_test(t, depth);
    tcase_add_test(t, paths);
    tcase_add_test(t, tasks);
    tcase_add_test(t, mutations);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
