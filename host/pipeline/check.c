#include "pipeline/check.h"

#include "base/nearest.h"

#include <string.h>

static size_t count_names(const char *const *names) {
    size_t n = 0;
    while (names[n] != NULL)
        n++;
    return n;
}

static bool is_known(const char *name, const char *const *known) {
    for (; *known != NULL; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

bool lathe_check_object(const lathe_check *c, const cJSON *node, const char *what,
                        const char *const *known) {
    if (!cJSON_IsObject(node)) {
        lathe_diag_add(c->diags, c->doc, node, "%s is %s; expected an object", what,
                       lathe_json_type_name(node));
        return false;
    }
    const cJSON *child;
    cJSON_ArrayForEach(child, node) {
        if (is_known(child->string, known))
            continue;
        const char *near = lathe_nearest(child->string, known, count_names(known));
        lathe_buf list = {0};
        for (size_t i = 0; known[i] != NULL; i++)
            lathe_buf_printf(&list, "%s%s", i ? ", " : "", known[i]);
        if (near != NULL)
            lathe_diag_add_key(c->diags, c->doc, child,
                               "%s has no key \"%s\"; did you mean \"%s\"?", what, child->string,
                               near);
        else
            lathe_diag_add_key(c->diags, c->doc, child, "%s has no key \"%s\"; it takes: %s", what,
                               child->string, lathe_buf_str(&list));
        lathe_buf_free(&list);
    }
    return true;
}

const cJSON *lathe_check_required(const lathe_check *c, const cJSON *object, const char *what,
                                  const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL && cJSON_IsObject(object))
        lathe_diag_add(c->diags, c->doc, object, "%s lacks \"%s\", which is required", what, key);
    return node;
}

/* Reports that `node` is not `expected`. */
static void wrong(const lathe_check *c, const cJSON *node, const char *expected) {
    char brief[48];
    lathe_diag_add(c->diags, c->doc, node, "\"%s\" is %s; expected %s", node->string,
                   lathe_json_brief(node, brief, sizeof brief), expected);
}

const char *lathe_check_string(const lathe_check *c, const cJSON *object, const char *key,
                               const char *def) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL)
        return def;
    if (!cJSON_IsString(node) || node->valuestring[0] == 0) {
        wrong(c, node, "a text that is not empty");
        return def;
    }
    return lathe_arena_strdup(c->arena, node->valuestring);
}

bool lathe_check_bool(const lathe_check *c, const cJSON *object, const char *key, bool def) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL)
        return def;
    if (!cJSON_IsBool(node)) {
        wrong(c, node, "true or false");
        return def;
    }
    return cJSON_IsTrue(node);
}

int64_t lathe_check_int(const lathe_check *c, const cJSON *object, const char *key, int64_t min,
                        int64_t max, int64_t def) {
    const cJSON *node = lathe_json_get(object, key);
    int64_t value;
    if (node == NULL)
        return def;
    if (!lathe_json_int64(c->doc, node, &value) || value < min || value > max) {
        char text[96];
        snprintf(text, sizeof text, "an integer from %lld to %lld", (long long)min, (long long)max);
        wrong(c, node, text);
        return def;
    }
    return value;
}

double lathe_check_number(const lathe_check *c, const cJSON *object, const char *key, double min,
                          double max, double def) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL)
        return def;
    if (!cJSON_IsNumber(node) || !(node->valuedouble >= min && node->valuedouble <= max)) {
        char text[96];
        snprintf(text, sizeof text, "a number from %g to %g", min, max);
        wrong(c, node, text);
        return def;
    }
    return node->valuedouble;
}

int lathe_check_choice(const lathe_check *c, const cJSON *object, const char *key,
                       const char *const *choices, int def) {
    const cJSON *node = lathe_json_get(object, key);
    if (node == NULL)
        return def;
    if (cJSON_IsString(node))
        for (int i = 0; choices[i] != NULL; i++)
            if (strcmp(choices[i], node->valuestring) == 0)
                return i;
    lathe_buf text = {0};
    lathe_buf_append_str(&text, "one of ");
    for (int i = 0; choices[i] != NULL; i++)
        lathe_buf_printf(&text, "%s\"%s\"", i ? ", " : "", choices[i]);
    const char *near = cJSON_IsString(node)
                           ? lathe_nearest(node->valuestring, choices, count_names(choices))
                           : NULL;
    if (near != NULL)
        lathe_buf_printf(&text, "; did you mean \"%s\"?", near);
    wrong(c, node, lathe_buf_str(&text));
    lathe_buf_free(&text);
    return def;
}

static bool is_word(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

bool lathe_check_name(const lathe_check *c, const cJSON *node, const char *what, const char *name) {
    size_t len = strlen(name);
    bool good = len >= 1 && len <= 64 && is_word(name[0]);
    for (size_t i = 0; good && i < len; i++)
        good = is_word(name[i]) || name[i] == '_' || name[i] == '-' || name[i] == '.';
    if (!good)
        lathe_diag_add(
            c->diags, c->doc, node,
            "%s \"%.80s\" is not a usable name; expected 1 to 64 letters, digits, '_', '-' or "
            "'.', beginning with a letter or digit",
            what, name);
    return good;
}
