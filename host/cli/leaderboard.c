#include "cli/leaderboard.h"

#include "base/arena.h"
#include "base/json.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_METRICS 6

static double number_of(const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsNumber(node) ? node->valuedouble : NAN;
}

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : NULL;
}

/* The scores that are shown: of the test part where there is one. */
static const cJSON *shown(const cJSON *candidate) {
    const cJSON *test = lathe_json_get(candidate, "test");
    return test ? test : lathe_json_get(candidate, "validation");
}

static bool has_test(const cJSON *result) {
    const cJSON *candidate;
    cJSON_ArrayForEach(candidate, lathe_json_get(result, "candidates")) {
        if (lathe_json_get(candidate, "test") != NULL)
            return true;
    }
    return false;
}

static const char *number_text(lathe_arena *arena, double value, const char *format) {
    if (isnan(value))
        return "";
    return fabs(value) >= 1e7 ? lathe_arena_printf(arena, "%.6g", value)
                              : lathe_arena_printf(arena, format, value);
}

/* Names of the metrics of the first candidate that has some; the goal's first. */
static size_t metric_names(const cJSON *result, const char *names[MAX_METRICS]) {
    const cJSON *candidate, *metric;
    size_t n = 0;
    if (text_of(result, "metric") != NULL)
        names[n++] = text_of(result, "metric");
    cJSON_ArrayForEach(candidate, lathe_json_get(result, "candidates")) {
        const cJSON *scores = shown(candidate);
        if (scores == NULL)
            continue;
        cJSON_ArrayForEach(metric,
                           scores) if (n < MAX_METRICS && strcmp(metric->string, names[0]) != 0)
            names[n++] = metric->string;
        return n;
    }
    return n;
}

static void print_candidates(const cJSON *result, lathe_arena *arena) {
    const char *names[MAX_METRICS] = {0};
    const cJSON *candidates = lathe_json_get(result, "candidates"), *candidate;
    const size_t n_metrics = metric_names(result, names);
    const size_t first = has_test(result) ? 0 : 1; /* the goal's metric stands there once */
    const size_t columns = n_metrics - first + 4;
    const size_t rows = (size_t)cJSON_GetArraySize(candidates) + 1;
    const char **cells = lathe_arena_array(arena, rows * columns, sizeof *cells);
    const char *selected = text_of(result, "selected");
    size_t r = 1;
    if (cells == NULL)
        return;
    cJSON_ArrayForEach(candidate, candidates) {
        const char **row = cells + r++ * columns;
        const char *error = text_of(candidate, "error");
        const cJSON *scores = shown(candidate);
        row[0] = selected && strcmp(selected, candidate->string) == 0 ? "*" : "";
        row[1] = candidate->string;
        row[2] = number_text(arena, number_of(lathe_json_get(candidate, "validation"), names[0]),
                             "%.5f");
        for (size_t m = first; m < n_metrics; m++)
            row[3 + m - first] = number_text(arena, number_of(scores, names[m]), "%.5f");
        row[columns - 1] = error ? "failed"
                           : cJSON_IsTrue(lathe_json_get(candidate, "cached"))
                               ? "cached"
                               : number_text(arena, number_of(candidate, "seconds"), "%.2f s");
    }
    cells[0] = "";
    cells[1] = "candidate";
    cells[2] = lathe_arena_printf(arena, "%s (validation)", names[0] ? names[0] : "");
    for (size_t m = first; m < n_metrics; m++)
        cells[3 + m - first] = m == 0 ? lathe_arena_printf(arena, "%s (test)", names[0]) : names[m];
    cells[columns - 1] = "time";
    putchar('\n');
    cli_print_table(cells, rows, columns);
}

static void print_goal(const cJSON *goal, lathe_arena *arena) {
    const cJSON *checks = lathe_json_get(goal, "checks"), *check;
    const size_t rows = (size_t)cJSON_GetArraySize(checks);
    const char **cells = lathe_arena_array(arena, rows * 4 + 4, sizeof *cells);
    size_t r = 0;
    if (rows == 0 || cells == NULL)
        return;
    cJSON_ArrayForEach(check, checks) {
        const char **row = cells + r++ * 4;
        row[0] = cJSON_IsTrue(lathe_json_get(check, "met")) ? "met" : "NOT MET";
        row[1] = text_of(check, "metric");
        row[2] = text_of(check, "require");
        row[3] = number_text(arena, number_of(check, "value"), "%.5g");
    }
    printf("\ngoal: %s\n", cJSON_IsTrue(lathe_json_get(goal, "met")) ? "met" : "not met");
    cli_print_table(cells, rows, 4);
}

static void print_model(const cJSON *result) {
    const cJSON *model = lathe_json_get(result, "model"),
                *monitor = lathe_json_get(result, "monitor");
    const double version = number_of(model, "version");
    if (!isnan(version))
        printf("\nmodel: %s@%.0f%s%s\n", text_of(model, "name"), version,
               text_of(model, "endpoint") ? ", served as " : "",
               text_of(model, "endpoint") ? text_of(model, "endpoint") : "");
    if (monitor != NULL)
        printf("monitor: %.0f windows, %.0f alerts\n", number_of(monitor, "windows"),
               number_of(monitor, "alerts"));
}

void cli_print_leaderboard(const cJSON *result, const char *report) {
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return;
    print_candidates(result, arena);
    print_goal(lathe_json_get(result, "goal"), arena);
    print_model(result);
    if (report != NULL)
        printf("report: %s\n", report);
    lathe_arena_free(arena);
}

int cli_print_plan(const lathe_pipeline *p) {
    printf("pipeline %s (seed %llu)\n", p->name, (unsigned long long)p->seed);
    printf("goal     %s of \"%s\", selected by %s\n",
           p->goal.classification ? "classification" : "regression", p->goal.target,
           p->goal.metrics[0].name);
    for (size_t i = 0; i < p->goal.n_require; i++)
        printf("         %s %s\n", p->goal.require[i].name, p->goal.require[i].text);
    printf("prepare  source %s\n", p->prepare.source->resolved);
    for (size_t i = 0; i < p->prepare.n_transforms; i++)
        printf("         transform %s\n", p->prepare.transforms[i]->resolved);
    printf("         split %s\n", p->prepare.split->resolved);
    for (size_t i = 0; i < p->n_candidates; i++)
        printf("train    %s: %s\n", p->candidates[i].name, p->candidates[i].component->resolved);
    if (p->deploy.present)
        printf("deploy   model %s%s%s\n", p->deploy.model, p->deploy.endpoint ? ", endpoint " : "",
               p->deploy.endpoint ? p->deploy.endpoint : "");
    for (size_t i = 0; i < p->monitor.n_drift; i++)
        printf("monitor  %s\n", p->monitor.drift[i]->resolved);
    if (p->monitor.replay != NULL)
        printf("         replay %s in windows of %lld rows\n", p->monitor.replay->resolved,
               (long long)p->monitor.window);
    return EXIT_DONE;
}
