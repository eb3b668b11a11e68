/* /api/v1/models: versions, aliases, promotion. */
#include "base/json.h"
#include "serve/api_internal.h"

#include <inttypes.h>

static cJSON *version_json(const lathe_version_record *v) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", v->model);
    cJSON_AddNumberToObject(out, "version", (double)v->version);
    cJSON_AddStringToObject(out, "sha256", v->sha256);
    cJSON_AddNumberToObject(out, "bytes", (double)v->bytes);
    cJSON_AddStringToObject(out, "run", v->run);
    cJSON_AddNumberToObject(out, "created_us", (double)v->created);
    cJSON_AddStringToObject(out, "aliases", v->aliases);
    api_add_json(out, "metrics", v->metrics);
    api_add_json(out, "goal", v->goal);
    return out;
}

void api_get_models(api_call *c) {
    lathe_model_list list;
    if (lathe_store_models(c->s->store, c->arena, &list, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", list.items[i].name);
        cJSON_AddNumberToObject(item, "versions", (double)list.items[i].versions);
        cJSON_AddItemToArray(out, item);
    }
    api_reply_json(c, 200, out);
}

void api_get_model(api_call *c) {
    lathe_version_list list;
    if (lathe_store_versions(c->s->store, c->part[1], c->arena, &list, &c->err) != LATHE_OK) {
        api_reply_error(c);
        return;
    }
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(out, version_json(&list.items[i]));
    api_reply_json(c, 200, out);
}

static bool goal_refuses(const char *goal) {
    cJSON *tree = goal ? cJSON_Parse(goal) : NULL;
    const bool refuses = cJSON_IsFalse(lathe_json_get(tree, "met"));
    cJSON_Delete(tree);
    return refuses;
}

/* POST /models/M/promote {"version": 3, "alias": "live", "reason": "…"}: the goal's gates hold here too. */
void api_promote_model(api_call *c) {
    cJSON *body = api_read_body(c);
    const cJSON *number = lathe_json_get(body, "version");
    lathe_version_record v;
    if (body == NULL)
        return;
    const char *ref = cJSON_IsNumber(number)
                          ? lathe_arena_printf(c->arena, "%s@%.0f", c->part[1], number->valuedouble)
                          : c->part[1];
    int32_t rc = lathe_store_version(c->s->store, ref, c->arena, &v, &c->err);
    if (rc == LATHE_OK && goal_refuses(v.goal))
        rc = lathe_fail(&c->err, LATHE_E_STATE, NULL, "%s@%" PRId64 " did not meet its goal",
                        v.model, v.version);
    if (rc == LATHE_OK)
        rc = lathe_store_alias_set(c->s->store, v.model, api_text_or(body, "alias", "live"),
                                   v.version, api_text_or(body, "reason", ""), &c->err);
    cJSON_Delete(body);
    if (rc == LATHE_OK)
        api_reply_when_served(c, v.version);
    else
        api_reply_error(c);
}

void api_rollback_model(api_call *c) {
    cJSON *body = api_read_body(c);
    int64_t version = 0;
    if (body == NULL)
        return;
    int32_t rc =
        lathe_store_alias_rollback(c->s->store, c->part[1], api_text_or(body, "alias", "live"),
                                   api_text_or(body, "reason", ""), &version, &c->err);
    cJSON_Delete(body);
    if (rc == LATHE_OK)
        api_reply_when_served(c, version);
    else
        api_reply_error(c);
}
