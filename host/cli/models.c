/* `lathe models list|show|promote|rollback|export|verify|derived`. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "model/model.h"
#include "serve/endpoint_verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: lathe models list [MODEL] [--json]\n"
    "       lathe models show MODEL[@VERSION|@ALIAS] [--json]\n"
    "       lathe models promote MODEL@VERSION [--alias live] [--reason TEXT] [--force]\n"
    "       lathe models rollback MODEL [--alias live] [--reason TEXT]\n"
    "       lathe models export MODEL[@VERSION|@ALIAS] -o FILE [--force]\n"
    "       lathe models verify MODEL[@VERSION|@ALIAS]|FILE\n"
    "       lathe models derived RUN|SHA256|FILE [--json]   (versions made from it)\n"
    "Options for all: --home D. Without \"@\" the newest version is meant.\n";

enum { OPT_HOME, OPT_JSON, OPT_ALIAS, OPT_REASON, OPT_OUT, OPT_FORCE, N_OPT };

typedef struct models_call {
    lathe_store *store;
    lathe_arena *arena;
    const cli_option *options;
    const char *ref; /* NULL: none was given */
    lathe_error err;
} models_call;

static const char *number(lathe_arena *arena, int64_t value) {
    return lathe_arena_printf(arena, "%" PRId64, value);
}

static const char *day(lathe_arena *arena, int64_t time) {
    char text[LATHE_ISO_TIME];
    lathe_iso_time(time, text);
    return lathe_arena_strndup(arena, text, 16);
}

static cJSON *version_json(const lathe_version_record *v) {
    cJSON *out = cJSON_CreateObject();
    char time[LATHE_ISO_TIME];
    lathe_iso_time(v->created, time);
    cJSON_AddStringToObject(out, "model", v->model);
    cJSON_AddNumberToObject(out, "version", (double)v->version);
    cJSON_AddStringToObject(out, "sha256", v->sha256);
    cJSON_AddNumberToObject(out, "bytes", (double)v->bytes);
    cJSON_AddStringToObject(out, "run", v->run);
    cJSON_AddStringToObject(out, "created", time);
    cJSON_AddStringToObject(out, "aliases", v->aliases);
    lathe_json_add_text(out, "metrics", v->metrics);
    lathe_json_add_text(out, "goal", v->goal);
    lathe_json_add_text(out, "document", v->document);
    return out;
}

static int list_models(models_call *c) {
    lathe_model_list list;
    if (lathe_store_models(c->store, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen) {
        cJSON *out = cJSON_CreateArray();
        for (size_t i = 0; i < list.count; i++) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "name", list.items[i].name);
            cJSON_AddNumberToObject(item, "versions", (double)list.items[i].versions);
            cJSON_AddItemToArray(out, item);
        }
        cli_print_json(out);
        cJSON_Delete(out);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * 3, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, (const char *[]){"model", "versions", "updated"}, 3 * sizeof *cells);
    for (size_t i = 0; i < list.count; i++) {
        cells[3 * i + 3] = list.items[i].name;
        cells[3 * i + 4] = number(c->arena, list.items[i].versions);
        cells[3 * i + 5] = day(c->arena, list.items[i].updated);
    }
    cli_print_table(cells, list.count + 1, 3);
    return EXIT_DONE;
}

/* The goal's verdict of a version, in a word. */
static const char *verdict(const char *goal) {
    cJSON *tree = goal ? cJSON_Parse(goal) : NULL;
    const cJSON *met = lathe_json_get(tree, "met");
    const char *word = cJSON_IsTrue(met) ? "met" : cJSON_IsBool(met) ? "not met" : "";
    cJSON_Delete(tree);
    return word;
}

static int list_versions(models_call *c) {
    lathe_version_list list;
    if (lathe_store_versions(c->store, c->ref, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen) {
        cJSON *out = cJSON_CreateArray();
        for (size_t i = 0; i < list.count; i++)
            cJSON_AddItemToArray(out, version_json(&list.items[i]));
        cli_print_json(out);
        cJSON_Delete(out);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * 6, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, (const char *[]){"version", "aliases", "goal", "created", "bytes", "sha256"},
           6 * sizeof *cells);
    for (size_t i = 0; i < list.count; i++) {
        const lathe_version_record *v = &list.items[i];
        const char **row = cells + 6 * (i + 1);
        row[0] = number(c->arena, v->version);
        row[1] = v->aliases;
        row[2] = verdict(v->goal);
        row[3] = day(c->arena, v->created);
        row[4] = number(c->arena, v->bytes);
        row[5] = lathe_arena_strndup(c->arena, v->sha256, 12);
    }
    cli_print_table(cells, list.count + 1, 6);
    return EXIT_DONE;
}

static int cmd_list(models_call *c) {
    return c->ref ? list_versions(c) : list_models(c);
}

static int cmd_show(models_call *c) {
    lathe_version_record v;
    const char *path;
    cJSON *file = NULL, *lineage = NULL;
    if (lathe_store_version(c->store, c->ref, c->arena, &v, &c->err) != LATHE_OK ||
        lathe_store_artifact_path(c->store, v.sha256, false, c->arena, &path, &c->err) !=
            LATHE_OK ||
        lathe_model_describe(path, &file, &c->err) != LATHE_OK ||
        (lineage = lathe_store_lineage(c->store, &v, c->arena, &c->err)) == NULL) {
        cJSON_Delete(file);
        return cli_error(&c->err);
    }
    cJSON *out = version_json(&v);
    cJSON_AddStringToObject(out, "file", path);
    cJSON_AddItemToObject(out, "plugins", cJSON_DetachItemFromObjectCaseSensitive(file, "plugins"));
    cJSON_AddItemToObject(out, "schema", cJSON_DetachItemFromObjectCaseSensitive(file, "schema"));
    static const char *const extras[] = {"candidate", "importance", "permutation"};
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        cJSON *extra = cJSON_DetachItemFromObjectCaseSensitive(file, extras[i]);
        if (extra != NULL)
            cJSON_AddItemToObject(out, extras[i], extra);
    }
    cJSON_AddItemToObject(out, "lineage", lineage);
    cli_print_tree(out, c->options[OPT_JSON].seen);
    cJSON_Delete(out);
    cJSON_Delete(file);
    return EXIT_DONE;
}

/* The acceptance gates of the goal hold at promotion too. */
static int cmd_promote(models_call *c) {
    const char *alias = c->options[OPT_ALIAS].value ? c->options[OPT_ALIAS].value : "live";
    cJSON *arguments = cJSON_CreateObject(), *answer = NULL;
    int code = EXIT_DONE;
    cJSON_AddStringToObject(arguments, "alias", alias);
    cJSON_AddBoolToObject(arguments, "force", c->options[OPT_FORCE].seen);
    if (c->options[OPT_REASON].seen)
        cJSON_AddStringToObject(arguments, "reason", c->options[OPT_REASON].value);
    if (lathe_model_promote(c->store, c->ref, arguments, &answer, &c->err) != LATHE_OK)
        code = answer != NULL ? cli_gates_refused(answer, c->options[OPT_JSON].seen)
                              : cli_error(&c->err);
    else
        printf("%.*s@%s is now version %.0f\n", (int)strcspn(c->ref, "@"), c->ref, alias,
               cJSON_GetNumberValue(lathe_json_get(answer, "version")));
    cJSON_Delete(answer);
    cJSON_Delete(arguments);
    return code;
}

static int cmd_rollback(models_call *c) {
    const char *alias = c->options[OPT_ALIAS].value ? c->options[OPT_ALIAS].value : "live";
    int64_t version;
    if (lathe_store_alias_rollback(c->store, c->ref, alias, c->options[OPT_REASON].value, &version,
                                   &c->err) != LATHE_OK)
        return cli_error(&c->err);
    printf("%s@%s is now version %" PRId64 "\n", c->ref, alias, version);
    return EXIT_DONE;
}

static int cmd_export(models_call *c) {
    const char *path = c->options[OPT_OUT].value;
    if (path == NULL)
        return cli_usage(usage, "export needs -o FILE");
    if (lathe_store_version_export(c->store, c->ref, path, c->options[OPT_FORCE].seen, &c->err) !=
        LATHE_OK)
        return cli_error(&c->err);
    printf("%s\n", path);
    return EXIT_DONE;
}

static int cmd_verify(models_call *c) {
    lathe_version_record v;
    const char *path;
    if (lathe_store_version(c->store, c->ref, c->arena, &v, &c->err) != LATHE_OK ||
        lathe_store_version_verify(c->store, c->ref, &c->err) != LATHE_OK ||
        lathe_store_artifact_path(c->store, v.sha256, false, c->arena, &path, &c->err) !=
            LATHE_OK ||
        lathe_model_verify(path, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    printf("%s@%" PRId64 ": intact (%s)\n", v.model, v.version, v.sha256);
    return EXIT_DONE;
}

static cJSON *derived_json(const lathe_derived_list *list) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list->count; i++) {
        const lathe_derived *d = &list->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "model", d->model);
        cJSON_AddNumberToObject(item, "version", (double)d->version);
        cJSON_AddStringToObject(item, "sha256", d->sha256);
        cJSON_AddStringToObject(item, "run", d->run);
        cJSON_AddStringToObject(item, "through", d->through);
        cJSON_AddStringToObject(item, "name", d->name);
        cJSON_AddItemToArray(out, item);
    }
    return out;
}

/* Versions made from a run, or from what has this digest: a file's own where it is one. */
static int cmd_derived(models_call *c) {
    lathe_derived_list list;
    char digest[LATHE_SHA256_HEX];
    const char *of = c->ref;
    if (access(of, F_OK) == 0) {
        if (lathe_sha256_file(of, digest, NULL, &c->err) != LATHE_OK)
            return cli_error(&c->err);
        of = digest;
    }
    if (lathe_store_derived(c->store, of, 0, 0, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen) {
        cJSON *out = derived_json(&list);
        cli_print_json(out);
        cJSON_Delete(out);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * 5, sizeof *cells);
    static const char *const titles[] = {"model", "version", "through", "name", "run"};
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, titles, sizeof titles);
    for (size_t i = 0; i < list.count; i++) {
        const lathe_derived *d = &list.items[i];
        const char **row = cells + 5 * (i + 1);
        row[0] = d->model;
        row[1] = number(c->arena, d->version);
        row[2] = d->through;
        row[3] = d->name;
        row[4] = d->run;
    }
    cli_print_table(cells, list.count + 1, 5);
    return EXIT_DONE;
}

static const struct {
    const char *verb;
    int (*run)(models_call *c);
    lathe_store_mode mode;
    int ref; /* 1: needed, 0: may be given */
} verbs[] = {
    {"list", cmd_list, LATHE_STORE_READ, 0},       {"show", cmd_show, LATHE_STORE_READ, 1},
    {"promote", cmd_promote, LATHE_STORE_OWN, 1},  {"rollback", cmd_rollback, LATHE_STORE_OWN, 1},
    {"export", cmd_export, LATHE_STORE_READ, 1},   {"verify", cmd_verify, LATHE_STORE_READ, 1},
    {"derived", cmd_derived, LATHE_STORE_READ, 1},
};

/* A file of its own needs no store. */
static int verify_file(const char *path) {
    lathe_error err = {0};
    if (lathe_model_verify(path, &err) != LATHE_OK)
        return cli_error(&err);
    printf("%s: intact\n", path);
    return EXIT_DONE;
}

int cli_models(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_OPT] = {[OPT_HOME] = {.name = "home", .takes_value = true},
                                 [OPT_JSON] = {.name = "json"},
                                 [OPT_ALIAS] = {.name = "alias", .takes_value = true},
                                 [OPT_REASON] = {.name = "reason", .takes_value = true},
                                 [OPT_OUT] = {.name = "o", .takes_value = true},
                                 [OPT_FORCE] = {.name = "force"}};
    if (!cli_parse(argc, argv, options, N_OPT, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    const char *verb = n_args > 0 ? args[0] : "list";
    size_t i = 0;
    while (i < sizeof verbs / sizeof *verbs && strcmp(verbs[i].verb, verb) != 0)
        i++;
    if (i == sizeof verbs / sizeof *verbs)
        return cli_usage(usage, "there is no \"models %s\"", verb);
    if (n_args > 2 || (verbs[i].ref && n_args != 2))
        return cli_usage(usage, "\"models %s\" takes %s", verb,
                         verbs[i].ref ? "one model" : "at most one model");
    if (strcmp(verb, "verify") == 0 && access(args[1], F_OK) == 0)
        return verify_file(args[1]);
    models_call call = {
        .arena = lathe_arena_new(), .options = options, .ref = n_args == 2 ? args[1] : NULL};
    int code;
    if (call.arena == NULL || lathe_store_open(options[OPT_HOME].value, verbs[i].mode, &call.store,
                                               &call.err) != LATHE_OK)
        code = cli_error(&call.err);
    else
        code = verbs[i].run(&call);
    lathe_store_close(call.store);
    lathe_arena_free(call.arena);
    return code;
}
