/* The verbs through a service, but for those that follow a run (remote_run.c). */
#include "base/fs.h"
#include "base/json.h"
#include "cli/remote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lathe [--server URL [--token TOKEN]] COMMAND …\n"
    "Through a service ($LATHE_SERVER, $LATHE_TOKEN; $LATHE_CA_FILE: certificates of its own):\n"
    "  run | validate PIPELINE.json [--set k=v] [--json] [--report FILE]\n"
    "  predict MODEL[@VERSION|@ALIAS] IN.csv [-o OUT.csv]\n"
    "  models list [MODEL] | show | verify MODEL[@V] | promote MODEL@V | rollback MODEL\n"
    "         | export MODEL[@V] -o FILE | import FILE --name MODEL [--alias A]\n"
    "  runs list | show R | compare A B | events R | watch R | cancel R | queue\n"
    "  endpoints … (as without a service)    schedules list | remove NAME\n"
    "  plugins list [KIND] | info NAME | rescan   schema   data describe FILE\n"
    "  tokens create NAME --role R | list | rotate NAME | revoke NAME\n"
    "  audit | alerts | usage | health | verify | gc [--days N] [--dry-run] | backup NAME\n"
    "  api METHOD PATH [JSON]                anything else of its API\n";

static int print_tree(remote_call *c, cJSON *tree) {
    if (c->json) {
        cli_print_json(tree);
    } else {
        char *text = cJSON_Print(tree);
        puts(text ? text : "");
        cJSON_free(text);
    }
    cJSON_Delete(tree);
    return EXIT_DONE;
}

/* Asks and prints what comes. */
static int show(remote_call *c, const char *method, char *path, cJSON *body) {
    cJSON *answer;
    int code = remote_ask(c, method, path, body, &answer);
    free(path);
    return code == EXIT_DONE ? print_tree(c, answer) : code;
}

static int list(remote_call *c, const char *path, const char *member, const char *columns) {
    cJSON *items;
    int code = remote_list(c, path, member, &items);
    if (code == EXIT_DONE && c->json)
        cli_print_json(items);
    else if (code == EXIT_DONE)
        remote_table(items, columns);
    cJSON_Delete(items);
    return code;
}

static void add_option(const remote_call *c, cJSON *body, const char *key, int option) {
    if (c->options[option].value != NULL)
        cJSON_AddStringToObject(body, key, c->options[option].value);
}

/* ---- models ---- */

/* "MODEL@V" in two; V is "newest" where there is none. Free *model. */
static bool split_ref(const char *ref, char **model, const char **version) {
    *model = strdup(ref);
    char *at = *model ? strchr(*model, '@') : NULL;
    if (at != NULL)
        *at++ = 0;
    *version = at ? at : "newest";
    return *model != NULL;
}

static char *version_path(const char *ref, const char *rest) {
    char *model = NULL, *start, *path = NULL;
    const char *version;
    if (split_ref(ref, &model, &version) &&
        (start = remote_path("/api/v1/models/%/versions/%", model, version)) != NULL) {
        if (asprintf(&path, "%s%s", start, rest) < 0)
            path = NULL;
        free(start);
    }
    free(model);
    return path;
}

static int models_list(remote_call *c) {
    if (c->n_args == 0)
        return list(c, "/api/v1/models", "models", "model=name versions updated=updated_us@time");
    char *path = remote_path("/api/v1/models/%", c->args[0]);
    int code = list(c, path ? path : "", "versions",
                    "version aliases created=created_us@time bytes sha256");
    free(path);
    return code;
}

static int models_show(remote_call *c) {
    return show(c, "GET", version_path(c->args[0], ""), NULL);
}

static int models_verify(remote_call *c) {
    cJSON *answer;
    char *path = version_path(c->args[0], "/verify");
    int code = remote_ask(c, "POST", path, NULL, &answer);
    free(path);
    if (code == EXIT_DONE)
        printf("%s@%d: intact (%s)\n", lathe_json_get(answer, "model")->valuestring,
               lathe_json_get(answer, "version")->valueint,
               lathe_json_get(answer, "sha256")->valuestring);
    cJSON_Delete(answer);
    return code;
}

/* Moves an alias; 409 is a goal that was not met. */
static int move(remote_call *c, const char *name, char *path, cJSON *body) {
    const char *alias = c->options[REMOTE_ALIAS].value ? c->options[REMOTE_ALIAS].value : "live";
    cJSON *answer;
    add_option(c, body, "alias", REMOTE_ALIAS);
    add_option(c, body, "reason", REMOTE_REASON);
    int code = remote_ask(c, "POST", path, body, &answer);
    if (code == EXIT_DONE && c->json)
        cli_print_json(answer);
    else if (code == EXIT_DONE)
        printf("%s@%s is now version %d\n", name, alias,
               lathe_json_get(answer, "version")->valueint);
    cJSON_Delete(answer);
    free(path);
    return code;
}

static int models_promote(remote_call *c) {
    char *model;
    const char *version;
    cJSON *body = cJSON_CreateObject();
    if (!split_ref(c->args[0], &model, &version))
        return EXIT_FAILED;
    char *end;
    const long number = strtol(version, &end, 10);
    int code = EXIT_USAGE;
    if (*end == 0 && number > 0)
        cJSON_AddNumberToObject(body, "version", (double)number);
    if (c->options[REMOTE_FORCE].seen)
        cJSON_AddTrueToObject(body, "force");
    if ((*end == 0 && number > 0) || strcmp(version, "newest") == 0) {
        code = move(c, model, remote_path("/api/v1/models/%/promote", model), body);
    } else {
        cJSON_Delete(body);
        cli_usage("", "\"%s\" names no version by its number", c->args[0]);
    }
    free(model);
    return code;
}

static int models_rollback(remote_call *c) {
    return move(c, c->args[0], remote_path("/api/v1/models/%/rollback", c->args[0]),
                cJSON_CreateObject());
}

/* A body that is a file, to stdout or a file of the user's. */
static int save(remote_call *c, const char *method, char *path, const char *type, const char *body,
                size_t len) {
    const char *file = c->options[REMOTE_OUT].value;
    cli_reply reply;
    int code = EXIT_DONE;
    int32_t rc = path ? cli_client_call(c->client, method, path, type, body, len, &reply, &c->err)
                      : lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
    free(path);
    if (rc != LATHE_OK)
        return cli_error(&c->err);
    if (reply.status != 200)
        code = remote_fail(&reply, c->json);
    else if (file == NULL)
        fwrite(lathe_buf_str(&reply.body), 1, reply.body.len, stdout);
    else if (lathe_write_file_atomic(file, lathe_buf_str(&reply.body), reply.body.len, &c->err) !=
             LATHE_OK)
        code = cli_error(&c->err);
    lathe_buf_free(&reply.body);
    return code;
}

static int models_export(remote_call *c) {
    const char *file = c->options[REMOTE_OUT].value;
    if (file == NULL)
        return cli_usage(usage, "export needs -o FILE");
    if (lathe_is_file(file) && !c->options[REMOTE_FORCE].seen)
        return cli_usage("", "%s is there already; --force replaces it", file);
    int code = save(c, "GET", version_path(c->args[0], "/file"), NULL, NULL, 0);
    if (code == EXIT_DONE)
        puts(file);
    return code;
}

static int models_import(remote_call *c) {
    const char *name = c->options[REMOTE_NAME].value, *alias = c->options[REMOTE_ALIAS].value;
    lathe_buf path = {0};
    char *data;
    size_t len;
    cli_reply reply;
    if (name == NULL)
        return cli_usage(usage, "import needs --name MODEL");
    if (lathe_read_file(c->args[0], (size_t)1 << 30, &data, &len, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    lathe_buf_append_str(&path, "/api/v1/models/");
    cli_client_escape(&path, name);
    lathe_buf_append_str(&path, "/import");
    if (alias != NULL) {
        lathe_buf_append_str(&path, "?alias=");
        cli_client_escape(&path, alias);
    }
    int32_t rc = cli_client_call(c->client, "POST", lathe_buf_str(&path),
                                 "application/octet-stream", data, len, &reply, &c->err);
    lathe_buf_free(&path);
    free(data);
    if (rc != LATHE_OK)
        return cli_error(&c->err);
    int code = EXIT_DONE;
    if (reply.status == 201)
        puts(lathe_buf_str(&reply.body));
    else
        code = remote_fail(&reply, c->json);
    lathe_buf_free(&reply.body);
    return code;
}

static int predict(remote_call *c) {
    char *data;
    size_t len;
    if (lathe_read_file(c->args[1], (size_t)1 << 30, &data, &len, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    int code = save(c, "POST", version_path(c->args[0], "/predict"), "text/csv", data, len);
    free(data);
    return code;
}

/* ---- runs ---- */

static int runs_list(remote_call *c) {
    lathe_buf path = {0};
    const char *pipeline = c->options[REMOTE_PIPELINE].value,
               *status = c->options[REMOTE_STATUS].value;
    lathe_buf_append_str(&path, "/api/v1/runs");
    if (pipeline != NULL) {
        lathe_buf_append_str(&path, "?pipeline=");
        cli_client_escape(&path, pipeline);
    }
    if (status != NULL) {
        lathe_buf_printf(&path, "%cstatus=", pipeline ? '&' : '?');
        cli_client_escape(&path, status);
    }
    int code = list(c, lathe_buf_str(&path), "runs",
                    "run pipeline status started=started_us@time finished=finished_us@time reason");
    lathe_buf_free(&path);
    return code;
}

static int runs_show(remote_call *c) {
    return show(c, "GET", remote_path("/api/v1/runs/%", c->args[0]), NULL);
}

static int runs_compare(remote_call *c) {
    cJSON *answer;
    char *path = remote_path("/api/v1/runs/compare?a=%&b=%", c->args[0], c->args[1]);
    int code = remote_ask(c, "GET", path, NULL, &answer);
    free(path);
    if (code == EXIT_DONE && c->json)
        cli_print_json(lathe_json_get(answer, "differences"));
    else if (code == EXIT_DONE)
        remote_table(lathe_json_get(answer, "differences"), "part at=pointer a b");
    cJSON_Delete(answer);
    return code;
}

static int runs_events(remote_call *c) {
    cJSON *events;
    const cJSON *item;
    char *path = remote_path("/api/v1/runs/%/events", c->args[0]);
    int code = remote_list(c, path ? path : "", "events", &events);
    free(path);
    cJSON_ArrayForEach(item, events) cli_print_json(lathe_json_get(item, "event"));
    cJSON_Delete(events);
    return code;
}

static int runs_cancel(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    add_option(c, body, "reason", REMOTE_REASON);
    return show(c, "POST", remote_path("/api/v1/runs/%/cancel", c->args[0]), body);
}

static int runs_queue(remote_call *c) {
    return list(c, "/api/v1/queue", "queue",
                "number run pipeline state=status attempt created=created_us@time actor");
}

static int schedules_list(remote_call *c) {
    return list(c, "/api/v1/schedules", "schedules",
                "name cron timezone overlap missed next=next_us@time last=last_us@time last_run");
}

static int schedules_remove(remote_call *c) {
    return show(c, "DELETE", remote_path("/api/v1/schedules/%", c->args[0]), NULL);
}

/* ---- plugins, the home ---- */

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
    return show(c, "GET",
                kind ? remote_path("/api/v1/plugins/%?kind=%", c->args[0], kind)
                     : remote_path("/api/v1/plugins/%", c->args[0]),
                NULL);
}

static int schema(remote_call *c) {
    return show(c, "GET", strdup("/api/v1/schema"), NULL);
}

static int describe(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    char *real = NULL;
    /* the home's own service reads the file that is meant here */
    if (cli_client_is_local(c->client))
        lathe_path_real(c->args[0], &real, NULL);
    cJSON_AddStringToObject(body, "path", real ? real : c->args[0]);
    free(real);
    add_option(c, body, "target", REMOTE_TARGET);
    add_option(c, body, "missing", REMOTE_MISSING);
    return show(c, "POST", strdup("/api/v1/data/describe"), body);
}

static int audit(remote_call *c) {
    return list(c, "/api/v1/audit", "audit", "seq time=time_us@time actor action subject");
}

static int alerts(remote_call *c) {
    return list(c, "/api/v1/alerts", "alerts",
                "id time=time_us@time severity kind endpoint feature message");
}

/* A number from 0; NaN: none was given. False: it is none. */
static bool read_number(const cli_option *o, double *value) {
    char *end;
    *value = o->value ? strtod(o->value, &end) : NAN;
    return o->value == NULL || (end != o->value && *end == 0 && *value >= 0);
}

static int usage_of(remote_call *c) {
    static const struct {
        const char *name;
        int option;
    } filters[] = {{"from", REMOTE_FROM},
                   {"to", REMOTE_TO},
                   {"project", REMOTE_PROJECT},
                   {"token", REMOTE_TOKEN}};
    lathe_buf path = {0};
    char sign = '?';
    lathe_buf_append_str(&path, "/api/v1/usage");
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        const char *value = c->options[filters[i].option].value;
        if (value == NULL)
            continue;
        lathe_buf_printf(&path, "%c%s=", sign, filters[i].name);
        cli_client_escape(&path, value);
        sign = '&';
    }
    return show(c, "GET", lathe_buf_take(&path), NULL);
}

static int projects_list(remote_call *c) {
    return list(c, "/api/v1/projects", "projects", "name created=created_us@time");
}

/* --requests-per-day and its kin as members. */
static bool add_quotas(const remote_call *c, cJSON *body) {
    static const char *const members[] = {"requests_per_day", "rows_per_day",
                                          "training_seconds_per_day", "concurrent_runs"};
    for (int i = 0; i < 4; i++) {
        double value = 0;
        if (!read_number(&c->options[REMOTE_QUOTA + i], &value))
            return false;
        if (!isnan(value))
            cJSON_AddNumberToObject(body, members[i], value);
    }
    return true;
}

static int projects_change(remote_call *c, bool create) {
    cJSON *body = cJSON_CreateObject();
    if (create)
        cJSON_AddStringToObject(body, "name", c->args[0]);
    if (!add_quotas(c, body)) {
        cJSON_Delete(body);
        return cli_usage(usage, "a quota is a number");
    }
    return show(c, create ? "POST" : "PUT",
                create ? strdup("/api/v1/projects") : remote_path("/api/v1/projects/%", c->args[0]),
                body);
}

static int projects_create(remote_call *c) {
    return projects_change(c, true);
}

static int projects_set(remote_call *c) {
    return projects_change(c, false);
}

static int health(remote_call *c) {
    return show(c, "GET", strdup("/api/v1/health"), NULL);
}

static int verify(remote_call *c) {
    cJSON *answer;
    int code = remote_ask(c, "POST", "/api/v1/verify", NULL, &answer);
    if (code != EXIT_DONE)
        return code;
    const bool bad = lathe_json_get(answer, "errors")->valueint > 0;
    if (!c->json && cJSON_GetArraySize(lathe_json_get(answer, "findings")) > 0)
        remote_table(lathe_json_get(answer, "findings"), "level subject message");
    cJSON *summary = cJSON_Duplicate(answer, 1);
    if (!c->json)
        cJSON_DeleteItemFromObjectCaseSensitive(summary, "findings");
    print_tree(c, summary);
    cJSON_Delete(answer);
    return bad ? EXIT_FAILED : EXIT_DONE;
}

static int collect(remote_call *c) {
    double days;
    if (!read_number(&c->options[REMOTE_DAYS], &days))
        return cli_usage(usage, "--days is a number from 0");
    cJSON *body = cJSON_CreateObject();
    if (!isnan(days))
        cJSON_AddNumberToObject(body, "days", days);
    if (c->options[REMOTE_DRY_RUN].seen)
        cJSON_AddTrueToObject(body, "dry_run");
    return show(c, "POST", strdup("/api/v1/gc"), body);
}

static int backup(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "name", c->args[0]);
    return show(c, "POST", strdup("/api/v1/backup"), body);
}

/* ---- tokens ---- */

/* "90d" in seconds; -1: no such time. */
static double read_time(const char *text) {
    static const char units[] = "smhd";
    static const double seconds[] = {1, 60, 3600, 86400};
    char *end;
    const double number = strtod(text, &end);
    const char *unit = *end != 0 && end[1] == 0 ? strchr(units, *end) : NULL;
    return end == text || unit == NULL || !(number >= 0) ? -1 : number * seconds[unit - units];
}

static int tokens_list(remote_call *c) {
    return list(c, "/api/v1/tokens", "tokens",
                "name role project rate state created=created_us@time expires=expires_us@time "
                "used=used_us@time");
}

/* The secret alone on stdout, so that it can be piped. */
static int tell_secret(remote_call *c, char *path, cJSON *body) {
    cJSON *answer;
    int code = remote_ask(c, "POST", path, body, &answer);
    const char *secret = cJSON_GetStringValue(lathe_json_get(answer, "token"));
    if (code == EXIT_DONE && c->json)
        cli_print_json(answer);
    else if (code == EXIT_DONE && secret != NULL)
        puts(secret);
    cJSON_Delete(answer);
    free(path);
    return code;
}

static int tokens_create(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    const char *expires = c->options[REMOTE_EXPIRES].value;
    double rate;
    cJSON_AddStringToObject(body, "name", c->args[0]);
    add_option(c, body, "role", REMOTE_ROLE);
    add_option(c, body, "project", REMOTE_PROJECT);
    if (!read_number(&c->options[REMOTE_RATE], &rate) || (expires && read_time(expires) <= 0)) {
        cJSON_Delete(body);
        return cli_usage(usage, "--rate is a number, --expires a time such as 90d");
    }
    if (!isnan(rate))
        cJSON_AddNumberToObject(body, "rate", rate);
    if (expires != NULL)
        cJSON_AddNumberToObject(body, "expires_seconds", read_time(expires));
    return tell_secret(c, strdup("/api/v1/tokens"), body);
}

static int tokens_rotate(remote_call *c) {
    const char *grace = c->options[REMOTE_GRACE].value;
    if (grace != NULL && read_time(grace) < 0)
        return cli_usage(usage, "--grace is a time such as 24h");
    cJSON *body = cJSON_CreateObject();
    if (grace != NULL)
        cJSON_AddNumberToObject(body, "grace_seconds", read_time(grace));
    return tell_secret(c, remote_path("/api/v1/tokens/%/rotate", c->args[0]), body);
}

static int tokens_revoke(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    add_option(c, body, "reason", REMOTE_REASON);
    return tell_secret(c, remote_path("/api/v1/tokens/%/revoke", c->args[0]), body);
}

/* ---- anything ---- */

static int api(remote_call *c) {
    cJSON *body = NULL;
    if (c->n_args == 3 && (body = cJSON_Parse(c->args[2])) == NULL)
        return cli_usage(usage, "the body is no JSON");
    return show(c, c->args[0], strdup(c->args[1]), body);
}

/* ---- the table ---- */

static const struct {
    const char *command, *verb; /* verb NULL: none; the first of a command is its default */
    size_t min_args, max_args;
    int (*run)(remote_call *c);
} verbs[] = {
    {"run", NULL, 1, 1, remote_run},
    {"validate", NULL, 1, 1, remote_validate},
    {"predict", NULL, 2, 2, predict},
    {"models", "list", 0, 1, models_list},
    {"models", "show", 1, 1, models_show},
    {"models", "verify", 1, 1, models_verify},
    {"models", "promote", 1, 1, models_promote},
    {"models", "rollback", 1, 1, models_rollback},
    {"models", "export", 1, 1, models_export},
    {"models", "import", 1, 1, models_import},
    {"runs", "list", 0, 0, runs_list},
    {"runs", "show", 1, 1, runs_show},
    {"runs", "compare", 2, 2, runs_compare},
    {"runs", "events", 1, 1, runs_events},
    {"runs", "watch", 1, 1, remote_watch},
    {"runs", "cancel", 1, 1, runs_cancel},
    {"runs", "queue", 0, 0, runs_queue},
    {"schedules", "list", 0, 0, schedules_list},
    {"schedules", "remove", 1, 1, schedules_remove},
    {"plugins", "list", 0, 1, plugins_list},
    {"plugins", "info", 1, 1, plugins_info},
    {"plugins", "rescan", 0, 0, plugins_rescan},
    {"tokens", "list", 0, 0, tokens_list},
    {"tokens", "create", 1, 1, tokens_create},
    {"tokens", "rotate", 1, 1, tokens_rotate},
    {"tokens", "revoke", 1, 1, tokens_revoke},
    {"projects", "list", 0, 0, projects_list},
    {"projects", "create", 1, 1, projects_create},
    {"projects", "set", 1, 1, projects_set},
    {"data", "describe", 1, 1, describe},
    {"schema", NULL, 0, 0, schema},
    {"audit", NULL, 0, 0, audit},
    {"alerts", NULL, 0, 0, alerts},
    {"usage", NULL, 0, 0, usage_of},
    {"health", NULL, 0, 0, health},
    {"verify", NULL, 0, 0, verify},
    {"gc", NULL, 0, 0, collect},
    {"backup", NULL, 1, 1, backup},
    {"api", NULL, 2, 3, api},
};

static int run_verb(remote_call *c, const char *command, const char *const *args, size_t n_args) {
    bool known = false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].command, command) != 0)
            continue;
        const size_t own = verbs[i].verb != NULL && n_args > 0; /* words that are the verb's */
        if (own && strcmp(verbs[i].verb, args[0]) != 0) {
            known = true;
            continue;
        }
        c->args = args + own;
        c->n_args = n_args - own;
        if (c->n_args < verbs[i].min_args || c->n_args > verbs[i].max_args)
            return cli_usage(usage, "\"%s%s%s\" takes other arguments", command, own ? " " : "",
                             own ? args[0] : "");
        return verbs[i].run(c);
    }
    if (known)
        return cli_usage(usage, "there is no \"%s %s\" through a service", command, args[0]);
    return cli_usage(usage, "\"%s\" does not go through a service", command);
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
    if (!endpoints && !cli_parse(argc, argv, options, N_REMOTE, usage, args, &n_args, &help))
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
