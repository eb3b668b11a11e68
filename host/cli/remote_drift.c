/* `lathe drift MODEL@V`: the last window of what a version serves, against its training. */
#include "base/json.h"
#include "cli/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(lathe_json_get(object, name));
    return text ? text : "";
}

static bool is_alerted(const cJSON *answer, const char *kind, const char *feature,
                       const char *metric) {
    const cJSON *one;
    cJSON_ArrayForEach(one, lathe_json_get(answer, "alerting")) {
        if (strcmp(text_of(one, "kind"), kind) == 0 &&
            strcmp(text_of(one, "feature"), feature) == 0 &&
            strcmp(text_of(one, "metric"), metric) == 0)
            return true;
    }
    return false;
}

static void add_rows(const cJSON *answer, const char *part, const char *kind, cJSON *table) {
    static const char *const copied[] = {"metric", "statistic", "threshold"};
    const cJSON *feature, *score;
    cJSON_ArrayForEach(feature, lathe_json_get(lathe_json_get(answer, "last"), part)) {
        cJSON_ArrayForEach(score, lathe_json_get(feature, "scores")) {
            cJSON *row = cJSON_CreateObject();
            const bool beyond = cJSON_IsTrue(lathe_json_get(score, "beyond"));
            cJSON_AddStringToObject(row, "of", part);
            cJSON_AddStringToObject(row, "name", text_of(feature, "name"));
            for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
                const cJSON *node = lathe_json_get(score, copied[i]);
                if (node != NULL)
                    cJSON_AddItemToObject(row, copied[i], cJSON_Duplicate(node, 1));
            }
            cJSON_AddStringToObject(
                row, "state",
                is_alerted(answer, kind, text_of(feature, "name"), text_of(score, "metric"))
                    ? "alert"
                : !beyond                                          ? ""
                : cJSON_IsTrue(lathe_json_get(score, "by_chance")) ? "chance"
                                                                   : "beyond");
            cJSON_AddItemToArray(table, row);
        }
    }
}

int remote_drift(remote_call *c) {
    cJSON *answer;
    char *path = remote_version_path(c->args[0], "/drift");
    const int code = remote_ask(c, "GET", path ? path : "", NULL, &answer);
    free(path);
    const cJSON *last = lathe_json_get(answer, "last"), *rows = lathe_json_get(last, "rows");
    if (code == EXIT_DONE && c->json) {
        cli_print_json(answer);
    } else if (code == EXIT_DONE && last == NULL) {
        puts(cJSON_IsTrue(lathe_json_get(answer, "watched"))
                 ? "no window of served rows has been scored yet"
                 : "not watched: its document has no \"monitor\": {\"drift\": …}, or it has served "
                   "nothing");
    } else if (code == EXIT_DONE) {
        cJSON *table = cJSON_CreateArray();
        add_rows(answer, "features", "drift", table);
        add_rows(answer, "outputs", "prediction_drift", table);
        printf("the last window of %.0f rows:\n", cJSON_IsNumber(rows) ? rows->valuedouble : 0);
        remote_table(table, "of name metric statistic threshold state");
        cJSON_Delete(table);
    }
    cJSON_Delete(answer);
    return code;
}
