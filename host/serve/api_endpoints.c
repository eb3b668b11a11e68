/* /api/v1/endpoints: what is served under which name. */
#include "serve/api_internal.h"

void api_get_endpoints(api_call *c) {
    lathe_endpoint_list list;
    if (lathe_store_endpoints(c->s->store, c->arena, &list, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        const lathe_endpoint_record *e = &list.items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", e->name);
        cJSON_AddStringToObject(item, "model", e->model);
        cJSON_AddStringToObject(item, "alias", e->alias);
        cJSON_AddNumberToObject(item, "version", (double)e->version);
        cJSON_AddStringToObject(item, "sha256", e->sha256);
        cJSON_AddItemToArray(out, item);
    }
    api_reply_json(c, 200, out);
}

void api_rollback_endpoint(api_call *c) {
    int64_t version = 0;
    if (lathe_store_endpoint_rollback(c->s->store, c->part[1], "control plane", &version,
                                      &c->err) == LATHE_OK)
        api_reply_when_served(c, version);
    else
        api_reply_error(c);
}
