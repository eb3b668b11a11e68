#include "serve/endpoint_verbs.h"

#include "base/json.h"
#include "model/model.h"
#include "monitor/rules.h"
#include "pipeline/validation.h"
#include "serve/rollout/canary.h"

#include <inttypes.h>
#include <string.h>

typedef struct call {
    lathe_store *store;
    lathe_arena *arena;
    const char *endpoint;
    const cJSON *arguments;
    const char *reason;
    bool force;
    cJSON *failed; /* gates */
    lathe_error *err;
} call;

static const char *text_of(const call *c, const char *key) {
    return cJSON_GetStringValue(lathe_json_get(c->arguments, key));
}

/* The arguments may hold what none of the verbs knows only where they were checked before: the API does. */
static int32_t fail(call *c, const char *what) {
    return lathe_fail(c->err, LATHE_E_INVALID, c->endpoint, "%s", what);
}

/* The version that the arguments name. model NULL: they must. *ref is how the store finds it. */
static int32_t find_version(call *c, const char *model, lathe_version_record *v, const char **ref) {
    const char *named = text_of(c, "model");
    const cJSON *version = lathe_json_get(c->arguments, "version");
    model = named != NULL ? named : model;
    if (model == NULL)
        return fail(c, "\"model\" is needed");
    if (version != NULL && (!cJSON_IsNumber(version) || !(version->valuedouble >= 1)))
        return fail(c, "\"version\" is a number from 1");
    *ref = version != NULL ? lathe_arena_printf(c->arena, "%s@%.0f", model, version->valuedouble)
                           : model;
    return *ref != NULL ? lathe_store_version(c->store, *ref, c->arena, v, c->err)
                        : lathe_fail(c->err, LATHE_E_MEMORY, NULL, "out of memory");
}

/* ---- an endpoint's own validation, and the columns of a version ---- */

/* LATHE_E_INVALID: the arguments bring rules for a column that the version does not take. */
static int32_t check_columns(call *c, const char *sha256) {
    const cJSON *validation = lathe_json_get(c->arguments, "validation");
    const char *path;
    cJSON *description = NULL;
    lathe_schema *schema = NULL;
    lathe_rules *rules = NULL;
    if (cJSON_GetArraySize(lathe_json_get(validation, "columns")) == 0)
        return LATHE_OK;
    int32_t rc = lathe_store_artifact_path(c->store, sha256, false, c->arena, &path, c->err);
    if (rc == LATHE_OK)
        rc = lathe_model_describe(path, &description, c->err);
    if (rc == LATHE_OK)
        rc = lathe_schema_from_json(lathe_json_get(description, "schema"), &schema, c->err);
    if (rc == LATHE_OK)
        rc = lathe_rules_new(lathe_schema_table(schema), NULL, validation, &rules, c->err);
    if (rc == LATHE_E_NOT_FOUND) { /* not the endpoint: what was asked for it */
        const lathe_error why = *c->err;
        rc = lathe_fail(c->err, LATHE_E_INVALID, c->endpoint, "/validation/columns: %s",
                        why.message);
    }
    lathe_rules_free(rules);
    lathe_schema_free(schema);
    cJSON_Delete(description);
    return rc;
}

/* ---- may it be served? ---- */

/* The columns of the rules that endpoints have: of the one that is named, unless the arguments bring others, and of all that
 * follow the alias that is to move. */
static int32_t fits(call *c, const lathe_version_record *v, const char *alias) {
    const bool brings = lathe_json_get(c->arguments, "validation") != NULL;
    const lathe_fits_question question = {
        .model = v->model,
        .sha256 = v->sha256,
        .label = lathe_arena_printf(c->arena, "%s@%" PRId64, v->model, v->version),
        .alias = alias,
        .endpoint = brings ? NULL : c->endpoint};
    if (question.label == NULL)
        return lathe_fail(c->err, LATHE_E_MEMORY, NULL, "out of memory");
    return c->force ? lathe_fits_override(c->store, &question, c->reason, c->err)
                    : lathe_fits_check(c->store, &question, &c->failed, c->err);
}

/* The alias that moves where an endpoint is to serve another version; NULL: none. */
static const char *moved_alias(const lathe_endpoint_record *e, const lathe_version_record *v) {
    return e->alias[0] != '\0' && strcmp(e->model, v->model) == 0 ? e->alias : NULL;
}

/* Gates, columns, and the file's content. */
static int32_t may_serve(call *c, const lathe_version_record *v, const char *alias) {
    const char *ref = lathe_arena_printf(c->arena, "%s@%" PRId64, v->model, v->version);
    int32_t rc = c->force ? lathe_gates_override(c->store, v, c->reason, c->err)
                          : lathe_gates_check(v, &c->failed, c->err);
    if (rc == LATHE_OK) {
        cJSON_Delete(c->failed);
        c->failed = NULL;
        rc = fits(c, v, alias);
    }
    return rc == LATHE_OK ? lathe_store_version_verify(c->store, ref ? ref : "", c->err) : rc;
}

/* ---- set ---- */

/* Those of the arguments, as JSON; *text NULL: there are none. */
static int32_t settings_text(call *c, char **text) {
    static const char *const keys[] = {"traffic", "sticky", "validation"};
    cJSON *settings = cJSON_CreateObject();
    int32_t rc = LATHE_OK;
    *text = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *node = lathe_json_get(c->arguments, keys[i]);
        if (node != NULL && !cJSON_AddItemToObject(settings, keys[i], cJSON_Duplicate(node, 1)))
            rc = LATHE_E_MEMORY;
    }
    if (rc == LATHE_OK && cJSON_GetArraySize(settings) > 0 &&
        (*text = cJSON_PrintUnformatted(settings)) == NULL)
        rc = LATHE_E_MEMORY;
    cJSON_Delete(settings);
    return rc == LATHE_OK ? rc : lathe_fail(c->err, rc, NULL, "out of memory");
}

/* The version that it is to serve, if the arguments name one, and whether it may. */
static int32_t find_target(call *c, lathe_endpoint_change *to) {
    const char *ref;
    lathe_version_record v;
    int32_t rc;
    to->alias = text_of(c, "alias");
    to->model = text_of(c, "model");
    if (to->model == NULL && (to->alias != NULL || lathe_json_get(c->arguments, "version") != NULL))
        return fail(c, "\"model\" is needed beside \"version\" or \"alias\"");
    if (to->model == NULL)
        return LATHE_OK;
    if (to->alias != NULL && lathe_json_get(c->arguments, "version") != NULL)
        return fail(c, "\"version\" or \"alias\" is given, not both");
    if (to->alias != NULL) {
        ref = lathe_arena_printf(c->arena, "%s@%s", to->model, to->alias);
        rc = lathe_store_version(c->store, ref ? ref : "", c->arena, &v, c->err);
    } else {
        rc = find_version(c, NULL, &v, &ref);
    }
    if (rc == LATHE_OK)
        rc = check_columns(c, v.sha256);
    if (rc == LATHE_OK)
        rc = may_serve(c, &v, NULL);
    to->version = rc == LATHE_OK ? v.version : 0;
    return rc;
}

/* The versions that are to have a share of the requests, by the rules that the endpoint has, or is to have. */
static int32_t check_shares(call *c) {
    const cJSON *share;
    int32_t rc = LATHE_OK;
    cJSON_ArrayForEach(share, lathe_json_get(c->arguments, "traffic")) {
        const char *model = cJSON_GetStringValue(lathe_json_get(share, "model"));
        const cJSON *version = lathe_json_get(share, "version");
        lathe_version_record v;
        if (model == NULL || !cJSON_IsNumber(version))
            continue; /* the store says what is wrong with it */
        const char *ref = lathe_arena_printf(c->arena, "%s@%.0f", model, version->valuedouble);
        rc = lathe_store_version(c->store, ref ? ref : "", c->arena, &v, c->err);
        if (rc == LATHE_OK)
            rc = check_columns(c, v.sha256);
        if (rc == LATHE_OK)
            rc = fits(c, &v, NULL);
        if (rc != LATHE_OK)
            return rc;
        cJSON_Delete(c->failed); /* nothing is missing */
        c->failed = NULL;
    }
    return rc;
}

/* As the document's "deploy" is; before anything is moved. */
static int32_t check_validation(call *c) {
    const cJSON *node = lathe_json_get(c->arguments, "validation");
    if (node == NULL || cJSON_IsNull(node))
        return LATHE_OK;
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddItemToObject(tree, "validation", cJSON_Duplicate(node, 1));
    lathe_json *doc = tree ? lathe_json_from_tree(tree, "") : NULL;
    if (doc == NULL || lathe_json_get(lathe_json_root(doc), "validation") == NULL) {
        lathe_json_free(doc);
        return lathe_fail(c->err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    lathe_diags diags = {0};
    const lathe_check check = {doc, c->arena, &diags};
    lathe_validation_check(&check, lathe_json_get(lathe_json_root(doc), "validation"));
    const int32_t rc = lathe_diags_error(&diags, LATHE_E_INVALID, c->err);
    lathe_diags_free(&diags);
    lathe_json_free(doc);
    return rc;
}

/* New validation for what the endpoint serves already; a new target is asked where it is moved. */
static int32_t check_served(call *c) {
    lathe_endpoint_record e;
    if (lathe_json_get(c->arguments, "validation") == NULL || text_of(c, "model") != NULL)
        return LATHE_OK;
    const int32_t rc = lathe_store_endpoint(c->store, c->endpoint, c->arena, &e, c->err);
    return rc == LATHE_OK ? check_columns(c, e.sha256) : rc;
}

static int32_t set(call *c) {
    lathe_endpoint_change change = {.reason = c->reason};
    char *settings = NULL;
    int32_t rc = check_validation(c);
    if (rc == LATHE_OK)
        rc = check_served(c);
    if (rc == LATHE_OK)
        rc = check_shares(c);
    if (rc == LATHE_OK)
        rc = find_target(c, &change);
    if (rc == LATHE_OK)
        rc = settings_text(c, &settings);
    change.settings = settings;
    if (rc == LATHE_OK)
        rc = lathe_store_endpoint_put(c->store, c->endpoint, &change, c->err);
    cJSON_free(settings);
    return rc;
}

/* ---- trials ---- */

/* The endpoint as it is, and the version that the arguments name. */
static int32_t find_both(call *c, lathe_endpoint_record *e, lathe_version_record *v,
                         const char **ref) {
    int32_t rc = lathe_store_endpoint(c->store, c->endpoint, c->arena, e, c->err);
    return rc == LATHE_OK ? find_version(c, e->model, v, ref) : rc;
}

static int32_t canary(call *c) {
    static const char *const keys[] = {"model", "version", "reason", "force"};
    lathe_endpoint_record e;
    lathe_version_record v;
    const char *ref;
    cJSON *gates = NULL;
    int32_t rc = find_both(c, &e, &v, &ref);
    cJSON *settings = rc == LATHE_OK ? cJSON_Duplicate(c->arguments, 1) : NULL;
    if (rc == LATHE_OK && settings == NULL)
        rc = lathe_fail(c->err, LATHE_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(settings, keys[i]);
    if (rc == LATHE_OK)
        rc = fits(c, &v, moved_alias(&e, &v));
    if (rc == LATHE_OK)
        rc = lathe_canary_begin(c->store, c->endpoint, ref, settings, c->force, c->reason, &gates,
                                c->err);
    if (gates != NULL) {
        cJSON_Delete(c->failed);
        c->failed = gates;
    }
    cJSON_Delete(settings);
    return rc;
}

static int32_t unshadow(call *c, bool must) {
    lathe_rollout_record r;
    bool found;
    int32_t rc = lathe_store_rollout_running(c->store, c->endpoint, LATHE_ROLLOUT_SHADOW, c->arena,
                                             &r, &found, c->err);
    if (rc == LATHE_OK && found)
        return lathe_store_rollout_finish(c->store, r.id, LATHE_ROLLOUT_ENDED, c->reason, NULL,
                                          NULL, c->err);
    return rc == LATHE_OK && must ? lathe_fail(c->err, LATHE_E_NOT_FOUND, c->endpoint,
                                               "endpoint '%s' has no shadow", c->endpoint)
                                  : rc;
}

static int32_t end_shadow(call *c) {
    return unshadow(c, true);
}

static int32_t shadow(call *c) {
    lathe_endpoint_record e;
    lathe_version_record v;
    const char *ref;
    int32_t rc = find_both(c, &e, &v, &ref);
    if (rc == LATHE_OK)
        rc = lathe_store_version_verify(c->store, ref, c->err);
    if (rc == LATHE_OK)
        rc = unshadow(c, false);
    return rc == LATHE_OK
               ? lathe_store_rollout_begin(c->store, c->endpoint, LATHE_ROLLOUT_SHADOW, v.model,
                                           v.version, NULL, c->reason, NULL, c->err)
               : rc;
}

/* ---- moves ---- */

/* The gates of a canary were asked when it began. */
static int32_t promote(call *c) {
    lathe_rollout_record r;
    lathe_endpoint_record e;
    lathe_version_record v;
    const char *ref;
    bool found = false;
    int32_t rc = LATHE_OK;
    if (text_of(c, "model") == NULL && lathe_json_get(c->arguments, "version") == NULL) {
        rc = lathe_store_rollout_running(c->store, c->endpoint, LATHE_ROLLOUT_CANARY, c->arena, &r,
                                         &found, c->err);
        if (rc == LATHE_OK && found)
            return lathe_store_rollout_finish(c->store, r.id, LATHE_ROLLOUT_PROMOTED, c->reason,
                                              NULL, NULL, c->err);
    }
    if (rc == LATHE_OK)
        rc = find_both(c, &e, &v, &ref);
    if (rc == LATHE_OK)
        rc = may_serve(c, &v, moved_alias(&e, &v));
    return rc == LATHE_OK ? lathe_store_endpoint_promote(c->store, c->endpoint, v.model, v.version,
                                                         c->reason, c->err)
                          : rc;
}

static int32_t rollback(call *c) {
    return lathe_store_endpoint_rollback(c->store, c->endpoint, c->reason, NULL, c->err);
}

static const struct {
    const char *name;
    int32_t (*run)(call *c);
} verbs[] = {{"set", set},         {"canary", canary},
             {"shadow", shadow},   {"unshadow", end_shadow},
             {"promote", promote}, {"rollback", rollback}};

/* ---- answers ---- */

static cJSON *refusal(call *c) {
    if (c->failed == NULL || cJSON_GetArraySize(c->failed) == 0)
        return NULL;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "error", c->err->message);
    cJSON_AddItemToObject(out, "checks", c->failed);
    c->failed = NULL;
    return out;
}

static int32_t served(call *c, cJSON **answer) {
    lathe_endpoint_record e;
    int32_t rc = lathe_store_endpoint(c->store, c->endpoint, c->arena, &e, c->err);
    if (rc != LATHE_OK)
        return rc;
    *answer = cJSON_CreateObject();
    cJSON_AddStringToObject(*answer, "endpoint", e.name);
    cJSON_AddStringToObject(*answer, "model", e.model);
    cJSON_AddNumberToObject(*answer, "version", (double)e.version);
    return LATHE_OK;
}

static int32_t begin(call *c, lathe_store *store, const char *endpoint, const cJSON *arguments,
                     lathe_error *err) {
    *c = (call){.store = store, .endpoint = endpoint, .arguments = arguments, .err = err};
    c->arena = lathe_arena_new();
    c->reason = text_of(c, "reason");
    c->force = cJSON_IsTrue(lathe_json_get(arguments, "force"));
    return c->arena != NULL ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
}

static void end(call *c) {
    cJSON_Delete(c->failed);
    lathe_arena_free(c->arena);
}

int32_t lathe_endpoint_verb(lathe_store *store, const char *verb, const char *endpoint,
                            const cJSON *arguments, cJSON **answer, lathe_error *err) {
    call c;
    int32_t rc = begin(&c, store, endpoint, arguments, err);
    size_t v = 0;
    *answer = NULL;
    while (v < sizeof verbs / sizeof *verbs && strcmp(verbs[v].name, verb) != 0)
        v++;
    if (rc == LATHE_OK && v == sizeof verbs / sizeof *verbs)
        rc = fail(&c, "there is no such verb");
    if (rc == LATHE_OK)
        rc = verbs[v].run(&c);
    if (rc == LATHE_OK)
        rc = served(&c, answer);
    else
        *answer = refusal(&c);
    end(&c);
    return rc;
}

int32_t lathe_model_promote(lathe_store *store, const char *ref, const cJSON *arguments,
                            cJSON **answer, lathe_error *err) {
    call c;
    lathe_version_record v;
    int32_t rc = begin(&c, store, NULL, arguments, err);
    const char *alias = rc == LATHE_OK ? text_of(&c, "alias") : NULL;
    alias = alias != NULL ? alias : "live";
    *answer = NULL;
    if (rc == LATHE_OK)
        rc = lathe_store_version(store, ref, c.arena, &v, err);
    if (rc == LATHE_OK)
        rc = may_serve(&c, &v, alias);
    if (rc == LATHE_OK)
        rc = lathe_store_alias_set(store, v.model, alias, v.version, c.reason, err);
    if (rc == LATHE_OK) {
        *answer = cJSON_CreateObject();
        cJSON_AddNumberToObject(*answer, "version", (double)v.version);
    } else {
        *answer = refusal(&c);
    }
    end(&c);
    return rc;
}
