/* Runs: list, show, compare, events, cancel; the queue and the schedules. */
#include "serve/api/api.h"

#include "base/fs.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 30)

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
    lathe_json_add_text(out, "result", r->result);
    return out;
}

static cJSON *entry_json(const lathe_queue_entry *e) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", e->run);
    cJSON_AddStringToObject(out, "project", e->what.project);
    cJSON_AddStringToObject(out, "pipeline", e->what.pipeline);
    cJSON_AddStringToObject(out, "status", e->state);
    cJSON_AddNumberToObject(out, "number", (double)e->number);
    cJSON_AddNumberToObject(out, "attempt", (double)e->attempt);
    cJSON_AddStringToObject(out, "actor", e->what.actor);
    if (e->schedule[0] != 0)
        cJSON_AddStringToObject(out, "schedule", e->schedule);
    api_add_time(out, "created_us", e->created);
    api_add_time(out, "not_before_us", e->not_before);
    return out;
}

/* The run of the path. 409: the beginning of an id fits several. */
static int32_t find_run(api_call *c, const char *id, lathe_run_record *run) {
    int32_t rc = lathe_store_run(c->store, id, c->arena, run, &c->err);
    if (rc == LATHE_E_INVALID)
        c->status = 409;
    return rc;
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
    const char *id = api_part(c, "run");
    lathe_run_record run;
    lathe_queue_entry entry;
    lathe_run_files files;
    int32_t rc = find_run(c, id, &run);
    if (rc == LATHE_E_NOT_FOUND &&
        lathe_store_queue_entry(c->store, id, c->arena, &entry, NULL) == LATHE_OK)
        return api_answer(c, entry_json(&entry));
    if (rc == LATHE_OK)
        rc = lathe_store_run_files(c->store, run.id, c->arena, &files, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = run_json(&run), *list = cJSON_AddArrayToObject(out, "files");
    cJSON_AddStringToObject(out, "version", run.version);
    lathe_json_add_text(out, "document", run.document);
    lathe_json_add_text(out, "machine", run.machine);
    lathe_json_add_text(out, "plugins", run.plugins);
    lathe_json_add_text(out, "data", run.data);
    for (size_t i = 0; i < files.count; i++) {
        cJSON *file = cJSON_CreateObject();
        cJSON_AddStringToObject(file, "name", files.items[i].name);
        cJSON_AddStringToObject(file, "sha256", files.items[i].sha256);
        cJSON_AddNumberToObject(file, "bytes", (double)files.items[i].bytes);
        cJSON_AddItemToArray(list, file);
    }
    return api_answer(c, out);
}

/* A file of a run, such as its report. */
static int32_t get_run_file(api_call *c) {
    const char *name = api_part(c, "file"), *path = NULL, *dot = strrchr(name, '.');
    lathe_run_record run;
    lathe_run_files files = {0};
    char *data = NULL;
    size_t len = 0;
    int32_t rc = find_run(c, api_part(c, "run"), &run);
    if (rc == LATHE_OK)
        rc = lathe_store_run_files(c->store, run.id, c->arena, &files, &c->err);
    size_t i = 0;
    while (i < files.count && strcmp(files.items[i].name, name) != 0)
        i++;
    if (rc == LATHE_OK && i == files.count)
        rc = lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL, "run %s has no file \"%.80s\"", run.id,
                        name);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_path(c->store, files.items[i].sha256, true, c->arena, &path,
                                       &c->err);
    if (rc == LATHE_OK)
        rc = lathe_read_file(path, MAX_FILE, &data, &len, &c->err);
    if (rc == LATHE_OK)
        lathe_buf_append(&c->out, data, len);
    free(data);
    /* a page of a run is made from its data: it gets no rights in the browser of who looks at it */
    snprintf(
        c->headers, sizeof c->headers,
        "x-content-type-options: nosniff\r\ncontent-security-policy: sandbox allow-scripts\r\n");
    c->type = dot != NULL && strcmp(dot, ".html") == 0 ? "text/html; charset=utf-8"
                                                       : "application/octet-stream";
    return rc;
}

static int32_t compare_runs(api_call *c) {
    lathe_run_comparison diff;
    int32_t rc = lathe_store_runs_compare(c->store, api_text(c->query, "a", ""),
                                          api_text(c->query, "b", ""), c->arena, &diff, &c->err);
    if (rc == LATHE_E_INVALID)
        c->status = 409; /* the beginning of an id fits several */
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "differences");
    cJSON_AddStringToObject(out, "a", diff.a.id);
    cJSON_AddStringToObject(out, "b", diff.b.id);
    for (size_t i = 0; i < diff.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "part", diff.items[i].part);
        cJSON_AddStringToObject(item, "pointer", diff.items[i].pointer);
        if (diff.items[i].a != NULL)
            cJSON_AddStringToObject(item, "a", diff.items[i].a);
        if (diff.items[i].b != NULL)
            cJSON_AddStringToObject(item, "b", diff.items[i].b);
        cJSON_AddItemToArray(list, item);
    }
    return api_answer(c, out);
}

/* ---- events ---- */

static int32_t get_run_events(api_call *c) {
    lathe_event_list list = {0};
    lathe_run_record run;
    lathe_queue_entry entry;
    int64_t after;
    const char *id = api_part(c, "run");
    const int64_t limit = api_limit(c);
    after = api_int_cursor(c, 0);
    int32_t rc = find_run(c, id, &run);
    if (rc == LATHE_OK)
        rc = lathe_store_events(c->store, run.id, after, limit + 1, c->arena, &list, &c->err);
    else if (rc == LATHE_E_NOT_FOUND &&
             lathe_store_queue_entry(c->store, id, c->arena, &entry, NULL) == LATHE_OK)
        rc = LATHE_OK; /* it waits: no events yet */
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(out, "events");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "seq", (double)list.items[i].seq);
        api_add_time(item, "time_us", list.items[i].time);
        lathe_json_add_text(item, "event", list.items[i].json);
        cJSON_AddItemToArray(events, item);
    }
    if ((int64_t)list.count > limit)
        api_add_next(out, list.items[limit - 1].seq);
    return api_answer(c, out);
}

/* The number after which a stream goes on: Last-Event-ID, else the cursor. False: neither is a number. */
static bool stream_after(api_call *c, int64_t def, int64_t *after) {
    const lathe_http_text last = lathe_http_header(c->exchange, "last-event-id");
    char text[24], *end;
    if (last.ptr == NULL) {
        *after = api_int_cursor(c, def);
        return true;
    }
    snprintf(text, sizeof text, "%.*s", (int)(last.len < 20 ? last.len : 20), last.ptr);
    *after = strtoll(text, &end, 10);
    if (last.len > 0 && last.len <= 18 && text[strspn(text, "0123456789")] == 0)
        return true;
    c->status = 400;
    lathe_fail(&c->err, LATHE_E_INVALID, NULL, "Last-Event-ID \"%s\" is no number of an event",
               text);
    return false;
}

/* [loop] */
static int32_t stream_run_events(api_call *c) {
    int64_t after;
    if (!stream_after(c, 0, &after))
        return LATHE_E_INVALID;
    c->taken = true;
    lathe_sse_open(c->s->sse, c->exchange, api_part(c, "run"), c->who.project, after);
    return LATHE_OK;
}

/* What the service did, oldest first: as the stream tells it. */
static int32_t get_events(api_call *c) {
    lathe_audit_list list;
    const int64_t limit = api_limit(c);
    const int32_t rc =
        lathe_store_audit(c->store, api_int_cursor(c, 0), limit + 1, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(out, "events");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++) {
        lathe_buf json = {0};
        cJSON *item = cJSON_CreateObject();
        lathe_sse_audit_event(&list.items[i], &json);
        cJSON_AddNumberToObject(item, "seq", (double)list.items[i].seq);
        api_add_time(item, "time_us", list.items[i].time);
        lathe_json_add_text(item, "event", lathe_buf_str(&json));
        lathe_buf_free(&json);
        cJSON_AddItemToArray(events, item);
    }
    if ((int64_t)list.count > limit)
        api_add_next(out, list.items[limit - 1].seq);
    return api_answer(c, out);
}

/* [loop] */
static int32_t stream_events(api_call *c) {
    int64_t after;
    if (!stream_after(c, -1, &after))
        return LATHE_E_INVALID;
    c->taken = true;
    lathe_sse_open(c->s->sse, c->exchange, NULL, "", after);
    return LATHE_OK;
}

/* ---- queue and schedules ---- */

/* [loop] after a cancellation */
static void tell_queue(api_call *c) {
    lathe_queue_cancel(c->s->queue, c->user);
    lathe_queue_wake(c->s->queue);
    lathe_sse_poke(c->s->sse, c->user);
}

static int32_t cancel_run(api_call *c) {
    const char *id = api_part(c, "run"), *reason = api_text(c->body, "reason", "cancelled");
    lathe_queue_entry entry;
    int32_t rc = lathe_store_queue_entry(c->store, id, c->arena, &entry, &c->err);
    if (rc != LATHE_OK)
        return rc;
    if (strcmp(entry.state, "waiting") == 0)
        rc = lathe_store_queue_cancel(c->store, id, reason, &c->err);
    if (rc == LATHE_E_STATE) /* it has begun meanwhile */
        rc = LATHE_OK;
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(c->store, "run.cancel", id, NULL, &c->err);
    c->user = lathe_arena_strdup(c->arena, id);
    c->then = tell_queue;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", id);
    return rc == LATHE_OK ? api_answer(c, out) : (cJSON_Delete(out), rc);
}

static int32_t get_queue(api_call *c) {
    lathe_queue_list list;
    int64_t after, left = api_limit(c);
    after = api_int_cursor(c, 0);
    int32_t rc = lathe_store_queue(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *queue = cJSON_AddArrayToObject(out, "queue");
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].number <= after || strcmp(list.items[i].state, "ended") == 0)
            continue; /* one that has ended is about to go */
        if (left-- == 0) {
            api_add_next(out, list.items[i].number - 1);
            break;
        }
        cJSON_AddItemToArray(queue, entry_json(&list.items[i]));
    }
    return api_answer(c, out);
}

static int32_t get_schedules(api_call *c) {
    lathe_schedule_list list;
    int64_t left = api_limit(c);
    const char *last = NULL;
    int32_t rc = lathe_store_schedules(c->store, 0, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *schedules = cJSON_AddArrayToObject(out, "schedules");
    for (size_t i = 0; i < list.count; i++) {
        const lathe_schedule_record *s = &list.items[i];
        if (!api_after_cursor(c, s->name))
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next", last);
            break;
        }
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", last = s->name);
        cJSON_AddStringToObject(item, "cron", s->cron);
        cJSON_AddStringToObject(item, "timezone", s->timezone);
        cJSON_AddStringToObject(item, "overlap", s->overlap);
        cJSON_AddStringToObject(item, "missed", s->catch_up ? "once" : "skip");
        cJSON_AddStringToObject(item, "actor", s->what.actor);
        api_add_time(item, "created_us", s->created);
        api_add_time(item, "next_us", s->next);
        api_add_time(item, "last_us", s->last);
        cJSON_AddStringToObject(item, "last_run", s->last_run);
        cJSON_AddItemToArray(schedules, item);
    }
    return api_answer(c, out);
}

static int32_t remove_schedule(api_call *c) {
    return lathe_store_schedule_remove(c->store, api_part(c, "schedule"), &c->err);
}

/* ---- the table ---- */

static const api_field list_query[] = {
    {"pipeline", API_NAME, false, 0, 0, NULL, "only of this pipeline", NULL},
    {"status", API_CHOICE, false, 0, 0,
     "running|succeeded|goal_not_met|failed|cancelled|interrupted", "only with this status", NULL},
    API_PAGE,
    {0}};

static const api_field compare_query[] = {{"a", API_TEXT, true, 1, 40, NULL, "a run", NULL},
                                          {"b", API_TEXT, true, 1, 40, NULL, "another run", NULL},
                                          {0}};

static const api_field page[] = {API_PAGE, {0}};
static const api_field numbered[] = {API_PAGE_NUMBERED, {0}};

static const api_field cancel_body[] = {
    {"reason", API_TEXT, false, 0, 1000, NULL, "for the run's record", NULL}, {0}};

const api_route api_run_routes[] = {
    {.method = "GET",
     .path = "/api/v1/runs",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Runs, newest first",
     .run = get_runs,
     .query = list_query,
     .answer = "Runs"},
    {.method = "POST",
     .path = "/api/v1/runs",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Submit a pipeline document: it is queued, or, with \"schedule\", run by the clock",
     .run = api_submit,
     .lane = API_SECONDS,
     .body_schema = "Submission",
     .answer = "Submitted",
     .status = 202},
    {.method = "GET",
     .path = "/api/v1/runs/compare",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "What differs between two runs",
     .run = compare_runs,
     .query = compare_query,
     .answer = "Comparison"},
    {.method = "GET",
     .path = "/api/v1/runs/{run}",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "One run, by its id, the beginning of its id, or \"latest\"",
     .run = get_run,
     .answer = "Run"},
    {.method = "GET",
     .path = "/api/v1/runs/{run}/files/{file}",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "A file of a run, such as report.html",
     .run = get_run_file,
     .answer = "Binary",
     .answer_type = "*/*"},
    {.method = "GET",
     .path = "/api/v1/runs/{run}/events",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary =
         "Events of a run, oldest first; with \"Accept: text/event-stream\" as a live stream "
         "(resumed by Last-Event-ID) that ends with \"event: end\"",
     .run = get_run_events,
     .stream = stream_run_events,
     .query = numbered,
     .answer = "Events"},
    {.method = "POST",
     .path = "/api/v1/runs/{run}/cancel",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Cancel a run that waits or runs",
     .run = cancel_run,
     .body = cancel_body,
     .answer = "RunRef"},
    {.method = "POST",
     .path = "/api/v1/validate",
     .role = LATHE_ROLE_READ,
     .scope = API_SHARED,
     .summary = "Check a pipeline document",
     .run = api_validate,
     .lane = API_SECONDS,
     .body_schema = "Submission",
     .answer = "Valid"},
    {.method = "GET",
     .path = "/api/v1/events",
     .role = LATHE_ROLE_READ,
     .scope = API_SERVICE,
     .summary = "Changes of the service, oldest first; with \"Accept: text/event-stream\" those "
                "from now on as a live stream (resumed by Last-Event-ID)",
     .run = get_events,
     .stream = stream_events,
     .query = numbered,
     .answer = "Events"},
    {.method = "GET",
     .path = "/api/v1/queue",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Submitted runs that wait or run",
     .run = get_queue,
     .query = numbered,
     .answer = "Queue"},
    {.method = "GET",
     .path = "/api/v1/schedules",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Schedules by name",
     .run = get_schedules,
     .query = page,
     .answer = "Schedules"},
    {.method = "DELETE",
     .path = "/api/v1/schedules/{schedule}",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Remove a schedule",
     .run = remove_schedule},
    {0}};
