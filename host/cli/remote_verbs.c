/* The verbs through a service: the tables of them, and those of no other file: plugins, the schema, data files, the API as it is. */
#include "base/fs.h"
#include "base/json.h"
#include "cli/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char remote_usage[] =
    "usage: lathe [--server URL [--token TOKEN]] COMMAND …\n"
    "Through a service ($LATHE_SERVER, $LATHE_TOKEN; $LATHE_CA_FILE: certificates of its own):\n"
    "  run | validate PIPELINE.json [--set k=v] [--json] [--report FILE]\n"
    "  predict MODEL[@VERSION|@ALIAS] IN.csv [-o OUT.csv]\n"
    "  models list [MODEL] | derived RUN|SHA256|FILE | show | verify MODEL[@V] | promote MODEL@V | "
    "rollback MODEL\n"
    "         | export MODEL[@V] -o FILE | import FILE --name MODEL [--alias A]\n"
    "  runs list | show R | compare A B | events R | watch R | cancel R | queue\n"
    "  endpoints … (as without a service)    schedules list | remove NAME\n"
    "  plugins list [KIND] | info NAME | rescan   schema   data describe FILE\n"
    "  tokens create NAME --role R | list | rotate NAME | revoke NAME\n"
    "  drift MODEL@V | audit | alerts | usage | health | verify | gc [--days N] [--dry-run] | "
    "backup NAME\n"
    "  api METHOD PATH [JSON]                anything else of its API\n";

static int plugins_of(remote_call *c, const char *method, const char *path, const char *kind) {
    cJSON *answer;
    char *full = kind ? remote_path("%?kind=%", "", kind) : strdup("");
    lathe_buf url = {0};
    lathe_buf_printf(&url, "%s%s", path, full ? full : "");
    int code = remote_ask(c, method, lathe_buf_str(&url), NULL, &answer);
    free(full);
    lathe_buf_free(&url);
    if (code == EXIT_DONE && c->json)
        cli_print_json(answer);
    else if (code == EXIT_DONE)
        remote_table(lathe_json_get(answer, "plugins"), "kind name id version in_use doc");
    cJSON_Delete(answer);
    return code;
}

static int plugins_list(remote_call *c) {
    return plugins_of(c, "GET", "/api/v1/plugins", c->n_args > 0 ? c->args[0] : NULL);
}

static int plugins_rescan(remote_call *c) {
    return plugins_of(c, "POST", "/api/v1/plugins/rescan", NULL);
}

static int plugins_info(remote_call *c) {
    const char *kind = c->options[REMOTE_KIND].value;
    return remote_show(c, "GET",
                       kind ? remote_path("/api/v1/plugins/%?kind=%", c->args[0], kind)
                            : remote_path("/api/v1/plugins/%", c->args[0]),
                       NULL);
}

static int schema(remote_call *c) {
    return remote_show(c, "GET", strdup("/api/v1/schema"), NULL);
}

static int describe(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    char *real = NULL;
    /* the home's own service reads the file that is meant here */
    if (cli_client_is_local(c->client))
        lathe_path_real(c->args[0], &real, NULL);
    cJSON_AddStringToObject(body, "path", real ? real : c->args[0]);
    free(real);
    remote_add_option(c, body, "target", REMOTE_TARGET);
    remote_add_option(c, body, "missing", REMOTE_MISSING);
    return remote_show(c, "POST", strdup("/api/v1/data/describe"), body);
}

/* ---- anything ---- */

static int api(remote_call *c) {
    cJSON *body = NULL;
    if (c->n_args == 3 && (body = cJSON_Parse(c->args[2])) == NULL)
        return cli_usage(remote_usage, "the body is no JSON");
    return remote_show(c, c->args[0], strdup(c->args[1]), body);
}

/* ---- the tables ---- */

static const remote_verb own_verbs[] = {{"plugins", "list", 0, 1, plugins_list},
                                        {"plugins", "info", 1, 1, plugins_info},
                                        {"plugins", "rescan", 0, 0, plugins_rescan},
                                        {"data", "describe", 1, 1, describe},
                                        {"schema", NULL, 0, 0, schema},
                                        {"api", NULL, 2, 3, api},
                                        {0}};

static const remote_verb *const tables[] = {remote_run_verbs, remote_model_verbs,
                                            remote_service_verbs, own_verbs};

/* *known: there is such a command, with other verbs. The first of a command is its default. */
static const remote_verb *find_verb(const char *command, const char *const *args, size_t n_args,
                                    bool *known) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const remote_verb *v = tables[t]; v->command != NULL; v++) {
            if (strcmp(v->command, command) != 0)
                continue;
            if (v->verb == NULL || n_args == 0 || strcmp(v->verb, args[0]) == 0)
                return v;
            *known = true;
        }
    return NULL;
}

static int run_verb(remote_call *c, const char *command, const char *const *args, size_t n_args) {
    bool known = false;
    const remote_verb *v = find_verb(command, args, n_args, &known);
    if (v != NULL) {
        const size_t own = v->verb != NULL && n_args > 0; /* words that are the verb's */
        c->args = args + own;
        c->n_args = n_args - own;
        if (c->n_args < v->min_args || c->n_args > v->max_args)
            return cli_usage(remote_usage, "\"%s%s%s\" takes other arguments", command,
                             own ? " " : "", own ? args[0] : "");
        return v->run(c);
    }
    if (known)
        return cli_usage(remote_usage, "there is no \"%s %s\" through a service", command, args[0]);
    return cli_usage(remote_usage, "\"%s\" does not go through a service", command);
}

int cli_remote(const cli_target *target, int argc, char **argv) {
    const char *args[argc + 1], *sets[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_REMOTE] = {
        [REMOTE_JSON] = {.name = "json"},
        [REMOTE_HOME] = {.name = "home", .takes_value = true},
        [REMOTE_SET] = {.name = "set", .takes_value = true, .list = sets},
        [REMOTE_OUT] = {.name = "o", .takes_value = true},
        [REMOTE_ALIAS] = {.name = "alias", .takes_value = true},
        [REMOTE_REASON] = {.name = "reason", .takes_value = true},
        [REMOTE_FORCE] = {.name = "force"},
        [REMOTE_PIPELINE] = {.name = "pipeline", .takes_value = true},
        [REMOTE_STATUS] = {.name = "status", .takes_value = true},
        [REMOTE_LIMIT] = {.name = "limit", .takes_value = true},
        [REMOTE_ROLE] = {.name = "role", .takes_value = true},
        [REMOTE_PROJECT] = {.name = "project", .takes_value = true},
        [REMOTE_RATE] = {.name = "rate", .takes_value = true},
        [REMOTE_EXPIRES] = {.name = "expires", .takes_value = true},
        [REMOTE_GRACE] = {.name = "grace", .takes_value = true},
        [REMOTE_DAYS] = {.name = "days", .takes_value = true},
        [REMOTE_DRY_RUN] = {.name = "dry-run"},
        [REMOTE_KIND] = {.name = "kind", .takes_value = true},
        [REMOTE_TARGET] = {.name = "target", .takes_value = true},
        [REMOTE_MISSING] = {.name = "missing", .takes_value = true},
        [REMOTE_REPORT] = {.name = "report", .takes_value = true},
        [REMOTE_THREADS] = {.name = "threads", .takes_value = true},
        [REMOTE_NAME] = {.name = "name", .takes_value = true},
        [REMOTE_FROM] = {.name = "from", .takes_value = true},
        [REMOTE_TO] = {.name = "to", .takes_value = true},
        [REMOTE_TOKEN] = {.name = "token", .takes_value = true},
        [REMOTE_QUOTA] = {.name = "requests-per-day", .takes_value = true},
        [REMOTE_QUOTA + 1] = {.name = "rows-per-day", .takes_value = true},
        [REMOTE_QUOTA + 2] = {.name = "training-seconds-per-day", .takes_value = true},
        [REMOTE_QUOTA + 3] = {.name = "concurrent-runs", .takes_value = true}};
    const bool endpoints = strcmp(argv[0], "endpoints") == 0;
    if (!endpoints && !cli_parse(argc, argv, options, N_REMOTE, remote_usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    remote_call call = {.options = options, .json = options[REMOTE_JSON].seen};
    if (cli_client_open(target, &call.client, &call.err) != LATHE_OK) {
        cli_error(&call.err);
        return call.err.code == LATHE_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    int code =
        endpoints ? remote_endpoints(&call, argc, argv) : run_verb(&call, argv[0], args, n_args);
    cli_client_close(call.client);
    return code;
}
