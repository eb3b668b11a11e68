/* `lathe bench`: how many requests a second a served endpoint answers, and how late, at growing load. */
#include "base/json.h"
#include "cli/bench_load.h"
#include "cli/bench_profile.h"
#include "cli/bench_rows.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/remote.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 16
#define GROWTH 1.05 /* less is none */

static const char usage[] =
    "usage: lathe bench ENDPOINT [--url http://127.0.0.1:8000] [--ca FILE] [--token TOKEN]\n"
    "                   [--server URL | --rows FILE.csv [--missing TEXT] | --zeros]\n"
    "                   [--seconds S] [--connections N] [--p99-ms G] [--rate R] [--json]\n"
    "\n"
    "Loads a served endpoint with requests of one row, over 1, 2, 4, 8 … connections that each\n"
    "wait for their answer, until the gate breaks, answers fail, or the rate grows by less than\n"
    "5 % twice. Prints requests a second and latencies of every step. A number that counts needs\n"
    "a machine where nothing else runs.\n"
    "\n"
    "The rows are drawn from the model's training profile, which the service's control plane\n"
    "tells: over the home's own socket, else by --server.\n"
    "\n"
    "  --url URL          the service's inference address, http:// or https://\n"
    "  --ca FILE          certificates that are trusted there (or $LATHE_CA_FILE)\n"
    "  --token TOKEN      where the service asks for one (or $LATHE_TOKEN)\n"
    "  --server URL       the service's control plane (or $LATHE_SERVER)\n"
    "  --rows FILE.csv    rows to send in turn (its first 10000) instead\n"
    "  --missing TEXT     what stands for a missing value in it, besides the empty cell\n"
    "  --zeros            one row of zeros and empty texts instead\n"
    "  --seconds S        of each step; 2 by default\n"
    "  --connections N    at most; 256 by default\n"
    "  --p99-ms G         gate: 99 of 100 answers come within G ms\n"
    "  --rate R           gate: a step reaches R requests a second, within --p99-ms, without\n"
    "                     errors\n"
    "  --json             one JSON object\n"
    "\n"
    "Exit codes: 0 done; 1 failed; 2 bad usage; 3 a gate is not met.\n";

enum {
    OPT_URL,
    OPT_CA,
    OPT_SERVER,
    OPT_ZEROS,
    OPT_TOKEN,
    OPT_ROWS,
    OPT_MISSING,
    OPT_SECONDS,
    OPT_CONNECTIONS,
    OPT_P99,
    OPT_RATE,
    OPT_JSON,
    OPT_HOME,
    N_OPTIONS
};

typedef struct bench {
    const char *endpoint, *url, *ca, *token, *rows, *missing;
    cli_target control; /* where the training profile is asked for; none: nowhere */
    bool zeros;
    const char *source;                        /* of the rows: "profile", "file", "zeros" */
    double seconds, connections, p99_ms, rate; /* gates: 0 is none */
    bool json;
    bench_load *load;
    lathe_buf *requests;
    size_t n_requests;
    bench_step steps[MAX_STEPS];
    size_t n_steps;
    const bench_step *best; /* the fastest that keeps the gate; NULL: none */
    const char *end;        /* why there is no further step */
    char error[1100];       /* the first one, as text */
} bench;

/* ---- options ---- */

static bool read_number(const cli_option *option, double low, double high, bool whole, double *to) {
    char *end;
    if (option->value == NULL)
        return true;
    const double value = strtod(option->value, &end);
    if (end != option->value && *end == 0 && value >= low && value <= high &&
        (!whole || value == floor(value))) {
        *to = value;
        return true;
    }
    cli_usage(usage, "--%s is \"%.60s\"; expected a %snumber from %g to %g", option->name,
              option->value, whole ? "whole " : "", low, high);
    return false;
}

static bool is_clean(const char *text) {
    for (; *text != 0; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

/* An option, else a variable of the environment; NULL: neither is set. */
static const char *value_or(const cli_option *option, const char *variable) {
    const char *value = option->value != NULL ? option->value : getenv(variable);
    return value != NULL && value[0] != 0 ? value : NULL;
}

static int read_options(bench *b, int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option o[N_OPTIONS] = {[OPT_URL] = {.name = "url", .takes_value = true},
                               [OPT_CA] = {.name = "ca", .takes_value = true},
                               [OPT_SERVER] = {.name = "server", .takes_value = true},
                               [OPT_ZEROS] = {.name = "zeros"},
                               [OPT_TOKEN] = {.name = "token", .takes_value = true},
                               [OPT_ROWS] = {.name = "rows", .takes_value = true},
                               [OPT_MISSING] = {.name = "missing", .takes_value = true},
                               [OPT_SECONDS] = {.name = "seconds", .takes_value = true},
                               [OPT_CONNECTIONS] = {.name = "connections", .takes_value = true},
                               [OPT_P99] = {.name = "p99-ms", .takes_value = true},
                               [OPT_RATE] = {.name = "rate", .takes_value = true},
                               [OPT_JSON] = {.name = "json"},
                               [OPT_HOME] = {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, o, N_OPTIONS, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 1 || args[0][0] == 0)
        return cli_usage(usage, "it takes one endpoint");
    const char *token = value_or(&o[OPT_TOKEN], "LATHE_TOKEN");
    *b = (bench){.endpoint = args[0],
                 .url = o[OPT_URL].value ? o[OPT_URL].value : "http://127.0.0.1:8000",
                 .ca = value_or(&o[OPT_CA], "LATHE_CA_FILE"),
                 .token = token,
                 .zeros = o[OPT_ZEROS].seen,
                 .rows = o[OPT_ROWS].value,
                 .missing = o[OPT_MISSING].value,
                 .seconds = 2,
                 .connections = 256,
                 .json = o[OPT_JSON].seen};
    if (b->token != NULL && !is_clean(b->token))
        return cli_usage(usage, "the token holds what no token does");
    if (b->missing != NULL && b->rows == NULL)
        return cli_usage(usage, "--missing is about the file of --rows; add that");
    if (b->zeros && b->rows != NULL)
        return cli_usage(usage, "either --rows or --zeros");
    if (!read_number(&o[OPT_SECONDS], 0.01, 3600, false, &b->seconds) ||
        !read_number(&o[OPT_CONNECTIONS], 1, 16384, true, &b->connections) ||
        !read_number(&o[OPT_P99], 1e-3, 1e6, false, &b->p99_ms) ||
        !read_number(&o[OPT_RATE], 1e-3, 1e9, false, &b->rate))
        return EXIT_USAGE;
    b->control = (cli_target){.url = value_or(&o[OPT_SERVER], "LATHE_SERVER"), .token = token};
    if (b->control.url == NULL && b->rows == NULL && !b->zeros)
        b->control.socket = cli_find_socket(o[OPT_HOME].value);
    return -1;
}

/* ---- requests ---- */

static void put_request(const bench *b, const char *method, const char *verb, const lathe_buf *body,
                        lathe_buf *out) {
    lathe_buf_printf(out, "%s /v2/models/", method);
    cli_client_escape(out, b->endpoint);
    lathe_buf_printf(out, "%s HTTP/1.1\r\nhost: %s\r\nuser-agent: lathe\r\n", verb,
                     bench_load_host(b->load));
    if (b->token != NULL)
        lathe_buf_printf(out, "authorization: Bearer %s\r\n", b->token);
    if (body != NULL)
        lathe_buf_printf(out, "content-type: application/json\r\ncontent-length: %zu\r\n",
                         body->len);
    lathe_buf_append_str(out, "\r\n");
    if (body != NULL)
        lathe_buf_append(out, body->data, body->len);
}

/* The text of an answer that is an error. */
static int32_t fail_answer(const bench *b, int status, const lathe_buf *body, lathe_error *err) {
    cJSON *tree = cJSON_ParseWithLength(lathe_buf_str(body), body->len);
    const char *text = cJSON_GetStringValue(lathe_json_get(tree, "error"));
    const char *hint = status == 401               ? "; give --token"
                       : status == 400 && !b->rows ? "; give rows it takes with --rows FILE.csv"
                                                   : "";
    lathe_fail(err, LATHE_E_DATA, bench_load_host(b->load), "the service answers %d: %.600s%s",
               status, text ? text : lathe_buf_str(body), hint);
    cJSON_Delete(tree);
    return LATHE_E_DATA;
}

/* One request and its body; LATHE_OK with status 200 alone. */
static int32_t ask(bench *b, const lathe_buf *request, lathe_buf *body, lathe_error *err) {
    int status = 0;
    int32_t rc = request->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                                 : bench_load_ask(b->load, request, &status, body, err);
    return rc == LATHE_OK && status != 200 ? fail_answer(b, status, body, err) : rc;
}

static int32_t put_requests(bench *b, const bench_rows *rows, lathe_error *err) {
    b->requests = calloc(rows->n, sizeof *b->requests);
    if (b->requests == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    for (b->n_requests = 0; b->n_requests < rows->n; b->n_requests++) {
        put_request(b, "POST", "/infer", &rows->bodies[b->n_requests], &b->requests[b->n_requests]);
        if (b->requests[b->n_requests].failed)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    return LATHE_OK;
}

/* Rows from the file, or like those of training; where nobody tells how those were, one of zeros. */
static int32_t make_rows(bench *b, const cJSON *metadata, bench_rows *rows, lathe_error *err) {
    b->source = "file";
    if (b->rows != NULL)
        return bench_rows_read(metadata, b->rows, b->missing, rows, err);
    b->source = "profile";
    lathe_error why = {0};
    int32_t rc = LATHE_E_NOT_FOUND;
    if (b->control.url != NULL || b->control.socket != NULL)
        rc = bench_profile_make(&b->control, b->endpoint, metadata, rows, &why);
    else
        lathe_fail(&why, rc, NULL, "no service holds this home, and none is named by --server");
    if (rc == LATHE_OK)
        return rc;
    bench_rows_free(rows);
    b->source = "zeros";
    if (!b->zeros)
        fprintf(stderr,
                "lathe: rows of zeros are sent, since the training profile is not known: %s\n",
                why.message);
    return bench_rows_make(metadata, rows, err);
}

/* Asks for the metadata, makes the requests, and tries the first. */
static int32_t prepare(bench *b, lathe_error *err) {
    lathe_buf question = {0}, answer = {0};
    bench_rows rows = {0};
    cJSON *metadata = NULL;
    put_request(b, "GET", "", NULL, &question);
    int32_t rc = ask(b, &question, &answer, err);
    if (rc == LATHE_OK) {
        metadata = cJSON_ParseWithLength(lathe_buf_str(&answer), answer.len);
        rc = make_rows(b, metadata, &rows, err);
    }
    if (rc == LATHE_OK)
        rc = put_requests(b, &rows, err);
    lathe_buf_clear(&answer);
    if (rc == LATHE_OK)
        rc = ask(b, &b->requests[0], &answer, err);
    cJSON_Delete(metadata);
    bench_rows_free(&rows);
    lathe_buf_free(&question);
    lathe_buf_free(&answer);
    return rc;
}

/* ---- steps ---- */

static bool keeps_gate(const bench *b, const bench_step *s) {
    return s->errors == 0 && s->requests > 0 && (b->p99_ms <= 0 || s->p99 <= b->p99_ms);
}

static int32_t load(bench *b, lathe_error *err) {
    double fastest = 0;
    int flat = 0;
    for (size_t n = 1; b->end == NULL;) {
        bench_step *s = &b->steps[b->n_steps];
        int32_t rc = bench_load_step(b->load, b->requests, b->n_requests, n, b->seconds, s, err);
        if (rc != LATHE_OK)
            return rc;
        b->n_steps++;
        if (s->errors > 0)
            snprintf(b->error, sizeof b->error, "%s", bench_load_first_error(b->load));
        if (keeps_gate(b, s) && (b->best == NULL || s->rate > b->best->rate))
            b->best = s;
        flat = s->rate < fastest * GROWTH ? flat + 1 : 0;
        fastest = s->rate > fastest ? s->rate : fastest;
        if (s->errors > 0)
            b->end = "errors";
        else if (!keeps_gate(b, s))
            b->end = "p99";
        else if (flat == 2)
            b->end = "rate";
        else if (n >= (size_t)b->connections || b->n_steps == MAX_STEPS)
            b->end = "connections";
        n = n * 2 < (size_t)b->connections ? n * 2 : (size_t)b->connections;
    }
    return LATHE_OK;
}

/* ---- results ---- */

static void print_table(const bench *b) {
    static const char *const head[] = {"connections", "requests/s", "p50 ms", "p99 ms",
                                       "p999 ms",     "max ms",     "errors"};
    enum { N_COLUMNS = sizeof head / sizeof *head };
    char text[MAX_STEPS][N_COLUMNS][32];
    const char *cells[(MAX_STEPS + 1) * N_COLUMNS];
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < b->n_steps; i++) {
        const bench_step *s = &b->steps[i];
        const double ms[] = {s->p50, s->p99, s->p999, s->max};
        snprintf(text[i][0], 32, "%zu", s->connections);
        snprintf(text[i][1], 32, "%.0f", s->rate);
        for (size_t k = 0; k < 4; k++)
            snprintf(text[i][2 + k], 32, "%.3f", ms[k]);
        snprintf(text[i][6], 32, "%llu", (unsigned long long)s->errors);
        for (size_t k = 0; k < N_COLUMNS; k++)
            cells[(i + 1) * N_COLUMNS + k] = text[i][k];
    }
    cli_print_table(cells, b->n_steps + 1, N_COLUMNS);
}

static void print_best(const bench *b) {
    const char *why = strcmp(b->end, "errors") == 0 ? "answers failed"
                      : strcmp(b->end, "p99") == 0  ? "the p99 gate broke"
                      : strcmp(b->end, "rate") == 0 ? "the rate grows no more"
                                                    : "all connections are in use (--connections)";
    printf("\nends because %s\n", why);
    if (b->best != NULL)
        printf("best: %.0f requests/s with %zu connections, p99 %.3f ms\n", b->best->rate,
               b->best->connections, b->best->p99);
}

static cJSON *step_json(const bench_step *s) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "connections", (double)s->connections);
    cJSON_AddNumberToObject(item, "seconds", s->seconds);
    cJSON_AddNumberToObject(item, "requests", (double)s->requests);
    cJSON_AddNumberToObject(item, "errors", (double)s->errors);
    cJSON_AddNumberToObject(item, "rate", s->rate);
    cJSON_AddNumberToObject(item, "p50_ms", s->p50);
    cJSON_AddNumberToObject(item, "p99_ms", s->p99);
    cJSON_AddNumberToObject(item, "p999_ms", s->p999);
    cJSON_AddNumberToObject(item, "max_ms", s->max);
    return item;
}

static void print_json(const bench *b, bool met) {
    cJSON *out = cJSON_CreateObject(), *steps;
    cJSON_AddStringToObject(out, "endpoint", b->endpoint);
    cJSON_AddNumberToObject(out, "rows", (double)b->n_requests);
    cJSON_AddStringToObject(out, "source", b->source);
    steps = cJSON_AddArrayToObject(out, "steps");
    for (size_t i = 0; i < b->n_steps; i++)
        cJSON_AddItemToArray(steps, step_json(&b->steps[i]));
    cJSON_AddStringToObject(out, "end", b->end);
    cJSON_AddItemToObject(out, "best", b->best ? step_json(b->best) : cJSON_CreateNull());
    cJSON_AddBoolToObject(out, "met", met);
    if (b->error[0] != 0)
        cJSON_AddStringToObject(out, "error", b->error);
    cli_print_json(out);
    cJSON_Delete(out);
}

static int tell(const bench *b) {
    const bool gated = b->p99_ms > 0 || b->rate > 0;
    const bool met = b->best != NULL && b->best->rate >= b->rate;
    const bool failed = b->steps[0].requests == 0 || (b->best == NULL && !gated);
    if (b->json) {
        print_json(b, met);
    } else {
        print_table(b);
        print_best(b);
    }
    if (b->error[0] != 0)
        fprintf(stderr, "lathe: %s: the first error: %s\n", bench_load_host(b->load), b->error);
    if (met)
        return EXIT_DONE;
    if (failed)
        return EXIT_FAILED;
    if (b->best == NULL && b->p99_ms > 0)
        fprintf(stderr, "lathe: no step keeps the gate: p99 within %g ms, without errors\n",
                b->p99_ms);
    else if (b->best == NULL)
        fputs("lathe: no step is without errors\n", stderr);
    else
        fprintf(stderr, "lathe: the best step has %.0f requests/s; the gate is %g\n", b->best->rate,
                b->rate);
    return EXIT_GOAL;
}

int cli_bench(int argc, char **argv) {
    bench b;
    lathe_error err = {0};
    int code = read_options(&b, argc, argv);
    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN); /* a connection that broke is told by its write */
    int32_t rc = bench_load_open(b.url, b.ca, &b.load, &err);
    if (rc == LATHE_E_INVALID) {
        free(b.control.socket);
        return cli_usage(usage, "%s: %s", err.where[0] ? err.where : "--url", err.message);
    }
    if (rc == LATHE_OK)
        rc = prepare(&b, &err);
    if (rc == LATHE_OK)
        rc = load(&b, &err);
    code = rc == LATHE_OK ? tell(&b) : cli_error(&err);
    bench_load_close(b.load);
    for (size_t i = 0; i < b.n_requests; i++)
        lathe_buf_free(&b.requests[i]);
    free(b.requests);
    free(b.control.socket);
    return code;
}
