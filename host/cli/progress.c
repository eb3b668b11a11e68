#include "cli/progress.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR 24

void cli_progress_begin(cli_progress *p, bool quiet) {
    *p =
        (cli_progress){.terminal = isatty(STDERR_FILENO) && !quiet, .quiet = quiet, .fraction = -1};
}

void cli_progress_clear(cli_progress *p) {
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* "1:05" or "12 s". */
static void format_seconds(double seconds, char *out, size_t size) {
    if (seconds < 100)
        snprintf(out, size, "%.0f s", seconds);
    else
        snprintf(out, size, "%d:%02d min", (int)(seconds / 60), (int)seconds % 60);
}

static void draw(cli_progress *p) {
    char line[400], left[32] = "", elapsed[32];
    const double now = lathe_now_seconds(), gone = now - p->step_start;
    if (!p->terminal || now - p->last_draw < 0.08)
        return;
    p->last_draw = now;
    format_seconds(gone, elapsed, sizeof elapsed);
    int at = snprintf(line, sizeof line, "%-22s ", p->step);
    if (p->fraction >= 0) {
        int filled = (int)(p->fraction * BAR);
        line[at++] = '[';
        for (int i = 0; i < BAR; i++)
            line[at++] = i < filled ? '#' : '.';
        at += snprintf(line + at, sizeof line - (size_t)at, "] %3.0f %%", p->fraction * 100);
        if (p->fraction > 0.02 && gone > 0.5) {
            format_seconds(gone * (1 - p->fraction) / p->fraction, left, sizeof left);
            at += snprintf(line + at, sizeof line - (size_t)at, "  %.1f %%/s  %s left",
                           p->fraction * 100 / gone, left);
        }
    } else {
        at += snprintf(line + at, sizeof line - (size_t)at, "%s", elapsed);
    }
    snprintf(line + at, sizeof line - (size_t)at, "  %s%s%s", p->metric, p->metric[0] ? "  " : "",
             p->message);
    struct winsize size = {0};
    size_t width =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
    if (strlen(line) >= width)
        line[width - 1] = 0;
    fprintf(stderr, "\r%s\033[K", line);
    p->drawn = true;
}

static const char *text_of(const cJSON *event, const char *key) {
    const cJSON *node = lathe_json_get(event, key);
    return cJSON_IsString(node) ? node->valuestring : "";
}

static double number_of(const cJSON *event, const char *key) {
    const cJSON *node = lathe_json_get(event, key);
    return cJSON_IsNumber(node) ? node->valuedouble : 0;
}

static void step_event(cli_progress *p, const cJSON *event) {
    const char *state = text_of(event, "state");
    if (strcmp(state, "started") == 0) {
        snprintf(p->step, sizeof p->step, "%s", text_of(event, "step"));
        p->step_start = lathe_now_seconds();
        p->fraction = -1;
        p->message[0] = p->metric[0] = 0;
        draw(p);
        return;
    }
    cli_progress_clear(p);
    if (!p->quiet)
        fprintf(stderr, "%-22s %-9s %8.2f s\n", text_of(event, "step"), state,
                number_of(event, "seconds"));
}

static void log_event(cli_progress *p, const cJSON *event) {
    const char *level = text_of(event, "level");
    if (p->quiet || strcmp(level, "debug") == 0)
        return;
    cli_progress_clear(p);
    if (strcmp(level, "info") == 0)
        fprintf(stderr, "  %s\n", text_of(event, "message"));
    else
        fprintf(stderr, "  %s: %s%s%s\n", level, text_of(event, "step"),
                text_of(event, "step")[0] ? ": " : "", text_of(event, "message"));
}

static void candidate_event(cli_progress *p, const cJSON *event) {
    if (p->quiet || strcmp(text_of(event, "status"), "failed") != 0)
        return;
    cli_progress_clear(p);
    fprintf(stderr, "  candidate \"%s\" failed: %s\n", text_of(event, "name"),
            text_of(event, "error"));
}

void cli_progress_event(cli_progress *p, const cJSON *event) {
    const char *name = text_of(event, "event");
    if (strcmp(name, "step") == 0) {
        step_event(p, event);
    } else if (strcmp(name, "progress") == 0) {
        p->fraction = number_of(event, "fraction");
        snprintf(p->message, sizeof p->message, "%s", text_of(event, "message"));
        draw(p);
    } else if (strcmp(name, "metric") == 0) {
        snprintf(p->metric, sizeof p->metric, "%s %.5g", text_of(event, "name"),
                 number_of(event, "value"));
        draw(p);
    } else if (strcmp(name, "log") == 0) {
        log_event(p, event);
    } else if (strcmp(name, "candidate") == 0) {
        candidate_event(p, event);
    }
}
