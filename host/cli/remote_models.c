/* Models through a service: list, show, verify, promote, roll back, export, import, predict. */
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "MODEL@V" in two; V is "newest" where there is none. Free *model. */
static bool split_ref(const char *ref, char **model, const char **version) {
    *model = strdup(ref);
    char *at = *model ? strchr(*model, '@') : NULL;
    if (at != NULL)
        *at++ = 0;
    *version = at ? at : "newest";
    return *model != NULL;
}

char *remote_version_path(const char *ref, const char *rest) {
    char *model = NULL, *start, *path = NULL;
    const char *version;
    if (split_ref(ref, &model, &version) &&
        (start = remote_path("/api/v1/models/%/versions/%", model, version)) != NULL) {
        if (asprintf(&path, "%s%s", start, rest) < 0)
            path = NULL;
        free(start);
    }
    free(model);
    return path;
}

static int models_list(remote_call *c) {
    if (c->n_args == 0)
        return remote_print_list(c, "/api/v1/models", "models",
                                 "model=name versions updated=updated_us@time");
    char *path = remote_path("/api/v1/models/%", c->args[0]);
    int code = remote_print_list(c, path ? path : "", "versions",
                                 "version aliases created=created_us@time bytes sha256");
    free(path);
    return code;
}

static int models_show(remote_call *c) {
    return remote_show(c, "GET", remote_version_path(c->args[0], ""), NULL);
}

/* Of a run, or of what has this digest: a file's own where it is one here. */
static int models_derived(remote_call *c) {
    char digest[LATHE_SHA256_HEX];
    const char *of = c->args[0];
    if (lathe_is_file(of)) {
        if (lathe_sha256_file(of, digest, NULL, &c->err) != LATHE_OK)
            return cli_error(&c->err);
        of = digest;
    }
    char *path = remote_path("/api/v1/derived?of=%", of);
    int code = remote_print_list(c, path ? path : "", "versions", "model version through name run");
    free(path);
    return code;
}

static int models_verify(remote_call *c) {
    cJSON *answer;
    char *path = remote_version_path(c->args[0], "/verify");
    int code = remote_ask(c, "POST", path, NULL, &answer);
    free(path);
    if (code == EXIT_DONE)
        printf("%s@%d: intact (%s)\n", lathe_json_get(answer, "model")->valuestring,
               lathe_json_get(answer, "version")->valueint,
               lathe_json_get(answer, "sha256")->valuestring);
    cJSON_Delete(answer);
    return code;
}

/* Moves an alias; 409 is a goal that was not met. */
static int move(remote_call *c, const char *name, char *path, cJSON *body) {
    const char *alias = c->options[REMOTE_ALIAS].value ? c->options[REMOTE_ALIAS].value : "live";
    cJSON *answer;
    remote_add_option(c, body, "alias", REMOTE_ALIAS);
    remote_add_option(c, body, "reason", REMOTE_REASON);
    int code = remote_ask(c, "POST", path, body, &answer);
    if (code == EXIT_DONE && c->json)
        cli_print_json(answer);
    else if (code == EXIT_DONE)
        printf("%s@%s is now version %d\n", name, alias,
               lathe_json_get(answer, "version")->valueint);
    cJSON_Delete(answer);
    free(path);
    return code;
}

static int models_promote(remote_call *c) {
    char *model;
    const char *version;
    cJSON *body = cJSON_CreateObject();
    if (!split_ref(c->args[0], &model, &version))
        return EXIT_FAILED;
    char *end;
    const long number = strtol(version, &end, 10);
    int code = EXIT_USAGE;
    if (*end == 0 && number > 0)
        cJSON_AddNumberToObject(body, "version", (double)number);
    if (c->options[REMOTE_FORCE].seen)
        cJSON_AddTrueToObject(body, "force");
    if ((*end == 0 && number > 0) || strcmp(version, "newest") == 0) {
        code = move(c, model, remote_path("/api/v1/models/%/promote", model), body);
    } else {
        cJSON_Delete(body);
        cli_usage("", "\"%s\" names no version by its number", c->args[0]);
    }
    free(model);
    return code;
}

static int models_rollback(remote_call *c) {
    return move(c, c->args[0], remote_path("/api/v1/models/%/rollback", c->args[0]),
                cJSON_CreateObject());
}

/* A body that is a file, to stdout or a file of the user's. */
static int save(remote_call *c, const char *method, char *path, const char *type, const char *body,
                size_t len) {
    const char *file = c->options[REMOTE_OUT].value;
    cli_reply reply;
    int code = EXIT_DONE;
    int32_t rc = path ? cli_client_call(c->client, method, path, type, body, len, &reply, &c->err)
                      : lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
    free(path);
    if (rc != LATHE_OK)
        return cli_error(&c->err);
    if (reply.status != 200)
        code = remote_fail(&reply, c->json);
    else if (file == NULL)
        fwrite(lathe_buf_str(&reply.body), 1, reply.body.len, stdout);
    else if (lathe_write_file_atomic(file, lathe_buf_str(&reply.body), reply.body.len, &c->err) !=
             LATHE_OK)
        code = cli_error(&c->err);
    lathe_buf_free(&reply.body);
    return code;
}

static int models_export(remote_call *c) {
    const char *file = c->options[REMOTE_OUT].value;
    if (file == NULL)
        return cli_usage(remote_usage, "export needs -o FILE");
    if (lathe_is_file(file) && !c->options[REMOTE_FORCE].seen)
        return cli_usage("", "%s is there already; --force replaces it", file);
    int code = save(c, "GET", remote_version_path(c->args[0], "/file"), NULL, NULL, 0);
    if (code == EXIT_DONE)
        puts(file);
    return code;
}

static int models_import(remote_call *c) {
    const char *name = c->options[REMOTE_NAME].value, *alias = c->options[REMOTE_ALIAS].value;
    lathe_buf path = {0};
    char *data;
    size_t len;
    cli_reply reply;
    if (name == NULL)
        return cli_usage(remote_usage, "import needs --name MODEL");
    if (lathe_read_file(c->args[0], (size_t)1 << 30, &data, &len, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    lathe_buf_append_str(&path, "/api/v1/models/");
    cli_client_escape(&path, name);
    lathe_buf_append_str(&path, "/import");
    if (alias != NULL) {
        lathe_buf_append_str(&path, "?alias=");
        cli_client_escape(&path, alias);
    }
    int32_t rc = cli_client_call(c->client, "POST", lathe_buf_str(&path),
                                 "application/octet-stream", data, len, &reply, &c->err);
    lathe_buf_free(&path);
    free(data);
    if (rc != LATHE_OK)
        return cli_error(&c->err);
    int code = EXIT_DONE;
    if (reply.status == 201)
        puts(lathe_buf_str(&reply.body));
    else
        code = remote_fail(&reply, c->json);
    lathe_buf_free(&reply.body);
    return code;
}

static int predict(remote_call *c) {
    char *data;
    size_t len;
    if (lathe_read_file(c->args[1], (size_t)1 << 30, &data, &len, &c->err) != LATHE_OK)
        return cli_error(&c->err);
    int code = save(c, "POST", remote_version_path(c->args[0], "/predict"), "text/csv", data, len);
    free(data);
    return code;
}

const remote_verb remote_model_verbs[] = {{"predict", NULL, 2, 2, predict},
                                          {"models", "list", 0, 1, models_list},
                                          {"models", "show", 1, 1, models_show},
                                          {"models", "derived", 1, 1, models_derived},
                                          {"models", "verify", 1, 1, models_verify},
                                          {"models", "promote", 1, 1, models_promote},
                                          {"models", "rollback", 1, 1, models_rollback},
                                          {"models", "export", 1, 1, models_export},
                                          {"models", "import", 1, 1, models_import},
                                          {0}};
