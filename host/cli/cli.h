/* cli/cli.h: what the subcommands share. One file a subcommand; each is a function of this form.
 *
 * Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 failed; 2 bad usage or bad pipeline;
 * 3 ran, but the goal was not met; 130 interrupted.
 */
#ifndef LATHE_CLI_CLI_H
#define LATHE_CLI_CLI_H

#include "base/error.h"
#include "plugin/catalogue.h"
#include "store/store.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_GOAL = 3, EXIT_INTERRUPTED = 130 };

/* argv[0] is the subcommand's name. */
typedef int (*cli_command_fn)(int argc, char **argv);

int cli_run(int argc, char **argv);
int cli_validate(int argc, char **argv);
int cli_schema(int argc, char **argv);
int cli_predict(int argc, char **argv);
int cli_models(int argc, char **argv);
int cli_endpoints(int argc, char **argv);
int cli_runs(int argc, char **argv);
int cli_plugins(int argc, char **argv);
int cli_data(int argc, char **argv);
int cli_worker(int argc, char **argv);
int cli_serve(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_backup(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_gc(int argc, char **argv);
int cli_tokens(int argc, char **argv);
int cli_projects(int argc, char **argv);
int cli_usage_of(int argc, char **argv);
int cli_schedules(int argc, char **argv);

/* ---- options ---- */

/* An option: "--home D" or "--home=D" with a value, "--json" without. `list` collects repeats. */
typedef struct cli_option {
    const char *name; /* "home"; "o" is -o */
    bool takes_value;
    bool seen;
    const char *value; /* the last one */
    const char **list; /* NULL: the last one counts */
    size_t count;
} cli_option;

/* Reads argv[1 …]; the rest, in order, goes to args (room for argc). "--" ends options. Unknown options, missing values:
 * false, after a message with `usage` on stderr. "--help" prints usage to stdout and gives false with *help set. */
bool cli_parse(int argc, char **argv, cli_option *options, size_t n_options, const char *usage,
               const char **args, size_t *n_args, bool *help);

/* Prints "lathe: where: message" and gives EXIT_FAILED; with `json` also {"error": …} on stdout. */
int cli_error(const lathe_error *err);
int cli_usage(const char *usage, const char *fmt, ...) LATHE_PRINTF(2, 3);

/* ---- what most need ---- */

/* Tells that gates refuse a promotion: {"error", "checks"}; gives EXIT_GOAL. */
int cli_gates_refused(const cJSON *refusal, bool json);

/* The catalogue, scanned by this program itself, cached in the home where there is one. */
int32_t cli_open_catalogue(const char *home, bool rescan, lathe_catalogue **catalogue,
                           lathe_error *err);

/* Prints a tree as one line of JSON on stdout. */
void cli_print_json(const cJSON *tree);
/* Likewise, but for people to read: indented, unless `json`. */
void cli_print_tree(const cJSON *tree, bool json);
/* Memory was out for a part of what was printed, which is missing in it. */
bool cli_output_is_short(void);

/* A table of text columns, aligned; numbers to the right where every cell of a column is one. NULL cells are blank. */
void cli_print_table(const char *const *cells, size_t n_rows, size_t n_columns);

/* ---- verbs on a home: cli/home_verbs.c ---- */

typedef struct lathe_store lathe_store;

typedef struct cli_home_call {
    lathe_store *store;
    lathe_arena *arena;
    const cli_option *options;
    const char *name; /* of what the verb is about; NULL: none was given */
    lathe_error err;
} cli_home_call;

typedef struct cli_home_verb {
    const char *name;
    int (*run)(cli_home_call *c);
    bool takes_name; /* else no argument */
    bool writes;
} cli_home_verb;

/* Opens the home (NULL: the usual) and runs args[0] on it; verbs ends with {0}. Gives the exit code. */
int cli_run_home_verb(const cli_home_verb *verbs, const char *usage, const char *home,
                      const cli_option *options, const char *const *args, size_t n_args);

#endif
