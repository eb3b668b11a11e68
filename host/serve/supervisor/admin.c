/* What is done to the service while it runs, and in whose name: loading, unloading, tokens. */
#include "base/clock.h"
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <string.h>

/* The project of what is served under a name: of an endpoint first, else of a model. LATHE_E_NOT_FOUND: there is neither,
 * or it is not of the project (NULL: any) that asks. */
static int32_t find_served(lathe_supervisor *s, const char *name, const char *asks,
                           lathe_arena *arena, const char **project, lathe_error *err) {
    int32_t rc = lathe_store_owner(s->store, LATHE_STORE_ENDPOINT, name, arena, project, err);
    if (rc == LATHE_OK && *project == NULL)
        rc = lathe_store_owner(s->store, LATHE_STORE_MODEL, name, arena, project, err);
    if (rc == LATHE_OK &&
        (*project == NULL || (asks != NULL && asks[0] != 0 && strcmp(asks, *project) != 0)))
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "there is no endpoint or model \"%.100s\"",
                        name);
    return rc;
}

int32_t lathe_supervisor_act_as(lathe_supervisor *s, const char *actor, lathe_error *err) {
    return lathe_store_set_actor(s->store, actor != NULL && actor[0] != 0 ? actor : s->own_actor,
                                 err);
}

int32_t lathe_supervisor_reauth(lathe_supervisor *s, lathe_error *err) {
    int32_t rc = lathe_auth_load(s->auth, s->store, err);
    if (rc == LATHE_OK)
        rc = lathe_metering_reload(s->metering, err);
    if (rc == LATHE_OK)
        lathe_workers_send_auth(s);
    return rc;
}

void lathe_supervisor_save_used(lathe_supervisor *s) {
    lathe_error err = {0};
    s->used_saved_ns = lathe_now_ns();
    if (lathe_auth_save_used(s->auth, s->store, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "serve", "when tokens were used could not be noted: %s",
                  err.message);
}

int32_t lathe_supervisor_admin(lathe_supervisor *s, const char *verb, const char *name,
                               const lathe_auth_who *who, void (*done)(void *user, bool reached),
                               void *user, lathe_error *err) {
    const bool load = strcmp(verb, "load") == 0;
    if (!load && strcmp(verb, "unload") != 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "there is no verb \"%.40s\"", verb);
    const char *project = NULL;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = find_served(s, name, who->project, arena, &project, err);
    if (rc == LATHE_OK)
        rc = lathe_supervisor_act_as(s, who->actor, err);
    if (rc == LATHE_OK)
        rc = lathe_store_audit_add(s->store, load ? "serve.load" : "serve.unload", name, NULL, err);
    lathe_supervisor_act_as(s, NULL, NULL);
    if (rc == LATHE_OK) {
        cJSON_DeleteItemFromObjectCaseSensitive(s->unloaded, name);
        if (!load)
            cJSON_AddStringToObject(s->unloaded, name, project);
    }
    lathe_arena_free(arena);
    if (rc != LATHE_OK)
        return rc;
    lathe_log(LATHE_LEVEL_INFO, "serve", "%s \"%s\"", verb, name);
    return lathe_supervisor_reroute(s, done, user, err);
}
