/* cli/leaderboard.h: what a run prints at its end, and what it would do. On stdout. */
#ifndef LATHE_CLI_LEADERBOARD_H
#define LATHE_CLI_LEADERBOARD_H

#include "pipeline/document.h"

#include <cjson/cJSON.h>

/* result: the worker's result object; report: the page's path or NULL. */
void cli_print_leaderboard(const cJSON *result, const char *report);

/* `--dry-run`: the steps, without reading data. Gives the exit code. */
int cli_print_plan(const lathe_pipeline *pipeline);

#endif
