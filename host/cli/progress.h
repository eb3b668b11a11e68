/* cli/progress.h: a run on the terminal: finished steps as lines, the running one as a bar with rate and time left.
 * Without a terminal: lines alone. All on stderr. */
#ifndef LATHE_CLI_PROGRESS_H
#define LATHE_CLI_PROGRESS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

typedef struct cli_progress {
    bool terminal, quiet, drawn;
    char step[128];
    char message[160];
    double fraction;   /* of the running step, < 0: unknown */
    double step_start; /* seconds */
    double last_draw;
    char metric[96]; /* "validation_loss 0.312" */
} cli_progress;

void cli_progress_begin(cli_progress *p, bool quiet);
void cli_progress_event(cli_progress *p, const cJSON *event);
/* Clears the bar, so that other text can be printed. */
void cli_progress_clear(cli_progress *p);

#endif
