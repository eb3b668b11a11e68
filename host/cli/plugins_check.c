#include "cli/plugins_check.h"

#include "base/fs.h"
#include "cli/cli.h"
#include "pipeline/link.h"
#include "pipeline/setup.h"
#include "plugin/conform.h"
#include "plugin/kinds.h"
#include "serve/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 60 /* for one plugin */
#define MAX_ANSWER ((size_t)1 << 20)

/* ---- the child ---- */

static const char *const outcomes[] = {[LATHE_CONFORM_BEGINS] = "begins",
                                       [LATHE_CONFORM_HOLDS] = "holds",
                                       [LATHE_CONFORM_FAILS] = "fails",
                                       [LATHE_CONFORM_SKIPPED] = "skipped"};

/* A line of JSON each: what came before a crash is there still. */
static void tell(void *user, const char *what, lathe_conform_outcome outcome, const char *why) {
    const int fd = *(const int *)user;
    lathe_buf line = {0};
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "check", what);
    cJSON_AddStringToObject(item, "outcome", outcomes[outcome]);
    if (why[0] != 0)
        cJSON_AddStringToObject(item, "why", why);
    lathe_json_print(NULL, item, &line);
    lathe_buf_append_char(&line, '\n');
    if (write(fd, lathe_buf_str(&line), line.len) != (ssize_t)line.len)
        _exit(1);
    cJSON_Delete(item);
    lathe_buf_free(&line);
}

static const lathe_plugin *find_plugin(const lathe_catalogue *catalogue, const char *file,
                                       const char *id) {
    for (size_t i = 0; i < lathe_catalogue_count(catalogue); i++) {
        const lathe_plugin *p = lathe_catalogue_at(catalogue, i);
        if (strcmp(p->file->path, file) == 0 && strcmp(p->descriptor->id, id) == 0)
            return p;
    }
    return NULL;
}

int cli_worker_check(int argc, char **argv) {
    lathe_error err = {0};
    if (argc != 6)
        return EXIT_USAGE;
    int fd = lathe_link_hide_events();
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what a plugin prints is no answer */
    lathe_setup setup = {.crumbs = lathe_setup_crumbs()};
    const lathe_setup_options options = {
        .plugin_cache = argv[1], .folder = argv[2][0] ? argv[2] : NULL, .threads = 2};
    if (setup.crumbs != NULL)
        lathe_crumbs_thread_start(setup.crumbs, 0);
    if (lathe_setup_open(&setup, &options, &err) != LATHE_OK)
        return cli_error(&err);
    const lathe_plugin *p = find_plugin(setup.catalogue, argv[3], argv[4]);
    const lathe_conform_options how = {
        .params = argv[5][0] ? argv[5] : NULL, .tell = tell, .user = &fd};
    const int failed = p != NULL ? lathe_conform(setup.runtime, p, &how) : -1;
    lathe_setup_close(&setup);
    return failed >= 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the parent ---- */

typedef struct checking {
    const char *file; /* as it was given */
    char *real;
    char folder[512]; /* with a link to it; "": it is one of the program's own */
    char *cache,
        *listed; /* in the folder: the cache, and the path by which the catalogue has the file */
    lathe_catalogue *catalogue;
    cJSON *report;
    int failed;
    bool needs_params; /* nothing could be shown without them */
} checking;

static int32_t open_file(checking *c, lathe_error *err) {
    const char *tmp = getenv("TMPDIR");
    snprintf(c->folder, sizeof c->folder, "%.400s/lathe-check-XXXXXX",
             tmp && tmp[0] ? tmp : "/tmp");
    const char *name = strrchr(c->file, '/') ? strrchr(c->file, '/') + 1 : c->file;
    int32_t rc = lathe_path_real(c->file, &c->real, err);
    if (rc == LATHE_OK && mkdtemp(c->folder) == NULL)
        rc = lathe_fail(err, LATHE_E_IO, c->folder, "a temporary folder cannot be made");
    if (rc != LATHE_OK) {
        c->folder[0] = 0;
        return rc;
    }
    char *self = lathe_path_self();
    c->cache = lathe_path_join(c->folder, "cache.json");
    c->listed = lathe_path_join(c->folder, name);
    const char *dirs[] = {c->folder};
    const lathe_catalogue_options options = {
        .dirs = dirs, .n_dirs = 1, .cache_file = c->cache, .scanner = self};
    if (self == NULL || c->cache == NULL || c->listed == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    else if (strlen(name) < 4 || strcmp(name + strlen(name) - 3, ".so") != 0)
        rc = lathe_fail(err, LATHE_E_INVALID, c->file, "a plugin's file is named NAME.so");
    else if (symlink(c->real, c->listed) != 0)
        rc = lathe_fail(err, LATHE_E_IO, c->folder, "a link cannot be made in the folder");
    if (rc == LATHE_OK)
        rc = lathe_catalogue_open(&options, &c->catalogue, err);
    free(self);
    return rc;
}

static void close_file(checking *c) {
    lathe_catalogue_close(c->catalogue);
    if (c->folder[0] != 0)
        lathe_remove_tree(c->folder, NULL);
    free(c->real);
    free(c->cache);
    free(c->listed);
    cJSON_Delete(c->report);
}

/* The file as the catalogue has it: by itself where it is found in a folder anyway, so that it does not stand in its own way. */
static const lathe_plugin_file *find_file(const checking *c) {
    const lathe_plugin_file *linked = NULL;
    for (size_t i = 0; i < lathe_catalogue_file_count(c->catalogue); i++) {
        const lathe_plugin_file *f = lathe_catalogue_file_at(c->catalogue, i);
        char *real = NULL;
        if (strcmp(f->path, c->listed) == 0)
            linked = f;
        else if (lathe_path_real(f->path, &real, NULL) == LATHE_OK && strcmp(real, c->real) == 0) {
            free(real);
            return f;
        }
        free(real);
    }
    return linked;
}

/* Lines of the child: checks that began and have no end are what it died of. */
static void take_lines(checking *c, cJSON *checks, char *text, const char *death) {
    char *save = NULL, begun[200] = "";
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        cJSON *item = cJSON_Parse(line);
        const char *outcome = cJSON_GetStringValue(lathe_json_get(item, "outcome")),
                   *what = cJSON_GetStringValue(lathe_json_get(item, "check"));
        const bool begins = outcome != NULL && strcmp(outcome, "begins") == 0;
        if (outcome == NULL || what == NULL || begins) {
            snprintf(begun, sizeof begun, "%s", what ? what : "");
            cJSON_Delete(item);
            continue;
        }
        begun[0] = 0;
        c->failed += strcmp(outcome, "fails") == 0;
        c->needs_params = strcmp(outcome, "skipped") == 0; /* as the last */
        cJSON_AddItemToArray(checks, item);
    }
    if (death == NULL)
        return;
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "check", begun[0] ? begun : "the checks come to their end");
    cJSON_AddStringToObject(item, "outcome", "fails");
    cJSON_AddStringToObject(item, "why", death);
    cJSON_AddItemToArray(checks, item);
    c->failed++;
}

static void check_plugin(checking *c, const lathe_plugin *p, const char *params) {
    char *self = lathe_path_self();
    const char *args[] = {
        "check", c->cache, c->folder, p->file->path, p->descriptor->id, params ? params : "", NULL};
    const lathe_question question = {.executable = self,
                                     .args = args,
                                     .seconds = SECONDS,
                                     .max_bytes = MAX_ANSWER,
                                     .partial = true};
    const lathe_kind *kind = lathe_kind_find(p->descriptor->kind);
    lathe_buf answer = {0};
    lathe_error err = {0};
    cJSON *out = cJSON_CreateObject();
    cJSON_AddItemToArray(lathe_json_get(c->report, "plugins"), out);
    cJSON_AddStringToObject(out, "id", p->descriptor->id);
    cJSON_AddStringToObject(out, "kind", kind ? kind->name : p->descriptor->kind);
    cJSON *checks = cJSON_AddArrayToObject(out, "checks");
    const int32_t rc =
        self != NULL ? lathe_ask(&question, &answer, &err)
                     : lathe_fail(&err, LATHE_E_INTERNAL, NULL, "the program cannot find itself");
    lathe_buf_append_char(&answer, '\0');
    if (answer.data != NULL)
        take_lines(c, checks, answer.data, rc != LATHE_OK ? err.message : NULL);
    lathe_buf_free(&answer);
    free(self);
}

/* One that is not in use cannot be checked: the variant for another processor is passed over, one whose id another has fails. */
static void tell_hidden(checking *c, const lathe_plugin *p) {
    bool variant = false;
    for (size_t i = 0; i < lathe_catalogue_count(c->catalogue); i++) {
        const lathe_plugin *other = lathe_catalogue_at(c->catalogue, i);
        variant = variant || (strcmp(other->descriptor->id, p->descriptor->id) == 0 &&
                              other->descriptor->cpu_required != p->descriptor->cpu_required);
    }
    cJSON *out = cJSON_CreateObject(), *item = cJSON_CreateObject();
    cJSON_AddItemToArray(lathe_json_get(c->report, "plugins"), out);
    cJSON_AddStringToObject(out, "id", p->descriptor->id);
    cJSON_AddStringToObject(out, "kind", p->descriptor->kind);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(out, "checks"), item);
    cJSON_AddStringToObject(item, "check", "it is in use");
    cJSON_AddStringToObject(item, "outcome", variant ? "skipped" : "fails");
    cJSON_AddStringToObject(item, "why", p->hidden);
    c->failed += !variant;
}

static void check_each(checking *c, const lathe_plugin_file *file, const char *params) {
    for (size_t i = 0; i < lathe_catalogue_count(c->catalogue); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c->catalogue, i);
        if (p->file == file && p->hidden == NULL)
            check_plugin(c, p, params);
        else if (p->file == file)
            tell_hidden(c, p);
    }
}

/* ---- the report ---- */

static void print_checks(const cJSON *plugin, int *n) {
    const cJSON *item;
    printf("%s, %s\n", cJSON_GetStringValue(lathe_json_get(plugin, "id")),
           cJSON_GetStringValue(lathe_json_get(plugin, "kind")));
    cJSON_ArrayForEach(item, lathe_json_get(plugin, "checks")) {
        const char *outcome = cJSON_GetStringValue(lathe_json_get(item, "outcome")),
                   *why = cJSON_GetStringValue(lathe_json_get(item, "why"));
        printf("  %-8s %s%s%s\n", strcmp(outcome, "fails") == 0 ? "FAILS" : outcome,
               cJSON_GetStringValue(lathe_json_get(item, "check")), why ? ": " : "",
               why ? why : "");
        ++*n;
    }
}

static void print_report(const checking *c) {
    const cJSON *plugin, *plugins = lathe_json_get(c->report, "plugins");
    const char *reason = cJSON_GetStringValue(lathe_json_get(c->report, "reason"));
    int n = 0;
    if (reason != NULL)
        printf("%s: refused: %s\n", c->file, reason);
    cJSON_ArrayForEach(plugin, plugins) print_checks(plugin, &n);
    if (reason == NULL)
        printf("%s: %d plugin%s, %d check%s, %d failed\n", c->file, cJSON_GetArraySize(plugins),
               cJSON_GetArraySize(plugins) == 1 ? "" : "s", n, n == 1 ? "" : "s", c->failed);
}

int cli_check_file(const char *path, const char *params, bool json) {
    checking c = {.file = path, .report = cJSON_CreateObject()};
    lathe_error err = {0};
    cJSON_AddStringToObject(c.report, "file", path);
    cJSON_AddArrayToObject(c.report, "plugins");
    if (open_file(&c, &err) != LATHE_OK) {
        close_file(&c);
        return cli_error(&err);
    }
    const lathe_plugin_file *file = find_file(&c);
    if (file == NULL || file->status != LATHE_FILE_READY) {
        cJSON_AddStringToObject(c.report, "reason",
                                file != NULL && file->reason ? file->reason : "it is not there");
        c.failed++;
    } else {
        check_each(&c, file, params);
    }
    cJSON_AddNumberToObject(c.report, "failed", c.failed);
    if (json)
        cli_print_json(c.report);
    else
        print_report(&c);
    int code = c.failed == 0 ? EXIT_DONE : EXIT_FAILED;
    if (code == EXIT_DONE && params == NULL && c.needs_params)
        code = cli_usage("", "%s has parameters without a default; give them with --params", path);
    close_file(&c);
    return code;
}
