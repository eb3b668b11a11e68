#include "pipeline/timing.h"

#include "base/cron.h"

#include <string.h>

#define MAX_WAIT_S 86400.0

static const char *const overlaps[] = {"skip", "queue", "cancel", NULL};

static void read_retry(const lathe_check *c, const cJSON *node, lathe_retry *retry) {
    static const char *const keys[] = {"limit", "backoff_s", "factor", NULL};
    if (!lathe_check_object(c, node, "\"retry\"", keys))
        return;
    lathe_check_required(c, node, "\"retry\"", "limit");
    retry->limit = lathe_check_int(c, node, "limit", 0, 100, 0);
    retry->backoff_s = lathe_check_number(c, node, "backoff_s", 0, MAX_WAIT_S, 10);
    retry->factor = lathe_check_number(c, node, "factor", 1, 100, 2);
}

static void check_cron(const lathe_check *c, const cJSON *node, const char *text) {
    lathe_cron cron;
    lathe_error err = {0};
    if (lathe_cron_parse(text, &cron, &err) != LATHE_OK)
        lathe_diag_add(c->diags, c->doc, node, "%s", err.message);
}

static void read_schedule(const lathe_check *c, const cJSON *node, lathe_run_schedule *schedule) {
    static const char *const keys[] = {"cron", "timezone", "overlap", "missed", NULL};
    static const char *const misses[] = {"once", "skip", NULL};
    *schedule = (lathe_run_schedule){.timezone = "UTC", .catch_up = true};
    if (cJSON_IsString(node)) {
        schedule->cron = lathe_arena_strdup(c->arena, node->valuestring);
        check_cron(c, node, node->valuestring);
        return;
    }
    if (!lathe_check_object(c, node, "\"schedule\"", keys))
        return;
    lathe_check_required(c, node, "\"schedule\"", "cron");
    schedule->cron = lathe_check_string(c, node, "cron", NULL);
    if (schedule->cron != NULL)
        check_cron(c, lathe_json_get(node, "cron"), schedule->cron);
    schedule->timezone = lathe_check_string(c, node, "timezone", "UTC");
    lathe_timezone *zone;
    lathe_error err = {0};
    if (lathe_timezone_open(schedule->timezone, &zone, &err) != LATHE_OK)
        lathe_diag_add(c->diags, c->doc, lathe_json_get(node, "timezone"), "%s", err.message);
    lathe_timezone_free(zone);
    schedule->overlap = (lathe_overlap)lathe_check_choice(c, node, "overlap", overlaps, 0);
    schedule->catch_up = lathe_check_choice(c, node, "missed", misses, 0) == 0;
}

void lathe_timing_read(const lathe_check *c, const cJSON *object, lathe_retry *retry,
                       lathe_run_schedule *schedule) {
    const cJSON *node;
    *retry = (lathe_retry){.backoff_s = 10, .factor = 2};
    *schedule = (lathe_run_schedule){0};
    if ((node = lathe_json_get(object, "retry")) != NULL)
        read_retry(c, node, retry);
    if ((node = lathe_json_get(object, "schedule")) != NULL)
        read_schedule(c, node, schedule);
}

double lathe_retry_wait(const lathe_retry *retry, int64_t attempt) {
    double wait = retry->backoff_s;
    for (int64_t i = 2; i < attempt && wait < MAX_WAIT_S; i++)
        wait *= retry->factor;
    return wait < MAX_WAIT_S ? wait : MAX_WAIT_S;
}

const char *lathe_overlap_name(lathe_overlap overlap) {
    return overlaps[overlap];
}

int32_t lathe_schedule_next(const char *text, const char *timezone, int64_t after, int64_t *next,
                            lathe_error *err) {
    lathe_cron cron;
    lathe_timezone *zone = NULL;
    int32_t rc = lathe_cron_parse(text, &cron, err);
    if (rc == LATHE_OK)
        rc = lathe_timezone_open(timezone, &zone, err);
    if (rc == LATHE_OK)
        *next = lathe_cron_next(&cron, zone, after / 1000000) * 1000000;
    lathe_timezone_free(zone);
    return rc;
}
