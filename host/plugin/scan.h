/* plugin/scan.h: looking at plugin files in a child process.
 *
 * Child side: lathe_scan_main, behind `lathe worker scan FILE…`. It loads one file after the
 * other, checks all of it and writes a line of JSON before and after each:
 *     {"begin":0}
 *     {"end":0,"sdk":"0.1.0","plugins":[{…descriptor with its whole parameter table…}]}
 *     {"end":1,"refused":"…sentence…"}
 * Parent side: lathe_scan_files starts such children, one after the other: when a child dies or
 * hangs at file k, k gets that verdict and the next child goes on with k + 1. The parent trusts
 * nothing in the text.
 */
#ifndef LATHE_PLUGIN_SCAN_H
#define LATHE_PLUGIN_SCAN_H

#include "plugin/catalogue.h"

/* One file's verdict. `text` (malloc'ed) is the plugins' JSON array where READY, else the
 * sentence. */
typedef struct lathe_scan_result {
    lathe_file_status status;
    char *text;
    char *sdk_version; /* malloc'ed; NULL where not READY */
    bool unsettled;    /* perhaps not the file's fault: to be looked at again */
} lathe_scan_result;

/* [worker] The child: describes the files on `fd`. What plugins print to stdout goes to stderr.
 * Returns the exit code. For `lathe worker scan FILE…`: lathe_scan_main(STDOUT_FILENO, argv + 3,
 * argc - 3). */
int lathe_scan_main(int fd, const char *const *files, size_t n_files);

/* The parent: fills results[n_files]; free each `text` and `sdk_version`. scanner and timeout_ms
 * as in lathe_catalogue_options. */
int32_t lathe_scan_files(const char *scanner, int timeout_ms, const char *const *files,
                         size_t n_files, lathe_scan_result *results, lathe_error *err);

#endif
