/* A version that ends its worker again and again is taken out of service: its routes are unloaded, as an administrator would do
 * it, until one loads them again. So one poisoned row a second does not keep a worker dying for everybody. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <stdio.h>
#include <string.h>

#define CRASHES 5
#define WITHIN_NS ((int64_t)60000000000)

static lathe_crash_count *count_of(lathe_supervisor *s, const char *step, int64_t now) {
    lathe_crash_count *oldest = &s->crashes[0];
    for (size_t i = 0; i < sizeof s->crashes / sizeof *s->crashes; i++) {
        lathe_crash_count *c = &s->crashes[i];
        if (strcmp(c->step, step) == 0)
            return c;
        if (c->first_ns < oldest->first_ns)
            oldest = c;
    }
    *oldest = (lathe_crash_count){.first_ns = now};
    snprintf(oldest->step, sizeof oldest->step, "%s", step);
    return oldest;
}

static bool serves(const cJSON *route, const char *step) {
    char text[LATHE_SLOTS_NAME];
    const cJSON *model = lathe_json_get(route, "model"),
                *version = lathe_json_get(route, "version");
    if (!cJSON_IsString(model) || !cJSON_IsNumber(version))
        return false;
    snprintf(text, sizeof text, "%s@%.0f", model->valuestring, version->valuedouble);
    return strcmp(text, step) == 0;
}

void lathe_quarantine_crashed(lathe_supervisor *s, const char *step) {
    const int64_t now = lathe_now_ns();
    lathe_error err = {0};
    if (step[0] == 0)
        return;
    lathe_crash_count *c = count_of(s, step, now);
    if (now - c->first_ns > WITHIN_NS)
        *c = (lathe_crash_count){.first_ns = now};
    snprintf(c->step, sizeof c->step, "%s", step);
    if (++c->count < CRASHES)
        return;
    c->count = 0;
    const cJSON *route;
    bool any = false;
    cJSON_ArrayForEach(route, lathe_json_get(s->table, "routes")) {
        const cJSON *name = lathe_json_get(route, "name");
        if (!cJSON_IsString(name) || !serves(route, step) ||
            lathe_json_get(s->unloaded, name->valuestring) != NULL)
            continue;
        cJSON_AddItemToObject(s->unloaded, name->valuestring,
                              cJSON_Duplicate(lathe_json_get(route, "project"), 1));
        any = true;
        lathe_log(
            LATHE_LEVEL_ERROR, "serve",
            "\"%s\" is taken out of service: %s ended its worker %d times within a minute; load "
            "it again once it is mended (POST /v2/repository/models/%s/load)",
            name->valuestring, step, CRASHES, name->valuestring);
        if (lathe_store_audit_add(s->store, "serve.quarantine", name->valuestring, NULL, &err) !=
            LATHE_OK)
            lathe_log(LATHE_LEVEL_WARN, "serve", "the audit log lacks it: %s", err.message);
    }
    if (any && lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
}
