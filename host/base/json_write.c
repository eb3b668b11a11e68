/* Documents back to text: canonical (sorted) and in order. */
#include "base/json.h"
#include "base/json_place.h"
#include "base/jsonw.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static void write_value(const lathe_json *doc, const cJSON *node, bool sorted, lathe_buf *out);

static void write_number(const lathe_json *doc, const cJSON *node, lathe_buf *out) {
    int64_t integer;
    if (lathe_json_int64(doc, node, &integer)) { /* makes 0 of -0, and 1 of 1.0 */
        lathe_buf_printf(out, "%lld", (long long)integer);
        return;
    }
    char text[LATHE_DOUBLE_TEXT];
    lathe_buf_append(out, text, lathe_double_text(node->valuedouble, text));
}

static int by_key(const void *pa, const void *pb) {
    const cJSON *const *a = pa;
    const cJSON *const *b = pb;
    return strcmp((*a)->string, (*b)->string);
}

static void write_member(const lathe_json *doc, const cJSON *node, bool sorted, bool first,
                         lathe_buf *out) {
    if (!first)
        lathe_buf_append_char(out, ',');
    if (node->string != NULL) {
        lathe_json_quote(out, node->string, strlen(node->string));
        lathe_buf_append_char(out, ':');
    }
    write_value(doc, node, sorted, out);
}

static void write_sorted(const lathe_json *doc, const cJSON *object, lathe_buf *out) {
    size_t n = 0;
    for (const cJSON *c = object->child; c != NULL; c = c->next)
        n++;
    const cJSON **members = malloc((n + 1) * sizeof *members);
    if (members == NULL) {
        out->failed = 1;
        return;
    }
    size_t i = 0;
    for (const cJSON *c = object->child; c != NULL; c = c->next)
        members[i++] = c;
    qsort(members, n, sizeof *members, by_key);
    for (i = 0; i < n; i++)
        write_member(doc, members[i], true, i == 0, out);
    free(members);
}

static void write_container(const lathe_json *doc, const cJSON *node, bool sorted, lathe_buf *out) {
    bool object = cJSON_IsObject(node);
    lathe_buf_append_char(out, object ? '{' : '[');
    if (object && sorted) {
        write_sorted(doc, node, out);
    } else {
        for (const cJSON *c = node->child; c != NULL; c = c->next)
            write_member(doc, c, sorted, c == node->child, out);
    }
    lathe_buf_append_char(out, object ? '}' : ']');
}

static void write_value(const lathe_json *doc, const cJSON *node, bool sorted, lathe_buf *out) {
    switch (node != NULL ? node->type & 0xFF : cJSON_NULL) {
    case cJSON_Object:
    case cJSON_Array:
        write_container(doc, node, sorted, out);
        break;
    case cJSON_String:
        lathe_json_quote(out, node->valuestring, strlen(node->valuestring));
        break;
    case cJSON_Number:
        write_number(doc, node, out);
        break;
    case cJSON_True:
        lathe_buf_append_str(out, "true");
        break;
    case cJSON_False:
        lathe_buf_append_str(out, "false");
        break;
    case cJSON_Raw:
        lathe_buf_append_str(out, node->valuestring);
        break;
    default:
        lathe_buf_append_str(out, "null");
        break;
    }
}

void lathe_json_canonical(const cJSON *node, lathe_buf *out) {
    write_value(NULL, node, true, out);
}

void lathe_json_canonical_of(const lathe_json *doc, const cJSON *node, lathe_buf *out) {
    write_value(doc, node, true, out);
}

void lathe_json_print(const lathe_json *doc, const cJSON *node, lathe_buf *out) {
    write_value(doc, node, false, out);
}

const char *lathe_json_brief(const cJSON *node, char *buf, size_t size) {
    lathe_buf text = {0};
    if (cJSON_IsObject(node) && node->child != NULL)
        lathe_buf_append_str(&text, "{…}");
    else if (cJSON_IsArray(node) && node->child != NULL)
        lathe_buf_append_str(&text, "[…]");
    else
        write_value(NULL, node, false, &text);
    size_t len = size > 0 ? lathe_utf8_cut(lathe_buf_str(&text), text.len, size - 1) : 0;
    if (size > 0) {
        memcpy(buf, lathe_buf_str(&text), len);
        buf[len] = '\0';
    }
    lathe_buf_free(&text);
    return size > 0 ? buf : "";
}
