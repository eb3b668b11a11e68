/* `lathe serve`: the service: inference, control plane, runs. */
#include "base/fs.h"
#include "base/log.h"
#include "cli/cli.h"
#include "serve/supervisor/supervisor.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage_head[] =
    "usage: lathe serve [--config FILE] [--check-config] [--home D] [--insecure] [--SETTING VALUE "
    "…]\n"
    "\n"
    "Serves the endpoints of the home: inference (Open Inference Protocol v2) and the control "
    "plane. SIGTERM\n"
    "stops it: not ready first, then what was accepted is finished. SIGHUP reads the configuration "
    "again, and all of\n"
    "it holds at once but \"listen\", \"inference\", \"workers\", \"insecure\" and whether TLS is "
    "spoken: the log names\n"
    "those that changed and wait for the next start.\n"
    "\n"
    "  --config FILE              JSON, as below\n"
    "  --check-config             read it, tell every fault, and end\n"
    "  --insecure                 serve other machines without tokens\n";

static const char file_example[] =
    "{\"listen\": \"127.0.0.1:8080\", \"inference\": \"127.0.0.1:8000\", \"workers\": 2,\n"
    " \"data_roots\": [\"/srv/data\"], \"backups\": \"/srv/backups\", \"sources\": {\"operate\": "
    "[\"csv\"]},\n"
    " \"runs\": {\"concurrent\": 1, \"queue\": 100, \"threads\": 2},\n"
    " \"limits\": {\"body_mb\": 64, \"connections\": 1024, \"head_seconds\": 10, \"body_seconds\": "
    "60,\n"
    "            \"idle_seconds\": 75, \"worker_memory_mb\": 4096, \"hang_seconds\": 10},\n"
    " \"batching\": {\"max_rows\": 64, \"delay_us\": 0, \"endpoints\": {\"income\": {\"max_rows\": "
    "1}}},\n"
    " \"queue\": {\"rows\": 262144, \"timeout_ms\": 0},\n"
    " \"tls\": {\"certificate\": \"/etc/lathe/cert.pem\", \"key\": \"/etc/lathe/key.pem\"},\n"
    " \"insecure\": false, \"log\": {\"format\": \"text\", \"level\": \"info\"}}\n";

enum { OPT_CONFIG, OPT_CHECK, OPT_INSECURE, OPT_HOME, OPT_SETTINGS };

/* Settings are flags, else environment variables, else in the file. */
static void write_usage(char *text, size_t size) {
    size_t len = (size_t)snprintf(text, size, "%s", usage_head);
    for (size_t i = 0; i < lathe_serve_n_settings && len < size; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--%s %s", lathe_serve_settings[i].name,
                 lathe_serve_settings[i].value);
        len += (size_t)snprintf(text + len, size - len, "  %-26s %s\n", flag,
                                lathe_serve_settings[i].doc);
    }
    if (len < size)
        snprintf(
            text + len, size - len,
            "\nEach setting is also an environment variable, LATHE_SERVE_LOG_LEVEL and so on. "
            "Flags win over the\n"
            "environment, that over the file. A file with every key, each of which may be left "
            "out:\n\n%s",
            file_example);
}

static int read_config(const lathe_serve_sources *sources, lathe_arena *arena,
                       lathe_serve_config *config) {
    lathe_diags diags = {0};
    const bool good = lathe_serve_config_read(sources, arena, config, &diags);
    lathe_diags_print(&diags, stderr);
    lathe_diags_free(&diags);
    if (!good)
        return EXIT_USAGE;
    lathe_log_set_format(config->log_json ? LATHE_LOG_JSON : LATHE_LOG_TEXT);
    lathe_log_set_level((lathe_log_level)config->log_level);
    return EXIT_DONE;
}

/* Kept to the very end, as the supervisor keeps itself: a thread of a call that was cut may read them. volatile: nobody does
 * here. */
static lathe_arena *volatile kept_arena;
static char *volatile kept_self;

static int serve(const lathe_serve_sources *sources, const char *home, bool check) {
    lathe_arena *arena = kept_arena = lathe_arena_new();
    char *self = kept_self = lathe_path_self();
    lathe_serve_config config = {0};
    lathe_error err = {0};
    int code = arena && self ? read_config(sources, arena, &config) : EXIT_FAILED;
    if (code == EXIT_DONE && check) {
        puts("the configuration is good");
    } else if (code == EXIT_DONE) {
        const lathe_supervisor_options options = {
            .config = &config, .sources = sources, .home = home, .executable = self};
        code = lathe_supervisor_run(&options, &err);
        if (code != 0)
            cli_error(&err);
    }
    return code;
}

int cli_serve(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    char usage[4096];
    cli_option options[OPT_SETTINGS + LATHE_SERVE_MAX_SETTINGS] = {
        [OPT_CONFIG] = {.name = "config", .takes_value = true},
        [OPT_CHECK] = {.name = "check-config"},
        [OPT_INSECURE] = {.name = "insecure"},
        [OPT_HOME] = {.name = "home", .takes_value = true}};
    for (size_t i = 0; i < lathe_serve_n_settings; i++)
        options[OPT_SETTINGS + i] =
            (cli_option){.name = lathe_serve_settings[i].name, .takes_value = true};
    write_usage(usage, sizeof usage);
    if (!cli_parse(argc, argv, options, OPT_SETTINGS + lathe_serve_n_settings, usage, args, &n_args,
                   &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 0)
        return cli_usage(usage, "it takes no argument");
    lathe_serve_sources sources = {.file = options[OPT_CONFIG].value,
                                   .insecure = options[OPT_INSECURE].seen};
    for (size_t i = 0; i < lathe_serve_n_settings; i++)
        sources.flags[i] = options[OPT_SETTINGS + i].value;
    return serve(&sources, options[OPT_HOME].value, options[OPT_CHECK].seen);
}
