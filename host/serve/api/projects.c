/* Projects with their quotas, and what was used. */
#include "serve/api/api.h"

#include "base/clock.h"
#include "serve/metering.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_QUOTA 9007199254740991.0 /* beyond it integers cannot be told apart */
#define USAGE_DAYS 30                /* that a question without days is about */

static cJSON *project_json(const lathe_project_record *p) {
    lathe_quota quota = p->quota;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", p->name);
    cJSON *list = cJSON_AddObjectToObject(out, "quota");
    for (int i = 0; lathe_quota_names[i] != NULL; i++)
        if (*lathe_quota_member(&quota, i) > 0)
            cJSON_AddNumberToObject(list, lathe_quota_names[i],
                                    (double)*lathe_quota_member(&quota, i));
    api_add_time(out, "created_us", p->created);
    return out;
}

static int32_t get_projects(api_call *c) {
    lathe_project_list list;
    const int32_t rc = lathe_store_projects(c->store, c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *projects = cJSON_AddArrayToObject(out, "projects");
    int64_t left = api_limit(c);
    const char *last = NULL;
    for (size_t i = 0; i < list.count; i++) {
        if (!api_after_cursor(c, list.items[i].name))
            continue;
        if (left-- == 0) {
            cJSON_AddStringToObject(out, "next", last);
            break;
        }
        last = list.items[i].name;
        cJSON_AddItemToArray(projects, project_json(&list.items[i]));
    }
    return api_answer(c, out);
}

/* The body's quotas over those there are. */
static void read_quota(const api_call *c, lathe_quota *quota) {
    for (int i = 0; lathe_quota_names[i] != NULL; i++) {
        int64_t *member = lathe_quota_member(quota, i);
        *member = api_int(c->body, lathe_quota_names[i], *member);
    }
}

static int32_t answer_project(api_call *c, const char *name) {
    lathe_project_record project;
    const int32_t rc = lathe_store_project(c->store, name, c->arena, &project, &c->err);
    c->after = API_REAUTH | API_REROUTE;
    return rc == LATHE_OK ? api_answer(c, project_json(&project)) : rc;
}

static int32_t create_project(api_call *c) {
    lathe_quota quota = {0};
    const char *name = api_text(c->body, "name", "");
    read_quota(c, &quota);
    const int32_t rc = lathe_store_project_set(c->store, name, &quota, true, &c->err);
    return rc == LATHE_OK ? answer_project(c, name) : rc;
}

static int32_t set_project(api_call *c) {
    lathe_project_record project;
    const char *name = api_part(c, "project");
    int32_t rc = lathe_store_project(c->store, name, c->arena, &project, &c->err);
    if (rc != LATHE_OK)
        return rc;
    read_quota(c, &project.quota);
    rc = lathe_store_project_set(c->store, name, &project.quota, false, &c->err);
    return rc == LATHE_OK ? answer_project(c, name) : rc;
}

/* ---- usage ---- */

static int32_t read_day(api_call *c, const char *key, int64_t def, int64_t *day) {
    const char *text = api_text(c->query, key, NULL);
    *day = def;
    if (text == NULL || lathe_day_parse(text, day))
        return LATHE_OK;
    return lathe_fail(&c->err, LATHE_E_INVALID, NULL,
                      "\"%s\" is \"%.40s\"; expected a day such as 2026-01-31", key, text);
}

static int32_t get_usage(api_call *c) {
    const int64_t today = lathe_wall_us() / LATHE_DAY_US;
    int64_t first, last;
    lathe_usage_list list;
    int32_t rc = read_day(c, "to", today, &last);
    if (rc == LATHE_OK)
        rc = read_day(c, "from", last - USAGE_DAYS + 1, &first);
    if (rc == LATHE_OK)
        rc = lathe_store_usage(c->store, first, last, api_text(c->query, "project", NULL),
                               api_text(c->query, "token", NULL), c->arena, &list, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject(), *usage = cJSON_AddArrayToObject(out, "usage");
    for (size_t i = 0; i < list.count; i++) {
        const lathe_usage *u = &list.items[i];
        char day[LATHE_DAY_TEXT];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "day", lathe_day_text(u->day, day));
        cJSON_AddStringToObject(item, "project", u->project);
        cJSON_AddStringToObject(item, "token", u->token);
        cJSON_AddNumberToObject(item, "requests", (double)u->requests);
        cJSON_AddNumberToObject(item, "rows", (double)u->rows);
        cJSON_AddNumberToObject(item, "training_seconds", (double)u->training_ms / 1000);
        cJSON_AddItemToArray(usage, item);
    }
    cJSON_AddNumberToObject(out, "delay_seconds", LATHE_METERING_SECONDS);
    return api_answer(c, out);
}

/* ---- routes ---- */

#define QUOTA_FIELDS                                                                               \
    {"requests_per_day", API_INT, false, 0, MAX_QUOTA, NULL, "for inference; 0: no quota", NULL},  \
        {"rows_per_day", API_INT, false, 0, MAX_QUOTA, NULL, "predicted; 0: no quota", NULL},      \
        {"training_seconds_per_day",           API_INT, false, 0, MAX_QUOTA, NULL,                 \
         "of runs, by the clock; 0: no quota", NULL},                                              \
    {                                                                                              \
        "concurrent_runs", API_INT, false, 0, MAX_QUOTA, NULL, "that wait or run; 0: no quota",    \
            NULL                                                                                   \
    }

static const api_field page[] = {API_PAGE, {0}};
static const api_field create_body[] = {
    {"name", API_NAME, true, 0, 0, NULL, "of the project", NULL}, QUOTA_FIELDS, {0}};
static const api_field set_body[] = {QUOTA_FIELDS, {0}};
static const api_field usage_query[] = {
    {"from", API_TEXT, false, 10, 10, NULL, "first day, of UTC; default 30 days to the last", NULL},
    {"to", API_TEXT, false, 10, 10, NULL, "last day, of UTC; default today", NULL},
    {"project", API_TEXT, false, 0, 0, NULL, "of this project alone", NULL},
    {"token", API_TEXT, false, 0, 0, NULL, "by this token alone", NULL},
    {0}};

const api_route api_project_routes[] = {
    {.method = "GET",
     .path = "/api/v1/projects",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Projects and their quotas",
     .run = get_projects,
     .query = page,
     .answer = "Projects"},
    {.method = "POST",
     .path = "/api/v1/projects",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_SERVICE,
     .summary = "Make a project",
     .run = create_project,
     .body = create_body,
     .answer = "Project",
     .status = 201},
    {.method = "PUT",
     .path = "/api/v1/projects/{project}",
     .role = LATHE_ROLE_ADMIN,
     .scope = API_SERVICE,
     .summary = "Set quotas of a project; those that are not named stay",
     .run = set_project,
     .body = set_body,
     .answer = "Project"},
    {.method = "GET",
     .path = "/api/v1/usage",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Requests, rows and training time by day, project and token; what was used in the "
                "last \"delay_seconds\" may be missing",
     .run = get_usage,
     .query = usage_query,
     .answer = "Usage"},
    {0}};
