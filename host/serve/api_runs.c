/* Runs: list, show, events, submit, cancel. */
#include "serve/api.h"

#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>

static cJSON *run_json(const lathe_run_record *r) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", r->id);
    cJSON_AddStringToObject(out, "project", r->project);
    cJSON_AddStringToObject(out, "pipeline", r->pipeline);
    cJSON_AddStringToObject(out, "status", r->status);
    cJSON_AddStringToObject(out, "reason", r->reason);
    cJSON_AddNumberToObject(out, "seed", (double)r->seed);
    api_add_time(out, "started_us", r->started);
    api_add_time(out, "finished_us", r->finished);
    api_add_json(out, "result", r->result);
    return out;
}

static int32_t get_runs(api_call *c) {
    lathe_run_list list;
    const int64_t limit = api_limit(c);
    const lathe_run_filter filter = {.limit = limit + 1,
                                     .pipeline = api_text(c->query, "pipeline", NULL),
                                     .status = api_text(c->query, "status", NULL),
                                     .before = api_text(c->query, "cursor", NULL)};
    int32_t rc = lathe_store_runs(c->store, &filter, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(out, "runs");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++)
        cJSON_AddItemToArray(runs, run_json(&list.items[i]));
    if ((int64_t)list.count > limit)
        cJSON_AddStringToObject(out, "next", list.items[limit - 1].id);
    return api_answer(c, out);
}

static int32_t get_run(api_call *c) {
    lathe_run_record run;
    int32_t rc = lathe_store_run(c->store, api_part(c, "run"), c->arena, &run, &c->err);
    return rc == LATHE_OK ? api_answer(c, run_json(&run)) : rc;
}

static int32_t get_run_events(api_call *c) {
    lathe_event_list list;
    int64_t after;
    const int64_t limit = api_limit(c);
    if (!api_int_cursor(c, 0, &after))
        return LATHE_E_INVALID;
    int32_t rc = lathe_store_events(c->store, api_part(c, "run"), after, limit + 1, c->arena, &list,
                                    &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(out, "events");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "seq", (double)list.items[i].seq);
        api_add_time(item, "time_us", list.items[i].time);
        api_add_json(item, "event", list.items[i].json);
        cJSON_AddItemToArray(events, item);
    }
    if ((int64_t)list.count > limit) {
        char next[24];
        snprintf(next, sizeof next, "%" PRId64, list.items[limit - 1].seq);
        cJSON_AddStringToObject(out, "next", next);
    }
    return api_answer(c, out);
}

/* What no row of the registry tells. It is done already: a log that cannot be written is told, not undone. */
static void audit(api_call *c, const char *action, const char *subject) {
    lathe_error err = {0};
    if (lathe_store_audit_add(c->s->store, action, subject, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "%s of %s is not in the audit log: %s", action,
                  subject, err.message);
}

static int32_t submit_run(api_call *c) {
    lathe_diags diags = {0};
    int64_t number = 0;
    int32_t rc = lathe_queue_submit(c->s, c->text, c->len, &number, &diags, &c->err);
    if (rc == LATHE_OK) {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddNumberToObject(out, "number", (double)number);
        audit(c, "run.submit", lathe_arena_printf(c->arena, "%" PRId64, number));
        rc = api_answer(c, out);
    } else if (lathe_diags_any(&diags)) {
        c->status = 400;
        api_answer(c, api_diags_json(&diags));
    } else if (rc == LATHE_E_STATE) {
        c->status = 429;
        snprintf(c->headers, sizeof c->headers, "retry-after: 10\r\n");
    }
    lathe_diags_free(&diags);
    return rc;
}

static int32_t cancel_run(api_call *c) {
    const char *run = api_part(c, "run");
    if (!lathe_queue_cancel(c->s, run))
        return lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL, "no run \"%.60s\" waits or runs", run);
    audit(c, "run.cancel", run);
    return LATHE_OK;
}

static int32_t get_queue(api_call *c) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddItemToObject(out, "queue", lathe_queue_list(c->s));
    return api_answer(c, out);
}

static const api_field list_query[] = {
    {"pipeline", API_NAME, false, 0, 0, NULL, "only of this pipeline", NULL},
    {"status", API_CHOICE, false, 0, 0,
     "running|succeeded|goal_not_met|failed|cancelled|interrupted", "only with this status", NULL},
    API_PAGE,
    {0}};

static const api_field page[] = {API_PAGE, {0}};

const api_route api_run_routes[] = {
    {.method = "GET",
     .path = "/api/v1/runs",
     .role = LATHE_ROLE_READ,
     .summary = "Runs, newest first",
     .run = get_runs,
     .query = list_query,
     .answer = "Runs"},
    {.method = "POST",
     .path = "/api/v1/runs",
     .role = LATHE_ROLE_OPERATE,
     .summary = "Submit a pipeline document",
     .run = submit_run,
     .place = API_LOOP,
     .body_schema = "Pipeline",
     .answer = "Submitted",
     .status = 202},
    {.method = "GET",
     .path = "/api/v1/runs/{run}",
     .role = LATHE_ROLE_READ,
     .summary = "One run, by its id, the beginning of its id, or \"latest\"",
     .run = get_run,
     .answer = "Run"},
    {.method = "GET",
     .path = "/api/v1/runs/{run}/events",
     .role = LATHE_ROLE_READ,
     .summary = "Events of a run, oldest first",
     .run = get_run_events,
     .query = page,
     .answer = "Events"},
    {.method = "POST",
     .path = "/api/v1/runs/{run}/cancel",
     .role = LATHE_ROLE_OPERATE,
     .summary = "Cancel a run that waits or runs",
     .run = cancel_run,
     .place = API_LOOP},
    {.method = "GET",
     .path = "/api/v1/queue",
     .role = LATHE_ROLE_READ,
     .summary = "Submitted runs that wait or run",
     .run = get_queue,
     .place = API_LOOP,
     .answer = "Queue"},
    {0}};
