/* `lathe`: one program, one file a subcommand. */
#include "base/nearest.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
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
    "  runs list|show|compare|events\n"
    "  plugins list|info|rescan\n"
    "  tokens create|list|rotate|revoke   who may ask the service for what\n"
    "  projects list|create|set           projects and their quotas\n"
    "  usage                              requests, rows and training time by token\n"
    "  data describe FILE       what a data file looks like\n"
    "  serve                    the service: inference, control plane, runs\n"
    "  backup DIR | restore DIR | verify | gc\n"
    "\n"
    "`lathe COMMAND --help` tells more. Options for all: --home D (or $LATHE_HOME).\n";

static const struct {
    const char *name;
    cli_command_fn run;
} commands[] = {
    {"run", cli_run},         {"validate", cli_validate}, {"schema", cli_schema},
    {"predict", cli_predict}, {"models", cli_models},     {"endpoints", cli_endpoints},
    {"runs", cli_runs},       {"plugins", cli_plugins},   {"data", cli_data},
    {"worker", cli_worker},   {"serve", cli_serve},       {"backup", cli_backup},
    {"restore", cli_restore}, {"verify", cli_verify},     {"gc", cli_gc},
    {"tokens", cli_tokens},   {"projects", cli_projects}, {"usage", cli_usage_of},
};

/* What was printed must have arrived: a full disk may not look like success. A reader that has left is no
 * failure: it saw what it wanted. */
static int finish(int code) {
    bool lost = ferror(stdout) != 0;
    int why = fflush(stdout) != 0 ? errno : 0;
    if ((!lost && why == 0) || why == EPIPE || code == EXIT_FAILED)
        return code;
    fprintf(stderr, "lathe: the output could not be written whole%s%s\n", why != 0 ? ": " : "",
            why != 0 ? strerror(why) : "");
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv) {
    const char *names[sizeof commands / sizeof *commands];
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
            return finish(commands[i].run(argc - 1, argv + 1));
    }
    const char *near = lathe_nearest(argv[1], names, sizeof names / sizeof *names);
    if (near != NULL)
        return cli_usage("", "there is no command \"%s\"; did you mean \"%s\"?", argv[1], near);
    return cli_usage(usage, "there is no command \"%s\"", argv[1]);
}
