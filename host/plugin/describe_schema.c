/* JSON Schema, draft 2020-12, of plugins' parameters. */
#include "plugin/bind_internal.h"
#include "plugin/describe.h"
#include "plugin/kinds.h"

#include <stdio.h>
#include <string.h>

static void ref(lathe_jsonw *w, const char *def) {
    char text[160];
    snprintf(text, sizeof text, "#/$defs/%s", def);
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "$ref", text);
    lathe_jsonw_end_object(w);
}

static void type_only(lathe_jsonw *w, const char *type) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "type", type);
    lathe_jsonw_end_object(w);
}

static void number(lathe_jsonw *w, const lathe_param *p, const char *type) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "type", type);
    if (p->flags & LATHE_PARAM_HAS_MIN)
        lathe_jsonw_kv_double(w, p->flags & LATHE_PARAM_EXCL_MIN ? "exclusiveMinimum" : "minimum",
                              p->min);
    if (p->flags & LATHE_PARAM_HAS_MAX)
        lathe_jsonw_kv_double(w, p->flags & LATHE_PARAM_EXCL_MAX ? "exclusiveMaximum" : "maximum",
                              p->max);
    lathe_jsonw_end_object(w);
}

static void enumeration(lathe_jsonw *w, const lathe_param *p) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_key(w, "enum");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; p->choices[i] != NULL; i++)
        lathe_jsonw_str(w, p->choices[i]);
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

static void fields(lathe_jsonw *w, const lathe_param *params, uint32_t n, const char *description);

/* One or several alternatives: {"anyOf": […]}. */
static void begin_any(lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_key(w, "anyOf");
    lathe_jsonw_begin_array(w);
}

static void end_any(lathe_jsonw *w) {
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

static void component(lathe_jsonw *w, const char *kinds) {
    bool several = strchr(kinds, '|') != NULL;
    if (several)
        begin_any(w);
    for (const char *s = kinds; *s != '\0';) {
        size_t len = strcspn(s, "|");
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)(len < 63 ? len : 63), s);
        const lathe_kind *kind = lathe_kind_find(one);
        if (kind != NULL)
            ref(w, kind->name);
        s += len + (s[len] == '|');
    }
    if (several)
        end_any(w);
}

static void element(lathe_jsonw *w, const lathe_param *p) {
    switch (p->type) {
    case LATHE_PARAM_BOOL:
        type_only(w, "boolean");
        return;
    case LATHE_PARAM_INT:
        number(w, p, "integer");
        return;
    case LATHE_PARAM_FLOAT:
        number(w, p, "number");
        return;
    case LATHE_PARAM_ENUM:
        enumeration(w, p);
        return;
    case LATHE_PARAM_INT_OR_ENUM:
        begin_any(w);
        number(w, p, "integer");
        enumeration(w, p);
        end_any(w);
        return;
    case LATHE_PARAM_SCALAR:
        begin_any(w);
        number(w, p, "number");
        type_only(w, "string");
        type_only(w, "boolean");
        end_any(w);
        return;
    case LATHE_PARAM_RECORD:
        fields(w, p->fields, p->n_fields, NULL);
        return;
    case LATHE_PARAM_COMPONENT:
        component(w, p->kind);
        return;
    case LATHE_PARAM_COLUMNS:
        ref(w, "columns");
        return;
    default:
        type_only(w, "string");
        return;
    }
}

static void list(lathe_jsonw *w, const lathe_param *p) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "type", "array");
    if (p->min_count > 0)
        lathe_jsonw_kv_int(w, "minItems", p->min_count);
    if (p->max_count > 0)
        lathe_jsonw_kv_int(w, "maxItems", p->max_count);
    lathe_jsonw_key(w, "items");
    element(w, p);
    lathe_jsonw_end_object(w);
}

static void map(lathe_jsonw *w, const lathe_param *p) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "type", "object");
    if (p->min_count > 0)
        lathe_jsonw_kv_int(w, "minProperties", p->min_count);
    if (p->max_count > 0)
        lathe_jsonw_kv_int(w, "maxProperties", p->max_count);
    lathe_jsonw_key(w, "additionalProperties");
    element(w, p);
    lathe_jsonw_end_object(w);
}

/* "Passes over the rows. (epochs) For regression by default \"mse\"." */
static void describe(lathe_jsonw *w, const lathe_param *p) {
    lathe_buf text = {0};
    lathe_buf_append_str(&text, p->doc);
    if (p->unit != NULL)
        lathe_buf_printf(&text, " (%s)", p->unit);
    for (const lathe_task_default *t = p->by_task; t != NULL && t->task != 0; t++)
        lathe_buf_printf(&text, " Default for %s: %s.", lathe_task_name(t->task), t->value);
    lathe_jsonw_kv_str(w, "description", lathe_buf_str(&text));
    lathe_buf_free(&text);
}

/* A value, or "${name}" in its place, with description and default. */
static void parameter(lathe_jsonw *w, const lathe_param *p) {
    lathe_jsonw_begin_object(w);
    describe(w, p);
    if (p->def != NULL) {
        lathe_jsonw_key(w, "default");
        lathe_jsonw_raw(w, p->def, strlen(p->def));
    }
    if (p->alias != NULL)
        lathe_jsonw_kv_str(w, "$comment", "an older name works too");
    lathe_jsonw_key(w, "anyOf");
    lathe_jsonw_begin_array(w);
    if (p->flags & LATHE_PARAM_LIST)
        list(w, p);
    else if (p->flags & LATHE_PARAM_MAP)
        map(w, p);
    if (!(p->flags & (LATHE_PARAM_LIST | LATHE_PARAM_MAP)) || (p->flags & LATHE_PARAM_SINGLE))
        element(w, p);
    if (p->flags & LATHE_PARAM_NULLABLE)
        type_only(w, "null");
    ref(w, "parameter");
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

static void fields(lathe_jsonw *w, const lathe_param *params, uint32_t n, const char *description) {
    lathe_jsonw_begin_object(w);
    if (description != NULL)
        lathe_jsonw_kv_str(w, "description", description);
    lathe_jsonw_kv_str(w, "type", "object");
    lathe_jsonw_kv_bool(w, "additionalProperties", false);
    lathe_jsonw_key(w, "properties");
    lathe_jsonw_begin_object(w);
    for (uint32_t i = 0; i < n; i++) {
        lathe_jsonw_key(w, params[i].name);
        parameter(w, &params[i]);
        if (params[i].alias != NULL) {
            lathe_jsonw_key(w, params[i].alias);
            parameter(w, &params[i]);
        }
    }
    lathe_jsonw_end_object(w);
    lathe_jsonw_key(w, "required");
    lathe_jsonw_begin_array(w);
    for (uint32_t i = 0; i < n; i++)
        if ((params[i].flags & LATHE_PARAM_REQUIRED) && params[i].alias == NULL)
            lathe_jsonw_str(w, params[i].name);
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

void lathe_describe_schema_params(const lathe_plugin *plugin, lathe_jsonw *w) {
    const lathe_descriptor *d = plugin->descriptor;
    fields(w, d->params, d->n_params, d->doc);
}

/* ---- kinds ---- */

static bool needs_nothing(const lathe_descriptor *d) {
    for (uint32_t i = 0; i < d->n_params; i++)
        if (d->params[i].flags & LATHE_PARAM_REQUIRED)
            return false;
    return true;
}

static bool in_kind(const lathe_plugin *p, const lathe_kind *kind) {
    return p->hidden == NULL && lathe_kind_in(p->descriptor->kind, kind->id);
}

static void kind_names(const lathe_catalogue *c, const lathe_kind *kind, lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_key(w, "enum");
    lathe_jsonw_begin_array(w);
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        if (!in_kind(p, kind) || !needs_nothing(p->descriptor))
            continue;
        if (p->name_lost == NULL)
            lathe_jsonw_str(w, p->descriptor->name);
        lathe_jsonw_str(w, p->descriptor->id);
    }
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

static void kind_uses(const lathe_catalogue *c, const lathe_kind *kind, bool candidates,
                      lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "type", "object");
    lathe_jsonw_kv_int(w, "minProperties", 1);
    lathe_jsonw_kv_int(w, "maxProperties", 1);
    lathe_jsonw_kv_bool(w, "additionalProperties", false);
    lathe_jsonw_key(w, "properties");
    lathe_jsonw_begin_object(w);
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        if (!in_kind(p, kind))
            continue;
        if (p->name_lost == NULL) {
            lathe_jsonw_key(w, p->descriptor->name);
            ref(w, p->descriptor->id);
        }
        lathe_jsonw_key(w, p->descriptor->id);
        ref(w, p->descriptor->id);
    }
    if (candidates && strcmp(kind->id, LATHE_KIND_LEARNER) == 0) {
        lathe_jsonw_key(w, "candidate");
        lathe_jsonw_begin_object(w);
        lathe_jsonw_kv_str(w, "type", "string");
        lathe_jsonw_kv_str(w, "description", "The name of another candidate.");
        lathe_jsonw_end_object(w);
    }
    lathe_jsonw_end_object(w);
    lathe_jsonw_end_object(w);
}

static void columns(lathe_jsonw *w) {
    static const char text[] =
        "{\"description\":\"Columns: \\\"numeric\\\", \\\"categorical\\\", \\\"text\\\", "
        "\\\"time\\\", "
        "\\\"all\\\", a name, a pattern with * and ?, a list of these, or an exception.\","
        "\"anyOf\":[{\"type\":\"string\",\"minLength\":1,"
        "\"examples\":[\"numeric\",\"categorical\",\"text\",\"time\",\"all\"]},"
        "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/columns\"}},"
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"except\"],"
        "\"properties\":{\"except\":{\"$ref\":\"#/$defs/columns\"}}},"
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"names\"],"
        "\"properties\":{\"names\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}]}";
    lathe_jsonw_key(w, "columns");
    lathe_jsonw_raw(w, text, sizeof text - 1);
    static const char name[] =
        "{\"description\":\"A value from \\\"params\\\".\",\"type\":\"string\","
        "\"pattern\":\"^\\\\$\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}$\"}";
    lathe_jsonw_key(w, "parameter");
    lathe_jsonw_raw(w, name, sizeof name - 1);
}

void lathe_describe_schema_defs(const lathe_catalogue *c, bool candidates, lathe_jsonw *w) {
    lathe_jsonw_begin_object(w);
    columns(w);
    for (size_t k = 0; k < lathe_kind_count(); k++) {
        const lathe_kind *kind = lathe_kind_at(k);
        lathe_jsonw_key(w, kind->name);
        begin_any(w);
        kind_names(c, kind, w);
        kind_uses(c, kind, candidates, w);
        ref(w, "parameter");
        end_any(w);
    }
    for (size_t i = 0; i < lathe_catalogue_count(c); i++) {
        const lathe_plugin *p = lathe_catalogue_at(c, i);
        if (p->hidden != NULL)
            continue;
        lathe_jsonw_key(w, p->descriptor->id);
        lathe_describe_schema_params(p, w);
    }
    lathe_jsonw_end_object(w);
}
