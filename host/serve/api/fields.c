/* Query parameters and bodies by their fields: types, bounds, what is unknown, repeated or missing. */
#include "serve/api/api.h"
#include "serve/http/parse.h"

#include "base/json.h"
#include "base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXACT 9007199254740992.0 /* 2^53 */

static const api_field *find_field(const api_field *fields, const char *name) {
    for (; fields != NULL && fields->type != API_END; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

static int32_t fail_unknown(const api_field *fields, const char *what, const char *name,
                            lathe_error *err) {
    const char *names[32];
    size_t n = 0;
    for (; fields != NULL && fields->type != API_END && n < 32; fields++)
        names[n++] = fields->name;
    const char *near = lathe_nearest(name, names, n);
    if (near != NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "there is no %s \"%.60s\"; did you mean \"%s\"?", what, name, near);
    return lathe_fail(err, LATHE_E_INVALID, NULL, "there is no %s \"%.60s\"", what, name);
}

static int32_t check_required(const api_field *fields, const cJSON *object, const char *what,
                              lathe_error *err) {
    for (; fields != NULL && fields->type != API_END; fields++)
        if (fields->required && lathe_json_get(object, fields->name) == NULL)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "the %s \"%s\" is missing: %s", what,
                              fields->name, fields->doc);
    return LATHE_OK;
}

/* ---- values ---- */

static int32_t check_text(const api_field *f, const char *text, lathe_error *err) {
    const double min = f->max > 0 ? f->min : 1, max = f->max > 0 ? f->max : 1000;
    size_t chars = 0;
    for (const char *at = text; *at != 0; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" holds a control character",
                              f->name);
        chars += ((unsigned char)*at & 0xC0) != 0x80;
    }
    if ((double)chars < min || (double)chars > max)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%s\" has %zu characters; expected %.0f to %.0f", f->name, chars, min,
                          max);
    return LATHE_OK;
}

static int32_t check_choice(const api_field *f, const char *text, lathe_error *err) {
    const size_t len = strlen(text);
    for (const char *at = f->choices; *at != 0;) {
        const size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, text, n) == 0)
            return LATHE_OK;
        at += at[n] == '|' ? n + 1 : n;
    }
    return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is \"%.60s\"; expected one of %s",
                      f->name, text, f->choices);
}

static int32_t check_name(const api_field *f, const char *text, lathe_error *err) {
    return lathe_store_check_name(text, f->name, err);
}

static int32_t check_alias(const api_field *f, const char *text, lathe_error *err) {
    if (isdigit((unsigned char)text[0]))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%s\" is \"%.60s\"; an alias begins with a letter", f->name, text);
    return check_name(f, text, err);
}

static int32_t check_digits(const api_field *f, const char *text, lathe_error *err) {
    const size_t len = strlen(text);
    if (len == 0 || len > 18 || text[strspn(text, "0123456789")] != 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is \"%.60s\"; expected a number",
                          f->name, text);
    return LATHE_OK;
}

/* A text of one of the types of texts. */
static int32_t check_string(const api_field *f, const char *text, lathe_error *err) {
    switch (f->type) {
    case API_CHOICE:
        return check_choice(f, text, err);
    case API_NAME:
        return check_name(f, text, err);
    case API_ALIAS:
        return check_alias(f, text, err);
    case API_DIGITS:
        return check_digits(f, text, err);
    default:
        return check_text(f, text, err);
    }
}

static int32_t check_number(const api_field *f, double value, lathe_error *err) {
    const bool bounded = f->min != 0 || f->max != 0;
    const double min = bounded ? f->min : -EXACT, max = bounded ? f->max : EXACT;
    if (f->type == API_INT && value != floor(value))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is no integer", f->name);
    if (!(value >= min && value <= max))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is %.17g; expected %.17g to %.17g",
                          f->name, value, min, max);
    return LATHE_OK;
}

/* ---- query ---- */

/* A value from a query string as JSON; NULL: err. */
static cJSON *value_of_text(const api_field *f, const char *text, lathe_error *err) {
    int32_t rc = LATHE_OK;
    double number = 0;
    char *end;
    switch (f->type) {
    case API_INT:
    case API_NUMBER:
        number = strtod(text, &end);
        /* strtod takes blanks, hexadecimals, "inf" and "nan", too */
        if (*end != 0 || text[strspn(text, "0123456789+-.eE")] != 0 || text[0] == 0 ||
            text[0] == '+')
            rc = lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is \"%.60s\"; expected a number",
                            f->name, text);
        else
            rc = check_number(f, number, err);
        return rc == LATHE_OK ? cJSON_CreateNumber(number) : NULL;
    case API_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return cJSON_CreateBool(text[0] == 't');
        lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is \"%.60s\"; expected true or false",
                   f->name, text);
        return NULL;
    default:
        rc = check_string(f, text, err);
    }
    return rc == LATHE_OK ? cJSON_CreateString(text) : NULL;
}

static int32_t add_parameter(const api_field *fields, const char *name, const char *value,
                             cJSON *out, lathe_error *err) {
    const api_field *f = find_field(fields, name);
    cJSON *there = lathe_json_get(out, name);
    if (f == NULL)
        return fail_unknown(fields, "query parameter", name, err);
    if (there != NULL && f->type != API_TEXTS)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "the query parameter \"%s\" is given twice",
                          name);
    lathe_error_clear(err);
    cJSON *item = value_of_text(f, value, err);
    if (item == NULL)
        return err->code != 0 ? err->code : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (f->type != API_TEXTS) {
        cJSON_AddItemToObject(out, name, item);
        return LATHE_OK;
    }
    if (there == NULL)
        there = cJSON_AddArrayToObject(out, name);
    cJSON_AddItemToArray(there, item);
    return LATHE_OK;
}

/* One "name=value", decoded in place of the copy. */
static int32_t read_pair(char *pair, size_t len, const api_field *fields, cJSON *out,
                         lathe_error *err) {
    char *eq = memchr(pair, '=', len);
    const size_t name_len = eq ? (size_t)(eq - pair) : len;
    char *value = eq ? eq + 1 : pair + len;
    size_t n = http_percent_decode(pair, name_len, pair, true);
    size_t m = http_percent_decode(value, (size_t)(pair + len - value), value, true);
    if (n == SIZE_MAX || m == SIZE_MAX || memchr(pair, 0, n) != NULL || memchr(value, 0, m) != NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "the query string is not percent-encoded as it should be");
    char *copy = strndup(value, m); /* value may begin where the name's NUL goes */
    if (copy == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    pair[n] = 0;
    int32_t rc = n == 0 && m == 0 ? LATHE_OK : add_parameter(fields, pair, copy, out, err);
    free(copy);
    return rc;
}

int32_t api_read_query(const char *query, const api_field *fields, cJSON **out, lathe_error *err) {
    char *copy = malloc(strlen(query) + 2);
    *out = cJSON_CreateObject();
    if (copy == NULL || *out == NULL) {
        free(copy);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    strcpy(copy, query);
    int32_t rc = LATHE_OK;
    for (char *at = copy; rc == LATHE_OK && *at != 0;) {
        const size_t len = strcspn(at, "&");
        char *next = at[len] == '&' ? at + len + 1 : at + len;
        at[len] = 0;
        rc = read_pair(at, len, fields, *out, err);
        at = next;
    }
    free(copy);
    return rc == LATHE_OK ? check_required(fields, *out, "query parameter", err) : rc;
}

/* ---- bodies ---- */

static int32_t fail_type(const api_field *f, const cJSON *node, const char *expected,
                         lathe_error *err) {
    return lathe_fail(err, LATHE_E_INVALID, NULL, "\"%s\" is %s; expected %s", f->name,
                      lathe_json_type_name(node), expected);
}

static int32_t check_texts(const api_field *f, const cJSON *node, lathe_error *err) {
    const cJSON *item;
    if (!cJSON_IsArray(node))
        return fail_type(f, node, "a list of strings", err);
    cJSON_ArrayForEach(item, node) {
        if (!cJSON_IsString(item))
            return fail_type(f, item, "strings in it", err);
        int32_t rc = check_text(f, item->valuestring, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static int32_t check_value(const api_field *f, const cJSON *node, lathe_error *err) {
    switch (f->type) {
    case API_INT:
    case API_NUMBER:
        return cJSON_IsNumber(node) ? check_number(f, node->valuedouble, err)
                                    : fail_type(f, node, "a number", err);
    case API_BOOL:
        return cJSON_IsBool(node) ? LATHE_OK : fail_type(f, node, "true or false", err);
    case API_OBJECT:
        return cJSON_IsObject(node) ? LATHE_OK : fail_type(f, node, "an object", err);
    case API_TEXTS:
        return check_texts(f, node, err);
    case API_ANY:
        return LATHE_OK;
    default:
        if (!cJSON_IsString(node))
            return fail_type(f, node, "a string", err);
        return check_string(f, node->valuestring, err);
    }
}

int32_t api_read_body(const char *text, size_t len, const api_field *fields, cJSON **out,
                      lathe_error *err) {
    const cJSON *item;
    int32_t rc = LATHE_OK;
    if (len == 0) {
        *out = cJSON_CreateObject();
        return *out ? check_required(fields, *out, "member", err)
                    : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    lathe_json *doc = lathe_json_read(text, len, "body", NULL, err);
    if (doc == NULL)
        return err->code;
    const cJSON *root = lathe_json_root(doc);
    if (!cJSON_IsObject(root))
        rc = lathe_fail(err, LATHE_E_INVALID, NULL, "the body is %s; expected an object",
                        lathe_json_type_name(root));
    cJSON_ArrayForEach(item, root) {
        const api_field *f = rc == LATHE_OK ? find_field(fields, item->string) : NULL;
        if (rc == LATHE_OK)
            rc = f ? check_value(f, item, err) : fail_unknown(fields, "member", item->string, err);
    }
    if (rc == LATHE_OK)
        rc = check_required(fields, root, "member", err);
    if (rc == LATHE_OK && (*out = cJSON_Duplicate(root, 1)) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    lathe_json_free(doc);
    return rc;
}
