/* cli/bench_profile.h: rows like those of training, from an endpoint's training profile. */
#ifndef LATHE_CLI_BENCH_PROFILE_H
#define LATHE_CLI_BENCH_PROFILE_H

#include "cli/bench_rows.h"
#include "cli/client.h"

#define BENCH_PROFILE_ROWS 1000

/* Rows whose values are drawn, a column at a time, as training had them: bins and categories by their counts, missing ones by
 * theirs; the same each time. The profile is the control plane's (GET …/features). metadata: as in bench_rows_make.
 *   LATHE_E_NOT_FOUND   the service knows no such endpoint or model, or its version has no profile
 *   LATHE_E_IO          no answer came */
int32_t bench_profile_make(const cli_target *control, const char *endpoint, const cJSON *metadata,
                           bench_rows *rows, lathe_error *err);

#endif
