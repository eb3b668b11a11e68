#include "plugin/selector.h"

#include "base/nearest.h"

#include <stdlib.h>
#include <string.h>

enum form {
    FORM_ALL,
    FORM_NUMERIC,
    FORM_CATEGORICAL,
    FORM_TEXT,
    FORM_TIME,
    FORM_NAME,
    FORM_PATTERN,
    FORM_UNION,
    FORM_EXCEPT
};

struct lathe_selector {
    enum form form;
    const char *text;                          /* NAME, PATTERN */
    const struct lathe_selector *const *parts; /* UNION: n; EXCEPT: 1 */
    size_t n;
};

#define MAX_SELECTOR_DEPTH 8

static const char *const words[] = {"all", "numeric", "categorical", "text", "time"};

typedef struct parser {
    lathe_arena *arena;
    const lathe_json *doc;
    lathe_diags *diags;
} parser;

static const lathe_selector *parse(const parser *p, const cJSON *node, bool names_only, int depth);

static lathe_selector *make(const parser *p, const cJSON *node, enum form form) {
    lathe_selector *s = lathe_arena_alloc(p->arena, sizeof *s);
    if (s == NULL)
        lathe_diag_add(p->diags, p->doc, node, "out of memory");
    else
        s->form = form;
    return s;
}

static const lathe_selector *parse_text(const parser *p, const cJSON *node, bool names_only) {
    const char *text = node->valuestring;
    if (text[0] == '\0') {
        lathe_diag_add(p->diags, p->doc, node, "a column's name is empty; give the name");
        return NULL;
    }
    enum form form = strpbrk(text, "*?") != NULL ? FORM_PATTERN : FORM_NAME;
    for (int i = 0; i < 5; i++)
        if (strcmp(text, words[i]) == 0)
            form = (enum form)i;
    lathe_selector *s = make(p, node, names_only ? FORM_NAME : form);
    if (s != NULL) {
        s->text = lathe_arena_strdup(p->arena, text);
        if (s->text == NULL)
            return NULL;
    }
    return s;
}

static const lathe_selector *parse_list(const parser *p, const cJSON *node, bool names_only,
                                        int depth) {
    int n = cJSON_GetArraySize(node);
    lathe_selector *s = make(p, node, FORM_UNION);
    const lathe_selector **parts =
        s != NULL ? lathe_arena_array(p->arena, (size_t)n, sizeof *parts) : NULL;
    if (parts == NULL)
        return NULL;
    bool good = true;
    const cJSON *item = node->child;
    for (int i = 0; i < n; i++, item = item->next) {
        parts[i] = parse(p, item, names_only, depth + 1);
        good &= parts[i] != NULL;
    }
    s->parts = parts;
    s->n = (size_t)n;
    return good ? s : NULL;
}

static const lathe_selector *parse_object(const parser *p, const cJSON *node, int depth) {
    const cJSON *first = node->child;
    if (first != NULL && first->next == NULL && strcmp(first->string, "names") == 0) {
        if (cJSON_IsArray(first))
            return parse_list(p, first, true, depth);
        lathe_diag_add(p->diags, p->doc, first, "\"names\" is %s; expected a list of names",
                       lathe_json_type_name(first));
        return NULL;
    }
    if (first != NULL && first->next == NULL && strcmp(first->string, "except") == 0) {
        lathe_selector *s = make(p, node, FORM_EXCEPT);
        const lathe_selector **part =
            s != NULL ? lathe_arena_array(p->arena, 1, sizeof *part) : NULL;
        if (part == NULL || (part[0] = parse(p, first, false, depth + 1)) == NULL)
            return NULL;
        s->parts = part;
        s->n = 1;
        return s;
    }
    lathe_diag_add(p->diags, p->doc, node,
                   "columns as an object are {\"except\": …} or {\"names\": […]}; correct it");
    return NULL;
}

static const lathe_selector *parse(const parser *p, const cJSON *node, bool names_only, int depth) {
    if (depth > MAX_SELECTOR_DEPTH) {
        lathe_diag_add(p->diags, p->doc, node,
                       "columns are nested more than %d deep; simplify them", MAX_SELECTOR_DEPTH);
        return NULL;
    }
    if (cJSON_IsString(node))
        return parse_text(p, node, names_only);
    if (!names_only && cJSON_IsArray(node))
        return parse_list(p, node, false, depth);
    if (!names_only && cJSON_IsObject(node))
        return parse_object(p, node, depth);
    char found[64];
    lathe_diag_add(p->diags, p->doc, node,
                   "columns are %s; expected \"numeric\", \"categorical\", \"text\", \"time\", "
                   "\"all\", a name, a pattern, a list of these or {\"except\": …}",
                   lathe_json_brief(node, found, sizeof found));
    return NULL;
}

const lathe_selector *lathe_selector_parse(lathe_arena *arena, const lathe_json *doc,
                                           const cJSON *node, lathe_diags *diags) {
    parser p = {arena, doc, diags};
    return parse(&p, node, false, 0);
}

/* ---- resolving ---- */

/* Does the name fit the pattern of * (any run) and ? (one byte)? Linear in pattern * name, no
 * recursion. */
static bool fits(const char *pattern, const char *name) {
    const char *star = NULL, *resume = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool of_form(enum form form, const lathe_column *c) {
    switch (form) {
    case FORM_ALL:
        return true;
    case FORM_NUMERIC:
        return lathe_is_numeric(c);
    case FORM_CATEGORICAL:
        return c->type == LATHE_COLUMN_CATEGORY;
    case FORM_TEXT:
        return c->type == LATHE_COLUMN_STRING;
    case FORM_TIME:
        return c->type == LATHE_COLUMN_TIMESTAMP;
    default:
        return false;
    }
}

static int32_t fail_missing(const lathe_selector *s, const lathe_table *t, lathe_error *err) {
    if (s->form == FORM_PATTERN)
        return lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                          "no column fits the pattern \"%s\"; correct it or leave it out", s->text);
    const char *near = NULL;
    const char **names = calloc((size_t)t->n_columns + 1, sizeof *names);
    if (names != NULL) {
        for (int64_t i = 0; i < t->n_columns; i++)
            names[i] = t->columns[i].name;
        near = lathe_nearest(s->text, names, (size_t)t->n_columns);
    }
    free(names);
    return lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "the table has no column \"%s\"%s%s%s", s->text,
                      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Sets mark[i] to `value` where the selector means column i. */
static int32_t mark_columns(const lathe_selector *s, const lathe_table *t, char *mark,
                            lathe_error *err) {
    bool any = false;
    switch (s->form) {
    case FORM_UNION:
        for (size_t i = 0; i < s->n; i++) {
            int32_t rc = mark_columns(s->parts[i], t, mark, err);
            if (rc != LATHE_OK)
                return rc;
        }
        return LATHE_OK;
    case FORM_EXCEPT: {
        char *not_these = calloc((size_t)t->n_columns + 1, 1);
        if (not_these == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
        int32_t rc = mark_columns(s->parts[0], t, not_these, err);
        for (int64_t i = 0; rc == LATHE_OK && i < t->n_columns; i++)
            mark[i] |= !not_these[i];
        free(not_these);
        return rc;
    }
    case FORM_NAME:
    case FORM_PATTERN:
        for (int64_t i = 0; i < t->n_columns; i++) {
            const char *name = t->columns[i].name;
            if (s->form == FORM_NAME ? strcmp(name, s->text) == 0 : fits(s->text, name)) {
                mark[i] = 1;
                any = true;
            }
        }
        return any ? LATHE_OK : fail_missing(s, t, err);
    default:
        for (int64_t i = 0; i < t->n_columns; i++)
            mark[i] |= of_form(s->form, &t->columns[i]);
        return LATHE_OK;
    }
}

int32_t lathe_selector_resolve(const lathe_selector *selector, const lathe_table *table,
                               int32_t *columns, int64_t capacity, int64_t *n, lathe_error *err) {
    *n = 0;
    if (table->n_columns > INT32_MAX)
        return lathe_fail(err, LATHE_E_SHAPE, NULL, "the table has too many columns");
    char *mark = calloc((size_t)table->n_columns + 1, 1);
    if (mark == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = LATHE_OK;
    if (selector == NULL)
        memset(mark, 1, (size_t)table->n_columns);
    else
        rc = mark_columns(selector, table, mark, err);
    int64_t count = 0;
    for (int64_t i = 0; rc == LATHE_OK && i < table->n_columns; i++) {
        if (!mark[i])
            continue;
        if (count < capacity)
            columns[count] = (int32_t)i;
        count++;
    }
    free(mark);
    if (rc == LATHE_OK && count > capacity)
        rc = lathe_fail(err, LATHE_E_SHAPE, NULL,
                        "%lld columns are meant, but there is room for %lld", (long long)count,
                        (long long)capacity);
    *n = rc == LATHE_OK ? count : 0;
    return rc;
}
