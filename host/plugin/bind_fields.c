/* Whole tables of parameters: what is given, what is not known, what has its default. */
#include "base/nearest.h"
#include "plugin/bind_internal.h"
#include "plugin/check.h"

#include <stdlib.h>
#include <string.h>

static const cJSON empty_object = {.type = cJSON_Object};

/* The default's document, kept until the end of the binding. NULL: it is no JSON, or no memory. */
static const lathe_json *default_document(lathe_binding *b, const char *text, lathe_error *err) {
    if (b->n_defaults == b->defaults_cap) {
        size_t cap = b->defaults_cap ? 2 * b->defaults_cap : 16;
        lathe_json **grown = realloc(b->defaults, cap * sizeof *grown);
        if (grown == NULL) {
            b->no_memory = true;
            lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
            return NULL;
        }
        b->defaults = grown;
        b->defaults_cap = cap;
    }
    lathe_json *doc = lathe_json_read(text, strlen(text), NULL, NULL, err);
    if (doc != NULL)
        b->defaults[b->n_defaults++] = doc;
    return doc;
}

static const char *default_text(const lathe_binding *b, const lathe_param *p) {
    int32_t task = b->binder != NULL ? b->binder->task : 0;
    for (size_t i = 0; task != 0 && p->by_task != NULL && p->by_task[i].task != 0; i++)
        if (p->by_task[i].task == task)
            return p->by_task[i].value;
    return p->def;
}

static void bind_default(lathe_binding *b, const lathe_param *p, const lathe_site *object,
                         const char *owner, void *dest) {
    const char *text = default_text(b, p);
    if (text == NULL) {
        char expected[512];
        lathe_bind_expected(p, false, expected, sizeof expected);
        lathe_bind_complain(b, object, "\"%s\" needs \"%s\": %s (%s)", owner, p->name, expected,
                            p->doc);
        return;
    }
    lathe_error err = {0};
    const lathe_json *doc = default_document(b, text, &err);
    if (doc == NULL) {
        lathe_bind_complain(b, object, "the default of \"%s\" cannot be used: %s", p->name,
                            err.message);
        return;
    }
    lathe_site s = {doc, lathe_json_root(doc), object->at_doc, object->at, true};
    lathe_bind_value(b, p, &s, dest);
}

/* The author's node for a parameter, by name or alias; NULL: not given. */
static const cJSON *given_node(lathe_binding *b, const lathe_param *p, const lathe_site *object) {
    const cJSON *node = lathe_json_get(object->node, p->name);
    const cJSON *old = p->alias != NULL ? lathe_json_get(object->node, p->alias) : NULL;
    if (node != NULL && old != NULL) {
        lathe_site s = lathe_bind_inner(object, old);
        lathe_bind_complain(b, &s,
                            "\"%s\" is an older name of \"%s\", and both are given; keep one",
                            p->alias, p->name);
    }
    return node != NULL ? node : old;
}

/* "; known are a, b and c", or nothing where there are none or too many. */
static void list_names(const lathe_param *params, uint32_t n, lathe_buf *out) {
    if (n == 0)
        lathe_buf_append_str(out, "; it has no parameters");
    else
        lathe_buf_append_str(out, "; known are ");
    for (uint32_t i = 0; i < n; i++)
        lathe_buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", params[i].name);
}

static void complain_unknown(lathe_binding *b, const lathe_param *params, uint32_t n,
                             const lathe_site *object, const char *owner, const cJSON *item) {
    const char *names[LATHE_MAX_PARAMS] = {0};
    for (uint32_t i = 0; i < n && i < LATHE_MAX_PARAMS; i++)
        names[i] = params[i].name;
    const char *near = lathe_nearest(item->string, names, n < LATHE_MAX_PARAMS ? n : 0);
    lathe_buf known = {0};
    if (near == NULL)
        list_names(params, n, &known);
    b->errors++;
    if (object->is_default)
        lathe_diag_add(b->diags, object->at_doc, object->at,
                       "a default of \"%s\" has the unknown "
                       "parameter \"%s\"%s",
                       owner, item->string, lathe_buf_str(&known));
    else
        lathe_diag_add_key(b->diags, object->doc, item, "\"%s\" has no parameter \"%s\"%s%s%s%s",
                           owner, item->string, near ? "; did you mean \"" : "", near ? near : "",
                           near ? "\"?" : "", lathe_buf_str(&known));
    lathe_buf_free(&known);
}

static bool is_known(const lathe_param *params, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(params[i].name, name) == 0 ||
            (params[i].alias != NULL && strcmp(params[i].alias, name) == 0))
            return true;
    return false;
}

void lathe_bind_fields(lathe_binding *b, const lathe_param *params, uint32_t n,
                       const lathe_site *object, const char *owner, void *dest) {
    lathe_site own = *object;
    if (own.node == NULL)
        own.node = &empty_object;
    for (const cJSON *item = own.node->child; item != NULL; item = item->next)
        if (!is_known(params, n, item->string))
            complain_unknown(b, params, n, &own, owner, item);
    lathe_jsonw_begin_object(&b->w);
    for (uint32_t i = 0; i < n; i++) {
        const lathe_param *p = &params[i];
        void *place = (char *)dest + p->offset;
        const cJSON *node = given_node(b, p, &own);
        size_t len = lathe_bind_down(b, p->name, 0);
        lathe_jsonw_key(&b->w, p->name);
        if (node != NULL) {
            lathe_site s = lathe_bind_inner(&own, node);
            lathe_bind_value(b, p, &s, place);
        } else {
            bind_default(b, p, &own, owner, place);
        }
        lathe_bind_up(b, len);
    }
    lathe_jsonw_end_object(&b->w);
}

int32_t lathe_bind_check_default(const lathe_param *p, const char *text, lathe_error *err) {
    lathe_diags diags = {0};
    int32_t rc = LATHE_E_MEMORY;
    _Alignas(16) char stack[64];
    void *dest = NULL;
    lathe_binding b = {.diags = &diags, .arena = lathe_arena_new()};
    b.w = lathe_jsonw_to(&b.text);
    lathe_json *doc = lathe_json_read(text, strlen(text), NULL, NULL, err);
    if (doc == NULL) {
        rc = err != NULL ? err->code : LATHE_E_INVALID;
        goto done;
    }
    size_t size = lathe_param_size(p);
    dest = size <= sizeof stack ? memset(stack, 0, sizeof stack)
           : b.arena != NULL    ? lathe_arena_alloc(b.arena, size)
                                : NULL;
    if (b.arena == NULL || dest == NULL)
        goto done;
    lathe_site s = {doc, lathe_json_root(doc), doc, lathe_json_root(doc), false};
    lathe_bind_value(&b, p, &s, dest);
    rc = b.no_memory ? LATHE_E_MEMORY : b.errors > 0 ? LATHE_E_INVALID : LATHE_OK;
    if (rc == LATHE_E_INVALID)
        lathe_diags_error(&diags, rc, err);
done:
    if (rc == LATHE_E_MEMORY)
        lathe_fail(err, rc, NULL, "out of memory");
    for (size_t i = 0; i < b.n_defaults; i++)
        lathe_json_free(b.defaults[i]);
    free(b.defaults);
    free(b.paths);
    lathe_json_free(doc);
    lathe_buf_free(&b.text);
    lathe_buf_free(&b.where);
    lathe_diags_free(&diags);
    lathe_arena_free(b.arena);
    return rc;
}
