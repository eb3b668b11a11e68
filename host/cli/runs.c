/* `lathe runs list|show|compare|events`. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lathe runs list [--pipeline NAME] [--limit N] [--json]\n"
    "       lathe runs show RUN [--json]\n"
    "       lathe runs compare RUN RUN [--json]\n"
    "       lathe runs events RUN\n"
    "RUN is an id, the beginning of one, or \"latest\". Options for all: --home D.\n";

enum { OPT_HOME, OPT_JSON, OPT_PIPELINE, OPT_LIMIT, N_OPT };

typedef struct runs_call {
    lathe_store *store;
    lathe_arena *arena;
    const cli_option *options;
    const char *const *args;
    lathe_error err;
} runs_call;

static const char *seconds_of(lathe_arena *arena, const lathe_run_record *r) {
    if (r->finished == 0)
        return "";
    return lathe_arena_printf(arena, "%.1f", (double)(r->finished - r->started) * 1e-6);
}

static cJSON *run_json(const lathe_run_record *r) {
    cJSON *out = cJSON_CreateObject();
    char time[LATHE_ISO_TIME];
    const struct {
        const char *key, *json;
    } parts[] = {{"result", r->result},
                 {"machine", r->machine},
                 {"plugins", r->plugins},
                 {"data", r->data},
                 {"document", r->document}};
    cJSON_AddStringToObject(out, "run", r->id);
    cJSON_AddStringToObject(out, "pipeline", r->pipeline);
    cJSON_AddStringToObject(out, "status", r->status);
    lathe_iso_time(r->started, time);
    cJSON_AddStringToObject(out, "started", time);
    if (r->finished > 0) {
        lathe_iso_time(r->finished, time);
        cJSON_AddStringToObject(out, "finished", time);
    }
    cJSON_AddStringToObject(out, "reason", r->reason);
    cJSON_AddNumberToObject(out, "seed", (double)r->seed);
    cJSON_AddStringToObject(out, "document_sha256", r->document_sha256);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        cJSON *tree = parts[i].json ? cJSON_Parse(parts[i].json) : NULL;
        if (tree != NULL)
            cJSON_AddItemToObject(out, parts[i].key, tree);
    }
    return out;
}

static void print_tree(cJSON *tree, bool json) {
    cli_print_tree(tree, json);
    cJSON_Delete(tree);
}

static int cmd_list(runs_call *c) {
    lathe_run_list list;
    const lathe_run_filter filter = {
        .pipeline = c->options[OPT_PIPELINE].value,
        .limit = c->options[OPT_LIMIT].value ? atoll(c->options[OPT_LIMIT].value) : 50};
    if (lathe_store_runs(c->store, &filter, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen) {
        cJSON *out = cJSON_CreateArray();
        for (size_t i = 0; i < list.count; i++)
            cJSON_AddItemToArray(out, run_json(&list.items[i]));
        print_tree(out, true);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * 6, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, (const char *[]){"run", "pipeline", "status", "seconds", "started", "reason"},
           6 * sizeof *cells);
    for (size_t i = 0; i < list.count; i++) {
        const lathe_run_record *r = &list.items[i];
        const char **row = cells + 6 * (i + 1);
        char time[LATHE_ISO_TIME];
        lathe_iso_time(r->started, time);
        row[0] = r->id;
        row[1] = r->pipeline;
        row[2] = r->status;
        row[3] = seconds_of(c->arena, r);
        row[4] = lathe_arena_strndup(c->arena, time, 16);
        row[5] = lathe_arena_strndup(c->arena, r->reason, 60);
    }
    cli_print_table(cells, list.count + 1, 6);
    return EXIT_DONE;
}

static int cmd_show(runs_call *c) {
    lathe_run_record run;
    lathe_run_files files;
    if (lathe_store_run(c->store, c->args[0], c->arena, &run, &c->err) != LATHE_OK ||
        lathe_store_run_files(c->store, run.id, c->arena, &files, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    cJSON *out = run_json(&run), *list = cJSON_AddArrayToObject(out, "files");
    for (size_t i = 0; i < files.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", files.items[i].name);
        cJSON_AddStringToObject(item, "sha256", files.items[i].sha256);
        cJSON_AddNumberToObject(item, "bytes", (double)files.items[i].bytes);
        cJSON_AddItemToArray(list, item);
    }
    print_tree(out, c->options[OPT_JSON].seen);
    return EXIT_DONE;
}

static int cmd_compare(runs_call *c) {
    lathe_run_comparison diff;
    if (lathe_store_runs_compare(c->store, c->args[0], c->args[1], c->arena, &diff, &c->err) !=
        LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen) {
        cJSON *out = cJSON_CreateArray();
        for (size_t i = 0; i < diff.count; i++) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "part", diff.items[i].part);
            cJSON_AddStringToObject(item, "pointer", diff.items[i].pointer);
            cJSON_AddStringToObject(item, "a", diff.items[i].a ? diff.items[i].a : "");
            cJSON_AddStringToObject(item, "b", diff.items[i].b ? diff.items[i].b : "");
            cJSON_AddItemToArray(out, item);
        }
        print_tree(out, true);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(c->arena, (diff.count + 1) * 4, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    cells[0] = "part";
    cells[1] = "at";
    cells[2] = diff.a.id;
    cells[3] = diff.b.id;
    for (size_t i = 0; i < diff.count; i++) {
        const char **row = cells + 4 * (i + 1);
        row[0] = diff.items[i].part;
        row[1] = diff.items[i].pointer;
        row[2] = diff.items[i].a ? lathe_arena_strndup(c->arena, diff.items[i].a, 40) : "–";
        row[3] = diff.items[i].b ? lathe_arena_strndup(c->arena, diff.items[i].b, 40) : "–";
    }
    cli_print_table(cells, diff.count + 1, 4);
    return EXIT_DONE;
}

static int cmd_events(runs_call *c) {
    lathe_run_record run;
    lathe_event_list list;
    if (lathe_store_run(c->store, c->args[0], c->arena, &run, &c->err) != LATHE_OK ||
        lathe_store_events(c->store, run.id, 0, 0, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    for (size_t i = 0; i < list.count; i++)
        puts(list.items[i].json);
    return EXIT_DONE;
}

static const struct {
    const char *verb;
    int (*run)(runs_call *c);
    size_t n_args;
} verbs[] = {{"list", cmd_list, 0},
             {"show", cmd_show, 1},
             {"compare", cmd_compare, 2},
             {"events", cmd_events, 1}};

int cli_runs(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_OPT] = {[OPT_HOME] = {.name = "home", .takes_value = true},
                                 [OPT_JSON] = {.name = "json"},
                                 [OPT_PIPELINE] = {.name = "pipeline", .takes_value = true},
                                 [OPT_LIMIT] = {.name = "limit", .takes_value = true}};
    if (!cli_parse(argc, argv, options, N_OPT, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    const char *verb = n_args > 0 ? args[0] : "list";
    const size_t given = n_args > 0 ? n_args - 1 : 0;
    size_t i = 0;
    while (i < sizeof verbs / sizeof *verbs && strcmp(verbs[i].verb, verb) != 0)
        i++;
    if (i == sizeof verbs / sizeof *verbs)
        return cli_usage(usage, "there is no \"runs %s\"", verb);
    if (given != verbs[i].n_args)
        return cli_usage(usage, "\"runs %s\" takes %zu argument%s", verb, verbs[i].n_args,
                         verbs[i].n_args == 1 ? "" : "s");
    runs_call call = {.arena = lathe_arena_new(), .options = options, .args = args + 1};
    int code;
    if (call.arena == NULL || lathe_store_open(options[OPT_HOME].value, LATHE_STORE_READ,
                                               &call.store, &call.err) != LATHE_OK)
        code = cli_error(&call.err);
    else
        code = verbs[i].run(&call);
    lathe_store_close(call.store);
    lathe_arena_free(call.arena);
    return code;
}
