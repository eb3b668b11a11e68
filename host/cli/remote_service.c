/* The service itself and who may use it: audit log, alerts, usage, projects, tokens, health, verify, gc, backup. */
#include "base/json.h"
#include "cli/remote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int audit(remote_call *c) {
    return remote_print_list(c, "/api/v1/audit", "audit",
                             "seq time=time_us@time actor action subject");
}

static int alerts(remote_call *c) {
    return remote_print_list(c, "/api/v1/alerts", "alerts",
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
    return remote_show(c, "GET", lathe_buf_take(&path), NULL);
}

static int projects_list(remote_call *c) {
    return remote_print_list(c, "/api/v1/projects", "projects", "name created=created_us@time");
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
        return cli_usage(remote_usage, "a quota is a number");
    }
    return remote_show(
        c, create ? "POST" : "PUT",
        create ? strdup("/api/v1/projects") : remote_path("/api/v1/projects/%", c->args[0]), body);
}

static int projects_create(remote_call *c) {
    return projects_change(c, true);
}

static int projects_set(remote_call *c) {
    return projects_change(c, false);
}

static int health(remote_call *c) {
    return remote_show(c, "GET", strdup("/api/v1/health"), NULL);
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
    remote_print(c, summary);
    cJSON_Delete(answer);
    return bad ? EXIT_FAILED : EXIT_DONE;
}

static int collect(remote_call *c) {
    double days;
    if (!read_number(&c->options[REMOTE_DAYS], &days))
        return cli_usage(remote_usage, "--days is a number from 0");
    cJSON *body = cJSON_CreateObject();
    if (!isnan(days))
        cJSON_AddNumberToObject(body, "days", days);
    if (c->options[REMOTE_DRY_RUN].seen)
        cJSON_AddTrueToObject(body, "dry_run");
    return remote_show(c, "POST", strdup("/api/v1/gc"), body);
}

static int backup(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "name", c->args[0]);
    return remote_show(c, "POST", strdup("/api/v1/backup"), body);
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
    return remote_print_list(
        c, "/api/v1/tokens", "tokens",
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
    remote_add_option(c, body, "role", REMOTE_ROLE);
    remote_add_option(c, body, "project", REMOTE_PROJECT);
    if (!read_number(&c->options[REMOTE_RATE], &rate) || (expires && read_time(expires) <= 0)) {
        cJSON_Delete(body);
        return cli_usage(remote_usage, "--rate is a number, --expires a time such as 90d");
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
        return cli_usage(remote_usage, "--grace is a time such as 24h");
    cJSON *body = cJSON_CreateObject();
    if (grace != NULL)
        cJSON_AddNumberToObject(body, "grace_seconds", read_time(grace));
    return tell_secret(c, remote_path("/api/v1/tokens/%/rotate", c->args[0]), body);
}

static int tokens_revoke(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    remote_add_option(c, body, "reason", REMOTE_REASON);
    return tell_secret(c, remote_path("/api/v1/tokens/%/revoke", c->args[0]), body);
}

const remote_verb remote_service_verbs[] = {{"tokens", "list", 0, 0, tokens_list},
                                            {"tokens", "create", 1, 1, tokens_create},
                                            {"tokens", "rotate", 1, 1, tokens_rotate},
                                            {"tokens", "revoke", 1, 1, tokens_revoke},
                                            {"projects", "list", 0, 0, projects_list},
                                            {"projects", "create", 1, 1, projects_create},
                                            {"projects", "set", 1, 1, projects_set},
                                            {"audit", NULL, 0, 0, audit},
                                            {"alerts", NULL, 0, 0, alerts},
                                            {"drift", NULL, 1, 1, remote_drift},
                                            {"usage", NULL, 0, 0, usage_of},
                                            {"health", NULL, 0, 0, health},
                                            {"verify", NULL, 0, 0, verify},
                                            {"gc", NULL, 0, 0, collect},
                                            {"backup", NULL, 1, 1, backup},
                                            {0}};
