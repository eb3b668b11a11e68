/* The service itself: health, metrics, alerts, the description of its API. */
#include "serve/api/api.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>

static int32_t get_health(api_call *c) {
    const lathe_supervisor *s = c->s;
    const int workers = lathe_workers_ready(s);
    const bool ready = workers == s->n_workers && !s->draining;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "ready", ready);
    cJSON_AddNumberToObject(out, "workers", s->n_workers);
    cJSON_AddNumberToObject(out, "workers_ready", workers);
    cJSON_AddNumberToObject(out, "generation", (double)s->generation);
    c->status = ready ? 200 : 503;
    return api_answer(c, out);
}

static int32_t get_metrics(api_call *c) {
    lathe_metrics_write(c->s, &c->out);
    return LATHE_OK;
}

static int32_t get_openapi(api_call *c) {
    return api_answer(c, api_openapi());
}

static cJSON *alert_json(const lathe_alert_record *a) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "id", (double)a->id);
    api_add_time(item, "time_us", a->time);
    cJSON_AddStringToObject(item, "severity", a->severity);
    cJSON_AddStringToObject(item, "kind", a->kind);
    cJSON_AddStringToObject(item, "message", a->message);
    cJSON_AddStringToObject(item, "endpoint", a->endpoint);
    cJSON_AddStringToObject(item, "model", a->model);
    if (a->version != 0)
        cJSON_AddNumberToObject(item, "version", (double)a->version);
    cJSON_AddStringToObject(item, "run", a->run);
    cJSON_AddStringToObject(item, "feature", a->feature);
    lathe_json_add_text(item, "detail", a->detail);
    api_add_time(item, "acknowledged_us", a->acknowledged);
    if (a->acknowledged != 0)
        cJSON_AddStringToObject(item, "acknowledged_by", a->acknowledged_by);
    return item;
}

static int32_t get_alerts(api_call *c) {
    lathe_alert_list list;
    const int64_t limit = api_limit(c);
    lathe_alert_filter filter = {.endpoint = api_text(c->query, "endpoint", NULL),
                                 .model = api_text(c->query, "model", NULL),
                                 .run = api_text(c->query, "run", NULL),
                                 .since = api_int(c->query, "since_us", 0),
                                 .open = api_bool(c->query, "open", false),
                                 .limit = limit + 1};
    filter.before = api_int_cursor(c, 0);
    int32_t rc = lathe_store_alerts(c->store, &filter, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *alerts = cJSON_AddArrayToObject(out, "alerts");
    for (size_t i = 0; i < list.count && (int64_t)i < limit; i++)
        cJSON_AddItemToArray(alerts, alert_json(&list.items[i]));
    if ((int64_t)list.count > limit) {
        char next[24];
        snprintf(next, sizeof next, "%" PRId64, list.items[limit - 1].id);
        cJSON_AddStringToObject(out, "next", next);
    }
    return api_answer(c, out);
}

static int32_t acknowledge_alert(api_call *c) {
    const char *text = api_part(c, "alert");
    char *end;
    const int64_t id = strtoll(text, &end, 10);
    if (*end != 0)
        return lathe_fail(&c->err, LATHE_E_NOT_FOUND, NULL, "there is no alert \"%.40s\"", text);
    return lathe_store_alert_acknowledge(c->store, id, &c->err);
}

static const api_field alert_query[] = {
    {"endpoint", API_NAME, false, 0, 0, NULL, "only of this endpoint", NULL},
    {"model", API_NAME, false, 0, 0, NULL, "only of this model", NULL},
    {"run", API_TEXT, false, 1, 40, NULL, "only of this run", NULL},
    {"since_us", API_INT, false, 0, 9e15, NULL, "not before, µs since 1970", NULL},
    {"open", API_BOOL, false, 0, 0, NULL, "only those that nobody has acknowledged", NULL},
    API_PAGE_NUMBERED,
    {0}};

const api_route api_service_routes[] = {
    {.method = "GET",
     .path = "/api/v1/health",
     .role = LATHE_ROLE_NONE,
     .scope = API_SHARED,
     .summary = "200 once every worker serves what it should, else 503",
     .run = get_health,
     .place = API_LOOP,
     .answer = "Health"},
    {.method = "GET",
     .path = "/metrics",
     .role = LATHE_ROLE_READ,
     .scope = API_SERVICE,
     .summary = "Metrics in Prometheus' text format",
     .run = get_metrics,
     .place = API_LOOP,
     .answer = "Text",
     .answer_type = "text/plain; version=0.0.4; charset=utf-8"},
    {.method = "GET",
     .path = "/api/v1/openapi.json",
     .role = LATHE_ROLE_INFER,
     .scope = API_SHARED,
     .summary = "This description",
     .run = get_openapi,
     .place = API_POOL,
     .answer = "Object"},
    {.method = "GET",
     .path = "/api/v1/alerts",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Alerts, newest first",
     .run = get_alerts,
     .query = alert_query,
     .answer = "Alerts"},
    {.method = "POST",
     .path = "/api/v1/alerts/{alert}/acknowledge",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary = "Mark an alert as seen",
     .run = acknowledge_alert},
    {0}};
