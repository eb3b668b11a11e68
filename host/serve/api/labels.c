/* The truth of what was answered, told later. */
#include "serve/api/api.h"

#include "base/json.h"
#include "serve/watch/watch.h"

#include <string.h>

#define MAX_LABELS 10000
#define MAX_ROW 1000000

static int32_t check_label(api_call *c, const cJSON *item, int at) {
    const cJSON *id = lathe_json_get(item, "id"), *row = lathe_json_get(item, "row");
    const cJSON *label = lathe_json_get(item, "label"), *member;
    const char *wrong = NULL;
    if (!cJSON_IsObject(item))
        wrong = "is no object";
    else if (!cJSON_IsString(id) || id->valuestring[0] == '\0' || strlen(id->valuestring) > 1000)
        wrong = "needs \"id\", a text of 1 to 1000 bytes: that of the request";
    else if (row != NULL &&
             !(cJSON_IsNumber(row) && row->valuedouble >= 0 && row->valuedouble <= MAX_ROW &&
               row->valuedouble == (int)row->valuedouble))
        wrong = "has a \"row\" that is no number from 0 to 1000000";
    else if (!cJSON_IsString(label) && !cJSON_IsNumber(label) && !cJSON_IsBool(label))
        wrong = "needs \"label\", the class or the value";
    cJSON_ArrayForEach(member, item) {
        if (wrong == NULL && strcmp(member->string, "id") != 0 &&
            strcmp(member->string, "row") != 0 && strcmp(member->string, "label") != 0)
            wrong = "has a member beside \"id\", \"row\" and \"label\"";
    }
    if (wrong == NULL)
        return LATHE_OK;
    c->status = 400;
    return lathe_fail(&c->err, LATHE_E_INVALID, NULL, "\"labels\"/%d %s", at, wrong);
}

/* Labels that were joined to their answers, on their way to the store. */
typedef struct joined {
    int64_t counts[LATHE_LABEL_COUNT];
    lathe_label_list list;
} joined;

/* [loop] They are in the store. */
static void acknowledge(api_call *c) {
    static const char *const names[] = {"matched", "repeated", "unmatched", "invalid"};
    const joined *j = c->user;
    cJSON *out = cJSON_CreateObject();
    lathe_watches_saved(c->s->watches, &j->list);
    for (int i = 0; i < 4; i++)
        cJSON_AddNumberToObject(out, names[i], (double)j->counts[i]);
    c->rc = api_answer(c, out);
}

/* [pool] */
static int32_t save(api_call *c) {
    const joined *j = c->user;
    c->then = acknowledge;
    return j->list.count > 0 ? lathe_store_labels_add(c->store, &j->list, &c->err) : LATHE_OK;
}

/* [loop] */
static void join(api_call *c) {
    const cJSON *item, *list = lathe_json_get(c->body, "labels");
    joined *j = lathe_arena_alloc(c->arena, sizeof *j);
    if (j == NULL) {
        c->rc = lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory for the labels");
        return;
    }
    *j = (joined){0};
    c->user = j;
    cJSON_ArrayForEach(item, list) {
        const cJSON *row = lathe_json_get(item, "row");
        j->counts[lathe_watches_label(
            c->s->watches, api_part(c, "endpoint"), lathe_json_get(item, "id")->valuestring,
            row != NULL ? (int64_t)row->valuedouble : 0, lathe_json_get(item, "label"))]++;
    }
    if (j->counts[LATHE_LABEL_LATER] > 0) {
        snprintf(c->headers, sizeof c->headers, "retry-after: 1\r\n");
        c->status = 503;
        c->rc = lathe_fail(&c->err, LATHE_E_TIMEOUT, NULL,
                           "the profile of a model has not been read yet; send the labels again");
        return;
    }
    c->rc = lathe_watches_unsaved(c->s->watches, c->arena, &j->list, &c->err);
    c->again = save;
}

static int32_t post_labels(api_call *c) {
    const cJSON *item, *list = lathe_json_get(c->body, "labels");
    lathe_endpoint_record e;
    int at = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) < 1 ||
        cJSON_GetArraySize(list) > MAX_LABELS) {
        c->status = 400;
        return lathe_fail(&c->err, LATHE_E_INVALID, NULL, "\"labels\" is a list of 1 to %d objects",
                          MAX_LABELS);
    }
    cJSON_ArrayForEach(item, list) {
        const int32_t rc = check_label(c, item, at++);
        if (rc != LATHE_OK)
            return rc;
    }
    const int32_t rc =
        lathe_store_endpoint(c->store, api_part(c, "endpoint"), c->arena, &e, &c->err);
    c->then = rc == LATHE_OK ? join : NULL;
    return rc;
}

static const api_field labels_body[] = {
    {"labels", API_ANY, true, 0, 0, NULL, "each with the id of its request", "Labels"}, {0}};

const api_route api_label_routes[] = {
    {.method = "POST",
     .path = "/api/v1/endpoints/{endpoint}/labels",
     .role = LATHE_ROLE_OPERATE,
     .scope = API_PROJECT,
     .summary =
         "Tell the truth of answers, by the id that their requests carried; what is known of "
         "their versions' quality follows",
     .run = post_labels,
     .body = labels_body,
     .answer = "Labelled"},
    {0}};
