/* `lathe`: one program, one file a subcommand. */
#include "base/json.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/remote.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lathe COMMAND …\n"
    "\n"
    "  run PIPELINE.json        run a pipeline: prepare, train, deploy, monitor\n"
    "  validate PIPELINE.json   check a pipeline without reading data\n"
    "  schema                   JSON Schema of the pipeline document, for editors\n"
    "  predict MODEL IN.csv     predictions of a stored model (MODEL, MODEL@3, MODEL@live or a "
    "file)\n"
    "  models list|show|promote|rollback|export|verify\n"
    "  endpoints list|show|set|canary|shadow|promote|rollback\n"
    "  runs list|show|compare|events|watch|cancel|queue\n"
    "  schedules list|remove    pipelines that a service runs by the clock\n"
    "  plugins list|info|rescan|check|new\n"
    "  tokens create|list|rotate|revoke   who may ask the service for what\n"
    "  projects list|create|set           projects and their quotas\n"
    "  usage                              requests, rows and training time by token\n"
    "  data describe FILE       what a data file looks like\n"
    "  serve                    the service: inference, control plane, runs\n"
    "  bench ENDPOINT           requests a second and latencies of a served endpoint\n"
    "  backup DIR | restore DIR | verify | gc\n"
    "\n"
    "`lathe COMMAND --help` tells more. Options for all: --home D (or $LATHE_HOME).\n"
    "\n"
    "--server URL (or $LATHE_SERVER), with --token TOKEN (or $LATHE_TOKEN): the same through a "
    "service, and also\n"
    "endpoints, audit, alerts, drift, usage, health, api METHOD PATH [JSON]. While a service holds "
    "the "
    "home, what writes goes\n"
    "through it, over the home's own socket.\n";

/* writes: what needs the home to itself, and so goes through the service that holds it (cli/remote.h). run NULL: a service alone
 * has it. */
static const struct {
    const char *name;
    cli_command_fn run;
    const char *writes;
} commands[] = {
    {"run", cli_run, ""},
    {"validate", cli_validate, NULL},
    {"schema", cli_schema, NULL},
    {"predict", cli_predict, NULL},
    {"models", cli_models, "promote rollback import"},
    {"runs", cli_runs, "watch cancel queue"},
    {"endpoints", cli_endpoints, "set canary shadow promote rollback"},
    {"schedules", cli_schedules, "remove"},
    {"plugins", cli_plugins, NULL},
    {"data", cli_data, NULL},
    {"worker", cli_worker, NULL},
    {"serve", cli_serve, NULL},
    {"bench", cli_bench, NULL},
    {"backup", cli_backup, NULL},
    {"restore", cli_restore, NULL},
    {"verify", cli_verify, NULL},
    {"gc", cli_gc, ""},
    {"tokens", cli_tokens, "create rotate revoke"},
    {"audit", NULL, ""},
    {"alerts", NULL, ""},
    {"drift", NULL, ""},
    {"projects", cli_projects, "create set"},
    {"usage", cli_usage_of, NULL},
    {"health", NULL, ""},
    {"api", NULL, ""},
};

/* Here, or through a service. */
static int run_command(size_t i, int argc, char **argv) {
    static const char *const here[] = {"worker", "serve", "bench", "restore"};
    cli_target target = {0};
    bool stays = false;
    for (size_t k = 0; k < sizeof here / sizeof *here; k++)
        stays = stays || strcmp(commands[i].name, here[k]) == 0;
    if (!stays && !cli_find_target(&argc, argv, commands[i].writes, &target))
        return EXIT_USAGE;
    int code;
    if (target.url != NULL || target.socket != NULL)
        code = cli_remote(&target, argc, argv);
    else if (commands[i].run != NULL)
        code = commands[i].run(argc, argv);
    else if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        code = fputs(remote_usage, stdout) >= 0 ? EXIT_DONE : EXIT_FAILED;
    else
        code = cli_usage(
            "",
            "\"%s\" asks a service, and none holds this home; start `lathe serve`, or name "
            "one with --server URL",
            commands[i].name);
    free(target.socket);
    return code;
}

/* What was printed must have arrived: a full disk may not look like success. A reader that has left is no
 * failure: it saw what it wanted. */
static int finish(int code) {
    bool lost = ferror(stdout) != 0 || cli_output_is_short();
    int why = fflush(stdout) != 0 ? errno : 0;
    if ((!lost && why == 0) || why == EPIPE || code == EXIT_FAILED)
        return code;
    fprintf(stderr, "lathe: the output could not be written whole%s%s\n", why != 0 ? ": " : "",
            why != 0                ? strerror(why)
            : cli_output_is_short() ? ": out of memory"
                                    : "");
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv) {
    const char *names[sizeof commands / sizeof *commands];
    lathe_json_watch_memory();
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lathe %s (plugin ABI %d.%d)\n", LATHE_SDK_VERSION, LATHE_ABI_MAJOR,
               LATHE_ABI_MINOR);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return finish(run_command(i, argc - 1, argv + 1));
    }
    const char *near = lathe_nearest(argv[1], names, sizeof names / sizeof *names);
    if (near != NULL)
        return cli_usage("", "there is no command \"%s\"; did you mean \"%s\"?", argv[1], near);
    return cli_usage(usage, "there is no command \"%s\"", argv[1]);
}
