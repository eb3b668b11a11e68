/* `lathe run PIPELINE.json`: a parent that draws progress on the terminal. */
#include "base/fs.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/document.h"
#include "cli/leaderboard.h"
#include "cli/progress.h"
#include "pipeline/parent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lathe run PIPELINE.json [--set name=value] [--threads N] [--dry-run] [--json]\n"
    "                 [--report FILE.html] [--home D]\n"
    "\n"
    "Runs all stages. Finished steps are taken from the home's cache. Exit codes: 0 done, 1 "
    "failed,\n"
    "2 bad pipeline, 3 the goal was not met, 130 interrupted.\n";

/* A run from the terminal's view. */
typedef struct terminal_run {
    cli_progress progress;
    lathe_parent *parent;
    uv_signal_t interrupt, terminate;
    bool json;
    int exit_code;
    char id[LATHE_RUN_ID];
    cJSON *result;
    char status[32];
    lathe_error error;
} terminal_run;

/* Stops within a second; a second signal stops at once. */
static void on_signal(uv_signal_t *signal, int number) {
    terminal_run *run = signal->data;
    (void)number;
    if (run->parent == NULL)
        return;
    cli_progress_clear(&run->progress);
    fprintf(stderr, "stopping …\n");
    lathe_parent_stop(run->parent, run->exit_code == EXIT_INTERRUPTED ? 0 : 800);
    run->exit_code = EXIT_INTERRUPTED;
}

static void on_event(void *user, const cJSON *event) {
    cli_progress_event(&((terminal_run *)user)->progress, event);
}

static void on_output(void *user, const char *text) {
    terminal_run *run = user;
    cli_progress_clear(&run->progress);
    fprintf(stderr, "  a plugin printed: %.500s\n", text);
}

static void on_end(void *user, const lathe_outcome *outcome) {
    terminal_run *run = user;
    run->exit_code = outcome->exit_code;
    run->error = *outcome->error;
    run->result = cJSON_Duplicate(outcome->result, 1);
    snprintf(run->status, sizeof run->status, "%s", outcome->status);
    snprintf(run->id, sizeof run->id, "%s", lathe_parent_run_id(run->parent));
    run->parent = NULL;
    uv_close((uv_handle_t *)&run->interrupt, NULL);
    uv_close((uv_handle_t *)&run->terminate, NULL);
}

/* Where the report is put for people: FILE, else home/reports/RUN.html. malloc'ed; NULL: there is none. */
static char *export_report(lathe_store *store, const terminal_run *run, const char *file) {
    lathe_arena *arena = lathe_arena_new();
    lathe_run_files files = {0};
    lathe_error err = {0};
    char *path = NULL;
    if (arena == NULL)
        return NULL;
    if (file != NULL) {
        path = strdup(file);
    } else {
        const char *dir = lathe_arena_printf(arena, "%s/reports", lathe_store_home(store));
        const char *name = lathe_arena_printf(arena, "%s.html", run->id);
        if (dir && name && lathe_mkdirs(dir, &err) == LATHE_OK)
            path = lathe_path_join(dir, name);
    }
    int32_t rc = path ? lathe_store_run_files(store, run->id, arena, &files, &err) : LATHE_E_MEMORY;
    const char *sha256 = NULL;
    for (size_t i = 0; rc == LATHE_OK && i < files.count; i++)
        if (strcmp(files.items[i].name, "report.html") == 0)
            sha256 = files.items[i].sha256;
    if (rc == LATHE_OK && sha256 != NULL)
        rc = lathe_store_artifact_export(store, sha256, path, true, &err);
    if (rc != LATHE_OK || sha256 == NULL) {
        if (rc != LATHE_OK)
            cli_error(&err);
        free(path);
        path = NULL;
    }
    lathe_arena_free(arena);
    return path;
}

/* The design's §6 object. */
static void print_json(const terminal_run *run, const char *report) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", run->id);
    cJSON_AddStringToObject(out, "status", run->status);
    const cJSON *member;
    cJSON_ArrayForEach(member, run->result)
        cJSON_AddItemToObject(out, member->string, cJSON_Duplicate(member, 1));
    if (report != NULL)
        cJSON_AddStringToObject(out, "report", report);
    if (run->exit_code == EXIT_FAILED || run->exit_code == EXIT_INTERRUPTED) {
        cJSON *error = cJSON_AddObjectToObject(out, "error");
        cJSON_AddStringToObject(error, "code", lathe_status_name(run->error.code));
        cJSON_AddStringToObject(error, "where", run->error.where);
        cJSON_AddStringToObject(error, "message", run->error.message);
    }
    cli_print_json(out);
    cJSON_Delete(out);
}

static void tell_end(const terminal_run *run, const char *report) {
    if (run->exit_code == EXIT_INTERRUPTED) {
        fprintf(stderr, "lathe: stopped at %s; a rerun goes on from the finished steps\n",
                run->progress.step[0] ? run->progress.step : "the beginning");
    } else if (run->exit_code == EXIT_FAILED) {
        cli_error(&run->error);
    }
    if (run->json)
        print_json(run, report);
    else if (run->result != NULL)
        cli_print_leaderboard(run->result, report);
}

static int execute(terminal_run *run, const cli_document *document, const char *file,
                   lathe_store *store, const cli_option *options, lathe_error *err) {
    uv_loop_t loop;
    lathe_buf text = {0};
    char *self = lathe_path_self();
    const char *threads = options[1].value ? options[1].value : getenv("LATHE_THREADS");
    lathe_json_print(document->pipeline->doc, lathe_json_root(document->pipeline->doc), &text);
    if (self == NULL || text.failed || uv_loop_init(&loop) != 0)
        return cli_error(err);
    uv_signal_init(&loop, &run->interrupt);
    uv_signal_init(&loop, &run->terminate);
    run->interrupt.data = run->terminate.data = run;
    uv_signal_start(&run->interrupt, on_signal, SIGINT);
    uv_signal_start(&run->terminate, on_signal, SIGTERM);
    const lathe_run_request request = {.executable = self,
                                       .text = document->text,
                                       .file = file,
                                       .base_dir = document->base_dir,
                                       .sets = options[0].list,
                                       .n_sets = options[0].count,
                                       .pipeline = document->pipeline->name,
                                       .document = lathe_buf_str(&text),
                                       .seed = (int64_t)document->pipeline->seed,
                                       .threads = threads ? atoi(threads) : 0,
                                       .on_event = on_event,
                                       .on_output = on_output,
                                       .on_end = on_end,
                                       .user = run};
    int32_t rc = lathe_parent_start(&loop, store, &request, &run->parent, err);
    if (rc != LATHE_OK) {
        run->exit_code = cli_error(err);
        uv_close((uv_handle_t *)&run->interrupt, NULL);
        uv_close((uv_handle_t *)&run->terminate, NULL);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    cli_progress_clear(&run->progress);
    if (rc == LATHE_OK) {
        char *report = run->result ? export_report(store, run, options[4].value) : NULL;
        tell_end(run, report);
        free(report);
    }
    free(self);
    lathe_buf_free(&text);
    return run->exit_code;
}

static bool good_threads(const char *text) {
    char *end;
    long n = text ? strtol(text, &end, 10) : 1;
    return text == NULL || (end != text && *end == 0 && n >= 1 && n <= 1024);
}

int cli_run(int argc, char **argv) {
    const char *args[argc + 1], *sets[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "set", .takes_value = true, .list = sets},
                            {.name = "threads", .takes_value = true},
                            {.name = "dry-run"},
                            {.name = "json"},
                            {.name = "report", .takes_value = true},
                            {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, usage, args, &n_args,
                   &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 1)
        return cli_usage(usage, "it takes one pipeline");
    if (!good_threads(options[1].value) || !good_threads(getenv("LATHE_THREADS")))
        return cli_usage(usage, "--threads (and $LATHE_THREADS) is a number from 1 to 1024");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    lathe_error err = {0};
    lathe_diags diags = {0};
    cli_document document = {0};
    lathe_catalogue *catalogue = NULL;
    lathe_store *store = NULL;
    terminal_run run = {.json = options[3].seen};
    int code = EXIT_USAGE;
    if (cli_open_catalogue(options[5].value, false, &catalogue, &err) != LATHE_OK)
        return cli_error(&err);
    if (!cli_load_document(args[0], options[5].value, catalogue, sets, options[0].count, &document,
                           &diags)) {
        lathe_diags_print(&diags, stderr);
        if (run.json) {
            cJSON *faults = cli_diags_json(&diags);
            cli_print_json(faults);
            cJSON_Delete(faults);
        }
    } else if (options[2].seen) {
        code = cli_print_plan(document.pipeline);
    } else if (lathe_store_open(options[5].value, LATHE_STORE_OWN, &store, &err) != LATHE_OK) {
        code = cli_error(&err);
    } else {
        cli_progress_begin(&run.progress, false);
        code = execute(&run, &document, args[0], store, options, &err);
    }
    lathe_store_close(store);
    cli_free_document(&document);
    lathe_diags_free(&diags);
    lathe_catalogue_close(catalogue);
    cJSON_Delete(run.result);
    return code;
}
