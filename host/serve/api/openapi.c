/* The OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), made from the route tables. */
#include "serve/api/api.h"

#include "base/json.h"
#include "generated/api_schemas.h"

#include <stdio.h>
#include <string.h>

#define NAME_PATTERN "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
#define ALIAS_PATTERN "^[A-Za-z_][A-Za-z0-9._-]{0,127}$"
#define TEXT_PATTERN "^[^\\x00-\\x1f\\x7f]*$"

static cJSON *reference(const char *schema) {
    char text[120];
    cJSON *out = cJSON_CreateObject();
    snprintf(text, sizeof text, "#/components/schemas/%s", schema);
    cJSON_AddStringToObject(out, "$ref", text);
    return out;
}

static cJSON *choices(const char *text) {
    cJSON *list = cJSON_CreateArray();
    while (*text != 0) {
        char one[64];
        const size_t n = strcspn(text, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, text);
        cJSON_AddItemToArray(list, cJSON_CreateString(one));
        text += text[n] == '|' ? n + 1 : n;
    }
    return list;
}

static void add_text_rules(cJSON *out, const api_field *f) {
    cJSON_AddStringToObject(out, "type", "string");
    cJSON_AddNumberToObject(out, "minLength", f->max > 0 ? f->min : 1);
    cJSON_AddNumberToObject(out, "maxLength", f->max > 0 ? f->max : 1000);
    cJSON_AddStringToObject(out, "pattern", TEXT_PATTERN);
}

static void add_pattern(cJSON *out, const char *pattern) {
    cJSON_AddStringToObject(out, "type", "string");
    cJSON_AddStringToObject(out, "pattern", pattern);
}

static void add_number_rules(cJSON *out, const api_field *f) {
    cJSON_AddStringToObject(out, "type", f->type == API_INT ? "integer" : "number");
    if (f->min != 0 || f->max != 0) {
        cJSON_AddNumberToObject(out, "minimum", f->min);
        cJSON_AddNumberToObject(out, "maximum", f->max);
    }
}

static cJSON *field_schema(const api_field *f) {
    cJSON *out = cJSON_CreateObject();
    if ((f->type == API_OBJECT || f->type == API_ANY) && f->schema != NULL) {
        cJSON_Delete(out);
        return reference(f->schema);
    }
    switch (f->type) {
    case API_NAME:
        add_pattern(out, NAME_PATTERN);
        break;
    case API_ALIAS:
        add_pattern(out, ALIAS_PATTERN);
        break;
    case API_DIGITS:
        add_pattern(out, "^[0-9]{1,18}$");
        break;
    case API_INT:
    case API_NUMBER:
        add_number_rules(out, f);
        break;
    case API_BOOL:
        cJSON_AddStringToObject(out, "type", "boolean");
        break;
    case API_CHOICE:
        cJSON_AddItemToObject(out, "enum", choices(f->choices));
        break;
    case API_OBJECT:
        cJSON_AddStringToObject(out, "type", "object");
        break;
    case API_ANY:
        break;
    case API_TEXTS:
        cJSON_AddStringToObject(out, "type", "array");
        add_text_rules(cJSON_AddObjectToObject(out, "items"), f);
        break;
    default:
        add_text_rules(out, f);
    }
    return out;
}

/* ---- parameters ---- */

static void add_parameter(cJSON *list, const char *in, const char *name, const char *doc,
                          bool required, cJSON *schema) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", name);
    cJSON_AddStringToObject(out, "in", in);
    if (doc != NULL)
        cJSON_AddStringToObject(out, "description", doc);
    cJSON_AddBoolToObject(out, "required", required);
    cJSON_AddItemToObject(out, "schema", schema);
    cJSON_AddItemToArray(list, out);
}

static void add_parameters(cJSON *operation, const api_route *r) {
    cJSON *list = cJSON_AddArrayToObject(operation, "parameters");
    for (const char *at = strchr(r->path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        char name[40];
        cJSON *schema = cJSON_CreateObject();
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
        cJSON_AddStringToObject(schema, "type", "string");
        cJSON_AddStringToObject(schema, "pattern", NAME_PATTERN);
        add_parameter(list, "path", name, NULL, true, schema);
    }
    for (const api_field *f = r->query; f != NULL && f->type != API_END; f++)
        add_parameter(list, "query", f->name, f->doc, f->required, field_schema(f));
}

/* ---- bodies ---- */

static cJSON *fields_schema(const api_field *fields, bool *required) {
    cJSON *out = cJSON_CreateObject(), *needed = cJSON_CreateArray();
    cJSON_AddStringToObject(out, "type", "object");
    cJSON *properties = cJSON_AddObjectToObject(out, "properties");
    for (const api_field *f = fields; f->type != API_END; f++) {
        cJSON *schema = field_schema(f);
        cJSON_AddStringToObject(schema, "description", f->doc);
        cJSON_AddItemToObject(properties, f->name, schema);
        if (f->required)
            cJSON_AddItemToArray(needed, cJSON_CreateString(f->name));
    }
    *required = cJSON_GetArraySize(needed) > 0;
    if (*required)
        cJSON_AddItemToObject(out, "required", needed);
    else
        cJSON_Delete(needed);
    cJSON_AddFalseToObject(out, "additionalProperties");
    return out;
}

static void add_body(cJSON *operation, const api_route *r) {
    if (r->body == NULL && r->body_schema == NULL)
        return;
    bool required = true;
    cJSON *schema = r->body ? fields_schema(r->body, &required) : reference(r->body_schema);
    cJSON *body = cJSON_AddObjectToObject(operation, "requestBody");
    cJSON_AddBoolToObject(body, "required", required);
    cJSON *media = cJSON_AddObjectToObject(cJSON_AddObjectToObject(body, "content"),
                                           r->body_type ? r->body_type : "application/json");
    cJSON_AddItemToObject(media, "schema", schema);
}

/* ---- answers ---- */

static void add_answer(cJSON *answers, const char *status, const char *text, const char *type,
                       const char *schema) {
    cJSON *answer = cJSON_AddObjectToObject(answers, status);
    cJSON_AddStringToObject(answer, "description", text);
    cJSON *media = cJSON_AddObjectToObject(cJSON_AddObjectToObject(answer, "content"), type);
    cJSON_AddItemToObject(media, "schema", reference(schema));
}

static void add_answers(cJSON *operation, const api_route *r) {
    char status[8];
    cJSON *answers = cJSON_AddObjectToObject(operation, "responses");
    snprintf(status, sizeof status, "%d", r->status ? r->status : 200);
    add_answer(answers, status, "Done", r->answer_type ? r->answer_type : "application/json",
               r->answer ? r->answer : "Object");
    add_answer(answers, "default", "Refused or failed", "application/json", "Error");
}

static void add_operation(cJSON *paths, const api_route *r) {
    char method[16], id[160];
    size_t n = 0;
    for (; r->method[n] != 0 && n + 1 < sizeof method; n++)
        method[n] = (char)(r->method[n] | 0x20);
    method[n] = 0;
    cJSON *path = lathe_json_get(paths, r->path);
    cJSON *operation =
        cJSON_AddObjectToObject(path ? path : cJSON_AddObjectToObject(paths, r->path), method);
    n = (size_t)snprintf(id, sizeof id, "%s%s", method, r->path);
    for (size_t i = 0; i < n && i < sizeof id; i++)
        if (strchr("/{}.", id[i]) != NULL && id[i] != 0)
            id[i] = '_';
    cJSON_AddStringToObject(operation, "operationId", id);
    cJSON_AddStringToObject(operation, "summary", r->summary);
    cJSON_AddStringToObject(operation, "x-role", lathe_role_name(r->role));
    cJSON_AddStringToObject(operation, "x-scope",
                            r->scope == API_PROJECT  ? "project"
                            : r->scope == API_SHARED ? "shared"
                                                     : "service");
    if (r->role == LATHE_ROLE_NONE)
        cJSON_AddArrayToObject(operation, "security");
    add_parameters(operation, r);
    add_body(operation, r);
    add_answers(operation, r);
}

static void add_security(cJSON *root, cJSON *components) {
    cJSON *schemes = cJSON_AddObjectToObject(components, "securitySchemes");
    cJSON *token = cJSON_AddObjectToObject(schemes, "token");
    cJSON_AddStringToObject(token, "type", "http");
    cJSON_AddStringToObject(token, "scheme", "bearer");
    cJSON_AddStringToObject(token, "description",
                            "lathe tokens create. Without any token in the store, none is needed.");
    cJSON *list = cJSON_AddArrayToObject(root, "security");
    cJSON *needs = cJSON_CreateObject();
    cJSON_AddArrayToObject(needs, "token");
    cJSON_AddItemToArray(list, needs);
}

cJSON *api_openapi(void) {
    cJSON *root = cJSON_CreateObject();
    cJSON *schemas = cJSON_ParseWithLength((const char *)lathe_api_schemas, lathe_api_schemas_len);
    if (root == NULL || schemas == NULL) {
        cJSON_Delete(root);
        cJSON_Delete(schemas);
        return NULL;
    }
    cJSON_AddStringToObject(root, "openapi", "3.1.0");
    cJSON *info = cJSON_AddObjectToObject(root, "info");
    cJSON_AddStringToObject(info, "title", "Lathe control API");
    cJSON_AddStringToObject(info, "version", LATHE_SDK_VERSION);
    cJSON_AddStringToObject(info, "description",
                            "Everything that the command line does. Times are microseconds since "
                            "1970 UTC; errors are {\"error\": \"…\"}.");
    cJSON *paths = cJSON_AddObjectToObject(root, "paths");
    for (size_t t = 0; api_tables[t] != NULL; t++)
        for (const api_route *r = api_tables[t]; r->method != NULL; r++)
            add_operation(paths, r);
    cJSON *components = cJSON_AddObjectToObject(root, "components");
    cJSON_AddItemToObject(components, "schemas", schemas);
    add_security(root, components);
    return root;
}
