/* Endpoints and rollouts of the store as JSON. */
#include "base/json.h"
#include "serve/endpoint_verbs.h"

cJSON *lathe_rollout_record_json(const lathe_rollout_record *r) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddNumberToObject(out, "id", (double)r->id);
    cJSON_AddStringToObject(out, "kind", r->kind);
    cJSON_AddStringToObject(out, "model", r->model);
    cJSON_AddNumberToObject(out, "version", (double)r->version);
    cJSON_AddStringToObject(out, "base_model", r->base_model);
    cJSON_AddNumberToObject(out, "base_version", (double)r->base_version);
    cJSON_AddStringToObject(out, "state", r->state);
    cJSON_AddNumberToObject(out, "step", (double)r->step);
    cJSON_AddNumberToObject(out, "started_us", (double)r->started);
    if (r->finished > 0)
        cJSON_AddNumberToObject(out, "finished_us", (double)r->finished);
    cJSON_AddStringToObject(out, "actor", r->actor);
    cJSON_AddStringToObject(out, "reason", r->reason);
    lathe_json_add_text(out, "settings", r->settings);
    lathe_json_add_text(out, "verdict", r->verdict);
    return out;
}

cJSON *lathe_endpoint_json(lathe_store *store, const lathe_endpoint_record *e, lathe_arena *arena,
                           lathe_error *err) {
    lathe_rollout_list list;
    if (lathe_store_rollouts(store, e->name, true, 0, arena, &list, err) != LATHE_OK)
        return NULL;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", e->name);
    cJSON_AddStringToObject(out, "model", e->model);
    cJSON_AddStringToObject(out, "alias", e->alias);
    cJSON_AddNumberToObject(out, "version", (double)e->version);
    cJSON_AddStringToObject(out, "sha256", e->sha256);
    cJSON_AddNumberToObject(out, "updated_us", (double)e->updated);
    lathe_json_add_text(out, "settings", e->settings);
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToObject(out, list.items[i].kind, lathe_rollout_record_json(&list.items[i]));
    return out;
}
