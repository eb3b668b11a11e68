#include "pipeline/params.h"

#include "base/jsonw.h"
#include "base/nearest.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NAME 128

typedef struct substitution {
    lathe_json *doc;
    cJSON *params; /* the document's object, overrides applied; may be NULL */
    lathe_diags *diags;
} substitution;

static const char *nearest_param(const substitution *s, const char *name) {
    const char *names[64];
    size_t n = 0;
    const cJSON *p;
    cJSON_ArrayForEach(p, s->params) {
        if (n < sizeof names / sizeof *names)
            names[n++] = p->string;
    }
    return lathe_nearest(name, names, n);
}

/* The parameter that `name` names, or NULL with a diagnostic at `at`. */
static const cJSON *find_param(const substitution *s, const char *name, const cJSON *at) {
    const cJSON *value = lathe_json_get(s->params, name);
    if (value != NULL)
        return value;
    const char *near = nearest_param(s, name);
    if (near != NULL)
        lathe_diag_add(s->diags, s->doc, at,
                       "there is no parameter \"%s\" in \"params\"; did you mean \"%s\"?", name,
                       near);
    else
        lathe_diag_add(s->diags, s->doc, at,
                       "there is no parameter \"%s\"; declare it in the document's \"params\"",
                       name);
    return NULL;
}

/* Reads "${name}" at `text`; returns the length of the whole, 0 where it is none. */
static size_t read_reference(const char *text, char name[MAX_NAME]) {
    if (text[0] != '$' || text[1] != '{')
        return 0;
    const char *end = strchr(text + 2, '}');
    if (end == NULL || end == text + 2 || (size_t)(end - text - 2) >= MAX_NAME)
        return 0;
    size_t len = (size_t)(end - text - 2);
    memcpy(name, text + 2, len);
    name[len] = 0;
    return len + 3;
}

static void append_scalar(const substitution *s, lathe_buf *out, const cJSON *value,
                          const cJSON *at) {
    if (cJSON_IsString(value))
        lathe_buf_append_str(out, value->valuestring);
    else if (cJSON_IsNumber(value) || cJSON_IsBool(value))
        lathe_json_print(s->doc, value, out);
    else
        lathe_diag_add(
            s->diags, s->doc, at,
            "parameter \"%s\" is %s and cannot stand inside a text; only a string, a number "
            "or true/false can",
            value->string, lathe_json_type_name(value));
}

static void substitute_text(const substitution *s, cJSON *node) {
    lathe_buf out = {0};
    char name[MAX_NAME];
    for (const char *p = node->valuestring; *p != 0;) {
        size_t len;
        if (p[0] == '$' && p[1] == '$' && p[2] == '{') {
            lathe_buf_append_str(&out, "${");
            p += 3;
        } else if ((len = read_reference(p, name)) > 0) {
            const cJSON *value = find_param(s, name, node);
            if (value != NULL)
                append_scalar(s, &out, value, node);
            p += len;
        } else if (p[0] == '$' && p[1] == '{') {
            lathe_diag_add(
                s->diags, s->doc, node,
                "\"${\" without a name and a closing \"}\"; write \"$${\" for a literal \"${\"");
            break;
        } else {
            lathe_buf_append_char(&out, *p++);
        }
    }
    if (!out.failed)
        cJSON_SetValuestring(node, lathe_buf_str(&out));
    lathe_buf_free(&out);
}

static void substitute(const substitution *s, cJSON *node) {
    if (cJSON_IsString(node)) {
        char name[MAX_NAME];
        if (strchr(node->valuestring, '$') == NULL)
            return;
        size_t len = read_reference(node->valuestring, name);
        if (len == 0 || node->valuestring[len] != 0) {
            substitute_text(s, node);
            return;
        }
        const cJSON *value = find_param(s, name, node);
        cJSON *copy = value ? lathe_json_graft(s->doc, s->doc, value, node) : NULL;
        if (copy != NULL && !lathe_json_replace(s->doc, node, copy))
            cJSON_Delete(copy);
        return;
    }
    /* replace() relinks a child in place, so the next sibling is read first */
    for (cJSON *child = node->child, *next; child != NULL; child = next) {
        next = child->next;
        substitute(s, child);
    }
}

/* One "name=value"; the value replaces the declared one. */
static void apply_set(substitution *s, const char *set) {
    const char *eq = strchr(set, '=');
    char name[MAX_NAME];
    if (eq == NULL || eq == set || (size_t)(eq - set) >= MAX_NAME) {
        lathe_diag_add_at(s->diags, "--set", 0, 0, NULL, "\"%.80s\" is not of the form name=value",
                          set);
        return;
    }
    memcpy(name, set, (size_t)(eq - set));
    name[eq - set] = 0;
    cJSON *old = lathe_json_get(s->params, name);
    if (old == NULL) {
        const char *near = nearest_param(s, name);
        lathe_diag_add_at(s->diags, "--set", 0, 0, NULL,
                          "the document has no parameter \"%s\" in \"params\"%s%s%s", name,
                          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        return;
    }
    lathe_json *value = lathe_json_read(eq + 1, strlen(eq + 1), "--set", NULL, NULL);
    cJSON *text = value ? NULL : cJSON_CreateString(eq + 1);
    cJSON *copy = lathe_json_graft(s->doc, value, value ? lathe_json_root(value) : text, old);
    if (copy != NULL && !lathe_json_replace(s->doc, old, copy))
        cJSON_Delete(copy);
    cJSON_Delete(text);
    lathe_json_free(value);
}

/* Values of parameters are taken as they are: a reference in one would silently stay a text. */
static void refuse_references(const substitution *s, const cJSON *value) {
    if (cJSON_IsString(value) && strstr(value->valuestring, "${") != NULL)
        lathe_diag_add(
            s->diags, s->doc, value,
            "a parameter's value cannot refer to another parameter; write the value itself");
    for (const cJSON *child = value->child; child != NULL; child = child->next)
        refuse_references(s, child);
}

void lathe_params_apply(lathe_json *doc, const char *const *sets, size_t n_sets,
                        lathe_diags *diags) {
    cJSON *root = lathe_json_root(doc);
    substitution s = {doc, lathe_json_get(root, "params"), diags};
    if (s.params != NULL && !cJSON_IsObject(s.params)) {
        lathe_diag_add(diags, doc, s.params, "\"params\" is %s; expected an object of named values",
                       lathe_json_type_name(s.params));
        return;
    }
    for (size_t i = 0; i < n_sets; i++)
        apply_set(&s, sets[i]);
    if (s.params != NULL)
        refuse_references(&s, s.params);
    if (!cJSON_IsObject(root))
        return;
    for (cJSON *child = root->child, *next; child != NULL; child = next) {
        next = child->next;
        if (strcmp(child->string, "params") != 0)
            substitute(&s, child);
    }
}
