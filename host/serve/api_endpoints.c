/* Endpoints: list, roll back. */
#include "serve/api.h"

static int32_t get_endpoints(api_call *c) {
    lathe_endpoint_list list;
    int32_t rc = lathe_store_endpoints(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *endpoints = cJSON_AddArrayToObject(out, "endpoints");
    int64_t left = api_limit(c);
    const char *last = NULL;
    for (size_t i = 0; i < list.count; i++) {
        const lathe_endpoint_record *e = &list.items[i];
        if (!api_after_cursor(c, e->name))
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next", last);
            break;
        }
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", last = e->name);
        cJSON_AddStringToObject(item, "model", e->model);
        cJSON_AddStringToObject(item, "alias", e->alias);
        cJSON_AddNumberToObject(item, "version", (double)e->version);
        cJSON_AddStringToObject(item, "sha256", e->sha256);
        api_add_time(item, "updated_us", e->updated);
        cJSON_AddItemToArray(endpoints, item);
    }
    return api_answer(c, out);
}

static int32_t rollback_endpoint(api_call *c) {
    int64_t version = 0;
    int32_t rc = lathe_store_endpoint_rollback(c->store, api_part(c, "endpoint"),
                                               api_text(c->body, "reason", "control plane"),
                                               &version, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "version", (double)version);
    c->after = API_REROUTE;
    return api_answer(c, out);
}

static const api_field page[] = {API_PAGE, {0}};

static const api_field rollback_body[] = {
    {"reason", API_TEXT, false, 0, 1000, NULL, "for the history", NULL}, {0}};

const api_route api_endpoint_routes[] = {{.method = "GET",
                                          .path = "/api/v1/endpoints",
                                          .role = LATHE_ROLE_READ,
                                          .summary = "Endpoints by name",
                                          .run = get_endpoints,
                                          .query = page,
                                          .answer = "Endpoints"},
                                         {.method = "POST",
                                          .path = "/api/v1/endpoints/{endpoint}/rollback",
                                          .role = LATHE_ROLE_OPERATE,
                                          .summary = "Serve again what the endpoint served before",
                                          .run = rollback_endpoint,
                                          .body = rollback_body,
                                          .answer = "Moved"},
                                         {0}};
