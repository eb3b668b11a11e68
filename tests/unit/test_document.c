/* The pipeline document as the program understands it: what a good one says, parameters, requirements,
 * paths that may not leave their folders, and that no text at all brings the reader down. */
#include "base/fs.h"
#include "pipeline/document.h"
#include "pipeline/params.h"
#include "pipeline/paths.h"

#include <check.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lathe_catalogue *catalogue;
static lathe_diags diags;
static char dir[64];

static void open_plugins(void) {
    lathe_error err = {0};
    const lathe_catalogue_options options = {.builtin_dir = LATHE_PLUGIN_DIR,
                                             .no_environment = true};
    ck_assert_msg(lathe_catalogue_open(&options, &catalogue, &err) == LATHE_OK, "%s", err.message);
}

static void close_plugins(void) {
    lathe_catalogue_close(catalogue);
}

static void set_up(void) {
    strcpy(dir, "/tmp/lathe-doc-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    diags = (lathe_diags){0};
}

static void tear_down(void) {
    lathe_diags_free(&diags);
    lathe_remove_tree(dir, NULL);
}

static void put(const char *name) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ck_assert_int_eq(lathe_write_file_atomic(path, "a\n1\n", 4, NULL), LATHE_OK);
}

static lathe_pipeline *parse(const char *text, const char *const *sets, size_t n_sets) {
    const lathe_pipeline_options options = {
        .catalogue = catalogue, .base_dir = dir, .sets = sets, .n_sets = n_sets};
    lathe_diags_free(&diags);
    return lathe_pipeline_parse(text, strlen(text), "p.json", &options, &diags);
}

static void must_parse(lathe_pipeline *p) {
    ck_assert_msg(p != NULL, "%d:%d %s", diags.count ? diags.items[0].line : 0,
                  diags.count ? diags.items[0].column : 0,
                  diags.count ? diags.items[0].message : "no message");
    ck_assert_uint_eq(diags.count, 0);
}

/* The document with a goal and learners of the caller's. */
#define DOCUMENT(goal, train)                                                                      \
    "{\"lathe\": 1, \"name\": \"n\", \"goal\": {\"target\": \"y\", " goal "}, "                    \
    "\"prepare\": {\"source\": {\"csv\": {\"path\": \"d.csv\"}}}, \"train\": {\"candidates\": "    \
    "{" train "}}}"

static const char full[] =
    "{\"lathe\": 1, \"name\": \"full\", \"description\": \"all of it\", \"seed\": "
    "9223372036854775807,\n"
    " \"$schema\": \"https://example.org/s.json\",\n"
    " \"params\": {\"n\": 12, \"rate\": 0.25, \"on\": true, \"word\": \"mean\", \"list\": [1, "
    "2]},\n"
    " \"goal\": {\"task\": \"classification\", \"target\": \"y\", \"positive\": \"b\", \"metric\": "
    "\"auc\",\n"
    "  \"metrics\": [\"brier\", {\"recall\": {\"average\": \"macro\"}}], \"weight\": \"w\",\n"
    "  \"class_weight\": {\"a\": 1, \"b\": 2.5},\n"
    "  \"require\": {\"auc\": \">= 0.9\", \"f1\": \"> 0.5\", \"latency_p99_ms\": \"<=2\", "
    "\"model_mb\": \"< 1e1\",\n"
    "   \"train_seconds\": \"<= 60\", \"latency_p50_ms\": \"== 0\"}},\n"
    " \"prepare\": {\"source\": {\"csv\": {\"path\": \"d.csv\"}},\n"
    "  \"transforms\": [{\"impute\": {\"strategy\": \"${word}\"}}, \"one_hot\"],\n"
    "  \"split\": {\"random\": {\"test\": \"${rate}\", \"validation\": 0.1}}, \"profile\": "
    "false},\n"
    " \"train\": {\"candidates\": {\"b\": {\"gbdt\": {\"rounds\": \"${n}\"}}, \"a\": \"linear\",\n"
    "  \"s\": {\"stacking\": {\"base\": [{\"candidate\": \"a\"}, {\"candidate\": \"b\"}]}}}},\n"
    " \"deploy\": {\"endpoint\": \"e\", \"model\": \"m-${n}\", \"when\": \"always\"},\n"
    " \"monitor\": {\"drift\": [\"psi\", \"ks\"], \"replay\": {\"csv\": {\"path\": \"d.csv\"}}, "
    "\"window\": 50,\n"
    "  \"quality_drop\": 0.05}}\n";

static void check_goal(const lathe_goal *g) {
    ck_assert(g->classification && g->task_known && !g->balanced);
    ck_assert_str_eq(g->target, "y");
    ck_assert_str_eq(g->positive, "b");
    ck_assert_str_eq(g->weight_column, "w");
    ck_assert_uint_eq(g->n_class_weights, 2);
    ck_assert_str_eq(g->class_weights[1].value, "b");
    ck_assert_double_eq(g->class_weights[1].weight, 2.5);
    const char *const names[] = {"auc", "brier", "recall", "f1", "accuracy", "log_loss"};
    ck_assert_uint_eq(g->n_metrics, 6);
    for (size_t i = 0; i < 6; i++)
        ck_assert_str_eq(g->metrics[i].name, names[i]);
    ck_assert(g->metrics[0].higher_is_better && !g->metrics[1].higher_is_better);
    const struct {
        lathe_measure measure;
        lathe_compare compare;
        double bound;
    } wanted[] = {{LATHE_MEASURE_METRIC, LATHE_AT_LEAST, 0.9},
                  {LATHE_MEASURE_METRIC, LATHE_MORE_THAN, 0.5},
                  {LATHE_MEASURE_LATENCY_P99_MS, LATHE_AT_MOST, 2},
                  {LATHE_MEASURE_MODEL_MB, LATHE_LESS_THAN, 10},
                  {LATHE_MEASURE_TRAIN_SECONDS, LATHE_AT_MOST, 60},
                  {LATHE_MEASURE_LATENCY_P50_MS, LATHE_EQUAL, 0}};
    ck_assert_uint_eq(g->n_require, 6);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(g->require[i].measure, wanted[i].measure);
        ck_assert_int_eq(g->require[i].compare, wanted[i].compare);
        ck_assert_double_eq(g->require[i].bound, wanted[i].bound);
    }
    ck_assert_uint_eq(g->require[1].metric, 3);
    ck_assert_str_eq(g->require[1].text, "> 0.5");
}

START_TEST(everything_is_read) {
    put("d.csv");
    lathe_pipeline *p = parse(full, NULL, 0);
    must_parse(p);
    ck_assert_str_eq(p->name, "full");
    ck_assert_str_eq(p->description, "all of it");
    ck_assert_uint_eq(p->seed, INT64_MAX);
    check_goal(&p->goal);
    ck_assert_uint_eq(p->prepare.n_transforms, 2);
    ck_assert_ptr_nonnull(strstr(p->prepare.transforms[0]->resolved, "\"strategy\":\"mean\""));
    ck_assert_ptr_nonnull(strstr(p->prepare.split->resolved, "\"test\":0.25"));
    ck_assert(!p->prepare.profile);
    /* paths stay as written in what is hashed, and are whole in what is opened */
    ck_assert_ptr_nonnull(strstr(p->prepare.source->resolved, "\"path\":\"d.csv\""));
    ck_assert_uint_eq(p->prepare.source->n_paths, 1);
    ck_assert_str_eq(p->prepare.source->paths[0].given, "d.csv");
    ck_assert_int_eq(p->prepare.source->paths[0].resolved[0], '/');
    ck_assert_uint_eq(p->n_candidates, 3); /* in the document's order */
    ck_assert_str_eq(p->candidates[0].name, "b");
    ck_assert_ptr_nonnull(strstr(p->candidates[0].component->resolved, "\"rounds\":12"));
    ck_assert_uint_eq(p->candidates[2].component->n_children, 3);
    ck_assert_str_eq(p->candidates[2].component->children[0]->candidate, "a");
    ck_assert(p->deploy.present);
    ck_assert_str_eq(p->deploy.model, "m-12");
    ck_assert_int_eq(p->deploy.when, LATHE_DEPLOY_ALWAYS);
    ck_assert_uint_eq(p->monitor.n_drift, 2);
    ck_assert_int_eq(p->monitor.window, 50);
    ck_assert_double_eq(p->monitor.quality_drop, 0.05);
    ck_assert_ptr_nonnull(p->monitor.replay);
    lathe_pipeline_free(p);
    lathe_pipeline_free(NULL);
}
END_TEST

START_TEST(little_is_needed) {
    put("d.csv");
    lathe_pipeline *p = parse(DOCUMENT("\"task\": \"regression\"", "\"a\": \"linear\""), NULL, 0);
    must_parse(p);
    ck_assert(!p->goal.classification);
    ck_assert_str_eq(p->goal.metrics[0].name, "rmse");
    ck_assert_ptr_nonnull(strstr(p->prepare.split->resolved, "lathe.split.random"));
    ck_assert(p->prepare.profile && !p->deploy.present && !p->monitor.present);
    ck_assert_uint_eq(p->seed, 0);
    ck_assert_ptr_nonnull(strstr(p->candidates[0].component->resolved, "lathe.loss.mse"));
    lathe_pipeline_free(p);
    p = parse(DOCUMENT("\"task\": \"classification\"", "\"a\": \"linear\""), NULL, 0);
    must_parse(p);
    ck_assert_str_eq(p->goal.metrics[0].name, "log_loss");
    ck_assert_ptr_nonnull(strstr(p->prepare.split->resolved, "lathe.split.stratified"));
    ck_assert_ptr_nonnull(strstr(p->candidates[0].component->resolved, "lathe.loss.cross_entropy"));
    lathe_pipeline_free(p);
}
END_TEST

/* ---- parameters ---- */

static const struct {
    const char *params, *text, *want; /* JSON; want NULL: refused */
    const char *set;
} substitutions[] = {
    {"{\"a\": 1}", "\"${a}\"", "1", NULL},
    {"{\"a\": 1.5}", "\"${a}\"", "1.5", NULL},
    {"{\"a\": [1, {\"b\": null}]}", "\"${a}\"", "[1,{\"b\":null}]", NULL},
    {"{\"a\": \"x\"}", "\"${a}\"", "\"x\"", NULL},
    {"{\"a\": true}", "\"-${a}-\"", "\"-true-\"", NULL},
    {"{\"a\": 9007199254740993}", "\"n${a}\"", "\"n9007199254740993\"", NULL},
    {"{\"a\": 9007199254740993}", "\"${a}\"", "9007199254740993", NULL},
    {"{\"a\": 1, \"b\": 2}", "\"${a}${b}\"", "\"12\"", NULL},
    {"{\"a\": 1}", "\"$${a}\"", "\"${a}\"", NULL},
    {"{\"a\": 1}", "\"$a $ {a} a}\"", "\"$a $ {a} a}\"", NULL},
    {"{\"a\": 1}", "[\"${a}\", {\"k\": \"${a}\"}]", "[1,{\"k\":1}]", NULL},
    {"{\"a\": \"${a}\"}", "\"${a}\"", NULL, NULL}, /* a value cannot refer to another */
    {"{\"a\": 1}", "\"${a}\"", "2", "a=2"},
    {"{\"a\": 1}", "\"${a}\"", "\"two\"", "a=two"},
    {"{\"a\": 1}", "\"${a}\"", "\"2\"", "a=\"2\""},
    {"{\"a\": 1}", "\"${a}\"", "\"\"", "a="},
    {"{\"a\": 1}", "\"${a}\"", "\"b=c\"", "a=b=c"},
    {"{\"a\": 1}", "\"${a}\"", "{\"x\":[1]}", "a={\"x\": [1]}"},
    {"{\"a\": 1}", "\"${a}\"", "null", "a=null"},
    {"{\"a\": 1}", "\"${b}\"", NULL, NULL},
    {"{\"a\": 1}", "\"${}\"", NULL, NULL},
    {"{\"a\": 1}", "\"${a\"", NULL, NULL},
    {"{\"a\": [1]}", "\"x${a}\"", NULL, NULL},
    {"{\"a\": null}", "\"x${a}\"", NULL, NULL},
    {"{\"a\": 1}", "1", NULL, "b=1"},
    {"{\"a\": 1}", "1", NULL, "a"},
    {"{\"a\": 1}", "1", NULL, "=1"},
    {"[1]", "1", NULL, NULL},
    {"null", "1", NULL, NULL},
};

START_TEST(parameters_are_put_in) {
    char text[512];
    lathe_buf out = {0};
    const char *const sets[] = {substitutions[_i].set};
    snprintf(text, sizeof text, "{\"params\": %s, \"x\": %s}", substitutions[_i].params,
             substitutions[_i].text);
    lathe_json *doc = lathe_json_parse(text, strlen(text), "t", &diags);
    ck_assert_ptr_nonnull(doc);
    lathe_params_apply(doc, sets, substitutions[_i].set != NULL, &diags);
    if (substitutions[_i].want == NULL) {
        ck_assert_msg(lathe_diags_any(&diags), "%s was taken", text);
    } else {
        ck_assert_msg(!lathe_diags_any(&diags), "%s: %s", text,
                      diags.count ? diags.items[0].message : "");
        lathe_json_print(doc, lathe_json_get(lathe_json_root(doc), "x"), &out);
        ck_assert_str_eq(lathe_buf_str(&out), substitutions[_i].want);
    }
    lathe_buf_free(&out);
    lathe_json_free(doc);
}
END_TEST

/* A fault in a parameter is told once, at its place, without what follows from it. */
START_TEST(faults_of_parameters_have_no_echo) {
    put("d.csv");
    ck_assert_ptr_null(
        parse(DOCUMENT("\"task\": \"regression\"", "\"a\": {\"gbdt\": {\"rounds\": \"${x}\"}}"),
              NULL, 0));
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_ptr_nonnull(strstr(diags.items[0].message, "no parameter \"x\""));
    ck_assert_str_eq(diags.items[0].pointer, "/train/candidates/a/gbdt/rounds");
}
END_TEST

/* ---- requirements ---- */

static const struct {
    const char *text;
    double value;
    bool met;
} requirements[] = {
    {">= 0.9", 0.9, true},    {">= 0.9", 0.8999999999999999, false},
    {"> 0.9", 0.9, false},    {"> 0.9", 0.91, true},
    {"<= 2", 2, true},        {"<=2", 2.1, false},
    {"< 2", 2, false},        {"  <   -1e-3  ", -1, true},
    {"== 1", 1, true},        {"== 1", 1.0000001, false},
    {">= 0", NAN, false},     {"<= 0", NAN, false},
    {"== 0", NAN, false},     {"<= 1", INFINITY, false},
    {">= 1", INFINITY, true},
};

START_TEST(requirements_are_held) {
    char text[512];
    put("d.csv");
    snprintf(
        text, sizeof text,
        DOCUMENT("\"task\": \"regression\", \"require\": {\"rmse\": \"%s\"}", "\"a\": \"linear\""),
        requirements[_i].text);
    lathe_pipeline *p = parse(text, NULL, 0);
    must_parse(p);
    ck_assert_int_eq(lathe_bound_holds(p->goal.require[0].compare, p->goal.require[0].bound,
                                       requirements[_i].value),
                     requirements[_i].met);
    lathe_pipeline_free(p);
}
END_TEST

/* ---- paths ---- */

START_TEST(paths_stay_in_their_roots) {
    char root[128], other[128], link[160], outside[160], *found;
    lathe_error err = {0};
    snprintf(root, sizeof root, "%s/root", dir);
    snprintf(other, sizeof other, "%s/rooted", dir); /* its name begins alike */
    ck_assert_int_eq(mkdir(root, 0755) | mkdir(other, 0755), 0);
    put("root/in.csv");
    put("rooted/out.csv");
    put("out.csv");
    snprintf(link, sizeof link, "%s/link.csv", root);
    snprintf(outside, sizeof outside, "%s/out.csv", dir);
    ck_assert_int_eq(symlink(outside, link), 0);
    snprintf(link, sizeof link, "%s/up", root);
    ck_assert_int_eq(symlink("..", link), 0);
    const char *const roots[] = {root};
    lathe_paths paths = {NULL, roots, 1};
    ck_assert_int_eq(lathe_paths_resolve(&paths, "in.csv", &found, &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(found, "/root/in.csv"));
    free(found);
    const char *const bad[] = {
        "../out.csv",  "link.csv", "up/out.csv", "../rooted/out.csv", "none.csv",
        "/etc/passwd", outside,    "",           "./../out.csv",      "in.csv/../../out.csv"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(lathe_paths_resolve(&paths, bad[i], &found, &err) != LATHE_OK, "%s was taken",
                      bad[i]);
    paths.base_dir = root;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (bad[i][0] != 0)
            ck_assert_msg(lathe_paths_resolve(&paths, bad[i], &found, &err) != LATHE_OK,
                          "%s was taken", bad[i]);
    /* without roots a path may lead anywhere, but must be there */
    paths = (lathe_paths){root, NULL, 0};
    ck_assert_int_eq(lathe_paths_resolve(&paths, "../out.csv", &found, &err), LATHE_OK);
    free(found);
    ck_assert_int_eq(lathe_paths_resolve(&paths, "none.csv", &found, &err), LATHE_E_NOT_FOUND);
    ck_assert_ptr_null(found);
}
END_TEST

START_TEST(documents_stay_in_their_roots) {
    char root[128];
    put("d.csv");
    snprintf(root, sizeof root, "%s/root", dir);
    ck_assert_int_eq(mkdir(root, 0755), 0);
    put("root/e.csv");
    const char *const roots[] = {root};
    const lathe_pipeline_options options = {.catalogue = catalogue, .roots = roots, .n_roots = 1};
    static const char text[] = DOCUMENT("\"task\": \"regression\"", "\"a\": \"linear\"");
    ck_assert_ptr_null(lathe_pipeline_parse(text, sizeof text - 1, "p", &options, &diags));
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_ptr_nonnull(strstr(diags.items[0].message, "data folders"));
}
END_TEST

/* ---- plugins that cannot be loaded ---- */

/* The built plugins in a folder of their own, one of them as a file that can be changed. */
static void copy_plugins(const char *folder, const char *own) {
    DIR *built = opendir(LATHE_PLUGIN_DIR);
    ck_assert_ptr_nonnull(built);
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    for (struct dirent *e; (e = readdir(built)) != NULL;) {
        char from[PATH_MAX], to[PATH_MAX], *data;
        size_t len;
        if (strstr(e->d_name, ".so") == NULL)
            continue;
        snprintf(from, sizeof from, "%s/%s", LATHE_PLUGIN_DIR, e->d_name);
        snprintf(to, sizeof to, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, own) != 0) {
            ck_assert_int_eq(symlink(from, to), 0);
            continue;
        }
        ck_assert_int_eq(lathe_read_file(from, (size_t)64 << 20, &data, &len, NULL), LATHE_OK);
        ck_assert_int_eq(lathe_write_file_atomic(to, data, len, NULL), LATHE_OK);
        free(data);
    }
    closedir(built);
}

/* Without its metric a goal would go on with the next one, and select by that. */
START_TEST(a_usual_metric_that_cannot_be_loaded_is_told) {
    char folder[128], file[160];
    lathe_error err = {0};
    lathe_catalogue *own = NULL;
    put("d.csv");
    snprintf(folder, sizeof folder, "%s/plugins", dir);
    const lathe_plugin *metric =
        lathe_catalogue_find(catalogue, LATHE_KIND_METRIC, "log_loss", NULL);
    ck_assert_ptr_nonnull(metric);
    const char *name = lathe_path_base(metric->file->path);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    copy_plugins(folder, name);
    ck_assert(lathe_is_file(file));
    const lathe_catalogue_options options = {.builtin_dir = folder, .no_environment = true};
    ck_assert_msg(lathe_catalogue_open(&options, &own, &err) == LATHE_OK, "%s", err.message);
    FILE *changed = fopen(file, "ab");
    ck_assert(changed != NULL && fputc(0, changed) == 0 && fclose(changed) == 0);
    static const char text[] = DOCUMENT("\"task\": \"classification\"", "\"a\": \"linear\"");
    const lathe_pipeline_options load = {.catalogue = own, .base_dir = dir, .load = true};
    ck_assert_ptr_null(lathe_pipeline_parse(text, sizeof text - 1, "p", &load, &diags));
    ck_assert_ptr_nonnull(strstr(diags.items[0].message, "the metric \"log_loss\" cannot be used"));
    ck_assert_ptr_nonnull(strstr(diags.items[0].message, "has changed since it was scanned"));
    lathe_catalogue_close(own);
}
END_TEST

/* ---- anything at all ---- */

/* Every prefix has a fault, and every changed byte is survived. */
START_TEST(no_text_brings_it_down) {
    put("d.csv");
    const size_t len = sizeof full - 1;
    char *text = malloc(len + 1);
    const lathe_pipeline_options options = {.catalogue = catalogue, .base_dir = dir};
    for (size_t n = 0; n + 2 < len; n++) {
        lathe_diags_free(&diags);
        memcpy(text, full, n);
        ck_assert_msg(lathe_pipeline_parse(text, n, "p", &options, &diags) == NULL, "%zu bytes", n);
        ck_assert(lathe_diags_any(&diags));
    }
    static const char other[] = "\"{}[],:0e-x$ \n\xff";
    for (size_t at = 0; at < len; at++) {
        memcpy(text, full, len);
        text[at] = other[at % (sizeof other - 1)];
        lathe_diags_free(&diags);
        lathe_pipeline *p = lathe_pipeline_parse(text, len, "p", &options, &diags);
        ck_assert((p != NULL) == !lathe_diags_any(&diags));
        lathe_pipeline_free(p);
    }
    free(text);
}
END_TEST

/* Each value in turn replaced by one of another type: a diagnostic or none, never a crash. */
static void replace_all(cJSON *node, const cJSON *root, const lathe_pipeline_options *options) {
    static const char *const values[] = {"null",  "true", "-1", "1e300", "\"\"",
                                         "\"x\"", "[]",   "{}", "[{}]",  "{\"a\":[]}"};
    for (cJSON *child = node->child; child != NULL; child = child->next) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            cJSON saved = *child, *value = cJSON_Parse(values[v]);
            child->type = value->type;
            child->child = value->child;
            child->valuestring = value->valuestring;
            child->valuedouble = value->valuedouble;
            child->valueint = value->valueint;
            char *text = cJSON_PrintUnformatted(root);
            child->type = saved.type;
            child->child = saved.child;
            child->valuestring = saved.valuestring;
            child->valuedouble = saved.valuedouble;
            child->valueint = saved.valueint;
            lathe_diags_free(&diags);
            lathe_pipeline *p = lathe_pipeline_parse(text, strlen(text), "p", options, &diags);
            ck_assert((p != NULL) == !lathe_diags_any(&diags));
            for (size_t i = 0; i < diags.count; i++)
                ck_assert_msg(diags.items[i].line > 0 && diags.items[i].message[0] != 0, "%s",
                              text);
            lathe_pipeline_free(p);
            cJSON_free(text);
            cJSON_Delete(value);
        }
        replace_all(child, root, options);
    }
}

START_TEST(every_value_of_another_type) {
    put("d.csv");
    const lathe_pipeline_options options = {.catalogue = catalogue, .base_dir = dir};
    cJSON *root = cJSON_Parse(full);
    replace_all(root, root, &options);
    cJSON_Delete(root);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void) {
    Suite *suite = suite_create("document");
    TCase *tc = tcase_create("all");
    tcase_add_unchecked_fixture(tc, open_plugins, close_plugins);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, everything_is_read);
    tcase_add_test(tc, little_is_needed);
    tcase_add_loop_test(tc, parameters_are_put_in, 0, COUNT(substitutions));
    tcase_add_test(tc, faults_of_parameters_have_no_echo);
    tcase_add_loop_test(tc, requirements_are_held, 0, COUNT(requirements));
    tcase_add_test(tc, paths_stay_in_their_roots);
    tcase_add_test(tc, documents_stay_in_their_roots);
    tcase_add_test(tc, a_usual_metric_that_cannot_be_loaded_is_told);
    tcase_add_test(tc, no_text_brings_it_down);
    tcase_add_test(tc, every_value_of_another_type);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
