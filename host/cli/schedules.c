/* `lathe schedules list|remove`: pipelines that a service runs by the clock. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: lathe schedules list [--json] [--home D]\n"
                            "       lathe schedules remove NAME [--home D]\n"
                            "\n"
                            "A document with \"schedule\" that is submitted to a service (lathe "
                            "run --server URL) becomes a "
                            "schedule under its name.\n";

static const char *minute(lathe_arena *arena, int64_t time) {
    char text[LATHE_ISO_TIME];
    if (time == 0)
        return "";
    lathe_iso_time(time, text);
    return lathe_arena_strndup(arena, text, 16);
}

static void print_json(const lathe_schedule_list *list) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list->count; i++) {
        const lathe_schedule_record *s = &list->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", s->name);
        cJSON_AddStringToObject(item, "cron", s->cron);
        cJSON_AddStringToObject(item, "timezone", s->timezone);
        cJSON_AddStringToObject(item, "overlap", s->overlap);
        cJSON_AddStringToObject(item, "missed", s->catch_up ? "once" : "skip");
        cJSON_AddNumberToObject(item, "next_us", (double)s->next);
        if (s->last != 0)
            cJSON_AddNumberToObject(item, "last_us", (double)s->last);
        cJSON_AddStringToObject(item, "last_run", s->last_run);
        cJSON_AddItemToArray(out, item);
    }
    cli_print_json(out);
    cJSON_Delete(out);
}

static int list(lathe_store *store, lathe_arena *arena, bool json, lathe_error *err) {
    lathe_schedule_list list;
    if (lathe_store_schedules(store, 0, arena, &list, err) != LATHE_OK)
        return cli_error(err);
    if (json) {
        print_json(&list);
        return EXIT_DONE;
    }
    const char **cells = lathe_arena_array(arena, (list.count + 1) * 6, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, (const char *[]){"name", "cron", "timezone", "next (UTC)", "last", "last_run"},
           6 * sizeof *cells);
    for (size_t i = 0; i < list.count; i++) {
        const lathe_schedule_record *s = &list.items[i];
        const char **row = cells + 6 * (i + 1);
        row[0] = s->name;
        row[1] = s->cron;
        row[2] = s->timezone;
        row[3] = minute(arena, s->next);
        row[4] = minute(arena, s->last);
        row[5] = s->last_run;
    }
    cli_print_table(cells, list.count + 1, 6);
    return EXIT_DONE;
}

int cli_schedules(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "home", .takes_value = true}, {.name = "json"}};
    if (!cli_parse(argc, argv, options, 2, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    const char *verb = n_args > 0 ? args[0] : "list";
    const bool removes = strcmp(verb, "remove") == 0;
    if ((!removes && strcmp(verb, "list") != 0) || (removes ? n_args != 2 : n_args > 1))
        return cli_usage(usage, "it takes \"list\", or \"remove\" and a name");
    lathe_error err = {0};
    lathe_store *store = NULL;
    lathe_arena *arena = lathe_arena_new();
    int code = EXIT_DONE;
    if (arena == NULL ||
        lathe_store_open(options[0].value, removes ? LATHE_STORE_OWN : LATHE_STORE_READ, &store,
                         &err) != LATHE_OK)
        code = cli_error(&err);
    else if (!removes)
        code = list(store, arena, options[1].seen, &err);
    else if (lathe_store_schedule_remove(store, args[1], &err) != LATHE_OK)
        code = cli_error(&err);
    lathe_store_close(store);
    lathe_arena_free(arena);
    return code;
}
