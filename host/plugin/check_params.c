/* The rules of parameter tables. */
#include "plugin/bind_internal.h"
#include "plugin/check.h"
#include "plugin/kinds.h"
#include "plugin/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PARAM_FLAGS_KNOWN ((1u << 11) - 1)

/* Not NULL, not empty, not too long, valid UTF-8 without control characters. */
static bool text_ok(const char *text) {
    return lathe_text_is_usable(text, LATHE_MAX_PLUGIN_TEXT);
}

size_t lathe_param_element_size(const lathe_param *p) {
    switch (p->type) {
    case LATHE_PARAM_BOOL:
    case LATHE_PARAM_ENUM:
        return sizeof(int32_t);
    case LATHE_PARAM_INT:
        return sizeof(int64_t);
    case LATHE_PARAM_FLOAT:
        return sizeof(double);
    case LATHE_PARAM_STRING:
    case LATHE_PARAM_COMPONENT:
    case LATHE_PARAM_COLUMNS:
        return sizeof(void *);
    case LATHE_PARAM_INT_OR_ENUM:
        return sizeof(lathe_int_or_enum);
    case LATHE_PARAM_SCALAR:
        return sizeof(lathe_scalar);
    case LATHE_PARAM_RECORD:
        return p->record_size;
    default:
        return 0;
    }
}

size_t lathe_param_size(const lathe_param *p) {
    if (p->flags & LATHE_PARAM_LIST)
        return sizeof(lathe_list);
    if (p->flags & LATHE_PARAM_MAP)
        return sizeof(lathe_map);
    return lathe_param_element_size(p);
}

/* Alignment of what stands at the offset. A record's is that of its widest member. */
static size_t param_align(const lathe_param *p) {
    if (p->flags & (LATHE_PARAM_LIST | LATHE_PARAM_MAP))
        return sizeof(void *);
    if (p->type == LATHE_PARAM_BOOL || p->type == LATHE_PARAM_ENUM)
        return sizeof(int32_t);
    if (p->type != LATHE_PARAM_RECORD)
        return 8;
    size_t align = 1;
    for (uint32_t i = 0; i < p->n_fields; i++) {
        size_t a = param_align(&p->fields[i]);
        align = a > align ? a : align;
    }
    return align;
}

bool lathe_is_snake_case(const char *text) {
    if (text == NULL || !(text[0] >= 'a' && text[0] <= 'z'))
        return false;
    size_t n = 0;
    for (; text[n] != '\0'; n++)
        if (n >= 64 || !((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= '0' && text[n] <= '9') ||
                         text[n] == '_'))
            return false;
    return true;
}

/* ---- tables ---- */

typedef struct table_check {
    const char *id;    /* the plugin's */
    const char *where; /* "parameter \"x\"" prefix of an outer record, "" at the top */
    lathe_error *err;
    int depth;
} table_check;

#define REFUSE(t, p, ...) refuse_param(t, p, __VA_ARGS__)

static int32_t LATHE_PRINTF(3, 4)
    refuse_param(const table_check *t, const lathe_param *p, const char *fmt, ...) {
    char what[320];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *name = text_ok(p->name) ? p->name : "?";
    return lathe_fail(t->err, LATHE_E_INVALID, NULL,
                      "plugin \"%s\": parameter \"%s%s\" %s; correct the parameter table and build "
                      "the plugin again",
                      t->id, t->where, name, what);
}

static int32_t check_numbers(const table_check *t, const lathe_param *p) {
    if ((p->flags & LATHE_PARAM_HAS_MIN) && !isfinite(p->min))
        return REFUSE(t, p, "has a smallest value that is not a finite number");
    if ((p->flags & LATHE_PARAM_HAS_MAX) && !isfinite(p->max))
        return REFUSE(t, p, "has a largest value that is not a finite number");
    if ((p->flags & LATHE_PARAM_HAS_MIN) && (p->flags & LATHE_PARAM_HAS_MAX)) {
        bool open = p->flags & (LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX);
        if (p->min > p->max || (open && p->min == p->max))
            return REFUSE(t, p, "allows nothing: its smallest value is %g and its largest %g",
                          p->min, p->max);
    }
    if (p->scale != LATHE_SCALE_LINEAR && p->scale != LATHE_SCALE_LOG)
        return REFUSE(t, p, "has scale %d, but LATHE_SCALE_LINEAR and LATHE_SCALE_LOG are all",
                      (int)p->scale);
    if (p->scale == LATHE_SCALE_LOG && (p->flags & LATHE_PARAM_HAS_MIN) && p->min < 0)
        return REFUSE(t, p, "has a logarithmic scale but allows negative values");
    if (p->min_count < 0 || p->max_count < 0 || (p->max_count > 0 && p->min_count > p->max_count))
        return REFUSE(t, p, "allows no length: from %lld to %lld elements", (long long)p->min_count,
                      (long long)p->max_count);
    return LATHE_OK;
}

static int32_t check_choices(const table_check *t, const lathe_param *p) {
    if (p->type != LATHE_PARAM_ENUM && p->type != LATHE_PARAM_INT_OR_ENUM)
        return LATHE_OK;
    if (p->choices == NULL || p->choices[0] == NULL)
        return REFUSE(t, p, "is an enumeration without choices");
    for (size_t i = 0; p->choices[i] != NULL; i++) {
        if (i >= LATHE_MAX_CHOICES)
            return REFUSE(t, p, "has more than %d choices, or its list does not end in NULL",
                          LATHE_MAX_CHOICES);
        if (!text_ok(p->choices[i]))
            return REFUSE(t, p, "has a choice (number %zu) that is no text", i + 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(p->choices[i], p->choices[k]) == 0)
                return REFUSE(t, p, "has the choice \"%s\" twice", p->choices[i]);
    }
    return LATHE_OK;
}

/* Every part of a kind list must be a kind that this host has. */
static int32_t check_kinds(const table_check *t, const lathe_param *p) {
    if (p->type != LATHE_PARAM_COMPONENT)
        return LATHE_OK;
    if (!text_ok(p->kind))
        return REFUSE(t, p, "is a component without a kind");
    for (const char *s = p->kind;;) {
        size_t len = strcspn(s, "|");
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)(len < 63 ? len : 63), s);
        const lathe_kind *k = lathe_kind_find(one);
        if (k == NULL || strcmp(k->id, one) != 0)
            return REFUSE(t, p, "is a component of kind \"%s\", which this host does not know",
                          one);
        if (s[len] == '\0')
            return LATHE_OK;
        s += len + 1;
    }
}

static int32_t check_flags(const table_check *t, const lathe_param *p) {
    if (p->flags & ~PARAM_FLAGS_KNOWN)
        return REFUSE(t, p, "has flags (0x%x) that this host does not know",
                      (unsigned)(p->flags & ~PARAM_FLAGS_KNOWN));
    if ((p->flags & LATHE_PARAM_LIST) && (p->flags & LATHE_PARAM_MAP))
        return REFUSE(t, p, "is both a list and a map");
    if ((p->flags & LATHE_PARAM_SINGLE) && !(p->flags & LATHE_PARAM_LIST))
        return REFUSE(t, p, "has LATHE_PARAM_SINGLE but is no list");
    if ((p->flags & LATHE_PARAM_PATH) && p->type != LATHE_PARAM_STRING)
        return REFUSE(t, p, "has LATHE_PARAM_PATH but is no string");
    if (((p->flags & LATHE_PARAM_REQUIRED) != 0) == (p->def != NULL))
        return REFUSE(t, p,
                      p->def ? "is required and has a default too"
                             : "is not required but has no default");
    return LATHE_OK;
}

static int32_t check_default(const table_check *t, const lathe_param *p, const char *text) {
    lathe_error e = {0};
    if (!text_ok(text))
        return REFUSE(t, p, "has a default that is no text");
    if (lathe_bind_check_default(p, text, &e) != LATHE_OK)
        return REFUSE(t, p, "has a default (%.60s) that it does not take itself: %.200s", text,
                      e.message);
    return LATHE_OK;
}

static int32_t check_defaults(const table_check *t, const lathe_param *p) {
    if (p->def != NULL) {
        int32_t rc = check_default(t, p, p->def);
        if (rc != LATHE_OK)
            return rc;
    }
    for (size_t i = 0; p->by_task != NULL && p->by_task[i].task != 0; i++) {
        int32_t task = p->by_task[i].task;
        if (i >= 8 || task < LATHE_TASK_REGRESSION || task > LATHE_TASK_MULTICLASS)
            return REFUSE(t, p, "has a default for an unknown task (%d), or its list does not end",
                          (int)task);
        int32_t rc = check_default(t, p, p->by_task[i].value);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static int32_t check_params(const table_check *t, const lathe_param *params, uint32_t n,
                            size_t struct_size);

static int32_t check_record(const table_check *t, const lathe_param *p) {
    if (p->type != LATHE_PARAM_RECORD)
        return LATHE_OK;
    if (t->depth >= LATHE_MAX_PARAM_DEPTH)
        return REFUSE(t, p, "nests records more than %d deep", LATHE_MAX_PARAM_DEPTH);
    if (p->fields == NULL || p->n_fields == 0)
        return REFUSE(t, p, "is a record without fields");
    if (p->record_size == 0 || p->record_size > LATHE_MAX_CONFIG)
        return REFUSE(t, p, "is a record of %u bytes; from 1 to %d are allowed",
                      (unsigned)p->record_size, LATHE_MAX_CONFIG);
    char where[256];
    snprintf(where, sizeof where, "%s%s.", t->where, p->name);
    table_check inner = {t->id, where, t->err, t->depth + 1};
    return check_params(&inner, p->fields, p->n_fields, p->record_size);
}

static int32_t check_place(const table_check *t, const lathe_param *p, size_t struct_size) {
    size_t size = lathe_param_size(p), align = param_align(p);
    if (p->offset > struct_size || size > struct_size - p->offset)
        return REFUSE(t, p,
                      "lies outside of its struct: %zu bytes at offset %u of %zu (is the table "
                      "that of another struct?)",
                      size, (unsigned)p->offset, struct_size);
    if (p->offset % align != 0)
        return REFUSE(t, p, "stands at offset %u, which is not a multiple of %zu",
                      (unsigned)p->offset, align);
    return LATHE_OK;
}

static int32_t check_param(const table_check *t, const lathe_param *p, size_t struct_size) {
    if (!lathe_is_snake_case(p->name))
        return REFUSE(t, p, "has a name that is not snake_case of at most 64 letters");
    if (!text_ok(p->doc))
        return REFUSE(t, p, "has no doc; one sentence is needed");
    if (p->type < LATHE_PARAM_BOOL || p->type > LATHE_PARAM_COLUMNS)
        return REFUSE(t, p, "has type %d, which this host does not know", (int)p->type);
    if (p->unit != NULL && !text_ok(p->unit))
        return REFUSE(t, p, "has a unit that is no text");
    if (p->alias != NULL && !lathe_is_snake_case(p->alias))
        return REFUSE(t, p, "has an alias that is not snake_case");
    int32_t rc;
    if ((rc = check_flags(t, p)) != LATHE_OK || (rc = check_numbers(t, p)) != LATHE_OK ||
        (rc = check_choices(t, p)) != LATHE_OK || (rc = check_kinds(t, p)) != LATHE_OK ||
        (rc = check_record(t, p)) != LATHE_OK || (rc = check_place(t, p, struct_size)) != LATHE_OK)
        return rc;
    return check_defaults(t, p);
}

static bool same_name(const char *a, const char *b) {
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static int32_t check_params(const table_check *t, const lathe_param *params, uint32_t n,
                            size_t struct_size) {
    for (uint32_t i = 0; i < n; i++) {
        const lathe_param *p = &params[i];
        int32_t rc = check_param(t, p, struct_size);
        if (rc != LATHE_OK)
            return rc;
        for (uint32_t k = 0; k < i; k++) {
            const lathe_param *q = &params[k];
            if (same_name(p->name, q->name) || same_name(p->name, q->alias) ||
                same_name(p->alias, q->name) || same_name(p->alias, q->alias))
                return REFUSE(t, p, "has a name or alias that \"%s\" has too", q->name);
            size_t p_end = p->offset + lathe_param_size(p), q_end = q->offset + lathe_param_size(q);
            if (p->offset < q_end && q->offset < p_end)
                return REFUSE(t, p, "lies over \"%s\" in the struct", q->name);
        }
    }
    return LATHE_OK;
}

int32_t lathe_check_params(const lathe_descriptor *d, lathe_error *err) {
    table_check t = {d->id, "", err, 0};
    return check_params(&t, d->params, d->n_params, d->config_size);
}
