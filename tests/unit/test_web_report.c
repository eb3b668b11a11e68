/* web: the page of a report and of a profile: nothing in the data breaks out of it, what goes in is what the
 * script reads, huge reports are cut to what is shown, and a file that cannot be written is said clearly. */
#include "base/fs.h"
#include "base/json.h"
#include "web/page.h"
#include "web/report.h"
#include "web/slim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ISLAND "<script type=\"application/json\" id=\"data\">"

static char folder[64], path[128];

static void make_folder(void) {
    strcpy(folder, "/tmp/lathe-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/page.html", folder);
}

static void remove_folder(void) {
    ck_assert_int_eq(lathe_remove_tree(folder, NULL), LATHE_OK);
}

/* The page of the last test; read_page frees the one before. */
static char *page;

static char *read_page(size_t *len) {
    lathe_error err = {0};
    free(page);
    page = NULL;
    ck_assert_msg(lathe_read_file(path, 64u << 20, &page, len, &err) == LATHE_OK, "%s",
                  err.message);
    return page;
}

/* The data as the script sees it: the text up to the first "</", which for a browser ends the element. */
static cJSON *read_island(void) {
    size_t len;
    read_page(&len);
    char *begin = strstr(page, ISLAND);
    ck_assert_ptr_nonnull(begin);
    begin += strlen(ISLAND);
    char *end = strstr(begin, "</");
    ck_assert_ptr_nonnull(end);
    ck_assert_int_eq(strncmp(end, "</script>\n", 10), 0);
    lathe_error err = {0};
    lathe_json *doc = lathe_json_read(begin, (size_t)(end - begin), NULL, NULL, &err);
    ck_assert_msg(doc != NULL, "%s", err.message);
    cJSON *data = cJSON_Duplicate(lathe_json_root(doc), 1);
    lathe_json_free(doc);
    return data;
}

static cJSON *write_and_read(const cJSON *report) {
    lathe_error err = {0};
    ck_assert_msg(lathe_report_write(report, path, &err) == LATHE_OK, "%s: %s", err.where,
                  err.message);
    return read_island();
}

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

static cJSON *parse(const char *text) {
    cJSON *tree = cJSON_Parse(text);
    ck_assert_ptr_nonnull(tree);
    return tree;
}

START_TEST(empty_report_is_a_whole_page) {
    cJSON *report = parse("{}"), *data = write_and_read(report);
    ck_assert_int_eq(cJSON_IsObject(data) && data->child == NULL, 1);
    size_t len;
    read_page(&len);
    ck_assert_int_eq(strncmp(page, "<!DOCTYPE html>", 15), 0);
    ck_assert_uint_eq(strlen(page), len);
    ck_assert_int_eq(count(page, "<script"), 3); /* the data, the chart library, the page's own */
    ck_assert_int_eq(count(page, "</script>"), 3);
    ck_assert_int_eq(count(page, "<style>"), 1);
    ck_assert_int_eq(count(page, "</style>"), 1);
    ck_assert_ptr_nonnull(strstr(page, "Chart.js v"));
    ck_assert_ptr_nonnull(strstr(page, "Content-Security-Policy"));
    ck_assert_int_eq(count(page, "@@"), 0);
    ck_assert_int_eq(count(page, " src="), 0); /* nothing is fetched */
    ck_assert_int_eq(count(page, "<link"), 1); /* the empty icon */
    ck_assert_int_eq(count(page, "href=\"http"), 0);
    ck_assert_int_eq(count(page, "sourceMappingURL"), 0);
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

START_TEST(own_script_puts_no_markup) {
    cJSON *report = parse("{}");
    cJSON_Delete(write_and_read(report));
    cJSON_Delete(report);
    size_t len;
    read_page(&len);
    const char *own = strstr(page, "function start()");
    ck_assert_ptr_nonnull(own);
    char *script = page;
    for (char *at = strstr(page, "<script>"); at != NULL; at = strstr(at + 1, "<script>"))
        script = at; /* the last one */
    ck_assert(script < own);
    static const char *const forbidden[] = {"innerHTML",      "outerHTML", "insertAdjacentHTML",
                                            "document.write", "eval(",     "new Function",
                                            "fetch("};
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        ck_assert_msg(strstr(script, forbidden[i]) == NULL, "the page's script has %s",
                      forbidden[i]);
}
END_TEST

static const char *const hostile[] = {"</script><script>alert(1)</script>",
                                      "<!--<script>",
                                      "<img src=x onerror=alert(1)>",
                                      "&lt;b&gt; &amp;",
                                      "\"quoted\" and 'single' \\ back",
                                      "line\nbreak\ttab\x01 control\x7f",
                                      "before\xe2\x80\xa8 within \xe2\x80\xa9 after",
                                      "@@script@@ @@data@@",
                                      "${x} `template` {{y}}",
                                      "grün 日本 \xf0\x9f\x98\x80",
                                      "__proto__",
                                      "]]>"};

START_TEST(hostile_texts_stay_texts) {
    const char *text = hostile[_i];
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "name", text);
    cJSON_AddStringToObject(report, text, "as a key");
    cJSON *list = cJSON_AddArrayToObject(report, "candidates"), *candidate = cJSON_CreateObject();
    cJSON_AddItemToArray(list, candidate);
    cJSON_AddStringToObject(candidate, "name", text);
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(candidate, "validation"), text, 0.5);
    cJSON *data = write_and_read(report);
    ck_assert(cJSON_Compare(report, data, 1));
    cJSON_Delete(data);
    size_t len;
    read_page(&len);
    ck_assert_int_eq(count(page, "<script"), 3);
    ck_assert_int_eq(count(page, "</script>"), 3);
    ck_assert_int_eq(count(page, "<img"), 0);
    ck_assert_int_eq(count(page, "\xe2\x80\xa8") + count(page, "\xe2\x80\xa9"), 0);
    const char *begin = strstr(page, ISLAND) + strlen(ISLAND), *end = strstr(begin, "</script>");
    for (const char *at = begin; at < end; at++)
        ck_assert_msg(strchr("<>&", *at) == NULL, "a bare %c at byte %td", *at, at - begin);
    cJSON_Delete(report);
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_replaced) {
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "name", "a\xff\xc0\xafz\xe2\x80");
    cJSON *data = write_and_read(report);
    const char *name = lathe_json_get(data, "name")->valuestring;
    ck_assert_ptr_nonnull(strstr(name, "\xef\xbf\xbd")); /* U+FFFD */
    ck_assert_int_eq(name[0], 'a');
    ck_assert_ptr_nonnull(strchr(name, 'z'));
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

START_TEST(numbers_that_are_none_are_null) {
    cJSON *report = parse("{\"candidates\": [{\"name\": \"a\", \"validation\": {}}], \"x\": null}");
    cJSON *scores = lathe_json_get(lathe_json_get(report, "candidates")->child, "validation");
    cJSON_AddNumberToObject(scores, "nan", NAN);
    cJSON_AddNumberToObject(scores, "inf", INFINITY);
    cJSON_AddNumberToObject(scores, "minus", -INFINITY);
    cJSON_AddNumberToObject(scores, "small", 5e-324);
    cJSON_AddNumberToObject(scores, "third", 1.0 / 3);
    cJSON *data = write_and_read(report);
    const cJSON *read = lathe_json_get(lathe_json_get(data, "candidates")->child, "validation");
    ck_assert(cJSON_IsNull(lathe_json_get(read, "nan")));
    ck_assert(cJSON_IsNull(lathe_json_get(read, "inf")));
    ck_assert(cJSON_IsNull(lathe_json_get(read, "minus")));
    ck_assert_double_eq(lathe_json_get(read, "small")->valuedouble, 5e-324);
    ck_assert_double_eq(lathe_json_get(read, "third")->valuedouble, 1.0 / 3);
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

START_TEST(report_within_the_limits_stays_equal) {
    cJSON *report = parse(
        "{\"run\": \"r1\", \"name\": \"n\", \"seed\": 7, \"status\": \"succeeded\","
        " \"document\": {\"lathe\": 1, \"train\": {\"candidates\": {\"a\": \"linear\"}}},"
        " \"prepare\": {\"types\": [{\"name\": \"x\", \"type\": \"float64\", \"missing\": 3}],"
        "   \"profile\": {\"features\": [{\"name\": \"x\"}], \"correlations\": {\"names\": [\"x\"],"
        "   \"pearson\": [[1]], \"spearman\": [[1]]}}},"
        " \"candidates\": [{\"name\": \"a\", \"curves\": {\"loss\": [[0, 1.5], [1, 0.5]]},"
        "   \"importance\": [{\"feature\": \"x\", \"value\": 1}]}],"
        " \"evaluation\": {\"residuals\": {\"predicted\": [1, 2], \"actual\": [1, 3]}},"
        " \"monitor\": {\"windows\": [{\"index\": 0, \"drift\": {\"psi\": {\"x\": {\"statistic\":"
        "   0.5, \"alert\": true}}}}], \"alerts\": []}}");
    cJSON *before = cJSON_Duplicate(report, 1), *data = write_and_read(report);
    ck_assert(cJSON_Compare(report, data, 1));
    ck_assert(cJSON_Compare(report, before, 1)); /* and the caller's is not touched */
    cJSON_Delete(data);
    cJSON_Delete(before);
    cJSON_Delete(report);
}
END_TEST

START_TEST(wrong_types_are_left_alone) {
    static const char *const texts[] = {
        "{\"candidates\": 3, \"evaluation\": [], \"prepare\": \"x\", \"monitor\": null}",
        "{\"candidates\": [1, null, {\"curves\": [], \"importance\": {}}], \"prepare\": "
        "{\"types\": 5}}",
        "{\"candidates\": [{\"curves\": {\"loss\": \"x\", \"acc\": [1, [], [1, null]]}}]}",
        "{\"prepare\": {\"profile\": {\"features\": {}, \"correlations\": [1]}}}",
        "{\"monitor\": {\"windows\": [null, 1, {\"drift\": 5}, {\"drift\": {\"psi\": []}}, "
        "{\"drift\":"
        " {\"psi\": {\"x\": 1}}}], \"alerts\": {}}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *report = parse(texts[i]), *data = write_and_read(report);
        ck_assert_msg(cJSON_Compare(report, data, 1), "%s", texts[i]);
        cJSON_Delete(data);
        cJSON_Delete(report);
    }
}
END_TEST

/* ---- cutting ---- */

static cJSON *point(double x, double y) {
    cJSON *p = cJSON_CreateArray();
    cJSON_AddItemToArray(p, cJSON_CreateNumber(x));
    cJSON_AddItemToArray(p, cJSON_CreateNumber(y));
    return p;
}

START_TEST(long_curves_keep_their_ends_and_spikes) {
    const int n = 100000;
    cJSON *report = parse("{\"candidates\": [{\"curves\": {}}]}");
    cJSON *curves = lathe_json_get(lathe_json_get(report, "candidates")->child, "curves");
    cJSON *curve = cJSON_AddArrayToObject(curves, "loss");
    for (int i = 0; i < n; i++)
        cJSON_AddItemToArray(curve, point(i, i == 54321   ? 99
                                             : i == 77777 ? -99
                                             : i % 7      ? sin(i)
                                                          : NAN));
    cJSON *data = write_and_read(report);
    const cJSON *thin =
        lathe_json_get(lathe_json_get(lathe_json_get(data, "candidates")->child, "curves"), "loss");
    const int kept = cJSON_GetArraySize(thin);
    ck_assert_int_le(kept, LATHE_SLIM_POINTS);
    ck_assert_int_gt(kept, LATHE_SLIM_POINTS / 2);
    ck_assert_double_eq(thin->child->child->valuedouble, 0);
    ck_assert_double_eq(cJSON_GetArrayItem(thin, kept - 1)->child->valuedouble, n - 1);
    bool high = false, low = false;
    double last = -1;
    const cJSON *p;
    cJSON_ArrayForEach(p, thin) {
        ck_assert_double_gt(p->child->valuedouble, last); /* in order, each once */
        last = p->child->valuedouble;
        high = high || (last == 54321 && p->child->next->valuedouble == 99);
        low = low || (last == 77777 && p->child->next->valuedouble == -99);
    }
    ck_assert(high && low);
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

static cJSON *wide_profile(int n, int target) {
    cJSON *profile = cJSON_CreateObject(), *features = cJSON_AddArrayToObject(profile, "features");
    cJSON *correlations = cJSON_AddObjectToObject(profile, "correlations");
    cJSON *names = cJSON_AddArrayToObject(correlations, "names");
    cJSON *matrix = cJSON_AddArrayToObject(correlations, "pearson");
    char name[32];
    for (int i = 0; i < n; i++) {
        cJSON *feature = cJSON_CreateObject();
        snprintf(name, sizeof name, "column %d", i);
        cJSON_AddStringToObject(feature, "name", name);
        cJSON_AddStringToObject(feature, "role", i == target ? "target" : "feature");
        cJSON_AddItemToArray(features, feature);
    }
    for (int i = 0; i < 64; i++) {
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(names, cJSON_CreateString("x"));
        for (int j = 0; j < 64; j++)
            cJSON_AddItemToArray(row, cJSON_CreateNumber(i == j));
        cJSON_AddItemToArray(matrix, row);
    }
    return profile;
}

static void check_wide(const cJSON *profile, const cJSON *cut, const char *last) {
    const cJSON *features = lathe_json_get(profile, "features");
    const cJSON *correlations = lathe_json_get(profile, "correlations");
    ck_assert_int_eq(cJSON_GetArraySize(features), LATHE_SLIM_COLUMNS);
    ck_assert_str_eq(lathe_json_get(features->child, "name")->valuestring, "column 0");
    const cJSON *end = cJSON_GetArrayItem(features, LATHE_SLIM_COLUMNS - 1);
    ck_assert_str_eq(lathe_json_get(end, "name")->valuestring, last);
    ck_assert_double_eq(lathe_json_get(cut, "columns")->valuedouble, 785 - LATHE_SLIM_COLUMNS);
    ck_assert_double_eq(lathe_json_get(cut, "correlations")->valuedouble,
                        64 - LATHE_SLIM_CORRELATED);
    ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(correlations, "names")),
                     LATHE_SLIM_CORRELATED);
    const cJSON *matrix = lathe_json_get(correlations, "pearson"), *row;
    ck_assert_int_eq(cJSON_GetArraySize(matrix), LATHE_SLIM_CORRELATED);
    cJSON_ArrayForEach(row, matrix)
        ck_assert_int_eq(cJSON_GetArraySize(row), LATHE_SLIM_CORRELATED);
}

START_TEST(wide_data_is_cut_and_says_so) {
    cJSON *report = cJSON_CreateObject(), *prepare = cJSON_AddObjectToObject(report, "prepare");
    cJSON_AddItemToObject(prepare, "profile", wide_profile(785, 784));
    cJSON *data = write_and_read(report), *cut = lathe_json_get(data, "cut");
    check_wide(lathe_json_get(lathe_json_get(data, "prepare"), "profile"), cut, "column 784");
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

START_TEST(profile_page_holds_title_and_profile) {
    cJSON *profile = wide_profile(785, 3), *before = cJSON_Duplicate(profile, 1);
    lathe_error err = {0};
    ck_assert_int_eq(lathe_profile_write(profile, "<b>.csv", path, &err), LATHE_OK);
    cJSON *data = read_island();
    ck_assert_str_eq(lathe_json_get(data, "title")->valuestring, "<b>.csv");
    check_wide(lathe_json_get(data, "profile"), lathe_json_get(data, "cut"), "column 99");
    ck_assert(cJSON_Compare(profile, before, 1));
    cJSON_Delete(data);
    cJSON_Delete(before);
    cJSON_Delete(profile);
    cJSON *empty = cJSON_CreateObject();
    ck_assert_int_eq(lathe_profile_write(empty, NULL, path, &err), LATHE_OK);
    cJSON_Delete(read_island());
    cJSON_Delete(empty);
}
END_TEST

START_TEST(importances_keep_the_largest) {
    cJSON *report = parse("{\"candidates\": [{\"importance\": []}]}");
    cJSON *list = lathe_json_get(lathe_json_get(report, "candidates")->child, "importance");
    for (int i = 0; i < 1000; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "value", i < 500 ? 0 : i % 2 ? i : -i);
        cJSON_AddItemToArray(list, item);
    }
    cJSON *data = write_and_read(report);
    const cJSON *item,
        *read = lathe_json_get(lathe_json_get(data, "candidates")->child, "importance");
    ck_assert_int_eq(cJSON_GetArraySize(read), LATHE_SLIM_IMPORTANCES);
    cJSON_ArrayForEach(item, read)
        ck_assert_double_ge(fabs(lathe_json_get(item, "value")->valuedouble), 900);
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

START_TEST(residuals_stay_pairs) {
    cJSON *report = parse("{\"evaluation\": {\"residuals\": {\"predicted\": [], \"actual\": []}}}");
    cJSON *residuals = lathe_json_get(lathe_json_get(report, "evaluation"), "residuals");
    for (int i = 0; i < 5001; i++) {
        cJSON_AddItemToArray(lathe_json_get(residuals, "predicted"), cJSON_CreateNumber(i));
        cJSON_AddItemToArray(lathe_json_get(residuals, "actual"), cJSON_CreateNumber(i + 0.5));
    }
    cJSON *data = write_and_read(report);
    residuals = lathe_json_get(lathe_json_get(data, "evaluation"), "residuals");
    const cJSON *x = lathe_json_get(residuals, "predicted"),
                *y = lathe_json_get(residuals, "actual");
    ck_assert_int_eq(cJSON_GetArraySize(x), 1667);
    ck_assert_int_eq(cJSON_GetArraySize(y), 1667);
    for (x = x->child, y = y->child; x != NULL; x = x->next, y = y->next)
        ck_assert_double_eq(x->valuedouble + 0.5, y->valuedouble);
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

/* 400 windows of 60 features: number 7 has an alert at a small statistic, the others drift as their number says. */
static cJSON *long_monitor(void) {
    cJSON *report = cJSON_CreateObject(), *monitor = cJSON_AddObjectToObject(report, "monitor");
    cJSON *windows = cJSON_AddArrayToObject(monitor, "windows");
    cJSON *alerts = cJSON_AddArrayToObject(monitor, "alerts");
    for (int w = 0; w < 400; w++) {
        cJSON *window = cJSON_CreateObject(), *drift = cJSON_AddObjectToObject(window, "drift");
        cJSON_AddNumberToObject(window, "index", w);
        cJSON_AddItemToArray(windows, window);
        cJSON *psi = cJSON_AddObjectToObject(drift, "psi"),
              *ks = cJSON_AddObjectToObject(drift, "ks");
        for (int f = 0; f < 60; f++) {
            char name[16];
            snprintf(name, sizeof name, "f%d", f);
            cJSON *item = cJSON_AddObjectToObject(psi, name);
            cJSON_AddNumberToObject(item, "statistic", w == 350 ? f : 0);
            cJSON_AddBoolToObject(item, "alert", f == 7 && w == 399);
            if (f < 3)
                cJSON_AddNullToObject(cJSON_AddObjectToObject(ks, name), "statistic");
        }
        for (int a = 0; a < 2; a++)
            cJSON_AddItemToArray(alerts, cJSON_CreateObject());
    }
    return report;
}

START_TEST(long_replays_keep_the_last_windows_and_the_worst_features) {
    cJSON *report = long_monitor(), *data = write_and_read(report),
          *cut = lathe_json_get(data, "cut");
    const cJSON *monitor = lathe_json_get(data, "monitor"), *window;
    const cJSON *windows = lathe_json_get(monitor, "windows");
    ck_assert_int_eq(cJSON_GetArraySize(windows), LATHE_SLIM_WINDOWS);
    ck_assert_double_eq(lathe_json_get(windows->child, "index")->valuedouble,
                        400 - LATHE_SLIM_WINDOWS);
    ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(monitor, "alerts")), LATHE_SLIM_ALERTS);
    ck_assert_double_eq(lathe_json_get(cut, "windows")->valuedouble, 400 - LATHE_SLIM_WINDOWS);
    ck_assert_double_eq(lathe_json_get(cut, "alerts")->valuedouble, 800 - LATHE_SLIM_ALERTS);
    const cJSON *features = lathe_json_get(cut, "features");
    ck_assert_double_eq(lathe_json_get(features, "psi")->valuedouble, 60 - LATHE_SLIM_FEATURES);
    ck_assert_ptr_null(lathe_json_get(features, "ks"));
    cJSON_ArrayForEach(window, windows) {
        const cJSON *psi = lathe_json_get(lathe_json_get(window, "drift"), "psi");
        ck_assert_int_eq(cJSON_GetArraySize(psi), LATHE_SLIM_FEATURES);
        ck_assert_ptr_nonnull(lathe_json_get(psi, "f7"));  /* for its alert */
        ck_assert_ptr_nonnull(lathe_json_get(psi, "f59")); /* for its statistic */
        ck_assert_ptr_nonnull(lathe_json_get(psi, "f21"));
        ck_assert_ptr_null(lathe_json_get(psi, "f20"));
        ck_assert_int_eq(cJSON_GetArraySize(lathe_json_get(lathe_json_get(window, "drift"), "ks")),
                         3);
    }
    cJSON_Delete(data);
    cJSON_Delete(report);
}
END_TEST

/* ---- errors ---- */

START_TEST(page_that_cannot_be_written_is_said) {
    cJSON *report = parse("{}");
    lathe_error err = {0};
    char bad[160];
    snprintf(bad, sizeof bad, "%s/no/such/folder/page.html", folder);
    ck_assert_int_ne(lathe_report_write(report, bad, &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.where, "no/such/folder"));
    ck_assert_str_ne(err.message, "");
    lathe_error_clear(&err);
    ck_assert_int_ne(lathe_profile_write(report, "t", bad, &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.where, "no/such/folder"));
    ck_assert_int_ne(lathe_report_write(report, bad, NULL), LATHE_OK);
    ck_assert_int_ne(lathe_report_write(report, folder, &err),
                     LATHE_OK); /* a folder is in the way */
    ck_assert(lathe_is_dir(folder));
    cJSON_Delete(report);
}
END_TEST

START_TEST(old_page_stays_where_the_new_one_fails) {
    cJSON *report = parse("{\"name\": \"old\"}"), *list = parse("[1]");
    lathe_error err = {0};
    ck_assert_int_eq(lathe_report_write(report, path, &err), LATHE_OK);
    ck_assert_int_eq(lathe_report_write(list, path, &err), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_report_write(NULL, path, &err), LATHE_E_INVALID);
    ck_assert_int_eq(lathe_profile_write(NULL, "t", path, &err), LATHE_E_INVALID);
    ck_assert_str_eq(err.where, path);
    cJSON *data = read_island();
    ck_assert(cJSON_Compare(report, data, 1));
    cJSON_Delete(data);
    cJSON_Delete(list);
    cJSON_Delete(report);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *const *tests, int n) {
    TCase *tc = tcase_create(name);
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    for (int i = 0; i < n; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
}

int main(void) {
    Suite *suite = suite_create("web report");
    const TTest *const page[] = {
        empty_report_is_a_whole_page,         own_script_puts_no_markup,
        bytes_that_are_not_utf8_are_replaced, numbers_that_are_none_are_null,
        report_within_the_limits_stays_equal, wrong_types_are_left_alone};
    const TTest *const cutting[] = {long_curves_keep_their_ends_and_spikes,
                                    wide_data_is_cut_and_says_so,
                                    profile_page_holds_title_and_profile,
                                    importances_keep_the_largest,
                                    residuals_stay_pairs,
                                    long_replays_keep_the_last_windows_and_the_worst_features};
    const TTest *const errors[] = {page_that_cannot_be_written_is_said,
                                   old_page_stays_where_the_new_one_fails};
    add_case(suite, "page", page, sizeof page / sizeof *page);
    add_case(suite, "cutting", cutting, sizeof cutting / sizeof *cutting);
    add_case(suite, "errors", errors, sizeof errors / sizeof *errors);
    TCase *tc = tcase_create("hostile");
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_add_loop_test(tc, hostile_texts_stay_texts, 0, sizeof hostile / sizeof *hostile);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
