/* Schema, info and list: valid JSON, every reference leads somewhere, nothing is left out. */
#include "plugin_fixture.h"

#include "plugin/describe.h"
#include "plugin/selector.h"

static fixture fx;

static void setup(void) {
    static const char *const names[] = {"probe", "rogue", "bad_magic", NULL};
    fixture_open_some(&fx, 1, names);
}

static void teardown(void) {
    fixture_close(&fx);
}

static lathe_json *parsed(const lathe_buf *text) {
    lathe_error err = {0};
    lathe_json *doc = lathe_json_read(text->data, text->len, NULL, NULL, &err);
    ck_assert_msg(doc != NULL && !text->failed, "%s: %s", err.where, err.message);
    return doc;
}

static void check_refs(const cJSON *defs, const cJSON *node) {
    for (const cJSON *c = node->child; c != NULL; c = c->next) {
        if (c->string != NULL && strcmp(c->string, "$ref") == 0) {
            ck_assert_msg(strncmp(c->valuestring, "#/$defs/", 8) == 0, "%s", c->valuestring);
            ck_assert_msg(lathe_json_get(defs, c->valuestring + 8) != NULL, "%s", c->valuestring);
        }
        check_refs(defs, c);
    }
}

START_TEST(schema) {
    lathe_buf text = {0};
    lathe_jsonw w = lathe_jsonw_to(&text);
    lathe_describe_schema_defs(fx.catalogue, true, &w);
    lathe_json *doc = parsed(&text);
    const cJSON *defs = lathe_json_root(doc);
    check_refs(defs, defs);
    const cJSON *probe = lathe_json_get(defs, "org.test.probe");
    const cJSON *count = lathe_json_get(lathe_json_get(probe, "properties"), "count");
    const cJSON *integer = lathe_json_get(count, "anyOf")->child;
    ck_assert_str_eq(lathe_json_get(integer, "type")->valuestring, "integer");
    ck_assert_double_eq(lathe_json_get(integer, "minimum")->valuedouble, 1);
    ck_assert_double_eq(lathe_json_get(integer, "maximum")->valuedouble, 10);
    ck_assert_double_eq(lathe_json_get(count, "default")->valuedouble, 3);
    ck_assert_str_eq(lathe_json_get(count, "description")->valuestring, "How many. (rows)");
    ck_assert_ptr_nonnull(
        lathe_json_get(lathe_json_get(probe, "properties"), "number")); /* the alias */
    const cJSON *rate = lathe_json_get(lathe_json_get(probe, "properties"), "rate");
    ck_assert_ptr_nonnull(lathe_json_get(lathe_json_get(rate, "anyOf")->child, "exclusiveMinimum"));
    /* a learner may be a candidate, an activation not */
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&text), "\"candidate\""));
    lathe_json_free(doc);
    lathe_buf_free(&text);
}
END_TEST

START_TEST(info) {
    lathe_buf text = {0}, json = {0};
    const lathe_plugin *p = lathe_catalogue_find(fx.catalogue, NULL, "probe", NULL);
    lathe_describe_plugin_text(p, &text);
    static const char *const wanted[] = {
        "probe (org.test.probe), an activation, version 1.0.0",
        "count: an integer from 1 to 10 rows; default 3; formerly number",
        "rate: a number above 0 and below 1; default 0.5",
        "batch: an integer from 1 to 1000000 or one of \"full\", \"auto\"",
        "units: an integer from 1 to 1000 units; required",
        "for regression \"small_a\"",
        ("counts: a list of 1 to 4 elements, each an integer from 0 to 100; or one such element "
         "alone"),
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        ck_assert_msg(strstr(lathe_buf_str(&text), wanted[i]) != NULL, "missing \"%s\" in\n%s",
                      wanted[i], lathe_buf_str(&text));
    lathe_jsonw w = lathe_jsonw_to(&json);
    lathe_describe_plugin_json(p, &w);
    lathe_json *doc = parsed(&json);
    ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(lathe_json_root(doc), "params")), 25);
    lathe_json_free(doc);
    lathe_buf_free(&json);
    lathe_buf_free(&text);
}
END_TEST

START_TEST(list) {
    lathe_buf text = {0}, json = {0};
    lathe_describe_list_text(fx.catalogue, NULL, &text);
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&text), "activations\n  probe "));
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&text), "not in use\n"));
    ck_assert_ptr_nonnull(strstr(lathe_buf_str(&text), "bad_magic.so cannot be used"));
    lathe_buf_clear(&text);
    lathe_describe_list_text(fx.catalogue, LATHE_KIND_LEARNER, &text);
    ck_assert_ptr_null(strstr(lathe_buf_str(&text), "activations"));
    lathe_jsonw w = lathe_jsonw_to(&json);
    lathe_describe_list_json(fx.catalogue, NULL, &w);
    lathe_json *doc = parsed(&json);
    ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(lathe_json_root(doc), "plugins")), 5);
    ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(lathe_json_root(doc), "refused")), 1);
    lathe_json_free(doc);
    lathe_buf_free(&json);
    lathe_buf_free(&text);
}
END_TEST

/* ---- selectors ---- */

static const lathe_column columns[] = {
    {.name = "age", .type = LATHE_COLUMN_INT64},
    {.name = "city", .type = LATHE_COLUMN_CATEGORY},
    {.name = "income", .type = LATHE_COLUMN_FLOAT64},
    {.name = "note", .type = LATHE_COLUMN_STRING},
    {.name = "when", .type = LATHE_COLUMN_TIMESTAMP},
    {.name = "numeric", .type = LATHE_COLUMN_CATEGORY},
    {.name = "income_2", .type = LATHE_COLUMN_FLOAT64},
};
static const lathe_table table = {0, 7, columns};

/* The columns that a selector means as text: "0,2,6", or the error's code and message. */
static void meant(const char *selector, char *out, size_t size) {
    lathe_error err = {0};
    lathe_diags diags = {0};
    lathe_arena *arena = lathe_arena_new();
    lathe_json *doc = lathe_json_read(selector, strlen(selector), NULL, NULL, &err);
    ck_assert_ptr_nonnull(doc);
    const lathe_selector *s = lathe_selector_parse(arena, doc, lathe_json_root(doc), &diags);
    ck_assert_msg(s != NULL, "%s", selector);
    const lathe_tables *tables = fx.host->get(fx.host, LATHE_HOST_TABLES);
    int32_t found[7];
    int64_t n = 0;
    int32_t rc = tables->select(fx.host, s, &table, found, 7, &n, &err);
    out[0] = '\0';
    for (int64_t i = 0; i < n; i++)
        snprintf(out + strlen(out), size - strlen(out), "%s%d", i ? "," : "", (int)found[i]);
    if (rc != LATHE_OK)
        snprintf(out, size, "%d %s", (int)rc, err.message);
    lathe_json_free(doc);
    lathe_diags_free(&diags);
    lathe_arena_free(arena);
}

START_TEST(selectors) {
    static const struct {
        const char *selector, *columns;
    } cases[] = {
        {"\"all\"", "0,1,2,3,4,5,6"},
        {"\"numeric\"", "0,2,6"},
        {"\"categorical\"", "1,5"},
        {"\"text\"", "3"},
        {"\"time\"", "4"},
        {"\"city\"", "1"},
        {"\"income*\"", "2,6"},
        {"\"?ity\"", "1"},
        {"\"*_?\"", "6"},
        {"[\"when\", \"age\", \"age\"]", "0,4"}, /* the table's order, once each */
        {"[]", ""},
        {"{\"except\": \"numeric\"}", "1,3,4,5"},
        {"{\"except\": [\"numeric\", \"note\", {\"names\": [\"numeric\"]}]}", "1,4"},
        {"{\"except\": {\"except\": \"time\"}}", "4"},
        {"{\"names\": [\"numeric\"]}", "5"},
        {"\"incme\"", "12 the table has no column \"incme\"; did you mean \"income\"?"},
        {"{\"except\": \"zzzzzz\"}", "12 the table has no column \"zzzzzz\""},
        {"\"x*\"", "12 no column fits the pattern \"x*\"; correct it or leave it out"},
        {"{\"names\": [\"income*\"]}",
         "12 the table has no column \"income*\"; did you mean \"income\"?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[600];
        meant(cases[i].selector, out, sizeof out);
        ck_assert_msg(strcmp(out, cases[i].columns) == 0, "%s: %s", cases[i].selector, out);
    }
    int32_t two[2];
    int64_t n;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_selector_resolve(NULL, &table, two, 2, &n, &err), LATHE_E_SHAPE);
    int32_t seven[7];
    ck_assert_int_eq(lathe_selector_resolve(NULL, &table, seven, 7, &n, &err), LATHE_OK);
    ck_assert_int_eq(n, 7);
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_describe");
    TCase *t = tcase_create("describe");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, schema);
    tcase_add_test(t, info);
    tcase_add_test(t, list);
    tcase_add_test(t, selectors);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
