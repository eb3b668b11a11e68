#include "base/nearest.h"
#include "base/size.h"
#include "plugin/bind_internal.h"
#include "plugin/check.h"
#include "plugin/selector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `"epochs" is 0; expected an integer from 1 to 1000 epochs` */
static void complain_type(lathe_binding *b, const lathe_param *p, const lathe_site *s,
                          bool element) {
    char found[64], expected[512];
    lathe_json_brief(s->node, found, sizeof found);
    lathe_bind_expected(p, element, expected, sizeof expected);
    bool inside = element && (p->flags & (LATHE_PARAM_LIST | LATHE_PARAM_MAP));
    lathe_bind_complain(b, s, "%s\"%s\" is %s; expected %s", inside ? "an element of " : "",
                        p->name, found, expected);
}

static void *take(lathe_binding *b, size_t count, size_t item) {
    void *memory = lathe_arena_array(b->arena, count, item);
    if (memory == NULL)
        b->no_memory = true;
    return memory;
}

/* ---- numbers ---- */

/* long double holds every int64 exactly on the platforms that have 64 bits of mantissa;
 * elsewhere the bounds, being doubles, are compared to the nearest. */
static bool in_range(const lathe_param *p, long double v) {
    if (p->flags & LATHE_PARAM_HAS_MIN)
        if (v < p->min || ((p->flags & LATHE_PARAM_EXCL_MIN) && v == p->min))
            return false;
    if (p->flags & LATHE_PARAM_HAS_MAX)
        if (v > p->max || ((p->flags & LATHE_PARAM_EXCL_MAX) && v == p->max))
            return false;
    return true;
}

static bool read_int(lathe_binding *b, const lathe_param *p, const lathe_site *s, int64_t *v) {
    if (!cJSON_IsNumber(s->node) || !lathe_json_int64(s->doc, s->node, v) || *v == LATHE_INT_NULL ||
        !in_range(p, (long double)*v)) {
        complain_type(b, p, s, true);
        return false;
    }
    lathe_jsonw_int(&b->w, *v);
    return true;
}

static void bind_float(lathe_binding *b, const lathe_param *p, const lathe_site *s, double *dest) {
    if (!cJSON_IsNumber(s->node) || !isfinite(s->node->valuedouble) ||
        !in_range(p, s->node->valuedouble)) {
        complain_type(b, p, s, true);
        return;
    }
    *dest = s->node->valuedouble;
    lathe_jsonw_double(&b->w, *dest);
}

/* ---- texts ---- */

/* Index of a choice, or -1 after a complaint that names the nearest. */
static int32_t read_choice(lathe_binding *b, const lathe_param *p, const lathe_site *s) {
    const char *text = s->node->valuestring;
    size_t n = 0;
    for (; p->choices[n] != NULL; n++)
        if (strcmp(p->choices[n], text) == 0) {
            lathe_jsonw_str(&b->w, text);
            return (int32_t)n;
        }
    char found[64], expected[400];
    const char *near = lathe_nearest(text, p->choices, n);
    lathe_json_brief(s->node, found, sizeof found);
    lathe_bind_expected(p, true, expected, sizeof expected);
    lathe_bind_complain(b, s, "\"%s\" is %s; expected %s%s%s%s", p->name, found, expected,
                        near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return -1;
}

static void note_path(lathe_binding *b, const char *given, const char *resolved) {
    if (b->n_paths == b->paths_cap) {
        size_t cap = b->paths_cap ? 2 * b->paths_cap : 8;
        lathe_bound_path *grown = realloc(b->paths, cap * sizeof *grown);
        if (grown == NULL) {
            b->no_memory = true;
            return;
        }
        b->paths = grown;
        b->paths_cap = cap;
    }
    const char *pointer = lathe_arena_strdup(b->arena, lathe_buf_str(&b->where));
    b->no_memory |= pointer == NULL;
    b->paths[b->n_paths++] = (lathe_bound_path){pointer, given, resolved};
}

static void bind_string(lathe_binding *b, const lathe_param *p, const lathe_site *s,
                        const char **dest) {
    if (!cJSON_IsString(s->node)) {
        complain_type(b, p, s, true);
        return;
    }
    const char *given = lathe_arena_strdup(b->arena, s->node->valuestring);
    b->no_memory |= given == NULL;
    *dest = given;
    lathe_jsonw_str(&b->w, given);
    if (!(p->flags & LATHE_PARAM_PATH) || given == NULL || b->binder == NULL)
        return;
    if (b->binder->resolve_path != NULL) {
        char *resolved = NULL;
        lathe_error err = {0};
        if (b->binder->resolve_path(b->binder->path_user, given, &resolved, &err) != LATHE_OK) {
            lathe_bind_complain(b, s, "\"%s\": %s", p->name, err.message);
            free(resolved);
            return;
        }
        *dest = lathe_arena_strdup(b->arena, resolved);
        b->no_memory |= *dest == NULL;
        free(resolved);
    }
    note_path(b, given, *dest);
}

static void bind_scalar(lathe_binding *b, const lathe_param *p, const lathe_site *s,
                        lathe_scalar *dest) {
    if (cJSON_IsBool(s->node)) {
        dest->type = LATHE_SCALAR_BOOL;
        dest->boolean = cJSON_IsTrue(s->node);
        lathe_jsonw_bool(&b->w, dest->boolean);
    } else if (cJSON_IsString(s->node)) {
        dest->type = LATHE_SCALAR_STRING;
        dest->string = lathe_arena_strdup(b->arena, s->node->valuestring);
        b->no_memory |= dest->string == NULL;
        lathe_jsonw_str(&b->w, s->node->valuestring);
    } else if (cJSON_IsNumber(s->node) && isfinite(s->node->valuedouble) &&
               in_range(p, s->node->valuedouble)) {
        dest->type = LATHE_SCALAR_NUMBER;
        dest->number = s->node->valuedouble;
        lathe_jsonw_double(&b->w, dest->number);
    } else {
        complain_type(b, p, s, true);
    }
}

static void bind_columns(lathe_binding *b, const lathe_site *s, const lathe_selector **dest) {
    lathe_diags own = {0};
    lathe_error err = {0};
    *dest = lathe_selector_parse(b->arena, s->doc, s->node, s->is_default ? &own : b->diags);
    if (*dest == NULL) {
        b->errors++;
        if (s->is_default && lathe_diags_error(&own, LATHE_E_INVALID, &err) != LATHE_OK)
            lathe_bind_complain(b, s, "%s", err.message);
    } else {
        lathe_buf text = {0};
        lathe_json_print(s->doc, s->node, &text);
        lathe_jsonw_raw(&b->w, lathe_buf_str(&text), text.len);
        b->no_memory |= text.failed != 0;
        lathe_buf_free(&text);
    }
    lathe_diags_free(&own);
}

/* ---- one value ---- */

static void bind_int_or_enum(lathe_binding *b, const lathe_param *p, const lathe_site *s,
                             lathe_int_or_enum *dest) {
    dest->choice = -1;
    dest->value = LATHE_INT_NULL;
    if (cJSON_IsString(s->node))
        dest->choice = read_choice(b, p, s);
    else
        read_int(b, p, s, &dest->value);
}

static void bind_element(lathe_binding *b, const lathe_param *p, const lathe_site *s, void *dest) {
    switch (p->type) {
    case LATHE_PARAM_BOOL:
        if (!cJSON_IsBool(s->node)) {
            complain_type(b, p, s, true);
            return;
        }
        *(int32_t *)dest = cJSON_IsTrue(s->node) ? 1 : 0;
        lathe_jsonw_bool(&b->w, cJSON_IsTrue(s->node));
        return;
    case LATHE_PARAM_INT:
        read_int(b, p, s, dest);
        return;
    case LATHE_PARAM_FLOAT:
        bind_float(b, p, s, dest);
        return;
    case LATHE_PARAM_STRING:
        bind_string(b, p, s, dest);
        return;
    case LATHE_PARAM_ENUM:
        if (!cJSON_IsString(s->node))
            complain_type(b, p, s, true);
        else
            *(int32_t *)dest = read_choice(b, p, s);
        return;
    case LATHE_PARAM_INT_OR_ENUM:
        bind_int_or_enum(b, p, s, dest);
        return;
    case LATHE_PARAM_SCALAR:
        bind_scalar(b, p, s, dest);
        return;
    case LATHE_PARAM_RECORD:
        if (!cJSON_IsObject(s->node))
            complain_type(b, p, s, true);
        else
            lathe_bind_fields(b, p->fields, p->n_fields, s, p->name, dest);
        return;
    case LATHE_PARAM_COMPONENT:
        lathe_bind_component(b, s, p->kind, dest);
        return;
    case LATHE_PARAM_COLUMNS:
        bind_columns(b, s, dest);
        return;
    }
}

/* ---- lists and maps ---- */

lathe_site lathe_bind_inner(const lathe_site *outer, const cJSON *node) {
    lathe_site s = *outer;
    s.node = node;
    if (!s.is_default)
        s.at = node;
    return s;
}

size_t lathe_bind_down(lathe_binding *b, const char *name, int index) {
    size_t len = b->where.len;
    lathe_buf_append_char(&b->where, '/');
    if (name == NULL) {
        lathe_buf_printf(&b->where, "%d", index);
        return len;
    }
    for (; *name != '\0'; name++) {
        if (*name == '~')
            lathe_buf_append_str(&b->where, "~0");
        else if (*name == '/')
            lathe_buf_append_str(&b->where, "~1");
        else
            lathe_buf_append_char(&b->where, *name);
    }
    return len;
}

void lathe_bind_up(lathe_binding *b, size_t len) {
    if (b->where.data != NULL && len <= b->where.len) {
        b->where.len = len;
        b->where.data[len] = '\0';
    }
}

static bool count_ok(lathe_binding *b, const lathe_param *p, const lathe_site *s, int n) {
    if (n >= p->min_count && (p->max_count == 0 || n <= p->max_count))
        return true;
    char expected[512];
    lathe_bind_expected(p, false, expected, sizeof expected);
    lathe_bind_complain(b, s, "\"%s\" has %d element%s; expected %s", p->name, n, n == 1 ? "" : "s",
                        expected);
    return false;
}

static void bind_list(lathe_binding *b, const lathe_param *p, const lathe_site *s,
                      lathe_list *dest) {
    bool single = !cJSON_IsArray(s->node) && (p->flags & LATHE_PARAM_SINGLE);
    if (!cJSON_IsArray(s->node) && !single) {
        complain_type(b, p, s, false);
        return;
    }
    int n = single ? 1 : cJSON_GetArraySize(s->node);
    size_t size = lathe_param_element_size(p);
    if (!count_ok(b, p, s, n))
        return;
    char *items = take(b, (size_t)n, size);
    if (items == NULL)
        return;
    lathe_jsonw_begin_array(&b->w);
    const cJSON *item = single ? s->node : s->node->child;
    for (int i = 0; i < n; i++, item = item->next) {
        lathe_site element = lathe_bind_inner(s, item);
        size_t len = lathe_bind_down(b, NULL, i);
        bind_element(b, p, &element, items + (size_t)i * size);
        lathe_bind_up(b, len);
    }
    lathe_jsonw_end_array(&b->w);
    *dest = (lathe_list){items, n};
}

static void bind_map(lathe_binding *b, const lathe_param *p, const lathe_site *s, lathe_map *dest) {
    if (!cJSON_IsObject(s->node)) {
        complain_type(b, p, s, false);
        return;
    }
    int n = cJSON_GetArraySize(s->node);
    size_t size = lathe_param_element_size(p);
    if (!count_ok(b, p, s, n))
        return;
    char *values = take(b, (size_t)n, size);
    const char **keys = take(b, (size_t)n, sizeof *keys);
    if (values == NULL || keys == NULL)
        return;
    lathe_jsonw_begin_object(&b->w);
    const cJSON *item = s->node->child;
    for (int i = 0; i < n; i++, item = item->next) {
        lathe_site element = lathe_bind_inner(s, item);
        size_t len = lathe_bind_down(b, item->string, 0);
        keys[i] = lathe_arena_strdup(b->arena, item->string);
        b->no_memory |= keys[i] == NULL;
        lathe_jsonw_key(&b->w, item->string);
        bind_element(b, p, &element, values + (size_t)i * size);
        lathe_bind_up(b, len);
    }
    lathe_jsonw_end_object(&b->w);
    *dest = (lathe_map){keys, values, n};
}

/* ---- a parameter ---- */

static void bind_null(const lathe_param *p, void *dest) {
    if (p->flags & LATHE_PARAM_LIST) {
        *(lathe_list *)dest = (lathe_list){NULL, -1};
        return;
    }
    if (p->flags & LATHE_PARAM_MAP) {
        *(lathe_map *)dest = (lathe_map){NULL, NULL, -1};
        return;
    }
    switch (p->type) {
    case LATHE_PARAM_BOOL:
    case LATHE_PARAM_ENUM:
        *(int32_t *)dest = -1;
        return;
    case LATHE_PARAM_INT:
        *(int64_t *)dest = LATHE_INT_NULL;
        return;
    case LATHE_PARAM_FLOAT:
        *(double *)dest = NAN;
        return;
    case LATHE_PARAM_INT_OR_ENUM:
        *(lathe_int_or_enum *)dest = (lathe_int_or_enum){LATHE_INT_NULL, -1, 0};
        return;
    default: /* pointers, records and LATHE_SCALAR_NULL are zeroed already */
        return;
    }
}

void lathe_bind_value(lathe_binding *b, const lathe_param *p, const lathe_site *s, void *dest) {
    if (cJSON_IsNull(s->node)) {
        if (p->flags & LATHE_PARAM_NULLABLE) {
            bind_null(p, dest);
            lathe_jsonw_null(&b->w);
        } else {
            complain_type(b, p, s, false);
        }
    } else if (p->flags & LATHE_PARAM_LIST) {
        bind_list(b, p, s, dest);
    } else if (p->flags & LATHE_PARAM_MAP) {
        bind_map(b, p, s, dest);
    } else {
        bind_element(b, p, s, dest);
    }
}
