/* `lathe projects list|create|set` and `lathe usage`: on the home itself. */
#include "base/arena.h"
#include "base/clock.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char projects_usage[] =
    "usage: lathe projects list [--json]\n"
    "       lathe projects create NAME [QUOTAS]\n"
    "       lathe projects set NAME QUOTAS\n"
    "QUOTAS: --requests-per-day N --rows-per-day N --training-seconds-per-day N --concurrent-runs "
    "N; 0: none.\n"
    "Tokens belong to a project (lathe tokens create --project); what they use counts for it. "
    "While a service runs, use its\n"
    "control plane: POST /api/v1/projects, PUT /api/v1/projects/NAME. Options for all: --home D.\n";

static const char usage_usage[] =
    "usage: lathe usage [--from DAY] [--to DAY] [--project P] [--token NAME] [--json] [--home D]\n"
    "Requests, rows and training time by day (of UTC, such as 2026-01-31), project and token; by "
    "default the last 30 days.\n";

enum { OPT_HOME, OPT_JSON, OPT_QUOTA, N_PROJECT_OPT = OPT_QUOTA + 4 };

static const char *number(lathe_arena *arena, int64_t value) {
    return value > 0 ? lathe_arena_printf(arena, "%" PRId64, value) : "";
}

static int list_projects(cli_home_call *c) {
    static const char *const head[] = {"name", "requests/day", "rows/day", "training s/day",
                                       "concurrent runs"};
    enum { N = 5 };
    lathe_project_list list;
    if (lathe_store_projects(c->store, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    cJSON *out = cJSON_CreateArray();
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * N, sizeof *cells);
    for (size_t i = 0; cells != NULL && i < list.count; i++) {
        lathe_project_record *p = &list.items[i];
        cJSON *item = cJSON_CreateObject(), *quota = cJSON_AddObjectToObject(item, "quota");
        cJSON_AddStringToObject(item, "name", p->name);
        cells[(i + 1) * N] = p->name;
        for (int k = 0; lathe_quota_names[k] != NULL; k++) {
            const int64_t value = *lathe_quota_member(&p->quota, k);
            cells[(i + 1) * N + 1 + (size_t)k] = number(c->arena, value);
            if (value > 0)
                cJSON_AddNumberToObject(quota, lathe_quota_names[k], (double)value);
        }
        cJSON_AddItemToArray(out, item);
    }
    if (cells != NULL && c->options[OPT_JSON].seen) {
        cli_print_json(out);
    } else if (cells != NULL) {
        memcpy(cells, head, sizeof head);
        cli_print_table(cells, list.count + 1, N);
    }
    cJSON_Delete(out);
    return cells != NULL ? EXIT_DONE : EXIT_FAILED;
}

/* The options over what there is; false: one is no number, and it has been told. */
static bool read_quota(const cli_home_call *c, lathe_quota *quota) {
    for (int k = 0; lathe_quota_names[k] != NULL; k++) {
        const cli_option *o = &c->options[OPT_QUOTA + k];
        char *end;
        if (o->value == NULL)
            continue;
        const long long value = strtoll(o->value, &end, 10);
        if (end == o->value || *end != 0 || value < 0) {
            cli_usage(projects_usage, "--%s is \"%s\"; expected a number, 0 or more", o->name,
                      o->value);
            return false;
        }
        *lathe_quota_member(quota, k) = value;
    }
    return true;
}

static int change_project(cli_home_call *c, bool create) {
    lathe_project_record project = {0};
    if (!create && lathe_store_project(c->store, c->name, c->arena, &project, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (!read_quota(c, &project.quota))
        return EXIT_USAGE;
    if (lathe_store_project_set(c->store, c->name, &project.quota, create, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    return EXIT_DONE;
}

static int create_project(cli_home_call *c) {
    return change_project(c, true);
}

static int set_project(cli_home_call *c) {
    return change_project(c, false);
}

static const cli_home_verb verbs[] = {{"list", list_projects, false, false},
                                      {"create", create_project, true, true},
                                      {"set", set_project, true, true},
                                      {0}};

int cli_projects(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_PROJECT_OPT] = {
        [OPT_HOME] = {.name = "home", .takes_value = true},
        [OPT_JSON] = {.name = "json"},
        [OPT_QUOTA] = {.name = "requests-per-day", .takes_value = true},
        [OPT_QUOTA + 1] = {.name = "rows-per-day", .takes_value = true},
        [OPT_QUOTA + 2] = {.name = "training-seconds-per-day", .takes_value = true},
        [OPT_QUOTA + 3] = {.name = "concurrent-runs", .takes_value = true}};
    if (!cli_parse(argc, argv, options, N_PROJECT_OPT, projects_usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    return cli_run_home_verb(verbs, projects_usage, options[OPT_HOME].value, options, args, n_args);
}

/* ---- usage ---- */

enum { U_HOME, U_JSON, U_FROM, U_TO, U_PROJECT, U_TOKEN, N_USAGE_OPT };

static int print_usage(const lathe_usage_list *list, bool json, lathe_arena *arena) {
    static const char *const head[] = {"day", "project", "token", "requests", "rows", "training s"};
    enum { N = 6 };
    cJSON *out = cJSON_CreateArray();
    const char **cells = lathe_arena_array(arena, (list->count + 1) * N, sizeof *cells);
    for (size_t i = 0; cells != NULL && i < list->count; i++) {
        const lathe_usage *u = &list->items[i];
        char day[LATHE_DAY_TEXT];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "day", lathe_day_text(u->day, day));
        cJSON_AddStringToObject(item, "project", u->project);
        cJSON_AddStringToObject(item, "token", u->token);
        cJSON_AddNumberToObject(item, "requests", (double)u->requests);
        cJSON_AddNumberToObject(item, "rows", (double)u->rows);
        cJSON_AddNumberToObject(item, "training_seconds", (double)u->training_ms / 1000);
        cJSON_AddItemToArray(out, item);
        const char *row[N] = {lathe_arena_strdup(arena, day),
                              u->project,
                              u->token,
                              lathe_arena_printf(arena, "%" PRId64, u->requests),
                              lathe_arena_printf(arena, "%" PRId64, u->rows),
                              lathe_arena_printf(arena, "%.1f", (double)u->training_ms / 1000)};
        memcpy(cells + (i + 1) * N, row, sizeof row);
    }
    if (cells != NULL && json) {
        cli_print_json(out);
    } else if (cells != NULL) {
        memcpy(cells, head, sizeof head);
        cli_print_table(cells, list->count + 1, N);
    }
    cJSON_Delete(out);
    return cells != NULL ? EXIT_DONE : EXIT_FAILED;
}

int cli_usage_of(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    int64_t last = lathe_wall_us() / LATHE_DAY_US, first;
    cli_option o[N_USAGE_OPT] = {[U_HOME] = {.name = "home", .takes_value = true},
                                 [U_JSON] = {.name = "json"},
                                 [U_FROM] = {.name = "from", .takes_value = true},
                                 [U_TO] = {.name = "to", .takes_value = true},
                                 [U_PROJECT] = {.name = "project", .takes_value = true},
                                 [U_TOKEN] = {.name = "token", .takes_value = true}};
    if (!cli_parse(argc, argv, o, N_USAGE_OPT, usage_usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args > 0)
        return cli_usage(usage_usage, "there is no argument \"%s\"", args[0]);
    if (o[U_TO].value != NULL && !lathe_day_parse(o[U_TO].value, &last))
        return cli_usage(usage_usage, "--to is a day such as 2026-01-31");
    first = last - 29;
    if (o[U_FROM].value != NULL && !lathe_day_parse(o[U_FROM].value, &first))
        return cli_usage(usage_usage, "--from is a day such as 2026-01-31");
    lathe_store *store = NULL;
    lathe_usage_list list;
    lathe_error err = {0};
    lathe_arena *arena = lathe_arena_new();
    int code = EXIT_FAILED;
    if (arena != NULL &&
        lathe_store_open(o[U_HOME].value, LATHE_STORE_READ, &store, &err) == LATHE_OK &&
        lathe_store_usage(store, first, last, o[U_PROJECT].value, o[U_TOKEN].value, arena, &list,
                          &err) == LATHE_OK)
        code = print_usage(&list, o[U_JSON].seen, arena);
    else
        cli_error(&err);
    lathe_store_close(store);
    lathe_arena_free(arena);
    return code;
}
