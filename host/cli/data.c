/* `lathe data describe FILE`: types, missing values, distributions, correlations of a data file. */
#include "base/fs.h"
#include "base/json.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "data/profile.h"
#include "pipeline/read.h"
#include "pipeline/setup.h"
#include "web/report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: lathe data describe FILE.csv[.gz] [-o report.html] [--target "
                            "COLUMN] [--missing TEXT] [--json]\n"
                            "\n"
                            "Without -o or --json a short table is printed.\n";

static atomic_int stop_requested;

static void on_stop(int number) {
    (void)number;
    atomic_store(&stop_requested, 1);
}

static double number_of(const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsNumber(node) ? node->valuedouble : 0;
}

/* The column's range, or its most frequent value. */
static const char *summary_of(lathe_arena *arena, const cJSON *feature) {
    const cJSON *low = lathe_json_get(feature, "min"), *high = lathe_json_get(feature, "max");
    const cJSON *mean = lathe_json_get(feature, "mean");
    const cJSON *top = cJSON_GetArrayItem(lathe_json_get(feature, "top"), 0);
    if (cJSON_IsNumber(low) && cJSON_IsNumber(high))
        return lathe_arena_printf(arena, "%.6g … %.6g, mean %.6g", low->valuedouble,
                                  high->valuedouble, cJSON_IsNumber(mean) ? mean->valuedouble : 0);
    if (cJSON_IsString(low) && cJSON_IsString(high))
        return lathe_arena_printf(arena, "%s … %s", low->valuestring, high->valuestring);
    const cJSON *value = lathe_json_get(top, "value");
    if (cJSON_IsString(value))
        return lathe_arena_printf(arena, "\"%s\" %.0f times", value->valuestring,
                                  number_of(top, "count"));
    return "";
}

static void print_text(const cJSON *profile, lathe_arena *arena) {
    const cJSON *features = lathe_json_get(profile, "features"), *feature, *alert;
    const size_t rows = (size_t)cJSON_GetArraySize(features) + 1;
    const char **cells = lathe_arena_array(arena, rows * 5, sizeof *cells);
    size_t r = 1;
    if (cells == NULL)
        return;
    printf("%.0f rows, %.0f columns, %.0f missing cells, %.0f repeated rows\n\n",
           number_of(profile, "rows"), number_of(profile, "columns"),
           number_of(profile, "missing_cells"), number_of(profile, "duplicate_rows"));
    memcpy(cells, (const char *[]){"column", "type", "missing", "distinct", "values"},
           5 * sizeof *cells);
    cJSON_ArrayForEach(feature, features) {
        const char **row = cells + r++ * 5;
        const cJSON *name = lathe_json_get(feature, "name"),
                    *type = lathe_json_get(feature, "type");
        row[0] = cJSON_IsString(name) ? name->valuestring : "";
        row[1] = cJSON_IsString(type) ? type->valuestring : "";
        row[2] = lathe_arena_printf(arena, "%.0f", number_of(feature, "missing"));
        row[3] = lathe_arena_printf(arena, "%.0f", number_of(feature, "distinct"));
        row[4] = summary_of(arena, feature);
    }
    cli_print_table(cells, rows, 5);
    putchar('\n');
    cJSON_ArrayForEach(alert, lathe_json_get(profile, "alerts")) {
        const cJSON *message = lathe_json_get(alert, "message");
        if (cJSON_IsString(message))
            puts(message->valuestring);
    }
}

static int32_t read_file(lathe_setup *setup, const char *path, const char *missing,
                         lathe_frame **frame, lathe_error *err) {
    const lathe_binder binder = {.catalogue = setup->catalogue, .load = true};
    lathe_component *component = NULL;
    lathe_buf text = {0};
    cJSON *params = cJSON_CreateObject();
    cJSON_AddStringToObject(params, "path", path);
    if (missing != NULL) {
        const char *const texts[] = {"", missing};
        cJSON_AddItemToObject(params, "missing", cJSON_CreateStringArray(texts, 2));
    }
    lathe_json_print(NULL, params, &text);
    cJSON_Delete(params);
    int32_t rc =
        lathe_bind_text(&binder, LATHE_KIND_SOURCE, "csv", lathe_buf_str(&text), &component, err);
    lathe_buf_free(&text);
    if (rc == LATHE_OK)
        rc = lathe_read_source(setup->runtime, component, frame, NULL, err);
    lathe_component_free(component);
    return rc;
}

int cli_worker_describe(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "o", .takes_value = true},
                            {.name = "target", .takes_value = true},
                            {.name = "missing", .takes_value = true},
                            {.name = "json"},
                            {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, 5, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 2 || strcmp(args[0], "describe") != 0)
        return cli_usage(usage, "it takes \"describe\" and a file");
    lathe_setup setup = {.crumbs = lathe_setup_crumbs()};
    lathe_error err = {0};
    lathe_frame *frame = NULL;
    cJSON *profile = NULL;
    lathe_arena *arena = lathe_arena_new();
    signal(SIGTERM, on_stop);
    const lathe_setup_options wanted = {.stop = &stop_requested};
    int32_t rc = arena ? lathe_setup_open(&setup, &wanted, &err) : LATHE_E_MEMORY;
    if (rc == LATHE_OK)
        rc = read_file(&setup, args[1], options[2].value, &frame, &err);
    if (rc == LATHE_OK)
        rc = lathe_profile_table(setup.pool, lathe_frame_table(frame), options[1].value, &profile,
                                 &err);
    if (rc == LATHE_OK && options[0].value != NULL)
        rc = lathe_profile_write(profile, lathe_path_base(args[1]), options[0].value, &err);
    if (rc == LATHE_OK && options[3].seen)
        cli_print_json(profile);
    else if (rc == LATHE_OK && options[0].value == NULL)
        print_text(profile, arena);
    if (rc != LATHE_OK)
        cli_error(&err);
    cJSON_Delete(profile);
    lathe_frame_free(frame);
    lathe_setup_close(&setup);
    lathe_arena_free(arena);
    return rc == LATHE_OK ? EXIT_DONE : rc == LATHE_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int cli_data(int argc, char **argv) {
    return cli_child("describe", argc, argv);
}
