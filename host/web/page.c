#include "web/page.h"

#include "base/fs.h"
#include "base/json.h"
#include "generated/chart_js.h"
#include "generated/page_css.h"
#include "generated/page_html.h"
#include "generated/page_js.h"

#include <stdbool.h>
#include <string.h>

#define MARK "@@"

/* In JSON text these bytes stand in strings alone, where an escape means the same. */
void lathe_page_island(const cJSON *data, lathe_buf *out) {
    lathe_buf json = {0};
    lathe_json_print(NULL, data, &json);
    const char *text = lathe_buf_str(&json);
    size_t kept = 0; /* text[0 … kept) is written */
    for (size_t i = 0; i < json.len; i++) {
        const char *escape = text[i] == '<'   ? "\\u003c"
                             : text[i] == '>' ? "\\u003e"
                             : text[i] == '&' ? "\\u0026"
                                              : NULL;
        size_t len = 1;
        if (text[i] == '\xe2' && (strncmp(text + i, "\xe2\x80\xa8", 3) == 0 ||
                                  strncmp(text + i, "\xe2\x80\xa9", 3) == 0)) {
            escape = text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            len = 3;
        }
        if (escape == NULL)
            continue;
        lathe_buf_append(out, text + kept, i - kept);
        lathe_buf_append_str(out, escape);
        kept = i + len;
        i = kept - 1;
    }
    lathe_buf_append(out, text + kept, json.len - kept);
    if (json.failed)
        out->failed = 1;
    lathe_buf_free(&json);
}

/* What stands for the mark `name`; false: there is no such mark. */
static bool append_part(const char *name, size_t len, const cJSON *data, lathe_buf *out) {
    const struct {
        const char *name;
        const unsigned char *bytes;
        size_t len;
    } parts[] = {{"style", lathe_page_css, lathe_page_css_len},
                 {"chart", lathe_chart_js, lathe_chart_js_len},
                 {"script", lathe_page_js, lathe_page_js_len}};
    if (len == 4 && memcmp(name, "data", 4) == 0) {
        lathe_page_island(data, out);
        return true;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i].name) == len && memcmp(parts[i].name, name, len) == 0) {
            lathe_buf_append(out, parts[i].bytes, parts[i].len);
            return true;
        }
    return false;
}

/* Only the skeleton is searched for marks, never what is put in. */
static int32_t render(const cJSON *data, lathe_buf *out, lathe_error *err) {
    const char *at = (const char *)lathe_page_html, *begin;
    while ((begin = strstr(at, MARK)) != NULL) {
        const char *name = begin + strlen(MARK), *end = strstr(name, MARK);
        lathe_buf_append(out, at, (size_t)(begin - at));
        if (end == NULL || !append_part(name, (size_t)(end - name), data, out))
            return lathe_fail(err, LATHE_E_INTERNAL, "page.html",
                              "there is no part for the mark at byte %td",
                              begin - (const char *)lathe_page_html);
        at = end + strlen(MARK);
    }
    lathe_buf_append_str(out, at);
    return LATHE_OK;
}

int32_t lathe_page_write(const cJSON *data, const char *path, lathe_error *err) {
    lathe_buf page = {0};
    int32_t rc = render(data, &page, err);
    if (rc == LATHE_OK && page.failed)
        rc = lathe_fail(err, LATHE_E_MEMORY, path, "out of memory for the page");
    if (rc == LATHE_OK)
        rc = lathe_write_file_atomic(path, page.data, page.len, err);
    lathe_buf_free(&page);
    return rc;
}
