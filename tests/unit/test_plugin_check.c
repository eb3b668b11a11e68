/* What a plugin's tables must fulfil: every rule broken once, against a descriptor that is good. */
#include "base/arena.h"
#include "plugin/check.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

typedef struct config {
    double rate;
    int64_t count;
    int32_t flag;
    int32_t mode;
    lathe_list list;
    struct {
        int64_t units;
    } point;
} config;

static int32_t forward(const void *s, int64_t r, int64_t c, const float *x, float *y,
                       lathe_error *e) {
    (void)s, (void)r, (void)c, (void)x, (void)y, (void)e;
    return 0;
}
static int32_t backward(const void *s, int64_t r, int64_t c, const float *x, const float *y,
                        const float *dy, float *dx, lathe_error *e) {
    (void)s, (void)r, (void)c, (void)x, (void)y, (void)dy, (void)dx, (void)e;
    return 0;
}
static int32_t create(const lathe_host *h, const void *c, void **s, lathe_error *e) {
    (void)h, (void)c, (void)s, (void)e;
    return 0;
}

static const char *const modes[] = {"a", "b", NULL};
static const char *const twice[] = {"a", "a", NULL};
static const char *const none[] = {NULL};
static lathe_param fields[1];
static lathe_param params[6];
static lathe_activation table;
static lathe_loss loss_table;
static lathe_descriptor d;
static const lathe_descriptor *list[3];
static lathe_entry entry;
static lathe_arena *arena;

/* A good plugin, made anew for each case. */
static void fresh(void) {
    lathe_param f = {.name = "units", .type = LATHE_PARAM_INT, .def = "1", .doc = "Units."};
    lathe_param good[6] = {
        {.name = "rate",
         .type = LATHE_PARAM_FLOAT,
         .offset = offsetof(config, rate),
         .def = "0.5",
         .doc = "A rate.",
         .flags = LATHE_PARAM_HAS_MIN | LATHE_PARAM_HAS_MAX,
         .min = 0,
         .max = 1},
        {.name = "count",
         .type = LATHE_PARAM_INT,
         .offset = offsetof(config, count),
         .def = "3",
         .doc = "A count."},
        {.name = "flag",
         .type = LATHE_PARAM_BOOL,
         .offset = offsetof(config, flag),
         .def = "true",
         .doc = "A switch."},
        {.name = "mode",
         .type = LATHE_PARAM_ENUM,
         .offset = offsetof(config, mode),
         .def = "\"a\"",
         .doc = "How.",
         .choices = modes},
        {.name = "list",
         .type = LATHE_PARAM_FLOAT,
         .offset = offsetof(config, list),
         .def = "[]",
         .doc = "Numbers.",
         .flags = LATHE_PARAM_LIST},
        {.name = "point",
         .type = LATHE_PARAM_RECORD,
         .offset = offsetof(config, point),
         .def = "{}",
         .doc = "A point.",
         .fields = fields,
         .n_fields = 1,
         .record_size = 8},
    };
    fields[0] = f;
    memcpy(params, good, sizeof params);
    table =
        (lathe_activation){.struct_size = sizeof table, .forward = forward, .backward = backward};
    d = (lathe_descriptor){.struct_size = sizeof d,
                           .id = "org.test.it",
                           .kind = LATHE_KIND_ACTIVATION,
                           .name = "it",
                           .version = "1.0.0",
                           .doc = "It.",
                           .license = "MIT",
                           .config_size = sizeof(config),
                           .param_size = sizeof(lathe_param),
                           .n_params = 6,
                           .params = params,
                           .interface = &table};
    list[0] = &d;
    list[1] = list[2] = NULL;
    entry = (lathe_entry){.magic = LATHE_ENTRY_MAGIC,
                          .struct_size = sizeof entry,
                          .abi_major = 1,
                          .sdk_version = "1",
                          .descriptors = list};
}

static int32_t look(lathe_error *err) {
    lathe_checked out;
    lathe_arena_free(arena);
    arena = lathe_arena_new();
    memset(err, 0, sizeof *err);
    return lathe_check_entry(&entry, arena, &out, err);
}

/* Breaks one thing and wants a refusal that speaks of it. */
#define BROKEN(change, text)                                                                       \
    do {                                                                                           \
        lathe_error err_;                                                                          \
        fresh();                                                                                   \
        change;                                                                                    \
        ck_assert_msg(look(&err_) != LATHE_OK, "accepted: %s", #change);                           \
        ck_assert_msg(strstr(err_.message, text) != NULL, "%s: \"%s\" lacks \"%s\"", #change,      \
                      err_.message, text);                                                         \
    } while (0)

#define FINE(change)                                                                               \
    do {                                                                                           \
        lathe_error err_;                                                                          \
        fresh();                                                                                   \
        change;                                                                                    \
        ck_assert_msg(look(&err_) == LATHE_OK, "%s refused: %s", #change, err_.message);           \
    } while (0)

START_TEST(good_is_good) {
    FINE((void)0);
    FINE(d.n_params = 0);
    FINE(d.tasks = LATHE_TASKS_ALL);
    FINE(entry.abi_built_minor = 99); /* built by a newer SDK that needs nothing new */
    FINE(params[0].name = "rate2");
    FINE((d.state_version = 4, d.state_version_min = 2));
}
END_TEST

START_TEST(entry_rules) {
    BROKEN(entry.magic = 1, "magic");
    BROKEN(entry.abi_major = 2, "ABI 2");
    BROKEN(entry.abi_major = 2, "use a newer Lathe");
    BROKEN(entry.abi_major = 0, "build it again");
    BROKEN(entry.abi_min_minor = 1, "needs plugin ABI 1.1");
    BROKEN(entry.struct_size = 8, "struct_size 8");
    BROKEN(entry.struct_size = 1u << 30, "struct_size");
    BROKEN(entry.sdk_version = NULL, "SDK version");
    BROKEN(entry.descriptors = NULL, "no plugin");
    BROKEN(list[0] = NULL, "no plugin");
    BROKEN(list[1] = &d, "listed twice");
    lathe_checked out;
    lathe_error err = {0};
    ck_assert_int_ne(lathe_check_entry(NULL, arena, &out, &err), LATHE_OK);
}
END_TEST

START_TEST(descriptor_rules) {
    BROKEN(d.struct_size = 100, "struct_size 100");
    BROKEN(d.id = NULL, "id");
    BROKEN(d.id = "nodots", "id");
    BROKEN(d.id = "Org.Test", "id");
    BROKEN(d.id = "org..x", "id");
    BROKEN(d.kind = "lathe.oracle/1", "kind \"lathe.oracle/1\"");
    BROKEN(d.kind = "activation", "kind");
    BROKEN(d.kind = NULL, "kind");
    BROKEN(d.name = "Two Words", "snake_case");
    BROKEN(d.version = "1.0", "1.2.3");
    BROKEN(d.version = "1.0.x", "1.2.3");
    BROKEN(d.doc = "", "doc");
    BROKEN(d.doc = "\xff\xfe", "doc");
    BROKEN(d.license = NULL, "license");
    BROKEN(d.url = "", "url");
    BROKEN(d.flags = 1u << 30, "flags");
    BROKEN(d.concurrency = 9, "concurrency");
    BROKEN(d.cpu_required = 1u << 9, "processor");
    BROKEN(d.tasks = 1u << 20, "tasks");
    BROKEN((d.state_version = 1, d.state_version_min = 2), "state version");
    BROKEN((d.state_version = 1), "state version");
    BROKEN(d.config_size = 1 << 20, "config");
    BROKEN(d.config_size = 0, "no config");
    BROKEN(d.n_params = 100000, "100000");
    BROKEN(d.params = NULL, "no table");
    BROKEN(d.param_size = 8, "param_size");
    BROKEN(d.create = create, "create()");
    BROKEN(d.interface = NULL, "method table");
    BROKEN(table.struct_size = 3, "struct_size");
    BROKEN(table.backward = NULL, "backward()");
    BROKEN(table.struct_size = 16, "backward()"); /* an older table that is too short for it */
}
END_TEST

START_TEST(conditional_functions) {
    fresh();
    lathe_error err;
    void *some = (void *)(uintptr_t)forward;
    loss_table = (lathe_loss){.struct_size = sizeof loss_table};
    memcpy(&loss_table.n_scores, &some, sizeof some);
    memcpy(&loss_table.value, &some, sizeof some);
    memcpy(&loss_table.gradient, &some, sizeof some);
    memcpy(&loss_table.start, &some, sizeof some);
    memcpy(&loss_table.link, &some, sizeof some);
    d.kind = LATHE_KIND_LOSS;
    d.interface = &loss_table;
    ck_assert_int_eq(look(&err), LATHE_OK);
    d.flags = LATHE_LOSS_ZERO_HESSIAN;
    ck_assert_int_ne(look(&err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "renew()"));
    memcpy(&loss_table.renew, &some, sizeof some);
    ck_assert_int_eq(look(&err), LATHE_OK);
}
END_TEST

START_TEST(parameter_rules) {
    BROKEN(params[0].name = NULL, "snake_case");
    BROKEN(params[0].name = "Rate", "snake_case");
    BROKEN(params[0].doc = "", "doc");
    BROKEN(params[0].type = 77, "type 77");
    BROKEN(params[0].flags |= 1u << 25, "flags");
    BROKEN(params[0].flags |= LATHE_PARAM_LIST | LATHE_PARAM_MAP, "list and a map");
    BROKEN(params[0].flags |= LATHE_PARAM_SINGLE, "SINGLE");
    BROKEN(params[0].flags |= LATHE_PARAM_PATH, "PATH");
    BROKEN(params[0].flags |= LATHE_PARAM_REQUIRED, "required");
    BROKEN(params[0].def = NULL, "no default");
    BROKEN(params[0].def = "{", "does not take itself");
    BROKEN(params[0].def = "\"fast\"", "does not take itself");
    BROKEN(params[0].def = "2", "does not take itself");
    BROKEN(params[0].def = "null", "does not take itself");
    BROKEN(params[0].min = 5, "allows nothing");
    BROKEN((params[0].min = 1, params[0].flags |= LATHE_PARAM_EXCL_MIN), "allows nothing");
    BROKEN(params[0].max = 1.0 / 0.0, "finite");
    BROKEN(params[0].scale = 7, "scale");
    BROKEN((params[0].scale = LATHE_SCALE_LOG, params[0].min = -1), "logarithmic");
    BROKEN((params[4].min_count = 3, params[4].max_count = 2), "length");
    BROKEN(params[4].min_count = 1, "does not take itself");
    BROKEN(params[1].name = "rate", "\"rate\" has too");
    BROKEN(params[1].alias = "rate", "\"rate\" has too");
    BROKEN(params[1].alias = "No", "alias");
    BROKEN(params[1].unit = "", "unit");
    BROKEN(params[1].offset = 0, "lies over");
    BROKEN(params[1].offset = 4096, "outside");
    BROKEN(params[1].offset = UINT32_MAX, "outside");
    BROKEN(params[1].offset = (uint32_t)sizeof(config) - 4, "outside");
    BROKEN((params[1].offset = 4, params[0].offset = 16), "multiple");
    BROKEN(params[3].choices = NULL, "without choices");
    BROKEN(params[3].choices = none, "without choices");
    BROKEN(params[3].choices = twice, "twice");
    BROKEN(params[3].def = "\"c\"", "does not take itself");
    BROKEN((params[3].type = LATHE_PARAM_COMPONENT, params[3].offset = 24, params[3].kind = "x"),
           "kind \"x\"");
    BROKEN(params[5].fields = NULL, "without fields");
    BROKEN(params[5].n_fields = 0, "without fields");
    BROKEN(params[5].record_size = 0, "record of 0");
    BROKEN(params[5].record_size = 4, "outside");
    BROKEN(fields[0].doc = NULL, "point.units");
    BROKEN(fields[0].def = "1.5", "does not take itself");
    BROKEN((fields[0].type = LATHE_PARAM_RECORD, fields[0].def = "{}", fields[0].fields = fields,
            fields[0].n_fields = 1, fields[0].record_size = 8),
           "nested"); /* a table that contains itself */
    static const lathe_task_default odd[] = {{9, 0, "1"}, {0, 0, NULL}};
    static const lathe_task_default wrong[] = {{LATHE_TASK_BINARY, 0, "[]"}, {0, 0, NULL}};
    BROKEN(params[0].by_task = odd, "unknown task");
    BROKEN(params[0].by_task = wrong, "does not take itself");
}
END_TEST

/* Sizes of other versions: a longer parameter is taken if its rest is zero. */
START_TEST(other_sizes) {
    struct longer {
        lathe_param p;
        uint64_t rest;
    } longer[6];
    lathe_error err;
    lathe_checked out;
    fresh();
    memset(longer, 0, sizeof longer);
    for (int i = 0; i < 6; i++)
        longer[i].p = params[i];
    /* every record's fields travel with the same size */
    struct longer field = {fields[0], 0};
    longer[5].p.fields = &field.p;
    d.params = &longer[0].p;
    d.param_size = sizeof(struct longer);
    arena = lathe_arena_new();
    ck_assert_int_eq(lathe_check_entry(&entry, arena, &out, &err), LATHE_OK);
    ck_assert_str_eq(out.descriptors[0]->params[3].name, "mode");
    ck_assert_uint_eq(out.descriptors[0]->param_size, sizeof(lathe_param));
    longer[2].rest = 1;
    ck_assert_int_ne(lathe_check_entry(&entry, arena, &out, &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "use a newer Lathe"));
    longer[2].rest = 0;
    field.rest = 1;
    ck_assert_int_ne(lathe_check_entry(&entry, arena, &out, &err), LATHE_OK);
}
END_TEST

static void teardown(void) {
    lathe_arena_free(arena);
    arena = NULL;
}

int main(void) {
    Suite *s = suite_create("plugin_check");
    TCase *t = tcase_create("rules");
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, good_is_good);
    tcase_add_test(t, entry_rules);
    tcase_add_test(t, descriptor_rules);
    tcase_add_test(t, conditional_functions);
    tcase_add_test(t, parameter_rules);
    tcase_add_test(t, other_sizes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
