/* `lathe endpoints list|show|set|canary|shadow|promote|rollback`. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "serve/endpoint_verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lathe endpoints list [--json]\n"
    "       lathe endpoints show ENDPOINT [--json]\n"
    "       lathe endpoints set ENDPOINT MODEL[@VERSION|@ALIAS] [--traffic MODEL@VERSION=PERCENT "
    "…]\n"
    "                           [--sticky id|header:NAME] [--force]\n"
    "                           [--validation RULES|null]\n"
    "       lathe endpoints canary ENDPOINT [MODEL]@VERSION [--steps 1,10,50,100] [--bake "
    "SECONDS]\n"
    "                           [--min-requests N] [--guard NAME[.PART]=LIMIT …] [--manual] "
    "[--force]\n"
    "       lathe endpoints shadow ENDPOINT [MODEL]@VERSION|none\n"
    "       lathe endpoints promote ENDPOINT [[MODEL]@VERSION] [--force]\n"
    "       lathe endpoints rollback ENDPOINT\n"
    "RULES are what a request's rows must keep, as in a document's \"deploy\": pass, flag or "
    "reject "
    "for all rules,\n"
    "or an object such as '{\"range\": \"reject\", \"columns\": {\"age\": {\"max\": 120}}}'; null: "
    "the document's\n"
    "again. --force serves a version whose goal is not met, or that lacks a column of the rules; "
    "through a service\n"
    "it needs the role admin. Options for all: --home D, --reason TEXT. promote and rollback "
    "without a version mean the "
    "canary where\n"
    "one runs; rollback without a canary goes back to what was served before. Guards: "
    "error_ratio,\n"
    "rejected_ratio, flagged_ratio, latency_p99_ms, latency_mean_ms, latency_p99_ratio,\n"
    "latency_mean_ratio, prediction_drift, feature_drift, output_drift (also by other measures:\n"
    "feature_drift.ks=0.1, .chi2, .js, .wasserstein, .psi), quality_drop "
    "(quality_drop.confidence=0.99).\n";

enum {
    OPT_HOME,
    OPT_JSON,
    OPT_REASON,
    OPT_FORCE,
    OPT_TRAFFIC,
    OPT_STICKY,
    OPT_VALIDATION,
    OPT_STEPS,
    OPT_BAKE,
    OPT_MIN,
    OPT_GUARD,
    OPT_MANUAL,
    N_OPT
};

typedef struct endpoints_call {
    lathe_store *store;
    lathe_arena *arena;
    const cli_option *options;
    const char *verb, *endpoint, *ref; /* NULL: not given */
    remote_call *service;              /* NULL: the home itself */
    lathe_error err;
} endpoints_call;

/* ---- showing ---- */

static int cmd_list(endpoints_call *c) {
    lathe_endpoint_list list;
    if (lathe_store_endpoints(c->store, c->arena, &list, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    cJSON *out = cJSON_CreateArray();
    const char **cells = lathe_arena_array(c->arena, (list.count + 1) * 5, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, (const char *[]){"endpoint", "serves", "follows", "on trial", "updated"},
           5 * sizeof *cells);
    for (size_t i = 0; i < list.count; i++) {
        const lathe_endpoint_record *e = &list.items[i];
        const char **row = cells + 5 * (i + 1);
        char time[LATHE_ISO_TIME];
        cJSON *item = lathe_endpoint_json(c->store, e, c->arena, &c->err);
        if (item == NULL) {
            cJSON_Delete(out);
            return cli_error(&c->err);
        }
        const cJSON *canary = lathe_json_get(item, "canary"),
                    *shadow = lathe_json_get(item, "shadow");
        lathe_iso_time(e->updated, time);
        row[0] = e->name;
        row[1] = lathe_arena_printf(c->arena, "%s@%" PRId64, e->model, e->version);
        row[2] = e->alias;
        row[3] = canary && shadow ? "canary, shadow" : canary ? "canary" : shadow ? "shadow" : "";
        row[4] = lathe_arena_strndup(c->arena, time, 16);
        cJSON_AddItemToArray(out, item);
    }
    if (c->options[OPT_JSON].seen)
        cli_print_json(out);
    else
        cli_print_table(cells, list.count + 1, 5);
    cJSON_Delete(out);
    return EXIT_DONE;
}

static int cmd_show(endpoints_call *c) {
    lathe_endpoint_record e;
    lathe_move_list moves;
    if (lathe_store_endpoint(c->store, c->endpoint, c->arena, &e, &c->err) != LATHE_OK ||
        lathe_store_endpoint_history(c->store, c->endpoint, c->arena, &moves, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    cJSON *out = lathe_endpoint_json(c->store, &e, c->arena, &c->err);
    if (out == NULL)
        return cli_error(&c->err);
    cJSON *history = cJSON_AddArrayToObject(out, "history");
    for (size_t i = 0; i < moves.count && i < 20; i++) {
        const lathe_move_record *m = &moves.items[i];
        char time[LATHE_ISO_TIME];
        cJSON *item = cJSON_CreateObject();
        lathe_iso_time(m->time, time);
        cJSON_AddStringToObject(item, "time", time);
        cJSON_AddStringToObject(item, "action", m->action);
        cJSON_AddStringToObject(item, "model", m->model);
        cJSON_AddNumberToObject(item, "version", (double)m->version);
        cJSON_AddStringToObject(item, "actor", m->actor);
        cJSON_AddStringToObject(item, "reason", m->reason);
        cJSON_AddItemToArray(history, item);
    }
    cli_print_tree(out, c->options[OPT_JSON].seen);
    cJSON_Delete(out);
    return EXIT_DONE;
}

/* ---- arguments ---- */

/* "MODEL@3", "MODEL@ALIAS", "MODEL", "@3" into members. */
static void add_ref(endpoints_call *c, cJSON *body, const char *ref) {
    const char *at = strrchr(ref, '@');
    const size_t len = at ? (size_t)(at - ref) : strlen(ref);
    if (len > 0)
        cJSON_AddStringToObject(body, "model", lathe_arena_strndup(c->arena, ref, len));
    if (at != NULL && at[1] != '\0' && at[1 + strspn(at + 1, "0123456789")] == '\0')
        cJSON_AddNumberToObject(body, "version", strtod(at + 1, NULL));
    else if (at != NULL)
        cJSON_AddStringToObject(body, "alias", at + 1);
}

/* "NAME=NUMBER"; false: it is not. */
static bool split_number(endpoints_call *c, const char *text, const char **name, double *value) {
    const char *equal = strrchr(text, '=');
    char *end;
    if (equal == NULL || equal == text || equal[1] == '\0')
        return false;
    *value = strtod(equal + 1, &end);
    *name = lathe_arena_strndup(c->arena, text, (size_t)(equal - text));
    return *end == '\0' && *name != NULL;
}

static bool add_traffic(endpoints_call *c, cJSON *body) {
    const cli_option *o = &c->options[OPT_TRAFFIC];
    if (!o->seen)
        return true;
    cJSON *list = cJSON_AddArrayToObject(body, "traffic");
    for (size_t i = 0; i < o->count; i++) {
        const char *ref;
        double percent;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(list, item);
        if (!split_number(c, o->list[i], &ref, &percent))
            return false;
        add_ref(c, item, ref);
        cJSON_AddNumberToObject(item, "percent", percent);
    }
    return true;
}

/* NAME.PART: a member of the guard's object; of one that was a number, that is its "limit". */
static bool add_part(cJSON *guards, const char *name, const char *part, double value) {
    cJSON *guard = cJSON_GetObjectItemCaseSensitive(guards, name);
    if (guard == NULL || cJSON_IsNumber(guard)) {
        const double limit = guard != NULL ? guard->valuedouble : (double)NAN;
        cJSON_DeleteItemFromObjectCaseSensitive(guards, name);
        guard = cJSON_AddObjectToObject(guards, name);
        if (!isnan(limit))
            cJSON_AddNumberToObject(guard, "limit", limit);
    }
    return cJSON_AddNumberToObject(guard, part, value) != NULL;
}

static bool add_guard(cJSON *guards, const char *name, double limit) {
    const char *dot = strchr(name, '.');
    if (dot == NULL && cJSON_IsObject(lathe_json_get(guards, name)))
        return add_part(guards, name, "limit", limit);
    if (dot == NULL)
        return cJSON_AddNumberToObject(guards, name, limit) != NULL;
    char *whole = strndup(name, (size_t)(dot - name));
    const bool good = whole != NULL && add_part(guards, whole, dot + 1, limit);
    free(whole);
    return good;
}

static bool add_guards(endpoints_call *c, cJSON *body) {
    const cli_option *o = &c->options[OPT_GUARD];
    if (!o->seen)
        return true;
    cJSON *guards = cJSON_AddObjectToObject(body, "guards");
    for (size_t i = 0; i < o->count; i++) {
        const char *name;
        double limit;
        if (!split_number(c, o->list[i], &name, &limit) || !add_guard(guards, name, limit))
            return false;
    }
    return true;
}

static bool add_number(const cli_option *option, cJSON *body, const char *key) {
    char *end = NULL;
    if (!option->seen)
        return true;
    cJSON_AddNumberToObject(body, key, strtod(option->value, &end));
    return option->value[0] != '\0' && *end == '\0';
}

static bool add_steps(const cli_option *option, cJSON *body) {
    if (!option->seen)
        return true;
    cJSON *steps = cJSON_AddArrayToObject(body, "steps");
    for (const char *p = option->value;; p++) {
        char *end;
        cJSON_AddItemToArray(steps, cJSON_CreateNumber(strtod(p, &end)));
        if (end == p || (*end != ',' && *end != '\0'))
            return false;
        p = end;
        if (*p == '\0')
            return true;
    }
}

/* One action for all rules as it stands, else JSON. False: a message was printed. */
static bool add_validation(const cli_option *option, cJSON *body) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    const char *text = option->value;
    cJSON *rules = NULL;
    if (!option->seen)
        return true;
    if (strcmp(text, "null") != 0 && text[strspn(text, letters)] == '\0') {
        rules = cJSON_CreateString(text);
    } else {
        lathe_diags diags = {0};
        lathe_json *doc = lathe_json_parse(text, strlen(text), "--validation", &diags);
        const bool good = doc != NULL && !lathe_diags_any(&diags);
        rules = good ? cJSON_Duplicate(lathe_json_root(doc), 1) : NULL;
        lathe_diags_print(&diags, stderr);
        lathe_diags_free(&diags);
        lathe_json_free(doc);
    }
    return rules != NULL && cJSON_AddItemToObject(body, "validation", rules);
}

/* NULL: a message was printed. */
static cJSON *make_body(endpoints_call *c) {
    const cli_option *o = c->options;
    cJSON *body = cJSON_CreateObject();
    if (c->ref != NULL)
        add_ref(c, body, c->ref);
    if (o[OPT_REASON].seen)
        cJSON_AddStringToObject(body, "reason", o[OPT_REASON].value);
    if (o[OPT_FORCE].seen)
        cJSON_AddTrueToObject(body, "force");
    if (o[OPT_STICKY].seen)
        cJSON_AddStringToObject(body, "sticky", o[OPT_STICKY].value);
    if (o[OPT_MANUAL].seen)
        cJSON_AddStringToObject(body, "promote", "manual");
    const char *fault =
        !add_validation(&o[OPT_VALIDATION], body)
            ? "--validation takes an action for all rules, an object of rules, or null"
        : !add_traffic(c, body)           ? "--traffic takes MODEL@VERSION=PERCENT"
        : !add_guards(c, body)            ? "--guard takes NAME=LIMIT or NAME.PART=LIMIT"
        : !add_steps(&o[OPT_STEPS], body) ? "--steps takes percentages with commas between"
        : !add_number(&o[OPT_BAKE], body, "bake_seconds") ? "--bake takes seconds"
        : !add_number(&o[OPT_MIN], body, "min_requests")  ? "--min-requests takes a number"
                                                          : NULL;
    if (fault != NULL) {
        cJSON_Delete(body);
        cli_usage(usage, "%s", fault);
        return NULL;
    }
    return body;
}

/* ---- changing ---- */

int cli_gates_refused(const cJSON *refusal, bool json) {
    if (json)
        cli_print_json(refusal);
    fprintf(stderr, "lathe: %s; --force%s does it all the same, and the audit log keeps it\n",
            cJSON_GetStringValue(lathe_json_get(refusal, "error")),
            lathe_json_get(refusal, "remedy") != NULL ? " (with the role admin)" : "");
    return EXIT_GOAL;
}

static int cmd_change(endpoints_call *c) {
    cJSON *answer = NULL, *body = make_body(c);
    const bool json = c->options[OPT_JSON].seen;
    int code = EXIT_DONE;
    if (body == NULL)
        return EXIT_USAGE;
    const bool none = c->ref != NULL && strcmp(c->ref, "none") == 0;
    if (none)
        cJSON_DeleteItemFromObjectCaseSensitive(body, "model");
    const char *verb = none ? "unshadow" : c->verb;
    if (lathe_endpoint_verb(c->store, verb, c->endpoint, body, &answer, &c->err) != LATHE_OK)
        code = answer != NULL ? cli_gates_refused(answer, json) : cli_error(&c->err);
    else if (json)
        cli_print_json(answer);
    else
        printf("endpoint %s serves %s@%.0f\n", c->endpoint,
               cJSON_GetStringValue(lathe_json_get(answer, "model")),
               cJSON_GetNumberValue(lathe_json_get(answer, "version")));
    cJSON_Delete(answer);
    cJSON_Delete(body);
    return code;
}

/* ---- through a service ---- */

/* The same change as a request: its path is the endpoint's, with the verb behind it where there is one. */
static int ask_change(endpoints_call *c, cJSON **answer) {
    cJSON *body = make_body(c);
    const bool none = c->ref != NULL && strcmp(c->ref, "none") == 0;
    const bool set = strcmp(c->verb, "set") == 0;
    if (body == NULL)
        return EXIT_USAGE;
    if (none) {
        cJSON_Delete(body);
        body = NULL;
    }
    char *path = set ? remote_path("/api/v1/endpoints/%", c->endpoint)
                     : remote_path("/api/v1/endpoints/%/%", c->endpoint, c->verb);
    int code = remote_ask(c->service, set ? "PUT" : none ? "DELETE" : "POST", path, body, answer);
    free(path);
    return code;
}

static int change_there(endpoints_call *c) {
    cJSON *answer = NULL;
    int code = ask_change(c, &answer);
    const char *model = cJSON_GetStringValue(lathe_json_get(answer, "model"));
    if (code == EXIT_DONE && (c->options[OPT_JSON].seen || model == NULL))
        cli_print_json(answer);
    else if (code == EXIT_DONE)
        printf("endpoint %s serves %s@%.0f\n", c->endpoint, model,
               cJSON_GetNumberValue(lathe_json_get(answer, "version")));
    cJSON_Delete(answer);
    return code;
}

static int list_there(endpoints_call *c) {
    cJSON *list;
    int code = remote_list(c->service, "/api/v1/endpoints", "endpoints", &list);
    if (code == EXIT_DONE && c->options[OPT_JSON].seen)
        cli_print_json(list);
    else if (code == EXIT_DONE)
        remote_table(list, "endpoint=name model version follows=alias updated=updated_us@time");
    cJSON_Delete(list);
    return code;
}

static int show_there(endpoints_call *c) {
    cJSON *answer;
    char *path = remote_path("/api/v1/endpoints/%", c->endpoint);
    int code = remote_ask(c->service, "GET", path, NULL, &answer);
    free(path);
    if (code == EXIT_DONE)
        cli_print_tree(answer, c->options[OPT_JSON].seen);
    cJSON_Delete(answer);
    return code;
}

/* ---- verbs ---- */

#define ANY (1u << OPT_HOME | 1u << OPT_JSON)
#define CHANGE (ANY | 1u << OPT_REASON)

static const struct verb {
    const char *name;
    int (*run)(endpoints_call *c), (*there)(endpoints_call *c);
    lathe_store_mode mode;
    size_t min, max;  /* arguments after the verb */
    unsigned options; /* that it takes */
} verbs[] = {
    {"list", cmd_list, list_there, LATHE_STORE_READ, 0, 0, ANY},
    {"show", cmd_show, show_there, LATHE_STORE_READ, 1, 1, ANY},
    {"set", cmd_change, change_there, LATHE_STORE_OWN, 1, 2,
     CHANGE | 1u << OPT_FORCE | 1u << OPT_TRAFFIC | 1u << OPT_STICKY | 1u << OPT_VALIDATION},
    {"canary", cmd_change, change_there, LATHE_STORE_OWN, 2, 2,
     CHANGE | 1u << OPT_FORCE | 1u << OPT_STEPS | 1u << OPT_BAKE | 1u << OPT_MIN | 1u << OPT_GUARD |
         1u << OPT_MANUAL},
    {"shadow", cmd_change, change_there, LATHE_STORE_OWN, 2, 2, CHANGE},
    {"promote", cmd_change, change_there, LATHE_STORE_OWN, 1, 2, CHANGE | 1u << OPT_FORCE},
    {"rollback", cmd_change, change_there, LATHE_STORE_OWN, 1, 1, CHANGE},
};

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run(remote_call *service, int argc, char **argv) {
    const char *args[argc + 1], *traffic[argc + 1], *guards[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_OPT] = {
        [OPT_HOME] = {.name = "home", .takes_value = true},
        [OPT_JSON] = {.name = "json"},
        [OPT_REASON] = {.name = "reason", .takes_value = true},
        [OPT_FORCE] = {.name = "force"},
        [OPT_TRAFFIC] = {.name = "traffic", .takes_value = true, .list = traffic},
        [OPT_STICKY] = {.name = "sticky", .takes_value = true},
        [OPT_VALIDATION] = {.name = "validation", .takes_value = true},
        [OPT_STEPS] = {.name = "steps", .takes_value = true},
        [OPT_BAKE] = {.name = "bake", .takes_value = true},
        [OPT_MIN] = {.name = "min-requests", .takes_value = true},
        [OPT_GUARD] = {.name = "guard", .takes_value = true, .list = guards},
        [OPT_MANUAL] = {.name = "manual"}};
    if (!cli_parse(argc, argv, options, N_OPT, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    const char *name = n_args > 0 ? args[0] : "list";
    const struct verb *verb = find_verb(name);
    if (verb == NULL)
        return cli_usage(usage, "there is no \"endpoints %s\"", name);
    const size_t n = n_args > 0 ? n_args - 1 : 0;
    if (n < verb->min || n > verb->max)
        return cli_usage(usage, "\"endpoints %s\" takes another number of arguments", name);
    for (unsigned i = 0; i < N_OPT; i++)
        if (options[i].seen && (verb->options & 1u << i) == 0)
            return cli_usage(usage, "\"endpoints %s\" takes no --%s", name, options[i].name);
    endpoints_call call = {.arena = lathe_arena_new(),
                           .options = options,
                           .service = service,
                           .verb = name,
                           .endpoint = n > 0 ? args[1] : NULL,
                           .ref = n > 1 ? args[2] : NULL};
    int code;
    if (service != NULL)
        service->json = options[OPT_JSON].seen;
    if (call.arena == NULL ||
        (service == NULL &&
         lathe_store_open(options[OPT_HOME].value, verb->mode, &call.store, &call.err) != LATHE_OK))
        code = cli_error(&call.err);
    else if (service != NULL)
        code = verb->there(&call);
    else
        code = verb->run(&call);
    lathe_store_close(call.store);
    lathe_arena_free(call.arena);
    return code;
}

int cli_endpoints(int argc, char **argv) {
    return run(NULL, argc, argv);
}

int remote_endpoints(remote_call *c, int argc, char **argv) {
    return run(c, argc, argv);
}
