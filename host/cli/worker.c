/* `lathe worker scan|run|infer|predict|describe|validate|watch|check`: the processes that load plugins. Not for people. */
#include "pipeline/worker.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/plugins_check.h"
#include "plugin/scan.h"
#include "serve/infer/infer.h"
#include "serve/validate.h"
#include "serve/watch/worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: lathe worker scan|run|infer|predict|describe …\n"
                            "Started by the program itself.\n";

int cli_worker(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "scan") == 0)
        return lathe_scan_main(STDOUT_FILENO, (const char *const *)argv + 2, (size_t)(argc - 2));
    if (argc == 2 && strcmp(argv[1], "run") == 0)
        return lathe_worker_run();
    if (argc == 2 && strcmp(argv[1], "infer") == 0)
        return lathe_worker_infer();
    if (argc >= 2 && strcmp(argv[1], "predict") == 0)
        return cli_worker_predict(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "describe") == 0)
        return cli_worker_describe(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "check") == 0)
        return cli_worker_check(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], "validate") == 0)
        return lathe_worker_validate();
    if (argc == 2 && strcmp(argv[1], "watch") == 0)
        return lathe_worker_watch();
    return cli_usage(usage, "this command is internal");
}
