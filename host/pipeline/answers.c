/* Questions of the worker, answered from the store. A worker runs foreign code, so nothing in a question is
 * trusted: a path must lie in the run's staging folder, a digest is recomputed when a file is committed. */
#include "pipeline/parent_internal.h"

#include "base/fs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : NULL;
}

/* A member as compact JSON text, for this question; NULL where absent. Once *rc is a failure, nothing happens. */
static const char *json_of(lathe_parent *p, const cJSON *object, const char *key, int32_t *rc,
                           lathe_error *err) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL || *rc != LATHE_OK)
        return NULL;
    lathe_buf text = {0};
    lathe_json_print(NULL, node, &text);
    const char *copy =
        text.failed ? NULL : lathe_arena_strndup(p->asking, lathe_buf_str(&text), text.len);
    lathe_buf_free(&text);
    if (copy == NULL)
        *rc = lathe_fail(err, LATHE_E_MEMORY, "worker", "out of memory for \"%s\"", key);
    return copy;
}

static int32_t need_text(const cJSON *question, const char *key, const char **text,
                         lathe_error *err) {
    *text = text_of(question, key);
    return *text ? LATHE_OK
                 : lathe_fail(err, LATHE_E_INVALID, "worker", "a question lacks the text \"%s\"",
                              key);
}

static int32_t answer_step_get(lathe_parent *p, const cJSON *question, cJSON *reply,
                               lathe_error *err) {
    const char *key;
    int32_t rc = need_text(question, "key", &key, err);
    bool found = false;
    lathe_step_record step = {0};
    if (rc == LATHE_OK)
        rc = lathe_store_step_get(p->store, key, p->asking, &found, &step, err);
    if (rc != LATHE_OK)
        return rc;
    cJSON_AddBoolToObject(reply, "found", found);
    if (found) {
        cJSON_AddStringToObject(reply, "path", step.path ? step.path : "");
        cJSON_AddItemToObject(reply, "metadata", cJSON_Parse(step.metadata));
    }
    return LATHE_OK;
}

/* Commits the staged file that a question names by "path", expecting "sha256" where given. */
static int32_t commit_staged(lathe_parent *p, const cJSON *question, const char *kind,
                             char sha256[LATHE_SHA256_HEX], int64_t *bytes, lathe_error *err) {
    const char *path;
    int32_t rc = need_text(question, "path", &path, err);
    if (rc != LATHE_OK)
        return rc;
    if (!lathe_path_inside(p->staging, path))
        return lathe_fail(err, LATHE_E_INVALID, "worker",
                          "a staged file lies outside the run's staging folder; refused");
    return lathe_store_artifact_commit(p->store, path, text_of(question, "sha256"), kind, sha256,
                                       bytes, err);
}

static int32_t answer_step_put(lathe_parent *p, const cJSON *question, cJSON *reply,
                               lathe_error *err) {
    const char *key;
    char sha256[LATHE_SHA256_HEX] = "";
    int32_t rc = need_text(question, "key", &key, err);
    if (rc == LATHE_OK && text_of(question, "path") != NULL)
        rc = commit_staged(p, question, "step", sha256, NULL, err);
    const char *metadata = json_of(p, question, "metadata", &rc, err);
    if (rc == LATHE_OK)
        rc = lathe_store_step_put(p->store, key, sha256[0] ? sha256 : NULL, metadata, p->id, err);
    const char *committed = NULL;
    if (rc == LATHE_OK && sha256[0])
        rc = lathe_store_artifact_path(p->store, sha256, false, p->asking, &committed, err);
    if (rc == LATHE_OK && committed != NULL)
        cJSON_AddStringToObject(reply, "path", committed);
    return rc;
}

/* A file of the run: its model, its report. */
static int32_t answer_commit(lathe_parent *p, const cJSON *question, cJSON *reply,
                             lathe_error *err) {
    const char *name, *path = NULL;
    char sha256[LATHE_SHA256_HEX];
    int64_t bytes = 0;
    int32_t rc = need_text(question, "name", &name, err);
    if (rc == LATHE_OK)
        rc = commit_staged(p, question, name, sha256, &bytes, err);
    if (rc == LATHE_OK)
        rc = lathe_store_run_file_add(p->store, p->id, name, sha256, err);
    if (rc == LATHE_OK)
        rc = lathe_store_artifact_path(p->store, sha256, false, p->asking, &path, err);
    if (rc != LATHE_OK)
        return rc;
    cJSON_AddStringToObject(reply, "path", path);
    cJSON_AddStringToObject(reply, "sha256", sha256);
    cJSON_AddNumberToObject(reply, "bytes", (double)bytes);
    return LATHE_OK;
}

/* Would endpoints lose rules for columns that the new version does not take? Then it is registered and nothing moves; "kept" of
 * the reply says why. */
static int32_t check_fits(lathe_parent *p, lathe_version_new *info, cJSON *reply,
                          lathe_error *err) {
    const lathe_fits_question question = {.model = info->model,
                                          .sha256 = info->sha256,
                                          .label = "the new version",
                                          .alias = info->alias,
                                          .endpoint = info->endpoint};
    lathe_error why = {0};
    if (info->alias == NULL)
        return LATHE_OK;
    const int32_t rc = lathe_fits_check(p->store, &question, NULL, &why);
    if (rc != LATHE_OK && rc != LATHE_E_STATE) {
        *err = why;
        return rc;
    }
    if (rc == LATHE_E_STATE) {
        info->alias = info->endpoint = info->reason = NULL;
        cJSON_AddStringToObject(reply, "kept", why.message);
    }
    return LATHE_OK;
}

/* Registers a version and, with "move", moves the alias "live" and the endpoint to it. */
static int32_t answer_register(lathe_parent *p, const cJSON *question, cJSON *reply,
                               lathe_error *err) {
    bool move = cJSON_IsTrue(lathe_json_get(question, "move"));
    int32_t rc = LATHE_OK;
    lathe_version_new info = {
        .model = text_of(question, "model"),
        .project = p->project,
        .sha256 = text_of(question, "sha256"),
        .run = p->id,
        .document = json_of(p, question, "document", &rc, err),
        .metrics = json_of(p, question, "metrics", &rc, err),
        .goal = json_of(p, question, "goal", &rc, err),
        .alias = move ? "live" : NULL,
        .endpoint = move ? text_of(question, "endpoint") : NULL,
        .reason = move ? "goal met" : NULL,
        .reuse = true,
    };
    if (info.model == NULL || info.sha256 == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "worker", "a registration lacks model or sha256");
    int64_t version = 0;
    if (rc == LATHE_OK)
        rc = check_fits(p, &info, reply, err);
    if (rc == LATHE_OK)
        rc = lathe_store_version_register(p->store, &info, &version, err);
    if (rc == LATHE_OK)
        cJSON_AddNumberToObject(reply, "version", (double)version);
    return rc;
}

static int32_t answer_alerts(lathe_parent *p, const cJSON *question, cJSON *reply,
                             lathe_error *err) {
    (void)reply;
    const cJSON *list = lathe_json_get(question, "alerts");
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n == 0)
        return LATHE_OK;
    lathe_alert_new *alerts = lathe_arena_array(p->asking, (size_t)n, sizeof *alerts);
    if (alerts == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for %d alerts", n);
    size_t i = 0;
    int32_t rc = LATHE_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        const cJSON *version = lathe_json_get(item, "version");
        double number = cJSON_IsNumber(version) ? version->valuedouble : 0;
        alerts[i++] = (lathe_alert_new){
            .severity = text_of(item, "severity"),
            .kind = text_of(item, "kind"),
            .message = text_of(item, "message"),
            .endpoint = text_of(item, "endpoint"),
            .model = text_of(item, "model"),
            .version = number > 0 && number < 1e15 ? (int64_t)number : 0,
            .run = p->id,
            .feature = text_of(item, "feature"),
            .detail = json_of(p, item, "detail", &rc, err),
        };
    }
    return rc == LATHE_OK ? lathe_store_alerts_add(p->store, alerts, i, err) : rc;
}

/* Facts about the run that only the worker knows: plugins with digests, data with digests. */
static int32_t answer_facts(lathe_parent *p, const cJSON *question, cJSON *reply,
                            lathe_error *err) {
    (void)reply;
    int32_t rc = LATHE_OK;
    const char *machine = json_of(p, question, "machine", &rc, err);
    const char *plugins = json_of(p, question, "plugins", &rc, err);
    const char *data = json_of(p, question, "data", &rc, err);
    return rc == LATHE_OK ? lathe_store_run_facts(p->store, p->id, machine, plugins, data, err)
                          : rc;
}

typedef struct question_kind {
    const char *event;
    int32_t (*answer)(lathe_parent *p, const cJSON *question, cJSON *reply, lathe_error *err);
} question_kind;

static const question_kind kinds[] = {
    {"step_get", answer_step_get}, {"step_put", answer_step_put}, {"commit", answer_commit},
    {"register", answer_register}, {"alerts", answer_alerts},     {"facts", answer_facts},
};

cJSON *lathe_parent_answer(lathe_parent *p, const cJSON *question) {
    const cJSON *ask = lathe_json_get(question, "ask");
    const char *event = text_of(question, "event");
    cJSON *reply = cJSON_CreateObject();
    if (reply == NULL)
        return NULL;
    cJSON_AddNumberToObject(reply, "reply", cJSON_IsNumber(ask) ? ask->valuedouble : 0);
    lathe_error err = {0};
    int32_t rc = LATHE_E_INVALID;
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds &&
           (event == NULL || strcmp(kinds[i].event, event) != 0))
        i++;
    p->asking =
        lathe_arena_new(); /* a worker may ask for ever: what one question takes goes with it */
    if (p->asking == NULL)
        rc = lathe_fail(&err, LATHE_E_MEMORY, "worker", "out of memory for an answer");
    else if (i < sizeof kinds / sizeof *kinds)
        rc = kinds[i].answer(p, question, reply, &err);
    else
        lathe_fail(&err, rc, "worker", "an unknown question \"%.40s\"", event ? event : "");
    if (rc != LATHE_OK) {
        cJSON *error = cJSON_AddObjectToObject(reply, "error");
        cJSON_AddNumberToObject(error, "code", rc);
        cJSON_AddStringToObject(error, "where", err.where);
        cJSON_AddStringToObject(error, "message", err.message);
    }
    lathe_arena_free(p->asking);
    p->asking = NULL;
    return reply;
}
