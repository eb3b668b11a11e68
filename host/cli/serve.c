/* `lathe serve`: the service: inference, control plane, runs. */
#include "base/fs.h"
#include "base/log.h"
#include "cli/cli.h"
#include "serve/supervisor.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "usage: lathe serve [--listen ADDR:PORT] [--inference ADDR:PORT] "
                            "[--workers N] [--config FILE]\n"
                            "                   [--insecure] [--home D]\n"
                            "\n"
                            "Serves the endpoints of the home: inference (Open Inference Protocol "
                            "v2, default 127.0.0.1:8000) and the\n"
                            "control plane (default 127.0.0.1:8080). SIGTERM stops it, SIGHUP "
                            "reads the configuration again.\n";

enum { OPT_LISTEN, OPT_INFERENCE, OPT_WORKERS, OPT_CONFIG, OPT_INSECURE, OPT_HOME, N_OPT };

/* File first, then flags. */
static int read_config(const cli_option *options, lathe_arena *arena, lathe_serve_config *config) {
    lathe_diags diags = {0};
    lathe_serve_config_init(config);
    if (options[OPT_CONFIG].value != NULL &&
        !lathe_serve_config_load(options[OPT_CONFIG].value, arena, config, &diags)) {
        lathe_diags_print(&diags, stderr);
        lathe_diags_free(&diags);
        return EXIT_USAGE;
    }
    if (options[OPT_LISTEN].value != NULL)
        config->listen = options[OPT_LISTEN].value;
    if (options[OPT_INFERENCE].value != NULL)
        config->inference = options[OPT_INFERENCE].value;
    if (options[OPT_WORKERS].value != NULL) {
        char *end;
        long n = strtol(options[OPT_WORKERS].value, &end, 10);
        if (end == options[OPT_WORKERS].value || *end != 0 || n < 1 || n > 64)
            return cli_usage(usage, "--workers is a number from 1 to 64");
        config->workers = (int)n;
    }
    config->insecure = config->insecure || options[OPT_INSECURE].seen;
    lathe_log_set_format(config->log_json ? LATHE_LOG_JSON : LATHE_LOG_TEXT);
    lathe_log_set_level((lathe_log_level)config->log_level);
    return EXIT_DONE;
}

int cli_serve(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_OPT] = {[OPT_LISTEN] = {.name = "listen", .takes_value = true},
                                 [OPT_INFERENCE] = {.name = "inference", .takes_value = true},
                                 [OPT_WORKERS] = {.name = "workers", .takes_value = true},
                                 [OPT_CONFIG] = {.name = "config", .takes_value = true},
                                 [OPT_INSECURE] = {.name = "insecure"},
                                 [OPT_HOME] = {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, N_OPT, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 0)
        return cli_usage(usage, "it takes no argument");
    lathe_arena *arena = lathe_arena_new();
    char *self = lathe_path_self();
    lathe_serve_config config;
    lathe_error err = {0};
    int code = arena && self ? read_config(options, arena, &config) : EXIT_FAILED;
    if (code == EXIT_DONE) {
        const lathe_supervisor_options serve = {.config = &config,
                                                .config_file = options[OPT_CONFIG].value,
                                                .home = options[OPT_HOME].value,
                                                .executable = self};
        code = lathe_supervisor_run(&serve, &err);
        if (code != 0)
            cli_error(&err);
    }
    free(self);
    lathe_arena_free(arena);
    return code;
}
