/* Finding and scanning: verdicts, cache, quarantine, clashes of names, loading what changed. */
#include "base/fs.h"
#include "base/sanitizer.h"
#include "plugin/catalogue.h"
#include "plugin/kinds.h"
#include "plugin/scan.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], cache[96];

static void setup(void) {
    strcpy(dir, "/tmp/lathe-catalogue-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(cache, sizeof cache, "%s/cache/plugins.json", dir);
}

static void teardown(void) {
    lathe_remove_tree(dir, NULL);
}

/* Puts fixture plugin `name` into the folder as `as`. */
static void add(const char *name, const char *as) {
    char from[512], to[512], *data;
    size_t len;
    snprintf(from, sizeof from, "%s/%s.so", LATHE_FIXTURE_PLUGIN_DIR, name);
    snprintf(to, sizeof to, "%s/%s.so", dir, as);
    ck_assert_int_eq(lathe_read_file(from, 64 << 20, &data, &len, NULL), LATHE_OK);
    ck_assert_int_eq(lathe_write_file_atomic(to, data, len, NULL), LATHE_OK);
    free(data);
}

static lathe_catalogue *open_cat(bool use_cache, bool rescan) {
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    lathe_catalogue_options o = {.builtin_dir = dir,
                                 .no_environment = true,
                                 .cache_file = use_cache ? cache : NULL,
                                 .rescan = rescan,
                                 .timeout_ms = 3000};
    ck_assert_msg(lathe_catalogue_open(&o, &c, &err) == LATHE_OK, "%s", err.message);
    return c;
}

static const lathe_plugin_file *file_of(const lathe_catalogue *c, const char *name) {
    for (size_t i = 0; i < lathe_catalogue_file_count(c); i++)
        if (strstr(lathe_catalogue_file_at(c, i)->path, name) != NULL)
            return lathe_catalogue_file_at(c, i);
    ck_abort_msg("%s is not listed", name);
    return NULL;
}

static const struct {
    const char *name;
    lathe_file_status status;
    const char *reason;
} verdicts[] = {
    {"bad_magic", LATHE_FILE_REFUSED, "magic"},
    {"crash_entry", LATHE_FILE_CRASHED, "segmentation fault (signal 11)"},
    {"exit_entry", LATHE_FILE_CRASHED,
     LATHE_TSAN ? "exit code" : "exit code 3"}, /* clang's ends it with its own */
    {"future_major", LATHE_FILE_REFUSED, "built for plugin ABI 7"},
    {"longer_zero", LATHE_FILE_READY, NULL},
    {"missing_function", LATHE_FILE_REFUSED, "lacks the function backward()"},
    {"newer_minor", LATHE_FILE_REFUSED, "needs plugin ABI 1.900"},
    {"no_entry", LATHE_FILE_REFUSED, "exports no lathe_plugin_entry()"},
    {"null_strings", LATHE_FILE_REFUSED, "version"},
    {"params_out_of_bounds", LATHE_FILE_REFUSED, "outside of its struct"},
    {"prints", LATHE_FILE_READY, NULL},
    {"probe", LATHE_FILE_READY, NULL},
    {"rogue", LATHE_FILE_READY, NULL},
    {"wrong_struct_size", LATHE_FILE_REFUSED, "use a newer Lathe"},
};
#define N_VERDICTS (sizeof verdicts / sizeof verdicts[0])

static void check_verdicts(const lathe_catalogue *c) {
    for (size_t i = 0; i < N_VERDICTS; i++) {
        const lathe_plugin_file *f = file_of(c, verdicts[i].name);
        ck_assert_msg(f->status == verdicts[i].status, "%s: status %d: %s", verdicts[i].name,
                      (int)f->status, f->reason ? f->reason : "-");
        if (verdicts[i].reason == NULL)
            continue;
        ck_assert_msg(strstr(f->reason, verdicts[i].reason) != NULL, "%s: %s", verdicts[i].name,
                      f->reason);
        ck_assert_ptr_nonnull(strstr(f->reason, f->path)); /* the file is named */
        bool noted = false;
        for (size_t k = 0; k < lathe_catalogue_note_count(c); k++)
            noted |= strcmp(lathe_catalogue_note_at(c, k), f->reason) == 0;
        ck_assert(noted); /* nothing is skipped silently */
    }
    ck_assert_ptr_nonnull(lathe_catalogue_find(c, LATHE_KIND_ACTIVATION, "prints", NULL));
    ck_assert_ptr_nonnull(lathe_catalogue_find(c, LATHE_KIND_ACTIVATION, "probe", NULL));
}

/* One bad file spoils no other, and each has its own reason. */
START_TEST(verdicts_of_all) {
    for (size_t i = 0; i < N_VERDICTS; i++)
        add(verdicts[i].name, verdicts[i].name);
    char junk[128];
    snprintf(junk, sizeof junk, "%s/junk.so", dir);
    ck_assert_int_eq(lathe_write_file_atomic(junk, "no elf", 6, NULL), LATHE_OK);
    snprintf(junk, sizeof junk, "%s/readme.txt", dir);
    ck_assert_int_eq(lathe_write_file_atomic(junk, "no", 2, NULL), LATHE_OK);
    lathe_catalogue *c = open_cat(true, false);
    ck_assert_uint_eq(lathe_catalogue_file_count(c), N_VERDICTS + 1);
    check_verdicts(c);
    ck_assert_int_eq(file_of(c, "junk")->status, LATHE_FILE_REFUSED);
    /* Last words of a crashed one are kept. */
    ck_assert_ptr_nonnull(strstr(file_of(c, "crash_entry")->reason, "these are my last words"));
    lathe_catalogue_close(c);
    /* Again from the cache: the same verdicts without looking. */
    c = open_cat(true, false);
    check_verdicts(c);
    for (size_t i = 0; i < lathe_catalogue_file_count(c); i++)
        ck_assert(lathe_catalogue_file_at(c, i)->cached);
    /* What the cache gives is as good as what the scan gave. */
    const lathe_plugin *p = lathe_catalogue_find(c, LATHE_KIND_ACTIVATION, "probe", NULL);
    ck_assert_uint_eq(p->descriptor->n_params, 25);
    const lathe_descriptor *loaded;
    lathe_error err = {0};
    ck_assert_msg(lathe_catalogue_load(p, &loaded, &err) == LATHE_OK, "%s", err.message);
    ck_assert_ptr_nonnull(loaded->check_config);
    ck_assert_ptr_null(p->descriptor->check_config);
    lathe_catalogue_close(c);
}
END_TEST

/* Looking at a wild pointer kills the child (or its sanitizer does), not us. */
START_TEST(wild_pointer) {
    add("wild_params", "wild_params");
    add("prints", "zz_after");
    lathe_catalogue *c = open_cat(false, false);
    ck_assert_int_eq(file_of(c, "wild_params")->status, LATHE_FILE_CRASHED);
    ck_assert_int_eq(file_of(c, "zz_after")->status, LATHE_FILE_READY);
    lathe_catalogue_close(c);
}
END_TEST

START_TEST(hang_is_quarantined) {
    add("hang_entry", "hang_entry");
    add("prints", "zz_after");
    lathe_catalogue *c = open_cat(true, false);
    ck_assert_int_eq(file_of(c, "hang_entry")->status, LATHE_FILE_HUNG);
    ck_assert_ptr_nonnull(strstr(file_of(c, "hang_entry")->reason, "more than 3.0 seconds"));
    ck_assert_int_eq(file_of(c, "zz_after")->status, LATHE_FILE_READY);
    lathe_catalogue_close(c);
    c = open_cat(true, false);
    ck_assert(file_of(c, "hang_entry")->cached); /* left alone */
    ck_assert_int_eq(file_of(c, "hang_entry")->status, LATHE_FILE_HUNG);
    lathe_catalogue_close(c);
    add("prints", "hang_entry"); /* the file changed: it is looked at again */
    c = open_cat(true, false);
    ck_assert_int_eq(file_of(c, "hang_entry")->status, LATHE_FILE_READY);
    ck_assert(!file_of(c, "hang_entry")->cached);
    ck_assert(file_of(c, "zz_after")->cached);
    lathe_catalogue_close(c);
    c = open_cat(true, true); /* rescan */
    ck_assert(!file_of(c, "zz_after")->cached);
    lathe_catalogue_close(c);
}
END_TEST

/* Whatever is in the cache, opening works and gives the truth. */
START_TEST(damaged_cache) {
    char *text;
    size_t len;
    add("probe", "probe");
    add("bad_magic", "bad_magic");
    lathe_catalogue_close(open_cat(true, false));
    ck_assert_int_eq(lathe_read_file(cache, 1 << 24, &text, &len, NULL), LATHE_OK);
    for (size_t i = 0; i < len; i += 37) {
        char *copy = malloc(len + 1);
        memcpy(copy, text, len + 1);
        copy[i] ^= (char)(1 << (i % 7));
        size_t keep = i % 5 == 0 ? i : len;
        ck_assert_int_eq(lathe_write_file_atomic(cache, copy, keep, NULL), LATHE_OK);
        lathe_catalogue *c = open_cat(true, false);
        ck_assert_uint_eq(lathe_catalogue_file_count(c), 2);
        ck_assert_int_eq(file_of(c, "bad_magic")->status, LATHE_FILE_REFUSED);
        lathe_catalogue_close(c);
        free(copy);
        if (i > 37 * 60)
            break;
    }
    free(text);
}
END_TEST

START_TEST(clashes) {
    add("twin_a", "a");
    add("twin_b", "b");
    lathe_catalogue *c = open_cat(false, false);
    const lathe_plugin *p = lathe_catalogue_find(c, LATHE_KIND_ACTIVATION, "org.test.twin", NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(strstr(p->file->path, "/a.so")); /* the earlier file */
    p = lathe_catalogue_find(c, NULL, "shared", NULL);
    ck_assert_str_eq(p->descriptor->id, "org.test.first");
    p = lathe_catalogue_find(c, NULL, "org.test.second", NULL);
    ck_assert_ptr_nonnull(p); /* by id still */
    ck_assert_ptr_nonnull(p->name_lost);
    /* Variants: the one that this processor can run and that asks most. */
    p = lathe_catalogue_find(c, NULL, "variant", NULL);
    ck_assert_ptr_nonnull(p);
    size_t hidden = 0, notes = 0;
    for (size_t i = 0; i < lathe_catalogue_count(c); i++)
        hidden += lathe_catalogue_at(c, i)->hidden != NULL;
    ck_assert_uint_eq(hidden, 2); /* a twin, a variant */
    for (size_t i = 0; i < lathe_catalogue_note_count(c); i++) {
        notes += strstr(lathe_catalogue_note_at(c, i), "org.test.twin") != NULL;
        notes += strstr(lathe_catalogue_note_at(c, i), "org.test.second") != NULL;
    }
    ck_assert_uint_eq(notes, 2);
    lathe_catalogue_close(c);
}
END_TEST

START_TEST(names) {
    add("probe", "probe");
    add("rogue", "rogue");
    add("bad_magic", "bad_magic");
    lathe_catalogue *c = open_cat(false, false);
    const char *near = NULL;
    lathe_error err = {0};
    ck_assert_ptr_null(lathe_catalogue_find(c, LATHE_KIND_LEARNER, "rouge", &near));
    ck_assert_str_eq(near, "rogue");
    ck_assert_ptr_null(lathe_catalogue_find(c, LATHE_KIND_LEARNER, "probe", &near));
    lathe_catalogue_unknown(c, LATHE_KIND_LEARNER, "probe", &err);
    ck_assert_str_eq(err.message, "\"probe\" is an activation, and a learner is expected here");
    lathe_catalogue_unknown(c, LATHE_KIND_LEARNER, "rouge", &err);
    ck_assert_ptr_nonnull(strstr(err.message, "did you mean \"rogue\"?"));
    lathe_catalogue_unknown(c, LATHE_KIND_LEARNER, "xyzzy", &err);
    ck_assert_ptr_nonnull(strstr(err.message, "1 plugin file was refused"));
    ck_assert_ptr_nonnull(
        lathe_catalogue_find(c, LATHE_KIND_LOSS "|" LATHE_KIND_LEARNER, "rogue", NULL));
    /* a learner is no ensemble, but an ensemble would be a learner */
    ck_assert_ptr_null(lathe_catalogue_find(c, LATHE_KIND_ENSEMBLE, "rogue", NULL));
    ck_assert(lathe_kind_in(LATHE_KIND_ENSEMBLE, LATHE_KIND_LEARNER));
    ck_assert(!lathe_kind_in(LATHE_KIND_LEARNER, LATHE_KIND_ENSEMBLE));
    lathe_catalogue_close(c);
}
END_TEST

START_TEST(changed_before_load) {
    add("probe", "probe");
    lathe_catalogue *c = open_cat(false, false);
    const lathe_plugin *p = lathe_catalogue_find(c, NULL, "probe", NULL);
    add("rogue", "probe");
    const lathe_descriptor *loaded;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_catalogue_load(p, &loaded, &err), LATHE_E_STATE);
    ck_assert_ptr_nonnull(strstr(err.message, "has changed since it was scanned"));
    ck_assert_ptr_null(lathe_plugin_loaded(p));
    lathe_catalogue_close(c);
}
END_TEST

START_TEST(folders) {
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    char other[96];
    const char *dirs[] = {other, "/nowhere/at/all", other};
    snprintf(other, sizeof other, "%s/other", dir);
    ck_assert_int_eq(lathe_mkdirs(other, NULL), LATHE_OK);
    add("probe", "other/probe");
    lathe_catalogue_options o = {
        .builtin_dir = dir, .dirs = dirs, .n_dirs = 3, .no_environment = true};
    ck_assert_int_eq(lathe_catalogue_open(&o, &c, &err), LATHE_OK);
    ck_assert_uint_eq(lathe_catalogue_file_count(c), 1); /* one folder given twice counts once */
    ck_assert(!lathe_catalogue_file_at(c, 0)->builtin);
    ck_assert_uint_eq(lathe_catalogue_note_count(c), 1);
    ck_assert_ptr_nonnull(strstr(lathe_catalogue_note_at(c, 0), "/nowhere/at/all"));
    lathe_catalogue_close(c);
    char link[128]; /* to nothing: nothing is left out silently */
    snprintf(link, sizeof link, "%s/gone.so", other);
    ck_assert_int_eq(symlink("/nowhere/gone.so", link), 0);
    ck_assert_int_eq(lathe_catalogue_open(&o, &c, &err), LATHE_OK);
    ck_assert_uint_eq(lathe_catalogue_file_count(c), 1);
    ck_assert_uint_eq(lathe_catalogue_note_count(c), 3); /* in each of the two mentions */
    ck_assert_ptr_nonnull(strstr(lathe_catalogue_note_at(c, 0), "gone.so"));
    ck_assert_int_eq(unlink(link), 0);
    lathe_catalogue_close(c);
    setenv("LATHE_PLUGIN_PATH", other, 1);
    o = (lathe_catalogue_options){.builtin_dir = dir};
    ck_assert_int_eq(lathe_catalogue_open(&o, &c, &err), LATHE_OK);
    ck_assert_uint_eq(lathe_catalogue_file_count(c), 1);
    lathe_catalogue_close(c);
    unsetenv("LATHE_PLUGIN_PATH");
}
END_TEST

static lathe_catalogue *scan_by(const char *script) {
    char scanner[128];
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    snprintf(scanner, sizeof scanner, "%s/scanner", dir);
    ck_assert_int_eq(lathe_write_file_atomic(scanner, script, strlen(script), NULL), LATHE_OK);
    ck_assert_int_eq(chmod(scanner, 0700), 0);
    lathe_catalogue_options o = {
        .builtin_dir = dir, .no_environment = true, .cache_file = cache, .scanner = scanner};
    ck_assert_msg(lathe_catalogue_open(&o, &c, &err) == LATHE_OK, "%s", err.message);
    return c;
}

/* What may not be the plugin's fault is no verdict for good. */
START_TEST(killed_from_outside) {
    add("probe", "probe");
    lathe_catalogue *c = scan_by("#!/bin/sh\necho '{\"begin\":0}'\nkill -9 $$\n");
    ck_assert_int_eq(file_of(c, "probe")->status, LATHE_FILE_CRASHED);
    ck_assert_ptr_nonnull(strstr(file_of(c, "probe")->reason, "killed from outside"));
    lathe_catalogue_close(c);
    const lathe_catalogue_options o = {
        .builtin_dir = dir, .no_environment = true, .cache_file = cache};
    ck_assert(!lathe_catalogue_is_warm(&o));
    c = open_cat(true, false);
    ck_assert_int_eq(file_of(c, "probe")->status, LATHE_FILE_READY);
    ck_assert(!file_of(c, "probe")->cached);
    lathe_catalogue_close(c);
    ck_assert(lathe_catalogue_is_warm(&o));
}
END_TEST

START_TEST(rubbish_is_named) {
    add("probe", "probe");
    lathe_catalogue *c = scan_by("#!/bin/sh\necho rubbish\nexec sleep 60\n");
    ck_assert_int_eq(file_of(c, "probe")->status, LATHE_FILE_CRASHED);
    ck_assert_ptr_nonnull(strstr(file_of(c, "probe")->reason, "wrote rubbish"));
    lathe_catalogue_close(c);
    c = open_cat(true, false);
    ck_assert(file_of(c, "probe")->cached);
    lathe_catalogue_close(c);
}
END_TEST

/* A scanner that is no scanner is its own fault, not the plugins'. */
START_TEST(bad_scanner) {
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    add("probe", "probe");
    lathe_catalogue_options o = {
        .builtin_dir = dir, .no_environment = true, .scanner = "/nowhere/lathe"};
    ck_assert_int_ne(lathe_catalogue_open(&o, &c, &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "scanner"));
    o.scanner = "/bin/true";
    ck_assert_int_eq(lathe_catalogue_open(&o, &c, &err), LATHE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "without looking"));
}
END_TEST

/* The scanner as a program of its own: this one, see main. */
START_TEST(own_scanner) {
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    char *self = lathe_path_self();
    for (size_t i = 0; i < N_VERDICTS; i++)
        add(verdicts[i].name, verdicts[i].name);
    lathe_catalogue_options o = {.builtin_dir = dir, .no_environment = true, .scanner = self};
    ck_assert_msg(lathe_catalogue_open(&o, &c, &err) == LATHE_OK, "%s", err.message);
    check_verdicts(c);
    lathe_catalogue_close(c);
    free(self);
}
END_TEST

/* The plugins that the build made: all of them are fine. */
START_TEST(built_plugins) {
    lathe_catalogue *c = NULL;
    lathe_error err = {0};
    lathe_catalogue_options o = {.builtin_dir = LATHE_PLUGIN_DIR, .no_environment = true};
    ck_assert_msg(lathe_catalogue_open(&o, &c, &err) == LATHE_OK, "%s", err.message);
    for (size_t i = 0; i < lathe_catalogue_note_count(c); i++)
        ck_abort_msg("%s", lathe_catalogue_note_at(c, i));
    ck_assert_uint_gt(lathe_catalogue_count(c), 0);
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        const lathe_descriptor *loaded;
        ck_assert_msg(lathe_catalogue_load(p, &loaded, &err) == LATHE_OK, "%s", err.message);
        ck_assert_str_eq(loaded->id, p->descriptor->id);
        ck_assert_msg(strncmp(loaded->id, "lathe.", 6) == 0, "%s", loaded->id);
    }
    lathe_catalogue_close(c);
}
END_TEST

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "worker") == 0 && strcmp(argv[2], "scan") == 0)
        return lathe_scan_main(STDOUT_FILENO, (const char *const *)argv + 3, (size_t)argc - 3);
    Suite *s = suite_create("plugin_catalogue");
    TCase *t = tcase_create("catalogue");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, verdicts_of_all);
    tcase_add_test(t, wild_pointer);
    tcase_add_test(t, hang_is_quarantined);
    tcase_add_test(t, damaged_cache);
    tcase_add_test(t, clashes);
    tcase_add_test(t, names);
    tcase_add_test(t, changed_before_load);
    tcase_add_test(t, folders);
    tcase_add_test(t, killed_from_outside);
    tcase_add_test(t, rubbish_is_named);
    tcase_add_test(t, bad_scanner);
    tcase_add_test(t, own_scanner);
    tcase_add_test(t, built_plugins);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
