/* cli/remote.h: the verbs through a service: one that --server (or $LATHE_SERVER) names, or, for what must write, the one that
 * holds the home, over its socket.
 */
#ifndef LATHE_CLI_REMOTE_H
#define LATHE_CLI_REMOTE_H

#include "cli/cli.h"
#include "cli/client.h"

/* Takes --server and --token out of argv and finds out where the verb goes. writes: words of a verb's second argument that need the
 * home to themselves ("promote rollback"), "" for all, NULL for none. False: a message was printed. target has neither URL nor
 * socket where the verb runs here. Free target->socket. */
bool cli_find_target(int *argc, char **argv, const char *writes, cli_target *target);

/* The socket of the service that holds a home (NULL: the usual); NULL: none does. malloc'ed. */
char *cli_find_socket(const char *home);

/* Runs `argv` there. */
int cli_remote(const cli_target *target, int argc, char **argv);

/* ---- for the files remote_*.c ---- */

typedef struct remote_call {
    cli_client *client;
    const cli_option *options;
    const char *const *args; /* after the verb's own words */
    size_t n_args;
    bool json;
    lathe_error err;
} remote_call;

enum {
    REMOTE_JSON,
    REMOTE_HOME,
    REMOTE_SET,
    REMOTE_OUT,
    REMOTE_ALIAS,
    REMOTE_REASON,
    REMOTE_FORCE,
    REMOTE_PIPELINE,
    REMOTE_STATUS,
    REMOTE_LIMIT,
    REMOTE_ROLE,
    REMOTE_PROJECT,
    REMOTE_RATE,
    REMOTE_EXPIRES,
    REMOTE_GRACE,
    REMOTE_DAYS,
    REMOTE_DRY_RUN,
    REMOTE_KIND,
    REMOTE_TARGET,
    REMOTE_MISSING,
    REMOTE_REPORT,
    REMOTE_THREADS,
    REMOTE_NAME,
    REMOTE_FROM,
    REMOTE_TO,
    REMOTE_TOKEN,
    REMOTE_QUOTA, /* four of them */
    REMOTE_QUOTA_END = REMOTE_QUOTA + 3,
    N_REMOTE
};

/* "/api/v1/models/%/promote" with the texts percent-encoded in the places of the '%'; malloc'ed, NULL: no memory. */
char *remote_path(const char *pattern, ...);

/* "/api/v1/models/M/versions/V" and `rest`, of "M@V" or "M" (its newest); likewise. */
char *remote_version_path(const char *ref, const char *rest);

/* One request with a JSON body (deleted; NULL: none). *answer: the tree of a good answer (delete it). Else the exit code: an
 * error was printed. */
int remote_ask(remote_call *c, const char *method, const char *path, cJSON *body, cJSON **answer);
/* Tells an answer that is no success; gives the exit code. */
int remote_fail(const cli_reply *reply, bool json);

/* All pages of a list. */
int remote_list(remote_call *c, const char *path, const char *member, cJSON **list);

/* Prints objects as a table. columns: "title=member", "title=member@time", … with blanks between. */
void remote_table(const cJSON *list, const char *columns);

/* Prints a tree and deletes it: in one line with --json. */
int remote_print(remote_call *c, cJSON *tree);
/* Asks and prints what comes; frees path. */
int remote_show(remote_call *c, const char *method, char *path, cJSON *body);
/* Prints all pages of a list: with --json as they are, else as a table. */
int remote_print_list(remote_call *c, const char *path, const char *member, const char *columns);
/* An option's text as a member, where it was given. */
void remote_add_option(const remote_call *c, cJSON *body, const char *key, int option);

/* One verb; a table ends with {0}. */
typedef struct remote_verb {
    const char *command, *verb; /* verb NULL: none; the first of a command is its default */
    size_t min_args, max_args;
    int (*run)(remote_call *c);
} remote_verb;

extern const remote_verb remote_model_verbs[], remote_run_verbs[], remote_service_verbs[];
extern const char remote_usage[];

int remote_run(remote_call *c);
int remote_validate(remote_call *c);
int remote_watch(remote_call *c);
int remote_drift(remote_call *c);
/* It reads its own options. */
int remote_endpoints(remote_call *c, int argc, char **argv);

#endif
