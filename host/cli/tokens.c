/* `lathe tokens create|list|rotate|revoke`: on the home itself, while no service owns it. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: lathe tokens create NAME --role infer|read|operate|admin "
                            "[--project P] [--expires 90d]\n"
                            "                    [--rate REQUESTS_PER_SECOND] [--json]\n"
                            "       lathe tokens list [--json]\n"
                            "       lathe tokens rotate NAME [--grace 24h] [--json]\n"
                            "       lathe tokens revoke NAME [--reason TEXT]\n"
                            "A token's secret is printed once, on stdout. As soon as there is a "
                            "token, `lathe serve` answers only requests that\n"
                            "have one. Times are numbers with s, m, h or d. While a service runs, "
                            "use its control plane: POST /api/v1/tokens.\n"
                            "Options for all: --home D.\n";

enum {
    OPT_HOME,
    OPT_JSON,
    OPT_ROLE,
    OPT_PROJECT,
    OPT_EXPIRES,
    OPT_RATE,
    OPT_GRACE,
    OPT_REASON,
    N_OPT
};

/* "90d" in microseconds, at most a century; -1: no such time. */
static int64_t read_time(const char *text) {
    static const char units[] = "smhd";
    static const double seconds[] = {1, 60, 3600, 86400};
    char *end;
    const double number = strtod(text, &end);
    const char *unit = *end != 0 && end[1] == 0 ? strchr(units, *end) : NULL;
    if (end == text || unit == NULL || !(number >= 0))
        return -1;
    const double us = number * seconds[unit - units] * 1e6;
    return us <= 3.2e15 ? (int64_t)us : -1;
}

/* The secret alone on stdout, so that it can be piped; what to do with it on stderr. */
static int print_secret(const cli_home_call *c, char secret[LATHE_TOKEN_TEXT]) {
    if (c->options[OPT_JSON].seen)
        printf("{\"name\":\"%s\",\"token\":\"%s\"}\n", c->name, secret);
    else
        puts(secret);
    explicit_bzero(secret, LATHE_TOKEN_TEXT);
    const bool written = fflush(stdout) == 0;
    if (written)
        fputs(
            "This is the only time that it is shown. Send it as \"Authorization: Bearer TOKEN\".\n",
            stderr);
    else
        fprintf(stderr, "lathe: the secret could not be written; rotate \"%s\" for another\n",
                c->name);
    return written ? EXIT_DONE : EXIT_FAILED;
}

static int create_token(cli_home_call *c) {
    char secret[LATHE_TOKEN_TEXT], *end = NULL;
    const cli_option *o = c->options;
    lathe_token_new info = {.name = c->name,
                            .role = lathe_role_parse(o[OPT_ROLE].value),
                            .project = o[OPT_PROJECT].value};
    if (info.role == LATHE_ROLE_NONE)
        return cli_usage(usage, "--role is infer, read, operate or admin");
    if (o[OPT_EXPIRES].value != NULL) {
        const int64_t time = read_time(o[OPT_EXPIRES].value);
        if (time <= 0)
            return cli_usage(usage, "--expires is a time such as 90d or 12h");
        info.expires = lathe_wall_us() + time;
    }
    if (o[OPT_RATE].value != NULL) {
        info.rate = strtod(o[OPT_RATE].value, &end);
        if (end == o[OPT_RATE].value || *end != 0 ||
            !(info.rate > 0 && info.rate <= LATHE_TOKEN_RATE_MAX))
            return cli_usage(usage, "--rate is a number of requests a second above 0");
    }
    if (lathe_store_token_create(c->store, &info, secret, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    return print_secret(c, secret);
}

static int rotate_token(cli_home_call *c) {
    char secret[LATHE_TOKEN_TEXT];
    const char *text = c->options[OPT_GRACE].value;
    const int64_t grace = read_time(text != NULL ? text : "24h");
    if (grace < 0)
        return cli_usage(usage, "--grace is a time such as 24h; 0s ends the old secret at once");
    if (lathe_store_token_rotate(c->store, c->name, grace, secret, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    return print_secret(c, secret);
}

static int revoke_token(cli_home_call *c) {
    if (lathe_store_token_revoke(c->store, c->name, c->options[OPT_REASON].value, &c->err) !=
        LATHE_OK)
        return cli_error(&c->err);
    printf("%s is revoked\n", c->name);
    return EXIT_DONE;
}

/* ---- list ---- */

static const char *state_of(const lathe_token_record *t) {
    if (t->revoked != 0)
        return "revoked";
    return t->expires != 0 && t->expires <= lathe_wall_us() ? "expired" : "valid";
}

/* "" for 0. */
static const char *minute(lathe_arena *arena, int64_t time) {
    char text[LATHE_ISO_TIME] = "";
    if (time != 0)
        lathe_iso_time(time, text);
    return lathe_arena_strndup(arena, text, 16);
}

static void add_time(cJSON *out, const char *key, int64_t time) {
    char text[LATHE_ISO_TIME];
    if (time == 0)
        return;
    lathe_iso_time(time, text);
    cJSON_AddStringToObject(out, key, text);
}

static int list_json(const lathe_token_list *list) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list->count; i++) {
        const lathe_token_record *t = &list->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", t->name);
        cJSON_AddStringToObject(item, "role", lathe_role_name(t->role));
        cJSON_AddStringToObject(item, "project", t->project);
        if (t->rate > 0)
            cJSON_AddNumberToObject(item, "rate", t->rate);
        cJSON_AddStringToObject(item, "state", state_of(t));
        add_time(item, "created", t->created);
        add_time(item, "expires", t->expires);
        add_time(item, "revoked", t->revoked);
        add_time(item, "used", t->used);
        add_time(item, "previous_until", t->previous_until);
        cJSON_AddItemToArray(out, item);
    }
    cli_print_json(out);
    cJSON_Delete(out);
    return EXIT_DONE;
}

static int list_tokens(cli_home_call *c) {
    static const char *const head[] = {"name",  "role",    "project", "rate",
                                       "state", "created", "expires", "used"};
    const size_t n = sizeof head / sizeof *head;
    lathe_token_list tokens;
    if (lathe_store_tokens(c->store, c->arena, &tokens, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    if (c->options[OPT_JSON].seen)
        return list_json(&tokens);
    const char **cells = lathe_arena_array(c->arena, (tokens.count + 1) * n, sizeof *cells);
    if (cells == NULL)
        return EXIT_FAILED;
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < tokens.count; i++) {
        const lathe_token_record *t = &tokens.items[i];
        const char *row[] = {t->name,
                             lathe_role_name(t->role),
                             t->project,
                             t->rate > 0 ? lathe_arena_printf(c->arena, "%g", t->rate) : "",
                             state_of(t),
                             minute(c->arena, t->created),
                             minute(c->arena, t->expires),
                             minute(c->arena, t->used)};
        memcpy(cells + (i + 1) * n, row, sizeof row);
    }
    cli_print_table(cells, tokens.count + 1, n);
    return EXIT_DONE;
}

static const cli_home_verb verbs[] = {{"create", create_token, true, true},
                                      {"list", list_tokens, false, false},
                                      {"rotate", rotate_token, true, true},
                                      {"revoke", revoke_token, true, true},
                                      {0}};

int cli_tokens(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[N_OPT] = {[OPT_HOME] = {.name = "home", .takes_value = true},
                                 [OPT_JSON] = {.name = "json"},
                                 [OPT_ROLE] = {.name = "role", .takes_value = true},
                                 [OPT_PROJECT] = {.name = "project", .takes_value = true},
                                 [OPT_EXPIRES] = {.name = "expires", .takes_value = true},
                                 [OPT_RATE] = {.name = "rate", .takes_value = true},
                                 [OPT_GRACE] = {.name = "grace", .takes_value = true},
                                 [OPT_REASON] = {.name = "reason", .takes_value = true}};
    if (!cli_parse(argc, argv, options, N_OPT, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    return cli_run_home_verb(verbs, usage, options[OPT_HOME].value, options, args, n_args);
}
