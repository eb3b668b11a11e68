#include "serve/supervisor/worker_line.h"

#include "base/json.h"

#define MAX_WHOLE 9007199254740992.0 /* every integer up to here is a double */

static bool is_count(const cJSON *node) {
    return cJSON_IsNumber(node) && node->valuedouble >= 0 && node->valuedouble <= MAX_WHOLE;
}

static const char *text_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(lathe_json_get(object, key));
}

void lathe_worker_line_read(const char *text, size_t len, lathe_worker_line *line) {
    cJSON *message = cJSON_ParseWithLength(text, len);
    const cJSON *generation = lathe_json_get(message, "generation");
    const cJSON *forward = lathe_json_get(message, "forward");
    *line = (lathe_worker_line){
        .message = message,
        .ready = lathe_json_get(message, "ready") != NULL,
        .loaded = is_count(generation),
        .forwards = is_count(forward),
        .verb = text_of(message, "verb"),
        .name = text_of(lathe_json_get(message, "body"), "name"),
        .token = text_of(message, "token"),
        .event = text_of(message, "event"),
    };
    if (line->loaded) {
        line->generation = (uint64_t)generation->valuedouble;
        line->failed = lathe_json_get(message, "failed");
    }
    if (line->forwards)
        line->forward = forward->valuedouble;
}

void lathe_worker_line_free(lathe_worker_line *line) {
    cJSON_Delete(line->message);
    *line = (lathe_worker_line){0};
}
