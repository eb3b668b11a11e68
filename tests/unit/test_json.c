/* base: JSON documents: positions, strictness, all errors at once, exact integers, substitution, canonical text. */
#include "base/json.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static lathe_diags diags;

static void teardown(void) {
    lathe_diags_free(&diags);
}

static lathe_json *parse(const char *text) {
    return lathe_json_parse(text, strlen(text), "p.json", &diags);
}

static cJSON *at(const lathe_json *doc, const char *a, const char *b, const char *c) {
    cJSON *node = lathe_json_get(lathe_json_root(doc), a);
    node = b != NULL ? lathe_json_get(node, b) : node;
    return c != NULL ? lathe_json_get(node, c) : node;
}

static const char *const document =
    "{\n"
    "  \"goal\": {\"task\": \"classification\", \"gr\xC3\xB6\xC3\x9F"
    "e\": 3},\n"
    "\t\"list\": [1, [2, 3],\r\n"
    "    {\"deep~/key\": true}]\n"
    "}\n";

static void check_place(const lathe_json *doc, const cJSON *node, int line, int column,
                        int key_line, int key_column, const char *pointer) {
    int l, c;
    char text[128];
    lathe_json_where(doc, node, &l, &c);
    ck_assert_int_eq(l, line);
    ck_assert_int_eq(c, column);
    lathe_json_key_where(doc, node, &l, &c);
    ck_assert_int_eq(l, key_line);
    ck_assert_int_eq(c, key_column);
    ck_assert_str_eq(lathe_json_pointer(doc, node, text, sizeof text), pointer);
}

START_TEST(nodes_know_their_places) {
    lathe_json *doc = parse(document);
    ck_assert_ptr_nonnull(doc);
    ck_assert(!lathe_diags_any(&diags));
    check_place(doc, lathe_json_root(doc), 1, 1, 0, 0, "");
    check_place(doc, at(doc, "goal", "task", NULL), 2, 20, 2, 12, "/goal/task");
    check_place(doc,
                at(doc, "goal",
                   "gr\xC3\xB6\xC3\x9F"
                   "e",
                   NULL),
                2, 47, 2, 38,
                "/goal/gr\xC3\xB6\xC3\x9F"
                "e");
    cJSON *list = at(doc, "list", NULL, NULL);
    check_place(doc, list, 3, 10, 3, 2, "/list");
    cJSON *inner = cJSON_GetArrayItem(cJSON_GetArrayItem(list, 1), 1);
    check_place(doc, inner, 3, 18, 0, 0, "/list/1/1");
    cJSON *deep = lathe_json_get(cJSON_GetArrayItem(list, 2), "deep~/key");
    check_place(doc, deep, 4, 19, 4, 6, "/list/2/deep~0~1key");
    int l, c;
    ck_assert(!lathe_json_where(doc, NULL, &l, &c));
    ck_assert_str_eq(lathe_json_file(doc), "p.json");
    char small[6];
    ck_assert_str_eq(lathe_json_pointer(doc, inner, small, sizeof small), "/list");
    lathe_json_free(doc);
    lathe_json_free(NULL);
}
END_TEST

/* Broken documents: text, line, column, a piece of the message. */
static const struct {
    const char *text;
    int line, column;
    const char *says;
} broken[] = {
    {"", 1, 1, "empty"},
    {" \n ", 2, 2, "empty"},
    {"{\"a\": 1,}", 1, 8, "comma"},
    {"[1,\n 2,\n]", 2, 3, "comma"},
    {"[1 2]", 1, 4, "expected ',' or ']'"},
    {"{\"a\" 1}", 1, 6, "expected ':'"},
    {"{\"a\": }", 1, 7, "where a value is needed"},
    {"{a: 1}", 1, 2, "double quotes"},
    {"{'a': 1}", 1, 2, "double quotes"},
    {"{\"a\": 'b'}", 1, 7, "double quotes"},
    {"{\"a\": b}", 1, 7, "double quotes"},
    {"[NaN]", 1, 2, "NaN"},
    {"[-Infinity]", 1, 2, "not a number"},
    {"[True]", 1, 2, "True"},
    {"[nulll]", 1, 2, "nulll"},
    {"[01]", 1, 2, "not a number"},
    {"[+1]", 1, 2, "+1"},
    {"[.5]", 1, 2, ".5"},
    {"[1.]", 1, 2, "not a number"},
    {"[1e]", 1, 2, "not a number"},
    {"[-]", 1, 2, "not a number"},
    {"[0x10]", 1, 2, "not a number"},
    {"[1] // no", 1, 5, "after the end"},
    {"// no\n[1]", 1, 1, "comments"},
    {"{\"a\": 1, # no\n \"b\": 2}", 1, 10, "comments"},
    {"[1][2]", 1, 4, "after the end"},
    {"{\"a\": 1", 1, 8, "end of the document"},
    {"[1,", 1, 4, "end of the document"},
    {"[\"abc", 1, 2, "no closing quote"},
    {"[\"a\nb\"]", 1, 2, "no closing quote"},
    {"[\"a\tb\"]", 1, 4, "control character 0x09"},
    {"[\"\\x\"]", 1, 3, "after a backslash"},
    {"[\"\\u12\"]", 1, 3, "four hexadecimal"},
    {"[\"\\u0000\"]", 1, 3, "NUL"},
    {"[\"\\ud800\"]", 1, 3, "surrogate"},
    {"[\"\\udc00\\ud800\"]", 1, 3, "surrogate"},
    {"[\"\\ud800\\u0041\"]", 1, 3, "surrogate"},
    {"[\"\xFF\"]", 1, 3, "UTF-8"},
    {"{\n\"a\":\"\xC3\xA4\xC3(\"}", 2, 7, "UTF-8"},
    {"[1]\x01", 1, 4, "0x01"},
    {"]", 1, 1, "where a value is needed"},
    {"{\"a\":{\"b\":[1,x]}}", 1, 14, "x where"},
};

START_TEST(broken_documents_are_refused_in_place) {
    lathe_json *doc = parse(broken[_i].text);
    ck_assert_ptr_null(doc);
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_msg(strstr(diags.items[0].message, broken[_i].says) != NULL, "%s: %s",
                  broken[_i].text, diags.items[0].message);
    ck_assert_msg(diags.items[0].line == broken[_i].line &&
                      diags.items[0].column == broken[_i].column,
                  "%s: %d:%d %s", broken[_i].text, diags.items[0].line, diags.items[0].column,
                  diags.items[0].message);
}
END_TEST

START_TEST(errors_name_the_place_inside) {
    ck_assert_ptr_null(parse("{\"a\":{\"b\":[1,x]}}"));
    ck_assert_str_eq(diags.items[0].pointer, "/a/b");
}
END_TEST

START_TEST(every_prefix_of_a_document_is_refused) {
    size_t len = strlen(document) - 2; /* without the closing brace */
    for (size_t n = 0; n < len; n++) {
        char *copy = malloc(n + 1); /* exact size: a sanitizer sees a read beyond it */
        memcpy(copy, document, n);
        ck_assert_ptr_null(lathe_json_parse(copy, n, NULL, &diags));
        free(copy);
        ck_assert_uint_eq(diags.count, 1);
        lathe_diags_free(&diags);
    }
}
END_TEST

START_TEST(every_changed_byte_is_survived) {
    size_t len = strlen(document);
    char *copy = malloc(len);
    for (size_t n = 0; n < len; n++) {
        for (int byte = 0; byte < 256; byte += 5) {
            memcpy(copy, document, len);
            copy[n] = (char)byte;
            lathe_json *doc = lathe_json_parse(copy, len, NULL, &diags);
            ck_assert(doc != NULL || diags.count > 0);
            lathe_json_free(doc);
            lathe_diags_free(&diags);
        }
    }
    free(copy);
}
END_TEST

START_TEST(repeated_keys_are_all_reported) {
    lathe_json *doc = parse("{\"a\": 1,\n \"b\": {\"x\": 1, \"x\": [2]},\n \"a\": 1e999,\n"
                            " \"A\": 4}");
    ck_assert_ptr_nonnull(doc);
    lathe_diags_sort(&diags);
    ck_assert_uint_eq(diags.count, 3);
    ck_assert_int_eq(diags.items[0].line, 2);
    ck_assert_int_eq(diags.items[0].column, 16);
    ck_assert_str_eq(diags.items[0].pointer, "/b/x");
    ck_assert_ptr_nonnull(strstr(diags.items[1].message, "\"a\" is given twice"));
    ck_assert_ptr_nonnull(strstr(diags.items[1].message, "line 1"));
    ck_assert_ptr_nonnull(strstr(diags.items[2].message, "range of a double"));
    cJSON *root = lathe_json_root(doc);
    ck_assert_int_eq(cJSON_GetArraySize(root), 3); /* the first of each stays; case counts */
    ck_assert_double_eq(at(doc, "a", NULL, NULL)->valuedouble, 1);
    ck_assert_double_eq(at(doc, "b", "x", NULL)->valuedouble, 1);
    lathe_json_free(doc);
}
END_TEST

START_TEST(large_objects_are_read_quickly) {
    lathe_buf text = {0};
    lathe_buf_append_char(&text, '{');
    for (int i = 0; i < 50000; i++)
        lathe_buf_printf(&text, "%s\"key%d\":%d", i ? "," : "", i, i);
    lathe_buf_append_str(&text, ",\"key777\":0}");
    lathe_json *doc = lathe_json_parse(text.data, text.len, NULL, &diags);
    ck_assert_ptr_nonnull(doc);
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_int_eq(diags.items[0].line, 1);
    lathe_json_free(doc);
    lathe_buf_free(&text);
}
END_TEST

START_TEST(depth_and_size_are_bounded) {
    char text[2 * 65];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        lathe_json *doc = lathe_json_parse(text, (size_t)(2 * depth), NULL, &diags);
        ck_assert((doc != NULL) == (depth == 64));
        lathe_json_free(doc);
    }
    ck_assert_ptr_nonnull(strstr(diags.items[0].message, "64 levels"));
    lathe_error err = {0};
    const lathe_json_limits limits = {.max_bytes = 5};
    ck_assert_ptr_null(lathe_json_read("[1, 2]", 6, "x", &limits, &err));
    ck_assert_int_eq(err.code, LATHE_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "limit is 5 bytes"));
    const lathe_json_limits deep = {.max_depth = 1000000000};
    size_t n = 100000;
    char *brackets = malloc(n);
    memset(brackets, '[', n);
    ck_assert_ptr_null(lathe_json_read(brackets, n, NULL, &deep, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "levels deep"));
    free(brackets);
}
END_TEST

START_TEST(strings_are_decoded) {
    lathe_json *doc =
        parse("\xEF\xBB\xBF[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u20AC\\ud83d\\ude00\"]");
    ck_assert_ptr_nonnull(doc);
    ck_assert_str_eq(cJSON_GetArrayItem(lathe_json_root(doc), 0)->valuestring,
                     "\"\\/\b\f\n\r\t\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
    check_place(doc, cJSON_GetArrayItem(lathe_json_root(doc), 0), 1, 2, 0, 0, "/0");
    lathe_json_free(doc);
}
END_TEST

static const struct {
    const char *text;
    bool fits;
    int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"9007199254740993", true, INT64_C(9007199254740993)}, /* 2^53 + 1 */
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"1e3", true, 1000},
    {"1.0", true, 1},
    {"1.5", false, 0},
    {"1e30", false, 0},
    {"9007199254740992.0", true, INT64_C(9007199254740992)},
    {"\"1\"", false, 0},
    {"true", false, 0},
    {"null", false, 0},
};

START_TEST(integers_are_exact) {
    lathe_json *doc = parse(integers[_i].text);
    ck_assert_ptr_nonnull(doc);
    int64_t v = 0;
    ck_assert_msg(lathe_json_int64(doc, lathe_json_root(doc), &v) == integers[_i].fits, "%s",
                  integers[_i].text);
    if (integers[_i].fits)
        ck_assert_int_eq(v, integers[_i].value);
    lathe_json_free(doc);
}
END_TEST

START_TEST(numbers_are_read_as_by_strtod) {
    const char *const numbers[] = {
        "0.1",    "1e-5",  "123456.789e3", "2.2250738585072011e-308", "1.7976931348623157e308",
        "5e-324", "1e-400"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        lathe_json *doc = parse(numbers[i]);
        ck_assert(lathe_json_root(doc)->valuedouble == strtod(numbers[i], NULL));
        lathe_json_free(doc);
    }
}
END_TEST

START_TEST(grafts_inherit_the_place) {
    lathe_json *doc = parse("{\"params\": {\"n\": {\"k\": [9007199254740993]}},\n"
                            " \"train\": {\"rounds\": \"${n}\"}}");
    cJSON *old = at(doc, "train", "rounds", NULL);
    cJSON *node = lathe_json_graft(doc, doc, at(doc, "params", "n", NULL), old);
    ck_assert_ptr_nonnull(node);
    ck_assert(lathe_json_replace(doc, old, node));
    ck_assert_ptr_eq(at(doc, "train", "rounds", NULL), node);
    check_place(doc, node, 2, 22, 2, 12, "/train/rounds");
    cJSON *leaf = cJSON_GetArrayItem(lathe_json_get(node, "k"), 0);
    check_place(doc, leaf, 2, 22, 0, 0, "/train/rounds/k/0");
    int64_t v;
    ck_assert(lathe_json_int64(doc, leaf, &v));
    ck_assert_int_eq(v, INT64_C(9007199254740993));

    /* from another document, at the root of which it stands */
    lathe_json *other = lathe_json_parse("9007199254740995", 16, NULL, &diags);
    cJSON *number = lathe_json_graft(doc, other, lathe_json_root(other), node);
    lathe_json_free(other);
    ck_assert(lathe_json_replace(doc, node, number));
    ck_assert(lathe_json_int64(doc, number, &v));
    ck_assert_int_eq(v, INT64_C(9007199254740995));
    check_place(doc, number, 2, 22, 2, 12, "/train/rounds");

    /* a node made by hand, adopted; its number is not the one that stood there */
    cJSON *text = cJSON_CreateNumber(5);
    ck_assert(lathe_json_adopt(doc, text, number));
    ck_assert(lathe_json_replace(doc, number, text));
    check_place(doc, text, 2, 22, 2, 12, "/train/rounds");
    ck_assert(lathe_json_int64(doc, text, &v));
    ck_assert_int_eq(v, 5);

    cJSON *stranger = cJSON_CreateNull();
    ck_assert(!lathe_json_replace(doc, stranger, text));
    cJSON_Delete(stranger);
    lathe_json_free(doc);
}
END_TEST

START_TEST(roots_and_elements_can_be_replaced) {
    lathe_json *doc = parse("[1, 2, 3]");
    cJSON *second = cJSON_GetArrayItem(lathe_json_root(doc), 1);
    cJSON *node = cJSON_CreateString("two");
    ck_assert(lathe_json_adopt(doc, node, second));
    ck_assert(lathe_json_replace(doc, second, node));
    lathe_buf out = {0};
    lathe_json_print(doc, lathe_json_root(doc), &out);
    ck_assert_str_eq(lathe_buf_str(&out), "[1,\"two\",3]");
    check_place(doc, node, 1, 5, 0, 0, "/1");
    cJSON *root = cJSON_CreateTrue();
    ck_assert(lathe_json_adopt(doc, root, lathe_json_root(doc)));
    ck_assert(lathe_json_replace(doc, lathe_json_root(doc), root));
    ck_assert_ptr_eq(lathe_json_root(doc), root);
    lathe_buf_free(&out);
    lathe_json_free(doc);
}
END_TEST

START_TEST(trees_become_documents) {
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddItemToObject(tree, "a", cJSON_CreateNumber(1));
    lathe_json *doc = lathe_json_from_tree(tree, NULL);
    char pointer[16];
    ck_assert_str_eq(lathe_json_pointer(doc, tree->child, pointer, sizeof pointer), "/a");
    lathe_diag_add(&diags, doc, tree->child, "bad %d", 1);
    ck_assert_int_eq(diags.items[0].line, 0);
    ck_assert_str_eq(diags.items[0].pointer, "/a");
    lathe_json_free(doc);
    ck_assert_ptr_null(lathe_json_from_tree(NULL, NULL));
}
END_TEST

START_TEST(diagnostics_are_sorted_bounded_and_printed) {
    lathe_json *doc = parse("{\"b\": 1,\n \"a\": 2}");
    lathe_diag_add(&diags, doc, at(doc, "a", NULL, NULL), "second");
    lathe_diag_add_key(&diags, doc, at(doc, "b", NULL, NULL), "first, did you mean \"%s\"?", "c");
    lathe_diag_add(&diags, doc, NULL, "whole");
    lathe_diags_sort(&diags);
    lathe_buf text = {0};
    lathe_diags_format(&diags, &text);
    ck_assert_str_eq(lathe_buf_str(&text), "p.json:1:1: whole\n"
                                           "p.json:1:2: first, did you mean \"c\"? (at /b)\n"
                                           "p.json:2:7: second (at /a)\n");
    lathe_buf_free(&text);
    lathe_error err = {0};
    ck_assert_int_eq(lathe_diags_error(&diags, LATHE_E_INVALID, &err), LATHE_E_INVALID);
    ck_assert_str_eq(err.where, "p.json:1:1");
    ck_assert_str_eq(err.message, "whole (and 2 more errors)");
    for (int i = 0; i < 1000; i++)
        lathe_diag_add(&diags, doc, NULL, "again");
    ck_assert_uint_eq(diags.count, LATHE_DIAGS_MAX);
    ck_assert_uint_eq(diags.more, 1003 - LATHE_DIAGS_MAX);
    lathe_diag_add(NULL, doc, NULL, "nobody listens");
    lathe_json_free(doc);
}
END_TEST

static void check_canonical(const char *text, const char *expected) {
    lathe_json *doc = parse(text);
    lathe_buf out = {0};
    lathe_json_canonical_of(doc, lathe_json_root(doc), &out);
    ck_assert_str_eq(lathe_buf_str(&out), expected);
    lathe_json *again = parse(lathe_buf_str(&out));
    lathe_buf twice = {0};
    lathe_json_canonical_of(again, lathe_json_root(again), &twice);
    ck_assert_str_eq(lathe_buf_str(&twice), expected);
    lathe_buf_free(&out);
    lathe_buf_free(&twice);
    lathe_json_free(doc);
    lathe_json_free(again);
}

START_TEST(canonical_text_is_one_for_equal_documents) {
    check_canonical("{ \"b\" : [1.0, 1e2, -0.0, 0.10], \"a\":{\"z\":null,\"y\":true} }",
                    "{\"a\":{\"y\":true,\"z\":null},\"b\":[1,100,0,0.1]}");
    check_canonical("[9007199254740993, 1e400000000000, 1e22, 3.0e-7]",
                    "[9007199254740993,0,1e+22,3e-07]");
    check_canonical("\"\\u00e4\\/\\u001f\"", "\"\xC3\xA4/\\u001f\"");
    check_canonical("{}", "{}");
    lathe_buf out = {0};
    cJSON *number = cJSON_CreateNumber(9007199254740994.0);
    lathe_json_canonical(number, &out);
    ck_assert_str_eq(lathe_buf_str(&out), "9007199254740994");
    cJSON_Delete(number);
    lathe_buf_free(&out);
}
END_TEST

START_TEST(values_are_named_in_messages) {
    lathe_json *doc = parse("[{\"a\":1}, [1], \"text\", 12, true, null, {}, []]");
    const char *const types[] = {"an object",     "a list", "a string",  "a number",
                                 "true or false", "null",   "an object", "a list"};
    const char *const briefs[] = {"{…}", "[…]", "\"text\"", "12", "true", "null", "{}", "[]"};
    char buf[32];
    for (int i = 0; i < 8; i++) {
        const cJSON *node = cJSON_GetArrayItem(lathe_json_root(doc), i);
        ck_assert_str_eq(lathe_json_type_name(node), types[i]);
        ck_assert_str_eq(lathe_json_brief(node, buf, sizeof buf), briefs[i]);
    }
    ck_assert_str_eq(lathe_json_brief(cJSON_GetArrayItem(lathe_json_root(doc), 0), buf, 4), "{");
    lathe_json_free(doc);
}
END_TEST

START_TEST(files_are_loaded) {
    ck_assert_ptr_null(lathe_json_load("/none.json", &diags));
    ck_assert_str_eq(diags.items[0].file, "/none.json");
    lathe_error err = {0};
    ck_assert_ptr_null(lathe_json_read("{\"a\":1,\"a\":2}", 13, "m", NULL, &err));
    ck_assert_str_eq(err.where, "m:1:8");
    lathe_json *doc = lathe_json_read("{\"a\":1}", 7, "m", NULL, &err);
    ck_assert_ptr_nonnull(doc);
    lathe_json_free(doc);
}
END_TEST

/* What cJSON leaves out for want of memory is counted, in the thread that wanted it. */
START_TEST(refused_memory_is_counted) {
    lathe_json_watch_memory();
    const uint64_t before = lathe_json_refused();
    cJSON *tree = cJSON_CreateObject();
    ck_assert_ptr_nonnull(cJSON_AddStringToObject(tree, "a", "b"));
    ck_assert_uint_eq(lathe_json_refused(), before);
    volatile size_t too_much = SIZE_MAX / 2;
    ck_assert_ptr_null(cJSON_malloc(too_much));
    ck_assert_uint_eq(lathe_json_refused(), before + 1);
    cJSON_Delete(tree);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, nodes_know_their_places);
    tcase_add_loop_test(tc, broken_documents_are_refused_in_place, 0,
                        (int)(sizeof broken / sizeof broken[0]));
    tcase_add_test(tc, errors_name_the_place_inside);
    tcase_add_test(tc, every_prefix_of_a_document_is_refused);
    tcase_add_test(tc, every_changed_byte_is_survived);
    tcase_add_test(tc, repeated_keys_are_all_reported);
    tcase_add_test(tc, large_objects_are_read_quickly);
    tcase_add_test(tc, depth_and_size_are_bounded);
    tcase_add_test(tc, strings_are_decoded);
    tcase_add_loop_test(tc, integers_are_exact, 0, (int)(sizeof integers / sizeof integers[0]));
    tcase_add_test(tc, numbers_are_read_as_by_strtod);
    tcase_add_test(tc, grafts_inherit_the_place);
    tcase_add_test(tc, roots_and_elements_can_be_replaced);
    tcase_add_test(tc, trees_become_documents);
    tcase_add_test(tc, diagnostics_are_sorted_bounded_and_printed);
    tcase_add_test(tc, canonical_text_is_one_for_equal_documents);
    tcase_add_test(tc, values_are_named_in_messages);
    tcase_add_test(tc, files_are_loaded);
    tcase_add_test(tc, refused_memory_is_counted);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
